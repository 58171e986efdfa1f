import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DEVIATIONS_UNUSUAL,
  deviationsOf,
  type UsualRate,
  unusualScore,
  usualCount,
  usualRate,
} from '../../../decision/batch/unusual-rates.ts';

const counted = (counts: readonly number[]): Map<number, number> => {
  const people = new Map<number, number>();
  for (const count of counts) people.set(count, (people.get(count) ?? 0) + 1);
  return people;
};
/** Of 99 people as many with each count from 1 to 9. */
const NINE = Array.from({ length: 99 }, (_, n) => 1 + (n % 9));

describe('unusual rates', () => {
  it('middle and deviation are the median and the scaled median distance of ln(1 + count)', () => {
    const rate = usualRate(counted(NINE)) as UsualRate;
    expect(usualCount(counted(NINE))).toBe(5);
    expect(rate.middle).toBeCloseTo(Math.log(6), 12);
    const distances = NINE.map((count) => Math.abs(Math.log(1 + count) - Math.log(6))).sort((a, b) => a - b);
    expect(rate.deviation).toBeCloseTo(1.4826 * (distances[49] as number), 12);
    expect(deviationsOf(5, rate)).toBe(0);
    expect(deviationsOf(9, rate)).toBeLessThan(DEVIATIONS_UNUSUAL);
    expect(deviationsOf(400, rate)).toBeGreaterThan(DEVIATIONS_UNUSUAL);
    expect(deviationsOf(1, rate)).toBeLessThan(0);
  });

  it('where all do the same, thrice that is no wonder and ten times is; of few people nothing is said', () => {
    const rate = usualRate(counted(Array.from({ length: 50 }, () => 4))) as UsualRate;
    expect(deviationsOf(12, rate)).toBeLessThan(DEVIATIONS_UNUSUAL);
    expect(deviationsOf(40, rate)).toBeGreaterThan(DEVIATIONS_UNUSUAL);
    expect(usualRate(counted(Array.from({ length: 49 }, () => 4)))).toBeNull();
    expect(usualRate(new Map())).toBeNull();
  });

  it('a fifth of floods does not make a flood usual', () => {
    const rate = usualRate(counted([...NINE, ...Array.from({ length: 24 }, () => 5_000)])) as UsualRate;
    expect(deviationsOf(5_000, rate)).toBeGreaterThan(DEVIATIONS_UNUSUAL);
    expect(deviationsOf(9, rate)).toBeLessThan(DEVIATIONS_UNUSUAL);
  });

  it('more is never less unusual, and a score is at least its worst reason', () => {
    const counts = fc.array(fc.integer({ min: 1, max: 10_000 }), { minLength: 50, maxLength: 200 });
    fc.assert(
      fc.property(counts, fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 0, max: 1e6 }), (all, a, b) => {
        const rate = usualRate(counted(all)) as UsualRate;
        const [less, more] = a < b ? [a, b] : [b, a];
        expect(deviationsOf(less, rate)).toBeLessThanOrEqual(deviationsOf(more, rate));
        expect(Number.isFinite(deviationsOf(more, rate))).toBe(true);
      }),
    );
    expect(unusualScore([])).toBe(0);
    expect(unusualScore([4])).toBe(4);
    expect(unusualScore([3, 4])).toBe(5);
  });
});
