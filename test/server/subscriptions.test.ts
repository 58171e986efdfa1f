/** Subscriptions on the running server: answers are pushed when they become others, whoever and whatever changed them. */
import { afterEach, describe, expect, it } from 'vitest';
import { type Answer, connect, type OpportuneError } from '../../client/index.ts';
import { partitionOfKey } from '../../proto/partition.ts';
import { FAULT } from '../../proto/statuses.ts';
import { RunningNode, until } from './running-node.ts';
import { writeCatalog } from './test-catalogs.ts';
import { WirePeer, type WireReply } from './wire-peer.ts';

const TEXT = `version: 1
name: pushed
currency: EUR
timeZone: UTC
decision: { explorationProbability: 0 }
profile:
  traits: { level: { type: integer } }
  tags:
    fresh: { family: behaviour, when: 'count("view", "2s") > 0' }
feeds: { shop: { ttl: 1h, fields: { open: { type: boolean } } } }
channels: { app: {}, mail: {} }
slots: { home: { channels: [app] }, inbox: { channels: [mail] } }
products:
  - { sku: tea, listMinor: 900, floorMinor: 900, ceilingMinor: 900, costMinor: 100, stepMinor: 100 }
actions:
  - { key: low, channels: [app, mail], valueMinor: 100, eligibility: 'profile.level == 1' }
  - { key: high, channels: [app, mail], valueMinor: 100, eligibility: 'profile.level == 2' }
  - { key: now, channels: [app], valueMinor: 100, eligibility: 'tag("fresh")' }
`;

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

/** A key of the worker's, of two: each has half of the partitions. */
function keyOf(worker: number, name: string): string {
  for (let n = 0; ; n++) {
    const key = `${name}-${n}`;
    if (Math.floor(partitionOfKey(key) / 128) === worker) return key;
  }
}
const pushesOf = (peer: WirePeer): WireReply[] => peer.received.filter(({ push }) => push !== undefined);
const actionsOf = ({ actions }: WireReply): string[] => actions.map(({ action }: { action: string }) => action).sort();
const decide = { slot: 'home', count: 3 };

