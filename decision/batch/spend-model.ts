/**
 * How much does this person spend a purchase, and what are they worth? The Gamma-Gamma model:
 *
 *   spend of one purchase ~ Gamma(p, nu),   nu ~ Gamma(q, v) over persons
 *   E[spend | x purchases of mean z] = p (v + x z) / (p x + q - 1):  the person's mean, shrunk to everybody's
 *
 * Fader and Hardie, "The Gamma-Gamma model of monetary value", brucehardie.com/notes/025, 2013. It takes spend and
 * frequency as unrelated; where big spenders buy more often, the value of both kinds is drawn to the middle.
 * `customerValue` joins it to `purchase-model.ts`. Pure and seedless; the fit is batch work for the job pool.
 */

import { exponential, naturalLogarithm } from '../normal.ts';
import { logGamma } from './gamma-function.ts';
import { minimise } from './minimum.ts';
import { expectedPurchases, type PurchaseModel } from './purchase-model.ts';

export interface SpendModel {
  /** Shape of one purchase's spend, > 0. */
  readonly p: number;
  /** Shape over persons, > 1, or the mean over persons would not exist. */
  readonly q: number;
  /** Scale over persons, in the unit of money, >= 0. 0 only when nobody spent anything. */
  readonly v: number;
}

export interface SpendFit {
  readonly model: SpendModel;
  /** Natural logarithm of the likelihood of the mean spends; 0 for nobody. */
  readonly logLikelihood: number;
  /** Persons it rests on: those with x > 0 and z > 0. */
  readonly persons: number;
  /** False when a parameter stopped at its bound, as with equal spends or a handful of persons; the model is usable. */
  readonly isReliable: boolean;
}

/** p, q - 1 and v as a share of the mean spend stay within this factor of 1. */
const PARAMETER_FACTOR_MAX = 10_000;
const LOG_BOUND = naturalLogarithm(PARAMETER_FACTOR_MAX);
const EVALUATIONS_MAX = 1_500;

/**
 * Maximum likelihood over the persons with x > 0 and z > 0 (Fader and Hardie 2013, equation 1a):
 *
 *   ln G(px+q) - ln G(px) - ln G(q) + q ln v + (px-1) ln z + px ln x - (px+q) ln(v + xz)
 *
 * *Deviations:* q is kept above 1, so that everybody's mean is finite; persons whose purchases were all free take no
 * part, since a Gamma has no mass at 0. Nobody left: p = 1, q = 2, v = 0, which expects x z / (x + 1).
 *
 * @param repeatCounts x, integers >= 0, length n: the purchases that `meanSpends` is the mean of
 * @param meanSpends z, length n, finite and >= 0, one unit of money; not looked at where x is 0
 * @throws RangeError naming column, row and bound
 * Draws taken: none. Cost: 200 to 600 evaluations of some 100 ns a person with spend.
 */
export function fitSpendModel(repeatCounts: Float64Array, meanSpends: Float64Array): SpendFit {
  checkSpends(repeatCounts, meanSpends);
  const isKept = (_: number, i: number): boolean => at(repeatCounts, i) > 0 && at(meanSpends, i) > 0;
  const counts = repeatCounts.filter(isKept);
  const spends = meanSpends.filter(isKept);
  const persons = spends.length;
  if (persons === 0) return { model: { p: 1, q: 2, v: 0 }, logLikelihood: 0, persons, isReliable: false };
  let scale = 0;
  // The mean of quotients, since a sum of amounts near a double's limit would overflow.
  for (const spend of spends) scale += spend / persons;
  const modelAt = (point: Float64Array): SpendModel => ({
    p: exponential(at(point, 0)),
    q: 1 + exponential(at(point, 1)),
    v: scale * exponential(at(point, 2)),
  });
  const upper = new Float64Array(3).fill(LOG_BOUND);
  const found = minimise((point) => -sumLikelihood(modelAt(point), counts, spends), Float64Array.of(1, 1, 0), {
    lower: upper.map((bound) => -bound),
    upper,
    step: 0.5,
    tolerance: 1e-10,
    evaluationsMax: EVALUATIONS_MAX,
  });
  const isInside = found.point.every((x) => Math.abs(x) < LOG_BOUND - 1e-3);
  return {
    model: modelAt(found.point),
    logLikelihood: -found.value,
    persons,
    isReliable: found.isConverged && isInside,
  };
}

