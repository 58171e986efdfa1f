/** Two keys of one person on the running server: joined over both workers, kept through kill -9, parted, erased. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { partitionOfKey } from '../../proto/partition.ts';
import { FAULT } from '../../proto/statuses.ts';
import { run as runAlias } from '../../server/commands/alias.ts';
import { run as listAudit } from '../../server/commands/audit-list.ts';
import { run as compact } from '../../server/commands/compact.ts';
import { run as replayDecisions } from '../../server/commands/replay-decision.ts';
import { run as verifyFolder } from '../../server/commands/verify.ts';
import { runCommand } from './run-command.ts';
import { RunningNode, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const BUILT = new URL('../../dist/workers/backup/', import.meta.url);
const catalog = writeCatalog(catalogText());
let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

/** A key of the worker's, of two: each has half of the partitions. */
function keyOf(worker: number, name: string): string {
  for (let n = 0; ; n++) {
    const key = `${name}-${n}`;
    if (Math.floor(partitionOfKey(key) / 128) === worker) return key;
  }
}

const decide = (profile: string) => ({ op: 'decide', profile, slot: 'capped', durability: 'committed' });

describe.each([
  ['on one worker', 0, 0],
  ['over two workers', 0, 1],
] as const)('identity: two keys %s', (_where, first, second) => {
  it('identity: caps, decisions, events and messages are one when the keys are joined', async () => {
    node = await RunningNode.start({ catalog });
    const peer = await WirePeer.connect(node.url);
    const anonymous = keyOf(first, 'visitor');
    const known = keyOf(second, 'customer');
    const [before] = await peer.askBatch([decide(anonymous)]);
    expect(before?.actions).toHaveLength(1);
    expect((await peer.askBatch([decide(known)]))[0]?.actions).toHaveLength(1);
    const message = { op: 'track', event: 'view', messageId: 'seen-once' };
    await peer.must({ ...message, profile: anonymous });

    expect(await peer.must({ op: 'alias', from: anonymous, to: known })).toMatchObject({ merged: true });
    expect(await peer.must({ op: 'alias', from: anonymous, to: known })).toMatchObject({ merged: false });
    expect(await peer.must({ op: 'alias', from: known, to: anonymous })).toMatchObject({ merged: false });

    // Two of three offers were made, under either key.
    const after = await peer.askBatch([decide(anonymous), decide(known), decide(anonymous)]);
    expect(after.map((reply) => reply.actions.length).sort()).toEqual([0, 0, 1]);
    expect(await peer.must({ ...message, profile: known })).toMatchObject({ duplicate: true });
    // An id given out before is the person's still.
    await peer.must({ op: 'track', profile: known, event: 'click', decisionId: before?.decisionId });
    const { record } = await peer.must({ op: 'profile', profile: anonymous });
    expect(record.keys).toHaveLength(1);
    expect(record.calendar.leases.map((lease: { state: string }) => lease.state)).toContain('confirmed');
    peer.close();
    expect(await node.stop()).toBe(0);
  });
});

