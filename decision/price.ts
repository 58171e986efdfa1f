/**
 * At what price: a demand curve is drawn from what we know, its most profitable price is taken (with the
 * stock and time left, where a stock must be sold by a day), and then every bound speaks in a fixed order,
 * the hard ones twice.
 *
 *     Thompson draw -> margin optimum or inventory mix -> own dispersion -> cost floor and margin
 *       -> ceiling (and list) -> change rate -> reference price -> group gap -> step and endings -> bounds again
 *
 * Guarantees: an integer of minor units, never above the ceiling, never below floor, cost and margin
 * unless these exceed the ceiling; the same seeds give the same price. The caller derives the seeds from
 * (sku, hour), so by default everybody sees one price for an hour. A personal price exists only where the
 * caller asks for one; it is a discount on everybody's price, its masked twin, and within the group gap of it.
 */
import {
  DEMAND_ATOMS,
  DEMAND_SLOTS,
  type Demand,
  demandAtom,
  demandRate,
  drawDemand,
  logPriceRatio,
} from './demand-model.ts';
import { createInventoryMix, SELL_NOTHING, solveInventory } from './inventory.ts';
import { exponential, naturalLogarithm } from './normal.ts';
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
  /** Rounded to the step or to an ending. */
  step: 32,
  /** No price on the grid of steps and endings lies within the bounds: the price is a whole number beside it. */
  stepUnreachable: 64,
  /** Floor, or cost plus margin, exceeds the ceiling: the ceiling was kept. The catalog wants mending. */
  conflict: 128,
  /** Lowered to what is allowed above the reference price. */
  reference: 256,
  /** A personal price held near everybody's, its masked twin. */
  groupGap: 512,
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
  /** Prices are the floor plus whole steps; 1 for currencies without minor units as well. Below 1 counts as 1. */
  stepMinor: number;
  /** Charm endings: prices are whole steps plus one of these, each in [0, step), instead. Empty: none. */
  endingsMinor: readonly number[];
  /** Least margin over cost, in 1/10,000 of cost; 0: never below cost. */
  marginBasisPointsMin: number;
  /** True: never above the list price either (the catalog may allow a ceiling above it). */
  isCappedAtList: boolean;
  /** The price that held before, or negative when there is none. */
  previousPriceMinor: number;
  /** Most the price may move from `previousPriceMinor`, in 1/10,000 of it; negative: any. */
  changeBasisPointsMax: number;
  /** What people remember having paid, see `reference-price.ts`; negative when unknown. */
  referencePriceMinor: number;
  /** Most the price may lie above `referencePriceMinor`, in 1/10,000 of it; negative: any. */
  referenceBasisPointsMax: number;
  /** A person's own price over everybody's before bounds, in (0, 1]; 1, the default, asks for no personal price. */
  personalFactor: number;
  /** Most a personal price may lie below its masked twin, in 1/10,000 of it: so two people's prices differ by no more. */
  groupGapBasisPointsMax: number;
  /** Units of stock that must be sold in time; negative when there is no stock, or no day to sell it by. */
  unitsLeft: number;
  /** Quotes expected until that day; 0 when it is over. */
  quotesLeft: number;
  /** What a unit is worth when it was not sold by then. */
  salvageMinor: number;
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
  /** The price had nothing personal been known: everybody's. */
  maskedPriceMinor: number;
  /** Whether anything personal changed `priceMinor`. */
  personalised: boolean;
  /** The optimum of the drawn curve before dispersion and bounds, whole minor units. */
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
  /** The interval that held in the end, change rate, reference and group gap included. */
  lowMinor: number;
  highMinor: number;
  /** What one more unit of stock would earn over salvage, minor units; 0 while the stock suffices or none is planned for. */
  unitValueMinor: number;
}

/** An input without optional limits: fill in the product's money, state and seeds. */
export function createPriceInput(): PriceInput {
  return {
    state: new Float64Array(DEMAND_SLOTS),
    stateOffset: 0,
    listMinor: 0,
    floorMinor: 0,
    ceilingMinor: 0,
    costMinor: 0,
    stepMinor: 1,
    endingsMinor: [],
    marginBasisPointsMin: 0,
    isCappedAtList: false,
    previousPriceMinor: -1,
    changeBasisPointsMax: -1,
    referencePriceMinor: -1,
    referenceBasisPointsMax: -1,
    personalFactor: 1,
    groupGapBasisPointsMax: 0,
    unitsLeft: -1,
    quotesLeft: 0,
    salvageMinor: 0,
    dispersionProbability: DISPERSION_PROBABILITY,
    seed0: 0,
    seed1: 0,
    subjectHash: 0,
  };
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
    unitValueMinor: 0,
  };
}

