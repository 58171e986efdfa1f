/**
 * What the shape cannot say: that names refer to something, that numbers agree with one another, that
 * rules compile. Works on the raw values and looks only at those of the right type, so that a file with
 * a wrong shape in one place is still checked everywhere else and all problems come out at once.
 */

import type { TraitType } from '../../decision/catalog.ts';
import { parseQuietHours, QUIET_HOURS_PATTERN } from '../../decision/contact-policy.ts';
import { SEND_HORIZON_MILLIS_MAX } from '../../decision/send-time.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import { CATALOG_LIMITS } from './catalog-limits.ts';
import type { CounterRegistry } from './counter-registry.ts';
import { checkAbuse, checkDuration } from './duration-check.ts';
import { INSTANT_PATTERN, parseDurationMillis, parseInstantMillis } from './durations.ts';
import { checkCell } from './feed-check.ts';
import { checkJourneys, journeyKeys } from './journey-check.ts';
import { isTimeZone } from './local-hour.ts';
import { nearestMatch } from './nearest-match.ts';
import { type FindingSink, hiddenTraits, listOf, mapOf, numberOf, type RawMap, textOf } from './raw-values.ts';
import type { RuleParser } from './rule-parser.ts';
import { checkTags } from './tag-check.ts';
import type { DocumentPath } from './yaml-source.ts';

export const TRAIT_TYPES: readonly string[] = [
  'integer',
  'number',
  'boolean',
  'string',
  'enum',
  'timeZone',
] satisfies TraitType[];

/** Reports everything about `root` that the shape check cannot see. */
export function checkCatalog(root: unknown, rules: RuleParser, counters: CounterRegistry, sink: FindingSink): void {
  const catalog = mapOf(root);
  const channels = Object.keys(mapOf(catalog.channels));
  const slots = mapOf(catalog.slots);
  checkHeader(catalog, sink);
  checkTraits(mapOf(mapOf(catalog.profile).traits), sink);
  checkFacts(mapOf(catalog.profile), sink);
  checkKeyTypes(catalog, sink);
  for (const [key, channel] of Object.entries(mapOf(catalog.channels)))
    checkChannel(['channels', key], mapOf(channel), sink);
  for (const [key, slot] of Object.entries(slots)) {
    checkNames(['slots', key, 'channels'], mapOf(slot).channels, channels, 'channel', sink);
  }
  checkCount(['channels'], channels.length, CATALOG_LIMITS.channelsMax, sink);
  checkCount(['slots'], Object.keys(slots).length, CATALOG_LIMITS.slotsMax, sink);
  const skus = listOf(catalog.products).map((product) => textOf(mapOf(product).sku));
  checkDistinct(skus, (index) => ['products', index, 'sku'], sink);
  for (const [index, product] of listOf(catalog.products).entries())
    checkProduct(['products', index], mapOf(product), skus, sink);
  checkPersonalPrices(catalog, rules, sink);
  checkDemandInputs(catalog, skus, sink);
  const keys = listOf(catalog.actions).map((action) => textOf(mapOf(action).key));
  checkDistinct(keys, (index) => ['actions', index, 'key'], sink);
  for (const [index, action] of listOf(catalog.actions).entries()) {
    checkAction(['actions', index], mapOf(action), channels, slots, rules, sink);
  }
  checkFallback(catalog, keys, sink);
  counters.endFeatures();
  const tags = mapOf(mapOf(catalog.profile).tags);
  checkTags(tags, rules, counters, sink);
  checkHashes('tag', Object.keys(tags), (index) => ['profile', 'tags', Object.keys(tags)[index] ?? ''], sink);
  checkJourneys(catalog, rules, counters, sink);
  const journeys = journeyKeys(catalog);
  checkHashes('journey', [...journeys.keys()], (index) => ['journeys', [...journeys.keys()][index] ?? ''], sink);
  for (const [key, stages] of journeys)
    checkHashes('stage', stages, (index) => ['journeys', key, 'stages', stages[index] ?? ''], sink);
  const categories = listOf(catalog.actions).map((action) => textOf(mapOf(action).category));
  checkHashes('channel', channels, (index) => ['channels', channels[index] ?? ''], sink);
  checkHashes('slot', Object.keys(slots), (index) => ['slots', Object.keys(slots)[index] ?? ''], sink);
  checkHashes('sku', skus, (index) => ['products', index, 'sku'], sink);
  checkHashes('action', keys, (index) => ['actions', index, 'key'], sink);
  checkHashes('category', categories, (index) => ['actions', index, 'category'], sink);
  checkHashes(
    'event',
    [...counters.counters, ...counters.valueReadings].map(({ event }) => event),
    () => ['actions'],
    sink,
  );
}

