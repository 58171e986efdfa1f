/**
 * Dead letters on the running server: every door, told again under a mended catalog, twice at once, after kill -9; and
 * nothing of somebody erased in any file. Two workers, so that letters, keys and questions lie with different ones.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { run as compact } from '../../server/commands/compact.ts';
import { run as deadLetters } from '../../server/commands/dead-letters.ts';
import { run as erasePerson } from '../../server/commands/erase.ts';
import { run as exportPerson } from '../../server/commands/export.ts';
import { run as replayDecisions } from '../../server/commands/replay-decision.ts';
import type { ShownLetter } from '../../workers/letter-desk.ts';
import { catalogText } from '../actors/test-catalog.ts';
import { runCommand } from './run-command.ts';
import { RunningNode, temporaryFolder, until } from './running-node.ts';
import { writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const ACTION = `{ key: a, channels: [app], slots: [home], valueMinor: 90, eligibility: 'count("purchase", "30d") < 100' }`;
const STRICT = catalogText({
  actions: ACTION,
  traits: 'age: { type: integer, min: 0, max: 130 }, mail: { type: string, normalise: mail }, town: { type: string }',
  more: 'events: { purchase: { properties: { revenueMinor: { required: true, max: 1000 } } } }',
});
const MENDED = STRICT.replace('max: 1000', 'max: 100000');
const PEOPLE = ['ann', 'bob', 'cyd', 'dan', 'eve'];

let node: RunningNode;
let peer: WirePeer;
afterEach(async () => {
  peer?.close();
  if (node?.hasEnded === false) await node.kill();
});

/** What the routes answer, each a share of it. */
interface Answer {
  readonly letters: ShownLetter[];
  readonly complete: boolean;
  readonly message: Record<string, unknown>;
  readonly results: { readonly outcome: string; readonly dropped?: string[] }[];
}

async function start(catalog: string, data?: string): Promise<void> {
  node = await RunningNode.start({ catalog, workers: 2, ...(data === undefined ? {} : { data }) });
  peer = await WirePeer.connect(node.url);
}
async function http(path: string, body?: unknown): Promise<{ status: number; body: Answer }> {
  const headers = { 'content-type': 'application/json' };
  const init = body === undefined ? {} : { method: 'POST', headers, body: JSON.stringify(body) };
  const response = await fetch(`${node.admin}${path}`, init);
  return { status: response.status, body: (await response.json()) as Answer }; // as the routes answer
}
const letters = async (): Promise<ShownLetter[]> => (await http('/v1/dead-letters')).body.letters;
const purchasesOf = async (profile: string): Promise<number> => {
  const { record } = await peer.must({ op: 'profile', profile });
  return record.counters.find((one: { event: string }) => one.event === 'purchase').count;
};
const told = (profile: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  ...{ op: 'track', profile, event: 'purchase', properties: { revenueMinor: 5000, note: `of ${profile}` } },
  ...more,
});
const command = (options: Record<string, string | boolean>): Promise<{ code: number; out: string }> =>
  runCommand(deadLetters, [], { admin: node.admin, ...options });

