/**
 * From what was quoted and sold to what is believed of demand today: old evidence fades, and where what is told shows
 * that demand is no longer what it was, what is before the change only says around what the new may lie.
 *
 *     log likelihood of a span   w (y b - e sum yx - n mean of exp(b - e x)),   w = 2^(-age / memory)
 *     a day's change likelihood  m(spans before | prior) m(spans since | open),   m: the likelihood averaged over a prior
 *     open                       Normal(mean before, variance before + that of a product nobody has sold)
 *     change                     at the day of the highest, if 2 log(m(since | open) / m(since | level within 10 %)) >= 9
 *
 * Fading is the power prior (Ibrahim and Chen, Statistical Science 2000), as in discounted linear bandits (Russac, Vernade
 * and Cappé, NeurIPS 2019; the discount of Garivier and Moulines, ALT 2011). A change is judged by its Bayes factor, as in
 * Adams and MacKay, "Bayesian Online Changepoint Detection", 2007, at the best of all days, as GLR-klUCB does (Besson,
 * Kaufmann, Maillard and Seznec, JMLR 2022); an open prior is an intervention in the sense of West and Harrison, "Bayesian
 * Forecasting and Dynamic Models", 1997, chapter 11. *Deviations:* at most one change, the likeliest; Laplace's
 * approximation of m; a span's mean over its prices is that over the two with the same mean, variance and skew.
 *
 * Guarantees: a pure function of the row, the day and the memory, bit-equal on every engine; finite and positive
 * definite whatever the row holds; nothing is allocated. Traded away: a change counts from the first day of a span.
 */
import { EVIDENCE_SPANS, type EvidenceSpan, readSpans } from './demand-evidence.ts';
import { BASE_PRIOR_MEAN, BASE_PRIOR_SD, ELASTICITY_PRIOR_MEAN, ELASTICITY_PRIOR_SD } from './demand-model.ts';
import { exponential, naturalLogarithm } from './normal.ts';

/** Twice the logarithm of the Bayes factor from which on demand has changed: 90 to 1, for there are some 16 days to choose from. */
const CHANGE_DEVIANCE = 9;
/** How much sales differ from day to day without anything having changed: by 10 %, whatever their number. */
const DAILY_DEVIATION = 0.1;
const LOG_RATE_MAX = 20;
const VARIANCE_MIN = 1e-9;
const STEPS_MAX = 40;
const HALVINGS_MAX = 30;
const GAIN_MIN = 1e-10;
const MS_PER_DAY = 86_400_000;

/** Normal over (base, elasticity). */
interface Belief {
  base: number;
  elasticity: number;
  q00: number;
  q01: number;
  q11: number;
}

// Scratch: a thread fits one row at a time.
const spans: readonly EvidenceSpan[] = Array.from({ length: EVIDENCE_SPANS }, () => ({
  firstDay: 0,
  lastDay: 0,
  quotes: 0,
  ratios: 0,
  squaredRatios: 0,
  cubedRatios: 0,
  units: 0,
  unitRatios: 0,
}));
const weights = new Float64Array(EVIDENCE_SPANS);
/** Two prices that stand for those of a span, as log ratios, and how many quotes each stands for. */
const nodes = new Float64Array(2 * EVIDENCE_SPANS);
const nodeQuotes = new Float64Array(2 * EVIDENCE_SPANS);
const fitted: Belief = { base: 0, elasticity: 0, q00: 0, q01: 0, q11: 0 };
const prior: Belief = { base: 0, elasticity: 0, q00: 0, q01: 0, q11: 0 };
/** What is believed of a product that nobody has sold. */
const origin: Belief = {
  base: BASE_PRIOR_MEAN,
  elasticity: ELASTICITY_PRIOR_MEAN,
  q00: 1 / (BASE_PRIOR_SD * BASE_PRIOR_SD),
  q01: 0,
  q11: 1 / (ELASTICITY_PRIOR_SD * ELASTICITY_PRIOR_SD),
};
const known: Belief = { base: 0, elasticity: 0, q00: 0, q01: 0, q11: 0 };
const before: Belief = { base: 0, elasticity: 0, q00: 0, q01: 0, q11: 0 };

