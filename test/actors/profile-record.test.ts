/** The record's sections against plain objects, through every size class, and its way to disk and back. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProfileIndex } from '../../actors/profile-index.ts';
import { ProfileRecord } from '../../actors/profile-record.ts';
import {
  ENDED_LEASES_MAX,
  FIELD,
  HEADER_BYTES,
  HOLDING_LEASES_MAX,
  IDLE_LEASES_MAX,
  LEASE,
  LEASE_BYTES,
  MESSAGE_BYTES,
  MESSAGE_MEMORY_MILLIS,
  MESSAGES_MAX,
  MOMENT_BYTES,
  MOMENTS_MAX,
  migrateRecord,
  QUOTE_BYTES,
  QUOTES_MAX,
  STANDING,
  TRAIT_BYTES,
} from '../../actors/record-layout.ts';
import { NO_HANDLE, RECORD_BYTES_MAX, SIZE_CLASSES, Slab } from '../../actors/slab.ts';
import { MOMENT } from '../../decision/catalog.ts';
import { CATALOG_LIMITS } from '../../workers/catalog/catalog-limits.ts';

const NOW = 1_790_000_000_000;
const keepAll = (): number => Number.POSITIVE_INFINITY;

function newRecord(traits = 3): ProfileRecord {
  const record = new ProfileRecord(new Slab(), new ProfileIndex());
  record.create(9, 111, 222, 333, traits, 444, NOW);
  return record;
}
function bytesOf(record: ProfileRecord): Uint8Array {
  return record.u8.slice(record.base, record.base + record.usedBytes);
}
function reloaded(record: ProfileRecord): ProfileRecord {
  const copy = new ProfileRecord(new Slab(), new ProfileIndex());
  copy.load(bytesOf(record));
  return copy;
}

interface Model {
  traits: number[];
  moments: { kind: number; subject: number; at: number; amount: number }[];
  quotes: Map<number, { priceMinor: number; expiresAt: number }>;
  leases: { seq: number; state: number; costMinor: number }[];
  messages: string[];
}
function observed(record: ProfileRecord): Model {
  const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
  const quotes: Model['quotes'] = new Map();
  for (const i of range(record.quoteCount)) {
    quotes.set(record.quoteSku(i), { priceMinor: record.quotePriceMinor(i), expiresAt: record.quoteExpiresAt(i) });
  }
  return {
    traits: range(record.traitCount).map((i) => record.trait(i)),
    moments: range(record.momentCount).map((i) => ({
      kind: record.momentKind(i),
      subject: record.momentSubject(i),
      at: record.momentAt(i),
      amount: record.momentAmount(i),
    })),
    quotes,
    leases: range(record.leaseCount).map((i) => ({
      seq: record.leaseU32(i, LEASE.decisionSeq),
      state: record.leaseU8(i, LEASE.state),
      costMinor: record.leaseCostMinor(i),
    })),
    messages: [],
  };
}

type Step =
  | { kind: 'moment'; subject: number; momentKind: number; amount: number }
  | { kind: 'withdraw'; pick: number }
  | { kind: 'quote'; sku: number; priceMinor: number; ttl: number }
  | { kind: 'lease'; costMinor: number }
  | { kind: 'unlease'; pick: number }
  | { kind: 'endLease'; pick: number; state: number }
  | { kind: 'message' }
  | { kind: 'trait'; slot: number; value: number }
  | { kind: 'resize'; count: number }
  | { kind: 'reload' };
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('moment' as const),
      subject: fc.constantFrom(0, 1, 0xffff_ffff),
      momentKind: fc.constantFrom(MOMENT.event, MOMENT.decision, STANDING.refusal),
      amount: fc.constantFrom(0, 1.5, 0xffff_ffff),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('withdraw' as const), pick: fc.nat() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('quote' as const),
      sku: fc.integer({ min: 0, max: QUOTES_MAX + 4 }),
      priceMinor: fc.nat(),
      ttl: fc.constantFrom(-1, 0, 1_000, 9_000),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('lease' as const),
      costMinor: fc.constantFrom(0, 1, 0xffff_ffff, 0x1_0000_0000, 1_000_000_000_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('unlease' as const), pick: fc.nat() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('endLease' as const),
      pick: fc.nat(),
      state: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('message' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('trait' as const),
      slot: fc.nat(),
      value: fc.constantFrom(0, -1, Number.NaN, 1e300),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('resize' as const), count: fc.constantFrom(0, 1, 3, 40, 128) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reload' as const) }) },
);

describe('profile record', () => {
  it('sections: agree with plain objects under random operations, resizes and reloads', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 400 }), (steps) => {
        let record = newRecord();
        const model: Model = {
          traits: [Number.NaN, Number.NaN, Number.NaN],
          moments: [],
          quotes: new Map(),
          leases: [],
          messages: [],
        };
        steps.forEach((s, n) => {
          const now = NOW + n * 1000;
          if (s.kind === 'moment') {
            record.addMoment(s.momentKind, s.subject, now, s.amount, now, keepAll);
            model.moments.push({ kind: s.momentKind, subject: s.subject, at: now, amount: s.amount });
          } else if (s.kind === 'withdraw' && model.moments.length > 0) {
            const [gone] = model.moments.splice(s.pick % model.moments.length, 1);
            if (gone === undefined) throw new Error('picked one that is not there');
            expect(record.withdrawMoment(gone.kind, gone.subject, gone.at, gone.amount)).toBe(true);
            expect(record.withdrawMoment(gone.kind, gone.subject, gone.at, gone.amount)).toBe(false);
          } else if (s.kind === 'quote') {
            if (!model.quotes.has(s.sku)) {
              for (const [sku, q] of [...model.quotes]) if (q.expiresAt <= now) model.quotes.delete(sku);
              if (model.quotes.size >= QUOTES_MAX) {
                const soonest = Math.min(...[...model.quotes.values()].map((q) => q.expiresAt));
                const victims = [...model.quotes].filter(([, q]) => q.expiresAt === soonest).map(([sku]) => sku);
                record.setQuote(s.sku, s.priceMinor, now + s.ttl, n % 2 === 0, now);
                const gone = victims.filter((sku) => record.findQuote(sku) < 0);
                expect(gone).toHaveLength(1);
                model.quotes.delete(gone[0] as number);
              }
            }
            record.setQuote(s.sku, s.priceMinor, now + s.ttl, n % 2 === 0, now);
            model.quotes.set(s.sku, { priceMinor: s.priceMinor, expiresAt: now + s.ttl });
          } else if (s.kind === 'lease') {
            const i = record.addLease();
            expect(i).toBe(model.leases.length);
            record.setLeaseU32(i, LEASE.decisionSeq, n);
            record.setLeaseCostMinor(i, s.costMinor);
            model.leases.push({ seq: n, state: 0, costMinor: s.costMinor });
          } else if (s.kind === 'unlease' && model.leases.length > 0) {
            record.removeLease(s.pick % model.leases.length);
            model.leases.splice(s.pick % model.leases.length, 1);
          } else if (s.kind === 'endLease' && model.leases.length > 0) {
            const i = s.pick % model.leases.length;
            record.setLeaseU8(i, LEASE.state, s.state);
            const lease = model.leases[i];
            if (lease !== undefined) lease.state = s.state;
          } else if (s.kind === 'message') {
            record.addMessage(n, n ^ 0xffff, now);
            model.messages.push(`${n}:${n ^ 0xffff}`);
          } else if (s.kind === 'trait' && model.traits.length > 0) {
            record.setTrait(s.slot % model.traits.length, s.value);
            model.traits[s.slot % model.traits.length] = s.value;
          } else if (s.kind === 'resize') {
            record.resizeTraits(s.count, s.count + 1);
            model.traits = Array.from({ length: s.count }, () => Number.NaN);
            expect(record.getU32(FIELD.traitSchema)).toBe(s.count + 1);
          } else if (s.kind === 'reload') record = reloaded(record);
          expect(record.usedBytes).toBeLessThanOrEqual(record.slotBytes);
        });
        expect(observed(record)).toEqual({ ...model, messages: [] });
        for (const id of model.messages) {
          const [low, high] = id.split(':').map(Number);
          expect(record.hasMessage(low as number, high as number)).toBe(true);
        }
        expect(record.hasMessage(0xdead, 0xbeef)).toBe(false);
        expect([record.partition, record.hashLow, record.hashHigh, record.hashCheck]).toEqual([9, 111, 222, 333]);
        expect(record.index.find(9, 111, 222)).toBe(record.handle);
        expect(record.slab.usedSlots).toBe(1);
      }),
      { numRuns: 80 },
    );
  });

  it('growth: goes through every size class without losing a byte', () => {
    const record = newRecord(0);
    const seen = new Set<number>();
    for (let n = 0; record.usedBytes + LEASE_BYTES <= 65_536; n++) {
      seen.add(record.slotBytes);
      if (n % 3 === 0 && record.momentCount < MOMENTS_MAX) {
        record.addMoment(MOMENT.decision, n, NOW + n, n, NOW, keepAll);
      } else if (n % 3 === 1 && record.messageCount < MESSAGES_MAX) record.addMessage(n, n, NOW);
      else record.setLeaseU32(record.addLease(), LEASE.decisionSeq, n);
    }
    expect([...seen]).toEqual(SIZE_CLASSES.filter((bytes) => bytes >= 256));
    const back = reloaded(record);
    expect(bytesOf(back)).toEqual(bytesOf(record));
    expect(() => {
      for (let n = 0; n < 3; n++) record.addLease();
    }).toThrow(RangeError);
  });

  it('trimming: the same bytes come out whether the record was read back in between or not', () => {
    const change = fc.record({
      kind: fc.constantFrom('moment', 'moment', 'message', 'unlease', 'lease', 'reload'),
      wait: fc.constantFrom(0, 1_000, 400_000, MESSAGE_MEMORY_MILLIS),
    });
    fc.assert(
      fc.property(fc.array(change, { minLength: 50, maxLength: 300, size: 'max' }), (changes) => {
        const lasting = newRecord(0);
        let restarted = newRecord(0);
        let now = NOW;
        changes.forEach(({ kind, wait }, n) => {
          now += wait;
          for (const record of [lasting, restarted]) {
            if (kind === 'moment') record.addMoment(MOMENT.event, n % 3, now, n, now, () => 500_000);
            else if (kind === 'message') record.addMessage(n, n, now);
            else if (kind === 'lease') record.addLease();
            else if (kind === 'unlease' && record.leaseCount > 0) record.removeLease(0);
          }
          if (kind === 'reload') restarted = reloaded(restarted);
        });
        expect(bytesOf(reloaded(restarted))).toEqual(bytesOf(reloaded(lasting)));
      }),
      { numRuns: 40 },
    );
  });

  it('messages: the ring keeps the newest 1024 and no more, at 1023, 1024 and 1025', () => {
    const record = newRecord();
    for (let n = 1; n <= 1023; n++) record.addMessage(n, n, NOW);
    expect([record.messageCount, record.hasMessage(1, 1)]).toEqual([1023, true]);
    record.addMessage(1024, 1024, NOW);
    expect([record.messageCount, record.hasMessage(1, 1)]).toEqual([1024, true]);
    record.addMessage(1025, 1025, NOW);
    expect(record.messageCount).toBe(1024);
    expect([1, 2, 1024, 1025].map((n) => record.hasMessage(n, n))).toEqual([false, true, true, true]);
    const back = reloaded(record);
    for (let n = 1026; n <= 3000; n++) back.addMessage(n, n, NOW);
    expect([1976, 1977, 3000].map((n) => back.hasMessage(n, n))).toEqual([false, true, true]);
    expect(back.messageCount).toBe(1024);
  });

  it('messages: an id is kept for seven days, and forgotten only when its place is wanted', () => {
    const record = newRecord(0);
    record.addMessage(1, 1, NOW);
    const later = NOW + MESSAGE_MEMORY_MILLIS;
    for (let n = 2; n < 200; n++) record.addMessage(n, n, later);
    expect(record.hasMessage(1, 1)).toBe(true);
    for (let n = 200; n < 400; n++) record.addMessage(n, n, later + 2_000);
    expect([record.hasMessage(1, 1), record.hasMessage(2, 2)]).toEqual([false, true]);
  });

  it('moments: what has outlived its use is dropped before the record moves to a larger slot', () => {
    const record = newRecord(0);
    for (let n = 0; n < 3; n++) record.addMoment(MOMENT.event, 5, NOW + n, 0, NOW, () => 1000);
    record.addMoment(STANDING.refusal, 6, NOW, 0, NOW, () => 1000);
    const slotBytes = record.slotBytes;
    // One that does not fit into the class of the bytes in use.
    while (record.usedBytes + MOMENT_BYTES <= slotBytes) record.addMoment(MOMENT.event, 5, NOW, 0, NOW, () => 1000);
    const before = record.momentCount;
    record.addMoment(MOMENT.event, 5, NOW + 2000, 0, NOW + 2000, (kind) =>
      kind === STANDING.refusal ? Infinity : 1000,
    );
    expect(before).toBeGreaterThan(3);
    expect(
      observed(record)
        .moments.map((m) => m.kind)
        .sort(),
    ).toEqual([MOMENT.event, STANDING.refusal]);
    expect(record.slotBytes).toBe(slotBytes);
  });

  /**
   * What a cap may lean on: for every window, no fewer moments of an action (and of a channel) are counted
   * than were added, once older ones are joined.
   */
  it('moments: joining past the bound never lets a cap open early', () => {
    const added = fc.record({
      subject: fc.integer({ min: 1, max: 3 }),
      channel: fc.constantFrom(7, 8),
      gap: fc.integer({ min: 0, max: 50 }),
    });
    fc.assert(
      fc.property(fc.array(added, { minLength: 1, maxLength: 60 }), fc.nat(1200), (pattern, extra) => {
        const record = newRecord(0);
        const all: { subject: number; channel: number; at: number }[] = [];
        let now = NOW;
        for (let n = 0; n < MOMENTS_MAX + extra; n++) {
          const { subject, channel, gap } = pattern[n % pattern.length] as (typeof pattern)[number];
          now += gap;
          record.addMoment(MOMENT.decision, subject, now, channel, now, keepAll);
          all.push({ subject, channel, at: now });
        }
        expect(record.momentCount).toBeLessThanOrEqual(MOMENTS_MAX);
        for (const window of [0, 100, 5_000, 20_000, 1e9]) {
          for (const subject of [1, 2, 3]) {
            for (const channel of [7, 8]) {
              let counted = 0;
              for (let i = 0; i < record.momentCount; i++) {
                const isOne = record.momentSubject(i) === subject && record.momentAmount(i) === channel;
                if (isOne && record.momentAt(i) > now - window) counted += record.momentTimes(i);
              }
              const wanted = all.filter((m) => m.subject === subject && m.channel === channel && m.at > now - window);
              expect(counted).toBeGreaterThanOrEqual(wanted.length);
            }
          }
        }
      }),
      { numRuns: 6 },
    );
  });

  it('moments: where no two are alike the oldest event gives way, not what a cap counts or a refusal', () => {
    const record = newRecord(0);
    record.addMoment(STANDING.refusal, 1, NOW - 5_000, 0, NOW, keepAll);
    for (let n = 0; n < 500; n++) record.addMoment(MOMENT.decision, 10_000 + n, NOW - 4_000, 7, NOW, keepAll);
    for (let n = 0; n < 523; n++) record.addMoment(MOMENT.event, 20_000 + n, NOW + n, 0, NOW, keepAll);
    expect(record.momentCount).toBe(MOMENTS_MAX);
    record.addMoment(MOMENT.decision, 30_000, NOW, 7, NOW, keepAll);
    const { moments } = observed(record);
    expect(moments).toHaveLength(MOMENTS_MAX);
    expect(moments.filter((m) => m.kind === MOMENT.decision)).toHaveLength(501);
    expect(moments.filter((m) => m.kind === STANDING.refusal)).toHaveLength(1);
    expect(moments.some((m) => m.subject === 20_000)).toBe(false);
    expect(moments.some((m) => m.subject === 20_001)).toBe(true);
  });

  it('moments: an event joined with another keeps the sum of both amounts', () => {
    const record = newRecord(0);
    for (let n = 0; n < MOMENTS_MAX + 10; n++) record.addMoment(MOMENT.event, 5, NOW + n, 2, NOW + n, keepAll);
    let [count, sum] = [0, 0];
    for (let i = 0; i < record.momentCount; i++) {
      count += record.momentTimes(i);
      sum += record.momentAmount(i);
    }
    expect([count, sum]).toEqual([MOMENTS_MAX + 10, 2 * (MOMENTS_MAX + 10)]);
  });

  it('load: what means nothing on disk is reset, and the index finds the record', () => {
    const record = newRecord();
    record.setU32(FIELD.dirtySinceBatch, 77);
    record.u8[record.base + FIELD.swept] = 1;
    record.u8[record.base + FIELD.faults] = 1;
    record.setU16(FIELD.zone, 5);
    const back = reloaded(record);
    expect([
      back.getU32(FIELD.dirtySinceBatch),
      back.u8[back.base + FIELD.swept],
      back.u8[back.base + FIELD.faults],
      back.getU16(FIELD.zone),
    ]).toEqual([0, 0, 0, 0]);
    expect(back.index.find(9, 111, 222)).toBe(back.handle);
    back.drop();
    expect([back.index.find(9, 111, 222), back.slab.usedSlots, back.handle]).toEqual([NO_HANDLE, 0, NO_HANDLE]);
  });
});

