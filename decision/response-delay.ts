/**
 * How long people take to respond, a channel: what tells a decision that brings nothing from one that has not brought
 * anything yet. A decision counts as a negative with weight P(delay <= age | it responds at all) (Chapelle, "Modeling
 * delayed feedback in display advertising", KDD 2014, for why; a histogram in place of his exponential).
 *
 *   bins   up to 1 minute, 2, 4, 8, … minutes, the last without an end: a count of responses each, a sum over shards
 *
 * Before any evidence responses come at once, so that a channel that is fast, or not known, has full negatives and no
 * later work. Traded away: delays longer than a channel has lived are not seen yet, so a young channel seems faster than
 * it is; and within a minute all are alike.
 */

/** Counts of one channel. */
export const DELAY_SLOTS = 16;
const FIRST_BIN_MILLIS = 60_000;
/** Responses within the first minute, as if they had been seen. */
const PRIOR_RESPONSES = 10;
/** From this share on nothing more is waited for. */
const WHOLE_SHARE = 0.95;
/** A step of the weight that is worth an entry of the journal. */
const STEP_SHARE = 0.25;

/** The bin of a delay in milliseconds; what is negative or no number came at once. */
export function delayBin(delayMillis: number): number {
  let bin = 0;
  for (let end = FIRST_BIN_MILLIS; bin < DELAY_SLOTS - 1 && delayMillis > end; end *= 2) bin += 1;
  return bin;
}

/**
 * P(delay <= age) of those who respond, in (0, 1]: evenly spread within a bin, rising with the age.
 * @param counts `DELAY_SLOTS` from `offset`
 */
function respondedShare(counts: Float64Array, offset: number, ageMillis: number): number {
  let total = PRIOR_RESPONSES;
  let before = PRIOR_RESPONSES + (counts[offset] as number); // a slot, as below
  for (let bin = 0; bin < DELAY_SLOTS; bin += 1) total += counts[offset + bin] as number;
  let start = FIRST_BIN_MILLIS;
  for (let bin = 1; bin < DELAY_SLOTS && ageMillis > start; bin += 1) {
    const within = Math.min((ageMillis - start) / start, 1);
    before += within * (counts[offset + bin] as number);
    start *= 2;
  }
  return Math.min(before / total, 1);
}

/**
 * The weight of a decision without response as a negative, in (0, 1].
 *
 * @param counts `DELAY_SLOTS` from `offset`, each >= 0
 * @param ageMillis since the decision; no number counts as old
 * @param windowMillis after it a response does not count any more: the weight is 1
 */
export function negativeWeight(counts: Float64Array, offset: number, ageMillis: number, windowMillis: number): number {
  if (!(ageMillis < windowMillis)) return 1;
  const share = respondedShare(counts, offset, ageMillis);
  return share >= WHOLE_SHARE ? 1 : share;
}

/** Whether going from one weight to another is worth saying: a quarter, or all that is left. */
export function isStep(weight: number, next: number): boolean {
  return next > weight && (next >= 1 || next - weight >= STEP_SHARE);
}

/**
 * The age at which the weight should be looked at again: the end of a bin by which it has risen by a step, by what is
 * known now; the window's end at the latest.
 */
export function nextStepAge(
  counts: Float64Array,
  offset: number,
  ageMillis: number,
  weight: number,
  windowMillis: number,
): number {
  let end = FIRST_BIN_MILLIS;
  for (let bin = 0; bin < DELAY_SLOTS && end < windowMillis; bin += 1, end *= 2) {
    if (end > ageMillis && isStep(weight, negativeWeight(counts, offset, end, windowMillis))) return end;
  }
  return windowMillis;
}
