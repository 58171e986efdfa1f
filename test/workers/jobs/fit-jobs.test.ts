/** The nightly fits as jobs: what they give from shared columns, and that a thread gives the same. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { IRIS } from '../../../bench/science/iris.ts';
import { NO_PRODUCT } from '../../../decision/batch/related-products.ts';
import { fitChurn } from '../../../workers/jobs/fit-churn.ts';
import { type FitRelatedInput, fitRelated, type ProductLists } from '../../../workers/jobs/fit-related.ts';
import { type FitSegmentsInput, fitSegments } from '../../../workers/jobs/fit-segments.ts';
import { JobPool } from '../../../workers/jobs/job-pool.ts';

const folder = pathToFileURL(`${resolve('dist/workers/jobs')}/`);
const isBuilt = existsSync(new URL('job-thread.js', folder));
if (!isBuilt) console.warn('fit jobs: threads skipped, dist/ is not built (node setup.mjs)');
const pool = new JobPool({ threads: 1, folder });
afterAll(() => pool.close());

function shared<Values extends Float64Array | Uint32Array | Uint8Array>(values: Values): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(values.byteLength);
  new Uint8Array(buffer).set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return buffer;
}

const listsOf = (lists: readonly (readonly number[])[]): ProductLists => {
  const starts = [0];
  for (const list of lists) starts.push((starts.at(-1) ?? 0) + list.length);
  return { products: shared(Uint32Array.from(lists.flat())), starts: shared(Uint32Array.from(starts)) };
};

const segmentsInput: FitSegmentsInput = {
  values: shared(IRIS),
  width: 4,
  method: { kind: 'kMeans', count: 3, seed: [1, 2], isScaled: false },
};
/** Person i buys camera 0, five days later tripod 1 if even, after 40 days book 2; and compares cameras 0 and 3. */
const relatedInput: FitRelatedInput = {
  products: 4,
  baskets: listsOf(Array.from({ length: 60 }, (_, i) => [[0], [1], [2]][i % 3] ?? [])),
  basketPersons: shared(Uint32Array.from({ length: 60 }, (_, i) => Math.floor(i / 3))),
  basketDays: shared(Float64Array.from({ length: 60 }, (_, i) => [0, 5, 45][i % 3] ?? 0)),
  viewed: listsOf(Array.from({ length: 20 }, () => [0, 3])),
  bought: listsOf(Array.from({ length: 20 }, (_, i) => [i % 2 === 0 ? 0 : 3])),
  perProduct: 2,
};
const churnInput = {
  values: shared(IRIS),
  width: 4,
  labels: shared(Uint8Array.from({ length: 150 }, (_, i) => Number(i >= 100))),
  seed: [1, 2],
} as const;

describe('fit jobs', () => {
  it('fitSegments: the segment of each row, by either method', () => {
    const { count, segmentOfRow, segments } = fitSegments(segmentsInput);
    expect(count).toBe(3);
    expect(segments?.inertia).toBeCloseTo(78.8514, 4);
    expect(new Set(segmentOfRow.subarray(0, 50)).size).toBe(1);
    const method = { kind: 'density', radius: 0.8, neighboursMin: 5 } as const;
    const density = fitSegments({ ...segmentsInput, method });
    // Setosa stand apart; the other two kinds touch.
    expect(density).toMatchObject({ count: 2, segments: null });
    expect([...density.segmentOfRow.subarray(50)]).not.toContain(density.segmentOfRow[0]);
  });

  it('fitChurn: the model and its cross-validated score', () => {
    const { model, crossValidated } = fitChurn(churnInput);
    expect(model).toMatchObject({ rows: 150, positives: 50, isConverged: true });
    expect(crossValidated.areaUnderCurve).toBeGreaterThan(0.95);
  });

  it('fitRelated: a next basket counts within its days, and of one person only', () => {
    const { related, baskets, sessions } = fitRelated(relatedInput);
    expect([baskets, sessions]).toEqual([60, 20]);
    expect([...related]).toEqual([1, ...new Array(7).fill(NO_PRODUCT)]);
    const long = fitRelated({ ...relatedInput, nextBasketDaysMax: 50 });
    expect([...long.related.subarray(2, 4)]).toEqual([2, NO_PRODUCT]);
  });

  it('fitRelated: nothing to count gives an empty table', () => {
    const none = listsOf([]);
    const empty = { ...relatedInput, baskets: none, viewed: none, bought: none };
    const [basketPersons, basketDays] = [new SharedArrayBuffer(0), new SharedArrayBuffer(0)];
    expect([...fitRelated({ ...empty, basketPersons, basketDays }).scores]).toEqual(new Array(8).fill(0));
  });

  it.each([
    ['persons too few', { basketPersons: new SharedArrayBuffer(4) }, /60 baskets, 1 persons, 60 days/],
    ['sessions that differ', { bought: listsOf([[0]]) }, /20 sessions viewed, 1 bought/],
    ['a product that is none', { products: 2 }, /is no product below 2/],
    ['lists without an end', { viewed: { ...listsOf([[0]]), starts: new SharedArrayBuffer(4) } }, /viewed: starts/],
    ['days of NaN', { nextBasketDaysMax: Number.NaN }, /nextBasketDaysMax NaN/],
  ])('fitRelated: refuses %s', (_, wrong, message) => {
    expect(() => fitRelated({ ...relatedInput, ...wrong })).toThrow(message);
  });

  it.skipIf(!isBuilt)('fit jobs: a thread gives what is given here, and its failures by name', async () => {
    expect(await pool.run('fitSegments', segmentsInput)).toEqual(fitSegments(segmentsInput));
    expect(await pool.run('fitChurn', churnInput)).toEqual(fitChurn(churnInput));
    expect(await pool.run('fitRelated', relatedInput)).toEqual(fitRelated(relatedInput));
    await expect(pool.run('fitRelated', { ...relatedInput, perProduct: 0 })).rejects.toMatchObject({
      name: 'RangeError',
      message: expect.stringContaining('perProduct 0'),
    });
  });
});
