/**
 * Which types go together in a rule and what comes of it. Lenient with numbers where CEL is not:
 * integers and doubles compare and calculate with one another; two integers stay an integer.
 */
import { type ArithmeticOperator, isNumeric, isTextual, type RuleType } from './rule-syntax.ts';

export function areComparable(left: RuleType, right: RuleType): boolean {
  return commonType(left, right) !== null;
}

/** The type that holds both; null when there is none. */
export function commonType(left: RuleType, right: RuleType): RuleType | null {
  if (left === 'unknown' || right === 'unknown') return 'unknown';
  if (left === 'dynamic' || right === 'dynamic') return 'dynamic';
  if (isNumeric(left) && isNumeric(right)) return left === right ? left : 'number';
  if (isTextual(left) && isTextual(right)) return 'text';
  return left === right ? left : null;
}

/** Type of `left operator right`; null when they do not go together. */
export function arithmeticType(operator: ArithmeticOperator, left: RuleType, right: RuleType): RuleType | null {
  if (left === 'unknown' || right === 'unknown') return 'unknown';
  if (operator === '+' && isTextual(left) && isTextual(right)) return 'text';
  const isDynamic = left === 'dynamic' || right === 'dynamic';
  const fits = (type: RuleType): boolean =>
    isNumeric(type) || type === 'dynamic' || (operator === '+' && isDynamic && isTextual(type));
  if (!fits(left) || !fits(right)) return null;
  // Only "+" of a context value may turn out to be text; everything else is a number or an error.
  if (isDynamic) return operator === '+' ? 'dynamic' : 'number';
  return left === 'integer' && right === 'integer' ? 'integer' : 'number';
}
