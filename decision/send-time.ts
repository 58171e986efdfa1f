/**
 * When to speak: the instant that is worth most, of the coming day or as far ahead as the channel looks.
 *
 *     intensity(person, hour of week) = week[hour of week] x share(person, hour) / share(all, hour)
 *     worth(instant) = intensity x how due a purchase is that day / (1 + loss a day x days of waiting)
 *
 * The week curve (168 counts, one a channel) knows weekdays; the person's 24 counts know their habits.
 * A new person answers from look-alikes in the same zone, and these from everybody, so the first answer
 * is already sensible and one more response moves it at once: first the part of the day, with more of them the hour.
 *
 * Guarantees: quiet hours and the earliest instant bind in the person's own local time, summer time
 * included; the propensity is exact; equal inputs give equal answers; nothing is allocated. Traded away:
 * hours are the finest grain, and a person's habits do not differ by weekday.
 */
import type { QuietHours } from './catalog.ts';
import { minutesToQuiet, NO_QUIET_HOURS, quietMinutesAt } from './contact-wishes.ts';
import { TILT_SLOTS, tiltFactors } from './hour-tilt.ts';
import type { ZoneTable } from './local-time.ts';
import { dueFactor, expectedLogGap, GAP_SLOTS, logGapDeviation } from './purchase-due.ts';
import { drawUniform, PURPOSE } from './random.ts';

/** Slots of one channel's week curve: hour of the local week, Monday 00:00 first. */
export const WEEK_SLOTS = 168;
/** Share of answers drawn uniformly over the allowed candidates, so that other hours stay measurable. */
export const SEND_EXPLORATION_PROBABILITY = 0.05;
/** How long a chosen instant stays good, unless quiet hours begin sooner. */
export const SEND_WINDOW_MINUTES = 60;

const HOUR_MILLIS = 3_600_000;
const MINUTE_MILLIS = 60_000;
const DAY_MILLIS = 24 * HOUR_MILLIS;
/** How far the search goes on, day by day, when nothing inside the horizon is allowed. */
export const SEND_HORIZON_MILLIS_MAX = 8 * DAY_MILLIS;
const TILT_COUNT_MAX = 0xffff;

/**
 * Pseudo-counts of the prior, hour by hour, the same on every day: quiet nights, a morning rise, a
 * plateau through the working day and a peak at 20:00, as shops' apps and mail commonly see it. They sum
 * to 95 a day and 665 a week: as many real responses on a channel outweigh them. Our own choice, not fitted
 * to any data set.
 */
const PRIOR_HOURS = [
  1.2, 0.6, 0.4, 0.3, 0.3, 0.5, 1.2, 2.6, 4.4, 5.7, 6.4, 6.0, 5.7, 5.2, 5.0, 5.0, 5.0, 5.2, 5.8, 6.9, 7.5, 6.9, 4.8,
  2.4,
] as const;

/**
 * Candidates: at most one for each local hour of 8 days, one more for the hour already running, and a few
 * for jumps of the clock. The scratch is shared: a thread runs one turn at a time.
 */
const CANDIDATES_MAX = 8 * 24 + 16;
const DAYS_MAX = 8;
const candidateAt = new Float64Array(CANDIDATES_MAX);
const candidateIntensity = new Float64Array(CANDIDATES_MAX);
const candidateHourOfWeek = new Uint8Array(CANDIDATES_MAX);
/** Intensity x hours of each day counted from now. One slot more, for the last piece's overhang. */
const dayIntegral = new Float64Array(DAYS_MAX + 1);
const factorByHour = new Float64Array(TILT_SLOTS);
/** How due a purchase is on each day counted from now. */
const dueByDay = new Float64Array(DAYS_MAX);

/**
 * What `chooseSendTime` reads; one object, filled anew for each call. Arrays are read, never kept.
 */
