/**
 * Facts: what the batch models say of a person, as a catalog may declare it (`profile.facts`). A declared fact is a
 * trait that nobody may set: it lies in a trait slot of the record, rules read it as `profile.churnProbability`, the
 * response model has it as a feature, and one that is not known behaves as a missing trait does. The names are
 * fixed, so that every reader knows the unit. Called by the catalog's check and by the job that computes them.
 *
 * Traded away: room for models of one's own. A fact costs 8 bytes a profile where it is declared, nothing elsewhere.
 */
import type { TraitType } from './catalog.ts';

/** Segments are named, not numbered, so that each is a feature of its own; s1 spends most when first found. */
export const SEGMENT_NAMES = ['s1', 's2', 's3', 's4', 's5', 's6', 's7', 's8'] as const;

/** Digits of the RFM scores: 5 is the best fifth. */
const SCORE = { type: 'integer', min: 1, max: 5, unit: 'fifth' } as const;

export interface FactSpec {
  readonly type: Extract<TraitType, 'integer' | 'number' | 'enum'>;
  readonly min: number;
  readonly max: number | null;
  readonly unit: string;
}

export const FACTS = {
  segment: { type: 'enum', min: 0, max: SEGMENT_NAMES.length - 1, unit: 'name' },
  recencyScore: SCORE,
  frequencyScore: SCORE,
  monetaryScore: SCORE,
  churnProbability: { type: 'number', min: 0, max: 1, unit: 'probability' },
  expectedPurchases: { type: 'number', min: 0, max: null, unit: 'purchases in 90 days' },
  lifetimeValueMinor: { type: 'integer', min: 0, max: null, unit: 'minor units, 12 months' },
  nextPurchaseAtEpochMillis: { type: 'integer', min: 0, max: null, unit: 'epoch milliseconds' },
} as const satisfies Record<string, FactSpec>;

export type FactName = keyof typeof FACTS;
export const FACT_NAMES = Object.keys(FACTS) as readonly FactName[]; // its own keys

/** An instant says nothing by its size: it is for rules, beside `now.epochMillis`, and no feature. */
export const NO_FEATURE: FactName = 'nextPurchaseAtEpochMillis';

/** Which model says it; a model that has nothing to say leaves its facts as they were. */
export const FACTS_OF_MODEL = {
  segments: ['segment', 'recencyScore', 'frequencyScore', 'monetaryScore'],
  churn: ['churnProbability'],
  purchases: ['expectedPurchases', 'lifetimeValueMinor', 'nextPurchaseAtEpochMillis'],
} as const satisfies Record<string, readonly FactName[]>;

export function isFactName(name: string): name is FactName {
  return Object.hasOwn(FACTS, name);
}

/** A relative step smaller than this is not worth a record's change. */
const STEP_SHARE = 0.02;
const PROBABILITY_STEP = 0.005;
const INSTANT_STEP_MILLIS = 6 * 3_600_000;

/**
 * Whether a fact has moved so far that the record is to say so. Every night each number moves a little for everybody,
 * and every record would be written: steps below 2 % (0.005 of a probability, 6 hours of an instant) are left.
 * @param before, after a fact's number, NaN where it is not known
 */
export function hasMoved(name: FactName, before: number, after: number): boolean {
  if (Number.isNaN(before) || Number.isNaN(after)) return Number.isNaN(before) !== Number.isNaN(after);
  const step = Math.abs(after - before);
  if (name === 'churnProbability') return step >= PROBABILITY_STEP;
  if (name === 'nextPurchaseAtEpochMillis') return step >= INSTANT_STEP_MILLIS;
  if (name === 'expectedPurchases' || name === 'lifetimeValueMinor')
    return step > STEP_SHARE * Math.max(Math.abs(before), Math.abs(after));
  return step > 0;
}
