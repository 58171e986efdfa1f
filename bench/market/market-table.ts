/**
 * What the policies of each question earned over the seeds, as one table: a row a policy, with standard errors over
 * the seeds, and the targets ours is held to.
 */
import { type Ledger, total } from './market-run.ts';

/** Mean over the seeds and its standard error (NaN of one seed: it says nothing of itself). */
export interface Estimate {
  readonly mean: number;
  readonly standardError: number;
}

export function estimate(values: readonly number[]): Estimate {
  const n = values.length;
  if (n === 0) return { mean: Number.NaN, standardError: Number.NaN };
  const mean = values.reduce((a, b) => a + b, 0) / n;
  const squares = values.reduce((sum, value) => sum + (value - mean) * (value - mean), 0);
  return { mean, standardError: n === 1 ? Number.NaN : Math.sqrt(squares / (n - 1) / n) };
}

export interface MarketRow {
  readonly question: string;
  readonly policy: string;
  /** Decisions a seed. */
  readonly decisions: Estimate;
  /** Expected earnings a decision, in the question's own unit. */
  readonly earned: Estimate;
  readonly unit: string;
  /** Regret as a share of random's (action), or earnings as a share of the best policy's. */
  readonly share: Estimate;
  readonly shareOf: string;
  /** The same of the last quarter of the days, when there was time to learn. */
  readonly lateShare: Estimate;
}

/** What a policy left lying, over days `from` to `until`: the best in its own state minus what it earned. */
export function regret({ best, earned }: Ledger, from = 0, until = best.length): number {
  return total(best, from, until) - total(earned, from, until);
}

export function tableText(rows: readonly MarketRow[]): string {
  const heading = ['question', 'policy', 'decisions', 'earned a decision', '', 'share', 'last quarter', 'of'];
  const cells = rows.map((row, i) => [
    rows[i - 1]?.question === row.question ? '' : row.question,
    row.policy,
    row.decisions.mean.toFixed(0),
    shown(row.earned, 1, 2),
    row.unit,
    shown(row.share, 100, 1, ' %'),
    shown(row.lateShare, 100, 1, ' %'),
    row.shareOf,
  ]);
  const all = [heading, ...cells];
  const widths = heading.map((_, column) => Math.max(...all.map((line) => line[column]?.length ?? 0)));
  const isNumber = (column: number): boolean => column === 2 || column === 3 || column === 5 || column === 6;
  const lines = all.map((line) =>
    line
      .map((cell, c) => (isNumber(c) ? cell.padStart(widths[c] ?? 0) : cell.padEnd(widths[c] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
  lines.splice(1, 0, widths.map((width) => '─'.repeat(width)).join('  '));
  return `${lines.join('\n')}\n`;
}

export function shown({ mean, standardError }: Estimate, scale: number, digits: number, unit = ''): string {
  const error = Number.isNaN(standardError) ? '' : ` ± ${(scale * standardError).toFixed(digits)}`;
  return `${(scale * mean).toFixed(digits)}${error}${unit}`;
}
