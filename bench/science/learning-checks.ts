/**
 * What sharing costs: the regret of Thompson sampling when four shards each see a quarter of the people, against
 * one that sees all, with the real exchange between them. Regret counts expected responses, so it has no label noise.
 */
import { FeatureVector, mixHash } from '../../decision/features.ts';
import { applyDelta, ModelDelta, rebase } from '../../decision/model-delta.ts';
import { sigmoid } from '../../decision/normal.ts';
import { drawNormal, drawUniform } from '../../decision/random.ts';
import { learnTrial } from '../../decision/response-learning.ts';
import { predictAll, ResponseModel, responseMoments } from '../../decision/response-model.ts';
import {
  createLearningMemory,
  type LearningBox,
  LearningExchange,
  type SharedModels,
} from '../../workers/learning-exchange.ts';
import { atLeast, atMost, type Finding, type ScienceCheck } from './science-check.ts';

const ACTIONS = 10;
const ROUNDS = 20_000;
const MERGED_EVERY = 100;
const SEEDS = 60;
/** The catalog's default; without a floor some worlds lock a good action out, and they alone then decide the mean. */
const FLOOR_PROBABILITY = 0.02;
/** Numbers of the model's parts: the channel is 1. */
const PARTS = Int32Array.from({ length: ACTIONS }, (_, action) => 2 + action);
const NO_CATEGORY = new Int32Array(ACTIONS);
const CHANNELS = new Int32Array(ACTIONS).fill(1);
const VALUES = 3;

/** Ten actions; a person has nine features of three values, of which three matter: logit -0.9, deviations 0.8 and 0.7. */
class World {
  readonly #seed: number;
  readonly #base = new Float64Array(ACTIONS);
  readonly #taste = new Float64Array(ACTIONS * 3 * VALUES);
  readonly probabilities = new Float64Array(ACTIONS);
  readonly features = new FeatureVector();
  best = 0;

  constructor(seed: number) {
    this.#seed = seed;
    for (let action = 0; action < ACTIONS; action++) {
      this.#base[action] = -0.9 + 0.8 * drawNormal(seed, 7, action, 1);
      for (let i = 0; i < 3 * VALUES; i++)
        this.#taste[action * 3 * VALUES + i] = 0.7 * drawNormal(seed, 8, action, 1 + i);
    }
  }

  meet(round: number): void {
    const value = (f: number): number => Math.floor(drawUniform(round, this.#seed, f, 1) * VALUES);
    this.features.reset();
    for (let f = 0; f < 9; f++) this.features.add(mixHash(f, value(f)), 1);
    this.best = 0;
    for (let action = 0; action < ACTIONS; action++) {
      let z = this.#base[action] as number; // one an action
      for (let f = 0; f < 3; f++) z += this.#taste[action * 3 * VALUES + f * VALUES + value(f)] as number; // value < VALUES
      this.probabilities[action] = sigmoid(z);
      this.best = Math.max(this.best, sigmoid(z));
    }
  }
}

/** The response model of one shard, shared as `ShardModels` shares it. */
class Learner implements SharedModels {
  readonly model = new ResponseModel();
  readonly base = new ResponseModel();
  readonly open = new ModelDelta();

  publish(box: LearningBox, upToBatch: number): void {
    box.fill(this.open, [], upToBatch);
  }
  merge(boxes: readonly LearningBox[]): void {
    for (const box of boxes) applyDelta(this.base, box);
    for (const box of boxes) rebase(this.model, this.base, box, this.open);
  }
}

/** @param steps how often each shard steps after every hundredth round; 0: they never learn from each other */
function regretOf(seed: number, shards: number, steps: number): number {
  const world = new World(seed);
  const learners = Array.from({ length: shards }, () => new Learner());
  const memory = createLearningMemory(shards);
  const exchanges = learners.map((learner, shard) => new LearningExchange(memory, shard, learner));
  const means = new Float64Array(ACTIONS);
  const variances = new Float64Array(ACTIONS);
  const likely = new Float64Array(ACTIONS);
  const deviations = new Float64Array(ACTIONS);
  let regret = 0;
  for (let round = 0; round < ROUNDS; round++) {
    world.meet(round);
    const { model, open } = learners[round % shards] as Learner; // one a shard
    predictAll(model, world.features, ACTIONS, PARTS, NO_CATEGORY, CHANNELS, 0, means, variances);
    responseMoments(ACTIONS, means, variances, likely, deviations);
    let chosen = 0;
    let highest = Number.NEGATIVE_INFINITY;
    for (let action = 0; action < ACTIONS; action++) {
      const drawn = drawNormal(round, seed, action, 2);
      const score = (likely[action] as number) + (deviations[action] as number) * drawn; // one an action
      if (score > highest) [highest, chosen] = [score, action];
    }
    if (drawUniform(round, seed, ACTIONS, 4) < FLOOR_PROBABILITY)
      chosen = Math.floor(drawUniform(round, seed, ACTIONS, 5) * ACTIONS);
    const probability = world.probabilities[chosen] as number; // chosen < ACTIONS
    regret += world.best - probability;
    const response = drawUniform(round, seed, chosen, 3) < probability ? 1 : 0;
    learnTrial(model, world.features, PARTS[chosen] as number, 0, 1, response, 1, shards > 1 ? open : null);
    if (round % MERGED_EVERY !== MERGED_EVERY - 1) continue;
    for (let step = 0; step < steps; step++) for (const exchange of exchanges) exchange.step(1);
  }
  return regret;
}

interface Sample {
  readonly mean: number;
  readonly se: number;
}
function sampleOf(values: readonly number[]): Sample {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1);
  return { mean, se: Math.sqrt(variance / values.length) };
}

function fourShards(): readonly Finding[] {
  const seeds = Array.from({ length: SEEDS }, (_, i) => 1 + i);
  const runs = (shards: number, steps: number): number[] => seeds.map((seed) => regretOf(seed, shards, steps));
  const single = runs(1, 0);
  // Twice: what is published in the first step is merged in the second.
  const merged = runs(4, 2);
  const late = runs(4, 1);
  const never = runs(4, 0);
  const [one, four, slow, apart] = [single, merged, late, never].map(sampleOf) as [Sample, Sample, Sample, Sample];
  const text = ({ mean, se }: Sample): string => `${mean.toFixed(0)} (se ${se.toFixed(0)})`;
  // Seeds are worlds: the ratio's error is that of the paired differences.
  const pairedSe = (values: readonly number[]): string =>
    (sampleOf(values.map((value, i) => value - (single[i] as number))).se / one.mean).toFixed(3); // one a seed
  const figure = (how: string, sample: Sample, values: readonly number[]): string =>
    `four shards ${how}: regret ${text(sample)} over one's ${text(one)}, seeds 1-${SEEDS}, se ${pairedSe(values)}`;
  return [
    atMost(figure('merged every 100 rounds', four, merged), 1.1, four.mean / one.mean),
    atMost(figure('merged a step of the exchange late', slow, late), 1.1, slow.mean / one.mean),
    atLeast(figure('never merged', apart, never), 1.5, apart.mean / one.mean, 'the harm that merging undoes'),
  ];
}

export const LEARNING_CHECKS: readonly ScienceCheck[] = [
  {
    name: 'learning: four shards against one',
    source:
      'science.md section 5: single 433±32, four merged 464±39, never 1,020±51, in a world that is not published; here one of our own',
    needs: [],
    isFast: false,
    run: fourShards,
  },
];
