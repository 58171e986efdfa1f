/** Activation, passivation, checkpoints and what a reload of the catalog does to records. */
import { describe, expect, it } from 'vitest';
import { FIELD } from '../../actors/record-layout.ts';
import { FAULT } from '../../proto/statuses.ts';
import { readBase, readCheckpoint, writeCheckpoint } from '../../workers/recovery.ts';
import { createLedgerMemory } from '../../workers/shared-ledger.ts';
import { hex } from './memory-store.ts';
import { OneShard } from './one-shard.ts';
import { COFFEE, catalogText, NOON } from './test-catalog.ts';

const ACTIONS =
  '{ key: a, channels: [app], valueMinor: 9, costMinor: 10, budgetMinor: 5000, caps: [{ count: 3, per: day }] }';
const CATALOG = catalogText({ actions: ACTIONS, traits: 'age: { type: integer }, city: { type: string }' });
const names = (count: number): string[] => Array.from({ length: count }, (_, n) => `p${n}`);
const bytesOf = (shard: OneShard, profiles: readonly string[]): string[] =>
  profiles.map((name) => hex(shard.recordBytes(name)));
function sweepAll(shard: OneShard, now: number): void {
  for (let n = 0; n < 40; n++) shard.runtime.sweep(now);
}

describe('passivation', () => {
  it('idle profiles leave memory at their time and come back byte for byte', () => {
    const shard = new OneShard({ catalog: CATALOG, idleMillis: 60_000 });
    const profiles = names(50);
    for (const profile of profiles) shard.decide({ profile, wantMask: 1 }, NOON);
    const before = bytesOf(shard, profiles);
    sweepAll(shard, NOON + 60_000);
    expect(shard.runtime.profiles.count).toBe(50);
    sweepAll(shard, NOON + 60_001);
    expect([shard.runtime.profiles.count, shard.runtime.slab.usedSlots]).toEqual([0, 0]);
    expect(bytesOf(shard, profiles)).toEqual(before);
    expect(shard.runtime.stats).toMatchObject({ passivations: 50, activations: 50, profilesCreated: 50 });
    // Uncommitted until now: the store showed its own puts.
    expect(shard.disk.records.size).toBe(0);
  });

  it('above the memory limit new profiles still get in, and nothing of the old ones is lost', () => {
    const limit = 320 * 1024; // the index of 1,000 profiles over 256 partitions takes most of it
    const shard = new OneShard({ catalog: CATALOG, memoryBytesMax: limit });
    const profiles = names(1_000);
    for (const [n, profile] of profiles.entries()) {
      shard.track({ profile, event: 'view', messageId: 'm' }, NOON + n);
      if (n % 10 === 0) shard.runtime.sweep(NOON + n);
    }
    expect(shard.runtime.slab.usedBytes + shard.runtime.profiles.bytes).toBeLessThanOrEqual(limit);
    expect(shard.runtime.stats.passivations).toBeGreaterThan(100);
    for (const profile of profiles) {
      shard.track({ profile, event: 'view', messageId: 'm' }, NOON + 2_000);
      expect(shard.eventTurn.isDuplicate).toBe(true);
    }
  });

  it('memory reserved stays within a chunk of the limit when records grow from class to class', () => {
    const limit = 7 * 1024 * 1024;
    const shard = new OneShard({ catalog: CATALOG, memoryBytesMax: limit });
    let reservedMax = 0;
    for (let n = 0; n < 120_000; n++) {
      // Few messages for most and many for some, in waves: one class shrinks while another grows.
      const profile = `p${(n * 7919) % 30_000}`;
      const wave = Math.floor(n / 30_000);
      for (let k = 0; k < (n % 10 < wave ? 3 : 1); k++) {
        expect(shard.track({ profile, event: 'view', messageId: `m${n}-${k}` }, NOON + n)).toBeNull();
      }
      if (n % 100 === 0) shard.runtime.sweep(NOON + n);
      if (n % 1_000 === 0) shard.store.commitNow();
      reservedMax = Math.max(reservedMax, shard.runtime.slab.reservedBytes);
    }
    expect(shard.runtime.stats.passivations).toBeGreaterThan(2_000);
    // One chunk more while another is being cleared; without clearing it is two here, and grows with every wave.
    expect(reservedMax).toBeLessThanOrEqual(limit + 1024 * 1024);
  }, 60_000);

  it('a limit that holds no profile at all is RESOURCE_EXHAUSTED, not a crash', () => {
    const shard = new OneShard({ catalog: CATALOG, memoryBytesMax: 0 });
    expect(shard.tryDecide({ profile: 'ann' }, NOON)).toEqual(FAULT.memoryFull);
    expect(shard.runtime.message).toContain('memory limit');
  });

  it('a profile that was only looked at is not written', () => {
    const shard = new OneShard({ catalog: CATALOG, idleMillis: 1 });
    shard.decide({ profile: 'ann', isDryRun: true }, NOON);
    shard.describe('bob', NOON);
    sweepAll(shard, NOON + 10);
    shard.store.commitNow();
    expect([shard.runtime.profiles.count, shard.disk.records.size, shard.disk.journal.size]).toEqual([0, 0, 0]);
  });

  it('leases of stored records end after a start by the timers alone', () => {
    const shard = new OneShard({ catalog: CATALOG });
    for (const profile of names(5)) shard.decide({ profile, wantMask: 1 }, NOON);
    shard.store.commitNow();
    shard.checkpoint();
    shard.disk.journal.clear();
    const next = shard.recovered({ ledgerMemory: createLedgerMemory(1) });
    expect(next.ledger.share()[0]?.held).toBe(50);
    expect(next.runtime.profiles.count).toBe(0);
    for (const bytes of shard.disk.records.values()) next.runtime.watchStored(bytes);
    next.advanceTimers(NOON + 122_000, 100);
    expect(next.ledger.share()).toEqual([]);
  });
});

