/**
 * Segments: people who are alike, by k-means on columns in units of deviations (or as they are).
 *
 *   start     k-means++: a centre is a person drawn with probability ∝ squared distance to the centres so far
 *   batch     Lloyd: every person to the nearest centre, every centre to the mean of its people, until none moves
 *   online    mini-batches: people to the nearest centre first, then centre += (person − centre) / count
 *
 * The batch fit runs in the job pool and keeps the best of several starts; the online form takes each new
 * observation in constant time and needs no memory of earlier ones. Both work on the same object.
 *
 * Sources: Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007; Lloyd, IEEE
 * Trans. Inf. Theory 1982; Sculley, "Web-scale k-means clustering", WWW 2010, algorithm 1. Deviations: a centre
 * that lost all its people moves to the person farthest from its own centre; online counts may be limited
 * (`memory`), so that a segment follows people who change.
 *
 * Only + - * / and square roots, and draws of random.ts: one seed gives one result on every engine.
 */

import { drawUniform, PURPOSE } from '../random.ts';
import { fitScale, type PersonTable, rowsOf, type Scale, scaled, scaleRow, unitScale } from './person-table.ts';

export const SEGMENTS_MAX = 256;
const RESTARTS_MAX = 1000;

export interface Segments {
  /** Centres found: at most what was asked, fewer where there are fewer different people. */
  readonly count: number;
  readonly width: number;
  readonly scale: Scale;
  /** Row-major, count × width, in scaled units; moved by `learnSegment`. */
  readonly centres: Float64Array;
  /** People behind each centre, length count; grown by `learnSegment`. */
  readonly weights: Float64Array;
  /** Sum over people of the squared distance to their centre, scaled units squared; of the fit, not updated. */
  readonly inertia: number;
  /** Full passes of the best start. */
  readonly passes: number;
  /** Whether the best start ended because no person changed segment. */
  readonly isConverged: boolean;
}

export interface SegmentOptions {
  /** Segments wanted, 1 to SEGMENTS_MAX. */
  readonly count: number;
  /** Two 32-bit words; the same seed and table give the same segments. */
  readonly seed: readonly [number, number];
  /** Starts, of which the one with the least inertia stays; default 10. */
  readonly restarts?: number;
  /** Full passes at most a start; default 300. 0 leaves the mini-batches' result. */
  readonly passesMax?: number;
  /** Mini-batches before the full passes; default 0. Worth it from some 100,000 people on. */
  readonly batches?: number;
  /** People a mini-batch, drawn with replacement; default 1,024. */
  readonly batchRows?: number;
  /** Default true: columns in units of deviations. False: as they are. */
  readonly isScaled?: boolean;
}

/**
 * Segments of a whole table.
 *
 * @param table rows × width, finite
 * @returns no segment (count 0) of a table without rows; one where all people are equal
 * @throws RangeError for options or values out of bounds
 * Draws: `count` a start and `batchRows` a batch, purposes segmentStart and segmentBatch.
 * Cost: about restarts × passes × rows × count × width × 5 ns.
 */
export function fitSegments(table: PersonTable, options: SegmentOptions): Segments {
  const { count, seed, restarts = 10, passesMax = 300, batches = 0, batchRows = 1024, isScaled = true } = options;
  checkWhole('count', count, 1, SEGMENTS_MAX);
  checkWhole('restarts', restarts, 1, RESTARTS_MAX);
  checkWhole('passesMax', passesMax, 0, 1e6);
  checkWhole('batches', batches, 0, 1e6);
  checkWhole('batchRows', batchRows, 1, 1e7);
  const { width } = table;
  const rows = rowsOf(table);
  const scale = isScaled ? fitScale(table) : unitScale(width);
  const { values } = scaled(table, scale);
  let best: Segments | null = null;
  for (let restart = 0; restart < Math.max(1, restarts); restart += 1) {
    const centres = startCentres(values, rows, width, count, seed, restart);
    const found = centres.length / width;
    const fit = { count: found, width, scale, centres, weights: new Float64Array(found) };
    for (let batch = 0; batch < batches && rows > 0; batch += 1) {
      const sample = new Float64Array(batchRows * width);
      for (let i = 0; i < batchRows; i += 1) {
        const point = drawUniform(seed[0] ^ restart, seed[1] ^ (batch + 1), i, PURPOSE.segmentBatch);
        const row = Math.floor(point * rows);
        sample.set(values.subarray(row * width, row * width + width), i * width);
      }
      learnScaled(fit, sample, Number.POSITIVE_INFINITY);
    }
    const ended = fullPasses(values, rows, fit, passesMax);
    if (best === null || ended.inertia < best.inertia) best = { ...fit, ...ended };
  }
  return best as Segments; // at least one start has run
}

