/**
 * What the response model knows about one person at one instant: a short list of (32-bit hash, value).
 *
 * A feature is a hash of what it says ("profile.loyalty is gold"), never a position, so a new trait, a
 * new value or a new catalog needs no retraining. Categories are one-hot; numbers are one-hot by bucket
 * (the model is linear, so a bucket is how it learns a curve) plus, where a scale is known, one linear
 * feature in [-1, 1]. Protected and sensitive traits are never features, nor is a context value that
 * carries the name of one: `compile` is the only door, so a test of it is a test of the promise.
 *
 * Order is priority: past FEATURES_MAX the rest is dropped, the caller's context first. Same input,
 * same list, bit for bit. After the first call for a catalog nothing is allocated (unless names are asked).
 */
import type { Properties } from '../proto/messages.ts';
import { murmur3Text } from '../proto/murmur3.ts';
import type { Catalog, EventCounter, TraitSpec } from './catalog.ts';
import { NO_FEATURE } from './facts.ts';
import type { FeedField, FeedType } from './feed-table.ts';
import { naturalLogarithm } from './normal.ts';
import type { RuleScope } from './rule.ts';

export const FEATURES_MAX = 64;
/** Largest size of a value: the squares of a whole list stay finite. What `buildFeatures` adds is at most 1. */
const VALUE_MAX = 1e100;
/** `counterLastSeenSeconds` at or above this means never. */
const NEVER_SECONDS = 1e12;
const BUCKET_COUNT = 8;
const DAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'] as const;

/** Keeps apart what would hash alike: a trait and a context key of the same name, a bucket and a value. */
export const FEATURE_KIND = {
  bias: 0x5851f42d,
  trait: 0x3c6ef372,
  linear: 0x1f83d9ab,
  count: 0x510e527f,
  recency: 0x6a09e667,
  context: 0x71374491,
  contextLinear: 0x428a2f98,
  hour: 0x59f111f1,
  weekday: 0x12835b01,
  slot: 0x243185be,
  sku: 0x550c7dc3,
  tag: 0x72be5d74,
  feed: 0x7c3a9b21,
} as const;

/**
 * Mixes two 32-bit numbers into one, every input bit reaching every output bit; not a secret function.
 * Returns an unsigned 32-bit number. Cost: about 2 ns.
 */
export function mixHash(a: number, b: number): number {
  let h = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(b, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 15) ^ Math.imul(b ^ 0x27d4eb2f, 0x165667b1), 0x2c1b3c6d);
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39);
  return (h ^ (h >>> 15)) >>> 0;
}

/** Of feature 0, which every person has. */
export const BIAS_HASH = mixHash(FEATURE_KIND.bias, 0);

/**
 * A reusable list of features; feature 0 is always the bias (value 1).
 * `squares` is the sum of the squared values of all features but the bias: the model divides by its root
 * so that its prior does not widen with the length of the list.
 */
export class FeatureVector {
  count = 1;
  squares = 0;
  readonly hashes: Uint32Array = new Uint32Array(FEATURES_MAX);
  readonly values: Float64Array = new Float64Array(FEATURES_MAX);

  constructor() {
    this.reset();
  }

  /** Empties the list down to the bias. */
  reset(): void {
    this.hashes[0] = BIAS_HASH;
    this.values[0] = 1;
    this.count = 1;
    this.squares = 0;
  }

  /** Appends a feature. False, and nothing added, when the list is full or the value is NaN or beyond VALUE_MAX. */
  add(hash: number, value: number): boolean {
    if (this.count >= FEATURES_MAX || !(value >= -VALUE_MAX && value <= VALUE_MAX)) return false;
    this.hashes[this.count] = hash;
    this.values[this.count] = value;
    this.count += 1;
    this.squares += value * value;
    return true;
  }
}

interface NumberFeature {
  readonly min: number | null;
  readonly max: number | null;
  readonly hash: number;
  readonly linearHash: number;
  /** Hashes of an enum's values, of the two booleans or of the eight buckets, by position. */
  readonly valueHashes: Uint32Array;
}

export interface TraitFeature extends NumberFeature {
  readonly spec: TraitSpec;
}

