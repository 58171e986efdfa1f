/**
 * What the shape of `profile.tags` cannot say: parents exist and make no circle, every tag can be held by somebody, rules
 * and weights compile and read only what is known without a request. Called by `catalog-check.ts`, after everything else
 * that has rules: what only tags count is no feature of the response model.
 */
import { CATALOG_LIMITS } from './catalog-limits.ts';
import type { CounterRegistry } from './counter-registry.ts';
import { DURATION_PATTERN, parseDurationMillis } from './durations.ts';
import { nearestMatch } from './nearest-match.ts';
import { type FindingSink, mapOf, textOf } from './raw-values.ts';
import type { RuleCheck, RuleParser } from './rule-parser.ts';
import type { RuleProblem } from './rule-syntax.ts';
import { tagDependencies, weightProblems } from './tag-dependencies.ts';
import type { DocumentPath } from './yaml-source.ts';

/** Keys of the declared tags, in order of their index. */
export function tagKeys(root: unknown): string[] {
  return Object.keys(mapOf(mapOf(mapOf(root).profile).tags));
}

export function checkTags(
  tags: Readonly<Record<string, unknown>>,
  rules: RuleParser,
  counters: CounterRegistry,
  sink: FindingSink,
): void {
  const at: DocumentPath = ['profile', 'tags'];
  const keys = Object.keys(tags);
  const parentOf = (key: string): string | null => textOf(mapOf(tags[key]).parent);
  const parents = new Set(keys.map(parentOf));
  for (const key of keys) {
    const tag = mapOf(tags[key]);
    const path = [...at, key];
    const parent = parentOf(key);
    if (parent !== null && !keys.includes(parent)) {
      const nearest = nearestMatch(parent, keys);
      sink.find([...path, 'parent'], `${JSON.stringify(parent)} is not a declared tag`, { nearest });
    } else if (parent !== null && isCircle(key, parentOf)) {
      sink.find([...path, 'parent'], 'leads back to the tag itself');
    }
    if (tag.when === undefined && !parents.has(key))
      sink.find(path, 'has neither when nor a tag below it: nobody could hold it');
    checkRuleText(
      [...path, 'when'],
      tag.when,
      sink,
      (text) => rules.check(text),
      ({ expression }) => tagDependencies(expression, null, counters.counters, counters.valueReadings).problems,
    );
    checkRuleText(
      [...path, 'weight'],
      tag.weight,
      sink,
      (text) => rules.checkNumber(text),
      ({ expression }) => weightProblems(expression),
    );
    for (const name of ['halfLife', 'holdFor']) checkSpan([...path, name], tag[name], sink);
  }
  if (keys.length > CATALOG_LIMITS.tagsMax)
    sink.find(at, `must have at most ${CATALOG_LIMITS.tagsMax} entries, has ${keys.length}`);
  const features = keys.filter((key) => mapOf(tags[key]).feature === true);
  if (features.length > CATALOG_LIMITS.tagFeaturesMax)
    sink.find(at, `at most ${CATALOG_LIMITS.tagFeaturesMax} tags may be features, ${features.length} are`);
}

function isCircle(key: string, parentOf: (key: string) => string | null): boolean {
  const seen = new Set<string>();
  for (let above = parentOf(key); above !== null && !seen.has(above); above = parentOf(above)) {
    if (above === key) return true;
    seen.add(above);
  }
  return false;
}

export function checkSpan(path: DocumentPath, value: unknown, sink: FindingSink): void {
  if (typeof value !== 'string' || !DURATION_PATTERN.test(value)) return;
  if (parseDurationMillis(value) === null) sink.find(path, `${JSON.stringify(value)} is longer than ten years`);
}

/** A rule or number of a tag or stage: that it compiles, and is of a kind that can be followed. */
export function checkRuleText(
  path: DocumentPath,
  text: unknown,
  sink: FindingSink,
  check: (text: string) => RuleCheck,
  unfit: (sound: Extract<RuleCheck, { problems: null }>) => readonly RuleProblem[],
): void {
  // An empty or overlong text is a matter of shape.
  if (typeof text !== 'string' || text === '' || text.length > CATALOG_LIMITS.ruleLengthMax) return;
  const found = check(text);
  for (const { offset, reason, nearest } of found.problems ?? unfit(found))
    sink.find(path, reason, { nearest, ruleOffset: offset });
}
