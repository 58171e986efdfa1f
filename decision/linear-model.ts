/**
 * Will this person respond to this action, by linear Thompson sampling (Agrawal and Goyal, "Thompson sampling for
 * contextual bandits with linear payoffs", ICML 2013) with full covariance: where a few features decide together,
 * it learns from fewer trials than the diagonal model, at a cost that grows with the square of their number.
 *
 *   response = prior + x . w + noise,     w of a part ~ Normal(w of its parent, d^2 I),   noise variance s^2 = prior (1 - prior)
 *   posterior of a part:  precision  Q = A / s^2 + I / d^2,    mean  Q^-1 (b / s^2 + (w of the parent) / d^2)
 *   A = sum of trials x x',    b = sum of responses x - prior x trials x
 *
 * The parent of an action is its category, the parent of a category is everybody, whose own parent is 0: a new action
 * begins with its siblings' mean. Only the action's own covariance is drawn from, so that draws of different actions
 * are independent and their propensities exact. A and b are sums: adding what another shard added merges, and taking
 * a trial or response back is the same call with the sign turned.
 *
 * x is dense and short: the bias, and the hashed features folded with random signs into the other places (Weinberger
 * et al., "Feature hashing for large scale multitask learning", ICML 2009), divided by their norm. Traded away: with
 * more distinct features than places some share one. Deviation: a linear response may leave [0, 1]; the noise is taken
 * as that of the prior everywhere.
 */
import { type FeatureVector, mixHash } from './features.ts';
import { GLOBAL_PART } from './response-model.ts';

/** Places of x, the bias included. */
export const LINEAR_DIMENSIONS = 32;
/** Length of a part's sums with so many. */
export const LINEAR_SUMS = (LINEAR_DIMENSIONS * (LINEAR_DIMENSIONS + 3)) / 2;
const SIGN_SALT = 0x2545f491;

export interface LinearPriors {
  /** Expected share of responses before any evidence, in (0, 1). */
  readonly probability: number;
  /** Standard deviation of each coefficient around its parent's, > 0. */
  readonly deviation: number;
}
export const LINEAR_PRIORS: LinearPriors = { probability: 0.05, deviation: 0.05 };

/** What is known of one part, and the factor of its precision worked out from it when it is asked for. */
interface LinearPart {
  /** Upper triangle of A by rows, then b. */
  readonly sums: Float64Array;
  /** Lower triangular Cholesky factor of Q by rows, d x d; valid unless stale. */
  readonly factor: Float64Array;
  /** Posterior mean of an ancestor, filled for one prediction. */
  readonly mean: Float64Array;
  isStale: boolean;
  stamp: number;
}

export class LinearModel {
  readonly dimensions: number;
  readonly priors: LinearPriors;
  readonly #parts = new Map<number, LinearPart>();
  readonly #zero: Float64Array;
  readonly #scratch: Float64Array;
  readonly #x: Float64Array;
  readonly #rowOf: (part: number) => Float64Array;
  #stamp = 0;

  /**
   * @param rowOf where the sums of a part lie, of length `sumsLength`; who changes them there must tell by `adopt`
   * @throws RangeError for a prior outside its range or dimensions outside 2 to 256
   */
  constructor(
    dimensions = LINEAR_DIMENSIONS,
    priors: LinearPriors = LINEAR_PRIORS,
    rowOf: (part: number) => Float64Array = () => new Float64Array(this.sumsLength),
  ) {
    const { probability, deviation } = priors;
    if (!(probability > 0 && probability < 1)) throw new RangeError(`linear prior ${probability}: in (0, 1)`);
    if (!(deviation > 0 && deviation < Infinity)) throw new RangeError(`linear prior ${deviation}: finite and > 0`);
    if (!(Number.isInteger(dimensions) && dimensions >= 2 && dimensions <= 256))
      throw new RangeError(`linear dimensions ${dimensions}: an integer from 2 to 256`);
    this.dimensions = dimensions;
    this.priors = priors;
    this.#zero = new Float64Array(dimensions);
    this.#scratch = new Float64Array(dimensions);
    this.#x = new Float64Array(dimensions);
    this.#rowOf = rowOf;
  }

  /** Length of a part's sums. */
  get sumsLength(): number {
    return (this.dimensions * (this.dimensions + 3)) / 2;
  }

