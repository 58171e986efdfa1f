/** Every operation of the protocol on the running server: both transports, both encodings, a client that is not ours. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LIMITS } from '../../proto/limits.ts';
import { partitionOfKey } from '../../proto/partition.ts';
import { FAULT } from '../../proto/statuses.ts';
import { RunningNode, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer, type WireReply } from './wire-peer.ts';

const catalog = writeCatalog(catalogText());
let keys = 0;
function freshKey(): string {
  return `p${keys++}`;
}
/** A fresh key that the first (0) or second (1) of two workers owns. */
function freshKeyOf(worker: number): string {
  for (;;) {
    const key = freshKey();
    if (partitionOfKey(key) >> 7 === worker) return key;
  }
}
function refusal(fault: { status: string; code: number; retry: string }): Record<string, unknown> {
  return { ok: false, status: fault.status, code: fault.code, retry: fault.retry, message: expect.any(String) };
}

describe.each(['uws', 'ws'] as const)('operations over %s', (transport) => {
  let node: RunningNode;
  beforeAll(async () => {
    node = await RunningNode.start({ transport, catalog });
  });
  afterAll(async () => {
    expect(await node.stop()).toBe(0);
  });

  describe.each(['msgpack', 'json'] as const)('as %s', (encoding) => {
    let peer: WirePeer;
    beforeAll(async () => {
      peer = await WirePeer.connect(node.url, encoding);
    });
    afterAll(() => peer.close());

    it('hello: names limits, and shards that cover every partition once', async () => {
      const hello = await peer.must({ op: 'hello', client: 'test', version: '1' });
      expect(hello).toMatchObject({ protocol: 1, partitions: 256, limits: LIMITS });
      expect(hello.server).toMatch(/^opportune\//);
      expect(Math.abs(hello.timeEpochMillis - Date.now())).toBeLessThan(5000);
      const partitions = hello.shards
        .flatMap((shard: WireReply) => shard.partitions)
        .sort((a: number, b: number) => a - b);
      expect(partitions).toEqual(Array.from({ length: 256 }, (_, partition) => partition));
      expect(hello.shards).toHaveLength(2);
    });

    it('ping: answers with the time', async () => {
      const { timeEpochMillis, serverMicros } = await peer.must({ op: 'ping' });
      expect(Math.abs(timeEpochMillis - Date.now())).toBeLessThan(5000);
      expect(serverMicros).toBeGreaterThanOrEqual(0);
    });

    it('track: counts up the state, on disk by default, and says what durability it has', async () => {
      const profile = freshKey();
      const first = await peer.must({ op: 'track', profile, event: 'view' });
      expect(first).toMatchObject({ stateSeq: 1, durability: 'committed', duplicate: false });
      const second = await peer.must({ op: 'track', profile, event: 'view', durability: 'applied' });
      expect(second).toMatchObject({ stateSeq: 2, durability: 'applied' });
    });

    it('durability: replicated is refused without a cluster, for events and decisions', async () => {
      const profile = freshKey();
      for (const request of [
        { op: 'track', profile, event: 'view', durability: 'replicated' },
        { op: 'decide', profile, durability: 'replicated' },
      ]) {
        expect(await peer.ask(request)).toMatchObject(refusal(FAULT.unimplemented));
      }
      expect((await peer.must({ op: 'profile', profile })).stateSeq).toBe(0);
    });

    it('identify: traits are kept, shown, and change the next answer', async () => {
      const profile = freshKey();
      const ask = { op: 'decide', profile, slot: 'golden', want: ['action'] };
      expect((await peer.must(ask)).actions).toEqual([]);
      await peer.must({ op: 'identify', profile, traits: { loyalty: 'gold', age: 44 } });
      expect((await peer.must(ask)).actions).toMatchObject([{ action: 'golden' }]);
      expect((await peer.must({ op: 'profile', profile })).record.traits).toEqual({ loyalty: 'gold', age: 44 });
      await peer.must({ op: 'identify', profile, traits: { loyalty: null } });
      expect((await peer.must(ask)).actions).toEqual([]);
    });

    it('decide: a whole answer from one state, with action, price and time', async () => {
      const profile = freshKey();
      const answer = await peer.must({ op: 'decide', profile, slot: 'home', sku: 'espresso' });
      expect(answer).toMatchObject({ fallback: false, stateSeq: 1, catalogVersion: expect.any(String) });
      expect(answer.decisionId).toMatch(/^[A-Za-z0-9_-]{20}$/);
      expect(answer.actions).toMatchObject([{ action: 'plain', channel: 'app' }]);
      expect(answer.actions[0].propensity).toBeGreaterThan(0);
      expect(answer.actions[0].propensity).toBeLessThanOrEqual(1);
      expect(answer.actions[0].leaseExpiresAtEpochMillis).toBeGreaterThan(Date.now());
      const { price } = answer;
      expect(price).toMatchObject({ sku: 'espresso', currency: 'CNY', listMinor: 12900 });
      expect(Number.isInteger(price.priceMinor)).toBe(true);
      expect(price.priceMinor).toBeGreaterThanOrEqual(9900);
      expect(price.priceMinor).toBeLessThanOrEqual(13900);
      expect(price.signature).toEqual(expect.any(String));
      expect(answer.sendTime).toMatchObject({ timeZone: 'Asia/Shanghai', channel: 'app' });
    });

    it('decide: dry runs leave no trace, and explain says what was looked at', async () => {
      const profile = freshKey();
      const request = { op: 'decide', profile, slot: 'capped', dryRun: true, explain: true };
      for (let n = 0; n < 5; n++) {
        const answer = await peer.must(request);
        expect(answer).toMatchObject({ decisionId: null, stateSeq: 0 });
        expect(answer.actions).toMatchObject([{ action: 'capped', leaseExpiresAtEpochMillis: null }]);
        expect(answer.explain.counts).toMatchObject({ candidates: 1, eligible: 1, allowed: 1, scored: 1 });
      }
      expect((await peer.must({ op: 'profile', profile })).record.timeline).toEqual([]);
    });

    it('decide: explain names rule, value, threshold and when an action is eligible again', async () => {
      const profile = freshKey();
      for (let n = 0; n < 3; n++)
        expect((await peer.must({ op: 'decide', profile, slot: 'capped' })).actions).toHaveLength(1);
      const answer = await peer.must({ op: 'decide', profile, slot: 'capped', explain: true });
      expect(answer.actions).toEqual([]);
      const [rejected] = answer.explain.rejected.filter((row: WireReply) => row.action === 'capped');
      expect(rejected).toMatchObject({ action: 'capped', value: 3, threshold: 3 });
      expect(rejected.eligibleAgainAtEpochMillis).toBeGreaterThan(Date.now());
    });

    it('decide: minStateSeq ahead of the profile is FAILED_PRECONDITION, one that is reached is answered', async () => {
      const profile = freshKey();
      const { stateSeq } = await peer.must({ op: 'track', profile, event: 'view' });
      expect((await peer.must({ op: 'decide', profile, minStateSeq: stateSeq })).stateSeq).toBe(stateSeq + 1);
      const ahead = await peer.ask({ op: 'decide', profile, minStateSeq: stateSeq + 2 });
      expect(ahead).toMatchObject({ ...refusal(FAULT.staleState), retryAfterMillis: 50 });
    });

    it('confirm and release: end a lease once, and refuse the other way round', async () => {
      const profile = freshKey();
      const decide = { op: 'decide', profile, slot: 'capped' };
      const { decisionId: first } = await peer.must(decide);
      const { stateSeq } = await peer.must({ op: 'confirm', decisionId: first });
      expect((await peer.must({ op: 'confirm', decisionId: first })).stateSeq).toBe(stateSeq);
      expect(await peer.ask({ op: 'release', decisionId: first })).toMatchObject(refusal(FAULT.leaseConfirmed));
      const { decisionId: second } = await peer.must(decide);
      await peer.must({ op: 'release', decisionId: second });
      await peer.must({ op: 'release', decisionId: second });
      expect(await peer.ask({ op: 'confirm', decisionId: second })).toMatchObject(refusal(FAULT.leaseEnded));
      // One confirmed; the released one gave its slot back, so two more fit under the cap of three.
      const granted = [await peer.must(decide), await peer.must(decide), await peer.must(decide)];
      expect(granted.map(({ actions }) => actions.length)).toEqual([1, 1, 0]);
    });

    it('learning: an event decides the very next answer', async () => {
      const profile = freshKey();
      const decide = { op: 'decide', profile, slot: 'regular' };
      const replies = await peer.askBatch([
        decide,
        { op: 'track', profile, event: 'view' },
        decide,
        { op: 'track', profile, event: 'view' },
        decide,
      ]);
      expect([0, 2, 4].map((at) => replies[at]?.actions.length)).toEqual([0, 0, 1]);
    });

    it('learning: an outcome moves the model for everybody else on the shard by the next request', async () => {
      const profile = freshKey();
      const other = freshKeyOf(partitionOfKey(profile) >> 7);
      // Dry runs of one state repeat their draws, so that only the model can change the answer.
      const look = { op: 'decide', profile, slot: 'home', dryRun: true };
      const probability = async (): Promise<number> => (await peer.must(look)).actions[0].responseProbability;
      // What the other worker learnt in the tests before may come in between two of them.
      let before = Number.NaN;
      await until(async () => {
        before = await probability();
        return (await probability()) === before;
      });
      const { decisionId } = await peer.must({ op: 'decide', profile: other, slot: 'home' });
      await peer.must({ op: 'track', profile: other, event: 'click', decisionId });
      expect(await probability()).not.toBe(before);
    });

    it('messageId: the second of two in one frame is a duplicate, though neither is on disk yet', async () => {
      const profile = freshKey();
      const event = { op: 'track', profile, event: 'view', messageId: 'once' };
      const [first, second, other] = await peer.askBatch([event, event, { ...event, messageId: 'twice' }]);
      expect(first).toMatchObject({ ok: true, duplicate: false, stateSeq: 1 });
      expect(second).toMatchObject({ ok: true, duplicate: true, stateSeq: 1 });
      expect(other).toMatchObject({ ok: true, duplicate: false, stateSeq: 2 });
      const counters = (await peer.must({ op: 'profile', profile })).record.counters;
      expect(counters).toMatchObject([{ event: 'view', count: 2 }]);
    });

    it('batches: 1, 2 and 1024 requests are each answered; an empty one by nothing', async () => {
      const frames = peer.frameCount;
      peer.send([]);
      for (const size of [1, 2, 1024]) {
        const replies = await peer.askBatch(Array.from({ length: size }, () => ({ op: 'ping' })));
        expect(replies.every((reply) => reply.ok)).toBe(true);
      }
      expect(peer.frameCount).toBeGreaterThan(frames);
    });

    it('batches: 1024 requests of many profiles at once fill the window and are all carried out', async () => {
      const profiles = Array.from({ length: 64 }, freshKey);
      const events = Array.from({ length: 1024 }, (_, n) => ({ op: 'track', profile: profiles[n % 64], event: 'v' }));
      const replies = await peer.askBatch(events);
      expect(replies.filter((reply) => !reply.ok)).toEqual([]);
      expect(replies.slice(-64).map((reply) => reply.stateSeq)).toEqual(new Array(64).fill(16));
    });

    it('batches: 1025 requests are refused as a whole, with one reply without id', async () => {
      const before = peer.received.length;
      peer.send(Array.from({ length: 1025 }, () => ({ id: peer.takeId(), op: 'ping' })));
      await peer.must({ op: 'ping' });
      const replies = peer.received.slice(before, -1);
      expect(replies).toMatchObject([{ id: null, ...refusal(FAULT.tooLarge) }]);
    });

    it('batches: bad requests cost only themselves', async () => {
      const profile = freshKey();
      const replies = await peer.askBatch([
        { op: 'track', profile, event: 'view' },
        { op: 'track', profile, event: 7 },
        { op: 'nonsense' },
        { op: 'track', profile, event: 'view' },
        { op: 'decide', profile, slot: 'nowhere' },
      ]);
      expect(replies.map((reply) => reply.code ?? reply.stateSeq)).toEqual([1, 1001, 1802, 2, 1301]);
    });

    it('ids: one in flight is refused a second time, and free again once answered', async () => {
      const profile = freshKey();
      const id = peer.takeId();
      const before = peer.received.length;
      const event = { id, op: 'track', profile, event: 'view' };
      peer.send([event, event]);
      const done = await peer.must({ op: 'track', profile, event: 'after' });
      const replies = peer.received.slice(before).filter((reply) => reply.id === id);
      expect(replies).toHaveLength(2);
      expect(replies).toContainEqual(expect.objectContaining(refusal(FAULT.invalidId)));
      expect(done.stateSeq).toBe(2);
      peer.send(event);
      await peer.must({ op: 'track', profile, event: 'after' });
      expect(peer.received.filter((reply) => reply.id === id && reply.ok)).toHaveLength(2);
    });

    it('window: request 1025 in flight is RESOURCE_EXHAUSTED with a hint, the others go on', async () => {
      const own = await WirePeer.connect(node.url, encoding);
      const profile = freshKey();
      const events = Array.from({ length: 1026 }, () => ({ op: 'track', profile, event: 'v' }));
      const numbered = events.map((event) => ({ id: own.takeId(), ...event }));
      const replies = Promise.all(numbered.map(({ id }) => own.replyTo(id)));
      // Two frames in one write: the second is read before anything of the first can be on disk.
      own.socket.pause();
      own.send(numbered.slice(0, 1024));
      own.send(numbered.slice(1024));
      own.socket.resume();
      const all = await replies;
      const refused = all.filter((reply) => !reply.ok);
      for (const reply of refused)
        expect(reply).toMatchObject({ ...refusal(FAULT.tooManyInFlight), retryAfterMillis: 10 });
      // The disk may be quicker than the second frame: then nothing is refused, and nothing is lost either.
      expect(refused.length).toBeLessThanOrEqual(2);
      expect((await own.must({ op: 'profile', profile })).stateSeq).toBe(1026 - refused.length);
      own.close();
    });

    it.each(['whatIf'])('%s: known to the protocol, UNIMPLEMENTED here', async (op) => {
      expect(await peer.ask({ op, profile: 'somebody' })).toMatchObject(refusal(FAULT.unimplemented));
    });

    it.each([
      [{ slot: 'nowhere' }, FAULT.unknownSlot],
      [{ sku: 'nothing' }, FAULT.unknownSku],
      [{ actions: ['plain', 'nothing'] }, FAULT.unknownAction],
      [{ channel: 'pigeon' }, FAULT.unknownChannel],
    ])('decide: %o is NOT_FOUND and changes nothing', async (part, fault) => {
      const profile = freshKey();
      expect(await peer.ask({ op: 'decide', profile, ...part })).toMatchObject(refusal(fault));
      expect((await peer.must({ op: 'profile', profile })).stateSeq).toBe(0);
    });

    it('deadlines: one that passes in the mailbox is DEADLINE_EXCEEDED, and nothing is done', async () => {
      const { shards } = await peer.must({ op: 'hello' });
      const own = await WirePeer.connect(shards[0].url, encoding);
      const profiles = Array.from({ length: 600 }, () => freshKeyOf(0));
      // The first requests keep the worker busy for longer than the last one's budget of one millisecond.
      const busy = profiles.map((profile) => ({ op: 'decide', profile, count: 5, explain: true }));
      const profile = freshKeyOf(0);
      const replies = await own.askBatch([...busy, { op: 'track', profile, event: 'late', deadlineMillis: 1 }]);
      expect(replies.at(-1)).toMatchObject(refusal(FAULT.deadlineExceeded));
      expect(replies.slice(0, -1).filter((reply) => !reply.ok)).toEqual([]);
      expect((await own.must({ op: 'profile', profile })).stateSeq).toBe(0);
      own.close();
    });

    it('deadlines: one that passes while waiting for the disk is told so, and the write goes on', async () => {
      const profile = freshKey();
      const event = { op: 'track', profile, event: 'view', deadlineMillis: 1 };
      const replies: WireReply[] = [];
      for (let n = 0; n < 20; n++) replies.push(...(await peer.askBatch(Array.from({ length: 20 }, () => event))));
      const late = replies.filter((reply) => !reply.ok);
      for (const reply of late) expect(reply).toMatchObject(refusal(FAULT.deadlineExceeded));
      const undone = late.filter((reply) => !reply.message.includes('the write goes on'));
      expect((await peer.must({ op: 'profile', profile })).stateSeq).toBe(400 - undone.length);
    });

    it('deadlines: a generous one changes nothing', async () => {
      expect(
        (await peer.must({ op: 'track', profile: freshKey(), event: 'view', deadlineMillis: 60_000 })).stateSeq,
      ).toBe(1);
    });
  });
});

describe('operations after a restart', () => {
  it('messageId: a duplicate is known again after kill -9, and counted once', async () => {
    let node = await RunningNode.start({ catalog });
    let peer = await WirePeer.connect(node.url);
    const event = { op: 'track', profile: 'comes-back', event: 'view', messageId: 'm-1' };
    expect(await peer.must(event)).toMatchObject({ duplicate: false });
    await node.kill();
    node = await RunningNode.start({ catalog, data: node.data });
    peer = await WirePeer.connect(node.url);
    expect(await peer.must(event)).toMatchObject({ duplicate: true, stateSeq: 1 });
    expect((await peer.must({ op: 'profile', profile: 'comes-back' })).record.counters).toMatchObject([{ count: 1 }]);
    peer.close();
    expect(await node.stop()).toBe(0);
  });
});
