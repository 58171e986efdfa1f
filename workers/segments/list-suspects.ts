/**
 * Everybody who holds a tag that is a suspicion, of now (`present-people.ts`): who it is by their keyed hash, since when, and
 * what the tag's rule counted, so that an operator can judge a rule by whom it catches. The newest first; beyond the bound
 * they are counted only. Runs in a thread of the job pool or in a command, beside the node.
 */
import { isMoved } from '../../actors/identity.ts';
import { isRestricted } from '../../actors/standing.ts';
import type { Catalog } from '../../decision/catalog.ts';
import type { Tag } from '../../decision/tag.ts';
import { unusualOf, usualKey } from '../../decision/usual-feed.ts';
import { personName } from '../audit/audit-record.ts';
import { type CatalogSource, compileCatalogSource } from '../catalog/catalog-source.ts';
import { epochMillis } from '../clock.ts';
import { EVERYBODY, PresentPeople } from './present-people.ts';

/** People named; of more the newest. */
export const SUSPECTS_MAX = 1_000;

export interface Evidence {
  /** As a rule asks for it: `count("click", 60 s)`. */
  readonly reading: string;
  readonly value: number;
}

export interface Suspect {
  /** The keyed hash, as `opportune log` shows it. */
  readonly person: string;
  readonly tag: string;
  readonly sinceEpochMillis: number;
  /** The record keeps data unused: nothing is decided from it, suspicion or not. */
  readonly isRestricted: boolean;
  /** Of now: what a rule counted at first may have passed. */
  readonly evidence: readonly Evidence[];
}

export interface SuspectList {
  readonly atEpochMillis: number;
  readonly people: number;
  /** How many hold each suspicion. */
  readonly tags: { readonly [tag: string]: number };
  readonly suspects: readonly Suspect[];
}

export interface ListSuspectsInput {
  /** The store's folder, `<data>/store`. */
  readonly storePath: string;
  /** The catalog in force. */
  readonly catalog: CatalogSource;
}

/**
 * @param onProgress how many records were looked at, of how many
 * @throws StoreError `OPEN_FAILED` where no node has run, `CORRUPT`
 */
export async function listSuspects(
  { storePath, catalog: source }: ListSuspectsInput,
  onProgress: (read: number, total: number) => void = () => {},
): Promise<SuspectList> {
  const catalog = compileCatalogSource(source);
  return PresentPeople.read(storePath, catalog, (present) => listOf(present, catalog, onProgress));
}

function listOf(
  present: PresentPeople,
  catalog: Catalog,
  onProgress: (read: number, total: number) => void,
): SuspectList {
  const { record, scope, index, defaultZone } = present.runtime;
  const now = epochMillis();
  const total = present.expected(EVERYBODY);
  const tags = Object.fromEntries(catalog.suspicions.map((tag) => [catalog.tags[tag]?.key ?? '', 0]));
  let suspects: Suspect[] = [];
  let people = 0;
  let read = 0;
  if (catalog.suspicions.length > 0)
    present.forEach(EVERYBODY, () => {
      onProgress(++read, total);
      // A key that was joined with another's: the person is there.
      if (isMoved(record)) return;
      scope.bind(record, index, null, now, defaultZone);
      const held = catalog.suspicions.filter((tag) => scope.holdsTag(tag)).map((tag) => catalog.tags[tag] as Tag); // its own
      if (held.length === 0) return;
      people++;
      for (const tag of held) {
        tags[tag.key] = (tags[tag.key] ?? 0) + 1;
        suspects.push({
          person: personName(record.hashHigh, record.hashLow),
          tag: tag.key,
          sinceEpochMillis: scope.tagSince(tag.index),
          isRestricted: isRestricted(record),
          evidence: evidenceOf(tag, catalog, present),
        });
      }
      if (suspects.length >= 2 * SUSPECTS_MAX) suspects = newest(suspects);
    });
  return { atEpochMillis: now, people, tags, suspects: newest(suspects) };
}

function newest(suspects: Suspect[]): Suspect[] {
  return suspects.sort((a, b) => b.sinceEpochMillis - a.sinceEpochMillis).slice(0, SUSPECTS_MAX);
}

/** With the scope bound: what the tag's rule reads of events. */
function evidenceOf({ dependsOn }: Tag, catalog: Catalog, { runtime }: PresentPeople): Evidence[] {
  const { scope, feeds } = runtime;
  const counters = new Set([...dependsOn.windows, ...dependsOn.scores].map(({ counter }) => counter));
  const counted = [...counters].flatMap((counter): Evidence[] => {
    const { event = '', property = null, windowMillis = 0 } = catalog.counters[counter] ?? {};
    const span = `${windowMillis / 1000} s`;
    if (property === null) {
      const value = scope.counterCount(counter);
      const key = usualKey(event, windowMillis);
      const unusual = unusualOf(value, feeds, catalog.usualFeed, key, scope.nowEpochMillis());
      const score = { reading: `unusual("${event}", ${span})`, value: Math.round(unusual * 10) / 10 };
      return [{ reading: `count("${event}", ${span})`, value }, ...(Number.isNaN(unusual) ? [] : [score])];
    }
    const sum = { reading: `sum("${event}", "${property}", ${span})`, value: scope.counterSum(counter) };
    return [sum];
  });
  const values = dependsOn.valueReadings.map((reading): Evidence => {
    const { read = '', event = '', property = '' } = catalog.valueReadings[reading] ?? {};
    return { reading: `${read} of "${property}" in "${event}"`, value: scope.valueReading(reading) };
  });
  return [...counted, ...values];
}
