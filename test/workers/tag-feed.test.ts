/** The pass over everybody after another catalog: bounded steps, not while others wait, and only whose tags are of other rules. */
import { describe, expect, it } from 'vitest';
import { NO_HANDLE } from '../../actors/slab.ts';
import { LmdbStore } from '../../workers/store/lmdb-store.ts';
import { TagFeed } from '../../workers/tag-feed.ts';
import { OneShard, requestOf } from '../actors/one-shard.ts';
import { catalogText, NOON } from '../actors/test-catalog.ts';
import { temporaryFolder } from './store/temporary-folder.ts';

const ACTION = '{ key: a, channels: [app], valueMinor: 1 }';
const catalogOf = (rule: string): string =>
  catalogText({ actions: ACTION, tags: `t: { family: social, when: '${rule}' }` });

function setting(people: number) {
  const shard = new OneShard({ catalog: catalogOf('true') });
  for (let i = 0; i < people; i++) shard.track({ profile: `p-${i}`, event: 'view' }, NOON);
  shard.store.commitNow();
  shard.checkpoint();
  for (let i = 0; i < people; i++) {
    expect(shard.runtime.open(requestOf({ profile: `p-${i}` }), NOON)).toBeNull();
    shard.runtime.passivateBound();
  }
  const is = { busy: false };
  const feed = new TagFeed({
    runtime: shard.runtime,
    store: shard.store,
    ownsPartition: () => true,
    isBusy: () => is.busy,
  });
  return { shard, feed, is, entries: () => shard.runtime.stats.journalEntries };
}

describe('tag feed', () => {
  it('everybody under other rules is looked at, once, and leaves memory again', () => {
    const { shard, feed, entries } = setting(20);
    shard.reload(catalogOf('count("view", "1d") > 5'));
    const before = entries();
    feed.begin();
    feed.step();
    expect(feed.isRunning).toBe(false);
    expect(entries()).toBe(before + 20);
    expect(shard.runtime.profiles.count).toBe(0);
    shard.store.commitNow();
    feed.begin();
    feed.step();
    expect(entries()).toBe(before + 20);
    expect(shard.describe('p-3', NOON).tags).toEqual({});
  });

  it('under the same rules nothing is read or written', () => {
    const { shard, feed, entries } = setting(5);
    const before = entries();
    feed.begin();
    feed.step();
    expect(entries()).toBe(before);
    expect(shard.runtime.stats.activations).toBe(0);
  });

  it('waits while requests do', () => {
    const { shard, feed, is, entries } = setting(3);
    shard.reload(catalogOf('false'));
    const before = entries();
    is.busy = true;
    feed.begin();
    feed.step();
    expect(entries()).toBe(before);
    expect(feed.isRunning).toBe(true);
    is.busy = false;
    feed.step();
    expect(entries()).toBe(before + 3);
  });

  it('who is in memory stays there', () => {
    const { shard, feed } = setting(2);
    expect(shard.runtime.open(requestOf({ profile: 'p-1' }), NOON)).toBeNull();
    const { partition, hashLow, hashHigh } = shard.runtime.record;
    shard.reload(catalogOf('false'));
    feed.begin();
    feed.step();
    expect(shard.runtime.profiles.find(partition, hashLow, hashHigh)).not.toBe(NO_HANDLE);
    expect(shard.runtime.profiles.count).toBe(1);
  });

  it('on LMDB: a step reads so many records and goes on where it was', async () => {
    const { shard, feed: _, entries } = setting(150);
    const store = LmdbStore.open({ path: temporaryFolder(), epoch: 1, stream: 0 });
    for (const [key, bytes] of shard.disk.records) store.putRecord(Buffer.from(key, 'hex'), bytes, 0, bytes.length);
    await store.commit();
    shard.reload(catalogOf('false'));
    const feed = new TagFeed({ runtime: shard.runtime, store, ownsPartition: () => true, isBusy: () => false });
    const before = entries();
    feed.begin();
    const seen: number[] = [];
    while (feed.isRunning) {
      feed.step();
      seen.push(entries() - before);
    }
    expect(seen).toEqual([64, 128, 150]);
    await store.close();
  });
});
