/**
 * Whether a run met its objectives, and whether it was fit to tell. A percentile above its bound is the
 * server's failure only when the generator's own lateness (late sends, long event-loop turns) does not
 * explain it; otherwise the verdict is about the generator. Its lateness only ever adds to what is
 * measured, so a bound that is met in spite of it is met.
 */
import type { LatencyHistogram } from './latency-histogram.ts';
import { mergeHistograms } from './latency-histogram.ts';
import type { LoadResult } from './load-plan.ts';
import { ERROR_SHARE_MAX_UNSAID, metricPercentile, type Slo } from './slo.ts';

export const EXIT = { passed: 0, sloFailed: 1, usage: 2, unfit: 3 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export type VerdictKind = 'MEASURED' | 'PASSED' | 'SLO_FAILED' | 'GENERATOR_SATURATED';

export interface Verdict {
  readonly kind: VerdictKind;
  readonly reasons: readonly string[];
}

/** A generator that finds work in this share of its turns has nothing left for a delayed one. */
export const BUSY_SHARE_MAX = 0.95;
/** Less than this share of the offered requests sent in time is not the load that was asked for. */
const ACHIEVED_SHARE_MIN = 0.99;

export function exitCodeOf(kind: VerdictKind): ExitCode {
  if (kind === 'SLO_FAILED') return EXIT.sloFailed;
  return kind === 'GENERATOR_SATURATED' ? EXIT.unfit : EXIT.passed;
}

/** Failed, unsent and unanswered requests as a share of those due, 0 to 1; 1 when none was due. */
export function errorShare(result: LoadResult): number {
  if (result.intended === 0) return 1;
  return (result.failed + result.unsent + result.unanswered) / result.intended;
}

/** Judges one open-loop run. */
export function judge(result: LoadResult, slos: readonly Slo[]): Verdict {
  const latency = mergeHistograms([result.latency]);
  const slip = mergeHistograms([result.generator.sendSlip]);
  const turn = mergeHistograms([result.generator.turn]);
  const failures: string[] = [];
  const excuses: string[] = [];
  for (const slo of slos) {
    const percentile = metricPercentile(slo.metric);
    if (percentile === null) continue;
    const observed = valueAt(latency, percentile);
    if (observed <= slo.bound) continue;
    const own = valueAt(slip, percentile) + valueAt(turn, percentile);
    const sentence = `${slo.metric} ${millis(observed)}, objective ${millis(slo.bound)}`;
    if (observed - own <= slo.bound) excuses.push(`${sentence}; the generator alone was ${millis(own)} late`);
    else failures.push(sentence);
  }
  const saidErrors = slos.find((slo) => slo.metric === 'errors');
  const errorsMax = saidErrors?.bound ?? ERROR_SHARE_MAX_UNSAID;
  const errors = errorShare(result);
  const isBusy = result.generator.busyShare >= BUSY_SHARE_MAX;
  if (slos.length > 0 && errors > errorsMax) {
    const sentence = `${percent(errors)} of the requests failed or went unanswered, at most ${percent(errorsMax)} allowed`;
    // Refusals are the server's own words; only requests that never left can be the generator's doing.
    if (isBusy && result.failed + result.unanswered <= errorsMax * result.intended) excuses.push(sentence);
    else failures.push(sentence);
  }
  if (isBusy && result.intended > 0 && result.sent < ACHIEVED_SHARE_MIN * result.intended) {
    excuses.push(
      `the generator was busy ${percent(result.generator.busyShare)} of the time and sent ` +
        `${percent(result.sent / result.intended)} of the offered requests; try --processes or a lower --rate`,
    );
  }
  if (failures.length > 0) return { kind: 'SLO_FAILED', reasons: failures };
  if (excuses.length > 0) return { kind: 'GENERATOR_SATURATED', reasons: excuses };
  return { kind: slos.length > 0 ? 'PASSED' : 'MEASURED', reasons: [] };
}

/** Several runs: one failure fails them, one unfit run leaves the matter open. */
export function judgeAll(verdicts: readonly Verdict[]): Verdict {
  for (const kind of ['SLO_FAILED', 'GENERATOR_SATURATED'] as const) {
    const reasons = verdicts.flatMap((verdict) => (verdict.kind === kind ? verdict.reasons : []));
    if (verdicts.some((verdict) => verdict.kind === kind)) return { kind, reasons };
  }
  return { kind: verdicts.some((verdict) => verdict.kind === 'PASSED') ? 'PASSED' : 'MEASURED', reasons: [] };
}

function valueAt(histogram: LatencyHistogram, percentile: number): number {
  return percentile === 100 ? histogram.maxMicros : histogram.percentile(percentile);
}

function millis(micros: number): string {
  return `${(micros / 1000).toFixed(3)} ms`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}
