/**
 * A checked rule as a tree of our own: names resolved to indices, types known, only the supported part
 * of CEL. The parser's tree (`CelNode`, the shape `rule-parser.ts` adapts) goes in, `Expression` comes
 * out of `rule-check.ts`, and `rule-code.ts` turns it into JavaScript. Offsets count UTF-16 units in
 * the rule's source.
 */
import type { TraitSpec } from '../../decision/catalog.ts';
import type { Scalar } from '../../proto/messages.ts';

/** What the CEL parser gives, as far as the checker reads it. */
export interface CelNode {
  readonly op: string;
  readonly args: unknown;
  readonly start: number;
  readonly end: number;
}

/**
 * `unknown` is the type of what has already been reported: it fits everywhere, so that one mistake
 * gives one problem. `dynamic` is a context value, whose type is known only at the request.
 */
export type RuleType = 'boolean' | 'integer' | 'number' | 'text' | 'enum' | 'null' | 'dynamic' | 'unknown';

export type OrderOperator = '<' | '<=' | '>' | '>=';
export type ArithmeticOperator = '+' | '-' | '*' | '/' | '%';
export type TextTest = 'startsWith' | 'endsWith' | 'contains';

interface Node {
  readonly type: RuleType;
  readonly start: number;
  readonly end: number;
}

export type Literal = Node & { readonly op: 'literal'; readonly value: Scalar };
export type Expression =
  | Literal
  | (Node & { readonly op: 'trait'; readonly trait: TraitSpec })
  | (Node & { readonly op: 'context'; readonly key: string })
  | (Node & { readonly op: 'now'; readonly field: 'hour' | 'weekday' | 'epochMillis' })
  | (Node & { readonly op: 'counter'; readonly read: 'count' | 'sum' | 'lastSeen'; readonly counter: number })
  | (Node & { readonly op: 'unusual'; readonly counter: number; readonly feed: number; readonly key: string })
  | (Node & { readonly op: 'values'; readonly reading: number })
  | (Node & { readonly op: 'tag' | 'tagWeight'; readonly tag: number })
  | (Node & { readonly op: 'stage'; readonly journey: number; readonly stage: number })
  | (Node & { readonly op: 'consent'; readonly purpose: string })
  | (Node & { readonly op: 'feed'; readonly feed: number; readonly field: number; readonly key: Expression })
  | (Node & { readonly op: 'has'; readonly operand: Expression })
  | (Node & { readonly op: 'not'; readonly operand: Expression })
  | (Node & { readonly op: 'negate'; readonly operand: Expression })
  | (Node & { readonly op: 'and' | 'or'; readonly left: Expression; readonly right: Expression })
  | (Node & { readonly op: 'choose'; readonly when: Expression; readonly yes: Expression; readonly no: Expression })
  | (Node & {
      readonly op: 'order';
      readonly operator: OrderOperator;
      readonly left: Expression;
      readonly right: Expression;
    })
  | (Node & { readonly op: 'equal'; readonly left: Expression; readonly right: Expression })
  | (Node & {
      readonly op: 'arithmetic';
      readonly operator: ArithmeticOperator;
      readonly left: Expression;
      readonly right: Expression;
    })
  | (Node & {
      readonly op: 'in';
      readonly left: Expression;
      readonly items: readonly Literal[];
      readonly listStart: number;
      readonly listEnd: number;
    })
  | (Node & { readonly op: 'textTest'; readonly test: TextTest; readonly left: Expression; readonly right: Expression })
  | (Node & { readonly op: 'size'; readonly operand: Expression });

export function isNumeric(type: RuleType): boolean {
  return type === 'integer' || type === 'number';
}

/** Text, or an enum read as its text. */
export function isTextual(type: RuleType): boolean {
  return type === 'text' || type === 'enum';
}

/** Stands for what has been reported. */
export function unknown(node: CelNode): Expression {
  return { op: 'literal', type: 'unknown', value: null, start: node.start, end: node.end };
}

/** Something wrong in a rule, at `offset` of its source. */
export interface RuleProblem {
  readonly offset: number;
  readonly reason: string;
  readonly nearest?: string;
}

/** Children of an expression, in source order. */
export function operandsOf(expression: Expression): readonly Expression[] {
  switch (expression.op) {
    case 'has':
    case 'not':
    case 'negate':
    case 'size':
      return [expression.operand];
    case 'and':
    case 'or':
    case 'order':
    case 'equal':
    case 'arithmetic':
    case 'textTest':
      return [expression.left, expression.right];
    case 'in':
      return [expression.left];
    case 'feed':
      return [expression.key];
    case 'choose':
      return [expression.when, expression.yes, expression.no];
    default:
      return [];
  }
}
