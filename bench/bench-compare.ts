/**
 * Two results side by side, figure by figure: B against A as a ratio. The spread over the runs decides
 * what is said of it: medians whose ranges overlap are `same`, however far apart they look. Reads the
 * results of `bench` and of `bench:micro` alike (both keep `figures`).
 */
import { readFileSync } from 'node:fs';
import { BenchUsageError } from './bench-options.ts';
import type { Figure } from './bench-result.ts';

export interface ComparedFigure {
  readonly name: string;
  readonly unit: string;
  readonly before: number;
  readonly after: number;
  /** after ÷ before; NaN when `before` is 0. */
  readonly ratio: number;
  readonly change: 'better' | 'worse' | 'same' | 'single run';
}

export interface ComparableResult {
  readonly schema: string;
  readonly figures: { readonly [name: string]: Figure };
}

/** Throws BenchUsageError when the file is not a result. */
export function readComparable(file: string): ComparableResult {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new BenchUsageError(`--compare ${file}: ${error instanceof Error ? error.message : 'unreadable'}`, error);
  }
  const result = value as Partial<ComparableResult> | null; // checked field by field below
  if (
    typeof result?.schema !== 'string' ||
    !result.schema.startsWith('opportune-') ||
    typeof result.figures !== 'object'
  ) {
    throw new BenchUsageError(`--compare ${file}: not a result of opportune bench; write one with --json`);
  }
  return result as ComparableResult; // schema checked: our own writer made it
}

/** Figures that both hold, in A's order. Throws BenchUsageError when the schemas differ or nothing is shared. */
export function compareResults(before: ComparableResult, after: ComparableResult): readonly ComparedFigure[] {
  if (before.schema !== after.schema) {
    throw new BenchUsageError(`--compare: ${before.schema} cannot be compared with ${after.schema}`);
  }
  const compared = Object.entries(before.figures).flatMap(([name, a]) => {
    const b = after.figures[name];
    return b === undefined ? [] : [compareFigure(name, a, b)];
  });
  if (compared.length === 0) throw new BenchUsageError('--compare: the two results share no figure');
  return compared;
}

function compareFigure(name: string, a: Figure, b: Figure): ComparedFigure {
  const areRangesApart = a.max < b.min || b.max < a.min;
  const isBetter = b.median > a.median === a.isHigherBetter;
  const change =
    a.values.length < 2 || b.values.length < 2
      ? 'single run'
      : !areRangesApart
        ? 'same'
        : isBetter
          ? 'better'
          : 'worse';
  return {
    name,
    unit: a.unit,
    before: a.median,
    after: b.median,
    ratio: a.median === 0 ? Number.NaN : b.median / a.median,
    change,
  };
}
