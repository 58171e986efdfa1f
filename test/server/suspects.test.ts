/** Who is suspected on a running server: withheld by the next answer, named with the evidence, and free again when it ends. */
import { afterEach, describe, expect, it } from 'vitest';
import { run as listAudit } from '../../server/commands/audit-list.ts';
import { run as showSuspects } from '../../server/commands/suspects.ts';
import type { SuspectList } from '../../workers/segments/list-suspects.ts';
import { runCommand } from './run-command.ts';
import { RunningNode, until } from './running-node.ts';
import { writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const TEXT = `version: 1
name: abuse
currency: EUR
timeZone: UTC
profile:
  tags:
    clickFlood: { family: behaviour, when: 'count("click", "2s") > 20', suspicion: true }
    couponFarm: { family: behaviour, when: 'distinct("purchase", "coupon", "7d") > 3', holdFor: 1d, suspicion: true }
    harmless: { family: behaviour, when: 'count("click", "7d") > 0' }
channels: { app: {} }
slots: { home: { channels: [app] } }
actions: [{ key: offer, channels: [app], valueMinor: 100 }]
`;
const catalog = writeCatalog(TEXT);

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

describe('suspects', () => {
  it('a click flood and a coupon farmer are withheld and named; who did the same in moderation is not; a flood ends', async () => {
    node = await RunningNode.start({ catalog, workers: 2 });
    const peer = await WirePeer.connect(node.url);
    const offers = async (profile: string): Promise<number> =>
      (await peer.must({ op: 'decide', profile, slot: 'home', dryRun: true })).actions.length;
    expect(await node.json<SuspectList>('/v1/suspects')).toMatchObject({ people: 0, suspects: [] });
    const click = (profile: string) => ({ op: 'track', profile, event: 'click' });
    const buy = (profile: string, n: number) => ({
      op: 'track',
      profile,
      event: 'purchase',
      properties: { coupon: `c${n}` },
    });
    await peer.askBatch(Array.from({ length: 4 }, (_, n) => buy('farmer', n)));
    await peer.askBatch(Array.from({ length: 4 }, () => buy('loyal', 1)));
    await peer.askBatch(Array.from({ length: 5 }, () => click('reader')));
    await peer.askBatch(Array.from({ length: 30 }, () => click('robot')));
    expect([await offers('robot'), await offers('farmer'), await offers('loyal'), await offers('reader')]).toEqual([
      0, 0, 1, 1,
    ]);
    const found = await node.json<SuspectList>('/v1/suspects');
    expect(found).toMatchObject({
      people: 2,
      tags: { clickFlood: 1, couponFarm: 1 },
      suspects: [
        { tag: 'clickFlood', isRestricted: false, evidence: [{ reading: 'count("click", 2 s)', value: 30 }] },
        { tag: 'couponFarm', evidence: [{ reading: 'distinct of "coupon" in "purchase"', value: 4 }] },
      ],
    });
    for (const { person } of found.suspects) expect(person).toMatch(/^[0-9a-f]{16}$/);
    const one = await node.json<SuspectList>('/v1/suspects?limit=1');
    expect([one.people, one.suspects.length]).toEqual([2, 1]);
    for (const limit of ['0', '1001', 'x', '1.5'])
      expect((await fetch(`${node.admin}/v1/suspects?limit=${limit}`)).status).toBe(400);

    const { data } = node;
    const shown = await runCommand(showSuspects, [], { data, catalog });
    expect(shown.out).toMatch(/2 people are suspected/);
    expect(shown.out).toMatch(/couponFarm +\S+.* distinct of "coupon" in "purchase" = 4/);
    await until(async () => (await offers('robot')) === 1);
    // Applied at once, and for who reads the store when it is on disk.
    const suspects = () => (node as RunningNode).json<SuspectList>('/v1/suspects');
    await until(async () => (await suspects()).people === 1);
    expect(await suspects()).toMatchObject({ people: 1, tags: { clickFlood: 0 } });
    expect(await node.stop()).toBe(0);
    const stopped = await runCommand(showSuspects, [], { data, catalog, json: true });
    expect(JSON.parse(stopped.out)).toMatchObject({ people: 1, suspects: [{ tag: 'couponFarm' }] });
    const audit = await runCommand(listAudit, [], { data });
    expect(audit.out.match(/operation=suspects|operation suspects|suspects/g)?.length).toBeGreaterThanOrEqual(5);
    const without = writeCatalog(TEXT.replaceAll(', suspicion: true', ''));
    const none = await runCommand(showSuspects, [], { data, catalog: without });
    expect(none.out).toContain('declares no suspicion');
  });
});
