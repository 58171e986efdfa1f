/**
 * When will this person buy next? Learnt purchase by purchase, six numbers a person and three for everybody:
 *
 *   ln gap ~ Normal(m, s^2)     m: the person's decaying mean of ln gap, shrunk to everybody's
 *                               s^2: how far such predictions have missed, over everybody
 *
 * Every answer is given the silence so far: nobody is expected yesterday. It says when, supposing that the person
 * still buys; whether they do, and how much is to come, is for the batch models of `purchase-model.ts` and
 * `spend-model.ts`, whose columns `writeHistory` fills from the same six numbers. A person known for a single
 * purchase has everybody's gap, and everybody begins with a prior.
 *
 * Guarantees: no allocation, bit-equal everywhere, finite for any finite input, clocks going backwards included.
 * Traded away: the season, and that regular people miss by less than irregular ones (one s for everybody).
 */
import { exponential, naturalLogarithm, normalCdf, normalInverseCdf } from './normal.ts';
import { expectedLogGap, GAP_DECAY, OCCASION_MILLIS } from './purchase-due.ts';

/** Numbers of one person, from an offset; all 0 is somebody who has not bought. */
export const CYCLE_SLOTS = 6;
/** Instants in epoch milliseconds. */
export const FIRST_AT = 0;
export const LAST_AT = 1;
/** Purchases in all; repeats are one less. */
export const PURCHASES = 2;
/** Sum over repeats, in the unit of money. */
export const REPEAT_SPEND = 3;
/** Sum of ln gap, gaps in days; and the same with each older gap counting GAP_DECAY times the next. */
export const LOG_GAPS = 4;
export const DECAYED_LOG_GAPS = 5;

/** Numbers of everybody: gaps, their sum of ln, squared misses. Additive over shards; all 0 at first. */
export const CYCLE_TOTALS = 3;

export const DAY_MILLIS = 86_400_000;
/** Latest instant a Date can hold. */
const EPOCH_MILLIS_MAX = 8.64e15;

const PRIOR_GAPS = 10;
const PRIOR_VARIANCE = 1;

/**
 * Learns one purchase. Within an hour of the last one, or told late (before it), it counts as part of that one:
 * its spend is added to the repeats' unless that was the first purchase, and nothing else changes.
 * @param cycles CYCLE_SLOTS numbers from `offset`, changed
 * @param totals CYCLE_TOTALS numbers, changed
 * @param spend unit of money, finite; below 0 for what came back
 * Cost: 100 ns.
 */
export function learnPurchase(
  cycles: Float64Array,
  offset: number,
  totals: Float64Array,
  atEpochMillis: number,
  spend: number,
): void {
  const purchases = at(cycles, offset + PURCHASES);
  if (purchases === 0) {
    cycles[offset + FIRST_AT] = atEpochMillis;
    cycles[offset + LAST_AT] = atEpochMillis;
    cycles[offset + PURCHASES] = 1;
    return;
  }
  const gapMillis = atEpochMillis - at(cycles, offset + LAST_AT);
  const isApart = gapMillis >= OCCASION_MILLIS;
  if (isApart || purchases > 1) cycles[offset + REPEAT_SPEND] = at(cycles, offset + REPEAT_SPEND) + spend;
  if (!isApart) return;
  const logGap = naturalLogarithm(gapMillis / DAY_MILLIS);
  const miss = logGap - logGapOf(cycles, offset, totals);
  totals[0] = at(totals, 0) + 1;
  totals[1] = at(totals, 1) + logGap;
  totals[2] = at(totals, 2) + miss * miss;
  cycles[offset + LAST_AT] = atEpochMillis;
  cycles[offset + PURCHASES] = purchases + 1;
  cycles[offset + LOG_GAPS] = at(cycles, offset + LOG_GAPS) + logGap;
  cycles[offset + DECAYED_LOG_GAPS] = GAP_DECAY * at(cycles, offset + DECAYED_LOG_GAPS) + logGap;
}

/** m of a person, as `purchase-due.ts` has it. A person with one purchase or none has everybody's. */
export function logGapOf(cycles: Float64Array, offset: number, totals: Float64Array): number {
  return expectedLogGap(at(cycles, offset + PURCHASES), at(cycles, offset + DECAYED_LOG_GAPS), totals);
}

