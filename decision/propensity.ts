/**
 * The exact probability with which a candidate is among the best k, when each score is an independent
 * normal: what the decision log needs so that any other policy can be judged on our data later.
 *
 *   P(c in top k) = integral over s of  phi_c(s) * P(fewer than k of the others score above s)
 *
 * For k = 1 the inner term is the product of Phi((s - mean_j) / deviation_j); for k > 1 it is a
 * Poisson-binomial tail by dynamic programming. A score without variance is a point: among equal points
 * the lower index is the better, the rule that `chooseActions` applies to its draws.
 *
 * Quadrature from the first score that matters to the last at which a rival still varies; beyond, the
 * integral is a normal tail in closed form. For the best alone among four rivals or more of like width: equal
 * steps, whose error falls geometrically for such bells (`bestBySteps`, about 22 nodes for 20 equals). Else,
 * because equal nodes err by percents when one rival is much narrower than the candidate: 8-point
 * Gauss-Legendre panels no wider than three deviations (fewer among many rivals) of any score that varies there.
 */
import { exponential, naturalLogarithm, normalCdf, normalCdfFast } from './normal.ts';

/** The candidate's score is integrated over this many deviations: 1e-9 is left out a side. */
const RANGE = 6;
/** A rival is taken as surely within this many deviations: 2e-8 is left out a side. */
const REACH = 5.5;
/** Widest panel, in deviations of the narrowest score that varies in it; see `panelDeviations`. */
const PANEL_DEVIATIONS = 3;
/** Below this the inner term of a whole panel is not worth its nodes. */
const NEGLIGIBLE = 1e-9;
/** The same where leaving off leaves out everything below: small beside the least probability that is promised. */
const NEGLIGIBLE_STEP = 1e-11;
const PANELS_MAX = 4096;
/** Fewer rivals than this cost little by panels, and are exacter. */
const STEPPED_RIVALS_MIN = 4;
/** More equal steps than this cost more than panels, which are long where only wide scores vary. */
const STEPS_MAX = 40;
const DENSITY = 0.3989422804014327;
/** 8-point Gauss-Legendre on (-1, 1): nodes and weights, ascending. */
const NODES = Float64Array.of(
  -0.9602898564975363,
  -0.7966664774136267,
  -0.525532409916329,
  -0.1834346424956498,
  0.1834346424956498,
  0.525532409916329,
  0.7966664774136267,
  0.9602898564975363,
);
const WEIGHTS = Float64Array.of(
  0.1012285362903763,
  0.2223810344533745,
  0.3137066458778873,
  0.362683783378362,
  0.362683783378362,
  0.3137066458778873,
  0.2223810344533745,
  0.1012285362903763,
);
const NODE_COUNT = 8;

/** Longest slate (`LIMITS.decideCountMax`). */
export const SLATE_MAX = 32;

let rivalCapacity = 0;
let rivalMean = new Float64Array(0);
let rivalDeviation = new Float64Array(0);
/** 1 / deviation; 0 marks a point. */
let rivalInverse = new Float64Array(0);
let rivalCount = 0;
/** highest[0] >= highest[1] >= ...: the k highest lower ends seen. */
const highest = new Float64Array(SLATE_MAX);
/** tally[i] = probability that exactly i of the rivals so far are above. */
const tally = new Float64Array(SLATE_MAX);

function addRival(mean: number, deviation: number): void {
  rivalMean[rivalCount] = mean;
  rivalDeviation[rivalCount] = deviation;
  rivalInverse[rivalCount] = deviation > 0 ? 1 / deviation : 0;
  rivalCount += 1;
}

/**
 * Probability that none of the listed rivals scores above s; 0 when it is negligible. For the best alone
 * no point is ever listed: a point above where the integral starts would have moved the start.
 */
function noneAbove(s: number): number {
  const means = rivalMean;
  const inverses = rivalInverse;
  const rivals = rivalCount;
  let product = 1;
  for (let at = 0; at < rivals; at += 1) {
    product *= normalCdfFast((s - (means[at] as number)) * (inverses[at] as number)); // at < rivalCount
    if (product < NEGLIGIBLE) return 0;
  }
  return product;
}

/**
 * One panel's share of the integral for the best alone, times sqrt(2 pi) deviations. Four nodes a pass over
 * the rivals, the upper four first: a rival's numbers and the four products stay in registers, and four
 * chains of multiplications run side by side (half the time of node by node). The inner term grows with s,
 * so the rightmost node bounds the panel, and the fourth bounds its lower half.
 */
