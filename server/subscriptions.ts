/**
 * The subscriptions of one connection: each asks its question of the person's shard, tells the client when the answer is
 * another than the one it has, and asks again. What is kept between is the shard's (`workers/watches.ts`); here is who wants
 * to know, and what they were told last.
 *
 *   subscribe ─▸ ask ─▸ [shard keeps it until the answer is another] ─▸ reply, later pushes ─▸ ask …
 *
 * A client that does not read is asked for no more: its next question waits until the socket has emptied, so only the newest
 * answer is ever sent, and nothing piles up. A shard that is away is asked again; the client hears nothing of it.
 */
import { MailboxLine } from '../actors/mailbox.ts';
import { answerDigest } from '../proto/answer-digest.ts';
import { LIMITS } from '../proto/limits.ts';
import type { DecideReply, ErrorReply, Properties } from '../proto/messages.ts';
import { type DocumentWriter, decodeReply, type Encoding, writeError } from '../proto/reply.ts';
import type { FrameDecoder, Request } from '../proto/request.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';
import type { Responder } from '../workers/responder.ts';
import type { Asked } from '../workers/watches.ts';
import type { ForwardOrigin } from './shard-link.ts';
import type { Connection } from './transport.ts';

const keyDecoder = new TextDecoder();
/** Of one worker's connections. */
const WORKER_MAX = 8_192;
/** What is kept of each question, here and with its person. */
const QUESTION_CHARACTERS_MAX = 8_192;

/** After a question that could not be answered, at least. */
const RETRY_MILLIS = 250;
/** While the client does not read. */
const UNREAD_MILLIS = 100;
const UNREAD_BYTES_MAX = 256 * 1024;

/** The connection, as its subscriptions use it. */
export interface SubscribedSession {
  readonly encoding: Encoding;
  readonly tenant: number;
  readonly actor: string;
  readonly door: Responder['door'];
  readonly source: Responder['source'];
  readonly hasOptOut: boolean;
  readonly writer: DocumentWriter;
  readonly decoder: FrameDecoder;
  readonly connection: Pick<Connection, 'isOpen' | 'bufferedBytes'>;
  /** Of all connections of the worker: how many there are. */
  readonly shared: { subscriptions: number };
  /** Nothing new is asked for any more. */
  readonly isClosing: boolean;
  /** Has the person's shard answer to `to`. */
  route(request: Request, to: Responder & ForwardOrigin): void;
  /** Answers the client's own request. */
  sendBytes(id: number, bytes: Uint8Array): void;
  push(bytes: Uint8Array): void;
}

/** A shard's answer: an error, the answer of a decide, or that there is nothing new. */
type Told = ErrorReply | (Pick<DecideReply, 'ok' | 'id'> & Partial<DecideReply>);

export class Subscriptions {
  readonly #session: SubscribedSession;
  /** By the id of their request. */
  readonly #byId = new Map<number, Subscription>();

  constructor(session: SubscribedSession) {
    this.#session = session;
  }

