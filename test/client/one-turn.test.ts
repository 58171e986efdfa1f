/** What a client asks in one turn of its event loop leaves together; over real sockets. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type ConnectOptions, connect, type OpportuneClient, OpportuneError } from '../../client/index.ts';
import type { Plain } from '../../proto/messages.ts';
import { defaultRespond, FakeServer, type Respond } from './fake-server.ts';

const clients: OpportuneClient[] = [];
const servers: FakeServer[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

/** A server, and a client that is connected to it. */
async function connected(respond?: Respond, options: ConnectOptions = {}) {
  const server = await FakeServer.start(respond);
  servers.push(server);
  const client = connect({ url: server.url, deadlineMillis: 5000, isShardAware: false, ...options });
  clients.push(client);
  await client.ping();
  server.frames.length = 0;
  server.received.length = 0;
  return { server, client };
}

/** Resolves when `condition` holds; vitest's own polling, no fixed sleeps. */
function until(condition: () => boolean): Promise<void> {
  return vi.waitFor(() => expect(condition()).toBe(true), { timeout: 5000, interval: 5 });
}

describe('OpportuneClient: one turn', () => {
  test.each(['msgpack', 'json'] as const)('asked together: in one frame, in its order, over %s', async (encoding) => {
    const { server, client } = await connected(undefined, { encoding });
    const told = client.track({ profile: 'p', event: 'view' });
    const decided = client.decide({ profile: 'p', slot: 's' });
    await Promise.all([told, decided, client.ping()]);
    await client.ping();
    expect(server.frames).toEqual([3, 1]);
    expect(server.received.map(({ op }) => op)).toEqual(['track', 'decide', 'ping', 'ping']);
  });

  test('told just before the close: it is sent', async () => {
    const { server, client } = await connected();
    const told = client.track({ profile: 'p', event: 'view' });
    client.close();
    await expect(told).rejects.toMatchObject({ name: 'OpportuneError', retry: 'never' });
    await until(() => server.applied.size === 1);
  });

  test('more events than may be in flight: the rest waits, and is not refused', async () => {
    let isHeld = true;
    const { server, client } = await connected((request, own) =>
      request.op === 'track' && isHeld ? undefined : defaultRespond(request, own),
    );
    const told = Array.from({ length: 1030 }, () => client.track({ profile: 'p', event: 'view', deadlineMillis: 300 }));
    const outcomes = Promise.allSettled(told);
    expect(client.queuedEventCount).toBe(6);
    await until(() => server.of('track').length === 1024);
    isHeld = false;
    const states = (await outcomes).map(({ status }) => status);
    expect(states.filter((status) => status === 'rejected')).toHaveLength(1024);
    expect(states.slice(1024)).toEqual(Array.from({ length: 6 }, () => 'fulfilled'));
  });

  test('too large for a frame: it is refused, and what was asked with it is answered', async () => {
    const { server, client } = await connected();
    const traits = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`t${index}`, 'x'.repeat(4000)]));
    const [identified, decided] = await Promise.allSettled([
      client.identify({ profile: 'p', traits }),
      client.decide({ profile: 'p', slot: 's' }),
    ]);
    expect(identified).toMatchObject({ status: 'rejected', reason: { status: 'INVALID_ARGUMENT', retry: 'never' } });
    expect(decided).toMatchObject({ status: 'fulfilled', value: { fallback: false } });
    expect(server.received.map(({ op }) => op)).toEqual(['decide']);
  });

  test.each(['msgpack', 'json'] as const)('a value that holds itself: refused alone, over %s', async (encoding) => {
    const { server, client } = await connected(undefined, { encoding });
    const cyclic: { [name: string]: Plain } = {};
    cyclic.own = cyclic;
    const outcomes = await Promise.allSettled([
      client.decide({ profile: 'p', slot: 's' }),
      client.track({ profile: 'p', event: 'view', properties: cyclic }),
      client.ping(),
    ]);
    const reason = {
      status: 'INVALID_ARGUMENT',
      retry: 'never',
      message: expect.stringContaining('cannot be written'),
    };
    expect(outcomes).toMatchObject([{ status: 'fulfilled' }, { status: 'rejected', reason }, { status: 'fulfilled' }]);
    expect(server.received.map(({ op }) => op)).toEqual(['decide', 'ping']);
  });

  test('a batch of very many: those beyond the limit in flight are refused, each for itself', async () => {
    const { client } = await connected();
    const outcomes = await client.batch(Array.from({ length: 150_000 }, () => ({ op: 'ping' as const })));
    expect(outcomes.filter((outcome) => !(outcome instanceof OpportuneError))).toHaveLength(1024);
  });
});
