/** What events teach, to whom they count, and what becomes of leases. */
import { beforeEach, describe, expect, it } from 'vitest';
import { EFFECT, Effect, EVENT, EVENT_FLAG } from '../../actors/effect.ts';
import { FIELD } from '../../actors/record-layout.ts';
import { WANT } from '../../decision/pipeline.ts';
import type { Plain } from '../../proto/messages.ts';
import { FAULT } from '../../proto/statuses.ts';
import { type Fields, OneShard } from './one-shard.ts';
import { COFFEE, catalogText, NOON } from './test-catalog.ts';

const DAY = 86_400_000;
const CATALOG = catalogText({
  actions: '{ key: a, channels: [app], valueMinor: 9 }, { key: b, channels: [app], valueMinor: 8 }',
  products: COFFEE,
});
let shard: OneShard;
beforeEach(() => {
  shard = new OneShard({ catalog: CATALOG });
});

function decided(fields: Fields = {}, now = NOON): { id: string; action: string; probability: number } {
  const reply = shard.decide({ profile: 'ann', wantMask: WANT.action, ...fields }, now);
  const [row] = reply.actions;
  return { id: reply.decisionId ?? '', action: row?.action ?? '', probability: row?.responseProbability ?? Number.NaN };
}
function track(event: string, decisionId = '', fields: Fields = {}, now = NOON): void {
  expect(shard.track({ profile: 'ann', event, decisionId, ...fields }, now)).toBeNull();
}
/** Names of what the journal's events taught so far, in order. */
function lessons(): string[] {
  const entry = new Effect();
  const names: string[] = [];
  const batch = shard.store.readJournal({ epoch: 1, stream: 0, batch: shard.store.openBatch }) ?? new Uint8Array(0);
  for (let offset = 0; offset >= 0 && offset < batch.length; ) {
    offset = entry.load(batch, offset);
    if (entry.type !== EFFECT.event) continue;
    const flags = entry.getU32(EVENT.flags);
    for (const name of ['trial', 'response', 'trialWithResponse', 'quote', 'purchase', 'sendTime'] as const) {
      if (flags & EVENT_FLAG[name]) names.push(name);
    }
  }
  return names;
}
const priceState = (): Plain =>
  shard.decide({ profile: 'zoe', wantMask: 2, sku: 'coffee', isExplain: true, isDryRun: true }, NOON).explain?.price ??
  null;

