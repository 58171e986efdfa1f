/**
 * The store port in memory, for tests: a `MemoryDisk` holds what is committed and outlives the stores
 * opened on it, so that "crash" is dropping a store and opening another. A commit can be made to fail,
 * and stays failing until `recover`, as the real one does; an append or a read can be made to throw.
 *
 * Guarantees the port's words: reads see every put, commits settle in order, a failed batch leaves
 * nothing. Trades away: batches are written one after another in the same tick, so nothing overlaps.
 */
import type { JournalBatch, JournalPosition, Store } from '../../actors/store.ts';

type Values = Map<string, Uint8Array>;

/** What is on disk. */
export class MemoryDisk {
  readonly records: Values = new Map();
  readonly cold: Values = new Map();
  readonly meta: Values = new Map();
  readonly journal = new Map<string, { position: JournalPosition; bytes: Uint8Array }>();

  lastBatchOf(epoch: number, stream: number): number {
    let last = 0;
    for (const { position } of this.journal.values()) {
      if (position.epoch === epoch && position.stream === stream) last = Math.max(last, position.batch);
    }
    return last;
  }
}

export class MemoryStore implements Store {
  readonly disk: MemoryDisk;
  readonly epoch: number;
  readonly stream: number;
  /** Set: the next commits fail with this, until `recover`. */
  failure: Error | null = null;
  /** Set: the next append throws this once. */
  appendFailure: Error | null = null;
  /** Set: commits reach the disk, and say so only when the function given here is called. */
  holdCommit: ((settle: () => void) => void) | null = null;
  /** Set: reading this record (hex of its key) throws. */
  corruptKey: string | null = null;
  #batch: number;
  #journal = new Uint8Array(1024);
  #journalBytes = 0;
  #records: Values = new Map();
  #cold: Values = new Map();
  #meta: Values = new Map();
  #isBroken = false;
  readonly unsettledBatches = 0;

  constructor(disk: MemoryDisk, epoch: number, stream: number, openBatchMin = 1) {
    this.disk = disk;
    this.epoch = epoch;
    this.stream = stream;
    this.#batch = Math.max(openBatchMin, disk.lastBatchOf(epoch, stream) + 1);
  }

  getRecord(key: Uint8Array): Uint8Array | undefined {
    if (hex(key) === this.corruptKey) throw new Error('CORRUPT');
    return present(this.#records.get(hex(key)) ?? this.disk.records.get(hex(key)));
  }
  getCold(key: Uint8Array): Uint8Array | undefined {
    return present(this.#cold.get(hex(key)) ?? this.disk.cold.get(hex(key)));
  }
  putRecord(key: Uint8Array, bytes: Uint8Array, start: number, length: number): void {
    this.#records.set(hex(key), bytes.slice(start, start + length));
  }
  putCold(key: Uint8Array, bytes: Uint8Array): void {
    this.#cold.set(hex(key), Uint8Array.from(bytes));
  }
  removeProfile(key: Uint8Array): void {
    this.#records.set(hex(key), REMOVED);
    this.#cold.set(hex(key), REMOVED);
  }
  putMeta(name: string, bytes: Uint8Array): void {
    this.#meta.set(name, Uint8Array.from(bytes));
  }
  getMeta(name: string): Uint8Array | undefined {
    return copy(this.#meta.get(name) ?? this.disk.meta.get(name));
  }

  appendJournal(bytes: Uint8Array, start: number, length: number): number {
    if (this.appendFailure !== null) {
      const failure = this.appendFailure;
      this.appendFailure = null;
      throw failure;
    }
    const offset = this.#journalBytes;
    if (offset + length > this.#journal.length) {
      const larger = new Uint8Array(Math.max(this.#journal.length * 2, offset + length));
      larger.set(this.#journal);
      this.#journal = larger;
    }
    this.#journal.set(bytes.subarray(start, start + length), offset);
    this.#journalBytes = offset + length;
    return offset;
  }
  get openBatch(): number {
    return this.#batch;
  }
  get openBatchBytes(): number {
    return this.#journalBytes;
  }

  commit(): Promise<void> {
    if (this.failure !== null || this.#isBroken) {
      this.#isBroken = true;
      this.#forget();
      return Promise.reject(this.failure ?? new Error('an earlier commit failed'));
    }
    this.commitNow();
    const { holdCommit } = this;
    return holdCommit === null ? Promise.resolve() : new Promise((resolve) => holdCommit(resolve));
  }

  /** Writes the open batch at once. */
  commitNow(): void {
    for (const [key, bytes] of this.#records) settle(this.disk.records, key, bytes);
    for (const [key, bytes] of this.#cold) settle(this.disk.cold, key, bytes);
    for (const [name, bytes] of this.#meta) this.disk.meta.set(name, bytes);
    if (this.#journalBytes > 0) {
      const position = { epoch: this.epoch, stream: this.stream, batch: this.#batch };
      this.disk.journal.set(nameOf(position), { position, bytes: this.#journal.slice(0, this.#journalBytes) });
    }
    this.#forget();
    this.#batch++;
  }

  #forget(): void {
    this.#records = new Map();
    this.#cold = new Map();
    this.#meta = new Map();
    this.#journalBytes = 0;
  }

  readJournal(position: JournalPosition): Uint8Array | undefined {
    const { epoch, stream, batch } = position;
    if (epoch === this.epoch && stream === this.stream && batch === this.#batch && this.#journalBytes > 0) {
      return this.#journal.slice(0, this.#journalBytes);
    }
    return copy(this.disk.journal.get(nameOf(position))?.bytes);
  }

  scanJournal(from: readonly JournalPosition[], visit: (batch: JournalBatch) => void): void {
    const oldest = Math.min(...from.map(({ epoch }) => epoch), Number.POSITIVE_INFINITY);
    const isWanted = (position: JournalPosition): boolean => {
      const listed = from.find(({ epoch, stream }) => epoch === position.epoch && stream === position.stream);
      if (listed !== undefined) return position.batch >= listed.batch;
      return from.length === 0 || position.epoch >= oldest;
    };
    const batches = [...this.disk.journal.values()].filter(({ position }) => isWanted(position));
    batches.sort(({ position: a }, { position: b }) => a.epoch - b.epoch || a.stream - b.stream || a.batch - b.batch);
    for (const { position, bytes } of batches) visit({ ...position, bytes });
  }

  recover(): Promise<boolean> {
    this.#forget();
    if (this.failure !== null) return Promise.resolve(false);
    this.#isBroken = false;
    return Promise.resolve(true);
  }
  close(): Promise<void> {
    return Promise.resolve();
  }

  // What a shard asks of the real store beyond the port.

  sizeBytes(): number {
    return 0;
  }
  scanRecords(
    _from: Uint8Array,
    _limit: number,
    visit: (key: Uint8Array, record: Uint8Array) => void,
  ): Uint8Array | undefined {
    for (const [key, record] of this.disk.records) visit(Buffer.from(key, 'hex'), record);
    return undefined;
  }
}

function nameOf({ epoch, stream, batch }: JournalPosition): string {
  return `${epoch}:${stream}:${batch}`;
}
export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
/** Stands for a record that was removed, until that is on disk. */
const REMOVED = new Uint8Array(0);
function present(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes === undefined || bytes === REMOVED ? undefined : Uint8Array.from(bytes);
}
function settle(values: Values, key: string, bytes: Uint8Array): void {
  if (bytes === REMOVED) values.delete(key);
  else values.set(key, bytes);
}
function copy(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes === undefined ? undefined : Uint8Array.from(bytes);
}
