/**
 * The store of a worker with the checker looking on: passes everything to the production store, and tells of each
 * journal entry as it is appended, before anything can be promised of it.
 */
import type { JournalBatch, JournalPosition } from '../../actors/store.ts';
import type { ShardStore, TrimOptions } from '../../workers/store/shard-store.ts';

export type OnAppend = (bytes: Uint8Array, start: number, length: number, batch: number) => void;

export class WatchedStore implements ShardStore {
  readonly #store: ShardStore;
  readonly #onAppend: OnAppend;
  /** Told before a promise is handed out. */
  readonly #onPromise: () => void;

  constructor(store: ShardStore, onAppend: OnAppend, onPromise: () => void) {
    this.#store = store;
    this.#onAppend = onAppend;
    this.#onPromise = onPromise;
  }

  appendJournal(bytes: Uint8Array, start: number, length: number): number {
    const batch = this.#store.openBatch;
    const offset = this.#store.appendJournal(bytes, start, length);
    this.#onAppend(bytes, start, length, batch);
    return offset;
  }

  get openBatch(): number {
    return this.#store.openBatch;
  }
  get openBatchBytes(): number {
    return this.#store.openBatchBytes;
  }
  get unsettledBatches(): number {
    return this.#store.unsettledBatches;
  }
  getRecord(key: Uint8Array): Uint8Array | undefined {
    return this.#store.getRecord(key);
  }
  getCold(key: Uint8Array): Uint8Array | undefined {
    return this.#store.getCold(key);
  }
  putRecord(key: Uint8Array, bytes: Uint8Array, start: number, length: number): void {
    this.#store.putRecord(key, bytes, start, length);
  }
  putCold(key: Uint8Array, bytes: Uint8Array): void {
    this.#store.putCold(key, bytes);
  }
  removeProfile(key: Uint8Array): void {
    this.#store.removeProfile(key);
  }
  blankJournal(position: JournalPosition, offsets: readonly number[]): Promise<boolean> {
    this.#onPromise();
    return this.#store.blankJournal(position, offsets);
  }
  putMeta(name: string, bytes: Uint8Array): void {
    this.#store.putMeta(name, bytes);
  }
  getMeta(name: string): Uint8Array | undefined {
    return this.#store.getMeta(name);
  }
  commit(): Promise<void> {
    this.#onPromise();
    return this.#store.commit();
  }
  readJournal(position: JournalPosition): Uint8Array | undefined {
    return this.#store.readJournal(position);
  }
  scanJournal(from: readonly JournalPosition[], visit: (batch: JournalBatch) => void): void {
    this.#store.scanJournal(from, visit);
  }
  scanRecords(
    from: Uint8Array,
    limit: number,
    visit: (key: Uint8Array, record: Uint8Array) => void,
  ): Uint8Array | undefined {
    return this.#store.scanRecords(from, limit, visit);
  }
  trimJournal(options: TrimOptions): Promise<number> {
    this.#onPromise();
    return this.#store.trimJournal(options);
  }
  sizeBytes(): number {
    return this.#store.sizeBytes();
  }
  recover(): Promise<boolean> {
    this.#onPromise();
    return this.#store.recover();
  }
  close(): Promise<void> {
    this.#onPromise();
    return this.#store.close();
  }
}
