/**
 * A person's keys on the running server, of two workers: all of them in an export, also after kill -9; taken out one by one
 * in any order, killed in between; and deadlines while a worker that is needed for a joining hangs.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { partitionOfKey } from '../../proto/partition.ts';
import { FAULT } from '../../proto/statuses.ts';
import { run as listAudit } from '../../server/commands/audit-list.ts';
import { run as showDataUse } from '../../server/commands/data-use.ts';
import { run as exportPerson } from '../../server/commands/export.ts';
import { run as replayDecisions } from '../../server/commands/replay-decision.ts';
import { run as verifyFolder } from '../../server/commands/verify.ts';
import { runCommand } from './run-command.ts';
import { RunningNode, temporaryFolder, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer, type WireReply } from './wire-peer.ts';

const BUILT = new URL('../../dist/workers/backup/', import.meta.url);
const TRAITS = [
  'town: { type: string }',
  'email: { type: string, sensitive: true }',
  'age: { type: integer, min: 0, max: 130 }',
  'loyalty: { type: enum, values: [none, silver, gold] }',
];
const catalog = writeCatalog(catalogText({ traits: TRAITS }));
let node: RunningNode;
let peer: WirePeer;
afterEach(async () => {
  peer?.close();
  if (node?.hasEnded === false) await node.kill();
});

async function start(data?: string, words: readonly string[] = []): Promise<void> {
  node = await RunningNode.start({ catalog, workers: 2, words, ...(data === undefined ? {} : { data }) });
  peer = await WirePeer.connect(node.url, 'json');
}
async function killed(words: readonly string[] = []): Promise<void> {
  const { data } = node;
  peer.close();
  await node.kill();
  await start(data, words);
}
/** A key of the worker's, of two: each has half of the partitions. */
function keyOf(worker: number, name: string): string {
  for (let n = 0; ; n++) {
    const key = `${name}-${n}`;
    if (Math.floor(partitionOfKey(key) / 128) === worker) return key;
  }
}
const decide = (profile: string) => ({ op: 'decide', profile, slot: 'regular', durability: 'committed' });
const view = (profile: string, n: number) => ({ op: 'track', profile, event: 'view', properties: { n } });
const join2 = async (from: string, to: string): Promise<void> =>
  expect(await peer.must({ op: 'alias', from, to })).toMatchObject({ merged: true });
async function exported(profile: string): Promise<WireReply[]> {
  const pages: WireReply[] = [];
  for (let cursor: string | null = null; pages.length === 0 || cursor !== null; ) {
    const context = cursor === null ? {} : { cursor };
    const page = (await peer.must({ op: 'export', profile, context })).export as WireReply;
    pages.push(page);
    cursor = page.next as string | null;
  }
  return pages;
}
const viewsUnder = (rows: readonly WireReply[], under: string | undefined): number[] =>
  rows.filter((row) => row.event === 'view' && row.under === under).map((row) => row.properties.n as number);

