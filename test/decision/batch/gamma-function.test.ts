/** Golden values: SciPy 1.x `gammaln`, `gammainc`, `chi2.sf`; others by closed forms stated beside them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chiSquareTail, logBeta, logGamma, logGammaShare } from '../../../decision/batch/gamma-function.ts';

/** x, ln Gamma(x) by SciPy 1.17 `gammaln`. */
const GOLDEN = [
  [1e-300, 690.7755278982137],
  [1e-10, 23.025850929882733],
  [0.1, 2.252712651734206],
  [0.5, 0.5723649429247],
  [1, 0],
  [1.5, -0.12078223763524526],
  [2, 0],
  [2.5, 0.2846828704729192],
  [3.7, 1.428072326665388],
  [9.99, 12.779315214350195],
  [10, 12.801827480081469],
  [100, 359.1342053695754],
  [1e6, 12815504.569147611],
  [1e15, 3.3538776394910668e16],
  [1e300, 6.897755278982137e302],
] as const;

describe('logGamma', () => {
  it.each(GOLDEN)('logGamma: of %d is %d, as a second implementation has it', (x, expected) => {
    expect(Math.abs(logGamma(x) - expected)).toBeLessThanOrEqual(1e-14 + 4e-16 * Math.abs(expected));
  });

  it('logGamma: documented results at and beyond the ends', () => {
    expect([logGamma(0), logGamma(Infinity)]).toEqual([Infinity, Infinity]);
    expect([logGamma(-1), logGamma(Number.NaN)]).toEqual([Number.NaN, Number.NaN]);
  });

  it('logGamma: G(x + 1) = x G(x) for any x', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-6, max: 1e6, noNaN: true }), (x) => {
        const right = logGamma(x) + Math.log(x);
        expect(Math.abs(logGamma(x + 1) - right)).toBeLessThan(1e-13 + 4e-15 * Math.abs(right));
      }),
    );
  });

  it('logBeta: is symmetric and has its closed form for whole numbers', () => {
    expect(logBeta(2, 3)).toBeCloseTo(-Math.log(12), 13);
    expect(logBeta(0.3, 7)).toBe(logBeta(7, 0.3));
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
