/**
 * The way of commands to a node's HTTP port: one question, its JSON, and refusals turned into lines that say what to do.
 * The address is `--admin` or OPPORTUNE_ADMIN_URL; the token is that of the other commands.
 */
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, textOption } from './command.ts';
import { wholeOption } from './connection.ts';
import { tokenOf } from './token.ts';

const DEFAULT_URL = 'http://127.0.0.1:7401';
const TIMEOUT_MILLIS = 30_000;

/**
 * Asks a route: with a body by POST, else by GET.
 * @throws OperatorError SERVER_UNREACHABLE, REQUEST_REFUSED or USAGE
 */
export async function askAdmin(call: CommandCall, path: string, body?: object): Promise<unknown> {
  const given = textOption(call.options, 'admin') ?? call.io.environment.OPPORTUNE_ADMIN_URL ?? '';
  const base = given === '' ? DEFAULT_URL : given;
  if (!URL.canParse(base) || !/^https?:$/.test(new URL(base).protocol))
    throw new OperatorError('USAGE', `${JSON.stringify(base)} is not an HTTP address`, {
      advice: `Write it like ${DEFAULT_URL}; the server's banner names it as admin.`,
    });
  const token = tokenOf(call.io);
  const timeoutMillis = wholeOption(call.options, 'timeout', 1, 600_000) ?? TIMEOUT_MILLIS;
  const headers = {
    ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
  };
  try {
    const response = await fetch(new URL(path, base), {
      headers,
      signal: AbortSignal.timeout(timeoutMillis),
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    });
    const content: unknown = await response.json();
    if (response.ok) return content;
    const { title = '', detail = '' } = content as { title?: string; detail?: string }; // a problem document
    throw new OperatorError('REQUEST_REFUSED', `${response.status} ${title}: ${detail}`, {
      advice: adviceOf(response),
    });
  } catch (cause) {
    if (cause instanceof OperatorError) throw cause;
    const inner = (cause as { cause?: unknown }).cause ?? cause;
    throw new OperatorError(
      'SERVER_UNREACHABLE',
      `no server answers at ${base} (${String((inner as Error).message)})`,
      {
        advice: 'Start one with `npm start`, or give its HTTP address with --admin.',
        cause,
      },
    );
  }
}

function adviceOf({ status }: Response): string {
  if (status === 401) return 'Set OPPORTUNE_TOKEN or OPPORTUNE_TOKEN_FILE.';
  if (status === 403) return 'Use a token whose roles permit it; docs/ACCESS.md has the table.';
  return status >= 500 ? 'Try again in a moment.' : 'Change the question; the same one will be refused again.';
}
