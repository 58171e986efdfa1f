/**
 * Keys that a person's traits tell: where the catalog says that the trait `email` is a key of the type `mail`, an
 * `identify` that sets it joins `mail:ann@example.com` to the person, as an `alias` would, and is answered when both are
 * on disk. A key that may not be joined (a placeholder, or one too many) stays what it is: the traits are kept all the
 * same. Where its worker is away, the caller is told to identify again.
 *
 *   identify ─▸ traits ─▸ on disk ─────────────┬─▸ answer
 *        └─▸ each key not joined yet ─▸ alias ─┘
 *
 * Each alias is a request like a client's, sent the same way; what that costs is paid once a person and value.
 */

import type { Door } from '../../actors/dead-letters.ts';
import { MailboxLine } from '../../actors/mailbox.ts';
import type { HeldReply } from '../../actors/output-gate.ts';
import { createWriter, type DocumentWriter } from '../../proto/reply.ts';
import { FrameDecoder, type Request } from '../../proto/request.ts';
import { type Fault, faultOf } from '../../proto/statuses.ts';
import type { HeldAnswer } from '../held-answer.ts';
import type { Responder } from '../responder.ts';

/** Runs a request, as the runner does for a client's. */
type Handle = (request: Request, responder: Responder, slot: number, arrivedMicros: number) => void;

export class ToldKeys {
  readonly #handle: Handle;
  readonly #decoder = new FrameDecoder('json');
  readonly #writer = createWriter('json');

  constructor(handle: Handle) {
    this.#handle = handle;
  }

  /**
   * Joins the keys to the profile whose `identify` told them.
   * @param answer of the identify
   * @returns what is to be held for the identify's batch in place of the answer
   */
  join(keys: readonly string[], profile: string, answer: HeldAnswer): HeldReply {
    const behind = new AnswerBehindKeys(answer, keys.length);
    for (const from of keys) {
      const responder = new KeyResponder(answer.responder, this.#writer, this.#decoder, behind);
      const frame = encoder.encode(JSON.stringify({ id: 0, op: 'alias', from, to: profile, ...deadlineOf(answer) }));
      this.#decoder.decode(frame, {
        onRequest: (request) => this.#handle(request, responder, 0, answer.arrivedMicros),
        onInvalid: (_id, fault, message) => behind.told(fault, message, 0),
      });
    }
    return behind;
  }
}

/** As the identify's own: both count from when it came. */
function deadlineOf({ arrivedMicros, deadlineMicros }: HeldAnswer): { deadlineMillis?: number } {
  return deadlineMicros === Number.POSITIVE_INFINITY
    ? {}
    : { deadlineMillis: Math.round((deadlineMicros - arrivedMicros) / 1000) };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** An identify's answer, which waits for its batch and for each of its keys. */
class AnswerBehindKeys implements HeldReply {
  readonly #answer: HeldAnswer;
  #keys: number;
  #isOnDisk = false;
  #isOver = false;
  /** Why the caller is to identify again. */
  #fault: Fault | null = null;
  #message = '';
  readonly deadlineMicros: number;

  constructor(answer: HeldAnswer, keys: number) {
    this.#answer = answer;
    this.#keys = keys;
    this.deadlineMicros = answer.deadlineMicros;
  }

  told(fault: Fault | null, message: string, stateSeq: number): void {
    this.#keys--;
    this.#answer.stateSeq = Math.max(this.#answer.stateSeq, stateSeq);
    if (fault !== null && fault.retry !== 'never') {
      this.#fault = fault;
      this.#message = `identify: the traits are kept, a key among them is not joined yet; ${message}`;
    }
    this.#finish();
  }

  onCommitted(): void {
    this.#isOnDisk = true;
    this.#finish();
  }
  onFailed(): void {
    if (!this.#isOver) this.#answer.onFailed();
    this.#isOver = true;
  }
  onExpired(): void {
    if (!this.#isOver) this.#answer.onExpired();
    this.#isOver = true;
  }

  #finish(): void {
    if (this.#isOver || !this.#isOnDisk || this.#keys > 0) return;
    this.#isOver = true;
    if (this.#fault === null) this.#answer.onCommitted();
    else this.#answer.onRefused(this.#fault, this.#message);
  }
}

/** Takes the answer to one key's alias, on behalf of who told it. */
class KeyResponder implements Responder {
  readonly encoding = 'json';
  readonly actor: string;
  readonly door: Door;
  readonly source: string;
  readonly hasOptOut: boolean;
  readonly writer: DocumentWriter;
  readonly line = new MailboxLine();
  readonly decoder: FrameDecoder;
  readonly #behind: AnswerBehindKeys;

  constructor(
    { actor, door, source, hasOptOut }: Responder,
    writer: DocumentWriter,
    decoder: FrameDecoder,
    behind: AnswerBehindKeys,
  ) {
    this.actor = actor;
    this.door = door;
    this.source = source;
    this.hasOptOut = hasOptOut;
    this.writer = writer;
    this.decoder = decoder;
    this.#behind = behind;
  }

  send(slot: number): void {
    this.sendBytes(slot, this.writer.finish());
  }
  sendBytes(_slot: number, bytes: Uint8Array): void {
    const reply = JSON.parse(decoder.decode(bytes)) as AliasAnswer; // of our own writer
    if (reply.ok) this.#behind.told(null, '', reply.stateSeq);
    else this.#behind.told(faultOf(reply.code), reply.message, 0);
  }
}

type AliasAnswer =
  | { readonly ok: true; readonly stateSeq: number }
  | { readonly ok: false; readonly code: number; readonly message: string };
