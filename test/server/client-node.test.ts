/** Our own client SDK, as built for applications, against the running server: routing, retries, restarts. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import type * as Sdk from '../../client/index.ts';
import { partitionOfKey } from '../../proto/partition.ts';
import { RunningNode, temporaryFolder, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';

// The built module: what an application gets.
const { connect, OpportuneError } = (await import(pathToFileURL(resolve('dist/client/index.js')).href)) as typeof Sdk; // built from that file

const catalog = writeCatalog(catalogText());
let node: RunningNode | undefined;
let client: Sdk.OpportuneClient | undefined;
afterEach(async () => {
  client?.close();
  if (node?.hasEnded === false) await node.kill();
});

describe.each([
  ['uws', 'msgpack'],
  ['ws', 'json'],
] as const)('client SDK over %s as %s', (transport, encoding) => {
  it('every operation: typed replies, and refusals as errors with status, code and retry', async () => {
    node = await RunningNode.start({ transport, catalog });
    const sdk = connect({ url: node.url, encoding, clientName: 'test', deadlineMillis: 10_000 });
    client = sdk;
    expect((await sdk.hello()).partitions).toBe(256);
    expect((await sdk.ping()).timeEpochMillis).toBeGreaterThan(1.7e12);
    const profile = 'sdk-person';
    expect(await sdk.track({ profile, event: 'view' })).toMatchObject({
      stateSeq: 1,
      durability: 'committed',
      duplicate: false,
    });
    await sdk.identify({ profile, traits: { loyalty: 'gold', age: 40 } });
    const decision = await sdk.decide({ profile, slot: 'golden', sku: 'espresso', explain: true });
    expect(decision.actions).toMatchObject([{ action: 'golden' }]);
    expect(decision.price?.currency).toBe('CNY');
    expect(decision.explain?.counts.eligible).toBe(1);
    await sdk.confirm(decision.decisionId ?? '');
    await expect(sdk.release(decision.decisionId ?? '')).rejects.toMatchObject({
      status: 'FAILED_PRECONDITION',
      code: 1402,
      retry: 'never',
    });
    await expect(sdk.decide({ profile, slot: 'nowhere' })).rejects.toBeInstanceOf(OpportuneError);
    expect((await sdk.profile(profile)).record.traits).toEqual({ age: 40, loyalty: 'gold' });
    const outcomes = await sdk.batch([
      { op: 'track', profile, event: 'view' },
      { op: 'decide', profile, slot: 'nowhere' },
      { op: 'decide', profile, slot: 'regular' },
    ]);
    expect(outcomes[0]).toMatchObject({ ok: true });
    expect(outcomes[1]).toMatchObject({ code: 1301 });
    expect(outcomes[2]).toMatchObject({ ok: true, actions: [{ action: 'regular' }] });
    sdk.close();
    expect(await node.stop()).toBe(0);
  });

  it('shard-aware routing: after hello nothing needs to be forwarded; without it, about half is', async () => {
    node = await RunningNode.start({ transport, catalog });
    const running = node;
    const forwards = (): Promise<number> => running.metric('opportune_forwards_total', { direction: 'sent' });
    const aware = connect({ url: node.url, encoding, deadlineMillis: 10_000 });
    client = aware;
    await aware.hello();
    const [first, second] = [0, 1].map((worker) => {
      let n = 0;
      while (partitionOfKey(`warm-${n}`) >> 7 !== worker) n++;
      return `warm-${n}`;
    }) as [string, string];
    // The first request to each worker opens its connection, and goes through the seed until that is open.
    await aware.decide({ profile: first });
    await aware.decide({ profile: second });
    await until(() => aware.openUrls.length === 3);
    const before = await forwards();
    for (let n = 0; n < 100; n++) {
      const { decisionId } = await aware.decide({ profile: `routed-${n}`, slot: 'home' });
      await aware.track({ profile: `routed-${n}`, event: 'view' });
      await aware.confirm(decisionId ?? '');
    }
    expect(await forwards()).toBe(before);
    aware.close();
    const unaware = connect({ url: node.url, encoding, isShardAware: false, deadlineMillis: 10_000 });
    client = unaware;
    for (let n = 0; n < 100; n++) await unaware.decide({ profile: `routed-${n}`, slot: 'home' });
    const forwarded = (await forwards()) - before;
    expect(forwarded).toBeGreaterThan(20);
    expect(forwarded).toBeLessThan(80);
    unaware.close();
    expect(await node.stop()).toBe(0);
  });
});

describe('client SDK over failures', () => {
  it('a server that is killed: decide falls back at once, events wait and are applied once when it is back', async () => {
    const data = temporaryFolder('sdk');
    node = await RunningNode.start({ catalog, data });
    const port = new URL(node.url).port;
    const sdk = connect({
      url: node.url,
      isShardAware: false,
      deadlineMillis: 20_000,
      defaultDecision: { actions: [] },
    });
    client = sdk;
    await sdk.track({ profile: 'p', event: 'view' });
    expect((await sdk.decide({ profile: 'p', slot: 'home' })).fallback).toBe(false);
    await node.kill();
    await until(() => sdk.status === 'offline');
    expect((await sdk.decide({ profile: 'p', slot: 'home' })).fallback).toBe(true);
    const waiting = Promise.all(Array.from({ length: 50 }, () => sdk.track({ profile: 'p', event: 'view' })));
    expect(sdk.queuedEventCount).toBeGreaterThan(0);
    node = await RunningNode.start({ catalog, data, words: ['--port', port] });
    expect((await waiting).every((reply) => !reply.duplicate)).toBe(true);
    expect((await sdk.profile('p')).record.counters).toMatchObject([{ event: 'view', count: 51 }]);
    sdk.close();
    expect(await node.stop()).toBe(0);
  });

  it('a worker that is replaced: the SDK tries events again until they are applied, once', async () => {
    node = await RunningNode.start({ catalog, words: ['--drills'] });
    const sdk = connect({ url: node.url, deadlineMillis: 20_000 });
    client = sdk;
    await sdk.hello();
    const people = Array.from({ length: 20 }, (_, n) => `p${n}`);
    const tracking: Promise<unknown>[] = [];
    for (let n = 0; n < 200; n++) {
      tracking.push(sdk.track({ profile: people[n % 20] as string, event: 'view' }));
      if (n === 100) await node.drill('worker-error', 1);
      if (n % 10 === 9) await sdk.ping().catch(() => undefined);
    }
    await Promise.all(tracking);
    for (const profile of people) expect((await sdk.profile(profile)).record.counters).toMatchObject([{ count: 10 }]);
    sdk.close();
    expect(await node.stop()).toBe(0);
  });
});