describe('export of a person with several keys', () => {
  it('all that was told under each of them, page by page, over kill -9, by command and in data-use; not of one taken out', async () => {
    await start();
    const [a, b, c] = [keyOf(0, 'cookie'), keyOf(1, 'mail'), keyOf(0, 'card')] as const;
    for (const [n, profile] of [a, b, c].entries())
      await peer.must({ op: 'identify', profile, traits: { email: `${n}@example.org`, town: `town-${n}` } });
    await peer.askBatch(Array.from({ length: 70 }, (_, n) => view(a, n)));
    expect(await peer.ask({ op: 'identify', profile: a, traits: { age: 900 } })).toMatchObject({ code: 1004 });
    await peer.must({ op: 'decide', profile: a, slot: 'home', durability: 'committed' });
    await join2(a, b);
    await peer.must(view(b, 100));
    await join2(b, c);
    await peer.must(view(c, 200));
    await killed();

    const first = (await peer.must({ op: 'export', profile: c })).export as WireReply;
    const names = (first.record.keys as WireReply[]).map(({ key }) => key as string);
    expect(names).toHaveLength(2);
    const pages = await exported(b);
    const rows = pages.flatMap(({ timeline }) => timeline as WireReply[]);
    const keys = pages.flatMap(({ key }) => (key === undefined ? [] : [key as WireReply]));
    const [ofA, ofB] = [0, 1].map((n) => keys.find(({ traits }) => traits.town === `town-${n}`)) as [
      WireReply,
      WireReply,
    ];
    expect(keys).toHaveLength(2);
    expect(ofA).toMatchObject({ traits: { email: '0@example.org' }, by: ofB.key });
    expect(ofB).toMatchObject({ traits: { email: '1@example.org' } });
    expect(JSON.stringify(ofA.sections.letters)).toContain('\\"age\\":900');
    expect(viewsUnder(rows, undefined)).toEqual([200]);
    expect(viewsUnder(rows, ofA.key)).toEqual(Array.from({ length: 70 }, (_, n) => 69 - n));
    expect(viewsUnder(rows, ofB.key)).toEqual([100]);
    const told = rows.find((row) => row.type === 'identify' && row.under === ofA.key);
    expect(told).toMatchObject({ traits: { email: '0@example.org', town: 'town-0' } });

    // A page that was left open is gone on with by another process.
    const left = pages.find(({ key }) => key?.key === ofA.key)?.next as string;
    expect(left.startsWith(`${ofA.key}:`)).toBe(true);
    await killed();
    const rest = (await peer.must({ op: 'export', profile: a, context: { cursor: left } })).export as WireReply;
    expect(viewsUnder(rest.timeline, ofA.key).at(-1)).toBe(0);
    // To somebody else it says nothing of them.
    await peer.must(view('stranger', 0));
    const stolen = await peer.must({ op: 'export', profile: 'stranger', context: { cursor: left } });
    expect(stolen.export).toEqual({ timeline: [], next: null });

    const out = join(temporaryFolder('export'), 'person.json');
    expect((await runCommand(exportPerson, [a], { url: node.url, out })).code).toBe(0);
    const whole = JSON.parse(readFileSync(out, 'utf8')) as WireReply;
    expect((whole.keys as WireReply[]).map(({ key }) => key)).toEqual(keys.map(({ key }) => key));
    expect(viewsUnder(whole.timeline, ofA.key)).toHaveLength(70);
    expect((await runCommand(showDataUse, [c], { url: node.url })).out.trim().split('\n')).toHaveLength(1);

    expect(await peer.must({ op: 'alias', from: a })).toMatchObject({ merged: false });
    const after = (await exported(c)).flatMap(({ timeline }) => timeline as WireReply[]);
    expect([viewsUnder(after, ofA.key), viewsUnder(after, ofB.key)]).toEqual([[], [100]]);
    const alone = (await exported(a)).flatMap(({ timeline }) => timeline as WireReply[]);
    expect(viewsUnder(alone, undefined)).toHaveLength(70);
    // Erased, an export has nothing of any key.
    await peer.must({ op: 'erase', profile: c });
    await until(async () => (await peer.must({ op: 'erase', profile: c })).receipt.state === 'final');
    expect((await exported(c)).flatMap(({ timeline }) => timeline)).toEqual([]);
    const { data } = node;
    expect(await node.stop()).toBe(0);
    const audited = await runCommand(listAudit, [], { data, kind: 'access', json: true });
    const exports = audited.out
      .trim()
      .split('\n')
      .filter((line) => line.includes('"operation":"export"'));
    // Each page is one access: before the file, of it, and after.
    expect(exports.length).toBeGreaterThanOrEqual(2 * pages.length + 4);
  });
});

