/**
 * What the doors for events take and answer, for the document of the HTTP API: Segment's calls alone and in a batch,
 * CloudEvents, and beside them the wire protocol's own shape. `ingest-routes.ts` reads them.
 */
import {
  answer,
  BOOLEAN,
  body,
  COUNT,
  type JsonSchema,
  json,
  listOf,
  MAP,
  oneOf,
  orNull,
  type ParameterShape,
  type RouteShape,
  TEXT,
  textUpTo,
} from './route-shape.ts';
import { SEGMENT_LIMITS, SEGMENT_TYPES, type SegmentType } from './segment-calls.ts';
import { OPT_OUT, REPLY, repliesOf, WORKER_PROBLEMS, wireBody } from './wire-shapes.ts';

const KEY_CHARACTERS_MAX = 256;
const key: JsonSchema = { anyOf: [textUpTo(KEY_CHARACTERS_MAX), { type: 'integer' }] };
const text = textUpTo(256);
const instant: JsonSchema = { ...TEXT, description: 'ISO 8601, for example 2026-11-26T12:00:00.000Z' };

const CALL = {
  userId: key,
  anonymousId: key,
  messageId: text,
  timestamp: instant,
  sentAt: instant,
  context: MAP,
  writeKey: { ...TEXT, description: 'the API key, where no header brings it' },
} as const;

const OF_TYPE: {
  readonly [type in SegmentType]: readonly [fields: Readonly<Record<string, JsonSchema>>, needed: string[]];
} = {
  identify: [{ traits: MAP }, []],
  track: [{ event: text, properties: MAP }, ['event']],
  page: [{ name: TEXT, category: TEXT, properties: MAP }, []],
  screen: [{ name: TEXT, category: TEXT, properties: MAP }, []],
  group: [{ groupId: key, traits: MAP }, ['groupId']],
  alias: [{ previousId: key }, ['userId']],
};

const EXAMPLE: { readonly [type in SegmentType]: Readonly<Record<string, unknown>> } = {
  identify: { userId: 'c-1042', traits: { city: 'Shanghai' } },
  track: { userId: 'c-1042', event: 'Product Viewed', properties: { sku: 'espresso-1kg' }, messageId: 'view-1' },
  page: { userId: 'c-1042', name: 'Home' },
  screen: { userId: 'c-1042', name: 'Cart' },
  group: { userId: 'c-1042', groupId: 'acme', traits: { plan: 'business' } },
  alias: { userId: 'c-1042', previousId: 'anonymous-7' },
};

const WIRE_EXAMPLE = {
  track: { profile: 'c-1042', event: 'view', properties: { sku: 'espresso-1kg' } },
  identify: { profile: 'c-1042', traits: { city: 'Shanghai' } },
  alias: { from: 'card-88', to: 'c-1042' },
} as const;

function callSchema(type: SegmentType): JsonSchema {
  const [fields, needed] = OF_TYPE[type];
  return { ...body({ ...CALL, ...fields }, needed), description: `Segment's ${type}` };
}

const FATE = answer(
  {
    index: COUNT,
    messageId: orNull(TEXT),
    outcome: oneOf(['accepted', 'duplicate', 'refused']),
    status: TEXT,
    code: { type: 'integer' },
    message: TEXT,
    retry: TEXT,
    retryAfterMillis: COUNT,
    dropped: { ...listOf(TEXT), description: 'traits, or the joining of keys, that were left out' },
  },
  ['status', 'code', 'message', 'retry', 'retryAfterMillis', 'dropped'],
);
const TAKEN = answer({ success: BOOLEAN, results: { ...listOf(FATE), description: 'with `strict=1` only' } }, [
  'results',
]);

const parameters: Readonly<Record<string, ParameterShape>> = {
  ...OPT_OUT,
  strict: { about: 'say what became of each', schema: oneOf(['1']), example: '1' },
};