/** It is answered without looking at the person, so nothing about it may need that. */
function checkFallback(catalog: RawMap, keys: readonly (string | null)[], sink: FindingSink): void {
  const path = ['decision', 'fallback'];
  const fallback = textOf(mapOf(catalog.decision).fallback);
  if (fallback === null) return;
  const index = keys.indexOf(fallback);
  if (index < 0) {
    unknownName(path, fallback, keys, 'action', sink);
    return;
  }
  const action = mapOf(listOf(catalog.actions)[index]);
  const needing = ['eligibility', 'caps', 'budgetMinor'].filter(
    (key) => action[key] !== undefined && action[key] !== null,
  );
  if (needing.length > 0) {
    sink.find(path, `"${fallback}" has ${needing.join(', ')}; a fallback is answered without looking at the person`);
  }
  const channels = mapOf(catalog.channels);
  const hasOpenChannel = listOf(action.channels).some((key) => {
    const channel = mapOf(channels[textOf(key) ?? '']);
    return channel.quietHours === undefined && channel.caps === undefined;
  });
  if (!hasOpenChannel) {
    sink.find(
      path,
      `"${fallback}" has no channel without caps and quiet hours; a fallback is answered without looking at the person`,
    );
  }
}

function checkHeader(catalog: RawMap, sink: FindingSink): void {
  const timeZone = textOf(catalog.timeZone);
  if (timeZone !== null && timeZone !== '' && !isTimeZone(timeZone)) {
    const nearest = nearestMatch(timeZone, Intl.supportedValuesOf('timeZone'));
    sink.find(['timeZone'], `${JSON.stringify(timeZone)} is not an IANA time zone`, { nearest });
  }
  const currency = textOf(catalog.currency);
  if (currency !== null && /^[A-Z]{3}$/.test(currency) && !Intl.supportedValuesOf('currency').includes(currency)) {
    // No suggestion: every three letters are near to some currency.
    sink.find(['currency'], `${JSON.stringify(currency)} is not an ISO 4217 currency`);
  }
  const rewardWindow = mapOf(catalog.decision).rewardWindow;
  if (rewardWindow !== undefined) checkDuration(['decision', 'rewardWindow'], rewardWindow, sink);
  checkAbuse(mapOf(catalog.abuse), sink);
  const { diversity } = mapOf(catalog.decision);
  checkDuration(['decision', 'diversity', 'halfLife'], mapOf(diversity).halfLife, sink);
  for (const [key, channel] of Object.entries(mapOf(catalog.channels)))
    checkDuration(['channels', key, 'fatigue', 'halfLife'], mapOf(mapOf(channel).fatigue).halfLife, sink);
  listOf(catalog.actions).forEach((action, i) => {
    checkDuration(['actions', i, 'fatigue', 'halfLife'], mapOf(mapOf(action).fatigue).halfLife, sink);
  });
}

const PROMOTION_KINDS = [['percentageBasisPoints'], ['amountMinor'], ['buy', 'free'], ['bundleSku', 'bundleMinor']];

