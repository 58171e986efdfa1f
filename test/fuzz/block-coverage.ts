/**
 * Which blocks of the sources have run, told by V8 itself (block counts of the inspector, in this process):
 * the measure by which an input is worth keeping. Counting slows the code down several times, so the engine
 * counts while it learns and not in bulk. A block is a stretch of code with one count, kept here as its characters.
 */
import { Session } from 'node:inspector';

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

interface ScriptCoverage {
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly Range[] }[];
}

/** One script's characters: 1 where a block has run. */
interface Painted {
  readonly covered: Uint8Array;
  /** Characters inside any function or block that V8 has told of. */
  readonly known: Uint8Array;
}

export class BlockCoverage {
  readonly #session = new Session();
  readonly #isCounted: (url: string) => boolean;
  readonly #scripts = new Map<string, Painted>();
  /** Characters new at the last `take`, as script and offset. */
  readonly #fresh = new Set<string>();

  /** @param covers beginnings of paths below the repository's root or its `dist/`. */
  constructor(covers: readonly string[]) {
    this.#isCounted = (url) => !url.includes('/node_modules/') && covers.some((path) => url.includes(`/${path}`));
    this.#session.connect();
    this.#ask('Profiler.enable');
    this.#ask('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    this.take();
  }

  /** Whether blocks have run since the last call that never had before. */
  take(): boolean {
    this.#fresh.clear();
    for (const { url, now, painted } of this.#counts()) {
      for (let at = 0; at < now.length; at++) {
        if (now[at] === 0 || painted.covered[at] === 1) continue;
        painted.covered[at] = 1;
        this.#fresh.add(`${url}:${at}`);
      }
    }
    return this.#fresh.size > 0;
  }

  /** Whether one of the blocks that were new at the last `take` has run since this or that was called; it is new no more. */
  takeFresh(): boolean {
    let hasRun = false;
    for (const { url, now } of this.#counts()) {
      for (let at = 0; at < now.length; at++) {
        if (now[at] === 1 && this.#fresh.delete(`${url}:${at}`)) hasRun = true;
      }
    }
    return hasRun;
  }

  get hasFresh(): boolean {
    return this.#fresh.size > 0;
  }

  #counts(): { url: string; now: Uint8Array; painted: Painted }[] {
    const { result } = this.#ask('Profiler.takePreciseCoverage') as { result: ScriptCoverage[] }; // of the protocol
    return result.filter(({ url }) => this.#isCounted(url)).map((script) => this.#paint(script));
  }

  /** Share of the known characters that have run, 0 to 1. */
  share(): number {
    let covered = 0;
    let known = 0;
    for (const script of this.#scripts.values()) {
      for (let at = 0; at < script.known.length; at++) {
        known += script.known[at] as number; // below length
        covered += script.covered[at] as number; // as long as known
      }
    }
    return known === 0 ? 0 : covered / known;
  }

  stop(): void {
    this.#ask('Profiler.stopPreciseCoverage');
    this.#session.disconnect();
  }

  #paint({ url, functions }: ScriptCoverage): { url: string; now: Uint8Array; painted: Painted } {
    let length = 0;
    for (const { ranges } of functions) length = Math.max(length, ranges[0]?.endOffset ?? 0);
    // Outer ranges come first, so that inner ones paint over them.
    const now = new Uint8Array(length);
    const known = new Uint8Array(length);
    for (const { ranges } of functions) {
      for (const { startOffset, endOffset, count } of ranges) {
        now.fill(count > 0 ? 1 : 0, startOffset, endOffset);
        known.fill(1, startOffset, endOffset);
      }
    }
    const painted = this.#grown(url, length);
    for (let at = 0; at < length; at++) {
      painted.known[at] = (painted.known[at] as number) | (known[at] as number); // below length
    }
    return { url, now, painted };
  }

  #grown(url: string, length: number): Painted {
    const old = this.#scripts.get(url);
    if (old !== undefined && old.known.length >= length) return old;
    const grown: Painted = { covered: new Uint8Array(length), known: new Uint8Array(length) };
    if (old !== undefined) {
      grown.covered.set(old.covered);
      grown.known.set(old.known);
    }
    this.#scripts.set(url, grown);
    return grown;
  }

  /** The inspector of the own thread answers before `post` returns. */
  #ask(method: string, parameters: object = {}): unknown {
    let answer: unknown;
    let failure: Error | null = null;
    this.#session.post(method, parameters, (error, result) => {
      failure = error;
      answer = result;
    });
    if (failure !== null) throw failure;
    return answer;
  }
}
