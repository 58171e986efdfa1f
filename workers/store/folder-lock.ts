/**
 * One process at a time: a lock file that names its holder by process id, start time and boot, so that
 * the lock of a process that died (kill -9, power loss, a container restarted under the same id) is
 * known to be dead and taken over at once, without a timeout and without an operator deleting files.
 *
 * A lock appears whole, by `link` of a finished file, so nobody reads half of one. Taking over is
 * itself guarded: whoever wants to replace the dead lock N first takes the lock `lock.N`, looks again,
 * and only then renames its own over it. Two starters can thus never both replace the same dead lock,
 * and a starter that dies in between leaves a dead `lock.N`, to which the same rule applies.
 *
 * It cannot see processes of another machine or of another container on the same volume.
 */
import { randomBytes } from 'node:crypto';
import { link, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DATA_FOLDER_ERROR, DataFolderError, folderError } from './data-folder-error.ts';

interface Holder {
  readonly pid: number;
  /** Clock ticks between boot and the start of the process; null where the system does not tell. */
  readonly startTicks: string | null;
  readonly bootId: string | null;
  /** Tells this lock from every other one. */
  readonly nonce: string;
}

/** More than one takeover can only be lost against starters that win: then the folder is held. */
const ATTEMPTS_MAX = 100;

export class FolderLock {
  readonly #file: string;
  readonly #nonce: string;
  #isReleased = false;

  /** Rejects with DataFolderError `LOCKED` while a live process holds the folder. */
  static async acquire(folder: string): Promise<FolderLock> {
    const nonce = randomBytes(8).toString('hex');
    const { startTicks, bootId } = await identityOf(process.pid);
    const self: Holder = { pid: process.pid, startTicks, bootId, nonce };
    const temporary = join(folder, `lock.new.${nonce}`);
    try {
      await writeFile(temporary, `${JSON.stringify(self)}\n`, { flag: 'wx', mode: 0o600 });
      await acquireFile(folder, join(folder, 'lock'), temporary);
    } catch (error) {
      throw folderError(folder, error);
    } finally {
      // Left behind it does no harm, and the reason why it could not be removed is already on its way.
      await unlink(temporary).catch(() => {});
    }
    return new FolderLock(join(folder, 'lock'), nonce);
  }

  private constructor(file: string, nonce: string) {
    this.#file = file;
    this.#nonce = nonce;
  }

  /** Removes the lock if it is still ours. Idempotent. */
  async release(): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    if ((await readHolder(this.#file))?.nonce === this.#nonce) await unlink(this.#file).catch(ignoreAbsent);
  }
}

/** The process that holds the folder, or undefined where no live one does. Takes nothing. */
export async function holderOf(folder: string): Promise<number | undefined> {
  const holder = await readHolder(join(folder, 'lock'));
  return holder !== undefined && (await isAlive(holder)) ? holder.pid : undefined;
}

/** Makes `file` a second name of the finished lock `temporary`. `temporary` stays. */
async function acquireFile(folder: string, file: string, temporary: string): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    try {
      await link(temporary, file);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error; // link throws errno errors only
    }
    const holder = await readHolder(file);
    if (holder === undefined) continue; // released in between
    if (await isAlive(holder)) throw lockedError(folder, holder.pid);
    const takeover = `${file}.${holder.nonce}`;
    await acquireFile(folder, takeover, temporary);
    if ((await readHolder(file))?.nonce === holder.nonce) {
      // Replaces the dead lock and gives up the right to do so in one step.
      await rename(takeover, file);
      return;
    }
    await unlink(takeover);
  }
  throw new DataFolderError(
    DATA_FOLDER_ERROR.LOCKED,
    folder,
    `${folder} is being taken by other processes again and again. Stop them, or name another folder with --data.`,
  );
}

/** The error for a folder that the process holds. */
export function lockedError(folder: string, pid: number): DataFolderError {
  return new DataFolderError(
    DATA_FOLDER_ERROR.LOCKED,
    folder,
    `${folder} is in use by process ${pid}. Stop it (kill ${pid}), or name another folder with --data.`,
    { holderPid: pid },
  );
}

/** The holder, or undefined where there is no lock. A file that is no lock of ours has nobody alive. */
async function readHolder(file: string): Promise<Holder | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined; // readFile throws errno errors only
    throw error;
  }
  try {
    const value = JSON.parse(text) as Partial<Holder>; // checked field by field below
    if (Number.isInteger(value.pid) && typeof value.nonce === 'string' && /^[0-9a-f]{16}$/.test(value.nonce)) {
      const startTicks = typeof value.startTicks === 'string' ? value.startTicks : null;
      const bootId = typeof value.bootId === 'string' ? value.bootId : null;
      return { pid: value.pid as number, startTicks, bootId, nonce: value.nonce }; // an integer, checked above
    }
  } catch {
    // Not JSON: cut off by a power loss before it reached the disk.
  }
  return { pid: 0, startTicks: null, bootId: null, nonce: 'damaged' };
}

async function isAlive(holder: Holder): Promise<boolean> {
  if (holder.pid <= 0 || !exists(holder.pid)) return false;
  const now = await identityOf(holder.pid);
  if (holder.bootId !== null && now.bootId !== null && holder.bootId !== now.bootId) return false;
  if (now.hasEnded) return false;
  // Not told, or hidden from this user: then the id must do.
  if (holder.startTicks === null || now.startTicks === null) return exists(holder.pid);
  // Same id, another start: the id was given to a new process, or is our own in a restarted container.
  return holder.startTicks === now.startTicks;
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it exists and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'; // kill throws errno errors only
  }
}

interface Identity {
  readonly startTicks: string | null;
  readonly bootId: string | null;
  /** A zombie: ended, and not yet collected by its parent. */
  readonly hasEnded: boolean;
}

/** What tells a process from a later one with the same id. */
async function identityOf(pid: number): Promise<Identity> {
  const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').then(
    (text) => text.trim(),
    () => null,
  );
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  if (stat === null) return { startTicks: null, bootId, hasEnded: false };
  // The name in parentheses may hold spaces; after it come the state (field 3) and, as field 22, the start.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { startTicks: fields[19] ?? null, bootId, hasEnded: fields[0] === 'Z' || fields[0] === 'X' };
}

function ignoreAbsent(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
