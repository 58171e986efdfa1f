/** Decisions whole, from request to explanation, through the turn that runs the pipeline. */
import { describe, expect, it } from 'vitest';
import { DECISION } from '../../actors/effect.ts';
import type { Action } from '../../decision/catalog.ts';
import { FeatureVector } from '../../decision/features.ts';
import { PART_KIND } from '../../decision/part-register.ts';
import { WANT } from '../../decision/pipeline.ts';
import { predictAll } from '../../decision/response-model.ts';
import type { Rejection } from '../../proto/messages.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import { FAULT } from '../../proto/statuses.ts';
import { type Fields, OneShard } from '../actors/one-shard.ts';
import { COFFEE, catalogText, NOON } from '../actors/test-catalog.ts';

const HOUR = 3_600_000;
const ACTION_ONLY: Fields = { profile: 'ann', wantMask: WANT.action, isExplain: true };

function shardOf(parts: Parameters<typeof catalogText>[0]): OneShard {
  return new OneShard({ catalog: catalogText({ leaseMillis: 7 * 24 * HOUR, ...parts }) });
}
/** The one rejection of a decision that chose nothing; asked without a trace. */
function rejectionOf(shard: OneShard, now: number, fields: Fields = {}): Rejection {
  const { explain, actions } = shard.decide({ ...ACTION_ONLY, isDryRun: true, ...fields }, now);
  expect(actions).toEqual([]);
  expect(explain?.rejected).toHaveLength(1);
  return explain?.rejected[0] as Rejection; // the line above proves that it is there
}
/** Rejected a millisecond before the stated instant, chosen at it. */
function expectOpensAsStated(shard: OneShard, now: number, fields: Fields = {}): Rejection {
  const rejection = rejectionOf(shard, now, fields);
  const at = rejection.eligibleAgainAtEpochMillis as number;
  expect(at).toBeGreaterThan(now);
  expect(rejectionOf(shard, at - 1, fields).eligibleAgainAtEpochMillis).toBe(at);
  expect(shard.decide({ ...ACTION_ONLY, isDryRun: true, ...fields }, at).actions).toHaveLength(1);
  return rejection;
}

