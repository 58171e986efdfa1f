/**
 * HMAC-SHA-256 (RFC 2104, FIPS 180-4) for messages of some dozen bytes, in JavaScript. `node:crypto` costs
 * 1.6 us and two buffers for each signature, most of it crossing into native code twice; here both padded
 * keys are compressed once, when the key is known, so a usual quote (up to 55 bytes, one block) costs two
 * compressions, less than a microsecond, and nothing is allocated but the text. Given up: one more implementation of SHA-256 to
 * keep; tests hold it to `node:crypto` over every length up to some blocks. Nothing here branches on the key.
 */
import { Buffer } from 'node:buffer';
import type { Signer } from '../actors/ports.ts';

const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
/** First 32 bits of the fractional parts of the square roots of the first eight primes (FIPS 180-4, 5.3.3). */
const START = Int32Array.of(
  0x6a09e667,
  0xbb67ae85,
  0x3c6ef372,
  0xa54ff53a,
  0x510e527f,
  0x9b05688c,
  0x1f83d9ab,
  0x5be0cd19,
);
/** Of the cube roots of the first sixty-four (4.2.2). */
const ROUND_CONSTANTS = roundConstants();
const schedule = new Int32Array(64);

function roundConstants(): Int32Array {
  const constants = new Int32Array(64);
  for (let candidate = 2, found = 0; found < 64; candidate++) {
    let isPrime = true;
    for (let divisor = 2; divisor * divisor <= candidate; divisor++) isPrime &&= candidate % divisor !== 0;
    if (isPrime) constants[found++] = cubeRootFraction(candidate);
  }
  return constants;
}

/** floor(2^32 frac(p^(1/3))), exactly: `Math.cbrt` may differ in its last bit between engines. */
function cubeRootFraction(p: number): number {
  const target = BigInt(p) << 96n;
  let root = 0n;
  for (let bit = 1n << 36n; bit > 0n; bit >>= 1n) if ((root + bit) ** 3n <= target) root += bit;
  return Number(BigInt.asIntN(32, root));
}

/** Compresses the block at `block[at]` into the eight words of `state`. Reads are inside: callers pass whole blocks. */
function compress(state: Int32Array, block: Uint8Array, at: number): void {
  const w = schedule;
  for (let i = 0; i < 16; i++) {
    const byte = at + 4 * i;
    w[i] =
      ((block[byte] as number) << 24) |
      ((block[byte + 1] as number) << 16) |
      ((block[byte + 2] as number) << 8) |
      (block[byte + 3] as number);
  }
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15] as number;
    const y = w[i - 2] as number;
    const sigma0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const sigma1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = ((w[i - 16] as number) + sigma0 + (w[i - 7] as number) + sigma1) | 0;
  }
  let a = state[0] as number;
  let b = state[1] as number;
  let c = state[2] as number;
  let d = state[3] as number;
  let e = state[4] as number;
  let f = state[5] as number;
  let g = state[6] as number;
  let h = state[7] as number;
  for (let i = 0; i < 64; i++) {
    const sum1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const choice = g ^ (e & (f ^ g));
    const t = (h + sum1 + choice + (ROUND_CONSTANTS[i] as number) + (w[i] as number)) | 0;
    const sum0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const majority = (a & b) | (c & (a | b));
    h = g;
    g = f;
    f = e;
    e = (d + t) | 0;
    d = c;
    c = b;
    b = a;
    a = (t + sum0 + majority) | 0;
  }
  state[0] = (state[0] as number) + a;
  state[1] = (state[1] as number) + b;
  state[2] = (state[2] as number) + c;
  state[3] = (state[3] as number) + d;
  state[4] = (state[4] as number) + e;
  state[5] = (state[5] as number) + f;
  state[6] = (state[6] as number) + g;
  state[7] = (state[7] as number) + h;
}

/** Signs with one key. One instance a thread: it works in its own scratch. */
export class QuoteSigner implements Signer {
  /** States behind the padded keys. */
  readonly #inner = START.slice();
  readonly #outer = START.slice();
  readonly #state = new Int32Array(8);
  /** The end of a message, padded: one block, or two where the length does not fit behind it. */
  readonly #rest = new Uint8Array(2 * BLOCK_BYTES);
  /** The inner digest, padded for the outer hash: its length never changes. */
  readonly #digest = new Uint8Array(BLOCK_BYTES);
  readonly #text = Buffer.alloc(DIGEST_BYTES);

  /** @param key at most one block */
  constructor(key: Uint8Array) {
    if (key.length > BLOCK_BYTES) throw new RangeError(`key of ${key.length} bytes: at most ${BLOCK_BYTES}`);
    const padded = new Uint8Array(BLOCK_BYTES);
    padded.set(key);
    compress(
      this.#inner,
      padded.map((byte) => byte ^ 0x36),
      0,
    );
    compress(
      this.#outer,
      padded.map((byte) => byte ^ 0x5c),
      0,
    );
    this.#digest[DIGEST_BYTES] = 0x80;
    putLength(this.#digest, BLOCK_BYTES, DIGEST_BYTES);
  }

  sign(bytes: Uint8Array, length: number): string {
    const state = this.#state;
    state.set(this.#inner);
    let at = 0;
    for (; length - at >= BLOCK_BYTES; at += BLOCK_BYTES) compress(state, bytes, at);
    const rest = this.#rest;
    const left = length - at;
    for (let i = 0; i < left; i++) rest[i] = bytes[at + i] as number; // inside the message
    const blocks = left + 9 > BLOCK_BYTES ? 2 : 1;
    rest.fill(0, left, blocks * BLOCK_BYTES);
    rest[left] = 0x80;
    putLength(rest, blocks * BLOCK_BYTES, length);
    compress(state, rest, 0);
    if (blocks === 2) compress(state, rest, BLOCK_BYTES);
    putWords(this.#digest, state);
    state.set(this.#outer);
    compress(state, this.#digest, 0);
    putWords(this.#text, state);
    return this.#text.toString('base64url');
  }
}

/** Length in bits of padded key and message, at the end of the last block; messages are far below 2^29 bytes. */
function putLength(block: Uint8Array, end: number, messageBytes: number): void {
  const bits = (BLOCK_BYTES + messageBytes) * 8;
  block[end - 4] = bits >>> 24;
  block[end - 3] = bits >>> 16;
  block[end - 2] = bits >>> 8;
  block[end - 1] = bits;
}

function putWords(out: Uint8Array, state: Int32Array): void {
  for (let i = 0; i < 8; i++) {
    const word = state[i] as number; // eight words
    out[4 * i] = word >>> 24;
    out[4 * i + 1] = word >>> 16;
    out[4 * i + 2] = word >>> 8;
    out[4 * i + 3] = word;
  }
}
