/**
 * Will this person respond to this action? Logistic regression on hashed features with a diagonal
 * Laplace posterior (Chapelle and Li, "An empirical evaluation of Thompson sampling", NIPS 2011,
 * algorithm 3): one mean and one precision for each of 2^18 slots, 4 MB, of any memory, shared or not.
 *
 *   logit = prior + sum over parts c, features i of  x[c,i] * weight[(hash(feature i) + number(c)) mod 2^18]
 *   part       c                bias scale   features scale (divided by the root of their squares)
 *   global     one constant        1            .35        base rate, and who responds to anything
 *   category   action's category   .5           .35        a new action starts from its siblings
 *   channel    channel             .5           0
 *   action     action              .7           .5         what is particular to this action
 *
 * The scales squared, over the prior precision, are the prior variances of the logit: 2.5 in all. They
 * are the learning rate too: with unit values and no norm, 30 features would make the first response
 * jump the logit by 28. A step stays free of oscillation while p(1-p) x variance < 2; here it is <= .63.
 * Deviation from the paper: one Newton step an observation instead of a batch optimum.
 *
 * A part is named by its number in the `PartRegister`, not by a hash of its own, so that the weights of one
 * feature for all actions of a catalog lie side by side: four of them are one cache line, and scoring many
 * candidates walks along rows instead of jumping about in 4 MB (a quarter of the misses).
 */
import { BIAS_HASH, type FeatureVector } from './features.ts';
import { exponentials, logit, sigmoid } from './normal.ts';

const SLOT_BITS = 18;
export const RESPONSE_SLOTS = 1 << SLOT_BITS;
const SHIFT = 32 - SLOT_BITS;
/** Size of a buffer for `ResponseModel`: a pair of doubles (mean, precision) a slot. */
export const RESPONSE_MODEL_BYTES = RESPONSE_SLOTS * 16;
/** Everybody's part; others have numbers from 1, and 0 stands for "none" where a part may be missing. */
export const GLOBAL_PART = 0;
/** Rows begin at a cache line: 4 pairs of doubles. */
const ROW_MASK = (RESPONSE_SLOTS - 1) & ~3;
export const SCALES = {
  global: { bias: 1, features: 0.35 },
  category: { bias: 0.5, features: 0.35 },
  channel: { bias: 0.5, features: 0 },
  action: { bias: 0.7, features: 0.5 },
} as const;

export interface ResponsePriors {
  /** Expected share of responses before any evidence, in (0, 1). */
  readonly probability: number;
  /** Precision of each weight before any evidence, > 0; larger learns slower and explores less. */
  readonly precision: number;
  /**
   * Posterior reshaping (Chapelle and Li): predicted deviations are this share of the posterior's,
   * > 0. A diagonal posterior is too wide for typical people, because it forgets that their features'
   * weights are known better together than one by one. 0.5 had less regret than 1 in every simulation tried.
   */
  readonly deviationScale: number;
}
/** For rare responses and many features of little use. Few features that decide all: precision 0.1. */
export const RESPONSE_PRIORS: ResponsePriors = { probability: 0.05, precision: 1, deviationScale: 0.5 };

/** The posterior. Writing needs one thread at a time; readers pin `epoch` by reading between merges only. */
export class ResponseModel {
  /** Mean of slot s at 2 s, precision at 2 s + 1: one cache line holds both (measured: half the time of two arrays). */
  readonly weights: Float64Array;
  readonly priors: ResponsePriors;
  readonly priorLogit: number;
  /** `priors.deviationScale` squared. */
  readonly varianceScale: number;
  /** Number of the merge this state comes from; set by the owner, logged with each decision. */
  epoch = 0;

  /**
   * @param buffer at least RESPONSE_MODEL_BYTES, adopted with its content (a snapshot, another thread's
   *   model); all zeros means new and is filled with the prior. Without it, own memory.
   * @throws RangeError for a short buffer or a prior outside its range
   */
  constructor(buffer?: ArrayBuffer | SharedArrayBuffer, priors: ResponsePriors = RESPONSE_PRIORS) {
    const { probability, precision, deviationScale } = priors;
    for (const x of [precision, deviationScale]) {
      if (!(x > 0 && x < Infinity)) throw new RangeError(`response prior ${x}: finite and > 0`);
    }
    if (!(probability > 0 && probability < 1)) throw new RangeError(`response prior ${probability}: in (0, 1)`);
    const memory = buffer ?? new ArrayBuffer(RESPONSE_MODEL_BYTES);
    if (memory.byteLength < RESPONSE_MODEL_BYTES) {
      throw new RangeError(`response model: buffer of ${memory.byteLength} bytes, needs ${RESPONSE_MODEL_BYTES}`);
    }
    this.weights = new Float64Array(memory, 0, 2 * RESPONSE_SLOTS);
    this.priors = priors;
    this.priorLogit = logit(probability);
    this.varianceScale = deviationScale * deviationScale;
    if (this.weights[1] === 0) this.reset();
  }

