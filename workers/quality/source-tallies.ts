/**
 * What came from where, and how good it was: one row of counts for each source of a worker's people, by the door it came
 * in and the name it has (a token's; an import's mapping). A row is plain adds on a Float64Array, so a message pays two
 * look-ups. Bounded: the sources behind the first 64 of a worker are counted together, as `other`.
 *
 * Rows are written to the store's named values now and then, by worker: `sources:N`. They are counts of answers, not of
 * the journal: a crash loses those of the last seconds, and recovery works nothing out of them. Of a number of workers
 * that is smaller than before the first worker takes what the missing ones had.
 */
import { DOORS, type Door } from '../../actors/dead-letters.ts';
import { REFUSALS } from '../../decision/cleaning/value-rules.ts';

const SOURCES_MAX = 64;
/** Workers of any start. */
const WORKERS_MAX = 64;
const OTHER = 'other';

/** Columns of a row. */
export const TALLY = {
  received: 0,
  accepted: 1,
  duplicates: 2,
  refused: 3,
  /** Of those accepted: messages with a value that was brought into its one form. */
  cleaned: 4,
  /** Of those accepted: messages with a value that was kept and flagged, or a trait that was left out. */
  blemished: 5,
  /** Values kept and flagged. */
  flagged: 6,
  /** Traits left out, by Segment's door. */
  dropped: 7,
  /** Sum of the shares of declared values that messages told, and of how many messages. */
  toldShares: 8,
  toldMessages: 9,
  /** Refused for what no cleaner looks at: an unknown channel, an id of another's. */
  refusedOther: 10,
  /** From here on one a class of `REFUSALS`: messages refused, and traits left out, for it. */
  reasons: 11,
} as const;
const COLUMNS = TALLY.reasons + REFUSALS.length;

/** Where a message comes from. */
export interface Origin {
  readonly door: Door;
  readonly source: string;
}

export interface SourceRow extends Origin {
  /** By `TALLY`. */
  readonly counts: readonly number[];
}

interface Kept {
  readonly columns: number;
  readonly sinceEpochMillis: number;
  readonly rows: readonly SourceRow[];
}

/** What of the store is needed here. */
interface NamedValues {
  getMeta(name: string): Uint8Array | undefined;
  putMeta(name: string, bytes: Uint8Array): void;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class SourceTallies {
  #sinceEpochMillis: number;
  readonly #rows = new Map<Door, Map<string, Float64Array>>(DOORS.map((door) => [door, new Map()]));
  #count = 0;
  #hasNews = false;
  /** Names of workers whose rows were taken over, to be emptied with the next writing. */
  readonly #inherited: string[] = [];

  constructor(now: number) {
    this.#sinceEpochMillis = now;
  }

  /** The row of a source, to be added to. */
  of({ door, source }: Origin): Float64Array {
    this.#hasNews = true;
    const named = this.#rows.get(door) as Map<string, Float64Array>; // one a door
    const row = named.get(source);
    if (row !== undefined) return row;
    const isOther = this.#count >= SOURCES_MAX && source !== OTHER;
    if (isOther) return this.of({ door, source: OTHER });
    const made = new Float64Array(COLUMNS);
    named.set(source, made);
    this.#count++;
    return made;
  }

  rows(): SourceRow[] {
    return [...this.#rows].flatMap(([door, named]) =>
      [...named].map(([source, counts]) => ({ door, source, counts: [...counts] })),
    );
  }

  get sinceEpochMillis(): number {
    return this.#sinceEpochMillis;
  }

  /** Takes in what this worker kept, and the first what those kept that are no more. */
  load(store: Pick<NamedValues, 'getMeta'>, shard: number, shards: number): void {
    this.#add(readKept(store, nameOf(shard)));
    if (shard !== 0) return;
    for (let gone = shards; gone < WORKERS_MAX; gone++) {
      const kept = readKept(store, nameOf(gone));
      if (kept === null || kept.rows.length === 0) continue;
      this.#add(kept);
      this.#inherited.push(nameOf(gone));
      this.#hasNews = true;
    }
  }

  #add(kept: Kept | null): void {
    if (kept === null) return;
    this.#sinceEpochMillis = Math.min(this.#sinceEpochMillis, kept.sinceEpochMillis);
    for (const { counts, ...origin } of kept.rows) {
      const row = this.of(origin);
      for (const [column, count] of counts.entries()) row[column] = (row[column] as number) + count; // as many columns
    }
  }

  /** Puts the rows into the open batch, if there is anything new; true where it did. */
  write(store: Pick<NamedValues, 'putMeta'>, shard: number): boolean {
    if (!this.#hasNews) return false;
    this.#hasNews = false;
    store.putMeta(nameOf(shard), bytesOf(this.#sinceEpochMillis, this.rows()));
    for (const gone of this.#inherited) store.putMeta(gone, bytesOf(this.#sinceEpochMillis, []));
    this.#inherited.length = 0;
    return true;
  }
}

/** Everything that the workers of a data folder have written. */
export function keptSources(store: Pick<NamedValues, 'getMeta'>): {
  rows: SourceRow[];
  sinceEpochMillis: number | null;
} {
  const rows: SourceRow[] = [];
  let since = Number.POSITIVE_INFINITY;
  for (let shard = 0; shard < WORKERS_MAX; shard++) {
    const kept = readKept(store, nameOf(shard));
    if (kept === null) continue;
    rows.push(...kept.rows);
    since = Math.min(since, kept.sinceEpochMillis);
  }
  return { rows, sinceEpochMillis: Number.isFinite(since) ? since : null };
}

/** Null where nothing is kept, and where a build with other columns kept it. */
function readKept(store: Pick<NamedValues, 'getMeta'>, name: string): Kept | null {
  const bytes = store.getMeta(name);
  if (bytes === undefined) return null;
  const kept = JSON.parse(decoder.decode(bytes)) as Kept; // written by `bytesOf` only, behind a checksum
  return kept.columns === COLUMNS ? kept : null;
}

function bytesOf(sinceEpochMillis: number, rows: readonly SourceRow[]): Uint8Array {
  return encoder.encode(JSON.stringify({ columns: COLUMNS, sinceEpochMillis, rows } satisfies Kept));
}

function nameOf(shard: number): string {
  return `sources:${shard}`;
}
