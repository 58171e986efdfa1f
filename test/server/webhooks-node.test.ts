/** Webhooks of a real node to a real endpoint that fails, hangs and redirects, with the node killed in between. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RunningNode, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { ReceivingServer } from './webhooks/receiving-server.ts';
import { WirePeer } from './wire-peer.ts';

const endpoint = new ReceivingServer();
const environment = { OPPORTUNE_WEBHOOK_SECRET_CRM: `whsec_${endpoint.secret.toString('base64')}` };
const words = ['--allow-private-webhooks'];
let catalog = '';
let node: RunningNode;
let peer: WirePeer;

beforeAll(async () => {
  const base = await endpoint.listen();
  const tags = `profile:
  tags:
    alive: { family: lifeCycle, when: 'count("view", "7d") > 0' }
    golden: { family: attributes, when: 'profile.loyalty == "gold"' }
`;
  const webhooks = `webhooks:
  crm: { url: '${base}/crm?key=hidden', secret: crm, traits: [loyalty] }
  strict: { url: '${base}/strict', secret: crm, tags: [golden], transitions: [entered], tries: 1 }
  nobody: { url: '${base}/nobody', secret: crm, tenant: nobody }
`;
  catalog = writeCatalog(webhooks + catalogText().replace(/^profile:\n/m, tags));
  node = await RunningNode.start({ catalog, words, environment });
  peer = await WirePeer.connect(node.url);
});
afterAll(async () => {
  if (node?.hasEnded === false) await node.kill();
  await endpoint.close();
});

interface Shown {
  readonly webhook: string;
  readonly url: string;
  readonly problem: string | null;
  readonly pending: number;
  readonly skipped: number;
  readonly kept: number;
  readonly newestDead: { readonly id: string; readonly told: unknown; readonly reason: string }[];
}
async function shown(webhook: string): Promise<Shown | undefined> {
  const { webhooks } = await node.json<{ webhooks: Shown[] }>('/v1/webhooks');
  return webhooks.find((one) => one.webhook === webhook);
}
const view = (profile: string): Promise<unknown> => peer.must({ op: 'track', profile, event: 'view' });
const become = (profile: string, loyalty: string): Promise<unknown> =>
  peer.must({ op: 'identify', profile, traits: { loyalty } });
const told = (path: string): Set<string> =>
  new Set(endpoint.taken(path).map(({ id, type, data }) => `${id} ${data.person} ${type} ${data.tag}`));

describe('webhooks of a node', () => {
  it('webhooks: everybody who enters or leaves is told of once, signed, in order, with the traits asked for', async () => {
    const people = Array.from({ length: 20 }, (_, n) => `person-${n}`);
    for (const profile of people) await view(profile);
    await until(() => endpoint.taken('/crm?key=hidden').length === 20);
    await become('person-0', 'gold');
    await become('person-0', 'silver');
    await until(() => endpoint.taken('/crm?key=hidden').length === 22);
    await until(() => endpoint.taken('/strict').length === 1);
    const received = endpoint.taken('/crm?key=hidden');
    expect(endpoint.received.every(({ isSigned }) => isSigned)).toBe(true);
    expect(new Set(received.slice(0, 20).map(({ data }) => data.person)).size).toBe(20);
    const [entered, left] = received.slice(20);
    expect([entered, left]).toMatchObject([
      { type: 'tag.entered', data: { tag: 'golden', family: 'attributes' } },
      { type: 'tag.left', data: { tag: 'golden', traits: { loyalty: 'silver' } } },
    ]);
    expect(left?.data.person).toBe(entered?.data.person);
    expect(await shown('crm')).toMatchObject({ url: expect.not.stringContaining('hidden'), pending: 0, problem: null });
    // Of a tenant this node does not have.
    expect(await shown('nobody')).toBeUndefined();
    await until(async () => (await node.metric('opportune_webhook_deliveries_total', { outcome: 'delivered' })) === 23);
    expect(JSON.stringify(endpoint.received)).not.toContain('person-0');
    expect(node.stderr).not.toContain('hidden');
  });

  it('webhooks: what an endpoint did not take is sent after kill -9 and a start, each under the id it had', async () => {
    endpoint.received.length = 0;
    endpoint.manner = 'hang';
    const people = ['person-1', 'person-2', 'person-3', 'person-4'];
    for (const profile of people) await become(profile, 'gold');
    await until(() => endpoint.received.length >= 4);
    const tried = new Map(endpoint.received.map(({ path, id, data }) => [`${path} ${data.person}`, id]));
    const { data } = node;
    // What was read is in the outbox; this one is committed, and most likely in the journal only.
    await become('person-6', 'gold');
    await node.kill();
    endpoint.manner = 'take';
    node = await RunningNode.start({ catalog, words, environment, data });
    peer = await WirePeer.connect(node.url);
    await until(() => endpoint.taken('/crm?key=hidden').length >= 5 && endpoint.taken('/strict').length >= 5);
    for (const path of ['/crm?key=hidden', '/strict']) {
      const received = endpoint.taken(path);
      expect(told(path).size).toBe(5);
      for (const one of received) {
        const before = tried.get(`${path} ${one.data.person}`);
        if (before !== undefined) expect(one.id).toBe(before);
      }
    }
  });

  it('webhooks: given up after its tries, listed, and sent again when asked; a redirect is not followed', async () => {
    endpoint.received.length = 0;
    endpoint.manner = 'redirect';
    await become('person-5', 'gold');
    await until(async () => (await shown('strict'))?.kept === 1);
    const [dead] = (await shown('strict'))?.newestDead ?? [];
    expect(dead).toMatchObject({
      told: { type: 'tag.entered', about: { tag: 'golden' } },
      reason: expect.stringContaining('redirect'),
    });
    expect(endpoint.received.filter(({ path }) => path === '/elsewhere')).toEqual([]);
    const resend = async (content: unknown): Promise<[number, unknown]> => {
      const body = JSON.stringify(content);
      const response = await fetch(`${node.admin}/v1/webhooks/resend`, { method: 'POST', body });
      return [response.status, await response.json()];
    };
    expect(await resend({ webhook: 'other' })).toMatchObject([404, {}]);
    expect(await resend({ webhook: 'strict', id: 'msg_other' })).toMatchObject([404, {}]);
    expect(await resend({ webhook: 7 })).toMatchObject([400, {}]);
    endpoint.manner = 'take';
    expect(await resend({ webhook: 'strict', id: dead?.id })).toEqual([202, { webhook: 'strict', resent: 1 }]);
    await until(() => endpoint.taken('/strict').length === 1);
    expect(endpoint.taken('/strict')[0]?.id).toBe(dead?.id);
    await until(async () => (await shown('crm'))?.pending === 0);
  });

  it('webhooks: nothing is sent of somebody who restricts it, refuses sharing or is erased before it is', async () => {
    endpoint.received.length = 0;
    endpoint.manner = 'fail';
    for (const profile of ['restricted', 'private', 'erased', 'open']) await view(profile);
    await until(() => endpoint.received.length >= 1);
    await peer.must({ op: 'consent', profile: 'restricted', purposes: { processing: { granted: false } } });
    await peer.must({ op: 'consent', profile: 'private', purposes: { sharing: { granted: false } } });
    await peer.must({ op: 'erase', profile: 'erased' });
    endpoint.manner = 'take';
    await until(async () => (await shown('crm'))?.pending === 0);
    expect(told('/crm?key=hidden').size).toBe(1);
    expect((await shown('crm'))?.skipped).toBe(3);
  });
});
