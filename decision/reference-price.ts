/**
 * What people remember having paid: the price, smoothed over time. A price far above it feels like a rise to them,
 * whatever it was an hour ago; `price.ts` holds prices to it. Kept by `workers/price-table.ts`, an hour a period.
 */

/**
 * The reference price after one more period at `priceMinor`: exponential smoothing,
 * r' = r + (1 - memory) (p - r). A reference that is no number of at least 0 begins at the price.
 * @param memory in [0, 1): how much of the reference a period keeps; other values count as 0
 * Source: Greenleaf, "The impact of reference price effects on the profitability of price promotions",
 * Marketing Science 1995, equation 2.
 */
export function nextReferencePrice(referenceMinor: number, priceMinor: number, memory: number): number {
  if (!(referenceMinor >= 0 && referenceMinor < Infinity)) return priceMinor;
  const kept = memory >= 0 && memory < 1 ? memory : 0;
  return referenceMinor + (1 - kept) * (priceMinor - referenceMinor);
}
