/**
 * The vocabulary of a request as tables: field names, which operation has and needs which field, what
 * each field expects in words, and the words of `want` and `durability`. `request.ts` decodes by these
 * numbers; docs/PROTOCOL.md prints the same facts for writers of independent clients.
 *
 * A field that belongs to another operation is treated as unknown, so that later versions can give an
 * existing name to an operation without breaking anyone.
 */
import { LIMITS } from './limits.ts';
import { OP, type OpName } from './messages.ts';
import { WordTable } from './word-table.ts';

/** Longest event name, in UTF-16 code units. */
export const EVENT_CHARACTERS_MAX = 256;
/** Longest message, decision or quote id, in UTF-16 code units. */
export const ID_CHARACTERS_MAX = 256;

/** Field numbers; below 31, so that the fields seen fit one small-integer bit set. */
export const FIELD = {
  id: 0,
  op: 1,
  deadlineMillis: 2,
  traceparent: 3,
  profile: 4,
  slot: 5,
  count: 6,
  want: 7,
  actions: 8,
  sku: 9,
  channel: 10,
  context: 11,
  explain: 12,
  dryRun: 13,
  minStateSeq: 14,
  durability: 15,
  event: 16,
  messageId: 17,
  atEpochMillis: 18,
  decisionId: 19,
  quoteId: 20,
  properties: 21,
  traits: 22,
  client: 23,
  version: 24,
  from: 25,
  to: 26,
  purposes: 27,
  proof: 28,
  events: 29,
  decide: 30,
} as const;
export type FieldName = keyof typeof FIELD;

export const FIELD_NAMES = Object.keys(FIELD) as readonly FieldName[]; // the keys of FIELD, in its order
export const FIELD_TABLE = new WordTable(FIELD_NAMES);
export const OP_NAMES = Object.keys(OP) as readonly OpName[]; // the keys of OP, in its order
export const OP_TABLE = new WordTable(OP_NAMES);

/** Words of `want` in the order of their bits: bit `1 << index`. */
export const WANT_TABLE = new WordTable(['action', 'price', 'sendTime']);
/** Words of `durability`; index + 1 is the number in `Request.durability`. */
export const DURABILITY_TABLE = new WordTable(['applied', 'committed', 'replicated']);

const text = `a string of 1 to ${LIMITS.stringBytesMax} bytes`;
const profileKey = `a string of 1 to ${LIMITS.profileKeyBytesMax} bytes`;
const idText = `a string of 1 to ${ID_CHARACTERS_MAX} characters`;
const durabilityWords = `one of ${DURABILITY_TABLE.words.join(', ')}`;

/** What each field expects, as the end of "expected …". */
export const EXPECTED: Readonly<Record<FieldName, string>> = {
  id: 'an unsigned 32-bit integer',
  op: 'the name of an operation',
  deadlineMillis: `an integer from 1 to ${LIMITS.deadlineMillisMax}`,
  traceparent: 'a string',
  profile: profileKey,
  slot: text,
  count: `an integer from 1 to ${LIMITS.decideCountMax}`,
  want: `a non-empty array of ${WANT_TABLE.words.join(', ')}`,
  actions: 'an array of non-empty strings',
  sku: text,
  channel: text,
  context: 'a map',
  explain: 'a boolean',
  dryRun: 'a boolean',
  minStateSeq: 'an integer from 0 to 9007199254740991',
  durability: durabilityWords,
  event: `a string of 1 to ${EVENT_CHARACTERS_MAX} characters`,
  messageId: idText,
  atEpochMillis: 'an integer from 0 to 9007199254740991',
  decisionId: idText,
  quoteId: idText,
  properties: 'a map',
  traits: 'a map',
  client: text,
  version: text,
  from: profileKey,
  to: profileKey,
  purposes: 'a map',
  proof: 'a map',
  events: 'an array of maps',
  decide: 'a map',
};

const ENVELOPE: readonly FieldName[] = ['id', 'op', 'deadlineMillis', 'traceparent'];
const OF_OP: Readonly<Record<OpName, readonly FieldName[]>> = {
  hello: ['client', 'version'],
  ping: [],
  track: ['profile', 'event', 'messageId', 'atEpochMillis', 'decisionId', 'quoteId', 'properties', 'durability'],
  identify: ['profile', 'traits', 'atEpochMillis'],
  decide: [
    'profile',
    'slot',
    'count',
    'want',
    'actions',
    'sku',
    'channel',
    'context',
    'explain',
    'dryRun',
    'minStateSeq',
    'durability',
  ],
  confirm: ['decisionId'],
  release: ['decisionId'],
  profile: ['profile'],
  alias: ['from', 'to'],
  consent: ['profile', 'purposes', 'proof'],
  whatIf: ['profile', 'events', 'traits', 'atEpochMillis', 'decide'],
  export: ['profile', 'context'],
  erase: ['profile'],
  subscribe: ['profile', 'decide'],
  unsubscribe: ['profile', 'decide'],
};
const NEEDED_BY_OP: Partial<Readonly<Record<OpName, readonly FieldName[]>>> = {
  track: ['profile', 'event'],
  identify: ['profile', 'traits'],
  decide: ['profile'],
  confirm: ['decisionId'],
  release: ['decisionId'],
  profile: ['profile'],
  alias: ['from'],
  consent: ['profile'],
  export: ['profile'],
  erase: ['profile'],
  subscribe: ['profile', 'decide'],
  unsubscribe: ['profile'],
};

function bitsOf(names: readonly FieldName[]): number {
  return names.reduce((bits, name) => bits | (1 << FIELD[name]), 0);
}

const fieldsOfOp: number[] = [0];
const neededByOp: number[] = [0];
for (const name of OP_NAMES) {
  fieldsOfOp[OP[name]] = bitsOf(ENVELOPE) | bitsOf(OF_OP[name]);
  neededByOp[OP[name]] = bitsOf(NEEDED_BY_OP[name] ?? []);
}

/** Whether `field` belongs to operation number `op`. */
export function hasField(op: number, field: number): boolean {
  return ((fieldsOfOp[op] ?? 0) & (1 << field)) !== 0;
}

/** Bit set of the fields operation number `op` cannot do without (`id` and `op` are checked apart). */
export function neededFields(op: number): number {
  return neededByOp[op] ?? 0;
}

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-|$)/;

/** Whether `traceparent` has the form of the W3C standard. */
export function isTraceparent(traceparent: string): boolean {
  return traceparent.length >= 55 && TRACEPARENT.test(traceparent);
}

/** Wire name of operation number `op`; `request` for 0, when the operation is not known. */
export function operationName(op: number): string {
  return op > 0 ? (OP_NAMES[op - 1] ?? 'request') : 'request';
}

/** The operation whose name is fewest edits from `word`, if that is at most half its length; else ''. */
export function nearestOperation(word: string): string {
  if (word.length > 32) return '';
  let best = '';
  let bestEdits = Number.POSITIVE_INFINITY;
  for (const name of OP_NAMES) {
    const edits = editDistance(word.toLowerCase(), name.toLowerCase());
    if (edits < bestEdits && edits * 2 <= name.length) {
      best = name;
      bestEdits = edits;
    }
  }
  return best;
}

/** Levenshtein distance, one row at a time. */
function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const replace = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[right.length] ?? 0;
}
