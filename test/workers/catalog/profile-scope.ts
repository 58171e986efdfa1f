/**
 * A profile held in plain maps, for rules under test: what is not set is absent. Traits are given by
 * name and text as a person would, and seen through the same hashes and indices as a real record.
 */
import type { EventCounter, TraitSpec, ValueReading } from '../../../decision/catalog.ts';
import type { RuleScope } from '../../../decision/rule.ts';
import type { Scalar } from '../../../proto/messages.ts';
import { murmur3Text, textHash } from '../../../proto/murmur3.ts';

export interface CounterState {
  readonly count?: number;
  readonly sum?: number;
  readonly lastSeenSeconds?: number;
  readonly oldestLeavesAtEpochMillis?: number;
}

export interface ProfileState {
  readonly traits?: Readonly<Record<string, Scalar | undefined>>;
  readonly context?: ReadonlyMap<string, Scalar>;
  /** By event name. */
  readonly events?: Readonly<Record<string, CounterState>>;
  /** Answers about values by what is asked, whichever the event. */
  readonly readings?: Readonly<Record<ValueReading['read'], number>>;
  /** Weights of the tags held, by index. */
  readonly tags?: Readonly<Record<number, number>>;
  /** Rows of the only feed, by key; its values by field, in the order of the fields. */
  readonly feed?: ReadonlyMap<string, readonly (Scalar | undefined)[]>;
  /** Names of purposes. */
  readonly allowed?: readonly string[];
  /** Indices of the stages, by journey. */
  readonly stages?: readonly number[];
  readonly nowEpochMillis?: number;
  readonly hour?: number;
  readonly weekday?: number;
}

export class ProfileScope implements RuleScope {
  readonly #specs: readonly TraitSpec[];
  readonly #counters: readonly EventCounter[];
  readonly #state: ProfileState;
  readonly #readings: readonly ValueReading[];

  constructor(
    specs: readonly TraitSpec[],
    counters: readonly EventCounter[],
    state: ProfileState,
    readings: readonly ValueReading[] = [],
  ) {
    this.#readings = readings;
    this.#specs = specs;
    this.#counters = counters;
    this.#state = state;
  }

  #spec(trait: number): TraitSpec {
    const spec = this.#specs[trait];
    if (spec === undefined) throw new Error(`trait ${trait} does not exist`);
    return spec;
  }

  #value(trait: number): Scalar | undefined {
    return this.#state.traits?.[this.#spec(trait).name];
  }

  #event(counter: number): CounterState {
    const spec = this.#counters[counter];
    if (spec === undefined) throw new Error(`counter ${counter} does not exist`);
    return this.#state.events?.[spec.event] ?? {};
  }

  hasTrait(trait: number): boolean {
    return this.#value(trait) !== undefined;
  }
  traitNumber(trait: number): number {
    const value = this.#value(trait);
    if (this.#spec(trait).type === 'enum' && typeof value === 'string') return this.#spec(trait).values.indexOf(value);
    return typeof value === 'number' ? value : typeof value === 'boolean' ? Number(value) : Number.NaN;
  }
  traitHash(trait: number): number {
    const value = this.#value(trait);
    return typeof value === 'string' ? textHash(value) : Number.NaN;
  }
  traitText(trait: number): string {
    const value = this.#value(trait);
    return typeof value === 'string' ? value : '';
  }
  counterCount(counter: number): number {
    return this.#event(counter).count ?? 0;
  }
  counterSum(counter: number): number {
    return this.#event(counter).sum ?? 0;
  }
  counterLastSeenSeconds(counter: number): number {
    return this.#event(counter).lastSeenSeconds ?? 1e12;
  }
  counterOldestLeavesAtEpochMillis(counter: number): number {
    return this.#event(counter).oldestLeavesAtEpochMillis ?? Number.NaN;
  }
  valueReading(reading: number): number {
    const spec = this.#readings[reading];
    if (spec === undefined) throw new Error(`value reading ${reading} does not exist`);
    return this.#state.readings?.[spec.read] ?? 0;
  }
  holdsTag(tag: number): boolean {
    return this.#state.tags?.[tag] !== undefined;
  }
  tagWeight(tag: number): number {
    return this.#state.tags?.[tag] ?? 0;
  }
  feedNumber(_: number, field: number, key: string | undefined): number {
    const value = this.#feedValue(field, key);
    return typeof value === 'number' || typeof value === 'boolean' ? Number(value) : Number.NaN;
  }
  feedText(_: number, field: number, key: string | undefined): string | undefined {
    const value = this.#feedValue(field, key);
    return typeof value === 'string' ? value : undefined;
  }
  #feedValue(field: number, key: string | undefined): Scalar | undefined {
    return key === undefined ? undefined : this.#state.feed?.get(key)?.[field];
  }
  allows(purpose: string): boolean {
    return this.#state.allowed?.includes(purpose) ?? false;
  }
  stageOf(journey: number): number {
    return this.#state.stages?.[journey] ?? -1;
  }
  context(key: string): Scalar | undefined {
    return this.#state.context?.get(key);
  }
  nowEpochMillis(): number {
    return this.#state.nowEpochMillis ?? Date.UTC(2026, 0, 5, 12);
  }
  nowHour(): number {
    return this.#state.hour ?? 12;
  }
  nowWeekday(): number {
    return this.#state.weekday ?? 0;
  }
}

/** A trait declaration with everything optional left out. */
export function traitSpecs(
  declared: Readonly<Record<string, Partial<TraitSpec> & Pick<TraitSpec, 'type'>>>,
): TraitSpec[] {
  return Object.entries(declared).map(([name, spec], index) => ({
    index,
    name,
    hash: murmur3Text(name, 0),
    min: null,
    max: null,
    values: [],
    unit: null,
    isProtected: false,
    isSensitive: false,
    isFact: false,
    ...spec,
  }));
}
