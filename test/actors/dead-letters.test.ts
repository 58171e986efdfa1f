/**
 * Dead letters in turns: what is refused is kept sealed, once however often it comes, bounded, settled by the event that
 * is taken in after all, and the same after a recovery.
 */
import { describe, expect, it } from 'vitest';
import { LETTER_LIMITS, type LetterBody, type NumberedLetter } from '../../actors/dead-letters.ts';
import { FIELD, RECORD_FLAG } from '../../actors/record-layout.ts';
import type { Properties } from '../../proto/messages.ts';
import { FAULT } from '../../proto/statuses.ts';
import { DataKeys, keysPathOf } from '../../workers/vault/data-keys.ts';
import { TraitVault } from '../../workers/vault/trait-vault.ts';
import { temporaryFolder } from '../workers/store/temporary-folder.ts';
import type { MemoryDisk } from './memory-store.ts';
import { OneShard } from './one-shard.ts';
import { catalogText, NOON } from './test-catalog.ts';

const MARK = 'marked-by-mistake';
const CATALOG = catalogText({
  actions: '{ key: a, channels: [app], valueMinor: 90 }',
  traits: 'age: { type: integer, min: 0, max: 130 }, mail: { type: string, normalise: mail }, tier: { type: string }',
  more: `events: { purchase: { properties: { revenueMinor: { required: true, min: 0 }, quantity: { type: integer } } },
    note: { properties: { text: { type: integer } } } }`,
});
const PURCHASE = { profile: 'ann', event: 'purchase', messageId: 'm1' };

async function sealer(count = 8): Promise<{ sealer: TraitVault; keys: DataKeys }> {
  const keys = DataKeys.open(keysPathOf(temporaryFolder()), new Uint8Array(32).fill(1), true);
  const vault = new TraitVault(keys, () => undefined);
  vault.offer(await keys.append(count), count);
  return { sealer: vault, keys };
}
function bind(shard: OneShard, profile = 'ann'): void {
  expect(shard.runtime.openHashed(shard.runtime.hashOf(profile), NOON)).toBeNull();
}
function lettersOf(shard: OneShard, profile = 'ann'): NumberedLetter[] {
  return shard.runtime.letters.lettersOf(shard.runtime.hashOf(profile));
}
function sealedOf(shard: OneShard, number = 0, profile = 'ann'): LetterBody {
  const body = shard.runtime.letters.bodyOf(shard.runtime.hashOf(profile), number);
  if ('problem' in body) throw new Error(body.problem);
  return body;
}
const bodyOf = (shard: OneShard, number = 0, profile = 'ann'): Properties => sealedOf(shard, number, profile).message;
function everything(disk: MemoryDisk): Buffer {
  const journal = [...disk.journal.values()].map(({ bytes }) => bytes);
  return Buffer.concat([...disk.records.values(), ...disk.cold.values(), ...disk.meta.values(), ...journal]);
}

