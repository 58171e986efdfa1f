/** Who is offered the facts of a fit, until when, and again: over shards that come late, restarts and other catalogs. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { FactRows } from '../../actors/fact-turn.ts';
import { FitKeeper } from '../../server/fit-keeper.ts';
import { createLog } from '../../server/log.ts';
import { fitResultsPath, writeFitResults } from '../../workers/fits/fit-results-file.ts';
import { JobPool } from '../../workers/jobs/job-pool.ts';
import { temporaryFolder, until } from './running-node.ts';

const keepers: FitKeeper[] = [];
afterEach(async () => {
  await Promise.all(keepers.splice(0).map((keeper) => keeper.close()));
});

function writeResults(data: string, fit: number): void {
  const rows = {
    fit,
    keys: Uint32Array.from([1, 2, 3, 4]),
    columns: new Map([['segment', Float64Array.of(1)]] as const),
  };
  const related = { camera: [['tripod', 0.5]] } as const;
  const info = { fit, fittedAtEpochMillis: fit * 1000, people: 1, models: {}, segments: [], related };
  writeFitResults(fitResultsPath(data), { info, rows });
}

/** A keeper of two shards on the folder, and what it has offered: `shard:fit`. */
function keeperOf(data: string, declared: readonly string[] = ['segment']) {
  const offered: string[] = [];
  const now = { declared };
  const keeper = new FitKeeper({
    data,
    everyHours: 0,
    shards: 2,
    log: createLog('silent'),
    jobs: new JobPool({ threads: 1, folder: new URL('../../dist/workers/jobs/', import.meta.url) }),
    declaredFacts: () => now.declared,
    isServing: () => true,
    offer: (shard: number, { fit }: FactRows) => offered.push(`${shard}:${fit}`),
  });
  keepers.push(keeper);
  keeper.begin();
  return { keeper, offered, now };
}
const counts = (fit: number) => ({ fit, changed: 1, same: 0, refused: 0 });

describe('fit keeper', () => {
  it('fit keeper: what not all shards had taken before a stop is offered to all after it, and then no more', async () => {
    const data = temporaryFolder('keeper');
    writeResults(data, 5);
    const first = keeperOf(data);
    await until(() => first.offered.length === 2);
    first.keeper.shardReady(1);
    first.keeper.factsTaken(0, counts(5));
    first.keeper.shardReady(0);
    first.keeper.factsTaken(1, counts(4));
    expect(first.offered).toEqual(['0:5', '1:5', '1:5']);
    expect(first.keeper.status).toMatchObject({
      shardsPending: 1,
      people: 1,
      isLastGood: true,
      fittedAtEpochMillis: 5000,
    });
    await first.keeper.close();

    const second = keeperOf(data);
    await until(() => second.offered.length === 2);
    second.keeper.factsTaken(0, counts(5));
    second.keeper.factsTaken(1, counts(5));
    expect(second.keeper.status.shardsPending).toBe(0);
    expect(readFileSync(join(data, 'fits', 'taken'), 'utf8')).toBe('5 segment\n');

    const third = keeperOf(data);
    await until(() => third.keeper.status.fittedAtEpochMillis !== null);
    expect(third.offered).toEqual([]);
    // Other facts declared, and then another fit: each is offered.
    third.now.declared = ['segment', 'churnProbability'];
    await until(() => third.offered.length === 2);
    writeResults(data, 6);
    await until(() => third.offered.length === 4);
    expect(third.offered).toEqual(['0:5', '1:5', '0:6', '1:6']);
  }, 30_000);

  it('fit keeper: without declared facts offers nothing, and knows related products all the same', async () => {
    const data = temporaryFolder('keeper');
    writeResults(data, 5);
    const { keeper, offered } = keeperOf(data, []);
    await until(() => keeper.related('camera') !== null);
    expect(keeper.related('camera')?.related).toEqual([['tripod', 0.5]]);
    for (const sku of ['tripod', 'toString', '__proto__', '']) expect(keeper.related(sku)?.related).toEqual([]);
    expect([offered, keeper.status.shardsPending]).toEqual([[], 0]);
  }, 30_000);

  it('fit keeper: where no fit has ended, and where a folder stands in the place of results', async () => {
    const data = temporaryFolder('keeper');
    const { keeper } = keeperOf(data);
    expect(keeper.status).toEqual({ fittedAtEpochMillis: null, people: 0, isLastGood: null, shardsPending: 0 });
    mkdirSync(fitResultsPath(data), { recursive: true });
    await until(() => keeper.status.isLastGood === false);
    expect(keeper.related('camera')).toBeNull();
  }, 30_000);
});
