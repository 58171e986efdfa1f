/**
 * Eligibility rules, from CEL text to functions. Sole importer of cel-js, which parses and then checks
 * types against the declared environment; our own checker resolves names and gives the better messages,
 * our own code generator makes the function: some ten times faster than the library's evaluator, and
 * free of its `matches`. A differential test holds both to the same answers.
 *
 *     text ─cel-js parse─▶ CelNode ─rule-check─▶ Expression ─cel-js check─▶ ─rule-code─▶ Rule
 */
import { Environment, ParseError } from '@marcbachmann/cel-js';
import type { TraitSpec } from '../../decision/catalog.ts';
import type { Clause, ClauseComparison, ClauseFinding, Rule, RuleScope } from '../../decision/rule.ts';
import type { CounterRegistry } from './counter-registry.ts';
import { checkRule, type TraitTable } from './rule-check.ts';
import { type ComparisonCode, RuleCode } from './rule-code.ts';
import { type Awakening, awakeningOf, type Comparison, comparisonOf, type ZoneOf } from './rule-explanation.ts';
import type { CelNode, Expression, RuleProblem } from './rule-syntax.ts';

/** Bounds of one rule, given to the parser; a rule a person can read is far inside them. */
const RULE_LIMITS = { maxAstNodes: 1_000, maxDepth: 48, maxListElements: 500, maxMapEntries: 1, maxCallArguments: 8 };

/** A rule that has passed every check and can be compiled. */
export interface CheckedRule {
  readonly source: string;
  readonly expression: Expression;
}

export type RuleCheck =
  | { readonly rule: CheckedRule; readonly problems: null }
  | { readonly rule: null; readonly problems: readonly RuleProblem[] };

/** Compiles the rules of one catalog; the same text is checked and compiled once. */
export class RuleCompiler {
  readonly #traits: TraitTable;
  readonly #counters: CounterRegistry;
  readonly #zoneOf: ZoneOf;
  readonly #environment: Environment;
  readonly #checks = new Map<string, RuleCheck>();
  readonly #rules = new Map<string, Rule>();

  constructor(traits: TraitTable, counters: CounterRegistry, zoneOf: ZoneOf) {
    this.#traits = traits;
    this.#counters = counters;
    this.#zoneOf = zoneOf;
    this.#environment = declaredEnvironment(traits);
  }

  /** Parses and checks one rule; all of its problems, with offsets into `source`. Never throws. */
  check(source: string): RuleCheck {
    let check = this.#checks.get(source);
    if (check === undefined) {
      check = this.#check(source);
      this.#checks.set(source, check);
    }
    return check;
  }

