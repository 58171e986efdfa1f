/**
 * What is wrong with a catalog file, told to the person who wrote it: every problem at once, each with
 * file, line, column, path, reason and, where a name was misspelt, the nearest name that exists.
 * The catalog in force is never touched by a file that has problems; callers keep the old one.
 */

/** One thing to mend. `line` and `column` count from 1; both are 1 when the file could not be read. */
export interface CatalogProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Where in the document, for example `actions[3].slots[0]`; empty for the document itself. */
  readonly path: string;
  readonly reason: string;
  readonly nearest?: string;
}

export type CatalogErrorCode =
  /** The text was read but is not a valid catalog. */
  | 'CATALOG_INVALID'
  /** There is no text: missing, not a file, no permission, too large, or not UTF-8. */
  | 'CATALOG_UNREADABLE';

/** `retail.yaml:41:17 actions[3].slots[0]: "hme" is not a declared slot; nearest is "home"` */
export function formatProblem(problem: CatalogProblem): string {
  const where = `${problem.file}:${problem.line}:${problem.column}`;
  const path = problem.path === '' ? '' : ` ${problem.path}`;
  const nearest = problem.nearest === undefined ? '' : `; nearest is ${JSON.stringify(problem.nearest)}`;
  return `${where}${path}: ${problem.reason}${nearest}`;
}

/** A catalog that cannot be used. `message` holds one line a problem, in the order of the file. */
export class CatalogError extends Error {
  override readonly name = 'CatalogError';
  readonly code: CatalogErrorCode;
  readonly problems: readonly CatalogProblem[];

  constructor(code: CatalogErrorCode, problems: readonly CatalogProblem[], options?: { readonly cause?: unknown }) {
    super(problems.map(formatProblem).join('\n'), options);
    this.code = code;
    this.problems = problems;
  }
}
