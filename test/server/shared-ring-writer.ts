/** Runs in a worker thread of `shared-ring.test.ts`: writes records as fast as there is room for them. */
import { parentPort, workerData } from 'node:worker_threads';
import { RingWriter } from '../../server/shared-ring.ts';

const { memory, count } = workerData as { memory: SharedArrayBuffer; count: number }; // set by the test file only
const writer = new RingWriter(memory);
let next = 0;

function writeOn(): void {
  while (next < count) {
    const bytes = new Uint8Array((next * 37) % 1500).fill(next & 0xff);
    if (!writer.write(next, next / 2, bytes, 0, bytes.length)) break;
    next++;
    if (writer.takeWake()) parentPort?.postMessage('wake');
  }
  if (next === count) parentPort?.off('message', writeOn);
}

parentPort?.on('message', writeOn);
writeOn();
