/** `opportune profile PROFILE`: shows what is known about a person. */
import { epochMillis } from '../../workers/clock.ts';
import type { CommandCall } from './command.ts';
import { askOnce, type Connect, printReply } from './connection.ts';
import { renderProfile } from './render-profile.ts';
import { connectToServer } from './sdk-connection.ts';

export async function run(call: CommandCall, connect: Connect = connectToServer): Promise<number> {
  const [profile = ''] = call.positionals;
  const { reply } = await askOnce(
    call,
    (connection, deadlineMillis) => connection.profile({ profile, deadlineMillis }),
    connect,
  );
  return printReply(call, reply, () =>
    renderProfile(reply, { profile, hasColour: call.io.hasColour, nowEpochMillis: epochMillis() }),
  );
}
