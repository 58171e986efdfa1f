/**
 * The HTTP door of context feeds: `POST /v1/context` takes a push or a list of them, `GET /v1/context` says what stands.
 * Each push is answered by itself: what was taken, which rows were not and why; one of a list that is refused does not
 * keep the others from being taken. docs/CONTEXT.md says what a push looks like.
 */
import type { Plain } from '../../proto/messages.ts';
import { FAULT } from '../../proto/statuses.ts';
import type { PushRefusal, PushReport } from '../../workers/feed-book.ts';
import type { FeedKeeper } from '../feed-keeper.ts';
import { type HttpCall, type Problem, type Route, sendJson, sendProblem } from '../http-route.ts';
import type { Unreadable } from './incoming-event.ts';
import { readJson } from './json-body.ts';
import {
  answer,
  BOOLEAN,
  body,
  COUNT,
  exactBody,
  INSTANT,
  type JsonSchema,
  json,
  listOf,
  MAP,
  oneOf,
  orNull,
  type RouteShape,
  TEXT,
  textUpTo,
} from './route-shape.ts';

const BODY_BYTES_MAX = 1024 * 1024;
const PUSHES_MAX = 16;
/** Rows named in one answer. */
const PROBLEMS_MAX = 100;

type Answer = Record<string, unknown>;

const PUSH = exactBody(
  {
    feed: TEXT,
    version: { ...COUNT, description: 'must rise; absent: the next' },
    replace: { ...BOOLEAN, description: 'the rows are the whole table' },
    rows: listOf(
      body(
        {
          key: textUpTo(128),
          fields: { ...MAP, description: 'values by field; null and what is left out are not known' },
          expiresAtEpochMillis: INSTANT,
          timeToLiveMillis: COUNT,
        },
        ['key', 'fields'],
      ),
    ),
  },
  ['feed', 'rows'],
);
const PUSHED = { feed: 'weather', rows: [{ key: 'Oslo', fields: { celsius: -3, sky: 'clear' } }] };
const PROBLEM_ROWS = listOf(answer({ index: COUNT, problem: TEXT }), PROBLEMS_MAX);
const TAKEN = answer({
  ok: { const: true },
  feed: TEXT,
  version: COUNT,
  taken: COUNT,
  refused: COUNT,
  problems: PROBLEM_ROWS,
});
const REFUSED = answer({
  ok: { const: false },
  refusal: oneOf(['bad', 'stale', 'full']),
  reason: TEXT,
  problems: PROBLEM_ROWS,
});
const PUSH_SHAPE: RouteShape = {
  parameters: { strict: { about: 'one bad row refuses all of a push', schema: oneOf(['1']), example: '1' } },
  body: json({ anyOf: [PUSH, listOf(PUSH, PUSHES_MAX)] }, { push: PUSHED, pushes: [PUSHED] }),
  answers: {
    200: {
      about: 'on disk, and read by every worker that serves; of a list, what became of each',
      schema: { anyOf: [TAKEN, answer({ results: listOf({ anyOf: [TAKEN, REFUSED] }) })] },
    },
  },
  problems: [409],
};
const FEED_STATE: Readonly<Record<string, JsonSchema>> = {
  feed: TEXT,
  version: { ...COUNT, description: '0 before the first push' },
  pushedAtEpochMillis: orNull(INSTANT),
  rows: { ...COUNT, description: 'that hold now' },
  rowsMax: COUNT,
  expiresAtEpochMillis: orNull(INSTANT),
};
const STANDING_SHAPE: RouteShape = {
  parameters: { feed: { about: 'the rows of this one', schema: TEXT, example: 'weather' } },
  answers: {
    200: {
      about: 'what stands of each feed, or of one with its rows',
      schema: {
        anyOf: [answer({ feeds: listOf(answer(FEED_STATE)) }), answer({ ...FEED_STATE, rows: listOf(MAP) })],
      },
    },
  },
  problems: [404],
};

