/** Living tags: as the plain way has them at every instant, whatever happens in which order, and through timers alone. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FIELD } from '../../actors/record-layout.ts';
import { pendingWake } from '../../actors/wake-timers.ts';
import { OneShard, requestOf } from './one-shard.ts';
import { type PlainEvent, PlainTags } from './plain-tags.ts';
import { catalogText, NOON } from './test-catalog.ts';

const SECOND = 1_000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const ACTION = '{ key: a, channels: [app], valueMinor: 9 }';
const TRAITS = 'vip: { type: boolean }, age: { type: integer }';

function catalogOf(tags: string, actions = ACTION): string {
  return catalogText({ actions, traits: TRAITS, tags });
}
const FAST = `
  looking: { family: behaviour, when: 'count("view", "10s") >= 3 && lastSeen("purchase") > 10' },
  silent: { family: lifeCycle, when: 'lastSeen("view") > 7' },
  between: { family: lifeCycle, when: 'lastSeen("view") >= 12.5 && lastSeen("view") < 20' },
  spender: { family: spending, when: 'sum("purchase", "amount", "15s") > 50', holdFor: 8s },
  acme: { family: behaviour, when: 'countWhere("purchase", "brand", "acme", "12s") >= 2', parent: fan },
  brands: { family: behaviour, when: 'distinct("purchase", "brand", "9s") >= 2', parent: fan, holdFor: 3s },
  fan: { family: social, parent: top },
  top: { family: attributes, when: profile.vip, weight: 3 },
  dated: { family: attributes, when: 'now.epochMillis >= ${NOON + 30 * SECOND} && now.epochMillis < ${NOON + 60 * SECOND}' },
  mixed: { family: behaviour, when: '!(count("view", "4s") == 1) || profile.age > 30' },
  faded: { family: behaviour, when: 'count("view", "20s") > 0', weight: 'count("view", "20s") * 2.0', halfLife: 5s }`;

type Held = Record<string, { sinceEpochMillis: number; weight: number; family: string }>;
function tagsOf(shard: OneShard, now: number): Held {
  return (shard.describe('ann', now).tags ?? {}) as Held; // as `profile` shows them
}
function sinceOf(shard: OneShard, now: number): Record<string, number> {
  return Object.fromEntries(
    Object.entries(tagsOf(shard, now)).map(([key, { sinceEpochMillis }]) => [key, sinceEpochMillis]),
  );
}
const sorted = (map: ReadonlyMap<string, number>): Record<string, number> =>
  Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));

interface Step {
  readonly wait: number;
  readonly act: 'view' | 'purchase' | 'traits' | 'look' | 'crash';
  /** How late or early the event says it was. */
  readonly shift: number;
  readonly brand: string;
  readonly amount: number;
  readonly age: number;
}
const anyStep = (waits: readonly number[], shifts: readonly number[]): fc.Arbitrary<Step> =>
  fc.record({
    wait: fc.constantFrom(...waits),
    act: fc.constantFrom('view', 'view', 'purchase', 'purchase', 'traits', 'look', 'crash'),
    shift: fc.constantFrom(...shifts),
    brand: fc.constantFrom('acme', 'bolt', 'cord'),
    amount: fc.integer({ min: 0, max: 60 }),
    age: fc.integer({ min: 20, max: 40 }),
  });

/** Drives both ways through the steps and compares them at every instant at which anything could change. */
function compare(tags: string, steps: readonly Step[], grain: number, checksWeights: boolean): void {
  let shard = new OneShard({ catalog: catalogOf(tags) });
  const plain = new PlainTags(shard.runtime.index.catalog);
  let now = NOON;
  let isKnown = false;
  const matches = (): void => {
    const held = tagsOf(shard, now);
    expect({ now: now - NOON, ...sinceOf(shard, now) }).toEqual({ now: now - NOON, ...sorted(plain.held) });
    if (!checksWeights) return;
    for (const tag of plain.catalog.tags) {
      if (plain.held.has(tag.key)) expect([tag.key, held[tag.key]?.weight]).toEqual([tag.key, plain.weight(tag)]);
    }
  };
  for (const [number, step] of steps.entries()) {
    for (const end = now + step.wait; now < end; ) {
      // A bound that is passed and not reached changes one millisecond later.
      now += now % grain === 0 ? 1 : grain - 1;
      if (!isKnown) continue;
      const before = JSON.stringify(sorted(plain.held));
      plain.look(now);
      // Time changed something: the person would have been visited.
      if (JSON.stringify(sorted(plain.held)) !== before) {
        shard.runtime.open(requestOf({ profile: 'ann' }), now);
        expect(pendingWake(shard.runtime.record)).toBeLessThanOrEqual(now);
      }
      // Nobody asks for days: the timers alone keep up.
      if (now % DAY === 0) shard.runtime.wakes.advance(now, 9);
    }
    if (step.act === 'look') {
      if (isKnown) matches();
      continue;
    }
    if (step.act === 'crash') {
      shard.store.commitNow();
      if (number % 2 === 0) shard.checkpoint();
      shard = shard.recovered();
      continue;
    }
    if (step.act === 'traits') {
      Object.assign(plain.traits, { age: step.age, vip: step.age % 2 === 0 });
      expect(shard.identify('ann', { age: step.age, vip: step.age % 2 === 0 }, now)).toBeNull();
    } else {
      const event: PlainEvent = {
        event: step.act,
        at: now + step.shift,
        properties: { brand: step.brand, amount: step.amount },
      };
      plain.events.push(event);
      const { properties } = event;
      expect(shard.track({ profile: 'ann', event: step.act, properties, atEpochMillis: event.at }, now)).toBeNull();
    }
    plain.look(now, step.act);
    isKnown = true;
    matches();
  }
  if (isKnown) matches();
}

