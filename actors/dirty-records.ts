/**
 * Which resident records have changed since they were last written, in the order in which writing them
 * is cheapest. A store that keeps records in order of their key copies a whole page for each record it
 * puts; neighbours share the page. So a checkpoint cycle goes through the partitions, and through each in
 * order of hash: with 100,000 profiles of which half are dirty that is a third of the pages.
 *
 *   add ▸ [ partition 0 | partition 1 | … ] ─beginCycle─▸ [ … ] ─take─▸ by partition, by hash
 *
 * Names records by hash and not by handle: a handle may be another profile's by the time it is written.
 * A partition is sorted when its turn comes (8,000 records: 0.5 ms), so no call sorts everything.
 */
import { strict as assert } from 'node:assert';
import { PARTITION_COUNT } from '../proto/limits.ts';

const ENTRIES_INITIAL = 16;
/** A sort key is the hash's high word and a position: 32 + 21 bits are exact in a float64. */
const POSITIONS_MAX = 2 ** 21;

class PartitionList {
  /** Pairs: high word, low word of the hash. */
  words = new Uint32Array(2 * ENTRIES_INITIAL);
  count = 0;
}

/** Where a record is found; one instance, refilled by every `take`. */
export interface DirtyRecord {
  partition: number;
  low: number;
  high: number;
}

export class DirtyRecords {
  #lists: (PartitionList | undefined)[] = new Array<PartitionList | undefined>(PARTITION_COUNT).fill(undefined);
  #count = 0;
  #cycle: (PartitionList | undefined)[] = new Array<PartitionList | undefined>(PARTITION_COUNT).fill(undefined);
  #cycleCount = 0;
  /** The partition being taken from, its records in order of hash, and how many of them are taken. */
  #partition = 0;
  #sorted: Float64Array | null = null;
  #taken = 0;
  readonly #record: DirtyRecord = { partition: 0, low: 0, high: 0 };

  /** Records in the cycle and behind it. */
  get count(): number {
    return this.#count + this.#cycleCount;
  }
  get cycleCount(): number {
    return this.#cycleCount;
  }

  /** The caller adds a record once, until it has been taken. */
  add(partition: number, low: number, high: number): void {
    append(this.#lists, partition, low, high);
    this.#count++;
  }

  /** What is dirty now is the cycle. What an unfinished one still owes belongs to it too. */
  beginCycle(): void {
    for (let rest = this.take(); rest !== null; rest = this.take()) {
      append(this.#lists, rest.partition, rest.low, rest.high);
      this.#count++;
    }
    const emptied = this.#cycle.fill(undefined);
    this.#cycle = this.#lists;
    this.#cycleCount = this.#count;
    this.#lists = emptied;
    this.#count = 0;
    this.#rewind();
  }

  clear(): void {
    this.#lists.fill(undefined);
    this.#cycle.fill(undefined);
    this.#count = 0;
    this.#cycleCount = 0;
    this.#rewind();
  }

  #rewind(): void {
    this.#partition = 0;
    this.#sorted = null;
    this.#taken = 0;
  }

  /** The cycle's next record, or null when there is none. Valid until the next call. */
  take(): DirtyRecord | null {
    if (this.#cycleCount === 0) return null;
    // Ends: the cycle counts what its lists hold.
    for (;;) {
      const list = this.#cycle[this.#partition];
      if (list === undefined) {
        this.#partition++;
        continue;
      }
      this.#sorted ??= sortedPositions(list);
      if (this.#taken < list.count) {
        const at = 2 * ((this.#sorted[this.#taken] as number) % POSITIONS_MAX); // taken < count
        this.#taken++;
        this.#cycleCount--;
        this.#record.partition = this.#partition;
        this.#record.high = list.words[at] as number; // a position of this list
        this.#record.low = list.words[at + 1] as number; // likewise
        return this.#record;
      }
      this.#cycle[this.#partition] = undefined;
      this.#sorted = null;
      this.#taken = 0;
      this.#partition++;
    }
  }
}

function append(lists: (PartitionList | undefined)[], partition: number, low: number, high: number): void {
  let list = lists[partition];
  if (list === undefined) {
    list = new PartitionList();
    lists[partition] = list;
  }
  if (2 * list.count === list.words.length) {
    const larger = new Uint32Array(2 * list.words.length);
    larger.set(list.words);
    list.words = larger;
  }
  list.words[2 * list.count] = high;
  list.words[2 * list.count + 1] = low;
  list.count++;
}

/** Positions of a list in order of hash, each as `high * POSITIONS_MAX + position`: numbers sort without a comparator. */
function sortedPositions(list: PartitionList): Float64Array {
  assert(list.count <= POSITIONS_MAX, 'a partition has more dirty records than memory can hold');
  const keys = new Float64Array(list.count);
  for (let i = 0; i < list.count; i++) keys[i] = (list.words[2 * i] as number) * POSITIONS_MAX + i; // i < count
  return keys.sort();
}
