/**
 * An action of which little is known reaches only some people on a channel that has a `maturity`, so that a poor new
 * message cannot go to everybody before it is known to be poor. Pega's outbound ramp (Pega Customer Decision Hub,
 * "Outbound model maturity"): the reach grows in a straight line from `reach` without a positive to 1 at `positives`.
 *
 * Who is reached is a fixed point a person and action, as in `holdout.ts`: a growing reach only adds people, and what
 * is allowed is a function of the state, so propensities among the allowed stay exact. Deviation: positives are not
 * counted one by one but read from the model (`positivesLearnt`), which merges and replays without another number.
 */
import type { Maturity } from './catalog.ts';
import { mixHash } from './features.ts';
import { holdoutPoint } from './holdout.ts';

const MATURITY_SALT = 0x6d617475;

/**
 * Share of people who may be offered an action, in [reach, 1].
 * @param positives responses learnt, >= 0; NaN counts as 0
 */
export function reachOf(maturity: Maturity, positives: number): number {
  const share = positives > 0 ? Math.min(positives / maturity.positives, 1) : 0;
  return maturity.reach + (1 - maturity.reach) * share;
}

/** The person's fixed point in (0, 1) for an action: reached when below `reachOf`. Cost: about 30 ns. */
export function maturityPoint(keyHashHigh: number, keyHashLow: number, actionHash: number): number {
  return holdoutPoint(keyHashHigh, keyHashLow, mixHash(actionHash, MATURITY_SALT));
}
