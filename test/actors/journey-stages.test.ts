/** Stages of journeys: as the plain way has them at every instant, through timers alone, over crashes and other catalogs. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FIELD } from '../../actors/record-layout.ts';
import { pendingWake } from '../../actors/wake-timers.ts';
import { OneShard, requestOf } from './one-shard.ts';
import { PlainJourneys } from './plain-journeys.ts';
import { catalogText, NOON } from './test-catalog.ts';

const SECOND = 1_000;
const ACTION = '{ key: a, channels: [app], valueMinor: 9 }';
const TAGS = `fan: { family: social, when: 'countWhere("purchase", "brand", "acme", "12s") >= 2', holdFor: 3s }`;
const JOURNEYS = `
  life: { exit: 'lastSeen("view") > 40 && lastSeen("purchase") > 40', again: 20s, stages: {
    aware: { when: 'count("view", "20s") > 0' },
    keen: { when: 'count("view", "10s") >= 2', timer: { after: 7s, to: cold } },
    buyer: { when: 'count("purchase", "11s") >= 1', from: [aware, keen, cold], goal: true },
    loyal: { when: 'tag("fan")', from: [buyer] },
    cold: { when: 'lastSeen("purchase") > 12', from: [buyer, loyal] } } },
  trial: { stages: {
    all: {},
    vip: { when: profile.vip },
    done: { when: 'profile.age > 30', from: [vip], timer: { after: 9s, to: exit } } } },
  dated: { stages: {
    before: {},
    during: { when: 'now.epochMillis >= ${NOON + 30 * SECOND}' },
    fresh: { when: 'count("view", "4s") == 0 && now.hour >= 9', from: [during], timer: { after: 2500ms, to: end } },
    end: {} } }`.replace('2500ms', '3s');

function catalogOf(journeys: string, actions = ACTION): string {
  const traits = 'vip: { type: boolean }, age: { type: integer }';
  return catalogText({
    actions,
    traits,
    tags: TAGS,
    more: `journeys: { ${journeys} }`,
    channels: '{ app: {}, mail: {} }',
  });
}

interface Shown {
  readonly stage: string | null;
  readonly sinceEpochMillis: number;
  readonly goalReachedAtEpochMillis: number | null;
}
function shownOf(shard: OneShard, now: number): Record<string, Shown> {
  return (shard.describe('ann', now).journeys ?? {}) as unknown as Record<string, Shown>; // as `profile` shows them
}
function stagesOf(shard: OneShard, now: number): Record<string, [string | null, number]> {
  const entries = Object.entries(shownOf(shard, now));
  return Object.fromEntries(
    entries.map(([key, { stage, sinceEpochMillis }]) => [key, [stage, sinceEpochMillis - NOON]]),
  );
}

interface Step {
  readonly wait: number;
  readonly act: 'view' | 'purchase' | 'traits' | 'look' | 'crash';
  readonly shift: number;
  readonly brand: string;
  readonly age: number;
}
const anyStep: fc.Arbitrary<Step> = fc.record({
  wait: fc.constantFrom(0, 500, 1_000, 2_500, 7_000, 13_000, 45_000),
  act: fc.constantFrom('view', 'view', 'view', 'purchase', 'purchase', 'traits', 'look', 'crash'),
  shift: fc.constantFrom(0, 0, -500, -3_000, -9_000, 2_000),
  brand: fc.constantFrom('acme', 'acme', 'bolt'),
  age: fc.integer({ min: 20, max: 40 }),
});

/** Drives both ways through the steps and compares them at every instant at which anything could change. */
function compare(steps: readonly Step[]): Set<string> {
  let shard = new OneShard({ catalog: catalogOf(JOURNEYS) });
  const plain = new PlainJourneys(shard.runtime.index.catalog);
  const seen = new Set<string>();
  let now = NOON;
  let isKnown = false;
  const plainly = (): Record<string, Shown> =>
    Object.fromEntries(
      [...plain.places].map(([key, { stage, since, goalAt }]) => {
        seen.add(`${key} ${stage}`);
        return [key, { stage, sinceEpochMillis: since, goalReachedAtEpochMillis: goalAt }];
      }),
    );
  const matches = (): void => {
    const shown = Object.entries(shownOf(shard, now)).map(
      ([key, { stage, sinceEpochMillis, goalReachedAtEpochMillis }]) => [
        key,
        { stage, sinceEpochMillis, goalReachedAtEpochMillis },
      ],
    );
    expect({ now: now - NOON, ...Object.fromEntries(shown) }).toEqual({ now: now - NOON, ...plainly() });
  };
  for (const [number, step] of steps.entries()) {
    for (const end = now + step.wait; now < end; ) {
      // A bound that is passed and not reached changes one millisecond later.
      now += now % 500 === 0 ? 1 : 499;
      if (!isKnown) continue;
      const before = JSON.stringify(plainly());
      plain.look(now);
      if (JSON.stringify(plainly()) !== before) {
        shard.runtime.open(requestOf({ profile: 'ann' }), now);
        expect(pendingWake(shard.runtime.record)).toBeLessThanOrEqual(now);
      }
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
      const event = { event: step.act, at: now + step.shift, properties: { brand: step.brand } };
      plain.events.push(event);
      const { properties } = event;
      expect(shard.track({ profile: 'ann', event: step.act, properties, atEpochMillis: event.at }, now)).toBeNull();
    }
    plain.look(now, step.act);
    isKnown = true;
    matches();
  }
  if (isKnown) matches();
  return seen;
}

