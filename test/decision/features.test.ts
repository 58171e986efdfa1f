import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Catalog, EventCounter, Product, Slot, TraitSpec, TraitType } from '../../decision/catalog.ts';
import { consentRules } from '../../decision/consent.ts';
import {
  buildFeatures,
  countBucket,
  FEATURES_MAX,
  FeatureVector,
  mixHash,
  octaveBucket,
  recencyBucket,
} from '../../decision/features.ts';
import type { RuleScope } from '../../decision/rule.ts';
import type { Tag } from '../../decision/tag.ts';
import type { Properties } from '../../proto/messages.ts';
import { murmur3Text, textHash } from '../../proto/murmur3.ts';

function trait(index: number, name: string, type: TraitType, more: Partial<TraitSpec> = {}): TraitSpec {
  return {
    index,
    name,
    hash: murmur3Text(name, 0),
    type,
    min: null,
    max: null,
    values: [],
    unit: null,
    isProtected: false,
    isSensitive: false,
    isFact: false,
    ...more,
  };
}

function counter(index: number, event: string, windowMillis: number, property: string | null = null): EventCounter {
  return { index, event, eventHash: murmur3Text(event, 0), property, windowMillis };
}

const TRAITS = [
  trait(0, 'age', 'integer', { min: 0, max: 80 }),
  trait(1, 'city', 'string'),
  trait(2, 'loyalty', 'enum', { values: ['none', 'silver', 'gold'] }),
  trait(3, 'income', 'number', { isProtected: true, min: 0, max: 100 }),
  trait(4, 'phone', 'string', { isSensitive: true }),
  trait(5, 'isMember', 'boolean'),
  trait(6, 'spend', 'number'),
  trait(7, 'timeZone', 'timeZone'),
];
const DAY = 86_400_000;
const COUNTERS = [
  counter(0, 'purchase', 30 * DAY),
  counter(1, 'view', Infinity),
  counter(2, 'purchase', 7 * DAY, 'revenueMinor'),
];

function catalogOf(traits: readonly TraitSpec[], counters: readonly EventCounter[]): Catalog {
  const slot: Slot = { index: 0, key: 'home', hash: 777, channels: [0] };
  return {
    version: '',
    versionHash: 0,
    name: '',
    currency: 'CNY',
    timeZone: 'UTC',
    decision: {
      strategy: 'thompson',
      explorationProbability: 0,
      holdoutProbability: 0,
      rewardWindowMillis: 0,
      leaseMillis: 0,
      fallbackAction: -1,
      diversity: null,
    },
    keepsAdditionalTraits: false,
    traits,
    traitSchemaHash: 0,
    channels: [],
    slots: [slot],
    products: [],
    actions: [],
    counters,
    retentions: new Map(),
    consent: consentRules(
      { minorAge: null, ageTrait: -1, defaults: new Map(), ofTrait: new Map(), signals: null, tcfVendor: null },
      traits,
      [],
      () => 0,
    ),
    featureCounters: counters.length,
    feeds: [],
    feedsHash: 0,
    valueReadings: [],
    tags: [],
    tagsHash: 0,
    suspicions: [],
    cleaning: null,
    travel: null,
    device: null,
    usualFeed: -1,
    usualEveryMillis: 0,
    identity: { types: [], traitTypes: [], keysMax: 100, blocked: new Set(), unjoinMillis: 0 },
    quality: { weights: [], freshnessHalfLifeMillis: 1 },
    tagByKey: new Map(),
    tagByHash: new Map(),
    journeys: [],
    journeyByHash: new Map(),
    timeZoneTrait: 7,
    traitByName: new Map(),
    channelByKey: new Map(),
    slotByKey: new Map(),
    productBySku: new Map(),
    actionByKey: new Map(),
    actionByHash: new Map(),
    channelByHash: new Map(),
    productByHash: new Map<number, Product>(),
  };
}
const CATALOG = catalogOf(TRAITS, COUNTERS);

function tagOf(index: number, key: string, isFeature: boolean): Tag {
  const dependsOn = {
    events: [],
    readsTraits: false,
    windows: [],
    scores: [],
    silences: [],
    valueReadings: [],
    instants: [],
    readsClock: false,
  };
  const rest = { family: 'social', parent: -1, children: [], when: null, dependsOn, weightOf: () => 1 } as const;
  return {
    ...rest,
    index,
    key,
    hash: 1000 + index,
    halfLifeMillis: Infinity,
    holdForMillis: 0,
    isFeature,
    isSuspicion: false,
  };
}

