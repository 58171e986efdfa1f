/**
 * Time in the simulation: a queue of what is to happen, a clock that jumps from one of these events to the
 * next, and chance. While it is installed, `Date.now`, `performance.now` and the timers of this thread are
 * its own, so the production code runs on it unchanged. Everything random is drawn from one seed: two runs
 * of one seed are the same run.
 *
 *   after(delay) ─▸ [ heap by (instant, order) ] ─▸ runNext: clock = instant, owner's code runs ─▸ promises settle
 *
 * An event belongs to an owner (a worker, a client, the disk). A worker that dies takes its events along, as a
 * thread takes its timers; one that is held up finds them late. Used by `sim-world.ts` and whatever it drives.
 */

/** Chance: the same draws for the same seed on every machine. xorshift of 32 bits, mixed at the start. */
export class SimRandom {
  #state: number;

  constructor(seed: number, stream = 0) {
    this.#state = mix32(mix32(seed >>> 0) ^ mix32(stream + 0x9e3779b9)) || 1;
  }

  /** An integer of 32 bits. */
  word(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return Math.imul(this.#state, 0x9e3779b1) >>> 0;
  }
  /** In [0, 1). */
  fraction(): number {
    return this.word() / 0x1_0000_0000;
  }
  /** An integer from 0 to `bound` - 1. */
  below(bound: number): number {
    return Math.floor(this.fraction() * bound);
  }
  chance(probability: number): boolean {
    return this.fraction() < probability;
  }
  between(low: number, high: number): number {
    return low + this.fraction() * (high - low);
  }
}

export function mix32(value: number): number {
  let h = value >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** One event, and the handle of a timer: what `setTimeout` gives here. */
export class SimEvent {
  at: number;
  order: number;
  readonly owner: number;
  readonly kind: number;
  readonly run: () => void;
  /** Of an interval; 0 happens once. */
  readonly everyMicros: number;
  isCancelled = false;

  constructor(at: number, order: number, owner: number, kind: number, run: () => void, everyMicros: number) {
    this.at = at;
    this.order = order;
    this.owner = owner;
    this.kind = kind;
    this.run = run;
    this.everyMicros = everyMicros;
  }
  unref(): this {
    return this;
  }
  ref(): this {
    return this;
  }
}

/** Kinds of events, for the hash of a run and the counts of its report. */
export const EVENT_KIND = { timer: 1, immediate: 2, disk: 3, toServer: 4, toClient: 5, link: 6, client: 7, action: 8 };
/** Owner of what belongs to no worker and no client. */
export const NOBODY = 0;

/** Shortly before a full hour, when prices change: the clock jumps over it to and fro. */
const EPOCH_MILLIS = Date.UTC(2026, 5, 10, 9, 59, 40);
/** What one look at the clock costs while nothing is slow. */
const LOOK_MICROS = 1;

const realTimers = { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate };
type Globals = Record<keyof typeof realTimers, unknown>;

export class SimTime {
  /** Micros since the start; never goes back. */
  nowMicros = 0;
  /** What the wall clock is ahead of its start and the time gone by. */
  wallOffsetMillis = 0;
  /** Micros that pass with each look at the clock: large while the machine is slow. */
  lookMicros = LOOK_MICROS;
  /** Whose code runs now. */
  owner = NOBODY;
  readonly random: SimRandom;
  /** Set by whatever settles a promise: then the microtasks are run before the next event. */
  hasPromises = false;
  #heap: SimEvent[] = [];
  #order = 0;
  readonly #dead = new Set<number>();
  readonly #heldUntil = new Map<number, number>();
  readonly #realDateNow = Date.now;

  constructor(seed: number) {
    this.random = new SimRandom(seed, 1);
  }

  get wallMillis(): number {
    return Math.floor(EPOCH_MILLIS + this.wallOffsetMillis + this.nowMicros / 1000);
  }
  get millis(): number {
    return this.nowMicros / 1000;
  }

  /** Puts this clock and these timers in the place of the thread's own. `uninstall` must follow. */
  install(): void {
    Date.now = () => {
      this.nowMicros += this.lookMicros;
      return this.wallMillis;
    };
    performance.now = () => {
      this.nowMicros += this.lookMicros;
      return this.nowMicros / 1000;
    };
    Object.defineProperty(performance, 'timeOrigin', { value: EPOCH_MILLIS, configurable: true });
    const globals = globalThis as unknown as Globals; // the timers' types name handles of Node's own
    globals.setTimeout = (run: () => void, millis = 0) => this.after(millis * 1000 + this.random.below(300), run);
    globals.setInterval = (run: () => void, millis: number) => this.#push(millis * 1000, run, EVENT_KIND.timer, millis);
    globals.setImmediate = (run: () => void) => this.#push(5 + this.random.below(60), run, EVENT_KIND.immediate, 0);
    const cancel = (event: SimEvent | undefined): void => {
      if (event !== undefined) event.isCancelled = true;
    };
    globals.clearTimeout = cancel;
    globals.clearInterval = cancel;
    globals.clearImmediate = cancel;
  }

  uninstall(): void {
    Date.now = this.#realDateNow;
    // Node's own stand behind these, on the prototype.
    Reflect.deleteProperty(performance, 'now');
    Reflect.deleteProperty(performance, 'timeOrigin');
    Object.assign(globalThis, realTimers);
  }

  /** Runs `run` as the present owner, `micros` from now. */
  after(micros: number, run: () => void, kind = EVENT_KIND.timer): SimEvent {
    return this.#push(micros, run, kind, 0);
  }

  /** Runs `run` as `owner` at an instant of this clock, or now if that is past. */
  at(micros: number, owner: number, kind: number, run: () => void): SimEvent {
    const event = new SimEvent(Math.max(micros, this.nowMicros), this.#order++, owner, kind, run, 0);
    this.#insert(event);
    return event;
  }

  #push(micros: number, run: () => void, kind: number, everyMillis: number): SimEvent {
    const event = new SimEvent(
      this.nowMicros + micros,
      this.#order++,
      this.owner,
      kind,
      run,
      everyMillis === 0 ? 0 : everyMillis * 1000,
    );
    this.#insert(event);
    return event;
  }

  /** From now on nothing of this owner happens any more. */
  kill(owner: number): void {
    this.#dead.add(owner);
  }
  isDead(owner: number): boolean {
    return this.#dead.has(owner);
  }
  /** Nothing of this owner happens for a while: a thread that the system has put aside. */
  hold(owner: number, micros: number): void {
    // Never shorter than it was: what waits already would be overtaken.
    this.#heldUntil.set(owner, Math.max(this.#heldUntil.get(owner) ?? 0, this.nowMicros + micros));
  }

  /** Runs what comes next, as its owner; null when nothing is left. */
  runNext(): SimEvent | null {
    for (;;) {
      const event = this.#take();
      if (event === undefined) return null;
      if (event.isCancelled || this.#dead.has(event.owner)) continue;
      const heldUntil = this.#heldUntil.get(event.owner);
      if (heldUntil !== undefined) {
        if (heldUntil > event.at) {
          // Its order stays: what waits goes on as it came.
          event.at = heldUntil;
          this.#insert(event);
          continue;
        }
        if (heldUntil <= this.nowMicros) this.#heldUntil.delete(event.owner);
      }
      if (event.at > this.nowMicros) this.nowMicros = event.at;
      if (event.everyMicros > 0) {
        // The same object again: the caller's handle is to cancel what follows.
        event.at = Math.max(event.at + event.everyMicros, this.nowMicros);
        event.order = this.#order++;
        this.#insert(event);
      }
      this.owner = event.owner;
      event.run();
      return event;
    }
  }

  #insert(event: SimEvent): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(event);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent] as SimEvent; // parent < i
      if (above.at < event.at || (above.at === event.at && above.order < event.order)) break;
      heap[i] = above;
      i = parent;
    }
    heap[i] = event;
  }

  #take(): SimEvent | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    const count = heap.length;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= count) break;
      const left = heap[child] as SimEvent; // child < count
      const right = heap[child + 1];
      let least = left;
      if (right !== undefined && (right.at < left.at || (right.at === left.at && right.order < left.order))) {
        child++;
        least = right;
      }
      if (last.at < least.at || (last.at === least.at && last.order < least.order)) break;
      heap[i] = least;
      i = child;
    }
    heap[i] = last;
    return top;
  }
}
