/**
 * Dead letters over HTTP: what was refused of people, by its reasons; what one of them says; told again; dropped. Each
 * question goes to the worker whose person it is about. A list is no snapshot: what happens between two pages is not
 * in it. docs/DEAD-LETTERS.md says what a letter is.
 */
import { type DecisionIdParts, parseDecisionId } from '../../actors/decision-id.ts';
import { REFUSALS } from '../../decision/cleaning/value-rules.ts';
import type { LetterAnswer, ShownLetter } from '../../workers/letter-desk.ts';
import { type HttpCall, type Problem, type Route, sendJson, sendProblem } from '../http-route.ts';
import type { ShardAsks } from '../shard-asks.ts';
import { ownersOf } from '../shard-map.ts';
import {
  answer,
  BOOLEAN,
  COUNT,
  exactBody,
  INSTANT,
  integer,
  json,
  listOf,
  MAP,
  oneOf,
  orNull,
  type RouteShape,
  TEXT,
} from './route-shape.ts';

/** Letters of one request to tell again or drop; those of a list, about. */
export const LETTERS_A_REQUEST_MAX = 500;
const LETTERS_A_LIST = 100;
const AT_ONCE_MAX = 32;
const CURSOR = /^(\d{1,3})-(\d{1,15})$/;
const BODY_BYTES_MAX = 64 * 1024;

const AWAY: LetterAnswer = { kind: 'problem', problem: 'later', message: "shard: the person's worker is restarting" };

const EXAMPLE_ID = '9qAbGuTHc9tvAQAAAEeM';
const LETTER = answer(
  {
    id: TEXT,
    op: TEXT,
    event: orNull(TEXT),
    refused: listOf(answer({ field: orNull(TEXT), reason: oneOf(REFUSALS), message: orNull(TEXT) })),
    door: TEXT,
    by: TEXT,
    firstEpochMillis: INSTANT,
    lastEpochMillis: INSTANT,
    times: COUNT,
    message: { ...MAP, description: 'what it says; of one letter asked for by its id only' },
  },
  ['message'],
);
const LIST_SHAPE: RouteShape = {
  parameters: {
    id: { about: 'this one, with what it says', schema: TEXT, example: EXAMPLE_ID },
    reason: { about: 'refused for this', schema: oneOf(REFUSALS.slice(1)), example: 'range' },
    limit: {
      about: `how many, about; ${LETTERS_A_LIST} unless said`,
      schema: integer(1, LETTERS_A_REQUEST_MAX),
      example: 10,
    },
    cursor: { about: '`next` of the page before', schema: { ...TEXT, pattern: CURSOR.source }, example: '0-0' },
  },
  answers: {
    200: {
      about: 'a page of letters, or the one asked for',
      schema: {
        anyOf: [answer({ letters: listOf(LETTER), next: orNull(TEXT), complete: BOOLEAN }), LETTER],
      },
    },
  },
  problems: [404, 409],
};
const SETTLE_SHAPE: RouteShape = {
  body: json(exactBody({ ids: { ...listOf(TEXT, LETTERS_A_REQUEST_MAX), minItems: 1, uniqueItems: true } }, ['ids']), {
    one: { ids: [EXAMPLE_ID] },
  }),
  answers: {
    200: {
      about: 'what became of each, in their order',
      schema: answer({
        results: listOf(
          answer(
            {
              id: TEXT,
              outcome: oneOf([
                'taken',
                'duplicate',
                'refused',
                'dropped',
                'unknown',
                'underWay',
                'unreadable',
                'later',
              ]),
              message: TEXT,
            },
            ['message'],
          ),
        ),
      }),
    },
  },
};

/** @param tenantOf number of a tenant by its name */
export function letterRoutes(
  asks: ShardAsks,
  shards: number,
  tenantOf: (name: string) => number,
): ReadonlyMap<string, Route> {
  const desk = new LetterRoutes(asks, shards, tenantOf);
  const change = {
    method: 'POST',
    operation: 'deadLetters',
    bodyBytesMax: BODY_BYTES_MAX,
    shape: SETTLE_SHAPE,
  } as const;
  return new Map<string, Route>([
    [
      '/v1/dead-letters',
      {
        method: 'GET',
        about: 'messages that were refused: ?reason=R&limit=N&cursor=NEXT, or one with what it says: ?id=ID',
        operation: 'deadLetters',
        shape: LIST_SHAPE,
        answer: (call) => desk.get(call),
      },
    ],
    [
      '/v1/dead-letters/redrive',
      { ...change, about: 'tell them again: {ids: […]}', answer: (call) => desk.settle('redrive', call) },
    ],
    [
      '/v1/dead-letters/drop',
      { ...change, about: 'let them go: {ids: […]}', answer: (call) => desk.settle('drop', call) },
    ],
  ]);
}

class LetterRoutes {
  readonly #asks: ShardAsks;
  readonly #shards: number;
  readonly #owners: Uint8Array;
  readonly #tenantOf: (name: string) => number;

  constructor(asks: ShardAsks, shards: number, tenantOf: (name: string) => number) {
    this.#asks = asks;
    this.#shards = shards;
    this.#owners = ownersOf(shards);
    this.#tenantOf = tenantOf;
  }

