/**
 * What a person wishes of being spoken to: own quiet hours, silence until an instant, an order of channels. The
 * operator's contact policy holds beside it and neither loosens the other: of two quiet hours both are kept. Read by
 * the pipeline and the send-time; where a person wishes nothing there is nothing, and nothing is looked at.
 */
import type { QuietHours } from './catalog.ts';
import { isQuiet, type LocalNow, quietEndsAt } from './contact-policy.ts';

export interface ContactWishes {
  /** By channel: no word before this instant, in epoch milliseconds; 0 where it is not muted. */
  readonly mutedUntil: Float64Array;
  /** By channel: the person's own quiet hours, at most those for all channels and those for this one. */
  readonly quietHours: readonly (readonly QuietHours[])[];
  /** By channel: place in the person's own order, from 1; infinity for one they did not name. */
  readonly ranks: Float64Array;
  readonly hasRanks: boolean;
}

export const NO_QUIET_HOURS: readonly QuietHours[] = [];
const DAY_MINUTES = 1440;
/** Quiet hours that follow each other without a gap, over changes of the clocks. */
const STRETCHES_MAX = 16;

/**
 * Minutes until none of the quiet hours holds: 0 when none does, a day or more when some always does.
 * @param channel the catalog's of the channel, or null
 * @param own the person's
 */
export function quietMinutesAt(channel: QuietHours | null, own: readonly QuietHours[], minuteOfDay: number): number {
  if (own.length === 0)
    return channel !== null && isQuiet(channel, minuteOfDay)
      ? (channel.endMinute - minuteOfDay + DAY_MINUTES) % DAY_MINUTES
      : 0;
  let waited = 0;
  for (let settled = false; !settled && waited < DAY_MINUTES; ) {
    settled = true;
    for (let i = -1; i < own.length; i++) {
      const hours = i < 0 ? channel : (own[i] as QuietHours); // i < own.length
      const minute = (minuteOfDay + waited) % DAY_MINUTES;
      if (hours === null || !isQuiet(hours, minute)) continue;
      waited += (hours.endMinute - minute + DAY_MINUTES) % DAY_MINUTES;
      settled = false;
    }
  }
  return waited;
}

/** Minutes until the first of the quiet hours begins, for an instant in none of them; infinity where there are none. */
export function minutesToQuiet(channel: QuietHours | null, own: readonly QuietHours[], minuteOfDay: number): number {
  let soonest = Number.POSITIVE_INFINITY;
  for (let i = -1; i < own.length; i++) {
    const hours = i < 0 ? channel : (own[i] as QuietHours); // i < own.length
    if (hours === null || hours.startMinute === hours.endMinute) continue;
    soonest = Math.min(soonest, (hours.startMinute - minuteOfDay + DAY_MINUTES) % DAY_MINUTES);
  }
  return soonest;
}

/** When none of the quiet hours holds any more, from `from` on; infinity where some always does. For explanations. */
export function allQuietEndsAt(hours: readonly QuietHours[], local: LocalNow, from: number): number {
  let at = from;
  for (let stretch = 0; stretch < STRETCHES_MAX; stretch++) {
    const minute = local.minuteOfDayAt(at);
    const holding = hours.find((one) => isQuiet(one, minute));
    if (holding === undefined) return at;
    at = quietEndsAt(holding, local, at);
  }
  return Number.POSITIVE_INFINITY;
}
