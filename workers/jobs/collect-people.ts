/**
 * The job before every fit: reads the whole journal from the data folder, also while a node writes to it, and lays
 * out in shared memory what each model is fitted to. The reader holds no snapshot between a few batches, so the job
 * may take an hour and costs the node no disk; what is committed meanwhile may be part of it.
 *
 *   journal ─▸ JournalPeople ─┬─▸ purchase histories, RFM columns      of those who have bought
 *                             ├─▸ churn: as of the cut, and as of now  of everybody
 *                             └─▸ baskets, next baskets, sessions      of products
 *
 * `progress` is raised as it goes, so that the thread that waits can show it.
 */
import { Effect } from '../../actors/effect.ts';
import { type ChurnFacts, churnRow } from '../../decision/batch/churn-model.ts';
import { rfmRow } from '../../decision/batch/rfm.ts';
import {
  DAY_MILLIS,
  type HistoryColumns,
  LAST_AT,
  nextPurchaseEpochMillis,
  PURCHASES,
  writeHistory,
} from '../../decision/purchase-cycle.ts';
import { JournalPeople, PERSON, PERSON_SLOTS } from '../fits/journal-people.ts';
import { type ProductColumns, productColumns } from '../fits/product-lists.ts';
import { KeptCatalogs } from '../recompute/kept-catalogs.ts';
import { JournalReader } from '../store/journal-reader.ts';

/** Without traits: recency, frequency and tenure, each as it is and as its logarithm. */
const CHURN_COLUMNS = { numbers: [], values: [], width: 6 } as const;
/** A training table of so many people settles seven weights. */
const CHURN_TRAINING_MAX = 100_000;

export interface CollectPeopleInput {
  /** The store's folder, `<data>/store`. */
  readonly storePath: string;
  readonly nowEpochMillis: number;
  /** Somebody silent for so long has left; > 0. */
  readonly churnDays: number;
  /** One Int32: batches read. */
  readonly progress: SharedArrayBuffer;
}

export interface CollectedPeople extends ProductColumns {
  readonly people: number;
  readonly events: number;
  readonly peopleLeftOut: number;
  readonly foreignPurchases: number;
  /** As `FactRows.keys`. */
  readonly keys: SharedArrayBuffer;
  /** Row of each person who has bought; columns below have one entry for each. */
  readonly buyerRows: SharedArrayBuffer;
  readonly histories: { readonly [Name in keyof HistoryColumns]: SharedArrayBuffer };
  /** Epoch milliseconds. */
  readonly nextPurchases: SharedArrayBuffer;
  /** Days since the last purchase, purchases, money: three doubles a buyer as they are, and as `rfmRow` has them. */
  readonly rfm: SharedArrayBuffer;
  readonly rfmRows: SharedArrayBuffer;
  readonly churn: {
    readonly width: number;
    /** People known before the cut, as they were then, and a byte each: 1 was silent since. */
    readonly training: SharedArrayBuffer;
    readonly labels: SharedArrayBuffer;
    /** Everybody as of now. */
    readonly current: SharedArrayBuffer;
  };
  readonly skus: readonly string[];
}

/** @throws StoreError `OPEN_FAILED` where no node has run, `CORRUPT` at a damaged batch; RangeError for options. */
export async function collectPeople(input: CollectPeopleInput): Promise<CollectedPeople> {
  const { nowEpochMillis, churnDays } = input;
  if (!(churnDays > 0 && churnDays <= 3650)) throw new RangeError(`churnDays ${churnDays}: above 0, at most 3650`);
  const reader = JournalReader.open(input.storePath);
  try {
    const catalogs = new KeptCatalogs(reader);
    const people = new JournalPeople({
      nowEpochMillis,
      cutEpochMillis: nowEpochMillis - churnDays * DAY_MILLIS,
      catalogOf: (versionHash) => catalogs.find(versionHash)?.catalog ?? null,
    });
    const progress = new Int32Array(input.progress);
    const entry = new Effect();
    for (const { bytes } of reader.read()) {
      for (let at = entry.load(bytes, 0); at >= 0; at = entry.load(bytes, at)) people.add(entry);
      Atomics.add(progress, 0, 1);
    }
    const { people: count, events, peopleLeftOut, foreignPurchases } = people;
    return {
      people: count,
      events,
      peopleLeftOut,
      foreignPurchases,
      keys: people.keys(),
      ...buyersOf(people, nowEpochMillis),
      churn: churnOf(people, input),
      skus: people.skus,
      ...productColumns(people.lines()),
    };
  } finally {
    await reader.close();
  }
}