  async get(call: HttpCall): Promise<void> {
    const { searchParams } = call.url;
    const unknown = [...searchParams.keys()].find((name) => !['id', 'reason', 'limit', 'cursor'].includes(name));
    if (unknown !== undefined) return refuse(call, `query parameter ${unknown.slice(0, 64)} is not known here`);
    const id = searchParams.get('id');
    if (id === null) return this.#list(call);
    const answer = await this.#ask('show', id, call);
    if (answer.kind === 'letter') sendJson(call.response, 200, answer.letter);
    else if (answer.kind === 'problem') sendProblem(call.response, problemOf(answer));
  }

  async #list(call: HttpCall): Promise<void> {
    const { searchParams } = call.url;
    const reason = searchParams.get('reason');
    if (reason !== null && !(REFUSALS as readonly string[]).includes(reason))
      return refuse(call, `query parameter reason must be one of ${REFUSALS.slice(1).join(', ')}`);
    const limit = Number(searchParams.get('limit') ?? LETTERS_A_LIST);
    if (!Number.isInteger(limit) || limit < 1 || limit > LETTERS_A_REQUEST_MAX)
      return refuse(call, `query parameter limit must be a whole number from 1 to ${LETTERS_A_REQUEST_MAX}`);
    const cursor = searchParams.get('cursor');
    const match = cursor === null ? ['', '0', '0'] : CURSOR.exec(cursor);
    if (match === null) return refuse(call, 'query parameter cursor must be what `next` of the page before said');
    const { principal } = call.login;
    const tenant = this.#tenantOf(principal.tenant);
    let [shard = 0, after = 0] = match.slice(1).map(Number);
    const letters: ShownLetter[] = [];
    let isComplete = true;
    while (shard < this.#shards && letters.length < limit) {
      const page = (await this.#asks.ask(shard, tenant, { op: 'list', actor: principal.id, after })) ?? AWAY;
      if (page.kind !== 'page') return sendProblem(call.response, problemOf(page));
      isComplete &&= page.isComplete;
      letters.push(...page.letters.filter((one) => reason === null || one.refused.some((of) => of.reason === reason)));
      after = page.next ?? 0;
      if (page.next === null) shard++;
    }
    sendJson(call.response, 200, {
      letters,
      next: shard < this.#shards ? `${shard}-${after}` : null,
      complete: isComplete,
    });
  }

  /** Each by its own; the answer says what became of it, in their order. */
  async settle(op: 'redrive' | 'drop', call: HttpCall): Promise<void> {
    const ids = idsOf(call.body);
    if (typeof ids === 'string') return refuse(call, ids);
    const results: object[] = [];
    for (let start = 0; start < ids.length; start += AT_ONCE_MAX) {
      const some = ids.slice(start, start + AT_ONCE_MAX);
      const answers = await Promise.all(some.map((id) => this.#ask(op, id, call)));
      for (const [i, answer] of answers.entries()) results.push({ id: some[i], ...resultOf(answer) });
    }
    sendJson(call.response, 200, { results });
  }

  async #ask(op: 'show' | 'redrive' | 'drop', id: string, { login }: HttpCall): Promise<LetterAnswer> {
    const { principal } = login;
    const parts: DecisionIdParts = { partition: 0, hashLow: 0, hashHigh: 0, decisionSeq: 0 };
    if (!parseDecisionId(id, parts))
      return {
        kind: 'problem',
        problem: 'unknown',
        message: 'not an id of a dead letter (20 characters, with a check)',
      };
    const shard = this.#owners[parts.partition] as number; // every partition has an owner
    const tenant = this.#tenantOf(principal.tenant);
    return (await this.#asks.ask(shard, tenant, { op, actor: principal.id, id })) ?? AWAY;
  }
}

function idsOf(body: Buffer): readonly string[] | string {
  const expected = `ids: expected an array of 1 to ${LETTERS_A_REQUEST_MAX} different ids of dead letters`;
  try {
    const { ids, ...others } = JSON.parse(body.toString()) as { ids?: unknown }; // looked at below
    const [other] = Object.keys(others);
    if (other !== undefined) return `${other.slice(0, 64)}: not known here; expected ids`;
    const isList = Array.isArray(ids) && ids.length > 0 && ids.length <= LETTERS_A_REQUEST_MAX;
    if (!isList || !ids.every((id) => typeof id === 'string') || new Set(ids).size < ids.length) return expected;
    return ids;
  } catch {
    return 'body: is not valid JSON';
  }
}

function resultOf(answer: LetterAnswer): object {
  if (answer.kind === 'settled')
    return { outcome: answer.outcome, ...(answer.message === '' ? {} : { message: answer.message }) };
  const { problem = 'unknown', message = '' } = answer.kind === 'problem' ? answer : {};
  return { outcome: problem, message };
}

function problemOf(answer: LetterAnswer): Problem {
  const { problem, message } = answer.kind === 'problem' ? answer : { problem: 'later' as const, message: '' };
  if (problem === 'unknown') return { status: 404, title: 'Not Found', detail: message };
  if (problem === 'later')
    return { status: 503, title: 'Service Unavailable', detail: message, headers: { 'retry-after': '1' } };
  return { status: 409, title: 'Conflict', detail: message };
}

function refuse(call: HttpCall, detail: string): void {
  sendProblem(call.response, { status: 400, title: 'Bad Request', detail });
}
