/**
 * The journeys of a checked catalog as the actors see them: rules as functions, ways between stages as indices, factors
 * of worth by action and by channel.
 */
import type { Action, Channel, EventCounter, ValueReading } from '../../decision/catalog.ts';
import { type Journey, LEFT, type Stage, type StageStep } from '../../decision/journey.ts';
import type { Rule } from '../../decision/rule.ts';
import type { Tag, TagDependencies } from '../../decision/tag.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import type { CatalogFile, JourneyFile, StageFile } from './catalog-schema.ts';
import { parseDurationMillis } from './durations.ts';
import { type Expression, operandsOf } from './rule-syntax.ts';
import { tagDependencies } from './tag-dependencies.ts';

/** Where a timer leads that ends the journey. */
export const EXIT = 'exit';
/** The way into a first stage without a rule. */
const EVERYBODY: Rule = { source: 'true', reads: [], clauses: [], evaluate: () => true };

export interface JourneyParts {
  readonly file: CatalogFile;
  readonly rules: ReadonlyMap<string, Expression>;
  readonly counters: readonly EventCounter[];
  readonly valueReadings: readonly ValueReading[];
  readonly tags: readonly Tag[];
  readonly actions: readonly Action[];
  readonly channels: readonly Channel[];
  ruleOf(text: string): Rule;
}

export function compileJourneys(parts: JourneyParts): Journey[] {
  return Object.entries(parts.file.journeys ?? {}).map(([key, journey], index) =>
    compileJourney(key, journey, index, parts),
  );
}

function compileJourney(key: string, journey: JourneyFile, index: number, parts: JourneyParts): Journey {
  const declared = Object.entries(journey.stages);
  const keys = declared.map(([stage]) => stage);
  const stepTo = (to: number, rule: string): StageStep => compileStep(to, rule, parts);
  const steps = declared.map(([, { when }], to) => (when === undefined ? null : stepTo(to, when)));
  return {
    index,
    key,
    hash: murmur3Text(key, 0),
    stages: declared.map(([stage, file], at) => ({
      ...compileStage(stage, file, at, keys, parts),
      steps: steps.filter((step) => step !== null && leadsFrom(at, step.to, declared)).reverse() as StageStep[], // none is null
    })),
    entry: steps[0] ?? { to: 0, when: EVERYBODY, dependsOn: tagDependencies(null, null, [], []).dependsOn },
    exit: journey.exit === undefined ? null : stepTo(LEFT, journey.exit),
    againMillis: millisOf(journey.again),
  };
}

/** Into a stage one comes from those it names, else from every one before it. */
function leadsFrom(from: number, to: number, declared: readonly (readonly [string, StageFile])[]): boolean {
  const names = declared[to]?.[1].from;
  return names === undefined ? from < to : names.includes(declared[from]?.[0] ?? '');
}

function compileStage(
  key: string,
  { timer, goal = false, weights }: StageFile,
  index: number,
  keys: readonly string[],
  { actions, channels }: JourneyParts,
): Omit<Stage, 'steps'> {
  const to = timer?.to === EXIT ? LEFT : keys.indexOf(timer?.to ?? '');
  return {
    index,
    key,
    hash: murmur3Text(key, 0),
    timer: timer === undefined ? null : { afterMillis: millisOf(timer.after), to },
    isGoal: goal,
    actionWeights: factors(actions, weights?.actions),
    channelWeights: factors(channels, weights?.channels),
  };
}

function factors(
  items: readonly { readonly key: string }[],
  declared: Readonly<Record<string, number>> | undefined,
): Float64Array | null {
  return declared === undefined ? null : Float64Array.from(items, ({ key }) => declared[key] ?? 1);
}

function compileStep(
  to: number,
  rule: string,
  { rules, counters, valueReadings, tags, ruleOf }: JourneyParts,
): StageStep {
  const expression = rules.get(rule) ?? null;
  const { dependsOn } = tagDependencies(expression, null, counters, valueReadings, 'stage');
  const read = expression === null ? [] : tagsRead(expression).flatMap((tag) => belowAndSelf(tags, tag));
  return {
    to,
    when: ruleOf(rule),
    // When time changes a tag, that tag's own rule says; a stage is looked at behind it.
    dependsOn: { ...dependsOn, ...joined([dependsOn, ...read.map((tag) => tag.dependsOn)]) },
  };
}

function joined(list: readonly TagDependencies[]): Pick<TagDependencies, 'events' | 'readsTraits'> {
  return {
    events: [...new Set(list.flatMap(({ events }) => events))],
    readsTraits: list.some(({ readsTraits }) => readsTraits),
  };
}

function tagsRead(expression: Expression): number[] {
  if (expression.op === 'tag') return [expression.tag];
  return operandsOf(expression).flatMap(tagsRead);
}

/** The tag, and those that hold it up. */
function belowAndSelf(tags: readonly Tag[], index: number): Tag[] {
  const tag = tags[index];
  return tag === undefined ? [] : [tag, ...tag.children.flatMap((child) => belowAndSelf(tags, child))];
}

function millisOf(duration: string | undefined): number {
  const millis = duration === undefined ? null : parseDurationMillis(duration);
  return millis ?? Number.POSITIVE_INFINITY;
}
