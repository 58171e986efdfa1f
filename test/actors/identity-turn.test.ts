/** Two profiles that turn out to be one person: what becomes of both, once, whatever is lost, and back again. */
import { beforeEach, describe, expect, it } from 'vitest';
import { signpostOf } from '../../actors/identity.ts';
import { IdentityTurn, type JoiningProfile } from '../../actors/identity-turn.ts';
import { HOLDING_LEASES_MAX } from '../../actors/record-layout.ts';
import { isRestricted } from '../../actors/standing.ts';
import { WANT } from '../../decision/pipeline.ts';
import type { Properties } from '../../proto/messages.ts';
import { Request } from '../../proto/request.ts';
import { FAULT, type Fault } from '../../proto/statuses.ts';
import { OneShard } from './one-shard.ts';
import { NOON } from './test-catalog.ts';

const DAY = 86_400_000;
const CATALOG = `version: 1
name: identity
currency: EUR
timeZone: Europe/Berlin
decision: { explorationProbability: 0, holdoutProbability: 0.5 }
identity: { types: { member: { limit: 1 }, device: { limit: 2 } }, keys: 3, unjoinWithin: 7d }
profile:
  additionalTraits: refuse
  traits: { town: { type: string }, age: { type: integer }, loyalty: { type: enum, values: [none, gold] } }
  tags: { keen: { family: behaviour, when: 'count("view", "7d") > 2' } }
channels: { app: {}, push: {} }
slots: { held: { channels: [app] }, home: { channels: [app] }, capped: { channels: [app] } }
products: [{ sku: tea, listMinor: 1000, floorMinor: 700, ceilingMinor: 1500, costMinor: 650, stepMinor: 10, quoteTtlMillis: 3600000 }]
actions:
  - { key: capped, channels: [app], slots: [capped], valueMinor: 10, caps: [{ count: 3, per: 7d, on: decision }] }
  - { key: home, channels: [app], slots: [home], valueMinor: 10 }
  - { key: funded, channels: [app], slots: [held], valueMinor: 10, costMinor: 5, budgetMinor: 1000000 }
`;
const PLAIN = CATALOG.replace('holdoutProbability: 0.5', 'holdoutProbability: 0');

let shard: OneShard;
let turn: IdentityTurn;
beforeEach(() => begin(new OneShard({ catalog: PLAIN })));
function begin(next: OneShard): void {
  shard = next;
  turn = new IdentityTurn(shard.runtime);
}

function open(key: string, now: number): void {
  expect(shard.runtime.openHashed(shard.runtime.hashOf(key), now)).toBeNull();
}
function depart(from: string, to: string, now: number, type: string | null = null): JoiningProfile {
  open(from, now);
  expect(turn.depart(shard.runtime.hashOf(to), type, now)).toBeNull();
  return turn.pack();
}
function arrive(profile: JoiningProfile, to: string, now: number): Fault | null {
  open(to, now);
  return turn.arrive(profile, shard.runtime.index.catalog.identity, now);
}
function settle(from: string, to: string, now: number): void {
  open(from, now);
  expect(turn.settle(shard.runtime.hashOf(to), now)).toBe(true);
}
function join(from: string, to: string, now: number, type: string | null = null): void {
  expect(arrive(depart(from, to, now, type), to, now)).toBeNull();
  settle(from, to, now);
}
/** As the request that a signpost sent on. */
function sentOn(fields: object, to: string): Request {
  const { partition, hashLow, hashHigh } = shard.runtime.hashOf(to);
  return Object.assign(new Request(), fields, { asPartition: partition, asLow: hashLow, asHigh: hashHigh });
}
const decide = (profile: string, slot: string, now: number) =>
  shard.decide({ profile, slot, wantMask: WANT.action }, now);
const view = (profile: string, now: number, messageId = ''): void =>
  expect(shard.track({ profile, event: 'view', messageId }, now)).toBeNull();

