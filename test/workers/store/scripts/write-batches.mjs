/**
 * Commits batches for ever, several under way, and prints `ack <batch>` for each that is on disk. Batch n
 * holds n journal entries' worth of one pattern, twenty records, one cold record and one meta value, all
 * saying n: whoever opens the store later can tell a whole batch from a part of one.
 *
 * node write-batches.mjs <built store> <store path> <epoch> <stream>
 */
import { writeSync } from 'node:fs';

const [built, path, epoch, stream] = process.argv.slice(2);
const { LmdbStore } = await import(`${built}lmdb-store.js`);
const store = LmdbStore.open({ path, epoch: Number(epoch), stream: Number(stream) });

const record = new Uint8Array(600);
const key = new Uint8Array(11);
key[0] = Number(stream);
async function writer() {
  for (;;) {
    const batch = store.openBatch;
    const entry = new Uint8Array(150).fill(batch & 0xff);
    for (let count = 0; count < 1 + (batch % 100); count++) store.appendJournal(entry, 0, entry.length);
    new DataView(record.buffer).setUint32(0, batch);
    for (let number = 0; number < 20; number++) {
      key[10] = number;
      store.putRecord(key, record, 0, record.length);
    }
    key[10] = 0;
    store.putCold(key, record);
    store.putMeta(`last.${stream}`, record);
    await store.commit();
    // Synchronous: an acknowledgement that was sent is never lost with the process.
    writeSync(1, `ack ${batch}\n`);
  }
}
await Promise.all([writer(), writer(), writer()]);
