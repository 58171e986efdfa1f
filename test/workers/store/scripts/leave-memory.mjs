/**
 * Has values written by the store, and by lmdb itself opened with `noMemInit`, in a process whose fresh memory is
 * full of a mark (glibc's MALLOC_PERTURB_=90 makes it 0xa5). Prints as JSON how often each file holds the mark,
 * which nobody put into it.
 *
 * MALLOC_PERTURB_=90 node leave-memory.mjs <built store> <folder>
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { open } from 'lmdb';

const [built, folder] = process.argv.slice(2);
const { LmdbStore } = await import(`${built}lmdb-store.js`);
const mark = Buffer.alloc(32, 0xa5);
const VALUES = 400;

function marksIn(file) {
  const bytes = readFileSync(file);
  let count = 0;
  for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 1)) count++;
  return count;
}

const store = LmdbStore.open({ path: join(folder, 'store'), epoch: 1, stream: 0 });
const key = new Uint8Array(11);
for (let number = 0; number < VALUES; number++) {
  key[9] = number >> 8;
  key[10] = number;
  store.putRecord(key, new Uint8Array(500), 0, 1 + number);
  await store.commit();
}
await store.close();

const binary = { encoding: 'binary', keyEncoding: 'binary' };
const root = open({ path: join(folder, 'careless'), noSubdir: false, noMemInit: true, ...binary });
const database = root.openDB('records', binary);
for (let number = 0; number < VALUES; number++)
  await database.put(Buffer.from(`key ${number}`), Buffer.alloc(1 + number));
await root.flushed;
await root.close();

console.log(
  JSON.stringify({
    store: marksIn(join(folder, 'store/data.mdb')),
    careless: marksIn(join(folder, 'careless/data.mdb')),
  }),
);
