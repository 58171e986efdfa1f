/**
 * Long jobs off every event loop that serves: one lazily started pool of threads, jobs addressed by name
 * with typed input and result. Whoever calls awaits a promise and keeps turning; its threads run at the
 * lowest CPU priority (Linux; see `thread-priority.ts`), so that on a busy machine they give way.
 *
 *   caller ──run(name, input)──▶ queue (bounded) ──▶ pool thread: job-thread.ts ──▶ the job's own file
 *
 * Large buffers travel as SharedArrayBuffer, which is passed and not copied. A job that fails rejects and
 * leaves the pool usable; threads end after some idle seconds, so that a node without jobs has none.
 * Sole importer of piscina, which is loaded with the first job and costs a start nothing.
 */
import { access } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Piscina } from 'piscina';
import type { JobInput, JobName, JobOutcome, JobResult } from './job-table.ts';

const IDLE_MILLIS = 10_000;
/** Waiting jobs; one more is refused rather than kept. */
export const WAITING_JOBS_MAX = 64;
/** A job that needs more is a job that should stream; its thread is ended, not the process. */
const HEAP_MEGABYTES_MAX = 1024;

export interface JobPoolOptions {
  /** Default: one less than the cores, at least 1. */
  readonly threads?: number;
  /** Folder of the compiled `job-thread.js`, ending in a slash. Default: this file's own. */
  readonly folder?: URL;
}

export interface RunJobOptions {
  /** Ends the job: its thread is stopped and replaced, the promise rejects with an AbortError. */
  readonly signal?: AbortSignal;
}

/** A job failed in its thread. Carries the original's name, message and, for the machine's or operator's fault, code. */
export class JobError extends Error {
  /** As of the original error, such as `OPEN_FAILED` or `ENOSPC`; undefined for a bug of ours. */
  readonly code: string | undefined;

  constructor(job: JobName, failure: Extract<JobOutcome<JobName>, { readonly isOk: false }>) {
    super(failure.message, { cause: `job ${job}, in its thread: ${failure.stack}` });
    this.name = failure.name;
    this.code = failure.code;
  }
}

export class JobPool {
  readonly #threads: number;
  readonly #script: string;
  #pool: Promise<Piscina> | undefined;
  readonly #unsettled = new Set<Promise<unknown>>();
  #isClosed = false;

  constructor(options: JobPoolOptions = {}) {
    this.#threads = options.threads ?? Math.max(1, availableParallelism() - 1);
    this.#script = fileURLToPath(new URL('job-thread.js', options.folder ?? new URL('./', import.meta.url)));
  }

  /** Threads at most. */
  get threads(): number {
    return this.#threads;
  }

  /** Whether any thread was ever started. */
  get isStarted(): boolean {
    return this.#pool !== undefined;
  }

  /**
   * Runs a job; resolves with its result. `input` is cloned, but for SharedArrayBuffers, which are shared:
   * the caller must not write to those until the promise settles.
   * Rejects with a JobError when the job failed, with an Error when WAITING_JOBS_MAX jobs wait already or the
   * pool is closed, and with an AbortError after `signal`.
   */
  async run<Name extends JobName>(
    name: Name,
    input: JobInput<Name>,
    options: RunJobOptions = {},
  ): Promise<JobResult<Name>> {
    if (this.#isClosed) throw new Error(`job ${name}: the pool is closed`);
    const running = this.#ask(name, input, options.signal ?? null);
    this.#unsettled.add(running);
    try {
      const outcome = await running;
      if (!outcome.isOk) throw new JobError(name, outcome);
      return outcome.result;
    } finally {
      this.#unsettled.delete(running);
    }
  }

  async #ask<Name extends JobName>(
    name: Name,
    input: JobInput<Name>,
    signal: AbortSignal | null,
  ): Promise<JobOutcome<Name>> {
    this.#pool ??= this.#start().catch((error: unknown) => {
      // Not for ever: what was missing (a file descriptor) may be there for the next job.
      this.#pool = undefined;
      throw error;
    });
    const pool = await this.#pool;
    return (await pool.run(input, { name, signal })) as JobOutcome<Name>; // what job-thread.ts exports by that name
  }

  async #start(): Promise<Piscina> {
    // Threads inherit the priority of the one that starts them. Node starts its pool for file and LMDB work with
    // the first such call: made here, or a job's own first call would leave the shards' commits at its priority.
    await access(this.#script);
    const { Piscina } = await import('piscina');
    return new Piscina({
      filename: this.#script,
      minThreads: 0,
      maxThreads: this.#threads,
      idleTimeout: IDLE_MILLIS,
      maxQueue: WAITING_JOBS_MAX,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MEGABYTES_MAX },
      // An idle thread would else block in Atomics.wait and cost a wake-up a job; jobs are rare and long.
      atomics: 'disabled',
    });
  }

  /**
   * Lets running and waiting jobs finish, then ends the threads. Later `run` calls reject. Safe to call twice.
   * Not piscina's own `close`, which drops a job queued while its thread is still starting.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#unsettled);
    const pool = await this.#pool?.catch(() => undefined);
    await pool?.destroy();
  }
}
