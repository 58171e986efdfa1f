/**
 * The leave that a process asks for before it opens the store of a node that may be running in another one, and the
 * keeper in the node that gives it. Why it is needed: `writers-gate.ts`.
 *
 *   reader: opening/N.asks ─▸ writer alive? ─ no ─▸ opens ────────────────────────┐
 *                                  └─ yes ─▸ waits for opening/N.may ─▸ opens ────┴▸ both files removed
 *   keeper: sees N.asks ─▸ holds the writers ─▸ none under way ─▸ N.may ─▸ N.asks gone ─▸ writers go on
 *
 * The keeper names its process in `opening/writer` first and looks for readers then, the reader the other way
 * round, so that a start and a reader cannot miss each other. Files name their process, so the dead are known.
 * A reader that is alive and does not come back (stopped by a signal in the middle of opening) would hold up every
 * commit, or lose one if it went on later: after `HOLD_MILLIS_MAX` it is ended. Reading itself waits for nobody.
 */
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  type FSWatcher,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { monotonicMillis } from '../clock.ts';
import { isAlive, processMark, readMark } from './process-mark.ts';
import { STORE_ERROR, StoreError } from './store-error.ts';
import { createGateMemory, GateHold, type GateMemory } from './writers-gate.ts';

const FOLDER = 'opening';
const WRITER = 'writer';
const ASKS = '.asks';
const MAY = '.may';
const POLL_MILLIS = 2;
/** Where nothing tells of a new file, or told too early. */
const LOOK_MILLIS = 500;
const ALIVE_MILLIS = 100;
/** As long as a write may take. */
const STILL_MILLIS_MAX = 5_000;
/** An environment opens in some milliseconds, on a busy machine in some hundred. */
const HOLD_MILLIS_MAX = 5_000;
/** Between two holds, so that many readers one after the other do not keep the writers from writing. */
const REST_MILLIS = 20;
const LEAVE_MILLIS_MAX = 30_000;
const ATTEMPTS_MAX = 10;

// ── the reader ───────────────────────────────────────────────────────────────────────────────────

/**
 * Calls `open` when no writer of another process can be hurt by it, and returns what it returns. Blocks for some
 * milliseconds beside a running node.
 * @param storePath the store's folder
 * @throws StoreError OPEN_FAILED where the node does not give leave within 30 seconds; and what `open` throws
 */
export function openBesideWriter<T>(storePath: string, open: () => T): T {
  const folder = join(storePath, FOLDER);
  // Threads of one process share the environment that it has open.
  if (readMark(join(folder, WRITER))?.pid === process.pid) return open();
  const nonce = randomBytes(8).toString('hex');
  try {
    ask(folder, nonce);
  } catch (error) {
    // On a file system that cannot be written nobody writes, and LMDB has no lock file there.
    if ((error as NodeJS.ErrnoException).code === 'EROFS') return open(); // node:fs throws errno errors only
    const message = `Cannot ask for leave to open the store in ${storePath}: ${messageOf(error)}. Run the command as the user who runs the node.`;
    throw new StoreError(STORE_ERROR.OPEN_FAILED, message, { path: storePath, cause: error });
  }
  try {
    waitForLeave(storePath, folder, nonce);
    return open();
  } finally {
    rmSync(join(folder, nonce + ASKS), { force: true });
    removeIfEmpty(folder);
  }
}

function ask(folder: string, nonce: string): void {
  for (let attempt = 1; ; attempt++) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    try {
      // Seen whole or not at all.
      writeFileSync(join(folder, nonce), processMark(nonce), { mode: 0o600 });
      renameSync(join(folder, nonce), join(folder, nonce + ASKS));
      return;
    } catch (error) {
      // Another reader may have left, and taken the empty folder along.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempt >= ATTEMPTS_MAX) throw error;
    }
  }
}

function waitForLeave(storePath: string, folder: string, nonce: string): void {
  const nap = new Int32Array(new SharedArrayBuffer(4));
  const until = monotonicMillis() + LEAVE_MILLIS_MAX;
  for (;;) {
    const writer = readMark(join(folder, WRITER));
    if (writer === undefined || !isAlive(writer) || existsSync(join(folder, nonce + MAY))) return;
    if (!existsSync(join(folder, nonce + ASKS))) throw noLeave(storePath, writer.pid, 'does not see this process');
    if (monotonicMillis() > until) throw noLeave(storePath, writer.pid, 'has not given leave within 30 seconds');
    Atomics.wait(nap, 0, 0, POLL_MILLIS);
  }
}

function noLeave(path: string, pid: number, why: string): StoreError {
  const message =
    `The store in ${path} is written by process ${pid}, which ${why}; opened without, a commit could be lost. ` +
    'Run the command on the same machine and in the same container, and look at /healthz of the node.';
  return new StoreError(STORE_ERROR.OPEN_FAILED, message, { path });
}

// ── the keeper ───────────────────────────────────────────────────────────────────────────────────

export interface KeeperOptions {
  /** The store's folder; made if absent. */
  readonly storePath: string;
  /** Threads that write. */
  readonly writers: number;
  /** A reader was ended, or could not be. */
  onTrouble(reason: string): void;
  /** Default: 5,000. */
  readonly holdMillisMax?: number;
}

