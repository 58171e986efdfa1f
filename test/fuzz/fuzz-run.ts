/**
 * Runs one target: learns with coverage first, then mutates in bulk, keeps what is new, and reports what broke.
 * The seed decides every input; only the times in the report differ from run to run.
 *
 *   seeds ─▸ learning: coverage and signatures, in small batches ─▸ bulk: signatures only ─▸ TargetReport
 *
 * An input is a crash when the subject throws, and a hang when it takes over 10 ms in each of several tries: one
 * slow try on a busy machine says nothing. Memory is what is left after a full collection, compared between a
 * quarter of the run and its end.
 */
import { resolve } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { BlockCoverage } from './block-coverage.ts';
import { ByteMutator } from './byte-mutator.ts';
import { Chance } from './chance.ts';
import type { FuzzSubject, FuzzTarget } from './fuzz-target.ts';
import { shrinkCrash } from './shrink-crash.ts';

const HANG_MILLIS = 10;
const HANG_TRIES = 30;
const SLOW_TRIES = 5;
const CORPUS_MAX = 4096;
/** Half of the inputs come from those kept last, which lead somewhere new more often. */
const RECENT = 16;
const SIGNATURES_MAX = 65_536;
/** Distinct crashes after which a target is left alone. */
const CRASHES_MAX = 5;
/** Inputs kept to tell what came before a crash. */
const HISTORY = 64;
const SETTLE_EVERY = 256;
const LEARN_BATCH_MAX = 64;
/** Inputs that go over sockets at a time. */
const SOCKET_BATCH = 32;

export interface FuzzOptions {
  readonly seed: number;
  readonly inputs: number;
  /** Most inputs that coverage is counted for, and the share of the run that may go there. */
  readonly learnInputsMax: number;
  /** Ends a target early; for the short mode. */
  readonly secondsMax: number;
  /** Growth of kept memory that counts as a leak. */
  readonly memoryGrowthBytesMax: number;
  /** Told before inputs go to native code, which may take this process along. */
  readonly beforeSockets?: (inputs: readonly Uint8Array[]) => void;
}

export interface Crash {
  readonly message: string;
  /** Made small; more than one where it takes what came before. */
  readonly inputs: readonly Uint8Array[];
}

export interface TargetReport {
  readonly target: string;
  readonly inputs: number;
  readonly seconds: number;
  readonly corpus: number;
  readonly signatures: number;
  /** Share of the code seen of the covered sources that ran while learning; 0 when nothing was counted. */
  readonly coverage: number;
  readonly crashes: readonly Crash[];
  readonly hangs: readonly { readonly millis: number; readonly input: Uint8Array }[];
  readonly slowestMillis: number;
  /** Null when the run was too short to tell. */
  readonly memoryGrowthBytes: number | null;
  readonly isLeaking: boolean;
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void; // there since the flag is set

/**
 * Heap and buffers after collections with turns of the event loop between, for what is held until a callback has
 * run. Not `external`, in which Node 20 counts shared memory that is long gone.
 */
async function keptBytes(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 4; round++) {
    collectGarbage();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    least = Math.min(least, heapUsed + arrayBuffers);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return least;
}

/** What learning found: inputs worth keeping, how much of the code they go through, what broke on the way. */
export interface Learnt {
  readonly inputs: number;
  readonly corpus: readonly Uint8Array[];
  readonly coverage: number;
  readonly crashes: readonly Crash[];
}

/** The whole run: learns in a thread of its own, where the blocks of every function can be counted, then in bulk. */
export async function fuzzTarget(target: FuzzTarget, options: FuzzOptions): Promise<TargetReport> {
  const inputs = Math.min(options.learnInputsMax, Math.floor(options.inputs / 5));
  const learnt = inputs > 0 && target.covers.length > 0 ? await learnApart(target.name, options.seed, inputs) : null;
  return new TargetRun(target, options).run(learnt);
}

/** Learns in this thread, whose functions must not have run before: V8 counts blocks only of what it compiles anew. */
export async function learnTarget(target: FuzzTarget, options: FuzzOptions): Promise<Learnt> {
  return new TargetRun(target, options).learn();
}

/** The compiled thread is used from the tests as well, which are not compiled themselves. */
const LEARN_THREAD = resolve('dist/test/fuzz/learn-thread.js');

function learnApart(targetName: string, seed: number, inputs: number): Promise<Learnt> {
  const worker = new Worker(LEARN_THREAD, { workerData: { targetName, seed, inputs } satisfies LearnOrder });
  return new Promise((done, fail) => {
    worker.once('message', (learnt: Learnt) => done(learnt));
    worker.once('error', fail);
    worker.once('exit', (code) => fail(new Error(`the learning thread of ${targetName} ended with ${code}`)));
  });
}

export interface LearnOrder {
  readonly targetName: string;
  readonly seed: number;
  readonly inputs: number;
}

/** Crashes with the same first line, whatever numbers are in it, count as one. */
function nameOf(message: string): string {
  return (message.split('\n', 1)[0] ?? '').replace(/\d+/g, '0');
}

class TargetRun {
  readonly #target: FuzzTarget;
  readonly #options: FuzzOptions;
  readonly #chance: Chance;
  readonly #mutator: ByteMutator;
  readonly #corpus: Uint8Array[] = [];
  readonly #signatures = new Set<number>();
  readonly #crashes = new Map<string, Crash>();
  readonly #hangs: { millis: number; input: Uint8Array }[] = [];
  /** The inputs run last, as a ring. */
  readonly #history: Uint8Array[] = [];
  #subject: FuzzSubject | undefined;
  #inputs = 0;
  #slowestMillis = 0;

