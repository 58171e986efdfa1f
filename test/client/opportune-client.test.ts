/** The client over real sockets against a server that misbehaves on request. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import {
  type ConnectOptions,
  connect,
  type OpportuneClient,
  OpportuneError,
  partitionOfKey,
} from '../../client/index.ts';
import { FAULT } from '../../proto/statuses.ts';
import { defaultRespond, FakeServer, type Respond } from './fake-server.ts';

const clients: OpportuneClient[] = [];
const servers: FakeServer[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

async function serve(respond?: Respond, port?: number): Promise<FakeServer> {
  const server = await FakeServer.start(respond, port);
  servers.push(server);
  return server;
}

function join(server: { readonly url: string }, options: ConnectOptions = {}): OpportuneClient {
  const client = connect({ url: server.url, deadlineMillis: 5000, ...options });
  clients.push(client);
  return client;
}

async function stop(server: FakeServer): Promise<void> {
  servers.splice(servers.indexOf(server), 1);
  await server.stop();
}

/** A free port with nobody behind it. */
async function nobody(): Promise<{ readonly url: string; readonly port: number }> {
  const server = await FakeServer.start();
  const { url, port } = server;
  await server.stop();
  return { url, port };
}

function isError(status: string, retry: string): unknown {
  return expect.objectContaining({ name: 'OpportuneError', status, retry });
}

/** Resolves when `condition` holds; vitest's own polling, no fixed sleeps. */
function until(condition: () => boolean): Promise<void> {
  return vi.waitFor(() => expect(condition()).toBe(true), { timeout: 5000, interval: 5 });
}

/** Answers hello as usual and everything else as `respond` says. */
function except(respond: Respond): Respond {
  return (request, server) => (request.op === 'hello' ? defaultRespond(request, server) : respond(request, server));
}

/** Two shards that split the partitions at 128. */
async function serveTwo(): Promise<readonly [FakeServer, FakeServer]> {
  const low = await serve();
  const high = await serve();
  const shards = [
    { url: low.url, partitions: Array.from({ length: 128 }, (_, index) => index) },
    { url: high.url, partitions: Array.from({ length: 128 }, (_, index) => 128 + index) },
  ];
  low.shards = shards;
  high.shards = shards;
  return [low, high];
}
const keys = Array.from({ length: 64 }, (_, index) => `customer-${index}`);
const highKey = keys.find((key) => partitionOfKey(key) >= 128) ?? '';
const lowKey = keys.find((key) => partitionOfKey(key) < 128) ?? '';

describe.each(['msgpack', 'json'] as const)('OpportuneClient (%s)', (encoding) => {
  test('operations: each resolves to its reply when the server is well', async () => {
    const server = await serve();
    const client = join(server, { encoding, clientName: 'test', clientVersion: '1' });
    expect(await client.hello()).toMatchObject({ ok: true, server: 'fake' });
    expect(await client.ping()).toMatchObject({ timeEpochMillis: 1763843794000 });
    expect(await client.track({ profile: 'pö', event: 'view', properties: { a: [1, null] } })).toMatchObject({
      duplicate: false,
    });
    expect(await client.identify({ profile: 'p', traits: { plan: 'gold' } })).toMatchObject({ stateSeq: 7 });
    expect(await client.decide({ profile: 'p', slot: 's' })).toMatchObject({ fallback: false });
    expect(await client.confirm('AAAAAAAAAAAAAAAAAAAA')).toMatchObject({ stateSeq: 7 });
    expect(await client.release('AAAAAAAAAAAAAAAAAAAA')).toMatchObject({ stateSeq: 7 });
    expect(await client.profile('p')).toMatchObject({ record: { traits: { a: 1 } } });
    expect(server.of('hello')[0]).toMatchObject({ client: 'test', version: '1' });
    expect(server.of('track')[0]).toMatchObject({ profile: 'pö', properties: { a: [1, null] } });
    expect(new Set(server.received.map((request) => request.id)).size).toBe(server.received.length);
    for (const request of server.received) expect(request.deadlineMillis).toBeLessThanOrEqual(5000);
  });

  test('errors: reject with the server’s status, code and retry when it refuses', async () => {
    const server = await serve(except(() => ({ ...FAULT.unknownSlot })));
    await expect(join(server, { encoding }).decide({ profile: 'p', slot: 'x' })).rejects.toMatchObject({
      name: 'OpportuneError',
      status: 'NOT_FOUND',
      code: 1301,
      retry: 'never',
      message: 'refused by the test',
    });
  });

  test('batch: replies and errors come back in order in one frame when some are refused', async () => {
    const server = await serve();
    const client = join(server, { encoding });
    await client.ping();
    server.frames.length = 0;
    const outcomes = await client.batch([
      { op: 'ping' },
      { op: 'export' as 'ping' }, // an operation this server refuses
      { op: 'track', profile: 'p', event: 'e' },
    ]);
    expect(server.frames).toEqual([3]);
    expect(outcomes[0]).toMatchObject({ ok: true });
    expect(outcomes[1]).toBeInstanceOf(OpportuneError);
    expect(outcomes[2]).toMatchObject({ duplicate: false });
    expect(server.of('track')[0]?.messageId).toMatch(/^[0-9a-f]{32}$/);
    expect(await client.batch([])).toEqual([]);
  });
});