describe('record layout', () => {
  function full(): Uint8Array {
    const record = newRecord(2);
    record.setTrait(1, 42);
    record.addMoment(MOMENT.event, 5, NOW, 1, NOW, keepAll);
    record.setQuote(6, 700, NOW + 1, false, NOW);
    record.setLeaseU32(record.addLease(), LEASE.decisionSeq, 3);
    record.addMessage(8, 9, NOW);
    return bytesOf(record);
  }
  /** The prototype's layout: the same without what the header has from `contactRefusedAt` on. */
  function layout0(bytes: Uint8Array): Uint8Array {
    const old = new Uint8Array(bytes.length - (HEADER_BYTES - FIELD.contactRefusedAt));
    old.set(bytes.subarray(0, FIELD.contactRefusedAt));
    old.set(bytes.subarray(HEADER_BYTES), FIELD.contactRefusedAt);
    old[0] = 0;
    return old;
  }

  it('migrateRecord: takes layout 0 to the same record with contact allowed', () => {
    expect(migrateRecord(layout0(full()))).toEqual(full());
    const empty = bytesOf(newRecord(0));
    expect(layout0(empty)).toHaveLength(144);
    expect(migrateRecord(layout0(empty))).toEqual(empty);
  });

  it('migrateRecord: hands back the very bytes when they are of today', () => {
    const bytes = full();
    expect(migrateRecord(bytes)).toBe(bytes);
  });

  it.each([2, 3, 255, 65_535])('migrateRecord: refuses layout %d, which a newer build wrote', (version) => {
    const bytes = full();
    bytes[0] = version & 0xff;
    bytes[1] = version >>> 8;
    expect(() => migrateRecord(bytes)).toThrow(/layout version/);
  });

  it('migrateRecord: refuses every truncation, and a byte too many, of either layout', () => {
    for (const bytes of [full(), layout0(full())]) {
      for (let length = 0; length < bytes.length; length++) {
        expect(() => migrateRecord(bytes.slice(0, length))).toThrow(RangeError);
      }
      const longer = new Uint8Array(bytes.length + 1);
      longer.set(bytes);
      expect(() => migrateRecord(longer)).toThrow(RangeError);
    }
  });

  it('load: takes no slot for bytes it refuses', () => {
    const record = new ProfileRecord(new Slab(), new ProfileIndex());
    expect(() => record.load(full().slice(0, 200))).toThrow(RangeError);
    expect([record.slab.usedSlots, record.index.count]).toEqual([0, 0]);
  });

  it('sizes: sections keep their alignment, and the largest record fits the largest slot', () => {
    const sizes = [HEADER_BYTES, TRAIT_BYTES, MOMENT_BYTES, QUOTE_BYTES, LEASE_BYTES];
    expect(sizes.every((bytes) => bytes % 8 === 0)).toBe(true);
    expect(MESSAGE_BYTES % 4).toBe(0);
    // The last decision may add 32 to the holding ones; a confirmed lease may still hold its unit of stock.
    const leases = 2 * HOLDING_LEASES_MAX + 32 + IDLE_LEASES_MAX + ENDED_LEASES_MAX;
    const largest =
      HEADER_BYTES +
      CATALOG_LIMITS.traitsMax * TRAIT_BYTES +
      MOMENTS_MAX * MOMENT_BYTES +
      QUOTES_MAX * QUOTE_BYTES +
      leases * LEASE_BYTES +
      MESSAGES_MAX * MESSAGE_BYTES;
    expect(largest).toBeLessThanOrEqual(RECORD_BYTES_MAX);
  });
});
