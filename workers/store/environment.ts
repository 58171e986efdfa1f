/**
 * The LMDB environment of a node: one folder, five named databases, opened by the main thread and by
 * each shard worker thread, each with its own handle. The only file that imports lmdb, and the place
 * where its hazards are met:
 *
 *  - one `write` is one LMDB transaction: everything is inside one explicit batch, complete before the
 *    writer thread sees it, and no synchronous transaction of ours can split it;
 *  - LMDB never meets a full disk, because on one it writes past the end of a 100-byte buffer and can
 *    take the process with it (`sprintf` in its mdb_page_flush, 3.5.6): before each write the free space
 *    is looked up (2 µs) and with less than a reserve the write is refused here;
 *  - a failed commit also rejects an inner promise (`commitError`) whose unhandled rejection would end
 *    Node, and leaves `flushed` unsettled for ever: the inner one is consumed, the other is timed;
 *  - opening it beside a writing process can take back a commit of that one: `store-opening.ts` makes the
 *    writers stand still for it, which is why every write passes the gate it was given;
 *  - ranges are read in chunks and to their end, so no cursor pins an old snapshot and grows the file;
 *  - noSync, noMemInit, caching and compression stay off; the root database is never touched.
 */
import { existsSync, mkdirSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Database, open, type RootDatabase } from 'lmdb';
import { lacksHead } from './data-file.ts';
import { checkSeal } from './sealed-value.ts';
import { STORE_ERROR, StoreError } from './store-error.ts';
import { openBesideWriter } from './store-opening.ts';
import type { WritersGate } from './writers-gate.ts';

/** Address space, not disk: no bound on the data. LMDB maps a larger one by itself when it is used up. */
const MAP_SIZE_BYTES_DEFAULT = 2 ** 40;
/** lmdb copies smaller values on reading; larger ones it would hand out as views of its map. */
export const VALUE_BYTES_MAX = 8 * 1024 * 1024;
/** More than other processes can fill between our look at the free space and LMDB's write. */
const RESERVE_BYTES_DEFAULT = 64 * 1024 * 1024;
/** LMDB copies whole pages: at worst a put dirties its leaf and, shared with others, the branches above. */
const PAGE_BYTES_PER_PUT = 2 * 4096;
/** A short write shows as EIO. With less than this free it is a full disk and not a broken one. */
const FREE_BYTES_OF_A_FULL_DISK = 1024 * 1024;
/**
 * How many free pages LMDB looks through in one transaction. It sorts and checks what it has loaded in
 * every commit: with its default of 50,000 a commit after much rewriting took 6 ms of CPU, with 500 0.5 ms.
 */
const FREE_PAGES = { maxFreeSpaceToLoad: 500, maxFreeSpaceToRetain: 1000 } as const;
const CLOSE_TIMEOUT_MILLIS = 2000;
/** How often a write looks whether the gate is open again. */
const HELD_POLL_MILLIS = 1;
/** Never stored: removing it is a transaction that writes nothing, which ends even on a full disk. */
const ABSENT_KEY = Buffer.from('store.absent');

export const DATABASE = {
  records: 'records',
  cold: 'cold',
  journal: 'journal',
  meta: 'meta',
  models: 'models',
} as const;
export type DatabaseName = (typeof DATABASE)[keyof typeof DATABASE];

export interface EnvironmentOptions {
  /** The store's folder, `<data>/store`. Created with mode 0700 if absent. */
  readonly path: string;
  /** A reader beside a running node: asks for leave to open, writes nothing, takes no lock but a reader slot. */
  readonly isReadOnly?: boolean;
  /** How long a write may stay unconfirmed before it counts as failed. Default 5,000. */
  readonly commitTimeoutMillis?: number;
  /** Writes are refused as `DISK_FULL` while the disk has less than this left besides what they need. Default 64 MiB. */
  readonly reserveBytes?: number;
  /** Bytes of address space reserved at first. Default 1 TiB. */
  readonly mapSizeBytes?: number;
  /** A node's: writes wait while it is held. None where no other process can open the store meanwhile. */
  readonly gate?: WritersGate;
}

export interface StoredPair {
  readonly key: Uint8Array;
  /** Payload and seal, a copy. */
  readonly sealed: Uint8Array;
}

type RootHandle = RootDatabase<Uint8Array, Uint8Array>;
type DatabaseHandle = Database<Uint8Array, Uint8Array>;

/** One named database. Puts and removals are only legal inside the callback of `StoreEnvironment.write`. */
export class StoreDatabase {
  readonly name: DatabaseName;
  readonly #handle: DatabaseHandle;

  constructor(name: DatabaseName, handle: DatabaseHandle) {
    this.name = name;
    this.#handle = handle;
  }

