/**
 * The process that `store-reader.ts` starts: reads a store to the end and tells its parent what it finds. It is
 * one of its own because damaged pages can end whoever reads them, by a signal and without a word; nobody imports
 * this file.
 */
import type { StoreReaderMessage, StoreReaderTask } from './store-reader.ts';
import { verifyStore } from './verify-store.ts';

const PROGRESS_VALUES = 10_000;

function say(message: StoreReaderMessage): Promise<void> {
  return new Promise((resolve) => {
    // Gone parents need no answer; the callback says when it is on its way.
    if (process.send === undefined) resolve();
    else process.send(message, () => resolve());
  });
}

process.once('message', (task: StoreReaderTask) => void read(task));
process.once('disconnect', () => {
  process.exitCode = 1;
});

async function read({ storePath, isLive }: StoreReaderTask): Promise<void> {
  let saidAt = 0;
  try {
    const totals = await verifyStore({
      storePath,
      isLive,
      onFinding: (finding) => void say({ kind: 'finding', finding }),
      onProgress: (done, total) => {
        if (done - saidAt < PROGRESS_VALUES) return;
        saidAt = done;
        void say({ kind: 'progress', done, total });
      },
    });
    await say({ kind: 'totals', totals });
  } catch (error) {
    await say({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
  }
  process.disconnect();
}