/**
 * Writes what is believed of a product's demand on a day, in the form `demand-model.ts` reads: b0, b1, q00, q01, q11.
 * @param row of `demand-evidence.ts`, from `rowOffset`
 * @param today days since 1970; evidence of later days counts in full
 * @param memoryDays after which evidence counts half, > 0; Infinity: it never fades
 * @param out `DEMAND_SLOTS` from `outOffset`
 * @returns the first day since demand is what it is now (days since 1970), or -1 where no change is seen
 * Draws: none. Cost: some 5,000 exponentials (60 us) at a year of evidence: once a product and hour. Does not throw or allocate.
 */
export function fitDemand(
  row: Float64Array,
  rowOffset: number,
  today: number,
  memoryDays: number,
  out: Float64Array,
  outOffset: number,
): number {
  const count = readSpans(row, rowOffset, spans);
  for (let i = 0; i < count; i++) {
    const span = spans[i] as EvidenceSpan; // casts here and below: i < count
    weights[i] = exponential((-Math.LN2 * Math.max(today - span.lastDay, 0)) / memoryDays);
    placeNodes(i, span);
  }
  const changed = findChange(count);
  if (changed > 0) takePrior(before, BASE_PRIOR_SD, ELASTICITY_PRIOR_SD);
  else takePrior(origin, 0, 0);
  findMode(0, changed > 0 ? changed : count);
  out[outOffset] = fitted.q00 * fitted.base + fitted.q01 * fitted.elasticity;
  out[outOffset + 1] = fitted.q01 * fitted.base + fitted.q11 * fitted.elasticity;
  out[outOffset + 2] = fitted.q00;
  out[outOffset + 3] = fitted.q01;
  out[outOffset + 4] = fitted.q11;
  return changed > 0 ? (spans[changed - 1] as EvidenceSpan).firstDay : -1;
}

/** Start of a day that `fitDemand` returned, in milliseconds since 1970. */
export function dayStartEpochMillis(day: number): number {
  return day * MS_PER_DAY;
}

/**
 * How many of the newest spans lie behind the change, 0 where none is seen; then `before` is what was known until it.
 * Where: at the day that makes all that was told likeliest, with an open prior behind it. Whether: by how much likelier
 * what is since is so than where only the level differs a little, as it does from day to day.
 */
function findChange(count: number): number {
  let changed = 0;
  let highest = -Infinity;
  for (let since = 1; since < count; since++) {
    takePrior(origin, 0, 0);
    const old = findMode(since, count);
    copy(fitted, known);
    takePrior(known, BASE_PRIOR_SD, ELASTICITY_PRIOR_SD);
    const likelihood = old + findMode(0, since);
    if (likelihood <= highest) continue;
    highest = likelihood;
    changed = since;
    copy(known, before);
  }
  if (changed === 0) return 0;
  takePrior(before, BASE_PRIOR_SD, ELASTICITY_PRIOR_SD);
  const opened = findMode(0, changed);
  takePrior(before, DAILY_DEVIATION, 0);
  return 2 * (opened - findMode(0, changed)) >= CHANGE_DEVIANCE ? changed : 0;
}

/** Makes a belief the prior, its deviations widened by these. */
function takePrior(belief: Belief, baseDeviation: number, elasticityDeviation: number): void {
  const determinant = determinantOf(belief);
  const c00 = belief.q11 / determinant + baseDeviation * baseDeviation;
  const c01 = -belief.q01 / determinant;
  const c11 = belief.q00 / determinant + elasticityDeviation * elasticityDeviation;
  const inverse = Math.max(c00 * c11 - c01 * c01, c00 * c11 * 1e-13);
  prior.base = belief.base;
  prior.elasticity = belief.elasticity;
  prior.q00 = c11 / inverse;
  prior.q01 = -c01 / inverse;
  prior.q11 = c00 / inverse;
}

// ── the mode of prior times likelihood ───────────────────────────────────────────────────────────

/**
 * Newton's method with halved steps from the prior's mean, over the spans from `from` to before `until`: the log
 * likelihood is concave, so every step gains. The precision is that at the mode (Laplace), and
 * so is what is returned: the logarithm of the spans' likelihood, averaged over the prior.
 */
