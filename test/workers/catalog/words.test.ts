import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseQuietHours } from '../../../decision/contact-policy.ts';
import { DURATION_MILLIS_MAX, parseCapPeriod, parseDurationMillis } from '../../../workers/catalog/durations.ts';
import { isTimeZone, localHourAt } from '../../../workers/catalog/local-hour.ts';
import { editDistance, nearestMatch } from '../../../workers/catalog/nearest-match.ts';

describe('durations', () => {
  it.each([
    ['1s', 1_000],
    ['90s', 90_000],
    ['15m', 900_000],
    ['24h', 86_400_000],
    ['7d', 604_800_000],
    ['8w', 4_838_400_000],
    ['3660d', DURATION_MILLIS_MAX],
    ['3661d', null],
    ['0s', null],
    ['-1d', null],
    ['1.5h', null],
    ['01d', null],
    ['7 d', null],
    ['7D', null],
    ['7', null],
    ['d', null],
    ['', null],
    ['7d ', null],
    ['1e3s', null],
    ['9999999999s', null],
  ])('parseDurationMillis: reads or refuses when the text is "%s"', (text, expected) => {
    expect(parseDurationMillis(text)).toBe(expected);
  });

  it('parseCapPeriod: keeps calendar and rolling apart when day and 24h are given', () => {
    expect(parseCapPeriod('day')).toEqual({ kind: 'day' });
    expect(parseCapPeriod('week')).toEqual({ kind: 'week' });
    expect(parseCapPeriod('24h')).toEqual({ kind: 'rolling', windowMillis: 86_400_000 });
    expect(parseCapPeriod('month')).toBeNull();
  });

  it.each([
    ['22:00-08:00', { startMinute: 1320, endMinute: 480 }],
    ['00:00-23:59', { startMinute: 0, endMinute: 1439 }],
    ['08:00-08:00', null],
    ['24:00-08:00', null],
    ['22:60-08:00', null],
    ['8:00-09:00', null],
    ['22:00 - 08:00', null],
    ['', null],
  ])('parseQuietHours: reads or refuses when the text is "%s"', (text, expected) => {
    expect(parseQuietHours(text)).toEqual(expected);
  });
});

describe('nearest names', () => {
  it('editDistance: is a metric when given any three texts', () => {
    const text = fc.string({ maxLength: 8 });
    fc.assert(
      fc.property(text, text, text, (a, b, c) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, b) === 0).toBe(a === b);
        expect(editDistance(a, c)).toBeLessThanOrEqual(editDistance(a, b) + editDistance(b, c));
      }),
    );
    expect(editDistance('kitten', 'sitting')).toBe(3);
  });

  it.each([
    ['hme', 'home'],
    ['HOME', 'home'],
    ['produkt-page', 'product-page'],
    ['x', undefined],
    ['', undefined],
    ['completely-else', undefined],
  ])('nearestMatch: suggests what is near and nothing else when the name is "%s"', (name, expected) => {
    expect(nearestMatch(name, ['home', 'product-page', 'basket'])).toBe(expected);
  });
});

describe('local hours', () => {
  it('localHourAt: agrees with the zone when it has half an hour, summer time, or is unknown', () => {
    expect(localHourAt(Date.UTC(2026, 0, 4, 18, 30), 'Asia/Kolkata')).toEqual({ weekday: 0, hour: 0, minute: 0 });
    expect(localHourAt(Date.UTC(2026, 6, 1, 10), 'Europe/Berlin')).toEqual({ weekday: 2, hour: 12, minute: 0 });
    expect(localHourAt(0, 'Mars/Olympus')).toBeNull();
  });

  it('isTimeZone: knows zones and aliases but no offsets when asked', () => {
    expect(['Asia/Shanghai', 'UTC', 'Asia/Calcutta', 'Europe/Kyiv'].map(isTimeZone)).toEqual([true, true, true, true]);
    expect(['+08:00', '', 'Asia/Shangai', '__proto__', 'a b'].map(isTimeZone)).toEqual([
      false,
      false,
      false,
      false,
      false,
    ]);
  });
});
