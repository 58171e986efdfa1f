import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitScale, scaled } from '../../../decision/batch/person-table.ts';
import { fitRfmCuts, rfmRow, rfmScore } from '../../../decision/batch/rfm.ts';

describe('rfmRow', () => {
  it('rfmRow: days as they are, purchases and money as logarithms, nothing below 0', () => {
    const out = new Float64Array(3);
    rfmRow(30, 2, 0, out);
    expect(out[0]).toBe(30);
    expect(out[1]).toBeCloseTo(Math.log(3), 14);
    expect(out[2]).toBe(0);
    rfmRow(-1, -5, -1, out);
    expect([...out]).toEqual([0, 0, 0]);
    rfmRow(Number.NaN, 1, 1, out);
    const rows = { values: Float64Array.of(1, 2, 3, 4, 5, 7), width: 3 };
    expect([...scaled(rows, fitScale(rows)).values].every(Number.isFinite)).toBe(true);
  });
});

describe('rfmScore', () => {
  it('rfmScore: fifths of a hundred different people, the latest best', () => {
    const people = Array.from({ length: 100 }, (_, i) => [i + 1, i + 1, 10 * (i + 1)] as const);
    const cuts = fitRfmCuts({ values: Float64Array.from(people.flat()), width: 3 });
    expect(cuts.map((fifths) => [...fifths])).toEqual([
      [20, 40, 60, 80],
      [20, 40, 60, 80],
      [200, 400, 600, 800],
    ]);
    const counts = new Map<number, number>();
    for (const [days, purchases, money] of people) {
      const score = rfmScore(cuts, days, purchases, money);
      counts.set(score, (counts.get(score) ?? 0) + 1);
    }
    expect(Object.fromEntries(counts)).toEqual({ 511: 20, 422: 20, 333: 20, 244: 20, 155: 20 });
  });

  it('rfmScore: equal people score alike, what is not known is 0, nobody leaves cuts of 0', () => {
    const equal = fitRfmCuts({ values: new Float64Array(30).fill(7), width: 3 });
    expect(rfmScore(equal, 7, 7, 7)).toBe(511);
    expect(rfmScore(equal, Number.NaN, 8, Number.NaN)).toBe(50);
    const none = fitRfmCuts({ values: new Float64Array(0), width: 3 });
    expect(rfmScore(none, 1, 1, 0)).toBe(151);
    expect(() => fitRfmCuts({ values: new Float64Array(4), width: 2 })).toThrow(/width 2/);
  });

  it('rfmScore: more and later is never scored worse, for any people and values', () => {
    const value = fc.double({ min: -1e100, max: 1e100, noNaN: true });
    const people = fc.array(fc.tuple(value, value, value), { maxLength: 20 });
    fc.assert(
      fc.property(people, value, value, fc.double({ min: 0, max: 1e99, noNaN: true }), (rows, a, b, more) => {
        const cuts = fitRfmCuts({ values: Float64Array.from(rows.flat()), width: 3 });
        const score = rfmScore(cuts, a, b, b);
        expect([...String(score)].every((digit) => digit >= '1' && digit <= '5')).toBe(true);
        expect(rfmScore(cuts, a - more, b + more, b)).toBeGreaterThanOrEqual(score);
      }),
    );
  });
});
