/**
 * The quadrature against a dense midpoint rule written apart (own loop, accurate Phi), against the closed
 * form of two candidates at any ratio of deviations, and against sums that must be exact.
 */
import { describe, expect, it } from 'vitest';
import { normalCdf } from '../../decision/normal.ts';
import { SLATE_MAX, topProbability } from '../../decision/propensity.ts';
import { drawNormal, drawUniform } from '../../decision/random.ts';

/** P(c among the k best) by 20,000 midpoints over +-8 deviations; deviations must not differ too much. */
function plain(means: Float64Array, deviations: Float64Array, chosen: number, places: number): number {
  const n = means.length;
  const [mean, deviation] = [means[chosen], deviations[chosen]] as [number, number]; // chosen < n
  const step = 16 / 20_000;
  let sum = 0;
  for (let z = -8 + step / 2; z < 8; z += step) {
    const tally = new Float64Array(places + 1);
    tally[0] = 1;
    for (let j = 0; j < n; j += 1) {
      if (j === chosen) continue;
      const above = 1 - normalCdf((mean + deviation * z - (means[j] as number)) / (deviations[j] as number)); // j < n
      for (let i = places; i > 0; i -= 1) {
        tally[i] = (tally[i] as number) * (1 - above) + (tally[i - 1] as number) * above; // i <= places
      }
      tally[0] *= 1 - above;
    }
    const fewer = tally.subarray(0, places).reduce((a, b) => a + b, 0);
    sum += fewer * Math.exp(-0.5 * z * z) * step;
  }
  return sum / Math.sqrt(2 * Math.PI);
}

function field(seed: number, n: number, spread: number): [Float64Array, Float64Array] {
  const means = Float64Array.from({ length: n }, (_, i) => 2 * drawNormal(seed, 3, i, 1));
  const deviations = Float64Array.from({ length: n }, (_, i) => spread ** (2 * drawUniform(seed, 4, i, 1) - 1));
  return [means, deviations];
}

function sumOf(means: Float64Array, deviations: Float64Array, places: number): number {
  let sum = 0;
  for (let i = 0; i < means.length; i += 1) sum += topProbability(means.length, means, deviations, i, places);
  return sum;
}

