/** A whole shard on one thread: requests in, answers out, a store that can be held up or made to fail. */

import { describe, expect, it, vi } from 'vitest';
import type { Plain } from '../../proto/messages.ts';
import { FAULT } from '../../proto/statuses.ts';
import { monotonicMicros } from '../../workers/clock.ts';
import { LmdbStore } from '../../workers/store/lmdb-store.ts';
import { MemoryDisk, MemoryStore } from '../actors/memory-store.ts';
import { COFFEE, catalogText } from '../actors/test-catalog.ts';
import { type Reply, start, stopped } from './lone-shard.ts';
import { temporaryFolder } from './store/temporary-folder.ts';

const WITH_FALLBACK = catalogText({
  decision: 'fallback: safe,',
  products: COFFEE,
  actions:
    '{ key: a, channels: [app], valueMinor: 90, costMinor: 10 }, { key: safe, channels: [app], valueMinor: 5, creatives: [plain, b] }',
});
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
