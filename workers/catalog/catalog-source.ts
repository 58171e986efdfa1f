/**
 * A catalog that has passed every check, as plain data, and the catalog the decision functions see, built
 * from it: names become indices, durations milliseconds, rules functions, and what the file leaves out
 * gets its default. Compiled once in every worker for each version; the result is never changed.
 *
 *     catalog-file.ts: text ─▶ CatalogSource ─postMessage─▶ compileCatalogSource ─▶ Catalog
 *
 * Rules are in it as checked trees, so that this file needs no YAML, no schema and no CEL: loading those
 * took a worker longer than everything else between its start and its first decision.
 */

import type {
  Action,
  Cap,
  Catalog,
  Channel,
  EventCounter,
  EventRetention,
  Fatigue,
  FeedCeiling,
  MomentKind,
  Product,
  ProductPromotion,
  Slot,
  TraitSpec,
  ValueReading,
} from '../../decision/catalog.ts';
import { MOMENT } from '../../decision/catalog.ts';
import { type ConsentRules, categoryPurpose, consentRules } from '../../decision/consent.ts';
import { parseQuietHours } from '../../decision/contact-policy.ts';
import type { DemandInput } from '../../decision/demand-inputs.ts';
import type { Rule } from '../../decision/rule.ts';
import { USUAL_FEED } from '../../decision/usual-feed.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import type { CapFile, CatalogFile, DemandInputFile, FatigueFile, PromotionFile } from './catalog-schema.ts';
import { compileCleaning, compileQuality } from './compile-cleaning.ts';
import { compileDevice } from './compile-device.ts';
import { compileFeeds, feedCellOf, feedsHash, usualEveryMillis } from './compile-feeds.ts';
import { compileIdentity } from './compile-identity.ts';
import { compileJourneys } from './compile-journeys.ts';
import { compileTags, tagsHash } from './compile-tags.ts';
import { parseCapPeriod, parseDurationMillis, parseInstantMillis } from './durations.ts';
import { type ZoneOf, zoneReader } from './rule-explanation.ts';
import { compileRule } from './rule-function.ts';
import type { ReadNames } from './rule-reads.ts';
import type { Expression } from './rule-syntax.ts';

/** A valid catalog as plain, cloneable data: what the main thread posts to its workers. */
export interface CatalogSource {
  /** Name for messages: the last part of the path. */
  readonly fileName: string;
  readonly text: string;
  /** First 12 hex digits of the SHA-256 of `text` in UTF-8. */
  readonly version: string;
  /** What `text` says, checked. */
  readonly file: CatalogFile;
  /** Declared traits, in the order of the file. */
  readonly traits: readonly TraitSpec[];
  /** Every rule of the file, by its text. */
  readonly rules: ReadonlyMap<string, Expression>;
  /** The event counters of all rules, and how long each event must be remembered for them. */
  readonly counters: readonly EventCounter[];
  readonly retentions: ReadonlyMap<number, EventRetention>;
  /** So many of the counters are features. */
  readonly featureCounters: number;
  readonly valueReadings: readonly ValueReading[];
}

const DAY_MILLIS = 86_400_000;
/** What holds when the file does not say. */
const CATALOG_DEFAULTS = {
  strategy: 'thompson',
  explorationProbability: 0.02,
  holdoutProbability: 0,
  rewardWindow: '7d',
  leaseMillis: 120_000,
  quoteTtlMillis: 900_000,
  sendWithin: '1d',
  waitingLossPerDay: 0.05,
  lever: 1,
  capOn: 'decision',
  /** Of what was learnt of a product's demand. */
  memory: '60d',
} as const;

/**
 * Compiles what `loadCatalogText` has accepted, in this thread or another. Does not fail.
 */
