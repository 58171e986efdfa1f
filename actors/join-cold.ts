/**
 * What changes in a person's cold record when another profile joins theirs, or leaves it: worked out once, by the turn,
 * and applied as absolute values, so that a recovery that applies them to a newer record comes to the same. A trait
 * both have stays as the profile that stays has it; of consent the stricter state holds, and both histories are kept.
 */
import type { Plain, Properties } from '../proto/messages.ts';
import { mergeEntries, type SectionEntries } from './cold-sections.ts';
import { type JoinedKey, joinedKeys, joinedName, refusalNotes } from './identity.ts';
import { HISTORY_MAX, type KeptState, type KeptStates } from './kept-states.ts';
import type { ColdRecord, TraitValues } from './ports.ts';
import { type PersonHash, SealedTrait, type TraitValue } from './sealed-trait.ts';

/** Values anew, null for what goes; a section's by entry. */
export interface ColdChanges {
  readonly traits: Readonly<Record<string, TraitValue | null>>;
  readonly keyIds: readonly string[];
  readonly sections: Readonly<Record<string, SectionEntries>>;
}

/** Applies changes in place. */
export function applyColdChanges(cold: ColdRecord, { traits, keyIds, sections }: ColdChanges): void {
  for (const [name, value] of Object.entries(traits)) {
    if (value === null) delete cold.traits[name];
    else cold.traits[name] = value;
  }
  for (const keyId of keyIds) {
    cold.keyIds ??= [];
    if (!cold.keyIds.includes(keyId)) cold.keyIds.push(keyId);
  }
  for (const [section, entries] of Object.entries(sections)) mergeEntries(cold, section, entries);
}

/**
 * @param own the cold record of the profile that stays
 * @param theirs the joining one's
 * @param traits of it, as they may lie in the own record: sealed for the profile that stays
 * @param newKeyId a key taken for that; those of the joining profile stay its own, and are erased by its own shard
 * @param key what is kept of the joining key
 */
export function changesOfJoining(
  own: ColdRecord,
  theirs: ColdRecord,
  traits: TraitValues,
  newKeyId: string | null,
  from: PersonHash,
  key: JoinedKey,
): ColdChanges {
  const taken = Object.fromEntries(Object.entries(traits).filter(([name]) => !Object.hasOwn(own.traits, name)));
  const sections: Record<string, Record<string, Plain | SealedTrait>> = {};
  for (const [section, entries] of Object.entries(theirs.sections ?? {})) {
    // Letters stay under the key they were written to, with the key they are sealed under.
    if (section === 'ids' || section === 'letters') continue;
    const kept = own.sections?.[section] ?? {};
    if (section === 'consent')
      sections.consent = joinedConsent(kept as unknown as KeptStates, entries as unknown as KeptStates); // by name
    else sections[section] = Object.fromEntries(Object.entries(entries).filter(([name]) => !Object.hasOwn(kept, name)));
  }
  sections.ids = joinedIds(theirs, from, { ...key, took: Object.keys(taken) }, taken);
  return { traits: taken, keyIds: newKeyId === null ? [] : [newKeyId], sections };
}

/** The joining profile's own key, and those it was joined from before: with those of their traits that came along. */
function joinedIds(theirs: ColdRecord, from: PersonHash, key: JoinedKey, taken: TraitValues): Record<string, Plain> {
  const name = joinedName(from);
  const ids: Record<string, Plain> = { ...refusalNotes(theirs), [name]: { ...key } };
  for (const [other, before] of joinedKeys(theirs)) {
    const took = before.took?.filter((trait) => Object.hasOwn(taken, trait)) ?? [];
    ids[other] = { ...before, raisedBy: before.raisedBy + key.raisedBy, by: before.by ?? name, took };
  }
  return ids;
}

function joinedConsent(own: KeptStates, theirs: KeptStates): Record<string, Plain> {
  const joined: Record<string, Plain> = {};
  for (const [name, state] of Object.entries(theirs)) {
    if (state === undefined) continue;
    const kept = own[name];
    joined[name] = { ...(kept === undefined ? state : joinedState(kept, state)) };
  }
  return joined;
}

function joinedState(own: KeptState, theirs: KeptState): KeptState {
  const isTheirs = isStricter(theirs.now, own.now);
  const now = isTheirs ? theirs.now : own.now;
  const rest = [isTheirs ? own.now : theirs.now, ...own.before, ...theirs.before];
  rest.sort((a, b) => Number(b.atEpochMillis) - Number(a.atEpochMillis));
  const seen = new Set<string>([JSON.stringify(now)]);
  const before: Properties[] = [];
  for (const state of rest) {
    const text = JSON.stringify(state);
    if (!seen.has(text)) before.push(state);
    seen.add(text);
  }
  return { now, before: before.slice(0, HISTORY_MAX) };
}

function isStricter(state: Properties, than: Properties): boolean {
  if (state.granted === than.granted) return Number(state.atEpochMillis) > Number(than.atEpochMillis);
  return state.granted === false || (state.granted !== true && than.granted !== false);
}

/** Names of the keys that go with one that leaves: its own, and those that had come with it. */
export function keysWith(own: ColdRecord, name: string): string[] {
  const keys = joinedKeys(own);
  const going = new Set([name]);
  // An entry names who it came with, which came before or with it: as many rounds as there are generations.
  for (let before = 0; before < going.size; ) {
    before = going.size;
    for (const [other, { by }] of keys) if (by !== undefined && going.has(by)) going.add(other);
  }
  return [...going];
}

/**
 * @param theirs the leaving profile's cold record, as it was when it joined
 * @param going what `keysWith` says
 */
export function changesOfUnjoining(
  own: ColdRecord,
  theirs: ColdRecord,
  name: string,
  going: readonly string[],
): ColdChanges {
  const took = joinedKeys(own).get(name)?.took ?? [];
  const traits: Record<string, null> = {};
  for (const trait of took) {
    const value = own.traits[trait];
    if (value instanceof SealedTrait || (value !== undefined && value === theirs.traits[trait])) traits[trait] = null;
  }
  return { traits, keyIds: [], sections: { ids: Object.fromEntries(going.map((key) => [key, null])) } };
}
