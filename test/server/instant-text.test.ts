/** Instants at the doors: by ISO 8601, of days and times that are. */
import { expect, it } from 'vitest';
import { readUtcInstant } from '../../server/instant-text.ts';

const NOON = Date.UTC(2026, 10, 26, 12);

it.each([
  ['2026-11-26T12:00:00Z', NOON],
  ['2026-11-26T12:00:00', NOON],
  ['2026-11-26T13:00:00+01:00', NOON],
  ['2026-11-26 12:00:00.250Z', NOON + 250],
  ['2024-02-29T00:00:00Z', Date.UTC(2024, 1, 29)],
  ['2026-02-30T12:00:00Z', Number.NaN],
  ['2026-02-29T12:00:00Z', Number.NaN],
  ['2026-13-01T00:00:00Z', Number.NaN],
  ['2026-11-26T24:00:00Z', Number.NaN],
  ['2026-11-26T12:00:00+99:00', Number.NaN],
  ['2026-11-26', Number.NaN],
  ['x', Number.NaN],
  ['', Number.NaN],
  [5, Number.NaN],
  [null, Number.NaN],
])('readUtcInstant: %j is %d', (value, expected) => {
  expect(readUtcInstant(value)).toBe(expected);
});
