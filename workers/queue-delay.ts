/**
 * When waiting requests are worth more refused than served late. A burst, even one of full windows, makes a
 * queue that shrinks; an overload makes one that stands and grows, and then everybody waits as long as the
 * queue is, whatever is served. So, after "Fail at Scale" (Maurer, ACM Queue 2015; an adaptation of CoDel,
 * Nichols and Jacobson 2012): a queue that has not been empty for 100 ms and is growing all the same means
 * overload. From then on a request that has waited 3 ms is refused, and turns run in short pieces, so that the
 * sockets are read between them and nothing waits unseen in the kernel. It is over when the queue is empty and
 * nothing had to be refused for 100 ms: refusing empties it at once, and does not mean that less arrives.
 *
 * Deviation: growth is asked for as well, because 1,024 requests in flight a connection are allowed, and a
 * client that waits for answers before it asks again cannot overload anybody.
 */
const STANDING_MICROS = 100_000;
const WAIT_MICROS_MAX = 3_000;
/** What one pass of the event loop runs from the queue before sockets, commits and timers have their turn. */
const PIECE_MICROS = 3_000;
const PIECE_MICROS_OVERLOADED = 1_500;

/** Growth over the shortest the queue was since it stands: more than windows of common size let it swing, and a share. */
const GROWTH_MIN = 1_024;
const GROWTH_SHARE = 0.25;

export class QueueDelay {
  #emptyMicros = Number.NEGATIVE_INFINITY;
  #shortest = Number.POSITIVE_INFINITY;
  #refusedMicros = Number.NEGATIVE_INFINITY;
  #isOverloaded = false;

  get isOverloaded(): boolean {
    return this.#isOverloaded;
  }

  /** The queue is empty at this instant. @param nowMicros monotonic, as everywhere here */
  noteEmpty(nowMicros: number): void {
    this.#emptyMicros = nowMicros;
    this.#shortest = Number.POSITIVE_INFINITY;
    if (nowMicros - this.#refusedMicros > STANDING_MICROS) this.#isOverloaded = false;
  }

  /** A pass begins with `depth` requests waiting; returns how long it may run them, in microseconds. */
  beginPass(nowMicros: number, depth: number): number {
    if (!this.#isOverloaded && nowMicros - this.#emptyMicros > STANDING_MICROS) {
      this.#shortest = Math.min(this.#shortest, depth);
      this.#isOverloaded = depth - this.#shortest > Math.max(GROWTH_MIN, GROWTH_SHARE * this.#shortest);
      if (this.#isOverloaded) this.#refusedMicros = nowMicros;
    }
    return this.#isOverloaded ? PIECE_MICROS_OVERLOADED : PIECE_MICROS;
  }

  /** Whether a request that has waited so long is to be refused now. */
  refuses(waitedMicros: number, nowMicros: number): boolean {
    if (!this.#isOverloaded || waitedMicros <= WAIT_MICROS_MAX) return false;
    this.#refusedMicros = nowMicros;
    return true;
  }
}
