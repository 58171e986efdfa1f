/**
 * A fixed set of words looked up straight from bytes: field names, operation names and the few words of
 * `want` and `durability`. Length, first, middle and last byte choose one place in a table whose
 * multipliers were searched at start so that no two words share a place; one comparison then decides,
 * byte by byte or, where the bytes have room behind them, four at a time. No string is made, nothing is
 * allocated, and a word outside the set costs one probe.
 */
import { byteAt } from './bytes.ts';
import { WORD_MASKS } from './text-cache.ts';

const PLACES = 256;
/** Longest word, in bytes. */
const WORD_BYTES_MAX = 16;
const INTEGERS_A_WORD = WORD_BYTES_MAX / 4;

function placeOf(length: number, first: number, middle: number, last: number, multiplier: number): number {
  const key = length ^ (first << 5) ^ (middle << 12) ^ (last << 19);
  return (Math.imul(key, multiplier) >>> 15) & (PLACES - 1);
}

export class WordTable {
  readonly words: readonly string[];
  readonly #bytes: readonly Uint8Array[];
  /** The words again as little-endian integers, zero behind each end. */
  readonly #integers: Int32Array;
  readonly #lengths: Uint8Array;
  readonly #places = new Int16Array(PLACES).fill(-1);
  readonly #multiplier: number;

  /** @param words distinct, of 1 to 16 bytes; throws RangeError (our bug) when no collision-free table is found. */
  constructor(words: readonly string[]) {
    this.words = words;
    const encoder = new TextEncoder();
    this.#bytes = words.map((word) => encoder.encode(word));
    const padded = new Uint8Array(words.length * WORD_BYTES_MAX);
    for (const [index, word] of this.#bytes.entries()) padded.set(word, index * WORD_BYTES_MAX);
    const view = new DataView(padded.buffer);
    this.#integers = Int32Array.from({ length: padded.length / 4 }, (_, index) => view.getInt32(index * 4, true));
    this.#lengths = Uint8Array.from(this.#bytes, (word) => word.length);
    this.#multiplier = this.#search();
  }

  #search(): number {
    for (let multiplier = 0x9e3779b1; multiplier < 0x9e3779b1 + 40_000; multiplier += 2) {
      this.#places.fill(-1);
      const isFree = this.#bytes.every((word, index) => {
        const { length } = word;
        const place = placeOf(length, byteAt(word, 0), byteAt(word, length >> 1), byteAt(word, length - 1), multiplier);
        if (this.#places[place] !== -1) return false;
        this.#places[place] = index;
        return true;
      });
      if (isFree) return multiplier;
    }
    throw new RangeError(`no collision-free table for ${this.words.length} words`);
  }

  /** Index of the word in `length` bytes from `start`, or -1. */
  find(bytes: Uint8Array, start: number, length: number): number {
    if (length === 0) return -1;
    const first = byteAt(bytes, start);
    const middle = byteAt(bytes, start + (length >> 1));
    const place = placeOf(length, first, middle, byteAt(bytes, start + length - 1), this.#multiplier);
    const index = this.#places[place] as number; // the place is masked
    if (index < 0) return -1;
    const word = this.#bytes[index] as Uint8Array; // the table holds only indices of words
    if (word.length !== length) return -1;
    for (let offset = 0; offset < length; offset++) {
      if (word[offset] !== bytes[start + offset]) return -1;
    }
    return index;
  }

  /** As `find`, for a word of at least one byte with three bytes behind it that may be looked at. */
  findByWords(view: DataView, start: number, length: number): number {
    const first = view.getUint8(start);
    const middle = view.getUint8(start + (length >> 1));
    const place = placeOf(length, first, middle, view.getUint8(start + length - 1), this.#multiplier);
    const index = this.#places[place] as number; // the place is masked
    if (index < 0 || this.#lengths[index] !== length) return -1;
    const integers = this.#integers;
    let integer = index * INTEGERS_A_WORD;
    const lastAt = start + (length & ~3);
    for (let at = start; at < lastAt; at += 4) {
      if (integers[integer++] !== view.getInt32(at, true)) return -1;
    }
    if ((length & 3) === 0) return index;
    return (view.getInt32(lastAt, true) & (WORD_MASKS[length & 3] as number)) === integers[integer] ? index : -1; // 4 masks
  }
}
