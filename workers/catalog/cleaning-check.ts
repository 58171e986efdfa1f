/**
 * What the shape of cleaning keys cannot say: that each fits its type, that defaults and synonyms are values the trait
 * itself accepts, that standard properties are made stricter and never wider, and that rules of contradiction read
 * traits alone. A mistake here would refuse what is right, or take what is wrong, without anybody seeing it. Called by
 * `catalog-file.ts`, beside `catalog-check.ts`.
 */
import { CleanResult, cleanValue } from '../../decision/cleaning/clean-value.ts';
import { currencyDigits } from '../../decision/cleaning/currency.ts';
import { expectationOf } from '../../decision/cleaning/expectation.ts';
import { type StandardProperty, standardProperties } from '../../decision/cleaning/standard-events.ts';
import type { Normaliser, ValueRules } from '../../decision/cleaning/value-rules.ts';
import { ZoneTable } from '../../decision/local-time.ts';
import { checkCount } from './catalog-check.ts';
import { CATALOG_LIMITS } from './catalog-limits.ts';
import type { TraitFile } from './catalog-schema.ts';
import type { PropertyFile } from './cleaning-schema.ts';
import { compileValue, joined } from './compile-cleaning.ts';
import { DURATION_PATTERN, parseDurationMillis } from './durations.ts';
import { isTimeZone } from './local-hour.ts';
import { isPhoneRegion } from './phone-number.ts';
import { type FindingSink, listOf, mapOf, numberOf, type RawMap, textOf } from './raw-values.ts';
import type { RuleParser } from './rule-parser.ts';
import { type Expression, operandsOf, type RuleProblem } from './rule-syntax.ts';
import type { DocumentPath } from './yaml-source.ts';

/** Normaliser → types it makes. */
const FITS: { readonly [Step in Normaliser]: readonly string[] } = {
  trim: ['string', 'enum'],
  lower: ['string', 'enum'],
  upper: ['string', 'enum'],
  parse: ['integer', 'number', 'boolean'],
  phone: ['string'],
  mail: ['string'],
  time: ['integer', 'number'],
  currencyCode: ['string'],
};
/** Each reads a text in its own way: one of them at most. */
const READERS: readonly string[] = ['parse', 'phone', 'mail', 'time', 'currencyCode'];
/** Key → normaliser without which it has no meaning. */
const NEEDS = { region: 'phone', gmail: 'mail', zone: 'time' } as const;
/** What a check asks of instants is only whether they are numbers already. */
const NO_ZONES = new ZoneTable(() => undefined);

export function checkCleaning(root: RawMap, rules: RuleParser, sink: FindingSink): void {
  const profile = mapOf(root.profile);
  const traits = mapOf(profile.traits);
  for (const [name, raw] of Object.entries(traits)) {
    const trait = mapOf(raw);
    const path = ['profile', 'traits', name];
    checkValue(path, name, trait, Object.keys(traits), sink);
    if (trait.sensitive === true && trait.default !== undefined)
      sink.find([...path, 'default'], 'a sensitive trait has no default: it would be told of nobody');
    if (trait.sensitive === true && mapOf(trait.outlier).deviations !== undefined)
      sink.find([...path, 'outlier', 'deviations'], 'values of a sensitive trait are not compared among people');
  }
  checkEvents(mapOf(root.events), sink);
  checkContradictions(mapOf(profile.contradictions), rules, sink);
  const halfLife = textOf(mapOf(root.cleaning).freshnessHalfLife);
  if (halfLife !== null && DURATION_PATTERN.test(halfLife) && parseDurationMillis(halfLife) === null)
    sink.find(['cleaning', 'freshnessHalfLife'], `${JSON.stringify(halfLife)} is longer than ten years`);
}

function checkEvents(events: RawMap, sink: FindingSink): void {
  checkCount(['events'], Object.keys(events).length, CATALOG_LIMITS.eventsMax, sink);
  for (const [event, raw] of Object.entries(events)) {
    const properties = mapOf(mapOf(raw).properties);
    const names = Object.keys(properties);
    const standard = standardProperties(event);
    checkCount(['events', event, 'properties'], names.length, CATALOG_LIMITS.eventPropertiesMax, sink);
    for (const [name, declared] of Object.entries(properties)) {
      const path = ['events', event, 'properties', name];
      const own = mapOf(declared);
      if (own.type === undefined && !standard.has(name)) sink.find(path, 'needs its type: it is no standard property');
      checkBounds(path, own, sink);
      checkStricter(path, own, standard.get(name), sink);
      const whole = joined(own as PropertyFile, standard.get(name)); // of the right shape, or the shape check says so
      checkValue(path, name, mapOf(whole), [...names, ...standard.keys()], sink);
    }
  }
}

