/**
 * Churn: will this person leave? Logistic regression on recency, frequency, tenure and traits, fitted in batch
 * in the job pool and read as one probability a person.
 *
 *   p = 1 / (1 + exp(−(intercept + Σ weight[j] z[j]))),   z in units of deviations (person-table.ts)
 *   fit: least of Σ log loss + ridge/2 Σ weight², by Newton's method with halved steps (IRLS; Hastie, Tibshirani
 *   and Friedman, The Elements of Statistical Learning, 2nd ed. 2009, section 4.4.1); the intercept is not shrunk
 *
 * `ChurnColumns` turns what is known of a person into the row: each number as it is and as log(1 + x), which is
 * how a linear model learns that the first month counts more than the fortieth; each value of a text trait as 0
 * or 1. What is not known is the mean, and a value never met before is none of the known ones.
 *
 * Deviation: with one class only there is no maximum; then all weights are 0 and the intercept is the logit of
 * (positives + 1/2) / (rows + 1), Jeffreys' estimate. Exp and log are those of normal.ts.
 */
import { logit, naturalLogarithm, sigmoid } from '../normal.ts';
import { drawUniform, PURPOSE } from '../random.ts';
import { fitScale, type PersonTable, rowsOf, type Scale, scaled, scaleRow } from './person-table.ts';

export const RIDGE_DEFAULT = 1;
export const FOLDS_DEFAULT = 5;
/** Columns at most: the solve is cubic in them. */
export const CHURN_COLUMNS_MAX = 512;
/** A text value carried by fewer people gets no column. */
const VALUE_PEOPLE_MIN = 5;
/** Newton's method needs 5 to 8; more means that the data are all but separable, where the ridge still holds. */
const ITERATIONS_MAX = 50;

/** What is known of a person at one instant, before the span in which leaving is looked for. */
export interface ChurnFacts {
  /** Days since the last purchase or visit; null when not known or never. */
  readonly recencyDays: number | null;
  /** Purchases or visits so far. */
  readonly frequency: number | null;
  /** Days since the first one. */
  readonly tenureDays: number | null;
  readonly traits: Readonly<Record<string, string | number | boolean | null>>;
}

const OWN_NUMBERS = ['recencyDays', 'frequency', 'tenureDays'] as const;

/** The columns of a churn table, learnt from people and then fixed. Plain data: it can be stored beside the model. */
export interface ChurnColumns {
  /** Traits that are numbers or booleans, in order of name; each has two columns, after the three own numbers. */
  readonly numbers: readonly string[];
  /** Trait and value of each further column. */
  readonly values: readonly (readonly [trait: string, value: string])[];
  readonly width: number;
}

/**
 * Which columns these people give: numbers that anybody has, and values of text traits that at least five have.
 * @throws RangeError for more than CHURN_COLUMNS_MAX columns, naming the trait with the most values
 */
export function chooseChurnColumns(people: readonly ChurnFacts[]): ChurnColumns {
  const numbers = new Set<string>();
  const counts = new Map<string, Map<string, number>>();
  for (const { traits } of people) {
    for (const [trait, value] of Object.entries(traits)) {
      if (typeof value === 'string') {
        const ofTrait = counts.get(trait) ?? new Map<string, number>();
        counts.set(trait, ofTrait.set(value, (ofTrait.get(value) ?? 0) + 1));
      } else if (value !== null) numbers.add(trait);
    }
  }
  const sorted = <Item>(items: Iterable<Item>): Item[] => [...items].sort((a, b) => (String(a) < String(b) ? -1 : 1));
  const values = sorted(counts.keys()).flatMap((trait) =>
    sorted(counts.get(trait) ?? [])
      .filter(([, count]) => count >= VALUE_PEOPLE_MIN)
      .map(([value]) => [trait, value] as const),
  );
  const width = 2 * (OWN_NUMBERS.length + numbers.size) + values.length;
  if (width > CHURN_COLUMNS_MAX) {
    const widest = [...counts].sort(([, a], [, b]) => b.size - a.size)[0];
    throw new RangeError(
      `${width} columns, at most ${CHURN_COLUMNS_MAX}: trait ${widest?.[0]} has ${widest?.[1].size} values`,
    );
  }
  return { numbers: sorted(numbers), values, width };
}

/**
 * One person's row. Not known is NaN, which every reader takes as the mean.
 * @param out length `columns.width`, overwritten. Cost: some 20 ns a column.
 */
