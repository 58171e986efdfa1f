/**
 * Local time from a table of each zone's UTC transitions, so that the hot path never asks `Intl`
 * (1.2 us a call) and never builds a `Date`. A zone is a sorted list of the instants at which its
 * offset changes; between two of them local time is one addition.
 *
 * Guarantees: exact offsets inside the filled span (1970 to 2060), DST gaps and overlaps resolved the
 * same way everywhere (below), no allocation except `formatLocal` and the first sight of a zone, and a
 * bounded memory whatever names callers send. Traded away: before the span the earliest offset holds,
 * after it the last one, so summer time is not known beyond 2060.
 *
 * Where the zone data comes from is the caller's: an injected `fill`, called at most once a zone.
 *
 *     transitions:        t0        t1        t2
 *     offsets:       o0   |    o1   |    o2   |    o3      (one more than transitions)
 */

/** Zones by index; past this many distinct names every further one is unknown. IANA has about 600. */
export const ZONES_MAX = 1024;
/** `zoneIndexByName`, `zoneIndexByHash`: no such zone; the caller uses the catalog's. */
export const ZONE_UNKNOWN = -1;
/** `zoneIndexByHash`: this hash was not met yet; ask once by name. */
export const ZONE_UNSEEN = -2;

/** The longest IANA name has 32 characters; nothing longer is looked up. */
const NAME_LENGTH_MAX = 64;
/** Remembered refusals and remembered hashes: emptied when full, so hostile names cost time, not memory. */
const REFUSED_NAMES_MAX = 1024;
const HASHES_MAX = 4096;
/** IANA names: letters, digits, `_ + - /`, beginning with a letter (so `+08:00` is no zone name). */
const NAME_SHAPE = /^[A-Za-z][A-Za-z0-9_+\-/]*$/;

const HOUR_MILLIS = 3_600_000;
const DAY_MILLIS = 86_400_000;
const WEEK_HOURS = 168;
/** 1 January 1970 was a Thursday: 72 hours into a week that begins on Monday. */
const EPOCH_HOUR_OF_WEEK = 72;

/** One zone: `offsets[i]` seconds east of UTC hold from `transitions[i - 1]` (included) to `transitions[i]`. */
export interface ZoneData {
  /** The name in IANA's spelling, for `zoneName`. */
  readonly name: string;
  /** Epoch milliseconds, strictly increasing, length n. */
  readonly transitions: Float64Array;
  /** Seconds east of UTC, length n + 1. */
  readonly offsets: Int32Array;
}

/** Gives a zone's data by any spelling of its name, or undefined when there is no such zone. Must not throw. */
export type ZoneFill = (name: string) => ZoneData | undefined;

/**
 * All zones met so far, by index. Indices live as long as the table and mean nothing in another one:
 * store names or name hashes. One table belongs to one thread (it keeps a last-hit cache).
 *
 * Gaps and overlaps: a local time that does not exist (spring) is taken as the instant of the jump; one
 * that exists twice (autumn) as the earlier. A local day or week therefore begins at its first instant.
 */
export class ZoneTable {
  readonly #fill: ZoneFill;
  readonly #hashName: ((name: string) => number) | null;
  readonly #zones: ZoneData[] = [];
  /** IANA spelling to index: the hit of nearly every call, with no lower-casing. */
  readonly #byName = new Map<string, number>();
  readonly #byLowerName = new Map<string, number>();
  readonly #byHash = new Map<number, number>();
  /** Parts of the last text `formatLocal` made. */
  #textDays = Number.NaN;
  #dateText = '';
  #textOffset = Number.NaN;
  #offsetText = '';
  readonly #refused = new Set<string>();
  /** Last hit of each zone: the offset holds from `#since` (included) to `#until`. */
  readonly #since = new Float64Array(ZONES_MAX);
  readonly #until = new Float64Array(ZONES_MAX);
  readonly #offsetSeconds = new Int32Array(ZONES_MAX);

  /**
   * @param fill source of zone data, called once for each name not met before
   * @param hashName hash under which `zoneIndexByHash` finds a name; omit it to go without
   */
  constructor(fill: ZoneFill, hashName?: (name: string) => number) {
    this.#fill = fill;
    this.#hashName = hashName ?? null;
  }

  /** Zones known so far. */
  get size(): number {
    return this.#zones.length;
  }

