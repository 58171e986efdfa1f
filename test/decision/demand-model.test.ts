import { describe, expect, it } from 'vitest';
import { addQuote, addSale, EVIDENCE_SLOTS } from '../../decision/demand-evidence.ts';
import { fitDemand } from '../../decision/demand-fit.ts';
import {
  BASE_PRIOR_MEAN,
  BASE_PRIOR_SD,
  DEMAND_SLOTS,
  type DemandSummary,
  DRAW_SCALE,
  drawDemand,
  ELASTICITY_PRIOR_MEAN,
  ELASTICITY_PRIOR_SD,
  logPriceRatio,
  summariseDemand,
} from '../../decision/demand-model.ts';

const LIST = 12_900;

function priorState(): Float64Array {
  const state = new Float64Array(DEMAND_SLOTS);
  fitDemand(new Float64Array(EVIDENCE_SLOTS), 0, 0, 60, state, 0);
  return state;
}

function summaryOf(state: Float64Array, offset = 0): DemandSummary {
  const out = { baseMean: 0, elasticityMean: 0, baseSd: 0, elasticitySd: 0, correlation: 0 };
  summariseDemand(state, offset, out);
  return out;
}

describe('demand prior', () => {
  it('prior: reads back as the documented prior when nothing is learnt', () => {
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

  it('drawDemand: moments equal the belief narrowed by half when drawn 20,000 times', () => {
    const [row, state] = [new Float64Array(EVIDENCE_SLOTS), new Float64Array(DEMAND_SLOTS)];
    for (let i = 0; i < 500; i++) {
      addQuote(row, 0, 9_000 + 10 * i, LIST, 0);
      if (i % 7 === 0) addSale(row, 0, 9_000 + 10 * i, LIST, 1, 0);
    }
    fitDemand(row, 0, 0, 60, state, 0);
    const { baseMean, elasticityMean, baseSd, elasticitySd, correlation } = summaryOf(state);
    const runs = 20_000;
    const drawn = { base: 0, elasticity: 0 };
    const sums = [0, 0, 0, 0, 0];
    for (let seed = 0; seed < runs; seed++) {
      drawDemand(state, 0, seed, 0, 1, drawn);
      const u = (drawn.base - baseMean) / (DRAW_SCALE * baseSd);
      const v = (drawn.elasticity - elasticityMean) / (DRAW_SCALE * elasticitySd);
      for (const [i, value] of [u, v, u * u, v * v, u * v].entries()) sums[i] = (sums[i] ?? 0) + value / runs;
    }
    // Standard error of a mean of 20,000: 0.007; of a second moment at most 0.01. Five of them.
    for (const [i, expected] of [0, 0, 1, 1, correlation].entries()) {
      expect(Math.abs((sums[i] ?? Number.NaN) - expected)).toBeLessThan(0.05);
    }
  });
});