describe('propensity', () => {
  it.each([
    [1, 1],
    [1, 5],
    [1, 30],
    [2, 5],
    [5, 5],
  ])('topProbability: agrees with the plain rule for %d places, deviations spread %d-fold', (places, spread) => {
    for (let seed = 0; seed < 12; seed += 1) {
      const n = places + 1 + (seed % 11);
      const [means, deviations] = field(seed, n, spread);
      for (const chosen of [0, n - 1]) {
        const expected = plain(means, deviations, chosen, places);
        const actual = topProbability(n, means, deviations, chosen, places);
        expect(Math.abs(actual - expected)).toBeLessThan(5e-6);
        if (expected > 1e-5) expect(Math.abs(actual / expected - 1)).toBeLessThan(1.3e-4);
      }
    }
  });

  it('topProbability: two candidates meet the closed form whatever the ratio of their deviations', () => {
    const means = new Float64Array(2);
    const deviations = Float64Array.of(1, 1);
    for (let seed = 0; seed < 5000; seed += 1) {
      deviations[1] = Math.exp(40 * (drawUniform(seed, 9, 1, 1) - 0.5));
      means[1] = 3 * drawNormal(seed, 9, 0, 1) * Math.max(1, deviations[1] as number); // just written
      const scale = Math.hypot(1, deviations[1] as number); // just written
      for (const chosen of [0, 1]) {
        const gap = (means[chosen] as number) - (means[1 - chosen] as number); // of two
        const expected = normalCdf(gap / scale);
        const actual = topProbability(2, means, deviations, chosen, 1);
        expect(Math.abs(actual - expected)).toBeLessThan(1e-6);
        if (expected > 1e-4) expect(Math.abs(actual / expected - 1)).toBeLessThan(1.3e-4);
      }
    }
  });

  it.each([2, 5, 10, 20, 50, 300, 2500])(
    'topProbability: %d equal candidates share evenly, for one place and for several',
    (n) => {
      const means = new Float64Array(n).fill(7);
      const deviations = new Float64Array(n).fill(0.3);
      for (const places of [1, 2, 5, SLATE_MAX]) {
        const expected = Math.min(1, places / n);
        expect(Math.abs(topProbability(n, means, deviations, n - 1, places) / expected - 1)).toBeLessThan(1.3e-4);
      }
    },
  );

  it('topProbability: all candidates sum to the number of places within 1e-5', () => {
    for (const [n, spread, places] of [
      [2, 1, 1],
      [10, 100, 1],
      [50, 3, 1],
      [12, 3, 4],
      [40, 20, 7],
    ] as const) {
      const [means, deviations] = field(n, n, spread);
      expect(Math.abs(sumOf(means, deviations, places) - places)).toBeLessThan(1e-5);
    }
  });

  it('topProbability: points among continuous scores: sums, order and ties', () => {
    for (const places of [1, 2, 3]) {
      const means = Float64Array.of(1, 2, 2, 0, 1.5, -3, 2);
      const deviations = Float64Array.of(1, 0, 0, 3, 0.2, 0, 0);
      expect(Math.abs(sumOf(means, deviations, places) - places)).toBeLessThan(1e-5);
      // Of equal points the lower index is better; a point below three others never is among three.
      expect(topProbability(7, means, deviations, 1, places)).toBeGreaterThan(0);
      expect(topProbability(7, means, deviations, 2, places) > 0).toBe(places > 1);
      expect(topProbability(7, means, deviations, 6, places) > 0).toBe(places > 2);
      expect(topProbability(7, means, deviations, 5, places)).toBe(0);
    }
    // Against one point the probability is a normal tail.
    const actual = topProbability(2, Float64Array.of(0, 0.5), Float64Array.of(1, 0), 0, 1);
    expect(actual).toBeCloseTo(1 - normalCdf(0.5), 8);
    expect(topProbability(2, Float64Array.of(0, 0.5), Float64Array.of(1, 0), 1, 1)).toBeCloseTo(normalCdf(0.5), 7);
  });

  it('topProbability: points only: the best win, exactly', () => {
    const means = Float64Array.of(3, 5, 5, 1);
    const deviations = new Float64Array(4);
    const wins = (places: number): number[] => [0, 1, 2, 3].map((i) => topProbability(4, means, deviations, i, places));
    expect(wins(1)).toEqual([0, 1, 0, 0]);
    expect(wins(2)).toEqual([0, 1, 1, 0]);
    expect(wins(3)).toEqual([1, 1, 1, 0]);
    expect(wins(4)).toEqual([1, 1, 1, 1]);
  });

  it('topProbability: 1 when there is room for all, 0 far below, 1 far above, at any scale', () => {
    expect(topProbability(1, Float64Array.of(-1e9), Float64Array.of(1), 0, 1)).toBe(1);
    expect(topProbability(3, Float64Array.of(1, 2, 3), Float64Array.of(1, 1, 1), 0, 3)).toBe(1);
    for (const scale of [1e-9, 1, 1e12]) {
      const means = Float64Array.of(0, 100 * scale, -100 * scale);
      const deviations = Float64Array.of(scale, scale, scale);
      expect(topProbability(3, means, deviations, 0, 1)).toBe(0);
      expect(topProbability(3, means, deviations, 1, 1)).toBe(1);
      expect(topProbability(3, means, deviations, 0, 2)).toBe(1);
      expect(topProbability(3, means, deviations, 2, 2)).toBe(0);
    }
  });

  it('topProbability: does not depend on the order of the rivals beyond rounding, nor on earlier calls', () => {
    const [means, deviations] = field(5, 30, 4);
    const before = topProbability(30, means, deviations, 3, 2);
    topProbability(300, new Float64Array(300), new Float64Array(300).fill(1), 7, 3);
    expect(topProbability(30, means, deviations, 3, 2)).toBe(before);
    const reversed = topProbability(30, means.toReversed(), deviations.toReversed(), 26, 2);
    expect(reversed).toBeCloseTo(before, 12);
  });
});
