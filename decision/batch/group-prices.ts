/**
 * What fairness costs: the best prices for groups of people when no two may differ by more than a gap. With
 * gap 0 one price for all, with a large one each group's own. For planning how large a gap is worth having;
 * the limit itself is kept by `price.ts`, where a personal price stays within the gap of everybody's.
 *
 *     max  sum share_g (p_g - c) (a_g - b_g p_g)      subject to   |p_g - p_h| <= gap
 *
 * Some window [m, m + gap] holds all prices, and within it each group pays its own best price moved to the
 * nearer end. What that earns is concave in m, so one root of its slope is the optimum.
 */

export interface PriceGroup {
  /** Of all people, > 0. */
  readonly share: number;
  /** Demand a - b p, >= 0: a is what they would take at price 0, b > 0 what each unit of price costs. */
  readonly intercept: number;
  readonly slope: number;
}

const HALVINGS = 100;

/**
 * @param gap most two groups' prices may differ, >= 0; negative and NaN count as 0
 * @param prices length of `groups`, written; NaN where no group has a positive share and slope
 * @returns earnings a person. Groups are served as a whole from the least willing up: where leaving the
 *   least willing out earns more, they pay the lowest of the others' prices and take nothing.
 * Draws: none. Cost: groups^2 x 0.5 us.
 * Source: Cohen, Elmachtoub and Lei, "Price discrimination with fairness constraints", Management Science 2022,
 * price fairness under linear demand; the window is how the solution is written here.
 */
export function gapLimitedPrices(
  groups: readonly PriceGroup[],
  cost: number,
  gap: number,
  prices: Float64Array,
): number {
  prices.fill(Number.NaN);
  const width = Number.isNaN(gap) ? 0 : Math.max(gap, 0);
  const sound = groups.filter((g) => g.share > 0 && g.slope > 0 && Number.isFinite(g.intercept + g.slope + g.share));
  const byBest = [...sound].sort((g, h) => bestPrice(g, cost) - bestPrice(h, cost));
  let earned = -Infinity;
  for (let from = 0; from < byBest.length; from++) {
    const low = windowStart(byBest.slice(from), cost, width);
    const total = sound.reduce(
      (sum, g) => sum + g.share * earnings(g, cost, within(bestPrice(g, cost), low, width)),
      0,
    );
    if (!(total > earned)) continue;
    earned = total;
    groups.forEach((g, i) => {
      prices[i] = sound.includes(g) ? within(bestPrice(g, cost), low, width) : Number.NaN;
    });
  }
  return earned === -Infinity ? 0 : earned;
}

/** The m at which the slope of what the groups bring, served as a whole, passes 0. */
function windowStart(groups: readonly PriceGroup[], cost: number, width: number): number {
  let low = bestPrice(groups[0] as PriceGroup, cost) - width; // cast: never empty, and sorted by best price
  let high = bestPrice(groups[groups.length - 1] as PriceGroup, cost);
  for (let i = 0; i < HALVINGS; i++) {
    const m = (low + high) / 2;
    let slope = 0;
    for (const g of groups) {
      const best = bestPrice(g, cost);
      if (best < m) slope += 2 * g.share * g.slope * (best - m);
      else if (best > m + width) slope += 2 * g.share * g.slope * (best - m - width);
    }
    if (slope > 0) low = m;
    else high = m;
  }
  return (low + high) / 2;
}

function within(best: number, low: number, width: number): number {
  return Math.min(Math.max(best, low), low + width);
}

function bestPrice(g: PriceGroup, cost: number): number {
  return (g.intercept / g.slope + cost) / 2;
}

function earnings(g: PriceGroup, cost: number, price: number): number {
  return (price - cost) * Math.max(g.intercept - g.slope * price, 0);
}