/** k-means++; stops early when every person stands on a centre. */
function startCentres(
  values: Float64Array,
  rows: number,
  width: number,
  count: number,
  seed: readonly [number, number],
  restart: number,
): Float64Array {
  const centres = new Float64Array(Math.min(count, rows) * width);
  const nearest = new Float64Array(rows).fill(Number.POSITIVE_INFINITY);
  let found = 0;
  for (; found < count && found < rows; found += 1) {
    const point = drawUniform(seed[0], seed[1] ^ restart, found, PURPOSE.segmentStart);
    let row = Math.floor(point * rows);
    if (found > 0) {
      let total = 0;
      for (let i = 0; i < rows; i += 1) {
        const distance = squaredDistance(values, i * width, centres, (found - 1) * width, width);
        if (distance < at(nearest, i)) nearest[i] = distance;
        total += at(nearest, i);
      }
      if (!(total > 0)) break;
      row = -1;
      let left = point * total;
      for (let i = 0; i < rows && left >= 0; i += 1) {
        if (!(at(nearest, i) > 0)) continue;
        left -= at(nearest, i);
        row = i; // rounding may leave a rest: then the last person not on a centre
      }
    }
    centres.set(values.subarray(row * width, row * width + width), found * width);
  }
  return centres.slice(0, found * width);
}

/** Lloyd's passes; fills `weights`, moves `centres`. */
function fullPasses(
  values: Float64Array,
  rows: number,
  fit: Pick<Segments, 'count' | 'width' | 'centres' | 'weights'>,
  passesMax: number,
): Pick<Segments, 'inertia' | 'passes' | 'isConverged'> {
  const { count, width, centres, weights } = fit;
  if (rows === 0) return { inertia: 0, passes: 0, isConverged: true };
  const segmentOfRow = new Int32Array(rows).fill(-1);
  const distances = new Float64Array(rows);
  for (let passes = 0; ; passes += 1) {
    let inertia = 0;
    let moved = 0;
    weights.fill(0);
    for (let i = 0; i < rows; i += 1) {
      const segment = nearestCentre(centres, count, width, values, i * width);
      distances[i] = squaredDistance(values, i * width, centres, segment * width, width);
      inertia += at(distances, i);
      if (segmentOfRow[i] !== segment) moved += 1;
      segmentOfRow[i] = segment;
      weights[segment] = at(weights, segment) + 1;
    }
    if (moved === 0 || passes === passesMax) return { inertia, passes, isConverged: moved === 0 };
    for (let segment = 0; segment < count; segment += 1) {
      if (at(weights, segment) > 0) continue;
      // Nobody is left here: the person farthest from a centre of two or more people begins anew.
      let farthest = -1;
      for (let i = 0; i < rows; i += 1) {
        const crowd = at(weights, segmentOfRow[i] as number); // i < rows, its length
        if (crowd > 1 && (farthest < 0 || at(distances, i) > at(distances, farthest))) farthest = i;
      }
      if (farthest < 0) break; // everybody is alone already
      const from = segmentOfRow[farthest] as number; // farthest < rows
      weights[from] = at(weights, from) - 1;
      weights[segment] = 1;
      segmentOfRow[farthest] = segment;
      distances[farthest] = 0;
    }
    centres.fill(0);
    for (let i = 0; i < rows; i += 1) {
      const start = (segmentOfRow[i] as number) * width; // i < rows
      for (let column = 0; column < width; column += 1)
        centres[start + column] = at(centres, start + column) + at(values, i * width + column);
    }
    for (let segment = 0; segment < count; segment += 1) {
      const weight = Math.max(at(weights, segment), 1);
      for (let column = 0; column < width; column += 1)
        centres[segment * width + column] = at(centres, segment * width + column) / weight;
    }
  }
}

