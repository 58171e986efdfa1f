/**
 * Golden vectors: the published MurmurHash3_x86_32 vectors collected by Ian Boyd
 * (stackoverflow.com/a/31929528), which check sign extension, tail lengths and seeds against Appleby's C++.
 */
import { describe, expect, test } from 'vitest';
import { murmur3, murmur3Text, textHash } from '../../proto/murmur3.ts';

const byteVectors: readonly (readonly [readonly number[], number, number])[] = [
  [[], 0, 0],
  [[], 1, 0x514e28b7],
  [[], 0xffffffff, 0x81f16f39],
  [[0xff, 0xff, 0xff, 0xff], 0, 0x76293b50],
  [[0x21, 0x43, 0x65, 0x87], 0, 0xf55b516b],
  [[0x21, 0x43, 0x65, 0x87], 0x5082edee, 0x2362f9de],
  [[0x21, 0x43, 0x65], 0, 0x7e4a8634],
  [[0x21, 0x43], 0, 0xa0f7b07a],
  [[0x21], 0, 0x72661cf4],
  [[0, 0, 0, 0], 0, 0x2362f9de],
  [[0, 0, 0], 0, 0x85f0b427],
  [[0, 0], 0, 0x30f4c306],
  [[0], 0, 0x514e28b7],
];
const textVectors: readonly (readonly [string, number, number])[] = [
  ['', 0, 0],
  ['', 1, 0x514e28b7],
  ['\0\0\0\0', 0, 0x2362f9de],
  ['aaaa', 0x9747b28c, 0x5a97808a],
  ['aaa', 0x9747b28c, 0x283e0130],
  ['aa', 0x9747b28c, 0x5d211726],
  ['a', 0x9747b28c, 0x7fa09ea6],
  ['abcd', 0x9747b28c, 0xf0478627],
  ['abc', 0x9747b28c, 0xc84a62dd],
  ['ab', 0x9747b28c, 0x74875592],
  ['Hello, world!', 0x9747b28c, 0x24884cba],
  ['ππππππππ', 0x9747b28c, 0xd58063c1],
  ['abc', 0, 0xb3dd93fa],
  ['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x2fa826cd],
];

describe('murmur3', () => {
  test.each(byteVectors)('murmur3: published value when bytes are %j, seed %i', (bytes, seed, expected) => {
    expect(murmur3(Uint8Array.from(bytes), 0, bytes.length, seed)).toBe(expected);
  });

  test.each(textVectors)('murmur3Text: published value when text is %j, seed %i', (text, seed, expected) => {
    expect(murmur3Text(text, seed)).toBe(expected);
  });

  test('murmur3: only the named range counts when the bytes lie inside a larger array', () => {
    expect(murmur3(new TextEncoder().encode('xxabcdyy'), 2, 4, 0x9747b28c)).toBe(0xf0478627);
  });

  test('murmur3Text: the whole text counts when it outgrows the scratch', () => {
    const long = 'π'.repeat(5000);
    const bytes = new TextEncoder().encode(long);
    expect(murmur3Text(long, 7)).toBe(murmur3(bytes, 0, bytes.length, 7));
  });

  test('textHash: distinct safe integers when the texts are 20,000 different ones', () => {
    const seen = new Set<number>();
    for (let index = 0; index < 20_000; index++) {
      const hash = textHash(`value-${index}`);
      expect(Number.isSafeInteger(hash) && hash >= 0).toBe(true);
      seen.add(hash);
    }
    expect(seen.size).toBe(20_000);
    expect(textHash('value-7')).toBe(textHash('value-7'));
    expect([...seen].some((hash) => hash > 2 ** 52)).toBe(true);
  });
});