describe('joined', () => {
  it('what caps count is counted together, and an id given out before is the person’s still', () => {
    const { decisionId } = decide('visitor', 'capped', NOON);
    decide('visitor', 'capped', NOON + 1);
    decide('customer', 'capped', NOON + 2);
    join('visitor', 'customer', NOON + 3);
    expect(decide('customer', 'capped', NOON + 4).actions).toEqual([]);
    // Given back under the old id, it is free again.
    expect(shard.eventTurn.release(sentOn({ decisionId }, 'customer'), NOON + 5)).toBeNull();
    expect(decide('customer', 'capped', NOON + 6).actions).toHaveLength(1);
    const stranger = decide('stranger', 'capped', NOON + 7).decisionId ?? '';
    expect(shard.eventTurn.release(sentOn({ decisionId: stranger }, 'customer'), NOON + 8)).toBe(FAULT.unknownDecision);
    expect(shard.track({ profile: 'customer', event: 'click', decisionId: stranger }, NOON + 9)).toBe(
      FAULT.malformedId,
    );
  });

  it('a message that either knew counts once, and tags are worked out from what both did', () => {
    view('visitor', NOON, 'm1');
    view('visitor', NOON + 1, 'm2');
    view('customer', NOON + 2, 'm3');
    join('visitor', 'customer', NOON + 3);
    expect(Object.keys(shard.describe('customer', NOON + 4).tags as Properties)).toEqual(['keen']);
    view('customer', NOON + 5, 'm1');
    expect(shard.eventTurn.isDuplicate).toBe(true);
  });

  it('of two quotes the lower price holds, until the later end', () => {
    const asked = { wantMask: WANT.price, sku: 'tea' };
    let lower = 0;
    let later = 0;
    // Prices are drawn by hour: until the two differ.
    for (let hour = 0; hour < 200 && lower === 0; hour++) {
      const [visitor, customer] = [`visitor-${hour}`, `customer-${hour}`];
      const at = NOON + hour * 3_600_000;
      const first = shard.decide({ profile: visitor, ...asked }, at - 1).price;
      const second = shard.decide({ profile: customer, ...asked }, at + 1).price;
      if (first === undefined || second === undefined || first.priceMinor === second.priceMinor) continue;
      join(visitor, customer, at + 2);
      lower = Math.min(first.priceMinor, second.priceMinor);
      later = Math.max(first.expiresAtEpochMillis, second.expiresAtEpochMillis);
      const { price } = shard.decide({ profile: customer, ...asked }, at + 3);
      expect([price?.priceMinor, price?.expiresAtEpochMillis]).toEqual([lower, later]);
    }
    expect(lower).toBeGreaterThan(0);
  });

  it.each([
    ['refused here, granted there', { granted: false }, { granted: true }, false],
    ['granted here, refused there', { granted: true }, { granted: false }, false],
    [
      'granted for long and for short: the short one',
      { granted: true },
      { granted: true, expiresAtEpochMillis: NOON + DAY },
      true,
    ],
  ])('of consent the stricter holds: %s', (_name, visitor, customer, isAllowedAtFirst) => {
    shard.consent('visitor', { measurement: visitor }, NOON);
    shard.consent('customer', { measurement: customer }, NOON + 1);
    join('visitor', 'customer', NOON + 2);
    const allowed = (now: number): unknown =>
      ((shard.describe('customer', now).purposes as Properties).measurement as Properties).allowed;
    expect([allowed(NOON + 3), allowed(NOON + 2 * DAY)]).toEqual([isAllowedAtFirst, false]);
    const { history } = (shard.describe('customer', NOON + 3).purposes as Properties).measurement as {
      history: unknown[];
    };
    expect(history).toHaveLength(1);
  });

  it('refused contact, silence and restriction bind the joined person', () => {
    shard.track({ profile: 'visitor', event: 'unsubscribe', properties: { channel: 'push' } }, NOON);
    shard.consent('visitor', { contact: { mutedUntilEpochMillis: NOON + DAY } }, NOON);
    join('visitor', 'customer', NOON + 1);
    const shown = shard.describe('customer', NOON + 2);
    expect((shown.consent as Properties).contactRefusedChannels).toEqual(['push']);
    expect(JSON.stringify(shown.wishes)).toContain(String(NOON + DAY));
    shard.consent('other', { processing: { granted: false } }, NOON + 3);
    join('other', 'customer', NOON + 4);
    open('customer', NOON + 5);
    expect(isRestricted(shard.runtime.record)).toBe(true);
  });

  it('traits stay as the person has them, and what only the other had is added', () => {
    shard.identify('visitor', { town: 'Rome', age: 30 }, NOON);
    shard.identify('customer', { town: 'Oslo' }, NOON + 1);
    join('visitor', 'customer', NOON + 2);
    expect(shard.describe('customer', NOON + 3).traits).toEqual({ town: 'Oslo', age: 30 });
  });

  it('whoever waits for a state under either key finds it', () => {
    for (let n = 0; n < 5; n++) view('visitor', NOON + n);
    open('visitor', NOON + 9);
    const { stateSeq } = shard.runtime.record;
    join('visitor', 'customer', NOON + 10);
    open('customer', NOON + 11);
    expect(shard.runtime.record.stateSeq).toBeGreaterThan(stateSeq);
  });

  it('nothing flips at login: who was never answered takes the arms of who was, and else keeps their own', () => {
    begin(new OneShard({ catalog: CATALOG }));
    const isHeldOut = (key: string, now: number): boolean => decide(key, 'home', now).actions.length === 0;
    let flips = 0;
    for (let n = 0; n < 40; n++) {
      const [visitor, known, old] = [`v${n}`, `k${n}`, `o${n}`];
      const before = isHeldOut(visitor, NOON + n * 10);
      const alone = shard.decide(
        { profile: known, slot: 'home', wantMask: WANT.action, isDryRun: true },
        NOON + n * 10,
      );
      if (before !== (alone.actions.length === 0)) flips++;
      join(visitor, known, NOON + n * 10 + 1);
      expect(isHeldOut(known, NOON + n * 10 + 2)).toBe(before);
      const own = isHeldOut(old, NOON + n * 10 + 3);
      join(known, old, NOON + n * 10 + 4);
      expect(isHeldOut(old, NOON + n * 10 + 5)).toBe(own);
    }
    // Without it, about half of them would have.
    expect(flips).toBeGreaterThan(10);
  });
});

