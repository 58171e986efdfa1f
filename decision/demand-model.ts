/**
 * What one more quote at a price would sell: log-log demand for each product, with what we do not know
 * about it.
 *
 *     sales of one quote ~ Poisson(lambda),   log lambda = base - elasticity x log(price / list)
 *                                                        = x . theta
 *     theta = (base, elasticity) ~ Normal(Q^-1 b, Q^-1),   x = (1, -log(price / list))
 *
 * The state is (b0, b1, q00, q01, q11) in natural parameters, so that evidence is a sum: shards add
 * their deltas in any order, and a sale reported days later simply adds. Base is the log of the sales a
 * quote brings at the list price; elasticity is positive (science.md's -2.2 is 2.2 here).
 *
 * Guarantees: the precision stays positive definite, nothing becomes NaN or infinite whatever arrives,
 * bit-equal on every engine. Traded away: each quote is weighed at the mean of its moment and never
 * revisited, and demand is assumed stationary.
 */
import { exponential, naturalLogarithm, normalInverseCdf } from './normal.ts';
import { drawNormal, PURPOSE } from './random.ts';

/** Slots of one product: b0, b1, q00, q01, q11. */
export const DEMAND_SLOTS = 5;

/** Prior of the elasticity: N(2.2, 0.8^2), over 11 brands of orange juice (Dominick's; science.md section 3). */
export const ELASTICITY_PRIOR_MEAN = 2.2;
export const ELASTICITY_PRIOR_SD = 0.8;
/** Prior of the base: one quote in twenty sells at the list price, give or take a factor of 4.5. */
export const BASE_PRIOR_MEAN = -2.995732273553991;
export const BASE_PRIOR_SD = 1.5;

/** Bounds within which evidence is taken at its word; outside they keep one absurd row from ruling the model. */
const LOG_RATIO_MAX = 3;
const LOG_RATE_MIN = -15;
const LOG_RATE_MAX = 4;
const QUANTITY_MAX = 10;
const MODE_STEPS_MAX = 32;
const MODE_TOLERANCE = 1e-9;

/** A drawn demand curve. */
export interface Demand {
  /** Log of the expected sales of one quote at the list price. */
  base: number;
  /** Percent of sales lost for each percent of price; usually 1 to 4, may be drawn below 0. */
  elasticity: number;
}

/** The posterior as people read it. */
export interface DemandSummary {
  baseMean: number;
  elasticityMean: number;
  baseSd: number;
  elasticitySd: number;
  /** In [-1, 1]. */
  correlation: number;
}

/** Writes the prior into a product's slots. Add it once: in a merge, only to the sum of the deltas. */
export function setDemandPrior(state: Float64Array, offset: number): void {
  const basePrecision = 1 / (BASE_PRIOR_SD * BASE_PRIOR_SD);
  const elasticityPrecision = 1 / (ELASTICITY_PRIOR_SD * ELASTICITY_PRIOR_SD);
  state[offset] = basePrecision * BASE_PRIOR_MEAN;
  state[offset + 1] = elasticityPrecision * ELASTICITY_PRIOR_MEAN;
  state[offset + 2] = basePrecision;
  state[offset + 3] = 0;
  state[offset + 4] = elasticityPrecision;
}

/**
 * log(price / list), the only form in which a price enters the model: 0 when either is not a positive
 * number (a free product tells nothing about elasticity), and within +-3 (a factor of 20).
 */
export function logPriceRatio(priceMinor: number, listMinor: number): number {
  if (!(priceMinor > 0 && listMinor > 0 && priceMinor < Infinity && listMinor < Infinity)) return 0;
  const ratio = naturalLogarithm(priceMinor / listMinor);
  return ratio > LOG_RATIO_MAX ? LOG_RATIO_MAX : Math.max(ratio, -LOG_RATIO_MAX);
}

/** Expected sales of one quote at a log price ratio, in [3e-7, 55]. */
export function demandRate(base: number, elasticity: number, logRatio: number): number {
  return exponential(clampLogRate(base - elasticity * logRatio));
}

