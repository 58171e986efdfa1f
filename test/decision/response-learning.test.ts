/** Trials taken back: the inverse of learning them, and how far off it is where others were learnt in between. */
import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FeatureVector, mixHash } from '../../decision/features.ts';
import { learnTrial, unlearnTrial } from '../../decision/response-learning.ts';
import { predict, ResponseModel } from '../../decision/response-model.ts';

interface Trial {
  readonly features: readonly number[];
  readonly action: number;
  readonly response: 0 | 1;
  readonly weight: number;
}
const TRIAL: fc.Arbitrary<Trial> = fc.record({
  features: fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 8 }),
  action: fc.integer({ min: 3, max: 6 }),
  response: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
  weight: fc.constantFrom(1, 0.5, 0.125),
});
const vector = new FeatureVector();

function vectorOf({ features }: Trial): FeatureVector {
  vector.reset();
  for (const feature of features) vector.add(mixHash(77, feature), 1);
  return vector;
}
function learn(model: ResponseModel, trial: Trial): void {
  learnTrial(model, vectorOf(trial), trial.action, 1, 2, trial.response, trial.weight, null);
}
function unlearn(model: ResponseModel, trial: Trial): void {
  unlearnTrial(model, vectorOf(trial), trial.action, 1, 2, trial.response, trial.weight, null);
}
function probability(model: ResponseModel, trial: Trial): number {
  const moments = new Float64Array(2);
  predict(model, vectorOf(trial), trial.action, 1, 2, moments);
  return 1 / (1 + Math.exp(-(moments[0] as number))); // two
}
function copyOf(model: ResponseModel): ResponseModel {
  const copy = new ResponseModel();
  copy.weights.set(model.weights);
  return copy;
}

describe('unlearnTrial', () => {
  it('the newest first: every weight and precision is what it was, but for rounding', () => {
    const trials = fc.array(TRIAL, { minLength: 1, maxLength: 10 });
    fc.assert(
      fc.property(fc.array(TRIAL, { maxLength: 20 }), trials, (others, own) => {
        const model = new ResponseModel();
        for (const trial of others) learn(model, trial);
        const before = copyOf(model);
        for (const trial of own) learn(model, trial);
        for (const trial of own.toReversed()) unlearn(model, trial);
        let apart = 0;
        for (const [i, weight] of model.weights.entries())
          apart = Math.max(apart, Math.abs(weight - (before.weights[i] as number))); // one length
        expect(apart).toBeLessThan(1e-9);
      }),
      { seed: 11, numRuns: 12 },
    );
  });

  it('others in between: the odds are within 0.03 of those of a model that was never taught', () => {
    const many = (size: number): fc.Arbitrary<Trial[]> => fc.array(TRIAL, { minLength: size, maxLength: size });
    fc.assert(
      fc.property(many(200), many(5), many(200), many(50), (before, own, after, probes) => {
        const never = new ResponseModel();
        for (const trial of [...before, ...after]) learn(never, trial);
        const model = new ResponseModel();
        for (const trial of [...before, ...own, ...after]) learn(model, trial);
        for (const trial of own.toReversed()) unlearn(model, trial);
        for (const probe of [...probes, ...own])
          expect(Math.abs(probability(model, probe) - probability(never, probe))).toBeLessThan(0.03);
      }),
      { seed: 11, numRuns: 6 },
    );
  });

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY])('weight %s is refused before anything changes', (weight) => {
    const model = new ResponseModel();
    const before = copyOf(model);
    vector.reset();
    expect(() => unlearnTrial(model, vector, 3, 1, 2, 0, weight, null)).toThrow(RangeError);
    expect(Buffer.from(model.weights.buffer).equals(Buffer.from(before.weights.buffer))).toBe(true);
  });
});
