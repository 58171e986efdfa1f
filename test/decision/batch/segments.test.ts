import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IRIS } from '../../../bench/science/iris.ts';
import { fitSegments, inertiaOf, learnSegments, type Segments, segmentOf } from '../../../decision/batch/segments.ts';
import { drawNormal } from '../../../decision/random.ts';

const seed = [1, 2] as const;

/** `perGroup` people around each of four corners of a square of side 10, deviation 1. */
function corners(perGroup: number, subject = 0): Float64Array {
  return Float64Array.from({ length: perGroup * 8 }, (_, i) => {
    const group = Math.floor(i / 2) % 4;
    const corner = i % 2 === 0 ? group & 1 : group >> 1;
    return 10 * corner + drawNormal(77, subject, i, 0);
  });
}

/** The definition, without any shortcut: squared distance of everybody to the nearest centre. */
function slowInertia(values: Float64Array, centres: Float64Array, width: number): number {
  let sum = 0;
  for (let i = 0; i < values.length; i += width) {
    const distances = [];
    for (let j = 0; j < centres.length; j += width)
      distances.push([...values.subarray(i, i + width)].reduce((s, x, c) => s + (x - (centres[j + c] ?? 0)) ** 2, 0));
    sum += Math.min(...distances);
  }
  return sum;
}

