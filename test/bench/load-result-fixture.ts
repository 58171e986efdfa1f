/** A run's result with plausible figures; tests change what they are about. */

import type { EncodedHistogram } from '../../bench/latency-histogram.ts';
import { LatencyHistogram } from '../../bench/latency-histogram.ts';
import type { GeneratorHealth, LoadResult } from '../../bench/load-plan.ts';

export function histogramOf(values: readonly number[]): EncodedHistogram {
  const histogram = new LatencyHistogram();
  for (const value of values) histogram.record(value);
  const encoded = histogram.encode();
  histogram.destroy();
  return encoded;
}

export const FIT: GeneratorHealth = {
  busyShare: 0.4,
  cpuShare: 1,
  sendSlip: histogramOf([2]),
  turn: histogramOf([5]),
};

export function loadResult(changes: Partial<LoadResult> = {}): LoadResult {
  return {
    intended: 1000,
    sent: 1000,
    succeeded: 1000,
    failed: 0,
    unsent: 0,
    unanswered: 0,
    heldBack: 0,
    unexpectedReplies: 0,
    measuredMillis: 1000,
    sentBytes: 300_000,
    receivedBytes: 900_000,
    latency: histogramOf(Array.from({ length: 1000 }, (_, i) => 100 + i)),
    latencyByOperation: {},
    failureLatency: histogramOf([]),
    serverTime: histogramOf([20, 30]),
    errors: [],
    disconnects: [],
    answers: {
      decoded: 1,
      malformed: 0,
      decisions: 1,
      withAction: 1,
      withPrice: 1,
      withSendTime: 1,
      fallback: 0,
      distinctActions: ['a'],
    },
    checksum: 1,
    generator: FIT,
    histogramEngine: 'javascript',
    ...changes,
  };
}