export function compileCatalogSource(source: CatalogSource): Catalog {
  const { file, version, traits } = source;
  const timeZoneTrait = timeZoneTraitOf(traits);
  const ruleOf = ruleReader(source.rules, zoneReader(timeZoneTrait, file.timeZone), {
    ...{ counters: source.counters, valueReadings: source.valueReadings },
    tags: Object.keys(file.profile?.tags ?? {}),
    journeys: Object.keys(file.journeys ?? {}),
    feeds: Object.keys(file.feeds ?? {}),
  });
  const channels = Object.entries(file.channels).map(([key, channel], index) => compileChannel(key, channel, index));
  const channelByKey = new Map(channels.map((channel) => [channel.key, channel]));
  const slots = Object.entries(file.slots ?? {}).map(
    ([key, slot], index): Slot => ({ index, key, hash: hashOf(key), channels: indicesOf(slot.channels, channelByKey) }),
  );
  const slotByKey = new Map(slots.map((slot) => [slot.key, slot]));
  const products = (file.products ?? []).map((product, index) => compileProduct(product, file, index, ruleOf));
  const actions = file.actions.map((action, index) => compileAction(action, index, ruleOf, channelByKey, slotByKey));
  const actionByKey = new Map(actions.map((action) => [action.key, action]));
  const decision = file.decision ?? {};
  const tags = compileTags({ ...source, ruleOf });
  const feeds = compileFeeds(source);
  const journeys = compileJourneys({ ...source, tags, actions, channels, ruleOf });
  return {
    version,
    versionHash: Number.parseInt(version.slice(0, 8), 16),
    name: file.name,
    currency: file.currency,
    timeZone: file.timeZone,
    decision: {
      strategy: decision.strategy ?? CATALOG_DEFAULTS.strategy,
      explorationProbability: decision.explorationProbability ?? CATALOG_DEFAULTS.explorationProbability,
      holdoutProbability: decision.holdoutProbability ?? CATALOG_DEFAULTS.holdoutProbability,
      rewardWindowMillis: sound(parseDurationMillis(decision.rewardWindow ?? CATALOG_DEFAULTS.rewardWindow)),
      leaseMillis: decision.leaseMillis ?? CATALOG_DEFAULTS.leaseMillis,
      fallbackAction: decision.fallback === undefined ? -1 : sound(actionByKey.get(decision.fallback)).index,
      diversity: compileFatigue(decision.diversity),
    },
    keepsAdditionalTraits: file.profile?.additionalTraits === 'keep',
    traits,
    traitSchemaHash: traitSchemaHash(traits),
    channels,
    slots,
    products,
    actions,
    counters: source.counters,
    retentions: source.retentions,
    consent: compileConsent(file, traits, channels),
    featureCounters: source.featureCounters,
    valueReadings: source.valueReadings,
    tags,
    tagsHash: tagsHash(source),
    journeys,
    suspicions: tags.filter(({ isSuspicion }) => isSuspicion).map(({ index }) => index),
    feeds,
    feedsHash: feedsHash(file),
    cleaning: compileCleaning(file, traits, ruleOf),
    quality: compileQuality(file, traits),
    travel: file.abuse?.travel ?? null,
    device: compileDevice(file),
    usualFeed: feeds.findIndex(({ name }) => name === USUAL_FEED),
    usualEveryMillis: usualEveryMillis(file),
    identity: compileIdentity(file),
    tagByKey: new Map(tags.map((tag) => [tag.key, tag])),
    tagByHash: new Map(tags.map((tag) => [tag.hash, tag])),
    journeyByHash: new Map(journeys.map((journey) => [journey.hash, journey])),
    timeZoneTrait,
    traitByName: new Map(traits.map((trait) => [trait.name, trait])),
    channelByKey,
    slotByKey,
    productBySku: new Map(products.map((product) => [product.sku, product])),
    actionByKey,
    actionByHash: new Map(actions.map((action) => [action.hash, action])),
    channelByHash: new Map(channels.map((channel) => [channel.hash, channel])),
    productByHash: new Map(products.map((product) => [product.hash, product])),
  };
}

function compileChannel(key: string, channel: CatalogFile['channels'][string], index: number): Channel {
  return {
    index,
    key,
    hash: hashOf(key),
    costMinor: channel.costMinor ?? 0,
    quietHours: channel.quietHours === undefined ? null : sound(parseQuietHours(channel.quietHours)),
    sendWithinMillis: sound(parseDurationMillis(channel.sendWithin ?? CATALOG_DEFAULTS.sendWithin)),
    waitingLossPerDay: channel.waitingLossPerDay ?? CATALOG_DEFAULTS.waitingLossPerDay,
    caps: (channel.caps ?? []).map(compileCap),
    fatigue: compileFatigue(channel.fatigue),
    maturity: channel.maturity ?? null,
  };
}

