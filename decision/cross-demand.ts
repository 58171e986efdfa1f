/**
 * Demand with more to it than the own price: prices of other products (cross effects), a competitor's price,
 * weather, the hour, a reference price. The model of `demand-model.ts` with d inputs in place of two, learnt quote by
 * quote:
 *
 *     sales of one quote ~ Poisson(lambda),   log lambda = x . theta,   theta ~ Normal(Q^-1 b, Q^-1)
 *     x = (1, -log(price / list), further inputs),   theta = (base, elasticity, their effects)
 *
 * The state is (b, lower triangle of Q row by row) in natural parameters, so evidence is a sum here too.
 * A context of the moment only moves the base: `demandAt` folds it in and leaves the (base, elasticity) that
 * `price.ts` prices. Without a stock the best price of a log-log curve does not depend on the base, so such
 * inputs matter for a clean elasticity and for how long a stock will last.
 *
 * Guarantees: never NaN or infinite whatever arrives; with d = 2 near `demand-fit.ts`. Traded away:
 * d is small (at most 8): a quote costs d^3 / 6; each quote is weighed at the mean of its moment and never revisited,
 * and nothing is forgotten.
 */
import { factorise, solveFactored } from './batch/least-squares.ts';
import { type Demand, demandRate, logPriceRatio } from './demand-model.ts';
import { exponential } from './normal.ts';
import { drawNormal, PURPOSE } from './random.ts';

/** Most inputs, base and own price included. */
export const CROSS_INPUTS_MAX = 8;
/** Inputs are held to this: a log ratio of 3 is a factor of 20, a standardised one three deviations. */
const INPUT_MAX = 3;
const QUANTITY_MAX = 10;
const LOG_RATE_MIN = -15;
const LOG_RATE_MAX = 4;
const MODE_STEPS_MAX = 32;
const MODE_TOLERANCE = 1e-9;

const factor = new Float64Array(CROSS_INPUTS_MAX * CROSS_INPUTS_MAX);
const mean = new Float64Array(CROSS_INPUTS_MAX);
const solved = new Float64Array(CROSS_INPUTS_MAX);

/** Slots of a state with d inputs. */
export function crossSlots(d: number): number {
  return d + (d * (d + 1)) / 2;
}

/** Adds an independent Normal prior; add it once, in a merge only to the sum of the deltas. @param deviations > 0 */
export function addCrossPrior(
  state: Float64Array,
  offset: number,
  means: ArrayLike<number>,
  deviations: ArrayLike<number>,
): void {
  const d = means.length;
  for (let j = 0; j < d; j++) {
    const deviation = deviations[j] as number; // cast: of the same length
    const precision = 1 / (deviation * deviation);
    state[offset + j] = (state[offset + j] as number) + precision * (means[j] as number); // cast: in the slice
    const diagonal = offset + d + (j * (j + 3)) / 2;
    state[diagonal] = (state[diagonal] as number) + precision; // cast: in the slice
  }
}

/**
 * Writes the inputs of one quote: 1, -log(price / list), then each of `others` as it is, held to +-3.
 * Give other prices as `logPriceRatio(price, usual price)`, so that a positive effect means a substitute; hours
 * and weather centred and scaled. What is missing is NaN and counts as 0, the usual case.
 * @param out length 2 + `others.length`, at most `CROSS_INPUTS_MAX`
 */
export function fillInputs(priceMinor: number, listMinor: number, others: ArrayLike<number>, out: Float64Array): void {
  out[0] = 1;
  out[1] = -logPriceRatio(priceMinor, listMinor);
  for (let k = 0; k < others.length; k++) {
    const value = others[k] as number; // cast: within the length
    out[k + 2] = value > INPUT_MAX ? INPUT_MAX : value >= -INPUT_MAX ? value : value < 0 ? -INPUT_MAX : 0;
  }
}

