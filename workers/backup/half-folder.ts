/**
 * A folder that appears whole or not at all: it is made beside its place, under a name that says that it is not
 * finished and whose work it is, and renamed when everything in it is on disk. One that a killed process left
 * behind is removed by the next that works on the same place.
 */
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { BACKUP_ERROR, BackupError } from './backup-error.ts';

export class HalfFolder {
  readonly path: string;
  readonly #place: string;

  /** @param word what is being done, `backup` or `restore`: part of the unfinished folder's name */
  static async make(place: string, word: string): Promise<HalfFolder> {
    const whole = resolve(place);
    const parent = dirname(whole);
    await mkdir(parent, { recursive: true });
    const prefix = `${basename(whole)}.${word}-`;
    for (const name of await readdir(parent)) {
      const pid = name.startsWith(prefix) ? Number(name.slice(prefix.length)) : Number.NaN;
      if (Number.isInteger(pid) && !isRunning(pid)) await rm(join(parent, name), { recursive: true, force: true });
    }
    const path = join(parent, `${prefix}${process.pid}`);
    await mkdir(path, { mode: 0o700 });
    return new HalfFolder(whole, path);
  }

  private constructor(place: string, path: string) {
    this.#place = place;
    this.path = path;
  }

  /** Puts the folder in its place, which is empty or not there. */
  async finish(): Promise<void> {
    await syncTree(this.path);
    await rename(this.path, this.#place);
    await syncPath(dirname(this.#place));
  }

  async discard(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

/** @throws BackupError NOT_EMPTY where the folder holds anything */
export async function assertEmpty(path: string, advice: string): Promise<void> {
  const names = existsSync(path) ? await readdir(path) : [];
  if (names.length === 0) return;
  const message = `${path} is not empty (it holds ${names.slice(0, 3).join(', ')})`;
  throw new BackupError(BACKUP_ERROR.NOT_EMPTY, message, { advice });
}

/** What a file operation threw, with what to do where that is known. */
export function fileError(error: unknown, path: string): unknown {
  const { code } = error as { code?: unknown };
  if (error instanceof BackupError || (code !== 'ENOSPC' && code !== 'EDQUOT')) return error;
  const advice = 'Free some space, or name a folder on another disk. Nothing of it was left behind.';
  return new BackupError(BACKUP_ERROR.DISK_FULL, `no space left for ${path}`, { advice, cause: error });
}

async function syncTree(path: string): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const below = join(path, entry.name);
    if (entry.isDirectory()) await syncTree(below);
    else await syncPath(below);
  }
  await syncPath(path);
}

async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's process is one all the same.
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // kill throws errno errors only
  }
}
