/**
 * What to charge while a stock lasts: of a few prices, how often each, so that the stock that is left earns
 * the most in the periods that are left. With one stock the linear program
 *
 *     max  sum x_i (p_i - salvage) d_i     subject to   sum x_i d_i <= c,   sum x_i <= 1,   x >= 0
 *
 * has two constraints, so some optimum mixes at most two prices, or one price with selling nothing. All pairs
 * are looked at: closed form, O(P^2), no solver. Solved anew at each decision with the stock and time left,
 * it corrects itself: what sold too fast raises the next price.
 *
 * Guarantees: never NaN; a result for every input. Traded away: demand is taken as its expectation (the
 * fluid limit), an upper bound on what any policy can earn. Called by `price.ts`, and by simulations.
 */

/** Stands for "sell nothing" in place of a price's index. */
export const SELL_NOTHING = -1;

/** The best mix. One object, overwritten by each call. */
export interface InventoryMix {
  /** Index of the price to charge with `firstProbability`; the cheaper one (of larger demand), or `SELL_NOTHING`. */
  first: number;
  /** Index of the price to charge otherwise, or `SELL_NOTHING`. */
  second: number;
  /** In [0, 1]. */
  firstProbability: number;
  /** Expected earnings of one period over salvage, >= 0. */
  earnings: number;
  /** What one more unit of stock a period would earn over salvage (the dual, "bid price"), >= 0; 0 while the stock suffices. */
  unitValue: number;
}

export function createInventoryMix(): InventoryMix {
  return { first: SELL_NOTHING, second: SELL_NOTHING, firstProbability: 1, earnings: 0, unitValue: 0 };
}

/**
 * Solves the program above.
 * @param prices p_i, any finite unit; in any order; length >= `count`
 * @param demand d_i, expected units a period, >= 0; negative counts as 0, a price whose demand is not finite is left out
 * @param count P, how many prices there are; 0 gives "sell nothing"
 * @param unitsPerPeriod c, stock over periods left: Infinity when the stock does not bind, <= 0 or NaN when nothing is left
 * @param salvage what an unsold unit is worth in the end; a price at or below it is never chosen
 * Draws: none. Cost: 0.1 us at 4 prices, 1 us at 33. Does not throw or allocate.
 * Source: Gallego and van Ryzin, "A multiproduct dynamic pricing problem", Operations Research 1997, the
 * deterministic program; mixing as in Ferreira, Simchi-Levi and Wang, Operations Research 2018, section 2.
 */
export function solveInventory(
  prices: Float64Array,
  demand: Float64Array,
  count: number,
  unitsPerPeriod: number,
  salvage: number,
  out: InventoryMix,
): void {
  out.first = SELL_NOTHING;
  out.second = SELL_NOTHING;
  out.firstProbability = 1;
  out.earnings = 0;
  out.unitValue = 0;
  if (!(unitsPerPeriod > 0)) return;
  for (let i = 0; i < count; i++) {
    const units = unitsAt(demand, i);
    const earned = ((prices[i] as number) - salvage) * units; // cast: within `count`
    if (!(earned > 0 && earned < Infinity)) continue;
    if (units <= unitsPerPeriod) take(i, i, 1, earned, 0, out);
    else {
      const share = unitsPerPeriod / units;
      take(i, SELL_NOTHING, share, earned * share, earned / units, out);
      for (let j = 0; j < count; j++) {
        const fewer = unitsAt(demand, j);
        if (fewer >= unitsPerPeriod) continue;
        const other = ((prices[j] as number) - salvage) * fewer; // cast: within `count`
        if (!(other > -Infinity && other < Infinity)) continue;
        const mixed = (unitsPerPeriod - fewer) / (units - fewer);
        take(i, j, mixed, mixed * earned + (1 - mixed) * other, (earned - other) / (units - fewer), out);
      }
    }
  }
}

function take(
  first: number,
  second: number,
  firstProbability: number,
  earnings: number,
  unitValue: number,
  out: InventoryMix,
): void {
  if (!(earnings > out.earnings)) return;
  out.first = first;
  out.second = second;
  out.firstProbability = firstProbability;
  out.earnings = earnings;
  out.unitValue = Math.max(unitValue, 0);
}

function unitsAt(demand: Float64Array, i: number): number {
  return Math.max(demand[i] as number, 0); // cast: within `count`
}
