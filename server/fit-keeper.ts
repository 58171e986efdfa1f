/**
 * Fits in a running node: begins one when it is due, sees when anybody's has ended (`opportune fit` is a process of its
 * own), and brings its facts to the shards. All work is done by the job pool and, a little at a time, by the shards;
 * here on the main thread are the schedule and who has taken what.
 *
 *   due ─▸ runFit ─▸ results file ─▸ seen by the poll ─▸ readFacts (job) ─▸ each shard ─▸ all have taken them ─▸ `taken`
 *
 * Guarantees: results that were not taken by all shards before a stop are taken after the next start. A fit that fails,
 * or a damaged file, is said and counted, and every record keeps the facts it has.
 * Traded away: facts arrive minutes after a fit, not at once, so that no decision waits for them.
 */
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FactRows } from '../actors/fact-turn.ts';
import { epochMillis } from '../workers/clock.ts';
import type { FactCounts } from '../workers/fact-feed.ts';
import { type FitInfo, type FitResults, fitFolder, fitResultsPath } from '../workers/fits/fit-results-file.ts';
import { FitRunningError, runFit } from '../workers/fits/fit-run.ts';
import { JobPool } from '../workers/jobs/job-pool.ts';
import type { Log } from './log.ts';
import type { FitStatus, RelatedProducts } from './node-status.ts';

const POLL_MILLIS = 1_000;
const HOUR_MILLIS = 3_600_000;

export interface FitKeeperOptions {
  /** The data folder. */
  readonly data: string;
  /** Hours between two fits; 0: none is begun here. */
  readonly everyHours: number;
  readonly shards: number;
  readonly log: Log;
  /** Closed with the keeper; by default one of a single thread. */
  readonly jobs?: JobPool;
  /** Facts the catalog in force declares. */
  declaredFacts(): readonly string[];
  /** Whether every shard serves: a fit must not be the first to open the store. */
  isServing(): boolean;
  /** Hands facts to a shard, if it serves; one that does not is offered them when it is ready. */
  offer(shard: number, facts: FactRows): void;
}

export class FitKeeper {
  readonly #options: FitKeeperOptions;
  readonly #jobs: JobPool;
  readonly #abort = new AbortController();
  readonly #startedAt = epochMillis();
  readonly #path: string;
  readonly #takenPath: string;
  #timer: NodeJS.Timeout | undefined;
  #info: FitInfo | null = null;
  /** While shards are to take them. */
  #facts: FactRows | null = null;
  #pending = new Set<number>();
  /** Of the file as it was read last. */
  #seen = '';
  /** What `declaredFacts` was when facts were handed out last. */
  #declared = '';
  #isReading = false;
  #fitting: Promise<void> | null = null;
  #attemptedAt = 0;
  #isLastGood: boolean | null = null;

  constructor(options: FitKeeperOptions) {
    this.#options = options;
    this.#jobs = options.jobs ?? new JobPool({ threads: 1 });
    this.#path = fitResultsPath(options.data);
    this.#takenPath = join(fitFolder(options.data), 'taken');
  }

  /** Begins looking for results, and fitting; call when the shards serve. */
  begin(): void {
    this.#timer = setInterval(() => this.#look(), POLL_MILLIS);
    this.#look();
  }

  get status(): FitStatus {
    return {
      fittedAtEpochMillis: this.#info?.fittedAtEpochMillis ?? null,
      people: this.#info?.people ?? 0,
      isLastGood: this.#isLastGood,
      shardsPending: this.#pending.size,
    };
  }

