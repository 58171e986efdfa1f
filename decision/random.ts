/**
 * Chance as an input: every random number of a decision is a pure function of (secret, profile,
 * decision sequence, subject, purpose). No stream exists, so neither the order of the draws nor the
 * number of candidates nor the thread can change a draw, and any logged decision can be recomputed.
 *
 *   seed = HalfSipHash-2-4-64(secret, profile key hash, sequence)   unpredictable without the secret
 *   draw = Threefry-2x32-20(key = seed, counter = (subject hash, purpose))
 *
 * The design asks for HMAC(secret, profile, decision). HalfSipHash is a keyed MAC made for short
 * inputs (Aumasson and Bernstein 2012, 32-bit variant); HMAC-SHA-256 costs 3 us a decision here, about
 * 30 times as much. Given up: 64 bits of secret instead of 256, ample for seeds that never leave the
 * server in time to be of use. A logged seed reveals its own decision's draws and no other's.
 * Threefry (Salmon, Moraes, Dror and Shaw, SC 2011) passes BigCrush and needs no multiplication.
 */
import { normalInverseCdf } from './normal.ts';

/** What a draw is for: keeps the draws of one subject apart. Numbers are logged history; never reuse one. */
export const PURPOSE = {
  explore: 1,
  permutation: 2,
  action: 3,
  creative: 4,
  price: 5,
  dispersion: 6,
  sendTime: 7,
  holdout: 8,
  inventory: 9,
  inverseGap: 10,
  segmentStart: 20,
  segmentBatch: 21,
  fold: 22,
} as const;

let v0 = 0;
let v1 = 0;
let v2 = 0;
let v3 = 0;

