/**
 * Events by HTTP into the running server, by Segment's own client and by hand: what was acknowledged is in the
 * person's record and in the journal after kill -9, a bad item costs only itself, and who may not ask gets nothing.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Analytics } from '@segment/analytics-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApiKey } from '../../../server/access/api-keys.ts';
import { epochMillis } from '../../../workers/clock.ts';
import { RunningNode, temporaryFolder } from '../running-node.ts';
import { catalogText, writeCatalog } from '../test-catalogs.ts';
import { WirePeer } from '../wire-peer.ts';

const catalog = writeCatalog(
  catalogText({
    actions: [
      '{ key: plain, channels: [app], slots: [home], valueMinor: 100 }',
      `{ key: regular, channels: [app], slots: [regular], valueMinor: 300, eligibility: 'count("view", "30d") > 1' }`,
    ],
  }),
);
let node: RunningNode;
let peer: WirePeer;
let n = 0;
const freshKey = (): string => `person-${n++}`;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the server says is looked at by the tests
  readonly body: any;
}

async function post(path: string, body: unknown, headers: Record<string, string> = {}, at = node): Promise<Answer> {
  const content = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
  const response = await fetch(`${at.admin}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: content as BodyInit, // text or bytes
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? null : JSON.parse(text) };
}
const eventsOf = async (profile: string): Promise<string[]> =>
  (await peer.must({ op: 'profile', profile })).record.timeline
    .filter(({ type }: { type: string }) => type === 'event')
    .map(({ event }: { event: string }) => event);

beforeAll(async () => {
  node = await RunningNode.start({ catalog });
  peer = await WirePeer.connect(node.url);
});
afterAll(async () => {
  peer.close();
  await node.stop();
});

describe("Segment's own client", () => {
  it('every kind of call is accepted, and seen by the next decision', async () => {
    const analytics = new Analytics({
      writeKey: 'any',
      host: node.admin,
      path: '/v1/batch',
      flushAt: 5,
      maxRetries: 0,
    });
    const errors: unknown[] = [];
    analytics.on('error', (error) => errors.push(error));
    const userId = freshKey();
    analytics.identify({ userId, traits: { age: 31, unheardOf: 1 } });
    for (const path of ['/', '/shoes']) analytics.page({ userId, name: path, properties: { path } });
    analytics.screen({ userId, name: 'Cart' });
    analytics.track({ userId, event: 'Product Added', properties: { sku: 'espresso' } });
    analytics.track({
      userId,
      event: 'Order Completed',
      properties: { revenue: 12.5, currency: 'EUR', products: [{ sku: 'espresso', quantity: 1, price: 12.5 }] },
    });
    analytics.group({ userId, groupId: 'g', traits: { name: 'Initech' } });
    await analytics.closeAndFlush();
    expect(errors).toEqual([]);
    expect((await eventsOf(userId)).sort()).toEqual(['add_to_cart', 'purchase', 'view', 'view', 'view']);
    const { record } = await peer.must({ op: 'profile', profile: userId });
    expect(record.traits).toEqual({ age: 31 });
    const purchase = record.timeline.find(({ event }: { event: string }) => event === 'purchase');
    expect(purchase.properties).toMatchObject({ revenueMinor: 1250, currency: 'EUR' });
    const { actions } = await peer.must({ op: 'decide', profile: userId, slot: 'regular' });
    expect(actions).toHaveLength(1);
  });
});

describe('two keys of one person', () => {
  it('where they may not be joined, what is told of the person is taken and the alias is named', async () => {
    const [userId, anonymousId] = [freshKey(), freshKey()];
    const blocked = await post('/v1/identify?strict=1', { userId, anonymousId: 'unknown', traits: { age: 40 } });
    expect(blocked.body.results[0].dropped).toEqual([expect.stringMatching(/^alias: alias: one of the keys/)]);
    const both = await post('/v1/identify?strict=1', { userId, anonymousId, traits: { age: 40 } });
    expect([both.status, both.body.success, both.body.results[0].outcome]).toEqual([200, true, 'accepted']);
    expect((await peer.must({ op: 'profile', profile: userId })).record.traits).toEqual({ age: 40 });
    const alone = await post('/v1/alias?strict=1', { userId, previousId: anonymousId });
    expect(both.body.results[0].dropped ?? []).toEqual([]);
    expect(alone.body.results[0]).toMatchObject({ outcome: 'accepted' });
    const { record } = await peer.must({ op: 'profile', profile: anonymousId });
    expect(record).toMatchObject({ traits: { age: 40 }, keys: [{}] });
  });

  it("the client's own alias is taken by a batch, and costs the others nothing", async () => {
    const analytics = new Analytics({ writeKey: 'any', host: node.admin, path: '/v1/batch', maxRetries: 0 });
    const errors: unknown[] = [];
    analytics.on('error', (error) => errors.push(error));
    const userId = freshKey();
    analytics.alias({ userId, previousId: freshKey() });
    analytics.track({ userId, event: 'after' });
    await analytics.closeAndFlush();
    expect(errors).toEqual([]);
    expect(await eventsOf(userId)).toEqual(['after']);
  });
});

describe('calls by hand', () => {
  it('a person in one batch: what came last holds, also after an identify with a bad trait', async () => {
    const profile = freshKey();
    const identify = (traits: object): object => ({ type: 'identify', userId: profile, traits });
    const batch = [identify({ age: 'old', loyalty: 'gold' }), identify({ loyalty: 'silver' }), identify({ age: 50 })];
    const { body } = await post('/v1/batch?strict=1', { batch });
    expect(body.results.map(({ outcome }: { outcome: string }) => outcome)).toEqual(batch.map(() => 'accepted'));
    const { traits } = (await peer.must({ op: 'profile', profile })).record;
    expect(traits).toEqual({ age: 50, loyalty: 'silver' });
  });

  it('what came is counted by source and outcome', async () => {
    const of = (source: string, outcome: string): Promise<number> =>
      node.metric('opportune_ingested_events_total', { source, outcome });
    const profile = freshKey();
    const call = { userId: profile, event: 'counted', messageId: 'c-1' };
    await node.get('/metrics');
    const [accepted, duplicate, refused] = await Promise.all(
      ['accepted', 'duplicate', 'refused'].map((outcome) => of('segment', outcome)),
    );
    const plain = await of('json', 'accepted');
    await post('/v1/track', call);
    await post('/v1/track', call);
    await post('/v1/batch', { batch: ['text'] });
    await post('/v1/track', { profile, event: 'plain' });
    expect(await of('segment', 'accepted')).toBe((accepted as number) + 1); // of three
    expect(await of('segment', 'duplicate')).toBe((duplicate as number) + 1); // likewise
    expect(await of('segment', 'refused')).toBe((refused as number) + 1); // likewise
    expect(await of('json', 'accepted')).toBe(plain + 1);
  });

  it('single calls, twice with one id: counted once; strict says so', async () => {
    const profile = freshKey();
    const call = { userId: profile, event: 'Clicked', messageId: 'm-1', properties: { a: 1 } };
    expect((await post('/v1/track', call)).body).toEqual({ success: true });
    const again = await post('/v1/track?strict=1', call);
    expect(again.body).toMatchObject({
      success: true,
      results: [{ index: 0, messageId: 'm-1', outcome: 'duplicate' }],
    });
    expect(await eventsOf(profile)).toEqual(['Clicked']);
  });

  it('a malformed batch: the good are taken, the bad named', async () => {
    const profile = freshKey();
    const batch = [
      { type: 'track', userId: profile, event: 'one', messageId: 'b-1' },
      { type: 'track', event: 'nobody' },
      { type: 'dance', userId: profile },
      'text',
      { type: 'identify', userId: profile, traits: { age: 'old', unheardOf: 2, loyalty: 'gold' } },
      { type: 'track', userId: profile, event: 'large', properties: { text: 'x'.repeat(33 * 1024) } },
      { type: 'track', userId: profile, event: 'two', messageId: 'b-2' },
    ];
    const { status, body } = await post('/v1/batch?strict=1', { batch });
    expect([status, body.success]).toEqual([200, false]);
    expect(body.results.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
      'accepted',
      'refused',
      'refused',
      'refused',
      'accepted',
      'refused',
      'accepted',
    ]);
    expect(body.results[4].dropped).toEqual([
      'traits.age: expected an integer from 0 to 130, got a string of 3 characters',
      'traits.unheardOf: the catalog declares no such trait',
    ]);
    expect(body.results[5].message).toMatch(/at most/);
    expect((await eventsOf(profile)).sort()).toEqual(['one', 'two']);
    expect((await peer.must({ op: 'profile', profile })).record.traits).toEqual({ loyalty: 'gold' });
  });

  it('2,500 events a batch and not one more; compressed too, and no bomb', async () => {
    const profile = freshKey();
    const event = (i: number): object => ({ type: 'track', userId: profile, event: 'e', messageId: String(i) });
    const batch = Array.from({ length: 2500 }, (_, i) => event(i));
    const gzip = { 'content-encoding': 'gzip' };
    expect((await post('/v1/batch', gzipSync(JSON.stringify({ batch })), gzip)).status).toBe(200);
    expect((await peer.must({ op: 'profile', profile })).stateSeq).toBe(2500);
    const more = await post('/v1/batch', { batch: [...batch, event(2500)] });
    expect([more.status, more.body.detail]).toEqual([400, 'batch: has 2501 events, at most 2500']);
    const bomb = await post('/v1/batch', gzipSync(Buffer.alloc(10_000_000, 0x20)), gzip);
    expect([bomb.status, bomb.body.detail]).toEqual([400, 'body: the content may have 512000 bytes at most']);
    expect((await post('/v1/batch', 'x'.repeat(512_001))).status).toBe(413);
  });

  it('CloudEvents: structured, binary and batch', async () => {
    const subject = freshKey();
    const event = { specversion: '1.0', source: '/pos', type: 'view', subject };
    const structured = { 'content-type': 'application/cloudevents+json' };
    expect((await post('/v1/events', { ...event, id: '1' }, structured)).status).toBe(204);
    expect((await post('/v1/events', { ...event, id: '1' }, structured)).status).toBe(204);
    const headers = {
      'ce-specversion': '1.0',
      'ce-id': '2',
      'ce-source': '/pos',
      'ce-type': 'view',
      'ce-subject': subject,
    };
    expect((await post('/v1/events', { shelf: 3 }, headers)).status).toBe(204);
    const many = { 'content-type': 'application/cloudevents-batch+json' };
    const bad = await post(
      '/v1/events',
      [
        { ...event, id: '3' },
        { ...event, id: '4', subject: '' },
      ],
      many,
    );
    expect([bad.status, bad.body.detail]).toEqual([
      400,
      'event 1: subject: expected the key of the person, a string of 1 to 256 bytes',
    ]);
    expect(await eventsOf(subject)).toEqual(['view', 'view', 'view']);
    expect((await post('/v1/events', event)).body.detail).toMatch(/content-type/);
  });

  it('plain JSON: decide and track as on the wire, one or many', async () => {
    const profile = freshKey();
    const answer = await post('/v1/decide', { profile, slot: 'home', explain: true });
    expect([answer.status, answer.body.actions[0].action]).toEqual([200, 'plain']);
    const { decisionId } = answer.body;
    expect((await post('/v1/track', { profile, event: 'click', decisionId })).body).toMatchObject({
      durability: 'committed',
    });
    expect((await post('/v1/identify', { profile, traits: { age: 4 } })).body).toMatchObject({ ok: true });
    const many = await post('/v1/track', [{ profile, event: 'a' }, { profile }, { profile, event: 'b' }]);
    expect(many.body.map(({ ok }: { ok: boolean }) => ok)).toEqual([true, false, true]);
    const purposes = { personalisation: { granted: false } };
    expect((await post('/v1/consent', { profile, purposes })).body).toMatchObject({ ok: true });
    const { body } = await post('/v1/export', { profile });
    expect(JSON.stringify(body.export)).toContain('click');
    expect((await post('/v1/erase', { profile })).body.receipt.state).toMatch(/underway|final/);
    expect((await peer.must({ op: 'profile', profile })).stateSeq).toBe(0);
    const unknown = await post('/v1/decide', { profile, slot: 'nowhere' });
    expect([unknown.status, unknown.body.code]).toEqual([404, 1301]);
    expect((await post('/v1/decide', [])).body.detail).toBe('body: expected a map');
  });

  it.each([
    ['not JSON', '{"batch": [', {}],
    ['not UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), {}],
    ['not compressed', '{}', { 'content-encoding': 'gzip' }],
    ['compressed otherwise', '{}', { 'content-encoding': 'br' }],
    ['a form', 'a=1', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['nothing', '', {}],
    [
      'deep',
      `{"batch":[{"type":"track","userId":"u","event":"e","properties":${'{"a":'.repeat(60)}1${'}'.repeat(60)}}]}`,
      {},
    ],
    ['keys of the prototype', '{"batch":[{"type":"__proto__","userId":"u"}],"__proto__":{"batch":[]}}', {}],
  ])('%s is refused, and the server goes on', async (_, body, headers) => {
    const answer = await post('/v1/batch?strict=1', body, headers as Record<string, string>); // one of the three above
    if (answer.status === 200) expect(answer.body.results[0].outcome).toBe('refused');
    else expect(answer.status).toBe(400);
    expect((await post('/v1/track', { userId: freshKey(), event: 'e' })).status).toBe(200);
  });

  it('pages of other origins may send when they are allowed, and ask first', async () => {
    const origin = 'http://localhost:9999';
    const preflight = await fetch(`${node.admin}/v1/track`, { method: 'OPTIONS', headers: { origin } });
    expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([204, origin]);
    for (const name of ['content-encoding', 'ce-id', 'ce-subject'])
      expect(preflight.headers.get('access-control-allow-headers')).toContain(name);
    const sent = await post('/v1/track', { userId: freshKey(), event: 'e' }, { origin });
    expect([sent.status, sent.headers.get('access-control-allow-origin')]).toEqual([200, origin]);
    expect(
      (await post('/v1/track', { userId: freshKey(), event: 'e' }, { origin: 'https://evil.example' })).status,
    ).toBe(403);
  });
});

describe('crashes and refusals', () => {
  it('what was acknowledged is there after kill -9, and a repetition changes nothing', async () => {
    const data = temporaryFolder('ingest');
    const own = await RunningNode.start({ catalog, data });
    const batch = Array.from({ length: 200 }, (_, i) => ({
      type: 'track',
      userId: `k${i % 9}`,
      event: 'e',
      messageId: `${i}`,
    }));
    expect((await post('/v1/batch', { batch }, {}, own)).status).toBe(200);
    await own.kill();
    const next = await RunningNode.start({ catalog, data, workers: 1 });
    const { body } = await post('/v1/batch?strict=1', { batch }, {}, next);
    expect(new Set(body.results.map(({ outcome }: { outcome: string }) => outcome))).toEqual(new Set(['duplicate']));
    await next.stop();
  });

  it('with keys: the write key is a token of the role ingest, by Basic, bearer or in the body', async () => {
    const folder = temporaryFolder('ingest-keys');
    const apiKeyFile = join(folder, 'keys.json');
    const make = (roles: readonly ('ingest' | 'app')[]): string =>
      createApiKey(apiKeyFile, { roles, tenant: 'default', expiresAtEpochMillis: null, note: '' }, epochMillis()).key;
    const [ingest, app] = [make(['ingest']), make(['app'])];
    writeFileSync(join(folder, 'empty'), '');
    const own = await RunningNode.start({ catalog, words: ['--api-key-file', apiKeyFile] });
    const call = { userId: 'u', event: 'e' };
    const basic = (key: string): Record<string, string> => ({
      authorization: `Basic ${Buffer.from(`${key}:`).toString('base64')}`,
    });
    expect((await post('/v1/track', call, basic(ingest), own)).status).toBe(200);
    expect((await post('/v1/track', call, { authorization: `Bearer ${ingest}` }, own)).status).toBe(200);
    expect((await post('/v1/track', { ...call, writeKey: ingest }, {}, own)).status).toBe(200);
    expect((await post('/v1/track', { ...call, writeKey: `${ingest}x` }, {}, own)).status).toBe(401);
    expect((await post('/v1/track', call, {}, own)).status).toBe(401);
    expect((await post('/v1/track', call, basic('nonsense'), own)).status).toBe(401);
    expect((await post('/v1/decide', { profile: 'u' }, { authorization: `Bearer ${ingest}` }, own)).status).toBe(403);
    expect((await post('/v1/decide', { profile: 'u' }, { authorization: `Bearer ${app}` }, own)).status).toBe(200);
    await own.stop();
  });
});
