/** `opportune consent PROFILE purpose=granted|withdrawn|DAYSd…`: what a person allows, from now on or for some days. */
import type { ConsentChange } from '../../proto/messages.ts';
import { epochMillis } from '../../workers/clock.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, textOption } from './command.ts';
import { askOnce, type Connect, printReply } from './connection.ts';
import { connectToServer } from './sdk-connection.ts';
import { createPaint, formatDuration } from './terminal-text.ts';

const DAY_MILLIS = 86_400_000;

export async function run(call: CommandCall, connect: Connect = connectToServer): Promise<number> {
  const [profile = '', ...words] = call.positionals;
  const purposes = Object.fromEntries(words.map(readWord));
  const source = textOption(call.options, 'source') ?? 'opportune consent';
  const { reply, roundTripMillis } = await askOnce(
    call,
    (connection, deadlineMillis) => connection.consent({ profile, purposes, proof: { source }, deadlineMillis }),
    connect,
  );
  const paint = createPaint(call.io.hasColour);
  const after = paint.dim(`· state ${reply.stateSeq} · ${formatDuration(roundTripMillis)}`);
  return printReply(call, reply, () => `${paint.bold(profile)}: ${words.join(', ')} ${after}\n`);
}

function readWord(word: string): readonly [string, ConsentChange] {
  const [name = '', state = ''] = word.split('=');
  const days = /^([1-9]\d{0,3})d$/.exec(state)?.[1];
  if (name !== '' && state === 'granted') return [name, { granted: true }];
  if (name !== '' && state === 'withdrawn') return [name, { granted: false }];
  if (name !== '' && days !== undefined)
    return [name, { granted: true, expiresAtEpochMillis: epochMillis() + Number(days) * DAY_MILLIS }];
  throw new OperatorError('USAGE', `${JSON.stringify(word)} says nothing of a purpose`, {
    advice: 'Write purpose=granted, purpose=withdrawn, or purpose=30d; for example contact.push=withdrawn.',
  });
}
