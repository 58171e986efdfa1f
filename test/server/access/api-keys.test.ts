import { createHash, timingSafeEqual } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  ApiKeys,
  type Compare,
  createApiKey,
  type Hash,
  type NewApiKey,
  parseApiKeys,
  readApiKeys,
  revokeApiKey,
} from '../../../server/access/api-keys.ts';
import { OPERATION, permits } from '../../../server/access/roles.ts';
import { OperatorError } from '../../../server/operator-error.ts';

const folder = mkdtempSync(join(tmpdir(), 'opportune-keys-'));
afterAll(() => rmSync(folder, { recursive: true }));
const NOW = Date.UTC(2026, 0, 1);
const wanted: NewApiKey = { roles: ['app'], tenant: 'default', expiresAtEpochMillis: null, note: 'web' };
let files = 0;
function newPath(): string {
  return join(folder, `keys-${files++}.json`);
}

describe('key file', () => {
  it('keys: a made key is verified, and the file holds its hash and not the key', () => {
    const path = newPath();
    const { key, record } = createApiKey(path, { ...wanted, roles: ['app', 'ingest'], tenant: 'acme' }, NOW);
    const [, id, secret] = /^opk_([0-9a-f]{16})_(.{43})$/.exec(key) ?? [];
    const text = readFileSync(path, 'utf8');
    expect(text).toContain(id);
    expect(text).not.toContain(secret);
    expect(text).toContain(createHash('sha256').update(String(secret)).digest('hex'));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const verdict = new ApiKeys(readApiKeys(path)).verify(key, NOW);
    expect(verdict).toMatchObject({
      login: { principal: { id: `key:${record.id}`, tenant: 'acme', roles: ['app', 'ingest'] } },
    });
  });
  it('keys: two are never the same, and a second leaves the first', () => {
    const path = newPath();
    const made = Array.from({ length: 50 }, () => createApiKey(path, wanted, NOW).key);
    expect(new Set(made.map((key) => key.slice(21))).size).toBe(50);
    const keys = new ApiKeys(readApiKeys(path));
    expect(keys.count).toBe(50);
    for (const key of made) expect(keys.verify(key, NOW)).toHaveProperty('login');
  });
  it('keys: a revoked one is gone, the others stay, and another time there is none to revoke', () => {
    const path = newPath();
    const [gone, stays] = [createApiKey(path, wanted, NOW), createApiKey(path, wanted, NOW)];
    const before = new ApiKeys(readApiKeys(path)).verify(gone.key, NOW);
    expect(revokeApiKey(path, gone.record.id)).toBe(true);
    const keys = new ApiKeys(readApiKeys(path));
    expect(keys.verify(gone.key, NOW)).toEqual({ refusal: 'invalid' });
    expect(keys.verify(stays.key, NOW)).toHaveProperty('login');
    expect('login' in before && keys.stillHas(before.login.credential)).toBe(false);
    expect(revokeApiKey(path, gone.record.id)).toBe(false);
  });
  it('keys: a change that fails leaves the file and no remains', () => {
    const path = newPath();
    createApiKey(path, wanted, NOW);
    writeFileSync(path, 'half a fi');
    expect(() => createApiKey(path, wanted, NOW)).toThrow(OperatorError);
    expect(readFileSync(path, 'utf8')).toBe('half a fi');
    expect(existsSync(`${path}.new`)).toBe(false);
  });
  it('keys: two commands at once: the second is refused instead of losing the first one’s key', () => {
    const path = newPath();
    writeFileSync(`${path}.new`, '');
    expect(() => createApiKey(path, wanted, NOW)).toThrow(/cannot change/);
  });

  const good = {
    id: '0123456789abcdef',
    sha256: 'a'.repeat(64),
    roles: ['app'],
    tenant: 'default',
    createdAt: '2026-01-01T00:00:00Z',
    expiresAt: null,
    note: '',
  };
  const file = (...keys: unknown[]): string => JSON.stringify({ format: 'opportune api keys, 1', keys });
  it('keys: the file the bad ones below are made from is good', () => {
    expect(parseApiKeys('f', file(good))).toHaveLength(1);
    expect(parseApiKeys('f', file())).toEqual([]);
  });
  it.each([
    ['no JSON', 'secret words', 'not JSON'],
    ['null', 'null', 'format'],
    ['another format', JSON.stringify({ format: '2', keys: [] }), 'format'],
    ['no list', JSON.stringify({ format: 'opportune api keys, 1', keys: {} }), 'list'],
    ['no map', file(7), 'key 0'],
    ['an id in capitals', file({ ...good, id: 'A'.repeat(16) }), 'id'],
    ['a short hash', file({ ...good, sha256: 'a'.repeat(63) }), 'sha256'],
    ['no roles', file({ ...good, roles: [] }), 'roles'],
    ['an unknown role', file({ ...good, roles: ['app', 'root'] }), 'roles'],
    ['a path as tenant', file({ ...good, tenant: '../x' }), 'tenant'],
    ['no end given', file({ ...good, expiresAt: undefined }), 'expiresAt'],
    ['an end that is none', file({ ...good, expiresAt: 'soon' }), 'expiresAt'],
    ['an id twice', file(good, good), 'twice'],
  ])('keys: a file with %s is refused, without quoting it', (_what, text, expected) => {
    expect(() => parseApiKeys('f', text)).toThrow(expected);
    try {
      parseApiKeys('f', text);
    } catch (error) {
      expect(String(error)).not.toContain('secret words');
      expect(error).toMatchObject({ code: 'ACCESS_KEYS' });
    }
  });
});

