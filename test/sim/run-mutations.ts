/**
 * `npm run sim:mutations`: makes each deliberate mistake of `mutations.ts` in a copy of the sources, builds the copy,
 * runs the simulation on it, and prints after how many steps which invariant caught it. First the copy without a
 * mistake, which must pass. Ends with 1 when a mistake was not caught.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MUTATIONS, type Mutation } from './mutations.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    steps: { type: 'string', default: '800000' },
    only: { type: 'string', default: '' },
  },
});

/** The build is in `dist/test/sim`. */
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const SOURCES = ['proto', 'decision', 'actors', 'workers', 'server', 'client', 'bench', 'test/sim', 'dist'];
/** A mistake may leave a name that nothing uses. */
const UNUSED_IS_FINE = ['--noUnusedLocals', 'false', '--noUnusedParameters', 'false'];
const FILES = ['package.json', 'tsconfig.json', 'tsconfig.build.json'];

function copySources(): string {
  const copy = mkdtempSync(join(tmpdir(), 'opportune-mutations-'));
  for (const name of [...SOURCES, ...FILES])
    cpSync(join(ROOT, name), join(copy, name), { recursive: true, preserveTimestamps: true });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'), 'dir');
  return copy;
}

function node(copy: string, words: readonly string[]): { status: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { cwd: copy, encoding: 'utf8' });
  return { status, text: `${stdout}${stderr}` };
}

/** What the simulation says of the copy as it is now: steps, and the invariant that failed or null. */
function simulate(copy: string): { steps: string; caughtBy: string | null } {
  const built = node(copy, [
    join('node_modules', 'typescript', 'bin', 'tsc'),
    '-p',
    'tsconfig.build.json',
    ...UNUSED_IS_FINE,
  ]);
  if (built.status !== 0) throw new Error(`the copy does not build:\n${built.text}`);
  const words = [join('dist', 'test', 'sim', 'run.js'), '--seed', values.seed, '--steps', values.steps, '--no-shrink'];
  const { status, text } = node(copy, words);
  const steps = /^(\d+) steps in /m.exec(text)?.[1];
  if (steps === undefined) throw new Error(`the simulation did not run:\n${text}`);
  const caughtBy = /^FAILED at step \d+: (.*)$/m.exec(text)?.[1] ?? null;
  if ((status === 0) !== (caughtBy === null)) throw new Error(`the simulation ended with ${status}:\n${text}`);
  return { steps, caughtBy };
}

function runMutation(copy: string, { file, find, replace }: Mutation): { steps: string; caughtBy: string | null } {
  const path = join(copy, file);
  const text = readFileSync(path, 'utf8');
  if (text.split(find).length !== 2)
    throw new Error(`${file} does not hold the text of the mutation exactly once: ${find}`);
  writeFileSync(
    path,
    text.replace(find, () => replace),
  );
  try {
    return simulate(copy);
  } finally {
    writeFileSync(path, text);
  }
}

function row(name: string, steps: string, caughtBy: string): void {
  process.stdout.write(`${name.padEnd(82)} ${steps.padStart(8)}  ${caughtBy}\n`);
}

const copy = copySources();
let missed = 0;
let caught = 0;
try {
  row('mistake', 'steps', 'caught by');
  const clean = simulate(copy);
  row('none', clean.steps, clean.caughtBy ?? 'passes, as it must');
  if (clean.caughtBy !== null) missed++;
  for (const mutation of MUTATIONS) {
    if (!mutation.name.includes(values.only)) continue;
    const { steps, caughtBy } = runMutation(copy, mutation);
    row(mutation.name, steps, caughtBy ?? 'NOT CAUGHT');
    if (caughtBy === null) missed++;
    else caught++;
  }
  process.stdout.write(`${caught} caught, ${missed} missed\n`);
} finally {
  rmSync(copy, { recursive: true, force: true });
}
process.exitCode = missed === 0 ? 0 : 1;
