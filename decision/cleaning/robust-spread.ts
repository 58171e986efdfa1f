/**
 * What is usual of a number, from the values seen last: their median and the median distance from it (MAD). Both stand
 * as they are while fewer than half of the values are wild, which is why outliers are measured by them and not by mean
 * and standard deviation, which one absurd value moves. The window is short and in memory: no value lies in a file.
 *
 * Source: Iglewicz & Hoaglin, How to Detect and Handle Outliers (1993): the modified z-score 0.6745 (x - median) / MAD.
 * Deviation: a MAD of 0 (more than half the values are equal) says nothing of spread, so nothing is far then.
 */

const WINDOW = 256;
/** Fewer values say nothing yet. */
const VALUES_MIN = 32;
const LOOK_EVERY = 32;
/** A normal sample's MAD is so much of its standard deviation. */
const MAD_SHARE = 0.6745;

export class RobustSpread {
  readonly #values = new Float64Array(WINDOW);
  readonly #sorted = new Float64Array(WINDOW);
  #count = 0;
  #median = Number.NaN;
  #deviation = Number.NaN;

  /** Whether the value lies further from the usual than `deviationsMax` robust standard deviations. */
  isFar(value: number, deviationsMax: number): boolean {
    return this.#deviation > 0 && MAD_SHARE * Math.abs(value - this.#median) > deviationsMax * this.#deviation;
  }

  /** Takes in one value, wild ones as well. Amortised cost: sorting 256 numbers every 32. */
  add(value: number): void {
    this.#values[this.#count % WINDOW] = value;
    this.#count++;
    if (this.#count >= VALUES_MIN && this.#count % LOOK_EVERY === 0) this.#look();
  }

  #look(): void {
    const sorted = this.#sorted.subarray(0, Math.min(this.#count, WINDOW));
    sorted.set(this.#values.subarray(0, sorted.length));
    sorted.sort();
    const median = middleOf(sorted);
    for (let i = 0; i < sorted.length; i++) sorted[i] = Math.abs((sorted[i] as number) - median); // i < length
    sorted.sort();
    this.#median = median;
    this.#deviation = middleOf(sorted);
  }
}

function middleOf(sorted: Float64Array): number {
  const half = sorted.length >>> 1;
  const upper = sorted[half] as number; // never empty
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] as number) + upper) / 2; // at least two where even
}
