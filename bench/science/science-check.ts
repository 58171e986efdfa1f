/**
 * A check of a model against a published or recomputed figure. A check computes its findings from code of
 * `decision/` and, where it needs them, from data sets that are not part of the project: those that are absent
 * make the check skipped, and the table says so.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

const COMMA_OUTSIDE_QUOTES = /,(?=(?:[^"]*"[^"]*")*[^"]*$)/;

/** One row of the table. */
export interface Finding {
  /** What was computed, e.g. `BG/NBD on CDNOW: alpha`. */
  readonly figure: string;
  /** What it must be, as text with its unit: `4.414`, `<= 0.168`. */
  readonly reference: string;
  /** What it is, with the standard error of a randomised check: `4.4139`, `9,112 (se 31, seeds 1-20)`. */
  readonly ours: string;
  /** By how much they may differ, as text: `0.001`, `5 %`, `-` for a bound. */
  readonly tolerance: string;
  readonly isMet: boolean;
  /** Why a figure that is not met differs, or what should be known of one that is. */
  readonly note?: string;
}

export interface ScienceCheck {
  /** Unique, e.g. `purchases: BG/NBD on CDNOW`. */
  readonly name: string;
  /** Where the reference figures come from. */
  readonly source: string;
  /** Files in the data folder without which it is skipped. */
  readonly needs: readonly string[];
  /** At most some two seconds: part of `npm test` as well. */
  readonly isFast: boolean;
  readonly run: (data: ScienceData) => readonly Finding[] | Promise<readonly Finding[]>;
}

/** The folder with the data sets. */
export class ScienceData {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  missing(check: ScienceCheck): readonly string[] {
    return check.needs.filter((name) => !existsSync(join(this.folder, name)));
  }

  /** The text of a file, unpacked when its name ends with `.gz`. */
  text(name: string): string {
    const bytes = readFileSync(join(this.folder, name));
    return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  }

  /** Rows of a file with a heading: one object a row, all values text, quotes left off. */
  rows(name: string): readonly Readonly<Record<string, string>>[] {
    const [heading, ...lines] = this.text(name).trimEnd().split(/\r?\n/);
    const names = (heading ?? '').split(',').map((column) => column.replaceAll('"', ''));
    return lines.map((line) => {
      const values = line.split(line.includes('"') ? COMMA_OUTSIDE_QUOTES : ',');
      return Object.fromEntries(names.map((column, i) => [column, (values[i] ?? '').replaceAll('"', '')]));
    });
  }
}

/** A figure that must be within `tolerance` (absolute) of `reference`. NaN is never met. */
export function near(figure: string, reference: number, ours: number, tolerance: number, note?: string): Finding {
  return {
    figure,
    reference: String(reference),
    ours: shown(ours),
    tolerance: String(tolerance),
    isMet: Math.abs(ours - reference) <= tolerance,
    ...(note === undefined ? {} : { note }),
  };
}

export function atMost(figure: string, bound: number, ours: number, note?: string): Finding {
  const isMet = ours <= bound;
  return { figure, reference: `<= ${bound}`, ours: shown(ours), tolerance: '-', isMet, ...(note && { note }) };
}

export function atLeast(figure: string, bound: number, ours: number, note?: string): Finding {
  const isMet = ours >= bound;
  return { figure, reference: `>= ${bound}`, ours: shown(ours), tolerance: '-', isMet, ...(note && { note }) };
}

function shown(value: number): string {
  return Math.abs(value) >= 1000 ? value.toFixed(1) : String(Number(value.toPrecision(6)));
}
