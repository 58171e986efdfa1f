/**
 * TCF and GPP strings to words of `decision/consent-signals.ts`: which purposes, opt-outs and sensitive categories a
 * person has said yes or no to. The strings are walked for soundness first (`string-bounds.ts`), then decoded by IAB
 * Tech Lab's own library, and never altered: what came is what is kept as proof.
 *
 * The library is some 3 MB and 50 ms of loading, which only who gets such strings shall pay: it is loaded with the
 * first string, or at the start where the catalog has `consent.signals`. Decoding takes some 0.2 ms, of the largest
 * string that is taken 2 ms; it is done before the turn touches anything. Called by the turn of the operation `consent`.
 */
import { createRequire } from 'node:module';
import type * as Library from '@iabgpp/cmpapi';
import {
  addSaying,
  GPC_WORD,
  SAYS,
  type Saying,
  type SignalWords,
  type US_OPT_OUTS,
  type US_SENSITIVE,
} from '../../decision/consent-signals.ts';
import { BadString, checkTcfString, gppSections } from './string-bounds.ts';

/** The longest string that is looked at; those of consent platforms have some hundred characters. */
const STRING_CHARACTERS_MAX = 4096;
/** Sections of the states of the USA have twenty or so. */
const US_SECTION_CHARACTERS_MAX = 256;
const TCF_SECTION = 2;
const POLICY_OF_2_3 = 5;
/** Purposes that may rest on a legitimate interest; the others take consent. */
const INTEREST_PURPOSES: ReadonlySet<number> = new Set([2, 7, 8, 9, 10, 11]);
const RESTRICTION = { notAllowed: 0, needsConsent: 1, needsInterest: 2 } as const;

/** By place in `SensitiveDataProcessing`: the words of it. Other states' are not read yet. */
const NATIONAL_SENSITIVE: readonly (readonly (typeof US_SENSITIVE)[number][])[] = [
  ['us.ethnicity'],
  ['us.religion'],
  ['us.health'],
  ['us.sexuality'],
  [],
  ['us.genetics'],
  ['us.biometrics'],
  ['us.location'],
  [],
  [],
  ['us.unionMembership'],
];
const CALIFORNIAN_SENSITIVE: typeof NATIONAL_SENSITIVE = [
  [],
  [],
  ['us.location'],
  ['us.ethnicity', 'us.religion', 'us.unionMembership'],
  [],
  ['us.genetics'],
  ['us.biometrics'],
  ['us.health'],
  ['us.sexuality'],
];
const US_FIELDS: Readonly<Record<string, (typeof US_OPT_OUTS)[number]>> = {
  SaleOptOut: 'us.sale',
  SharingOptOut: 'us.sharing',
  TargetedAdvertisingOptOut: 'us.targetedAdvertising',
};

export interface ConsentStrings {
  readonly tcf: string | null;
  readonly gpp: string | null;
  readonly isGpc: boolean;
}

let library: typeof Library | null = null;

/** Loads the library, some 50 ms; later calls return at once. */
export function loadConsentStrings(): typeof Library {
  library ??= createRequire(import.meta.url)('@iabgpp/cmpapi') as typeof Library; // what the package exports
  return library;
}

/**
 * What the strings say.
 * @param vendor number of the operator in IAB's Global Vendor List, or null for one who is no vendor
 * @returns the words, or what is wrong with which string: `tcf: is truncated`
 */
export function readConsentStrings(
  { tcf, gpp, isGpc }: ConsentStrings,
  vendor: number | null,
  now: number,
): SignalWords | string {
  const said = new Map<string, Saying>();
  if (isGpc) addSaying(said, GPC_WORD, SAYS.no);
  try {
    if (tcf !== null) readTcf(tcf, vendor, now, said);
  } catch (error) {
    return `tcf: ${reasonOf(error)}`;
  }
  try {
    if (gpp !== null) readGpp(gpp, vendor, now, said);
  } catch (error) {
    return `gpp: ${reasonOf(error)}`;
  }
  return said;
}

/** The library's own errors quote the string, which is the person's. */
function reasonOf(error: unknown): string {
  return error instanceof BadString ? error.message : 'cannot be decoded';
}

