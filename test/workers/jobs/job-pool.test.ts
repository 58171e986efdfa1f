/**
 * The pool with its real threads, which run the compiled jobs: Node 20 cannot run TypeScript there.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { mixHash } from '../../../decision/features.ts';
import type { EvaluatePolicyInput } from '../../../workers/jobs/evaluate-policy.ts';
import { evaluatePolicy } from '../../../workers/jobs/evaluate-policy.ts';
import { JobPool, WAITING_JOBS_MAX } from '../../../workers/jobs/job-pool.ts';
import { readModelSnapshot } from '../../../workers/jobs/model-snapshot-file.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { JournalWriter, releaseEntry } from './journal-entries.ts';

const folder = pathToFileURL(`${resolve('dist/workers/jobs')}/`);
const isBuilt = existsSync(new URL('job-thread.js', folder));
if (!isBuilt) console.warn('job pool: skipped, dist/ is not built (node setup.mjs)');

const pools: JobPool[] = [];
afterAll(async () => {
  for (const pool of pools) await pool.close();
});
function newPool(threads: number): JobPool {
  const pool = new JobPool({ threads, folder });
  pools.push(pool);
  return pool;
}

/** n rows of a uniform log over three actions; the policy always takes the first, which pays .5 and not .2. */
function evaluationInput(n: number): EvaluatePolicyInput {
  const doubles = (): Float64Array => new Float64Array(new SharedArrayBuffer(n * 8));
  const rewards = doubles();
  const loggingPropensities = doubles().fill(1 / 3);
  const targetProbabilities = doubles();
  const clusters = new Uint32Array(new SharedArrayBuffer(n * 4));
  for (let i = 0; i < n; i++) {
    const isFirst = mixHash(i, 1) % 3 === 0;
    targetProbabilities[i] = isFirst ? 1 : 0;
    rewards[i] = mixHash(i, 2) / 2 ** 32 < (isFirst ? 0.5 : 0.2) ? 1 : 0;
    clusters[i] = i;
  }
  const shared = (values: Float64Array | Uint32Array): SharedArrayBuffer => values.buffer as SharedArrayBuffer; // made above
  return {
    rewards: shared(rewards),
    loggingPropensities: shared(loggingPropensities),
    targetProbabilities: shared(targetProbabilities),
    clusters: shared(clusters),
    predictions: null,
    parts: [
      { name: 'all', start: 0, end: n },
      { name: 'half', start: n >> 1, end: n },
    ],
  };
}

/** Field 19 of each thread's stat; the name, field 2, may hold spaces and is passed over. */
function nicesOfThreads(): Map<string, number> {
  const stat = (id: string): string => readFileSync(`/proc/self/task/${id}/stat`, 'utf8');
  return new Map(
    readdirSync('/proc/self/task').map((id) => [
      id,
      Number(
        stat(id)
          .replace(/^.*\) /s, '')
          .split(' ')[16],
      ),
    ]),
  );
}

describe('evaluate policy job', () => {
  it('evaluate policy: parts are evaluated by themselves, with clusters numbered anew', () => {
    const [all, half] = evaluatePolicy(evaluationInput(3000));
    expect(all?.evaluation.rows).toBe(3000);
    expect(half).toMatchObject({ name: 'half', evaluation: { rows: 1500, clusters: 1500 } });
    // 4 standard errors of a share near .5 over about 1,000 matched rows.
    expect(Math.abs((all?.evaluation.snips.value ?? 0) - 0.5)).toBeLessThan(
      4 * (all?.evaluation.snips.standardError ?? 0),
    );
    expect(all?.evaluation.direct).toBeNull();
  });

  it('evaluate policy: an empty part is refused by name', () => {
    const input = { ...evaluationInput(10), parts: [{ name: 'nothing', start: 5, end: 5 }] };
    expect(() => evaluatePolicy(input)).toThrow(/part nothing: rewards: no rows/);
  });
});