  /** A checked copy of the payload, or undefined. Throws StoreError `CORRUPT`. */
  get(key: Uint8Array): Uint8Array | undefined {
    const sealed = this.#handle.getBinaryFast(key as Buffer); // lmdb's binary key encoding takes any Uint8Array
    if (sealed === undefined) return undefined;
    // lmdb reuses this buffer for the next read and overrides its length: only `subarray` sees the truth.
    const view = sealed.subarray(0, sealed.length);
    const payload = new Uint8Array(checkSeal(view, this.name, key));
    payload.set(view.subarray(0, payload.length));
    return payload;
  }

  /** `sealed` must stay unchanged until the write has settled; `key` is copied. */
  put(key: Uint8Array, sealed: Uint8Array): void {
    void this.#handle.put(key, sealed);
  }

  remove(key: Uint8Array): void {
    void this.#handle.remove(key);
  }

  /** At most `limit` pairs with `start` <= key < `end`, read to the end of the range or the limit. */
  pairs(start: Uint8Array, end: Uint8Array | undefined, limit: number): StoredPair[] {
    const found: StoredPair[] = [];
    for (const { key, value } of this.#handle.getRange(range(start, end, limit))) found.push({ key, sealed: value });
    return found;
  }

  keys(start: Uint8Array, end: Uint8Array | undefined, limit: number): Uint8Array[] {
    const found: Uint8Array[] = [];
    for (const key of this.#handle.getKeys(range(start, end, limit))) found.push(key);
    return found;
  }

  /** The greatest key with `start` <= key <= `last`, or undefined. */
  lastKey(start: Uint8Array, last: Uint8Array): Uint8Array | undefined {
    for (const key of this.#handle.getKeys({ start: last, reverse: true, limit: 1 })) {
      return Buffer.compare(key, start) >= 0 ? key : undefined;
    }
    return undefined;
  }

  /** Entries as LMDB counts them: what a whole scan must find. */
  entryCount(): number {
    return (this.#handle.getStats() as DatabaseStats).entryCount; // lmdb types it as {}
  }

  /** Pages in use by this database, in bytes. */
  usedBytes(): number {
    const stats = this.#handle.getStats() as DatabaseStats; // lmdb types it as {}
    return (stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages) * stats.pageSize;
  }
}

/** A database as the store uses it: LMDB's here, one in memory in the simulation. */
export type StoreTable = Pick<StoreDatabase, keyof StoreDatabase>;

interface DatabaseStats {
  readonly entryCount: number;
  readonly pageSize: number;
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
}

function range(start: Uint8Array, end: Uint8Array | undefined, limit: number) {
  return end === undefined ? { start, limit } : { start, end, limit };
}

export class StoreEnvironment {
  readonly path: string;
  readonly records: StoreTable;
  readonly cold: StoreTable;
  readonly journal: StoreTable;
  readonly meta: StoreTable;
  readonly models: StoreTable;
  readonly #root: RootHandle;
  readonly #commitTimeoutMillis: number;
  readonly #reserveBytes: number;
  /** After a failed commit lmdb's own `close` would wait for ever on the flush that never comes. */
  #hasUnsettledFlush = false;
  readonly #gate: WritersGate | undefined;
  /** Transactions that went in through the gate, and those of them that LMDB is done with: it ends them in order. */
  #enteredCount = 0;
  #leftCount = 0;

  /** Opens the environment in this thread. Throws StoreError `OPEN_FAILED`. Blocks for a few file operations. */
  static open(options: EnvironmentOptions): StoreEnvironment {
    if (options.isReadOnly !== true || !existsSync(options.path)) return StoreEnvironment.#openNow(options);
    return openBesideWriter(options.path, () => StoreEnvironment.#openNow(options));
  }

  static #openNow(options: EnvironmentOptions): StoreEnvironment {
    if (lacksHead(options.path)) throw damagedFileError(options.path, 'its head is not one that LMDB writes');
    try {
      return new StoreEnvironment(options);
    } catch (cause) {
      if (cause instanceof StoreError) throw cause;
      if (DAMAGE_CODES.has((cause as { code?: unknown }).code)) throw damagedFileError(options.path, cause);
      throw new StoreError(
        STORE_ERROR.OPEN_FAILED,
        `Cannot open the store in ${options.path}: ${messageOf(cause)}. Check that the folder exists, belongs to this user and is writable.`,
        { path: options.path, cause },
      );
    }
  }

  private constructor(options: EnvironmentOptions) {
    const isReadOnly = options.isReadOnly ?? false;
    this.path = options.path;
    this.#gate = options.gate;
    this.#commitTimeoutMillis = options.commitTimeoutMillis ?? 5000;
    this.#reserveBytes = options.reserveBytes ?? RESERVE_BYTES_DEFAULT;
    const file = join(options.path, 'data.mdb');
    // Looked at first because lmdb would create what is missing even for a reader.
    if (isReadOnly) statSync(file);
    else if (!existsSync(file)) {
      mkdirSync(options.path, { recursive: true, mode: 0o700 });
      // Making the databases is a write too.
      const freeBytes = freeBytesAt(options.path);
      if (freeBytes < this.#reserveBytes)
        throw this.#fullError(megabytesLeft(freeBytes, this.#reserveBytes), undefined);
    }
    this.#root = open<Uint8Array, Uint8Array>({
      ...BINARY,
      path: options.path,
      noSubdir: false,
      readOnly: isReadOnly,
      mapSize: options.mapSizeBytes ?? MAP_SIZE_BYTES_DEFAULT,
      // Only explicit batches: a put outside `write` must never join, or keep open, a batch of ours.
      eventTurnBatching: false,
      permissionsMode: 0o600,
      // The writer thread starts on a batch when it is whole, however large it is.
      batchStartThreshold: Number.MAX_SAFE_INTEGER,
      ...FREE_PAGES,
    } as Parameters<typeof open<Uint8Array, Uint8Array>>[0]); // the last four options are missing from lmdb's types
    this.records = this.#openDatabase(DATABASE.records);
    this.cold = this.#openDatabase(DATABASE.cold);
    this.journal = this.#openDatabase(DATABASE.journal);
    this.meta = this.#openDatabase(DATABASE.meta);
    this.models = this.#openDatabase(DATABASE.models);
  }

  #openDatabase(name: DatabaseName): StoreDatabase {
    // Typed as always defined, but undefined when a reader opens a database that was never made.
    const handle = this.#root.openDB(name, BINARY) as DatabaseHandle | undefined;
    if (handle === undefined) {
      const message = `The store in ${this.path} has no "${name}" database: no node has started on it yet.`;
      throw new StoreError(STORE_ERROR.OPEN_FAILED, message, { path: this.path });
    }
    return new StoreDatabase(name, handle);
  }

  /**
   * Runs `fill`, which puts and removes, and makes all of it one synced transaction. Resolves when it is
   * on disk. Rejects with StoreError `DISK_FULL` or `WRITE_FAILED`: then nothing of it was kept, except
   * that a write which timed out, or whose sync failed, may still appear. `fill` must not throw.
   * @param putCount how many puts and removals `fill` makes
   * @param valueBytes how many bytes of values it puts
   */
  write(putCount: number, valueBytes: number, fill: () => void): Promise<void> {
    let freeBytes: number;
    try {
      freeBytes = freeBytesAt(this.path);
    } catch (cause) {
      return Promise.reject(this.#writeError(cause));
    }
    const neededBytes = this.#reserveBytes + valueBytes + putCount * PAGE_BYTES_PER_PUT;
    if (freeBytes < neededBytes) {
      return Promise.reject(this.#fullError(megabytesLeft(freeBytes, neededBytes), undefined));
    }
    return this.#tryEnter() ? this.#transact(fill) : this.#transactWhenOpen(fill);
  }

  async #transactWhenOpen(fill: () => void): Promise<void> {
    do await sleep(HELD_POLL_MILLIS);
    while (!this.#tryEnter());
    return this.#transact(fill);
  }

  #tryEnter(): boolean {
    if (this.#gate?.tryEnter() === false) return false;
    this.#enteredCount++;
    return true;
  }

  /** The transaction that was the `count`-th to enter has ended, and with it every one before it. */
  #leave(count: number): void {
    if (count <= this.#leftCount) return;
    this.#gate?.leave(count - this.#leftCount);
    this.#leftCount = count;
  }

  /** Behind `#tryEnter`. */
  #transact(fill: () => void): Promise<void> {
    const count = this.#enteredCount;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#hasUnsettledFlush = true;
        const waited = `${this.#commitTimeoutMillis} ms`;
        const message = `A write to ${this.path} was not confirmed within ${waited}. Check the disk; writing resumes when it answers.`;
        reject(new StoreError(STORE_ERROR.WRITE_FAILED, message, { path: this.path }));
      }, this.#commitTimeoutMillis);
      const committed = this.#root.batch(fill);
      // Taken now: `flushed` means the transaction that was queued last. Its failure is told by `committed`.
      const flushed = this.#root.flushed.then(nothing, nothing);
      committed
        .then(() => flushed)
        .then(
          () => {
            clearTimeout(timer);
            this.#leave(count);
            this.#hasUnsettledFlush = false;
            resolve();
          },
          (error: unknown) => {
            this.#leave(count);
            this.#hasUnsettledFlush = true;
            void causeOf(error).then((cause) => {
              clearTimeout(timer);
              reject(this.#writeError(cause));
            });
          },
        );
    });
  }

