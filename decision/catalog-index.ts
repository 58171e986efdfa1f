/**
 * What the hot path looks up in a catalog, worked out once when the catalog is loaded: which actions a
 * slot can show, where each action's caps stand in one flat list, and how long a record must remember
 * what. Pure data about one catalog version; rebuilt with it.
 */
import { type Action, type Cap, type Catalog, MOMENT, VALUE_MOMENT, type ValueReading } from './catalog.ts';
import { EligibilityIndex, setBit } from './eligibility-index.ts';
import { JourneyIndex } from './journey-index.ts';
import { TagIndex } from './tag-index.ts';

const DAY_MILLIS = 86_400_000;
/** An offer older than this is charged less than a thousandth: its moment is not kept for it. */
export const FATIGUE_HALF_LIVES = 10;

export class CatalogIndex {
  readonly catalog: Catalog;
  /** `capStart[a]` to `capStart[a + 1]` are the positions of action a's caps in `caps`; channels' follow. */
  readonly caps: readonly Cap[];
  readonly capStart: Int32Array;
  readonly channelCapStart: Int32Array;
  /** Action indices that a slot can show, in catalog order; the last entry is for "no slot". */
  readonly candidatesBySlot: readonly Uint16Array[];
  /** The same as bitmaps; and the actions that each channel may carry. */
  readonly candidateBitsBySlot: readonly Uint32Array[];
  readonly bitsByChannel: readonly Uint32Array[];
  readonly eligibility: EligibilityIndex;
  /** By action: a number of its category from 1, 0 for none. */
  readonly categoryOf: Int32Array;
  /** Whether anything is charged for earlier offers, see `fatigue.ts`. */
  readonly hasFatigue: boolean;
  /** Names that callers may not leave in the journal: those of sensitive traits. */
  readonly sensitiveNames: readonly string[];
  /** `catalog.counters` indices by event hash. */
  readonly countersByEvent: ReadonlyMap<number, readonly number[]>;
  /** By event hash, one a property: the values that some rule reads, with the longest window. */
  readonly valuesByEvent: ReadonlyMap<number, readonly ValueReading[]>;
  readonly tags: TagIndex;
  readonly journeys: JourneyIndex;
  readonly #valueRetention = new Map<number, number>();
  readonly #retention = new Map<number, Float64Array>();
  readonly #retentionMax = new Float64Array(8);
  /** Bit k set: moments of kind k about this action are worth keeping. */
  readonly #keptKinds = new Map<number, number>();

