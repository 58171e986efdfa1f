/**
 * Shard workers on the running server: who owns what, forwarding, another number of workers over the same
 * data, and a worker that fails while the others go on.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { partitionOfKey } from '../../proto/partition.ts';
import { FAULT } from '../../proto/statuses.ts';
import { monotonicMillis } from '../../workers/clock.ts';
import { auditViews, EventWriter } from './event-writer.ts';
import { RunningNode, until } from './running-node.ts';
import { catalogText, DEFAULT_ACTIONS, writeCatalog } from './test-catalogs.ts';
import { WirePeer, type WireReply } from './wire-peer.ts';

const catalog = writeCatalog(catalogText());
/** The promise is one second on an idle machine; tests share their cores, so they only catch a replacement that does not come. */
const REPLACED_TEST_MILLIS = 5000;

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

let keys = 0;
/** A fresh key that worker `worker` of two owns. */
function keyOf(worker: number): string {
  for (;;) {
    const key = `key-${keys++}`;
    if (partitionOfKey(key) >> 7 === worker) return key;
  }
}

async function shardUrls(peer: WirePeer): Promise<string[]> {
  const { shards } = await peer.must({ op: 'hello' });
  return shards.map(({ url }: { url: string }) => url);
}

/** The reply without what differs from request to request. */
function facts({ id, serverMicros, ...rest }: WireReply): WireReply {
  expect(id).toBeGreaterThan(0);
  expect(serverMicros).toBeGreaterThanOrEqual(0);
  return rest;
}

/** What counts from the moment of asking is not the same for two requests: instants, what was learnt meanwhile, and the last digits of chances. */
function timeless(reply: WireReply): WireReply {
  const plain = (name: string, value: unknown): unknown => {
    if (/Millis$|Seconds$|^local$|^signature$|^modelVersion$/.test(name)) return typeof value;
    return typeof value === 'number' ? Number(value.toPrecision(6)) : value;
  };
  return JSON.parse(JSON.stringify(reply, plain)) as WireReply; // a copy of what went in
}

