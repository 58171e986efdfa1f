/**
 * Where the bound person was last, as far as they allow `location`, and whether they can have come from there: part of the
 * turn of an event whose properties say a place. One standing moment a person; taken out when location is not allowed any
 * more. What is impossible is told as an event of its own, which tags count as they count any.
 *
 *   event with a place ─▸ speed since the last one ─┬─▸ place kept
 *                                                  └─▸ too fast: event `impossible_travel`
 */
import { PURPOSE } from '../decision/consent.ts';
import { kilometresBetween, leastSpeed, packPlace, type TravelRules } from '../decision/travel.ts';
import type { Properties } from '../proto/messages.ts';
import type { ActorRuntime } from './actor-runtime.ts';
import { STANDING } from './record-layout.ts';
import { beginStanding, changeStanding, findStanding, isRestricted } from './standing.ts';

/** One place a person: the subject of its moment. */
const SUBJECT = 0;

/**
 * Behind the event's effect, in the same batch.
 * @param at when the event was
 * @returns properties of the event to tell, or null where all is well
 */
export function watchTravel(
  runtime: ActorRuntime,
  rules: TravelRules,
  properties: Properties | null,
  at: number,
  now: number,
): Properties | null {
  const place = packPlace(properties?.[rules.latitude], properties?.[rules.longitude]);
  const { record, consent, index } = runtime;
  if (Number.isNaN(place) || isRestricted(record)) return null;
  const isAllowed = !consent.bind(record, index.catalog.consent, now) || consent.allows(PURPOSE.location);
  const found = findStanding(record, STANDING.place, SUBJECT);
  if (!isAllowed) {
    if (found >= 0) keep(runtime, false, at, 0, now);
    return null;
  }
  const before = found < 0 ? Number.NaN : record.momentAmount(found);
  const beforeAt = found < 0 ? Number.NEGATIVE_INFINITY : record.momentAt(found);
  // One told late says nothing of where the person is now.
  if (at >= beforeAt && (place !== before || at > beforeAt)) keep(runtime, true, at, place, now);
  if (found < 0) return null;
  const kmPerHour = leastSpeed(before, beforeAt, place, at);
  if (kmPerHour <= rules.kmPerHourMax) return null;
  return { kmPerHour: Math.round(kmPerHour), km: Math.round(kilometresBetween(before, place)) };
}

function keep(runtime: ActorRuntime, isKept: boolean, at: number, place: number, now: number): void {
  beginStanding(runtime.effect);
  changeStanding(runtime.effect, STANDING.place, SUBJECT, isKept, at, place);
  runtime.commit(now);
}
