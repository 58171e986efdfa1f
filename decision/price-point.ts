/**
 * A price as it is given to somebody: with the price of everybody beside it, how it came about, and how probable the
 * draw behind it was. Made by `workers/hour-prices.ts` for everybody, by `personal-price.ts` for one person.
 */
import type { Properties } from '../proto/messages.ts';

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
