import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rfmScores } from '../../decision/rfm.ts';

const doubles = (...values: number[]): Float64Array => Float64Array.from(values);

describe('rfmScores', () => {
  it('scores: ten different values fall into fifths, and the shortest silence is best', () => {
    const values = Float64Array.from({ length: 10 }, (_, i) => i);
    const { recency, frequency, monetary } = rfmScores(values, values, values.slice().reverse());
    expect([...recency]).toEqual([5, 5, 4, 4, 3, 3, 2, 2, 1, 1]);
    expect([...frequency]).toEqual([1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    expect([...monetary]).toEqual([5, 5, 4, 4, 3, 3, 2, 2, 1, 1]);
  });

  it('scores: nobody, one person and equal people are in the middle', () => {
    expect(rfmScores(doubles(), doubles(), doubles()).recency).toHaveLength(0);
    expect([...rfmScores(doubles(3), doubles(1), doubles(0)).frequency]).toEqual([3]);
    expect([...rfmScores(doubles(1, 1, 1), doubles(2, 2, 2), doubles(0, -0, 0)).monetary]).toEqual([3, 3, 3]);
  });

  it('scores: those who share a value share its score', () => {
    const counts = doubles(1, 1, 1, 1, 1, 1, 2, 2, 3, 9);
    expect([...rfmScores(counts, counts, counts).frequency]).toEqual([2, 2, 2, 2, 2, 2, 4, 4, 5, 5]);
  });

  it('scores: 1 to 5, in the order of the values, whatever they are', () => {
    const finite = fc.double({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(fc.array(fc.tuple(finite, finite)), (people) => {
        const silences = Float64Array.from(people, ([a]) => a);
        const spends = Float64Array.from(people, ([, b]) => b);
        const { recency, monetary } = rfmScores(silences, spends, spends);
        expect([...recency, ...monetary].every((score) => score >= 1 && score <= 5)).toBe(true);
        for (const [i, [silence, spend]] of people.entries()) {
          for (const [j, [otherSilence, otherSpend]] of people.entries()) {
            if (spend <= otherSpend) expect(monetary[i]).toBeLessThanOrEqual(monetary[j] ?? 0);
            if (silence <= otherSilence) expect(recency[i]).toBeGreaterThanOrEqual(recency[j] ?? 9);
          }
        }
      }),
    );
  });

  it('scores: refuse what is no number, and columns of different length, by name', () => {
    expect(() => rfmScores(doubles(1, 2), doubles(1, Number.NaN), doubles(1, 2))).toThrow(/purchaseCounts\[1\] is NaN/);
    expect(() => rfmScores(doubles(1), doubles(1), doubles(1, 2))).toThrow(/spends: 2 values for 1 silences/);
  });
});