describe('dead letters', () => {
  it('an event that is refused is kept sealed, with every refused field, and its id may come again', async () => {
    const shard = new OneShard({ catalog: CATALOG, ...(await sealer()) });
    const properties = { revenueMinor: -5, quantity: MARK };
    expect(shard.track({ ...PURCHASE, atEpochMillis: NOON - 60_000, properties }, NOON)).toBe(FAULT.invalidProperty);
    const { message } = shard.runtime;
    expect(message).toMatch(/^track\.properties\.revenueMinor: /);
    const [letter, ...others] = lettersOf(shard);
    expect(others).toEqual([]);
    expect(letter).toMatchObject({ op: 'track', event: 'purchase', at: NOON, lastAt: NOON, times: 1, door: 'ws' });
    const { refused } = sealedOf(shard, letter?.number);
    expect(refused.map(({ field, reason }) => [field, reason])).toEqual([
      ['revenueMinor', 'range'],
      ['quantity', 'type'],
    ]);
    expect(refused[0]?.message).toBe(message);
    expect(letter?.reasons).toEqual(['range', 'type']);
    expect(bodyOf(shard, letter?.number)).toEqual({
      ...{ op: 'track', ...PURCHASE, atEpochMillis: NOON - 60_000 },
      properties,
    });
    shard.store.commitNow();
    shard.checkpoint();
    expect(everything(shard.disk).includes(MARK)).toBe(false);
    expect(shard.track({ ...PURCHASE, properties: { revenueMinor: 5 } }, NOON + 1)).toBeNull();
    expect(shard.eventTurn.isDuplicate).toBe(false);
    expect(lettersOf(shard)).toEqual([]);
    expect(shard.runtime.letters.total).toBe(0);
    expect(shard.runtime.stats).toMatchObject({ lettersKept: 1, lettersSettled: 1 });
  });

  it('the same message again is the same letter; without an id each is one of its own and gets one', async () => {
    const shard = new OneShard({ catalog: CATALOG, ...(await sealer()) });
    const bad = { ...PURCHASE, properties: { revenueMinor: -5 } };
    shard.track(bad, NOON);
    shard.track({ ...bad, properties: {} }, NOON + 1);
    expect(lettersOf(shard)).toMatchObject([{ times: 2, at: NOON, lastAt: NOON + 1, reasons: ['required'] }]);
    const nameless = { profile: 'bob', event: 'purchase', properties: { revenueMinor: -5 } };
    shard.track(nameless, NOON);
    shard.track(nameless, NOON);
    const letters = lettersOf(shard, 'bob');
    const ids = letters.map(({ number }) => bodyOf(shard, number, 'bob').messageId);
    expect(ids).toEqual([expect.stringMatching(/^letter:.{20}$/), expect.stringMatching(/^letter:.{20}$/)]);
    expect(new Set(ids).size).toBe(2);
  });

  it('identify: the whole by a plain door, however often it is told; the bad traits alone by Segment’s', async () => {
    const shard = new OneShard({ catalog: CATALOG, ...(await sealer()) });
    const traits = { age: 131, mail: 'nowhere', tier: 'gold' };
    expect(shard.identify('ann', traits, NOON)).toBe(FAULT.invalidTrait);
    expect(shard.identify('ann', traits, NOON + 9)).toBe(FAULT.invalidTrait);
    const [letter] = lettersOf(shard);
    expect(letter).toMatchObject({ op: 'identify', times: 2 });
    expect(new Set(sealedOf(shard, letter?.number).refused.map(({ field, reason }) => `${field} ${reason}`))).toEqual(
      new Set(['age range', 'mail format']),
    );
    expect(bodyOf(shard, letter?.number)).toEqual({
      op: 'identify',
      profile: 'ann',
      atEpochMillis: NOON + 9,
      traits,
    });
    shard.runtime.letters.door = 'segment';
    expect(shard.identify('bob', traits, NOON)).toBeNull();
    expect(shard.profileTurn.dropped).toHaveLength(2);
    expect(shard.describe('bob', NOON).traits).toEqual({ tier: 'gold' });
    const [part] = lettersOf(shard, 'bob');
    expect(bodyOf(shard, part?.number ?? 0, 'bob').traits).toEqual({ age: 131, mail: 'nowhere' });
    expect(shard.identify('eve', { age: 131 }, NOON)).toBeNull();
    expect(shard.identify('bob', { tier: 'plain' }, NOON)).toBeNull();
    expect(shard.profileTurn.dropped).toEqual([]);
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`unknown${i}`, i]));
    expect(shard.identify('bob', many, NOON)).toBe(FAULT.invalidTrait);
  });

  it('bounds: the oldest of a person give way, what is too large or has no key is not kept, all of it counted', async () => {
    const shard = new OneShard({ catalog: CATALOG, ...(await sealer(1)) });
    const { stats } = shard.runtime;
    const refuse = (messageId: string, text: string, profile = 'ann'): void => {
      expect(shard.track({ profile, event: 'note', messageId, properties: { text } }, NOON)).toBe(
        FAULT.invalidProperty,
      );
    };
    for (let i = 0; i < LETTER_LIMITS.lettersMax + 3; i++) refuse(`m${i}`, 'x');
    expect(lettersOf(shard)).toHaveLength(LETTER_LIMITS.lettersMax);
    expect(stats).toMatchObject({ lettersLostRing: 3, lettersKept: LETTER_LIMITS.lettersMax + 3 });
    refuse('large', 'x'.repeat(LETTER_LIMITS.bodyBytesMax));
    expect(stats.lettersLostSize).toBe(1);
    for (let i = 0; i < 4; i++) refuse(`half${i}`, 'y'.repeat(LETTER_LIMITS.bytesMax / 3));
    const letters = lettersOf(shard);
    expect(letters.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(LETTER_LIMITS.bytesMax);
    expect(bodyOf(shard, letters.at(-1)?.number ?? 0).messageId).toBe('half3');
    refuse('m', 'x', 'bob');
    expect(stats.lettersLostKeys).toBe(1);
    expect(lettersOf(shard, 'bob')).toEqual([]);
    const unsealed = new OneShard({ catalog: CATALOG });
    expect(unsealed.track({ ...PURCHASE, properties: {} }, NOON)).toBe(FAULT.invalidProperty);
    expect(unsealed.runtime.letters.hasKept).toBe(false);
  });

  it('recovery has the same letters; a stored record says that there are some; the erased has none', async () => {
    const { sealer: vault, keys } = await sealer();
    const shard = new OneShard({ catalog: CATALOG, sealer: vault });
    shard.track({ ...PURCHASE, properties: {} }, NOON);
    shard.identify('ann', { [MARK]: 1 }, NOON);
    shard.store.commitNow();
    expect(everything(shard.disk).includes(MARK)).toBe(false);
    const expected = lettersOf(shard);
    const recovered = shard.recovered();
    expect(lettersOf(recovered)).toEqual(expected);
    expect(recovered.runtime.letters.total).toBe(2);
    recovered.checkpoint();
    const again = recovered.recovered();
    expect(again.runtime.letters.total).toBe(0);
    for (const bytes of again.disk.records.values()) again.runtime.watchStored(bytes);
    expect(again.runtime.letters.people(0, 10)).toMatchObject([{ count: 2 }]);
    bind(again);
    expect(again.runtime.record.getU16(FIELD.flags) & RECORD_FLAG.letters).toBe(RECORD_FLAG.letters);
    const { keyIds = [] } = again.runtime.readCold();
    expect(keyIds).toHaveLength(1);
    vault.eraseKeys(keyIds);
    expect(again.runtime.letters.bodyOf(again.runtime.record, expected[0]?.number ?? 0)).toEqual({ problem: 'erased' });
    again.runtime.eraseBound(NOON + 1);
    expect(lettersOf(again)).toEqual([]);
    expect(again.runtime.letters.total).toBe(0);
    keys.close();
  });
});
