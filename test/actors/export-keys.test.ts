/**
 * An export of somebody who has several keys: what was journalled under each before it was joined, over two shards, by
 * whole pages; not any more when the key is taken out, and never to anybody else.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import { ExportTurn } from '../../actors/export-turn.ts';
import { joinedName } from '../../actors/identity.ts';
import { IdentityTurn } from '../../actors/identity-turn.ts';
import { WANT } from '../../decision/pipeline.ts';
import type { Plain, Properties } from '../../proto/messages.ts';
import { partitionOfKey } from '../../proto/partition.ts';
import { FAULT } from '../../proto/statuses.ts';
import { DataKeys, keysPathOf } from '../../workers/vault/data-keys.ts';
import { TraitVault } from '../../workers/vault/trait-vault.ts';
import { temporaryFolder } from '../workers/store/temporary-folder.ts';
import { MemoryDisk } from './memory-store.ts';
import { OneShard, requestOf } from './one-shard.ts';
import { catalogText, NOON } from './test-catalog.ts';

const CATALOG = catalogText({
  actions: '{ key: a, channels: [app], slots: [home], valueMinor: 90 }',
  traits: 'age: { type: integer, min: 0, max: 130 }, town: { type: string }, mail: { type: string, sensitive: true }',
});

interface Page {
  readonly record?: Properties;
  readonly key?: Properties;
  readonly timeline: Properties[];
  readonly next: string | null;
}

let shards: OneShard[];
let vault: TraitVault;
let keyFile: DataKeys;
beforeEach(async () => {
  keyFile = DataKeys.open(keysPathOf(temporaryFolder()), new Uint8Array(32).fill(1), true);
  vault = new TraitVault(keyFile, () => undefined);
  vault.offer(await keyFile.append(32), 32);
  const disk = new MemoryDisk();
  shards = [0, 1].map((shard) => new OneShard({ catalog: CATALOG, disk, shard, shards: 2, sealer: vault }));
});

const hashOf = (key: string) => (shards[0] as OneShard).runtime.hashOf(key);
const nameOf = (key: string): string => joinedName(hashOf(key));
const shardOf = (key: string): OneShard => shards[hashOf(key).partition % 2] as OneShard;
/** A key of that shard. */
function keyOf(shard: number, name: string): string {
  for (let n = 0; ; n++) if (partitionOfKey(`${name}-${n}`) % 2 === shard) return `${name}-${n}`;
}
function turnOf(key: string): IdentityTurn {
  expect(shardOf(key).runtime.openHashed(hashOf(key), NOON)).toBeNull();
  return new IdentityTurn(shardOf(key).runtime);
}
function commit(): void {
  for (const { store } of shards) store.commitNow();
}
function join(from: string, to: string, now: number): void {
  expect(turnOf(from).depart(hashOf(to), null, now)).toBeNull();
  commit();
  const profile = turnOf(from).pack();
  expect(turnOf(to).arrive(profile, shardOf(to).runtime.index.catalog.identity, now)).toBeNull();
  expect(turnOf(from).settle(hashOf(to), now)).toBe(true);
  commit();
}
function unjoin(from: string, to: string, now: number): void {
  const profile = turnOf(from).pack();
  expect(turnOf(to).unjoin(profile, now)).toBeNull();
  expect(turnOf(from).restore(now)).toBe(true);
  commit();
}
function ask(profile: string, cursor: Plain, now = NOON + 1_000_000): Page | number {
  const { runtime, profileTurn } = shardOf(profile);
  const out: Record<string, Plain> = {};
  const context = cursor === null ? {} : { cursor };
  const fault = new ExportTurn(runtime, profileTurn).run(requestOf({ profile, context }), now, out);
  return fault === null ? (out as unknown as Page) : fault.code;
}
function page(profile: string, cursor: Plain): Page {
  const found = ask(profile, cursor);
  if (typeof found === 'number') throw new Error(`refused: ${found}`);
  return found;
}
function pagesOf(profile: string): Page[] {
  const pages: Page[] = [];
  for (let cursor: Plain = null, n = 0; n === 0 || cursor !== null; n++) {
    expect(n).toBeLessThan(100);
    pages.push(page(profile, cursor));
    cursor = pages.at(-1)?.next ?? null;
  }
  return pages;
}
const view = (profile: string, now: number, n: number): void =>
  expect(shardOf(profile).track({ profile, event: 'view', properties: { n } }, now)).toBeNull();
