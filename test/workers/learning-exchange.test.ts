/** Rounds between four shards: equal models whoever is first, nothing twice, nothing lost when a worker dies. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DecideTurn } from '../../actors/decide-turn.ts';
import { EventTurn } from '../../actors/event-turn.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import type { ModelSnapshot } from '../../workers/jobs/model-snapshot-file.ts';
import {
  batchAfterPublished,
  createLearningMemory,
  LearningExchange,
  type LearningMemory,
} from '../../workers/learning-exchange.ts';
import { createMetricsBuffer, MetricsWriter } from '../../workers/metrics-layout.ts';
import { deriveSecret } from '../../workers/node-secret.ts';
import { createPriceMemory, PriceTable } from '../../workers/price-table.ts';
import { Shard } from '../../workers/shard.ts';
import type { ShardModels } from '../../workers/shard-models.ts';
import { createLedgerMemory, dealSlots, SharedLedger } from '../../workers/shared-ledger.ts';
import type { LmdbStore } from '../../workers/store/lmdb-store.ts';
import { MemoryDisk, MemoryStore } from '../actors/memory-store.ts';
import { OneShard, requestOf, SECRET_BYTES, ZONES } from '../actors/one-shard.ts';
import { COFFEE, catalogText, NOON } from '../actors/test-catalog.ts';

const CATALOG = catalogText({
  channels: '{ app: {}, push: {} }',
  actions:
    '{ key: a, category: k, channels: [app], valueMinor: 9 }, { key: b, channels: [app], valueMinor: 8 }, { key: c, channels: [push], valueMinor: 8 }',
  products: COFFEE,
});
const EVENTS = ['impression', 'click', 'purchase', 'open'];
const SHARDS = 4;

interface Peer {
  readonly shard: OneShard;
  readonly exchange: LearningExchange;
}
function peers(memory = createLearningMemory(SHARDS)): Peer[] {
  const ledgerMemory = createLedgerMemory(SHARDS);
  const priceMemory = createPriceMemory();
  return Array.from({ length: SHARDS }, (_, index) => {
    const shard = new OneShard({ catalog: CATALOG, shard: index, shards: SHARDS, ledgerMemory, priceMemory });
    return { shard, exchange: new LearningExchange(memory, index, shard.models) };
  });
}
function step({ shard, exchange }: Peer): void {
  shard.store.commitNow();
  exchange.step(shard.store.openBatch);
}
let taught = 0;
/** One decision and one event about it; each event adds one to the hours of zone UTC. */
function teach({ shard }: Pick<Peer, 'shard'>, person: number): void {
  const now = NOON + (taught++ % 50) * 1_800_000;
  const { decisionId } = shard.decide({ profile: `p${person}`, wantMask: 3, sku: 'coffee' }, now);
  const event = EVENTS[taught % EVENTS.length] as string;
  expect(shard.track({ profile: `p${person}`, event, decisionId: decisionId ?? '' }, now)).toBeNull();
}
function bits(models: ShardModels): Buffer[] {
  const { response, demand, weeks, zones } = models.snapshot();
  const rows = [demand, weeks, zones].flatMap((table) => [...table].sort(([a], [b]) => a - b));
  return [
    Buffer.from(models.response.weights.buffer),
    Buffer.from(response),
    ...rows.map(([key, row]) => Buffer.concat([Buffer.from(Float64Array.of(key).buffer), Buffer.from(row.buffer)])),
  ];
}
function expectEqualBits(one: ShardModels, two: ShardModels): void {
  const [a, b] = [bits(one), bits(two)];
  expect(a.length).toBe(b.length);
  a.forEach((bytes, i) => {
    expect(bytes.equals(b[i] as Buffer)).toBe(true);
  });
}
/** Signals that the base has counted: one an event that is no mere impression. */
function signals(models: ShardModels): number {
  let sum = 0;
  for (const row of models.snapshot().zones.values()) for (const count of row) sum += count;
  return sum;
}

