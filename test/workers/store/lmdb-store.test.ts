import { join } from 'node:path';
import { open as openRaw } from 'lmdb';
import { afterEach, expect, test, vi } from 'vitest';
import type { JournalPosition } from '../../../actors/store.ts';
import { VALUE_BYTES_MAX } from '../../../workers/store/environment.ts';
import { PIECE_BYTES } from '../../../workers/store/journal-scan.ts';
import { LmdbStore, type LmdbStoreOptions } from '../../../workers/store/lmdb-store.ts';
import { claimEpoch } from '../../../workers/store/node-epoch.ts';
import { describeStoreContract, keyOf, type StoreUnderTest, textBytes, textOf } from './store-contract.ts';
import { temporaryFolder } from './temporary-folder.ts';

const opened: LmdbStore[] = [];

function openStore(path: string, options: Partial<LmdbStoreOptions> = {}): LmdbStore {
  const store = LmdbStore.open({ path, epoch: 1, stream: 0, ...options });
  opened.push(store);
  return store;
}

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

function append(store: LmdbStore, text: string): void {
  const bytes = textBytes(text);
  store.appendJournal(bytes, 0, bytes.length);
}

function positionsIn(store: LmdbStore, from: readonly JournalPosition[]): string[] {
  const seen: string[] = [];
  store.scanJournal(from, ({ epoch, stream, batch }) => seen.push(`${epoch}.${stream}.${batch}`));
  return seen;
}

/** The same environment through lmdb itself, to damage a value or to hold the writer up. */
function openBeside(path: string) {
  const root = openRaw<Uint8Array, Uint8Array>({
    path,
    noSubdir: false,
    encoding: 'binary',
    keyEncoding: 'binary',
  });
  const database = (name: string) =>
    root.openDB<Uint8Array, Uint8Array>(name, { encoding: 'binary', keyEncoding: 'binary' });
  return { root, database };
}

describeStoreContract('LmdbStore', async (): Promise<StoreUnderTest> => {
  const path = join(temporaryFolder(), 'store');
  let current = openStore(path);
  return {
    epoch: 1,
    stream: 0,
    store: current,
    reopen: async () => {
      await current.close();
      current = openStore(path);
      return current;
    },
    dispose: () => current.close(),
  };
});

test.each(['records', 'cold', 'meta', 'journal'] as const)(
  'reading %s: throws CORRUPT with database and key when a byte on disk was flipped',
  async (name) => {
    const path = join(temporaryFolder(), 'store');
    const store = openStore(path);
    store.putRecord(keyOf(7), textBytes('record'), 0, 6);
    store.putCold(keyOf(7), textBytes('cold'));
    store.putMeta('checkpoint', textBytes('meta'));
    append(store, 'entry');
    await store.commit();
    const key = {
      records: keyOf(7),
      cold: keyOf(7),
      meta: textBytes('checkpoint'),
      journal: Uint8Array.from([0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0]),
    }[name];
    const read = {
      records: () => store.getRecord(keyOf(7)),
      cold: () => store.getCold(keyOf(7)),
      meta: () => store.getMeta('checkpoint'),
      journal: () => store.readJournal({ epoch: 1, stream: 0, batch: 1 }),
    }[name];
    expect(read()).toBeDefined();
    const { root, database } = openBeside(path);
    const raw = database(name);
    const value = raw.getBinary(key as Buffer);
    if (value === undefined) throw new Error('the value is not where the test expects it');
    value[0] = (value[0] ?? 0) ^ 0x10;
    await raw.put(key, value);
    await root.close();
    const facts = { code: 'CORRUPT', database: name, keyHex: Buffer.from(key).toString('hex') };
    // A read may go on from the state before until LMDB's reader is renewed.
    await vi.waitFor(() => expect(read).toThrow(expect.objectContaining(facts)));
    if (name === 'journal') expect(() => positionsIn(store, [])).toThrow(expect.objectContaining(facts));
  },
);

test('models: are named values apart from meta', async () => {
  const path = join(temporaryFolder(), 'store');
  const store = openStore(path);
  store.putModel('arms', new Uint8Array(30_000).fill(3));
  store.putMeta('arms', textBytes('where'));
  await store.commit();
  expect(store.getModel('arms')).toEqual(new Uint8Array(30_000).fill(3));
  expect(textOf(store.getMeta('arms'))).toBe('where');
});