describe('OpportuneClient: connection', () => {
  test('hello: waits for the socket when asked at once, and the status is told', async () => {
    const server = await serve();
    const seen: string[] = [];
    const client = join(server, { onStatus: (status) => seen.push(status) });
    await client.ping();
    client.close();
    client.close();
    expect(seen).toEqual(['connecting', 'connected', 'closed']);
  });

  test('close: everything unanswered rejects, and everything after it', async () => {
    const server = await serve(except(() => undefined));
    const client = join(server);
    const asked = client.ping();
    const told = client.track({ profile: 'p', event: 'e' });
    await until(() => server.received.length >= 3);
    client.close();
    await expect(asked).rejects.toEqual(isError('UNAVAILABLE', 'never'));
    await expect(told).rejects.toEqual(isError('UNAVAILABLE', 'never'));
    await expect(client.ping()).rejects.toEqual(isError('UNAVAILABLE', 'never'));
    await expect(client.track({ profile: 'p', event: 'e' })).rejects.toEqual(isError('UNAVAILABLE', 'never'));
  });

  test('reconnect: requests work again when the server dropped every connection', async () => {
    const server = await serve();
    const client = join(server);
    await client.ping();
    server.drop();
    await until(() => client.status === 'offline');
    await until(() => client.status === 'connected');
    expect(await client.ping()).toMatchObject({ ok: true });
    expect(server.connectionCount).toBeGreaterThan(1);
  });

  test('in flight: rejects as UNAVAILABLE when the connection ends before the reply', async () => {
    const server = await serve(
      except((_request, self) => {
        self.drop();
        return undefined;
      }),
    );
    await expect(join(server).identify({ profile: 'p', traits: {} })).rejects.toEqual(
      isError('UNAVAILABLE', 'reconnect'),
    );
    expect(server.of('identify')).toHaveLength(1);
  });

  test('reply to another id: ignored when nothing with that id is in flight', async () => {
    const server = await serve(
      except((request, self) => {
        self.broadcast({ id: request.id + 1000, ok: true, serverMicros: 1 });
        self.broadcast({ id: null, ok: false, status: 'INVALID_ARGUMENT', code: 1002, message: '', retry: 'never' });
        self.broadcast({ push: 'decision' });
        self.broadcast(5);
        return defaultRespond(request, self);
      }),
    );
    expect(await join(server).ping()).toMatchObject({ timeEpochMillis: 1763843794000 });
  });

  test('undecodable frame: the connection is closed and opened again', async () => {
    const server = await serve();
    const client = join(server);
    await client.ping();
    server.raw(Uint8Array.from([0xc1]));
    await until(() => server.connectionCount === 2);
    expect(await client.ping()).toMatchObject({ ok: true });
  });

  test('token: sent as a header in Node, as a query parameter with another WebSocket', async () => {
    const server = await serve();
    await join(server, { token: 'secret' }).ping();
    class Other extends WebSocket {}
    await join(server, { token: 's+t', WebSocket: Other as never }).ping(); // the same API as the platform's
    expect(server.tokens).toEqual(['Bearer secret', 's+t']);
  });

  test('token: a function is asked anew for each connection', async () => {
    const server = await serve();
    let count = 0;
    const client = join(server, { token: () => Promise.resolve(`t${++count}`) });
    await client.ping();
    server.raw(Uint8Array.from([0xc1])); // ends the connection
    await until(() => server.connectionCount === 2);
    expect(server.tokens).toEqual(['Bearer t1', 'Bearer t2']);
  });

  test('options: refused at once when the deadline or the URL is none', () => {
    for (const deadlineMillis of [0, 60_001, Number.NaN]) expect(() => connect({ deadlineMillis })).toThrow(RangeError);
    expect(() => connect({ url: 'not a url' })).toThrow(TypeError);
  });

  test('too large: rejected without a frame when a request fits none', async () => {
    const server = await serve();
    const client = join(server);
    await client.ping();
    const before = server.frames.length;
    const traits = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`t${index}`, 'x'.repeat(4000)]));
    await expect(client.identify({ profile: 'p', traits })).rejects.toEqual(isError('INVALID_ARGUMENT', 'never'));
    expect(server.frames.length).toBe(before);
  });

  test('batch: split into frames that fit when it is larger than one', async () => {
    const server = await serve();
    const client = join(server);
    await client.ping();
    server.frames.length = 0;
    const properties = { text: 'x'.repeat(4000) };
    const outcomes = await client.batch(
      Array.from({ length: 40 }, () => ({ op: 'track' as const, profile: 'p', event: 'e', properties })),
    );
    expect(outcomes.every((outcome) => !(outcome instanceof OpportuneError))).toBe(true);
    expect(server.frames.length).toBeGreaterThan(1);
    expect(server.applied.size).toBe(40);
  });

  test('in-flight limit: one request more than the limit is refused', async () => {
    const server = await serve(except((request) => (request.op === 'ping' ? undefined : { stateSeq: 1 })));
    const client = join(server, { isShardAware: false });
    await client.identify({ profile: 'p', traits: {} });
    const pings = client.batch(Array.from({ length: 1025 }, () => ({ op: 'ping' as const })));
    await until(() => server.of('ping').length === 1024);
    client.close();
    const errors = (await pings).map((outcome) => (outcome as OpportuneError).status); // none was answered
    expect(errors.filter((status) => status === 'RESOURCE_EXHAUSTED')).toHaveLength(1);
  });
});