describe('pipeline stages', () => {
  it('order: each stage is asked only about what passed the one before', () => {
    // The same action fails at every stage; what is taken away stage by stage is the first to be named.
    const action = (eligibility: string, cap: string, budget: number): string =>
      `{ key: a, channels: [push], valueMinor: 9, costMinor: 5, budgetMinor: ${budget}, eligibility: '${eligibility}', caps: [${cap}] }`;
    const shardWith = (text: string, holdoutProbability = 0): OneShard =>
      shardOf({
        channels: '{ push: {} }',
        slots: '{ home: { channels: [push] } }',
        traits: 'consent: { type: boolean }, age: { type: integer }',
        actions: text,
        holdoutProbability,
      });
    const cap = '{ count: 1, per: 24h, on: impression }';
    const no = 'has(profile.age)';
    const yes = '!has(profile.age)';

    const withheld = shardWith(action(no, cap, 5), 0.5);
    // Half of all people are held out; a dozen names hold one.
    const stages = new Map<string, string>();
    for (let n = 0; n < 12; n++) stages.set(rejectionOf(withheld, NOON, { profile: `p${n}` }).stage, `p${n}`);
    expect([...stages.keys()].sort()).toEqual(['eligibility', 'holdout']);
    const profile = stages.get('holdout') ?? '';
    withheld.identify(profile, { consent: false }, NOON);
    expect(rejectionOf(withheld, NOON, { profile }).stage).toBe('consent');

    expect(rejectionOf(shardWith(action(no, cap, 4)), NOON).stage).toBe('eligibility');
    const capped = shardWith(action(yes, cap, 5));
    const { decisionId } = capped.decide({ profile: 'ann', wantMask: WANT.action }, NOON);
    expect(capped.track({ profile: 'ann', event: 'impression', decisionId: decisionId ?? '' }, NOON)).toBeNull();
    expect(rejectionOf(capped, NOON + 1)).toMatchObject({ stage: 'contactPolicy', value: 1 });
    expect(capped.ledger.freeAmount(murmur3Text('a', 0))).toBe(0);
    expect(rejectionOf(shardWith(action(yes, '', 4)), NOON).stage).toBe('budget');
  });

  it('send-time: the look-alikes are those of the own zone, whoever was decided for before', () => {
    const shard = shardOf({ actions: '{ key: a, channels: [app], valueMinor: 9 }' });
    for (const [profile, timeZone] of [
      ['ann', 'Asia/Tokyo'],
      ['bob', 'America/New_York'],
    ] as const) {
      shard.identify(profile, { timeZone }, NOON);
    }
    for (let n = 0; n < 200; n++) {
      shard.identify(`t${n}`, { timeZone: 'Asia/Tokyo' }, NOON);
      shard.track({ profile: `t${n}`, event: 'open' }, NOON);
    }
    const askAnn = (): unknown =>
      shard.decide({ profile: 'ann', wantMask: WANT.sendTime, isDryRun: true }, NOON).sendTime;
    shard.decide({ profile: 'ann', wantMask: WANT.sendTime, isDryRun: true }, NOON);
    const behindOwn = askAnn();
    shard.decide({ profile: 'bob', wantMask: WANT.sendTime, isDryRun: true }, NOON);
    expect(askAnn()).toEqual(behindOwn);
    expect(behindOwn).not.toMatchObject({ probability: 0 });
  });

  it('consent: without it nothing is chosen, the price is the list price and no time is worked out', () => {
    const shard = shardOf({
      traits: 'consent: { type: boolean }',
      actions: '{ key: a, channels: [app], valueMinor: 9 }',
      products: COFFEE,
    });
    shard.identify('ann', { consent: false }, NOON);
    const reply = shard.decide({ ...ACTION_ONLY, sku: 'coffee', wantMask: 7 }, NOON);
    expect([reply.actions, reply.price?.priceMinor, reply.sendTime]).toEqual([[], 1000, undefined]);
    expect(reply.explain?.rejected).toEqual([
      {
        action: 'a',
        stage: 'consent',
        rule: 'profile.consent',
        value: false,
        threshold: true,
        eligibleAgainAtEpochMillis: null,
      },
    ]);
    shard.identify('ann', { consent: true }, NOON);
    expect(shard.decide(ACTION_ONLY, NOON).actions).toHaveLength(1);
  });

  it('holdout: the same people every time, about the share asked for, and none when it is 0', () => {
    const shard = shardOf({ actions: '{ key: a, channels: [app], valueMinor: 9 }', holdoutProbability: 0.25 });
    let heldOut = 0;
    for (let n = 0; n < 2_000; n++) {
      const first = shard.decide({ profile: `p${n}`, wantMask: WANT.action }, NOON).actions.length;
      expect(shard.decide({ profile: `p${n}`, wantMask: WANT.action }, NOON + n).actions.length).toBe(first);
      heldOut += 1 - first;
    }
    // Mean 500, standard deviation 19.4: five of them.
    expect(Math.abs(heldOut - 500)).toBeLessThan(97);
    expect(shard.runtime.stats.decisionsHeldOut).toBe(heldOut * 2);
  });

  it('channels: a refused one is passed over for the next, and named when there is no other', () => {
    const shard = shardOf({
      channels: '{ app: {}, push: {} }',
      actions: '{ key: a, channels: [push, app], valueMinor: 9 }',
    });
    shard.track({ profile: 'ann', event: 'unsubscribe', properties: { channel: 'push' } }, NOON);
    expect(shard.decide(ACTION_ONLY, NOON).actions[0]?.channel).toBe('app');
    expect(rejectionOf(shard, NOON, { channel: 'push' })).toMatchObject({
      stage: 'consent',
      rule: 'contact on push',
      value: 'refused',
      threshold: 'granted',
      eligibleAgainAtEpochMillis: null,
    });
    shard.track({ profile: 'ann', event: 'complaint' }, NOON);
    expect(shard.decide(ACTION_ONLY, NOON).actions).toEqual([]);
    shard.track({ profile: 'ann', event: 'subscribe' }, NOON);
    expect(shard.decide(ACTION_ONLY, NOON).actions[0]?.channel).toBe('push');
  });

  it('unsubscribe: without a channel named it is for all, also when it tells its decision', () => {
    const shard = shardOf({
      channels: '{ app: {}, push: {} }',
      actions: '{ key: a, channels: [push, app], valueMinor: 9 }',
    });
    const { decisionId } = shard.decide(ACTION_ONLY, NOON);
    shard.track({ profile: 'ann', event: 'unsubscribe', decisionId: decisionId ?? '' }, NOON);
    expect(shard.decide({ ...ACTION_ONLY, channel: 'app' }, NOON).actions).toEqual([]);
  });
});

