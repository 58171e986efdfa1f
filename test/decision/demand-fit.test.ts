import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addQuote, addSale, dayOf, EVIDENCE_SLOTS } from '../../decision/demand-evidence.ts';
import { fitDemand } from '../../decision/demand-fit.ts';
import {
  BASE_PRIOR_MEAN,
  BASE_PRIOR_SD,
  DEMAND_SLOTS,
  type DemandSummary,
  demandRate,
  drawDemand,
  ELASTICITY_PRIOR_MEAN,
  ELASTICITY_PRIOR_SD,
  logPriceRatio,
  summariseDemand,
} from '../../decision/demand-model.ts';
import { drawUniform } from '../../decision/random.ts';

const LIST = 12_900;
const DAY_MILLIS = 86_400_000;
const START = 20_614 * DAY_MILLIS;
const START_DAY = dayOf(START);

interface Fit extends DemandSummary {
  readonly since: number;
}

function fitOf(row: Float64Array, today: number, memoryDays = Infinity): Fit {
  const state = new Float64Array(DEMAND_SLOTS);
  const since = fitDemand(row, 0, today, memoryDays, state, 0);
  const out = { baseMean: 0, elasticityMean: 0, baseSd: 0, elasticitySd: 0, correlation: 0 };
  summariseDemand(state, 0, out);
  return { ...out, since };
}

/** Poisson by inversion from the project's own draws; purposes 90 and up are free for tests. */
function salesOf(rate: number, seed: number, step: number): number {
  const uniform = drawUniform(seed, step, 1, 90);
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

/** Quotes of some days at prices within 12 % of `around`, sold by a log-log truth. */
function sell(
  row: Float64Array,
  days: readonly [number, number],
  quotesADay: number,
  rate: number,
  elasticity: number,
  seed: number,
  around = 1,
): void {
  for (let day = days[0]; day < days[1]; day++) {
    for (let n = 0; n < quotesADay; n++) {
      const at = START + day * DAY_MILLIS + n;
      const price = Math.round(LIST * around * (0.88 + 0.24 * drawUniform(seed, day * quotesADay + n, 1, 91)));
      addQuote(row, 0, price, LIST, at);
      const sales = salesOf(rate * (price / LIST) ** -elasticity, seed, day * quotesADay + n);
      if (sales > 0) addSale(row, 0, price, LIST, sales, at);
    }
  }
}

describe('fitDemand: what is believed', () => {
  it('no evidence: the prior', () => {
    const fit = fitOf(new Float64Array(EVIDENCE_SLOTS), 0, 60);
    expect(fit.since).toBe(-1);
    expect(fit.baseMean).toBeCloseTo(BASE_PRIOR_MEAN, 12);
    expect(fit.baseSd).toBeCloseTo(BASE_PRIOR_SD, 12);
    expect(fit.elasticityMean).toBeCloseTo(ELASTICITY_PRIOR_MEAN, 12);
    expect(fit.elasticitySd).toBeCloseTo(ELASTICITY_PRIOR_SD, 12);
  });

  it('one quote that sold nothing: the mode of prior times likelihood', () => {
    const row = new Float64Array(EVIDENCE_SLOTS);
    addQuote(row, 0, LIST, LIST, START);
    // At the list price only the base moves: z = m - s^2 exp(z), found here by bisection.
    let low = -10;
    let high = BASE_PRIOR_MEAN;
    for (let i = 0; i < 100; i++) {
      const middle = (low + high) / 2;
      if (middle - BASE_PRIOR_MEAN + BASE_PRIOR_SD ** 2 * Math.exp(middle) > 0) high = middle;
      else low = middle;
    }
    const { baseMean, baseSd } = fitOf(row, START_DAY);
    expect(baseMean).toBeCloseTo(low, 6);
    expect(baseSd).toBeCloseTo(1 / Math.sqrt(1 / BASE_PRIOR_SD ** 2 + Math.exp(low)), 6);
  });

  it.each([
    [0.05, 3],
    [0.3, 2.2],
    [0.3, 3.5],
    [1, 1.2],
  ])('elasticity: within 3 deviations in at least 19 of 20 runs when base is %d and e is %d', (rate, elasticity) => {
    // 5,000 quotes within 12 % of the list. P(|z| > 3) is 0.3 %; the prior's pull widens it a little. All stay within 4.
    let hits = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const row = new Float64Array(EVIDENCE_SLOTS);
      sell(row, [0, 5], 1000, rate, elasticity, seed);
      const { elasticityMean, elasticitySd, since } = fitOf(row, START_DAY + 4);
      const z = Math.abs(elasticityMean - elasticity) / elasticitySd;
      expect(z).toBeLessThan(4);
      expect(since).toBe(-1);
      if (z <= 3) hits++;
    }
    expect(hits).toBeGreaterThanOrEqual(19);
  });

  it('a million quotes at one price: the rate is known, the elasticity is not', () => {
    const row = new Float64Array(EVIDENCE_SLOTS);
    for (let i = 0; i < 1_000_000; i++) {
      addQuote(row, 0, 9_900, LIST, START);
      if (i % 5 === 0) addSale(row, 0, 9_900, LIST, 1, START);
    }
    const { baseMean, elasticityMean, elasticitySd, correlation } = fitOf(row, START_DAY);
    expect(elasticitySd).toBeGreaterThan(0.6);
    expect(correlation).toBeLessThan(1);
    expect(demandRate(baseMean, elasticityMean, logPriceRatio(9_900, LIST))).toBeCloseTo(0.2, 3);
  });

  it('an absurd first sale: forgotten when ordinary quotes follow', () => {
    const row = new Float64Array(EVIDENCE_SLOTS);
    addSale(row, 0, LIST, LIST, 1e9, START);
    sell(row, [0, 1], 4000, 0.05, 2, 3);
    expect(Math.exp(fitOf(row, START_DAY).baseMean)).toBeCloseTo(0.052, 2);
  });

  it('whatever is told: finite, positive definite, and the curves drawn too', () => {
    const told = fc.record({
      price: fc.oneof(fc.integer({ min: 0, max: 1_000_000_000_000 }), fc.constantFrom(Number.NaN, Infinity, -1, 0.5)),
      quantity: fc.oneof(fc.integer({ min: -2, max: 2 }), fc.double()),
      isSale: fc.boolean(),
      at: fc.oneof(fc.integer({ min: 0, max: 3e12 }), fc.double()),
    });
    const memory = fc.oneof(
      fc.constantFrom(Infinity, 1 / 86_400, 3660),
      fc.double({ min: 1e-5, max: 1e4, noNaN: true }),
    );
    fc.assert(
      fc.property(fc.array(told, { maxLength: 100 }), memory, fc.integer(), (all, memoryDays, seed) => {
        const row = new Float64Array(EVIDENCE_SLOTS);
        for (const { price, quantity, isSale, at } of all) {
          if (isSale) addSale(row, 0, price, LIST, quantity, at);
          else addQuote(row, 0, price, LIST, at);
        }
        const state = new Float64Array(DEMAND_SLOTS);
        fitDemand(row, 0, START_DAY, memoryDays, state, 0);
        const [, , q00 = 0, q01 = 0, q11 = 0] = state;
        expect(q00 * q11 - q01 * q01).toBeGreaterThan(0);
        const drawn = { base: 0, elasticity: 0 };
        drawDemand(state, 0, seed, 1, 2, drawn);
        for (const value of [...state, drawn.base, drawn.elasticity]) expect(Number.isFinite(value)).toBe(true);
      }),
      { numRuns: 200, seed: 7 },
    );
  });
});

