/**
 * A queue of byte records from one thread to one other, in memory that both see. Putting a record is a
 * copy and one atomic store; no message object, no serialisation, nothing for the garbage collector.
 *
 *   [ written │ read │ awake │ starved ]  [ … │ length tag number bytes… │ length tag number bytes… │ … ]
 *
 * One writer, one reader. The positions count bytes for ever (modulo 2^32) and are the only thing both
 * sides change in turn: a record is complete before `written` passes it, and is free once `read` has. A
 * record never wraps: what is left at the end is skipped. Waking a thread is not the ring's business: it
 * only says, with two flags, when that is needed: `awake` is taken by the first record after a `drain`,
 * `starved` by a writer that found no room. Traded away: room is fixed, so the caller keeps what does not fit.
 */
import { strict as assert } from 'node:assert';

/** A few hundred requests or answers: it stays in a cache, and 64 workers have 4,032 of them. */
const CAPACITY_BYTES = 256 * 1024;
/** A record this large fits once the reader has caught up, wherever the end is. */
export const RING_RECORD_BYTES_MAX = CAPACITY_BYTES / 2 - 16;

const WRITTEN = 0;
const READ = 1;
const AWAKE = 2;
const STARVED = 3;
const FLAGS_BYTES = 64;
/** Length (4), tag (4), number (8). Records begin at multiples of 8. */
const RECORD_HEAD_BYTES = 16;
/** Length of a record that is none: go on at the start. */
const SKIP = -1;

/** Makes the memory of one ring. */
export function createRingMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(FLAGS_BYTES + CAPACITY_BYTES);
}

class RingMemory {
  readonly flags: Int32Array;
  readonly words: Int32Array;
  readonly numbers: Float64Array;
  readonly bytes: Uint8Array;

  constructor(memory: SharedArrayBuffer) {
    assert(memory.byteLength === FLAGS_BYTES + CAPACITY_BYTES, 'memory of a ring has its one size');
    this.flags = new Int32Array(memory, 0, 4);
    this.words = new Int32Array(memory, FLAGS_BYTES);
    this.numbers = new Float64Array(memory, FLAGS_BYTES);
    this.bytes = new Uint8Array(memory, FLAGS_BYTES);
  }
}

export class RingWriter {
  readonly #ring: RingMemory;
  #written: number;

  constructor(memory: SharedArrayBuffer) {
    this.#ring = new RingMemory(memory);
    this.#written = Atomics.load(this.#ring.flags, WRITTEN) >>> 0;
  }

  /**
   * Copies `bytes[start, end)` into the ring; false when there is no room now, and then the reader is
   * asked to say when there is. @param tag an integer of 32 bits. At most RING_RECORD_BYTES_MAX bytes.
   */
  write(tag: number, number: number, bytes: Uint8Array, start: number, end: number): boolean {
    const isWritten = this.#tryWrite(tag, number, bytes, start, end);
    if (isWritten) return true;
    Atomics.store(this.#ring.flags, STARVED, 1);
    // The reader may have made room before it could see the flag; then it would not say so.
    return this.#tryWrite(tag, number, bytes, start, end);
  }

  /** Whether the reader sleeps and nobody has woken it yet: the caller, who asks, does it. */
  takeWake(): boolean {
    return Atomics.exchange(this.#ring.flags, AWAKE, 1) === 0;
  }

  #tryWrite(tag: number, number: number, bytes: Uint8Array, start: number, end: number): boolean {
    const ring = this.#ring;
    const length = end - start;
    const needed = (RECORD_HEAD_BYTES + length + 7) & ~7;
    const used = (this.#written - Atomics.load(ring.flags, READ)) >>> 0;
    let at = this.#written % CAPACITY_BYTES;
    const left = CAPACITY_BYTES - at;
    const skipped = left < needed ? left : 0;
    if (used + skipped + needed > CAPACITY_BYTES) return false;
    if (skipped > 0) {
      ring.words[at >>> 2] = SKIP;
      at = 0;
    }
    ring.words[at >>> 2] = length;
    ring.words[(at >>> 2) + 1] = tag;
    ring.numbers[(at >>> 3) + 1] = number;
    const to = at + RECORD_HEAD_BYTES;
    ring.bytes.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), to);
    this.#written = (this.#written + skipped + needed) >>> 0;
    Atomics.store(ring.flags, WRITTEN, this.#written | 0);
    return true;
  }
}

export class RingReader {
  readonly #ring: RingMemory;
  /** Records are handed out from here: decoders and sockets do not take shared memory. */
  #record = new Uint8Array(4096);
  #read: number;

  constructor(memory: SharedArrayBuffer) {
    this.#ring = new RingMemory(memory);
    this.#read = Atomics.load(this.#ring.flags, READ) >>> 0;
  }

  /**
   * Visits the records written so far, in order; `bytes` is valid until `visit` returns. Afterwards the
   * next record asks for a wake again. Returns whether the writer waits for the room this has made.
   */
  drain(visit: (tag: number, number: number, bytes: Uint8Array) => void): boolean {
    const { flags, words, numbers, bytes } = this.#ring;
    // Before the look at `written`: what is written after that look finds the flag down and wakes us again.
    Atomics.store(flags, AWAKE, 0);
    const written = Atomics.load(flags, WRITTEN) >>> 0;
    while (this.#read !== written) {
      const at = this.#read % CAPACITY_BYTES;
      const length = words[at >>> 2] as number; // at is within the ring
      if (length === SKIP) {
        this.#read = (this.#read + CAPACITY_BYTES - at) >>> 0;
        continue;
      }
      if (length > this.#record.length) this.#record = new Uint8Array(2 * length);
      const from = at + RECORD_HEAD_BYTES;
      this.#record.set(bytes.subarray(from, from + length));
      const tag = words[(at >>> 2) + 1] as number; // likewise
      const number = numbers[(at >>> 3) + 1] as number; // likewise
      this.#read = (this.#read + ((RECORD_HEAD_BYTES + length + 7) & ~7)) >>> 0;
      // Free before it is visited: the visit works on a copy, and may throw.
      Atomics.store(flags, READ, this.#read | 0);
      visit(tag, number, this.#record.subarray(0, length));
    }
    Atomics.store(flags, READ, this.#read | 0);
    return Atomics.exchange(flags, STARVED, 0) === 1;
  }
}
