import fc from 'fast-check';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import {
  createZoneFill,
  createZoneTable,
  prebuildZones,
  supportedZoneNames,
  ZONE_SPAN_END_EPOCH_MILLIS,
  ZONE_SPAN_START_EPOCH_MILLIS,
} from '../../workers/zone-table.ts';

/** Half-hour summer time, Ramadan, +12:45, +14, a skipped day, midnight changes, seconds, whole-year and none. */
const HARD_ZONES = [
  'Australia/Lord_Howe',
  'Africa/Casablanca',
  'Pacific/Chatham',
  'Pacific/Kiritimati',
  'Pacific/Apia',
  'Asia/Beirut',
  'America/Sao_Paulo',
  'America/St_Johns',
  'America/Boa_Vista',
  'Africa/Monrovia',
  'Asia/Gaza',
  'Europe/Dublin',
  'Asia/Calcutta',
  'UTC',
  'Etc/GMT+3',
] as const;

const table = createZoneTable();
const formats = new Map<string, Intl.DateTimeFormat>();

/** Offset by Intl's calendar fields: another road than the one the table is filled by. */
function offsetSecondsByFields(name: string, epochMillis: number): number {
  let format = formats.get(name);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      hourCycle: 'h23',
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formats.set(name, format);
  }
  const field: Record<string, number> = {};
  for (const part of format.formatToParts(epochMillis)) field[part.type] = Number(part.value);
  const { year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0 } = field;
  return (Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(epochMillis / 1000) * 1000) / 1000;
}

/** The hard ones, and one in 29 of all the others. */
const anyZone = fc.oneof(
  fc.constantFrom(...HARD_ZONES),
  fc.constantFrom(...supportedZoneNames().filter((_, i) => i % 29 === 0)),
);
const anyInstant = fc.integer({ min: ZONE_SPAN_START_EPOCH_MILLIS, max: ZONE_SPAN_END_EPOCH_MILLIS - 1 });

describe('createZoneTable', () => {
  it('offsetSecondsAt: equals Intl when zones and instants are random', () => {
    fc.assert(
      fc.property(anyZone, anyInstant, (name, at) => {
        expect(table.offsetSecondsAt(table.zoneIndexByName(name), at)).toBe(offsetSecondsByFields(name, at));
      }),
      { numRuns: 2000 },
    );
  });

  it.each(HARD_ZONES)(
    'transitions: equal Temporal and Intl, and every one is a change, when the zone is %s',
    (name) => {
      const index = table.zoneIndexByName(name);
      let expected = Temporal.Instant.fromEpochMilliseconds(ZONE_SPAN_START_EPOCH_MILLIS).toZonedDateTimeISO(name);
      let at: number = ZONE_SPAN_START_EPOCH_MILLIS;
      for (;;) {
        const next = expected.getTimeZoneTransition('next');
        const nextAt =
          next === null || next.epochMilliseconds >= ZONE_SPAN_END_EPOCH_MILLIS ? Infinity : next.epochMilliseconds;
        at = table.nextTransitionAt(index, at);
        expect(at).toBe(nextAt);
        if (next === null || at === Infinity) break;
        for (const instant of [at - 1, at, at + 1]) {
          expect(table.offsetSecondsAt(index, instant)).toBe(offsetSecondsByFields(name, instant));
        }
        expected = next;
      }
    },
  );

  it('localDayStart: equals Temporal when zones and instants are random', () => {
    fc.assert(
      fc.property(fc.constantFrom(...HARD_ZONES), anyInstant, (name, at) => {
        const expected = Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(name).startOfDay();
        expect(table.localDayStart(table.zoneIndexByName(name), at)).toBe(expected.epochMilliseconds);
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['Asia/Beirut', '2021-03-28T05:00[Asia/Beirut]'],
    ['America/Sao_Paulo', '2018-11-04T12:00[America/Sao_Paulo]'],
    ['America/St_Johns', '2011-11-06T12:00[America/St_Johns]'],
    ['Pacific/Apia', '2011-12-31T12:00[Pacific/Apia]'],
    ['Australia/Lord_Howe', '2026-04-05T12:00[Australia/Lord_Howe]'],
  ])('localDayStart, localWeekStart, formatLocal: equal Temporal when the clock changes in %s', (name, text) => {
    const zoned = Temporal.ZonedDateTime.from(text);
    const index = table.zoneIndexByName(name);
    expect(table.localDayStart(index, zoned.epochMilliseconds)).toBe(zoned.startOfDay().epochMilliseconds);
    const monday = zoned.subtract({ days: zoned.dayOfWeek - 1 }).startOfDay();
    expect(table.localWeekStart(index, zoned.epochMilliseconds)).toBe(monday.epochMilliseconds);
    expect(table.localHourOfWeek(index, zoned.epochMilliseconds)).toBe((zoned.dayOfWeek - 1) * 24 + zoned.hour);
    expect(table.formatLocal(index, zoned.epochMilliseconds)).toBe(
      zoned.toString({ timeZoneName: 'never', smallestUnit: 'second' }),
    );
  });

  it('zoneIndexByName: links, Etc names and any case work, each under its own name', () => {
    for (const [asked, name] of [
      ['Asia/Calcutta', 'Asia/Calcutta'],
      ['asia/kolkata', 'Asia/Kolkata'],
      ['us/eastern', 'US/Eastern'],
      ['UTC', 'UTC'],
      ['Etc/GMT+3', 'Etc/GMT+3'],
    ] as const) {
      expect(table.zoneName(table.zoneIndexByName(asked))).toBe(name);
    }
    expect(table.offsetSecondsAt(table.zoneIndexByName('Etc/GMT+3'), 0)).toBe(-3 * 3600);
    expect(table.offsetSecondsAt(table.zoneIndexByName('Asia/Kolkata'), 1e12)).toBe(5.5 * 3600);
  });

  it('createZoneFill: shares the arrays when two names are one zone, undefined when it is none', () => {
    const fill = createZoneFill();
    expect(fill('Asia/Kolkata')?.transitions).toBe(fill('Asia/Calcutta')?.transitions);
    for (const name of ['Foo/Bar', '+08:00', '', 'Asia/Shanghai\n', '2020-01-01T00:00[UTC]']) {
      expect(fill(name)).toBeUndefined();
    }
  });

  it('prebuildZones: names what is no zone when the list holds some', () => {
    expect(prebuildZones(table, ['UTC', 'Mars/Olympus', 'Asia/Shanghai'])).toEqual(['Mars/Olympus']);
  });
});
