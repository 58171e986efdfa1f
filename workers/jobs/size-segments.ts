/** The job that counts tags and matches of a rule in a thread of the pool, and says in shared memory how far it is. */
import { type CountSegmentsInput, countSegments, type SegmentCounts } from '../segments/count-segments.ts';

export interface SizeSegmentsInput extends CountSegmentsInput {
  /** Of 8 bytes: records looked at, of how many; written by the job. */
  readonly progress: SharedArrayBuffer;
}

/** @throws CatalogError, StoreError: as `countSegments` */
export function sizeSegments({ progress, ...input }: SizeSegmentsInput): Promise<SegmentCounts> {
  const told = new Uint32Array(progress);
  return countSegments(input, (read, total) => {
    told[0] = read;
    told[1] = total;
  });
}
