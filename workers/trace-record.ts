/**
 * One traced request, as a shard worker remembers it: plain numbers and short names, written only for
 * requests that were slow, failed, shed, sampled, or continued a sampled caller's trace. Workers post
 * these in batches to the main thread, which builds the spans afterwards (server/telemetry.ts), so the
 * hot path never touches a tracing library. No profile key, trait or event content is in here.
 *
 *   codec ▸ mailbox ▸ eligibility ▸ score ▸ price ▸ sendTime ▸ commit ▸ reply
 */
import type { OpNumber } from '../proto/messages.ts';
import type { StatusName } from './metrics-layout.ts';

/** Phases in the order of a turn. The number is the position in `TraceRecord.phases`. */
export const PHASE = {
  codec: 0,
  mailbox: 1,
  eligibility: 2,
  score: 3,
  price: 4,
  sendTime: 5,
  commit: 6,
  reply: 7,
} as const;
export type PhaseName = keyof typeof PHASE;
export type PhaseIndex = (typeof PHASE)[PhaseName];
export const PHASE_NAMES = Object.keys(PHASE) as readonly PhaseName[]; // keys of a const object, in order
export const PHASE_COUNT = PHASE_NAMES.length;

export type TraceReason = 'slow' | 'failed' | 'shed' | 'sampled' | 'parent';

export interface TraceRecord {
  /** 0 when the operation was not recognised. */
  readonly op: OpNumber | 0;
  readonly status: StatusName;
  /** Number of the fault in proto/statuses.ts, 0 when ok. */
  readonly code: number;
  readonly startEpochMicros: number;
  readonly endEpochMicros: number;
  /** Start and end of each phase in microseconds after `startEpochMicros`; NaN where a phase did not run. Length 2 × PHASE_COUNT. */
  readonly phases: Float64Array;
  /** W3C traceparent of the request, or null. */
  readonly traceparent: string | null;
  readonly shard: number;
  readonly partition: number;
  readonly stateSeq: number;
  readonly catalogVersion: string;
  readonly modelVersion: number;
  readonly candidates: number;
  readonly isForwarded: boolean;
  readonly reason: TraceReason;
}

/** An empty phase table: every phase absent. One allocation a traced request. */
export function createPhases(): Float64Array {
  return new Float64Array(2 * PHASE_COUNT).fill(Number.NaN);
}

/** Sets one phase; both offsets in microseconds after the request's start, `endMicros >= startMicros`. */
export function setPhase(phases: Float64Array, phase: PhaseIndex, startMicros: number, endMicros: number): void {
  phases[2 * phase] = startMicros;
  phases[2 * phase + 1] = endMicros;
}
