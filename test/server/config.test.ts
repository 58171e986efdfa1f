import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { isLoopback, readConfigFile, resolveConfig, shownValue } from '../../server/config.ts';
import {
  CONFIG_KEYS,
  environmentNameOf,
  flagOf,
  OPTIONS,
  TENANTS_MAX,
  WORKERS_MAX,
} from '../../server/config-options.ts';
import { OperatorError } from '../../server/operator-error.ts';

const folder = mkdtempSync(join(tmpdir(), 'opportune-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

function failure(run: () => unknown): OperatorError {
  try {
    run();
  } catch (error) {
    if (error instanceof OperatorError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('precedence', () => {
  const file = { path: 'o.yaml', text: 'port: 3\nadminPort: 13' };
  it('config: takes the default when nothing is given', () => {
    const config = resolveConfig({}, {});
    expect(config.port).toBe(7400);
    expect(config.adminPort).toBe(7401);
    expect(config.host).toBe('127.0.0.1');
    expect(config.workers).toBeGreaterThanOrEqual(1);
    expect(config.sources.port).toBe('default');
  });
  it('config: prefers the flag to the variable, the variable to the file, and names the source', () => {
    const environment = { OPPORTUNE_PORT: '2', PATH: '/bin' };
    expect(resolveConfig({ port: '1' }, environment, file)).toMatchObject({
      port: 1,
      sources: { port: 'flag --port' },
    });
    expect(resolveConfig({}, environment, file)).toMatchObject({
      port: 2,
      adminPort: 13,
      sources: { port: 'environment OPPORTUNE_PORT', adminPort: 'file o.yaml' },
    });
    expect(resolveConfig({}, {}, file)).toMatchObject({ port: 3, sources: { port: 'file o.yaml' } });
  });
  it('config: treats an empty variable as not set', () => {
    expect(resolveConfig({}, { OPPORTUNE_PORT: '' }).port).toBe(7400);
  });
  it('config: reads switches and lists from text', () => {
    const config = resolveConfig(
      { drills: true, adminHosts: 'a.example, b.example' },
      { OPPORTUNE_ALLOW_REMOTE: 'yes' },
    );
    expect(config).toMatchObject({ drills: true, allowRemote: true, adminHosts: ['a.example', 'b.example'] });
  });
  it('config: every option can be given by flag, variable and file under names derived from its key', () => {
    for (const key of CONFIG_KEYS) {
      expect(flagOf(key)).toMatch(/^[a-z]+(-[a-z]+)*$/);
      expect(environmentNameOf(key)).toMatch(/^OPPORTUNE_[A-Z_]+$/);
      const { form, byDefault } = OPTIONS[key];
      // What stands alone is refused is tried below.
      if (byDefault === null || key === 'allowRemote' || key === 'tenants') continue;
      const list = key === 'allowedOrigins' ? 'https://x' : key === 'jwtAlgorithms' ? 'ES256' : 'x';
      const raw = form === 'list' ? list : String(byDefault);
      const config = resolveConfig({}, { [environmentNameOf(key)]: raw });
      expect(config.sources[key]).toBe(`environment ${environmentNameOf(key)}`);
    }
  });
});

describe('bounds', () => {
  it.each([
    ['port', '0', 0],
    ['port', '65535', 65_535],
    ['workers', '1', 1],
    ['workers', String(WORKERS_MAX), WORKERS_MAX],
    ['traceSampleRatio', '0', 0],
    ['traceSampleRatio', '1', 1],
    ['drainSeconds', '0', 0],
  ])('config: accepts %s=%s at its bound', (key, raw, value) => {
    expect(resolveConfig({ [key]: raw }, {})[key as 'port']).toBe(value);
  });
  it.each([
    ['port', '65536'],
    ['port', '-1'],
    ['port', '7400.5'],
    ['port', 'NaN'],
    ['port', ''],
    ['port', '1e3'],
    ['port', '0x10'],
    ['workers', '0'],
    ['workers', String(WORKERS_MAX + 1)],
    ['transport', 'tcp'],
    ['traceSampleRatio', '1.01'],
    ['slowMillis', '0'],
    ['drills', 'maybe'],
    ['logLevel', 'loud'],
    ['host', ''],
    ['data', ''],
    ['profilesMemoryMegabytes', '15'],
  ])('config: refuses %s=%j and names the option, the value and the bound', (key, raw) => {
    const error = failure(() => resolveConfig({ [key]: raw }, {}));
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toContain(`--${flagOf(key)}`);
    expect(error.message).toContain('must be');
    expect(error.message).toContain(JSON.stringify(raw));
  });
  it('config: refuses a wrong type in the file', () => {
    const error = failure(() => resolveConfig({}, {}, { path: 'x.yaml', text: 'port: "7400"' }));
    expect(error.message).toBe('file x.yaml: port must be a port number, 0 to 65535, not "7400"');
  });
});

describe('unknown names', () => {
  it('config: refuses an unknown variable with the nearest match', () => {
    const error = failure(() => resolveConfig({}, { OPPORTUNE_PROT: '1' }));
    expect(error.code).toBe('CONFIG_UNKNOWN');
    expect(error.advice).toBe('Did you mean OPPORTUNE_PORT?');
  });
  it('config: offers nothing when nothing is near', () => {
    expect(failure(() => resolveConfig({}, { OPPORTUNE_ZZZZZZ: '1' })).advice).toContain('opportune config');
  });
  it('config: refuses an unknown key of the file, and __proto__', () => {
    const error = failure(() => resolveConfig({}, {}, { path: 'x.yaml', text: 'admin-port: 1' }));
    expect(error.advice).toBe('Did you mean adminPort?');
    expect(failure(() => resolveConfig({}, {}, { path: 'x.yaml', text: '__proto__: 1' })).code).toMatch(/^CONFIG_/);
  });
  it('config: refuses an unknown flag', () => {
    expect(failure(() => resolveConfig({ wrokers: '1' }, {})).advice).toBe('Did you mean --workers?');
  });
  it('config: leaves variables of other programs and the client variables alone', () => {
    expect(resolveConfig({}, { OPPORTUNE_URL: 'ws://x', OTHER_PORT: 'x' }).port).toBe(7400);
  });
  it.each(['- 1', '"text"', 'a: [', 'a: 1\na: 2', 'a: &x [1]\nb: [*x,*x]'])('config: refuses the file %j', (text) => {
    expect(failure(() => resolveConfig({}, {}, { path: 'x.yaml', text })).code).toMatch(/^CONFIG_/);
  });
  it('config: accepts an empty file', () => {
    expect(resolveConfig({}, {}, { path: 'x.yaml', text: '# nothing\n' }).port).toBe(7400);
  });
  it('config: says which file cannot be read', () => {
    expect(failure(() => readConfigFile('/nowhere/o.yaml', {})).message).toContain('/nowhere/o.yaml');
    expect(readConfigFile(undefined, {})).toBeUndefined();
  });
});

describe('secrets', () => {
  const secret = 'a-secret-of-at-least-thirty-two-characters';
  const path = join(folder, 'secret');
  writeFileSync(path, `${secret}\n`);
  it('config: reads a secret from the file a variable or key names, and never shows it', () => {
    const config = resolveConfig({}, { OPPORTUNE_SECRET_FILE: path });
    expect(config.secret).toBe(secret);
    expect(config.sources.secret).toBe('environment OPPORTUNE_SECRET_FILE');
    expect(shownValue(config, 'secret')).toBe('(set, not shown)');
    expect(resolveConfig({}, {}, { path: 'x.yaml', text: `secretFile: ${path}` }).secret).toBe(secret);
  });
  it('config: does not repeat a refused secret in the message', () => {
    const error = failure(() => resolveConfig({}, { OPPORTUNE_SECRET: 'short' }));
    expect(error.message).not.toContain('short');
    expect(error.message).toContain('at least 32');
  });
  it('config: refuses a secret given twice or in a missing file', () => {
    const twice = { OPPORTUNE_SECRET: secret, OPPORTUNE_SECRET_FILE: path };
    expect(failure(() => resolveConfig({}, twice)).code).toBe('CONFIG_SECRET');
    expect(failure(() => resolveConfig({}, { OPPORTUNE_SECRET_FILE: `${path}x` })).code).toBe('CONFIG_SECRET');
  });
});

describe('access', () => {
  it('config: refuses a host other machines can reach unless told so in so many words', () => {
    const error = failure(() => resolveConfig({ host: '0.0.0.0' }, {}));
    expect(error.code).toBe('REMOTE_REFUSED');
    expect(error.advice).toContain('--allow-remote');
    const anonymous = failure(() => resolveConfig({ host: '0.0.0.0', allowRemote: true }, {}));
    expect(anonymous.code).toBe('REMOTE_REFUSED');
    expect(anonymous.advice).toContain('--allow-anonymous-remote');
    const told = { host: '0.0.0.0', allowRemote: true, allowAnonymousRemote: true };
    expect(resolveConfig(told, {}).host).toBe('0.0.0.0');
    expect(resolveConfig({ host: '0.0.0.0', allowRemote: true, apiKeyFile: 'k' }, {}).host).toBe('0.0.0.0');
    // Permission to be anonymous is not permission to be reached.
    expect(failure(() => resolveConfig({ host: '0.0.0.0', allowAnonymousRemote: true }, {})).code).toBe(
      'REMOTE_REFUSED',
    );
  });
  const jwt = { jwksFile: 'j', jwtAudience: 'a' };
  const secretText = 'x'.repeat(32);
  it.each([
    ['two sources of keys', { ...jwt, jwksUrl: 'https://i.example/k', jwtIssuer: 'i' }, {}, 'one source'],
    ['keys without an audience', { jwksFile: 'j' }, {}, '--jwt-audience'],
    ['an address without an issuer', { jwksUrl: 'https://i.example/k', jwtAudience: 'a' }, {}, '--jwt-issuer'],
    ['query tokens without JWTs', { queryTokens: true, apiKeyFile: 'k' }, {}, '--jwks-file'],
    ['tenants without tokens', { tenants: 'acme' }, {}, '--api-key-file'],
    ['tenants under one secret', { tenants: 'acme', apiKeyFile: 'k' }, { OPPORTUNE_SECRET: secretText }, 'Unset it'],
    ['a certificate without a key', { tlsCertFile: 'c' }, {}, 'both'],
    ['a key without a certificate', { tlsKeyFile: 'c' }, {}, 'both'],
    ['client certificates without TLS', { tlsClientCaFile: 'c' }, {}, 'all three'],
    ['TLS on uws', { tlsCertFile: 'c', tlsKeyFile: 'k', transport: 'uws' }, {}, 'ws is taken'],
  ])('config: refuses %s and says what to do', (_what, flags, environment, advice) => {
    const error = failure(() => resolveConfig(flags, environment));
    expect(error.code).toBe('CONFIG_ACCESS');
    expect(error.advice).toContain(advice);
  });
  it.each([
    ['jwtAlgorithms', 'none'],
    ['jwtAlgorithms', 'HS256'],
    ['jwtAlgorithms', 'RS256,HS256'],
    ['jwksUrl', 'http://issuer.example/keys'],
    ['jwksUrl', 'file:///keys'],
    ['tenants', 'default'],
    ['tenants', '../other'],
    ['tenants', 'Acme'],
    ['tenants', 'acme,acme'],
    ['tenants', Array.from({ length: TENANTS_MAX + 1 }, (_, n) => `t${n}`).join()],
    ['allowedOrigins', 'https://shop.example/'],
    ['allowedOrigins', '*'],
    ['jwtClockToleranceSeconds', '301'],
  ])('config: refuses %s=%s', (key, raw) => {
    expect(failure(() => resolveConfig({ ...jwt, [key]: raw }, {})).code).toBe('CONFIG_INVALID');
  });
  it('config: takes as many tenants as fit', () => {
    const tenants = Array.from({ length: TENANTS_MAX }, (_, n) => `t${n}`);
    expect(resolveConfig({ ...jwt, tenants: tenants.join() }, {}).tenants).toEqual(tenants);
  });
  it.each(['127.0.0.1', '127.8.9.1', '::1', '[::1]', 'localhost', 'LOCALHOST', '::ffff:127.0.0.1'])(
    'config: counts %s as loopback',
    (host) => expect(isLoopback(host)).toBe(true),
  );
  it.each(['0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example.com', 'localhost.example.com', '', '128.0.0.1'])(
    'config: does not count %j as loopback',
    (host) => expect(isLoopback(host)).toBe(false),
  );
  it('config: refuses ports that collide', () => {
    expect(failure(() => resolveConfig({ port: '7401' }, {})).message).toContain('both 7401');
    expect(failure(() => resolveConfig({ port: '7411', workers: '2' }, {})).message).toContain('7410 to 7411');
    expect(resolveConfig({ port: '7412', workers: '2' }, {}).port).toBe(7412);
    expect(resolveConfig({ port: '0', adminPort: '0', shardPort: '0' }, {}).port).toBe(0);
    expect(failure(() => resolveConfig({ shardPort: '65535', workers: '2' }, {})).message).toContain('no room');
  });
});