describe.each(['uws', 'ws'] as const)('shards over %s', (transport) => {
  it('forwarding: the answer through the other worker equals the direct one, for every operation', async () => {
    node = await RunningNode.start({ transport, catalog, workers: 2 });
    const seed = await WirePeer.connect(node.url);
    const urls = await shardUrls(seed);
    expect(urls).toHaveLength(2);
    for (const encoding of ['msgpack', 'json'] as const) {
      const [owner, other] = [
        await WirePeer.connect(urls[0] ?? '', encoding),
        await WirePeer.connect(urls[1] ?? '', encoding),
      ];
      const profile = keyOf(0);
      expect((await other.must({ op: 'track', profile, event: 'view' })).stateSeq).toBe(1);
      expect((await owner.must({ op: 'track', profile, event: 'view' })).stateSeq).toBe(2);
      await other.must({ op: 'identify', profile, traits: { loyalty: 'gold' } });
      const look = { op: 'decide', profile, slot: 'golden', sku: 'espresso', dryRun: true, explain: true };
      const [direct, forwarded] = [await owner.must(look), await other.must(look)];
      expect(timeless(facts(forwarded))).toEqual(timeless(facts(direct)));
      const { decisionId } = await other.must({ op: 'decide', profile, slot: 'capped' });
      await other.must({ op: 'confirm', decisionId });
      expect(await owner.ask({ op: 'release', decisionId })).toMatchObject({ code: FAULT.leaseConfirmed.code });
      expect(await other.ask({ op: 'release', decisionId })).toMatchObject({ code: FAULT.leaseConfirmed.code });
      expect(facts(await other.must({ op: 'profile', profile })).record.traits).toEqual({ loyalty: 'gold' });
      const [shown, shownByOwner] = [
        await other.must({ op: 'profile', profile }),
        await owner.must({ op: 'profile', profile }),
      ];
      expect(shown.record.timeline).toEqual(shownByOwner.record.timeline);
      owner.close();
      other.close();
    }
    const before = await node.metric('opportune_forwards_total', { direction: 'sent' });
    const owner = await WirePeer.connect(urls[0] ?? '');
    await owner.must({ op: 'track', profile: keyOf(0), event: 'view' });
    await owner.must({ op: 'decide', profile: keyOf(0) });
    expect(await node.metric('opportune_forwards_total', { direction: 'sent' })).toBe(before);
    await owner.must({ op: 'decide', profile: keyOf(1) });
    expect(await node.metric('opportune_forwards_total', { direction: 'sent' })).toBe(before + 1);
    expect(await node.stop()).toBe(0);
  });

  it('worker-error: closes its own sockets, is replaced, has lost nothing; the other worker goes on throughout', async () => {
    node = await RunningNode.start({ transport, catalog, workers: 2, words: ['--drills'] });
    const seed = await WirePeer.connect(node.url);
    const urls = await shardUrls(seed);
    const steady = await WirePeer.connect(urls[0] ?? '');
    const doomed = await WirePeer.connect(urls[1] ?? '');
    const writer = new EventWriter(16);
    const [profileOf0, profileOf1] = [keyOf(0), keyOf(1)];
    const writing = Promise.all([
      writer.write(doomed, 16),
      writer.write(await WirePeer.connect(urls[1] ?? '', 'json'), 16),
    ]);
    await until(() => writer.acknowledgedCount > 500);

    const startMillis = monotonicMillis();
    await node.drill('worker-error', 1);
    let answered = 0;
    let worstMillis = 0;
    const refusals = new Set<number>();
    for (;;) {
      const askedMillis = monotonicMillis();
      await steady.must({ op: 'track', profile: profileOf0, event: 'view' });
      worstMillis = Math.max(worstMillis, monotonicMillis() - askedMillis);
      answered++;
      const reply = await steady.ask({ op: 'decide', profile: profileOf1, dryRun: true });
      if (reply.ok && doomed.closeCode !== undefined) break;
      if (!reply.ok) refusals.add(reply.code);
    }
    const servedMillis = monotonicMillis() - startMillis;
    expect([...refusals].filter((code) => code !== FAULT.shardRecovering.code)).toEqual([]);
    // 1006 where the failing worker could not get its close frame out in its last moment.
    expect([1012, 1006]).toContain(await doomed.closed);
    await writing;
    expect(steady.closeCode).toBeUndefined();
    expect(answered).toBeGreaterThan(0); // a replacement leaves little time for more
    const again = await WirePeer.connect(urls[1] ?? '');
    const listenMillis = monotonicMillis() - startMillis;
    expect(listenMillis).toBeLessThan(REPLACED_TEST_MILLIS);
    expect(await auditViews(again, writer)).toEqual({ missing: 0, surplus: 0 });
    await writer.resend(again);
    expect(await auditViews(again, writer)).toEqual({ missing: 0, surplus: 0 });
    const status = await node.json<{ ready: boolean; shards: { restarts: number }[] }>('/readyz');
    expect(status).toMatchObject({ ready: true, shards: [{ restarts: 0 }, { restarts: 1 }] });
    expect(await node.metric('opportune_shard_restarts_total', { shard: '1' })).toBe(1);
    // The replacement forwards, is forwarded to, and takes connections on the shared port.
    const forwards = await node.metric('opportune_forwards_total', { direction: 'sent', shard: '1' });
    await again.must({ op: 'track', profile: profileOf0, event: 'view' });
    expect(await node.metric('opportune_forwards_total', { direction: 'sent', shard: '1' })).toBe(forwards + 1);
    console.log(
      `MEASURED worker-error over ${transport}: its partitions answer again after ${Math.round(servedMillis)} ms, its port after ` +
        `${Math.round(listenMillis)} ms; ${answered} events committed on the other worker meanwhile, the slowest in ${worstMillis.toFixed(1)} ms`,
    );
    expect(await node.stop()).toBe(0);
  });

  it.each(['worker-exit', 'worker-hang'] as const)(
    '%s: the worker is replaced, or a supervised process serves again, and nothing is lost',
    async (drill) => {
      const words = ['--drills', '--supervise', '--stuck-seconds', '2'];
      node = await RunningNode.start({ transport, catalog, workers: 2, words });
      const writer = new EventWriter(16);
      const peer = await WirePeer.connect(node.url);
      const urls = await shardUrls(peer);
      const direct = await WirePeer.connect(urls[1] ?? '');
      const writing = writer.write(direct, 16);
      await until(() => writer.acknowledgedCount > 200);
      const starts = node.stdout.split('Opportune ').length;
      const startMillis = monotonicMillis();
      await node.drill(drill, 1);
      await writing;
      const serving = node;
      let how = 'the worker was replaced';
      await until(async () => {
        if (serving.stdout.split('Opportune ').length > starts) {
          how = 'the process was restarted by its supervisor';
          return serving.readBanner();
        }
        const status = await serving.get('/readyz').catch(() => undefined);
        return status?.status === 200 && status.text.includes('"restarts":1');
      });
      const again = await WirePeer.connect(node.url);
      const servedMillis = monotonicMillis() - startMillis;
      expect(servedMillis).toBeLessThan(8000);
      expect(await auditViews(again, writer)).toEqual({ missing: 0, surplus: 0 });
      await writer.resend(again);
      expect(await auditViews(again, writer)).toEqual({ missing: 0, surplus: 0 });
      if (drill === 'worker-hang') expect(node.stderr).toContain('WORKER_STUCK');
      console.log(`MEASURED ${drill} over ${transport}: ${how}, serving again after ${Math.round(servedMillis)} ms`);
      expect(await node.stop(), node.stderr).toBe(0);
    },
  );
});

