/** A restricted person: everything is stored, nothing is used, and lifting it brings all of it back. */
import { beforeEach, describe, expect, it } from 'vitest';
import { EFFECT, Effect, EVENT, EVENT_FLAG, TEACHING } from '../../actors/effect.ts';
import { takeFacts } from '../../actors/fact-turn.ts';
import { advanceRipening } from '../../actors/trial-ripening.ts';
import { WANT } from '../../decision/pipeline.ts';
import type { Properties } from '../../proto/messages.ts';
import { FAULT } from '../../proto/statuses.ts';
import { OneShard } from './one-shard.ts';
import { NOON } from './test-catalog.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const CATALOG = `version: 1
name: restriction
currency: EUR
timeZone: Europe/Berlin
decision: { explorationProbability: 0, holdoutProbability: 0 }
profile:
  traits: { loyalty: { type: enum, values: [none, gold] } }
  facts: [churnProbability]
  tags: { keen: { family: behaviour, when: 'count("view", "7d") > 1' } }
channels: { app: {} }
products: [{ sku: coffee, listMinor: 1000, floorMinor: 700, ceilingMinor: 1500, costMinor: 650, stepMinor: 10 }]
actions:
  - { key: everybody, channels: [app], valueMinor: 10 }
  - { key: gold, channels: [app], valueMinor: 900, eligibility: 'profile.loyalty == "gold"' }
