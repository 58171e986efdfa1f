/**
 * A disk that is really full: ext4 in a file of 16 MiB, mounted for the test. Where mounting is not
 * allowed (no root, no loop device) the test skips and says so.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LmdbStore } from '../../../workers/store/lmdb-store.ts';
import { runScript } from './built-store.ts';
import { keyOf, textBytes, textOf } from './store-contract.ts';
import { temporaryFolder } from './temporary-folder.ts';

const DISK_BYTES = 16 * 1024 * 1024;

/** The mount point, or undefined with the reason on the console. */
function mountSmallDisk(folder: string): string | undefined {
  const image = join(folder, 'disk.img');
  const mountPoint = join(folder, 'disk');
  mkdirSync(mountPoint);
  const file = openSync(image, 'w');
  ftruncateSync(file, DISK_BYTES);
  closeSync(file);
  try {
    execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', image], { stdio: 'pipe' });
    execFileSync('mount', ['-o', 'loop', image, mountPoint], { stdio: 'pipe' });
    return mountPoint;
  } catch (error) {
    console.warn(`SKIPPED full disk: a small file system cannot be mounted here (${(error as Error).message.trim()})`);
    return undefined;
  }
}

const RESERVE_BYTES = 1024 * 1024;

test('a disk that runs full: commits reject with DISK_FULL before LMDB writes, and work again once there is room', async (context) => {
  const mountPoint = mountSmallDisk(temporaryFolder());
  if (mountPoint === undefined) return context.skip();
  let store: LmdbStore | undefined;
  try {
    const path = join(mountPoint, 'store');
    const options = { path, epoch: 1, stream: 0, reserveBytes: RESERVE_BYTES };
    store = LmdbStore.open(options);
    const bytes = new Uint8Array(1000);
    for (let number = 0; number < 100; number++) store.putRecord(keyOf(number), bytes.fill(1), 0, bytes.length);
    await store.commit();

    const disk = statfsSync(mountPoint);
    const ballast = join(mountPoint, 'ballast');
    writeFileSync(ballast, new Uint8Array(disk.bavail * disk.bsize - 2 * RESERVE_BYTES));
    const small = textBytes('still fits');
    store.appendJournal(small, 0, small.length);
    await store.commit();

    const large = new Uint8Array(2 * RESERVE_BYTES);
    store.appendJournal(large, 0, large.length);
    store.putRecord(keyOf(0), bytes.fill(2), 0, bytes.length);
    const failedBatch = store.openBatch;
    const order: string[] = [];
    const first = store.commit().catch((error: { code: string }) => void order.push(`first ${error.code}`));
    store.appendJournal(small, 0, small.length);
    const second = store.commit().catch((error: { code: string }) => void order.push(`second ${error.code}`));
    await Promise.all([first, second]);
    expect(order).toEqual(['first DISK_FULL', 'second DISK_FULL']);
    expect(store.failure).toMatchObject({ code: 'DISK_FULL', isRetryable: true, path });
    expect(store.failure?.cause).toBeUndefined();

    // Nothing of either is left, neither on disk nor in what reads see.
    expect(store.getRecord(keyOf(0))?.[0]).toBe(1);
    expect(store.readJournal({ epoch: 1, stream: 0, batch: failedBatch })).toBeUndefined();
    store.appendJournal(small, 0, small.length);
    await expect(store.commit()).rejects.toMatchObject({ code: 'DISK_FULL' });
    writeFileSync(join(mountPoint, 'more'), new Uint8Array(RESERVE_BYTES));
    expect(await store.recover()).toBe(false);
    expect(store.failure).toMatchObject({ code: 'DISK_FULL' });

    rmSync(ballast);
    expect(await store.recover()).toBe(true);
    expect(store.failure).toBeUndefined();
    expect(store.openBatch).toBeGreaterThan(failedBatch + 1);
    store.putRecord(keyOf(0), bytes.fill(3), 0, bytes.length);
    store.appendJournal(large, 0, large.length);
    await store.commit();
    await store.close();
    store = LmdbStore.open(options);
    expect(store.getRecord(keyOf(0))?.[0]).toBe(3);
    expect(store.getRecord(keyOf(99))?.[0]).toBe(1);
    expect(store.openBatch).toBeGreaterThan(failedBatch + 2);
  } finally {
    await store?.close();
    execFileSync('umount', [mountPoint]);
  }
});

test('a full disk: a new store is refused as DISK_FULL, an old one opens, reads and closes', async (context) => {
  const mountPoint = mountSmallDisk(temporaryFolder());
  if (mountPoint === undefined) return context.skip();
  let store: LmdbStore | undefined;
  try {
    const options = { path: join(mountPoint, 'store'), epoch: 1, stream: 0 };
    store = LmdbStore.open({ ...options, reserveBytes: RESERVE_BYTES });
    store.putMeta('name', textBytes('kept'));
    await store.commit();
    await store.close();
    // The reserve by default is more than this disk has.
    store = LmdbStore.open(options);
    expect(textOf(store.getMeta('name'))).toBe('kept');
    store.putMeta('name', textBytes('refused'));
    await expect(store.commit()).rejects.toMatchObject({ code: 'DISK_FULL' });
    await store.close();
    const path = join(mountPoint, 'other');
    expect(() => LmdbStore.open({ ...options, path })).toThrow(expect.objectContaining({ code: 'DISK_FULL', path }));
  } finally {
    await store?.close();
    execFileSync('umount', [mountPoint]);
  }
});

test('a disk that runs full under LMDB itself: rejects in order, ends nothing, recovers', {
  timeout: 60_000,
}, async (context) => {
  const mountPoint = mountSmallDisk(temporaryFolder());
  if (mountPoint === undefined) return context.skip();
  try {
    const script = runScript('fill-disk.mjs', [mountPoint]);
    const ended = await script.ended;
    expect({ ...ended, last: script.lines.at(-1) }).toMatchObject({ code: 0, last: 'done' });
    const [failed, recovered] = script.lines.slice(0, 2).map((line) => JSON.parse(line) as unknown);
    const order = ['first DISK_FULL', 'second DISK_FULL'];
    expect(failed).toEqual({ order, hasCause: true, record: 1, batches: 0 });
    expect(recovered).toEqual({ hasRecovered: true, record: 4, unhandled: [] });
  } finally {
    execFileSync('umount', [mountPoint]);
  }
});
