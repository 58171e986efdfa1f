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

/**
 * HalfSipHash-2-4 of the bytes under one key into `out` from `at`: two words when `isWide`, else one. Words of the
 * message, the last one with the length and the four or eight rounds of the end go through one loop, so that
 * the state stays in registers: rounds as a function of their own cost twice as much.
 */
function halfSipHash(
  bytes: Uint8Array,
  start: number,
  length: number,
  low: number,
  high: number,
  isWide: boolean,
  out: Uint32Array,
  at: number,
): void {
  let a = low;
  let b = high ^ (isWide ? 0xee : 0);
  let c = 0x6c796765 ^ low;
  let d = 0x74656462 ^ high;
  const words = (length >> 2) + 1;
  const steps = words + (isWide ? 4 : 2);
  for (let step = 0, index = start; step < steps; step++, index += 4) {
    let word = 0;
    if (step < words - 1) {
      word =
        byteAt(bytes, index) |
        (byteAt(bytes, index + 1) << 8) |
        (byteAt(bytes, index + 2) << 16) |
        (byteAt(bytes, index + 3) << 24);
    } else if (step === words - 1) word = lastWord(bytes, index, length);
    else if (step === words) c ^= isWide ? 0xee : 0xff;
    else if (step === words + 2) {
      out[at] = b ^ d;
      b ^= 0xdd;
    }
    d ^= word;
    for (let round = 0; round < 2; round++) {
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
    a ^= word;
  }
  out[isWide ? at + 1 : at] = b ^ d;
}

/** The bytes left over from whole words, and the length above them. */
function lastWord(bytes: Uint8Array, index: number, length: number): number {
  const rest = length & 3;
  let word = length << 24;
  if (rest > 2) word |= byteAt(bytes, index + 2) << 16;
  if (rest > 1) word |= byteAt(bytes, index + 1) << 8;
  if (rest > 0) word |= byteAt(bytes, index);
  return word;
}

/**
 * @param seeds `HASH_SEED_WORDS` words of secret.
 * @param out three words, unsigned: the 64 bits under the first key, the 32 bits under the second.
 */
export function keyHash(bytes: Uint8Array, start: number, length: number, seeds: Uint32Array, out: Uint32Array): void {
  halfSipHash(bytes, start, length, seeds[0] as number, seeds[1] as number, true, out, 0); // as many words as promised
  halfSipHash(bytes, start, length, seeds[2] as number, seeds[3] as number, false, out, 2); // as above
}
