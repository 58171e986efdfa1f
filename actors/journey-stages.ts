/**
 * Where the bound person stands in each journey: read from the record's standing moments, stepped by
 * `decision/journey.ts`, and changed back into moments. Part of `tag-turn.ts`, which says when; looked at behind the
 * tags, whose names stages' rules may read.
 *
 *   moments stage, goal ─▸ places ─▸ lookAtJourney at one instant after another ─▸ moments stage, goal
 */
import type { CatalogIndex } from '../decision/catalog-index.ts';
import {
  type Journey,
  type JourneyPlace,
  LEFT,
  LEFT_AMOUNT,
  lookAtJourney,
  OUTSIDE,
  placeOf,
  type Stage,
  type StageStep,
} from '../decision/journey.ts';
import type { ProfileRecord } from './profile-record.ts';
import type { ProfileScope } from './profile-scope.ts';
import { STANDING } from './record-layout.ts';
import type { StandingChanges } from './standing-changes.ts';
import type { TimeChanges } from './time-changes.ts';

/** What it needs of the runtime whose person is bound. */
interface StagedRuntime {
  readonly record: ProfileRecord;
  readonly scope: ProfileScope;
  readonly index: CatalogIndex;
}

export class JourneyStages {
  readonly #runtime: StagedRuntime;
  readonly #changes: StandingChanges;
  readonly #time: TimeChanges;
  /** By journey, of the bound person. */
  readonly #places: JourneyPlace[] = [];
  /** Hashes of journeys with moments that the catalog does not have. */
  readonly #gone = new Set<number>();

  constructor(runtime: StagedRuntime, changes: StandingChanges, time: TimeChanges) {
    this.#runtime = runtime;
    this.#changes = changes;
    this.#time = time;
  }

  /** Reads the places of the bound person. */
  read(): void {
    const { record, index } = this.#runtime;
    const { all } = index.journeys;
    while (this.#places.length < all.length) this.#places.push({ stage: OUTSIDE, since: 0, goalAt: Number.NaN });
    for (let j = 0; j < all.length; j++) {
      const place = this.#places[j] as JourneyPlace; // as many as journeys
      place.stage = OUTSIDE;
      place.goalAt = Number.NaN;
    }
    this.#gone.clear();
    for (let i = 0; i < record.momentCount; i++) {
      const kind = record.momentKind(i);
      if (kind !== STANDING.stage && kind !== STANDING.goal) continue;
      const journey = index.catalog.journeyByHash.get(record.momentSubject(i));
      if (journey === undefined) {
        this.#gone.add(record.momentSubject(i));
        continue;
      }
      const place = this.#places[journey.index] as JourneyPlace; // as many as journeys
      if (kind === STANDING.goal) place.goalAt = record.momentAt(i);
      else {
        place.stage = placeOf(journey, record.momentAmount(i));
        place.since = record.momentAt(i);
      }
    }
  }

  /** Ends what belongs to journeys, and stages, that the catalog does not have any more. */
  endGone(now: number): void {
    const { record, index } = this.#runtime;
    for (const hash of this.#gone) this.#end(hash, now);
    for (let i = 0; i < record.momentCount; i++) {
      if (record.momentKind(i) !== STANDING.stage) continue;
      const journey = index.catalog.journeyByHash.get(record.momentSubject(i));
      if (journey === undefined || placeOf(journey, record.momentAmount(i)) !== OUTSIDE) continue;
      this.#end(journey.hash, now);
      (this.#places[journey.index] as JourneyPlace).goalAt = Number.NaN; // as many as journeys
    }
  }

  /** Brings the places in these journeys to what holds at `at`; the scope is bound there. Returns when time may change one next. */
  evaluate(journeys: readonly Journey[], at: number): number {
    const { scope } = this.#runtime;
    let next = Number.POSITIVE_INFINITY;
    for (let j = 0; j < journeys.length; j++) {
      const journey = journeys[j] as Journey; // j < length
      const place = this.#places[journey.index] as JourneyPlace; // as many as journeys
      const { stage, since, goalAt } = place;
      lookAtJourney(journey, place, scope, at);
      if (place.stage !== stage || place.since !== since) this.#note(journey, place, goalAt, at);
      next = Math.min(next, this.#nextOf(journey, place, at));
    }
    return next;
  }

  #note({ hash, stages }: Journey, { stage, since, goalAt }: JourneyPlace, hadGoalAt: number, at: number): void {
    const amount = stage === LEFT ? LEFT_AMOUNT : (stages[stage] as Stage).hash; // an index of the journey's
    this.#changes.change(STANDING.stage, hash, true, since, amount, at);
    if (Number.isNaN(goalAt) && !Number.isNaN(hadGoalAt)) this.#changes.change(STANDING.goal, hash, false, at, 0, at);
    else if (goalAt !== hadGoalAt && !Number.isNaN(goalAt))
      this.#changes.change(STANDING.goal, hash, true, goalAt, 0, at);
  }

  #end(hash: number, now: number): void {
    this.#changes.change(STANDING.stage, hash, false, now, 0, now);
    this.#changes.change(STANDING.goal, hash, false, now, 0, now);
  }

  #nextOf({ stages, entry, exit, againMillis }: Journey, { stage, since }: JourneyPlace, at: number): number {
    if (stage === OUTSIDE) return this.#time.nextOf(entry.dependsOn, at);
    if (stage === LEFT) {
      const againAt = since + againMillis;
      return againAt > at ? againAt : this.#time.nextOf(entry.dependsOn, at);
    }
    const { steps, timer } = stages[stage] as Stage; // an index of the journey's
    let next = exit === null ? Number.POSITIVE_INFINITY : this.#time.nextOf(exit.dependsOn, at);
    for (let i = 0; i < steps.length; i++)
      next = Math.min(next, this.#time.nextOf((steps[i] as StageStep).dependsOn, at)); // i < length
    const over = timer === null ? Number.POSITIVE_INFINITY : since + timer.afterMillis;
    return over > at ? Math.min(next, over) : next;
  }
}
