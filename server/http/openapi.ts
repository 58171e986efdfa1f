/**
 * The OpenAPI 3.1 document of the HTTP API, made from the table of routes that answers requests: a path, method, bound
 * or role is in it because it is so, and a path that this node does not serve (drills that are off) is not in it.
 *
 *   Route (about, shape, operation, bodyBytesMax) + PERMISSIONS ─▸ path item, schemas inline ─▸ GET /v1/openapi.json
 *
 * Who may ask is told as alternatives: `[{bearer: [role]}, …]`, one for each role that the operation is permitted to.
 * Traded away: named schemas. Each is where it is used, so that a route is read in one place and the document is longer.
 */

import { NODE_WIDE, PERMISSIONS } from '../access/roles.ts';
import type { AnsweredMethod, Route } from '../http-route.ts';
import {
  type AnswerShape,
  answer,
  integer,
  type JsonSchema,
  type ParameterShape,
  type ProblemStatus,
  type RouteShape,
  TEXT,
} from './route-shape.ts';

export interface ApiFacts {
  /** Version of Opportune. */
  readonly version: string;
  /** Whether the node asks for tokens. */
  readonly asksTokens: boolean;
}

const PROBLEM_TYPE = 'application/problem+json';
const PROBLEM_SCHEMA: JsonSchema = {
  ...answer(
    {
      type: TEXT,
      title: TEXT,
      status: integer(400, 599),
      detail: { ...TEXT, description: 'what, where, the bound' },
      code: {
        type: 'integer',
        description: 'the stable number of docs/PROTOCOL.md, where the wire has the same refusal',
      },
    },
    ['code'],
  ),
  description: 'A problem document (RFC 9457).',
};

const RETRY_AFTER = { 'Retry-After': { description: 'seconds; send the whole again then', schema: integer(1, 3600) } };

/** Refusals: key and description of the response, and its headers. */
const PROBLEMS: {
  readonly [status in ProblemStatus | 400 | 401 | 403 | 413 | 503]: readonly [string, string, object?];
} = {
  400: ['BadRequest', 'not what is taken here: `detail` says what was expected'],
  401: [
    'Unauthorized',
    'no token, or none that holds',
    { 'WWW-Authenticate': { description: 'the scheme', schema: TEXT } },
  ],
  403: ['Forbidden', 'no role of the token permits it, or a page of another origin asks'],
  404: ['NotFound', 'there is no such thing'],
  409: ['Conflict', 'not in the present state'],
  413: ['ContentTooLarge', 'the body is longer than is taken here'],
  429: ['TooManyRequests', 'more than the token may send, or than the node can take', RETRY_AFTER],
  501: ['NotImplemented', 'not there yet'],
  503: ['Unavailable', 'not at the moment: a worker restarts, the disk is full, tokens cannot be checked', RETRY_AFTER],
  504: ['DeadlineExceeded', '`deadlineMillis` has passed'],
};
type Refusal = keyof typeof PROBLEMS;

const SCHEMES = {
  bearer: { type: 'http', scheme: 'bearer', description: 'A JSON Web Token or an API key (docs/ACCESS.md).' },
  basic: {
    type: 'http',
    scheme: 'basic',
    description: "An API key as the user, as Segment's clients send their write key; the password is not looked at.",
  },
} as const;

const ABOUT = `Events, decisions and the state of one node, over HTTP. Where the node asks for tokens each operation names
the roles that may (one of them is enough); the token also says whose data it is, the tenant. Refusals are problem
documents. Every GET is answered to HEAD as well. Bodies are JSON in UTF-8.`;

