/**
 * What a decoder makes of one request's bytes: one object for all operations, reused for every request,
 * so that decoding allocates nothing for it and its shape never changes. Filled by `request.ts` and
 * `quick-request.ts`; who handles a request reads it and copies what must last.
 */
import { EMPTY_BYTES } from './bytes.ts';
import { OP, type OpNumber, type Properties } from './messages.ts';

/** Bits of `Request.wantMask`. */
export const WANT = { action: 1, price: 2, sendTime: 4 } as const;
export const WANT_ALL = 7;
/** Numbers of `Request.durability`. */
export const DURABILITY = { unset: 0, applied: 1, committed: 2, replicated: 3 } as const;
export type DurabilityNumber = (typeof DURABILITY)[keyof typeof DURABILITY];

const textDecoder = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * One request of any operation, with the resting value where a field is absent. Only the operation's own
 * fields mean anything; others may hold what the client sent by mistake. Reused: copy what you keep.
 */
export class Request {
  id = 0;
  op: OpNumber = OP.ping;
  /** Relative budget in milliseconds; 0 when there is none. */
  deadlineMillis = 0;
  /** W3C trace context; '' when absent or not of its form (the standard says to start a new trace then). */
  traceparent = '';
  /** The profile key as valid UTF-8: `keyLength` bytes (0 when absent) of `keyBytes` from `keyStart`. */
  keyBytes: Uint8Array = EMPTY_BYTES;
  keyStart = 0;
  keyLength = 0;
  slot = '';
  sku = '';
  channel = '';
  event = '';
  messageId = '';
  decisionId = '';
  quoteId = '';
  count = 1;
  wantMask = WANT_ALL;
  actions: readonly string[] | null = null;
  context: Properties | null = null;
  traits: Properties | null = null;
  properties: Properties | null = null;
  /**
   * Where in `frame` `context` and `properties` stand as valid MessagePack, so that what is journalled of them is a
   * copy of these bytes; both 0 where nobody noted it (JSON, and what the general decoder read).
   */
  contextStart = 0;
  contextEnd = 0;
  propertiesStart = 0;
  propertiesEnd = 0;
  isExplain = false;
  isDryRun = false;
  /** -1 when absent. */
  minStateSeq = -1;
  durability: DurabilityNumber = DURABILITY.unset;
  /** NaN when absent. */
  atEpochMillis = Number.NaN;
  clientName = '';
  clientVersion = '';
  /** Profile keys of `alias`; '' when absent. */
  from = '';
  to = '';
  purposes: Properties | null = null;
  proof: Properties | null = null;
  events: readonly Properties[] | null = null;
  decide: Properties | null = null;
  /**
   * Whose request it is, where that is not the key's profile: one that was joined into another sends what it is asked
   * on. -1: the key's own.
   */
  asPartition = -1;
  asLow = 0;
  asHigh = 0;
  /** How often it was sent on. */
  asHops = 0;
  /** The frame and, in it, this request alone: from its first byte to after its last. */
  frame: Uint8Array = EMPTY_BYTES;
  rawStart = 0;
  rawEnd = 0;

  /** Back to the resting values, for the request that starts at `rawStart` of `frame`. */
  reset(frame: Uint8Array, rawStart: number): void {
    this.id = 0;
    this.op = OP.ping;
    this.deadlineMillis = 0;
    this.traceparent = '';
    this.keyLength = 0;
    this.slot = '';
    this.sku = '';
    this.channel = '';
    this.event = '';
    this.messageId = '';
    this.decisionId = '';
    this.quoteId = '';
    this.count = 1;
    this.wantMask = WANT_ALL;
    this.actions = null;
    this.context = null;
    this.traits = null;
    this.properties = null;
    this.contextStart = 0;
    this.contextEnd = 0;
    this.propertiesStart = 0;
    this.propertiesEnd = 0;
    this.isExplain = false;
    this.isDryRun = false;
    this.minStateSeq = -1;
    this.durability = DURABILITY.unset;
    this.atEpochMillis = Number.NaN;
    this.clientName = '';
    this.clientVersion = '';
    this.from = '';
    this.to = '';
    this.purposes = null;
    this.proof = null;
    this.events = null;
    this.decide = null;
    this.asPartition = -1;
    this.asHops = 0;
    this.frame = frame;
    this.rawStart = rawStart;
    this.rawEnd = rawStart;
  }

  /** The profile key as text ('' when absent). Allocates; the hot path hashes the bytes instead. */
  profileKey(): string {
    return textDecoder.decode(this.keyBytes.subarray(this.keyStart, this.keyStart + this.keyLength));
  }

  /** A copy of this request's own bytes, a valid frame of its own in the same encoding. Only during `decode`. */
  copyRaw(): Uint8Array {
    // `slice` of a Node Buffer would be a view; the typed array's own makes a copy.
    return Uint8Array.prototype.slice.call(this.frame, this.rawStart, this.rawEnd);
  }
}
