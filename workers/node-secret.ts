/**
 * Everything derived from the data folder's one secret: the seeds of the keyed profile hash, the seed
 * secret of decisions, and the key that signs quotes. Each by HKDF under a label of its own, so that one
 * does not give away another.
 */
import { hkdfSync } from 'node:crypto';
import { HASH_SEED_WORDS } from '../actors/key-hash.ts';
import type { Signer } from '../actors/ports.ts';
import { QuoteSigner } from './quote-signer.ts';

export interface NodeSecret {
  /** `HASH_SEED_WORDS` words. */
  readonly hashSeeds: Uint32Array;
  /** Two words. */
  readonly seedSecret: Uint32Array;
  readonly signer: Signer;
}

export function deriveSecret(secret: Uint8Array): NodeSecret {
  return {
    hashSeeds: words(secret, 'opportune profile hash', HASH_SEED_WORDS),
    seedSecret: words(secret, 'opportune decision seed', 2),
    signer: new QuoteSigner(derive(secret, 'opportune quote signature', 32)),
  };
}

function derive(secret: Uint8Array, label: string, length: number): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(0), label, length));
}

function words(secret: Uint8Array, label: string, count: number): Uint32Array {
  return new Uint32Array(derive(secret, label, count * 4).buffer);
}
