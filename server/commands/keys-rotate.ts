/**
 * `opportune keys rotate`: puts every data key under a new master key. Data keys themselves stay, so nothing that was
 * sealed is written again. The server must be stopped: its workers hold the old key. A crash at any moment leaves the
 * keys under the old master key or under the new one, whole; the old one is needed until this says that it is done.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openDataFolder } from '../../workers/store/data-folder.ts';
import {
  fingerprintOf,
  forgetKeptKey,
  keepNextKey,
  makeNextKey,
  parseMasterKey,
  readGivenKey,
} from '../../workers/vault/master-key.ts';
import { openVault, type Vault } from '../../workers/vault/open-vault.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, type CommandOptions, EXIT, textOption } from './command.ts';
import { configOfFolder, recordCommand } from './command-audit.ts';
import { formatCount } from './terminal-text.ts';

export async function run(call: CommandCall): Promise<number> {
  const { options, io } = call;
  const config = configOfFolder(call);
  if (!existsSync(join(config.data, 'format'))) {
    throw new OperatorError('NO_DATA', `there is no data folder in ${config.data}`, {
      advice: 'Name the data folder of a node that has run, with --data or OPPORTUNE_DATA.',
    });
  }
  const given = await readNewKey(options);
  // Held until the end; a node that runs, or another rotation, is named by its process.
  const folder = await openDataFolder(config.data);
  try {
    const vault = await openVault(folder.path, { text: config.masterKey, command: config.masterKeyCommand });
    const isKept = vault.master.origin === 'kept' || vault.master.origin === 'made';
    refuseHalfway(vault, given, isKept);
    const next = given ?? (await makeNextKey(folder.path));
    const from = fingerprintOf(vault.master.key);
    const to = fingerprintOf(next);
    await recordCommand(config, { kind: 'keysRotated', detail: { from, to, keys: vault.keys.count } });
    const wrapped = vault.keys.rewrap(next);
    vault.keys.close();
    if (given === null) await keepNextKey(folder.path);
    else if (isKept) await forgetKeptKey(folder.path);
    io.out(
      `${formatCount(wrapped, 'key')} of ${vault.keys.count} slots under master key ${to}, which takes the place of ${from}\n` +
        (given === null
          ? `it is kept in ${join(folder.path, 'master-key')}; the one before is gone\n`
          : 'start the server with the new one; destroy the one before, and with it every older copy of the keys\n'),
    );
    return EXIT.ok;
  } finally {
    await folder.close();
  }
}

async function readNewKey(options: CommandOptions): Promise<Uint8Array | null> {
  const file = textOption(options, 'newKeyFile');
  const command = textOption(options, 'newKeyCommand');
  if (file !== undefined && command !== undefined) {
    throw new OperatorError('USAGE', 'both --new-key-file and --new-key-command are given', { advice: 'Give one.' });
  }
  if (file === undefined) return (await readGivenKey({ text: null, command: command ?? null }))?.key ?? null;
  try {
    return parseMasterKey(readFileSync(file, 'utf8'), file);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).syscall === undefined) throw cause; // of parseMasterKey
    throw new OperatorError('CONFIG_SECRET', `cannot read the new master key: ${(cause as Error).message}`, {
      advice: 'Check the path given with --new-key-file, and that this user may read it.',
      cause,
    });
  }
}

/** Before anything is changed. */
function refuseHalfway({ master }: Vault, given: Uint8Array | null, isKept: boolean): void {
  if (given === null && !isKept) {
    throw new OperatorError('USAGE', 'the master key is not kept in the data folder, so a new one must be given', {
      advice: 'Make one with `openssl rand -hex 32 > FILE` and name it with --new-key-file, or --new-key-command.',
    });
  }
  if (given !== null && fingerprintOf(given) === fingerprintOf(master.key)) {
    throw new OperatorError('USAGE', `the new master key is the one in use (${fingerprintOf(given)})`, {
      advice: 'Make another with `openssl rand -hex 32`.',
    });
  }
}
