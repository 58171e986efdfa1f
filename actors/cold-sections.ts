/**
 * Sections of the cold record: what is known of a person beside traits and too large or too seldom read for the
 * record in memory (proofs of consent, ids, a journey's history). A section is a map of entries; a change is one effect that
 * names the section and gives some entries their values anew, null for one that goes. Values are absolute, so that
 * a recovery that applies one twice comes to the same. Read with `runtime.readCold().sections?.[name]`.
 */
import type { Plain } from '../proto/messages.ts';
import { EFFECT, type Effect, SECTION_EFFECT } from './effect.ts';
import type { ColdCodec, ColdRecord } from './ports.ts';
import { SealedTrait } from './sealed-trait.ts';

/** Who may have a section; each is written by one turn's file. */
export const SECTION_NAMES = [
  'ids',
  'consent',
  'privacy',
  'journeys',
  'tags',
  'devices',
  'quality',
  'letters',
] as const;
export type SectionName = (typeof SECTION_NAMES)[number];

export type SectionEntries = { readonly [entry: string]: Plain | SealedTrait };

/** Makes `effect` a change of one section; committed by `ActorRuntime.commitSection`. */
export function writeSection(
  effect: Effect,
  section: SectionName,
  entries: SectionEntries,
  codec: Pick<ColdCodec, 'encodeProperties'>,
): void {
  const bytes = codec.encodeProperties({ ...entries, [SECTION_KEY]: section });
  effect.begin(EFFECT.section, SECTION_EFFECT.content - 48 + bytes.length);
  effect.setU32(SECTION_EFFECT.contentBytes, bytes.length);
  effect.u8.set(bytes, SECTION_EFFECT.content);
}

/** No entry has this name. */
const SECTION_KEY = '';

/** Which section an effect changes, and its entries. */
export function sectionOf(
  effect: Effect,
  codec: Pick<ColdCodec, 'decodeProperties'>,
): { section: string; entries: SectionEntries } {
  const end = SECTION_EFFECT.content + effect.getU32(SECTION_EFFECT.contentBytes);
  const { [SECTION_KEY]: section, ...entries } = codec.decodeProperties(effect.u8.slice(SECTION_EFFECT.content, end));
  return { section: String(section), entries };
}

/** Takes an effect's entries into a cold record, in place. */
export function mergeSection(cold: ColdRecord, effect: Effect, codec: Pick<ColdCodec, 'decodeProperties'>): void {
  const { section, entries } = sectionOf(effect, codec);
  mergeEntries(cold, section, entries);
}

/** Gives entries of a section their values anew, in place; null for one that goes. */
export function mergeEntries(cold: ColdRecord, section: string, entries: SectionEntries): void {
  const sections = cold.sections ?? {};
  const kept = sections[section] ?? {};
  for (const [name, value] of Object.entries(entries)) {
    if (value === null) delete kept[name];
    else kept[name] = value;
    if (value instanceof SealedTrait) keepKeyId(cold, value);
  }
  if (Object.keys(kept).length === 0) delete sections[section];
  else sections[section] = kept;
  cold.sections = sections;
}

/** The key's name outlives what it sealed: an erasure must find every key the journal may still hold values under. */
export function keepKeyId(cold: ColdRecord, { keyId }: SealedTrait): void {
  cold.keyIds ??= [];
  if (!cold.keyIds.includes(keyId)) cold.keyIds.push(keyId);
}
