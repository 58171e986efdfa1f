/**
 * The store as the actors use it: records, cold records, a journal, and one promise for a group of
 * writes. `workers/store/lmdb-store.ts` implements it on LMDB; the simulation implements it in memory.
 *
 * Everything is written in batches. Writes made between two `commit` calls form one batch, which
 * becomes one LMDB transaction: it is wholly on disk or not at all. The journal is the log of effects
 * (decisions, events, confirmations) and the truth between two checkpoints of a record; records are
 * written now and then, so that a hot profile costs one journal entry a turn and not one record.
 *
 *   turn ▸ effect ─▸ appendJournal ─┐
 *                    putRecord  ────┼─▸ commit ─▸ [one transaction, synced] ─▸ output gate opens
 *                    putCold    ────┘
 *
 * Reads are synchronous and see every put made before them, committed or not.
 */

/** Identifies a profile in the store: tenant (2 bytes), partition (1), keyed hash (8). */
export const STORE_KEY_BYTES = 11;

/** A journal batch: `epoch` counts starts of the node, `stream` is the writing worker, `batch` counts up from 1. */
export interface JournalPosition {
  readonly epoch: number;
  readonly stream: number;
  readonly batch: number;
}

export interface JournalBatch extends JournalPosition {
  /** Concatenated entries as appended. Valid until the visitor returns. */
  readonly bytes: Uint8Array;
}

export interface Store {
  /** The stored record, or undefined. A copy the caller may keep. Throws StoreError `CORRUPT` on a bad checksum. */
  getRecord(key: Uint8Array): Uint8Array | undefined;
  getCold(key: Uint8Array): Uint8Array | undefined;
  /** `bytes` is copied before the call returns; so is `key`. */
  putRecord(key: Uint8Array, bytes: Uint8Array, start: number, length: number): void;
  putCold(key: Uint8Array, bytes: Uint8Array): void;
  /** Record and cold record are no more: reads find nothing from now on, and nothing is on disk with the batch. */
  removeProfile(key: Uint8Array): void;
  /** Small named values: checkpoints, ledgers, model snapshots' positions. Part of the batch like the others. */
  putMeta(name: string, bytes: Uint8Array): void;
  getMeta(name: string): Uint8Array | undefined;
  /** Appends one entry to the open batch; returns its offset in that batch. The bytes are copied. */
  appendJournal(bytes: Uint8Array, start: number, length: number): number;
  /** Number of the open batch: entries appended now belong to it. */
  readonly openBatch: number;
  /** Bytes appended to the open batch so far. */
  readonly openBatchBytes: number;
  /**
   * Closes the open batch and writes it as one synced transaction. Resolves when it is on disk; rejects
   * with StoreError when it is not (disk full, I/O error), in which case nothing of it is kept and later
   * commits reject too until `recover` resolves. Several commits may be under way; they settle in order.
   */
  commit(): Promise<void>;
  /** Reads one batch of the journal (this store's own also before it is committed), or undefined. A copy. */
  readJournal(position: JournalPosition): Uint8Array | undefined;
  /** Visits committed batches of all streams, by epoch, then stream, then batch, from the given positions on. */
  scanJournal(from: readonly JournalPosition[], visit: (batch: JournalBatch) => void): void;
  /** After a failed commit: forgets unwritten puts, tries a small write; resolves true when writing works again. */
  recover(): Promise<boolean>;
  /** Waits for what is under way and closes. */
  close(): Promise<void>;
}
