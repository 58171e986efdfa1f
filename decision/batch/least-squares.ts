/**
 * Linear regression in batch, for nightly fits and for judging data: y = X theta + noise, by the normal
 * equations and Cholesky, with an optional Normal prior on theta (then the posterior mean; without one,
 * ordinary least squares). Own code because what a demand fit needs, standard errors and a prior in natural
 * parameters, is thirty lines, and the same factor serves `cross-demand.ts`.
 *
 * Guarantees: never NaN; columns that are a combination of earlier ones get coefficient 0 and no standard
 * error. Traded away: the condition number is squared; centre or scale columns that differ by 10^6.
 */

/** A pivot below this share of its diagonal entry is a column that the earlier ones already explain. */
const PIVOT_SHARE_MIN = 1e-10;
/** Values beyond this are no data, below its inverse nothing: between them no sum of squares overflows. */
const VALUE_MAX = 1e30;

export interface LinearFit {
  /** theta, length d. */
  readonly coefficients: Float64Array;
  /** Of each coefficient; Infinity for a column left out, 0 when n <= rank with a perfect fit. Length d. */
  readonly standardErrors: Float64Array;
  /** 1 - residual / total sum of squares about the mean, <= 1; 0 when y does not vary. */
  readonly rSquared: number;
  /** sqrt(residual sum of squares / (n - rank)); 0 when n <= rank. */
  readonly residualDeviation: number;
  /** Columns that were not left out. */
  readonly rank: number;
}

/**
 * Fits n rows of d columns.
 * @param x row by row, n x d; a row with a value that is not within +-1e30 is left out, one below 1e-30 counts as 0
 * @param y length n; likewise
 * @param priorPrecision of each coefficient about `priorMean`, >= 0, length d; left out: 0, ordinary least squares
 * @param priorMean length d; left out: 0. Weighed against residuals of variance 1.
 * Draws: none. Cost: n d^2 / 2 + d^3 / 6 multiplications.
 * Source: Gelman and others, "Bayesian Data Analysis", 3rd edition, section 14.2 and 14.8.
 */
export function fitLinear(
  x: Float64Array,
  y: Float64Array,
  columns: number,
  priorPrecision?: Float64Array,
  priorMean?: Float64Array,
): LinearFit {
  const d = columns;
  const gram = new Float64Array(d * d);
  const moment = new Float64Array(d);
  for (let j = 0; j < d; j++) {
    const precision = priorPrecision?.[j] ?? 0;
    gram[j * d + j] = precision;
    moment[j] = precision * (priorMean?.[j] ?? 0);
  }
  let n = 0;
  let mean = 0;
  for (let i = 0; i < y.length; i++) {
    if (!isRowSound(x, i * d, d, y[i] as number)) continue; // cast: within the length
    n++;
    mean += ((y[i] as number) - mean) / n;
    for (let j = 0; j < d; j++) {
      const value = x[i * d + j] as number; // cast: within the row
      if (Math.abs(value) < 1 / VALUE_MAX) continue;
      moment[j] = (moment[j] as number) + value * (y[i] as number);
      for (let k = 0; k <= j; k++) gram[j * d + k] = (gram[j * d + k] as number) + value * (x[i * d + k] as number);
    }
  }
  const rank = factorise(gram, d);
  const coefficients = Float64Array.from(moment);
  solveFactored(gram, d, coefficients);

  let residual = 0;
  let total = 0;
  for (let i = 0; i < y.length; i++) {
    if (!isRowSound(x, i * d, d, y[i] as number)) continue;
    let fitted = 0;
    for (let j = 0; j < d; j++) fitted += (x[i * d + j] as number) * (coefficients[j] as number);
    const value = y[i] as number;
    residual += (value - fitted) * (value - fitted);
    total += (value - mean) * (value - mean);
  }
  const variance = n > rank ? residual / (n - rank) : 0;
  const standardErrors = new Float64Array(d);
  const unit = new Float64Array(d);
  for (let j = 0; j < d; j++) {
    if (gram[j * d + j] === 0) {
      standardErrors[j] = Infinity;
      continue;
    }
    unit.fill(0);
    unit[j] = 1;
    solveFactored(gram, d, unit);
    standardErrors[j] = Math.sqrt(variance * Math.max(unit[j] as number, 0));
  }
  const rSquared = total > 0 ? 1 - residual / total : 0;
  return { coefficients, standardErrors, rSquared, residualDeviation: Math.sqrt(variance), rank };
}

function isRowSound(x: Float64Array, start: number, d: number, y: number): boolean {
  if (!(Math.abs(y) <= VALUE_MAX)) return false;
  for (let j = 0; j < d; j++) if (!(Math.abs(x[start + j] as number) <= VALUE_MAX)) return false; // cast: within the row
  return true;
}

/**
 * Cholesky in place: the lower triangle of a symmetric d x d matrix becomes L with L L' = A. A column whose
 * pivot vanishes becomes 0 and is left out.
 * @returns the number of columns kept
 */
export function factorise(matrix: Float64Array, d: number): number {
  let rank = 0;
  for (let j = 0; j < d; j++) {
    const diagonal = matrix[j * d + j] as number; // cast: within the matrix, here and below
    let pivot = diagonal;
    for (let k = 0; k < j; k++) pivot -= (matrix[j * d + k] as number) * (matrix[j * d + k] as number);
    const isKept = pivot > diagonal * PIVOT_SHARE_MIN && pivot > 0 && pivot < Infinity;
    const root = isKept ? Math.sqrt(pivot) : 0;
    if (isKept) rank++;
    matrix[j * d + j] = root;
    for (let i = j + 1; i < d; i++) {
      let sum = matrix[i * d + j] as number;
      for (let k = 0; k < j; k++) sum -= (matrix[i * d + k] as number) * (matrix[j * d + k] as number);
      matrix[i * d + j] = isKept ? sum / root : 0;
    }
  }
  return rank;
}

/** Solves A z = `right` in place, given `factorise`d A; 0 for columns that were left out. */
export function solveFactored(factor: Float64Array, d: number, right: Float64Array): void {
  for (let j = 0; j < d; j++) {
    const pivot = factor[j * d + j] as number; // cast: within the matrix, here and below
    let sum = right[j] as number;
    for (let k = 0; k < j; k++) sum -= (factor[j * d + k] as number) * (right[k] as number);
    right[j] = pivot === 0 ? 0 : sum / pivot;
  }
  for (let j = d - 1; j >= 0; j--) {
    const pivot = factor[j * d + j] as number;
    let sum = right[j] as number;
    for (let k = j + 1; k < d; k++) sum -= (factor[k * d + j] as number) * (right[k] as number);
    right[j] = pivot === 0 ? 0 : sum / pivot;
  }
}