/** Bounds of a property; those of traits are in `catalog-check.ts`. */
function checkBounds(path: DocumentPath, { type, min, max, values }: RawMap, sink: FindingSink): void {
  const [least, most] = [numberOf(min), numberOf(max)];
  const isNumber = type === 'integer' || type === 'number' || type === undefined;
  if (!isNumber && (min !== undefined || max !== undefined))
    sink.find(path, 'only integer and number properties have a min or max');
  if (least !== null && most !== null && least > most) sink.find([...path, 'min'], `min ${least} is above max ${most}`);
  if (type === 'enum' && values === undefined) sink.find(path, 'an enum needs its values: [a, b]');
  if (type !== 'enum' && values !== undefined) sink.find([...path, 'values'], 'only enum properties have values');
}

/** The actors read standard properties, so nothing wider may come to them. */
function checkStricter(
  path: DocumentPath,
  own: RawMap,
  standard: StandardProperty | undefined,
  sink: FindingSink,
): void {
  if (standard === undefined) return;
  const { type, min, max } = standard;
  if (own.type !== undefined && own.type !== type && !(own.type === 'enum' && type === 'string'))
    sink.find([...path, 'type'], `this standard property is of type ${type}`);
  const [least, most] = [numberOf(own.min), numberOf(own.max)];
  if (min !== undefined && least !== null && least < min)
    sink.find([...path, 'min'], `${least} is wider than the standard's ${min}; it can only be made stricter`);
  if (max !== undefined && most !== null && most > max)
    sink.find([...path, 'max'], `${most} is wider than the standard's ${max}; it can only be made stricter`);
}

/** @param siblings names of the other values of the same message */
function checkValue(
  path: DocumentPath,
  name: string,
  declared: RawMap,
  siblings: readonly string[],
  sink: FindingSink,
): void {
  const { type } = declared;
  const steps = (typeof declared.normalise === 'string' ? [declared.normalise] : listOf(declared.normalise)).map(
    textOf,
  );
  for (const step of steps) {
    if (step === null || typeof type !== 'string' || !Object.hasOwn(FITS, step)) continue;
    const fits = FITS[step as Normaliser]; // a key of it
    if (!fits.includes(type)) sink.find([...path, 'normalise'], `${step} is for ${fits.join(', ')}, not for ${type}`);
  }
  const readers = steps.filter((step) => step !== null && READERS.includes(step));
  if (readers.length > 1) sink.find([...path, 'normalise'], `can be one of ${readers.join(', ')} only`);
  for (const [key, step] of Object.entries(NEEDS)) {
    if (declared[key] !== undefined && !steps.includes(step))
      sink.find([...path, key], `has no meaning without normalise: ${step}`);
  }
  const region = textOf(declared.region);
  if (region !== null && /^[A-Z]{2}$/.test(region) && !isPhoneRegion(region))
    sink.find([...path, 'region'], `"${region}" is no region with telephones`);
  const zone = textOf(declared.zone);
  if (zone !== null && !isTimeZone(zone)) sink.find([...path, 'zone'], `"${zone}" is no IANA time zone`);
  checkMajor(path, name, declared, siblings, sink);
  checkOutlier([...path, 'outlier'], declared, sink);
  if (typeof type === 'string') checkForms(path, name, declared, sink);
}

function checkMajor(
  path: DocumentPath,
  name: string,
  { type, fromMajor, currency, currencyFrom }: RawMap,
  siblings: readonly string[],
  sink: FindingSink,
): void {
  if (fromMajor === undefined) {
    for (const [key, value] of Object.entries({ currency, currencyFrom }))
      if (value !== undefined) sink.find([...path, key], 'has no meaning without fromMajor');
    return;
  }
  if (type !== 'integer') sink.find([...path, 'fromMajor'], 'minor units are an integer');
  if (fromMajor === name || siblings.includes(String(fromMajor)))
    sink.find(
      [...path, 'fromMajor'],
      `"${String(fromMajor)}" is declared itself; name what comes in major units otherwise`,
    );
  if (currency === undefined && currencyFrom === undefined)
    sink.find([...path, 'fromMajor'], 'needs a currency, or currencyFrom: the value that names it');
  const code = textOf(currency);
  if (code !== null && /^[A-Z]{3}$/.test(code) && currencyDigits(code) === null)
    sink.find([...path, 'currency'], `"${code}" is no currency of ISO 4217`);
}

