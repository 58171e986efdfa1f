/**
 * Hints of when to look at which profile, from seconds to years ahead, in 16 bytes each: far ones lie in slots of a
 * quarter of an hour, and a slot's are dealt to the seconds of a lease wheel shortly before it begins. With seconds alone
 * a million hints over a month would be a million lists of one.
 *
 *   slot 17:00 [ p l h s | p l h s | … ]  ─ a minute before, some at a time ─▸  lease wheel: second by second ─▸ visit
 *
 * Never early. Traded away: a slot with more hints than are dealt in its minute (some millions) begins late.
 */
import { LeaseWheel } from './lease-wheel.ts';

const SLOT_MILLIS = 900_000;
const LEAD_MILLIS = 60_000;
/** Hints dealt in one call: a tenth of a millisecond. */
const DEALT_MAX = 4_096;
const WORDS = 4;

class Slot {
  words = new Uint32Array(16 * WORDS);
  count = 0;
}

export class WakeWheel {
  readonly #near = new LeaseWheel();
  readonly #far = new Map<number, Slot>();
  #farCount = 0;
  #firstFar = Number.POSITIVE_INFINITY;
  /** Slots up to this one are dealt at once. */
  #open = Number.NEGATIVE_INFINITY;

  get pending(): number {
    return this.#near.pending + this.#farCount;
  }

  /** @param at epoch milliseconds, finite */
  add(at: number, partition: number, hashLow: number, hashHigh: number): void {
    const number = Math.floor(at / SLOT_MILLIS);
    if (number <= this.#open) {
      this.#near.add(at, partition, hashLow, hashHigh);
      return;
    }
    let slot = this.#far.get(number);
    if (slot === undefined) {
      slot = new Slot();
      this.#far.set(number, slot);
      if (number < this.#firstFar) this.#firstFar = number;
    }
    if ((slot.count + 1) * WORDS > slot.words.length) {
      const words = new Uint32Array(slot.words.length * 2);
      words.set(slot.words);
      slot.words = words;
    }
    const start = slot.count * WORDS;
    slot.words[start] = partition;
    slot.words[start + 1] = hashLow;
    slot.words[start + 2] = hashHigh;
    slot.words[start + 3] = at - number * SLOT_MILLIS;
    slot.count++;
    this.#farCount++;
  }

  /** Visits what is due by `now`, at most `limit`. Returns whether more may be due. */
  advance(now: number, limit: number, visit: (partition: number, hashLow: number, hashHigh: number) => void): boolean {
    this.#open = Math.floor((now + LEAD_MILLIS) / SLOT_MILLIS);
    const isDealt = this.#deal();
    let visits = 0;
    this.#near.advance(now, limit, (partition, hashLow, hashHigh) => {
      visits++;
      visit(partition, hashLow, hashHigh);
    });
    return visits >= limit || !isDealt;
  }

  clear(): void {
    this.#near.clear();
    this.#far.clear();
    this.#farCount = 0;
    this.#firstFar = Number.POSITIVE_INFINITY;
  }

  /** Whether every slot that is open has been dealt to the end. */
  #deal(): boolean {
    let left = DEALT_MAX;
    while (this.#firstFar <= this.#open) {
      const slot = this.#far.get(this.#firstFar);
      while (slot !== undefined && slot.count > 0) {
        if (left-- === 0) return false;
        slot.count--;
        this.#farCount--;
        const start = slot.count * WORDS;
        const { words } = slot;
        // A slot's words up to its count are written.
        const at = this.#firstFar * SLOT_MILLIS + (words[start + 3] as number);
        this.#near.add(at, words[start] as number, words[start + 1] as number, words[start + 2] as number);
      }
      this.#far.delete(this.#firstFar);
      this.#firstFar = Number.POSITIVE_INFINITY;
      for (const number of this.#far.keys()) this.#firstFar = Math.min(this.#firstFar, number);
    }
    return true;
  }
}
