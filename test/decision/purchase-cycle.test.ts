import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkPurchaseHistories } from '../../decision/batch/purchase-model.ts';
import { checkSpends } from '../../decision/batch/spend-model.ts';
import {
  CYCLE_SLOTS,
  CYCLE_TOTALS,
  DAY_MILLIS,
  FIRST_AT,
  type HistoryColumns,
  LAST_AT,
  LOG_GAPS,
  learnPurchase,
  logGapDeviation,
  logGapOf,
  nextPurchaseEpochMillis,
  PURCHASES,
  purchaseWithinProbability,
  REPEAT_SPEND,
  writeHistory,
} from '../../decision/purchase-cycle.ts';
import { GAP_DECAY, OCCASION_MILLIS } from '../../decision/purchase-due.ts';

const START = Date.UTC(2026, 0, 1);
const HOUR = 3_600_000;
/** The second person of an array, so that a forgotten offset shows. */
const OFFSET = CYCLE_SLOTS;

function learnt(days: readonly number[], spend = 10): [Float64Array, Float64Array] {
  const cycles = new Float64Array(3 * CYCLE_SLOTS);
  const totals = new Float64Array(CYCLE_TOTALS);
  for (const day of days) learnPurchase(cycles, OFFSET, totals, START + day * DAY_MILLIS, spend);
  return [cycles, totals];
}
const last = (days: readonly number[]): number => START + (days.at(-1) ?? 0) * DAY_MILLIS;

describe('learnPurchase', () => {
  it('learn: keeps first, last, count, repeat spend and gaps, of this person only', () => {
    const [cycles, totals] = learnt([0, 7, 21]);
    expect(cycles[OFFSET + FIRST_AT]).toBe(START);
    expect(cycles[OFFSET + LAST_AT]).toBe(START + 21 * DAY_MILLIS);
    expect(cycles[OFFSET + PURCHASES]).toBe(3);
    expect(cycles[OFFSET + REPEAT_SPEND]).toBe(20);
    expect(cycles[OFFSET + LOG_GAPS]).toBeCloseTo(Math.log(7) + Math.log(14), 12);
    expect(totals[0]).toBe(2);
    expect([...cycles.subarray(0, OFFSET), ...cycles.subarray(OFFSET + CYCLE_SLOTS)].every((x) => x === 0)).toBe(true);
  });

  it('learn: purchases within the hour, or told late, are part of the last one', () => {
    const [cycles, totals] = learnt([0, 7]);
    const before = cycles.slice();
    for (const at of [7 * DAY_MILLIS, 7 * DAY_MILLIS + OCCASION_MILLIS - 1, 3 * DAY_MILLIS, -DAY_MILLIS]) {
      learnPurchase(cycles, OFFSET, totals, START + at, 5);
    }
    expect(cycles[OFFSET + REPEAT_SPEND]).toBe(30);
    before[OFFSET + REPEAT_SPEND] = 30;
    expect(cycles).toEqual(before);
    learnPurchase(cycles, OFFSET, totals, START + 7 * DAY_MILLIS + OCCASION_MILLIS, 5);
    expect(cycles[OFFSET + PURCHASES]).toBe(3);
  });

  it("learn: spend of the first purchase's hour is no repeat spend", () => {
    const [cycles, totals] = learnt([0]);
    learnPurchase(cycles, OFFSET, totals, START + 60_000, 5);
    expect(cycles[OFFSET + REPEAT_SPEND]).toBe(0);
  });
});

describe('logGapOf', () => {
  it('gap: a month for anybody before anything is known, and then the formula', () => {
    const [none, fresh] = learnt([]);
    expect(Math.exp(logGapOf(none, OFFSET, fresh))).toBeCloseTo(30, 10);
    const [cycles, totals] = learnt([0, 7, 21]);
    const everybody = (Math.log(7 * 14) + 10 * Math.log(30)) / 12;
    const own = Math.log(14) + GAP_DECAY * Math.log(7);
    expect(logGapOf(cycles, OFFSET, totals)).toBeCloseTo((own + everybody) / (1 + GAP_DECAY + 1), 12);
    // Somebody else has everybody's, after one purchase too.
    learnPurchase(cycles, 0, totals, START, 0);
    expect(logGapOf(cycles, 0, totals)).toBeCloseTo(everybody, 12);
  });

  it('gap: a new habit is followed within a few purchases', () => {
    const habit = Array.from({ length: 10 }, (_, i) => i * 28);
    const changed = [...habit, ...Array.from({ length: 10 }, (_, i) => 252 + (i + 1) * 7)];
    const gap = (days: readonly number[]): number => Math.exp(logGapOf(...spread(learnt(days))));
    expect(gap(habit)).toBeGreaterThan(24);
    expect(gap(changed)).toBeLessThan(14);
  });
});

function spread([cycles, totals]: [Float64Array, Float64Array]): [Float64Array, number, Float64Array] {
  return [cycles, OFFSET, totals];
}

