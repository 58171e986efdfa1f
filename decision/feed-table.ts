/**
 * Context feeds as decisions read them: small keyed tables (weather by city, stock by sku) pushed from outside, whose
 * rows hold until an instant. A read takes a feed's and a field's number, the key, and the instant of the turn; it
 * allocates nothing, and what is unknown (no such key, an expired row, a field left out) is NaN or undefined, as of a
 * trait that is missing. A table is columns: the row of a key, then an array a field.
 *
 *   catalog ─bind─▸ FeedSet ◂─apply─ FeedPush (from the main thread, or from a mark of the journal)
 *                     └─▸ feed 0: key ▸ row │ expiry │ field 0 │ field 1 │ …
 *
 * Time alone changes nothing that is stored: an expired row keeps its place until a push needs the room. So a push and
 * the instant of a turn are all that replay needs. Whether a push may be taken is decided once, by `workers/feed-book.ts`.
 * Traded away: a push that replaces a table of 10,000 rows holds a worker up for some 2 ms; an upsert costs its rows.
 */
import type { Scalar } from '../proto/messages.ts';

export type FeedType = 'number' | 'boolean' | 'text';

export interface FeedField {
  readonly name: string;
  readonly type: FeedType;
  /** Inclusive bounds of a number; null where there is none. */
  readonly min: number | null;
  readonly max: number | null;
  /** Of a text, all it may be; empty: anything. */
  readonly values: readonly string[];
}

export interface FeedSpec {
  readonly name: string;
  readonly fields: readonly FeedField[];
  /** How long a row holds that does not say so itself; above 0. */
  readonly timeToLiveMillis: number;
  /** Rows that may hold at one instant. */
  readonly rowsMax: number;
}

/** One value of a feed: what a price reads, the same for everybody. */
export interface FeedCell {
  readonly feed: number;
  readonly field: number;
  readonly key: string;
}

export interface FeedRow {
  readonly key: string;
  /** In the order of the feed's fields; null where the field was left out. */
  readonly values: readonly Scalar[];
  /** The row holds before this instant, and no longer at it. */
  readonly expiresAtEpochMillis: number;
}

export interface FeedPush {
  /** Name of the feed. */
  readonly feed: string;
  /** From 1; higher than that of every push before. */
  readonly version: number;
  readonly atEpochMillis: number;
  /** Whether rows whose key is not among these go. */
  readonly replace: boolean;
  /** Of two with one key the later counts. */
  readonly rows: readonly FeedRow[];
}

type Column = Float64Array<ArrayBuffer> | (string | undefined)[];

const ROWS_AT_FIRST = 8;

export class FeedTable {
  readonly spec: FeedSpec;
  #rows = new Map<string, number>();
  #expiresAt = new Float64Array(0);
  #columns: Column[] = [];
  #version = 0;
  #pushedAt = 0;

  constructor(spec: FeedSpec) {
    this.spec = spec;
    this.#clear(ROWS_AT_FIRST);
  }

  /** Version of the last push; 0 before the first. */
  get version(): number {
    return this.#version;
  }

  /** Instant of the last push; 0 before the first. */
  get pushedAtEpochMillis(): number {
    return this.#pushedAt;
  }

  /** Of a number its value, of a boolean 0 or 1; NaN where it is not known or is text. */
  number(key: string, field: number, nowEpochMillis: number): number {
    const column = this.#columns[field];
    const row = this.#rowAt(key, nowEpochMillis);
    return row >= 0 && column instanceof Float64Array ? (column[row] as number) : Number.NaN;
  }

  /** Of a text its value; undefined where it is not known or is none. */
  text(key: string, field: number, nowEpochMillis: number): string | undefined {
    const column = this.#columns[field];
    const row = this.#rowAt(key, nowEpochMillis);
    return row < 0 || column === undefined || column instanceof Float64Array ? undefined : column[row];
  }

