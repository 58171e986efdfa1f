/**
 * A price as it is given to somebody: with the price of everybody beside it, how it came about, and how probable the
 * draw behind it was. Made by `workers/hour-prices.ts` for everybody, by `personal-price.ts` for one person.
 */
import type { Properties } from '../proto/messages.ts';
import type { Product } from './catalog.ts';
import type { RuleScope } from './rule.ts';

const BASIS_POINTS = 10_000;

export interface PricePoint {
  readonly priceMinor: number;
  readonly maskedPriceMinor: number;
  readonly personalised: boolean;
  /** Probability of the price among all of this hour; of a personal one, that of the price it is taken off. */
  readonly propensity: number;
  /** Key of the promotion to offer beside it, or null. */
  readonly promotion: string | null;
  readonly explain: Properties;
}

/**
 * What a feed lets a product cost at most, in whole minor units: never below its floor, nor its cost with margin.
 * Infinite where the product asks none, or it is not known now.
 */
export function feedCeiling(product: Product, feeds: Pick<RuleScope, 'feedNumber'>): number {
  const { ceilingFrom } = product;
  if (ceilingFrom === null) return Number.POSITIVE_INFINITY;
  const value = feeds.feedNumber(ceilingFrom.feed, ceilingFrom.field, ceilingFrom.key);
  if (!(value > 0)) return Number.POSITIVE_INFINITY;
  const allowed = Math.floor((value * (BASIS_POINTS + ceilingFrom.basisPoints)) / BASIS_POINTS);
  const withMargin = Math.ceil((product.costMinor * (BASIS_POINTS + product.marginBasisPointsMin)) / BASIS_POINTS);
  return Math.max(allowed, product.floorMinor, withMargin);
}
