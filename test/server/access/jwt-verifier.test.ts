import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type JwtSettings,
  type KeySource,
  keysOfText,
  keysOfUrl,
  verifyJwt,
} from '../../../server/access/jwt-verifier.ts';
import {
  AUDIENCE,
  forgeToken,
  ISSUER,
  jwksText,
  KeyServer,
  makeKey,
  signToken,
  type TestKey,
  type TokenParts,
} from './token-issuer.ts';

const NOW = Date.UTC(2026, 0, 1);
const NOW_SECONDS = NOW / 1000;
const settings: JwtSettings = {
  issuer: ISSUER,
  audience: AUDIENCE,
  algorithms: ['RS256', 'ES256', 'EdDSA'],
  clockToleranceSeconds: 5,
  rolesClaim: 'roles',
  tenantClaim: 'tenant',
  tenantByDefault: 'default',
};
let key: TestKey;
let other: TestKey;
let rsa: TestKey;
let keys: KeySource;
beforeAll(async () => {
  [key, other, rsa] = await Promise.all([makeKey('k1'), makeKey('k1'), makeKey('rsa', 'RS256')]);
  keys = keysOfText('jwks', jwksText([key, rsa]));
});

async function refusalOf(token: string, changed: Partial<JwtSettings> = {}, source = keys): Promise<string> {
  const verdict = await verifyJwt(token, source, { ...settings, ...changed }, NOW);
  return 'refusal' in verdict ? verdict.refusal : 'none';
}

describe('tokens', () => {
  it('jwt: a good one gives subject, tenant, roles and end', async () => {
    const claims = { roles: ['app', 'privacy', 'somebody-elses'], tenant: 'acme' };
    const verdict = await verifyJwt(await signToken(key, NOW, { claims }), keys, settings, NOW);
    expect(verdict).toMatchObject({
      login: {
        principal: { id: 'jwt:service-1', tenant: 'acme', roles: ['app', 'privacy'] },
        expiresAtEpochMillis: NOW + 305_000,
        credential: 'jwk:k1',
      },
    });
  });
  it('jwt: roles may be words of one text, as scopes are', async () => {
    const token = await signToken(rsa, NOW, { claims: { roles: undefined, scope: 'openid app ingest' } });
    const verdict = await verifyJwt(token, keys, { ...settings, rolesClaim: 'scope' }, NOW);
    expect(verdict).toMatchObject({ login: { principal: { roles: ['app', 'ingest'] } } });
  });

  const parts: readonly (readonly [string, TokenParts, string])[] = [
    ['good', {}, 'none'],
    ['one of several audiences', { claims: { aud: ['x', AUDIENCE] } }, 'none'],
    ['ended within the tolerance', { endsIn: -4 }, 'none'],
    ['ended at the tolerance', { endsIn: -5 }, 'expired'],
    ['ended long ago', { endsIn: -3600 }, 'expired'],
    ['not yet good, within the tolerance', { claims: { nbf: NOW_SECONDS + 5 } }, 'none'],
    ['not yet good', { claims: { nbf: NOW_SECONDS + 6 } }, 'invalid'],
    ['without an end', { claims: { exp: undefined } }, 'invalid'],
    ['with an end that is no number', { claims: { exp: 'never' } }, 'invalid'],
    ['for another audience', { claims: { aud: 'others' } }, 'invalid'],
    ['without an audience', { claims: { aud: undefined } }, 'invalid'],
    ['of another issuer', { claims: { iss: 'https://evil.example/' } }, 'invalid'],
    ['without an issuer', { claims: { iss: undefined } }, 'invalid'],
    ['without a subject', { claims: { sub: undefined } }, 'invalid'],
    ['with an empty subject', { claims: { sub: '' } }, 'invalid'],
    ['with an endless subject', { claims: { sub: 'x'.repeat(257) } }, 'invalid'],
    ['without roles', { claims: { roles: undefined } }, 'forbidden'],
    ['with roles we do not know', { claims: { roles: ['root', '__proto__'] } }, 'forbidden'],
    ['with a number as roles', { claims: { roles: 7 } }, 'forbidden'],
    ['with a path as tenant', { claims: { tenant: '../acme' } }, 'forbidden'],
    ['with a list as tenant', { claims: { tenant: ['acme'] } }, 'forbidden'],
    ['naming a key we do not know', { header: { kid: 'k9' } }, 'invalid'],
  ];
  it.each(parts)('jwt: %s → %s', async (_what, given, expected) => {
    expect(await refusalOf(await signToken(key, NOW, given))).toBe(expected);
  });

  it('jwt: signed by somebody else under the name of our key', async () => {
    expect(await refusalOf(await signToken(key, NOW, { signer: other }))).toBe('invalid');
  });
  it('jwt: each part changed after signing', async () => {
    const token = await signToken(key, NOW);
    const [header = '', payload = '', signature = ''] = token.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
    const richer = Buffer.from(JSON.stringify({ ...claims, roles: ['operator'] })).toString('base64url');
    const flipped = Buffer.from(signature, 'base64url');
    flipped[0] = (flipped[0] ?? 0) ^ 1;
    for (const bad of [
      `${header}.${richer}.${signature}`,
      `${header}.${payload}.${flipped.toString('base64url')}`,
      `${header}.${payload}.`,
      `${header}.${payload}`,
      `${token}.x`,
    ])
      expect(await refusalOf(bad)).toBe('invalid');
  });
  it('jwt: alg none in every spelling', async () => {
    const claims = { iss: ISSUER, aud: AUDIENCE, sub: 's', roles: ['app'], exp: NOW_SECONDS + 60 };
    for (const alg of ['none', 'None', 'NONE', '', undefined])
      expect(await refusalOf(forgeToken({ alg, kid: 'k1' }, claims))).toBe('invalid');
    // Even where an operator could write it into the list: the options refuse it, and so does this.
    expect(await refusalOf(forgeToken({ alg: 'none', kid: 'k1' }, claims), { algorithms: ['none'] })).toBe('invalid');
  });
  it('jwt: our public key used as a shared secret (algorithm confusion)', async () => {
    const claims = { iss: ISSUER, aud: AUDIENCE, sub: 's', roles: ['app'], exp: NOW_SECONDS + 60 };
    for (const secret of [JSON.stringify(rsa.publicJwk), String(rsa.publicJwk.n), 'x'.repeat(32)]) {
      const token = await new SignJWT(claims)
        .setProtectedHeader({ alg: 'HS256', kid: 'rsa' })
        .sign(new TextEncoder().encode(secret));
      expect(await refusalOf(token)).toBe('invalid');
      expect(await refusalOf(token, { algorithms: ['HS256', 'RS256'] })).toBe('invalid');
    }
  });
  it('jwt: an algorithm that is not on the list, though its key is known and its signature right', async () => {
    expect(await refusalOf(await signToken(rsa, NOW), { algorithms: ['ES256'] })).toBe('invalid');
    expect(await refusalOf(await signToken(rsa, NOW), { algorithms: ['RS256'] })).toBe('none');
  });
  it('jwt: a key for one algorithm is not taken for another', async () => {
    expect(await refusalOf(await signToken(rsa, NOW, { header: { kid: 'k1' } }))).toBe('invalid');
  });
  it('jwt: without a tenant claim refused where there are tenants', async () => {
    const token = await signToken(key, NOW);
    expect(await refusalOf(token, { tenantByDefault: null })).toBe('forbidden');
    const own = await signToken(key, NOW, { claims: { tenant: 'default' } });
    expect(await refusalOf(own, { tenantByDefault: null })).toBe('none');
  });
  it.each(['', '.', '..', 'a.b.c', 'x'.repeat(8000), '{"alg":"none"}', '\u0000', 'eyJ.eyJ.eyJ'])(
    'jwt: garbage %j',
    async (token) => expect(await refusalOf(token)).toBe('invalid'),
  );
});