  /** Rows that hold at an instant. */
  countHeld(nowEpochMillis: number): number {
    let count = 0;
    for (let row = 0; row < this.#rows.size; row++) if (nowEpochMillis < (this.#expiresAt[row] as number)) count++;
    return count;
  }

  /** The instant from which no row holds; 0 where there is none. */
  lastExpiryEpochMillis(): number {
    let last = 0;
    for (let row = 0; row < this.#rows.size; row++) last = Math.max(last, this.#expiresAt[row] as number);
    return last;
  }

  /** The rows that hold at an instant, as one push that gives an empty table the same rows and version. */
  snapshot(nowEpochMillis: number): FeedPush {
    const rows: FeedRow[] = [];
    for (const [key, row] of this.#rows) {
      const expiresAtEpochMillis = this.#expiresAt[row] as number; // as many as rows
      if (!(nowEpochMillis < expiresAtEpochMillis)) continue;
      rows.push({
        key,
        values: this.spec.fields.map(({ type }, field) => this.#value(type, field, row)),
        expiresAtEpochMillis,
      });
    }
    return { feed: this.spec.name, version: this.#version, atEpochMillis: this.#pushedAt, replace: true, rows };
  }

  /** Rows that would hold right behind a push: more than `rowsMax`, and it must not be applied. */
  countAfter(push: FeedPush): number {
    const pushed = new Set(push.rows.map(({ key }) => key));
    let count = pushed.size;
    if (push.replace) return count;
    for (const [key, row] of this.#rows)
      if (push.atEpochMillis < (this.#expiresAt[row] as number) && !pushed.has(key)) count++;
    return count;
  }

  apply(push: FeedPush): void {
    if (push.replace) this.#clear(push.rows.length);
    for (const row of push.rows) this.#put(row, push.atEpochMillis);
    this.#version = push.version;
    this.#pushedAt = push.atEpochMillis;
  }

  #rowAt(key: string, nowEpochMillis: number): number {
    const row = this.#rows.get(key);
    return row !== undefined && nowEpochMillis < (this.#expiresAt[row] as number) ? row : -1;
  }

  #value(type: FeedType, field: number, row: number): Scalar {
    const column = this.#columns[field] as Column; // a column a field
    if (!(column instanceof Float64Array)) return column[row] ?? null;
    const value = column[row] as number; // row < length
    if (Number.isNaN(value)) return null;
    return type === 'boolean' ? value === 1 : value;
  }

  #put({ key, values, expiresAtEpochMillis }: FeedRow, atEpochMillis: number): void {
    let row = this.#rows.get(key);
    if (row === undefined) {
      if (this.#rows.size >= this.spec.rowsMax) this.#dropExpired(atEpochMillis);
      row = this.#rows.size;
      this.#rows.set(key, row);
      if (row >= this.#expiresAt.length) this.#grow();
    }
    this.#expiresAt[row] = expiresAtEpochMillis;
    for (let field = 0; field < this.#columns.length; field++) {
      const column = this.#columns[field] as Column; // field < length
      const value = values[field];
      if (column instanceof Float64Array)
        column[row] = value === null || value === undefined ? Number.NaN : Number(value);
      else column[row] = typeof value === 'string' ? value : undefined;
    }
  }

  #dropExpired(atEpochMillis: number): void {
    const held = this.snapshot(atEpochMillis);
    this.#clear(held.rows.length);
    for (const row of held.rows) this.#put(row, atEpochMillis);
  }

  #clear(rows: number): void {
    this.#rows = new Map();
    this.#expiresAt = new Float64Array(rows);
    this.#columns = this.spec.fields.map(({ type }) => (type === 'text' ? [] : new Float64Array(rows)));
  }

  #grow(): void {
    const length = Math.max(ROWS_AT_FIRST, this.#expiresAt.length * 2);
    this.#expiresAt = longer(this.#expiresAt, length);
    this.#columns = this.#columns.map((column) =>
      column instanceof Float64Array ? longer(column as Float64Array<ArrayBuffer>, length) : column,
    );
  }
}

function longer(column: Float64Array<ArrayBuffer>, length: number): Float64Array<ArrayBuffer> {
  const grown = new Float64Array(length);
  grown.set(column);
  return grown;
}

/** The feeds of a catalog by number, as one shard holds them. */
export class FeedSet {
  #tables: readonly FeedTable[] = [];
  #hash = 0;

  get tables(): readonly FeedTable[] {
    return this.#tables;
  }

  /**
   * Takes the feeds of a catalog: with another declaration all are empty until they are pushed again.
   * @param hash of the declaration
   * @returns whether they are empty now
   */
  bind(specs: readonly FeedSpec[], hash: number): boolean {
    if (hash === this.#hash) return false;
    this.#hash = hash;
    this.#tables = specs.map((spec) => new FeedTable(spec));
    return true;
  }

  /** Forgets every push, as a worker does that begins. */
  clear(): void {
    this.#tables = this.#tables.map(({ spec }) => new FeedTable(spec));
  }

  /** Whether a push is to a feed there is, and newer than what is held of it. */
  isNewer(push: FeedPush): boolean {
    return push.version > (this.#tableOf(push)?.version ?? Number.POSITIVE_INFINITY);
  }

  /** Applies a push if it is newer; whether it was. */
  apply(push: FeedPush): boolean {
    const isNewer = this.isNewer(push);
    if (isNewer) this.#tableOf(push)?.apply(push);
    return isNewer;
  }

  #tableOf(push: FeedPush): FeedTable | undefined {
    return this.#tables.find(({ spec }) => spec.name === push.feed);
  }

  number(feed: number, field: number, key: string | undefined, nowEpochMillis: number): number {
    if (key === undefined) return Number.NaN;
    return this.#tables[feed]?.number(key, field, nowEpochMillis) ?? Number.NaN;
  }

  text(feed: number, field: number, key: string | undefined, nowEpochMillis: number): string | undefined {
    return key === undefined ? undefined : this.#tables[feed]?.text(key, field, nowEpochMillis);
  }
}
