import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addQuote, addSale, dayOf, EVIDENCE_SLOTS } from '../../decision/demand-evidence.ts';
import { fitDemand } from '../../decision/demand-fit.ts';
import { DEMAND_SLOTS } from '../../decision/demand-model.ts';
import {
  boundPrice,
  choosePrice,
  createPriceInput,
  createPriceResult,
  PRICE_BOUND,
  PRICE_MINOR_MAX,
  type PriceInput,
} from '../../decision/price.ts';
import { drawUniform } from '../../decision/random.ts';

const NOON = 1_781_092_800_000;

/** The sample catalog's espresso. */
function inputOf(overrides: Partial<PriceInput> = {}): PriceInput {
  const state = new Float64Array(DEMAND_SLOTS);
  fitDemand(new Float64Array(EVIDENCE_SLOTS), 0, 0, 60, state, 0);
  return {
    ...createPriceInput(),
    state,
    listMinor: 12_900,
    floorMinor: 9_900,
    ceilingMinor: 13_900,
    costMinor: 8_000,
    stepMinor: 100,
    seed0: 1,
    seed1: 2,
    subjectHash: 3,
    ...overrides,
  };
}

const out = createPriceResult();

function priceAt(elasticity: number, overrides: Partial<PriceInput> = {}, factor = 1): number {
  boundPrice(inputOf(overrides), elasticity, factor, out);
  return out.priceMinor;
}

