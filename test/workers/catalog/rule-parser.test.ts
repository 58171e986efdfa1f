import { describe, expect, it } from 'vitest';
import type { Rule } from '../../../decision/rule.ts';
import { CounterRegistry } from '../../../workers/catalog/counter-registry.ts';
import { zoneReader } from '../../../workers/catalog/rule-explanation.ts';
import { compileRule } from '../../../workers/catalog/rule-function.ts';
import { RuleParser } from '../../../workers/catalog/rule-parser.ts';
import type { RuleProblem } from '../../../workers/catalog/rule-syntax.ts';
import { readNamesOf } from './cel-oracle.ts';
import { ProfileScope, type ProfileState, traitSpecs } from './profile-scope.ts';

const SPECS = traitSpecs({
  age: { type: 'integer' },
  spend: { type: 'number' },
  city: { type: 'string' },
  home: { type: 'string' },
  loyalty: { type: 'enum', values: ['none', 'silver', 'gold'] },
  member: { type: 'boolean' },
  zone: { type: 'timeZone' },
  income: { type: 'number', isProtected: true },
  phone: { type: 'string', isSensitive: true },
});
const TRAITS = new Map(SPECS.map((spec) => [spec.name, spec]));
const ZONE_TRAIT = SPECS.findIndex((spec) => spec.type === 'timeZone');

const ZONE_OF = zoneReader(ZONE_TRAIT, 'Asia/Shanghai');

function setting(): { readonly parser: RuleParser; readonly counters: CounterRegistry } {
  const counters = new CounterRegistry();
  return { counters, parser: new RuleParser(TRAITS, counters) };
}

function problemsOf(source: string): readonly RuleProblem[] {
  return setting().parser.check(source).problems ?? [];
}

function compiled(source: string, state: ProfileState): { readonly rule: Rule; readonly scope: ProfileScope } {
  const { parser, counters } = setting();
  const check = parser.check(source);
  if (check.expression === null) throw new Error(`${source}: ${JSON.stringify(check.problems)}`);
  return {
    rule: compileRule(source, check.expression, ZONE_OF, readNamesOf(counters)),
    scope: new ProfileScope(SPECS, counters.counters, state),
  };
}

function evaluate(source: string, state: ProfileState = {}): boolean {
  const { rule, scope } = compiled(source, state);
  return rule.evaluate(scope);
}

