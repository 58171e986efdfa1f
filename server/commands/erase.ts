/**
 * `opportune erase PROFILE`: has a running node erase a person, waits until the receipt is final and prints it. The
 * person is gone from answers at once; the log, the models and their snapshot follow within seconds. Asking again is
 * harmless and tells how far it is.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type CommandCall, EXIT, textOption } from './command.ts';
import { askOnce, type Connect } from './connection.ts';
import { writeNew } from './export.ts';
import { connectToServer } from './sdk-connection.ts';

const POLL_MILLIS = 200;

export async function run(call: CommandCall, connect: Connect = connectToServer): Promise<number> {
  const [profile = ''] = call.positionals;
  const waits = call.options.wait !== false && call.options['no-wait'] !== true;
  const { reply } = await askOnce(
    call,
    async (connection) => {
      let { receipt } = await connection.erase(profile);
      while (waits && receipt.state === 'underway') {
        await sleep(POLL_MILLIS);
        ({ receipt } = await connection.erase(profile));
      }
      return receipt;
    },
    connect,
  );
  const text = `${JSON.stringify({ receipt: reply }, null, 2)}\n`;
  const out = textOption(call.options, 'out');
  if (out === undefined) call.io.out(text);
  else writeNew(out, text);
  if (reply.state === 'nothing') call.io.err(`nothing was kept of ${profile}\n`);
  return EXIT.ok;
}
