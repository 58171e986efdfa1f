/** A device that too many use, on a running server: over two workers, after a crash, in the report, replayed. */
import { afterEach, describe, expect, it } from 'vitest';
import { run as replay } from '../../server/commands/replay-decision.ts';
import type { SegmentCounts } from '../../workers/segments/count-segments.ts';
import type { SuspectList } from '../../workers/segments/list-suspects.ts';
import { runCommand } from './run-command.ts';
import { RunningNode, until } from './running-node.ts';
import { writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const catalog = writeCatalog(`version: 1
name: devices
currency: EUR
timeZone: UTC
profile:
  tags:
    ring: { family: social, when: 'count("shared_device", "1d") > 0', suspicion: true }
abuse: { device: { property: deviceId, personsMax: 3, per: 1d, except: [kiosk] } }
channels: { app: {} }
slots: { home: { channels: [app] } }
actions: [{ key: offer, channels: [app], valueMinor: 100 }]
`);

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

describe('a device that many use', () => {
  it('its fourth person and those behind are withheld and named; the count outlives a crash; a household and a kiosk are let be', async () => {
    node = await RunningNode.start({ catalog, workers: 2 });
    const { data } = node;
    let peer = await WirePeer.connect(node.url);
    const view = (profile: string, deviceId: string) => ({
      op: 'track',
      profile,
      event: 'view',
      properties: { deviceId },
      durability: 'committed',
    });
    const offers = async (profile: string): Promise<number> =>
      (await peer.must({ op: 'decide', profile, slot: 'home' })).actions.length;
    const suspects = async (): Promise<SuspectList> => (node as RunningNode).json<SuspectList>('/v1/suspects');
    for (let n = 0; n < 8; n++) await peer.must(view(`farmer-${n}`, 'phone-1'));
    for (let n = 0; n < 3; n++) await peer.must(view(`family-${n}`, 'tablet'));
    for (let n = 0; n < 8; n++) await peer.must(view(`visitor-${n}`, 'kiosk'));
    // The fourth to the eighth: messages between the workers need not come in the order of the people.
    await until(async () => (await suspects()).people === 5);
    const found = await suspects();
    expect(found.suspects[0]).toMatchObject({
      tag: 'ring',
      evidence: [{ reading: 'count("shared_device", 86400 s)', value: 1 }],
    });
    let withheld = 0;
    for (let n = 0; n < 8; n++) if ((await offers(`farmer-${n}`)) === 0) withheld++;
    expect(withheld).toBe(5);
    expect([await offers('family-2'), await offers('visitor-7')]).toEqual([1, 1]);
    // Devices are nobody.
    expect(await node.json<SegmentCounts>('/v1/segments')).toMatchObject({ people: 19, tags: [{ people: 5 }] });
    await node.kill();

    node = await RunningNode.start({ catalog, data, workers: 3 });
    peer = await WirePeer.connect(node.url);
    await peer.must(view('farmer-8', 'phone-1'));
    await until(async () => (await offers('farmer-8')) === 0);
    expect(await suspects()).toMatchObject({ people: 6 });
    expect(await offers('family-2')).toBe(1);
    // Two keys of one person are one suspect.
    await peer.must({ op: 'alias', from: 'farmer-8', to: 'mail-8' });
    expect(await offers('mail-8')).toBe(0);
    expect(await suspects()).toMatchObject({ people: 6 });
    await peer.must({ op: 'erase', profile: 'mail-8' });
    expect(await suspects()).toMatchObject({ people: 5 });
    const metrics = await (await fetch(`${node.admin}/metrics`)).text();
    expect(metrics).toMatch(/opportune_abuse_signs_total\{[^}]*sign="shared_device"[^}]*\} 1/);
    expect(await node.stop()).toBe(0);
    const again = await runCommand(replay, [], { all: true, data, json: true });
    const { different, differences } = JSON.parse(again.out);
    expect([different, differences]).toEqual([0, []]);
  }, 60_000);
});
