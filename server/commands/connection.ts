/**
 * The client commands' way to the server: one connection, one question, and faults turned into lines
 * that say what to do. The SDK is behind a narrow interface, so the commands are tested without sockets.
 */
import type {
  AliasReply,
  AliasRequest,
  ConsentRequest,
  DecideReply,
  DecideRequest,
  EraseReply,
  ExportReply,
  IdentifyRequest,
  ProfileReply,
  ProfileRequest,
  StateReply,
  TrackReply,
  TrackRequest,
} from '../../proto/messages.ts';
import { monotonicMillis } from '../../workers/clock.ts';
import { flagOf } from '../config-options.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, type CommandIo, type CommandOptions, EXIT, textOption } from './command.ts';
import { tokenOf } from './token.ts';

export const DEFAULT_URL = 'ws://127.0.0.1:7400/v1/ws';
const TIMEOUT_MILLIS = 5000;

type Body<Request> = Omit<Request, 'id' | 'op'>;

export interface ServerConnection {
  decide(request: Body<DecideRequest>): Promise<DecideReply>;
  track(request: Body<TrackRequest>): Promise<TrackReply>;
  identify(request: Body<IdentifyRequest>): Promise<StateReply>;
  alias(request: Body<AliasRequest>): Promise<AliasReply>;
  consent(request: Body<ConsentRequest>): Promise<StateReply>;
  profile(request: Body<ProfileRequest>): Promise<ProfileReply>;
  export(profile: string, cursor?: string): Promise<ExportReply>;
  erase(profile: string): Promise<EraseReply>;
  close(): Promise<void> | void;
}

/** `token` is empty where there is none. */
export type Connect = (url: string, timeoutMillis: number, token: string) => Promise<ServerConnection>;

export interface Answer<Reply> {
  readonly reply: Reply;
  readonly roundTripMillis: number;
}

/** Connects, asks once, closes. @throws OperatorError SERVER_UNREACHABLE, REQUEST_REFUSED or USAGE. */
export async function askOnce<Reply>(
  call: CommandCall,
  ask: (connection: ServerConnection, deadlineMillis: number) => Promise<Reply>,
  connect: Connect,
): Promise<Answer<Reply>> {
  const url = urlOf(call.options, call.io);
  const timeoutMillis = wholeOption(call.options, 'timeout', 1, 60_000) ?? TIMEOUT_MILLIS;
  const token = tokenOf(call.io);
  const connection = await connect(url, timeoutMillis, token).catch((cause: unknown) => {
    throw unreachable(url, cause, token);
  });
  try {
    const startMillis = monotonicMillis();
    const reply = await ask(connection, timeoutMillis);
    return { reply, roundTripMillis: monotonicMillis() - startMillis };
  } catch (cause) {
    throw cause instanceof OperatorError ? cause : refused(url, cause);
  } finally {
    await connection.close();
  }
}

/** Prints the raw reply with `--json`, else what `render` makes of it. */
export function printReply<Reply>(call: CommandCall, reply: Reply, render: () => string): number {
  call.io.out(call.options.json === true ? `${JSON.stringify(reply)}\n` : render());
  return EXIT.ok;
}

export function urlOf(options: CommandOptions, io: CommandIo): string {
  const given = textOption(options, 'url') ?? io.environment.OPPORTUNE_URL;
  const url = given === undefined || given === '' ? DEFAULT_URL : given;
  if (!URL.canParse(url) || !/^wss?:$/.test(new URL(url).protocol)) {
    throw new OperatorError('USAGE', `${JSON.stringify(url)} is not a WebSocket address`, {
      advice: `Write it like ${DEFAULT_URL}.`,
    });
  }
  return url;
}

export function wholeOption(options: CommandOptions, name: string, min: number, max: number): number | undefined {
  const text = textOption(options, name);
  if (text === undefined) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new OperatorError(
    'USAGE',
    `--${flagOf(name)} must be a whole number from ${min} to ${max}, not ${JSON.stringify(text)}`,
    {
      advice: 'See opportune --help.',
    },
  );
}

function unreachable(url: string, cause: unknown, token: string): OperatorError {
  const tokenAdvice =
    token === ''
      ? ' If it asks for a token, set OPPORTUNE_TOKEN or OPPORTUNE_TOKEN_FILE.'
      : ' If it is there, it may refuse the token.';
  return new OperatorError('SERVER_UNREACHABLE', `no server answers at ${url}${reason(cause)}`, {
    advice: `Start one with \`npm start\`, or give its address with --url.${tokenAdvice}`,
    cause,
  });
}

function reason(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : '';
  return message === '' ? '' : ` (${message})`;
}

const ADVICE: Readonly<Record<string, string>> = {
  never: 'Change the request; the same one will be refused again.',
  later: 'Try again in a moment.',
  reconnect: 'Try again: the server is moving or restarting.',
};

/** A status from the server; anything else that went wrong while waiting is a lost connection. */
function refused(url: string, cause: unknown): OperatorError {
  const { status, code, retry } = (typeof cause === 'object' && cause !== null ? cause : {}) as Record<string, unknown>; // read defensively
  const message = cause instanceof Error ? cause.message : String(cause);
  // Code 0: the client found out by itself, nothing came from the server.
  if (typeof status !== 'string' || typeof code !== 'number' || code === 0) {
    return new OperatorError('SERVER_UNREACHABLE', `no answer from ${url} (${message})`, {
      advice: 'Start a server with `npm start`, or give its address with --url.',
      cause,
    });
  }
  return new OperatorError('REQUEST_REFUSED', `${status} ${code}: ${message}`, {
    advice: ADVICE[String(retry)] ?? 'See docs/PROTOCOL.md for the table of codes.',
    cause,
  });
}
