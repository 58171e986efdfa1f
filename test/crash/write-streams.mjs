/**
 * Writes batches on several streams of one store, a thread each, and prints `ack <stream> <batch>` for each that
 * is on disk. Batch n of a stream holds a journal entry, twenty records, a cold record and a meta value that all
 * say n: whoever opens an image of the store can tell a whole batch from a part of one.
 *
 * node write-streams.mjs <built store> <store path> <streams> <batches a stream>
 */
import { writeSync } from 'node:fs';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

const WRITERS = 3;

if (isMainThread) {
  const [built, path, streams, batches] = process.argv.slice(2);
  for (let stream = 0; stream < Number(streams); stream++)
    new Worker(new URL(import.meta.url), { workerData: { built, path, stream, batches: Number(batches) } });
} else {
  const { built, path, stream, batches } = workerData;
  const { LmdbStore } = await import(`${built}lmdb-store.js`);
  const store = LmdbStore.open({ path, epoch: 1, stream });
  const record = new Uint8Array(600);
  const key = new Uint8Array(11);
  key[0] = stream;
  const write = async () => {
    while (store.openBatch <= batches) {
      const batch = store.openBatch;
      const entry = new Uint8Array(150 * (1 + (batch % 60))).fill(batch & 0xff);
      store.appendJournal(entry, 0, entry.length);
      new DataView(record.buffer).setUint32(0, batch);
      for (let number = 0; number < 20; number++) {
        key[10] = number;
        store.putRecord(key, record, 0, record.length);
      }
      key[10] = 0;
      store.putCold(key, record);
      store.putMeta(`last.${stream}`, record);
      await store.commit();
      // Synchronous: its place among the writes is when it was known.
      writeSync(1, `ack ${stream} ${batch}\n`);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, write));
  await store.close();
}