/** Rule, the text at the offset reported, a part of the reason, the nearest name. */
const REFUSALS: readonly (readonly [string, string, string, string?])[] = [
  ['profile.agee > 1', 'agee', 'not a declared trait', 'age'],
  ['profile["agee"] > 1', '"agee"', 'not a declared trait', 'age'],
  ['profile.constructor == 1', 'constructor', 'not a declared trait'],
  ['profile.__proto__ == 1', '__proto__', 'not a declared trait'],
  ['has(profile.agee)', 'agee', 'not a declared trait', 'age'],
  ['profile.income > 5', 'income', 'protected'],
  ['has(profile.income)', 'income', 'protected'],
  ['profile.phone == "1"', 'phone', 'sensitive'],
  ['profile', 'profile', 'needs a name'],
  ['prfile.age > 1', 'prfile', 'not defined', 'profile'],
  ['process.exit(1)', 'process', 'not defined'],
  ['profile.age.years > 1', 'years', 'has no'],
  ['context.a.b == 1', 'b == 1', 'has no'],
  ['context[1] == 1', '1] ==', 'quoted name'],
  ['now.minute > 3', 'minute', 'not defined'],
  ['now.weekdays > 3', 'weekdays', 'not defined', 'weekday'],
  ['profile.age == "x"', 'profile', 'cannot compare integer "age" with text'],
  ['profile.member == 1', 'profile', 'cannot compare true/false "member" with integer'],
  ['profile.age == null', 'null', 'never null'],
  ['profile.age < null', 'null', 'no order'],
  ['profile.loyalty > "none"', 'profile', 'no order'],
  ['profile.loyalty == "glod"', '"glod"', 'not a value of "loyalty"', 'gold'],
  ['"glod" != profile.loyalty', '"glod"', 'not a value of "loyalty"', 'gold'],
  ['profile.loyalty in ["gold", "sliver"]', '"sliver"', 'not a value of "loyalty"', 'silver'],
  ['profile.age in ["a"]', '"a"', 'cannot compare'],
  ['profile.age in [1, profile.spend]', 'profile.spend', 'only hold literals'],
  ['profile.age in profile.city', 'profile.city', 'needs a list'],
  ['profile.city in "Oslo"', '"Oslo"', 'needs a list'],
  ['[1, 2] == [1, 2]', '[1, 2] ==', 'right of "in"'],
  ['{"a": 1} == {"a": 1}', '{"a": 1} ==', 'maps'],
  ['profile.age', 'profile', 'must be true or false'],
  ['profile.city && true', 'profile', 'needs true or false'],
  ['!profile.age', 'profile', 'needs true or false'],
  ['profile.age ? true : false', 'profile', 'condition'],
  ['(profile.member ? 1 : "a") == 1', 'profile', 'one type'],
  ['profile.city + 1 == "a"', 'profile', 'needs numbers or two texts'],
  ['profile.city * 2 == 4', 'profile', 'needs numbers'],
  ['-profile.city == "a"', '-profile', 'needs a number'],
  ['profile.age / 0 == 1', '0 == 1', 'division by zero'],
  ['profile.age == 9007199254740993', '9007199254740993', '2^53'],
  ['profile.city == b"x"', 'b"x"', 'byte strings'],
  ['profile.city.matches("(a+)+$")', 'matches', 'exponential'],
  ['profile.city.startWith("a")', 'startWith', 'not a function of text', 'startsWith'],
  ['profile.city.startsWith()', 'startsWith', 'one argument'],
  ['profile.age.startsWith("a")', 'profile', 'needs text'],
  ['profile.city.contains(3)', '3)', 'needs text'],
  ['size(profile.age) > 1', 'profile', 'size needs text'],
  ['profile.city.size(1) > 1', 'size(1)', 'no argument'],
  ['[1, 2].exists(x, x > 1)', '[1, 2]', 'right of'],
  ['cuont("a", "7d") > 1', 'cuont', 'not a function', 'count'],
  ['eval("1")', 'eval', 'not a function'],
  ['count("a") > 1', 'count', 'takes 2 arguments'],
  ['count("a", "7x") > 1', '"7x"', 'not a duration'],
  ['count("a", "0d") > 1', '"0d"', 'not a duration'],
  ['count("a", "601w") > 1', '"601w"', 'not a duration'],
  ['count(profile.city, "7d") > 1', 'profile', 'quoted text'],
  ['count("", "7d") > 1', '"", ', 'quoted text'],
  ['count("a", context.w) > 1', 'context', 'quoted text'],
  ['sum("buy", "price", "7d") > sum("buy", "cost", "7d")', '"cost"', 'one number', 'price'],
  ['lastSeen() > 1', 'lastSeen', 'takes 1 arguments'],
  ['has(1)', '1)', 'asks about a trait'],
  ['has(profile.age, 1)', 'has', 'one argument'],
  ['profile.age > 1 &&', '', 'not CEL'],
  ['profile.age > 1 & true', '& true', 'not CEL'],
  ['"unterminated', '"unterminated', 'not CEL'],
  [`${'('.repeat(200)}true${')'.repeat(200)}`, '', 'not CEL'],
  [Array.from({ length: 600 }, (_, index) => `now.hour == ${index}`).join(' || '), '', 'not CEL'],
];

describe('a rule that cannot be', () => {
  it.each(REFUSALS.map(([source, at, reason, nearest]) => ({ source, at, reason, nearest })))(
    'check: refuses and points at the place when the rule is $source',
    ({ source, at, reason, nearest }) => {
      const [problem] = problemsOf(source);
      expect(problem).toBeDefined();
      expect(problem?.reason).toContain(reason);
      expect(problem?.nearest).toBe(nearest);
      expect(source.slice(problem?.offset).startsWith(at)).toBe(true);
    },
  );

  it('check: reports every mistake once when a rule has several', () => {
    const problems = problemsOf('profile.agee > 1 && profile.agee + 1 < cuont("a", "7d") && profile.city == 3');
    expect(problems.map((problem) => problem.reason.split(' ', 1)[0])).toEqual(['"agee"', '"agee"', '"cuont"', '"=="']);
  });

  it('check: stays quiet about a trait when its own declaration is wrong', () => {
    const parser = new RuleParser(new Map([['age', null]]), new CounterRegistry());
    expect(parser.check('profile.age > 1 && profile.age == "x"').problems).toBeNull();
  });
});

