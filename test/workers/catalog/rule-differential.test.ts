import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CounterRegistry } from '../../../workers/catalog/counter-registry.ts';
import { compileRule } from '../../../workers/catalog/rule-function.ts';
import { RuleParser } from '../../../workers/catalog/rule-parser.ts';
import { anyRule, anyState, SPECS } from './any-rule.ts';
import { CelOracle, NAMES, readNamesOf, type Verdict } from './cel-oracle.ts';
import { ProfileScope, type ProfileState } from './profile-scope.ts';

describe('compiled rules', () => {
  const oracle = new CelOracle(SPECS);
  const traits = new Map(SPECS.map((spec) => [spec.name, spec]));

  function verdictOf(source: string, state: ProfileState): Verdict {
    const counters = new CounterRegistry();
    const parser = new RuleParser(traits, counters, NAMES);
    const evaluate = (text: string): boolean => {
      const check = parser.check(text);
      if (check.expression === null) throw new Error(`${text} is refused: ${JSON.stringify(check.problems)}`);
      const scope = new ProfileScope(SPECS, counters.counters, state, counters.valueReadings);
      const rule = compileRule(text, check.expression, () => 'UTC', readNamesOf(counters));
      const answer = rule.evaluate(scope);
      expect(rule.clauses.every((clause) => clause.evaluate(scope))).toBe(answer);
      for (const clause of rule.clauses) clause.explain(scope);
      return answer;
    };
    // A rule answers yes or no; its negation tells an error (both no) from false.
    if (evaluate(source)) return true;
    return evaluate(`!(${source})`) ? false : 'error';
  }

  it('compiled rules: agree with cel-js on truth, falsity and error for any rule and profile', () => {
    const seen = { true: 0, false: 0, error: 0 };
    fc.assert(
      fc.property(
        anyRule as fc.Arbitrary<string>,
        fc.array(anyState, { minLength: 1, maxLength: 4 }),
        (source, states) => {
          for (const state of states) {
            const expected = oracle.evaluate(source, state);
            seen[`${expected}`] += 1;
            expect({ source, verdict: verdictOf(source, state) }).toEqual({ source, verdict: expected });
          }
        },
      ),
      { numRuns: 600 },
    );
    // The comparison means something only if all three come up often.
    expect(Math.min(seen.true, seen.false, seen.error)).toBeGreaterThan(100);
  }, 60_000);
});
