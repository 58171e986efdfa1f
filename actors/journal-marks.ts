/**
 * Marks: journal entries that change no record and say what came over a shard between two turns. With them the
 * journal tells everything a decision depended on, so that it can be computed again bit for bit:
 *
 *   start        a start (or a second one within an epoch): catalog in force, number of workers, model snapshot
 *   catalog      another catalog came into force
 *   publication  what was learnt was published for a round of the exchange
 *   merge        a round was merged, to which these shards had published something
 *   price        the price of a product and hour was drawn (from what), or first read from another worker
 *   forget       what some entries of a person who is being erased had taught was taken back
 *   feed         a push to a context feed was applied, or stood when the shard began; a long one in several marks
 *   erased       stands where an entry of an erased person stood: its length and what it moved in the ledger
 *
 * Rounds without news have no marks. Marks have the header of an effect, of which only length, type and, for the
 * order of time, `at` mean anything. Cost: a copy of 64 to 112 bytes a mark, at most 27 marks a second, and of each
 * push to a feed its rows.
 */
import { DEMAND_INPUTS_MAX } from '../decision/demand-inputs.ts';
import type { FeedPush, FeedRow } from '../decision/feed-table.ts';
import { PARTITION_COUNT } from '../proto/limits.ts';
import type { EntryPosition } from './apply-effect.ts';
import { EFFECT_HEADER_BYTES, type Effect, MARK_TYPE_MIN } from './effect.ts';
import type { Store } from './store.ts';

export const MARK = {
  start: MARK_TYPE_MIN,
  catalog: MARK_TYPE_MIN + 1,
  publication: MARK_TYPE_MIN + 2,
  merge: MARK_TYPE_MIN + 3,
  price: MARK_TYPE_MIN + 4,
  forget: MARK_TYPE_MIN + 5,
  erased: MARK_TYPE_MIN + 6,
  feed: MARK_TYPE_MIN + 7,
} as const;

/** Offsets of a mark's body, by type. */
export const START_MARK = { catalogVersion: 48, streams: 52, snapshotModelEpoch: 56 } as const;
export const CATALOG_MARK = { catalogVersion: 48 } as const;
export const PUBLICATION_MARK = { round: 48 } as const;
/** `shards` is a bit a shard, 256 of them. */
export const MERGE_MARK = { round: 48, shards: 56 } as const;
export const PRICE_MARK = {
  skuHash: 48,
  isDrawn: 52,
  priceMinor: 56,
  propensity: 64,
  promotion: 72,
  stockLeft: 80,
  previousPriceMinor: 88,
  referencePriceMinor: 96,
  /** `DEMAND_INPUTS_MAX` doubles, of a product that has such inputs only: the mark is longer then. */
  inputs: 104,
} as const;
/** At the end of a price's mark, where a feed said what the price may be at most. */
const CEILING_BYTES = 8;
/** The newest of the entries, and how many from there on back. */
export const FORGET_MARK = { epoch: 48, stream: 52, batch: 56, offset: 60, count: 64 } as const;

/** A push as JSON, of which this mark holds `bytes` from `start` on of `total`. */
export const FEED_MARK = { total: 48, start: 52, bytes: 56, content: 64 } as const;

const MARK_BYTES = EFFECT_HEADER_BYTES + 16;
const FORGET_MARK_BYTES = EFFECT_HEADER_BYTES + 24;
const MERGE_MARK_BYTES = EFFECT_HEADER_BYTES + 8 + PARTITION_COUNT / 8;
const PRICE_MARK_BYTES = EFFECT_HEADER_BYTES + 56;
/** Of one mark; an entry of the journal may have four times that. */
const FEED_CONTENT_BYTES_MAX = 64 * 1024;
const INPUTS_MARK_BYTES = PRICE_MARK_BYTES + 8 * DEMAND_INPUTS_MAX;

/** Whether a merge mark says that the shard had published something. */
export function hasPublished(mark: Effect, shard: number): boolean {
  return (((mark.u8[MERGE_MARK.shards + (shard >>> 3)] as number) >>> (shard & 7)) & 1) === 1;
}

/** The inputs a price mark was drawn by, or null. */
export function markedInputs(mark: Effect): Float64Array | null {
  const start = PRICE_MARK.inputs >>> 3;
  return mark.length >= INPUTS_MARK_BYTES ? mark.f64.slice(start, start + DEMAND_INPUTS_MAX) : null;
}

/** The ceiling of a feed that a price mark was drawn under; infinite where there was none. */
export function markedCeiling(mark: Effect): number {
  const hasCeiling = mark.length === PRICE_MARK_BYTES + CEILING_BYTES || mark.length > INPUTS_MARK_BYTES;
  return hasCeiling ? mark.getF64(mark.length - CEILING_BYTES) : Number.POSITIVE_INFINITY;
}

/** A price as a mark tells it. `basis` is null when another shard drew it. */
export interface MarkedPrice {
  readonly skuHash: number;
  readonly atEpochMillis: number;
  readonly price: { readonly priceMinor: number; readonly propensity: number; readonly promotion: number };
  readonly basis: {
    readonly stockLeft: number;
    readonly previousPriceMinor: number;
    readonly referencePriceMinor: number;
    readonly inputs: Float64Array | null;
    readonly ceilingMinor: number;
  } | null;
}

/** Puts the marks of one stream's pushes together again, in the order of the journal. */
export class FeedMarks {
  #content = new Uint8Array(0);
  #filled = 0;

