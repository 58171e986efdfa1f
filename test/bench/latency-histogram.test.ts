import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  LATENCY_MICROS_MAX,
  LatencyHistogram,
  mergeHistograms,
  prepareHistograms,
} from '../../bench/latency-histogram.ts';

beforeAll(async () => {
  await prepareHistograms();
});

function filled(values: readonly number[]): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

/** Nearest rank: the smallest value that at least `percentile` % of the values do not exceed. */
function nearestRank(values: readonly number[], percentile: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percentile / 100) * sorted.length) - 1)] ?? 0;
}

describe('LatencyHistogram', () => {
  it('histogram: percentiles agree with a sorted array to three digits', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 50_000_000 }), { minLength: 1, maxLength: 400 }),
        fc.constantFrom(50, 90, 99, 99.9),
        (values, percentile) => {
          const histogram = filled(values);
          const exact = nearestRank(values, percentile);
          // Buckets are 1/1024 wide, and report their upper edge.
          expect(Math.abs(histogram.percentile(percentile) - exact)).toBeLessThanOrEqual(exact / 1000 + 1);
          histogram.destroy();
        },
      ),
    );
  });

  it('histogram: count, minimum, maximum and mean are exact', () => {
    const histogram = filled([1.25, 100_001.5, 37.25]);
    expect(histogram.count).toBe(3);
    expect(histogram.minMicros).toBe(1.25);
    expect(histogram.maxMicros).toBe(100_001.5);
    expect(histogram.meanMicros).toBeCloseTo(100_040 / 3, 9);
    expect(histogram.percentile(100)).toBeLessThanOrEqual(100_001.5);
  });

  it('histogram: everything is 0 when empty', () => {
    const empty = new LatencyHistogram();
    expect([empty.count, empty.minMicros, empty.maxMicros, empty.meanMicros, empty.percentile(99)]).toEqual([
      0, 0, 0, 0, 0,
    ]);
    expect(mergeHistograms([empty.encode()]).count).toBe(0);
  });

  it('histogram: negative and overlong values are held to the range', () => {
    const histogram = filled([-5, LATENCY_MICROS_MAX, LATENCY_MICROS_MAX + 1, Number.POSITIVE_INFINITY]);
    expect(histogram.count).toBe(4);
    expect(histogram.minMicros).toBe(0);
    expect(histogram.maxMicros).toBe(LATENCY_MICROS_MAX);
  });

  it('histogram: merged encodings equal one histogram of all values', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 10_000_000 }), { maxLength: 200 }),
        fc.array(fc.integer({ min: 0, max: 10_000_000 }), { maxLength: 200 }),
        (left, right) => {
          const merged = mergeHistograms([filled(left).encode(), filled(right).encode()]);
          const whole = filled([...left, ...right]);
          expect(merged.count).toBe(whole.count);
          expect(merged.maxMicros).toBe(whole.maxMicros);
          expect(merged.minMicros).toBe(whole.minMicros);
          for (const p of [50, 90, 99, 99.9]) expect(merged.percentile(p)).toBe(whole.percentile(p));
        },
      ),
      { numRuns: 30 },
    );
  });

  it('histogram: the percentile table ascends to the maximum, in milliseconds', () => {
    const table = filled(Array.from({ length: 10_000 }, (_, i) => 50 + i)).percentileTable();
    const rows = table.split('\n').flatMap((line) => (/^ *\d/.test(line) ? [line.trim().split(/ +/).map(Number)] : []));
    expect(rows.length).toBeGreaterThan(50);
    for (let i = 1; i < rows.length; i += 1) {
      expect(rows[i]?.[0]).toBeGreaterThanOrEqual(rows[i - 1]?.[0] ?? Number.NaN);
      expect(rows[i]?.[1]).toBeGreaterThan(rows[i - 1]?.[1] ?? Number.NaN);
    }
    expect(rows.at(-1)?.slice(0, 3)).toEqual([10.049, 1, 10_000]);
    expect(rows.find((row) => row[1] === 0.5)?.[0]).toBeCloseTo(5.05, 1);
    expect(new LatencyHistogram().percentileTable()).toContain('Total count    =            0');
  });

  it('histogram: reset forgets, and the percentile table has the plotter’s columns', () => {
    const histogram = filled([10, 20]);
    expect(histogram.percentileTable()).toMatch(/Value\s+Percentile\s+TotalCount/);
    histogram.reset();
    expect(histogram.count).toBe(0);
    histogram.record(7);
    expect(histogram.percentile(50)).toBe(7);
  });
});
