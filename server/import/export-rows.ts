/**
 * An export as rows, CSV with a header or NDJSON, plain or gzip by its first bytes: read a piece at a time, so its
 * size does not matter. A row that cannot be read is told with its reason and the file goes on; a file that breaks
 * off is an error behind the last whole row.
 */
import type { Plain } from '../../proto/messages.ts';
import { CsvSplitter, openText } from '../replay/csv-rows.ts';
import type { CellOf } from './import-mapping.ts';

/** Longest line of NDJSON, in characters. */
const LINE_MAX = 256 * 1024;

export type ExportRow =
  | { readonly line: number; readonly text: string; readonly cellOf: CellOf }
  | { readonly line: number; readonly text: string; readonly problem: string };

/** @param columns that the file must have; of NDJSON every row may have its own */
export async function* readExport(
  path: string,
  delimiter: string,
  columns: readonly string[],
  onOpen: OnOpen,
): AsyncGenerator<ExportRow> {
  if (/\.(?:nd)?json(?:l)?(?:\.gz)?$/i.test(path)) yield* readLines(path, onOpen);
  else yield* readCsvRows(path, delimiter, columns, onOpen);
}

export class ExportError extends Error {}

/** Told of the file, whose `bytesRead` says how far the reading is. */
type OnOpen = (source: { readonly bytesRead: number }) => void;

async function* readCsvRows(
  path: string,
  delimiter: string,
  columns: readonly string[],
  onOpen: OnOpen,
): AsyncGenerator<ExportRow> {
  const splitter = new CsvSplitter(delimiter, path);
  let header: ReadonlyMap<string, number> | undefined;
  const accept = function* (rows: Iterable<{ line: number; fields: readonly string[] }>): Generator<ExportRow> {
    for (const { line, fields } of rows) {
      const text = JSON.stringify(fields);
      if (header === undefined) {
        header = new Map(fields.map((name, i) => [name.replace(/^\uFEFF/, ''), i]));
        const absent = columns.filter((column) => header?.has(column) !== true);
        if (absent.length > 0) throw new ExportError(`${path} has no column ${absent.join(', ')}`);
        continue;
      }
      const known = header;
      if (fields.length !== known.size)
        yield { line, text, problem: `has ${fields.length} fields, the header ${known.size}` };
      else yield { line, text, cellOf: (column) => fields[known.get(column) ?? -1] };
    }
  };
  const decoder = new TextDecoder('utf-8', { fatal: true });
  for await (const bytes of openText(path, onOpen))
    yield* accept(splitter.push(decoder.decode(bytes, { stream: true })));
  yield* accept(splitter.push(decoder.decode()));
  yield* accept(splitter.end());
}

async function* readLines(path: string, onOpen: OnOpen): AsyncGenerator<ExportRow> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  let line = 0;
  let isTooLong = false;
  const accept = function* (text: string): Generator<ExportRow> {
    line++;
    if (isTooLong) {
      isTooLong = false;
      yield { line, text: '', problem: `is longer than ${LINE_MAX} characters` };
    } else if (text.trim() !== '') yield readLine(line, text);
  };
  for await (const bytes of openText(path, onOpen)) {
    const parts = (rest + decoder.decode(bytes, { stream: true })).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) yield* accept(part);
    if (rest.length > LINE_MAX) {
      isTooLong = true;
      rest = '';
    }
  }
  rest += decoder.decode();
  if (rest !== '' || isTooLong) yield* accept(rest);
}

function readLine(line: number, text: string): ExportRow {
  if (text.length > LINE_MAX) return { line, text: '', problem: `is longer than ${LINE_MAX} characters` };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { line, text, problem: 'is not valid JSON' };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { line, text, problem: 'is not a map' };
  return { line, text, cellOf: (column) => textAt(value as Record<string, Plain>, column) }; // a map, looked at above
}

/** `order.total` is the total of the order. */
function textAt(map: Record<string, Plain>, path: string): string | undefined {
  let value: unknown = map;
  for (const key of Object.hasOwn(map, path) ? [path] : path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key]; // a map or array, looked at above
  }
  return value === null || typeof value === 'object' ? undefined : String(value);
}
