/**
 * What the shape of `webhooks` cannot say: the address can be one, tags and traits are declared, and no sensitive trait
 * leaves the node. Whether the address may be spoken to is the node's to say, at each try. Called beside
 * `catalog-check.ts`.
 */
import { CATALOG_LIMITS } from './catalog-limits.ts';
import { parseDurationMillis } from './durations.ts';
import { nearestMatch } from './nearest-match.ts';
import { type FindingSink, listOf, mapOf, type RawMap, textOf } from './raw-values.ts';
import { tagKeys } from './tag-check.ts';
import type { DocumentPath } from './yaml-source.ts';

const TIMEOUT_MILLIS_MAX = 60_000;
const RETRY_MILLIS_MAX = 3_600_000;

export function checkWebhooks(root: RawMap, sink: FindingSink): void {
  const webhooks = Object.entries(mapOf(root.webhooks));
  if (webhooks.length > CATALOG_LIMITS.webhooksMax)
    sink.find(['webhooks'], `must have at most ${CATALOG_LIMITS.webhooksMax} entries, has ${webhooks.length}`);
  const tags = tagKeys(root);
  const journeys = Object.keys(mapOf(root.journeys));
  const profile = mapOf(root.profile);
  const traits = mapOf(profile.traits);
  const known = [
    ...Object.keys(traits),
    ...listOf(profile.facts)
      .map(textOf)
      .filter((name) => name !== null),
  ];
  for (const [key, raw] of webhooks) {
    const webhook = mapOf(raw);
    const path = ['webhooks', key];
    checkUrl([...path, 'url'], textOf(webhook.url), sink);
    if (tags.length + journeys.length === 0)
      sink.find(path, 'there is no tag and no journey it could be told of: declare one');
    checkNames([...path, 'journeys'], webhook.journeys, journeys, 'journey', sink);
    checkNames([...path, 'tags'], webhook.tags, tags, 'tag', sink);
    checkNames([...path, 'traits'], webhook.traits, known, 'trait', sink);
    checkDistinct([...path, 'transitions'], webhook.transitions, sink);
    for (const [index, name] of listOf(webhook.traits).entries()) {
      const isSensitive = typeof name === 'string' && mapOf(traits[name]).sensitive === true;
      if (isSensitive) sink.find([...path, 'traits', index], `"${name}" is sensitive, and stays where it is encrypted`);
    }
    checkSpan([...path, 'timeout'], textOf(webhook.timeout), TIMEOUT_MILLIS_MAX, 'at most 60s', sink);
    checkSpan([...path, 'retryAfter'], textOf(webhook.retryAfter), RETRY_MILLIS_MAX, 'at most 1h', sink);
  }
}

function checkUrl(path: DocumentPath, text: string | null, sink: FindingSink): void {
  if (text === null || text === '') return;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    sink.find(path, 'must be an address such as https://crm.example.com/hooks');
  else if (url.username !== '' || url.password !== '')
    sink.find(path, 'must have no user and password in it: this file is no place for secrets');
  else if (url.hash !== '') sink.find(path, 'must have no fragment (#…): it would not be sent');
}

function checkNames(
  path: DocumentPath,
  list: unknown,
  known: readonly string[],
  kind: string,
  sink: FindingSink,
): void {
  checkDistinct(path, list, sink);
  for (const [index, name] of listOf(list).entries()) {
    if (typeof name !== 'string' || known.includes(name)) continue;
    const nearest = nearestMatch(name, known);
    sink.find([...path, index], `${JSON.stringify(name)} is not a declared ${kind}`, { nearest });
  }
}

function checkDistinct(path: DocumentPath, list: unknown, sink: FindingSink): void {
  const names = listOf(list);
  for (const [index, name] of names.entries())
    if (names.indexOf(name) < index) sink.find([...path, index], `${JSON.stringify(name)} is there already`);
}

function checkSpan(path: DocumentPath, text: string | null, millisMax: number, bound: string, sink: FindingSink): void {
  const millis = text === null ? null : parseDurationMillis(text);
  if (millis !== null && millis > millisMax) sink.find(path, `${text} is too long: ${bound}`);
}
