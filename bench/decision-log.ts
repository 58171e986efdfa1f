/**
 * Writes a journal of many decisions quickly: the shards of a node on one thread, without sockets, asked in
 * turn by made-up people of the sample shop who look, click, buy and tell about themselves. Everything else is
 * the product: request decoding, turns, learning, exchange between shards, budgets and stock that run out,
 * group commit to LMDB. The same seed asks the same questions; the clock is the real one, so answers differ.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextPass, setTimeout as sleep } from 'node:timers/promises';
import { MailboxLine } from '../actors/mailbox.ts';
import { drawUniform } from '../decision/random.ts';
import { PARTITION_COUNT } from '../proto/limits.ts';
import type { Plain } from '../proto/messages.ts';
import { textHash } from '../proto/murmur3.ts';
import { partitionOf } from '../proto/partition.ts';
import { createWriter, type DocumentWriter, decodeReply, type Encoding } from '../proto/reply.ts';
import { FrameDecoder } from '../proto/request.ts';
import { compileCatalog } from '../workers/catalog/compile-catalog.ts';
import { monotonicMicros } from '../workers/clock.ts';
import { createLearningMemory } from '../workers/learning-exchange.ts';
import { createMetricsBuffer, MetricsWriter } from '../workers/metrics-layout.ts';
import { deriveSecret } from '../workers/node-secret.ts';
import { createPriceMemory, PriceTable } from '../workers/price-table.ts';
import type { Responder } from '../workers/responder.ts';
import { Shard } from '../workers/shard.ts';
import { createLedgerMemory, dealSlots, SharedLedger } from '../workers/shared-ledger.ts';
import { LmdbStore } from '../workers/store/lmdb-store.ts';
import { claimEpoch } from '../workers/store/node-epoch.ts';
import { createZoneTable } from '../workers/zone-table.ts';

export interface DecisionLogPlan {
  /** Data folder, new. */
  readonly folder: string;
  readonly catalogPath: string;
  readonly decisions: number;
  readonly shards: number;
  readonly people: number;
  readonly seed: number;
}

export interface WrittenDecisionLog {
  readonly decisions: number;
  readonly events: number;
  readonly refused: number;
}

const SECRET = new Uint8Array(32).fill(11);
/** Requests of each shard in one pass of the loop. */
const REQUESTS_A_PASS = 32;
const RECENT = 64;
const ROUNDS_MILLIS = 400;

const ENCODER = new TextEncoder();
const ZONES = ['Asia/Shanghai', 'Europe/Berlin', 'America/New_York', 'Australia/Sydney'];
const SLOTS = ['home', 'product-page', 'basket', 'inbox'];
const SKUS = ['espresso-1kg', 'filter-500g', 'decaf-500g', 'grinder-burr', 'cup-set', 'subscription-month'];

interface Recent {
  readonly profile: string;
  readonly decisionId: string;
}

