/**
 * Notices an event loop that no longer turns: a number that its owner moves all the time has stood still for so
 * many looks in a row. Looks are counted and not time, because a machine that was put to sleep, or a process that
 * was stopped and continued, finds much time passed and nobody to blame: whoever looks did not look either.
 *
 *   worker: tick, tick, tick …            (its metrics; looked at by the main thread)
 *   main thread: beat, beat, beat …       (to the supervisor, which is another process)
 */
export class StuckWatch {
  readonly looksMax: number;
  readonly #beats: number[] = [];
  readonly #looks: number[] = [];

  /** @param looksMax looks in a row, at least 1, after which who has not moved is stuck. */
  constructor(looksMax: number) {
    this.looksMax = looksMax;
  }

  /** One look at number `index`: true when it has not moved for `looksMax` looks. */
  isStuck(index: number, beats: number): boolean {
    if (this.#beats[index] !== beats) {
      this.#beats[index] = beats;
      this.#looks[index] = 0;
      return false;
    }
    this.#looks[index] = (this.#looks[index] ?? 0) + 1;
    return (this.#looks[index] ?? 0) >= this.looksMax;
  }

  /** What is watched as `index` begins anew. */
  forget(index: number): void {
    this.#beats[index] = Number.NaN; // equal to nothing
  }
}
