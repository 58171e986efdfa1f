import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isQuiet } from '../../decision/contact-policy.ts';
import { TILT_SLOTS, tiltFactors } from '../../decision/hour-tilt.ts';
import { type ZoneData, ZoneTable } from '../../decision/local-time.ts';
import { GAP_SLOTS } from '../../decision/purchase-due.ts';
import {
  addSendPrior,
  chooseSendTime,
  createSendTimeResult,
  learnSend,
  SEND_HORIZON_MILLIS_MAX,
  type SendTimeInput,
  WEEK_SLOTS,
} from '../../decision/send-time.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** Monday. */
const MONDAY = Date.UTC(2026, 10, 23);

const NEW_YORK: ZoneData = {
  name: 'America/New_York',
  // Clocks jump at 02:00 on 14 March 2027 and go back at 02:00 on 7 November 2027.
  transitions: Float64Array.of(Date.UTC(2027, 2, 14, 7), Date.UTC(2027, 10, 7, 6)),
  offsets: Int32Array.of(-18_000, -14_400, -18_000),
};
const LORD_HOWE: ZoneData = {
  name: 'Australia/Lord_Howe',
  transitions: Float64Array.of(Date.UTC(2027, 3, 3, 15)),
  offsets: Int32Array.of(39_600, 37_800),
};
const UTC: ZoneData = { name: 'UTC', transitions: new Float64Array(0), offsets: Int32Array.of(0) };
const zones = new ZoneTable((name) => [UTC, NEW_YORK, LORD_HOWE].find((data) => data.name === name));

function inputOf(overrides: Partial<SendTimeInput> = {}): SendTimeInput {
  const week = new Float64Array(WEEK_SLOTS);
  addSendPrior(week, 0);
  return {
    zones,
    zone: zones.zoneIndexByName('UTC'),
    nowEpochMillis: MONDAY + 9 * HOUR + 20 * 60_000,
    horizonMillis: DAY,
    earliestEpochMillis: 0,
    quietHours: null,
    ownQuietHours: [],
    week,
    weekOffset: 0,
    zoneTilt: new Float64Array(TILT_SLOTS),
    zoneTiltOffset: 0,
    tilt: new Uint16Array(TILT_SLOTS),
    tiltOffset: 0,
    waitingLossPerDay: 0,
    purchases: 0,
    lastPurchaseAtEpochMillis: 0,
    decayedLogGaps: 0,
    gapTotals: new Float64Array(GAP_SLOTS),
    explorationProbability: 0,
    seed0: 1,
    seed1: 2,
    subjectHash: 3,
    ...overrides,
  };
}

const quiet = (start: number, end: number): { startMinute: number; endMinute: number } => ({
  startMinute: start * 60,
  endMinute: end * 60,
});
const out = createSendTimeResult();

function learnMany(input: SendTimeInput, hourOfWeek: number, times: number): void {
  for (let i = 0; i < times; i++) {
    learnSend(
      input.week,
      input.weekOffset,
      input.zoneTilt,
      input.zoneTiltOffset,
      input.tilt,
      input.tiltOffset,
      hourOfWeek,
    );
  }
}

describe('learnSend', () => {
  it('learnSend: adds one to curve, zone and person when an offset is given', () => {
    const week = new Float64Array(3 * WEEK_SLOTS);
    const zoneTilt = new Float64Array(2 * TILT_SLOTS);
    const tilt = new Uint16Array(2 * TILT_SLOTS);
    learnSend(week, WEEK_SLOTS, zoneTilt, TILT_SLOTS, tilt, TILT_SLOTS, 167);
    expect(week[WEEK_SLOTS + 167]).toBe(1);
    expect(zoneTilt[TILT_SLOTS + 23]).toBe(1);
    expect(tilt[TILT_SLOTS + 23]).toBe(1);
    expect(week.reduce((a, b) => a + b) + zoneTilt.reduce((a, b) => a + b) + tilt.reduce((a, b) => a + b)).toBe(3);
  });

  it('learnSend: halves the person and nobody else when a count is full', () => {
    const input = inputOf();
    input.tilt[8] = 65_534;
    input.tilt[9] = 101;
    learnMany(input, 8, 1);
    expect([input.tilt[8], input.tilt[9]]).toEqual([65_535, 101]);
    learnMany(input, 8, 1);
    expect([input.tilt[8], input.tilt[9]]).toEqual([32_768, 50]);
    expect(input.zoneTilt[8]).toBe(2);
  });
});

