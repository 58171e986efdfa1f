/**
 * The average effect of a treatment dealt at random with a known probability, on outcomes within known bounds,
 * with a band that holds at every look and from the first person on: nothing asymptotic.
 *
 *   x(t)   = τ(t) + (w − p) / (p (1 − p)) × (y − prediction(t, w))     unbiased; τ(t) = predicted effect
 *   V(t)   = Σ (x − τ)²,   predictions = means of each arm so far
 *   band   = mean of x ± u(V) / t,   u the gamma-exponential mixture bound of scale c = 2 × span / min(p, 1 − p)
 *
 * Source: Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences",
 * Annals of Statistics 2021, corollary 2 and proposition 9; figures of their package confseq. Wider than
 * confidence-sequence.ts by a factor of about two; for outcomes that are few, rare or must not be risked.
 */

import { exponential, naturalLogarithm } from '../normal.ts';
import { logGamma, logGammaShare } from './gamma-function.ts';

export interface BoundedEffectOptions {
  /** Every outcome is within [low, high], low < high. */
  readonly low: number;
  readonly high: number;
  /** Probability of treatment, in (0, 1), fixed. */
  readonly treatmentProbability: number;
  /** Chance of ever being wrong, in (0, 1); default .05. */
  readonly alpha?: number;
  /** People at which the band is to be narrow, >= 1; default 1,000. */
  readonly tuning?: number;
  /** Variance of the outcome expected, > 0; default a quarter of the squared span, the largest possible. Tunes only. */
  readonly outcomeVariance?: number;
}

export interface BoundedEffect {
  readonly people: number;
  /** Mean of x; 0 without people. */
  readonly estimate: number;
  /** Within ± span. */
  readonly lower: number;
  readonly upper: number;
  /** That the effect is not above 0 (one-sided), at every look; in [0, 1]. */
  readonly pValue: number;
}

export class BoundedEffectSequence {
  readonly #low: number;
  readonly #span: number;
  readonly #probability: number;
  readonly #logThreshold: number;
  readonly #scale: number;
  readonly #rho: number;
  readonly #constant: number;
  readonly #counts = new Float64Array(2);
  readonly #sums = new Float64Array(2);
  #people = 0;
  #sum = 0;
  #variation = 0;

  /** @throws RangeError naming an option out of bounds */
  constructor(options: BoundedEffectOptions) {
    const { low, high, treatmentProbability: p, alpha = 0.05, tuning = 1000 } = options;
    const span = high - low;
    if (!(span > 0 && low >= -1e100 && high <= 1e100)) throw new RangeError(`bounds ${low} to ${high}: low below high`);
    if (!(p > 0 && p < 1)) throw new RangeError(`treatmentProbability ${p}: between 0 and 1`);
    if (!(alpha > 0 && alpha < 1)) throw new RangeError(`alpha ${alpha}: between 0 and 1`);
    if (!(tuning >= 1 && tuning <= 1e12)) throw new RangeError(`tuning ${tuning}: from 1 to 1e12`);
    const outcomeVariance = (options.outcomeVariance ?? span ** 2 / 4) / span ** 2;
    if (!(outcomeVariance > 0 && outcomeVariance <= 1))
      throw new RangeError(`outcomeVariance ${options.outcomeVariance}: above 0, at most the squared span`);
    this.#low = low;
    this.#span = span;
    this.#probability = p;
    this.#logThreshold = -naturalLogarithm(alpha / 2);
    // All inside is in units of the span.
    this.#scale = 2 / Math.min(p, 1 - p);
    const variation = tuning * outcomeVariance * (1 / p + 1 / (1 - p));
    const twice = Math.max(-2 * naturalLogarithm(alpha), 0.1);
    this.#rho = variation / (twice + naturalLogarithm(1 + twice));
    const shape = this.#rho / this.#scale ** 2;
    this.#constant = shape * naturalLogarithm(shape) - logGamma(shape) - logGammaShare(shape, shape);
  }

  /**
   * One person more.
   * @returns false, and nothing is learnt, for an outcome that is NaN or outside the bounds. Cost: 10 ns.
   */
  add(outcome: number, isTreated: boolean): boolean {
    const y = (outcome - this.#low) / this.#span;
    if (!(y >= 0 && y <= 1)) return false;
    const arm = isTreated ? 1 : 0;
    const [untreated, treated] = [this.#prediction(0), this.#prediction(1)];
    const p = this.#probability;
    const predicted = treated - untreated;
    const surprise = ((arm - p) / (p * (1 - p))) * (y - (isTreated ? treated : untreated));
    this.#people += 1;
    this.#sum += predicted + surprise;
    this.#variation += surprise * surprise;
    this.#counts[arm] = (this.#counts[arm] as number) + 1; // arm is 0 or 1
    this.#sums[arm] = (this.#sums[arm] as number) + y; // arm is 0 or 1
    return true;
  }

  /**
   * Mean of the arm's outcomes so far. Before anybody: the middle; before its own first: 0, the arm's lower bound,
   * as confseq has it (any prediction made before the outcome is allowed).
   */
  #prediction(arm: 0 | 1): number {
    if (this.#people === 0) return 0.5;
    const count = this.#counts[arm] as number; // arm is 0 or 1
    return count > 0 ? (this.#sums[arm] as number) / count : 0; // arm is 0 or 1
  }

  /** The band now. Cost: about 20 us: the bound is found by halving. */
  read(): BoundedEffect {
    const people = this.#people;
    const span = this.#span;
    if (people === 0) return { people, estimate: 0, lower: -span, upper: span, pValue: 1 };
    const estimate = this.#sum / people;
    const radius = this.#bound() / people;
    return {
      people,
      estimate: estimate * span,
      lower: Math.max(estimate - radius, -1) * span,
      upper: Math.min(estimate + radius, 1) * span,
      pValue: Math.min(exponential(-this.#logMartingale(this.#sum)), 1),
    };
  }

  /** log of the gamma-exponential mixture at sum s; grows with s. */
  #logMartingale(s: number): number {
    const squared = this.#scale ** 2;
    const shape = (this.#variation + this.#rho) / squared;
    const rate = (this.#scale * s + this.#variation) / squared;
    const x = rate + this.#rho / squared;
    // Far on the negative side, where the mixture is 0.
    if (!(x > 0)) return Number.NEGATIVE_INFINITY;
    return this.#constant + logGamma(shape) + logGammaShare(shape, x) - shape * naturalLogarithm(x) + rate;
  }

  /** s at which the mixture reaches 2 / alpha. */
  #bound(): number {
    let high = Math.max(this.#variation, 1);
    while (this.#logMartingale(high) < this.#logThreshold) high *= 2;
    let low = 0;
    for (let round = 0; round < 100 && high - low > 1e-12 * high; round += 1) {
      const middle = (low + high) / 2;
      if (this.#logMartingale(middle) < this.#logThreshold) low = middle;
      else high = middle;
    }
    return high;
  }
}
