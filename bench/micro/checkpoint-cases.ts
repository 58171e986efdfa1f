/** The order in which a checkpoint writes its records: entering them, sorting by partition, taking them. */
import { DirtyRecords } from '../../actors/dirty-records.ts';
import type { MicroCase } from './micro-case.ts';

const RECORDS = 8192;

export const CHECKPOINT_CASES: readonly MicroCase[] = [
  {
    name: `checkpoint: order of ${RECORDS} records of 128 partitions`,
    prepare() {
      const dirty = new DirtyRecords();
      let seed = 1;
      const next = (): number => {
        seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
        return seed;
      };
      return () => {
        for (let n = 0; n < RECORDS; n++) dirty.add(next() >>> 25, next(), next());
        dirty.beginCycle();
        let sum = 0;
        for (let record = dirty.take(); record !== null; record = dirty.take()) sum += record.partition;
        return sum;
      };
    },
  },
];
