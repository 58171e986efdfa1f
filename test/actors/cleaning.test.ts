/** Cleaning in turns: what is journalled and counted is clean, flags come and go, and nothing is paid where nothing is declared. */
import { describe, expect, it } from 'vitest';
import { EFFECT, Effect, IDENTIFY } from '../../actors/effect.ts';
import { describeEntry } from '../../actors/journal-text.ts';
import { FAULT } from '../../proto/statuses.ts';
import { coldCodec } from '../../workers/cold-codec.ts';
import { OneShard, requestOf } from './one-shard.ts';
import { catalogText, NOON } from './test-catalog.ts';

const ACTION =
  '{ key: a, channels: [app], valueMinor: 90, eligibility: \'sum("purchase", "revenueMinor", "30d") > 1000\' }';
const TRAITS = `
  age: { type: integer, min: 0, max: 130, outlier: { max: 105 } },
  birthYear: { type: integer, min: 1900, max: 2100 },
  mail: { type: string, normalise: mail },
  tier: { type: enum, values: [gold, plain], default: plain, normalise: [trim, lower], synonyms: { gold: [au] } },
  spentMinor: { type: integer, min: 0, fromMajor: spent, currency: EUR },
  visits: { type: integer, outlier: { deviations: 5 } }`;
const CONTRADICTIONS =
  ", contradictions: { ageAndBirth: 'profile.birthYear + profile.age < 2020 || profile.birthYear + profile.age > 2027' }";
const EVENTS = `events: { purchase: { properties: {
  revenueMinor: { required: true, fromMajor: revenue, currencyFrom: currency, currency: EUR, outlier: { max: 100000 } } } } }`;
const CATALOG = catalogText({ actions: ACTION, traits: TRAITS, profile: CONTRADICTIONS, more: EVENTS });
/** The same without anything about cleaning. */
const PLAIN = catalogText({
  actions: ACTION,
  traits: `age: { type: integer, min: 0, max: 130 }, birthYear: { type: integer }, mail: { type: string },
    tier: { type: enum, values: [gold, plain] }, spentMinor: { type: integer }, visits: { type: integer }`,
});

function journalOf(shard: OneShard): string {
  const rows: unknown[] = [];
  const entry = new Effect();
  for (const { bytes } of shard.disk.journal.values())
    for (let at = entry.load(bytes, 0); at >= 0; at = entry.load(bytes, at)) {
      rows.push(describeEntry(entry, shard.runtime.index.catalog, coldCodec));
      if (entry.type !== EFFECT.identify) continue;
      const end = IDENTIFY.traits + entry.getU32(IDENTIFY.traitBytes);
      rows.push(coldCodec.decodeProperties(entry.u8.slice(IDENTIFY.traits, end)));
    }
  return JSON.stringify(rows);
}
const qualityOf = (shard: OneShard, now = NOON): Record<string, unknown> =>
  shard.describe('ann', now).quality as Record<string, unknown>;

