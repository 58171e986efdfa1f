/**
 * What a route takes and answers, as JSON Schema (2020-12), written beside the route itself: `openapi.ts` makes the
 * document of the HTTP API from it. The schemas only tell; who checks a request is the route. That the two agree is held
 * by a test that sends every example to a running node and reads every answer by its schema.
 */
export type JsonSchema = { readonly [keyword: string]: unknown };

/** A query parameter, or a header. */
export interface ParameterShape {
  readonly in?: 'query' | 'header';
  readonly about: string;
  readonly schema: JsonSchema;
  readonly example: string | number;
  readonly isNeeded?: true;
}

export interface BodyShape {
  readonly schema: JsonSchema;
  /** By name, each a body that is taken as it stands. */
  readonly examples: Readonly<Record<string, unknown>>;
}

export interface AnswerShape {
  readonly about: string;
  /** Absent: no content. */
  readonly schema?: JsonSchema;
  /** Media type; absent: `application/json`. */
  readonly type?: string;
}

/** Refusals a route may have beside those of every route. */
export type ProblemStatus = 404 | 409 | 429 | 501 | 504;

export interface RouteShape {
  readonly parameters?: Readonly<Record<string, ParameterShape>>;
  /** By media type. */
  readonly body?: Readonly<Record<string, BodyShape>>;
  /** By status. */
  readonly answers: Readonly<Record<number, AnswerShape>>;
  readonly problems?: readonly ProblemStatus[];
}

export const BOOLEAN: JsonSchema = { type: 'boolean' };
export const NUMBER: JsonSchema = { type: 'number' };
export const TEXT: JsonSchema = { type: 'string' };
/** A number of things. */
export const COUNT: JsonSchema = { type: 'integer', minimum: 0 };
export const INSTANT: JsonSchema = { type: 'integer', minimum: 0, description: 'epoch milliseconds, UTC' };
/** Any JSON map. */
export const MAP: JsonSchema = { type: 'object' };

/** A string of at most so many characters, 1 at least. */
export function textUpTo(charactersMax: number, description?: string): JsonSchema {
  return {
    type: 'string',
    minLength: 1,
    maxLength: charactersMax,
    ...(description === undefined ? {} : { description }),
  };
}

export function integer(minimum: number, maximum: number): JsonSchema {
  return { type: 'integer', minimum, maximum };
}

export function oneOf(words: readonly string[]): JsonSchema {
  return { type: 'string', enum: words };
}

export function orNull(schema: JsonSchema): JsonSchema {
  return { anyOf: [schema, { type: 'null' }] };
}

export function listOf(items: JsonSchema, maxItems?: number): JsonSchema {
  return { type: 'array', items, ...(maxItems === undefined ? {} : { maxItems }) };
}

/** A map from any name to one kind of value. */
export function mapOf(values: JsonSchema): JsonSchema {
  return { type: 'object', additionalProperties: values };
}

/** A map that is sent: only what is named must be there, and what is not known here may be. */
export function body(properties: Readonly<Record<string, JsonSchema>>, needed: readonly string[]): JsonSchema {
  return { type: 'object', properties, required: needed };
}

/** As `body`, refused with anything else in it. */
export function exactBody(properties: Readonly<Record<string, JsonSchema>>, needed: readonly string[]): JsonSchema {
  return { ...body(properties, needed), additionalProperties: false };
}

/** A map that is answered: all of it is there but what is named; later versions may add to it. */
export function answer(properties: Readonly<Record<string, JsonSchema>>, optional: readonly string[] = []): JsonSchema {
  return { type: 'object', properties, required: Object.keys(properties).filter((name) => !optional.includes(name)) };
}

/** Bodies in JSON. */
export function json(schema: JsonSchema, examples: BodyShape['examples']): Readonly<Record<string, BodyShape>> {
  return { 'application/json': { schema, examples } };
}
