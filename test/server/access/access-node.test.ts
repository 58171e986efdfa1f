/**
 * Access control of the running server, over real sockets and both transports: who gets in, what each role
 * may do (every cell of the table), what tenants see of each other (nothing), and that keys and tokens end
 * connections when they end. One server a transport; each test has profiles and keys of its own.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OP, type OpName } from '../../../proto/messages.ts';
import { partitionOfKey } from '../../../proto/partition.ts';
import { FAULT } from '../../../proto/statuses.ts';
import { createApiKey, revokeApiKey } from '../../../server/access/api-keys.ts';
import { type HttpOperation, OPERATION, PERMISSIONS, ROLES, type Role } from '../../../server/access/roles.ts';
import { run as runLog } from '../../../server/commands/log.ts';
import { epochMillis } from '../../../workers/clock.ts';
import { runCommand } from '../run-command.ts';
import { RunningNode, temporaryFolder, until } from '../running-node.ts';
import { catalogText, writeCatalog } from '../test-catalogs.ts';
import { type WireEncoding, WirePeer } from '../wire-peer.ts';
import {
  AUDIENCE,
  forgeToken,
  ISSUER,
  jwksText,
  makeKey,
  signToken,
  type TestKey,
  writeWhole,
} from './token-issuer.ts';
import { askUpgrade, type UpgradeAnswer, withToken } from './upgrade-answer.ts';

const catalog = writeCatalog(catalogText());
const OPERATIONS = Object.keys(OP) as OpName[];

/** A request each operation can be tried with; whether it then succeeds is not the question. */
const BODIES: Readonly<Record<OpName, Readonly<Record<string, unknown>>>> = {
  hello: {},
  ping: {},
  track: { profile: 'p', event: 'view' },
  identify: { profile: 'p', traits: { age: 4 } },
  decide: { profile: 'p' },
  confirm: { decisionId: 'x' },
  release: { decisionId: 'x' },
  profile: { profile: 'p' },
  alias: { from: 'p', to: 'q' },
  consent: { profile: 'p', purposes: {} },
  whatIf: { profile: 'p', decide: {} },
  export: { profile: 'p' },
  erase: { profile: 'p' },
  subscribe: { profile: 'p', decide: {} },
  unsubscribe: { profile: 'p', decide: {} },
};

/** A key that worker `worker` of two owns. */
function keyOf(worker: number, name: string): string {
  for (let n = 0; ; n++) if (partitionOfKey(`${name}-${n}`) >> 7 === worker) return `${name}-${n}`;
}

/** The native build we pin does not wait for JWTs soundly and is refused with them; it takes API keys. */
const WITH_JWT = { uws: false, ws: true } as const;

