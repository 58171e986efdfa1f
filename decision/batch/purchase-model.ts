/**
 * How often will this person buy again, and do they still buy at all? A family of models, told apart by k and d:
 *
 *   gaps between purchases  ~ Erlang(k, lambda): k exponential stages, the last of which is a purchase
 *   lambda                  ~ Gamma(r, alpha) over persons
 *   after a purchase the person leaves with probability p ~ Beta(a, b) over persons, never to return;
 *   d = 1: also after the first purchase (MBG), d = 0: after repeats only (BG)
 *
 *   k = 1, d = 0   BG/NBD       Fader, Hardie and Lee, "Counting your customers the easy way", Marketing Science 2005
 *   k = 1, d = 1   MBG/NBD      Batislam, Denizel and Filiztekin, IJRM 2007
 *   k > 1, d = 1   MBG/CNBD-k   Reutterer, Platzer and Schroeder, "Leveraging purchase regularity", IJRM 2021
 *
 * A person is x repeat purchases, t_x from the first to the last of them and T from the first to now, in one unit of
 * time throughout. Rank people by `expectedPurchases`, never by `aliveProbability`: under BG/NBD whoever bought
 * once is alive for certain, so that it ranks the rarest buyers first (AUC .32 on CDNOW).
 * Pure and seedless; fits are batch work of seconds for a million persons, for the job pool.
 */

import { exponential, naturalLogarithm } from '../normal.ts';
import { logBeta, logGamma } from './gamma-function.ts';
import { minimise } from './minimum.ts';

export interface PurchaseModel {
  /** k: stages of a gap, an integer from 1 to REGULARITY_MAX. 1 is a purchase at any moment, more is a habit. */
  readonly regularity: number;
  /** d: whether a person may be lost after the first purchase. */
  readonly isFirstDropoutPossible: boolean;
  /** Shape and rate of the Gamma of lambda, > 0; alpha in the unit of time. */
  readonly r: number;
  readonly alpha: number;
  /** The Beta of p, > 0. */
  readonly a: number;
  readonly b: number;
}

/** n persons as columns of one length; read only. */
export interface PurchaseHistories {
  /** x: repeat purchases (all but the first), integers >= 0. Purchases of one day are commonly one. */
  readonly repeatCounts: Float64Array;
  /** t_x: time from first to last purchase; 0 where x is 0, above 0 elsewhere, at most T. */
  readonly lastTimes: Float64Array;
  /** T: time from first purchase to now, >= 0. */
  readonly observedTimes: Float64Array;
  /** Sum of ln gap over a person's x gaps, 0 where x is 0. Only with it can likelihoods of several k be compared. */
  readonly logGapSums?: Float64Array;
}

export interface PurchaseFit {
  readonly model: PurchaseModel;
  /** Natural logarithm of the likelihood; without `logGapSums` and with k > 1 less a constant of the data. */
  readonly logLikelihood: number;
  readonly persons: number;
  /**
   * False when the data do not settle the parameters: nobody bought twice, one of them stopped at its bound, or the
   * search was cut short. The model is usable all the same: bounded numbers, and expectations near what was seen.
   */
  readonly isReliable: boolean;
}

export const REGULARITY_MAX = 12;
/** r, a, b and alpha as a share of the mean T stay within this factor of 1, as BTYDplus bounds them above. */
const PARAMETER_FACTOR_MAX = 10_000;
/** Stages the expectation looks ahead; what would lie beyond counts as if it came there. */
const STAGES_MAX = 20_000;
const LOG_BOUND = naturalLogarithm(PARAMETER_FACTOR_MAX);
const EVALUATIONS_MAX = 1_500;
/** ln a and ln b begin a little apart, as in BTYDplus: most people are not lost at once. */
const LOG_START = [0, 0, 0, 1] as const;

/**
 * Maximum likelihood for one k; see `PurchaseModel`. The log-likelihood of a person (as in BTYDplus):
 *
 *   (k-1) sum of ln gap - x ln (k-1)! + ln B(a, b+x+d)/B(a, b) + ln G(r+kx)/G(r) + r ln alpha - (r+kx) ln(alpha+T)
 *   + ln [ (d or x > 0) a/(b+x+d-1) ((alpha+T)/(alpha+t_x))^(r+kx)
 *          + sum over j < k of (r+kx)_j / j! ((T-t_x)/(alpha+T))^j ]
 *
 * Searched by `minimise` over logarithms, alpha relative to the mean T: changing the unit of time changes only alpha.
 * No persons: r = a = 1, b = e, alpha = 1, log-likelihood 0. Nobody bought twice: r / alpha goes to its bound, so
 * that expectations are near 0. Both say `isReliable: false`.
 *
 * @throws RangeError naming column, row and bound for histories that break the bounds of `PurchaseHistories`, or for
 *   k outside 1 to REGULARITY_MAX
 * Cost: 200 to 500 evaluations of some 200 ns a person; allocates two arrays of n.
 */