function checkTraits(traits: RawMap, sink: FindingSink): void {
  let timeZoneTrait: string | null = null;
  for (const [name, raw] of Object.entries(traits)) {
    const path = ['profile', 'traits', name];
    const trait = mapOf(raw);
    const isNumber = trait.type === 'integer' || trait.type === 'number';
    const isKnown = typeof trait.type === 'string' && TRAIT_TYPES.includes(trait.type);
    const [min, max] = [numberOf(trait.min), numberOf(trait.max)];
    for (const [bound, value] of [
      ['min', min],
      ['max', max],
    ] as const) {
      if (value === null || !isKnown) continue;
      if (!isNumber) sink.find([...path, bound], `only integer and number traits have a ${bound}`);
      else if (trait.type === 'integer' && !Number.isSafeInteger(value))
        sink.find([...path, bound], `must be a whole number, as the trait is, got ${value}`);
    }
    if (min !== null && max !== null && min > max) sink.find([...path, 'min'], `min ${min} is above max ${max}`);
    if (trait.type === 'enum' && trait.values === undefined) sink.find(path, 'an enum needs its values: [a, b]');
    if (isKnown && trait.type !== 'enum' && trait.values !== undefined)
      sink.find([...path, 'values'], 'only enum traits have values');
    checkDistinct(listOf(trait.values).map(textOf), (index) => [...path, 'values', index], sink);
    if (trait.type === 'timeZone') {
      if (timeZoneTrait !== null)
        sink.find([...path, 'type'], `there can be one timeZone trait, and "${timeZoneTrait}" is it`);
      timeZoneTrait ??= name;
    }
  }
  const names = Object.keys(traits);
  checkCount(['profile', 'traits'], names.length, CATALOG_LIMITS.traitsMax, sink);
  checkHashes('trait', names, (index) => ['profile', 'traits', names[index] ?? ''], sink);
}

/** A trait that is a key must be one whose values are names. */
function checkKeyTypes(catalog: RawMap, sink: FindingSink): void {
  const traits = mapOf(mapOf(catalog.profile).traits);
  for (const [type, raw] of Object.entries(mapOf(mapOf(catalog.identity).types))) {
    const trait = textOf(mapOf(raw).trait);
    if (trait === null) continue;
    const at = ['identity', 'types', type, 'trait'];
    const declared = mapOf(traits[trait]).type;
    if (!Object.hasOwn(traits, trait)) unknownName(at, trait, Object.keys(traits), 'trait', sink);
    else if (declared !== 'string' && declared !== 'integer')
      sink.find(at, `"${trait}" is of the type ${String(declared)}: keys are strings or integers`);
  }
}

/** Facts share the rules' `profile.` and the record's slots with the traits. */
function checkFacts(profile: RawMap, sink: FindingSink): void {
  const facts = listOf(profile.facts).map(textOf);
  const traits = mapOf(profile.traits);
  for (const [index, name] of facts.entries()) {
    if (name !== null && Object.hasOwn(traits, name))
      sink.find(['profile', 'facts', index], `"${name}" is declared as a trait already; rename that trait`);
  }
  checkDistinct(facts, (index) => ['profile', 'facts', index], sink);
  if (facts.length > 0)
    checkCount(['profile'], Object.keys(traits).length + facts.length, CATALOG_LIMITS.traitsMax, sink);
}

function checkChannel(path: DocumentPath, channel: RawMap, sink: FindingSink): void {
  const quietHours = textOf(channel.quietHours);
  if (quietHours !== null && QUIET_HOURS_PATTERN.test(quietHours) && parseQuietHours(quietHours) === null) {
    sink.find(
      [...path, 'quietHours'],
      `${JSON.stringify(quietHours)} begins and ends at the same minute: leave it out for no quiet hours`,
    );
  }
  const sendWithin = textOf(channel.sendWithin);
  checkDuration([...path, 'sendWithin'], sendWithin, sink);
  const millis = sendWithin === null ? null : parseDurationMillis(sendWithin);
  if (millis !== null && millis > SEND_HORIZON_MILLIS_MAX) {
    sink.find([...path, 'sendWithin'], `${sendWithin} is further ahead than a send-time is looked for: at most 8d`);
  }
  checkCaps([...path, 'caps'], channel.caps, sink);
}

function checkCaps(path: DocumentPath, caps: unknown, sink: FindingSink): void {
  for (const [index, cap] of listOf(caps).entries()) checkDuration([...path, index, 'per'], mapOf(cap).per, sink);
}

