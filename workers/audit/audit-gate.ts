/**
 * How shard workers put what must be in the audit log into it, without waiting: a message to the main thread before
 * the answer leaves, and a few shared numbers that bound what is under way.
 *
 *   worker: mayAccess? ─▸ record (counted, told to main) ─▸ answer leaves        main: written ─▸ counted off
 *
 * A person's data is refused while the log cannot be written, or while a worker has 1,024 accesses that are not in the
 * file yet. Changes of consent are never refused for it: they are in the journal anyway, and the log says how many it
 * lost. When an answer has left, its record is in the main thread's queue: `kill -9` in that millisecond loses it.
 */
import type { AuditDetail, AuditEvent, AuditKind } from './audit-record.ts';

const ACCESSES_MAX = 1_024;

export type AuditMemory = SharedArrayBuffer;

/** @param shards workers of the node */
export function createAuditMemory(shards: number): AuditMemory {
  return new SharedArrayBuffer((shards + 1) * Int32Array.BYTES_PER_ELEMENT);
}

/** The main thread's side. */
export class AuditGate {
  readonly #words: Int32Array;

  constructor(memory: AuditMemory) {
    this.#words = new Int32Array(memory);
  }

  set isOpen(isOpen: boolean) {
    Atomics.store(this.#words, 0, isOpen ? 0 : 1);
  }

  written(shard: number): void {
    Atomics.sub(this.#words, shard + 1, 1);
  }

  /** A worker's messages died with it. */
  forget(shard: number): void {
    Atomics.store(this.#words, shard + 1, 0);
  }
}

/** A worker's side: what the runner of requests knows of the audit log. */
export class AuditOutlet {
  readonly #words: Int32Array;
  readonly #shard: number;
  readonly #tell: (event: AuditEvent) => void;

  constructor(memory: AuditMemory, shard: number, tell: (event: AuditEvent) => void) {
    this.#words = new Int32Array(memory);
    this.#shard = shard;
    this.#tell = tell;
  }

  /** Whether a person's data may be shown now. */
  mayAccess(): boolean {
    return Atomics.load(this.#words, 0) === 0 && Atomics.load(this.#words, this.#shard + 1) < ACCESSES_MAX;
  }

  /** Call before the answer leaves. */
  record(kind: AuditKind, actor: string, person: string | null, atEpochMillis: number, detail: AuditDetail): void {
    Atomics.add(this.#words, this.#shard + 1, 1);
    this.#tell({ kind, actor, ...(person === null ? {} : { person }), atEpochMillis, detail });
  }
}
