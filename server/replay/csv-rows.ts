/**
 * Text files a line at a time and CSV files a row at a time (RFC 4180: quoted fields may hold commas, quotes and line
 * breaks), plain or gzip by the first two bytes. Read in pieces, so the size does not matter. A line that is not UTF-8
 * and a row that is not CSV are told with their line and what is wrong, never guessed, and take nothing else with them.
 * Traded away: a row may not be longer than `LINE_BYTES_MAX`, and a lone carriage return is no line break.
 *
 *     bytes ─▸ LineSplitter ─▸ lines ─▸ CsvSplitter ─▸ rows
 *                                └────▸ rows of NDJSON (../import/export-rows.ts)
 */
import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { OperatorError } from '../operator-error.ts';

/** Longest line, and longest row of CSV, which may span lines. */
export const LINE_BYTES_MAX = 256 * 1024;
const FIELDS_MAX = 4096;
const LINE_FEED = 10;
const TOO_LONG = `is longer than ${LINE_BYTES_MAX} bytes`;
const NO_BYTES = Buffer.alloc(0);

export interface TextLine {
  /** From 1. */
  readonly line: number;
  /** Without its line feed; empty when it is too long. */
  readonly text: string;
  readonly problem: string | null;
}

/** Cuts bytes that come in pieces of any size at line feeds. */
export class LineSplitter {
  #rest: Uint8Array = NO_BYTES;
  #isTooLong = false;
  #line = 0;

