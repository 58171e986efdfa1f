/**
 * Who does more of something than people who do it ever do: of everybody as of now (`present-people.ts`), the counts that
 * the catalog's rules keep, each beside what is usual (`decision/batch/unusual-rates.ts`). The most unusual first, with
 * the counts that make them so, so that an operator finds abuse that no rule names yet, and bounds for one that does.
 * Nothing is decided by it.
 *
 *   everybody ─▸ people by count, for each counter ─▸ what is usual ─▸ everybody again ─▸ score, reasons ─▸ the highest
 *
 * Reads every record twice. Runs in a thread of the job pool or in a command, beside the node.
 */
import { isMoved } from '../../actors/identity.ts';
import { isDevice, isRestricted } from '../../actors/standing.ts';
import {
  DEVIATIONS_UNUSUAL,
  deviationsOf,
  type UsualRate,
  unusualScore,
  usualCount,
  usualRate,
} from '../../decision/batch/unusual-rates.ts';
import type { EventCounter } from '../../decision/catalog.ts';
import { textHash } from '../../proto/murmur3.ts';
import { personName } from '../audit/audit-record.ts';
import { compileCatalogSource } from '../catalog/catalog-source.ts';
import { epochMillis } from '../clock.ts';
import { JournalReader } from '../store/journal-reader.ts';
import { createZoneTable } from '../zone-table.ts';
import { type ListSuspectsInput, SUSPECTS_MAX } from './list-suspects.ts';
import { EVERYBODY, PresentPeople } from './present-people.ts';

export interface UnusualCount {
  /** As a rule asks for it: `count("click", 60 s)`. */
  readonly reading: string;
  readonly value: number;
  /** The middle one of those who have any. */
  readonly usual: number;
  /** Robust deviations above it. */
  readonly deviations: number;
}

export interface UnusualPerson {
  /** The keyed hash, as `opportune log` shows it. */
  readonly person: string;
  /** Root of the sum of squares of the deviations below. */
  readonly score: number;
  /** The most unusual window of each event, beyond `DEVIATIONS_UNUSUAL`; the most unusual event first. */
  readonly because: readonly UnusualCount[];
}

export interface UnusualList {
  readonly atEpochMillis: number;
  /** People with at least one unusual count. */
  readonly people: number;
  /** Whose counts were looked at. */
  readonly of: number;
  /** The most unusual first, at most `SUSPECTS_MAX`. */
  readonly unusual: readonly UnusualPerson[];
}

interface Compared {
  readonly counter: EventCounter;
  readonly reading: string;
  readonly rate: UsualRate;
  readonly usual: number;
}

/**
 * @param onProgress how many records were looked at, of how many
 * @throws StoreError `OPEN_FAILED` where no node has run, `CORRUPT`
 */
export async function listUnusual(
  { storePath, catalog: source }: ListSuspectsInput,
  onProgress: (read: number, total: number) => void = () => {},
): Promise<UnusualList> {
  const catalog = compileCatalogSource(source);
  const counters = catalog.counters.filter(
    ({ property, windowMillis }) => property === null && Number.isFinite(windowMillis),
  );
  const reader = JournalReader.open(storePath);
  try {
    return listOf(new PresentPeople(reader, catalog, createZoneTable(textHash)), counters, onProgress);
  } finally {
    await reader.close();
  }
}

function listOf(
  present: PresentPeople,
  counters: readonly EventCounter[],
  onProgress: (read: number, total: number) => void,
): UnusualList {
  const { record, scope, index, defaultZone } = present.runtime;
  const now = epochMillis();
  const total = 2 * present.expected(EVERYBODY);
  let read = 0;
  const forEveryPerson = (visit: () => void): void =>
    present.forEach(EVERYBODY, () => {
      onProgress(++read, total);
      if (isRestricted(record) || isMoved(record) || isDevice(record)) return;
      scope.bind(record, index, null, now, defaultZone);
      visit();
    });

  const peopleByCount = counters.map(() => new Map<number, number>());
  let of = 0;
  forEveryPerson(() => {
    of++;
    for (const [i, { index: counter }] of counters.entries()) {
      const count = scope.counterCount(counter);
      const people = peopleByCount[i];
      if (count > 0 && people !== undefined) people.set(count, (people.get(count) ?? 0) + 1);
    }
  });
  const compared = counters.flatMap((counter, i): Compared[] => {
    const counts = peopleByCount[i] ?? new Map<number, number>();
    const rate = usualRate(counts);
    const reading = `count("${counter.event}", ${counter.windowMillis / 1000} s)`;
    return rate === null ? [] : [{ counter, reading, rate, usual: usualCount(counts) }];
  });

  let unusual: UnusualPerson[] = [];
  let people = 0;
  if (compared.length > 0)
    forEveryPerson(() => {
      const because = reasonsOf(compared, (counter) => scope.counterCount(counter));
      if (because.length === 0) return;
      people++;
      const score = rounded(unusualScore(because.map(({ deviations }) => deviations)));
      unusual.push({ person: personName(record.hashHigh, record.hashLow), score, because });
      if (unusual.length >= 2 * SUSPECTS_MAX) unusual = highest(unusual);
    });
  return { atEpochMillis: now, people, of, unusual: highest(unusual) };
}

/** Of windows of one event only the most unusual: they count the same events. */
function reasonsOf(compared: readonly Compared[], countOf: (counter: number) => number): UnusualCount[] {
  const byEvent = new Map<string, UnusualCount>();
  for (const { counter, reading, rate, usual } of compared) {
    const value = countOf(counter.index);
    const deviations = rounded(deviationsOf(value, rate));
    if (deviations <= DEVIATIONS_UNUSUAL || deviations <= (byEvent.get(counter.event)?.deviations ?? 0)) continue;
    byEvent.set(counter.event, { reading, value, usual, deviations });
  }
  return [...byEvent.values()].sort((a, b) => b.deviations - a.deviations);
}

function highest(unusual: UnusualPerson[]): UnusualPerson[] {
  return unusual.sort((a, b) => b.score - a.score).slice(0, SUSPECTS_MAX);
}

function rounded(deviations: number): number {
  return Math.round(deviations * 10) / 10;
}