  /** The push that this mark completes, or null. One whose beginning was not seen is passed over. */
  take(mark: Effect): FeedPush | null {
    const start = mark.getU32(FEED_MARK.start);
    const bytes = mark.getU32(FEED_MARK.bytes);
    if (start === 0) {
      this.#content = new Uint8Array(mark.getU32(FEED_MARK.total));
      this.#filled = 0;
    }
    if (start !== this.#filled || start + bytes > this.#content.length) return null;
    this.#content.set(mark.u8.subarray(FEED_MARK.content, FEED_MARK.content + bytes), start);
    this.#filled = start + bytes;
    if (this.#filled < this.#content.length) return null;
    const kept = JSON.parse(new TextDecoder().decode(this.#content)) as KeptPush; // written by `JournalMarks.feed`
    const rows = kept.rows.map(([key, expiresAtEpochMillis, values]) => ({ key, expiresAtEpochMillis, values }));
    return { ...kept, rows };
  }
}

/** A push as a mark holds it: rows without the names of their parts, which would be half of it. */
interface KeptPush extends Omit<FeedPush, 'rows'> {
  readonly rows: readonly (readonly [string, number, FeedRow['values']])[];
}

function keptOf(push: FeedPush): KeptPush {
  return {
    ...push,
    rows: push.rows.map(({ key, expiresAtEpochMillis, values }) => [key, expiresAtEpochMillis, values]),
  };
}

export class JournalMarks {
  readonly #store: Store;
  readonly #u8 = new Uint8Array(INPUTS_MARK_BYTES + CEILING_BYTES);
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

  /** Between two turns, right behind the close of a batch; so is `merge`. */
  publication(round: number, now: number): void {
    this.#begin(MARK.publication, MARK_BYTES, now);
    this.#u32[PUBLICATION_MARK.round >>> 2] = round;
    this.#append(MARK_BYTES);
  }

  merge(round: number, shards: readonly number[], now: number): void {
    this.#begin(MARK.merge, MERGE_MARK_BYTES, now);
    this.#u32[MERGE_MARK.round >>> 2] = round;
    for (const shard of shards) {
      const at = MERGE_MARK.shards + (shard >>> 3);
      this.#u8[at] = (this.#u8[at] as number) | (1 << (shard & 7)); // shard < 256
    }
    this.#append(MERGE_MARK_BYTES);
  }

  /** Right behind the taking back, in the same batch as the note of how far it is. */
  forget(newest: EntryPosition, count: number, now: number): void {
    this.#begin(MARK.forget, FORGET_MARK_BYTES, now);
    this.#u32[FORGET_MARK.epoch >>> 2] = newest.epoch;
    this.#u32[FORGET_MARK.stream >>> 2] = newest.stream;
    this.#u32[FORGET_MARK.batch >>> 2] = newest.batch;
    this.#u32[FORGET_MARK.offset >>> 2] = newest.offset;
    this.#u32[FORGET_MARK.count >>> 2] = count;
    this.#append(FORGET_MARK_BYTES);
  }

  price({ skuHash, atEpochMillis, price, basis }: MarkedPrice): void {
    const inputs = basis?.inputs ?? null;
    const ceilingMinor = basis?.ceilingMinor ?? Number.POSITIVE_INFINITY;
    const hasCeiling = ceilingMinor !== Number.POSITIVE_INFINITY;
    const bytes = (inputs === null ? PRICE_MARK_BYTES : INPUTS_MARK_BYTES) + (hasCeiling ? CEILING_BYTES : 0);
    this.#begin(MARK.price, bytes, atEpochMillis);
    if (hasCeiling) this.#f64[(bytes - CEILING_BYTES) >>> 3] = ceilingMinor;
    if (inputs !== null) this.#f64.set(inputs, PRICE_MARK.inputs >>> 3);
    this.#u32[PRICE_MARK.skuHash >>> 2] = skuHash;
    this.#u32[PRICE_MARK.isDrawn >>> 2] = basis === null ? 0 : 1;
    this.#f64[PRICE_MARK.priceMinor >>> 3] = price.priceMinor;
    this.#f64[PRICE_MARK.propensity >>> 3] = price.propensity;
    this.#f64[PRICE_MARK.promotion >>> 3] = price.promotion;
    if (basis !== null) {
      this.#f64[PRICE_MARK.stockLeft >>> 3] = basis.stockLeft;
      this.#f64[PRICE_MARK.previousPriceMinor >>> 3] = basis.previousPriceMinor;
      this.#f64[PRICE_MARK.referencePriceMinor >>> 3] = basis.referencePriceMinor;
    }
    this.#append(bytes);
  }

  /** Before anything reads what the push says. */
  feed(push: FeedPush, now: number): void {
    const content = new TextEncoder().encode(JSON.stringify(keptOf(push)));
    for (let start = 0; start < content.length; start += FEED_CONTENT_BYTES_MAX) {
      const part = content.subarray(start, start + FEED_CONTENT_BYTES_MAX);
      const mark = new Uint8Array((FEED_MARK.content + part.length + 7) & ~7);
      this.#begin(MARK.feed, mark.length, now);
      this.#u32[FEED_MARK.total >>> 2] = content.length;
      this.#u32[FEED_MARK.start >>> 2] = start;
      this.#u32[FEED_MARK.bytes >>> 2] = part.length;
      mark.set(this.#u8.subarray(0, FEED_MARK.content));
      mark.set(part, FEED_MARK.content);
      this.#store.appendJournal(mark, 0, mark.length);
    }
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
