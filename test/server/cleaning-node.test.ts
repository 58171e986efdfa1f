/**
 * Cleaning in the running server: the same value comes out of every door, what is refused says so and is counted by
 * why, and all of it is as it was after kill -9.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { catalogText } from '../actors/test-catalog.ts';
import { RunningNode } from './running-node.ts';
import { writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const catalog = writeCatalog(
  catalogText({
    actions: '{ key: a, channels: [app], valueMinor: 9 }',
    traits: `phone: { type: string, sensitive: true, normalise: phone, region: DE },
      mail: { type: string, normalise: mail }, born: { type: integer, normalise: time },
      age: { type: integer, min: 0, max: 130, outlier: { max: 105 } }`,
    more: 'events: { purchase: { properties: { revenueMinor: { required: true } } } }',
  }),
);
let node: RunningNode;
let peer: WirePeer;

async function post(path: string, body: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${node.admin}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }; // every answer is a map
}
const TOLD = { phone: '030 123456', mail: ' Ann@Example.org', born: '1990-05-01' };
const CLEAN = { phone: '+4930123456', mail: 'ann@example.org', born: Date.UTC(1990, 4, 1) };

beforeAll(async () => {
  node = await RunningNode.start({ catalog });
  peer = await WirePeer.connect(node.url);
});
afterAll(async () => {
  peer.close();
  await node.stop();
});

describe('cleaning in a running server', () => {
  it('every door: the same person whichever it came by, also after kill -9', async () => {
    await peer.must({ op: 'identify', profile: 'socket', traits: TOLD });
    expect((await post('/v1/identify', { profile: 'plain', traits: TOLD })).status).toBe(200);
    const answer = await post('/v1/identify?strict=1', {
      userId: 'segment',
      traits: { ...TOLD, age: 200 },
      messageId: 'm',
    });
    expect(answer.body).toMatchObject({
      results: [{ outcome: 'accepted', dropped: [expect.stringContaining('traits.age')] }],
    });
    const people = ['socket', 'plain', 'segment'];
    const traitsOf = async (profile: string): Promise<unknown> =>
      (await peer.must({ op: 'profile', profile })).record.traits;
    for (const profile of people) expect(await traitsOf(profile)).toEqual(CLEAN);
    peer.close();
    await node.kill();
    node = await RunningNode.start({ catalog, data: node.data });
    peer = await WirePeer.connect(node.url);
    for (const profile of people) expect(await traitsOf(profile)).toEqual(CLEAN);
  });

  it('what is refused is named and counted by why; what is flagged is kept', async () => {
    const purchase = { op: 'track', profile: 'ann', event: 'purchase' };
    expect(await peer.ask({ ...purchase, properties: { revenueMinor: -1 } })).toMatchObject({
      ok: false,
      code: 1007,
      status: 'INVALID_ARGUMENT',
    });
    expect(await peer.ask(purchase)).toMatchObject({ code: 1007, message: expect.stringContaining('required') });
    expect(await peer.ask({ op: 'identify', profile: 'ann', traits: { phone: 'none' } })).toMatchObject({ code: 1004 });
    await peer.must({ op: 'identify', profile: 'ann', traits: { age: 120 } });
    const { record } = await peer.must({ op: 'profile', profile: 'ann' });
    expect(record.traits).toEqual({ age: 120 });
    expect(record.quality).toMatchObject({ flags: { 'trait.age': { flag: 'outlier' } } });
    const metrics = await (await fetch(`${node.admin}/metrics`)).text();
    const countOf = (name: string): number =>
      [...metrics.matchAll(new RegExp(`^${name}.* (\\d+)$`, 'gm'))].reduce((sum, [, count]) => sum + Number(count), 0);
    for (const reason of ['range', 'required', 'format'])
      expect([reason, countOf(`opportune_refused_values_total\\{reason="${reason}"`)]).toEqual([reason, 1]);
    expect(countOf('opportune_flagged_values_total')).toBe(1);
  });
});
