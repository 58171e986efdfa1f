/**
 * The master key: 32 bytes that wrap every person's data key. The operator gives it (a variable, a file, or a
 * command's standard output, such as a key service's client); where none is given one is made at the first start
 * and kept as `<data>/master-key`, mode 0600, beside the secret. Kept there it guards only copies that leave it
 * out: who can read the whole data folder can read everything, and the start says so.
 *
 *   rotation, kept key:  master-key.new on disk ─▸ data keys wrapped anew, renamed ─▸ master-key.new renamed
 *
 * A crash between the two renames leaves the new key as `master-key.new`; the next start finds that the data keys
 * are under it and finishes the rename. Called by the node at its start and by `opportune keys`.
 */
import { execFile } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDurably } from '../store/data-folder.ts';
import { VAULT_ERROR, VaultError } from './vault-error.ts';

export const MASTER_KEY_BYTES = 32;
const KEPT = 'master-key';
const KEPT_NEXT = 'master-key.new';
const COMMAND_MILLIS = 30_000;
const COMMAND_BYTES_MAX = 4096;

/** Where the operator says the key is; null for not said. At most one of the two. */
export interface MasterKeySource {
  /** As hexadecimal digits or base64. */
  readonly text: string | null;
  /** Run by `sh -c`; prints the key. */
  readonly command: string | null;
}

export interface MasterKey {
  /** 32 bytes. Never logged. */
  readonly key: Uint8Array;
  readonly origin: 'given' | 'command' | 'kept' | 'made';
}

/** A name for the key that gives nothing of it away: the first 8 bytes of an HMAC under it, as hexadecimal digits. */
export function fingerprintOf(key: Uint8Array): string {
  return createHmac('sha256', key).update('opportune master key').digest('hex').slice(0, 16);
}

/** @throws VaultError MASTER_KEY_INVALID, which names `origin` and never the text. */
export function parseMasterKey(text: string, origin: string): Uint8Array {
  const trimmed = text.trim();
  if (/^[0-9a-fA-F]{64}$/.test(trimmed)) return new Uint8Array(Buffer.from(trimmed, 'hex'));
  if (/^[A-Za-z0-9+/]{43}=?$/.test(trimmed)) return new Uint8Array(Buffer.from(trimmed, 'base64'));
  throw new VaultError(
    VAULT_ERROR.MASTER_KEY_INVALID,
    `The master key of ${origin} is not ${MASTER_KEY_BYTES} bytes as 64 hexadecimal digits or as base64 ` +
      `(it has ${trimmed.length} characters). Make one with \`openssl rand -hex 32\`.`,
  );
}

/**
 * The key the operator gives, or null when none is given.
 * @throws VaultError MASTER_KEY_TWICE, MASTER_KEY_INVALID or MASTER_KEY_COMMAND
 */
export async function readGivenKey(source: MasterKeySource): Promise<MasterKey | null> {
  const { text, command } = source;
  if (text !== null && command !== null) {
    throw new VaultError(
      VAULT_ERROR.MASTER_KEY_TWICE,
      'The master key is given twice, as a key and as a command that prints one. Leave out masterKey or masterKeyCommand.',
    );
  }
  if (text !== null) return { key: parseMasterKey(text, 'the option masterKey'), origin: 'given' };
  if (command === null) return null;
  return { key: parseMasterKey(await outputOf(command), 'the command of masterKeyCommand'), origin: 'command' };
}

/** The key kept in the data folder, made when there is none and `mayMake`; the caller holds the folder's lock. */
export async function readKeptKey(folder: string, mayMake: boolean): Promise<MasterKey | null> {
  const known = await readKept(folder, KEPT);
  if (known !== null) return { key: known, origin: 'kept' };
  if (!mayMake) return null;
  const key = new Uint8Array(randomBytes(MASTER_KEY_BYTES));
  await writeDurably(folder, KEPT, key, 0o600);
  return { key, origin: 'made' };
}

/** A new key, on disk under the name it has until `keepNextKey`. */
export async function makeNextKey(folder: string): Promise<Uint8Array> {
  const key = new Uint8Array(randomBytes(MASTER_KEY_BYTES));
  await writeDurably(folder, KEPT_NEXT, key, 0o600);
  return key;
}

/** The key of a rotation that was not finished, or null. */
export function readNextKey(folder: string): Promise<Uint8Array | null> {
  return readKept(folder, KEPT_NEXT);
}

/** The new key takes the place of the old one, which is gone from then on. */
export async function keepNextKey(folder: string): Promise<void> {
  await rename(join(folder, KEPT_NEXT), join(folder, KEPT));
}

/** After a rotation to a key the operator keeps elsewhere. */
export async function forgetKeptKey(folder: string): Promise<void> {
  await unlink(join(folder, KEPT)).catch(ignoreAbsent);
}

/** Removes what a rotation left that did not come far. */
export async function forgetNextKey(folder: string): Promise<void> {
  await unlink(join(folder, KEPT_NEXT)).catch(ignoreAbsent);
}

async function readKept(folder: string, name: string): Promise<Uint8Array | null> {
  const path = join(folder, name);
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw new VaultError(
      VAULT_ERROR.KEYS_FAILED,
      `Cannot read ${path}: ${error.message}. Check its owner and mode.`,
      error,
    );
  });
  if (bytes === null || bytes.length === MASTER_KEY_BYTES) return bytes === null ? null : new Uint8Array(bytes);
  throw new VaultError(
    VAULT_ERROR.KEYS_DAMAGED,
    `${path} has ${bytes.length} bytes instead of ${MASTER_KEY_BYTES}. Restore it from a copy: sensitive traits are under it.`,
  );
}

function outputOf(command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { timeout: COMMAND_MILLIS, maxBuffer: COMMAND_BYTES_MAX, encoding: 'utf8' } as const;
    execFile('/bin/sh', ['-c', command], options, (error, stdout) => {
      if (error === null) return resolve(stdout);
      // Its own words are left out: what it printed may be the key.
      const { code, killed } = error as { code?: unknown; killed?: boolean }; // set by execFile
      const reason =
        killed === true ? `took longer than ${COMMAND_MILLIS} ms or printed too much` : `ended with ${String(code)}`;
      reject(
        new VaultError(
          VAULT_ERROR.MASTER_KEY_COMMAND,
          `The command of masterKeyCommand ${reason}. Run it by hand as this user; it must print the key and nothing else.`,
        ),
      );
    });
  });
}

function ignoreAbsent(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
