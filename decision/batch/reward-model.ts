/**
 * The reward model of off-policy evaluation: how much each action is expected to earn in each context, learnt from
 * the log itself, for the estimators DM and DR (`off-policy.ts`). Ridge regression on context and action, and on
 * their products while those are few (`CROSSED_COLUMNS_MAX`):
 *
 *     q(x, a) = intercept + w . x + v[a] + u[a] . x,    minimise  sum (r - q)^2 + ridge (|w|^2 + |v|^2 + |u|^2)
 *
 * Cross-fitted: rows are dealt to folds by cluster, and each row is predicted by a model that has not seen its
 * fold. Otherwise the model's own noise would come back as the policy's value (Chernozhukov et al., "Double /
 * debiased machine learning", Econometrics Journal 2018).
 *
 * Deviation: a linear model also for yes/no rewards, so a prediction may leave [0, 1]; DR stays unbiased with
 * known propensities, and the fit is one exact solve, the same on every engine.
 */

/** Rows as parallel arrays of n >= 1. */
export interface RewardRows {
  /** n x dimensions, row-major; finite. */
  readonly contexts: Float64Array;
  readonly dimensions: number;
  /** Index of the action taken, 0 to actionCount - 1. */
  readonly actions: Int32Array;
  readonly actionCount: number;
  readonly rewards: Float64Array;
  /** Rows with the same number stay in one fold; without it each row is its own. */
  readonly clusters?: Uint32Array;
}

export interface RewardModelOptions {
  /** 2 to 20. Default 5. */
  readonly folds?: number;
  /** Weight of the penalty, > 0, in rows. Default 1. */
  readonly ridge?: number;
}

/** Columns at most: the solve is cubic in their number. */
export const REWARD_COLUMNS_MAX = 1_000;
/** With the products of context and action; with more the model is additive in the two. */
export const CROSSED_COLUMNS_MAX = 400;

export class CrossFittedRewards {
  readonly #rows: RewardRows;
  readonly #folds: number;
  readonly #isCrossed: boolean;
  /** Columns of one row that are not 0, and their values. */
  readonly #at: Int32Array;
  readonly #x: Float64Array;
  /** A fold each: intercept, context weights, action weights, an action after the other its context weights. */
  readonly #weights: readonly Float64Array[];

