/**
 * Marked people on the real server, erased under every circumstance: whole receipts, nothing of them afterwards in
 * answers, log, models and files, and everybody else as before. Two workers, so that what was taught must be
 * taken back on both.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { partitionOfKey } from '../../proto/partition.ts';
import { run as compact } from '../../server/commands/compact.ts';
import { run as showDataUse } from '../../server/commands/data-use.ts';
import { run as erasePerson } from '../../server/commands/erase.ts';
import { run as exportPerson } from '../../server/commands/export.ts';
import { run as verifyReceipt } from '../../server/commands/receipt-verify.ts';
import { run as replayDecisions } from '../../server/commands/replay-decision.ts';
import { run as verifyFolder } from '../../server/commands/verify.ts';
import { runCommand } from './run-command.ts';
import { RunningNode, temporaryFolder, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer, type WireReply } from './wire-peer.ts';

const BUILT = new URL('../../dist/workers/backup/', import.meta.url);
const CATALOG = catalogText({
  traits: [
    'age: { type: integer, min: 0, max: 130 }',
    'town: { type: string }',
    'email: { type: string, sensitive: true }',
    'loyalty: { type: enum, values: [none, silver, gold] }',
  ],
});
const MARK = {
  key: 'marked-person-key@example.org',
  town: 'marked-town-of-the-person',
  email: 'marked-email@example.org',
  property: 'marked-property-value',
  context: 'marked-context-value',
  event: 'marked-event-name',
};

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

function findIn(folder: string, texts: readonly string[]): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(folder, name)).isFile())
    .flatMap((name) => {
      const bytes = readFileSync(join(folder, name));
      return texts.filter((text) => bytes.includes(text)).map((text) => `${text} in ${name}`);
    });
}

/** A person who does everything that is kept. */
async function live(peer: WirePeer, profile: string): Promise<void> {
  const { town, email, property, context, event } = MARK;
  await peer.must({ op: 'identify', profile, traits: { age: 44, town, email, loyalty: 'gold' } });
  await peer.must({ op: 'track', profile, event, properties: { note: property } });
  const asked = { op: 'decide', profile, slot: 'home', sku: 'espresso', context: { page: context } };
  const { decisionId } = await peer.must({ ...asked, durability: 'committed' });
  await peer.must({ op: 'track', profile, event: 'impression', decisionId });
  await peer.must({ op: 'track', profile, event: 'click', decisionId });
  await peer.must({ op: 'decide', profile, slot: 'budget', durability: 'committed' });
}

/** Somebody else, who is to stay. */
async function stay(peer: WirePeer, profile: string): Promise<void> {
  await peer.must({ op: 'identify', profile, traits: { age: 30, town: 'other-town' } });
  const { decisionId } = await peer.must({ op: 'decide', profile, slot: 'home', durability: 'committed' });
  await peer.must({ op: 'track', profile, event: 'click', decisionId });
}

/** What each worker expects of somebody it has never heard of. */
async function oddsOf(peer: WirePeer): Promise<number[]> {
  const odds: number[] = [];
  for (const worker of [0, 1]) {
    const profile = keyOf(worker);
    const { actions } = await peer.must({ op: 'decide', profile, slot: 'home', dryRun: true });
    odds.push(actions[0].responseProbability);
  }
  return odds;
}

/** The same, when the workers have told each other all they learnt: then they expect the same. */
async function settledOdds(peer: WirePeer): Promise<number[]> {
  let odds: number[] = [];
  await until(async () => {
    odds = await oddsOf(peer);
    return odds[0] === odds[1];
  });
  return odds;
}

function keyOf(worker: number, name = 'looks'): string {
  for (let n = 0; ; n++) if (partitionOfKey(`${name}-${n}`) >> 7 === worker) return `${name}-${n}`;
}

async function eraseFully(peer: WirePeer, profile: string): Promise<WireReply> {
  let receipt: WireReply = {};
  await until(async () => {
    receipt = (await peer.must({ op: 'erase', profile })).receipt;
    return receipt.state !== 'underway';
  });
  return receipt;
}

