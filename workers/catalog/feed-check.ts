/**
 * What the shape of `feeds` cannot say: numbers agree, keys compile and read what a push can know, what is to be a
 * feature has a key. The declarations as rules see them are read by `declared-feeds.ts`.
 */
import { CATALOG_LIMITS } from './catalog-limits.ts';
import { FEED_TYPES } from './declared-feeds.ts';
import { DURATION_PATTERN, parseDurationMillis } from './durations.ts';
import { nearestMatch } from './nearest-match.ts';
import { type FindingSink, hiddenTraits, mapOf, numberOf, type RawMap } from './raw-values.ts';
import type { RuleParser } from './rule-parser.ts';
import { type Expression, operandsOf, type RuleProblem } from './rule-syntax.ts';
import type { DocumentPath } from './yaml-source.ts';

export function checkFeeds(root: RawMap, rules: RuleParser, sink: FindingSink): void {
  const feeds = mapOf(root.feeds);
  const hidden = hiddenTraits(root);
  const names = Object.keys(feeds);
  if (names.length > CATALOG_LIMITS.feedsMax)
    sink.find(['feeds'], `must have at most ${CATALOG_LIMITS.feedsMax} entries, has ${names.length}`);
  let features = 0;
  for (const [name, raw] of Object.entries(feeds)) {
    const at: DocumentPath = ['feeds', name];
    const feed = mapOf(raw);
    const fields = mapOf(feed.fields);
    const count = Object.keys(fields).length;
    if (feed.fields !== undefined && count === 0) sink.find([...at, 'fields'], 'a feed needs a field at least');
    if (count > CATALOG_LIMITS.feedFieldsMax)
      sink.find([...at, 'fields'], `must have at most ${CATALOG_LIMITS.feedFieldsMax} entries, has ${count}`);
    for (const [field, declared] of Object.entries(fields)) {
      checkField([...at, 'fields', field], mapOf(declared), feed, sink);
      if (mapOf(declared).feature === true) features += 1;
    }
    const { ttl } = feed;
    if (typeof ttl === 'string' && DURATION_PATTERN.test(ttl) && !isTimeToLive(ttl))
      sink.find([...at, 'ttl'], `${JSON.stringify(ttl)} is not from 1s to 366d`);
    checkKey([...at, 'key'], feed.key, hidden, rules, sink);
  }
  if (features > CATALOG_LIMITS.feedFeaturesMax)
    sink.find(['feeds'], `at most ${CATALOG_LIMITS.feedFeaturesMax} fields may be features, ${features} are`);
}

/** A number of a feed that a product's price reads. */
export function checkCell(path: DocumentPath, cell: unknown, root: RawMap, sink: FindingSink): void {
  const { name, field } = mapOf(cell);
  if (typeof name !== 'string' || typeof field !== 'string') return; // a matter of shape, or none is asked
  const feeds = mapOf(root.feeds);
  const fields = mapOf(mapOf(feeds[name]).fields);
  const unknown = (at: string, value: string, kind: string, known: RawMap): void =>
    sink.find([...path, at], `${JSON.stringify(value)} is not a declared ${kind}`, {
      nearest: nearestMatch(value, Object.keys(known)),
    });
  if (!Object.hasOwn(feeds, name)) unknown('name', name, 'feed', feeds);
  else if (!Object.hasOwn(fields, field)) unknown('field', field, `field of the feed ${name}`, fields);
  else if (mapOf(fields[field]).type !== 'number') sink.find([...path, 'field'], 'must be a number');
}

function isTimeToLive(text: string): boolean {
  const millis = parseDurationMillis(text);
  return millis !== null && millis > 0 && millis <= 366 * 86_400_000;
}

function checkField(path: DocumentPath, field: RawMap, feed: RawMap, sink: FindingSink): void {
  const [min, max] = [numberOf(field.min), numberOf(field.max)];
  const { type } = field;
  for (const [bound, value] of [
    ['min', min],
    ['max', max],
  ] as const) {
    if (value !== null && typeof type === 'string' && FEED_TYPES.includes(type) && type !== 'number')
      sink.find([...path, bound], `only number fields have a ${bound}`);
  }
  if (min !== null && max !== null && min > max) sink.find([...path, 'min'], `min ${min} is above max ${max}`);
  if (field.values !== undefined && (type === 'number' || type === 'boolean'))
    sink.find([...path, 'values'], 'only text fields have values');
  if (field.feature !== true) return;
  if (feed.key === undefined) sink.find([...path, 'feature'], "needs the key of the feed: which row is the request's?");
  if (type === 'text' && field.values === undefined)
    sink.find([...path, 'feature'], 'needs the values of the text: what is learnt of each must have a name');
}

function checkKey(
  path: DocumentPath,
  key: unknown,
  hidden: readonly string[],
  rules: RuleParser,
  sink: FindingSink,
): void {
  // An empty or overlong text is a matter of shape.
  if (typeof key !== 'string' || key === '' || key.length > CATALOG_LIMITS.ruleLengthMax) return;
  const check = rules.checkKey(key);
  for (const { offset, reason, nearest } of check.problems ?? unfitParts(check.expression, hidden))
    sink.find(path, reason, { nearest, ruleOffset: offset });
}

/**
 * A key tells rows apart: what is counted of a person would be one that no push can know, and what a trait hides is
 * not let in by the context.
 */
function unfitParts(e: Expression, hidden: readonly string[]): RuleProblem[] {
  const problems: RuleProblem[] = operandsOf(e).flatMap((operand) => unfitParts(operand, hidden));
  if (['tag', 'tagWeight', 'counter', 'unusual', 'values'].includes(e.op))
    problems.push({ offset: e.start, reason: 'a key may read traits, context and now only' });
  if (e.op === 'context' && hidden.includes(e.key))
    problems.push({ offset: e.start, reason: `no key may depend on "${e.key}", sent in the context or not` });
  return problems;
}
