/**
 * One value against what the catalog declares of it: brought into its form, then accepted, refused, or accepted and
 * flagged. A pure function of value, rules and the time zones' data, which fills an object that its caller keeps, so
 * that an accepted value costs no allocation. Guarantees: never throws, whatever the value; cleaning what is clean
 * changes nothing; what cannot be told for certain (1.234,50 or 12.345 euro) is refused and not guessed.
 *
 *     value ─▸ normalisers, synonyms ─▸ type, bounds, values ─▸ plausible? ─▸ value, refusal, flag
 *
 * Called in the turn, for every door alike, by `actors/cleaner.ts`.
 */
import type { Plain } from '../../proto/messages.ts';
import type { ZoneTable } from '../local-time.ts';
import { currencyDigits, MONEY_MINOR_MAX } from './currency.ts';
import { readInstant } from './instant-text.ts';
import { cleanMail, mixesScripts } from './mail-address.ts';
import { FLAG, REFUSAL, type ValueRules } from './value-rules.ts';

export const TEXT_LENGTH_MAX = 4096;
const ITEMS_MAX = 1000;
const ITEM_QUANTITY_MAX = 1_000_000;
const SKU_LENGTH_MAX = 64;
/** Longer ones are no numbers, and reading them costs. */
const PHONE_LENGTH_MAX = 40;
const NUMBER_TEXT = /^[+-]?\d{1,15}(?:\.\d{1,10})?$/;
/** 1900 and 2200: the days of year 0 and 9999 are how systems write "unknown". */
export const TIME_MIN = -2_208_988_800_000;
export const TIME_MAX = 7_258_118_400_000;

/** What became of a value; one object, filled anew by each call. */
export class CleanResult {
  value: Plain = null;
  /** One of `REFUSAL`; 0: accepted. */
  refusal = 0;
  /** One of `FLAG`; 0: none. */
  flag = 0;
  /** Where inside the value, as `[3].quantity`; '' for the value itself. */
  at = '';
}

/**
 * Cleans one value.
 * @param zone index in `zones` of the catalog's own zone
 * @returns whether it is accepted; `result` says the rest
 */
export function cleanValue(
  rules: ValueRules,
  value: Plain,
  zones: ZoneTable,
  zone: number,
  result: CleanResult,
): boolean {
  result.refusal = 0;
  result.flag = 0;
  result.at = '';
  result.value = typeof value === 'string' ? normalised(rules, value, zones, zone, result) : value;
  if (result.refusal === 0) result.refusal = refusalOf(rules, result.value, result);
  if (result.refusal !== 0) return false;
  const { value: clean } = result;
  if (typeof clean === 'number' && (clean < rules.plausibleMin || clean > rules.plausibleMax))
    result.flag = FLAG.outlier;
  return true;
}

function normalised(rules: ValueRules, text: string, zones: ZoneTable, zone: number, result: CleanResult): Plain {
  if (text.length > TEXT_LENGTH_MAX) {
    result.refusal = REFUSAL.size;
    return text;
  }
  let value: Plain = text;
  for (const step of rules.normalisers) {
    if (typeof value !== 'string') break;
    value = stepped(rules, step, value, zones, zone, result);
    if (result.refusal !== 0) return value;
  }
  return typeof value === 'string' ? (rules.synonyms.get(value) ?? value) : value;
}

function stepped(
  rules: ValueRules,
  step: ValueRules['normalisers'][number],
  text: string,
  zones: ZoneTable,
  zone: number,
  result: CleanResult,
): Plain {
  switch (step) {
    case 'trim':
      return text.trim();
    case 'lower':
      return text.toLowerCase();
    case 'upper':
      return text.toUpperCase();
    case 'parse':
      return parsed(rules, text.trim());
    case 'phone':
      return readOr(result, text, text.length > PHONE_LENGTH_MAX ? null : (rules.readPhone?.(text) ?? null));
    case 'mail': {
      const address = cleanMail(text, rules.foldsGmail);
      if (address !== null && mixesScripts(address)) result.flag = FLAG.mixedScripts;
      return readOr(result, text, address);
    }
    case 'currencyCode': {
      const code = text.trim().toUpperCase();
      return readOr(result, text, currencyDigits(code) === null ? null : code);
    }
    default: {
      const at = readInstant(text.trim(), zones, rules.zone === null ? zone : zones.zoneIndexByName(rules.zone));
      return readOr(result, text, Number.isNaN(at) ? null : at);
    }
  }
}