function checkPromotions(
  path: DocumentPath,
  product: RawMap,
  skus: readonly (string | null)[],
  sink: FindingSink,
): void {
  const promotions = listOf(product.promotions).map(mapOf);
  checkDistinct(
    promotions.map(({ key }) => textOf(key)),
    (index) => [...path, index, 'key'],
    sink,
  );
  for (const [index, promotion] of promotions.entries()) {
    const at = [...path, index];
    const kinds = PROMOTION_KINDS.filter((keys) => keys.some((key) => promotion[key] !== undefined));
    const [keys = []] = kinds;
    if (kinds.length !== 1 || keys.some((key) => promotion[key] === undefined))
      sink.find(at, `must have exactly one of ${PROMOTION_KINDS.map((kind) => kind.join(' with ')).join(', ')}`);
    const other = textOf(promotion.bundleSku);
    if (other === null) continue;
    if (other === textOf(product.sku)) sink.find([...at, 'bundleSku'], 'a product is no bundle with itself');
    else if (!skus.includes(other)) unknownName([...at, 'bundleSku'], other, skus, 'product', sink);
  }
}

const INPUT_KINDS = [
  ['context', 'usualMinor'],
  ['context', 'mean', 'scale'],
  ['feed', 'usualMinor'],
  ['feed', 'mean', 'scale'],
  ['product'],
  ['hour'],
];

/** What moves demand is one thing each, of the world and not of a person. */
function checkDemandInputs(catalog: RawMap, skus: readonly (string | null)[], sink: FindingSink): void {
  const traits = Object.keys(mapOf(mapOf(catalog.profile).traits));
  for (const [index, raw] of listOf(catalog.products).entries()) {
    const product = mapOf(raw);
    checkCell(['products', index, 'ceilingFrom', 'feed'], mapOf(product.ceilingFrom).feed, catalog, sink);
    for (const [n, input] of listOf(product.demandInputs).map(mapOf).entries()) {
      const at = ['products', index, 'demandInputs', n];
      const given = Object.keys(input);
      if (!INPUT_KINDS.some((kind) => kind.length === given.length && kind.every((name) => given.includes(name))))
        sink.find(at, `must have exactly one of ${INPUT_KINDS.map((kind) => kind.join(' with ')).join(', ')}`);
      const { context, product: other } = input;
      checkCell([...at, 'feed'], input.feed, catalog, sink);
      if (typeof context === 'string' && traits.includes(context))
        sink.find(
          [...at, 'context'],
          `"${context}" is a trait: one price an hour cannot follow what differs between people`,
        );
      if (typeof other !== 'string') continue;
      if (other === textOf(product.sku)) sink.find([...at, 'product'], 'its own price is in its demand already');
      else if (!skus.includes(other)) unknownName([...at, 'product'], other, skus, 'product', sink);
    }
  }
}

/** A price of one's own is declared on purpose, with the gap it may make, and never by what is protected. */
function checkPersonalPrices(catalog: RawMap, rules: RuleParser, sink: FindingSink): void {
  const hidden = hiddenTraits(catalog);
  const isDefault = mapOf(catalog.decision).personalPrice === true;
  for (const [index, raw] of listOf(catalog.products).entries()) {
    const product = mapOf(raw);
    const at = ['products', index, 'personalDiscounts'];
    const discounts = listOf(product.personalDiscounts).map(mapOf);
    if (discounts.length === 0) {
      if (product.personalPrice === true)
        sink.find(['products', index, 'personalPrice'], 'has no personalDiscounts: every price is that of everybody');
      continue;
    }
    if (!(typeof product.personalPrice === 'boolean' ? product.personalPrice : isDefault))
      sink.find(at, 'are given only with personalPrice: true, for the product or in decision');
    const gap = numberOf(product.groupGapBasisPointsMax);
    if (gap === null) sink.find(at, 'need groupGapBasisPointsMax: how far may two prices of one hour lie apart?');
    for (const [n, { when, basisPoints }] of discounts.entries()) {
      checkRule([...at, n, 'when'], when, rules, sink);
      const named = hidden.find((name) =>
        textOf(when)?.match(new RegExp(`\\bcontext\\s*(\\.\\s*|\\[\\s*["'])${name}\\b`)),
      );
      if (named !== undefined)
        sink.find([...at, n, 'when'], `no price may depend on "${named}", sent in the context or not`);
      const points = numberOf(basisPoints);
      if (gap !== null && points !== null && points > gap)
        sink.find([...at, n, 'basisPoints'], `${points} is more than groupGapBasisPointsMax ${gap} allows`);
    }
  }
}