  /** The function of a rule that has been checked. */
  compile(checked: CheckedRule): Rule {
    let rule = this.#rules.get(checked.source);
    if (rule === undefined) {
      rule = compileRule(checked, this.#zoneOf);
      this.#rules.set(checked.source, rule);
    }
    return rule;
  }

  #check(source: string): RuleCheck {
    let parsed: ReturnType<Environment['parse']>;
    try {
      parsed = this.#environment.parse(source);
    } catch (error) {
      if (error instanceof ParseError)
        return failed([{ offset: error.range?.start ?? 0, reason: `is not CEL: ${error.summary}` }]);
      if (error instanceof RangeError) return failed([{ offset: 0, reason: 'is nested too deeply' }]);
      throw error;
    }
    const { expression, problems } = checkRule(parsed.ast as CelNode, this.#traits, this.#counters); // the parser's node has these fields
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
    return { rule: { source, expression }, problems: null };
  }
}

function failed(problems: readonly RuleProblem[]): RuleCheck {
  return { rule: null, problems };
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
    .registerVariable({ name: 'now', schema: { hour: 'int', weekday: 'int' } })
    .registerFunction('count(string, string): int', unevaluated)
    .registerFunction('sum(string, string, string): dyn', unevaluated)
    .registerFunction('lastSeen(string): dyn', unevaluated);
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

function compileRule({ source, expression }: CheckedRule, zoneOf: ZoneOf): Rule {
  const code = new RuleCode();
  const whole = code.addPredicate(expression);
  const operands = conjuncts(expression);
  const parts = operands.map((operand) => {
    const comparison = comparisonOf(operand, source);
    return {
      operand,
      comparison,
      predicate: operands.length === 1 ? whole : code.addPredicate(operand),
      value: comparison === null ? -1 : code.addValue(comparison.subject),
      indexed: code.addComparison(operand),
    };
  });
  const functions = code.build();
  // The generator made them: predicates are boolean expressions, values scalars or undefined.
  const predicateAt = (index: number) => functions[index] as (scope: RuleScope) => boolean;
  const clauses = parts.map(({ operand, comparison, predicate, value, indexed }) => {
    const evaluate = predicateAt(predicate);
    const read = (functions[value] ?? null) as ReadValue | null; // as above
    const awakening = awakeningOf(operand, comparison, evaluate, zoneOf);
    const compared = indexed === null ? null : comparisonFor(indexed, functions);
    return new CompiledClause(clauseSource(source, operand), evaluate, comparison, read, awakening, compared);
  });
  return { source, clauses, evaluate: predicateAt(whole) };
}

function comparisonFor(
  { subject, operator, values, read }: ComparisonCode,
  functions: readonly ((scope: unknown) => unknown)[],
): ClauseComparison {
  const reader = functions[read] as (scope: RuleScope) => unknown; // added by the same code
  if (operator === 'in') return { subject, read: reader, operator, values };
  return { subject, read: reader, operator, threshold: Number(values[0]) };
}

type ReadValue = (scope: RuleScope) => ClauseFinding['value'] | undefined;

class CompiledClause implements Clause {
  readonly source: string;
  readonly evaluate: (scope: RuleScope) => boolean;
  readonly comparison: ClauseComparison | null;
  readonly #shown: Comparison | null;
  readonly #read: ReadValue | null;
  readonly #awakening: Awakening | null;

  constructor(
    source: string,
    evaluate: (scope: RuleScope) => boolean,
    comparison: Comparison | null,
    read: ReadValue | null,
    awakening: Awakening | null,
    compared: ClauseComparison | null,
  ) {
    this.source = source;
    this.comparison = compared;
    this.evaluate = evaluate;
    this.#shown = comparison;
    this.#read = read;
    this.#awakening = awakening;
  }

  explain(scope: RuleScope): ClauseFinding {
    const holds = this.evaluate(scope);
    const eligibleAgainAtEpochMillis = holds || this.#awakening === null ? null : this.#awakening(scope);
    if (this.#shown === null || this.#read === null)
      return { value: holds, threshold: true, eligibleAgainAtEpochMillis };
    return { value: this.#read(scope) ?? null, threshold: this.#shown.threshold, eligibleAgainAtEpochMillis };
  }
}

/** The operands of the rule's top-level `&&`, in source order. */
function conjuncts(expression: Expression): readonly Expression[] {
  return expression.op === 'and' ? [...conjuncts(expression.left), ...conjuncts(expression.right)] : [expression];
}

/**
 * The clause as written. The parser's range leaves out brackets around the first or last operand, so
 * `(a + b) > 1` would come out as `a + b) > 1`: widen until the brackets are in balance.
 */
function clauseSource(source: string, { start, end }: Expression): string {
  let [from, to] = [start, end];
  for (;;) {
    const { missingLeft, missingRight } = bracketBalance(source.slice(from, to));
    if (missingLeft === 0 && missingRight === 0) return source.slice(from, to);
    const left = missingLeft === 0 ? from : from === 0 ? -1 : source.lastIndexOf('(', from - 1);
    const right = missingRight > 0 ? source.indexOf(')', to) + 1 : to;
    if (left < 0 || right <= 0) return source.slice(start, end);
    [from, to] = [left, right];
  }
}

function bracketBalance(text: string): { readonly missingLeft: number; readonly missingRight: number } {
  let open = 0;
  let missingLeft = 0;
  let quote = '';
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index] ?? '';
    if (quote !== '') {
      if (character === '\\') index += 1;
      else if (character === quote) quote = '';
    } else if (character === '"' || character === "'") quote = character;
    else if (character === '(') open += 1;
    else if (character === ')' && open > 0) open -= 1;
    else if (character === ')') missingLeft += 1;
  }
  return { missingLeft, missingRight: open };
}
