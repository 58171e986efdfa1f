/**
 * Which actions, and with what probability. Thompson sampling in the space of scores: the response
 * probability of candidate i is drawn from Normal(mean_i, deviation_i^2), the moments of the model's
 * logistic-normal, so
 *
 *   score_i = draw_i x worth_i - cost_i    is    Normal(mean_i worth_i - cost_i, (deviation_i worth_i)^2),
 *
 * independent between candidates, and the probability that i is among the best is an integral, not a
 * simulation (`propensity.ts`). Traded away: the skew of the logistic-normal; a draw may leave [0, 1].
 * With probability eps the order is instead uniformly random, which keeps every allowed action alive
 * (without it, large negative values lock a good action out on some seeds). Propensities cover both.
 * Structures are reused: nothing is allocated once they have grown to the largest candidate count.
 *
 * With a `gapWeight` the order is SquareCB's instead (`inverse-gap.ts`): by expected score, the last place drawn by
 * inverse-gap weighting. The floor and its mixing are the same.
 */
import { chooseByGap, gapProbabilities } from './inverse-gap.ts';
import { SLATE_MAX, topProbability } from './propensity.ts';
import { drawNormals, drawUniform, drawUniforms, PURPOSE } from './random.ts';

/** The candidates of one decision, as parallel arrays; index order is key order and breaks ties. */
export class ChoiceInput {
  /** Candidates, n; entries from here on mean nothing. */
  count = 0;
  /** Actions wanted, k; at most SLATE_MAX are given. */
  wanted = 1;
  /** eps, in [0, 1]. */
  explorationProbability = 0;
  /** SquareCB's gamma, > 0; 0 is Thompson sampling. */
  gapWeight = 0;
  /** From `seedFrom`. */
  seed0 = 0;
  seed1 = 0;
  /** Mean and standard deviation (>= 0) of the response probability, from `responseMoments`. */
  probabilityMean = new Float64Array(0);
  probabilityDeviation = new Float64Array(0);
  /** value x contextWeight x lever, minor units; may be zero or negative. */
  worth = new Float64Array(0);
  /** Contact cost, minor units. */
  cost = new Float64Array(0);
  /** One candidate an action: equal hashes would share a draw, and draws must be independent. */
  actionHash = new Uint32Array(0);

  constructor(capacity = 64) {
    this.reserve(capacity);
  }

  /** Makes room for `count` candidates; on growth the entries are lost. */
  reserve(count: number): void {
    if (this.actionHash.length >= count) return;
    this.probabilityMean = new Float64Array(count);
    this.probabilityDeviation = new Float64Array(count);
    this.worth = new Float64Array(count);
    this.cost = new Float64Array(count);
    this.actionHash = new Uint32Array(count);
  }
}

export class ChoiceResult {
  /** Chosen actions: min(wanted, n, SLATE_MAX). */
  count = 0;
  /** True when the order was the uniform one. */
  explored = false;
  /** Candidate indices, best first. */
  readonly chosen: Uint32Array = new Uint32Array(SLATE_MAX);
  /** Of each chosen: the probability to be among the `count` given (not: at that place), in (0, 1]. */
  readonly propensity: Float64Array = new Float64Array(SLATE_MAX);
  /** By candidate, minor units: mean and standard deviation of the score, and the score drawn. */
  scoreMean = new Float64Array(0);
  scoreDeviation = new Float64Array(0);
  drawnScore = new Float64Array(0);
  /** What places were given by when exploring: uniform draws. */
  explorationDraw = new Float64Array(0);
  /** By candidate: probability to be among the given before the floor; filled with a `gapWeight` only. */
  gapProbability = new Float64Array(0);

  constructor(capacity = 64) {
    this.reserve(capacity);
  }

