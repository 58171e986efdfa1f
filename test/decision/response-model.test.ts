import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { FEATURES_MAX, FeatureVector, mixHash } from '../../decision/features.ts';
import { ModelDelta } from '../../decision/model-delta.ts';
import { sigmoid } from '../../decision/normal.ts';
import { drawUniform } from '../../decision/random.ts';
import { featureEffects, learnResponse, learnTrial, TOUCHES_MAX } from '../../decision/response-learning.ts';
import {
  predict,
  predictAll,
  RESPONSE_MODEL_BYTES,
  RESPONSE_SLOTS,
  ResponseModel,
  responseMoments,
} from '../../decision/response-model.ts';

/** Numbers of parts. Those that `train` teaches are 10 to 14 (actions), 20, 21 (categories), 30 to 32 (channels). */
const ACTION = 12;
const CATEGORY = 21;
const CHANNEL = 31;

function person(seed: number, features = 29): FeatureVector {
  const out = new FeatureVector();
  for (let i = 0; i < features; i += 1) {
    const isLinear = i % 10 === 9;
    const u = drawUniform(seed, 1, i, 1);
    out.add(mixHash(i, isLinear ? 0 : Math.floor(u * 12)), isLinear ? 2 * u - 1 : 1);
  }
  return out;
}

/** Largest difference of natural parameters and precisions between two models. */
function distance(a: ResponseModel, b: ResponseModel): number {
  let worst = 0;
  for (let at = 0; at < a.weights.length; at += 2) {
    const [ma, qa, mb, qb] = [a.weights[at], a.weights[at + 1], b.weights[at], b.weights[at + 1]] as number[];
    worst = Math.max(worst, Math.abs((qa as number) - (qb as number)));
    worst = Math.max(worst, Math.abs((qa as number) * (ma as number) - (qb as number) * (mb as number)));
  }
  return worst;
}

function train(model: ResponseModel, from: number, to: number, delta: ModelDelta | null = null): void {
  for (let i = from; i < to; i += 1) {
    const response = drawUniform(i, 9, 9, 9) < 0.2 ? 1 : 0;
    learnTrial(model, person(i % 50), 10 + (i % 5), 20 + (i % 2), 30 + (i % 3), response, 1, delta);
  }
}

const out = new Float64Array(2);

/** `responseMoments` of one candidate, into `out`. */
function moments(logitMean: number, logitVariance: number): void {
  responseMoments(1, Float64Array.of(logitMean), Float64Array.of(logitVariance), out.subarray(0, 1), out.subarray(1));
}

