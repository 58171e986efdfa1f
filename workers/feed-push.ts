/**
 * Reads the body of a push to a context feed: `{feed, version?, replace?, rows: [{key, fields, expiresAtEpochMillis? |
 * timeToLiveMillis?}]}`. Every row is checked against what the feed declares: bad ones are named by their place with
 * what was expected, good ones are kept, so that one broken city does not cost the weather of all others; a caller
 * that wants all or nothing refuses on any problem. Never throws on what it reads. The bytes of the body are bounded
 * before by whoever takes it; here the number of rows and the length of keys and texts are.
 */
import type { FeedField, FeedPush, FeedRow, FeedSpec, FeedTable } from '../decision/feed-table.ts';
import type { Scalar } from '../proto/messages.ts';

export const PUSH_ROWS_MAX = 10_000;
export const FEED_KEY_LENGTH_MAX = 128;
export const FEED_TEXT_LENGTH_MAX = 256;
const TIME_TO_LIVE_MAX_MILLIS = 366 * 86_400_000;
const PUSH_NAMES = ['feed', 'version', 'replace', 'rows'];
const ROW_NAMES = ['key', 'fields', 'expiresAtEpochMillis', 'timeToLiveMillis'];
/** Of a caller's own words in a message of ours. */
const QUOTED_LENGTH_MAX = 64;
const EXPECTATION_LENGTH_MAX = 400;

export interface RowProblem {
  /** Place in the `rows` of the body. */
  readonly index: number;
  readonly problem: string;
}

export type ReadPush =
  | { readonly ok: true; readonly table: FeedTable; readonly push: FeedPush; readonly problems: readonly RowProblem[] }
  | { readonly ok: false; readonly isStale: boolean; readonly problem: string };

/**
 * @param feeds by name, as the catalog declares them
 * @param nowEpochMillis instant of the push, from which times to live count
 */
export function readFeedPush(body: unknown, feeds: ReadonlyMap<string, FeedTable>, nowEpochMillis: number): ReadPush {
  if (!isRecord(body)) return refused('the body must be an object with `feed` and `rows`, or an array of such');
  if (feeds.size === 0) return refused('the catalog declares no `feeds`');
  const table = typeof body.feed === 'string' ? feeds.get(body.feed) : undefined;
  if (table === undefined) return refused(`\`feed\` must be one the catalog declares: ${[...feeds.keys()].join(', ')}`);
  const other = Object.keys(body).find((name) => !PUSH_NAMES.includes(name));
  if (other !== undefined) return refused(`${quoted(other)} is not known here; expected ${PUSH_NAMES.join(', ')}`);
  const { version = table.version + 1, replace = false, rows } = body;
  if (typeof version !== 'number' || !Number.isSafeInteger(version) || version < 1)
    return refused('`version` must be a whole number from 1 to 2^53 - 1');
  if (version <= table.version)
    return refused(`stale: version ${version} is not above ${table.version}, which is held; do not retry`, true);
  if (typeof replace !== 'boolean') return refused('`replace` must be true or false');
  if (!Array.isArray(rows)) return refused('`rows` must be an array');
  if (rows.length > PUSH_ROWS_MAX)
    return refused(`${rows.length} rows are more than ${PUSH_ROWS_MAX}; push them in parts`);
  const good: FeedRow[] = [];
  const problems: RowProblem[] = [];
  rows.forEach((row: unknown, index) => {
    const read = readRow(row, table.spec, nowEpochMillis);
    if (typeof read === 'string') problems.push({ index, problem: read });
    else good.push(read);
  });
  const { name: feed } = table.spec;
  return { ok: true, table, push: { feed, version, atEpochMillis: nowEpochMillis, replace, rows: good }, problems };
}

/** The row, or what is wrong with it. */
function readRow(row: unknown, spec: FeedSpec, nowEpochMillis: number): FeedRow | string {
  if (!isRecord(row)) return 'a row must be an object with `key` and `fields`';
  const other = Object.keys(row).find((name) => !ROW_NAMES.includes(name));
  if (other !== undefined) return `${quoted(other)} is not known here; expected ${ROW_NAMES.join(', ')}`;
  const { key, fields } = row;
  if (typeof key !== 'string' || key.length === 0 || key.length > FEED_KEY_LENGTH_MAX)
    return `\`key\` must be a text of 1 to ${FEED_KEY_LENGTH_MAX} characters`;
  if (!isRecord(fields)) return '`fields` must be an object';
  const unknown = Object.keys(fields).find((name) => !spec.fields.some((field) => field.name === name));
  if (unknown !== undefined) return `the feed ${spec.name} has no field ${quoted(unknown)}`;
  const values: Scalar[] = [];
  for (const field of spec.fields) {
    const value = Object.hasOwn(fields, field.name) ? fields[field.name] : null;
    if (value !== null && !isValueOf(field, value)) return `\`${field.name}\` must be ${expectationOf(field)}, or null`;
    // JSON has a minus zero, and what a mark of the journal holds has none.
    values.push(value === 0 ? 0 : value);
  }
  const expiresAtEpochMillis = readExpiry(row, spec, nowEpochMillis);
  return typeof expiresAtEpochMillis === 'string' ? expiresAtEpochMillis : { key, values, expiresAtEpochMillis };
}

function readExpiry(row: Record<string, unknown>, spec: FeedSpec, nowEpochMillis: number): number | string {
  const { expiresAtEpochMillis, timeToLiveMillis } = row;
  if (expiresAtEpochMillis !== undefined && timeToLiveMillis !== undefined)
    return 'give `expiresAtEpochMillis` or `timeToLiveMillis`, not both';
  const remaining =
    typeof expiresAtEpochMillis === 'number'
      ? expiresAtEpochMillis - nowEpochMillis
      : (expiresAtEpochMillis ?? timeToLiveMillis ?? spec.timeToLiveMillis);
  if (typeof remaining !== 'number' || !Number.isSafeInteger(remaining)) return 'the expiry must be whole milliseconds';
  if (remaining <= 0) return 'the row has expired already';
  if (remaining > TIME_TO_LIVE_MAX_MILLIS) return 'the row would hold longer than 366 days';
  return nowEpochMillis + remaining;
}

/** Whether a value has the type of the field and lies in its bounds; NaN and infinities never do. */
export function isValueOf(field: FeedField, value: unknown): value is string | number | boolean {
  if (field.type === 'text') {
    if (typeof value !== 'string' || value.length > FEED_TEXT_LENGTH_MAX) return false;
    return field.values.length === 0 || field.values.includes(value);
  }
  if (typeof value !== field.type) return false;
  if (typeof value !== 'number') return true;
  return Number.isFinite(value) && value >= (field.min ?? -Infinity) && value <= (field.max ?? Infinity);
}

function expectationOf({ type, min, max, values }: FeedField): string {
  if (values.length > 0) return `one of ${values.join(', ').slice(0, EXPECTATION_LENGTH_MAX)}`;
  if (type === 'text') return `a text of at most ${FEED_TEXT_LENGTH_MAX} characters`;
  if (type === 'boolean') return 'true or false';
  return `a finite number${min === null ? '' : ` from ${min}`}${max === null ? '' : ` up to ${max}`}`;
}

function quoted(name: string): string {
  return JSON.stringify(name.slice(0, QUOTED_LENGTH_MAX));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refused(problem: string, isStale = false): ReadPush {
  return { ok: false, isStale, problem };
}
