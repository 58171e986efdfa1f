/**
 * What moves a product's demand beside its own price, as a catalog declares it: a competitor's price or the weather,
 * sent in a request's context or pushed to a feed, other products' prices, the time of day. Each becomes one number, 0
 * in the usual case:
 *
 *   a price           log(value / usual)           a number   (value - mean) / scale
 *   another product   log(its price / its list)    hour       sine or cosine of the hour, UTC
 *
 * They must be the same for everybody in an hour; a catalog names none that is a trait. What is missing counts as the
 * usual case. `cross-demand.ts` learns their effects; `workers/hour-prices.ts` draws the hour's price by them.
 */
import type { Properties } from '../proto/messages.ts';
import { CROSS_INPUTS_MAX } from './cross-demand.ts';
import { logPriceRatio } from './demand-model.ts';
import type { FeedCell } from './feed-table.ts';
import type { RuleScope } from './rule.ts';

/** Base and own price have the first two places. */
export const DEMAND_INPUTS_MAX = CROSS_INPUTS_MAX - 2;

/** A value of a feed, or what the request's context has under a key. */
export type InputSource = FeedCell | { readonly context: string };

export type DemandInput =
  | { readonly kind: 'price'; readonly from: InputSource; readonly usualMinor: number }
  | { readonly kind: 'number'; readonly from: InputSource; readonly mean: number; readonly scale: number }
  | { readonly kind: 'product'; readonly skuHash: number; readonly listMinor: number }
  | { readonly kind: 'hour'; readonly isCosine: boolean };

const HOUR_MILLIS = 3_600_000;
/** sin(15 degrees x k), k from 0 to 6; `Math.sin` is not the same on every engine. */
const SINES = [0, 0.25881904510252074, 0.5, Math.SQRT1_2, 0.8660254037844386, 0.9659258262890683, 1];

function sineOfHour(hour: number): number {
  const h = ((hour % 24) + 24) % 24;
  const quarter = h % 12;
  const size = SINES[quarter <= 6 ? quarter : 12 - quarter] as number; // 0 to 6
  return h < 12 ? size : -size;
}

/**
 * @param context of the request, or null
 * @param feeds what is known of the world
 * @param priceOf the price of another product this hour, minor units
 * @param out length `DEMAND_INPUTS_MAX`, overwritten; finite, within +-3
 */
export function fillDemandInputs(
  inputs: readonly DemandInput[],
  context: Properties | null,
  feeds: Pick<RuleScope, 'feedNumber'>,
  nowEpochMillis: number,
  priceOf: (skuHash: number) => number,
  out: Float64Array,
): void {
  out.fill(0);
  const hour = Math.floor(nowEpochMillis / HOUR_MILLIS);
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i] as DemandInput; // i < length
    let value = Number.NaN;
    if (input.kind === 'product') value = logPriceRatio(priceOf(input.skuHash), input.listMinor);
    else if (input.kind === 'hour') value = sineOfHour(input.isCosine ? hour + 6 : hour);
    else {
      const { from } = input;
      const given = 'context' in from ? context?.[from.context] : feeds.feedNumber(from.feed, from.field, from.key);
      if (typeof given === 'number') {
        value = input.kind === 'price' ? logPriceRatio(given, input.usualMinor) : (given - input.mean) / input.scale;
      }
    }
    out[i] = value > 3 ? 3 : value >= -3 ? value : value < 0 ? -3 : 0;
  }
}
