/**
 * The functions by which a rule reads what is remembered of a person (counters of events, values of their properties,
 * tags, stages of journeys), what they allow, and the world (feeds). From a call's tree to an expression, with the counter
 * or reading registered that it needs. The checker of the rest of a rule is `rule-check.ts`, which owns one of these.
 */
import { MEASURED_EVENT_LENGTH_MAX, USUAL_FEED, usualKey } from '../../decision/usual-feed.ts';
import { textHash } from '../../proto/murmur3.ts';
import type { CounterRegistry } from './counter-registry.ts';
import type { DeclaredFeeds } from './declared-feeds.ts';
import { parseDurationMillis } from './durations.ts';
import { nearestMatch } from './nearest-match.ts';
import { type CelNode, type Expression, isTextual, unknown } from './rule-syntax.ts';

export const READING_NAMES = [
  'count',
  'sum',
  'lastSeen',
  'countWhere',
  'distinct',
  'streak',
  'tag',
  'tagWeight',
  'stage',
  'feed',
  'hasFeed',
  'consent',
  'unusual',
] as const;
type ReadingName = (typeof READING_NAMES)[number];

export function isReadingName(name: string): name is ReadingName {
  return (READING_NAMES as readonly string[]).includes(name);
}

const EVENT_LENGTH_MAX = 256;
/** Months that a streak may ask for: a bit each. */
const STREAK_MONTHS_MAX = 24;
const MONTH_MILLIS_MAX = 31 * 86_400_000;

/** What a catalog declares that rules may name. */
export interface RuleNames {
  /** Keys of the tags, in order of their index. */
  readonly tags: readonly string[];
  /** Keys of the stages of each journey, both in order of their index. */
  readonly journeys: ReadonlyMap<string, readonly string[]>;
  readonly feeds: DeclaredFeeds;
  /** Purposes a person may allow or refuse. */
  readonly purposes: readonly string[];
}

/** With the expression of a feed's own key; null where it has none, or a wrong one. */
export interface KnownNames extends RuleNames {
  keyOf(feed: string): Expression | null;
}

type Report = (offset: number, reason: string, nearest?: string) => void;

export class ReadingChecker {
  readonly #counters: CounterRegistry;
  readonly #names: KnownNames;
  readonly #check: (node: CelNode) => Expression;
  readonly #report: Report;

  /** @param check of the rest of a rule */
  constructor(counters: CounterRegistry, names: KnownNames, check: (node: CelNode) => Expression, report: Report) {
    this.#counters = counters;
    this.#names = names;
    this.#check = check;
    this.#report = report;
  }

  check(node: CelNode, name: ReadingName, args: readonly CelNode[]): Expression {
    switch (name) {
      case 'count':
        return this.#counter(node, name, args, ['event', 'window']);
      case 'sum':
        return this.#counter(node, name, args, ['event', 'property', 'window']);
      case 'lastSeen':
        return this.#counter(node, name, args, ['event']);
      case 'countWhere':
        return this.#countWhere(node, args);
      case 'distinct':
        return this.#distinct(node, args);
      case 'streak':
        return this.#streak(node, args);
      case 'stage':
        return this.#stage(node, args);
      case 'consent':
        return this.#consent(node, args);
      case 'unusual':
        return this.#unusual(node, args);
      case 'feed':
        return this.#feed(node, name, args);
      case 'hasFeed': {
        const operand = this.#feed(node, name, args);
        return operand.type === 'unknown'
          ? operand
          : { op: 'has', operand, type: 'boolean', start: node.start, end: node.end };
      }
      default:
        return this.#tag(node, name, args);
    }
  }

