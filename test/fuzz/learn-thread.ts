/**
 * The thread that one target learns in. A thread has its own compiled code, so the blocks of every function are
 * counted, and the main thread goes on with code that counts nothing and runs several times as fast.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { type LearnOrder, learnTarget } from './fuzz-run.ts';
import { DEEP } from './planted-bugs.ts';
import { FUZZ_TARGETS } from './target-table.ts';

/** No target takes longer to learn as many inputs as a run gives it. */
const SECONDS_MAX = 120;

const { targetName, seed, inputs } = workerData as LearnOrder; // put there by the thread that starts this one
const target = [...FUZZ_TARGETS, DEEP].find(({ name }) => name === targetName);
if (target === undefined) throw new Error(`there is no target ${targetName}`);
parentPort?.postMessage(
  await learnTarget(target, {
    seed,
    inputs,
    learnInputsMax: 0,
    secondsMax: SECONDS_MAX,
    memoryGrowthBytesMax: Number.POSITIVE_INFINITY,
  }),
);
