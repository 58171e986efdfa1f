/**
 * Erases a person's data keys, beside a running node or without one, so that every sealed trait of the person is
 * unreadable in every copy: records, journal, backups. What was not sensitive stays. Called by
 * `opportune keys erase`, and by whatever erases a person as a whole.
 */
import { keyHash } from '../../actors/key-hash.ts';
import type { PersonHash } from '../../actors/sealed-trait.ts';
import { partitionOf } from '../../proto/partition.ts';
import { coldCodec } from '../cold-codec.ts';
import type { JournalReader } from '../store/journal-reader.ts';
import type { DataKeys } from './data-keys.ts';

export interface ErasedKeys {
  /** Keys the person's record names. */
  readonly known: number;
  /** Of those, the keys that were there and are not any more. */
  readonly erased: number;
  /** Keys of another file: erase them where they are. */
  readonly elsewhere: number;
}

/** @param hashSeeds of the node's secret, see `deriveSecret` */
export function personOf(profileKey: string, hashSeeds: Uint32Array): PersonHash {
  const bytes = new TextEncoder().encode(profileKey);
  const hash = new Uint32Array(3);
  keyHash(bytes, 0, bytes.length, hashSeeds, hash);
  const [hashLow = 0, hashHigh = 0, hashCheck = 0] = hash;
  return { partition: partitionOf(bytes, 0, bytes.length), hashLow, hashHigh, hashCheck };
}

/**
 * Returns when the keys are overwritten on disk; null for a person without a cold record. What was told less than a
 * commit ago (10 ms) may not be seen yet. @throws VaultError KEYS_FAILED, StoreError CORRUPT
 */
export function eraseKeys(person: PersonHash, store: JournalReader, keys: DataKeys): ErasedKeys | null {
  const bytes = store.getCold(person.partition, person.hashHigh, person.hashLow);
  if (bytes === undefined) return null;
  const { keyIds = [] } = coldCodec.decode(bytes);
  let erased = 0;
  let elsewhere = 0;
  for (const keyId of keyIds) {
    const slot = keys.slotOf(keyId);
    if (slot < 0) elsewhere++;
    else if (keys.erase(slot)) erased++;
  }
  return { known: keyIds.length, erased, elsewhere };
}
