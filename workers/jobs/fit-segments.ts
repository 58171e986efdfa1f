/**
 * The job behind a nightly segmentation: k-means of `decision/segments.ts`, or DBSCAN beside it, over people in
 * shared memory, and the segment of each. Pure work on numbers; a million people of ten columns are 80 MB, passed
 * and not copied.
 */
import { clusterByDensity } from '../../decision/batch/density-clusters.ts';
import { fitScale, scaled } from '../../decision/batch/person-table.ts';
import {
  fitSegments as fitModel,
  type SegmentOptions,
  type Segments,
  segmentOf,
} from '../../decision/batch/segments.ts';

export interface FitSegmentsInput {
  /** Row-major doubles, rows × width. */
  readonly values: SharedArrayBuffer;
  readonly width: number;
  readonly method:
    | ({ readonly kind: 'kMeans' } & SegmentOptions)
    /** Radius in units of deviations. */
    | { readonly kind: 'density'; readonly radius: number; readonly neighboursMin: number };
}

export interface FitSegmentsResult {
  readonly count: number;
  /** Of each row, 0 to count − 1; −1 for an outlier of DBSCAN. */
  readonly segmentOfRow: Int32Array;
  /** To place new people and to learn on; null for DBSCAN, which places nobody new. */
  readonly segments: Segments | null;
}

/** @throws RangeError for values or options out of bounds, naming them */
export function fitSegments({ values, width, method }: FitSegmentsInput): FitSegmentsResult {
  const table = { values: new Float64Array(values), width };
  if (method.kind === 'density') {
    const { radius, neighboursMin } = method;
    const { segments, count } = clusterByDensity(scaled(table, fitScale(table)), radius, neighboursMin);
    return { count, segmentOfRow: segments, segments: null };
  }
  const { kind: _, ...options } = method;
  const segments = fitModel(table, options);
  const segmentOfRow = Int32Array.from({ length: table.values.length / width }, (__, row) =>
    segmentOf(segments, table.values.subarray(row * width, row * width + width)),
  );
  return { count: segments.count, segmentOfRow, segments };
}
