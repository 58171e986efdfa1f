/** What the routes of `admin-http.ts` itself take and answer: verdicts, related products, drills, documents. */
import {
  answer,
  BOOLEAN,
  COUNT,
  INSTANT,
  integer,
  type JsonSchema,
  listOf,
  MAP,
  NUMBER,
  oneOf,
  orNull,
  type RouteShape,
  TEXT,
  textUpTo,
} from './route-shape.ts';

/** As many as a fit keeps of a product. */
export const RELATED_MAX = 10;
export const SKU_LENGTH_MAX = 64;

const DETAILS: Readonly<Record<string, JsonSchema>> = {
  version: TEXT,
  isDraining: BOOLEAN,
  uptimeSeconds: COUNT,
  catalog: answer({ name: TEXT, version: TEXT, refused: orNull(TEXT) }),
  shards: listOf(
    answer({
      index: COUNT,
      state: oneOf(['starting', 'recovering', 'ready', 'failed', 'stopping']),
      restarts: COUNT,
      isReadOnly: BOOLEAN,
      problem: orNull(TEXT),
    }),
  ),
};

/** A verdict, and more to those who may see it. */
export function verdictShape(name: string): RouteShape {
  const schema = answer({ [name]: BOOLEAN, ...DETAILS }, Object.keys(DETAILS));
  return { answers: { 200: { about: `it is ${name}`, schema }, 503: { about: `it is not ${name}`, schema } } };
}

export const RELATED_SHAPE: RouteShape = {
  parameters: {
    sku: { about: 'of which product', schema: textUpTo(SKU_LENGTH_MAX), example: 'espresso-1kg', isNeeded: true },
    limit: { about: `how many; ${RELATED_MAX} unless said`, schema: integer(1, RELATED_MAX), example: 3 },
  },
  answers: {
    200: {
      about: 'best first; none of a product that nobody knows or has bought yet',
      schema: answer({
        sku: TEXT,
        fittedAtEpochMillis: orNull(INSTANT),
        related: listOf(answer({ sku: TEXT, score: NUMBER }), RELATED_MAX),
      }),
    },
  },
};

export function drillShape(drill: string): RouteShape {
  return {
    parameters: { worker: { about: 'its number', schema: integer(0, 999), example: 0, isNeeded: true } },
    answers: {
      202: { about: 'it breaks behind this answer', schema: answer({ drill: { const: drill }, worker: COUNT }) },
    },
    problems: [404],
  };
}

/** One document, whatever is asked; a JSON map unless it is a text. */
export function fileShape(type: string): RouteShape {
  return { answers: { 200: { about: 'as it is now', type, schema: type.startsWith('text/') ? TEXT : MAP } } };
}
