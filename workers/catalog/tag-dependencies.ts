/**
 * What the rule of a tag, or of a journey's stage, depends on: the events and traits that may change it, and how time may. From that its next change
 * by time is known without trying: when the oldest event of a window leaves, when a silence reaches its bound, when the
 * hour or the month turns. What could change at any instant, or needs a request, is refused.
 */
import type { EventCounter, ValueReading } from '../../decision/catalog.ts';
import type { TagDependencies, UsualScore } from '../../decision/tag.ts';
import { type Expression, operandsOf, type RuleProblem } from './rule-syntax.ts';

interface Draft {
  readonly events: Set<number>;
  readsTraits: boolean;
  /** By counter, the least number in its window that matters. */
  readonly windows: Map<number, number>;
  readonly scores: UsualScore[];
  readonly silences: { counter: number; seconds: number }[];
  readonly valueReadings: Set<number>;
  readonly instants: Set<number>;
  readsClock: boolean;
  readonly problems: RuleProblem[];
  readonly owner: RuleOwner;
}

/** Whose rule it is: a stage's may read tags. */
export type RuleOwner = 'tag' | 'stage';

/**
 * @param expression a checked rule, or null for a tag without one
 * @param weight the expression of its weight, or null: only what events and traits change of it counts
 */
export function tagDependencies(
  expression: Expression | null,
  weight: Expression | null,
  counters: readonly EventCounter[],
  readings: readonly ValueReading[],
  owner: RuleOwner = 'tag',
): { readonly dependsOn: TagDependencies; readonly problems: readonly RuleProblem[] } {
  const draft = emptyDraft(owner);
  if (expression !== null) collect(expression, draft, counters, readings);
  const weightDraft = emptyDraft(owner);
  if (weight !== null) collect(weight, weightDraft, counters, readings);
  return {
    dependsOn: {
      events: [...new Set([...draft.events, ...weightDraft.events])],
      readsTraits: draft.readsTraits || weightDraft.readsTraits,
      windows: [...draft.windows].map(([counter, least]) => ({ counter, least })),
      scores: draft.scores,
      silences: draft.silences,
      valueReadings: [...draft.valueReadings],
      instants: [...draft.instants],
      readsClock: draft.readsClock,
    },
    problems: draft.problems,
  };
}

/** What a weight may not read. */
export function weightProblems(expression: Expression): RuleProblem[] {
  const own = unfitFor(expression, 'a weight', 'tag');
  return [...(own === null ? [] : [own]), ...operandsOf(expression).flatMap(weightProblems)];
}

function emptyDraft(owner: RuleOwner): Draft {
  return {
    events: new Set(),
    readsTraits: false,
    windows: new Map(),
    scores: [],
    silences: [],
    valueReadings: new Set(),
    instants: new Set(),
    readsClock: false,
    problems: [],
    owner,
  };
}

function unfitFor(e: Expression, what: string, owner: RuleOwner): RuleProblem | null {
  if (e.op === 'context') return { offset: e.start, reason: `${what} of a ${owner} has no request: no context` };
  if (e.op === 'feed')
    return {
      offset: e.start,
      reason: `${what} of a ${owner} cannot read feeds, which change without the person; use them where an action is chosen`,
    };
  if (e.op === 'consent') {
    const reason = `${what} of a ${owner} cannot read consent: refusing a purpose hides it from who decides anyhow`;
    return { offset: e.start, reason };
  }
  if (e.op === 'stage') return { offset: e.start, reason: `${what} of a ${owner} cannot read stages` };
  if (owner === 'stage') {
    const reason = `${what} of a stage can read tag(…) and no weights, which change at every instant`;
    return e.op === 'tagWeight' ? { offset: e.start, reason } : null;
  }
  if (e.op === 'tag' || e.op === 'tagWeight')
    return { offset: e.start, reason: `${what} of a tag cannot read tags; use parent to build one upon another` };
  return null;
}

function collect(
  e: Expression,
  draft: Draft,
  counters: readonly EventCounter[],
  readings: readonly ValueReading[],
): void {
  if ((e.op === 'order' || e.op === 'equal') && collectBound(e, draft, counters)) return;
  const unfit = unfitFor(e, 'the rule', draft.owner);
  if (unfit !== null) draft.problems.push(unfit);
  if (e.op === 'trait') draft.readsTraits = true;
  if (e.op === 'now' && e.field === 'epochMillis') {
    draft.problems.push({
      offset: e.start,
      reason: `in a ${draft.owner} now.epochMillis can only be compared with a number`,
    });
  } else if (e.op === 'now') {
    draft.readsClock = true;
    draft.readsTraits = true;
  }
  if (e.op === 'counter' && e.read === 'lastSeen') {
    draft.problems.push({
      offset: e.start,
      reason: `in a ${draft.owner} lastSeen(…) can only be compared with a number`,
    });
    draft.events.add(eventOf(counters, e.counter));
  } else if (e.op === 'counter') {
    addWindow(draft, e.counter, 0);
    draft.events.add(eventOf(counters, e.counter));
  }
  if (e.op === 'unusual') {
    addWindow(draft, e.counter, 0);
    draft.events.add(eventOf(counters, e.counter));
  }
  if (e.op === 'values') {
    const reading = readings[e.reading];
    draft.valueReadings.add(e.reading);
    if (reading !== undefined) draft.events.add(reading.eventHash);
    // Its months are those of the person's zone.
    if (reading?.read === 'streak') draft.readsTraits = true;
  }
  for (const operand of operandsOf(e)) collect(operand, draft, counters, readings);
}

/** A comparison of what moves with time with a constant: it changes at one instant. */
function collectBound(
  e: Extract<Expression, { op: 'order' | 'equal' }>,
  draft: Draft,
  counters: readonly EventCounter[],
): boolean {
  const [subject, bound] = e.right.op === 'literal' ? [e.left, e.right] : [e.right, e.left];
  if (bound.op !== 'literal' || typeof bound.value !== 'number') return false;
  if (subject.op === 'counter' && subject.read === 'lastSeen') {
    draft.silences.push({ counter: subject.counter, seconds: bound.value });
    draft.events.add(eventOf(counters, subject.counter));
    return true;
  }
  if (subject.op === 'counter' && subject.read === 'count') {
    addWindow(draft, subject.counter, leastOf(e, subject === e.left, bound.value));
    draft.events.add(eventOf(counters, subject.counter));
    return true;
  }
  if (subject.op === 'unusual') {
    const { counter, feed, key } = subject;
    draft.scores.push({ counter, feed, key, bound: bound.value });
    draft.events.add(eventOf(counters, counter));
    return true;
  }
  if (subject.op === 'now' && subject.field === 'epochMillis') {
    draft.instants.add(bound.value);
    return true;
  }
  return false;
}

/** Below this count one less makes no difference to the comparison: a count only falls with time. */
function leastOf(e: Extract<Expression, { op: 'order' | 'equal' }>, isLeft: boolean, bound: number): number {
  if (e.op === 'equal') return bound;
  const isAtBound = isLeft ? e.operator === '>=' || e.operator === '<' : e.operator === '<=' || e.operator === '>';
  return isAtBound ? Math.ceil(bound) : Math.floor(bound) + 1;
}

function addWindow(draft: Draft, counter: number, least: number): void {
  draft.windows.set(counter, Math.min(least, draft.windows.get(counter) ?? least));
}

function eventOf(counters: readonly EventCounter[], counter: number): number {
  return counters[counter]?.eventHash ?? 0;
}
