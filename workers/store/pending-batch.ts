/**
 * A batch from its first put until it is settled: the journal's entries in one growing buffer, the
 * records in write sets, the few named values in maps. Reads look into it while LMDB is still writing;
 * nothing is ever taken out of it one by one, the whole batch is dropped when it has settled and its
 * buffers serve the next one. Two or three of them take turns, because commits overlap.
 *
 *   open ──commit──▶ queued ──▶ writing ──▶ settled (kept for reuse, unless the write failed:
 *                                            LMDB may then still read from the buffers)
 */
import type { DatabaseName, StoreDisk, StoreTable } from './environment.ts';
import { DATABASE } from './environment.ts';
import { encodeJournalKey } from './journal-key.ts';
import { PIECE_BYTES } from './journal-scan.ts';
import { SEAL_BYTES, sealInPlace } from './sealed-value.ts';
import { WriteSet } from './write-set.ts';

const JOURNAL_BYTES_INITIAL = 64 * 1024;
/** A journal buffer that grew past this is let go after its batch. */
const JOURNAL_BYTES_KEPT = 1024 * 1024;

export class PendingBatch {
  number = 0;
  readonly records = new WriteSet();
  readonly cold = new WriteSet();
  /** Name → sealed value. */
  readonly meta = new Map<string, Uint8Array>();
  readonly models = new Map<string, Uint8Array>();
  /** Set by `commit`, settles when the batch is on disk or lost. */
  settled: Promise<void> | undefined;
  resolve: () => void = nothing;
  reject: (error: Error) => void = nothing;
  #journal = new Uint8Array(new ArrayBuffer(JOURNAL_BYTES_INITIAL));
  #sealed = new Uint8Array(new ArrayBuffer(2 * JOURNAL_BYTES_INITIAL));
  #journalUsed = 0;
  #namedBytes = 0;

  get journalBytes(): number {
    return this.#journalUsed;
  }

  get isEmpty(): boolean {
    return (
      this.#journalUsed === 0 &&
      this.records.count === 0 &&
      this.cold.count === 0 &&
      this.meta.size === 0 &&
      this.models.size === 0
    );
  }

  /** Bytes of all values; one put under the same name twice counts twice. */
  get sizeBytes(): number {
    return this.#journalUsed + this.records.sizeBytes + this.cold.sizeBytes + this.#namedBytes;
  }

  get putCount(): number {
    return this.#pieceCount + this.records.count + this.cold.count + this.meta.size + this.models.size;
  }

  /** A copy of the entries appended so far, or undefined where there are none. */
  copyJournal(): Uint8Array | undefined {
    return this.#journalUsed === 0 ? undefined : this.#journal.slice(0, this.#journalUsed);
  }

  /** Copies `bytes[start, start + length)` to the end of the journal; returns its offset. */
  appendJournal(bytes: Uint8Array, start: number, length: number): number {
    const offset = this.#journalUsed;
    const needed = offset + length;
    if (needed > this.#journal.length) {
      const grown = new Uint8Array(new ArrayBuffer(Math.max(needed, this.#journal.length * 2)));
      grown.set(this.#journal.subarray(0, offset));
      this.#journal = grown;
    }
    if (start === 0 && length === bytes.length) this.#journal.set(bytes, offset);
    else this.#journal.set(bytes.subarray(start, start + length), offset);
    this.#journalUsed = offset + length;
    return offset;
  }

  /** Hands everything to LMDB. Only inside `StoreEnvironment.write`; the batch must not change afterwards. */
  writeInto(environment: StoreDisk, epoch: number, stream: number): void {
    if (this.#journalUsed > 0) this.#writeJournal(environment, epoch, stream);
    this.records.forEachSealed((key, sealed) => putOrRemove(environment.records, key, sealed));
    this.cold.forEachSealed((key, sealed) => putOrRemove(environment.cold, key, sealed));
    for (const [name, sealed] of this.meta) environment.meta.put(Buffer.from(name), sealed);
    for (const [name, sealed] of this.models) environment.models.put(Buffer.from(name), sealed);
  }

  /** In pieces of a page each, the last one never full; copied once more to make room for the seals. */
  #writeJournal(environment: StoreDisk, epoch: number, stream: number): void {
    const pieceCount = this.#pieceCount;
    const sealedBytes = this.#journalUsed + pieceCount * SEAL_BYTES;
    if (this.#sealed.length < sealedBytes) this.#sealed = new Uint8Array(new ArrayBuffer(this.#journal.length * 2));
    for (let piece = 0; piece < pieceCount; piece++) {
      const from = piece * PIECE_BYTES;
      const length = Math.min(PIECE_BYTES, this.#journalUsed - from);
      const to = piece * (PIECE_BYTES + SEAL_BYTES);
      this.#sealed.set(this.#journal.subarray(from, from + length), to);
      sealInPlace(this.#sealed, to, length);
      const key = encodeJournalKey(epoch, stream, this.number, piece);
      environment.journal.put(key, this.#sealed.subarray(to, to + length + SEAL_BYTES));
    }
  }

  get #pieceCount(): number {
    return Math.floor(this.#journalUsed / PIECE_BYTES) + 1;
  }

  /** Only when the batch has settled or was never written. */
  clear(): void {
    this.records.clear();
    this.cold.clear();
    this.meta.clear();
    this.models.clear();
    this.#journalUsed = 0;
    this.#namedBytes = 0;
    if (this.#journal.length > JOURNAL_BYTES_KEPT)
      this.#journal = new Uint8Array(new ArrayBuffer(JOURNAL_BYTES_INITIAL));
    this.settled = undefined;
    this.resolve = nothing;
    this.reject = nothing;
  }

  putNamed(database: DatabaseName, name: string, sealed: Uint8Array): void {
    this.#namedBytes += sealed.length;
    this.#mapOf(database).set(name, sealed);
  }

  /** The sealed value put under a name, or undefined. */
  getNamed(database: DatabaseName, name: string): Uint8Array | undefined {
    return this.#mapOf(database).get(name);
  }

  #mapOf(database: DatabaseName): Map<string, Uint8Array> {
    return database === DATABASE.models ? this.models : this.meta;
  }
}

function putOrRemove(table: StoreTable, key: Uint8Array, sealed: Uint8Array | null): void {
  if (sealed === null) table.remove(key);
  else table.put(key, sealed);
}

function nothing(): void {}
