/**
 * The durable store of one thread: the port of `actors/store.ts` on LMDB. Several threads open the same
 * folder, each as its own stream of the journal; what they write meets in one environment, which is why
 * another number of workers needs no migration.
 *
 * Guarantees: a batch is wholly on disk or not at all; `commit` resolves only after the sync; commits
 * settle in order; reads see every put made before them. At most one transaction of this store is under
 * way: batches closed meanwhile wait and share the next one. That groups commits when the disk is slow,
 * and it is what keeps the journal free of holes: with two under way the first could fail and the second,
 * computed on top of it, succeed.
 *
 * After a failed write everything uncommitted is lost by design: waiting commits reject, new ones reject
 * at once, reads fall back to what is on disk, until `recover` succeeds. Batch numbers are never reused.
 */
import { type JournalBatch, type JournalPosition, STORE_KEY_BYTES } from '../../actors/store.ts';
import type { DatabaseName, StoreDisk, StoreTable } from './environment.ts';
import { type EnvironmentOptions, StoreEnvironment, VALUE_BYTES_MAX } from './environment.ts';
import { blankEntry } from './journal-blanking.ts';
import { BATCH_MAX, EPOCH_MAX, encodeJournalKey, STREAM_MAX } from './journal-key.ts';
import { journalBatches, lastBatchOf, readBatch, sealedPieces, uncoveredKeys } from './journal-scan.ts';
import { PendingBatch } from './pending-batch.ts';
import { checkSeal, SEAL_BYTES, sealedCopy } from './sealed-value.ts';
import type { ShardStore, TrimOptions } from './shard-store.ts';
import { STORE_ERROR, StoreError } from './store-error.ts';

/** Waiting batches share one transaction up to this size, so that a backlog cannot make one endless write. */
const TRANSACTION_BYTES_MAX = 4 * 1024 * 1024;
const IDLE_BATCHES_MAX = 4;
/** lmdb's bound on a key is larger; a name is for people. */
const NAME_BYTES_MAX = 255;
const TRIM_CHUNK_PIECES = 256;
/** Large enough that a few stray free pages inside the file do not pass for a disk with room. */
const PROBE_BYTES = 64 * 1024;
const PROBE_NAME = Buffer.from('store.probe');

/** Which stream of the journal a store writes. */
export interface StreamOptions {
  /** Counts starts of the node: what `claimEpoch` returned. 1 to 2^32 - 1. */
  readonly epoch: number;
  /** This writer's own stream of the journal, 0 to 65,535. No two open stores of an epoch may share one. */
  readonly stream: number;
  /**
   * Least number of the first batch, for who knows of batches that never reached the disk. Never smaller than one
   * after the last batch of this epoch and stream on disk.
   */
  readonly openBatchMin?: number;
}

export type LmdbStoreOptions = Omit<EnvironmentOptions, 'isReadOnly'> & StreamOptions;

export class LmdbStore implements ShardStore {
  readonly epoch: number;
  readonly stream: number;
  readonly #environment: StoreDisk;
  #open = new PendingBatch();
  /** Closed and not settled, oldest first. */
  readonly #pending: PendingBatch[] = [];
  readonly #idle: PendingBatch[] = [];
  #isWriting = false;
  #failure: StoreError | undefined;
  #recovery: Promise<boolean> | undefined;
  #isClosed = false;

  /** Opens the store in this thread. Throws StoreError `OPEN_FAILED`. Blocks for a few file operations. */
  static open(options: LmdbStoreOptions): LmdbStore {
    assertStream(options);
    return new LmdbStore(StoreEnvironment.open(options), options);
  }

  /** The same store on another disk, which it closes in the end: the simulation's, in memory. */
  static on(disk: StoreDisk, options: StreamOptions): LmdbStore {
    assertStream(options);
    return new LmdbStore(disk, options);
  }

