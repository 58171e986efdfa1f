import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { learnTraffic, quotesPerHour, TRAFFIC_SLOTS } from '../../decision/quote-traffic.ts';

const HOUR = 3_600_000;
const NOW = Date.UTC(2027, 2, 1);

/** Quotes at a steady rate for so many hours up to now. */
function steady(perHour: number, hours: number): Float64Array {
  const state = new Float64Array(TRAFFIC_SLOTS);
  const count = perHour * hours;
  for (let i = 0; i < count; i++) learnTraffic(state, 0, NOW - ((i + 0.5) / perHour) * HOUR);
  return state;
}

describe('quotesPerHour', () => {
  it.each([
    [1, 200],
    [10, 24],
    [10, 2000],
    [200, 3],
    [0.5, 5000],
  ])('quotesPerHour: within 2 per cent and the prior when %d an hour came for %d hours', (perHour, hours) => {
    const rate = quotesPerHour(steady(perHour, hours), 0, NOW);
    // The prior is worth one hour in those that have not faded: at most 336.
    const kept = 336 * (1 - Math.exp(-hours / 336));
    const expected = (perHour * kept + 1) / (kept + 1);
    expect(Math.abs(rate / expected - 1)).toBeLessThan(0.02);
  });

  it('quotesPerHour: follows a change within some weeks, and fades when nobody comes any more', () => {
    const state = steady(10, 1000);
    const later = NOW + 42 * 24 * HOUR;
    for (let i = 0; i < 42 * 24 * 2; i++) learnTraffic(state, 0, NOW + ((i + 0.5) / 2) * HOUR);
    const rate = quotesPerHour(state, 0, later);
    expect(rate).toBeGreaterThan(1.9);
    expect(rate).toBeLessThan(2.6);
    expect(quotesPerHour(steady(10, 1000), 0, NOW + 365 * 24 * HOUR)).toBeLessThan(0.01);
  });

  it('quotesPerHour: the same when two shards learnt halves and their sums are added', () => {
    const [all, one, two] = [0, 1, 2].map(() => new Float64Array(TRAFFIC_SLOTS)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    for (let i = 0; i < 100; i++) {
      const at = NOW - i * 777_777;
      learnTraffic(all, 0, at);
      learnTraffic(i % 3 === 0 ? one : two, 0, at);
    }
    const sum = one.map((value, i) => value + (two[i] as number));
    expect(quotesPerHour(sum, 0, NOW)).toBeCloseTo(quotesPerHour(all, 0, NOW), 6);
  });

  it('quotesPerHour: one an hour before any evidence', () => {
    expect(quotesPerHour(new Float64Array(TRAFFIC_SLOTS), 0, NOW)).toBe(1);
  });

  it('quotesPerHour: positive and finite when instants are hostile and clocks go back', () => {
    const instant = fc.oneof(
      fc.double(),
      fc.integer({ min: 0, max: 4e12 }),
      fc.constantFrom(0, 8.64e15, -8.64e15, 1e300, Number.NaN, Infinity),
    );
    fc.assert(
      fc.property(fc.array(instant, { maxLength: 20 }), instant, (instants, now) => {
        const state = new Float64Array(TRAFFIC_SLOTS);
        for (const at of instants) learnTraffic(state, 0, at);
        const rate = quotesPerHour(state, 0, now);
        expect(Number.isFinite(rate)).toBe(true);
        expect(rate).toBeGreaterThan(0);
      }),
      { numRuns: 1000 },
    );
  });
});
