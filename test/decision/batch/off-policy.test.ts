/**
 * The estimators on a synthetic world whose truth is known: contexts uniform on four values, three
 * actions, Bernoulli rewards with p = REWARD[x][a], logging policy LOG[x], target policy TARGET[x]. The
 * truth of any policy is then a finite sum. Statistical bounds are in standard errors and state their n.
 */
import { describe, expect, it } from 'vitest';
import {
  EFFECTIVE_SAMPLE_SIZE_MIN,
  effectiveSampleSize,
  evaluatePolicy,
  type LoggedRows,
  REWARDED_ROWS_MIN,
} from '../../../decision/batch/off-policy.ts';
import { mixHash } from '../../../decision/features.ts';

const REWARD = [
  [0.1, 0.4, 0.2],
  [0.5, 0.1, 0.3],
  [0.05, 0.1, 0.6],
  [0.3, 0.3, 0.3],
] as const;
const LOG = [
  [0.6, 0.2, 0.2],
  [0.2, 0.4, 0.4],
  [0.5, 0.3, 0.2],
  [1 / 3, 1 / 3, 1 / 3],
] as const;
const TARGET = [
  [0.1, 0.8, 0.1],
  [0.7, 0.1, 0.2],
  [0.1, 0, 0.9],
  [0.2, 0.2, 0.6],
] as const;

function truth(policy: readonly (readonly number[])[]): number {
  let value = 0;
  for (let x = 0; x < 4; x += 1)
    for (let a = 0; a < 3; a += 1) value += (0.25 * (policy[x]?.[a] ?? 0) * (REWARD[x]?.[a] ?? 0)) as number;
  return value;
}

/** A generator of uniforms: a counter through the feature hash; good enough for a simulation. */
function uniforms(seed: number): () => number {
  let counter = 0;
  return () => {
    counter += 1;
    return mixHash(mixHash(seed, 0x1234567), counter) / 4294967296;
  };
}

interface World extends LoggedRows {
  readonly loggedPredictions: Float64Array;
  readonly targetPredictions: Float64Array;
}

/** @param modelBias added to every true reward probability in the predictions */
function simulate(n: number, seed: number, modelBias = 0, isSampled = false): World {
  const draw = uniforms(seed);
  const world = {
    rewards: new Float64Array(n),
    loggingPropensities: new Float64Array(n),
    targetProbabilities: new Float64Array(n),
    loggedPredictions: new Float64Array(n),
    targetPredictions: new Float64Array(n),
  };
  const pick = (probabilities: readonly number[]): number => {
    const u = draw();
    if (u < (probabilities[0] ?? 0)) return 0;
    return u < (probabilities[0] ?? 0) + (probabilities[1] ?? 0) ? 1 : 2;
  };
  for (let i = 0; i < n; i += 1) {
    const x = Math.floor(draw() * 4);
    const log = LOG[x] as readonly number[];
    const target = TARGET[x] as readonly number[];
    const reward = REWARD[x] as readonly number[];
    const action = pick(log);
    const chosen = pick(target);
    world.rewards[i] = draw() < (reward[action] ?? 0) ? 1 : 0;
    world.loggingPropensities[i] = log[action] ?? 0;
    world.targetProbabilities[i] = isSampled ? Number(action === chosen) : (target[action] ?? 0);
    world.loggedPredictions[i] = (reward[action] ?? 0) + modelBias;
    world.targetPredictions[i] =
      modelBias + (isSampled ? (reward[chosen] ?? 0) : target.reduce((sum, p, a) => sum + p * (reward[a] ?? 0), 0));
  }
  return world;
}