test('sizes: a journal batch of exactly the bound is kept, one byte more is TOO_LARGE', async () => {
  const store = openStore(join(temporaryFolder(), 'store'));
  const large = new Uint8Array(VALUE_BYTES_MAX).fill(5);
  store.appendJournal(large, 0, large.length);
  expect(() => store.appendJournal(large, 0, 1)).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }));
  await store.commit();
  const stored = store.readJournal({ epoch: 1, stream: 0, batch: 1 });
  // Not toEqual, which takes a minute for 8 MiB.
  expect(stored !== undefined && Buffer.compare(stored, large) === 0).toBe(true);
  const larger = new Uint8Array(VALUE_BYTES_MAX + 1);
  expect(() => store.putCold(keyOf(1), larger)).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }));
  expect(() => store.putRecord(keyOf(1), larger, 0, larger.length)).toThrow(
    expect.objectContaining({ code: 'TOO_LARGE' }),
  );
});

test('scanRecords: visits committed records in order of key, a few at a time, and checks them', async () => {
  const path = join(temporaryFolder(), 'store');
  const store = openStore(path);
  expect(store.scanRecords(new Uint8Array(11), 10, () => expect.unreachable())).toBeUndefined();
  for (let number = 9; number >= 0; number--) store.putRecord(keyOf(number), Uint8Array.of(number), 0, 1);
  await store.commit();
  store.putRecord(keyOf(10), Uint8Array.of(10), 0, 1);
  const seen: number[] = [];
  let from: Uint8Array | undefined = keyOf(1);
  while (from !== undefined) from = store.scanRecords(from, 4, (_, record) => seen.push(record[0] ?? -1));
  expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const { root, database } = openBeside(path);
  await database('records').put(keyOf(5), new Uint8Array(9));
  await root.close();
  await new Promise((resolve) => setImmediate(resolve));
  expect(() => store.scanRecords(keyOf(0), 10, () => {})).toThrow(
    expect.objectContaining({ code: 'CORRUPT', database: 'records', keyHex: Buffer.from(keyOf(5)).toString('hex') }),
  );
});

test('journal: returns batches around every boundary of pieces and chunks as they were written', async () => {
  const store = openStore(join(temporaryFolder(), 'store'));
  const pieces = [0, 1, 2, 20, 63, 64, 65, 130, 3, 0, 1];
  const sizes = pieces.flatMap((count) => [-1, 0, 1].map((delta) => count * PIECE_BYTES + delta));
  const written: Uint8Array[] = [];
  for (const size of sizes.filter((size) => size > 0)) {
    const bytes = new Uint8Array(size).map((_, index) => (index * 31 + size) & 0xff);
    store.appendJournal(bytes, 0, size);
    await store.commit();
    written.push(bytes);
  }
  const scanned: Uint8Array[] = [];
  store.scanJournal([], ({ bytes }) => scanned.push(bytes.slice()));
  expect(scanned).toHaveLength(written.length);
  for (const [index, bytes] of written.entries()) {
    expect(Buffer.compare(scanned[index] ?? new Uint8Array(0), bytes)).toBe(0);
    const read = store.readJournal({ epoch: 1, stream: 0, batch: index + 1 });
    expect(Buffer.compare(read ?? new Uint8Array(0), bytes)).toBe(0);
    expect(positionsIn(store, [{ epoch: 1, stream: 0, batch: index + 1 }])).toHaveLength(written.length - index);
  }
});

test.each([0, 1, 2])('journal: CORRUPT when piece %d of three is missing', async (piece) => {
  const path = join(temporaryFolder(), 'store');
  const store = openStore(path);
  store.appendJournal(new Uint8Array(3 * PIECE_BYTES - 1), 0, 3 * PIECE_BYTES - 1);
  await store.commit();
  append(store, 'behind it');
  await store.commit();
  const { root, database } = openBeside(path);
  await database('journal').remove(Uint8Array.from([0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, piece]));
  await root.close();
  await new Promise((resolve) => setImmediate(resolve));
  const facts = expect.objectContaining({ code: 'CORRUPT', database: 'journal' });
  expect(() => positionsIn(store, [])).toThrow(facts);
  expect(() => store.readJournal({ epoch: 1, stream: 0, batch: 1 })).toThrow(facts);
  expect(positionsIn(store, [{ epoch: 1, stream: 0, batch: 2 }])).toEqual(['1.0.2']);
});

test.each([
  ['a key of 10 bytes', (store: LmdbStore) => store.getRecord(new Uint8Array(10))],
  ['a key of 12 bytes', (store: LmdbStore) => store.putCold(new Uint8Array(12), new Uint8Array(1))],
  ['an empty name', (store: LmdbStore) => store.putMeta('', new Uint8Array(1))],
  ['a name of 256 bytes', (store: LmdbStore) => store.putMeta('x'.repeat(256), new Uint8Array(1))],
])('arguments: %s is refused and leaves the batch writable', async (_, call) => {
  const store = openStore(join(temporaryFolder(), 'store'));
  append(store, 'before');
  expect(() => call(store)).toThrow(RangeError);
  store.putMeta('x'.repeat(255), textBytes('longest name'));
  await store.commit();
  expect(textOf(store.getMeta('x'.repeat(255)))).toBe('longest name');
});

