/**
 * The HTTP doors for events: Segment's calls, CloudEvents, and the plain JSON of the wire protocol. Each reads its
 * own format, hands every event to the intake, and answers when all of a request's events are on disk or refused: a
 * batch is never half acknowledged, because a repetition of what was accepted changes nothing.
 *
 * While the workers cannot take more, the whole request is answered 429 or 503 with `Retry-After`; the sender sends
 * it again. docs/INGESTION.md says what each door expects.
 */
import type { Door } from '../../actors/dead-letters.ts';
import { asksRestriction, PROCESSING } from '../../actors/restriction.ts';
import type { Plain, Properties } from '../../proto/messages.ts';
import type { Status } from '../../proto/statuses.ts';
import { epochMillis } from '../../workers/clock.ts';
import { type HttpCall, type Problem, type Route, sendJson, sendProblem } from '../http-route.ts';
import { readUtcInstant } from '../instant-text.ts';
import { isOptOut } from '../websocket-rules.ts';
import { readBinaryCloudEvent, readCloudEvent } from './cloud-events.ts';
import { BATCH_SHAPE, CLOUD_EVENTS_SHAPE, callShape } from './event-shapes.ts';
import type { EventIntake, Fate, Unreadable } from './incoming-event.ts';
import { readJson } from './json-body.ts';
import { BOOLEAN, exactBody, json, type RouteShape } from './route-shape.ts';
import { readSegmentCall, SEGMENT_LIMITS, SEGMENT_TYPES, type SegmentType } from './segment-calls.ts';
import type { Asker, GatewayReply, ShardGateway } from './shard-gateway.ts';
import { FIELD_SCHEMA, OPT_OUT, replied, WORKER_PROBLEMS, wireBody } from './wire-shapes.ts';

/** Events of one request that are under way at a time. */
const AT_ONCE_MAX = 512;

/** Operations that are asked with their fields of the wire protocol as a body, and answered with their reply. */
const PLAIN_OPERATIONS = {
  decide: 'decide: the fields of the wire protocol, as JSON',
  consent: 'what a person allows: {profile, purposes, proof}',
  export: 'what is kept of a person, a page at a time: {profile, context: {cursor}}',
  erase: 'erase a person, or see how far that is: {profile}',
} as const;

const PLAIN_EXAMPLES: { readonly [op in keyof typeof PLAIN_OPERATIONS]: Readonly<Record<string, unknown>> } = {
  decide: {
    action: { profile: 'c-1042', slot: 'home' },
    all: { profile: 'c-1042', want: ['action', 'price', 'sendTime'], sku: 'espresso-1kg', explain: true },
  },
  consent: { granted: { profile: 'c-1042', purposes: { profiling: { granted: true } } } },
  export: { firstPage: { profile: 'c-1042' } },
  erase: { person: { profile: 'c-1043' } },
};

function plainShape(op: keyof typeof PLAIN_OPERATIONS): RouteShape {
  return {
    parameters: OPT_OUT,
    body: json(wireBody(op), PLAIN_EXAMPLES[op]),
    answers: replied(op),
    problems: WORKER_PROBLEMS,
  };
}

const RESTRICT_SHAPE: RouteShape = {
  body: json(
    exactBody(
      {
        profile: FIELD_SCHEMA.profile,
        restricted: BOOLEAN,
        proof: FIELD_SCHEMA.proof,
        durability: FIELD_SCHEMA.durability,
      },
      ['profile', 'restricted'],
    ),
    {
      restrict: { profile: 'c-1044', restricted: true },
      lift: { profile: 'c-1044', restricted: false },
    },
  ),
  answers: replied('consent'),
  problems: WORKER_PROBLEMS,
};

const UNJOIN_SHAPE: RouteShape = {
  body: json(exactBody({ key: FIELD_SCHEMA.from }, ['key']), { card: { key: 'card-88' } }),
  answers: replied('alias'),
  problems: WORKER_PROBLEMS,
};