describe.each(['msgpack', 'json'] as const)('subscriptions over %s', (encoding) => {
  it('subscribe: told what a decide would answer, and again when it is another, from whichever worker and cause', async () => {
    node = await RunningNode.start({ catalog: writeCatalog(TEXT), workers: 2 });
    const { shards } = await (await WirePeer.connect(node.url)).must({ op: 'hello' });
    const teller = await WirePeer.connect(node.url);
    // Side by side, for each waits some seconds for what time alone changes.
    const watch = async (socket: number, owner: number): Promise<void> => {
      const peer = await WirePeer.connect(shards[socket].url, encoding);
      const profile = keyOf(owner, `ann-${socket}${owner}`);
      const level = (n: number): Promise<WireReply> => teller.must({ op: 'identify', profile, traits: { level: n } });
      await level(1);
      const id = peer.takeId();
      peer.send({ id, op: 'subscribe', profile, decide });
      const first = await peer.replyTo(id);
      expect(first).toMatchObject({ id, ok: true, decisionId: null, fallback: false });
      expect(actionsOf(first)).toEqual(['low']);
      await level(2);
      await until(() => pushesOf(peer).length === 1);
      const [push] = pushesOf(peer) as [WireReply];
      expect(push).toMatchObject({ push: 'decision', subscription: id, ok: true, decisionId: null });
      expect(push.stateSeq).toBeGreaterThan(first.stateSeq);
      expect(actionsOf(push)).toEqual(['high']);
      expect(push.id).toBeUndefined();
      // What changes nothing of the answer is told to nobody.
      await teller.must({ op: 'track', profile, event: 'other' });
      // By an event, and then by time alone.
      await teller.must({ op: 'track', profile, event: 'view' });
      await until(() => pushesOf(peer).length === 3);
      const told = pushesOf(peer).slice(1);
      expect(told.map(actionsOf)).toEqual([['high', 'now'], ['high']]);
      // Nothing was held or counted by any of it: no decision was made.
      expect((await teller.must({ op: 'profile', profile })).record.calendar.leases).toEqual([]);
      peer.close();
    };
    await Promise.all([watch(0, 0), watch(0, 1), watch(1, 0)]);
    expect(await node.metric('opportune_sent_pushes_total')).toBe(9);
    expect(await node.stop()).toBe(0);
  });

  it('unsubscribe: one question, or all of a profile; other subscriptions go on', async () => {
    node = await RunningNode.start({ catalog: writeCatalog(TEXT), workers: 2 });
    const peer = await WirePeer.connect(node.url, encoding);
    const inbox = { slot: 'inbox', count: 3 };
    for (const profile of ['ann', 'bob']) {
      await peer.must({ op: 'subscribe', profile, decide });
      await peer.must({ op: 'subscribe', profile, decide: inbox });
    }
    expect(await peer.must({ op: 'unsubscribe', profile: 'ann', decide: inbox })).toMatchObject({ ended: 1 });
    expect(await peer.must({ op: 'unsubscribe', profile: 'ann', decide: inbox })).toMatchObject({ ended: 0 });
    const level = (n: number) =>
      Promise.all(['ann', 'bob'].map((profile) => peer.must({ op: 'identify', profile, traits: { level: n } })));
    await level(1);
    await until(() => pushesOf(peer).length === 3);
    expect(await peer.must({ op: 'unsubscribe', profile: 'bob' })).toMatchObject({ ended: 2 });
    await level(2);
    await until(() => pushesOf(peer).length === 4);
    await peer.must({ op: 'ping' });
    expect(pushesOf(peer)).toHaveLength(4);
    expect(pushesOf(peer).at(-1)?.actions[0]).toMatchObject({ action: 'high', channel: 'app' });
    expect(await node.stop()).toBe(0);
  });
});

