/**
 * The parts together, on simulated people whose truth is known: features, model, choice and learning must
 * earn more than chance within a few thousand rounds, and the exploration floor must keep a good action
 * alive where values are lopsided. Seeds fixed; regret counts expected rewards, so it has no label noise.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allPropensities, ChoiceInput, ChoiceResult, chooseActions } from '../../decision/choice.ts';
import { FeatureVector, mixHash } from '../../decision/features.ts';
import { sigmoid } from '../../decision/normal.ts';
import { drawNormal, drawUniform } from '../../decision/random.ts';
import { learnTrial } from '../../decision/response-learning.ts';
import { predictAll, RESPONSE_PRIORS, ResponseModel, responseMoments } from '../../decision/response-model.ts';

interface World {
  readonly actions: number;
  readonly worth: readonly number[];
  readonly cost: readonly number[];
  /** True response probability of person `round` to an action. */
  probability(round: number, action: number): number;
  features(round: number, out: FeatureVector): void;
}

interface Outcome {
  /** Regret as a share of the uniform policy's. */
  readonly regretShare: number;
  /** Times each action was chosen in the last tenth. */
  readonly lateChoices: Float64Array;
}

function play(world: World, rounds: number, epsilon: number, seed: number, probability: number): Outcome {
  const { actions } = world;
  const model = new ResponseModel(undefined, { ...RESPONSE_PRIORS, probability });
  const features = new FeatureVector();
  const input = new ChoiceInput(actions);
  const result = new ChoiceResult(actions);
  // Numbers of parts: the channel 1, categories from 2, actions behind them.
  const parts = Int32Array.from({ length: actions }, (_, a) => 5 + a);
  const categories = Int32Array.from({ length: actions }, (_, a) => 2 + (a % 3));
  const channels = new Int32Array(actions).fill(1);
  const means = new Float64Array(actions);
  const variances = new Float64Array(actions);
  input.count = actions;
  input.explorationProbability = epsilon;
  for (let a = 0; a < actions; a += 1) {
    input.actionHash[a] = mixHash(a, 1);
    input.worth[a] = world.worth[a] as number; // one an action
    input.cost[a] = world.cost[a] as number; // one an action
  }
  let regret = 0;
  let uniform = 0;
  const lateChoices = new Float64Array(actions);
  for (let round = 0; round < rounds; round += 1) {
    world.features(round, features);
    predictAll(model, features, actions, parts, categories, channels, 4, means, variances);
    responseMoments(actions, means, variances, input.probabilityMean, input.probabilityDeviation);
    let best = -Infinity;
    let mean = 0;
    const rewards = [];
    for (let a = 0; a < actions; a += 1) {
      const reward = world.probability(round, a) * (world.worth[a] as number) - (world.cost[a] as number); // a < actions
      rewards.push(reward);
      best = Math.max(best, reward);
      mean += reward / actions;
    }
    input.seed0 = round;
    input.seed1 = seed;
    chooseActions(input, result);
    const chosen = result.chosen[0] as number; // one wanted
    regret += best - (rewards[chosen] as number); // chosen < actions
    uniform += best - mean;
    if (round >= 0.9 * rounds) lateChoices[chosen] = (lateChoices[chosen] as number) + 1; // chosen < actions
    if (world.worth[chosen] === 0) continue;
    const response = drawUniform(round, seed, 5, 5) < world.probability(round, chosen) ? 1 : 0;
    learnTrial(model, features, parts[chosen] as number, categories[chosen] as number, 1, response, 1, null);
  }
  return { regretShare: regret / uniform, lateChoices };
}

function logistic(actions: number, seed: number): World {
  return {
    actions,
    worth: new Array<number>(actions).fill(100),
    cost: new Array<number>(actions).fill(0),
    probability(round, action) {
      let z = -0.9 + 0.8 * drawNormal(seed, 7, action, 1);
      for (let f = 0; f < 3; f += 1) {
        const value = Math.floor(drawUniform(round, seed, f, 1) * 3);
        z += 0.7 * drawNormal(seed, 8, action, 10 * f + value);
      }
      return sigmoid(z);
    },
    features(round, out) {
      out.reset();
      // The first three matter, the others are noise.
      for (let f = 0; f < 9; f += 1) out.add(mixHash(f, Math.floor(drawUniform(round, seed, f, 1) * 3)), 1);
    },
  };
}

