/** `opportune key list`: every API key by id. The keys themselves are nowhere to be listed. */
import { epochMillis } from '../../workers/clock.ts';
import { readApiKeys } from '../access/api-keys.ts';
import { type CommandCall, EXIT } from './command.ts';
import { keyFileOf } from './key-file.ts';
import { formatTable } from './terminal-text.ts';

export function run(call: CommandCall): Promise<number> {
  const records = readApiKeys(keyFileOf(call));
  if (call.options.json === true) {
    // Without the hashes, which are of no use to a reader.
    const shown = records.map(({ id, tenant, roles, createdAt, expiresAt, note }) => ({
      id,
      tenant,
      roles,
      createdAt,
      expiresAt,
      note,
    }));
    call.io.out(`${JSON.stringify(shown, null, 2)}\n`);
    return Promise.resolve(EXIT.ok);
  }
  const now = epochMillis();
  const rows = records.map(({ id, tenant, roles, expiresAt, note }) => {
    const isOver = expiresAt !== null && Date.parse(expiresAt) <= now;
    const end = expiresAt === null ? 'no end' : `${isOver ? 'EXPIRED' : 'until'} ${expiresAt}`;
    return [id, tenant, roles.join(','), end, note];
  });
  call.io.out(records.length === 0 ? 'no keys\n' : `${formatTable(rows).join('\n')}\n`);
  return Promise.resolve(EXIT.ok);
}
