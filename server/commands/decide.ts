/** `opportune decide PROFILE`: asks the running server and shows the answer. */
import type { DecideRequest, Properties, Want } from '../../proto/messages.ts';
import { epochMillis } from '../../workers/clock.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, textOption } from './command.ts';
import { askOnce, type Connect, printReply, wholeOption } from './connection.ts';
import { parseJson } from './pairs.ts';
import { renderDecision } from './render-decision.ts';
import { connectToServer } from './sdk-connection.ts';

const WANTS = ['action', 'price', 'sendTime'] as const;

export async function run(call: CommandCall, connect: Connect = connectToServer): Promise<number> {
  const request = readRequest(call);
  const { reply, roundTripMillis } = await askOnce(
    call,
    (connection, deadlineMillis) => connection.decide({ ...request, deadlineMillis }),
    connect,
  );
  return printReply(call, reply, () =>
    renderDecision(reply, {
      profile: request.profile,
      slot: request.slot ?? null,
      hasColour: call.io.hasColour,
      nowEpochMillis: epochMillis(),
      roundTripMillis,
    }),
  );
}

function readRequest({ positionals, options }: CommandCall): Omit<DecideRequest, 'id' | 'op'> {
  const text = (name: 'slot' | 'channel' | 'sku'): { [key: string]: string } => {
    const value = textOption(options, name);
    return value === undefined ? {} : { [name]: value };
  };
  const count = wholeOption(options, 'count', 1, 32);
  const context = textOption(options, 'context');
  const wants = textOption(options, 'want');
  return {
    profile: positionals[0] ?? '',
    ...text('slot'),
    ...text('channel'),
    ...text('sku'),
    ...(count === undefined ? {} : { count }),
    ...(wants === undefined ? {} : { want: readWants(wants) }),
    ...(context === undefined ? {} : { context: readContext(context) }),
    ...(options.why === true ? { explain: true } : {}),
    ...(options.dryRun === true ? { dryRun: true } : {}),
  };
}

function readWants(text: string): readonly Want[] {
  const words = text.split(',').map((word) => word.trim());
  const bad = words.find((word) => !(WANTS as readonly string[]).includes(word));
  if (bad === undefined) return words as Want[]; // every word was just found among them
  throw new OperatorError('USAGE', `--want knows ${WANTS.join(', ')}, not ${JSON.stringify(bad)}`, {
    advice: 'Write for example --want action,price.',
  });
}

function readContext(text: string): Properties {
  const value = parseJson('--context', text);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Properties; // a map of plain values
  throw new OperatorError('USAGE', '--context must be a JSON map', {
    advice: `Write for example --context '{"page":"cart"}'.`,
  });
}