const post = async (to: RunningNode, path: string, body: object): Promise<{ status: number; body: unknown }> => {
  const answer = await fetch(`${to.admin}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json() };
};

describe('identity: whatever happens', () => {
  it('kill -9 at once: what was acknowledged is one person, the store is sound, and decisions compute again', async () => {
    node = await RunningNode.start({ catalog });
    let peer = await WirePeer.connect(node.url);
    const pairs = Array.from({ length: 20 }, (_, n) => [keyOf(n % 2, `v${n}`), keyOf((n >> 1) % 2, `k${n}`)] as const);
    await peer.askBatch(pairs.flatMap(([from, to]) => [decide(from), decide(to)]));
    const joined = peer.askBatch(pairs.map(([from, to]) => ({ op: 'alias', from, to })));
    const replies = await joined;
    expect(replies.map(({ merged }) => merged)).toEqual(pairs.map(() => true));
    await node.kill();

    node = await RunningNode.start({ catalog, data: node.data, workers: 3 });
    peer = await WirePeer.connect(node.url);
    const after = await peer.askBatch(pairs.flatMap(([from, to]) => [decide(from), decide(to)]));
    // Two of three were used before.
    for (let n = 0; n < pairs.length; n++) {
      const both = [after[2 * n], after[2 * n + 1]].map((reply) => reply?.actions.length as number);
      expect(both.sort()).toEqual([0, 1]);
    }
    const { data } = node;
    peer.close();
    expect(await node.stop()).toBe(0);
    expect((await runCommand((call) => verifyFolder(call, BUILT), [], { data })).code).toBe(0);
    const replayed = await runCommand(replayDecisions, [], { data, all: true, json: true });
    expect(replayed.code).toBe(0);
    expect(JSON.parse(replayed.out)).toMatchObject({ different: 0 });
  });

  it('two that join each other, and three in a ring, at once: one person each, and nobody waits for ever', async () => {
    node = await RunningNode.start({ catalog });
    const peers = await Promise.all([WirePeer.connect(node.url), WirePeer.connect(node.url)]);
    const [peer] = peers as [WirePeer, WirePeer];
    for (let round = 0; round < 12; round++) {
      const size = 2 + (round % 3);
      const ring = Array.from({ length: size }, (_, n) => keyOf(n % 2, `ring${round}-${n}`));
      await peer.askBatch(ring.map(decide));
      const aliases = ring.map((from, n) => ({ op: 'alias', from, to: ring[(n + 1) % size] }));
      const replies = await Promise.all(aliases.map((alias, n) => (peers[n % 2] as WirePeer).ask(alias)));
      expect(replies.filter(({ ok }) => !ok)).toEqual([]);
      const offered = await peer.askBatch(ring.map(decide));
      const count = offered.reduce((sum, reply) => sum + (reply.actions.length as number), 0);
      expect(count).toBe(Math.max(0, 3 - size));
    }
    for (const one of peers) one.close();
    expect(await node.stop()).toBe(0);
  });

  it('what is asked under a key while it joins waits, in order, and is answered by the person', async () => {
    node = await RunningNode.start({ catalog });
    const peer = await WirePeer.connect(node.url);
    const [from, to] = [keyOf(0, 'busy'), keyOf(1, 'named')];
    await peer.must({ op: 'track', profile: from, event: 'first' });
    const events = Array.from({ length: 200 }, (_, n) => ({ op: 'track', profile: from, event: `e${n}` }));
    const replies = await peer.askBatch([{ op: 'alias', from, to }, ...events]);
    expect(replies.filter(({ ok }) => !ok)).toEqual([]);
    const { record } = await peer.must({ op: 'profile', profile: to });
    const told = record.timeline.filter((row: { type: string }) => row.type === 'event').reverse();
    expect(told.slice(-40).map((row: { event: string }) => row.event)).toEqual(
      events.slice(-40).map((one) => one.event),
    );
    peer.close();
    expect(await node.stop()).toBe(0);
  });

  it('taken apart again over HTTP and by command; placeholders and keys of nobody are refused by name', async () => {
    node = await RunningNode.start({ catalog });
    const peer = await WirePeer.connect(node.url);
    const [from, to] = [keyOf(0, 'shared'), keyOf(1, 'owner')];
    await peer.askBatch([decide(from), decide(to)]);
    const url = node.url;
    const out = async (positionals: string[], options = {}): Promise<string> =>
      (await runCommand(runAlias, positionals, { url, ...options })).out;
    expect(await out([from, to])).toContain('one person now');
    expect(await out([from, to])).toContain('one person already');
    expect(await post(node, '/v1/unjoin', { key: from })).toMatchObject({ status: 200, body: { merged: false } });
    const { record } = await peer.must({ op: 'profile', profile: to });
    expect(record.keys).toBeUndefined();
    expect((await peer.askBatch([decide(from), decide(from), decide(from)])).map((one) => one.actions.length)).toEqual([
      1, 1, 0,
    ]);
    expect(await post(node, '/v1/unjoin', { key: from })).toMatchObject({ body: { code: FAULT.notJoined.code } });
    await out([from, to]);
    expect(await out([from], { undo: true })).toContain('alone again');
    for (const bad of ['null', 'undefined', 'UNKNOWN ', '0'])
      expect(await peer.ask({ op: 'alias', from: bad, to })).toMatchObject({ code: FAULT.blockedKey.code });
    expect(await peer.ask({ op: 'alias', to })).toMatchObject({ code: FAULT.invalidField.code });
    expect(await peer.must({ op: 'alias', from: to, to })).toMatchObject({ merged: false });
    peer.close();
    const { data } = node;
    expect(await node.stop()).toBe(0);
    // The oldest first; what changed nothing is not recorded.
    const audited = await runCommand(listAudit, [], { data, kind: 'identity', json: true });
    const rows = audited.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { detail: { joined: boolean } });
    expect(rows.map(({ detail }) => detail.joined)).toEqual([true, false, true, false]);
  });

  it('sensitive traits of a key taken out again are its own, whatever becomes of the other', async () => {
    const traits = [
      'email: { type: string, sensitive: true }',
      'loyalty: { type: enum, values: [none, silver, gold] }',
    ];
    node = await RunningNode.start({ catalog: writeCatalog(catalogText({ traits })) });
    const peer = await WirePeer.connect(node.url);
    const [from, to] = [keyOf(0, 'wronged'), keyOf(1, 'other')];
    const email = 'wronged@example.org';
    await peer.must({ op: 'identify', profile: from, traits: { email } });
    await peer.must({ op: 'alias', from, to });
    expect((await peer.must({ op: 'profile', profile: to })).record.traits).toEqual({ email });
    expect(await post(node, '/v1/unjoin', { key: from })).toMatchObject({ status: 200 });
    await peer.must({ op: 'erase', profile: to });
    await until(async () => (await peer.must({ op: 'erase', profile: to })).receipt.state === 'final');
    expect((await peer.must({ op: 'profile', profile: from })).record.traits).toEqual({ email });
    peer.close();
    expect(await node.stop()).toBe(0);
  });

  it('a storm of 300 keys to one person: as many as the catalog allows, the rest refused and whole', async () => {
    node = await RunningNode.start({ catalog });
    const peer = await WirePeer.connect(node.url);
    const keys = Array.from({ length: 300 }, (_, n) => `storm-${n}`);
    const replies = await peer.askBatch(keys.map((from) => ({ op: 'alias', from, to: 'target' })));
    expect(replies.filter(({ merged }) => merged === true)).toHaveLength(100);
    expect(replies.filter(({ code }) => code === FAULT.tooManyKeys.code)).toHaveLength(200);
    const refused = keys[replies.findIndex(({ ok }) => !ok)] as string;
    expect((await peer.askBatch([decide(refused)]))[0]?.actions).toHaveLength(1);
    expect((await peer.must({ op: 'profile', profile: 'target' })).record.keys).toHaveLength(100);
    peer.close();
    expect(await node.stop()).toBe(0);
  });

  it('erased under one key, nothing is left under the others, in memory or in any file', async () => {
    const traits = [
      'town: { type: string }',
      'email: { type: string, sensitive: true }',
      'loyalty: { type: enum, values: [none, silver, gold] }',
    ];
    const sealed = writeCatalog(catalogText({ traits }));
    node = await RunningNode.start({ catalog: sealed });
    const peer = await WirePeer.connect(node.url);
    const keys = [keyOf(0, 'erased-a'), keyOf(1, 'erased-b'), keyOf(0, 'erased-c')];
    for (const [n, profile] of keys.entries()) {
      await peer.must({
        op: 'identify',
        profile,
        traits: { town: `marked-town-${n}`, email: `marked-mail-${n}@example.org` },
      });
      await peer.must({ op: 'track', profile, event: 'marked-event', properties: { note: `marked-note-${n}` } });
    }
    const [a, b, c] = keys as [string, string, string];
    await peer.must({ op: 'alias', from: a, to: b });
    await peer.must({ op: 'alias', from: b, to: c });
    // Sealed anew for the person that stays.
    const { record } = await peer.must({ op: 'profile', profile: a });
    expect(record.traits).toEqual({ town: 'marked-town-2', email: 'marked-mail-2@example.org' });
    expect(record.keys).toHaveLength(2);
    await peer.must({ op: 'erase', profile: a });
    // Until the other shards have done their part, their keys lead nowhere: asked again later it is somebody new.
    const between = new Set<unknown>();
    await until(async () => {
      const shown = await peer.ask({ op: 'profile', profile: a });
      between.add(shown.ok === true ? 'nobody' : shown.code);
      return (await peer.must({ op: 'erase', profile: c })).receipt.state === 'final';
    });
    expect([...between].filter((answer) => answer !== 'nobody' && answer !== FAULT.joining.code)).toEqual([]);
    await until(async () => (await peer.must({ op: 'erase', profile: b })).receipt.state !== 'underway');
    for (const profile of keys) expect((await peer.must({ op: 'profile', profile })).stateSeq).toBe(0);
    peer.close();
    const { data } = node;
    expect(await node.stop()).toBe(0);
    expect((await runCommand(compact, [], { data })).code).toBe(0);
    const found = readdirSync(data, { recursive: true, encoding: 'utf8' })
      .filter((name) => statSync(join(data, name)).isFile())
      .filter((name) => readFileSync(join(data, name)).includes('marked-'));
    expect(found).toEqual([]);
    expect((await runCommand((call) => verifyFolder(call, BUILT), [], { data })).code).toBe(0);
  });
});