describe.each(['uws', 'ws'] as const)('access over %s', (transport) => {
  const hasJwt = WITH_JWT[transport];
  const folder = temporaryFolder('access');
  const apiKeyFile = join(folder, 'keys.json');
  const jwksFile = join(folder, 'jwks.json');
  const secrets: string[] = [];
  let node: RunningNode;
  let key: TestKey;

  function makeApiKey(roles: readonly Role[], tenant = 'default'): { token: string; id: string } {
    const made = createApiKey(apiKeyFile, { roles, tenant, expiresAtEpochMillis: null, note: '' }, epochMillis());
    secrets.push(made.key);
    return { token: made.key, id: made.record.id };
  }
  const operator = makeApiKey(['operator']);
  const perRole = new Map(ROLES.map((role) => [role, makeApiKey([role]).token]));
  const ours = makeApiKey(['app'], 'default');
  const theirs = makeApiKey(['app'], 'acme');
  const theirOperator = makeApiKey(['operator', 'auditor'], 'acme');
  const doomed = makeApiKey(['app']);

  async function token(parts: Parameters<typeof signToken>[2] = {}): Promise<string> {
    const made = await signToken(key, epochMillis(), { ...parts, claims: { tenant: 'default', ...parts.claims } });
    secrets.push(made);
    return made;
  }
  function connect(bearer: string, url = node.url, encoding: WireEncoding = 'msgpack'): Promise<WirePeer> {
    return WirePeer.connect(url, encoding, withToken(bearer));
  }
  async function get(path: string, bearer?: string, method = 'GET'): Promise<{ status: number; text: string }> {
    const headers = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` };
    const response = await fetch(`${node.admin}${path}`, { method, headers });
    return { status: response.status, text: await response.text() };
  }

  beforeAll(async () => {
    key = await makeKey('k1');
    writeWhole(jwksFile, jwksText([key]));
    const words = [
      ...['--api-key-file', apiKeyFile, '--tenants', 'acme', '--drills', '--allowed-origins', 'https://shop.example'],
      ...(hasJwt ? ['--jwks-file', jwksFile, '--jwt-audience', AUDIENCE, '--jwt-issuer', ISSUER] : []),
      ...(hasJwt ? ['--jwt-clock-tolerance-seconds', '0', '--query-tokens'] : []),
    ];
    node = await RunningNode.start({ transport, catalog, workers: 2, words });
    node.token = operator.token;
  });
  afterAll(async () => {
    if (!node.hasEnded) await node.kill();
  });

  it('upgrade: refused with 401 without a good token, and with the same words whatever is wrong', async () => {
    const now = Math.floor(epochMillis() / 1000);
    const claims = { iss: ISSUER, aud: AUDIENCE, sub: 's', roles: ['app'], tenant: 'default', exp: now + 60 };
    const other = await makeKey('k1');
    const bad: readonly (readonly [string, string | null])[] = [
      ['none', null],
      ['garbage', 'x'],
      ['an unknown API key', `opk_${'0'.repeat(16)}_${'A'.repeat(43)}`],
      ['a wrong secret', `${ours.token.slice(0, -4)}AAAA`],
      ['expired', await token({ endsIn: -1 })],
      ['not yet good', await token({ claims: { nbf: now + 60 } })],
      ['another audience', await token({ claims: { aud: 'others' } })],
      ['another issuer', await token({ claims: { iss: 'https://evil.example/' } })],
      ['alg none', forgeToken({ alg: 'none', kid: 'k1' }, claims)],
      ['an unknown key', await token({ header: { kid: 'k9' } })],
      ['another’s signature', await token({ signer: other })],
      ['no roles', await token({ claims: { roles: [] } })],
      ['an unknown tenant', await token({ claims: { tenant: 'globex' } })],
      ['no tenant', await token({ claims: { tenant: undefined } })],
    ];
    const answers = await Promise.all(
      bad.map(([, bearer]) => askUpgrade(node.url, bearer === null ? {} : withToken(bearer))),
    );
    const [first] = answers;
    expect(first).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Bearer realm="opportune"' } });
    const undated = (answer: UpgradeAnswer | undefined): object => ({
      ...answer,
      headers: { ...answer?.headers, date: '' },
    });
    for (const [at, answer] of answers.entries())
      expect([bad[at]?.[0], undated(answer)]).toEqual([bad[at]?.[0], undated(first)]);
    for (const bearer of [ours.token, ...(hasJwt ? [await token()] : [])])
      expect((await askUpgrade(node.url, withToken(bearer))).status).toBe(101);
    expect(await node.metric('opportune_logins_refused_total', { reason: 'missing' })).toBe(1);
    expect(await node.metric('opportune_logins_refused_total', { reason: 'expired' })).toBe(hasJwt ? 1 : 0);
    expect(await node.metric('opportune_logins_refused_total', { reason: 'forbidden' })).toBe(hasJwt ? 3 : 0);
    expect(await node.metric('opportune_logins_refused_total')).toBe(bad.length);
  });

  it('upgrade: many at once, among others that are refused, all come to their own connection', async () => {
    const refused = Array.from({ length: 24 }, async () =>
      askUpgrade(node.url, withToken(await token({ endsIn: -1 }))),
    );
    const subjects = Array.from({ length: 24 }, (_, n) => n);
    const peers = await Promise.all(
      subjects.map(async (n) => {
        if (!hasJwt) return connect(n % 2 === 0 ? ours.token : theirs.token);
        return connect(await token({ claims: { tenant: n % 2 === 0 ? 'default' : 'acme' } }));
      }),
    );
    for (const { status } of await Promise.all(refused)) expect(status).toBe(401);
    const replies = await Promise.all(
      peers.map((peer) => peer.must({ op: 'track', profile: `together-${transport}`, event: 'view' })),
    );
    for (const parity of [0, 1]) {
      const seqs = replies.filter((_, n) => n % 2 === parity).map(({ stateSeq }) => stateSeq as number);
      expect(seqs.sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, n) => n + 1));
    }
    for (const peer of peers) peer.close();
  });

  it('upgrade: a peer that goes while its token is judged leaves nothing behind', async () => {
    const bearer = hasJwt ? await token() : ours.token;
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const { default: WebSocket } = await import('ws');
        const socket = new WebSocket(node.url, 'opportune.v1.json', withToken(bearer));
        socket.on('error', () => {});
        socket.on('upgrade', () => socket.terminate());
        socket.once('open', () => socket.terminate());
        // Cut right behind the request, before any answer can be there.
        (socket as unknown as { _req?: { on(event: 'finish', then: () => void): void } })._req?.on('finish', () =>
          socket.terminate(),
        ); // what `ws` keeps of its handshake
        await new Promise((resolve) => socket.once('close', resolve));
      }),
    );
    // Those of the tests before were closed as well.
    await until(async () => (await node.metric('opportune_connections')) === 0);
    const peer = await connect(bearer);
    await peer.must({ op: 'ping' });
    peer.close();
  });

  it.runIf(hasJwt)('query token: a short JWT is taken, a long one, an API key and a second token are not', async () => {
    const short = await token({ endsIn: 60 });
    const at = (value: string): string => `${node.url}?token=${encodeURIComponent(value)}`;
    expect((await askUpgrade(at(short))).status).toBe(101);
    expect((await askUpgrade(at(await token({ endsIn: 3600 })))).status).toBe(401);
    expect((await askUpgrade(at(await token({ endsIn: -1 })))).status).toBe(401);
    expect((await askUpgrade(at(ours.token))).status).toBe(401);
    expect((await askUpgrade(at(short), withToken(short))).status).toBe(401);
  });

  it('origin: pages of the list come in, others do not, with or without a good token', async () => {
    const from = (origin: string): object => ({ ...withToken(ours.token), origin });
    expect((await askUpgrade(node.url, from('https://shop.example'))).status).toBe(101);
    for (const origin of [
      'https://evil.example',
      'http://shop.example',
      'https://shop.example.evil',
      'http://localhost',
    ])
      expect((await askUpgrade(node.url, from(origin))).status).toBe(403);
  });

  it.each(ROLES)('roles: %s may do what its column of the table says, on the socket', async (role) => {
    for (const encoding of ['msgpack', 'json'] as const) {
      const peer = await connect(perRole.get(role) ?? '', node.url, encoding);
      for (const op of OPERATIONS) {
        const reply = await peer.ask({ op, ...BODIES[op] });
        const isDenied = reply.code === FAULT.permissionDenied.code;
        expect([op, isDenied]).toEqual([op, !PERMISSIONS[op].includes(role)]);
        if (isDenied) expect(reply).toMatchObject({ ok: false, status: 'PERMISSION_DENIED', retry: 'never' });
      }
      peer.close();
    }
  });

  it('restriction: whoever may consent may not restrict or lift it, over the socket or HTTP', async () => {
    const purposes = { processing: { granted: false } };
    const ask = async (role: Role): Promise<unknown[]> => {
      const bearer = perRole.get(role) ?? '';
      const peer = await connect(bearer);
      const { code = 0 } = await peer.ask({ op: 'consent', profile: 'restricted', purposes });
      peer.close();
      const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' };
      const post = (path: string, body: object): Promise<Response> =>
        fetch(`${node.admin}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
      const consent = await post('/v1/consent', { profile: 'restricted', purposes });
      const restrict = await post('/v1/restrict', { profile: 'restricted', restricted: false });
      return [code, consent.status, restrict.status];
    };
    expect(await ask('app')).toEqual([1201, 400, 403]);
    expect(await ask('privacy')).toEqual([0, 400, 200]);
  });

  const ROUTES: Readonly<Record<HttpOperation, readonly [method: string, path: string, answer: number]>> = {
    health: ['GET', '/healthz', 200],
    metrics: ['GET', '/metrics', 200],
    catalogSchema: ['GET', '/v1/schema/catalog.json', 200],
    routes: ['GET', '/', 200],
    // There is no such worker: permitted, and harmless.
    drill: ['POST', '/v1/drill/worker-error?worker=99', 404],
    context: ['GET', '/v1/context', 200],
    related: ['GET', '/v1/related?sku=camera', 200],
    // Without a body: permitted, and harmless.
    restrict: ['POST', '/v1/restrict', 400],
    segments: ['POST', '/v1/segments/preview', 400],
    suspects: ['GET', '/v1/suspects?limit=0', 400],
    webhooks: ['POST', '/v1/webhooks/resend', 400],
    identities: ['POST', '/v1/unjoin', 400],
    quality: ['GET', '/v1/quality', 200],
    deadLetters: ['GET', '/v1/dead-letters', 200],
  };
  it.each(ROLES)('roles: %s may do what its column of the table says, over HTTP', async (role) => {
    for (const [operation, [method, path, good]] of Object.entries(ROUTES)) {
      const isPermitted = PERMISSIONS[operation as HttpOperation].includes(role);
      const answer = await get(path, perRole.get(role), method);
      if (operation === 'health') {
        expect([answer.status, answer.text.includes('shards')]).toEqual([200, isPermitted]);
        continue;
      }
      expect([operation, answer.status]).toEqual([operation, isPermitted ? good : 403]);
      if (!isPermitted) expect(JSON.parse(answer.text)).toMatchObject({ status: 403, code: 1201 });
    }
    expect(Object.keys(ROUTES).length + OPERATIONS.length).toBe(Object.keys(OPERATION).length);
  });

  it('http: without a token 401 and a problem document, but for the bare verdicts of health', async () => {
    for (const path of ['/metrics', '/', '/v1/schema/catalog.json', '/nothing/here']) {
      const response = await fetch(`${node.admin}${path}`);
      expect(response.status).toBe(401);
      expect(response.headers.get('content-type')).toBe('application/problem+json');
      expect(response.headers.get('www-authenticate')).toContain('Bearer');
    }
    expect(await get('/healthz')).toEqual({ status: 200, text: '{"healthy":true}\n' });
    expect(await get('/readyz', 'x')).toEqual({ status: 200, text: '{"ready":true}\n' });
    // A token in the address of HTTP is none, however good.
    expect((await get(`/metrics?token=${await token({ claims: { roles: ['operator'] } })}`)).status).toBe(401);
  });

  it('http: the operator of a tenant has no say over the node', async () => {
    expect((await get('/metrics', theirOperator.token)).status).toBe(403);
    expect((await get('/v1/drill/worker-error?worker=0', theirOperator.token, 'POST')).status).toBe(403);
    expect((await get('/healthz', theirOperator.token)).text).not.toContain('shards');
    expect((await get('/', theirOperator.token)).status).toBe(200);
  });

  describe('tenants', () => {
    it.each([0, 1])('tenants: the same profile key is two people, reached through worker %d', async (worker) => {
      const probe = await connect(ours.token);
      const { shards } = await probe.must({ op: 'hello' });
      const url = String(shards[worker].url);
      const [a, b] = [await connect(ours.token, url), await connect(theirs.token, url)];
      for (const owner of [0, 1]) {
        const profile = keyOf(owner, `both-${worker}`);
        await a.must({ op: 'identify', profile, traits: { loyalty: 'gold', age: 30 } });
        await a.must({ op: 'track', profile, event: 'view', messageId: 'once' });
        // Nothing of it is known on the other side: no state, no trait, no counter, no duplicate.
        const unknown = (await b.must({ op: 'profile', profile })).record;
        expect(unknown.traits ?? {}).toEqual({});
        expect(JSON.stringify(unknown)).not.toContain('gold');
        expect((await b.must({ op: 'decide', profile, slot: 'golden' })).actions).toEqual([]);
        expect(await b.must({ op: 'track', profile, event: 'view', messageId: 'once' })).toMatchObject({
          duplicate: false,
        });
        // Caps are counted apart.
        const granted = async (peer: WirePeer): Promise<number> => {
          const requests = Array.from({ length: 5 }, () => ({ op: 'decide', profile, slot: 'capped' }));
          const replies = await peer.askBatch(requests);
          return replies.reduce((sum, { actions }) => sum + Number(actions.length), 0);
        };
        expect([await granted(a), await granted(b)]).toEqual([3, 3]);
        // Ids of one tenant mean nothing in the other, not even that they are ids of somebody.
        const priced = await a.must({ op: 'decide', profile, sku: 'espresso', want: ['action', 'price'] });
        for (const op of ['confirm', 'release'])
          expect(await b.ask({ op, decisionId: priced.decisionId })).toMatchObject({
            status: 'NOT_FOUND',
            code: FAULT.unknownDecision.code,
          });
        const use = { op: 'track', profile, event: 'purchase' };
        const other = (await b.must({ op: 'decide', profile, sku: 'espresso', want: ['action', 'price'] })).price;
        expect(other.signature).not.toBe(priced.price.signature);
        for (const [peer, quoteId, code] of [
          [b, priced.price.quoteId, FAULT.malformedId.code],
          [a, other.quoteId, FAULT.malformedId.code],
        ] as const)
          expect(await peer.ask({ ...use, quoteId })).toMatchObject({ ok: false, code });
        expect(await b.ask({ ...use, decisionId: priced.decisionId })).toMatchObject({ ok: false });
        expect(await a.must({ op: 'confirm', decisionId: priced.decisionId })).toMatchObject({ ok: true });
      }
      for (const peer of [probe, a, b]) peer.close();
    });

    it('tenants: a tenant named in a message is nobody’s', async () => {
      const b = await connect(theirs.token);
      const profile = `named-${transport}`;
      await b.must({ op: 'track', profile, event: 'view', tenant: 'default' });
      const a = await connect(ours.token);
      expect((await a.must({ op: 'profile', profile })).record.counters).toMatchObject([{ count: 0 }]);
      expect((await b.must({ op: 'profile', profile, tenant: 'default' })).record.counters).toMatchObject([
        { count: 1 },
      ]);
      a.close();
      b.close();
    });

    it('tenants: budgets are apart: each may spend all of its own', async () => {
      for (const bearer of [ours.token, theirs.token]) {
        const peer = await connect(bearer);
        const requests = Array.from({ length: 16 }, (_, n) => ({
          op: 'decide',
          profile: `buyer-${n}`,
          slot: 'budget',
        }));
        const replies = await peer.askBatch(requests);
        expect(replies.reduce((sum, { actions }) => sum + Number(actions.length), 0)).toBe(10);
        peer.close();
      }
    });

    it.runIf(!hasJwt)('tenants: a worker that fails is replaced for all of them, and nothing is lost', async () => {
      const profile = keyOf(1, 'outlives');
      const events = [3, 5];
      for (const [at, bearer] of [ours.token, theirs.token].entries()) {
        const peer = await connect(bearer);
        for (let n = 0; n < (events[at] ?? 0); n++) await peer.must({ op: 'track', profile, event: 'view' });
        peer.close();
      }
      expect((await get('/v1/drill/worker-error?worker=1', operator.token, 'POST')).status).toBe(202);
      await until(async () => (await get('/readyz', operator.token)).text.includes('"restarts":1'));
      await until(async () => (await get('/readyz')).status === 200);
      for (const [at, bearer] of [ours.token, theirs.token].entries()) {
        const peer = await connect(bearer);
        expect((await peer.must({ op: 'profile', profile })).stateSeq).toBe(events[at]);
        peer.close();
      }
    });

    it('tenants: figures are apart', async () => {
      const before = await node.metric('opportune_requests_total', { tenant: 'acme', op: 'ping' });
      const [a, b] = [await connect(ours.token), await connect(theirs.token)];
      for (const peer of [a, a, b]) await peer.must({ op: 'ping' });
      expect(await node.metric('opportune_requests_total', { tenant: 'acme', op: 'ping' })).toBe(before + 1);
      a.close();
      b.close();
    });
  });

  it('ended: the connection of a revoked key, and of a token at its end, is closed with 1008; others go on', async () => {
    const [peer, other] = [await connect(doomed.token), await connect(ours.token)];
    const ending = hasJwt ? await connect(await token({ endsIn: 1 })) : null;
    await peer.must({ op: 'ping' });
    expect(ending?.closeCode).toBeUndefined();
    revokeApiKey(apiKeyFile, doomed.id);
    if (!hasJwt) node.child.kill('SIGHUP'); // at once; the other node finds out by itself
    expect(await peer.closed).toBe(1008);
    if (ending !== null) expect(await ending.closed).toBe(1008);
    await until(async () => (await askUpgrade(node.url, withToken(doomed.token))).status === 401);
    await other.must({ op: 'ping' });
    other.close();
    const added = makeApiKey(['app']);
    await until(async () => (await askUpgrade(node.url, withToken(added.token))).status === 101);
  });

  it.runIf(hasJwt)('rotation: a new signing key is taken, and the tokens of one that was taken away end', async () => {
    const peer = await connect(await token());
    const fresh = await makeKey('k2');
    const sign = (): Promise<string> => signToken(fresh, epochMillis(), { claims: { tenant: 'default' } });
    expect((await askUpgrade(node.url, withToken(await sign()))).status).toBe(401);
    writeWhole(jwksFile, 'half a file');
    await until(() => node.stderr.includes('keys could not be read again'));
    await peer.must({ op: 'ping' });
    writeWhole(jwksFile, jwksText([fresh]));
    node.child.kill('SIGHUP'); // at once, rather than within a second
    expect(await peer.closed).toBe(1008);
    await until(async () => (await askUpgrade(node.url, withToken(await sign()))).status === 101);
    const late = await signToken(key, epochMillis(), { claims: { tenant: 'default' } });
    await until(async () => (await askUpgrade(node.url, withToken(late))).status === 401);
  });

  it('logs: neither tokens nor profile keys stand in them; each tenant’s decision log has its own only', async () => {
    expect(await node.stop()).toBe(0);
    const said = node.stdout + node.stderr;
    for (const secret of secrets) {
      expect(said).not.toContain(secret);
      expect(said).not.toContain(secret.slice(-43));
    }
    expect(said).not.toContain('both-0');
    const logOf = async (data: string): Promise<string> => (await runCommand(runLog, [], { data })).out;
    const [own, others] = [await logOf(node.data), await logOf(join(node.data, 'tenants', 'acme'))];
    const profilesIn = (log: string): Set<unknown> =>
      new Set(
        log
          .split('\n')
          .filter(Boolean)
          .map((line) => (JSON.parse(line) as { profile: unknown }).profile),
      );
    const shared = [...profilesIn(own)].filter((profile) => profilesIn(others).has(profile));
    expect(profilesIn(own).size).toBeGreaterThan(10);
    expect(profilesIn(others).size).toBeGreaterThan(10);
    expect(shared).toEqual([]);
  });

  it('restart: both tenants find their own state again', async () => {
    const words = ['--api-key-file', apiKeyFile, '--tenants', 'acme'];
    node = await RunningNode.start({ transport, catalog, workers: 1, data: node.data, words });
    const [a, b] = [await connect(ours.token), await connect(theirs.token)];
    const profile = keyOf(0, 'both-0');
    const [ofA, ofB] = [await a.must({ op: 'profile', profile }), await b.must({ op: 'profile', profile })];
    expect(ofA.record.traits).toEqual({ loyalty: 'gold', age: 30 });
    expect(ofB.record.traits ?? {}).toEqual({});
    expect(ofB.record.counters).toMatchObject([{ event: 'view', count: 1 }]);
    for (const peer of [a, b]) expect((await peer.must({ op: 'decide', profile, slot: 'capped' })).actions).toEqual([]);
    a.close();
    b.close();
    expect(await node.stop()).toBe(0);
  });
});
