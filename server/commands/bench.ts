/**
 * `opportune bench …`: runs the load harness as a process of its own, so that it shares neither a heap
 * nor an event loop with anything it measures. It parses its own arguments.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { OperatorError } from '../operator-error.ts';
import { packageRoot } from '../package-version.ts';
import { type CommandCall, EXIT } from './command.ts';
import { tokenOf } from './token.ts';

export async function run(call: CommandCall): Promise<number> {
  const script = join(packageRoot(), 'dist', 'bench', 'bench-command.js');
  if (!existsSync(script)) {
    throw new OperatorError('NOT_BUILT', `the load harness is not built: ${script} is missing`, {
      advice: 'Run `node setup.mjs` in the repository.',
    });
  }
  const token = tokenOf(call.io);
  const child = spawn(process.execPath, [script, ...addressWords(call), ...call.positionals], {
    stdio: 'inherit',
    ...(token === '' ? {} : { env: { ...process.env, OPPORTUNE_TOKEN: token } }),
  });
  // The terminal sends Ctrl-C to both; the harness reports and ends, and only then do we.
  const ignore = (): void => undefined;
  process.on('SIGINT', ignore);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => resolve(code ?? EXIT.failed));
    });
  } finally {
    process.off('SIGINT', ignore);
  }
}

/** OPPORTUNE_URL, as for every command that asks a server, unless the words name one or measure nothing. */
function addressWords({ positionals, io }: CommandCall): readonly string[] {
  const url = io.environment.OPPORTUNE_URL ?? '';
  const needsNone = positionals.some((word) => /^--(?:url|compare)(?:=|$)/.test(word));
  return url === '' || needsNone ? [] : ['--url', url];
}
