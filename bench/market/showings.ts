/**
 * What each person was shown lately: offers wear out, and people tire. Showings fade by half in a week. The state is a
 * policy's own, made by what it showed; what a choice was worth is judged in that state.
 */
import { exponential } from '../../decision/normal.ts';
import type { Visit } from './visits.ts';
import { DAY_HOURS, FATIGUE_HALF_LIFE_DAYS, type World } from './world.ts';

export class Showings {
  readonly #world: World;
  /** Person x offer, as of the person's last showing. */
  readonly #wear: Float64Array;
  readonly #lastDay: Float64Array;
  /** Whose wear has been faded to which day. */
  readonly #fatigue: Float64Array;

  constructor(world: World) {
    this.#world = world;
    const { people, actions } = world.options;
    this.#wear = new Float64Array(people * actions);
    this.#lastDay = new Float64Array(people);
    this.#fatigue = new Float64Array(people);
  }

  responseProbability({ person, day, hourOfWeek, product }: Visit, action: number): number {
    const faded = this.#fadedBy(person, day);
    const wear = faded * (this.#wear[person * this.#world.options.actions + action] as number); // in range
    const fatigue = faded * (this.#fatigue[person] as number); // in range
    return this.#world.responseProbability(person, action, day, hourOfWeek % DAY_HOURS, product, wear, fatigue);
  }

  /** Minor units. */
  expectedValue(visit: Visit, action: number): number {
    return this.responseProbability(visit, action) * (this.#world.offers[action]?.valueMinor ?? 0);
  }

  add({ person, day }: Visit, action: number): void {
    const { actions } = this.#world.options;
    const faded = this.#fadedBy(person, day);
    for (let at = person * actions; at < (person + 1) * actions; at++) {
      this.#wear[at] = (this.#wear[at] as number) * faded; // in range
    }
    const own = person * actions + action;
    this.#wear[own] = (this.#wear[own] as number) + 1; // in range
    this.#fatigue[person] = (this.#fatigue[person] as number) * faded + 1; // in range
    this.#lastDay[person] = day;
  }

  #fadedBy(person: number, day: number): number {
    const days = day - (this.#lastDay[person] as number); // in range
    return exponential((-Math.LN2 * days) / FATIGUE_HALF_LIFE_DAYS);
  }
}