describe('once', () => {
  it('told twice, before and after a restart, it counts once; memory read back is the same bytes', () => {
    decide('visitor', 'capped', NOON);
    const profile = depart('visitor', 'customer', NOON + 1);
    expect(arrive(profile, 'customer', NOON + 2)).toBeNull();
    const bytes = shard.recordBytes('customer');
    expect(arrive(profile, 'customer', NOON + 3)).toBeNull();
    expect(shard.recordBytes('customer')).toEqual(bytes);
    shard.store.commitNow();
    begin(shard.recovered());
    expect(shard.recordBytes('customer')).toEqual(bytes);
    expect(arrive(profile, 'customer', NOON + 4)).toBeNull();
    expect(shard.recordBytes('customer')).toEqual(bytes);
    // The signpost stands still and says where to, also after the restart.
    open('visitor', NOON + 5);
    expect(signpostOf(shard.runtime.record)).toMatchObject({ hashLow: shard.runtime.hashOf('customer').hashLow });
    const { seq, cold } = turn.pack();
    expect([seq, [...cold]]).toEqual([profile.seq, [...profile.cold]]);
  });

  it('one that was refused stays refused, and who was refused is what they were', () => {
    join('device:1', 'customer', NOON, 'device');
    join('device:2', 'customer', NOON + 1, 'device');
    view('device:3', NOON + 2);
    const profile = depart('device:3', 'customer', NOON + 3, 'device');
    expect(arrive(profile, 'customer', NOON + 4)).toBe(FAULT.tooManyKeys);
    expect(turn.refuse(profile, FAULT.tooManyKeys, NOON + 4)).toBe(true);
    // A limit that was raised meanwhile does not let a late copy in.
    shard.reload(PLAIN.replace('device: { limit: 2 }', 'device: { limit: 9 }').replace('keys: 3', 'keys: 9'));
    expect(arrive(profile, 'customer', NOON + 5)).toBe(FAULT.tooManyKeys);
    open('device:3', NOON + 6);
    expect(turn.cancel(NOON + 6)).toBe(true);
    decide('device:3', 'capped', NOON + 7);
    expect(arrive(depart('device:3', 'customer', NOON + 8, 'device'), 'customer', NOON + 8)).toBeNull();
  });

  it('while it was under way time went on: tags are what they should be when it is refused, and when it is undone', () => {
    const tags = (key: string, now: number): string[] => Object.keys(shard.describe(key, now).tags as Properties);
    for (const key of ['refused', 'undone']) for (let n = 0; n < 3; n++) view(key, NOON + n);
    depart('refused', 'customer', NOON + 5);
    open('refused', NOON + 8 * DAY);
    expect(turn.cancel(NOON + 8 * DAY)).toBe(true);
    expect(tags('refused', NOON + 8 * DAY)).toEqual([]);
    join('undone', 'customer', NOON + 6);
    open('undone', NOON + 8 * DAY);
    expect(turn.restore(NOON + 8 * DAY)).toBe(true);
    expect(tags('undone', NOON + 8 * DAY)).toEqual([]);
  });

  it('three keys at most, whatever their types', () => {
    for (const n of [1, 2, 3]) join(`key-${n}`, 'customer', NOON + n);
    expect(arrive(depart('key-4', 'customer', NOON + 9), 'customer', NOON + 9)).toBe(FAULT.tooManyKeys);
    expect(shard.runtime.message).toBe('alias: a person may be joined from 3 keys at most');
  });

  it('who would hold too much at once is refused for now', () => {
    for (let n = 0; n < HOLDING_LEASES_MAX; n++) decide('visitor', 'held', NOON + n);
    decide('customer', 'held', NOON + 500);
    const profile = depart('visitor', 'customer', NOON + 501);
    expect(arrive(profile, 'customer', NOON + 502)).toBe(FAULT.joining);
  });

  it('a signpost is left alone by time: its offers end with the person who has them', () => {
    decide('visitor', 'held', NOON);
    join('visitor', 'customer', NOON + 1);
    const held = () => shard.ledger.share().reduce((sum, row) => sum + row.held, 0);
    expect(held()).toBe(5);
    shard.advanceTimers(NOON + DAY, 1_000);
    expect(held()).toBe(0);
    shard.advanceTimers(NOON + 2 * DAY, 1_000);
    expect(held()).toBe(0);
  });
});

