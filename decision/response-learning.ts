/**
 * Teaching the response model, and reading it feature by feature. Both go through the same list of touches:
 * the slots of one candidate and the x of each, in the order in which `predict` adds them up.
 */
import { FEATURES_MAX, type FeatureVector } from './features.ts';
import { sigmoid } from './normal.ts';
import { GLOBAL_PART, norm, placeIn, type ResponseModel, rowOf, SCALES } from './response-model.ts';

/** Slots one observation touches at most: three crossed parts and the channel. */
export const TOUCHES_MAX = 3 * FEATURES_MAX + 1;
/** Linearisation points are kept within this logit, so that p(1-p) never vanishes. */
const LOGIT_BOUND = 15;
/** To the last bit of a double in (0, 1). */
const POINT_HALVINGS = 60;

/**
 * How much each feature moves the logit of one candidate, all parts together; their sum is the
 * predicted mean minus `model.priorLogit`. The channel's share is the bias's.
 *
 * @param effects length >= features.count, overwritten; effect / value is the feature's weight
 */
export function featureEffects(
  model: ResponseModel,
  features: FeatureVector,
  actionPart: number,
  categoryPart: number,
  channelPart: number,
  effects: Float64Array,
): void {
  const touches = gather(features, actionPart, categoryPart, channelPart);
  effects.fill(0, 0, features.count);
  for (let at = 0; at < touches; at += 1) {
    const feature = touchFeature[at] as number; // at < touches
    const weight = model.weights[touchPlace[at] as number] as number; // at < touches, a place
    effects[feature] = (effects[feature] as number) + (touchValue[at] as number) * weight; // feature < features.count
  }
}

/** Places, see `placeOf`. */
const touchPlace = new Uint32Array(TOUCHES_MAX);
const touchFeature = new Uint8Array(TOUCHES_MAX);
const touchValue = new Float64Array(TOUCHES_MAX);
const touchMean = new Float64Array(TOUCHES_MAX);

function gatherPart(features: FeatureVector, part: number, biasScale: number, scale: number, from: number): number {
  const { hashes, values, count } = features;
  for (let index = 0; index < count; index += 1) {
    touchPlace[from + index] = placeIn(rowOf(hashes[index] as number), part); // index < count
    touchFeature[from + index] = index;
    touchValue[from + index] = index === 0 ? biasScale : scale * (values[index] as number); // index < count
  }
  return from + count;
}

/** Lists the slots of one candidate and the x of each, in the order of `predict`; returns how many. */
function gather(features: FeatureVector, actionPart: number, categoryPart: number, channelPart: number): number {
  const { global, category, channel, action } = SCALES;
  let at = gatherPart(features, GLOBAL_PART, global.bias, norm(features, global.features), 0);
  if (categoryPart !== 0) at = gatherPart(features, categoryPart, category.bias, norm(features, category.features), at);
  touchPlace[at] = placeIn(rowOf(features.hashes[0] as number), channelPart); // feature 0 is always there
  touchFeature[at] = 0;
  touchValue[at] = channel.bias;
  return gatherPart(features, actionPart, action.bias, norm(features, action.features), at + 1);
}

/** Where learning also writes what it added, so that other shards can add it. `ModelDelta` is one. */
export interface DeltaSink {
  /** Entries that can still be added for certain. */
  readonly room: number;
  add(slot: number, precision: number, natural: number): void;
}

function checkSink(sink: DeltaSink | null): void {
  if (sink !== null && sink.room < TOUCHES_MAX) throw new RangeError('delta full: flush before learning');
}

/**
 * Learns one trial of known label, or a first "no response yet" (response 0):
 * with p = sigmoid(predicted mean),  precision += w p(1-p) x^2,  mean += w (response - p) x / precision.
 *
 * A later response does not need the trial back. In natural parameters b = precision * mean the step is
 *   db = w p(1-p) x^2 mean + w (response - p) x,
 * where only the last term knows the label and is linear in it, and the precision does not know it at
 * all. So `learnResponse(w)` (db = w x) after a negative equals the negative never added and the
 * positive added at the same linearisation point, exactly but for rounding; -w takes it back again.
 * What it cannot undo: trials learnt in between were linearised at a model that had seen the negative.
 * Delay: call with w = P(delay <= age) grown so far and again with the increments; the response is then
 * `learnResponse(sum of w)` and `learnTrial(1, 1 - sum of w)`.
 *
 * @param weight w >= 0; 0 changes nothing
 * @param sink receives (slot, precision added, b added), or null
 * @returns p, the linearisation point
 * @throws RangeError before any change when the weight is not finite or negative, or the sink lacks
 *   TOUCHES_MAX of room
 * Cost: about 100 slots, 1 to 2 us with a sink.
 */
