/**
 * How many people hold each tag, and how many a rule would match: one pass over the stored records, in a process beside
 * the node, with the very functions that decisions use. A rule is counted whole and clause by clause (the operands of its
 * top-level `&&`), so that it shows which of them cuts most.
 *
 * As exact as the records on disk: of a node that was stopped to the last event, of one that runs up to a checkpoint
 * ago, half a minute at most when it is busy. People whose data are stored and not used, and keys that lead to another's
 * record, are counted apart and match nothing. What no rule of the catalog in force counts is kept of nobody, so a new rule
 * over such an event is answered from what is there, and `unkept` names it.
 */

import { isMoved } from '../../actors/identity.ts';
import type { ColdRecord } from '../../actors/ports.ts';
import { ProfileIndex } from '../../actors/profile-index.ts';
import { ProfileRecord } from '../../actors/profile-record.ts';
import { ProfileScope } from '../../actors/profile-scope.ts';
import { FIELD } from '../../actors/record-layout.ts';
import { SealedTrait } from '../../actors/sealed-trait.ts';
import { Slab } from '../../actors/slab.ts';
import { isRestricted } from '../../actors/standing.ts';
import { fillTraitSlots } from '../../actors/trait-slots.ts';
import type { Catalog } from '../../decision/catalog.ts';
import { CatalogIndex } from '../../decision/catalog-index.ts';
import type { ZoneTable } from '../../decision/local-time.ts';
import type { Rule } from '../../decision/rule.ts';
import { coldCodec } from '../cold-codec.ts';

export interface TagCount {
  readonly tag: string;
  readonly family: string;
  readonly people: number;
}

export interface ClauseCount {
  readonly clause: string;
  /** People it holds for by itself. */
  readonly alone: number;
  /** People the rule would match without it. */
  readonly without: number;
}

export interface SegmentCounts {
  readonly atEpochMillis: number;
  /** Whose data may be used: what shares are of. */
  readonly people: number;
  readonly restricted: number;
  readonly tags: readonly TagCount[];
  readonly rule: { readonly matches: number; readonly clauses: readonly ClauseCount[] } | null;
}

/** Where the records come from. */
export interface RecordSource {
  records(): Iterable<{ readonly bytes: Uint8Array }>;
  getCold(partition: number, hashHigh: number, hashLow: number): Uint8Array | undefined;
}

/**
 * @param catalog the one in force; with a rule, the same with that rule as one of its tags
 * @param rule of the catalog's, or null
 * @param onProgress told how many records were read
 */
export function countSegments(
  source: RecordSource,
  catalog: Catalog,
  rule: Rule | null,
  zones: ZoneTable,
  now: number,
  onProgress: (records: number) => void = () => {},
): SegmentCounts {
  const index = new CatalogIndex(catalog);
  const record = new ProfileRecord(new Slab(), new ProfileIndex());
  const coldOf = (of: ProfileRecord): ColdRecord => {
    const bytes = source.getCold(of.partition, of.hashHigh, of.hashLow);
    return bytes === undefined ? { traits: {} } : coldCodec.decode(bytes);
  };
  const scope = new ProfileScope(zones, record, index, (of, name) => {
    const value = coldOf(of).traits[name];
    return value === undefined || value instanceof SealedTrait ? '' : String(value);
  });
  const defaultZone = zones.zoneIndexByName(catalog.timeZone);
  const held = new Float64Array(catalog.tags.length);
  const clauses = rule?.clauses ?? [];
  const alone = new Float64Array(clauses.length);
  const without = new Float64Array(clauses.length);
  let people = 0;
  let restricted = 0;
  let matches = 0;
  let read = 0;
  for (const { bytes } of source.records()) {
    onProgress(++read);
    record.load(bytes);
    if (isRestricted(record)) {
      if (!isMoved(record)) restricted++;
      record.drop();
      continue;
    }
    people++;
    if (record.getU32(FIELD.traitSchema) !== catalog.traitSchemaHash) {
      record.resizeTraits(catalog.traits.length, catalog.traitSchemaHash);
      fillTraitSlots(record, catalog.traits, coldOf(record));
    }
    scope.bind(record, index, null, now, defaultZone);
    for (let tag = 0; tag < held.length; tag++) if (scope.holdsTag(tag)) held[tag] = (held[tag] as number) + 1; // below length
    if (rule?.evaluate(scope) === true) matches++;
    let failing = -1;
    let failures = 0;
    for (let i = 0; i < clauses.length; i++) {
      if (clauses[i]?.evaluate(scope) === true)
        alone[i] = (alone[i] as number) + 1; // below length
      else {
        failing = i;
        failures++;
      }
    }
    for (let i = 0; i < clauses.length; i++)
      if (failures === 0 || (failures === 1 && failing === i)) without[i] = (without[i] as number) + 1; // below length
    record.drop();
  }
  return {
    atEpochMillis: now,
    people,
    restricted,
    tags: catalog.tags
      .filter(({ when }) => rule === null || when !== rule)
      .map(({ index: tag, key, family }) => ({ tag: key, family, people: held[tag] as number })), // as many as tags
    rule:
      rule === null
        ? null
        : {
            matches,
            clauses: clauses.map(({ source: clause }, i) => ({
              clause,
              alone: alone[i] as number, // as many as clauses
              without: without[i] as number, // likewise
            })),
          },
  };
}

/** Events that the rule counts, or counts for longer, than anybody's record keeps under the catalog in force. */
export function unkeptBy(inForce: Catalog, withRule: Catalog): string[] {
  const longest = new Map<string, number>();
  for (const { event, windowMillis } of inForce.counters)
    longest.set(event, Math.max(longest.get(event) ?? 0, windowMillis));
  const unkept = withRule.counters.filter(({ event, windowMillis }) => !((longest.get(event) ?? 0) >= windowMillis));
  return [...new Set(unkept.map(({ event }) => event))];
}
