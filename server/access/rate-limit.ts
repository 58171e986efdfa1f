/**
 * Token buckets: a caller may spend its rate for one second at once, and its rate in the long run. A
 * connection keeps the buckets of its principal and its address, so that a request costs some arithmetic
 * and no look-up; connections of the same caller share them. Each worker counts for itself what it receives:
 * a client connected to all N workers gets N times the rate, which is the price of not sharing memory a
 * request. The table is bounded: a bucket that nobody holds and that has filled up again is nobody's news.
 */

const SWEEP_MICROS_MIN = 1e6;

/** Of one caller. Times are monotonic microseconds. */
export class TokenBucket {
  readonly #perMicrosecond: number;
  readonly #burst: number;
  #level: number;
  #filledMicros: number;
  /** Connections that hold it. */
  holders = 0;

  /** @param perSecond above 0. The bucket begins full: one second's worth, at least 1. */
  constructor(perSecond: number, nowMicros: number) {
    this.#perMicrosecond = perSecond / 1e6;
    this.#burst = Math.max(1, perSecond);
    this.#level = this.#burst;
    this.#filledMicros = nowMicros;
  }

  /** Takes one; false when there is none. */
  take(nowMicros: number): boolean {
    this.#fill(nowMicros);
    if (this.#level < 1) return false;
    this.#level -= 1;
    return true;
  }

  isFull(nowMicros: number): boolean {
    this.#fill(nowMicros);
    return this.#level >= this.#burst;
  }

  #fill(nowMicros: number): void {
    this.#level = Math.min(this.#burst, this.#level + (nowMicros - this.#filledMicros) * this.#perMicrosecond);
    this.#filledMicros = nowMicros;
  }
}

/** Buckets by caller. */
export class RateLimit {
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #perSecond: number;
  readonly #callersMax: number;
  #sweptMicros = Number.NEGATIVE_INFINITY;

  /** @param perSecond 0: no limit. @param callersMax buckets at once; when all are in use a new caller is refused. */
  constructor(perSecond: number, callersMax: number) {
    this.#perSecond = perSecond;
    this.#callersMax = callersMax;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** The caller's bucket, to be given back with `release`; null when there is no limit; undefined when the table is full. */
  hold(caller: string, nowMicros: number): TokenBucket | null | undefined {
    if (this.#perSecond === 0) return null;
    let bucket = this.#buckets.get(caller);
    if (bucket === undefined) {
      if (this.#buckets.size >= this.#callersMax) this.#sweep(nowMicros);
      if (this.#buckets.size >= this.#callersMax) return undefined;
      bucket = new TokenBucket(this.#perSecond, nowMicros);
      this.#buckets.set(caller, bucket);
    }
    bucket.holders++;
    return bucket;
  }

  /** Takes one from the caller's bucket without holding it: for what happens before a connection, a login. */
  takeOnce(caller: string, nowMicros: number): boolean {
    const bucket = this.hold(caller, nowMicros);
    if (bucket === null) return true;
    if (bucket === undefined) return false;
    bucket.holders--;
    return bucket.take(nowMicros);
  }

  release(bucket: TokenBucket | null): void {
    // It stays until it has filled up: ending the connection must not refill it.
    if (bucket !== null) bucket.holders--;
  }

  /** At most once a second: a full table must not make each new caller cost a walk through it. */
  #sweep(nowMicros: number): void {
    if (nowMicros - this.#sweptMicros < SWEEP_MICROS_MIN) return;
    this.#sweptMicros = nowMicros;
    for (const [caller, bucket] of this.#buckets) {
      if (bucket.holders === 0 && bucket.isFull(nowMicros)) this.#buckets.delete(caller);
    }
  }
}
