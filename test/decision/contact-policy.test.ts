import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Cap, MOMENT } from '../../decision/catalog.ts';
import {
  capOpensAt,
  isInside,
  isQuiet,
  type LocalNow,
  type MomentSource,
  quietEndsAt,
} from '../../decision/contact-policy.ts';
import type { ZoneTable } from '../../decision/local-time.ts';
import { ZONES } from '../actors/one-shard.ts';

const HOUR = 3_600_000;
const NOW = Date.UTC(2026, 5, 10, 9);

function localAt(zones: ZoneTable, name: string, now: number): LocalNow {
  const zone = zones.zoneIndexByName(name);
  return {
    atEpochMillis: now,
    dayStartEpochMillis: zones.localDayStart(zone, now),
    weekStartEpochMillis: zones.localWeekStart(zone, now),
    minuteOfDay: zones.localMinuteOfDay(zone, now),
    nextDayStartEpochMillis: () => zones.localDayStartAfter(zone, now, 1),
    nextWeekStartEpochMillis: () => zones.localDayStartAfter(zone, zones.localWeekStart(zone, now), 7),
    minuteOfDayAt: (at) => zones.localMinuteOfDay(zone, at),
    nextClockChangeAfter: (at) => zones.nextTransitionAt(zone, at),
  };
}
const UTC = localAt(ZONES, 'UTC', NOW);

function momentsOf(rows: readonly { at: number; times?: number; kind?: number }[]): MomentSource {
  return {
    momentCount: rows.length,
    momentAt: (i) => rows[i]?.at ?? Number.NaN,
    momentAmount: () => 0,
    momentSubject: () => 1,
    momentKind: (i) => rows[i]?.kind ?? MOMENT.decision,
    momentTimes: (i) => rows[i]?.times ?? 1,
  };
}
function rolling(count: number, windowMillis: number): Cap {
  return { count, period: { kind: 'rolling', windowMillis }, on: MOMENT.decision, text: '' };
}

describe('isInside', () => {
  it('a rolling window of w ends exactly w after the moment', () => {
    const cap = rolling(1, HOUR);
    expect([0, HOUR - 1, HOUR, HOUR + 1].map((ago) => isInside(cap, NOW - ago, UTC))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    // A moment ahead of the clock counts already: a cap never opens by a skewed clock.
    expect(isInside(cap, NOW + 1, UTC)).toBe(true);
  });

  it.each(['day', 'week'] as const)('a local %s begins with its first instant', (kind) => {
    const cap: Cap = { count: 1, period: { kind }, on: MOMENT.decision, text: '' };
    const start = kind === 'day' ? UTC.dayStartEpochMillis : UTC.weekStartEpochMillis;
    expect([isInside(cap, start - 1, UTC), isInside(cap, start, UTC)]).toEqual([false, true]);
  });
});

describe('capOpensAt', () => {
  it('rolling: at the instant one more fits, never before, joined moments included', () => {
    const row = fc.record({ at: fc.integer({ min: NOW - 2 * HOUR, max: NOW }), times: fc.integer({ min: 1, max: 3 }) });
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 6 }), (rows, count) => {
        const cap = rolling(count, HOUR);
        const usedAt = (now: number): number =>
          rows.filter(({ at }) => at > now - HOUR).reduce((sum, { times }) => sum + times, 0);
        fc.pre(usedAt(NOW) >= count);
        const opensAt = capOpensAt(cap, momentsOf(rows), () => true, UTC, usedAt(NOW));
        expect(opensAt).toBeGreaterThan(NOW);
        expect(usedAt(opensAt - 1)).toBeGreaterThanOrEqual(count);
        expect(usedAt(opensAt)).toBeLessThan(count);
      }),
    );
  });

  it('rolling: what was used in this very decision leaves a window from now', () => {
    const moments = momentsOf([{ at: NOW - 1000 }]);
    expect(capOpensAt(rolling(2, HOUR), moments, () => true, UTC, 2)).toBe(NOW - 1000 + HOUR);
    expect(capOpensAt(rolling(1, HOUR), momentsOf([]), () => true, UTC, 1)).toBe(NOW + HOUR);
  });

  it('only moments of the cap’s kind and subject count', () => {
    const rows = [{ at: NOW - 10 }, { at: NOW - 20, kind: MOMENT.click }, { at: NOW - 30 }];
    expect(capOpensAt(rolling(1, HOUR), momentsOf(rows), (i) => i !== 2, UTC, 1)).toBe(NOW - 10 + HOUR);
  });

  it.each([
    ['Europe/Berlin', Date.UTC(2026, 2, 29, 10)],
    ['Europe/Berlin', Date.UTC(2026, 9, 25, 10)],
    ['Asia/Beirut', Date.UTC(2026, 2, 28, 12)],
    ['Australia/Lord_Howe', Date.UTC(2026, 3, 4, 20)],
  ])('day and week in %s: the first instant at which nothing of now is inside', (zone, now) => {
    for (const kind of ['day', 'week'] as const) {
      const cap: Cap = { count: 1, period: { kind }, on: MOMENT.decision, text: '' };
      const opensAt = capOpensAt(cap, momentsOf([{ at: now }]), () => true, localAt(ZONES, zone, now), 1);
      expect(isInside(cap, now, localAt(ZONES, zone, opensAt - 1))).toBe(true);
      expect(isInside(cap, now, localAt(ZONES, zone, opensAt))).toBe(false);
    }
  });
});

describe('quiet hours', () => {
  it.each([
    [{ startMinute: 1320, endMinute: 480 }, [1319, 1320, 1439, 0, 479, 480], [false, true, true, true, true, false]],
    [{ startMinute: 60, endMinute: 120 }, [59, 60, 119, 120], [false, true, true, false]],
    [{ startMinute: 0, endMinute: 1439 }, [0, 1438, 1439], [true, true, false]],
    [{ startMinute: 600, endMinute: 600 }, [0, 599, 600, 601], [false, false, false, false]],
  ])('isQuiet: %j starts included and ends excluded', (hours, minutes, expected) => {
    expect(minutes.map((minute) => isQuiet(hours, minute))).toEqual(expected);
  });

  it('quietEndsAt: the first instant from then on that is not quiet, over changes of the clocks', () => {
    const minute = fc.integer({ min: 0, max: 1439 });
    const zone = fc.constantFrom('UTC', 'Europe/Berlin', 'Asia/Beirut', 'Australia/Lord_Howe', 'America/St_Johns');
    const start = fc.constantFrom(Date.UTC(2026, 2, 27), Date.UTC(2026, 9, 23), Date.UTC(2026, 3, 3), NOW);
    fc.assert(
      fc.property(minute, minute, zone, start, fc.nat(3 * 86_400_000), (startMinute, endMinute, name, from, plus) => {
        const hours = { startMinute, endMinute };
        const now = from + plus;
        const local = localAt(ZONES, name, now);
        const ends = quietEndsAt(hours, local, now);
        expect(isQuiet(hours, local.minuteOfDayAt(ends))).toBe(false);
        if (!isQuiet(hours, local.minuteOfDay)) expect(ends).toBe(now);
        else {
          expect(ends).toBeGreaterThan(now);
          for (let at = now; at < ends; at += 60_000) expect(isQuiet(hours, local.minuteOfDayAt(at))).toBe(true);
          expect(isQuiet(hours, local.minuteOfDayAt(ends - 1))).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});