export interface SendTimeInput {
  zones: ZoneTable;
  /** Index in `zones`; never negative: an unknown zone is the catalog's. */
  zone: number;
  nowEpochMillis: number;
  /** How far ahead to look, in milliseconds; 0 means now or never (until nothing is found, then it extends). Usual: 24 hours. */
  horizonMillis: number;
  /** No instant before this one is allowed (a cap's next opening); 0 when there is none. */
  earliestEpochMillis: number;
  /** The channel's quiet hours, or null. Start included, end not; equal ends mean none. */
  quietHours: QuietHours | null;
  /** The person's own, which hold beside them. */
  ownQuietHours: readonly QuietHours[];
  /** The channel's curve: `WEEK_SLOTS` non-negative counts from `weekOffset`. */
  week: Float64Array;
  weekOffset: number;
  /** Look-alikes: `TILT_SLOTS` non-negative counts of the zone from `zoneTiltOffset`. */
  zoneTilt: Float64Array;
  zoneTiltOffset: number;
  /** The person: `TILT_SLOTS` counts from `tiltOffset`. */
  tilt: Uint16Array;
  tiltOffset: number;
  /** Share of its value that what is said loses with the first day of waiting, 0 to 1: worth / (1 + loss x days). */
  waitingLossPerDay: number;
  /** The person's purchases: how many occasions, when the last, and the decaying sum of `expectedLogGap`. */
  purchases: number;
  lastPurchaseAtEpochMillis: number;
  decayedLogGaps: number;
  /** Everybody's: `GAP_SLOTS` numbers. */
  gapTotals: Float64Array;
  /** Share of uniform answers, 0 to 1; usually `SEND_EXPLORATION_PROBABILITY`. */
  explorationProbability: number;
  seed0: number;
  seed1: number;
  /** Whose draw it is (the channel's hash), so that channels of one decision draw apart. */
  subjectHash: number;
}

/** What `chooseSendTime` writes; one object, overwritten by each call. */
export interface SendTimeResult {
  /** False when no instant is allowed within 8 days; then the other fields are 0 or false. */
  isFound: boolean;
  atEpochMillis: number;
  /** Minutes from `atEpochMillis` in which speaking is as good: 60, less when quiet hours begin sooner. */
  windowMinutes: number;
  /** P(the person's next response of that day falls in an hour like the chosen one), 0 to 1. */
  probability: number;
  /** The same for the hour running now; 0 when speaking now is not allowed. */
  nowProbability: number;
  /**
   * Value of speaking then over that of speaking in an average hour of the coming day, waiting and purchase cycle
   * included, >= 0; and of speaking now, 0 when that is not allowed. Times response probability and value it is
   * money, and their difference is the value of waiting.
   */
  worth: number;
  nowWorth: number;
  /** True when the uniform branch chose (it may choose the best instant too). */
  explored: boolean;
  /** The exact probability with which this policy chose this instant, in (0, 1]. */
  propensity: number;
  /** Local hour of the week of the chosen instant, 0 to 167. */
  hourOfWeek: number;
  /** Candidates that were allowed. */
  allowedCount: number;
}

/** An input at rest, for one thread to fill again and again: a day's horizon, no quiet hours, empty curves. */
export function createSendTimeInput(zones: ZoneTable): SendTimeInput {
  return {
    zones,
    zone: 0,
    nowEpochMillis: 0,
    horizonMillis: DAY_MILLIS,
    earliestEpochMillis: 0,
    quietHours: null,
    ownQuietHours: NO_QUIET_HOURS,
    week: new Float64Array(WEEK_SLOTS),
    weekOffset: 0,
    zoneTilt: new Float64Array(TILT_SLOTS),
    zoneTiltOffset: 0,
    tilt: new Uint16Array(TILT_SLOTS),
    tiltOffset: 0,
    waitingLossPerDay: 0,
    purchases: 0,
    lastPurchaseAtEpochMillis: 0,
    decayedLogGaps: 0,
    gapTotals: new Float64Array(GAP_SLOTS),
    explorationProbability: SEND_EXPLORATION_PROBABILITY,
    seed0: 0,
    seed1: 0,
    subjectHash: 0,
  };
}

export function createSendTimeResult(): SendTimeResult {
  return {
    isFound: false,
    atEpochMillis: 0,
    windowMinutes: 0,
    probability: 0,
    nowProbability: 0,
    worth: 0,
    nowWorth: 0,
    explored: false,
    propensity: 0,
    hourOfWeek: 0,
    allowedCount: 0,
  };
}