  /** What goes with a product, best first; an empty list for one of which nothing is known; null before any fit. */
  related(sku: string): RelatedProducts | null {
    if (this.#info === null) return null;
    const { related, fittedAtEpochMillis } = this.#info;
    return { fittedAtEpochMillis, related: Object.hasOwn(related, sku) ? (related[sku] ?? []) : [] };
  }

  /** A shard serves, for the first time or again: what it has not taken yet it is offered anew. */
  shardReady(shard: number): void {
    if (this.#facts !== null && this.#pending.has(shard)) this.#options.offer(shard, this.#facts);
  }

  factsTaken(shard: number, counts: FactCounts): void {
    const { log, shards } = this.#options;
    if (counts.fit !== this.#facts?.fit) return;
    log.info({ shard, ...counts }, 'facts taken');
    this.#pending.delete(shard);
    if (this.#pending.size > 0) return;
    this.#facts = null;
    this.#keepTaken(counts.fit);
    log.info({ fit: counts.fit, shards }, 'everybody has the facts of the fit');
  }

  /** Ends a fit that is under way; the results before it stay. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#abort.abort();
    await this.#fitting;
    await this.#jobs.close();
  }

  #look(): void {
    if (this.#isReading) return;
    const seen = stampOf(this.#path);
    const declared = [...this.#options.declaredFacts()].sort().join(' ');
    if (seen !== this.#seen || declared !== this.#declared) {
      this.#isReading = true;
      void this.#read(seen, declared).finally(() => {
        this.#isReading = false;
      });
    } else if (this.#isDue(declared)) this.#fit();
  }

  #isDue(declared: string): boolean {
    const { everyHours, isServing } = this.#options;
    // Nobody reads facts that no catalog declares.
    if (everyHours === 0 || declared === '' || this.#fitting !== null || !isServing()) return false;
    const last = Math.max(this.#info?.fittedAtEpochMillis ?? this.#startedAt, this.#attemptedAt);
    return epochMillis() - last >= everyHours * HOUR_MILLIS;
  }

  #fit(): void {
    const { data, log } = this.#options;
    this.#attemptedAt = epochMillis();
    this.#fitting = runFit({ jobs: this.#jobs, data, signal: this.#abort.signal })
      .then(({ collected, reports }) => {
        this.#isLastGood = true;
        const models = Object.fromEntries(Object.entries(reports).map(([model, { note }]) => [model, note]));
        log.info({ people: collected.people, events: collected.events, ...models }, 'fitted');
      })
      .catch((error: unknown) => {
        if (this.#abort.signal.aborted) return;
        if (error instanceof FitRunningError) {
          log.info('a fit was due, and another process is fitting');
          return;
        }
        this.#isLastGood = false;
        log.error({ reason: reasonOf(error) }, 'the fit failed; facts stay as they are');
      })
      .finally(() => {
        this.#fitting = null;
      });
  }

  async #read(seen: string, declared: string): Promise<void> {
    const { log, shards, offer } = this.#options;
    this.#seen = seen;
    this.#declared = declared;
    if (seen === '') return;
    let results: FitResults | string | null;
    try {
      results = await this.#jobs.run('readFacts', { path: this.#path });
    } catch (error) {
      results = `The results of the last fit cannot be read: ${reasonOf(error)}`;
    }
    if (this.#abort.signal.aborted || results === null) return;
    if (typeof results === 'string') {
      this.#isLastGood = false;
      log.error(`${results} Facts stay as they are; \`opportune fit\` makes new ones.`);
      return;
    }
    this.#info = results.info;
    this.#isLastGood = true;
    const isTaken = this.#readTaken() === takenText(results.info.fit, declared);
    if (declared === '' || isTaken) return;
    this.#facts = results.rows;
    this.#pending = new Set(Array.from({ length: shards }, (_, shard) => shard));
    for (const shard of this.#pending) offer(shard, results.rows);
  }

  #readTaken(): string {
    try {
      return readFileSync(this.#takenPath, 'utf8');
    } catch {
      // Absent: they are taken once more, and those that are there already write nothing.
      return '';
    }
  }

  #keepTaken(fit: number): void {
    try {
      writeFileSync(`${this.#takenPath}.writing`, takenText(fit, this.#declared), { mode: 0o600 });
      renameSync(`${this.#takenPath}.writing`, this.#takenPath);
    } catch (error) {
      this.#options.log.warn({ reason: reasonOf(error) }, 'that the facts are taken could not be kept');
    }
  }
}

function takenText(fit: number, declared: string): string {
  return `${fit} ${declared}\n`;
}

/** Tells one version of the file from another; empty where there is none. */
function stampOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? '' : `${found.mtimeMs} ${found.size} ${found.ino}`;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
