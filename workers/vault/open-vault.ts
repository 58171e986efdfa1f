/**
 * The vault of a data folder at a start: the master key from where it is given or kept, and the file of data keys
 * under it. Finishes or undoes a rotation that a crash cut short. Called by the node's main thread and by
 * `opportune keys`; the caller holds the folder's lock.
 */
import { DataKeys, keysFingerprint, keysPathOf } from './data-keys.ts';
import {
  fingerprintOf,
  forgetNextKey,
  keepNextKey,
  type MasterKey,
  type MasterKeySource,
  readGivenKey,
  readKeptKey,
  readNextKey,
} from './master-key.ts';
import { VAULT_ERROR, VaultError } from './vault-error.ts';

export interface Vault {
  readonly keys: DataKeys;
  readonly master: MasterKey;
}

/** @throws VaultError, with what is wrong and what to do. */
export async function openVault(folder: string, source: MasterKeySource): Promise<Vault> {
  const path = keysPathOf(folder);
  const fingerprint = keysFingerprint(path);
  const master = (await readGivenKey(source)) ?? (await readOwnKey(folder, path, fingerprint));
  return { keys: DataKeys.open(path, master.key, true), master };
}

async function readOwnKey(folder: string, path: string, fingerprint: string | null): Promise<MasterKey> {
  const next = await readNextKey(folder);
  if (next !== null) {
    if (fingerprint === fingerprintOf(next)) await keepNextKey(folder);
    else await forgetNextKey(folder);
  }
  const kept = await readKeptKey(folder, fingerprint === null);
  if (kept !== null) return kept;
  throw new VaultError(
    VAULT_ERROR.MASTER_KEY_OTHER,
    `The data keys in ${path} are under the master key ${fingerprint}, which is not kept in ${folder}, and none is given. ` +
      'Give it with OPPORTUNE_MASTER_KEY_FILE, OPPORTUNE_MASTER_KEY or masterKeyCommand.',
  );
}
