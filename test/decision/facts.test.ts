/** Facts: when one has moved so far that a record is to say so, and that every fact has a model. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FACT_NAMES, FACTS, FACTS_OF_MODEL, hasMoved, isFactName } from '../../decision/facts.ts';

const NONE = Number.NaN;
const HOUR = 3_600_000;

describe('facts', () => {
  it('facts: each is of exactly one model', () => {
    expect(Object.values(FACTS_OF_MODEL).flat().sort()).toEqual([...FACT_NAMES].sort());
    for (const name of ['toString', '__proto__', '', 'Segment']) expect(isFactName(name)).toBe(false);
  });

  it.each([
    ['segment', 0, 0, false],
    ['segment', 0, 1, true],
    ['recencyScore', 5, 4, true],
    ['churnProbability', 0.5, 0.504, false],
    ['churnProbability', 0.5, 0.506, true],
    ['churnProbability', 0, 0, false],
    ['expectedPurchases', 0, 0, false],
    ['expectedPurchases', 0, 0.01, true],
    ['lifetimeValueMinor', 100_000, 101_999, false],
    ['lifetimeValueMinor', 100_000, 103_000, true],
    ['nextPurchaseAtEpochMillis', 1e12, 1e12 + 6 * HOUR - 1, false],
    ['nextPurchaseAtEpochMillis', 1e12, 1e12 - 6 * HOUR, true],
    ['lifetimeValueMinor', NONE, NONE, false],
    ['lifetimeValueMinor', NONE, 0, true],
    ['segment', 3, NONE, true],
  ] as const)('facts: %s from %d to %d has moved: %s', (name, before, after, moved) => {
    expect(hasMoved(name, before, after)).toBe(moved);
  });

  it('facts: nothing moves to itself, and it moves as far there as back', () => {
    const number = fc.oneof(fc.constant(NONE), fc.double({ min: 0, max: 1e15, noNaN: true }));
    fc.assert(
      fc.property(fc.constantFrom(...FACT_NAMES), number, number, (name, a, b) => {
        expect(hasMoved(name, a, a)).toBe(false);
        expect(hasMoved(name, a, b)).toBe(hasMoved(name, b, a));
      }),
      { seed: 20_261, numRuns: 500 },
    );
  });

  it('facts: bounds hold a segment in its list and a score in its fifths', () => {
    expect(FACTS.segment).toMatchObject({ type: 'enum', min: 0, max: 7 });
    expect(FACTS.monetaryScore).toMatchObject({ min: 1, max: 5 });
  });
});
