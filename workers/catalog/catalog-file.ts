/**
 * A catalog file, read and checked: YAML to plain values, shape, names, numbers, rules, with all
 * problems of a file in one error. What passes is a `CatalogSource`, plain data that a
 * worker thread can be sent, and `compileCatalogSource` there makes the functions that cannot be.
 *
 *     file ─readCatalogFile─▶ CatalogSource ─postMessage─▶ worker: compileCatalogSource ─▶ Catalog
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { checkCatalog, readTraits } from './catalog-check.ts';
import { CatalogError, type CatalogProblem } from './catalog-error.ts';
import { CATALOG_LIMITS, type CatalogFile } from './catalog-schema.ts';
import type { CatalogSource } from './catalog-source.ts';
import { CounterRegistry } from './counter-registry.ts';
import { RuleParser } from './rule-parser.ts';
import { shapeProblems } from './shape-problems.ts';
import { type DocumentPath, type Position, parseYamlSource } from './yaml-source.ts';

/** Problems kept of one file; a file with more is told how many more. */
const PROBLEMS_MAX = 200;

function catalogVersion(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex').slice(0, 12);
}

/**
 * Reads and checks a catalog file.
 * @throws CatalogError: `CATALOG_UNREADABLE` when there is no text to check, else as `loadCatalogText`.
 */
export async function readCatalogFile(path: string): Promise<CatalogSource> {
  const bytes = await readBounded(path);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw unreadable(path, 'is not UTF-8 text', cause);
  }
  return loadCatalogText(text, basename(path));
}

async function readBounded(path: string): Promise<Uint8Array> {
  try {
    // Asked before opening: to open a pipe would wait for its writer.
    const facts = await stat(path);
    if (facts.isDirectory()) throw unreadable(path, 'is a folder; name the catalog file inside it');
    if (!facts.isFile()) throw unreadable(path, 'is not a regular file');
    if (facts.size > CATALOG_LIMITS.fileBytesMax) {
      throw unreadable(
        path,
        `has ${facts.size} bytes, more than the ${CATALOG_LIMITS.fileBytesMax} a catalog may have`,
      );
    }
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof CatalogError) throw cause;
    const code = (cause as { readonly code?: unknown }).code; // Node's file errors carry a code
    throw unreadable(path, REASON_BY_CODE[String(code)] ?? `cannot be read (${String(code)})`, cause);
  }
}

const REASON_BY_CODE: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist: a part of its path is a file',
  EACCES: 'may not be read by this user',
  EPERM: 'may not be read by this user',
  EISDIR: 'is a folder; name the catalog file inside it',
  ELOOP: 'is a link that leads back to itself',
};

function unreadable(path: string, reason: string, cause?: unknown): CatalogError {
  const problem: CatalogProblem = { file: path, line: 1, column: 1, path: '', reason };
  return new CatalogError('CATALOG_UNREADABLE', [problem], cause === undefined ? undefined : { cause });
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
  const rules = new RuleParser(traits, counters);
  checkCatalog(source.value, rules, counters, {
    find(path, reason, details) {
      const isRule = details?.ruleOffset !== undefined;
      const position = isRule
        ? source.locateInText(path, details.ruleOffset)
        : source.locate(path, details?.part ?? 'value');
      report(position, path, reason, details?.nearest);
    },
  });
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
