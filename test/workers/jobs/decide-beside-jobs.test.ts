/**
 * Decisions on one thread while the job pool works: p99 must not wait for a job. The control
 * runs the same job on the deciding thread and must be noticed, so the check can fail. It tells blocking from
 * competing for a processor: on two busy cores p99 beside jobs may double, which docs/PERFORMANCE.md reports
 * and this bound (a multiple of the same rounds without jobs) does not judge.
 */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { monotonicMicros } from '../../../workers/clock.ts';
import { type EvaluatePolicyInput, evaluatePolicy } from '../../../workers/jobs/evaluate-policy.ts';
import { JobPool } from '../../../workers/jobs/job-pool.ts';
import { OneShard } from '../../actors/one-shard.ts';

const folder = pathToFileURL(`${resolve('dist/workers/jobs')}/`);
const isBuilt = existsSync(new URL('job-thread.js', folder));
if (!isBuilt) console.warn('decide beside jobs: skipped, dist/ is not built (node setup.mjs)');

const ROWS = 200_000;
const ROUNDS = 5;
const DECISIONS = 1_500;
/** A control job every so many decisions: more than one in a hundred, or p99 could not see it. */
const CONTROL_EVERY = 75;
const NOW = Date.UTC(2026, 5, 10, 9);

function input(): EvaluatePolicyInput {
  const shared = (bytes: number): SharedArrayBuffer => new SharedArrayBuffer(bytes);
  const rewards = shared(ROWS * 8);
  const loggingPropensities = shared(ROWS * 8);
  const targetProbabilities = shared(ROWS * 8);
  const clusters = shared(ROWS * 4);
  new Float64Array(loggingPropensities).fill(0.5);
  new Float64Array(rewards).forEach((_, i, all) => {
    all[i] = i % 7 === 0 ? 1 : 0;
  });
  new Float64Array(targetProbabilities).fill(1);
  new Uint32Array(clusters).forEach((_, i, all) => {
    all[i] = i;
  });
  const parts = [{ name: 'all', start: 0, end: ROWS }];
  return { rewards, loggingPropensities, targetProbabilities, clusters, predictions: null, parts };
}

it.skipIf(!isBuilt)(
  'decide: its p99 does not wait for jobs in the pool, and does for one on its own thread',
  async () => {
    const shard = new OneShard({ catalog: readFileSync('catalogs/bench.yaml', 'utf8') });
    const pool = new JobPool({ threads: 1, folder });
    const job = input();
    /** p99 in microseconds of decisions asked one a turn of the event loop, from when each was due. */
    const p99 = async (between: () => void = () => {}): Promise<number> => {
      const micros: number[] = [];
      for (let i = 0; i < DECISIONS; i++) {
        const due = monotonicMicros();
        if (i % CONTROL_EVERY === 0) between();
        shard.decide({ profile: `p${i % 200}`, slot: 'home', sku: 'bench-product' }, NOW + i);
        micros.push(monotonicMicros() - due);
        await new Promise(setImmediate);
      }
      micros.sort((a, b) => a - b);
      return micros[Math.floor(DECISIONS * 0.99)] ?? Number.NaN;
    };
    try {
      await p99(); // both versions compiled alike
      const alone: number[] = [];
      const beside: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        alone.push(await p99());
        const jobs = Promise.all([1, 2, 3].map(() => pool.run('evaluatePolicy', job)));
        beside.push(await p99());
        await jobs;
      }
      const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
      const onThread = await p99(() => evaluatePolicy(job));
      console.log(
        `MEASURED decide p99: ${median(alone).toFixed(0)} µs alone, ${median(beside).toFixed(0)} µs beside pool jobs, ` +
          `${onThread.toFixed(0)} µs with a job on its own thread`,
      );
      expect(median(beside)).toBeLessThan(8 * median(alone));
      expect(onThread).toBeGreaterThan(8 * median(alone));
    } finally {
      await pool.close();
    }
  },
);