describe('learning', () => {
  it('a click is known to the very next decision, of somebody else too', () => {
    const before = decided({ profile: 'bob', actions: ['a'] }).probability;
    const { id } = decided({ actions: ['a'] });
    track('click', id);
    expect(decided({ actions: ['a'] }).probability).toBeGreaterThan(before);
    expect(decided({ profile: 'bob', actions: ['a'] }).probability).toBeGreaterThan(before);
  });

  it('an impression without a response lowers the probability', () => {
    const first = decided({ actions: ['a'] });
    track('impression', first.id);
    expect(decided({ actions: ['a'] }).probability).toBeLessThan(first.probability);
  });

  it('impression twice counts once, and so do two clicks', () => {
    const { id } = decided();
    for (const event of ['impression', 'impression', 'dismiss', 'click', 'click', 'conversion']) track(event, id);
    expect(lessons().filter((name) => name !== 'sendTime')).toEqual(['trial', 'response']);
  });

  it('a click before its impression is one trial with a response', () => {
    const { id } = decided();
    track('click', id);
    track('impression', id);
    expect(lessons().filter((name) => name !== 'sendTime')).toEqual(['trialWithResponse']);
  });

  it('the two orders leave the same knowledge', () => {
    const weightsAfter = (events: readonly string[]): Float64Array => {
      shard = new OneShard({ catalog: CATALOG });
      const { id } = decided({ actions: ['a'] });
      for (const event of events) track(event, id);
      return Float64Array.from(shard.models.response.weights);
    };
    const early = weightsAfter(['click', 'impression']);
    const late = weightsAfter(['impression', 'click']);
    let apart = 0;
    let moved = 0;
    const prior = new OneShard({ catalog: CATALOG }).models.response.weights;
    for (let i = 0; i < early.length; i++) {
      apart = Math.max(apart, Math.abs((early[i] as number) - (late[i] as number)));
      moved = Math.max(moved, Math.abs((early[i] as number) - (prior[i] as number)));
    }
    // Linearised at slightly different points, so alike and not equal.
    expect(moved).toBeGreaterThan(0.01);
    expect(apart).toBeLessThan(moved / 4);
  });

  it('being seen is about all actions of a decision, a response about one', () => {
    const { id } = decided({ count: 2 });
    track('impression', id);
    expect(lessons()).toEqual(['trial', 'trial']);
    track('click', id, { properties: { action: 'b' } });
    expect(lessons()).toEqual(['trial', 'trial', 'response', 'sendTime']);
    const entry = shard.runtime.effect;
    expect(entry.getU32(EVENT.actionHash)).toBe(shard.runtime.index.catalog.actionByKey.get('b')?.hash);
  });

  it('a quote shown and bought teaches demand once, however many actions came with it', () => {
    const { id } = decided({ count: 2, wantMask: 3, sku: 'coffee' });
    const before = priceState();
    track('impression', id);
    expect(lessons().filter((name) => name === 'quote')).toHaveLength(1);
    expect(priceState()).not.toEqual(before);
    for (const action of ['a', 'b']) track('purchase', id, { quoteId: id, properties: { action } });
    expect(lessons().filter((name) => name === 'purchase' || name === 'quote')).toEqual(['quote', 'purchase']);
  });

  it('a purchase names its quote alone: demand is taught, and the decision with it', () => {
    const { id } = decided({ wantMask: 2, sku: 'coffee' });
    track('purchase', '', { quoteId: id, properties: { items: [{ sku: 'coffee', quantity: 3 }] } });
    expect(lessons()).toEqual(expect.arrayContaining(['quote', 'purchase']));
    expect(shard.runtime.effect.getF64(EVENT.quantity)).toBe(3);
  });

  it.each(['refund', 'view', 'contact', 'anything'])('%s teaches nothing, with a decision or without', (event) => {
    const { id } = decided({ wantMask: 3, sku: 'coffee' });
    const weights = Float64Array.from(shard.models.response.weights);
    track(event, id);
    track(event);
    expect(lessons()).toEqual([]);
    expect(Buffer.compare(Buffer.from(shard.models.response.weights.buffer), Buffer.from(weights.buffer))).toBe(0);
  });

  it('the reward window: attributed seven days later to the millisecond, not one after', () => {
    const inTime = decided();
    track('click', inTime.id, {}, NOON + 7 * DAY);
    expect(lessons()).toContain('trialWithResponse');
    shard = new OneShard({ catalog: CATALOG });
    const late = decided({ wantMask: 3, sku: 'coffee' });
    track('purchase', late.id, {}, NOON + 7 * DAY + 1);
    expect(lessons()).toEqual(['sendTime']);
    // An event that happened in time and came late counts by its own time.
    track('click', late.id, { atEpochMillis: NOON + DAY }, NOON + 8 * DAY);
    expect(lessons()).toContain('trialWithResponse');
  });

  it('an outcome on another channel than the decision’s teaches the decision’s', () => {
    shard = new OneShard({
      catalog: catalogText({
        channels: '{ app: {}, push: {} }',
        actions: '{ key: a, channels: [app], valueMinor: 9 }',
      }),
    });
    const { id } = decided();
    track('click', id, { properties: { channel: 'push' } });
    expect(shard.runtime.effect.getU32(EVENT.channelHash)).toBe(
      shard.runtime.index.catalog.channelByKey.get('app')?.hash,
    );
  });

  it('recovery teaches the same again, bit for bit', () => {
    for (let n = 0; n < 60; n++) {
      const { id } = decided({ profile: `p${n % 7}`, count: 1 + (n % 2), wantMask: 3, sku: 'coffee' }, NOON + n);
      const event = ['impression', 'click', 'purchase', 'dismiss'][n % 4] as string;
      expect(shard.track({ profile: `p${n % 7}`, event, decisionId: id }, NOON + n)).toBeNull();
      if (n % 9 === 0) shard.store.commitNow();
    }
    shard.store.commitNow();
    const next = shard.recovered();
    expect(
      Buffer.from(next.models.response.weights.buffer).equals(Buffer.from(shard.models.response.weights.buffer)),
    ).toBe(true);
    expect(next.models.snapshot().demand).toEqual(shard.models.snapshot().demand);
    expect(next.models.snapshot().weeks).toEqual(shard.models.snapshot().weeks);
    expect(next.models.snapshot().zones).toEqual(shard.models.snapshot().zones);
  });
});