describe('living tags', () => {
  it('agree with the plain way at every instant: windows, silences, values, weights, parents, late and early events', () => {
    const steps = fc.array(
      anyStep([0, 500, 1_000, 2_500, 7_000, 13_000], [0, 0, -500, -3_000, -9_000, -40_000, 2_000]),
      {
        minLength: 8,
        maxLength: 24,
      },
    );
    fc.assert(
      fc.property(steps, (list) => compare(FAST, list, 500, true)),
      { numRuns: 30, seed: 11 },
    );
  });

  it('agree with the plain way over months and hours', () => {
    const tags = `
      loyal: { family: behaviour, when: 'streak("purchase", "brand", 3) >= 3' },
      once: { family: behaviour, when: 'streak("purchase", "brand", 2) == 1' },
      night: { family: behaviour, when: 'now.hour >= 22 || now.hour < 6' },
      weekend: { family: behaviour, when: 'now.weekday >= 5 && count("view", "3d") > 0' }`;
    const steps = fc.array(anyStep([HOUR, 7 * HOUR, 3 * DAY, 17 * DAY], [0, 0, -2 * HOUR, -20 * DAY]), {
      minLength: 8,
      maxLength: 12,
    });
    fc.assert(
      fc.property(steps, (list) => compare(tags, list, HOUR, false)),
      { numRuns: 6, seed: 5 },
    );
  });

  it('a rule is looked at when what it reads comes, or when its instant does, and not otherwise', () => {
    const shard = new OneShard({ catalog: catalogOf(FAST) });
    shard.track({ profile: 'ann', event: 'view' }, NOON);
    const entries = shard.runtime.stats.journalEntries;
    shard.track({ profile: 'ann', event: 'scroll' }, NOON + 10);
    expect(shard.runtime.stats.journalEntries).toBe(entries + 1);
  });

  it('a visit is no sign of life, and what time brought about says so', () => {
    const shard = new OneShard({ catalog: catalogOf(FAST) });
    shard.track({ profile: 'ann', event: 'view' }, NOON);
    while (shard.runtime.wakes.advance(NOON + 9 * SECOND, 1));
    shard.runtime.open(requestOf({ profile: 'ann' }), NOON);
    expect(shard.runtime.record.getF64(FIELD.lastTurnAt)).toBe(NOON);
    expect(sinceOf(shard, NOON + 9 * SECOND)).toMatchObject({ silent: NOON + 7_001 });
  });

  it('a visit that comes hours late begins and ends tags at their own instants', () => {
    const shard = new OneShard({ catalog: catalogOf(FAST) });
    shard.track({ profile: 'ann', event: 'view' }, NOON);
    expect(sinceOf(shard, NOON + 5 * HOUR)).toEqual({ silent: NOON + 7_001, mixed: NOON + 4_000 });
  });

  it('a decision sees the tags of its instant, as rules, weights and features', () => {
    const actions = `{ key: a, channels: [app], valueMinor: 9, eligibility: 'tag("silent")' },
      { key: b, channels: [app], valueMinor: 8, eligibility: 'tagWeight("top") > 2' }`;
    const shard = new OneShard({
      catalog: catalogOf(FAST.replace('lifeCycle,', 'lifeCycle, feature: true,'), actions),
    });
    const keys = (now: number): string[] =>
      shard.decide({ profile: 'ann', slot: 'home', count: 2, isDryRun: true }, now).actions.map(({ action }) => action);
    shard.track({ profile: 'ann', event: 'view' }, NOON);
    expect(keys(NOON + 7_000)).toEqual([]);
    expect(keys(NOON + 7_001)).toEqual(['a']);
    shard.identify('ann', { vip: true }, NOON + 8_000);
    expect(keys(NOON + 8_000).sort()).toEqual(['a', 'b']);
    shard.identify('ann', { vip: false }, NOON + 8_000);
    shard.track({ profile: 'ann', event: 'view' }, NOON + 8_001);
    expect(keys(NOON + 8_001)).toEqual([]);
  });

  it('another catalog: what has no rule ends, what is new begins, at the next turn; none at all, and all end', () => {
    const shard = new OneShard({ catalog: catalogOf('old: { family: social, when: "true" }') });
    shard.track({ profile: 'ann', event: 'view' }, NOON);
    expect(sinceOf(shard, NOON)).toEqual({ old: NOON });
    shard.reload(catalogOf('young: { family: social, when: "profile.age > 3", halfLife: 1d }'));
    expect(sinceOf(shard, NOON + 1)).toEqual({});
    shard.identify('ann', { age: 9 }, NOON + 2);
    expect(sinceOf(shard, NOON + 3)).toEqual({ young: NOON + 2 });
    shard.reload(catalogOf('young: { family: social, when: "profile.age > 30" }'));
    expect(sinceOf(shard, NOON + 4)).toEqual({});
    shard.identify('ann', { age: 99 }, NOON + 5);
    shard.reload(catalogText({ actions: ACTION, traits: TRAITS }));
    expect(shard.describe('ann', NOON + 6).tags).toBeUndefined();
    expect(shard.runtime.record.momentCount).toBe(0);
    expect(shard.runtime.record.getU16(FIELD.flags)).toBe(0);
  });

  it('a clock that goes back is believed: what does not hold any more ends, and begins again', () => {
    const shard = new OneShard({ catalog: catalogOf(FAST) });
    shard.track({ profile: 'ann', event: 'view' }, NOON);
    expect(Object.keys(sinceOf(shard, NOON + HOUR))).toContain('silent');
    expect(Object.keys(sinceOf(shard, NOON + 6 * SECOND))).not.toContain('silent');
    expect(sinceOf(shard, NOON + HOUR)).toMatchObject({ silent: NOON + 7_001 });
  });

  it('contradicting traits: the last one counts, at once and for the tag above', () => {
    const shard = new OneShard({ catalog: catalogOf(FAST) });
    for (let i = 1; i <= 5; i++) {
      shard.identify('ann', { vip: i % 2 === 1 }, NOON + i);
      expect('top' in sinceOf(shard, NOON + i)).toBe(i % 2 === 1);
    }
    expect(tagsOf(shard, NOON + 5).top).toEqual({ sinceEpochMillis: NOON + 5, weight: 3, family: 'attributes' });
  });

  it('more tags at once than one effect has room for', () => {
    const many = Array.from({ length: 150 }, (_, i) => `t${i}: { family: social, when: 'count("view", "9s") > 0' }`);
    const shard = new OneShard({ catalog: catalogOf(many.join(', ')) });
    shard.track({ profile: 'ann', event: 'view' }, NOON);
    expect(Object.keys(tagsOf(shard, NOON))).toHaveLength(150);
    shard.store.commitNow();
    const next = shard.recovered();
    expect(Object.keys(tagsOf(next, NOON + 8_999))).toHaveLength(150);
    expect(Object.keys(tagsOf(next, NOON + 9_000))).toHaveLength(0);
  });

  it('who only looked has no tags and leaves no trace; who decided has them', () => {
    const shard = new OneShard({ catalog: catalogOf('all: { family: social, when: "true" }') });
    expect(tagsOf(shard, NOON)).toEqual({});
    shard.decide({ profile: 'ann', slot: 'home', isDryRun: true }, NOON);
    expect(shard.runtime.stats.journalEntries).toBe(0);
    shard.decide({ profile: 'ann', slot: 'home' }, NOON + 1);
    expect(sinceOf(shard, NOON + 2)).toEqual({ all: NOON + 2 });
  });

  it('nothing is written where the catalog has no tags', () => {
    const shard = new OneShard({ catalog: catalogText({ actions: ACTION }) });
    shard.track({ profile: 'ann', event: 'view' }, NOON);
    shard.identify('ann', {}, NOON);
    expect(shard.runtime.stats.journalEntries).toBe(2);
    expect(shard.runtime.record.momentCount).toBe(0);
  });

  it('the same bytes after a recovery, from the journal alone and behind a checkpoint', () => {
    for (const hasCheckpoint of [false, true]) {
      const shard = new OneShard({ catalog: catalogOf(FAST) });
      for (let i = 0; i < 9; i++) {
        const properties = { brand: i % 2 === 0 ? 'acme' : 'bolt', amount: 30 };
        shard.track({ profile: 'ann', event: i % 3 === 0 ? 'view' : 'purchase', properties }, NOON + i * 900);
        if (hasCheckpoint && i === 4) {
          shard.store.commitNow();
          shard.checkpoint();
        }
      }
      shard.store.commitNow();
      const next = shard.recovered();
      expect(next.recordBytes('ann')).toEqual(shard.recordBytes('ann'));
      expect(sinceOf(next, NOON + HOUR)).toEqual(sinceOf(shard, NOON + HOUR));
    }
  });
});
