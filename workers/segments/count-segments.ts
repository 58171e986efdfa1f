/**
 * How many people hold each tag, are in each stage of a journey, and how many a rule would match: one pass over everybody in a store, with the very
 * functions that decisions use. A rule is counted whole and clause by clause (the operands of its top-level `&&`), so
 * that it shows which of them cuts most.
 *
 * Each person counts as they were at one instant between the beginning and the end of the pass; whatever was acknowledged
 * before it is in it. People whose data are stored and not used, and keys that lead to another's record, are counted
 * apart and match nothing. What no rule of the catalog in force counts is kept of nobody, so a new rule over such an
 * event is answered from what is there, and `unkept` names it. Runs in a thread of the job pool, or in a command.
 */

import { isMoved } from '../../actors/identity.ts';
import { isDevice, isRestricted } from '../../actors/standing.ts';
import { type ShareInterval, shareInterval } from '../../decision/batch/share-interval.ts';
import type { Catalog } from '../../decision/catalog.ts';
import { LEFT, OUTSIDE } from '../../decision/journey.ts';
import type { Rule } from '../../decision/rule.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import { loadCatalogText } from '../catalog/catalog-file.ts';
import { type CatalogSource, compileCatalogSource } from '../catalog/catalog-source.ts';
import { epochMillis } from '../clock.ts';
import { EVERYBODY, type HashRange, PresentPeople } from './present-people.ts';

/** No tag of a catalog has this name: keys begin with a letter or digit. */
const PREVIEW = 'rule.preview';

export interface TagCount {
  readonly tag: string;
  readonly family: string;
  readonly people: number;
}

export interface JourneyCount {
  readonly journey: string;
  readonly stages: readonly { readonly stage: string; readonly people: number }[];
  /** Who has left it, and who has reached its goal since they entered. */
  readonly left: number;
  readonly reached: number;
}

export interface ClauseCount {
  readonly clause: string;
  /** People it holds for by itself. */
  readonly alone: number;
  /** People the rule would match without it. */
  readonly without: number;
}

export interface RuleCount {
  readonly matches: number;
  readonly clauses: readonly ClauseCount[];
}

/** What a sample says of all: the counts beside it are of the sample. */
export interface SampleEstimate {
  /** People of whom about so many were looked at: restricted ones and joined keys among them. */
  readonly records: number;
  /** Share of people that the rule matches, at 95 %; null without a rule. */
  readonly share: ShareInterval | null;
}

export interface SegmentCounts {
  readonly startedAtEpochMillis: number;
  readonly atEpochMillis: number;
  /** Whose data may be used: what shares are of. */
  readonly people: number;
  readonly restricted: number;
  readonly tags: readonly TagCount[];
  readonly journeys: readonly JourneyCount[];
  readonly rule: RuleCount | null;
  /** Null where everybody was looked at. */
  readonly sample: SampleEstimate | null;
  /** Events the rule counts, or counts for longer, than records keep under the catalog in force. */
  readonly unkept: readonly string[];
}

export interface CountSegmentsInput {
  /** The store's folder, `<data>/store`. */
  readonly storePath: string;
  /** The catalog in force. */
  readonly catalog: CatalogSource;
  /** In CEL; null: only the tags. */
  readonly rule: string | null;
  /** People to look at, about; null: everybody. */
  readonly sample: number | null;
}

/**
 * @param onProgress how many records were looked at, of how many
 * @throws CatalogError with what is wrong with the rule; StoreError `OPEN_FAILED` where no node has run, `CORRUPT`
 */
