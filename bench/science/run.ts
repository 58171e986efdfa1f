/**
 * `npm run verify:science`: every model against its published figure, as one table. `--only TEXT` runs the checks
 * whose name contains it, `--fast` those of `npm test`, `--data FOLDER` says where the data sets are
 * (`../shared/data` beside the project), `--json FILE` keeps the result. Ends with 1 when a figure is not met.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { monotonicMillis } from '../../workers/clock.ts';
import { SCIENCE_CHECKS } from './checks.ts';
import { type Finding, type ScienceCheck, ScienceData } from './science-check.ts';

export interface CheckResult {
  readonly check: string;
  readonly source: string;
  readonly seconds: number;
  /** Empty when it was run. */
  readonly missing: readonly string[];
  readonly findings: readonly Finding[];
}

export async function runCheck(check: ScienceCheck, data: ScienceData): Promise<CheckResult> {
  const missing = data.missing(check);
  const begin = monotonicMillis();
  const findings = missing.length > 0 ? [] : await check.run(data);
  const seconds = (monotonicMillis() - begin) / 1000;
  return { check: check.name, source: check.source, seconds, missing, findings };
}

const HEADING = ['check', 'reference', 'ours', 'tolerance', 'verdict', 'seconds'] as const;

/** The table; columns as wide as their widest cell. */
export function tableText(results: readonly CheckResult[]): string {
  const rows: string[][] = [[...HEADING]];
  const notes: string[] = [];
  for (const { check, missing, findings, seconds } of results) {
    if (missing.length > 0) rows.push([check, '', '', '', 'SKIPPED', '']);
    if (missing.length > 0) notes.push(`${check}: skipped, there is no ${missing.join(', ')}`);
    findings.forEach((found, i) => {
      const verdict = found.isMet ? 'met' : 'NOT MET';
      rows.push([
        found.figure,
        found.reference,
        found.ours,
        found.tolerance,
        verdict,
        i === 0 ? seconds.toFixed(1) : '',
      ]);
      if (found.note !== undefined) notes.push(`${found.figure}: ${found.note}`);
    });
  }
  const widths = HEADING.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  lines.splice(1, 0, widths.map((width) => '─'.repeat(width)).join('  '));
  const all = results.flatMap(({ findings }) => findings);
  const met = all.filter(({ isMet }) => isMet).length;
  const skipped = results.filter(({ missing }) => missing.length > 0).length;
  const sum = `${met} of ${all.length} figures met${skipped === 0 ? '' : `; ${skipped} of ${results.length} checks SKIPPED`}`;
  return [...lines, '', ...notes, ...(notes.length > 0 ? [''] : []), sum, ''].join('\n');
}

async function main(words: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...words],
    options: {
      only: { type: 'string', default: '' },
      fast: { type: 'boolean', default: false },
      data: { type: 'string', default: '../shared/data' },
      json: { type: 'string' },
    },
  });
  const chosen = SCIENCE_CHECKS.filter(({ name, isFast }) => name.includes(values.only) && (isFast || !values.fast));
  if (chosen.length === 0) {
    process.stderr.write(`verify:science: no check is named like that; there are\n`);
    for (const { name } of SCIENCE_CHECKS) process.stderr.write(`  ${name}\n`);
    process.exitCode = 2;
    return;
  }
  const data = new ScienceData(values.data);
  const results: CheckResult[] = [];
  for (const check of chosen) {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${results.length + 1}/${chosen.length} ${check.name} `);
    results.push(await runCheck(check, data));
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  process.stdout.write(tableText(results));
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
  if (results.some(({ findings }) => findings.some(({ isMet }) => !isMet))) process.exitCode = 1;
}

if (process.argv[1]?.endsWith('science/run.js') === true) await main(process.argv.slice(2));
