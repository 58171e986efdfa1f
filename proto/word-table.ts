/**
 * A fixed set of words looked up straight from bytes: field names, operation names and the few words of
 * `want` and `durability`. Length, first, middle and last byte choose one place in a table whose
 * multipliers were searched at start so that no two words share a place; one byte-wise comparison then
 * decides. No string is made, nothing is allocated, and a word outside the set costs one probe.
 */
import { byteAt } from './bytes.ts';

const PLACES = 256;

function placeOf(bytes: Uint8Array, start: number, length: number, multiplier: number): number {
  const key =
    length ^
    (byteAt(bytes, start) << 5) ^
    (byteAt(bytes, start + (length >> 1)) << 12) ^
    (byteAt(bytes, start + length - 1) << 19);
  return (Math.imul(key, multiplier) >>> 15) & (PLACES - 1);
}

export class WordTable {
  readonly words: readonly string[];
  readonly #bytes: readonly Uint8Array[];
  readonly #places = new Int16Array(PLACES).fill(-1);
  readonly #multiplier: number;

  /** @param words distinct, non-empty; throws RangeError (our bug) when no collision-free table is found. */
  constructor(words: readonly string[]) {
    this.words = words;
    const encoder = new TextEncoder();
    this.#bytes = words.map((word) => encoder.encode(word));
    this.#multiplier = this.#search();
  }

  #search(): number {
    for (let multiplier = 0x9e3779b1; multiplier < 0x9e3779b1 + 40_000; multiplier += 2) {
      this.#places.fill(-1);
      const isFree = this.#bytes.every((word, index) => {
        const place = placeOf(word, 0, word.length, multiplier);
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
    const index = this.#places[placeOf(bytes, start, length, this.#multiplier)] as number; // the place is masked
    if (index < 0) return -1;
    const word = this.#bytes[index] as Uint8Array; // the table holds only indices of words
    if (word.length !== length) return -1;
    for (let offset = 0; offset < length; offset++) {
      if (word[offset] !== bytes[start + offset]) return -1;
    }
    return index;
  }
}
