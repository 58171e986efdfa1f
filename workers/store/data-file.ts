/**
 * A look at the head of LMDB's data file before LMDB opens and maps it. Two kinds of damage would end the process
 * by a signal and without a reason: a head that is not LMDB's, on which lmdb 3.5.6 fails in its own clearing up, and
 * a file that was cut off (a copy that broke off, a file system that lost its tail), which is mapped without a word
 * until the first touch of a missing page. So the heads are read here, and the size is held against what they say.
 *
 * A shorter file is only a suspicion: a page that was given back within the transaction that took it is never
 * written, so a healthy file may lack its last pages. Whoever is told of one reads everything in a process that
 * may die of it (`workers/backup/store-reader.ts`).
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';

const MAGIC = 0xbeefc0de;
/** Behind a page header of 24 bytes, in which the flags say what kind of page it is. */
const HEAD_AT = 24;
const FLAGS_AT = 18;
const META_FLAG = 0x08;
/** Behind the magic: version, address, size of the map, two databases of 48 bytes, the first of which has the page's size. */
const PAGE_BYTES_AT = 4 + 4 + 8 + 8;
const LAST_PAGE_AT = PAGE_BYTES_AT + 2 * 48;
const HEAD_BYTES = HEAD_AT + LAST_PAGE_AT + 8;
const PAGE_BYTES_MIN = 512;
const PAGE_BYTES_MAX = 65_536;

interface DataFileHead {
  /** Whether both heads are LMDB's: without either it opens nothing. */
  readonly isWhole: boolean;
  readonly missingBytes: number;
}

/**
 * How many bytes the file lacks against its own heads; 0 when it is long enough, is not there, or has no head.
 * @param storePath `<data>/store`
 */
export function missingBytes(storePath: string): number {
  return readHead(storePath)?.missingBytes ?? 0;
}

/** Whether there is a file, and LMDB's heads are not in it. An empty file is one that was never begun. */
export function lacksHead(storePath: string): boolean {
  return readHead(storePath)?.isWhole === false;
}

function readHead(storePath: string): DataFileHead | undefined {
  let file: number;
  try {
    file = openSync(join(storePath, 'data.mdb'), 'r');
  } catch {
    return undefined; // Opening it for use says what is wrong.
  }
  try {
    const size = fstatSync(file).size;
    if (size === 0) return undefined;
    const first = headAt(file, 0);
    if (first === undefined) return { isWhole: false, missingBytes: 0 };
    // The second head begins the second page; LMDB takes the system's own size of a page.
    const pageBytes = first.readUInt32LE(PAGE_BYTES_AT);
    if (pageBytes < PAGE_BYTES_MIN || pageBytes > PAGE_BYTES_MAX) return { isWhole: false, missingBytes: 0 };
    const second = headAt(file, pageBytes);
    let neededBytes = 0;
    for (const head of second === undefined ? [first] : [first, second])
      neededBytes = Math.max(neededBytes, (Number(head.readBigUInt64LE(LAST_PAGE_AT)) + 1) * pageBytes);
    return { isWhole: second !== undefined, missingBytes: Math.max(0, neededBytes - size) };
  } finally {
    closeSync(file);
  }
}

/** A head from its magic on, or undefined where the page is none. */
function headAt(file: number, pageAt: number): Buffer | undefined {
  const bytes = Buffer.alloc(HEAD_BYTES);
  if (readSync(file, bytes, 0, HEAD_BYTES, pageAt) < HEAD_BYTES) return undefined;
  const isHead = (bytes.readUInt16LE(FLAGS_AT) & META_FLAG) !== 0 && bytes.readUInt32LE(HEAD_AT) === MAGIC;
  return isHead ? bytes.subarray(HEAD_AT) : undefined;
}
