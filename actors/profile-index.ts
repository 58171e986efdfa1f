/**
 * Finds a resident profile's slab handle by its 64-bit keyed hash: one open-addressing table a
 * partition, in typed arrays. Small tables (a million profiles over 128 partitions is 8,000 each) keep
 * the pause of a doubling under a millisecond. Linear probing; deletion shifts back, so there are no
 * tombstones and lookups never slow down with churn.
 */
import { NO_HANDLE } from './slab.ts';

const CAPACITY_MIN = 64;

class PartitionTable {
  low = new Uint32Array(CAPACITY_MIN);
  high = new Uint32Array(CAPACITY_MIN);
  handles = new Uint32Array(CAPACITY_MIN).fill(NO_HANDLE);
  count = 0;
}

export class ProfileIndex {
  readonly #tables: (PartitionTable | undefined)[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    let bytes = 0;
    for (const table of this.#tables) if (table !== undefined) bytes += table.handles.length * 12;
    return bytes;
  }

  find(partition: number, low: number, high: number): number {
    const table = this.#tables[partition];
    if (table === undefined) return NO_HANDLE;
    const mask = table.handles.length - 1;
    for (let i = low & mask; ; i = (i + 1) & mask) {
      const handle = table.handles[i] as number;
      if (handle === NO_HANDLE) return NO_HANDLE;
      if (table.low[i] === low && table.high[i] === high) return handle;
    }
  }

  /** Inserts or replaces. */
  set(partition: number, low: number, high: number, handle: number): void {
    let table = this.#tables[partition];
    if (table === undefined) {
      table = new PartitionTable();
      this.#tables[partition] = table;
    }
    if ((table.count + 1) * 10 > table.handles.length * 7) grow(table);
    const mask = table.handles.length - 1;
    let i = low & mask;
    while (table.handles[i] !== NO_HANDLE && !(table.low[i] === low && table.high[i] === high)) i = (i + 1) & mask;
    if (table.handles[i] === NO_HANDLE) {
      table.count++;
      this.#count++;
    }
    table.low[i] = low;
    table.high[i] = high;
    table.handles[i] = handle;
  }

  delete(partition: number, low: number, high: number): void {
    const table = this.#tables[partition];
    if (table === undefined) return;
    const mask = table.handles.length - 1;
    let i = low & mask;
    while (!(table.low[i] === low && table.high[i] === high)) {
      if (table.handles[i] === NO_HANDLE) return;
      i = (i + 1) & mask;
    }
    if (table.handles[i] === NO_HANDLE) return;
    table.count--;
    this.#count--;
    // Shift back every later entry of the run that would no longer be reachable across the hole.
    let hole = i;
    for (let next = (i + 1) & mask; table.handles[next] !== NO_HANDLE; next = (next + 1) & mask) {
      const home = (table.low[next] as number) & mask;
      if (((next - home) & mask) >= ((next - hole) & mask)) {
        table.low[hole] = table.low[next] as number;
        table.high[hole] = table.high[next] as number;
        table.handles[hole] = table.handles[next] as number;
        hole = next;
      }
    }
    table.handles[hole] = NO_HANDLE;
    table.low[hole] = 0;
    table.high[hole] = 0;
  }

  clear(): void {
    this.#tables.length = 0;
    this.#count = 0;
  }
}

function grow(table: PartitionTable): void {
  const { low, high, handles } = table;
  const mask = handles.length * 2 - 1;
  table.low = new Uint32Array(mask + 1);
  table.high = new Uint32Array(mask + 1);
  table.handles = new Uint32Array(mask + 1).fill(NO_HANDLE);
  for (let old = 0; old < handles.length; old++) {
    if (handles[old] === NO_HANDLE) continue;
    let i = (low[old] as number) & mask;
    while (table.handles[i] !== NO_HANDLE) i = (i + 1) & mask;
    table.low[i] = low[old] as number;
    table.high[i] = high[old] as number;
    table.handles[i] = handles[old] as number;
  }
}
