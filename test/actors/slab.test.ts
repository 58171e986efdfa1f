import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classFor, NO_HANDLE, RECORD_BYTES_MAX, SIZE_CLASSES, Slab } from '../../actors/slab.ts';

describe('slab', () => {
  it('classFor: the smallest class that holds the bytes, at and around every boundary', () => {
    SIZE_CLASSES.forEach((bytes, sizeClass) => {
      expect(classFor(bytes)).toBe(sizeClass);
      expect(classFor(bytes - 1)).toBe(sizeClass);
      if (bytes < RECORD_BYTES_MAX) expect(classFor(bytes + 1)).toBe(sizeClass + 1);
    });
    expect(classFor(0)).toBe(0);
    expect(() => classFor(RECORD_BYTES_MAX + 1)).toThrow(RangeError);
    expect(() => classFor(Number.NaN)).toThrow(RangeError);
    expect(SIZE_CLASSES.every((bytes) => bytes % 64 === 0)).toBe(true);
  });

  it('allocate and free: no two live slots overlap and contents stay, over all classes', () => {
    const operation = fc.record({
      isFree: fc.boolean(),
      bytes: fc.oneof(fc.constantFrom(...SIZE_CLASSES), fc.integer({ min: 1, max: RECORD_BYTES_MAX })),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
        const slab = new Slab();
        const live = new Map<number, { bytes: number; stamp: number }>();
        operations.forEach(({ isFree, bytes, pick }, n) => {
          if (isFree && live.size > 0) {
            const handle = [...live.keys()][pick % live.size] as number;
            const chunk = slab.chunkOf(handle);
            expect(chunk.u32[(slab.offsetOf(handle) >>> 2) + 1]).toBe(live.get(handle)?.stamp);
            slab.free(handle);
            live.delete(handle);
            expect(chunk.u32[(slab.offsetOf(handle) >>> 2) + 1]).toBe(0);
            return;
          }
          const handle = slab.allocate(bytes);
          expect(handle).not.toBe(NO_HANDLE);
          expect(live.has(handle)).toBe(false);
          const chunk = slab.chunkOf(handle);
          const start = slab.offsetOf(handle);
          expect(chunk.slotBytes).toBeGreaterThanOrEqual(bytes);
          expect(start + chunk.slotBytes).toBeLessThanOrEqual(chunk.u8.length);
          chunk.u32.fill(n + 1, start >>> 2, (start + chunk.slotBytes) >>> 2);
          live.set(handle, { bytes: chunk.slotBytes, stamp: n + 1 });
        });
        for (const [handle, { bytes, stamp }] of live) {
          const start = slab.offsetOf(handle) >>> 2;
          const words = slab.chunkOf(handle).u32.subarray(start, start + (bytes >>> 2));
          expect(words.every((word) => word === stamp)).toBe(true);
        }
        expect(slab.usedSlots).toBe(live.size);
        expect(slab.usedBytes).toBe([...live.values()].reduce((sum, { bytes }) => sum + bytes, 0));
      }),
      { numRuns: 60 },
    );
  });

  it('allocate: a freed slot is used again before a new chunk is made', () => {
    const slab = new Slab();
    const handles = Array.from({ length: 4096 }, () => slab.allocate(256));
    expect(slab.chunkCount).toBe(1);
    slab.free(handles[17] as number);
    expect(slab.allocate(200)).toBe(handles[17]);
    expect(slab.chunkCount).toBe(1);
    slab.allocate(256);
    expect(slab.chunkCount).toBe(2);
    expect(slab.reservedBytes).toBe(2 << 20);
  });

  it('free: a chunk that is empty serves another class, its slots all free', () => {
    const slab = new Slab();
    const handles = Array.from({ length: 4096 }, () => slab.allocate(256));
    for (const handle of handles)
      slab.chunkOf(handle).u32.fill(0x4f505431, slab.offsetOf(handle) >>> 2, (slab.offsetOf(handle) >>> 2) + 64);
    for (const handle of handles) slab.free(handle);
    expect([slab.chunkCount, slab.emptyChunks, slab.usedBytes]).toEqual([1, 1, 0]);
    const other = slab.allocate(1000);
    expect([slab.chunkCount, slab.emptyChunks]).toEqual([1, 0]);
    const chunk = slab.chunkOf(other);
    // Giving it to another class touched nothing but the slot that was asked for.
    expect(chunk.slots).toBe(1);
    expect(chunk.u32.subarray(chunk.slotBytes >>> 2).some((word) => word === 0x4f505431)).toBe(true);
    while (chunk.slots < 1024) expect(slab.chunkOf(slab.allocate(1000))).toBe(chunk);
    expect(chunk.isFull).toBe(true);
    // No word where a marker would be looks like a record's.
    for (let slot = 0; slot < chunk.slots; slot++) expect(chunk.u32[(slot * chunk.slotBytes + 4) >>> 2]).toBe(0);
  });

  it('sparsestChunk and close: the one whose records fit elsewhere, which then takes nothing more', () => {
    const slab = new Slab();
    const handles = Array.from({ length: 3 * 1024 }, () => slab.allocate(1024));
    expect(slab.sparsestChunk()).toBeNull();
    const ofChunk = (number: number): number[] => handles.filter((handle) => handle >>> 12 === number);
    for (const handle of ofChunk(1).slice(0, 700)) slab.free(handle);
    expect(slab.sparsestChunk()).toBeNull(); // nobody else has room
    for (const handle of ofChunk(2).slice(0, 400)) slab.free(handle);
    const sparsest = slab.sparsestChunk();
    expect(sparsest?.number).toBe(1);
    if (sparsest === null) return;
    slab.close(sparsest);
    const moved = Array.from({ length: 324 }, () => slab.allocate(1024));
    expect(moved.every((handle) => handle >>> 12 === 2)).toBe(true);
    for (const handle of ofChunk(1).slice(700)) slab.free(handle);
    expect(slab.emptyChunks).toBe(1);
  });
});