describe('pipeline requests', () => {
  const parts = {
    channels: '{ app: {}, push: {} }',
    slots: '{ home: { channels: [app] }, inbox: { channels: [push] } }',
    actions:
      '{ key: a, channels: [app, push], valueMinor: 9 }, { key: b, channels: [app], valueMinor: 8 }, { key: c, channels: [push], valueMinor: 7 }',
    products: COFFEE,
  };

  it.each([
    ['slot', { slot: 'attic' }, FAULT.unknownSlot],
    ['channel', { channel: 'fax' }, FAULT.unknownChannel],
    ['sku', { sku: 'tea' }, FAULT.unknownSku],
    ['actions', { actions: ['a', 'z'] }, FAULT.unknownAction],
  ] as const)('unknown %s: NOT_FOUND, and no profile is made for it', (_what, fields, fault) => {
    const shard = shardOf(parts);
    expect(shard.tryDecide({ profile: 'ann', ...fields }, NOON)).toEqual(fault);
    expect(shard.runtime.profiles.count).toBe(0);
  });

  it('actions: a subset bounds the candidates; an empty one gives an empty answer', () => {
    const shard = shardOf(parts);
    const reply = shard.decide({ ...ACTION_ONLY, actions: ['c', 'b'], count: 32 }, NOON);
    expect(reply.actions.map(({ action }) => action).sort()).toEqual(['b', 'c']);
    expect(reply.explain?.counts).toEqual({ candidates: 2, eligible: 2, allowed: 2, scored: 2 });
    const none = shard.decide({ ...ACTION_ONLY, actions: [] }, NOON);
    expect([none.actions, none.explain?.counts.candidates]).toEqual([[], 0]);
  });

  it('count: never more than are allowed, all of them when it is the maximum', () => {
    const shard = shardOf(parts);
    expect(shard.decide({ ...ACTION_ONLY, count: 2 }, NOON).actions).toHaveLength(2);
    const all = shard.decide({ ...ACTION_ONLY, count: 32 }, NOON);
    expect(all.actions.map(({ action }) => action).sort()).toEqual(['a', 'b', 'c']);
    for (const { propensity } of all.actions) {
      expect(propensity).toBeGreaterThan(0);
      expect(propensity).toBeLessThanOrEqual(1);
    }
  });

  it('slot and channel: only what both show is a candidate, and every candidate is chosen or explained', () => {
    const shard = shardOf(parts);
    for (const slot of ['', 'home', 'inbox']) {
      for (const channel of ['', 'app', 'push']) {
        const { actions, explain } = shard.decide({ ...ACTION_ONLY, slot, channel, count: 32 }, NOON);
        expect(actions.length + (explain?.rejected.length ?? -1)).toBe(explain?.counts.candidates);
        if (channel !== '') expect(actions.every((a) => a.channel === channel)).toBe(true);
        if (slot === 'home' && channel === 'push') expect(explain?.counts.candidates).toBe(0);
      }
    }
  });

  it('minStateSeq: met exactly, refused one above', () => {
    const shard = shardOf(parts);
    const { stateSeq } = shard.decide({ profile: 'ann' }, NOON);
    expect(shard.tryDecide({ profile: 'ann', minStateSeq: stateSeq + 1 }, NOON)).toEqual(FAULT.staleState);
    expect(shard.decide({ profile: 'ann', minStateSeq: stateSeq }, NOON).stateSeq).toBe(stateSeq + 1);
  });

  it('dryRun: no byte, no journal entry, no ledger change; and the answer is the next real one', () => {
    const shard = shardOf({
      ...parts,
      products: COFFEE.replace('quoteTtl', 'stock: 3, quoteTtl'),
      actions:
        '{ key: a, channels: [app], valueMinor: 9, costMinor: 1, budgetMinor: 9, creatives: [x, y, z], caps: [{ count: 5, per: day }] }, { key: b, channels: [app], valueMinor: 9 }',
    });
    shard.track({ profile: 'ann', event: 'view' }, NOON);
    for (let n = 0; n < 20; n++) {
      const now = NOON + n * 1000;
      const fields: Fields = { profile: 'ann', slot: 'home', sku: 'coffee', isExplain: true, count: 2 };
      const before = shard.recordBytes('ann');
      const journalBytes = shard.store.openBatchBytes;
      const ledger = shard.ledger.share();
      const { decisionId, ...dry } = shard.decide({ ...fields, isDryRun: true }, now);
      expect(decisionId).toBeNull();
      expect(shard.recordBytes('ann')).toEqual(before);
      expect(shard.store.openBatchBytes).toBe(journalBytes);
      expect(shard.ledger.share()).toEqual(ledger);
      const real = shard.decide(fields, now);
      expect(real.actions.map((a) => ({ ...a, leaseExpiresAtEpochMillis: null }))).toEqual(dry.actions);
      expect(real.price?.priceMinor).toBe(dry.price?.priceMinor);
      expect([dry.price?.quoteId, dry.price?.signature]).toEqual([null, null]);
      expect(real.sendTime).toEqual(dry.sendTime);
      expect(real.explain?.rejected).toEqual(dry.explain?.rejected);
      expect(real.stateSeq).toBe(dry.stateSeq + 1);
    }
  });

  it('contributions: sum to the predicted logit minus the prior, for each chosen action', () => {
    const shard = shardOf({ ...parts, traits: 'age: { type: integer, min: 0, max: 130 }, city: { type: string }' });
    shard.identify('ann', { age: 40, city: 'Bonn' }, NOON);
    for (let n = 0; n < 30; n++) {
      const { decisionId } = shard.decide({ profile: 'ann', wantMask: WANT.action }, NOON);
      shard.track({ profile: 'ann', event: n % 3 === 0 ? 'click' : 'impression', decisionId: decisionId ?? '' }, NOON);
    }
    const reply = shard.decide({ ...ACTION_ONLY, count: 3, context: { page: 'home' } }, NOON);
    // The features as they were journalled, and what the model makes of them.
    const { effect, index } = shard.runtime;
    const features = new FeatureVector();
    features.reset();
    for (let i = 1; i < effect.getU16(DECISION.featureCount); i++) {
      features.add(effect.featureHash(i), effect.featureValue(i));
    }
    const keys = reply.actions.map(({ action }) => index.catalog.actionByKey.get(action));
    const logits = new Float64Array(3);
    const { response, parts: register } = shard.models;
    const of = (read: (action: Action) => number): Int32Array =>
      Int32Array.from(keys, (action) => (action === undefined ? 0 : read(action)));
    const channels = Int32Array.from(reply.actions, (row) =>
      register.numberOf(PART_KIND.channel, murmur3Text(row.channel ?? '', 0)),
    );
    const actions = of(({ hash }) => register.numberOf(PART_KIND.action, hash));
    const categories = of(({ categoryHash }) => register.numberOf(PART_KIND.category, categoryHash));
    predictAll(response, features, 3, actions, categories, channels, 100, logits, new Float64Array(3));
    for (const [i, { action, contributions }] of (reply.explain?.chosen ?? []).entries()) {
      expect(action).toBe(reply.actions[i]?.action);
      const sum = contributions.reduce((total, { effect: one }) => total + one, 0);
      // The journal keeps values as 32-bit floats.
      expect(sum).toBeCloseTo((logits[i] as number) - response.priorLogit, 5);
      expect(Math.abs(sum)).toBeGreaterThan(0.01);
      for (const { value, weight, effect: one } of contributions) expect(weight * value).toBeCloseTo(one, 12);
    }
    expect(reply.explain?.chosen).toHaveLength(3);
  });
});