export class OpeningKeeper {
  /** For the writers' `WritersGate`. */
  readonly memory: GateMemory;
  readonly #folder: string;
  readonly #options: KeeperOptions;
  readonly #hold: GateHold;
  #watcher: FSWatcher | null = null;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | null = null;
  #isClosed = false;
  /** Told once. */
  #problem = '';

  /** Before the first write: resolves when nobody is opening the store who knew of no writer. */
  static async open(options: KeeperOptions): Promise<OpeningKeeper> {
    const keeper = new OpeningKeeper(options);
    await keeper.#look();
    return keeper;
  }

  private constructor(options: KeeperOptions) {
    this.#options = options;
    this.memory = createGateMemory(options.writers);
    this.#hold = new GateHold(this.memory);
    this.#folder = join(options.storePath, FOLDER);
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const nonce = randomBytes(8).toString('hex');
    writeFileSync(join(this.#folder, nonce), processMark(nonce), { mode: 0o600 });
    renameSync(join(this.#folder, nonce), join(this.#folder, WRITER));
    this.#watcher = watch(this.#folder, { persistent: false }, () => void this.#look());
    // A watch that breaks is replaced by looking now and then.
    this.#watcher.on('error', () => this.#watcher?.close());
    this.#timer = setInterval(() => void this.#look(), LOOK_MILLIS).unref();
  }

  /** After the last write. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#watcher?.close();
    clearInterval(this.#timer);
    await this.#round;
    rmSync(join(this.#folder, WRITER), { force: true });
    removeIfEmpty(this.#folder);
  }

  #look(): Promise<void> {
    this.#round ??= this.#serveAll().finally(() => {
      this.#round = null;
    });
    return this.#round;
  }

  /** Never rejects: what fails for a while, as with no descriptor left, is tried again at the next look. */
  async #serveAll(): Promise<void> {
    try {
      for (let asking = this.#asking(); asking.length > 0; asking = this.#asking()) {
        if (!(await this.#serve(asking))) return;
        await sleep(REST_MILLIS);
      }
    } catch (error) {
      const problem = messageOf(error);
      if (problem !== this.#problem) this.#options.onTrouble(`nobody is given leave to open the store: ${problem}`);
      this.#problem = problem;
      return;
    }
    this.#problem = '';
  }

  /** Whether the writers stood still for it; otherwise it is tried again at the next look. */
  async #serve(asking: readonly string[]): Promise<boolean> {
    const given: string[] = [];
    this.#hold.hold();
    try {
      const stillUntil = monotonicMillis() + STILL_MILLIS_MAX;
      while (!this.#hold.isStill) {
        if (monotonicMillis() > stillUntil) return false;
        await sleep(POLL_MILLIS);
      }
      for (const nonce of asking) {
        writeFileSync(join(this.#folder, nonce + MAY), '', { mode: 0o600 });
        given.push(nonce);
      }
      return true;
    } finally {
      // Whoever has leave is waited for, also where another could not be given it.
      await this.#waitFor(given);
      this.#hold.release();
      for (const nonce of given) rmSync(join(this.#folder, nonce + MAY), { force: true });
    }
  }

  /** Never rejects. */
  async #waitFor(asking: readonly string[]): Promise<void> {
    const millisMax = this.#options.holdMillisMax ?? HOLD_MILLIS_MAX;
    let until = monotonicMillis() + millisMax;
    let aliveAt = monotonicMillis() + ALIVE_MILLIS;
    for (;;) {
      const left = asking.filter((nonce) => existsSync(join(this.#folder, nonce + ASKS)));
      if (left.length === 0) return;
      if (monotonicMillis() >= aliveAt) {
        for (const nonce of left) this.#try(() => this.#dropIfDead(nonce));
        aliveAt = monotonicMillis() + ALIVE_MILLIS;
      }
      if (monotonicMillis() > until) {
        for (const nonce of left) this.#try(() => this.#end(nonce, millisMax));
        until = monotonicMillis() + millisMax;
      }
      await sleep(POLL_MILLIS);
    }
  }

  /** With no descriptor left nothing can be read for a while. */
  #try(look: () => void): void {
    try {
      look();
    } catch {
      // Looked at again.
    }
  }

  /** Nonces of the living who ask. */
  #asking(): string[] {
    const names = readdirSync(this.#folder).filter((name) => name.endsWith(ASKS));
    return names.map((name) => name.slice(0, -ASKS.length)).filter((nonce) => !this.#dropIfDead(nonce));
  }

  #dropIfDead(nonce: string): boolean {
    const file = join(this.#folder, nonce + ASKS);
    const mark = readMark(file);
    if (mark !== undefined && isAlive(mark)) return false;
    rmSync(file, { force: true });
    return true;
  }

  #end(nonce: string, afterMillis: number): void {
    const mark = readMark(join(this.#folder, nonce + ASKS));
    if (mark === undefined || !isAlive(mark)) return;
    const who = `process ${mark.pid} was given leave to open the store in ${this.#options.storePath} and did not come back in ${afterMillis} ms`;
    try {
      process.kill(mark.pid, 'SIGKILL');
      this.#options.onTrouble(`${who}; it was ended, because opening it later could lose a commit`);
    } catch (error) {
      this.#options.onTrouble(`${who}; nothing is written until it has ended, end it: ${messageOf(error)}`);
    }
  }
}

/** A folder that was made for one reader, of a copy for instance, does not stay. */
function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Somebody else is in it, or has removed it.
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
