/** Weights that fade, and which tags are touched by what. */
import { describe, expect, it } from 'vitest';
import { CatalogIndex } from '../../decision/catalog-index.ts';
import { decayedWeight } from '../../decision/tag.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { catalogText } from '../actors/test-catalog.ts';

const DAY = 86_400_000;

describe('decayedWeight', () => {
  it.each([
    [8, 0, DAY, 0, 8],
    [8, 0, DAY, DAY, 4],
    [8, 0, DAY, 3 * DAY, 1],
    [-8, 0, DAY, DAY, -4],
    [8, DAY, DAY, 0, 8],
    [8, 0, Number.POSITIVE_INFINITY, 1e15, 8],
    [0, 0, DAY, DAY, 0],
  ])('%d at %d with a half-life of %d is at %d: %d', (amount, at, halfLife, now, expected) => {
    expect(decayedWeight(amount, at, halfLife, now)).toBe(expected);
  });
});

describe('tag index', () => {
  const tags = `
    a: { family: social, when: 'count("view", "1d") > 0', parent: b },
    b: { family: social, parent: c },
    c: { family: social, when: 'lastSeen("buy") > 5' },
    d: { family: social, when: 'profile.age > 3' },
    e: { family: social, when: 'now.hour > 3' },
    f: { family: social, when: 'distinct("view", "x", "1d") > 3', holdFor: 1d }`;
  const catalog = compileCatalog(
    catalogText({ actions: '{ key: x, channels: [app], valueMinor: 9 }', traits: 'age: { type: integer }', tags }),
    'test.yaml',
  );
  const { tags: index } = new CatalogIndex(catalog);
  const named = (list: Uint16Array): string => [...list].map((tag) => catalog.tags[tag]?.key).join('');

  it.each([
    ['view', 'abcf'],
    ['buy', 'c'],
    ['open', ''],
  ])('the event "%s" touches %s: what is below before what is above', (event, expected) => {
    expect(named(index.byEvent(murmur3Text(event, 0)))).toBe(expected);
  });

  it('traits touch rules of traits and of local hours; time all but rules of traits', () => {
    expect(named(index.byTraits)).toBe('de');
    expect(named(index.byTime)).toBe('abcef');
    expect(named(index.byClock)).toBe('e');
    expect(named(index.byMoment(murmur3Text('view', 0)))).toBe('abc');
    expect(named(index.byMoment(murmur3Text('view\nx', 0)))).toBe('f');
    expect(named(index.all)).toBe('abcdef');
    expect(index.holding.map(({ key }) => key)).toEqual(['f']);
  });
});
