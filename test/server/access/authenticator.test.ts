import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AccessOptions } from '../../../server/access/access-options.ts';
import { createApiKey, revokeApiKey } from '../../../server/access/api-keys.ts';
import { Authenticator, TOKEN_CHARACTERS_MAX } from '../../../server/access/authenticator.ts';
import type { LoginVerdict } from '../../../server/access/login-verdict.ts';
import type { Login } from '../../../server/access/principal.ts';
import { WatchedFile } from '../../../server/access/watched-file.ts';
import { resolveConfig } from '../../../server/config.ts';
import { epochMillis } from '../../../workers/clock.ts';
import { AUDIENCE, jwksText, makeKey, signToken, type TestKey, writeWhole } from './token-issuer.ts';

const folder = mkdtempSync(join(tmpdir(), 'opportune-access-'));
afterAll(() => rmSync(folder, { recursive: true }));
const jwksFile = join(folder, 'jwks.json');
const apiKeyFile = join(folder, 'keys.json');
let key: TestKey;
let apiKey: string;
let apiKeyId: string;
beforeAll(async () => {
  key = await makeKey('k1');
  writeWhole(jwksFile, jwksText([key]));
  const made = createApiKey(
    apiKeyFile,
    { roles: ['app'], tenant: 'acme', expiresAtEpochMillis: null, note: '' },
    epochMillis(),
  );
  apiKey = made.key;
  apiKeyId = made.record.id;
});

function optionsOf(flags: Readonly<Record<string, string | boolean>>): AccessOptions {
  return resolveConfig(flags, {});
}
const both = { apiKeyFile, jwksFile, jwtAudience: AUDIENCE, tenants: 'acme' };
function bearer(token: string): { authorization: string; queryToken: string } {
  return { authorization: `Bearer ${token}`, queryToken: '' };
}
function refusal(verdict: LoginVerdict): string {
  return 'refusal' in verdict ? verdict.refusal : 'none';
}
function loginOf(verdict: LoginVerdict): Login {
  if ('login' in verdict) return verdict.login;
  throw new Error(verdict.refusal);
}
const token = (parts: Parameters<typeof signToken>[2] = {}): Promise<string> =>
  signToken(key, epochMillis(), { ...parts, claims: { tenant: 'acme', ...parts.claims } });

describe('login', () => {
  it('login: nobody is asked where there are no keys', async () => {
    const authenticator = await Authenticator.open(optionsOf({}));
    expect(authenticator.login({ authorization: '', queryToken: '' })).toMatchObject({
      login: { principal: { id: 'anonymous', tenant: 'default' } },
    });
  });
  it('login: an API key and a JWT side by side, in any case of the scheme', async () => {
    const authenticator = await Authenticator.open(optionsOf(both));
    expect(authenticator.login({ authorization: `bearer  ${apiKey}`, queryToken: '' })).toMatchObject({
      login: { principal: { id: `key:${apiKeyId}`, tenant: 'acme' } },
    });
    expect(await authenticator.login(bearer(await token()))).toMatchObject({
      login: { principal: { id: 'jwt:service-1', tenant: 'acme' } },
    });
  });
  it.each([
    ['no token', '', 'missing'],
    ['another scheme', 'Basic dTpw', 'invalid'],
    ['a scheme alone', 'Bearer', 'invalid'],
    ['two tokens in one header', 'Bearer a b', 'invalid'],
    ['an endless token', `Bearer ${'x'.repeat(TOKEN_CHARACTERS_MAX + 1)}`, 'invalid'],
    ['an unknown API key', `Bearer opk_${'0'.repeat(16)}_${'A'.repeat(43)}`, 'invalid'],
  ])('login: %s', async (_what, authorization, expected) => {
    const authenticator = await Authenticator.open(optionsOf(both));
    expect(refusal(await authenticator.login({ authorization, queryToken: '' }))).toBe(expected);
  });
  it('login: a tenant this node does not have is refused, for keys and JWTs', async () => {
    const authenticator = await Authenticator.open(optionsOf({ ...both, tenants: 'globex' }));
    expect(refusal(await authenticator.login(bearer(apiKey)))).toBe('forbidden');
    expect(refusal(await authenticator.login(bearer(await token())))).toBe('forbidden');
  });
  it('login: a JWT where only API keys are taken, and a key where only JWTs are', async () => {
    const keysOnly = await Authenticator.open(optionsOf({ apiKeyFile, tenants: 'acme' }));
    expect(refusal(await keysOnly.login(bearer(await token())))).toBe('invalid');
    const jwtOnly = await Authenticator.open(optionsOf({ jwksFile, jwtAudience: AUDIENCE, tenants: 'acme' }));
    expect(refusal(await jwtOnly.login(bearer(apiKey)))).toBe('invalid');
  });
});

