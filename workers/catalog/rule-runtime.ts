/**
 * The few operations generated rule code calls instead of spelling out. `undefined` is an error among
 * values, NaN among numbers, -1 among truths; none of them throws, none allocates except a text join.
 */
import { deviationsAbove } from '../../decision/usual-feed.ts';
import type { Scalar } from '../../proto/messages.ts';
import { textHash } from '../../proto/murmur3.ts';

type Value = Scalar | undefined;
type Truth = 1 | 0 | -1;

function truthOf(isTrue: boolean): Truth {
  return isTrue ? 1 : 0;
}

export const RULE_RUNTIME = {
  asNumber: (value: Value): number => (typeof value === 'number' ? value : Number.NaN),
  asText: (value: Value): string | undefined => (typeof value === 'string' ? value : undefined),
  asTri: (value: Value): Truth => (value === true ? 1 : value === false ? 0 : -1),
  asBoolean: (truth: number): boolean | undefined => (truth < 0 ? undefined : truth === 1),
  known: (value: number): number | undefined => (Number.isNaN(value) ? undefined : value),
  /** Truncates toward zero as CEL does; division by zero is an error. */
  divideIntegers: (left: number, right: number): number => (right === 0 ? Number.NaN : Math.trunc(left / right)),
  unusual: deviationsAbove,
  add: (left: Value, right: Value): string | number | undefined => {
    if (typeof left === 'number' && typeof right === 'number') return left + right;
    return typeof left === 'string' && typeof right === 'string' ? left + right : undefined;
  },
  /** Negative, 0 or positive for two values of one orderable type; NaN otherwise. */
  order: (left: Value, right: Value): number => {
    if (left === undefined || left === null || typeof left !== typeof right || right === null || right === undefined)
      return Number.NaN;
    return left < right ? -1 : left > right ? 1 : left === right ? 0 : Number.NaN;
  },
  equal: (left: Value, right: Value): Truth =>
    left === undefined || right === undefined ? -1 : truthOf(left === right),
  equalNumbers: (left: number, right: number): Truth =>
    Number.isNaN(left) || Number.isNaN(right) ? -1 : truthOf(left === right),
  /** A text trait's hash against a value of any type. */
  equalHash: (hash: number, value: Value): Truth => {
    if (value === undefined || Number.isNaN(hash)) return -1;
    return truthOf(typeof value === 'string' && textHash(value) === hash);
  },
  startsWith: (text: string | undefined, part: string | undefined): Truth =>
    text === undefined || part === undefined ? -1 : truthOf(text.startsWith(part)),
  endsWith: (text: string | undefined, part: string | undefined): Truth =>
    text === undefined || part === undefined ? -1 : truthOf(text.endsWith(part)),
  contains: (text: string | undefined, part: string | undefined): Truth =>
    text === undefined || part === undefined ? -1 : truthOf(text.includes(part)),
  /** Unicode code points, as CEL counts; a lone surrogate counts as one. */
  size: (text: string | undefined): number => {
    if (text === undefined) return Number.NaN;
    let count = 0;
    for (let index = 0; index < text.length; index += 1) {
      if (text.charCodeAt(index) >> 10 === 0x36 && text.charCodeAt(index + 1) >> 10 === 0x37) index += 1;
      count += 1;
    }
    return count;
  },
} as const;