  /** The zone's name in IANA's spelling; an alias keeps its own name. */
  zoneName(zone: number): string {
    return this.#zone(zone).name;
  }

  /**
   * Index of a zone by IANA name, link names and `Etc/GMT+3` included; letter case does not matter (as
   * in ECMA-402). The first call for a name fills the zone (some milliseconds); later ones take about
   * 20 ns in IANA's spelling, 80 ns in another.
   * @returns `ZONE_UNKNOWN` when there is no such zone or the table is full
   */
  zoneIndexByName(name: string): number {
    const known = this.#byName.get(name);
    return known === undefined ? this.#learnName(name) : known;
  }

  /**
   * Index by the hash given to the constructor, for records that keep only the hash of the name.
   * @returns an index, `ZONE_UNKNOWN`, or `ZONE_UNSEEN`: then call `zoneIndexByName` with the text, once
   */
  zoneIndexByHash(hash: number): number {
    const zone = this.#byHash.get(hash);
    return zone === undefined ? ZONE_UNSEEN : zone;
  }

  /**
   * Offset from UTC at an instant, in seconds, positive to the east.
   * @param zone index from this table (an unknown one is the caller's bug and throws)
   * @param epochMillis any finite instant
   * Cost: 3 ns when the last instant asked of this zone had the same offset, else a binary search.
   */
  offsetSecondsAt(zone: number, epochMillis: number): number {
    // Casts: outside the array these are undefined and compare false, so a bad index throws in #locate; a
    // zone not asked before has the empty span from 0 to 0.
    if (epochMillis >= (this.#since[zone] as number) && epochMillis < (this.#until[zone] as number)) {
      return this.#offsetSeconds[zone] as number; // cast: the line above proves that the index is inside
    }
    return this.#locate(zone, epochMillis);
  }

  /** The next instant after `epochMillis` at which the offset changes; Infinity when none is known. */
  nextTransitionAt(zone: number, epochMillis: number): number {
    this.offsetSecondsAt(zone, epochMillis);
    return this.#until[zone] as number; // cast: offsetSecondsAt throws for an index outside
  }

  /** Hour of the local week, 0 (Monday 00:00) to 167 (Sunday 23:00). */
  localHourOfWeek(zone: number, epochMillis: number): number {
    const hours = Math.floor((epochMillis / 1000 + this.offsetSecondsAt(zone, epochMillis)) / 3600);
    const hour = (hours + EPOCH_HOUR_OF_WEEK) % WEEK_HOURS;
    return hour < 0 ? hour + WEEK_HOURS : hour;
  }

  /** Minutes after local midnight on the wall clock, 0 to 1439 (so a day of 25 hours repeats 60 of them). */
  localMinuteOfDay(zone: number, epochMillis: number): number {
    const minutes = Math.floor((epochMillis / 1000 + this.offsetSecondsAt(zone, epochMillis)) / 60) % 1440;
    return minutes < 0 ? minutes + 1440 : minutes;
  }

  /**
   * First instant of the local calendar day that holds `epochMillis`. Where midnight does not exist
   * (Beirut, Havana) it is the jump; where an hour around midnight is repeated, the day begins with the
   * first of the two midnights, so the repeated end of yesterday still counts as yesterday.
   */
  localDayStart(zone: number, epochMillis: number): number {
    const wallMillis = epochMillis + this.offsetSecondsAt(zone, epochMillis) * 1000;
    return this.#instantOfWall(zone, Math.floor(wallMillis / DAY_MILLIS) * DAY_MILLIS);
  }

  /** First instant of the local week (Monday) that holds `epochMillis`; gaps and overlaps as `localDayStart`. */
  localWeekStart(zone: number, epochMillis: number): number {
    const wallMillis = epochMillis + this.offsetSecondsAt(zone, epochMillis) * 1000;
    const day = Math.floor(wallMillis / DAY_MILLIS);
    const weekday = (((day + 3) % 7) + 7) % 7;
    return this.#instantOfWall(zone, (day - weekday) * DAY_MILLIS);
  }

  /**
   * The start of the local day `dayCount` calendar days after (negative: before) the one that holds
   * `epochMillis`. A day may have 23, 23.5, 24, 24.5 or 25 hours: never add 24 hours for it.
   */
  localDayStartAfter(zone: number, epochMillis: number, dayCount: number): number {
    const wallMillis = epochMillis + this.offsetSecondsAt(zone, epochMillis) * 1000;
    return this.#instantOfWall(zone, (Math.floor(wallMillis / DAY_MILLIS) + dayCount) * DAY_MILLIS);
  }

  /** The local calendar month that holds `epochMillis`, counted from the year 0: 12 × year + 0 to 11. */
  localMonth(zone: number, epochMillis: number): number {
    return monthOfDay(Math.floor((epochMillis + this.offsetSecondsAt(zone, epochMillis) * 1000) / DAY_MILLIS));
  }

  /** First instant of the local calendar month after the one that holds `epochMillis`. */
  nextLocalMonthStart(zone: number, epochMillis: number): number {
    const wallMillis = epochMillis + this.offsetSecondsAt(zone, epochMillis) * 1000;
    return this.#instantOfWall(zone, firstDayOfMonth(monthOfDay(Math.floor(wallMillis / DAY_MILLIS)) + 1) * DAY_MILLIS);
  }

  /** The next instant after `epochMillis` at which the wall clock shows another hour. */
  nextHourStart(zone: number, epochMillis: number): number {
    const offsetMillis = this.offsetSecondsAt(zone, epochMillis) * 1000;
    const next = (Math.floor((epochMillis + offsetMillis) / HOUR_MILLIS) + 1) * HOUR_MILLIS - offsetMillis;
    return Math.min(next, this.nextTransitionAt(zone, epochMillis));
  }

  /** Local wall time with offset, to the second (fractions dropped): `2026-11-22T20:00:00+08:00`. Allocates. */
  formatLocal(zone: number, epochMillis: number): string {
    const offsetSeconds = this.offsetSecondsAt(zone, epochMillis);
    const wallSeconds = Math.floor(epochMillis / 1000) + offsetSeconds;
    const days = Math.floor(wallSeconds / 86_400);
    const second = wallSeconds - days * 86_400;
    // Most texts in a row are of one day and offset.
    if (days !== this.#textDays) {
      this.#textDays = days;
      this.#dateText = `${formatDate(days)}T`;
    }
    if (offsetSeconds !== this.#textOffset) {
      this.#textOffset = offsetSeconds;
      this.#offsetText = formatOffset(offsetSeconds);
    }
    return this.#dateText + formatClock(second) + this.#offsetText;
  }

  #zone(zone: number): ZoneData {
    const data = this.#zones[zone];
    if (data === undefined)
      throw new RangeError(`zone index ${zone} is not in this table of ${this.#zones.length} zones`);
    return data;
  }