describe('fitDemand: forgetting', () => {
  it('memory: evidence of one half-life ago weighs half', () => {
    const row = new Float64Array(EVIDENCE_SLOTS);
    sell(row, [0, 1], 4000, 0.3, 2.5, 5);
    const precision = (today: number): number => fitOf(row, today, 10).baseSd ** -2 - BASE_PRIOR_SD ** -2;
    const now = precision(START_DAY);
    expect(precision(START_DAY + 10) / now).toBeCloseTo(0.5, 1);
    expect(precision(START_DAY + 40) / now).toBeCloseTo(1 / 16, 1);
    expect(fitOf(row, START_DAY + 400, 10).elasticitySd).toBeCloseTo(ELASTICITY_PRIOR_SD, 3);
    expect(fitOf(row, START_DAY + 400).baseSd).toBe(fitOf(row, START_DAY).baseSd);
  });

  it('a change of demand: seen within 900 quotes, and the new elasticity found; without it the old one stays', () => {
    // 40 days of 300 quotes; then sales halve and people mind prices more.
    let seen = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const row = new Float64Array(EVIDENCE_SLOTS);
      sell(row, [0, 40], 300, 0.2, 2, seed);
      expect(fitOf(row, START_DAY + 40).since).toBe(-1);
      const undisturbed = row.slice();
      sell(row, [40, 43], 300, 0.1, 4, seed);
      if (fitOf(row, START_DAY + 42).since >= START_DAY + 39) seen++;
      sell(row, [43, 60], 300, 0.1, 4, seed);
      const { since, elasticityMean, elasticitySd } = fitOf(row, START_DAY + 59);
      // By then the days around it share a span, which may begin before it.
      expect(Math.abs(since - (START_DAY + 40))).toBeLessThanOrEqual(8);
      expect(Math.abs(elasticityMean - 4)).toBeLessThan(4 * elasticitySd);
      sell(undisturbed, [40, 60], 300, 0.2, 2, seed);
      expect(Math.abs(fitOf(undisturbed, START_DAY + 59).elasticityMean - 2)).toBeLessThan(1);
    }
    expect(seen).toBeGreaterThanOrEqual(18);
  });

  it('days that differ by 10 %: no change is seen, however many the sales', () => {
    for (let seed = 1; seed <= 10; seed++) {
      const row = new Float64Array(EVIDENCE_SLOTS);
      for (let day = 0; day < 56; day++) {
        // Each week's end brings a tenth more or less: a Poisson count of 3,000 would differ by 1.8 % alone.
        const rate = 1.5 * (day % 7 >= 5 ? 1.1 : 0.95);
        sell(row, [day, day + 1], 2000, rate, 2.2, seed);
        expect(fitOf(row, START_DAY + day).since).toBe(-1);
      }
    }
  });
});