function sipRounds(count: number): void {
  let a = v0;
  let b = v1;
  let c = v2;
  let d = v3;
  for (let round = 0; round < count; round += 1) {
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

/**
 * HalfSipHash-2-4 with 64-bit output of whole little-endian 32-bit words.
 *
 * @param secret key, length 2 (low word first)
 * @param words the message; the first `count` are read, 0 <= count <= 63
 * @param out length 2; out[0] is the first four output bytes, little-endian
 */
export function halfSipHash64(secret: Uint32Array, words: Uint32Array, count: number, out: Uint32Array): void {
  const k0 = secret[0] as number; // length 2 by contract
  const k1 = secret[1] as number; // length 2 by contract
  v0 = k0;
  v1 = k1 ^ 0xee;
  v2 = 0x6c796765 ^ k0;
  v3 = 0x74656462 ^ k1;
  for (let index = 0; index < count; index += 1) {
    const word = words[index] as number; // index < count <= length
    v3 ^= word;
    sipRounds(2);
    v0 ^= word;
  }
  const last = count << 26; // the length in bytes, modulo 256, in the top byte
  v3 ^= last;
  sipRounds(2);
  v0 ^= last;
  v2 ^= 0xee;
  sipRounds(4);
  out[0] = v1 ^ v3;
  v1 ^= 0xdd;
  sipRounds(4);
  out[1] = v1 ^ v3;
}

const seedMessage = new Uint32Array(4);

/**
 * The seed of one decision.
 *
 * @param secret the node's secret, length 2, the same on all nodes that may replay
 * @param keyHashHigh, keyHashLow 64-bit hash of tenant and profile key
 * @param sequence the profile's decision counter, an integer in [0, 2^53)
 * @param out length 2, overwritten; kept in the decision log
 * Draws taken: none. Cost: about 0.1 us.
 */
export function seedFrom(
  secret: Uint32Array,
  keyHashHigh: number,
  keyHashLow: number,
  sequence: number,
  out: Uint32Array,
): void {
  seedMessage[0] = keyHashHigh;
  seedMessage[1] = keyHashLow;
  seedMessage[2] = sequence; // typed arrays take the number modulo 2^32
  seedMessage[3] = Math.floor(sequence / 4294967296);
  halfSipHash64(secret, seedMessage, 4, out);
}

/** Second word of the last `threefry`; a module variable because a return value holds one number. */
let secondWord = 0;

/** Threefry-2x32-20: returns the first output word, signed, and leaves the second in `secondWord`. */
function threefry(key0: number, key1: number, counter0: number, counter1: number): number {
  const key2 = 0x1bd11bda ^ key0 ^ key1;
  let x = (counter0 + key0) | 0;
  let y = (counter1 + key1) | 0;
  x = (x + y) | 0;
  y = ((y << 13) | (y >>> 19)) ^ x;
  x = (x + y) | 0;
  y = ((y << 15) | (y >>> 17)) ^ x;
  x = (x + y) | 0;
  y = ((y << 26) | (y >>> 6)) ^ x;
  x = (x + y) | 0;
  y = ((y << 6) | (y >>> 26)) ^ x;
  x = (x + key1) | 0;
  y = (y + key2 + 1) | 0;
  x = (x + y) | 0;
  y = ((y << 17) | (y >>> 15)) ^ x;
  x = (x + y) | 0;
  y = ((y << 29) | (y >>> 3)) ^ x;
  x = (x + y) | 0;
  y = ((y << 16) | (y >>> 16)) ^ x;
  x = (x + y) | 0;
  y = ((y << 24) | (y >>> 8)) ^ x;
  x = (x + key2) | 0;
  y = (y + key0 + 2) | 0;
  x = (x + y) | 0;
  y = ((y << 13) | (y >>> 19)) ^ x;
  x = (x + y) | 0;
  y = ((y << 15) | (y >>> 17)) ^ x;
  x = (x + y) | 0;
  y = ((y << 26) | (y >>> 6)) ^ x;
  x = (x + y) | 0;
  y = ((y << 6) | (y >>> 26)) ^ x;
  x = (x + key0) | 0;
  y = (y + key1 + 3) | 0;
  x = (x + y) | 0;
  y = ((y << 17) | (y >>> 15)) ^ x;
  x = (x + y) | 0;
  y = ((y << 29) | (y >>> 3)) ^ x;
  x = (x + y) | 0;
  y = ((y << 16) | (y >>> 16)) ^ x;
  x = (x + y) | 0;
  y = ((y << 24) | (y >>> 8)) ^ x;
  x = (x + key1) | 0;
  y = (y + key2 + 4) | 0;
  x = (x + y) | 0;
  y = ((y << 13) | (y >>> 19)) ^ x;
  x = (x + y) | 0;
  y = ((y << 15) | (y >>> 17)) ^ x;
  x = (x + y) | 0;
  y = ((y << 26) | (y >>> 6)) ^ x;
  x = (x + y) | 0;
  y = ((y << 6) | (y >>> 26)) ^ x;
  secondWord = (y + key0 + 5) | 0;
  return (x + key2) | 0;
}

/**
 * One uniform draw: an odd multiple of 2^-53, so strictly inside (0, 1), symmetric about 1/2 and exact
 * in a double (52 random bits; 53 would round up to 1).
 *
 * @param seed0, seed1 from `seedFrom`
 * @param subjectHash what is drawn for: an action's or product's hash, or 0 for the decision itself
 * Cost: about 30 ns.
 */
export function drawUniform(seed0: number, seed1: number, subjectHash: number, purpose: number): number {
  const high = threefry(seed0, seed1, subjectHash, purpose) >>> 6;
  return (high * 134217728 + ((secondWord >>> 6) * 2 + 1)) * 1.1102230246251565e-16;
}

/** The draws of `drawUniform` for `count` subjects; `out` is overwritten so far. Cost: about 25 ns each, nothing allocated. */
export function drawUniforms(
  seed0: number,
  seed1: number,
  subjectHashes: Uint32Array,
  count: number,
  purpose: number,
  out: Float64Array,
): void {
  // Signed: the engine hands on larger integers as objects.
  const [key0, key1] = [seed0 | 0, seed1 | 0];
  for (let i = 0; i < count; i += 1) {
    const high = threefry(key0, key1, (subjectHashes[i] as number) | 0, purpose) >>> 6; // i < count <= length
    out[i] = (high * 134217728 + ((secondWord >>> 6) * 2 + 1)) * 1.1102230246251565e-16;
  }
}

/** The draws of `drawNormal` for `count` subjects; `out` is overwritten so far. */
export function drawNormals(
  seed0: number,
  seed1: number,
  subjectHashes: Uint32Array,
  count: number,
  purpose: number,
  out: Float64Array,
): void {
  drawUniforms(seed0, seed1, subjectHashes, count, purpose, out);
  for (let i = 0; i < count; i += 1) out[i] = normalInverseCdf(out[i] as number); // i < count
}

/** One standard normal draw by inversion of `drawUniform`; |x| <= 8.3. One draw. Cost: about 45 ns. */
export function drawNormal(seed0: number, seed1: number, subjectHash: number, purpose: number): number {
  return normalInverseCdf(drawUniform(seed0, seed1, subjectHash, purpose));
}

/** Threefry-2x32-20 itself, for known-answer tests. @param out length 2, overwritten */
export function threefry2x32(key0: number, key1: number, counter0: number, counter1: number, out: Uint32Array): void {
  out[0] = threefry(key0, key1, counter0, counter1);
  out[1] = secondWord;
}
