/**
 * An export as rows: CSV with a header, NDJSON, or the file of rejects that an earlier import wrote; plain or gzip by
 * its first bytes. Read a piece at a time, so its size does not matter. A row that cannot be read is told with its
 * reason and the file goes on; a file that breaks off is an `ExportError` behind the last whole row. Called by the
 * command `import`, which skips, takes or rejects each row.
 */
import type { Plain } from '../../proto/messages.ts';
import { nearestMatch } from '../../workers/catalog/nearest-match.ts';
import { OperatorError } from '../operator-error.ts';
import { type BrokenRow, type CsvRow, CsvSplitter, LineSplitter, openText, type TextLine } from '../replay/csv-rows.ts';

/** What an import writes beside its file, and what tells such a file when it is read. */
export const REJECTS_SUFFIX = '.rejects.ndjson';

export interface ExportRow {
  /** Line of this file. */
  readonly line: number;
  /** Line of the export; another than `line` in a file of rejects only. */
  readonly origin: number;
  /** About the memory it takes, in characters. */
  readonly size: number;
  /** What is wrong with it, so that it has no cells. */
  readonly problem: string | null;
  /** A cell's text by its column; undefined where the row has none. */
  cellOf(column: string): string | undefined;
  /** Its columns, or its text where it cannot be read: what stands in the file of rejects, and what names it. */
  content(): unknown;
}

/** The file broke off, or cannot be read at all. */
export class ExportError extends Error {}

/** Told of the file, whose `bytesRead` says how far the reading is. */
type OnOpen = (source: { readonly bytesRead: number }) => void;

/**
 * The rows in pieces, as they are read.
 * @param columns that the file must have; of NDJSON every row may have its own
 * @throws OperatorError `COLUMN_ABSENT`, `COLUMN_TWICE`; ExportError
 */
export async function* readExport(
  path: string,
  delimiter: string,
  columns: readonly string[],
  onOpen: OnOpen,
): AsyncGenerator<ExportRow[]> {
  const lines = new LineSplitter();
  if (/\.(?:nd)?json(?:l)?(?:\.gz)?$/i.test(path)) {
    const readLine = path.endsWith(REJECTS_SUFFIX) ? readReject : readJsonLine;
    const read = (some: readonly TextLine[]): ExportRow[] =>
      some.filter(({ text, problem }) => problem !== null || text.trim() !== '').map(readLine);
    for await (const bytes of bytesOf(path, onOpen)) yield read(lines.push(bytes));
    yield read(lines.end());
    return;
  }
  const splitter = new CsvSplitter(delimiter);
  const table = new CsvTable(path, columns);
  for await (const bytes of bytesOf(path, onOpen)) yield table.read(splitter.push(lines.push(bytes)));
  yield table.read(splitter.push(lines.end()));
  yield table.read(splitter.end());
}

