/** `feeds` of a catalog and `feed(…)` in its rules: what compiles, and how each mistake is named. */
import { describe, expect, it } from 'vitest';
import { compileCatalog } from '../../../workers/catalog/compile-catalog.ts';
import { ProfileScope, type ProfileState } from './profile-scope.ts';

interface Parts {
  readonly feeds?: string;
  readonly rule?: string;
  readonly tag?: string;
  readonly contradiction?: string;
  readonly product?: string;
}
const WEATHER =
  '{ ttl: 1h, key: profile.city, fields: { celsius: { type: number }, rain: { type: boolean }, sky: { type: text } } }';
function textOf({ feeds = `weather: ${WEATHER}`, rule, tag, contradiction, product }: Parts): string {
  return `version: 1
name: feeds
currency: EUR
timeZone: UTC
profile:
  traits: { city: { type: string }, loyalty: { type: enum, values: [a, b] }, age: { type: integer }, gender: { type: string, protected: true }, home: { type: string, sensitive: true } }
${tag === undefined ? '' : `  tags: { wet: { family: behaviour, when: '${tag}' } }`}
${contradiction === undefined ? '' : `  contradictions: { odd: '${contradiction}' }`}
feeds: { ${feeds} }
channels: { app: {} }
products: [{ sku: cup, listMinor: 100, floorMinor: 50, ceilingMinor: 150, costMinor: 40, stepMinor: 1${product === undefined ? '' : `, ${product}`} }]
actions: [{ key: one, channels: [app], valueMinor: 1${rule === undefined ? '' : `, eligibility: '${rule}'`} }]
`;
}
const compile = (parts: Parts) => compileCatalog(textOf(parts), 'feeds.yaml');

function holds(rule: string, state: ProfileState): boolean {
  const catalog = compile({ rule });
  return catalog.actions[0]?.eligibility?.evaluate(new ProfileScope(catalog.traits, [], state)) ?? false;
}
const ROME: ProfileState = { traits: { city: 'Rome' }, feed: new Map([['Rome', [30, true, 'blue']]]) };

