/**
 * Threads that are ready to become shard workers. Loading what a worker is made of takes longer than
 * recovering its partitions, so it is done ahead of need: at a start while the main thread still checks the
 * catalog, and while serving by one spare that takes the place of the next worker that fails.
 *
 *   hired ─▸ loads its modules, waits ─▸ taken by the node ─▸ begin(data) ─▸ the shard's life
 *
 * Traded away: the memory of one idle thread (20 to 30 MB). A thread that ends while it waits is forgotten;
 * the one that is hired when it would have been taken then says what is wrong.
 */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import type { ShardThreadStart, ToShard } from './shard-messages.ts';

/** What the build makes of `shard-thread.ts` and all it imports. */
const THREAD_FILE = fileURLToPath(new URL('./shard-thread.bundle.js', import.meta.url));

/**
 * What a request allocates is garbage before the next one, so the young space of a worker begins as large as it may
 * become, in megabytes: half as many collections of it as from one that grows by itself (80 for 146 in 24 s of a
 * mixed load of 3,500/s). A larger old space was tried: few collections, but of 40 to 100 ms instead of 8 to 22.
 */
const YOUNG_SPACE_FLAG = '--min-semi-space-size=16';

/** Far longer than loading takes, also on a busy machine. */
const LEAVE_MILLIS = 5_000;

async function leave(worker: Worker): Promise<void> {
  const left = once(worker, 'exit');
  worker.postMessage({ kind: 'leave' } satisfies ToShard);
  const timer = setTimeout(() => void worker.terminate(), LEAVE_MILLIS);
  await left.catch(() => {});
  clearTimeout(timer);
}

export class ShardCrew {
  readonly #start: ShardThreadStart;
  #waiting: Worker[] = [];
  #isClosed = false;

  /** Hires `count` threads at once. */
  constructor(start: ShardThreadStart, count: number) {
    this.#start = start;
    setFlagsFromString(YOUNG_SPACE_FLAG);
    for (let i = 0; i < count; i++) this.#waiting.push(this.#hire());
  }

  /** The thread that has waited longest, or a new one. It is the caller's to listen to and to end. */
  take(): Worker {
    const worker = this.#waiting.shift() ?? this.#hire();
    worker.removeAllListeners('error').removeAllListeners('exit');
    return worker;
  }

  /** Sees to it that one thread waits. */
  keepSpare(): void {
    if (!this.#isClosed && this.#waiting.length === 0) this.#waiting.push(this.#hire());
  }

  /**
   * Ends the threads that wait. They have no socket and no store, but one that is ended from outside in the middle of
   * loading the native transport takes the process with it: each leaves by itself when it has loaded.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#waiting.splice(0).map(leave));
  }

  #hire(): Worker {
    const worker = new Worker(THREAD_FILE, { workerData: this.#start, name: 'shard' });
    const forget = (): void => {
      this.#waiting = this.#waiting.filter((other) => other !== worker);
    };
    worker.on('error', forget).on('exit', forget);
    return worker;
  }
}
