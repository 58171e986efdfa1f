/** The index against the plain way: each action's rule asked in full. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Action } from '../../decision/catalog.ts';
import { countBits, EligibilityIndex, setBit } from '../../decision/eligibility-index.ts';
import { CounterRegistry } from '../../workers/catalog/counter-registry.ts';
import { compileRule } from '../../workers/catalog/rule-function.ts';
import { RuleParser } from '../../workers/catalog/rule-parser.ts';
import { anyRule, anyState, SPECS } from '../workers/catalog/any-rule.ts';
import { NAMES, readNamesOf } from '../workers/catalog/cel-oracle.ts';
import { ProfileScope } from '../workers/catalog/profile-scope.ts';

const TRAITS = new Map(SPECS.map((spec) => [spec.name, spec]));

/** Comparisons with constants, the index's own kind, often of the same few subjects. */
const number = fc.oneof(fc.integer({ min: -2, max: 4 }).map(String), fc.constantFrom('1.5', '0.25'));
const comparison = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('profile.spend', 'profile.age', 'count("buy", "7d")', 'lastSeen("buy")', 'now.hour'),
      fc.constantFrom('<', '<=', '>', '>='),
      number,
    )
    .map(([subject, operator, bound]) => `${subject} ${operator} ${bound}`),
  fc.tuple(number, fc.constantFrom('<', '<=', '>', '>='), fc.constant('profile.spend')).map((parts) => parts.join(' ')),
  fc
    .tuple(fc.constantFrom('profile.age', 'now.weekday'), fc.integer({ min: -1, max: 4 }))
    .map((parts) => parts.join(' == ')),
  fc.constantFrom('none', 'silver', 'gold').map((value) => `profile.loyalty == "${value}"`),
  fc.constantFrom('Oslo', 'a', '', '日本').map((value) => `"${value}" == profile.city`),
  fc.constantFrom('["Oslo", "a"]', '[]', '["gold"]').map((list) => `profile.city in ${list}`),
  fc.constantFrom('"a"', '"Oslo"', '1', 'null').map((value) => `context.x == ${value}`),
  fc.constantFrom('["a", "Oslo"]', '["a", 1]').map((list) => `context.x in ${list}`),
  fc.constantFrom('profile.age in [1, 2, 3]', 'profile.age in [-1]', 'profile.loyalty in ["silver", "gold"]'),
);
const rule = fc
  .array(fc.oneof({ weight: 4, arbitrary: comparison }, { weight: 1, arbitrary: anyRule as fc.Arbitrary<string> }), {
    minLength: 1,
    maxLength: 3,
  })
  .map((clauses) => clauses.map((clause) => `(${clause})`).join(' && '));

function actionsOf(sources: readonly (string | null)[]): { actions: Action[]; counters: CounterRegistry } {
  const counters = new CounterRegistry();
  const parser = new RuleParser(TRAITS, counters, NAMES);
  const actions = sources.map((source, index) => {
    const checked = source === null ? null : parser.check(source).expression;
    const eligibility =
      source === null || checked === null ? null : compileRule(source, checked, () => 'UTC', readNamesOf(counters));
    return { index, eligibility } as Action; // all that the index reads
  });
  return { actions, counters };
}

describe('eligibility index', () => {
  it('narrow: leaves exactly the actions whose rules hold, of those that were in question', () => {
    let [held, struck] = [0, 0];
    fc.assert(
      fc.property(
        fc.array(fc.option(rule, { freq: 8 }), { minLength: 1, maxLength: 70 }),
        fc.array(anyState, { minLength: 1, maxLength: 4 }),
        fc.nat(),
        (sources, states, skip) => {
          const { actions, counters } = actionsOf(sources);
          const index = new EligibilityIndex(actions);
          for (const state of states) {
            const scope = new ProfileScope(SPECS, counters.counters, state, counters.valueReadings);
            const alive = new Uint32Array(index.words);
            const expected = new Uint32Array(index.words);
            for (const action of actions) {
              if ((action.index * 7 + skip) % 5 === 0) continue; // not in question
              setBit(alive, action.index);
              if (action.eligibility === null || action.eligibility.evaluate(scope)) setBit(expected, action.index);
            }
            const before = countBits(alive);
            index.narrow(scope, alive);
            expect({ sources, alive }).toEqual({ sources, alive: expected });
            held += countBits(alive);
            struck += before - countBits(alive);
          }
        },
      ),
      { numRuns: 150 },
    );
    // Both must come up, or the comparison means nothing.
    expect(Math.min(held, struck)).toBeGreaterThan(150);
  }, 60_000);

  it('narrow: reads a subject once and skips clauses that nobody in question needs', () => {
    const { actions } = actionsOf(['profile.age > 1', 'profile.age > 2', 'profile.age == 1 && !profile.member']);
    const index = new EligibilityIndex(actions);
    const asked: string[] = [];
    const scope = new Proxy({} as ProfileScope, {
      get: (_, name) => (trait: number) => {
        asked.push(`${String(name)} ${SPECS[trait]?.name}`);
        return 2;
      },
    });
    const alive = Uint32Array.of(0b111);
    index.narrow(scope, alive);
    expect([...alive]).toEqual([0b001]);
    expect(asked).toEqual(['traitNumber age']);
  });

  it('countBits: counts over all words', () => {
    expect(countBits(Uint32Array.of(0, 0xffffffff, 0x80000001, 0x00010000))).toBe(35);
  });
});
