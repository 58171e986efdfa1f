import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type AdminHttp, type AdminOptions, type AdminSource, startAdminHttp } from '../../server/admin-http.ts';
import { type Route, sendJson } from '../../server/http-route.ts';
import type { NodeStatus, ShardStatus } from '../../server/node-status.ts';
import { OperatorError } from '../../server/operator-error.ts';

const shard: ShardStatus = { index: 0, state: 'ready', restarts: 0, isReadOnly: false, problem: null };
const ready: NodeStatus = {
  version: '1.2.3',
  startedAtEpochMillis: 0,
  isDraining: false,
  fit: { fittedAtEpochMillis: null, people: 0, isLastGood: null, shardsPending: 0 },
  shards: [shard, { ...shard, index: 1 }],
  catalog: {
    path: 'x',
    name: 'shop',
    version: 'v',
    actions: 1,
    products: 1,
    slots: 1,
    channels: 1,
    traits: 1,
    refused: null,
  },
};

const open: AdminHttp[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((admin) => admin.close()));
});

async function serve(source: Partial<AdminSource> = {}, options: Partial<AdminOptions> = {}): Promise<AdminHttp> {
  const admin = await startAdminHttp(
    { host: '127.0.0.1', port: 0, hosts: [], ...options },
    {
      status: () => ready,
      metricsText: () => Promise.resolve('up 1\n'),
      related: (tenant, sku) =>
        tenant === 'default' && sku === 'camera'
          ? {
              fittedAtEpochMillis: 1,
              related: [
                ['tripod', 0.4],
                ['bag', 0.2],
              ],
            }
          : null,
      catalogSchema: () => Promise.resolve({ type: 'object' }),
      ...source,
    },
  );
  open.push(admin);
  return admin;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly allow: string | undefined;
  readonly text: string;
}

function ask(
  admin: AdminHttp,
  path: string,
  method = 'GET',
  headers: Record<string, string> = {},
  body = '',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port: admin.port, path, method, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        resolve({
          status: response.statusCode ?? 0,
          type: response.headers['content-type'] ?? '',
          allow: response.headers.allow,
          text: Buffer.concat(chunks).toString(),
        });
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}

describe('health and readiness', () => {
  it.each([
    ['all is well', ready, 200, 200],
    ['a shard starts', { ...ready, shards: [shard, { ...shard, state: 'starting' as const }] }, 200, 503],
    ['a shard recovers', { ...ready, shards: [{ ...shard, state: 'recovering' as const }] }, 200, 503],
    ['a store is read-only', { ...ready, shards: [{ ...shard, isReadOnly: true }] }, 200, 503],
    ['the node drains', { ...ready, isDraining: true }, 200, 503],
    ['there is no shard yet', { ...ready, shards: [] }, 200, 503],
    ['a shard is beyond repair', { ...ready, shards: [{ ...shard, state: 'failed' as const }] }, 503, 503],
  ])('admin: when %s', async (_case, status, health, readiness) => {
    const admin = await serve({ status: () => status });
    expect((await ask(admin, '/healthz')).status).toBe(health);
    const answer = await ask(admin, '/readyz');
    expect(answer.status).toBe(readiness);
    expect(JSON.parse(answer.text)).toMatchObject({ ready: readiness === 200, shards: status.shards });
  });
});

