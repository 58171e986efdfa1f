/** What stands of a person and what lies in sections of the cold record: set, ended, and the same after a recovery. */
import { describe, expect, it } from 'vitest';
import type { SectionEntries } from '../../actors/cold-sections.ts';
import { EFFECT, Effect } from '../../actors/effect.ts';
import { describeEntry } from '../../actors/journal-text.ts';
import { FIELD, STANDING } from '../../actors/record-layout.ts';
import { beginStanding, changeStanding, findStanding, STANDING_CHANGES_MAX } from '../../actors/standing.ts';
import { coldCodec } from '../../workers/cold-codec.ts';
import { OneShard } from './one-shard.ts';
import { catalogText, NOON } from './test-catalog.ts';

const CATALOG = catalogText({ actions: '{ key: a, channels: [app], valueMinor: 9 }' });

function shardWithAnn(): OneShard {
  const shard = new OneShard({ catalog: CATALOG });
  expect(shard.track({ profile: 'ann', event: 'view' }, NOON)).toBeNull();
  return shard;
}
/** Number of standing moments of ann: `[kind, subject, at, amount]`, in their order. */
function standing(shard: OneShard): number[][] {
  const { record } = shard.runtime;
  const rows: number[][] = [];
  for (let i = 0; i < record.momentCount; i++) {
    if (record.momentKind(i) < STANDING.refusal) continue;
    rows.push([record.momentKind(i), record.momentSubject(i), record.momentAt(i), record.momentAmount(i)]);
  }
  return rows;
}
function set(shard: OneShard, subject: number, amount: number, isSet = true): void {
  beginStanding(shard.runtime.effect);
  changeStanding(shard.runtime.effect, STANDING.tag, subject, isSet, NOON, amount);
  expect(shard.runtime.commit(NOON)).toBe(true);
}
function entries(shard: OneShard): Effect[] {
  const batch = shard.store.readJournal({ epoch: 1, stream: 0, batch: shard.store.openBatch }) ?? new Uint8Array(0);
  const found: Effect[] = [];
  for (let offset = 0; offset < batch.length; ) {
    const entry = new Effect();
    offset = entry.load(batch, offset);
    found.push(entry);
  }
  return found;
}

describe('standing', () => {
  it('set, set anew and ended: one moment a kind and subject', () => {
    const shard = shardWithAnn();
    set(shard, 5, 1);
    set(shard, 6, 2);
    set(shard, 5, 3);
    expect(standing(shard)).toEqual([
      [STANDING.tag, 5, NOON, 3],
      [STANDING.tag, 6, NOON, 2],
    ]);
    set(shard, 5, 0, false);
    expect(findStanding(shard.runtime.record, STANDING.tag, 5)).toBe(-1);
    expect(findStanding(shard.runtime.record, STANDING.consent, 6)).toBe(-1);
    set(shard, 5, 0, false);
    expect(standing(shard)).toEqual([[STANDING.tag, 6, NOON, 2]]);
  });

  it('many changes in one effect up to its bound, and one more is refused', () => {
    const { runtime } = shardWithAnn();
    beginStanding(runtime.effect);
    for (let i = 0; i < STANDING_CHANGES_MAX; i++) changeStanding(runtime.effect, STANDING.tag, i + 1, true, NOON, i);
    expect(() => changeStanding(runtime.effect, STANDING.tag, 99, true, NOON, 0)).toThrow(RangeError);
    expect(runtime.commit(NOON)).toBe(true);
    expect(runtime.record.momentAmount(findStanding(runtime.record, STANDING.tag, 64))).toBe(63);
    expect(runtime.record.getU16(FIELD.momentCount)).toBe(STANDING_CHANGES_MAX);
  });

  it('in the journal it says kind, subject and since when', () => {
    const shard = shardWithAnn();
    set(shard, 5, 0.5);
    const last = entries(shard).at(-1);
    expect(last?.type).toBe(EFFECT.standing);
    expect(describeEntry(last ?? new Effect(), shard.runtime.index.catalog, coldCodec)).toMatchObject({
      type: 'standing',
      changes: [{ kind: 'tag', subject: '00000005', isSet: true, at: NOON, amount: 0.5 }],
    });
  });

  it('applied twice, it comes to the same', () => {
    const shard = shardWithAnn();
    set(shard, 5, 1);
    const before = standing(shard);
    set(shard, 5, 1);
    expect(standing(shard)).toEqual(before);
  });
});

describe('sections of the cold record', () => {
  const read = (shard: OneShard): unknown => shard.runtime.readCold().sections;
  const change = (shard: OneShard, content: SectionEntries): boolean =>
    shard.runtime.commitSection('consent', content, NOON);

  it('entries are set, replaced and removed; an empty section goes', () => {
    const shard = shardWithAnn();
    expect(change(shard, { a: { granted: true }, b: 1 })).toBe(true);
    expect(change(shard, { a: 'x', b: null, __proto__x: 2 })).toBe(true);
    expect(read(shard)).toEqual({ consent: { a: 'x', __proto__x: 2 } });
    expect(change(shard, { a: null, __proto__x: null })).toBe(true);
    expect(read(shard)).toEqual({});
  });

  it('traits and sections leave each other alone', () => {
    const shard = shardWithAnn();
    change(shard, { a: 1 });
    expect(shard.runtime.readCold()).toEqual({ traits: {}, sections: { consent: { a: 1 } } });
  });

  it('the journal names section and entries, and no value', () => {
    const shard = shardWithAnn();
    change(shard, { phone: '+86 139', b: null });
    const last = entries(shard).at(-1) ?? new Effect();
    const text = describeEntry(last, shard.runtime.index.catalog, coldCodec);
    expect(text).toMatchObject({ type: 'section', section: 'consent', entries: ['phone', 'b'] });
    expect(JSON.stringify(text)).not.toContain('139');
  });
});