// What follows is behind the encoding: once is enough.
describe('subscriptions', () => {
  it('two keys that turn out to be one person, another catalog, a worker that dies: told all the same', async () => {
    const catalog = writeCatalog(TEXT);
    node = await RunningNode.start({ catalog, workers: 2, words: ['--drills'] });
    const other = await WirePeer.connect(node.url);
    // Its own worker is not the one that dies.
    const peer = await WirePeer.connect((await other.must({ op: 'hello' })).shards[0].url);
    const [visitor, member] = [keyOf(0, 'visitor'), keyOf(1, 'member')];
    await peer.must({ op: 'identify', profile: member, traits: { level: 1 } });
    expect(actionsOf(await peer.must({ op: 'subscribe', profile: visitor, decide }))).toEqual([]);
    await peer.must({ op: 'alias', from: visitor, to: member });
    await until(() => pushesOf(peer).length === 1);
    await peer.must({ op: 'identify', profile: member, traits: { level: 2 } });
    await until(() => pushesOf(peer).length === 2);
    writeCatalog(TEXT.replace('profile.level == 2', 'profile.level == 2 && feed("shop", "open", "x")'), catalog);
    await until(() => pushesOf(peer).length === 3);
    const open = { feed: 'shop', rows: [{ key: 'x', fields: { open: true } }] };
    const pushed = await fetch(`${node.admin}/v1/context`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(open),
    });
    expect(pushed.status).toBe(200);
    await until(() => pushesOf(peer).length === 4);
    expect(pushesOf(peer).map(actionsOf)).toEqual([['low'], ['high'], [], ['high']]);
    await node.drill('worker-error', 1);
    const again = await WirePeer.connect((await peer.must({ op: 'hello' })).shards[0].url);
    await until(async () => (await again.ask({ op: 'identify', profile: member, traits: { level: 1 } })).ok);
    await until(() => pushesOf(peer).length === 5);
    expect(pushesOf(peer).slice(4).map(actionsOf)).toEqual([['low']]);
    expect(await node.stop()).toBe(0);
  });

  it('what cannot be asked is refused by name; what can be asked no more ends; too many are refused', async () => {
    const catalog = writeCatalog(TEXT);
    node = await RunningNode.start({ catalog, workers: 2 });
    const peer = await WirePeer.connect(node.url);
    const refused = async (question: Record<string, unknown>): Promise<[number, string]> => {
      const { ok, code, message } = await peer.ask({ op: 'subscribe', profile: 'ann', ...question });
      expect(ok).toBe(false);
      return [code, message];
    };
    expect(await refused({})).toEqual([FAULT.invalidField.code, expect.stringContaining('decide')]);
    expect((await refused({ decide: 5 }))[0]).toBe(FAULT.invalidField.code);
    expect(await refused({ decide: { count: 0 } })).toEqual([
      FAULT.invalidField.code,
      expect.stringMatching(/^subscribe\.decide\.count: expected an integer/),
    ]);
    expect((await refused({ decide: { slot: 'attic' } }))[0]).toBe(FAULT.unknownSlot.code);
    expect((await refused({ decide: { want: ['miracle'] } }))[0]).toBe(FAULT.invalidField.code);
    const id = peer.takeId();
    peer.send({ id, op: 'subscribe', profile: 'ann', decide: { slot: 'inbox', known: 'forged', profile: 'eve' } });
    expect(await peer.replyTo(id)).toMatchObject({ ok: true });
    peer.send({ id, op: 'subscribe', profile: 'bob', decide });
    await until(() => peer.received.some(({ code }) => code === FAULT.invalidId.code));
    expect(
      (await refused({ decide: { context: { a: 'x'.repeat(4_000), b: 'y'.repeat(4_000), c: 'z'.repeat(400) } } }))[0],
    ).toBe(FAULT.tooLarge.code);
    const many = Array.from({ length: 256 }, (_, n) => ({ op: 'subscribe', profile: `p${n}`, decide }));
    const replies = await peer.askBatch(many);
    expect(replies.filter(({ ok }) => ok)).toHaveLength(255);
    expect(replies.at(-1)).toMatchObject({ code: FAULT.tooManySubscriptions.code, retry: 'later' });
    writeCatalog(TEXT.replace(', inbox: { channels: [mail] }', ''), catalog);
    await until(() => pushesOf(peer).some(({ push }) => push === 'ended'));
    expect(pushesOf(peer).find(({ push }) => push === 'ended')).toMatchObject({
      ...{ subscription: id, status: 'NOT_FOUND', code: FAULT.unknownSlot.code, retry: 'never' },
    });
    // What a connection asked for is kept nowhere when it has gone, some ten seconds later.
    await until(async () => (await node?.metric('opportune_subscriptions')) === 255);
    peer.close();
    await until(async () => (await node?.metric('opportune_subscriptions')) === 0);
    expect(await node.stop()).toBe(0);
  });

  it('ends with the person: erased under whichever key, or stored and not used any more; a new one may be asked for', async () => {
    node = await RunningNode.start({ catalog: writeCatalog(TEXT), workers: 2 });
    const peer = await WirePeer.connect(node.url);
    const endsOf = (id: number): WireReply[] =>
      pushesOf(peer).filter((p) => p.push === 'ended' && p.subscription === id);
    for (const worker of [0, 1]) {
      const [visitor, member] = [keyOf(worker, 'visitor'), keyOf(1 - worker, 'member')];
      for (const profile of [visitor, member]) await peer.must({ op: 'identify', profile, traits: { level: 1 } });
      await peer.must({ op: 'alias', from: visitor, to: member });
      const { id } = await peer.must({ op: 'subscribe', profile: visitor, decide });
      const { id: restrictedId } = await peer.must({ op: 'subscribe', profile: keyOf(worker, 'shy'), decide });
      await peer.must({ op: 'consent', profile: keyOf(worker, 'shy'), purposes: { processing: { granted: false } } });
      await until(() => endsOf(restrictedId).length === 1);
      expect(endsOf(restrictedId)[0]).toMatchObject({ status: 'FAILED_PRECONDITION', code: FAULT.restricted.code });
      expect(await peer.ask({ op: 'subscribe', profile: keyOf(worker, 'shy'), decide })).toMatchObject({
        ...{ ok: false, code: FAULT.restricted.code, retry: 'never' },
      });
      await peer.must({ op: 'erase', profile: member });
      // Somebody new under the key, at once: not the one who was watched.
      await peer.ask({ op: 'identify', profile: member, traits: { level: 2 } });
      await until(() => endsOf(id).length === 1);
      expect(endsOf(id)[0]).toMatchObject({ status: 'FAILED_PRECONDITION', code: FAULT.erased.code, retry: 'never' });
      expect(pushesOf(peer).filter(({ push, subscription }) => push === 'decision' && subscription === id)).toEqual([]);
      await until(async () => (await peer.ask({ op: 'subscribe', profile: visitor, decide })).ok);
    }
    expect(await node.stop()).toBe(0);
  });

  it('a client that does not read gets the newest answer when it does, and nobody waits for it', async () => {
    node = await RunningNode.start({ catalog: writeCatalog(TEXT), workers: 1 });
    const slow = await WirePeer.connect(node.url);
    const peer = await WirePeer.connect(node.url);
    const context = { filler: 'x'.repeat(4_000) };
    for (let n = 0; n < 200; n++)
      await slow.must({ op: 'subscribe', profile: 'ann', decide: { ...decide, explain: true, context } });
    slow.socket.pause();
    for (let n = 1; n <= 101; n++) await peer.must({ op: 'identify', profile: 'ann', traits: { level: 1 + (n % 2) } });
    slow.socket.resume();
    const newest = (): Map<number, string[]> =>
      new Map(pushesOf(slow).map((push) => [push.subscription, actionsOf(push)]));
    await until(() => newest().size === 200 && [...newest().values()].every(([action]) => action === 'high'));
    expect(slow.closeCode).toBeUndefined();
    expect(await node.stop()).toBe(0);
  });
});