function bestInPanel(from: number, to: number, mean: number, inverse: number): number {
  const half = 0.5 * (to - from);
  const middle = from + half;
  const upper = bestInHalf(middle, half, 1, mean, inverse);
  if (upper < 0) return 0;
  const lower = bestInHalf(middle, half, -1, mean, inverse);
  return half * (lower < 0 ? upper : upper + lower);
}

const NODE_0 = NODES[4] as number; // nodes of the upper half, ascending; the lower half mirrors them
const NODE_1 = NODES[5] as number; // one of eight
const NODE_2 = NODES[6] as number; // one of eight
const NODE_3 = NODES[7] as number; // one of eight
const WEIGHT_0 = WEIGHTS[4] as number; // one of eight
const WEIGHT_1 = WEIGHTS[5] as number; // one of eight
const WEIGHT_2 = WEIGHTS[6] as number; // one of eight
const WEIGHT_3 = WEIGHTS[7] as number; // one of eight

/** The weighted sum over four nodes on one side of the middle, or -1 when even the rightmost is negligible. */
function bestInHalf(middle: number, half: number, side: 1 | -1, mean: number, inverse: number): number {
  const means = rivalMean;
  const inverses = rivalInverse;
  const rivals = rivalCount;
  const reach = side * half;
  const s0 = middle + reach * NODE_0;
  const s1 = middle + reach * NODE_1;
  const s2 = middle + reach * NODE_2;
  const s3 = middle + reach * NODE_3;
  const lowest = side > 0 ? s0 : s3;
  let p0 = 1;
  let p1 = 1;
  let p2 = 1;
  let p3 = 1;
  for (let at = 0; at < rivals; at += 1) {
    const rival = means[at] as number; // at < rivalCount
    const scale = inverses[at] as number; // at < rivalCount
    if ((lowest - rival) * scale > REACH) continue; // below all four nodes: a factor of 1
    p0 *= normalCdfFast((s0 - rival) * scale);
    p1 *= normalCdfFast((s1 - rival) * scale);
    p2 *= normalCdfFast((s2 - rival) * scale);
    p3 *= normalCdfFast((s3 - rival) * scale);
  }
  if ((side > 0 ? p3 : p0) < NEGLIGIBLE) return -1;
  const z0 = (s0 - mean) * inverse;
  const z1 = (s1 - mean) * inverse;
  const z2 = (s2 - mean) * inverse;
  const z3 = (s3 - mean) * inverse;
  let sum = 0;
  if (p0 >= NEGLIGIBLE) sum += WEIGHT_0 * p0 * exponential(-0.5 * z0 * z0);
  if (p1 >= NEGLIGIBLE) sum += WEIGHT_1 * p1 * exponential(-0.5 * z1 * z1);
  if (p2 >= NEGLIGIBLE) sum += WEIGHT_2 * p2 * exponential(-0.5 * z2 * z2);
  if (p3 >= NEGLIGIBLE) sum += WEIGHT_3 * p3 * exponential(-0.5 * z3 * z3);
  return sum;
}

/** Step in deviations of the narrowest score: the more rivals, the steeper the inner term. Fitted to a relative error of 1e-5. */
function stepDeviations(rivals: number): number {
  return 1 / (0.75 + 0.42 * naturalLogarithm(rivals + 1));
}

/**
 * The integral for the best alone, times sqrt(2 pi) deviations, by `steps` equal steps from `end` down. At
 * `start` the integrand is nil; at `end` all rivals are below, so what is left of it is the candidate's
 * density, whose odd derivatives correct the trapezoid rule (Euler and Maclaurin); or, at the end of the
 * candidate's own range, nil too. Four nodes a pass, as in `bestInHalf`; the last pass may go beyond `start`,
 * where there is nothing to add. The density at equal steps needs no exponential of its own: each is the one
 * before times a factor, and the factors too are in proportion (relative error below 1e-12 over 1,000 steps).
 */
