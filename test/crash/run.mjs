/**
 * `npm run crash`: the crash tests at length. Prints the seed first, runs the modes one after the other on real
 * servers, and ends with a table: acknowledged, lost, duplicated, recovery time. Exit 1 when anything was lost.
 *
 *   npm run crash -- --kills 200             kill -9 at random moments, 200 times
 *   npm run crash -- --only workers,damage   some modes; --list names them
 *   npm run crash -- --seed 7                the same moments again
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const MODES = {
  kills: { file: 'test/crash/kills.test.ts', rounds: 50, about: 'kill -9 of the server under load' },
  workers: { file: 'test/crash/workers.test.ts', rounds: 20, about: 'one worker fails or ends without warning' },
  'full-disk': { file: 'test/server/full-disk.test.ts', rounds: 1, about: 'the disk runs full and gets room again' },
  damage: { file: 'test/crash/damage.test.ts', rounds: 200, about: 'flipped bytes and cut files, then a start' },
  descriptors: { file: 'test/crash/descriptors.test.ts', rounds: 1, about: 'file descriptors run out' },
  suspend: { file: 'test/crash/suspend.test.ts', rounds: 10, about: 'SIGSTOP, some seconds, SIGCONT' },
  'power-loss': { file: 'test/crash/power-loss.test.ts', rounds: 1000, about: 'images of the disk after a power loss' },
};

const { values } = parseArgs({
  options: {
    kills: { type: 'string' },
    rounds: { type: 'string' },
    seed: { type: 'string' },
    only: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
});
if (values.list) {
  for (const [name, { rounds, about }] of Object.entries(MODES))
    process.stdout.write(`${name.padEnd(12)} ${String(rounds).padStart(5)} rounds  ${about}\n`);
  process.exit(0);
}
const wanted = (values.only ?? (values.kills === undefined ? Object.keys(MODES).join(',') : 'kills')).split(',');
const unknown = wanted.filter((name) => MODES[name] === undefined);
const seed = Number(values.seed ?? (Date.now() % 2_147_483_646) + 1);
const given = values.kills ?? values.rounds;
if (unknown.length > 0 || !(seed >= 1) || (given !== undefined && !(Number(given) >= 1))) {
  const modes = Object.keys(MODES).join(', ');
  process.stderr.write(
    `usage: npm run crash -- [--kills N | --rounds N] [--seed N] [--only MODE,…]\nmodes: ${modes}\n`,
  );
  process.exit(2);
}
process.stdout.write(`seed ${seed}\n`);

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'opportune-crash-'));
const reportFile = join(folder, 'rows');
const failed = [];
for (const name of wanted) {
  const { file, rounds, about } = MODES[name];
  const count = given ?? String(rounds);
  process.stdout.write(`\n${name}: ${about}, ${count} rounds\n`);
  const { status } = spawnSync(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', file], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, CRASH_SEED: String(seed), CRASH_ROUNDS: count, CRASH_REPORT: reportFile },
  });
  if (status !== 0) failed.push(name);
}

const rows = existsSync(reportFile)
  ? readFileSync(reportFile, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
  : [];
rmSync(folder, { recursive: true });
const cells = rows.map((row) => [
  row.mode,
  row.rounds,
  row.acknowledged,
  row.lost,
  row.duplicated,
  row.most === 0 ? '' : `${row.median} / ${row.most} ms`,
  row.note,
]);
const table = [['mode', 'rounds', 'acknowledged', 'lost', 'duplicated', 'recovery median / max', ''], ...cells];
const widths = table[0].map((_, column) => Math.max(...table.map((row) => String(row[column]).length)));
process.stdout.write(`\nseed ${seed}\n`);
for (const row of table)
  process.stdout.write(
    `${row
      .map((cell, column) => String(cell).padEnd(widths[column]))
      .join('  ')
      .trimEnd()}\n`,
  );
if (failed.length > 0) process.stdout.write(`FAILED: ${failed.join(', ')}\n`);
process.exitCode = failed.length === 0 ? 0 : 1;
