/** A person's timers: exact, over passivation, crashes and other numbers of workers, and a bounded number a pass. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FIELD, STANDING } from '../../actors/record-layout.ts';
import { pendingWake } from '../../actors/wake-timers.ts';
import { OneShard, type OneShardOptions, requestOf } from './one-shard.ts';
import { catalogText, NOON } from './test-catalog.ts';

const CATALOG = catalogText({ actions: '{ key: a, channels: [app], valueMinor: 9 }' });
const SECOND = 1_000;
const HOUR = 3_600_000;

interface Visit {
  readonly hashLow: number;
  readonly at: number;
}
/** A shard whose visits are written down; `next` says when the visited are to be visited again. */
function waking(shard: OneShard, next: (now: number) => number = () => Number.POSITIVE_INFINITY): Visit[] {
  const visits: Visit[] = [];
  shard.runtime.wakes.onWake((now) => {
    visits.push({ hashLow: shard.runtime.record.hashLow, at: now });
    return next(now);
  });
  return visits;
}
function withWake(profile: string, at: number, now = NOON, options: Partial<OneShardOptions> = {}): OneShard {
  const shard = new OneShard({ catalog: CATALOG, ...options });
  askWake(shard, profile, at, now);
  return shard;
}
function askWake(shard: OneShard, profile: string, at: number, now = NOON): void {
  expect(shard.track({ profile, event: 'view' }, now)).toBeNull();
  expect(shard.runtime.wakes.wakeAt(at, now)).toBe(true);
}
const due = (shard: OneShard, profile: string): number => {
  expect(shard.runtime.open(requestOf({ profile }), NOON)).toBeNull();
  return pendingWake(shard.runtime.record);
};

