/**
 * Requests and replies of the wire protocol as JSON bodies: which fields an operation has and needs is read from the
 * tables of `proto/request-fields.ts`, so a field that is added there is in the document of the HTTP API.
 */
import { LIMITS } from '../../proto/limits.ts';
import { OP } from '../../proto/messages.ts';
import {
  DURABILITY_TABLE,
  EVENT_CHARACTERS_MAX,
  EXPECTED,
  FIELD,
  FIELD_NAMES,
  type FieldName,
  hasField,
  ID_CHARACTERS_MAX,
  neededFields,
  WANT_TABLE,
} from '../../proto/request-fields.ts';
import {
  type AnswerShape,
  answer,
  BOOLEAN,
  body,
  COUNT,
  INSTANT,
  integer,
  type JsonSchema,
  listOf,
  MAP,
  mapOf,
  NUMBER,
  oneOf,
  orNull,
  type ParameterShape,
  type ProblemStatus,
  TEXT,
  textUpTo,
} from './route-shape.ts';

/** A bound in bytes is one in characters at most; the words say which it is. */
const text = textUpTo(LIMITS.stringBytesMax);
const profileKey = textUpTo(LIMITS.profileKeyBytesMax);
const id = textUpTo(ID_CHARACTERS_MAX);
const unsigned = integer(0, Number.MAX_SAFE_INTEGER);

const CONSENT_CHANGE = body(
  {
    granted: { ...BOOLEAN, description: 'needed unless the entry only says how somebody wishes to be spoken to' },
    expiresAtEpochMillis: unsigned,
    basis: TEXT,
    quietHours: orNull(TEXT),
    mutedUntilEpochMillis: orNull(unsigned),
    preference: orNull(integer(1, 255)),
  },
  [],
);

export const FIELD_SCHEMA: Readonly<Record<FieldName, JsonSchema>> = {
  id: integer(0, 0xffff_ffff),
  op: TEXT,
  deadlineMillis: integer(1, LIMITS.deadlineMillisMax),
  traceparent: TEXT,
  profile: profileKey,
  slot: text,
  count: integer(1, LIMITS.decideCountMax),
  want: { ...listOf(oneOf(WANT_TABLE.words)), minItems: 1 },
  actions: listOf(text),
  sku: text,
  channel: text,
  context: MAP,
  explain: BOOLEAN,
  dryRun: BOOLEAN,
  minStateSeq: unsigned,
  durability: oneOf(DURABILITY_TABLE.words),
  event: textUpTo(EVENT_CHARACTERS_MAX),
  messageId: id,
  atEpochMillis: unsigned,
  decisionId: id,
  quoteId: id,
  properties: MAP,
  traits: MAP,
  client: text,
  version: text,
  from: profileKey,
  to: profileKey,
  purposes: mapOf(CONSENT_CHANGE),
  proof: MAP,
  events: listOf(MAP),
  decide: MAP,
};

/** Set by the path, and by who counts the answers. */
const NOT_SENT: readonly FieldName[] = ['id', 'op'];

type HttpOp = 'track' | 'identify' | 'alias' | 'decide' | 'consent' | 'export' | 'erase';

/** The fields of an operation. @param needed further ones that HTTP cannot do without */
export function wireBody(op: HttpOp, needed: readonly FieldName[] = []): JsonSchema {
  const names = FIELD_NAMES.filter((name) => hasField(OP[op], FIELD[name]) && !NOT_SENT.includes(name));
  const properties = names.map((name) => [name, { ...FIELD_SCHEMA[name], description: EXPECTED[name] }] as const);
  const needs = names.filter((name) => (neededFields(OP[op]) & (1 << FIELD[name])) !== 0 || needed.includes(name));
  return body(Object.fromEntries(properties), needs);
}

function reply(fields: Readonly<Record<string, JsonSchema>>, optional: readonly string[] = []): JsonSchema {
  return answer({ ok: { const: true }, serverMicros: NUMBER, stateSeq: COUNT, ...fields }, optional);
}

const DECIDED_ACTION = answer({
  action: TEXT,
  creative: orNull(TEXT),
  channel: orNull(TEXT),
  score: NUMBER,
  responseProbability: NUMBER,
  value: NUMBER,
  propensity: NUMBER,
  explored: BOOLEAN,
  leaseExpiresAtEpochMillis: orNull(INSTANT),
});
const DECIDED_PRICE = answer({
  sku: TEXT,
  currency: TEXT,
  listMinor: COUNT,
  priceMinor: COUNT,
  maskedPriceMinor: COUNT,
  personalised: BOOLEAN,
  propensity: orNull(NUMBER),
  promotion: orNull(TEXT),
  disclosure: TEXT,
  quoteId: orNull(TEXT),
  expiresAtEpochMillis: INSTANT,
  signature: orNull(TEXT),
});
const DECIDED_SEND_TIME = answer({
  channel: TEXT,
  atEpochMillis: INSTANT,
  local: { ...TEXT, description: 'wall time with offset' },
  timeZone: TEXT,
  windowMinutes: COUNT,
  probability: NUMBER,
  nowProbability: NUMBER,
});

export const REPLY: { readonly [op in HttpOp]: JsonSchema } = {
  track: reply({ durability: oneOf(DURABILITY_TABLE.words), duplicate: BOOLEAN }),
  identify: reply({}),
  alias: reply({ merged: BOOLEAN }),
  decide: reply(
    {
      decisionId: orNull(TEXT),
      catalogVersion: TEXT,
      modelVersion: COUNT,
      actions: listOf(DECIDED_ACTION),
      price: DECIDED_PRICE,
      sendTime: DECIDED_SEND_TIME,
      fallback: BOOLEAN,
      explain: { ...MAP, description: 'counts, chosen, rejected; price and sendTime where asked for' },
    },
    ['price', 'sendTime', 'explain'],
  ),
  consent: reply({}),
  export: reply({ export: { ...MAP, description: '`record` (first page), `timeline`, `next` (null: the last page)' } }),
  erase: answer({ ok: { const: true }, serverMicros: NUMBER, receipt: MAP }),
};

/** One item of an array that was sent: its reply, or its refusal, with its place. */
export function repliesOf(op: 'track' | 'identify'): JsonSchema {
  const refusal = answer(
    {
      id: COUNT,
      ok: { const: false },
      status: TEXT,
      code: { type: 'integer' },
      message: TEXT,
      retry: { const: 'never' },
      retryAfterMillis: COUNT,
    },
    ['retryAfterMillis'],
  );
  const { properties, required } = REPLY[op] as { properties: object; required: readonly string[] }; // as `reply` made it
  return listOf({
    anyOf: [{ ...REPLY[op], properties: { id: COUNT, ...properties }, required: ['id', ...required] }, refusal],
  });
}

/** What the workers may refuse, whatever the operation. */
export const WORKER_PROBLEMS: readonly ProblemStatus[] = [404, 409, 429, 501, 504];

/** A reply as the one answer of a path. */
export function replied(op: HttpOp): Readonly<Record<200, AnswerShape>> {
  return { 200: { about: `on disk; the reply to \`${op}\``, schema: REPLY[op] } };
}

export const OPT_OUT: Readonly<Record<string, ParameterShape>> = {
  'Sec-GPC': {
    in: 'header',
    about: 'Global Privacy Control: the person opts out (docs/CONSENT.md)',
    schema: oneOf(['1']),
    example: '1',
  },
};
