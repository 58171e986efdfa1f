/**
 * A checked rule as functions: one for the whole, one for each clause of its top-level `&&`, with what a
 * refusal is explained by. Knows no parser, so that a worker can do this without loading one.
 */
import type { Clause, ClauseComparison, ClauseFinding, Rule, RuleScope } from '../../decision/rule.ts';
import { type ComparisonCode, RuleCode } from './rule-code.ts';
import { type Awakening, awakeningOf, type Comparison, comparisonOf, type ZoneOf } from './rule-explanation.ts';
import { type ReadNames, readsOf } from './rule-reads.ts';
import type { Expression } from './rule-syntax.ts';

/** @param source the rule's text, for the clauses' own; `expression` is what checking made of it. */
export function compileRule(source: string, expression: Expression, zoneOf: ZoneOf, names: ReadNames): Rule {
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
  return { source, reads: readsOf(expression, names), clauses, evaluate: predicateAt(whole) };
}

/** A numeric expression as a function of the person; NaN where it cannot be worked out. */
export function compileNumber(expression: Expression): (scope: RuleScope) => number {
  const code = new RuleCode();
  const index = code.addNumber(expression);
  return code.build()[index] as (scope: RuleScope) => number; // what `addNumber` says
}

/** A text as a function of the person; undefined where it cannot be worked out. */
export function compileText(expression: Expression): (scope: RuleScope) => string | undefined {
  const code = new RuleCode();
  const index = code.addText(expression);
  return code.build()[index] as (scope: RuleScope) => string | undefined; // what `addText` says
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
