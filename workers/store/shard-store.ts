/**
 * The store as a shard uses it: the actors' port, and what only the whole shard asks for. `LmdbStore` is the
 * one in use; the simulation puts another in front of it that watches what passes.
 */
import type { JournalPosition, Store } from '../../actors/store.ts';

export interface TrimOptions {
  /** Stop once the journal uses no more than this many bytes of pages. */
  readonly keepBytes: number;
  /** Only batches that `scanJournal(before)` would not visit are removed: pass the checkpoints in force. */
  readonly before: readonly JournalPosition[];
}

export interface ShardStore extends Store {
  /** Commits that have not settled: what the caller bounds when the disk is slower than the load. */
  readonly unsettledBatches: number;
  /** Bytes on disk. */
  sizeBytes(): number;
  /** Visits committed records from a key on, at most `limit`; returns the key to go on with, or undefined at the end. */
  scanRecords(
    from: Uint8Array,
    limit: number,
    visit: (key: Uint8Array, record: Uint8Array) => void,
  ): Uint8Array | undefined;
  /**
   * Blanks entries of a batch in place (see `journal-blanking.ts`), synced when it resolves. False where the batch is
   * not on disk yet: ask again later; true also where it has left the journal. Rejects like `commit`.
   */
  blankJournal(position: JournalPosition, offsets: readonly number[]): Promise<boolean>;
  /** Removes the oldest batches; returns how many pages were given up. Rejects like `commit`. */
  trimJournal(options: TrimOptions): Promise<number>;
}
