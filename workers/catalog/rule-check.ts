/**
 * Names, types and the supported part of CEL: from the parser's tree to a checked `Expression`.
 * Every problem of a rule is collected, each at its own offset; a part already reported has the type
 * `unknown` and raises no second complaint. Numbers are lenient where CEL is not: integer, unsigned
 * and double mix freely. Refused with a reason: `matches` (a pattern can take exponential time), maps,
 * macros over lists, nested context values, traits that are protected or sensitive.
 */
import type { TraitSpec } from '../../decision/catalog.ts';
import { isFactName } from '../../decision/facts.ts';
import type { CounterRegistry } from './counter-registry.ts';
import { nearestMatch } from './nearest-match.ts';
import { isReadingName, type KnownNames, READING_NAMES, ReadingChecker } from './rule-readings.ts';
import {
  type ArithmeticOperator,
  type CelNode,
  type Expression,
  isNumeric,
  isTextual,
  type Literal,
  type OrderOperator,
  type RuleProblem,
  type RuleType,
  type TextTest,
  unknown,
} from './rule-syntax.ts';
import { areComparable, arithmeticType, commonType } from './rule-types.ts';

export type RuleWish = 'boolean' | 'number' | 'text';

/** Declared traits by name; null: declared, but its declaration is itself wrong, so its type is unknown. */
export type TraitTable = ReadonlyMap<string, TraitSpec | null>;

const FUNCTIONS = [...READING_NAMES, 'has', 'size'];
const METHODS = ['startsWith', 'endsWith', 'contains', 'size'];
const ROOTS = ['profile', 'context', 'now'];
const NOW_FIELDS = ['hour', 'weekday', 'epochMillis'];

/**
 * Checks one parsed rule, adding its counters to `counters`. The expression is of use only without problems.
 * @param names what else the catalog declares
 * @param wants what it must come to
 */
export function checkRule(
  root: CelNode,
  traits: TraitTable,
  counters: CounterRegistry,
  names: KnownNames,
  wants: RuleWish,
): { readonly expression: Expression; readonly problems: readonly RuleProblem[] } {
  const checker = new RuleChecker(traits, counters, names);
  const expression = checker.check(root);
  if (wants === 'boolean') checker.requireBoolean(expression, 'a rule must be true or false');
  else if (wants === 'text') checker.requireText(expression, 'a key must be text');
  else checker.requireNumber(expression, 'a weight must be a number');
  return { expression, problems: checker.problems };
}

class RuleChecker {
  readonly problems: RuleProblem[] = [];
  readonly #traits: TraitTable;
  readonly #readings: ReadingChecker;

