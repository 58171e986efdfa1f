/**
 * A sensitive trait as it lies in effects, in the cold record and so in every copy of them: ciphertext under a key
 * of the person's own, never the value. Who can open it is behind the port `TraitSealer`; without one the traits
 * are carried, merged and recovered all the same, because nothing here but `profile` needs the value. So recovery
 * and `replay-decision` work without any key, and an erased key takes nothing else with it.
 *
 *   identify ─▸ seal ─▸ Effect ─▸ journal, cold record, backups          profile ─▸ open ─▸ value, or why not
 *
 * Traded away: a sealed value can be no feature and stand in no rule, which sensitive traits cannot anyway.
 */
import { Buffer } from 'node:buffer';
import type { Plain, Properties } from '../proto/messages.ts';
import type { Request } from '../proto/request.ts';

/** What stands for a sealed value where people read. */
const SEALED_TEXT = '[sealed]';

/** Behind the version of the layout, 1 byte. */
export const KEY_ID_START = 1;
export const KEY_ID_END = 9;

/** One sealed value: which key, and the ciphertext with its nonce and tag (layout: `workers/vault/trait-vault.ts`). */
export class SealedTrait {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** The key it was sealed under, as 16 hexadecimal digits. */
  get keyId(): string {
    return Buffer.from(this.bytes.subarray(KEY_ID_START, KEY_ID_END)).toString('hex');
  }

  toJSON(): string {
    return SEALED_TEXT;
  }
}

export type TraitValue = string | number | boolean | SealedTrait;

/** Whose value it is; a profile's record has these. */
export interface PersonHash {
  readonly partition: number;
  readonly hashLow: number;
  readonly hashHigh: number;
  readonly hashCheck: number;
}

/** Why a sealed value cannot be read. */
export type SealProblem =
  /** Its key was erased. */
  | 'erased'
  /** Its key is not in the folder of keys, which is not the one it was made with. */
  | 'keyMissing'
  /** It, the name it stands under, or the person it belongs to is not what was sealed. */
  | 'tampered'
  /** Its key was changed in the file of keys. */
  | 'keyDamaged'
  /** The file of keys cannot be read at the moment. */
  | 'unavailable';

export type OpenedTrait = { readonly value: string | number | boolean } | { readonly problem: SealProblem };

/** Seals and opens sensitive traits. Synchronous and short: some 20 µs a value, paid by nobody else. */
export interface TraitSealer {
  /** A key that is on disk and that nobody uses yet, or null when none is ready. */
  takeKey(): string | null;
  /** Whether values can still be sealed under this key. */
  isUsable(keyId: string): boolean;
  /** Null when the key cannot be read at the moment. */
  seal(value: string | number | boolean, name: string, person: PersonHash, keyId: string): SealedTrait | null;
  open(sealed: SealedTrait, name: string, person: PersonHash): OpenedTrait;
  /** Overwrites these keys on disk; returns how many were there. @throws when the file of keys cannot be written */
  eraseKeys(keyIds: readonly string[]): number;
}

/** The key a person's values are sealed under from now on: their newest, or one nobody uses yet; null when none is ready. */
export function usableKey(sealer: TraitSealer, { keyIds }: { readonly keyIds?: readonly string[] }): string | null {
  const keyId = keyIds?.at(-1);
  return keyId !== undefined && sealer.isUsable(keyId) ? keyId : sealer.takeKey();
}

/**
 * Leaves out what a caller sent under the name of a sensitive trait, from the request's context and properties, which
 * the journal keeps as they came. Looks at the top level; where nothing is to be left out nothing is allocated.
 */
export function dropSensitive(request: Request, names: readonly string[]): void {
  const context = withoutNames(request.context, names);
  if (context !== request.context) {
    request.context = context;
    // The frame still holds the name: what is journalled is packed anew.
    request.contextStart = 0;
    request.contextEnd = 0;
  }
  const properties = withoutNames(request.properties, names);
  if (properties !== request.properties) {
    request.properties = properties;
    request.propertiesStart = 0;
    request.propertiesEnd = 0;
  }
}

function withoutNames(map: Properties | null, names: readonly string[]): Properties | null {
  if (map === null) return map;
  let kept: Record<string, Plain> | null = null;
  for (const name of names) {
    if (!Object.hasOwn(map, name)) continue;
    kept ??= { ...map };
    delete kept[name];
  }
  return kept ?? map;
}
