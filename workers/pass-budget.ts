/**
 * How long one pass of the event loop may run turns before the rest of its messages are queued, so that
 * commits and timers are never starved. What ends a pass is an immediate: it is asked for at most once in
 * WATCH_MICROS, and while it has not come, everything since belongs to the same pass.
 *
 *   turn … turn ─(1 ms, 16 turns)─▸ turn, watch ▸ turn … turn ─(2 ms, 64 turns)─▸ no more time   immediate ▸ anew
 *
 * Both bounds must be passed. Time alone would take a thread that the system had put aside for busy, and
 * would queue (copy, and decode twice) what could be answered at once; turns alone know nothing of a slow
 * one. An idle shard is never woken: nothing runs unless requests do.
 */
import { monotonicMicros } from './clock.ts';

/** A pass is watched when the last look at one is this long ago: most passes are shorter than that. */
const WATCH_MICROS = 1_000;
/** A shard with little to do asks for few immediates: each is one more turn of its loop. */
const TURNS_UNWATCHED = 16;
/** As long as the wait of a socket that is read last in a pass may be; what is queued is decoded twice, at 1 µs. */
const SLICE_MICROS = 2_000;
/** About the turns a slice has room for when a turn takes longest: less is a thread that was put aside. */
const TURNS_MIN = 64;
/** The same in an overload: short, so that the sockets are read soon again and what waits there is seen. */
const SLICE_MICROS_OVERLOADED = 1_500;
const TURNS_MIN_OVERLOADED = 8;
/** Turns between two looks at the clock, a power of two. */
const TURNS_A_LOOK = 16;

export class PassBudget {
  #sinceMicros = Number.NEGATIVE_INFINITY;
  #turns = 0;
  #isWatched = false;
  readonly #clock: () => number;

  /** @param clock microseconds of the clock that `arrivedMicros` is of */
  constructor(clock: () => number = monotonicMicros) {
    this.#clock = clock;
  }

  /** Whether one more turn may run now. @param arrivedMicros when its frame came, monotonic. */
  hasTime(arrivedMicros: number, isOverloaded = false): boolean {
    if (!this.#isWatched) {
      if (isOverloaded || (++this.#turns >= TURNS_UNWATCHED && arrivedMicros - this.#sinceMicros >= WATCH_MICROS))
        this.#watch(arrivedMicros);
      return true;
    }
    if (++this.#turns < (isOverloaded ? TURNS_MIN_OVERLOADED : TURNS_MIN)) return true;
    // The requests of one frame arrived at one instant: what its first ones took, only the clock knows.
    const isLook = (this.#turns & (TURNS_A_LOOK - 1)) === 0;
    const sliceMicros = isOverloaded ? SLICE_MICROS_OVERLOADED : SLICE_MICROS;
    return (isLook ? this.#clock() : arrivedMicros) - this.#sinceMicros < sliceMicros;
  }

  #watch(nowMicros: number): void {
    this.#sinceMicros = nowMicros;
    this.#turns = 0;
    this.#isWatched = true;
    setImmediate(this.#passed);
  }

  readonly #passed = (): void => {
    this.#isWatched = false;
    this.#turns = 0;
    this.#sinceMicros = this.#clock();
  };
}