function bestBySteps(
  start: number,
  end: number,
  steps: number,
  mean: number,
  inverse: number,
  isEndNil: boolean,
): number {
  const means = rivalMean;
  const inverses = rivalInverse;
  const rivals = rivalCount;
  const step = (end - start) / steps;
  const z = (end - mean) * inverse;
  const width = step * inverse;
  const correction = (z * width) / 12 + ((3 * z - z * z * z) * width * width * width) / 720;
  let density = exponential(-0.5 * z * z);
  let factor = exponential(width * (z - 0.5 * width));
  const narrowing = exponential(-width * width);
  let sum = isEndNil ? 0 : density * (0.5 + correction);
  for (let k = 1; k <= steps; k += 4) {
    const s0 = end - k * step;
    const s1 = s0 - step;
    const s2 = s1 - step;
    const s3 = s2 - step;
    let p0 = 1;
    let p1 = 1;
    let p2 = 1;
    let p3 = 1;
    for (let at = 0; at < rivals; at += 1) {
      const rival = means[at] as number; // at < rivalCount
      const scale = inverses[at] as number; // at < rivalCount
      const x3 = (s3 - rival) * scale;
      if (x3 > REACH) continue; // below all four nodes: a factor of 1
      p0 *= normalCdfFast((s0 - rival) * scale);
      p1 *= normalCdfFast((s1 - rival) * scale);
      p2 *= normalCdfFast((s2 - rival) * scale);
      p3 *= normalCdfFast(x3);
    }
    density *= factor;
    sum += p0 * density;
    factor *= narrowing;
    density *= factor;
    sum += p1 * density;
    factor *= narrowing;
    density *= factor;
    sum += p2 * density;
    if (!(p3 > NEGLIGIBLE_STEP)) break; // the inner term only falls from here on
    factor *= narrowing;
    density *= factor;
    sum += p3 * density;
    factor *= narrowing;
  }
  return sum * step;
}

/** Probability that fewer than `places` of the listed rivals score above s. */
function fewerAbove(s: number, places: number): number {
  if (places === 1) return noneAbove(s);
  const means = rivalMean;
  const inverses = rivalInverse;
  tally[0] = 1;
  for (let above = 1; above < places; above += 1) tally[above] = 0;
  // Only tally[0..top] differ from 0: that many rivals, and no more, may be above so far.
  let top = 0;
  for (let at = 0; at < rivalCount; at += 1) {
    const inverse = inverses[at] as number; // at < rivalCount
    const distance = s - (means[at] as number); // at < rivalCount
    const below = inverse > 0 ? normalCdfFast(distance * inverse) : distance < 0 ? 0 : 1;
    if (below === 1) continue;
    const above = 1 - below;
    if (top < places - 1) top += 1;
    // Both indices are below `places`, at most SLATE_MAX.
    for (let i = top; i > 0; i -= 1) tally[i] = (tally[i] as number) * below + (tally[i - 1] as number) * above;
    tally[0] = (tally[0] as number) * below; // always there
  }
  let sum = 0;
  for (let i = 0; i < places; i += 1) sum += tally[i] as number; // i < places
  return sum;
}

/** A point competes at one score: no integral. */
function pointProbability(
  count: number,
  means: Float64Array,
  deviations: Float64Array,
  chosen: number,
  places: number,
): number {
  const s = means[chosen] as number; // chosen < count
  let left = places;
  for (let j = 0; j < count; j += 1) {
    if (j === chosen) continue;
    const mean = means[j] as number; // j < count
    const deviation = deviations[j] as number; // j < count
    if (mean - REACH * deviation > s || (deviation === 0 && mean === s && j < chosen)) {
      left -= 1;
      if (left === 0) return 0;
    } else if (deviation > 0 && mean + REACH * deviation > s) addRival(mean, deviation);
  }
  return rivalCount < left ? 1 : fewerAbove(s, left);
}

/** The k-th highest lower end of the rivals: below it, surely k of them are above. */
function floorOfRivals(
  count: number,
  means: Float64Array,
  deviations: Float64Array,
  chosen: number,
  places: number,
): number {
  highest.fill(-Infinity, 0, places);
  for (let j = 0; j < count; j += 1) {
    if (j === chosen) continue;
    const lower = (means[j] as number) - REACH * (deviations[j] as number); // j < count
    let at = places - 1;
    if (!(lower > (highest[at] as number))) continue; // at < places
    while (at > 0 && lower > (highest[at - 1] as number)) {
      highest[at] = highest[at - 1] as number; // at - 1 >= 0
      at -= 1;
    }
    highest[at] = lower;
  }
  return highest[places - 1] as number; // places >= 1
}

/**
 * The more rivals and places, the steeper the inner term (its step narrows like 1 / (root k x z(k/n))), so
 * the narrower the panels: fitted so that n equal candidates get k/n within 1e-4 up to n = 2,500, k = 32.
 */
function panelDeviations(rivals: number, places: number): number {
  if (rivals < 10) return PANEL_DEVIATIONS;
  return PANEL_DEVIATIONS / (1 + naturalLogarithm(rivals / 10) * (0.2 + 0.2 * naturalLogarithm(places)));
}