describe('evaluatePolicy', () => {
  it('evaluatePolicy: every estimator is within 4 standard errors of the truth on 40,000 rows', () => {
    const result = evaluatePolicy(simulate(40_000, 1));
    const value = truth(TARGET);
    for (const name of ['ips', 'snips', 'direct', 'doublyRobust'] as const) {
      const estimate = result[name];
      if (estimate === null) throw new Error(name);
      expect(Math.abs(estimate.value - value), name).toBeLessThan(4 * estimate.standardError);
      expect(estimate.standardError, name).toBeLessThan(0.02);
    }
    const log = truth(LOG);
    expect(Math.abs(result.logging.value - log)).toBeLessThan(4 * result.logging.standardError);
    expect(Math.abs(result.lift.value - (value / log - 1))).toBeLessThan(4 * result.lift.standardError);
    expect(result.weightMax).toBeCloseTo(4.5, 10);
    expect(result.isReliable).toBe(true);
  });

  it('evaluatePolicy: a wrong reward model misleads DM by its bias and DR not at all', () => {
    const result = evaluatePolicy(simulate(40_000, 2, 0.2));
    expect(result.direct?.value).toBeGreaterThan(truth(TARGET) + 0.19);
    expect(Math.abs((result.doublyRobust?.value ?? 0) - truth(TARGET))).toBeLessThan(
      4 * (result.doublyRobust?.standardError ?? 0),
    );
  });

  it('evaluatePolicy: with a right reward model DR has less error than IPS, and SNIPS less than IPS', () => {
    const result = evaluatePolicy(simulate(20_000, 3));
    expect(result.doublyRobust?.standardError).toBeLessThan(result.ips.standardError);
    expect(result.snips.standardError).toBeLessThan(result.ips.standardError);
  });

  it('evaluatePolicy: standard errors are the spread of the estimates over 300 repetitions', () => {
    const columns = { ips: [], snips: [], doublyRobust: [], logging: [], lift: [] } as Record<string, number[]>;
    const errors = { ips: 0, snips: 0, doublyRobust: 0, logging: 0, lift: 0 } as Record<string, number>;
    const repetitions = 300;
    for (let seed = 0; seed < repetitions; seed += 1) {
      const result = evaluatePolicy(simulate(1000, 100 + seed));
      for (const name of ['ips', 'snips', 'doublyRobust', 'logging', 'lift'] as const) {
        columns[name]?.push(result[name]?.value ?? Number.NaN);
        errors[name] = (errors[name] ?? 0) + (result[name]?.standardError ?? Number.NaN) / repetitions;
      }
    }
    for (const [name, values] of Object.entries(columns)) {
      const mean = values.reduce((a, b) => a + b, 0) / repetitions;
      const spread = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / (repetitions - 1));
      // A spread of 300 has a relative error of 1 / sqrt(600) = 4 %; 16 % is four of those.
      expect((errors[name] ?? 0) / spread, name).toBeGreaterThan(0.84);
      expect((errors[name] ?? 0) / spread, name).toBeLessThan(1.16);
    }
  });

  it('evaluatePolicy: a sampled target policy gives the same values with weights of 1/p or 0', () => {
    const result = evaluatePolicy(simulate(40_000, 4, 0, true));
    for (const name of ['ips', 'snips', 'doublyRobust'] as const) {
      const estimate = result[name];
      expect(Math.abs((estimate?.value ?? 0) - truth(TARGET)), name).toBeLessThan(4 * (estimate?.standardError ?? 0));
    }
  });

  it('evaluatePolicy: with constant propensities SNIPS of a sampled policy is the mean over matched rows', () => {
    const rewards = Float64Array.of(1, 0, 3, 5, 7);
    const result = evaluatePolicy({
      rewards,
      loggingPropensities: new Float64Array(5).fill(0.25),
      targetProbabilities: Float64Array.of(1, 0, 1, 0, 1),
    });
    expect(result.snips.value).toBeCloseTo(11 / 3, 12);
    expect(result.ips.value).toBeCloseTo((4 * 11) / 5, 12);
    expect(result.effectiveSampleSize).toBeCloseTo(3, 12);
    expect(result.supportedRows).toBe(3);
    expect(result.direct).toBeNull();
    // Delta method by hand: squares of (r - mean) / 3 of the matched, times 5/4.
    const mean = 11 / 3;
    const squares = [1, 3, 7].reduce((sum, r) => sum + ((r - mean) / 3) ** 2, 0);
    expect(result.snips.standardError).toBeCloseTo(Math.sqrt((squares * 5) / 4), 12);
  });

  it('evaluatePolicy: rows repeated as clusters know no more than once', () => {
    const once = simulate(500, 5);
    const thrice = (values: Float64Array): Float64Array => Float64Array.from([...values, ...values, ...values]);
    const repeated = {
      rewards: thrice(once.rewards),
      loggingPropensities: thrice(once.loggingPropensities),
      targetProbabilities: thrice(once.targetProbabilities),
      clusters: Uint32Array.from({ length: 1500 }, (_, i) => i % 500),
    };
    const single = evaluatePolicy(once);
    const triple = evaluatePolicy(repeated);
    expect(triple.clusters).toBe(500);
    expect(triple.snips.value).toBeCloseTo(single.snips.value, 12);
    expect(triple.snips.standardError).toBeCloseTo(single.snips.standardError, 12);
    expect(triple.lift.standardError).toBeCloseTo(single.lift.standardError, 12);
    expect(triple.effectiveSampleSize).toBeCloseTo(single.effectiveSampleSize, 8);
  });

  it('evaluatePolicy: clipping cuts weights, says how many, and keeps the largest on record', () => {
    const world = simulate(10_000, 6);
    const free = evaluatePolicy(world);
    const clipped = evaluatePolicy(world, 2);
    expect(free.clippedShare).toBe(0);
    expect(clipped.clippedShare).toBeGreaterThan(0.1);
    expect(clipped.weightMax).toBe(free.weightMax);
    expect(clipped.ips.value).toBeLessThan(free.ips.value);
  });

  it.each([
    ['one row', [1], [1], [1], { ips: 1, snips: 1, error: Number.POSITIVE_INFINITY }],
    ['no support', [1, 0], [0.5, 0.5], [0, 0], { ips: 0, snips: Number.NaN, error: 0 }],
    ['rewards of 0', [0, 0], [0.5, 0.5], [1, 1], { ips: 0, snips: 0, error: 0 }],
    ['losses', [-5, -3], [1, 1], [1, 1], { ips: -4, snips: -4, error: Math.sqrt((2 * 2 * 0.25) / 1) }],
    ['a propensity of 1e-9', [1, 1], [1e-9, 1], [1, 1], { ips: (1e9 + 1) / 2, snips: 1, error: 499_999_999.5 }],
  ] as const)('evaluatePolicy: extremes, %s', (_, rewards, log, target, expected) => {
    const result = evaluatePolicy({
      rewards: Float64Array.from(rewards),
      loggingPropensities: Float64Array.from(log),
      targetProbabilities: Float64Array.from(target),
    });
    expect(result.ips.value).toBeCloseTo(expected.ips, 6);
    expect(result.snips.value).toEqual(Number.isNaN(expected.snips) ? Number.NaN : expect.closeTo(expected.snips, 10));
    if (Number.isFinite(expected.error)) expect(result.ips.standardError).toBeCloseTo(expected.error, 3);
    else expect(result.ips.standardError).toBe(expected.error);
    expect(result.isReliable).toBe(false);
  });

  it('evaluatePolicy: a logging mean of 0 has no lift', () => {
    const zero = new Float64Array(3);
    const ones = new Float64Array(3).fill(1);
    const result = evaluatePolicy({ rewards: zero, loggingPropensities: ones, targetProbabilities: ones });
    expect(result.lift.value).toBeNaN();
  });

  it('evaluatePolicy: reliable from the effective sample size on, not below', () => {
    for (const [n, isReliable] of [
      [EFFECTIVE_SAMPLE_SIZE_MIN - 1, false],
      [EFFECTIVE_SAMPLE_SIZE_MIN, true],
    ] as const) {
      const ones = new Float64Array(n).fill(1);
      const result = evaluatePolicy({ rewards: ones, loggingPropensities: ones, targetProbabilities: ones });
      expect(result.isReliable).toBe(isReliable);
    }
  });

  it('evaluatePolicy: many rows with too few rewards are not reliable, however small the error', () => {
    const ones = new Float64Array(5000).fill(1);
    for (const [count, isReliable] of [
      [0, false],
      [REWARDED_ROWS_MIN - 1, false],
      [REWARDED_ROWS_MIN, true],
    ] as const) {
      const rewards = new Float64Array(5000).fill(1, 0, count);
      const result = evaluatePolicy({ rewards, loggingPropensities: ones, targetProbabilities: ones });
      expect(result).toMatchObject({ rewardedClusters: count, isReliable, effectiveSampleSize: 5000 });
    }
    // A reward on a row without weight is no evidence, and one row met often is one.
    const rewards = new Float64Array(5000).fill(1);
    const targetProbabilities = new Float64Array(5000).fill(1, 0, 40);
    const clusters = Uint32Array.from({ length: 5000 }, (_, i) => i % 4);
    const result = evaluatePolicy({ rewards, loggingPropensities: ones, targetProbabilities, clusters });
    expect(result).toMatchObject({ rewardedClusters: 4, isReliable: false });
  });

  const good = {
    rewards: Float64Array.of(0, 1),
    loggingPropensities: Float64Array.of(0.5, 0.5),
    targetProbabilities: Float64Array.of(1, 0),
  };
  it.each<[string, LoggedRows, RegExp]>([
    ['no rows', { ...good, rewards: new Float64Array(0) }, /rewards: no rows/],
    ['NaN reward', { ...good, rewards: Float64Array.of(0, Number.NaN) }, /rewards\[1\] is NaN/],
    ['infinite reward', { ...good, rewards: Float64Array.of(0, Infinity) }, /rewards\[1\] is Infinity/],
    ['propensity 0', { ...good, loggingPropensities: Float64Array.of(0, 1) }, /loggingPropensities\[0\] is 0/],
    ['propensity above 1', { ...good, loggingPropensities: Float64Array.of(1, 1.01) }, /\[1\] is 1.01.*\(0, 1\]/],
    ['NaN propensity', { ...good, loggingPropensities: Float64Array.of(1, Number.NaN) }, /\[1\] is NaN/],
    ['short propensities', { ...good, loggingPropensities: Float64Array.of(1) }, /1 values for 2 rewards/],
    ['negative probability', { ...good, targetProbabilities: Float64Array.of(-0.1, 1) }, /\[0\] is -0.1/],
    ['probability above 1', { ...good, targetProbabilities: Float64Array.of(1, 2) }, /\[1\] is 2/],
    ['short clusters', { ...good, clusters: new Uint32Array(1) }, /clusters: 1 values/],
    ['cluster out of range', { ...good, clusters: Uint32Array.of(0, 2) }, /clusters\[1\] is 2/],
    ['one kind of prediction', { ...good, loggedPredictions: new Float64Array(2) }, /both or neither/],
    [
      'NaN prediction',
      { ...good, loggedPredictions: new Float64Array(2), targetPredictions: Float64Array.of(0, Number.NaN) },
      /targetPredictions\[1\] is NaN/,
    ],
  ])('evaluatePolicy: refuses %s', (_, rows, message) => {
    expect(() => evaluatePolicy(rows)).toThrow(message);
    expect(() => evaluatePolicy(rows)).toThrow(RangeError);
  });

  it.each([0, -1, Number.NaN])('evaluatePolicy: refuses a weight limit of %s', (limit) => {
    expect(() => evaluatePolicy(good, limit)).toThrow(/weightLimit/);
  });
});

describe('effectiveSampleSize', () => {
  it.each([
    ['no rows', [], 0],
    ['no weight', [0, 0], 0],
    ['equal weights', [2, 2, 2], 3],
    ['one weight', [5, 0, 0], 1],
    ['1 and 3', [1, 3], 1.6],
  ] as const)('effectiveSampleSize: %s', (_, weights, expected) => {
    expect(effectiveSampleSize(Float64Array.from(weights))).toBeCloseTo(expected, 12);
  });

  it('effectiveSampleSize: weights of one cluster count as one', () => {
    expect(effectiveSampleSize(Float64Array.of(1, 1, 1, 1), Uint32Array.of(0, 0, 1, 1))).toBeCloseTo(2, 12);
    expect(() => effectiveSampleSize(Float64Array.of(1), Uint32Array.of(1))).toThrow(RangeError);
  });
});