  #learnName(name: string): number {
    const zone = this.#findOrFill(name);
    if (this.#hashName !== null) {
      if (this.#byHash.size >= HASHES_MAX) this.#byHash.clear();
      this.#byHash.set(this.#hashName(name), zone);
    }
    return zone;
  }

  #findOrFill(name: string): number {
    if (name.length > NAME_LENGTH_MAX || !NAME_SHAPE.test(name)) return ZONE_UNKNOWN;
    const lowerName = name.toLowerCase();
    const known = this.#byLowerName.get(lowerName);
    if (known !== undefined) return known;
    if (this.#refused.has(lowerName)) return ZONE_UNKNOWN;
    const data = this.#zones.length < ZONES_MAX ? this.#fill(name) : undefined;
    if (data === undefined) {
      if (this.#refused.size >= REFUSED_NAMES_MAX) this.#refused.clear();
      this.#refused.add(lowerName);
      return ZONE_UNKNOWN;
    }
    assertZoneData(data);
    const zone = this.#zones.length;
    this.#zones.push(data);
    this.#byName.set(data.name, zone);
    this.#byLowerName.set(lowerName, zone);
    this.#byLowerName.set(data.name.toLowerCase(), zone);
    if (this.#hashName !== null) this.#byHash.set(this.#hashName(data.name), zone);
    return zone;
  }

  /** Binary search for the segment that holds the instant; becomes the zone's last hit. */
  #locate(zone: number, epochMillis: number): number {
    const { transitions, offsets } = this.#zone(zone);
    let low = 0;
    let high = transitions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((transitions[middle] as number) <= epochMillis)
        low = middle + 1; // cast: middle < high <= length
      else high = middle;
    }
    const offsetSeconds = offsets[low] as number; // cast: offsets is one longer than transitions
    this.#since[zone] = low === 0 ? -Infinity : (transitions[low - 1] as number); // cast: 0 < low <= length
    this.#until[zone] = low === transitions.length ? Infinity : (transitions[low] as number); // cast: low < length
    this.#offsetSeconds[zone] = offsetSeconds;
    return offsetSeconds;
  }

