/**
 * `npm run fuzz`: every target, or those whose name begins with `--target`, for `--inputs` inputs in all. Prints
 * the seed first; the same seed and number of inputs make the same inputs. What breaks is written to a file of a
 * few lines of hex in `--crashes`, with the command that replays it. Exit 1: a crash, a hang or a leak.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readCrashFile, writeCrashFile } from './crash-file.ts';
import { fuzzTarget, type TargetReport } from './fuzz-run.ts';
import type { FuzzTarget } from './fuzz-target.ts';
import { replayInputs } from './shrink-crash.ts';
import { FUZZ_TARGETS } from './target-table.ts';

const MEMORY_GROWTH_BYTES_MAX = 32 * 1024 * 1024;

class UsageError extends Error {}

function count(text: string | undefined, what: string, standard: number): number {
  if (text === undefined) return standard;
  const value = Number(text.replaceAll('_', ''));
  if (!Number.isSafeInteger(value) || value < 0) throw new UsageError(`--${what} wants a whole number, got ${text}`);
  return value;
}

function chosen(name: string): readonly FuzzTarget[] {
  const targets = FUZZ_TARGETS.filter((target) => target.name.startsWith(name));
  if (targets.length > 0) return targets;
  throw new UsageError(`--target ${name} matches none of ${FUZZ_TARGETS.map((target) => target.name).join(', ')}`);
}

function line(report: TargetReport): string {
  const { target, inputs, seconds, corpus, signatures, coverage, slowestMillis, memoryGrowthBytes } = report;
  const growth = memoryGrowthBytes === null ? 'short' : `${(memoryGrowthBytes / 1024 / 1024).toFixed(1)} MB`;
  const cells = [
    target.padEnd(15),
    inputs.toLocaleString('en').padStart(12),
    Math.round(inputs / seconds)
      .toLocaleString('en')
      .padStart(10),
    String(corpus).padStart(8),
    String(signatures).padStart(8),
    `${(coverage * 100).toFixed(1)} %`.padStart(8),
    String(report.crashes.length).padStart(8),
    String(report.hangs.length).padStart(6),
    `${slowestMillis.toFixed(2)} ms`.padStart(11),
    growth.padStart(10),
  ];
  return cells.join('');
}

async function replay(file: string): Promise<void> {
  const { targetName, inputs } = readCrashFile(readFileSync(file, 'utf8'));
  const target = FUZZ_TARGETS.find(({ name }) => name === targetName);
  if (target === undefined) throw new UsageError(`${file} is of the target ${targetName}, which is not there`);
  const error = await replayInputs(target, inputs);
  if (error === undefined) {
    process.stdout.write(`${file}: ${inputs.length} inputs, nothing breaks\n`);
    return;
  }
  process.stdout.write(`${file}: ${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
}

async function main(words: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...words],
    options: {
      seed: { type: 'string' },
      inputs: { type: 'string' },
      target: { type: 'string' },
      crashes: { type: 'string' },
      replay: { type: 'string' },
    },
    strict: true,
  });
  if (values.replay !== undefined) return replay(values.replay);
  const seed = count(values.seed, 'seed', Math.floor(performance.timeOrigin) % 0x1_0000_0000);
  const inputs = count(values.inputs, 'inputs', 1_000_000);
  const targets = chosen(values.target ?? '');
  const folder = values.crashes ?? 'fuzz-crashes';
  const shares = targets.reduce((sum, target) => sum + target.share, 0);
  process.stdout.write(`seed ${seed}\n`);
  process.stdout.write(
    'target               inputs  inputs/s  corpus   kinds  blocks  crashes hangs    slowest    memory\n',
  );
  let total = 0;
  for (const target of targets) {
    const report = await fuzzTarget(target, {
      seed,
      inputs: Math.ceil((inputs * target.share) / shares),
      learnInputsMax: 30_000,
      secondsMax: Number.POSITIVE_INFINITY,
      memoryGrowthBytesMax: MEMORY_GROWTH_BYTES_MAX,
      beforeSockets: (batch) => {
        mkdirSync(folder, { recursive: true });
        writeFileSync(
          join(folder, `${target.name}.last`),
          writeCrashFile(target.name, seed, 'the batch before the end', batch),
        );
      },
    });
    total += report.inputs;
    process.stdout.write(`${line(report)}\n`);
    tellFailures(report, folder, seed);
  }
  const peakMegabytes = Math.round(process.resourceUsage().maxRSS / 1024);
  process.stdout.write(`${total.toLocaleString('en')} inputs, process at most ${peakMegabytes} MB\n`);
}

function tellFailures(report: TargetReport, folder: string, seed: number): void {
  const broken = [
    ...report.crashes,
    ...report.hangs.map(({ millis, input }) => ({ message: `takes ${millis.toFixed(1)} ms`, inputs: [input] })),
  ];
  if (report.isLeaking) process.stdout.write(`${report.target}: keeps ever more memory\n`);
  if (broken.length > 0 || report.isLeaking) process.exitCode = 1;
  for (const [index, { message, inputs }] of broken.entries()) {
    mkdirSync(folder, { recursive: true });
    const file = join(folder, `${report.target}-${seed}-${index}.hex`);
    writeFileSync(file, writeCrashFile(report.target, seed, message, inputs));
    process.stdout.write(`\n${message}\n  npm run fuzz -- --replay ${file}\n`);
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.exitCode = 2;
  const isUsage =
    error instanceof UsageError ||
    (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'));
  process.stderr.write(`fuzz: ${error instanceof Error ? (isUsage ? error.message : error.stack) : String(error)}\n`);
});
