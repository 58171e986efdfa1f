/**
 * What was expected of a value that was refused, in words: names the declared bound and never the value, which may be
 * anybody's phone number. For messages to callers, dead letters and the operator's reports.
 */
import type { Plain } from '../../proto/messages.ts';
import { REFUSAL, type ValueRules } from './value-rules.ts';

/** What a value is declared to be; traits without rules of their own have the first four. */
type Declared = Pick<ValueRules, 'type' | 'min' | 'max' | 'values'> &
  Partial<Pick<ValueRules, 'normalisers' | 'region'>>;

/** What is expected of values declared so. */
export function expectationOf({ type, min, max, values, normalisers = [], region = null }: Declared): string {
  if (normalisers.includes('phone'))
    return region === null
      ? 'a phone number with its country code, such as +4930123456'
      : `a phone number, with its country code or of ${region}`;
  if (normalisers.includes('mail')) return 'a mail address';
  if (normalisers.includes('currencyCode')) return 'an ISO 4217 currency code such as EUR';
  if (normalisers.includes('time'))
    return `an instant of ISO 8601 or in epoch milliseconds, ${boundsOf(min, max) || 'from 1900 to 2200'}`;
  switch (type) {
    case 'integer':
      return join('an integer', boundsOf(min, max));
    case 'number':
      return join('a number', boundsOf(min, max));
    case 'boolean':
      return 'a boolean';
    case 'enum':
      return `one of ${values.join(', ')}`;
    case 'items':
      return 'a list of at most 1000 maps {sku, quantity: 1 to 1000000, priceMinor}';
    case 'list':
      return 'a list of at most 1000 values';
    case 'map':
      return 'a map';
    default:
      return 'a string of at most 4096 characters';
  }
}

/** What came instead, without its content. */
export function kindOf(value: Plain | undefined): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'string') return `a string of ${value.length} characters`;
  return typeof value === 'object' ? 'a map' : `a ${typeof value}`;
}

/** The sentence for a refusal. @param path such as `track.properties.revenueMinor` */
export function refusalText(path: string, rules: ValueRules, refusal: number, value: Plain | undefined): string {
  if (refusal === REFUSAL.required) return `${path}: required, and missing`;
  if (refusal === REFUSAL.contradiction && rules.major !== null)
    return `${path}: ${rules.major.name} says another amount, or none of its currency`;
  return `${path}: expected ${expectationOf(rules)}, got ${kindOf(value)}`;
}

function boundsOf(min: number | null, max: number | null): string {
  if (min !== null && max !== null) return `from ${min} to ${max}`;
  if (min !== null) return `of at least ${min}`;
  return max === null ? '' : `of at most ${max}`;
}

function join(what: string, bounds: string): string {
  return bounds === '' ? what : `${what} ${bounds}`;
}
