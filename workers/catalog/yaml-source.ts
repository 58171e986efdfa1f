/**
 * A YAML text as plain values, and for every value the line and column it came from. Sole importer of
 * `yaml`. What a catalog does not need is refused instead of interpreted: tags, several documents,
 * keys that are not text, duplicate keys; aliases are allowed but their expansion is bounded, so a
 * "billion laughs" file costs microseconds. Values are null-prototype maps, arrays and scalars.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type Scalar } from 'yaml';

export type DocumentPath = readonly (string | number)[];

export interface Position {
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
}

export interface YamlSource {
  readonly value: unknown;
  /** Position of the value at `path`, or of its key; of the nearest parent when nothing is there. */
  locate(path: DocumentPath, part: 'key' | 'value'): Position;
  /** Position of the character at `offset` inside the text scalar at `path`. */
  locateInText(path: DocumentPath, offset: number): Position;
}

/** Deepest nesting; the catalog's own is 6. */
const NESTING_MAX = 24;
/** Values that aliases may stand for, all together: enough to share caps and channel lists among actions. */
const ALIASED_VALUES_MAX = 20_000;

/** Errors that are a mistake each, never the echo of another. */
const INDEPENDENT_CODES: readonly string[] = ['DUPLICATE_KEY', 'TAG_RESOLVE_FAILED'];

export type ReportAt = (position: Position, path: DocumentPath, reason: string) => void;

/** Parses `text`; null, with at least one report, when it is not YAML a catalog may be written in. */
export function parseYamlSource(text: string, report: ReportAt): YamlSource | null {
  const lines = new LineCounter();
  const positionOf = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  let document: ReturnType<typeof parseDocument>;
  try {
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false, strict: true, uniqueKeys: true });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    report({ line: 1, column: 1 }, [], 'is nested too deeply to be read');
    return null;
  }
  // An unknown tag is only a warning to the library, which then guesses the type: here it is an error.
  const problems = [...document.errors, ...document.warnings];
  // One slip of syntax makes many errors behind it, so of those only the first is told.
  const firstOfSyntax = problems.find((problem) => !INDEPENDENT_CODES.includes(problem.code));
  for (const problem of problems) {
    if (problem !== firstOfSyntax && !INDEPENDENT_CODES.includes(problem.code)) continue;
    const isDeep = problem.message.includes('call stack');
    const reason = isDeep ? 'is nested too deeply to be read' : `is not valid YAML: ${firstLine(problem.message)}`;
    report(positionOf(problem.pos[0]), [], reason);
  }
  if (problems.length > 0) return null;

  let isSound = true;
  let aliasedValuesLeft = ALIASED_VALUES_MAX;
  const refuse = (node: Node | null, path: DocumentPath, reason: string): undefined => {
    isSound = false;
    report(positionOf(node?.range?.[0] ?? 0), path, reason);
    return undefined;
  };

  const convert = (node: Node | null, path: DocumentPath, isAliased: boolean): unknown => {
    if (isAliased) {
      aliasedValuesLeft -= 1;
      if (aliasedValuesLeft === -1) return refuse(node, [], `has aliases for more than ${ALIASED_VALUES_MAX} values`);
      if (aliasedValuesLeft < 0) return undefined;
    }
    if (path.length > NESTING_MAX) return refuse(node, path, `is nested deeper than ${NESTING_MAX} levels`);
    if (isAlias(node)) {
      const target = node.resolve(document);
      // A cyclic alias is caught by the nesting bound above.
      return target === undefined
        ? refuse(node, path, `refers to an unknown anchor "${node.source}"`)
        : convert(target, path, true);
    }
    if (node !== null && 'tag' in node && node.tag !== undefined)
      return refuse(node, path, `must not carry the tag "${node.tag}"`);
    if (isSeq(node)) return node.items.map((item, index) => convert(item as Node | null, [...path, index], isAliased)); // the composer only puts nodes here
    if (isMap(node)) {
      const map: Record<string, unknown> = Object.create(null);
      for (const pair of node.items) {
        const keyNode = pair.key as Node | null; // the composer only puts nodes here
        if (!isScalar(keyNode) || typeof keyNode.value !== 'string') {
          refuse(keyNode ?? node, path, 'has a key that is not text; put it in quotes');
        } else if (keyNode.value === '__proto__') {
          refuse(keyNode, path, '"__proto__" cannot be a key');
        } else {
          map[keyNode.value] = convert(pair.value as Node | null, [...path, keyNode.value], isAliased); // as above
        }
      }
      return map;
    }
    return isScalar(node) ? node.value : null;
  };
  const value = convert(document.contents as Node | null, [], false); // parseDocument composes nodes
  if (!isSound) return null;

  const follow = (path: DocumentPath, part: 'key' | 'value'): Node | null => {
    let node = document.contents as Node | null; // as above
    let found: Node | null = node;
    for (let depth = 0; depth < path.length; depth += 1) {
      if (isAlias(node)) node = node.resolve(document) ?? null;
      const step = path[depth];
      if (isMap(node)) {
        const pair = node.items.find((item) => isScalar(item.key) && item.key.value === step);
        if (pair === undefined) return found;
        node = pair.value as Node | null; // as above
        found = node;
        if (depth === path.length - 1 && (part === 'key' || node === null)) return pair.key as Node; // as above
      } else if (isSeq(node) && typeof step === 'number' && step < node.items.length) {
        node = node.items[step] as Node | null; // as above
        found = node ?? found;
      } else {
        return found;
      }
    }
    return found;
  };

  return {
    value,
    locate(path, part) {
      return positionOf(follow(path, part)?.range?.[0] ?? 0);
    },
    locateInText(path, offset) {
      const node = follow(path, 'value');
      const scalar = isAlias(node) ? node.resolve(document) : node;
      if (!isScalar(scalar) || typeof scalar.value !== 'string' || !scalar.range)
        return positionOf(node?.range?.[0] ?? 0);
      const [start, end] = scalar.range;
      return positionOf(start + offsetInScalar(text.slice(start, end), scalar.type, scalar.value, offset));
    },
  };
}

