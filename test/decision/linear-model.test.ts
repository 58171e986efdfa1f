/** The linear model against a plain solution of the same equations, and by what must cancel or merge exactly. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FeatureVector, mixHash } from '../../decision/features.ts';
import { LINEAR_PRIORS, LinearModel } from '../../decision/linear-model.ts';
import { drawUniform } from '../../decision/random.ts';

const D = 6;
const ACTION = 3;
const CATEGORY = 2;

function featuresOf(seed: number): FeatureVector {
  const features = new FeatureVector();
  for (let i = 0; i < 4; i += 1) features.add(mixHash(i, Math.floor(3 * drawUniform(seed, i, 1, 1))), 1 + i);
  return features;
}

interface Trial {
  readonly seed: number;
  readonly response: 0 | 1;
}

function trialsOf(count: number, seed: number): Trial[] {
  return Array.from({ length: count }, (_, i) => ({
    seed: 100 * seed + i,
    response: drawUniform(seed, i, 2, 2) < 0.3 ? 1 : 0,
  }));
}

function learn(model: LinearModel, { seed, response }: Trial, action = ACTION, category = CATEGORY): void {
  const x = new Float64Array(model.dimensions);
  model.fold(featuresOf(seed), x);
  model.learn(x, action, category, 1, response);
}

function predict(model: LinearModel, seed: number, action = ACTION, category = CATEGORY): [number, number] {
  const means = new Float64Array(1);
  const deviations = new Float64Array(1);
  model.predict(featuresOf(seed), 1, Int32Array.of(action), Int32Array.of(category), means, deviations);
  return [means[0] as number, deviations[0] as number]; // one candidate
}

/** Gauss and Jordan, with pivots: written apart from the model. */
function inverse(matrix: readonly (readonly number[])[]): number[][] {
  const n = matrix.length;
  const rows = matrix.map((row, i) => [...row, ...Array.from({ length: n }, (_, j) => (i === j ? 1 : 0))]);
  for (let column = 0; column < n; column += 1) {
    let pivot = column;
    for (let r = column; r < n; r += 1) {
      if (Math.abs(rows[r]?.[column] ?? 0) > Math.abs(rows[pivot]?.[column] ?? 0)) pivot = r;
    }
    const lead = rows[pivot] ?? [];
    rows[pivot] = rows[column] ?? [];
    const scaled = lead.map((value) => value / (lead[column] ?? 1));
    rows[column] = scaled;
    for (let r = 0; r < n; r += 1) {
      const factor = rows[r]?.[column] ?? 0;
      if (r !== column) rows[r] = (rows[r] ?? []).map((value, j) => value - factor * (scaled[j] ?? 0));
    }
  }
  return rows.map((row) => row.slice(n));
}

