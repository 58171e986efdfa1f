/**
 * At what price: a demand curve is drawn from what we know, its most profitable price is taken, and
 * then every bound speaks in a fixed order, the hard ones twice.
 *
 *     Thompson draw -> margin optimum -> own dispersion -> cost floor and margin -> ceiling (and list)
 *       -> change rate -> rounding to the step -> bounds again
 *
 * Guarantees: an integer of minor units, never above the ceiling, never below floor, cost and margin
 * unless these exceed the ceiling; the same seeds give the same price. The caller derives the seeds from
 * (sku, hour), so by default everybody sees one price for an hour, and nothing personal enters here:
 * the price is its own masked twin. Traded away: stock and cross effects are not priced in yet.
 */
import { type Demand, demandRate, drawDemand, logPriceRatio } from './demand-model.ts';
import { drawUniform, PURPOSE } from './random.ts';

/** Bits of `PriceResult.bounds`: what moved the price, for explanations. */
export const PRICE_BOUND = {
  /** Raised to the catalog's floor. */
  floor: 1,
  /** Raised to cost plus the least margin. */
  margin: 2,
  /** Lowered to the ceiling. */
  ceiling: 4,
  /** Lowered to the list price. */
  list: 8,
  /** Held near the previous price. */
  changeRate: 16,
  /** Rounded to the step. */
  step: 32,
  /** No multiple of the step lies within the bounds: the price is a whole number but no multiple. */
  stepUnreachable: 64,
  /** Floor, or cost plus margin, exceeds the ceiling: the ceiling was kept. The catalog wants mending. */
  conflict: 128,
} as const;

/** Share of answers moved by our own dispersion, and how far: 2 to 5 per cent either way. */
export const DISPERSION_PROBABILITY = 0.1;
export const DISPERSION_MIN = 0.02;
export const DISPERSION_MAX = 0.05;
/** Largest price: 10^15 minor units, so that everything below stays an exact integer. */
export const PRICE_MINOR_MAX = 1e15;

const BASIS_POINTS = 10_000;

/** What `choosePrice` reads: one object, filled anew for each call. Money is integer minor units, 0 to 1e15. */
export interface PriceInput {
  /** Natural parameters of the product's demand, `DEMAND_SLOTS` from `stateOffset`. */
  state: Float64Array;
  stateOffset: number;
  listMinor: number;
  floorMinor: number;
  ceilingMinor: number;
  costMinor: number;
  /** Prices are multiples of this; 1 for currencies without minor units as well. Below 1 counts as 1. */
  stepMinor: number;
  /** Least margin over cost, in 1/10,000 of cost; 0: never below cost. */
  marginBasisPointsMin: number;
  /** True: never above the list price either (the catalog may allow a ceiling above it). */
  isCappedAtList: boolean;
  /** The price that held before, or negative when there is none. */
  previousPriceMinor: number;
  /** Most the price may move from `previousPriceMinor`, in 1/10,000 of it; negative: any. */
  changeBasisPointsMax: number;
  /** Share of dispersed answers, 0 to 1; usually `DISPERSION_PROBABILITY`. */
  dispersionProbability: number;
  /** Derived from (sku, hour), so that everybody gets one price. */
  seed0: number;
  seed1: number;
  subjectHash: number;
}

/** What `choosePrice` writes: one object, overwritten by each call. */
export interface PriceResult {
  priceMinor: number;
  /** The price had no personal feature been known: equal today, since none is used. */
  maskedPriceMinor: number;
  /** Whether anything personal entered `priceMinor`. */
  personalised: boolean;
  /** The margin optimum of the drawn curve before dispersion and bounds, whole minor units. */
  modelPriceMinor: number;
  /** The drawn curve. */
  elasticity: number;
  base: number;
  /** Expected units sold by one quote at `priceMinor` under the drawn curve. */
  expectedDemand: number;
  /** Whether our own dispersion moved the price, and by which factor (1 when not). */
  dispersed: boolean;
  dispersionFactor: number;
  /** `PRICE_BOUND` bits. */
  bounds: number;
  /** The interval that held in the end, change rate included. */
  lowMinor: number;
  highMinor: number;
}

