/**
 * Marked persons through every operation and every way to fail, and then a search for the marks in all that outlives
 * a request: the data folder, what the process says, its metrics and its spans. Then one person's keys are erased, and
 * a copy of the store from before is as unreadable as the store itself.
 */
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { run as verifyAudit } from '../../server/commands/audit-verify.ts';
import { run as makeBackup } from '../../server/commands/backup.ts';
import { run as eraseKeys } from '../../server/commands/keys-erase.ts';
import { run as rotateKeys } from '../../server/commands/keys-rotate.ts';
import { run as printLog } from '../../server/commands/log.ts';
import { run as replayDecisions } from '../../server/commands/replay-decision.ts';
import { run as restoreBackup } from '../../server/commands/restore.ts';
import { runCommand } from './run-command.ts';
import { RunningNode, temporaryFolder, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer, type WireReply } from './wire-peer.ts';

const BUILT = new URL('../../dist/workers/backup/', import.meta.url);
/** Distinct, so that a failure says which way one came out. */
const MARK = {
  key: 'marked-person-key@example.org',
  trait: 'marked-trait-value@example.org',
  context: 'marked-context-value@example.org',
  property: 'marked-property-value@example.org',
  badTrait: 'marked-bad-trait@example.org',
  badName: 'marked-bad-name@example.org',
  badFrame: 'marked-bad-frame@example.org',
};
const TRAITS = [
  'age: { type: integer, min: 0, max: 130 }',
  'email: { type: string, sensitive: true }',
  'consent: { type: boolean }',
];
const CATALOG = catalogText({
  traits: [...TRAITS, 'loyalty: { type: enum, values: [none, silver, gold] }'],
});

let node: RunningNode | undefined;
let collector: Server | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
  collector?.closeAllConnections();
  collector?.close();
});

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer); // an http request yields buffers
  return Buffer.concat(chunks);
}

/** Files under a folder that hold any of the texts, in UTF-8 or UTF-16, with the text. */
function findIn(folder: string, texts: readonly string[]): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile())
    .flatMap((path) => {
      const bytes = readFileSync(path);
      const has = (text: string): boolean => bytes.includes(text) || bytes.includes(Buffer.from(text, 'utf16le'));
      return texts.filter(has).map((text) => `${path}: ${text}`);
    });
}

/** Everything that can be asked, rightly and wrongly, about a marked person. */
async function exercise(peer: WirePeer, url: string): Promise<void> {
  const profile = MARK.key;
  const must = (request: Record<string, unknown>): Promise<WireReply> => peer.must(request);
  await must({ op: 'identify', profile, traits: { age: 40, email: MARK.trait, consent: true, loyalty: 'gold' } });
  const context = { email: MARK.context, device: 'phone' };
  const decided = await must({ op: 'decide', profile, slot: 'home', sku: 'espresso', context, explain: true });
  await must({ op: 'decide', profile, slot: 'golden', context, dryRun: true, explain: true });
  const properties = { email: MARK.property, page: 'home' };
  await must({ op: 'track', profile, event: 'view', properties, messageId: MARK.key });
  await must({ op: 'track', profile, event: 'view', properties, messageId: MARK.key });
  await must({ op: 'confirm', decisionId: decided.decisionId });
  await must({
    op: 'track',
    profile,
    event: 'purchase',
    decisionId: decided.decisionId,
    properties: { ...properties, revenueMinor: 5 },
  });
  await must({ op: 'track', profile, event: 'unsubscribe', properties: { ...properties, channel: 'app' } });
  const shown = await must({ op: 'profile', profile });
  expect(shown.record).toMatchObject({ traits: { age: 40, email: MARK.trait } });
  expect(JSON.stringify(shown.record.timeline)).not.toMatch(/marked/);

  const wrong: Record<string, unknown>[] = [
    { op: 'identify', profile, traits: { age: MARK.badTrait } },
    { op: 'identify', profile, traits: { email: { nested: MARK.badTrait } } },
    { op: 'identify', profile, traits: { [MARK.badName]: 1 } },
    { op: 'track', profile, event: 'complaint', properties: { channel: MARK.property } },
    { op: 'track', profile: { is: MARK.key }, event: 'view' },
    { op: 'decide', profile, slot: MARK.context },
    { op: 'decide', profile, sku: MARK.context },
    { op: 'decide', profile, minStateSeq: 999_999 },
    { op: 'confirm', decisionId: MARK.key },
    { op: 'release', decisionId: decided.decisionId },
    { op: MARK.context, profile },
    ...['alias', 'consent', 'whatIf', 'subscribe'].map((op) => ({ op, profile })),
  ];
  for (const request of wrong) expect(await peer.ask(request), JSON.stringify(request)).toMatchObject({ ok: false });

  const broken = await WirePeer.connect(url, 'json');
  broken.sendBytes(Buffer.from(`{"id":1,"op":"track","profile":"${MARK.badFrame}`));
  await broken.closed;
}