describe('pipeline: eligible again exactly when it says', () => {
  it.each(['1h', '24h', 'day', 'week'])('a cap per %s', (period) => {
    const shard = shardOf({
      actions: `{ key: a, channels: [app], valueMinor: 9, caps: [{ count: 2, per: ${period} }] }`,
    });
    for (const wait of [0, 1_234]) shard.decide({ profile: 'ann', wantMask: WANT.action }, NOON + wait);
    expect(expectOpensAsStated(shard, NOON + 5_000)).toMatchObject({
      stage: 'contactPolicy',
      rule: `cap 2 per ${period} on decision`,
      value: 2,
      threshold: 2,
    });
  });

  it('two caps of one action: the one that opens last', () => {
    const shard = shardOf({
      actions: '{ key: a, channels: [app], valueMinor: 9, caps: [{ count: 1, per: 1h }, { count: 1, per: 3h }] }',
    });
    shard.decide({ profile: 'ann', wantMask: WANT.action }, NOON);
    expect(expectOpensAsStated(shard, NOON + 1)).toMatchObject({
      rule: 'cap 1 per 3h on decision',
      eligibleAgainAtEpochMillis: NOON + 3 * HOUR,
    });
  });

  it.each([
    ['the day the clocks go forward', Date.UTC(2026, 2, 29, 0, 30), Date.UTC(2026, 2, 29, 22)],
    ['the day the clocks go back', Date.UTC(2026, 9, 25, 0, 30), Date.UTC(2026, 9, 25, 23)],
  ])('a cap per day on %s ends with that day', (_what, now, end) => {
    const shard = shardOf({
      timeZone: 'Europe/Berlin',
      actions: '{ key: a, channels: [app], valueMinor: 9, caps: [{ count: 1, per: day }] }',
    });
    shard.decide({ profile: 'ann', wantMask: WANT.action }, now);
    expect(expectOpensAsStated(shard, now + 1).eligibleAgainAtEpochMillis).toBe(end);
  });

  it.each([
    ['an ordinary night', Date.UTC(2026, 5, 10, 21), Date.UTC(2026, 5, 11, 6)],
    ['the night the clocks go forward', Date.UTC(2026, 2, 28, 22), Date.UTC(2026, 2, 29, 6)],
    ['the night the clocks go back', Date.UTC(2026, 9, 24, 21), Date.UTC(2026, 9, 25, 7)],
    ['its second half', Date.UTC(2026, 9, 25, 3, 7, 9), Date.UTC(2026, 9, 25, 7)],
  ])('quiet hours in %s', (_what, now, end) => {
    const shard = shardOf({
      timeZone: 'Europe/Berlin',
      channels: '{ push: { quietHours: "22:00-08:00" } }',
      slots: '{ home: { channels: [push] } }',
      actions: '{ key: a, channels: [push], valueMinor: 9 }',
    });
    const rejection = expectOpensAsStated(shard, now);
    expect(rejection).toMatchObject({
      stage: 'contactPolicy',
      rule: 'quiet hours of push 22:00-08:00',
      threshold: '08:00',
      eligibleAgainAtEpochMillis: end,
    });
    // Asked for the time as well, they move the message and forbid nothing.
    const timed = shard.decide({ profile: 'ann', wantMask: WANT.action | WANT.sendTime, isDryRun: true }, now);
    expect([timed.actions.length, (timed.sendTime?.atEpochMillis ?? 0) >= end]).toEqual([1, true]);
  });

  it('a cap that opens inside quiet hours: at their end', () => {
    const shard = shardOf({
      channels: '{ push: { quietHours: "22:00-08:00" } }',
      slots: '{ home: { channels: [push] } }',
      actions: '{ key: a, channels: [push], valueMinor: 9, caps: [{ count: 1, per: 12h }] }',
    });
    const evening = Date.UTC(2026, 5, 10, 18);
    shard.decide({ profile: 'ann', wantMask: WANT.action }, evening);
    expect(expectOpensAsStated(shard, evening + 1).eligibleAgainAtEpochMillis).toBe(Date.UTC(2026, 5, 11, 8));
  });

  it('several channels: when the first of them opens', () => {
    const shard = shardOf({
      channels: '{ push: { quietHours: "22:00-08:00" }, sms: { caps: [{ count: 1, per: 1h }] } }',
      slots: '{ home: { channels: [push, sms] } }',
      actions: '{ key: a, channels: [push, sms], valueMinor: 9 }',
    });
    const night = Date.UTC(2026, 5, 10, 23);
    expect(shard.decide({ profile: 'ann', wantMask: WANT.action }, night).actions[0]?.channel).toBe('sms');
    expect(expectOpensAsStated(shard, night + 1)).toMatchObject({ eligibleAgainAtEpochMillis: night + HOUR });
  });

  it('a channel cap that this very decision filled: named, with when the next place opens', () => {
    const shard = shardOf({
      channels: '{ push: { caps: [{ count: 2, per: 2h }] } }',
      slots: '{ home: { channels: [push] } }',
      actions:
        '{ key: a, channels: [push], valueMinor: 9 }, { key: b, channels: [push], valueMinor: 9 }, { key: c, channels: [push], valueMinor: 9 }',
    });
    shard.decide({ profile: 'ann', wantMask: WANT.action }, NOON);
    const reply = shard.decide({ ...ACTION_ONLY, count: 3 }, NOON + HOUR);
    expect(reply.actions).toHaveLength(1);
    expect(reply.explain?.rejected.map((r) => r.eligibleAgainAtEpochMillis)).toEqual([
      NOON + 2 * HOUR,
      NOON + 2 * HOUR,
    ]);
    expect(reply.explain?.rejected[0]).toMatchObject({
      rule: 'channel cap 2 per 2h on decision',
      value: 2,
      threshold: 2,
    });
  });

  it.each([
    ['lastSeen("view") > 60.0', NOON + 60_001],
    ['lastSeen("view") >= 60.0', NOON + 60_000],
    ['count("view", "1h") < 1', NOON + HOUR],
    ['sum("view", "worth", "2h") <= 3.0', NOON + 2 * HOUR],
    ['now.hour >= 20', Date.UTC(2026, 5, 10, 20)],
  ])('the clause %s', (clause, at) => {
    const shard = shardOf({ actions: `{ key: a, channels: [app], valueMinor: 9, eligibility: '${clause}' }` });
    shard.track({ profile: 'ann', event: 'view', properties: { worth: 5 } }, NOON);
    const rejection = expectOpensAsStated(shard, NOON + 10);
    expect(rejection).toMatchObject({ stage: 'eligibility', rule: clause, eligibleAgainAtEpochMillis: at });
    expect(rejection.value).not.toBeNull();
    expect(rejection.threshold).not.toBeNull();
  });

  it('what time alone will not open says so: a trait, a budget', () => {
    const byTrait = shardOf({
      traits: 'age: { type: integer }',
      actions: "{ key: a, channels: [app], valueMinor: 9, eligibility: 'profile.age >= 18' }",
    });
    byTrait.identify('ann', { age: 17 }, NOON);
    expect(rejectionOf(byTrait, NOON)).toMatchObject({
      stage: 'eligibility',
      value: 17,
      threshold: 18,
      eligibleAgainAtEpochMillis: null,
    });
    const byBudget = shardOf({ actions: '{ key: a, channels: [app], valueMinor: 9, costMinor: 10, budgetMinor: 15 }' });
    byBudget.decide({ profile: 'bob', wantMask: WANT.action }, NOON);
    expect(rejectionOf(byBudget, NOON)).toMatchObject({
      stage: 'budget',
      rule: 'budgetMinor',
      value: 5,
      threshold: 10,
      eligibleAgainAtEpochMillis: null,
    });
  });
});
