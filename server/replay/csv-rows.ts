/**
 * A CSV file as a stream of rows (RFC 4180: quoted fields may hold commas, quotes and line breaks),
 * plain or gzip by its first two bytes. Read a piece at a time, so its size does not matter; a field
 * without end and a row with too many or too few fields are errors with their line, never a guess.
 */
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { OperatorError } from '../operator-error.ts';

export interface CsvRow {
  /** Line of the file it begins on, from 1. */
  readonly line: number;
  readonly fields: readonly string[];
}

const FIELD_LENGTH_MAX = 64 * 1024;
const FIELDS_MAX = 4096;

/** Splits text that comes in pieces of any size; a row may span many. */
export class CsvSplitter {
  readonly #delimiter: string;
  readonly #path: string;
  #fields: string[] = [];
  #field = '';
  /** Inside quotes; behind a quote that may be the end or half of a doubled one. */
  #isQuoted = false;
  #isAfterQuote = false;
  #isAfterReturn = false;
  #line = 1;
  #rowLine = 1;

  constructor(delimiter: string, path: string) {
    this.#delimiter = delimiter;
    this.#path = path;
  }

  /** The rows that end within this piece. Throws OperatorError `LOG_UNREADABLE`. */
  *push(text: string): Generator<CsvRow> {
    for (let at = 0; at < text.length; at += 1) {
      const character = text[at] as string; // at < length
      if (character === '\n') this.#line += 1;
      const isBreak = character === '\n' || character === '\r';
      if (this.#isAfterReturn) {
        this.#isAfterReturn = false;
        if (character === '\n') {
          this.#rowLine = this.#line;
          continue;
        }
      }
      if (this.#isQuoted && !this.#isAfterQuote) {
        if (character === '"') this.#isAfterQuote = true;
        else this.#append(character);
      } else if (this.#isAfterQuote && character === '"') {
        this.#isAfterQuote = false;
        this.#append('"');
      } else if (character === this.#delimiter) {
        this.#endField();
      } else if (isBreak) {
        this.#isAfterReturn = character === '\r';
        const row = this.#endRow();
        if (row !== undefined) yield row;
      } else if (this.#isAfterQuote) {
        throw this.#error('has text behind a closing quote');
      } else if (character === '"' && this.#field === '') {
        this.#isQuoted = true;
      } else {
        this.#append(character);
      }
    }
  }

  /** The row that no line break ended, if any. */
  *end(): Generator<CsvRow> {
    if (this.#isQuoted && !this.#isAfterQuote) throw this.#error('has a quote that is never closed');
    const row = this.#endRow();
    if (row !== undefined) yield row;
  }

  #append(character: string): void {
    if (this.#field.length >= FIELD_LENGTH_MAX)
      throw this.#error(`has a field longer than ${FIELD_LENGTH_MAX} characters`);
    this.#field += character;
  }

  #endField(): void {
    if (this.#fields.length >= FIELDS_MAX) throw this.#error(`has more than ${FIELDS_MAX} fields`);
    this.#fields.push(this.#field);
    this.#field = '';
    this.#isQuoted = false;
    this.#isAfterQuote = false;
  }

  /** An empty line is no row. */
  #endRow(): CsvRow | undefined {
    const line = this.#rowLine;
    this.#rowLine = this.#line;
    if (this.#fields.length === 0 && this.#field === '' && !this.#isQuoted) return undefined;
    this.#endField();
    const fields = this.#fields;
    this.#fields = [];
    return { line, fields };
  }

  #error(reason: string): OperatorError {
    return unreadable(`${this.#path} line ${this.#rowLine} ${reason}`);
  }
}

/** Column names to positions, from the first row. */
export type CsvHeader = ReadonlyMap<string, number>;

/**
 * The file's rows behind its header row, each with as many fields as the header.
 * Throws OperatorError `LOG_UNREADABLE`: no such file, not UTF-8, damaged gzip, a broken row.
 */
export async function* readCsv(path: string, delimiter: string): AsyncGenerator<{ header: CsvHeader; row: CsvRow }> {
  const splitter = new CsvSplitter(delimiter, path);
  let header: CsvHeader | undefined;
  const accept = function* (rows: Iterable<CsvRow>): Generator<{ header: CsvHeader; row: CsvRow }> {
    for (const row of rows) {
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
  const decoder = new TextDecoder('utf-8', { fatal: true });
  try {
    for await (const bytes of openText(path)) yield* accept(splitter.push(decoder.decode(bytes, { stream: true })));
    yield* accept(splitter.push(decoder.decode()));
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