/**
 * Learns that a quote was made and sold nothing so far (`learnCrossPurchase` makes it good): Laplace approximation of
 * Normal(mean, Q^-1) times the Poisson likelihood of y = 0, at its mode, kept in natural parameters (assumed-density
 * filtering). The mode lies along Q^-1 x, so one number finds it:
 *
 *     eta' = eta - v exp(eta'),   eta = x . mean,   v = x' Q^-1 x      (Newton)
 *     lambda = exp(eta')     Q += lambda x x'     b += lambda (eta' - 1) x
 *
 * Taken at the old mean instead, a first sale (whose term comes without precision) overshoots, the next
 * quotes count as far more evidence than they are, and the elasticity ends up to 8 standard deviations off.
 *
 * Source: Chapelle & Li, "An Empirical Evaluation of Thompson Sampling", NIPS 2011, algorithm 3, with a
 * Poisson likelihood and the off-diagonal kept. Never feed it prices that somebody set by hand: they follow demand.
 * @param x from `fillInputs`, length d
 * Cost: 0.6 us at d = 5.
 */
export function learnCrossQuote(state: Float64Array, offset: number, x: Float64Array): void {
  const d = x.length;
  factoriseState(state, offset, d);
  solveMean(state, offset, d);
  let eta = 0;
  for (let j = 0; j < d; j++) {
    eta += (x[j] as number) * (mean[j] as number); // cast: within d, here and below
    solved[j] = x[j] as number;
  }
  solveFactored(factor, d, solved);
  let variance = 0;
  for (let j = 0; j < d; j++) variance += (x[j] as number) * (solved[j] as number);
  const mode = clampLogRate(modeAfterNoSale(clampLogRate(eta), Math.max(variance, 0)));
  const lambda = exponential(mode);
  const push = lambda * (mode - 1);
  let at = offset + d;
  for (let j = 0; j < d; j++) {
    const value = x[j] as number;
    state[offset + j] = (state[offset + j] as number) + push * value;
    for (let k = 0; k <= j; k++, at++) state[at] = (state[at] as number) + lambda * value * (x[k] as number);
  }
}

/**
 * The root of f(z) = z - eta + v exp(z). f rises and is convex and f(eta) >= 0, so Newton from eta comes
 * down to the root and never passes it: at most a unit a step while v exp(z) is large, quadratic after.
 * Once a product has some evidence v is small and two steps do.
 */
function modeAfterNoSale(eta: number, variance: number): number {
  let z = eta;
  for (let step = 0; step < MODE_STEPS_MAX; step++) {
    const load = variance * exponential(z);
    const move = (z - eta + load) / (1 + load);
    z -= move;
    if (move < MODE_TOLERANCE) break;
  }
  return z;
}

/**
 * Learns that the quote sold: the term y x of the same likelihood, which needs no precision and so may come late.
 * @param quantity -10 to 10, NaN as 0
 */
export function learnCrossPurchase(state: Float64Array, offset: number, x: Float64Array, quantity: number): void {
  if (!(quantity >= -Infinity)) return;
  const y = quantity > QUANTITY_MAX ? QUANTITY_MAX : Math.max(quantity, -QUANTITY_MAX);
  for (let j = 0; j < x.length; j++) state[offset + j] = (state[offset + j] as number) + y * (x[j] as number); // cast: in the slice
}

/**
 * The posterior's mean and, when asked for, standard deviations.
 * @param means length d, written
 * @param deviations length d, written; null when not wanted
 */
export function summariseCross(
  state: Float64Array,
  offset: number,
  means: Float64Array,
  deviations: Float64Array | null,
): void {
  const d = means.length;
  factoriseState(state, offset, d);
  solveMean(state, offset, d);
  for (let j = 0; j < d; j++) means[j] = mean[j] as number; // cast: within d, here and below
  if (deviations === null) return;
  for (let j = 0; j < d; j++) {
    solved.fill(0);
    solved[j] = 1;
    solveFactored(factor, d, solved);
    deviations[j] = Math.sqrt(Math.max(solved[j] as number, 0));
  }
}

/**
 * Draws theta from the posterior: mean + L'^-1 z with Q = L L'.
 * @param seed0, seed1, subjectHash whose draw: for one price a product and hour, all from (sku, hour)
 * @param theta length d, written
 * Draws: d normals of purpose `price`, the j-th under `subjectHash` + j x 0x9e3779b9.
 */