  /** The sums of every part that has learnt, by number: the whole model, to be copied into a snapshot. */
  sums(): ReadonlyMap<number, Float64Array> {
    return new Map([...this.#parts].map(([part, { sums }]) => [part, sums]));
  }

  /** Forgets everything but the given sums. @throws RangeError for sums of another length */
  load(sums: ReadonlyMap<number, Float64Array>): void {
    this.#parts.clear();
    for (const [part, values] of sums) {
      if (values.length !== this.sumsLength)
        throw new RangeError(`linear part ${part}: ${values.length} sums, needs ${this.sumsLength}`);
      this.#partOf(part).sums.set(values);
    }
  }

  /** The sums of these parts have come or changed. */
  adopt(parts: Iterable<number>): void {
    for (const part of parts) this.#partOf(part).isStale = true;
  }

  #partOf(part: number): LinearPart {
    let known = this.#parts.get(part);
    if (known === undefined) {
      const d = this.dimensions;
      known = {
        sums: this.#rowOf(part),
        factor: new Float64Array(d * d),
        mean: new Float64Array(d),
        isStale: true,
        stamp: 0,
      };
      this.#parts.set(part, known);
    }
    return known;
  }

  /** The dense features: `out`, length >= dimensions, overwritten; the bias 1, the others of norm 1 before folding. */
  fold(features: FeatureVector, out: Float64Array): void {
    const { hashes, values, count, squares } = features;
    out.fill(0, 0, this.dimensions);
    out[0] = 1;
    if (!(squares > 0)) return;
    const scale = 1 / Math.sqrt(squares);
    for (let i = 1; i < count; i += 1) {
      const place = placeOf(hashes[i] as number, this.dimensions); // i < count
      const x = scale * (values[i] as number); // i < count
      out[place < 0 ? -place : place] = (out[place < 0 ? -place : place] as number) + (place < 0 ? -x : x); // place < dimensions
    }
  }

  /** Fills a part's factor of Q. Cost: d^3 / 6, about 8 us for d = 32, after each trial it has learnt. */
  #refresh(part: LinearPart): void {
    if (!part.isStale) return;
    const d = this.dimensions;
    const { sums, factor } = part;
    const { probability, deviation } = this.priors;
    const noise = 1 / (probability * (1 - probability));
    const prior = 1 / (deviation * deviation);
    for (let row = 0; row < d; row += 1) {
      for (let column = 0; column <= row; column += 1) {
        // A's entry (column, row) of the upper triangle.
        let q = noise * (sums[column * d - (column * (column - 1)) / 2 + row - column] as number); // in the triangle
        if (row === column) q += prior;
        for (let k = 0; k < column; k += 1) q -= (factor[row * d + k] as number) * (factor[column * d + k] as number); // in d x d
        // A trial taken back may leave a rounding below nothing: the prior's precision is the least there is.
        if (row === column) factor[row * d + row] = Math.sqrt(Math.max(q, prior * 1e-9));
        else factor[row * d + column] = q / (factor[column * d + column] as number); // filled before
      }
    }
    part.isStale = false;
  }