function checkProduct(path: DocumentPath, product: RawMap, skus: readonly (string | null)[], sink: FindingSink): void {
  checkPromotions([...path, 'promotions'], product, skus, sink);
  // What is no amount of money is a matter of shape: NaN fails every comparison below.
  const amount = (key: string): number => {
    const value = numberOf(product[key]) ?? Number.NaN;
    return Number.isInteger(value) && value >= 0 && value <= CATALOG_LIMITS.moneyMinorMax ? value : Number.NaN;
  };
  const [list, floor, ceiling] = [amount('listMinor'), amount('floorMinor'), amount('ceilingMinor')];
  const [cost, step] = [amount('costMinor'), amount('stepMinor')];
  if (floor > ceiling) sink.find([...path, 'floorMinor'], `floor ${floor} is above the ceiling ${ceiling}`);
  if (floor < cost)
    sink.find([...path, 'floorMinor'], `floor ${floor} is below the cost ${cost}: every sale at it would lose money`);
  if (list < floor || list > ceiling)
    sink.find([...path, 'listMinor'], `list price ${list} is outside floor ${floor} to ceiling ${ceiling}`);
  checkDuration([...path, 'memory'], product.memory, sink);
  const sellBy = textOf(product.sellBy);
  if (sellBy !== null && INSTANT_PATTERN.test(sellBy) && parseInstantMillis(sellBy) === null)
    sink.find([...path, 'sellBy'], `${JSON.stringify(sellBy)} is no day of the calendar`);
  if (sellBy !== null && numberOf(product.stock) === null)
    sink.find([...path, 'sellBy'], 'there is no stock to sell by then: give the stock, or leave sellBy out');
  if (product.salvageMinor !== undefined && sellBy === null)
    sink.find([...path, 'salvageMinor'], 'has no meaning without sellBy');
  const margin = numberOf(product.marginBasisPointsMin) ?? 0;
  const withMargin = Math.ceil((cost * (10_000 + margin)) / 10_000);
  const highest = product.listCap === true ? Math.min(list, ceiling) : ceiling;
  if (margin > 0 && cost <= highest && withMargin > highest)
    sink.find(
      [...path, 'marginBasisPointsMin'],
      `cost and margin make ${withMargin}, above the highest price ${highest}`,
    );
  if (!(step > 0)) return;
  const endings = listOf(product.endingsMinor);
  for (const [index, ending] of endings.entries()) {
    if (typeof ending === 'number' && ending >= step)
      sink.find([...path, 'endingsMinor', index], `ending ${ending} is not below the step ${step}`);
  }
  if (endings.length > 0) {
    const isReachable = endings.some(
      (e) => typeof e === 'number' && Math.ceil((floor - e) / step) * step + e <= highest,
    );
    if (floor <= highest && !isReachable)
      sink.find([...path, 'endingsMinor'], `no price from floor ${floor} to ${highest} ends like that`);
    return;
  }
  for (const [key, value] of [
    ['ceilingMinor', ceiling],
    ['listMinor', list],
  ] as const) {
    if (value > floor && (value - floor) % step !== 0) {
      sink.find([...path, key], `${value} cannot be reached from the floor ${floor} in steps of ${step}`);
    }
  }
}