interface Person {
  readonly values?: Readonly<Record<number, number | string>>;
  readonly count?: number;
  readonly sum?: number;
  readonly seconds?: number;
  readonly hour?: number;
  readonly weekday?: number;
}

function scopeOf(person: Person): RuleScope {
  const values = person.values ?? {};
  return {
    hasTrait: (index) => values[index] !== undefined,
    traitNumber: (index) => (typeof values[index] === 'number' ? (values[index] as number) : NaN), // just asked
    traitHash: (index) => (typeof values[index] === 'string' ? textHash(values[index] as string) : NaN), // just asked
    traitText: (index) => String(values[index] ?? ''),
    counterCount: () => person.count ?? 0,
    counterSum: () => person.sum ?? 0,
    counterLastSeenSeconds: () => person.seconds ?? 1e12,
    counterOldestLeavesAtEpochMillis: () => NaN,
    valueReading: () => 0,
    holdsTag: () => false,
    tagWeight: () => 0,
    feedNumber: () => NaN,
    feedText: () => undefined,
    stageOf: () => -1,
    allows: () => true,
    context: () => undefined,
    nowEpochMillis: () => 0,
    nowHour: () => person.hour ?? 12,
    nowWeekday: () => person.weekday ?? 0,
  };
}

const FULL: Person = {
  values: { 0: 33, 1: 'Beijing', 2: 2, 3: 50, 4: '13800000000', 5: 1, 6: 250, 7: 'Asia/Shanghai' },
  count: 3,
  sum: 12_900,
  seconds: 3600,
};

function build(
  person: Person,
  context: Properties | null = null,
  catalog = CATALOG,
  slot = 777,
  sku = 0,
): [FeatureVector, string[]] {
  const out = new FeatureVector();
  const names: string[] = [];
  buildFeatures(catalog, scopeOf(person), slot, sku, context, out, names);
  return [out, names];
}

function hashOf(built: readonly [FeatureVector, readonly string[]], name: string): number {
  const at = built[1].indexOf(name);
  expect(at, `${name} among ${built[1].join(' | ')}`).toBeGreaterThanOrEqual(0);
  return built[0].hashes[at] as number; // at < count
}

