/** `opportune identify PROFILE trait=value…`: sets traits of a person. */
import type { CommandCall } from './command.ts';
import { askOnce, type Connect, printReply } from './connection.ts';
import { parsePairs } from './pairs.ts';
import { connectToServer } from './sdk-connection.ts';
import { createPaint, formatCount, formatDuration } from './terminal-text.ts';

export async function run(call: CommandCall, connect: Connect = connectToServer): Promise<number> {
  const [profile = '', ...words] = call.positionals;
  const traits = parsePairs(words);
  const { reply, roundTripMillis } = await askOnce(
    call,
    (connection, deadlineMillis) => connection.identify({ profile, traits, deadlineMillis }),
    connect,
  );
  const paint = createPaint(call.io.hasColour);
  const after = paint.dim(`· state ${reply.stateSeq} · ${formatDuration(roundTripMillis)}`);
  return printReply(call, reply, () => `${paint.bold(profile)}: ${formatCount(words.length, 'trait')} set ${after}\n`);
}