describe('OpportuneClient: decide', () => {
  test('deadline: rejects when the reply is too late and there is no default', async () => {
    const server = await serve(except(() => undefined));
    const client = join(server);
    await client.hello();
    await expect(client.decide({ profile: 'p', deadlineMillis: 20 })).rejects.toEqual(
      isError('DEADLINE_EXCEEDED', 'later'),
    );
    expect(server.of('decide')[0]?.deadlineMillis).toBeLessThanOrEqual(20);
  });

  test('deadline: answers the local default when the reply is too late', async () => {
    const server = await serve(except(() => undefined));
    const client = join(server, { defaultDecision: ({ slot }) => ({ catalogVersion: `local-${slot}` }) });
    await client.hello();
    const reply = await client.decide({ profile: 'p', slot: 'hero', deadlineMillis: 20 });
    expect(reply).toMatchObject({
      ok: true,
      fallback: true,
      catalogVersion: 'local-hero',
      decisionId: null,
      actions: [],
    });
  });

  test('no connection: answers the local default without waiting when the server is away', async () => {
    const client = join(await nobody(), { defaultDecision: {} });
    await until(() => client.status === 'offline');
    expect(await client.decide({ profile: 'p', deadlineMillis: 60_000 })).toMatchObject({ fallback: true });
    const plain = join(await nobody());
    await until(() => plain.status === 'offline');
    await expect(plain.decide({ profile: 'p' })).rejects.toEqual(isError('UNAVAILABLE', 'reconnect'));
  });

  test('refusal: the default answers overload, never the caller’s own mistake', async () => {
    const server = await serve(except((request) => (request.slot === 'x' ? FAULT.unknownSlot : FAULT.mailboxFull)));
    const client = join(server, { defaultDecision: {} });
    expect(await client.decide({ profile: 'p' })).toMatchObject({ fallback: true });
    await expect(client.decide({ profile: 'p', slot: 'x' })).rejects.toEqual(isError('NOT_FOUND', 'never'));
  });
});