describe('journeys', () => {
  it('agree with the plain way at every instant: rules, timers, tags, exits, goals, late and early events, crashes', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.array(anyStep, { minLength: 10, maxLength: 30 }), (steps) => {
        for (const place of compare(steps)) seen.add(place);
      }),
      { numRuns: 40, seed: 3 },
    );
    // Every stage was come to, and every end: else the comparison says little.
    const life = ['aware', 'keen', 'buyer', 'loyal', 'cold', null].map((stage) => `life ${stage}`);
    const trial = ['all', 'vip', 'done', null].map((stage) => `trial ${stage}`);
    const dated = ['before', 'during', 'fresh', 'end'].map((stage) => `dated ${stage}`);
    expect([...seen].sort()).toEqual([...life, ...trial, ...dated].sort());
  });

  it('a visit that comes hours late moves the person at the instants themselves', () => {
    const shard = new OneShard({ catalog: catalogOf(JOURNEYS) });
    shard.track({ profile: 'ann', event: 'view' }, NOON);
    shard.track({ profile: 'ann', event: 'view' }, NOON + SECOND);
    expect(stagesOf(shard, NOON + SECOND).life).toEqual(['keen', 1_000]);
    expect(stagesOf(shard, NOON + 3_600_000)).toEqual({
      life: [null, 41_001],
      trial: ['all', 0],
      dated: ['end', 33_000],
    });
  });

  it('a stage weighs actions and channels, for as long as the person is in it, and rules can ask for it', () => {
    const actions = `{ key: a, channels: [app], valueMinor: 100 }, { key: b, channels: [mail], valueMinor: 90 },
      { key: c, channels: [app], valueMinor: 500, eligibility: 'stage("life", "buyer")' }`;
    const journeys = `life: { stages: {
      aware: { when: 'count("view", "60s") > 0', weights: { channels: { app: 0 } } },
      buyer: { when: 'count("purchase", "60s") > 0', timer: { after: 5s, to: later },
        weights: { actions: { a: 2, c: 0 }, channels: { mail: 0 } } },
      later: {} } }`;
    const shard = new OneShard({
      catalog: catalogText({
        actions,
        channels: '{ app: {}, mail: {} }',
        slots: '{ home: { channels: [app, mail] } }',
        more: `journeys: { ${journeys} }`,
      }),
    });
    /** Scores drawn for the actions, worth nothing or something. */
    const scores = (now: number): Record<string, boolean> => {
      const { actions: chosen } = shard.decide({ profile: 'ann', slot: 'home', count: 3, isDryRun: true }, now);
      return Object.fromEntries(chosen.map(({ action, score }) => [action, score !== 0]));
    };
    expect(scores(NOON)).toEqual({ a: true, b: true });
    shard.track({ profile: 'ann', event: 'view' }, NOON);
    expect(scores(NOON)).toEqual({ a: false, b: true });
    shard.track({ profile: 'ann', event: 'purchase' }, NOON + 1);
    expect(scores(NOON + 5_000)).toEqual({ a: true, b: false, c: false });
    expect(scores(NOON + 5_001)).toEqual({ a: true, b: true });
  });

  it('another catalog: a stage that is no more is left, a journey that is no more ends, and no trace stays of any', () => {
    const shard = new OneShard({ catalog: catalogOf('life: { stages: { aware: {}, old: { when: "profile.vip" } } }') });
    shard.identify('ann', { vip: true }, NOON);
    expect(stagesOf(shard, NOON)).toEqual({ life: ['old', 0] });
    shard.reload(catalogOf('life: { stages: { aware: {}, young: { when: "profile.age > 3" } } }'));
    expect(stagesOf(shard, NOON + 1)).toEqual({ life: ['aware', 1] });
    shard.reload(catalogOf('other: { stages: { some: { when: "profile.age > 3" } } }'));
    expect(stagesOf(shard, NOON + 2)).toEqual({});
    shard.reload(catalogText({ actions: ACTION }));
    shard.describe('ann', NOON + 3);
    expect(shard.describe('ann', NOON + 4).journeys).toBeUndefined();
    expect(shard.runtime.record.momentCount).toBe(0);
    expect(shard.runtime.record.getU16(FIELD.flags)).toBe(0);
  });

  it('two stages whose rules both hold make no circle', () => {
    const shard = new OneShard({
      catalog: catalogOf(
        `life: { stages: { one: {}, two: { when: 'count("view", "1d") > 0' },
        three: { when: 'count("view", "1d") > 0', from: [two] }, four: { when: 'count("view", "1d") > 0', from: [three] } } }`.replace(
          'two: { when',
          'two: { from: [one, four], when',
        ),
      ),
    });
    shard.track({ profile: 'ann', event: 'view' }, NOON);
    expect(stagesOf(shard, NOON).life).toEqual(['four', 0]);
    const entries = shard.runtime.stats.journalEntries;
    shard.track({ profile: 'ann', event: 'view' }, NOON + 1);
    // The event, and one change of stage: from four to two and three, and not to four again.
    expect(shard.runtime.stats.journalEntries).toBe(entries + 2);
    expect(stagesOf(shard, NOON + 1).life).toEqual(['three', 1]);
  });

  it('the scope of who refuses personalisation shows no stage', () => {
    const actions = `${ACTION}, { key: c, channels: [app], valueMinor: 500, eligibility: 'stage("life", "aware")' }`;
    const shard = new OneShard({ catalog: catalogOf('life: { stages: { aware: {} } }', actions) });
    const offered = (now: number): string[] =>
      shard.decide({ profile: 'ann', slot: 'home', count: 3, isDryRun: true }, now).actions.map(({ action }) => action);
    shard.track({ profile: 'ann', event: 'view' }, NOON);
    expect(offered(NOON)).toContain('c');
    expect(shard.consent('ann', { personalisation: { granted: false } }, NOON + 1)).toBeNull();
    expect(offered(NOON + 2)).not.toContain('c');
  });
});

