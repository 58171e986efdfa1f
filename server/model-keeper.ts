/**
 * Keeps what was learnt: asks shard 0 for a snapshot now and then, holds the newest for workers that are
 * replaced, and has the job pool write it to disk, so that no shard ever waits for it. A start reads the
 * newest undamaged file back; what was learnt after it comes from the journal.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { JobPool } from '../workers/jobs/job-pool.ts';
import {
  keepStartSnapshot,
  type ModelSnapshot,
  readModelSnapshot,
  snapshotInput,
} from '../workers/jobs/model-snapshot-file.ts';
import type { Log } from './log.ts';

const SNAPSHOT_MILLIS = 30_000;
/** Soon after a start, so that one crash after another does not read the same journal again and again. */
const FIRST_SNAPSHOT_MILLIS = 5_000;

export class ModelKeeper {
  /** The newest snapshot: what a worker begins with. */
  latest: ModelSnapshot | null = null;
  readonly #path: string;
  readonly #log: Log;
  readonly #jobs = new JobPool({ threads: 1 });
  #writing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #first: NodeJS.Timeout | undefined;

  /** @param folder made if absent; holds `model` and the one before it. */
  constructor(folder: string, log: Log) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#path = join(folder, 'model');
    this.#log = log;
  }

  /**
   * Reads the newest snapshot and keeps it as the one this epoch began from. A damaged one is said and passed
   * over: the journal then teaches more again.
   */
  load(epoch: number): void {
    const read = readModelSnapshot(this.#path);
    for (const sentence of read?.damage ?? []) this.#log.error(sentence);
    this.latest = read?.snapshot ?? null;
    if (read === null || read.path === null) return;
    try {
      keepStartSnapshot(this.#path, read.path, epoch);
    } catch (error) {
      // Only `replay-decision` will miss it, and says so.
      this.#log.warn(
        { reason: error instanceof Error ? error.message : String(error) },
        'the model snapshot of this start is not kept: its decisions cannot be computed again',
      );
    }
  }

  /** Begins asking for snapshots. */
  begin(ask: () => void): void {
    this.#first = setTimeout(ask, FIRST_SNAPSHOT_MILLIS);
    this.#timer = setInterval(ask, SNAPSHOT_MILLIS);
  }

  /** Takes a snapshot and writes it in the pool, one after the other; whether it is on disk. Never rejects. */
  async keep(snapshot: ModelSnapshot): Promise<boolean> {
    this.latest = snapshot;
    let isKept = false;
    this.#writing = this.#writing.then(async () => {
      try {
        await this.#jobs.run('writeModelSnapshot', snapshotInput(this.#path, snapshot));
        isKept = true;
      } catch (error) {
        // The snapshot before and the journal still hold everything; the next one may succeed.
        this.#log.warn(
          { reason: error instanceof Error ? error.message : String(error) },
          'model snapshot not written',
        );
      }
    });
    await this.#writing;
    return isKept;
  }

  /** Waits until what was taken is on disk. */
  settle(): Promise<void> {
    return this.#writing;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    clearTimeout(this.#first);
    await this.#writing;
    await this.#jobs.close();
  }
}
