/**
 * The data keys, one a person, in a file of its own: `<data>/keys/data-keys`. Each is 32 random bytes wrapped with
 * AES-256-GCM under the master key, in a slot of 64 bytes that is written once and never used again:
 *
 *   0 magic, file tag (4 random bytes), fingerprint of the master key   64 slot 0   128 slot 1   …
 *   slot: u8 state (1: in use, 0: erased), 3 -, nonce 12, wrapped key 32, tag 16       bound to tag and slot by AAD
 *
 * Keys are made ahead and are on disk before a worker hears of them, so no turn waits for a disk and no value is
 * ever sealed under a key that a power cut could take. What was handed out and not used at a crash is left unused:
 * 16 KB a worker. To erase a person is to overwrite the person's slot in place and sync. That is why this is no
 * table of the store: LMDB leaves old pages in its file, and every backup of the store would hold the keys.
 *
 * One process appends (the node's main thread); any may read, and erase: a slot is read again for each use, so an
 * erasure by another process holds from the next value on, and there is no cache to empty.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import {
  closeSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  write,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { fingerprintOf } from './master-key.ts';
import { VAULT_ERROR, VaultError } from './vault-error.ts';

const MAGIC = 'opportune data keys 1\n';
const TAG_AT = 32;
const TAG_BYTES = 4;
const FINGERPRINT_AT = 40;
const FINGERPRINT_LENGTH = 16;
const SLOT_BYTES = 64;
const KEY_BYTES = 32;
export const NONCE_BYTES = 12;
export const AUTH_TAG_BYTES = 16;
const STATE = { erased: 0, inUse: 1 } as const;
const NONCE_AT = 4;
const WRAPPED_AT = NONCE_AT + NONCE_BYTES;
const AUTH_TAG_AT = WRAPPED_AT + KEY_BYTES;

const writeAt = promisify(write);
const dataSync = promisify(fdatasync);

/** A key, or why there is none: `erased` by somebody, or `missing` from this file. */
export type FoundKey = Uint8Array | 'erased' | 'missing';

export function keysPathOf(folder: string): string {
  return join(folder, 'keys', 'data-keys');
}

export class DataKeys {
  readonly path: string;
  /** 8 hexadecimal digits that tell this file from every other: part of each key's name. */
  readonly fileTag: string;
  readonly #file: number;
  /** Null where keys are erased only. */
  readonly #master: Uint8Array | null;
  #slots: number;

  /**
   * Opens the file, for reading only unless `mayWrite`; then it is made when it is absent. Blocks for some file
   * operations. @throws VaultError MASTER_KEY_OTHER, KEYS_ABSENT, KEYS_DAMAGED or KEYS_FAILED
   */
  static open(path: string, master: Uint8Array, mayWrite: boolean): DataKeys {
    return DataKeys.#open(path, master, mayWrite);
  }

  /** Opens a file that is there for `erase` alone, for which no master key is needed. */
  static openToErase(path: string): DataKeys {
    return DataKeys.#open(path, null, true);
  }

