import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HASH_SEED_WORDS, keyHash } from '../../actors/key-hash.ts';
import { murmur3 } from '../../proto/murmur3.ts';

const KEY = Uint32Array.of(0x03020100, 0x07060504, 0x03020100, 0x07060504);
const count = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => index);

function hashOf(bytes: Uint8Array, seeds: Uint32Array): Uint32Array {
  const out = new Uint32Array(3);
  keyHash(bytes, 0, bytes.length, seeds, out);
  return out;
}

const hex = (words: Uint32Array): string =>
  Buffer.from(words.buffer, words.byteOffset, words.byteLength).toString('hex');

describe('keyHash', () => {
  // vectors_hsip64 and vectors_hsip32 of the reference code: key 00 … 07, input 00, 01, 02 …
  it.each([
    [0, '218d1f59b9b83cc8', 'a9359f5b'],
    [1, 'be552412f8387315', '27475ab8'],
    [2, '064f39ef7c50eb57', 'fa62a603'],
    [3, 'ce0f1a45f7060679', '8afee704'],
    [4, 'd5e78a175be52ea1', '2a6e4689'],
    [5, 'cb9d7c3f2f3db580', 'c5fab669'],
  ])('keyHash: is HalfSipHash-2-4 of the reference code when the input has %d bytes', (length, wide, narrow) => {
    const hash = hashOf(count(length), KEY);
    expect(hex(hash.slice(0, 2))).toBe(wide);
    expect(hex(hash.slice(2))).toBe(narrow);
  });

  it.each([
    [8, 'd0b8848f'],
    [31, '5d589f1a'],
    [63, '59ea4a74'],
  ])('keyHash: is HalfSipHash-2-4 in its 32 bits too when the input has %d bytes', (length, narrow) => {
    expect(hex(hashOf(count(length), KEY).slice(2))).toBe(narrow);
  });

  it('keyHash: tells two keys apart that murmur3 takes for one under every seed', () => {
    const one = Buffer.from('customer-246402397-dc04849e3191');
    const other = Buffer.from('637573746f6d65722d323436dc8e113e39377c286330343834396533313931', 'hex');
    expect(new TextDecoder('utf-8', { fatal: true }).decode(other)).not.toBe(one.toString());
    const seeds = fc.uint32Array({ minLength: HASH_SEED_WORDS, maxLength: HASH_SEED_WORDS });
    fc.assert(
      fc.property(seeds, (words) => {
        for (const seed of words) {
          expect(murmur3(one, 0, one.length, seed)).toBe(murmur3(other, 0, other.length, seed));
        }
        const [left, right] = [hashOf(one, words), hashOf(other, words)];
        expect([...left].filter((word, index) => word === right[index])).toEqual([]);
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  it('keyHash: hashes only the bytes it is pointed to', () => {
    const bytes = Buffer.from('xxcustomer-1yy');
    const out = new Uint32Array(3);
    keyHash(bytes, 2, 10, KEY, out);
    expect(out).toEqual(hashOf(Buffer.from('customer-1'), KEY));
  });
});
