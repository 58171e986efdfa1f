/**
 * Why a clause says no, and when time alone will change its mind: what it compares, with which bound,
 * and the instant at which it turns true. Cold path: runs only for requests that ask for an explanation.
 */
import type { RuleScope } from '../../decision/rule.ts';
import type { Scalar } from '../../proto/messages.ts';
import { localHourAt, nextHourWhere } from './local-hour.ts';
import { type Expression, type Literal, type OrderOperator, operandsOf } from './rule-syntax.ts';

type ComparisonOperator = OrderOperator | '==' | '!=' | 'in' | 'not in';

/** A clause of the form `subject operator literal`. */
export interface Comparison {
  readonly subject: Expression;
  readonly operator: ComparisonOperator;
  /** The literal; for `in` the list as written. */
  readonly threshold: Scalar;
}

const FLIPPED = {
  '<': '>',
  '<=': '>=',
  '>': '<',
  '>=': '<=',
  '==': '==',
  '!=': '!=',
  in: 'in',
  'not in': 'not in',
} as const;
const NEGATED = {
  '<': '>=',
  '<=': '>',
  '>': '<=',
  '>=': '<',
  '==': '!=',
  '!=': '==',
  in: 'not in',
  'not in': 'in',
} as const;

/** The comparison a clause is, seen through negations; null when it is anything else. */
export function comparisonOf(expression: Expression, source: string): Comparison | null {
  if (expression.op === 'not') {
    const inner = comparisonOf(expression.operand, source);
    return inner === null ? null : { ...inner, operator: NEGATED[inner.operator] };
  }
  if (expression.op === 'in') {
    const threshold = source.slice(expression.listStart, expression.listEnd);
    return { subject: expression.left, operator: 'in', threshold };
  }
  if (expression.op !== 'order' && expression.op !== 'equal') return null;
  const operator = expression.op === 'order' ? expression.operator : '==';
  if (isLiteral(expression.right)) return { subject: expression.left, operator, threshold: expression.right.value };
  if (isLiteral(expression.left))
    return { subject: expression.right, operator: FLIPPED[operator], threshold: expression.left.value };
  return null;
}

function isLiteral(expression: Expression): expression is Literal {
  return expression.op === 'literal';
}

/** When a clause turns true by time alone; null when it is true now or time alone will not do it. */
export type Awakening = (scope: RuleScope) => number | null;

/** Zone of the person a scope shows, and the zone to use where that one is unknown. */
export type ZoneOf = (scope: RuleScope) => string;

/** Readings of the person, the request or a feed: of these an hour alone says nothing. */
const SUBJECTS: ReadonlySet<Expression['op']> = new Set([
  'trait',
  'context',
  'counter',
  'unusual',
  'values',
  'tag',
  'tagWeight',
  'stage',
  'consent',
  'feed',
]);

const HOURS_A_DAY = 25; // the day on which clocks go back has one more
const HOURS_A_WEEK = 7 * 24 + 1;

/** How time changes this clause; null when it never does. `holds` is the clause itself. */
export function awakeningOf(
  expression: Expression,
  comparison: Comparison | null,
  holds: (scope: RuleScope) => boolean,
  zoneOf: ZoneOf,
): Awakening | null {
  const fields = nowFields(expression);
  if (fields !== null) {
    const hoursMax = fields.has('weekday') ? HOURS_A_WEEK : HOURS_A_DAY;
    return (scope) => {
      const zone = zoneOf(scope);
      const clock = new ClockScope();
      return nextHourWhere(scope.nowEpochMillis(), zone, hoursMax, (local) =>
        holds(clock.showing(local.hour, local.weekday)),
      );
    };
  }
  const subject = comparison?.subject;
  if (comparison === null || subject?.op !== 'counter' || typeof comparison.threshold !== 'number') return null;
  const { operator, threshold } = comparison;
  const { counter } = subject;
  if (subject.read === 'lastSeen') {
    if (operator !== '>' && operator !== '>=') return null;
    // At the bound itself ">" is still false: one millisecond later it is true.
    const strictMillis = operator === '>' ? 1 : 0;
    return (scope) =>
      scope.nowEpochMillis() + Math.ceil((threshold - scope.counterLastSeenSeconds(counter)) * 1000) + strictMillis;
  }
  const value = (scope: RuleScope): number =>
    subject.read === 'count' ? scope.counterCount(counter) : scope.counterSum(counter);
  if (operator !== '<' && operator !== '<=' && operator !== '==' && operator !== '!=') return null;
  return (scope) => {
    // A count only falls with time: below the bound wanted, waiting does not help.
    if (operator === '==' && !(value(scope) > threshold)) return null;
    const leavesAt = scope.counterOldestLeavesAtEpochMillis(counter);
    return Number.isNaN(leavesAt) ? null : leavesAt;
  };
}

/** Which of `now.hour` and `now.weekday` an expression reads; null when it reads none or anything else. */
function nowFields(expression: Expression): ReadonlySet<string> | null {
  const fields = new Set<string>();
  const isPure = (e: Expression): boolean => {
    // An instant is no hour that comes again.
    if (e.op === 'now' && e.field === 'epochMillis') return false;
    if (e.op === 'now') fields.add(e.field);
    if (SUBJECTS.has(e.op)) return false;
    return operandsOf(e).every(isPure);
  };
  return isPure(expression) && fields.size > 0 ? fields : null;
}

/** The person's zone when the platform knows it, else `fallback`. `trait` is -1 without such a trait. */
export function zoneReader(trait: number, fallback: string): ZoneOf {
  if (trait < 0) return () => fallback;
  return (scope) => {
    const zone = scope.hasTrait(trait) ? scope.traitText(trait) : fallback;
    return localHourAt(0, zone) === null ? fallback : zone;
  };
}

/** Shows a local hour and nothing else, to clauses that read nothing else. */
class ClockScope implements RuleScope {
  #hour = 0;
  #weekday = 0;

  showing(hour: number, weekday: number): this {
    this.#hour = hour;
    this.#weekday = weekday;
    return this;
  }
  nowHour(): number {
    return this.#hour;
  }
  nowWeekday(): number {
    return this.#weekday;
  }
  hasTrait(): boolean {
    return false;
  }
  traitNumber(): number {
    return Number.NaN;
  }
  traitHash(): number {
    return Number.NaN;
  }
  traitText(): string {
    return '';
  }
  counterCount(): number {
    return Number.NaN;
  }
  counterSum(): number {
    return Number.NaN;
  }
  counterLastSeenSeconds(): number {
    return Number.NaN;
  }
  counterOldestLeavesAtEpochMillis(): number {
    return Number.NaN;
  }
  valueReading(): number {
    return Number.NaN;
  }
  holdsTag(): boolean {
    return false;
  }
  tagWeight(): number {
    return Number.NaN;
  }
  stageOf(): number {
    return Number.NaN;
  }
  allows(): boolean {
    return false;
  }
  feedNumber(): number {
    return Number.NaN;
  }
  feedText(): undefined {
    return undefined;
  }
  context(): undefined {
    return undefined;
  }
  nowEpochMillis(): number {
    return Number.NaN;
  }
}
