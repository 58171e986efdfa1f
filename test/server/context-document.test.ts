/** docs/CONTEXT.md as a stranger would follow it: its catalog, its commands in a shell, its answers. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_LIMITS } from '../../server/admin-http.ts';
import { CATALOG_LIMITS } from '../../workers/catalog/catalog-limits.ts';
import { FEEDS_BYTES_MAX } from '../../workers/feed-book.ts';
import { FEED_KEY_LENGTH_MAX, FEED_TEXT_LENGTH_MAX } from '../../workers/feed-push.ts';
import { RunningNode } from './running-node.ts';
import { writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const PAGE = readFileSync('docs/CONTEXT.md', 'utf8');
const blocks = [...PAGE.matchAll(/```(\w+)\n([\s\S]*?)```/g)].map(([, kind = '', text = '']) => ({ kind, text }));
const yaml = blocks.filter(({ kind }) => kind === 'yaml').map(({ text }) => text);
const commands = blocks.flatMap(({ kind, text }, i) =>
  kind === 'sh' ? [{ command: text, answer: blocks[i + 1]?.kind === 'json' ? (blocks[i + 1]?.text ?? '') : '' }] : [],
);
const INSTANTS_FROM = 1e12;

let node: RunningNode;
beforeAll(async () => {
  const head =
    'version: 1\nname: page\ncurrency: EUR\ntimeZone: UTC\nprofile: { traits: { city: { type: string } } }\nchannels: { app: {} }\n';
  node = await RunningNode.start({ catalog: writeCatalog(head + yaml.join('')), workers: 1 });
});
afterAll(async () => {
  await node.kill();
});

function run(command: string): unknown {
  const text = command.replaceAll('http://127.0.0.1:7401', node.admin);
  return JSON.parse(execFileSync('/bin/sh', ['-c', text], { encoding: 'utf8' }));
}
/** Instants are of the day the page was written. */
function timeless(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value), (_, each) =>
    typeof each === 'number' && each > INSTANTS_FROM ? 'instant' : each,
  );
}

describe('docs/CONTEXT.md', () => {
  it('its commands, in order: each answer is the one printed', () => {
    const answered = commands.filter(({ answer }) => answer !== '');
    expect(answered.length).toBeGreaterThan(3);
    for (const { command, answer } of answered) expect(timeless(run(command))).toEqual(timeless(JSON.parse(answer)));
  });

  it('its rules and its price: what is known decides, what is not known does not', async () => {
    const peer = await WirePeer.connect(node.url);
    const ask = async (profile: string, more: object = {}) =>
      peer.must({ op: 'decide', profile, dryRun: true, explain: true, count: 3, ...more });
    const offered = async (profile: string): Promise<string[]> => {
      const { actions } = await ask(profile);
      return (actions as { action: string }[]).map(({ action }) => action).sort();
    };
    expect(await offered('nobody')).toEqual(['gift-card', 'hot-coffee']);
    await peer.must({ op: 'identify', profile: 'ann', traits: { city: 'Rome' } });
    expect(await offered('ann')).toEqual(['gift-card', 'ice-cream']);
    const { explain } = await ask('ann');
    expect(explain.rejected).toMatchObject([{ action: 'hot-coffee' }]);
    expect(JSON.stringify(explain.chosen)).toContain('feed weather.celsius');
    const { price, explain: priced } = await ask('ann', { sku: 'cup' });
    expect(price.priceMinor).toBeLessThanOrEqual(891);
    expect(priced.price).toMatchObject({ feedCeilingMinor: 891, demandInputs: [{ kind: 'price' }] });
    const last = commands.at(-1)?.command ?? '';
    expect(run(last)).toMatchObject({ ok: true, actions: [expect.anything()] });
  });

  it('its numbers are those of the program', () => {
    expect([CATALOG_LIMITS.feedsMax, CATALOG_LIMITS.feedFieldsMax, CATALOG_LIMITS.feedFeaturesMax]).toEqual([
      16, 16, 16,
    ]);
    expect([CATALOG_LIMITS.feedRowsMax, FEEDS_BYTES_MAX / 1024 / 1024]).toEqual([10_000, 4]);
    expect([FEED_KEY_LENGTH_MAX, FEED_TEXT_LENGTH_MAX]).toEqual([128, 256]);
    expect(ADMIN_LIMITS.requestTimeoutMillis).toBeGreaterThan(2_000); // an answer waits that long for a worker at most
  });
});
