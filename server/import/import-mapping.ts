/**
 * What the columns of an export mean, read from a mapping file (docs/IMPORT.md): whose row it is, what it tells of
 * the person, and what happened when. Checked in full before the first row, so that rows are judged by `import-row.ts`
 * without a look at the mapping's own mistakes. Called by the command `import`.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as z from 'zod';
import { parseYamlSource } from '../../workers/catalog/yaml-source.ts';
import { minorDigits } from '../http/minor-units.ts';
import { OperatorError } from '../operator-error.ts';
import { instantReader, isZone, TIME_FORMATS } from './import-time.ts';

const name = z.string().min(1).max(256);
const cell = z.strictObject({
  column: name.optional(),
  constant: z.union([z.string(), z.number(), z.boolean()]).optional(),
  type: z.enum(['text', 'integer', 'number', 'boolean', 'money']).optional(),
  values: z.record(z.string(), z.string()).optional(),
  currency: z.union([name, z.strictObject({ column: name })]).optional(),
  decimalComma: z.boolean().optional(),
});
const time = z
  .strictObject({
    column: name,
    format: z.enum(TIME_FORMATS).optional(),
    zone: name.refine(isZone, { error: 'must be a time zone of IANA such as Europe/Berlin' }).optional(),
    offset: z
      .string()
      .regex(/^[+-](?:0\d|1[0-3]):[0-5]\d$/, { error: 'must be an offset such as +01:00' })
      .optional(),
  })
  .refine(({ zone, offset }) => zone === undefined || offset === undefined, {
    error: 'has a zone or an offset, not both',
  })
  .transform((time) => ({ ...time, read: instantReader(time) }));
const mappingSchema = z.strictObject({
  version: z.literal(1),
  name,
  delimiter: z
    .string()
    .length(1)
    .regex(/[^"\r\n]/, { error: 'must not be a quote or a line break' })
    .optional(),
  profile: z.strictObject({ column: name, prefix: z.string().max(64).optional() }),
  skipWhere: z.record(z.string(), z.array(z.string())).optional(),
  traits: z.record(name, cell).optional(),
  told: time.optional(),
  event: z
    .strictObject({
      name: z.union([name, z.strictObject({ column: name, values: z.record(z.string(), name).optional() })]),
      time: time.optional(),
      messageId: z.strictObject({ column: name, prefix: z.string().max(64).optional() }).optional(),
      properties: z.record(name, cell).optional(),
    })
    .optional(),
});
export type ImportCell = z.infer<typeof cell>;
export interface ImportMapping extends z.infer<typeof mappingSchema> {
  /** Of the file's text: another mapping is another import. */
  readonly digest: string;
}

/** @throws OperatorError `MAPPING_INVALID` with the first problem. */
export function readImportMapping(path: string): ImportMapping {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw invalid(`the mapping ${path} cannot be read (${String((cause as { code?: unknown }).code)})`); // Node's errors carry one
  }
  return parseImportMapping(text, path);
}

/** @param path named in what is thrown, as by `readImportMapping` */
export function parseImportMapping(text: string, path: string): ImportMapping {
  let first: string | undefined;
  const source = parseYamlSource(text, ({ line, column }, _, reason) => {
    first ??= `${path}:${line}:${column}: ${reason}`;
  });
  if (source === null) throw invalid(first ?? `${path} is not YAML`);
  const parsed = mappingSchema.safeParse(source.value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw invalid(`${path}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is not a mapping'}`);
  }
  const { traits, told, event } = parsed.data;
  if (traits === undefined && event === undefined) throw invalid(`${path}: has neither traits nor event`);
  if (told !== undefined && traits === undefined)
    throw invalid(`${path}: told: says when traits were told, and there are none`);
  for (const [key, { column, constant, type, currency }] of Object.entries({ ...traits, ...event?.properties })) {
    if ((column === undefined) === (constant === undefined))
      throw invalid(`${path}: ${key}: needs a column or a constant, and not both`);
    if ((type === 'money') !== (currency !== undefined))
      throw invalid(`${path}: ${key}: money and its currency go together`);
    if (typeof currency === 'string' && minorDigits(currency) === null)
      throw invalid(`${path}: ${key}: ${currency} is no ISO 4217 currency`);
  }
  return { ...parsed.data, digest: createHash('sha256').update(text).digest('hex') };
}

/** Every column the mapping names, for a look at the header before the first row. */
export function columnsOf({ profile, skipWhere, traits, told, event }: ImportMapping): string[] {
  const cells = [...Object.values(traits ?? {}), ...Object.values(event?.properties ?? {})];
  const named = [
    profile.column,
    ...Object.keys(skipWhere ?? {}),
    ...cells.flatMap(({ column, currency }) => [column, typeof currency === 'object' ? currency.column : undefined]),
    typeof event?.name === 'object' ? event.name.column : undefined,
    told?.column,
    event?.time?.column,
    event?.messageId?.column,
  ];
  return [...new Set(named.filter((column) => column !== undefined))];
}

function invalid(message: string): OperatorError {
  return new OperatorError('MAPPING_INVALID', message, { advice: 'docs/IMPORT.md says what a mapping holds.' });
}