describe('learning exchange', () => {
  it('rounds: equal bits in any order of publication', () => {
    const first = (order: readonly number[]): ShardModels => {
      taught = 0;
      const all = peers();
      all.forEach((peer, i) => {
        for (let n = 0; n <= i; n++) teach(peer, n);
      });
      for (const i of order) step(all[i] as Peer);
      for (const peer of all) step(peer);
      return (all[1] as Peer).shard.models;
    };
    fc.assert(
      fc.property(fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 }), (order) => {
        expectEqualBits(first([0, 1, 2, 3]), first(order));
      }),
      { numRuns: 3 },
    );
  });

  it('rounds: each event counts once in every shard when steps come in any order', () => {
    const turn = fc.record({ shard: fc.nat(SHARDS - 1), isStep: fc.boolean() });
    fc.assert(
      fc.property(fc.array(turn, { maxLength: 40 }), (turns) => {
        const all = peers();
        const alone = new OneShard({ catalog: CATALOG });
        taught = 0;
        let count = 0;
        for (const { shard, isStep } of turns) {
          const peer = all[shard] as Peer;
          if (isStep) step(peer);
          else {
            teach(peer, count);
            taught--;
            teach({ shard: alone }, count++);
          }
          const rounds = all.map(({ exchange }) => exchange.round);
          expect(Math.max(...rounds) - Math.min(...rounds)).toBeLessThanOrEqual(1);
        }
        for (let n = 0; n < 4; n++) for (const peer of all) step(peer);
        for (const { shard } of all) {
          expectEqualBits((all[0] as Peer).shard.models, shard.models);
          expect(signals(shard.models)).toBe(signals(alone.models));
        }
      }),
      { numRuns: 5 },
    );
  });

  it('merge: what was learnt since the publication stays on top, and is published next', () => {
    const all = peers();
    const [one, two] = all as [Peer, Peer];
    taught = 1;
    teach(one, 1);
    for (const peer of all) step(peer);
    taught = 1;
    teach(one, 2);
    const { epoch } = two.shard.models;
    for (const peer of all) step(peer);
    expect(two.shard.models.epoch).toBe(epoch + 1);
    // Published but not merged: the others do not know it, the base does not, the shard itself does.
    expect(signals(one.shard.models)).toBe(1);
    expect(Buffer.from(one.shard.models.response.weights.buffer).equals(bits(one.shard.models)[1] as Buffer)).toBe(
      false,
    );
    for (let n = 0; n < 2; n++) for (const peer of all) step(peer);
    expect(signals(two.shard.models)).toBe(2);
    expectEqualBits(one.shard.models, two.shard.models);
    // A round in which nobody learnt names no new version.
    const named = two.shard.models.epoch;
    for (let n = 0; n < 3; n++) for (const peer of all) step(peer);
    expect(two.shard.models.epoch).toBe(named);
  });

  it('a decision: keeps its model, and logs its epoch, when the others publish in the middle of it', () => {
    const all = peers();
    const [one, ...others] = all as [Peer, ...Peer[]];
    taught = 1;
    for (const peer of others) teach(peer, 1);
    step(one);
    const { models, decideTurn } = one.shard;
    const weights = Float64Array.from(models.response.weights);
    const { epoch } = models;
    const seen: boolean[] = [];
    const phases = {
      mark(): void {
        for (const peer of others) step(peer);
        seen.push(Buffer.from(models.response.weights.buffer).equals(Buffer.from(weights.buffer)));
      },
    };
    expect(decideTurn.run(requestOf({ profile: 'ann', wantMask: 7, sku: 'coffee' }), NOON, phases)).toBeNull();
    expect(seen.length).toBeGreaterThan(2);
    expect(seen).not.toContain(false);
    expect(decideTurn.outcome.modelVersion).toBe(epoch);
    step(one);
    expect(models.epoch).toBe(epoch + 1);
    expect(Buffer.from(models.response.weights.buffer).equals(Buffer.from(weights.buffer))).toBe(false);
  });

  it('one shard alone: no rounds, no memory for them, and its snapshot is all it knows', () => {
    const memory = createLearningMemory(1);
    const shard = new OneShard({ catalog: CATALOG });
    const exchange = new LearningExchange(memory, 0, shard.models);
    taught = 1;
    teach({ shard }, 1);
    exchange.step(7);
    expect([memory.boxes.length, exchange.round, exchange.cuts.length]).toEqual([0, 0, 0]);
    expect([signals(shard.models), shard.models.hasNews, batchAfterPublished(memory, 0)]).toEqual([1, true, 1]);
  });
});

// ── a worker that dies ───────────────────────────────────────────────────────────────────────────

/** Shards with their real recovery over one memory disk, stepped by hand. */
class Crew {
  readonly disk = new MemoryDisk();
  readonly learningMemory: LearningMemory = createLearningMemory(SHARDS);
  readonly ledgerMemory = createLedgerMemory(SHARDS);
  readonly priceMemory = createPriceMemory();
  readonly shards: Shard[] = [];
  latest: ModelSnapshot | null = null;
  count = 0;

  constructor() {
    for (let shard = 0; shard < SHARDS; shard++) this.begin(shard, null);
  }

