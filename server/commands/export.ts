/**
 * `opportune export PROFILE`: everything the node keeps of a person as one JSON document, for a request of access or
 * portability: asked for page by page and put together here, the entries of joined keys behind the person's own, each
 * with the key it is `under`. With --out it goes to a new file of mode 0600. Each page is an access in the audit log of the node.
 */
import { writeFileSync } from 'node:fs';
import type { Plain, Properties } from '../../proto/messages.ts';
import { epochMillis } from '../../workers/clock.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, EXIT, textOption } from './command.ts';
import { askOnce, type Connect, type ServerConnection } from './connection.ts';
import { connectToServer } from './sdk-connection.ts';

export async function run(call: CommandCall, connect: Connect = connectToServer): Promise<number> {
  const [profile = ''] = call.positionals;
  const { reply } = await askOnce(
    call,
    async (connection) => {
      let record: Plain = null;
      const keys: Plain[] = [];
      const timeline: Plain[] = [];
      for await (const page of pagesOf(connection, profile)) {
        record ??= page.record ?? null;
        if (page.key !== undefined) keys.push(page.key);
        timeline.push(...page.timeline);
      }
      return { format: 'opportune export 1', profile, exportedAtEpochMillis: epochMillis(), record, keys, timeline };
    },
    connect,
  );
  const text = `${JSON.stringify(reply, null, 2)}\n`;
  const out = textOption(call.options, 'out');
  if (out === undefined) call.io.out(text);
  else {
    writeNew(out, text);
    call.io.err(`${profile}: ${reply.timeline.length} entries and the record in ${out}\n`);
  }
  return EXIT.ok;
}

/** The pages of an export, one after the other. */
export async function* pagesOf(
  connection: ServerConnection,
  profile: string,
): AsyncGenerator<Properties & { readonly timeline: readonly Plain[] }> {
  let cursor: string | undefined;
  do {
    const page = (await connection.export(profile, cursor)).export as Properties & { timeline: readonly Plain[] }; // every page has one
    yield page;
    cursor = typeof page.next === 'string' ? page.next : undefined;
  } while (cursor !== undefined);
}

/** @throws OperatorError OUT_FAILED, also where there is such a file */
export function writeNew(path: string, text: string): void {
  try {
    writeFileSync(path, text, { mode: 0o600, flag: 'wx' });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const advice = 'Name a file that is not there yet, in a folder that you may write to.';
    throw new OperatorError('OUT_FAILED', `${path} cannot be written: ${reason}`, { advice, cause });
  }
}