/** One call of Segment's; of three types also the wire protocol's own shape. */
export function callShape(type: SegmentType): RouteShape {
  const isWire = type === 'track' || type === 'identify' || type === 'alias';
  const asList = type === 'track' || type === 'identify';
  const shapes = [
    callSchema(type),
    ...(isWire ? [wireBody(type, ['to'])] : []),
    ...(asList ? [listOf(wireBody(type), SEGMENT_LIMITS.batchEventsMax)] : []),
  ];
  const replies = [TAKEN, ...(isWire ? [REPLY[type]] : []), ...(asList ? [repliesOf(type)] : [])];
  const examples = {
    segment: EXAMPLE[type],
    ...(isWire ? { wire: WIRE_EXAMPLE[type] } : {}),
    ...(asList ? { wireList: [WIRE_EXAMPLE[type]] } : {}),
  };
  return {
    parameters,
    body: json(oneShape(shapes), examples),
    answers: { 200: { about: 'on disk; a list says of each whether', schema: oneShape(replies) } },
    problems: WORKER_PROBLEMS,
  };
}

export const BATCH_SHAPE: RouteShape = {
  parameters,
  body: json(
    body(
      {
        batch: listOf(
          { type: 'object', properties: { ...CALL, type: oneOf(SEGMENT_TYPES) }, required: ['type'] },
          SEGMENT_LIMITS.batchEventsMax,
        ),
        sentAt: instant,
        writeKey: CALL.writeKey,
      },
      ['batch'],
    ),
    {
      calls: {
        batch: [
          { type: 'identify', ...EXAMPLE.identify },
          { type: 'track', ...EXAMPLE.track },
        ],
        sentAt: '2026-11-26T12:00:00.000Z',
      },
    },
  ),
  answers: { 200: { about: 'each on disk or refused; with `strict=1` what became of each', schema: TAKEN } },
  problems: WORKER_PROBLEMS,
};

const CLOUD_EVENT: JsonSchema = body(
  {
    specversion: { const: '1.0' },
    id: { ...TEXT, minLength: 1 },
    source: { ...TEXT, minLength: 1 },
    type: { ...TEXT, minLength: 1 },
    subject: textUpTo(KEY_CHARACTERS_MAX, 'the key of the person'),
    time: instant,
    data: MAP,
  },
  ['specversion', 'id', 'source', 'type', 'subject'],
);
const CLOUD_EXAMPLE = {
  specversion: '1.0',
  id: '7',
  source: '/shop/ulm',
  type: 'view',
  subject: 'c-1042',
  data: { sku: 'espresso-1kg' },
};

/** Of one event whose attributes are headers. */
function attribute(about: string, example: string): ParameterShape {
  return { in: 'header', about: `binary mode: ${about}`, schema: TEXT, example };
}

export const CLOUD_EVENTS_SHAPE: RouteShape = {
  parameters: {
    ...OPT_OUT,
    'ce-specversion': attribute('the body is `data` alone, and the attributes are headers', '1.0'),
    'ce-id': attribute('with the source what makes a repetition harmless', '8'),
    'ce-source': attribute('whose id it is', '/shop/ulm'),
    'ce-type': attribute("the event's name", 'view'),
    'ce-subject': attribute('the key of the person', 'c-1042'),
    'ce-time': attribute('when it happened', '2026-11-26T12:00:00Z'),
  },
  body: {
    'application/cloudevents+json': { schema: CLOUD_EVENT, examples: { structured: CLOUD_EXAMPLE } },
    'application/cloudevents-batch+json': {
      schema: listOf(CLOUD_EVENT, SEGMENT_LIMITS.batchEventsMax),
      examples: { batch: [CLOUD_EXAMPLE, { ...CLOUD_EXAMPLE, id: '9' }] },
    },
    'application/json': { schema: MAP, examples: { binary: CLOUD_EXAMPLE.data } },
  },
  answers: { 204: { about: 'all of them are on disk' } },
  problems: WORKER_PROBLEMS,
};

function oneShape(shapes: readonly JsonSchema[]): JsonSchema {
  const [first, ...others] = shapes;
  return first !== undefined && others.length === 0 ? first : { anyOf: shapes };
}