/** What the views in these pages say, by the key they are marked with. */
function viewsIn(pages: readonly Page[]): Record<string, unknown[]> {
  const found: Record<string, unknown[]> = {};
  for (const row of pages.flatMap(({ timeline }) => timeline)) {
    if (row.event !== 'view') continue;
    const under = typeof row.under === 'string' ? row.under : 'own';
    found[under] = [...(found[under] ?? []), (row.properties as Properties).n];
  }
  return found;
}

describe('export of a person with several keys', () => {
  const [a, b, c] = [0, 1, 0].map((shard, n) => keyOf(shard, `key-${'abc'[n]}`)) as [string, string, string];

  it('what was told under each before it was joined, on whichever shard, marked with the key it is of', () => {
    for (let n = 0; n < 60; n++) view(a, NOON + n, n);
    view(b, NOON + 100, 100);
    view(c, NOON + 200, 200);
    join(a, b, NOON + 300);
    view(b, NOON + 400, 400);
    join(b, c, NOON + 500);
    view(c, NOON + 600, 600);
    const pages = pagesOf(c);
    const below = Array.from({ length: 60 }, (_, n) => 59 - n);
    expect(viewsIn(pages)).toEqual({ own: [600, 200], [nameOf(a)]: below, [nameOf(b)]: [400, 100] });
    // A page is of one key, and of 50 entries at most; the first of a key says what lies under it.
    for (const { timeline } of pages) {
      expect(timeline.length).toBeLessThanOrEqual(50);
      expect(new Set(timeline.map(({ under }) => under)).size).toBeLessThanOrEqual(1);
    }
    const order = [nameOf(a), nameOf(b)].sort();
    expect(pages.flatMap(({ key }) => (key === undefined ? [] : [key.key]))).toEqual(order);
    expect(pages.map(({ key }) => key).find((key) => key?.key === nameOf(a))).toMatchObject({
      by: nameOf(b),
      sinceEpochMillis: NOON + 300,
    });
    expect(pages.filter(({ record }) => record !== undefined)).toHaveLength(1);
    // Nothing comes twice.
    const rows = pages.flatMap(({ timeline }) => timeline).map((row) => JSON.stringify(row));
    expect(new Set(rows).size).toBe(rows.length);
  });

  it('a cursor holds over a restart, whatever each shard has in memory', () => {
    for (let n = 0; n < 120; n++) view(a, NOON + n, n);
    join(a, b, NOON + 200);
    const before = pagesOf(b);
    for (const one of shards) one.checkpoint();
    shards = shards.map((one) => one.recovered());
    let cursor: Plain = null;
    const after: Page[] = [];
    for (const { next } of before) {
      after.push(page(b, cursor));
      cursor = next;
      expect(String(next).length).toBeLessThan(80);
    }
    expect(viewsIn(after)).toEqual(viewsIn(before));
    expect(viewsIn(after)[nameOf(a)]).toHaveLength(120);
  });

  it('sealed values of the key, told and standing, are opened under its own key while that is there', () => {
    shardOf(a).identify(a, { mail: 'a@example.org', town: 'Ulm' }, NOON);
    shardOf(b).identify(b, { mail: 'b@example.org', town: 'Rome' }, NOON);
    shardOf(a).identify(a, { age: 300 }, NOON + 1);
    join(a, b, NOON + 2);
    const [, under] = pagesOf(b);
    expect(under?.key).toMatchObject({ key: nameOf(a), traits: { mail: 'a@example.org', town: 'Ulm' } });
    // The letter stays under the key it was written to.
    expect(JSON.stringify(under?.key?.sections)).toContain('\\"age\\":300');
    const told = under?.timeline.find(({ type }) => type === 'identify');
    expect(told).toMatchObject({ traits: { mail: 'a@example.org', town: 'Ulm' }, under: nameOf(a) });
    vault.eraseKeys((under?.key?.keyIds ?? []) as string[]);
    const [, later] = pagesOf(b);
    expect(later?.key?.traits).toEqual({ mail: { unreadable: 'erased' }, town: 'Ulm' });
    expect(JSON.stringify(later)).not.toContain('a@example.org');
    expect(page(b, null).record).toMatchObject({ traits: { mail: 'b@example.org', town: 'Rome' } });
  });

  it('decisions made under the key say what of it they were made of', () => {
    shardOf(a).identify(a, { town: 'Ulm' }, NOON);
    const { decisionId } = shardOf(a).decide({ profile: a, slot: 'home', wantMask: WANT.action }, NOON + 1);
    join(a, b, NOON + 2);
    const row = pagesOf(b)[1]?.timeline.find(({ type }) => type === 'decision');
    expect(row).toMatchObject({ decisionId, under: nameOf(a), featureGroups: expect.any(Object) });
  });

  it('of a key that was taken out nothing is shown any more, and to it only its own; joined again, all of it', () => {
    view(a, NOON, 0);
    join(a, b, NOON + 1);
    view(b, NOON + 2, 2);
    const cursor = page(b, null).next;
    expect(cursor).toBe(nameOf(a));
    unjoin(a, b, NOON + 3);
    view(a, NOON + 4, 4);
    expect(viewsIn(pagesOf(b))).toEqual({ own: [2] });
    expect(viewsIn(pagesOf(a))).toEqual({ own: [4, 0] });
    // Between two pages: what is asked for is not this person's.
    expect(page(b, cursor)).toEqual({ timeline: [], next: null });
    join(a, b, NOON + 5);
    expect(viewsIn(pagesOf(b))).toEqual({ own: [2], [nameOf(a)]: [4, 0] });
  });

  it('one that an older build joined, which did not note where its entries are', () => {
    view(a, NOON, 0);
    join(a, b, NOON + 1);
    const { runtime } = shardOf(b);
    turnOf(b);
    const { head: _none, ...key } = (runtime.readCold().sections?.ids?.[nameOf(a)] ?? {}) as Properties;
    expect(runtime.commitSection('ids', { [nameOf(a)]: key }, NOON + 2)).toBe(true);
    for (const one of shards) one.checkpoint();
    expect(viewsIn(pagesOf(b))).toEqual({ [nameOf(a)]: [0] });
  });

  it.each([
    ['of somebody else’s key', (): Plain => nameOf('stranger')],
    ['of somebody else’s entry, under an own key', (): Plain => `${nameOf(a)}:${String(page(c, null).next)}`],
    ['of an own entry, under another key', (): Plain => `${nameOf(a)}:1-1-1-0`],
    ['without a place', (): Plain => `${nameOf(a)}:`],
    ['of no place', (): Plain => `${nameOf(a)}:0-0-0-0`],
    ['that is none', (): Plain => 'zz'],
    ['that is no text', (): Plain => ['a']],
  ])('a cursor that was made up shows nothing: %s', (_name, made) => {
    for (let n = 0; n < 60; n++) view(c, NOON + n, n);
    view(b, NOON, 0);
    view(a, NOON, 1);
    join(a, b, NOON + 1);
    commit();
    const found = ask(b, made());
    if (typeof found === 'number') expect(found).toBe(FAULT.invalidField.code);
    // A key that is not the person's may have been taken out: those behind it follow.
    else expect(viewsIn([found])).toEqual(nameOf('stranger') < nameOf(a) ? { [nameOf(a)]: [1] } : {});
  });
});
