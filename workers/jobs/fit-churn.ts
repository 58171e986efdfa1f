/**
 * The job behind a nightly churn model: the logistic fit of `decision/churn-model.ts` over people in shared memory,
 * and how well it predicts people it has not seen, without which no model should be put to use.
 */
import {
  type ChurnModel,
  type ClassifierScore,
  crossValidateChurn,
  FOLDS_DEFAULT,
  fitChurn as fitModel,
  RIDGE_DEFAULT,
} from '../../decision/batch/churn-model.ts';

export interface FitChurnInput {
  /** Row-major doubles, rows × width, as `churnTable` makes them. */
  readonly values: SharedArrayBuffer;
  readonly width: number;
  /** A byte a row: 1 left, 0 stayed. */
  readonly labels: SharedArrayBuffer;
  /** Deals people to the folds. */
  readonly seed: readonly [number, number];
  readonly ridge?: number;
  readonly folds?: number;
}

export interface FitChurnResult {
  readonly model: ChurnModel;
  readonly crossValidated: ClassifierScore;
}

/** @throws RangeError for values, labels or options out of bounds, naming them */
export function fitChurn(input: FitChurnInput): FitChurnResult {
  const { width, seed, ridge = RIDGE_DEFAULT, folds = FOLDS_DEFAULT } = input;
  const table = { values: new Float64Array(input.values), width };
  const labels = new Uint8Array(input.labels);
  return {
    model: fitModel(table, labels, ridge),
    crossValidated: crossValidateChurn(table, labels, seed, folds, ridge),
  };
}