`;

let shard: OneShard;
beforeEach(() => {
  shard = new OneShard({ catalog: CATALOG });
  expect(shard.identify('ann', { loyalty: 'gold' }, NOON)).toBeNull();
});
function restrict(isRestricted: boolean, now: number, proof: Properties | null = null): void {
  expect(shard.consent('ann', { processing: { granted: !isRestricted } }, now, proof)).toBeNull();
}
const ask = { profile: 'ann', wantMask: WANT.action | WANT.price | WANT.sendTime, sku: 'coffee', count: 2 };
const offered = (now: number, from = shard): (string | undefined)[] =>
  from.decide({ ...ask, isDryRun: true }, now).actions.map(({ action }) => action);
const view = (now: number, fields: Properties = {}): void =>
  expect(shard.track({ profile: 'ann', event: 'view', ...fields }, now)).toBeNull();
const tags = (now: number): string[] => Object.keys(shard.describe('ann', now).tags as Properties);

/** Flags of the person's events in the open batch. */
function eventFlags(): number[] {
  const batch = shard.store.readJournal({ epoch: 1, stream: 0, batch: shard.store.openBatch }) ?? new Uint8Array(0);
  const entry = new Effect();
  const flags: number[] = [];
  for (let offset = 0; offset < batch.length; ) {
    offset = entry.load(batch, offset);
    if (entry.type === EFFECT.event) flags.push(entry.getU32(EVENT.flags));
  }
  return flags;
}

describe('while it lasts', () => {
  it('the answer is everybody’s: nothing offered, the list price, no time of their own, and says why', () => {
    restrict(true, NOON);
    const answer = shard.decide({ ...ask, isExplain: true }, NOON + 1);
    expect([answer.actions, answer.price?.priceMinor, answer.sendTime]).toEqual([[], 1000, undefined]);
    expect(answer.explain?.rejected).toMatchObject([
      { action: 'everybody', stage: 'consent', rule: 'restriction of processing' },
      { action: 'gold', rule: 'restriction of processing' },
    ]);
  });

  it('events are kept and marked, and teach nothing; traits are corrected', () => {
    const { decisionId } = shard.decide(ask, NOON);
    const before = shard.models.epoch;
    restrict(true, NOON + 1);
    for (const event of ['impression', 'click', 'purchase'])
      expect(shard.track({ profile: 'ann', event, decisionId: decisionId ?? '' }, NOON + 2)).toBeNull();
    const flags = eventFlags();
    // With the confirmation of its lease, which the first of them is.
    expect(flags).toHaveLength(4);
    for (const each of flags)
      expect([each & TEACHING, each & EVENT_FLAG.restricted]).toEqual([0, EVENT_FLAG.restricted]);
    expect(shard.models.epoch).toBe(before);
    expect(shard.identify('ann', { loyalty: 'none' }, NOON + 3)).toBeNull();
    restrict(false, NOON + 4);
    expect(offered(NOON + 5)).toEqual(['everybody']);
  });

  it('a trial that is not seen yet teaches nothing, however long it lasts', () => {
    const learntLater = (restricts: boolean): number => {
      shard = new OneShard({ catalog: CATALOG });
      // Others respond three hours late, so that Ann's silence counts little at first, and more as it lasts.
      for (let n = 0; n < 40; n++) {
        const fields = { profile: `slow-${n}`, wantMask: WANT.action };
        const { decisionId } = shard.decide(fields, NOON - 4 * HOUR);
        const click = { profile: `slow-${n}`, event: 'click', decisionId: decisionId ?? '' };
        expect(shard.track(click, NOON - HOUR)).toBeNull();
      }
      const { decisionId } = shard.decide({ profile: 'ann', wantMask: WANT.action }, NOON);
      expect(shard.track({ profile: 'ann', event: 'impression', decisionId: decisionId ?? '' }, NOON)).toBeNull();
      if (restricts) restrict(true, NOON + 1);
      const learnt = shard.runtime.stats.learnUpdates;
      for (let hour = 1; hour <= 48; hour++) advanceRipening(shard.runtime, NOON + hour * HOUR, 100);
      return shard.runtime.stats.learnUpdates - learnt;
    };
    expect(learntLater(false)).toBeGreaterThan(0);
    expect(learntLater(true)).toBe(0);
  });

  it('no tag and no fact is worked out; with its end all tags are, from what was stored', () => {
    view(NOON);
    expect(tags(NOON)).toEqual([]);
    restrict(true, NOON + 1);
    view(NOON + 2);
    view(NOON + 3);
    expect(tags(NOON + 4)).toEqual([]);
    const { record } = shard.runtime;
    const keys = Uint32Array.of(record.partition, record.hashLow, record.hashHigh, record.hashCheck);
    const facts = { keys, columns: new Map([['churnProbability', Float64Array.of(0.5)]] as const), fit: 1 };
    expect(takeFacts(shard.runtime, facts, 0, NOON + 5)).toBe('refused');
    restrict(false, NOON + 6);
    expect(tags(NOON + 6)).toEqual(['keen']);
    expect(takeFacts(shard.runtime, facts, 0, NOON + 7)).toBe('changed');
  });
});

describe('keeping it', () => {
  it('is shown with proof and history, holds after a recovery, and ends when it is lifted', () => {
    expect(shard.describe('ann', NOON)).not.toHaveProperty('restriction');
    restrict(true, NOON + 1, { source: 'letter', text: 'accuracy contested' });
    expect(shard.consentTurn.summary).toBe('processing=restricted');
    const shown = shard.describe('ann', NOON + 2).restriction;
    expect(shown).toEqual({
      restricted: true,
      atEpochMillis: NOON + 1,
      proof: { source: 'letter', text: 'accuracy contested' },
      history: [],
    });
    shard.store.commitNow();
    const after = shard.recovered();
    expect([offered(NOON + 3, after), after.describe('ann', NOON + 3).restriction]).toEqual([[], shown]);
    restrict(false, NOON + 4);
    expect(shard.describe('ann', NOON + 5).restriction).toMatchObject({
      restricted: false,
      history: [{ restricted: true }],
    });
    expect(offered(NOON + 5)).toHaveLength(2);
  });

  it.each<[Properties]>([
    [{ processing: {} }],
    [{ processing: true as unknown as Properties }],
    [{ processing: { granted: false, expiresAtEpochMillis: NOON + DAY } }],
    [{ processing: { granted: 'no' } }],
  ])('%o is refused, and nothing is taken', (purposes) => {
    const before = shard.runtime.record.stateSeq;
    expect(shard.consent('ann', purposes, NOON)).toBe(FAULT.invalidField);
    expect(shard.runtime.message).toMatch(/^consent\.purposes\.processing: expected/);
    expect(shard.runtime.record.stateSeq).toBe(before);
  });
});