describe('OpportuneClient: track', () => {
  test('offline: events wait, and arrive in order when the server comes', async () => {
    const address = await nobody();
    const client = join(address, { deadlineMillis: 1000 });
    await until(() => client.status === 'offline');
    const told = [1, 2, 3].map((n) => client.track({ profile: 'p', event: `e${n}` }));
    expect(client.queuedEventCount).toBe(3);
    const server = await serve(undefined, address.port);
    expect((await Promise.all(told)).map((reply) => reply.duplicate)).toEqual([false, false, false]);
    expect(server.of('track').map((request) => request.event)).toEqual(['e1', 'e2', 'e3']);
    expect(client.queuedEventCount).toBe(0);
  });

  test('queue full: the newest event is refused and the accepted ones stay', async () => {
    const address = await nobody();
    const client = join(address, { offlineQueueMax: 2 });
    const told = [1, 2].map((n) => client.track({ profile: 'p', event: `e${n}` }));
    await expect(client.track({ profile: 'p', event: 'e3' })).rejects.toEqual(isError('RESOURCE_EXHAUSTED', 'later'));
    const server = await serve(undefined, address.port);
    await Promise.all(told);
    expect(server.applied.size).toBe(2);
  });

  test('queue of none: every event is refused when there is no connection', async () => {
    const client = join(await nobody(), { offlineQueueMax: 0 });
    await expect(client.track({ profile: 'p', event: 'e' })).rejects.toEqual(isError('RESOURCE_EXHAUSTED', 'later'));
  });

  test('lost reply: sent again under the same messageId and applied once', async () => {
    let drops = 2;
    const server = await serve((request, self) => {
      const answer = defaultRespond(request, self);
      if (request.op !== 'track' || drops-- <= 0) return answer;
      self.drop();
      return undefined;
    });
    const reply = await join(server).track({ profile: 'p', event: 'purchase' });
    expect(reply.duplicate).toBe(true);
    const sent = server.of('track').map((request) => request.messageId);
    expect(sent).toHaveLength(3);
    expect(new Set(sent).size).toBe(1);
    expect(server.applied.size).toBe(1);
  });

  test('given messageId: kept as it is', async () => {
    const server = await serve();
    await join(server).track({ profile: 'p', event: 'e', messageId: 'mine' });
    expect([...server.applied]).toEqual(['mine']);
  });

  test('refused for now: tried again after retryAfterMillis when the deadline allows', async () => {
    let refusals = 2;
    const server = await serve((request, self) =>
      request.op === 'track' && refusals-- > 0
        ? { ...FAULT.mailboxFull, retryAfterMillis: 5 }
        : defaultRespond(request, self),
    );
    expect(await join(server).track({ profile: 'p', event: 'e' })).toMatchObject({ ok: true });
    expect(server.of('track')).toHaveLength(3);
  });

  test('refused for now: rejects with the server’s error when the deadline does not allow', async () => {
    const server = await serve(except(() => ({ ...FAULT.memoryFull, retryAfterMillis: 10_000 })));
    const told = join(server).track({ profile: 'p', event: 'e', deadlineMillis: 200 });
    await expect(told).rejects.toMatchObject({ code: 1503 });
    expect(server.of('track')).toHaveLength(1);
  });

  test('refused for good: rejects at once', async () => {
    const server = await serve(except(() => FAULT.invalidField));
    await expect(join(server).track({ profile: 'p', event: 'e' })).rejects.toMatchObject({ code: 1001 });
    expect(server.of('track')).toHaveLength(1);
  });

  test('window: more events than may be unanswered all arrive', async () => {
    const server = await serve();
    const client = join(server, { offlineQueueMax: 3000 });
    const told = Array.from({ length: 3000 }, (_, n) => client.track({ profile: 'p', event: `e${n}` }));
    const replies = await Promise.all(told);
    expect(replies.some((reply) => reply.duplicate)).toBe(false);
    expect(server.applied.size).toBe(3000);
  });
});

