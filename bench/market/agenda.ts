/**
 * What is to happen in the market, by hour: visits, messages and late outcomes. Within an hour tasks run in the order
 * in which they were put down, each a millisecond after the other, so that time never goes backwards. An idle person
 * costs nothing.
 */
import { HOUR_MILLIS } from './world.ts';

type Task = (nowEpochMillis: number) => void;

export class Agenda {
  readonly #hours: (Task[] | undefined)[];
  readonly #start: number;
  #hour = 0;

  constructor(startEpochMillis: number, hours: number) {
    this.#start = startEpochMillis;
    this.#hours = new Array<Task[] | undefined>(hours);
  }

  /** Puts a task down for the hour that holds an instant, or the hour running now when that is over; beyond the end it is forgotten. */
  at(epochMillis: number, task: Task): void {
    const hour = Math.max(this.#hour, Math.floor((epochMillis - this.#start) / HOUR_MILLIS));
    if (hour >= this.#hours.length) return;
    const tasks = this.#hours[hour];
    if (tasks === undefined) this.#hours[hour] = [task];
    else tasks.push(task);
  }

  run(): void {
    for (; this.#hour < this.#hours.length; this.#hour++) {
      const tasks = this.#hours[this.#hour];
      if (tasks === undefined) continue;
      const hourStart = this.#start + this.#hour * HOUR_MILLIS;
      // A task may put down others for this very hour.
      for (let i = 0; i < tasks.length; i++) tasks[i]?.(hourStart + Math.min(i, HOUR_MILLIS - 1));
      this.#hours[this.#hour] = undefined;
    }
  }
}
