/** A whole shard on one thread: requests in, answers out, a store that can be held up or made to fail. */

import { afterEach, describe, expect, it, vi } from 'vitest';
import { MailboxLine } from '../../actors/mailbox.ts';
import type { Plain } from '../../proto/messages.ts';
import { createWriter, decodeReply } from '../../proto/reply.ts';
import { FrameDecoder } from '../../proto/request.ts';
import { FAULT } from '../../proto/statuses.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { monotonicMicros } from '../../workers/clock.ts';
import { createLearningMemory } from '../../workers/learning-exchange.ts';
import { createMetricsBuffer, MetricsWriter } from '../../workers/metrics-layout.ts';
import { deriveSecret } from '../../workers/node-secret.ts';
import { createPriceMemory, PriceTable } from '../../workers/price-table.ts';
import { writeCheckpoint } from '../../workers/recovery.ts';
import type { Responder } from '../../workers/responder.ts';
import { Shard } from '../../workers/shard.ts';
import { createLedgerMemory, dealSlots, SharedLedger } from '../../workers/shared-ledger.ts';
import { LmdbStore } from '../../workers/store/lmdb-store.ts';
import { STORE_ERROR, StoreError } from '../../workers/store/store-error.ts';
import { MemoryDisk, MemoryStore } from '../actors/memory-store.ts';
import { SECRET_BYTES, ZONES } from '../actors/one-shard.ts';
import { COFFEE, catalogText } from '../actors/test-catalog.ts';
import { temporaryFolder } from './store/temporary-folder.ts';

const TEXT = catalogText({
  traits: 'age: { type: integer }',
  actions:
    '{ key: a, channels: [app], valueMinor: 90, costMinor: 10, budgetMinor: 100000, caps: [{ count: 3, per: day }] }',
});
const WITH_FALLBACK = catalogText({
  decision: 'fallback: safe,',
  products: COFFEE,
  actions:
    '{ key: a, channels: [app], valueMinor: 90, costMinor: 10 }, { key: safe, channels: [app], valueMinor: 5, creatives: [plain, b] }',
});
type Reply = { readonly [key: string]: Plain };

