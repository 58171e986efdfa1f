/**
 * The event counters all rules of a catalog use, each once: the same `count("purchase", "30d")` in a
 * hundred rules is one counter a record keeps. From them follows how long a record must remember the
 * moments of an event, and which one property's number it keeps beside the moment.
 */
import type { EventCounter, EventRetention } from '../../decision/catalog.ts';
import { murmur3Text } from '../../proto/murmur3.ts';

export class CounterRegistry {
  readonly counters: EventCounter[] = [];
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