/** What the check has made sure of: names that exist, and an age that is a number. */
function compileConsent(file: CatalogFile, traits: readonly TraitSpec[], channels: readonly Channel[]): ConsentRules {
  const { minorAge = null, ageTrait = 'age', purposes = {}, signals, tcfVendor = null } = file.consent ?? {};
  const ofTrait = new Map<string, string>();
  for (const [name, { purpose, category }] of Object.entries(file.profile?.traits ?? {})) {
    if (category !== undefined) ofTrait.set(name, categoryPurpose(category));
    else if (purpose !== undefined) ofTrait.set(name, purpose);
  }
  const declaration = {
    minorAge,
    ageTrait: traits.find(({ name }) => name === ageTrait)?.index ?? -1,
    defaults: new Map(Object.entries(purposes).map(([name, purpose]) => [name, purpose.default === 'granted'])),
    ofTrait,
    signals: signals === undefined ? null : new Map(Object.entries(signals)),
    tcfVendor,
  };
  return consentRules(declaration, traits, channels, hashOf);
}

function compileFatigue(fatigue: FatigueFile | undefined): Fatigue | null {
  if (fatigue === undefined) return null;
  return { chargeMinor: fatigue.chargeMinor, halfLifeMillis: sound(parseDurationMillis(fatigue.halfLife)) };
}

function compileProduct(
  product: NonNullable<CatalogFile['products']>[number],
  file: CatalogFile,
  index: number,
  ruleOf: (text: string) => Rule,
): Product {
  return {
    index,
    sku: product.sku,
    hash: hashOf(product.sku),
    currency: file.currency,
    listMinor: product.listMinor,
    floorMinor: product.floorMinor,
    ceilingMinor: product.ceilingMinor,
    costMinor: product.costMinor,
    stepMinor: product.stepMinor,
    endingsMinor: product.endingsMinor ?? [],
    marginBasisPointsMin: product.marginBasisPointsMin ?? 0,
    isCappedAtList: product.listCap ?? false,
    changeBasisPointsMax: product.changeBasisPointsMax ?? null,
    referenceBasisPointsMax: product.referenceBasisPointsMax ?? null,
    memoryDays: sound(parseDurationMillis(product.memory ?? CATALOG_DEFAULTS.memory)) / DAY_MILLIS,
    stock: product.stock ?? null,
    sellByEpochMillis: product.sellBy === undefined ? null : sound(parseInstantMillis(product.sellBy)),
    salvageMinor: product.salvageMinor ?? 0,
    promotions: (product.promotions ?? []).map(compilePromotion),
    // None but where prices may be personal: the check has made sure.
    personalDiscounts: (product.personalDiscounts ?? []).map(({ when, basisPoints }) => ({
      when: ruleOf(when),
      basisPoints,
    })),
    groupGapBasisPointsMax: product.groupGapBasisPointsMax ?? 0,
    demandInputs: (product.demandInputs ?? []).map((input) => compileDemandInput(input, product.sku, file)),
    ceilingFrom: compileCeiling(product, file),
    demandInputsHash: hashOf(`${product.sku} ${JSON.stringify(product.demandInputs ?? [])}`),
    quoteTtlMillis: product.quoteTtlMillis ?? CATALOG_DEFAULTS.quoteTtlMillis,
  };
}

function compileCeiling(
  { sku, ceilingFrom }: NonNullable<CatalogFile['products']>[number],
  file: CatalogFile,
): FeedCeiling | null {
  if (ceilingFrom === undefined) return null;
  return { ...feedCellOf(ceilingFrom.feed, sku, file), basisPoints: ceilingFrom.basisPoints ?? 0 };
}

