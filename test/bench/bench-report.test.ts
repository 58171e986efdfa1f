import { describe, expect, it } from 'vitest';
import { bytes, count, duration, progressLine } from '../../bench/bench-report.ts';

describe('bench report', () => {
  it.each([
    [0, '0 µs'],
    [87.4, '87 µs'],
    [999.4, '999 µs'],
    [999.6, '1.00 ms'],
    [1250, '1.25 ms'],
    [99_600, '100 ms'],
    [999_400, '999 ms'],
    [2_100_000, '2.10 s'],
  ])('duration: %d µs is written %s', (micros, text) => {
    expect(duration(micros)).toBe(text);
  });

  it('count and bytes: thousands are set apart, units chosen', () => {
    expect([0, 999, 1000, 1_234_567].map(count)).toEqual(['0', '999', '1,000', '1,234,567']);
    expect([9999, 10_000, 12_345_678].map(bytes)).toEqual(['9,999 B', '10.0 kB', '12.3 MB']);
  });

  it('progress: one line with rate, percentiles and failures', () => {
    const progress = { elapsedMillis: 3000, answered: 12_345, failed: 2, inFlight: 7, p50Micros: 80, p99Micros: 1200 };
    expect(progressLine('open', progress)).toBe('open  3 s  12,345/s  p50 80 µs  p99 1.20 ms  7 in flight  2 failed');
  });
});