/** Rule, profile, and the answer; what cel-js cannot say for us, the differential test does the rest. */
const ANSWERS: readonly (readonly [string, ProfileState, boolean])[] = [
  ['profile.age >= 18', { traits: { age: 18 } }, true],
  ['profile.age >= 18', { traits: { age: 17 } }, false],
  ['profile.age >= 18', {}, false],
  ['!(profile.age >= 18)', {}, false],
  ['profile.age < 0 || true', {}, true],
  ['!(profile.age < 0 && false)', {}, true],
  ['profile.age == 18.0', { traits: { age: 18 } }, true],
  ['profile.age == 18u', { traits: { age: 18 } }, true],
  ['profile.spend in [1, 2.5]', { traits: { spend: 2.5 } }, true],
  ['profile.age / 2 == 3', { traits: { age: 7 } }, true],
  ['profile.age / 2 == -3', { traits: { age: -7 } }, true],
  ['profile.age / 2.0 == 3.5', { traits: { age: 7 } }, true],
  ['1 / profile.age == 0 || true', { traits: { age: 0 } }, true],
  ['1 / profile.age == 0', { traits: { age: 0 } }, false],
  ['!(1 / profile.age == 0)', { traits: { age: 0 } }, false],
  ['profile.spend / 0.5 > 1', { traits: { spend: 1 } }, true],
  // Stated difference from CEL: NaN is an error here, so neither this nor its negation holds.
  ['!(profile.spend / profile.spend > 1)', { traits: { spend: 0 } }, false],
  ['profile.loyalty == "gold"', { traits: { loyalty: 'gold' } }, true],
  ['profile.loyalty != "gold"', {}, false],
  ['profile.loyalty.startsWith("go")', { traits: { loyalty: 'gold' } }, true],
  ['profile.city == profile.home', { traits: { city: 'Oslo', home: 'Oslo' } }, true],
  ['profile.city == context.city', { traits: { city: 'Oslo' }, context: new Map([['city', 'Oslo']]) }, true],
  ['context.city == profile.city', { traits: { city: 'Oslo' }, context: new Map([['city', 5]]) }, false],
  ['!(context.city == profile.city)', { traits: { city: 'Oslo' }, context: new Map([['city', 5]]) }, true],
  ['!(context.city == profile.city)', { traits: { city: 'Oslo' } }, false],
  ['profile.zone == "Asia/Tokyo"', { traits: { zone: 'Asia/Tokyo' } }, true],
  ['profile.city in ["a","b","c","d","e","f","g","h","i","j","k","l","m","Oslo"]', { traits: { city: 'Oslo' } }, true],
  ['!(profile.city in ["a","b","c","d","e","f","g","h","i","j","k","l","m","Oslo"])', {}, false],
  ['context.n in [1,2,3,4,5,6,7,8,9,10,11,12,"x",null]', { context: new Map([['n', null]]) }, true],
  ['profile.age in []', { traits: { age: 1 } }, false],
  ['!(profile.age in [])', { traits: { age: 1 } }, true],
  ['profile.member', { traits: { member: true } }, true],
  ['!profile.member', { traits: { member: false } }, true],
  ['!profile.member', {}, false],
  ['context.flag', { context: new Map([['flag', true]]) }, true],
  ['context.flag', { context: new Map([['flag', 'true']]) }, false],
  ['context.nothing == null', { context: new Map([['nothing', null]]) }, true],
  ['context.nothing == null', {}, false],
  ['has(context.nothing)', { context: new Map([['nothing', null]]) }, true],
  ['has(profile.city)', { traits: { city: '' } }, true],
  ['profile.city == ""', { traits: { city: '' } }, true],
  ['size(profile.city) == 1', { traits: { city: '😀' } }, true],
  ['profile.city == "\\u65e5\\x41\\""', { traits: { city: '日A"' } }, true],
  ['profile.city == r"\\n"', { traits: { city: '\\n' } }, true],
  ['lastSeen("buy") > 86400', {}, true],
  ['count("buy", "7d") == 0 && sum("buy", "price", "7d") == 0.0', {}, true],
  ['now.epochMillis > 0 && now.epochMillis < 0', {}, false],
  ['profile.age < now.epochMillis', { traits: { age: 3 } }, true],
  ['profile.age < now.epochMillis', {}, false],
  ['now.hour == 12 && now.weekday == 0', {}, true],
];

