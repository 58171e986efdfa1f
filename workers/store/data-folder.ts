/**
 * The node's data folder: who holds it, which layout it has, and the node's secret. Opened by the main
 * thread before anything else; a folder is held by one process at a time.
 *
 *   <data>/format   the layout's version: a newer one is refused, never guessed at
 *   <data>/secret   32 random bytes, mode 0600, made once (signs quotes and seeds decisions)
 *   <data>/lock     process id and start of the holder (see folder-lock.ts)
 *   <data>/store/   the LMDB environment
 *
 * The folder is made with mode 0700. A folder with other people's files in it is refused, so that a
 * mistyped path does not scatter ours among them.
 */
import { randomBytes } from 'node:crypto';
import { access, constants, mkdir, open, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { DATA_FOLDER_ERROR, DataFolderError, folderError } from './data-folder-error.ts';
import { FolderLock } from './folder-lock.ts';

/**
 * Version of everything under the folder. Raised with a migration, or when an older node would misread it. In layout 1
 * profiles stood under another hash of keys that are stored nowhere, so it cannot be brought forward.
 */
export const LAYOUT_VERSION = 2;
export const SECRET_BYTES = 32;
const FORMAT_PREFIX = 'opportune data folder, layout ';

export interface DataFolder {
  readonly path: string;
  /** Where the store lives. Not made yet on a new folder. */
  readonly storePath: string;
  /** 32 bytes, the same at every start. Never logged. */
  readonly secret: Uint8Array;
  /** Whether this call made the folder's contents. */
  readonly isNew: boolean;
  /** Gives the folder up. Close the store first. Idempotent. */
  close(): Promise<void>;
}

/**
 * Makes the folder if need be, takes its lock, checks its layout, reads or makes its secret.
 * Rejects with DataFolderError; then the folder is not held.
 */
export async function openDataFolder(path: string): Promise<DataFolder> {
  const isEmpty = await prepareFolder(path);
  const lock = await FolderLock.acquire(path);
  try {
    await checkFormat(path, isEmpty);
    const secret = await readSecret(path);
    return { path, storePath: join(path, 'store'), secret, isNew: isEmpty, close: () => lock.release() };
  } catch (error) {
    await lock.release();
    throw folderError(path, error);
  }
}

/** Whether the folder holds nothing of ours yet. */
async function prepareFolder(path: string): Promise<boolean> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
      // What Node answers on a read-only file system; without `recursive` it gives the true reason.
      return mkdir(path, { mode: 0o700 });
    });
    const names = await readdir(path);
    await access(path, constants.W_OK | constants.X_OK);
    if (names.includes('format')) return false;
    const foreign = names.filter((name) => !isOurs(name));
    if (foreign.length === 0) return true;
    const some = foreign.slice(0, 3).join(', ');
    throw new DataFolderError(
      DATA_FOLDER_ERROR.FOREIGN,
      path,
      `${path} is not a data folder and not empty (it holds ${some}). Name an empty or a new folder with --data.`,
    );
  } catch (error) {
    throw folderError(path, error);
  }
}

/** What a start that died half-way, or the file system itself, may have left in a new folder. */
function isOurs(name: string): boolean {
  return (
    name === 'secret' || name === 'store' || name === 'lost+found' || name.startsWith('lock') || name.startsWith('.')
  );
}

async function checkFormat(path: string, isEmpty: boolean): Promise<void> {
  const file = join(path, 'format');
  // Asked again under the lock: another starter may have been first.
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (isEmpty && error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) {
    await writeDurably(path, 'format', Buffer.from(`${FORMAT_PREFIX}${LAYOUT_VERSION}\n`), 0o600);
    return;
  }
  const version = text.startsWith(FORMAT_PREFIX) ? Number.parseInt(text.slice(FORMAT_PREFIX.length), 10) : Number.NaN;
  if (version === LAYOUT_VERSION) return;
  if (version >= 1 && version < LAYOUT_VERSION) {
    throw new DataFolderError(
      DATA_FOLDER_ERROR.FORMAT_OLDER,
      path,
      `${path} has layout ${version}, this version needs ${LAYOUT_VERSION} and cannot find its profiles again. ` +
        'Start the version that wrote it, or name another folder with --data.',
    );
  }
  if (version > LAYOUT_VERSION) {
    throw new DataFolderError(
      DATA_FOLDER_ERROR.FORMAT_NEWER,
      path,
      `${path} was written by a newer version (layout ${version}, this one knows ${LAYOUT_VERSION}). ` +
        'Start that version again, or name another folder with --data.',
    );
  }
  throw new DataFolderError(
    DATA_FOLDER_ERROR.DAMAGED,
    path,
    `${file} is not readable as a layout version. Restore it from a copy; its one line is "${FORMAT_PREFIX}${LAYOUT_VERSION}".`,
  );
}

/** The secret of a folder that somebody else may hold; makes none. Rejects with DataFolderError or the file's error. */
export async function readKeptSecret(path: string): Promise<Uint8Array> {
  await access(join(path, 'secret'), constants.R_OK);
  return readSecret(path);
}

async function readSecret(path: string): Promise<Uint8Array> {
  const file = join(path, 'secret');
  const known = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (known === undefined) {
    const secret = randomBytes(SECRET_BYTES);
    await writeDurably(path, 'secret', secret, 0o600);
    return secret;
  }
  if (known.length === SECRET_BYTES) return known;
  throw new DataFolderError(
    DATA_FOLDER_ERROR.DAMAGED,
    path,
    `${file} has ${known.length} bytes instead of ${SECRET_BYTES}. Restore it from a copy: with another secret, ` +
      'quotes already given would no longer verify.',
  );
}

/** The file is there whole or not at all, also after a power loss. The caller holds the lock. */
async function writeDurably(folder: string, name: string, bytes: Uint8Array, mode: number): Promise<void> {
  const temporary = join(folder, `.${name}.new`);
  const file = await open(temporary, 'w', mode);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, join(folder, name));
  const directory = await open(folder, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
