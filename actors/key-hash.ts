/**
 * The keyed hash that names a profile inside the node: 96 bits from three murmur3 passes with secret
 * seeds. 64 bits address it, 32 more are checked, so a collision is noticed instead of mixing two
 * people. The seeds are secret, so nobody outside can aim keys at one hash table slot, and stored
 * hashes do not give keys away to who lacks the secret.
 */
import { murmur3 } from '../proto/murmur3.ts';

export function keyHash(bytes: Uint8Array, start: number, length: number, seeds: Uint32Array, out: Uint32Array): void {
  out[0] = murmur3(bytes, start, length, seeds[0] as number);
  out[1] = murmur3(bytes, start, length, seeds[1] as number);
  out[2] = murmur3(bytes, start, length, seeds[2] as number);
}