/**
 * Where the character at `offset` of a scalar's value stands in the scalar's source. Folding, indents
 * and line breaks touch white space only, so the n-th visible character of the value is the n-th
 * visible character of the source, once escapes are counted as what they stand for.
 */
function offsetInScalar(source: string, type: Scalar['type'], value: string, offset: number): number {
  let visible = 0;
  for (let index = 0; index < Math.min(offset, value.length); index += 1) if (!isSpace(value[index])) visible += 1;
  const isBlock = type === 'BLOCK_FOLDED' || type === 'BLOCK_LITERAL';
  const isQuoted = type === 'QUOTE_DOUBLE' || type === 'QUOTE_SINGLE';
  let at = isBlock ? source.indexOf('\n') + 1 : isQuoted ? 1 : 0;
  const end = source.length - (isQuoted ? 1 : 0);
  let lastVisible = at;
  while (at < end) {
    const width =
      type === 'QUOTE_DOUBLE' && source[at] === '\\'
        ? escapeWidth(source, at)
        : type === 'QUOTE_SINGLE' && source[at] === "'"
          ? 2
          : 1;
    const produced = width > 1 && source[at] === '\\' ? escapeProduces(source[at + 1]) : isSpace(source[at]) ? 0 : 1;
    if (produced > 0) {
      if (visible < produced) return at;
      visible -= produced;
      lastVisible = at + width;
    }
    at += width;
  }
  return Math.min(lastVisible, Math.max(0, source.length - 1));
}

function escapeWidth(source: string, at: number): number {
  const kind = source[at + 1];
  return kind === 'x' ? 4 : kind === 'u' ? 6 : kind === 'U' ? 10 : 2;
}

/** Visible characters an escape stands for; `\n`, `\t`, an escaped space or line break stand for none. */
function escapeProduces(kind: string | undefined): number {
  return kind === undefined || ' \t\r\nntrLPN_vf'.includes(kind) ? 0 : 1;
}

function isSpace(character: string | undefined): boolean {
  return character !== undefined && ' \t\r\n\v\f\u0085\u00a0\u2028\u2029'.includes(character);
}

function firstLine(message: string): string {
  return message.split('\n', 1)[0] ?? message;
}