describe('taken out one by one', () => {
  it.each([
    ['the one that came along first', [0, 1]],
    ['the one between first', [1, 0]],
  ])('each stands alone and lists none, killed in between: %s', async (_name, order) => {
    await start();
    const keys = [keyOf(0, 'cookie'), keyOf(1, 'mail'), keyOf(0, 'card')] as const;
    for (const [n, key] of keys.entries()) {
      await peer.askBatch(Array.from({ length: n + 1 }, (_, i) => view(key, i)));
      await peer.must(decide(key));
    }
    await join2(keys[0], keys[1]);
    await join2(keys[1], keys[2]);
    for (const n of order) {
      await killed();
      expect(await peer.must({ op: 'alias', from: keys[n] })).toMatchObject({ merged: false });
    }
    await killed();
    for (const [n, key] of keys.entries()) {
      const { record } = await peer.must({ op: 'profile', profile: key });
      expect([key, record.keys, (record.counters as WireReply[])[0]?.count]).toEqual([key, undefined, n + 1]);
    }
    // Each may be joined anew.
    await join2(keys[1], keys[0]);
    expect((await peer.must({ op: 'profile', profile: keys[1] })).record.keys).toHaveLength(1);
    for (const key of keys) await peer.must(decide(key));
    const { data } = node;
    expect(await node.stop()).toBe(0);
    expect((await runCommand((call) => verifyFolder(call, BUILT), [], { data })).code).toBe(0);
    const replayed = await runCommand(replayDecisions, [], { data, all: true, json: true });
    expect([replayed.code, JSON.parse(replayed.out)]).toMatchObject([0, { different: 0 }]);
  });
});

describe('deadlines', () => {
  const WORDS = ['--drills', '--stuck-seconds', '60'];

  it('alias: answered in time while the other worker hangs; done by the next start, and asked again they are one', async () => {
    await start(undefined, WORDS);
    const [from, to] = [keyOf(0, 'cookie'), keyOf(1, 'mail')] as const;
    const { shards } = await peer.must({ op: 'hello' });
    const direct = await WirePeer.connect(shards[0].url);
    await direct.must(view(from, 1));
    await direct.must(view(to, 1));
    await node.drill('worker-hang', 1);
    const replies = await Promise.all([
      direct.ask({ op: 'alias', from, to, deadlineMillis: 300 }),
      direct.ask({ op: 'alias', from, to, deadlineMillis: 200 }),
      direct.ask({ op: 'subscribe', profile: to, decide: { slot: 'home' }, deadlineMillis: 200 }),
      direct.ask({ op: 'decide', profile: from, slot: 'home', deadlineMillis: 200 }),
    ]);
    for (const reply of replies.slice(0, 3)) expect(reply).toMatchObject({ code: FAULT.deadlineExceeded.code });
    expect(replies[3]).toMatchObject({ ok: true, fallback: true });
    direct.close();
    await killed(WORDS);
    await until(async () => {
      const reply = await peer.ask({ op: 'alias', from, to, deadlineMillis: 5_000 });
      return reply.ok === true && reply.merged === false;
    });
    const { record } = await peer.must({ op: 'profile', profile: from });
    expect((record.counters as WireReply[])[0]?.count).toBe(2);
    expect(record.keys).toHaveLength(1);
    expect(await node.stop()).toBe(0);
  });

  it('300 joinings with too little time: whoever was told that it is late, each pair is one person once', async () => {
    await start();
    const pairs = Array.from({ length: 300 }, (_, n) => [keyOf(n % 2, `v${n}`), keyOf((n >> 1) % 2, `k${n}`)] as const);
    await peer.askBatch(pairs.flatMap(([from, to]) => [view(from, 0), view(to, 0)]));
    const replies = await peer.askBatch(pairs.map(([from, to]) => ({ op: 'alias', from, to, deadlineMillis: 2 })));
    const late = replies.filter(({ ok }) => !ok);
    expect(late.length).toBeGreaterThan(0);
    expect(late.filter(({ code }) => code !== FAULT.deadlineExceeded.code)).toEqual([]);
    const again = await peer.askBatch(pairs.map(([from, to]) => ({ op: 'alias', from, to })));
    expect(again.filter(({ ok }) => !ok)).toEqual([]);
    // Told of a joining that goes on, it went on.
    for (const [n, reply] of replies.entries())
      if (reply.ok === true || String(reply.message).endsWith('goes on')) expect(again[n]?.merged).toBe(false);
    for (const [from] of pairs.slice(0, 40)) {
      const { record } = await peer.must({ op: 'profile', profile: from });
      expect([(record.counters as WireReply[])[0]?.count, record.keys]).toEqual([2, [expect.any(Object)]]);
    }
    expect(await node.stop()).toBe(0);
  });
});
