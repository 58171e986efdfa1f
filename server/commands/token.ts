/**
 * The access token of the client commands: from OPPORTUNE_TOKEN or the file OPPORTUNE_TOKEN_FILE names. There
 * is no flag for it, because every process of a machine can read the command lines of the others.
 */
import { readFileSync } from 'node:fs';
import { OperatorError } from '../operator-error.ts';
import type { CommandIo } from './command.ts';

/** Empty: none. @throws OperatorError USAGE when both are set or the file cannot be read. */
export function tokenOf({ environment }: CommandIo): string {
  const token = environment.OPPORTUNE_TOKEN ?? '';
  const path = environment.OPPORTUNE_TOKEN_FILE ?? '';
  if (path === '') return token;
  if (token !== '') {
    throw new OperatorError('USAGE', 'both OPPORTUNE_TOKEN and OPPORTUNE_TOKEN_FILE are set', {
      advice: 'Unset one of them.',
    });
  }
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new OperatorError('USAGE', `cannot read the token file ${path} of OPPORTUNE_TOKEN_FILE: ${reason}`, {
      advice: 'Check the path, and that this user may read it.',
      cause,
    });
  }
}
