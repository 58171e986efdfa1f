/**
 * Context feeds in a running node, of one tenant: takes a push, hands it to the workers, and answers when each of them
 * reads it. On disk first (`workers/feed-book.ts`), so a push that was answered outlives whatever dies next; a worker
 * that begins gets all that stands, and once it has recovered what was pushed meanwhile.
 *
 *   POST ─▸ book: checked, on disk ─▸ each worker: mark in its journal ─▸ its table ─▸ told taken ─▸ 200
 *
 * Guarantees: a decision asked for behind the 200 reads the push, on every worker that serves. One that hangs does not
 * hold the answer for longer than two seconds; it takes the push before its next decision all the same.
 * Traded away: feeds are the main thread's, and a push blocks it for a synced write of one small file.
 */
import type { FeedPush, FeedRow, FeedSpec } from '../decision/feed-table.ts';
import { epochMillis } from '../workers/clock.ts';
import { FeedBook, type FeedState, type PushRefusal, type PushReport } from '../workers/feed-book.ts';
import { OperatorError } from './operator-error.ts';

const ANSWER_MILLIS = 2_000;

export interface FeedKeeperOptions {
  /** In the tenant's data folder; made with the first push. */
  readonly folder: string;
  /** Workers that serve. */
  serving(): readonly number[];
  /** To every worker, also one that recovers. */
  tellAll(pushes: readonly FeedPush[], number: number): void;
  tell(shard: number, pushes: readonly FeedPush[], number: number): void;
}

interface Waiting {
  readonly shards: Set<number>;
  readonly resolve: () => void;
}

export class FeedKeeper {
  readonly #options: FeedKeeperOptions;
  #book: FeedBook | null = null;
  #number = 0;
  readonly #waiting = new Map<number, Waiting>();
  /** How many pushes went which way since the start. */
  readonly pushes = new Map<PushRefusal | 'taken', number>([
    ['taken', 0],
    ['bad', 0],
    ['stale', 0],
    ['full', 0],
  ]);

  constructor(options: FeedKeeperOptions) {
    this.#options = options;
  }

  /**
   * Reads the feeds of a catalog, as far as they were kept.
   * @returns what puts them in force: behind it nothing fails
   * @throws OperatorError `FEED_DAMAGED` or `FEED_ROWS`
   */
  prepare(specs: readonly FeedSpec[]): () => void {
    const book = this.#read(specs);
    return () => {
      this.#book = book;
    };
  }

  #read(specs: readonly FeedSpec[]): FeedBook {
    const { folder } = this.#options;
    try {
      return new FeedBook(folder, specs, epochMillis());
    } catch (error) {
      if (error instanceof RangeError)
        throw new OperatorError('FEED_ROWS', error.message, {
          advice: 'Allow more (rowsMax of the feed), or push the feed with fewer rows before.',
        });
      const reason = error instanceof Error ? error.message : String(error);
      throw new OperatorError('FEED_DAMAGED', `a context feed in ${folder} cannot be read: ${reason}`, {
        advice: 'Remove the file of that feed and push it again, or restore a backup with `opportune restore`.',
        cause: error,
      });
    }
  }

  /** All that stands, for a worker that begins, or under another catalog. */
  snapshots(): readonly FeedPush[] {
    return this.#book?.snapshots(epochMillis()) ?? [];
  }

  list(): FeedState[] {
    return this.#book?.list(epochMillis()) ?? [];
  }

  /** Rows that hold, with names; null where the catalog has no such feed. */
  rowsOf(
    feed: string,
  ): { key: string; fields: Record<string, FeedRow['values'][number]>; expiresAtEpochMillis: number }[] | null {
    const table = this.#book?.table(feed);
    if (table === undefined) return null;
    const names = table.spec.fields.map(({ name }) => name);
    return table.snapshot(epochMillis()).rows.map(({ key, values, expiresAtEpochMillis }) => ({
      key,
      fields: Object.fromEntries(names.map((name, i) => [name, values[i] ?? null])),
      expiresAtEpochMillis,
    }));
  }

  /**
   * Resolves when the workers that serve read it.
   * Rejects with the file system's error when it cannot be kept; then nothing of it is read.
   */
  async push(body: unknown, isStrict: boolean): Promise<PushReport> {
    const report = (this.#book as FeedBook).push(body, isStrict, epochMillis()); // opened before anybody can ask
    return this.#take(report);
  }

  /** As `push`, all or nothing, of what the server itself has found: nobody else may push that feed. */
  async keep(body: unknown): Promise<PushReport> {
    return this.#take((this.#book as FeedBook).keep(body, epochMillis())); // as above
  }

  async #take(report: PushReport): Promise<PushReport> {
    const outcome = report.refusal ?? 'taken';
    this.pushes.set(outcome, (this.pushes.get(outcome) ?? 0) + 1);
    if (report.taken !== null) await this.#handOut([report.taken]);
    return report;
  }

  /** It may have missed what was pushed since it was begun. */
  shardRecovered(shard: number): void {
    const pushes = this.snapshots();
    if (pushes.length > 0) this.#options.tell(shard, pushes, 0);
  }

  taken(shard: number, number: number): void {
    const waiting = this.#waiting.get(number);
    if (waiting?.shards.delete(shard) === true && waiting.shards.size === 0) waiting.resolve();
  }

  /** Its replacement begins with all that stands. */
  shardLeft(shard: number): void {
    for (const number of this.#waiting.keys()) this.taken(shard, number);
  }

  async #handOut(pushes: readonly FeedPush[]): Promise<void> {
    const number = ++this.#number;
    const shards = new Set(this.#options.serving());
    this.#options.tellAll(pushes, number);
    if (shards.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ANSWER_MILLIS);
      this.#waiting.set(number, {
        shards,
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
      });
    });
    this.#waiting.delete(number);
  }
}