/**
 * Learns that a price was quoted, as a trial that sold nothing so far (`learnPurchase` makes it good).
 * Laplace approximation of Normal(mean, Q^-1) times the Poisson likelihood of y = 0, at its mode, kept in
 * natural parameters (assumed-density filtering, full 2 x 2). The mode lies along Q^-1 x, so one number
 * finds it:
 *
 *     eta' = eta - v exp(eta'),   eta = x . mean,   v = x' Q^-1 x      (Newton)
 *     lambda = exp(eta')     Q += lambda x x'     b += lambda (eta' - 1) x
 *
 * Taken at the old mean instead, a first sale (whose term comes without precision) overshoots, the next
 * quotes count as far more evidence than they are, and the elasticity ends up to 8 standard deviations off.
 *
 * Source: Chapelle & Li, "An Empirical Evaluation of Thompson Sampling", NIPS 2011, algorithm 3, with a
 * Poisson likelihood and the off-diagonal kept. All prices we quote are our own randomised draws; never
 * feed it prices that somebody set by hand, they follow demand (science.md section 3).
 * @param state natural parameters, `DEMAND_SLOTS` from `offset`
 * @param priceMinor, listMinor minor units; not positive: only the base learns
 * Cost: 0.15 us.
 */
export function learnQuote(state: Float64Array, offset: number, priceMinor: number, listMinor: number): void {
  const x = -logPriceRatio(priceMinor, listMinor);
  const b0 = state[offset] as number; // cast: in the slice
  const b1 = state[offset + 1] as number; // cast: in the slice
  const q00 = state[offset + 2] as number; // cast: in the slice
  const q01 = state[offset + 3] as number; // cast: in the slice
  const q11 = state[offset + 4] as number; // cast: in the slice
  const determinant = guardedDeterminant(q00, q01, q11);
  const prior = (q11 * b0 - q01 * b1 + (q00 * b1 - q01 * b0) * x) / determinant;
  const variance = Math.max((q11 - 2 * q01 * x + q00 * x * x) / determinant, 0);
  const eta = clampLogRate(modeAfterNoSale(clampLogRate(prior), variance));
  const lambda = exponential(eta);
  const push = lambda * (eta - 1);
  state[offset] = b0 + push;
  state[offset + 1] = b1 + push * x;
  state[offset + 2] = q00 + lambda;
  state[offset + 3] = q01 + lambda * x;
  state[offset + 4] = q11 + lambda * x * x;
}

/**
 * The root of f(z) = z - eta + v exp(z). f rises and is convex and f(eta) >= 0, so Newton from eta comes
 * down to the root and never passes it: at most a unit a step while v exp(z) is large, quadratic after.
 * Once a product has some evidence v is small and two steps do.
 */