export function fitPurchaseModel(
  histories: PurchaseHistories,
  regularity: number,
  isFirstDropoutPossible: boolean,
): PurchaseFit {
  checkPurchaseHistories(histories);
  return fitFrom(histories, groupByCount(histories.repeatCounts), regularity, isFirstDropoutPossible, LOG_START);
}

/**
 * MBG/CNBD-k with the k of highest likelihood: 1, 2, ... until it has fallen twice running, as BTYDplus does; each
 * search begins where the last ended.
 * @throws RangeError as `fitPurchaseModel`, and without `logGapSums`
 */
export function fitRegularPurchaseModel(
  histories: PurchaseHistories & { readonly logGapSums: Float64Array },
): PurchaseFit {
  checkPurchaseHistories(histories);
  const groups = groupByCount(histories.repeatCounts);
  let start: ArrayLike<number> = LOG_START;
  let best: PurchaseFit | undefined;
  let before = -Infinity;
  for (let k = 1, falls = 0; k <= REGULARITY_MAX && falls < 2; k += 1) {
    const fit = fitFrom(histories, groups, k, true, start);
    falls = fit.logLikelihood > before ? 0 : falls + 1;
    before = fit.logLikelihood;
    if (best === undefined || fit.logLikelihood > best.logLikelihood) best = fit;
    if (fit.isReliable) start = logParameters(fit.model, meanObserved(histories));
  }
  return best as PurchaseFit; // k = 1 always ran
}

function fitFrom(
  histories: PurchaseHistories,
  groups: CountGroups,
  regularity: number,
  isFirstDropoutPossible: boolean,
  start: ArrayLike<number>,
): PurchaseFit {
  if (!(Number.isInteger(regularity) && regularity >= 1 && regularity <= REGULARITY_MAX))
    throw new RangeError(`regularity ${regularity}: an integer from 1 to ${REGULARITY_MAX}`);
  const scale = meanObserved(histories);
  const modelAt = (point: ArrayLike<number>): PurchaseModel => ({
    regularity,
    isFirstDropoutPossible,
    r: exponential(point[0] as number), // four coordinates
    alpha: scale * exponential(point[1] as number),
    a: exponential(point[2] as number), // four coordinates
    b: exponential(point[3] as number),
  });
  const persons = histories.repeatCounts.length;
  const hasRepeats = histories.repeatCounts.some((x) => x > 0);
  const upper = new Float64Array(4).fill(LOG_BOUND);
  const found = minimise((point) => -sumLikelihood(modelAt(point), histories, groups), Float64Array.from(start), {
    lower: upper.map((bound) => -bound),
    upper,
    step: 0.5,
    tolerance: 1e-10,
    evaluationsMax: persons === 0 ? 1 : EVALUATIONS_MAX,
  });
  const isInside = found.point.every((x) => Math.abs(x) < LOG_BOUND - 1e-3);
  return {
    model: modelAt(found.point),
    logLikelihood: persons === 0 ? 0 : -found.value,
    persons,
    isReliable: hasRepeats && found.isConverged && isInside,
  };
}

function logParameters(model: PurchaseModel, scale: number): number[] {
  return [model.r, model.alpha / scale, model.a, model.b].map(naturalLogarithm);
}

/** Mean T; 1 when that is 0 or nobody is there. */
function meanObserved({ observedTimes }: PurchaseHistories): number {
  let sum = 0;
  for (const time of observedTimes) sum += time;
  return sum > 0 ? sum / observedTimes.length : 1;
}

/**
 * Log-likelihood of a model, the quantity `fitPurchaseModel` maximises. -Infinity never for parameters within the
 * bounds; 0 for nobody.
 * @throws RangeError as `fitPurchaseModel`
 */
export function purchaseLogLikelihood(model: PurchaseModel, histories: PurchaseHistories): number {
  checkPurchaseHistories(histories);
  return sumLikelihood(model, histories, groupByCount(histories.repeatCounts));
}

/** Persons by their x: half of the likelihood depends on nothing else of theirs, and few values of x occur. */
interface CountGroups {
  readonly counts: Float64Array;
  readonly groupOf: Uint32Array;
}

