/**
 * Who gets an answer: a connection on this thread, or the link to the worker the request came from. The
 * runner of requests knows no more of them than this.
 */
import type { Door } from '../actors/dead-letters.ts';
import type { MailboxLine } from '../actors/mailbox.ts';
import type { DocumentWriter, Encoding } from '../proto/reply.ts';
import type { FrameDecoder } from '../proto/request.ts';

/** Somebody to answer. Lives as long as the connection (or the forwarding link) it stands for. */
export interface Responder {
  readonly encoding: Encoding;
  /** Who asks, as the audit log names it. */
  readonly actor: string;
  /** By which way its requests came in. */
  readonly door: Door;
  /** What they are counted under, for who looks at the quality of what comes in. */
  readonly source: string;
  /** Its browser sent `Sec-GPC: 1`, which binds what it asks for. */
  readonly hasOptOut: boolean;
  /** Writer of the encoding the answer must have; shared, so fill and send it in one go. */
  readonly writer: DocumentWriter;
  /** Sends what the writer holds; `slot` is what the caller of `handle` gave. */
  send(slot: number): void;
  /** Sends a document made earlier. */
  sendBytes(slot: number, bytes: Uint8Array): void;
  /** Where its requests wait when they cannot have their turn at once. */
  readonly line: MailboxLine;
  /** Decoder that can read this responder's requests again (queued ones are kept as bytes). */
  readonly decoder: FrameDecoder;
}

/** What an actor is named where the server asks for no token. */
export const NOBODY_IN_PARTICULAR = 'anonymous';
