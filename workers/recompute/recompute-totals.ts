/**
 * What computing logged decisions again came to: how many were the same, different, erased, or beyond computing and
 * why. Filled by `recompute-decisions.ts`, shown by `opportune replay-decision`.
 */
import type { FieldDifference } from './decision-difference.ts';

export interface DecisionDifference {
  /** Of a decision, or the text of a price that was drawn. */
  readonly subject: string;
  readonly atEpochMillis: number;
  readonly epoch: number;
  readonly worker: number;
  readonly fields: readonly FieldDifference[];
}

interface Unreplayable {
  count: number;
  /** The first few. */
  readonly decisionIds: string[];
}

export interface RecomputeTotals {
  /** In the journal, as far as it was read. */
  decisions: number;
  recomputed: number;
  different: number;
  /** Decisions of people who were erased since: there is nothing of them to compare. */
  erased: number;
  /** Prices that a worker drew, each computed again. */
  prices: number;
  pricesDifferent: number;
  /** Decisions that could not be computed again, by reason. */
  readonly unreplayable: Map<string, Unreplayable>;
}

export function newTotals(): RecomputeTotals {
  return {
    ...{ decisions: 0, recomputed: 0, different: 0, erased: 0 },
    ...{ prices: 0, pricesDifferent: 0, unreplayable: new Map() },
  };
}