describe.skipIf(!isBuilt)('job pool', () => {
  it('job pool: starts no thread before the first job', () => {
    expect(newPool(1).isStarted).toBe(false);
  });

  it('job pool: a job gives in a thread what it gives here', async () => {
    const input = evaluationInput(5000);
    expect(await newPool(1).run('evaluatePolicy', input)).toEqual(evaluatePolicy(input));
  });

  it.skipIf(process.platform !== 'linux')(
    'job pool: its threads have nice 19, and no other thread of the process changes',
    async () => {
      const before = nicesOfThreads();
      const input = evaluationInput(50_000);
      const pool = newPool(2);
      await Promise.all(Array.from({ length: 4 }, () => pool.run('evaluatePolicy', input)));
      const after = nicesOfThreads();
      const lowered = [...after].filter(([id, nice]) => nice === 19 && before.get(id) !== 19);
      expect(lowered).toHaveLength(2);
      for (const [id] of lowered) expect(before.has(id)).toBe(false);
      for (const [id, nice] of before) if (after.has(id)) expect(after.get(id)).toBe(nice);
      // Threads of Node's own pool may have been started meanwhile: by this thread, so at its priority.
      for (const [id, nice] of after) if (nice !== 19) expect(nice, id).toBe(getPriority());
    },
  );

  it('job pool: the caller keeps turning while all three jobs run', async () => {
    const data = temporaryFolder();
    const storePath = join(data, 'store');
    const writer = new JournalWriter(storePath, 1, 0);
    for (let batch = 0; batch < 20; batch++) {
      await writer.batch(...Array.from({ length: 500 }, (_, n) => releaseEntry(batch * 500 + n)));
    }
    const input = evaluationInput(200_000);
    const response = new SharedArrayBuffer(4 * 1024 * 1024);
    new Float64Array(response).fill(1.5);
    const pool = newPool(1);
    const path = join(data, 'model');
    const outPath = join(data, 'log.ndjson');
    const jobs = Promise.all([
      pool.run('evaluatePolicy', input),
      pool.run('writeModelSnapshot', {
        path,
        response,
        parts: new Uint32Array(0),
        demand: [],
        weeks: [],
        zones: [],
        gaps: [],
        linear: [],
        cross: [],
        positions: [],
        modelEpoch: 3,
      }),
      pool.run('exportLog', { storePath, outPath }),
    ]);
    // Were a job to run here, the loop could turn a handful of times in all; in a thread it never waits.
    let turns = 0;
    let isDone = false;
    const end = (): void => {
      isDone = true;
    };
    jobs.then(end, end);
    while (!isDone) {
      await new Promise((resolve) => setImmediate(resolve));
      turns += 1;
    }
    const [results, written, exported] = await jobs;
    expect(turns).toBeGreaterThan(1000);
    expect(results[0]?.evaluation.rows).toBe(200_000);
    expect(written.fileBytes).toBe(readFileSync(path).length);
    expect(readModelSnapshot(path)?.snapshot?.modelEpoch).toBe(3);
    expect(exported.lines).toBe(10_000);
    await writer.close();
  });

  it('job pool: a failing job rejects with its message and code, and the next one runs', async () => {
    const pool = newPool(1);
    const nowhere = join(temporaryFolder(), 'missing', 'store');
    const bad = pool.run('exportLog', { storePath: nowhere, outPath: join(nowhere, 'x') });
    await expect(bad).rejects.toMatchObject({ code: 'OPEN_FAILED', message: expect.stringContaining(nowhere) });
    expect(await pool.run('evaluatePolicy', evaluationInput(100))).toHaveLength(2);
  });

  it('job pool: an aborted job rejects, and the next one runs', async () => {
    const pool = newPool(1);
    const stop = new AbortController();
    const running = pool.run('evaluatePolicy', evaluationInput(200_000), { signal: stop.signal });
    stop.abort();
    await expect(running).rejects.toMatchObject({ name: 'AbortError' });
    expect(await pool.run('evaluatePolicy', evaluationInput(100))).toHaveLength(2);
  });

  it('job pool: more waiting jobs than the bound are refused, those before it run', async () => {
    const pool = newPool(1);
    const input = evaluationInput(50);
    const jobs = Array.from({ length: WAITING_JOBS_MAX + 8 }, () => pool.run('evaluatePolicy', input));
    const outcomes = await Promise.allSettled(jobs);
    const refused = outcomes.filter(({ status }) => status === 'rejected').length;
    expect(refused).toBeGreaterThan(0);
    expect(outcomes.length - refused).toBeGreaterThanOrEqual(WAITING_JOBS_MAX);
  });

  it('job pool: close lets a running job finish, and refuses later ones', async () => {
    const pool = newPool(1);
    const running = pool.run('evaluatePolicy', evaluationInput(100_000));
    await new Promise((resolve) => setImmediate(resolve));
    const closed = pool.close();
    expect(await running).toHaveLength(2);
    await closed;
    await pool.close();
    await expect(pool.run('evaluatePolicy', evaluationInput(10))).rejects.toThrow(/closed/);
  });
});
