/**
 * What the columns of an export mean, read from a mapping file (docs/IMPORT.md): whose row it is, what it tells of
 * the person, and what happened when. Checked in full before the first row. A row becomes what is to be sent, or the
 * reason why it cannot be; nothing is guessed.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as z from 'zod';
import type { Plain, Properties } from '../../proto/messages.ts';
import { parseYamlSource } from '../../workers/catalog/yaml-source.ts';
import { minorDigits, toMinor } from '../http/minor-units.ts';
import { readInstant } from '../http/segment-calls.ts';
import { OperatorError } from '../operator-error.ts';

const name = z.string().min(1).max(256);
const cell = z.strictObject({
  column: name.optional(),
  constant: z.union([z.string(), z.number(), z.boolean()]).optional(),
  type: z.enum(['text', 'integer', 'number', 'boolean', 'money']).optional(),
  values: z.record(z.string(), z.string()).optional(),
  currency: z.union([name, z.strictObject({ column: name })]).optional(),
  decimalComma: z.boolean().optional(),
});
const mappingSchema = z.strictObject({
  version: z.literal(1),
  name,
  delimiter: z.string().length(1).optional(),
  profile: z.strictObject({ column: name, prefix: z.string().max(64).optional() }),
  skipWhere: z.record(z.string(), z.array(z.string())).optional(),
  traits: z.record(name, cell).optional(),
  event: z
    .strictObject({
      name: z.union([name, z.strictObject({ column: name })]),
      time: z
        .strictObject({
          column: name,
          format: z.enum(['iso', 'epochSeconds', 'epochMillis']).optional(),
          offset: z
            .string()
            .regex(/^[+-]\d{2}:\d{2}$/, { error: 'must be an offset such as +01:00' })
            .optional(),
        })
        .optional(),
      messageId: z.strictObject({ column: name, prefix: z.string().max(64).optional() }).optional(),
      properties: z.record(name, cell).optional(),
    })
    .optional(),
});
type Cell = z.infer<typeof cell>;
export type ImportMapping = z.infer<typeof mappingSchema>;

/** What one row asks for; at least one of the two. */
export interface ImportRow {
  readonly profile: string;
  readonly traits: Properties | null;
  readonly event: {
    readonly event: string;
    readonly messageId: string;
    readonly atEpochMillis?: number;
    readonly properties: Properties;
  } | null;
}

/** A cell's text by its column; undefined where the row has none. */
export type CellOf = (column: string) => string | undefined;

/** @throws OperatorError `MAPPING_INVALID` with the first problem. */
export function readImportMapping(path: string): ImportMapping {
  let first: string | undefined;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw invalid(`the mapping ${path} cannot be read (${String((cause as { code?: unknown }).code)})`); // Node's errors carry one
  }
  const source = parseYamlSource(text, ({ line, column }, _, reason) => {
    first ??= `${path}:${line}:${column}: ${reason}`;
  });
  if (source === null) throw invalid(first ?? `${path} is not YAML`);
  const parsed = mappingSchema.safeParse(source.value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw invalid(`${path}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is not a mapping'}`);
  }
  const { traits, event } = parsed.data;
  if (traits === undefined && event === undefined) throw invalid(`${path}: has neither traits nor event`);
  for (const [key, { column, constant, type, currency }] of Object.entries({ ...traits, ...event?.properties })) {
    if ((column === undefined) === (constant === undefined))
      throw invalid(`${path}: ${key}: needs a column or a constant, and not both`);
    if ((type === 'money') !== (currency !== undefined))
      throw invalid(`${path}: ${key}: money and its currency go together`);
    if (typeof currency === 'string' && minorDigits(currency) === null)
      throw invalid(`${path}: ${key}: ${currency} is no ISO 4217 currency`);
  }
  return parsed.data;
}

/** Every column the mapping names, for a look at the header before the first row. */
export function columnsOf({ profile, skipWhere, traits, event }: ImportMapping): string[] {
  const cells = [...Object.values(traits ?? {}), ...Object.values(event?.properties ?? {})];
  const named = [
    profile.column,
    ...Object.keys(skipWhere ?? {}),
    ...cells.flatMap(({ column, currency }) => [column, typeof currency === 'object' ? currency.column : undefined]),
    typeof event?.name === 'object' ? event.name.column : undefined,
    event?.time?.column,
    event?.messageId?.column,
  ];
  return [...new Set(named.filter((column) => column !== undefined))];
}

