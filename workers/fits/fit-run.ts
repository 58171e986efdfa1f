/**
 * One fit from beginning to end: everything that computes or reads is a job of the pool, and here is only their order.
 * Run by the node when one is due and by `opportune fit`; a lock in the data folder keeps the two apart.
 *
 *   lock ─▸ collectPeople ─▸ fitPurchases, fitSegments, fitChurn, fitRelated ─▸ writeFacts ─▸ results file
 *
 * A model that fails, or has too little to go by, is reported and leaves its facts as they were; the others go on. A
 * fit that is aborted or fails as a whole leaves the results before it. Whoever serves the folder then brings the facts
 * to its people (`server/fit-keeper.ts`).
 */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { epochMillis } from '../clock.ts';
import type { CollectedPeople } from '../jobs/collect-people.ts';
import type { FitChurnResult } from '../jobs/fit-churn.ts';
import type { JobPool } from '../jobs/job-pool.ts';
import type { JobResult } from '../jobs/job-table.ts';
import type { WriteFactsInput, WrittenFacts } from '../jobs/write-facts.ts';
import { DATA_FOLDER_ERROR, DataFolderError } from '../store/data-folder-error.ts';
import { FolderLock } from '../store/folder-lock.ts';
import { FIT_MODELS, type FitModel, fitResultsPath, type ModelReport } from './fit-results-file.ts';

/** Fifths and five segments of fewer people would be chance. */
const BUYERS_MIN = 10;
const CHURN_PEOPLE_MIN = 50;
const CHURN_CLASS_MIN = 10;
/** Below it a model tells leavers from stayers hardly better than a coin. */
const AREA_UNDER_CURVE_MIN = 0.6;
const SEGMENTS = 5;
const HORIZON_DAYS = 90;
/** Twelve months, 1 % interest each. */
const VALUE = { periodTime: 365 / 12, periods: 12, discountRate: 0.01 } as const;
/** Deals people to folds and starts of segments: the same for every fit, so that two of the same data agree. */
const SEED = [0x66697431, 0x66697432] as const;
const PROGRESS_MILLIS = 500;
const CHURN_DAYS_DEFAULT = 30;

export interface FitRunOptions {
  readonly jobs: JobPool;
  /** The data folder. */
  readonly data: string;
  /** Default: all. */
  readonly models?: readonly FitModel[];
  /** Somebody silent for so long has left; default 30. */
  readonly churnDays?: number;
  /** Ends the fit; the promise rejects with an AbortError. */
  readonly signal?: AbortSignal;
  /** Told what begins, and now and then how far reading is. */
  readonly onProgress?: (text: string) => void;
}

export interface FitOutcome {
  /** Null where no model had anything to say: then the results before stay. */
  readonly written: WrittenFacts | null;

  readonly collected: Pick<CollectedPeople, 'people' | 'events' | 'peopleLeftOut' | 'foreignPurchases'>;
  /** Of the models asked for. */
  readonly reports: { readonly [Model in FitModel]?: ModelReport };
}

/** Another process, or this one, fits the same folder already. */
export class FitRunningError extends Error {
  readonly code = 'FIT_RUNNING';

  constructor(pid: number | undefined, cause: unknown) {
    super(`a fit is running already${pid === undefined ? '' : ` in process ${pid}`}; try again when it has ended`, {
      cause,
    });
  }
}

/**
 * @throws FitRunningError; JobError `OPEN_FAILED` where no node has run; an AbortError after `signal`; DataFolderError
 *   for a folder that cannot be written
 */
export async function runFit(options: FitRunOptions): Promise<FitOutcome> {
  const path = fitResultsPath(options.data);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const lock = await lockFit(dirname(path));
  try {
    return await new FitRun(options, path).run();
  } finally {
    await lock.release();
  }
}

async function lockFit(folder: string): Promise<FolderLock> {
  try {
    return await FolderLock.acquire(folder);
  } catch (error) {
    if (error instanceof DataFolderError && error.code === DATA_FOLDER_ERROR.LOCKED)
      throw new FitRunningError(error.holderPid, error);
    throw error;
  }
}

type Fitted = Pick<WriteFactsInput, 'purchases' | 'segments' | 'churn' | 'related'>;

class FitRun {
  readonly #options: FitRunOptions;
  readonly #path: string;
  readonly #startedAt = epochMillis();
  readonly #reports: { [Model in FitModel]?: ModelReport } = {};

  constructor(options: FitRunOptions, path: string) {
    this.#options = options;
    this.#path = path;
  }

