/** The promise of exact caps and budgets on the running server: many sockets, both workers, restarts, kill -9. */
import { afterEach, describe, expect, it } from 'vitest';
import { RunningNode } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const catalog = writeCatalog(catalogText());
const CAP = 3;
let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

/** Sockets on every port the node has, in turn: the shared one and each worker's own. */
async function connectAll(to: RunningNode, count: number): Promise<WirePeer[]> {
  const seed = await WirePeer.connect(to.url);
  const { shards } = await seed.must({ op: 'hello' });
  seed.close();
  const urls = [to.url, ...shards.map((shard: { url: string }) => shard.url)];
  return Promise.all(
    Array.from({ length: count }, (_, n) => WirePeer.connect(urls[n % urls.length], n % 2 ? 'json' : 'msgpack')),
  );
}

async function hammer(peers: readonly WirePeer[], profile: string, slot: string, times: number): Promise<string[]> {
  const request = { op: 'decide', profile, slot, want: ['action'] };
  const replies = await Promise.all(peers.map((peer) => peer.askBatch(Array.from({ length: times }, () => request))));
  const all = replies.flat();
  expect(all.filter((reply) => !reply.ok)).toEqual([]);
  return all.filter((reply) => reply.actions.length > 0).map((reply) => reply.decisionId as string);
}

describe.each(['uws', 'ws'] as const)('exact caps over %s', (transport) => {
  it('cap: 64 sockets hammering one profile over both workers get exactly three', async () => {
    node = await RunningNode.start({ transport, catalog });
    const peers = await connectAll(node, 64);
    for (const profile of ['hammered', 'hammered-too', 'and-another']) {
      const granted = await hammer(peers, profile, 'capped', 10);
      expect(granted).toHaveLength(CAP);
      expect(new Set(granted).size).toBe(CAP);
    }
    expect(await node.metric('opportune_forwards_total', { direction: 'sent' })).toBeGreaterThan(0);
    // A slot that is given back is granted once more, to exactly one of all who ask.
    const [first] = await hammer(peers, 'released', 'capped', 1);
    await peers[0]?.must({ op: 'release', decisionId: first });
    expect(await hammer(peers, 'released', 'capped', 3)).toHaveLength(1);
    for (const peer of peers) peer.close();
    expect(await node.stop()).toBe(0);
  });
});

describe('exact caps over restarts', () => {
  it('cap: still three after a restart within the lease, with another number of workers', async () => {
    node = await RunningNode.start({ catalog });
    let peers = await connectAll(node, 8);
    const [first] = await hammer(peers.slice(0, 1), 'p', 'capped', 1);
    for (const peer of peers) peer.close();
    expect(await node.stop()).toBe(0);

    node = await RunningNode.start({ catalog, data: node.data, workers: 3 });
    peers = await connectAll(node, 8);
    expect(await hammer(peers, 'p', 'capped', 10)).toHaveLength(CAP - 1);
    await peers[0]?.must({ op: 'confirm', decisionId: first });
    for (const peer of peers) peer.close();
    expect(await node.stop()).toBe(0);
  });

  it('cap: three in all through kill -9 when the decisions asked for committed', async () => {
    node = await RunningNode.start({ catalog });
    let peer = await WirePeer.connect(node.url);
    const request = { op: 'decide', profile: 'p', slot: 'capped', durability: 'committed' };
    const before = await peer.askBatch([request, request]);
    expect(before.map((reply) => reply.actions.length)).toEqual([1, 1]);
    await node.kill();
    node = await RunningNode.start({ catalog, data: node.data });
    peer = await WirePeer.connect(node.url);
    const after = await peer.askBatch([request, request, request]);
    expect(after.map((reply) => reply.actions.length)).toEqual([1, 0, 0]);
    await peer.must({ op: 'confirm', decisionId: before[0]?.decisionId });
  });

  it('budget: never exceeded by many profiles on both workers, given back by release, kept over restarts', async () => {
    node = await RunningNode.start({ catalog });
    const decide = (n: number) => ({ op: 'decide', profile: `buyer-${n}`, slot: 'budget', durability: 'committed' });
    const peers = await connectAll(node, 6);
    const replies = (
      await Promise.all(
        peers.map((peer, at) => peer.askBatch(Array.from({ length: 20 }, (_, n) => decide(at * 20 + n)))),
      )
    ).flat();
    // A budget of 1000 at a cost of 100 each.
    const granted = replies.filter((reply) => reply.actions.length === 1);
    expect(granted).toHaveLength(10);
    await peers[0]?.must({ op: 'release', decisionId: granted[0]?.decisionId });
    await peers[0]?.must({ op: 'confirm', decisionId: granted[1]?.decisionId });
    await node.kill();

    node = await RunningNode.start({ catalog, data: node.data, workers: 1 });
    let peer = await WirePeer.connect(node.url);
    let again = await peer.askBatch(Array.from({ length: 5 }, (_, n) => decide(1000 + n)));
    expect(again.filter((reply) => reply.actions.length === 1)).toHaveLength(1);
    expect(await node.stop()).toBe(0);

    node = await RunningNode.start({ catalog, data: node.data, workers: 3 });
    peer = await WirePeer.connect(node.url);
    again = await peer.askBatch(Array.from({ length: 5 }, (_, n) => decide(2000 + n)));
    expect(again.filter((reply) => reply.actions.length === 1)).toHaveLength(0);
    peer.close();
    expect(await node.stop()).toBe(0);
  });
});