describe('nextPurchaseEpochMillis', () => {
  const days = [0, 10, 20, 30, 40];

  it('next: right after a purchase it is the median gap later', () => {
    const [cycles, totals] = learnt(days);
    const gap = Math.exp(logGapOf(cycles, OFFSET, totals)) * DAY_MILLIS;
    for (const now of [last(days), last(days) - DAY_MILLIS]) {
      expect(nextPurchaseEpochMillis(cycles, OFFSET, totals, now) / (last(days) + gap)).toBeCloseTo(1, 9);
    }
  });

  it('next: it is the even chance of the probability within a time', () => {
    const [cycles, totals] = learnt(days);
    for (const silence of [0, 5, 12, 60, 400]) {
      const now = last(days) + silence * DAY_MILLIS;
      const next = nextPurchaseEpochMillis(cycles, OFFSET, totals, now);
      expect(purchaseWithinProbability(cycles, OFFSET, totals, now, next - now)).toBeCloseTo(0.5, 6);
    }
  });

  it('next: nobody who has not bought is expected', () => {
    const [cycles, totals] = learnt([]);
    expect(nextPurchaseEpochMillis(cycles, OFFSET, totals, START)).toBe(0);
    expect(purchaseWithinProbability(cycles, OFFSET, totals, START, HOUR)).toBe(0);
  });

  it('within: 0 for no time, near 1 for all time, and growing', () => {
    const [cycles, totals] = learnt(days);
    const within = (horizon: number): number => purchaseWithinProbability(cycles, OFFSET, totals, last(days), horizon);
    expect([within(0), within(-1), within(Number.NaN)]).toEqual([0, 0, 0]);
    expect(within(1e15)).toBeGreaterThan(1 - 1e-12);
    expect(within(5 * DAY_MILLIS)).toBeLessThan(within(15 * DAY_MILLIS));
  });

  it('next: not before now, a probability, and finite, for whatever purchases and clocks', () => {
    const instant = fc.oneof(
      fc.integer({ min: START, max: START + 400 * DAY_MILLIS }),
      fc.integer({ min: -8.64e15, max: 8.64e15 }),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(instant, fc.double({ min: -1e9, max: 1e9, noNaN: true }))),
        instant,
        fc.nat(1e12),
        (told, now, horizon) => {
          const [cycles, totals] = learnt([]);
          for (const [at, spend] of told) learnPurchase(cycles, OFFSET, totals, at, spend);
          expect([...cycles, ...totals].every(Number.isFinite)).toBe(true);
          expect(logGapDeviation(totals)).toBeGreaterThan(0);
          const next = nextPurchaseEpochMillis(cycles, OFFSET, totals, now);
          expect(told.length === 0 ? next === 0 : next >= now && next <= 8.64e15).toBe(true);
          const within = purchaseWithinProbability(cycles, OFFSET, totals, now, horizon);
          expect(within >= 0 && within <= 1).toBe(true);
        },
      ),
      { seed: 9 },
    );
  });
});

describe('writeHistory', () => {
  const columnsOf = (rows: number): HistoryColumns => ({
    repeatCounts: new Float64Array(rows),
    lastTimes: new Float64Array(rows),
    observedTimes: new Float64Array(rows),
    logGapSums: new Float64Array(rows),
    meanSpends: new Float64Array(rows),
  });

  it('history: x, t_x and T in days, gaps and mean repeat spend, in the row asked for', () => {
    const [cycles] = learnt([0, 7, 21], 12);
    const columns = columnsOf(2);
    expect(writeHistory(cycles, OFFSET, START + 30 * DAY_MILLIS, columns, 1)).toBe(true);
    expect([...columns.repeatCounts, ...columns.lastTimes, ...columns.observedTimes]).toEqual([0, 2, 0, 21, 0, 30]);
    expect(columns.meanSpends[1]).toBe(12);
    expect(columns.logGapSums[1]).toBeCloseTo(Math.log(7 * 14), 12);
  });

  it('history: nobody who has not bought has one', () => {
    const columns = columnsOf(1);
    columns.observedTimes[0] = 5;
    expect(writeHistory(learnt([])[0], OFFSET, START, columns, 0)).toBe(false);
    expect(columns.observedTimes[0]).toBe(5);
  });

  it('history: is within the bounds of the batch models, whatever purchases, returns and clocks', () => {
    const instant = fc.integer({ min: -8.64e15, max: 8.64e15 });
    const purchase = fc.tuple(instant, fc.double({ min: -1e9, max: 1e9, noNaN: true }));
    fc.assert(
      fc.property(fc.array(purchase, { minLength: 1 }), instant, (told, now) => {
        const [cycles, totals] = learnt([]);
        for (const [at, spend] of told) learnPurchase(cycles, OFFSET, totals, at, spend);
        const columns = columnsOf(1);
        writeHistory(cycles, OFFSET, now, columns, 0);
        checkPurchaseHistories(columns);
        checkSpends(columns.repeatCounts, columns.meanSpends);
        expect(columns.meanSpends[0]).toBeGreaterThanOrEqual(0);
      }),
      { seed: 4 },
    );
  });
});
