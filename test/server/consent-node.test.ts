/** Consent on the running server: binding for the next answer on any connection and after kill -9, kept and audited. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { run as listAudit } from '../../server/commands/audit-list.ts';
import { canada, gpp, tcf } from '../workers/privacy/made-consent-strings.ts';
import { runCommand } from './run-command.ts';
import { RunningNode, temporaryFolder } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const catalog = writeCatalog(
  catalogText({
    traits: ['loyalty: { type: string }', 'diet: { type: string, category: health }'],
    actions: [
      '{ key: plain, channels: [app], slots: [home], valueMinor: 100 }',
      `{ key: diet, channels: [app], slots: [regular], valueMinor: 200, eligibility: 'profile.diet == "vegan"' }`,
      `{ key: golden, channels: [app], slots: [golden], valueMinor: 300, eligibility: 'profile.loyalty == "gold"' }`,
    ],
  }),
);
const data = temporaryFolder('consent');
let node: RunningNode;
beforeAll(async () => {
  node = await RunningNode.start({ catalog, data });
});
afterAll(async () => {
  await node.stop();
});

it('consent: withdrawn on one connection, it binds the next answer on another, and after kill -9 and with fewer workers', async () => {
  const [one, other] = await Promise.all([WirePeer.connect(node.url), WirePeer.connect(node.url, 'json')]);
  const profile = 'ann';
  await one.must({ op: 'identify', profile, traits: { loyalty: 'gold' } });
  const ask = { op: 'decide', profile, slot: 'golden', explain: true };
  expect((await other.must(ask)).actions).toHaveLength(1);
  const purposes = { personalisation: { granted: false, basis: 'consent' } };
  await one.must({ op: 'consent', profile, purposes, proof: { source: 'settings' } });
  const { actions, explain } = await other.must(ask);
  expect(actions).toEqual([]);
  expect(explain.rejected[0]).toMatchObject({ action: 'golden', stage: 'eligibility' });
  expect((await other.must({ op: 'decide', profile, slot: 'home' })).actions).toHaveLength(1);
  await node.kill();
  node = await RunningNode.start({ catalog, data, workers: 1 });
  const peer = await WirePeer.connect(node.url);
  expect((await peer.must(ask)).actions).toEqual([]);
  const { record } = await peer.must({ op: 'profile', profile });
  expect(record.purposes.personalisation).toMatchObject({
    allowed: false,
    granted: false,
    proof: { source: 'settings' },
  });
  await peer.must({ op: 'consent', profile, purposes: { personalisation: { granted: true } } });
  expect((await peer.must(ask)).actions).toHaveLength(1);
  const refused = await peer.ask({ op: 'consent', profile, purposes: { nonsense: { granted: true } } });
  expect([refused.code, refused.status]).toEqual([1001, 'INVALID_ARGUMENT']);
  expect((await peer.ask({ op: 'consent', profile })).code).toBe(1001);
  for (const each of [peer]) each.close();
});

it('restricted by HTTP, a person is offered nothing until it is lifted, also after kill -9; both are audited', async () => {
  const profile = 'carl';
  const restrict = (restricted: boolean): Promise<Response> =>
    fetch(`${node.admin}/v1/restrict`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ profile, restricted, proof: { text: 'contested' } }),
    });
  expect((await restrict(true)).status).toBe(200);
  await node.kill();
  node = await RunningNode.start({ catalog, data });
  const peer = await WirePeer.connect(node.url);
  const ask = { op: 'decide', profile, slot: 'home', explain: true };
  const { actions, explain } = await peer.must(ask);
  expect([actions, explain.rejected[0].rule]).toEqual([[], 'restriction of processing']);
  expect((await restrict(false)).status).toBe(200);
  expect((await peer.must(ask)).actions).toHaveLength(1);
  const bad = await fetch(`${node.admin}/v1/restrict`, { method: 'POST', body: JSON.stringify({ profile }) });
  expect([bad.status, await bad.text()]).toEqual([400, expect.stringContaining('restricted: expected a boolean')]);
  peer.close();
  const told = await runCommand(listAudit, [], { data, json: true, kind: 'consent' });
  expect(told.out).toContain('processing=restricted');
  expect(told.out).toContain('processing=lifted');
});

it('a TCF string by HTTP binds the next answer on a socket, and an unsound one is refused by its code', async () => {
  const peer = await WirePeer.connect(node.url);
  const profile = 'bob';
  await peer.must({ op: 'identify', profile, traits: { loyalty: 'gold' } });
  const consent = async (proof: object): Promise<{ status: number; body: { code?: number; detail?: string } }> => {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${node.admin}/v1/consent`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ profile, proof }),
    });
    return { status: response.status, body: (await response.json()) as { code?: number } };
  };
  const string = tcf({ purposes: [1, 2, 7, 8, 10], disclosed: [1, 2, 3] });
  expect((await consent({ tcf: string })).status).toBe(200);
  expect((await peer.must({ op: 'decide', profile, slot: 'golden' })).actions).toEqual([]);
  const { record } = await peer.must({ op: 'profile', profile });
  expect(record.purposes).toMatchObject({
    personalisation: { granted: false, proof: { tcf: string } },
    measurement: { granted: true },
  });
  const refused = await consent({ tcf: string.slice(0, 25) });
  expect(refused).toMatchObject({ status: 400, body: { code: 1008, detail: 'consent.proof.tcf: is truncated' } });
  expect((await consent({ tcf: tcf({ purposes: [3, 4, 5, 6, 7, 8, 10] }) })).status).toBe(200);
  expect((await peer.must({ op: 'decide', profile, slot: 'golden' })).actions).toHaveLength(1);
  peer.close();
});

it("Canada's section and a state's, withdrawn by HTTP, bind the next answer on a socket, and after kill -9", async () => {
  const peer = await WirePeer.connect(node.url);
  const profile = 'cleo';
  await peer.must({ op: 'identify', profile, traits: { loyalty: 'gold', diet: 'vegan' } });
  const consent = async (string: string): Promise<number> => {
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ profile, proof: { gpp: string, source: 'banner' } });
    return (await fetch(`${node.admin}/v1/consent`, { method: 'POST', headers, body })).status;
  };
  const offered = async (slot: string, from = peer): Promise<number> =>
    (await from.must({ op: 'decide', profile, slot })).actions.length;
  const texas = (health: number): string => gpp({ ustx: { SensitiveDataProcessing: [0, 0, health, 0, 0, 0, 0, 0] } });

  // Health is nobody's to use before a word of the person's.
  expect([await offered('golden'), await offered('regular')]).toEqual([1, 0]);
  expect(await consent(texas(2))).toBe(200);
  expect(await offered('regular')).toBe(1);
  expect(await consent(texas(1))).toBe(200);
  expect([await offered('golden'), await offered('regular')]).toEqual([1, 0]);

  const express = canada({ express: [3, 4, 5, 6], implied: [7, 8, 10] });
  const withdrawn = canada({ implied: [3, 4, 5, 6, 7, 8, 10] });
  expect(await consent(express)).toBe(200);
  expect(await offered('golden')).toBe(1);
  expect(await consent(withdrawn)).toBe(200);
  expect(await offered('golden')).toBe(0);
  expect(await consent(express.slice(0, 45))).toBe(400);
  peer.close();
  await node.kill();
  node = await RunningNode.start({ catalog, data });
  const after = await WirePeer.connect(node.url);
  expect([await offered('golden', after), await offered('regular', after)]).toEqual([0, 0]);
  const { record } = await after.must({ op: 'profile', profile });
  expect(record.purposes).toMatchObject({
    personalisation: { granted: false, proof: { gpp: withdrawn, source: 'banner' } },
    'category.health': { granted: false, proof: { gpp: texas(1) } },
  });
  after.close();
});