const PAGE = readFileSync('docs/JOURNEYS.md', 'utf8');
const EXAMPLES = [...PAGE.matchAll(/```yaml\n([^`]*)```\n\n```text\n([^`]*)```/g)].map(
  ([, stages = '', lines = '']) => {
    const declared = stages.trim().split('\n');
    const [, keys = ''] = /^journey: \{ (.*) \}$/.exec(declared[0] ?? '') ?? [];
    const rows = keys === '' ? declared : declared.slice(1);
    return {
      journey: `${keys === '' ? '' : `${keys}, `}stages: { ${rows.join(', ')} }`,
      lines: lines.trim().split('\n'),
    };
  },
);

describe('docs/JOURNEYS.md', () => {
  it('has its examples', () => expect(EXAMPLES.map(({ lines }) => lines.length)).toEqual([18, 13]));

  it.each(EXAMPLES)('the example with $lines.length lines comes to what the page says', ({ journey, lines }) => {
    const shard = new OneShard({ catalog: catalogOf(`life: { ${journey} }`) });
    for (const line of lines) {
      const [, at = '', verb = '', stage = ''] = /^(\S+ \S+)\s+(\S+) ?(.*)$/.exec(line) ?? [];
      const now = Date.parse(`${at.replace(' ', 'T')}Z`);
      expect(now, line).not.toBeNaN();
      if (verb !== 'is') expect(shard.track({ profile: 'ann', event: verb }, now)).toBeNull();
      else {
        const { life } = shownOf(shard, now);
        expect([line, life === undefined ? '-' : (life.stage ?? 'left')]).toEqual([line, stage]);
      }
    }
  });
});