  /** Lets the next read see the latest committed state even within this turn of the event loop. */
  refreshReads(): void {
    this.#root.resetReadTxn();
  }

  /**
   * Copies everything that is committed at one moment into `folder/data.mdb`, compacted, also while others write.
   * For that long no page they give up is used again. Rejects with the reason; then `folder` has a part of a file.
   */
  async copyTo(folder: string): Promise<void> {
    try {
      await this.#root.backup(folder, true);
    } catch (cause) {
      if (isOutOfSpace(cause, folder)) {
        const message = `No space left for the copy of the store in ${folder} (${messageOf(cause)}). Free some space, or name another disk.`;
        throw new StoreError(STORE_ERROR.DISK_FULL, message, { path: folder, cause });
      }
      if (DAMAGE_CODES.has((cause as { code?: unknown }).code)) throw damagedFileError(this.path, cause);
      const message = `The store could not be copied to ${folder}: ${messageOf(cause)}. Check both disks.`;
      throw new StoreError(STORE_ERROR.WRITE_FAILED, message, { path: folder, cause });
    }
  }

  /** Size of the data file in bytes: it grows to the most ever needed and does not shrink. */
  sizeBytes(): number {
    return statSync(join(this.path, 'data.mdb')).size;
  }

  /** Waits for writes under way, two seconds at most, and closes this thread's handle. */
  async close(): Promise<void> {
    if (this.#hasUnsettledFlush) await this.#transactWhenOpen(() => this.meta.remove(ABSENT_KEY)).catch(nothing);
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_TIMEOUT_MILLIS);
    });
    await Promise.race([this.#root.close(), timeout]);
    clearTimeout(timer);
  }

  #writeError(cause: unknown): StoreError {
    const reason = messageOf(cause);
    if (isOutOfSpace(cause, this.path)) return this.#fullError(reason, cause);
    const message = `A write to the store in ${this.path} failed (${reason}). Check the disk; restart the node if this stays.`;
    return new StoreError(STORE_ERROR.WRITE_FAILED, message, { path: this.path, cause });
  }

  #fullError(reason: string, cause: unknown): StoreError {
    const message = `No space left for the store in ${this.path} (${reason}). Free some space; writing resumes by itself.`;
    return new StoreError(STORE_ERROR.DISK_FULL, message, { path: this.path, cause });
  }
}

