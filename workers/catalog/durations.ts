/**
 * Lengths of time as a catalog writes them: `90s 15m 24h 7d 8w`, and
 * instants such as `2026-12-24T18:00+01:00`, and the period of a cap, where a duration is a window rolling with the clock while `day` and `week` are
 * the person's own calendar. `24h` and `day` therefore differ, and `7d` and `week` too.
 */
import type { CapPeriod } from '../../decision/catalog.ts';

export const DURATION_PATTERN = /^[1-9][0-9]{0,8}[smhdw]$/;
/** An instant of RFC 3339; the seconds may be left out, the offset may not. */
export const INSTANT_PATTERN =
  /^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$/;

/** Longest duration a catalog may name: ten years of 366 days. Records are not kept longer for a rule. */
export const DURATION_MILLIS_MAX = 3_660 * 86_400_000;

const MILLIS_PER_UNIT: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Milliseconds in `text`, 1 s to DURATION_MILLIS_MAX; null when it is not such a duration. */
export function parseDurationMillis(text: string): number | null {
  if (!DURATION_PATTERN.test(text)) return null;
  const millis = Number(text.slice(0, -1)) * (MILLIS_PER_UNIT[text.slice(-1)] ?? Number.NaN);
  return millis <= DURATION_MILLIS_MAX ? millis : null;
}

/** `day`, `week` or a duration; null when it is neither. */
export function parseCapPeriod(text: string): CapPeriod | null {
  if (text === 'day' || text === 'week') return { kind: text };
  const windowMillis = parseDurationMillis(text);
  return windowMillis === null ? null : { kind: 'rolling', windowMillis };
}

/** Epoch milliseconds of an instant such as `2026-12-24T18:00+01:00`; null when malformed or no day of the calendar. */
export function parseInstantMillis(text: string): number | null {
  if (!INSTANT_PATTERN.test(text)) return null;
  // Date.parse takes the 30th of February for the 2nd of March.
  const day = text.slice(0, 10);
  if (new Date(`${day}T00:00Z`).toISOString().slice(0, 10) !== day) return null;
  return Date.parse(text);
}
