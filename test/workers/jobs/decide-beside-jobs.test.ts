/**
 * Decisions on one thread while jobs run in others, for all three kinds of job: p99 of decide does not wait for
 * them, as it is seen to do in a control that calls the job on the deciding thread. Judged is the ratio to that
 * control, never microseconds. Latency counts from when a decision was due. That jobs do not take the deciding
 * thread's processor either is a matter of their priority, which job-pool.test.ts reads from the system.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mixHash } from '../../../decision/features.ts';
import { monotonicMicros } from '../../../workers/clock.ts';
import { type EvaluatePolicyInput, evaluatePolicy } from '../../../workers/jobs/evaluate-policy.ts';
import { type ExportLogInput, exportLog } from '../../../workers/jobs/export-log.ts';
import { JobPool } from '../../../workers/jobs/job-pool.ts';
import { type WriteModelSnapshotInput, writeModelSnapshot } from '../../../workers/jobs/model-snapshot-file.ts';
import { OneShard } from '../../actors/one-shard.ts';
import { JournalWriter, releaseEntry } from './journal-entries.ts';

const folder = pathToFileURL(`${resolve('dist/workers/jobs')}/`);
/** As many as cores: with the deciding thread one more than there is room for. */
const LANES = availableParallelism();
const skipped = !existsSync(new URL('job-thread.js', folder))
  ? 'dist/ is not built (node setup.mjs)'
  : LANES > 16
    ? `${LANES} busy threads want too much memory for a test`
    : null;
if (skipped !== null) console.warn(`decide beside jobs: skipped, ${skipped}`);

/** Sizes that give each job some 100 ms of work. */
const ROWS = 500_000;
const MODEL_DOUBLES = 512 * 1024;
const BATCHES = 40;
const BATCH_ENTRIES = 500;

const ROUNDS = 5;
const DECISIONS = 800;
/** About a quarter of a core on a quiet machine. */
const EVERY_MICROS = 250;
/** More often than one in a hundred, or p99 could not see it. */
const INTERRUPTED_EVERY = 75;
/** Eleven jobs of 100 ms in 200 ms of decisions: some 1,000 ms of p99 when they hold the thread, milliseconds when not. */
const WAITING_RATIO_MIN = 3;
const NOW = Date.UTC(2026, 5, 10, 9);

let storePath = '';
let data = '';
const evaluation = evaluationInput();
const response = new SharedArrayBuffer(MODEL_DOUBLES * 8);
new Float64Array(response).forEach((_, i, all) => {
  all[i] = mixHash(i, 1);
});

function evaluationInput(): EvaluatePolicyInput {
  const doubles = (fill: (i: number) => number): SharedArrayBuffer => {
    const buffer = new SharedArrayBuffer(ROWS * 8);
    new Float64Array(buffer).forEach((_, i, all) => {
      all[i] = fill(i);
    });
    return buffer;
  };
  const clusters = new SharedArrayBuffer(ROWS * 4);
  new Uint32Array(clusters).forEach((_, i, all) => {
    all[i] = i;
  });
  return {
    rewards: doubles((i) => (i % 7 === 0 ? 1 : 0)),
    loggingPropensities: doubles(() => 0.5),
    targetProbabilities: doubles(() => 1),
    clusters,
    predictions: null,
    parts: [{ name: 'all', start: 0, end: ROWS }],
  };
}

const snapshotInput = (lane: string): WriteModelSnapshotInput => ({
  path: join(data, `model-${lane}`),
  response,
  parts: new Uint32Array(0),
  demand: [],
  weeks: [],
  zones: [],
  gaps: [],
  linear: [],
  cross: [],
  positions: [],
  modelEpoch: 1,
});
const exportInput = (lane: string): ExportLogInput => ({ storePath, outPath: join(data, `log-${lane}.ndjson`) });