test.each([
  [{ epoch: 0 }],
  [{ epoch: 2 ** 32 }],
  [{ epoch: Number.NaN }],
  [{ stream: -1 }],
  [{ stream: 65_536 }],
  [{ openBatchMin: 0 }],
])('open: refuses %o', (options) => {
  expect(() => openStore(join(temporaryFolder(), 'store'), options)).toThrow(RangeError);
});

test('open: refuses a first batch number that would overwrite a committed one', async () => {
  const path = join(temporaryFolder(), 'store');
  const store = openStore(path);
  append(store, 'one');
  await store.commit();
  await store.close();
  expect(openStore(path, { openBatchMin: 1 }).openBatch).toBeGreaterThan(1);
  expect(openStore(path, { openBatchMin: 9 }).openBatch).toBe(9);
});

test('a failed write: what was put after it is not read either', async () => {
  const path = join(temporaryFolder(), 'store');
  await openStore(path).close();
  const key = new Uint8Array(11).fill(3);
  const store = openStore(path, { reserveBytes: 2 ** 52 });
  append(store, 'one');
  const failing = store.commit();
  store.putCold(key, textBytes('told by a turn that will be refused'));
  await expect(failing).rejects.toMatchObject({ code: 'DISK_FULL' });
  expect(store.getCold(key)).toBeUndefined();
  expect(store.openBatchBytes).toBe(0);
});

test('open: throws OPEN_FAILED with the path when a file is in the way', () => {
  const path = '/proc/version/store';
  expect(() => openStore(path)).toThrow(expect.objectContaining({ code: 'OPEN_FAILED', path }));
});

test('claimEpoch: counts starts, also those that wrote nothing', async () => {
  const path = join(temporaryFolder(), 'store');
  expect([await claimEpoch(path), await claimEpoch(path), await claimEpoch(path)]).toEqual([1, 2, 3]);
});

/** Epochs 1 to 3 with streams 0 and 1, batches 1 to 4 each; stream 2 in epoch 2 only. */
async function fillJournal(path: string, entry: string): Promise<void> {
  for (const [epoch, stream] of [
    [3, 1],
    [1, 0],
    [2, 2],
    [2, 0],
    [1, 1],
    [2, 1],
    [3, 0],
  ] as const) {
    const store = openStore(path, { epoch, stream });
    for (let batch = 1; batch <= 4; batch++) {
      append(store, entry);
      await store.commit();
    }
    await store.close();
  }
}

test('scanJournal: visits listed streams from their positions, unlisted ones whole, older epochs never', async () => {
  const path = join(temporaryFolder(), 'store');
  await fillJournal(path, 'entry');
  const store = openStore(path, { epoch: 4 });
  expect(positionsIn(store, [])).toHaveLength(28);
  const seen = positionsIn(store, [
    { epoch: 2, stream: 0, batch: 4 },
    { epoch: 2, stream: 1, batch: 99 },
    { epoch: 3, stream: 0, batch: 3 },
  ]);
  expect(seen).toEqual([
    '2.0.4',
    '2.2.1',
    '2.2.2',
    '2.2.3',
    '2.2.4',
    '3.0.3',
    '3.0.4',
    '3.1.1',
    '3.1.2',
    '3.1.3',
    '3.1.4',
  ]);
  const edge = { epoch: 3, stream: 1, batch: 2 ** 32 };
  expect(positionsIn(store, [edge])).toEqual(['3.0.1', '3.0.2', '3.0.3', '3.0.4']);
});

test('trimJournal: removes only what a scan from the same positions would not visit, oldest first', async () => {
  const path = join(temporaryFolder(), 'store');
  await fillJournal(path, 'x'.repeat(10_000));
  const store = openStore(path, { epoch: 4 });
  const before = [
    { epoch: 2, stream: 0, batch: 3 },
    { epoch: 3, stream: 1, batch: 2 },
  ];
  const kept = positionsIn(store, before);
  expect(await store.trimJournal({ keepBytes: Number.MAX_SAFE_INTEGER, before })).toBe(0);
  expect(await store.trimJournal({ keepBytes: 0, before: [] })).toBe(0);
  expect(positionsIn(store, [])).toHaveLength(28);
  // 10,000 bytes are three pieces.
  expect(await store.trimJournal({ keepBytes: 0, before })).toBe(3 * (28 - kept.length));
  expect(positionsIn(store, [])).toEqual(kept);
  expect(await store.trimJournal({ keepBytes: 0, before })).toBe(0);
});

