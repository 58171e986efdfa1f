import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ZONE_UNKNOWN, ZONE_UNSEEN, ZONES_MAX, type ZoneData, ZoneTable } from '../../decision/local-time.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const utc = Date.UTC;

/** A zone from `[instant, hours east of UTC from then on]` rows; the first row's instant is ignored. */
function zone(name: string, ...rows: readonly (readonly [number, number])[]): ZoneData {
  return {
    name,
    transitions: Float64Array.from(rows.slice(1), ([at]) => at),
    offsets: Int32Array.from(rows, ([, hours]) => hours * 3600),
  };
}

const ZONES: Record<string, ZoneData> = {
  utc: zone('UTC', [0, 0]),
  shanghai: zone('Asia/Shanghai', [0, 8]),
  // Clocks jump from 00:00 to 01:00 on Sunday 28 March 2021 and back from 00:00 to 23:00 on 31 October.
  beirut: zone('Asia/Beirut', [0, 2], [utc(2021, 2, 27, 22), 3], [utc(2021, 9, 30, 21), 2]),
  // Back from 00:01 to 23:01: Sunday 6 November 2011 begins twice.
  johns: zone('America/St_Johns', [0, -2.5], [utc(2011, 10, 6, 2, 31), -3.5]),
  // Friday 30 December 2011 was left out.
  apia: zone('Pacific/Apia', [0, -10], [utc(2011, 11, 30, 10), 14]),
  monrovia: zone('Africa/Monrovia', [0, -0.7416666666666667], [utc(1972, 0, 7, 0, 44, 30), 0]),
};

function tableOf(): { table: ZoneTable; fills: string[] } {
  const fills: string[] = [];
  const table = new ZoneTable(
    (name) => {
      fills.push(name);
      return Object.values(ZONES).find((data) => data.name.toLowerCase() === name.toLowerCase());
    },
    (name) => name.length * 1000 + name.charCodeAt(name.length - 1),
  );
  return { table, fills };
}

function indexOf(table: ZoneTable, key: string): number {
  return table.zoneIndexByName(ZONES[key]?.name ?? '');
}

describe('ZoneTable names', () => {
  it('zoneIndexByName: one index and one fill when a zone is asked in several spellings', () => {
    const { table, fills } = tableOf();
    const index = table.zoneIndexByName('asia/shanghai');
    expect(index).toBe(0);
    expect(table.zoneIndexByName('Asia/Shanghai')).toBe(index);
    expect(table.zoneIndexByName('ASIA/SHANGHAI')).toBe(index);
    expect(table.zoneName(index)).toBe('Asia/Shanghai');
    expect(fills).toEqual(['asia/shanghai']);
  });

  it.each(['', ' ', '+08:00', 'Asia/Shang hai', 'x'.repeat(65), '../etc/passwd', '__proto__', '\0', 'Asia/上海'])(
    'zoneIndexByName: unknown without a fill when the name is %j',
    (name) => {
      const { table, fills } = tableOf();
      expect(table.zoneIndexByName(name)).toBe(ZONE_UNKNOWN);
      expect(fills).toEqual([]);
    },
  );

  it('zoneIndexByName: an unknown name is asked once when it is repeated', () => {
    const { table, fills } = tableOf();
    for (let i = 0; i < 3; i++) expect(table.zoneIndexByName('Mars/Olympus')).toBe(ZONE_UNKNOWN);
    expect(fills).toEqual(['Mars/Olympus']);
  });

  it('zoneIndexByName: holds at most ZONES_MAX zones when every name is a zone', () => {
    const table = new ZoneTable((name) => zone(name, [0, 1]));
    for (let i = 0; i < ZONES_MAX; i++) expect(table.zoneIndexByName(`Z/A${i}`)).toBe(i);
    expect(table.zoneIndexByName('Z/TooMany')).toBe(ZONE_UNKNOWN);
    expect(table.size).toBe(ZONES_MAX);
    expect(table.zoneIndexByName('Z/A7')).toBe(7);
    expect(table.offsetSecondsAt(ZONES_MAX - 1, 0)).toBe(3600);
  });

  it('zoneIndexByName: known zones stay when hostile names come by the thousand', () => {
    const { table } = tableOf();
    const index = table.zoneIndexByName('UTC');
    for (let i = 0; i < 10_000; i++) expect(table.zoneIndexByName(`Foo/Bar${i}`)).toBe(ZONE_UNKNOWN);
    expect(table.zoneIndexByName('UTC')).toBe(index);
    expect(table.size).toBe(1);
  });

  it('zoneIndexByHash: unseen, then the index or unknown, when the name was asked', () => {
    const { table } = tableOf();
    const hash = (name: string): number => name.length * 1000 + name.charCodeAt(name.length - 1);
    expect(table.zoneIndexByHash(hash('UTC'))).toBe(ZONE_UNSEEN);
    const index = table.zoneIndexByName('UTC');
    expect(table.zoneIndexByHash(hash('UTC'))).toBe(index);
    table.zoneIndexByName('Mars/Olympus');
    expect(table.zoneIndexByHash(hash('Mars/Olympus'))).toBe(ZONE_UNKNOWN);
  });

  it('fill: refused when transitions do not increase or offsets do not match', () => {
    const bad = (transitions: number[], offsets: number[]): ZoneTable =>
      new ZoneTable((name) => ({ name, transitions: new Float64Array(transitions), offsets: new Int32Array(offsets) }));
    expect(() => bad([2, 1], [0, 1, 2]).zoneIndexByName('A')).toThrow(RangeError);
    expect(() => bad([1], [0]).zoneIndexByName('A')).toThrow(RangeError);
    expect(() => bad([], [90_000]).zoneIndexByName('A')).toThrow(RangeError);
  });
});