describe('apart again', () => {
  it('the key has what it had, the other what was its own and came since', () => {
    shard.identify('visitor', { age: 30, town: 'Rome' }, NOON);
    view('visitor', NOON + 1);
    view('visitor', NOON + 2);
    view('visitor', NOON + 3);
    view('customer', NOON + 4);
    join('visitor', 'customer', NOON + 5);
    shard.identify('customer', { town: 'Oslo' }, NOON + 6);
    view('customer', NOON + 7);
    open('visitor', NOON + 8);
    const profile = turn.pack();
    const unjoin = (now: number): Fault | null => {
      open('customer', now);
      return turn.unjoin(profile, now);
    };
    expect(unjoin(NOON + 8)).toBeNull();
    const bytes = shard.recordBytes('customer');
    expect(unjoin(NOON + 9)).toBeNull();
    expect(shard.recordBytes('customer')).toEqual(bytes);
    open('visitor', NOON + 10);
    expect(turn.restore(NOON + 10)).toBe(true);
    const count = (key: string): unknown =>
      (shard.describe(key, NOON + 11).counters as { event: string; count: number }[]).find(
        (one) => one.event === 'view',
      )?.count;
    expect([count('visitor'), count('customer')]).toEqual([3, 2]);
    expect(shard.describe('visitor', NOON + 12).traits).toEqual({ age: 30, town: 'Rome' });
    // Changed since: the person's own. Not changed since: gone.
    expect(shard.describe('customer', NOON + 12).traits).toEqual({ town: 'Oslo' });
    expect(Object.keys(shard.describe('visitor', NOON + 12).tags as Properties)).toEqual(['keen']);
    expect(Object.keys(shard.describe('customer', NOON + 12).tags as Properties)).toEqual([]);
    shard.store.commitNow();
    const again = shard.recovered();
    expect(again.recordBytes('visitor')).toEqual(shard.recordBytes('visitor'));
    expect(again.recordBytes('customer')).toEqual(shard.recordBytes('customer'));
  });

  it('what open offers hold stays with the other, and is held once', () => {
    decide('visitor', 'held', NOON);
    join('visitor', 'customer', NOON + 1);
    open('visitor', NOON + 2);
    const profile = turn.pack();
    open('customer', NOON + 2);
    expect(turn.unjoin(profile, NOON + 2)).toBeNull();
    open('visitor', NOON + 3);
    expect(turn.restore(NOON + 3)).toBe(true);
    shard.advanceTimers(NOON + DAY, 1_000);
    expect(shard.ledger.share().reduce((sum, row) => sum + row.held, 0)).toBe(0);
  });

  it('after the time the catalog gives it is too late', () => {
    join('visitor', 'customer', NOON);
    open('visitor', NOON + 1);
    const profile = turn.pack();
    open('customer', NOON + 8 * DAY);
    expect(turn.refusalToPart(profile, shard.runtime.index.catalog.identity, NOON + 8 * DAY)).toBe(FAULT.unjoinTooLate);
    expect(turn.refusalToPart(profile, shard.runtime.index.catalog.identity, NOON + 6 * DAY)).toBeNull();
  });

  it('of a key that came with another only what the person has from there goes, and none of their own', () => {
    shard.identify('a', { town: 'Rome', age: 30 }, NOON);
    shard.identify('c', { town: 'Rome' }, NOON);
    join('a', 'b', NOON + 1);
    join('b', 'c', NOON + 2);
    open('a', NOON + 3);
    const profile = turn.pack();
    open('c', NOON + 3);
    expect(turn.partingOf(profile)).toMatchObject({ along: [], above: [shard.runtime.hashOf('b')], isAhead: false });
    expect(turn.unjoin(profile, NOON + 3)).toBeNull();
    expect(shard.describe('c', NOON + 4).traits).toEqual({ town: 'Rome' });
    open('b', NOON + 5);
    expect(turn.letGo(profile, NOON + 5)).toBeNull();
    expect(turn.restore(NOON + 6)).toBe(true);
    expect(shard.describe('b', NOON + 7)).toMatchObject({ traits: {} });
    expect(shard.describe('b', NOON + 7).keys).toBeUndefined();
  });

  it('keys that came with one leave with it', () => {
    join('a', 'b', NOON);
    join('b', 'c', NOON + 1);
    open('b', NOON + 2);
    const profile = turn.pack();
    open('c', NOON + 2);
    expect(turn.partingOf(profile)).toMatchObject({ along: [shard.runtime.hashOf('a')], above: [] });
    expect(turn.unjoin(profile, NOON + 2)).toBeNull();
    expect(shard.describe('c', NOON + 3).keys).toBeUndefined();
  });
});