describe('features', () => {
  it('buildFeatures: a fact is a feature as its type is, but an instant is none when facts are declared', () => {
    const facts = [
      trait(0, 'segment', 'enum', { values: ['s1', 's2'], isFact: true }),
      trait(1, 'churnProbability', 'number', { min: 0, max: 1, isFact: true }),
      trait(2, 'nextPurchaseAtEpochMillis', 'integer', { min: 0, isFact: true }),
    ];
    const [, names] = build({ ...FULL, values: { 0: 1, 1: 0.9, 2: 1.8e12 } }, null, { ...CATALOG, traits: facts });
    const own = names.filter((name) => name.startsWith('profile.'));
    expect(own).toEqual([
      'profile.segment = s2',
      'profile.churnProbability from 0.875 to 1',
      'profile.churnProbability (linear)',
    ]);
  });

  it('buildFeatures: a tag that is a feature is one while it is held, the others never', () => {
    const tags = [tagOf(0, 'silent', true), tagOf(1, 'secret', false), tagOf(2, 'loyal', true)];
    const catalog = { ...CATALOG, tags, tagsHash: 1 };
    const out = new FeatureVector();
    const names: string[] = [];
    const scope = { ...scopeOf(FULL), holdsTag: (tag: number) => tag !== 2 };
    buildFeatures(catalog, scope, 777, 0, null, out, names);
    expect(names.filter((name) => name.startsWith('tag '))).toEqual(['tag silent']);
    const [without] = build(FULL);
    expect(out.count).toBe(without.count + 1);
  });

  it('buildFeatures: a counter of tags alone is none', () => {
    const [, names] = build(FULL, null, { ...CATALOG, featureCounters: 1 });
    expect(names.filter((name) => name.includes('('))).toEqual(
      build(FULL)[1].filter((name) => name.includes('(') && !name.includes('view') && !name.includes('revenueMinor')),
    );
  });

  it('buildFeatures: one name a feature, the bias first, all hashes different', () => {
    const built = build(FULL, { device: 'ios', isApp: true, basket: 99.5 }, CATALOG, 777, 888);
    const [out, names] = built;
    expect(names).toEqual([
      'bias',
      'slot = home',
      'sku = 888',
      'now.hour = 12',
      'now.weekday = Monday',
      'profile.age from 30 to 40',
      'profile.age (linear)',
      'profile.city = Beijing',
      'profile.loyalty = gold',
      'profile.isMember = true',
      'profile.spend from 128 to 256',
      'profile.timeZone = Asia/Shanghai',
      'count(purchase, 30d) from 2 to 3',
      'lastSeen(purchase) from 16 under 64 min',
      'lastSeen(view) from 16 under 64 min',
      'sum(purchase, revenueMinor, 7d) from 8192 to 16384',
      'context.device = ios',
      'context.isApp = true',
      'context.basket from 64 to 128',
      'context.basket (log)',
    ]);
    expect(out.count).toBe(names.length);
    expect(new Set(out.hashes.subarray(0, out.count)).size).toBe(out.count);
    expect(out.values[0]).toBe(1);
    const squares = out.values.subarray(1, out.count).reduce((sum, x) => sum + x * x, 0);
    expect(out.squares).toBeCloseTo(squares, 12);
  });

  it('buildFeatures: the same list without names, and after a list of another person', () => {
    const [expected] = build(FULL, { device: 'ios' });
    const out = new FeatureVector();
    buildFeatures(CATALOG, scopeOf({ hour: 3 }), 1, 2, { x: 1, y: 'z' }, out, null);
    buildFeatures(CATALOG, scopeOf(FULL), 777, 0, { device: 'ios' }, out, null);
    expect(out.count).toBe(expected.count);
    expect(out.squares).toBe(expected.squares);
    expect([...out.hashes.subarray(0, out.count)]).toEqual([...expected.hashes.subarray(0, out.count)]);
    expect([...out.values.subarray(0, out.count)]).toEqual([...expected.values.subarray(0, out.count)]);
  });

  it('buildFeatures: a protected or sensitive trait changes nothing, nor does context of its name', () => {
    const [expected, names] = build(FULL);
    for (const [income, phone] of [
      [1, 'a'],
      [99, 'b'],
    ] as const) {
      const person = { ...FULL, values: { ...FULL.values, 3: income, 4: phone } };
      const [out] = build(person, { income, phone });
      expect([...out.hashes]).toEqual([...expected.hashes]);
      expect([...out.values]).toEqual([...expected.values]);
    }
    expect(names.join()).not.toMatch(/income|phone/);
  });

  it('buildFeatures: bias, hour, weekday and counters when the person is new', () => {
    const [, names] = build({}, null, CATALOG, 0, 0);
    expect(names).toEqual([
      'bias',
      'now.hour = 12',
      'now.weekday = Monday',
      'count(purchase, 30d) = 0',
      'lastSeen(purchase) never',
      'lastSeen(view) never',
      'sum(purchase, revenueMinor, 7d) = 0',
    ]);
  });

  it('buildFeatures: eight buckets between min and max, clamped outside, and the linear value', () => {
    const seen = new Set<number>();
    for (let age = 0; age <= 80; age += 1) {
      const built = build({ values: { 0: age } });
      const at = built[1].indexOf('profile.age (linear)');
      expect(built[0].values[at]).toBeCloseTo(age / 40 - 1, 12);
      seen.add(built[0].hashes[at - 1] as number); // at > 0
    }
    expect(seen.size).toBe(8);
    expect(build({ values: { 0: -5 } })[1]).toContain('profile.age from 0 to 10');
    expect(build({ values: { 0: 80 } })[1]).toContain('profile.age from 70 to 80');
    expect(build({ values: { 0: 500 } })[1]).toContain('profile.age from 70 to 80');
  });

  it('buildFeatures: an enum keeps its hash when its values are declared in another order', () => {
    const reordered = catalogOf([trait(2, 'loyalty', 'enum', { values: ['gold', 'none', 'silver'] })], []);
    const gold = hashOf(build({ values: { 2: 0 } }, null, reordered), 'profile.loyalty = gold');
    expect(gold).toBe(hashOf(build(FULL), 'profile.loyalty = gold'));
  });

  it('buildFeatures: trait, context and their values never share a hash by name', () => {
    const built = build(FULL, { city: 'Beijing', isMember: true, loyalty: 'gold' });
    expect(hashOf(built, 'profile.city = Beijing')).not.toBe(hashOf(built, 'context.city = Beijing'));
    expect(hashOf(built, 'profile.isMember = true')).not.toBe(hashOf(built, 'context.isMember = true'));
    const other = build(FULL, { city: 'Xian' });
    expect(hashOf(built, 'context.city = Beijing')).not.toBe(hashOf(other, 'context.city = Xian'));
  });

  it('buildFeatures: null, nested, NaN and infinite values are no features', () => {
    const context = { a: null, b: { c: 1 }, d: [1], e: NaN, f: Infinity };
    expect(build({ values: { 0: NaN, 2: 7, 6: Infinity, 1: 5 } }, context)[1]).toEqual(build({})[1]);
  });

  it('buildFeatures: at most FEATURES_MAX, the context dropped first and names in step', () => {
    const context: Record<string, number> = {};
    for (let i = 0; i < 200; i += 1) context[`key${i}`] = i;
    const [out, names] = build(FULL, context);
    expect(out.count).toBe(FEATURES_MAX);
    expect(names).toHaveLength(FEATURES_MAX);
    expect(names).toContain('profile.timeZone = Asia/Shanghai');
    const many = catalogOf(
      Array.from({ length: 100 }, (_, i) => trait(i, `t${i}`, 'boolean')),
      [],
    );
    const values = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [i, 1]));
    expect(build({ values }, { x: 1 }, many)[0].count).toBe(FEATURES_MAX);
  });

  it('FeatureVector: refuses a value that is not finite and a 65th feature, and stays as it was', () => {
    const out = new FeatureVector();
    expect(out.add(1, NaN)).toBe(false);
    expect(out.add(1, Infinity)).toBe(false);
    expect([out.count, out.squares]).toEqual([1, 0]);
    while (out.add(out.count, 2));
    expect([out.count, out.squares]).toEqual([FEATURES_MAX, 4 * (FEATURES_MAX - 1)]);
  });

  it.each([
    [0, 0],
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 3],
    [16382, 14],
    [16383, 15],
    [1e9, 15],
    [-1, 0],
    [NaN, 0],
  ])('countBucket: %d is in bucket %d', (count, bucket) => {
    expect(countBucket(count)).toBe(bucket);
  });

  it.each([
    [0, 0],
    [59, 0],
    [60, 1],
    [239, 1],
    [240, 2],
    [86_400, 6],
    [400 * 86_400, 10],
    [5e11, 10],
    [1e12, 15],
    [NaN, 15],
    [-1, 0],
  ])('recencyBucket: %d seconds are in bucket %d', (seconds, bucket) => {
    expect(recencyBucket(seconds)).toBe(bucket);
  });

  it('octaveBucket: x and 2x are one apart on both sides of every seam, and the sign is kept', () => {
    const finite = fc.double({ min: 1e-15, max: 1e15, noNaN: true });
    fc.assert(
      fc.property(finite, (x) => {
        expect(octaveBucket(2 * x) - octaveBucket(x)).toBe(1);
        expect(octaveBucket(-x)).toBe(-octaveBucket(x));
        const lower = 2 ** (octaveBucket(x) - 200);
        expect(x >= lower && x < 2 * lower).toBe(true);
      }),
    );
    expect(octaveBucket(0)).toBe(0);
    expect(octaveBucket(1e300)).toBe(264);
    expect(octaveBucket(5e-324)).toBe(136);
  });

  it('mixHash: few collisions among 300 x 300 small numbers, and not symmetric', () => {
    const seen = new Set<number>();
    for (let a = 0; a < 300; a += 1) for (let b = 0; b < 300; b += 1) seen.add(mixHash(a, b));
    // Expected collisions of 90,000 random 32-bit numbers: 0.94; more than 10 has p < 1e-7.
    expect(seen.size).toBeGreaterThanOrEqual(89_990);
    expect(mixHash(1, 2)).not.toBe(mixHash(2, 1));
  });
});
