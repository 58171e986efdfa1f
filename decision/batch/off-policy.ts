/**
 * What would another policy have earned on logged decisions? The standard estimators, each with its
 * standard error. Row i: context x, logged action a, reward r, logging propensity p(a|x), and the target
 * policy's probability pi(a|x) of that same action; weight w = pi / p.
 *
 *   IPS    mean of w r                                  unbiased, wide when a weight is large
 *   SNIPS  sum of w r / sum of w                        bias of order 1/n, narrower, moves with r + c
 *   DM     mean of q(x, pi)                             as good as the reward model q, whatever the data say
 *   DR     mean of q(x, pi) + w (r - q(x, a))           unbiased when either p or q is right
 *
 * IPS and SNIPS: Swaminathan and Joachims, "The self-normalized estimator for counterfactual learning",
 * NIPS 2015; DM and DR: Dudik, Langford and Li, "Doubly robust policy evaluation and learning", ICML 2011.
 * A policy that was sampled, so that only its chosen action is known, is pi = 1 for that action and 0 for
 * the others: then SNIPS is replay-matching (Li, Chu, Langford, Wang, WSDM 2011) with weights 1/p.
 *
 * Standard errors are by linearisation (delta method), summed within a cluster first: rows of one person,
 * or one logged row met in several passes, are not independent (Liang and Zeger, Biometrika 1986).
 */

/** Below this effective sample size an estimate is told apart from noise by luck only. */
export const EFFECTIVE_SAMPLE_SIZE_MIN = 200;

/**
 * Nor with fewer rewarded rows than this. Rare responses defeat both figures above: of 250 matched rows without
 * one click the effective sample is 250, and the linearised error of a mean of zeros is 0, which is no certainty.
 * The usual rule for a normal approximation of a share (n p >= 10; Brown, Cai, DasGupta, Stat. Sci. 2001, on why less fails).
 */
export const REWARDED_ROWS_MIN = 10;

export interface Estimate {
  /** In units of the reward. NaN where the data cannot say: SNIPS without any weight. */
  readonly value: number;
  /** Standard error; Infinity with a single cluster. */
  readonly standardError: number;
}

/** Rows as parallel arrays of one length n >= 1; read only. */
export interface LoggedRows {
  /** r: finite. */
  readonly rewards: Float64Array;
  /** p: probability with which the logging policy took the logged action, in (0, 1]. */
  readonly loggingPropensities: Float64Array;
  /** pi: probability with which the target policy takes the logged action, in [0, 1]. */
  readonly targetProbabilities: Float64Array;
  /** Rows with the same number, 0 to n - 1, are one cluster; without it each row is one. */
  readonly clusters?: Uint32Array;
  /** q(x, a): predicted reward of the logged action; with `targetPredictions` gives DM and DR. */
  readonly loggedPredictions?: Float64Array;
  /** q(x, pi): predicted reward of the target policy, the mean over its actions. */
  readonly targetPredictions?: Float64Array;
}

export interface PolicyEvaluation {
  readonly rows: number;
  readonly clusters: number;
  /** Rows with weight above 0. */
  readonly supportedRows: number;
  /** Clusters with a row that has weight and a reward other than 0: what the estimate rests on. */
  readonly rewardedClusters: number;
  /** Mean logged reward: the logging policy's own value. */
  readonly logging: Estimate;
  readonly ips: Estimate;
  readonly snips: Estimate;
  /** Null without predictions. */
  readonly direct: Estimate | null;
  readonly doublyRobust: Estimate | null;
  /** SNIPS over the logging policy's mean, less 1. NaN where that mean is 0. */
  readonly lift: Estimate;
  /** The same of DR; null without predictions. */
  readonly doublyRobustLift: Estimate | null;
  /** (sum of w)^2 / sum of w^2, of weights summed within clusters (Kish 1965); 0 without any weight. */
  readonly effectiveSampleSize: number;
  /** Largest weight of a row, before clipping. */
  readonly weightMax: number;
  /** Share of rows whose weight was cut to `weightLimit`. */
  readonly clippedShare: number;
  /** Whether EFFECTIVE_SAMPLE_SIZE_MIN and REWARDED_ROWS_MIN are both reached; else the errors are not to be believed. */
  readonly isReliable: boolean;
}

/**
 * All estimates at once.
 *
 * @param weightLimit larger weights are cut to this, > 0: less variance for a bias towards the logging
 *   policy. Default Infinity, none.
 * @throws RangeError naming field, row and bound for rows that break the bounds of `LoggedRows`
 * Draws taken: none. Cost: about 30 ns a row; allocates five arrays of n.
 */