interface Kind {
  readonly name: string;
  /** The job called here, to its end but for closing files. */
  readonly here: () => unknown;
  readonly inPool: (pool: JobPool, lane: string) => Promise<unknown>;
}
const KINDS: readonly Kind[] = [
  {
    name: 'policy evaluation',
    here: () => evaluatePolicy(evaluation),
    inPool: (pool) => pool.run('evaluatePolicy', evaluation),
  },
  {
    name: 'model snapshot',
    here: () => writeModelSnapshot(snapshotInput('here')),
    inPool: (pool, lane) => pool.run('writeModelSnapshot', snapshotInput(lane)),
  },
  {
    name: 'log export',
    here: () => exportLog(exportInput('here')),
    inPool: (pool, lane) => pool.run('exportLog', exportInput(lane)),
  },
];

/** Repeats `job` in each of so many lanes; the function given back lets the last ones finish. */
function keepBusy(lanes: number, job: (lane: number) => Promise<unknown>): () => Promise<void> {
  let isOver = false;
  const all = Promise.all(
    Array.from({ length: lanes }, async (_, lane) => {
      while (!isOver) await job(lane);
    }),
  );
  return async () => {
    isOver = true;
    await all;
  };
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

describe.skipIf(skipped !== null)('decide beside jobs', () => {
  let shard: OneShard;

  beforeAll(async () => {
    data = mkdtempSync(join(tmpdir(), 'opportune-jobs-'));
    storePath = join(data, 'store');
    const writer = new JournalWriter(storePath, 1, 0);
    for (let batch = 0; batch < BATCHES; batch++) {
      const from = batch * BATCH_ENTRIES;
      await writer.batch(...Array.from({ length: BATCH_ENTRIES }, (_, n) => releaseEntry(from + n)));
    }
    await writer.close();
    shard = new OneShard({ catalog: readFileSync('catalogs/bench.yaml', 'utf8') });
    await decideP99(); // compiled before it is measured
  });
  afterAll(() => rmSync(data, { recursive: true, force: true }));

  /**
   * Decisions due at a steady rate, a turn of the loop each, as on a shard. `between` is called before every
   * INTERRUPTED_EVERY-th. Late ones are counted from when they were due, so that a thread kept from its
   * processor, or from its loop, is late with all that fell due meanwhile.
   */
  async function decideP99(between: (() => unknown) | null = null): Promise<number> {
    const late: number[] = [];
    const pending: unknown[] = [];
    const begin = monotonicMicros();
    for (let i = 0; i < DECISIONS; ) {
      const due = begin + i * EVERY_MICROS;
      if (monotonicMicros() >= due) {
        if (between !== null && i % INTERRUPTED_EVERY === 0) pending.push(between());
        shard.decide({ profile: `p${i % 200}`, slot: 'home', sku: 'bench-product' }, NOW + i);
        late.push(monotonicMicros() - due);
        i++;
      }
      await new Promise(setImmediate);
    }
    await Promise.all(pending);
    late.sort((a, b) => a - b);
    return late[Math.floor(DECISIONS * 0.99)] ?? Number.NaN;
  }

  it.each(KINDS)(
    'decide: its p99 does not wait for $name in the pool, and is seen to wait for it on its own thread',
    async ({ name, here, inPool }) => {
      const pool = new JobPool({ threads: LANES, folder });
      const job = (lane: number): Promise<unknown> => inPool(pool, `pool-${lane}`);
      try {
        const alone: number[] = [];
        const beside: number[] = [];
        // All lanes have run one job before the clock starts: the start of threads is not measured.
        await Promise.all(Array.from({ length: LANES }, (_, lane) => job(lane)));
        for (let round = 0; round < ROUNDS; round++) {
          alone.push(await decideP99());
          const stop = keepBusy(LANES, job);
          try {
            beside.push(await decideP99());
          } finally {
            await stop();
          }
        }
        const onThread = await decideP99(here);
        const millis = (micros: number): string => (micros / 1000).toFixed(1);
        console.log(
          `MEASURED decide p99 with ${LANES} threads busy with ${name}: ${millis(median(alone))} ms alone, ` +
            `${millis(median(beside))} ms beside pool threads, ${millis(onThread)} ms with the job on its own thread`,
        );
        expect(onThread / median(beside)).toBeGreaterThan(WAITING_RATIO_MIN);
      } finally {
        await pool.close();
      }
    },
    240_000,
  );
});
