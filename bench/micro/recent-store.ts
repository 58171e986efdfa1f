/**
 * A store without a disk for measuring and simulating turns: keeps the newest journal batches, which learning reads,
 * and cold records; forgets the rest. Nothing can be recovered from it.
 */
import type { JournalPosition, Store } from '../../actors/store.ts';

const BATCH_BYTES_MAX = 32 * 1024;
const BATCHES_KEPT = 256;

export class RecentStore implements Store {
  readonly #batchesKept: number;
  readonly #batches = new Map<number, Uint8Array>();
  readonly #cold = new Map<string, Uint8Array>();
  #open = new Uint8Array(4 * BATCH_BYTES_MAX);
  openBatch = 1;
  openBatchBytes = 0;

  /** @param batchesKept how many batches of some 16 KB learning can still read */
  constructor(batchesKept = BATCHES_KEPT) {
    this.#batchesKept = batchesKept;
  }

  getRecord(): undefined {
    return undefined;
  }
  putRecord(): void {}
  getCold(key: Uint8Array): Uint8Array | undefined {
    return this.#cold.get(key.toString());
  }
  putCold(key: Uint8Array, bytes: Uint8Array): void {
    this.#cold.set(key.toString(), bytes.slice());
  }
  removeProfile(key: Uint8Array): void {
    this.#cold.delete(key.toString());
  }
  putMeta(): void {}
  getMeta(): undefined {
    return undefined;
  }
  appendJournal(bytes: Uint8Array, start: number, length: number): number {
    if (this.openBatchBytes > BATCH_BYTES_MAX) throw new RangeError('a turn journals less than a batch');
    const offset = this.openBatchBytes;
    this.#open.set(bytes.subarray(start, start + length), offset);
    this.openBatchBytes += length;
    return offset;
  }
  /** Between turns, as a shard does. */
  limitBatch(): void {
    if (this.openBatchBytes < BATCH_BYTES_MAX / 2) return;
    this.#batches.set(this.openBatch, this.#open.slice(0, this.openBatchBytes));
    this.#batches.delete(this.openBatch - this.#batchesKept);
    this.openBatch++;
    this.openBatchBytes = 0;
  }
  commit(): Promise<void> {
    return Promise.resolve();
  }
  /** Not a copy, as a store with a disk gives: read at once. */
  readJournal({ batch }: JournalPosition): Uint8Array | undefined {
    return batch === this.openBatch ? this.#open.subarray(0, this.openBatchBytes) : this.#batches.get(batch);
  }
  scanJournal(): void {}
  recover(): Promise<boolean> {
    return Promise.resolve(true);
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}