  private constructor(disk: StoreDisk, options: StreamOptions) {
    this.epoch = options.epoch;
    this.stream = options.stream;
    this.#environment = disk;
    const next = lastBatchOf(this.#environment.journal, options.epoch, options.stream) + 1;
    // A smaller number would overwrite a committed batch.
    this.#open.number = Math.max(next, options.openBatchMin ?? 1);
  }

  get openBatch(): number {
    return this.#open.number;
  }

  get openBatchBytes(): number {
    return this.#open.journalBytes;
  }

  /** Commits that have not settled: what the caller bounds when the disk is slower than the load. */
  get unsettledBatches(): number {
    return this.#pending.length;
  }

  /** Why commits are refused at the moment, or undefined when they are not. */
  get failure(): StoreError | undefined {
    return this.#failure;
  }

  /** Size of the data file in bytes. It never shrinks; trimmed pages are used again. */
  sizeBytes(): number {
    this.#assertOpen();
    return this.#environment.sizeBytes();
  }

  /** Pages in use by the journal, in bytes. */
  journalSizeBytes(): number {
    this.#assertOpen();
    return this.#environment.journal.usedBytes();
  }

  getRecord(key: Uint8Array): Uint8Array | undefined {
    this.#assertKey(key);
    let entry = this.#open.records.find(key);
    if (entry >= 0) return this.#open.records.copyOf(entry);
    for (let index = this.#pending.length - 1; index >= 0; index--) {
      const set = (this.#pending[index] as PendingBatch).records; // index < length
      entry = set.find(key);
      if (entry >= 0) return set.copyOf(entry);
    }
    return this.#environment.records.get(key);
  }

  getCold(key: Uint8Array): Uint8Array | undefined {
    this.#assertKey(key);
    let entry = this.#open.cold.find(key);
    if (entry >= 0) return this.#open.cold.copyOf(entry);
    for (let index = this.#pending.length - 1; index >= 0; index--) {
      const set = (this.#pending[index] as PendingBatch).cold; // index < length
      entry = set.find(key);
      if (entry >= 0) return set.copyOf(entry);
    }
    return this.#environment.cold.get(key);
  }

  putRecord(key: Uint8Array, bytes: Uint8Array, start: number, length: number): void {
    this.#assertKey(key);
    assertSize('record', length);
    this.#open.records.put(key, bytes, start, length);
  }

  putCold(key: Uint8Array, bytes: Uint8Array): void {
    this.#assertKey(key);
    assertSize('cold record', bytes.length);
    this.#open.cold.put(key, bytes, 0, bytes.length);
  }

  removeProfile(key: Uint8Array): void {
    this.#assertKey(key);
    this.#open.records.remove(key);
    this.#open.cold.remove(key);
  }

  putMeta(name: string, bytes: Uint8Array): void {
    this.#putNamed(this.#environment.meta.name, name, bytes);
  }

  getMeta(name: string): Uint8Array | undefined {
    return this.#getNamed(this.#environment.meta, name);
  }

  /** A model snapshot under a name; part of the batch, at most 8 MiB. */
  putModel(name: string, bytes: Uint8Array): void {
    this.#putNamed(this.#environment.models.name, name, bytes);
  }

  getModel(name: string): Uint8Array | undefined {
    return this.#getNamed(this.#environment.models, name);
  }

  /** Throws StoreError `TOO_LARGE` where the open batch would pass 8 MiB: commit more often. */
  appendJournal(bytes: Uint8Array, start: number, length: number): number {
    this.#assertOpen();
    assertSize('batch of journal entries', this.#open.journalBytes + length);
    return this.#open.appendJournal(bytes, start, length);
  }

  commit(): Promise<void> {
    if (this.#isClosed) return Promise.reject(closedError());
    if (this.#failure !== undefined) {
      this.#dropOpen();
      return Promise.reject(this.#failure);
    }
    const batch = this.#open;
    // Nothing new: as durable as what was closed last.
    if (batch.isEmpty) return this.#pending[this.#pending.length - 1]?.settled ?? Promise.resolve();
    batch.settled = new Promise<void>((resolve, reject) => {
      batch.resolve = resolve;
      batch.reject = reject;
    });
    const settled = batch.settled;
    this.#pending.push(batch);
    this.#open = this.#nextBatch(batch.number + 1);
    if (!this.#isWriting) this.#writePending();
    return settled;
  }

  readJournal(position: JournalPosition): Uint8Array | undefined {
    this.#assertOpen();
    if (position.epoch === this.epoch && position.stream === this.stream) {
      if (position.batch === this.#open.number) return this.#open.copyJournal();
      for (const batch of this.#pending) if (batch.number === position.batch) return batch.copyJournal();
    }
    return readBatch(this.#environment.journal, position);
  }

  /**
   * Visits stored records whose key is at or after `from`, at most `limit`, in order of key; what is put
   * and not committed is not among them. Returns the key to go on with, or undefined at the end.
   */
  scanRecords(
    from: Uint8Array,
    limit: number,
    visit: (key: Uint8Array, record: Uint8Array) => void,
  ): Uint8Array | undefined {
    this.#assertOpen();
    const pairs = this.#environment.records.pairs(from, undefined, limit);
    for (const { key, sealed } of pairs)
      visit(key, sealed.subarray(0, checkSeal(sealed, this.#environment.records.name, key)));
    const last = pairs[pairs.length - 1]?.key;
    return pairs.length < limit || last === undefined ? undefined : Buffer.concat([last, Buffer.of(0)]);
  }

  /**
   * A listed stream begins at its position, inclusive. An unlisted stream is visited whole unless its
   * epoch is older than all listed ones. An empty list visits everything.
   */
  scanJournal(from: readonly JournalPosition[], visit: (batch: JournalBatch) => void): void {
    this.#assertOpen();
    for (const batch of journalBatches(this.#environment.journal, from)) visit(batch);
  }

  /**
   * Removes the oldest batches, about 1 MB a transaction, while the journal is larger than `keepBytes`. For the
   * main thread or one worker, now and then. Returns how many pages were given up. Rejects like `commit`.
   */
  async trimJournal(options: TrimOptions): Promise<number> {
    this.#assertOpen();
    const journal = this.#environment.journal;
    let removed = 0;
    while (!this.#isClosed && journal.usedBytes() > options.keepBytes) {
      const keys = uncoveredKeys(journal, options.before, TRIM_CHUNK_PIECES);
      if (keys.length === 0) break;
      await this.#environment.write(keys.length, 0, () => {
        for (const key of keys) journal.remove(key);
      });
      this.#environment.refreshReads();
      removed += keys.length;
    }
    return removed;
  }

  async blankJournal(position: JournalPosition, offsets: readonly number[]): Promise<boolean> {
    this.#assertOpen();
    const { epoch, stream, batch } = position;
    const firstUnsettled = this.#pending[0]?.number ?? this.#open.number;
    if (epoch === this.epoch && stream === this.stream && batch >= firstUnsettled) return false;
    const { journal } = this.#environment;
    this.#environment.refreshReads();
    const bytes = readBatch(journal, position);
    if (bytes === undefined) return true;
    for (const offset of offsets) blankEntry(bytes, offset);
    const pieces = sealedPieces(bytes);
    await this.#environment.write(pieces.length, bytes.length, () => {
      for (const [piece, sealed] of pieces.entries())
        journal.put(encodeJournalKey(epoch, stream, batch, piece), sealed);
    });
    this.#environment.refreshReads();
    return true;
  }

  recover(): Promise<boolean> {
    if (this.#isClosed) return Promise.reject(closedError());
    this.#recovery ??= this.#tryRecovery().finally(() => {
      this.#recovery = undefined;
    });
    return this.#recovery;
  }

  /** Waits for commits under way and closes. What was put and never committed is dropped. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const last = this.#pending[this.#pending.length - 1];
    await last?.settled?.catch(nothing);
    await this.#recovery;
    await this.#environment.close();
  }

  /** Makes one transaction of the waiting batches, as many as fit. */
  #writePending(): void {
    let count = 0;
    let sizeBytes = 0;
    let putCount = 0;
    while (count < this.#pending.length && (count === 0 || sizeBytes < TRANSACTION_BYTES_MAX)) {
      const batch = this.#pending[count] as PendingBatch; // count < length
      sizeBytes += batch.sizeBytes;
      putCount += batch.putCount;
      count++;
    }
    this.#isWriting = true;
    this.#environment
      .write(putCount, sizeBytes, () => {
        for (let index = 0; index < count; index++) {
          (this.#pending[index] as PendingBatch).writeInto(this.#environment, this.epoch, this.stream); // index < length
        }
      })
      .then(
        () => this.#settle(count),
        (error: StoreError) => this.#fail(error),
      );
  }

  #settle(count: number): void {
    this.#isWriting = false;
    // From here on these batches are read from disk: never through a snapshot older than their commit.
    this.#environment.refreshReads();
    for (let index = 0; index < count; index++) {
      const batch = this.#pending.shift() as PendingBatch; // count <= length, only this method removes
      batch.resolve();
      if (this.#idle.length < IDLE_BATCHES_MAX) {
        batch.clear();
        this.#idle.push(batch);
      }
    }
    if (this.#pending.length > 0) this.#writePending();
  }

  /** The batches are not kept for reuse: LMDB may still read from a write that timed out. */
  #fail(error: StoreError): void {
    this.#isWriting = false;
    this.#failure = error;
    this.#environment.refreshReads();
    for (const batch of this.#pending) batch.reject(error);
    this.#pending.length = 0;
    // What was put since stands on what is lost: a reader must not meet it.
    this.#dropOpen();
  }

  async #tryRecovery(): Promise<boolean> {
    if (this.#failure === undefined) return true;
    this.#dropOpen();
    const probe = sealedCopy(new Uint8Array(PROBE_BYTES));
    const meta = this.#environment.meta;
    try {
      // LMDB writes in order: when this is on disk, a write that had timed out has ended one way or the other.
      await this.#environment.write(1, PROBE_BYTES, () => meta.put(PROBE_NAME, probe));
      await this.#environment.write(1, 0, () => meta.remove(PROBE_NAME));
    } catch (error) {
      if (error instanceof StoreError) this.#failure = error;
      return false;
    }
    this.#environment.refreshReads();
    // Puts made while the probe was under way stood on the lost state.
    this.#dropOpen();
    this.#failure = undefined;
    return true;
  }

  #dropOpen(): void {
    if (this.#open.isEmpty) return;
    const number = this.#open.number + 1;
    this.#open.clear();
    this.#open.number = number;
  }

  #nextBatch(number: number): PendingBatch {
    const batch = this.#idle.pop() ?? new PendingBatch();
    batch.number = number;
    return batch;
  }

  #putNamed(database: DatabaseName, name: string, bytes: Uint8Array): void {
    this.#assertOpen();
    assertRange('length of a name in bytes', Buffer.byteLength(name), 1, NAME_BYTES_MAX);
    assertSize(`value "${name}"`, bytes.length);
    this.#open.putNamed(database, name, sealedCopy(bytes));
  }

  #getNamed(database: StoreTable, name: string): Uint8Array | undefined {
    this.#assertOpen();
    assertRange('length of a name in bytes', Buffer.byteLength(name), 1, NAME_BYTES_MAX);
    let sealed = this.#open.getNamed(database.name, name);
    for (let index = this.#pending.length - 1; index >= 0 && sealed === undefined; index--) {
      sealed = this.#pending[index]?.getNamed(database.name, name);
    }
    if (sealed !== undefined) return sealed.slice(0, sealed.length - SEAL_BYTES);
    return database.get(Buffer.from(name));
  }

  #assertOpen(): void {
    if (this.#isClosed) throw closedError();
  }

  #assertKey(key: Uint8Array): void {
    this.#assertOpen();
    if (key.length !== STORE_KEY_BYTES) {
      throw new RangeError(`a store key has ${STORE_KEY_BYTES} bytes, this one has ${key.length}`);
    }
  }
}

function assertStream({ epoch, stream, openBatchMin = 1 }: StreamOptions): void {
  assertRange('epoch', epoch, 1, EPOCH_MAX);
  assertRange('stream', stream, 0, STREAM_MAX);
  assertRange('openBatchMin', openBatchMin, 1, BATCH_MAX);
}

function closedError(): StoreError {
  return new StoreError(STORE_ERROR.CLOSED, 'The store is closed.');
}

function assertRange(name: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${name} must be an integer from ${min} to ${max}, not ${value}`);
  }
}

function assertSize(what: string, lengthBytes: number): void {
  if (lengthBytes <= VALUE_BYTES_MAX) return;
  throw new StoreError(STORE_ERROR.TOO_LARGE, `A ${what} of ${lengthBytes} bytes exceeds ${VALUE_BYTES_MAX} bytes.`);
}

function nothing(): void {}
