/**
 * Sensitive traits in turns: sealed before they enter the effect, in plain nowhere that outlives the turn, shown by
 * `profile`, carried by a recovery that has no key, and gone with their key.
 */
import { describe, expect, it } from 'vitest';
import { Effect } from '../../actors/effect.ts';
import { describeEntry } from '../../actors/journal-text.ts';
import { FAULT } from '../../proto/statuses.ts';
import { coldCodec } from '../../workers/cold-codec.ts';
import { DataKeys, keysPathOf } from '../../workers/vault/data-keys.ts';
import { TraitVault } from '../../workers/vault/trait-vault.ts';
import { temporaryFolder } from '../workers/store/temporary-folder.ts';
import type { MemoryDisk } from './memory-store.ts';
import { OneShard } from './one-shard.ts';
import { catalogText, NOON } from './test-catalog.ts';

const MARK = 'ann.marked@example.org';
const ACTIONS = "{ key: a, channels: [app], valueMinor: 90, eligibility: 'has(context.email) || true' }";
const CATALOG = catalogText({
  traits: 'age: { type: integer }, email: { type: string, sensitive: true }',
  actions: ACTIONS,
});
const PLAIN_CATALOG = catalogText({ traits: 'age: { type: integer }, email: { type: string }', actions: ACTIONS });

async function vaultOf(): Promise<{ keys: DataKeys; vault: TraitVault }> {
  const keys = DataKeys.open(keysPathOf(temporaryFolder()), new Uint8Array(32).fill(1), true);
  const vault = new TraitVault(keys, () => undefined);
  vault.offer(await keys.append(8), 8);
  return { keys, vault };
}
function everything(disk: MemoryDisk): Buffer {
  const journal = [...disk.journal.values()].map(({ bytes }) => bytes);
  return Buffer.concat([...disk.records.values(), ...disk.cold.values(), ...disk.meta.values(), ...journal]);
}
/** What the journal says, as `opportune log` prints it. */
function logOf(shard: OneShard): string {
  const lines: string[] = [];
  const entry = new Effect();
  for (const { bytes } of shard.disk.journal.values()) {
    for (let at = entry.load(bytes, 0); at >= 0; at = entry.load(bytes, at))
      lines.push(JSON.stringify(describeEntry(entry, shard.runtime.index.catalog, coldCodec)));
  }
  return lines.join('\n');
}

