/**
 * Fills the decision functions' zone table from this runtime's IANA data. The only importer of
 * temporal-polyfill, which decides what is a zone and how its name is spelt; the transitions are read
 * through one `Intl.DateTimeFormat` a zone, because Temporal's own walk over them takes 24 to 30 ms for
 * a zone with summer time and this one about 9 ms (tests hold the two together).
 *
 * Guarantees: every change of offset from 1970 to the end of 2059, exact to the second; aliases share
 * their arrays; at most one copy of each zone a thread. Traded away: a zone's first use costs those
 * milliseconds on the thread that meets it, so known zones are best built before serving
 * (`prebuildZones`).
 */
import { Temporal } from 'temporal-polyfill';
import { type ZoneData, type ZoneFill, ZoneTable } from '../decision/local-time.ts';

/** First and last instant of the span with exact offsets: 1970-01-01 and 2060-01-01, UTC. */
export const ZONE_SPAN_START_EPOCH_MILLIS = 0;
export const ZONE_SPAN_END_EPOCH_MILLIS = 2_840_140_800_000;

const DAY_SECONDS = 86_400;
/**
 * The scan looks every 6 days. The shortest stay at one offset since 1970 is 6 days 23 hours (northern
 * Brazil in October 2000; Gaza around Ramadan, projected), so no two changes fall between two looks.
 */
const SCAN_STEP_SECONDS = 6 * DAY_SECONDS;

/**
 * A zone table that fills itself from this runtime's time zone data.
 * @param known zones another thread has read already
 */
export function createZoneTable(hashName?: (name: string) => number, known?: readonly ZoneData[]): ZoneTable {
  return new ZoneTable(createZoneFill(known), hashName);
}

/** The data of the zones of these names, for `createZoneTable` in another thread; what is no zone is left out. */
export function readZones(names: readonly string[]): ZoneData[] {
  return names.map(createZoneFill()).filter((zone) => zone !== undefined);
}

/** Fills the given zones now rather than at their first use; returns the names that are no zones. */
export function prebuildZones(table: ZoneTable, names: Iterable<string>): string[] {
  const unknown: string[] = [];
  for (const name of names) {
    if (table.zoneIndexByName(name) < 0) unknown.push(name);
  }
  return unknown;
}

/** The primary zone names this runtime knows (about 420; links and `Etc/` names work but are not listed). */
export function supportedZoneNames(): string[] {
  return Intl.supportedValuesOf('timeZone');
}

/** A source of zone data that keeps one copy of each zone, whatever its names. Never throws. */
export function createZoneFill(known: readonly ZoneData[] = []): ZoneFill {
  const byPrimaryName = new Map<string, ZoneData>();
  const byName = new Map(known.map((zone) => [zone.name, zone]));
  return (name) => {
    const carried = byName.get(name);
    if (carried !== undefined) return carried;
    const spelling = zoneSpelling(name);
    if (spelling === undefined) return undefined;
    // Everything as one pattern: `1/1/1970, GMT-00:44:30`. Offsets in seconds survive in `longOffset`.
    const format = new Intl.DateTimeFormat('en-US', {
      timeZone: spelling,
      timeZoneName: 'longOffset',
      year: 'numeric',
    });
    const primaryName = format.resolvedOptions().timeZone;
    let data = byPrimaryName.get(primaryName);
    if (data === undefined) {
      data = readZone(primaryName, format);
      byPrimaryName.set(primaryName, data);
    }
    return { name: spelling, transitions: data.transitions, offsets: data.offsets };
  };
}

/** The name in IANA's spelling, or undefined when it is no named zone (offsets like `+08:00` are none). */
function zoneSpelling(name: string): string | undefined {
  if (!/^[A-Za-z]/.test(name)) return undefined;
  try {
    return Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name).timeZoneId;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function readZone(name: string, format: Intl.DateTimeFormat): ZoneData {
  if (name === 'UTC') return { name, transitions: new Float64Array(0), offsets: Int32Array.of(0) };
  const startSeconds = ZONE_SPAN_START_EPOCH_MILLIS / 1000;
  const endSeconds = ZONE_SPAN_END_EPOCH_MILLIS / 1000;
  const transitions: number[] = [];
  let offset = offsetSecondsFromIntl(format, startSeconds);
  const offsets = [offset];
  for (let from = startSeconds; from < endSeconds; ) {
    const to = Math.min(from + SCAN_STEP_SECONDS, endSeconds - 1);
    if (to <= from) break;
    const next = offsetSecondsFromIntl(format, to);
    if (next !== offset) {
      const at = changeBetween(format, from, to, offset, transitions);
      transitions.push(at);
      offset = offsetSecondsFromIntl(format, at);
      offsets.push(offset);
    }
    from = to;
  }
  return {
    name,
    transitions: Float64Array.from(transitions, (seconds) => seconds * 1000),
    offsets: Int32Array.from(offsets),
  };
}

/**
 * First second in (from, to] with an offset other than `offset`. Summer time mostly repeats 52 or 53
 * weeks later to the second, so that is tried before halving: 2 to 4 looks instead of 19.
 */
function changeBetween(
  format: Intl.DateTimeFormat,
  from: number,
  to: number,
  offset: number,
  earlier: readonly number[],
): number {
  const yearAgo = earlier.at(-2);
  if (yearAgo !== undefined) {
    for (const weeks of [52, 53]) {
      const guess = yearAgo + weeks * 7 * DAY_SECONDS;
      const isInside = guess > from && guess <= to;
      if (isInside && offsetSecondsFromIntl(format, guess) !== offset) {
        if (offsetSecondsFromIntl(format, guess - 1) === offset) return guess;
      }
    }
  }
  let low = from;
  let high = to;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offsetSecondsFromIntl(format, middle) === offset) low = middle;
    else high = middle;
  }
  return high;
}

/** Reads the `GMT±HH:MM[:SS]` (or bare `GMT`) at the end of the formatted text. */
function offsetSecondsFromIntl(format: Intl.DateTimeFormat, epochSeconds: number): number {
  const text = format.format(epochSeconds * 1000);
  const sign = text.indexOf('GMT') + 3;
  if (sign >= text.length) return 0;
  const digits = (at: number): number => (text.charCodeAt(at) - 48) * 10 + text.charCodeAt(at + 1) - 48;
  const seconds = text.length > sign + 6 ? digits(sign + 7) : 0;
  const size = digits(sign + 1) * 3600 + digits(sign + 4) * 60 + seconds;
  return text[sign] === '+' ? size : -size;
}