/** s, in units of ln gap: root of the mean squared miss, ten prior misses included; > 0. */
export function logGapDeviation(totals: Float64Array): number {
  return Math.sqrt((at(totals, 2) + PRIOR_GAPS * PRIOR_VARIANCE) / (at(totals, 0) + PRIOR_GAPS));
}

/**
 * Instant before which the next purchase comes with probability 1/2, supposing that it comes and that it has not
 * come by `nowEpochMillis`, in epoch milliseconds: with z = (ln silence - m) / s
 *
 *     last + exp(m - s Phi^-1(Phi(-z) / 2))        which is last + e^m right after a purchase, and never before now
 *
 * 0 for somebody who has not bought. At most what a Date can hold.
 * Cost: 180 ns.
 */
export function nextPurchaseEpochMillis(
  cycles: Float64Array,
  offset: number,
  totals: Float64Array,
  nowEpochMillis: number,
): number {
  if (at(cycles, offset + PURCHASES) === 0) return 0;
  const last = at(cycles, offset + LAST_AT);
  const median = logGapOf(cycles, offset, totals);
  const deviation = logGapDeviation(totals);
  const still = stillSilent(nowEpochMillis - last, median, deviation);
  // Where the tail is below any double the silence is so long that the answer is now.
  const gapDays = still > 0 ? exponential(median - deviation * normalInverseCdf(still / 2)) : 0;
  return Math.min(Math.max(last + gapDays * DAY_MILLIS, nowEpochMillis), EPOCH_MILLIS_MAX);
}

/**
 * P(the next purchase comes within `horizonMillis` | none since the last, and it comes at all), 0 to 1. Times
 * `aliveProbability` of the batch model it is P(a purchase within the time); people are ranked by neither. 0 for
 * somebody who has not bought and for a horizon <= 0; 1 when the silence is beyond anything the cycle allows.
 * Cost: 160 ns.
 */
export function purchaseWithinProbability(
  cycles: Float64Array,
  offset: number,
  totals: Float64Array,
  nowEpochMillis: number,
  horizonMillis: number,
): number {
  if (at(cycles, offset + PURCHASES) === 0 || !(horizonMillis > 0)) return 0;
  const median = logGapOf(cycles, offset, totals);
  const deviation = logGapDeviation(totals);
  const silence = Math.max(0, nowEpochMillis - at(cycles, offset + LAST_AT));
  const still = stillSilent(silence, median, deviation);
  if (!(still > 0)) return 1;
  return Math.max(0, 1 - stillSilent(silence + horizonMillis, median, deviation) / still);
}

/** Columns of the batch models, times in days: `PurchaseHistories` and the mean spends of `fitSpendModel`. */
export interface HistoryColumns {
  readonly repeatCounts: Float64Array;
  readonly lastTimes: Float64Array;
  readonly observedTimes: Float64Array;
  readonly logGapSums: Float64Array;
  readonly meanSpends: Float64Array;
}

/**
 * Writes one person's row for the batch models, whose bounds it keeps: a clock behind the last purchase counts as
 * that purchase's instant, and a spend that returns made negative counts as 0.
 * @returns false, and nothing is written, for somebody who has not bought
 */
export function writeHistory(
  cycles: Float64Array,
  offset: number,
  nowEpochMillis: number,
  columns: HistoryColumns,
  row: number,
): boolean {
  const purchases = at(cycles, offset + PURCHASES);
  if (purchases === 0) return false;
  const first = at(cycles, offset + FIRST_AT);
  const last = at(cycles, offset + LAST_AT);
  const repeats = purchases - 1;
  columns.repeatCounts[row] = repeats;
  columns.lastTimes[row] = (last - first) / DAY_MILLIS;
  columns.observedTimes[row] = (Math.max(nowEpochMillis, last) - first) / DAY_MILLIS;
  columns.logGapSums[row] = at(cycles, offset + LOG_GAPS);
  columns.meanSpends[row] = repeats === 0 ? 0 : Math.max(0, at(cycles, offset + REPEAT_SPEND) / repeats);
  return true;
}

/** P(gap > silence); 1 for a silence <= 0. */
function stillSilent(silenceMillis: number, median: number, deviation: number): number {
  if (!(silenceMillis > 0)) return 1;
  return normalCdf((median - naturalLogarithm(silenceMillis / DAY_MILLIS)) / deviation);
}

function at(values: Float64Array, index: number): number {
  return values[index] as number; // every caller passes CYCLE_SLOTS from its offset, or CYCLE_TOTALS
}
