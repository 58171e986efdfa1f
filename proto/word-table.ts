/**
 * A fixed set of words looked up straight from bytes: field names, operation names and the few words of
 * `want` and `durability`. Length, first, middle and last byte choose one place in a table whose
 * multipliers were searched at start so that no two words share a place; one comparison then decides,
 * byte by byte or, where the bytes have room behind them, four at a time. No string is made, nothing is
 * allocated, and a word outside the set costs one probe.
 */
import { byteAt } from './bytes.ts';

const PLACES = 256;
/** Longest word, in bytes: one less than four integers hold, for the header of a MessagePack string. */
const WORD_BYTES_MAX = 15;
const INTEGERS_A_WORD = 4;

function placeOf(length: number, first: number, middle: number, last: number, multiplier: number): number {
  const key = length ^ (first << 5) ^ (middle << 12) ^ (last << 19);
  return (Math.imul(key, multiplier) >>> 15) & (PLACES - 1);
}

/** Which of four bytes, little-endian, belong to a string with the header `head`: all, or those of a word of one or two. */
function firstMask(head: number): number {
  return head === 0xa2 ? 0xffffff : head === 0xa1 ? 0xffff : -1;
}

function packedPlaceOf(first: number, last: number, multiplier: number): number {
  return (Math.imul(Math.imul(first, 0x85ebca6b) ^ last, multiplier) >>> 15) & (PLACES - 1);
}

export class WordTable {
  readonly words: readonly string[];
  readonly #bytes: readonly Uint8Array[];
  /** Bytes each word takes as a MessagePack string. */
  readonly packedSizes: Uint8Array;
  /** The words as MessagePack strings in little-endian integers, zero behind each end. */
  readonly #integers: Int32Array;
  /** The last four bytes of each, or all when it has no more. */
  readonly #lastIntegers: Int32Array;
  readonly #places = new Int16Array(PLACES);
  readonly #multiplier: number;
  readonly #packedPlaces = new Int16Array(PLACES);
  readonly #packedMultiplier: number;

  /** @param words distinct, of 1 to 15 bytes; throws RangeError (our bug) when no collision-free table is found. */
  constructor(words: readonly string[]) {
    this.words = words;
    const encoder = new TextEncoder();
    this.#bytes = words.map((word) => encoder.encode(word));
    const packed = new Uint8Array(words.length * INTEGERS_A_WORD * 4);
    for (const [index, { length }] of this.#bytes.entries()) {
      if (length > WORD_BYTES_MAX) throw new RangeError(`a word of ${length} bytes is too long`);
      packed[index * INTEGERS_A_WORD * 4] = 0xa0 | length;
      packed.set(this.#bytes[index] as Uint8Array, index * INTEGERS_A_WORD * 4 + 1); // an index of its own entries
    }
    const view = new DataView(packed.buffer);
    this.#integers = Int32Array.from({ length: packed.length / 4 }, (_, index) => view.getInt32(index * 4, true));
    this.packedSizes = Uint8Array.from(this.#bytes, ({ length }) => length + 1);
    this.#multiplier = this.#search(this.#places, (word, multiplier) => {
      const { length } = word;
      return placeOf(length, byteAt(word, 0), byteAt(word, length >> 1), byteAt(word, length - 1), multiplier);
    });
    this.#lastIntegers = Int32Array.from(this.packedSizes, (size, index) =>
      view.getInt32(index * INTEGERS_A_WORD * 4 + Math.max(size - 4, 0), true),
    );
    this.#packedMultiplier = this.#search(this.#packedPlaces, (_, multiplier, index) => {
      const first = this.#integers[index * INTEGERS_A_WORD] as number; // an index of the words
      return packedPlaceOf(first, this.#lastIntegers[index] as number, multiplier); // an index of the words
    });
  }

  /** Finds a multiplier that gives each word a place of its own, and leaves the words' indices there. */
  #search(places: Int16Array, place: (word: Uint8Array, multiplier: number, index: number) => number): number {
    for (let multiplier = 0x9e3779b1; multiplier < 0x9e3779b1 + 40_000; multiplier += 2) {
      places.fill(-1);
      const isFree = this.#bytes.every((word, index) => {
        const at = place(word, multiplier, index);
        if (places[at] !== -1) return false;
        places[at] = index;
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

  /**
   * As `find`, for a MessagePack string whose header is at `at`, with 16 bytes behind it that may be
   * looked at; a header of more than one byte finds nothing. A word found takes `packedSize` bytes.
   */
  findPacked(view: DataView, at: number): number {
    const head = view.getInt32(at, true);
    // Header and three letters, or as many as the word has; then the last four bytes, which may be some of them.
    const first = head & firstMask(head & 0xff);
    const size = (head & 0x1f) + 1;
    const last = size > 4 ? view.getInt32(at + size - 4, true) : first;
    const index = this.#packedPlaces[packedPlaceOf(first, last, this.#packedMultiplier)] as number; // the place is masked
    if (index < 0) return -1;
    const integers = this.#integers;
    let integer = index * INTEGERS_A_WORD;
    if (integers[integer] !== first || this.#lastIntegers[index] !== last) return -1;
    for (let next = at + 4; next < at + size - 4; next += 4) {
      if (integers[++integer] !== view.getInt32(next, true)) return -1;
    }
    return index;
  }
}
