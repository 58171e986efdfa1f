import { describe, expect, it } from 'vitest';
import { MOMENT } from '../../decision/catalog.ts';
import { CatalogIndex } from '../../decision/catalog-index.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { catalogText } from '../actors/test-catalog.ts';

const HOUR = 3_600_000;
const hash = (key: string): number => murmur3Text(key, 0);

const index = new CatalogIndex(
  compileCatalog(
    catalogText({
      channels: '{ app: {}, push: { caps: [{ count: 2, per: 24h }, { count: 9, per: week, on: click }] } }',
      slots: '{ home: { channels: [app] }, inbox: { channels: [push] }, both: { channels: [push, app] } }',
      actions:
        '{ key: a, channels: [app], valueMinor: 1, caps: [{ count: 1, per: 2h }, { count: 3, per: 48h }, { count: 1, per: day, on: impression }] },' +
        '{ key: b, channels: [push], valueMinor: 1, eligibility: \'count("view", "3h") < 5 && lastSeen("open") > 9.0 && sum("purchase", "revenueMinor", "4h") < 9.0\' },' +
        '{ key: c, channels: [app, push], slots: [inbox], valueMinor: 1 },' +
        '{ key: d, channels: [app], valueMinor: 1 }',
    }),
    'test.yaml',
  ),
);
const keysOf = (slot: number): string[] =>
  [...index.candidates(slot)].map((action) => index.catalog.actions[action]?.key ?? '');

describe('catalog index', () => {
  it('candidates: what a slot can show, by its channels and the action’s own list, in catalog order', () => {
    expect(index.catalog.slots.map(({ key, index: slot }) => [key, keysOf(slot)])).toEqual([
      ['home', ['a', 'd']],
      ['inbox', ['b', 'c']],
      ['both', ['a', 'b', 'd']],
    ]);
    expect(keysOf(-1)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('caps: one flat list, each action and channel finds its own', () => {
    const textsOf = (starts: Int32Array, item: number): string[] =>
      index.caps.slice(starts[item], starts[item + 1]).map(({ text }) => text);
    expect(textsOf(index.capStart, 0)).toEqual([
      '1 per 2h on decision',
      '3 per 48h on decision',
      '1 per day on impression',
    ]);
    expect(textsOf(index.capStart, 1)).toEqual([]);
    expect(textsOf(index.channelCapStart, 0)).toEqual([]);
    expect(textsOf(index.channelCapStart, 1)).toEqual(['2 per 24h on decision', '9 per week on click']);
    expect(index.caps).toHaveLength(5);
  });

  it('keeps: moments that some cap of the action or of one of its channels counts, and no others', () => {
    const kept = (action: string): number[] => Object.values(MOMENT).filter((kind) => index.keeps(kind, hash(action)));
    expect(kept('a')).toEqual([MOMENT.decision, MOMENT.impression]);
    expect(kept('b')).toEqual([MOMENT.decision, MOMENT.click]);
    expect(kept('c')).toEqual([MOMENT.decision, MOMENT.click]);
    expect(kept('d')).toEqual([]);
    expect(kept('gone')).toEqual([]);
  });

  it('retentionMillis: the longest window that counts, for actions no longer known as well', () => {
    expect(index.retentionMillis(MOMENT.decision, hash('a'))).toBe(48 * HOUR);
    // A local day may have 25 hours.
    expect(index.retentionMillis(MOMENT.impression, hash('a'))).toBe(25 * HOUR);
    expect(index.retentionMillis(MOMENT.click, hash('c'))).toBe(7 * 24 * HOUR + HOUR);
    expect(index.retentionMillis(MOMENT.click, hash('a'))).toBe(0);
    expect(index.retentionMillis(MOMENT.decision, hash('gone'))).toBe(48 * HOUR);
    expect(index.retentionMillis(MOMENT.event, hash('view'))).toBe(3 * HOUR);
    expect(index.retentionMillis(MOMENT.event, hash('open'))).toBe(Number.POSITIVE_INFINITY);
    expect(index.retentionMillis(MOMENT.contact + 1, hash('app'))).toBe(Number.POSITIVE_INFINITY);
  });

  it('eventWindowMillis: how long all but the newest count; nothing for an event only last seen is asked of', () => {
    expect(['view', 'open', 'purchase', 'unheard'].map((event) => index.eventWindowMillis(hash(event)))).toEqual([
      3 * HOUR,
      0,
      4 * HOUR,
      0,
    ]);
  });
});
