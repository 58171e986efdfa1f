/**
 * How unusual what a person does is, beside everybody who does it too: how far the logarithm of their count lies above the
 * middle one, in robust deviations. Median and median absolute deviation, so that those looked for do not move what is
 * usual, and logarithms, because counts of people spread over powers of ten.
 *
 * Source: B. Iglewicz and D. C. Hoaglin, "How to Detect and Handle Outliers" (1993): above 3.5 such deviations an
 * observation is labelled. Called by `workers/segments/measure-usual.ts` and `list-unusual.ts`.
 */
import { naturalLogarithm } from '../normal.ts';
import { deviationsAbove } from '../usual-feed.ts';

/** What is usual of one rate, of those who have any: in ln(1 + count). */
export interface UsualRate {
  readonly middle: number;
  /** One robust deviation, above 0. */
  readonly deviation: number;
}

export const DEVIATIONS_UNUSUAL = 3.5;
/** Of fewer people the middle is chance. */
const PEOPLE_MIN = 50;
/** Makes the median absolute deviation of normal numbers their standard deviation. */
const NORMAL_DEVIATION = 1.4826;
/** Where most do the same: a deviation is a factor of 1.4 at least, or ten where five are usual would be a wonder. */
const DEVIATION_MIN = 0.35;

/** @param people how many have each count, above 0; null where too few have any */
export function usualRate(people: ReadonlyMap<number, number>): UsualRate | null {
  let total = 0;
  for (const number of people.values()) total += number;
  if (total < PEOPLE_MIN) return null;
  const rates = [...people].map(([count, number]) => [naturalLogarithm(1 + count), number] as const);
  const middle = medianOf(rates, total);
  const distances = rates.map(([rate, number]) => [Math.abs(rate - middle), number] as const);
  return { middle, deviation: Math.max(DEVIATION_MIN, NORMAL_DEVIATION * medianOf(distances, total)) };
}

/** Robust deviations of a count above what is usual; below 0 where it is less. */
export function deviationsOf(count: number, { middle, deviation }: UsualRate): number {
  return deviationsAbove(count, middle, deviation);
}

/** The count in the middle. */
export function usualCount(people: ReadonlyMap<number, number>): number {
  let total = 0;
  for (const number of people.values()) total += number;
  return medianOf([...people], total);
}

/** Several unusual rates together, as one that is this far: the root of the sum of their squares. */
export function unusualScore(deviations: readonly number[]): number {
  return Math.sqrt(deviations.reduce((sum, one) => sum + one * one, 0));
}

/** The lower of two in the middle. @param values with how many have each; `total` of them */
function medianOf(values: readonly (readonly [value: number, number: number])[], total: number): number {
  let below = 0;
  let last = 0;
  for (const [value, number] of [...values].sort(([a], [b]) => a - b)) {
    below += number;
    last = value;
    if (2 * below >= total) break;
  }
  return last;
}
