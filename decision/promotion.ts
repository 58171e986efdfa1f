/**
 * Which promotion, if any: percentage off, amount off, buy some and get some free, or a bundle with another
 * product, by what one quote is expected to earn. People who would have bought anyway take the promotion too:
 * that is its cost, and "none" is always among the candidates.
 *
 *     units wanted in one quote at unit price q ~ Poisson(lambda(q)),   lambda from `demand-model.ts`
 *
 * Off a price: everybody pays q. Of buy x get y, with q = p x / (x + y): whole sets are bought as wanted at q, the
 * rest of the units at p, each kept with probability lambda(p) / lambda(q), so that with y = 0 nothing changes.
 * Of a bundle: pairs are bought as both are wanted at the bundle's share of their prices, the rest likewise.
 *
 * Guarantees: never a unit below the floor or cost plus margin, never NaN. Traded away: nobody stocks up for
 * later, and the two products of a bundle are wanted independently.
 */
import { type Demand, demandRate, logPriceRatio } from './demand-model.ts';
import { exponential } from './normal.ts';

export type Promotion =
  | { readonly kind: 'percentage'; readonly basisPoints: number }
  | { readonly kind: 'amount'; readonly amountMinor: number }
  /** For `buy` paid units `free` ones come with them. */
  | { readonly kind: 'buyGet'; readonly buy: number; readonly free: number }
  /** This product and another together at one price. */
  | { readonly kind: 'bundle'; readonly bundleMinor: number; readonly other: PromotedProduct };

/** A product as a promotion sees it. Money is minor units. */
export interface PromotedProduct {
  readonly priceMinor: number;
  readonly listMinor: number;
  readonly costMinor: number;
  /** No unit goes for less on average: the larger of floor and cost plus margin. */
  readonly floorMinor: number;
  /** Drawn for Thompson sampling, or the posterior's mean. */
  readonly demand: Demand;
}

export interface PromotionChoice {
  /** Index in the list of promotions, or -1 for none. */
  promotion: number;
  /** Expected earnings of one quote with it, minor units; may be negative where the price is below cost. */
  expectedMargin: number;
  /** The same without any promotion. */
  plainMargin: number;
}

/** Units of one quote beyond which nothing more is counted: with at most 10 wanted on average, 1 in 10^6. */
const UNITS_MAX = 28;
const RATE_MAX = 10;
const BASIS_POINTS = 10_000;
const wanted = new Float64Array(UNITS_MAX + 1);
const otherWanted = new Float64Array(UNITS_MAX + 1);

/**
 * The promotion of the largest expected margin; the earlier of two alike, none before all.
 * @param promotions those that do not apply (a share not in (0, 1), an amount or bundle that saves nothing, a
 *   price below the floor, counts that are no positive integers) are passed over
 * Draws: none. Cost: 0.2 us a promotion off the price, 1 us a buy-get, 4 us a bundle. Does not throw or allocate.
 * Source: the Poisson thinning is Kingman, "Poisson Processes", 1993, section 5.1; own model otherwise.
 */
export function choosePromotion(
  product: PromotedProduct,
  promotions: readonly Promotion[],
  out: PromotionChoice,
): void {
  const plain = plainMargin(product, product.priceMinor);
  out.promotion = -1;
  out.plainMargin = plain;
  out.expectedMargin = plain;
  for (let i = 0; i < promotions.length; i++) {
    const margin = promotionMargin(product, promotions[i] as Promotion); // cast: within the length
    if (!(margin > out.expectedMargin && margin < Infinity)) continue;
    out.promotion = i;
    out.expectedMargin = margin;
  }
}