  /** Forgets everything: back to the prior. */
  reset(): void {
    for (let slot = 0; slot < RESPONSE_SLOTS; slot += 1) {
      this.weights[2 * slot] = 0;
      this.weights[2 * slot + 1] = this.priors.precision;
    }
  }
}

/**
 * About how many trials the model has learnt, >= 0: the information in everybody's bias, sum of p (1 - p), over that
 * of one trial at today's base rate. Nothing is stored for it, so it merges and replays with the weights.
 */
export function trialsLearnt(model: ResponseModel): number {
  const place = placeIn(rowOf(BIAS_HASH), GLOBAL_PART);
  const p = sigmoid(model.priorLogit + SCALES.global.bias * (model.weights[place] as number)); // a place
  const information = (model.weights[place + 1] as number) - model.priors.precision; // place is even
  return information > 0 && p > 0 && p < 1 ? information / (p * (1 - p)) : 0;
}

/**
 * About how many responses to an action the model has learnt, >= 0: the information in its bias, sum of p (1 - p) over
 * its trials, which for rare responses is how many were to be expected of them.
 */
export function positivesLearnt(model: ResponseModel, actionPart: number): number {
  const place = placeIn(rowOf(BIAS_HASH), actionPart);
  const information = (model.weights[place + 1] as number) - model.priors.precision; // place is even
  return information > 0 ? information / (SCALES.action.bias * SCALES.action.bias) : 0;
}

/** First slot of a feature's row. The hash is mixed already; one multiplication spreads it. */
export function rowOf(featureHash: number): number {
  return (Math.imul(featureHash, 0x9e3779b1) >>> SHIFT) & ROW_MASK;
}

/** Twice the slot (the position of its mean) of a row's part; the table is a ring. */
export function placeIn(row: number, part: number): number {
  return ((row + part) & (RESPONSE_SLOTS - 1)) << 1;
}

/** What a part's feature values are multiplied by. */
export function norm(features: FeatureVector, scale: number): number {
  return features.squares > 0 ? scale / Math.sqrt(features.squares) : 0;
}

let partVariance = 0;

/** Mean of one part's share of the logit; its variance is left in `partVariance`. */
function partMoments(
  model: ResponseModel,
  features: FeatureVector,
  part: number,
  biasScale: number,
  featureScale: number,
): number {
  const { weights } = model;
  const { hashes, values, count } = features;
  const bias = placeIn(rowOf(hashes[0] as number), part); // feature 0 is always there
  let m = 0;
  let v = 0;
  for (let index = 1; index < count; index += 1) {
    const place = placeIn(rowOf(hashes[index] as number), part); // index < count
    const x = values[index] as number; // index < count
    m += x * (weights[place] as number); // place < 2 RESPONSE_SLOTS
    v += (x * x) / (weights[place + 1] as number); // place is even
  }
  const scale = norm(features, featureScale);
  partVariance = (biasScale * biasScale) / (weights[bias + 1] as number) + scale * scale * v; // bias is a place
  return biasScale * (weights[bias] as number) + scale * m; // bias is a place
}

function channelMoments(model: ResponseModel, features: FeatureVector, channelPart: number): number {
  const place = placeIn(rowOf(features.hashes[0] as number), channelPart); // feature 0 is always there
  const scale = SCALES.channel.bias;
  partVariance = (scale * scale) / (model.weights[place + 1] as number); // place is even
  return scale * (model.weights[place] as number); // place < 2 RESPONSE_SLOTS
}

/**
 * Mean and variance of the logit of a response, for one candidate: the plain version of `predictAll`.
 *
 * @param actionPart, categoryPart, channelPart numbers of parts; category 0 when the action has none: left out
 * @param out length 2, overwritten: mean, and variance (> 0) times `varianceScale`
 */
export function predict(
  model: ResponseModel,
  features: FeatureVector,
  actionPart: number,
  categoryPart: number,
  channelPart: number,
  out: Float64Array,
): void {
  const { global, category, action } = SCALES;
  let m = model.priorLogit + partMoments(model, features, GLOBAL_PART, global.bias, global.features);
  let v = partVariance;
  if (categoryPart !== 0) {
    m += partMoments(model, features, categoryPart, category.bias, category.features);
    v += partVariance;
  }
  m += channelMoments(model, features, channelPart);
  v += partVariance;
  m += partMoments(model, features, actionPart, action.bias, action.features);
  out[0] = m;
  out[1] = (v + partVariance) * model.varianceScale;
}

