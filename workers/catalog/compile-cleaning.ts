/**
 * What a checked catalog declares about cleaning as the turns use it: defaults filled in, standard events joined with
 * what the catalog says of them, synonyms as one look-up, the reader of phone numbers at hand. Null for a catalog that
 * declares nothing, so that the turns ask one question. Called by `catalog-source.ts`, and by the check for its parts.
 */
import type { TraitSpec } from '../../decision/catalog.ts';
import { type StandardProperty, standardProperties } from '../../decision/cleaning/standard-events.ts';
import {
  type Cleaning,
  type EventRules,
  NORMALISERS,
  type Normaliser,
  type QualityRules,
  type ValueRules,
} from '../../decision/cleaning/value-rules.ts';
import type { Rule } from '../../decision/rule.ts';
import type { CatalogFile, TraitFile } from './catalog-schema.ts';
import type { PropertyFile } from './cleaning-schema.ts';
import { parseDurationMillis } from './durations.ts';
import { phoneReader } from './phone-number.ts';

const FRESHNESS_HALF_LIFE = '90d';

/** Keys that make a trait more than its type. */
const TRAIT_KEYS = ['default', 'normalise', 'synonyms', 'fromMajor', 'outlier'] as const;

/** @param traits in the order of their index, facts included */
export function compileCleaning(
  file: CatalogFile,
  traits: readonly TraitSpec[],
  ruleOf: (text: string) => Rule,
): Cleaning | null {
  const declared = file.profile?.traits ?? {};
  const contradictions = Object.entries(file.profile?.contradictions ?? {});
  const events = Object.entries(file.events ?? {});
  const rules = traits.map(({ name, isFact }) => {
    const trait = declared[name];
    return isFact || trait === undefined || !isCleaned(trait) ? null : compileValue(name, trait);
  });
  const cleaned = rules.filter((rule) => rule !== null);
  if (cleaned.length === 0 && contradictions.length === 0 && events.length === 0) return null;
  return {
    traits: rules,
    majorTraits: new Map(cleaned.flatMap((rule) => (rule.major === null ? [] : [[rule.major.name, rule] as const]))),
    traitsWithFallback: cleaned.filter(({ fallback }) => fallback !== undefined),
    events: new Map(events.map(([name, event]) => [name, compileEvent(name, event)])),
    contradictions: contradictions.map(([name, text]) => ({ name, rule: ruleOf(text) })),
    flagsTraits: contradictions.length > 0 || cleaned.some(mayFlag),
  };
}

export function compileQuality(file: CatalogFile, traits: readonly TraitSpec[]): QualityRules {
  const declared = file.profile?.traits ?? {};
  return {
    weights: traits.map(({ name, isFact }) => (isFact ? 0 : (declared[name]?.weight ?? 1))),
    freshnessHalfLifeMillis: parseDurationMillis(file.cleaning?.freshnessHalfLife ?? FRESHNESS_HALF_LIFE) ?? Number.NaN,
  };
}

function isCleaned(trait: TraitFile): boolean {
  return TRAIT_KEYS.some((key) => trait[key] !== undefined);
}

function mayFlag({ plausibleMin, plausibleMax, deviationsMax, normalisers }: ValueRules): boolean {
  return (
    Number.isFinite(plausibleMin) || Number.isFinite(plausibleMax) || deviationsMax > 0 || normalisers.includes('mail')
  );
}

/** The catalog's own properties, and the standard ones it does not speak of. */
function compileEvent(name: string, event: NonNullable<CatalogFile['events']>[string]): EventRules {
  const standard = standardProperties(name);
  const own = Object.entries(event.properties ?? {});
  const properties = own.map(([property, declared]) =>
    compileValue(property, joined(declared, standard.get(property))),
  );
  for (const [property, declared] of standard) {
    if (event.properties?.[property] === undefined) properties.push(compileValue(property, joined({}, declared)));
  }
  return {
    name,
    properties,
    byName: new Map(properties.map((rules) => [rules.name, rules])),
    additional: event.additionalProperties ?? 'keep',
  };
}

/** Both hold: the narrower bound of each, and whatever form the standard asks for. */
export function joined(declared: PropertyFile, standard: StandardProperty | undefined): PropertyFile {
  if (standard === undefined) return declared;
  const min = highest(declared.min, standard.min);
  const max = lowest(declared.max, standard.max);
  const normalise = declared.normalise ?? standard.normalise;
  return {
    ...declared,
    type: declared.type ?? standard.type,
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    ...(normalise === undefined ? {} : { normalise }),
  };
}

function highest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.max(a, b);
}

function lowest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}

/** The rules of one declared value. @param declared has passed the check, or a part of it that may be wrong */
export function compileValue(name: string, declared: TraitFile | PropertyFile): ValueRules {
  const { normalise = [], synonyms = {}, outlier = {}, region = null, fromMajor } = declared;
  const wanted: readonly Normaliser[] = typeof normalise === 'string' ? [normalise] : normalise;
  return {
    name,
    type: declared.type ?? 'string',
    min: declared.min ?? null,
    max: declared.max ?? null,
    values: declared.values ?? [],
    // In the order of the list of all: a text is trimmed before it is read, whatever order the file has.
    normalisers: NORMALISERS.filter((step) => wanted.includes(step)),
    synonyms: new Map(Object.entries(synonyms).flatMap(([value, texts]) => texts.map((text) => [text, value]))),
    readPhone: wanted.includes('phone') ? phoneReader(region) : null,
    region,
    foldsGmail: declared.gmail === 'fold',
    zone: declared.zone ?? null,
    plausibleMin: outlier.min ?? Number.NEGATIVE_INFINITY,
    plausibleMax: outlier.max ?? Number.POSITIVE_INFINITY,
    deviationsMax: outlier.deviations ?? 0,
    major:
      fromMajor === undefined
        ? null
        : { name: fromMajor, currencyFrom: declared.currencyFrom ?? '', currency: declared.currency ?? null },
    fallback: declared.default,
    isRequired: 'required' in declared && declared.required === true,
  };
}
