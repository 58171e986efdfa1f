/**
 * What one generator process is told and what it hands back: plain data, because both cross a process
 * boundary. The plan is complete (no defaults are filled in behind it), so that a JSON result can be
 * repeated from itself.
 */

import type { KeyPlan } from './key-chooser.ts';
import type { EncodedHistogram } from './latency-histogram.ts';

export const SCENARIOS = ['decide', 'track', 'mixed', 'action', 'price', 'send-time', 'cold', 'batch'] as const;
export type Scenario = (typeof SCENARIOS)[number];

/** Operations told apart in results; a template's `operation` is an index here. */
export const LOAD_OPERATIONS = ['decide', 'track', 'identify'] as const;
export type LoadOperation = (typeof LOAD_OPERATIONS)[number];

export type ContextValue = string | number | boolean;

/** How requests look; `load-requests.ts` turns it into frame templates. */
export interface RequestPlan {
  readonly scenario: Scenario | 'populate';
  readonly slot: string;
  readonly sku: string | null;
  /** Sent as `actions` (a subset of the catalog's); empty: the field is left out. */
  readonly actions: readonly string[];
  readonly context: { readonly [key: string]: ContextValue } | null;
  /** Sent with `identify` while populating; null: profiles are only decided for. */
  readonly traits: { readonly [key: string]: ContextValue } | null;
  readonly durability: 'applied' | 'committed' | 'replicated' | null;
  /** Requests in one array frame; 1: single requests. */
  readonly batchSize: number;
  /** Length of this server's decision ids, so that `mixed` can credit clicks; 0: unknown. */
  readonly decisionIdBytes: number;
  /** Makes messageIds of one run differ from another's. Letters and digits. */
  readonly runTag: string;
}

/** One shard of the server, as its `hello` names it. */
export interface ShardTarget {
  readonly url: string;
  readonly partitions: readonly number[];
}

export interface LoadPlan {
  readonly url: string;
  /** Connect to the shards in turn, and ask each for its own profiles only; null: everything to `url`. */
  readonly shards: readonly ShardTarget[] | null;
  readonly token: string | null;
  readonly connections: number;
  /** `open`: requests leave at their intended times. `closed`: a reply lets the next one go; peaks only. */
  readonly loop: 'open' | 'closed';
  /** Open loop: requests per second of this process. */
  readonly ratePerSecond: number;
  /** Closed loop: frames in flight a connection. Open loop: requests in flight a connection at most. */
  readonly inFlight: number;
  readonly warmupMillis: number;
  readonly measureMillis: number;
  /** How long to wait for replies after the last request. */
  readonly drainMillis: number;
  /** Stop after this many requests instead of after a time (population); null: by time. */
  readonly requestCount: number | null;
  readonly keys: KeyPlan;
  readonly request: RequestPlan;
  /** Numbers the messageIds of this process apart from the others'. */
  readonly processIndex: number;
  readonly processCount: number;
  /** Report once a second. */
  readonly isLive: boolean;
}

export interface LoadProgress {
  readonly elapsedMillis: number;
  readonly answered: number;
  readonly failed: number;
  readonly inFlight: number;
  /** Of the last second. */
  readonly p50Micros: number;
  readonly p99Micros: number;
}

export interface ErrorCount {
  readonly status: string;
  readonly code: number;
  readonly count: number;
  /** The first message seen. */
  readonly message: string;
}

/** What a sample of the replies, decoded in full, contained. */
export interface AnswerSample {
  readonly decoded: number;
  readonly malformed: number;
  readonly decisions: number;
  readonly withAction: number;
  readonly withPrice: number;
  readonly withSendTime: number;
  readonly fallback: number;
  readonly distinctActions: readonly string[];
}

/** The generator's own fitness: when these are high, latency is its doing and not the server's. */
export interface GeneratorHealth {
  /** Share of the measured time in which the event loop had work, 0 to 1. */
  readonly busyShare: number;
  /** CPU seconds a second of this process (1 is one core); pacing spins, so 1 is usual in open loop. */
  readonly cpuShare: number;
  /** How late requests left, against their intended time, by the generator's own fault. */
  readonly sendSlip: EncodedHistogram;
  /** Length of an event-loop turn: what a reply may wait before it is read. */
  readonly turn: EncodedHistogram;
}

export interface LoadResult {
  /** Requests due in the measured time. */
  readonly intended: number;
  readonly sent: number;
  readonly succeeded: number;
  readonly failed: number;
  /** Due but never sent: the in-flight limit was reached, or the connection was gone. */
  readonly unsent: number;
  /** Sent, no reply before the drain ended. */
  readonly unanswered: number;
  /** Left later than due because the in-flight limit was reached: the server's lateness. */
  readonly heldBack: number;
  /** Replies with an id that was not in flight. */
  readonly unexpectedReplies: number;
  readonly measuredMillis: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Successful replies, from the intended time (open) or the send (closed); unsent and unanswered count as long as they waited. */
  readonly latency: EncodedHistogram;
  readonly latencyByOperation: { readonly [operation: string]: EncodedHistogram };
  /** Failed replies. */
  readonly failureLatency: EncodedHistogram;
  /** `serverMicros` of successful replies that carry it at their head. */
  readonly serverTime: EncodedHistogram;
  readonly errors: readonly ErrorCount[];
  readonly disconnects: readonly { readonly code: number; readonly reason: string; readonly count: number }[];
  readonly answers: AnswerSample;
  /** Sum over successful replies of a hash of their length and last bytes; unsigned 32 bits. */
  readonly checksum: number;
  readonly generator: GeneratorHealth;
  readonly histogramEngine: 'wasm' | 'javascript';
}
