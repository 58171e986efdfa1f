/**
 * Two worker threads write to one environment. The first ends in the way named (`terminate`, `exit` or
 * `throw`) with commits under way, is replaced by a third on another stream, and both must get on.
 * Prints one line of JSON: what each worker had acknowledged.
 *
 * node write-in-workers.mjs <built store> <store path> <way to end>
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const [built, path, way] = process.argv.slice(2);
  const acknowledged = {};
  const start = (stream, ending) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { built, path, stream, ending } });
    worker.on('message', (batch) => {
      acknowledged[stream] = batch;
      worker.emit('acknowledged', batch);
    });
    worker.on('error', (error) => {
      if (error.message !== 'planned') throw error;
    });
    return worker;
  };
  const reached = (worker, batch) =>
    new Promise((resolve) => {
      worker.on('acknowledged', (seen) => {
        if (seen >= batch) resolve();
      });
    });
  const first = start(0, way);
  const second = start(1, 'stay');
  await Promise.all([reached(first, 50), reached(second, 50)]);
  const gone = new Promise((resolve) => first.on('exit', resolve));
  if (way === 'terminate') await first.terminate();
  else first.postMessage('end');
  await gone;
  const seen = acknowledged[1];
  const third = start(2, 'stay');
  await Promise.all([reached(third, 50), reached(second, seen + 50)]);
  const closed = [second, third].map((worker) => new Promise((resolve) => worker.on('exit', resolve)));
  second.postMessage('close');
  third.postMessage('close');
  await Promise.all(closed);
  console.log(JSON.stringify(acknowledged));
} else {
  const { built, path, stream, ending } = workerData;
  const { LmdbStore } = await import(`${built}lmdb-store.js`);
  const store = LmdbStore.open({ path, epoch: 1, stream });
  let isClosing = false;
  parentPort.on('message', (message) => {
    if (message === 'close') {
      isClosing = true;
      return;
    }
    // Commits are under way at this point: the writers below never pause.
    if (ending === 'exit') process.exit(1);
    throw new Error('planned');
  });
  const record = new Uint8Array(600).fill(stream);
  const key = new Uint8Array(11);
  key[0] = stream;
  const writer = async () => {
    while (!isClosing) {
      const batch = store.openBatch;
      store.appendJournal(record, 0, 150);
      key[10] = batch & 0xff;
      store.putRecord(key, record, 0, record.length);
      await store.commit();
      parentPort.postMessage(batch);
    }
  };
  await Promise.all([writer(), writer()]);
  await store.close();
  parentPort.close();
}