/** End of the panel that starts at `from`: at most `share` deviations of any score that varies inside. */
function panelEnd(from: number, end: number, deviation: number, share: number): number {
  let to = Math.min(end, from + share * deviation);
  for (let at = 0; at < rivalCount; at += 1) {
    const mean = rivalMean[at] as number; // at < rivalCount
    const width = rivalDeviation[at] as number; // at < rivalCount
    if (mean + REACH * width <= from) continue;
    const bound = Math.max(mean - REACH * width, from + share * width);
    if (bound < to) to = bound;
  }
  return to;
}

/**
 * P(candidate `chosen` is among the `places` best).
 *
 * @param count candidates, n; fewer than or as many as `places` gives 1
 * @param means, deviations length >= n, finite, deviations >= 0
 * @param places k, 1 to SLATE_MAX
 * @returns in [0, 1]; absolute error <= 1e-6, relative <= 1e-4 where it is above 1e-5 (tested against a
 *   dense rule); 0 may mean up to 1e-9 n
 * Cost: k = 1: 1 us + about 0.15 us a rival within reach; k > 1: times k/2 more. No allocation but the
 * first time n grows. Draws taken: none.
 */
export function topProbability(
  count: number,
  means: Float64Array,
  deviations: Float64Array,
  chosen: number,
  places: number,
): number {
  if (count <= places) return 1;
  if (rivalCapacity < count) {
    rivalCapacity = Math.max(64, 2 * count);
    rivalMean = new Float64Array(rivalCapacity);
    rivalDeviation = new Float64Array(rivalCapacity);
    rivalInverse = new Float64Array(rivalCapacity);
  }
  rivalCount = 0;
  const mean = means[chosen] as number; // chosen < count
  const deviation = deviations[chosen] as number; // chosen < count
  if (deviation === 0) return pointProbability(count, means, deviations, chosen, places);
  const start = Math.max(mean - RANGE * deviation, floorOfRivals(count, means, deviations, chosen, places));
  const limit = mean + RANGE * deviation;
  if (start >= limit) return 0;
  let left = places;
  let end = start;
  let narrowest = deviation;
  for (let j = 0; j < count; j += 1) {
    if (j === chosen) continue;
    const width = deviations[j] as number; // j < count
    const reach = REACH * width;
    const rival = means[j] as number; // j < count
    if (rival - reach >= limit) left -= 1;
    // A point at `start` cuts the integrand off there.
    else if (rival + reach > start || (width === 0 && rival === start)) {
      if (width < narrowest) narrowest = width;
      if (rival + reach === start) continue;
      addRival(rival, width);
      if (rival + reach > end) end = rival + reach;
    }
  }
  // Fewer than k lower ends reach `limit` (else start >= limit), so at least one place is left. Below
  // `start` the candidate surely loses, even where no rival varies above (a point).
  if (rivalCount < left) return start > mean - RANGE * deviation ? normalCdf((mean - start) / deviation) : 1;
  end = Math.min(end, limit);
  if (left === 1 && rivalCount >= STEPPED_RIVALS_MIN && narrowest > 0) {
    const steps = Math.ceil((end - start) / (narrowest * stepDeviations(rivalCount)));
    if (steps <= STEPS_MAX) {
      const inside = bestBySteps(start, end, steps, mean, 1 / deviation, end === limit);
      // Beyond the candidate's own range lies less than 1e-9 of it, and most of that is lost to rivals.
      const beyond = end === limit ? 0 : normalCdf((mean - end) / deviation);
      return Math.min((inside * DENSITY) / deviation + beyond, 1);
    }
  }
  const share = panelDeviations(rivalCount, left);
  const inverse = 1 / deviation;
  let sum = 0;
  let from = start;
  for (let panel = 0; from < end && panel < PANELS_MAX; panel += 1) {
    let to = panelEnd(from, end, deviation, share);
    if (!(to > from)) to = end; // a width below the resolution of doubles
    if (left === 1) {
      sum += bestInPanel(from, to, mean, inverse);
      from = to;
      continue;
    }
    // The inner term grows with s: its value at the right end bounds the panel.
    if (fewerAbove(to, left) > NEGLIGIBLE) {
      const half = 0.5 * (to - from);
      const middle = from + half;
      let part = 0;
      for (let node = 0; node < NODE_COUNT; node += 1) {
        const s = middle + half * (NODES[node] as number); // node < NODE_COUNT
        const inner = fewerAbove(s, left);
        if (inner === 0) continue;
        const z = (s - mean) * inverse;
        part += (WEIGHTS[node] as number) * inner * exponential(-0.5 * z * z); // node < NODE_COUNT
      }
      sum += part * half;
    }
    from = to;
  }
  const total = sum * inverse * DENSITY + normalCdf((mean - end) * inverse);
  return Math.min(total, 1);
}
