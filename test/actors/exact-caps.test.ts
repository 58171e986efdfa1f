/**
 * Caps, budgets and stock against naive bookkeeping: thousands of random steps of deciding, confirming,
 * releasing, waiting and sweeping, with windows of every kind. Local days are read from `Intl` here and
 * from the zone table there, so the two cannot share a mistake about summer time.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stockSubject } from '../../actors/ports.ts';
import { HOLDING_LEASES_MAX } from '../../actors/record-layout.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import { partitionOfKey } from '../../proto/partition.ts';
import { FAULT } from '../../proto/statuses.ts';
import { createLedgerMemory } from '../../workers/shared-ledger.ts';
import { OneShard } from './one-shard.ts';
import { COFFEE, catalogText, NOON } from './test-catalog.ts';

const DAY = 86_400_000;
const LEASE = 600_000;

type GrantState = 'open' | 'confirmed' | 'released' | 'expired';
interface Grant {
  readonly id: string;
  readonly profile: string;
  readonly action: string;
  readonly at: number;
  readonly expiresAt: number;
  state: GrantState;
}

class Bookkeeper {
  readonly grants: Grant[] = [];

  expire(now: number): void {
    for (const grant of this.grants) if (grant.state === 'open' && grant.expiresAt <= now) grant.state = 'expired';
  }
  counted(profile: string, isInside: (at: number) => boolean, action?: string): number {
    return this.grants.filter(
      (g) =>
        g.profile === profile &&
        (action === undefined || g.action === action) &&
        (g.state === 'open' || g.state === 'confirmed') &&
        isInside(g.at),
    ).length;
  }
  /** What confirm or release must answer, and what becomes of the decision's grants. */
  end(id: string, to: 'confirmed' | 'released'): boolean {
    const own = this.grants.filter((g) => g.id === id);
    const state = own[0]?.state;
    if (state === to) return true;
    if (state !== 'open') return false;
    for (const grant of own) grant.state = to;
    return true;
  }
}

function insideOf(period: string, timeZone: string, now: number): (at: number) => boolean {
  const hours = /^(\d+)h$/.exec(period)?.[1];
  if (hours !== undefined) return (at) => at > now - Number(hours) * 3_600_000;
  const format = new Intl.DateTimeFormat('en-CA', { timeZone, dateStyle: 'short' });
  const dayNumber = (at: number): number => Date.parse(`${format.format(at)}T00:00:00Z`) / DAY;
  const unit = period === 'day' ? dayNumber : (at: number): number => Math.floor((dayNumber(at) + 3) / 7);
  return (at) => unit(at) === unit(now);
}

const step = fc.record({
  kind: fc.constantFrom('decide', 'decide', 'decide', 'decide', 'confirm', 'confirm', 'release', 'timers'),
  profile: fc.constantFrom('ann', 'bob'),
  count: fc.constantFrom(1, 2, 3),
  pick: fc.nat(12),
  wait: fc.oneof(fc.constantFrom(0, 1, LEASE - 1, LEASE, LEASE + 1, 3_600_000), fc.nat(4 * 3_600_000)),
});

/** Noon before the clocks go forward, and back, in Berlin; and in Beirut, where midnight itself is skipped. */
const CALENDARS: readonly (readonly [string, number])[] = [
  ['Europe/Berlin', Date.UTC(2026, 2, 28, 12)],
  ['Europe/Berlin', Date.UTC(2026, 9, 24, 12)],
  ['Asia/Beirut', Date.UTC(2026, 2, 28, 12)],
  ['Asia/Shanghai', NOON],
];