/** @param routes all that the node answers, by path */
export function openApiDocument(routes: ReadonlyMap<string, Route>, facts: ApiFacts): JsonSchema {
  const paths: Record<string, Record<string, JsonSchema>> = {};
  for (const [path, route] of routes) {
    const item: Record<string, JsonSchema> = {};
    if (route.get !== undefined)
      item.get = operationOf(path, 'GET', { ...route, ...route.get, bodyBytesMax: 0 }, facts);
    item[route.method.toLowerCase()] = operationOf(path, route.method, route, facts);
    paths[path] = item;
  }
  const responses = Object.fromEntries(
    Object.values(PROBLEMS).map(([key, description, headers]) => [
      key,
      { description, ...(headers === undefined ? {} : { headers }), content: PROBLEM_CONTENT },
    ]),
  );
  return {
    openapi: '3.1.0',
    info: {
      title: 'Opportune',
      version: facts.version,
      description: ABOUT,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: { Problem: PROBLEM_SCHEMA },
      responses: { ...responses, Problem: { description: 'any other refusal or failure', content: PROBLEM_CONTENT } },
      securitySchemes: SCHEMES,
    },
  };
}

const PROBLEM_CONTENT = { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } };

function operationOf(path: string, method: AnsweredMethod, route: Route, facts: ApiFacts): JsonSchema {
  const { about, shape, operation, bodyBytesMax = 0 } = route;
  const { parameters = {}, body } = shape;
  const whole = NODE_WIDE.includes(operation) ? ', of the default tenant' : '';
  return {
    operationId: operationIdOf(path, method),
    summary: about,
    description: `Operation \`${operation}\`: roles ${PERMISSIONS[operation].join(', ')}${whole}.`,
    security: securityOf(route, facts),
    ...(Object.keys(parameters).length === 0 ? {} : { parameters: Object.entries(parameters).map(parameterOf) }),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            description: `${bodyBytesMax} bytes at most`,
            required: true,
            content: Object.fromEntries(
              Object.entries(body).map(([type, { schema, examples }]) => [
                type,
                {
                  schema,
                  examples: Object.fromEntries(Object.entries(examples).map(([name, value]) => [name, { value }])),
                },
              ]),
            ),
          },
        }),
    responses: responsesOf(shape, route.isOpen === true),
  };
}

/** `GET /v1/dead-letters` ▸ `getDeadLetters`. */
function operationIdOf(path: string, method: AnsweredMethod): string {
  const words = path.replace(/^\/v1\//, '/').match(/[A-Za-z0-9]+/g) ?? ['index'];
  return method.toLowerCase() + words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('');
}

/** Alternatives; `{}` is nobody in particular. */
function securityOf({ operation, isOpen, tokenOf }: Route, { asksTokens }: ApiFacts): readonly object[] {
  const schemes = tokenOf === undefined ? ['bearer'] : ['bearer', 'basic'];
  const permitted = schemes.flatMap((scheme) => PERMISSIONS[operation].map((role) => ({ [scheme]: [role] })));
  return isOpen === true || !asksTokens ? [{}, ...permitted] : permitted;
}

function parameterOf([name, { in: place = 'query', about, isNeeded, schema, example }]: [
  string,
  ParameterShape,
]): object {
  return { name, in: place, description: about, required: isNeeded === true, schema, example };
}

function responsesOf(shape: RouteShape, isOpen: boolean): JsonSchema {
  const { answers, parameters, body, problems = [] } = shape;
  const mayBeWrong = parameters !== undefined || body !== undefined;
  const statuses: Refusal[] = [413, ...problems];
  if (mayBeWrong) statuses.push(400);
  if (!isOpen) statuses.push(401, 403, 503);
  // Numbers as keys are in their order, whatever the order here.
  const responses: Record<string, object> = {};
  for (const status of statuses) responses[status] = { $ref: `#/components/responses/${PROBLEMS[status][0]}` };
  for (const [status, { about, schema, type = 'application/json' }] of Object.entries(answers) as [
    string,
    AnswerShape,
  ][])
    responses[status] = { description: about, ...(schema === undefined ? {} : { content: { [type]: { schema } } }) };
  return { ...responses, default: { $ref: '#/components/responses/Problem' } };
}
