/**
 * Reads the journal from another process, also while a node writes to it: what `opportune log` stands
 * on. It opens the environment read-only, reads a few batches at a time and holds no snapshot between
 * them, so a slow or forgotten reader costs the node no disk. It sees whole committed batches only.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type JournalBatch, type JournalPosition, STORE_KEY_BYTES } from '../../actors/store.ts';
import { StoreEnvironment } from './environment.ts';
import { journalBatches, lastBatchOf, readBatch } from './journal-scan.ts';

const POLL_MILLIS_DEFAULT = 200;
const RECORDS_A_READ = 256;

export interface FollowOptions {
  /** As in `Store.scanJournal`. Default: everything. */
  readonly from?: readonly JournalPosition[];
  /** Pause after having read all there is. Default 200. */
  readonly pollMillis?: number;
  /** Ends the iteration. */
  readonly signal?: AbortSignal;
}

export class JournalReader {
  readonly #environment: StoreEnvironment;

  /**
   * @param path the store's folder, `<data>/store`
   * Throws StoreError `OPEN_FAILED` where no node has started on it yet.
   */
  static open(path: string): JournalReader {
    return new JournalReader(StoreEnvironment.open({ path, isReadOnly: true }));
  }

  private constructor(environment: StoreEnvironment) {
    this.#environment = environment;
  }

  /** Batches by epoch, then stream, then batch. Bytes belong to the caller. Throws StoreError `CORRUPT`. */
  *read(from: readonly JournalPosition[] = []): Generator<JournalBatch> {
    this.#environment.refreshReads();
    yield* journalBatches(this.#environment.journal, from);
  }

  /** Behind what a start of the node has written so far: from here on everything is new. */
  endOf(epoch: number, streams: number): JournalPosition[] {
    this.#environment.refreshReads();
    const { journal } = this.#environment;
    return Array.from({ length: streams }, (_, stream) => ({
      epoch,
      stream,
      batch: lastBatchOf(journal, epoch, stream) + 1,
    }));
  }

  /** One batch, a copy, or undefined where there is none (any more). Throws StoreError `CORRUPT`. */
  batch(position: JournalPosition): Uint8Array | undefined {
    this.#environment.refreshReads();
    return readBatch(this.#environment.journal, position);
  }

  /** A small named value of the store, as last committed; a copy. Throws StoreError `CORRUPT`. */
  getMeta(name: string): Uint8Array | undefined {
    this.#environment.refreshReads();
    return this.#environment.meta.get(Buffer.from(name));
  }

  /** The record of a profile, as last committed; a copy. Throws StoreError `CORRUPT`. */
  getRecord(partition: number, hashHigh: number, hashLow: number): Uint8Array | undefined {
    this.#environment.refreshReads();
    return this.#environment.records.get(storeKey(partition, hashHigh, hashLow));
  }

  /** The cold record likewise. */
  getCold(partition: number, hashHigh: number, hashLow: number): Uint8Array | undefined {
    this.#environment.refreshReads();
    return this.#environment.cold.get(storeKey(partition, hashHigh, hashLow));
  }

  /** How many records there are: as many as `recordKeys` gives, unless people come meanwhile. */
  recordCount(): number {
    this.#environment.refreshReads();
    return this.#environment.records.entryCount();
  }

  /** Keys of the stored records from `start` on and before `end`, some at a time and in no snapshot of all. */
  *recordKeys(start: Uint8Array, end: Uint8Array): Generator<Uint8Array> {
    let from = start;
    for (;;) {
      this.#environment.refreshReads();
      const keys = this.#environment.records.keys(from, end, RECORDS_A_READ);
      yield* keys;
      const last = keys.at(-1);
      if (last === undefined || keys.length < RECORDS_A_READ) return;
      from = Buffer.concat([last, Buffer.of(0)]);
    }
  }

  /** Names that begin with `prefix`, in byte order, at most `limit`. */
  metaNames(prefix: string, limit = 1000): string[] {
    this.#environment.refreshReads();
    const start = Buffer.from(prefix);
    // No byte of UTF-8 is 0xff, so this is behind every name with the prefix.
    const end = Buffer.concat([start, Uint8Array.of(0xff)]);
    return this.#environment.meta.keys(start, end, limit).map((key) => Buffer.from(key).toString());
  }

  /** Like `read`, and then every batch that is committed later, until the signal is aborted. */
  async *follow(options: FollowOptions = {}): AsyncGenerator<JournalBatch> {
    let from = options.from ?? [];
    while (!isAborted(options.signal)) {
      /** Stream → first batch not seen, in the newest epoch seen: older epochs have no writer any more. */
      const next = new Map<number, number>();
      let epoch = 0;
      for (const position of from) epoch = Math.max(epoch, position.epoch);
      for (const position of from) if (position.epoch === epoch) next.set(position.stream, position.batch);
      let hasRead = false;
      for (const batch of this.read(from)) {
        if (batch.epoch > epoch) next.clear();
        if (batch.epoch >= epoch) {
          epoch = batch.epoch;
          next.set(batch.stream, batch.batch + 1);
        }
        hasRead = true;
        yield batch;
        if (isAborted(options.signal)) return;
      }
      if (hasRead) from = [...next].map(([stream, batch]) => ({ epoch, stream, batch }));
      await sleep(options.pollMillis ?? POLL_MILLIS_DEFAULT, undefined, { signal: options.signal }).catch(nothing);
    }
  }

  async close(): Promise<void> {
    await this.#environment.close();
  }
}

/** Tenant 0, as `ActorRuntime.storeKey` has it. */
function storeKey(partition: number, hashHigh: number, hashLow: number): Uint8Array {
  const key = Buffer.alloc(STORE_KEY_BYTES);
  key[2] = partition;
  key.writeUInt32BE(hashHigh, 3);
  key.writeUInt32BE(hashLow, 7);
  return key;
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

function nothing(): void {}