  /**
   * @throws RangeError for more than REWARD_COLUMNS_MAX columns, or arrays that do not fit together
   * Cost: up to 2 n (dimensions + 1)^2 additions, and folds times columns^3 / 3 for the solves.
   */
  constructor(rows: RewardRows, options: RewardModelOptions = {}) {
    const { folds = 5, ridge = 1 } = options;
    const { dimensions, actionCount, rewards } = rows;
    const additive = 1 + dimensions + actionCount;
    this.#isCrossed = additive + actionCount * dimensions <= CROSSED_COLUMNS_MAX;
    const columns = this.#isCrossed ? additive + actionCount * dimensions : additive;
    this.#at = new Int32Array(2 * dimensions + 2);
    this.#x = new Float64Array(2 * dimensions + 2);
    if (!(Number.isInteger(folds) && folds >= 2 && folds <= 20)) throw new RangeError(`folds ${folds}: 2 to 20`);
    if (!(ridge > 0 && ridge < Infinity)) throw new RangeError(`ridge ${ridge}: finite and above 0`);
    if (columns > REWARD_COLUMNS_MAX)
      throw new RangeError(`reward model: ${columns} columns, at most ${REWARD_COLUMNS_MAX}`);
    if (
      rewards.length === 0 ||
      rows.actions.length !== rewards.length ||
      rows.contexts.length !== rewards.length * dimensions
    ) {
      throw new RangeError('reward model: rewards, actions and contexts must have one row each, and at least one');
    }
    this.#rows = rows;
    this.#folds = folds;
    const size = columns * columns;
    const gram = Array.from({ length: folds }, () => new Float64Array(size));
    const moment = Array.from({ length: folds }, () => new Float64Array(columns));
    for (let i = 0; i < rewards.length; i += 1) {
      const fold = this.foldOf(i);
      this.#addRow(i, gram[fold] as Float64Array, moment[fold] as Float64Array, columns); // fold < folds
    }
    // Summed from the other folds, not subtracted from all: a huge reward must not leave its rounding behind.
    this.#weights = gram.map((_, fold) => {
      const matrix = sumOf(gram, size, fold);
      for (let c = 1; c < columns; c += 1) matrix[c * columns + c] = at0(matrix, c * columns + c) + ridge;
      // Also where the other folds have no row at all the intercept is determined: it is then 0.
      matrix[0] = at0(matrix, 0) + 1e-9;
      const right = sumOf(moment, columns, fold);
      return solve(matrix, right, columns);
    });
  }

  /** The fold a row is in, by its cluster. */
  foldOf(row: number): number {
    const cluster = this.#rows.clusters?.[row] ?? row;
    // Neighbours in a log resemble each other: a multiplicative hash deals them apart.
    return ((Math.imul(cluster, 0x9e3779b1) >>> 8) % this.#folds) >>> 0;
  }

  /** q(x of the row, action), by the model that has not seen the row. */
  predict(row: number, action: number): number {
    const weights = this.#weights[this.foldOf(row)] as Float64Array; // a fold each
    const count = this.#fillRow(row, action);
    let q = 0;
    for (let c = 0; c < count; c += 1) q += at0(weights, this.#at[c] as number) * at0(this.#x, c); // c < count
    return q;
  }

  /** Lists the columns of (context of the row, action), ascending; returns how many. */
  #fillRow(row: number, action: number): number {
    const { contexts, dimensions, actionCount } = this.#rows;
    this.#at[0] = 0;
    this.#x[0] = 1;
    for (let d = 0; d < dimensions; d += 1) {
      const x = at0(contexts, row * dimensions + d);
      this.#at[1 + d] = 1 + d;
      this.#x[1 + d] = x;
      this.#at[2 + dimensions + d] = 1 + dimensions + actionCount + action * dimensions + d;
      this.#x[2 + dimensions + d] = x;
    }
    this.#at[1 + dimensions] = 1 + dimensions + action;
    this.#x[1 + dimensions] = 1;
    return this.#isCrossed ? 2 + 2 * dimensions : 2 + dimensions;
  }

  /** Adds a row to the lower triangle of X'X and to X'r. */
  #addRow(row: number, gram: Float64Array, moment: Float64Array, columns: number): void {
    const reward = at0(this.#rows.rewards, row);
    const count = this.#fillRow(row, this.#rows.actions[row] as number); // row < n
    for (let c = 0; c < count; c += 1) {
      const [at, x] = [this.#at[c] as number, at0(this.#x, c)]; // c < count
      moment[at] = at0(moment, at) + x * reward;
      const line = at * columns;
      for (let d = 0; d <= c; d += 1) {
        const to = line + (this.#at[d] as number); // d <= c
        gram[to] = at0(gram, to) + x * at0(this.#x, d);
      }
    }
  }
}

/** Sum of all parts but one. */
function sumOf(parts: readonly Float64Array[], length: number, without: number): Float64Array {
  const sum = new Float64Array(length);
  for (const [number, part] of parts.entries()) {
    if (number === without) continue;
    for (let i = 0; i < length; i += 1) sum[i] = at0(sum, i) + at0(part, i);
  }
  return sum;
}

/** Solves A w = b in place for a positive definite A of which the lower triangle is given (Cholesky). */
function solve(a: Float64Array, b: Float64Array, n: number): Float64Array {
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j <= i; j += 1) {
      let sum = at0(a, i * n + j);
      for (let k = 0; k < j; k += 1) sum -= at0(a, i * n + k) * at0(a, j * n + k);
      // The ridge keeps the diagonal above 0 but for rounding.
      a[i * n + j] = i === j ? Math.sqrt(Math.max(sum, 1e-12)) : sum / at0(a, j * n + j);
    }
  }
  for (let i = 0; i < n; i += 1) {
    let sum = at0(b, i);
    for (let k = 0; k < i; k += 1) sum -= at0(a, i * n + k) * at0(b, k);
    b[i] = sum / at0(a, i * n + i);
  }
  for (let i = n - 1; i >= 0; i -= 1) {
    let sum = at0(b, i);
    for (let k = i + 1; k < n; k += 1) sum -= at0(a, k * n + i) * at0(b, k);
    b[i] = sum / at0(a, i * n + i);
  }
  return b;
}

function at0(values: Float64Array, index: number): number {
  return values[index] as number; // every caller keeps index < length
}
