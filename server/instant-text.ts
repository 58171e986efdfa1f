/**
 * Instants as callers and operators write them, by the one reader that values are cleaned with
 * (`decision/cleaning/instant-text.ts`): what is no day of the calendar or no time of the day is none. Without an offset
 * it is UTC. Zones in brackets are not known here, because a table of them costs a start; exports have their own
 * (`import/import-time.ts`). Called by the doors of HTTP and by `opportune track`.
 */
import { readInstant } from '../decision/cleaning/instant-text.ts';
import { ZoneTable } from '../decision/local-time.ts';

const zones = new ZoneTable((name) =>
  name === 'UTC' ? { name, transitions: new Float64Array(0), offsets: Int32Array.of(0) } : undefined,
);
const UTC = zones.zoneIndexByName('UTC');

/** Epoch milliseconds of an ISO 8601 text, or NaN: of what is no text, too, and of a day without a time. */
export function readUtcInstant(value: unknown): number {
  return typeof value === 'string' && /^.{10}[Tt ]/.test(value) ? readInstant(value, zones, UTC) : Number.NaN;
}
