/** Which journeys an event or a trait may move somebody in, worked out once a catalog. Pure data, rebuilt with it. */
import type { Catalog } from './catalog.ts';
import type { Journey, StageStep } from './journey.ts';

export class JourneyIndex {
  readonly all: readonly Journey[];
  readonly byTraits: readonly Journey[];
  readonly #byEvent = new Map<number, Journey[]>();

  constructor({ journeys }: Pick<Catalog, 'journeys'>) {
    this.all = journeys;
    this.byTraits = journeys.filter((journey) => stepsOf(journey).some(({ dependsOn }) => dependsOn.readsTraits));
    for (const journey of journeys) {
      for (const event of new Set(stepsOf(journey).flatMap(({ dependsOn }) => dependsOn.events))) {
        const list = this.#byEvent.get(event);
        if (list === undefined) this.#byEvent.set(event, [journey]);
        else list.push(journey);
      }
    }
  }

  /** Journeys that an event of this name may move somebody in. */
  byEvent(eventHash: number): readonly Journey[] {
    return this.#byEvent.get(eventHash) ?? NONE;
  }
}

const NONE: readonly Journey[] = [];

function stepsOf({ entry, exit, stages }: Journey): StageStep[] {
  return [entry, ...(exit === null ? [] : [exit]), ...stages.flatMap(({ steps }) => steps)];
}
