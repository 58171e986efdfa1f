/** Trimming the journal of a shard: by what is on disk, and with nothing acknowledged early. */

import { describe, expect, it, vi } from 'vitest';
import { writeCheckpoint } from '../../workers/recovery.ts';
import { STORE_ERROR, StoreError } from '../../workers/store/store-error.ts';
import { MemoryDisk, MemoryStore } from '../actors/memory-store.ts';
import { start } from './lone-shard.ts';

describe('trimming the journal', () => {
  it('a write that the full disk refuses ends it, and not the worker', async () => {
    const store = new MemoryStore(new MemoryDisk(), 1, 0);
    const { shard } = start(store);
    shard.adoptBase();
    store.commitNow();
    const full = new StoreError(STORE_ERROR.DISK_FULL, 'the disk is full, on purpose');
    const bug = new TypeError('a bug of ours');
    const fails = vi.fn<() => Promise<number>>().mockRejectedValueOnce(full).mockRejectedValueOnce(bug);
    Object.assign(store, { trimJournal: fails });
    expect(await shard.trimJournal(0)).toBe(0);
    await expect(shard.trimJournal(0)).rejects.toBe(bug);
  });

  it('waits until the checkpoint it goes by is on disk, and leaves the journal alone where that is not', async () => {
    const store = new MemoryStore(new MemoryDisk(), 1, 0);
    const { shard, told } = start(store);
    shard.adoptBase();
    await shard.writer.written();
    const trims = vi.fn<() => Promise<number>>().mockResolvedValue(7);
    Object.assign(store, { trimJournal: trims });
    const settles: (() => void)[] = [];
    store.holdCommit = (settle) => settles.push(settle);
    // A checkpoint that the store shows already, and the disk does not have.
    writeCheckpoint(store, 1, 0, { batch: 9, ledger: [] });
    const waits = shard.trimJournal(0);
    await new Promise(setImmediate);
    expect(trims).not.toHaveBeenCalled();
    store.holdCommit = null;
    for (const settle of settles) settle();
    expect(await waits).toBe(7);
    expect(trims).toHaveBeenCalledTimes(1);
    writeCheckpoint(store, 1, 0, { batch: 12, ledger: [] });
    store.failure = new Error('store: the disk is full, on purpose');
    expect(await shard.trimJournal(0)).toBe(0);
    expect(trims).toHaveBeenCalledTimes(1);
    expect(told.readOnly).toEqual([true]);
  });

  it('while a write is under way it acknowledges nothing of it', async () => {
    const store = new MemoryStore(new MemoryDisk(), 1, 0);
    const { shard, asker } = start(store);
    shard.adoptBase();
    await shard.writer.written();
    Object.assign(store, { trimJournal: () => Promise.resolve(0) });
    const settles: (() => void)[] = [];
    store.holdCommit = (settle) => settles.push(settle);
    const tracked = asker.send({ op: 'track', profile: 'ann', event: 'view' });
    await vi.waitFor(() => expect(settles).toHaveLength(1));
    // Whatever is written from here on is done at once.
    store.holdCommit = null;
    const trimmed = shard.trimJournal(0);
    await new Promise(setImmediate);
    expect(asker.answers.has(tracked)).toBe(false);
    for (const settle of settles) settle();
    await trimmed;
    await vi.waitFor(() => expect(asker.answers.get(tracked)).toMatchObject({ ok: true, durability: 'committed' }));
  });
});