function checkOutlier(path: DocumentPath, { type, outlier }: RawMap, sink: FindingSink): void {
  if (outlier === undefined) return;
  if (type !== 'integer' && type !== 'number') sink.find(path, 'only integer and number values have outliers');
  const { min, max } = mapOf(outlier);
  const [least, most] = [numberOf(min), numberOf(max)];
  if (Object.keys(mapOf(outlier)).length === 0) sink.find(path, 'needs min, max or deviations');
  if (least !== null && most !== null && least > most) sink.find([...path, 'min'], `min ${least} is above max ${most}`);
}

/** Defaults, declared values and synonyms as the trait's own rules see them. */
function checkForms(path: DocumentPath, name: string, declared: RawMap, sink: FindingSink): void {
  const rules = compiledOr(name, declared);
  if (rules === null) return;
  const { default: fallback } = declared;
  if (fallback !== undefined && !isClean(rules, fallback))
    sink.find([...path, 'default'], `expected ${expectationOf(rules)}, in the form that cleaning gives it`);
  if (fallback !== undefined && declared.required === true)
    sink.find([...path, 'required'], 'with a default nothing is ever missing');
  if (rules.normalisers.length > 0) {
    for (const [index, value] of rules.values.entries())
      if (!isClean(rules, value))
        sink.find([...path, 'values', index], 'cleaning gives it another form: nobody could have it');
  }
  if (rules.synonyms.size === 0) return;
  if (rules.type !== 'enum' && rules.type !== 'string')
    sink.find([...path, 'synonyms'], 'only texts and enums have synonyms');
  const plain = { ...rules, synonyms: new Map<string, string>() };
  const seen = new Set<string>();
  for (const [value, texts] of Object.entries(mapOf(declared.synonyms))) {
    if (!isClean(plain, value)) sink.find([...path, 'synonyms', value], `is not ${expectationOf(rules)} itself`);
    for (const [index, text] of listOf(texts).entries()) {
      const at = [...path, 'synonyms', value, index];
      if (typeof text !== 'string') continue;
      if (rules.values.includes(text) || Object.hasOwn(mapOf(declared.synonyms), text))
        sink.find(at, `"${text}" is a value itself`);
      else if (seen.has(text)) sink.find(at, `"${text}" stands for another value already`);
      else if (!isClean({ ...plain, type: 'string' }, text))
        sink.find(at, 'never comes like that: it is looked up after the normalisers');
      seen.add(text);
    }
  }
}

/** The rules of a value whose shape may be wrong in places, which the shape check says. */
function compiledOr(name: string, declared: RawMap): ValueRules | null {
  const { values, synonyms, normalise } = declared;
  const isSound =
    (values === undefined || listOf(values).every((value) => typeof value === 'string')) &&
    (normalise === undefined || typeof normalise === 'string' || Array.isArray(normalise)) &&
    (synonyms === undefined || Object.values(mapOf(synonyms)).every(Array.isArray));
  return isSound ? compileValue(name, declared as unknown as TraitFile) : null; // so far as it is read
}

function isClean(rules: ValueRules, value: unknown): boolean {
  const isScalar = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
  const result = new CleanResult();
  return isScalar && cleanValue(rules, value, NO_ZONES, -1, result) && result.value === value;
}

function checkContradictions(declared: RawMap, rules: RuleParser, sink: FindingSink): void {
  const at: DocumentPath = ['profile', 'contradictions'];
  checkCount(at, Object.keys(declared).length, CATALOG_LIMITS.contradictionsMax, sink);
  for (const [name, text] of Object.entries(declared)) {
    if (typeof text !== 'string' || text === '' || text.length > CATALOG_LIMITS.ruleLengthMax) continue;
    const check = rules.check(text);
    for (const { offset, reason, nearest } of check.problems ?? unfitParts(check.expression))
      sink.find([...at, name], reason, { nearest, ruleOffset: offset });
  }
}

/** It is looked at when traits are told, so it may read nothing else that changes. */
function unfitParts(e: Expression): RuleProblem[] {
  const isUnfit = ['context', 'tag', 'tagWeight', 'stage', 'consent', 'counter', 'unusual', 'values', 'feed'].includes(
    e.op,
  );
  const own = isUnfit
    ? [{ offset: e.start, reason: 'a contradiction is between traits: it may read them and now only' }]
    : [];
  return [...own, ...operandsOf(e).flatMap(unfitParts)];
}