  async run(): Promise<FitOutcome> {
    const { models = FIT_MODELS } = this.#options;
    const collected = await this.#collect();
    const wanted = new Set(models);
    const fitted: Fitted = {
      ...(wanted.has('purchases') ? await this.#try('purchases', collected, () => this.#purchases(collected)) : {}),
      ...(wanted.has('segments') ? await this.#try('segments', collected, () => this.#segments(collected)) : {}),
      ...(wanted.has('churn') ? await this.#try('churn', collected, () => this.#churn(collected)) : {}),
      ...(wanted.has('related') ? await this.#try('related', collected, () => this.#related(collected)) : {}),
    };
    const { people, events, peopleLeftOut, foreignPurchases } = collected;
    return {
      written: Object.keys(fitted).length === 0 ? null : await this.#write(collected, fitted),
      collected: { people, events, peopleLeftOut, foreignPurchases },
      reports: this.#reports,
    };
  }

  #write(collected: CollectedPeople, fitted: Fitted): Promise<WrittenFacts> {
    this.#say('writing results');
    const input = {
      path: this.#path,
      fittedAtEpochMillis: this.#startedAt,
      collected,
      reports: this.#reports,
      ...fitted,
    };
    return this.#options.jobs.run('writeFacts', input, this.#abort);
  }

  get #abort(): { signal?: AbortSignal } {
    const { signal } = this.#options;
    return signal === undefined ? {} : { signal };
  }

  #say(text: string): void {
    this.#options.onProgress?.(text);
  }

  async #collect(): Promise<CollectedPeople> {
    const { jobs, data, churnDays = CHURN_DAYS_DEFAULT } = this.#options;
    const progress = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    this.#say('reading the journal');
    const timer = setInterval(() => {
      this.#say(`reading the journal: ${Atomics.load(new Int32Array(progress), 0)} batches`);
    }, PROGRESS_MILLIS);
    try {
      const input = { storePath: join(data, 'store'), nowEpochMillis: this.#startedAt, churnDays, progress };
      return await jobs.run('collectPeople', input, this.#abort);
    } finally {
      clearInterval(timer);
    }
  }

  /** A fit's result under its model's name, or nothing and a report that says why. */
  async #try(model: FitModel, collected: CollectedPeople, work: () => Promise<Fitted | string>): Promise<Fitted> {
    this.#say(`fitting ${model}`);
    try {
      const found = await work();
      if (typeof found !== 'string') return found;
      this.#report(model, false, collected.people, found);
    } catch (error) {
      if (this.#options.signal?.aborted === true) throw error;
      this.#report(model, false, collected.people, `failed: ${error instanceof Error ? error.message : String(error)}`);
    }
    return {};
  }

  #report(model: FitModel, isUsed: boolean, people: number, note: string): void {
    this.#reports[model] = { fittedAtEpochMillis: this.#startedAt, isUsed, people, note };
  }

  async #purchases(collected: CollectedPeople): Promise<Fitted | string> {
    const buyers = buyersOf(collected);
    if (buyers < BUYERS_MIN) return `${buyers} people have bought; it takes ${BUYERS_MIN}`;
    const { histories } = collected;
    const purchases = await this.#options.jobs.run(
      'fitPurchases',
      { ...histories, horizonTime: HORIZON_DAYS, value: VALUE },
      this.#abort,
    );
    const { model, isReliable } = purchases.purchases;
    const settled = isReliable && purchases.spends.isReliable;
    const note = `regularity ${model.regularity}${settled ? '' : '; the data do not settle all parameters yet'}`;
    this.#report('purchases', true, buyers, note);
    return { purchases };
  }

  async #segments(collected: CollectedPeople): Promise<Fitted | string> {
    const buyers = buyersOf(collected);
    if (buyers < BUYERS_MIN) return `${buyers} people have bought; it takes ${BUYERS_MIN}`;
    const method = { kind: 'kMeans', count: SEGMENTS, seed: SEED } as const;
    const segments = await this.#options.jobs.run(
      'fitSegments',
      { values: collected.rfmRows, width: 3, method },
      this.#abort,
    );
    this.#report('segments', true, buyers, `${segments.count} segments`);
    return { segments };
  }

  async #churn(collected: CollectedPeople): Promise<Fitted | string> {
    const { training, labels, width } = collected.churn;
    const leavers = new Uint8Array(labels).reduce((sum, label) => sum + label, 0);
    const people = labels.byteLength;
    const days = this.#options.churnDays ?? CHURN_DAYS_DEFAULT;
    const rare = Math.min(leavers, people - leavers);
    if (people < CHURN_PEOPLE_MIN || rare < CHURN_CLASS_MIN)
      return `${people} people were known ${days} days ago, ${leavers} of them silent since; it takes ${CHURN_PEOPLE_MIN}, ${CHURN_CLASS_MIN} of each`;
    const churn: FitChurnResult = await this.#options.jobs.run(
      'fitChurn',
      { values: training, labels, width, seed: SEED },
      this.#abort,
    );
    const area = churn.crossValidated.areaUnderCurve;
    const note = `cross-validated AUC ${area.toFixed(3)}, log loss ${churn.crossValidated.logLoss.toFixed(3)}`;
    if (!(area >= AREA_UNDER_CURVE_MIN)) return `${note}: below ${AREA_UNDER_CURVE_MIN}, not used`;
    this.#report('churn', true, people, note);
    return { churn };
  }

  async #related(collected: CollectedPeople): Promise<Fitted | string> {
    const { skus, baskets, basketPersons, basketDays, viewed, bought } = collected;
    if (skus.length < 2 || basketDays.byteLength === 0)
      return `${skus.length} products in ${basketDays.byteLength / 8} baskets; it takes 2 products`;
    const input = { products: skus.length, baskets, basketPersons, basketDays, viewed, bought };
    const related: JobResult<'fitRelated'> = await this.#options.jobs.run('fitRelated', input, this.#abort);
    const note = `${related.baskets} baskets and ${related.sessions} sessions of ${skus.length} products`;
    this.#report('related', true, collected.people, note);
    return { related };
  }
}

function buyersOf({ buyerRows }: CollectedPeople): number {
  return buyerRows.byteLength / Uint32Array.BYTES_PER_ELEMENT;
}