export function evaluatePolicy(rows: LoggedRows, weightLimit = Number.POSITIVE_INFINITY): PolicyEvaluation {
  if (!(weightLimit > 0)) throw new RangeError(`weightLimit ${weightLimit}: above 0`);
  checkRows(rows);
  const { rewards } = rows;
  const n = rewards.length;
  const weights = new Float64Array(n);
  let weightMax = 0;
  let clipped = 0;
  let supportedRows = 0;
  for (let i = 0; i < n; i += 1) {
    const weight = at(rows.targetProbabilities, i) / at(rows.loggingPropensities, i);
    if (weight > weightMax) weightMax = weight;
    if (weight > weightLimit) clipped += 1;
    if (weight > 0) supportedRows += 1;
    weights[i] = Math.min(weight, weightLimit);
  }
  const sums = new ClusterSums(n, rows.clusters);
  const effectiveSampleSize = kish(weights, sums);
  const rewardedClusters = sums.countWhere((i) => at(weights, i) > 0 && at(rewards, i) !== 0);

  const ones = new Float64Array(n).fill(1);
  const logging = new Ratio(rewards, ones);
  const snips = new Ratio(products(weights, rewards), weights);
  const ips = new Ratio(snips.numerators, ones);
  let direct: Ratio | null = null;
  let doublyRobust: Ratio | null = null;
  const { loggedPredictions, targetPredictions } = rows;
  if (loggedPredictions !== undefined && targetPredictions !== undefined) {
    direct = new Ratio(targetPredictions, ones);
    const corrected = new Float64Array(n);
    for (let i = 0; i < n; i += 1) {
      corrected[i] = at(targetPredictions, i) + at(weights, i) * (at(rewards, i) - at(loggedPredictions, i));
    }
    doublyRobust = new Ratio(corrected, ones);
  }
  return {
    rows: n,
    clusters: sums.count,
    supportedRows,
    rewardedClusters,
    logging: logging.estimate(sums),
    ips: ips.estimate(sums),
    snips: snips.estimate(sums),
    direct: direct?.estimate(sums) ?? null,
    doublyRobust: doublyRobust?.estimate(sums) ?? null,
    lift: liftOf(snips, logging, sums),
    doublyRobustLift: doublyRobust === null ? null : liftOf(doublyRobust, logging, sums),
    effectiveSampleSize,
    weightMax,
    clippedShare: clipped / n,
    isReliable: effectiveSampleSize >= EFFECTIVE_SAMPLE_SIZE_MIN && rewardedClusters >= REWARDED_ROWS_MIN,
  };
}

/**
 * (sum of w)^2 / sum of w^2: how many rows of equal weight would know as much. 0 for no weight at all.
 * @param weights finite, >= 0; `clusters` as in `LoggedRows`
 */
export function effectiveSampleSize(weights: Float64Array, clusters?: Uint32Array): number {
  if (weights.length === 0) return 0;
  if (clusters !== undefined) checkClusters(clusters, weights.length);
  return kish(weights, new ClusterSums(weights.length, clusters));
}

function kish(weights: Float64Array, sums: ClusterSums): number {
  let total = 0;
  for (const weight of weights) total += weight;
  const squares = sums.squares((i) => at(weights, i));
  return squares > 0 ? (total * total) / squares : 0;
}

/** Sums over clusters; without clusters each row is its own and no memory is needed. */
class ClusterSums {
  readonly count: number;
  readonly #rows: number;
  readonly #clusters: Uint32Array | undefined;
  readonly #sums: Float64Array;

  constructor(rows: number, clusters: Uint32Array | undefined) {
    this.#rows = rows;
    this.#clusters = clusters;
    this.#sums = new Float64Array(clusters === undefined ? 0 : rows);
    if (clusters === undefined) this.count = rows;
    else this.count = this.countWhere(() => true);
  }

