/** What a resident profile costs: outside the JavaScript heap, and inside it, where it should cost nothing. */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { OneShard } from './one-shard.ts';
import { NOON } from './test-catalog.ts';

const PROFILES = 100_000;
const OUTSIDE_BYTES_MAX = 1_200;
const HEAP_BYTES_MAX = 64;

describe('memory', () => {
  it('100,000 profiles that decided once and were tracked: within the targets of the issue', () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void; // what --expose-gc defines
    const heapBytes = (): number => {
      for (let n = 0; n < 4; n++) collect();
      return process.memoryUsage().heapUsed;
    };
    const shard = new OneShard({ catalog: readFileSync('catalogs/bench.yaml', 'utf8'), memoryBytesMax: 2 ** 31 });
    const { runtime, store, disk } = shard;
    const visit = (n: number): void => {
      shard.decide({ profile: `person-${n}`, slot: 'home', sku: 'bench-product' }, NOON + n);
      shard.track({ profile: `person-${n}`, event: 'view', messageId: `m${n}` }, NOON + n);
      if (n % 32 === 0) {
        store.commitNow();
        // The journal of a real store is on disk.
        disk.journal.clear();
      }
    };
    // What is made once, and code that is compiled on the way, is there before the first reading.
    for (let n = 0; n < 2_000; n++) visit(n);
    const before = { heap: heapBytes(), outside: runtime.slab.reservedBytes + runtime.profiles.bytes };
    for (let n = 2_000; n < 2_000 + PROFILES; n++) visit(n);
    const added = runtime.profiles.count - 2_000;
    const outside = (runtime.slab.reservedBytes + runtime.profiles.bytes - before.outside) / added;
    const heap = (heapBytes() - before.heap) / added;
    const used = runtime.slab.usedBytes / runtime.profiles.count;
    console.log(
      `memory: ${added} profiles, ${outside.toFixed(0)} bytes each outside the heap (records ${used.toFixed(0)}), ${heap.toFixed(1)} bytes each in it`,
    );
    expect(added).toBe(PROFILES);
    expect(outside).toBeLessThanOrEqual(OUTSIDE_BYTES_MAX);
    expect(heap).toBeLessThanOrEqual(HEAP_BYTES_MAX);
  });
});
