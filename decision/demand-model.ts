/**
 * What one more quote at a price would sell: log-log demand for each product, with what we do not know
 * about it.
 *
 *     sales of one quote ~ Poisson(lambda),   log lambda = base - elasticity x log(price / list)
 *     (base, elasticity) ~ Normal(Q^-1 b, Q^-1)
 *
 * A belief is (b0, b1, q00, q01, q11) in natural parameters. `demand-fit.ts` makes it from the evidence that
 * `demand-evidence.ts` keeps; here it is drawn from and read. Base is the log of the sales a quote brings at
 * the list price; elasticity is positive (science.md's -2.2 is 2.2 here).
 *
 * Guarantees: nothing becomes NaN or infinite, bit-equal on every engine. Traded away: one elasticity at all prices.
 * Where that of the orange juice data changes with the price it differs by brand in sign (mean of 11 brands -0.55,
 * deviation 2.2, a unit of log price), so no such curvature is believed beforehand.
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

/**
 * Draws lie half as far from the mean as the belief is wide. The price explores without them, by its own dispersion,
 * and Thompson sampling explores more than pays: Chapelle and Li (NIPS 2011, "posterior reshaping") found less regret
 * with narrowed posteriors. In the market of `bench/market/` the loss to the clairvoyant falls from 2.5 to 1.5 %.
 */
export const DRAW_SCALE = 0.5;

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
 * Draws a demand curve from the belief (Thompson sampling): the elasticity from its marginal, the
 * base given it, both narrowed by s = `DRAW_SCALE`.
 *
 *     e = m1 + s sqrt(q00 / det) z1        base = m0 - (q01 / q00) (e - m1) + s z2 / sqrt(q00)
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
  const deviation = DRAW_SCALE * Math.sqrt(q00 / determinant) * z1;
  out.elasticity = elasticityMean + deviation;
  out.base = baseMean - (q01 / q00) * deviation + (DRAW_SCALE * z2) / Math.sqrt(q00);
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
