/**
 * A catalog file, read and checked: YAML to plain values, shape, names, numbers, rules, with all
 * problems of a file in one error. What passes is a `CatalogSource`, plain data that a
 * worker thread can be sent, and `compileCatalogSource` there makes the functions that cannot be.
 *
 *     file ─readCatalogFile─▶ CatalogSource ─postMessage─▶ worker: compileCatalogSource ─▶ Catalog
 */
import { basename } from 'node:path';
import { checkCatalog } from './catalog-check.ts';
import { CatalogError, type CatalogProblem } from './catalog-error.ts';
import { CATALOG_LIMITS } from './catalog-limits.ts';
import type { CatalogFile } from './catalog-schema.ts';
import type { CatalogSource } from './catalog-source.ts';
import { catalogVersion, readCatalogText } from './catalog-text.ts';
import { checkCleaning } from './cleaning-check.ts';
import { checkConsent, purposeNames } from './consent-check.ts';
import { CounterRegistry } from './counter-registry.ts';
import { readFeeds } from './declared-feeds.ts';
import { readTraits } from './declared-traits.ts';
import { checkFeeds } from './feed-check.ts';
import { journeyKeys } from './journey-check.ts';
import { type FindingSink, mapOf } from './raw-values.ts';
import { RuleParser } from './rule-parser.ts';
import { shapeProblems } from './shape-problems.ts';
import { tagKeys } from './tag-check.ts';
import { checkWebhooks } from './webhook-check.ts';
import { type DocumentPath, type Position, parseYamlSource } from './yaml-source.ts';

/** Problems kept of one file; a file with more is told how many more. */
const PROBLEMS_MAX = 200;

/**
 * Reads and checks a catalog file.
 * @throws CatalogError: `CATALOG_UNREADABLE` when there is no text to check, else as `loadCatalogText`.
 */
export async function readCatalogFile(path: string): Promise<CatalogSource> {
  return loadCatalogText(await readCatalogText(path), basename(path));
}

/**
 * Checks a catalog's text in full, rules included. About 0.25 ms an action, most of it YAML.
 * @throws CatalogError (`CATALOG_INVALID`) with every problem found, in the order of the file.
 */
export function loadCatalogText(text: string, fileName: string): CatalogSource {
  const problems: CatalogProblem[] = [];
  const report = (position: Position, path: DocumentPath, reason: string, nearest?: string): void => {
    problems.push({
      file: fileName,
      ...position,
      path: formatPath(path),
      reason,
      ...(nearest === undefined ? {} : { nearest }),
    });
  };
  const bytes = Buffer.byteLength(text, 'utf8');
  if (bytes > CATALOG_LIMITS.fileBytesMax) {
    report(
      { line: 1, column: 1 },
      [],
      `has ${bytes} bytes, more than the ${CATALOG_LIMITS.fileBytesMax} a catalog may have`,
    );
    throw catalogError(problems);
  }
  const source = parseYamlSource(text, report);
  if (source === null) throw catalogError(problems);
  if (source.value === null) {
    report({ line: 1, column: 1 }, [], 'is empty');
    throw catalogError(problems);
  }
  for (const { path, part, reason, nearest } of shapeProblems(source.value)) {
    report(source.locate(path, part), path, reason, nearest);
  }
  const traits = readTraits(source.value);
  const counters = new CounterRegistry();
  const names = {
    tags: tagKeys(source.value),
    journeys: journeyKeys(source.value),
    feeds: readFeeds(source.value),
    purposes: purposeNames(source.value),
  };
  const rules = new RuleParser(traits, counters, names);
  const sink: FindingSink = {
    find(path, reason, details) {
      const isRule = details?.ruleOffset !== undefined;
      const position = isRule
        ? source.locateInText(path, details.ruleOffset)
        : source.locate(path, details?.part ?? 'value');
      report(position, path, reason, details?.nearest);
    },
  };
  checkFeeds(mapOf(source.value), rules, sink);
  checkCatalog(source.value, rules, counters, sink);
  checkConsent(source.value, sink);
  checkCleaning(mapOf(source.value), rules, sink);
  checkWebhooks(mapOf(source.value), sink);
  if (problems.length > 0) throw catalogError(problems);
  return {
    fileName,
    text,
    version: catalogVersion(text),
    file: source.value as CatalogFile, // it has no shape problem
    traits: [...traits.values()].filter((trait) => trait !== null), // null only where the shape is wrong
    rules: rules.checked(),
    counters: counters.counters,
    retentions: counters.retentions(),
    featureCounters: counters.featureCounters,
    valueReadings: counters.valueReadings,
  };
}

function catalogError(problems: CatalogProblem[]): CatalogError {
  problems.sort((left, right) => left.line - right.line || left.column - right.column);
  const kept = problems.slice(0, PROBLEMS_MAX);
  const last = kept.at(-1);
  if (last !== undefined && problems.length > PROBLEMS_MAX) {
    kept.push({ ...last, path: '', reason: `and ${problems.length - PROBLEMS_MAX} more problems` });
  }
  return new CatalogError('CATALOG_INVALID', kept);
}

/** `['actions', 3, 'slots', 0]` as `actions[3].slots[0]`. */
function formatPath(path: DocumentPath): string {
  return path.reduce<string>(
    (text, step) => (typeof step === 'number' ? `${text}[${step}]` : text === '' ? step : `${text}.${step}`),
    '',
  );
}