describe('chooseSendTime', () => {
  it('chooseSendTime: this evening at 20:00 when nobody is known yet', () => {
    chooseSendTime(inputOf(), out);
    expect(out).toMatchObject({ isFound: true, atEpochMillis: MONDAY + 20 * HOUR, windowMinutes: 60, explored: false });
    expect(out.propensity).toBe(1);
    expect(out.hourOfWeek).toBe(20);
    expect(out.allowedCount).toBe(25);
    expect(out.probability).toBeCloseTo(7.5 / 95, 9);
    expect(out.nowProbability).toBeCloseTo(5.7 / 95, 9);
  });

  it('chooseSendTime: follows the person, then the look-alikes, when they are known', () => {
    const input = inputOf();
    input.zoneTilt[7] = 500;
    chooseSendTime(input, out);
    expect(out.hourOfWeek).toBe(31);
    input.tilt[13] = 30;
    chooseSendTime(input, out);
    expect(out.atEpochMillis).toBe(MONDAY + 13 * HOUR);
    expect(out.probability).toBeGreaterThan(0.3);
  });

  it('chooseSendTime: now when the running hour is best, not the same hour tomorrow', () => {
    const input = inputOf();
    input.tilt[9] = 200;
    chooseSendTime(input, out);
    expect(out.atEpochMillis).toBe(input.nowEpochMillis);
    expect(out.nowProbability).toBe(out.probability);
    expect(out.probability).toBeGreaterThan(0.4);
    expect(out.probability).toBeLessThanOrEqual(1);
  });

  it('chooseSendTime: probabilities of all hours of a day sum to 1 when now is a full hour', () => {
    let sum = 0;
    for (let hour = 0; hour < 24; hour++) {
      // Only one hour is not quiet: that is the one chosen. The day is counted from the same instant.
      const input = inputOf({ nowEpochMillis: MONDAY, quietHours: quiet((hour + 1) % 24, hour) });
      input.tilt[3] = 7;
      chooseSendTime(input, out);
      expect(out.hourOfWeek).toBe(hour);
      sum += out.probability;
    }
    expect(sum).toBeCloseTo(1, 9);
  });

  it('chooseSendTime: no instant in quiet hours, and 0 for now, when they run over midnight', () => {
    const input = inputOf({ nowEpochMillis: MONDAY + 22 * HOUR, quietHours: quiet(22, 8) });
    input.tilt[23] = 1000;
    chooseSendTime(input, out);
    expect(out.hourOfWeek % 24).toBeGreaterThanOrEqual(8);
    expect(out.hourOfWeek % 24).toBeLessThan(22);
    expect(out.nowProbability).toBe(0);
  });

  it('chooseSendTime: the end of quiet hours is a candidate when it is no full hour', () => {
    const input = inputOf({
      nowEpochMillis: MONDAY + 2 * HOUR + 12_345,
      quietHours: { startMinute: 22 * 60, endMinute: 7 * 60 + 30 },
    });
    input.tilt[7] = 1000;
    chooseSendTime(input, out);
    expect(out.atEpochMillis).toBe(MONDAY + 7.5 * HOUR);
    expect(out.windowMinutes).toBe(60);
  });

  it('chooseSendTime: the window ends with the quiet hours to come when they begin within the hour', () => {
    const input = inputOf({ nowEpochMillis: MONDAY + 21.75 * HOUR, horizonMillis: 0, quietHours: quiet(22, 8) });
    chooseSendTime(input, out);
    expect(out.atEpochMillis).toBe(input.nowEpochMillis);
    expect(out.windowMinutes).toBe(15);
  });

  it('chooseSendTime: extends past the horizon day by day when nothing inside is allowed', () => {
    const input = inputOf({ horizonMillis: HOUR, earliestEpochMillis: MONDAY + 5 * DAY + 10.5 * HOUR });
    chooseSendTime(input, out);
    expect(out.isFound).toBe(true);
    expect(out.atEpochMillis).toBeGreaterThanOrEqual(input.earliestEpochMillis);
    expect(out.atEpochMillis).toBeLessThan(input.earliestEpochMillis + DAY);
    expect(out.probability).toBeGreaterThan(0);
  });

  it('chooseSendTime: not found when nothing is allowed in 8 days', () => {
    const input = inputOf({ earliestEpochMillis: MONDAY + 9 * HOUR + 20 * 60_000 + SEND_HORIZON_MILLIS_MAX + 1 });
    chooseSendTime(input, out);
    expect(out).toEqual({ ...createSendTimeResult() });
    input.earliestEpochMillis -= 1;
    chooseSendTime(input, out);
    expect(out).toMatchObject({ isFound: true, atEpochMillis: input.earliestEpochMillis, allowedCount: 1 });
  });

  it('chooseSendTime: local hours stay right when the clock jumps inside the horizon', () => {
    const zone = zones.zoneIndexByName('America/New_York');
    const input = inputOf({ zone, nowEpochMillis: Date.UTC(2027, 2, 14, 5), quietHours: quiet(22, 8) });
    input.tilt[8] = 1000;
    chooseSendTime(input, out);
    // 08:00 at -04:00; with the offset of now it would be 13:00 UTC.
    expect(out.atEpochMillis).toBe(Date.UTC(2027, 2, 14, 12));
    expect(out.hourOfWeek).toBe(6 * 24 + 8);
  });

  it('chooseSendTime: both passes of a repeated hour are candidates when the clock goes back', () => {
    const zone = zones.zoneIndexByName('America/New_York');
    const input = inputOf({ zone, nowEpochMillis: Date.UTC(2027, 10, 7, 4), horizonMillis: 25 * HOUR - 1 });
    chooseSendTime(input, out);
    expect(out.allowedCount).toBe(25);
  });

  it('chooseSendTime: realigns to full hours when the clock goes back by half an hour', () => {
    const zone = zones.zoneIndexByName('Australia/Lord_Howe');
    const input = inputOf({ zone, nowEpochMillis: Date.UTC(2027, 3, 3, 12, 10), quietHours: quiet(0, 6) });
    input.tilt[9] = 1000;
    chooseSendTime(input, out);
    expect(out.atEpochMillis).toBe(Date.UTC(2027, 3, 3, 22, 30)); // 09:00 at +10:30
  });

  it('chooseSendTime: explores uniformly with exact propensities when seeds vary', () => {
    const input = inputOf({ explorationProbability: 0.3, quietHours: quiet(20, 8) });
    const counts = new Map<number, number>();
    const propensities = new Map<number, number>();
    const runs = 20_000;
    let explored = 0;
    for (let seed = 0; seed < runs; seed++) {
      input.seed0 = seed;
      chooseSendTime(input, out);
      counts.set(out.atEpochMillis, (counts.get(out.atEpochMillis) ?? 0) + 1);
      propensities.set(out.atEpochMillis, out.propensity);
      if (out.explored) explored++;
    }
    expect(propensities.size).toBe(out.allowedCount);
    let sum = 0;
    for (const [at, propensity] of propensities) {
      sum += propensity;
      // Five standard deviations of a binomial: about 13 cells, one in 100,000 runs would fail; seeds are fixed.
      const deviation = Math.sqrt((propensity * (1 - propensity)) / runs);
      expect(Math.abs((counts.get(at) ?? 0) / runs - propensity)).toBeLessThan(5 * deviation);
    }
    expect(sum).toBeCloseTo(1, 12);
    expect(Math.abs(explored / runs - 0.3)).toBeLessThan(5 * Math.sqrt(0.21 / runs));
  });

  it('chooseSendTime: no allowed minute of the horizon is better when each is tried', () => {
    const minute = fc.integer({ min: 0, max: 1439 });
    const factors = new Float64Array(TILT_SLOTS);
    fc.assert(
      fc.property(
        fc.constantFrom('UTC', 'America/New_York', 'Australia/Lord_Howe'),
        fc.constantFrom(
          Date.UTC(2027, 2, 13, 20),
          Date.UTC(2027, 10, 6, 20),
          Date.UTC(2027, 3, 3, 3),
          Date.UTC(2027, 5, 1),
        ),
        fc.integer({ min: 0, max: 1440 }),
        fc.option(fc.record({ startMinute: minute, endMinute: minute })),
        fc.array(fc.record({ startMinute: minute, endMinute: minute }), { maxLength: 2 }),
        fc.integer({ min: 0, max: 720 }),
        fc.array(fc.integer({ min: 0, max: 50 }), { minLength: TILT_SLOTS, maxLength: TILT_SLOTS }),
        (name, from, shiftMinutes, quietHours, ownQuietHours, delayMinutes, tilt) => {
          const zone = zones.zoneIndexByName(name);
          // Whole minutes, so that trying each minute misses no instant that is allowed.
          const now = from + shiftMinutes * 60_000;
          const delay = delayMinutes * 60_000;
          const input = inputOf({
            zone,
            nowEpochMillis: now,
            quietHours,
            ownQuietHours,
            tilt: Uint16Array.from(tilt),
          });
          input.earliestEpochMillis = now + delay;
          const { week, zoneTilt } = input;
          tiltFactors(week, 0, zoneTilt, 0, input.tilt, 0, factors);
          const intensity = (at: number): number => {
            const hour = zones.localHourOfWeek(zone, at);
            return (week[hour] ?? 0) * (factors[hour % TILT_SLOTS] ?? 0);
          };
          let best = -1;
          let integral = 0;
          for (let at = now; at < now + DAY; at += 60_000) {
            integral += intensity(at) / 60;
            const local = zones.localMinuteOfDay(zone, at);
            const all = quietHours === null ? ownQuietHours : [quietHours, ...ownQuietHours];
            const isAllowed = at >= now + delay && all.every((hours) => !isQuiet(hours, local));
            if (isAllowed) best = Math.max(best, intensity(at));
          }
          if (best < 0) return;
          chooseSendTime(input, out);
          expect(out.isFound).toBe(true);
          expect(intensity(out.atEpochMillis)).toBeGreaterThanOrEqual(best - 1e-9);
          if (out.atEpochMillis >= now + DAY) return;
          // The sum over minutes misses each hour's edge by less than a minute.
          expect(Math.abs(out.probability - Math.min(best / integral, 1))).toBeLessThan(0.02);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('chooseSendTime: waits for what is worth more, and not for what waiting eats up', () => {
    const week = new Float64Array(WEEK_SLOTS).fill(10);
    // Today flat, tomorrow at 10:00 a fifth more.
    week[24 + 10] = 12;
    const input = inputOf({ week, nowEpochMillis: MONDAY + 10 * HOUR, horizonMillis: 2 * DAY });
    for (const [loss, waits] of [
      [0, true],
      [0.19, true],
      [0.21, false],
      [1, false],
    ] as const) {
      input.waitingLossPerDay = loss;
      chooseSendTime(input, out);
      expect(out.atEpochMillis).toBe(MONDAY + 10 * HOUR + (waits ? DAY : 0));
      // The average hour of the coming day: 23 of 10, and the running one of 10.
      expect(out.nowWorth).toBeCloseTo(1, 9);
      expect(out.worth).toBeCloseTo(waits ? 1.2 / (1 + loss) : 1, 9);
      expect(out.worth).toBeGreaterThanOrEqual(out.nowWorth);
    }
  });

  it('chooseSendTime: the day on which a purchase is due, when it looks some days ahead', () => {
    const week = new Float64Array(WEEK_SLOTS).fill(1);
    const input = inputOf({ week, nowEpochMillis: MONDAY, horizonMillis: 6 * DAY, purchases: 21 });
    for (let n = 0; n < 20; n++) input.decayedLogGaps = 0.9 * input.decayedLogGaps + Math.log(7);
    input.gapTotals = Float64Array.of(1e6, 1e6 * Math.log(7), 1e6 * (Math.log(7) ** 2 + 0.5));
    // Bought yesterday: nothing is due for days. Of hours of one worth the earliest wins: the start of a day.
    input.lastPurchaseAtEpochMillis = MONDAY - DAY;
    chooseSendTime(input, out);
    expect(out.atEpochMillis).toBeGreaterThanOrEqual(MONDAY + 4 * DAY);
    expect((out.atEpochMillis - MONDAY) % DAY).toBe(0);
    // A week ago: now or never.
    input.lastPurchaseAtEpochMillis = MONDAY - 12 * DAY;
    chooseSendTime(input, out);
    expect(out.atEpochMillis).toBe(MONDAY);
    expect(out.worth).toBeGreaterThan(1.2);
    // Somebody who has bought once has no cycle.
    input.purchases = 1;
    chooseSendTime(input, out);
    expect(out.atEpochMillis).toBe(MONDAY);
    expect(out.worth).toBeCloseTo(1, 12);
    expect(out.nowWorth).toBe(out.worth);
  });

  it('chooseSendTime: no NaN and no instant before now, with purchases from the future and curves of zeros', () => {
    const day = fc.integer({ min: -4000, max: 4000 });
    const number = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.constantFrom(0, -1e300, 1e300));
    fc.assert(
      fc.property(
        fc.constantFrom('UTC', 'America/New_York', 'Australia/Lord_Howe', 'Nowhere/At_All'),
        fc.integer({ min: 0, max: 8 * 24 }),
        fc.integer({ min: 0, max: 0xffff }),
        day,
        number,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.boolean(),
        fc.constantFrom(Date.UTC(2027, 2, 14, 6, 59), Date.UTC(2027, 10, 7, 5, 59), Date.UTC(2027, 3, 3, 14, 59)),
        (name, hours, purchases, lastDay, decayedLogGaps, waitingLossPerDay, isZero, now) => {
          const input = inputOf({
            // As the scope does: a zone that is not known is the catalog's.
            zone: Math.max(0, zones.zoneIndexByName(name)),
            nowEpochMillis: now,
            horizonMillis: hours * HOUR,
            purchases,
            lastPurchaseAtEpochMillis: now + lastDay * DAY,
            decayedLogGaps,
            waitingLossPerDay,
          });
          if (isZero) input.week.fill(0);
          chooseSendTime(input, out);
          expect(out.isFound).toBe(true);
          expect(out.atEpochMillis).toBeGreaterThanOrEqual(now);
          expect(out.atEpochMillis).toBeLessThanOrEqual(now + hours * HOUR);
          for (const value of [out.worth, out.nowWorth, out.probability, out.nowProbability]) {
            expect(value).toBeGreaterThanOrEqual(0);
            expect(value).toBeLessThan(Infinity);
          }
          expect(out.worth).toBeGreaterThanOrEqual(out.nowWorth);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('chooseSendTime: bounds hold when everything is arbitrary', () => {
    const minute = fc.integer({ min: 0, max: 1439 });
    fc.assert(
      fc.property(
        fc.constantFrom('UTC', 'America/New_York', 'Australia/Lord_Howe'),
        fc.integer({ min: Date.UTC(2027, 0, 1), max: Date.UTC(2027, 11, 31) }),
        fc.integer({ min: 0, max: 10 * DAY }),
        fc.option(fc.record({ startMinute: minute, endMinute: minute })),
        fc.integer({ min: -DAY, max: 9 * DAY }),
        fc.array(fc.integer({ min: 0, max: 65_535 }), { minLength: TILT_SLOTS, maxLength: TILT_SLOTS }),
        fc.integer(),
        (name, now, horizonMillis, quietHours, delay, tilt, seed0) => {
          const zone = zones.zoneIndexByName(name);
          const input = inputOf({
            zone,
            nowEpochMillis: now,
            horizonMillis,
            quietHours,
            earliestEpochMillis: now + delay,
            tilt: Uint16Array.from(tilt),
            explorationProbability: 0.5,
            seed0,
          });
          chooseSendTime(input, out);
          expect(out.nowProbability).toBeGreaterThanOrEqual(0);
          expect(out.nowProbability).toBeLessThanOrEqual(1);
          if (!out.isFound) {
            expect(delay).toBeGreaterThan(6 * DAY);
            return;
          }
          expect(out.atEpochMillis).toBeGreaterThanOrEqual(Math.max(now, now + delay));
          expect(out.atEpochMillis).toBeLessThanOrEqual(now + SEND_HORIZON_MILLIS_MAX);
          expect(out.probability).toBeGreaterThan(0);
          expect(out.probability).toBeLessThanOrEqual(1);
          expect(out.propensity).toBeGreaterThan(0);
          expect(out.propensity).toBeLessThanOrEqual(1);
          expect(out.windowMinutes).toBeGreaterThanOrEqual(1);
          if (quietHours !== null && quietHours.startMinute !== quietHours.endMinute) {
            const at = zones.localMinuteOfDay(zone, out.atEpochMillis);
            const length = (quietHours.endMinute - quietHours.startMinute + 1440) % 1440;
            expect((at - quietHours.startMinute + 1440) % 1440).toBeGreaterThanOrEqual(length);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
