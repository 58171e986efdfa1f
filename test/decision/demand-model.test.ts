import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BASE_PRIOR_MEAN,
  BASE_PRIOR_SD,
  DEMAND_SLOTS,
  type DemandSummary,
  demandRate,
  drawDemand,
  ELASTICITY_PRIOR_MEAN,
  ELASTICITY_PRIOR_SD,
  learnPurchase,
  learnQuote,
  logPriceRatio,
  setDemandPrior,
  summariseDemand,
} from '../../decision/demand-model.ts';
import { drawUniform } from '../../decision/random.ts';

const LIST = 12_900;

function priorState(): Float64Array {
  const state = new Float64Array(DEMAND_SLOTS);
  setDemandPrior(state, 0);
  return state;
}

function summaryOf(state: Float64Array, offset = 0): DemandSummary {
  const out = { baseMean: 0, elasticityMean: 0, baseSd: 0, elasticitySd: 0, correlation: 0 };
  summariseDemand(state, offset, out);
  return out;
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

describe('demand prior', () => {
  it('setDemandPrior: reads back as the documented prior when nothing is learnt', () => {
    const summary = summaryOf(priorState());
    expect(summary.baseMean).toBeCloseTo(Math.log(0.05), 12);
    expect(BASE_PRIOR_MEAN).toBeCloseTo(Math.log(0.05), 12);
    expect(summary.elasticityMean).toBeCloseTo(ELASTICITY_PRIOR_MEAN, 12);
    expect(summary.baseSd).toBeCloseTo(BASE_PRIOR_SD, 12);
    expect(summary.elasticitySd).toBeCloseTo(ELASTICITY_PRIOR_SD, 12);
    expect(summary.correlation).toBeCloseTo(0, 12);
  });

  it.each([
    [100, 100, 0],
    [0, 100, 0],
    [100, 0, 0],
    [-5, 100, 0],
    [Number.NaN, 100, 0],
    [100, Number.NaN, 0],
    [Infinity, 100, 0],
    [1e12, 1, 3],
    [1, 1e12, -3],
  ])('logPriceRatio: price %d over list %d gives %d', (price, list, expected) => {
    expect(logPriceRatio(price, list)).toBeCloseTo(expected, 12);
  });
});

describe('demand learning', () => {
  it('learnQuote: a quote without a sale lowers the base, a sale raises it', () => {
    const state = priorState();
    learnQuote(state, 0, LIST, LIST);
    const after = summaryOf(state);
    expect(after.baseMean).toBeLessThan(BASE_PRIOR_MEAN);
    expect(after.baseSd).toBeLessThan(BASE_PRIOR_SD);
    learnPurchase(state, 0, LIST, LIST, 1);
    expect(summaryOf(state).baseMean).toBeGreaterThan(BASE_PRIOR_MEAN);
  });

  it('learnQuote: lands on the mode of prior times likelihood when the product has no evidence', () => {
    const state = priorState();
    learnQuote(state, 0, LIST, LIST);
    // At the list price only the base moves: z = m - s^2 exp(z), found here by bisection.
    let low = -10;
    let high = BASE_PRIOR_MEAN;
    for (let i = 0; i < 100; i++) {
      const middle = (low + high) / 2;
      if (middle - BASE_PRIOR_MEAN + BASE_PRIOR_SD ** 2 * Math.exp(middle) > 0) high = middle;
      else low = middle;
    }
    expect(summaryOf(state).baseMean).toBeCloseTo(low, 9);
    expect(summaryOf(state).baseSd).toBeCloseTo(1 / Math.sqrt(1 / BASE_PRIOR_SD ** 2 + Math.exp(low)), 9);
  });

  it('learnPurchase: a refund takes back exactly what the sale added when prices are equal', () => {
    const state = priorState();
    learnQuote(state, 0, 10_000, LIST);
    const before = state.slice();
    learnPurchase(state, 0, 10_000, LIST, 3);
    learnPurchase(state, 0, 10_000, LIST, -3);
    for (let i = 0; i < DEMAND_SLOTS; i++) expect(state[i]).toBeCloseTo(before[i] ?? Number.NaN, 12);
  });

  it('learnPurchase: bounded when the quantity is absurd, nothing when it is NaN', () => {
    const state = priorState();
    learnPurchase(state, 0, LIST, LIST, Number.NaN);
    expect(state).toEqual(priorState());
    learnPurchase(state, 0, LIST, LIST, 1e300);
    const bounded = priorState();
    learnPurchase(bounded, 0, LIST, LIST, 10);
    expect(state).toEqual(bounded);
  });

  it('learnQuote: forgets most of an absurd first sale when ordinary quotes follow', () => {
    const state = priorState();
    learnPurchase(state, 0, LIST, LIST, 1e9);
    for (let i = 0; i < 20_000; i++) {
      learnQuote(state, 0, LIST, LIST);
      if (i % 20 === 0) learnPurchase(state, 0, LIST, LIST, 1);
    }
    // 1,000 sales in 20,000 quotes: .05. Quotes weighed while the rate was thought high are not revisited, which
    // leaves .066 here; with the whole quantity taken at its word it would be above 1.
    expect(Math.exp(summaryOf(state).baseMean)).toBeGreaterThan(0.045);
    expect(Math.exp(summaryOf(state).baseMean)).toBeLessThan(0.075);
  });

  it('evidence: deltas of two shards add up in any order when merged onto one prior', () => {
    const sum = (states: readonly Float64Array[]): Float64Array => {
      const total = priorState();
      for (const state of states)
        for (let i = 0; i < DEMAND_SLOTS; i++) total[i] = (total[i] ?? 0) + (state[i] ?? 0) - (priorState()[i] ?? 0);
      return total;
    };
    const shards = [priorState(), priorState()];
    for (let i = 0; i < 200; i++) {
      const shard = shards[i % 2] ?? priorState();
      learnQuote(shard, 0, 11_000 + 10 * i, LIST);
      if (i % 9 === 0) learnPurchase(shard, 0, 11_000 + 10 * i, LIST, 1);
    }
    const merged = summaryOf(sum(shards));
    const reversed = summaryOf(sum(shards.toReversed()));
    expect(merged.elasticityMean).toBeCloseTo(reversed.elasticityMean, 9);
    expect(merged.baseSd).toBeLessThan(summaryOf(shards[0] ?? priorState()).baseSd);
  });

  it('state: stays finite and positive definite when rows are arbitrary', () => {
    const row = fc.record({
      price: fc.oneof(fc.integer({ min: 0, max: 1_000_000_000_000 }), fc.constantFrom(Number.NaN, Infinity, -1, 0.5)),
      quantity: fc.oneof(fc.integer({ min: -2, max: 2 }), fc.double()),
      isSale: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(row, { maxLength: 200 }), fc.integer(), (rows, seed) => {
        const state = priorState();
        for (const { price, quantity, isSale } of rows) {
          if (isSale) learnPurchase(state, 0, price, LIST, quantity);
          else learnQuote(state, 0, price, LIST);
        }
        const [, , q00 = 0, q01 = 0, q11 = 0] = state;
        expect(q00 * q11 - q01 * q01).toBeGreaterThan(0);
        const drawn = { base: 0, elasticity: 0 };
        drawDemand(state, 0, seed, 1, 2, drawn);
        for (const value of [...state, ...Object.values(summaryOf(state)), drawn.base, drawn.elasticity]) {
          expect(Number.isFinite(value)).toBe(true);
        }
        const rate = demandRate(drawn.base, drawn.elasticity, logPriceRatio(LIST, LIST));
        expect(rate).toBeGreaterThan(0);
        expect(rate).toBeLessThan(55);
      }),
      { numRuns: 200 },
    );
  });

  it('state: stays positive definite when a million quotes have one price', () => {
    const state = priorState();
    for (let i = 0; i < 1_000_000; i++) {
      learnQuote(state, 0, 9_900, LIST);
      if (i % 5 === 0) learnPurchase(state, 0, 9_900, LIST, 1);
    }
    const summary = summaryOf(state);
    // One price cannot tell the two apart: the sum is known, the elasticity is not.
    expect(summary.elasticitySd).toBeGreaterThan(0.6);
    expect(summary.correlation).toBeLessThan(1);
    const rate = demandRate(summary.baseMean, summary.elasticityMean, logPriceRatio(9_900, LIST));
    expect(rate).toBeGreaterThan(0.19);
    expect(rate).toBeLessThan(0.21);
  });
});

describe('demand recovery on synthetic data', () => {
  it.each([
    [0.05, 3],
    [0.3, 2.2],
    [0.3, 3.5],
    [1, 1.2],
  ])(
    'elasticity: within 3 posterior deviations in at least 19 of 20 runs when base is %d and e is %d',
    (rate, elasticity) => {
      // 5,000 quotes at prices uniform within 30 % of the list. P(|z| > 3) is 0.3 % for an exact posterior; the prior's
      // pull and the unrevised weights widen it a little, so one of 20 may miss. All stay within 4.
      let hits = 0;
      for (let seed = 1; seed <= 20; seed++) {
        const state = priorState();
        for (let step = 0; step < 5000; step++) {
          const price = Math.round(LIST * (0.7 + 0.6 * drawUniform(seed, step, 1, 91)));
          learnQuote(state, 0, price, LIST);
          const sales = salesOf(rate * (price / LIST) ** -elasticity, seed, step);
          if (sales > 0) learnPurchase(state, 0, price, LIST, sales);
        }
        const { elasticityMean, elasticitySd } = summaryOf(state);
        const z = Math.abs(elasticityMean - elasticity) / elasticitySd;
        expect(z).toBeLessThan(4);
        expect(elasticitySd).toBeLessThan(ELASTICITY_PRIOR_SD / 2);
        if (z <= 3) hits++;
      }
      expect(hits).toBeGreaterThanOrEqual(19);
    },
  );
});

describe('drawDemand', () => {
  it('drawDemand: the same curve when seeds are the same, another when subject or seed differ', () => {
    const draw = (seed0: number, subject: number): string => {
      const out = { base: 0, elasticity: 0 };
      drawDemand(priorState(), 0, seed0, 7, subject, out);
      return `${out.base} ${out.elasticity}`;
    };
    expect(draw(1, 2)).toBe(draw(1, 2));
    expect(new Set([draw(1, 2), draw(2, 2), draw(1, 3)]).size).toBe(3);
  });

  it('drawDemand: moments equal the posterior when drawn 20,000 times', () => {
    const state = priorState();
    for (let i = 0; i < 500; i++) {
      learnQuote(state, 0, 9_000 + 10 * i, LIST);
      if (i % 7 === 0) learnPurchase(state, 0, 9_000 + 10 * i, LIST, 1);
    }
    const { baseMean, elasticityMean, baseSd, elasticitySd, correlation } = summaryOf(state);
    const runs = 20_000;
    const drawn = { base: 0, elasticity: 0 };
    const sums = [0, 0, 0, 0, 0];
    for (let seed = 0; seed < runs; seed++) {
      drawDemand(state, 0, seed, 0, 1, drawn);
      const u = (drawn.base - baseMean) / baseSd;
      const v = (drawn.elasticity - elasticityMean) / elasticitySd;
      for (const [i, value] of [u, v, u * u, v * v, u * v].entries()) sums[i] = (sums[i] ?? 0) + value / runs;
    }
    // Standard error of a mean of 20,000: 0.007; of a second moment at most 0.01. Five of them.
    for (const [i, expected] of [0, 0, 1, 1, correlation].entries()) {
      expect(Math.abs((sums[i] ?? Number.NaN) - expected)).toBeLessThan(0.05);
    }
  });
});
