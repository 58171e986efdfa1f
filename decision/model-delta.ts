/**
 * What one shard has learnt since its last flush, as additions to (precision, precision x mean) of the
 * slots it touched. Additions commute, so shards can merge in any grouping; adding them in fixed shard
 * order onto the same base makes every shard's result the same bit for bit. Averaging models instead
 * forgets evidence: never done.
 *
 * Memory is fixed at construction. An entry a slot, found again through a marker array of 1 MB, so a
 * busy slot costs one entry however often it is learnt. By default there is room for every slot, and pages
 * that were never used cost nothing; with less, the owner flushes when `room` is short before it learns on.
 * Nothing is ever dropped silently.
 */
import { type DeltaSink, TOUCHES_MAX } from './response-learning.ts';
import { RESPONSE_SLOTS, type ResponseModel } from './response-model.ts';

/** The plain arrays of a delta, as they travel between threads; entries from `count` on mean nothing. */
export interface DeltaEntries {
  readonly count: number;
  /** Slots, each at most once. */
  readonly indices: Uint32Array;
  /** Precision added, >= 0. */
  readonly precision: Float64Array;
  /** Precision x mean added. */
  readonly natural: Float64Array;
}

export class ModelDelta implements DeltaSink, DeltaEntries {
  readonly capacity: number;
  readonly indices: Uint32Array;
  readonly precision: Float64Array;
  readonly natural: Float64Array;
  count = 0;
  /** Position + 1 of a slot among the entries; 0 when absent. */
  readonly #marker = new Int32Array(RESPONSE_SLOTS);

  /** @throws RangeError when a single observation might not fit (capacity < TOUCHES_MAX) */
  constructor(capacity = RESPONSE_SLOTS + TOUCHES_MAX) {
    if (!(capacity >= TOUCHES_MAX)) throw new RangeError(`delta capacity ${capacity}: at least ${TOUCHES_MAX}`);
    this.capacity = capacity;
    this.indices = new Uint32Array(capacity);
    this.precision = new Float64Array(capacity);
    this.natural = new Float64Array(capacity);
  }

  get room(): number {
    return this.capacity - this.count;
  }

  /** True when the next observation might not fit: flush now. */
  get needsFlush(): boolean {
    return this.room < TOUCHES_MAX;
  }

  /** @throws RangeError when a new slot finds no room (our bug: `needsFlush` was not asked) */
  add(slot: number, precision: number, natural: number): void {
    let at = (this.#marker[slot] as number) - 1; // slot < RESPONSE_SLOTS
    if (at < 0) {
      if (this.count >= this.capacity) throw new RangeError('delta full: flush before learning');
      at = this.count;
      this.count += 1;
      this.#marker[slot] = at + 1;
      this.indices[at] = slot;
      this.precision[at] = precision;
      this.natural[at] = natural;
      return;
    }
    this.precision[at] = (this.precision[at] as number) + precision; // at < count
    this.natural[at] = (this.natural[at] as number) + natural; // at < count
  }

  /** Where the slot is among the entries, or -1. */
  indexOf(slot: number): number {
    return (this.#marker[slot] as number) - 1; // slot < RESPONSE_SLOTS
  }

  /** Forgets all entries. Cost: their number, not the model's size. */
  clear(): void {
    for (let at = 0; at < this.count; at += 1) this.#marker[this.indices[at] as number] = 0; // at < count
    this.count = 0;
  }
}

/**
 * Adds a delta to a model: q' = q + dq, b' = b + db, mean' = b' / q'. The model must not already contain
 * it: a shard applies the others' deltas to its model, or all deltas to the common base.
 * Does not change `model.epoch`. Cost: about 10 ns an entry.
 */
export function applyDelta(model: ResponseModel, delta: DeltaEntries): void {
  for (let at = 0; at < delta.count; at += 1) {
    const slot = delta.indices[at] as number; // at < count
    const before = model.weights[2 * slot + 1] as number; // slot < RESPONSE_SLOTS
    const after = before + (delta.precision[at] as number); // at < count
    const natural = before * (model.weights[2 * slot] as number) + (delta.natural[at] as number); // both in range
    model.weights[2 * slot + 1] = after;
    model.weights[2 * slot] = natural / after;
  }
}

/**
 * Sets the slots of `delta` in `model` to base + open: what all shards know, and what this one has learnt since.
 * The other slots stay. Cost: about 10 ns an entry.
 */
export function rebase(model: ResponseModel, base: ResponseModel, delta: DeltaEntries, open: ModelDelta): void {
  for (let at = 0; at < delta.count; at += 1) {
    const slot = delta.indices[at] as number; // at < count
    let mean = base.weights[2 * slot] as number; // slot < RESPONSE_SLOTS
    let precision = base.weights[2 * slot + 1] as number; // as above
    const openAt = open.indexOf(slot);
    if (openAt >= 0) {
      const natural = precision * mean + (open.natural[openAt] as number); // openAt < open.count
      precision += open.precision[openAt] as number; // as above
      mean = natural / precision;
    }
    model.weights[2 * slot] = mean;
    model.weights[2 * slot + 1] = precision;
  }
}
