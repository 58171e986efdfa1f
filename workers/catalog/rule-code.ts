/**
 * From a checked expression to JavaScript source. CEL lets an expression be true, false or an error, and
 * `&&` and `||` absorb errors; JavaScript has no such third value, so each expression has forms:
 *
 *     truth(e)    code that is truthy exactly when e is true           and: truth && truth
 *     falsity(e)  code that is truthy exactly when e is false          and: falsity || falsity
 *     tri(e)      1, 0, or -1 for an error, where a value is needed
 *     number(e)   a number, NaN for an error      text(e), dynamic(e)  undefined for an error
 *
 * Comparisons with NaN are false either way, so errors cost the common path nothing; and every form
 * holds each operand once, so code stays linear in the rule. Safety: the only texts that reach the
 * source are literals through JSON.stringify; everything else is an index or a name from this file.
 */
import { DEVIATION, MIDDLE } from '../../decision/usual-feed.ts';
import type { Scalar } from '../../proto/messages.ts';
import { textHash } from '../../proto/murmur3.ts';
import { RULE_RUNTIME } from './rule-runtime.ts';
import { type Expression, isNumeric, isTextual, type Literal, type OrderOperator } from './rule-syntax.ts';

const INVERSE: Readonly<Record<OrderOperator, OrderOperator>> = { '<': '>=', '<=': '>', '>': '<=', '>=': '<' };

const MIRRORED: Readonly<Record<OrderOperator, OrderOperator>> = { '<': '>', '<=': '>=', '>': '<', '>=': '<=' };

export interface ComparisonCode {
  /** Code of the subject: equal for equal subjects. */
  readonly subject: string;
  readonly operator: OrderOperator | 'in';
  /** One number for an order. */
  readonly values: readonly Scalar[];
  readonly read: number;
}

/** Lists longer than this become a Set; shorter ones a chain of comparisons. */
const CHAIN_LENGTH_MAX = 12;

/** Writes functions of one RuleScope `s`, with the constants they share. */
export class RuleCode {
  readonly #functions: string[] = [];
  readonly #constants: unknown[] = [];
  #temporaries = 0;

  /** Adds a function that is true exactly when `expression` is true; its index in `build()`. */
  addPredicate(expression: Expression): number {
    return this.#add(() => this.#truth(expression));
  }

  /** Adds a function giving the value of a numeric `expression`, NaN for an error. */
  addNumber(expression: Expression): number {
    return this.#add(() => this.#number(expression));
  }

  /** Adds a function giving the value of `expression` as a scalar, undefined for an error. */
  addValue(expression: Expression): number {
    return this.#add(() => this.#dynamic(expression));
  }

  /** Adds a function giving the value of a text `expression`, undefined for an error. */
  addText(expression: Expression): number {
    return this.#add(() => this.#text(expression));
  }

