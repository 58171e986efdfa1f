/** Golden values: SciPy 1.x `gammaln`, `gammainc`, `chi2.sf`; others by closed forms stated beside them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chiSquareTail, logGamma, logGammaShare } from '../../decision/gamma-function.ts';

describe('logGamma', () => {
  it.each([
    [1e-300, 690.7755278982137],
    [0.3, 1.0957979948180756],
    [1, 0],
    [2, 0],
    [0.5, 0.5723649429247001],
    [10.5, 13.940625219403763],
    [100, 359.1342053695754],
    [1e12, 26631021115915.652],
  ])('logGamma: of %s', (a, expected) => {
    expect(Math.abs(logGamma(a) - expected)).toBeLessThan(1e-13 * Math.max(1, Math.abs(expected)));
  });

  it('logGamma: the factorial of whole numbers', () => {
    let sum = 0;
    for (let n = 1; n < 100; n += 1) {
      sum += Math.log(n);
      expect(logGamma(n + 1)).toBeCloseTo(sum, 10);
    }
  });

  it('logGamma: at the ends', () => {
    expect([logGamma(0), logGamma(Infinity), logGamma(-1), logGamma(Number.NaN)]).toEqual([
      Infinity,
      Infinity,
      Number.NaN,
      Number.NaN,
    ]);
  });
});

describe('logGammaShare', () => {
  it('logGammaShare: whole shapes are a sum of Poisson terms', () => {
    for (const [a, x] of [
      [1, 0.001],
      [2, 3],
      [5, 4.9],
      [5, 20],
    ] as const) {
      let rest = 0;
      let term = Math.exp(-x);
      for (let i = 0; i < a; i += 1, term *= x / i) rest += term;
      expect(logGammaShare(a, x)).toBeCloseTo(Math.log(1 - rest), 9);
    }
  });

  it('logGammaShare: half a chi-square', () => {
    // P(1/2, x) = 2 Phi(sqrt(2x)) - 1; Phi(1) and Phi(3) of tables.
    expect(Math.exp(logGammaShare(0.5, 0.5))).toBeCloseTo(0.6826894921370859, 12);
    expect(Math.exp(logGammaShare(0.5, 4.5))).toBeCloseTo(0.9973002039367398, 12);
  });

  it('logGammaShare: within [−Infinity, 0] and growing in x, for any shape', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1e-6, max: 1e4, noNaN: true }),
        fc.double({ min: 0, max: 1e5, noNaN: true }),
        fc.double({ min: 0, max: 100, noNaN: true }),
        (a, x, more) => {
          const share = logGammaShare(a, x);
          expect(share <= 0).toBe(true);
          expect(logGammaShare(a, x + more)).toBeGreaterThanOrEqual(share - 1e-9 * Math.max(1, Math.abs(share)));
        },
      ),
    );
    expect([logGammaShare(1, 0), logGammaShare(1, Infinity)]).toEqual([-Infinity, 0]);
    expect(logGammaShare(0, 1)).toBeNaN();
    expect(logGammaShare(1, -1)).toBeNaN();
  });
});

describe('chiSquareTail', () => {
  it.each([
    [3.841458820694124, 1, 0.05],
    [10.827566170662733, 1, 0.001],
    [13.815510557964274, 2, 0.001],
    [7.814727903251179, 3, 0.05],
    [18.307038053275146, 10, 0.05],
    [30, 5, 1.474736e-5],
  ])('chiSquareTail: %s with %s degrees is %s', (x, degrees, expected) => {
    expect(chiSquareTail(x, degrees)).toBeCloseTo(expected, 8);
  });

  it('chiSquareTail: at the ends and beyond', () => {
    expect([chiSquareTail(0, 3), chiSquareTail(-1, 3), chiSquareTail(Number.NaN, 3), chiSquareTail(5, 0)]).toEqual([
      1, 1, 1, 1,
    ]);
    expect([chiSquareTail(1e6, 1), chiSquareTail(1e6, 4), chiSquareTail(Infinity, 7)]).toEqual([0, 0, 0]);
  });
});
