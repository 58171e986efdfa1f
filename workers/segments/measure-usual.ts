/**
 * Measures what is usual: for each count of an event in a window that the catalog's rules keep, the middle one of everybody
 * who has any, as of now, and how far people lie around it (`decision/batch/unusual-rates.ts`); and how many people devices
 * have. The rows are those of the feed that rules read by `unusual(event, window)` (`decision/usual-feed.ts`).
 *
 *   everybody ─▸ people by count, for each counter ─▸ rows
 *
 * Reads every record once. Who restricted their data is not looked at; a row says nothing of anybody in particular, since
 * fewer than 50 people make none. Runs in a thread of the job pool, beside the node.
 */
import { presentOnDevice } from '../../actors/device-turn.ts';
import { isMoved } from '../../actors/identity.ts';
import { isDevice, isRestricted } from '../../actors/standing.ts';
import { type UsualRate, usualCount, usualRate } from '../../decision/batch/unusual-rates.ts';
import type { Catalog, EventCounter } from '../../decision/catalog.ts';
import { DEVICE_PEOPLE, MEASURED_EVENT_LENGTH_MAX, usualKey } from '../../decision/usual-feed.ts';
import { type CatalogSource, compileCatalogSource } from '../catalog/catalog-source.ts';
import { epochMillis } from '../clock.ts';
import { EVERYBODY, PresentPeople } from './present-people.ts';

export interface UsualRow extends UsualRate {
  readonly key: string;
  /** The count in the middle. */
  readonly usual: number;
  /** Who have any. */
  readonly people: number;
}

export interface MeasureUsualInput {
  /** The store's folder, `<data>/store`. */
  readonly storePath: string;
  /** The catalog in force. */
  readonly catalog: CatalogSource;
}

/** Rows of what is usual now. @throws StoreError `OPEN_FAILED` where no node has run, `CORRUPT` */
export function measureUsual({ storePath, catalog: source }: MeasureUsualInput): Promise<UsualRow[]> {
  const catalog = compileCatalogSource(source);
  return PresentPeople.read(storePath, catalog, (present) => usualOf(present, catalog, epochMillis()).rows);
}

/** Counts of an event in a window: what is compared. */
export function countedWindows(catalog: Catalog): EventCounter[] {
  return catalog.counters.filter(
    ({ property, windowMillis, event }) =>
      property === null && Number.isFinite(windowMillis) && event.length <= MEASURED_EVENT_LENGTH_MAX,
  );
}

/**
 * @param onLook called for each record
 * @returns rows where enough people have any, and how many people were looked at
 */
export function usualOf(
  present: PresentPeople,
  catalog: Catalog,
  now: number,
  onLook: () => void = () => {},
): { readonly rows: UsualRow[]; readonly people: number } {
  const { record, scope, index, defaultZone } = present.runtime;
  const counters = countedWindows(catalog).map((counter) => ({ counter, people: new Map<number, number>() }));
  const devices = new Map<number, number>();
  let people = 0;
  present.forEach(EVERYBODY, () => {
    onLook();
    if (isMoved(record)) return;
    if (catalog.device !== null) note(devices, presentOnDevice(record, now - catalog.device.perMillis));
    if (isDevice(record) || isRestricted(record)) return;
    scope.bind(record, index, null, now, defaultZone);
    people++;
    for (const { counter, people: counted } of counters) note(counted, scope.counterCount(counter.index));
  });
  const rows = counters.flatMap(({ counter, people: counted }) =>
    rowsOf(usualKey(counter.event, counter.windowMillis), counted),
  );
  return { rows: [...rows, ...rowsOf(DEVICE_PEOPLE, devices)], people };
}

function note(people: Map<number, number>, count: number): void {
  if (count > 0) people.set(count, (people.get(count) ?? 0) + 1);
}

function rowsOf(key: string, people: ReadonlyMap<number, number>): UsualRow[] {
  const rate = usualRate(people);
  if (rate === null) return [];
  let total = 0;
  for (const number of people.values()) total += number;
  return [{ ...rate, key, usual: usualCount(people), people: total }];
}