  /** Begins the one the request asks for; or why not. */
  begin(request: Request): { readonly fault: Fault; readonly message: string } | null {
    const { id, decide } = request;
    if (this.#byId.has(id)) return { fault: FAULT.invalidId, message: 'id: names a subscription of this connection' };
    if (this.#byId.size >= LIMITS.subscriptionsMax) {
      const message = `subscribe: a connection has ${LIMITS.subscriptionsMax} subscriptions at most`;
      return { fault: FAULT.tooManySubscriptions, message };
    }
    if (this.#session.shared.subscriptions >= WORKER_MAX) {
      const message = `subscribe: a worker's connections have ${WORKER_MAX} subscriptions at most; try again later`;
      return { fault: FAULT.tooManySubscriptions, message };
    }
    if (JSON.stringify(decide).length > QUESTION_CHARACTERS_MAX) {
      const message = `subscribe.decide: expected a question of at most ${QUESTION_CHARACTERS_MAX} characters as JSON`;
      return { fault: FAULT.tooLarge, message };
    }
    this.#session.shared.subscriptions++;
    const ended = (): void => {
      if (this.#byId.delete(id)) this.#session.shared.subscriptions--;
    };
    const subscription = new Subscription(this.#session, id, profileOf(request), decide ?? {}, ended);
    subscription.expectWithin(request.deadlineMillis);
    this.#byId.set(id, subscription);
    return null;
  }

  /** Ends those of the request's profile, or of its question there; their ids. */
  end(request: Request): number[] {
    const profile = profileOf(request);
    const ended = [...this.#byId.values()].filter((one) => one.isAbout(profile, request.decide));
    for (const one of ended) one.end();
    return ended.map(({ id }) => id);
  }

  endAll(): number[] {
    const ids = [...this.#byId.keys()];
    for (const one of this.#byId.values()) one.end();
    return ids;
  }
}

function profileOf({ keyBytes, keyStart, keyLength }: Request): string {
  return keyDecoder.decode(keyBytes.subarray(keyStart, keyStart + keyLength));
}

class Subscription implements Responder, ForwardOrigin {
  readonly id: number;
  readonly profile: string;
  readonly decide: Properties;
  readonly encoding: Encoding;
  readonly tenant: number;
  readonly actor: string;
  readonly door: Responder['door'];
  readonly source: Responder['source'];
  readonly hasOptOut: boolean;
  readonly writer: DocumentWriter;
  readonly decoder: FrameDecoder;
  readonly line = new MailboxLine();
  readonly #session: SubscribedSession;
  readonly #ended: () => void;
  #asked: Asked = { known: '', knownSeq: 0 };
  #isOver = false;
  #timer: NodeJS.Timeout | NodeJS.Immediate | undefined;
  /** Of the first answer. */
  #deadline: NodeJS.Timeout | undefined;

  constructor(session: SubscribedSession, id: number, profile: string, decide: Properties, ended: () => void) {
    this.#ended = ended;
    this.id = id;
    this.profile = profile;
    this.decide = decide;
    this.#session = session;
    this.encoding = session.encoding;
    this.tenant = session.tenant;
    this.actor = session.actor;
    this.door = session.door;
    this.source = session.source;
    this.hasOptOut = session.hasOptOut;
    this.writer = session.writer;
    this.decoder = session.decoder;
    this.#askSoon(0);
  }

  /** Whether an `unsubscribe` for this profile, and this question where it names one, means it. */
  isAbout(profile: string, decide: Properties | null): boolean {
    return profile === this.profile && (decide === null || JSON.stringify(decide) === JSON.stringify(this.decide));
  }

  /** Ends it where the client has had no answer by then; 0: whenever one comes. */
  expectWithin(deadlineMillis: number): void {
    if (deadlineMillis === 0) return;
    const { status, code, retry } = FAULT.deadlineExceeded;
    const message = 'deadlineMillis: passed before the first answer; nothing is subscribed to';
    this.#deadline = setTimeout(() => {
      if (this.#isFirst) this.#fail({ id: this.id, ok: false, status, code, retry, message });
    }, deadlineMillis);
  }

  end(): void {
    this.#isOver = true;
    this.#ended();
    clearTimeout(this.#deadline);
    clearTimeout(this.#timer as NodeJS.Timeout | undefined);
    clearImmediate(this.#timer as NodeJS.Immediate | undefined);
  }

  /** Never at once: a decoder that is at work now would be used within itself. */
  #askSoon(millis: number): void {
    this.#timer = millis > 0 ? setTimeout(() => this.#ask(), millis) : setImmediate(() => this.#ask());
  }

  #ask(): void {
    const { connection, isClosing } = this.#session;
    if (this.#isOver || isClosing) return;
    if (connection.bufferedBytes() > UNREAD_BYTES_MAX) {
      this.#askSoon(UNREAD_MILLIS);
      return;
    }
    const { id, profile, decide, writer } = this;
    writer.reset();
    writer.plain({ id, op: 'subscribe', profile, decide: { ...decide, ...this.#asked } });
    // A copy: answers are written with the same writer.
    const frame = writer.finish().slice();
    this.decoder.decode(frame, {
      onRequest: (request) => this.#session.route(request, this),
      // Too long with what was added to it.
      onInvalid: (_id, fault, message) => this.failForwarded(id, fault, message),
    });
  }

  /** Whether the client has had no answer yet. */
  get #isFirst(): boolean {
    return this.#asked.known === '';
  }

  send(): void {
    this.#told(this.writer.finish());
  }
  sendBytes(_slot: number, bytes: Uint8Array): void {
    this.#told(bytes);
  }
  failForwarded(_id: number, fault: Fault, message: string): void {
    this.writer.reset();
    writeError(this.writer, this.id, fault, message);
    this.#told(this.writer.finish());
  }

  #told(bytes: Uint8Array): void {
    if (this.#isOver || !this.#session.connection.isOpen) return;
    const told = decodeReply(this.encoding, bytes) as unknown as Told; // of our own writers
    if (!told.ok) {
      if (this.#isFirst || told.retry === 'never') this.#fail(told);
      else this.#askSoon(Math.max(RETRY_MILLIS, told.retryAfterMillis ?? 0));
      return;
    }
    const { id, ...answer } = told;
    if (answer.actions !== undefined) {
      const isFirst = this.#isFirst;
      clearTimeout(this.#deadline);
      this.#asked = { known: answerDigest({ ...answer, actions: answer.actions }), knownSeq: answer.stateSeq ?? 0 };
      if (isFirst) this.#session.sendBytes(id, this.#written({ id, ...answer } as unknown as Properties));
      else this.#push({ push: 'decision', subscription: id, ...answer } as unknown as Properties); // of plain values
    }
    this.#askSoon(0);
  }

  /** The first question's fault is the reply; a later one, that will not pass, ends the subscription. */
  #fail({ status, code, message, retry, retryAfterMillis }: ErrorReply): void {
    const fault = { status, code, message, retry, ...(retryAfterMillis === undefined ? {} : { retryAfterMillis }) };
    this.end();
    if (this.#isFirst) this.#session.sendBytes(this.id, this.#written({ id: this.id, ok: false, ...fault }));
    else this.#push({ push: 'ended', subscription: this.id, ...fault });
  }

  #push(document: Properties): void {
    this.#session.push(this.#written(document));
  }

  #written(document: Properties): Uint8Array {
    this.writer.reset();
    this.writer.plain(document);
    return this.writer.finish();
  }
}