/** Parts whose sums one decision needs, and those sums: see `sumParts`. Grown, never shrunk. */
let parts = new Int32Array(64);
let partSums = new Float64Array(2 * 64);
/** Where in `parts` a candidate's category is; 0 when it has none. */
let categoryAt = new Int32Array(64);
/** By number of a category: where in `parts` it is, valid when stamped by this decision. */
let knownAt = new Int32Array(64);
let knownStamp = new Float64Array(64);
let stamp = 0;

/** Makes room for the parts of `count` candidates, should each have a category of its own. */
function reserveParts(count: number, categoryPartMax: number): void {
  if (categoryAt.length < count || parts.length < 2 * count + 4) {
    categoryAt = new Int32Array(2 * count);
    parts = new Int32Array(4 * count + 4);
    partSums = new Float64Array(2 * parts.length);
  }
  if (knownAt.length <= categoryPartMax) {
    knownAt = new Int32Array(2 * categoryPartMax);
    knownStamp = new Float64Array(2 * categoryPartMax);
  }
}

/**
 * The features' sums of `count` parts (x w and x^2 / precision, without bias and scale) into `partSums`.
 * Four parts a pass: each feature is read once for four, and their chains of additions run side by side,
 * which halves the time of one part after the other. Each sum is added up in the order of `partMoments`,
 * so the bits are the same. The entries up to the next multiple of four must be readable parts.
 */
function sumParts(model: ResponseModel, features: FeatureVector, count: number): void {
  const { weights } = model;
  const { hashes, values } = features;
  const length = features.count;
  const sums = partSums;
  for (let at = 0; at < count; at += 4) {
    const part0 = parts[at] as number; // padded to a multiple of four
    const part1 = parts[at + 1] as number; // padded
    const part2 = parts[at + 2] as number; // padded
    const part3 = parts[at + 3] as number; // padded
    let m0 = 0;
    let m1 = 0;
    let m2 = 0;
    let m3 = 0;
    let v0 = 0;
    let v1 = 0;
    let v2 = 0;
    let v3 = 0;
    for (let index = 1; index < length; index += 1) {
      const row = rowOf(hashes[index] as number); // index < count
      const x = values[index] as number; // index < count
      const square = x * x;
      const place0 = placeIn(row, part0);
      m0 += x * (weights[place0] as number); // a place
      v0 += square / (weights[place0 + 1] as number); // a place
      const place1 = placeIn(row, part1);
      m1 += x * (weights[place1] as number); // a place
      v1 += square / (weights[place1 + 1] as number); // a place
      const place2 = placeIn(row, part2);
      m2 += x * (weights[place2] as number); // a place
      v2 += square / (weights[place2 + 1] as number); // a place
      const place3 = placeIn(row, part3);
      m3 += x * (weights[place3] as number); // a place
      v3 += square / (weights[place3 + 1] as number); // a place
    }
    const to = 2 * at;
    sums[to] = m0;
    sums[to + 1] = v0;
    sums[to + 2] = m1;
    sums[to + 3] = v1;
    sums[to + 4] = m2;
    sums[to + 5] = v2;
    sums[to + 6] = m3;
    sums[to + 7] = v3;
  }
}

/**
 * `predict` for all candidates of one decision, equal to it bit for bit. The global part and each
 * category's are summed once, so the parts that help a new action cost little; the sums are made four at
 * a time, see `sumParts`. Cost: about 3 us for 20 actions of 4 categories over 30 features.
 *
 * @param actionParts, categoryParts, channelParts numbers of parts, length >= count; category 0 for none
 * @param categoryPartMax largest number in `categoryParts`, or larger
 * @param means, variances length >= count, overwritten
 */