/** Asks in JSON and keeps the answers by request id. */
class Asker {
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
function start(
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
async function stopped(shard: Shard): Promise<void> {
  running.splice(running.indexOf(shard), 1);
  await shard.stop();
}

describe('shard', () => {
  it('decide and what is only applied are answered at once, an event when it is on disk', async () => {
    const store = new MemoryStore(new MemoryDisk(), 1, 0);
    const settles: (() => void)[] = [];
    store.holdCommit = (settle) => settles.push(settle);
    const { asker } = start(store);
    expect(await asker.ask({ op: 'decide', profile: 'ann', slot: 'home' })).toMatchObject({ ok: true, stateSeq: 1 });
    const tracked = asker.send({ op: 'track', profile: 'ann', event: 'view' });
    const applied = await asker.ask({ op: 'track', profile: 'ann', event: 'view', durability: 'applied' });
    expect([asker.answers.has(tracked), applied.durability]).toEqual([false, 'applied']);
    await vi.waitFor(() => expect(settles.length).toBeGreaterThan(0));
    expect(asker.answers.has(tracked)).toBe(false);
    store.holdCommit = null;
    for (const settle of settles) settle();
    await vi.waitFor(() =>
      expect(asker.answers.get(tracked)).toMatchObject({ ok: true, durability: 'committed', stateSeq: 2 }),
    );
    expect(store.disk.journal.size).toBeGreaterThan(0);
  });

  it('a deadline that passes while the disk is awaited is said; the write goes on', async () => {
    const store = new MemoryStore(new MemoryDisk(), 1, 0);
    const settles: (() => void)[] = [];
    store.holdCommit = (settle) => settles.push(settle);
    const { asker } = start(store);
    const reply = await asker.ask({ op: 'track', profile: 'ann', event: 'view', messageId: 'm', deadlineMillis: 30 });
    expect(reply).toMatchObject({ ok: false, code: FAULT.deadlineExceeded.code });
    store.holdCommit = null;
    for (const settle of settles) settle();
    expect(await asker.ask({ op: 'track', profile: 'ann', event: 'view', messageId: 'm' })).toMatchObject({
      ok: true,
      duplicate: true,
      stateSeq: 1,
    });
  });

  it('operations without a turn and replicated durability are refused by name', async () => {
    const { asker } = start(new MemoryStore(new MemoryDisk(), 1, 0));
    const faults = await Promise.all([
      asker.ask({ op: 'whatIf', profile: 'ann' }),
      asker.ask({ op: 'track', profile: 'ann', event: 'view', durability: 'replicated' }),
    ]);
    expect(faults.map(({ code }) => code)).toEqual([FAULT.unimplemented.code, FAULT.unimplemented.code]);
  });

  it('a failed write: what waited is told, memory is what the disk has, reads go on, and writing comes back', async () => {
    const store = new MemoryStore(new MemoryDisk(), 1, 0);
    const { asker, shard, told } = start(store);
    const first = await asker.ask({ op: 'decide', profile: 'ann', slot: 'home', durability: 'committed' });
    await asker.ask({ op: 'track', profile: 'ann', event: 'impression', decisionId: first.decisionId as string });
    // While one commit is under way, everything else gathers for the next, which will fail.
    const settles: (() => void)[] = [];
    store.holdCommit = (settle) => settles.push(settle);
    const last = asker.send({ op: 'track', profile: 'ann', event: 'view' });
    await vi.waitFor(() => expect(settles.length).toBe(1));
    const kept = await asker.ask({ op: 'profile', profile: 'ann' });
    const weights = Float64Array.from(shard.models.response.weights);
    const { ledger } = shard.runtime.options;
    const budget = shard.runtime.index.catalog.actions[0]?.hash ?? 0;
    const free = ledger.freeAmount(budget);
    const lost = [
      asker.send({ op: 'track', profile: 'ann', event: 'click', decisionId: first.decisionId as string }),
      asker.send({ op: 'identify', profile: 'bob', traits: { age: 3 } }),
      asker.send({ op: 'decide', profile: 'ann', slot: 'home', durability: 'committed' }),
    ];
    await vi.waitFor(() => expect(shard.writer.gateDepth).toBe(4));
    expect(Buffer.from(shard.models.response.weights.buffer).equals(Buffer.from(weights.buffer))).toBe(false);
    expect(ledger.freeAmount(budget)).toBeLessThan(free);
    store.failure = new Error('store: the disk is full, on purpose');
    store.holdCommit = null;
    for (const settle of settles) settle();
    await vi.waitFor(() => expect(told.readOnly).toEqual([true]));
    expect(asker.answers.get(last)).toMatchObject({ ok: true });
    expect(lost.map((id) => asker.answers.get(id)?.code)).toEqual(lost.map(() => FAULT.writeFailed.code));
    expect((await asker.ask({ op: 'track', profile: 'ann', event: 'view' })).code).toBe(FAULT.readOnly.code);
    const now = await asker.ask({ op: 'profile', profile: 'ann' });
    expect([now.stateSeq, (now.record as Reply).timeline]).toEqual([kept.stateSeq, (kept.record as Reply).timeline]);
    expect(await asker.ask({ op: 'decide', profile: 'ann', slot: 'home', dryRun: true })).toMatchObject({ ok: true });
    expect((await asker.ask({ op: 'profile', profile: 'bob' })).stateSeq).toBe(0);
    // Learnt again from the journal, once.
    expect(Buffer.from(shard.models.response.weights.buffer).equals(Buffer.from(weights.buffer))).toBe(true);
    // The write that failed may land yet: what it held stays held until that is known.
    expect(ledger.freeAmount(budget)).toBeLessThan(free);

    store.failure = null;
    await vi.waitFor(() => expect(told.readOnly).toEqual([true, false]), { timeout: 5_000 });
    expect(ledger.freeAmount(budget)).toBe(free);
    expect(await asker.ask({ op: 'track', profile: 'ann', event: 'view', messageId: 'n' })).toMatchObject({
      ok: true,
      duplicate: false,
    });
  });

  it('stopped in the middle of a checkpoint: the next start has every profile, from records alone', async () => {
    const store = new MemoryStore(new MemoryDisk(), 1, 0);
    const { asker, shard, told } = start(store);
    const profiles = Array.from({ length: 1_500 }, (_, n) => `p${n}`);
    for (const profile of profiles) asker.send({ op: 'decide', profile, slot: 'home' });
    await asker.ask({ op: 'track', profile: 'p0', event: 'view' });
    // The checkpoint goes at 400 records a second: it is under way, and far from done.
    await vi.waitFor(() => expect(shard.runtime.dirtyInCycle).toBeGreaterThan(0), { timeout: 10_000 });
    await vi.waitFor(() => expect(shard.runtime.dirtyInCycle).toBeLessThan(1_450), { timeout: 10_000 });
    expect(told.checkpoints).toBe(0);
    for (const profile of profiles.slice(0, 50)) await asker.ask({ op: 'decide', profile, slot: 'home' });
    await stopped(shard);
    // The checkpoint claims the records to be whole: then nothing of the journal may be missed.
    store.disk.journal.clear();
    const again = new MemoryStore(store.disk, 2, 0);
    const next = start(again, 2);
    expect(next.shard.runtime.profiles.count).toBe(0);
    for (const [n, profile] of profiles.entries()) {
      const reply = await next.asker.ask({ op: 'decide', profile, slot: 'home', dryRun: true });
      expect(reply.stateSeq).toBe(n === 0 ? 3 : n < 50 ? 2 : 1);
    }
  });

  it('on LMDB: what was acknowledged is there after a stop and a start, budgets included', async () => {
    const path = temporaryFolder();
    const first = start(LmdbStore.open({ path, epoch: 1, stream: 0 }));
    const decided = await first.asker.ask({ op: 'decide', profile: 'ann', slot: 'home' });
    await first.asker.ask({ op: 'confirm', decisionId: decided.decisionId as string });
    await first.asker.ask({ op: 'track', profile: 'ann', event: 'view', messageId: 'm' });
    await first.asker.ask({ op: 'identify', profile: 'ann', traits: { age: 40 } });
    const before = await first.asker.ask({ op: 'profile', profile: 'ann' });
    await stopped(first.shard);
    const second = start(LmdbStore.open({ path, epoch: 2, stream: 0 }), 2);
    const after = await second.asker.ask({ op: 'profile', profile: 'ann' });
    // Worked out as of the moment that asks: the calendar, and how fresh what is known is.
    const { calendar: _then, quality: qualityBefore, ...recordBefore } = before.record as Reply; // a map, by `describe`
    const { calendar: _now, quality: qualityAfter, ...recordAfter } = after.record as Reply; // a map, by `describe`
    expect(qualityAfter).toMatchObject({
      newestEpochMillis: (qualityBefore as Reply).newestEpochMillis, // a map likewise
      completeness: (qualityBefore as Reply).completeness, // a map likewise
    });
    expect(recordAfter).toEqual(recordBefore);
    expect(await second.asker.ask({ op: 'track', profile: 'ann', event: 'view', messageId: 'm' })).toMatchObject({
      duplicate: true,
    });
    const { ledger } = second.shard.runtime.options;
    expect(ledger.freeAmount(second.shard.runtime.index.catalog.actions[0]?.hash ?? 0)).toBe(100_000 - 10);
  });

  it('fallback: stands in for a refusal where a deadline was given, and holds, counts and logs nothing', async () => {
    const store = new MemoryStore(new MemoryDisk(), 1, 0);
    const { asker, shard, told } = start(store, 1, WITH_FALLBACK);
    store.failure = new Error('store: the disk is full, on purpose');
    const writing = asker.send({ op: 'track', profile: 'ann', event: 'view' });
    await vi.waitFor(() => expect(told.readOnly).toEqual([true]));
    expect(asker.answers.get(writing)?.ok).toBe(false);
    const decide = { op: 'decide', profile: 'ann', slot: 'home' };
    expect(await asker.ask({ ...decide, deadlineMillis: 50, sku: 'coffee' })).toEqual({
      id: expect.any(Number),
      ok: true,
      serverMicros: expect.any(Number),
      decisionId: null,
      stateSeq: 0,
      catalogVersion: shard.runtime.index.catalog.version,
      modelVersion: shard.models.epoch,
      actions: [
        {
          action: 'safe',
          creative: 'plain',
          channel: 'app',
          score: 0,
          responseProbability: 0,
          value: 5,
          propensity: 1,
          explored: false,
          leaseExpiresAtEpochMillis: null,
        },
      ],
      fallback: true,
    });
    expect((await asker.ask(decide)).code).toBe(FAULT.readOnly.code);
    expect((await asker.ask({ op: 'track', profile: 'ann', event: 'view', deadlineMillis: 50 })).code).toBe(
      FAULT.readOnly.code,
    );
    expect(await asker.ask({ ...decide, dryRun: true, deadlineMillis: 50 })).toMatchObject({ fallback: false });
    expect((await asker.ask({ op: 'profile', profile: 'ann' })).stateSeq).toBe(0);
    store.failure = null;
    await vi.waitFor(() => expect(told.readOnly).toEqual([true, false]), { timeout: 5_000 });
    // A caller's own mistake is said as ever.
    expect((await asker.ask({ ...decide, slot: 'attic', deadlineMillis: 50 })).code).toBe(FAULT.unknownSlot.code);
    expect(await asker.ask({ ...decide, deadlineMillis: 5_000 })).toMatchObject({
      ok: true,
      fallback: false,
      stateSeq: 1,
    });
  });

  it('overload: a deadline that cannot be met is answered at once with the fallback, and all is decided again after it', async () => {
    const { asker } = start(new MemoryStore(new MemoryDisk(), 1, 0), 1, WITH_FALLBACK);
    const startedAt = monotonicMicros();
    const withFallback = (): number => [...asker.answers.values()].filter(({ fallback }) => fallback === true).length;
    let sent = 0;
    while (withFallback() < 100 && monotonicMicros() - startedAt < 10e6) {
      for (let n = 0; n < 1_500; n++)
        asker.send({ op: 'decide', profile: `p${sent++ % 5_000}`, slot: 'home', deadlineMillis: 1 });
      await new Promise(setImmediate);
    }
    await vi.waitFor(() => expect(asker.answers.size).toBe(sent), { timeout: 10_000 });
    // Nobody who named a deadline is refused.
    expect([...asker.answers.values()].filter(({ ok }) => ok !== true)).toEqual([]);
    expect(withFallback()).toBeGreaterThanOrEqual(100);
    expect(await asker.ask({ op: 'decide', profile: 'ann', slot: 'home', deadlineMillis: 5_000 })).toMatchObject({
      fallback: false,
    });
  });

  it('a repeated event: is not acknowledged before the first one is on disk, after a commit of nothing', async () => {
    const lmdb = LmdbStore.open({ path: temporaryFolder(), epoch: 1, stream: 0 });
    const held: (() => void)[] = [];
    let isHolding = false;
    const store = new Proxy(lmdb, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        const bound = value.bind(target) as (...words: unknown[]) => unknown; // a method of the store
        if (name !== 'commit' || !isHolding) return bound;
        return async () => {
          await bound();
          await new Promise<void>((resolve) => held.push(resolve));
        };
      },
    });
    const { asker, shard } = start(store);
    await asker.ask({ op: 'track', profile: 'ann', event: 'view' });
    // Nothing is open: it settles at once, and says nothing of the batch to come.
    shard.writer.commit();
    await new Promise(setImmediate);
    isHolding = true;
    const view = { op: 'track', profile: 'ann', event: 'view', messageId: 'm' };
    expect(await asker.ask({ ...view, durability: 'applied' })).toMatchObject({ duplicate: false });
    shard.writer.commit();
    const repeated = asker.send(view);
    await new Promise(setImmediate);
    expect(asker.answers.has(repeated)).toBe(false);
    isHolding = false;
    await vi.waitFor(() => {
      for (const settle of held.splice(0)) settle();
      expect(asker.answers.get(repeated)).toMatchObject({ ok: true, duplicate: true });
    });
  });

  it('stop: while a write is being tried again, nothing is read back from the closed store', async () => {
    const store = new MemoryStore(new MemoryDisk(), 1, 0);
    const { asker, shard, told } = start(store);
    let answerTry: (isWriting: boolean) => void = () => {};
    store.recover = () =>
      new Promise((resolve) => {
        answerTry = resolve;
      });
    const tries = vi.spyOn(store, 'recover');
    store.failure = new Error('store: the disk is full, on purpose');
    await asker.ask({ op: 'track', profile: 'ann', event: 'view' });
    await vi.waitFor(() => expect(tries).toHaveBeenCalled(), { timeout: 5_000 });
    await stopped(shard);
    const reads = vi.spyOn(store, 'scanJournal');
    answerTry(true);
    await new Promise(setImmediate);
    expect(reads).not.toHaveBeenCalled();
    expect(told.readOnly).toEqual([true]);
  });

  it('stop: what the main thread still asks for is passed over', async () => {
    const { shard, asker } = start(LmdbStore.open({ path: temporaryFolder(), epoch: 1, stream: 0 }));
    await asker.ask({ op: 'track', profile: 'ann', event: 'view' });
    await stopped(shard);
    expect(() => shard.adoptBase()).not.toThrow();
    expect(shard.takeSnapshot()).toBeNull();
    const commits = vi.spyOn(shard.runtime.store, 'commit');
    shard.writer.commit();
    expect(commits).not.toHaveBeenCalled();
  });

  it('trim: a write that the full disk refuses ends it, and not the worker', async () => {
    const store = new MemoryStore(new MemoryDisk(), 1, 0);
    const { shard } = start(store);
    shard.adoptBase();
    store.commitNow();
    const full = new StoreError(STORE_ERROR.DISK_FULL, 'the disk is full, on purpose');
    const bug = new TypeError('a bug of ours');
    const fails = vi.fn<() => Promise<number>>().mockRejectedValueOnce(full).mockRejectedValueOnce(bug);
    Object.assign(store, { trimJournal: fails });
    expect(await shard.trimJournal(0)).toBe(0);
    await expect(shard.trimJournal(0)).rejects.toBe(bug);
  });

  it('trim: waits until the checkpoint it goes by is on disk, and leaves the journal alone where that is not', async () => {
    const store = new MemoryStore(new MemoryDisk(), 1, 0);
    const { shard, told } = start(store);
    shard.adoptBase();
    await shard.writer.written();
    const trims = vi.fn<() => Promise<number>>().mockResolvedValue(7);
    Object.assign(store, { trimJournal: trims });
    const settles: (() => void)[] = [];
    store.holdCommit = (settle) => settles.push(settle);
    // A checkpoint that the store shows already, and the disk does not have.
    writeCheckpoint(store, 1, 0, { batch: 9, ledger: [] });
    const waits = shard.trimJournal(0);
    await new Promise(setImmediate);
    expect(trims).not.toHaveBeenCalled();
    store.holdCommit = null;
    for (const settle of settles) settle();
    expect(await waits).toBe(7);
    expect(trims).toHaveBeenCalledTimes(1);
    writeCheckpoint(store, 1, 0, { batch: 12, ledger: [] });
    store.failure = new Error('store: the disk is full, on purpose');
    expect(await shard.trimJournal(0)).toBe(0);
    expect(trims).toHaveBeenCalledTimes(1);
    expect(told.readOnly).toEqual([true]);
  });

  it('trim: while a write is under way it acknowledges nothing of it', async () => {
    const store = new MemoryStore(new MemoryDisk(), 1, 0);
    const { shard, asker } = start(store);
    shard.adoptBase();
    await shard.writer.written();
    Object.assign(store, { trimJournal: () => Promise.resolve(0) });
    const settles: (() => void)[] = [];
    store.holdCommit = (settle) => settles.push(settle);
    const tracked = asker.send({ op: 'track', profile: 'ann', event: 'view' });
    await vi.waitFor(() => expect(settles).toHaveLength(1));
    // Whatever is written from here on is done at once.
    store.holdCommit = null;
    const trimmed = shard.trimJournal(0);
    await new Promise(setImmediate);
    expect(asker.answers.has(tracked)).toBe(false);
    for (const settle of settles) settle();
    await trimmed;
    await vi.waitFor(() => expect(asker.answers.get(tracked)).toMatchObject({ ok: true, durability: 'committed' }));
  });

  it('a failed write: leases of records that no journal entry names are watched again', async () => {
    const store = new MemoryStore(new MemoryDisk(), 1, 0);
    const { asker, shard, told } = start(store);
    await asker.ask({ op: 'decide', profile: 'ann', slot: 'home', durability: 'committed' });
    expect(shard.runtime.wheel.pending).toBe(1);
    // As after a checkpoint and a trim: the lease stands in the record alone.
    shard.runtime.beginCycle();
    shard.runtime.writeRecords(10);
    store.commitNow();
    store.disk.journal.clear();
    store.failure = new Error('store: the disk is full, on purpose');
    await asker.ask({ op: 'track', profile: 'bob', event: 'view' });
    store.failure = null;
    await vi.waitFor(() => expect(told.readOnly).toEqual([true, false]), { timeout: 5_000 });
    await vi.waitFor(() => expect(shard.runtime.wheel.pending).toBeGreaterThan(0), { timeout: 5_000 });
  });

  it('overload: more than is served is refused with 1505, every request has one answer, and then all is well', async () => {
    const { asker } = start(new MemoryStore(new MemoryDisk(), 1, 0));
    const codes = (): Plain[] => [...asker.answers.values()].map(({ ok, code }) => (ok === true ? 0 : (code ?? null)));
    const startedAt = monotonicMicros();
    let sent = 0;
    // Open loop: each pass of the event loop brings more than it serves, whatever the machine.
    while (!codes().includes(FAULT.overloaded.code) && monotonicMicros() - startedAt < 10e6) {
      for (let n = 0; n < 1_500; n++)
        asker.send({ op: 'decide', profile: `p${sent++ % 5_000}`, slot: 'home', dryRun: true });
      await new Promise(setImmediate);
    }
    await vi.waitFor(() => expect(asker.answers.size).toBe(sent), { timeout: 10_000 });
    expect(codes()).toContain(FAULT.overloaded.code);
    expect(new Set(codes())).toEqual(new Set([0, FAULT.overloaded.code]));
    const refused = [...asker.answers.values()].find(({ code }) => code === FAULT.overloaded.code);
    expect(refused).toMatchObject({ status: 'RESOURCE_EXHAUSTED', retry: 'later', retryAfterMillis: 100 });
    expect(await asker.ask({ op: 'decide', profile: 'ann', slot: 'home' })).toMatchObject({ ok: true });
  });
});
