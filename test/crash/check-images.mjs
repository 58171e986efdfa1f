/**
 * Opens one image of a store after another, as named on standard input, and prints for each, as a line of JSON,
 * the last whole batch of each stream or what is wrong. A process of its own, because an image that breaks LMDB's
 * rules can end it. Run with LMDB_RESTORE=safe: the images are of another boot, which LMDB cannot know here.
 *
 * node check-images.mjs <built store> <streams>
 */
import { createInterface } from 'node:readline';

const [built, streams] = process.argv.slice(2);
const { LmdbStore } = await import(`${built}lmdb-store.js`);

async function check(path) {
  const last = Array.from({ length: Number(streams) }, () => 0);
  const store = LmdbStore.open({ path, epoch: 2, stream: 0 });
  try {
    store.scanJournal([], ({ stream, batch, bytes }) => {
      if (batch !== last[stream] + 1) throw new Error(`stream ${stream}: batch ${batch} follows ${last[stream]}`);
      const isWhole = bytes.length === 150 * (1 + (batch % 60)) && bytes.every((byte) => byte === (batch & 0xff));
      if (!isWhole) throw new Error(`stream ${stream}: batch ${batch} is not what was written`);
      last[stream] = batch;
    });
    for (const [stream, batch] of last.entries()) {
      if (batch === 0) continue;
      const key = new Uint8Array(11);
      key[0] = stream;
      for (let number = 0; number < 20; number++) {
        key[10] = number;
        expectNumber(store.getRecord(key), batch, `record ${number} of stream ${stream}`);
      }
      key[10] = 0;
      expectNumber(store.getCold(key), batch, `cold record of stream ${stream}`);
      expectNumber(store.getMeta(`last.${stream}`), batch, `meta value of stream ${stream}`);
    }
    // It is a store that goes on, too.
    store.putMeta('after', new Uint8Array(8));
    await store.commit();
  } finally {
    await store.close();
  }
  return last;
}

function expectNumber(bytes, number, what) {
  const found = bytes === undefined ? 'nothing' : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  if (found !== number) throw new Error(`${what} is of batch ${found} and the journal ends at ${number}`);
}

for await (const path of createInterface({ input: process.stdin })) {
  const result = await check(path).then(
    (last) => ({ last }),
    (error) => ({ problem: String(error) }),
  );
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
