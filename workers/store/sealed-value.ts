/**
 * A sealed value: the payload followed by its CRC-32 (4 bytes, little-endian). Every value in every
 * database of the store is sealed when written and checked when read, so that a flipped bit on disk is
 * an error with a name and never a wrong balance. LMDB checks nothing itself. The checksum does not
 * cover the key and is no protection against a deliberate change.
 */
import { crc32 } from 'node:zlib';
import { STORE_ERROR, StoreError } from './store-error.ts';

export const SEAL_BYTES = 4;

/** Writes the checksum of `bytes[start, start + length)` into the four bytes that follow it. */
export function sealInPlace(bytes: Uint8Array, start: number, length: number): void {
  const end = start + length;
  const sum = crc32(bytes.subarray(start, end));
  bytes[end] = sum & 0xff;
  bytes[end + 1] = (sum >>> 8) & 0xff;
  bytes[end + 2] = (sum >>> 16) & 0xff;
  bytes[end + 3] = sum >>> 24;
}

/** A new buffer holding a copy of `payload` and its seal. */
export function sealedCopy(payload: Uint8Array): Uint8Array {
  const sealed = new Uint8Array(new ArrayBuffer(payload.length + SEAL_BYTES));
  sealed.set(payload);
  sealInPlace(sealed, 0, payload.length);
  return sealed;
}

/**
 * Checks a value as stored and returns the length of its payload in bytes.
 * Throws StoreError `CORRUPT` naming the database and the key.
 */
export function checkSeal(sealed: Uint8Array, database: string, key: Uint8Array): number {
  const length = sealed.length - SEAL_BYTES;
  if (length >= 0) {
    const stored =
      ((sealed[length] as number) | // within bounds: length is sealed.length - 4
        ((sealed[length + 1] as number) << 8) | // same bound
        ((sealed[length + 2] as number) << 16) | // same bound
        ((sealed[length + 3] as number) << 24)) >>> // same bound
      0;
    if (stored === crc32(sealed.subarray(0, length))) return length;
  }
  throw corruptError(database, key);
}

/** The error for a value that is not what was written: damaged, or a part of it missing. */
export function corruptError(database: string, key: Uint8Array): StoreError {
  const keyHex = Buffer.from(key.buffer, key.byteOffset, key.length).toString('hex');
  return new StoreError(
    STORE_ERROR.CORRUPT,
    `The value at key ${keyHex} of database "${database}" is not what was written: it was damaged on disk. ` +
      'Check the disk, see what else is damaged (opportune verify), and restore the data folder from a backup (opportune restore).',
    { database, keyHex },
  );
}
