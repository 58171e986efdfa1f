/**
 * The catalog the decision functions see, built from a checked file: names become indices, durations
 * milliseconds, rules functions, and what the file leaves out gets its default. Runs once in every
 * worker for each catalog version; the result is never changed.
 */
import type { Action, Cap, Catalog, Channel, MomentKind, Product, Slot, TraitSpec } from '../../decision/catalog.ts';
import { MOMENT } from '../../decision/catalog.ts';
import type { Rule } from '../../decision/rule.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import {
  type CatalogSource,
  loadCatalogText,
  type RuleSetting,
  ruleSettingOf,
  timeZoneTraitOf,
} from './catalog-file.ts';
import type { CapFile, CatalogFile } from './catalog-schema.ts';
import { parseCapPeriod, parseDurationMillis, parseQuietHours } from './durations.ts';

/** What holds when the file does not say. */
const CATALOG_DEFAULTS = {
  explorationProbability: 0.02,
  holdoutProbability: 0,
  rewardWindow: '7d',
  leaseMillis: 120_000,
  quoteTtlMillis: 900_000,
  lever: 1,
  capOn: 'decision',
} as const;

/**
 * Checks and compiles a catalog's text.
 * @param fileName for messages only.
 * @throws CatalogError (`CATALOG_INVALID`).
 */
export function compileCatalog(text: string, fileName: string): Catalog {
  return compileCatalogSource(loadCatalogText(text, fileName));
}

/**
 * Compiles what `loadCatalogText` has accepted, in this thread or another. Does not fail, and blocks the
 * thread for some 40 to 200 µs an action, the more the colder the code.
 */
export function compileCatalogSource({ file, version }: CatalogSource): Catalog {
  const setting = ruleSettingOf(file);
  const { counters } = setting;
  const traits = [...setting.traits.values()].map(sound);
  const channels = Object.entries(file.channels).map(([key, channel], index) => compileChannel(key, channel, index));
  const channelByKey = new Map(channels.map((channel) => [channel.key, channel]));
  const slots = Object.entries(file.slots ?? {}).map(
    ([key, slot], index): Slot => ({ index, key, hash: hashOf(key), channels: indicesOf(slot.channels, channelByKey) }),
  );
  const slotByKey = new Map(slots.map((slot) => [slot.key, slot]));
  const products = (file.products ?? []).map((product, index) => compileProduct(product, file.currency, index));
  const actions = file.actions.map((action, index) => compileAction(action, index, setting, channelByKey, slotByKey));
  const actionByKey = new Map(actions.map((action) => [action.key, action]));
  const decision = file.decision ?? {};
  return {
    version,
    versionHash: Number.parseInt(version.slice(0, 8), 16),
    name: file.name,
    currency: file.currency,
    timeZone: file.timeZone,
    decision: {
      explorationProbability: decision.explorationProbability ?? CATALOG_DEFAULTS.explorationProbability,
      holdoutProbability: decision.holdoutProbability ?? CATALOG_DEFAULTS.holdoutProbability,
      rewardWindowMillis: sound(parseDurationMillis(decision.rewardWindow ?? CATALOG_DEFAULTS.rewardWindow)),
      leaseMillis: decision.leaseMillis ?? CATALOG_DEFAULTS.leaseMillis,
      fallbackAction: decision.fallback === undefined ? -1 : sound(actionByKey.get(decision.fallback)).index,
    },
    keepsAdditionalTraits: file.profile?.additionalTraits === 'keep',
    traits,
    traitSchemaHash: traitSchemaHash(traits),
    channels,
    slots,
    products,
    actions,
    counters: counters.counters,
    retentions: counters.retentions(),
    timeZoneTrait: timeZoneTraitOf(setting.traits),
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
    caps: (channel.caps ?? []).map(compileCap),
  };
}

function compileProduct(
  product: NonNullable<CatalogFile['products']>[number],
  currency: string,
  index: number,
): Product {
  return {
    index,
    sku: product.sku,
    hash: hashOf(product.sku),
    currency,
    listMinor: product.listMinor,
    floorMinor: product.floorMinor,
    ceilingMinor: product.ceilingMinor,
    costMinor: product.costMinor,
    stepMinor: product.stepMinor,
    stock: product.stock ?? null,
    quoteTtlMillis: product.quoteTtlMillis ?? CATALOG_DEFAULTS.quoteTtlMillis,
  };
}

function compileAction(
  action: CatalogFile['actions'][number],
  index: number,
  setting: RuleSetting,
  channels: ReadonlyMap<string, Channel>,
  slots: ReadonlyMap<string, Slot>,
): Action {
  const ruleOf = (source: string): Rule => setting.rules.compile(sound(setting.rules.check(source).rule));
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
    budgetMinor: action.budgetMinor ?? null,
    creatives: action.creatives ?? [],
  };
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