describe('routes', () => {
  it('admin: serves metrics, the schema and a list of what is here', async () => {
    const admin = await serve();
    expect(await ask(admin, '/metrics?x=1')).toMatchObject({
      status: 200,
      text: 'up 1\n',
      type: expect.stringContaining('version=0.0.4'),
    });
    expect(await ask(admin, '/v1/schema/catalog.json')).toMatchObject({ status: 200, type: 'application/schema+json' });
    const index = await ask(admin, '/');
    for (const path of ['/healthz', '/readyz', '/metrics', '/v1/schema/catalog.json'])
      expect(index.text).toContain(path);
    expect(index.text).not.toContain('drill');
  });
  it('admin: answers HEAD without a body', async () => {
    const admin = await serve();
    expect(await ask(admin, '/metrics', 'HEAD')).toMatchObject({ status: 200, text: '' });
  });
  it('admin: refuses other methods and names the allowed ones', async () => {
    const admin = await serve();
    const answer = await ask(admin, '/metrics', 'DELETE');
    expect(answer).toMatchObject({ status: 405, allow: 'GET, HEAD', type: 'application/problem+json' });
    expect(JSON.parse(answer.text)).toMatchObject({ type: 'about:blank', status: 405, title: 'Method Not Allowed' });
  });
  it.each(['/nothing', '/v1/drill/worker-exit', '/metrics/', '/__proto__', '//evil', '/%00'])(
    'admin: %s is not there',
    async (path) => {
      const admin = await serve();
      expect((await ask(admin, path)).status).toBe(404);
    },
  );
  it('admin: an answer that cannot be made is a problem document without our reason', async () => {
    const admin = await serve({ metricsText: () => Promise.reject(new Error('secret path /x')) });
    const answer = await ask(admin, '/metrics');
    expect(answer.status).toBe(500);
    expect(answer.text).not.toContain('secret');
    expect((await ask(admin, '/healthz')).status).toBe(200);
  });
});

describe('guards', () => {
  it.each([
    ['127.0.0.1', 200],
    ['localhost:7401', 200],
    ['LOCALHOST', 200],
    ['[::1]:7401', 200],
    ['opportune.internal', 200],
    ['evil.example', 421],
    ['127.0.0.1.evil.example', 421],
    ['10.0.0.1', 421],
  ])('admin: on loopback, Host %s gets %i', async (host, status) => {
    const admin = await serve({}, { hosts: ['opportune.internal'] });
    expect((await ask(admin, '/metrics', 'GET', { host })).status).toBe(status);
  });
  it('admin: listening for others, address literals are answered and foreign names are not', async () => {
    const admin = await serve({}, { host: '0.0.0.0' });
    expect((await ask(admin, '/metrics', 'GET', { host: '10.0.0.1:7401' })).status).toBe(200);
    expect((await ask(admin, '/metrics', 'GET', { host: 'evil.example' })).status).toBe(421);
  });
  it('admin: refuses a body, a long address and large headers, and goes on', async () => {
    const admin = await serve();
    expect((await ask(admin, '/metrics', 'GET', { 'content-length': '3' }, 'abc')).status).toBe(413);
    expect((await ask(admin, `/${'x'.repeat(2048)}`)).status).toBe(414);
    expect((await ask(admin, `/${'x'.repeat(2047)}`)).status).toBe(404);
    expect((await ask(admin, '/metrics', 'GET', { 'x-large': 'x'.repeat(17_000) })).status).toBe(400);
    expect((await ask(admin, '/metrics')).status).toBe(200);
  });
  it('admin: what is not HTTP gets 400 and a closed connection', async () => {
    const admin = await serve();
    const text = await new Promise<string>((resolve, reject) => {
      let answer = '';
      const socket = connect(admin.port, '127.0.0.1', () => socket.write('\u0016\u0003 nonsense\r\n\r\n'));
      socket.on('data', (chunk: Buffer) => {
        answer += chunk.toString();
      });
      socket.on('end', () => resolve(answer));
      socket.on('error', reject);
    });
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
  });
});

