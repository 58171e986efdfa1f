/**
 * The parts of OpenAPI 3.1 that the document uses, as strict schemas, so that a misspelt or misplaced member is found; and
 * JSON Schemas made closed, so that an answer with a member nobody told of is found too.
 */
import { z } from 'zod';

export type JsonMap = { readonly [name: string]: unknown };

const text = z.string().min(1);
const reference = z.strictObject({ $ref: z.string().startsWith('#/components/') });
/** What JSON Schema says of itself is checked by reading each schema with `readerOf`. */
const schema = z.record(z.string(), z.unknown());
const media = z.strictObject({
  schema: z.union([reference, schema]),
  examples: z.record(text, z.strictObject({ value: z.unknown() })).optional(),
});
const content = z.record(z.string().regex(/^[a-z]+\/[a-z+.-]+$/), media);
const header = z.strictObject({ description: text, schema });
const response = z.strictObject({
  description: text,
  headers: z.record(text, header).optional(),
  content: content.optional(),
});
const responses = z.record(z.string().regex(/^(?:[1-5]\d\d|default)$/), z.union([reference, response]));
const parameter = z.strictObject({
  name: text,
  in: z.enum(['query', 'header']),
  description: text,
  required: z.boolean(),
  schema,
  example: z.unknown(),
});
const operation = z.strictObject({
  operationId: z.string().regex(/^[a-z][A-Za-z0-9]*$/),
  summary: text,
  description: text,
  security: z.array(z.record(z.string(), z.array(z.string()))).min(1),
  parameters: z.array(parameter).optional(),
  requestBody: z.strictObject({ description: text, required: z.literal(true), content }).optional(),
  responses,
});
const METHODS = ['get', 'post', 'put', 'delete'] as const;
const pathItem = z.strictObject({
  get: operation.optional(),
  post: operation.optional(),
  put: operation.optional(),
  delete: operation.optional(),
});
const KEY = /^[a-zA-Z0-9._-]+$/;

export const OPEN_API = z.strictObject({
  openapi: z.literal('3.1.0'),
  info: z.strictObject({
    title: text,
    version: text,
    description: text,
    license: z.strictObject({ name: text, identifier: text }),
  }),
  servers: z.array(z.strictObject({ url: text })),
  paths: z.record(z.string().startsWith('/'), pathItem),
  components: z.strictObject({
    schemas: z.record(z.string().regex(KEY), schema),
    responses: z.record(z.string().regex(KEY), response),
    securitySchemes: z.record(
      z.string().regex(KEY),
      z.strictObject({ type: z.literal('http'), scheme: z.enum(['bearer', 'basic']), description: text }),
    ),
  }),
});

export type ApiDocument = z.infer<typeof OPEN_API>;
export type ApiOperation = z.infer<typeof operation>;
export type ApiMedia = z.infer<typeof media>;

export interface ApiCall {
  readonly path: string;
  readonly method: string;
  readonly operation: ApiOperation;
}

/** Every operation, in the document's order. */
export function callsOf(document: ApiDocument): ApiCall[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = item[method];
      return operation === undefined ? [] : [{ path, method: method.toUpperCase(), operation }];
    }),
  );
}

/** What a reference within the document names; what is none is itself. */
export function resolved<T>(document: ApiDocument, value: T | { readonly $ref: string }): T {
  if (typeof value !== 'object' || value === null || !('$ref' in value)) return value as T; // no reference
  const found = String(value.$ref)
    .slice(2)
    .split('/')
    .reduce<unknown>((at, name) => (at as JsonMap | undefined)?.[name], document);
  if (found === undefined) throw new Error(`${String(value.$ref)} names nothing`);
  return found as T; // of the place that may hold it
}

/** A schema as a check. @throws where it is no JSON Schema */
export function readerOf(of: JsonMap): z.ZodType {
  return z.fromJSONSchema(of as Parameters<typeof z.fromJSONSchema>[0]);
}

/** The same schema, with maps that may hold nothing but what is named. */
export function closed(of: unknown): JsonMap {
  if (typeof of !== 'object' || of === null) return of as unknown as JsonMap; // a leaf
  if (Array.isArray(of)) return of.map(closed) as unknown as JsonMap; // of anyOf
  const inner = Object.fromEntries(Object.entries(of).map(([name, value]) => [name, closed(value)]));
  return 'properties' in of && !('additionalProperties' in of) ? { ...inner, additionalProperties: false } : inner;
}
