/**
 * The promise behind the journal: whatever sequence of turns a shard has run, and wherever it is cut off,
 * the next start has the records byte for byte and the ledger unit for unit as they were at the last
 * commit. Random runs of every turn, with commits, checkpoints cut in the middle, passivation and several
 * crashes one after another; the models' weights are compared too, bit for bit.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Plain } from '../../proto/messages.ts';
import { writeBase, writeCheckpoint } from '../../workers/recovery.ts';
import { createLedgerMemory } from '../../workers/shared-ledger.ts';
import { hex } from './memory-store.ts';
import { OneShard } from './one-shard.ts';
import { catalogText, NOON } from './test-catalog.ts';

const CATALOG = catalogText({
  leaseMillis: 60_000,
  holdoutProbability: 0.1,
  explorationProbability: 0.3,
  timeZone: 'Europe/Berlin',
  traits: 'age: { type: integer, min: 0, max: 130 }, city: { type: string }, consent: { type: boolean }',
  channels:
    '{ app: {}, push: { costMinor: 1, quietHours: "22:00-07:00", caps: [{ count: 3, per: 1h }, { count: 6, per: day, on: impression }] } }',
  slots: '{ home: { channels: [app, push] } }',
  products:
    '{ sku: coffee, listMinor: 1000, floorMinor: 700, ceilingMinor: 1200, costMinor: 500, stepMinor: 10, stock: 6, quoteTtlMillis: 90000 }, { sku: tea, listMinor: 500, floorMinor: 300, ceilingMinor: 600, costMinor: 200, stepMinor: 10, quoteTtlMillis: 1000 }',
  actions:
    '{ key: a, channels: [app, push], valueMinor: 100, costMinor: 100, budgetMinor: 900, caps: [{ count: 3, per: 24h }], creatives: [x, y] },' +
    '{ key: b, channels: [push], valueMinor: 300, caps: [{ count: 2, per: week, on: impression }, { count: 4, per: day }] },' +
    '{ key: c, channels: [app], valueMinor: 50, eligibility: \'count("view", "1h") < 3 && lastSeen("refund") > 5.0\' },' +
    '{ key: d, channels: [app], valueMinor: 80, costMinor: 5000000000, budgetMinor: 20000000000, eligibility: \'sum("purchase", "revenueMinor", "2h") < 5000.0 || profile.age > 60\' }',
});
const PROFILES = ['ann', 'bob', 'cid', 'dee'];
const EVENTS = [
  'impression',
  'click',
  'conversion',
  'purchase',
  'refund',
  'view',
  'open',
  'dismiss',
  'complaint',
  'subscribe',
  'odd',
];
const TIMES = [0, 0, 1, 500, 1_000, 30_000, 60_000, 61_000, 3_600_000, 90_000_000, -2_000];

const profile = fc.constantFrom(...PROFILES);
const someRef = fc.option(fc.nat(40));
const properties: fc.Arbitrary<{ readonly [key: string]: Plain } | null> = fc.option(
  fc.record(
    {
      channel: fc.constantFrom('app', 'push'),
      action: fc.constantFrom('a', 'b', 'nothing'),
      revenueMinor: fc.constantFrom(0, 1_999, 1e9, -5),
      items: fc.constantFrom<Plain[]>([], [{ sku: 'coffee', quantity: 2 }], [{ sku: 'coffee' }, { sku: 'coffee' }, 7]),
    },
    { requiredKeys: [] },
  ),
);
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('decide' as const),
      profile,
      count: fc.constantFrom(1, 1, 2, 4),
      wantMask: fc.constantFrom(1, 2, 3, 5, 7),
      sku: fc.constantFrom('', 'coffee', 'tea'),
      isDryRun: fc.constantFrom(false, false, false, true),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('track' as const),
      profile,
      event: fc.constantFrom(...EVENTS),
      ref: someRef,
      messageId: fc.constantFrom('', '', 'm1', 'm2', 'm3'),
      properties,
      ago: fc.constantFrom(Number.NaN, 0, 10_000, 7_200_000, 800_000_000, -1_000),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom('confirm' as const, 'release' as const), ref: fc.nat(40) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('identify' as const),
      profile,
      traits: fc.record(
        {
          age: fc.constantFrom(null, 30, 70),
          city: fc.constantFrom('Bonn', 'Bern', null),
          consent: fc.constantFrom(true, false),
          timeZone: fc.constantFrom('Asia/Tokyo', 'America/New_York'),
        },
        { requiredKeys: [] },
      ),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('wait' as const), millis: fc.constantFrom(...TIMES) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('timers' as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('commit' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('checkpoint' as const), records: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('sweep' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface Snapshot {
  readonly records: Record<string, string>;
  readonly ledger: unknown;
}

/** The shard with what a run needs beside it; `snapshot` is the state at the last commit. */
class Run {
  shard: OneShard;
  now = NOON;
  snapshot: Snapshot;
  readonly decisions: { profile: string; id: string }[] = [];
  #cycle: { batch: number; ledger: ReturnType<OneShard['ledger']['share']> } | null = null;

