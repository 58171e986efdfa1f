/**
 * TCF and GPP strings to words of `decision/consent-signals.ts`: which purposes, opt-outs and sensitive categories a
 * person has said yes or no to. The strings are walked for soundness first (`string-bounds.ts`), then decoded by IAB
 * Tech Lab's own library (Canada's by `canada-string.ts`), and never altered: what came is what is kept as proof.
 *
 * The library is some 3 MB and 50 ms of loading, which only who gets such strings shall pay: it is loaded with the
 * first string, or at the start where the catalog has `consent.signals`. Decoding takes some 0.2 ms, of the largest
 * string that is taken 2 ms; it is done before the turn touches anything. Called by the turn of the operation `consent`.
 */
import { createRequire } from 'node:module';
import type * as Library from '@iabgpp/cmpapi';
import { addSaying, GPC_WORD, SAYS, type Saying, type SignalWords } from '../../decision/consent-signals.ts';
import { readCanadaString } from './canada-string.ts';
import { BadString, checkTcfString, gppSections } from './string-bounds.ts';
import { checkUsSection, sayUspString, sayUsSection, US_SECTIONS, type UsFields } from './us-sections.ts';

/** The longest string that is looked at; those of consent platforms have some hundred characters. */
const STRING_CHARACTERS_MAX = 4096;
/** Sections of the states of the USA have twenty or so. */
const US_SECTION_CHARACTERS_MAX = 256;
const TCF_SECTION = 2;
const CANADA_SECTION = 5;
const USP_SECTION = 6;
const POLICY_OF_2_3 = 5;
/**
 * Purposes that may rest on a legitimate interest, or on implied consent in Canada; the others take consent. TCF Canada
 * leaves that to each vendor. Profiles and what is chosen by them take express consent here, as in Europe: in Quebec what
 * profiles a person is off until they turn it on (Act respecting the protection of personal information in the private
 * sector, s. 8.1), and whether that covers all personal advertising is disputed, so the stricter reading holds.
 */
const INTEREST_PURPOSES: ReadonlySet<number> = new Set([2, 7, 8, 9, 10, 11]);
const RESTRICTION = { notAllowed: 0, needsConsent: 1, needsInterest: 2 } as const;

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
  const has = (field: string): boolean =>
    vendor === null || (section.getFieldValue(field) as number[]).includes(vendor); // vectors of vendors
  // A vendor that was not shown to the person has nothing; before 2.3 the segment that says it could be missing.
  const saysShown = /\.[I-P]/.test(text) || Number(section.getFieldValue('PolicyVersion')) >= POLICY_OF_2_3;
  sayTcf(
    {
      consents: flags('PurposeConsents'),
      interests: flags('PurposeLegitimateInterests'),
      features: flags('SpecialFeatureOptins'),
      hasConsent: has('VendorConsents'),
      hasInterest: has('VendorLegitimateInterests'),
      isShown: vendor === null || !saysShown || has('VendorsDisclosed'),
      restrictions: vendor === null ? [] : restrictionsOf(section, vendor),
    },
    1,
    said,
  );
}

function readCanada(text: string, vendor: number | null, now: number, said: Map<string, Saying>): void {
  const { express, implied, hasExpress, hasImplied, ...others } = readCanadaString(text, vendor, now);
  // The place of purpose 1 is there and not used in Canada.
  sayTcf(
    { ...others, consents: express, interests: implied, hasConsent: hasExpress, hasInterest: hasImplied },
    2,
    said,
  );
}

/** What a TCF string says, whatever its country. */
interface TcfFields {
  /** By purpose, less one. */
  readonly consents: readonly boolean[];
  readonly interests: readonly boolean[];
  readonly features: readonly boolean[];
  /** Of the vendor; true for who is none. */
  readonly hasConsent: boolean;
  readonly hasInterest: boolean;
  readonly isShown: boolean;
  readonly restrictions: readonly { readonly key: number; readonly type: number }[];
}

function sayTcf(fields: TcfFields, firstPurpose: number, said: Map<string, Saying>): void {
  const { consents, interests, features, hasConsent, hasInterest, isShown, restrictions } = fields;
  for (let purpose = firstPurpose; purpose <= consents.length; purpose++) {
    const restricted = restrictions.filter(({ key }) => key === purpose).map(({ type }) => type);
    const mayConsent = hasConsent && !restricted.includes(RESTRICTION.needsInterest);
    const mayInterest = hasInterest && INTEREST_PURPOSES.has(purpose) && !restricted.includes(RESTRICTION.needsConsent);
    const isYes =
      isShown &&
      !restricted.includes(RESTRICTION.notAllowed) &&
      ((mayConsent && consents[purpose - 1] === true) || (mayInterest && interests[purpose - 1] === true));
    addSaying(said, `tcf.${purpose}`, isYes ? SAYS.yes : SAYS.no);
  }
  for (const [i, isIn] of features.entries())
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
    else if (id === CANADA_SECTION) within('tcfcav1', () => readCanada(content, vendor, now, said));
    else if (id === USP_SECTION) within('uspv1', () => sayUspString(content, said));
    else readUsSection(id, content, said);
  }
}

/** Says of a bad section which it is. */
function within(name: string, read: () => void): void {
  try {
    read();
  } catch (error) {
    throw new BadString(`has a section ${name} that ${reasonOf(error)}`);
  }
}

/** A section of the USA; one of elsewhere is kept and not read. */
function readUsSection(id: number, text: string, said: Map<string, Saying>): void {
  const known = US_SECTIONS.find((one) => one.id === id);
  if (known === undefined) return;
  within(known.kind.toLowerCase(), () => {
    if (text.length > US_SECTION_CHARACTERS_MAX)
      throw new BadString(`is longer than ${US_SECTION_CHARACTERS_MAX} characters`);
    const kind = loadConsentStrings()[known.kind];
    const sound = checkUsSection(text, id, new kind().toObj() as UsFields); // plain objects of the section's fields
    sayUsSection(sound.section, new kind(sound.text).toObj() as UsFields, sound.isGpc, said); // likewise
  });
}
