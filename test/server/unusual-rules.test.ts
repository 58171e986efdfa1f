/** What is usual, measured by a running server and read by a suspicion: withheld by the next answer, over restarts, replayed. */
import { afterEach, describe, expect, it } from 'vitest';
import { run as replay } from '../../server/commands/replay-decision.ts';
import { run as showSuspects } from '../../server/commands/suspects.ts';
import type { SuspectList } from '../../workers/segments/list-suspects.ts';
import type { UnusualList } from '../../workers/segments/list-unusual.ts';
import { runCommand } from './run-command.ts';
import { RunningNode, until } from './running-node.ts';
import { writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const textWith = (abuse: string, tags: string): string => `version: 1
name: unusual
currency: EUR
timeZone: UTC
profile:
  tags:
    clicking: { family: behaviour, when: 'count("click", "1h") > 0' }
${tags}
abuse:
  device: { property: deviceId, personsMax: 3, per: 1d }
${abuse}
channels: { app: {} }
slots: { home: { channels: [app] } }
actions: [{ key: offer, channels: [app], valueMinor: 100 }]
`;
const TAGS = `    flood: { family: behaviour, when: 'unusual("click", "1h") > 6', suspicion: true }
    farm: { family: social, when: 'sum("shared_device", "deviations", "1d") > 4', suspicion: true }`;
const MEASURED = textWith('  usual: { every: 7d }', TAGS);

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

describe('unusual, measured', () => {
  it('withholds who floods beside others and a device of many, at once; survives a kill; nobody else may say what is usual', async () => {
    const catalog = writeCatalog(textWith('', ''));
    node = await RunningNode.start({ catalog, workers: 2 });
    const { data } = node;
    let peer = await WirePeer.connect(node.url);
    const clicks = (profile: string, times: number, deviceId = profile) =>
      Array.from({ length: times }, () => ({ op: 'track', profile, event: 'click', properties: { deviceId } }));
    const offers = async (profile: string): Promise<number> =>
      (await peer.must({ op: 'decide', profile, slot: 'home' })).actions.length;
    const usual = async (): Promise<{ key: string; fields: Record<string, number> }[]> =>
      (await (node as RunningNode).json<{ rows: never[] }>('/v1/context?feed=_usual')).rows;

    // 60 people with a device each, who click once to seven times.
    await peer.askBatch(Array.from({ length: 60 }, (_, n) => clicks(`p${n}`, 1 + (n % 7))).flat());
    await peer.askBatch(clicks('flood', 400));
    expect(await offers('flood')).toBe(1);
    writeCatalog(MEASURED, catalog);
    await until(async () => (await (node as RunningNode).json<{ feeds: never[] }>('/v1/context')).feeds.length === 1);
    await until(async () => (await usual()).length === 2);
    expect(await usual()).toEqual([
      expect.objectContaining({ key: 'click 3600 s', fields: expect.objectContaining({ usual: 4, people: 61 }) }),
      expect.objectContaining({ key: 'people of a device', fields: expect.objectContaining({ usual: 1, people: 61 }) }),
    ]);
    // From their own next event on: 400 of 4 is far, 12 is not.
    await peer.askBatch([...clicks('flood', 1), ...clicks('busy', 12)]);
    expect([await offers('flood'), await offers('busy'), await offers('p3')]).toEqual([0, 1, 1]);
    const { suspects } = await node.json<SuspectList>('/v1/suspects');
    expect(suspects).toMatchObject([
      {
        tag: 'flood',
        evidence: [
          { reading: 'count("click", 3600 s)', value: 401 },
          { reading: 'unusual("click", 3600 s)', value: expect.closeTo(7, -1) },
        ],
      },
    ]);
    // Not by hand, whoever asks.
    const push = await fetch(`${node.admin}/v1/context`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ feed: '_usual', rows: [{ key: 'click 3600 s', fields: { middle: 99, deviation: 9 } }] }),
    });
    expect([push.status, await push.text()]).toEqual([400, expect.stringContaining('declares no `feeds`')]);
    await node.kill();

    node = await RunningNode.start({ catalog, data, workers: 3 });
    peer = await WirePeer.connect(node.url);
    expect(await usual()).toHaveLength(2);
    expect(await offers('flood')).toBe(0);
    // Twelve on one device where one is usual.
    for (let n = 0; n < 12; n++) await peer.must({ ...clicks(`farmer-${n}`, 1, 'phone')[0], durability: 'committed' });
    await until(async () => (await offers('farmer-11')) === 0);
    expect(await offers('farmer-0')).toBe(1);
    const unusual = await node.json<UnusualList>('/v1/suspects/unusual');
    expect(unusual.unusual).toMatchObject([{ because: [{ value: 401, usual: 3 }] }]);
    expect(unusual.devices).toMatchObject([{ persons: 12, usual: 1, deviations: expect.closeTo(5.3, 0) }]);
    expect(await node.stop()).toBe(0);
    const shown = await runCommand(showSuspects, [], { data, catalog, unusual: true });
    expect(shown.out).toMatch(/device +score +because\n +[0-9a-f]{16} +5\.\d +12 people, usual 1\n/);
    const again = await runCommand(replay, [], { all: true, data, json: true });
    const { decisions, different, differences } = JSON.parse(again.out);
    expect([different, differences]).toEqual([0, []]);
    expect(decisions).toBeGreaterThan(5);
  }, 60_000);
});