export function createPriceResult(): PriceResult {
  return {
    priceMinor: 0,
    maskedPriceMinor: 0,
    personalised: false,
    modelPriceMinor: 0,
    elasticity: 0,
    base: 0,
    expectedDemand: 0,
    dispersed: false,
    dispersionFactor: 1,
    bounds: 0,
    lowMinor: 0,
    highMinor: 0,
  };
}

const demand: Demand = { base: 0, elasticity: 0 };

/**
 * Chooses a price. Steps, in order:
 *
 * 1. draw (base, e) from the posterior; margin optimum p* = c e / (e - 1) for e > 1, else as high as
 *    allowed (margin (p - c) p^-e then rises without end). Base does not matter to p*.
 * 2. dispersion: with `dispersionProbability` times 1 +- d, d uniform in [2 %, 5 %], sign by a fair coin.
 * 3. at least max(floor, cost + margin); 4. at most the ceiling (and the list price when capped at it).
 * 5. at most `changeBasisPointsMax` from the previous price, as far as 3 and 4 leave room: if the
 *    previous price lies outside them, the bound next to it is the price.
 * 6. to the nearest multiple of the step, halves to the even multiple; when that lies outside the
 *    interval the nearest multiple inside; when there is none, the nearest whole number.
 * 7. bounds checked again.
 *
 * (p - c) p^-e has one maximum, so the optimum within bounds is p* moved to the nearest bound.
 *
 * Extremes: cost 0 makes p* 0 (selling more always pays), so the least allowed price; list 0 makes
 * demand independent of price, the rest is unchanged; ceiling below floor or below cost plus margin
 * keeps the ceiling and sets `conflict`. Fractions in the input are taken inwards; NaN counts as 0
 * (as none for the optional ones).
 *
 * Draws: two normals (`price`), one uniform (`dispersion`). Cost: 0.3 us. Does not throw or allocate.
 * Source: Lerner's rule for constant elasticity, (p - c) / p = 1 / e; Thompson sampling for prices as
 * in Ferreira, Simchi-Levi & Wang, "Online Network Revenue Management Using Thompson Sampling", OR 2018
 * (deviation: continuous prices and a parametric demand, no inventory constraint here).
 */
export function choosePrice(input: PriceInput, out: PriceResult): void {
  drawDemand(input.state, input.stateOffset, input.seed0, input.seed1, input.subjectHash, demand);
  const factor = dispersionFactor(input);
  boundPrice(input, demand.elasticity, factor, out);
  out.maskedPriceMinor = out.priceMinor;
  out.personalised = false;
  out.base = demand.base;
  out.expectedDemand = demandRate(demand.base, demand.elasticity, logPriceRatio(out.priceMinor, input.listMinor));
}

/**
 * Steps 1 to 7 of `choosePrice` for a given elasticity and dispersion factor: no draws. Writes the price,
 * the bounds and the interval. For explanations, simulations and tests.
 */
export function boundPrice(input: PriceInput, elasticity: number, factor: number, out: PriceResult): void {
  let bounds = 0;
  const floor = wholeUp(input.floorMinor);
  const withMargin = addBasisPointsUp(wholeUp(input.costMinor), basisPoints(input.marginBasisPointsMin));
  const ceiling = wholeDown(input.ceilingMinor);
  const list = wholeDown(input.listMinor);
  const isListLower = input.isCappedAtList && list < ceiling;
  const hardHigh = isListLower ? list : ceiling;
  let hardLow = Math.max(floor, withMargin);
  if (hardLow > hardHigh) {
    bounds |= PRICE_BOUND.conflict;
    hardLow = hardHigh;
  }

  const model = modelPrice(input.costMinor, elasticity, hardHigh);
  let price = model * factor;
  if (price < hardLow) {
    price = hardLow;
    bounds |= withMargin > floor ? PRICE_BOUND.margin : PRICE_BOUND.floor;
  } else if (price > hardHigh) {
    price = hardHigh;
    bounds |= isListLower ? PRICE_BOUND.list : PRICE_BOUND.ceiling;
  }

  let low = hardLow;
  let high = hardHigh;
  if (input.previousPriceMinor >= 0 && input.changeBasisPointsMax >= 0) {
    const previous = Math.min(Math.round(input.previousPriceMinor), PRICE_MINOR_MAX);
    const room = addBasisPointsDown(previous, basisPoints(input.changeBasisPointsMax)) - previous;
    // Clamping both ends keeps the interval inside the hard bounds and never empty.
    low = clamp(previous - room, hardLow, hardHigh);
    high = clamp(previous + room, hardLow, hardHigh);
    if (price < low || price > high) bounds |= PRICE_BOUND.changeRate;
    price = clamp(price, low, high);
  }

  const step = input.stepMinor >= 1 ? Math.floor(input.stepMinor) : 1;
  const rounded = roundToStep(price, step, low, high);
  if (rounded % step !== 0) bounds |= PRICE_BOUND.stepUnreachable;
  else if (rounded !== price && step > 1) bounds |= PRICE_BOUND.step;

  out.priceMinor = clamp(rounded, low, high);
  out.modelPriceMinor = roundHalfEven(model);
  out.elasticity = elasticity;
  out.dispersed = factor !== 1;
  out.dispersionFactor = factor;
  out.bounds = bounds;
  out.lowMinor = low;
  out.highMinor = high;
}