/** What a status is called over HTTP. */
const HTTP_STATUS: { readonly [status in Status]: readonly [number, string] } = {
  INVALID_ARGUMENT: [400, 'Bad Request'],
  UNAUTHENTICATED: [401, 'Unauthorized'],
  PERMISSION_DENIED: [403, 'Forbidden'],
  NOT_FOUND: [404, 'Not Found'],
  FAILED_PRECONDITION: [409, 'Conflict'],
  RESOURCE_EXHAUSTED: [429, 'Too Many Requests'],
  DEADLINE_EXCEEDED: [504, 'Gateway Timeout'],
  UNAVAILABLE: [503, 'Service Unavailable'],
  UNIMPLEMENTED: [501, 'Not Implemented'],
  INTERNAL: [500, 'Internal Server Error'],
};

/** By path. */
export function ingestRoutes(gateway: ShardGateway, intake: EventIntake): ReadonlyMap<string, Route> {
  const doors = new Doors(gateway, intake);
  const routes = new Map<string, Route>();
  const common = { method: 'POST', bodyBytesMax: SEGMENT_LIMITS.batchBytesMax, isForPages: true } as const;
  for (const type of SEGMENT_TYPES) {
    const plain = type === 'track' || type === 'identify' ? ', or {profile, …} as on the wire' : '';
    routes.set(`/v1/${type}`, {
      ...common,
      about: `take in one ${type} call of Segment's${plain}`,
      operation: type === 'identify' || type === 'group' ? 'identify' : type === 'alias' ? 'alias' : 'track',
      tokenOf: writeKeyOf,
      shape: callShape(type),
      answer: (call) => doors.one(type, call),
    });
  }
  routes.set('/v1/batch', {
    ...common,
    about: `take in a batch of Segment's calls, ${SEGMENT_LIMITS.batchEventsMax} at most; ?strict=1 says what became of each`,
    operation: 'track',
    tokenOf: writeKeyOf,
    shape: BATCH_SHAPE,
    answer: (call) => doors.batch(call),
  });
  routes.set('/v1/events', {
    ...common,
    about: 'take in CloudEvents 1.0: binary, structured, or a batch',
    operation: 'track',
    shape: CLOUD_EVENTS_SHAPE,
    answer: (call) => doors.cloudEvents(call),
  });
  for (const [op, about] of Object.entries(PLAIN_OPERATIONS)) {
    const operation = op as keyof typeof PLAIN_OPERATIONS; // its own keys
    const { isForPages, ...own } = common;
    // What a person's data are asked for or erased by is no page.
    const forPages = op === 'decide' || op === 'consent' ? { isForPages } : {};
    routes.set(`/v1/${op}`, {
      ...own,
      ...forPages,
      about,
      operation,
      shape: plainShape(operation),
      answer: (call) => doors.plain(operation, call),
    });
  }
  routes.set('/v1/restrict', {
    method: 'POST',
    bodyBytesMax: SEGMENT_LIMITS.eventBytesMax,
    about: "store a person's data and use them no more, or lift that: {profile, restricted, proof}",
    operation: 'restrict',
    shape: RESTRICT_SHAPE,
    answer: (call) => doors.restrict(call),
  });
  routes.set('/v1/unjoin', {
    method: 'POST',
    bodyBytesMax: SEGMENT_LIMITS.eventBytesMax,
    about: 'let a key that was joined with another stand alone again: {key}',
    operation: 'identities',
    shape: UNJOIN_SHAPE,
    answer: (call) => doors.unjoin(call),
  });
  return routes;
}