function groupByCount(repeatCounts: Float64Array): CountGroups {
  const counts = repeatCounts.slice().sort();
  let distinct = 0;
  for (const count of counts) if (distinct === 0 || count !== counts[distinct - 1]) counts[distinct++] = count;
  const kept = counts.slice(0, distinct);
  const groupOf = new Uint32Array(repeatCounts.length);
  for (let i = 0; i < groupOf.length; i += 1) {
    let low = 0;
    for (let high = distinct - 1; low < high; ) {
      const middle = (low + high) >>> 1;
      if (at(kept, middle) < at(repeatCounts, i)) low = middle + 1;
      else high = middle;
    }
    groupOf[i] = low;
  }
  return { counts: kept, groupOf };
}

function sumLikelihood(model: PurchaseModel, histories: PurchaseHistories, groups: CountGroups): number {
  const { regularity: k, r, alpha, a, b } = model;
  const d = model.isFirstDropoutPossible ? 1 : 0;
  const { repeatCounts, lastTimes, observedTimes, logGapSums } = histories;
  const logFactorial = logGamma(k);
  const constants = groups.counts.map(
    (x) =>
      logBeta(a, b + x + d) -
      logBeta(a, b) +
      logGamma(r + k * x) -
      logGamma(r) +
      r * naturalLogarithm(alpha) -
      x * logFactorial,
  );
  const logOdds = groups.counts.map((x) => logDropoutOdds(model, x));
  let sum = 0;
  for (let i = 0; i < repeatCounts.length; i += 1) {
    const group = groups.groupOf[i] as number; // one a person
    const shape = r + k * at(repeatCounts, i);
    const logNow = naturalLogarithm(alpha + at(observedTimes, i));
    const silence =
      k === 1 ? 0 : naturalLogarithm(aliveWeight(k, shape, alpha, at(lastTimes, i), at(observedTimes, i)));
    const gone = at(logOdds, group) + shape * (logNow - naturalLogarithm(alpha + at(lastTimes, i)));
    sum += at(constants, group) - shape * logNow + silence + softplus(gone - silence);
    if (k > 1 && logGapSums !== undefined) sum += (k - 1) * at(logGapSums, i);
  }
  return sum;
}

/** ln of a / (b + x + d - 1): the odds that the last purchase was the last ever. -Infinity where nobody can be lost yet. */
function logDropoutOdds(model: PurchaseModel, x: number): number {
  if (model.isFirstDropoutPossible) return naturalLogarithm(model.a / (model.b + x));
  return x > 0 ? naturalLogarithm(model.a / (model.b + x - 1)) : -Infinity;
}

/** sum over j < k of (shape)_j / j! ((T - t_x) / (alpha + T))^j: at most k - 1 stages passed since the last purchase. */
function aliveWeight(k: number, shape: number, alpha: number, lastTime: number, observedTime: number): number {
  const ratio = (observedTime - lastTime) / (alpha + observedTime);
  let term = 1;
  let sum = 1;
  for (let j = 1; j < k; j += 1) {
    term *= ((shape + j - 1) * ratio) / j;
    sum += term;
  }
  return sum;
}

/** ln(1 + e^x) without overflow; 0 for -Infinity. */
function softplus(x: number): number {
  return x > 0 ? x + naturalLogarithm(1 + exponential(-x)) : naturalLogarithm(1 + exponential(x));
}

/**
 * P(the person has not left by T | x, t_x, T), 0 to 1: 1 / (1 + odds), odds as in the likelihood's last logarithm.
 * For showing, with its gap; not for ranking (see above). Arguments as in `PurchaseHistories`.
 */
export function aliveProbability(model: PurchaseModel, x: number, lastTime: number, observedTime: number): number {
  const { regularity: k, r, alpha } = model;
  const shape = r + k * x;
  const now = naturalLogarithm(alpha + observedTime);
  const gone = logDropoutOdds(model, x) + shape * (now - naturalLogarithm(alpha + lastTime));
  const odds = exponential(Math.min(gone, 700)) / aliveWeight(k, shape, alpha, lastTime, observedTime);
  return 1 / (1 + odds);
}

/**
 * E[purchases in (T, T + horizon] | x, t_x, T]; a person not known yet is x = t_x = T = 0, at their first purchase.
 *
 *     P(alive)  x  sum over j < k of w_j  x  sum over n >= 1 of B(a, b'+n-1)/B(a, b')  x  P(C_j >= kn - j)
 *
 * j: stages passed since the last purchase, w_j their shares in `aliveWeight`; given j, lambda is
 * Gamma(r + kx + j, alpha + T), so that C_j, the stages to come, is negative binomial; b' = b + x + d. For k = 1
 * this is the series of the hypergeometric function in Fader, Hardie and Lee's equation 10, without its pole at a = 1.
 * *Deviation:* for k > 1 BTYDplus approximates and rescales; this is exact.
 *
 * 0 for a horizon <= 0. Stages beyond `STAGES_MAX` are taken to come there: then the result is a lower bound, and
 * never above STAGES_MAX / k + 1. Finite for parameters within their bounds and finite arguments.
 * Cost: 1 us for a purchase a month and a year ahead at k = 1, 2.5 us at k = 2; at most 100 us times k.
 */
