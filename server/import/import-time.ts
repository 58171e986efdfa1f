/**
 * When something happened, as exports write it: ISO 8601 by the reader that values are cleaned with, the same with the
 * date day first or month first, or seconds or milliseconds since 1970. A text without offset is local time of the mapping's zone, summer time included, or of its
 * fixed offset, or UTC. What is no day or no time is refused, and so is the hour that spring leaves out; an hour that
 * autumn has twice is the earlier one. Called for each row of an import.
 */
import { readInstant } from '../../decision/cleaning/instant-text.ts';
import { ZoneTable } from '../../decision/local-time.ts';
import { createZoneFill } from '../../workers/zone-table.ts';

/** A name no zone of IANA has, for a fixed offset. */
const OFFSET_NAME = 'Fixed-offset';

/** One copy of each zone a process: reading one takes some milliseconds. */
const fill = createZoneFill();
/** Dates as tills and tables write them: day first or month first. */
const NUMERIC_DATE = /^(\d{1,2})[./-](\d{1,2})[./-](\d{4})(?=$|[ T])/;

export const TIME_FORMATS = ['iso', 'dmy', 'mdy', 'epochSeconds', 'epochMillis'] as const;

export interface TimeFormat {
  readonly format?: (typeof TIME_FORMATS)[number] | undefined;
  readonly zone?: string | undefined;
  /** `+01:00`, of texts without one. */
  readonly offset?: string | undefined;
}

export function isZone(name: string): boolean {
  return new ZoneTable(fill).zoneIndexByName(name) >= 0;
}

/** Reads texts of one format: epoch milliseconds from 1970 on, or NaN. */
export function instantReader({ format = 'iso', zone, offset }: TimeFormat): (text: string) => number {
  if (format === 'epochSeconds' || format === 'epochMillis') {
    const factor = format === 'epochSeconds' ? 1000 : 1;
    return (text) => checked(/^\d{1,16}(?:\.\d+)?$/.test(text) ? Number(text) * factor : Number.NaN);
  }
  const zones = new ZoneTable((name) =>
    name === OFFSET_NAME
      ? { name, transitions: new Float64Array(0), offsets: Int32Array.of(offsetSeconds(offset ?? '+00:00')) }
      : fill(name),
  );
  const index = zones.zoneIndexByName(zone ?? OFFSET_NAME);
  return (text) => checked(readInstant(format === 'iso' ? text : isoOf(text, format === 'dmy'), zones, index));
}

/** The date in ISO's order; a text that does not begin with such a date is none, not even ISO's own. */
function isoOf(text: string, isDayFirst: boolean): string {
  const match = NUMERIC_DATE.exec(text);
  if (match === null) return '';
  const [whole, first = '', second = '', year] = match;
  const [day, month] = isDayFirst ? [first, second] : [second, first];
  return `${year}-${month.padStart(2, '0')}-${day.padStart(2, '0')}${text.slice(whole.length)}`;
}

function checked(at: number): number {
  return at >= 0 && at <= Number.MAX_SAFE_INTEGER ? Math.round(at) : Number.NaN;
}

/** @param offset in the form that the mapping's schema holds it to */
function offsetSeconds(offset: string): number {
  const seconds = Number(offset.slice(1, 3)) * 3600 + Number(offset.slice(4, 6)) * 60;
  return offset.startsWith('-') ? -seconds : seconds;
}
