/**
 * The event counters all rules of a catalog use, each once: the same `count("purchase", "30d")` in a
 * hundred rules is one counter a record keeps. From them follows how long a record must remember the
 * moments of an event, and which one property's number it keeps beside the moment.
 */
import type { EventCounter, EventRetention, ValueReading } from '../../decision/catalog.ts';
import { murmur3Text } from '../../proto/murmur3.ts';

export class CounterRegistry {
  readonly counters: EventCounter[] = [];
  readonly valueReadings: ValueReading[] = [];
  featureCounters = 0;
  readonly #readingByIdentity = new Map<string, number>();
  readonly #indexByIdentity = new Map<string, number>();
  readonly #propertyByEvent = new Map<string, string>();

  /**
   * Index of the counter, registered now if it is new. A moment has room for one number, so a second
   * summed property of the same event is refused, with the first as the nearest.
   */
  register(
    event: string,
    property: string | null,
    windowMillis: number,
  ): number | { readonly reason: string; readonly nearest?: string } {
    if (property !== null) {
      const kept = this.#propertyByEvent.get(event) ?? property;
      if (kept !== property) {
        const reason = `"${property}" of "${event}" cannot be summed: rules already sum "${kept}" of it, and an event keeps one number`;
        return { reason, nearest: kept };
      }
      this.#propertyByEvent.set(event, property);
    }
    const identity = JSON.stringify([event, property, windowMillis]);
    const known = this.#indexByIdentity.get(identity);
    if (known !== undefined) return known;
    const index = this.counters.length;
    this.counters.push({ index, event, eventHash: murmur3Text(event, 0), property, windowMillis });
    this.#indexByIdentity.set(identity, index);
    return index;
  }

  /** What is registered from now on is no feature of the response model. */
  endFeatures(): void {
    this.featureCounters = this.counters.length;
  }

  /** Index of the reading of a property's values, registered now if it is new. */
  registerValue(reading: Omit<ValueReading, 'index' | 'eventHash' | 'subjectHash'>): number {
    const { read, event, property, windowMillis, valueHash, months } = reading;
    const identity = JSON.stringify([read, event, property, windowMillis, valueHash, months]);
    const known = this.#readingByIdentity.get(identity);
    if (known !== undefined) return known;
    const index = this.valueReadings.length;
    const subjectHash = murmur3Text(`${event}\n${property}`, 0);
    this.valueReadings.push({ ...reading, index, eventHash: murmur3Text(event, 0), subjectHash });
    this.#readingByIdentity.set(identity, index);
    return index;
  }

  /** By event hash: the longest window of its counters, Infinity where a rule asks `lastSeen`. */
  retentions(): ReadonlyMap<number, EventRetention> {
    const retentions = new Map<number, EventRetention>();
    for (const { event, eventHash, windowMillis } of this.counters) {
      const longest = Math.max(windowMillis, retentions.get(eventHash)?.windowMillis ?? 0);
      retentions.set(eventHash, {
        eventHash,
        windowMillis: longest,
        property: this.#propertyByEvent.get(event) ?? null,
      });
    }
    return retentions;
  }
}
