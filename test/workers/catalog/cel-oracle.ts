/**
 * The same rules evaluated by cel-js itself, as a second implementation to compare with. Integers go in
 * as BigInt; mixed arithmetic, which CEL leaves undefined and our rules allow, is registered here with
 * the meaning docs/CATALOG.md gives it.
 */
import { Environment, type UnsignedInt } from '@marcbachmann/cel-js/evaluator';
import type { TraitSpec, ValueReading } from '../../../decision/catalog.ts';
import type { CounterRegistry } from '../../../workers/catalog/counter-registry.ts';
import { type DeclaredFeeds, readFeeds } from '../../../workers/catalog/declared-feeds.ts';
import type { ReadNames } from '../../../workers/catalog/rule-reads.ts';
import type { ProfileState } from './profile-scope.ts';

export type Verdict = boolean | 'error';

const CEL_TYPE = {
  integer: 'int',
  number: 'dyn',
  boolean: 'bool',
  string: 'string',
  enum: 'string',
  timeZone: 'string',
} as const;

/** The feeds that rules under test may read, as `readFeeds` gives them: one whose key is `profile.city`, and what is usual. */
const FEEDS: DeclaredFeeds = readFeeds({
  abuse: { usual: {} },
  feeds: {
    weather: {
      key: 'profile.city',
      ttl: '1h',
      fields: { temperature: { type: 'number' }, rain: { type: 'boolean' }, sky: { type: 'text' } },
    },
  },
});

/** Keys of the tags that rules under test may name. */
export const TAGS: readonly string[] = ['loyal', 'silent'];
/** And the journeys with their stages. */
export const JOURNEYS: ReadonlyMap<string, readonly string[]> = new Map([
  ['life', ['aware', 'customer']],
  ['trial', ['begun']],
]);
export const PURPOSES: readonly string[] = ['personalisation', 'contact.push'];
export const NAMES = { tags: TAGS, journeys: JOURNEYS, feeds: FEEDS, purposes: PURPOSES };
/** The same as `compileRule` takes them. */
export function readNamesOf({ counters, valueReadings }: CounterRegistry): ReadNames {
  return { counters, valueReadings, tags: TAGS, journeys: [...JOURNEYS.keys()], feeds: [...FEEDS.keys()] };
}

type Operand = bigint | number | UnsignedInt;

function plain(value: Operand): number {
  return Number(typeof value === 'object' ? value.value : value);
}

const OPERATORS: Readonly<Record<string, (left: Operand, right: Operand) => number>> = {
  '+': (left, right) => plain(left) + plain(right),
  '-': (left, right) => plain(left) - plain(right),
  '*': (left, right) => plain(left) * plain(right),
  '/': (left, right) => plain(left) / plain(right),
  '%': (left, right) => plain(left) % plain(right),
};

export class CelOracle {
  readonly #specs: readonly TraitSpec[];
  readonly #environment: Environment;
  #state: ProfileState = {};

