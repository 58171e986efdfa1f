/**
 * People as rows of numbers, and the scale that makes their columns comparable. Batch fits read such tables:
 * a person is a row, a column is one measure of everybody (days since the last purchase, tenure, a trait as 0
 * or 1). Values are finite and at most VALUE_MAX, so that no sum of squares overflows; a table that breaks this
 * is refused by name of row and column instead of becoming NaN later.
 *
 *   z = (x − mean) / deviation        population deviation; a column that does not vary becomes 0
 */

/** Largest magnitude of a value: its square times 1e8 rows is still a finite double. */
export const VALUE_MAX = 1e100;
/** A deviation below this share of the largest value is rounding, not variation; */
const CONSTANT_SHARE = 1e-12;
/** below this, its square has lost its digits. */
const DEVIATION_MIN = 1e-150;

export interface PersonTable {
  /** Row-major, length rows × width. */
  readonly values: Float64Array;
  /** Columns, >= 1. */
  readonly width: number;
}

/** Mean and deviation of each column; length width. A column that does not vary has deviation 0. */
export interface Scale {
  readonly means: Float64Array;
  readonly deviations: Float64Array;
}

/**
 * Number of rows of a sound table.
 * @throws RangeError naming row and column of a value that is not finite or beyond VALUE_MAX, or the lengths
 */
export function rowsOf({ values, width }: PersonTable): number {
  if (!(Number.isInteger(width) && width >= 1)) throw new RangeError(`width ${width}: a whole number from 1`);
  if (values.length % width !== 0) throw new RangeError(`${values.length} values are no rows of ${width}`);
  for (let i = 0; i < values.length; i += 1) {
    const value = at(values, i);
    if (!(value >= -VALUE_MAX && value <= VALUE_MAX)) {
      const [row, column] = [Math.floor(i / width), i % width];
      throw new RangeError(`row ${row}, column ${column} is ${value}: must be finite, at most ${VALUE_MAX}`);
    }
  }
  return values.length / width;
}

/**
 * Mean and population deviation of each column, in two passes, so that a large mean costs no digits.
 * A table without rows gives means and deviations of 0. Cost: 2 ns a value.
 * @throws RangeError as `rowsOf`
 */
export function fitScale(table: PersonTable): Scale {
  const rows = rowsOf(table);
  const { values, width } = table;
  const means = new Float64Array(width);
  const deviations = new Float64Array(width);
  if (rows === 0) return { means, deviations };
  for (let column = 0; column < width; column += 1) {
    let sum = 0;
    let largest = 0;
    for (let i = column; i < values.length; i += width) {
      const value = at(values, i);
      sum += value;
      if (value > largest) largest = value;
      else if (-value > largest) largest = -value;
    }
    const mean = sum / rows;
    let squares = 0;
    for (let i = column; i < values.length; i += width) squares += (at(values, i) - mean) ** 2;
    const deviation = Math.sqrt(squares / rows);
    means[column] = mean;
    deviations[column] = deviation > Math.max(CONSTANT_SHARE * largest, DEVIATION_MIN) ? deviation : 0;
  }
  return { means, deviations };
}

/** The scale that changes nothing, for columns that are comparable as they are. */
export function unitScale(width: number): Scale {
  return { means: new Float64Array(width), deviations: new Float64Array(width).fill(1) };
}

/**
 * One person's row in units of deviations. A value that is not known (NaN) is the mean, 0; one beyond VALUE_MAX
 * counts as VALUE_MAX; so the result is finite whatever comes in.
 * @param row length width  @param out length width, overwritten; may be `row` itself
 */
export function scaleRow({ means, deviations }: Scale, row: Float64Array, out: Float64Array): void {
  for (let column = 0; column < means.length; column += 1) {
    const deviation = at(deviations, column);
    const value = Math.min(Math.max(at(row, column), -VALUE_MAX), VALUE_MAX);
    // NaN passes through min and max.
    out[column] = deviation > 0 && !Number.isNaN(value) ? (value - at(means, column)) / deviation : 0;
  }
}

/** The whole table in units of deviations: a copy. */
export function scaled(table: PersonTable, scale: Scale): PersonTable {
  const { width } = table;
  const values = table.values.slice();
  for (let start = 0; start < values.length; start += width) {
    const row = values.subarray(start, start + width);
    scaleRow(scale, row, row);
  }
  return { values, width };
}

function at(values: Float64Array, index: number): number {
  return values[index] as number; // every caller keeps index < length
}
