/**
 * What the shape of `journeys` cannot say: stages, actions and channels exist, every stage can be come to, rules read
 * only what is known without a request. Called by `catalog-check.ts` behind the tags, so that what only journeys count
 * is no feature of the response model.
 */
import { CATALOG_LIMITS } from './catalog-limits.ts';
import { EXIT } from './compile-journeys.ts';
import type { CounterRegistry } from './counter-registry.ts';
import { nearestMatch } from './nearest-match.ts';
import { type FindingSink, listOf, mapOf, type RawMap, textOf } from './raw-values.ts';
import type { RuleParser } from './rule-parser.ts';
import { checkRuleText, checkSpan } from './tag-check.ts';
import { tagDependencies } from './tag-dependencies.ts';
import type { DocumentPath } from './yaml-source.ts';

/** Keys of the stages of each declared journey, both in order of their index. */
export function journeyKeys(root: unknown): Map<string, readonly string[]> {
  const journeys = Object.entries(mapOf(mapOf(root).journeys));
  return new Map(journeys.map(([key, journey]) => [key, Object.keys(mapOf(mapOf(journey).stages))]));
}

/** What is checked of all journeys of a catalog. */
interface Surroundings {
  readonly actions: readonly string[];
  readonly channels: readonly string[];
  readonly rules: RuleParser;
  readonly counters: CounterRegistry;
  readonly sink: FindingSink;
}

export function checkJourneys(catalog: RawMap, rules: RuleParser, counters: CounterRegistry, sink: FindingSink): void {
  const journeys = mapOf(catalog.journeys);
  const actions = listOf(catalog.actions).flatMap((action) => textOf(mapOf(action).key) ?? []);
  const around: Surroundings = { actions, channels: Object.keys(mapOf(catalog.channels)), rules, counters, sink };
  const count = Object.keys(journeys).length;
  if (count > CATALOG_LIMITS.journeysMax)
    sink.find(['journeys'], `must have at most ${CATALOG_LIMITS.journeysMax} entries, has ${count}`);
  for (const [key, journey] of Object.entries(journeys)) checkJourney(['journeys', key], mapOf(journey), around);
}

function checkJourney(path: DocumentPath, journey: RawMap, around: Surroundings): void {
  const { sink } = around;
  const stages = Object.entries(mapOf(journey.stages)).map(([key, stage]) => [key, mapOf(stage)] as const);
  const keys = stages.map(([key]) => key);
  const at = [...path, 'stages'];
  if (journey.stages !== undefined && keys.length === 0) sink.find(at, 'must have a stage at least');
  if (keys.length > CATALOG_LIMITS.stagesMax)
    sink.find(at, `must have at most ${CATALOG_LIMITS.stagesMax} entries, has ${keys.length}`);
  if (keys.includes(EXIT))
    sink.find([...at, EXIT], 'is where timers lead that end a journey; name the stage otherwise');
  checkStageRule([...path, 'exit'], journey.exit, around);
  checkSpan([...path, 'again'], journey.again, sink);
  const ends = journey.exit !== undefined || stages.some(([, { timer }]) => mapOf(timer).to === EXIT);
  if (journey.again !== undefined && !ends) sink.find([...path, 'again'], 'has no meaning: nothing ends this journey');
  for (const [index, [key, stage]] of stages.entries())
    checkStage([...at, key], key, stage, index, keys, stages, around);
}

function checkStage(
  path: DocumentPath,
  key: string,
  stage: RawMap,
  index: number,
  keys: readonly string[],
  stages: readonly (readonly [string, RawMap])[],
  around: Surroundings,
): void {
  const { sink, actions, channels } = around;
  checkStageRule([...path, 'when'], stage.when, around);
  for (const [place, from] of listOf(stage.from).map(textOf).entries()) {
    if (from === key) sink.find([...path, 'from', place], 'a stage is not come to from itself');
    else if (from !== null) checkName([...path, 'from', place], from, keys, 'stage of this journey', sink);
  }
  const timer = mapOf(stage.timer);
  const to = textOf(timer.to);
  checkSpan([...path, 'timer', 'after'], timer.after, sink);
  if (to === key) sink.find([...path, 'timer', 'to'], 'leads to the stage itself');
  else if (to !== null) checkName([...path, 'timer', 'to'], to, [...keys, EXIT], 'stage of this journey', sink);
  if (stage.from !== undefined && stage.when === undefined)
    sink.find([...path, 'from'], 'has no meaning without when: a timer names where it leads');
  const isTimed = stages.some(([, other]) => mapOf(other.timer).to === key);
  if (index > 0 && stage.when === undefined && !isTimed)
    sink.find(path, 'has no when, and no timer leads to it: nobody could come to it');
  const weights = mapOf(stage.weights);
  for (const name of Object.keys(mapOf(weights.actions)))
    checkName([...path, 'weights', 'actions', name], name, actions, 'action', sink);
  for (const name of Object.keys(mapOf(weights.channels)))
    checkName([...path, 'weights', 'channels', name], name, channels, 'channel', sink);
}

function checkStageRule(path: DocumentPath, text: unknown, { rules, counters, sink }: Surroundings): void {
  checkRuleText(
    path,
    text,
    sink,
    (source) => rules.check(source),
    ({ expression }) => tagDependencies(expression, null, counters.counters, counters.valueReadings, 'stage').problems,
  );
}

function checkName(path: DocumentPath, name: string, known: readonly string[], kind: string, sink: FindingSink): void {
  if (known.includes(name)) return;
  sink.find(path, `${JSON.stringify(name)} is not a declared ${kind}`, { nearest: nearestMatch(name, known) });
}