export function learnTrial(
  model: ResponseModel,
  features: FeatureVector,
  actionPart: number,
  categoryPart: number,
  channelPart: number,
  response: 0 | 1,
  weight: number,
  sink: DeltaSink | null,
): number {
  if (!(weight >= 0 && weight < Infinity)) throw new RangeError(`trial weight ${weight}: finite and >= 0`);
  checkSink(sink);
  const { weights } = model;
  const touches = gather(features, actionPart, categoryPart, channelPart);
  let z = model.priorLogit;
  for (let at = 0; at < touches; at += 1) {
    const m = weights[touchPlace[at] as number] as number; // at < touches, a place
    touchMean[at] = m;
    z += (touchValue[at] as number) * m; // at < touches
  }
  const p = sigmoid(Math.min(Math.max(z, -LOGIT_BOUND), LOGIT_BOUND));
  if (weight === 0) return p;
  const curvature = weight * p * (1 - p);
  const gradient = weight * (response - p);
  for (let at = 0; at < touches; at += 1) {
    const place = touchPlace[at] as number; // at < touches
    const x = touchValue[at] as number; // at < touches
    if (x === 0) continue;
    const before = touchMean[at] as number; // at < touches
    const added = curvature * x * x;
    const q = (weights[place + 1] as number) + added; // place is even, < 2 RESPONSE_SLOTS
    const m = weights[place] as number; // as above
    // `before` and `m` differ only where two features of this trial share a slot: still linear in the label.
    weights[place + 1] = q;
    weights[place] = m + (added * (before - m) + gradient * x) / q;
    if (sink !== null) sink.add(place >>> 1, added, added * before + gradient * x);
  }
  return p;
}

/**
 * Takes a trial back: the inverse of `learnTrial`. The point p it was linearised at follows from the model behind it,
 *
 *     p = sigmoid(z' - w (response - p) sum x^2 / q'),     m = m' - w (response - p) x / q',     q = q' - w p(1-p) x^2
 *
 * with primes for what is there now. Right behind the trial that undoes it but for rounding, and so do the newest of
 * several first; where others were learnt in between, p is off by what they moved the prediction by. No precision falls
 * below its prior's. Not for the hot path: it allocates.
 *
 * @param weight w >= 0; 0 changes nothing
 * @throws RangeError as `learnTrial` does
 */
export function unlearnTrial(
  model: ResponseModel,
  features: FeatureVector,
  actionPart: number,
  categoryPart: number,
  channelPart: number,
  response: 0 | 1,
  weight: number,
  sink: DeltaSink | null,
): void {
  if (!(weight >= 0 && weight < Infinity)) throw new RangeError(`trial weight ${weight}: finite and >= 0`);
  checkSink(sink);
  if (weight === 0) return;
  const { weights, priors } = model;
  const touches = gather(features, actionPart, categoryPart, channelPart);
  /** By place: sum of x and of x^2, because two features of a trial may share a slot. */
  const sums = new Map<number, { x: number; squares: number }>();
  for (let at = 0; at < touches; at += 1) {
    const place = touchPlace[at] as number; // at < touches
    const x = touchValue[at] as number; // at < touches
    const sum = sums.get(place) ?? { x: 0, squares: 0 };
    sum.x += x;
    sum.squares += x * x;
    sums.set(place, sum);
  }
  let z = model.priorLogit;
  let spread = 0;
  for (const [place, { x }] of sums) {
    z += x * (weights[place] as number); // a place
    spread += (x * x) / (weights[place + 1] as number); // place is even
  }
  const p = pointBefore(z, weight * spread, response);
  const curvature = weight * p * (1 - p);
  const gradient = weight * (response - p);
  for (const [place, { x, squares }] of sums) {
    if (squares === 0) continue;
    const precision = weights[place + 1] as number; // place is even
    const mean = (weights[place] as number) - (gradient * x) / precision; // a place
    const taken = Math.min(curvature * squares, precision - priors.precision);
    weights[place + 1] = precision - taken;
    weights[place] = mean;
    if (sink !== null) sink.add(place >>> 1, -taken, -(taken * mean + gradient * x));
  }
}

/** p with p = sigmoid(z - (response - p) spread), by halving: the right side crosses p once, upwards from below. */
function pointBefore(z: number, spread: number, response: 0 | 1): number {
  let low = 0;
  let high = 1;
  for (let i = 0; i < POINT_HALVINGS; i += 1) {
    const middle = (low + high) / 2;
    const before = z - (response - middle) * spread;
    if (sigmoid(Math.min(Math.max(before, -LOGIT_BOUND), LOGIT_BOUND)) > middle) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/**
 * A response to a trial that was learnt as a negative: mean += change x / precision, nothing else.
 *
 * @param change the weight of the trial(s) now answered (usually 1); negative takes a response back
 * @throws RangeError before any change when `change` is not finite or the sink lacks room
 */
export function learnResponse(
  model: ResponseModel,
  features: FeatureVector,
  actionPart: number,
  categoryPart: number,
  channelPart: number,
  change: number,
  sink: DeltaSink | null,
): void {
  if (!(change > -Infinity && change < Infinity)) throw new RangeError(`response change ${change}: finite`);
  checkSink(sink);
  const { weights } = model;
  const touches = gather(features, actionPart, categoryPart, channelPart);
  for (let at = 0; at < touches; at += 1) {
    const place = touchPlace[at] as number; // at < touches
    const natural = change * (touchValue[at] as number); // at < touches
    if (natural === 0) continue;
    weights[place] = (weights[place] as number) + natural / (weights[place + 1] as number); // place is even
    if (sink !== null) sink.add(place >>> 1, 0, natural);
  }
}
