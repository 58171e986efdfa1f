/**
 * The store as profiles see it while logged decisions are computed again: records and traits as they were at the
 * entry in question, in memory, built from the journal alone; the journal itself is read from disk. Nothing is
 * written. What the models learn from is a decision somewhat earlier in the journal, so the batches read last
 * are kept.
 */
import type { JournalPosition, Store } from '../../actors/store.ts';
import type { JournalReader } from '../store/journal-reader.ts';

/** 32 KB each. */
const BATCHES_KEPT = 512;

export class RecomputeStore implements Store {
  /** Profiles are marked as changed in this batch; it is never closed. */
  readonly openBatch = 1;
  readonly openBatchBytes = 0;
  readonly #reader: JournalReader;
  readonly #records = new Map<string, Uint8Array>();
  readonly #cold = new Map<string, Uint8Array>();
  /** In order of their last use. */
  readonly #batches = new Map<string, Uint8Array | undefined>();

  constructor(reader: JournalReader) {
    this.#reader = reader;
  }

  getRecord(key: Uint8Array): Uint8Array | undefined {
    return this.#records.get(nameOf(key));
  }
  getCold(key: Uint8Array): Uint8Array | undefined {
    return this.#cold.get(nameOf(key));
  }
  putRecord(key: Uint8Array, bytes: Uint8Array, start: number, length: number): void {
    this.#records.set(nameOf(key), bytes.slice(start, start + length));
  }
  putCold(key: Uint8Array, bytes: Uint8Array): void {
    this.#cold.set(nameOf(key), Uint8Array.from(bytes));
  }
  removeProfile(key: Uint8Array): void {
    this.#records.delete(nameOf(key));
    this.#cold.delete(nameOf(key));
  }

  readJournal(position: JournalPosition): Uint8Array | undefined {
    const name = `${position.epoch}:${position.stream}:${position.batch}`;
    const known = this.#batches.get(name);
    const bytes = known ?? this.#reader.batch(position);
    this.#batches.delete(name);
    this.#batches.set(name, bytes);
    if (this.#batches.size > BATCHES_KEPT) {
      for (const oldest of this.#batches.keys()) {
        this.#batches.delete(oldest);
        break;
      }
    }
    return bytes;
  }

  putMeta(): void {}
  getMeta(): undefined {
    return undefined;
  }
  appendJournal(): number {
    throw new RangeError('decisions are computed again without being written');
  }
  commit(): Promise<void> {
    return Promise.resolve();
  }
  scanJournal(): void {}
  recover(): Promise<boolean> {
    return Promise.resolve(true);
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}
