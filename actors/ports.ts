/**
 * What the actors need from outside, as narrow interfaces: each has one real implementation in
 * `workers/` and can have another in a simulation. Nothing here reads a clock or makes chance: both
 * come as arguments of a turn.
 */
import type { DecisionModels } from '../decision/pipeline.ts';
import type { Plain, Properties } from '../proto/messages.ts';
import type { Effect } from './effect.ts';
import type { SealedTrait, TraitValue } from './sealed-trait.ts';

/** Budgets and stock, shared by every shard of the node and exact across them. */
export interface Ledger {
  /** Takes `amount` if that much is free; false when it is not. Subjects without a limit always succeed. */
  tryHold(subjectHash: number, amount: number): boolean;
  /** Applies at once one of `LEDGER` except `hold`, which only `tryHold` may do while serving. */
  apply(kind: number, subjectHash: number, amount: number): void;
  /** The same for what an entry of the journal's `batch` says: what it frees is free when that batch is on disk. */
  applyLogged(kind: number, subjectHash: number, amount: number, batch: number): void;
  isLimited(subjectHash: number): boolean;
  freeAmount(subjectHash: number): number;
}

/** The learnt state: read by decisions, taught by events. */
export interface Models extends DecisionModels {
  /** Version of the merged models, logged with each decision. */
  readonly epoch: number;
  /** Learns what the event's flags say. A decision that has left the journal is not learnt from. */
  learn(event: Effect): void;
  /** `decision/response-delay.ts` by what is known of the channel. */
  negativeWeight(channelHash: number, ageMillis: number, windowMillis: number): number;
  nextStepAge(channelHash: number, ageMillis: number, weight: number, windowMillis: number): number;
}

export interface Signer {
  /** HMAC-SHA-256 of the first `length` bytes under the node's secret, base64url. */
  sign(bytes: Uint8Array, length: number): string;
}

/** The cold part of a profile: what does not fit the fixed layout. Stored as one value, read when asked for. */
export interface ColdRecord {
  traits: Record<string, TraitValue>;
  /** Every key its sealed traits were ever under, the newest last; absent when there was none. */
  keyIds?: string[];
  /** What else is kept of the person, by name: see `cold-sections.ts`. */
  sections?: Record<string, Record<string, Plain | SealedTrait>>;
}

export type TraitValues = ColdRecord['traits'];

export interface ColdCodec {
  encode(record: ColdRecord): Uint8Array;
  decode(bytes: Uint8Array): ColdRecord;
  encodeProperties(properties: { readonly [key: string]: Plain | SealedTrait }): Uint8Array;
  decodeProperties(bytes: Uint8Array): Properties;
}

/** Ledger subjects: an action's budget is its hash; a product's stock lies in a space of its own. */
export function stockSubject(skuHash: number): number {
  return (skuHash ^ 0x53746f63) >>> 0;
}