const demand: Demand = { base: 0, elasticity: 0 };
interface HardBounds {
  floor: number;
  withMargin: number;
  isListLower: boolean;
  hasConflict: boolean;
  low: number;
  high: number;
}
const bounds: HardBounds = { floor: 0, withMargin: 0, isListLower: false, hasConflict: false, low: 0, high: 0 };
const mix = createInventoryMix();
const plan: StockPlan = { firstMinor: 0, secondMinor: 0, firstProbability: 1, unitValueMinor: 0 };
const finished = createPriceResult();
const GRID_MAX = 33;
const gridPrices = new Float64Array(GRID_MAX);
const gridDemand = new Float64Array(GRID_MAX);

/**
 * Chooses a price. Steps, in order:
 *
 * 1. draw (base, e) from the posterior, with a stock one of 64 curves that stand for it. Without a stock to be sold by a day: margin optimum
 *    p* = c e / (e - 1) for e > 1, else as high as allowed (margin (p - c) p^-e then rises without end);
 *    base does not matter to p*. With one, the cost is sunk: `solveInventory` over up to 33 prices within
 *    the bounds, at `unitsLeft / quotesLeft` units a quote, and one of its two prices by a uniform draw.
 * 2. dispersion: with `dispersionProbability` times 1 +- d, d uniform in [2 %, 5 %], sign by a fair coin.
 * 3. at least max(floor, cost + margin); 4. at most the ceiling (and the list price when capped at it).
 * 5. at most `changeBasisPointsMax` from the previous price, as far as 3 and 4 leave room: if the
 *    previous price lies outside them, the bound next to it is the price.
 * 6. at most `referenceBasisPointsMax` above the reference price, as far as 3 to 5 leave room.
 * 7. a personal price: never above its masked twin, nor further below it than `groupGapBasisPointsMax`.
 * 8. to the nearest price on the grid (floor plus whole steps; with endings: whole steps plus an ending),
 *    halves to the even step; when that lies outside the interval the nearest one inside; when there is
 *    none, the nearest whole number.
 * 9. bounds checked again.
 *
 * (p - c) p^-e has one maximum, so the optimum within bounds is p* moved to the nearest bound.
 *
 * Extremes: cost 0 makes p* 0 (selling more always pays), so the least allowed price; no stock left: the
 * highest allowed price; list 0 makes demand independent of price, the rest is unchanged; ceiling below
 * floor or below cost plus margin keeps the ceiling and sets `conflict`. Fractions in the input are taken
 * inwards; NaN counts as 0 (as none for the optional ones).
 *
 * Draws: two normals (`price`), one uniform (`dispersion`); with a stock three uniforms (`inventory` too). Cost:
 * 0.4 us, with a stock 2.5 us. Does not throw or allocate.
 * Source: Lerner's rule for constant elasticity, (p - c) / p = 1 / e; Thompson sampling with re-solving as
 * in Ferreira, Simchi-Levi & Wang, "Online Network Revenue Management Using Thompson Sampling", OR 2018
 * (deviation: a parametric demand; "sell nothing" is the highest allowed price).
 */
export function choosePrice(input: PriceInput, out: PriceResult): void {
  const { state, stateOffset, seed0, seed1, subjectHash } = input;
  hardBoundsOf(input);
  let model: number;
  out.unitValueMinor = 0;
  if (input.unitsLeft >= 0) {
    const atom = Math.floor(drawUniform(seed0, seed1, subjectHash, PURPOSE.price) * DEMAND_ATOMS);
    demandAtom(state, stateOffset, atom, demand);
    planStock(input, demand, plan);
    const isFirst = drawUniform(seed0, seed1, subjectHash, PURPOSE.inventory) < plan.firstProbability;
    model = isFirst ? plan.firstMinor : plan.secondMinor;
    out.unitValueMinor = plan.unitValueMinor;
  } else {
    drawDemand(state, stateOffset, seed0, seed1, subjectHash, demand);
    model = modelPrice(input.costMinor, demand.elasticity);
  }
  const factor = dispersionFactor(input);
  settle(input, model, factor, -1, out);
  out.maskedPriceMinor = out.priceMinor;
  out.personalised = false;
  if (input.personalFactor > 0 && input.personalFactor < 1) {
    settle(input, model, factor, out.maskedPriceMinor, out);
    out.personalised = out.priceMinor !== out.maskedPriceMinor;
  }
  out.elasticity = demand.elasticity;
  out.base = demand.base;
  out.expectedDemand = demandRate(demand.base, demand.elasticity, logPriceRatio(out.priceMinor, input.listMinor));
}

/**
 * `choosePrice` without a stock, for a given elasticity and dispersion factor: no draws. Writes the price,
 * the bounds and the interval. For explanations, simulations and tests.
 */