describe('linear model', () => {
  it('predict: mean and deviation of a part under its category and everybody, by the equations of the header', () => {
    const model = new LinearModel(D);
    const trials = trialsOf(60, 1);
    for (const trial of trials) learn(model, trial);
    const { probability, deviation } = LINEAR_PRIORS;
    const [noise, prior] = [1 / (probability * (1 - probability)), 1 / deviation ** 2];
    const x = new Float64Array(D);
    const q = Array.from({ length: D }, (_, i) => Array.from({ length: D }, (_, j) => (i === j ? prior : 0)));
    const b = new Array<number>(D).fill(0);
    for (const { seed, response } of trials) {
      model.fold(featuresOf(seed), x);
      for (let i = 0; i < D; i += 1) {
        b[i] = (b[i] ?? 0) + noise * (response - probability) * (x[i] ?? 0);
        for (let j = 0; j < D; j += 1) (q[i] as number[])[j] = (q[i]?.[j] ?? 0) + noise * (x[i] ?? 0) * (x[j] ?? 0); // i < D
      }
    }
    const covariance = inverse(q);
    const times = (v: readonly number[]): number[] =>
      covariance.map((row) => row.reduce((sum, value, j) => sum + value * (v[j] ?? 0), 0));
    // All three parts have learnt the same trials here; each has the one above as its prior mean.
    let mean = new Array<number>(D).fill(0);
    for (let level = 0; level < 3; level += 1) mean = times(b.map((value, i) => value + prior * (mean[i] ?? 0)));
    for (const seed of [7, 8, 9]) {
      model.fold(featuresOf(seed), x);
      const [m, s] = predict(model, seed);
      expect(m).toBeCloseTo(probability + mean.reduce((sum, value, i) => sum + value * (x[i] ?? 0), 0), 10);
      const spread = times([...x]).reduce((sum, value, i) => sum + value * (x[i] ?? 0), 0);
      expect(s).toBeCloseTo(Math.sqrt(spread), 10);
    }
  });

  it('featureEffects: sum up to the mean less the prior', () => {
    const model = new LinearModel(D);
    for (const trial of trialsOf(40, 2)) learn(model, trial);
    const features = featuresOf(3);
    const effects = new Float64Array(features.count);
    model.featureEffects(features, ACTION, CATEGORY, effects);
    const [mean] = predict(model, 3);
    expect(effects.reduce((a, b) => a + b, 0)).toBeCloseTo(mean - LINEAR_PRIORS.probability, 12);
  });

  it('learn: a trial taken back equals one never added, and a late response one that came at once', () => {
    const [with_, without] = [new LinearModel(D), new LinearModel(D)];
    const x = new Float64Array(D);
    for (const trial of trialsOf(30, 4)) {
      learn(without, trial);
      with_.fold(featuresOf(trial.seed), x);
      with_.learn(x, ACTION, CATEGORY, 1, 0);
      if (trial.response === 1) with_.learn(x, ACTION, CATEGORY, 0, 1);
      with_.fold(featuresOf(trial.seed + 50), x);
      with_.learn(x, ACTION, CATEGORY, 1, 1);
      with_.learn(x, ACTION, CATEGORY, -1, -1);
    }
    for (const seed of [1, 2, 3]) {
      predict(with_, seed).forEach((value, i) => {
        expect(Math.abs(value - (predict(without, seed)[i] as number))).toBeLessThan(1e-9); // two values
      });
    }
  });

  it('sums: of two models added up are those of one that learnt both', () => {
    const [one, a, b, joined] = [new LinearModel(D), new LinearModel(D), new LinearModel(D), new LinearModel(D)];
    trialsOf(40, 5).forEach((trial, i) => {
      learn(one, trial);
      learn(i % 2 === 0 ? a : b, trial);
    });
    const added = new Map<number, Float64Array>();
    for (const [part, values] of a.sums())
      added.set(
        part,
        values.map((value, i) => value + (b.sums().get(part)?.[i] ?? 0)),
      );
    joined.load(added);
    expect(predict(joined, 6)[0]).toBeCloseTo(predict(one, 6)[0], 12);
    expect(predict(joined, 6)[1]).toBeCloseTo(predict(one, 6)[1], 12);
    expect(() => joined.load(new Map([[1, new Float64Array(3)]]))).toThrow(/linear part 1: 3 sums/);
  });

  it('predict: a new action starts from its category, one without from everybody, and both as unsure as at first', () => {
    const model = new LinearModel(D);
    const [priorMean, priorDeviation] = predict(model, 1);
    expect(priorMean).toBe(LINEAR_PRIORS.probability);
    for (let i = 0; i < 400; i += 1) learn(model, { seed: i, response: i % 2 === 0 ? 1 : 0 });
    const [sibling, spread] = predict(model, 1, 9);
    expect(sibling).toBeGreaterThan(0.3);
    expect(spread).toBe(priorDeviation);
    expect(predict(model, 1, 9, 0)[0]).toBeGreaterThan(0.3);
    expect(predict(model, 1, ACTION)[1]).toBeLessThan(priorDeviation);
  });

  it('predict: all positives, all negatives and wild features stay finite', () => {
    for (const response of [0, 1] as const) {
      const model = new LinearModel(D);
      for (let i = 0; i < 300; i += 1) learn(model, { seed: 1, response });
      const [mean, deviation] = predict(model, 1);
      expect(Math.abs(mean - response)).toBeLessThan(0.2);
      expect(deviation).toBeGreaterThan(0);
    }
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(), fc.double()), { maxLength: 20 }), fc.boolean(), (list, isPositive) => {
        const model = new LinearModel(D);
        const features = new FeatureVector();
        for (const [hash, value] of list) features.add(hash, value);
        const x = new Float64Array(D);
        model.fold(features, x);
        for (const value of x) expect(Number.isFinite(value)).toBe(true);
        model.learn(x, 1, 0, 1, isPositive ? 1 : 0);
        const [means, deviations] = [new Float64Array(1), new Float64Array(1)];
        model.predict(features, 1, Int32Array.of(1), Int32Array.of(0), means, deviations);
        expect(Number.isFinite(means[0])).toBe(true);
        expect((deviations[0] as number) > 0 && (deviations[0] as number) < Infinity).toBe(true); // one candidate
      }),
      { numRuns: 200, seed: 3 },
    );
  });

  it('constructor and learn: refuse what is out of range, before any change', () => {
    for (const d of [1, 257, 2.5, Number.NaN]) expect(() => new LinearModel(d)).toThrow(/linear dimensions/);
    for (const probability of [0, 1, Number.NaN])
      expect(() => new LinearModel(D, { probability, deviation: 1 })).toThrow(/linear prior/);
    for (const deviation of [0, -1, Number.POSITIVE_INFINITY, Number.NaN])
      expect(() => new LinearModel(D, { probability: 0.1, deviation })).toThrow(/linear prior/);
    const model = new LinearModel(D);
    for (const weight of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => model.learn(new Float64Array(D), 1, 0, weight, 0)).toThrow(/trial weight/);
      expect(() => model.learn(new Float64Array(D), 1, 0, 1, weight)).toThrow(/trial weight/);
    }
    expect(model.sums().size).toBe(0);
  });
});