  /** Sum over clusters of (sum over its rows of f)^2. */
  squares(f: (row: number) => number): number {
    let squares = 0;
    if (this.#clusters === undefined) {
      for (let i = 0; i < this.#rows; i += 1) squares += f(i) ** 2;
      return squares;
    }
    this.#sums.fill(0);
    for (let i = 0; i < this.#rows; i += 1) {
      const cluster = this.#clusters[i] as number; // i < rows, its length
      this.#sums[cluster] = at(this.#sums, cluster) + f(i);
    }
    for (const sum of this.#sums) squares += sum * sum;
    return squares;
  }

  /** Clusters with at least one such row. */
  countWhere(isCounted: (row: number) => boolean): number {
    const isSeen = new Uint8Array(this.#rows); // every cluster is below the number of rows
    let count = 0;
    for (let i = 0; i < this.#rows; i += 1) {
      const cluster = this.#clusters?.[i] ?? i;
      if (isSeen[cluster] !== 0 || !isCounted(i)) continue;
      isSeen[cluster] = 1;
      count += 1;
    }
    return count;
  }

  /** Standard error of a sum of influences: root of the squares, with the correction G / (G - 1). */
  errorOf(influence: (row: number) => number): number {
    if (this.count < 2) return Number.POSITIVE_INFINITY;
    return Math.sqrt((this.squares(influence) * this.count) / (this.count - 1));
  }
}

/** sum of numerators / sum of denominators: a mean where the denominators are 1. */
class Ratio {
  readonly numerators: Float64Array;
  readonly #denominators: Float64Array;
  readonly #denominator: number;
  readonly value: number;

  constructor(numerators: Float64Array, denominators: Float64Array) {
    this.numerators = numerators;
    this.#denominators = denominators;
    let numerator = 0;
    let denominator = 0;
    for (let i = 0; i < numerators.length; i += 1) {
      numerator += at(numerators, i);
      denominator += at(denominators, i);
    }
    this.#denominator = denominator;
    this.value = numerator / denominator;
  }

  /** First-order change of the ratio by row i: (numerator - value denominator) / sum of denominators. */
  influence(i: number): number {
    return (at(this.numerators, i) - this.value * at(this.#denominators, i)) / this.#denominator;
  }

  estimate(sums: ClusterSums): Estimate {
    return { value: this.value, standardError: sums.errorOf((i) => this.influence(i)) };
  }
}

/** target / base - 1; both come from the same rows, and the error accounts for that. */
function liftOf(target: Ratio, base: Ratio, sums: ClusterSums): Estimate {
  if (base.value === 0) return { value: Number.NaN, standardError: Number.NaN };
  const ratio = target.value / base.value;
  const standardError = sums.errorOf((i) => (target.influence(i) - ratio * base.influence(i)) / base.value);
  return { value: ratio - 1, standardError };
}

function products(a: Float64Array, b: Float64Array): Float64Array {
  const out = new Float64Array(a.length);
  for (let i = 0; i < a.length; i += 1) out[i] = at(a, i) * at(b, i);
  return out;
}

function at(values: Float64Array, index: number): number {
  return values[index] as number; // every caller keeps index < length
}

function checkRows(rows: LoggedRows): void {
  const n = rows.rewards.length;
  if (n === 0) throw new RangeError('rewards: no rows to evaluate');
  check('rewards', rows.rewards, n, 'finite', (x) => x > -Infinity && x < Infinity);
  check('loggingPropensities', rows.loggingPropensities, n, 'in (0, 1]', (x) => x > 0 && x <= 1);
  check('targetProbabilities', rows.targetProbabilities, n, 'in [0, 1]', (x) => x >= 0 && x <= 1);
  const { loggedPredictions, targetPredictions, clusters } = rows;
  if ((loggedPredictions === undefined) !== (targetPredictions === undefined)) {
    throw new RangeError('loggedPredictions and targetPredictions: both or neither');
  }
  const isFinitePrediction = (x: number): boolean => x > -Infinity && x < Infinity;
  if (loggedPredictions !== undefined) check('loggedPredictions', loggedPredictions, n, 'finite', isFinitePrediction);
  if (targetPredictions !== undefined) check('targetPredictions', targetPredictions, n, 'finite', isFinitePrediction);
  if (clusters !== undefined) checkClusters(clusters, n);
}

function check(
  name: string,
  values: Float64Array,
  length: number,
  bound: string,
  isRight: (x: number) => boolean,
): void {
  if (values.length !== length) throw new RangeError(`${name}: ${values.length} values for ${length} rewards`);
  for (let i = 0; i < length; i += 1) {
    if (!isRight(at(values, i))) throw new RangeError(`${name}[${i}] is ${at(values, i)}: must be ${bound}`);
  }
}

function checkClusters(clusters: Uint32Array, n: number): void {
  if (clusters.length !== n) throw new RangeError(`clusters: ${clusters.length} values for ${n} rows`);
  for (let i = 0; i < n; i += 1) {
    const cluster = clusters[i] as number; // i < n, its length
    if (cluster >= n) throw new RangeError(`clusters[${i}] is ${cluster}: must be below the number of rows, ${n}`);
  }
}
