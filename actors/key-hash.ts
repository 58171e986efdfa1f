/**
 * The keyed hash that names a profile inside the node: 96 bits by HalfSipHash-2-4, 64 of them under one key and
 * 32 under another. 64 bits address the profile, 32 more are checked. A hash is all that is left of a profile's key, so two
 * keys with one hash would be one person: it must not be possible to aim at that without the secret. Murmur3 with
 * secret seeds, which stood here before, allows just that: some changes of two neighbouring words of a key leave it
 * the same under every seed.
 *
 * Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF" (2012), and HalfSipHash in its reference
 * code, the variant in words of 32 bits; called once a request, it allocates nothing.
 */
import { byteAt } from '../proto/bytes.ts';

/** Four words of secret: two keys of two. */
export const HASH_SEED_WORDS = 4;

// The state between calls of one round; a thread's own. Fields would cost a closure or an object a hash.
let v0 = 0;
let v1 = 0;
let v2 = 0;
let v3 = 0;

function rounds(count: number): void {
  let a = v0;
  let b = v1;
  let c = v2;
  let d = v3;
  for (let round = 0; round < count; round++) {
    a = (a + b) | 0;
    b = ((b << 5) | (b >>> 27)) ^ a;
    a = (a << 16) | (a >>> 16);
    c = (c + d) | 0;
    d = ((d << 8) | (d >>> 24)) ^ c;
    a = (a + d) | 0;
    d = ((d << 7) | (d >>> 25)) ^ a;
    c = (c + b) | 0;
    b = ((b << 13) | (b >>> 19)) ^ c;
    c = (c << 16) | (c >>> 16);
  }
  v0 = a;
  v1 = b;
  v2 = c;
  v3 = d;
}

/** Takes in the bytes, up to the finalisation. @param isWide whether 64 bits are wanted of it. */
function absorb(bytes: Uint8Array, start: number, length: number, low: number, high: number, isWide: boolean): void {
  v0 = low;
  v1 = high ^ (isWide ? 0xee : 0);
  v2 = 0x6c796765 ^ low;
  v3 = 0x74656462 ^ high;
  const wordsEnd = start + (length & ~3);
  let index = start;
  for (; index < wordsEnd; index += 4) {
    const word =
      byteAt(bytes, index) |
      (byteAt(bytes, index + 1) << 8) |
      (byteAt(bytes, index + 2) << 16) |
      (byteAt(bytes, index + 3) << 24);
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  let last = length << 24;
  const rest = length & 3;
  if (rest > 2) last |= byteAt(bytes, index + 2) << 16;
  if (rest > 1) last |= byteAt(bytes, index + 1) << 8;
  if (rest > 0) last |= byteAt(bytes, index);
  v3 ^= last;
  rounds(2);
  v0 ^= last;
  v2 ^= isWide ? 0xee : 0xff;
  rounds(4);
}

/**
 * @param seeds `HASH_SEED_WORDS` words of secret.
 * @param out three words, unsigned: the 64 bits under the first key, the 32 bits under the second.
 */
export function keyHash(bytes: Uint8Array, start: number, length: number, seeds: Uint32Array, out: Uint32Array): void {
  absorb(bytes, start, length, seeds[0] as number, seeds[1] as number, true); // as many words as promised
  out[0] = v1 ^ v3;
  v1 ^= 0xdd;
  rounds(4);
  out[1] = v1 ^ v3;
  absorb(bytes, start, length, seeds[2] as number, seeds[3] as number, false); // as above
  out[2] = v1 ^ v3;
}
