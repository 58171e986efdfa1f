/**
 * Timers for leases without one timer object a profile: a wheel of seconds, each a growing list of
 * (partition, hash, decision) in typed arrays. One tick a quarter of a second visits what is due. Only
 * leases that hold a cap, budget or stock are entered; the others end when their profile is next used.
 *
 *   second 17: [ p h h s | p h h s | … ]   second 18: [ … ]
 *
 * Entries are hints: a lease may have been confirmed meanwhile, and the visitor looks. Never early:
 * a lease due within a second is visited after that second has passed.
 */
const WORDS = 3;
/** Empty seconds in a row passed one by one; after them all full ones are looked through for the next. */
const STEPS_MAX = 1024;

class Bucket {
  words = new Uint32Array(16 * WORDS);
  count = 0;
}

export class LeaseWheel {
  readonly #buckets = new Map<number, Bucket>();
  readonly #spare: Bucket[] = [];
  #next = Number.NaN;
  #pending = 0;

  get pending(): number {
    return this.#pending;
  }

  add(expiresAt: number, partition: number, hashLow: number, hashHigh: number): void {
    const second = Math.floor(expiresAt / 1000) + 1;
    let bucket = this.#buckets.get(second);
    if (bucket === undefined) {
      bucket = this.#spare.pop() ?? new Bucket();
      this.#buckets.set(second, bucket);
    }
    if ((bucket.count + 1) * WORDS > bucket.words.length) {
      const words = new Uint32Array(bucket.words.length * 2);
      words.set(bucket.words);
      bucket.words = words;
    }
    const at = bucket.count * WORDS;
    bucket.words[at] = partition;
    bucket.words[at + 1] = hashLow;
    bucket.words[at + 2] = hashHigh;
    bucket.count++;
    this.#pending++;
    if (!(this.#next <= second)) this.#next = second;
  }

  /** Visits every entry due by `now`; stops after `limit` entries and goes on at the next call. */
  advance(now: number, limit: number, visit: (partition: number, hashLow: number, hashHigh: number) => void): void {
    const due = Math.floor(now / 1000);
    let left = limit;
    let empty = 0;
    while (this.#next <= due && this.#pending > 0 && left > 0) {
      const bucket = this.#buckets.get(this.#next);
      if (bucket === undefined) {
        // A jump of the clock could leave millions of empty seconds: then look for the next full one.
        if (empty++ < STEPS_MAX) {
          this.#next++;
          continue;
        }
        let next = Number.POSITIVE_INFINITY;
        for (const second of this.#buckets.keys()) if (second < next) next = second;
        this.#next = next;
        continue;
      }
      empty = 0;
      while (bucket.count > 0 && left > 0) {
        bucket.count--;
        this.#pending--;
        left--;
        const at = bucket.count * WORDS;
        visit(bucket.words[at] as number, bucket.words[at + 1] as number, bucket.words[at + 2] as number);
      }
      if (bucket.count === 0) {
        this.#buckets.delete(this.#next);
        if (this.#spare.length < 8 && bucket.words.length <= 65536) this.#spare.push(bucket);
        this.#next++;
      }
    }
  }

  clear(): void {
    this.#buckets.clear();
    this.#pending = 0;
    this.#next = Number.NaN;
  }
}