export async function writeDecisionLog(plan: DecisionLogPlan): Promise<WrittenDecisionLog> {
  const storePath = join(plan.folder, 'store');
  mkdirSync(join(plan.folder, 'models'), { recursive: true });
  writeFileSync(join(plan.folder, 'secret'), SECRET);
  const catalogText = readFileSync(plan.catalogPath, 'utf8');
  const catalog = compileCatalog(catalogText, 'catalog.yaml');
  const epoch = await claimEpoch(storePath);
  const zones = createZoneTable(textHash);
  const ledgerMemory = createLedgerMemory(plan.shards);
  const subjects = dealSlots([], catalog);
  const priceMemory = createPriceMemory();
  const learningMemory = createLearningMemory(plan.shards);
  const shards: Shard[] = [];
  for (let number = 0; number < plan.shards; number++) {
    const shard = new Shard({
      shard: number,
      shards: plan.shards,
      epoch,
      store: LmdbStore.open({ path: storePath, epoch, stream: number }),
      catalog,
      catalogText,
      secret: deriveSecret(SECRET),
      zones,
      ledger: new SharedLedger(ledgerMemory, number),
      ledgerSubjects: subjects,
      prices: new PriceTable(priceMemory),
      learningMemory,
      metrics: new MetricsWriter(createMetricsBuffer()),
      memoryBytesMax: 4 * 1024 * 1024 * 1024,
      idleMillis: 3_600_000,
      traces: { isEnabled: false, sampleRatio: 0, slowMicros: 1_000_000 },
      snapshot: null,
      ownsPartition: (partition) => shardOf(partition, plan.shards) === number,
      events: {
        // A worker that reads its memory back begins anew: what follows cannot be computed again.
        readOnlyChanged: (_, problem) => {
          if (problem !== null) throw new Error(`the store cannot write: ${problem}`);
        },
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
    shard.recover();
    shards.push(shard);
  }
  for (const shard of shards) shard.start();
  const askers = shards.map((shard, number) => new Asker(shard, number % 2 === 0 ? 'json' : 'msgpack'));
  let turn = 0;
  let isHalfShared = false;
  const written = (): number => askers.reduce((sum, { decisions }) => sum + decisions, 0);
  while (written() < plan.decisions) {
    for (let n = 0; n < REQUESTS_A_PASS * plan.shards; n++) {
      const draw = (purpose: number): number => drawUniform(plan.seed, turn, purpose, purpose);
      const profile = `p${Math.floor(draw(1) ** 2 * plan.people)}`;
      const key = ENCODER.encode(profile);
      const asker = askers[shardOf(partitionOf(key, 0, key.length), plan.shards)] as Asker; // a shard of each partition
      asker.ask(profile, draw);
      turn++;
    }
    await nextPass();
    while (askers.some(({ shard }) => shard.requests.mailboxDepth > 0)) await nextPass();
    // However quick the machine: decisions of the second half know what the other shards learnt in the first.
    if (isHalfShared || written() < plan.decisions / 2) continue;
    isHalfShared = true;
    await sleep(ROUNDS_MILLIS);
  }
  // What was published last is merged before the end: a few rounds.
  await sleep(ROUNDS_MILLIS);
  for (const shard of shards) await shard.stop();
  return {
    decisions: written(),
    events: askers.reduce((sum, { events }) => sum + events, 0),
    refused: askers.reduce((sum, { refused }) => sum + refused, 0),
  };
}

/** As `server/shard-map.ts` deals partitions. */
function shardOf(partition: number, shards: number): number {
  return Math.floor((partition * shards) / PARTITION_COUNT);
}

/** Asks one shard, in one encoding, and remembers some of the decisions, for events about them. */
class Asker {
  readonly shard: Shard;
  decisions = 0;
  events = 0;
  refused = 0;
  readonly #encoding: Encoding;
  readonly #decoder: FrameDecoder;
  readonly #request: DocumentWriter;
  readonly #responder: Responder;
  readonly #recent: Recent[] = [];
  #next = 0;
  #id = 0;
  readonly #pending = new Map<number, string>();

  constructor(shard: Shard, encoding: Encoding) {
    this.shard = shard;
    this.#encoding = encoding;
    this.#decoder = new FrameDecoder(encoding);
    this.#request = createWriter(encoding);
    const writer = createWriter(encoding);
    this.#responder = {
      encoding,
      writer,
      actor: 'asker',
      door: 'ws',
      source: 'anonymous',
      hasOptOut: false,
      line: new MailboxLine(),
      decoder: new FrameDecoder(encoding),
      send: () => this.#answered(writer.finish()),
      sendBytes: (_slot, bytes) => this.#answered(bytes),
    };
  }

  /** One request: a decision more often than not, else something the person did. */
  ask(profile: string, draw: (purpose: number) => number): void {
    const kind = draw(2);
    const pick = <T>(values: readonly T[], purpose: number): T =>
      values[Math.floor(draw(purpose) * values.length)] as T; // a draw is below 1
    if (kind < 0.7) {
      const hasSku = draw(3) < 0.4;
      const fields = {
        op: 'decide',
        profile,
        slot: pick(SLOTS, 4),
        count: draw(5) < 0.2 ? 3 : 1,
        ...(hasSku ? { sku: pick(SKUS, 6) } : {}),
        ...(draw(7) < 0.5
          ? {
              context: {
                page: pick(['machine', 'list', 'home'], 8),
                basketMinor: Math.floor(draw(9) * 50_000),
                isMember: draw(10) < 0.5,
              },
            }
          : {}),
        ...(draw(11) < 0.05 ? { actions: ['brand-story', 'brew-guide', 'free-shipping'] } : {}),
        ...(draw(12) < 0.05 ? { explain: true } : {}),
        ...(draw(13) < 0.03 ? { dryRun: true } : {}),
      };
      this.#send(fields, draw(13) < 0.03 ? null : profile);
    } else if (kind < 0.97) {
      const recent = this.#recent[Math.floor(draw(14) * this.#recent.length)];
      const event = pick(['impression', 'impression', 'impression', 'click', 'purchase', 'dismiss'], 15);
      this.events++;
      this.#send(
        recent === undefined || draw(16) < 0.2
          ? { op: 'track', profile, event: pick(['view', 'add_to_cart', 'open', 'unsubscribe'], 17) }
          : { op: 'track', ...recent, event, properties: { revenueMinor: 9900 } },
        null,
        'applied',
      );
    } else {
      const traits = {
        age: 18 + Math.floor(draw(18) * 60),
        loyalty: pick(['none', 'silver', 'gold'], 19),
        city: pick(['Shanghai', 'Beijing', 'Hangzhou', 'Berlin'], 20),
        timeZone: pick(ZONES, 21),
      };
      this.#send({ op: 'identify', profile, traits }, null, 'applied');
    }
  }

  #send(fields: { readonly [name: string]: Plain }, deciding: string | null, durability?: string): void {
    const id = ++this.#id;
    if (deciding !== null) this.#pending.set(id, deciding);
    const request = { id, ...fields, ...(durability === undefined ? {} : { durability }) };
    this.#request.reset();
    this.#request.plain(request);
    this.#decoder.decode(this.#request.finish(), {
      onRequest: (decoded) => this.shard.requests.handle(decoded, this.#responder, 0, monotonicMicros(), false),
      onInvalid: (_id, _fault, message) => {
        throw new Error(`${message}: ${JSON.stringify(request)}`);
      },
    });
  }

  #answered(bytes: Uint8Array): void {
    const reply = decodeReply(this.#encoding, bytes) as { id: number; ok: boolean; decisionId?: string | null }; // every reply has these
    const profile = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if (!reply.ok) {
      this.refused++;
      return;
    }
    if (profile === undefined || typeof reply.decisionId !== 'string') return;
    this.decisions++;
    this.#recent[this.#next] = { profile, decisionId: reply.decisionId };
    this.#next = (this.#next + 1) % RECENT;
  }
}
