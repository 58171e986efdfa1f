/**
 * Instants as other systems write them, ISO 8601 with RFC 9557's zone in brackets, into epoch milliseconds of UTC. A
 * text without offset is local time of the zone the catalog names. What is no day of the calendar, no time of the day
 * or no local time of its zone (the hour that spring leaves out) is refused and not moved to the next one that is.
 *
 *     2026-11-26            midnight there        2026-11-26T09:30:00.250Z      2026-11-26T09:30+01:00
 *     2026-11-26 09:30      local                 2026-11-26T09:30[Europe/Berlin]
 *
 * An hour that autumn has twice is the earlier one. Days are counted by the proleptic Gregorian calendar; nothing here
 * builds a `Date`. Called by `clean-value.ts`.
 */
import type { ZoneTable } from '../local-time.ts';

/** Reading stops here: nothing longer is an instant. */
const TEXT_LENGTH_MAX = 80;
const INSTANT =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?([Zz]|[+-]\d{2}(?::?\d{2})?)?)?(?:\[([A-Za-z][A-Za-z0-9_+\-/]*)\])?$/;
const DAYS_BEFORE_MONTH = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const DAY_MILLIS = 86_400_000;
const MINUTE_MILLIS = 60_000;
const OFFSET_MINUTES_MAX = 14 * 60;

/**
 * Epoch milliseconds of the text, or NaN.
 * @param zone index in `zones` for a text without offset and zone
 */
export function readInstant(text: string, zones: ZoneTable, zone: number): number {
  if (text.length > TEXT_LENGTH_MAX) return Number.NaN;
  const match = INSTANT.exec(text);
  if (match === null) return Number.NaN;
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', offset, zoneName] = match;
  const days = daysFromEpoch(Number(year), Number(month), Number(day));
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return Number.NaN;
  const millis = Number(fraction.slice(0, 3).padEnd(3, '0'));
  const wall =
    days * DAY_MILLIS + Number(hour) * 3_600_000 + Number(minute) * MINUTE_MILLIS + Number(second) * 1000 + millis;
  const named = zoneName === undefined ? zone : zones.zoneIndexByName(zoneName);
  if (Number.isNaN(wall) || named < 0) return Number.NaN;
  if (offset === undefined) return instantOfWall(wall, zones, named);
  const minutes = offsetMinutes(offset);
  if (!(Math.abs(minutes) <= OFFSET_MINUTES_MAX)) return Number.NaN;
  const at = wall - minutes * MINUTE_MILLIS;
  // Two words for one thing must agree.
  if (zoneName !== undefined && zones.offsetSecondsAt(named, at) !== minutes * 60) return Number.NaN;
  return at;
}

function instantOfWall(wall: number, zones: ZoneTable, zone: number): number {
  const at = zones.instantOfLocal(zone, wall);
  return at + zones.offsetSecondsAt(zone, at) * 1000 === wall ? at : Number.NaN;
}

function offsetMinutes(text: string): number {
  if (text === 'Z' || text === 'z') return 0;
  const digits = text.slice(1).replace(':', '').padEnd(4, '0');
  const minutes = Number(digits.slice(2));
  const size = minutes > 59 ? Number.NaN : Number(digits.slice(0, 2)) * 60 + minutes;
  return text.startsWith('-') ? -size : size;
}

/** Days from 1970-01-01 to a day of the years 0 to 9999; NaN for what is none. */
function daysFromEpoch(year: number, month: number, day: number): number {
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  const length = (MONTH_DAYS[month - 1] ?? 0) + (isLeap && month === 2 ? 1 : 0);
  if (day < 1 || day > length) return Number.NaN;
  const before = year - 1;
  const leaps = Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400);
  const inYear = (DAYS_BEFORE_MONTH[month - 1] as number) + (isLeap && month > 2 ? 1 : 0) + day - 1; // month is 1 to 12 here
  return before * 365 + leaps + inYear - 719_162;
}