describe('caps', () => {
  it.each(
    ['24h', '1h', 'day', 'week'].flatMap((period) => CALENDARS.map(([zone, start]) => [period, zone, start] as const)),
  )('cap of 3 per %s in %s from %d: exactly 3 over random steps', (period, timeZone, start) => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 50, maxLength: 120, size: 'max' }), (steps) => {
        const text = catalogText({
          timeZone,
          leaseMillis: LEASE,
          actions: `{ key: a, channels: [app], valueMinor: 1, caps: [{ count: 3, per: ${period} }] }`,
        });
        let shard = new OneShard({ catalog: text });
        const books = new Bookkeeper();
        let now = start;
        steps.forEach((s, n) => {
          now += s.wait;
          books.expire(now);
          if (s.kind === 'decide') {
            const used = books.counted(s.profile, insideOf(period, timeZone, now));
            const reply = shard.decide({ profile: s.profile, count: s.count, wantMask: 1 }, now);
            expect(reply.actions.length).toBe(used < 3 ? 1 : 0);
            if (reply.actions.length > 0 && reply.decisionId !== null) {
              books.grants.push({
                id: reply.decisionId,
                profile: s.profile,
                action: 'a',
                at: now,
                expiresAt: now + LEASE,
                state: 'open',
              });
            }
          } else if (s.kind === 'timers') {
            shard.advanceTimers(now, 1_000);
          } else {
            const grant = books.grants.at(-1 - s.pick);
            if (grant === undefined) return;
            // A lease that ended long ago is not kept: then the answer is that it is unknown.
            const isFine = books.end(grant.id, s.kind === 'confirm' ? 'confirmed' : 'released');
            const fault = s.kind === 'confirm' ? shard.confirm(grant.id, now) : shard.release(grant.id, now);
            if (fault?.code !== FAULT.unknownDecision.code) expect(fault === null).toBe(isFine);
          }
          // A restart in the middle changes nothing.
          if (n % 40 === 39) {
            shard.store.commitNow();
            shard = shard.recovered({ ledgerMemory: createLedgerMemory(1) });
          }
        });
      }),
      { numRuns: 8 },
    );
  });

  it('channel cap: holds over all actions of a channel, and inside one decision of several', () => {
    const text = catalogText({
      leaseMillis: LEASE,
      channels: '{ app: {}, push: { caps: [{ count: 4, per: 24h }] } }',
      actions:
        '{ key: a, channels: [push], valueMinor: 9, caps: [{ count: 2, per: 1h }] }, { key: b, channels: [push], valueMinor: 5 }, { key: c, channels: [push], valueMinor: 3 }',
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 80, size: 'max' }), (steps) => {
        const shard = new OneShard({ catalog: text });
        const books = new Bookkeeper();
        let now = NOON;
        for (const s of steps) {
          now += s.wait;
          books.expire(now);
          if (s.kind === 'decide') {
            const left = 4 - books.counted(s.profile, insideOf('24h', 'UTC', now));
            const isAOpen = books.counted(s.profile, insideOf('1h', 'UTC', now), 'a') < 2;
            const reply = shard.decide({ profile: s.profile, count: s.count, wantMask: 1 }, now);
            expect(reply.actions.length).toBe(Math.min(s.count, left, isAOpen ? 3 : 2));
            if (!isAOpen) expect(reply.actions.map(({ action }) => action)).not.toContain('a');
            for (const { action } of reply.actions) {
              const id = reply.decisionId ?? '';
              books.grants.push({ id, profile: s.profile, action, at: now, expiresAt: now + LEASE, state: 'open' });
            }
          } else if (s.kind !== 'timers') {
            const grant = books.grants.at(-1 - s.pick);
            if (grant === undefined) continue;
            const isFine = books.end(grant.id, s.kind === 'confirm' ? 'confirmed' : 'released');
            const fault = s.kind === 'confirm' ? shard.confirm(grant.id, now) : shard.release(grant.id, now);
            if (fault?.code !== FAULT.unknownDecision.code) expect(fault === null).toBe(isFine);
          }
        }
      }),
      { numRuns: 10 },
    );
  });

  it("channel cap: taking back a decision frees its own channel's place when two fell on one millisecond", () => {
    const text = catalogText({
      channels: '{ app: { caps: [{ count: 1, per: 24h }] }, push: { caps: [{ count: 1, per: 24h }] } }',
      actions: '{ key: a, channels: [app, push], valueMinor: 1 }',
    });
    const shard = new OneShard({ catalog: text });
    const onApp = shard.decide({ profile: 'ann', channel: 'app', wantMask: 1 }, NOON);
    const onPush = shard.decide({ profile: 'ann', channel: 'push', wantMask: 1 }, NOON);
    expect([onApp.actions[0]?.channel, onPush.actions[0]?.channel]).toEqual(['app', 'push']);
    expect(shard.release(onPush.decisionId ?? '', NOON)).toBeNull();
    expect(shard.decide({ profile: 'ann', channel: 'app', wantMask: 1 }, NOON + 1).actions).toEqual([]);
    expect(shard.decide({ profile: 'ann', channel: 'push', wantMask: 1 }, NOON + 1).actions).toHaveLength(1);
  });

  it('cap on impression: counts impressions by their own time, not decisions', () => {
    const text = catalogText({
      actions: '{ key: a, channels: [app], valueMinor: 1, caps: [{ count: 1, per: 1h, on: impression }] }',
    });
    const shard = new OneShard({ catalog: text });
    const { decisionId } = shard.decide({ profile: 'ann', wantMask: 1 }, NOON);
    expect(shard.decide({ profile: 'ann', wantMask: 1 }, NOON).actions).toHaveLength(1);
    const late = { profile: 'ann', event: 'impression', decisionId: decisionId ?? '', atEpochMillis: NOON + 1_000 };
    shard.track(late, NOON + 3_000_000);
    expect(shard.decide({ profile: 'ann', wantMask: 1 }, NOON + 3_600_999).actions).toEqual([]);
    expect(shard.decide({ profile: 'ann', wantMask: 1 }, NOON + 3_601_000).actions).toHaveLength(1);
  });
});

