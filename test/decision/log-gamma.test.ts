import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { logBeta, logGamma } from '../../decision/log-gamma.ts';

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