export function churnRow(columns: ChurnColumns, facts: ChurnFacts, out: Float64Array): void {
  let column = 0;
  const put = (value: unknown): void => {
    const number = typeof value === 'boolean' ? Number(value) : typeof value === 'number' ? value : Number.NaN;
    out[column++] = number;
    out[column++] = naturalLogarithm(1 + Math.max(number, 0));
  };
  for (const name of OWN_NUMBERS) put(facts[name]);
  for (const name of columns.numbers) put(facts.traits[name]);
  for (const [trait, value] of columns.values) {
    const known = facts.traits[trait];
    out[column++] = typeof known === 'string' ? Number(known === value) : Number.NaN;
  }
}

/**
 * The table of all these people; NaN of what is not known is replaced by its column's mean over those who have it,
 * so that the table is sound.
 */
export function churnTable(columns: ChurnColumns, people: readonly ChurnFacts[]): PersonTable {
  const { width } = columns;
  const values = new Float64Array(people.length * width);
  for (const [row, facts] of people.entries()) {
    churnRow(columns, facts, values.subarray(row * width, row * width + width));
  }
  for (let column = 0; column < width; column += 1) {
    let sum = 0;
    let count = 0;
    for (let i = column; i < values.length; i += width) {
      if (Number.isNaN(at(values, i))) continue;
      sum += at(values, i);
      count += 1;
    }
    const mean = count > 0 ? sum / count : 0;
    for (let i = column; i < values.length; i += width) if (Number.isNaN(at(values, i))) values[i] = mean;
  }
  return { values, width };
}

export interface ChurnModel {
  readonly scale: Scale;
  /** Length width, a unit a deviation. */
  readonly weights: Float64Array;
  readonly intercept: number;
  readonly rows: number;
  /** People who left. */
  readonly positives: number;
  readonly iterations: number;
  /** Whether the last step changed the loss by less than 1e-10 of it. */
  readonly isConverged: boolean;
}

/**
 * The batch fit.
 *
 * @param labels length rows: 1 for a person who left, 0 for one who stayed
 * @param ridge L2 penalty on the weights, > 0; default 1, which is one observation's worth
 * @throws RangeError for a table, labels or ridge out of bounds
 * Draws: none. Cost: iterations (4 to 8) × (rows × width² / 2 + width³ / 6) × 5 ns; 5,700 people of 50 columns: 0.2 s.
 */
export function fitChurn(table: PersonTable, labels: Uint8Array, ridge = RIDGE_DEFAULT): ChurnModel {
  const rows = checkLabels(table, labels);
  if (!(ridge > 0 && ridge <= 1e12)) throw new RangeError(`ridge ${ridge}: above 0, at most 1e12`);
  const { width } = table;
  if (width > CHURN_COLUMNS_MAX) throw new RangeError(`width ${width}: at most ${CHURN_COLUMNS_MAX}`);
  const scale = fitScale(table);
  let positives = 0;
  for (const label of labels) positives += label;
  const size = width + 1; // the intercept comes last
  let weights = new Float64Array(size);
  weights[width] = logit((positives + 0.5) / (rows + 1));
  let iterations = 0;
  let isConverged = positives === 0 || positives === rows;
  if (!isConverged) {
    const { values } = scaled(table, scale);
    let loss = lossOf(values, width, labels, weights, ridge);
    while (!isConverged && iterations < ITERATIONS_MAX) {
      iterations += 1;
      const step = newtonStep(values, width, labels, weights, ridge);
      let share = 1;
      let [next, nextLoss] = [weights, loss];
      // A full step may overshoot where the data are nearly separable: halve it until the loss falls.
      for (; share > 1e-6; share /= 2) {
        next = weights.map((weight, j) => weight + share * at(step, j));
        nextLoss = lossOf(values, width, labels, next, ridge);
        if (nextLoss <= loss) break;
      }
      isConverged = !(loss - nextLoss > 1e-10 * loss);
      if (nextLoss <= loss) [weights, loss] = [next, nextLoss];
    }
  }
  return {
    scale,
    weights: weights.slice(0, width),
    intercept: at(weights, width),
    rows,
    positives,
    iterations,
    isConverged,
  };
}

const SCRATCH_WIDTH = CHURN_COLUMNS_MAX;
const scratchRow = new Float64Array(SCRATCH_WIDTH);

