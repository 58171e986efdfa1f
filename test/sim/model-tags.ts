/**
 * The tags and stages of one person as the checker understands them: what the journal says they hold, against rules of its own
 * over the events and traits that the journal has. Looked at whenever the person decides or tells about themselves, so
 * what time should have changed by then must have been changed, over crashes, other numbers of workers and timers that
 * came late. Not while the clock is behind what the person has seen: what only a later instant kept may be forgotten.
 */
import { murmur3Text } from '../../proto/murmur3.ts';
import type { EventEntry, StandingEntry } from './journal-entry.ts';

const VIEW = murmur3Text('view', 0);
/** Views older than this count for no rule, the newest apart. */
const MEMORY_MILLIS = 60_000;

interface Known {
  readonly age: number | null;
  /** Instants of views, any order. */
  readonly views: readonly number[];
}
/** The checker's copy of the rules in `sim-catalog.ts`. */
const RULES: readonly { readonly key: string; readonly holds: (known: Known, now: number) => boolean }[] = [
  { key: 'adult', holds: ({ age }) => age !== null && age >= 18 },
  { key: 'alive', holds: ({ views }, now) => views.some((at) => at <= now && at > now - 9_000) },
  { key: 'still', holds: ({ views }, now) => views.length === 0 || (now - Math.max(...views)) / 1000 > 5 },
];

const LIFE = murmur3Text('life', 0);
const VISIT = murmur3Text('visit', 0);
const AWAY = murmur3Text('away', 0);
const HERE = murmur3Text('here', 0);
const BEGUN = murmur3Text('begun', 0);
const OVER = murmur3Text('over', 0);
/** The timer of the stage `begun`. */
const VISIT_MILLIS = 5_000;

interface Place {
  readonly stage: number;
  readonly at: number;
}

export class ModelTags {
  readonly #held = new Set<number>();
  /** By journey. */
  readonly #places = new Map<number, Place>();
  #views: number[] = [];

  takeIn({ eventHash, eventAt, at }: EventEntry): void {
    if (eventHash !== VIEW) return;
    const newest = Math.max(eventAt, ...this.#views);
    this.#views = this.#views.filter((view) => view > at - MEMORY_MILLIS || view === newest);
    this.#views.push(eventAt);
  }

  change({ tags, stages }: StandingEntry): void {
    for (const { journey, ...place } of stages) this.#places.set(journey, place);
    for (const { subject, isSet } of tags) {
      if (isSet) this.#held.add(subject);
      else this.#held.delete(subject);
    }
  }

  /** What another person, who turns out to be the same, held and did. */
  join(other: ModelTags): void {
    for (const tag of other.#held) this.#held.add(tag);
    this.#views.push(...other.#views);
    for (const [journey, place] of other.#places) {
      const own = this.#places.get(journey);
      if (own === undefined || place.at < own.at) this.#places.set(journey, place);
    }
  }

  /** What is wrong at `now`, or null. */
  problem(age: number | null, now: number): string | null {
    for (const { key, holds } of RULES) {
      const isHeld = this.#held.has(murmur3Text(key, 0));
      if (isHeld !== holds({ age, views: this.#views }, now))
        return `"${key}" is ${isHeld ? 'held and should not be' : 'not held and should be'}`;
    }
    return this.#misplaced(now);
  }

  #misplaced(now: number): string | null {
    const isAlive = this.#views.some((at) => at <= now && at > now - 9_000);
    const life = this.#places.get(LIFE)?.stage;
    if (life === HERE && !isAlive) return '"here" is a stage nobody views in for so long';
    if (life === AWAY && isAlive) return '"away" is a stage of nobody who views';
    const visit = this.#places.get(VISIT);
    const isSilent = this.#views.length === 0 || (now - Math.max(...this.#views)) / 1000 > 7;
    if (visit?.stage === OVER && isSilent) return '"over" is a stage of who viewed lately';
    if (visit?.stage !== BEGUN || now < visit.at + VISIT_MILLIS) return null;
    return `"begun" was to be over ${now - visit.at - VISIT_MILLIS} ms ago`;
  }
}