export function boundPrice(input: PriceInput, elasticity: number, factor: number, out: PriceResult): void {
  hardBoundsOf(input);
  settle(input, modelPrice(input.costMinor, elasticity), factor, -1, out);
  out.elasticity = elasticity;
}

/** Steps 3 to 9 for a price that was drawn and dispersed: rises with it, in steps. For propensities. */
export function finishPrice(input: PriceInput, drawnMinor: number): number {
  hardBoundsOf(input);
  settle(input, drawnMinor, 1, -1, finished);
  return finished.priceMinor;
}

/**
 * One person's price, given everybody's: `personalFactor` of it, then the same bounds and rounding, within the group gap
 * and never above the twin. The rate of change binds everybody's price, not this. No draws.
 * @param input without a previous and a reference price
 */
export function settlePersonal(input: PriceInput, twinMinor: number, out: PriceResult): void {
  hardBoundsOf(input);
  settle(input, twinMinor, 1, twinMinor, out);
}

/** Floor, cost and margin below; ceiling and list above. One object, overwritten by each call. */
export function hardBoundsOf(input: PriceInput): Readonly<HardBounds> {
  const ceiling = wholeDown(input.ceilingMinor);
  const list = wholeDown(input.listMinor);
  bounds.floor = wholeUp(input.floorMinor);
  bounds.withMargin = addBasisPointsUp(wholeUp(input.costMinor), basisPoints(input.marginBasisPointsMin));
  bounds.isListLower = input.isCappedAtList && list < ceiling;
  bounds.high = bounds.isListLower ? list : ceiling;
  bounds.low = Math.max(bounds.floor, bounds.withMargin);
  bounds.hasConflict = bounds.low > bounds.high;
  if (bounds.hasConflict) bounds.low = bounds.high;
  return bounds;
}

/**
 * Steps 2 to 9 for a model price, within `bounds`. The model price is first moved into the bounds, so that
 * prices are dispersed, and something learnt, at a bound too.
 * @param twinMinor everybody's price, when this is one person's; negative when it is everybody's
 */
function settle(input: PriceInput, model: number, factor: number, twinMinor: number, out: PriceResult): void {
  const { low: hardLow, high: hardHigh } = bounds;
  let moved = bounds.hasConflict ? PRICE_BOUND.conflict : 0;
  let price = clamp(model, hardLow, hardHigh) * factor;
  if (twinMinor >= 0) price *= input.personalFactor;
  if (model < hardLow || price < hardLow)
    moved |= bounds.withMargin > bounds.floor ? PRICE_BOUND.margin : PRICE_BOUND.floor;
  else if (model > hardHigh || price > hardHigh) moved |= bounds.isListLower ? PRICE_BOUND.list : PRICE_BOUND.ceiling;
  price = clamp(price, hardLow, hardHigh);

  let low = hardLow;
  let high = hardHigh;
  // Clamping both ends keeps each interval inside the one before and never empty.
  if (input.previousPriceMinor >= 0 && input.changeBasisPointsMax >= 0) {
    const previous = Math.min(Math.round(input.previousPriceMinor), PRICE_MINOR_MAX);
    const room = addBasisPointsDown(previous, basisPoints(input.changeBasisPointsMax)) - previous;
    low = clamp(previous - room, hardLow, hardHigh);
    high = clamp(previous + room, hardLow, hardHigh);
    if (price < low || price > high) moved |= PRICE_BOUND.changeRate;
    price = clamp(price, low, high);
  }
  if (input.referencePriceMinor >= 0 && input.referenceBasisPointsMax >= 0) {
    const reference = Math.min(Math.round(input.referencePriceMinor), PRICE_MINOR_MAX);
    high = clamp(addBasisPointsDown(reference, basisPoints(input.referenceBasisPointsMax)), low, high);
    if (price > high) moved |= PRICE_BOUND.reference;
    price = Math.min(price, high);
  }
  if (twinMinor >= 0) {
    const gap =
      twinMinor -
      Math.min(addBasisPointsDown(twinMinor, basisPoints(input.groupGapBasisPointsMax)) - twinMinor, twinMinor);
    low = clamp(gap, low, high);
    high = clamp(twinMinor, low, high);
    if (price < low || price > high) moved |= PRICE_BOUND.groupGap;
    price = clamp(price, low, high);
  }

  const step = input.stepMinor >= 1 ? Math.floor(Math.min(input.stepMinor, PRICE_MINOR_MAX)) : 1;
  const rounded = roundToGrid(price, step, input.endingsMinor, bounds.floor % step, low, high);
  if (!isOnGrid(rounded, step, input.endingsMinor, bounds.floor % step)) moved |= PRICE_BOUND.stepUnreachable;
  else if (rounded !== price && (step > 1 || input.endingsMinor.length > 0)) moved |= PRICE_BOUND.step;

  out.priceMinor = clamp(rounded, low, high);
  out.modelPriceMinor = roundHalfEven(model);
  out.dispersed = factor !== 1;
  out.dispersionFactor = factor;
  out.bounds = moved;
  out.lowMinor = low;
  out.highMinor = high;
}

