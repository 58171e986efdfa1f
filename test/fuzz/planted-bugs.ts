/**
 * Subjects with a bug that is known, for the test of the engine: one behind four bytes that only coverage leads to,
 * one that takes two inputs, one that is slow, one that forgets nothing.
 */
import type { FuzzSubject, FuzzTarget } from './fuzz-target.ts';

function planted(name: string, subject: () => FuzzSubject): FuzzTarget {
  return {
    name,
    about: 'a bug put there on purpose',
    share: 1,
    inputBytesMax: 32,
    covers: ['test/fuzz/planted-bugs'],
    dictionary: [],
    seeds: () => [new Uint8Array(12)],
    create: subject,
  };
}

/** The low bits of `byte`, which one value in eight has right. */
function low(byte: number | undefined): number {
  return (byte ?? 0) & 7;
}

/** Each byte that is right opens a block of its own; the signature tells nothing. */
function runDeep(input: Uint8Array): number {
  if (low(input[1]) === 6) {
    if (low(input[4]) === 5) {
      if (low(input[7]) === 2) {
        if (low(input[10]) === 3) throw new Error('four bytes deep');
      }
    }
  }
  return 0;
}

export const DEEP = planted('planted-deep', () => ({ run: runDeep }));

/** Breaks at an even first byte once an odd one was seen: no input alone does it. */
export const STATEFUL = planted('planted-stateful', () => {
  let hasSeen = false;
  return {
    run: (input) => {
      if (hasSeen && input[0] === 0x80) throw new Error('in this order');
      hasSeen ||= input[0] === 0x41;
      return input[0] ?? 0;
    },
  };
});

export const SLOW = planted('planted-slow', () => ({
  run: (input) => {
    if (input[0] === 0xff) for (const start = performance.now(); performance.now() - start < 12; );
    return 0;
  },
}));

/** Never let go, whichever subject it was. */
const kept: Uint8Array[] = [];

export const LEAKING = planted('planted-leak', () => ({
  run: () => {
    kept.push(new Uint8Array(1024).fill(1));
    return 0;
  },
}));

/** Lets the test run end without what the last one kept. */
export function forgetKept(): void {
  kept.length = 0;
}
