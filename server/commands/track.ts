/** `opportune track PROFILE EVENT key=value…`: tells the running server what a person did. */
import type { Durability, TrackReply, TrackRequest } from '../../proto/messages.ts';
import { readUtcInstant } from '../instant-text.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, textOption } from './command.ts';
import { askOnce, type Connect, printReply } from './connection.ts';
import { parsePairs } from './pairs.ts';
import { connectToServer } from './sdk-connection.ts';
import { createPaint, formatDuration } from './terminal-text.ts';

const DURABILITIES = ['applied', 'committed', 'replicated'];

export async function run(call: CommandCall, connect: Connect = connectToServer): Promise<number> {
  const request = readRequest(call);
  const { reply, roundTripMillis } = await askOnce(
    call,
    (connection, deadlineMillis) => connection.track({ ...request, deadlineMillis }),
    connect,
  );
  return printReply(call, reply, () => render(request, reply, roundTripMillis, call.io.hasColour));
}

function render(
  request: Omit<TrackRequest, 'id' | 'op'>,
  reply: TrackReply,
  millis: number,
  hasColour: boolean,
): string {
  const paint = createPaint(hasColour);
  const what = reply.duplicate ? paint.warn('already known, not applied again') : paint.good(reply.durability);
  const times = `${formatDuration(reply.serverMicros / 1000)} in the server, ${formatDuration(millis)} in all`;
  return `${paint.bold(request.event)} for ${request.profile}: ${what} ${paint.dim(`· state ${reply.stateSeq} · ${times}`)}\n`;
}

function readRequest({ positionals, options }: CommandCall): Omit<TrackRequest, 'id' | 'op'> {
  const [profile = '', event = '', ...words] = positionals;
  const properties = parsePairs(words);
  const decisionId = textOption(options, 'decision');
  const quoteId = textOption(options, 'quote');
  const messageId = textOption(options, 'messageId');
  const at = textOption(options, 'at');
  const durability = textOption(options, 'durability');
  if (durability !== undefined && !DURABILITIES.includes(durability)) {
    throw new OperatorError('USAGE', `--durability is applied or committed, not ${JSON.stringify(durability)}`, {
      advice: 'Leave it out for committed: on disk before the answer.',
    });
  }
  return {
    profile,
    event,
    ...(words.length === 0 ? {} : { properties }),
    ...(decisionId === undefined ? {} : { decisionId }),
    ...(quoteId === undefined ? {} : { quoteId }),
    ...(messageId === undefined ? {} : { messageId }),
    ...(at === undefined ? {} : { atEpochMillis: atOf(at) }),
    ...(durability === undefined ? {} : { durability: durability as Durability }), // one of the words just checked
  };
}

function atOf(text: string): number {
  const millis = /^\d+$/.test(text) ? Number(text) : readUtcInstant(/^.{10}$/.test(text) ? `${text}T00:00` : text);
  if (Number.isSafeInteger(millis)) return millis;
  throw new OperatorError('USAGE', `--at must be epoch milliseconds or ISO 8601, not ${JSON.stringify(text)}`, {
    advice: 'Write for example --at 2026-11-22T20:00:00+08:00.',
  });
}
