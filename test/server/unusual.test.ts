/** Who does more of something than others do, on a running server and of a stopped one: found, explained, and nobody else. */
import { afterEach, describe, expect, it } from 'vitest';
import { run as listAudit } from '../../server/commands/audit-list.ts';
import { run as showSuspects } from '../../server/commands/suspects.ts';
import type { UnusualList } from '../../workers/segments/list-unusual.ts';
import { runCommand } from './run-command.ts';
import { RunningNode } from './running-node.ts';
import { writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const catalog = writeCatalog(`version: 1
name: unusual
currency: EUR
timeZone: UTC
profile:
  tags:
    active: { family: behaviour, when: 'count("view", "7d") > 3 || count("view", "1h") > 2' }
    buyer: { family: spending, when: 'count("purchase", "30d") > 1' }
abuse: { device: { property: deviceId, personsMax: 60, per: 1d } }
channels: { app: {} }
slots: { home: { channels: [app] } }
actions: [{ key: offer, channels: [app], valueMinor: 100 }]
`);

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

describe('unusual', () => {
  it('names who floods, by which counts and what is usual; not the busy, the restricted, or where few are compared', async () => {
    node = await RunningNode.start({ catalog, workers: 2 });
    const { data } = node;
    const peer = await WirePeer.connect(node.url);
    const tell = (profile: string, event: string, times: number) =>
      Array.from({ length: times }, () => ({ op: 'track', profile, event, properties: { deviceId: 'one' } }));
    const unusual = (): Promise<UnusualList> => (node as RunningNode).json<UnusualList>('/v1/suspects/unusual');
    await peer.askBatch(Array.from({ length: 48 }, (_, n) => tell(`p${n}`, 'view', 1 + (n % 6))).flat());
    for (const profile of ['flood', 'hidden']) await peer.askBatch(tell(profile, 'view', 400));
    // Two too few of them until now: 50 with views, one of whom is restricted.
    await peer.must({ op: 'consent', profile: 'hidden', purposes: { processing: { granted: false } } });
    expect(await unusual()).toMatchObject({ people: 0, of: 49, unusual: [] });
    await peer.askBatch(tell('busy', 'view', 9));
    // Too few buy to say what is usual.
    await peer.askBatch(tell('p1', 'purchase', 90));
    const found = await unusual();
    expect(found).toMatchObject({ people: 1, of: 50 });
    const [one] = found.unusual;
    expect(one?.person).toMatch(/^[0-9a-f]{16}$/);
    expect(one?.because).toEqual([
      {
        reading: expect.stringMatching(/^count\("view", (604800|3600) s\)$/),
        value: 400,
        usual: 4,
        deviations: one?.score,
      },
    ]);
    expect((await fetch(`${node.admin}/v1/suspects/unusual?limit=0`)).status).toBe(400);
    expect(await node.stop()).toBe(0);

    const shown = await runCommand(showSuspects, [], { data, catalog, unusual: true });
    expect(shown.out).toContain('1 of 50 people do more of something than is usual');
    expect(shown.out).toMatch(/[0-9a-f]{16} +\d+\.\d +count\("view", \d+ s\) = 400, usual 4/);
    const json = await runCommand(showSuspects, [], { data, catalog, unusual: true, json: true });
    expect(JSON.parse(json.out)).toMatchObject({ people: 1, unusual: [{ person: one?.person }] });
    const audit = await runCommand(listAudit, [], { data });
    expect(audit.out.match(/suspects/g)?.length).toBeGreaterThanOrEqual(4);
  });
});