describe('cleaning in turns', () => {
  it('identify: kept, journalled and shown as cleaned, with what is given to whoever has none', () => {
    const shard = new OneShard({ catalog: CATALOG });
    expect(shard.identify('ann', { mail: ' Ann@Example.org', spent: '12.90' }, NOON)).toBeNull();
    const expected = { mail: 'ann@example.org', spentMinor: 1290, tier: 'plain' };
    expect(shard.describe('ann', NOON).traits).toEqual(expected);
    shard.store.commitNow();
    expect(journalOf(shard)).toContain('"mail":"ann@example.org"');
    expect(journalOf(shard)).not.toContain('Ann@');
    shard.identify('ann', { tier: ' AU ' }, NOON + 1);
    shard.identify('ann', { age: 40 }, NOON + 2);
    expect(shard.describe('ann', NOON).traits).toEqual({ ...expected, tier: 'gold', age: 40 });
    shard.identify('ann', { tier: null, mail: null }, NOON + 3);
    expect(shard.describe('ann', NOON).traits).toEqual({ spentMinor: 1290, age: 40, tier: 'plain' });
    shard.store.commitNow();
    expect(shard.recovered().describe('ann', NOON).traits).toEqual({ spentMinor: 1290, age: 40, tier: 'plain' });
  });

  it('identify: one value that is refused and none is taken; the value is in no message', () => {
    const shard = new OneShard({ catalog: CATALOG });
    expect(shard.identify('ann', { age: 40, mail: 'secret@nowhere' }, NOON)).toBe(FAULT.invalidTrait);
    expect(shard.runtime.message).toBe('identify.traits.mail: expected a mail address, got a string of 14 characters');
    expect(shard.identify('ann', { age: 131 }, NOON)).toBe(FAULT.invalidTrait);
    expect(shard.identify('ann', { agee: 1 }, NOON)).toBe(FAULT.invalidTrait);
    expect(shard.describe('ann', NOON).traits).toEqual({});
  });

  it('track: what rules count is clean; what is refused leaves nothing, its message may come again', () => {
    const shard = new OneShard({ catalog: CATALOG });
    const purchase = { profile: 'ann', event: 'purchase', messageId: 'm1' };
    expect(shard.track({ ...purchase, properties: { revenue: -5 } }, NOON)).toBe(FAULT.invalidProperty);
    expect(shard.track({ ...purchase, properties: {} }, NOON)).toBe(FAULT.invalidProperty);
    expect(shard.runtime.message).toBe('track.properties.revenueMinor: required, and missing');
    expect(shard.decide({ profile: 'ann', slot: 'home' }, NOON).actions).toEqual([]);
    expect(shard.track({ ...purchase, properties: { revenue: '12.00', currency: 'eur' } }, NOON)).toBeNull();
    expect(shard.decide({ profile: 'ann', slot: 'home' }, NOON).actions).toHaveLength(1);
    shard.store.commitNow();
    expect(journalOf(shard)).toContain('"revenueMinor":1200');
    expect(journalOf(shard)).not.toContain('"revenue":');
    expect(shard.track({ ...purchase, properties: { revenue: -5 } }, NOON)).toBeNull();
    expect(shard.eventTurn.isDuplicate).toBe(true);
  });

  it('outliers are kept and flagged, and not flagged any more when told plausibly', () => {
    const shard = new OneShard({ catalog: CATALOG });
    shard.identify('ann', { age: 120 }, NOON);
    expect(qualityOf(shard).flags).toEqual({ 'trait.age': { flag: 'outlier', atEpochMillis: NOON } });
    expect(shard.describe('ann', NOON).traits).toMatchObject({ age: 120 });
    shard.track({ profile: 'ann', event: 'purchase', properties: { revenueMinor: 200_000 } }, NOON + 1);
    shard.track({ profile: 'ann', event: 'purchase', properties: { revenueMinor: 300_000 } }, NOON + 2);
    shard.identify('ann', { age: 20 }, NOON + 3);
    const flags = { 'event.purchase.revenueMinor': { flag: 'outlier', atEpochMillis: NOON + 2, count: 2 } };
    expect(qualityOf(shard).flags).toEqual(flags);
    shard.store.commitNow();
    expect(qualityOf(shard.recovered()).flags).toEqual(flags);
  });

  it('far from what others have: flagged once enough are known', () => {
    const shard = new OneShard({ catalog: CATALOG });
    for (let i = 0; i < 64; i++) shard.identify(`p${i}`, { visits: i }, NOON);
    shard.identify('ann', { visits: 100_000 }, NOON);
    expect(Object.keys(qualityOf(shard).flags as object)).toEqual(['trait.visits']);
  });

  it('traits that cannot both be right are flagged while they stand', () => {
    const shard = new OneShard({ catalog: CATALOG });
    shard.identify('ann', { age: 40 }, NOON);
    expect(qualityOf(shard)).toMatchObject({ flags: {}, validity: 1 });
    shard.identify('ann', { birthYear: 2001 }, NOON);
    expect(Object.keys(qualityOf(shard).flags as object)).toEqual(['contradiction.ageAndBirth']);
    expect(qualityOf(shard).validity).toBeCloseTo(1 - 1 / 4, 10);
    shard.identify('ann', { birthYear: 1985 }, NOON);
    expect(qualityOf(shard)).toMatchObject({ flags: {}, validity: 1 });
  });

  it('quality: complete, valid and fresh as the figures say', () => {
    const shard = new OneShard({ catalog: CATALOG });
    expect(qualityOf(shard)).toMatchObject({ completeness: 0, validity: 1, freshness: 0, score: 40 });
    shard.identify('ann', { age: 40 }, NOON);
    // Age and the tier that is given, of seven traits with the time zone.
    expect(qualityOf(shard).completeness).toBeCloseTo(2 / 7, 10);
    expect(qualityOf(shard, NOON + 90 * 86_400_000).freshness).toBeCloseTo(0.5, 10);
    expect(qualityOf(shard).missingTraits).toEqual(['timeZone', 'birthYear', 'mail', 'spentMinor', 'visits']);
    shard.decide({ profile: 'ann', slot: 'home' }, NOON + 1000);
    expect(qualityOf(shard, NOON + 1000).newestEpochMillis).toBe(NOON);
  });

  it('identify told at an earlier instant leaves what was told since', () => {
    const shard = new OneShard({ catalog: CATALOG });
    const late = (traits: object, atEpochMillis: number, now: number): unknown =>
      shard.profileTurn.identify(requestOf({ profile: 'ann', traits: { ...traits }, atEpochMillis }), now);
    shard.identify('ann', { age: 40 }, NOON);
    expect(late({ age: 39, birthYear: 1985 }, NOON - 1, NOON + 5)).toBeNull();
    expect(shard.describe('ann', NOON).traits).toMatchObject({ age: 40, birthYear: 1985 });
    const before = shard.runtime.record.stateSeq;
    expect(late({ age: 38, tier: 'gold' }, NOON - 2, NOON + 6)).toBeNull();
    expect(late({ age: 38 }, NOON + 1, NOON + 7)).toBeNull();
    expect(shard.describe('ann', NOON).traits).toMatchObject({ age: 38 });
    expect(shard.runtime.record.stateSeq).toBe(before + 1);
  });

  it('a catalog that declares nothing: the same bytes in records and journal', () => {
    const shards = [new OneShard({ catalog: PLAIN }), new OneShard({ catalog: CATALOG })];
    for (const shard of shards) {
      shard.identify('ann', { age: 40, tier: 'gold', mail: 'ann@example.org' }, NOON);
      shard.track({ profile: 'ann', event: 'purchase', properties: { revenueMinor: 500, own: 'x' } }, NOON);
      shard.store.commitNow();
    }
    const [plain, cleaned] = shards;
    expect(plain?.recordBytes('ann').length).toBe(cleaned?.recordBytes('ann').length);
    expect(journalOf(plain as OneShard)).toBe(journalOf(cleaned as OneShard)); // two of them
  });
});
