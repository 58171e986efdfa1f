/**
 * A disk in memory behind the production store: five tables, one transaction after the other over all workers,
 * each of them whole or not there (LMDB's promise, which the real-disk tests hold). What a disk can do wrong is
 * told to it: be slow, be full, fail a write, leave one unconfirmed that lands later, or keep a torn value.
 *
 *   store ─ write(fill) ─▸ [ queue of transactions ] ─ latency ─▸ landed: in the tables ─▸ confirmed to its writer
 *                                   │ crash: a part of the queue lands, the rest is lost
 *
 * `onLanded` tells the checker what has become durable, before the writer is told.
 */
import { STORE_KEY_BYTES } from '../../actors/store.ts';
import {
  DATABASE,
  type DatabaseName,
  type StoreDisk,
  type StoredPair,
  type StoreTable,
} from '../../workers/store/environment.ts';
import { checkSeal } from '../../workers/store/sealed-value.ts';
import { STORE_ERROR, StoreError } from '../../workers/store/store-error.ts';
import { EVENT_KIND, NOBODY, type SimRandom, type SimTime } from './sim-time.ts';

/** As the production store's own default. */
const COMMIT_TIMEOUT_MICROS = 5_000_000;

interface Put {
  readonly table: DatabaseName;
  readonly key: string;
  /** Null removes. */
  readonly sealed: Uint8Array | null;
}

interface Transaction {
  readonly owner: number;
  readonly puts: Put[];
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  /** Landed or lost. */
  isOver: boolean;
  isConfirmed: boolean;
}

/** The bytes of one table, in order of key. */
class SimTable {
  readonly values = new Map<string, Uint8Array>();
  #keys: string[] = [];
  #isSorted = true;
  /** Keys that are in the list and no longer in the table. */
  readonly #stale = new Set<string>();

  put(key: string, sealed: Uint8Array): void {
    if (!this.values.has(key) && !this.#stale.delete(key)) {
      const last = this.#keys[this.#keys.length - 1];
      if (last !== undefined && last > key) this.#isSorted = false;
      this.#keys.push(key);
    }
    this.values.set(key, sealed);
  }
  remove(key: string): void {
    if (!this.values.delete(key)) return;
    this.#stale.add(key);
    if (2 * this.#stale.size > this.#keys.length) this.#isSorted = false;
  }
  /** Keys in order, some of them without a value. */
  keys(): readonly string[] {
    if (!this.#isSorted) {
      this.#keys = [...this.values.keys()].sort();
      this.#stale.clear();
      this.#isSorted = true;
    }
    return this.#keys;
  }
}

export class SimDisk {
  readonly tables: Record<DatabaseName, SimTable> = {
    records: new SimTable(),
    cold: new SimTable(),
    journal: new SimTable(),
    meta: new SimTable(),
    models: new SimTable(),
  };
  /** Faults in force. */
  isFull = false;
  /** Says that a write is on disk as soon as it is asked for: a store without sync. The checker must see through it. */
  isLying = false;
  latencyFactor = 1;
  /** The next write fails, or is confirmed too late; either may be on disk all the same. */
  nextFails: 'error' | 'unconfirmed' | null = null;
  /** Transactions that reached the disk; and those confirmed as failed that did. */
  landedCount = 0;
  onLanded: (journalKeys: readonly Uint8Array[]) => void = () => {};
  readonly #time: SimTime;
  readonly #random: SimRandom;
  #queue: Transaction[] = [];
  #busyUntil = 0;

  constructor(time: SimTime, random: SimRandom) {
    this.#time = time;
    this.#random = random;
  }

  /** The disk as one worker's store opens it. */
  open(): StoreDisk {
    const owner = this.#time.owner;
    let filling: Put[] | null = null;
    const tableOf = (name: DatabaseName): StoreTable => this.#tableOf(name, () => filling);
    return {
      records: tableOf(DATABASE.records),
      cold: tableOf(DATABASE.cold),
      journal: tableOf(DATABASE.journal),
      meta: tableOf(DATABASE.meta),
      models: tableOf(DATABASE.models),
      write: (_putCount, _valueBytes, fill) => {
        this.#time.hasPromises = true;
        if (this.isFull) return Promise.reject(new StoreError(STORE_ERROR.DISK_FULL, 'No space left: simulated.'));
        const puts: Put[] = [];
        filling = puts;
        fill();
        filling = null;
        return new Promise<void>((resolve, reject) => this.#enqueue(owner, puts, resolve, reject));
      },
      refreshReads: () => {},
      sizeBytes: () => this.tables.journal.values.size * 4096,
      close: () => Promise.resolve(),
    };
  }

  #tableOf(name: DatabaseName, filling: () => Put[] | null): StoreTable {
    const table = this.tables[name];
    const add = (key: Uint8Array, sealed: Uint8Array | null): void => {
      filling()?.push({ table: name, key: textOf(key), sealed });
    };
    const pairs = (start: Uint8Array, end: Uint8Array | undefined, limit: number): StoredPair[] => {
      const found: StoredPair[] = [];
      const keys = table.keys();
      const from = textOf(start);
      const to = end === undefined ? undefined : textOf(end);
      for (let i = firstAtOrAfter(keys, from); i < keys.length && found.length < limit; i++) {
        const key = keys[i] as string; // i < length
        if (to !== undefined && key >= to) break;
        const sealed = table.values.get(key);
        if (sealed !== undefined) found.push({ key: Buffer.from(key, 'latin1'), sealed: sealed.slice() });
      }
      return found;
    };
    return {
      name,
      entryCount: () => table.values.size,
      get: (key) => {
        const sealed = table.values.get(textOf(key));
        return sealed === undefined ? undefined : sealed.slice(0, checkSeal(sealed, name, key));
      },
      put: (key, sealed) => add(key, sealed.slice()),
      remove: (key) => add(key, null),
      pairs,
      keys: (start, end, limit) => pairs(start, end, limit).map(({ key }) => key),
      lastKey: (start, last) => {
        const keys = table.keys();
        const text = textOf(last);
        let i = firstAtOrAfter(keys, text);
        if (keys[i] !== text) i--;
        while (i >= 0 && !table.values.has(keys[i] as string)) i--; // i < length
        const key = keys[i];
        return key === undefined || key < textOf(start) ? undefined : Buffer.from(key, 'latin1');
      },
      usedBytes: () => table.values.size * 4096,
    };
  }

