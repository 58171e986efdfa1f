/**
 * One row of an export as what is to be sent, by the mapping: or null for a row to skip, or the reason why it cannot be
 * taken. Nothing is guessed: what could mean two things is a reason. Pure; called by the command `import`.
 */
import { createHash } from 'node:crypto';
import { LIMITS } from '../../proto/limits.ts';
import type { Plain, Properties } from '../../proto/messages.ts';
import { minorDigits, toMinor } from '../http/minor-units.ts';
import type { ExportRow } from './export-rows.ts';
import type { ImportCell, ImportMapping } from './import-mapping.ts';

/** What one row asks for; at least one of traits and event, or it says nothing. */
export interface ImportRow {
  readonly profile: string;
  readonly traits: Properties | null;
  /** When they were told; absent: now. */
  readonly toldAtEpochMillis?: number;
  readonly event: {
    readonly event: string;
    readonly messageId: string;
    readonly atEpochMillis?: number;
    readonly properties: Properties;
  } | null;
}

const NAME_LENGTH_MAX = 256;
const TEXT_LENGTH_MAX = 4096;
/** Dots group by threes before a decimal comma. */
const GROUPED = /^-?\d{1,3}(?:\.\d{3})+(?:,\d+)?$/;
const UNGROUPED = /^-?\d+(?:,\d+)?$/;
/** `1.234`: twelve hundred, or one and a bit by an export that mixes its marks. */
const ONE_GROUP = /^-?\d{1,3}\.\d{3}$/;

export function readRow(mapping: ImportMapping, row: ExportRow): ImportRow | null | string {
  if (row.problem !== null) return row.problem;
  for (const [column, values] of Object.entries(mapping.skipWhere ?? {}))
    if (values.includes(row.cellOf(column) ?? '')) return null;
  const { column, prefix = '' } = mapping.profile;
  const key = row.cellOf(column) ?? '';
  if (key === '') return `${column}: is empty, so it is nobody's row`;
  const profile = `${prefix}${key}`;
  if (Buffer.byteLength(profile) > LIMITS.profileKeyBytesMax)
    return `${column}: a key may have ${LIMITS.profileKeyBytesMax} bytes at most`;
  if (profile.includes('\0')) return `${column}: a key may not hold a NUL`;
  const traits = mapping.traits === undefined ? null : readCells(mapping.traits, row);
  if (typeof traits === 'string') return traits;
  const { told } = mapping;
  const toldAt = told === undefined ? undefined : told.read(row.cellOf(told.column) ?? '');
  if (told !== undefined && Number.isNaN(toldAt)) return notAnInstant(told);
  const event = mapping.event === undefined ? null : readEvent(mapping, mapping.event, row);
  if (typeof event === 'string') return event;
  return {
    profile,
    traits: traits === null || Object.keys(traits).length === 0 ? null : traits,
    ...(toldAt === undefined ? {} : { toldAtEpochMillis: toldAt }),
    event,
  };
}

function readEvent(
  mapping: ImportMapping,
  event: NonNullable<ImportMapping['event']>,
  row: ExportRow,
): NonNullable<ImportRow['event']> | string {
  const named =
    typeof event.name === 'string' ? event.name : replaced(row.cellOf(event.name.column) ?? '', event.name.values);
  if (named === '' || named.length > NAME_LENGTH_MAX) return `event.name: must have 1 to ${NAME_LENGTH_MAX} characters`;
  const properties = readCells(event.properties ?? {}, row);
  if (typeof properties === 'string') return properties;
  const { time } = event;
  const at = time === undefined ? undefined : time.read(row.cellOf(time.column) ?? '');
  if (time !== undefined && Number.isNaN(at)) return notAnInstant(time);
  const messageId = messageIdOf(mapping, event, row);
  if (messageId === null) return `${event.messageId?.column}: is empty, and names the event`;
  if (messageId.length > NAME_LENGTH_MAX) return `messageId: may have ${NAME_LENGTH_MAX} characters at most`;
  return { event: named, messageId, properties, ...(at === undefined ? {} : { atEpochMillis: at }) };
}

function notAnInstant({ column, format = 'iso', zone }: NonNullable<ImportMapping['told']>): string {
  return `${column}: is no instant (${format}${zone === undefined ? '' : `, ${zone}`})`;
}

/**
 * Imported twice it must be the same event. Without an id of its own it is named by the mapping, what the row says and
 * the line it stands on, because two rows that say the same are two events.
 */
function messageIdOf(
  { name }: ImportMapping,
  { messageId }: NonNullable<ImportMapping['event']>,
  row: ExportRow,
): string | null {
  if (messageId === undefined) {
    const said = JSON.stringify([name, row.origin, row.content()]);
    return `row-${createHash('sha256').update(said).digest('base64url')}`;
  }
  const id = row.cellOf(messageId.column) ?? '';
  return id === '' ? null : `${messageId.prefix ?? ''}${id}`;
}

/** Empty cells say nothing, so they are left out. */
function readCells(cells: Readonly<Record<string, ImportCell>>, row: ExportRow): Properties | string {
  const read: Record<string, Plain> = {};
  for (const [key, spec] of Object.entries(cells)) {
    if (spec.constant !== undefined) {
      read[key] = spec.constant;
      continue;
    }
    const raw = row.cellOf(spec.column ?? '') ?? '';
    if (raw === '') continue;
    const value = readCell(replaced(raw, spec.values), spec, row);
    if (typeof value === 'object') return `${spec.column}: ${value.problem}`;
    read[key] = value;
  }
  return read;
}

function replaced(text: string, values: Readonly<Record<string, string>> | undefined): string {
  return values !== undefined && Object.hasOwn(values, text) ? (values[text] as string) : text; // an own key
}

function readCell(
  text: string,
  { type = 'text', currency, decimalComma = false }: ImportCell,
  row: ExportRow,
): string | number | boolean | { readonly problem: string } {
  if (type === 'text')
    return text.length <= TEXT_LENGTH_MAX ? text : { problem: `is longer than ${TEXT_LENGTH_MAX} characters` };
  if (type === 'boolean') {
    if (/^(?:true|yes|1)$/i.test(text)) return true;
    return /^(?:false|no|0)$/i.test(text) ? false : { problem: 'is no boolean' };
  }
  if (decimalComma && type !== 'integer' && ONE_GROUP.test(text))
    return { problem: 'could be a grouped or a decimal number; write it with its decimal comma' };
  if (decimalComma && !GROUPED.test(text) && !UNGROUPED.test(text))
    return { problem: `is no ${type} with a decimal comma` };
  const plain = decimalComma ? text.replaceAll('.', '').replace(',', '.') : text;
  if (type === 'money') {
    const code = typeof currency === 'object' ? (row.cellOf(currency.column) ?? '') : (currency ?? '');
    const digits = minorDigits(code);
    if (digits === null) return { problem: 'is money of a currency that is not known' };
    return toMinor(plain, digits) ?? { problem: 'is no amount of money' };
  }
  const number = /^-?\d{1,15}(?:\.\d{1,15})?$/.test(plain) ? Number(plain) : Number.NaN;
  if (Number.isNaN(number) || (type === 'integer' && !Number.isSafeInteger(number)))
    return { problem: `is no ${type}` };
  return number + 0;
}
