/**
 * When time alone may change next what rules come to for the bound person: the oldest event leaves a window, a silence
 * reaches its bound, an hour or a month turns, what is dated ahead has its time. Known from what a rule reads
 * (`decision/tag.ts`), without trying. Part of `tag-turn.ts`; the scope is bound at the instant asked about.
 */
import { MOMENT, VALUE_MOMENT } from '../decision/catalog.ts';
import type { CatalogIndex } from '../decision/catalog-index.ts';
import type { ZoneTable } from '../decision/local-time.ts';
import type { TagDependencies, UsualScore } from '../decision/tag.ts';
import { DEVIATION, deviationsAbove, MIDDLE } from '../decision/usual-feed.ts';
import type { ProfileRecord } from './profile-record.ts';
import type { ProfileScope } from './profile-scope.ts';
import { ValueMoments } from './value-moments.ts';

/** What it needs of the runtime whose person is bound. */
interface TimedRuntime {
  readonly record: ProfileRecord;
  readonly scope: ProfileScope;
  readonly index: CatalogIndex;
  readonly options: { readonly zones: ZoneTable };
}

export class TimeChanges {
  readonly #runtime: TimedRuntime;
  readonly #values: ValueMoments;

  constructor(runtime: TimedRuntime) {
    this.#runtime = runtime;
    this.#values = new ValueMoments(runtime.options.zones);
  }

  /** The first instant after `at` at which the passage of time may change a rule that depends on this; or Infinity. */
  nextOf(dependsOn: TagDependencies, at: number): number {
    const { scope, record, index, options } = this.#runtime;
    const { windows, scores, silences, valueReadings, instants } = dependsOn;
    let next = Number.POSITIVE_INFINITY;
    for (let i = 0; i < windows.length; i++) {
      const { counter, least } = windows[i] as (typeof windows)[number]; // i < length
      const leavesAt = scope.counterOldestLeavesAtEpochMillis(counter);
      if (leavesAt < next && scope.counterCount(counter) >= least) next = leavesAt;
    }
    for (let i = 0; i < scores.length; i++) {
      const score = scores[i] as UsualScore; // i < length
      const leavesAt = scope.counterOldestLeavesAtEpochMillis(score.counter);
      // A count only falls with time: below the bound nothing comes of it, nor where what is usual is not known.
      if (leavesAt < next && this.#deviations(score) >= score.bound) next = leavesAt;
    }
    for (let i = 0; i < silences.length; i++) {
      const { counter, seconds } = silences[i] as (typeof silences)[number]; // i < length
      next = earlierAfter(at, next, scope.counterNewestAt(counter), seconds * 1000);
    }
    for (let i = 0; i < valueReadings.length; i++) {
      const reading = index.catalog.valueReadings[valueReadings[i] as number]; // i < length
      if (reading !== undefined) next = Math.min(next, this.#values.nextChangeAt(record, reading, at, scope.zone));
    }
    for (let i = 0; i < instants.length; i++) next = earlierAfter(at, next, 0, instants[i] as number); // i < length
    return dependsOn.readsClock ? Math.min(next, options.zones.nextHourStart(scope.zone, at)) : next;
  }

  #deviations({ counter, feed, key }: UsualScore): number {
    const { scope } = this.#runtime;
    const middle = scope.feedNumber(feed, MIDDLE, key);
    return deviationsAbove(scope.counterCount(counter), middle, scope.feedNumber(feed, DEVIATION, key));
  }

  /** When an event that is dated ahead of `at` has its time, or Infinity: it counts from its own instant on. */
  nextMoment(at: number): number {
    const { record } = this.#runtime;
    let next = Number.POSITIVE_INFINITY;
    for (let i = 0; i < record.momentCount; i++) {
      const momentAt = record.momentAt(i);
      if (momentAt > at && momentAt < next && comesFromEvents(record.momentKind(i))) next = momentAt;
    }
    return next;
  }
}

/** Whether a moment of this kind is an event's, or one of a property's values. */
export function comesFromEvents(kind: number): boolean {
  return kind === MOMENT.event || kind === VALUE_MOMENT;
}

/** The first instant after `at` at which the time since `from` passes, or reaches, `millis`; `next` where that is sooner. */
function earlierAfter(at: number, next: number, from: number, millis: number): number {
  const reaches = from + Math.ceil(millis);
  if (reaches > at) return Math.min(reaches, next);
  const passes = from + Math.floor(millis) + 1;
  return passes > at && passes < next ? passes : next;
}