describe('erasure on a running node', () => {
  it('erase: answers know nobody at once, a signed receipt follows, and every file is clean', async () => {
    node = await RunningNode.start({ catalog: writeCatalog(CATALOG) });
    const peer = await WirePeer.connect(node.url, 'json');
    // All of one worker: two workers that learnt alike apart would look as if they had told each other.
    for (const n of [1, 2, 3]) await stay(peer, keyOf(0, `stays-${n}`));
    const before = await settledOdds(peer);
    await live(peer, MARK.key);
    expect(await oddsOf(peer)).not.toEqual(before);
    const [decided, first] = await peer.askBatch([
      { op: 'decide', profile: MARK.key, slot: 'home' },
      { op: 'erase', profile: MARK.key },
    ]);
    expect(decided?.ok).toBe(true);
    expect(first?.receipt).toMatchObject({ state: 'underway', removed: { records: 1 }, signature: null });
    expect(await peer.must({ op: 'profile', profile: MARK.key })).toMatchObject({
      stateSeq: 0,
      record: { traits: {} },
    });
    const receipt = await eraseFully(peer, MARK.key);
    expect(receipt).toMatchObject({
      id: first?.receipt.id,
      state: 'final',
      removed: { decisions: 3, traitChanges: 1, keys: 1, records: 1 },
      signature: expect.any(String),
    });
    expect(receipt.removed.lessons).toBeGreaterThan(0);
    expect(await eraseFully(peer, MARK.key)).toEqual(receipt);
    expect(await eraseFully(peer, 'never-heard-of')).toMatchObject({ state: 'nothing', removed: { records: 0 } });
    // On both workers the models know what they knew before, and the budget has back what was held of it.
    const after = await settledOdds(peer);
    for (const [worker, odds] of after.entries()) expect(odds).toBeCloseTo(before[worker] ?? 0, 6);
    const budgeted = { op: 'decide', slot: 'budget' };
    const asked = await peer.askBatch(Array.from({ length: 11 }, (_, n) => ({ ...budgeted, profile: `buyer-${n}` })));
    expect(asked.filter(({ actions }) => actions.length === 1)).toHaveLength(10);
    // The same key again is somebody new.
    expect((await peer.must({ op: 'track', profile: MARK.key, event: 'view' })).stateSeq).toBe(1);
    peer.close();
    expect(await node.stop()).toBe(0);

    const { data } = node;
    const file = join(temporaryFolder('receipt'), 'receipt.json');
    writeFileSync(file, JSON.stringify({ receipt }));
    expect((await runCommand(verifyReceipt, [file], { data })).code).toBe(0);
    writeFileSync(file, JSON.stringify({ receipt: { ...receipt, atEpochMillis: receipt.atEpochMillis + 1 } }));
    expect((await runCommand(verifyReceipt, [file], { data })).code).toBe(1);
    expect((await runCommand((call) => verifyFolder(call, BUILT), [], { data })).code).toBe(0);
    const replay = await runCommand(replayDecisions, [], { data, all: true, json: true });
    expect(JSON.parse(replay.out)).toMatchObject({ erased: 3, different: 0, pricesDifferent: 0 });
    expect(await runCommand(compact, [], { data })).toMatchObject({ code: 0 });
    expect(findIn(data, ['other-town'])).not.toEqual([]);
    expect(findIn(data, Object.values(MARK))).toEqual([]);
  });

  it('erase: killed again and again in the middle, goes on where it was and ends once', async () => {
    const options = { catalog: writeCatalog(CATALOG), data: temporaryFolder('killed') };
    node = await RunningNode.start(options);
    let peer = await WirePeer.connect(node.url, 'msgpack');
    await stay(peer, 'stays-1');
    await live(peer, MARK.key);
    const { id } = (await peer.must({ op: 'erase', profile: MARK.key })).receipt;
    for (let kills = 0; kills < 3; kills++) {
      // Each start has had its first ticks when it is killed: the stages are met one after the other.
      await node.kill();
      node = await RunningNode.start(options);
      peer = await WirePeer.connect(node.url, 'msgpack');
      expect((await peer.must({ op: 'erase', profile: MARK.key })).receipt.id).toBe(id);
      expect((await peer.must({ op: 'profile', profile: MARK.key })).stateSeq).toBe(0);
    }
    const receipt = await eraseFully(peer, MARK.key);
    expect(receipt).toMatchObject({ id, state: 'final', removed: { decisions: 2, traitChanges: 1, keys: 1 } });
    expect((await peer.must({ op: 'profile', profile: 'stays-1' })).record.traits).toMatchObject({
      town: 'other-town',
    });
    await node.kill();
    const { data } = options;
    expect((await runCommand((call) => verifyFolder(call, BUILT), [], { data })).code).toBe(0);
  });

  it('export: pages hold record and whole timeline, sensitive values opened; a made-up cursor is refused', async () => {
    node = await RunningNode.start({ catalog: writeCatalog(CATALOG) });
    const peer = await WirePeer.connect(node.url, 'json');
    await live(peer, MARK.key);
    const views = Array.from({ length: 60 }, (_, n) => ({
      op: 'track',
      profile: MARK.key,
      event: 'view',
      properties: { n },
    }));
    expect((await peer.askBatch(views)).every(({ ok }) => ok)).toBe(true);
    const first = (await peer.must({ op: 'export', profile: MARK.key })).export;
    expect(first.record).toMatchObject({
      traits: { age: 44, town: MARK.town, email: MARK.email },
      quotes: [{ sku: 'espresso' }],
      sections: {},
    });
    expect(first.timeline).toHaveLength(50);
    const second = (await peer.must({ op: 'export', profile: MARK.key, context: { cursor: first.next } })).export;
    expect(second.next).toBeNull();
    const timeline = [...first.timeline, ...second.timeline];
    expect(timeline.filter(({ event }: WireReply) => event === 'view')).toHaveLength(60);
    expect(timeline.at(-1)).toMatchObject({ type: 'identify', traits: { email: MARK.email, town: MARK.town } });
    const decision = timeline.find(({ type, slot }: WireReply) => type === 'decision' && slot === 'home');
    expect(decision).toMatchObject({ context: { page: MARK.context }, features: expect.any(Array) });
    expect(decision.features.length).toBeGreaterThan(1);
    for (const cursor of ['', '0-0-0-0', '1-0-1-0-0', 7, { epoch: 1 }]) {
      expect(await peer.ask({ op: 'export', profile: MARK.key, context: { cursor } })).toMatchObject({ code: 1001 });
    }
    // Somebody else's entries are not shown by a cursor that names them.
    const stolen = { op: 'export', profile: 'nobody', context: { cursor: first.next } };
    expect(await peer.ask(stolen)).toMatchObject({ code: 1001 });
    const file = join(temporaryFolder('export'), 'person.json');
    expect((await runCommand(exportPerson, [MARK.key], { url: node.url, out: file })).code).toBe(0);
    const whole = JSON.parse(readFileSync(file, 'utf8'));
    expect(whole).toMatchObject({ profile: MARK.key, record: { traits: first.record.traits }, timeline });
    await expect(runCommand(exportPerson, [MARK.key], { url: node.url, out: file })).rejects.toThrow(
      /cannot be written/,
    );
    const uses = (await runCommand(showDataUse, [MARK.key], { url: node.url })).out.trim().split('\n');
    expect(uses.map((line) => JSON.parse(line))).toMatchObject([
      { slot: 'budget' },
      { slot: 'home', chosen: [{ action: 'plain' }] },
    ]);
    const erased = await runCommand(erasePerson, [MARK.key], { url: node.url });
    expect(JSON.parse(erased.out).receipt).toMatchObject({ state: 'final', removed: { decisions: 2, events: 63 } });
    // What the cursor names is blank now.
    expect(await peer.must(stolen)).toMatchObject({ export: { timeline: [], next: null } });
  });
});