describe('checkpoints', () => {
  it('one begun over an unfinished one still writes all it claims', () => {
    const shard = new OneShard({ catalog: CATALOG });
    const profiles = names(300);
    for (const profile of profiles) shard.decide({ profile, wantMask: 1 }, NOON);
    shard.store.commitNow();
    shard.runtime.beginCycle();
    shard.runtime.writeRecords(96);
    shard.decide({ profile: 'late', wantMask: 1 }, NOON);
    shard.store.commitNow();
    expect(shard.runtime.dirtyCount).toBe(300 - 96 + 1);
    // What stopping does: begin again, write everything, say so.
    shard.checkpoint();
    const before = bytesOf(shard, [...profiles, 'late']);
    shard.disk.journal.clear();
    expect(bytesOf(shard.recovered({ ledgerMemory: createLedgerMemory(1) }), [...profiles, 'late'])).toEqual(before);
    expect(readBase(shard.store)).toEqual({ epoch: 1, streams: 1 });
    expect(readCheckpoint(shard.store, 1, 0)?.ledger[0]).toMatchObject({ held: 3010, spent: 0 });
  });

  it('entries that the records hold already are not applied again', () => {
    const shard = new OneShard({ catalog: CATALOG });
    for (let n = 0; n < 3; n++) shard.track({ profile: 'ann', event: 'view' }, NOON);
    shard.store.commitNow();
    shard.checkpoint();
    const next = new OneShard({ catalog: CATALOG, disk: shard.disk, epoch: 2 });
    expect(next.recover()).toBe(0);
    expect(bytesOf(next, ['ann'])).toEqual(bytesOf(shard, ['ann']));
  });

  it('with another number of shards every ledger share has one heir, and every entry one owner', () => {
    const ledgerMemory = createLedgerMemory(2);
    const two = [0, 1].map((shard) => new OneShard({ catalog: CATALOG, shard, shards: 2, ledgerMemory }));
    const disk = two[0]?.disk;
    const second = new OneShard({
      catalog: CATALOG,
      shard: 1,
      shards: 2,
      ledgerMemory,
      ...(disk === undefined ? {} : { disk }),
    });
    const first = two[0] as OneShard;
    for (const [n, profile] of names(60).entries())
      (n % 2 === 0 ? first : second).decide({ profile: `${n % 2}${profile}`, wantMask: 1 }, NOON);
    for (const one of [first, second]) one.store.commitNow();
    for (const [stream, one] of [first, second].entries()) {
      writeCheckpoint(one.store, 1, stream, { batch: one.store.openBatch, ledger: one.ledger.share() });
      one.runtime.beginCycle();
      one.runtime.writeRecords(1000);
      one.store.commitNow();
    }
    first.checkpoint();
    expect(first.ledger.freeAmount(first.subjects[0]?.subjectHash ?? 0)).toBe(5_000 - 600);
    for (const shards of [1, 3]) {
      const memory = createLedgerMemory(shards);
      const heirs = Array.from(
        { length: shards },
        (_, shard) =>
          new OneShard({ catalog: CATALOG, disk: first.disk, epoch: 2, shard, shards, ledgerMemory: memory }),
      );
      for (const heir of heirs) heir.recover();
      expect(heirs[0]?.ledger.freeAmount(first.subjects[0]?.subjectHash ?? 0)).toBe(5_000 - 600);
    }
  });
});

