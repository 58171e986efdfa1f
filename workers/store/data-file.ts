/**
 * A look at the head of LMDB's data file before LMDB maps it. A file that was cut off (a copy that broke off, a
 * file system that lost its tail) is mapped without a word, and the first touch of a missing page ends the
 * process with SIGBUS and no reason; so its size is held against what its own head says.
 *
 * A shorter file is only a suspicion: a page that was given back within the transaction that took it is never
 * written, so a healthy file may lack its last pages. Whoever is told of one reads everything in a process that
 * may die of it (`workers/backup/store-reader.ts`).
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';

const MAGIC = 0xbeefc0de;
const PAGE_BYTES = 4096;
/** A head stands at the begin of either of the first two pages, and one in the middle of the first. */
const HEADS_AT = [0, PAGE_BYTES / 2, PAGE_BYTES] as const;
/** Behind the magic: version, address, size of the map, two databases of 48 bytes. */
const LAST_PAGE_AT = 4 + 4 + 8 + 8 + 2 * 48;
const HEAD_BYTES_MAX = 64;

/**
 * How many bytes the file lacks against its own heads; 0 when it is long enough, is not there, or has no head
 * that can be read (LMDB itself says so).
 * @param storePath `<data>/store`
 */
export function missingBytes(storePath: string): number {
  let file: number;
  try {
    file = openSync(join(storePath, 'data.mdb'), 'r');
  } catch {
    return 0; // Opening it for use says what is wrong.
  }
  try {
    const bytes = Buffer.alloc(2 * PAGE_BYTES);
    const length = readSync(file, bytes, 0, bytes.length, 0);
    let neededBytes = 0;
    for (const at of HEADS_AT) {
      const head = findHead(bytes.subarray(at, Math.min(at + PAGE_BYTES / 2, length)));
      if (head === undefined) continue;
      neededBytes = Math.max(neededBytes, (Number(head.readBigUInt64LE(LAST_PAGE_AT)) + 1) * PAGE_BYTES);
    }
    return Math.max(0, neededBytes - fstatSync(file).size);
  } finally {
    closeSync(file);
  }
}

/** From the magic on; where it stands depends on the page header of the build. */
function findHead(bytes: Buffer): Buffer | undefined {
  for (let at = 0; at <= HEAD_BYTES_MAX && at + LAST_PAGE_AT + 8 <= bytes.length; at += 4)
    if (bytes.readUInt32LE(at) === MAGIC) return bytes.subarray(at);
  return undefined;
}
