/**
 * A shard that stands alone on the thread of its test: on the store it is given, in memory or LMDB, with one who asks it in
 * JSON and keeps every answer, and a note of what it told its node. Whatever is still running is stopped after each test.
 */

import { afterEach, expect, vi } from 'vitest';
import { MailboxLine } from '../../actors/mailbox.ts';
import type { Plain } from '../../proto/messages.ts';
import { createWriter, decodeReply } from '../../proto/reply.ts';
import { FrameDecoder } from '../../proto/request.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { monotonicMicros } from '../../workers/clock.ts';
import { createLearningMemory } from '../../workers/learning-exchange.ts';
import { createMetricsBuffer, MetricsWriter } from '../../workers/metrics-layout.ts';
import { deriveSecret } from '../../workers/node-secret.ts';
import { createPriceMemory, PriceTable } from '../../workers/price-table.ts';
import type { Responder } from '../../workers/responder.ts';
import { Shard } from '../../workers/shard.ts';
import { createLedgerMemory, dealSlots, SharedLedger } from '../../workers/shared-ledger.ts';
import type { LmdbStore } from '../../workers/store/lmdb-store.ts';
import type { MemoryStore } from '../actors/memory-store.ts';
import { SECRET_BYTES, ZONES } from '../actors/one-shard.ts';
import { catalogText } from '../actors/test-catalog.ts';

/** The catalog of a shard that was given no other. */
export const TEXT = catalogText({
  traits: 'age: { type: integer }',
  actions:
    '{ key: a, channels: [app], valueMinor: 90, costMinor: 10, budgetMinor: 100000, caps: [{ count: 3, per: day }] }',
});
/** An answer, as JSON tells it. */
export type Reply = { readonly [key: string]: Plain };

/** Asks in JSON and keeps the answers by request id. */
export class Asker {
  readonly answers = new Map<number, Reply>();
  readonly shard: Shard;
  readonly #decoder = new FrameDecoder('json');
  readonly #responder: Responder;
  #id = 0;

  constructor(shard: Shard) {
    this.shard = shard;
    const writer = createWriter('json');
    const keep = (bytes: Uint8Array): void => {
      const reply = decodeReply('json', bytes) as Reply; // every reply is a map
      expect(this.answers.has(reply.id as number)).toBe(false);
      this.answers.set(reply.id as number, reply);
    };
    this.#responder = {
      encoding: 'msgpack',
      writer,
      actor: 'asker',
      door: 'ws',
      source: 'test',
      hasOptOut: false,
      line: new MailboxLine(),
      decoder: new FrameDecoder('json'),
      send: () => keep(writer.finish()),
      sendBytes: (_slot, bytes) => keep(bytes),
    };
  }

  /** Sends one request; its answer may be there already when this returns. */
  send(fields: Record<string, Plain>): number {
    const id = ++this.#id;
    this.#decoder.decode(new TextEncoder().encode(JSON.stringify({ id, ...fields })), {
      onRequest: (request) => this.shard.requests.handle(request, this.#responder, 0, monotonicMicros(), false),
      onInvalid: (_id, _fault, message) => {
        throw new Error(message);
      },
    });
    return id;
  }
  async ask(fields: Record<string, Plain>): Promise<Reply> {
    const id = this.send(fields);
    if (!this.answers.has(id)) {
      await vi.waitFor(() => expect(this.answers.has(id)).toBe(true), { timeout: 10_000, interval: 5 });
    }
    return this.answers.get(id) as Reply; // the line above waited for it
  }
}

const running: Shard[] = [];
afterEach(async () => {
  for (const shard of running.splice(0)) await shard.stop();
});

interface Told {
  readOnly: boolean[];
  checkpoints: number;
}
/** A shard that has recovered and started; stopped after the test. */
export function start(
  store: MemoryStore | LmdbStore,
  epoch = 1,
  text = TEXT,
): { asker: Asker; shard: Shard; told: Told; store: typeof store } {
  const catalog = compileCatalog(text, 'test.yaml');
  const told: Told = { readOnly: [], checkpoints: 0 };
  const shard = new Shard({
    shard: 0,
    shards: 1,
    epoch,
    store: store as LmdbStore, // the memory store has every method a shard calls
    catalog,
    catalogText: text,
    secret: deriveSecret(SECRET_BYTES),
    zones: ZONES,
    ledger: new SharedLedger(createLedgerMemory(1), 0),
    learningMemory: createLearningMemory(1),
    ledgerSubjects: dealSlots([], catalog),
    prices: new PriceTable(createPriceMemory()),
    metrics: new MetricsWriter(createMetricsBuffer()),
    memoryBytesMax: 64 * 1024 * 1024,
    idleMillis: 3_600_000,
    traces: { isEnabled: false, sampleRatio: 0, slowMicros: 1_000_000 },
    snapshot: null,
    ownsPartition: () => true,
    events: {
      readOnlyChanged: (isReadOnly) => told.readOnly.push(isReadOnly),
      turnFailed: (error) => {
        throw error;
      },
      traced: () => {},
      burst: () => {},
      factsTaken: () => {},
      snapshotWanted: () => {},
      checkpointed: () => {
        told.checkpoints++;
      },
    },
  });
  shard.recover();
  shard.start();
  running.push(shard);
  return { asker: new Asker(shard), shard, told, store };
}
/** Stops one before its test is over. */
export async function stopped(shard: Shard): Promise<void> {
  running.splice(running.indexOf(shard), 1);
  await shard.stop();
}
