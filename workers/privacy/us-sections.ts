/**
 * What GPP's sections of the USA say, by one table: which place of `SensitiveDataProcessing` and of
 * `KnownChildSensitiveDataConsents` stands for which words. The places mean other things in each state.
 *
 * Values are 0 not applicable, 1 opted out or no consent, 2 neither or consent. The first drafts of Virginia, Colorado,
 * Connecticut and California had the last two the other way round, as the library's README still has it; what was
 * released in December 2022 is read. The stricter reading holds where there is doubt:
 *
 * - that somebody did not opt out counts only beside a notice that was given; a notice that was not given is a no;
 * - a child without consent is a no to what that place speaks of; where the law makes all data of a child sensitive, to
 *   everything. With consent it takes such a no back, and grants nothing;
 * - being transgender or nonbinary is `us.sexuality`, national origin `us.ethnicity`, consumer health data `us.health`.
 *
 * No purpose is bound by places for citizenship, victims of crime, numbers of accounts and documents, and contents of
 * mail (`-`), nor by `PersonalDataConsents`, `AdditionalDataProcessingConsent` and opt-out option mode.
 *
 * Source: IAB Tech Lab, Global Privacy Platform, `Sections/US-National` and `Sections/US-States`, a file a state; 24 to
 * 27 as put out for comment in October 2025. Pure; the fields come from IAB's library, see `consent-strings.ts`.
 */
import {
  addSaying,
  GPC_WORD,
  SAYS,
  type Saying,
  US_CHILD,
  US_OPT_OUTS,
  US_SENSITIVE,
  US_SERVICE_PROVIDER,
} from '../../decision/consent-signals.ts';
import { BadString, Bits } from './string-bounds.ts';

/** Words by place, `+` between those of one place, `-` for none. */
const MOST_STATES = 'ethnicity religion health sexuality - genetics biometrics location';
const NATIONAL = `${MOST_STATES} - - unionMembership -`;
const TEENS = 'everything sale targetedAdvertising';

/** Section, version, places of sensitive data, what is asked of them, places of children. */
const ROWS = [
  [7, 'UsNat', 1, NATIONAL, 'consent', 'sale+sharing+targetedAdvertising everything'],
  [7, 'UsNat', 2, `${NATIONAL} health - ethnicity sexuality`, 'consent', 'everything everything everything'],
  [
    8,
    'UsCa',
    1,
    '- - location ethnicity+religion+unionMembership - genetics biometrics health sexuality',
    'optOut',
    'sale sharing',
  ],
  [9, 'UsVa', 1, MOST_STATES, 'consent', 'everything'],
  [10, 'UsCo', 1, 'ethnicity religion health sexuality - genetics biometrics', 'consent', 'everything'],
  [11, 'UsUt', 1, 'ethnicity religion sexuality - health genetics biometrics location', 'optOut', 'everything'],
  [12, 'UsCt', 1, MOST_STATES, 'consent', TEENS],
  [13, 'UsFl', 1, MOST_STATES, 'consent', 'everything sensitive sensitive'],
  [14, 'UsMt', 1, MOST_STATES, 'consent', TEENS],
  [
    15,
    'UsOr',
    1,
    'ethnicity religion health sexuality sexuality - ethnicity - genetics biometrics location',
    'consent',
    TEENS,
  ],
  [16, 'UsTx', 1, MOST_STATES, 'consent', 'everything'],
  [
    17,
    'UsDe',
    1,
    'ethnicity religion health sexuality sexuality - genetics biometrics location',
    'consent',
    `${TEENS} sale targetedAdvertising`,
  ],
  [18, 'UsIa', 1, MOST_STATES, 'optOut', 'everything'],
  [19, 'UsNe', 1, MOST_STATES, 'consent', 'everything'],
  [20, 'UsNh', 1, MOST_STATES, 'consent', TEENS],
  [21, 'UsNj', 1, `${MOST_STATES} sexuality -`, 'consent', `${TEENS} sale targetedAdvertising`],
  [22, 'UsTn', 1, MOST_STATES, 'consent', 'everything'],
  [23, 'UsMn', 1, MOST_STATES, 'consent', 'everything'],
  [24, 'UsMd', 1, '', 'consent', ''],
  [25, 'UsIn', 1, MOST_STATES, 'consent', 'everything'],
  [26, 'UsKy', 1, MOST_STATES, 'consent', 'everything'],
  [27, 'UsRi', 1, MOST_STATES, 'consent', 'everything'],
] as const;