async function* bytesOf(path: string, onOpen: OnOpen): AsyncGenerator<Uint8Array> {
  try {
    yield* openText(path, onOpen);
  } catch (cause) {
    throw new ExportError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/** CSV: its first row names the columns. */
class CsvTable {
  readonly #path: string;
  readonly #columns: readonly string[];
  #header: ReadonlyMap<string, number> | undefined;

  constructor(path: string, columns: readonly string[]) {
    this.#path = path;
    this.#columns = columns;
  }

  read(rows: readonly (CsvRow | BrokenRow)[]): ExportRow[] {
    const [first, ...others] = rows;
    if (this.#header !== undefined) return rows.map((row) => this.#rowOf(row, this.#header as never)); // looked at in this line
    if (first === undefined) return [];
    const header = this.#headerOf(first);
    this.#header = header;
    return others.map((row) => this.#rowOf(row, header));
  }

  #headerOf(row: CsvRow | BrokenRow): ReadonlyMap<string, number> {
    if ('problem' in row) throw new ExportError(`its header ${row.problem}`);
    const header = new Map(row.fields.map((name, i) => [name, i]));
    const twice = row.fields.find((name, i) => header.get(name) !== i);
    if (twice !== undefined)
      throw new OperatorError('COLUMN_TWICE', `${this.#path} has two columns ${JSON.stringify(twice)} in its header`, {
        advice: 'Rename one of them in the header; nothing was imported.',
      });
    for (const column of this.#columns) {
      if (header.has(column)) continue;
      const nearest = nearestMatch(column, header.keys());
      throw new OperatorError(
        'COLUMN_ABSENT',
        `${this.#path} has no column ${JSON.stringify(column)}, which the mapping names` +
          (nearest === undefined ? '' : `; did you mean ${JSON.stringify(nearest)}?`),
        {
          advice: `Its header has ${header.size === 1 ? 'one column only; is the delimiter right?' : `${[...header.keys()].slice(0, 20).join(', ')}.`} Nothing was imported.`,
        },
      );
    }
    return header;
  }

  #rowOf(row: CsvRow | BrokenRow, header: ReadonlyMap<string, number>): ExportRow {
    if ('problem' in row) return new BrokenExportRow(row.line, row.line, row.text, row.problem);
    const { line, fields } = row;
    if (fields.length !== header.size)
      return new BrokenExportRow(line, line, fields, `has ${fields.length} fields, the header ${header.size}`);
    return new CsvExportRow(line, fields, header);
  }
}

class CsvExportRow implements ExportRow {
  readonly problem = null;
  readonly line: number;
  readonly origin: number;
  readonly size: number;
  readonly #fields: readonly string[];
  readonly #header: ReadonlyMap<string, number>;

  constructor(line: number, fields: readonly string[], header: ReadonlyMap<string, number>) {
    this.line = line;
    this.origin = line;
    this.size = fields.reduce((sum, field) => sum + field.length + 16, 0);
    this.#fields = fields;
    this.#header = header;
  }

  cellOf(column: string): string | undefined {
    return this.#fields[this.#header.get(column) ?? -1];
  }

  content(): unknown {
    return Object.fromEntries([...this.#header].map(([name, i]) => [name, this.#fields[i]]));
  }
}

/** A map of JSON; a column is a path into it. */
class JsonExportRow implements ExportRow {
  readonly problem = null;
  readonly line: number;
  readonly origin: number;
  readonly size: number;
  readonly #map: Readonly<Record<string, Plain>>;

  constructor(line: number, origin: number, size: number, map: Readonly<Record<string, Plain>>) {
    this.line = line;
    this.origin = origin;
    this.size = size;
    this.#map = map;
  }

  /** `order.total` is the total of the order, where there is no column of that very name. */
  cellOf(column: string): string | undefined {
    let value: unknown = this.#map;
    for (const key of Object.hasOwn(this.#map, column) ? [column] : column.split('.')) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
      value = (value as Record<string, unknown>)[key]; // a map or array, looked at above
    }
    return value === null || typeof value === 'object' ? undefined : String(value);
  }

  content(): unknown {
    return this.#map;
  }
}

class BrokenExportRow implements ExportRow {
  readonly line: number;
  readonly origin: number;
  readonly size: number;
  readonly problem: string;
  readonly #content: unknown;

  constructor(line: number, origin: number, content: string | readonly string[], problem: string) {
    this.line = line;
    this.origin = origin;
    this.size = typeof content === 'string' ? content.length : content.join('').length;
    this.#content = content;
    this.problem = problem;
  }

  cellOf(): undefined {
    return undefined;
  }

  content(): unknown {
    return this.#content;
  }
}

function readJsonLine({ line, text, problem }: TextLine): ExportRow {
  const value = problem === null ? parsedJson(text) : undefined;
  const reason = problem ?? (value === undefined ? 'is not valid JSON' : isMap(value) ? null : 'is not a map');
  return reason === null && isMap(value)
    ? new JsonExportRow(line, line, text.length, value)
    : new BrokenExportRow(line, line, text, reason ?? '');
}

/** A line of a file of rejects: the row that stands in it. */
function readReject(read: TextLine): ExportRow {
  const { line, text, problem } = read;
  const value = problem === null ? parsedJson(text) : undefined;
  if (!isMap(value) || typeof value.line !== 'number' || value.row === undefined)
    return new BrokenExportRow(
      line,
      line,
      text,
      problem ?? 'is no line of a file of rejects: {"line", "reason", "row"}',
    );
  const { line: origin, row } = value;
  const map = typeof row === 'string' ? parsedJson(row) : row;
  if (isMap(map)) return new JsonExportRow(line, origin, text.length, map);
  const content = typeof row === 'string' ? row : JSON.stringify(row);
  return new BrokenExportRow(line, origin, content, 'cannot be read: write its "row" as a map from columns to texts');
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isMap(value: unknown): value is Readonly<Record<string, Plain>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