  /**
   * The expression as a comparison of one subject with constants, null when it is anything else. `read` is
   * the index of a function that gives the subject: a number, NaN for an error; or a context value.
   */
  addComparison(expression: Expression): ComparisonCode | null {
    const form = this.#comparisonForm(expression);
    return form === null ? null : { ...form, read: this.#add(() => form.subject) };
  }

  #comparisonForm(e: Expression): Omit<ComparisonCode, 'read'> | null {
    if (e.op === 'order' && (isNumeric(e.left.type) || isNumeric(e.right.type))) {
      const [left, right] = [this.#constantNumber(e.left), this.#constantNumber(e.right)];
      if (right !== null && isReading(e.left)) {
        return { subject: this.#number(e.left), operator: e.operator, values: [right] };
      }
      if (left !== null && isReading(e.right)) {
        return { subject: this.#number(e.right), operator: MIRRORED[e.operator], values: [left] };
      }
      return null;
    }
    if (e.op === 'equal' && (e.right.op === 'literal' || e.left.op === 'literal')) {
      const [subject, literal] = e.right.op === 'literal' ? [e.left, e.right] : [e.right, e.left as Literal]; // asked above
      return this.#membershipForm(subject, [literal]);
    }
    return e.op === 'in' ? this.#membershipForm(e.left, e.items) : null;
  }

  #membershipForm(subject: Expression, items: readonly Literal[]): Omit<ComparisonCode, 'read'> | null {
    if (!isReading(subject)) return null;
    const key = traitKey(subject);
    if (key !== null) {
      return { subject: key, operator: 'in', values: items.map((item) => Number(literalKey(subject, item))) };
    }
    if (isNumeric(subject.type)) {
      const values = items.map((item) => this.#constantNumber(item));
      return values.includes(null)
        ? null
        : { subject: this.#number(subject), operator: 'in', values: values as number[] }; // none is null
    }
    const isText = items.every(({ value }) => typeof value === 'string');
    if (!(subject.op === 'context' || (subject.op === 'feed' && subject.type === 'text')) || !isText) return null;
    return { subject: this.#dynamic(subject), operator: 'in', values: items.map(({ value }) => value) };
  }

  #constantNumber(e: Expression): number | null {
    if (e.op === 'literal') return typeof e.value === 'number' ? e.value : null;
    const inner = e.op === 'negate' ? this.#constantNumber(e.operand) : null;
    return inner === null ? null : -inner;
  }

  /** The functions in the order added. The source is complete before any of it is evaluated. */
  build(): readonly ((scope: unknown) => unknown)[] {
    const source = `'use strict';\nreturn [${this.#functions.join(',\n')}];`;
    const names = Object.keys(RULE_RUNTIME);
    // oxlint-disable-next-line typescript/no-implied-eval -- the point of this file: texts from rules only as JSON literals
    const factory = new Function(...names, 'k', source);
    return factory(...Object.values(RULE_RUNTIME), this.#constants);
  }

  #add(body: () => string): number {
    this.#temporaries = 0;
    const code = body();
    const names = Array.from({ length: this.#temporaries }, (_, index) => `t${index}`);
    const declaration = names.length === 0 ? '' : `let ${names.join(', ')}; `;
    return this.#functions.push(`function (s) { ${declaration}return ${code}; }`) - 1;
  }

  #temporary(): string {
    this.#temporaries += 1;
    return `t${this.#temporaries - 1}`;
  }

  #constant(value: unknown): string {
    return `k[${this.#constants.push(value) - 1}]`;
  }

  #truth(e: Expression): string {
    switch (e.op) {
      case 'literal':
        return String(e.value === true);
      case 'trait':
        return `s.traitNumber(${e.trait.index}) === 1`;
      case 'tag':
        return `s.holdsTag(${e.tag})`;
      case 'feed':
        return `${this.#feed(e)} === 1`;
      case 'stage':
        return `s.stageOf(${e.journey}) === ${e.stage}`;
      case 'consent':
        return `s.allows(${JSON.stringify(e.purpose)})`;
      case 'has':
        return this.#presence(e.operand);
      case 'not':
        return this.#falsity(e.operand);
      case 'and':
        return `(${this.#truth(e.left)} && ${this.#truth(e.right)})`;
      case 'or':
        return `(${this.#truth(e.left)} || ${this.#truth(e.right)})`;
      case 'choose':
        if (e.type === 'boolean') return this.#choice(e, (branch) => this.#truth(branch), 'false');
        return `(${this.#dynamic(e)} === true)`;
      case 'order':
        return this.#ordered(e, e.operator);
      case 'equal': {
        const sides = this.#numericSides(e.left, e.right);
        return sides === null ? `${this.#equality(e.left, e.right)} === 1` : `${sides[0]} === ${sides[1]}`;
      }
      case 'in':
        return this.#membership(e, (_, found) => found);
      case 'textTest':
        return `${this.#textTest(e)} === 1`;
      default:
        return `(${this.#dynamic(e)} === true)`;
    }
  }

  #falsity(e: Expression): string {
    switch (e.op) {
      case 'literal':
        return String(e.value === false);
      case 'trait':
        return `s.traitNumber(${e.trait.index}) === 0`;
      case 'tag':
        return `!s.holdsTag(${e.tag})`;
      case 'feed':
        return `${this.#feed(e)} === 0`;
      case 'stage':
        return `s.stageOf(${e.journey}) !== ${e.stage}`;
      case 'consent':
        return `!s.allows(${JSON.stringify(e.purpose)})`;
      case 'has':
        return `!(${this.#presence(e.operand)})`;
      case 'not':
        return this.#truth(e.operand);
      case 'and':
        return `(${this.#falsity(e.left)} || ${this.#falsity(e.right)})`;
      case 'or':
        return `(${this.#falsity(e.left)} && ${this.#falsity(e.right)})`;
      case 'choose':
        if (e.type === 'boolean') return this.#choice(e, (branch) => this.#falsity(branch), 'false');
        return `(${this.#dynamic(e)} === false)`;
      case 'order':
        return this.#ordered(e, INVERSE[e.operator]);
      case 'equal': {
        const sides = this.#numericSides(e.left, e.right);
        if (sides === null) return `${this.#equality(e.left, e.right)} === 0`;
        // Not `!==`, which would hold for NaN, the error.
        const [left, right] = [this.#temporary(), this.#temporary()];
        return `(${left} = ${sides[0]}, ${right} = ${sides[1]}, ${left} < ${right} || ${left} > ${right})`;
      }
      case 'in':
        return this.#membership(e, (known, found) => `${known} && !(${found})`);
      case 'textTest':
        return `${this.#textTest(e)} === 0`;
      default:
        return `(${this.#dynamic(e)} === false)`;
    }
  }

  #tri(e: Expression): string {
    switch (e.op) {
      case 'not': {
        const operand = this.#temporary();
        return `((${operand} = ${this.#tri(e.operand)}) < 0 ? -1 : 1 - ${operand})`;
      }
      case 'and':
      case 'or': {
        const [left, right] = [this.#temporary(), this.#temporary()];
        const [absorbing, other] = e.op === 'and' ? [0, 1] : [1, 0];
        return `((${left} = ${this.#tri(e.left)}) === ${absorbing} ? ${absorbing} : (${right} = ${this.#tri(e.right)}) === ${absorbing} ? ${absorbing} : ${left} === ${other} && ${right} === ${other} ? ${other} : -1)`;
      }
      case 'literal':
        return e.value === true ? '1' : e.value === false ? '0' : '-1';
      case 'trait': {
        const value = this.#temporary();
        return `((${value} = s.traitNumber(${e.trait.index})) === 1 ? 1 : ${value} === 0 ? 0 : -1)`;
      }
      case 'tag':
        return `(s.holdsTag(${e.tag}) ? 1 : 0)`;
      case 'feed': {
        const value = this.#temporary();
        return `((${value} = ${this.#feed(e)}) === 1 ? 1 : ${value} === 0 ? 0 : -1)`;
      }
      case 'stage':
        return `(s.stageOf(${e.journey}) === ${e.stage} ? 1 : 0)`;
      case 'consent':
        return `(s.allows(${JSON.stringify(e.purpose)}) ? 1 : 0)`;
      case 'has':
        return `(${this.#presence(e.operand)} ? 1 : 0)`;
      case 'choose':
        if (e.type === 'boolean') return this.#choice(e, (branch) => this.#tri(branch), '-1');
        return `asTri(${this.#dynamic(e)})`;
      case 'order':
        return this.#orderedTri(e);
      case 'equal':
        return this.#equality(e.left, e.right);
      case 'in':
        return this.#membership(e, (known, found) => `(${known}) ? ((${found}) ? 1 : 0) : -1`);
      case 'textTest':
        return this.#textTest(e);
      default:
        return `asTri(${this.#dynamic(e)})`;
    }
  }

  #number(e: Expression): string {
    switch (e.op) {
      case 'literal':
        return typeof e.value === 'number' ? `(${e.value})` : 'NaN';
      case 'trait':
        return isNumeric(e.type) ? `s.traitNumber(${e.trait.index})` : 'NaN';
      case 'now':
        return NOW_CODE[e.field];
      case 'counter':
        return e.read === 'count'
          ? `s.counterCount(${e.counter})`
          : e.read === 'sum'
            ? `s.counterSum(${e.counter})`
            : `s.counterLastSeenSeconds(${e.counter})`;
      case 'values':
        return `s.valueReading(${e.reading})`;
      case 'unusual':
        return this.#unusual(e);
      case 'tagWeight':
        return `s.tagWeight(${e.tag})`;
      case 'feed':
        return isNumeric(e.type) ? this.#feed(e) : 'NaN';
      case 'negate':
        return `(-(${this.#number(e.operand)}))`;
      case 'size':
        return `size(${this.#text(e.operand)})`;
      case 'choose':
        if (isNumeric(e.type)) return this.#choice(e, (branch) => this.#number(branch), 'NaN');
        break;
      case 'arithmetic':
        if (isNumeric(e.type)) {
          const [left, right] = [this.#number(e.left), this.#number(e.right)];
          if (e.operator === '/' && e.type === 'integer') return `divideIntegers(${left}, ${right})`;
          return `(${left} ${e.operator} ${right})`;
        }
        break;
      default:
        break;
    }
    return `asNumber(${this.#dynamic(e)})`;
  }

  #text(e: Expression): string {
    switch (e.op) {
      case 'literal':
        return typeof e.value === 'string' ? JSON.stringify(e.value) : 'undefined';
      case 'trait':
        if (e.type === 'enum') return `${this.#constant(e.trait.values)}[s.traitNumber(${e.trait.index})]`;
        return `(s.hasTrait(${e.trait.index}) ? s.traitText(${e.trait.index}) : undefined)`;
      case 'feed':
        return isTextual(e.type) ? this.#feed(e) : 'undefined';
      case 'choose':
        if (isTextual(e.type)) return this.#choice(e, (branch) => this.#text(branch), 'undefined');
        break;
      case 'arithmetic':
        if (isTextual(e.type)) return `add(${this.#text(e.left)}, ${this.#text(e.right)})`;
        break;
      default:
        break;
    }
    return `asText(${this.#dynamic(e)})`;
  }

  #dynamic(e: Expression): string {
    if (e.type === 'boolean') return `asBoolean(${this.#tri(e)})`;
    if (isNumeric(e.type)) return `known(${this.#number(e)})`;
    if (isTextual(e.type)) return this.#text(e);
    switch (e.op) {
      case 'context':
        return `s.context(${JSON.stringify(e.key)})`;
      case 'choose':
        return this.#choice(e, (branch) => this.#dynamic(branch), 'undefined');
      case 'arithmetic':
        return `add(${this.#dynamic(e.left)}, ${this.#dynamic(e.right)})`;
      default:
        return 'null';
    }
  }

  /** A number, also of a boolean, or a text; NaN or undefined for an error. */
  #feed(e: Extract<Expression, { op: 'feed' }>): string {
    return `s.${e.type === 'text' ? 'feedText' : 'feedNumber'}(${e.feed}, ${e.field}, ${this.#text(e.key)})`;
  }

