/**
 * Makes a failing world short: leaves out actions, half of them at first and single ones in the end (delta debugging,
 * Zeller and Hildebrandt 2002), as long as the same invariant fails. What is left is the story of the failure.
 */
import type { SimAction } from './sim-action.ts';
import { type RunOptions, type RunResult, SimWorld } from './sim-world.ts';

export interface ShrunkFailure {
  readonly result: RunResult;
  /** What still has to happen, in order. */
  readonly actions: readonly { readonly atMillis: number; readonly index: number; readonly kind: string }[];
  readonly trials: number;
}

/**
 * @param failed a run that ended in a violation
 * @param mayTry asked before each trial, for a bound on time
 * @param options of the run, where there is more than its seed
 */
export async function shrinkFailure(
  failed: RunResult,
  mayTry: (trials: number) => boolean,
  options: Omit<RunOptions, 'isSkipped' | 'onAction'> = failed,
): Promise<ShrunkFailure> {
  const world = { ...options, steps: failed.steps };
  let trials = 0;
  let best = failed;
  const attempt = async (kept: ReadonlySet<number>): Promise<RunResult | null> => {
    trials++;
    const result = await new SimWorld({ ...world, isSkipped: (index) => !kept.has(index) }).run();
    return result.violation?.invariant === failed.violation?.invariant ? result : null;
  };
  const made: number[] = [];
  await new SimWorld({ ...world, onAction: ({ index }) => made.push(index) }).run();
  let kept = made;
  for (let size = Math.ceil(kept.length / 2); size >= 1; ) {
    let isShorter = false;
    for (let from = 0; from < kept.length && mayTry(trials); ) {
      const rest = [...kept.slice(0, from), ...kept.slice(from + size)];
      const result = await attempt(new Set(rest));
      if (result === null) from += size;
      else {
        kept = rest;
        best = result;
        isShorter = true;
      }
    }
    if (!mayTry(trials)) break;
    if (size === 1 && !isShorter) break;
    size = size === 1 ? 1 : Math.ceil(size / 2);
  }
  const actions: { atMillis: number; index: number; kind: string }[] = [];
  const last = new Set(kept);
  await new SimWorld({
    ...world,
    isSkipped: (index) => !last.has(index),
    onAction: ({ index, kind }: SimAction, atMillis) => actions.push({ atMillis, index, kind }),
  }).run();
  return { result: best, actions, trials };
}
