/**
 * The node's data folder: who holds it, which layout it has, and the node's secret. Opened by the main
 * thread before anything else; a folder is held by one process at a time.
 *
 *   <data>/format   the layout's version: a newer one is refused, never guessed at; and a digest of the secret
 *   <data>/secret   32 random bytes, mode 0600, made once (hashes profile keys, signs quotes, seeds decisions)
 *   <data>/lock     process id and start of the holder (see folder-lock.ts)
 *   <data>/store/   the LMDB environment
 *
 * The folder is made with mode 0700. A folder with other people's files in it is refused, so that a
 * mistyped path does not scatter ours among them. With another secret every profile would be looked for in
 * vain and nothing would say so, which is why a missing or changed one is refused; of 256 random bits a digest
 * gives nothing away.
 */
import { createHash, randomBytes } from 'node:crypto';
import { access, constants, mkdir, open, readdir, readFile, rename, stat } from 'node:fs/promises';
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
const DIGEST_PREFIX = 'secret ';
const DIGEST_CHARACTERS = 32;

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
    const digest = await readFormat(path, isEmpty);
    const secret = (await readSecret(path)) ?? (await makeSecret(path, digest));
    if (digest === undefined) await writeDurably(path, 'format', formatText(secret), 0o600);
    else checkDigest(path, secret, digest);
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

/**
 * Layout and secret of a folder that somebody else may hold, or of a backup; makes and changes nothing.
 * Rejects with DataFolderError. The secret is undefined where a backup was made without it.
 */
export async function inspectDataFolder(path: string): Promise<Uint8Array | undefined> {
  try {
    const digest = await readFormat(path, false);
    const secret = await readSecret(path);
    if (secret !== undefined && digest !== undefined) checkDigest(path, secret, digest);
    return secret;
  } catch (error) {
    throw folderError(path, error);
  }
}

/** The digest of the secret as the layout's file has it; undefined in a new folder and in one of an older version. */
async function readFormat(path: string, mayBeNew: boolean): Promise<string | undefined> {
  const file = join(path, 'format');
  // Asked again under the lock: another starter may have been first.
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    if (mayBeNew) return undefined;
    throw new DataFolderError(
      DATA_FOLDER_ERROR.FOREIGN,
      path,
      `${path} is not a data folder: it has no file "format".`,
    );
  });
  if (text === undefined) {
    await writeDurably(path, 'format', Buffer.from(`${FORMAT_PREFIX}${LAYOUT_VERSION}\n`), 0o600);
    return undefined;
  }
  const [first = '', second = '', ...rest] = text.split('\n');
  const version = /^\d+$/.test(first.slice(FORMAT_PREFIX.length)) ? Number(first.slice(FORMAT_PREFIX.length)) : 0;
  const isOurs = first.startsWith(FORMAT_PREFIX) && version >= 1;
  if (isOurs && version < LAYOUT_VERSION) {
    throw new DataFolderError(
      DATA_FOLDER_ERROR.FORMAT_OLDER,
      path,
      `${path} has layout ${version}, this version needs ${LAYOUT_VERSION} and cannot find its profiles again. ` +
        'Start the version that wrote it, or name another folder with --data.',
    );
  }
  if (isOurs && version > LAYOUT_VERSION) {
    throw new DataFolderError(
      DATA_FOLDER_ERROR.FORMAT_NEWER,
      path,
      `${path} was written by a newer version (layout ${version}, this one knows ${LAYOUT_VERSION}). ` +
        'Start that version again, or name another folder with --data.',
    );
  }
  const digest = second.slice(DIGEST_PREFIX.length);
  const isDigest = second.startsWith(DIGEST_PREFIX) && new RegExp(`^[0-9a-f]{${DIGEST_CHARACTERS}}$`).test(digest);
  if (isOurs && (second === '' || isDigest) && rest.join('') === '') return second === '' ? undefined : digest;
  throw new DataFolderError(
    DATA_FOLDER_ERROR.DAMAGED,
    path,
    `${file} is not readable as a layout version. Restore it from a backup; its first line is ` +
      `"${FORMAT_PREFIX}${LAYOUT_VERSION}", and a second one, the digest of the secret, may be left out.`,
  );
}

function formatText(secret: Uint8Array): Buffer {
  return Buffer.from(`${FORMAT_PREFIX}${LAYOUT_VERSION}\n${DIGEST_PREFIX}${digestOf(secret)}\n`);
}

function digestOf(secret: Uint8Array): string {
  return createHash('sha256').update(secret).digest('hex').slice(0, DIGEST_CHARACTERS);
}

function checkDigest(path: string, secret: Uint8Array, digest: string): void {
  if (digestOf(secret) === digest) return;
  throw new DataFolderError(
    DATA_FOLDER_ERROR.DAMAGED,
    path,
    `${join(path, 'secret')} is not the one this folder was made with: the digest in ${join(path, 'format')} differs. ` +
      'Restore both from a backup: with another secret no profile is found again.',
  );
}

/** The secret of a folder that somebody else may hold; makes none. Rejects with DataFolderError or the file's error. */
export async function readKeptSecret(path: string): Promise<Uint8Array> {
  await access(join(path, 'secret'), constants.R_OK);
  const secret = await inspectDataFolder(path);
  if (secret !== undefined) return secret;
  throw missingSecret(path);
}

async function readSecret(path: string): Promise<Uint8Array | undefined> {
  const file = join(path, 'secret');
  const known = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (known === undefined || known.length === SECRET_BYTES) return known;
  throw new DataFolderError(
    DATA_FOLDER_ERROR.DAMAGED,
    path,
    `${file} has ${known.length} bytes instead of ${SECRET_BYTES}. Restore it from a backup: with another secret ` +
      'no profile is found again, and quotes already given would no longer verify.',
  );
}

/** Made once: where there is a digest of it or a store already, it has been lost. */
async function makeSecret(path: string, digest: string | undefined): Promise<Uint8Array> {
  const hasStore = await stat(join(path, 'store', 'data.mdb')).then(
    () => true,
    () => false,
  );
  if (digest !== undefined || hasStore) throw missingSecret(path);
  const secret = randomBytes(SECRET_BYTES);
  await writeDurably(path, 'secret', secret, 0o600);
  return secret;
}

function missingSecret(path: string): DataFolderError {
  return new DataFolderError(
    DATA_FOLDER_ERROR.DAMAGED,
    path,
    `${join(path, 'secret')} is missing. Restore it from a backup: with another secret no profile is found again.`,
  );
}

/** The file is there whole or not at all, also after a power loss. The caller holds the lock. */
export async function writeDurably(folder: string, name: string, bytes: Uint8Array, mode: number): Promise<void> {
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