describe('feeds of a catalog', () => {
  it('feeds: defaults, bounds, keys and a hash that says whether what is held still fits', () => {
    const two = `weather: ${WEATHER}, stock: { ttl: 90s, rowsMax: 7, fields: { left: { type: number, min: 0, max: 9 } } }`;
    const { feeds, feedsHash } = compile({ feeds: two });
    expect(feeds).toMatchObject([
      { name: 'weather', timeToLiveMillis: 3_600_000, rowsMax: 1000, features: [] },
      { name: 'stock', timeToLiveMillis: 90_000, rowsMax: 7, keyOf: null, fields: [{ name: 'left', min: 0, max: 9 }] },
    ]);
    expect(compile({ feeds: two.replace('90s', '10s').replace('profile.city', 'context.x') }).feedsHash).toBe(
      feedsHash,
    );
    for (const other of [
      two.replace('max: 9', 'max: 8'),
      two.replace('rowsMax: 7', 'rowsMax: 8'),
      two.replace('left', 'l'),
    ])
      expect(compile({ feeds: other }).feedsHash).not.toBe(feedsHash);
    expect(compile({ feeds: '' }).feedsHash).toBe(0);
  });

  it.each<[string, boolean]>([
    ['feed("weather", "celsius") > 20', true],
    ['feed("weather", "celsius", "Rome") + 1 == 31', true],
    ['feed("weather", "rain")', true],
    ['!feed("weather", "rain")', false],
    ['feed("weather", "sky") == "blue"', true],
    ['feed("weather", "sky", context.town) == "blue"', false],
    ['!(feed("weather", "sky", context.town) == "blue")', false],
    ['hasFeed("weather", "sky", context.town)', false],
    ['!hasFeed("weather", "sky", "Oslo")', true],
    ['hasFeed("weather", "sky") && feed("weather", "sky") in ["grey", "blue"]', true],
    ['feed("weather", "celsius", "Oslo") > 20 || profile.city == "Rome"', true],
    ['feed("weather", "celsius", profile.city + "") == 30.0', true],
    ['(feed("weather", "rain") ? 1 : 0) == 1', true],
  ])('feeds: %s is %s', (rule, truth) => {
    expect(holds(rule, ROME)).toBe(truth);
  });

  it('feeds: a refusal shows the value read, and that time alone does not change it', () => {
    const catalog = compile({ rule: 'feed("weather", "celsius") > 40' });
    const [clause] = catalog.actions[0]?.eligibility?.clauses ?? [];
    expect(clause?.explain(new ProfileScope(catalog.traits, [], ROME))).toEqual({
      value: 30,
      threshold: 40,
      eligibleAgainAtEpochMillis: null,
    });
    expect(clause?.explain(new ProfileScope(catalog.traits, [], {}))).toMatchObject({ value: null });
  });

  it.each<[string, Parts, string]>([
    [
      'an unknown feed',
      { rule: 'feed("wether", "celsius") > 1' },
      '"wether" is not a declared feed; nearest is "weather"',
    ],
    ['an unknown field', { rule: 'feed("weather", "celsus") > 1' }, 'has no field "celsus"; nearest is "celsius"'],
    ['one argument', { rule: 'feed("weather") > 1' }, 'takes 3 arguments, or 2 where the feed has a key; got 1'],
    ['a computed feed', { rule: 'feed(profile.city, "rain")' }, 'needs "feed" as quoted text'],
    ['a key that is a number', { rule: 'feed("weather", "rain", profile.age)' }, 'needs "key" as text, got integer'],
    ['a protected key', { rule: 'feed("weather", "rain", profile.gender)' }, '"gender" is a protected trait'],
    ['a number as a rule', { rule: 'feed("weather", "celsius")' }, 'must be true or false, got number'],
    ['a text compared with a number', { rule: 'feed("weather", "sky") > 1' }, 'cannot compare text with integer'],
    [
      'no key of its own',
      { feeds: 's: { ttl: 1h, fields: { l: { type: number } } }', rule: 'feed("s", "l") > 1' },
      'has no key of its own',
    ],
    ['a tag', { tag: 'feed("weather", "rain")' }, 'of a tag cannot read feeds'],
    ['a contradiction', { contradiction: 'feed("weather", "rain")' }, 'between traits'],
    ['no field', { feeds: 's: { ttl: 1h, fields: {} }' }, 'needs a field at least'],
    ['an unknown type', { feeds: 's: { ttl: 1h, fields: { l: { type: integer } } }' }, 'must be number, boolean, text'],
    ['no ttl', { feeds: 's: { fields: { l: { type: number } } }' }, 'ttl'],
    ['a ttl of years', { feeds: 's: { ttl: 60w, fields: { l: { type: number } } }' }, 'is not from 1s to 366d'],
    [
      'min above max',
      { feeds: 's: { ttl: 1h, fields: { l: { type: number, min: 2, max: 1 } } }' },
      'min 2 is above max 1',
    ],
    [
      'a bound of a text',
      { feeds: 's: { ttl: 1h, fields: { l: { type: text, max: 1 } } }' },
      'only number fields have a max',
    ],
    [
      'values of a number',
      { feeds: 's: { ttl: 1h, fields: { l: { type: number, values: [a] } } }' },
      'only text fields have values',
    ],
    [
      'a feature without a key',
      { feeds: 's: { ttl: 1h, fields: { l: { type: number, feature: true } } }' },
      'needs the key of the feed',
    ],
    [
      'a text feature without values',
      { feeds: 's: { ttl: 1h, key: profile.city, fields: { l: { type: text, feature: true } } }' },
      'needs the values',
    ],
    ['too many rows', { feeds: 's: { ttl: 1h, rowsMax: 10001, fields: { l: { type: number } } }' }, 'rowsMax'],
    [
      'a key that counts',
      { feeds: `s: { ttl: 1h, key: 'tag("x") ? "a" : "b"', fields: { l: { type: number } } }` },
      '"x" is not a declared tag',
    ],
    [
      'a key of a feed',
      { feeds: `s: { ttl: 1h, key: 'feed("s", "l")', fields: { l: { type: text } } }` },
      '"s" is not a declared feed',
    ],
    [
      'a key by the clock of a count',
      { feeds: `s: { ttl: 1h, key: 'count("view", "1d") > 1 ? "a" : "b"', fields: { l: { type: number } } }` },
      'a key may read traits, context and now only',
    ],
    [
      'a hidden key by the context',
      { feeds: 's: { ttl: 1h, key: context.gender, fields: { l: { type: number } } }' },
      'no key may depend on "gender"',
    ],
    [
      'a key that is a number',
      { feeds: 's: { ttl: 1h, key: profile.age, fields: { l: { type: number } } }' },
      'a key must be text',
    ],
    [
      '17 feeds',
      { feeds: Array.from({ length: 17 }, (_, i) => `f${i}: ${WEATHER}`).join(', ') },
      'at most 16 entries, has 17',
    ],
    [
      'a price by an unknown feed',
      { product: 'ceilingFrom: { feed: { name: wether, field: celsius } }' },
      '"wether" is not a declared feed; nearest is "weather"',
    ],
    ['a price by a text', { product: 'ceilingFrom: { feed: { name: weather, field: sky } }' }, 'must be a number'],
    [
      'an input by an unknown field',
      { product: 'demandInputs: [{ feed: { name: weather, field: wind }, mean: 1, scale: 1 }]' },
      '"wind" is not a declared field of the feed weather',
    ],
    [
      'an input by half a feed',
      { product: 'demandInputs: [{ feed: { name: weather, field: celsius }, mean: 1 }]' },
      'exactly one of',
    ],
  ])('feeds: %s is refused', (_, parts, reason) => {
    expect(() => compile(parts)).toThrow(reason);
  });

  it('feeds: names like those of every object are names', () => {
    const feeds = 'constructor: { ttl: 1h, key: profile.loyalty, fields: { toString: { type: number } } }';
    const catalog = compile({ feeds, rule: 'feed("constructor", "toString") > 1' });
    const scope = (state: ProfileState): ProfileScope => new ProfileScope(catalog.traits, [], state);
    const rule = catalog.actions[0]?.eligibility;
    expect(rule?.evaluate(scope({ traits: { loyalty: 'b' }, feed: new Map([['b', [2]]]) }))).toBe(true);
    expect(rule?.evaluate(scope({ traits: { loyalty: 'b' }, feed: new Map([['a', [2]]]) }))).toBe(false);
    expect(() => compile({ rule: 'feed("toString", "rain")' })).toThrow('is not a declared feed');
  });
});
