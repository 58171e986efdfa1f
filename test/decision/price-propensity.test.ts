import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addQuote, addSale, dayOf, EVIDENCE_SLOTS } from '../../decision/demand-evidence.ts';
import { fitDemand } from '../../decision/demand-fit.ts';
import { DEMAND_SLOTS } from '../../decision/demand-model.ts';
import { choosePrice, createPriceInput, createPriceResult, type PriceInput } from '../../decision/price.ts';
import { pricePropensity } from '../../decision/price-propensity.ts';

const NOON = 1_781_092_800_000;

function inputOf(overrides: Partial<PriceInput>): PriceInput {
  const [row, state] = [new Float64Array(EVIDENCE_SLOTS), new Float64Array(DEMAND_SLOTS)];
  for (let n = 0; n < 60; n++) {
    addQuote(row, 0, 9_900 + 70 * n, 12_900, NOON);
    if (n % 5 === 0) addSale(row, 0, 9_900 + 70 * n, 12_900, 1, NOON);
  }
  fitDemand(row, 0, dayOf(NOON), 60, state, 0);
  return {
    ...createPriceInput(),
    state,
    listMinor: 12_900,
    floorMinor: 9_900,
    ceilingMinor: 13_900,
    costMinor: 8_000,
    stepMinor: 100,
    subjectHash: 3,
    ...overrides,
  };
}
const out = createPriceResult();

describe('pricePropensity', () => {
  it.each([
    ['nothing else is asked', {}],
    ['all answers are dispersed', { dispersionProbability: 1 }],
    ['cost is 0', { costMinor: 0 }],
    ['steps are wide and endings charm', { stepMinor: 1_000, endingsMinor: [990, 450] }],
    ['the change is limited', { previousPriceMinor: 12_000, changeBasisPointsMax: 400 }],
    ['bounds are wide', { floorMinor: 8_100, ceilingMinor: 40_000, stepMinor: 500 }],
    ['a stock binds', { unitsLeft: 10, quotesLeft: 60 }],
    [
      'a stock binds and bounds are wide',
      { unitsLeft: 10, quotesLeft: 60, floorMinor: 8_000, ceilingMinor: 90_000, stepMinor: 700 },
    ],
    ['a stock is worth something afterwards', { unitsLeft: 30, quotesLeft: 60, salvageMinor: 9_000 }],
  ])('pricePropensity: the frequencies of 40,000 seeds, summing to 1, when %s', (_, overrides) => {
    const input = inputOf(overrides);
    const counts = new Map<number, number>();
    const runs = 40_000;
    for (let seed = 0; seed < runs; seed++) {
      input.seed0 = seed;
      choosePrice(input, out);
      counts.set(out.priceMinor, (counts.get(out.priceMinor) ?? 0) + 1);
    }
    let sum = 0;
    for (const [price, count] of counts) {
      const propensity = pricePropensity(input, price);
      sum += propensity;
      // Five standard deviations of a binomial, and one more run for the rare.
      const allowed = 5 * Math.sqrt((propensity * (1 - propensity)) / runs) + 1 / runs;
      expect(Math.abs(count / runs - propensity)).toBeLessThan(allowed);
    }
    // What no seed met is rare.
    expect(sum).toBeLessThanOrEqual(1 + 1e-9);
    expect(sum).toBeGreaterThan(1 - 50 / runs);
  });

  it('pricePropensity: all whole prices together are 1 when bounds are narrow', () => {
    for (const stock of [{}, { unitsLeft: 3, quotesLeft: 40 }]) {
      const input = inputOf({ floorMinor: 9_900, ceilingMinor: 10_000, stepMinor: 7, ...stock });
      let sum = 0;
      for (let price = 9_890; price <= 10_010; price++) sum += pricePropensity(input, price);
      expect(sum).toBeCloseTo(1, 9);
    }
  });

  it('pricePropensity: in (0, 1] of the price chosen, never NaN, when input is hostile', () => {
    const hostile = fc.oneof(
      fc.double(),
      fc.integer({ min: 0, max: 20_000 }),
      fc.constantFrom(Number.NaN, Infinity, -1, 1e12),
    );
    const fields = [
      'listMinor',
      'floorMinor',
      'ceilingMinor',
      'costMinor',
      'stepMinor',
      'unitsLeft',
      'quotesLeft',
      'salvageMinor',
    ];
    fc.assert(
      fc.property(fc.record(Object.fromEntries(fields.map((field) => [field, hostile]))), (overrides) => {
        const input = inputOf(overrides);
        choosePrice(input, out);
        const propensity = pricePropensity(input, out.priceMinor);
        expect(propensity).toBeGreaterThanOrEqual(0);
        expect(propensity).toBeLessThanOrEqual(1);
        expect(pricePropensity(input, Number.NaN)).toBe(0);
      }),
      { numRuns: 300 },
    );
  });
});