/** The margin optimum c e / (e - 1), the highest allowed price when demand is inelastic; in [0, 1e15]. */
function modelPrice(costMinor: number, elasticity: number): number {
  if (!(elasticity > 1)) return bounds.high;
  return Math.min((wholeUp(costMinor) * elasticity) / (elasticity - 1), PRICE_MINOR_MAX);
}

/** The two prices that stock and time left call for, and how often the first. */
export interface StockPlan {
  firstMinor: number;
  secondMinor: number;
  firstProbability: number;
  unitValueMinor: number;
}

/** What `choosePrice` plans for a stock, under a given curve. */
export function planStock(input: PriceInput, curve: Demand, out: StockPlan): void {
  hardBoundsOf(input);
  const count = fillGrid(input);
  for (let i = 0; i < count; i++) {
    const ratio = logPriceRatio(gridPrices[i] as number, input.listMinor); // cast: within `count`
    gridDemand[i] = demandRate(curve.base, curve.elasticity, ratio);
  }
  // Nothing left is nothing a quote, also when no quote is expected any more.
  const unitsPerQuote = input.unitsLeft > 0 ? input.unitsLeft / Math.max(input.quotesLeft, 0) : 0;
  solveInventory(gridPrices, gridDemand, count, unitsPerQuote, wholeUp(input.salvageMinor), mix);
  // A price has to be named: the highest stands for selling nothing.
  const isBinding = mix.first === SELL_NOTHING || mix.second === SELL_NOTHING;
  out.firstMinor = isBinding ? bounds.high : (gridPrices[mix.first] as number); // cast: an index of the grid
  out.secondMinor = isBinding ? bounds.high : (gridPrices[mix.second] as number); // cast: an index of the grid
  out.firstProbability = mix.firstProbability;
  out.unitValueMinor = mix.unitValue;
}

/** Up to 33 prices from low to high: each step when these are few, else spread by equal ratios. */
function fillGrid(input: PriceInput): number {
  const { low, high } = bounds;
  const step = input.stepMinor >= 1 ? Math.floor(input.stepMinor) : 1;
  const steps = Math.floor((high - low) / step);
  if (steps < GRID_MAX - 1) {
    for (let i = 0; i <= steps; i++) gridPrices[i] = low + i * step;
    gridPrices[steps + 1] = high;
    return low + steps * step < high ? steps + 2 : steps + 1;
  }
  const from = naturalLogarithm(Math.max(low, 1));
  const width = (naturalLogarithm(high) - from) / (GRID_MAX - 1);
  gridPrices[0] = low;
  for (let i = 1; i < GRID_MAX - 1; i++) gridPrices[i] = exponential(from + i * width);
  gridPrices[GRID_MAX - 1] = high;
  return GRID_MAX;
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

/**
 * `price` to the nearest price of the grid within [low, high], both whole: `offset` plus whole steps, or whole
 * steps plus one of `endings`; the lower of two as near. The nearest whole number where the grid has none.
 */
function roundToGrid(
  price: number,
  step: number,
  endings: readonly number[],
  offset: number,
  low: number,
  high: number,
): number {
  if (endings.length === 0) {
    const only = roundToStep(price, step, offset, low, high);
    return only >= 0 ? only : clamp(roundHalfEven(price), low, high);
  }
  let best = -1;
  for (let i = 0; i < endings.length; i++) {
    const at = roundToStep(price, step, endings[i] as number, low, high); // cast: within the length
    if (at < 0) continue;
    const nearer = Math.abs(at - price) - Math.abs(best - price);
    if (best < 0 || nearer < 0 || (nearer === 0 && at < best)) best = at;
  }
  return best >= 0 ? best : clamp(roundHalfEven(price), low, high);
}

/** The nearest `offset` + k `step` within [low, high], halves to even k; -1 where there is none. */
function roundToStep(price: number, step: number, offset: number, low: number, high: number): number {
  const nearest = roundHalfEven((price - offset) / step) * step + offset;
  if (nearest >= low && nearest <= high) return nearest;
  const other =
    nearest < low
      ? Math.ceil((low - offset) / step) * step + offset
      : Math.floor((high - offset) / step) * step + offset;
  return other >= low && other <= high ? other : -1;
}

function isOnGrid(price: number, step: number, endings: readonly number[], offset: number): boolean {
  if (endings.length === 0) return (price - offset) % step === 0;
  for (let i = 0; i < endings.length; i++) {
    if ((price - (endings[i] as number)) % step === 0) return true; // cast: within the length
  }
  return false;
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
