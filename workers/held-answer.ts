/**
 * An answer that waits in the output gate for its batch to be on disk. What it says is fixed when the
 * turn ends; whether and when it leaves is the disk's. One flat object an answer instead of a closure for
 * each fate: a thousand tracks in flight are a thousand of these, and the garbage of a batch is no more.
 */
import type { HeldReply } from '../actors/output-gate.ts';
import { OP, type OpNumber } from '../proto/messages.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';
import type { Responder } from './responder.ts';

/** Who sends it in the end: the answer when `fault` is null, the fault otherwise. */
export interface HeldAnswerOwner {
  release(answer: HeldAnswer, fault: Fault | null, message: string): void;
}

export class HeldAnswer implements HeldReply {
  readonly #owner: HeldAnswerOwner;
  readonly responder: Responder;
  readonly slot: number;
  id = 0;
  op: OpNumber = OP.ping;
  traceparent = '';
  isForwarded = false;
  arrivedMicros = 0;
  heldMicros = 0;
  deadlineMicros = Number.POSITIVE_INFINITY;
  stateSeq = 0;
  isDuplicate = false;
  /** Of an `identify`: why traits were left out. */
  dropped: readonly string[] = [];
  /** What the answer says, where it refuses: what was refused is kept, and that it is waits for the disk. */
  refusal: { readonly fault: Fault; readonly message: string } | null = null;
  /** The whole answer, where it cannot be written later from the fields above. */
  bytes: Uint8Array | null = null;

  constructor(owner: HeldAnswerOwner, responder: Responder, slot: number) {
    this.#owner = owner;
    this.responder = responder;
    this.slot = slot;
  }

  onCommitted(): void {
    this.#owner.release(this, this.refusal?.fault ?? null, this.refusal?.message ?? '');
  }

  /** Kept, but not all of what was asked could be done. */
  onRefused(fault: Fault, message: string): void {
    this.#owner.release(this, fault, message);
  }

  onFailed(): void {
    this.#owner.release(this, FAULT.writeFailed, 'store: the write failed; nothing of this request was kept');
  }

  onExpired(): void {
    const message = 'deadlineMillis: passed while waiting for the disk; the write goes on';
    this.#owner.release(this, FAULT.deadlineExceeded, message);
  }
}
