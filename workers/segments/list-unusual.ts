/**
 * Who does more of something than people who do it ever do: of everybody as of now (`present-people.ts`), the counts that
 * the catalog's rules keep, each beside what is usual (`measure-usual.ts`); and devices that more people use than use one.
 * The most unusual first, with the counts that make them so, so that an operator finds abuse that no rule names yet, and
 * bounds for one that does. Nothing is decided by it.
 *
 *   everybody ─▸ what is usual ─▸ everybody again ─▸ score, reasons ─▸ the highest
 *
 * Reads every record twice. Runs in a thread of the job pool or in a command, beside the node.
 */
import { presentOnDevice } from '../../actors/device-turn.ts';
import { isMoved } from '../../actors/identity.ts';
import { isDevice, isRestricted } from '../../actors/standing.ts';
import { DEVIATIONS_UNUSUAL, deviationsOf, unusualScore } from '../../decision/batch/unusual-rates.ts';
import type { Catalog, EventCounter } from '../../decision/catalog.ts';
import { DEVICE_PEOPLE, usualKey } from '../../decision/usual-feed.ts';
import { personName } from '../audit/audit-record.ts';
import { compileCatalogSource } from '../catalog/catalog-source.ts';
import { epochMillis } from '../clock.ts';
import { type ListSuspectsInput, SUSPECTS_MAX } from './list-suspects.ts';
import { countedWindows, type UsualRow, usualOf } from './measure-usual.ts';
import { EVERYBODY, PresentPeople } from './present-people.ts';

export interface UnusualCount {
  /** As a rule asks for it: `count("click", 60 s)`. */
  readonly reading: string;
  readonly value: number;
  /** The middle one of those who have any. */
  readonly usual: number;
  /** Robust deviations above it, as `unusual(event, window)` of a rule says. */
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

export interface UnusualDevice {
  /** The keyed hash, as events `shared_device` name it. */
  readonly device: string;
  /** People seen within `abuse.device.per`. */
  readonly persons: number;
  readonly usual: number;
  readonly deviations: number;
}

export interface UnusualList {
  readonly atEpochMillis: number;
  /** People with at least one unusual count. */
  readonly people: number;
  /** Whose counts were looked at. */
  readonly of: number;
  /** The most unusual first, at most `SUSPECTS_MAX`; devices likewise. */
  readonly unusual: readonly UnusualPerson[];
  readonly devices: readonly UnusualDevice[];
}

interface Compared {
  readonly counter: EventCounter;
  readonly usual: UsualRow;
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
  return PresentPeople.read(storePath, catalog, (present) => listOf(present, catalog, onProgress));
}

function listOf(
  present: PresentPeople,
  catalog: Catalog,
  onProgress: (read: number, total: number) => void,
): UnusualList {
  const { record, scope, index, defaultZone } = present.runtime;
  const now = epochMillis();
  const total = 2 * present.expected(EVERYBODY);
  let read = 0;
  const onLook = (): void => onProgress(++read, total);
  const { rows, people: of } = usualOf(present, catalog, now, onLook);
  const usual = new Map(rows.map((row) => [row.key, row]));
  const compared = countedWindows(catalog).flatMap((counter): Compared[] => {
    const row = usual.get(usualKey(counter.event, counter.windowMillis));
    return row === undefined ? [] : [{ counter, usual: row }];
  });
  const people = new Highest<UnusualPerson>(({ score }) => score);
  const devices = new Highest<UnusualDevice>(({ deviations }) => deviations);
  if (rows.length > 0)
    present.forEach(EVERYBODY, () => {
      onLook();
      if (isMoved(record)) return;
      const name = personName(record.hashHigh, record.hashLow);
      const device = unusualDevice(usual.get(DEVICE_PEOPLE), name, presentOnDevice(record, now - perMillisOf(catalog)));
      if (device !== null) devices.add(device);
      if (isDevice(record) || isRestricted(record)) return;
      scope.bind(record, index, null, now, defaultZone);
      const because = reasonsOf(compared, (counter) => scope.counterCount(counter));
      if (because.length === 0) return;
      const score = rounded(unusualScore(because.map(({ deviations }) => deviations)));
      people.add({ person: name, score, because });
    });
  return { atEpochMillis: now, people: people.total, of, unusual: people.list(), devices: devices.list() };
}

function perMillisOf({ device }: Catalog): number {
  return device?.perMillis ?? 0;
}

function unusualDevice(usual: UsualRow | undefined, device: string, persons: number): UnusualDevice | null {
  if (usual === undefined || persons === 0) return null;
  const deviations = rounded(deviationsOf(persons, usual));
  return deviations > DEVIATIONS_UNUSUAL ? { device, persons, usual: usual.usual, deviations } : null;
}

/** Of windows of one event only the most unusual: they count the same events. */
function reasonsOf(compared: readonly Compared[], countOf: (counter: number) => number): UnusualCount[] {
  const byEvent = new Map<string, UnusualCount>();
  for (const { counter, usual } of compared) {
    const value = countOf(counter.index);
    const deviations = rounded(deviationsOf(value, usual));
    if (deviations <= DEVIATIONS_UNUSUAL || deviations <= (byEvent.get(counter.event)?.deviations ?? 0)) continue;
    const reading = `count("${counter.event}", ${counter.windowMillis / 1000} s)`;
    byEvent.set(counter.event, { reading, value, usual: usual.usual, deviations });
  }
  return [...byEvent.values()].sort((a, b) => b.deviations - a.deviations);
}

/** Keeps the highest `SUSPECTS_MAX` of any number. */
class Highest<Item> {
  readonly #scoreOf: (item: Item) => number;
  #items: Item[] = [];
  total = 0;

  constructor(scoreOf: (item: Item) => number) {
    this.#scoreOf = scoreOf;
  }

  add(item: Item): void {
    this.total++;
    this.#items.push(item);
    if (this.#items.length >= 2 * SUSPECTS_MAX) this.#items = this.list();
  }

  list(): Item[] {
    return this.#items.sort((a, b) => this.#scoreOf(b) - this.#scoreOf(a)).slice(0, SUSPECTS_MAX);
  }
}

function rounded(deviations: number): number {
  return Math.round(deviations * 10) / 10;
}
