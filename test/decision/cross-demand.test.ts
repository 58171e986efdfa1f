import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addCrossPrior,
  crossRate,
  crossSlots,
  demandAt,
  drawCross,
  fillInputs,
  learnCrossPurchase,
  learnCrossQuote,
  summariseCross,
} from '../../decision/cross-demand.ts';
import { addQuote, addSale, dayOf, EVIDENCE_SLOTS } from '../../decision/demand-evidence.ts';
import { fitDemand } from '../../decision/demand-fit.ts';
import {
  BASE_PRIOR_MEAN,
  BASE_PRIOR_SD,
  DEMAND_SLOTS,
  ELASTICITY_PRIOR_MEAN,
  ELASTICITY_PRIOR_SD,
  logPriceRatio,
  summariseDemand,
} from '../../decision/demand-model.ts';
import { drawUniform } from '../../decision/random.ts';

const NOON = 1_781_092_800_000;

/** Poisson sales by inversion; purpose 97 belongs to this test. */
function salesOf(rate: number, step: number): number {
  const uniform = drawUniform(8, step, 2, 97);
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

describe('cross demand', () => {
  it('two inputs: within a third of a deviation of the two-dimensional model, which revisits all its quotes', () => {
    const [row, two] = [new Float64Array(EVIDENCE_SLOTS), new Float64Array(DEMAND_SLOTS)];
    const many = new Float64Array(crossSlots(2));
    addCrossPrior(many, 0, [BASE_PRIOR_MEAN, ELASTICITY_PRIOR_MEAN], [BASE_PRIOR_SD, ELASTICITY_PRIOR_SD]);
    const x = new Float64Array(2);
    for (let n = 0; n < 200; n++) {
      const price = 800 + ((n * 37) % 400);
      addQuote(row, 0, price, 1000, NOON);
      fillInputs(price, 1000, [], x);
      learnCrossQuote(many, 0, x);
      if (n % 9 !== 0) continue;
      addSale(row, 0, price, 1000, 1, NOON);
      learnCrossPurchase(many, 0, x, 1);
    }
    const summary = { baseMean: 0, elasticityMean: 0, baseSd: 0, elasticitySd: 0, correlation: 0 };
    fitDemand(row, 0, dayOf(NOON), 60, two, 0);
    summariseDemand(two, 0, summary);
    const [means, deviations] = [new Float64Array(2), new Float64Array(2)];
    summariseCross(many, 0, means, deviations);
    expect(Math.abs((means[0] ?? Number.NaN) - summary.baseMean)).toBeLessThan(summary.baseSd / 3);
    expect(Math.abs((means[1] ?? Number.NaN) - summary.elasticityMean)).toBeLessThan(summary.elasticitySd / 3);
    expect((deviations[0] ?? Number.NaN) / summary.baseSd).toBeCloseTo(1, 1);
    expect((deviations[1] ?? Number.NaN) / summary.elasticitySd).toBeCloseTo(1, 1);
  });

  it('finds own and cross elasticity and a context effect within 4 deviations when prices follow demand', () => {
    // Truth: base, own, competitor, warm. Own and competitor prices rise together, and both when it is warm.
    const truth = Float64Array.of(-1.2, 2.6, 1.4, 0.5);
    const state = new Float64Array(crossSlots(4));
    addCrossPrior(state, 0, [BASE_PRIOR_MEAN, 2.2, 0, 0], [BASE_PRIOR_SD, 0.8, 1, 1]);
    const x = new Float64Array(4);
    for (let n = 0; n < 20_000; n++) {
      const random = (subject: number): number => drawUniform(3, n, subject, 96) - 0.5;
      const warm = 2 * random(1);
      const competitor = 1000 * Math.exp(0.3 * random(2) + 0.1 * warm);
      const price = 1000 * Math.exp(0.2 * random(3) + 0.1 * warm);
      fillInputs(price, 1000, [logPriceRatio(competitor, 1000), warm], x);
      learnCrossQuote(state, 0, x);
      const sales = salesOf(crossRate(truth, x), n);
      if (sales > 0) learnCrossPurchase(state, 0, x, sales);
    }
    const [means, deviations] = [new Float64Array(4), new Float64Array(4)];
    summariseCross(state, 0, means, deviations);
    for (let j = 0; j < 4; j++) {
      expect(Math.abs((means[j] ?? 0) - (truth[j] ?? 0))).toBeLessThan(4 * (deviations[j] ?? 0));
      expect(deviations[j]).toBeLessThan(0.25);
    }
    // The same curve, read over the own price alone.
    const demand = { base: 0, elasticity: 0 };
    fillInputs(900, 1000, [0.2, 1], x);
    demandAt(means, x, demand);
    expect(Math.exp(demand.base - demand.elasticity * Math.log(0.9))).toBeCloseTo(crossRate(means, x), 9);
  });

  it('drawCross: has the posterior’s mean and covariance, and is the same for the same seeds', () => {
    const state = new Float64Array(crossSlots(3));
    addCrossPrior(state, 0, [0, 2, 1], [1, 0.5, 2]);
    const x = Float64Array.of(1, 0.5, -0.4);
    for (let n = 0; n < 50; n++) learnCrossQuote(state, 0, x);
    const [means, deviations, theta] = [new Float64Array(3), new Float64Array(3), new Float64Array(3)];
    summariseCross(state, 0, means, deviations);
    const runs = 20_000;
    const [sum, squares] = [new Float64Array(3), new Float64Array(3)];
    for (let seed = 0; seed < runs; seed++) {
      drawCross(state, 0, seed, 1, 2, theta);
      for (let j = 0; j < 3; j++) {
        const z = ((theta[j] ?? 0) - (means[j] ?? 0)) / (deviations[j] ?? 1);
        sum[j] = (sum[j] ?? 0) + z;
        squares[j] = (squares[j] ?? 0) + z * z;
      }
    }
    // Five standard deviations of a mean and of a variance of normals.
    for (let j = 0; j < 3; j++) {
      expect(Math.abs((sum[j] ?? 0) / runs)).toBeLessThan(5 / Math.sqrt(runs));
      expect(Math.abs((squares[j] ?? 0) / runs - 1)).toBeLessThan(5 * Math.sqrt(2 / runs));
    }
    const again = new Float64Array(3);
    drawCross(state, 0, runs - 1, 1, 2, again);
    expect(again).toEqual(theta);
  });

  it('never NaN or infinite when prices, inputs and quantities are hostile', () => {
    const number = fc.oneof(fc.double(), fc.constantFrom(0, 1, -1, 1e15, 1e300, Number.NaN, Infinity, -Infinity));
    const step = fc.tuple(number, number, number, number, number);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const state = new Float64Array(crossSlots(4));
        addCrossPrior(state, 0, [BASE_PRIOR_MEAN, 2.2, 0, 0], [BASE_PRIOR_SD, 0.8, 1, 1]);
        const [x, theta, deviations] = [new Float64Array(4), new Float64Array(4), new Float64Array(4)];
        for (const [price, list, other, weather, quantity] of steps) {
          fillInputs(price, list, [other, weather], x);
          learnCrossQuote(state, 0, x);
          learnCrossPurchase(state, 0, x, quantity);
        }
        summariseCross(state, 0, theta, deviations);
        for (const value of [...x, ...state, ...theta, ...deviations]) expect(Number.isFinite(value)).toBe(true);
        drawCross(state, 0, 1, 2, 3, theta);
        for (const value of [...theta, crossRate(theta, x)]) expect(Number.isFinite(value)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
