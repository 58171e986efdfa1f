/**
 * What a compiled eligibility rule looks like to the pipeline, and what it may ask of a profile.
 * Rules are compiled from CEL by `workers/catalog/`; here are only the shapes, so that the decision
 * functions need neither the parser nor the record layout.
 */
import type { Scalar } from '../proto/messages.ts';

/**
 * One profile at one instant, as a rule sees it. All methods are pure reads with no allocation, except
 * `traitText`, which may read the cold record.
 */
export interface RuleScope {
  hasTrait(trait: number): boolean;
  /** number and integer: the value; boolean: 0 or 1; enum: index of the value; NaN when absent. */
  traitNumber(trait: number): number;
  /** `string` and `timeZone` traits: 53-bit hash of the text (`textHash`); NaN when absent. */
  traitHash(trait: number): number;
  /** The text of a `string` or `timeZone` trait; empty when absent. */
  traitText(trait: number): string;
  /** Events counted by `catalog.counters[counter]` inside its window before now. */
  counterCount(counter: number): number;
  counterSum(counter: number): number;
  /** Seconds since the counter's event was last seen; 1e12 when never. */
  counterLastSeenSeconds(counter: number): number;
  /** Instant at which the oldest moment inside the counter's window leaves it; NaN when it is empty. */
  counterOldestLeavesAtEpochMillis(counter: number): number;
  /** Answer of `catalog.valueReadings[reading]`: a whole number. */
  valueReading(reading: number): number;
  holdsTag(tag: number): boolean;
  /** Of a tag held its weight now; 0 where it is not held. */
  tagWeight(tag: number): number;
  /** Index of the stage of `catalog.journeys[journey]` the person is in; below 0 for none. */
  stageOf(journey: number): number;
  /** Whether the person allows the purpose, as it binds this decision. */
  allows(purpose: string): boolean;
  /** Field of a feed's row under a key: a number, or 0 and 1 of a boolean; NaN where it is not known or there is no key. */
  feedNumber(feed: number, field: number, key: string | undefined): number;
  /** The same of a text; undefined where it is not known. */
  feedText(feed: number, field: number, key: string | undefined): string | undefined;
  /** Value given with the request, or undefined. */
  context(key: string): Scalar | undefined;
  nowEpochMillis(): number;
  /** 0 to 23, local to the person. */
  nowHour(): number;
  /** 0 (Monday) to 6 (Sunday), local to the person. */
  nowWeekday(): number;
}

export interface ClauseFinding {
  readonly value: Scalar;
  readonly threshold: Scalar;
  /** When this clause turns true by the passage of time alone; null when time alone will not do it. */
  readonly eligibleAgainAtEpochMillis: number | null;
}

export type OrderComparison = '<' | '<=' | '>' | '>=';

/**
 * A clause that compares one subject with constants, so that clauses of the same subject can be answered
 * together (`eligibility-index.ts`). It holds exactly when `read` gives a number in that order to the
 * threshold, or one of the values (as `Map` compares: NaN and undefined are among none).
 */
export type ClauseComparison = {
  /** Equal for equal subjects of one catalog. */
  readonly subject: string;
  readonly read: (scope: RuleScope) => unknown;
} & (
  | { readonly operator: OrderComparison; readonly threshold: number }
  | { readonly operator: 'in'; readonly values: readonly Scalar[] }
);

/** One operand of the rule's top-level `&&`; a rule without `&&` is its own only clause. */
export interface Clause {
  readonly source: string;
  /** False also when the clause cannot be evaluated (a missing trait): never throws. */
  evaluate(scope: RuleScope): boolean;
  explain(scope: RuleScope): ClauseFinding;
  /** Null when the clause is anything else than a comparison with constants. */
  readonly comparison: ClauseComparison | null;
}

/** What a rule reads: of which group of data, by name. */
export interface RuleReading {
  readonly group: 'traits' | 'facts' | 'tags' | 'stages' | 'behaviour' | 'feeds' | 'context' | 'consent' | 'time';
  readonly name: string;
  /** Index of the trait, or -1. */
  readonly trait: number;
}

export interface Rule {
  readonly source: string;
  /** Each once, in the order of the source: what an export says of a decision. */
  readonly reads: readonly RuleReading[];
  readonly clauses: readonly Clause[];
  /** The whole rule; false when it cannot be evaluated. Never throws. */
  evaluate(scope: RuleScope): boolean;
}