export function modeAfterNoSale(eta: number, variance: number): number {
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
 * Learns that a quote sold: the term y x of the same likelihood, which needs no precision and so may come
 * late, in any order, on any shard. `quantity` negative takes a refund back exactly.
 * @param priceMinor, listMinor as they were quoted
 * @param quantity units sold, -10 to 10; more counts as 10 (one bulk order says little about other people, and
 *   far above the expected sales it would take thousands of quotes to outweigh), NaN as 0
 */
export function learnPurchase(
  state: Float64Array,
  offset: number,
  priceMinor: number,
  listMinor: number,
  quantity: number,
): void {
  if (!(quantity >= -Infinity)) return;
  const y = quantity > QUANTITY_MAX ? QUANTITY_MAX : Math.max(quantity, -QUANTITY_MAX);
  state[offset] = (state[offset] as number) + y; // cast: in the slice
  state[offset + 1] = (state[offset + 1] as number) - y * logPriceRatio(priceMinor, listMinor); // cast: in the slice
}

/**
 * Draws a demand curve from the posterior (Thompson sampling): the elasticity from its marginal, the
 * base given it.
 *
 *     e = m1 + sqrt(q00 / det) z1        base = m0 - (q01 / q00) (e - m1) + z2 / sqrt(q00)
 *
 * @param seed0, seed1, subjectHash whose draw: for one price a product and hour, all from (sku, hour)
 * Draws: two normals of purpose `price`, the second under the complement of `subjectHash`. Cost: 130 ns.
 */
export function drawDemand(
  state: Float64Array,
  offset: number,
  seed0: number,
  seed1: number,
  subjectHash: number,
  out: Demand,
): void {
  const z1 = drawNormal(seed0, seed1, subjectHash, PURPOSE.price);
  demandOf(state, offset, z1, drawNormal(seed0, seed1, ~subjectHash, PURPOSE.price), out);
}

/** The curve at normal deviates z1 (of the elasticity) and z2 (of the base given it). */
function demandOf(state: Float64Array, offset: number, z1: number, z2: number, out: Demand): void {
  const b0 = state[offset] as number; // cast: in the slice
  const b1 = state[offset + 1] as number; // cast: in the slice
  const q00 = state[offset + 2] as number; // cast: in the slice
  const q01 = state[offset + 3] as number; // cast: in the slice
  const determinant = guardedDeterminant(q00, q01, state[offset + 4] as number); // cast: in the slice
  const baseMean = ((state[offset + 4] as number) * b0 - q01 * b1) / determinant; // cast: in the slice
  const elasticityMean = (q00 * b1 - q01 * b0) / determinant;
  const deviation = Math.sqrt(q00 / determinant) * z1;
  out.elasticity = elasticityMean + deviation;
  out.base = baseMean - (q01 / q00) * deviation + z2 / Math.sqrt(q00);
}

/** How many curves `demandAtom` tells apart. */
export const DEMAND_ATOMS = 64;
/** Korobov's lattice of 64 points in two dimensions: the second coordinate of the i-th is 19 i mod 64. */
const ATOM_STRIDE = 19;
const atomNormals = Float64Array.from({ length: DEMAND_ATOMS }, (_, i) => normalInverseCdf((i + 0.5) / DEMAND_ATOMS));

/**
 * One of 64 equally likely curves that stand for the posterior: as `drawDemand`, with z1 and z2 the normal
 * quantiles of a lattice point. Where the price of a curve is no formula, a draw from these is a draw whose
 * probabilities can be counted (the deviation of z over all 64 is 0.99, so its tails are cut at +-2.4).
 * @param atom 0 to 63
 */
export function demandAtom(state: Float64Array, offset: number, atom: number, out: Demand): void {
  const z1 = atomNormals[atom] as number; // cast: below 64
  const z2 = atomNormals[(atom * ATOM_STRIDE) % DEMAND_ATOMS] as number; // cast: below 64
  demandOf(state, offset, z1, z2, out);
}

/** The posterior's means, standard deviations and correlation, for explanations and reports. */
export function summariseDemand(state: Float64Array, offset: number, out: DemandSummary): void {
  const b0 = state[offset] as number; // cast: in the slice
  const b1 = state[offset + 1] as number; // cast: in the slice
  const q00 = state[offset + 2] as number; // cast: in the slice
  const q01 = state[offset + 3] as number; // cast: in the slice
  const q11 = state[offset + 4] as number; // cast: in the slice
  const determinant = guardedDeterminant(q00, q01, q11);
  out.baseMean = (q11 * b0 - q01 * b1) / determinant;
  out.elasticityMean = (q00 * b1 - q01 * b0) / determinant;
  out.baseSd = Math.sqrt(q11 / determinant);
  out.elasticitySd = Math.sqrt(q00 / determinant);
  out.correlation = -q01 / Math.sqrt(q00 * q11);
}

/**
 * The determinant, positive: in exact arithmetic it is at least q00 / 0.64 (the prior's share of q11),
 * in doubles cancellation may eat it after some 1e12 quotes at one price, so it is held above rounding.
 */
function guardedDeterminant(q00: number, q01: number, q11: number): number {
  const product = q00 * q11;
  const determinant = product - q01 * q01;
  const least = product * 1e-13;
  return Math.max(determinant, least);
}

function clampLogRate(eta: number): number {
  return eta > LOG_RATE_MAX ? LOG_RATE_MAX : Math.max(eta, LOG_RATE_MIN);
}
