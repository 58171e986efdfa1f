/** One try: the signature against the specification's own vector, what may be spoken to, and what answers mean. */

import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  addressProblem,
  closeConnections,
  isAddressAllowed,
  postWebhook,
  readRetryAfter,
  readSecrets,
  signatureOf,
} from '../../../server/webhooks/webhook-request.ts';
import { temporaryFolder } from '../running-node.ts';

const KEY = 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

describe('webhook request: signature', () => {
  it('webhook request: signs as the libraries of Standard Webhooks do, with each secret', () => {
    // Of the test suites of github.com/standard-webhooks/standard-webhooks.
    const secret = Buffer.from(KEY, 'base64');
    const signature = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=';
    const body = '{"test": 2432232314}';
    expect(signatureOf('msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, body, [secret])).toBe(signature);
    const both = signatureOf('msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, body, [Buffer.alloc(24), secret]);
    expect(both.split(' ')).toHaveLength(2);
    expect(both.endsWith(` ${signature}`)).toBe(true);
  });

  it('webhook request: secrets come from the environment or a file, with or without the prefix, several while they change', () => {
    const path = join(temporaryFolder('secret'), 'crm');
    writeFileSync(path, `whsec_${KEY} ${KEY}\n`);
    const key = Buffer.from(KEY, 'base64');
    expect(readSecrets('crm', { OPPORTUNE_WEBHOOK_SECRET_CRM: `whsec_${KEY}` })).toEqual([key]);
    expect(readSecrets('crm', { OPPORTUNE_WEBHOOK_SECRET_CRM_FILE: path })).toEqual([key, key]);
  });

  it.each([
    ['missing', {}, /neither/],
    ['empty', { OPPORTUNE_WEBHOOK_SECRET_CRM: '' }, /base64/],
    ['too short', { OPPORTUNE_WEBHOOK_SECRET_CRM: Buffer.alloc(23, 1).toString('base64') }, /24 to 512/],
    ['too long', { OPPORTUNE_WEBHOOK_SECRET_CRM: Buffer.alloc(513, 1).toString('base64') }, /24 to 512/],
    ['not base64', { OPPORTUNE_WEBHOOK_SECRET_CRM: 'correct-horse-battery-staple-and-more' }, /base64/],
    ['too many', { OPPORTUNE_WEBHOOK_SECRET_CRM: `${KEY} `.repeat(5) }, /more than 4/],
    ['no file', { OPPORTUNE_WEBHOOK_SECRET_CRM_FILE: '/nowhere/at/all' }, /ENOENT/],
  ])('webhook request: a secret that is %s is said, and never shown', (_, environment, reason) => {
    const problem = readSecrets('crm', environment);
    expect(problem).toEqual(expect.stringMatching(reason));
    expect(problem).not.toContain('horse');
  });
});

describe('webhook request: addresses', () => {
  it.each([
    ['93.184.215.14', true, true],
    ['2606:2800:21f:cb07:6820:80da:af6b:8b2c', true, true],
    ['127.0.0.1', false, true],
    ['10.1.2.3', false, true],
    ['172.31.255.255', false, true],
    ['172.32.0.1', true, true],
    ['192.168.0.1', false, true],
    ['100.64.0.1', false, true],
    ['::1', false, true],
    ['::ffff:127.0.0.1', false, true],
    ['::ffff:7f00:1', false, true],
    ['fd00::1', false, true],
    ['64:ff9b::7f00:1', false, true],
    ['2002:7f00:1::', false, true],
    // Of the cloud's own services, of nobody, of many: never.
    ['169.254.169.254', false, false],
    ['::ffff:169.254.169.254', false, false],
    ['fe80::1', false, false],
    ['0.0.0.0', false, false],
    ['::', false, false],
    ['224.0.0.1', false, false],
    ['255.255.255.255', false, false],
    ['ff02::1', false, false],
    ['not an address', false, false],
  ])('webhook request: %s may be spoken to: %s; where the own network may: %s', (address, isAllowed, isWithOwn) => {
    expect(isAddressAllowed(address, false)).toBe(isAllowed);
    expect(isAddressAllowed(address, true)).toBe(isWithOwn);
  });

  it.each([
    ['http://example.com/', false, /https/],
    ['http://example.com/', true, null],
    ['https://127.0.0.1/', false, /address/],
    // As URL reads them: all are 127.0.0.1.
    ['https://0x7f.1/', false, /address/],
    ['https://2130706433/', false, /address/],
    ['https://[::1]/', false, /address/],
    ['https://[::ffff:7f00:1]/', false, /address/],
    ['https://169.254.169.254/latest', true, /address/],
    ['https://example.com/', false, null],
  ])('webhook request: %s, own network %s', (url, isPrivateAllowed, reason) => {
    const problem = addressProblem(new URL(url), isPrivateAllowed);
    if (reason === null) expect(problem).toBeNull();
    else expect(problem).toMatch(reason);
  });

  it('webhook request: a name that leads to this machine is refused where it is resolved, before a byte is sent', async () => {
    expect(await post('/', { isPrivateAllowed: false, url: `https://localhost:${port}/` })).toMatchObject({
      kind: 'failed',
      status: 0,
      reason: expect.stringContaining('spoken to'),
    });
    expect(seen).toEqual([]);
  });
});

describe('webhook request: answers', () => {
  it('webhook request: what is taken carries body, id, time and signature', async () => {
    expect(await post('/ok')).toEqual({ kind: 'delivered' });
    const [{ headers, body } = { headers: {}, body: '' }] = seen;
    expect(body).toBe('{"a":1}');
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'webhook-id': 'msg_1',
      'webhook-timestamp': '1700000000',
      'webhook-signature': signatureOf('msg_1', 1_700_000_000, body, [Buffer.from(KEY, 'base64')]),
    });
  });

  it.each([
    ['/500', 500, null, false],
    ['/400', 400, null, false],
    ['/410', 410, null, true],
    ['/429', 429, 7_000, false],
    ['/503', 503, 3_600_000, false],
  ])('webhook request: %s is a failure', async (path, status, retryAfterMillis, isFinal) => {
    expect(await post(path)).toMatchObject({ kind: 'failed', status, retryAfterMillis, isFinal });
  });

  it('webhook request: a redirect is not followed', async () => {
    expect(await post('/redirect')).toMatchObject({
      kind: 'failed',
      status: 307,
      reason: expect.stringContaining('redirect'),
    });
    expect(seen.map(({ path }) => path)).toEqual(['/redirect']);
  });

  it('webhook request: no answer in time, a closed door, a broken answer are failures', async () => {
    expect(await post('/hang', { timeoutMillis: 50 })).toMatchObject({ status: 0, reason: 'no answer within 50 ms' });
    expect(await post('/cut')).toMatchObject({ status: 0, reason: expect.stringContaining('ECONNRESET') });
    expect(await post('', { url: 'http://127.0.0.1:1/' })).toMatchObject({ status: 0 });
  });

  it('webhook request: an answer without end is taken at its head, and the connection is ended', async () => {
    expect(await post('/endless')).toEqual({ kind: 'delivered' });
    await endless;
  });
});

describe('webhook request: Retry-After', () => {
  const now = Date.UTC(2026, 0, 1);
  it.each([
    [undefined, null],
    ['0', 0],
    ['120', 120_000],
    ['999999999', 3_600_000],
    ['Thu, 01 Jan 2026 00:00:30 GMT', 30_000],
    ['Wed, 31 Dec 2025 00:00:00 GMT', 0],
    ['soon', null],
    ['-5', null],
  ])('webhook request: %s asks for a pause of %s ms', (value, millis) => {
    expect(readRetryAfter(value, now)).toBe(millis);
  });
});

const seen: { readonly path: string; readonly headers: IncomingMessage['headers']; readonly body: string }[] = [];
let server: Server;
let port = 0;
let endEndless: () => void = () => {};
const endless = new Promise<void>((resolve) => {
  endEndless = resolve;
});

function answer(path: string, response: ServerResponse): void {
  const status = Number(path.slice(1));
  if (path === '/hang') return;
  if (path === '/cut') response.destroy();
  else if (path === '/redirect') response.writeHead(307, { location: '/ok' }).end();
  else if (path === '/endless') {
    response.writeHead(200);
    response.write('x');
    response.on('close', endEndless);
  } else if (path === '/429') response.writeHead(429, { 'retry-after': '7' }).end();
  else if (path === '/503') response.writeHead(503, { 'retry-after': '86400' }).end();
  else response.writeHead(status > 0 ? status : 204).end();
}

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (part: string) => {
      body += part;
    });
    request.on('end', () => {
      seen.push({ path: request.url ?? '', headers: request.headers, body });
      answer(request.url ?? '', response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port; // listening on TCP
});
afterAll(async () => {
  closeConnections();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function post(path: string, other: { url?: string; timeoutMillis?: number; isPrivateAllowed?: boolean } = {}) {
  seen.length = 0;
  return postWebhook({
    url: `http://127.0.0.1:${port}${path}`,
    id: 'msg_1',
    body: '{"a":1}',
    secrets: [Buffer.from(KEY, 'base64')],
    nowEpochMillis: 1_700_000_000_999,
    timeoutMillis: 20_000,
    isPrivateAllowed: true,
    ...other,
  });
}