  constructor(catalog: Catalog) {
    this.catalog = catalog;
    this.sensitiveNames = catalog.traits.filter(({ isSensitive }) => isSensitive).map(({ name }) => name);
    const caps: Cap[] = [];
    this.capStart = new Int32Array(catalog.actions.length + 1);
    for (const action of catalog.actions) {
      this.capStart[action.index] = caps.length;
      caps.push(...action.caps);
    }
    this.capStart[catalog.actions.length] = caps.length;
    this.channelCapStart = new Int32Array(catalog.channels.length + 1);
    for (const channel of catalog.channels) {
      this.channelCapStart[channel.index] = caps.length;
      caps.push(...channel.caps);
    }
    this.channelCapStart[catalog.channels.length] = caps.length;
    this.caps = caps;
    this.candidatesBySlot = [
      ...catalog.slots.map((slot) =>
        indices(
          catalog.actions.filter(
            (action) =>
              (action.slots.length === 0 || action.slots.includes(slot.index)) &&
              action.channels.some((channel) => slot.channels.includes(channel)),
          ),
        ),
      ),
      indices(catalog.actions),
    ];
    this.eligibility = new EligibilityIndex(catalog.actions);
    const { words } = this.eligibility;
    this.candidateBitsBySlot = this.candidatesBySlot.map((list) => bitmap(list, words));
    this.bitsByChannel = catalog.channels.map(({ index }) =>
      bitmap(indices(catalog.actions.filter(({ channels }) => channels.includes(index))), words),
    );
    const counters = new Map<number, number[]>();
    for (const counter of catalog.counters) {
      const list = counters.get(counter.eventHash) ?? [];
      list.push(counter.index);
      counters.set(counter.eventHash, list);
    }
    this.countersByEvent = counters;
    const values = new Map<number, ValueReading[]>();
    for (const reading of catalog.valueReadings) {
      const { eventHash, subjectHash, windowMillis } = reading;
      const list = values.get(eventHash) ?? [];
      if (!this.#valueRetention.has(subjectHash)) list.push(reading);
      values.set(eventHash, list);
      this.#valueRetention.set(subjectHash, Math.max(windowMillis, this.valueRetentionMillis(subjectHash)));
    }
    this.valuesByEvent = values;
    this.tags = new TagIndex(catalog);
    this.journeys = new JourneyIndex(catalog);
    const categories = [...new Set(catalog.actions.map(({ categoryHash }) => categoryHash))].filter(
      (hash) => hash !== 0,
    );
    this.categoryOf = Int32Array.from(catalog.actions, ({ categoryHash }) => 1 + categories.indexOf(categoryHash));
    this.hasFatigue =
      catalog.decision.diversity !== null ||
      catalog.actions.some(({ fatigue }) => fatigue !== null) ||
      catalog.channels.some(({ fatigue }) => fatigue !== null);
    for (const action of catalog.actions) this.#addRetention(action);
  }

  candidates(slot: number): Uint16Array {
    return this.candidatesBySlot[slot < 0 ? this.candidatesBySlot.length - 1 : slot] as Uint16Array;
  }

  candidateBits(slot: number): Uint32Array {
    return this.candidateBitsBySlot[slot < 0 ? this.candidateBitsBySlot.length - 1 : slot] as Uint32Array;
  }

  /** Whether a cap or a charge of the action, its category or one of its channels counts this kind of moment. */
  keeps(kind: number, actionHash: number): boolean {
    return ((this.#keptKinds.get(actionHash) ?? 0) & (1 << kind)) !== 0;
  }

  /**
   * How long older moments of an event still count, the newest apart: a rule that asks when it was last
   * seen needs the newest for ever, but only that one.
   */
  eventWindowMillis(eventHash: number): number {
    let window = 0;
    for (const counter of this.countersByEvent.get(eventHash) ?? []) {
      const { windowMillis } = this.catalog.counters[counter] ?? { windowMillis: 0 };
      if (Number.isFinite(windowMillis)) window = Math.max(window, windowMillis);
    }
    return window;
  }

  /** How long a value of an event's property is of use. @param subjectHash of event and property */
  valueRetentionMillis(subjectHash: number): number {
    return this.#valueRetention.get(subjectHash) ?? 0;
  }

  /** A bound function, so that records can be handed it without a closure a call. */
  readonly retentionMillis = (kind: number, subjectHash: number): number => {
    if (kind === VALUE_MOMENT) return this.valueRetentionMillis(subjectHash);
    // Standing refusals (a kind that no cap counts) do not age.
    if (kind > MOMENT.contact) return Number.POSITIVE_INFINITY;
    if (kind === MOMENT.event) return this.catalog.retentions.get(subjectHash)?.windowMillis ?? 30 * DAY_MILLIS;
    return this.#retention.get(subjectHash)?.[kind] ?? (this.#retentionMax[kind] as number);
  };

  #addRetention(action: Action): void {
    const windows = new Float64Array(8);
    let kept = 0;
    const channelCaps = action.channels.flatMap((channel) => this.catalog.channels[channel]?.caps ?? []);
    for (const cap of [...action.caps, ...channelCaps]) {
      kept |= 1 << cap.on;
      windows[cap.on] = Math.max(windows[cap.on] as number, windowMillis(cap));
      this.#retentionMax[cap.on] = Math.max(this.#retentionMax[cap.on] as number, windowMillis(cap));
    }
    const { diversity } = this.catalog.decision;
    const charges = [action.fatigue, ...action.channels.map((channel) => this.catalog.channels[channel]?.fatigue)];
    if (action.categoryHash !== 0) charges.push(diversity);
    for (const fatigue of charges) {
      if (fatigue === null || fatigue === undefined) continue;
      const window = FATIGUE_HALF_LIVES * fatigue.halfLifeMillis;
      kept |= 1 << MOMENT.decision;
      windows[MOMENT.decision] = Math.max(windows[MOMENT.decision] as number, window);
      this.#retentionMax[MOMENT.decision] = Math.max(this.#retentionMax[MOMENT.decision] as number, window);
    }
    this.#retention.set(action.hash, windows);
    this.#keptKinds.set(action.hash, kept);
  }
}

function indices(actions: readonly Action[]): Uint16Array {
  return Uint16Array.from(actions, (action) => action.index);
}

function bitmap(actions: Uint16Array, words: number): Uint32Array {
  const bits = new Uint32Array(words);
  for (const action of actions) setBit(bits, action);
  return bits;
}

/** Longest time a moment can count towards the cap; local days and weeks get an hour's grace for DST. */
export function windowMillis(cap: Cap): number {
  if (cap.period.kind === 'rolling') return cap.period.windowMillis;
  return (cap.period.kind === 'day' ? DAY_MILLIS : 7 * DAY_MILLIS) + 3_600_000;
}
