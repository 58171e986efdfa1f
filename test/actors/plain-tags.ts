/**
 * Tags the plain way, to hold the fast one to: everything that ever happened is kept, and at an instant every rule is
 * evaluated from scratch over all of it. No index, no timers, no moments. Months are UTC's, so its people live there.
 */
import type { Catalog, ValueReading } from '../../decision/catalog.ts';
import type { RuleScope } from '../../decision/rule.ts';
import type { Tag } from '../../decision/tag.ts';
import type { Scalar } from '../../proto/messages.ts';
import { textHash } from '../../proto/murmur3.ts';

export interface PlainEvent {
  readonly event: string;
  readonly at: number;
  readonly properties: Readonly<Record<string, Scalar>>;
}

export class PlainTags implements RuleScope {
  readonly events: PlainEvent[] = [];
  readonly traits: Record<string, Scalar> = {};
  /** By key: since when. */
  readonly held = new Map<string, number>();
  readonly #weights = new Map<string, { at: number; amount: number }>();
  catalog: Catalog;
  now = 0;

  constructor(catalog: Catalog) {
    this.catalog = catalog;
  }

  /** What holds at `now`. @param happened the event that has just come, whose weights are worked out anew */
  look(now: number, happened: string | null = null): void {
    this.now = now;
    const wanted = (tag: Tag): boolean => {
      const since = this.held.get(tag.key);
      const isBelow = tag.children.some((child) => wanted(this.#tag(child)));
      const isKept = since !== undefined && tag.holdForMillis > 0 && now < since + tag.holdForMillis;
      return (tag.when?.evaluate(this) ?? false) || isBelow || isKept;
    };
    // All asked before any is changed: whether a tag is kept depends on since when it was held.
    const wants = this.catalog.tags.map(wanted);
    for (const tag of this.catalog.tags) {
      const isHeld = this.held.has(tag.key);
      const isTouched = happened !== null && tag.dependsOn.events.includes(this.#hash(happened));
      if (!wants[tag.index]) this.held.delete(tag.key);
      else if (!isHeld) this.held.set(tag.key, now);
      if (!wants[tag.index]) this.#weights.delete(tag.key);
      else if (!isHeld || (isTouched && tag.when?.evaluate(this) === true))
        this.#weights.set(tag.key, { at: now, amount: tag.weightOf(this) });
    }
  }

  weight(tag: Tag): number {
    const weight = this.#weights.get(tag.key);
    if (weight === undefined) return 0;
    if (tag.halfLifeMillis === Number.POSITIVE_INFINITY) return tag.weightOf(this);
    return weight.amount * 2 ** (-(this.now - weight.at) / tag.halfLifeMillis);
  }

  #tag(index: number): Tag {
    return this.catalog.tags[index] as Tag; // an index of the catalog's own
  }
  #hash(event: string): number {
    const { counters, valueReadings } = this.catalog;
    return [...counters, ...valueReadings].find((counter) => counter.event === event)?.eventHash ?? -1;
  }
  #seen(event: string, windowMillis: number): PlainEvent[] {
    return this.events.filter((e) => e.event === event && e.at <= this.now && e.at > this.now - windowMillis);
  }
  #trait(trait: number): Scalar | undefined {
    return this.traits[this.catalog.traits[trait]?.name ?? ''];
  }

  hasTrait(trait: number): boolean {
    return this.#trait(trait) !== undefined;
  }
  traitNumber(trait: number): number {
    const value = this.#trait(trait);
    return value === undefined ? Number.NaN : Number(value);
  }
  traitHash(trait: number): number {
    return textHash(String(this.#trait(trait)));
  }
  traitText(trait: number): string {
    return String(this.#trait(trait) ?? '');
  }
  counterCount(counter: number): number {
    const { event = '', windowMillis = 0 } = this.catalog.counters[counter] ?? {};
    return this.#seen(event, windowMillis).length;
  }
  counterSum(counter: number): number {
    const { event = '', windowMillis = 0, property = '' } = this.catalog.counters[counter] ?? {};
    return this.#seen(event, windowMillis).reduce((sum, e) => sum + Number(e.properties[property ?? ''] ?? 0), 0);
  }
  counterLastSeenSeconds(counter: number): number {
    const seen = this.#seen(this.catalog.counters[counter]?.event ?? '', Number.POSITIVE_INFINITY);
    return seen.length === 0 ? 1e12 : (this.now - Math.max(...seen.map(({ at }) => at))) / 1000;
  }
  counterOldestLeavesAtEpochMillis(): number {
    return Number.NaN;
  }
  valueReading(index: number): number {
    const reading = this.catalog.valueReadings[index] as ValueReading; // as above
    const { read, event, property, windowMillis, valueHash, months } = reading;
    const values = this.#seen(event, windowMillis).filter(({ properties }) => properties[property] !== undefined);
    const textIn = (e: PlainEvent): string => String(e.properties[property]);
    if (read === 'count') return values.filter((e) => textHash(textIn(e)) === valueHash).length;
    if (read === 'distinct') return new Set(values.map(textIn)).size;
    const monthOf = (at: number): number => 12 * new Date(at).getUTCFullYear() + new Date(at).getUTCMonth();
    let longest = 0;
    for (const value of new Set(values.map(textIn))) {
      const seen = new Set(values.filter((e) => textIn(e) === value).map(({ at }) => monthOf(at)));
      const end = monthOf(this.now) - (seen.has(monthOf(this.now)) ? 0 : 1);
      let run = 0;
      while (run < months && seen.has(end - run)) run++;
      longest = Math.max(longest, run);
    }
    return longest;
  }
  holdsTag(tag: number): boolean {
    return this.held.has(this.#tag(tag).key);
  }
  feedNumber(): number {
    return Number.NaN;
  }
  feedText(): undefined {
    return undefined;
  }
  tagWeight(tag: number): number {
    return this.weight(this.#tag(tag));
  }
  allows(): boolean {
    return true;
  }
  stageOf(_journey: number): number {
    return -1;
  }
  context(): undefined {
    return undefined;
  }
  nowEpochMillis(): number {
    return this.now;
  }
  nowHour(): number {
    return new Date(this.now).getUTCHours();
  }
  nowWeekday(): number {
    return (new Date(this.now).getUTCDay() + 6) % 7;
  }
}
