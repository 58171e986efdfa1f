/**
 * `opportune consent PROFILE purpose=granted|withdrawn|DAYSd…`: what a person allows, from now on or for some days; or
 * what a consent string says, `--tcf` or `--gpp`. `contact.push:quiet=22:00-07:30`, `contact:muted=3d` and
 * `contact.mail:preference=1` say how they wish to be spoken to, `…=none` takes that back.
 */
import type { ConsentChange } from '../../proto/messages.ts';
import { epochMillis } from '../../workers/clock.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, textOption } from './command.ts';
import { askOnce, type Connect, printReply } from './connection.ts';
import { connectToServer } from './sdk-connection.ts';
import { createPaint, formatDuration } from './terminal-text.ts';

const HOUR_MILLIS = 3_600_000;
const DAY_MILLIS = 24 * HOUR_MILLIS;

export async function run(call: CommandCall, connect: Connect = connectToServer): Promise<number> {
  const [profile = '', ...words] = call.positionals;
  const purposes: Record<string, ConsentChange> = {};
  for (const [name, change] of words.map(readWord)) purposes[name] = { ...purposes[name], ...change };
  const source = textOption(call.options, 'source') ?? 'opportune consent';
  const tcf = textOption(call.options, 'tcf');
  const gpp = textOption(call.options, 'gpp');
  if (words.length === 0 && tcf === undefined && gpp === undefined)
    throw new OperatorError('USAGE', 'no purpose is named, and no consent string', {
      advice: 'Write purpose=granted, purpose=withdrawn or purpose=30d; or give --tcf or --gpp.',
    });
  const proof = { source, ...(tcf === undefined ? {} : { tcf }), ...(gpp === undefined ? {} : { gpp }) };
  const { reply, roundTripMillis } = await askOnce(
    call,
    (connection, deadlineMillis) =>
      connection.consent({
        profile,
        ...(words.length === 0 ? {} : { purposes }),
        proof,
        deadlineMillis,
      }),
    connect,
  );
  const paint = createPaint(call.io.hasColour);
  const after = paint.dim(`· state ${reply.stateSeq} · ${formatDuration(roundTripMillis)}`);
  return printReply(
    call,
    reply,
    () => `${paint.bold(profile)}: ${words.join(', ') || 'as the string says'} ${after}\n`,
  );
}

function readWord(word: string): readonly [string, ConsentChange] {
  const [name = '', state = ''] = word.split('=');
  const days = /^([1-9]\d{0,3})d$/.exec(state)?.[1];
  const [of = '', wish] = name.split(':');
  const isNone = state === 'none';
  if (wish === 'quiet') return [of, { quietHours: isNone ? null : state }];
  const hours = /^([1-9]\d{0,4})h$/.exec(state)?.[1];
  const millis = days === undefined ? Number(hours) * HOUR_MILLIS : Number(days) * DAY_MILLIS;
  if (wish === 'muted' && (isNone || Number.isFinite(millis)))
    return [of, { mutedUntilEpochMillis: isNone ? null : epochMillis() + millis }];
  if (wish === 'preference' && (isNone || /^\d{1,3}$/.test(state)))
    return [of, { preference: isNone ? null : Number(state) }];
  if (name !== '' && state === 'granted') return [name, { granted: true }];
  if (name !== '' && state === 'withdrawn') return [name, { granted: false }];
  if (name !== '' && days !== undefined)
    return [name, { granted: true, expiresAtEpochMillis: epochMillis() + Number(days) * DAY_MILLIS }];
  throw new OperatorError('USAGE', `${JSON.stringify(word)} says nothing of a purpose`, {
    advice:
      'Write purpose=granted, purpose=withdrawn or purpose=30d; or contact.push:quiet=22:00-07:30, contact:muted=3d, contact.mail:preference=1.',
  });
}
