import { join } from 'node:path';
import { expect, test } from 'vitest';
import { JournalReader } from '../../../workers/store/journal-reader.ts';
import { LmdbStore } from '../../../workers/store/lmdb-store.ts';
import { textBytes, textOf } from './store-contract.ts';
import { temporaryFolder } from './temporary-folder.ts';

async function append(store: LmdbStore, text: string): Promise<void> {
  const bytes = textBytes(text);
  store.appendJournal(bytes, 0, bytes.length);
  await store.commit();
}

test('journal reader: OPEN_FAILED with the path when no node has ever started there', () => {
  const path = join(temporaryFolder(), 'store');
  expect(() => JournalReader.open(path)).toThrow(expect.objectContaining({ code: 'OPEN_FAILED', path }));
});

test('read: yields nothing from an empty journal, then all batches, then those from a position on', async () => {
  const path = join(temporaryFolder(), 'store');
  const store = LmdbStore.open({ path, epoch: 1, stream: 0 });
  const reader = JournalReader.open(path);
  expect([...reader.read()]).toEqual([]);
  for (let batch = 1; batch <= 40; batch++) await append(store, `entry ${batch}`);
  const texts = [...reader.read()].map(({ bytes }) => textOf(bytes));
  expect(texts).toEqual(Array.from({ length: 40 }, (_, index) => `entry ${index + 1}`));
  expect([...reader.read([{ epoch: 1, stream: 0, batch: 40 }])].map(({ batch }) => batch)).toEqual([40]);
  await reader.close();
  await store.close();
});

test('follow: ends when its signal is aborted, while waiting and between two batches', async () => {
  const path = join(temporaryFolder(), 'store');
  const store = LmdbStore.open({ path, epoch: 1, stream: 0 });
  for (let batch = 1; batch <= 3; batch++) await append(store, `entry ${batch}`);
  const reader = JournalReader.open(path);
  const between = new AbortController();
  const seen: number[] = [];
  for await (const { batch } of reader.follow({ signal: between.signal })) {
    seen.push(batch);
    if (batch === 2) between.abort();
  }
  expect(seen).toEqual([1, 2]);
  const waiting = new AbortController();
  setImmediate(() => waiting.abort());
  const from = [{ epoch: 1, stream: 0, batch: 4 }];
  for await (const _ of reader.follow({ from, signal: waiting.signal, pollMillis: 60_000 })) expect.unreachable();
  await reader.close();
  await store.close();
});

test('follow: goes on where positions of two epochs say, without visiting the older one twice', async () => {
  const path = join(temporaryFolder(), 'store');
  for (const epoch of [1, 2]) {
    const store = LmdbStore.open({ path, epoch, stream: 0 });
    for (let batch = 1; batch <= 3; batch++) await append(store, 'entry');
    await store.close();
  }
  const store = LmdbStore.open({ path, epoch: 2, stream: 0 });
  const reader = JournalReader.open(path);
  const from = [
    { epoch: 1, stream: 0, batch: 3 },
    { epoch: 2, stream: 0, batch: 4 },
  ];
  const controller = new AbortController();
  const seen: string[] = [];
  for await (const { epoch, batch } of reader.follow({ from, signal: controller.signal, pollMillis: 1 })) {
    seen.push(`${epoch}.${batch}`);
    if (seen.length === 1) await append(store, 'entry 4');
    if (seen.length === 2) await append(store, 'entry 5');
    if (seen.length === 3) controller.abort();
  }
  expect(seen).toEqual(['1.3', '2.4', '2.5']);
  await reader.close();
  await store.close();
});
