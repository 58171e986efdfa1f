/**
 * The shapes of protocol version 1 as TypeScript types: what a client sends and gets, op by op.
 * Types only; the codec (`request.ts`, `reply.ts`) enforces them. Money is integer minor units,
 * instants are epoch milliseconds UTC, probabilities are in [0, 1], propensity in (0, 1].
 */
import type { LIMITS } from './limits.ts';
import type { Retry, Status } from './statuses.ts';

/** Operations by wire name; the numbers are internal (never on the wire). */
export const OP = {
  hello: 1,
  ping: 2,
  track: 3,
  identify: 4,
  decide: 5,
  confirm: 6,
  release: 7,
  profile: 8,
  alias: 9,
  consent: 10,
  whatIf: 11,
  export: 12,
  erase: 13,
  subscribe: 14,
  unsubscribe: 15,
} as const;
export type OpName = keyof typeof OP;
export type OpNumber = (typeof OP)[OpName];

export type Durability = 'applied' | 'committed' | 'replicated';
export type Want = 'action' | 'price' | 'sendTime';
export type Scalar = string | number | boolean | null;
export type Plain = Scalar | readonly Plain[] | { readonly [key: string]: Plain };
export type Properties = { readonly [key: string]: Plain };

interface Envelope<Op extends OpName> {
  readonly id: number;
  readonly op: Op;
  readonly deadlineMillis?: number;
  readonly traceparent?: string;
}

export interface HelloRequest extends Envelope<'hello'> {
  readonly client?: string;
  readonly version?: string;
}
export type PingRequest = Envelope<'ping'>;
export interface TrackRequest extends Envelope<'track'> {
  readonly profile: string;
  readonly event: string;
  readonly messageId?: string;
  readonly atEpochMillis?: number;
  readonly decisionId?: string;
  readonly quoteId?: string;
  readonly properties?: Properties;
  readonly durability?: Durability;
}
export interface IdentifyRequest extends Envelope<'identify'> {
  readonly profile: string;
  readonly traits: Properties;
  /** When it was told: what was told of a trait since stays. */
  readonly atEpochMillis?: number;
}
export interface ConsentChange {
  /** Needed unless the entry only says how somebody wishes to be spoken to. */
  readonly granted?: boolean;
  readonly expiresAtEpochMillis?: number;
  readonly basis?: string;
  /** Of `contact` (all channels) and `contact.CHANNEL`; null takes one back. */
  readonly quietHours?: string | null;
  readonly mutedUntilEpochMillis?: number | null;
  /** Of one channel: 1 for the one liked best. */
  readonly preference?: number | null;
}
export interface ConsentRequest extends Envelope<'consent'> {
  readonly profile: string;
  /** Absent: what the proof's strings say. */
  readonly purposes?: { readonly [purpose: string]: ConsentChange };
  /** How it is known: `source`, `version`, `text`, `language`, `tcf`, `gpp`, `gpc`, `atEpochMillis`. */
  readonly proof?: Properties;
}
export interface AliasRequest extends Envelope<'alias'> {
  readonly from: string;
  /** Absent: `from` is to stand alone again, which takes a role that may take keys apart. */
  readonly to?: string;
}
export interface DecideRequest extends Envelope<'decide'> {
  readonly profile: string;
  readonly slot?: string;
  readonly count?: number;
  readonly want?: readonly Want[];
  readonly actions?: readonly string[];
  readonly sku?: string;
  readonly channel?: string;
  readonly context?: Properties;
  readonly explain?: boolean;
  readonly dryRun?: boolean;
  readonly minStateSeq?: number;
  readonly durability?: Durability;
}
export interface ConfirmRequest extends Envelope<'confirm'> {
  readonly decisionId: string;
}
export interface ReleaseRequest extends Envelope<'release'> {
  readonly decisionId: string;
}
export interface ProfileRequest extends Envelope<'profile'> {
  readonly profile: string;
}
export interface ExportRequest extends Envelope<'export'> {
  readonly profile: string;
  /** `cursor`: what the page before named as `next`; left out for the first page. */
  readonly context?: { readonly cursor: string };
}
export interface EraseRequest extends Envelope<'erase'> {
  readonly profile: string;
}
export interface SubscribeRequest extends Envelope<'subscribe'> {
  readonly profile: string;
  /** The question, as of a decide. */
  readonly decide: Omit<DecideRequest, 'id' | 'op' | 'profile' | 'deadlineMillis' | 'traceparent' | 'dryRun'>;
}
export interface UnsubscribeRequest extends Envelope<'unsubscribe'> {
  readonly profile: string;
  /** Absent: all of the profile's. */
  readonly decide?: SubscribeRequest['decide'];
}
export type RequestMessage =
  | HelloRequest
  | PingRequest
  | TrackRequest
  | IdentifyRequest
  | AliasRequest
  | ConsentRequest
  | DecideRequest
  | ConfirmRequest
  | ReleaseRequest
  | ProfileRequest
  | ExportRequest
  | EraseRequest
  | SubscribeRequest
  | UnsubscribeRequest;

