/**
 * With what probability the policy of `price.ts` gives a price, over its own chance: the draw from the
 * posterior, the mix of two prices, the dispersion. Of the final price, behind all bounds and rounding: the
 * steps from a drawn price to the final one never fall, so the drawn prices that end at p are an interval.
 *
 *     P(p) = (1 - q) P(M in [a, b)) + q E_f P(f M in [a, b)),    M the model price within the hard bounds
 *
 * Without a stock M = c e / (e - 1) with e Normal, so P(M >= y) is one value of Phi and E_f an integral over two
 * short ranges, by Gauss-Legendre between its kinks. With a stock M is one of two prices of 64 curves: counted.
 *
 * Guarantees: in [0, 1], summing to 1 over all prices, never NaN. For everybody's price; a personal one is a function of it.
 */
import {
  DEMAND_ATOMS,
  type Demand,
  type DemandSummary,
  DRAW_SCALE,
  demandAtom,
  summariseDemand,
} from './demand-model.ts';
import { normalCdf } from './normal.ts';
import {
  DISPERSION_MAX,
  DISPERSION_MIN,
  finishPrice,
  hardBoundsOf,
  type PriceInput,
  planStock,
  type StockPlan,
} from './price.ts';

/** Gauss-Legendre, 8 nodes on [-1, 1]: the positive half. */
const NODES = [0.1834346424956498, 0.525532409916329, 0.7966664774136267, 0.9602898564975363];
const WEIGHTS = [0.362683783378362, 0.3137066458778873, 0.2223810344533745, 0.1012285362903763];
const HALVINGS = 64;

const summary: DemandSummary = { baseMean: 0, elasticityMean: 0, baseSd: 0, elasticitySd: 0, correlation: 0 };
const curve: Demand = { base: 0, elasticity: 0 };
const plan: StockPlan = { firstMinor: 0, secondMinor: 0, firstProbability: 1, unitValueMinor: 0 };
/** What `modelFrom` needs of the input at hand. */
let lowest = 0;
let highest = 0;
let cost = 0;
let dispersion = 0;

/**
 * Probability that `choosePrice` gives `priceMinor` for this input, over all seeds.
 * @param input seeds are not read; `personalFactor` counts as 1
 * @param priceMinor a whole number; others have probability 0
 * Draws: none. Cost: 15 us without a stock, 165 us with one: once a product and hour. Does not throw or allocate.
 */
export function pricePropensity(input: PriceInput, priceMinor: number): number {
  if (!Number.isInteger(priceMinor)) return 0;
  const bounds = hardBoundsOf(input);
  lowest = bounds.low;
  highest = bounds.high;
  cost = input.costMinor > 0 ? Math.ceil(input.costMinor) : 0;
  dispersion = input.dispersionProbability > 0 ? Math.min(input.dispersionProbability, 1) : 0;
  const from = leastDrawn(input, priceMinor);
  const to = leastDrawn(input, priceMinor + 1);
  if (!(from < to)) return 0;
  if (input.unitsLeft >= 0) return stockProbability(input, from, to);
  summariseDemand(input.state, input.stateOffset, summary);
  return Math.min(Math.max(probabilityFrom(from) - probabilityFrom(to), 0), 1);
}

/** The least drawn price that ends at `priceMinor` or above; -Infinity when all do, Infinity when none does. */
function leastDrawn(input: PriceInput, priceMinor: number): number {
  if (priceMinor <= finishPrice(input, lowest)) return -Infinity;
  if (priceMinor > finishPrice(input, highest)) return Infinity;
  let below = lowest;
  let at = highest;
  for (let i = 0; i < HALVINGS; i++) {
    const middle = (below + at) / 2;
    if (finishPrice(input, middle) >= priceMinor) at = middle;
    else below = middle;
  }
  return at;
}

/** P(dispersed model price >= drawn). */
function probabilityFrom(drawn: number): number {
  if (drawn === -Infinity) return 1;
  if (drawn === Infinity) return 0;
  const down = meanOverFactors(drawn, 1 - DISPERSION_MAX, 1 - DISPERSION_MIN);
  const up = meanOverFactors(drawn, 1 + DISPERSION_MIN, 1 + DISPERSION_MAX);
  return (1 - dispersion) * modelFrom(drawn) + (dispersion / 2) * (down + up);
}

/** P(M >= y) within the hard bounds, where all that is beyond them lies on them. */
function modelFrom(y: number): number {
  if (y <= lowest || y <= cost) return 1;
  return y > highest ? 0 : normalCdf((y / (y - cost) - summary.elasticityMean) / (DRAW_SCALE * summary.elasticitySd));
}

/** Mean of P(f M >= drawn) over f uniform in [f0, f1]; 0 below drawn / highest, 1 above drawn / lowest, smooth between. */
function meanOverFactors(drawn: number, f0: number, f1: number): number {
  const start = Math.min(Math.max(f0, drawn / highest), f1);
  const end = Math.max(start, Math.min(f1, drawn / lowest));
  const middle = (start + end) / 2;
  const half = (end - start) / 2;
  let sum = 0;
  for (let i = 0; i < NODES.length && half > 0; i++) {
    const step = half * (NODES[i] as number); // cast: within the length, here and below
    sum += (WEIGHTS[i] as number) * (modelFrom(drawn / (middle - step)) + modelFrom(drawn / (middle + step)));
  }
  return (sum * half + (f1 - end)) / (f1 - f0);
}

/** The same by counting: each of 64 curves has two prices, each of which ends in [from, to) for a share of factors. */
function stockProbability(input: PriceInput, from: number, to: number): number {
  let sum = 0;
  for (let atom = 0; atom < DEMAND_ATOMS; atom++) {
    demandAtom(input.state, input.stateOffset, atom, curve);
    planStock(input, curve, plan);
    sum += plan.firstProbability * (shareFrom(plan.firstMinor, from) - shareFrom(plan.firstMinor, to));
    sum += (1 - plan.firstProbability) * (shareFrom(plan.secondMinor, from) - shareFrom(plan.secondMinor, to));
  }
  return Math.min(Math.max(sum / DEMAND_ATOMS, 0), 1);
}

/** P(f `price` >= drawn) over the dispersion alone. */
function shareFrom(price: number, drawn: number): number {
  if (drawn === -Infinity) return 1;
  if (drawn === Infinity) return 0;
  const f = drawn / price;
  const width = DISPERSION_MAX - DISPERSION_MIN;
  const down = Math.min(Math.max((1 - DISPERSION_MIN - f) / width, 0), 1);
  const up = Math.min(Math.max((1 + DISPERSION_MAX - f) / width, 0), 1);
  return (1 - dispersion) * (price >= drawn ? 1 : 0) + (dispersion / 2) * (down + up);
}
