/**
 * One person under several keys: what a record and its cold section `ids` say of it. A profile that was joined into another
 * keeps its record as a signpost (`moved`: the other's hash) and is asked no more; the one that holds the person knows
 * each key that was joined, as keyed hashes: of the keys themselves nothing is kept.
 *
 *   record of the joined key: moved ─▸ (partition, hash)          cold section ids of the other: hash ─▸ since, raisedBy, …
 *
 * Numbers of decisions are a profile's own, so those of a joined profile are raised by what the other had reached. An id
 * given out before names the hash it was made under, and is found again by that profile's `raisedBy`.
 */
import type { Plain, Properties } from '../proto/messages.ts';
import type { ColdRecord } from './ports.ts';
import type { ProfileRecord } from './profile-record.ts';
import { FIELD, RECORD_FLAG, STANDING } from './record-layout.ts';
import type { PersonHash } from './sealed-trait.ts';

/** Where a joined profile's person is now. */
export interface Signpost {
  readonly partition: number;
  readonly hashLow: number;
  readonly hashHigh: number;
}

/** Whether the record is a signpost: one look at a flag. */
export function isMoved(record: ProfileRecord): boolean {
  return (record.getU16(FIELD.flags) & RECORD_FLAG.moved) !== 0;
}

/** Of a signpost. */
export function signpostOf(record: ProfileRecord): Signpost {
  const found = momentOfKind(record, STANDING.moved);
  const packed = record.momentAmount(found);
  return {
    partition: packed % 256,
    hashLow: record.momentSubject(found),
    hashHigh: Math.floor(packed / 256),
  };
}

/** The amount of a `moved` moment: 40 bits. */
export function packedSign(partition: number, hashHigh: number): number {
  return hashHigh * 256 + partition;
}

/** Of a signpost whose joining is under way: its number; 0 when the other holds everything. */
export function joiningOf(record: ProfileRecord): number {
  for (let i = 0; i < record.momentCount; i++)
    if (record.momentKind(i) === STANDING.joining) return record.momentAmount(i);
  return 0;
}

/** Of such a signpost: the third word of the hash it joins, for a profile that is not there yet; else 0. */
export function joiningCheck(record: ProfileRecord): number {
  for (let i = 0; i < record.momentCount; i++)
    if (record.momentKind(i) === STANDING.joining) return record.momentSubject(i);
  return 0;
}

function momentOfKind(record: ProfileRecord, kind: number): number {
  for (let i = 0; i < record.momentCount; i++) if (record.momentKind(i) === kind) return i;
  throw new RangeError(`the record has no moment of kind ${kind}, which a flag says it has`);
}

/** Whose draws are the person's, where they last: into words high and low of `out`. */
export function assignmentOf(record: ProfileRecord, out: Uint32Array): void {
  if ((record.getU16(FIELD.flags) & RECORD_FLAG.assigned) === 0) {
    out[0] = record.hashHigh;
    out[1] = record.hashLow;
    return;
  }
  const found = momentOfKind(record, STANDING.assignment);
  out[0] = record.momentAmount(found);
  out[1] = record.momentSubject(found);
}

/** One key of a person, as the cold section `ids` keeps it. */
export interface JoinedKey {
  /** Number of the joining, so that one that is told twice counts once. */
  readonly seq: number;
  /** What the numbers of that profile's decisions were raised by. */
  readonly raisedBy: number;
  readonly atEpochMillis: number;
  readonly check: number;
  /** Key type, from the catalog's `identity`; absent for a key of none. */
  readonly type?: string;
  /** Names of the traits that the person has from there. */
  readonly took?: readonly string[];
  /** It came with a profile that had been joined from it before: that one's name. */
  readonly by?: string;
  /** Where the newest entry under the key stood: its departure. Absent of one that an older build joined. */
  readonly head?: string;
}

/** Partition and hash as the section's entry name. */
export function joinedName({ partition, hashHigh, hashLow }: Omit<PersonHash, 'hashCheck'>): string {
  const hex = (word: number): string => word.toString(16).padStart(8, '0');
  return `${partition.toString(16).padStart(2, '0')}-${hex(hashHigh)}${hex(hashLow)}`;
}