interface CounterFeature {
  readonly spec: EventCounter;
  /** One-hot of the window's count, 0 for a `lastSeen` counter. */
  readonly countHash: number;
  /** One-hot of the recency, only for the first counter of each event; else 0. */
  readonly recencyHash: number;
}

interface TagFeature {
  readonly tag: number;
  readonly key: string;
  readonly hash: number;
}

interface FeedFeature {
  readonly feed: number;
  readonly field: number;
  readonly type: FeedType;
  readonly name: string;
  readonly keyOf: (scope: RuleScope) => string | undefined;
  /** Hashes of the values of a text. */
  readonly ofText: ReadonlyMap<string, number>;
  readonly number: NumberFeature;
}

interface FeaturePlan {
  readonly traits: readonly TraitFeature[];
  readonly feeds: readonly FeedFeature[];
  readonly counters: readonly CounterFeature[];
  readonly tags: readonly TagFeature[];
  /** Names of protected and sensitive traits: refused as context keys as well. */
  readonly withheld: ReadonlySet<string>;
}

const plans = new WeakMap<Catalog, FeaturePlan>();
let lastCatalog: Catalog | null = null;
let lastPlan: FeaturePlan | null = null;

function compile(catalog: Catalog): FeaturePlan {
  const withheld = new Set<string>();
  const traits: TraitFeature[] = [];
  for (const spec of catalog.traits) {
    if (spec.isProtected || spec.isSensitive) {
      withheld.add(spec.name);
      continue;
    }
    if (spec.isFact && spec.name === NO_FEATURE) continue;
    const hash = mixHash(FEATURE_KIND.trait, spec.hash);
    // An enum's value is hashed by its text: reordering the declaration must not swap what was learnt.
    const valueHashes =
      spec.type === 'enum'
        ? Uint32Array.from(spec.values, (value) => mixHash(hash, murmur3Text(value, 0)))
        : Uint32Array.from({ length: BUCKET_COUNT }, (_, bucket) => mixHash(hash, bucket));
    const { min, max } = spec;
    traits.push({ spec, min, max, hash, linearHash: mixHash(FEATURE_KIND.linear, spec.hash), valueHashes });
  }
  const seen = new Set<number>();
  const counters: CounterFeature[] = [];
  for (const spec of catalog.counters.slice(0, catalog.featureCounters)) {
    const window = murmur3Text(`${spec.property ?? ''}/${spec.windowMillis}`, 0);
    counters.push({
      spec,
      countHash: spec.windowMillis === Infinity ? 0 : mixHash(mixHash(FEATURE_KIND.count, spec.eventHash), window),
      recencyHash: seen.has(spec.eventHash) ? 0 : mixHash(FEATURE_KIND.recency, spec.eventHash),
    });
    seen.add(spec.eventHash);
  }
  const tags = catalog.tags
    .filter(({ isFeature }) => isFeature)
    .map(({ index, key, hash }) => ({ tag: index, key, hash: mixHash(FEATURE_KIND.tag, hash) }));
  return { traits, feeds: feedFeatures(catalog), counters, tags, withheld };
}

function feedFeatures({ feeds }: Catalog): FeedFeature[] {
  return feeds.flatMap(({ name: feedName, fields, features, keyOf }, feed) => {
    if (keyOf === null) return [];
    return features.map((field): FeedFeature => {
      const { name: fieldName, type, min, max, values } = fields[field] as FeedField; // an index of its own fields
      const name = `${feedName}.${fieldName}`;
      const hash = mixHash(FEATURE_KIND.feed, murmur3Text(name, 0));
      // As of an enum, by its text.
      const ofText = new Map(values.map((value) => [value, mixHash(hash, murmur3Text(value, 0))]));
      const valueHashes = Uint32Array.from({ length: BUCKET_COUNT }, (_, bucket) => mixHash(hash, bucket));
      const linearHash = mixHash(FEATURE_KIND.linear, hash);
      return { feed, field, type, name, keyOf, ofText, number: { min, max, hash, linearHash, valueHashes } };
    });
  });
}

