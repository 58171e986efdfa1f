/**
 * Segments by density, DBSCAN: a person with at least `neighboursMin` people within `radius` (himself counted)
 * is a core; cores within reach of each other are one segment, and people within reach of a core belong to it.
 * The rest are outliers, which k-means has no word for. Batch only; shapes and number of segments are found.
 *
 * Source: Ester, Kriegel, Sander and Xu, "A density-based algorithm for discovering clusters in large spatial
 * databases with noise", KDD 1996. A person in reach of two segments goes to the one with the lower number;
 * numbers follow the order of rows. Neighbours are looked for in a window of the widest column in sorted
 * order: exact, and from quadratic to about rows × window, which suffices for nightly tables of some 100,000.
 */
import { type PersonTable, rowsOf } from './person-table.ts';

/** In no segment. */
export const OUTLIER = -1;

export interface DensityClusters {
  /** Segment of each row, 0 to count − 1, or OUTLIER. */
  readonly segments: Int32Array;
  readonly count: number;
  /** Whether each row is a core, 0 or 1. */
  readonly cores: Uint8Array;
}

/**
 * @param table rows × width, finite; bring the columns to one scale before (`scaled`)
 * @param radius Euclidean, > 0, in the table's units
 * @param neighboursMin whole, >= 1; the person himself counts
 * @throws RangeError for arguments out of bounds
 * Draws: none. Cost: twice rows × people in the window × width × 10 ns.
 */
export function clusterByDensity(table: PersonTable, radius: number, neighboursMin: number): DensityClusters {
  if (!(radius > 0 && radius <= 1e100)) throw new RangeError(`radius ${radius}: above 0, at most 1e100`);
  if (!(Number.isInteger(neighboursMin) && neighboursMin >= 1))
    throw new RangeError(`neighboursMin ${neighboursMin}: a whole number from 1`);
  const rows = rowsOf(table);
  const { values, width } = table;
  const column = widestColumn(table, rows);
  const key = (row: number): number => values[row * width + column] as number; // row < rows
  const sorted = Uint32Array.from({ length: rows }, (_, row) => row).sort((a, b) => key(a) - key(b) || a - b);
  const places = new Uint32Array(rows);
  for (let place = 0; place < rows; place += 1) places[sorted[place] as number] = place; // place < rows

  /** Fills `found` with the rows in reach of `row`, itself included; returns how many. */
  const found = new Uint32Array(rows);
  const neighboursOf = (row: number): number => {
    let count = 0;
    const place = places[row] as number; // row < rows
    const centre = key(row);
    for (let next = place; next < rows; next += 1) {
      const other = sorted[next] as number; // next < rows
      if (key(other) - centre > radius) break;
      if (isInReach(values, row * width, other * width, width, radius)) found[count++] = other;
    }
    for (let next = place - 1; next >= 0; next -= 1) {
      const other = sorted[next] as number; // 0 <= next < rows
      if (centre - key(other) > radius) break;
      if (isInReach(values, row * width, other * width, width, radius)) found[count++] = other;
    }
    return count;
  };

  const cores = new Uint8Array(rows);
  for (let row = 0; row < rows; row += 1) if (neighboursOf(row) >= neighboursMin) cores[row] = 1;
  const segments = new Int32Array(rows).fill(OUTLIER);
  const waiting = new Uint32Array(rows);
  let count = 0;
  for (let row = 0; row < rows; row += 1) {
    if (cores[row] === 0 || segments[row] !== OUTLIER) continue;
    let depth = 0;
    waiting[depth++] = row;
    segments[row] = count;
    while (depth > 0) {
      const near = neighboursOf(waiting[--depth] as number); // depth was above 0
      for (let i = 0; i < near; i += 1) {
        const other = found[i] as number; // i < near <= rows
        if (segments[other] !== OUTLIER) continue;
        segments[other] = count;
        if (cores[other] === 1) waiting[depth++] = other; // each row enters once, so depth stays below rows
      }
    }
    count += 1;
  }
  return { segments, count, cores };
}

function widestColumn({ values, width }: PersonTable, rows: number): number {
  let widest = 0;
  let spread = -1;
  for (let column = 0; column < width && rows > 0; column += 1) {
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    for (let i = column; i < values.length; i += width) {
      low = Math.min(low, values[i] as number); // i < length
      high = Math.max(high, values[i] as number); // i < length
    }
    if (high - low > spread) [widest, spread] = [column, high - low];
  }
  return widest;
}

function isInReach(values: Float64Array, a: number, b: number, width: number, radius: number): boolean {
  let sum = 0;
  for (let column = 0; column < width; column += 1) {
    const difference = (values[a + column] as number) - (values[b + column] as number); // a, b start rows
    sum += difference * difference;
  }
  return sum <= radius * radius;
}