describe('verification', () => {
  const path = newPath();
  const { key, record } = createApiKey(path, { ...wanted, expiresAtEpochMillis: NOW + 1000 }, NOW);
  const records = readApiKeys(path);
  const other = `${key.slice(0, -1)}${key.endsWith('A') ? 'B' : 'A'}`;

  it('keys: good until the instant it ends', () => {
    const keys = new ApiKeys(records);
    expect(keys.verify(key, NOW + 999)).toHaveProperty('login');
    expect(keys.verify(key, NOW + 1000)).toEqual({ refusal: 'expired' });
  });

  const presented: readonly (readonly [string, string])[] = [
    ['right', key],
    ['a wrong key of a known id', other],
    ['an unknown id', key.replace(record.id, '0'.repeat(16))],
    ['a prefix of the key', key.slice(0, -1)],
    ['the key and more', `${key}A`],
    ['the stored hash', `opk_${record.id}_${record.sha256.slice(0, 43)}`],
    ['nothing', ''],
    ['garbage', 'x'.repeat(5000)],
    ['__proto__', 'opk___proto___'],
  ];
  it.each(presented.slice(1))('keys: refuses %s', (_what, token) => {
    expect(new ApiKeys(records).verify(token, NOW)).toEqual({ refusal: 'invalid' });
  });
  it.each([...presented, ['expired', key]] as const)(
    'keys: %s costs one hash and one comparison of full length',
    (what, token) => {
      const work: string[] = [];
      const hash: Hash = (text) => {
        work.push('hash');
        return createHash('sha256').update(text).digest();
      };
      const compare: Compare = (a, b) => {
        work.push(`compare ${a.length} ${b.length}`);
        return timingSafeEqual(a, b);
      };
      new ApiKeys(records, hash, compare).verify(token, what === 'expired' ? NOW + 5000 : NOW);
      expect(work).toEqual(['hash', 'compare 32 32']);
    },
  );
  it('keys: a key of another tenant has no say over the node', () => {
    const [first] = records;
    const [own, others] = ['default', 'acme'].map((tenant) => {
      const keys = new ApiKeys([{ ...(first as (typeof records)[0]), tenant, roles: ['operator'] }]);
      const verdict = keys.verify(key, NOW);
      return 'login' in verdict ? verdict.login.operations : 0;
    });
    expect(permits(own ?? 0, OPERATION.metrics)).toBe(true);
    expect(permits(others ?? 0, OPERATION.metrics)).toBe(false);
    expect(permits(others ?? 0, OPERATION.routes)).toBe(true);
  });
});
