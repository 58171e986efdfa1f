/**
 * A living tag: what holds of a person as long as its rule does, or the rule of a tag below it. Here are its compiled
 * shape and the arithmetic of its weight; who holds which is worked out by `actors/tag-turn.ts`. What a rule reads is
 * known in advance, so an event wakes only the rules it touches, and time only those it can change.
 */
import type { Rule, RuleScope } from './rule.ts';

export const TAG_FAMILIES = ['attributes', 'behaviour', 'spending', 'social', 'lifeCycle'] as const;
export type TagFamily = (typeof TAG_FAMILIES)[number];

/** What of a rule changes, by events and by the passage of time. Indices are the catalog's. */
export interface TagDependencies {
  /** Hashes of the events whose arrival may change it. */
  readonly events: readonly number[];
  /** Some trait, or the person's zone, may change it. */
  readonly readsTraits: boolean;
  /** Counters with a window: when their oldest moment leaves it changes, if as many as `least` were in it. */
  readonly windows: readonly { readonly counter: number; readonly least: number }[];
  /** Comparisons of how unusual a counter is, by a row of a feed, with a bound: when the oldest moment leaves, beyond it. */
  readonly scores: readonly UsualScore[];
  /** Comparisons of the time since an event with so many seconds. */
  readonly silences: readonly { readonly counter: number; readonly seconds: number }[];
  readonly valueReadings: readonly number[];
  /** Bounds of `now.epochMillis`. */
  readonly instants: readonly number[];
  /** It reads the local hour or weekday. */
  readonly readsClock: boolean;
}

export interface UsualScore {
  readonly counter: number;
  readonly feed: number;
  readonly key: string;
  /** In robust deviations. */
  readonly bound: number;
}

export interface Tag {
  readonly index: number;
  readonly key: string;
  readonly hash: number;
  readonly family: TagFamily;
  /** Index of the tag above it, or -1: who holds this one holds that one. */
  readonly parent: number;
  readonly children: readonly number[];
  /** Null: held by those who hold a tag below it. */
  readonly when: Rule | null;
  readonly dependsOn: TagDependencies;
  /** Its weight now, for who holds it; NaN where it cannot be worked out. */
  readonly weightOf: (scope: RuleScope) => number;
  /** After which a weight counts half, in milliseconds; Infinity: it is worked out whenever it is read. */
  readonly halfLifeMillis: number;
  /** Once held it stays at least so long. */
  readonly holdForMillis: number;
  /** Whether the response model sees it. */
  readonly isFeature: boolean;
  /** Who holds it is suspected of abuse: offered nothing, and nothing is learnt from them. */
  readonly isSuspicion: boolean;
}

/** A weight that was `amount` at `at`, at `now`: halved with every half-life since. Before `at` it is what it was then. */
export function decayedWeight(amount: number, at: number, halfLifeMillis: number, now: number): number {
  return now <= at ? amount : amount * 2 ** (-(now - at) / halfLifeMillis);
}
