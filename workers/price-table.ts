/**
 * One price a product and hour for everybody: the first shard to need it draws it from its model and
 * publishes it in shared memory; the others read it. So two people asking two shards in the same hour
 * see the same price, whatever the models have learnt in between. What an hour's price is held to, the price
 * before it and the reference price, is kept here as well; a new catalog or a new start begins without them.
 *
 *   slot: claimed hour | ready hour (Int32, atomic) | price | reference price (Float64)
 */
import { nextReferencePrice } from '../decision/price.ts';

const SLOTS = 16_384;
const SPINS_MAX = 10_000;
/** How much of the reference price an hour keeps: half of it after six days. */
const REFERENCE_MEMORY = 0.995;
/** Stands for a price that is not known. */
const NONE = -1;

/** Makes the price of an hour from the one before and the reference price, each negative when there is none. */
export type DrawPrice = (previousPriceMinor: number, referencePriceMinor: number) => number;

export interface PriceMemory {
  readonly hours: SharedArrayBuffer;
  readonly prices: SharedArrayBuffer;
}

export function createPriceMemory(): PriceMemory {
  return { hours: new SharedArrayBuffer(SLOTS * 8), prices: new SharedArrayBuffer(SLOTS * 16) };
}

export class PriceTable {
  readonly #hours: Int32Array;
  readonly #prices: Float64Array;

  constructor(memory: PriceMemory) {
    this.#hours = new Int32Array(memory.hours);
    this.#prices = new Float64Array(memory.prices);
  }

  /**
   * The published price of `slot` in `hour` (hours since 1970, positive), made by `draw` if nobody has yet.
   * A slot beyond the table is not shared: each shard then uses its own draw.
   */
  priceOf(slot: number, hour: number, draw: DrawPrice): number {
    if (slot >= SLOTS) return draw(NONE, NONE);
    const ready = Atomics.load(this.#hours, slot * 2 + 1);
    if (ready === hour) return this.#prices[slot * 2] as number;
    const previous = ready > 0 ? (this.#prices[slot * 2] as number) : NONE;
    const reference = ready > 0 ? (this.#prices[slot * 2 + 1] as number) : NONE;
    const claimed = Atomics.load(this.#hours, slot * 2);
    // A clock a moment behind must not take a later hour's price away from those who have seen it.
    if (claimed > hour) return draw(previous, reference);
    if (claimed !== hour && Atomics.compareExchange(this.#hours, slot * 2, claimed, hour) === claimed) {
      const price = draw(previous, reference);
      this.#prices[slot * 2] = price;
      this.#prices[slot * 2 + 1] = nextReferencePrice(reference, price, REFERENCE_MEMORY);
      Atomics.store(this.#hours, slot * 2 + 1, hour);
      return price;
    }
    // Another shard is drawing: microseconds. Should it have died in between, draw for ourselves.
    for (let spin = 0; spin < SPINS_MAX; spin++) {
      if (Atomics.load(this.#hours, slot * 2 + 1) === hour) return this.#prices[slot * 2] as number;
    }
    return draw(previous, reference);
  }

  /** A new catalog may have other bounds: all prices are drawn anew. */
  clear(): void {
    for (let i = 0; i < this.#hours.length; i++) Atomics.store(this.#hours, i, 0);
  }
}