type Words = readonly string[];

export interface UsSection {
  readonly id: number;
  /** What the library calls its class; in lower case, the section's own name. */
  readonly kind: (typeof ROWS)[number][1];
  readonly version: number;
  readonly sensitive: readonly Words[];
  /** Whether a person says yes to sensitive data, or is only asked whether they say no. */
  readonly asks: 'consent' | 'optOut';
  readonly child: readonly Words[];
}

const GROUPS: Readonly<Record<string, Words>> = {
  '-': [],
  sensitive: US_SENSITIVE,
  everything: [US_CHILD, ...US_OPT_OUTS, ...US_SENSITIVE],
};

function placesOf(text: string): Words[] {
  const places = text === '' ? [] : text.split(' ');
  return places.map((place) => GROUPS[place] ?? place.split('+').map((word) => `us.${word}`));
}

export const US_SECTIONS: readonly UsSection[] = ROWS.map(([id, kind, version, sensitive, asks, child]) => ({
  id,
  kind,
  version,
  sensitive: placesOf(sensitive),
  asks,
  child: placesOf(child),
}));

/** Fields of a section as the library gives them. */
export type UsFields = Readonly<Record<string, unknown>>;

const VALUE_MAX = 2;
const YES = 1;
const NOT_GIVEN = 2;
const GPC_SEGMENT = 1;
/** From here on the version is that of the agreement (MSPA), and a header is planned that begins with the section's number. */
const FIRST_WITH_HEADER = 24;
/** Sections with the sensitive data in a segment of their own, where others have GPC. */
const SENSITIVE_APART: ReadonlySet<string> = new Set(['UsIn', 'UsKy', 'UsRi']);
const OPT_OUT_FIELDS = [
  ['SaleOptOut', 'us.sale'],
  ['SharingOptOut', 'us.sharing'],
  ['TargetedAdvertisingOptOut', 'us.targetedAdvertising'],
] as const;
const SENSITIVE_NOTICES = [
  'SensitiveDataProcessingOptOutNotice',
  'SensitiveDataOptOutNotice',
  'SensitiveDataLimitUseNotice',
];
const NOT_TWO_BITS: ReadonlySet<string> = new Set(['Version', 'MspaVersion', 'GpcSegmentType', 'Gpc']);

/**
 * Looks whether the text is whole and no longer than its fields, which the library does not.
 * @param blank fields of a new section of this kind
 * @returns the text as the library reads it rightly, and whether it carries the browser's signal
 * @throws BadString
 */
export function checkUsSection(
  text: string,
  id: number,
  blank: UsFields,
): { readonly section: UsSection; readonly text: string; readonly isGpc: boolean } {
  const versions = US_SECTIONS.filter((one) => one.id === id);
  const [core = '', second, ...others] = text.split('.');
  const bits = new Bits(core);
  const version = bits.take(6);
  if (id >= FIRST_WITH_HEADER && version === id) throw new BadString('begins with a header, which is not read here');
  const section = id >= FIRST_WITH_HEADER ? versions[0] : versions.find((one) => one.version === version);
  if (section === undefined) throw new BadString(`is of version ${version}; expected ${versions.length} at most`);
  const isApart = SENSITIVE_APART.has(section.kind);
  const single = Object.entries(blank).filter(([name, value]) => !NOT_TWO_BITS.has(name) && !isPlaces(name, value));
  const count = single.length + section.child.length + (isApart ? 0 : section.sensitive.length);
  bits.skip(2 * count);
  const whole = core.slice(0, Math.ceil((6 + 2 * count) / 6));
  bits.end();
  if (others.length > 0) throw new BadString('has more segments than it may have');
  if (second === undefined) return { section, text: whole, isGpc: false };
  const segment = new Bits(second);
  let isGpc = false;
  if (isApart) segment.skip(2 * section.sensitive.length);
  else {
    if (segment.take(2) !== GPC_SEGMENT) throw new BadString('has a segment of no known type');
    isGpc = segment.take(1) === 1;
  }
  segment.end();
  return { section, text: isApart ? `${whole}.${second}` : whole, isGpc };
}

