/**
 * The house style as far as a machine can hold it: how a file opens, what it may be called, how long it
 * may be, and what may not stand in it. Like the architecture's rules it takes any tree of files, so that
 * its test can show it wrong ones.
 */
import { scanSource } from './source-scan.ts';

/** A short file may open with one sentence; a drawing may need the most. */
export const HEADER_LINES = { ofShortFile: 1, ofLongFile: 2, max: 24 } as const;
const SHORT_FILE_LINES_MAX = 120;
export const FILE_LINES_MAX = 500;
export const FOLDER_README_LINES_MAX = 40;

/** Files over the limit, each with its reason. */
export const LONG_FILES: Readonly<Record<string, string>> = {
  'actors/actor-runtime.ts': 'one life cycle: activation, turns, write-back and recovery share their invariants',
  'actors/decide-turn.ts': 'one turn from request to effect, in the order of the pipeline',
  'actors/event-turn.ts': 'one table of what events mean, and the one turn that applies it',
  'decision/pipeline.ts': 'the stages of one decision, in their order',
  'server/node.ts': 'the composition root: starts, links, watches and stops everything once',
  'workers/shard.ts': 'one shard put together: its parts, its timers, its end',
  'workers/request-runner.ts': 'one operation after the other, each a short method over the same state',
  'test/proto/request.test.ts': 'a table of frames, one row a case',
  'test/server/transport-conformance.test.ts': 'one suite that every transport passes whole',
  'test/workers/catalog/broken-catalog.test.ts': 'a table of broken files, one row a case',
};

const VAGUE_NAMES = /(?:^|[-/])(?:utils?|helpers?|common|misc|stuff)(?:[-./]|$)/;
const KEBAB_NAME = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.test|\.config)?\.(?:ts|mjs)$/;
/** A cast or an exception gives its reason on the same line. */
const SUPPRESSION = /@ts-(?:ignore|nocheck|expect-error)|\b(?:biome|oxlint|eslint)-(?:ignore|disable)\b/;
const REASON = /(?::|--)\s*\S.*\s\S/;
const ANY = /\bas\s+any\b|<any\b|\bany>|:\s*any\b/;
/** Words of unfinished work, put together so that this file does not hold them. */
const UNFINISHED = new RegExp(`\\b(?:${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|')})\\b`);

/** Every breach of style in the tree (path → text), a sentence each. */
export function findStyleBreaches(tree: ReadonlyMap<string, string>): readonly string[] {
  return [...tree].flatMap(([path, text]) => [
    ...nameBreaches(path),
    ...headerBreaches(path, text),
    ...lengthBreaches(path, text),
    ...lineBreaches(path, text),
    ...barrelBreaches(path, text),
  ]);
}

function nameBreaches(path: string): string[] {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const breaches: string[] = [];
  if (!KEBAB_NAME.test(name)) breaches.push(`${path}: a file is named in kebab-case after the noun it holds`);
  if (VAGUE_NAMES.test(path)) breaches.push(`${path}: the name says nothing about what it holds`);
  return breaches;
}

function headerBreaches(path: string, text: string): string[] {
  // The titles of a test file say what it is about.
  if (path.endsWith('.test.ts')) return [];
  const header = /^(?:#![^\n]*\n)?\/\*\*(?<words>(?:(?!\*\/)[\s\S])*)\*\//.exec(text)?.groups?.words;
  if (header === undefined) return [`${path}: opens without a comment that says the concept`];
  const count = header.split('\n').filter((line) => /\w/.test(line)).length;
  const min = lineCountOf(text) > SHORT_FILE_LINES_MAX ? HEADER_LINES.ofLongFile : HEADER_LINES.ofShortFile;
  if (count >= min && count <= HEADER_LINES.max) return [];
  return [`${path}: its opening comment has ${count} lines, not ${min} to ${HEADER_LINES.max}`];
}

function lineCountOf(text: string): number {
  return text.split('\n').length - 1;
}

function lengthBreaches(path: string, text: string): string[] {
  const count = lineCountOf(text);
  if (count <= FILE_LINES_MAX || LONG_FILES[path] !== undefined) return [];
  return [`${path}: ${count} lines; split it, or give a reason in LONG_FILES`];
}

function lineBreaches(path: string, text: string): string[] {
  const breaches: string[] = [];
  let isExcused = false;
  const codeLines = scanSource(text).code.split('\n');
  for (const [index, line] of text.split('\n').entries()) {
    const at = `${path}:${index + 1}`;
    if (UNFINISHED.test(line)) breaches.push(`${at}: unfinished work belongs in an issue`);
    const suppression = SUPPRESSION.exec(line);
    const hasReason = suppression !== null && REASON.test(line.slice(suppression.index + suppression[0].length));
    if (suppression !== null && !hasReason) breaches.push(`${at}: ${suppression[0]} gives no reason on its line`);
    if (ANY.test(codeLines[index] ?? '') && !hasReason && !isExcused)
      breaches.push(`${at}: any hides every mistake; use unknown and look`);
    isExcused = hasReason;
  }
  return breaches;
}

/** A barrel hides which file holds what; the SDK's public door lists its names one by one. */
function barrelBreaches(path: string, text: string): string[] {
  const { code } = scanSource(text);
  if (/\bexport\s*\*/.test(code)) return [`${path}: a door lists its names one by one, without export *`];
  if (path === 'client/index.ts' || !path.endsWith('/index.ts')) return [];
  return [`${path}: a barrel; import from the file that holds it`];
}