/** What features a catalog can give. */
export function featurePlan(catalog: Catalog): FeaturePlan {
  if (catalog === lastCatalog && lastPlan !== null) return lastPlan;
  let plan = plans.get(catalog);
  if (plan === undefined) {
    plan = compile(catalog);
    plans.set(catalog, plan);
  }
  lastCatalog = catalog;
  lastPlan = plan;
  return plan;
}

/**
 * Bucket of a number of unknown scale: sign and octave (0; 1 to 2; 2 to 4; ... and 1/2 to 1 as well).
 * Thirty-bit integers take the short way; both give the same bucket.
 */
export function octaveBucket(x: number): number {
  const a = x < 0 ? -x : x;
  if (a === 0) return 0;
  let octave = 0;
  if (a >= 1 && a < 1073741824) {
    octave = 31 - Math.clz32(a);
  } else {
    let rest = a;
    while (rest >= 2 && octave < 64) {
      rest /= 2;
      octave += 1;
    }
    while (rest < 1 && octave > -64) {
      rest *= 2;
      octave -= 1;
    }
  }
  return x < 0 ? -(octave + 200) : octave + 200;
}

/** Every value of `octaveBucket`. */
export function octaveBuckets(): number[] {
  const buckets = [0];
  for (let octave = -64; octave <= 64; octave++) buckets.push(octave + 200, -(octave + 200));
  return buckets;
}

/** Of a string trait: hash of the feature that says its text. @param text its `textHash` */
export function textFeature(traitHash: number, text: number): number {
  return mixHash(traitHash, mixHash(text >>> 0, Math.floor(text / 4294967296)));
}

/** log2 bucket of a count: 0, 1, 2-3, 4-7, ... up to 15 for 16,383 and more. */
export function countBucket(count: number): number {
  if (!(count > 0)) return 0;
  return count >= 16383 ? 15 : 32 - Math.clz32(count);
}

/** Recency in factors of four: 0 under a minute, 1 under 4, 2 under 16 minutes, ... 10 over half a year, 15 never. */
export function recencyBucket(seconds: number): number {
  if (!(seconds < NEVER_SECONDS)) return 15;
  const minutes = seconds < 0 ? 0 : seconds / 60;
  if (minutes < 1) return 0;
  const bucket = ((31 - Math.clz32(minutes < 1073741824 ? minutes : 1073741823)) >> 1) + 1;
  return Math.min(bucket, 10);
}

/** Signed log scale into [-1, 1] for numbers of unknown range: 0 is 0, 1 is .09, 100 .58, 2,980 and more 1. */
function logScaled(x: number): number {
  const scaled = naturalLogarithm(1 + (x < 0 ? -x : x)) / 8;
  const bounded = Math.min(scaled, 1);
  return x < 0 ? -bounded : bounded;
}

function addTrait(trait: TraitFeature, scope: RuleScope, out: FeatureVector, names: string[] | null): void {
  const { spec } = trait;
  const { index, name } = spec;
  if (!scope.hasTrait(index)) return;
  if (spec.type === 'string' || spec.type === 'timeZone') {
    const text = scope.traitHash(index);
    if (!(text >= 0)) return;
    const added = out.add(textFeature(trait.hash, text), 1);
    if (added && names !== null) names.push(`profile.${name} = ${scope.traitText(index)}`);
    return;
  }
  const x = scope.traitNumber(index);
  if (!(x > -Infinity && x < Infinity)) return;
  if (spec.type === 'enum' || spec.type === 'boolean') {
    const hash = trait.valueHashes[x];
    if (hash === undefined || !out.add(hash, 1) || names === null) return;
    names.push(`profile.${name} = ${spec.type === 'enum' ? spec.values[x] : x === 1}`);
    return;
  }
  addNumber(trait, x, `profile.${name}`, out, names);
}

