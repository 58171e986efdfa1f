/**
 * Makes the writers of a store stand still for the moment in which another process opens it. That moment is
 * dangerous: LMDB as lmdb 3.5.6 has it reads the number of the newest transaction when it opens an environment and
 * a little later writes that number into the shared lock file. A commit in between is taken back by it: the next
 * transaction begins where the lost one began, and what was acknowledged is gone (OpenLDAP's ITS#9496; measured here:
 * about one commit in a hundred openings beside a busy node).
 *
 *   [held][writer 0: transactions under way][writer 1: …]
 *
 * A writer counts itself in and looks whether the gate is held; the holder holds it and looks at the counts. Both
 * orders are sequential, so one of them sees the other. `store-opening.ts` is who holds it, and for whom.
 * Cost: two atomic additions a transaction; while it is held, writes wait, reads and decisions go on.
 */
const HELD = 0;
const COUNTS = 1;

export type GateMemory = SharedArrayBuffer;

/** @param writers threads that write, each with a number of its own from 0 */
export function createGateMemory(writers: number): GateMemory {
  return new SharedArrayBuffer((COUNTS + writers) * Int32Array.BYTES_PER_ELEMENT);
}

/** One writing thread's side. */
export class WritersGate {
  readonly #words: Int32Array;
  readonly #count: number;

  /** What a thread before it with the same number had under way ended with that thread. */
  constructor(memory: GateMemory, writer: number) {
    this.#words = new Int32Array(memory);
    this.#count = COUNTS + writer;
    Atomics.store(this.#words, this.#count, 0);
  }

  /** Whether a transaction may begin now. If so, `leave` when LMDB is done with it, however it ended. */
  tryEnter(): boolean {
    Atomics.add(this.#words, this.#count, 1);
    if (Atomics.load(this.#words, HELD) === 0) return true;
    this.leave(1);
    return false;
  }

  leave(transactions: number): void {
    Atomics.sub(this.#words, this.#count, transactions);
  }
}

/** The holder's side, in one thread. */
export class GateHold {
  readonly #words: Int32Array;

  constructor(memory: GateMemory) {
    this.#words = new Int32Array(memory);
  }

  hold(): void {
    Atomics.store(this.#words, HELD, 1);
  }

  release(): void {
    Atomics.store(this.#words, HELD, 0);
  }

  /** Whether nothing is under way; while it is held it stays so. */
  get isStill(): boolean {
    for (let word = COUNTS; word < this.#words.length; word++) if (Atomics.load(this.#words, word) !== 0) return false;
    return true;
  }
}
