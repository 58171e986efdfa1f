/** `npm run bench:person` as it is run: every way measured on a server of its own, and what cannot be is said. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../server/running-node.ts';

const program = 'dist/bench/person-latency.js';
const run = (words: readonly string[]) => promisify(execFile)(process.execPath, [program, ...words]);

it('measures each way to a changed answer, and prints the rounds beside the medians', async () => {
  const json = join(temporaryFolder('bench-person'), 'person.json');
  const { stdout } = await run(['--rounds', '2', '--people', '10', '--workers', '2', '--json', json]);
  expect(stdout).toContain('medians of 2 rounds of 10 people');
  const { table } = JSON.parse(readFileSync(json, 'utf8')) as {
    table: { name: string; p50: { median: number }; p99: { median: number } }[];
  };
  expect(table.map(({ name }) => name)).toEqual(['ping', 'next answer', 'pushed', 'on disk', 'committed', 'joined']);
  for (const { p50, p99 } of table) {
    expect(p50.median).toBeGreaterThan(0);
    expect(p99.median).toBeGreaterThanOrEqual(p50.median);
  }
}, 60_000);

it.each([
  [['--rounds', '0'], '--rounds 0: from 1 to 100'],
  [['--people', '3'], '--people 3: from 10 to 100,000'],
  [['--workers', 'many'], 'workers'],
])('%j is refused', async (words, reason) => {
  await expect(run(words)).rejects.toThrow(reason);
});