test('trimJournal: stops once the journal is small enough', async () => {
  const path = join(temporaryFolder(), 'store');
  const store = openStore(path);
  for (let batch = 1; batch <= 300; batch++) {
    append(store, 'x'.repeat(10_000));
    await store.commit();
  }
  const keepBytes = store.journalSizeBytes() / 2;
  const removed = (await store.trimJournal({ keepBytes, before: [{ epoch: 1, stream: 0, batch: 301 }] })) / 3;
  expect(removed).toBeGreaterThan(100);
  expect(removed).toBeLessThan(300);
  expect(store.journalSizeBytes()).toBeLessThanOrEqual(keepBytes);
  expect(positionsIn(store, [])[0]).toBe(`1.0.${removed + 1}`);
});

test('the file: stays bounded when one set of records is overwritten 10,000 times and scans break off', async () => {
  const store = openStore(join(temporaryFolder(), 'store'));
  const bytes = new Uint8Array(600);
  append(store, 'first');
  await store.commit();
  let sizeBytesEarly = 0;
  for (let round = 0; round < 200; round++) {
    for (let number = 0; number < 50; number++) {
      bytes.fill(round);
      store.putRecord(keyOf(number), bytes, 0, bytes.length);
    }
    // A reader that gives up in the middle must not pin what it was looking at.
    const stop = new Error('enough');
    expect(() =>
      store.scanJournal([], () => {
        throw stop;
      }),
    ).toThrow(stop);
    await store.commit();
    if (round === 50) sizeBytesEarly = store.sizeBytes();
  }
  expect(store.getRecord(keyOf(49))).toEqual(bytes);
  expect(store.sizeBytes()).toBeLessThan(1.5 * sizeBytesEarly);
  expect(store.sizeBytes()).toBeLessThan(50 * 600 * 20);
});

test('the file: grows past the address space it was opened with', async () => {
  const store = openStore(join(temporaryFolder(), 'store'), { mapSizeBytes: 256 * 1024 });
  const bytes = new Uint8Array(4000);
  for (let number = 0; number < 1000; number++) {
    bytes.fill(number);
    store.putRecord(keyOf(number), bytes, 0, bytes.length);
    if (number % 50 === 0) await store.commit();
    if (number > 50) expect(store.getRecord(keyOf(number - 50))?.[0]).toBe((number - 50) & 0xff);
  }
  await store.commit();
  expect(store.sizeBytes()).toBeGreaterThan(4_000_000);
  expect(store.getRecord(keyOf(0))).toEqual(new Uint8Array(4000));
});

test('a stalled disk: commits reject after the timeout, in order, until it answers and recover succeeds', async () => {
  const path = join(temporaryFolder(), 'store');
  const store = openStore(path, { commitTimeoutMillis: 150 });
  append(store, 'kept');
  await store.commit();
  // Hold LMDB's one write lock, as a disk that does not answer would.
  const { root, database } = openBeside(path);
  const raw = database('meta');
  let letGo = (): void => {};
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  let isHeld = (): void => {};
  const holding = new Promise<void>((resolve) => {
    isHeld = resolve;
  });
  const holder = raw.transaction(async () => {
    void raw.put(textBytes('holder'), new Uint8Array(1)); // settled by the transaction
    isHeld();
    await held;
  });
  await holding;

  const order: string[] = [];
  append(store, 'stalled');
  store.putRecord(keyOf(1), textBytes('stalled'), 0, 7);
  const first = store.commit().catch((error: { code: string }) => order.push(`first ${error.code}`));
  append(store, 'behind it');
  const second = store.commit().catch((error: { code: string }) => order.push(`second ${error.code}`));
  await Promise.all([first, second]);
  expect(order).toEqual(['first WRITE_FAILED', 'second WRITE_FAILED']);
  expect(store.failure).toMatchObject({ code: 'WRITE_FAILED', isRetryable: true });
  append(store, 'refused');
  await expect(store.commit()).rejects.toMatchObject({ code: 'WRITE_FAILED' });
  expect(await store.recover()).toBe(false);

  letGo();
  await holder;
  // The recovery may be short of time on a busy machine; that it gets there is what counts.
  await expect.poll(() => store.recover(), { timeout: 20_000 }).toBe(true);
  await root.close();
  append(store, 'after');
  const number = store.openBatch;
  expect(number).toBeGreaterThan(4);
  await store.commit();
  expect(textOf(store.readJournal({ epoch: 1, stream: 0, batch: number }))).toBe('after');
  expect(positionsIn(store, [])).not.toContain('1.0.3');
  expect(positionsIn(store, [])).not.toContain('1.0.4');
});