export function expectedPurchases(
  model: PurchaseModel,
  x: number,
  lastTime: number,
  observedTime: number,
  horizon: number,
): number {
  if (!(horizon > 0)) return 0;
  const { regularity: k, r, alpha } = model;
  const rate = alpha + observedTime;
  const shape = r + k * x;
  const ratio = (observedTime - lastTime) / rate;
  let weight = 1;
  let weighted = 0;
  let weights = 0;
  for (let j = 0; j < k; j += 1) {
    if (j > 0) weight *= ((shape + j - 1) * ratio) / j;
    if (weight > 0) weighted += weight * purchasesAfter(model, x, j, shape + j, rate, horizon);
    weights += weight;
  }
  return (aliveProbability(model, x, lastTime, observedTime) * weighted) / weights;
}

/** The inner sum: purchases of someone alive with j stages passed, over negative binomial counts of stages. */
function purchasesAfter(
  model: PurchaseModel,
  x: number,
  j: number,
  shape: number,
  rate: number,
  horizon: number,
): number {
  const { regularity: k, a } = model;
  const logStay = naturalLogarithm(rate / (rate + horizon));
  const step = horizon / (rate + horizon);
  if (step === 0) return 0; // a horizon that vanishes beside the rate
  const mean = (shape * horizon) / rate;
  const deviation = Math.sqrt((mean * (rate + horizon)) / rate);
  // Counts so far below the mean that together they weigh nothing are passed over, lest their product underflow.
  const from = Math.min(Math.max(0, Math.floor(mean - 9 * deviation)), STAGES_MAX);
  let probability = exponential(
    logGamma(shape + from) - logGamma(shape) - logGamma(from + 1) + shape * logStay + from * naturalLogarithm(step),
  );
  let stay = model.b + x + (model.isFirstDropoutPossible ? 1 : 0);
  /** P(still there for the next purchase), and the purchases expected of `count` stages. */
  let survival = 1;
  let reached = 0;
  let mass = 0;
  let sum = 0;
  let untilPurchase = k - j;
  for (let count = 0; count <= STAGES_MAX; count += 1) {
    if (count > 0) {
      untilPurchase -= 1;
      if (untilPurchase === 0) {
        untilPurchase = k;
        reached += survival;
        survival *= stay / (stay + a);
        stay += 1;
      }
    }
    if (count < from) continue;
    mass += probability;
    sum += probability * reached;
    const growth = (step * (shape + count)) / (count + 1);
    // Past the mean the tail is below a geometric one: small enough, it ends.
    if (count > mean && growth < 1 && probability * growth < 1e-13 * (1 - growth)) return sum;
    probability *= growth;
  }
  return sum + Math.max(0, 1 - mass) * reached;
}

/** @throws RangeError naming column, row and bound for what breaks `PurchaseHistories` */
export function checkPurchaseHistories(histories: PurchaseHistories): void {
  const { repeatCounts, lastTimes, observedTimes, logGapSums } = histories;
  const n = repeatCounts.length;
  const columns = { lastTimes, observedTimes, ...(logGapSums === undefined ? {} : { logGapSums }) };
  for (const [name, values] of Object.entries(columns)) {
    if (values.length !== n) throw new RangeError(`${name}: ${values.length} values for ${n} repeatCounts`);
  }
  for (let i = 0; i < n; i += 1) {
    const x = at(repeatCounts, i);
    const lastTime = at(lastTimes, i);
    const observedTime = at(observedTimes, i);
    if (!(Number.isSafeInteger(x) && x >= 0)) refuse('repeatCounts', i, x, 'an integer of at least 0');
    if (!(observedTime >= 0 && observedTime < Infinity))
      refuse('observedTimes', i, observedTime, 'finite and at least 0');
    if (!(lastTime >= 0 && lastTime <= observedTime))
      refuse('lastTimes', i, lastTime, `from 0 to observedTimes, ${observedTime}`);
    if (x > 0 !== lastTime > 0) refuse('lastTimes', i, lastTime, `above 0 exactly where repeatCounts (${x}) is`);
    if (logGapSums !== undefined && !Number.isFinite(at(logGapSums, i)))
      refuse('logGapSums', i, at(logGapSums, i), 'finite');
  }
}

function refuse(column: string, row: number, value: number, bound: string): never {
  throw new RangeError(`${column}[${row}] is ${value}: must be ${bound}`);
}

function at(values: Float64Array, index: number): number {
  return values[index] as number; // every caller keeps index < length
}
