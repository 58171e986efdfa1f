/**
 * Writes a store's data file anew, value by value, so that it holds what is in force and nothing else: LMDB leaves old
 * bytes in the pages it gives up and in the gaps of pages it rewrites, and its own compacting copy takes the gaps along. Needs the
 * folder for itself. The new file takes the old one's place by one rename, so a crash leaves one of the two, whole.
 * Traded away: time and room for a second file. What the disk itself keeps of a removed file is the disk's.
 */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DATABASE, type StoredPair, StoreEnvironment } from './environment.ts';

const CHUNK_PAIRS = 512;
const CHUNK_BYTES_MAX = 4 * 1024 * 1024;
const FIRST_KEY = new Uint8Array(0);

export interface RewrittenStore {
  readonly values: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/**
 * @param path the store's folder, which nobody else has open
 * @throws StoreError, or the file system's error; then the store is as it was
 */
export async function rewriteStore(path: string): Promise<RewrittenStore> {
  const writing = `${path}.writing`;
  rmSync(writing, { recursive: true, force: true });
  try {
    const values = await copyValues(path, writing);
    const file = join(path, 'data.mdb');
    const written = join(writing, 'data.mdb');
    const bytesBefore = statSync(file).size;
    sync(written);
    renameSync(written, file);
    sync(path);
    return { values, bytesBefore, bytesAfter: statSync(file).size };
  } finally {
    rmSync(writing, { recursive: true, force: true });
  }
}

async function copyValues(path: string, writing: string): Promise<number> {
  const from = StoreEnvironment.open({ path, isReadOnly: true });
  const to = StoreEnvironment.open({ path: writing });
  let values = 0;
  try {
    for (const name of Object.values(DATABASE)) {
      let next: Uint8Array = FIRST_KEY;
      for (let isEnd = false; !isEnd; ) {
        const pairs = from[name].pairs(next, undefined, CHUNK_PAIRS);
        isEnd = pairs.length < CHUNK_PAIRS;
        for (const chunk of chunksOf(pairs)) {
          const bytes = chunk.reduce((sum, { sealed }) => sum + sealed.length, 0);
          await to.write(chunk.length, bytes, () => {
            for (const { key, sealed } of chunk) to[name].put(key, sealed);
          });
        }
        values += pairs.length;
        const last = pairs.at(-1)?.key;
        if (last !== undefined) next = Buffer.concat([last, Buffer.of(0)]);
      }
    }
  } finally {
    await to.close();
    await from.close();
  }
  return values;
}

/** In pieces that one transaction takes well. */
function* chunksOf(pairs: readonly StoredPair[]): Generator<readonly StoredPair[]> {
  let chunk: StoredPair[] = [];
  let bytes = 0;
  for (const pair of pairs) {
    chunk.push(pair);
    bytes += pair.sealed.length;
    if (bytes < CHUNK_BYTES_MAX) continue;
    yield chunk;
    chunk = [];
    bytes = 0;
  }
  if (chunk.length > 0) yield chunk;
}

function sync(path: string): void {
  const file = openSync(path, 'r');
  fsyncSync(file);
  closeSync(file);
}
