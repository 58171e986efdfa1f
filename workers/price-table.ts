/**
 * One price a product and hour for everybody: the first shard to need it draws it from its model and
 * publishes it in shared memory; the others read it. So two people asking two shards in the same hour
 * see the same price, whatever the models have learnt in between. What an hour's price is held to, the price
 * before it and the reference price, is kept here as well; a new catalog or a new start begins without them.
 *
 *   slot: claimed hour | ready hour (Int32, atomic) | price | reference price | propensity | promotion (Float64)
 */
import { nextReferencePrice } from '../decision/reference-price.ts';

const SLOTS = 16_384;
const SPINS_MAX = 10_000;
/** How much of the reference price an hour keeps: half of it after six days. */
const REFERENCE_MEMORY = 0.995;
/** Stands for a price that is not known. */
const NONE = -1;

const COLUMNS = 4;

/** What is the same for everybody in an hour. */
export interface HourPrice {
  readonly priceMinor: number;
  readonly propensity: number;
  /** Index in the product's promotions, or -1. */
  readonly promotion: number;
}

/** Makes the price of an hour from the one before and the reference price, each negative when there is none. */
export type DrawPrice = (previousPriceMinor: number, referencePriceMinor: number) => HourPrice;

export interface PriceMemory {
  readonly hours: SharedArrayBuffer;
  readonly prices: SharedArrayBuffer;
}

export function createPriceMemory(): PriceMemory {
  return { hours: new SharedArrayBuffer(SLOTS * 8), prices: new SharedArrayBuffer(SLOTS * 8 * COLUMNS) };
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
  priceOf(slot: number, hour: number, draw: DrawPrice): HourPrice {
    if (slot >= SLOTS) return draw(NONE, NONE);
    const ready = Atomics.load(this.#hours, slot * 2 + 1);
    if (ready === hour) return this.#read(slot);
    const previous = ready > 0 ? (this.#prices[slot * COLUMNS] as number) : NONE;
    const reference = ready > 0 ? (this.#prices[slot * COLUMNS + 1] as number) : NONE;
    const claimed = Atomics.load(this.#hours, slot * 2);
    // A clock a moment behind must not take a later hour's price away from those who have seen it.
    if (claimed > hour) return draw(previous, reference);
    if (claimed !== hour && Atomics.compareExchange(this.#hours, slot * 2, claimed, hour) === claimed) {
      const price = draw(previous, reference);
      const at = slot * COLUMNS;
      this.#prices[at] = price.priceMinor;
      this.#prices[at + 1] = nextReferencePrice(reference, price.priceMinor, REFERENCE_MEMORY);
      this.#prices[at + 2] = price.propensity;
      this.#prices[at + 3] = price.promotion;
      Atomics.store(this.#hours, slot * 2 + 1, hour);
      return price;
    }
    // Another shard is drawing: microseconds. Should it have died in between, draw for ourselves.
    for (let spin = 0; spin < SPINS_MAX; spin++) {
      if (Atomics.load(this.#hours, slot * 2 + 1) === hour) return this.#read(slot);
    }
    return draw(previous, reference);
  }

  #read(slot: number): HourPrice {
    const at = slot * COLUMNS;
    return {
      priceMinor: this.#prices[at] as number,
      propensity: this.#prices[at + 2] as number,
      promotion: this.#prices[at + 3] as number,
    };
  }

  /** A new catalog may have other bounds: all prices are drawn anew. */
  clear(): void {
    for (let i = 0; i < this.#hours.length; i++) Atomics.store(this.#hours, i, 0);
  }
}