/** Adds the prior's pseudo-counts (`PRIOR_HOURS` on each day) to a channel's curve, once, when it is made. */
export function addSendPrior(week: Float64Array, weekOffset: number): void {
  for (let hour = 0; hour < WEEK_SLOTS; hour++) {
    week[weekOffset + hour] = (week[weekOffset + hour] ?? 0) + (PRIOR_HOURS[hour % TILT_SLOTS] ?? 0);
  }
}

/**
 * Learns one response (click, session, purchase; machine opens are no signal) at a local hour of the
 * week: one more in the channel's curve, the zone's tilt and the person's tilt. When a person's count
 * would pass 65,535 all 24 are halved first (rounded down), which keeps the shape and forgets slowly.
 * @param hourOfWeek 0 to 167, from `ZoneTable.localHourOfWeek`
 * Cost: 5 ns. `week` and `zoneTilt` are additive across shards.
 */
export function learnSend(
  week: Float64Array,
  weekOffset: number,
  zoneTilt: Float64Array,
  zoneTiltOffset: number,
  tilt: Uint16Array,
  tiltOffset: number,
  hourOfWeek: number,
): void {
  const hour = hourOfWeek % TILT_SLOTS;
  week[weekOffset + hourOfWeek] = (week[weekOffset + hourOfWeek] ?? 0) + 1;
  zoneTilt[zoneTiltOffset + hour] = (zoneTilt[zoneTiltOffset + hour] ?? 0) + 1;
  if (tilt[tiltOffset + hour] === TILT_COUNT_MAX) {
    for (let i = tiltOffset; i < tiltOffset + TILT_SLOTS; i++) tilt[i] = (tilt[i] ?? 0) >>> 1;
  }
  tilt[tiltOffset + hour] = (tilt[tiltOffset + hour] ?? 0) + 1;
}

/**
 * Chooses the instant to speak.
 *
 * The span [now, now + horizon] is cut at every local full hour and at every jump of the clock. Each
 * piece gives at most one candidate: its first instant that is neither before `earliestEpochMillis` nor
 * in quiet hours (so `now`, each full hour, and the end of quiet hours). With probability
 * 1 - e the candidate of the highest worth is taken, the earliest of equals; with probability e one
 * uniformly. Nothing allowed: the span grows by whole days to 8 days. How due a purchase is is asked for each
 * day, so within one day it cannot matter and is not worked out.
 *
 * `probability` is the intensity of the chosen hour over the sum of intensity x hours of the day (24
 * hours counted from now) in which it lies, allowed or not: of that day's responses the share an hour
 * at this rate takes. `nowProbability` likewise, and 0 if now is not allowed. Both are rates of a full
 * hour, so they can be compared although the running hour is cut short. Clipped to 1.
 *
 * Draws: one uniform (purpose `sendTime`). Cost: 0.6 to 1 us over 24 hours, half of it
 * `tiltFactors`; 0.2 us more for each further day of a person who has bought twice. Does not throw; all inputs finite.
 */