  /** out = Q^-1 right, by two triangular solves; `out` may be `right`. */
  #solve(factor: Float64Array, right: Float64Array, out: Float64Array): void {
    const d = this.dimensions;
    for (let row = 0; row < d; row += 1) {
      let sum = right[row] as number; // row < d
      for (let k = 0; k < row; k += 1) sum -= (factor[row * d + k] as number) * (out[k] as number); // in d x d
      out[row] = sum / (factor[row * d + row] as number); // in d x d
    }
    for (let row = d - 1; row >= 0; row -= 1) {
      let sum = out[row] as number; // row < d
      for (let k = row + 1; k < d; k += 1) sum -= (factor[k * d + row] as number) * (out[k] as number); // in d x d
      out[row] = sum / (factor[row * d + row] as number); // in d x d
    }
  }

  /** right = b / s^2 + parent / d^2, the right-hand side of the mean. */
  #rightSide(part: LinearPart, parent: Float64Array, right: Float64Array): void {
    const d = this.dimensions;
    const { probability, deviation } = this.priors;
    const noise = 1 / (probability * (1 - probability));
    const prior = 1 / (deviation * deviation);
    const from = part.sums.length - d;
    for (let i = 0; i < d; i += 1) {
      right[i] = noise * (part.sums[from + i] as number) + prior * (parent[i] as number); // i < d
    }
  }

  /** Posterior mean of a part that is an ancestor, worked out once a prediction. */
  #meanOf(number: number, parent: Float64Array): Float64Array {
    const part = this.#parts.get(number);
    if (part === undefined) return parent;
    if (part.stamp !== this.#stamp) {
      part.stamp = this.#stamp;
      this.#refresh(part);
      this.#rightSide(part, parent, part.mean);
      this.#solve(part.factor, part.mean, part.mean);
    }
    return part.mean;
  }

  /**
   * Mean and standard deviation of the response, for all candidates of one decision.
   *
   * @param actionParts, categoryParts numbers of parts, length >= count; category 0 for none
   * @param means, deviations length >= count, overwritten: finite, deviations > 0
   * Draws taken: none. Cost: d^2 a candidate that has learnt, about 1 us for d = 32. No allocation.
   */
  predict(
    features: FeatureVector,
    count: number,
    actionParts: Int32Array,
    categoryParts: Int32Array,
    means: Float64Array,
    deviations: Float64Array,
  ): void {
    const x = this.#x;
    const solved = this.#scratch;
    this.fold(features, x);
    this.#stamp += 1;
    const { probability, deviation } = this.priors;
    const everybody = this.#meanOf(GLOBAL_PART, this.#zero);
    for (let i = 0; i < count; i += 1) {
      const category = categoryParts[i] as number; // i < count
      const parent = category === 0 ? everybody : this.#meanOf(category, everybody);
      const part = this.#parts.get(actionParts[i] as number); // i < count
      if (part === undefined) {
        means[i] = probability + this.#dot(x, parent);
        deviations[i] = deviation * Math.sqrt(this.#dot(x, x));
        continue;
      }
      this.#refresh(part);
      this.#solve(part.factor, x, solved);
      deviations[i] = Math.sqrt(Math.max(this.#dot(x, solved), 1e-300));
      this.#rightSide(part, parent, part.mean);
      means[i] = probability + this.#dot(solved, part.mean);
    }
  }

  /**
   * How much each feature moves the response of one candidate; their sum is the predicted mean minus the prior.
   * @param effects length >= features.count, overwritten
   */
  featureEffects(features: FeatureVector, actionPart: number, categoryPart: number, effects: Float64Array): void {
    const { hashes, values, count, squares } = features;
    this.#stamp += 1;
    const everybody = this.#meanOf(GLOBAL_PART, this.#zero);
    const parent = categoryPart === 0 ? everybody : this.#meanOf(categoryPart, everybody);
    const mean = this.#meanOf(actionPart, parent);
    effects[0] = mean[0] as number; // the bias
    const scale = squares > 0 ? 1 / Math.sqrt(squares) : 0;
    for (let i = 1; i < count; i += 1) {
      const place = placeOf(hashes[i] as number, this.dimensions); // i < count
      const weight = place < 0 ? -(mean[-place] as number) : (mean[place] as number); // place < dimensions
      effects[i] = scale * (values[i] as number) * weight; // i < count
    }
  }

  #dot(a: Float64Array, b: Float64Array): number {
    let sum = 0;
    for (let i = 0; i < this.dimensions; i += 1) sum += (a[i] as number) * (b[i] as number); // i < dimensions
    return sum;
  }

  /**
   * Adds a trial, a response, or both: (1, 0) a trial without response so far, (1, 1) one with its response, (0, 1) the
   * response to an earlier trial; negative weights take back what was added, to rounding.
   *
   * @param x from `fold`
   * @throws RangeError before any change for a weight that is not finite
   * Cost: d^2 / 2 a part, three parts, and their factors at the next prediction. Allocates at a part's first trial.
   */
  learn(x: Float64Array, actionPart: number, categoryPart: number, trials: number, responses: number): void {
    for (const weight of [trials, responses]) {
      if (!(weight > -Infinity && weight < Infinity)) throw new RangeError(`trial weight ${weight}: finite`);
    }
    this.#add(this.#partOf(GLOBAL_PART), x, trials, responses);
    if (categoryPart !== 0) this.#add(this.#partOf(categoryPart), x, trials, responses);
    this.#add(this.#partOf(actionPart), x, trials, responses);
  }

  #add(part: LinearPart, x: Float64Array, trials: number, responses: number): void {
    const d = this.dimensions;
    const { sums } = part;
    let at = 0;
    for (let row = 0; row < d; row += 1) {
      const weighted = trials * (x[row] as number); // row < d
      for (let column = row; column < d; column += 1) {
        sums[at] = (sums[at] as number) + weighted * (x[column] as number); // in the triangle
        at += 1;
      }
    }
    const change = responses - trials * this.priors.probability;
    for (let i = 0; i < d; i += 1) sums[at + i] = (sums[at + i] as number) + change * (x[i] as number); // i < d
    if (trials !== 0) part.isStale = true;
  }
}

/** A feature's place among 1 to d - 1, negative for a negative sign. */
function placeOf(hash: number, dimensions: number): number {
  const mixed = mixHash(hash, SIGN_SALT);
  const place = 1 + ((mixed >>> 1) % (dimensions - 1));
  return (mixed & 1) === 0 ? place : -place;
}