  constructor() {
    this.shard = new OneShard({ catalog: CATALOG, idleMillis: 45_000 });
    this.snapshot = this.look();
  }

  look(): Snapshot {
    const { shard } = this;
    const records: Record<string, string> = {};
    for (const name of PROFILES) {
      const bytes = shard.recordBytes(name);
      // One that was only looked at is not there for the disk.
      if (shard.runtime.record.stateSeq > 0) records[name] = hex(bytes);
    }
    return { records, ledger: byHash(shard.ledger.share()) };
  }

  commit(): void {
    if (this.#cycle !== null && this.shard.runtime.isCycleDone) {
      const { epoch = 1 } = this.shard.options;
      writeCheckpoint(this.shard.store, epoch, 0, this.#cycle);
      writeBase(this.shard.store, { epoch, streams: 1 });
      this.#cycle = null;
    }
    this.shard.store.commitNow();
    this.snapshot = this.look();
  }

  crash(): void {
    this.#cycle = null;
    this.shard = this.shard.recovered({ ledgerMemory: createLedgerMemory(1) });
    const found = this.look();
    expect(found.records).toEqual(this.snapshot.records);
    expect(found.ledger).toEqual(this.snapshot.ledger);
  }

  do(s: Step): void {
    const { shard, now } = this;
    switch (s.kind) {
      case 'decide': {
        const reply = shard.decide({ ...s, slot: 'home' }, now);
        if (reply.decisionId !== null) this.decisions.push({ profile: s.profile, id: reply.decisionId });
        return;
      }
      case 'track': {
        const decision = s.ref === null ? undefined : this.decisions.at(-1 - s.ref);
        shard.track(
          {
            profile: decision?.profile ?? s.profile,
            event: s.event,
            messageId: s.messageId,
            properties: s.properties,
            atEpochMillis: Number.isNaN(s.ago) ? Number.NaN : now - s.ago,
            decisionId: decision?.id ?? '',
          },
          now,
        );
        return;
      }
      case 'confirm':
      case 'release': {
        const decision = this.decisions.at(-1 - s.ref);
        if (decision !== undefined) shard[s.kind](decision.id, now);
        return;
      }
      case 'identify':
        shard.identify(s.profile, s.traits, now);
        return;
      case 'wait':
        this.now += s.millis;
        return;
      case 'timers':
        shard.advanceTimers(now, 100);
        return;
      case 'commit':
        this.commit();
        return;
      case 'checkpoint':
        if (shard.runtime.isCycleDone && this.#cycle === null) {
          this.commit();
          this.#cycle = { batch: shard.store.openBatch, ledger: shard.ledger.share() };
          shard.runtime.beginCycle();
        }
        shard.runtime.writeRecords(s.records);
        this.commit();
        return;
      case 'sweep':
        for (let n = 0; n < 20; n++) shard.runtime.sweep(now);
        return;
      case 'crash':
        this.crash();
    }
  }
}

function byHash(share: ReturnType<OneShard['ledger']['share']>): unknown {
  return [...share].sort((a, b) => a.subjectHash - b.subjectHash);
}

describe('recovery', () => {
  it('crash at any point: records and ledger are those of the last commit', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 120, size: 'max' }), (steps) => {
        const run = new Run();
        for (const s of steps) run.do(s);
        run.crash();
        // And what goes on from there can be recovered again.
        for (const s of steps.slice(0, 20)) run.do(s);
        run.commit();
        run.crash();
      }),
      { numRuns: 40 },
    );
  });

  it('crash at any point: the models have learnt the same, bit for bit', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 40, maxLength: 80, size: 'max' }), (steps) => {
        const run = new Run();
        for (const s of steps) if (s.kind !== 'crash') run.do(s);
        run.commit();
        const { weights } = run.shard.models.response;
        const before = weights.slice();
        run.crash();
        expect(Buffer.compare(Buffer.from(run.shard.models.response.weights.buffer), Buffer.from(before.buffer))).toBe(
          0,
        );
      }),
      { numRuns: 15 },
    );
  });
});
