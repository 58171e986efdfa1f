/** `opportune alias FROM TO`: two keys of one person, from now on one profile. `--undo FROM` takes a key out again. */
import { OperatorError } from '../operator-error.ts';
import type { CommandCall } from './command.ts';
import { askOnce, type Connect, printReply } from './connection.ts';
import { connectToServer } from './sdk-connection.ts';
import { createPaint, formatDuration } from './terminal-text.ts';

export async function run(call: CommandCall, connect: Connect = connectToServer): Promise<number> {
  const [from = '', to] = call.positionals;
  const isUndo = call.options.undo === true;
  if (isUndo === (to !== undefined)) {
    throw new OperatorError('USAGE', 'alias: expected two keys, or --undo and one', {
      advice: 'opportune alias device:9f2c member:1729, or opportune alias device:9f2c --undo',
    });
  }
  const { reply, roundTripMillis } = await askOnce(
    call,
    (connection, deadlineMillis) => connection.alias({ from, ...(to === undefined ? {} : { to }), deadlineMillis }),
    connect,
  );
  const paint = createPaint(call.io.hasColour);
  const after = paint.dim(`· state ${reply.stateSeq} · ${formatDuration(roundTripMillis)}`);
  const joined = `${paint.bold(from)} and ${paint.bold(to ?? '')}: ${reply.merged ? 'one person now' : 'one person already'}`;
  return printReply(call, reply, () => `${isUndo ? `${paint.bold(from)}: alone again` : joined} ${after}\n`);
}