  static #open(path: string, master: Uint8Array | null, mayWrite: boolean): DataKeys {
    try {
      if (mayWrite && master !== null) makeFile(path, master);
      const file = openSync(path, mayWrite ? 'r+' : 'r');
      try {
        return new DataKeys(path, file, master);
      } catch (error) {
        closeSync(file);
        throw error;
      }
    } catch (error) {
      throw vaultError(path, error);
    }
  }

  private constructor(path: string, file: number, master: Uint8Array | null) {
    this.path = path;
    this.#file = file;
    this.#master = master;
    const { fileTag, fingerprint } = readHeader(file, path);
    this.fileTag = fileTag;
    if (master !== null && fingerprint !== fingerprintOf(master)) {
      throw new VaultError(
        VAULT_ERROR.MASTER_KEY_OTHER,
        `The data keys in ${path} are under the master key ${fingerprint}, and the one given is ${fingerprintOf(master)}. ` +
          'Give the key of that fingerprint: without it sensitive traits cannot be read.',
      );
    }
    this.#slots = slotsIn(fstatSync(file).size);
  }

  /** Slots there are, in use, erased or never handed out. */
  get count(): number {
    return this.#slots;
  }

  /** The name of a slot's key: 16 hexadecimal digits. */
  idOf(slot: number): string {
    return this.fileTag + slot.toString(16).padStart(8, '0');
  }

  /** The slot of a key's name, or -1 when the key is not of this file. */
  slotOf(keyId: string): number {
    return keyId.startsWith(this.fileTag) ? Number.parseInt(keyId.slice(2 * TAG_BYTES), 16) : -1;
  }

  /**
   * Makes `count` new keys. Resolves to the first one's slot when all are on disk. One call at a time.
   * Rejects with VaultError KEYS_FAILED; then none was handed out, and trying again is right.
   */
  async append(count: number): Promise<number> {
    const first = this.#slots;
    const bytes = Buffer.alloc(count * SLOT_BYTES);
    for (let i = 0; i < count; i++) {
      const key = randomBytes(KEY_BYTES);
      wrap(key, this.#knownMaster(), this.fileTag, first + i, bytes.subarray(i * SLOT_BYTES, (i + 1) * SLOT_BYTES));
    }
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await writeAt(this.#file, bytes, done, bytes.length - done, offsetOf(first) + done);
        done += bytesWritten;
      }
      await dataSync(this.#file);
    } catch (error) {
      throw vaultError(this.path, error);
    }
    this.#slots = first + count;
    return first;
  }

  /** The key of a slot. @throws VaultError KEYS_DAMAGED where the slot was changed, KEYS_FAILED */
  read(slot: number): FoundKey {
    const bytes = Buffer.alloc(SLOT_BYTES);
    try {
      if (slot < 0 || readSync(this.#file, bytes, 0, SLOT_BYTES, offsetOf(slot)) < SLOT_BYTES) return 'missing';
    } catch (error) {
      throw vaultError(this.path, error);
    }
    return unwrap(bytes, this.#knownMaster(), this.fileTag, slot, this.path);
  }

  /**
   * Overwrites the key of a slot, for good. Returns when that is on disk; false when there was no such key. Done on
   * the file that has the name at the end: a rotation beside it replaces the file.
   */
  erase(slot: number): boolean {
    if (slot < 0 || slot >= slotsIn(fstatSync(this.#file).size)) return false;
    try {
      const wasInUse = overwrite(this.#file, slot);
      for (let file = this.#file; ; ) {
        const next = openSync(this.path, 'r+');
        const isSame = fstatSync(next).ino === fstatSync(file).ino;
        if (!isSame) overwrite(next, slot);
        if (file !== this.#file) closeSync(file);
        if (isSame) {
          closeSync(next);
          return wasInUse;
        }
        file = next;
      }
    } catch (error) {
      throw vaultError(this.path, error);
    }
  }

  #knownMaster(): Uint8Array {
    if (this.#master === null) throw new TypeError(`${this.path} was opened to erase keys, not to use them`);
    return this.#master;
  }

  close(): void {
    closeSync(this.#file);
  }

  /**
   * Wraps every key anew under `next`; the file is replaced in one step, and until then the old master key holds.
   * The node must not run (the caller holds its folder's lock); erasures beside it are not lost.
   * @returns the keys that were wrapped anew
   */
  rewrap(next: Uint8Array): number {
    const writing = `${this.path}.new`;
    try {
      const file = openSync(writing, 'w+', 0o600);
      let wrapped = 0;
      try {
        writeSync(file, headerOf(this.fileTag, next), 0, SLOT_BYTES, 0);
        for (let slot = 0; slot < this.#slots; slot++) {
          const key = this.read(slot);
          if (!(key instanceof Uint8Array)) {
            writeSync(file, Buffer.alloc(SLOT_BYTES), 0, SLOT_BYTES, offsetOf(slot));
            continue;
          }
          const bytes = Buffer.alloc(SLOT_BYTES);
          wrap(key, next, this.fileTag, slot, bytes);
          writeSync(file, bytes, 0, SLOT_BYTES, offsetOf(slot));
          wrapped++;
        }
        fsyncSync(file);
        renameSync(writing, this.path);
        syncFolder(dirname(this.path));
        // Whoever erased in the old file since it was copied either found the new one already, or is found here.
        for (let slot = 0; slot < this.#slots; slot++) {
          const isErased = stateOf(this.#file, slot) === STATE.erased;
          if (isErased && stateOf(file, slot) === STATE.inUse) overwrite(file, slot);
        }
        return wrapped;
      } finally {
        closeSync(file);
      }
    } catch (error) {
      throw vaultError(this.path, error);
    }
  }
}

/** The fingerprint of the master key that a file of data keys is under, or null where there is no file. */
export function keysFingerprint(path: string): string | null {
  try {
    const file = openSync(path, 'r');
    try {
      return readHeader(file, path).fingerprint;
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null; // of openSync
    throw vaultError(path, error);
  }
}

function makeFile(path: string, master: Uint8Array): void {
  try {
    if (statSync(path).size >= SLOT_BYTES) return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // statSync throws errno errors only
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const writing = `${path}.new`;
  const file = openSync(writing, 'w', 0o600);
  try {
    writeSync(file, headerOf(randomBytes(TAG_BYTES).toString('hex'), master), 0, SLOT_BYTES, 0);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(writing, path);
  syncFolder(dirname(path));
  syncFolder(dirname(dirname(path)));
}

function headerOf(fileTag: string, master: Uint8Array): Buffer {
  const header = Buffer.alloc(SLOT_BYTES);
  header.write(MAGIC, 'latin1');
  header.write(fileTag, TAG_AT, 'hex');
  header.write(fingerprintOf(master), FINGERPRINT_AT, 'latin1');
  return header;
}

function readHeader(file: number, path: string): { fileTag: string; fingerprint: string } {
  const header = Buffer.alloc(SLOT_BYTES);
  readSync(file, header, 0, SLOT_BYTES, 0);
  const fingerprint = header.toString('latin1', FINGERPRINT_AT, FINGERPRINT_AT + FINGERPRINT_LENGTH);
  if (header.toString('latin1', 0, MAGIC.length) !== MAGIC || !/^[0-9a-f]{16}$/.test(fingerprint)) {
    throw new VaultError(
      VAULT_ERROR.KEYS_DAMAGED,
      `${path} is not a file of data keys. Restore the folder of keys from its copy; sensitive traits are under it.`,
    );
  }
  return { fileTag: header.toString('hex', TAG_AT, TAG_AT + TAG_BYTES), fingerprint };
}

/** Fills a slot. The nonce is random: at most 2^32 keys are wrapped under one master key, GCM's bound for that. */
function wrap(key: Uint8Array, master: Uint8Array, fileTag: string, slot: number, out: Buffer): void {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', master, nonce).setAAD(wrapName(fileTag, slot));
  out[0] = STATE.inUse;
  nonce.copy(out, NONCE_AT);
  cipher.update(key).copy(out, WRAPPED_AT);
  cipher.final();
  cipher.getAuthTag().copy(out, AUTH_TAG_AT);
}

function unwrap(bytes: Buffer, master: Uint8Array, fileTag: string, slot: number, path: string): FoundKey {
  if (bytes[0] === STATE.erased) return 'erased';
  const nonce = bytes.subarray(NONCE_AT, WRAPPED_AT);
  const cipher = createDecipheriv('aes-256-gcm', master, nonce, { authTagLength: AUTH_TAG_BYTES });
  cipher.setAAD(wrapName(fileTag, slot)).setAuthTag(bytes.subarray(AUTH_TAG_AT, AUTH_TAG_AT + AUTH_TAG_BYTES));
  try {
    const key = cipher.update(bytes.subarray(WRAPPED_AT, AUTH_TAG_AT));
    cipher.final();
    return new Uint8Array(key);
  } catch (error) {
    const text = `The data key in slot ${slot} of ${path} was changed. Restore the folder of keys from its copy.`;
    throw new VaultError(VAULT_ERROR.KEYS_DAMAGED, text, error);
  }
}

function wrapName(fileTag: string, slot: number): Buffer {
  return Buffer.from(`opportune data key 1 ${fileTag} ${slot}`);
}

function overwrite(file: number, slot: number): boolean {
  const wasInUse = stateOf(file, slot) === STATE.inUse;
  writeSync(file, Buffer.alloc(SLOT_BYTES), 0, SLOT_BYTES, offsetOf(slot));
  fsyncSync(file);
  return wasInUse;
}

function stateOf(file: number, slot: number): number {
  const state = Buffer.alloc(1);
  readSync(file, state, 0, 1, offsetOf(slot));
  return state[0] as number; // one byte
}

function offsetOf(slot: number): number {
  return (slot + 1) * SLOT_BYTES;
}

/** A slot that a crash cut short counts, so that it is never written again. */
function slotsIn(fileBytes: number): number {
  return Math.max(0, Math.ceil((fileBytes - SLOT_BYTES) / SLOT_BYTES));
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function vaultError(path: string, error: unknown): VaultError {
  if (error instanceof VaultError) return error;
  const { code, message } = error as NodeJS.ErrnoException; // only file operations are wrapped
  if (code === 'ENOENT') {
    const text = `There is no ${path}: no node has started on this data folder, or its folder of keys is missing.`;
    return new VaultError(VAULT_ERROR.KEYS_ABSENT, text, error);
  }
  return new VaultError(
    VAULT_ERROR.KEYS_FAILED,
    `Cannot use ${path}: ${message}. Check the disk, the owner and the mode.`,
    error,
  );
}
