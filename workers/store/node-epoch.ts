/**
 * The node's epoch: how many times a node has started on this data folder. Every start claims the next
 * one durably before any worker writes, so positions in the journal never repeat, whatever was lost in
 * the start before. Called once by the main thread, which holds the folder's lock.
 */
import { StoreEnvironment } from './environment.ts';
import { EPOCH_MAX } from './journal-key.ts';
import { sealedCopy } from './sealed-value.ts';
import { STORE_ERROR, StoreError } from './store-error.ts';
import type { WritersGate } from './writers-gate.ts';

const EPOCH_NAME = Buffer.from('node.epoch');

/**
 * Adds one to the stored epoch, waits until it is on disk, and returns it: 1 on a new folder.
 * @param path the store's folder, `<data>/store`; created if absent
 * @param gate the calling thread's
 * Throws StoreError `OPEN_FAILED`, `CORRUPT`, `DISK_FULL` or `WRITE_FAILED`.
 */
export async function claimEpoch(path: string, gate?: WritersGate): Promise<number> {
  const environment = StoreEnvironment.open({ path, ...(gate === undefined ? {} : { gate }) });
  try {
    const stored = environment.meta.get(EPOCH_NAME);
    const epoch = (stored === undefined ? 0 : viewOf(stored).getUint32(0)) + 1;
    if (epoch > EPOCH_MAX) {
      throw new StoreError(STORE_ERROR.OPEN_FAILED, `The store in ${path} has used up its epochs.`, { path });
    }
    const next = new Uint8Array(4);
    viewOf(next).setUint32(0, epoch);
    const sealed = sealedCopy(next);
    await environment.write(1, sealed.length, () => environment.meta.put(EPOCH_NAME, sealed));
    return epoch;
  } finally {
    await environment.close();
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