export function chooseSendTime(input: SendTimeInput, out: SendTimeResult): void {
  tiltFactors(
    input.week,
    input.weekOffset,
    input.zoneTilt,
    input.zoneTiltOffset,
    input.tilt,
    input.tiltOffset,
    factorByHour,
  );
  const now = input.nowEpochMillis;
  let horizonMillis = Math.min(Math.max(input.horizonMillis, 0), SEND_HORIZON_MILLIS_MAX);
  let count = collectCandidates(input, horizonMillis);
  out.nowProbability = count > 0 && candidateAt[0] === now ? shareOfDay(0, now, horizonMillis) : 0;
  count = countUntil(now + horizonMillis, count);
  while (count === 0 && horizonMillis < SEND_HORIZON_MILLIS_MAX) {
    horizonMillis = Math.min(horizonMillis + DAY_MILLIS, SEND_HORIZON_MILLIS_MAX);
    count = countUntil(now + horizonMillis, collectCandidates(input, horizonMillis));
  }
  out.allowedCount = count;
  if (count === 0) {
    out.isFound = false;
    out.atEpochMillis = 0;
    out.windowMinutes = 0;
    out.probability = 0;
    out.worth = 0;
    out.nowWorth = 0;
    out.explored = false;
    out.propensity = 0;
    out.hourOfWeek = 0;
    return;
  }

  const days = daysCut(horizonMillis);
  const dueMax = fillDueDays(input, days);
  let best = 0;
  let bestValue = worthOf(input, 0, days);
  out.nowWorth = candidateAt[0] === now ? overAverage(bestValue) : 0;
  for (let i = 1; i < count; i++) {
    // Waiting never raises a value: what is not more intense on the most due day cannot be better.
    if ((candidateIntensity[i] as number) * dueMax <= bestValue) continue; // cast: i < count
    const value = worthOf(input, i, days);
    if (value > bestValue) {
      best = i;
      bestValue = value;
    }
  }
  const epsilon = input.explorationProbability;
  const uniform = drawUniform(input.seed0, input.seed1, input.subjectHash, PURPOSE.sendTime);
  // One draw serves both questions: below epsilon it is again uniform over (0, epsilon).
  const explored = uniform < epsilon;
  const chosen = explored ? Math.min(Math.floor((uniform / epsilon) * count), count - 1) : best;
  const at = candidateAt[chosen] as number; // cast: chosen < count

  out.isFound = true;
  out.atEpochMillis = at;
  out.explored = explored;
  out.propensity = (chosen === best ? 1 - epsilon : 0) + epsilon / count;
  out.hourOfWeek = candidateHourOfWeek[chosen] as number; // cast: chosen < count
  out.windowMinutes = windowMinutesAt(input, at);
  out.probability = shareOfDay(chosen, now, horizonMillis);
  out.worth = overAverage(chosen === best ? bestValue : worthOf(input, chosen, days));
}

/** Returns the highest factor. */
function fillDueDays(input: SendTimeInput, days: number): number {
  dueByDay.fill(1, 0, days);
  if (days === 1 || input.purchases < 2) return 1;
  const logGap = expectedLogGap(input.purchases, input.decayedLogGaps, input.gapTotals);
  const deviation = logGapDeviation(input.gapTotals);
  const silenceMillis = input.nowEpochMillis - input.lastPurchaseAtEpochMillis;
  let highest = 0;
  for (let day = 0; day < days; day++) {
    const due = dueFactor(silenceMillis + (day + 0.5) * DAY_MILLIS, logGap, deviation, input.purchases);
    dueByDay[day] = due;
    highest = Math.max(highest, due);
  }
  return highest;
}

/** Intensity of a candidate, purchase cycle and loss by waiting included. */
function worthOf(input: SendTimeInput, candidate: number, days: number): number {
  const waited = ((candidateAt[candidate] as number) - input.nowEpochMillis) / DAY_MILLIS; // cast: candidate < count
  const due = dueByDay[Math.min(Math.floor(waited), days - 1)] as number; // cast: 0 <= waited
  return ((candidateIntensity[candidate] as number) * due) / (1 + input.waitingLossPerDay * waited); // cast: as above
}

/** A value over that of an average hour of the coming day. */
function overAverage(value: number): number {
  const integral = dayIntegral[0] as number; // cast: DAYS_MAX + 1 long
  return integral > 0 ? (value * 24) / integral : 0;
}

/**
 * Cuts the days that hold the horizon into pieces of one local hour; fills the scratch with their allowed
 * candidates, in the order of time, and with each day's integral. Returns how many candidates. Local time
 * is carried along by addition; the zone is asked again only where the clock jumps.
 */