  /** A person's count beside the row of what is usual; NaN where that is not known. */
  #unusual({ counter, feed, key }: Extract<Expression, { op: 'unusual' }>): string {
    const [middle, deviation] = [MIDDLE, DEVIATION].map(
      (field) => `s.feedNumber(${feed}, ${field}, ${JSON.stringify(key)})`,
    );
    return `unusual(s.counterCount(${counter}), ${middle}, ${deviation})`;
  }

  #presence(operand: Expression): string {
    return operand.op === 'trait' ? `s.hasTrait(${operand.trait.index})` : `${this.#dynamic(operand)} !== undefined`;
  }

  #choice(e: Extract<Expression, { op: 'choose' }>, form: (branch: Expression) => string, error: string): string {
    const when = this.#temporary();
    return `((${when} = ${this.#tri(e.when)}) === 1 ? ${form(e.yes)} : ${when} === 0 ? ${form(e.no)} : ${error})`;
  }

  #ordered(e: Extract<Expression, { op: 'order' }>, operator: OrderOperator): string {
    if (isNumeric(e.left.type) || isNumeric(e.right.type)) {
      return `${this.#number(e.left)} ${operator} ${this.#number(e.right)}`;
    }
    return `order(${this.#dynamic(e.left)}, ${this.#dynamic(e.right)}) ${operator} 0`;
  }

  #orderedTri(e: Extract<Expression, { op: 'order' }>): string {
    const [left, right] = [this.#temporary(), this.#temporary()];
    const isNumber = isNumeric(e.left.type) || isNumeric(e.right.type);
    const values = isNumber
      ? `${left} = ${this.#number(e.left)}, ${right} = ${this.#number(e.right)}`
      : `${left} = order(${this.#dynamic(e.left)}, ${this.#dynamic(e.right)}), ${right} = 0`;
    return `(${values}, ${left} ${e.operator} ${right} ? 1 : ${left} ${INVERSE[e.operator]} ${right} ? 0 : -1)`;
  }

  /** Both sides as numbers whose equality is the equality asked for; null where that cannot be. */
  #numericSides(left: Expression, right: Expression): readonly [string, string] | null {
    if (isNumeric(left.type) && isNumeric(right.type)) return [this.#number(left), this.#number(right)];
    const [leftKey, rightKey] = [traitKey(left), traitKey(right)];
    if (leftKey !== null && right.op === 'literal') return [leftKey, literalKey(left, right)];
    if (rightKey !== null && left.op === 'literal') return [literalKey(right, left), rightKey];
    const areHashes = leftKey !== null && rightKey !== null && left.type === 'text' && right.type === 'text';
    return areHashes ? [leftKey, rightKey] : null;
  }

  #equality(left: Expression, right: Expression): string {
    const sides = this.#numericSides(left, right);
    if (sides !== null) return `equalNumbers(${sides[0]}, ${sides[1]})`;
    if (left.op === 'trait' && left.type === 'text') return `equalHash(${traitKey(left)}, ${this.#dynamic(right)})`;
    if (right.op === 'trait' && right.type === 'text') return `equalHash(${traitKey(right)}, ${this.#dynamic(left)})`;
    return `equal(${this.#dynamic(left)}, ${this.#dynamic(right)})`;
  }

  #membership(e: Extract<Expression, { op: 'in' }>, form: (known: string, found: string) => string): string {
    const value = this.#temporary();
    const key = traitKey(e.left);
    const isNumber = key !== null || isNumeric(e.left.type);
    const code = key ?? (isNumber ? this.#number(e.left) : this.#dynamic(e.left));
    const items = e.items.map((item) => (key === null ? literalCode(item) : literalKey(e.left, item)));
    const found =
      items.length > CHAIN_LENGTH_MAX
        ? `${this.#constant(new Set(items.map((item) => JSON.parse(item) as unknown)))}.has(${value})` // literal code is JSON
        : items.length === 0
          ? 'false'
          : items.map((item) => `${value} === ${item}`).join(' || ');
    const known = isNumber ? `${value} === ${value}` : `${value} !== undefined`;
    return `(${value} = ${code}, ${form(known, found)})`;
  }

  #textTest(e: Extract<Expression, { op: 'textTest' }>): string {
    return `${e.test}(${this.#text(e.left)}, ${this.#text(e.right)})`;
  }
}

