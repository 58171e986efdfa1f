/**
 * TLS 1.3, client certificates and limits of the running server, with an authority made on the spot by the
 * program `openssl`; where that is missing the file is skipped and says so.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { connect as connectTls, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClientOptions } from 'ws';
import { FAULT } from '../../../proto/statuses.ts';
import { createApiKey } from '../../../server/access/api-keys.ts';
import { epochMillis } from '../../../workers/clock.ts';
import { RunningNode, StartedProgram, temporaryFolder, until } from '../running-node.ts';
import { WirePeer } from '../wire-peer.ts';
import { writeWhole } from './token-issuer.ts';
import { askUpgrade, withToken } from './upgrade-answer.ts';

const folder = temporaryFolder('tls');
const at = (name: string): string => join(folder, name);
const read = (name: string): string => readFileSync(at(name), 'utf8');
const hasOpenssl = ((): boolean => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    console.warn('SKIPPED: TLS: the program openssl is not here');
    return false;
  }
})();

function openssl(...words: string[]): void {
  execFileSync('openssl', words, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
}
function makeAuthority(name: string): void {
  const subject = ['-subj', `/CN=${name}`, '-days', '2'];
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    ...subject,
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.pem`,
  );
}
function makeCertificate(authority: string, name: string): void {
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
  openssl(
    'req',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    ...subject,
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.csr`,
  );
  openssl(
    'x509',
    '-req',
    '-in',
    `${name}.csr`,
    '-CA',
    `${authority}.pem`,
    '-CAkey',
    `${authority}.key`,
    '-CAcreateserial',
    '-days',
    '2',
    '-copy_extensions',
    'copy',
    '-out',
    `${name}.pem`,
  );
}

describe.runIf(hasOpenssl)('TLS', () => {
  const keys = at('keys.json');
  const apiKey = (): string =>
    createApiKey(
      keys,
      { roles: ['app', 'operator'], tenant: 'default', expiresAtEpochMillis: null, note: '' },
      epochMillis(),
    ).key;
  const [first, second] = [apiKey(), apiKey()];
  let node: RunningNode;
  let port: number;
  /** With which files a client comes. */
  const as = (client: string | null): ClientOptions => ({
    ca: read('authority.pem'),
    ...(client === null ? {} : { cert: read(`${client}.pem`), key: read(`${client}.key`) }),
  });

  beforeAll(async () => {
    makeAuthority('authority');
    makeAuthority('stranger');
    makeCertificate('authority', 'server');
    makeCertificate('authority', 'renewed');
    makeCertificate('authority', 'client');
    makeCertificate('stranger', 'impostor');
    node = await RunningNode.start({
      workers: 1,
      words: [
        ...['--api-key-file', keys, '--tls-cert-file', at('server.pem'), '--tls-key-file', at('server.key')],
        ...['--tls-client-ca-file', at('authority.pem')],
        ...['--requests-per-second-per-token', '5', '--connections-per-address-max', '6'],
      ],
    });
    port = Number(new URL(node.url).port);
  });
  afterAll(async () => {
    if (node?.hasEnded === false) await node.kill();
  });

  function handshake(options: object): Promise<TLSSocket | string> {
    return new Promise((resolve) => {
      const socket = connectTls({ host: '127.0.0.1', port, ...options }, () => {
        // In TLS 1.3 the server's refusal of a certificate comes behind the client's own handshake.
        socket.once('data', () => resolve(socket));
        socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      });
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      socket.on('close', () => resolve('closed'));
    });
  }
  function admin(path: string, client: string | null): Promise<number | string> {
    return new Promise((resolve) => {
      const headers = { authorization: `Bearer ${first}` };
      const { ca, cert, key } = as(client);
      request(`${node.admin}${path}`, { headers, agent: false, ca, cert, key } as object, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      })
        .on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
        .end();
    });
  }

  it('tls: the banner and the shard map say so, and plain sockets get nowhere', async () => {
    expect(node.url).toMatch(/^wss:/);
    expect(node.admin).toMatch(/^https:/);
    expect(node.stdout).toContain('TLS 1.3, client certificates needed');
    expect(node.stdout).toMatch(/transport +ws, because uws cannot be used: it speaks no TLS 1.3/);
    expect((await askUpgrade(node.url.replace('wss:', 'ws:'), withToken(first))).status).toBe(0);
    const peer = await WirePeer.connect(node.url, 'json', { ...as('client'), ...withToken(first) });
    const { shards } = await peer.must({ op: 'hello' });
    expect(shards[0].url).toMatch(/^wss:/);
    expect((await askUpgrade(shards[0].url, { ...as('client'), ...withToken(first) })).status).toBe(101);
    peer.close();
  });

  it('tls: 1.3 is spoken, and nothing older', async () => {
    const socket = await handshake(as('client'));
    expect(typeof socket === 'string' ? socket : socket.getProtocol()).toBe('TLSv1.3');
    if (typeof socket !== 'string') socket.destroy();
    for (const maxVersion of ['TLSv1.2', 'TLSv1.1'])
      expect(typeof (await handshake({ ...as('client'), minVersion: 'TLSv1', maxVersion }))).toBe('string');
  });

  it.each([
    ['none', null],
    ['one of another authority', 'impostor'],
  ])('mtls: a client with %s is refused on every port, though its token is good', async (_what, client) => {
    expect((await askUpgrade(node.url, { ...as(client), ...withToken(first) })).status).toBe(0);
    expect(typeof (await handshake(as(client)))).toBe('string');
    expect(typeof (await admin('/metrics', client))).toBe('string');
  });

  it('mtls: a certificate is not a token', async () => {
    expect((await askUpgrade(node.url, as('client'))).status).toBe(401);
    expect((await askUpgrade(node.url, { ...as('client'), ...withToken(second) })).status).toBe(101);
    expect(await admin('/metrics', 'client')).toBe(200);
  });

  it('limits: a token has its rate, shared by its connections; another token has its own', async () => {
    const options = (token: string): ClientOptions => ({ ...as('client'), ...withToken(token) });
    const fresh = apiKey();
    await until(async () => (await askUpgrade(node.url, options(fresh))).status === 101);
    const [a, b, other] = await Promise.all(
      [fresh, fresh, second].map((t) => WirePeer.connect(node.url, 'json', options(t))),
    );
    const ask = (peer: WirePeer | undefined, count: number): Promise<unknown[]> =>
      peer?.askBatch(Array.from({ length: count }, () => ({ op: 'ping' }))) ?? Promise.resolve([]);
    const replies = (await Promise.all([ask(a, 20), ask(b, 20)])).flat() as {
      ok: boolean;
      code?: number;
      retry?: string;
    }[];
    const refused = replies.filter(({ ok }) => !ok);
    expect(refused.length).toBeGreaterThanOrEqual(30);
    expect(refused.length).toBeLessThan(40);
    for (const reply of refused)
      expect(reply).toMatchObject({ code: FAULT.rateLimited.code, status: 'RESOURCE_EXHAUSTED', retry: 'later' });
    expect(await ask(other, 1)).toMatchObject([{ ok: true }]);
    for (const peer of [a, b, other]) peer?.close();
    for (const peer of [a, b, other]) await peer?.closed;
  });

  it('limits: an address has so many connections and no more, until one ends', async () => {
    const options = { ...as('client'), ...withToken(second) };
    const peers: WirePeer[] = [];
    await until(async () => {
      const peer = await WirePeer.connect(node.url, 'json', options).catch(() => null);
      if (peer !== null) peers.push(peer);
      return peer === null;
    });
    expect(peers).toHaveLength(6);
    expect(await askUpgrade(node.url, options)).toMatchObject({ status: 429, headers: { 'retry-after': '1' } });
    peers[0]?.close();
    await until(async () => (await askUpgrade(node.url, options)).status === 101);
    for (const peer of peers) peer.close();
    await Promise.all(peers.map((peer) => peer.closed));
  });

  it('tls: a renewed certificate is shown by every port without a restart; a broken one changes nothing', async () => {
    const options = { ...as('client'), ...withToken(second) };
    const staying = await WirePeer.connect(node.url, 'json', options);
    const nameNow = async (): Promise<string> => {
      const socket = await handshake(as('client'));
      if (typeof socket === 'string') return socket;
      const { subject } = socket.getPeerCertificate(true) as DetailedPeerCertificate;
      socket.destroy();
      return String(subject.CN);
    };
    expect(await nameNow()).toBe('server');
    writeWhole(at('server.pem'), 'half a certificate');
    node.child.kill('SIGHUP');
    await until(() => node.stderr.includes('certificate could not be read again'));
    expect(await nameNow()).toBe('server');
    writeWhole(at('server.key'), read('renewed.key'));
    writeWhole(at('server.pem'), read('renewed.pem'));
    node.child.kill('SIGHUP');
    await until(async () => (await nameNow()) === 'renewed');
    expect(await admin('/metrics', 'client')).toBe(200);
    expect(await staying.ask({ op: 'ping' })).toHaveProperty('id');
    staying.close();
    expect(await node.stop()).toBe(0);
    expect(node.stderr).not.toContain('PRIVATE');
  });

  it('tls: files that do not fit together are said at the start, with what to do', async () => {
    const words = ['--data', at('data'), '--tls-cert-file', at('client.pem'), '--tls-key-file', at('impostor.key')];
    const program = new StartedProgram(['start', '--port', '0', '--admin-port', '0', '--shard-port', '0', ...words]);
    expect((await program.ended).code).toBe(2);
    expect(program.stderr).toContain('do not make a certificate and its key');
    expect(program.stderr).not.toContain('bug of ours');
  });
});
