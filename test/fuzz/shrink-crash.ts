/**
 * Makes a crash small: the last input alone if that is enough, else what came before it as well, and then the
 * shortest input that still makes the subject throw, by leaving out pieces half the size each round. Each try
 * has a fresh subject, so what is found reproduces on its own.
 */
import type { FuzzTarget } from './fuzz-target.ts';

const TRIES_MAX = 400;

/** What the subject threw at these inputs, one after the other; undefined when it stood them all. */
export async function replayInputs(target: FuzzTarget, inputs: readonly Uint8Array[]): Promise<unknown> {
  const subject = await target.create();
  try {
    if (subject.runMany === undefined) for (const input of inputs) subject.run(input);
    else await subject.runMany(inputs);
    await subject.settle?.();
    return undefined;
  } catch (error) {
    return error;
  } finally {
    await subject.close?.();
  }
}

/** @param history inputs in their order; the crash came with the last one, or was seen after it. */
export async function shrinkCrash(target: FuzzTarget, history: readonly Uint8Array[]): Promise<Uint8Array[]> {
  let tries = TRIES_MAX;
  const isCrash = async (input: Uint8Array): Promise<boolean> =>
    tries-- > 0 && (await replayInputs(target, [input])) !== undefined;
  const alone = await findAlone(history, isCrash);
  if (alone === undefined) return [...history];
  let smallest = alone;
  for (let piece = smallest.length >> 1; piece >= 1 && tries > 0; piece >>= 1) {
    for (let at = 0; at + piece <= smallest.length && tries > 0; ) {
      const shorter = Uint8Array.from([...smallest.subarray(0, at), ...smallest.subarray(at + piece)]);
      if (await isCrash(shorter)) smallest = shorter;
      else at += piece;
    }
  }
  return [smallest];
}

async function findAlone(
  history: readonly Uint8Array[],
  isCrash: (input: Uint8Array) => Promise<boolean>,
): Promise<Uint8Array | undefined> {
  for (const input of [...history].reverse()) if (await isCrash(input)) return input.slice();
  return undefined;
}