describe('drills', () => {
  it('admin: breaks the worker asked for, by POST only, when drills are on', async () => {
    const calls: string[] = [];
    const admin = await serve({
      drill: (drill, worker) => (worker < 2 ? () => calls.push(`${drill} ${worker}`) : null),
    });
    expect((await ask(admin, '/')).text).toContain('/v1/drill/worker-exit');
    expect((await ask(admin, '/v1/drill/worker-exit?worker=1', 'POST')).status).toBe(202);
    expect((await ask(admin, '/v1/drill/worker-error?worker=2', 'POST')).status).toBe(404);
    for (const worker of ['', '-1', 'x', '1.5', '1000']) {
      expect((await ask(admin, `/v1/drill/worker-exit?worker=${worker}`, 'POST')).status).toBe(400);
    }
    expect((await ask(admin, '/v1/drill/worker-exit?worker=1')).status).toBe(405);
    expect(calls).toEqual(['worker-exit 1']);
  });
  it('admin: a web page of another origin cannot drill', async () => {
    const admin = await serve({ drill: () => () => undefined });
    const path = '/v1/drill/worker-exit?worker=0';
    expect((await ask(admin, path, 'POST', { origin: 'http://evil.example' })).status).toBe(403);
    expect((await ask(admin, path, 'POST', { origin: 'null' })).status).toBe(403);
    expect((await ask(admin, path, 'POST', { origin: `http://127.0.0.1:${admin.port}` })).status).toBe(202);
  });
});

describe('listening', () => {
  it('admin: a port in use is an error that says which and what to do', async () => {
    const admin = await serve();
    const error = await serve({}, { port: admin.port }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OperatorError);
    expect(error).toMatchObject({ code: 'PORT_IN_USE', message: expect.stringContaining(String(admin.port)) });
  });
  it('admin: frees its port when closed', async () => {
    const admin = await serve();
    await admin.close();
    const again = await serve({}, { port: admin.port });
    expect(again.port).toBe(admin.port);
  });
});

describe('routes that take a body', () => {
  const echo: Route = {
    method: 'POST',
    about: 'says what came',
    operation: 'health',
    shape: { answers: {} },
    bodyBytesMax: 10,
    answer: ({ body, response, login }) => sendJson(response, 200, { body: body.toString(), who: login.principal.id }),
  };
  const options = { routes: new Map([['/v1/echo', echo]]) };

  it('the body, whole, sent with its length or in chunks', async () => {
    const admin = await serve({}, options);
    for (const headers of [{}, { 'transfer-encoding': 'chunked' }] as Record<string, string>[]) {
      const answer = await ask(admin, '/v1/echo', 'POST', headers, '0123456789');
      expect([answer.status, JSON.parse(answer.text)]).toEqual([200, { body: '0123456789', who: 'anonymous' }]);
    }
    expect((await ask(admin, '/')).text).toContain('/v1/echo');
  });

  it('longer than the bound is 413, whether announced or not, and another path still takes none', async () => {
    const admin = await serve({}, options);
    expect((await ask(admin, '/v1/echo', 'POST', {}, '0123456789a')).status).toBe(413);
    expect((await ask(admin, '/v1/echo', 'POST', { 'transfer-encoding': 'chunked' }, '0123456789a')).status).toBe(413);
    expect((await ask(admin, '/healthz', 'GET', { 'content-length': '1' }, 'x')).status).toBe(413);
    expect((await ask(admin, '/v1/echo', 'PUT')).allow).toBe('POST');
  });
});

describe('a request that comes too slowly', () => {
  it.each([
    ['its headers', 'POST /slow HTTP/1.1\r\nHost: 127.0.0.1\r\n'],
    ['its body', 'POST /slow HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nhalf'],
  ])('is answered 408 with the bound when %s are not whole, and closed', async (_what, text) => {
    const route: Route = {
      method: 'POST',
      about: 'slow',
      operation: 'health',
      shape: { answers: {} },
      bodyBytesMax: 100,
      answer: ({ response }) => sendJson(response, 200, {}),
    };
    const admin = await serve({}, { requestTimeoutMillis: 1_000, routes: new Map([['/slow', route]]) });
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(admin.port, '127.0.0.1', () => socket.write(text));
      let received = '';
      socket.on('data', (bytes) => {
        received += bytes.toString();
      });
      socket.on('close', () => resolve(received));
      socket.on('error', reject);
    });
    expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    expect(answer).toContain('not whole within 1000 ms; send it again');
  });
});