describe('budgets and stock', () => {
  const BUDGET = 1_050;
  const COST = 100;
  const text = catalogText({
    leaseMillis: LEASE,
    products: COFFEE.replace('quoteTtl', 'stock: 7, quoteTtl'),
    actions: `{ key: a, channels: [app], valueMinor: 500, costMinor: ${COST}, budgetMinor: ${BUDGET} }`,
  });
  const subject = murmur3Text('a', 0);
  const stock = stockSubject(murmur3Text('coffee', 0));

  it('two shards on one memory: granted = confirmed + released + expired + open, never above the limit', () => {
    const shared = fc.record({
      kind: fc.constantFrom('decide', 'decide', 'decide', 'confirm', 'release', 'purchase', 'timers', 'crash'),
      shard: fc.constantFrom(0, 1),
      profile: fc.nat(5),
      wantsPrice: fc.boolean(),
      pick: fc.nat(8),
      wait: fc.constantFrom(0, 0, 0, 2_000, 30_000, LEASE),
    });
    // A shard recovers its own partitions only.
    const names = [0, 1].map((shard) =>
      Array.from({ length: 40 }, (_, i) => `p${i}`).filter((name) => partitionOfKey(name) % 2 === shard),
    );
    fc.assert(
      fc.property(fc.array(shared, { minLength: 20, maxLength: 150, size: 'max' }), (steps) => {
        const ledgerMemory = createLedgerMemory(2);
        const open = (shard: number): OneShard => new OneShard({ catalog: text, shard, shards: 2, ledgerMemory });
        const shards = [open(0), open(1)];
        interface Lease {
          readonly id: string;
          readonly shard: number;
          readonly profile: string;
          readonly at: number;
          readonly hasAction: boolean;
          /** `held` a unit, `sold` it, or `none`. */
          unit: 'held' | 'sold' | 'none';
          state: GrantState;
        }
        const leases: Lease[] = [];
        let now = NOON;
        const budgetTaken = (): number =>
          COST * leases.filter((l) => l.hasAction && (l.state === 'open' || l.state === 'confirmed')).length;
        const stockTaken = (): number => leases.filter((l) => l.unit !== 'none').length;
        const expireOf = (isOne: (l: Lease) => boolean): void => {
          for (const lease of leases.filter((l) => isOne(l) && l.at + LEASE <= now)) {
            if (lease.state === 'open') lease.state = 'expired';
            if (lease.unit === 'held') lease.unit = 'none';
          }
        };
        for (const s of steps) {
          now += s.wait;
          const shard = shards[s.shard] as OneShard;
          const profile = names[s.shard]?.[s.profile] ?? '';
          // A turn ends the due leases of its own profile; the others' end with the timers.
          if (s.kind === 'decide') {
            // What they give back is free once that is on disk: for the next turn, not for this one.
            const hasRoom = budgetTaken() + COST <= BUDGET;
            const hasUnit = s.wantsPrice && stockTaken() < 7;
            expireOf((l) => l.profile === profile);
            const reply = shard.decide({ profile, wantMask: s.wantsPrice ? 3 : 1, sku: 'coffee' }, now);
            expect(reply.actions.length).toBe(hasRoom ? 1 : 0);
            expect((reply.price?.quoteId ?? null) !== null).toBe(hasUnit);
            leases.push({
              id: reply.decisionId ?? '',
              shard: s.shard,
              profile,
              at: now,
              hasAction: hasRoom,
              unit: hasUnit ? 'held' : 'none',
              state: 'open',
            });
          } else if (s.kind === 'timers') {
            // The wheel goes by whole seconds: a second and a half later, what was due now has surely ended.
            shard.advanceTimers(now + 1_500, 1_000);
            expireOf((l) => l.shard === s.shard);
          } else if (s.kind === 'crash') {
            shard.store.commitNow();
            shards[s.shard] = shard.recovered();
          } else {
            const lease = leases.filter((l) => l.hasAction || l.unit !== 'none').at(-1 - s.pick);
            if (lease === undefined || (s.kind === 'purchase' && lease.unit !== 'held')) continue;
            expireOf((l) => l.profile === lease.profile);
            const own = shards[lease.shard] as OneShard;
            if (s.kind === 'purchase') {
              const properties = { items: [{ sku: 'coffee', quantity: 1 }] };
              // Past its lease the unit is taken without asking: it has been sold.
              own.track({ profile: lease.profile, event: 'purchase', decisionId: lease.id, properties }, now);
              lease.unit = 'sold';
              if (lease.state === 'open') lease.state = 'confirmed';
            } else if (s.kind === 'confirm') {
              if (own.confirm(lease.id, now) === null && lease.state === 'open') lease.state = 'confirmed';
            } else if (own.release(lease.id, now) === null && lease.state === 'open') {
              lease.state = 'released';
              if (lease.unit === 'held') lease.unit = 'none';
            }
          }
          const free = (shards[0] as OneShard).ledger.freeAmount(subject);
          expect(free).toBe(BUDGET - budgetTaken());
          expect(free).toBeGreaterThanOrEqual(0);
          expect((shards[1] as OneShard).ledger.freeAmount(stock)).toBe(7 - stockTaken());
          const rows = shards.flatMap((one) => one.ledger.share()).filter((row) => row.subjectHash === subject);
          const [held, spent] = [rows.reduce((n, r) => n + r.held, 0), rows.reduce((n, r) => n + r.spent, 0)];
          expect(held).toBe(COST * leases.filter((l) => l.hasAction && l.state === 'open').length);
          expect(spent).toBe(COST * leases.filter((l) => l.hasAction && l.state === 'confirmed').length);
        }
      }),
      { numRuns: 10 },
    );
  });

  it('a unit held by a price without an action comes back when its lease expires', () => {
    const shard = new OneShard({ catalog: text });
    const quotes = Array.from({ length: 8 }, (_, i) =>
      shard.decide({ profile: `p${i}`, wantMask: 2, sku: 'coffee' }, NOON),
    );
    expect(quotes.map((reply) => reply.price?.quoteId === null)).toEqual([...Array(7).fill(false), true]);
    shard.advanceTimers(NOON + LEASE + 2_000, 100);
    expect(shard.ledger.share()).toEqual([]);
    expect(shard.ledger.freeAmount(stock)).toBe(7);
  });

  it('a purchase takes as many units as were bought, whoever held one, and only once a message', () => {
    const shard = new OneShard({ catalog: text });
    const { decisionId } = shard.decide({ profile: 'ann', wantMask: 3, sku: 'coffee' }, NOON);
    const items = [{ sku: 'coffee', quantity: 2 }, { sku: 'coffee' }, { sku: 'unheard-of', quantity: 9 }];
    const purchase = { profile: 'ann', event: 'purchase', decisionId: decisionId ?? '', messageId: 'm' };
    for (let n = 0; n < 3; n++) shard.track({ ...purchase, properties: { items } }, NOON + n);
    expect(shard.ledger.freeAmount(stock)).toBe(4);
    // About a decision that priced nothing, and about none: taken all the same.
    const plain = shard.decide({ profile: 'bob', wantMask: 1 }, NOON);
    shard.track({ profile: 'bob', event: 'purchase', decisionId: plain.decisionId ?? '', properties: { items } }, NOON);
    expect(shard.ledger.freeAmount(stock)).toBe(1);
  });

  it('a cost above 2^32 comes back whole', () => {
    const large = catalogText({
      leaseMillis: LEASE,
      actions: '{ key: a, channels: [app], valueMinor: 500, costMinor: 500000000000, budgetMinor: 1000000000000 }',
    });
    const shard = new OneShard({ catalog: large });
    for (const profile of ['ann', 'bob']) expect(shard.decide({ profile, wantMask: 1 }, NOON).actions).toHaveLength(1);
    expect(shard.decide({ profile: 'cid', wantMask: 1 }, NOON).actions).toEqual([]);
    shard.advanceTimers(NOON + LEASE + 2_000, 10);
    expect(shard.ledger.freeAmount(subject)).toBe(1_000_000_000_000);
  });

  it('one profile holding all it may, in one lease after another and then 32 at once, gives all of it back', () => {
    const many = Array.from(
      { length: 32 },
      (_, i) => `{ key: a${i}, channels: [app], valueMinor: 5, costMinor: 1, budgetMinor: 100000 }`,
    ).join(',');
    const shard = new OneShard({
      catalog: catalogText({
        leaseMillis: LEASE,
        actions: many,
        products: COFFEE.replace('quoteTtl', 'stock: 1000, quoteTtl'),
      }),
    });
    for (let n = 1; n < HOLDING_LEASES_MAX; n++) {
      expect(shard.decide({ profile: 'ann', wantMask: 3, sku: 'coffee' }, NOON).actions).toHaveLength(1);
    }
    expect(shard.decide({ profile: 'ann', count: 32, wantMask: 3, sku: 'coffee' }, NOON).actions).toHaveLength(32);
    const full = shard.decide({ profile: 'ann', wantMask: 3, sku: 'coffee', isExplain: true }, NOON);
    expect([full.actions.length, full.price?.quoteId]).toEqual([0, null]);
    expect(full.explain?.rejected[0]).toMatchObject({ stage: 'contactPolicy', rule: 'openLeases' });
    expect(shard.ledger.share()).not.toEqual([]);
    shard.advanceTimers(NOON + LEASE + 2_000, 1_000);
    expect(shard.ledger.share()).toEqual([]);
  });

  it('a channel cap alone also bounds what one profile may hold', () => {
    const shard = new OneShard({
      catalog: catalogText({
        leaseMillis: LEASE,
        channels: '{ app: { caps: [{ count: 1000, per: 24h }] } }',
        actions: '{ key: a, channels: [app], valueMinor: 5 }',
      }),
    });
    let granted = 0;
    for (let n = 0; n < 990; n++) granted += shard.decide({ profile: 'ann', wantMask: 1 }, NOON).actions.length;
    expect(granted).toBe(HOLDING_LEASES_MAX);
  });
});
