/**
 * Everything derived from the data folder's one secret: the seeds of the keyed profile hash, the seed
 * secret of decisions, and the key that signs quotes. Each by HKDF under a label of its own, so that one
 * does not give away another.
 */
import { hash, hkdfSync } from 'node:crypto';
import type { Signer } from '../actors/ports.ts';

export interface NodeSecret {
  /** Three words. */
  readonly hashSeeds: Uint32Array;
  /** Two words. */
  readonly seedSecret: Uint32Array;
  readonly signer: Signer;
}

export function deriveSecret(secret: Uint8Array): NodeSecret {
  return {
    hashSeeds: words(secret, 'opportune profile hash', 3),
    seedSecret: words(secret, 'opportune decision seed', 2),
    signer: new HmacSigner(derive(secret, 'opportune quote signature', 32)),
  };
}

/**
 * HMAC-SHA-256 (RFC 2104) from two one-shot hashes with the padded key laid out once: a third cheaper
 * than `createHmac`, which makes two stream objects a call. Tested equal to it.
 */
class HmacSigner implements Signer {
  readonly #inner: Uint8Array;
  readonly #outer: Uint8Array;

  constructor(key: Uint8Array) {
    this.#inner = new Uint8Array(BLOCK_BYTES + MESSAGE_BYTES_MAX).fill(0x36, 0, BLOCK_BYTES);
    this.#outer = new Uint8Array(BLOCK_BYTES + DIGEST_BYTES).fill(0x5c, 0, BLOCK_BYTES);
    for (let i = 0; i < key.length; i++) {
      this.#inner[i] = 0x36 ^ (key[i] as number);
      this.#outer[i] = 0x5c ^ (key[i] as number);
    }
  }

  sign(bytes: Uint8Array, length: number): string {
    this.#inner.set(bytes.subarray(0, length), BLOCK_BYTES);
    const inner = hash('sha256', this.#inner.subarray(0, BLOCK_BYTES + length), 'buffer');
    this.#outer.set(inner, BLOCK_BYTES);
    return hash('sha256', this.#outer, 'base64url');
  }
}

const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
const MESSAGE_BYTES_MAX = 8192;

function derive(secret: Uint8Array, label: string, length: number): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(0), label, length));
}

function words(secret: Uint8Array, label: string, count: number): Uint32Array {
  return new Uint32Array(derive(secret, label, count * 4).buffer);
}