/**
 * Probability that the person leaves, in [0, 1]. NaN in the row counts as the mean.
 * @param row length of the model's width, as `churnRow` writes it. Cost: width × 12 ns; allocates nothing.
 */
export function churnProbability(model: ChurnModel, row: Float64Array): number {
  scaleRow(model.scale, row, scratchRow);
  let sum = model.intercept;
  for (let j = 0; j < model.weights.length; j += 1) sum += at(model.weights, j) * at(scratchRow, j);
  // Two opposite infinities cannot meet: values and weights are bounded. A sum beyond doubles is 0 or 1.
  return sigmoid(sum);
}

export interface ClassifierScore {
  /** Chance that a random leaver is ranked above a random stayer, ties half; 0.5 without both classes. */
  readonly areaUnderCurve: number;
  /** Mean of −log(probability given to what happened), nats; 0 without rows. */
  readonly logLoss: number;
}

/** Each probability is first kept within [1e-15, 1 − 1e-15], so that one sure mistake is not infinite. */
export function scoreClassifier(probabilities: Float64Array, labels: Uint8Array): ClassifierScore {
  const rows = labels.length;
  if (probabilities.length !== rows) throw new RangeError(`${probabilities.length} probabilities, ${rows} labels`);
  const order = Uint32Array.from({ length: rows }, (_, i) => i).sort(
    (a, b) => at(probabilities, a) - at(probabilities, b),
  );
  let positives = 0;
  let rankSum = 0;
  let loss = 0;
  for (let start = 0; start < rows; ) {
    let end = start;
    let tiedPositives = 0;
    const value = at(probabilities, order[start] as number); // start < rows
    while (end < rows && at(probabilities, order[end] as number) === value) {
      tiedPositives += labels[order[end] as number] as number; // end < rows
      end += 1;
    }
    if (end === start) throw new RangeError(`probabilities[${order[start]}] is ${value}: must be in [0, 1]`);
    rankSum += tiedPositives * ((start + end + 1) / 2); // mean of the ranks start + 1 to end
    positives += tiedPositives;
    const kept = Math.min(Math.max(value, 1e-15), 1 - 1e-15);
    loss -= tiedPositives * naturalLogarithm(kept) + (end - start - tiedPositives) * naturalLogarithm(1 - kept);
    start = end;
  }
  const negatives = rows - positives;
  const pairs = positives * negatives;
  return {
    areaUnderCurve: pairs > 0 ? (rankSum - (positives * (positives + 1)) / 2) / pairs : 0.5,
    logLoss: rows > 0 ? loss / rows : 0,
  };
}

/**
 * How well the model predicts people it has not seen: every person is judged by a model fitted without his fold.
 *
 * @param folds 2 or more; people are dealt to folds at random by the seed
 * @returns the score over all people at once. Draws: one a person, purpose fold. Cost: folds × `fitChurn`.
 */
export function crossValidateChurn(
  table: PersonTable,
  labels: Uint8Array,
  seed: readonly [number, number],
  folds = FOLDS_DEFAULT,
  ridge = RIDGE_DEFAULT,
): ClassifierScore {
  const rows = checkLabels(table, labels);
  if (!(Number.isInteger(folds) && folds >= 2 && folds <= 100)) throw new RangeError(`folds ${folds}: from 2 to 100`);
  const { values, width } = table;
  const rowOf = (row: number): Float64Array => values.subarray(row * width, row * width + width);
  const foldOf = Uint8Array.from(labels, (_, row) =>
    Math.floor(folds * drawUniform(seed[0], seed[1], row, PURPOSE.fold)),
  );
  const probabilities = new Float64Array(rows);
  for (let fold = 0; fold < folds; fold += 1) {
    const kept = [...foldOf.keys()].filter((row) => foldOf[row] !== fold);
    const training = new Float64Array(kept.length * width);
    for (const [i, row] of kept.entries()) training.set(rowOf(row), i * width);
    const trainingLabels = Uint8Array.from(kept, (row) => labels[row] as number); // row < rows
    const model = fitChurn({ values: training, width }, trainingLabels, ridge);
    for (let row = 0; row < rows; row += 1)
      if (foldOf[row] === fold) probabilities[row] = churnProbability(model, rowOf(row));
  }
  return scoreClassifier(probabilities, labels);
}