describe('wake timers', () => {
  it('a visit comes after its instant and with the second behind it, once', () => {
    const shard = withWake('ann', NOON + 1_500);
    const visits = waking(shard);
    for (const at of [NOON, NOON + 1_499, NOON + 1_500, NOON + 1_999]) shard.runtime.wakes.advance(at, 9);
    expect(visits).toEqual([]);
    shard.runtime.wakes.advance(NOON + 2_000, 9);
    expect(visits.map(({ at }) => at)).toEqual([NOON + 2_000]);
    shard.runtime.wakes.advance(NOON + HOUR, 9);
    expect(visits).toHaveLength(1);
    expect(due(shard, 'ann')).toBe(Number.POSITIVE_INFINITY);
  });

  it('a turn visits what is due first, to the millisecond, and the tick behind it finds nothing', () => {
    const shard = withWake('ann', NOON + 1_500);
    const visits = waking(shard);
    shard.track({ profile: 'ann', event: 'view' }, NOON + 1_499);
    expect(visits).toEqual([]);
    shard.track({ profile: 'ann', event: 'view' }, NOON + 1_500);
    expect(visits).toHaveLength(1);
    shard.runtime.wakes.advance(NOON + HOUR, 9);
    expect(visits).toHaveLength(1);
  });

  it('the earliest asked for counts; who is visited says when it is next', () => {
    const shard = withWake('ann', NOON + 9 * SECOND);
    askWake(shard, 'ann', NOON + 3 * SECOND);
    const entries = shard.runtime.stats.journalEntries;
    expect(shard.runtime.wakes.wakeAt(NOON + 20 * SECOND, NOON)).toBe(true);
    expect(shard.runtime.stats.journalEntries).toBe(entries);
    const visits = waking(shard, (now) => (now < NOON + 20 * SECOND ? now + 7 * SECOND : Number.POSITIVE_INFINITY));
    for (let now = NOON; now < NOON + 60 * SECOND; now += SECOND) shard.runtime.wakes.advance(now, 9);
    expect(visits.map(({ at }) => (at - NOON) / SECOND)).toEqual([4, 12, 20]);
    expect(due(shard, 'ann')).toBe(Number.POSITIVE_INFINITY);
    expect(shard.runtime.record.getU16(FIELD.flags)).toBe(0);
  });

  it('also of a profile that was passivated, which leaves memory again; and it is no sign of life', () => {
    const shard = withWake('ann', NOON + SECOND, NOON, { idleMillis: 10 });
    shard.runtime.open(requestOf({ profile: 'ann' }), NOON);
    shard.runtime.passivateBound();
    const visits = waking(shard);
    shard.runtime.wakes.advance(NOON + HOUR, 9);
    expect(visits).toHaveLength(1);
    expect(shard.runtime.profiles.count).toBe(0);
    expect(due(shard, 'ann')).toBe(Number.POSITIVE_INFINITY);
    expect(shard.runtime.record.getF64(FIELD.lastTurnAt)).toBe(NOON);
  });

  it.each([
    ['from the journal', false],
    ['from a record that a checkpoint wrote', true],
  ])('over a crash: %s', (_, hasCheckpoint) => {
    const shard = withWake('ann', NOON + SECOND);
    shard.store.commitNow();
    if (hasCheckpoint) shard.checkpoint();
    const next = shard.recovered();
    next.store.scanRecords(new Uint8Array(11), 99, (_key, record) => next.runtime.watchStored(record));
    const visits = waking(next);
    next.runtime.wakes.advance(NOON + 999, 9);
    expect(visits).toEqual([]);
    next.runtime.wakes.advance(NOON + 2 * SECOND, 9);
    expect(visits).toHaveLength(1);
  });

  it('a wake that never reached the disk is forgotten with its turn; one that was taken stays taken', () => {
    const shard = withWake('ann', NOON + SECOND);
    shard.store.commitNow();
    askWake(shard, 'bob', NOON + SECOND);
    waking(shard);
    shard.runtime.wakes.advance(NOON + 5 * SECOND, 1);
    const lost = shard.recovered();
    const visits = waking(lost);
    lost.runtime.wakes.advance(NOON + 9 * SECOND, 9);
    expect(visits).toHaveLength(1);
    lost.store.commitNow();
    const taken = lost.recovered();
    const again = waking(taken);
    taken.runtime.wakes.advance(NOON + HOUR, 9);
    expect(again).toEqual([]);
  });

  it('with another number of workers each person is visited by the one that has it', () => {
    const shard = new OneShard({ catalog: CATALOG });
    const people = Array.from({ length: 40 }, (_, i) => `p${i}`);
    for (const profile of people) askWake(shard, profile, NOON + SECOND);
    shard.store.commitNow();
    let visited = 0;
    for (const number of [0, 1, 2]) {
      const next = shard.recovered({ shard: number, shards: 3, epoch: 2 });
      const visits = waking(next);
      next.runtime.wakes.advance(NOON + HOUR, 99);
      visited += visits.length;
    }
    expect(visited).toBe(people.length);
  });

  it('a turn that fails sets no wake', () => {
    const shard = withWake('ann', NOON + SECOND);
    shard.store.appendFailure = new Error('no');
    expect(shard.runtime.wakes.wakeAt(NOON + 10, NOON)).toBe(false);
    expect(due(shard, 'ann')).toBe(NOON + SECOND);
  });

  it('a visitor that fails is asked again a minute later', () => {
    const shard = withWake('ann', NOON + SECOND);
    let calls = 0;
    shard.runtime.wakes.onWake(() => {
      calls++;
      if (calls === 1) throw new Error('a bug');
      return Number.POSITIVE_INFINITY;
    });
    shard.runtime.wakes.advance(NOON + 5 * SECOND, 9);
    expect(calls).toBe(1);
    expect(due(shard, 'ann')).toBe(NOON + SECOND);
    shard.runtime.wakes.advance(NOON + 64 * SECOND, 9);
    expect(calls).toBe(1);
    shard.runtime.wakes.advance(NOON + 66 * SECOND, 9);
    expect(calls).toBe(2);
    expect(due(shard, 'ann')).toBe(Number.POSITIVE_INFINITY);
  });

  it('many due at once are spread over passes, none is lost and none is visited twice', () => {
    const people = 2_000;
    const shard = new OneShard({ catalog: CATALOG });
    for (let i = 0; i < people; i++) askWake(shard, `p${i}`, NOON + (i % 3) * SECOND);
    const visits = waking(shard);
    let passes = 0;
    while (shard.runtime.wakes.advance(NOON + HOUR, 32)) {
      passes++;
      expect(visits.length).toBe(32 * passes);
    }
    expect(new Set(visits.map(({ hashLow }) => hashLow)).size).toBe(people);
    expect(visits).toHaveLength(people);
  });

  it('a million hints at once: each pass takes its number and no more', () => {
    const shard = withWake('ann', NOON);
    const { wakes } = shard.runtime;
    for (let i = 0; i < 1_000_000; i++) wakes.watch(NOON, i & 0xff, i, i);
    const before = wakes.pending;
    expect(wakes.advance(NOON + HOUR, 32)).toBe(true);
    expect(before - wakes.pending).toBe(32);
  });

  it('nothing is written where nobody calls it', () => {
    const shard = new OneShard({ catalog: CATALOG });
    shard.track({ profile: 'ann', event: 'view' }, NOON);
    expect(shard.runtime.stats.journalEntries).toBe(1);
    expect(shard.runtime.wakes.pending).toBe(0);
    expect(shard.runtime.record.momentCount).toBe(0);
  });

  it('never early and never forgotten, whatever is asked, whichever way the clock jumps', () => {
    const step = fc.record({
      who: fc.constantFrom('ann', 'bob', 'cid'),
      ask: fc.option(fc.integer({ min: 1, max: 20_000 })),
      move: fc.oneof(fc.integer({ min: 0, max: 3_000 }), fc.integer({ min: -30_000, max: 60_000 })),
      crash: fc.integer({ min: 0, max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        let shard = new OneShard({ catalog: CATALOG });
        const wanted = new Map<number, number>();
        const watch = (): void =>
          shard.runtime.wakes.onWake((at) => {
            const { hashLow } = shard.runtime.record;
            expect(at).toBeGreaterThanOrEqual(wanted.get(hashLow) ?? Number.POSITIVE_INFINITY);
            wanted.delete(hashLow);
            return Number.POSITIVE_INFINITY;
          });
        watch();
        let now = NOON;
        for (const { who, ask, move, crash } of steps) {
          now += move;
          if (ask !== null) {
            askWake(shard, who, now + ask, now);
            const { hashLow } = shard.runtime.record;
            wanted.set(hashLow, Math.min(wanted.get(hashLow) ?? Number.POSITIVE_INFINITY, now + ask));
          }
          shard.runtime.wakes.advance(now, 99);
          for (const at of wanted.values()) expect(at).toBeGreaterThan(now - SECOND);
          shard.store.commitNow();
          if (crash === 0) {
            if (ask !== null) shard.checkpoint();
            shard = shard.recovered();
            shard.store.scanRecords(new Uint8Array(11), 99, (_key, record) => shard.runtime.watchStored(record));
            watch();
          }
        }
        shard.runtime.wakes.advance(now + HOUR, 99);
        expect(wanted.size).toBe(0);
      }),
      { numRuns: 60, seed: 7 },
    );
  });

  it('the moment is of a kind that no age trims', () => {
    const shard = withWake('ann', NOON + SECOND);
    expect(shard.runtime.index.retentionMillis(STANDING.wake, 0)).toBe(Number.POSITIVE_INFINITY);
  });
});