export async function countSegments(
  { storePath, catalog: source, rule, sample }: CountSegmentsInput,
  onProgress: (read: number, total: number) => void = () => {},
): Promise<SegmentCounts> {
  const inForce = compileCatalogSource(source);
  const catalog = rule === null ? inForce : compileCatalogSource(withRule(source, rule));
  const asked = rule === null ? null : (catalog.tagByKey.get(PREVIEW)?.when ?? null);
  return PresentPeople.read(storePath, catalog, (people) => {
    const startedAtEpochMillis = epochMillis();
    const range = rangeOf(sample, people.expected(EVERYBODY), startedAtEpochMillis);
    const counts = countPeople(people, catalog, asked, range, startedAtEpochMillis, onProgress);
    const share = counts.rule === null ? null : shareInterval(counts.rule.matches, counts.people);
    return {
      ...counts,
      startedAtEpochMillis,
      atEpochMillis: epochMillis(),
      sample: range === EVERYBODY ? null : { records: people.expected(EVERYBODY), share },
      unkept: unkeptBy(inForce, catalog),
    };
  });
}

/** The catalog with one more tag; JSON is YAML, so that it is checked, and complained about, as any. */
function withRule({ file, fileName }: CatalogSource, rule: string): CatalogSource {
  const tags = { ...file.profile?.tags, [PREVIEW]: { family: 'attributes', when: rule } };
  return loadCatalogText(JSON.stringify({ ...file, profile: { ...file.profile, tags } }), `${fileName} with the rule`);
}

/**
 * Part of all by their keyed hashes, which are as good as drawn: no property of a person is known to them. Where it begins
 * moves with the instant, so that two samples are of different people.
 */
function rangeOf(sample: number | null, records: number, now: number): HashRange {
  if (sample === null || sample >= records) return EVERYBODY;
  const width = Math.ceil((sample / records) * EVERYBODY.width);
  return { start: murmur3Text(String(now), 0), width };
}

function countPeople(
  people: PresentPeople,
  catalog: Catalog,
  rule: Rule | null,
  range: HashRange,
  now: number,
  onProgress: (read: number, total: number) => void,
): Pick<SegmentCounts, 'people' | 'restricted' | 'tags' | 'journeys' | 'rule'> {
  const { record, scope, index, defaultZone } = people.runtime;
  const total = people.expected(range);
  const held = new Float64Array(catalog.tags.length);
  const journeys = catalog.journeys.map(({ stages }) => ({ in: new Float64Array(stages.length), left: 0, reached: 0 }));
  const clauses = rule?.clauses ?? [];
  const alone = new Float64Array(clauses.length);
  const without = new Float64Array(clauses.length);
  let counted = 0;
  let restricted = 0;
  let matches = 0;
  let read = 0;
  people.forEach(range, () => {
    onProgress(++read, total);
    if (isDevice(record)) return;
    if (isRestricted(record)) {
      if (!isMoved(record)) restricted++;
      return;
    }
    counted++;
    scope.bind(record, index, null, now, defaultZone);
    for (let tag = 0; tag < held.length; tag++) if (scope.holdsTag(tag)) held[tag] = (held[tag] as number) + 1; // below length
    for (const [j, count] of journeys.entries()) {
      const stage = scope.stageOf(j);
      if (stage === LEFT) count.left++;
      else if (stage !== OUTSIDE) count.in[stage] = (count.in[stage] as number) + 1; // an index of its stages
      if (!Number.isNaN(scope.goalAt(j))) count.reached++;
    }
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
  });
  return {
    people: counted,
    restricted,
    tags: catalog.tags
      .filter(({ key }) => key !== PREVIEW)
      .map(({ index: tag, key, family }) => ({ tag: key, family, people: held[tag] as number })), // as many as tags
    journeys: catalog.journeys.map(({ key, stages }, j) => {
      const count = journeys[j] as (typeof journeys)[number]; // as many as journeys
      const inStages = stages.map(({ key: stage, index: at }) => ({ stage, people: count.in[at] as number })); // likewise
      return { journey: key, stages: inStages, left: count.left, reached: count.reached };
    }),
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
function unkeptBy(inForce: Catalog, withRuleToo: Catalog): string[] {
  const longest = new Map<string, number>();
  for (const { event, windowMillis } of inForce.counters)
    longest.set(event, Math.max(longest.get(event) ?? 0, windowMillis));
  const unkept = withRuleToo.counters.filter(({ event, windowMillis }) => !((longest.get(event) ?? 0) >= windowMillis));
  return [...new Set(unkept.map(({ event }) => event))];
}