describe('a compiled rule', () => {
  it.each(ANSWERS)('evaluate: answers as documented when the rule is %s for %o', (source, state, expected) => {
    expect(evaluate(source, state)).toBe(expected);
  });

  it('evaluate: treats text as text when it looks like code', () => {
    const hostile = [
      '`");process.exit(1);("',
      `$\{globalThis}`,
      '\\"+s.x+\\"',
      '*/ throw 1 /*',
      '\u2028\u2029',
      '</script>',
      'constructor',
      '__proto__',
      '\\',
    ];
    for (const text of hostile) {
      const literal = JSON.stringify(text);
      expect(evaluate(`profile.city == ${literal}`, { traits: { city: text } })).toBe(true);
      expect(evaluate(`context[${literal}] == ${literal}`, { context: new Map([[text, text]]) })).toBe(true);
      expect(evaluate(`context.x in [${literal}, 1]`, { context: new Map([['x', text]]) })).toBe(true);
      expect(evaluate(`profile.city.contains(${literal})`, { traits: { city: `-${text}-` } })).toBe(true);
      expect(evaluate(`count(${literal}, "7d") == 3`, { events: { [text]: { count: 3 } } })).toBe(true);
    }
  });

  it('evaluate: asks for the key and nothing behind it when a context key is __proto__ or constructor', () => {
    for (const key of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      expect(evaluate(`has(context.${key})`)).toBe(false);
      expect(evaluate(`context.${key} == 7`, { context: new Map([[key, 7]]) })).toBe(true);
    }
  });

  it('check: gives one tree when the same text is checked twice, and keeps only what passed', () => {
    const { parser } = setting();
    const [one, other] = ['profile.age > 1', 'profile.age > 1'].map((source) => parser.check(source).expression);
    expect(one).not.toBeNull();
    expect(other).toBe(one);
    expect(parser.check('profile.agee > 1').expression).toBeNull();
    expect(parser.checked()).toEqual(new Map([['profile.age > 1', one]]));
  });

  it('compile: stays linear in the rule when conditions are nested 40 deep', () => {
    const nested = Array.from({ length: 40 }).reduce<string>(
      (inner) => `(${inner} ? profile.member : !profile.member)`,
      'profile.member',
    );
    const { rule, scope } = compiled(nested.replaceAll('?', '== true ?'), { traits: { member: true } });
    expect(rule.evaluate(scope)).toBe(true);
  });

  it('clauses: are the operands of the top-level "&&" as written when brackets and "||" stand between', () => {
    const source =
      '(profile.age + 1) > 2 && (profile.member || has(profile.city)) && (now.hour > 3 && !(now.hour == 5)) && size(profile.city) < (4)';
    const { rule } = compiled(source, {});
    expect(rule.clauses.map((clause) => clause.source)).toEqual([
      '(profile.age + 1) > 2',
      'profile.member || has(profile.city)',
      'now.hour > 3',
      '!(now.hour == 5)',
      'size(profile.city) < (4)',
    ]);
    expect(compiled('profile.member || true', {}).rule.clauses.map((clause) => clause.source)).toEqual([
      'profile.member || true',
    ]);
  });
});

const NOON = Date.UTC(2026, 0, 5, 4); // Monday, 12:00 in Shanghai
const AT_NOON = { nowEpochMillis: NOON, hour: 12, weekday: 0 };
const HOUR = 3_600_000;