describe('key files', () => {
  it.each([
    ['no JSON', () => 'private words', 'not JSON'],
    ['no keys', () => '{"keys":[]}', 'keys'],
    ['null', () => 'null', 'keys'],
    ['keys that are no list', () => '{"keys":{}}', 'keys'],
    ['a shared secret', () => '{"keys":[{"kty":"oct","k":"AAAA","kid":"k1"}]}', 'shared secret'],
    ['a private key', () => JSON.stringify({ keys: [{ ...key.publicJwk, d: 'AAAA' }] }), 'private key'],
    ['keys that are none', () => '{"keys":[7]}', 'Key Set'],
  ])('jwks: a file with %s is refused, without quoting it', (_what, text, expected) => {
    expect(() => keysOfText('f', text())).toThrow(expected);
    expect(() => keysOfText('f', text())).not.toThrow('private words');
  });
  it('jwks: knows which keys it holds', () => {
    expect([keys.has('k1'), keys.has('k9')]).toEqual([true, false]);
  });
});

describe('keys by address', () => {
  const servers: KeyServer[] = [];
  afterAll(() => Promise.all(servers.map((server) => server.stop())));
  async function serve(...served: TestKey[]): Promise<KeyServer> {
    const server = await KeyServer.start(served);
    servers.push(server);
    return server;
  }

  it('jwks: fetched with the first token, kept, and not fetched again for every unknown key', async () => {
    const server = await serve(key);
    const source = keysOfUrl(server.url);
    expect(server.fetchCount).toBe(0);
    expect(await refusalOf(await signToken(key, NOW), {}, source)).toBe('none');
    expect(await refusalOf(await signToken(key, NOW), {}, source)).toBe('none');
    expect(server.fetchCount).toBe(1);
    for (let n = 0; n < 20; n++)
      expect(await refusalOf(await signToken(key, NOW, { header: { kid: `k${n + 2}` } }), {}, source)).toBe('invalid');
    expect(server.fetchCount).toBe(1); // within the pause after a fetch
  });
  it('jwks: a key that is new at the provider is found without a restart, and one taken away is not', async () => {
    const server = await serve(key);
    const source = keysOfUrl(server.url, 0);
    const fresh = await makeKey('k2');
    expect(await refusalOf(await signToken(key, NOW), {}, source)).toBe('none');
    server.keys = [fresh];
    expect(await refusalOf(await signToken(fresh, NOW), {}, source)).toBe('none');
    expect(server.fetchCount).toBe(2);
    expect(await refusalOf(await signToken(key, NOW), {}, source)).toBe('invalid');
  });
  it('jwks: a provider that is down is no refusal of the token, and is not asked by every login', async () => {
    const server = await serve(key);
    server.failure = 500;
    const source = keysOfUrl(server.url);
    const token = await signToken(key, NOW);
    for (let n = 0; n < 5; n++) expect(await refusalOf(token, {}, source)).toBe('unavailable');
    expect(server.fetchCount).toBe(1);
  });
  it('jwks: an address where nobody listens', async () => {
    const server = await serve(key);
    const { url } = server;
    await server.stop();
    expect(await refusalOf(await signToken(key, NOW), {}, keysOfUrl(url))).toBe('unavailable');
  });
});