describe('response model: prediction', () => {
  let model: ResponseModel;
  beforeEach(() => {
    model = new ResponseModel();
  });

  it('predict: the prior mean and a variance of 2.485 x 1/4 whatever the person when nothing was learnt', () => {
    for (const count of [1, 12, FEATURES_MAX - 1]) {
      predict(model, person(3, count), ACTION, CATEGORY, CHANNEL, out);
      expect(sigmoid(out[0] as number)).toBeCloseTo(0.05, 12); // length 2
      // Biases 1 + .25 + .25 + .49, features .1225 + .1225 + .25; deviations halved.
      expect(out[1]).toBeCloseTo(2.485 / 4, 10);
    }
    predict(model, new FeatureVector(), ACTION, 0, CHANNEL, out);
    expect(out[1]).toBeCloseTo((1 + 0.25 + 0.49) / 4, 12);
  });

  it('predictAll: equal to predict bit for bit, with no, few and many categories in any order', () => {
    train(model, 0, 400);
    const n = 40;
    const actions = Int32Array.from({ length: n }, (_, i) => 8 + (i % 7));
    const categories = Int32Array.from({ length: n }, (_, i) => (i % 5 === 0 ? 0 : 15 + ((i * 7) % 13)));
    const channels = Int32Array.from({ length: n }, (_, i) => 30 + (i % 3));
    const means = new Float64Array(n);
    const variances = new Float64Array(n);
    const features = person(4);
    predictAll(model, features, n, actions, categories, channels, 27, means, variances);
    for (let i = 0; i < n; i += 1) {
      predict(model, features, actions[i] as number, categories[i] as number, channels[i] as number, out); // i < n
      expect([means[i], variances[i]]).toEqual([...out]);
    }
    predictAll(model, features, 0, actions, categories, channels, 27, means, variances);
    // A part at the end of a row that wraps around the table, and one category for all.
    const far = new Int32Array(n).fill(RESPONSE_SLOTS - 1);
    predictAll(model, features, n, far, new Int32Array(n).fill(3_000), channels, 3_000, means, variances);
    predict(model, features, RESPONSE_SLOTS - 1, 3_000, channels[5] as number, out); // 5 < n
    expect([means[5], variances[5]]).toEqual([...out]);
  });

  it('featureEffects: add up to the mean less the prior', () => {
    train(model, 0, 300);
    const features = person(8);
    const effects = new Float64Array(FEATURES_MAX).fill(99);
    featureEffects(model, features, ACTION, CATEGORY, CHANNEL, effects);
    predict(model, features, ACTION, CATEGORY, CHANNEL, out);
    const sum = effects.subarray(0, features.count).reduce((a, b) => a + b, 0);
    expect(sum).toBeCloseTo((out[0] as number) - model.priorLogit, 10); // length 2
    expect(effects[features.count]).toBe(99);
  });

  it('ResponseModel: a buffer of zeros is filled with the prior, one with content is adopted', () => {
    const buffer = new SharedArrayBuffer(RESPONSE_MODEL_BYTES);
    const first = new ResponseModel(buffer, { probability: 0.1, precision: 3, deviationScale: 1 });
    expect(first.weights[1]).toBe(3);
    expect(first.weights[2 * RESPONSE_SLOTS - 1]).toBe(3);
    train(first, 0, 20);
    const second = new ResponseModel(buffer, { probability: 0.1, precision: 3, deviationScale: 1 });
    expect(distance(first, second)).toBe(0);
    expect(
      distance(second, new ResponseModel(undefined, { probability: 0.1, precision: 3, deviationScale: 1 })),
    ).toBeGreaterThan(0);
    second.reset();
    expect(first.weights.every((x, at) => x === (at % 2 === 0 ? 0 : 3))).toBe(true);
  });

  it.each([
    [RESPONSE_MODEL_BYTES - 8, 0.05, 1, 1],
    [RESPONSE_MODEL_BYTES, 0, 1, 1],
    [RESPONSE_MODEL_BYTES, 1, 1, 1],
    [RESPONSE_MODEL_BYTES, NaN, 1, 1],
    [RESPONSE_MODEL_BYTES, 0.05, 0, 1],
    [RESPONSE_MODEL_BYTES, 0.05, Infinity, 1],
    [RESPONSE_MODEL_BYTES, 0.05, 1, 0],
    [RESPONSE_MODEL_BYTES, 0.05, 1, NaN],
  ])(
    'ResponseModel: refuses %d bytes, probability %d, precision %d, scale %d',
    (bytes, probability, precision, deviationScale) => {
      expect(() => new ResponseModel(new ArrayBuffer(bytes), { probability, precision, deviationScale })).toThrow(
        RangeError,
      );
    },
  );

  it('responseMoments: each candidate as if it were alone', () => {
    const n = 500;
    const given = (purpose: number): Float64Array =>
      Float64Array.from({ length: n }, (_, i) => 12 * drawUniform(i, 1, 1, purpose) - 6);
    const [logits, variances] = [given(1), given(2)]; // half of the variances are not above 0
    const [all, deviations] = [new Float64Array(n), new Float64Array(n)];
    responseMoments(n, logits, variances, all, deviations);
    for (let i = 0; i < n; i += 1) {
      moments(logits[i] as number, variances[i] as number); // i < n
      expect([...out]).toEqual([all[i], deviations[i]]);
    }
  });

  it('responseMoments: within the stated errors of a dense quadrature', () => {
    const dense = (mean: number, variance: number): [number, number] => {
      let [weights, first, second] = [0, 0, 0];
      for (let z = -9; z <= 9; z += 0.01) {
        const w = Math.exp(-0.5 * z * z);
        const p = 1 / (1 + Math.exp(-(mean + z * Math.sqrt(variance))));
        weights += w;
        first += w * p;
        second += w * p * p;
      }
      return [first / weights, Math.sqrt(second / weights - (first / weights) ** 2)];
    };
    for (let mean = -8; mean <= 4; mean += 0.5) {
      for (const variance of [0.01, 0.25, 0.6, 1, 2, 3]) {
        const [m, sd] = dense(mean, variance);
        moments(mean, variance);
        expect(Math.abs((out[0] as number) / m - 1)).toBeLessThan(variance <= 1 ? 3e-4 : 1e-2); // length 2
        expect(Math.abs((out[1] as number) / sd - 1)).toBeLessThan(variance <= 1 ? 1e-2 : 1e-1); // length 2
      }
    }
  });

  it('responseMoments: finite and inside [0, 1] for any logit, a point when the variance is 0', () => {
    fc.assert(
      fc.property(
        fc.double({ min: -1e4, max: 1e4, noNaN: true }),
        fc.double({ min: 0, max: 1e6, noNaN: true }),
        (m, v) => {
          moments(m, v);
          const [mean, deviation] = out as unknown as [number, number]; // length 2
          expect(mean >= 0 && mean <= 1 && deviation >= 0 && deviation <= 0.5).toBe(true);
        },
      ),
    );
    moments(-2, 0);
    expect([...out]).toEqual([sigmoid(-2), 0]);
  });
});

