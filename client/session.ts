/**
 * One connection's conversation without the connection: requests in, bytes out; bytes in, outcomes out.
 * It keeps the ids in flight and their deadlines, and is told the time; sockets, timers and retries are
 * its callers'. So every order of replies, losses and timeouts can be tested without a network.
 *
 *   open(requests, now) ──▶ frame          receive(frame) ──▶ settle of each request it answers
 *                                          expire(now)    ──▶ settle of those whose time is over
 */
import { LIMITS } from '../proto/limits.ts';
import type {
  AliasReply,
  DecideReply,
  EraseReply,
  ExportReply,
  HelloReply,
  PingReply,
  Plain,
  ProfileReply,
  Push,
  RequestMessage,
  StateReply,
  TrackReply,
  UnsubscribeReply,
} from '../proto/messages.ts';
import { createWriter, type DocumentWriter, decodeReply, type Encoding } from '../proto/reply.ts';
import type { Retry, Status } from '../proto/statuses.ts';
import { deadlineError, LOCAL_CODE, OpportuneError } from './opportune-error.ts';

export type Reply =
  | HelloReply
  | PingReply
  | TrackReply
  | StateReply
  | AliasReply
  | DecideReply
  | ProfileReply
  | ExportReply
  | EraseReply
  | UnsubscribeReply;
/** A request before it has an id: one member of `RequestMessage` for each operation. */
export type RequestBody = RequestMessage extends infer Message
  ? Message extends RequestMessage
    ? Omit<Message, 'id'>
    : never
  : never;
/** Exactly one of the two is given. */
export type Settle = (reply: Reply | undefined, error: OpportuneError | undefined) => void;

export interface Outgoing {
  readonly body: RequestBody;
  /** Instant of the session's clock, in milliseconds, at which this request is given up. */
  readonly deadlineAtMillis: number;
  /** The whole budget, for the message when it is over. */
  readonly budgetMillis: number;
  readonly settle: Settle;
}

export class ClientSession {
  readonly encoding: Encoding;
  readonly #writer: DocumentWriter;
  readonly #onPush: (push: Push) => void;
  readonly #inFlight = new Map<number, Outgoing>();
  #nextId = 1;
  /** Replies that answer nothing in flight: late, repeated, or to a request the server could not read. */
  strayReplyCount = 0;

  /** @param onPush told what the server says without being asked */
  constructor(encoding: Encoding, onPush: (push: Push) => void = () => {}) {
    this.encoding = encoding;
    this.#onPush = onPush;
    this.#writer = createWriter(encoding);
  }

  get inFlightCount(): number {
    return this.#inFlight.size;
  }

  /**
   * Puts requests in flight and encodes them: one as a map, several as one array.
   * Those that cannot be sent are settled at once with an error: beyond the in-flight limit
   * (RESOURCE_EXHAUSTED), or too large for any frame or not to be written (INVALID_ARGUMENT).
   * @returns frames to send, in order; each is the caller's own copy.
   */
  open(requests: readonly Outgoing[], nowMillis: number): Uint8Array[] {
    const room = LIMITS.inFlightMax - this.#inFlight.size;
    for (const outgoing of requests.slice(room)) {
      const message = `${LIMITS.inFlightMax} requests are unanswered on this connection`;
      outgoing.settle(undefined, new OpportuneError('RESOURCE_EXHAUSTED', LOCAL_CODE, message, 'later', 10));
    }
    const frames: Uint8Array[] = [];
    this.#encode(requests.slice(0, room), nowMillis, frames);
    return frames;
  }

  /** What cannot go as it is goes in halves, down to the one that cannot go at all. */
  #encode(requests: readonly Outgoing[], nowMillis: number, frames: Uint8Array[]): void {
    if (requests.length === 0) return;
    const firstId = this.#nextId;
    const ids: number[] = [];
    const problem = this.#write(requests, nowMillis, ids);
    if (problem === null) {
      for (const [index, outgoing] of requests.entries()) this.#inFlight.set(ids[index] as number, outgoing); // one id each
      frames.push(this.#writer.finish().slice());
      return;
    }
    this.#nextId = firstId;
    const [only] = requests;
    if (requests.length === 1 && only !== undefined) {
      only.settle(undefined, new OpportuneError('INVALID_ARGUMENT', LOCAL_CODE, problem, 'never'));
      return;
    }
    const middle = requests.length >> 1;
    this.#encode(requests.slice(0, middle), nowMillis, frames);
    this.#encode(requests.slice(middle), nowMillis, frames);
  }

