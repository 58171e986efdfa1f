/**
 * Rows of counts as figures that are read: one line a source, over all workers, with the score of
 * `decision/cleaning/quality-score.ts`. Pure; the routes and the command make their tables from it.
 */
import type { Door } from '../../actors/dead-letters.ts';
import { sourceScore } from '../../decision/cleaning/quality-score.ts';
import { REFUSALS } from '../../decision/cleaning/value-rules.ts';
import { type SourceRow, TALLY } from './source-tallies.ts';

export interface SourceQuality {
  readonly door: Door;
  readonly source: string;
  readonly received: number;
  readonly accepted: number;
  readonly duplicates: number;
  /** Of those accepted: messages with a value that came in another form than its one. */
  readonly cleaned: number;
  /** Values kept and flagged. */
  readonly flagged: number;
  readonly refused: number;
  /** Traits left out while the others were taken. */
  readonly dropped: number;
  /** Messages refused and traits left out, by why; what is 0 is left out. */
  readonly reasons: { readonly [reason: string]: number };
  /** Share of declared values that its messages told, 0 to 1; null where nothing is declared of them. */
  readonly completeness: number | null;
  /** Share of its messages, duplicates apart, that were taken whole, with nothing flagged; null where none came. */
  readonly validity: number | null;
  /** 0 to 100; null where none came. */
  readonly score: number | null;
}

/** Most received first. */
export function sourceQuality(rows: readonly SourceRow[]): SourceQuality[] {
  const sums = new Map<string, SourceRow & { readonly counts: number[] }>();
  for (const { door, source, counts } of rows) {
    const sum = sums.get(`${door} ${source}`) ?? { door, source, counts: counts.map(() => 0) };
    sums.set(`${door} ${source}`, sum);
    for (const [column, count] of counts.entries()) sum.counts[column] = (sum.counts[column] ?? 0) + count;
  }
  return [...sums.values()].map(qualityOf).sort((a, b) => b.received - a.received || (a.source < b.source ? -1 : 1));
}

function qualityOf({ door, source, counts }: SourceRow): SourceQuality {
  const at = (column: number): number => counts[column] ?? 0;
  const reasons: Record<string, number> = {};
  for (const [i, reason] of REFUSALS.entries()) if (at(TALLY.reasons + i) > 0) reasons[reason] = at(TALLY.reasons + i);
  if (at(TALLY.refusedOther) > 0) reasons.other = at(TALLY.refusedOther);
  const accepted = at(TALLY.accepted);
  const judged = accepted + at(TALLY.refused);
  const told = at(TALLY.toldMessages);
  const completeness = told === 0 ? null : at(TALLY.toldShares) / told;
  const validity = judged === 0 ? null : (accepted - at(TALLY.blemished)) / judged;
  const form = accepted === 0 ? 0 : 1 - at(TALLY.cleaned) / accepted;
  return {
    door,
    source,
    received: at(TALLY.received),
    accepted,
    duplicates: at(TALLY.duplicates),
    cleaned: at(TALLY.cleaned),
    flagged: at(TALLY.flagged),
    refused: at(TALLY.refused),
    dropped: at(TALLY.dropped),
    reasons,
    completeness,
    validity,
    score: validity === null ? null : sourceScore({ completeness: completeness ?? 1, validity, form }),
  };
}
