/**
 * The difference of two arms, with a band that holds at every look at once: one may watch an experiment all day and
 * stop when the band leaves 0, and still be wrong at most alpha of the time.
 *
 *   band = difference ± sqrt(n s²) × sqrt( 2 (n ρ² + 1) log( sqrt(n ρ² + 1) / α ) ) / (n ρ)
 *   ρ²   = (−2 log α + log(1 − 2 log α)) / tuning          narrowest when about `tuning` people have been met
 *   s²   = variance(control) / n(control) + variance(treatment) / n(treatment),  n = both counts
 *   relative: difference / control mean, s² by the delta method
 *
 * Sources: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic
 * confidence sequences", arXiv 2103.06476, theorem 2.2; as GrowthBook applies it to two arms. The guarantee is
 * asymptotic: a variance estimated from few people is worth little, so deviating from both there is no band before
 * each arm has ARM_COUNT_MIN people and a spread. For bounded outcomes bounded-effect.ts holds from the first one.
 */
import { exponential, naturalLogarithm } from '../normal.ts';

export const ALPHA_DEFAULT = 0.05;
export const TUNING_DEFAULT = 5000;
/** People an arm before there is a band. */
export const ARM_COUNT_MIN = 100;
/** A relative lift over a control mean that is not this many standard errors from 0 has no meaning yet. */
const MEAN_ERRORS_MIN = 5;
const VALUE_MAX = 1e100;

/** What an arm is known by; additive through `mergeMoments`. */
export interface Moments {
  count: number;
  mean: number;
  /** Σ (x − mean)², >= 0. */
  squares: number;
}

/** One outcome more (Welford 1962). @param value finite; anything else is not counted and false is returned */
export function addOutcome(moments: Moments, value: number): boolean {
  if (!(value >= -VALUE_MAX && value <= VALUE_MAX)) return false;
  moments.count += 1;
  const before = value - moments.mean;
  moments.mean += before / moments.count;
  moments.squares += before * (value - moments.mean);
  return true;
}

/** Moments of all people of both, as if met by one (Chan, Golub and LeVeque 1979). */
export function mergeMoments(a: Readonly<Moments>, b: Readonly<Moments>): Moments {
  const count = a.count + b.count;
  if (count === 0) return { count: 0, mean: 0, squares: 0 };
  const gap = b.mean - a.mean;
  const share = b.count / count;
  return { count, mean: a.mean + gap * share, squares: a.squares + b.squares + gap * gap * a.count * share };
}

/** From a count, a sum and a sum of squares, as warehouses keep them; rounding below 0 counts as 0. */
export function momentsFromSums(count: number, sum: number, sumOfSquares: number): Moments {
  if (!(count > 0)) return { count: 0, mean: 0, squares: 0 };
  return { count, mean: sum / count, squares: Math.max(sumOfSquares - (sum * sum) / count, 0) };
}

export interface ArmDifference {
  /** Treatment less control; relative: over the control mean. 0 where nothing is known yet. */
  readonly difference: number;
  /** −Infinity and Infinity where nothing is known yet. */
  readonly lower: number;
  readonly upper: number;
  /** Least alpha at which the band would leave 0, for ρ as tuned; in [0, 1], valid at every look. */
  readonly pValue: number;
  /** Whether 0 is outside the band. */
  readonly isDecided: boolean;
}

export interface ComparisonOptions {
  /** Chance of ever being wrong, in (0, 1); default .05. */
  readonly alpha?: number;
  /** People of both arms at which the band is to be narrowest, >= 1; default 5,000. Fixed before the start. */
  readonly tuning?: number;
  readonly isRelative?: boolean;
}

const NOTHING_KNOWN: ArmDifference = {
  difference: 0,
  lower: Number.NEGATIVE_INFINITY,
  upper: Number.POSITIVE_INFINITY,
  pValue: 1,
  isDecided: false,
};

/**
 * @param control, treatment moments of the outcome; NaN in them gives nothing known
 * @throws RangeError for alpha or tuning out of bounds
 * Draws: none. Cost: 0.2 us.
 */
export function compareArms(
  control: Readonly<Moments>,
  treatment: Readonly<Moments>,
  options: ComparisonOptions = {},
): ArmDifference {
  const { alpha = ALPHA_DEFAULT, tuning = TUNING_DEFAULT, isRelative = false } = options;
  if (!(alpha > 0 && alpha < 1)) throw new RangeError(`alpha ${alpha}: between 0 and 1`);
  if (!(tuning >= 1 && tuning <= 1e15)) throw new RangeError(`tuning ${tuning}: from 1 to 1e15`);
  if (!(control.count >= ARM_COUNT_MIN && treatment.count >= ARM_COUNT_MIN)) return NOTHING_KNOWN;
  const time = (control.count + treatment.count) * squareOfRho(alpha, tuning);
  const controlError = squaredError(control);
  const treatmentError = squaredError(treatment);
  const absolute = band(treatment.mean - control.mean, controlError + treatmentError, time, alpha);
  const base = control.mean;
  if (!isRelative || absolute === NOTHING_KNOWN) return absolute;
  if (!(base * base > MEAN_ERRORS_MIN ** 2 * controlError)) return NOTHING_KNOWN;
  const ratio = treatment.mean / base;
  const squared = treatmentError / base / base + (controlError / base / base) * ratio * ratio;
  const relative = band(ratio - 1, squared, time, alpha);
  // A lift is 0 just when the difference is, and the difference's test keeps alpha where the delta method, with few
  // responses, does not (11 % for responses of 5 %): so what it has not decided is not decided.
  return {
    ...relative,
    lower: absolute.isDecided ? relative.lower : Math.min(relative.lower, 0),
    upper: absolute.isDecided ? relative.upper : Math.max(relative.upper, 0),
    pValue: Math.max(absolute.pValue, relative.pValue),
    isDecided: absolute.isDecided && relative.isDecided,
  };
}

/** @param squared squared standard error of the difference  @param time n ρ² */
function band(difference: number, squared: number, time: number, alpha: number): ArmDifference {
  if (!(squared > 0 && squared < Number.POSITIVE_INFINITY && Number.isFinite(difference))) return NOTHING_KNOWN;
  // sqrt(n s²) × sqrt(2 (n ρ² + 1) log(...)) / (n ρ), with n cancelled.
  const width = (2 * (time + 1) * (naturalLogarithm(time + 1) / 2 - naturalLogarithm(alpha))) / time;
  const halfWidth = Math.sqrt(squared * width);
  const exponent = ((difference / squared) * difference * time) / (2 * (time + 1));
  return {
    difference,
    lower: difference - halfWidth,
    upper: difference + halfWidth,
    pValue: Math.min(Math.sqrt(time + 1) * exponential(-exponent), 1),
    isDecided: difference > halfWidth || -difference > halfWidth,
  };
}

function squaredError({ count, squares }: Readonly<Moments>): number {
  return squares / (count - 1) / count;
}

function squareOfRho(alpha: number, tuning: number): number {
  const twice = -2 * naturalLogarithm(alpha);
  return (twice + naturalLogarithm(twice + 1)) / tuning;
}