  #feed(node: CelNode, name: 'feed' | 'hasFeed', args: readonly CelNode[]): Expression {
    const signature = `${name}(feed, field, key)`;
    if (args.length !== 2 && args.length !== 3)
      return this.#refuse(node, `${signature} takes 3 arguments, or 2 where the feed has a key; got ${args.length}`);
    const texts = this.#texts(node, signature, args.slice(0, 2), ['feed', 'field']);
    const given = args[2] === undefined ? undefined : this.#check(args[2]);
    if (texts === null || given?.type === 'unknown') return unknown(node);
    const [feedName, fieldName] = texts as [string, string]; // as many as asked for
    const feed = this.#names.feeds.get(feedName);
    if (feed === null) return unknown(node);
    const [feedAt, fieldAt] = args.map(({ start }) => start);
    if (feed === undefined) {
      const reason = `${JSON.stringify(feedName)} is not a declared feed`;
      return this.#refuse(node, reason, nearestMatch(feedName, this.#names.feeds.keys()), feedAt);
    }
    const field = feed.fields.findIndex((one) => one.name === fieldName);
    const type = feed.fields[field]?.type;
    if (type === undefined) {
      const reason = `the feed "${feedName}" has no field ${JSON.stringify(fieldName)}`;
      const names = feed.fields.map((one) => one.name);
      return this.#refuse(node, reason, nearestMatch(fieldName, names), fieldAt);
    }
    if (given !== undefined && !isTextual(given.type) && given.type !== 'dynamic')
      return this.#refuse(node, `${signature} needs "key" as text, got ${given.type}`, undefined, given.start);
    if (given === undefined && !feed.hasKey)
      return this.#refuse(node, `the feed "${feedName}" has no key of its own: give one, ${signature}`);
    const key = given ?? this.#names.keyOf(feedName);
    // A wrong key is told where it is declared.
    if (key === null) return unknown(node);
    return { op: 'feed', feed: feed.index, field, key, type, start: node.start, end: node.end };
  }

  #unusual(node: CelNode, args: readonly CelNode[]): Expression {
    const count = this.#counter(node, 'count', args, ['event', 'window'], 'unusual(event, window)');
    const feed = this.#names.feeds.get(USUAL_FEED);
    if (!feed)
      return this.#refuse(node, 'unusual(event, window) needs what is usual to be measured: declare abuse.usual');
    if (count.op !== 'counter') return count;
    const [event, window] = args.map((argument) => String(argument.args)) as [string, string]; // texts, as was checked
    if (event.length > MEASURED_EVENT_LENGTH_MAX)
      return this.#refuse(node, `unusual(…) takes names of events up to ${MEASURED_EVENT_LENGTH_MAX} characters`);
    const key = usualKey(event, parseDurationMillis(window) ?? 0);
    const { counter, start, end } = count;
    return { op: 'unusual', counter, feed: feed.index, key, type: 'number', start, end };
  }

  #refuse(node: CelNode, reason: string, nearest?: string, offset = node.start): Expression {
    this.#report(offset, reason, nearest);
    return unknown(node);
  }

  #tag(node: CelNode, op: 'tag' | 'tagWeight', args: readonly CelNode[]): Expression {
    const texts = this.#texts(node, `${op}(name)`, args, ['name']);
    if (texts === null) return unknown(node);
    const name = texts[0] as string; // as many as asked for
    const tag = this.#names.tags.indexOf(name);
    const reason = `${JSON.stringify(name)} is not a declared tag`;
    if (tag < 0) return this.#refuse(node, reason, nearestMatch(name, this.#names.tags), args[0]?.start ?? node.start);
    return { op, tag, type: op === 'tag' ? 'boolean' : 'number', start: node.start, end: node.end };
  }

  #consent(node: CelNode, args: readonly CelNode[]): Expression {
    const texts = this.#texts(node, 'consent(purpose)', args, ['purpose']);
    if (texts === null) return unknown(node);
    const purpose = texts[0] as string; // as many as asked for
    const { purposes } = this.#names;
    const reason = `${JSON.stringify(purpose)} is no purpose`;
    if (!purposes.includes(purpose))
      return this.#refuse(node, reason, nearestMatch(purpose, purposes), args[0]?.start ?? node.start);
    return { op: 'consent', purpose, type: 'boolean', start: node.start, end: node.end };
  }

  #stage(node: CelNode, args: readonly CelNode[]): Expression {
    const texts = this.#texts(node, 'stage(journey, stage)', args, ['journey', 'stage']);
    if (texts === null) return unknown(node);
    const [journey, stage] = texts as [string, string]; // as many as asked for
    const keys = [...this.#names.journeys.keys()];
    const stages = this.#names.journeys.get(journey);
    if (stages === undefined) {
      const reason = `${JSON.stringify(journey)} is not a declared journey`;
      return this.#refuse(node, reason, nearestMatch(journey, keys), args[0]?.start ?? node.start);
    }
    if (!stages.includes(stage)) {
      const reason = `${JSON.stringify(stage)} is not a stage of the journey ${JSON.stringify(journey)}`;
      return this.#refuse(node, reason, nearestMatch(stage, stages), args[1]?.start ?? node.start);
    }
    const places = { journey: keys.indexOf(journey), stage: stages.indexOf(stage) };
    return { op: 'stage', ...places, type: 'boolean', start: node.start, end: node.end };
  }

  #countWhere(node: CelNode, args: readonly CelNode[]): Expression {
    const signature = 'countWhere(event, property, value, window)';
    const texts = this.#texts(node, signature, args, ['event', 'property', 'value', 'window']);
    if (texts === null) return unknown(node);
    const [event, property, value, window] = texts as [string, string, string, string]; // as many as asked for
    const windowMillis = this.#window(node, window, args[3]);
    if (windowMillis === null) return unknown(node);
    return this.#values(node, { read: 'count', event, property, windowMillis, valueHash: textHash(value), months: 0 });
  }

  #distinct(node: CelNode, args: readonly CelNode[]): Expression {
    const texts = this.#texts(node, 'distinct(event, property, window)', args, ['event', 'property', 'window']);
    if (texts === null) return unknown(node);
    const [event, property, window] = texts as [string, string, string]; // as many as asked for
    const windowMillis = this.#window(node, window, args[2]);
    if (windowMillis === null) return unknown(node);
    return this.#values(node, { read: 'distinct', event, property, windowMillis, valueHash: Number.NaN, months: 0 });
  }

  #streak(node: CelNode, args: readonly CelNode[]): Expression {
    const signature = 'streak(event, property, months)';
    if (args.length !== 3) return this.#refuse(node, `${signature} takes 3 arguments, got ${args.length}`);
    const texts = this.#texts(node, signature, args.slice(0, 2), ['event', 'property']);
    const last = args[2] as CelNode; // three of them
    const months = last.op === 'value' && typeof last.args === 'bigint' ? Number(last.args) : Number.NaN;
    if (!(months >= 1 && months <= STREAK_MONTHS_MAX)) {
      const reason = `${signature} needs "months" as a whole number from 1 to ${STREAK_MONTHS_MAX}`;
      return this.#refuse(node, reason, undefined, last.start);
    }
    if (texts === null) return unknown(node);
    const [event, property] = texts as [string, string]; // as many as asked for
    // The months in question, the one under way, and a day for zones.
    const windowMillis = (months + 1) * MONTH_MILLIS_MAX + 86_400_000;
    return this.#values(node, { read: 'streak', event, property, windowMillis, valueHash: Number.NaN, months });
  }

  #values(node: CelNode, reading: Parameters<CounterRegistry['registerValue']>[0]): Expression {
    const index = this.#counters.registerValue(reading);
    return { op: 'values', reading: index, type: 'integer', start: node.start, end: node.end };
  }

  /** The arguments as texts; null when they are not, which has been reported. */
  #texts(node: CelNode, signature: string, args: readonly CelNode[], names: readonly string[]): string[] | null {
    if (args.length !== names.length) {
      this.#report(node.start, `${signature} takes ${names.length} arguments, got ${args.length}`);
      return null;
    }
    const texts: string[] = [];
    for (const [index, argument] of args.entries()) {
      const text = argument.op === 'value' ? argument.args : undefined;
      if (typeof text !== 'string' || text === '' || text.length > EVENT_LENGTH_MAX) {
        const reason = `${signature} needs "${names[index]}" as quoted text of 1 to ${EVENT_LENGTH_MAX} characters`;
        this.#report(argument.start, reason);
      } else texts.push(text);
    }
    return texts.length === names.length ? texts : null;
  }

  #window(node: CelNode, window: string, argument: CelNode | undefined): number | null {
    const millis = parseDurationMillis(window);
    if (millis === null) this.#report(argument?.start ?? node.start, badDuration(window));
    return millis;
  }

  #counter(
    node: CelNode,
    read: 'count' | 'sum' | 'lastSeen',
    args: readonly CelNode[],
    names: readonly string[],
    signature = `${read}(${names.join(', ')})`,
  ): Expression {
    const texts = this.#texts(node, signature, args, names);
    if (texts === null) return unknown(node);
    const [event, second, third] = texts as [string, ...string[]]; // as many as asked for, which is one at least
    const property = read === 'sum' ? (second ?? null) : null;
    const window = read === 'sum' ? third : second;
    const windowMillis = window === undefined ? Number.POSITIVE_INFINITY : parseDurationMillis(window);
    if (windowMillis === null) {
      const at = args[args.length - 1]?.start ?? node.start;
      return this.#refuse(node, badDuration(String(window)), undefined, at);
    }
    const counter = this.#counters.register(event, property, windowMillis);
    if (typeof counter === 'object') {
      return this.#refuse(node, counter.reason, counter.nearest, args[1]?.start ?? node.start);
    }
    return {
      op: 'counter',
      read,
      counter,
      type: read === 'count' ? 'integer' : 'number',
      start: node.start,
      end: node.end,
    };
  }
}

function badDuration(window: string): string {
  return `${JSON.stringify(window)} is not a duration such as 90s, 15m, 24h, 7d or 8w (at most ten years)`;
}
