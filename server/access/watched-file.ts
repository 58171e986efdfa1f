/**
 * A file of the operator's that may change while the node runs: keys, certificates. It is looked at again
 * now and then rather than watched, because secrets that are mounted (Kubernetes, Docker) change by a link
 * being turned, which file watching misses. A reading that fails, or that `parse` refuses, leaves what was
 * in force: a half-written file must not lock everybody out. It is said once, until it is mended.
 */
import { readFileSync, statSync } from 'node:fs';

export type Look<Content> = 'same' | { readonly content: Content } | { readonly problem: unknown };

export class WatchedFile<Content> {
  readonly path: string;
  content: Content;
  readonly #parse: (text: string) => Content;
  #seen: string;

  /** Reads at once. @throws what reading or `parse` throws. */
  constructor(path: string, parse: (text: string) => Content) {
    this.path = path;
    this.#parse = parse;
    this.#seen = stampOf(path);
    this.content = parse(readFileSync(path, 'utf8'));
  }

  /** Reads again if the file is not the one seen last. A problem is told once a change. */
  look(): Look<Content> {
    try {
      const stamp = stampOf(this.path);
      if (stamp === this.#seen) return 'same';
      this.#seen = stamp;
      this.content = this.#parse(readFileSync(this.path, 'utf8'));
      return { content: this.content };
    } catch (problem) {
      const isGone = (problem as NodeJS.ErrnoException).code === 'ENOENT'; // Node's own errors carry a code
      if (isGone && this.#seen === 'gone') return 'same';
      if (isGone) this.#seen = 'gone';
      return { problem };
    }
  }
}

/** What differs whenever the content may: also for a file put in place of another of the same size and second. */
function stampOf(path: string): string {
  const { ino, size, mtimeMs, ctimeMs } = statSync(path);
  return `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
}
