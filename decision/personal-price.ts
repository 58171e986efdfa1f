/**
 * A person's own price: the largest declared discount whose rule holds for the person, off the price that everybody is
 * given in that hour. Only where the catalog switches it on for the product; rules cannot see protected or sensitive
 * traits (`workers/catalog/rule-check.ts`), and whoever said no to it gets everybody's price.
 *
 * Guarantees: never above everybody's price, its masked twin, and below it by at most the group gap, so no two people's
 * prices of one hour, and no two groups', differ by more, whatever the rules are and whoever the groups. Floor, cost,
 * margin, step and endings hold as for every price.
 */
import type { Product } from './catalog.ts';
import { createPriceInput, createPriceResult, settlePersonal } from './price.ts';
import type { PricePoint } from './price-point.ts';
import type { RuleScope } from './rule.ts';

/** Whose price: what rules may ask, and whether the person said no. */
interface Customer extends RuleScope {
  readonly refusesPersonalPrice: boolean;
}

const BASIS_POINTS = 10_000;
const input = createPriceInput();
const result = createPriceResult();

/**
 * @param everybody the price of the hour
 * @returns it, or a price of the person's own that carries it. The draw behind both is one, so is the propensity.
 */
export function personalPrice(product: Product, customer: Customer, everybody: PricePoint): PricePoint {
  if (customer.refusesPersonalPrice) return everybody;
  const discount = largestDiscount(product, customer);
  if (discount < 0) return everybody;
  const { basisPoints, when } = product.personalDiscounts[discount] as Product['personalDiscounts'][number]; // found there
  const priceMinor = discountedPrice(product, everybody.priceMinor, basisPoints);
  if (priceMinor >= everybody.priceMinor) return everybody;
  return {
    ...everybody,
    priceMinor,
    maskedPriceMinor: everybody.priceMinor,
    personalised: true,
    explain: {
      ...everybody.explain,
      personalDiscountBasisPoints: basisPoints,
      personalDiscountRule: when.source,
      groupGapBasisPointsMax: product.groupGapBasisPointsMax,
    },
  };
}

/** The price that a discount leaves of everybody's: a whole number from the product's bounds, at most the twin. */
export function discountedPrice(product: Product, twinMinor: number, basisPoints: number): number {
  input.listMinor = product.listMinor;
  input.floorMinor = product.floorMinor;
  input.ceilingMinor = product.ceilingMinor;
  input.costMinor = product.costMinor;
  input.stepMinor = product.stepMinor;
  input.endingsMinor = product.endingsMinor;
  input.marginBasisPointsMin = product.marginBasisPointsMin;
  input.isCappedAtList = product.isCappedAtList;
  input.groupGapBasisPointsMax = product.groupGapBasisPointsMax;
  input.personalFactor = (BASIS_POINTS - basisPoints) / BASIS_POINTS;
  settlePersonal(input, twinMinor, result);
  return result.priceMinor;
}

function largestDiscount({ personalDiscounts }: Product, customer: Customer): number {
  let largest = -1;
  for (let i = 0; i < personalDiscounts.length; i++) {
    const { when, basisPoints } = personalDiscounts[i] as Product['personalDiscounts'][number]; // i < length
    if (largest >= 0 && basisPoints <= (personalDiscounts[largest]?.basisPoints ?? 0)) continue;
    if (when.evaluate(customer)) largest = i;
  }
  return largest;
}