describe('response model: learning', () => {
  let model: ResponseModel;
  beforeEach(() => {
    model = new ResponseModel();
    train(model, 0, 100);
  });

  it('learnTrial: one slot moves by the stated formula', () => {
    const fresh = new ResponseModel();
    const alone = new FeatureVector();
    const delta = new ModelDelta();
    const p = learnTrial(fresh, alone, ACTION, 0, CHANNEL, 1, 0.5, delta);
    expect(p).toBeCloseTo(0.05, 12);
    expect(delta.count).toBe(3);
    const scales = [1, 0.5, 0.7];
    for (let at = 0; at < 3; at += 1) {
      const slot = delta.indices[at] as number; // at < count
      const x = scales[at] as number; // three
      const q = 1 + 0.5 * p * (1 - p) * x * x;
      expect(fresh.weights[2 * slot + 1]).toBeCloseTo(q, 14);
      expect(fresh.weights[2 * slot]).toBeCloseTo((0.5 * (1 - p) * x) / q, 14);
    }
  });

  it('learnResponse: a negative answered later equals the positive learnt at once, and back again', () => {
    for (const weight of [1, 0.3]) {
      for (const seed of [2, 17, 31]) {
        const features = person(seed, FEATURES_MAX - 1);
        const reference = new ResponseModel(model.weights.slice().buffer);
        const delayed = new ResponseModel(model.weights.slice().buffer);
        const negative = new ResponseModel(model.weights.slice().buffer);
        learnTrial(reference, features, ACTION, CATEGORY, CHANNEL, 1, weight, null);
        learnTrial(negative, features, ACTION, CATEGORY, CHANNEL, 0, weight, null);
        learnTrial(delayed, features, ACTION, CATEGORY, CHANNEL, 0, weight, null);
        learnResponse(delayed, features, ACTION, CATEGORY, CHANNEL, weight, null);
        expect(distance(negative, reference)).toBeGreaterThan(0.1 * weight);
        expect(distance(delayed, reference)).toBeLessThan(1e-12);
        learnResponse(delayed, features, ACTION, CATEGORY, CHANNEL, -weight, null);
        expect(distance(delayed, negative)).toBeLessThan(1e-12);
      }
    }
  });

  it('learnResponse: exact also where two features of one person share a slot', () => {
    const features = new FeatureVector();
    features.add(5, 1);
    features.add(5, 0.5);
    const reference = new ResponseModel(model.weights.slice().buffer);
    learnTrial(reference, features, ACTION, CATEGORY, CHANNEL, 1, 1, null);
    learnTrial(model, features, ACTION, CATEGORY, CHANNEL, 0, 1, null);
    learnResponse(model, features, ACTION, CATEGORY, CHANNEL, 1, null);
    expect(distance(model, reference)).toBeLessThan(1e-12);
  });

  it('learnResponse: adds exactly x to precision x mean whatever was learnt in between (1e-6)', () => {
    const features = person(12);
    learnTrial(model, features, ACTION, CATEGORY, CHANNEL, 0, 1, null);
    train(model, 100, 160);
    const before = new ResponseModel(model.weights.slice().buffer);
    const delta = new ModelDelta();
    learnResponse(model, features, ACTION, CATEGORY, CHANNEL, 1, delta);
    for (let at = 0; at < delta.count; at += 1) {
      const slot = delta.indices[at] as number; // at < count
      const q = model.weights[2 * slot + 1] as number; // a slot
      expect(q).toBe(before.weights[2 * slot + 1]);
      const added = q * ((model.weights[2 * slot] as number) - (before.weights[2 * slot] as number)); // a slot
      expect(Math.abs(added - (delta.natural[at] as number))).toBeLessThan(1e-6); // at < count
    }
    learnResponse(model, features, ACTION, CATEGORY, CHANNEL, -1, null);
    expect(distance(model, before)).toBeLessThan(1e-6);
  });

  it.each([0.02, 0.1, 0.4])('learnTrial: predicts a rate of %d within a third after 8,000 trials', (rate) => {
    // 300 people of 29 features that mean nothing. Standard error of the data alone: 8 % at a rate of 2 %;
    // the rest is the newest responses, which one Newton step weighs more than the oldest.
    const fresh = new ResponseModel();
    let responses = 0;
    for (let i = 0; i < 8000; i += 1) {
      const response = drawUniform(i, 5, 5, 5) < rate ? 1 : 0;
      responses += response;
      learnTrial(fresh, person(i % 300), ACTION, CATEGORY, CHANNEL, response, 1, null);
    }
    let mean = 0;
    for (let seed = 0; seed < 300; seed += 1) {
      predict(fresh, person(seed), ACTION, CATEGORY, CHANNEL, out);
      moments(out[0] as number, out[1] as number); // length 2
      mean += (out[0] as number) / 300; // length 2
    }
    expect(Math.abs(mean / (responses / 8000) - 1)).toBeLessThan(1 / 3);
  });

  it('learnTrial: a new action starts from its category, not from the prior', () => {
    const fresh = new ResponseModel();
    for (let i = 0; i < 3000; i += 1) {
      const isGood = i % 2 === 0;
      const response = drawUniform(i, 5, 5, 6) < (isGood ? 0.3 : 0.01) ? 1 : 0;
      learnTrial(fresh, person(i % 300), 40 + (i % 6), isGood ? 20 : 21, CHANNEL, response, 1, null);
    }
    predict(fresh, person(1), 50, 20, CHANNEL, out);
    const good = sigmoid(out[0] as number); // length 2
    predict(fresh, person(1), 50, 21, CHANNEL, out);
    const bad = sigmoid(out[0] as number); // length 2
    expect(good).toBeGreaterThan(3 * bad);
    predict(fresh, person(1), 40, 20, CHANNEL, out);
    const known = out[1] as number; // length 2
    predict(fresh, person(1), 50, 20, CHANNEL, out);
    expect(out[1] as number).toBeGreaterThan(known); // length 2
  });

  it('learnTrial: stays finite after 20,000 equal labels, and turns round afterwards', () => {
    const features = person(1);
    for (let i = 0; i < 20_000; i += 1) learnTrial(model, features, ACTION, CATEGORY, CHANNEL, 0, 1, null);
    predict(model, features, ACTION, CATEGORY, CHANNEL, out);
    const low = out[0] as number; // length 2
    expect(low).toBeGreaterThan(-20);
    expect(low).toBeLessThan(-4);
    for (let i = 0; i < 200; i += 1) learnTrial(model, features, ACTION, CATEGORY, CHANNEL, 1, 1, null);
    predict(model, features, ACTION, CATEGORY, CHANNEL, out);
    expect(out[0] as number).toBeGreaterThan(low + 2); // length 2
    expect(out[0] as number).toBeLessThan(20); // length 2
  });

  it('learnTrial and learnResponse: refuse a weight that is not finite, and change nothing', () => {
    const before = model.weights.slice();
    for (const weight of [NaN, -1, Infinity]) {
      expect(() => learnTrial(model, person(1), ACTION, CATEGORY, CHANNEL, 1, weight, null)).toThrow(RangeError);
    }
    for (const change of [NaN, Infinity, -Infinity]) {
      expect(() => learnResponse(model, person(1), ACTION, CATEGORY, CHANNEL, change, null)).toThrow(RangeError);
    }
    learnTrial(model, person(1), ACTION, CATEGORY, CHANNEL, 1, 0, null);
    learnResponse(model, person(1), ACTION, CATEGORY, CHANNEL, 0, null);
    expect(model.weights).toEqual(before);
  });

  it('learnTrial: touches at most TOUCHES_MAX slots', () => {
    const delta = new ModelDelta();
    learnTrial(model, person(1, FEATURES_MAX - 1), ACTION, CATEGORY, CHANNEL, 1, 1, delta);
    expect(delta.count).toBeLessThanOrEqual(TOUCHES_MAX);
    expect(delta.count).toBeGreaterThan(TOUCHES_MAX - 20);
  });
});
