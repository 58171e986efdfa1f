/**
 * Learnt sums by key: what sold of a product, a week curve a channel, the hours of a time zone. Each is a row
 * of doubles to which every event adds. Two rows are added number by number, or as the table's owner says. Three views of a row:
 *
 *     working = base + open          base: what all shards had learnt at the last merge, the same in each
 *     what this shard uses           open: what this shard has learnt and not published yet
 *
 * A shard without peers keeps only `working`.
 */

/** Adds the row that begins at `at` of `from` to `into`. */
type AddRow = (into: Float64Array, from: Float64Array, at: number) => void;

function addEachNumber(into: Float64Array, from: Float64Array, at: number): void {
  for (let i = 0; i < into.length; i++) into[i] = (into[i] as number) + (from[at + i] as number); // a whole row
}

export class AdditiveTable {
  readonly rowLength: number;
  readonly working = new Map<number, Float64Array>();
  readonly #base = new Map<number, Float64Array>();
  readonly #open = new Map<number, Float64Array>();
  readonly #setPrior: (row: Float64Array) => void;
  readonly #hasPeers: boolean;
  readonly #addRow: AddRow;

  /**
   * @param setPrior writes into a row of zeros what is known before any evidence
   * @param addRow how what was learnt is added; the order of additions must make no difference, but for rounding
   */
  constructor(
    rowLength: number,
    hasPeers: boolean,
    setPrior: (row: Float64Array) => void,
    addRow: AddRow = addEachNumber,
  ) {
    this.rowLength = rowLength;
    this.#hasPeers = hasPeers;
    this.#setPrior = setPrior;
    this.#addRow = addRow;
  }

  /** What is shared with a snapshot or a new shard: the base, or everything where there is only one shard. */
  get shared(): ReadonlyMap<number, Float64Array> {
    return this.#hasPeers ? this.#base : this.working;
  }

  get openRows(): number {
    return this.#open.size;
  }

  /** The working row of a key, made if absent. */
  of(key: number): Float64Array {
    let row = this.working.get(key);
    if (row === undefined) {
      row = new Float64Array(this.rowLength);
      this.#setPrior(row);
      this.working.set(key, row);
    }
    return row;
  }

  /** Adds `amount` to one place of a row. */
  add(key: number, place: number, amount: number): void {
    const row = this.of(key);
    row[place] = (row[place] as number) + amount; // place < rowLength
    if (!this.#hasPeers) return;
    const open = this.#openOf(key);
    open[place] = (open[place] as number) + amount; // likewise
  }

  /** Says that the working row of a key was taught since `before` was copied from it. */
  addChange(key: number, before: Float64Array): void {
    if (!this.#hasPeers) return;
    const row = this.of(key);
    const open = this.#openOf(key);
    for (let i = 0; i < open.length; i++) open[i] = (open[i] as number) + (row[i] as number) - (before[i] as number); // one length
  }

  /** What this shard has learnt of a key and not published, to be taught as the working row is; null without peers. */
  openOf(key: number): Float64Array | null {
    return this.#hasPeers ? this.#openOf(key) : null;
  }

  #openOf(key: number): Float64Array {
    let open = this.#open.get(key);
    if (open === undefined) {
      open = new Float64Array(this.rowLength);
      this.#open.set(key, open);
    }
    return open;
  }

  /** Moves open rows to `out` from `at` on, as (key, values), while there is room; the rest stays open. Returns the end. */
  publish(out: Float64Array, at: number): number {
    let end = at;
    for (const [key, open] of this.#open) {
      if (end + 1 + this.rowLength > out.length) break;
      out[end] = key;
      out.set(open, end + 1);
      end += 1 + this.rowLength;
      this.#open.delete(key);
    }
    return end;
  }

  /** Adds published rows to the base. */
  addToBase(rows: Float64Array, start: number, end: number): void {
    for (let at = start; at < end; at += 1 + this.rowLength) {
      const key = rows[at] as number; // at < end
      let base = this.#base.get(key);
      if (base === undefined) {
        base = new Float64Array(this.rowLength);
        this.#setPrior(base);
        this.#base.set(key, base);
      }
      this.#addRow(base, rows, at + 1);
    }
  }

  /** Sets the working rows of published keys to base + open. After all of a round are in the base. */
  rebase(rows: Float64Array, start: number, end: number): void {
    for (let at = start; at < end; at += 1 + this.rowLength) {
      const key = rows[at] as number; // at < end
      const row = this.of(key);
      row.set(this.#base.get(key) as Float64Array); // added just before
      const open = this.#open.get(key);
      if (open !== undefined) this.#addRow(row, open, 0);
    }
  }

  /** Replaces everything; the next `settle` makes it the base. */
  load(rows: ReadonlyMap<number, Float64Array> | undefined): void {
    this.working.clear();
    this.#open.clear();
    for (const [key, row] of rows ?? []) this.working.set(key, Float64Array.from(row));
  }

  /** Makes what is known the base; nothing is open then. */
  settle(): void {
    this.forgetOpen();
    if (!this.#hasPeers) return;
    this.#base.clear();
    for (const [key, row] of this.working) this.#base.set(key, Float64Array.from(row));
  }

  /** What is open counts as published. */
  forgetOpen(): void {
    this.#open.clear();
  }
}
