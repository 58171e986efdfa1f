/**
 * Memory for profile records outside the JavaScript heap: chunks of 1 MiB, each cut into slots of one
 * size class. A record lives in the smallest class that holds it and moves up when it grows.
 *
 *   handle (u32) = chunk number * 4096 + slot number
 *
 *   chunk 0 [ 512 | 512 | 512 | … ]      free lists: one a class, threaded through the free slots'
 *   chunk 1 [ 1024 | 1024 | … ]          first four bytes
 *
 * Guarantees: a million profiles cost the garbage collector a few thousand typed arrays, not a million
 * objects. Trades away: up to a third of a slot is air (the classes grow by a third to a half), and
 * chunks are never handed back to the operating system, only reused by their class.
 */
const CHUNK_BYTES = 1 << 20;
const SLOTS_MAX = 4096;
export const NO_HANDLE = 0xffffffff;

/** Slot sizes in bytes; each a multiple of 64, so that every section of a record stays aligned. */
export const SIZE_CLASSES = [
  256, 384, 512, 640, 768, 1024, 1280, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 65536,
] as const;
export const RECORD_BYTES_MAX = 65536;

export class Chunk {
  readonly slotBytes: number;
  readonly sizeClass: number;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly f32: Float32Array;
  readonly f64: Float64Array;

  constructor(sizeClass: number, slotBytes: number) {
    const memory = new ArrayBuffer(CHUNK_BYTES);
    this.sizeClass = sizeClass;
    this.slotBytes = slotBytes;
    this.u8 = new Uint8Array(memory);
    this.u16 = new Uint16Array(memory);
    this.u32 = new Uint32Array(memory);
    this.f32 = new Float32Array(memory);
    this.f64 = new Float64Array(memory);
  }
}

export class Slab {
  readonly #chunks: Chunk[] = [];
  readonly #free: Uint32Array = new Uint32Array(SIZE_CLASSES.length).fill(NO_HANDLE);
  #slotsUsed = 0;
  #bytesUsed = 0;

  /** Bytes of all chunks, used or free. */
  get reservedBytes(): number {
    return this.#chunks.length * CHUNK_BYTES;
  }
  /** Bytes of the slots in use. */
  get usedBytes(): number {
    return this.#bytesUsed;
  }
  get usedSlots(): number {
    return this.#slotsUsed;
  }
  /** Number of chunks, to walk all slots. */
  get chunkCount(): number {
    return this.#chunks.length;
  }

  chunkOf(handle: number): Chunk {
    // A handle always names an existing chunk; an undefined here is our bug and surfaces as a TypeError.
    return this.#chunks[handle >>> 12] as Chunk;
  }

  offsetOf(handle: number): number {
    return (handle & (SLOTS_MAX - 1)) * this.chunkOf(handle).slotBytes;
  }

  /** Takes a slot that holds `bytes`; its content is undefined. */
  allocate(bytes: number): number {
    const sizeClass = classFor(bytes);
    let handle = this.#free[sizeClass] as number;
    if (handle === NO_HANDLE) handle = this.#grow(sizeClass);
    const chunk = this.chunkOf(handle);
    this.#free[sizeClass] = chunk.u32[this.offsetOf(handle) >>> 2] as number;
    this.#slotsUsed++;
    this.#bytesUsed += chunk.slotBytes;
    return handle;
  }

  free(handle: number): void {
    const chunk = this.chunkOf(handle);
    const offset = this.offsetOf(handle);
    // The next word (layout version and flags of a record) is cleared, so that a sweep sees a free slot.
    chunk.u32[offset >>> 2] = this.#free[chunk.sizeClass] as number;
    chunk.u32[(offset >>> 2) + 1] = 0;
    this.#free[chunk.sizeClass] = handle;
    this.#slotsUsed--;
    this.#bytesUsed -= chunk.slotBytes;
  }

  #grow(sizeClass: number): number {
    const slotBytes = SIZE_CLASSES[sizeClass] as number;
    const chunk = new Chunk(sizeClass, slotBytes);
    const number = this.#chunks.push(chunk) - 1;
    const slots = Math.min(SLOTS_MAX, Math.floor(CHUNK_BYTES / slotBytes));
    for (let slot = slots - 1; slot >= 0; slot--) {
      chunk.u32[(slot * slotBytes) >>> 2] = this.#free[sizeClass] as number;
      chunk.u32[((slot * slotBytes) >>> 2) + 1] = 0;
      this.#free[sizeClass] = (number << 12) | slot;
    }
    return (number << 12) >>> 0;
  }
}

export function classFor(bytes: number): number {
  for (let sizeClass = 0; sizeClass < SIZE_CLASSES.length; sizeClass++) {
    if ((SIZE_CLASSES[sizeClass] as number) >= bytes) return sizeClass;
  }
  throw new RangeError(`a profile record of ${bytes} bytes exceeds the largest slot of ${RECORD_BYTES_MAX}`);
}
