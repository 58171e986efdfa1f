/**
 * Context feeds on the running server: a push is read by the next decision on every worker, outlives kill -9 and the
 * loss of a worker, ends by time, is refused by name, and leaves decisions that replay in every bit.
 */
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createApiKey } from '../../server/access/api-keys.ts';
import type { Role } from '../../server/access/roles.ts';
import { EXIT } from '../../server/commands/command.ts';
import { run } from '../../server/commands/replay-decision.ts';
import { epochMillis } from '../../workers/clock.ts';
import { runCommand } from './run-command.ts';
import { RunningNode, temporaryFolder, until } from './running-node.ts';
import { catalogText, DEFAULT_ACTIONS, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const FEEDS = `feeds:
  weather:
    key: profile.city
    ttl: 1h
    fields: { celsius: { type: number, min: -60, max: 60 }, rain: { type: boolean }, sky: { type: text } }
  stock:
    ttl: 10m
    rowsMax: 2
    fields: { left: { type: number, min: 0 } }
`;
const WARM = `{ key: ice, channels: [app], slots: [golden], valueMinor: 900, eligibility: 'feed("weather", "celsius") > 20' }`;
const IN_STOCK = `{ key: cups, channels: [app], slots: [capped], valueMinor: 900, eligibility: 'feed("stock", "left", context.store) > 0' }`;
const RAIN = `{ key: coat, channels: [app], slots: [budget], valueMinor: 900, eligibility: 'feed("weather", "rain", "Oslo") && feed("weather", "sky", "Oslo") == "grey"' }`;
const TEXT = catalogText({
  traits: ['city: { type: string }'],
  actions: [DEFAULT_ACTIONS[0] ?? '', WARM, IN_STOCK, RAIN],
}).replace(/^channels:\n/m, `${FEEDS}channels:\n`);

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

const PEOPLE = Array.from({ length: 8 }, (_, i) => `person-${i}`);

const told = <T>(path: string): Promise<T> => (node as RunningNode).json<T>(path);
async function push(body: unknown, query = ''): Promise<{ status: number; [name: string]: unknown }> {
  const response = await fetch(`${node?.admin}/v1/context${query}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { ...((await response.json()) as object), status: response.status };
}
const weather = (celsius: number, more: object = {}) => ({
  feed: 'weather',
  rows: [{ key: 'Rome', fields: { celsius } }],
  ...more,
});

/** Which action each person is offered in the slot; persons of both workers. */
async function offered(peer: WirePeer, slot: string, context: object = {}): Promise<(string | undefined)[]> {
  const actions: (string | undefined)[] = [];
  for (const profile of PEOPLE) {
    const { actions: found } = await peer.must({ op: 'decide', profile, slot, context });
    actions.push((found as { action: string }[]).find(({ action }) => action !== 'plain')?.action);
  }
  return actions;
}
const all = (action: string | undefined): (string | undefined)[] => PEOPLE.map(() => action);

async function replayed(
  data: string,
): Promise<{ differences: unknown[]; recomputed: number; unreplayable: unknown[] }> {
  const found = await runCommand(run, [], { all: true, data, json: true });
  const result = JSON.parse(found.out);
  expect([result.differences, found.code]).toEqual([[], EXIT.ok]);
  return result;
}

interface Beginning {
  readonly data?: string;
  readonly workers?: number;
  readonly catalog?: string;
  readonly words?: string[];
}
async function startNode(options: Beginning = {}): Promise<RunningNode> {
  node = await RunningNode.start({ catalog: writeCatalog(TEXT), workers: 2, ...options });
  return node;
}
async function begin(options: Beginning = {}): Promise<{ node: RunningNode; peer: WirePeer }> {
  const started = await startNode(options);
  return { node: started, peer: await WirePeer.connect(started.url) };
}

describe('context feeds on a node', () => {
  it('a push is read by the very next decision on every worker, and replay computes them all again bit for bit', async () => {
    const { peer } = await begin();
    for (const profile of PEOPLE) await peer.must({ op: 'identify', profile, traits: { city: 'Rome' } });
    expect(await offered(peer, 'golden')).toEqual(all(undefined));
    for (const [celsius, action] of [
      [21, 'ice'],
      [20, undefined],
      [30, 'ice'],
    ] as const) {
      expect(await push(weather(celsius))).toMatchObject({ status: 200, ok: true, taken: 1, refused: 0 });
      expect(await offered(peer, 'golden')).toEqual(all(action));
    }
    const two = [
      { feed: 'stock', version: 40, rows: [{ key: 'north', fields: { left: 2 } }] },
      { feed: 'weather', replace: true, rows: [{ key: 'Oslo', fields: { rain: true, sky: 'grey' } }] },
      { feed: 'stock', version: 40, rows: [] },
    ];
    expect(await push(two)).toEqual({
      status: 200,
      results: [
        { ok: true, feed: 'stock', version: 40, taken: 1, refused: 0, problems: [] },
        { ok: true, feed: 'weather', version: 4, taken: 1, refused: 0, problems: [] },
        { ok: false, refusal: 'stale', reason: expect.stringContaining('version 40 is not above 40'), problems: [] },
      ],
    });
    expect(await offered(peer, 'golden')).toEqual(all(undefined));
    expect(await offered(peer, 'budget')).toEqual(all('coat'));
    expect(await offered(peer, 'capped', { store: 'north' })).toEqual(all('cups'));
    expect(await offered(peer, 'capped', { store: 'south' })).toEqual(all(undefined));
    expect(await offered(peer, 'capped', { store: 7 })).toEqual(all(undefined));
    const { data } = node as RunningNode;
    expect(await node?.stop()).toBe(0);
    const { differences, recomputed, unreplayable } = await replayed(data);
    expect([differences, unreplayable, recomputed]).toEqual([[], [], 9 * PEOPLE.length]);
  }, 60_000);

  it('pushed without pause beside decisions, on a worker that is replaced as well: what was answered is read, all replays', async () => {
    const { node: running, peer } = await begin({ words: ['--drills', '--transport', 'ws'] });
    for (const profile of PEOPLE) await peer.must({ op: 'identify', profile, traits: { city: 'Rome' } });
    let isPushing = true;
    const pushing = (async () => {
      for (let n = 0; isPushing; n++) expect(await push(weather(n % 2 === 0 ? 30 : 10))).toMatchObject({ status: 200 });
    })();
    for (let round = 0; round < 40; round++) await offered(peer, 'golden');
    isPushing = false;
    await pushing;
    const { feeds } = await told<{ feeds: { version: number }[] }>('/v1/context');
    expect(feeds[0]?.version).toBeGreaterThan(5);
    const pushes = [30, 10, 30].map((celsius) => push(weather(celsius)));
    await running.drill('worker-exit', 0);
    await Promise.all(pushes);
    await push(weather(30));
    await until(() => running.stderr.includes('replacing shard worker'));
    await until(async () => (await running.get('/readyz')).status === 200);
    const again = await WirePeer.connect(running.url);
    expect(await offered(again, 'golden')).toEqual(all('ice'));
    expect(await running.stop()).toBe(0);
    const { differences, recomputed } = await replayed(running.data);
    expect(differences).toEqual([]);
    // Of a worker that began again while the node ran, replay cannot know the models any more.
    expect(recomputed).toBeGreaterThanOrEqual(40 * PEOPLE.length);
  }, 60_000);

  it('killed right behind the 200: the next start has the push, in its journal too', async () => {
    const { node: first, peer } = await begin();
    for (const profile of PEOPLE) await peer.must({ op: 'identify', profile, traits: { city: 'Rome' } });
    expect(await push(weather(25, { version: 7 }))).toMatchObject({ status: 200, version: 7 });
    await first.kill();
    const { data } = first;
    const { peer: again } = await begin({ data, workers: 1 });
    expect(await offered(again, 'golden')).toEqual(all('ice'));
    expect(await push(weather(5, { version: 7 }))).toMatchObject({
      status: 409,
      detail: expect.stringMatching(/stale/),
    });
    expect(await told('/v1/context')).toMatchObject({ feeds: [{ feed: 'weather', version: 7, rows: 1 }, {}] });
    expect(await node?.stop()).toBe(0);
    const { differences, unreplayable, recomputed } = await replayed(data);
    expect([differences, unreplayable, recomputed]).toEqual([[], [], PEOPLE.length]);
  }, 60_000);

  it('a worker that dies: its replacement reads all that stands', async () => {
    const { node: running, peer } = await begin({ words: ['--drills', '--transport', 'ws'] });
    for (const profile of PEOPLE) await peer.must({ op: 'identify', profile, traits: { city: 'Rome' } });
    await push(weather(25));
    await running.drill('worker-exit', 1);
    await until(() => running.stderr.includes('replacing shard worker'));
    expect(await push({ feed: 'stock', rows: [{ key: 'north', fields: { left: 1 } }] })).toMatchObject({ status: 200 });
    await until(async () => (await running.get('/readyz')).status === 200);
    const again = await WirePeer.connect(running.url);
    expect(await offered(again, 'golden')).toEqual(all('ice'));
    expect(await offered(again, 'capped', { store: 'north' })).toEqual(all('cups'));
  }, 60_000);

  it('a row ends by time alone, and what stands is told', async () => {
    const { peer } = await begin();
    await peer.must({ op: 'identify', profile: 'ann', traits: { city: 'Rome' } });
    const before = epochMillis();
    const rows = [{ key: 'Rome', fields: { celsius: 30, sky: 'blue' }, timeToLiveMillis: 1_500 }];
    expect(await push({ feed: 'weather', rows })).toMatchObject({ status: 200 });
    const { feeds } = await told<{ feeds: { expiresAtEpochMillis: number }[] }>('/v1/context');
    expect(feeds).toMatchObject([
      { feed: 'weather', version: 1, rows: 1, rowsMax: 1000 },
      { feed: 'stock', version: 0, rows: 0, rowsMax: 2, pushedAtEpochMillis: null, expiresAtEpochMillis: null },
    ]);
    const expiry = feeds[0]?.expiresAtEpochMillis ?? 0;
    expect(expiry).toBeGreaterThanOrEqual(before + 1_500);
    expect(await told('/v1/context?feed=weather')).toMatchObject({
      version: 1,
      rows: [{ key: 'Rome', fields: { celsius: 30, rain: null, sky: 'blue' }, expiresAtEpochMillis: expiry }],
    });
    expect((await node?.get('/v1/context?feed=tides'))?.status).toBe(404);
    const ask = async () => {
      const { actions } = await peer.must({ op: 'decide', profile: 'ann', slot: 'golden' });
      return actions.some(({ action }: { action: string }) => action === 'ice');
    };
    expect(await ask()).toBe(true);
    await until(() => epochMillis() >= expiry);
    expect(await ask()).toBe(false);
    expect(await told('/v1/context?feed=weather')).toMatchObject({ rows: [], expiresAtEpochMillis: null });
  }, 60_000);

  it('what cannot be taken is refused by name, and nothing of it is', async () => {
    await begin();
    const cold = { key: 'Oslo', fields: { celsius: -61 } };
    const good = { key: 'Rome', fields: { celsius: 1 } };
    expect(await push({ feed: 'weather', rows: [good, cold] })).toMatchObject({
      ...{ status: 200, taken: 1, refused: 1 },
      problems: [{ index: 1, problem: '`celsius` must be a finite number from -60 up to 60, or null' }],
    });
    for (const [body, query, status, detail] of [
      [{ feed: 'weather', rows: [good, cold] }, '?strict=1', 400, /nothing was taken; rows\[1\]: `celsius`/],
      [{ feed: 'weather', replace: true, rows: [good, cold] }, '', 400, /rows\[1\]/],
      [{ feed: 'tides', rows: [] }, '', 400, /must be one the catalog declares: weather, stock/],
      [{ feed: 'stock', rows: ['a', 'b', 'c'].map((key) => ({ key, fields: {} })) }, '', 409, /3 rows and may hold 2/],
      [7, '', 400, /must be an object/],
      [Array(17).fill({}), '', 400, /17 pushes, at most 16/],
      [{ feed: 'stock', rows: [] }, '?strict=yes', 400, /strict: expected 1/],
    ] as const)
      expect(await push(body, query)).toMatchObject({ status, detail: expect.stringMatching(detail) });
    const huge = await push({ feed: 'weather', rows: [], pad: 'x'.repeat(1024 * 1024) });
    expect(huge).toMatchObject({ status: 413 });
    const bare = await fetch(`${node?.admin}/v1/context`, { method: 'POST', body: '{"feed":' });
    expect([bare.status, await bare.text()]).toEqual([400, expect.stringContaining('not valid JSON')]);
    const other = await fetch(`${node?.admin}/v1/context`, { method: 'DELETE' });
    expect([other.status, other.headers.get('allow')]).toEqual([405, 'POST, GET, HEAD']);
    expect(await told('/v1/context')).toMatchObject({ feeds: [{ version: 1, rows: 1 }, { version: 0 }] });
    const counted = async (name: string, labels: Record<string, string>) =>
      node?.metric(`opportune_feed_${name}`, labels);
    expect(await counted('version', { feed: 'weather' })).toBe(1);
    expect(await counted('rows', { feed: 'weather' })).toBe(1);
    expect(await counted('push_time_seconds', { feed: 'weather' })).toBeGreaterThan(1.7e9);
    expect(await counted('push_time_seconds', { feed: 'stock' })).toBe(0);
    const outcomes = ['taken', 'bad', 'stale', 'full'].map((outcome) => counted('pushes_total', { outcome }));
    expect(await Promise.all(outcomes)).toEqual([1, 4, 0, 1]);
  }, 60_000);

  it('another catalog: what still fits is read on, what would lose rows is refused, and replay follows', async () => {
    const catalog = writeCatalog(TEXT);
    const { node: running, peer } = await begin({ catalog });
    for (const profile of PEOPLE) await peer.must({ op: 'identify', profile, traits: { city: 'Rome' } });
    const rows = ['a', 'b'].map((key) => ({ key, fields: { left: 1 } }));
    await push([weather(25), { feed: 'stock', rows }]);
    expect(await offered(peer, 'golden')).toEqual(all('ice'));
    writeCatalog(TEXT.replace('rowsMax: 2', 'rowsMax: 1'), catalog);
    await until(() => running.stderr.includes('holds 2 rows and the catalog allows 1'));
    expect(await offered(peer, 'golden')).toEqual(all('ice'));
    // Another order of the fields, and a text more.
    const wider = TEXT.replace('celsius: { type: number, min: -60, max: 60 }', 'wind: { type: text }').replace(
      'sky: { type: text }',
      'sky: { type: text }, celsius: { type: number }',
    );
    writeCatalog(wider, catalog);
    await until(() => running.stderr.includes('catalog reloaded'));
    expect(await offered(peer, 'golden')).toEqual(all('ice'));
    await push(weather(99));
    expect(await offered(peer, 'golden')).toEqual(all('ice'));
    await push(weather(9));
    expect(await offered(peer, 'golden')).toEqual(all(undefined));
    expect(await running.stop()).toBe(0);
    const { differences, unreplayable, recomputed } = await replayed(running.data);
    expect([differences, unreplayable, recomputed]).toEqual([[], [], 5 * PEOPLE.length]);
  }, 60_000);

  it('a disk that does not take it: 503, nothing is read of it, and the same push is taken when it does', async () => {
    const { node: running, peer } = await begin();
    await peer.must({ op: 'identify', profile: 'ann', traits: { city: 'Rome' } });
    await push(weather(10, { version: 5 }));
    const inTheWay = join(running.data, 'feeds', 'weather.feed.writing');
    mkdirSync(inTheWay);
    expect(await push(weather(30, { version: 6 }))).toMatchObject({
      ...{ status: 503, code: 1702 },
      detail: expect.stringContaining('nothing of it was taken, send it again'),
    });
    expect(await told('/v1/context')).toMatchObject({ feeds: [{ version: 5 }, {}] });
    rmdirSync(inTheWay);
    expect(await push(weather(30, { version: 6 }))).toMatchObject({ status: 200 });
    const { actions } = await peer.must({ op: 'decide', profile: 'ann', slot: 'golden' });
    expect(actions).toMatchObject([{ action: 'ice' }]);
  }, 60_000);

  it('tenants: whose token pushes decides whose feeds they are, also after a start; who may not push is told so', async () => {
    const keyFile = join(temporaryFolder('keys'), 'keys.json');
    const tokenOf = (tenant: string, roles: Role[]): string =>
      createApiKey(keyFile, { roles, tenant, expiresAtEpochMillis: null, note: '' }, epochMillis()).key;
    const [ours, theirs, app] = [tokenOf('default', ['ingest']), tokenOf('acme', ['ingest']), tokenOf('acme', ['app'])];
    const words = ['--api-key-file', keyFile, '--tenants', 'acme'];
    const { data } = await startNode({ words });
    const call = async (token: string, body?: object): Promise<{ status: number; text: string }> => {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const init = body === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(body) };
      const response = await fetch(`${node?.admin}/v1/context`, init);
      return { status: response.status, text: await response.text() };
    };
    expect((await call(ours, weather(25, { version: 9 }))).status).toBe(200);
    expect((await call(theirs, weather(5))).status).toBe(200);
    expect([(await call(app)).status, (await call(app, weather(1))).status]).toEqual([403, 403]);
    const versions = async (): Promise<unknown[]> =>
      Promise.all([ours, theirs].map(async (token) => JSON.parse((await call(token)).text).feeds[0].version));
    expect(await versions()).toEqual([9, 1]);
    expect(await node?.stop()).toBe(0);
    await startNode({ words, data });
    expect(await versions()).toEqual([9, 1]);
  }, 60_000);

  it('a damaged file: the start says which feed, and what to do', async () => {
    const { node: first } = await begin();
    await push(weather(25));
    expect(await first.stop()).toBe(0);
    writeFileSync(join(first.data, 'feeds', 'weather.feed'), 'no feed');
    await expect(begin({ data: first.data })).rejects.toThrow(/a context feed in .*feeds cannot be read/);
  }, 60_000);
});