describe('catalog reload', () => {
  it('traits: slots are derived anew, caps and counters stay', () => {
    const shard = new OneShard({ catalog: CATALOG });
    shard.identify('ann', { age: 30, city: 'Bonn' }, NOON);
    for (let n = 0; n < 3; n++) shard.decide({ profile: 'ann', wantMask: 1 }, NOON);
    shard.reload(
      catalogText({
        actions: ACTIONS.replace('caps', 'eligibility: \'profile.age == 30 && profile.city == "Bonn"\', caps'),
        traits: 'tier: { type: enum, values: [low, high] }, city: { type: string }, age: { type: integer }',
      }),
    );
    const reply = shard.decide({ profile: 'ann', wantMask: 1, isExplain: true }, NOON);
    expect(reply.explain?.rejected[0]).toMatchObject({ stage: 'contactPolicy', value: 3 });
    expect(shard.describe('ann', NOON).traits).toEqual({ age: 30, city: 'Bonn' });
  });

  it('a wider window forgets nothing it needs: moments stay until their place is wanted', () => {
    const shard = new OneShard({
      catalog: catalogText({ actions: '{ key: a, channels: [app], valueMinor: 9, caps: [{ count: 1, per: 1h }] }' }),
    });
    const { decisionId } = shard.decide({ profile: 'ann', wantMask: 1 }, NOON);
    shard.confirm(decisionId ?? '', NOON);
    shard.reload(catalogText({ actions: '{ key: a, channels: [app], valueMinor: 9, caps: [{ count: 1, per: 8h }] }' }));
    expect(shard.decide({ profile: 'ann', wantMask: 1 }, NOON + 7_000_000).actions).toEqual([]);
  });

  it('a time zone nobody knows is refused', () => {
    const shard = new OneShard({ catalog: CATALOG });
    const { index } = shard.runtime;
    expect(() =>
      shard.runtime.setCatalog(
        Object.assign(Object.create(Object.getPrototypeOf(index)), index, {
          catalog: { ...index.catalog, timeZone: 'Mars/Olympus' },
        }),
      ),
    ).toThrow(/time zone/);
  });
});

describe('profile', () => {
  it('describe: traits, counters, caps, leases, refusals and the timeline, newest first', () => {
    const shard = new OneShard({
      catalog: catalogText({
        actions: ACTIONS.replace('caps', 'eligibility: \'count("view", "1h") >= 0\', caps'),
        products: COFFEE,
        traits: 'age: { type: integer }',
      }),
    });
    shard.identify('ann', { age: 30 }, NOON);
    shard.track({ profile: 'ann', event: 'view', properties: { page: 'home' } }, NOON + 1);
    const { decisionId } = shard.decide({ profile: 'ann', wantMask: 3, sku: 'coffee' }, NOON + 2);
    shard.track({ profile: 'ann', event: 'click', decisionId: decisionId ?? '' }, NOON + 3);
    shard.track({ profile: 'ann', event: 'unsubscribe', properties: { channel: 'app' } }, NOON + 4);
    const record = shard.describe('ann', NOON + 5);
    expect(record).toMatchObject({
      traits: { age: 30 },
      consent: { contactRefusedChannels: ['app'], personalisation: true },
      counters: [{ event: 'view', windowMillis: 3_600_000, count: 1, lastSeenSeconds: 0.004 }],
      calendar: {
        timeZone: 'UTC',
        caps: [{ action: 'a', cap: '3 per day on decision', used: 1, limit: 3 }],
        leases: [{ decisionId, action: 'a', state: 'confirmed' }],
      },
      createdAtEpochMillis: NOON,
      lastTurnAtEpochMillis: NOON + 4,
      stateSeq: 5,
    });
    const timeline = record.timeline as { type: string; event?: string }[]; // rows of `describeEntry`
    expect(timeline.map(({ type, event }) => event ?? type)).toEqual([
      'unsubscribe',
      'click',
      'decision',
      'view',
      'identify',
    ]);
    expect(shard.runtime.record.getF64(FIELD.contactRefusedAt)).toBe(0);
  });

  it.each([
    ['undeclared', { hat: 1 }],
    ['__proto__', JSON.parse('{"__proto__": 1}') as { hat: number }],
    ['a text for an integer', { age: '30' }],
    ['a fraction for an integer', { age: 1.5 }],
    ['NaN', { age: Number.NaN }],
    ['below the minimum', { age: -1 }],
    ['above the maximum', { age: 131 }],
    ['a map for a string', { city: {} }],
    ['a long text', { city: 'x'.repeat(4097) }],
    ['no time zone', { timeZone: 'Mars/Olympus' }],
  ])('identify: refuses %s, and takes none of the other traits', (_what, traits) => {
    const shard = new OneShard({
      catalog: catalogText({
        actions: ACTIONS,
        traits: 'age: { type: integer, min: 0, max: 130 }, city: { type: string }, ok: { type: boolean }',
      }),
    });
    expect(shard.identify('ann', { ok: true, ...traits }, NOON)).toEqual(FAULT.invalidTrait);
    expect(shard.runtime.message).toMatch(/^identify\.traits\./);
    expect(shard.describe('ann', NOON).traits).toEqual({});
  });

  it.each([0, 130])('identify: takes %d at the bound, and null takes a trait away', (age) => {
    const shard = new OneShard({
      catalog: catalogText({ actions: ACTIONS, traits: 'age: { type: integer, min: 0, max: 130 }' }),
    });
    expect(shard.identify('ann', { age }, NOON)).toBeNull();
    expect(shard.describe('ann', NOON).traits).toEqual({ age });
    expect(shard.runtime.record.trait(1)).toBe(age);
    shard.identify('ann', { age: null }, NOON);
    expect([shard.describe('ann', NOON).traits, shard.runtime.record.trait(1)]).toEqual([{}, Number.NaN]);
  });
});