function isPlaces(name: string, value: unknown): boolean {
  return Array.isArray(value) || name === 'KnownChildSensitiveDataConsents';
}

/**
 * Adds what a section says to what others said.
 * @throws BadString for a value above 2
 */
export function sayUsSection(section: UsSection, fields: UsFields, isGpc: boolean, said: Map<string, Saying>): void {
  for (const [name, value] of Object.entries(fields)) {
    const isKnown = NOT_TWO_BITS.has(name) || valuesOf(value).every((one) => one <= VALUE_MAX);
    if (!isKnown) throw new BadString(`has a value of no meaning in ${name}`);
  }
  const here = new Map<string, Saying>();
  const say = (words: Words, value: unknown, otherwise: Saying | null): void => {
    for (const word of words) {
      if (value === 1) addSaying(here, word, SAYS.no);
      else if (value === 2 && otherwise !== null) addSaying(here, word, otherwise);
    }
  };
  const refuse = (words: Words): void => say(words, 1, null);

  if (fields.SharingNotice === NOT_GIVEN || fields.ProcessingNotice === NOT_GIVEN) refuse(US_OPT_OUTS);
  for (const [field, word] of OPT_OUT_FIELDS) {
    const notice = fields[`${field}Notice`];
    if (notice === NOT_GIVEN) refuse([word]);
    say([word], fields[field], notice === YES ? SAYS.notRefused : null);
  }
  const notices = SENSITIVE_NOTICES.flatMap((name) => fields[name] ?? []);
  if (notices.includes(NOT_GIVEN)) refuse(section.sensitive.flat());
  const whereNotRefused = notices.includes(YES) ? SAYS.notRefused : null;
  const sensitive = valuesOf(fields.SensitiveDataProcessing);
  for (const [i, words] of section.sensitive.entries())
    say(words, sensitive[i], section.asks === 'consent' ? SAYS.yes : whereNotRefused);
  if (fields.MspaServiceProviderMode === 1 || fields.MspaMode === 2) refuse([US_SERVICE_PROVIDER]);
  const child = valuesOf(fields.KnownChildSensitiveDataConsents);
  for (const [i, words] of section.child.entries()) {
    if (child[i] === 1) refuse(words);
    // A parent's consent takes back what was refused for want of it, and is none to what a place of its own says.
    else if (child[i] === 2)
      say(
        words.filter((word) => !here.has(word)),
        2,
        SAYS.notRefused,
      );
  }
  if (isGpc) refuse([GPC_WORD]);
  for (const [word, saying] of here) addSaying(said, word, saying);
}

function valuesOf(value: unknown): readonly number[] {
  if (Array.isArray(value)) return value as number[]; // lists of the library hold numbers of two bits
  return typeof value === 'number' ? [value] : [];
}

/**
 * `uspv1`, the older string of California: `1YNN`.
 * @throws BadString
 */
export function sayUspString(text: string, said: Map<string, Saying>): void {
  const [, notice, sale] = /^1([YN-])([YN-])[YN-]$/i.exec(text) ?? [];
  if (notice === undefined || sale === undefined) throw new BadString('is no 1 and three of Y, N and -');
  const isGiven = notice.toUpperCase() === 'Y';
  if (notice.toUpperCase() === 'N' || sale.toUpperCase() === 'Y') addSaying(said, 'us.sale', SAYS.no);
  else if (isGiven && sale.toUpperCase() === 'N') addSaying(said, 'us.sale', SAYS.notRefused);
}
