/**
 * `opportune data-use PROFILE`: which of a person's data was used for which decision, for the person: when, in which
 * place, by which catalog and model, for which purposes, of which groups of data, features and context, and what came of
 * it, and by the name of which token it was asked for. Read from the log by way of an export, so the node's audit log has
 * it as an access.
 */
import type { Plain, Properties } from '../../proto/messages.ts';
import { type CommandCall, EXIT } from './command.ts';
import { askOnce, type Connect } from './connection.ts';
import { pagesOf } from './export.ts';
import { connectToServer } from './sdk-connection.ts';

export async function run(call: CommandCall, connect: Connect = connectToServer): Promise<number> {
  const [profile = ''] = call.positionals;
  const { reply } = await askOnce(
    call,
    async (connection) => {
      const uses: Properties[] = [];
      for await (const { timeline } of pagesOf(connection, profile)) {
        // Rows of a timeline are maps with a type.
        for (const row of timeline as Properties[]) if (row.type === 'decision') uses.push(useOf(row));
      }
      return uses;
    },
    connect,
  );
  for (const use of reply) call.io.out(`${JSON.stringify(use)}\n`);
  if (reply.length === 0) call.io.err(`no decision about ${profile} is in the log\n`);
  return EXIT.ok;
}

function useOf(row: Properties): Properties {
  const use: Record<string, Plain> = {};
  for (const name of USED) use[name] = row[name] ?? null;
  return use;
}

const USED = [
  ...['decisionId', 'atEpochMillis', 'askedBy', 'slot', 'catalogVersion', 'modelEpoch', 'heldOut', 'explored'],
  ...[
    'purposes',
    'refusedPurposes',
    'featureGroups',
    'ruleGroups',
    'features',
    'context',
    'chosen',
    'price',
    'sendTime',
  ],
] as const;
