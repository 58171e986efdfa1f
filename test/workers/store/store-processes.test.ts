/**
 * The store among real processes and threads: killed writers, dying worker threads, a reader beside a
 * running node. What must hold is the same each time: what was acknowledged is there, nothing is there
 * in part.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LmdbStore } from '../../../workers/store/lmdb-store.ts';
import { runScript } from './built-store.ts';
import { temporaryFolder } from './temporary-folder.ts';

const KILLS = 10;

function numberIn(bytes: Uint8Array | undefined): number {
  return bytes === undefined ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}

test(`kill -9 of a writer, ${KILLS} times: every acknowledged batch is there and none in part`, {
  timeout: 120_000,
}, async () => {
  const path = join(temporaryFolder(), 'store');
  const acknowledged = new Set<number>();
  for (let kill = 1; kill <= KILLS; kill++) {
    const writer = runScript('write-batches.mjs', [path, '1', '3']);
    const target = 5 + ((kill * 37) % 60);
    let seen = 0;
    await writer.line((line) => line.startsWith('ack ') && ++seen >= target);
    writer.child.kill('SIGKILL');
    expect((await writer.ended).signal).toBe('SIGKILL');
    for (const line of writer.lines) acknowledged.add(Number(line.slice('ack '.length)));

    const store = LmdbStore.open({ path, epoch: 1, stream: 3 });
    const last = store.openBatch - 1;
    // The journal has every batch up to the last, whole and saying its own number.
    const present = new Set<number>();
    store.scanJournal([], ({ batch, bytes }) => {
      present.add(batch);
      expect(bytes.length).toBe(150 * (1 + (batch % 100)));
      expect(bytes.every((byte) => byte === (batch & 0xff))).toBe(true);
    });
    expect(present.size).toBe(last);
    for (const batch of acknowledged) expect(present.has(batch)).toBe(true);
    // Records, cold record and meta value are all from that same last batch.
    const key = new Uint8Array(11);
    key[0] = 3;
    for (let number = 0; number < 20; number++) {
      key[10] = number;
      expect(numberIn(store.getRecord(key))).toBe(last);
    }
    key[10] = 0;
    expect(numberIn(store.getCold(key))).toBe(last);
    expect(numberIn(store.getMeta('last.3'))).toBe(last);
    await store.close();
  }
  expect(acknowledged.size).toBeGreaterThan(KILLS * 5);
});

test.each(['terminate', 'exit', 'throw'])(
  'two workers on one environment: one that ends by %s with commits under way leaves the other undisturbed',
  { timeout: 60_000 },
  async (way) => {
    const path = join(temporaryFolder(), 'store');
    const main = runScript('write-in-workers.mjs', [path, way]);
    const ended = await main.ended;
    expect(ended).toMatchObject({ code: 0 });
    const acknowledged = JSON.parse(main.lines.at(-1) ?? '{}') as Record<string, number>;
    const store = LmdbStore.open({ path, epoch: 2, stream: 0 });
    for (const stream of [0, 1, 2]) {
      const last = acknowledged[stream] ?? 0;
      expect(last).toBeGreaterThanOrEqual(50);
      const batches: number[] = [];
      store.scanJournal([{ epoch: 1, stream, batch: 1 }], (batch) => {
        if (batch.stream === stream) batches.push(batch.batch);
      });
      expect(batches).toEqual(Array.from({ length: batches.length }, (_, index) => index + 1));
      expect(batches.length).toBeGreaterThanOrEqual(last);
    }
    await store.close();
  },
);

test('journal reader in another process: follows a running writer and keeps no old snapshot', {
  timeout: 60_000,
}, async () => {
  const path = join(temporaryFolder(), 'store');
  const bytes = new Uint8Array(100_000);
  const write = async (store: LmdbStore, batches: number): Promise<void> => {
    for (let count = 0; count < batches; count++) {
      store.appendJournal(bytes, 0, 1000);
      store.putCold(new Uint8Array(11), bytes);
      await store.commit();
    }
  };
  let store = LmdbStore.open({ path, epoch: 1, stream: 0 });
  await write(store, 20);
  const reader = runScript('read-journal.mjs', [path]);
  await reader.line((line) => line === 'ready');
  await write(store, 20);
  await reader.line((line) => line === '1.0.40 1000');
  const sizeBytesEarly = store.sizeBytes();
  await write(store, 200);
  await reader.line((line) => line === '1.0.240 1000');
  await store.close();
  // A second start of the node, two writers.
  store = LmdbStore.open({ path, epoch: 2, stream: 0 });
  const other = LmdbStore.open({ path, epoch: 2, stream: 1 });
  await write(other, 3);
  await write(store, 3);
  await reader.line((line) => line === '2.0.3 1000');
  await write(other, 1);
  await reader.line((line) => line === '2.1.4 1000');
  reader.child.kill('SIGKILL');
  await reader.ended;

  const seen = reader.lines.filter((line) => line !== 'ready');
  expect(new Set(seen).size).toBe(seen.length);
  const expected = Array.from({ length: 240 }, (_, index) => `1.0.${index + 1} 1000`);
  expect(seen.slice(0, 240)).toEqual(expected);
  expect(seen.slice(240).toSorted()).toEqual([
    '2.0.1 1000',
    '2.0.2 1000',
    '2.0.3 1000',
    '2.1.1 1000',
    '2.1.2 1000',
    '2.1.3 1000',
    '2.1.4 1000',
  ]);
  // 200 overwrites of 100 KB are 20 MB: pinned, they would all still be in the file.
  expect(store.sizeBytes() - sizeBytesEarly).toBeLessThan(5_000_000);
  await other.close();
  await store.close();
});
