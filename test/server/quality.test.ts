/**
 * Quality on the running server: what came from where is counted by door and name, on whichever worker, kept over kill -9
 * and another number of workers; and what is known of people, by the command and over HTTP alike.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { run as importFile } from '../../server/commands/import.ts';
import { run as showQuality } from '../../server/commands/quality.ts';
import { loadCatalogText } from '../../workers/catalog/catalog-file.ts';
import { countProfiles, type ProfilesQuality } from '../../workers/quality/count-profiles.ts';
import type { SourceQuality } from '../../workers/quality/source-report.ts';
import { catalogText } from '../actors/test-catalog.ts';
import { runCommand } from './run-command.ts';
import { RunningNode, temporaryFolder, until } from './running-node.ts';
import { writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const catalog = writeCatalog(
  catalogText({
    actions: '{ key: a, channels: [app], valueMinor: 9 }',
    traits: `age: { type: integer, min: 0, max: 130, outlier: { max: 105 } }, mail: { type: string, normalise: mail },
      town: { type: string }`,
    more: 'events: { purchase: { properties: { revenueMinor: { required: true, max: 1000 }, note: { type: string } } } }',
  }),
);
const MAPPING = `version: 1
name: crm-people
profile: { column: who }
traits: { town: { column: town } }
`;

interface Answer {
  readonly profiles: ProfilesQuality;
  readonly sources: readonly SourceQuality[];
}

let node: RunningNode;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});
async function quality(): Promise<Answer> {
  return (await (await fetch(`${node.admin}/v1/quality`)).json()) as Answer; // as the route answers
}
async function post(path: string, body: unknown): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  expect((await fetch(`${node.admin}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).status).toBe(
    200,
  );
}
function sourceOf({ sources }: Pick<Answer, 'sources'>, door: string): SourceQuality | undefined {
  return sources.find((one) => one.door === door);
}

describe('quality on a running server', () => {
  it('sources: by door and name, over kill -9 and fewer workers; people: the same by command and HTTP', async () => {
    node = await RunningNode.start({ catalog, workers: 2 });
    const peer = await WirePeer.connect(node.url);
    for (let i = 0; i < 8; i++) {
      const profile = `p${i}`;
      await peer.must({ op: 'identify', profile, traits: { age: i === 0 ? 120 : 40, mail: ' A@Example.org' } });
      const purchase = { op: 'track', profile, event: 'purchase', messageId: 'm' };
      expect(await peer.ask({ ...purchase, properties: { revenueMinor: 5000 } })).toMatchObject({ code: 1007 });
      await peer.must({ ...purchase, properties: { revenueMinor: 5 } });
      await peer.must({ ...purchase, properties: { revenueMinor: 5 } });
    }
    await post('/v1/identify', { userId: 'seg', traits: { age: 200, town: 'Ulm' }, messageId: 's' });
    const folder = temporaryFolder('import');
    const [file, mapping] = [join(folder, 'people.csv'), join(folder, 'crm-people.yaml')];
    writeFileSync(file, `who,town\n${Array.from({ length: 6 }, (_, i) => `i${i},Ulm\n`).join('')}`);
    writeFileSync(mapping, MAPPING);
    expect((await runCommand(importFile, [file], { mapping, url: node.url })).code).toBe(0);

    const before = await quality();
    expect(sourceOf(before, 'ws')).toMatchObject({
      ...{ source: 'anonymous', received: 32, accepted: 16, duplicates: 8, refused: 8 },
      ...{ cleaned: 8, flagged: 1, reasons: { range: 8 } },
    });
    // 8 refused and one flagged of the 24 that were no repetition.
    expect(sourceOf(before, 'ws')?.validity).toBeCloseTo(15 / 24, 10);
    expect(sourceOf(before, 'segment')).toMatchObject({ received: 1, accepted: 1, dropped: 1, reasons: { range: 1 } });
    expect(sourceOf(before, 'import')).toMatchObject({
      source: 'crm-people',
      received: 6,
      accepted: 6,
      completeness: 1 / 4,
    });
    // One trait of four; all taken whole and in their one form.
    expect(sourceOf(before, 'import')?.score).toBe(40 / 4 + 40 + 20);
    for (const one of before.sources) expect(one.accepted + one.duplicates + one.refused).toBe(one.received);

    const { data } = node;
    const expected = JSON.stringify(before.sources);
    await until(async () => JSON.stringify((await kept(data)).sources) === expected);
    peer.close();
    await node.kill();
    node = await RunningNode.start({ catalog, data, workers: 1 });
    expect((await quality()).sources).toEqual(before.sources);
    await node.stop();
    const { sources, profiles } = await kept(data);
    expect(sources).toEqual(before.sources);
    expect(profiles).toMatchObject({ people: 15, sampled: 15 });
    expect(profiles.bands.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 10);
    const traits = Object.fromEntries(profiles.traits.map(({ trait, ...one }) => [trait, one]));
    expect(traits.age).toMatchObject({ known: 8 / 15, flagged: 1 / 8 });
    expect(traits.town).toMatchObject({ known: 7 / 15, flagged: 0 });
    const { out } = await runCommand(showQuality, [], { data, catalog });
    expect(out).toContain('15 people');
    expect(out).toMatch(/import\s+crm-people\s+6/);
    expect(out).toMatch(/ws\s+anonymous\s+32\s+50\.0 %\s+25\.0 %\s+50\.0 %\s+1\s+8\s+range 8/);
    node = await RunningNode.start({ catalog, data, workers: 2 });
    const after = await quality();
    expect({ ...after.profiles, score: 0, freshness: 0, bands: [] }).toEqual({
      ...{ ...profiles, score: 0, freshness: 0, bands: [] },
    });
    // Told again, a letter is not its source's a second time.
    const { letters } = (await (await fetch(`${node.admin}/v1/dead-letters`)).json()) as { letters: { id: string }[] }; // as the route answers
    await post('/v1/dead-letters/redrive', { ids: letters.map(({ id }) => id) });
    expect((await quality()).sources).toEqual(before.sources);
  });

  it('of many people a sample is looked at: the same each time, and of all when they are few', async () => {
    node = await RunningNode.start({ catalog });
    const peer = await WirePeer.connect(node.url);
    const people = 600;
    await Promise.all(
      Array.from({ length: people }, (_, i) =>
        peer.must({ op: 'identify', profile: `p${i}`, traits: { age: 40, ...(i % 2 === 0 ? { town: 'Ulm' } : {}) } }),
      ),
    );
    const storePath = join(node.data, 'store');
    peer.close();
    await node.stop();
    const source = loadCatalogText(readFileSync(catalog, 'utf8'), 'catalog.yaml');
    const input = { storePath, catalog: source, nowEpochMillis: Date.now() };
    const sampled = await countProfiles({ ...input, sample: 100 });
    expect(await countProfiles({ ...input, sample: 100 })).toEqual(sampled);
    // Binomial with n = 600, p = 1/6: five deviations of 9.1 about 100; of a share of those, five of 0.05.
    expect(sampled.people).toBe(people);
    expect(Math.abs(sampled.sampled - 100)).toBeLessThan(46);
    const known = (of: ProfilesQuality): (number | undefined)[] =>
      ['age', 'town'].map((name) => of.traits.find(({ trait }) => trait === name)?.known);
    expect(known(sampled)[0]).toBe(1);
    expect(Math.abs((known(sampled)[1] ?? 0) - 0.5)).toBeLessThan(0.34);
    const all = await countProfiles(input);
    expect([all.people, all.sampled, ...known(all)]).toEqual([people, people, 1, 0.5]);
    await expect(countProfiles({ ...input, storePath: join(storePath, 'nothing') })).rejects.toMatchObject({
      code: 'OPEN_FAILED',
    });
  });

  it('an empty node says that there is nobody, and what is wrong with the question', async () => {
    node = await RunningNode.start({ catalog });
    const { profiles, sources } = await quality();
    expect(profiles).toMatchObject({ people: 0, sampled: 0, score: null, completeness: null });
    expect(sources).toEqual([]);
    const { data } = node;
    await node.stop();
    expect((await runCommand(showQuality, [], { data, catalog })).out).toBe(
      '0 people\n\nno source has told anything yet\n',
    );
    await expect(runCommand(showQuality, [], { data: join(data, 'nothing'), catalog })).rejects.toMatchObject({
      code: 'NO_LOG',
    });
  });
});

/** What the command reads of the data folder. */
async function kept(data: string): Promise<Answer> {
  const { out } = await runCommand(showQuality, [], { data, catalog, json: true });
  return JSON.parse(out) as Answer;
}
