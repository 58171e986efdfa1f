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
import { link, rename, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DATA_FOLDER_ERROR, DataFolderError, folderError } from './data-folder-error.ts';
import { isAlive, processMark, readMark } from './process-mark.ts';

/** More than one takeover can only be lost against starters that win: then the folder is held. */
const ATTEMPTS_MAX = 100;

export class FolderLock {
  readonly #file: string;
  readonly #nonce: string;
  #isReleased = false;

  /** Rejects with DataFolderError `LOCKED` while a live process holds the folder. */
  static async acquire(folder: string): Promise<FolderLock> {
    const nonce = randomBytes(8).toString('hex');
    const temporary = join(folder, `lock.new.${nonce}`);
    try {
      await writeFile(temporary, processMark(nonce), { flag: 'wx', mode: 0o600 });
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
    if (readMark(this.#file)?.nonce === this.#nonce) await unlink(this.#file).catch(ignoreAbsent);
  }
}

/** The process that holds the folder, or undefined where no live one does. Takes nothing. */
export function holderOf(folder: string): number | undefined {
  const holder = readMark(join(folder, 'lock'));
  return holder !== undefined && isAlive(holder) ? holder.pid : undefined;
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
    const holder = readMark(file);
    if (holder === undefined) continue; // released in between
    if (isAlive(holder)) throw lockedError(folder, holder.pid);
    const takeover = `${file}.${holder.nonce}`;
    await acquireFile(folder, takeover, temporary);
    if (readMark(file)?.nonce === holder.nonce) {
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

function ignoreAbsent(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