  /** Makes room for `count` candidates; called by `chooseActions`. */
  reserve(count: number): void {
    if (this.drawnScore.length >= count) return;
    this.scoreMean = new Float64Array(count);
    this.scoreDeviation = new Float64Array(count);
    this.drawnScore = new Float64Array(count);
    this.explorationDraw = new Float64Array(count);
    this.gapProbability = new Float64Array(count);
  }
}

/** Smallest propensity reported: what the quadrature leaves out, so that a weight 1/propensity is finite. */
export const PROPENSITY_MIN = 1e-9;
/** A deviation below this share of the mean is lost in rounding: the score counts as a point. */
const POINT_SHARE = 1e-12;

const keys = new Float64Array(SLATE_MAX);

/** The `places` best of `count` keys. */
function takeBest(out: ChoiceResult, places: number, rank: Float64Array, count: number): void {
  for (let i = 0; i < count; i += 1) {
    const key = rank[i] as number; // i < count
    if (out.count < places || key > (keys[places - 1] as number)) offer(out, places, i, key); // places >= 1
  }
}

/** Takes in a candidate that is among the `places` best of those in index order so far; an equal key does not displace. */
function offer(out: ChoiceResult, places: number, index: number, key: number): void {
  let at = Math.min(out.count, places - 1);
  out.count = at + 1;
  while (at > 0 && key > (keys[at - 1] as number)) {
    keys[at] = keys[at - 1] as number; // at >= 1
    out.chosen[at] = out.chosen[at - 1] as number; // at >= 1
    at -= 1;
  }
  keys[at] = key;
  out.chosen[at] = index;
}

function mixed(probability: number, epsilon: number, places: number, count: number): number {
  if (count <= places) return 1;
  const p = (1 - epsilon) * probability + (epsilon * places) / count;
  return Math.min(Math.max(p, PROPENSITY_MIN), 1);
}

/** Score moments of all candidates into `out`. @throws RangeError for a score that is not finite (our bug) */
function scoreMoments(input: ChoiceInput, out: ChoiceResult): void {
  const { probabilityMean, probabilityDeviation, worth, cost, count } = input;
  out.reserve(count);
  for (let i = 0; i < count; i += 1) {
    const w = worth[i] as number; // i < count <= length
    const mean = (probabilityMean[i] as number) * w - (cost[i] as number); // i < count
    const size = mean < 0 ? -mean : mean;
    const spread = (probabilityDeviation[i] as number) * (w < 0 ? -w : w); // i < count
    if (!(size + spread < Infinity) || !(spread >= 0))
      throw new RangeError(`candidate ${i}: score ${mean} +- ${spread}`);
    out.scoreMean[i] = mean;
    out.scoreDeviation[i] = spread > POINT_SHARE * size && spread > 1e-100 ? spread : 0;
  }
}

/**
 * Chooses the actions of one decision.
 *
 * @param input read only; n = 0 or wanted < 1 gives an empty result
 * @param out overwritten
 * Draws taken: one uniform (explore, subject 0), one normal a candidate with variance (action), and when
 *   exploring one uniform a candidate (permutation); each a function of the seed and the action only. With a
 *   `gapWeight` one uniform (inverseGap, subject 0) in place of the normals.
 * Ties: the lower index. Cost: 60 ns a candidate and `topProbability` for each chosen.
 * @throws RangeError for a score that is not finite or an exploration probability outside [0, 1]
 */
