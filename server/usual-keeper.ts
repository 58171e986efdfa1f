/**
 * Measures what is usual, now and then, while the catalog in force wants it (`abuse.usual`): a pass over everybody by a
 * thread of the job pool, whose rows are pushed to the feed that `unusual(event, window)` reads. On the main thread is the
 * schedule only.
 *
 *   due ─▸ measureUsual (job) ─▸ feed `_usual`: on disk, in every worker's journal ─▸ read by rules
 *
 * How old it is is read off the feed, so a start measures nothing anew before its time. A pass that fails is said, rules
 * keep what was measured before, and it is tried again after a minute.
 */
import { USUAL_FEED } from '../decision/usual-feed.ts';
import type { CatalogSource } from '../workers/catalog/catalog-source.ts';
import { usualEveryMillis } from '../workers/catalog/compile-feeds.ts';
import { epochMillis } from '../workers/clock.ts';
import type { JobPool } from '../workers/jobs/job-pool.ts';
import type { FeedKeeper } from './feed-keeper.ts';
import type { Log } from './log.ts';

const LOOK_MILLIS = 2_000;
/** While too few people are known to say what is usual, and behind a pass that failed. */
const AGAIN_MILLIS = 60_000;

export interface MeasuredTenant {
  readonly name: string;
  readonly storePath: string;
  readonly feeds: Pick<FeedKeeper, 'list' | 'keep'>;
}

export interface UsualKeeperOptions {
  readonly jobs: Pick<JobPool, 'run'>;
  readonly tenants: readonly MeasuredTenant[];
  readonly log: Pick<Log, 'info' | 'warn'>;
  /** The catalog in force. */
  catalog(): CatalogSource | null;
  /** Whether every shard serves: a pass must not be the first to open the store. */
  isServing(): boolean;
}

export class UsualKeeper {
  readonly #options: UsualKeeperOptions;
  readonly #failedAt = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #isMeasuring = false;
  #isClosed = false;

  constructor(options: UsualKeeperOptions) {
    this.#options = options;
  }

  begin(): void {
    this.#timer = setInterval(() => void this.look(), LOOK_MILLIS);
  }

  /** A pass under way ends with the pool, and pushes nothing. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
  }

  /** Measures each tenant for whom it is time; one pass at a time. */
  async look(): Promise<void> {
    const { catalog: inForce, isServing, tenants } = this.#options;
    const catalog = inForce();
    const every = catalog === null ? 0 : usualEveryMillis(catalog.file);
    if (catalog === null || every === 0 || this.#isMeasuring || !isServing()) return;
    this.#isMeasuring = true;
    for (const tenant of tenants) if (this.#isDue(tenant, every)) await this.#measure(tenant, catalog);
    this.#isMeasuring = false;
  }

  #isDue({ name, feeds }: MeasuredTenant, every: number): boolean {
    const feed = feeds.list().find((one) => one.feed === USUAL_FEED);
    const now = epochMillis();
    if (this.#isClosed || feed === undefined) return false;
    // A clock that was set back makes it due.
    const since = (at: number): number => Math.abs(now - at);
    if (since(this.#failedAt.get(name) ?? 0) < Math.min(AGAIN_MILLIS, every)) return false;
    return since(feed.pushedAtEpochMillis ?? 0) >= (feed.rows === 0 ? Math.min(AGAIN_MILLIS, every) : every);
  }

  async #measure({ name, storePath, feeds }: MeasuredTenant, catalog: CatalogSource): Promise<void> {
    const { jobs, log } = this.#options;
    try {
      const rows = await jobs.run('measureUsual', { storePath, catalog });
      if (this.#isClosed) return;
      const { refusal, reason } = await feeds.keep({
        feed: USUAL_FEED,
        replace: true,
        rows: rows.map(({ key, middle, deviation, usual, people }) => ({
          key,
          fields: { middle, deviation, usual, people },
        })),
      });
      if (refusal !== null) throw new Error(reason);
      this.#failedAt.delete(name);
      log.info({ tenant: name, rows: rows.length }, 'measured what is usual');
    } catch (error) {
      if (this.#isClosed) return;
      this.#failedAt.set(name, epochMillis());
      const reason = error instanceof Error ? error.message : String(error);
      log.warn({ tenant: name, reason }, 'what is usual could not be measured; rules keep what was');
    }
  }
}
