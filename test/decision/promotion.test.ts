import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { choosePromotion, type PromotedProduct, type Promotion, promotionMargin } from '../../decision/promotion.ts';
import { drawUniform } from '../../decision/random.ts';

function productOf(overrides: Partial<PromotedProduct> = {}): PromotedProduct {
  return {
    priceMinor: 1000,
    listMinor: 1000,
    costMinor: 500,
    floorMinor: 550,
    demand: { base: Math.log(0.8), elasticity: 2 },
    ...overrides,
  };
}
const choice = { promotion: 0, expectedMargin: 0, plainMargin: 0 };
function chosen(product: PromotedProduct, promotions: readonly Promotion[]): number {
  choosePromotion(product, promotions, choice);
  return choice.promotion;
}
/** Poisson by inversion; purpose 98 belongs to this test. */
function poisson(rate: number, seed: number, subject: number): number {
  const uniform = drawUniform(seed, 6, subject, 98);
  let term = Math.exp(-rate);
  let sum = term;
  let n = 0;
  while (uniform > sum && n < 100) {
    n++;
    term *= rate / n;
    sum += term;
  }
  return n;
}
function thinned(n: number, share: number, seed: number, subject: number): number {
  let kept = 0;
  for (let i = 0; i < n; i++) if (drawUniform(seed, i, subject, 99) < share) kept++;
  return kept;
}

describe('promotions', () => {
  it('percentage and amount: what the demand curve says at the lower price', () => {
    const product = productOf();
    expect(promotionMargin(product, { kind: 'percentage', basisPoints: 2000 })).toBeCloseTo(0.8 * 0.8 ** -2 * 300, 9);
    expect(promotionMargin(product, { kind: 'amount', amountMinor: 100 })).toBeCloseTo(0.8 * 0.9 ** -2 * 400, 9);
  });

  it('buy 2 get 1: the mean of 40,000 simulated quotes within 5 standard errors', () => {
    const product = productOf({ demand: { base: Math.log(1.5), elasticity: 2.5 } });
    const rate = 1.5 * (2 / 3) ** -2.5;
    const kept = 1.5 / rate;
    let sum = 0;
    let squares = 0;
    const runs = 40_000;
    for (let seed = 0; seed < runs; seed++) {
      const n = poisson(rate, seed, 1);
      const sets = Math.floor(n / 3);
      const margin = sets * (2000 - 1500) + thinned(n - sets * 3, kept, seed, 2) * 500;
      sum += margin;
      squares += margin * margin;
    }
    const mean = sum / runs;
    const error = Math.sqrt((squares / runs - mean * mean) / runs);
    const ours = promotionMargin(product, { kind: 'buyGet', buy: 2, free: 1 });
    expect(Math.abs(ours - mean)).toBeLessThan(5 * error);
  });

  it('bundle: the mean of 40,000 simulated quotes within 5 standard errors', () => {
    const one = productOf();
    const other = productOf({ priceMinor: 400, listMinor: 400, costMinor: 150, floorMinor: 150 });
    const share = 1150 / 1400;
    const rate = 0.8 * share ** -2;
    let sum = 0;
    let squares = 0;
    const runs = 40_000;
    for (let seed = 0; seed < runs; seed++) {
      const [m, n] = [poisson(rate, seed, 1), poisson(rate, seed, 2)];
      const pairs = Math.min(m, n);
      const margin =
        pairs * (1150 - 650) +
        thinned(m - pairs, share ** 2, seed, 3) * 500 +
        thinned(n - pairs, share ** 2, seed, 4) * 250;
      sum += margin;
      squares += margin * margin;
    }
    const mean = sum / runs;
    const error = Math.sqrt((squares / runs - mean * mean) / runs);
    const ours = promotionMargin(one, { kind: 'bundle', bundleMinor: 1150, other }) + 0.8 * 250;
    expect(Math.abs(ours - mean)).toBeLessThan(5 * error);
  });

  it('none wins when demand hardly answers to the price; the best discount when it does', () => {
    const offers: Promotion[] = [
      { kind: 'percentage', basisPoints: 1000 },
      { kind: 'percentage', basisPoints: 3000 },
      { kind: 'amount', amountMinor: 150 },
      { kind: 'buyGet', buy: 2, free: 1 },
    ];
    expect(chosen(productOf({ demand: { base: -1, elasticity: 1.2 } }), offers)).toBe(-1);
    expect(choice.expectedMargin).toBe(choice.plainMargin);
    // Lerner: 500 x 4 / 3 = 667; the nearest offer is 700.
    expect(chosen(productOf({ demand: { base: -1, elasticity: 4 } }), offers)).toBe(1);
    // Many wanted and a little elastic: sets sell units that a price cut would have sold at a discount to all.
    expect(
      chosen(productOf({ costMinor: 100, floorMinor: 100, demand: { base: 1.2, elasticity: 2.6 } }), offers),
    ).not.toBe(-1);
  });

  it('a promotion that would sell below the floor, or saves nothing, is passed over', () => {
    const product = productOf({ floorMinor: 900 });
    const other = productOf({ priceMinor: 400, floorMinor: 300 });
    for (const promotion of [
      { kind: 'percentage', basisPoints: 1100 },
      { kind: 'percentage', basisPoints: 0 },
      { kind: 'percentage', basisPoints: 10_000 },
      { kind: 'amount', amountMinor: 101 },
      { kind: 'amount', amountMinor: -5 },
      { kind: 'buyGet', buy: 5, free: 1 },
      { kind: 'buyGet', buy: 0, free: 1 },
      { kind: 'buyGet', buy: 20, free: 20 },
      { kind: 'bundle', bundleMinor: 1199, other },
      { kind: 'bundle', bundleMinor: 1400, other },
    ] as const) {
      expect(promotionMargin(product, promotion)).toBeNaN();
      expect(chosen(product, [promotion])).toBe(-1);
    }
    expect(promotionMargin(product, { kind: 'percentage', basisPoints: 1000 })).toBeGreaterThan(0);
  });

  it('the choice is never NaN, and never below no promotion, when numbers are hostile', () => {
    const number = fc.oneof(fc.double(), fc.constantFrom(0, 1, 1e12, 1e15, -1, Number.NaN, Infinity, -Infinity));
    const product = fc.record({
      priceMinor: number,
      listMinor: number,
      costMinor: number,
      floorMinor: number,
      demand: fc.record({ base: fc.double({ noNaN: true }), elasticity: fc.double({ min: -9, max: 20, noNaN: true }) }),
    });
    const promotion = fc.oneof(
      fc.record({ kind: fc.constant('percentage' as const), basisPoints: number }),
      fc.record({ kind: fc.constant('amount' as const), amountMinor: number }),
      fc.record({ kind: fc.constant('buyGet' as const), buy: number, free: number }),
      fc.record({ kind: fc.constant('bundle' as const), bundleMinor: number, other: product }),
    );
    fc.assert(
      fc.property(product, fc.array(promotion, { maxLength: 5 }), (one, promotions) => {
        choosePromotion(one, promotions, choice);
        expect(Number.isFinite(choice.plainMargin)).toBe(true);
        expect(Number.isFinite(choice.expectedMargin)).toBe(true);
        expect(choice.expectedMargin).toBeGreaterThanOrEqual(choice.plainMargin);
      }),
      { numRuns: 2000 },
    );
  });
});