/** LMDB's words for a file that is not what it wrote: CORRUPTED, PAGE_NOTFOUND, VERSION_MISMATCH, INVALID, PROBLEM. */
const DAMAGE_CODES = new Set<unknown>([-30796, -30797, -30794, -30793, -30779]);

function damagedFileError(path: string, cause: unknown): StoreError {
  const message =
    `${join(path, 'data.mdb')} is not what was written (${messageOf(cause)}): it was damaged on disk. ` +
    'Check the disk and restore the data folder from a backup (opportune restore).';
  return new StoreError(STORE_ERROR.CORRUPT, message, { path, cause });
}
/** An environment as the store uses it; `get` of its tables checks the seal, `pairs` hands it out. */
export type StoreDisk = Pick<
  StoreEnvironment,
  'write' | 'refreshReads' | 'sizeBytes' | 'close' | (typeof DATABASE)[keyof typeof DATABASE]
>;

const BINARY = { encoding: 'binary', keyEncoding: 'binary', cache: false, compression: false } as const;

function nothing(): void {}

/** The reason behind lmdb's "Commit failed": a promise that only ever rejects. Always consumed. */
async function causeOf(error: unknown): Promise<unknown> {
  const inner = (error as { commitError?: Promise<never> }).commitError; // set by lmdb on its own errors only
  if (inner === undefined) return error;
  return inner.then(
    () => error,
    (cause: unknown) => cause,
  );
}

/** ENOSPC, EDQUOT, EFBIG and MDB_MAP_FULL; EIO, lmdb's word for a short write, if the disk has no room. */
function isOutOfSpace(cause: unknown, path: string): boolean {
  const code = (cause as { code?: unknown }).code; // an errno or LMDB's own negative number
  if (code === 28 || code === 122 || code === 27 || code === -30792) return true;
  if (code !== 5) return false;
  try {
    return freeBytesAt(path) < FREE_BYTES_OF_A_FULL_DISK;
  } catch {
    // A disk that cannot even tell its size is broken, not full.
    return false;
  }
}

function megabytesLeft(freeBytes: number, neededBytes: number): string {
  return `${(freeBytes / 1e6).toFixed(0)} MB left, ${(neededBytes / 1e6).toFixed(0)} MB needed`;
}

/** What this user may still write on the disk of `path`, in bytes. */
function freeBytesAt(path: string): number {
  const disk = statfsSync(path);
  return disk.bavail * disk.bsize;
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
