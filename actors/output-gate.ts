/**
 * The output gate: a reply that promises "on disk" waits here until its batch is. Replies of one batch
 * leave together, in the order they came; when the write fails, each gets the failure instead, so that
 * nothing is ever acknowledged that could be lost.
 *
 *   turn ▸ hold(batch 7) ┐
 *   turn ▸ hold(batch 7) ┼ … commit of batch 7 … ▸ open(7): both replies go out
 *   turn ▸ hold(batch 8) ┘ stays
 *
 * Bounded by its owner, who asks `isFull` before a turn. A deadline that passes while waiting is answered at the next
 * `expire`, and the write still happens (the caller's retry with the same messageId is harmless).
 */
export interface HeldReply {
  /** The write is on disk. */
  onCommitted(): void;
  /** The write failed; nothing of it was kept. */
  onFailed(): void;
  /** The deadline passed first. */
  onExpired(): void;
  /** Monotonic microseconds at which the caller stops waiting; Infinity for never. */
  readonly deadlineMicros: number;
}

export class OutputGate {
  readonly depthMax: number;
  #batches: number[] = [];
  #replies: (HeldReply | null)[] = [];
  #head = 0;
  #depth = 0;
  #deadlines = 0;

  constructor(depthMax: number) {
    this.depthMax = depthMax;
  }

  get depth(): number {
    return this.#depth;
  }
  get isFull(): boolean {
    return this.#depth >= this.depthMax;
  }

  /** Batches must not decrease from call to call. */
  hold(batch: number, reply: HeldReply): void {
    this.#batches.push(batch);
    this.#replies.push(reply);
    this.#depth++;
    if (reply.deadlineMicros !== Number.POSITIVE_INFINITY) this.#deadlines++;
  }

  /** Lets out every reply of this batch and the ones before it. */
  open(batch: number): void {
    this.#settle(batch, true);
  }

  /** Fails every waiting reply: after a failed commit, the later batches are not written either. */
  breakAll(): void {
    this.#settle(Number.POSITIVE_INFINITY, false);
  }

  expire(nowMicros: number): void {
    if (this.#deadlines === 0) return;
    for (let i = this.#head; i < this.#replies.length; i++) {
      const reply = this.#replies[i];
      if (reply === null || reply === undefined || reply.deadlineMicros > nowMicros) continue;
      this.#replies[i] = null;
      this.#depth--;
      this.#deadlines--;
      reply.onExpired();
    }
  }

  #settle(batch: number, isCommitted: boolean): void {
    while (this.#head < this.#replies.length && (this.#batches[this.#head] as number) <= batch) {
      const reply = this.#replies[this.#head] as HeldReply | null;
      this.#replies[this.#head] = null;
      this.#head++;
      if (reply === null) continue;
      this.#depth--;
      if (reply.deadlineMicros !== Number.POSITIVE_INFINITY) this.#deadlines--;
      if (isCommitted) reply.onCommitted();
      else reply.onFailed();
    }
    if (this.#head === this.#replies.length) {
      this.#batches = [];
      this.#replies = [];
      this.#head = 0;
    } else if (this.#head > 4096) {
      this.#batches = this.#batches.slice(this.#head);
      this.#replies = this.#replies.slice(this.#head);
      this.#head = 0;
    }
  }
}