/** A plain reading of the scope: its code needs no temporaries and no constants, so equal codes are equal subjects. */
function isReading(e: Expression): boolean {
  // The values of an enum are a constant, whose number is not the same twice.
  if (e.op === 'feed')
    return e.key.op === 'literal' || e.key.op === 'context' || (e.key.op === 'trait' && e.key.type === 'text');
  return READINGS.has(e.op);
}

const READINGS: ReadonlySet<Expression['op']> = new Set(['trait', 'counter', 'values', 'tagWeight', 'now', 'context']);

const NOW_CODE = { hour: 's.nowHour()', weekday: 's.nowWeekday()', epochMillis: 's.nowEpochMillis()' } as const;

/** Number that stands for an enum's index or a text trait's hash, NaN when absent; null for all else. */
function traitKey(e: Expression): string | null {
  if (e.op !== 'trait' || !isTextual(e.type)) return null;
  return e.type === 'enum' ? `s.traitNumber(${e.trait.index})` : `s.traitHash(${e.trait.index})`;
}

/** A literal as the same kind of number as `traitKey(trait)`; the checker has made sure it is text. */
function literalKey(trait: Expression, literal: Literal): string {
  const text = String(literal.value);
  if (trait.op === 'trait' && trait.type === 'enum') return String(trait.trait.values.indexOf(text));
  return String(textHash(text));
}

function literalCode(literal: Literal): string {
  return JSON.stringify(literal.value);
}
