/**
 * What one run counts: histograms, outcomes, bytes. Only requests due inside the measured time count
 * (warm-up does not), whenever their replies come. `merge` adds the results of several processes; the
 * histograms keep their tails.
 */
import { AnswerCheck } from './answer-check.ts';
import { LatencyHistogram, mergeHistograms } from './latency-histogram.ts';
import { type AnswerSample, type ErrorCount, LOAD_OPERATIONS, type LoadResult } from './load-plan.ts';

const DECIDE = LOAD_OPERATIONS.indexOf('decide');

export class LoadTally {
  readonly latency = new LatencyHistogram();
  readonly failureLatency = new LatencyHistogram();
  readonly serverTime = new LatencyHistogram();
  readonly byOperation: readonly LatencyHistogram[] = LOAD_OPERATIONS.map(() => new LatencyHistogram());
  readonly check = new AnswerCheck();
  succeededCount = 0;
  failedCount = 0;
  unsentCount = 0;
  unansweredCount = 0;
  sentCount = 0;
  heldBackCount = 0;
  unexpectedReplies = 0;

  succeeded(
    operation: number,
    micros: number,
    serverMicros: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    this.succeededCount += 1;
    this.latency.record(micros);
    (this.byOperation[operation] as LatencyHistogram).record(micros); // in range: templates carry known operations
    if (!Number.isNaN(serverMicros)) this.serverTime.record(serverMicros);
    this.check.succeeded(bytes, start, end, operation === DECIDE);
  }

  failed(micros: number, bytes: Uint8Array, start: number, end: number): void {
    this.failedCount += 1;
    this.failureLatency.record(micros);
    this.check.failed(bytes, start, end);
  }

  /** The reply never came: the latency is at least the wait so far, and leaving it out would flatter. */
  unanswered(operation: number, micros: number): void {
    this.unansweredCount += 1;
    this.latency.record(micros);
    (this.byOperation[operation] as LatencyHistogram).record(micros); // in range: templates carry known operations
  }

  /** Due, but the in-flight limit or a lost connection kept it back until the end. */
  unsent(micros: number): void {
    this.unsentCount += 1;
    this.latency.record(micros);
  }
}

function sum(results: readonly LoadResult[], read: (result: LoadResult) => number): number {
  return results.reduce((total, result) => total + read(result), 0);
}

/** One result of several processes that ran the same plan side by side. Throws RangeError on none. */
export function mergeResults(results: readonly LoadResult[]): LoadResult {
  const first = results[0];
  if (first === undefined) throw new RangeError('no results to merge');
  if (results.length === 1) return first;
  const operations = new Set(results.flatMap((result) => Object.keys(result.latencyByOperation)));
  return {
    intended: sum(results, (r) => r.intended),
    sent: sum(results, (r) => r.sent),
    succeeded: sum(results, (r) => r.succeeded),
    failed: sum(results, (r) => r.failed),
    unsent: sum(results, (r) => r.unsent),
    unanswered: sum(results, (r) => r.unanswered),
    heldBack: sum(results, (r) => r.heldBack),
    unexpectedReplies: sum(results, (r) => r.unexpectedReplies),
    measuredMillis: Math.max(...results.map((r) => r.measuredMillis)),
    sentBytes: sum(results, (r) => r.sentBytes),
    receivedBytes: sum(results, (r) => r.receivedBytes),
    latency: mergeHistograms(results.map((r) => r.latency)).encode(),
    latencyByOperation: Object.fromEntries(
      [...operations].map((name) => [
        name,
        mergeHistograms(results.flatMap((r) => r.latencyByOperation[name] ?? [])).encode(),
      ]),
    ),
    failureLatency: mergeHistograms(results.map((r) => r.failureLatency)).encode(),
    serverTime: mergeHistograms(results.map((r) => r.serverTime)).encode(),
    errors: mergeErrors(results.flatMap((r) => r.errors)),
    disconnects: mergeDisconnects(results.flatMap((r) => r.disconnects)),
    answers: mergeAnswers(results.map((r) => r.answers)),
    checksum: sum(results, (r) => r.checksum) >>> 0,
    generator: {
      // The worst process decides: one saturated generator spoils the whole tail.
      busyShare: Math.max(...results.map((r) => r.generator.busyShare)),
      cpuShare: sum(results, (r) => r.generator.cpuShare),
      sendSlip: mergeHistograms(results.map((r) => r.generator.sendSlip)).encode(),
      turn: mergeHistograms(results.map((r) => r.generator.turn)).encode(),
    },
    histogramEngine: first.histogramEngine,
  };
}

function mergeErrors(errors: readonly ErrorCount[]): readonly ErrorCount[] {
  const byCode = new Map<number, ErrorCount>();
  for (const error of errors) {
    const known = byCode.get(error.code);
    byCode.set(error.code, known === undefined ? error : { ...known, count: known.count + error.count });
  }
  return [...byCode.values()].sort((a, b) => b.count - a.count);
}

function mergeDisconnects(disconnects: LoadResult['disconnects']): LoadResult['disconnects'] {
  const byReason = new Map<string, LoadResult['disconnects'][number]>();
  for (const disconnect of disconnects) {
    const name = `${disconnect.code} ${disconnect.reason}`;
    const known = byReason.get(name);
    byReason.set(name, { ...disconnect, count: disconnect.count + (known?.count ?? 0) });
  }
  return [...byReason.values()];
}

function mergeAnswers(samples: readonly AnswerSample[]): AnswerSample {
  const total = (read: (sample: AnswerSample) => number): number => samples.reduce((all, one) => all + read(one), 0);
  return {
    decoded: total((s) => s.decoded),
    malformed: total((s) => s.malformed),
    decisions: total((s) => s.decisions),
    withAction: total((s) => s.withAction),
    withPrice: total((s) => s.withPrice),
    withSendTime: total((s) => s.withSendTime),
    fallback: total((s) => s.fallback),
    distinctActions: [...new Set(samples.flatMap((s) => s.distinctActions))].sort(),
  };
}
