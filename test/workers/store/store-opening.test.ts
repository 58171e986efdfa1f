/**
 * Processes that open a store beside its writer: no commit is lost by it, writers wait only for the moment, and
 * readers that die, halt or come too early hold nobody up for ever. That writers stand still while a reader opens is
 * shown by one that takes its time; a commit was lost only in about one of a hundred openings beside a busy node.
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { monotonicMillis } from '../../../workers/clock.ts';
import { StoreEnvironment } from '../../../workers/store/environment.ts';
import { LmdbStore } from '../../../workers/store/lmdb-store.ts';
import { processMark } from '../../../workers/store/process-mark.ts';
import { type KeeperOptions, OpeningKeeper, openBesideWriter } from '../../../workers/store/store-opening.ts';
import { GateHold, WritersGate } from '../../../workers/store/writers-gate.ts';
import { runScript } from './built-store.ts';
import { temporaryFolder } from './temporary-folder.ts';

const DEAD = JSON.stringify({ pid: 2 ** 22, startTicks: '1', bootId: null, nonce: '0123456789abcdef' });

function newPath(): string {
  return join(temporaryFolder(), 'store');
}

async function keep(storePath: string, more: Partial<KeeperOptions> = {}) {
  const troubles: string[] = [];
  const onTrouble = (reason: string): void => void troubles.push(reason);
  return { keeper: await OpeningKeeper.open({ storePath, writers: 1, onTrouble, ...more }), troubles };
}

/** Commits one entry after the other until it is told to stop; resolves to how many were acknowledged. */
function writeEntries(path: string, gate: WritersGate) {
  const store = LmdbStore.open({ path, epoch: 1, stream: 0, gate });
  const entry = new Uint8Array(64).fill(7);
  let isStopping = false;
  let acknowledged = 0;
  const ended = (async () => {
    while (!isStopping) {
      store.appendJournal(entry, 0, entry.length);
      await store.commit();
      acknowledged++;
    }
    await store.close();
    return acknowledged;
  })();
  const stop = (): Promise<number> => {
    isStopping = true;
    return ended;
  };
  return { count: () => acknowledged, stop };
}

function batchesIn(path: string): number {
  const store = LmdbStore.open({ path, epoch: 2, stream: 0 });
  let batches = 0;
  store.scanJournal([], () => void batches++);
  void store.close();
  return batches;
}

/** How long a count stood still at the longest until something ended, in milliseconds. */
async function longestStandstill(count: () => number, ended: Promise<unknown>): Promise<number> {
  let hasEnded = false;
  void ended.then(() => {
    hasEnded = true;
  });
  let [longest, last, since] = [0, count(), monotonicMillis()];
  while (!hasEnded) {
    await sleep(5);
    const [now, millis] = [count(), monotonicMillis()];
    longest = Math.max(longest, millis - since);
    if (now !== last) [last, since] = [now, millis];
  }
  return longest;
}

