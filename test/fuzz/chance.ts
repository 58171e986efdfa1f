/** Chance with a seed (sfc32, of Chris Doty-Humphrey's PractRand): the same seed draws the same inputs anywhere. */

export class Chance {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** @param seed an integer of 32 bits; @param stream tells targets of one run apart. */
  constructor(seed: number, stream: string) {
    this.#a = seed | 0;
    this.#b = 0x9e3779b9;
    this.#c = 0;
    for (let index = 0; index < stream.length; index++) {
      this.#c = Math.imul(this.#c ^ stream.charCodeAt(index), 0x01000193);
    }
    for (let round = 0; round < 15; round++) this.next();
  }

  /** An integer of 32 bits, unsigned. */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }

  /** An integer from 0 to `bound` - 1; 0 when there is nothing to choose from. */
  below(bound: number): number {
    return bound <= 1 ? 0 : Math.floor((this.next() / 0x1_0000_0000) * bound);
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items[this.below(items.length)];
  }
}
