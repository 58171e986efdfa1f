import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectedPurchases, type PurchaseModel } from '../../../decision/batch/purchase-model.ts';
import { checkValueHorizon, customerValue, expectedSpend, fitSpendModel } from '../../../decision/batch/spend-model.ts';

/** Published for CDNOW. */
const SPEND = { p: 6.25, q: 3.74, v: 15.44 };
const PURCHASES: PurchaseModel = {
  regularity: 1,
  isFirstDropoutPossible: false,
  r: 0.243,
  alpha: 4.414,
  a: 0.793,
  b: 2.426,
};

const columns = (people: readonly (readonly [x: number, z: number])[]): [Float64Array, Float64Array] => [
  Float64Array.from(people, ([x]) => x),
  Float64Array.from(people, ([, z]) => z),
];

describe('fitSpendModel', () => {
  it('fit: nobody who spent gives a model that expects nothing of new people', () => {
    for (const people of [[], [[0, 0]], [[0, 5]], [[3, 0]]] as const) {
      const fit = fitSpendModel(...columns(people));
      expect(fit).toEqual({ model: { p: 1, q: 2, v: 0 }, logLikelihood: 0, persons: 0, isReliable: false });
      expect(expectedSpend(fit.model, 0, 0)).toBe(0);
    }
  });

  it('fit: equal spends are expected of everybody', () => {
    const { model, isReliable } = fitSpendModel(...columns(Array.from({ length: 30 }, () => [3, 20])));
    expect(isReliable).toBe(false);
    expect(expectedSpend(model, 0, 0)).toBeCloseTo(20, 0);
    expect(expectedSpend(model, 3, 20)).toBeCloseTo(20, 1);
  });

  it('fit: another unit of money changes v only', () => {
    const people = Array.from({ length: 60 }, (_, i) => [1 + (i % 4), 5 + ((i * 37) % 23)] as const);
    const dollars = fitSpendModel(...columns(people)).model;
    const cents = fitSpendModel(...columns(people.map(([x, z]) => [x, 100 * z] as const))).model;
    expect(expectedSpend(cents, 2, 1200) / 100).toBeCloseTo(expectedSpend(dollars, 2, 12), 2);
  });

  it('fit: finite parameters and expectations for whatever spends', () => {
    const person = fc.tuple(
      fc.nat(1000),
      fc.oneof(fc.constant(0), fc.double({ min: 1e-300, max: 1e300, noNaN: true })),
    );
    fc.assert(
      fc.property(fc.array(person, { maxLength: 10 }), (people) => {
        const { model } = fitSpendModel(...columns(people));
        expect(model.p > 0 && model.q > 1 && model.v >= 0).toBe(true);
        for (const [x, z] of [[0, 0], [1, 10], ...people] as const) {
          const spend = expectedSpend(model, x, z);
          expect(spend >= 0 && spend < Infinity).toBe(true);
        }
      }),
      { numRuns: 60, seed: 5 },
    );
  });

  it.each([
    ['negative spend', [[1, -2]], /meanSpends\[0\] is -2: must be finite and at least 0/],
    [
      'NaN',
      [
        [0, Number.NaN],
        [1, Number.NaN],
      ],
      /meanSpends\[1\] is NaN/,
    ],
    ['endless spend', [[1, Infinity]], /meanSpends\[0\] is Infinity/],
    ['half a purchase', [[0.5, 1]], /repeatCounts\[0\] is 0.5/],
  ] as const)('fit: refuses %s by name', (_, people, message) => {
    expect(() => fitSpendModel(...columns(people))).toThrow(message);
    expect(() => fitSpendModel(...columns(people))).toThrow(RangeError);
  });

  it('fit: refuses columns of different length', () => {
    expect(() => fitSpendModel(new Float64Array(1), new Float64Array(2))).toThrow(/meanSpends: 2 values for 1/);
  });
});

describe('expectedSpend', () => {
  it("expected spend: everybody's mean without purchases, the formula with, the person's own in the end", () => {
    expect(expectedSpend(SPEND, 0, 999)).toBeCloseTo((6.25 * 15.44) / 2.74, 10);
    expect(expectedSpend(SPEND, 2, 22.35)).toBeCloseTo((6.25 * (15.44 + 2 * 22.35)) / (6.25 * 2 + 2.74), 10);
    expect(expectedSpend(SPEND, 1e9, 22.35)).toBeCloseTo(22.35, 6);
  });
});

describe('customerValue', () => {
  const person = { x: 2, lastTime: 30.43, observedTime: 38.86, meanSpend: 22.35 };
  const spend = expectedSpend(SPEND, 2, 22.35);
  const to = (weeks: number): number => expectedPurchases(PURCHASES, 2, 30.43, 38.86, weeks);

  it('value: without interest, spend times purchases', () => {
    const value = customerValue(PURCHASES, SPEND, person, { periodTime: 13, periods: 3, discountRate: 0 });
    expect(value).toBeCloseTo(spend * 1.226, 1);
    expect(value).toBe(spend * to(39));
  });

  it('value: with interest, each period paid at its end', () => {
    const value = customerValue(PURCHASES, SPEND, person, { periodTime: 4, periods: 2, discountRate: 0.25 });
    expect(value).toBeCloseTo(spend * (to(4) / 1.25 + (to(8) - to(4)) / 1.5625), 10);
  });

  it.each([
    [{ periodTime: 0, periods: 1, discountRate: 0 }, /periodTime 0/],
    [{ periodTime: Number.NaN, periods: 1, discountRate: 0 }, /periodTime NaN/],
    [{ periodTime: 1, periods: 0, discountRate: 0 }, /periods 0/],
    [{ periodTime: 1, periods: 1.5, discountRate: 0 }, /periods 1.5/],
    [{ periodTime: 1, periods: 1, discountRate: -0.1 }, /discountRate -0.1/],
  ])('value horizon: refuses %j', (horizon, message) => {
    expect(() => checkValueHorizon(horizon)).toThrow(message);
  });
});
