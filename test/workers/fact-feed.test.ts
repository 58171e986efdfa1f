/** The feed of facts: bounded steps, not while others wait, again from the start after a failed write, done when on disk. */
import { describe, expect, it } from 'vitest';
import { FACT_KEY_WORDS, type FactRows } from '../../actors/fact-turn.ts';
import { type FactCounts, FactFeed } from '../../workers/fact-feed.ts';
import { OneShard } from '../actors/one-shard.ts';
import { catalogText } from '../actors/test-catalog.ts';

const NOW = Date.UTC(2026, 10, 2, 12);
const CATALOG = catalogText({ actions: '{ key: a, channels: [app], valueMinor: 1 }' }).replace(
  'additionalTraits: refuse,',
  'additionalTraits: refuse, facts: [churnProbability],',
);

function setting(people: number) {
  const shard = new OneShard({ catalog: CATALOG });
  const keys = new Uint32Array(people * FACT_KEY_WORDS);
  for (let i = 0; i < people; i++) {
    shard.track({ profile: `p-${i}`, event: 'view' }, NOW);
    const { partition, hashLow, hashHigh, hashCheck } = shard.runtime.record;
    keys.set([partition, hashLow, hashHigh, hashCheck], i * FACT_KEY_WORDS);
  }
  const facts: FactRows = {
    fit: 3,
    keys,
    columns: new Map([['churnProbability', new Float64Array(people).fill(0.5)]]),
  };
  const is = { busy: false, readOnly: false, written: true };
  const done: FactCounts[] = [];
  const feed = new FactFeed({
    runtime: shard.runtime,
    ownsPartition: () => true,
    isBusy: () => is.busy,
    isReadOnly: () => is.readOnly,
    isWritten: () => is.written,
    done: (counts) => done.push(counts),
  });
  feed.begin(facts);
  const entries = () => shard.runtime.stats.journalEntries - people;
  return { shard, feed, facts, is, done, entries };
}

describe('fact feed', () => {
  it('fact feed: a step changes 32 records at most, and all have theirs in the end', () => {
    const { feed, done, entries } = setting(70);
    const seen = [0, 1, 2].map(() => {
      feed.step();
      return entries();
    });
    expect(seen).toEqual([32, 64, 70]);
    expect(done).toEqual([{ fit: 3, changed: 70, same: 0, refused: 0 }]);
    feed.step();
    expect(done).toHaveLength(1);
  });

  it('fact feed: makes no step while requests wait, and is not done before the disk has it', () => {
    const { feed, is, done, entries } = setting(5);
    is.busy = true;
    feed.step();
    expect(entries()).toBe(0);
    Object.assign(is, { busy: false, written: false });
    feed.step();
    expect([entries(), done.length]).toEqual([5, 0]);
    is.written = true;
    feed.step();
    expect(done).toEqual([{ fit: 3, changed: 5, same: 0, refused: 0 }]);
  });

  it('fact feed: begins again when a write has failed', () => {
    const { feed, is, done } = setting(40);
    feed.step();
    is.readOnly = true;
    feed.step();
    is.readOnly = false;
    feed.step();
    feed.step();
    expect(done).toEqual([{ fit: 3, changed: 8, same: 32, refused: 0 }]);
  });

  it('fact feed: newer facts take the place of older ones', () => {
    const { feed, facts, done, entries } = setting(40);
    feed.step();
    feed.begin({ ...facts, fit: 4, columns: new Map([['churnProbability', new Float64Array(40).fill(0.9)]]) });
    for (let n = 0; n < 5; n++) feed.step();
    expect(done).toEqual([{ fit: 4, changed: 40, same: 0, refused: 0 }]);
    expect(entries()).toBe(72);
    feed.stop();
  });

  it('fact feed: of nobody is done at once', () => {
    const { feed, done } = setting(0);
    feed.step();
    expect(done).toEqual([{ fit: 3, changed: 0, same: 0, refused: 0 }]);
  });
});
