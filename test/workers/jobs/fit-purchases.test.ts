/** The fits as a job: here, and in a thread of the pool, which runs the compiled file. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { mixHash } from '../../../decision/features.ts';
import { type FitPurchasesInput, fitPurchases } from '../../../workers/jobs/fit-purchases.ts';
import { JobPool } from '../../../workers/jobs/job-pool.ts';

const folder = pathToFileURL(`${resolve('dist/workers/jobs')}/`);
const isBuilt = existsSync(new URL('job-thread.js', folder));
if (!isBuilt) console.warn('fit purchases: skipped in the pool, dist/ is not built (node setup.mjs)');

const pool = new JobPool({ threads: 1, folder });
afterAll(() => pool.close());

type Person = readonly [x: number, lastTime: number, observedTime: number, meanSpend: number];

function inputOf(people: readonly Person[], overrides: Partial<FitPurchasesInput> = {}): FitPurchasesInput {
  const column = (f: (person: Person) => number): SharedArrayBuffer => {
    const buffer = new SharedArrayBuffer(people.length * 8);
    new Float64Array(buffer).set(people.map(f));
    return buffer;
  };
  return {
    repeatCounts: column(([x]) => x),
    lastTimes: column(([, lastTime]) => lastTime),
    observedTimes: column(([, , observedTime]) => observedTime),
    logGapSums: null,
    meanSpends: column(([, , , meanSpend]) => meanSpend),
    horizonTime: 30,
    value: { periodTime: 30, periods: 12, discountRate: 0.01 },
    ...overrides,
  };
}

/** 150 people over 200 days: every third bought once, the others now and then, some of them long ago. */
const PEOPLE = Array.from({ length: 150 }, (_, i): Person => {
  const x = i % 3 === 0 ? 0 : 1 + (mixHash(i, 1) % 9);
  return [x, x === 0 ? 0 : 20 + (mixHash(i, 2) % 180), 200, x === 0 ? 0 : 5 + (mixHash(i, 3) % 40)];
});
/** As if their gaps had been equal. */
const LOG_GAP_SUMS = new SharedArrayBuffer(PEOPLE.length * 8);
new Float64Array(LOG_GAP_SUMS).set(PEOPLE.map(([x, last]) => (x === 0 ? 0 : x * Math.log(last / x))));

describe('fit purchases job', () => {
  it('job: answers for each person, in their order', () => {
    const result = fitPurchases(inputOf([...PEOPLE, [5, 195, 200, 20], [5, 60, 200, 20]]));
    const [purchases, spends, values] = [result.expectedPurchases, result.expectedSpends, result.values].map(
      (buffer) => new Float64Array(buffer),
    ) as [Float64Array, Float64Array, Float64Array]; // three columns
    const alive = new Float64Array(result.aliveProbabilities);
    expect(alive.every((probability) => probability >= 0 && probability <= 1)).toBe(true);
    expect(alive[PEOPLE.length]).toBeGreaterThan(alive[PEOPLE.length + 1] ?? 1);
    expect(result.purchases).toMatchObject({ persons: 152, model: { regularity: 1, isFirstDropoutPossible: false } });
    expect(result.spends.persons).toBe(102);
    for (const answers of [purchases, spends, values]) {
      expect(answers).toHaveLength(152);
      expect(answers.every((answer) => answer >= 0 && answer < Infinity)).toBe(true);
    }
    const [recent = 0, silent = 0] = purchases.subarray(PEOPLE.length);
    const [spend = 0, spendOfSilent = 0] = spends.subarray(PEOPLE.length);
    const [value = 0, valueOfSilent = 0] = values.subarray(PEOPLE.length);
    // Alike but for the last purchase, which was yesterday or five months ago.
    expect(recent).toBeGreaterThan(3 * silent);
    expect(value).toBeGreaterThan(3 * valueOfSilent);
    expect(spend).toBe(spendOfSilent);
    // A year is worth more than a month, and less than twelve of the first.
    expect(value).toBeGreaterThan(recent * spend);
    expect(value).toBeLessThan(12 * recent * spend);
  });

  it('job: with gaps it chooses k, and gaps all equal make it as regular as it can be', () => {
    const { purchases } = fitPurchases(inputOf(PEOPLE, { logGapSums: LOG_GAP_SUMS }));
    expect(purchases.model.isFirstDropoutPossible).toBe(true);
    expect(purchases.model.regularity).toBeGreaterThan(3);
  });

  it('job: nobody gives empty columns and models that say they know nothing', () => {
    const result = fitPurchases(inputOf([]));
    expect(result.expectedPurchases.byteLength + result.values.byteLength + result.expectedSpends.byteLength).toBe(0);
    expect([result.purchases.isReliable, result.spends.isReliable]).toEqual([false, false]);
  });

  it('job: people who bought once are expected to do so again hardly, and are worth nothing', () => {
    const result = fitPurchases(
      inputOf([
        [0, 0, 10, 0],
        [0, 0, 400, 0],
      ]),
    );
    expect([...new Float64Array(result.values)]).toEqual([0, 0]);
    for (const purchases of new Float64Array(result.expectedPurchases)) expect(purchases).toBeLessThan(0.01);
  });

  it.each([
    ['t_x after T', inputOf([[1, 3, 2, 1]]), /lastTimes\[0\] is 3/],
    ['negative spend', inputOf([[1, 1, 2, -1]]), /meanSpends\[0\] is -1/],
    [
      'columns of different length',
      inputOf(PEOPLE, { meanSpends: new SharedArrayBuffer(8) }),
      /meanSpends: 1 values for 150/,
    ],
    ['a negative horizon', inputOf(PEOPLE, { horizonTime: -1 }), /horizonTime -1/],
    ['no periods', inputOf(PEOPLE, { value: { periodTime: 1, periods: 0, discountRate: 0 } }), /periods 0/],
  ])('job: refuses %s by name', (_, input, message) => {
    expect(() => fitPurchases(input)).toThrow(message);
  });
});

describe.skipIf(!isBuilt)('fit purchases in the pool', () => {
  it('job: gives in a thread, bit for bit, what it gives here', async () => {
    const input = inputOf(PEOPLE.slice(0, 100));
    const [there, here] = [await pool.run('fitPurchases', input), fitPurchases(input)];
    expect(there.purchases).toEqual(here.purchases);
    expect(there.spends).toEqual(here.spends);
    expect(new Float64Array(there.values)).toEqual(new Float64Array(here.values));
  });

  it('job: what is wrong with the input arrives with its name', async () => {
    await expect(pool.run('fitPurchases', inputOf([[1, 3, 2, 1]]))).rejects.toThrow(/lastTimes\[0\] is 3/);
    await expect(pool.run('fitPurchases', inputOf([[1, 3, 2, 1]]))).rejects.toMatchObject({ name: 'RangeError' });
  });
});