/**
 * One mini-batch, online: each row to its nearest centre as they stand, then the centres move in order of rows.
 *
 * @param rows row-major, any number of rows of `segments.width`, as people are (not scaled); NaN counts as the mean
 * @param memory a centre never weighs more people than this, so old ones fade; default Infinity. >= 1
 * Draws: none. Cost: rows × count × width × 5 ns. Nothing happens when there are no segments.
 */
export function learnSegments(segments: Segments, rows: Float64Array, memory = Number.POSITIVE_INFINITY): void {
  if (!(memory >= 1)) throw new RangeError(`memory ${memory}: at least 1`);
  const { width } = segments;
  if (rows.length % width !== 0) throw new RangeError(`${rows.length} values are no rows of ${width}`);
  if (segments.count === 0) return;
  const batch = rows.slice();
  for (let start = 0; start < batch.length; start += width) {
    const row = batch.subarray(start, start + width);
    scaleRow(segments.scale, row, row);
  }
  learnScaled(segments, batch, memory);
}

function learnScaled(
  segments: Pick<Segments, 'count' | 'width' | 'centres' | 'weights'>,
  batch: Float64Array,
  memory: number,
): void {
  const { count, width, centres, weights } = segments;
  const rows = batch.length / width;
  const assigned = new Int32Array(rows);
  for (let i = 0; i < rows; i += 1) assigned[i] = nearestCentre(centres, count, width, batch, i * width);
  for (let i = 0; i < rows; i += 1) {
    const segment = assigned[i] as number; // i < rows, its length
    const weight = Math.min(at(weights, segment) + 1, memory);
    weights[segment] = weight;
    for (let column = 0; column < width; column += 1) {
      const index = segment * width + column;
      centres[index] = at(centres, index) + (at(batch, i * width + column) - at(centres, index)) / weight;
    }
  }
}

const SCRATCH_WIDTH = 64;
const scratchRow = new Float64Array(SCRATCH_WIDTH);

/**
 * The segment of one person, 0 to count − 1; −1 without segments. Ties go to the lower number.
 *
 * @param row length width, as people are (not scaled); NaN counts as the mean
 * Cost: count × width × 5 ns; allocates nothing up to 64 columns.
 */
export function segmentOf(segments: Segments, row: Float64Array): number {
  const { width } = segments;
  const scaledRow = width <= SCRATCH_WIDTH ? scratchRow : new Float64Array(width);
  scaleRow(segments.scale, row, scaledRow);
  return segments.count === 0 ? -1 : nearestCentre(segments.centres, segments.count, width, scaledRow, 0);
}

/** Sum over the table's people of the squared distance to their centre, in the segments' scaled units. */
export function inertiaOf(segments: Segments, table: PersonTable): number {
  const rows = rowsOf(table);
  if (segments.count === 0) return 0;
  const { values } = scaled(table, segments.scale);
  const { centres, count, width } = segments;
  let inertia = 0;
  for (let i = 0; i < rows; i += 1) {
    const segment = nearestCentre(centres, count, width, values, i * width);
    inertia += squaredDistance(values, i * width, centres, segment * width, width);
  }
  return inertia;
}

function nearestCentre(centres: Float64Array, count: number, width: number, row: Float64Array, from: number): number {
  let nearest = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let segment = 0; segment < count; segment += 1) {
    const distance = squaredDistance(row, from, centres, segment * width, width);
    if (distance < least) {
      least = distance;
      nearest = segment;
    }
  }
  return nearest;
}

function squaredDistance(a: Float64Array, fromA: number, b: Float64Array, fromB: number, width: number): number {
  let sum = 0;
  for (let column = 0; column < width; column += 1) {
    const difference = at(a, fromA + column) - at(b, fromB + column);
    sum += difference * difference;
  }
  return sum;
}

function checkWhole(name: string, value: number, min: number, max: number): void {
  if (!(Number.isInteger(value) && value >= min && value <= max))
    throw new RangeError(`${name} ${value}: a whole number from ${min} to ${max}`);
}

function at(values: Float64Array, index: number): number {
  return values[index] as number; // every caller keeps index < length
}