/** What one quote is expected to earn with a promotion, minor units; NaN when it does not apply. */
export function promotionMargin(product: PromotedProduct, promotion: Promotion): number {
  const { priceMinor } = product;
  switch (promotion.kind) {
    case 'percentage': {
      if (!(promotion.basisPoints > 0 && promotion.basisPoints < BASIS_POINTS)) return Number.NaN;
      // In favour of the seller by less than a minor unit: a price is a whole number of them.
      return reducedMargin(product, Math.ceil(priceMinor - (priceMinor / BASIS_POINTS) * promotion.basisPoints));
    }
    case 'amount':
      return reducedMargin(product, Math.ceil(priceMinor - promotion.amountMinor));
    case 'buyGet':
      return buyGetMargin(product, promotion.buy, promotion.free);
    case 'bundle':
      return bundleMargin(product, promotion.other, promotion.bundleMinor);
  }
}

function reducedMargin(product: PromotedProduct, priceMinor: number): number {
  if (!(priceMinor < product.priceMinor && priceMinor >= product.floorMinor)) return Number.NaN;
  return plainMargin(product, priceMinor);
}

function plainMargin(product: PromotedProduct, priceMinor: number): number {
  const margin = rateAt(product, priceMinor) * (priceMinor - product.costMinor);
  return margin > -Infinity && margin < Infinity ? margin : 0;
}

function buyGetMargin(product: PromotedProduct, buy: number, free: number): number {
  const set = buy + free;
  if (!(Number.isInteger(buy) && Number.isInteger(free) && buy >= 1 && free >= 1 && set <= UNITS_MAX))
    return Number.NaN;
  const unit = (product.priceMinor * buy) / set;
  if (!(unit >= product.floorMinor)) return Number.NaN;
  const rate = rateAt(product, unit);
  const kept = Math.min(rateAt(product, product.priceMinor) / rate, 1);
  fillPoisson(rate, wanted);
  let sets = 0;
  let rest = 0;
  for (let n = 1; n <= UNITS_MAX; n++) {
    const probability = wanted[n] as number; // cast: within the array
    const whole = Math.floor(n / set);
    sets += probability * whole;
    rest += probability * (n - whole * set);
  }
  const setMargin = buy * product.priceMinor - set * product.costMinor;
  return sets * setMargin + rest * kept * (product.priceMinor - product.costMinor);
}

function bundleMargin(one: PromotedProduct, other: PromotedProduct, bundleMinor: number): number {
  const apart = one.priceMinor + other.priceMinor;
  if (!(bundleMinor > 0 && bundleMinor < apart && bundleMinor >= one.floorMinor + other.floorMinor)) return Number.NaN;
  const share = bundleMinor / apart;
  const [rate, otherRate] = [rateAt(one, one.priceMinor * share), rateAt(other, other.priceMinor * share)];
  const kept = Math.min(rateAt(one, one.priceMinor) / rate, 1);
  const otherKept = Math.min(rateAt(other, other.priceMinor) / otherRate, 1);
  fillPoisson(rate, wanted);
  fillPoisson(otherRate, otherWanted);
  // E[min(m, n)] = sum over k >= 1 of P(m >= k) P(n >= k).
  let pairs = 0;
  let tail = 0;
  let otherTail = 0;
  for (let k = UNITS_MAX; k >= 1; k--) {
    tail += wanted[k] as number; // cast: within the array
    otherTail += otherWanted[k] as number; // cast: within the array
    pairs += tail * otherTail;
  }
  return (
    pairs * (bundleMinor - one.costMinor - other.costMinor) +
    Math.max(rate - pairs, 0) * kept * (one.priceMinor - one.costMinor) +
    Math.max(otherRate - pairs, 0) * otherKept * (other.priceMinor - other.costMinor) -
    // What the other product earns without us is not this promotion's doing.
    plainMargin(other, other.priceMinor)
  );
}

/** Expected units of one quote, at most 10: no promotion is planned for wholesale. */
function rateAt(product: PromotedProduct, priceMinor: number): number {
  const { base, elasticity } = product.demand;
  return Math.min(demandRate(base, elasticity, logPriceRatio(priceMinor, product.listMinor)), RATE_MAX);
}

function fillPoisson(rate: number, out: Float64Array): void {
  let term = exponential(-rate);
  for (let n = 0; n <= UNITS_MAX; n++) {
    out[n] = term;
    term *= rate / (n + 1);
  }
}
