import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { normalCdf, normalDensity } from '../../decision/normal.ts';
import {
  DUE_FACTOR_MAX,
  dueFactor,
  expectedLogGap,
  GAP_SLOTS,
  logGapBetween,
  logGapDeviation,
} from '../../decision/purchase-due.ts';

const DAY = 86_400_000;
const NOBODY = new Float64Array(GAP_SLOTS);
const anything = fc.oneof(
  fc.double(),
  fc.constantFrom(0, -1, Number.NaN, Infinity, -Infinity, 8.64e15, -8.64e15, 1e-300),
);

describe('purchase due', () => {
  it('logGapBetween: days between two occasions; none when closer than an hour, backwards or not finite', () => {
    expect(logGapBetween(0, DAY)).toBeCloseTo(0, 12);
    expect(logGapBetween(0, 7 * DAY)).toBeCloseTo(Math.log(7), 12);
    expect(logGapBetween(0, 3_600_000)).toBeCloseTo(Math.log(1 / 24), 12);
    for (const at of [3_599_999, 0, -DAY, Number.NaN, Infinity]) expect(logGapBetween(0, at)).toBeNaN();
  });

  it('expectedLogGap: a month of nobody, everybody of a new person, their own once they have bought often', () => {
    expect(expectedLogGap(0, 0, NOBODY)).toBeCloseTo(Math.log(30), 9);
    const everybody = Float64Array.of(990, 990 * Math.log(7), 990 * Math.log(7) ** 2);
    const mean = (990 * Math.log(7) + 10 * Math.log(30)) / 1000;
    expect(expectedLogGap(1, 0, everybody)).toBeCloseTo(mean, 9);
    let decayed = 0;
    for (let n = 0; n < 100; n++) decayed = 0.9 * decayed + Math.log(3);
    // 100 gaps of 3 days weigh (1 - .9^100) / .1 = 10, everybody 1.
    const weight = (1 - 0.9 ** 100) / 0.1;
    expect(expectedLogGap(101, decayed, everybody)).toBeCloseTo((weight * Math.log(3) + mean) / (weight + 1), 9);
  });

  it('logGapDeviation: the prior of nobody; of many what their gaps say, between its bounds', () => {
    expect(logGapDeviation(NOBODY)).toBeCloseTo(1, 12);
    const gaps = [2, 5, 7, 9, 40].map(Math.log);
    const totals = new Float64Array(GAP_SLOTS);
    for (let n = 0; n < 20_000; n++) {
      const x = gaps[n % 5] as number; // five
      totals[0] = (totals[0] as number) + 1; // GAP_SLOTS long
      totals[1] = (totals[1] as number) + x; // likewise
      totals[2] = (totals[2] as number) + x * x; // likewise
    }
    const mean = gaps.reduce((a, b) => a + b) / 5;
    expect(logGapDeviation(totals)).toBeCloseTo(Math.sqrt(gaps.reduce((a, x) => a + (x - mean) ** 2, 0) / 5), 2);
    expect(logGapDeviation(Float64Array.of(1e9, 0, 0))).toBeCloseTo(0.1, 3);
    expect(logGapDeviation(Float64Array.of(1, 1, 1e300))).toBe(3);
    // Rounding must not make a root of something negative.
    expect(logGapDeviation(Float64Array.of(1e9, 1e9, 1e9 - 1e3))).toBeGreaterThanOrEqual(0.1);
  });

  it('dueFactor: the log-normal hazard over its mean rate, shrunk by two repeats', () => {
    for (const [days, m, purchases] of [
      [7, Math.log(7), 9],
      [3, Math.log(7), 3],
      [14, Math.log(7), 30],
    ] as const) {
      const z = (Math.log(days) - m) / 0.7;
      const ratio = (normalDensity(z) / normalCdf(-z) / (0.7 * days)) * Math.exp(m + 0.245);
      const bounded = Math.min(Math.max(ratio, 0.5), 2);
      const repeats = purchases - 1;
      expect(dueFactor(days * DAY, m, 0.7, purchases)).toBeCloseTo((repeats * bounded + 2) / (repeats + 2), 9);
    }
  });

  it('dueFactor: low right after a purchase, raised around the usual gap, 1 without a repeat', () => {
    const m = Math.log(7);
    expect(dueFactor(DAY, m, 0.7, 20)).toBeLessThan(0.7);
    expect(dueFactor(7 * DAY, m, 0.7, 20)).toBeGreaterThan(1.3);
    expect(dueFactor(300 * DAY, m, 0.7, 20)).toBeLessThan(1);
    expect([dueFactor(7 * DAY, m, 0.7, 1), dueFactor(7 * DAY, m, 0.7, 0)]).toEqual([1, 1]);
  });

  it('dueFactor: within its bounds and never NaN, whatever arrives', () => {
    fc.assert(
      fc.property(
        anything,
        anything,
        fc.double({ min: 0.1, max: 3, noNaN: true }),
        anything,
        (silence, logGap, s, purchases) => {
          const factor = dueFactor(silence, logGap, s, purchases);
          expect(factor).toBeGreaterThanOrEqual(1 / DUE_FACTOR_MAX);
          expect(factor).toBeLessThanOrEqual(DUE_FACTOR_MAX);
        },
      ),
      {
        numRuns: 2_000,
        examples: [[747754858138324000000, 8640000000000000, 2.999999999999999, 1.7976931348623095e308]],
      },
    );
  });
});
