/**
 * Memory for profile records outside the JavaScript heap: chunks of 1 MiB, each cut into slots of one
 * size class. A record lives in the smallest class that holds it and moves up when it grows.
 *
 *   handle (u32) = chunk number * 4096 + slot number
 *
 *   chunk 0 [ 512 | 512 | 512 | … ]      a free list a chunk, threaded through the freed slots' first word;
 *   chunk 1 [ 1024 | 1024 | … ]          behind the slots taken so far, memory nobody has touched;
 *   chunk 2 empty                         any class may have it next, at no cost
 *
 * A young record outgrows class after class, each of which then has a chunk with nobody in it: giving one to a class
 * must touch nothing.
 *
 * Guarantees: a million profiles cost the garbage collector a few thousand typed arrays, not a million
 * objects; memory that one class no longer needs serves another, so what is reserved stays near what is used
 * (`sparsestChunk` says which chunk to clear for that). Trades away: up to a third of a slot is air (the
 * classes grow by a third to a half), and chunks are never handed back to the operating system.
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
  readonly number: number;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly f32: Float32Array;
  readonly f64: Float64Array;
  sizeClass = 0;
  slotBytes = 0;
  capacity = 0;
  /** Slots that were taken at least once since the chunk is this class's: what a walk looks at. */
  slots = 0;
  used = 0;
  /** First slot that was freed, or -1. */
  #firstFree = -1;
  /** Place in its class's list of chunks with a free slot, or -1. */
  openAt = -1;
  /** It is being cleared: nothing new is put there. */
  isClosing = false;

  constructor(number: number) {
    const memory = new ArrayBuffer(CHUNK_BYTES);
    this.number = number;
    this.u8 = new Uint8Array(memory);
    this.u16 = new Uint16Array(memory);
    this.u32 = new Uint32Array(memory);
    this.f32 = new Float32Array(memory);
    this.f64 = new Float64Array(memory);
  }

  get isFull(): boolean {
    return this.used === this.capacity;
  }

  /** Makes an empty chunk one of a class, all of its slots free. */
  cut(sizeClass: number): void {
    const slotBytes = SIZE_CLASSES[sizeClass] as number; // a class
    this.sizeClass = sizeClass;
    this.slotBytes = slotBytes;
    this.capacity = Math.min(SLOTS_MAX, Math.floor(CHUNK_BYTES / slotBytes));
    this.isClosing = false;
  }

  /** Its last slot was freed. */
  clear(): void {
    this.slots = 0;
    this.#firstFree = -1;
  }

  take(): number {
    const freed = this.#firstFree;
    const slot = freed < 0 ? this.slots++ : freed;
    const word = (slot * this.slotBytes) >>> 2;
    if (freed < 0)
      this.u32[word + 1] = 0; // what a class before left there is no record
    else this.#firstFree = (this.u32[word] as number) | 0; // a slot, or -1
    this.used++;
    return slot;
  }

  /** The word behind the link (a record's marker) is cleared, so that a sweep sees a free slot. */
  give(slot: number): void {
    const word = (slot * this.slotBytes) >>> 2;
    this.u32[word] = this.#firstFree; // -1 is stored as NO_HANDLE
    this.u32[word + 1] = 0;
    this.#firstFree = slot;
    this.used--;
  }
}

export class Slab {
  readonly #chunks: Chunk[] = [];
  /** A class's chunks that have a free slot and are not closing. */
  readonly #open: Chunk[][] = SIZE_CLASSES.map(() => []);
  readonly #empty: Chunk[] = [];
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
  /** Number of chunks, to walk all slots; an empty one has none. */
  get chunkCount(): number {
    return this.#chunks.length;
  }
  get emptyChunks(): number {
    return this.#empty.length;
  }

  /** Whether a record of this size has a place without another chunk. */
  hasRoom(bytes: number): boolean {
    return this.#empty.length > 0 || (this.#open[classFor(bytes)] as Chunk[]).length > 0; // a class
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
    const open = this.#open[sizeClass] as Chunk[]; // a class
    const chunk = open.at(-1) ?? this.#openOne(sizeClass);
    const slot = chunk.take();
    if (chunk.isFull) this.#unlist(chunk);
    this.#slotsUsed++;
    this.#bytesUsed += chunk.slotBytes;
    return ((chunk.number << 12) | slot) >>> 0;
  }

  free(handle: number): void {
    const chunk = this.chunkOf(handle);
    chunk.give(handle & (SLOTS_MAX - 1));
    this.#slotsUsed--;
    this.#bytesUsed -= chunk.slotBytes;
    if (chunk.used === 0) {
      this.#unlist(chunk);
      chunk.clear();
      this.#empty.push(chunk);
    } else if (chunk.openAt < 0 && !chunk.isClosing) this.#list(chunk);
  }

  /** The chunk with the most free bytes whose records the others of its class can take in, or null. */
  sparsestChunk(): Chunk | null {
    let sparsest: Chunk | null = null;
    for (const open of this.#open) {
      let free = 0;
      for (const chunk of open) free += chunk.capacity - chunk.used;
      for (const chunk of open) {
        if (free - (chunk.capacity - chunk.used) < chunk.used) continue;
        if (sparsest === null || freeBytes(chunk) > freeBytes(sparsest)) sparsest = chunk;
      }
    }
    return sparsest;
  }

  /** Nothing more is put there; it is empty once its last record has moved or been freed. */
  close(chunk: Chunk): void {
    chunk.isClosing = true;
    this.#unlist(chunk);
  }

  #openOne(sizeClass: number): Chunk {
    let chunk = this.#empty.pop();
    if (chunk === undefined) {
      chunk = new Chunk(this.#chunks.length);
      this.#chunks.push(chunk);
    }
    chunk.cut(sizeClass);
    this.#list(chunk);
    return chunk;
  }

  #list(chunk: Chunk): void {
    const open = this.#open[chunk.sizeClass] as Chunk[]; // a class
    chunk.openAt = open.push(chunk) - 1;
  }

  #unlist(chunk: Chunk): void {
    if (chunk.openAt < 0) return;
    const open = this.#open[chunk.sizeClass] as Chunk[]; // a class
    const last = open.pop() as Chunk; // the chunk is in it
    if (last !== chunk) {
      open[chunk.openAt] = last;
      last.openAt = chunk.openAt;
    }
    chunk.openAt = -1;
  }
}

function freeBytes(chunk: Chunk): number {
  return (chunk.capacity - chunk.used) * chunk.slotBytes;
}

export function classFor(bytes: number): number {
  for (let sizeClass = 0; sizeClass < SIZE_CLASSES.length; sizeClass++) {
    if ((SIZE_CLASSES[sizeClass] as number) >= bytes) return sizeClass;
  }
  throw new RangeError(`a profile record of ${bytes} bytes exceeds the largest slot of ${RECORD_BYTES_MAX}`);
}
