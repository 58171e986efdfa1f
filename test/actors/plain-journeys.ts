/**
 * Journeys the plain way, over the plain tags: at an instant every rule is evaluated from scratch, and a person is moved
 * by the words of the catalog, from key to key.
 */
import type { Journey, Stage } from '../../decision/journey.ts';
import { PlainTags } from './plain-tags.ts';

export interface PlainPlace {
  /** Null: left. */
  readonly stage: string | null;
  readonly since: number;
  readonly goalAt: number | null;
}

export class PlainJourneys extends PlainTags {
  /** Of journeys ever entered. */
  readonly places = new Map<string, PlainPlace>();

  override look(now: number, happened: string | null = null): void {
    super.look(now, happened);
    for (const journey of this.catalog.journeys) this.#move(journey, now, new Set());
  }

  override stageOf(journey: number): number {
    const { key, stages } = this.catalog.journeys[journey] as Journey; // an index of the catalog's own
    const place = this.places.get(key);
    return stages.findIndex((stage) => stage.key === place?.stage);
  }

  #move(journey: Journey, now: number, been: Set<string>): void {
    const place = this.places.get(journey.key);
    const isIn = typeof place?.stage === 'string';
    if (!isIn) {
      const isLate = place !== undefined && now < place.since + journey.againMillis;
      if (isLate || been.size > 0 || !journey.entry.when.evaluate(this)) return;
      this.#enter(journey, journey.stages[0] as Stage, now, null); // one at least
    } else {
      const stage = journey.stages.find(({ key }) => key === place.stage) as Stage; // where the person is
      been.add(stage.key);
      if (journey.exit?.when.evaluate(this) === true) {
        this.#leave(journey, place, now);
        return;
      }
      const [further] = journey.stages
        .filter(({ index, key }) => !been.has(key) && stage.steps.some((s) => s.to === index && s.when.evaluate(this)))
        .reverse();
      const isOver = stage.timer !== null && now >= place.since + stage.timer.afterMillis;
      const timed = isOver ? journey.stages[stage.timer?.to ?? -1] : undefined;
      if (further !== undefined) this.#enter(journey, further, now, place.goalAt);
      else if (timed !== undefined && !been.has(timed.key)) this.#enter(journey, timed, now, place.goalAt);
      else {
        if (isOver && timed === undefined) this.#leave(journey, place, now);
        return;
      }
    }
    this.#move(journey, now, been);
  }

  #enter(journey: Journey, stage: Stage, now: number, goalAt: number | null): void {
    this.places.set(journey.key, { stage: stage.key, since: now, goalAt: goalAt ?? (stage.isGoal ? now : null) });
  }
  #leave({ key }: Journey, { goalAt }: PlainPlace, now: number): void {
    this.places.set(key, { stage: null, since: now, goalAt });
  }
}
