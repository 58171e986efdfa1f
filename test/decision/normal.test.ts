/**
 * The elementary functions against SciPy 1.17 (`scipy.special.ndtr`, `ndtri`), against the engine's own
 * Math within one unit in the last place, and pinned bit for bit by a checksum.
 */
import { describe, expect, it } from 'vitest';
import {
  exponential,
  FAST_CDF_RANGE,
  logit,
  naturalLogarithm,
  normalCdf,
  normalCdfFast,
  normalDensity,
  normalInverseCdf,
  sigmoid,
} from '../../decision/normal.ts';

const CDF_SCIPY: readonly (readonly [number, number])[] = [
  [-37, 5.7255712225239266e-300],
  [-20, 2.7536241186061556e-89],
  [-8, 6.22096057427174e-16],
  [-6.5, 4.016000583859088e-11],
  [-3, 0.0013498980316300933],
  [-1.5, 0.06680720126885807],
  [-0.5, 0.3085375387259869],
  [0, 0.5],
  [0.1, 0.539827837277029],
  [1, 0.8413447460685429],
  [1.96, 0.9750021048517795],
  [3, 0.9986501019683699],
  [6, 0.9999999990134123],
];

describe('normal', () => {
  it('exponential: within one ulp of Math.exp from the smallest subnormal to overflow', () => {
    for (let x = -745; x < 709.7; x += 0.173) {
      const expected = Math.exp(x);
      const ulp = Math.max(expected * 2.220446049250313e-16, 5e-324);
      expect(Math.abs(exponential(x) - expected)).toBeLessThanOrEqual(ulp);
    }
  });

  it('exponential: exact ends when x is 0, infinite, too small, too large or NaN', () => {
    expect(exponential(0)).toBe(1);
    expect(exponential(-0)).toBe(1);
    expect(exponential(-Infinity)).toBe(0);
    expect(exponential(-746)).toBe(0);
    expect(exponential(709.78)).toBeLessThan(Infinity);
    expect(exponential(709.79)).toBe(Infinity);
    expect(exponential(Infinity)).toBe(Infinity);
    expect(exponential(NaN)).toBeNaN();
  });

  it('naturalLogarithm: within one ulp of Math.log, subnormals included, and exact ends', () => {
    for (const scale of [5e-324, 1e-310, 1e-300, 1e-10, 0.7, 1, 1.4, 3, 1e10, 1e300]) {
      for (let step = 1; step < 200; step += 1) {
        const x = scale * (1 + step / 97);
        const expected = Math.log(x);
        expect(Math.abs(naturalLogarithm(x) - expected)).toBeLessThanOrEqual(Math.abs(expected) * 2.3e-16 + 1e-17);
      }
    }
    expect(naturalLogarithm(1)).toBe(0);
    expect(naturalLogarithm(0)).toBe(-Infinity);
    expect(naturalLogarithm(Infinity)).toBe(Infinity);
    expect(naturalLogarithm(-1)).toBeNaN();
    expect(naturalLogarithm(NaN)).toBeNaN();
  });

  it('sigmoid and logit: inverse of each other, and no overflow at either end', () => {
    for (let x = -30; x <= 30; x += 0.37) expect(logit(sigmoid(x))).toBeCloseTo(x, x > 15 ? 1 : 7);
    expect(sigmoid(-800)).toBe(0);
    expect(sigmoid(-700)).toBeGreaterThan(0);
    expect(sigmoid(800)).toBe(1);
    expect(logit(0)).toBe(-Infinity);
    expect(logit(1)).toBe(Infinity);
    expect(logit(1.1)).toBeNaN();
    expect(sigmoid(NaN)).toBeNaN();
  });

  it.each(CDF_SCIPY)('normalCdf: agrees with SciPy when x is %d', (x, expected) => {
    expect(Math.abs(normalCdf(x) - expected)).toBeLessThanOrEqual(1e-14);
    expect(Math.abs(normalCdf(x) / expected - 1)).toBeLessThanOrEqual(1e-8);
  });

  it('normalCdf: 0, 1 and NaN at infinity and NaN', () => {
    expect(normalCdf(-Infinity)).toBe(0);
    expect(normalCdf(Infinity)).toBe(1);
    expect(normalCdf(NaN)).toBeNaN();
    expect(normalDensity(0)).toBeCloseTo(0.3989422804014327, 15);
  });

  it('normalCdfFast: within 5e-8 of the accurate one everywhere, never outside [0, 1]', () => {
    let worst = 0;
    for (let x = -8; x <= 8; x += 0.00037) {
      const fast = normalCdfFast(x);
      expect(fast >= 0 && fast <= 1).toBe(true);
      worst = Math.max(worst, Math.abs(fast - normalCdf(x)));
    }
    expect(worst).toBeLessThanOrEqual(5e-8);
    expect(worst).toBeGreaterThan(1e-9); // the table is in use, not the accurate function
  });

  it('normalCdfFast: finite on both sides of the ends of its table', () => {
    // 6.499999999999999 + 6.5 rounds to 13, one cell past the last.
    expect(normalCdfFast(6.499999999999999)).toBeCloseTo(1, 9);
    expect(normalCdfFast(-6.499999999999999)).toBeCloseTo(0, 9);
    expect(normalCdfFast(FAST_CDF_RANGE)).toBe(1);
    expect(normalCdfFast(-FAST_CDF_RANGE)).toBe(0);
    expect(normalCdfFast(Infinity)).toBe(1);
    expect(normalCdfFast(-Infinity)).toBe(0);
  });

  it.each([
    [1e-300, -37.0470962993612],
    [1e-16, -8.222082216130435],
    [1e-10, -6.361340902404056],
    [1e-5, -4.264890793922825],
    [0.0249, -1.9616778690637864],
    [0.07499, -1.4396021182393162],
    [0.0751, -1.4388253927525403],
    [0.3, -0.5244005127080409],
    [0.7, 0.5244005127080407],
    [0.925, 1.4395314709384563],
    [0.975, 1.959963984540054],
    [0.9999999, 5.199337582290661],
  ])('normalInverseCdf: agrees with SciPy when p is %d', (p, expected) => {
    expect(normalInverseCdf(p)).toBeCloseTo(expected, 12);
  });

  it('normalInverseCdf: inverts normalCdf on both sides of both seams, and the ends are infinite', () => {
    for (const p of [1e-12, 1.38e-11, 1.4e-11, 0.07499, 0.075, 0.07501, 0.5, 0.92499, 0.925, 0.92501, 1 - 1e-9]) {
      expect(Math.abs(normalCdf(normalInverseCdf(p)) / p - 1)).toBeLessThan(1e-8);
    }
    expect(normalInverseCdf(0.5)).toBe(0);
    expect(normalInverseCdf(0)).toBe(-Infinity);
    expect(normalInverseCdf(1)).toBe(Infinity);
    expect(normalInverseCdf(-0.1)).toBeNaN();
    expect(normalInverseCdf(1.1)).toBeNaN();
    expect(normalInverseCdf(NaN)).toBeNaN();
  });

  it('golden bits: every function is bit-equal on every engine', () => {
    // FNV-1a over the big-endian bytes; recorded on Node 20 (x64). Another value on any engine is a defect.
    const bytes = new DataView(new ArrayBuffer(8));
    let hash = 0x811c9dc5;
    const fold = (x: number): void => {
      bytes.setFloat64(0, x);
      for (let at = 0; at < 8; at += 1) hash = Math.imul(hash ^ bytes.getUint8(at), 0x01000193) >>> 0;
    };
    for (let step = 0; step <= 4000; step += 1) {
      const x = (step - 2000) / 37;
      const p = (2 * step + 1) / 8002;
      fold(exponential(x));
      fold(naturalLogarithm(exponential(x)));
      fold(sigmoid(x));
      fold(normalCdf(x));
      fold(normalCdfFast(x / 8));
      fold(normalInverseCdf(p));
      fold(normalInverseCdf(p * 1e-9));
    }
    expect(hash).toBe(GOLDEN);
  });
});

const GOLDEN = 89371632;
