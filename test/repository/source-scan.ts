/**
 * Reads a TypeScript file as far as the repository's own rules need it: which modules it names, and its
 * code without comments and without the insides of texts and regular expressions, so that a rule about
 * `Date.now` is not fooled by a comment or a string that mentions it. Columns and lines stay where they
 * were. A scanner, not a parser: TypeScript 7 offers no API for one, and this needs no more than the
 * lexical grammar. Whether `/` divides or begins a regular expression is told by what stands before it.
 */

export interface ModuleReference {
  /** As written; null when the specifier of `import()` is not a literal. */
  readonly specifier: string | null;
  readonly line: number;
  /** `import type` or `export type … from`: gone at run time, still an edge of the architecture. */
  readonly isTypeOnly: boolean;
}

export interface ScannedSource {
  /** The text with comments, texts and regular expressions blanked; same length, same lines. */
  readonly code: string;
  readonly references: readonly ModuleReference[];
}

/** Behind these a `/` begins a regular expression. */
const REGEX_MAY_FOLLOW = /(?:^|[({[=,;:!&|?+\-*%<>~^}]|\b(?:return|typeof|case|in|of|void|await|yield|do|else))\s*$/;
/** `import x from`, `export { y } from`, `import 'z'`, `import(`; the text behind has been blanked to spaces. */
const REFERENCE =
  /\b(?<keyword>import|export)\b(?!\s*[.:=])(?:(?<type>\s+type\b(?!\s*(?:,|from\b)))?(?<names>[^;'"`()]*?)\bfrom\s*(?<from>['"])|\s*(?<bare>['"])|\s*(?<call>\())/g;

export function scanSource(text: string): ScannedSource {
  const blanked = [...blank(text)].join('');
  return { code: blanked, references: referencesOf(text, blanked) };
}

function referencesOf(text: string, code: string): ModuleReference[] {
  const references: ModuleReference[] = [];
  for (const match of code.matchAll(REFERENCE)) {
    const { keyword, type, call, names } = match.groups ?? {};
    if (keyword === 'export' && (call !== undefined || !/^\s*(?:type\s*)?[{*]|^\s*$/.test(`${names ?? ''}`))) continue;
    const end = match.index + match[0].length;
    const literal = call === undefined ? literalAt(text, end - 1) : literalAfter(text, code, end);
    references.push({ specifier: literal, line: lineOf(code, match.index), isTypeOnly: type !== undefined });
  }
  return references;
}

function literalAt(text: string, quoteAt: number): string {
  const quote = text.charAt(quoteAt);
  return text.slice(quoteAt + 1, text.indexOf(quote, quoteAt + 1));
}

/** The literal that is the first argument of `import(`; null for anything else. */
function literalAfter(text: string, code: string, from: number): string | null {
  const at = from + (code.slice(from).match(/^\s*/)?.[0].length ?? 0);
  return /['"]/.test(code.charAt(at)) ? literalAt(text, at) : null;
}

export function lineOf(text: string, index: number): number {
  let line = 1;
  for (let i = 0; i < index; i++) if (text.charCodeAt(i) === 10) line++;
  return line;
}

/** Yields the text in order, piece by piece, blanked where it is not code. */
function* blank(text: string): Generator<string> {
  /** Depth of braces at which each open `${` ends. */
  const templates: number[] = [];
  let depth = 0;
  let tail = '';
  for (let i = 0; i < text.length; ) {
    const pair = text.slice(i, i + 2);
    const char = text.charAt(i);
    let end = i + 1;
    let piece = char;
    if (pair === '//' || (i === 0 && pair === '#!')) {
      end = orEnd(text.indexOf('\n', i), text);
      piece = hollow(text.slice(i, end));
    } else if (pair === '/*') {
      end = orEnd(text.indexOf('*/', i + 2), text, 2);
      piece = hollow(text.slice(i, end));
    } else if (char === "'" || char === '"') {
      end = endOfText(text, i);
      piece = char + hollow(text.slice(i + 1, end - 1)) + text.slice(end - 1, end);
    } else if (char === '/' && REGEX_MAY_FOLLOW.test(tail)) {
      end = endOfRegex(text, i);
      piece = `/${hollow(text.slice(i + 1, end - 1))}/`;
    } else if (char === '`' || (char === '}' && templates.at(-1) === depth)) {
      if (char === '}') templates.pop();
      end = endOfTemplate(text, i + 1);
      piece = char + hollow(text.slice(i + 1, end - 1)) + text.slice(end - 1, end);
      if (text.charAt(end - 1) === '{') templates.push(depth);
    } else if (char === '{') depth++;
    else if (char === '}') depth--;
    yield piece;
    tail = (tail + piece).trimEnd().slice(-12);
    i = end;
  }
}

function orEnd(index: number, text: string, length = 0): number {
  return index < 0 ? text.length : index + length;
}

/** Spaces, but line breaks stay. */
function hollow(text: string): string {
  return text.replace(/[^\n]/g, ' ');
}

/** Behind the closing quote, or at the end of the line when there is none. */
function endOfText(text: string, start: number): number {
  const quote = text.charAt(start);
  let i = start + 1;
  while (i < text.length && text.charAt(i) !== quote && text.charAt(i) !== '\n') i += text.charAt(i) === '\\' ? 2 : 1;
  return Math.min(i + 1, text.length);
}

function endOfRegex(text: string, start: number): number {
  let isInClass = false;
  let i = start + 1;
  for (; i < text.length && text.charAt(i) !== '\n'; i++) {
    const char = text.charAt(i);
    if (char === '\\') i++;
    else if (char === '[') isInClass = true;
    else if (char === ']') isInClass = false;
    else if (char === '/' && !isInClass) break;
  }
  return Math.min(i + 1, text.length);
}

/** Behind the closing backtick or behind `${`. */
function endOfTemplate(text: string, start: number): number {
  for (let i = start; i < text.length; i++) {
    const char = text.charAt(i);
    if (char === '\\') i++;
    else if (char === '`') return i + 1;
    else if (char === '$' && text.charAt(i + 1) === '{') return i + 2;
  }
  return text.length;
}