describe('boundPrice', () => {
  const WIDE = { floorMinor: 0, ceilingMinor: 1e9, stepMinor: 1 };

  it.each([
    ['the margin optimum c e / (e - 1)', 3, WIDE, 12_000, 0],
    ['the ceiling when demand is inelastic', 1, {}, 13_900, 0],
    ['the ceiling when elasticity was drawn negative', -0.5, {}, 13_900, 0],
    ['the ceiling when elasticity is NaN', Number.NaN, {}, 13_900, 0],
    ['the floor when the optimum is below it', 9, {}, 9_900, PRICE_BOUND.floor],
    ['cost plus margin when that is higher', 9, { marginBasisPointsMin: 5_000 }, 12_000, PRICE_BOUND.margin],
    ['the ceiling when the optimum is above it', 1.5, {}, 13_900, PRICE_BOUND.ceiling],
    ['the list price when capped at it', 1.5, { isCappedAtList: true }, 12_900, PRICE_BOUND.list],
    ['the nearest step', 3, { ...WIDE, stepMinor: 500, costMinor: 8_100 }, 12_000, PRICE_BOUND.step],
    ['the even multiple when halfway', 3, { ...WIDE, stepMinor: 500, costMinor: 8_166 }, 12_000, PRICE_BOUND.step],
    [
      'the even multiple above when halfway',
      2,
      { ...WIDE, stepMinor: 500, costMinor: 6_375 },
      13_000,
      PRICE_BOUND.step,
    ],
    [
      'the step inside when the nearest is outside',
      1.5,
      { ceilingMinor: 13_880 },
      13_800,
      PRICE_BOUND.ceiling | PRICE_BOUND.step,
    ],
    ['on the grid that begins at the floor', 3, { floorMinor: 9_930 }, 12_030, PRICE_BOUND.step],
    [
      'a whole number when the grid has no price inside',
      3,
      { floorMinor: 9_910, ceilingMinor: 9_990, costMinor: 9_950 },
      9_990,
      PRICE_BOUND.ceiling | PRICE_BOUND.stepUnreachable,
    ],
    ['the nearest charm ending', 3, { ...WIDE, stepMinor: 1_000, endingsMinor: [990, 950] }, 11_990, PRICE_BOUND.step],
    [
      'the ending inside when the nearest is outside',
      1.5,
      { stepMinor: 1_000, endingsMinor: [990], ceilingMinor: 13_950 },
      12_990,
      PRICE_BOUND.ceiling | PRICE_BOUND.step,
    ],
    [
      'a whole number when no ending is inside',
      3,
      { floorMinor: 12_000, ceilingMinor: 12_980, stepMinor: 1_000, endingsMinor: [990] },
      12_000,
      PRICE_BOUND.stepUnreachable,
    ],
    [
      'at most so far above the reference price',
      1.5,
      { referencePriceMinor: 11_000, referenceBasisPointsMax: 1_000 },
      12_100,
      PRICE_BOUND.ceiling | PRICE_BOUND.reference,
    ],
    [
      'the floor when the reference price is far below it',
      1.5,
      { referencePriceMinor: 100, referenceBasisPointsMax: 0 },
      9_900,
      PRICE_BOUND.ceiling | PRICE_BOUND.reference,
    ],
    [
      'near the previous price',
      3,
      { previousPriceMinor: 10_000, changeBasisPointsMax: 500 },
      10_500,
      PRICE_BOUND.changeRate,
    ],
    [
      'unchanged when no change is allowed',
      3,
      { previousPriceMinor: 10_050, changeBasisPointsMax: 0 },
      10_050,
      PRICE_BOUND.changeRate | PRICE_BOUND.stepUnreachable,
    ],
    [
      'the bound when the previous price is outside',
      3,
      { previousPriceMinor: 20_000, changeBasisPointsMax: 100 },
      13_900,
      PRICE_BOUND.changeRate,
    ],
    [
      'free of the past when the change is unbounded',
      3,
      { previousPriceMinor: 1, changeBasisPointsMax: -1 },
      12_000,
      0,
    ],
    ['the ceiling when floor is above it', 3, { floorMinor: 20_000 }, 13_900, PRICE_BOUND.conflict | PRICE_BOUND.floor],
    ['the ceiling when cost is above it', 3, { costMinor: 50_000 }, 13_900, PRICE_BOUND.conflict | PRICE_BOUND.ceiling],
    ['the floor when cost is 0', 2, { costMinor: 0 }, 9_900, PRICE_BOUND.floor],
    ['0 when everything is 0', 2, { costMinor: 0, floorMinor: 0, ceilingMinor: 0, listMinor: 0 }, 0, 0],
    ['as usual when the list price is 0', 3, { listMinor: 0 }, 12_000, 0],
    [
      'exact when prices are 1e12',
      2,
      { ...WIDE, costMinor: 1e12 + 1, ceilingMinor: 1e13, listMinor: 1e12 },
      2e12 + 2,
      0,
    ],
    ['capped when money is beyond 1e15', 2, { ...WIDE, costMinor: 1e300, ceilingMinor: Infinity }, PRICE_MINOR_MAX, 0],
    [
      'exact when the margin is of 1e12',
      99,
      { ...WIDE, costMinor: 999_999_999_999, ceilingMinor: 1e14, marginBasisPointsMin: 3_333 },
      1_333_300_000_000 - 1,
      PRICE_BOUND.margin,
    ],
  ] as const)('boundPrice: %s', (_, elasticity, overrides, price, bounds) => {
    expect(priceAt(elasticity, overrides)).toBe(price);
    expect(out.bounds).toBe(bounds);
  });

  const money = fc.oneof(
    fc.integer({ min: 0, max: 20_000 }),
    fc.integer({ min: 0, max: 1_000_000_000_000 }),
    fc.constantFrom(0, 1, 999, 1e12, 1e15),
  );
  const anyInput = fc.record({
    listMinor: money,
    floorMinor: money,
    ceilingMinor: money,
    costMinor: money,
    stepMinor: fc.oneof(fc.constantFrom(1, 5, 100, 1000), fc.integer({ min: 0, max: 100_000 })),
    marginBasisPointsMin: fc.integer({ min: -1, max: 20_000 }),
    isCappedAtList: fc.boolean(),
    previousPriceMinor: fc.oneof(money, fc.constant(-1)),
    changeBasisPointsMax: fc.integer({ min: -1, max: 20_000 }),
    referencePriceMinor: fc.oneof(money, fc.constant(-1)),
    referenceBasisPointsMax: fc.integer({ min: -1, max: 20_000 }),
    unitsLeft: fc.constantFrom(-1, 0, 1, 50, 1e9),
    quotesLeft: fc.constantFrom(0, 0.5, 100, 1e9),
    salvageMinor: money,
    dispersionProbability: fc.constantFrom(0, 0.1, 1),
    seed0: fc.integer(),
    seed1: fc.integer(),
  });

  it('choosePrice: whole, never above the ceiling, never below floor, cost and margin, when input is arbitrary', () => {
    fc.assert(
      fc.property(anyInput, (overrides) => {
        choosePrice(inputOf(overrides), out);
        const { floorMinor, ceilingMinor, listMinor, costMinor } = overrides;
        const high = overrides.isCappedAtList ? Math.min(ceilingMinor, listMinor) : ceilingMinor;
        // In whole numbers: cost x (10,000 + margin) / 10,000, rounded up.
        const points = BigInt(Math.max(overrides.marginBasisPointsMin, 0));
        const margin = Number((BigInt(costMinor) * (10_000n + points) + 9_999n) / 10_000n);
        const low = Math.max(floorMinor, Math.min(margin, PRICE_MINOR_MAX));
        expect(Number.isSafeInteger(out.priceMinor)).toBe(true);
        expect(out.priceMinor).toBeLessThanOrEqual(high);
        expect(out.priceMinor).toBeGreaterThanOrEqual(Math.min(low, high));
        expect((out.bounds & PRICE_BOUND.conflict) !== 0).toBe(low > high);
        const step = Math.max(overrides.stepMinor, 1);
        const offset = floorMinor % step;
        const isBeside = (out.priceMinor - offset) % step !== 0;
        expect((out.bounds & PRICE_BOUND.stepUnreachable) !== 0).toBe(isBeside);
        // Only where the interval has no price of the grid at all.
        if (isBeside) expect(Math.floor((out.highMinor - offset) / step) * step + offset).toBeLessThan(out.lowMinor);
        expect(out.maskedPriceMinor).toBe(out.priceMinor);
        expect(out.personalised).toBe(false);
        for (const value of [out.modelPriceMinor, out.elasticity, out.base, out.expectedDemand, out.dispersionFactor]) {
          expect(Number.isFinite(value)).toBe(true);
        }
        expect(Number.isSafeInteger(out.modelPriceMinor)).toBe(true);
        expect(out.expectedDemand).toBeGreaterThan(0);
      }),
      { numRuns: 3000 },
    );
  });

  it('choosePrice: never NaN or a fraction when input is hostile', () => {
    const hostile = fc.oneof(fc.double(), fc.constantFrom(Number.NaN, Infinity, -Infinity, -1, 0.5));
    const fields = [
      'listMinor',
      'floorMinor',
      'ceilingMinor',
      'costMinor',
      'stepMinor',
      'marginBasisPointsMin',
    ] as const;
    const optional = [
      'previousPriceMinor',
      'changeBasisPointsMax',
      'referencePriceMinor',
      'referenceBasisPointsMax',
      'personalFactor',
      'groupGapBasisPointsMax',
      'unitsLeft',
      'quotesLeft',
      'salvageMinor',
      'dispersionProbability',
    ] as const;
    const record = Object.fromEntries([...fields, ...optional].map((field) => [field, hostile]));
    fc.assert(
      fc.property(fc.record(record), (overrides) => {
        choosePrice(inputOf(overrides), out);
        expect(Number.isSafeInteger(out.priceMinor)).toBe(true);
        expect(out.priceMinor).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 2000 },
    );
  });

  it('boundPrice: the change from the previous price is bounded when that price is within the bounds', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 9_900, max: 13_900 }),
        fc.integer({ min: 0, max: 5_000 }),
        fc.double({ min: 0.1, max: 10, noNaN: true }),
        fc.integer({ min: 1, max: 3_000 }),
        (previousPriceMinor, changeBasisPointsMax, elasticity, stepMinor) => {
          const price = priceAt(elasticity, { previousPriceMinor, changeBasisPointsMax, stepMinor });
          expect(Math.abs(price - previousPriceMinor) * 10_000).toBeLessThanOrEqual(
            previousPriceMinor * changeBasisPointsMax,
          );
        },
      ),
    );
  });

  it('boundPrice: does not fall when cost, floor or dispersion rise, does not rise when elasticity does', () => {
    const amount = fc.integer({ min: 0, max: 15_000 });
    const elasticity = fc.double({ min: -1, max: 12, noNaN: true });
    fc.assert(
      fc.property(
        amount,
        amount,
        amount,
        elasticity,
        elasticity,
        fc.integer({ min: 1, max: 999 }),
        (a, b, c, e1, e2, stepMinor) => {
          const [less, more] = [Math.min(a, b), Math.max(a, b)];
          const base = { stepMinor, ceilingMinor: 15_000 };
          expect(priceAt(e1, { ...base, costMinor: less })).toBeLessThanOrEqual(
            priceAt(e1, { ...base, costMinor: more }),
          );
          expect(priceAt(e1, { ...base, floorMinor: less - (less % stepMinor), costMinor: c })).toBeLessThanOrEqual(
            priceAt(e1, { ...base, floorMinor: more - (more % stepMinor), costMinor: c }),
          );
          expect(priceAt(Math.max(e1, e2), base)).toBeLessThanOrEqual(priceAt(Math.min(e1, e2), base));
          expect(priceAt(e1, base, 0.97)).toBeLessThanOrEqual(priceAt(e1, base, 1.03));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('boundPrice: no other allowed price earns more when every multiple is tried', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1.05, max: 8, noNaN: true }),
        fc.integer({ min: 1, max: 12_000 }),
        (elasticity, costMinor) => {
          const price = priceAt(elasticity, { costMinor });
          const profit = (p: number): number => (p - costMinor) * (p / 12_900) ** -elasticity;
          for (let other = 9_900; other <= 13_900; other += 100) {
            if (other < costMinor) continue;
            // Rounding may cost up to half a step: compare with what the better neighbour earns.
            expect(profit(other)).toBeLessThanOrEqual(
              Math.max(profit(price), profit(price - 100), profit(price + 100)) + 1e-9,
            );
          }
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('choosePrice', () => {
  it('choosePrice: one price for everyone when product and hour are the same', () => {
    const first = createPriceResult();
    choosePrice(inputOf(), first);
    choosePrice(inputOf(), out);
    expect(out).toEqual(first);
    const prices = new Set<number>();
    for (let hour = 0; hour < 50; hour++) {
      choosePrice(inputOf({ seed1: hour }), out);
      prices.add(out.priceMinor);
    }
    expect(prices.size).toBeGreaterThan(5);
  });

  it('choosePrice: disperses a tenth of the answers by 2 to 5 per cent, evenly up and down', () => {
    const runs = 20_000;
    let dispersed = 0;
    let up = 0;
    for (let seed = 0; seed < runs; seed++) {
      choosePrice(inputOf({ seed0: seed }), out);
      expect(out.dispersed).toBe(out.dispersionFactor !== 1);
      if (!out.dispersed) continue;
      dispersed++;
      if (out.dispersionFactor > 1) up++;
      expect(Math.abs(out.dispersionFactor - 1)).toBeGreaterThanOrEqual(0.02 - 1e-12);
      expect(Math.abs(out.dispersionFactor - 1)).toBeLessThanOrEqual(0.05 + 1e-12);
    }
    // Five standard deviations of a binomial.
    expect(Math.abs(dispersed / runs - 0.1)).toBeLessThan(5 * Math.sqrt(0.09 / runs));
    expect(Math.abs(up / dispersed - 0.5)).toBeLessThan(5 * Math.sqrt(0.25 / dispersed));
  });
});

describe('a personal price', () => {
  it('is a discount on its masked twin, within the group gap and the hard bounds, or no personal price at all', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.3, max: 1.5, noNaN: true }),
        fc.integer({ min: 0, max: 3_000 }),
        fc.integer({ min: 0, max: 200 }),
        fc.constantFrom(1, 100, 1_000),
        (personalFactor, groupGapBasisPointsMax, seed0, stepMinor) => {
          const everybody = createPriceResult();
          choosePrice(inputOf({ seed0, stepMinor }), everybody);
          choosePrice(inputOf({ seed0, stepMinor, personalFactor, groupGapBasisPointsMax }), out);
          expect(out.maskedPriceMinor).toBe(everybody.priceMinor);
          expect(out.personalised).toBe(out.priceMinor !== out.maskedPriceMinor);
          expect(out.priceMinor).toBeLessThanOrEqual(out.maskedPriceMinor);
          expect(out.priceMinor).toBeGreaterThanOrEqual(9_900);
          const gap = Math.floor((out.maskedPriceMinor * groupGapBasisPointsMax) / 10_000);
          expect(out.maskedPriceMinor - out.priceMinor).toBeLessThanOrEqual(gap);
          if (personalFactor >= 1) expect(out.personalised).toBe(false);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('says that the gap held it when the discount asked for is larger', () => {
    const input = inputOf({ dispersionProbability: 0, personalFactor: 0.8, groupGapBasisPointsMax: 500, stepMinor: 1 });
    choosePrice(input, out);
    expect(out.priceMinor).toBe(out.maskedPriceMinor - Math.floor(out.maskedPriceMinor * 0.05));
    expect(out.bounds & PRICE_BOUND.groupGap).not.toBe(0);
  });
});

describe('Thompson pricing on a known stationary demand', () => {
  /** Poisson sales by inversion; purpose 92 belongs to this test. */
  function salesOf(rate: number, seed: number, step: number): number {
    const uniform = drawUniform(seed, step, 1, 92);
    let term = Math.exp(-rate);
    let sum = term;
    let sales = 0;
    while (uniform > sum && sales < 100) {
      sales++;
      term *= rate / sales;
      sum += term;
    }
    return sales;
  }

  /** Expected margin of all `quotes` learning quotes over what the best fixed price would have earned. */
  function shareOfBest(rate: number, elasticity: number, seed: number, quotes: number): number {
    const input = inputOf({ costMinor: 5_000, floorMinor: 5_500, ceilingMinor: 20_000, seed0: seed });
    const margin = (price: number): number => (price - 5_000) * rate * (price / 12_900) ** -elasticity;
    let best = 0;
    for (let price = 5_500; price <= 20_000; price += 100) best = Math.max(best, margin(price));
    let earned = 0;
    const row = new Float64Array(EVIDENCE_SLOTS);
    for (let step = 0; step < quotes; step++) {
      input.seed1 = step;
      choosePrice(input, out);
      const price = out.priceMinor;
      earned += margin(price);
      addQuote(row, 0, price, 12_900, NOON);
      const sales = salesOf(rate * (price / 12_900) ** -elasticity, seed, step);
      if (sales > 0) addSale(row, 0, price, 12_900, sales, NOON);
      fitDemand(row, 0, dayOf(NOON), 60, input.state, 0);
    }
    return earned / quotes / best;
  }

  it.each([
    [0.2, 2.2],
    [0.2, 3.5],
    [0.5, 2.8],
  ])(
    'choosePrice: at least 0.95 of the clairvoyant margin over 2,000 quotes, mean of 10 seeds, when base is %d and e is %d',
    (rate, elasticity) => {
      let mean = 0;
      for (let seed = 1; seed <= 10; seed++) mean += shareOfBest(rate, elasticity, seed, 2000) / 10;
      console.info(
        `price: rate ${rate}, elasticity ${elasticity}: ${(100 * mean).toFixed(1)} % of the clairvoyant margin`,
      );
      expect(mean).toBeGreaterThanOrEqual(0.95);
      expect(mean).toBeLessThanOrEqual(1);
    },
  );
});
