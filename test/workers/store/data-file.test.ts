import { copyFileSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { lacksHead, missingBytes } from '../../../workers/store/data-file.ts';
import { LmdbStore } from '../../../workers/store/lmdb-store.ts';
import { keyOf } from './store-contract.ts';
import { temporaryFolder } from './temporary-folder.ts';

async function writtenStore(): Promise<string> {
  const path = join(temporaryFolder(), 'store');
  const store = LmdbStore.open({ path, epoch: 1, stream: 0 });
  const bytes = new Uint8Array(900);
  for (let number = 0; number < 300; number++) {
    store.putRecord(keyOf(number), bytes.fill(number), 0, bytes.length);
    if (number % 20 === 19) await store.commit();
  }
  await store.close();
  return path;
}

test('missingBytes: 0 for a store as it was closed, for one that is written to, and where there is none', async () => {
  const path = await writtenStore();
  expect(missingBytes(path)).toBe(0);
  const store = LmdbStore.open({ path, epoch: 2, stream: 0 });
  for (let number = 0; number < 50; number++) {
    store.appendJournal(new Uint8Array(10_000), 0, 10_000);
    await store.commit();
    expect(missingBytes(path)).toBe(0);
  }
  await store.close();
  expect(missingBytes(join(path, 'absent'))).toBe(0);
});

test('missingBytes: what was cut off, from one page to all but the head; 0 for a file without any head', async () => {
  const whole = await writtenStore();
  const { size } = statSync(join(whole, 'data.mdb'));
  const cut = join(temporaryFolder(), 'store');
  mkdirSync(cut);
  for (const kept of [size - 1, size - 4096, size / 2, 8192, 4300, 200]) {
    copyFileSync(join(whole, 'data.mdb'), join(cut, 'data.mdb'));
    truncateSync(join(cut, 'data.mdb'), kept);
    // The older of two heads may know of some pages less, and is all that is left of 4,300 bytes.
    const missing = missingBytes(cut);
    expect(missing).toBeLessThanOrEqual(size - kept);
    expect(missing).toBeGreaterThanOrEqual(Math.max(1, kept > 8000 ? size - kept : size - kept - 40 * 4096));
  }
  for (const bytes of [0, 1, 20, 4096]) {
    writeFileSync(join(cut, 'data.mdb'), new Uint8Array(bytes));
    expect(missingBytes(cut)).toBe(0);
  }
});

test('lacksHead: a store whose head was overwritten in either place is refused as CORRUPT, before LMDB sees it', async () => {
  const path = await writtenStore();
  const file = join(path, 'data.mdb');
  const bytes = readFileSync(file);
  expect(lacksHead(path)).toBe(false);
  for (const at of [18, 24, 4096 + 18, 4096 + 24]) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] ?? 0) ^ 0x08;
    writeFileSync(file, damaged);
    expect(lacksHead(path)).toBe(true);
    expect(() => LmdbStore.open({ path, epoch: 2, stream: 0 })).toThrow(
      expect.objectContaining({ code: 'CORRUPT', path }),
    );
  }
  writeFileSync(file, '');
  expect(lacksHead(path)).toBe(false);
});