function findMode(from: number, until: number): number {
  fitted.base = prior.base;
  fitted.elasticity = prior.elasticity;
  let value = logPosterior(from, until, fitted.base, fitted.elasticity);
  for (let step = 0; step < STEPS_MAX; step++) {
    const { base, elasticity } = fitted;
    let g0 = -prior.q00 * (base - prior.base) - prior.q01 * (elasticity - prior.elasticity);
    let g1 = -prior.q01 * (base - prior.base) - prior.q11 * (elasticity - prior.elasticity);
    let { q00, q01, q11 } = prior;
    for (let i = from; i < until; i++) {
      const span = spans[i] as EvidenceSpan;
      const weight = weights[i] as number;
      g0 += weight * span.units;
      g1 -= weight * span.unitRatios;
      for (let node = 2 * i; node < 2 * i + 2; node++) {
        const x = -(nodes[node] as number);
        const load = weight * loadOf(node, base, elasticity);
        g0 -= load;
        g1 -= load * x;
        q00 += load;
        q01 += load * x;
        q11 += load * x * x;
      }
    }
    fitted.q00 = q00;
    fitted.q01 = q01;
    fitted.q11 = q11;
    const determinant = determinantOf(fitted);
    let moveBase = (q11 * g0 - q01 * g1) / determinant;
    let moveElasticity = (q00 * g1 - q01 * g0) / determinant;
    let next = logPosterior(from, until, base + moveBase, elasticity + moveElasticity);
    for (let halving = 0; halving < HALVINGS_MAX && !(next >= value); halving++) {
      moveBase /= 2;
      moveElasticity /= 2;
      next = logPosterior(from, until, base + moveBase, elasticity + moveElasticity);
    }
    // What no halving could better is the mode as well as doubles can tell.
    if (!(next >= value)) break;
    fitted.base = base + moveBase;
    fitted.elasticity = elasticity + moveElasticity;
    const gain = next - value;
    value = next;
    if (gain < GAIN_MIN) break;
  }
  return value + naturalLogarithm(determinantOf(prior) / determinantOf(fitted)) / 2;
}

function logPosterior(from: number, until: number, base: number, elasticity: number): number {
  const d0 = base - prior.base;
  const d1 = elasticity - prior.elasticity;
  let value = -(prior.q00 * d0 * d0 + 2 * prior.q01 * d0 * d1 + prior.q11 * d1 * d1) / 2;
  for (let i = from; i < until; i++) {
    const { units, unitRatios } = spans[i] as EvidenceSpan;
    value += (weights[i] as number) * (units * base - elasticity * unitRatios - expectedOf(i, base, elasticity));
  }
  return value;
}

/** Expected units of a span's quotes. */
function expectedOf(span: number, base: number, elasticity: number): number {
  return loadOf(2 * span, base, elasticity) + loadOf(2 * span + 1, base, elasticity);
}

function loadOf(node: number, base: number, elasticity: number): number {
  const logRate = base - elasticity * (nodes[node] as number);
  return (nodeQuotes[node] as number) * exponential(Math.min(logRate, LOG_RATE_MAX));
}

/**
 * The two nodes, in deviations from the mean, are the roots of z^2 - skew z - 1; each has the share that makes the mean
 * zero. Exact for whatever is a cubic in x; at prices 20 % apart and an elasticity of 3 within 0.1 % of the mean rate.
 */
function placeNodes(i: number, { quotes, ratios, squaredRatios, cubedRatios }: EvidenceSpan): void {
  const mean = quotes > 0 ? ratios / quotes : 0;
  const square = quotes > 0 ? squaredRatios / quotes : 0;
  const variance = Math.max(square - mean * mean, 0);
  const deviation = Math.sqrt(variance);
  const third = quotes > 0 ? cubedRatios / quotes - mean * (3 * square - 2 * mean * mean) : 0;
  // Of prices that are all but equal the skew would be rounding over rounding.
  const skew = variance > VARIANCE_MIN ? third / (variance * deviation) : 0;
  const root = Math.sqrt(skew * skew + 4);
  // The root of larger size first: the product of the two is -1, and their difference would cancel.
  const far = skew >= 0 ? (skew + root) / 2 : (skew - root) / 2;
  const near = -1 / far;
  nodes[2 * i] = mean + deviation * far;
  nodes[2 * i + 1] = mean + deviation * near;
  const farShare = 1 / (1 + far * far);
  nodeQuotes[2 * i] = quotes * farShare;
  nodeQuotes[2 * i + 1] = quotes * (1 - farShare);
}

/** Positive: held above rounding, as in `demand-model.ts`. */
function determinantOf({ q00, q01, q11 }: Belief): number {
  return Math.max(q00 * q11 - q01 * q01, q00 * q11 * 1e-13);
}

function copy(from: Belief, to: Belief): void {
  to.base = from.base;
  to.elasticity = from.elasticity;
  to.q00 = from.q00;
  to.q01 = from.q01;
  to.q11 = from.q11;
}