describe('purchase cycle', () => {
  const cycle = (): number[] => {
    shard.recordBytes('ann');
    const { record } = shard.runtime;
    return [record.getU16(FIELD.purchases), record.getF64(FIELD.lastPurchaseAt), record.getF64(FIELD.decayedLogGaps)];
  };
  const gaps = (): number[] => [...(shard.models.snapshot().gaps.get(0) ?? [])];

  it('purchases: each occasion is a step, two within an hour are one, and so is one told late', () => {
    track('purchase');
    expect([cycle(), gaps()]).toEqual([[1, NOON, 0], []]);
    track('purchase', '', {}, NOON + 3_599_999);
    expect(cycle()).toEqual([1, NOON, 0]);
    track('purchase', '', {}, NOON + 3 * DAY);
    const three = Math.fround(Math.log(3));
    expect(cycle()[0]).toBe(2);
    expect(cycle()[2]).toBeCloseTo(three, 6);
    expect(gaps()[0]).toBe(1);
    expect(gaps()[1]).toBeCloseTo(three, 6);
    expect(gaps()[2]).toBeCloseTo(three * three, 6);
    // A clock that has gone back.
    track('purchase', '', {}, NOON + 2 * DAY);
    expect(cycle().slice(0, 2)).toEqual([2, NOON + 3 * DAY]);
    track('purchase', '', {}, NOON + 8 * DAY);
    expect(cycle()[2]).toBeCloseTo(0.9 * three + Math.log(5), 6);
    track('click', '', {}, NOON + 9 * DAY);
    expect(cycle()[0]).toBe(3);
  });

  it('recovery: the same cycle and the same gaps of everybody, bit for bit', () => {
    for (const day of [0, 3, 4, 11]) track('purchase', '', {}, NOON + day * DAY);
    const [before, everybody] = [cycle(), gaps()];
    shard.store.commitNow();
    shard = shard.recovered();
    expect([cycle(), gaps()]).toEqual([before, everybody]);
  });

  it('decide: waits for the day it is due when the channel may look ahead, and not when it may not', () => {
    for (const sendWithin of ['1d', '6d']) {
      shard = new OneShard({
        catalog: catalogText({
          channels: `{ app: { sendWithin: ${sendWithin}, waitingLossPerDay: 0 } }`,
          actions: '{ key: a, channels: [app], valueMinor: 9 }',
        }),
      });
      for (let n = 0; n < 30; n++) track('purchase', '', {}, NOON + n * 7 * DAY);
      const now = NOON + (29 * 7 + 1) * DAY;
      const times: number[] = [];
      // One in twenty explores.
      for (let n = 0; n < 9; n++) {
        const { sendTime } = shard.decide({ profile: 'ann', wantMask: WANT.sendTime, channel: 'app' }, now);
        times.push((sendTime?.atEpochMillis ?? 0) - now);
      }
      const median = times.toSorted((a, b) => a - b)[4] as number; // nine
      if (sendWithin === '1d') expect(median).toBeLessThanOrEqual(DAY);
      else expect(median).toBeGreaterThan(2 * DAY);
    }
  });
});

