/**
 * A journey: the stages a person goes through, one at a time, by rules and timers. Here are its compiled shape and what
 * a look at one person's place in it comes to; who stands where is kept by `actors/journey-stages.ts`, stored as a
 * standing moment, and stepped at the event, trait or instant that changes it, like a living tag.
 *
 *   outside ─ first stage's rule ─▸ stage ─ rule of a later one, furthest first; its timer ─▸ stage … ─ exit ─▸ left
 */
import type { Rule, RuleScope } from './rule.ts';
import type { TagDependencies } from './tag.ts';

/** Place of who never entered. */
export const OUTSIDE = -1;
/** Place of who has left. */
export const LEFT = -2;

/** What is stored, in place of a stage's hash, of who has left. */
export const LEFT_AMOUNT = -1;

/** A way to another stage. */
export interface StageStep {
  /** Index of the stage it leads to, or `LEFT`. */
  readonly to: number;
  readonly when: Rule;
  readonly dependsOn: TagDependencies;
}

export interface Stage {
  readonly index: number;
  readonly key: string;
  readonly hash: number;
  /** To be tried in this order. */
  readonly steps: readonly StageStep[];
  /** Where the person goes after so long in the stage; null: nowhere. */
  readonly timer: { readonly afterMillis: number; readonly to: number } | null;
  /** Whoever comes to it has reached what the journey is for. */
  readonly isGoal: boolean;
  /** Factors of an action's worth, by action and by channel; null where the stage has none. */
  readonly actionWeights: Float64Array | null;
  readonly channelWeights: Float64Array | null;
}

export interface Journey {
  readonly index: number;
  readonly key: string;
  readonly hash: number;
  readonly stages: readonly Stage[];
  /** Into the first stage. */
  readonly entry: StageStep;
  /** Out of any stage. */
  readonly exit: StageStep | null;
  /** After which who has left may enter again; Infinity: never. */
  readonly againMillis: number;
}

/** Where a person stands in one journey; changed in place by `lookAtJourney`. */
export interface JourneyPlace {
  /** Index of the stage, `OUTSIDE` or `LEFT`. */
  stage: number;
  /** Since when, epoch milliseconds. */
  since: number;
  /** When the goal was first reached since the person entered; NaN before. */
  goalAt: number;
}

/**
 * Brings a person's place to what holds at `at`: the exit first, then the furthest stage whose rule holds, then the
 * timer, and on from there, so often as there are stages. No stage is come back to within one look, so two whose rules
 * both hold make no circle.
 */
export function lookAtJourney(journey: Journey, place: JourneyPlace, scope: RuleScope, at: number): void {
  const { stages } = journey;
  let passed = 0;
  for (let moves = 0; moves <= stages.length; moves++) {
    const to = nextPlace(journey, place, scope, at, passed);
    if (to === place.stage) return;
    if (place.stage < 0) place.goalAt = Number.NaN;
    else passed |= 1 << place.stage;
    place.stage = to;
    place.since = at;
    if (to >= 0 && Number.isNaN(place.goalAt) && stages[to]?.isGoal === true) place.goalAt = at;
  }
}

function nextPlace(journey: Journey, place: JourneyPlace, scope: RuleScope, at: number, passed: number): number {
  const { entry, exit, againMillis } = journey;
  const { stage, since } = place;
  if (stage < 0) {
    const mayEnter = stage === OUTSIDE || at >= since + againMillis;
    return mayEnter && passed === 0 && entry.when.evaluate(scope) ? entry.to : stage;
  }
  if (exit?.when.evaluate(scope) === true) return LEFT;
  const { steps, timer } = journey.stages[stage] as Stage; // an index of the journey's
  for (let i = 0; i < steps.length; i++) {
    const { to, when } = steps[i] as StageStep; // i < length
    if ((passed & (1 << to)) === 0 && when.evaluate(scope)) return to;
  }
  const isOver = timer !== null && at >= since + timer.afterMillis;
  if (isOver && (timer.to === LEFT || (passed & (1 << timer.to)) === 0)) return timer.to;
  return stage;
}

/** The place that is stored as a stage's hash, or `LEFT_AMOUNT`; a stage the journey does not have any more is none. */
export function placeOf({ stages }: Journey, amount: number): number {
  if (amount === LEFT_AMOUNT) return LEFT;
  for (let i = 0; i < stages.length; i++) if (stages[i]?.hash === amount) return i;
  return OUTSIDE;
}