function readTcf(text: string, vendor: number | null, now: number, said: Map<string, Saying>): void {
  if (text.length > STRING_CHARACTERS_MAX) throw new BadString(`is longer than ${STRING_CHARACTERS_MAX} characters`);
  checkTcfString(text, now);
  const section = new (loadConsentStrings().TcfEuV2)(text);
  const flags = (field: string): readonly boolean[] => section.getFieldValue(field) as boolean[]; // bitfields of the section
  const consents = flags('PurposeConsents');
  const interests = flags('PurposeLegitimateInterests');
  const has = (field: string): boolean =>
    vendor === null || (section.getFieldValue(field) as number[]).includes(vendor); // vectors of vendors
  // A vendor that was not shown to the person has nothing; before 2.3 the segment that says it could be missing.
  const saysShown = /\.[I-P]/.test(text) || Number(section.getFieldValue('PolicyVersion')) >= POLICY_OF_2_3;
  const isShown = vendor === null || !saysShown || has('VendorsDisclosed');
  const byConsent = isShown && has('VendorConsents');
  const byInterest = isShown && has('VendorLegitimateInterests');
  const restrictions = vendor === null ? [] : restrictionsOf(section, vendor);
  for (let purpose = 1; purpose <= consents.length; purpose++) {
    const restricted = restrictions.filter(({ key }) => key === purpose).map(({ type }) => type);
    const mayConsent = byConsent && !restricted.includes(RESTRICTION.needsInterest);
    const mayInterest = byInterest && INTEREST_PURPOSES.has(purpose) && !restricted.includes(RESTRICTION.needsConsent);
    const isYes =
      !restricted.includes(RESTRICTION.notAllowed) &&
      ((mayConsent && consents[purpose - 1] === true) || (mayInterest && interests[purpose - 1] === true));
    addSaying(said, `tcf.${purpose}`, isYes ? SAYS.yes : SAYS.no);
  }
  for (const [i, isIn] of flags('SpecialFeatureOptins').entries())
    addSaying(said, `tcf.feature.${i + 1}`, isIn && isShown ? SAYS.yes : SAYS.no);
}

function restrictionsOf(
  section: { getFieldValue(field: string): unknown },
  vendor: number,
): { key: number; type: number }[] {
  const entries = section.getFieldValue('PublisherRestrictions') as Library.RangeEntry[]; // the library's own entries
  return entries
    .filter((entry) => entry.getIds().includes(vendor))
    .map((entry) => ({ key: entry.getKey(), type: entry.getType() }));
}

function readGpp(text: string, vendor: number | null, now: number, said: Map<string, Saying>): void {
  if (text.length > STRING_CHARACTERS_MAX) throw new BadString(`is longer than ${STRING_CHARACTERS_MAX} characters`);
  for (const { id, text: content } of gppSections(text)) {
    if (content === '') throw new BadString(`is truncated: section ${id} is empty`);
    if (id === TCF_SECTION) readTcf(content, vendor, now, said);
    else readUsSection(id, content, said);
  }
}

/** A section of the USA; one of elsewhere is kept and not read. */
function readUsSection(id: number, text: string, said: Map<string, Saying>): void {
  const { UspV1, UsNat, UsCa, ...others } = loadConsentStrings();
  const states = [
    others.UsVa,
    others.UsCo,
    others.UsUt,
    others.UsCt,
    others.UsFl,
    others.UsMt,
    others.UsOr,
    others.UsTx,
  ];
  const newer = [
    others.UsDe,
    others.UsIa,
    others.UsNe,
    others.UsNh,
    others.UsNj,
    others.UsTn,
    others.UsMn,
    others.UsMd,
  ];
  const newest = [others.UsIn, others.UsKy, others.UsRi];
  const kind = [UspV1, UsNat, UsCa, ...states, ...newer, ...newest].find((one) => one.ID === id);
  if (kind === undefined) return;
  if (text.length > US_SECTION_CHARACTERS_MAX)
    throw new BadString(`has a section ${kind.NAME} longer than ${US_SECTION_CHARACTERS_MAX} characters`);
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = new kind(text).toObj() as Readonly<Record<string, unknown>>; // a plain object of the section's fields
  } catch {
    throw new BadString(`has a section ${kind.NAME} that cannot be decoded`);
  }
  const { Version: version, OptOutSale: sale, SensitiveDataProcessing: sensitive, Gpc: gpc } = fields;
  if (typeof version !== 'number' || version < 1 || version > kind.VERSION)
    throw new BadString(`has a section ${kind.NAME} of version ${String(version)}; expected ${kind.VERSION} at most`);
  if (kind === UspV1) addOptOut(said, 'us.sale', sale === 'Y' ? 1 : sale === 'N' ? 2 : 0);
  for (const [field, word] of Object.entries(US_FIELDS)) addOptOut(said, word, fields[field]);
  if (gpc === true) addSaying(said, GPC_WORD, SAYS.no);
  if (!Array.isArray(sensitive)) return;
  const table = kind === UsNat ? NATIONAL_SENSITIVE : kind === UsCa ? CALIFORNIAN_SENSITIVE : [];
  // The national section asks for consent, California's for the wish to limit.
  for (const [i, words] of table.entries())
    for (const word of words) addOptOut(said, word, sensitive[i], kind === UsNat ? SAYS.yes : SAYS.notRefused);
}

/** 0: does not apply, 1: opted out or no consent, 2: neither. */
function addOptOut(said: Map<string, Saying>, word: string, value: unknown, otherwise: Saying = SAYS.notRefused): void {
  if (value === 1) addSaying(said, word, SAYS.no);
  else if (value === 2) addSaying(said, word, otherwise);
}