function readOr(result: CleanResult, text: string, read: Plain): Plain {
  if (read !== null) return read;
  result.refusal = REFUSAL.format;
  return text;
}

/** A number or truth value written as text; the text itself where it is none, which the type then refuses. */
function parsed(rules: ValueRules, text: string): Plain {
  if (rules.type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  return NUMBER_TEXT.test(text) ? Number(text) + 0 : text;
}

/** One of `REFUSAL` against a value in its form, or 0. Says of an item where it is wrong. */
function refusalOf(rules: ValueRules, value: Plain, result: CleanResult): number {
  switch (rules.type) {
    case 'integer':
    case 'number':
      return refusalOfNumber(rules, value);
    case 'boolean':
      return typeof value === 'boolean' ? 0 : REFUSAL.type;
    case 'enum':
      if (typeof value !== 'string') return REFUSAL.type;
      return rules.values.includes(value) ? 0 : REFUSAL.value;
    case 'items':
      return refusalOfItems(value, result);
    case 'list':
      return !Array.isArray(value) ? REFUSAL.type : value.length > ITEMS_MAX ? REFUSAL.size : 0;
    case 'map':
      return typeof value === 'object' && value !== null && !Array.isArray(value) ? 0 : REFUSAL.type;
    default:
      if (typeof value !== 'string') return REFUSAL.type;
      return value.length > TEXT_LENGTH_MAX ? REFUSAL.size : 0;
  }
}

function refusalOfNumber({ type, min, max, normalisers }: ValueRules, value: Plain): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) return REFUSAL.type;
  if (type === 'integer' && !Number.isSafeInteger(value)) return REFUSAL.type;
  const isTime = normalisers.includes('time');
  const least = min ?? (isTime ? TIME_MIN : Number.NEGATIVE_INFINITY);
  const most = max ?? (isTime ? TIME_MAX : Number.POSITIVE_INFINITY);
  return value < least || value > most ? REFUSAL.range : 0;
}

/** What was bought, as the actors read it: a list of `{sku, quantity, priceMinor}`, other keys are the caller's. */
function refusalOfItems(value: Plain, result: CleanResult): number {
  if (!Array.isArray(value)) return REFUSAL.type;
  if (value.length > ITEMS_MAX) return REFUSAL.size;
  for (let i = 0; i < value.length; i++) {
    const refusal = refusalOfItem(value[i] as Plain, i, result); // i < length
    if (refusal !== 0) return refusal;
  }
  return 0;
}

function refusalOfItem(item: Plain, index: number, result: CleanResult): number {
  result.at = `[${index}]`;
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return REFUSAL.type;
  const { sku, quantity, priceMinor } = item as { readonly [key: string]: Plain | undefined }; // just checked
  result.at = `[${index}].sku`;
  if (typeof sku !== 'string') return REFUSAL.type;
  if (sku === '' || sku.length > SKU_LENGTH_MAX) return REFUSAL.size;
  result.at = `[${index}].quantity`;
  if (quantity !== undefined) {
    if (!Number.isSafeInteger(quantity)) return REFUSAL.type;
    if (Number(quantity) < 1 || Number(quantity) > ITEM_QUANTITY_MAX) return REFUSAL.range;
  }
  result.at = `[${index}].priceMinor`;
  if (priceMinor !== undefined) {
    if (!Number.isSafeInteger(priceMinor)) return REFUSAL.type;
    if (Number(priceMinor) < 0 || Number(priceMinor) > MONEY_MINOR_MAX) return REFUSAL.range;
  }
  result.at = '';
  return 0;
}