  constructor(specs: readonly TraitSpec[]) {
    this.#specs = specs;
    const schema = Object.fromEntries(specs.map((spec) => [spec.name, CEL_TYPE[spec.type]]));
    this.#environment = new Environment({ homogeneousAggregateLiterals: false })
      .registerVariable({ name: 'profile', schema })
      .registerVariable('context', 'map')
      .registerVariable({ name: 'now', schema: { hour: 'int', weekday: 'int' } })
      .registerFunction('count(string, string): int', (event: string) =>
        BigInt(this.#state.events?.[event]?.count ?? 0),
      )
      .registerFunction('sum(string, string, string): dyn', (event: string) => this.#state.events?.[event]?.sum ?? 0)
      .registerFunction(
        'lastSeen(string): dyn',
        (event: string) => this.#state.events?.[event]?.lastSeenSeconds ?? 1e12,
      );
    this.#environment
      .registerFunction('countWhere(string, string, string, string): int', () => this.#reading('count'))
      .registerFunction('distinct(string, string, string): int', () => this.#reading('distinct'))
      .registerFunction('streak(string, string, int): int', () => this.#reading('streak'))
      .registerFunction('tag(string): bool', (name: string) => this.#tag(name) !== undefined)
      .registerFunction('tagWeight(string): dyn', (name: string) => this.#tag(name) ?? 0)
      .registerFunction('stage(string, string): bool', (journey: string, stage: string) => this.#isIn(journey, stage))
      .registerFunction('consent(string): bool', (name: string) => this.#state.allowed?.includes(name) ?? false)
      .registerFunction('feed(string, string): dyn', (_: string, field: string) => this.#feed(field, this.#city()))
      .registerFunction('feed(string, string, dyn): dyn', (_: string, field: string, key: unknown) =>
        this.#feed(field, key),
      )
      .registerFunction('unusual(string, string): double', (event: string) => this.#unusual(event))
      .registerFunction('hasFeed(string, string): bool', (_: string, field: string) => this.#knows(field, this.#city()))
      .registerFunction('hasFeed(string, string, dyn): bool', (_: string, field: string, key: unknown) =>
        this.#knows(field, key),
      );
    for (const [left, right] of [
      ['int', 'double'],
      ['double', 'int'],
    ]) {
      for (const [operator, handler] of Object.entries(OPERATORS)) {
        this.#environment.registerOperator(`${left} ${operator} ${right}: double`, handler);
      }
    }
    this.#environment.registerOperator('double % double: double', OPERATORS['%'] as never); // present above; the library types handlers loosely
    this.#environment.registerOperator('int == double: bool', (left: bigint, right: number) => Number(left) === right);
  }

  #reading(read: ValueReading['read']): bigint {
    return BigInt(this.#state.readings?.[read] ?? 0);
  }
  #isIn(journey: string, stage: string): boolean {
    const place = this.#state.stages?.[[...JOURNEYS.keys()].indexOf(journey)];
    return place !== undefined && JOURNEYS.get(journey)?.[place] === stage;
  }
  #tag(name: string): number | undefined {
    return this.#state.tags?.[TAGS.indexOf(name)];
  }

  #city(): unknown {
    return this.#state.traits?.city;
  }
  /** What is not known is an error of CEL. */
  #feed(field: string, key: unknown): unknown {
    const place = FEEDS.get('weather')?.fields.findIndex(({ name }) => name === field) ?? -1;
    const value = typeof key === 'string' ? this.#state.feed?.get(key)?.[place] : undefined;
    if (value === undefined) throw new Error(`${field} is not known`);
    return value;
  }
  /** Of a window of 7 days, as the rules under test ask. */
  #unusual(event: string): number {
    const [middle, deviation] = this.#state.feed?.get(`${event} 604800 s`) ?? [];
    if (typeof middle !== 'number' || typeof deviation !== 'number') throw new Error('what is usual is not known');
    return (Math.log(1 + (this.#state.events?.[event]?.count ?? 0)) - middle) / deviation;
  }
  #knows(field: string, key: unknown): boolean {
    try {
      return this.#feed(field, key) !== undefined;
    } catch {
      return false;
    }
  }

  evaluate(source: string, state: ProfileState): Verdict {
    this.#state = state;
    const profile: Record<string, unknown> = {};
    for (const { name, type } of this.#specs) {
      const value = state.traits?.[name];
      if (value !== undefined) profile[name] = type === 'integer' ? BigInt(value as number) : value; // integer traits hold integers
    }
    const now = { hour: BigInt(state.hour ?? 12), weekday: BigInt(state.weekday ?? 0) };
    try {
      const result: unknown = this.#environment.evaluate(source, { profile, now, context: state.context ?? new Map() });
      return typeof result === 'boolean' ? result : 'error';
    } catch {
      return 'error'; // CEL's third value; the comparison tells whether it was expected
    }
  }
}