/** The row as requests, null for one that is to be skipped, or the reason why it cannot be taken. */
export function readRow(mapping: ImportMapping, cellOf: CellOf, rowText: string): ImportRow | null | string {
  for (const [column, values] of Object.entries(mapping.skipWhere ?? {}))
    if (values.includes(cellOf(column) ?? '')) return null;
  const key = cellOf(mapping.profile.column) ?? '';
  if (key === '') return `${mapping.profile.column}: is empty, so it is nobody's row`;
  const profile = `${mapping.profile.prefix ?? ''}${key}`;
  if (Buffer.byteLength(profile) > 256) return `${mapping.profile.column}: a key may have 256 bytes at most`;
  const traits = mapping.traits === undefined ? null : readCells(mapping.traits, cellOf);
  if (typeof traits === 'string') return traits;
  const event = mapping.event === undefined ? null : readEvent(mapping.event, cellOf, rowText);
  if (typeof event === 'string') return event;
  return { profile, traits: traits === null || Object.keys(traits).length === 0 ? null : traits, event };
}

function readEvent(
  event: NonNullable<ImportMapping['event']>,
  cellOf: CellOf,
  rowText: string,
): NonNullable<ImportRow['event']> | string {
  const named = typeof event.name === 'string' ? event.name : (cellOf(event.name.column) ?? '');
  if (named === '' || named.length > 256) return 'event.name: must have 1 to 256 characters';
  const properties = readCells(event.properties ?? {}, cellOf);
  if (typeof properties === 'string') return properties;
  const { time } = event;
  const at = time === undefined ? Number.NaN : readTime(cellOf(time.column) ?? '', time);
  if (typeof at === 'string') return `${time?.column}: ${at}`;
  const id = event.messageId === undefined ? '' : (cellOf(event.messageId.column) ?? '');
  if (event.messageId !== undefined && id === '') return `${event.messageId.column}: is empty, and names the event`;
  // Imported twice it must be the same event: without an id of its own it is named by what the row says.
  const messageId =
    id === ''
      ? `row-${createHash('sha256').update(rowText).digest('base64url')}`
      : `${event.messageId?.prefix ?? ''}${id}`;
  if (messageId.length > 256) return 'messageId: may have 256 characters at most';
  return { event: named, messageId, properties, ...(Number.isNaN(at) ? {} : { atEpochMillis: at }) };
}

function readTime(
  text: string,
  { format = 'iso', offset = 'Z' }: NonNullable<NonNullable<ImportMapping['event']>['time']>,
): number | string {
  let at: number;
  if (format === 'iso') {
    const iso = text.replace(' ', 'T').replace(/^(\d{4}-\d{2}-\d{2})$/, '$1T00:00:00');
    at = readInstant(/(?:Z|[+-]\d{2}:?\d{2})$/.test(iso) ? iso : `${iso}${offset}`);
  } else at = /^\d{1,16}(?:\.\d+)?$/.test(text) ? Number(text) * (format === 'epochSeconds' ? 1000 : 1) : Number.NaN;
  return Number.isNaN(at) || at < 0 || at > Number.MAX_SAFE_INTEGER ? `is no instant (${format})` : Math.round(at);
}

/** Empty cells say nothing, so they are left out. */
function readCells(cells: Readonly<Record<string, Cell>>, cellOf: CellOf): Properties | string {
  const read: Record<string, Plain> = {};
  for (const [key, spec] of Object.entries(cells)) {
    if (spec.constant !== undefined) {
      read[key] = spec.constant;
      continue;
    }
    const raw = cellOf(spec.column ?? '') ?? '';
    if (raw === '') continue;
    const value = readCell(spec.values?.[raw] ?? raw, spec, cellOf);
    if (value === null)
      return `${spec.column}: is no ${spec.type ?? 'text'}${spec.type === 'money' ? ' in a currency known' : ''}`;
    read[key] = value;
  }
  return read;
}

function readCell(text: string, { type = 'text', currency, decimalComma = false }: Cell, cellOf: CellOf): Plain {
  if (type === 'text') return text.length <= 4096 ? text : null;
  if (type === 'boolean') {
    if (/^(?:true|yes|1)$/i.test(text)) return true;
    return /^(?:false|no|0)$/i.test(text) ? false : null;
  }
  const plain = decimalComma ? text.replaceAll('.', '').replace(',', '.') : text;
  if (type === 'money') {
    const code = typeof currency === 'object' ? (cellOf(currency.column) ?? '') : (currency ?? '');
    const digits = minorDigits(code);
    return digits === null ? null : toMinor(plain, digits);
  }
  if (!/^-?\d{1,15}(?:\.\d{1,15})?$/.test(plain)) return null;
  const number = Number(plain);
  return type === 'integer' && !Number.isSafeInteger(number) ? null : number;
}

function invalid(message: string): OperatorError {
  return new OperatorError('MAPPING_INVALID', message, { advice: 'docs/IMPORT.md says what a mapping holds.' });
}