describe('attribution', () => {
  it('an outcome of another profile’s decision is refused, by whichever id it comes', () => {
    const own = decided().id;
    const other = decided({ profile: 'bob' }).id;
    for (const ids of [
      { decisionId: other },
      { quoteId: other },
      { decisionId: other, quoteId: own },
      { decisionId: own, quoteId: other },
    ]) {
      expect(shard.track({ profile: 'ann', event: 'click', ...ids }, NOON)).toEqual(FAULT.malformedId);
    }
    expect(lessons()).toEqual([]);
    expect(shard.track({ profile: 'ann', event: 'click', decisionId: own, quoteId: own }, NOON)).toBeNull();
  });

  it.each(['x', 'A'.repeat(19), `${'A'.repeat(19)}!`])('an id that is none of ours is refused: %j', (id) => {
    expect(shard.track({ profile: 'ann', event: 'click', decisionId: id }, NOON)).toEqual(FAULT.malformedId);
    expect(shard.track({ profile: 'ann', event: 'click', quoteId: id }, NOON)).toEqual(FAULT.malformedId);
    expect(shard.confirm(id, NOON)).toEqual(FAULT.malformedId);
    expect(shard.release(id, NOON)).toEqual(FAULT.malformedId);
  });

  it('messageId: applied once, over a restart too, and another profile’s same id is its own', () => {
    const message = { event: 'view', messageId: 'm-1' };
    expect(shard.track({ profile: 'ann', ...message }, NOON)).toBeNull();
    expect(shard.eventTurn.isDuplicate).toBe(false);
    const bytes = shard.recordBytes('ann');
    for (let n = 0; n < 2; n++) {
      shard.track({ profile: 'ann', ...message }, NOON + n);
      expect(shard.eventTurn.isDuplicate).toBe(true);
      expect(shard.recordBytes('ann')).toEqual(bytes);
      shard.store.commitNow();
      shard = shard.recovered();
    }
    shard.track({ profile: 'bob', ...message }, NOON);
    expect(shard.eventTurn.isDuplicate).toBe(false);
  });
});

describe('leases', () => {
  const codeOf = (fault: ReturnType<OneShard['confirm']>): number => fault?.code ?? 0;

  it('confirm and release: repeating is harmless, the other one is refused', () => {
    const [one, two] = [decided().id, decided().id];
    expect([shard.confirm(one, NOON), shard.confirm(one, NOON)]).toEqual([null, null]);
    expect(codeOf(shard.release(one, NOON))).toBe(FAULT.leaseConfirmed.code);
    expect([shard.release(two, NOON), shard.release(two, NOON)]).toEqual([null, null]);
    expect(codeOf(shard.confirm(two, NOON))).toBe(FAULT.leaseEnded.code);
    expect(shard.runtime.stats).toMatchObject({ leasesOpened: 2, leasesConfirmed: 1, leasesReleased: 1 });
  });

  it('expiry: at its instant a lease has ended, a millisecond before it has not', () => {
    const [one, two] = [decided().id, decided().id];
    expect(shard.confirm(one, NOON + 119_999)).toBeNull();
    expect(codeOf(shard.confirm(two, NOON + 120_000))).toBe(FAULT.leaseEnded.code);
    expect(codeOf(shard.release(two, NOON + 120_000))).toBe(FAULT.leaseEnded.code);
  });

  it('a decision that is not kept is unknown, and so is one of a profile never heard of', () => {
    const { id } = decided();
    shard = new OneShard({ catalog: CATALOG });
    expect(codeOf(shard.confirm(id, NOON))).toBe(FAULT.unknownDecision.code);
    expect(shard.runtime.profiles.count).toBe(0);
  });

  it('every lease granted is confirmed, released, expired or open, also where old ones give way', () => {
    const ids = Array.from({ length: 100 }, (_, n) => decided({ count: 1 + (n % 2) }, NOON + n).id);
    for (const [n, id] of ids.slice(90).entries())
      expect(n % 2 === 0 ? shard.confirm(id, NOON + 200) : shard.release(id, NOON + 200)).toBeNull();
    const { leases } = shard.describe('ann', NOON + 200).calendar as { leases: { state: string }[] }; // shaped by `describe`
    const open = leases.filter(({ state }) => state === 'open').length;
    const { leasesOpened, leasesConfirmed, leasesReleased, leasesExpired } = shard.runtime.stats;
    expect([leasesOpened, leasesConfirmed > 0, leasesReleased > 0]).toEqual([150, true, true]);
    expect(leasesOpened).toBe(leasesConfirmed + leasesReleased + leasesExpired + open);
  });

  it('confirm ends all leases of a decision of several actions', () => {
    const { id } = decided({ count: 2 });
    shard.confirm(id, NOON);
    const { leases } = shard.describe('ann', NOON).calendar as { leases: { state: string }[] }; // shaped by `describe`
    expect(leases.map(({ state }) => state)).toEqual(['confirmed', 'confirmed']);
  });
});
