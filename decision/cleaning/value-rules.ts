/**
 * What a catalog declares of one value, a trait or an event's property, as the turns use it: type, bounds, how it is
 * brought into its one form, what is thought plausible. Compiled by `workers/catalog/compile-cleaning.ts`, applied by
 * `clean-value.ts`. What a catalog does not declare costs nothing: there are no rules then.
 */
import type { Rule } from '../rule.ts';

/** Types of traits, and those that only properties have. */
export type ValueType = 'integer' | 'number' | 'boolean' | 'string' | 'enum' | 'timeZone' | 'items' | 'list' | 'map';

/** In the order in which they are applied. */
export const NORMALISERS = ['trim', 'lower', 'upper', 'parse', 'phone', 'mail', 'time', 'currencyCode'] as const;
export type Normaliser = (typeof NORMALISERS)[number];

/** Why a value is refused, for counts: one of few words, whatever the value. */
export const REFUSALS = [
  'none',
  /** Another type than declared, NaN and infinity included. */
  'type',
  /** Outside min and max. */
  'range',
  /** Not one of the declared values. */
  'value',
  /** No phone number, mail address, instant, currency. */
  'format',
  /** A text, list or map that is too long. */
  'size',
  'required',
  'undeclared',
  /** Two values of one message that cannot both be right. */
  'contradiction',
] as const;
export type RefusalName = (typeof REFUSALS)[number];
export const REFUSAL = Object.freeze(Object.fromEntries(REFUSALS.map((name, index) => [name, index]))) as {
  readonly [Name in RefusalName]: number; // one entry a name
};

/** Why a value is kept and flagged. */
export const FLAGS = ['none', 'outlier', 'mixedScripts', 'contradiction'] as const;
export type FlagName = (typeof FLAGS)[number];
export const FLAG = Object.freeze(Object.fromEntries(FLAGS.map((name, index) => [name, index]))) as {
  readonly [Name in FlagName]: number; // one entry a name
};

export interface ValueRules {
  readonly name: string;
  readonly type: ValueType;
  readonly min: number | null;
  readonly max: number | null;
  /** Of an `enum`. */
  readonly values: readonly string[];
  readonly normalisers: readonly Normaliser[];
  /** Text as it may come → declared value. */
  readonly synonyms: ReadonlyMap<string, string>;
  /** E.164, or null for what is no number; given where `phone` is among the normalisers. */
  readonly readPhone: ((text: string) => string | null) | null;
  /** Region of numbers without country code, for messages. */
  readonly region: string | null;
  readonly foldsGmail: boolean;
  /** IANA zone of instants without one; null: the catalog's. */
  readonly zone: string | null;
  /** Outside it lies what is kept and flagged. */
  readonly plausibleMin: number;
  readonly plausibleMax: number;
  /** Further from the usual than so many robust deviations is flagged; 0: not looked at. */
  readonly deviationsMax: number;
  /** Name under which the same amount may come in major units; the value that names its currency ('': none), else this one. */
  readonly major: { readonly name: string; readonly currencyFrom: string; readonly currency: string | null } | null;
  /** Taken where nothing is told; undefined: none. */
  readonly fallback: string | number | boolean | undefined;
  readonly isRequired: boolean;
}

/** What a catalog declares of one event. */
export interface EventRules {
  readonly name: string;
  readonly properties: readonly ValueRules[];
  readonly byName: ReadonlyMap<string, ValueRules>;
  readonly additional: 'keep' | 'drop' | 'refuse';
}

/** Everything that a catalog declares of cleaning. */
export interface Cleaning {
  /** By trait index; null where a trait has no more than its type. */
  readonly traits: readonly (ValueRules | null)[];
  /** Names under which traits may come in major units. */
  readonly majorTraits: ReadonlyMap<string, ValueRules>;
  /** Traits that are given to whoever has none. */
  readonly traitsWithFallback: readonly ValueRules[];
  readonly events: ReadonlyMap<string, EventRules>;
  readonly contradictions: readonly { readonly name: string; readonly rule: Rule }[];
  /** Whether identifies look at flags at all. */
  readonly flagsTraits: boolean;
}

/** What goes into a profile's score, of every catalog. */
export interface QualityRules {
  /** By trait index: share in completeness; 0: does not count. */
  readonly weights: readonly number[];
  /** After which what is known counts half. */
  readonly freshnessHalfLifeMillis: number;
}