  begin(shard: number, snapshot: ModelSnapshot | null): void {
    const catalog = compileCatalog(CATALOG, 'test.yaml');
    const store = new MemoryStore(this.disk, 1, shard, batchAfterPublished(this.learningMemory, shard));
    const one = new Shard({
      shard,
      shards: SHARDS,
      epoch: 1,
      store: store as unknown as LmdbStore, // has every method a shard calls
      catalog,
      catalogText: CATALOG,
      secret: deriveSecret(SECRET_BYTES),
      zones: ZONES,
      ledger: new SharedLedger(this.ledgerMemory, shard),
      learningMemory: this.learningMemory,
      ledgerSubjects: dealSlots([], catalog),
      prices: new PriceTable(this.priceMemory),
      metrics: new MetricsWriter(createMetricsBuffer()),
      memoryBytesMax: 16 * 1024 * 1024,
      idleMillis: 3_600_000,
      traces: { isEnabled: false, sampleRatio: 0, slowMicros: 1_000_000 },
      snapshot,
      ownsPartition: (partition) => partition % SHARDS === shard,
      events: {
        readOnlyChanged: () => {},
        turnFailed: (error) => {
          throw error;
        },
        traced: () => {},
        burst: () => {},
        checkpointed: () => {},
        factsTaken: () => {},
        snapshotWanted: () => {},
      },
    });
    one.recover();
    this.shards[shard] = one;
  }

  /** A click or an opening: a signal for send-time, and for the response model when it names a decision. */
  teach(shard: number): void {
    const { runtime, writer } = this.shards[shard] as Shard;
    const now = NOON + (this.count % 50) * 1_800_000;
    const profile = `p${this.count % 7}`;
    const decide = new DecideTurn(runtime);
    decide.run(requestOf({ profile, wantMask: 3, sku: 'coffee' }), now, { mark(): void {} });
    const decisionId = decide.outcome.decisionId ?? '';
    // On disk before the event, so that the journal can be read in any order.
    writer.commit();
    expect(new EventTurn(runtime).track(requestOf({ profile, event: 'click', decisionId }), now)).toBeNull();
    this.count++;
  }
  commit(shard: number): void {
    this.shards[shard]?.writer.commit();
  }
  /** Commits, merges what is complete and publishes: what the timer does. Keeps the snapshot, as a message would. */
  step(shard: number): ModelSnapshot | null {
    this.latest = structuredClone((this.shards[shard] as Shard).takeSnapshot()) ?? this.latest;
    return this.latest;
  }
  settle(): void {
    for (let n = 0; n < 4; n++) for (let shard = 0; shard < SHARDS; shard++) this.step(shard);
  }
  expectAlike(): void {
    for (const { models } of this.shards) {
      expectEqualBits((this.shards[0] as Shard).models, models);
      expect(signals(models)).toBe(this.count);
    }
  }
}

describe('learning exchange: a worker dies', () => {
  it.each([
    ['before it has published', 0],
    ['after it has published, before the others have', 1],
    ['after the round was complete', 2],
  ] as const)('%s: its replacement publishes what it had not, all end equal, each event counts once', (_, moment) => {
    const crew = new Crew();
    for (let n = 0; n < 12; n++) crew.teach(n % SHARDS);
    crew.settle();
    crew.expectAlike();
    for (let n = 0; n < 8; n++) crew.teach(n % SHARDS);
    for (let shard = 0; shard < SHARDS; shard++) crew.commit(shard);
    if (moment >= 1) crew.step(2);
    if (moment === 2) for (const shard of [0, 1, 3]) crew.step(shard);
    // Learnt, on disk, in no publication.
    crew.teach(2);
    crew.commit(2);
    // It dies here. The others go on learning and stepping; the round waits.
    for (let n = 0; n < 3; n++) {
      crew.teach(0);
      for (const shard of [0, 1, 3]) crew.step(shard);
    }
    const before = (crew.shards[0] as Shard).models.epoch;
    crew.begin(2, crew.step(0));
    crew.settle();
    crew.expectAlike();
    expect((crew.shards[0] as Shard).models.epoch).toBeGreaterThan(before);
    // And once more from there.
    for (let n = 0; n < 8; n++) crew.teach(n % SHARDS);
    crew.settle();
    crew.expectAlike();
  });

  it('with an old snapshot, or none: the journal fills the base up, each event counts once', () => {
    // Its models differ from the others' as those of one shard differ from four: each event is weighed where it is learnt.
    for (const isNone of [false, true]) {
      const crew = new Crew();
      for (let n = 0; n < 4; n++) crew.teach(n);
      for (let shard = 0; shard < SHARDS; shard++) crew.step(shard);
      const old = isNone ? null : crew.step(0);
      for (let round = 0; round < 5; round++) {
        for (let n = 0; n < 4; n++) crew.teach(n);
        for (let shard = 0; shard < SHARDS; shard++) crew.step(shard);
      }
      crew.teach(1);
      crew.commit(1);
      crew.begin(1, old);
      crew.settle();
      for (const { models } of crew.shards) expect(signals(models)).toBe(crew.count);
    }
  });
});