describe('sensitive traits', () => {
  it('identify: shown to who asks, in plain nowhere on disk; a recovery without keys has the same bytes', async () => {
    const { keys, vault } = await vaultOf();
    const shard = new OneShard({ catalog: CATALOG, sealer: vault });
    expect(shard.identify('ann', { age: 40, email: MARK }, NOON)).toBeNull();
    expect(
      shard.track({ profile: 'ann', event: 'view', properties: { email: MARK, page: 'home' } }, NOON + 1),
    ).toBeNull();
    shard.decide({ profile: 'ann', slot: 'home', context: { email: MARK, device: 'phone' } }, NOON + 2);
    shard.store.commitNow();
    shard.checkpoint();
    expect(shard.describe('ann', NOON + 3).traits).toEqual({ age: 40, email: MARK });
    expect(everything(shard.disk).includes(MARK)).toBe(false);
    const log = logOf(shard);
    expect(log).toContain('"traits":["age","email"]');
    expect(log).toContain('"properties":{"page":"home"}');
    expect(log).not.toContain(MARK);

    const bytes = shard.recordBytes('ann');
    const { sealer: _none, ...withoutKeys } = shard.options;
    const blind = new OneShard({ ...withoutKeys, disk: shard.disk, epoch: 2 });
    blind.recover();
    expect(blind.recordBytes('ann')).toEqual(bytes);
    expect(blind.describe('ann', NOON + 3)).toMatchObject({
      traits: { age: 40 },
      unreadableTraits: { email: 'unavailable' },
    });
    // From the journal alone, with no cold record written before.
    const replayed = new OneShard({ ...withoutKeys, disk: shard.disk, epoch: 3, sealer: vault });
    shard.disk.cold.clear();
    shard.disk.records.clear();
    shard.disk.meta.clear();
    replayed.recover();
    expect(replayed.describe('ann', NOON + 3).traits).toEqual({ age: 40, email: MARK });
    keys.close();
  });

  it('identify: one key a person for all values, another for each person, kept when the trait is taken back', async () => {
    const { keys, vault } = await vaultOf();
    const shard = new OneShard({ catalog: CATALOG, sealer: vault });
    for (const name of ['ann', 'bob']) shard.identify(name, { email: `${name}@x.org` }, NOON);
    shard.identify('ann', { email: null }, NOON + 1);
    shard.identify('ann', { email: MARK }, NOON + 2);
    shard.store.commitNow();
    const ids = [...shard.disk.cold.values()].map((bytes) => coldCodec.decode(bytes).keyIds);
    expect(ids).toEqual([[keys.idOf(0)], [keys.idOf(1)]]);
  });

  it('erasure: what was sealed is named as erased in every copy; what is told later is under a new key', async () => {
    const { keys, vault } = await vaultOf();
    const shard = new OneShard({ catalog: CATALOG, sealer: vault });
    shard.identify('ann', { age: 40, email: MARK }, NOON);
    shard.store.commitNow();
    keys.erase(0);
    expect(shard.describe('ann', NOON)).toMatchObject({ traits: { age: 40 }, unreadableTraits: { email: 'erased' } });
    expect(shard.recovered().describe('ann', NOON).unreadableTraits).toEqual({ email: 'erased' });
    expect(shard.identify('ann', { email: 'new@x.org' }, NOON + 1)).toBeNull();
    expect(shard.describe('ann', NOON + 1).traits).toEqual({ age: 40, email: 'new@x.org' });
    shard.store.commitNow();
    const [cold] = shard.disk.cold.values();
    expect(coldCodec.decode(cold as Uint8Array).keyIds).toEqual([keys.idOf(0), keys.idOf(1)]);
  });

  it('identify: without a key it is refused whole and changes nothing; what is not sensitive goes on', async () => {
    const shard = new OneShard({ catalog: CATALOG, sealer: new TraitVault((await vaultOf()).keys, () => undefined) });
    expect(shard.identify('ann', { age: 40, email: MARK }, NOON)).toBe(FAULT.keysUnavailable);
    expect(shard.identify('ann', { age: 41, email: null }, NOON)).toBeNull();
    expect(shard.describe('ann', NOON).traits).toEqual({ age: 41 });
    expect(shard.runtime.stats.turnFailures).toBe(0);
  });

  it('catalog: what was told before the catalog called it sensitive is sealed with the next identify', async () => {
    const { vault } = await vaultOf();
    const shard = new OneShard({ catalog: PLAIN_CATALOG, sealer: vault });
    shard.identify('ann', { email: MARK }, NOON);
    shard.store.commitNow();
    expect(Buffer.concat([...shard.disk.cold.values()]).includes(MARK)).toBe(true);
    shard.reload(CATALOG);
    shard.identify('ann', { age: 40 }, NOON + 1);
    shard.store.commitNow();
    expect(Buffer.concat([...shard.disk.cold.values()]).includes(MARK)).toBe(false);
    expect(shard.describe('ann', NOON + 2).traits).toEqual({ age: 40, email: MARK });
    // Called open again it stays sealed, and is no feature, so that a replay without keys sees what was seen.
    shard.reload(PLAIN_CATALOG);
    shard.identify('ann', { age: 41 }, NOON + 3);
    const { index, record } = shard.runtime;
    expect(record.trait(index.catalog.traitByName.get('email')?.index ?? -1)).toBeNaN();
    expect(record.trait(index.catalog.traitByName.get('age')?.index ?? -1)).toBe(41);
  });

  it('tampering: a changed byte in the cold record is named', async () => {
    const { vault } = await vaultOf();
    const shard = new OneShard({ catalog: CATALOG, sealer: vault });
    shard.identify('ann', { email: MARK }, NOON);
    shard.store.commitNow();
    for (const bytes of shard.disk.cold.values()) {
      const at = Buffer.from(bytes).indexOf('email') + 'email'.length + 40;
      bytes[at] = (bytes[at] as number) ^ 1;
    }
    expect(shard.describe('ann', NOON)).toMatchObject({ traits: {}, unreadableTraits: { email: 'tampered' } });
  });
});