function collectCandidates(input: SendTimeInput, horizonMillis: number): number {
  const { zones, zone, nowEpochMillis: now, earliestEpochMillis, quietHours, week, weekOffset } = input;
  const { ownQuietHours } = input;
  const hasQuiet = quietHours !== null || ownQuietHours.length > 0;
  const end = now + daysCut(horizonMillis) * DAY_MILLIS;
  dayIntegral.fill(0);
  let offsetMillis = zones.offsetSecondsAt(zone, now) * 1000;
  let jump = zones.nextTransitionAt(zone, now);
  let hour = Math.floor((now + offsetMillis) / HOUR_MILLIS);
  let hourOfWeek = zones.localHourOfWeek(zone, now);
  let day = 0;
  let dayEnd = now + DAY_MILLIS;
  let count = 0;
  for (let from = now; from <= end; ) {
    const hourStart = hour * HOUR_MILLIS - offsetMillis;
    const to = Math.min(hourStart + HOUR_MILLIS, jump);
    const hourOfDay = hourOfWeek % TILT_SLOTS;
    const intensity = (week[weekOffset + hourOfWeek] as number) * (factorByHour[hourOfDay] as number); // casts: hourOfWeek < 168

    let at = Math.max(from, earliestEpochMillis);
    if (at < to && hasQuiet) {
      const minuteOfHour = Math.floor((at - hourStart) / MINUTE_MILLIS);
      const minuteOfDay = hourOfDay * 60 + minuteOfHour;
      const waitMinutes = quietMinutesAt(quietHours, ownQuietHours, minuteOfDay);
      // Quiet hours end on a full local minute; earlier instants of the minute before are still quiet.
      if (waitMinutes > 0) at = hourStart + (minuteOfHour + waitMinutes) * MINUTE_MILLIS;
    }
    if (at < to && count < CANDIDATES_MAX) {
      candidateAt[count] = at;
      candidateIntensity[count] = intensity;
      candidateHourOfWeek[count] = hourOfWeek;
      count++;
    }

    if (to <= dayEnd) {
      addToDay(day, (intensity * (to - from)) / HOUR_MILLIS);
    } else {
      addToDay(day, (intensity * (dayEnd - from)) / HOUR_MILLIS);
      day++;
      addToDay(day, (intensity * (to - dayEnd)) / HOUR_MILLIS);
      dayEnd += DAY_MILLIS;
    }

    from = to;
    if (to === jump) {
      offsetMillis = zones.offsetSecondsAt(zone, to) * 1000;
      jump = zones.nextTransitionAt(zone, to);
      hour = Math.floor((to + offsetMillis) / HOUR_MILLIS);
      hourOfWeek = zones.localHourOfWeek(zone, to);
    } else {
      hour++;
      hourOfWeek = hourOfWeek === WEEK_SLOTS - 1 ? 0 : hourOfWeek + 1;
    }
  }
  return count;
}

function addToDay(day: number, integral: number): void {
  if (day <= DAYS_MAX) dayIntegral[day] = (dayIntegral[day] as number) + integral; // cast: day is inside
}

/** How many of the first `count` candidates are not after `until`. */
function countUntil(until: number, count: number): number {
  let inside = count;
  while (inside > 0 && (candidateAt[inside - 1] as number) > until) inside--; // cast: inside <= count
  return inside;
}

/** Intensity of a candidate's hour over the integral of the day, counted from now, that holds it. */
function shareOfDay(candidate: number, now: number, horizonMillis: number): number {
  const at = candidateAt[candidate] as number; // cast: candidate < count
  // A candidate on the very end of the last day belongs to that day.
  const day = Math.min(Math.floor((at - now) / DAY_MILLIS), daysCut(horizonMillis) - 1);
  const integral = dayIntegral[day] as number; // cast: 0 <= day < 8
  return integral > 0 ? Math.min((candidateIntensity[candidate] as number) / integral, 1) : 0; // cast: candidate < count
}

/** Whole days that are cut for a horizon, 1 to 8. */
function daysCut(horizonMillis: number): number {
  return Math.max(Math.ceil(horizonMillis / DAY_MILLIS), 1);
}

function windowMinutesAt(input: SendTimeInput, at: number): number {
  const { quietHours, ownQuietHours } = input;
  if (quietHours === null && ownQuietHours.length === 0) return SEND_WINDOW_MINUTES;
  const minute = input.zones.localMinuteOfDay(input.zone, at);
  return Math.min(SEND_WINDOW_MINUTES, minutesToQuiet(quietHours, ownQuietHours, minute));
}