describe('fitSegments', () => {
  it('fitSegments: inertia is the sum of squared distances, and every centre is the mean of its people', () => {
    const table = { values: IRIS, width: 4 };
    const fit = fitSegments(table, { count: 3, seed, isScaled: false });
    expect(fit.isConverged).toBe(true);
    expect(fit.inertia).toBeCloseTo(slowInertia(IRIS, fit.centres, 4), 9);
    expect(inertiaOf(fit, table)).toBeCloseTo(fit.inertia, 9);
    const sums = new Float64Array(12);
    for (let i = 0; i < 150; i += 1) {
      const row = IRIS.subarray(4 * i, 4 * i + 4);
      const segment = segmentOf(fit, row);
      for (let c = 0; c < 4; c += 1) sums[4 * segment + c] = (sums[4 * segment + c] ?? 0) + (row[c] ?? 0);
    }
    for (let i = 0; i < 12; i += 1)
      expect((sums[i] ?? 0) / (fit.weights[Math.floor(i / 4)] ?? 0)).toBeCloseTo(fit.centres[i] ?? Number.NaN, 9);
    expect([...fit.weights].sort((a, b) => a - b)).toEqual([38, 50, 62]);
  });

  it('fitSegments: in units of deviations a column in pence weighs what it weighs in pounds', () => {
    const pence = IRIS.map((x, i) => (i % 4 === 2 ? 100 * x : x));
    const options = { count: 3, seed };
    const scaledFit = fitSegments({ values: pence, width: 4 }, options);
    expect(scaledFit.inertia).toBeCloseTo(fitSegments({ values: IRIS, width: 4 }, options).inertia, 6);
    // By a separate NumPy program, and as scikit-learn has it: 139.82.
    expect(scaledFit.inertia).toBeCloseTo(139.82, 2);
  });

  it('fitSegments: one seed gives one result, and more starts are never worse', () => {
    const table = { values: corners(30), width: 2 };
    const one = fitSegments(table, { count: 6, seed, restarts: 1 });
    expect(fitSegments(table, { count: 6, seed, restarts: 1 })).toEqual(one);
    expect(fitSegments(table, { count: 6, seed, restarts: 20 }).inertia).toBeLessThanOrEqual(one.inertia);
  });

  it('fitSegments: mini-batches alone find four groups within 5 % of the full fit', () => {
    const table = { values: corners(250), width: 2 };
    const full = fitSegments(table, { count: 4, seed });
    const batches = { count: 4, seed, batches: 60, batchRows: 200, passesMax: 0, restarts: 3 };
    const mini = fitSegments(table, batches);
    expect(mini.passes).toBe(0);
    expect(mini.inertia).toBeLessThan(1.05 * full.inertia);
    expect(mini.inertia).toBeGreaterThanOrEqual(full.inertia - 1e-9);
  });

  it('fitSegments: fewer different people than segments give a segment each', () => {
    const fit = fitSegments({ values: Float64Array.of(1, 1, 1, 2, 2, 5), width: 1 }, { count: 5, seed });
    expect(fit.count).toBe(3);
    expect(fit.inertia).toBeCloseTo(0, 20);
    expect([...fit.weights].sort()).toEqual([1, 2, 3]);
  });

  it('fitSegments: nobody gives no segment, equal people one', () => {
    const none = fitSegments({ values: new Float64Array(0), width: 2 }, { count: 3, seed });
    expect(none).toMatchObject({ count: 0, inertia: 0, isConverged: true });
    expect(segmentOf(none, Float64Array.of(1, 2))).toBe(-1);
    learnSegments(none, Float64Array.of(1, 2));
    expect(fitSegments({ values: new Float64Array(8).fill(3), width: 2 }, { count: 3, seed }).count).toBe(1);
  });

  it('fitSegments: whatever is finite gives finite centres, and everybody a segment', () => {
    const value = fc.oneof(fc.double({ min: -1e100, max: 1e100, noNaN: true }), fc.constantFrom(0, 1, -1, 1e100));
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.array(value, { maxLength: 30 }),
        fc.integer({ min: 1, max: 5 }),
        (width, all, count) => {
          const values = Float64Array.from(all.slice(0, all.length - (all.length % width)));
          const fit = fitSegments({ values, width }, { count, seed, restarts: 2 });
          expect([...fit.centres, fit.inertia].every(Number.isFinite)).toBe(true);
          expect(fit.weights.reduce((a, b) => a + b, 0)).toBe(values.length / width);
          for (let i = 0; i < values.length; i += width) {
            const segment = segmentOf(fit, values.subarray(i, i + width));
            expect(segment >= 0 && segment < fit.count).toBe(true);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  const table = { values: Float64Array.of(1, 2), width: 1 };
  it.each([
    ['no segment', { count: 0, seed }, /count 0/],
    ['257 segments', { count: 257, seed }, /count 257/],
    ['half a segment', { count: 1.5, seed }, /count 1.5/],
    ['NaN starts', { count: 1, seed, restarts: Number.NaN }, /restarts NaN/],
    ['negative passes', { count: 1, seed, passesMax: -1 }, /passesMax -1/],
    ['a batch of nobody', { count: 1, seed, batchRows: 0 }, /batchRows 0/],
  ])('fitSegments: refuses %s', (_, options, message) => {
    expect(() => fitSegments(table, options)).toThrow(message);
  });
});

describe('learnSegments', () => {
  const fitted = (): Segments => fitSegments({ values: corners(50), width: 2 }, { count: 4, seed });

  it('learnSegments: a batch moves its nearest centre to the mean of all it has seen', () => {
    const fit = fitSegments({ values: Float64Array.of(0, 2, 100, 102), width: 1 }, { count: 2, seed, isScaled: false });
    const low = segmentOf(fit, Float64Array.of(0));
    learnSegments(fit, Float64Array.of(4, 6));
    expect(fit.centres[low]).toBeCloseTo((0 + 2 + 4 + 6) / 4, 12);
    expect(fit.centres[1 - low]).toBe(101);
    expect(fit.weights[low]).toBe(4);
  });

  it('learnSegments: the order of a batch within the stream matters little on people like those fitted', () => {
    const fit = fitted();
    const before = inertiaOf(fit, { values: corners(50, 1), width: 2 });
    for (let batch = 0; batch < 20; batch += 1) learnSegments(fit, corners(50, 10 + batch));
    expect(inertiaOf(fit, { values: corners(50, 1), width: 2 })).toBeLessThan(1.05 * before);
  });

  it('learnSegments: with a memory centres follow people who move, without one they lag', () => {
    const [short, long] = [fitted(), fitted()];
    const moved = (batch: number): Float64Array => corners(50, batch).map((x) => x + 3);
    for (let batch = 0; batch < 5; batch += 1) {
      learnSegments(short, moved(batch), 60);
      learnSegments(long, moved(batch));
    }
    const now = { values: moved(9), width: 2 };
    expect(inertiaOf(short, now)).toBeLessThan(inertiaOf(long, now));
  });

  it('learnSegments: NaN and infinities leave finite centres', () => {
    const fit = fitted();
    learnSegments(fit, Float64Array.of(Number.NaN, Number.NaN, Infinity, -Infinity));
    expect([...fit.centres].every(Number.isFinite)).toBe(true);
    expect(() => learnSegments(fit, Float64Array.of(1))).toThrow(/no rows of 2/);
    expect(() => learnSegments(fit, Float64Array.of(1, 2), 0)).toThrow(/memory 0/);
  });
});
