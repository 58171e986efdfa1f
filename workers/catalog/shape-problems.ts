/**
 * The shape check's findings in words a marketer can act on: what is there, what must be there instead,
 * and the known key that was probably meant. One finding a problem, none dropped.
 */
import type * as z from 'zod';
import { catalogSchema } from './catalog-schema.ts';
import { nearestMatch } from './nearest-match.ts';
import type { DocumentPath } from './yaml-source.ts';

export interface ShapeProblem {
  readonly path: DocumentPath;
  readonly part: 'key' | 'value';
  readonly reason: string;
  readonly nearest?: string;
}

/** All ways in which `value` misses the shape; empty when it fits. */
export function shapeProblems(value: unknown): ShapeProblem[] {
  const result = catalogSchema.safeParse(value);
  return result.success ? [] : result.error.issues.flatMap((issue) => problemsOf(issue, value));
}

function problemsOf(issue: z.core.$ZodIssue, root: unknown): ShapeProblem[] {
  const path = issue.path.map((step) => (typeof step === 'number' ? step : String(step)));
  const value = valueAt(root, path);
  const isMissing = value === undefined;
  const problem = (reason: string, nearest?: string): ShapeProblem[] => [
    { path, part: 'value', reason, ...(nearest === undefined ? {} : { nearest }) },
  ];
  switch (issue.code) {
    case 'unrecognized_keys': {
      const known = knownKeysAt(path);
      return issue.keys.map((name) => {
        const nearest = nearestMatch(name, known);
        const reason = `${JSON.stringify(name)} is not a known key${nearest === undefined ? ` (known: ${known.join(', ')})` : ''}`;
        return { path: [...path, name], part: 'key', reason, ...(nearest === undefined ? {} : { nearest }) };
      });
    }
    case 'invalid_key':
      return [{ path, part: 'key', reason: issue.issues[0]?.message ?? 'is not a valid key' }];
    case 'invalid_type':
      return isMissing
        ? problem(`is required (${EXPECTED[issue.expected] ?? issue.expected})`)
        : problem(`must be ${EXPECTED[issue.expected] ?? issue.expected}, got ${describe(value)}`);
    case 'invalid_value': {
      const options = issue.values.map(String);
      if (isMissing) return problem(`is required (${options.join(' or ')})`);
      return problem(
        `must be ${options.join(', ')}; got ${describe(value)}`,
        typeof value === 'string' ? nearestMatch(value, options) : undefined,
      );
    }
    case 'too_small':
    case 'too_big': {
      const bound = issue.code === 'too_small' ? `at least ${issue.minimum}` : `at most ${issue.maximum}`;
      if (issue.origin === 'array')
        return problem(`must have ${bound} entries, has ${Array.isArray(value) ? value.length : 'none'}`);
      if (value === '') return problem('must not be empty');
      if (issue.origin === 'string') return problem(`must have ${bound} characters, has ${String(value).length}`);
      return problem(`must be ${bound}, got ${describe(value)}`);
    }
    case 'invalid_format':
      return problem(`${issue.message}, got ${describe(value)}`);
    default:
      return problem(issue.message);
  }
}

const EXPECTED: Readonly<Record<string, string>> = {
  int: 'a whole number',
  number: 'a number',
  string: 'text',
  boolean: 'true or false',
  object: 'a map',
  record: 'a map',
  array: 'a list',
};

/** A value as a message quotes it: its kind, and itself when it is short. */
function describe(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return `text ${JSON.stringify(value.length > 48 ? `${value.slice(0, 47)}…` : value)}`;
  if (typeof value === 'object') return 'a map';
  return String(value);
}

function valueAt(root: unknown, path: DocumentPath): unknown {
  let value = root;
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string | number, unknown>)[step]; // an object or array just checked
  }
  return value;
}

/** Keys the schema knows at `path`, for suggestions; empty where it knows no fixed keys. */
function knownKeysAt(path: DocumentPath): string[] {
  let schema: unknown = catalogSchema;
  for (const step of path) schema = stepInto(bare(schema), step);
  const found = bare(schema);
  return found?.shape === undefined ? [] : Object.keys(found.shape);
}

/** The parts of zod's definition objects that the walk needs; zod types them one class a kind. */
interface SchemaParts {
  readonly type: string;
  readonly shape?: Readonly<Record<string, unknown>>;
  readonly innerType?: unknown;
  readonly element?: unknown;
  readonly valueType?: unknown;
}

function bare(schema: unknown): SchemaParts | undefined {
  let parts = (schema as { readonly def?: SchemaParts } | undefined)?.def; // every zod schema has `def`
  while (parts !== undefined && (parts.type === 'optional' || parts.type === 'nullable')) {
    parts = (parts.innerType as { readonly def?: SchemaParts }).def; // as above
  }
  return parts;
}

function stepInto(parts: SchemaParts | undefined, step: string | number): unknown {
  return typeof step === 'number' ? parts?.element : (parts?.shape?.[step] ?? parts?.valueType);
}