/** The margin optimum c e / (e - 1), `highest` when demand is inelastic; in [0, 1e15]. */
function modelPrice(costMinor: number, elasticity: number, highest: number): number {
  if (!(elasticity > 1)) return highest;
  const price = (wholeUp(costMinor) * elasticity) / (elasticity - 1);
  return Math.min(price, PRICE_MINOR_MAX);
}

/** 1, or with the dispersion's probability 1 +- [2 %, 5 %]; one uniform serves all three questions. */
function dispersionFactor(input: PriceInput): number {
  const probability = input.dispersionProbability;
  const uniform = drawUniform(input.seed0, input.seed1, input.subjectHash, PURPOSE.dispersion);
  if (!(uniform < probability)) return 1;
  const within = (uniform / probability) * 2;
  const size = DISPERSION_MIN + (DISPERSION_MAX - DISPERSION_MIN) * (within < 1 ? within : within - 1);
  return within < 1 ? 1 - size : 1 + size;
}

/** `price` to a multiple of `step` within [low, high], both whole; the nearest whole number where there is none. */
function roundToStep(price: number, step: number, low: number, high: number): number {
  const nearest = roundHalfEven(price / step) * step;
  if (nearest >= low && nearest <= high) return nearest;
  const other = nearest < low ? Math.ceil(low / step) * step : Math.floor(high / step) * step;
  return other >= low && other <= high ? other : clamp(roundHalfEven(price), low, high);
}

/** Nearest whole number, halves to the even one. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest < 0.5) return below;
  if (rest > 0.5) return below + 1;
  return below % 2 === 0 ? below : below + 1;
}

/**
 * amount x (1 + points / 10,000), rounded up; split so that no product passes 2^53 for amounts to
 * 1e15 and basis points to 10,000 (more is taken in doubles, then capped).
 */
function addBasisPointsUp(amount: number, points: number): number {
  const whole = Math.floor(amount / BASIS_POINTS);
  const rest = amount - whole * BASIS_POINTS;
  return Math.min(amount + Math.ceil(whole * points + (rest * points) / BASIS_POINTS), PRICE_MINOR_MAX);
}

function addBasisPointsDown(amount: number, points: number): number {
  const whole = Math.floor(amount / BASIS_POINTS);
  const rest = amount - whole * BASIS_POINTS;
  return Math.min(amount + Math.floor(whole * points + (rest * points) / BASIS_POINTS), PRICE_MINOR_MAX);
}

/** At least 0, at most 10^9 (a factor of 100,001), NaN as 0. */
function basisPoints(value: number): number {
  return value > 0 ? Math.min(value, 1e9) : 0;
}

function wholeUp(amount: number): number {
  return amount > 0 ? Math.min(Math.ceil(amount), PRICE_MINOR_MAX) : 0;
}

function wholeDown(amount: number): number {
  return amount > 0 ? Math.min(Math.floor(amount), PRICE_MINOR_MAX) : 0;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