/** Segment's clients send the write key as the user of Basic, or in the body. */
function writeKeyOf(headers: { readonly authorization?: string | undefined }, body: Buffer): string | null {
  const { authorization = '' } = headers;
  const basic = /^basic +([A-Za-z0-9+/=_-]+)$/i.exec(authorization)?.[1];
  if (basic !== undefined) return Buffer.from(basic, 'base64').toString().split(':')[0] ?? '';
  if (authorization !== '') return null;
  const content = readJson(headers, body, SEGMENT_LIMITS.batchBytesMax);
  const key = 'problem' in content ? undefined : (content.value as { writeKey?: unknown } | null)?.writeKey;
  return typeof key === 'string' && key.length <= 4096 ? key : null;
}

class Doors {
  readonly #gateway: ShardGateway;
  readonly #intake: EventIntake;

  constructor(gateway: ShardGateway, intake: EventIntake) {
    this.#gateway = gateway;
    this.#intake = intake;
  }

  async one(type: SegmentType, call: HttpCall): Promise<void> {
    const content = readJson(call.headers, call.body, SEGMENT_LIMITS.batchBytesMax);
    if ('problem' in content) return refuse(call, content);
    const { value } = content;
    if ((type === 'track' || type === 'identify') && isPlain(value)) return this.#plain(type, call, value);
    if (!isMap(value)) return refuse(call, { problem: 'body: expected a map' });
    // The wire protocol's own shape; to take keys apart is another route, and another permission.
    if (type === 'alias' && typeof value.from === 'string') {
      if (typeof value.to !== 'string') return refuse(call, { problem: 'to: expected the key to join it with' });
      return answerReply(call, await this.#gateway.ask(askerOf(call, 'json'), { ...value, op: 'alias' }));
    }
    if (call.body.length > SEGMENT_LIMITS.eventBytesMax)
      return refuse(call, { problem: `body: an event may have ${SEGMENT_LIMITS.eventBytesMax} bytes at most` });
    const fate = await this.#segment(type, value, value, call);
    answerFates(call, [fate]);
  }

  async batch(call: HttpCall): Promise<void> {
    const content = readJson(call.headers, call.body, SEGMENT_LIMITS.batchBytesMax);
    if ('problem' in content) return refuse(call, content);
    const { value } = content;
    const batch = isMap(value) ? value.batch : undefined;
    if (!isMap(value) || !Array.isArray(batch)) return refuse(call, { problem: 'batch: expected an array' });
    if (batch.length > SEGMENT_LIMITS.batchEventsMax)
      return refuse(call, { problem: `batch: has ${batch.length} events, at most ${SEGMENT_LIMITS.batchEventsMax}` });
    const fates = await eachOf(batch as readonly Plain[], async (item, i) => {
      const { type } = isMap(item) ? item : {};
      if (!isMap(item) || !(SEGMENT_TYPES as readonly unknown[]).includes(type))
        return this.#intake.refuse('segment', null, {
          problem: `batch[${i}].type: expected one of ${SEGMENT_TYPES.join(', ')}`,
        });
      if (Buffer.byteLength(JSON.stringify(item)) > SEGMENT_LIMITS.eventBytesMax)
        return this.#intake.refuse('segment', null, {
          problem: `batch[${i}]: an event may have ${SEGMENT_LIMITS.eventBytesMax} bytes at most`,
        });
      return this.#segment(type as SegmentType, item, value, call); // looked up above
    });
    answerFates(call, fates);
  }

  /** @param outer what has `sentAt`: the call itself, or the batch it came in */
  async #segment(type: SegmentType, item: Properties, outer: Properties, call: HttpCall): Promise<Fate> {
    const sentAt = readUtcInstant(item.sentAt ?? outer.sentAt);
    const read = readSegmentCall(type, item, { sentAt, receivedAt: epochMillis() });
    if ('problem' in read) return this.#intake.refuse('segment', read.messageId, read);
    return this.#intake.take('segment', askerOf(call, 'segment'), read.messageId, read.parts);
  }

  async cloudEvents(call: HttpCall): Promise<void> {
    const content = readJson(call.headers, call.body, SEGMENT_LIMITS.batchBytesMax);
    if ('problem' in content) return refuse(call, content);
    const receivedAt = epochMillis();
    const contentType = call.headers['content-type'] ?? '';
    const take = (read: ReturnType<typeof readCloudEvent>): Promise<Fate> | Fate =>
      'problem' in read
        ? this.#intake.refuse('cloudevents', null, read)
        : this.#intake.take('cloudevents', askerOf(call, 'cloudevents'), read.messageId, read.parts);
    if (call.headers['ce-specversion'] !== undefined) {
      return answerCloud(call, [await take(readBinaryCloudEvent(call.headers, content.value, receivedAt))]);
    }
    if (contentType.startsWith('application/cloudevents-batch+json')) {
      const { value } = content;
      if (!Array.isArray(value)) return refuse(call, { problem: 'body: expected an array of events' });
      if (value.length > SEGMENT_LIMITS.batchEventsMax)
        return refuse(call, { problem: `body: has ${value.length} events, at most ${SEGMENT_LIMITS.batchEventsMax}` });
      const fates = await eachOf(value as readonly Plain[], async (event) => take(readCloudEvent(event, receivedAt)));
      return answerCloud(call, fates);
    }
    if (!contentType.startsWith('application/cloudevents+json'))
      return refuse(call, {
        problem:
          'content-type: expected application/cloudevents+json, -batch+json, or headers ce-specversion, ce-id, …',
      });
    answerCloud(call, [await take(readCloudEvent(content.value, receivedAt))]);
  }

  async plain(op: keyof typeof PLAIN_OPERATIONS, call: HttpCall): Promise<void> {
    const content = readJson(call.headers, call.body, SEGMENT_LIMITS.batchBytesMax);
    if ('problem' in content) return refuse(call, content);
    if (!isMap(content.value)) return refuse(call, { problem: 'body: expected a map' });
    if (op === 'consent' && asksRestriction(content.value.purposes))
      return refuse(call, { problem: 'purposes.processing: ask POST /v1/restrict' });
    answerReply(call, await this.#gateway.ask(askerOf(call, 'json'), { ...content.value, op }));
  }

  /** As the entry `processing` of a consent, which is how it travels. */
  async restrict(call: HttpCall): Promise<void> {
    const content = readJson(call.headers, call.body, SEGMENT_LIMITS.batchBytesMax);
    if ('problem' in content) return refuse(call, content);
    if (!isMap(content.value)) return refuse(call, { problem: 'body: expected a map' });
    const { restricted, ...message } = content.value;
    if (typeof restricted !== 'boolean') return refuse(call, { problem: 'restricted: expected a boolean' });
    const [other] = Object.keys(message).filter((name) => !['profile', 'proof', 'durability'].includes(name));
    if (other !== undefined)
      return refuse(call, { problem: `${other.slice(0, 64)}: not known here; expected profile, restricted, proof` });
    const purposes = { [PROCESSING]: { granted: !restricted } };
    answerReply(call, await this.#gateway.ask(askerOf(call, 'json'), { ...message, purposes, op: 'consent' }));
  }

  /** An alias without the other key, which is how it travels. */
  async unjoin(call: HttpCall): Promise<void> {
    const content = readJson(call.headers, call.body, SEGMENT_LIMITS.batchBytesMax);
    if ('problem' in content) return refuse(call, content);
    const { key, ...others } = isMap(content.value) ? content.value : {};
    const [other] = Object.keys(others);
    if (typeof key !== 'string' || other !== undefined)
      return refuse(call, { problem: `${other?.slice(0, 64) ?? 'key'}: expected {key}, the key that was joined` });
    answerReply(call, await this.#gateway.ask(askerOf(call, 'json'), { op: 'alias', from: key }));
  }

  /** The wire protocol's own shape, one or an array. */
  async #plain(op: 'track' | 'identify', call: HttpCall, value: Properties | readonly Properties[]): Promise<void> {
    const ask = (message: Properties): Promise<GatewayReply> =>
      this.#intake.ask('json', askerOf(call, 'json'), { ...message, op });
    if (isMap(value)) return answerReply(call, await ask(value));
    if (value.length > SEGMENT_LIMITS.batchEventsMax)
      return refuse(call, { problem: `body: has ${value.length} events, at most ${SEGMENT_LIMITS.batchEventsMax}` });
    const replies = await eachOf(value, async (item, i) => ({ ...(await ask(item)), id: i }));
    const later = replies.find((reply) => !reply.ok && reply.retry !== 'never');
    if (later !== undefined && !later.ok) return answerReply(call, later);
    sendJson(call.response, 200, replies);
  }
}

function askerOf({ login, headers }: HttpCall, door: Door): Asker {
  const hasOptOut = isOptOut(headers['sec-gpc']);
  return { tenant: login.principal.tenant, actor: login.principal.id, door, hasOptOut };
}

/** In the order of the items, some at a time. */
async function eachOf<T, R>(items: readonly T[], one: (item: T, i: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let start = 0; start < items.length; start += AT_ONCE_MAX) {
    const part = items.slice(start, start + AT_ONCE_MAX);
    results.push(...(await Promise.all(part.map((item, i) => one(item, start + i)))));
  }
  return results;
}

/** As Segment answers; `?strict=1` says what became of each. */
function answerFates(call: HttpCall, fates: readonly Fate[]): void {
  const later = fates.find(({ outcome }) => outcome === 'later');
  if (later !== undefined) {
    sendProblem(call.response, problemOf(later));
    return;
  }
  const isStrict = call.url.searchParams.get('strict') === '1';
  if (!isStrict) {
    sendJson(call.response, 200, { success: true });
    return;
  }
  const results = fates.map((fate, index) => ({ index, ...fate }));
  sendJson(call.response, 200, { success: fates.every(({ outcome }) => outcome !== 'refused'), results });
}

/** CloudEvents know no partial success: 204 when all were taken, else the first refusal, with the place of it. */
function answerCloud(call: HttpCall, fates: readonly Fate[]): void {
  const bad = fates.find(({ outcome }) => outcome === 'later') ?? fates.find(({ outcome }) => outcome === 'refused');
  if (bad === undefined) {
    call.response.writeHead(204).end();
    return;
  }
  const at = fates.length > 1 ? `event ${fates.indexOf(bad)}: ` : '';
  sendProblem(call.response, problemOf({ ...bad, message: at + (bad.message ?? '') }));
}

function answerReply(call: HttpCall, reply: GatewayReply): void {
  if (!reply.ok) {
    sendProblem(call.response, problemOf(reply as GatewayReply & { readonly ok: false }));
    return;
  } // by `ok`
  const { id: _, ...content } = reply;
  sendJson(call.response, 200, content);
}

function problemOf(refusal: Pick<Fate, 'status' | 'code' | 'message' | 'retry' | 'retryAfterMillis'>): Problem {
  const { code = 0, message = '', status = 'INTERNAL', retryAfterMillis } = refusal;
  const [number, title] = HTTP_STATUS[status];
  const seconds = Math.max(1, Math.ceil((retryAfterMillis ?? 0) / 1000));
  const headers = refusal.retry === 'never' ? undefined : { 'retry-after': String(seconds) };
  return { status: number, title, detail: message, code, ...(headers === undefined ? {} : { headers }) };
}

function refuse(call: HttpCall, { problem }: Unreadable): void {
  sendProblem(call.response, { status: 400, title: 'Bad Request', detail: problem, code: 1001 });
}

function isMap(value: unknown): value is Properties {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether a body is of the wire protocol's shape, which names a `profile`, and not Segment's. */
function isPlain(value: Plain): value is Properties | readonly Properties[] {
  if (Array.isArray(value)) return value.every(isMap);
  return isMap(value) && value.profile !== undefined;
}