/** One bucket and, where a scale is known, one linear feature. @param x finite */
function addNumber(feature: NumberFeature, x: number, name: string, out: FeatureVector, names: string[] | null): void {
  const { min, max, hash } = feature;
  if (min === null || max === null || !(max > min)) {
    const bucket = octaveBucket(x);
    if (out.add(mixHash(hash, bucket), 1) && names !== null) names.push(`${name} ${octaveText(bucket)}`);
    return;
  }
  const share = (x - min) / (max - min);
  const bounded = Math.min(Math.max(share, 0), 1);
  const bucket = bounded === 1 ? BUCKET_COUNT - 1 : Math.floor(bounded * BUCKET_COUNT);
  const added = out.add(feature.valueHashes[bucket] as number, 1); // bucket < BUCKET_COUNT, the length
  if (added && names !== null) {
    const width = (max - min) / BUCKET_COUNT;
    names.push(`${name} from ${min + bucket * width} to ${min + (bucket + 1) * width}`);
  }
  if (out.add(feature.linearHash, 2 * bounded - 1) && names !== null) names.push(`${name} (linear)`);
}

function addFeed(feature: FeedFeature, scope: RuleScope, out: FeatureVector, names: string[] | null): void {
  const { feed, field, name, keyOf, number, type } = feature;
  const key = keyOf(scope);
  if (type === 'text') {
    const text = scope.feedText(feed, field, key);
    const hash = text === undefined ? undefined : feature.ofText.get(text);
    if (hash !== undefined && out.add(hash, 1) && names !== null) names.push(`feed ${name} = ${text}`);
    return;
  }
  const x = scope.feedNumber(feed, field, key);
  if (!(x > -Infinity && x < Infinity)) return;
  if (type === 'number') addNumber(number, x, `feed ${name}`, out, names);
  else if (out.add(number.valueHashes[x] as number, 1) && names !== null) names.push(`feed ${name} = ${x === 1}`); // 0 or 1
}

function octaveText(bucket: number): string {
  if (bucket === 0) return '= 0';
  const from = 2 ** ((bucket < 0 ? -bucket : bucket) - 200);
  return bucket < 0 ? `from -${2 * from} to -${from}` : `from ${from} to ${2 * from}`;
}

function addCounter(counter: CounterFeature, scope: RuleScope, out: FeatureVector, names: string[] | null): void {
  const { index, event, property, windowMillis } = counter.spec;
  if (counter.countHash !== 0) {
    // A summed property is money or weight of unknown scale; a count is a small integer.
    const bucket = property === null ? countBucket(scope.counterCount(index)) : octaveBucket(scope.counterSum(index));
    const added = out.add(mixHash(counter.countHash, bucket), 1);
    if (added && names !== null) {
      const days = `${windowMillis / 86_400_000}d`;
      const range = bucket === 0 ? '= 0' : `from ${2 ** (bucket - 1)}${bucket < 15 ? ` to ${2 ** bucket - 1}` : ''}`;
      names.push(
        property === null
          ? `count(${event}, ${days}) ${range}`
          : `sum(${event}, ${property}, ${days}) ${octaveText(bucket)}`,
      );
    }
  }
  if (counter.recencyHash === 0) return;
  const bucket = recencyBucket(scope.counterLastSeenSeconds(index));
  if (out.add(mixHash(counter.recencyHash, bucket), 1) && names !== null) {
    const from = bucket === 0 ? '' : ` from ${4 ** (bucket - 1)}`;
    names.push(
      `lastSeen(${event}) ${bucket === 15 ? 'never' : `${from.trim()}${bucket < 10 ? ` under ${4 ** bucket}` : ''} min`.trim()}`,
    );
  }
}

/** Hashes of the texts that contexts bring, which recur: emptied when full, so that hostile texts cost time, not memory. */
const TEXTS_MAX = 4096;
const TEXT_LENGTH_MAX = 64;
const keyHashes = new Map<string, number>();
const valueHashes = new Map<string, number>();

function recurringHash(known: Map<string, number>, text: string, seed: number): number {
  let hash = known.get(text);
  if (hash === undefined) {
    hash = murmur3Text(text, seed);
    if (text.length > TEXT_LENGTH_MAX) return hash;
    if (known.size >= TEXTS_MAX) known.clear();
    known.set(text, hash);
  }
  return hash;
}

