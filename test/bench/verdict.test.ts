import { describe, expect, it } from 'vitest';
import { mergeResults } from '../../bench/load-tally.ts';
import { parseSlo, type Slo } from '../../bench/slo.ts';
import { EXIT, errorShare, exitCodeOf, judge, judgeAll } from '../../bench/verdict.ts';
import { FIT, histogramOf, loadResult } from './load-result-fixture.ts';

function slos(...texts: readonly string[]): readonly Slo[] {
  return texts.map((text) => {
    const slo = parseSlo(text);
    if (typeof slo === 'string') throw new Error(slo);
    return slo;
  });
}

describe('judge', () => {
  it('verdict: measured when nothing was promised', () => {
    expect(judge(loadResult(), []).kind).toBe('MEASURED');
  });

  it('verdict: passed when every bound holds, the bound itself included', () => {
    const exact = loadResult({ latency: histogramOf([1000]) });
    expect(judge(exact, slos('p99=1ms', 'max=1ms', 'errors=0%')).kind).toBe('PASSED');
  });

  it('verdict: failed by the server when a fit generator saw it late', () => {
    const verdict = judge(loadResult(), slos('p50=2ms', 'p99=1ms'));
    expect(verdict.kind).toBe('SLO_FAILED');
    expect(verdict.reasons).toHaveLength(1);
    expect(verdict.reasons[0]).toMatch(/^p99 1\.0\d+ ms, objective 1\.000 ms$/);
  });

  it('verdict: the generator is blamed when its own lateness explains the excess', () => {
    const generator = { ...FIT, sendSlip: histogramOf([300]), turn: histogramOf([100]) };
    const verdict = judge(loadResult({ generator }), slos('p99=1ms'));
    expect(verdict.kind).toBe('GENERATOR_SATURATED');
    expect(verdict.reasons[0]).toContain('the generator alone was 0.400 ms late');
  });

  it('verdict: a server late by more than the generator’s lateness still fails', () => {
    const generator = { ...FIT, sendSlip: histogramOf([300]), turn: histogramOf([100]) };
    const late = loadResult({ generator, latency: histogramOf([5000]) });
    expect(judge(late, slos('p99=1ms')).kind).toBe('SLO_FAILED');
  });

  it('verdict: a bound met in spite of a late generator is met', () => {
    const generator = { ...FIT, sendSlip: histogramOf([300]) };
    expect(judge(loadResult({ generator }), slos('p99=2ms')).kind).toBe('PASSED');
  });

  it('verdict: a busy generator that could not send the load is unfit, with or without objectives', () => {
    const short = loadResult({ sent: 900, unsent: 100, succeeded: 900, generator: { ...FIT, busyShare: 0.99 } });
    expect(judge(short, []).kind).toBe('GENERATOR_SATURATED');
    expect(judge(short, slos('p99=10ms')).kind).toBe('GENERATOR_SATURATED');
  });

  it('verdict: requests that an idle generator could not send are the server’s failure', () => {
    const short = loadResult({ sent: 900, unsent: 100, succeeded: 900 });
    expect(judge(short, slos('p99=10ms')).kind).toBe('SLO_FAILED');
  });

  it('verdict: more than 1 % failures fail any objective, unless another share was allowed', () => {
    const shed = loadResult({ succeeded: 980, failed: 20 });
    expect(judge(shed, slos('p99=10ms')).kind).toBe('SLO_FAILED');
    expect(judge(shed, slos('p99=10ms', 'errors=2%')).kind).toBe('PASSED');
    expect(judge(shed, slos('errors=1.9%')).kind).toBe('SLO_FAILED');
    expect(judge(shed, []).kind).toBe('MEASURED');
  });

  it('verdict: a run in which nothing was due fails its objectives', () => {
    const nothing = loadResult({ intended: 0, sent: 0, succeeded: 0, latency: histogramOf([]) });
    expect(errorShare(nothing)).toBe(1);
    expect(judge(nothing, slos('p99=1ms')).kind).toBe('SLO_FAILED');
  });
});

describe('judgeAll', () => {
  it('verdict: one failed run fails all, one unfit run leaves it open, else they pass', () => {
    const passed = { kind: 'PASSED', reasons: [] } as const;
    const failed = { kind: 'SLO_FAILED', reasons: ['late'] } as const;
    const unfit = { kind: 'GENERATOR_SATURATED', reasons: ['busy'] } as const;
    expect(judgeAll([passed, unfit, failed])).toEqual(failed);
    expect(judgeAll([passed, unfit])).toEqual(unfit);
    expect(judgeAll([passed, passed])).toEqual(passed);
    expect(judgeAll([]).kind).toBe('MEASURED');
  });

  it('exit codes: 0 passed and measured, 1 failed, 3 unfit', () => {
    expect((['PASSED', 'MEASURED', 'SLO_FAILED', 'GENERATOR_SATURATED'] as const).map(exitCodeOf)).toEqual([
      0, 0, 1, 3,
    ]);
    expect(EXIT.usage).toBe(2);
  });
});

describe('mergeResults', () => {
  it('merge: counts add up, the tail of one process survives, errors join by code', () => {
    const slow = loadResult({
      latency: histogramOf([50_000]),
      intended: 1,
      succeeded: 1,
      checksum: 0xffff_ffff,
      errors: [{ status: 'RESOURCE_EXHAUSTED', code: 1502, count: 2, message: 'full' }],
      generator: { ...FIT, busyShare: 0.9 },
    });
    const fast = loadResult({ errors: [{ status: 'RESOURCE_EXHAUSTED', code: 1502, count: 3, message: 'full' }] });
    const merged = mergeResults([fast, slow]);
    expect(merged.succeeded).toBe(1001);
    expect(merged.latency.maxMicros).toBe(50_000);
    expect(merged.latency.count).toBe(1001);
    expect(merged.checksum).toBe(0);
    expect(merged.generator.busyShare).toBe(0.9);
    expect(merged.errors).toEqual([{ status: 'RESOURCE_EXHAUSTED', code: 1502, count: 5, message: 'full' }]);
    expect(() => mergeResults([])).toThrow(RangeError);
  });
});