describe('the SDK', () => {
  it('subscribe: tells each other answer, over a server that was killed; ends where it is told so; unsubscribes', async () => {
    const catalog = writeCatalog(TEXT);
    node = await RunningNode.start({ catalog, workers: 2 });
    const { data, url } = node;
    const client = connect({ url });
    const told: string[] = [];
    const errors: OpportuneError[] = [];
    const listener = {
      onAnswer: ({ actions }: Answer) => told.push(actions.map(({ action }) => action).join() || '-'),
      onEnd: (error: OpportuneError) => errors.push(error),
    };
    const handle = client.subscribe({ profile: 'ann', decide }, listener);
    client.subscribe({ profile: 'ann', decide: { slot: 'attic' } }, listener);
    await until(() => told.length === 1 && errors.length === 1);
    expect(errors[0]).toMatchObject({ code: FAULT.unknownSlot.code, retry: 'never' });
    await client.identify({ profile: 'ann', traits: { level: 1 } });
    await until(() => told.length === 2);
    const port = Number(new URL(url).port);
    await node.kill();
    node = await RunningNode.start({ catalog, workers: 2, data, words: ['--port', String(port)] });
    // Told again what it may have been told already, then the next.
    await until(() => told.length === 3);
    await client.identify({ profile: 'ann', traits: { level: 2 } });
    await until(() => told.length === 4);
    expect(told).toEqual(['-', 'low', 'low', 'high']);
    handle.unsubscribe();
    await client.identify({ profile: 'ann', traits: { level: 1 } });
    await client.ping();
    expect(told).toHaveLength(4);
    client.close();
    expect(await node.stop()).toBe(0);
  });
});