describe('dead letters on a running server', () => {
  it('every door: kept, shown, and told again at their own time when the catalog is mended', async () => {
    const catalog = writeCatalog(STRICT);
    await start(catalog);
    const at = Date.now() - 3_600_000;
    for (const profile of PEOPLE)
      expect(await peer.ask(told(profile, { messageId: `m-${profile}`, atEpochMillis: at }))).toMatchObject({
        code: 1007,
      });
    expect((await http('/v1/track', { ...told('json'), op: undefined })).status).toBe(400);
    const segment = { userId: 'seg', traits: { age: 150, mail: 'nowhere', town: 'Ulm' }, messageId: 's1' };
    expect((await http('/v1/identify?strict=1', segment)).body.results[0]?.dropped).toHaveLength(2);
    const cloud = {
      specversion: '1.0',
      id: 'c1',
      source: '/shop',
      type: 'purchase',
      subject: 'cloud',
      data: { revenueMinor: 5000 },
    };
    const headers = { 'content-type': 'application/cloudevents+json' };
    const answer = await fetch(`${node.admin}/v1/events`, { method: 'POST', headers, body: JSON.stringify(cloud) });
    expect(answer.status).toBe(400);

    const kept = await letters();
    expect(kept.map(({ door }) => door).sort()).toEqual(
      [...PEOPLE.map(() => 'ws'), 'cloudevents', 'json', 'segment'].sort(),
    );
    expect(JSON.stringify(kept)).not.toContain('of ann');
    const segmentLetter = kept.find(({ door }) => door === 'segment');
    expect(segmentLetter).toMatchObject({ op: 'identify', event: null, times: 1, by: 'anonymous' });
    const one = await http(`/v1/dead-letters?id=${segmentLetter?.id}`);
    expect(one.body.message).toMatchObject({ profile: 'seg', traits: { age: 150, mail: 'nowhere' } });
    expect((await peer.must({ op: 'profile', profile: 'seg' })).record.traits).toEqual({ town: 'Ulm' });

    // Under the same catalog again: it stays, and says so.
    const again = await http('/v1/dead-letters/redrive', { ids: kept.map(({ id }) => id) });
    expect(again.body.results.every(({ outcome }) => outcome === 'refused')).toBe(true);
    expect((await letters()).map(({ id, times, door }) => [id, times, door]).sort()).toEqual(
      kept.map(({ id, door }) => [id, 2, door]).sort(),
    );
    writeCatalog(MENDED, catalog);
    await until(
      async () => (await command({ redrive: String(kept.find(({ door }) => door === 'json')?.id) })).code === 0,
    );
    const all = await command({ redrive: true, all: true });
    expect(all).toEqual({ code: 1, out: expect.stringContaining('6 taken in · 1 refused again, and kept') });
    for (const profile of [...PEOPLE, 'cloud', 'json'])
      expect([profile, await purchasesOf(profile)]).toEqual([profile, 1]);
    const { record } = await peer.must({ op: 'profile', profile: 'ann' });
    const entry = record.timeline.find((row: { event?: string }) => row.event === 'purchase');
    expect(entry).toMatchObject({ properties: { revenueMinor: 5000, note: 'of ann' } });
    expect(JSON.stringify(entry)).toContain(String(at));
    const left = await command({});
    expect(left.out).toContain('mail (format)');
    expect(left.out).toContain('1 dead letter: format 1');
    expect((await command({ older: '1h' })).out).toBe('no dead letters\n');
    expect((await command({ drop: true, older: '1h' })).out).toBe('no dead letters\n');
    await until(async () => (await command({ older: '1s' })).out.includes('1 dead letter: format 1'));
    expect((await command({ drop: true, reason: 'format' })).out).toBe('1 dropped\n');
    expect((await command({})).out).toBe('no dead letters\n');
    const { data } = node;
    await node.stop();
    const replayed = await runCommand(replayDecisions, [], { data, all: true, json: true });
    expect(replayed.code).toBe(0);
    const audit = auditOf(data);
    for (const did of ['show', 'redrive', 'drop']) expect(audit).toContain(`"operation":"deadLetter","did":"${did}"`);
    expect(audit).toContain('"operation":"deadLetters","letters":');
  });

  it('told again twice at once, and again after a restart, it counts once; a mended resend settles it', async () => {
    const catalog = writeCatalog(STRICT);
    await start(catalog);
    for (const profile of PEOPLE) await peer.ask(told(profile));
    await peer.ask(told('mia', { messageId: 'mended' }));
    const ids = (await letters()).map(({ id }) => id);
    expect(ids).toHaveLength(6);
    await peer.must(told('mia', { messageId: 'mended', properties: { revenueMinor: 10 } }));
    expect(await letters()).toHaveLength(5);
    writeCatalog(MENDED, catalog);
    const { data } = node;
    peer.close();
    await node.kill();
    await start(catalog, data);
    await until(async () => (await http('/v1/dead-letters')).body.complete);
    const open = (await letters()).map(({ id }) => id);
    expect(open.toSorted()).toEqual(ids.filter((id) => open.includes(id)).toSorted());
    expect(open).toHaveLength(5);
    const both = await Promise.all([1, 2, 3].map(() => http('/v1/dead-letters/redrive', { ids: open })));
    const outcomes = both.flatMap(({ body }) => body.results.map(({ outcome }) => outcome));
    expect(outcomes.filter((outcome) => outcome === 'taken')).toHaveLength(5);
    expect(new Set(outcomes)).toEqual(
      new Set(['taken', ...outcomes.filter((one) => ['underWay', 'unknown'].includes(one))]),
    );
    for (const profile of PEOPLE) expect([profile, await purchasesOf(profile)]).toEqual([profile, 1]);
    expect(await letters()).toEqual([]);
    const third = await http('/v1/dead-letters/redrive', { ids: open });
    expect(third.body.results.map(({ outcome }) => outcome)).toEqual(open.map(() => 'unknown'));
  });

  it('kill -9 in the middle of it: each event is there once, its letter gone or still there', async () => {
    const catalog = writeCatalog(STRICT);
    await start(catalog);
    const people = Array.from({ length: 40 }, (_, i) => `p${i}`);
    await Promise.all(people.map((profile) => peer.ask(told(profile))));
    writeCatalog(MENDED, catalog);
    const probe = await peer.ask(told('probe'));
    if (probe.ok !== true) await until(async () => (await peer.ask(told('probe'))).ok === true);
    const ids = (await letters()).map(({ id }) => id);
    const { data } = node;
    const under = http('/v1/dead-letters/redrive', { ids }).catch(() => null);
    await until(async () => (await letters()).length < ids.length);
    peer.close();
    await node.kill();
    await under;
    await start(catalog, data);
    await until(async () => (await http('/v1/dead-letters')).body.complete);
    const left = (await letters()).map(({ id }) => id);
    if (left.length > 0) await http('/v1/dead-letters/redrive', { ids: left });
    for (const profile of people) expect([profile, await purchasesOf(profile)]).toEqual([profile, 1]);
    expect(await letters()).toEqual([]);
  });

  it('a letter of a key that was joined is told to the person there is now, and erased with them', async () => {
    const catalog = writeCatalog(STRICT);
    await start(catalog);
    for (const profile of PEOPLE) {
      await peer.ask(told(`device-${profile}`, { messageId: 'late' }));
      await peer.ask({ op: 'identify', profile: `device-${profile}`, traits: { mail: 'marked-nowhere' } });
      await peer.must({ op: 'identify', profile, traits: { town: 'Ulm' } });
      await peer.must({ op: 'alias', from: `device-${profile}`, to: profile });
    }
    writeCatalog(MENDED, catalog);
    await until(async () => (await command({ redrive: true, reason: 'range' })).out === 'no dead letters\n');
    for (const profile of PEOPLE) expect([profile, await purchasesOf(profile)]).toEqual([profile, 1]);
    const left = await letters();
    expect(left.map(({ op }) => op)).toEqual(PEOPLE.map(() => 'identify'));
    const { url, data } = node;
    const erased = await Promise.all(PEOPLE.map((profile) => runCommand(erasePerson, [profile], { url })));
    expect(erased.map(({ code }) => code)).toEqual(PEOPLE.map(() => 0));
    expect(await letters()).toEqual([]);
    const { results } = (await http('/v1/dead-letters/redrive', { ids: left.map(({ id }) => id) })).body;
    expect(results.map(({ outcome }) => outcome)).toEqual(PEOPLE.map(() => 'unknown'));
    await node.stop();
    expect((await runCommand(compact, [], { data })).code).toBe(0);
    expect(findIn(data, ['marked-nowhere', 'device-ann'])).toEqual([]);
  });

  it('somebody erased: nothing of what was refused is in an answer or in any file', async () => {
    await start(writeCatalog(STRICT));
    const mark = 'marked-by-mistake';
    const profile = 'marked-person@example.org';
    await peer.must({ op: 'identify', profile, traits: { town: 'Ulm' } });
    await peer.ask(told(profile, { properties: { revenueMinor: -1, note: mark } }));
    await peer.ask({ op: 'identify', profile, traits: { mail: mark } });
    await peer.ask(told('other', { properties: { revenueMinor: -1 } }));
    const { data, url } = node;
    expect(findIn(data, [mark, profile])).toEqual([]);
    const out = join(temporaryFolder('export'), 'export.json');
    await runCommand(exportPerson, [profile], { url, out });
    expect(readFileSync(out, 'utf8')).toContain(mark);
    expect((await runCommand(erasePerson, [profile], { url })).code).toBe(0);
    expect((await letters()).map(({ refused }) => refused[0]?.field)).toEqual(['revenueMinor']);
    await node.stop();
    expect((await runCommand(compact, [], { data })).code).toBe(0);
    expect(findIn(data, [mark, profile])).toEqual([]);
  });

  it('what is wrong with a question is said: ids, reasons, bodies, options', async () => {
    await start(writeCatalog(STRICT));
    await peer.ask(told('ann'));
    const [{ id } = { id: '' }] = await letters();
    const bad: readonly (readonly [string, unknown, number])[] = [
      ['/v1/dead-letters?id=AAAAAAAAAAAAAAAAAAAA', undefined, 404],
      [`/v1/dead-letters?id=${id.slice(0, -1)}`, undefined, 404],
      ['/v1/dead-letters?reason=nonsense', undefined, 400],
      ['/v1/dead-letters?limit=0', undefined, 400],
      ['/v1/dead-letters?cursor=9', undefined, 400],
      ['/v1/dead-letters?nonsense=1', undefined, 400],
      ['/v1/dead-letters/redrive', { ids: [] }, 400],
      ['/v1/dead-letters/redrive', { ids: [id, id] }, 400],
      ['/v1/dead-letters/drop', { ids: [7] }, 400],
      ['/v1/dead-letters/drop', { ids: [id], all: true }, 400],
    ];
    for (const [path, body, status] of bad) expect([path, (await http(path, body)).status]).toEqual([path, status]);
    const { results } = (await http('/v1/dead-letters/drop', { ids: ['nonsense', id] })).body;
    expect(results).toMatchObject([{ outcome: 'unknown' }, { outcome: 'dropped' }]);
    await expect(command({ redrive: true })).rejects.toMatchObject({ code: 'USAGE' });
    await expect(command({ redrive: 'x', all: true })).rejects.toMatchObject({ code: 'USAGE' });
    await expect(command({ drop: true, older: 'long' })).rejects.toMatchObject({ code: 'USAGE' });
    await expect(command({ show: 'x', drop: 'x' })).rejects.toMatchObject({ code: 'USAGE' });
    await expect(command({ show: 'x' })).rejects.toMatchObject({ code: 'REQUEST_REFUSED' });
  });
});

function auditOf(data: string): string {
  const folder = join(data, 'audit');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));
  return files.flatMap((path) => (statSync(path).isFile() ? [readFileSync(path, 'utf8')] : [])).join('');
}

function findIn(folder: string, texts: readonly string[]): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(folder, name)).isFile())
    .flatMap((name) => {
      const bytes = readFileSync(join(folder, name));
      return texts.filter((text) => bytes.includes(text)).map((text) => `${text} in ${name}`);
    });
}
