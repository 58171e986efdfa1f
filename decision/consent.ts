/**
 * Purposes a person allows or refuses, and what each of them opens. An answer degrades to what is allowed: a trait
 * whose purpose is refused is absent for rules and features alike, counts of what the person did are nothing, the
 * price is everybody's, and the hour is everybody's. Caps, leases and quotes stay exact whatever is refused, because
 * they protect the person too.
 *
 * The names are fixed, so that every catalog, client and proof means the same; a catalog may add its own. Whether a
 * purpose nobody was asked about is allowed is the catalog's to say.
 */
import { DEFAULT_SIGNALS, GPC_WORD } from './consent-signals.ts';

/** Position of each purpose that every catalog has; those of its channels, categories and its own follow. */
export const PURPOSE = {
  /** What the person did and told shapes what is offered, and when. */
  personalisation: 0,
  /** A price of one's own, beside everybody's. */
  personalisedPrice: 1,
  /** What fits say of the person: segments, chances, values. */
  profiling: 2,
  /** What the person does with an answer teaches the models. */
  measurement: 3,
  location: 4,
  /** Handing data on, as webhooks do. */
  sharing: 5,
} as const;
export const PURPOSE_NAMES = Object.keys(PURPOSE) as readonly (keyof typeof PURPOSE)[]; // its own keys

export const PURPOSES_MAX = 64;

/** Kinds of data that nobody may use unless the person has said so. */
export const SENSITIVE_CATEGORIES = [
  'health',
  'politics',
  'religion',
  'ethnicity',
  'sexuality',
  'unionMembership',
  'biometrics',
  'genetics',
  'conviction',
] as const;
export type SensitiveCategory = (typeof SENSITIVE_CATEGORIES)[number];

export interface Purpose {
  readonly index: number;
  readonly name: string;
  readonly hash: number;
  /** Whether it is allowed while the person has said nothing. */
  readonly isGrantedByDefault: boolean;
  /** Whether it takes a minor's own word, whatever the default. */
  readonly isDeniedToMinors: boolean;
}

export interface ConsentRules {
  readonly purposes: readonly Purpose[];
  readonly byName: ReadonlyMap<string, Purpose>;
  readonly byHash: ReadonlyMap<number, Purpose>;
  /** By trait: index of the purpose it needs, or -1 for none. */
  readonly ofTrait: Int8Array;
  /** By channel: index of its contact purpose. */
  readonly ofChannel: Uint8Array;
  /** By purpose, for somebody who has said nothing: 1 allowed. */
  readonly defaults: Uint8Array;
  readonly hasDeniedDefault: boolean;
  /** Below this age the defaults of some purposes do not hold; null: nobody's age is looked at. */
  readonly minorAge: number | null;
  /** Index of the trait that says the age, or -1. */
  readonly ageTrait: number;
  /** Which words of TCF and GPP strings stand for which purposes, see `consent-signals.ts`. */
  readonly signals: readonly { readonly purpose: Purpose; readonly words: readonly string[] }[];
  /** Whether the catalog says so itself: then strings are expected. */
  readonly expectsSignals: boolean;
  /** The operator's number in IAB's Global Vendor List, or null for one who is no vendor. */
  readonly tcfVendor: number | null;
  /** Indices of the purposes that `Sec-GPC: 1` refuses. */
  readonly ofOptOut: Uint8Array;
}

/** What is looked at of a trait; a channel has a key. */
interface NamedTrait {
  readonly name: string;
  readonly type: string;
  readonly isFact: boolean;
}

export interface ConsentDeclaration {
  readonly minorAge: number | null;
  readonly ageTrait: number;
  /** Of purposes that the catalog names: whether they are granted by default. */
  readonly defaults: ReadonlyMap<string, boolean>;
  /** Of traits that name a purpose or a sensitive category: the purpose. */
  readonly ofTrait: ReadonlyMap<string, string>;
  /** Of purposes whose signals the catalog names: the words; null where it names none. */
  readonly signals: ReadonlyMap<string, readonly string[]> | null;
  readonly tcfVendor: number | null;
}

export function contactPurpose(channel: string): string {
  return `contact.${channel}`;
}
export function categoryPurpose(category: SensitiveCategory): string {
  return `category.${category}`;
}

/** @param hashOf the hash under which a purpose stands in records */
export function consentRules(
  { minorAge, ageTrait, defaults, ofTrait, signals, tcfVendor }: ConsentDeclaration,
  traits: readonly NamedTrait[],
  channels: readonly { readonly key: string }[],
  hashOf: (text: string) => number,
): ConsentRules {
  const names = new Set<string>([
    ...PURPOSE_NAMES,
    ...channels.map(({ key }) => contactPurpose(key)),
    ...ofTrait.values(),
    ...defaults.keys(),
  ]);
  const minorsOwn: readonly string[] = ['personalisation', 'personalisedPrice', 'profiling'];
  const purposes = [...names].map((name, index): Purpose => {
    const isGrantedByDefault = defaults.get(name) ?? !name.startsWith('category.');
    return { index, name, hash: hashOf(name), isGrantedByDefault, isDeniedToMinors: minorsOwn.includes(name) };
  });
  const byName = new Map(purposes.map((purpose) => [purpose.name, purpose]));
  const indexOf = (name: string): number => byName.get(name)?.index ?? -1;
  const mapped = purposes.map((purpose) => ({
    purpose,
    words: signals?.get(purpose.name) ?? DEFAULT_SIGNALS[purpose.name] ?? [],
  }));
  return {
    purposes,
    byName,
    byHash: new Map(purposes.map((purpose) => [purpose.hash, purpose])),
    ofTrait: Int8Array.from(traits, (trait) => purposeOfTrait(trait, ofTrait, indexOf)),
    ofChannel: Uint8Array.from(channels, ({ key }) => indexOf(contactPurpose(key))),
    defaults: Uint8Array.from(purposes, ({ isGrantedByDefault }) => (isGrantedByDefault ? 1 : 0)),
    hasDeniedDefault: purposes.some(({ isGrantedByDefault }) => !isGrantedByDefault),
    minorAge,
    ageTrait,
    signals: mapped.filter(({ words }) => words.length > 0),
    expectsSignals: signals !== null,
    tcfVendor,
    ofOptOut: Uint8Array.from(
      mapped.filter(({ words }) => words.includes(GPC_WORD)),
      ({ purpose }) => purpose.index,
    ),
  };
}

/** The zone is needed for quiet hours, which are the person's right; the two old switches are consents themselves. */
function purposeOfTrait(
  { name, type, isFact }: NamedTrait,
  declared: ReadonlyMap<string, string>,
  indexOf: (name: string) => number,
): number {
  const named = declared.get(name);
  if (named !== undefined) return indexOf(named);
  if (type === 'timeZone' || name === 'consent' || name === 'personalPrice') return -1;
  return isFact ? PURPOSE.profiling : PURPOSE.personalisation;
}
