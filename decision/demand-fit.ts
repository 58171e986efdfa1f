/**
 * From what was quoted and sold to what is believed of demand today: old evidence fades, and where sales show that
 * demand is no longer what it was, what is before the change only says around what the new may lie.
 *
 *     log likelihood of a span   w (y b - e sum yx - n mean of exp(b - e x)),   w = 2^(-age / memory)
 *     change at a day            |deviance of the sales since, under what was known before| >= 9, and highest of all days
 *     belief after a change      Normal(mean before, variance before + that of a product nobody knows) x likelihood since
 *
 * Fading is the power prior (Ibrahim and Chen, Statistical Science 2000), as in discounted Thompson sampling (Raj and
 * Kalyani, arXiv 1707.09727) and discounted linear bandits (Russac, Vernade and Cappé, NeurIPS 2019); the change is
 * looked for as in GLR-klUCB (Besson, Kaufmann, Maillard and Seznec, JMLR 2022), among the spans' first days in place of
 * all instants; what follows it is an intervention in the sense of West and Harrison, "Bayesian Forecasting and Dynamic
 * Models", 1997, chapter 11. *Deviation:* a span's mean over its prices is
 * that over the two prices with the same mean, variance and skew (Gauss's quadrature of two nodes).
 *
 * Guarantees: a pure function of the row, the day and the memory, bit-equal on every engine; finite and positive
 * definite whatever the row holds; nothing is allocated. Traded away: a change counts from the first day of a span.
 */
import { EVIDENCE_SPANS, type EvidenceSpan, readSpans } from './demand-evidence.ts';
import { BASE_PRIOR_MEAN, BASE_PRIOR_SD, ELASTICITY_PRIOR_MEAN, ELASTICITY_PRIOR_SD } from './demand-model.ts';
import { exponential, naturalLogarithm } from './normal.ts';

/** Deviance from which on demand has changed: three standard deviations. */
const CHANGE_DEVIANCE = 9;
/** How much sales differ from day to day without anything having changed: by 10 %, whatever their number. */
const DAILY_DEVIATION = 0.1;
const LOG_RATE_MAX = 20;
const EXPECTED_MIN = 1e-9;
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
const before: Belief = { base: 0, elasticity: 0, q00: 0, q01: 0, q11: 0 };

/**
 * Writes what is believed of a product's demand on a day, in the form `demand-model.ts` reads: b0, b1, q00, q01, q11.
 * @param row of `demand-evidence.ts`, from `rowOffset`
 * @param today days since 1970; evidence of later days counts in full
 * @param memoryDays after which evidence counts half, > 0; Infinity: it never fades
 * @param out `DEMAND_SLOTS` from `outOffset`
 * @returns the first day since demand is what it is now (days since 1970), or -1 where no change is seen
 * Draws: none. Cost: some 10 us at a year of evidence: once a product and hour. Does not throw or allocate.
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
  prior.base = BASE_PRIOR_MEAN;
  prior.elasticity = ELASTICITY_PRIOR_MEAN;
  prior.q00 = 1 / (BASE_PRIOR_SD * BASE_PRIOR_SD);
  prior.q01 = 0;
  prior.q11 = 1 / (ELASTICITY_PRIOR_SD * ELASTICITY_PRIOR_SD);

  const changed = findChange(count);
  if (changed > 0) openPrior(before);
  startAt(prior);
  fit(0, changed > 0 ? changed : count);
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
 * Whether: by a deviance that allows for days that differ. Where: at the highest of those that do not allow for it,
 * or the shortest spans would be as good a place as all since the change.
 */
function findChange(count: number): number {
  let changed = 0;
  let highest = 0;
  startAt(prior);
  for (let since = 1; since < count; since++) {
    fit(since, count);
    let quotes = 0;
    let units = 0;
    let ratios = 0;
    let expected = 0;
    for (let i = 0; i < since; i++) {
      const span = spans[i] as EvidenceSpan;
      quotes += span.quotes;
      units += span.units;
      ratios += span.ratios;
      expected += expectedOf(i, fitted.base, fitted.elasticity);
    }
    if (quotes === 0) continue;
    const x = -ratios / quotes;
    const determinant = determinantOf(fitted);
    const variance = Math.max((fitted.q11 - 2 * fitted.q01 * x + fitted.q00 * x * x) / determinant, 0);
    if (deviance(units, expected, variance + DAILY_DEVIATION * DAILY_DEVIATION) < CHANGE_DEVIANCE) continue;
    const found = deviance(units, expected, variance);
    if (found <= highest) continue;
    highest = found;
    changed = since;
    copy(fitted, before);
  }
  return changed;
}

/**
 * Deviance of a count whose mean is known up to a factor of this variance: negative binomial, 1 / variance its shape.
 * With no variance at all it is Poisson's.
 */
function deviance(units: number, expectedUnits: number, variance: number): number {
  const y = Math.max(units, 0);
  const mu = Math.max(expectedUnits, EXPECTED_MIN);
  const own = y > 0 ? y * naturalLogarithm(y / mu) : 0;
  const shape = 1 / Math.max(variance, 1e-12);
  return 2 * (own - (y + shape) * naturalLogarithm((y + shape) / (mu + shape)));
}

/** The prior after a change: as little known as a product nobody has sold, but around what was. */
function openPrior(known: Belief): void {
  const determinant = determinantOf(known);
  const c00 = known.q11 / determinant + BASE_PRIOR_SD * BASE_PRIOR_SD;
  const c01 = -known.q01 / determinant;
  const c11 = known.q00 / determinant + ELASTICITY_PRIOR_SD * ELASTICITY_PRIOR_SD;
  const inverse = c00 * c11 - c01 * c01;
  prior.base = known.base;
  prior.elasticity = known.elasticity;
  prior.q00 = c11 / inverse;
  prior.q01 = -c01 / inverse;
  prior.q11 = c00 / inverse;
}

// ── the mode of prior times likelihood ───────────────────────────────────────────────────────────

function startAt(belief: Belief): void {
  fitted.base = belief.base;
  fitted.elasticity = belief.elasticity;
}

/**
 * Newton's method with halved steps from where `fitted` is, over the spans from `from` to before `until`: the log
 * likelihood is concave, so every step gains. The precision is that at the mode (Laplace).
 */
function fit(from: number, until: number): void {
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
    if (!(next >= value)) return;
    fitted.base = base + moveBase;
    fitted.elasticity = elasticity + moveElasticity;
    const gain = next - value;
    value = next;
    if (gain < GAIN_MIN) return;
  }
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
