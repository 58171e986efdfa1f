/**
 * What can be fuzzed: a name, inputs to begin with, and a subject that is given one input after another and
 * throws when something is not as it must be. The engine (`fuzz-run.ts`) knows nothing else of a target, and
 * a target knows nothing of mutation, coverage or crash files.
 *
 *   seeds ─▸ corpus ─▸ mutation ─▸ subject.run ─┬─▸ signature: new? kept in the corpus
 *                                               └─▸ throws: a crash, made small and written down
 */

export interface FuzzTarget {
  readonly name: string;
  /** What must hold for every input, in one line. */
  readonly about: string;
  /** Share of a run's inputs, relative to those of the other targets; slow targets have a small one. */
  readonly share: number;
  readonly inputBytesMax: number;
  /** Sources whose blocks are counted as coverage: beginnings of paths in the repository, as `proto/`. */
  readonly covers: readonly string[];
  /** Pieces that mean something to the subject; the mutator puts them in. */
  readonly dictionary: readonly Uint8Array[];
  /** Inputs to begin with, well-formed and odd. @param seed for those that are drawn. */
  seeds(seed: number): readonly Uint8Array[];
  /** A fresh subject; caches and other state of one before must not reach it. */
  create(): FuzzSubject | Promise<FuzzSubject>;
}

export interface FuzzSubject {
  /**
   * Runs one input, which is valid only during the call. Throws when the subject is at fault.
   * @returns a number that stands for what the input made it do: equal for equal behaviour.
   */
  run(input: Uint8Array): number;
  /** In place of `run` where inputs go over sockets: all at a time, a signature each. */
  runMany?(inputs: readonly Uint8Array[]): Promise<readonly number[]>;
  /** Called between inputs from time to time: what is answered later must be answered by its end. */
  settle?(): Promise<void>;
  close?(): Promise<void>;
}

/** Something that must hold did not. */
export class Breach extends Error {
  override readonly name = 'Breach';
}

export function demand(holds: boolean, message: string): void {
  if (!holds) throw new Breach(message);
}

const encoder = new TextEncoder();

/** Texts as dictionary entries or seeds. */
export function bytesOf(texts: readonly string[]): Uint8Array[] {
  return texts.map((text) => encoder.encode(text));
}

/** Folds a number into a hash of 32 bits (FNV-1a over whole integers). */
export function fold(hash: number, value: number): number {
  return Math.imul(hash ^ value, 0x01000193) ^ (hash >>> 15);
}

/** Folds a text's letters, so that messages that differ in numbers only are one. */
export function foldLetters(hash: number, text: string): number {
  let folded = hash;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x30 || code > 0x39) folded = fold(folded, code);
  }
  return folded;
}
