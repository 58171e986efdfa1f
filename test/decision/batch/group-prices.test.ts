import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gapLimitedPrices } from '../../../decision/batch/group-prices.ts';

const TWO = [
  { share: 0.5, intercept: 1, slope: 0.5 },
  { share: 0.5, intercept: 1, slope: 1 },
];

describe('gapLimitedPrices', () => {
  it.each([
    ['free', 1, [1, 0.5], 0.375],
    ['half the gap', 0.25, [0.83333, 0.58333], 0.364583],
    ['one price', 0, [0.66667, 0.66667], 0.33333],
    ['one price when the gap is negative', -1, [0.66667, 0.66667], 0.33333],
  ])('gapLimitedPrices: two equal groups, %s', (_, gap, expected, earned) => {
    const prices = new Float64Array(2);
    expect(gapLimitedPrices(TWO, 0, gap, prices)).toBeCloseTo(earned, 5);
    expected.forEach((price, i) => {
      expect(prices[i]).toBeCloseTo(price, 5);
    });
  });

  it('gapLimitedPrices: no grid of windows earns more, whoever is left out', () => {
    const group = fc.record({
      share: fc.double({ min: 0.05, max: 1, noNaN: true }),
      intercept: fc.double({ min: 0.2, max: 3, noNaN: true }),
      slope: fc.double({ min: 0.1, max: 3, noNaN: true }),
    });
    fc.assert(
      fc.property(
        fc.array(group, { minLength: 1, maxLength: 3 }),
        fc.double({ min: 0, max: 2, noNaN: true }),
        (groups, gap) => {
          const prices = new Float64Array(groups.length);
          const ours = gapLimitedPrices(groups, 0.1, gap, prices);
          expect(Math.max(...prices) - Math.min(...prices)).toBeLessThanOrEqual(gap + 1e-9);
          let best = 0;
          for (let m = 0; m < 16; m += 0.05) {
            let sum = 0;
            for (const { share, intercept, slope } of groups) {
              let most = 0;
              for (let k = 0; k <= 20; k++) {
                const price = m + (gap * k) / 20;
                most = Math.max(most, (price - 0.1) * Math.max(intercept - slope * price, 0));
              }
              sum += share * most;
            }
            best = Math.max(best, sum);
          }
          expect(ours).toBeGreaterThanOrEqual(best - 1e-9);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('gapLimitedPrices: 0 and no prices when there is no sound group', () => {
    const prices = new Float64Array(2);
    const broken = [
      { share: 0, intercept: 1, slope: 1 },
      { share: 1, intercept: Number.NaN, slope: 0 },
    ];
    expect(gapLimitedPrices(broken, 0, 1, prices)).toBe(0);
    expect([...prices]).toEqual([Number.NaN, Number.NaN]);
    expect(gapLimitedPrices([], 0, 1, new Float64Array(0))).toBe(0);
  });
});
