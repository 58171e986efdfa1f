/** A catalog that changes under a running server: no request fails, quotes never rise, a bad file changes nothing. */
import { afterEach, describe, expect, it } from 'vitest';
import { EventWriter, viewCount } from './event-writer.ts';
import { RunningNode, until } from './running-node.ts';
import { catalogText, DEFAULT_ACTIONS, DEFAULT_TRAITS, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

interface Health {
  readonly catalog: { readonly name: string; readonly version: string; readonly refused: string | null };
}

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

/** Every worker answers from the catalog version that /healthz names. */
async function untilInForce(on: RunningNode, name: string): Promise<string> {
  await until(async () => (await on.json<Health>('/healthz')).catalog.name === name);
  const { version } = (await on.json<Health>('/healthz')).catalog;
  const peer = await WirePeer.connect(on.url);
  const { shards } = await peer.must({ op: 'hello' });
  for (const { url } of shards) {
    const direct = await WirePeer.connect(url);
    const { partitions } = shards.find((shard: { url: string }) => shard.url === url);
    const { partitionOfKey } = await import('../../proto/partition.ts');
    let n = 0;
    while (!partitions.includes(partitionOfKey(`probe-${n}`))) n++;
    await until(
      async () => (await direct.must({ op: 'decide', profile: `probe-${n}`, dryRun: true })).catalogVersion === version,
    );
    direct.close();
  }
  peer.close();
  return version;
}

const RELOADS = Number(process.env.CATALOG_RELOADS ?? 20);

describe('catalog reload', () => {
  it(`${RELOADS} reloads under load: every request is answered, every event counted, each version came into force`, {
    timeout: 90_000,
  }, async () => {
    const path = writeCatalog(catalogText({ name: 'round-0' }));
    node = await RunningNode.start({ catalog: path });
    const running = node;
    const writer = new EventWriter(16);
    const peers = await Promise.all([1, 2, 3].map(() => WirePeer.connect(running.url)));
    const writing = Promise.all(peers.slice(1).map((peer) => writer.write(peer, 8)));
    let isReloading = true;
    const versions = new Set<string>();
    let decided = 0;
    const deciding = (async () => {
      const [peer] = peers as [WirePeer];
      for (; isReloading; decided++) {
        const answer = await peer.must({
          op: 'decide',
          profile: `decided-${decided % 50}`,
          slot: 'home',
          sku: 'espresso',
        });
        expect(answer.actions).toMatchObject([{ action: 'plain' }]);
        versions.add(answer.catalogVersion);
      }
    })();
    for (let round = 1; round <= RELOADS; round++) {
      const actions = DEFAULT_ACTIONS.map((action) => action.replace('valueMinor: 100', `valueMinor: ${100 + round}`));
      writeCatalog(catalogText({ name: `round-${round}`, actions }), path);
      await until(async () => (await running.json<Health>('/healthz')).catalog.name === `round-${round}`);
    }
    isReloading = false;
    await deciding;
    writer.stop();
    await writing;
    expect([...writer.refusals]).toEqual([]);
    expect(writer.open.size).toBe(0);
    const [peer] = peers as [WirePeer];
    for (const profile of writer.profiles)
      expect(await viewCount(peer, profile)).toBe(writer.acknowledged.get(profile));
    expect(versions.size).toBeGreaterThan(10);
    expect(peers.map(({ closeCode }) => closeCode)).toEqual([undefined, undefined, undefined]);
    console.log(
      `MEASURED reloads: ${RELOADS} under load, ${writer.acknowledgedCount} events and ${decided} decisions without a failure`,
    );
    expect(await running.stop()).toBe(0);
  });

  it('broken file: refused with line and reason in the log and in /healthz; the old one stays, a good one ends it', async () => {
    const path = writeCatalog(catalogText({ name: 'good' }));
    node = await RunningNode.start({ catalog: path });
    const running = node;
    const { version } = (await running.json<Health>('/healthz')).catalog;
    const peer = await WirePeer.connect(running.url);
    const broken = [
      ['an unknown key', catalogText({ name: 'bad-1' }).replace('valueMinor: 900', 'valuMinor: 900'), 'valuMinor'],
      [
        'an unknown trait in a rule',
        catalogText({ name: 'bad-2' }).replace('profile.loyalty ==', 'profile.loyality =='),
        'loyality',
      ],
      ['no YAML', 'version: [1', ''],
      ['an empty file', '', ''],
    ] as const;
    for (const [what, text, word] of broken) {
      const refusals = running.logLines().filter((line) => line.msg.startsWith('catalog refused')).length;
      writeCatalog(text, path);
      await until(() => running.logLines().filter((line) => line.msg.startsWith('catalog refused')).length > refusals);
      const line = running.logLines().at(-1);
      expect(line, what).toMatchObject({ level: 50, reason: expect.stringContaining(word) });
      const health = await running.json<Health>('/healthz');
      expect(health.catalog).toMatchObject({ name: 'good', version, refused: expect.stringContaining(word) });
      expect((await running.get('/readyz')).status).toBe(200);
      expect((await peer.must({ op: 'decide', profile: 'p', slot: 'home' })).catalogVersion).toBe(version);
    }
    writeCatalog(catalogText({ name: 'better' }), path);
    await untilInForce(running, 'better');
    expect((await running.json<Health>('/healthz')).catalog.refused).toBeNull();
    expect(await running.stop()).toBe(0);
  });

  it('prices: a quote that was given does not rise with the catalog, a new person pays the new price', async () => {
    const product = (floor: number, ceiling: number): string =>
      `{ sku: espresso, listMinor: ${floor + 100}, floorMinor: ${floor}, ceilingMinor: ${ceiling}, costMinor: 100, stepMinor: 100, quoteTtlMillis: 900000 }`;
    const path = writeCatalog(catalogText({ name: 'cheap', products: [product(1000, 2000)] }));
    node = await RunningNode.start({ catalog: path });
    const peer = await WirePeer.connect(node.url);
    const ask = (profile: string) => ({ op: 'decide', profile, sku: 'espresso', want: ['price'] });
    const people = Array.from({ length: 20 }, (_, n) => `quoted-${n}`);
    const before = new Map<string, { priceMinor: number; expiresAtEpochMillis: number }>();
    for (const profile of people) before.set(profile, (await peer.must(ask(profile))).price);
    writeCatalog(catalogText({ name: 'dear', products: [product(5000, 9000)] }), path);
    await untilInForce(node, 'dear');
    for (const profile of people) {
      const { price } = await peer.must(ask(profile));
      const held = before.get(profile);
      expect(price.priceMinor).toBeLessThanOrEqual(held?.priceMinor ?? 0);
      // What holds the price back is not made to last longer by asking again.
      expect(price.expiresAtEpochMillis).toBe(held?.expiresAtEpochMillis);
    }
    expect((await peer.must(ask('new'))).price.priceMinor).toBeGreaterThanOrEqual(5000);
    // The promise is kept over a crash as well, once the quote is on disk.
    const { data } = node;
    await node.stop();
    node = await RunningNode.start({ catalog: path, data });
    const again = await WirePeer.connect(node.url);
    for (const profile of people) {
      expect((await again.must(ask(profile))).price.priceMinor).toBeLessThanOrEqual(
        before.get(profile)?.priceMinor ?? 0,
      );
    }
    expect(await node.stop()).toBe(0);
  });

  it('traits: a new one in front moves the others, and every record is derived anew', async () => {
    const path = writeCatalog(catalogText({ name: 'two-traits' }));
    node = await RunningNode.start({ catalog: path });
    const peer = await WirePeer.connect(node.url);
    const golden = { op: 'decide', profile: 'p', slot: 'golden', dryRun: true };
    await peer.must({ op: 'identify', profile: 'p', traits: { loyalty: 'gold', age: 30 } });
    expect((await peer.must(golden)).actions).toHaveLength(1);
    expect(await peer.ask({ op: 'identify', profile: 'p', traits: { city: 'Shanghai' } })).toMatchObject({
      code: 1004,
    });
    writeCatalog(catalogText({ name: 'three-traits', traits: ['city: { type: string }', ...DEFAULT_TRAITS] }), path);
    await untilInForce(node, 'three-traits');
    expect((await peer.must(golden)).actions).toHaveLength(1);
    await peer.must({ op: 'identify', profile: 'p', traits: { city: 'Shanghai' } });
    expect((await peer.must(golden)).actions).toHaveLength(1);
    expect((await peer.must({ op: 'profile', profile: 'p' })).record.traits).toEqual({
      age: 30,
      city: 'Shanghai',
      loyalty: 'gold',
    });
    // Values of the enum in another order: the stored word counts, not its old place.
    const reordered = DEFAULT_TRAITS.map((trait) => trait.replace('[none, silver, gold]', '[gold, silver, none]'));
    writeCatalog(catalogText({ name: 'reordered', traits: reordered }), path);
    await untilInForce(node, 'reordered');
    expect((await peer.must(golden)).actions).toHaveLength(1);
    expect(await node.stop()).toBe(0);
  });

  it('actions: a lease of one that is gone can still be confirmed or released, and frees its budget', async () => {
    const path = writeCatalog(catalogText({ name: 'all' }));
    node = await RunningNode.start({ catalog: path });
    const peer = await WirePeer.connect(node.url);
    const decide = (profile: string, slot: string) => ({ op: 'decide', profile, slot, want: ['action'] });
    const capped = await peer.must(decide('p', 'capped'));
    const budgeted = await Promise.all(Array.from({ length: 10 }, (_, n) => peer.must(decide(`b-${n}`, 'budget'))));
    expect(budgeted.every(({ actions }) => actions.length === 1)).toBe(true);
    const kept = DEFAULT_ACTIONS.filter((action) => !/key: (capped|budgeted)/.test(action));
    writeCatalog(catalogText({ name: 'fewer', actions: kept }), path);
    await untilInForce(node, 'fewer');
    await peer.must({ op: 'confirm', decisionId: capped.decisionId });
    await peer.must({ op: 'track', profile: 'p', event: 'click', decisionId: capped.decisionId });
    for (const { decisionId } of budgeted.slice(0, 4)) await peer.must({ op: 'release', decisionId });
    for (const { decisionId } of budgeted.slice(4)) await peer.must({ op: 'confirm', decisionId });
    writeCatalog(catalogText({ name: 'all-again' }), path);
    await untilInForce(node, 'all-again');
    // Back in the catalog, the budget has what the four released leases gave back, and not more.
    const granted = await Promise.all(Array.from({ length: 8 }, (_, n) => peer.must(decide(`c-${n}`, 'budget'))));
    expect(granted.filter(({ actions }) => actions.length === 1)).toHaveLength(4);
    expect(await node.stop()).toBe(0);
  });
});