export function chooseActions(input: ChoiceInput, out: ChoiceResult): void {
  const { count, explorationProbability: epsilon, gapWeight, seed0, seed1, actionHash } = input;
  if (!(epsilon >= 0 && epsilon <= 1)) throw new RangeError(`exploration probability ${epsilon}: in [0, 1]`);
  if (!(gapWeight >= 0)) throw new RangeError(`gap weight ${gapWeight}: >= 0`);
  out.count = 0;
  out.explored = false;
  const places = Math.min(Math.floor(input.wanted), count, SLATE_MAX);
  if (!(places >= 1)) return;
  scoreMoments(input, out);
  out.explored = epsilon > 0 && drawUniform(seed0, seed1, 0, PURPOSE.explore) < epsilon;
  if (gapWeight > 0) {
    chooseInverseGap(input, out, places);
    return;
  }
  const { drawnScore, explorationDraw } = out;
  drawNormals(seed0, seed1, actionHash, count, PURPOSE.action, drawnScore);
  for (let i = 0; i < count; i += 1) {
    const deviation = out.scoreDeviation[i] as number; // i < count
    const drawn = out.scoreMean[i] as number; // i < count
    drawnScore[i] = deviation > 0 ? drawn + deviation * (drawnScore[i] as number) : drawn; // i < count
  }
  if (out.explored) drawUniforms(seed0, seed1, actionHash, count, PURPOSE.permutation, explorationDraw);
  const rank = out.explored ? explorationDraw : drawnScore;
  takeBest(out, places, rank, count);
  for (let at = 0; at < places; at += 1) {
    const index = out.chosen[at] as number; // at < places = out.count
    // With a certain exploration the scores do not matter.
    const byScore = epsilon < 1 ? topProbability(count, out.scoreMean, out.scoreDeviation, index, places) : 0;
    out.propensity[at] = mixed(byScore, epsilon, places, count);
  }
}

/** `scoreMoments` has been called, and `out.explored` is known. */
function chooseInverseGap(input: ChoiceInput, out: ChoiceResult, places: number): void {
  const { count, explorationProbability: epsilon, seed0, seed1, actionHash } = input;
  const { scoreMean, gapProbability } = out;
  gapProbabilities(count, scoreMean, places, input.gapWeight, worthMax(input), gapProbability);
  for (let i = 0; i < count; i += 1) out.drawnScore[i] = scoreMean[i] as number; // i < count
  if (out.explored) {
    drawUniforms(seed0, seed1, actionHash, count, PURPOSE.permutation, out.explorationDraw);
    takeBest(out, places, out.explorationDraw, count);
  } else {
    const u = drawUniform(seed0, seed1, 0, PURPOSE.inverseGap);
    out.count = chooseByGap(count, scoreMean, places, gapProbability, u, out.chosen);
  }
  for (let at = 0; at < places; at += 1) {
    const index = out.chosen[at] as number; // at < places = out.count
    out.propensity[at] = mixed(gapProbability[index] as number, epsilon, places, count); // index < count
  }
}

/** The largest gap that a response can make, minor units: what SquareCB's gaps are measured by. */
function worthMax({ count, worth }: ChoiceInput): number {
  let max = 0;
  for (let i = 0; i < count; i += 1) {
    const w = worth[i] as number; // i < count
    max = Math.max(max, w < 0 ? -w : w);
  }
  return max;
}

/**
 * The propensity of every candidate, chosen or not; they sum to min(wanted, n) within 1e-5. For logging
 * whole policies, explain and tests: n times the cost of one.
 *
 * @param scratch its score moments are overwritten, its choice is kept
 * @param propensities length >= n, overwritten
 */
export function allPropensities(input: ChoiceInput, scratch: ChoiceResult, propensities: Float64Array): void {
  const { count, explorationProbability: epsilon } = input;
  const places = Math.min(Math.floor(input.wanted), count, SLATE_MAX);
  if (!(places >= 1)) {
    propensities.fill(0, 0, count);
    return;
  }
  scoreMoments(input, scratch);
  const { gapWeight } = input;
  const { gapProbability } = scratch;
  if (gapWeight > 0) gapProbabilities(count, scratch.scoreMean, places, gapWeight, worthMax(input), gapProbability);
  for (let i = 0; i < count; i += 1) {
    if (gapWeight > 0) {
      propensities[i] = mixed(gapProbability[i] as number, epsilon, places, count); // i < count
      continue;
    }
    const byScore = topProbability(count, scratch.scoreMean, scratch.scoreDeviation, i, places);
    propensities[i] = mixed(byScore, epsilon, places, count);
  }
}
