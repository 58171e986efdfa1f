/**
 * Seals and opens sensitive traits: AES-256-GCM of node:crypto under the person's data key. What was sealed is bound
 * to its person, its name and its layout (AAD), so that ciphertext moved to another person, another trait or another
 * version does not open. The value is JSON padded with spaces to whole blocks of 16, so that its length does not tell
 * yes from no.
 *
 *   0 u8 version (1)   1 key: file tag, slot (4 + 4)   9 nonce (12)   21 ciphertext   -16 tag
 *
 * Nonces are random, 96 bits: a person has some dozen values sealed in a life, and GCM's bound for random nonces is
 * 2^32 a key. One a worker; keys not used yet come from the main thread (`offer`). Called by `identify` and `profile`
 * turns only, and only where a sensitive trait is told or shown.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import {
  KEY_ID_END,
  KEY_ID_START,
  type OpenedTrait,
  type PersonHash,
  SealedTrait,
  type TraitSealer,
} from '../../actors/sealed-trait.ts';
import { AUTH_TAG_BYTES, DataKeys, type FoundKey, NONCE_BYTES } from './data-keys.ts';
import { VAULT_ERROR, VaultError } from './vault-error.ts';

const VERSION = 1;
const CIPHERTEXT_AT = KEY_ID_END + NONCE_BYTES;
const BLOCK = 16;
/** Below so many unused keys more are asked for. */
const REFILL_BELOW = 128;
/** What the main thread makes at a time. */
export const KEYS_AT_A_TIME = 256;

export class TraitVault implements TraitSealer {
  readonly #keys: DataKeys;
  readonly #askForKeys: () => void;
  /** Ranges of slots nobody uses yet, as first and end. */
  readonly #unused: { first: number; end: number }[] = [];
  #unusedCount = 0;
  #hasAsked = false;

  /** @param askForKeys asked when keys run low; the answer is `offer` */
  constructor(keys: DataKeys, askForKeys: () => void) {
    this.#keys = keys;
    this.#askForKeys = askForKeys;
  }

  /** Takes keys that were made for this worker. `count` 0 says that none could be made; they are asked for again. */
  offer(first: number, count: number): void {
    this.#hasAsked = false;
    if (count === 0) return;
    this.#unused.push({ first, end: first + count });
    this.#unusedCount += count;
  }

  takeKey(): string | null {
    if (this.#unusedCount < REFILL_BELOW && !this.#hasAsked) {
      this.#hasAsked = true;
      this.#askForKeys();
    }
    const range = this.#unused[0];
    if (range === undefined) return null;
    this.#unusedCount--;
    const slot = range.first++;
    if (range.first === range.end) this.#unused.shift();
    return this.#keys.idOf(slot);
  }

  isUsable(keyId: string): boolean {
    return this.#find(keyId) instanceof Uint8Array;
  }

  seal(value: string | number | boolean, name: string, person: PersonHash, keyId: string): SealedTrait | null {
    const key = this.#find(keyId);
    if (!(key instanceof Uint8Array)) return null;
    const json = Buffer.from(JSON.stringify(value));
    const padded = Buffer.alloc(Math.ceil(json.length / BLOCK) * BLOCK, ' ');
    json.copy(padded);
    const sealed = new Uint8Array(CIPHERTEXT_AT + padded.length + AUTH_TAG_BYTES);
    sealed[0] = VERSION;
    sealed.set(Buffer.from(keyId, 'hex'), KEY_ID_START);
    const nonce = randomBytes(NONCE_BYTES);
    sealed.set(nonce, KEY_ID_END);
    const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(nameOf(sealed, name, person));
    sealed.set(cipher.update(padded), CIPHERTEXT_AT);
    cipher.final();
    sealed.set(cipher.getAuthTag(), CIPHERTEXT_AT + padded.length);
    return new SealedTrait(sealed);
  }

  open(sealed: SealedTrait, name: string, person: PersonHash): OpenedTrait {
    const { bytes } = sealed;
    if (bytes[0] !== VERSION || bytes.length < CIPHERTEXT_AT + BLOCK + AUTH_TAG_BYTES) return { problem: 'tampered' };
    const key = this.#find(sealed.keyId);
    if (key === 'missing') return { problem: 'keyMissing' };
    if (typeof key === 'string') return { problem: key };
    const end = bytes.length - AUTH_TAG_BYTES;
    const nonce = bytes.subarray(KEY_ID_END, CIPHERTEXT_AT);
    const cipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: AUTH_TAG_BYTES });
    cipher.setAAD(nameOf(bytes, name, person)).setAuthTag(bytes.subarray(end));
    try {
      const text = Buffer.concat([cipher.update(bytes.subarray(CIPHERTEXT_AT, end)), cipher.final()]).toString();
      return { value: JSON.parse(text) as string | number | boolean }; // authentic, so written by `seal`
    } catch {
      return { problem: 'tampered' };
    }
  }

  eraseKeys(keyIds: readonly string[]): number {
    // A worker's own handle is for reading.
    const keys = DataKeys.openToErase(this.#keys.path);
    try {
      return keyIds.filter((keyId) => keys.slotOf(keyId) >= 0 && keys.erase(keys.slotOf(keyId))).length;
    } finally {
      keys.close();
    }
  }

  #find(keyId: string): FoundKey | 'keyDamaged' | 'unavailable' {
    try {
      return this.#keys.read(this.#keys.slotOf(keyId));
    } catch (error) {
      return error instanceof VaultError && error.code === VAULT_ERROR.KEYS_DAMAGED ? 'keyDamaged' : 'unavailable';
    }
  }
}

/** What a sealed value is bound to: layout, key, person, name. The parts before the name have fixed lengths. */
function nameOf(sealed: Uint8Array, name: string, person: PersonHash): Buffer {
  const words = Buffer.alloc(13);
  words[0] = person.partition;
  words.writeUInt32BE(person.hashHigh, 1);
  words.writeUInt32BE(person.hashLow, 5);
  words.writeUInt32BE(person.hashCheck, 9);
  return Buffer.concat([Buffer.from('opportune trait '), sealed.subarray(0, KEY_ID_END), words, Buffer.from(name)]);
}