/** Rule with one clause, profile, and what it explains: value, threshold, eligible again (after NOON). */
const FINDINGS: readonly (readonly [string, ProfileState, unknown, unknown, number | null])[] = [
  ['profile.age >= 18', { traits: { age: 12 } }, 12, 18, null],
  ['18 <= profile.age', { traits: { age: 12 } }, 12, 18, null],
  ['profile.age >= 18', {}, null, 18, null],
  ['profile.loyalty != "none"', { traits: { loyalty: 'none' } }, 'none', 'none', null],
  ['profile.city == "Oslo"', { traits: { city: 'Rome' } }, 'Rome', 'Oslo', null],
  ['profile.city in ["Oslo", "Rome"]', { traits: { city: 'Bern' } }, 'Bern', '["Oslo", "Rome"]', null],
  ['!(profile.age < 18)', { traits: { age: 12 } }, 12, 18, null],
  ['context.page == "home"', { context: new Map([['page', 'cart']]) }, 'cart', 'home', null],
  ['profile.member', { traits: { member: false } }, false, true, null],
  ['has(profile.city)', {}, false, true, null],
  ['profile.age > profile.spend', { traits: { age: 1, spend: 2 } }, false, true, null],
  ['count("buy", "7d") > 2', { events: { buy: { count: 2, oldestLeavesAtEpochMillis: NOON + 5 } } }, 2, 2, null],
  ['count("buy", "7d") < 3', { events: { buy: { count: 3, oldestLeavesAtEpochMillis: NOON + 5 } } }, 3, 3, 5],
  ['count("buy", "7d") <= 2', { events: { buy: { count: 3, oldestLeavesAtEpochMillis: NOON + 5 } } }, 3, 2, 5],
  ['count("buy", "7d") == 0', { events: { buy: { count: 1, oldestLeavesAtEpochMillis: NOON + 5 } } }, 1, 0, 5],
  ['count("buy", "7d") == 2', { events: { buy: { count: 1, oldestLeavesAtEpochMillis: NOON + 5 } } }, 1, 2, null],
  ['!(count("buy", "7d") >= 3)', { events: { buy: { count: 3, oldestLeavesAtEpochMillis: NOON + 5 } } }, 3, 3, 5],
  [
    'sum("buy", "price", "7d") < 10',
    { events: { buy: { sum: 12.5, oldestLeavesAtEpochMillis: NOON + 7 } } },
    12.5,
    10,
    7,
  ],
  ['lastSeen("buy") >= 60', { events: { buy: { lastSeenSeconds: 50 } } }, 50, 60, 10_000],
  ['lastSeen("buy") > 60', { events: { buy: { lastSeenSeconds: 50 } } }, 50, 60, 10_001],
  ['60 < lastSeen("buy")', { events: { buy: { lastSeenSeconds: 60 } } }, 60, 60, 1],
  ['lastSeen("buy") < 60', { events: { buy: { lastSeenSeconds: 70 } } }, 70, 60, null],
  ['now.hour >= 20', {}, 12, 20, 8 * HOUR],
  ['now.hour < 9', {}, 12, 9, 12 * HOUR],
  ['now.hour == 12', { hour: 11, nowEpochMillis: NOON - 1 }, 11, 12, 0],
  ['now.hour in [10, 11]', {}, 12, '[10, 11]', 22 * HOUR],
  ['now.hour < 6 || now.hour > 22', {}, false, true, 11 * HOUR],
  ['now.hour == 24', {}, 12, 24, null],
  ['now.weekday >= 5', {}, 0, 5, 4 * 24 * HOUR + 12 * HOUR],
  // Kolkata: 09:30 there, so the next full hour comes in 30 minutes.
  ['now.hour == 10', { traits: { zone: 'Asia/Kolkata' }, hour: 9 }, 9, 10, HOUR / 2],
  ['now.hour == 13', { traits: { zone: 'Mars/Olympus' } }, 12, 13, HOUR],
  // Berlin, 1 AM on the night clocks go forward: 3 o'clock comes an hour later, 2 o'clock not at all that night.
  [
    'now.hour == 3',
    { traits: { zone: 'Europe/Berlin' }, hour: 1, nowEpochMillis: Date.UTC(2026, 2, 29, 0) },
    1,
    3,
    Date.UTC(2026, 2, 29, 1) - NOON,
  ],
  [
    'now.hour == 2',
    { traits: { zone: 'Europe/Berlin' }, hour: 1, nowEpochMillis: Date.UTC(2026, 2, 29, 0) },
    1,
    2,
    Date.UTC(2026, 2, 30, 0) - NOON,
  ],
];

describe('an explained clause', () => {
  it.each(FINDINGS)(
    'explain: tells value, bound and instant when %s is false for %o',
    (source, state, value, threshold, after) => {
      const { rule, scope } = compiled(source, { ...AT_NOON, ...state });
      const [clause] = rule.clauses;
      expect(clause?.evaluate(scope)).toBe(false);
      expect(clause?.explain(scope)).toEqual({
        value,
        threshold,
        eligibleAgainAtEpochMillis: after === null ? null : NOON + after,
      });
    },
  );

  it('explain: names no instant when the clause holds', () => {
    const { rule, scope } = compiled('now.hour >= 9', AT_NOON);
    expect(rule.clauses[0]?.explain(scope)).toEqual({ value: 12, threshold: 9, eligibleAgainAtEpochMillis: null });
  });
});