  constructor(traits: TraitTable, counters: CounterRegistry, names: KnownNames) {
    this.#traits = traits;
    this.#readings = new ReadingChecker(
      counters,
      names,
      (node) => this.check(node),
      (offset, reason, nearest) => this.#report(offset, reason, nearest),
    );
  }

  check(node: CelNode): Expression {
    const { start, end } = node;
    // The parser's tuples are fixed by operator; each cast below names the tuple of its own operator.
    const args = node.args as readonly CelNode[];
    switch (node.op) {
      case 'value':
        return this.#literal(node);
      case 'id':
        return this.#root(node);
      case '.':
      case '[]':
        return this.#access(node);
      case '!_': {
        const operand = this.check(node.args as CelNode); // unary: the operand itself
        this.requireBoolean(operand, '"!" needs true or false');
        return { op: 'not', operand, type: 'boolean', start, end };
      }
      case '-_':
        return this.#negate(node);
      case '&&':
      case '||': {
        const left = this.#pair(args, 0);
        const right = this.#pair(args, 1);
        this.requireBoolean(left, `"${node.op}" needs true or false on both sides`);
        this.requireBoolean(right, `"${node.op}" needs true or false on both sides`);
        return { op: node.op === '&&' ? 'and' : 'or', left, right, type: 'boolean', start, end };
      }
      case '?:':
        return this.#choose(node, this.#pair(args, 0), this.#pair(args, 1), this.#pair(args, 2));
      case '<':
      case '<=':
      case '>':
      case '>=':
        return this.#order(node, node.op, this.#pair(args, 0), this.#pair(args, 1));
      case '==':
      case '!=':
        return this.#equal(node, this.#pair(args, 0), this.#pair(args, 1));
      case '+':
      case '-':
      case '*':
      case '/':
      case '%':
        return this.#arithmetic(node, node.op, this.#pair(args, 0), this.#pair(args, 1));
      case 'in':
        return this.#membership(node, this.#pair(args, 0), args[1] as CelNode); // binary: two nodes
      case 'call':
        return this.#call(node, node.args as [string, CelNode[]]); // name, arguments
      case 'rcall':
        return this.#method(node, node.args as [string, CelNode, CelNode[]]); // name, receiver, arguments
      case 'list':
        return this.#refuse(node, 'a list may only stand on the right of "in"');
      case 'map':
        return this.#refuse(node, 'maps are not supported in rules');
      default:
        return this.#refuse(node, `"${node.op}" is not supported in rules`);
    }
  }

  requireBoolean(expression: Expression, reason: string): void {
    if (expression.type === 'boolean' || expression.type === 'dynamic' || expression.type === 'unknown') return;
    this.#report(expression.start, `${reason}, got ${typeName(expression)}`);
  }

  requireText(expression: Expression, reason: string): void {
    if (isText(expression)) return;
    this.#report(expression.start, `${reason}, got ${typeName(expression)}`);
  }

  requireNumber(expression: Expression, reason: string): void {
    if (isNumeric(expression.type) || expression.type === 'unknown') return;
    this.#report(expression.start, `${reason}, got ${typeName(expression)}`);
  }

  #pair(args: readonly CelNode[], index: number): Expression {
    return this.check(args[index] as CelNode); // the operator's arity, given by the parser
  }

  #report(offset: number, reason: string, nearest?: string): void {
    this.problems.push({ offset, reason, ...(nearest === undefined ? {} : { nearest }) });
  }

  #refuse(node: CelNode, reason: string, nearest?: string, offset = node.start): Expression {
    this.#report(offset, reason, nearest);
    return unknown(node);
  }

  #literal(node: CelNode): Expression {
    const { start, end } = node;
    const value = node.args;
    if (value === null) return { op: 'literal', type: 'null', value, start, end };
    if (typeof value === 'string') return { op: 'literal', type: 'text', value, start, end };
    if (typeof value === 'boolean') return { op: 'literal', type: 'boolean', value, start, end };
    if (typeof value === 'number') return { op: 'literal', type: 'number', value, start, end };
    // `18u` comes as a box around its BigInt.
    const whole = typeof value === 'object' && 'value' in value ? value.value : value;
    if (typeof whole === 'bigint') {
      const number = Number(whole);
      if (!Number.isSafeInteger(number))
        return this.#refuse(node, `${whole} is beyond the whole numbers held exactly (2^53)`);
      return { op: 'literal', type: 'integer', value: number, start, end };
    }
    return this.#refuse(node, 'byte strings are not supported in rules');
  }

  #root(node: CelNode): Expression {
    const name = String(node.args);
    if (ROOTS.includes(name))
      return this.#refuse(node, `"${name}" needs a name after it, such as ${name}.${name === 'now' ? 'hour' : 'x'}`);
    return this.#refuse(
      node,
      `"${name}" is not defined; rules see ${ROOTS.join(', ')} and ${FUNCTIONS.join(', ')}`,
      nearestMatch(name, ROOTS),
    );
  }

  #access(node: CelNode): Expression {
    const [owner, field] = node.args as [CelNode, string | CelNode]; // object, and name or index
    const { start, end } = node;
    let name: string;
    let nameAt: number;
    if (typeof field === 'string') {
      name = field;
      nameAt = end - field.length;
    } else if (field.op === 'value' && typeof field.args === 'string') {
      name = field.args;
      nameAt = field.start;
    } else {
      return this.#refuse(node, 'an index must be a quoted name', undefined, field.start);
    }
    if (owner.op !== 'id') {
      const inner = this.check(owner);
      if (inner.type === 'unknown') return unknown(node);
      return this.#refuse(
        node,
        `${typeName(inner)} has no "${name}": values are text, numbers, true or false`,
        undefined,
        nameAt,
      );
    }
    switch (owner.args) {
      case 'context':
        return { op: 'context', key: name, type: 'dynamic', start, end };
      case 'now':
        if (name === 'hour' || name === 'weekday' || name === 'epochMillis')
          return { op: 'now', field: name, type: 'integer', start, end };
        return this.#refuse(
          node,
          `"now.${name}" is not defined; there are now.hour, now.weekday and now.epochMillis`,
          nearestMatch(name, NOW_FIELDS),
          nameAt,
        );
      case 'profile':
        return this.#trait(node, name, nameAt);
      default:
        return this.#root(owner);
    }
  }

  #trait(node: CelNode, name: string, nameAt: number): Expression {
    const trait = this.#traits.get(name);
    if (trait === null) return unknown(node);
    if (trait === undefined && isFactName(name)) {
      const reason = `"${name}" is a fact that is not declared; add it to profile.facts`;
      return this.#refuse(node, reason, undefined, nameAt);
    }
    if (trait === undefined) {
      return this.#refuse(node, `"${name}" is not a declared trait`, nearestMatch(name, this.#traits.keys()), nameAt);
    }
    if (trait.isProtected)
      return this.#refuse(node, `"${name}" is a protected trait, which no rule may read`, undefined, nameAt);
    if (trait.isSensitive)
      return this.#refuse(node, `"${name}" is a sensitive trait, which no rule may read`, undefined, nameAt);
    return { op: 'trait', trait, type: traitRuleType(trait), start: node.start, end: node.end };
  }

  #negate(node: CelNode): Expression {
    const operand = this.check(node.args as CelNode); // unary: the operand itself
    const { start, end } = node;
    if (operand.op === 'literal' && typeof operand.value === 'number')
      return { ...operand, value: -operand.value, start, end };
    if (!isNumeric(operand.type) && operand.type !== 'dynamic' && operand.type !== 'unknown') {
      return this.#refuse(node, `"-" needs a number, got ${typeName(operand)}`);
    }
    return { op: 'negate', operand, type: operand.type === 'dynamic' ? 'number' : operand.type, start, end };
  }

  #choose(node: CelNode, when: Expression, yes: Expression, no: Expression): Expression {
    this.requireBoolean(when, 'the condition before "?" must be true or false');
    const type = commonType(yes.type, no.type);
    if (type === null)
      return this.#refuse(node, `both results of "?:" must be of one type, got ${typeName(yes)} and ${typeName(no)}`);
    return { op: 'choose', when, yes, no, type, start: node.start, end: node.end };
  }

  #order(node: CelNode, operator: OrderOperator, left: Expression, right: Expression): Expression {
    const { start, end } = node;
    for (const side of [left, right]) {
      if (side.type === 'enum')
        return this.#refuse(
          node,
          `values of an enum have no order; use "in" with the values wanted`,
          undefined,
          side.start,
        );
      if (side.type === 'null') return this.#refuse(node, 'null has no order', undefined, side.start);
    }
    if (!areComparable(left.type, right.type)) return this.#mismatch(node, operator, left, right);
    return { op: 'order', operator, left, right, type: 'boolean', start, end };
  }

  #equal(node: CelNode, left: Expression, right: Expression): Expression {
    const { start, end } = node;
    if (!this.#fitsEnum(left, right) || !this.#fitsEnum(right, left)) return unknown(node);
    for (const [side, other] of [
      [left, right],
      [right, left],
    ] as const) {
      if (side.type === 'null' && !['null', 'dynamic', 'unknown'].includes(other.type)) {
        return this.#refuse(
          node,
          `${typeName(other)} is never null; has(…) tells whether a trait is there`,
          undefined,
          side.start,
        );
      }
    }
    if (!areComparable(left.type, right.type)) return this.#mismatch(node, String(node.op), left, right);
    const equal: Expression = { op: 'equal', left, right, type: 'boolean', start, end };
    return node.op === '==' ? equal : { op: 'not', operand: equal, type: 'boolean', start, end };
  }

  /** A literal compared with an enum must be one of its values. */
  #fitsEnum(side: Expression, other: Expression): boolean {
    if (side.op !== 'trait' || side.type !== 'enum' || other.op !== 'literal' || typeof other.value !== 'string')
      return true;
    // Without values the declaration itself is at fault, and has been reported.
    if (side.trait.values.length === 0 || side.trait.values.includes(other.value)) return true;
    const reason = `${JSON.stringify(other.value)} is not a value of "${side.trait.name}" (${side.trait.values.join(', ')})`;
    this.#report(other.start, reason, nearestMatch(other.value, side.trait.values));
    return false;
  }

  #mismatch(node: CelNode, operator: string, left: Expression, right: Expression): Expression {
    return this.#refuse(node, `"${operator}" cannot compare ${typeName(left)} with ${typeName(right)}`);
  }

  #arithmetic(node: CelNode, operator: ArithmeticOperator, left: Expression, right: Expression): Expression {
    const { start, end } = node;
    const type = arithmeticType(operator, left.type, right.type);
    if (type === null)
      return this.#refuse(
        node,
        `"${operator}" needs numbers${operator === '+' ? ' or two texts' : ''}, got ${typeName(left)} and ${typeName(right)}`,
      );
    if ((operator === '/' || operator === '%') && right.op === 'literal' && right.value === 0) {
      return this.#refuse(node, 'division by zero', undefined, right.start);
    }
    return { op: 'arithmetic', operator, left, right, type, start, end };
  }

  #membership(node: CelNode, left: Expression, list: CelNode): Expression {
    if (list.op !== 'list')
      return this.#refuse(node, '"in" needs a list such as ["a", "b"] on its right', undefined, list.start);
    const items: Literal[] = [];
    let isSound = left.type !== 'unknown';
    for (const element of list.args as readonly CelNode[]) {
      // a list's elements
      const item = this.check(element);
      if (item.op !== 'literal') {
        if (item.type !== 'unknown')
          this.#report(item.start, 'a list may only hold literals; write other comparisons with "||"');
        isSound = false;
      } else if (!this.#fitsEnum(left, item)) {
        isSound = false;
      } else if (
        !areComparable(left.type, item.type) ||
        (item.type === 'null' && left.type !== 'dynamic' && left.type !== 'null')
      ) {
        this.#report(item.start, `"in" cannot compare ${typeName(left)} with ${typeName(item)}`);
        isSound = false;
      } else {
        items.push(item);
      }
    }
    if (!isSound) return unknown(node);
    return {
      op: 'in',
      left,
      items,
      listStart: list.start,
      listEnd: list.end,
      type: 'boolean',
      start: node.start,
      end: node.end,
    };
  }

  #call(node: CelNode, [name, args]: readonly [string, readonly CelNode[]]): Expression {
    switch (name) {
      case 'has':
        return this.#has(node, args);
      case 'size':
        return args.length === 1
          ? this.#size(node, args[0] as CelNode)
          : this.#refuse(node, 'size(text) takes one argument'); // length just checked
      default:
        if (isReadingName(name)) return this.#readings.check(node, name, args);
        for (const argument of args) this.check(argument);
        return this.#refuse(
          node,
          `"${name}" is not a function; there are ${FUNCTIONS.join(', ')}`,
          nearestMatch(name, FUNCTIONS),
        );
    }
  }

  #has(node: CelNode, args: readonly CelNode[]): Expression {
    const target = args[0];
    if (args.length !== 1 || target === undefined) return this.#refuse(node, 'has(x) takes one argument');
    const operand = this.check(target);
    if (operand.type === 'unknown') return unknown(node);
    if (operand.op !== 'trait' && operand.op !== 'context') {
      return this.#refuse(
        node,
        'has(x) asks about a trait or a context key: has(profile.x), has(context.x)',
        undefined,
        operand.start,
      );
    }
    return { op: 'has', operand, type: 'boolean', start: node.start, end: node.end };
  }

  #method(node: CelNode, [name, receiver, args]: readonly [string, CelNode, readonly CelNode[]]): Expression {
    const nameAt = receiver.end + 1;
    if (name === 'matches') {
      return this.#refuse(
        node,
        '"matches" is refused: a pattern can take exponential time; use startsWith, endsWith or contains',
        undefined,
        nameAt,
      );
    }
    if (name === 'size')
      return args.length === 0
        ? this.#size(node, receiver)
        : this.#refuse(node, 'size() takes no argument', undefined, nameAt);
    if (name !== 'startsWith' && name !== 'endsWith' && name !== 'contains') {
      if (this.check(receiver).type === 'unknown') return unknown(node);
      return this.#refuse(
        node,
        `"${name}" is not a function of text; there are ${METHODS.join(', ')}`,
        nearestMatch(name, METHODS),
        nameAt,
      );
    }
    const argument = args[0];
    if (args.length !== 1 || argument === undefined)
      return this.#refuse(node, `${name}(text) takes one argument`, undefined, nameAt);
    return this.#textTest(node, name, this.check(receiver), this.check(argument));
  }

  #textTest(node: CelNode, test: TextTest, left: Expression, right: Expression): Expression {
    for (const side of [left, right]) {
      if (!isText(side)) return this.#refuse(node, `${test} needs text, got ${typeName(side)}`, undefined, side.start);
    }
    return { op: 'textTest', test, left, right, type: 'boolean', start: node.start, end: node.end };
  }

  #size(node: CelNode, argument: CelNode): Expression {
    const operand = this.check(argument);
    if (!isText(operand))
      return this.#refuse(node, `size needs text, got ${typeName(operand)}`, undefined, operand.start);
    return { op: 'size', operand, type: 'integer', start: node.start, end: node.end };
  }
}

function traitRuleType(trait: TraitSpec): RuleType {
  switch (trait.type) {
    case 'string':
    case 'timeZone':
      return 'text';
    default:
      return trait.type;
  }
}

function typeName(expression: Expression): string {
  const type =
    expression.type === 'dynamic' ? 'a context value' : expression.type === 'boolean' ? 'true/false' : expression.type;
  return expression.op === 'trait' ? `${type} "${expression.trait.name}"` : type;
}

function isText(expression: Expression): boolean {
  return isTextual(expression.type) || expression.type === 'dynamic' || expression.type === 'unknown';
}