export function predictAll(
  model: ResponseModel,
  features: FeatureVector,
  count: number,
  actionParts: Int32Array,
  categoryParts: Int32Array,
  channelParts: Int32Array,
  categoryPartMax: number,
  means: Float64Array,
  variances: Float64Array,
): void {
  reserveParts(count, categoryPartMax);
  stamp += 1;
  // Everybody's part first, then the categories, then the actions in the order of the candidates.
  parts[0] = GLOBAL_PART;
  let firstAction = 1;
  for (let index = 0; index < count; index += 1) {
    const category = categoryParts[index] as number; // index < count
    if (category !== 0 && knownStamp[category] !== stamp) {
      knownStamp[category] = stamp;
      knownAt[category] = firstAction;
      parts[firstAction] = category;
      firstAction += 1;
    }
    categoryAt[index] = category === 0 ? 0 : (knownAt[category] as number); // at most categoryPartMax
  }
  for (let index = 0; index < count; index += 1) parts[firstAction + index] = actionParts[index] as number; // index < count
  const end = firstAction + count;
  for (let pad = end; (pad & 3) !== 0; pad += 1) parts[pad] = GLOBAL_PART;
  sumParts(model, features, end);

  const { weights, priorLogit, varianceScale } = model;
  const { global, category, channel, action } = SCALES;
  const categoryScale = norm(features, category.features);
  const actionScale = norm(features, action.features);
  const biasRow = rowOf(features.hashes[0] as number); // feature 0 is always there
  const base = priorLogit + meanOf(weights, biasRow, 0, global.bias, norm(features, global.features));
  const baseVariance = varianceOf(weights, biasRow, 0, global.bias, norm(features, global.features));
  for (let index = 0; index < count; index += 1) {
    let m = base;
    let v = baseVariance;
    const at = categoryAt[index] as number; // index < count
    if (at > 0) {
      m += meanOf(weights, biasRow, at, category.bias, categoryScale);
      v += varianceOf(weights, biasRow, at, category.bias, categoryScale);
    }
    const channelPlace = placeIn(biasRow, channelParts[index] as number); // index < count
    m += channel.bias * (weights[channelPlace] as number); // a place
    v += (channel.bias * channel.bias) / (weights[channelPlace + 1] as number); // a place
    m += meanOf(weights, biasRow, firstAction + index, action.bias, actionScale);
    means[index] = m;
    variances[index] =
      (v + varianceOf(weights, biasRow, firstAction + index, action.bias, actionScale)) * varianceScale;
  }
}

/** A summed part's share of the logit, as `partMoments` has it; `at` is its place in `parts`. */
function meanOf(weights: Float64Array, biasRow: number, at: number, biasScale: number, scale: number): number {
  const bias = placeIn(biasRow, parts[at] as number); // a part of this decision
  return biasScale * (weights[bias] as number) + scale * (partSums[2 * at] as number); // a place, a part
}

/** Its variance. */
function varianceOf(weights: Float64Array, biasRow: number, at: number, biasScale: number, scale: number): number {
  const bias = placeIn(biasRow, parts[at] as number); // a part of this decision
  return (biasScale * biasScale) / (weights[bias + 1] as number) + scale * scale * (partSums[2 * at + 1] as number); // a place, a part
}

/**
 * Means and standard deviations of the response probabilities sigmoid(z), z ~ Normal(logitMean, logitVariance),
 * by five-point Gauss-Hermite quadrature: relative error of the mean <= 3e-4 and of the deviation <= 1e-2
 * for variance <= 1 (1e-2 and 1e-1 for variance <= 3) at means in [-8, 4].
 * Rejected: the closed form of Daunizeau, arXiv 1703.00091 (2017): its deviation goes with the root of p
 * and not with p, so rare responses (p = 3e-4) get one 22 times too wide, and never stop being explored.
 * All candidates at once, because a number handed to a function of its own is an allocation.
 *
 * @param count candidates; each array holds at least as many
 * @param means overwritten: in [0, 1]
 * @param deviations overwritten: >= 0
 */
export function responseMoments(
  count: number,
  logitMeans: Float64Array,
  logitVariances: Float64Array,
  means: Float64Array,
  deviations: Float64Array,
): void {
  if (powers.length < 3 * count) powers = new Float64Array(6 * count);
  const e = powers;
  for (let i = 0; i < count; i += 1) {
    const deviation = Math.min(Math.sqrt(Math.max(logitVariances[i] as number, 0)), 100); // i < count
    e[3 * i] = -Math.min(Math.max(logitMeans[i] as number, -300), 300); // i < count
    e[3 * i + 1] = 1.355626179974266 * deviation;
    e[3 * i + 2] = 2.8569700138728056 * deviation;
  }
  exponentials(e, 3 * count);
  for (let i = 0; i < count; i += 1) {
    const base = e[3 * i] as number; // 3 * count <= length, here and below
    const inner = e[3 * i + 1] as number;
    const outer = e[3 * i + 2] as number;
    if (!((logitVariances[i] as number) > 0)) {
      means[i] = sigmoid(logitMeans[i] as number); // i < count
      deviations[i] = 0;
      continue;
    }
    const p0 = 1 / (1 + base);
    const p1 = 1 / (1 + base * inner);
    const p2 = inner / (inner + base);
    const p3 = 1 / (1 + base * outer);
    const p4 = outer / (outer + base);
    const m = 0.5333333333333333 * p0 + 0.22207592200561257 * (p1 + p2) + 0.011257411327720677 * (p3 + p4);
    const square =
      0.5333333333333333 * (p0 - m) * (p0 - m) +
      0.22207592200561257 * ((p1 - m) * (p1 - m) + (p2 - m) * (p2 - m)) +
      0.011257411327720677 * ((p3 - m) * (p3 - m) + (p4 - m) * (p4 - m));
    means[i] = m;
    deviations[i] = Math.sqrt(square);
  }
}

/** e^-z, and e to the two nodes' distances, of each candidate. */
let powers = new Float64Array(3 * 64);