/** @param keeperOf the feeds of a tenant */
export function contextRoute(keeperOf: (tenant: string) => FeedKeeper): Route {
  return {
    method: 'POST',
    bodyBytesMax: BODY_BYTES_MAX,
    about: 'push rows of context feeds: {feed, version, replace, rows}',
    operation: 'context',
    shape: PUSH_SHAPE,
    get: {
      about: 'what stands of each context feed; ?feed=NAME its rows',
      shape: STANDING_SHAPE,
      answer: (call) => answerStanding(keeperOf(call.login.principal.tenant), call),
    },
    answer: (call) => answerPush(keeperOf(call.login.principal.tenant), call),
  };
}

function answerStanding(keeper: FeedKeeper, { url, response }: HttpCall): void {
  const feed = url.searchParams.get('feed');
  if (feed === null) {
    sendJson(response, 200, { feeds: keeper.list() });
    return;
  }
  const rows = keeper.rowsOf(feed);
  if (rows === null) {
    const detail = `the catalog declares no feed ${JSON.stringify(feed.slice(0, 64))}`;
    sendProblem(response, { status: 404, title: 'Not Found', detail });
    return;
  }
  const state = keeper.list().find((one) => one.feed === feed);
  sendJson(response, 200, { ...state, rows });
}

async function answerPush(keeper: FeedKeeper, call: HttpCall): Promise<void> {
  const { response, url } = call;
  const read = readPushes(call);
  if ('problem' in read) {
    sendProblem(response, { ...PROBLEM.bad, detail: read.problem });
    return;
  }
  const isStrict = url.searchParams.get('strict') === '1';
  try {
    const reports: PushReport[] = [];
    for (const push of read.pushes) reports.push(await keeper.push(push, isStrict));
    const [first] = reports;
    if (read.isList) sendJson(response, 200, { results: reports.map(resultOf) });
    else if (first !== undefined) answerOne(response, first);
  } catch (error) {
    // The file system's own; whatever came before it in a list was taken, and is refused as stale when it comes again.
    const { code } = error as NodeJS.ErrnoException;
    if (typeof code !== 'string') throw error;
    sendProblem(response, {
      status: 503,
      title: 'Service Unavailable',
      detail: `the push could not be written (${code}); nothing of it was taken, send it again`,
      code: FAULT.writeFailed.code,
      headers: { 'retry-after': '1' },
    });
  }
}

function readPushes({ url, headers, body }: HttpCall): Unreadable | { pushes: readonly Plain[]; isList: boolean } {
  const strict = url.searchParams.get('strict');
  if (strict !== null && strict !== '1') return { problem: 'strict: expected 1, or none' };
  const content = readJson(headers, body, BODY_BYTES_MAX);
  if ('problem' in content) return content;
  const { value } = content;
  if (!Array.isArray(value)) return { pushes: [value], isList: false };
  const pushes = value as readonly Plain[]; // just looked at
  if (pushes.length <= PUSHES_MAX) return { pushes, isList: true };
  return { problem: `body: has ${pushes.length} pushes, at most ${PUSHES_MAX}` };
}

function answerOne(response: HttpCall['response'], report: PushReport): void {
  if (report.refusal === null) {
    sendJson(response, 200, resultOf(report));
    return;
  }
  const [first] = report.problems;
  const detail = first === undefined ? report.reason : `${report.reason}; rows[${first.index}]: ${first.problem}`;
  const { problems } = resultOf(report);
  sendProblem(response, { ...PROBLEM[report.refusal], detail, extension: { problems } });
}

function resultOf({ taken, refusal, reason, problems }: PushReport): Answer {
  const named = problems.slice(0, PROBLEMS_MAX);
  if (taken === null) return { ok: false, refusal, reason, problems: named };
  const { feed, version } = taken;
  return { ok: true, feed, version, taken: taken.rows.length, refused: problems.length, problems: named };
}

/** What is stale or too much is no mistake of form: the same push may be right at another time. */
const PROBLEM: { readonly [refusal in PushRefusal]: Omit<Problem, 'detail'> } = {
  bad: { status: 400, title: 'Bad Request', code: FAULT.invalidField.code },
  stale: { status: 409, title: 'Conflict' },
  full: { status: 409, title: 'Conflict' },
};