  /**
   * The instant at which clocks there show `wallMillis`, a local time written as if it were UTC: of two the earlier, and
   * the instant of the jump where it is left out.
   */
  instantOfLocal(zone: number, wallMillis: number): number {
    return this.#instantOfWall(zone, wallMillis);
  }

  /**
   * The first instant whose wall clock shows `wallMillis` (a wall time written as if it were UTC), or the
   * jump when none does. Offsets lie within 24 hours of UTC, so those a day before and after are the only
   * two in question; no zone since 1970 changed twice within 48 hours (the shortest stay is 6.9 days).
   */
  #instantOfWall(zone: number, wallMillis: number): number {
    const before = this.offsetSecondsAt(zone, wallMillis - DAY_MILLIS);
    const after = this.offsetSecondsAt(zone, wallMillis + DAY_MILLIS);
    const withBefore = wallMillis - before * 1000;
    if (before === after || this.offsetSecondsAt(zone, withBefore) === before) return withBefore;
    const withAfter = wallMillis - after * 1000;
    if (this.offsetSecondsAt(zone, withAfter) === after) return withAfter;
    return this.nextTransitionAt(zone, withAfter);
  }
}

function assertZoneData(data: ZoneData): void {
  const { name, transitions, offsets } = data;
  let isSound = offsets.length === transitions.length + 1;
  for (let i = 1; i < transitions.length; i++) {
    isSound = isSound && (transitions[i - 1] as number) < (transitions[i] as number); // casts: 0 < i < length
  }
  for (const offset of offsets) isSound = isSound && Math.abs(offset) < 86_400;
  if (!isSound) throw new RangeError(`zone ${name}: transitions must increase, with one offset within a day more`);
}

/**
 * Month of a day number since 1970-01-01: 12 × year + 0 to 11. Source: H. Hinnant, "chrono-compatible low-level date
 * algorithms" (2013), civil_from_days: years begin in March, so that the leap day comes last.
 */
function monthOfDay(days: number): number {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  return 12 * (era * 400 + yearOfEra) + 2 + Math.floor((5 * dayOfYear + 2) / 153);
}

/** Day number of the first of a month, by the same source's days_from_civil. */
function firstDayOfMonth(month: number): number {
  const marchMonths = month - 2;
  const year = Math.floor(marchMonths / 12);
  const era = Math.floor(year / 400);
  const yearOfEra = year - era * 400;
  const dayOfYear = Math.floor((153 * (marchMonths - 12 * year) + 2) / 5);
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

/** `YYYY-MM-DD` of a day number since 1970-01-01. */
function formatDate(days: number): string {
  const months = monthOfDay(days);
  const day = days - firstDayOfMonth(months) + 1;
  const year = Math.floor(months / 12);
  const month = months - 12 * year + 1;
  const yearText =
    year >= 0 && year <= 9999
      ? String(year).padStart(4, '0')
      : (year < 0 ? '-' : '+') + String(Math.abs(year)).padStart(6, '0');
  return `${yearText}-${twoDigits(month)}-${twoDigits(day)}`;
}

function formatClock(secondOfDay: number): string {
  const hour = Math.floor(secondOfDay / 3600);
  const minute = Math.floor(secondOfDay / 60) % 60;
  return `${twoDigits(hour)}:${twoDigits(minute)}:${twoDigits(secondOfDay % 60)}`;
}

/** `+08:00`; seconds only where a zone had them (Monrovia until 1972). */
function formatOffset(offsetSeconds: number): string {
  const size = Math.abs(offsetSeconds);
  const clock = formatClock(size);
  return (offsetSeconds < 0 ? '-' : '+') + (size % 60 === 0 ? clock.slice(0, 5) : clock);
}

/** @param value an integer in [0, 99] */
function twoDigits(value: number): string {
  return TWO_DIGITS[value] as string; // 100 of them
}

const TWO_DIGITS = Array.from({ length: 100 }, (_, value) => String(value).padStart(2, '0'));
