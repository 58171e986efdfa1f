/** Inputs of demand: what each declaration makes of a context, and what they leave of base and elasticity. */
import { describe, expect, it } from 'vitest';
import {
  addCrossPrior,
  CROSS_INPUTS_MAX,
  crossSlots,
  demandAt,
  drawCross,
  fillInputs,
  foldInputs,
  learnCrossPurchase,
  learnCrossQuote,
  summariseCross,
} from '../../decision/cross-demand.ts';
import { DEMAND_INPUTS_MAX, type DemandInput, fillDemandInputs } from '../../decision/demand-inputs.ts';
import { DEMAND_SLOTS, summariseDemand } from '../../decision/demand-model.ts';
import { drawUniform } from '../../decision/random.ts';
import type { Properties } from '../../proto/messages.ts';

const HOUR = 3_600_000;

function filled(input: DemandInput, context: Properties | null, now = 0, price = 100): number {
  const out = new Float64Array(DEMAND_INPUTS_MAX).fill(7);
  const feeds = { feedNumber: (feed: number, field: number) => (feed === 2 && field === 1 ? 2000 : Number.NaN) };
  fillDemandInputs([input], context, feeds, now, () => price, out);
  expect([...out.slice(1)]).toEqual([0, 0, 0, 0, 0]);
  return out[0] as number; // six
}

describe('fillDemandInputs', () => {
  const price: DemandInput = { kind: 'price', from: { context: 'rival' }, usualMinor: 1000 };
  const number: DemandInput = { kind: 'number', from: { context: 'warm' }, mean: 15, scale: 10 };
  it.each<[string, DemandInput, Properties | null, number]>([
    ['a price', price, { rival: 2000 }, Math.LN2],
    ['the usual price', price, { rival: 1000 }, 0],
    ['no context', price, null, 0],
    ['a price of nothing', price, { rival: 0 }, 0],
    ['a negative price', price, { rival: -5 }, 0],
    ['a price that is text', price, { rival: '900' }, 0],
    ['a price far off', price, { rival: 1e12 }, 3],
    ['a number', number, { warm: 25 }, 1],
    ['a number far off', number, { warm: -1e9 }, -3],
    ['no number', number, { warm: Number.NaN }, 0],
    ['infinite', number, { warm: Number.POSITIVE_INFINITY }, 3],
    ['a price of a feed', { ...price, from: { feed: 2, field: 1, key: 'cup' } }, { rival: 7 }, Math.LN2],
    ['a feed that does not know it', { ...price, from: { feed: 2, field: 0, key: 'cup' } }, { rival: 2000 }, 0],
    ['another product', { kind: 'product', skuHash: 1, listMinor: 50 }, null, Math.LN2],
  ])('%s', (_, input, context, value) => {
    expect(filled(input, context)).toBeCloseTo(value, 12);
  });

  it('hour: sine and cosine of the hour of the day, as Math has them', () => {
    for (let hour = -25; hour < 50; hour++) {
      for (const isCosine of [false, true]) {
        const truth = (isCosine ? Math.cos : Math.sin)((hour * Math.PI) / 12);
        expect(filled({ kind: 'hour', isCosine }, null, hour * HOUR + 5)).toBeCloseTo(truth, 12);
      }
    }
  });
});

describe('foldInputs', () => {
  const means = [-2.995732273553991, 2.2, 0, 0, 0, 0, 0, 0];
  const deviations = [1.5, 0.8, 1, 1, 1, 1, 1, 1];
  function cross(): Float64Array {
    const state = new Float64Array(crossSlots(CROSS_INPUTS_MAX));
    addCrossPrior(state, 0, means, deviations);
    return state;
  }
  function inputs(price: number, others: number[]): Float64Array {
    const x = new Float64Array(CROSS_INPUTS_MAX);
    const all = new Float64Array(DEMAND_INPUTS_MAX);
    all.set(others);
    fillInputs(price, 1000, all, x);
    return x;
  }

  it('the usual case: base and elasticity are those of the whole posterior', () => {
    const state = cross();
    for (let n = 0; n < 300; n++) {
      const price = 800 + Math.floor(drawUniform(1, n, 0, 1) * 400);
      learnCrossQuote(state, 0, inputs(price, []));
      if (n % 9 !== 0) continue;
      learnCrossPurchase(state, 0, inputs(price, []), 1);
    }
    const folded = new Float64Array(DEMAND_SLOTS);
    foldInputs(state, 0, inputs(1000, []), folded);
    const [means, deviations] = [new Float64Array(8), new Float64Array(8)];
    summariseCross(state, 0, means, deviations);
    const summary = { baseMean: 0, elasticityMean: 0, baseSd: 0, elasticitySd: 0, correlation: 0 };
    summariseDemand(folded, 0, summary);
    expect(summary.baseMean).toBeCloseTo(means[0] as number, 8);
    expect(summary.elasticityMean).toBeCloseTo(means[1] as number, 8);
    expect(summary.baseSd).toBeCloseTo(deviations[0] as number, 8);
    expect(summary.elasticitySd).toBeCloseTo(deviations[1] as number, 8);
  });

  it('another case: mean and spread are those of the draws from the whole posterior', () => {
    const state = cross();
    for (let n = 0; n < 300; n++) {
      const x = inputs(900 + (n % 200), [drawUniform(2, n, 0, 1) - 0.5, n % 3 === 0 ? 1 : -0.5]);
      learnCrossQuote(state, 0, x);
      if (n % 6 === 0) learnCrossPurchase(state, 0, x, 1);
    }
    const x = inputs(1000, [0.4, 1]);
    const folded = new Float64Array(DEMAND_SLOTS);
    foldInputs(state, 0, x, folded);
    const summary = { baseMean: 0, elasticityMean: 0, baseSd: 0, elasticitySd: 0, correlation: 0 };
    summariseDemand(folded, 0, summary);
    const theta = new Float64Array(CROSS_INPUTS_MAX);
    const curve = { base: 0, elasticity: 0 };
    const draws = 4_000;
    const sums = [0, 0, 0, 0, 0];
    for (let n = 0; n < draws; n++) {
      drawCross(state, 0, 3, n, 4, theta);
      demandAt(theta, x, curve);
      const [b, e] = [curve.base - summary.baseMean, curve.elasticity - summary.elasticityMean];
      for (const [i, value] of [b, e, b * b, e * e, b * e].entries()) sums[i] = (sums[i] ?? 0) + value / draws;
    }
    const [b = 0, e = 0, bb = 0, ee = 0, be = 0] = sums;
    const error = 4 / Math.sqrt(draws);
    expect(Math.abs(b)).toBeLessThan(error * summary.baseSd);
    expect(Math.abs(e)).toBeLessThan(error * summary.elasticitySd);
    expect(Math.sqrt(bb) / summary.baseSd).toBeCloseTo(1, 1);
    expect(Math.sqrt(ee) / summary.elasticitySd).toBeCloseTo(1, 1);
    expect(Math.abs(be / Math.sqrt(bb * ee) - summary.correlation)).toBeLessThan(2 * error);
  });
});