describe('shards over the same data', () => {
  it('workers 1, 2, 3, 1: profiles, caps, quotes, leases and budgets are all kept', async () => {
    const actions = [...DEFAULT_ACTIONS];
    const own = writeCatalog(catalogText({ actions }));
    node = await RunningNode.start({ catalog: own, workers: 1 });
    const { data } = node;
    const profiles = Array.from({ length: 40 }, (_, n) => `kept-${n}`);
    let peer = await WirePeer.connect(node.url);
    const quotes = new Map<string, number>();
    const leases = new Map<string, string>();
    let budgetGranted = 0;
    for (const profile of profiles) {
      await peer.must({ op: 'identify', profile, traits: { loyalty: 'gold' } });
      await peer.must({ op: 'track', profile, event: 'view', messageId: 'first' });
      const answer = await peer.must({
        op: 'decide',
        profile,
        slot: 'capped',
        sku: 'espresso',
        want: ['action', 'price'],
      });
      quotes.set(profile, answer.price.priceMinor);
      leases.set(profile, answer.decisionId);
    }
    for (const [round, workers] of [2, 3, 1, 2].entries()) {
      expect(await node.stop()).toBe(0);
      node = await RunningNode.start({ catalog: own, data, workers });
      peer = await WirePeer.connect(node.url);
      expect(await shardUrls(peer)).toHaveLength(workers);
      for (const profile of profiles) {
        const { record, stateSeq } = await peer.must({ op: 'profile', profile });
        expect(record.traits).toEqual({ loyalty: 'gold' });
        expect(record.counters).toMatchObject([{ event: 'view', count: 1 }]);
        expect(stateSeq).toBe(3 + round);
        expect(await peer.must({ op: 'track', profile, event: 'view', messageId: 'first' })).toMatchObject({
          duplicate: true,
        });
        // The cap of three: one was granted at first, one a round, and then no more.
        const answer = await peer.must({
          op: 'decide',
          profile,
          slot: 'capped',
          sku: 'espresso',
          want: ['action', 'price'],
        });
        expect(answer.actions).toHaveLength(round < 2 ? 1 : 0);
        expect(answer.price.priceMinor).toBeLessThanOrEqual(quotes.get(profile) ?? 0);
        expect(record.calendar.leases[0]).toMatchObject({ decisionId: leases.get(profile), state: 'open' });
      }
      // Ten times the cost of 100 in the budget of 1000, over all starts: three a round.
      const requests = Array.from({ length: 3 }, (_, n) => ({
        op: 'decide',
        profile: `buyer-${round}-${n}`,
        slot: 'budget',
      }));
      for (const reply of await peer.askBatch(requests)) budgetGranted += reply.actions.length;
    }
    expect(budgetGranted).toBe(10);
    for (const decisionId of leases.values()) await peer.must({ op: 'confirm', decisionId });
    expect(await node.stop()).toBe(0);
  });
});

describe('a stop in the middle of a replacement', () => {
  // Whatever the replacement is doing: loading, recovering, opening its sockets; and while the next spare loads.
  it('ends in order, with everything written', async () => {
    const delays = [0, 150, 400, 1_700];
    const codes = await Promise.all(
      delays.map(async (delay) => {
        const node = await RunningNode.start({ catalog, words: ['--drills'] });
        await node.drill('worker-error', 0);
        await new Promise((resolve) => setTimeout(resolve, delay));
        return node.stop();
      }),
    );
    expect(codes).toEqual(delays.map(() => 0));
  });
});