function checkLabels(table: PersonTable, labels: Uint8Array): number {
  const rows = rowsOf(table);
  if (labels.length !== rows) throw new RangeError(`${labels.length} labels for ${rows} rows`);
  const wrong = labels.findIndex((label) => label > 1);
  if (wrong >= 0) throw new RangeError(`labels[${wrong}] is ${labels[wrong]}: 0 or 1`);
  return rows;
}

function marginOf(values: Float64Array, start: number, width: number, weights: Float64Array): number {
  let margin = at(weights, width);
  for (let j = 0; j < width; j += 1) margin += at(weights, j) * at(values, start + j);
  return margin;
}

/** Σ log(1 + e^margin) − y margin, without overflow, plus the penalty. */
function lossOf(values: Float64Array, width: number, labels: Uint8Array, weights: Float64Array, ridge: number): number {
  let loss = 0;
  for (let row = 0; row < labels.length; row += 1) {
    const margin = marginOf(values, row * width, width, weights);
    const towards = labels[row] === 1 ? margin : -margin;
    // log(1 + e^-t) = −log sigmoid(t) for t > -30; below it is −t to 1e-13.
    loss += towards > -30 ? -naturalLogarithm(sigmoid(towards)) : -towards;
  }
  for (let j = 0; j < width; j += 1) loss += 0.5 * ridge * at(weights, j) ** 2;
  return loss;
}

/** Solves (X'WX + ridge) step = X'(y − p) − ridge weights by Cholesky's method. */
function newtonStep(
  values: Float64Array,
  width: number,
  labels: Uint8Array,
  weights: Float64Array,
  ridge: number,
): Float64Array {
  const size = width + 1;
  const hessian = new Float64Array(size * size);
  const gradient = new Float64Array(size);
  const person = new Float64Array(size).fill(1); // the intercept's column is 1
  for (let row = 0; row < labels.length; row += 1) {
    const start = row * width;
    for (let j = 0; j < width; j += 1) person[j] = at(values, start + j);
    const p = sigmoid(marginOf(values, start, width, weights));
    const residual = (labels[row] as number) - p; // row < length
    const weight = p * (1 - p);
    for (let j = 0, index = 0; j < size; j += 1, index = j * size) {
      const x = at(person, j);
      gradient[j] = at(gradient, j) + residual * x;
      const weighted = weight * x;
      for (let k = 0; k <= j; k += 1, index += 1) hessian[index] = at(hessian, index) + weighted * at(person, k);
    }
  }
  for (let j = 0; j < width; j += 1) {
    hessian[j * size + j] = at(hessian, j * size + j) + ridge;
    gradient[j] = at(gradient, j) - ridge * at(weights, j);
  }
  // The intercept's own curvature can vanish when all margins are large: a trace keeps the matrix definite.
  hessian[size * size - 1] = at(hessian, size * size - 1) + 1e-9;
  return solveDefinite(hessian, gradient, size);
}

/** Cholesky's method in place, lower triangle; a pivot lost to rounding drops its unknown (step 0). */
function solveDefinite(matrix: Float64Array, right: Float64Array, size: number): Float64Array {
  for (let j = 0; j < size; j += 1) {
    for (let k = 0; k <= j; k += 1) {
      let sum = at(matrix, j * size + k);
      for (let i = 0; i < k; i += 1) sum -= at(matrix, j * size + i) * at(matrix, k * size + i);
      const pivot = at(matrix, k * size + k);
      if (j === k) matrix[j * size + j] = sum > 0 ? Math.sqrt(sum) : 0;
      else matrix[j * size + k] = pivot > 0 ? sum / pivot : 0;
    }
  }
  const solution = right.slice();
  for (let j = 0; j < size; j += 1) {
    let sum = at(solution, j);
    for (let i = 0; i < j; i += 1) sum -= at(matrix, j * size + i) * at(solution, i);
    const pivot = at(matrix, j * size + j);
    solution[j] = pivot > 0 ? sum / pivot : 0;
  }
  for (let j = size - 1; j >= 0; j -= 1) {
    let sum = at(solution, j);
    for (let i = j + 1; i < size; i += 1) sum -= at(matrix, i * size + j) * at(solution, i);
    const pivot = at(matrix, j * size + j);
    solution[j] = pivot > 0 ? sum / pivot : 0;
  }
  return solution;
}

function at(values: Float64Array, index: number): number {
  return values[index] as number; // every caller keeps index < length
}
