/**
 * What the main thread looks at twice a second: whether the workers' event loops still turn, and how much memory
 * the process has. Both end badly by themselves (a worker that hangs answers nobody for ever, and the kernel kills
 * who takes too much), so somebody must say so before. Reading them costs some microseconds a look.
 *
 * Trades away: a worker that hangs in native code cannot be told from one that hangs in ours.
 */
import { COUNTER, type MetricsReader } from '../workers/metrics-layout.ts';
import { StuckWatch } from './stuck-watch.ts';

const LOOK_MILLIS = 500;
/** Full above the limit, no longer full below this share of it: at the limit itself it would go to and fro. */
const EASED_SHARE = 0.95;

export interface NodeWatchOptions {
  readonly metrics: MetricsReader;
  readonly stuckSeconds: number;
  readonly memoryBytesMax: number;
  /** Resident memory of the process, in bytes. */
  readonly residentBytes: () => number;
  /** Shards whose worker is at work now; others (at their start, being replaced) are not watched. */
  readonly isAtWork: (shard: number) => boolean;
  /** Called once for each time a worker was found stuck. */
  readonly onStuck: (shard: number) => void;
  /** Called at each change. */
  readonly onMemory: (isFull: boolean, residentBytes: number) => void;
}

export class NodeWatch {
  readonly #options: NodeWatchOptions;
  readonly #stuck: StuckWatch;
  #timer: NodeJS.Timeout | undefined;
  #isFull = false;

  constructor(options: NodeWatchOptions) {
    this.#options = options;
    this.#stuck = new StuckWatch(Math.ceil((options.stuckSeconds * 1000) / LOOK_MILLIS));
  }

  begin(): void {
    this.#timer = setInterval(() => this.look(), LOOK_MILLIS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  look(): void {
    const { metrics, isAtWork, onStuck, onMemory, memoryBytesMax } = this.#options;
    for (let shard = 0; shard < metrics.shardCount; shard++) {
      if (!isAtWork(shard)) this.#stuck.forget(shard);
      else if (this.#stuck.isStuck(shard, metrics.counter(shard, COUNTER.ticks))) {
        this.#stuck.forget(shard);
        onStuck(shard);
      }
    }
    const residentBytes = this.#options.residentBytes();
    const isFull = residentBytes > (this.#isFull ? memoryBytesMax * EASED_SHARE : memoryBytesMax);
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    onMemory(isFull, residentBytes);
  }
}