describe('ZoneTable instants', () => {
  const { table } = tableOf();

  it.each([-1, 99, 1024, Number.NaN])('offsetSecondsAt: throws when the zone index is %d', (index) => {
    expect(() => table.offsetSecondsAt(index, 0)).toThrow(RangeError);
  });

  it('offsetSecondsAt: changes exactly at the transition when asked around it, in any order', () => {
    const beirut = indexOf(table, 'beirut');
    const jump = utc(2021, 2, 27, 22);
    const back = utc(2021, 9, 30, 21);
    for (const [at, hours] of [
      [jump - 1, 2],
      [jump, 3],
      [back, 2],
      [back - 1, 3],
      [-1e13, 2],
      [1e14, 2],
      [jump, 3],
    ] as const) {
      expect(table.offsetSecondsAt(beirut, at)).toBe(hours * 3600);
    }
    expect(table.nextTransitionAt(beirut, jump - 1)).toBe(jump);
    expect(table.nextTransitionAt(beirut, jump)).toBe(back);
    expect(table.nextTransitionAt(beirut, back)).toBe(Infinity);
  });

  it.each([
    [utc(2026, 10, 23), 0],
    [utc(2026, 10, 23) - 1, 167],
    [utc(2026, 10, 22, 20), 164],
    [0, 72],
    [-1, 71],
    [-4 * DAY, 144],
  ])('localHourOfWeek: instant %d is hour %d when the zone is UTC', (at, hour) => {
    expect(table.localHourOfWeek(indexOf(table, 'utc'), at)).toBe(hour);
  });

  it('localMinuteOfDay: 0 to 1439 when the day turns, before 1970 as well', () => {
    const shanghai = indexOf(table, 'shanghai');
    expect(table.localMinuteOfDay(shanghai, utc(2026, 0, 1, 16))).toBe(0);
    expect(table.localMinuteOfDay(shanghai, utc(2026, 0, 1, 16) - 1)).toBe(1439);
    expect(table.localMinuteOfDay(shanghai, utc(1960, 0, 1, 16) - 60_000)).toBe(1439);
  });

  it('localDayStart: the jump when midnight does not exist', () => {
    const beirut = indexOf(table, 'beirut');
    const jump = utc(2021, 2, 27, 22);
    expect(table.localDayStart(beirut, jump + 5 * HOUR)).toBe(jump);
    expect(table.localDayStart(beirut, jump)).toBe(jump);
    expect(table.localDayStart(beirut, jump - 1)).toBe(jump - DAY);
    expect(table.localDayStartAfter(beirut, jump, 1) - jump).toBe(23 * HOUR);
  });

  it('localDayStart: a day of 25 hours when the hour before midnight is repeated', () => {
    const beirut = indexOf(table, 'beirut');
    const back = utc(2021, 9, 30, 21); // 24:00 on Saturday 30 October becomes 23:00
    const saturday = back - 24 * HOUR;
    expect(table.localDayStart(beirut, back - 1)).toBe(saturday);
    expect(table.localDayStart(beirut, back)).toBe(saturday);
    expect(table.localDayStart(beirut, back + HOUR)).toBe(back + HOUR);
  });

  it('localDayStart: the first of two midnights when the repeat spans midnight', () => {
    const johns = indexOf(table, 'johns');
    const back = utc(2011, 10, 6, 2, 31); // 00:01 on Sunday becomes 23:01 on Saturday
    const firstMidnight = back - 60_000;
    expect(table.localDayStart(johns, back - 1)).toBe(firstMidnight);
    expect(table.localDayStart(johns, back)).toBe(firstMidnight - DAY);
    expect(table.localDayStart(johns, back + HOUR)).toBe(firstMidnight);
  });

  it('localDayStart: the next day when a whole day is left out', () => {
    const apia = indexOf(table, 'apia');
    const jump = utc(2011, 11, 30, 10);
    expect(table.localDayStart(apia, jump)).toBe(jump);
    expect(table.localDayStart(apia, jump - 1)).toBe(jump - DAY);
    expect(table.localDayStartAfter(apia, jump - 1, 1)).toBe(jump);
  });

  it('localWeekStart: Monday local when the week holds a change of the clock', () => {
    const beirut = indexOf(table, 'beirut');
    const monday = utc(2021, 2, 21, 22);
    expect(table.localWeekStart(beirut, utc(2021, 2, 28, 20, 59))).toBe(monday);
    expect(table.localWeekStart(beirut, utc(2021, 2, 28, 21))).toBe(monday + 7 * DAY - HOUR);
    expect(table.localWeekStart(indexOf(table, 'utc'), utc(2026, 10, 22, 23))).toBe(utc(2026, 10, 16));
    expect(table.localWeekStart(indexOf(table, 'utc'), -1)).toBe(utc(1969, 11, 29));
  });

  it('localDayStart and localWeekStart: idempotent and not after the instant when instants are arbitrary', () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(ZONES)), fc.integer({ min: -1e12, max: 4e12 }), (key, at) => {
        const index = indexOf(table, key);
        const day = table.localDayStart(index, at);
        const week = table.localWeekStart(index, at);
        expect(day).toBeLessThanOrEqual(at);
        expect(at - day).toBeLessThan(25 * HOUR + 60_000);
        expect(week).toBeLessThanOrEqual(day);
        expect(table.localDayStart(index, day)).toBe(day);
        expect(table.localWeekStart(index, week)).toBe(week);
      }),
    );
  });

  it.each([
    ['shanghai', utc(2026, 10, 22, 12), '2026-11-22T20:00:00+08:00'],
    ['utc', utc(2024, 1, 29, 23, 59, 59) + 999, '2024-02-29T23:59:59+00:00'],
    ['johns', utc(2011, 10, 6, 2, 31), '2011-11-05T23:01:00-03:30'],
    ['monrovia', 0, '1969-12-31T23:15:30-00:44:30'],
    ['utc', utc(1600, 1, 29), '1600-02-29T00:00:00+00:00'],
    ['utc', 253_402_300_800_000, '+010000-01-01T00:00:00+00:00'],
    ['utc', -62_198_755_200_000, '-000001-01-01T00:00:00+00:00'],
  ])('formatLocal: in %s instant %d reads %s', (key, at, text) => {
    expect(table.formatLocal(indexOf(table, key), at)).toBe(text);
  });

  it('formatLocal: parses back to the same second when the offset is whole minutes', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('utc', 'shanghai', 'beirut', 'johns', 'apia'),
        fc.integer({ min: -1e9, max: 4e9 }),
        (key, second) => {
          expect(Date.parse(table.formatLocal(indexOf(table, key), second * 1000))).toBe(second * 1000);
        },
      ),
    );
  });

  it('localMonth: the calendar month there, and the next one begins where it changes', () => {
    const instants = fc.integer({ min: -60 * 365 * DAY, max: 200 * 365 * DAY });
    fc.assert(
      fc.property(fc.constantFrom('utc', 'shanghai', 'beirut', 'johns', 'apia'), instants, (key, at) => {
        const index = indexOf(table, key);
        const [year = 0, month = 0] = table.formatLocal(index, at).split('-').map(Number);
        expect(table.localMonth(index, at)).toBe(12 * year + month - 1);
        const next = table.nextLocalMonthStart(index, at);
        expect(next).toBeGreaterThan(at);
        expect(table.localMonth(index, next)).toBe(12 * year + month);
        expect(table.localMonth(index, next - 1)).toBe(12 * year + month - 1);
      }),
    );
  });

  it('nextHourStart: where the wall clock shows another hour, also in zones of half hours and where clocks go back', () => {
    const instants = fc.integer({ min: utc(2011, 9, 1), max: utc(2011, 11, 1) });
    fc.assert(
      fc.property(fc.constantFrom('utc', 'johns'), instants, (key, at) => {
        const index = indexOf(table, key);
        const next = table.nextHourStart(index, at);
        expect(next - at).toBeGreaterThan(0);
        expect(next - at).toBeLessThanOrEqual(HOUR);
        expect(table.localHourOfWeek(index, next - 1)).toBe(table.localHourOfWeek(index, at));
      }),
    );
    const johns = indexOf(table, 'johns');
    expect(table.nextHourStart(johns, utc(2011, 10, 6, 2, 30))).toBe(utc(2011, 10, 6, 2, 31));
  });
});
