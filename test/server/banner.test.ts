import { describe, expect, it } from 'vitest';
import { BANNER_LINES_MAX, type BannerFacts, bannerLines } from '../../server/banner.ts';
import { resolveConfig } from '../../server/config.ts';

const facts: BannerFacts = {
  config: resolveConfig({}, {}),
  addresses: {
    websocket: 'ws://127.0.0.1:7400/v1/ws',
    shards: ['ws://127.0.0.1:7410/v1/ws', 'ws://127.0.0.1:7411/v1/ws'],
    admin: 'http://127.0.0.1:7401',
  },
  transport: { name: 'uws', note: 'uws: pinned build' },
  status: {
    version: '1.2.3',
    startedAtEpochMillis: 0,
    isDraining: false,
    fit: { fittedAtEpochMillis: null, people: 0, isLastGood: null, shardsPending: 0 },
    shards: [0, 1].map((index) => ({ index, state: 'ready', restarts: 0, isReadOnly: false, problem: null })),
    catalog: {
      path: 'c.yaml',
      name: 'shop',
      version: 'abc',
      actions: 20,
      products: 1,
      slots: 2,
      channels: 2,
      traits: 3,
      refused: null,
    },
  },
  isFirstStart: true,
  readyAfterMillis: 812,
  program: 'npx opportune',
};

describe('banner', () => {
  it('banner: says addresses, workers, transport, data, access, catalog and the next command', () => {
    const text = bannerLines(facts).join('\n');
    for (const fact of [
      'ready after 0.8 s',
      'ws://127.0.0.1:7400/v1/ws',
      'http://127.0.0.1:7401',
      '2, direct ports 7410-7411',
      'uws: pinned build',
      './data (new)',
      'on disk before they are acknowledged',
      'this machine only',
      'shop abc: 20 actions, 1 product, 2 slots',
      'npx opportune decide c-1042 --slot home --why',
    ]) {
      expect(text).toContain(fact);
    }
    expect(text).not.toContain('--url');
  });
  it('banner: has at most twelve lines, also when everything is unusual', () => {
    const unusual: BannerFacts = {
      ...facts,
      config: resolveConfig({ host: '0.0.0.0', allowRemote: true, allowAnonymousRemote: true, drills: true }, {}),
      addresses: { websocket: 'ws://0.0.0.0:1/v1/ws', shards: ['ws://x:9/', 'ws://x:12/'], admin: 'http://x' },
      status: { ...facts.status, catalog: { ...facts.status.catalog, refused: 'line one\nline two' } },
    };
    const lines = bannerLines(unusual);
    expect(lines.length).toBeLessThanOrEqual(BANNER_LINES_MAX);
    expect(lines.every((line) => !line.includes('\n'))).toBe(true);
    const text = lines.join('\n');
    expect(text).toContain('EVERYONE');
    expect(text).toContain('direct ports 9 12');
    expect(text).toContain('--url ws://0.0.0.0:1/v1/ws');
    expect(text).toContain('drills');
    expect(text).toContain('line one');
  });
  it.each([
    [{ apiKeyFile: 'k' }, 'with a token (API keys); no TLS'],
    [{ jwksFile: 'j', jwtAudience: 'a', tenants: 'acme' }, 'with a token (JWTs); tenants default, acme; no TLS'],
    [{ apiKeyFile: 'k', host: '0.0.0.0', allowRemote: true }, 'NO TLS: tokens cross the network readable'],
    [{ apiKeyFile: 'k', tlsCertFile: 'c', tlsKeyFile: 'x' }, '; TLS 1.3'],
    [{ apiKeyFile: 'k', tlsCertFile: 'c', tlsKeyFile: 'x', tlsClientCaFile: 'a' }, 'client certificates needed'],
  ])('banner: says who may connect, and how, for %j', (flags, expected) => {
    const text = bannerLines({ ...facts, config: resolveConfig(flags, {}) }).join('\n');
    expect(text).toContain(expected);
    expect(text).toContain('try       OPPORTUNE_TOKEN_FILE=FILE npx opportune');
    expect(text).not.toContain('no password');
  });
});
