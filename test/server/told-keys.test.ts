/** Traits that are keys, on the running server: who tells a mail address is joined with whoever was met under it. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { RunningNode, until } from './running-node.ts';
import { writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const SECRET_MAIL = 'ann.lee@example.com';
const CATALOG = `version: 1
name: keys
currency: EUR
timeZone: UTC
profile:
  traits:
    email: { type: string, sensitive: true, normalise: [mail] }
    card: { type: integer }
    city: { type: string }
identity:
  types:
    member: { limit: 1, trait: card }
    mail: { limit: 2, trait: email }
  blocked: ["demo@example.com"]
channels: { app: {} }
slots: { home: { channels: [app] } }
actions:
  - { key: offer, channels: [app], valueMinor: 100, caps: [{ count: 2, per: 7d, on: decision }] }
`;
const catalog = writeCatalog(CATALOG);

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

describe('traits that are keys', () => {
  it('join whoever was met under them, over workers, once, and the text of no key is on disk', async () => {
    node = await RunningNode.start({ catalog, workers: 2 });
    const peer = await WirePeer.connect(node.url);
    const keysOf = async (profile: string): Promise<(string | null)[]> => {
      const { record } = await peer.must({ op: 'profile', profile });
      return ((record.keys ?? []) as { type: string | null }[]).map(({ type }) => type).sort();
    };
    const offers = async (profile: string): Promise<number> =>
      (await peer.must({ op: 'decide', profile, slot: 'home', durability: 'committed' })).actions.length;
    // Met by a newsletter, by the card in the shop, and by three visitors' cookies.
    expect(await offers(`mail:${SECRET_MAIL}`)).toBe(1);
    await peer.must({ op: 'track', profile: 'member:77', event: 'view', messageId: 'till-1' });
    for (const visitor of ['visitor-1', 'visitor-2', 'visitor-3']) {
      const reply = await peer.must({ op: 'identify', profile: visitor, traits: { email: ' Ann.Lee@Example.COM ' } });
      expect(reply.stateSeq).toBeGreaterThan(1);
    }
    // One person, and the cap of two counts for all of it.
    expect(await offers('visitor-1')).toBe(1);
    expect(await offers('visitor-3')).toBe(0);
    expect(await keysOf('visitor-2')).toContain('mail');
    await peer.must({ op: 'identify', profile: 'visitor-2', traits: { card: 77, city: 'Ulm' } });
    const till = await peer.must({ op: 'track', profile: 'visitor-1', event: 'view', messageId: 'till-1' });
    expect(till.duplicate).toBe(true);
    expect((await peer.must({ op: 'profile', profile: 'member:77' })).record.traits.city).toBe('Ulm');
    const entries = (await peer.must({ op: 'profile', profile: 'member:77' })).stateSeq;
    await peer.must({ op: 'identify', profile: 'visitor-3', traits: { card: 77 } });
    // What is joined is not joined again: one entry, the traits'.
    expect((await peer.must({ op: 'profile', profile: 'member:77' })).stateSeq).toBe(entries + 1);
    const { record } = await peer.must({ op: 'profile', profile: 'visitor-1' });
    expect(JSON.stringify(record.keys)).not.toContain('77"');

    const metrics = await (await fetch(`${node.admin}/metrics`)).text();
    const joined = [...metrics.matchAll(/opportune_joinings_total\{[^}]*outcome="joined"[^}]*\} (\d+)/g)];
    expect(joined.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(4);

    const { data } = node;
    await node.kill();
    node = await RunningNode.start({ catalog, workers: 1, data });
    const again = await WirePeer.connect(node.url);
    expect((await again.must({ op: 'profile', profile: `mail:${SECRET_MAIL}` })).record.traits.card).toBe(77);
    expect(await node.stop()).toBe(0);
    expect(readFileSync(`${data}/store/data.mdb`, 'latin1').toLowerCase()).not.toContain(SECRET_MAIL);
  });

  it('placeholders, and one too many, are kept as traits and join nobody', async () => {
    node = await RunningNode.start({ catalog, workers: 2 });
    const peer = await WirePeer.connect(node.url);
    const tell = (profile: string, traits: Record<string, string | number>) =>
      peer.must({ op: 'identify', profile, traits });
    const keysOf = async (profile: string): Promise<number> =>
      ((await peer.must({ op: 'profile', profile })).record.keys ?? []).length;
    await tell('bob', { email: 'demo@example.com' });
    await tell('cid', { email: 'demo@example.com' });
    expect(await keysOf('bob')).toBe(0);
    for (const n of [1, 2, 3]) await tell('dee', { email: `dee${n}@example.com` });
    expect(await keysOf('dee')).toBe(2);
    expect((await peer.must({ op: 'profile', profile: 'dee' })).record.traits.email).toBe('dee3@example.com');
    // A key of its own tells itself.
    await tell('mail:eve@example.com', { email: 'eve@example.com' });
    expect(await keysOf('mail:eve@example.com')).toBe(0);
    const refused = /opportune_joinings_total\{[^}]*outcome="refused"[^}]*\} 1/;
    await until(async () => refused.test(await (await fetch(`${node?.admin}/metrics`)).text()));
    expect(await node.stop()).toBe(0);
  });

  it('two at once who tell the same, each on its own connection, end as one person', async () => {
    node = await RunningNode.start({ catalog, workers: 2 });
    const peers = await Promise.all([1, 2, 3, 4].map(() => WirePeer.connect(node?.url ?? '')));
    await Promise.all(
      peers.map((peer, i) => peer.ask({ op: 'identify', profile: `tab-${i}`, traits: { email: 'fay@example.com' } })),
    );
    const [peer] = peers as [WirePeer];
    await Promise.all(
      peers.map((_, i) => peer.must({ op: 'identify', profile: `tab-${i}`, traits: { email: 'fay@example.com' } })),
    );
    await peer.must({ op: 'identify', profile: 'tab-0', traits: { city: 'Bonn' } });
    for (const i of [0, 1, 2, 3])
      expect((await peer.must({ op: 'profile', profile: `tab-${i}` })).record.traits.city).toBe('Bonn');
    expect(await node.stop()).toBe(0);
  });
});
