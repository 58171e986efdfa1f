/**
 * Runs of many steps, made of worlds of a bounded length, each with an empty disk and a seed of its own: the first
 * world's seed is the run's, the others' follow from it. So a failure in a long run is replayed by one short world.
 */
import { mix32 } from './sim-time.ts';
import { type RunResult, SimWorld } from './sim-world.ts';

/** A journal that is folded again after each crash must not grow for ever. */
const WORLD_STEPS = 40_000;

export interface RunSummary {
  readonly seed: number;
  readonly worlds: number;
  readonly steps: number;
  readonly hash: string;
  readonly actions: ReadonlyMap<string, number>;
  readonly entries: number;
  readonly answers: number;
  readonly propensitySums: number;
  readonly simulatedMillis: number;
  readonly failed: RunResult | null;
}

export interface RunBounds {
  /** Asked before each world. */
  readonly goesOn?: (summary: RunSummary) => boolean;
  readonly worldSteps?: number;
}

function worldSeed(seed: number, world: number): number {
  return world === 0 ? seed : mix32(seed ^ Math.imul(world, 0x9e3779b1));
}

/**
 * @param seed 0 to 2^32 - 1
 * @param steps how many in all; Infinity where `goesOn` ends it
 */
export async function runSimulation(
  seed: number,
  steps: number,
  { goesOn = () => true, worldSteps: worldStepsMax = WORLD_STEPS }: RunBounds = {},
): Promise<RunSummary> {
  const actions = new Map<string, number>();
  let hash = 0;
  let summary: RunSummary = {
    seed,
    worlds: 0,
    steps: 0,
    hash: '00000000',
    actions,
    entries: 0,
    answers: 0,
    propensitySums: 0,
    simulatedMillis: 0,
    failed: null,
  };
  while (summary.steps < steps && summary.failed === null && goesOn(summary)) {
    const worldSteps = Math.min(worldStepsMax, steps - summary.steps);
    const result = await new SimWorld({ seed: worldSeed(seed, summary.worlds), steps: worldSteps }).run();
    hash = mix32(hash ^ Number.parseInt(result.hash, 16));
    for (const [kind, count] of result.actions) actions.set(kind, (actions.get(kind) ?? 0) + count);
    summary = {
      seed,
      worlds: summary.worlds + 1,
      steps: summary.steps + result.steps,
      hash: hash.toString(16).padStart(8, '0'),
      actions,
      entries: summary.entries + result.entries,
      answers: summary.answers + result.answers,
      propensitySums: summary.propensitySums + result.propensitySums,
      simulatedMillis: summary.simulatedMillis + result.simulatedMillis,
      failed: result.violation === null ? null : result,
    };
  }
  return summary;
}

/** The command that runs the failed world again. */
export function replayCommand({ seed, steps }: RunResult): string {
  return `npm run sim -- --seed ${seed} --steps ${steps}`;
}
