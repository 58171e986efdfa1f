/** SquareCB by its own formula, by sums that must be exact, by frequency, and at the ends of its arguments. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseByGap, gapProbabilities } from '../../decision/inverse-gap.ts';
import { drawUniform } from '../../decision/random.ts';

function probabilitiesOf(scores: readonly number[], places: number, gamma: number, range: number): number[] {
  const out = new Float64Array(scores.length);
  gapProbabilities(scores.length, Float64Array.from(scores), places, gamma, range, out);
  return [...out];
}

const scores = fc.array(
  fc.oneof(fc.double({ min: -1e300, max: 1e300, noNaN: true }), fc.integer({ min: -3, max: 3 }), fc.constant(0)),
  { minLength: 1, maxLength: 40 },
);
const gamma = fc.oneof(fc.double({ min: 0, max: 1e9, noNaN: true }), fc.constantFrom(0, Number.POSITIVE_INFINITY));

describe('inverse-gap weighting', () => {
  it('gapProbabilities: one place follows the formula of the paper', () => {
    const [a, b, c] = probabilitiesOf([3, 10, 8], 1, 4, 10);
    expect(a).toBeCloseTo(1 / (3 + 4 * 0.7), 15);
    expect(c).toBeCloseTo(1 / (3 + 4 * 0.2), 15);
    expect(b).toBeCloseTo(1 - (a ?? 0) - (c ?? 0), 15);
  });

  it('gapProbabilities: of k places k - 1 are certain and the rest compete for the last', () => {
    const [first, second, third, fourth] = probabilitiesOf([9, 7, 6, 2], 2, 3, 5);
    expect(first).toBe(1);
    expect(third).toBeCloseTo(1 / (3 + 3 * 0.2), 15);
    expect(fourth).toBeCloseTo(1 / (3 + 3), 15);
    expect(second).toBeCloseTo(1 - (third ?? 0) - (fourth ?? 0), 15);
  });

  it('gapProbabilities: gamma 0 is uniform, Infinity greedy, equal scores share as without a gap', () => {
    expect(probabilitiesOf([1, 2, 3, 4], 1, 0, 1)).toEqual([0.25, 0.25, 0.25, 0.25]);
    expect(probabilitiesOf([1, 2, 3, 4], 1, Number.POSITIVE_INFINITY, 1)).toEqual([0, 0, 0, 1]);
    expect(probabilitiesOf([2, 2], 1, Number.POSITIVE_INFINITY, 0)).toEqual([0.5, 0.5]);
    expect(probabilitiesOf([-5], 1, 3, 1)).toEqual([1]);
    expect(probabilitiesOf([-5, 1], 2, 3, 1)).toEqual([1, 1]);
    expect(probabilitiesOf([], 1, 3, 1)).toEqual([]);
  });

  it('gapProbabilities: any scores, places, gamma and range give probabilities that sum to the places', () => {
    fc.assert(
      fc.property(
        scores,
        fc.integer({ min: 1, max: 32 }),
        gamma,
        fc.double({ min: -1, max: 1e12 }),
        (list, k, g, range) => {
          const all = probabilitiesOf(list, k, g, range);
          expect(all.every((p) => p >= 0 && p <= 1)).toBe(true);
          expect(all.reduce((a, b) => a + b, 0)).toBeCloseTo(Math.min(k, list.length), 9);
          // A better score is never less likely.
          const byScore = list.map((score, i) => ({ score, p: all[i] ?? 0 })).toSorted((x, y) => y.score - x.score);
          expect(
            byScore.every(
              ({ score, p }, i) => i === 0 || score === byScore[i - 1]?.score || p <= (byScore[i - 1]?.p ?? 0) + 1e-12,
            ),
          ).toBe(true);
        },
      ),
      { numRuns: 200, seed: 1 },
    );
  });

  it.each([
    [5, 1],
    [5, 3],
    [12, 4],
  ])('chooseByGap: of %d for %d places each comes as often as it should', (n, places) => {
    const list = Float64Array.from({ length: n }, (_, i) => drawUniform(4, 4, i, 1));
    const probabilities = new Float64Array(n);
    gapProbabilities(n, list, places, 8, 1, probabilities);
    const chosen = new Uint32Array(32);
    const counts = new Float64Array(n);
    const rounds = 20_000;
    for (let round = 0; round < rounds; round += 1) {
      const given = chooseByGap(n, list, places, probabilities, drawUniform(round, 9, 0, 1), chosen);
      for (const i of chosen.subarray(0, given)) counts[i] = (counts[i] as number) + 1; // i < n
    }
    probabilities.forEach((p, i) => {
      // Four standard deviations of a share.
      expect(Math.abs((counts[i] as number) / rounds - p)).toBeLessThanOrEqual(4 * Math.sqrt((p * (1 - p)) / rounds));
    });
  });

  it('chooseByGap: gives no candidate twice, and the certain ones best first', () => {
    fc.assert(
      fc.property(
        scores,
        fc.integer({ min: 1, max: 32 }),
        fc.double({ min: 1e-16, max: 1 - 1e-16, noNaN: true }),
        (list, k, u) => {
          const values = Float64Array.from(list);
          const out = new Float64Array(list.length);
          gapProbabilities(list.length, values, k, 5, 1, out);
          const chosen = new Uint32Array(32);
          const given = chooseByGap(list.length, values, k, out, u, chosen);
          const picked = [...chosen.subarray(0, given)];
          expect(new Set(picked).size).toBe(Math.min(k, list.length));
          for (let at = 1; at < picked.length - 1; at += 1) {
            expect(list[picked[at] as number]).toBeLessThanOrEqual(list[picked[at - 1] as number] as number); // picked is inside
          }
        },
      ),
      { numRuns: 300, seed: 2 },
    );
  });
});
