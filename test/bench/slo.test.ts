import { describe, expect, it } from 'vitest';
import { metricPercentile, parseSlo } from '../../bench/slo.ts';

describe('parseSlo', () => {
  it.each([
    ['p99=1ms', 'p99', 1000],
    ['p50=250us', 'p50', 250],
    ['p50=250µs', 'p50', 250],
    ['p99.9=0.5ms', 'p99.9', 500],
    ['max=2s', 'max', 2_000_000],
    ['max=600s', 'max', 600_000_000],
    ['p90 = .5 ms', 'p90', 500],
    ['errors=0.1%', 'errors', 0.001],
    ['errors=0%', 'errors', 0],
    ['errors=100%', 'errors', 1],
  ])('slo: %s is read as %s %d', (text, metric, bound) => {
    expect(parseSlo(text)).toMatchObject({ metric, bound: expect.closeTo(bound, 9) });
  });

  it.each([
    ['p98=1ms', 'one of p50'],
    ['=1ms', 'one of p50'],
    ['', 'one of p50'],
    ['p99', 'write p99=1ms'],
    ['p99=', 'write p99=1ms'],
    ['p99=1', 'write p99=1ms'],
    ['p99=1m', 'write p99=1ms'],
    ['p99=-1ms', 'write p99=1ms'],
    ['p99=NaNms', 'write p99=1ms'],
    ['p99=1%', 'write p99=1ms'],
    ['errors=1ms', 'write errors=0.1%'],
    ['p99=0ms', 'above 0'],
    ['max=601s', 'at most 600s'],
    ['errors=101%', 'at most 100%'],
  ])('slo: %s is refused and the right form named', (text, part) => {
    expect(parseSlo(text)).toEqual(expect.stringContaining(part));
  });

  it('slo: metrics name their percentile, errors none', () => {
    expect(['p50', 'p99.9', 'max', 'errors'].map((name) => metricPercentile(name as 'p50'))).toEqual([
      50,
      99.9,
      100,
      null,
    ]);
  });
});
