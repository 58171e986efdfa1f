/**
 * Sizes of tags and previews of rules for one tenant, asked for while the node serves: each a pass over everybody by a
 * thread of the job pool, never by a shard. A pass is named by a number, so that who waits for a long one can come again.
 *
 *   sizes ─▸ the pass that waits, if one does ─┐
 *   preview ───────────────────────────────────┴─▸ queue (bounded) ─▸ job ─▸ kept until PASSES_KEPT later ones
 *
 * Who asks for sizes while a pass runs shares the next one with all who do: it begins after they asked, so it holds
 * whatever was acknowledged to them. Called by `http/segments-routes.ts`.
 */
import type { CatalogSource } from '../workers/catalog/catalog-source.ts';
import type { JobPool } from '../workers/jobs/job-pool.ts';
import type { SegmentCounts } from '../workers/segments/count-segments.ts';

/** Passes that run or wait; the next is refused. */
const PASSES_MAX = 8;
/** Settled passes whose answers are kept. */
const PASSES_KEPT = 32;

export interface SegmentSizesOptions {
  /** The store's folder of the tenant. */
  readonly storePath: string;
  readonly jobs: Pick<JobPool, 'run'>;
  /** The catalog in force. */
  catalog(): CatalogSource | null;
  /** Whether every shard serves: a job must not be the first to open the store. */
  isServing(): boolean;
}

export interface Pass {
  readonly id: number;
  /** Settles with the pass; rejects with a JobError. */
  readonly counts: Promise<SegmentCounts>;
  readonly isDone: boolean;
  /** Records looked at, of how many; 0 of 0 while it waits. */
  readonly read: number;
  readonly total: number;
}

class RunningPass implements Pass {
  readonly id: number;
  readonly counts: Promise<SegmentCounts>;
  readonly progress = new SharedArrayBuffer(8);
  readonly #told = new Uint32Array(this.progress);
  isDone = false;

  constructor(id: number, count: (progress: SharedArrayBuffer) => Promise<SegmentCounts>) {
    this.id = id;
    this.counts = count(this.progress).finally(() => {
      this.isDone = true;
    });
    // Whoever comes again is told; nobody may.
    this.counts.catch(() => {});
  }

  get read(): number {
    return this.#told[0] ?? 0;
  }
  get total(): number {
    return this.#told[1] ?? 0;
  }
}

export class SegmentSizes {
  readonly #options: SegmentSizesOptions;
  readonly #abort = new AbortController();
  /** By number, in their order. */
  readonly #passes = new Map<number, RunningPass>();
  #nextId = 1;
  #sizing: RunningPass | null = null;
  /** Begins when the one that runs is done. */
  #nextSizing: RunningPass | null = null;

  constructor(options: SegmentSizesOptions) {
    this.#options = options;
  }

  /** Who holds each tag; null where too many passes wait, or not every worker serves. */
  sizes(): Pass | null {
    if (this.#nextSizing !== null) return this.#nextSizing;
    const before = this.#sizing;
    if (before === null || before.isDone) {
      this.#sizing = this.#begin((progress) => this.#count(null, null, progress));
      return this.#sizing;
    }
    const next = this.#begin(async (progress) => {
      await before.counts.catch(() => {});
      this.#sizing = this.#nextSizing;
      this.#nextSizing = null;
      return this.#count(null, null, progress);
    });
    this.#nextSizing = next;
    return next;
  }

  /** @param sample people to look at, about; null: everybody */
  preview(rule: string, sample: number | null): Pass | null {
    return this.#begin((progress) => this.#count(rule, sample, progress));
  }

  /** One of the last passes, or undefined. */
  pass(id: number): Pass | undefined {
    return this.#passes.get(id);
  }

  /** Ends what runs. */
  close(): void {
    this.#abort.abort();
  }

  #begin(count: (progress: SharedArrayBuffer) => Promise<SegmentCounts>): RunningPass | null {
    const running = [...this.#passes.values()].filter(({ isDone }) => !isDone).length;
    if (running >= PASSES_MAX || !this.#options.isServing()) return null;
    const pass = new RunningPass(this.#nextId++, count);
    this.#passes.set(pass.id, pass);
    for (const { id, isDone } of this.#passes.values()) {
      if (this.#passes.size <= PASSES_KEPT) break;
      if (isDone) this.#passes.delete(id);
    }
    return pass;
  }

  async #count(rule: string | null, sample: number | null, progress: SharedArrayBuffer): Promise<SegmentCounts> {
    const { storePath, jobs } = this.#options;
    const catalog = this.#options.catalog();
    if (catalog === null) throw new RangeError('people are counted under a catalog, and there is none');
    const { signal } = this.#abort;
    return jobs.run('sizeSegments', { storePath, catalog, rule, sample, progress }, { signal });
  }
}
