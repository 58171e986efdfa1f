/** A tag by how unusual a count is: from the event that makes it so to the instant at which one leaves the window. */
import { describe, expect, it } from 'vitest';
import { USUAL_FEED } from '../../decision/usual-feed.ts';
import { OneShard } from './one-shard.ts';
import { NOON } from './test-catalog.ts';

const catalogOf = (rule: string): string => `version: 1
name: unusual
currency: EUR
timeZone: UTC
profile: { tags: { flood: { family: behaviour, when: '${rule}' } } }
abuse: { usual: {} }
channels: { app: {} }
actions: [{ key: offer, channels: [app], valueMinor: 100 }]
`;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

function shardOf(rule: string): OneShard {
  return new OneShard({ catalog: catalogOf(rule) });
}
/** The middle one does so `usual` times. */
function measure({ runtime }: OneShard, usual: number, version = 1): void {
  const row = {
    key: 'view 3600 s',
    values: [Math.log(1 + usual), 0.35, usual, 90],
    expiresAtEpochMillis: NOON + 9 * HOUR,
  };
  runtime.feeds.apply({ feed: USUAL_FEED, version, atEpochMillis: NOON, replace: true, rows: [row] });
}
const holds = (shard: OneShard, at: number): boolean =>
  Object.hasOwn((shard.describe('ann', at).tags ?? {}) as object, 'flood');
const view = (shard: OneShard, at: number): void =>
  expect(shard.track({ profile: 'ann', event: 'view', atEpochMillis: at }, at)).toBeNull();

describe('unusual in a tag', () => {
  // Eight views are 3.1 deviations above two, seven are 2.8.
  it.each([
    'unusual("view", "1h") > 3',
    '3 < unusual("view", "1h")',
    '!(unusual("view", "1h") <= 3)',
    'unusual("view", "1h") * 1.0 > 3',
  ])('%s: begins with the eighth view, and ends when the first leaves its hour', (rule) => {
    const shard = shardOf(rule);
    measure(shard, 2);
    for (let n = 0; n < 8; n++) {
      expect(holds(shard, NOON + n * MINUTE)).toBe(false);
      view(shard, NOON + n * MINUTE);
    }
    expect(holds(shard, NOON + 7 * MINUTE)).toBe(true);
    expect(holds(shard, NOON + HOUR - 1)).toBe(true);
    expect(holds(shard, NOON + HOUR)).toBe(false);
  });

  it('below the bound time has nothing to do; what is measured counts from the next event on', () => {
    const shard = shardOf('unusual("view", "1h") > 3');
    for (let n = 0; n < 8; n++) view(shard, NOON + n);
    expect(holds(shard, NOON + 8)).toBe(false);
    measure(shard, 30);
    view(shard, NOON + 9);
    expect(holds(shard, NOON + 10)).toBe(false);
    const { stateSeq } = shard.describe('ann', NOON + 2 * HOUR);
    expect(shard.describe('ann', NOON + 3 * HOUR).stateSeq).toBe(stateSeq);
    measure(shard, 2, 2);
    for (let n = 0; n < 8; n++) view(shard, NOON + 4 * HOUR + n);
    expect(holds(shard, NOON + 4 * HOUR + 8)).toBe(true);
    // Measured anew: from the next event on it is usual.
    measure(shard, 30, 3);
    expect(holds(shard, NOON + 4 * HOUR + 9)).toBe(true);
    view(shard, NOON + 4 * HOUR + 10);
    expect(holds(shard, NOON + 4 * HOUR + 10)).toBe(false);
  });
});