describe('OpportuneClient: shards', () => {
  test('routing: the owner is asked directly once its connection is open', async () => {
    const [low, high] = await serveTwo();
    const client = join(low);
    await client.hello();
    await client.decide({ profile: highKey });
    await until(() => client.openUrls.includes(high.url));
    await client.decide({ profile: highKey });
    await client.track({ profile: highKey, event: 'e' });
    await client.decide({ profile: lowKey });
    // Byte 0 of the id is the partition: '_' is 63, so '__…' begins with 255, and 'AA…' with 0.
    await client.confirm('_'.repeat(20));
    await client.release('A'.repeat(20));
    expect(high.of('decide')).toHaveLength(1);
    expect(high.of('track')).toHaveLength(1);
    expect(high.of('confirm')).toHaveLength(1);
    expect(low.of('release')).toHaveLength(1);
    expect(low.of('decide').map((request) => request.profile)).toEqual([highKey, lowKey]);
  });

  test('batch: split between the owners, answered in order', async () => {
    const [low, high] = await serveTwo();
    const client = join(low);
    await client.hello();
    await client.decide({ profile: highKey });
    await until(() => client.openUrls.includes(high.url));
    const outcomes = await client.batch(keys.map((profile) => ({ op: 'decide' as const, profile })));
    expect(outcomes.every((outcome) => !(outcome instanceof OpportuneError))).toBe(true);
    expect(high.of('decide').every((request) => partitionOfKey(String(request.profile)) >= 128)).toBe(true);
    expect(high.of('decide').length + low.of('decide').length).toBe(keys.length + 1);
    expect(high.of('decide').length).toBeGreaterThan(0);
  });

  test('seed: serves everything when a shard cannot be reached', async () => {
    const [low, high] = await serveTwo();
    const client = join(low);
    await client.hello();
    await client.decide({ profile: highKey });
    await until(() => client.openUrls.includes(high.url));
    await stop(high);
    await until(() => !client.openUrls.includes(high.url));
    expect(await client.decide({ profile: highKey })).toMatchObject({ fallback: false });
    expect(await client.track({ profile: highKey, event: 'e' })).toMatchObject({ duplicate: false });
    expect(low.of('track')).toHaveLength(1);
  });

  test.each([1012, 4002])('map: asked for again when a shard closes with %i', async (code) => {
    const [low, high] = await serveTwo();
    const client = join(low);
    await client.hello();
    await client.decide({ profile: highKey });
    await until(() => client.openUrls.includes(high.url));
    const before = low.of('hello').length;
    low.shards = [];
    high.drop(code);
    await until(() => low.of('hello').length > before);
    await client.decide({ profile: highKey });
    expect(low.of('decide')).toHaveLength(2);
  });

  test('map: asked for again when the owner says it is none, and the event arrives', async () => {
    const [low, high] = await serveTwo();
    const client = join(low);
    await client.hello();
    await client.decide({ profile: highKey });
    await until(() => client.openUrls.includes(high.url));
    high.respond = (request, self) => (request.op === 'track' ? FAULT.notOwner : defaultRespond(request, self));
    low.shards = [];
    expect(await client.track({ profile: highKey, event: 'e' })).toMatchObject({ duplicate: false });
    expect(low.of('track')).toHaveLength(1);
  });

  test('unaware: only the seed is asked, and hello is not sent by itself', async () => {
    const [low, high] = await serveTwo();
    const client = join(low, { isShardAware: false });
    await client.decide({ profile: highKey });
    await client.decide({ profile: highKey });
    expect(low.of('decide')).toHaveLength(2);
    expect(low.of('hello')).toHaveLength(0);
    expect(high.connectionCount).toBe(0);
  });

  test('map: a URL that is none is no route', async () => {
    const server = await serve();
    server.shards = [
      { url: 'nonsense', partitions: Array.from({ length: 255 }, (_, index) => index) },
      { url: server.url, partitions: [255] },
    ];
    const client = join(server);
    await client.hello();
    expect(await client.decide({ profile: lowKey })).toMatchObject({ fallback: false });
  });
});
