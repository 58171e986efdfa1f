import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRingMemory, RING_RECORD_BYTES_MAX, RingReader, RingWriter } from '../../server/shared-ring.ts';
import { compileForWorker } from './compile-for-worker.ts';

let outputFolder = '';
beforeAll(() => {
  outputFolder = compileForWorker('test/server/shared-ring-writer.ts');
}, 60_000);
afterAll(() => rmSync(outputFolder, { recursive: true, force: true }));

interface Written {
  readonly tag: number;
  readonly number: number;
  readonly bytes: Uint8Array;
}

function drainAll(reader: RingReader, into: Written[]): boolean {
  return reader.drain((tag, number, bytes) => into.push({ tag, number, bytes: bytes.slice() }));
}

/** A record in short: comparing a million elements one by one would take the test's time. */
function nameOf({ tag, number, bytes }: Written): string {
  return `${tag} ${number} ${bytes.length} ${crc32(bytes)}`;
}

describe('shared ring', () => {
  it('write, drain: every record once, in order and whole, at any sizes and any interleaving', () => {
    const size = fc.oneof(
      fc.integer({ min: 0, max: 40 }),
      fc.integer({ min: 0, max: 60_000 }),
      fc.constant(RING_RECORD_BYTES_MAX),
    );
    const step = fc.oneof({ weight: 6, arbitrary: size }, { weight: 1, arbitrary: fc.constant(null) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const memory = createRingMemory();
        const writer = new RingWriter(memory);
        const reader = new RingReader(memory);
        const written: Written[] = [];
        const read: Written[] = [];
        let isFull = false;
        steps.forEach((bytesCount, n) => {
          if (bytesCount === null) {
            expect(drainAll(reader, read)).toBe(isFull);
            expect(read.length).toBe(written.length);
            isFull = false;
            return;
          }
          const whole = new Uint8Array(bytesCount + 7).fill(n);
          whole[3] = 255 - n;
          const tag = (n * 0x10203) | 0;
          if (writer.write(tag, n / 3, whole, 3, 3 + bytesCount)) {
            written.push({ tag, number: n / 3, bytes: whole.slice(3, 3 + bytesCount) });
          } else isFull = true;
        });
        drainAll(reader, read);
        expect(read.map(nameOf)).toEqual(written.map(nameOf));
        // Whatever was refused: an empty ring takes the largest record.
        expect(writer.write(1, 1, new Uint8Array(RING_RECORD_BYTES_MAX), 0, RING_RECORD_BYTES_MAX)).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it('positions: pass 2^32 bytes', () => {
    const memory = createRingMemory();
    new Int32Array(memory, 0, 2).fill((2 ** 32 - 4096) | 0);
    const writer = new RingWriter(memory);
    const reader = new RingReader(memory);
    const bytes = new Uint8Array(1000).fill(7);
    for (let n = 0; n < 4000; n++) {
      expect(writer.write(n, n, bytes, 0, bytes.length)).toBe(true);
      const read: Written[] = [];
      drainAll(reader, read);
      expect(read.map(nameOf)).toEqual([nameOf({ tag: n, number: n, bytes })]);
    }
  });

  it('takeWake: once for all records between two drains', () => {
    const memory = createRingMemory();
    const writer = new RingWriter(memory);
    const reader = new RingReader(memory);
    for (let n = 0; n < 3; n++) {
      writer.write(1, 1, new Uint8Array(8), 0, 8);
      expect(writer.takeWake()).toBe(true);
      writer.write(2, 2, new Uint8Array(8), 0, 8);
      expect(writer.takeWake()).toBe(false);
      drainAll(reader, []);
    }
  });

  it('two threads: 60,000 records through a ring that is full most of the time arrive whole, and neither side sleeps for ever', async () => {
    const COUNT = 60_000;
    const memory = createRingMemory();
    const worker = new Worker(join(outputFolder, 'test/server/shared-ring-writer.js'), {
      workerData: { memory, count: COUNT },
    });
    const reader = new RingReader(memory);
    let next = 0;
    let wrong = 0;
    await new Promise<void>((resolve, reject) => {
      worker.on('error', reject);
      worker.on('message', () => {
        const isStarved = reader.drain((tag, number, bytes) => {
          const isRight = tag === next && number === next / 2 && bytes.length === (next * 37) % 1500;
          if (!isRight || bytes.some((byte) => byte !== (next & 0xff))) wrong++;
          next++;
        });
        if (isStarved) worker.postMessage('wake');
        if (next === COUNT) resolve();
      });
    });
    await worker.terminate();
    expect(wrong).toBe(0);
    expect(next).toBe(COUNT);
  }, 60_000);
});