export interface ErrorReply {
  readonly id: number | null;
  readonly ok: false;
  readonly status: Status;
  readonly code: number;
  readonly message: string;
  readonly retry: Retry;
  readonly retryAfterMillis?: number;
}
interface OkReply {
  readonly id: number;
  readonly ok: true;
  readonly serverMicros: number;
}
export interface ShardAddress {
  readonly url: string;
  readonly partitions: readonly number[];
}
export interface HelloReply extends OkReply {
  readonly server: string;
  readonly protocol: number;
  readonly limits: typeof LIMITS;
  readonly partitions: number;
  readonly shards: readonly ShardAddress[];
  readonly epoch: number;
  readonly timeEpochMillis: number;
}
export interface PingReply extends OkReply {
  readonly timeEpochMillis: number;
}
export interface TrackReply extends OkReply {
  readonly stateSeq: number;
  readonly durability: Durability;
  readonly duplicate: boolean;
}
/** The reply to `alias`: whether two profiles became one by it, and where the person's state is now. */
export interface AliasReply extends OkReply {
  readonly stateSeq: number;
  readonly merged: boolean;
}

export interface StateReply extends OkReply {
  readonly stateSeq: number;
}
export interface DecidedAction {
  readonly action: string;
  readonly creative: string | null;
  readonly channel: string | null;
  readonly score: number;
  readonly responseProbability: number;
  readonly value: number;
  readonly propensity: number;
  readonly explored: boolean;
  readonly leaseExpiresAtEpochMillis: number | null;
}
export interface DecidedPrice {
  readonly sku: string;
  readonly currency: string;
  readonly listMinor: number;
  readonly priceMinor: number;
  readonly maskedPriceMinor: number;
  readonly personalised: boolean;
  /** Probability of this price among all it could have been this hour; null when an earlier quote holds it. */
  readonly propensity: number | null;
  /** Key of the product's promotion that is expected to earn most beside this price; null: none. */
  readonly promotion: string | null;
  readonly disclosure: string;
  readonly quoteId: string | null;
  readonly expiresAtEpochMillis: number;
  readonly signature: string | null;
}
export interface DecidedSendTime {
  readonly channel: string;
  readonly atEpochMillis: number;
  /** Local wall time with offset, for example `2026-11-22T20:00:00+08:00`. */
  readonly local: string;
  readonly timeZone: string;
  readonly windowMinutes: number;
  readonly probability: number;
  readonly nowProbability: number;
}
export interface Contribution {
  readonly feature: string;
  readonly value: number;
  readonly weight: number;
  readonly effect: number;
}
export interface Rejection {
  readonly action: string;
  readonly stage: string;
  readonly rule: string;
  readonly value: Scalar;
  readonly threshold: Scalar;
  readonly eligibleAgainAtEpochMillis: number | null;
}
export interface Explanation {
  readonly counts: {
    readonly candidates: number;
    readonly eligible: number;
    readonly allowed: number;
    readonly scored: number;
  };
  readonly chosen: readonly { readonly action: string; readonly contributions: readonly Contribution[] }[];
  readonly rejected: readonly Rejection[];
  readonly price?: Properties;
  readonly sendTime?: Properties;
}
export interface DecideReply extends OkReply {
  readonly decisionId: string | null;
  readonly stateSeq: number;
  readonly catalogVersion: string;
  readonly modelVersion: number;
  readonly actions: readonly DecidedAction[];
  readonly price?: DecidedPrice | undefined;
  readonly sendTime?: DecidedSendTime | undefined;
  readonly fallback: boolean;
  readonly explain?: Explanation | undefined;
}
export interface ProfileReply extends OkReply {
  readonly stateSeq: number;
  readonly record: Properties;
}
/** One page of what is kept of a person. */
export interface ExportReply extends OkReply {
  readonly stateSeq: number;
  /** `record` (on the first page), `key` (on the first of each joined key), `timeline`, `next`. */
  readonly export: Properties;
}
export interface UnsubscribeReply extends OkReply {
  /** Subscriptions that were ended. */
  readonly ended: number;
}

/** Told without being asked: another answer to a subscription's question, or that there will be none. */
export type Push =
  | ({ readonly push: 'decision'; readonly subscription: number } & Omit<DecideReply, 'id'>)
  | ({ readonly push: 'ended'; readonly subscription: number } & Omit<ErrorReply, 'id' | 'ok'>);

export interface EraseReply extends OkReply {
  readonly receipt: Properties;
}
