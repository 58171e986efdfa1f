/**
 * Eligibility rules, from CEL text to checked trees. Sole importer of cel-js, which parses and then checks
 * types against the declared environment; our own checker resolves names and gives the better messages.
 * What becomes of a tree is `rule-function.ts`: some ten times faster than the library's evaluator, and
 * free of its `matches`. A differential test holds both to the same answers.
 *
 *     text ─cel-js parse─▶ CelNode ─rule-check─▶ Expression ─cel-js check─▶   ─rule-code─▶ Rule
 */
import { Environment, ParseError } from '@marcbachmann/cel-js';
import type { TraitSpec } from '../../decision/catalog.ts';
import type { CounterRegistry } from './counter-registry.ts';
import { checkRule, type RuleWish, type TraitTable } from './rule-check.ts';
import type { KnownNames, RuleNames } from './rule-readings.ts';
import type { CelNode, Expression, RuleProblem } from './rule-syntax.ts';

/** Bounds of one rule, given to the parser; a rule a person can read is far inside them. */
const RULE_LIMITS = { maxAstNodes: 1_000, maxDepth: 48, maxListElements: 500, maxMapEntries: 1, maxCallArguments: 8 };

/** The tree of a rule that has passed every check and can be compiled, or what is wrong with it. */
export type RuleCheck =
  | { readonly expression: Expression; readonly problems: null }
  | { readonly expression: null; readonly problems: readonly RuleProblem[] };

/** Checks the rules of one catalog; the same text is checked once. */
export class RuleParser {
  readonly #traits: TraitTable;
  readonly #counters: CounterRegistry;
  readonly #names: KnownNames;
  /** As `#names`, for the keys of feeds, which may not read feeds. */
  readonly #keyNames: KnownNames;
  readonly #environment: Environment;
  readonly #checks: Readonly<Record<RuleWish, Map<string, RuleCheck>>> = {
    boolean: new Map(),
    number: new Map(),
    text: new Map(),
  };

  constructor(traits: TraitTable, counters: CounterRegistry, names: Partial<RuleNames> = {}) {
    this.#traits = traits;
    this.#counters = counters;
    const { feeds = new Map() } = names;
    const others = { tags: [], journeys: new Map(), purposes: [], ...names };
    this.#names = { ...others, feeds, keyOf: (feed) => this.#keyOf(feeds.get(feed)?.key) };
    this.#keyNames = { ...others, feeds: new Map(), keyOf: () => null };
    this.#environment = declaredEnvironment(traits);
  }

  /** Parses and checks one rule; all of its problems, with offsets into `source`. Never throws. */
  check(source: string): RuleCheck {
    return this.#checkOnce(source, 'boolean');
  }

  /** The same for an expression that must be a number. */
  checkNumber(source: string): RuleCheck {
    return this.#checkOnce(source, 'number');
  }

  /** The same for the key of a feed: a text that reads no feed. */
  checkKey(source: string): RuleCheck {
    return this.#checkOnce(source, 'text');
  }

  #keyOf(source: string | null | undefined): Expression | null {
    return source === null || source === undefined ? null : this.checkKey(source).expression;
  }

  #checkOnce(source: string, wants: RuleWish): RuleCheck {
    const checks = this.#checks[wants];
    let check = checks.get(source);
    if (check === undefined) {
      check = this.#check(source, wants);
      checks.set(source, check);
    }
    return check;
  }

  /** The rules, numbers and keys that have passed, by their text. */
  checked(): Map<string, Expression> {
    const expressions = new Map<string, Expression>();
    for (const checks of Object.values(this.#checks)) {
      for (const [source, { expression }] of checks) if (expression !== null) expressions.set(source, expression);
    }
    return expressions;
  }

  #check(source: string, wants: RuleWish): RuleCheck {
    let parsed: ReturnType<Environment['parse']>;
    try {
      parsed = this.#environment.parse(source);
    } catch (error) {
      if (error instanceof ParseError)
        return failed([{ offset: error.range?.start ?? 0, reason: `is not CEL: ${error.summary}` }]);
      if (error instanceof RangeError) return failed([{ offset: 0, reason: 'is nested too deeply' }]);
      throw error;
    }
    const names = wants === 'text' ? this.#keyNames : this.#names;
    const root = parsed.ast as CelNode; // the parser's node has these fields
    const { expression, problems } = checkRule(root, this.#traits, this.#counters, names, wants);
    if (problems.length > 0) return failed(problems);
    const verdict = parsed.check();
    if (!verdict.valid) {
      return failed([
        {
          offset: verdict.error?.range?.start ?? 0,
          reason: `is not valid CEL: ${verdict.error?.summary ?? 'type error'}`,
        },
      ]);
    }
    return { expression, problems: null };
  }
}

function failed(problems: readonly RuleProblem[]): RuleCheck {
  return { expression: null, problems };
}

/**
 * What rules may name, declared to cel-js. Traits of type number are `dyn` here, and mixed arithmetic is
 * registered, because our rules mix integers and doubles freely where CEL would ask for a conversion.
 */
function declaredEnvironment(traits: TraitTable): Environment {
  const schema: Record<string, string> = {};
  for (const [name, trait] of traits) schema[name] = trait === null ? 'dyn' : CEL_TYPE[trait.type];
  const environment = new Environment({ homogeneousAggregateLiterals: false, limits: RULE_LIMITS })
    .registerVariable({ name: 'profile', schema })
    .registerVariable('context', 'map')
    .registerVariable({ name: 'now', schema: { hour: 'int', weekday: 'int', epochMillis: 'int' } })
    .registerFunction('count(string, string): int', unevaluated)
    .registerFunction('sum(string, string, string): dyn', unevaluated)
    .registerFunction('lastSeen(string): dyn', unevaluated)
    .registerFunction('countWhere(string, string, string, string): int', unevaluated)
    .registerFunction('distinct(string, string, string): int', unevaluated)
    .registerFunction('streak(string, string, int): int', unevaluated)
    .registerFunction('tag(string): bool', unevaluated)
    .registerFunction('tagWeight(string): dyn', unevaluated)
    .registerFunction('stage(string, string): bool', unevaluated)
    .registerFunction('consent(string): bool', unevaluated)
    .registerFunction('unusual(string, string): double', unevaluated)
    .registerFunction('feed(string, string): dyn', unevaluated)
    .registerFunction('feed(string, string, dyn): dyn', unevaluated)
    .registerFunction('hasFeed(string, string): bool', unevaluated)
    .registerFunction('hasFeed(string, string, dyn): bool', unevaluated);
  const mixed = [
    ['int', 'double'],
    ['double', 'int'],
    ['int', 'uint'],
    ['uint', 'int'],
    ['uint', 'double'],
    ['double', 'uint'],
  ];
  for (const [left, right] of mixed) {
    for (const operator of ['+', '-', '*', '/', '%'])
      environment.registerOperator(`${left} ${operator} ${right}: double`, unevaluated);
  }
  environment.registerOperator('double % double: double', unevaluated);
  for (const [left, right] of [
    ['int', 'double'],
    ['int', 'uint'],
    ['uint', 'double'],
  ]) {
    environment.registerOperator(`${left} == ${right}: bool`, unevaluated);
  }
  return environment;
}

const CEL_TYPE: Readonly<Record<TraitSpec['type'], string>> = {
  integer: 'int',
  number: 'dyn',
  boolean: 'bool',
  string: 'string',
  enum: 'string',
  timeZone: 'string',
};

/** Stands where cel-js wants an implementation: rules are never evaluated by cel-js. */
function unevaluated(): never {
  throw new Error('rules are evaluated by generated code only');
}