  /** The lines that end within this piece. */
  push(bytes: Uint8Array): TextLine[] {
    const end = bytes.lastIndexOf(LINE_FEED);
    if (end < 0) {
      if (this.#rest.length + bytes.length > LINE_BYTES_MAX) this.#isTooLong = true;
      this.#rest = this.#isTooLong ? NO_BYTES : Buffer.concat([this.#rest, bytes]);
      return [];
    }
    const lines = this.#cut(Buffer.concat([this.#rest, bytes.subarray(0, end)]));
    this.#rest = Buffer.from(bytes.subarray(end + 1));
    return lines;
  }

  /** The line that no line feed ended, if any. */
  end(): TextLine[] {
    const last = Buffer.from(this.#rest);
    this.#rest = NO_BYTES;
    return last.length > 0 || this.#isTooLong ? this.#cut(last) : [];
  }

  #cut(block: Buffer): TextLine[] {
    // As nearly always: text is read at once.
    if (isUtf8(block)) return block.toString('utf8').split('\n').map(this.#read);
    const lines: TextLine[] = [];
    for (let at = 0; at <= block.length; ) {
      const found = block.indexOf(LINE_FEED, at);
      const end = found < 0 ? block.length : found;
      const part = block.subarray(at, end);
      const { line, text, problem } = this.#read(part.toString('utf8'));
      lines.push({ line, text, problem: problem ?? (isUtf8(part) ? null : 'is not UTF-8') });
      at = end + 1;
    }
    return lines;
  }

  readonly #read = (text: string): TextLine => {
    this.#line += 1;
    const isTooLong = this.#isTooLong || text.length > LINE_BYTES_MAX;
    this.#isTooLong = false;
    if (isTooLong) return { line: this.#line, text: '', problem: TOO_LONG };
    return { line: this.#line, text: this.#line === 1 ? text.replace(/^\uFEFF/, '') : text, problem: null };
  };
}

export interface CsvRow {
  /** Line of the file it begins on, from 1. */
  readonly line: number;
  readonly fields: readonly string[];
}

/** A row that is none, as it stands in the file. */
export interface BrokenRow {
  readonly line: number;
  readonly text: string;
  readonly problem: string;
}

/** Splits lines into rows; a row may span many. */
export class CsvSplitter {
  readonly #delimiter: string;
  /** Lines of the row that a quote keeps open, and the part of it that is read. */
  #open: TextLine[] = [];
  #openLength = 0;
  #fields: string[] = [];
  #field = '';
  /** Up to here lines were read once as part of a row that never ended: none of them may begin such a row again. */
  #aloneUntil = 0;

  constructor(delimiter: string) {
    this.#delimiter = delimiter;
  }

  /** The rows that end with these lines. */
  push(lines: readonly TextLine[]): (CsvRow | BrokenRow)[] {
    const rows: (CsvRow | BrokenRow)[] = [];
    for (const line of lines) this.#take(line, rows);
    return rows;
  }

  /** The rows that the end of the file ends. */
  end(): (CsvRow | BrokenRow)[] {
    const rows: (CsvRow | BrokenRow)[] = [];
    if (this.#open.length > 0) this.#giveUp('has a quote that is never closed', rows);
    return rows;
  }

  #take(line: TextLine, rows: (CsvRow | BrokenRow)[]): void {
    const { text } = line;
    if (this.#open.length === 0 && !text.includes('"')) {
      const plain = text.endsWith('\r') ? text.slice(0, -1) : text;
      if (line.problem !== null) rows.push({ line: line.line, text: plain, problem: line.problem });
      else if (plain !== '') rows.push(bounded(line.line, text, plain.split(this.#delimiter)));
      return;
    }
    this.#open.push(line);
    this.#openLength += text.length + 1;
    const end = this.#read(text);
    if (end === 'open' && this.#openLength <= LINE_BYTES_MAX && line.line > this.#aloneUntil) return;
    if (end === 'broken') this.#giveUp('has text behind a closing quote', rows);
    else if (end === 'open') this.#giveUp('has a quote that is never closed', rows);
    else {
      const first = this.#open[0] as TextLine; // pushed above
      const problem = this.#open.find((one) => one.problem !== null)?.problem ?? null;
      const whole = this.#open.map((one) => one.text).join('\n');
      rows.push(
        problem === null ? bounded(first.line, whole, this.#fields) : { line: first.line, text: whole, problem },
      );
      this.#clear();
    }
  }

  /** Only the line that the row began with is lost; those behind it are read anew. */
  #giveUp(problem: string, rows: (CsvRow | BrokenRow)[]): void {
    const [first, ...others] = this.#open as [TextLine, ...TextLine[]]; // called with an open row
    this.#clear();
    rows.push({ line: first.line, text: first.text, problem: first.problem ?? problem });
    this.#aloneUntil = Math.max(this.#aloneUntil, others.at(-1)?.line ?? 0);
    for (const line of others) this.#take(line, rows);
  }

  #clear(): void {
    this.#open = [];
    this.#openLength = 0;
    this.#fields = [];
    this.#field = '';
  }

  /** Reads on with a line: whether the row ends with it, stays open, or is none. */
  #read(text: string): 'ended' | 'open' | 'broken' {
    let isQuoted = this.#open.length > 1;
    if (isQuoted) this.#field += '\n';
    for (let at = 0; ; ) {
      if (!isQuoted && text[at] !== '"') {
        const end = text.indexOf(this.#delimiter, at);
        this.#fields.push(end < 0 ? text.slice(at).replace(/\r$/, '') : text.slice(at, end));
        if (end < 0) return 'ended';
        at = end + 1;
        continue;
      }
      if (!isQuoted) at += 1;
      isQuoted = true;
      const quote = text.indexOf('"', at);
      this.#field += text.slice(at, quote < 0 ? undefined : quote);
      if (quote < 0) return 'open';
      at = quote + 1;
      if (text[at] === '"') {
        this.#field += '"';
        at += 1;
        continue;
      }
      isQuoted = false;
      this.#fields.push(this.#field);
      this.#field = '';
      if (text.slice(at, at + 2) === '' || text.slice(at) === '\r') return 'ended';
      if (text[at] !== this.#delimiter) return 'broken';
      at += 1;
    }
  }
}

function bounded(line: number, text: string, fields: readonly string[]): CsvRow | BrokenRow {
  return fields.length > FIELDS_MAX ? { line, text, problem: `has more than ${FIELDS_MAX} fields` } : { line, fields };
}

/** Column names to positions, from the first row. */
export type CsvHeader = ReadonlyMap<string, number>;

/**
 * The file's rows behind its header row, each with as many fields as the header.
 * Throws OperatorError `LOG_UNREADABLE`: no such file, not UTF-8, damaged gzip, a broken row.
 */
export async function* readCsv(path: string, delimiter: string): AsyncGenerator<{ header: CsvHeader; row: CsvRow }> {
  const lines = new LineSplitter();
  const splitter = new CsvSplitter(delimiter);
  let header: CsvHeader | undefined;
  const accept = function* (rows: Iterable<CsvRow | BrokenRow>): Generator<{ header: CsvHeader; row: CsvRow }> {
    for (const row of rows) {
      if ('problem' in row) throw unreadable(`${path} line ${row.line} ${row.problem}`);
      if (header === undefined) {
        header = new Map(row.fields.map((name, index) => [name, index]));
        if (header.size < row.fields.length) throw unreadable(`${path} names a column twice in its header`);
        continue;
      }
      if (row.fields.length !== header.size) {
        throw unreadable(`${path} line ${row.line} has ${row.fields.length} fields, its header ${header.size}`);
      }
      yield { header, row };
    }
  };
  try {
    for await (const bytes of openText(path)) yield* accept(splitter.push(lines.push(bytes)));
    yield* accept(splitter.push(lines.end()));
    yield* accept(splitter.end());
  } catch (cause) {
    if (cause instanceof OperatorError) throw cause;
    throw unreadable(`${path} cannot be read (${cause instanceof Error ? cause.message : String(cause)})`, cause);
  }
}

/** The file's bytes, unpacked when they begin like gzip. */
export async function* openText(
  path: string,
  onOpen: (source: { readonly bytesRead: number }) => void = () => {},
): AsyncGenerator<Uint8Array> {
  const source = createReadStream(path);
  onOpen(source);
  const first = await new Promise<Buffer>((resolve, reject) => {
    source.once('error', reject);
    source.once('readable', () => resolve((source.read() as Buffer | null) ?? Buffer.alloc(0))); // no encoding set: bytes
    source.once('end', () => resolve(Buffer.alloc(0)));
  });
  source.unshift(first);
  if (!(first[0] === 0x1f && first[1] === 0x8b)) {
    yield* source as AsyncIterable<Uint8Array>; // no encoding set: bytes
    return;
  }
  const unpacked = createGunzip();
  const done = pipeline(source, unpacked);
  // Its failure is thrown by the iteration of `unpacked` as well.
  done.catch(() => undefined);
  yield* unpacked as AsyncIterable<Uint8Array>; // as above
  await done;
}

function unreadable(message: string, cause?: unknown): OperatorError {
  return new OperatorError('LOG_UNREADABLE', message, {
    advice: 'A log is a CSV file with a header row, plain or gzip; see docs/REPLAY.md.',
    ...(cause === undefined ? {} : { cause }),
  });
}
