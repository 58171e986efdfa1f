/**
 * When something happened, as exports write it: ISO 8601 by the reader that values are cleaned with, or seconds or
 * milliseconds since 1970. A text without offset is local time of the mapping's zone, summer time included, or of its
 * fixed offset, or UTC. What is no day or no time is refused, and so is the hour that spring leaves out; an hour that
 * autumn has twice is the earlier one. Called for each row of an import.
 */
import { readInstant } from '../../decision/cleaning/instant-text.ts';
import { ZoneTable } from '../../decision/local-time.ts';
import { createZoneFill, createZoneTable } from '../../workers/zone-table.ts';

/** A name no zone of IANA has, for a fixed offset. */
const OFFSET_NAME = 'Fixed-offset';

export interface TimeFormat {
  readonly format?: 'iso' | 'epochSeconds' | 'epochMillis' | undefined;
  readonly zone?: string | undefined;
  /** `+01:00`, of texts without one. */
  readonly offset?: string | undefined;
}

export function isZone(name: string): boolean {
  return createZoneTable().zoneIndexByName(name) >= 0;
}

/** Reads texts of one format: epoch milliseconds from 1970 on, or NaN. */
export function instantReader({ format = 'iso', zone, offset }: TimeFormat): (text: string) => number {
  if (format !== 'iso') {
    const factor = format === 'epochSeconds' ? 1000 : 1;
    return (text) => checked(/^\d{1,16}(?:\.\d+)?$/.test(text) ? Number(text) * factor : Number.NaN);
  }
  const fill = createZoneFill();
  const zones = new ZoneTable((name) =>
    name === OFFSET_NAME
      ? { name, transitions: new Float64Array(0), offsets: Int32Array.of(offsetSeconds(offset ?? '+00:00')) }
      : fill(name),
  );
  const index = zones.zoneIndexByName(zone ?? OFFSET_NAME);
  return (text) => checked(readInstant(text, zones, index));
}

function checked(at: number): number {
  return at >= 0 && at <= Number.MAX_SAFE_INTEGER ? Math.round(at) : Number.NaN;
}

/** @param offset in the form that the mapping's schema holds it to */
function offsetSeconds(offset: string): number {
  const seconds = Number(offset.slice(1, 3)) * 3600 + Number(offset.slice(4, 6)) * 60;
  return offset.startsWith('-') ? -seconds : seconds;
}