type Buyers = Pick<CollectedPeople, 'buyerRows' | 'histories' | 'nextPurchases' | 'rfm' | 'rfmRows'>;

function buyersOf(people: JournalPeople, now: number): Buyers {
  const rows: number[] = [];
  for (let row = 0; row < people.people; row += 1) if (people.number(row, PURCHASES) > 0) rows.push(row);
  const n = rows.length;
  const columns = {
    repeatCounts: sharedDoubles(n),
    lastTimes: sharedDoubles(n),
    observedTimes: sharedDoubles(n),
    logGapSums: sharedDoubles(n),
    meanSpends: sharedDoubles(n),
  };
  const next = sharedDoubles(n);
  const rfm = sharedDoubles(3 * n);
  const rfmRows = sharedDoubles(3 * n);
  for (const [i, row] of rows.entries()) {
    const offset = row * PERSON_SLOTS;
    writeHistory(people.numbers, offset, now, columns, i);
    next[i] = nextPurchaseEpochMillis(people.numbers, offset, people.totals, now);
    const at = people.number(row, LAST_AT);
    const recencyDays = Math.max(0, now - at) / DAY_MILLIS;
    const spend = Math.max(0, people.number(row, PERSON.spendMinor));
    rfm.set([recencyDays, people.number(row, PURCHASES), spend], 3 * i);
    rfmRow(recencyDays, people.number(row, PURCHASES), spend, rfmRows.subarray(3 * i, 3 * i + 3));
  }
  const buyerRows = new SharedArrayBuffer(4 * n);
  new Uint32Array(buyerRows).set(rows);
  const buffer = (column: Float64Array): SharedArrayBuffer => column.buffer as SharedArrayBuffer; // sharedDoubles made it
  return {
    buyerRows,
    histories: {
      repeatCounts: buffer(columns.repeatCounts),
      lastTimes: buffer(columns.lastTimes),
      observedTimes: buffer(columns.observedTimes),
      logGapSums: buffer(columns.logGapSums),
      meanSpends: buffer(columns.meanSpends),
    },
    nextPurchases: buffer(next),
    rfm: buffer(rfm),
    rfmRows: buffer(rfmRows),
  };
}

function churnOf(people: JournalPeople, input: CollectPeopleInput): CollectedPeople['churn'] {
  const { nowEpochMillis: now, churnDays } = input;
  const cut = now - churnDays * DAY_MILLIS;
  const { width } = CHURN_COLUMNS;
  const known: number[] = [];
  for (let row = 0; row < people.people; row += 1) if (people.number(row, PERSON.eventsBefore) > 0) known.push(row);
  const every = Math.max(1, Math.ceil(known.length / CHURN_TRAINING_MAX));
  const trained = known.filter((_, i) => i % every === 0);
  const training = sharedDoubles(trained.length * width);
  const labels = new SharedArrayBuffer(trained.length);
  const label = new Uint8Array(labels);
  for (const [i, row] of trained.entries()) {
    const facts = churnFacts(
      cut,
      people.number(row, PERSON.lastBefore),
      people.number(row, PERSON.eventsBefore),
      people.number(row, PERSON.firstAt),
    );
    churnRow(CHURN_COLUMNS, facts, training.subarray(i * width, i * width + width));
    label[i] = people.number(row, PERSON.lastAt) < cut ? 1 : 0;
  }
  const current = sharedDoubles(people.people * width);
  for (let row = 0; row < people.people; row += 1) {
    const facts = churnFacts(
      now,
      people.number(row, PERSON.lastAt),
      people.number(row, PERSON.events),
      people.number(row, PERSON.firstAt),
    );
    churnRow(CHURN_COLUMNS, facts, current.subarray(row * width, row * width + width));
  }
  return {
    width,
    training: training.buffer as SharedArrayBuffer, // sharedDoubles made both
    labels,
    current: current.buffer as SharedArrayBuffer,
  };
}

function churnFacts(at: number, lastAt: number, events: number, firstAt: number): ChurnFacts {
  return {
    recencyDays: Math.max(0, at - lastAt) / DAY_MILLIS,
    frequency: events,
    tenureDays: Math.max(0, at - firstAt) / DAY_MILLIS,
    traits: {},
  };
}

function sharedDoubles(length: number): Float64Array {
  return new Float64Array(new SharedArrayBuffer(length * Float64Array.BYTES_PER_ELEMENT));
}
