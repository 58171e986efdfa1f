import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TILT_SLOTS, tiltFactors } from '../../decision/hour-tilt.ts';
import { drawUniform } from '../../decision/random.ts';
import { addSendPrior, WEEK_SLOTS } from '../../decision/send-time.ts';

describe('tiltFactors', () => {
  const factors = new Float64Array(TILT_SLOTS);

  it('tiltFactors: 1 everywhere when nothing is known of person and zone, or of anything', () => {
    const week = new Float64Array(WEEK_SLOTS);
    addSendPrior(week, 0);
    const [zoneTilt, tilt] = [new Float64Array(TILT_SLOTS), new Uint16Array(TILT_SLOTS)];
    tiltFactors(week, 0, zoneTilt, 0, tilt, 0, factors);
    for (const factor of factors) expect(factor).toBeCloseTo(1, 12);
    tiltFactors(new Float64Array(WEEK_SLOTS), 0, zoneTilt, 0, tilt, 0, factors);
    for (const factor of factors) expect(factor).toBe(1);
  });

  it('tiltFactors: the intensity keeps the sum of the week when counts are arbitrary', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: WEEK_SLOTS, maxLength: WEEK_SLOTS }),
        fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: TILT_SLOTS, maxLength: TILT_SLOTS }),
        fc.array(fc.integer({ min: 0, max: 65_535 }), { minLength: TILT_SLOTS, maxLength: TILT_SLOTS }),
        (week, zone, person) => {
          tiltFactors(Float64Array.from(week), 0, Float64Array.from(zone), 0, Uint16Array.from(person), 0, factors);
          const sum = week.reduce((total, count, hour) => total + count * (factors[hour % TILT_SLOTS] ?? 0), 0);
          expect(sum / week.reduce((a, b) => a + b)).toBeCloseTo(1, 9);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('tiltFactors: the formula of its comment, worked out hour by hour', () => {
    const count = (i: number, most: number): number => Math.floor(most * drawUniform(3, i, most, 93));
    const week = Float64Array.from({ length: WEEK_SLOTS }, (_, i) => 1 + count(i, 30));
    const zoneTilt = Float64Array.from({ length: TILT_SLOTS }, (_, i) => count(i, 50));
    const tilt = Uint16Array.from({ length: TILT_SLOTS }, (_, i) => count(i, 5));
    tiltFactors(week, 0, zoneTilt, 0, tilt, 0, factors);
    const sum = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0);
    const hours = Array.from({ length: TILT_SLOTS }, (_, h) => h);
    const all = hours.map((h) => sum(week.filter((_, i) => i % TILT_SLOTS === h)) / sum(week));
    const zone = hours.map((h) => ((zoneTilt[h] ?? 0) + 10 * (all[h] ?? 0)) / (sum(zoneTilt) + 10));
    const smooth = (of: (hour: number) => number, at: number): number =>
      sum(
        hours.map((h) => {
          const apart = Math.min(Math.abs(h - at), TILT_SLOTS - Math.abs(h - at));
          return apart > 6 ? 0 : Math.exp(-(apart * apart) / 8) * of(h);
        }),
      );
    const rough = hours.map(
      (h) => ((zone[h] ?? 0) * smooth((i) => (tilt[i] ?? 0) + 3 * (zone[i] ?? 0), h)) / smooth((i) => zone[i] ?? 0, h),
    );
    for (const h of hours) {
      const near = ((tilt[(h + 23) % 24] ?? 0) + 2 * (tilt[h] ?? 0) + (tilt[(h + 1) % 24] ?? 0)) / 4;
      const person = (near + (20 * (rough[h] ?? 0)) / sum(rough)) / (sum(tilt) + 20);
      expect(factors[h]).toBeCloseTo(person / (all[h] ?? 0), 6);
    }
  });

  it('tiltFactors: one response raises the part of the day, around midnight as well; forty alike name the hour', () => {
    const week = new Float64Array(WEEK_SLOTS).fill(1);
    const tilt = new Uint16Array(TILT_SLOTS);
    tilt[0] = 1;
    tiltFactors(week, 0, new Float64Array(TILT_SLOTS), 0, tilt, 0, factors);
    for (const [near, far] of [
      [0, 3],
      [23, 21],
      [22, 12],
      [2, 5],
    ] as const) {
      expect(factors[near]).toBeGreaterThan(factors[far] ?? Number.NaN);
    }
    expect(factors[1]).toBeCloseTo(factors[23] ?? Number.NaN, 9);
    tilt[0] = 40;
    tiltFactors(week, 0, new Float64Array(TILT_SLOTS), 0, tilt, 0, factors);
    expect((factors[0] ?? 0) / (factors[2] ?? 1)).toBeGreaterThan(3);
  });

  it('tiltFactors: an hour in which nobody ever responds stays at factor 1, and none is NaN', () => {
    const week = Float64Array.from({ length: WEEK_SLOTS }, (_, i) => (i % TILT_SLOTS < 8 ? 0 : 1));
    tiltFactors(week, 0, new Float64Array(TILT_SLOTS), 0, new Uint16Array(TILT_SLOTS), 0, factors);
    expect(Array.from(factors.subarray(0, 8))).toEqual(new Array(8).fill(1));
    for (const factor of factors) expect(Number.isFinite(factor)).toBe(true);
  });
});