describe('personal data', () => {
  it('is in plain neither on disk nor in what the server says; with its keys erased it is unreadable in old copies too', {
    timeout: 60_000,
  }, async () => {
    const bodies: Buffer[] = [];
    collector = createServer((request, response) => {
      void readAll(request).then((body) => {
        bodies.push(body);
        response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
      });
    });
    collector.listen(0, '127.0.0.1');
    await once(collector, 'listening');
    const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`; // listening on TCP
    const data = join(temporaryFolder('personal'), 'data');
    const catalog = writeCatalog(CATALOG);
    const environment = {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_BSP_SCHEDULE_DELAY: '100',
      OTEL_METRIC_EXPORT_INTERVAL: '500',
      OTEL_TRACES_SAMPLER: 'always_on',
    };
    const running = await RunningNode.start({ catalog, data, environment, words: ['--drills'], workers: 2 });
    node = running;
    for (const encoding of ['msgpack', 'json'] as const) {
      const peer = await WirePeer.connect(running.url, encoding);
      await exercise(peer, running.url);
    }
    await fetch(`${running.admin}/${MARK.badName}`);
    await running.drill('worker-error', 0);
    await until(async () => (await running.metric('opportune_shard_restarts_total')) === 1);
    await until(async () => (await running.get('/readyz')).status === 200);
    const peer = await WirePeer.connect(running.url);
    const { record } = await peer.must({ op: 'profile', profile: MARK.key });
    expect(record).toMatchObject({ traits: { age: 40, email: MARK.trait } });
    const metrics = (await running.get('/metrics')).text;
    await until(() => bodies.some((body) => body.includes('opportune/identify')));
    const backup = join(temporaryFolder('backup'), 'made');
    await expect(runCommand(rotateKeys, [], { data })).rejects.toMatchObject({ code: 'LOCKED' });
    expect(await running.stop()).toBe(0);

    // Computed again without any key, bit for bit: the decision had not seen what the journal may not hold.
    const replayed = await runCommand(replayDecisions, [], { data, all: true, json: true });
    expect(replayed.code).toBe(0);
    expect(JSON.parse(replayed.out)).toMatchObject({ different: 0 });
    expect((JSON.parse(replayed.out) as { recomputed: number }).recomputed).toBeGreaterThan(0);
    const log = await runCommand(printLog, [], { data });
    const said = [running.stdout, running.stderr, metrics, log.out, ...bodies.map((body) => body.toString('latin1'))];
    for (const text of said) expect(text).not.toMatch(/marked-/);
    expect(findIn(data, Object.values(MARK))).toEqual([]);
    // The search works: what is not sensitive is found, in the log and in the store.
    expect(log.out).toContain('"page":"home"');
    expect(findIn(data, ['loyalty'])).not.toEqual([]);

    const made = await runCommand((call) => makeBackup(call, BUILT), [backup], { data });
    expect(made.code).toBe(0);
    expect(readdirSync(backup).filter((name) => /key|audit/.test(name))).toEqual([]);
    expect(findIn(backup, Object.values(MARK))).toEqual([]);
    expect(await runCommand(rotateKeys, [], { data })).toMatchObject({ code: 0 });
    const erased = await runCommand(eraseKeys, [MARK.key], { data });
    expect(erased).toMatchObject({ code: 0, out: expect.stringContaining('1 key erased, of 1') });
    // What was backed up is put back, as if nothing had been erased.
    const restored = await runCommand((call) => restoreBackup(call, BUILT), [backup], { data, replace: true });
    expect(restored).toMatchObject({
      code: 0,
      out: expect.stringContaining('keys, master-key, audit: taken over'),
    });
    const movedTo = /before is in (\S+)/.exec(restored.out)?.[1] ?? '';
    expect(readdirSync(movedTo).filter((name) => /key/.test(name))).toEqual([]);
    node = await RunningNode.start({ catalog, data, workers: 2 });
    const after = await WirePeer.connect(node.url);
    const left = (await after.must({ op: 'profile', profile: MARK.key })).record;
    expect(left).toMatchObject({ traits: { age: 40 }, unreadableTraits: { email: 'erased' } });
    expect(left.traits).not.toHaveProperty('email');
    // Erased beside the running server: it holds from the next value on.
    await after.must({ op: 'identify', profile: MARK.key, traits: { email: MARK.trait } });
    expect((await after.must({ op: 'profile', profile: MARK.key })).record.traits.email).toBe(MARK.trait);
    expect(await runCommand(eraseKeys, [MARK.key], { data })).toMatchObject({ code: 0 });
    const again = (await after.must({ op: 'profile', profile: MARK.key })).record;
    expect(again).toMatchObject({ unreadableTraits: { email: 'erased' } });
    expect(await node.stop()).toBe(0);
    // The audit log has gone on over the restore.
    expect(await runCommand(verifyAudit, [], { data })).toMatchObject({ code: 0 });
  });
});
