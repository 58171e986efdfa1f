/** Wilson's interval against published values, its bounds, and how often it holds the truth. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shareInterval } from '../../../decision/batch/share-interval.ts';

describe('share interval', () => {
  // R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Stat. Med. 17 (1998), table I, method 3.
  it.each([
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
  ])('share interval: %d of %d', (hits, trials, low, high) => {
    expect(shareInterval(hits, trials).low).toBeCloseTo(low, 4);
    expect(shareInterval(hits, trials).high).toBeCloseTo(high, 4);
  });

  it('share interval: nothing is known of nobody', () => {
    expect(shareInterval(0, 0)).toEqual({ low: 0, high: 1 });
  });

  it('share interval: lies in [0, 1], around the share, and is symmetric', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000 }), fc.double({ min: 0, max: 1, noNaN: true }), (trials, part) => {
        const hits = Math.round(part * trials);
        const { low, high } = shareInterval(hits, trials);
        const other = shareInterval(trials - hits, trials);
        expect(low).toBeGreaterThanOrEqual(0);
        expect(high).toBeLessThanOrEqual(1);
        expect(low).toBeLessThanOrEqual(hits / trials);
        expect(high).toBeGreaterThanOrEqual(hits / trials);
        expect(other.low).toBeCloseTo(1 - high, 9);
      }),
    );
  });

  it('share interval: holds the true share about 95 times in 100, by exact count', () => {
    const trials = 60;
    const share = 0.2;
    let held = 0;
    let chance = (1 - share) ** trials;
    for (let hits = 0; hits <= trials; hits++) {
      const { low, high } = shareInterval(hits, trials);
      if (low <= share && share <= high) held += chance;
      chance *= ((trials - hits) / (hits + 1)) * (share / (1 - share));
    }
    expect(held).toBeGreaterThan(0.93);
    expect(held).toBeLessThan(0.97);
  });
});
