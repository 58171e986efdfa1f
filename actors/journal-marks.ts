/**
 * Marks: journal entries that change no record and say what came over a shard between two turns. With them the
 * journal tells everything a decision depended on, so that it can be computed again bit for bit:
 *
 *   start     a start (or a second one within an epoch): catalog in force, number of workers, model snapshot
 *   catalog   another catalog came into force
 *   exchange  what was learnt was handed to the other workers, for the nth time
 *   merge     what another worker handed out for the nth time was added
 *   price     the price of a product and hour was drawn, or first read from another worker
 *
 * An exchange inside a turn (the room for additions ran out) has no mark: it comes of what was learnt, and so
 * comes again when that is learnt again. Marks have the header of an effect, of which only length, type and, for
 * the order of time, `at` mean anything. Cost: a copy of 64 or 72 bytes a mark, a few marks a second.
 */
import { EFFECT_HEADER_BYTES, MARK_TYPE_MIN } from './effect.ts';
import type { Store } from './store.ts';

export const MARK = {
  start: MARK_TYPE_MIN,
  catalog: MARK_TYPE_MIN + 1,
  exchange: MARK_TYPE_MIN + 2,
  merge: MARK_TYPE_MIN + 3,
  price: MARK_TYPE_MIN + 4,
} as const;

/** Offsets of a mark's body, by type. */
export const START_MARK = { catalogVersion: 48, streams: 52, snapshotModelEpoch: 56 } as const;
export const CATALOG_MARK = { catalogVersion: 48 } as const;
export const EXCHANGE_MARK = { number: 48 } as const;
export const MERGE_MARK = { stream: 48, number: 52 } as const;
export const PRICE_MARK = { skuHash: 48, isDrawn: 52, hour: 56, priceMinor: 64 } as const;

const MARK_BYTES = EFFECT_HEADER_BYTES + 16;
const PRICE_MARK_BYTES = EFFECT_HEADER_BYTES + 24;

export class JournalMarks {
  readonly #store: Store;
  readonly #u8 = new Uint8Array(PRICE_MARK_BYTES);
  readonly #u32 = new Uint32Array(this.#u8.buffer);
  readonly #f64 = new Float64Array(this.#u8.buffer);

  constructor(store: Store) {
    this.#store = store;
  }

  /** @param snapshotModelEpoch of the model snapshot the start began from; 0 when it began from none */
  start(catalogVersionHash: number, streams: number, snapshotModelEpoch: number, now: number): void {
    this.#begin(MARK.start, MARK_BYTES, now);
    this.#u32[START_MARK.catalogVersion >>> 2] = catalogVersionHash;
    this.#u32[START_MARK.streams >>> 2] = streams;
    this.#u32[START_MARK.snapshotModelEpoch >>> 2] = snapshotModelEpoch;
    this.#append(MARK_BYTES);
  }

  catalog(catalogVersionHash: number, now: number): void {
    this.#begin(MARK.catalog, MARK_BYTES, now);
    this.#u32[CATALOG_MARK.catalogVersion >>> 2] = catalogVersionHash;
    this.#append(MARK_BYTES);
  }

  /** Between two turns, right behind the close of a batch. */
  exchange(number: number, now: number): void {
    this.#begin(MARK.exchange, MARK_BYTES, now);
    this.#u32[EXCHANGE_MARK.number >>> 2] = number;
    this.#append(MARK_BYTES);
  }

  merge(stream: number, number: number, now: number): void {
    this.#begin(MARK.merge, MARK_BYTES, now);
    this.#u32[MERGE_MARK.stream >>> 2] = stream;
    this.#u32[MERGE_MARK.number >>> 2] = number;
    this.#append(MARK_BYTES);
  }

  /** @param hour hours since 1970 */
  price(skuHash: number, hour: number, priceMinor: number, isDrawn: boolean, now: number): void {
    this.#begin(MARK.price, PRICE_MARK_BYTES, now);
    this.#u32[PRICE_MARK.skuHash >>> 2] = skuHash;
    this.#u32[PRICE_MARK.isDrawn >>> 2] = isDrawn ? 1 : 0;
    this.#f64[PRICE_MARK.hour >>> 3] = hour;
    this.#f64[PRICE_MARK.priceMinor >>> 3] = priceMinor;
    this.#append(PRICE_MARK_BYTES);
  }

  #begin(type: number, length: number, now: number): void {
    this.#u8.fill(0);
    this.#u32[0] = length;
    this.#u8[4] = type;
    this.#f64[3] = now;
  }

  #append(length: number): void {
    this.#store.appendJournal(this.#u8, 0, length);
  }
}
