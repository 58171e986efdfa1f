/** `opportune key revoke ID`: takes a key out of the file. Running servers end its connections within seconds. */
import { revokeApiKey } from '../access/api-keys.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, EXIT } from './command.ts';
import { keyFileOf, recordKeyChange } from './key-file.ts';

export async function run(call: CommandCall): Promise<number> {
  const path = keyFileOf(call);
  const id = call.positionals[0] ?? '';
  await recordKeyChange(call, 'apiKeyRevoked', { key: id.slice(0, 40) });
  if (!revokeApiKey(path, id)) {
    throw new OperatorError('KEY_UNKNOWN', `${path} has no key ${JSON.stringify(id.slice(0, 40))}`, {
      advice: 'See `opportune key list`; give the 16 digits of its id, not the key.',
    });
  }
  call.io.err(`key ${id} is revoked; servers that read ${path} notice within two seconds\n`);
  return EXIT.ok;
}
