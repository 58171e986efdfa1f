/** Deadlines while two keys are being joined: who asked is answered in time, what was asked goes on, and is done once. */
import { describe, expect, it, vi } from 'vitest';
import { FAULT } from '../../../proto/statuses.ts';
import { MemoryDisk, MemoryStore } from '../../actors/memory-store.ts';
import { catalogText } from '../../actors/test-catalog.ts';
import { type Asker, start } from '../lone-shard.ts';

const CATALOG = catalogText({
  decision: 'fallback: safe,',
  actions: '{ key: a, channels: [app], valueMinor: 90 }, { key: safe, channels: [app], valueMinor: 5 }',
});
const JOIN = { op: 'alias', from: 'visitor', to: 'customer' };

/** A shard whose disk answers when `release` says so. */
function held(): { asker: Asker; release: () => void } {
  const store = new MemoryStore(new MemoryDisk(), 1, 0);
  const settles: (() => void)[] = [];
  store.holdCommit = (settle) => settles.push(settle);
  const release = (): void => {
    store.holdCommit = null;
    for (const settle of settles.splice(0)) settle();
  };
  return { asker: start(store, 1, CATALOG).asker, release };
}

describe('deadlines of a joining', () => {
  it('alias: answered in time that it is late; it goes on, and asked again they are one', async () => {
    const { asker, release } = held();
    const asked = performance.now();
    const reply = await asker.ask({ ...JOIN, deadlineMillis: 40 });
    expect(reply).toMatchObject({ ok: false, status: 'DEADLINE_EXCEEDED', code: FAULT.deadlineExceeded.code });
    expect(reply).toMatchObject({ retry: 'later', message: expect.stringMatching(/^deadlineMillis: .* goes on$/) });
    expect(performance.now() - asked).toBeGreaterThan(38);
    release();
    // The second waits for the first; the first is not answered a second time, which `asker` would refuse.
    expect(await asker.ask({ ...JOIN, deadlineMillis: 10_000 })).toMatchObject({ ok: true, merged: false });
    expect(await asker.ask({ op: 'profile', profile: 'visitor' })).toMatchObject({ record: { keys: [{}] } });
  });

  it('alias: one that is in time is answered once', async () => {
    const { asker, release } = held();
    release();
    const id = asker.send({ ...JOIN, deadlineMillis: 300 });
    await vi.waitFor(() => expect(asker.answers.get(id)).toMatchObject({ ok: true, merged: true }));
    await new Promise((wake) => setTimeout(wake, 350));
    expect(asker.answers.get(id)).toMatchObject({ ok: true, merged: true });
  });

  it('alias without `to` likewise', async () => {
    const store = new MemoryStore(new MemoryDisk(), 1, 0);
    const { asker } = start(store, 1, CATALOG);
    expect(await asker.ask(JOIN)).toMatchObject({ merged: true });
    const settles: (() => void)[] = [];
    store.holdCommit = (settle) => settles.push(settle);
    expect(await asker.ask({ op: 'alias', from: 'visitor', deadlineMillis: 30 })).toMatchObject({
      code: FAULT.deadlineExceeded.code,
    });
    store.holdCommit = null;
    for (const settle of settles) settle();
    await vi.waitFor(async () =>
      expect(await asker.ask({ op: 'alias', from: 'visitor' })).toMatchObject({ code: FAULT.notJoined.code }),
    );
  });

  it('what is asked of the key meanwhile keeps to its own: a decide gets the fallback, others the refusal', async () => {
    const { asker, release } = held();
    const joining = asker.send({ ...JOIN, deadlineMillis: 60_000 });
    const asked = performance.now();
    const decide = asker.ask({ op: 'decide', profile: 'visitor', slot: 'home', deadlineMillis: 30 });
    const track = asker.ask({ op: 'track', profile: 'visitor', event: 'view', deadlineMillis: 30 });
    const second = asker.ask({ ...JOIN, deadlineMillis: 30 });
    expect(await decide).toMatchObject({ ok: true, fallback: true, actions: [{ action: 'safe' }] });
    expect(await track).toMatchObject({ code: FAULT.deadlineExceeded.code });
    expect(await second).toMatchObject({ code: FAULT.deadlineExceeded.code });
    // Not when two seconds have passed, after which they would have been refused in any case.
    expect(performance.now() - asked).toBeLessThan(1_500);
    expect(asker.answers.has(joining)).toBe(false);
    release();
    await vi.waitFor(() => expect(asker.answers.get(joining)).toMatchObject({ ok: true, merged: true }));
    const { record } = (await asker.ask({ op: 'profile', profile: 'customer' })) as unknown as {
      record: { timeline: { type: string }[] };
    };
    // What was answered too late to be done was not done.
    expect(record.timeline.filter(({ type }) => type === 'event' || type === 'decision')).toEqual([]);
  });

  it('identify: the traits are kept, and the key among them is joined when it can be', async () => {
    const text = catalogText({
      traits: 'email: { type: string }',
      more: 'identity: { types: { mail: { limit: 5, trait: email } } }',
      actions: '{ key: a, channels: [app], valueMinor: 90 }',
    });
    const store = new MemoryStore(new MemoryDisk(), 1, 0);
    const settles: (() => void)[] = [];
    store.holdCommit = (settle) => settles.push(settle);
    const { asker } = start(store, 1, text);
    const id = asker.send({
      op: 'identify',
      profile: 'visitor',
      traits: { email: 'ann@example.org' },
      deadlineMillis: 900,
    });
    // The traits and the departure are on disk; the other side's part is not.
    await vi.waitFor(() => expect(settles).toHaveLength(1));
    settles.shift()?.();
    await vi.waitFor(() => expect(settles).toHaveLength(1));
    await vi.waitFor(() => expect(asker.answers.has(id)).toBe(true), { timeout: 5_000 });
    expect(asker.answers.get(id)).toMatchObject({
      code: FAULT.deadlineExceeded.code,
      message: expect.stringMatching(/^identify: the traits are kept/),
    });
    store.holdCommit = null;
    for (const settle of settles) settle();
    await vi.waitFor(async () =>
      expect(await asker.ask({ op: 'profile', profile: 'mail:ann@example.org' })).toMatchObject({
        record: { traits: { email: 'ann@example.org' }, keys: [{}] },
      }),
    );
  });
});
