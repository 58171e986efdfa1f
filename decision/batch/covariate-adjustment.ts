/**
 * CUPED: what is known of people before an experiment takes out the part of the outcome's spread that it predicts,
 * so that the same people show smaller effects.
 *
 *   y' = y − θ (x − mean of x over all arms),   θ = Σ cov(x, y) / Σ var(x), both within arms
 *   variance of y' = (1 − corr²) × variance of y
 *
 * Unbiased, because x was fixed before the arms were dealt and so has the same mean in each; a covariate that the
 * treatment can touch would bias it. Source: Deng, Xu, Kohavi and Walker, "Improving the sensitivity of online
 * controlled experiments by utilizing pre-experiment data", WSDM 2013, section 3. The result is `Moments`, for
 * `compareArms`; that θ is estimated adds an error of order 1 / people, which is left out as in the paper.
 */
import type { Moments } from './confidence-sequence.ts';

const VALUE_MAX = 1e100;

/** Of covariate x and outcome y of one arm. Start with `noJointMoments()`. */
export interface JointMoments {
  count: number;
  meanX: number;
  meanY: number;
  /** Σ (x − mean)², Σ (x − mean)(y − mean), Σ (y − mean)². */
  squaresX: number;
  products: number;
  squaresY: number;
}

export function noJointMoments(): JointMoments {
  return { count: 0, meanX: 0, meanY: 0, squaresX: 0, products: 0, squaresY: 0 };
}

/** One person more. @returns false, and nothing is learnt, unless both are finite and at most 1e100 in magnitude */
export function addPerson(moments: JointMoments, covariate: number, outcome: number): boolean {
  if (!(covariate >= -VALUE_MAX && covariate <= VALUE_MAX && outcome >= -VALUE_MAX && outcome <= VALUE_MAX))
    return false;
  moments.count += 1;
  const beforeX = covariate - moments.meanX;
  const beforeY = outcome - moments.meanY;
  moments.meanX += beforeX / moments.count;
  moments.meanY += beforeY / moments.count;
  moments.squaresX += beforeX * (covariate - moments.meanX);
  moments.products += beforeX * (outcome - moments.meanY);
  moments.squaresY += beforeY * (outcome - moments.meanY);
  return true;
}

export interface AdjustedArms {
  /** θ; 0 where the covariate does not vary. */
  readonly coefficient: number;
  /** Squared correlation within arms: the share of variance taken out, [0, 1]. */
  readonly varianceReduction: number;
  /** Of y', in the order of the arms. */
  readonly arms: readonly Moments[];
}

/** @param arms any number; arms without people stay without. Draws: none. */
export function adjustArms(arms: readonly Readonly<JointMoments>[]): AdjustedArms {
  let [count, sumX, squaresX, products, squaresY] = [0, 0, 0, 0, 0];
  for (const arm of arms) {
    count += arm.count;
    sumX += arm.count * arm.meanX;
    squaresX += arm.squaresX;
    products += arm.products;
    squaresY += arm.squaresY;
  }
  const coefficient = squaresX > 0 ? products / squaresX : 0;
  const meanX = count > 0 ? sumX / count : 0;
  const reduction = squaresY > 0 ? (coefficient * products) / squaresY : 0;
  return {
    coefficient,
    varianceReduction: Math.min(Math.max(reduction, 0), 1),
    arms: arms.map((arm) => ({
      count: arm.count,
      mean: arm.count > 0 ? arm.meanY - coefficient * (arm.meanX - meanX) : 0,
      // Not below 0, which rounding could give where x predicts y entirely.
      squares: Math.max(arm.squaresY - coefficient * (2 * arm.products - coefficient * arm.squaresX), 0),
    })),
  };
}