function addContext(
  key: string,
  value: Properties[string] | undefined,
  out: FeatureVector,
  names: string[] | null,
): void {
  const kind = typeof value;
  if (kind !== 'string' && kind !== 'boolean' && kind !== 'number') return;
  const hash = mixHash(FEATURE_KIND.context, recurringHash(keyHashes, key, 0));
  let valueHash: number;
  if (kind === 'number') {
    const x = value as number; // typeof says so
    if (!(x > -Infinity && x < Infinity)) return;
    const bucket = octaveBucket(x);
    if (out.add(mixHash(hash, bucket), 1) && names !== null) names.push(`context.${key} ${octaveText(bucket)}`);
    if (out.add(mixHash(FEATURE_KIND.contextLinear, hash), logScaled(x)) && names !== null)
      names.push(`context.${key} (log)`);
    return;
  }
  if (kind === 'boolean') valueHash = value === true ? 0xa0000001 : 0xa0000000;
  else valueHash = recurringHash(valueHashes, value as string, 1); // typeof says so
  if (out.add(mixHash(hash, valueHash), 1) && names !== null) names.push(`context.${key} = ${value}`);
}

/**
 * Fills `out` with the features of one person at one instant, in this order: bias, slot, sku, local hour
 * (24), local weekday (7), declared traits, tags that are features, fields of feeds that are, the catalog's counters, the
 * request's context in its own key order (nested values and null are no features).
 *
 * @param scope the person, read only; about one call a trait and two a counter
 * @param slotHash, skuHash hash of the slot and product asked for, or 0 for none
 * @param out overwritten; at most FEATURES_MAX features, later ones dropped
 * @param names when given, emptied and filled with one text a feature, in the same order (for explain:
 *   allocates, and may read the cold record)
 * Draws taken: none. Cost: about 1 us for 30 features.
 */
export function buildFeatures(
  catalog: Catalog,
  scope: RuleScope,
  slotHash: number,
  skuHash: number,
  context: Properties | null,
  out: FeatureVector,
  names: string[] | null,
): void {
  const plan = featurePlan(catalog);
  out.reset();
  if (names !== null) {
    names.length = 0;
    names.push('bias');
  }
  if (slotHash !== 0 && out.add(mixHash(FEATURE_KIND.slot, slotHash), 1) && names !== null) {
    names.push(`slot = ${catalog.slots.find((slot) => slot.hash === slotHash)?.key ?? slotHash}`);
  }
  if (skuHash !== 0 && out.add(mixHash(FEATURE_KIND.sku, skuHash), 1) && names !== null) {
    names.push(`sku = ${catalog.productByHash.get(skuHash)?.sku ?? skuHash}`);
  }
  const hour = scope.nowHour();
  if (out.add(mixHash(FEATURE_KIND.hour, hour), 1) && names !== null) names.push(`now.hour = ${hour}`);
  const weekday = scope.nowWeekday();
  if (out.add(mixHash(FEATURE_KIND.weekday, weekday), 1) && names !== null)
    names.push(`now.weekday = ${DAYS[weekday]}`);
  for (let index = 0; index < plan.traits.length; index += 1) {
    addTrait(plan.traits[index] as TraitFeature, scope, out, names); // index < length
  }
  for (let index = 0; index < plan.tags.length; index += 1) {
    const { tag, key, hash } = plan.tags[index] as TagFeature; // index < length
    if (scope.holdsTag(tag) && out.add(hash, 1) && names !== null) names.push(`tag ${key}`);
  }
  for (let index = 0; index < plan.feeds.length; index += 1) {
    addFeed(plan.feeds[index] as FeedFeature, scope, out, names); // index < length
  }
  for (let index = 0; index < plan.counters.length; index += 1) {
    addCounter(plan.counters[index] as CounterFeature, scope, out, names); // index < length
  }
  if (context === null) return;
  for (const key in context) {
    if (out.count >= FEATURES_MAX) return;
    if (plan.withheld.has(key)) continue;
    addContext(key, context[key], out, names);
  }
}

/** The features of a request's context, each with its key: for naming them. */
export function contextFeatures(
  catalog: Catalog,
  context: Properties | null,
  visit: (hash: number, key: string) => void,
): void {
  const { withheld } = featurePlan(catalog);
  const out = new FeatureVector();
  for (const [key, value] of Object.entries(context ?? {})) {
    if (withheld.has(key)) continue;
    out.reset();
    addContext(key, value, out, null);
    for (let i = 1; i < out.count; i++) visit(out.hashes[i] as number, key); // i < count
  }
}
