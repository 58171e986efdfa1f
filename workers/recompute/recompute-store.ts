/**
 * The store as profiles see it while logged decisions are computed again: records and traits as they were at the
 * entry in question, in memory, built from the journal alone; the journal itself is read from disk. Nothing is
 * written. What the models learn from is a decision somewhat earlier in the journal, so the batches read last
 * are kept.
 */
import type { JournalPosition } from '../../actors/store.ts';
import type { JournalReader } from '../store/journal-reader.ts';
import { nameOfKey, UnwrittenStore } from '../store/unwritten-store.ts';

/** 32 KB each. */
const BATCHES_KEPT = 512;

export class RecomputeStore extends UnwrittenStore {
  readonly #reader: JournalReader;
  readonly #records = new Map<string, Uint8Array>();
  readonly #cold = new Map<string, Uint8Array>();
  /** In order of their last use. */
  readonly #batches = new Map<string, Uint8Array | undefined>();

  constructor(reader: JournalReader) {
    super();
    this.#reader = reader;
  }

  override getRecord(key: Uint8Array): Uint8Array | undefined {
    return this.#records.get(nameOfKey(key));
  }
  override getCold(key: Uint8Array): Uint8Array | undefined {
    return this.#cold.get(nameOfKey(key));
  }
  override putRecord(key: Uint8Array, bytes: Uint8Array, start: number, length: number): void {
    this.#records.set(nameOfKey(key), bytes.slice(start, start + length));
  }
  override putCold(key: Uint8Array, bytes: Uint8Array): void {
    this.#cold.set(nameOfKey(key), Uint8Array.from(bytes));
  }
  override removeProfile(key: Uint8Array): void {
    this.#records.delete(nameOfKey(key));
    this.#cold.delete(nameOfKey(key));
  }

  override readJournal(position: JournalPosition): Uint8Array | undefined {
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
}