export function drawCross(
  state: Float64Array,
  offset: number,
  seed0: number,
  seed1: number,
  subjectHash: number,
  theta: Float64Array,
): void {
  const d = theta.length;
  factoriseState(state, offset, d);
  solveMean(state, offset, d);
  for (let j = d - 1; j >= 0; j--) {
    let sum = drawNormal(seed0, seed1, (subjectHash + Math.imul(j, 0x9e3779b9)) | 0, PURPOSE.price);
    for (let k = j + 1; k < d; k++) sum -= (factor[k * d + j] as number) * (solved[k] as number); // cast: within d, here and below
    const pivot = factor[j * d + j] as number;
    solved[j] = pivot === 0 ? 0 : sum / pivot;
  }
  for (let j = 0; j < d; j++) theta[j] = (mean[j] as number) + (solved[j] as number);
}

/**
 * The posterior of (base, elasticity) alone, with all other inputs as in `x`: the natural parameters that
 * `demand-model.ts` draws from. Exact, since base + effects x others is linear in theta:
 *
 *     a = (1, 0, x2, …)', c = (0, 1, 0, …)',   S = (a c)' Q^-1 (a c),   out = S^-1 and S^-1 (a c)' mean
 *
 * @param out `DEMAND_SLOTS`, overwritten
 */
export function foldInputs(state: Float64Array, offset: number, x: Float64Array, out: Float64Array): void {
  const d = x.length;
  factoriseState(state, offset, d);
  solveMean(state, offset, d);
  const elasticity = mean[1] as number; // cast: at least two inputs
  let base = mean[0] as number; // cast: at least two inputs
  for (let j = 2; j < d; j++) base += (x[j] as number) * (mean[j] as number); // cast: within d, here and below
  solved.fill(0);
  solved[1] = 1;
  solveFactored(factor, d, solved);
  const s11 = solved[1] as number;
  for (let j = 0; j < d; j++) solved[j] = j === 1 ? 0 : j === 0 ? 1 : (x[j] as number);
  solveFactored(factor, d, solved);
  const s01 = solved[1] as number;
  let s00 = solved[0] as number;
  for (let j = 2; j < d; j++) s00 += (x[j] as number) * (solved[j] as number);
  const determinant = Math.max(s00 * s11 - s01 * s01, s00 * s11 * 1e-13);
  out[2] = s11 / determinant;
  out[3] = -s01 / determinant;
  out[4] = s00 / determinant;
  out[0] = (out[2] as number) * base + (out[3] as number) * elasticity;
  out[1] = (out[3] as number) * base + (out[4] as number) * elasticity;
}

/** The curve over the own price alone, all other inputs as in `x`. */
export function demandAt(theta: Float64Array, x: Float64Array, out: Demand): void {
  let base = theta[0] as number; // cast: at least two inputs
  for (let j = 2; j < theta.length; j++) base += (theta[j] as number) * (x[j] as number); // cast: within d
  out.base = base;
  out.elasticity = theta[1] as number; // cast: at least two inputs
}

/** Expected sales of one quote with inputs `x`, in [3e-7, 55]. */
export function crossRate(theta: Float64Array, x: Float64Array): number {
  let eta = 0;
  for (let j = 0; j < theta.length; j++) eta += (theta[j] as number) * (x[j] as number); // cast: within d
  return demandRate(eta, 0, 0);
}

function factoriseState(state: Float64Array, offset: number, d: number): void {
  let at = offset + d;
  for (let j = 0; j < d; j++) {
    for (let k = 0; k <= j; k++, at++) factor[j * d + k] = state[at] as number; // cast: in the slice
  }
  factorise(factor, d);
}

function solveMean(state: Float64Array, offset: number, d: number): void {
  for (let j = 0; j < d; j++) mean[j] = state[offset + j] as number; // cast: in the slice
  solveFactored(factor, d, mean);
}

function clampLogRate(eta: number): number {
  return eta > LOG_RATE_MAX ? LOG_RATE_MAX : Math.max(eta, LOG_RATE_MIN);
}