describe('store opening', () => {
  it('beside a writer, 60 times: every commit that was acknowledged is there', { timeout: 60_000 }, async () => {
    const path = newPath();
    const { keeper, troubles } = await keep(path);
    const writing = writeEntries(path, new WritersGate(keeper.memory, 0));
    const reader = runScript('open-store.mjs', [path, '60']);
    expect(await reader.ended).toMatchObject({ code: 0 });
    const acknowledged = await writing.stop();
    expect(acknowledged).toBeGreaterThan(60);
    expect(batchesIn(path)).toBe(acknowledged);
    await keeper.close();
    expect(troubles).toEqual([]);
    expect(readdirSync(path).toSorted()).toEqual(['data.mdb', 'lock.mdb']);
  });

  it('a reader that has leave and halts: it is ended, told, and the writer goes on', { timeout: 30_000 }, async () => {
    const path = newPath();
    const { keeper, troubles } = await keep(path, { holdMillisMax: 300 });
    const writing = writeEntries(path, new WritersGate(keeper.memory, 0));
    const reader = runScript('open-store.mjs', [path, 'halt']);
    await reader.line((line) => line.startsWith('has leave'));
    // The writer stands still meanwhile; when it is seen to go on again, the reader may be ended and not yet told so.
    const stillMillis = await longestStandstill(writing.count, reader.ended);
    expect(stillMillis).toBeGreaterThan(200);
    expect((await reader.ended).signal).toBe('SIGKILL');
    const before = writing.count();
    while (writing.count() < before + 5) await sleep(5);
    expect(troubles).toEqual([expect.stringMatching(/did not come back in 300 ms; it was ended/)]);
    await writing.stop();
    await keeper.close();
  });

  it('a reader that is killed with leave: the writer goes on without an operator', { timeout: 30_000 }, async () => {
    const path = newPath();
    const { keeper, troubles } = await keep(path);
    const writing = writeEntries(path, new WritersGate(keeper.memory, 0));
    const reader = runScript('open-store.mjs', [path, 'halt']);
    await reader.line((line) => line.startsWith('has leave'));
    reader.child.kill('SIGKILL');
    await reader.ended;
    const before = writing.count();
    while (writing.count() < before + 5) await sleep(5);
    expect(troubles).toEqual([]);
    await writing.stop();
    await keeper.close();
  });

  it('a start waits for a reader that knew of no writer', { timeout: 30_000 }, async () => {
    const path = newPath();
    const reader = runScript('open-store.mjs', [path, 'halt']);
    await reader.line((line) => line.startsWith('has leave'));
    let isOpen = false;
    const opening = keep(path, { holdMillisMax: 60_000 }).then((kept) => {
      isOpen = true;
      return kept;
    });
    await sleep(100);
    expect(isOpen).toBe(false);
    reader.child.kill('SIGKILL');
    await (await opening).keeper.close();
  });

  it('marks of dead processes, a torn one and a dead writer: cleared away, and nobody waits', async () => {
    const path = newPath();
    const folder = join(path, 'opening');
    mkdirSync(folder, { recursive: true });
    for (const name of ['writer', '0123456789abcdef.asks']) writeFileSync(join(folder, name), DEAD);
    writeFileSync(join(folder, 'torn.asks'), '{"pid":');
    expect(openBesideWriter(path, () => 'opened')).toBe('opened');
    const { keeper } = await keep(path);
    expect(readdirSync(folder)).toEqual(['writer']);
    await keeper.close();
    expect(existsSync(folder)).toBe(false);
  });

  it('within the writer’s own process: opens at once, whatever is under way', async () => {
    const path = newPath();
    const { keeper } = await keep(path);
    const gate = new WritersGate(keeper.memory, 0);
    expect(gate.tryEnter()).toBe(true);
    expect(openBesideWriter(path, () => readdirSync(join(path, 'opening')))).toEqual(['writer']);
    gate.leave(1);
    await keeper.close();
  });

  it('a folder of nobody: no trace stays, and what opening throws is thrown', () => {
    const path = newPath();
    mkdirSync(path);
    const broken = (): never => {
      throw new Error('broken');
    };
    expect(() => openBesideWriter(path, broken)).toThrow('broken');
    expect(readdirSync(path)).toEqual([]);
  });

  it('the mark names this process', () => {
    expect(JSON.parse(processMark('n'))).toMatchObject({ pid: process.pid, nonce: 'n' });
  });
});

describe('writers gate', () => {
  it('held: nobody enters, who is inside is waited for, and a new thread under a number begins with none', () => {
    const memory = new SharedArrayBuffer(12);
    const hold = new GateHold(memory);
    const first = new WritersGate(memory, 0);
    const second = new WritersGate(memory, 1);
    expect([first.tryEnter(), first.tryEnter(), second.tryEnter()]).toEqual([true, true, true]);
    hold.hold();
    expect([first.tryEnter(), hold.isStill]).toEqual([false, false]);
    first.leave(2);
    expect(hold.isStill).toBe(false);
    expect(new WritersGate(memory, 1).tryEnter()).toBe(false);
    expect(hold.isStill).toBe(true);
    hold.release();
    expect(second.tryEnter()).toBe(true);
  });

  it('a write that finds it held waits and is written then; a failed one does not hold it up', async () => {
    const path = newPath();
    const memory = new SharedArrayBuffer(8);
    const hold = new GateHold(memory);
    const environment = StoreEnvironment.open({ path, gate: new WritersGate(memory, 0) });
    hold.hold();
    let isWritten = false;
    const writing = environment
      .write(1, 8, () => environment.meta.put(Buffer.from('a'), new Uint8Array(8)))
      .then(() => {
        isWritten = true;
      });
    await sleep(20);
    expect([isWritten, hold.isStill]).toEqual([false, true]);
    hold.release();
    await writing;
    expect(hold.isStill).toBe(true);
    await environment.close();
  });
});