  #enqueue(owner: number, puts: Put[], resolve: () => void, reject: (error: Error) => void): void {
    const time = this.#time;
    const transaction: Transaction = { owner, puts, resolve, reject, isOver: false, isConfirmed: false };
    this.#queue.push(transaction);
    const fails = this.nextFails;
    this.nextFails = null;
    const micros = this.#random.between(150, 2_500) * this.latencyFactor;
    const unconfirmed = fails === 'unconfirmed' ? COMMIT_TIMEOUT_MICROS + this.#random.between(1, 3_000_000) : 0;
    this.#busyUntil = Math.max(this.#busyUntil, time.nowMicros) + micros + unconfirmed;
    // A write that fails may have reached the disk: so does one in two here.
    const isKept = fails === null || this.#random.chance(0.5);
    if (this.isLying) time.at(time.nowMicros + 10, owner, EVENT_KIND.disk, () => this.#confirm(transaction));
    time.at(this.#busyUntil, NOBODY, EVENT_KIND.disk, () => {
      if (transaction.isOver) return;
      this.#end(transaction, isKept);
      const delay = this.#random.between(5, 200);
      time.at(time.nowMicros + delay, owner, EVENT_KIND.disk, () => {
        if (fails === 'error') this.#fail(transaction, 'A write failed: simulated.');
        else this.#confirm(transaction);
      });
    });
    time.at(time.nowMicros + COMMIT_TIMEOUT_MICROS, owner, EVENT_KIND.disk, () =>
      this.#fail(transaction, 'A write was not confirmed in time: simulated.'),
    );
  }

  #confirm(transaction: Transaction): void {
    if (transaction.isConfirmed) return;
    transaction.isConfirmed = true;
    this.#time.hasPromises = true;
    transaction.resolve();
  }
  #fail(transaction: Transaction, message: string): void {
    if (transaction.isConfirmed) return;
    transaction.isConfirmed = true;
    this.#time.hasPromises = true;
    transaction.reject(new StoreError(STORE_ERROR.WRITE_FAILED, message));
  }

  /** Whole or not at all. */
  #end(transaction: Transaction, isKept: boolean): void {
    transaction.isOver = true;
    const at = this.#queue.indexOf(transaction);
    if (at >= 0) this.#queue.splice(at, 1);
    if (!isKept) return;
    this.landedCount++;
    const journalKeys: Uint8Array[] = [];
    for (const { table, key, sealed } of transaction.puts) {
      if (sealed === null) this.tables[table].remove(key);
      else {
        this.tables[table].put(key, sealed);
        if (table === DATABASE.journal) journalKeys.push(Buffer.from(key, 'latin1'));
      }
    }
    if (journalKeys.length > 0) this.onLanded(journalKeys);
  }

  /** These owners die now: of what they have under way a first part still lands, the rest never does. */
  crash(isDead: (owner: number) => boolean): void {
    let lands = true;
    for (const transaction of [...this.#queue]) {
      if (!isDead(transaction.owner)) continue;
      if (lands && this.#random.chance(0.5)) lands = false;
      this.#end(transaction, lands);
    }
  }

  /**
   * Damages one stored value, as a torn sector does: from a multiple of 512 bytes, or from anywhere in a short one,
   * the rest is what the disk held before. Returns how to mend it, or null when there is nothing to damage.
   */
  tear(name: DatabaseName): { readonly key: Uint8Array; mend(): void } | null {
    const table = this.tables[name];
    const keys = table.keys();
    const key = keys[this.#random.below(keys.length)];
    const whole = key === undefined ? undefined : table.values.get(key);
    if (key === undefined || whole === undefined || whole.length < 12) return null;
    const torn = whole.slice();
    const sectors = Math.floor(whole.length / 512);
    const from = sectors > 0 ? 512 * this.#random.below(sectors) : this.#random.below(whole.length - 8);
    for (let i = from; i < torn.length; i++) torn[i] = (torn[i] as number) ^ this.#random.below(256);
    torn[from] = (whole[from] as number) ^ 1;
    table.values.set(key, torn);
    return { key: Buffer.from(key, 'latin1'), mend: () => table.values.set(key, whole) };
  }
}

function textOf(key: Uint8Array): string {
  if (key.length === STORE_KEY_BYTES || key.length < 32) {
    let text = '';
    for (let i = 0; i < key.length; i++) text += String.fromCharCode(key[i] as number); // i < length
    return text;
  }
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}

function firstAtOrAfter(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key)
      low = middle + 1; // middle < length
    else high = middle;
  }
  return low;
}