function compileDemandInput(
  { context, feed, usualMinor, mean, scale, product, hour }: DemandInputFile,
  sku: string,
  file: CatalogFile,
): DemandInput {
  if (product !== undefined) {
    const { listMinor } = sound(file.products?.find(({ sku }) => sku === product));
    return { kind: 'product', skuHash: hashOf(product), listMinor };
  }
  if (hour !== undefined) return { kind: 'hour', isCosine: hour === 'cosine' };
  const from = feed === undefined ? { context: sound(context) } : feedCellOf(feed, sku, file);
  if (usualMinor !== undefined) return { kind: 'price', from, usualMinor };
  return { kind: 'number', from, mean: sound(mean), scale: sound(scale) };
}

function compilePromotion(promotion: PromotionFile): ProductPromotion {
  const { key, percentageBasisPoints, amountMinor, buy, free, bundleSku, bundleMinor } = promotion;
  if (percentageBasisPoints !== undefined)
    return { key, offer: { kind: 'percentage', basisPoints: percentageBasisPoints } };
  if (amountMinor !== undefined) return { key, offer: { kind: 'amount', amountMinor } };
  if (buy !== undefined) return { key, offer: { kind: 'buyGet', buy, free: sound(free) } };
  return { key, offer: { kind: 'bundle', bundleMinor: sound(bundleMinor), otherHash: hashOf(sound(bundleSku)) } };
}

function compileAction(
  action: CatalogFile['actions'][number],
  index: number,
  ruleOf: (text: string) => Rule,
  channels: ReadonlyMap<string, Channel>,
  slots: ReadonlyMap<string, Slot>,
): Action {
  return {
    index,
    key: action.key,
    hash: hashOf(action.key),
    category: action.category ?? null,
    categoryHash: action.category === undefined ? 0 : hashOf(action.category),
    channels: indicesOf(action.channels, channels),
    slots: indicesOf(action.slots ?? [], slots),
    valueMinor: action.valueMinor,
    costMinor: action.costMinor ?? 0,
    lever: action.lever ?? CATALOG_DEFAULTS.lever,
    eligibility: action.eligibility === undefined ? null : ruleOf(action.eligibility),
    contextWeights: (action.contextWeights ?? []).map(({ when, weight }) => ({ when: ruleOf(when), weight })),
    caps: (action.caps ?? []).map(compileCap),
    fatigue: compileFatigue(action.fatigue),
    budgetMinor: action.budgetMinor ?? null,
    creatives: action.creatives ?? [],
  };
}

/** The same text is compiled once. */
function ruleReader(expressions: CatalogSource['rules'], zoneOf: ZoneOf, names: ReadNames): (text: string) => Rule {
  const compiled = new Map<string, Rule>();
  return (text) => {
    const rule = compiled.get(text) ?? compileRule(text, sound(expressions.get(text)), zoneOf, names);
    compiled.set(text, rule);
    return rule;
  };
}

/** Index of the trait that holds the person's zone, or -1. */
function timeZoneTraitOf(traits: readonly TraitSpec[]): number {
  return traits.find((trait) => trait.type === 'timeZone')?.index ?? -1;
}

function compileCap(cap: CapFile): Cap {
  const on = cap.on ?? CATALOG_DEFAULTS.capOn;
  const moment: MomentKind = MOMENT[on];
  return {
    count: cap.count,
    period: sound(parseCapPeriod(cap.per)),
    on: moment,
    text: `${cap.count} per ${cap.per} on ${on}`,
  };
}

/** Two catalogs whose traits are declared alike, in the same order, have the same hash. */
function traitSchemaHash(traits: readonly TraitSpec[]): number {
  const declared = traits.map(({ name, type, min, max, values, isProtected, isSensitive }) => [
    name,
    type,
    min,
    max,
    values,
    isProtected,
    isSensitive,
  ]);
  return hashOf(JSON.stringify(declared));
}

function hashOf(text: string): number {
  return murmur3Text(text, 0);
}

function indicesOf(keys: readonly string[], byKey: ReadonlyMap<string, { readonly index: number }>): readonly number[] {
  return keys.map((key) => sound(byKey.get(key)).index);
}

/** What the check has made sure of; anything else is our bug. */
function sound<Value>(value: Value | null | undefined): Value {
  if (value === null || value === undefined)
    throw new Error('the catalog check let an unresolved name or value through');
  return value;
}
