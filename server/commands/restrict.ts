/**
 * `opportune restrict PROFILE [--lift]`: from now on a person's data are kept and not used, until that is lifted. The
 * law wants the person told before it is lifted (GDPR, article 18(3)); that is yours to do.
 */
import { type CommandCall, textOption } from './command.ts';
import { askOnce, type Connect, printReply } from './connection.ts';
import { connectToServer } from './sdk-connection.ts';
import { createPaint, formatDuration } from './terminal-text.ts';

export async function run(call: CommandCall, connect: Connect = connectToServer): Promise<number> {
  const [profile = ''] = call.positionals;
  const lifts = call.options.lift === true;
  const reason = textOption(call.options, 'reason');
  const proof = { source: 'opportune restrict', ...(reason === undefined ? {} : { text: reason }) };
  const { reply, roundTripMillis } = await askOnce(
    call,
    (connection, deadlineMillis) =>
      connection.consent({ profile, purposes: { processing: { granted: lifts } }, proof, deadlineMillis }),
    connect,
  );
  const paint = createPaint(call.io.hasColour);
  const after = paint.dim(`· state ${reply.stateSeq} · ${formatDuration(roundTripMillis)}`);
  const what = lifts ? 'used again' : 'stored and not used';
  return printReply(call, reply, () => `${paint.bold(profile)}: ${what} ${after}\n`);
}
