/**
 * SquareCB: chance by inverse-gap weighting (Abe and Long, ICML 1999; Foster and Rakhlin, "Beyond UCB: optimal and
 * efficient contextual bandits with regression oracles", ICML 2020, algorithm 1). Needs expected scores only, no
 * posterior, and its propensities are exact by construction:
 *
 *   of n candidates for one place, with best score s*:   p_i = 1 / (n + gamma (s* - s_i) / range),   the best has the rest
 *
 * For k places the k - 1 best are certain, and the n - k + 1 others compete for the last place by the same formula
 * among themselves (one explored place, as Sen et al., "Top-k eXtreme contextual bandits with arm hierarchy", ICML
 * 2021, section 3). Traded away against Thompson sampling: a slate's first places never explore but by the floor, and
 * what the model is unsure of is explored no more than what it is sure of. Deviation: gaps are divided by the largest
 * worth of a response among the candidates, because the paper's rewards lie in [0, 1] and ours are money.
 */
import { SLATE_MAX } from './propensity.ts';

/** gamma = this x root of the trials learnt (`trialsLearnt`), Vowpal Wabbit's defaults for `--squarecb`. */
export const GAP_WEIGHT_SCALE = 10;

/** Indices of the candidates that are certain or best, best first: `places` of them. */
const leaders = new Uint32Array(SLATE_MAX);

function scoreOf(scores: Float64Array, i: number): number {
  return scores[i] as number; // callers keep i < count
}

/** Fills `leaders` with the `places` best by score; of equals the lower index is the better. */
function findLeaders(count: number, scores: Float64Array, places: number): void {
  let found = 0;
  for (let i = 0; i < count; i += 1) {
    let at = found;
    if (found === places) {
      if (!(scoreOf(scores, i) > scoreOf(scores, leaders[places - 1] as number))) continue; // places >= 1
      at = places - 1;
    } else found += 1;
    while (at > 0 && scoreOf(scores, i) > scoreOf(scores, leaders[at - 1] as number)) {
      leaders[at] = leaders[at - 1] as number; // at >= 1
      at -= 1;
    }
    leaders[at] = i;
  }
}

/**
 * The probability of each candidate to be among the `places` given.
 *
 * @param count candidates, n
 * @param scores expected scores, finite, length >= n
 * @param places k, 1 to SLATE_MAX; n <= k makes all certain
 * @param gamma >= 0: 0 is uniform over the last place, Infinity greedy
 * @param range largest possible gap, > 0; where it is 0 or less any gap counts as one of 1
 * @param out length >= n, overwritten: in [0, 1], their sum is min(n, k) but for rounding
 * Draws taken: none. Cost: 2 ns a candidate and place. No allocation.
 */
export function gapProbabilities(
  count: number,
  scores: Float64Array,
  places: number,
  gamma: number,
  range: number,
  out: Float64Array,
): void {
  if (count <= places) {
    out.fill(1, 0, count);
    return;
  }
  findLeaders(count, scores, places);
  const best = leaders[places - 1] as number; // of those for the last place
  const top = scoreOf(scores, best);
  const rivals = count - places + 1;
  let rest = 1;
  for (let i = 0; i < count; i += 1) {
    const gap = top - scoreOf(scores, i);
    const relative = range > 0 ? gap / range : gap > 0 ? 1 : 0;
    // Nothing times Infinity is no number: it counts as nothing.
    const weight = relative > 0 && gamma > 0 ? gamma * relative : 0;
    out[i] = 1 / (rivals + weight);
  }
  for (let at = 0; at < places; at += 1) out[leaders[at] as number] = 0; // at < places
  for (let i = 0; i < count; i += 1) rest -= out[i] as number; // i < count
  for (let at = 0; at < places - 1; at += 1) out[leaders[at] as number] = 1; // at < places
  out[best] = Math.max(rest, 0);
}

/**
 * The slate itself: the certain ones best first, then the one drawn for the last place.
 *
 * @param probabilities as `gapProbabilities` has just filled it, for the same scores and places
 * @param u one uniform draw in (0, 1)
 * @param chosen length >= min(n, k), overwritten with indices
 * @returns min(n, k)
 */
export function chooseByGap(
  count: number,
  scores: Float64Array,
  places: number,
  probabilities: Float64Array,
  u: number,
  chosen: Uint32Array,
): number {
  const given = Math.min(count, places);
  findLeaders(count, scores, given);
  for (let at = 0; at < given; at += 1) chosen[at] = leaders[at] as number; // at < given <= SLATE_MAX
  if (count <= places) return given;
  let left = u;
  let last = chosen[places - 1] as number; // places >= 1
  for (let i = 0; i < count; i += 1) {
    const p = probabilities[i] as number; // i < count
    if (isCertain(i, places)) continue;
    left -= p;
    if (left < 0) {
      last = i;
      break;
    }
  }
  chosen[places - 1] = last;
  return given;
}

function isCertain(index: number, places: number): boolean {
  for (let at = 0; at < places - 1; at += 1) if (leaders[at] === index) return true;
  return false;
}