/** The hash behind an entry's name. */
export function joinedHash(name: string, check: number): PersonHash {
  return {
    partition: Number.parseInt(name.slice(0, 2), 16),
    hashHigh: Number.parseInt(name.slice(3, 11), 16),
    hashLow: Number.parseInt(name.slice(11, 19), 16),
    hashCheck: check,
  };
}

/** Every key a person was joined from. */
export function joinedKeys(cold: ColdRecord): ReadonlyMap<string, JoinedKey> {
  const section = (cold.sections?.ids ?? {}) as Readonly<Record<string, Properties>>; // written by a joining only
  const keys = Object.entries(section).filter(([name]) => HEX.test(name)) as unknown as [string, JoinedKey][]; // likewise
  return new Map(keys);
}

const HEX = /^[0-9a-f]/;

/** Before the name of a profile whose joining was refused: the entry says which, so that it stays refused. */
const REFUSAL_MARK = '!';
const REFUSALS_MAX = 64;
const REFUSAL_MILLIS = 3_600_000;

/** A joining that was refused, as the section keeps it for an hour. */
export interface RefusedJoining {
  readonly seq: number;
  readonly code: number;
  readonly atEpochMillis: number;
}

export function refusedJoining(cold: ColdRecord, name: string): RefusedJoining | undefined {
  return cold.sections?.ids?.[`${REFUSAL_MARK}${name}`] as RefusedJoining | undefined; // written by `refusalEntries`
}

/** What changes in the section when a joining is refused: the note of it, and old ones that go. */
export function refusalEntries(cold: ColdRecord, name: string, refusal: RefusedJoining): Record<string, Plain> {
  const notes = Object.entries((cold.sections?.ids ?? {}) as Record<string, Properties>)
    .filter(([entry]) => entry.startsWith(REFUSAL_MARK))
    .sort(([, a], [, b]) => Number(b.atEpochMillis) - Number(a.atEpochMillis));
  const old = notes.filter(
    ([, { atEpochMillis }], i) =>
      i >= REFUSALS_MAX - 1 || refusal.atEpochMillis - Number(atEpochMillis) > REFUSAL_MILLIS,
  );
  return {
    ...Object.fromEntries(old.map(([entry]) => [entry, null])),
    [`${REFUSAL_MARK}${name}`]: { ...refusal },
  };
}

/** Notes of refusals that a joining profile brings along. */
export function refusalNotes(cold: ColdRecord): Record<string, Plain> {
  const entries = Object.entries((cold.sections?.ids ?? {}) as Record<string, Plain>);
  return Object.fromEntries(entries.filter(([entry]) => entry.startsWith(REFUSAL_MARK)));
}

/** Entry of the section in which a signpost keeps the type of its own key. */
export const OWN_KEY = '@own';

/** The type of the own key of a profile that is, or was, a signpost; null for none. */
export function ownKeyType(cold: ColdRecord): string | null {
  const own = cold.sections?.ids?.[OWN_KEY] as Properties | undefined; // written by `IdentityTurn` only
  return typeof own?.type === 'string' ? own.type : null;
}

/** Entry of the section in which a signpost keeps that it is to stand alone again, until the other has let it go. */
const LEAVING = '@leaving';

export function isLeaving(cold: ColdRecord): boolean {
  return cold.sections?.ids?.[LEAVING] === true;
}

/** What changes in the section when a signpost begins to leave, or has ended to. */
export function leavingEntry(leaves: boolean): Record<string, Plain> {
  return { [LEAVING]: leaves ? true : null };
}

/** For `profile`: the person's keys, the newest last; null for one who was never joined. */
export function describeIdentity(cold: ColdRecord): Plain | null {
  const keys = [...joinedKeys(cold)];
  if (keys.length === 0) return null;
  keys.sort(([, a], [, b]) => a.atEpochMillis - b.atEpochMillis);
  return keys.map(([name, key]) => describeKey(name, key));
}

export function describeKey(name: string, { atEpochMillis, type, by }: JoinedKey): Properties {
  return {
    key: name,
    sinceEpochMillis: atEpochMillis,
    ...(type === undefined ? {} : { type }),
    ...(by === undefined ? {} : { by }),
  };
}
