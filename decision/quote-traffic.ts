/**
 * How many quotes of a product an hour will bring, learnt from when quotes came. Needed to plan a stock: what
 * is left must last for the quotes to come until its day.
 *
 *     w = sum e^(t_i / tau),    m = sum t_i / tau e^(t_i / tau)      t_i since 2026 in hours, tau = 14 days
 *
 * Both are sums of what each quote added, so shards may add theirs in any order, and old traffic fades
 * without anybody touching the state. The mean age of the quotes tells since when they have been coming.
 *
 * Guarantees: a positive, finite rate from any state. Traded away: no rhythm of day or week, so a horizon of
 * less than a day is planned with the mean hour; weights end in 2049 (then every quote counts as of that year).
 */
import { exponential } from './normal.ts';

/** Slots of one product: w, m. */
export const TRAFFIC_SLOTS = 2;

const HOUR_MILLIS = 3_600_000;
const EPOCH_MILLIS = 1_767_225_600_000;
const TAU_HOURS = 14 * 24;
/** Within which e^x and sums of it stay far from the ends of the doubles. */
const EXPONENT_MAX = 600;
/** One quote in one hour, before any evidence. */
const PRIOR_QUOTES = 1;
const PRIOR_HOURS = 1;
const HISTORY_MAX = 50;
const HALVINGS = 40;

/**
 * Adds one quote, or takes one back.
 * @param times 1 or -1
 * @param state at least `TRAFFIC_SLOTS` from `offset`
 * @param atEpochMillis when it was made; not finite: ignored
 */
export function learnTraffic(state: Float64Array, offset: number, atEpochMillis: number, times: 1 | -1 = 1): void {
  if (!(Math.abs(atEpochMillis) < Infinity)) return;
  const age = tausSinceEpoch(atEpochMillis);
  const weight = times * exponential(age);
  state[offset] = (state[offset] as number) + weight; // cast: in the slice
  state[offset + 1] = (state[offset + 1] as number) + weight * age; // cast: in the slice
}

/**
 * Quotes an hour, > 0:  (n + 1) / (h + 1 hour)  with n the faded count of quotes and h the faded hours they
 * came in, h = tau (1 - e^-L), where L solves  mean age = 1 - L / (e^L - 1)  (in units of tau): the mean age of
 * quotes that came evenly over L and fade by e^-age. A clock that went back counts as no age. Without evidence, or
 * at an instant that is not finite, one an hour.
 * Draws: none. Cost: 2 us.
 */
export function quotesPerHour(state: Float64Array, offset: number, nowEpochMillis: number): number {
  const weight = state[offset] as number; // cast: in the slice
  if (!(weight > 0 && Math.abs(nowEpochMillis) < Infinity)) return PRIOR_QUOTES / PRIOR_HOURS;
  const meanAt = (state[offset + 1] as number) / weight; // cast: in the slice
  const now = Math.max(tausSinceEpoch(nowEpochMillis), meanAt);
  const meanAge = now - meanAt;
  let low = 0;
  let high = HISTORY_MAX;
  for (let i = 0; i < HALVINGS; i++) {
    const middle = (low + high) / 2;
    // Near 0 the quotient is 1 - L / 2, which cancellation would hide.
    const age = middle < 1e-4 ? middle / 2 : 1 - middle / (exponential(middle) - 1);
    if (age < meanAge) low = middle;
    else high = middle;
  }
  const hours = TAU_HOURS * (1 - exponential(-low));
  const quotes = weight * exponential(-now);
  return (quotes + PRIOR_QUOTES) / (hours + PRIOR_HOURS);
}

function tausSinceEpoch(atEpochMillis: number): number {
  const taus = (atEpochMillis - EPOCH_MILLIS) / HOUR_MILLIS / TAU_HOURS;
  return taus > EXPONENT_MAX ? EXPONENT_MAX : Math.max(taus, -EXPONENT_MAX);
}
