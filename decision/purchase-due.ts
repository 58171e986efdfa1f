/**
 * How due a person's next purchase is, from a few numbers kept purchase by purchase: how many, when the last, and
 * a decaying sum of the logarithms of the gaps between them. It says when, supposing that the person still buys;
 * it ranks no people. Right after a purchase little is due, around the usual gap most, after a long silence less
 * again. Pure, nothing allocated, bit-equal everywhere, finite for whatever arrives.
 */
import { exponential, naturalLogarithm, normalCdf, normalDensity } from './normal.ts';

/** Purchases closer than this are one occasion: two orders of one sitting say nothing about a cycle. */
export const OCCASION_MILLIS = 3_600_000;
/** Numbers of everybody, additive across shards, 0 at first: gaps, the sums of their ln and of its square (gaps in days). */
export const GAP_SLOTS = 3;
/** What an older gap counts against the next: half, some seven gaps later. */
export const GAP_DECAY = 0.9;

const DAY_MILLIS = 86_400_000;
const LOG_GAP_DECAY = naturalLogarithm(GAP_DECAY);
/** Gaps of shrinkage from a person to everybody. */
const GAP_SHRINKAGE = 1;
/** Everybody's prior: ten gaps of a month, give or take a factor e. Ours, not fitted to any data. */
const PRIOR_GAPS = 10;
const PRIOR_LOG_GAP = naturalLogarithm(30);
const PRIOR_VARIANCE = 1;
/** Bounds of s, so that no data make a cycle a date or an absence of one. */
const DEVIATION_MIN = 0.1;
const DEVIATION_MAX = 3;
/** A gap of e^50 days is as good as any beyond. */
const LOG_GAP_MAX = 50;
/** Repeats after which a person's own cycle says half of the factor. */
const DUE_SHRINKAGE = 2;
/** Beyond it a person's own cycle says all of the factor, and no product of the two may overflow. */
const REPEATS_MAX = 2 ** 53;
/** A cycle moves an intensity by at most this factor either way: clicks and visits do not wait for purchases. */
export const DUE_FACTOR_MAX = 2;

/** ln of days between two instants, or NaN when they are no two occasions: too close, or out of order. Cost: 20 ns. */
export function logGapBetween(lastEpochMillis: number, atEpochMillis: number): number {
  const gapMillis = atEpochMillis - lastEpochMillis;
  return gapMillis >= OCCASION_MILLIS && gapMillis < Infinity ? naturalLogarithm(gapMillis / DAY_MILLIS) : Number.NaN;
}

/**
 * m, natural logarithm of the next gap's median in days:
 *
 *     (sum over gaps of .9^age ln gap + k everybody) / (sum over gaps of .9^age + k)          k = 1
 *     everybody = (sum of ln gap + 10 ln 30) / (gaps + 10)
 *
 * Source: exponentially weighted mean with empirical-Bayes shrinkage to the mean of all.
 * @param purchases occasions of the person, >= 0; repeats are one less
 * @param decayedLogGaps of the person: after each gap, GAP_DECAY x itself + ln gap
 * @param totals GAP_SLOTS numbers of everybody
 * Cost: 30 ns.
 */
export function expectedLogGap(purchases: number, decayedLogGaps: number, totals: Float64Array): number {
  const repeats = Math.max(0, purchases - 1);
  const weight = (1 - exponential(repeats * LOG_GAP_DECAY)) / (1 - GAP_DECAY);
  return (decayedLogGaps + GAP_SHRINKAGE * everybodysLogGap(totals)) / (weight + GAP_SHRINKAGE);
}

/**
 * The decaying sums of two purchase histories of one person as one: the older one's gaps come before the newer one's.
 * @param newerPurchases occasions behind the newer sum, >= 1
 */
export function decayedTogether(newer: number, newerPurchases: number, older: number): number {
  return newer + exponential((newerPurchases - 1) * LOG_GAP_DECAY) * older;
}

function everybodysLogGap(totals: Float64Array): number {
  return ((totals[1] as number) + PRIOR_GAPS * PRIOR_LOG_GAP) / ((totals[0] as number) + PRIOR_GAPS); // GAP_SLOTS long
}

/**
 * s, root of the mean square of ln gap about everybody's mean, ten gaps of variance 1 included. Between people and
 * within them together: more than a person's own gaps vary, so a cycle is believed less rather than more.
 * @returns within 0.1 and 3
 */
export function logGapDeviation(totals: Float64Array): number {
  const everybody = everybodysLogGap(totals);
  const [gaps, sum, squares] = [totals[0] as number, totals[1] as number, totals[2] as number]; // GAP_SLOTS long
  const around = squares - 2 * everybody * sum + gaps * everybody * everybody;
  const prior = PRIOR_GAPS * (PRIOR_VARIANCE + (PRIOR_LOG_GAP - everybody) * (PRIOR_LOG_GAP - everybody));
  const variance = (Math.max(around, 0) + prior) / (gaps + PRIOR_GAPS);
  return Math.min(Math.max(Math.sqrt(variance), DEVIATION_MIN), DEVIATION_MAX);
}

/**
 * Rate of the next purchase after a silence over the person's mean rate, for a log-normal gap:
 *
 *     z = (ln silence - m) / s        ratio = phi(z) / (s silence Phi(-z)) x exp(m + s^2 / 2)
 *     factor = (repeats x ratio within 1/2 and 2 + 2) / (repeats + 2)
 *
 * 1 for somebody without a repeat. Source: hazard of the log-normal (Johnson, Kotz and Balakrishnan, Continuous
 * Univariate Distributions 1, 1994, chapter 14). The bounds and the shrinkage are ours.
 * @param silenceMillis since the last purchase; below 0 (a clock gone back) counts as none
 * @param deviation s, within 0.1 and 3
 * @returns within 1/2 and 2. Cost: 100 ns.
 */
export function dueFactor(silenceMillis: number, logGap: number, deviation: number, purchases: number): number {
  const repeats = Math.min(Math.max(0, purchases - 1), REPEATS_MAX);
  if (!(repeats > 0 && purchases < Infinity) || !(logGap > -Infinity && logGap < Infinity)) return 1;
  const ratio = Math.min(
    Math.max(rateRatio(silenceMillis / DAY_MILLIS, logGap, deviation), 1 / DUE_FACTOR_MAX),
    DUE_FACTOR_MAX,
  );
  return (repeats * ratio + DUE_SHRINKAGE) / (repeats + DUE_SHRINKAGE);
}

function rateRatio(silenceDays: number, logGap: number, deviation: number): number {
  // Just bought, and silent for ever.
  if (!(silenceDays > 0 && silenceDays < Infinity)) return 0;
  const logSilence = naturalLogarithm(silenceDays);
  const median = Math.min(Math.max(logGap, -LOG_GAP_MAX), LOG_GAP_MAX);
  const z = (logSilence - median) / deviation;
  // In the far tail phi / Phi tends to z, and neither is a number any more.
  const hazard = z > 8 ? z : normalDensity(z) / normalCdf(-z);
  return (hazard / deviation) * exponential(Math.min(median - logSilence + (deviation * deviation) / 2, 700));
}