  constructor(target: FuzzTarget, options: FuzzOptions) {
    this.#target = target;
    this.#options = options;
    this.#chance = new Chance(options.seed, target.name);
    this.#mutator = new ByteMutator(this.#chance, target.dictionary, target.inputBytesMax);
  }

  async learn(): Promise<Learnt> {
    const { inputs, secondsMax } = this.#options;
    const start = performance.now();
    const coverage = new BlockCoverage(this.#target.covers);
    try {
      this.#subject = await this.#target.create();
      await this.#learn(this.#seeds(), inputs, coverage, () => performance.now() - start < secondsMax * 1000);
      await this.#subject.close?.();
      const crashes = [...this.#crashes.values()];
      return { inputs: this.#inputs, corpus: this.#corpus, coverage: coverage.share(), crashes };
    } finally {
      coverage.stop();
    }
  }

  #seeds(): Uint8Array[] {
    return this.#target.seeds(this.#options.seed).map((input) => input.subarray(0, this.#target.inputBytesMax));
  }

  /** @param learnt what to begin with; null: the target's seeds alone. */
  async run(learnt: Learnt | null): Promise<TargetReport> {
    const { inputs, secondsMax, memoryGrowthBytesMax } = this.#options;
    const start = performance.now();
    const isTimeLeft = (): boolean => performance.now() - start < secondsMax * 1000;
    this.#subject = await this.#target.create();
    const seeds = learnt?.corpus ?? this.#seeds();
    this.#corpus.push(...seeds);
    for (const crash of learnt?.crashes ?? []) this.#crashes.set(nameOf(crash.message), crash);
    if (this.#subject.runMany === undefined) for (const input of seeds) await this.#runOne(input);
    else await this.#runSockets(seeds);
    await this.#settle();
    this.#inputs += learnt?.inputs ?? 0;
    let baseline: number | null = null;
    while (this.#inputs < inputs && this.#crashes.size < CRASHES_MAX && isTimeLeft()) {
      if (baseline === null && this.#inputs >= inputs / 4 && inputs >= 20_000) baseline = await this.#keptNow();
      const batch = Math.min(SETTLE_EVERY, inputs - this.#inputs);
      if (this.#subject.runMany !== undefined) {
        await this.#runSockets(Array.from({ length: Math.min(batch, SOCKET_BATCH) }, () => this.#next().slice()));
      } else {
        for (let count = 0; count < batch; count++) {
          const crash = this.#runOne(this.#next());
          if (crash !== undefined) await crash;
        }
        await this.#settle();
      }
    }
    const growth = baseline === null ? null : (await this.#keptNow()) - baseline;
    await this.#subject.close?.();
    return {
      target: this.#target.name,
      inputs: this.#inputs,
      seconds: (performance.now() - start) / 1000,
      corpus: this.#corpus.length,
      signatures: this.#signatures.size,
      coverage: learnt?.coverage ?? 0,
      crashes: [...this.#crashes.values()],
      hangs: this.#hangs,
      slowestMillis: this.#slowestMillis,
      memoryGrowthBytes: growth,
      isLeaking: growth !== null && growth > memoryGrowthBytesMax,
    };
  }

  /** With a subject that has just begun, so that two measurements compare. */
  async #keptNow(): Promise<number> {
    await this.#renew();
    return keptBytes();
  }

  async #renew(): Promise<void> {
    await this.#subject?.close?.();
    this.#subject = undefined;
    this.#subject = await this.#target.create();
    this.#history.length = 0;
  }

  #next(): Uint8Array {
    const corpus = this.#corpus;
    const isRecent = corpus.length > RECENT && this.#chance.below(2) === 0;
    const index = isRecent ? corpus.length - 1 - this.#chance.below(RECENT) : this.#chance.below(corpus.length);
    const parent = corpus[index] ?? new Uint8Array(1);
    return this.#mutator.mutate(parent, this.#chance.pick(corpus) ?? parent);
  }

  /** Batches that grow while they bring nothing new, and shrink where they do. */
  async #learn(
    seeds: readonly Uint8Array[],
    inputs: number,
    coverage: BlockCoverage,
    isTimeLeft: () => boolean,
  ): Promise<void> {
    for (const input of seeds) await this.#runOne(input);
    coverage.take();
    this.#corpus.push(...seeds);
    let size = 16;
    while (this.#inputs < inputs && this.#crashes.size < CRASHES_MAX && isTimeLeft()) {
      const batch = Array.from({ length: size }, () => this.#next().slice());
      for (const input of batch) await this.#runOne(input);
      await this.#settle();
      if (!coverage.take()) {
        size = Math.min(LEARN_BATCH_MAX, size * 2);
        continue;
      }
      await this.#keepCovering(batch, coverage);
      size = Math.max(16, size >> 2);
    }
  }

  /** Runs the batch again, input by input, and keeps the first that goes through each new block. */
  async #keepCovering(batch: readonly Uint8Array[], coverage: BlockCoverage): Promise<void> {
    for (const input of batch) {
      if (!coverage.hasFresh || this.#crashes.size >= CRASHES_MAX) break;
      await this.#runOne(input);
      if (coverage.takeFresh()) this.#keep(input);
    }
    await this.#settle();
  }

  #keep(input: Uint8Array): void {
    const corpus = this.#corpus;
    if (corpus.length < CORPUS_MAX) corpus.push(input.slice());
    else corpus[this.#chance.below(CORPUS_MAX)] = input.slice();
  }

  #note(input: Uint8Array, signature: number): void {
    if (this.#signatures.has(signature) || this.#signatures.size >= SIGNATURES_MAX) return;
    this.#signatures.add(signature);
    this.#keep(input);
  }

  /** Awaits only after a crash, so that most inputs cost no turn of the event loop. */
  #runOne(input: Uint8Array): Promise<void> | undefined {
    const subject = this.#subject as FuzzSubject; // made before the first input
    this.#remember(input);
    this.#inputs++;
    const start = performance.now();
    try {
      this.#note(input, subject.run(input));
    } catch (error) {
      return this.#crashed(error);
    }
    const millis = performance.now() - start;
    if (millis > this.#slowestMillis) this.#slowestMillis = this.#confirmSlow(subject, input, millis);
    return undefined;
  }

  /** The quickest of several tries, unless the slowest before was slower; a hang when even that is too slow. */
  #confirmSlow(subject: FuzzSubject, input: Uint8Array, firstMillis: number): number {
    const before = this.#slowestMillis;
    let quickest = firstMillis;
    for (let tries = 1; quickest > before && tries < (quickest > HANG_MILLIS ? HANG_TRIES : SLOW_TRIES); tries++) {
      const start = performance.now();
      subject.run(input);
      quickest = Math.min(quickest, performance.now() - start);
    }
    if (quickest > HANG_MILLIS) this.#hangs.push({ millis: quickest, input: input.slice() });
    return Math.max(before, quickest);
  }

  async #runSockets(inputs: readonly Uint8Array[]): Promise<void> {
    if (inputs.length === 0) return;
    this.#options.beforeSockets?.(inputs);
    for (const input of inputs) this.#remember(input);
    this.#inputs += inputs.length;
    try {
      const signatures = (await this.#subject?.runMany?.(inputs)) ?? [];
      for (const [index, input] of inputs.entries()) this.#note(input, signatures[index] ?? 0);
    } catch (error) {
      await this.#crashed(error);
    }
  }

  #remember(input: Uint8Array): void {
    this.#history.push(input.slice());
    if (this.#history.length > 2 * HISTORY) this.#history.splice(0, HISTORY);
  }

  async #settle(): Promise<void> {
    try {
      await this.#subject?.settle?.();
    } catch (error) {
      await this.#crashed(error);
    }
  }

  async #crashed(error: unknown): Promise<void> {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const name = nameOf(message);
    const history = this.#history.slice(-HISTORY);
    await this.#renew();
    if (this.#crashes.has(name)) return;
    this.#crashes.set(name, { message, inputs: await shrinkCrash(this.#target, history) });
  }
}