describe('bandit', () => {
  it('contextual bandit of 10 actions: mean regret of 12 worlds after 3,000 rounds at most 25 % of chance', () => {
    // Worlds differ in how far their best actions are apart: single ones range from 8 % to 40 %.
    const shares = Array.from(
      { length: 12 },
      (_, at) => play(logistic(10, at + 1), 3000, 0.02, at + 1, 0.2).regretShare,
    );
    expect(shares.reduce((a, b) => a + b, 0) / 12).toBeLessThanOrEqual(0.25);
    expect(Math.max(...shares)).toBeLessThan(0.5);
  });

  it('any features, labels, weights, values and strategy: finite, and a choice with propensities that sum to one', () => {
    const model = new ResponseModel();
    const features = new FeatureVector();
    const number = fc.oneof(fc.double(), fc.constantFrom(NaN, Infinity, -Infinity, 0, 1e308, -1));
    const money = fc.oneof(fc.constant(0), fc.integer({ min: -1_000_000_000_000, max: 1_000_000_000_000 }));
    const trial = fc.record({
      features: fc.array(fc.tuple(fc.nat(50), number), { maxLength: 8 }),
      labels: fc.oneof(
        fc.constant([]),
        fc.constant([1, 1, 1] as const),
        fc.constant([0, 0, 0] as const),
        fc.constant([0, 1] as const),
      ),
      weight: fc.constantFrom(0, 1e-12, 1, 1e6),
      worth: fc.array(money, { maxLength: 5 }),
      gapWeight: fc.constantFrom(0, 1, 1e9),
    });
    const input = new ChoiceInput(5);
    const result = new ChoiceResult(5);
    const [means, variances] = [new Float64Array(5), new Float64Array(5)];
    const propensities = new Float64Array(5);
    fc.assert(
      fc.property(trial, (given) => {
        features.reset();
        for (const [hash, value] of given.features) features.add(hash, value);
        for (const label of given.labels) learnTrial(model, features, 5, 2, 1, label, given.weight, null);
        input.count = given.worth.length;
        input.gapWeight = given.gapWeight;
        input.explorationProbability = 0.05;
        predictAll(
          model,
          features,
          input.count,
          Int32Array.of(5, 6, 7, 8, 9),
          Int32Array.of(2, 0, 3, 2, 3),
          new Int32Array(5).fill(1),
          4,
          means,
          variances,
        );
        responseMoments(input.count, means, variances, input.probabilityMean, input.probabilityDeviation);
        given.worth.forEach((worth, i) => {
          input.worth[i] = worth;
          input.cost[i] = Math.abs(worth) / 3;
          input.actionHash[i] = mixHash(i, 4);
        });
        chooseActions(input, result);
        allPropensities(input, result, propensities);
        expect(result.count).toBe(Math.min(1, input.count));
        const sum = propensities.subarray(0, input.count).reduce((a, b) => a + b, 0);
        expect(Math.abs(sum - result.count)).toBeLessThan(1e-4);
        if (result.count === 1) expect(result.propensity[0]).toBe(propensities[result.chosen[0] as number]); // chosen < count
      }),
      { numRuns: 300, seed: 5 },
    );
  });

  it('lopsided values: the floor brings back a good action that looked ruinous at first', () => {
    // Eating earns 5 if safe (p = .97) and loses 35 if not; passing earns 0. The prior believes in p = .3.
    const world: World = {
      actions: 2,
      worth: [40, 0],
      cost: [35, 0],
      probability: () => 0.97,
      features: (round, out) => {
        out.reset();
        for (let f = 0; f < 5; f += 1) out.add(mixHash(f, Math.floor(drawUniform(round, 3, f, 1) * 3)), 1);
      },
    };
    let lockedOut = 0;
    for (let seed = 1; seed <= 6; seed += 1) {
      const late = play(world, 4000, 0.05, seed, 0.3).lateChoices;
      expect(late[0]).toBeGreaterThan(0.9 * 400); // the floor itself passes 2.5 % of the time
      if (play(world, 4000, 0, seed, 0.3).lateChoices[0] === 0) lockedOut += 1;
    }
    // Without the floor some seeds never eat: the test would otherwise show nothing.
    expect(lockedOut).toBeGreaterThan(0);
  });
});