function sumLikelihood({ p, q, v }: SpendModel, counts: Float64Array, spends: Float64Array): number {
  const common = q * naturalLogarithm(v) - logGamma(q);
  let sum = 0;
  for (let i = 0; i < counts.length; i += 1) {
    const x = at(counts, i);
    const total = x * at(spends, i);
    const shape = p * x;
    sum += common + logGamma(shape + q) - logGamma(shape) - naturalLogarithm(at(spends, i));
    sum += shape * naturalLogarithm(total) - (shape + q) * naturalLogarithm(v + total);
  }
  return sum;
}

/**
 * E[spend of a purchase | x, z], in the model's unit of money: everybody's mean, p v / (q - 1), for x = 0, the
 * person's own as x grows. Finite and >= 0 for finite arguments.
 * @param x purchases seen, >= 0
 * @param meanSpend z, their mean; not looked at where x is 0
 */
export function expectedSpend({ p, q, v }: SpendModel, x: number, meanSpend: number): number {
  if (x === 0) return (p * v) / (q - 1);
  // A weighted mean instead of p (v + x z) / (p x + q - 1), whose x z may overflow.
  const own = (p * x) / (p * x + q - 1);
  return own * meanSpend + (1 - own) * ((p * v) / (q - 1));
}

/** The span a customer's value is summed over. */
export interface ValueHorizon {
  /** Length of a period, in the unit of time of the histories; > 0. */
  readonly periodTime: number;
  /** Periods, an integer >= 1. */
  readonly periods: number;
  /** Interest a period, >= 0: .01 for a month is 12.7 % a year. */
  readonly discountRate: number;
}

/** @throws RangeError naming the field and its bound */
export function checkValueHorizon({ periodTime, periods, discountRate }: ValueHorizon): void {
  if (!(periodTime > 0 && periodTime < Infinity)) throw new RangeError(`periodTime ${periodTime}: finite and above 0`);
  if (!(Number.isInteger(periods) && periods >= 1))
    throw new RangeError(`periods ${periods}: an integer of at least 1`);
  if (!(discountRate >= 0 && discountRate < Infinity))
    throw new RangeError(`discountRate ${discountRate}: finite and at least 0`);
}

/**
 * Value of a person's coming purchases today, in the unit of money:
 *
 *     E[spend] x sum over periods i of (E[purchases to i] - E[purchases to i - 1]) / (1 + rate)^i
 *
 * as the `lifetimes` library has it: a period's purchases are paid at its end. Revenue: multiply by a margin for
 * profit. Arguments as in `PurchaseHistories` and `expectedSpend`; `horizon` as checked by `checkValueHorizon`.
 * Cost: one `expectedPurchases` a period; without interest one altogether.
 */
export function customerValue(
  purchases: PurchaseModel,
  spends: SpendModel,
  person: { readonly x: number; readonly lastTime: number; readonly observedTime: number; readonly meanSpend: number },
  horizon: ValueHorizon,
): number {
  const { x, lastTime, observedTime, meanSpend } = person;
  const { periodTime, periods, discountRate } = horizon;
  const spend = expectedSpend(spends, x, meanSpend);
  const expectedTo = (time: number): number => expectedPurchases(purchases, x, lastTime, observedTime, time);
  if (discountRate === 0) return spend * expectedTo(periods * periodTime);
  let discounted = 0;
  let before = 0;
  let discount = 1;
  for (let i = 1; i <= periods; i += 1) {
    discount /= 1 + discountRate;
    const now = expectedTo(i * periodTime);
    discounted += (now - before) * discount;
    before = now;
  }
  return spend * discounted;
}

/** @throws RangeError naming column, row and bound for what `fitSpendModel` does not take */
export function checkSpends(repeatCounts: Float64Array, meanSpends: Float64Array): void {
  if (meanSpends.length !== repeatCounts.length)
    throw new RangeError(`meanSpends: ${meanSpends.length} values for ${repeatCounts.length} repeatCounts`);
  for (let i = 0; i < meanSpends.length; i += 1) {
    const x = at(repeatCounts, i);
    const spend = at(meanSpends, i);
    if (!(Number.isSafeInteger(x) && x >= 0))
      throw new RangeError(`repeatCounts[${i}] is ${x}: must be an integer of at least 0`);
    if (x > 0 && !(spend >= 0 && spend < Infinity))
      throw new RangeError(`meanSpends[${i}] is ${spend}: must be finite and at least 0`);
  }
}

function at(values: Float64Array, index: number): number {
  return values[index] as number; // every caller keeps index < length
}