  /** Puts one frame into the writer, and its ids into `ids`; why that is none that can be sent, or null. */
  #write(requests: readonly Outgoing[], nowMillis: number, ids: number[]): string | null {
    const writer = this.#writer;
    writer.reset();
    if (requests.length > 1) writer.beginArray();
    try {
      for (const { body, deadlineAtMillis } of requests) {
        const id = this.#takeId();
        ids.push(id);
        const leftMillis = Math.min(LIMITS.deadlineMillisMax, Math.max(1, Math.round(deadlineAtMillis - nowMillis)));
        const message = Number.isFinite(deadlineAtMillis)
          ? { id, ...body, deadlineMillis: leftMillis }
          : { id, ...body };
        writer.plain(message as unknown as Plain); // optional fields may be undefined; plain() leaves those out
      }
    } catch (error) {
      // A value that holds itself, or one whose own code throws; the others of the frame must not pay for it.
      return `the request cannot be written: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (requests.length > 1) writer.endArray();
    if (writer.length <= LIMITS.frameBytesMax && requests.length <= LIMITS.batchItemsMax) return null;
    return `the request takes ${writer.length} bytes; a frame holds ${LIMITS.frameBytesMax}`;
  }

  /** The next unsigned 32-bit id that is not in flight. */
  #takeId(): number {
    while (this.#inFlight.has(this.#nextId)) this.#nextId = (this.#nextId + 1) >>> 0;
    const id = this.#nextId;
    this.#nextId = (id + 1) >>> 0;
    return id;
  }

  /** Settles what a frame from the server answers; false when it cannot be decoded (close with 1007). */
  receive(frame: Uint8Array): boolean {
    let value: Plain;
    try {
      value = decodeReply(this.encoding, frame);
    } catch (error) {
      if (error instanceof SyntaxError) return false;
      throw error;
    }
    if (Array.isArray(value)) for (const item of value) this.#settle(item);
    else this.#settle(value);
    return true;
  }

  #settle(value: Plain): void {
    const fields = value as { readonly [key: string]: Plain | undefined }; // checked field by field below
    if (typeof value !== 'object' || value === null) {
      this.strayReplyCount++;
      return;
    }
    if (fields.push !== undefined) {
      this.#onPush(value as unknown as Push); // the server's contract
      return;
    }
    const id = fields.id;
    const outgoing = typeof id === 'number' ? this.#inFlight.get(id) : undefined;
    if (outgoing === undefined || typeof id !== 'number') {
      this.strayReplyCount++;
      return;
    }
    this.#inFlight.delete(id);
    if (fields.ok === true)
      outgoing.settle(value as unknown as Reply, undefined); // the server's contract for this op
    else outgoing.settle(undefined, errorOf(fields));
  }

  /** Gives up, with DEADLINE_EXCEEDED, every request whose time is over at `nowMillis`. */
  expire(nowMillis: number): void {
    for (const [id, outgoing] of this.#inFlight) {
      if (outgoing.deadlineAtMillis > nowMillis) continue;
      this.#inFlight.delete(id);
      outgoing.settle(undefined, deadlineError(outgoing.budgetMillis));
    }
  }

  /** The earliest deadline in flight, in milliseconds of the session's clock; Infinity when there is none. */
  nextDeadlineMillis(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const { deadlineAtMillis } of this.#inFlight.values()) earliest = Math.min(earliest, deadlineAtMillis);
    return earliest;
  }

  /** Ends everything in flight with `error`: the connection is gone. */
  failAll(error: OpportuneError): void {
    const lost = [...this.#inFlight.values()];
    this.#inFlight.clear();
    for (const outgoing of lost) outgoing.settle(undefined, error);
  }
}

function errorOf(fields: { readonly [key: string]: Plain | undefined }): OpportuneError {
  const { status, code, message, retry, retryAfterMillis } = fields;
  return new OpportuneError(
    typeof status === 'string' ? (status as Status) : 'INTERNAL', // a later server may know more statuses
    typeof code === 'number' ? code : LOCAL_CODE,
    typeof message === 'string' ? message : 'the reply has no message',
    retry === 'later' || retry === 'reconnect' ? (retry satisfies Retry) : 'never',
    typeof retryAfterMillis === 'number' ? retryAfterMillis : 0,
  );
}
