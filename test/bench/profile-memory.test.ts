import { describe, expect, it } from 'vitest';
import { memoryPerProfile, readMemory } from '../../bench/profile-memory.ts';
import { gaugeSum } from '../../bench/prometheus-text.ts';

const PAGE = `# HELP opportune_slab_bytes Memory of profile records outside the JavaScript heap.
# TYPE opportune_slab_bytes gauge
opportune_slab_bytes{shard="0"} 1000
opportune_slab_bytes{shard="1"} 500
opportune_slab_used_bytes{shard="0"} 900
opportune_profiles_resident{shard="0",otel_scope_name="x"} 2
opportune_profiles_resident{shard="1"} 1
opportune_heap_used_bytes{shard="0"} 1e6
opportune_resident_memory_bytes 5000000
`;

describe('profile memory', () => {
  it('gaugeSum: adds the workers up and does not mistake one family for another', () => {
    expect(gaugeSum(PAGE, 'opportune_slab_bytes')).toBe(1500);
    expect(gaugeSum(PAGE, 'opportune_slab')).toBe(1500);
    expect(gaugeSum(PAGE, 'opportune_resident_memory_bytes')).toBe(5_000_000);
    expect(gaugeSum(PAGE, 'absent')).toBeNaN();
    expect(gaugeSum('', 'absent')).toBeNaN();
  });

  it('memoryPerProfile: growth over new profiles', () => {
    const before = readMemory(PAGE);
    const after = {
      residentProfiles: 103,
      slabBytes: 101_500,
      slabUsedBytes: 90_900,
      heapBytes: 1_003_200,
      processBytes: 5_200_000,
    };
    expect(memoryPerProfile(before, after, 100)).toEqual({
      profiles: 100,
      outsideHeapBytes: 1000,
      recordBytes: 900,
      heapGrowthBytes: 32,
      processBytes: 2000,
    });
  });

  it('memoryPerProfile: a server that already held the profiles, or shows none, is refused', () => {
    const reading = readMemory(PAGE);
    expect(() => memoryPerProfile(reading, reading, 100)).toThrow('only 0 of 100 profiles');
    expect(() => memoryPerProfile(readMemory(''), readMemory(''), 100)).toThrow('only NaN of 100');
  });
});