describe('tokens in the address', () => {
  const inQuery = (queryToken: string, authorization = ''): { authorization: string; queryToken: string } => ({
    authorization,
    queryToken,
  });
  it('query: refused unless enabled', async () => {
    const good = await token({ endsIn: 60 });
    const [off, on] = await Promise.all([
      Authenticator.open(optionsOf(both)),
      Authenticator.open(optionsOf({ ...both, queryTokens: true })),
    ]);
    expect(refusal(await off.login(inQuery(good)))).toBe('invalid');
    expect(refusal(await on.login(inQuery(good)))).toBe('none');
  });
  it('query: only JWTs that end soon: what is found in a log later is worth nothing', async () => {
    const authenticator = await Authenticator.open(optionsOf({ ...both, queryTokens: true }));
    expect(refusal(await authenticator.login(inQuery(await token({ endsIn: 590 }))))).toBe('none');
    expect(refusal(await authenticator.login(inQuery(await token({ endsIn: 660 }))))).toBe('invalid');
    expect(refusal(await authenticator.login(inQuery(apiKey)))).toBe('invalid');
    // Replayed after its end.
    expect(refusal(await authenticator.login(inQuery(await token({ endsIn: -60 }))))).toBe('expired');
  });
  it('query: two tokens at once are refused, though both are good', async () => {
    const authenticator = await Authenticator.open(optionsOf({ ...both, queryTokens: true }));
    const good = await token({ endsIn: 60 });
    expect(refusal(await authenticator.login(inQuery(good, `Bearer ${good}`)))).toBe('invalid');
  });
});

describe('changes while running', () => {
  it('refresh: a revoked key ends its logins, a new one is good at once', async () => {
    const path = join(folder, 'changing.json');
    const make = (): ReturnType<typeof createApiKey> =>
      createApiKey(path, { roles: ['app'], tenant: 'default', expiresAtEpochMillis: null, note: '' }, epochMillis());
    const [gone, stays] = [make(), make()];
    const authenticator = await Authenticator.open(optionsOf({ apiKeyFile: path }));
    const [first, second] = [gone, stays].map((made) =>
      loginOf(authenticator.login(bearer(made.key)) as LoginVerdict),
    ) as [Login, Login]; // keys are judged at once
    expect(authenticator.refresh()).toEqual({ changed: [], problems: [] });
    revokeApiKey(path, gone.record.id);
    const added = make();
    expect(authenticator.stands(first, epochMillis())).toBe(true); // not looked yet
    expect(authenticator.refresh()).toEqual({ changed: [path], problems: [] });
    expect([first, second].map((login) => authenticator.stands(login, epochMillis()))).toEqual([false, true]);
    expect(refusal(await authenticator.login(bearer(gone.key)))).toBe('invalid');
    expect(refusal(await authenticator.login(bearer(added.key)))).toBe('none');
  });
  it('refresh: a key whose roles were changed by hand has to log in again', async () => {
    const path = join(folder, 'roles.json');
    const made = createApiKey(
      path,
      { roles: ['app'], tenant: 'default', expiresAtEpochMillis: null, note: '' },
      epochMillis(),
    );
    const authenticator = await Authenticator.open(optionsOf({ apiKeyFile: path }));
    const login = loginOf(await authenticator.login(bearer(made.key)));
    writeWhole(
      path,
      JSON.stringify({ format: 'opportune api keys, 1', keys: [{ ...made.record, roles: ['ingest'] }] }),
    );
    authenticator.refresh();
    expect(authenticator.stands(login, epochMillis())).toBe(false);
    expect(loginOf(await authenticator.login(bearer(made.key))).principal.roles).toEqual(['ingest']);
  });
  it('refresh: a signing key that is rotated out ends its logins, the new one is good', async () => {
    const path = join(folder, 'rotating.json');
    const fresh = await makeKey('k2');
    writeWhole(path, jwksText([key]));
    const authenticator = await Authenticator.open(optionsOf({ jwksFile: path, jwtAudience: AUDIENCE }));
    const old = await signToken(key, epochMillis());
    const login = loginOf(await authenticator.login(bearer(old)));
    expect(refusal(await authenticator.login(bearer(await signToken(fresh, epochMillis()))))).toBe('invalid');
    writeWhole(path, jwksText([key, fresh]));
    authenticator.refresh();
    expect(authenticator.stands(login, epochMillis())).toBe(true);
    expect(refusal(await authenticator.login(bearer(await signToken(fresh, epochMillis()))))).toBe('none');
    writeWhole(path, jwksText([fresh]));
    authenticator.refresh();
    expect(authenticator.stands(login, epochMillis())).toBe(false);
    expect(refusal(await authenticator.login(bearer(old)))).toBe('invalid');
  });
  it('stands: until the instant it ends', async () => {
    const authenticator = await Authenticator.open(optionsOf(both));
    const login = loginOf(await authenticator.login(bearer(await token())));
    expect(authenticator.stands(login, login.expiresAtEpochMillis - 1)).toBe(true);
    expect(authenticator.stands(login, login.expiresAtEpochMillis)).toBe(false);
  });
  it('refresh: a broken file leaves the keys before in force, is said once, and mended is taken', () => {
    const path = join(folder, 'watched');
    writeFileSync(path, 'one');
    const file = new WatchedFile(path, (text) => {
      if (text === 'broken') throw new Error('is broken');
      return text.toUpperCase();
    });
    expect(file.look()).toBe('same');
    writeWhole(path, 'broken');
    expect(file.look()).toHaveProperty('problem');
    expect([file.look(), file.content]).toEqual(['same', 'ONE']);
    unlinkSync(path);
    expect(file.look()).toHaveProperty('problem');
    expect([file.look(), file.content]).toEqual(['same', 'ONE']);
    writeWhole(path, 'two');
    expect(file.look()).toEqual({ content: 'TWO' });
  });
  it.each([
    ['API keys', { apiKeyFile: join(folder, 'absent') }, 'ACCESS_KEYS'],
    ['public keys', { jwksFile: join(folder, 'absent'), jwtAudience: 'a' }, 'ACCESS_JWKS'],
  ])('open: a missing file of %s is said with what to do', async (_what, flags, code) => {
    await expect(Authenticator.open(optionsOf(flags))).rejects.toMatchObject({ code });
  });
});
