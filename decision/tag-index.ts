/**
 * Which tags an event, a trait or time may change, worked out once a catalog: the actors look at these and no others.
 * Each list has the tags below before those above, and with a tag everything above it. Pure data, rebuilt with the
 * catalog; what it trades away is memory, a few bytes a rule and event.
 */
import type { Catalog } from './catalog.ts';
import type { Tag } from './tag.ts';

type TaggedCatalog = Pick<Catalog, 'tags' | 'tagsHash' | 'counters' | 'valueReadings'>;

export class TagIndex {
  readonly tags: readonly Tag[];
  /** Of the catalog; kept with each person, to see that theirs were worked out under it. */
  readonly hash: number;
  readonly all: Uint16Array;
  readonly byTraits: Uint16Array;
  readonly byTime: Uint16Array;
  /** Of them, those that the hour or a date may change, whatever the person did. */
  readonly byClock: Uint16Array;
  /** Those that stay a while once they are held. */
  readonly holding: readonly Tag[];
  readonly #bySubject = new Map<number, Uint16Array>();
  readonly #byEvent = new Map<number, Uint16Array>();

  constructor({ tags, tagsHash, counters, valueReadings }: TaggedCatalog) {
    this.tags = tags;
    this.hash = tagsHash;
    const order = belowFirst(tags);
    this.all = Uint16Array.from(order);
    const listOf = (isTouched: (tag: Tag) => boolean): Uint16Array => {
      const touched = new Set<number>();
      for (const tag of tags) {
        if (!isTouched(tag)) continue;
        for (let above: Tag | undefined = tag; above !== undefined; above = tags[above.parent])
          touched.add(above.index);
      }
      return Uint16Array.from(order.filter((index) => touched.has(index)));
    };
    this.byTraits = listOf(({ dependsOn }) => dependsOn.readsTraits);
    this.byTime = listOf(changesByTime);
    this.byClock = listOf(({ dependsOn }) => dependsOn.readsClock || dependsOn.instants.length > 0);
    this.holding = tags.filter(({ holdForMillis }) => holdForMillis > 0);
    const subjectsOf = ({ dependsOn }: Tag): (number | undefined)[] => [
      ...dependsOn.windows.map(({ counter }) => counters[counter]?.eventHash),
      ...dependsOn.scores.map(({ counter }) => counters[counter]?.eventHash),
      ...dependsOn.silences.map(({ counter }) => counters[counter]?.eventHash),
      ...dependsOn.valueReadings.map((reading) => valueReadings[reading]?.subjectHash),
    ];
    for (const subject of new Set(tags.flatMap(subjectsOf)))
      if (subject !== undefined)
        this.#bySubject.set(
          subject,
          listOf((tag) => subjectsOf(tag).includes(subject)),
        );
    for (const event of new Set(tags.flatMap(({ dependsOn }) => dependsOn.events)))
      this.#byEvent.set(
        event,
        listOf(({ dependsOn }) => dependsOn.events.includes(event)),
      );
  }

  /** Tags that an event of this name may change. */
  byEvent(eventHash: number): Uint16Array {
    return this.#byEvent.get(eventHash) ?? NONE;
  }

  /** Tags that time may change for who has moments of this subject: an event's, or a property's of one. */
  byMoment(subjectHash: number): Uint16Array {
    return this.#bySubject.get(subjectHash) ?? NONE;
  }
}

const NONE = new Uint16Array(0);

function changesByTime({ dependsOn, holdForMillis }: Tag): boolean {
  const { windows, scores, silences, valueReadings, instants, readsClock } = dependsOn;
  if (holdForMillis > 0 || readsClock) return true;
  return windows.length + scores.length + silences.length + valueReadings.length + instants.length > 0;
}

function belowFirst(tags: readonly Tag[]): number[] {
  const order: number[] = [];
  const visit = (tag: Tag): void => {
    for (const child of tag.children) visit(tags[child] as Tag); // an index of the same list
    order.push(tag.index);
  };
  for (const tag of tags) if (tag.parent < 0) visit(tag);
  return order;
}
