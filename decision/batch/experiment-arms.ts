/**
 * Who is in which arm of an experiment, and whether the arms came out as dealt.
 *
 * An arm is a fixed function of the person and the experiment's salt: the line (0, 1) of holdout.ts, cut at the
 * shares. It needs no stored flag, is the same on every machine, and two experiments deal independently. Growing
 * the shares from the last arm on adds people and moves none.
 *
 * A sample ratio mismatch (SRM) means that people are lost or counted twice in one arm, so no result can be
 * believed. Two tests of the counts against the shares:
 *   chi-square           Σ (n − e)² / e: right when looked at once
 *   Dirichlet-multinomial  p = 1 / E, E = ∫ likelihood(θ) dDirichlet(C × shares) / likelihood(shares): right however
 *                        often one looks, because E is a martingale with mean 1 and Ville's inequality bounds it
 * Sources: Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments", KDD 2019 (the bound
 * .001); Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022, equation 8.
 */

import { holdoutPoint } from '../holdout.ts';
import { exponential, naturalLogarithm } from '../normal.ts';
import { chiSquareTail, logGamma } from './gamma-function.ts';

/** In no arm: the shares leave room for people outside the experiment. */
export const NO_ARM = -1;
/** Below this p the arms did not come out as dealt. */
export const MISMATCH_PROBABILITY = 0.001;
/** Chi-square is not to be believed with fewer expected in an arm (Cochran 1954). */
const EXPECTED_MIN = 5;
const COUNT_MAX = 1e12;
/** C: people's worth of belief in the shares. Deviations of a share by about 1 / (2 sqrt C) = 1.6 points are found first. */
const CONCENTRATION = 1000;

/**
 * The arm of one person, 0 to shares.length − 1, or NO_ARM.
 *
 * @param keyHashHigh, keyHashLow 64-bit hash of tenant and profile key
 * @param salt 32-bit hash of the experiment's name; one of its own each experiment
 * @param shares each in [0, 1], their sum at most 1; a share of NaN or below 0 gets nobody
 * Draws: none of any decision. Cost: 40 ns; allocates nothing.
 */
export function armOf(keyHashHigh: number, keyHashLow: number, salt: number, shares: ArrayLike<number>): number {
  const point = holdoutPoint(keyHashHigh, keyHashLow, salt);
  let end = 0;
  for (let arm = 0; arm < shares.length; arm += 1) {
    const share = shares[arm] as number; // arm < length
    if (share > 0) end += share;
    if (point < end) return arm;
  }
  return NO_ARM;
}

export interface SampleRatio {
  readonly chiSquare: number;
  /** Of chi-square, for one look; 1 where an arm expects fewer than five. */
  readonly pValue: number;
  /** Holds at every look at once. */
  readonly sequentialPValue: number;
  /** pValue < .001: for an experiment that is looked at once, at its end. */
  readonly isMismatch: boolean;
  /** sequentialPValue < .001 at this look: for a monitor; false alarms in all of time at most 1 in 1,000. */
  readonly isAlarm: boolean;
}

/**
 * Do the counts fit the shares?
 *
 * @param counts people met in each arm, whole, 0 to 1e12
 * @param shares wanted, each >= 0, at least one above 0; divided by their sum, so people outside do not matter
 * @returns p of 1 for no people or one arm; p of 0 for people in an arm of share 0
 * @throws RangeError for counts or shares out of bounds
 * Draws: none. Cost: 0.3 us an arm.
 */
export function sampleRatio(counts: ArrayLike<number>, shares: ArrayLike<number>): SampleRatio {
  if (counts.length !== shares.length) throw new RangeError(`${counts.length} counts for ${shares.length} shares`);
  let people = 0;
  let shareSum = 0;
  for (let arm = 0; arm < counts.length; arm += 1) {
    const count = counts[arm] as number; // arm < length
    const share = shares[arm] as number; // the same length
    if (!(Number.isInteger(count) && count >= 0 && count <= COUNT_MAX))
      throw new RangeError(`counts[${arm}] is ${count}: a whole number up to ${COUNT_MAX}`);
    if (!(share >= 0 && share < Number.POSITIVE_INFINITY)) throw new RangeError(`shares[${arm}] is ${share}: from 0`);
    people += count;
    shareSum += share;
  }
  if (!(shareSum > 0 && shareSum < Number.POSITIVE_INFINITY)) throw new RangeError('shares: their sum must be above 0');
  let chiSquare = 0;
  let arms = 0;
  let leastExpected = Number.POSITIVE_INFINITY;
  let logEvidence = logGamma(CONCENTRATION) - logGamma(CONCENTRATION + people);
  for (let arm = 0; arm < counts.length; arm += 1) {
    const count = counts[arm] as number; // arm < length
    const share = (shares[arm] as number) / shareSum; // the same length
    if (share === 0) {
      if (count === 0) continue;
      return { chiSquare: Infinity, pValue: 0, sequentialPValue: 0, isMismatch: true, isAlarm: true };
    }
    arms += 1;
    const expected = people * share;
    leastExpected = Math.min(leastExpected, expected);
    if (people > 0) chiSquare += (count - expected) ** 2 / expected;
    const belief = CONCENTRATION * share;
    logEvidence += logGamma(belief + count) - logGamma(belief) - count * naturalLogarithm(share);
  }
  const pValue = leastExpected >= EXPECTED_MIN ? chiSquareTail(chiSquare, arms - 1) : 1;
  // Exactly 1 with a single arm or nobody; rounding of large logarithms must not make evidence of that.
  const sequentialPValue = arms < 2 || people === 0 ? 1 : Math.min(exponential(-logEvidence), 1);
  return {
    chiSquare,
    pValue,
    sequentialPValue,
    isMismatch: pValue < MISMATCH_PROBABILITY,
    isAlarm: sequentialPValue < MISMATCH_PROBABILITY,
  };
}