function checkAction(
  path: DocumentPath,
  action: RawMap,
  channels: readonly string[],
  slots: RawMap,
  rules: RuleParser,
  sink: FindingSink,
): void {
  checkNames([...path, 'channels'], action.channels, channels, 'channel', sink);
  checkNames([...path, 'slots'], action.slots, Object.keys(slots), 'slot', sink);
  const own = listOf(action.channels);
  for (const [index, slot] of listOf(action.slots).entries()) {
    if (typeof slot !== 'string' || !Object.hasOwn(slots, slot)) continue;
    const offered = listOf(mapOf(slots[slot]).channels);
    // Names that do not exist have been reported; here they would only make an echo.
    const areKnown = [...own, ...offered].every((channel) => typeof channel === 'string' && channels.includes(channel));
    if (areKnown && own.length > 0 && offered.length > 0 && !offered.some((channel) => own.includes(channel))) {
      sink.find(
        [...path, 'slots', index],
        `slot "${slot}" takes ${offered.join(', ')}, but the action goes to ${own.join(', ')}: it can never be shown there`,
      );
    }
  }
  checkCaps([...path, 'caps'], action.caps, sink);
  checkDistinct(listOf(action.creatives).map(textOf), (index) => [...path, 'creatives', index], sink);
  checkRule([...path, 'eligibility'], action.eligibility, rules, sink);
  for (const [index, weight] of listOf(action.contextWeights).entries()) {
    checkRule([...path, 'contextWeights', index, 'when'], mapOf(weight).when, rules, sink);
  }
}

function checkRule(path: DocumentPath, source: unknown, rules: RuleParser, sink: FindingSink): void {
  // An empty or overlong rule is a matter of shape.
  if (typeof source !== 'string' || source === '' || source.length > CATALOG_LIMITS.ruleLengthMax) return;
  for (const { offset, reason, nearest } of rules.check(source).problems ?? []) {
    sink.find(path, reason, { nearest, ruleOffset: offset });
  }
}

/** Every text in the list must be one of `known`, and stand there once. */
function checkNames(
  path: DocumentPath,
  list: unknown,
  known: readonly string[],
  kind: string,
  sink: FindingSink,
): void {
  const names = listOf(list).map(textOf);
  for (const [index, name] of names.entries()) {
    if (name !== null && !known.includes(name)) unknownName([...path, index], name, known, kind, sink);
  }
  checkDistinct(names, (index) => [...path, index], sink);
}

function unknownName(
  path: DocumentPath,
  name: string,
  known: readonly (string | null)[],
  kind: string,
  sink: FindingSink,
): void {
  const candidates = known.filter((candidate) => candidate !== null);
  sink.find(path, `${JSON.stringify(name)} is not a declared ${kind}`, { nearest: nearestMatch(name, candidates) });
}

function checkDistinct(
  names: readonly (string | null)[],
  pathOf: (index: number) => DocumentPath,
  sink: FindingSink,
): void {
  const firstIndex = new Map<string, number>();
  for (const [index, name] of names.entries()) {
    if (name === null) continue;
    const first = firstIndex.get(name);
    if (first === undefined) firstIndex.set(name, index);
    else sink.find(pathOf(index), `${JSON.stringify(name)} is there already, as number ${first + 1} of the list`);
  }
}

export function checkCount(path: DocumentPath, count: number, max: number, sink: FindingSink): void {
  if (count > max) sink.find(path, `must have at most ${max} entries, has ${count}`);
}

/** Records on disk name things by 32-bit hash: two names of one kind with one hash cannot both be used. */
export function checkHashes(
  kind: string,
  names: readonly (string | null)[],
  pathOf: (index: number) => DocumentPath,
  sink: FindingSink,
): void {
  const nameByHash = new Map<number, string>();
  for (const [index, name] of names.entries()) {
    if (name === null) continue;
    const hash = murmur3Text(name, 0);
    const other = nameByHash.get(hash);
    if (other === undefined) nameByHash.set(hash, name);
    else if (other !== name) {
      sink.find(
        pathOf(index),
        `${kind} ${JSON.stringify(name)} has the same 32-bit hash as ${JSON.stringify(other)}; rename one of them`,
      );
    }
  }
}
