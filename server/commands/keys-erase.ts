/**
 * `opportune keys erase PROFILE`: overwrites the keys of one person, also beside a running server, which sees it with
 * the next value it reads. From then on the person's sensitive traits are unreadable in the records, in the journal
 * and in every backup. What is not sensitive stays. Needs no master key.
 */
import { join } from 'node:path';
import { personName } from '../../workers/audit/audit-record.ts';
import { deriveSecret } from '../../workers/node-secret.ts';
import { DataKeys, keysPathOf } from '../../workers/vault/data-keys.ts';
import { eraseKeys, personOf } from '../../workers/vault/erase-keys.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, EXIT } from './command.ts';
import { configOfFolder, recordCommand, secretOf } from './command-audit.ts';
import { openLog } from './log.ts';
import { formatCount } from './terminal-text.ts';

export async function run(call: CommandCall): Promise<number> {
  const [profile = ''] = call.positionals;
  const config = configOfFolder(call);
  const store = openLog(join(config.data, 'store'));
  try {
    const person = personOf(profile, deriveSecret(await secretOf(config)).hashSeeds);
    const keys = DataKeys.openToErase(keysPathOf(config.data));
    const name = personName(person.hashHigh, person.hashLow);
    await recordCommand(config, { kind: 'keysErased', person: name, detail: { command: 'keys erase' } });
    const result = eraseKeys(person, store, keys);
    keys.close();
    if (result === null) {
      throw new OperatorError('NO_PROFILE', `nothing is kept of ${profile} that could be under a key (${name})`, {
        advice: 'Check the profile key; what was told within the last 10 ms may not be on disk yet.',
      });
    }
    const { known, erased, elsewhere } = result;
    call.io.out(`${profile}: ${formatCount(erased, 'key')} erased, of ${known} the person ever had\n`);
    if (elsewhere === 0) return EXIT.ok;
    call.io.err(`${formatCount(elsewhere, 'key')} are of another folder of keys: erase them there\n`);
    return EXIT.failed;
  } finally {
    await store.close();
  }
}
