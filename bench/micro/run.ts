/**
 * `npm run bench:micro`: all cases, or those whose name contains `--only`. `--json FILE` keeps the
 * result, `--compare A B` prints two of them as ratios, `--smoke` runs each case a few times.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { compareResults, readComparable } from '../bench-compare.ts';
import { BenchUsageError } from '../bench-options.ts';
import { comparisonText, count, hostLine } from '../bench-report.ts';
import { MICRO_CASES } from './cases.ts';
import { FULL, type MicroResult, runMicro, SMOKE } from './micro-bench.ts';

function text(result: MicroResult): string {
  const width = Math.max(...Object.keys(result.figures).map((name) => name.length));
  const lines = Object.entries(result.figures).map(
    ([name, { median, min, max }]) =>
      `${name.padEnd(width)}  ${median.toFixed(1).padStart(9)} ns/op  ${count(1e9 / median).padStart(12)} ops/s  ` +
      `rounds ${min.toFixed(1)} to ${max.toFixed(1)} ns`,
  );
  return `host  ${hostLine(result.host)}\n${lines.join('\n')}\nchecksum ${result.checksum.toString(16)}\n`;
}

async function main(words: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...words],
    options: {
      json: { type: 'string' },
      only: { type: 'string' },
      smoke: { type: 'boolean' },
      compare: { type: 'string' },
    },
    allowPositionals: true,
    strict: true,
  });
  if (values.compare !== undefined) {
    const [after, ...more] = positionals;
    if (after === undefined || more.length > 0) throw new BenchUsageError('--compare wants two files, the base first');
    const compared = compareResults(readComparable(values.compare), readComparable(after));
    process.stdout.write(comparisonText(compared, [values.compare, after]));
    return;
  }
  if (positionals.length > 0) throw new BenchUsageError(`${positionals[0]} is not a flag`);
  const cases = MICRO_CASES.filter((one) => one.name.includes(values.only ?? ''));
  if (cases.length === 0) {
    const names = MICRO_CASES.map((one) => one.name).join('\n  ');
    throw new BenchUsageError(`--only ${values.only} matches no case; there are\n  ${names}`);
  }
  const result = await runMicro(cases, values.smoke === true ? SMOKE : FULL);
  process.stdout.write(text(result));
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.exitCode = 2;
  // A mistake in the flags is one line; anything else is our bug and shows its stack.
  const isUsage =
    error instanceof BenchUsageError ||
    (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'));
  process.stderr.write(
    `bench:micro: ${isUsage ? error.message : error instanceof Error ? error.stack : String(error)}\n`,
  );
});
