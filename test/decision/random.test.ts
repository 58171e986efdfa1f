import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { drawNormal, drawUniform, halfSipHash64, PURPOSE, seedFrom, threefry2x32 } from '../../decision/random.ts';

/** Key 00..07 and messages 00, 01, 02, ...: `vectors_hsip64` of the reference implementation (Aumasson and Bernstein). */
const HALF_SIP_HASH: readonly (readonly [number, string])[] = [
  [0, '218d1f59b9b83cc8'],
  [4, 'd5e78a175be52ea1'],
  [8, 'edfee820bce4858c'],
  [12, '7bc71f9faef5c799'],
  [16, '7336aad25f7bf3b5'],
  [32, '28709d46d811626c'],
];

/** counter, key, result: `kat_vectors` of Random123, threefry2x32 with 20 rounds. */
const THREEFRY: readonly (readonly number[])[] = [
  [0, 0, 0, 0, 0x6b200159, 0x99ba4efe],
  [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x1cb996fc, 0xbb002be7],
  [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xc4923a9c, 0x483df7a0],
];

const out = new Uint32Array(2);
const secret = Uint32Array.of(0x03020100, 0x07060504);

function hex(words: Uint32Array): string {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint32(0, words[0] as number, true); // length 2
  view.setUint32(4, words[1] as number, true); // length 2
  return view.getBigUint64(0).toString(16).padStart(16, '0');
}

describe('random', () => {
  it.each(HALF_SIP_HASH)(
    'halfSipHash64: meets the reference vector when the message has %d bytes',
    (bytes, expected) => {
      const message = new DataView(new ArrayBuffer(64));
      for (let at = 0; at < 64; at += 1) message.setUint8(at, at);
      const words = Uint32Array.from({ length: 16 }, (_, at) => message.getUint32(4 * at, true));
      halfSipHash64(secret, words, bytes / 4, out);
      expect(hex(out)).toBe(expected);
    },
  );

  it.each(THREEFRY)('threefry2x32: meets the known answer when the counter is %d %d', (c0, c1, k0, k1, r0, r1) => {
    threefry2x32(k0 as number, k1 as number, c0 as number, c1 as number, out); // rows of six
    expect([...out]).toEqual([r0, r1]);
  });

  it('seedFrom: hashes profile and sequence, both words of each', () => {
    const words = Uint32Array.of(7, 9, 5, 3);
    const direct = new Uint32Array(2);
    halfSipHash64(secret, words, 4, direct);
    seedFrom(secret, 7, 9, 3 * 4294967296 + 5, out);
    expect([...out]).toEqual([...direct]);
    const seen = new Set([hex(out)]);
    for (const [high, low, sequence] of [
      [8, 9, 5],
      [7, 8, 5],
      [7, 9, 6],
      [7, 9, 5],
      [9, 7, 5],
    ] as const) {
      seedFrom(secret, high, low, sequence, out);
      seen.add(hex(out));
    }
    seedFrom(Uint32Array.of(0, 1), 7, 9, 5, out);
    seen.add(hex(out));
    expect(seen.size).toBe(7);
  });

  it('drawUniform: strictly inside (0, 1) and a function of its arguments alone, for any seed', () => {
    const word = fc.integer({ min: 0, max: 0xffffffff });
    fc.assert(
      fc.property(word, word, word, fc.integer({ min: 1, max: 8 }), (seed0, seed1, subject, purpose) => {
        const u = drawUniform(seed0, seed1, subject, purpose);
        drawUniform(seed1, seed0, subject, purpose);
        expect(u > 0 && u < 1).toBe(true);
        expect(drawUniform(seed0, seed1, subject, purpose)).toBe(u);
        // A negative number is the same 32 bits.
        expect(drawUniform(seed0 | 0, seed1 | 0, subject | 0, purpose)).toBe(u);
      }),
    );
  });

  it('drawUniform: an odd multiple of 2^-53, from both words', () => {
    const scaled = drawUniform(1, 2, 3, 4) * 2 ** 53;
    threefry2x32(1, 2, 3, 4, out);
    const expected = BigInt((out[0] as number) >>> 6) * 2n ** 27n + BigInt((out[1] as number) >>> 6) * 2n + 1n; // length 2
    expect(BigInt(scaled)).toBe(expected);
  });

  it('drawUniform: fills 64 cells evenly over subjects, seeds and purposes', () => {
    // Chi-square with 63 degrees of freedom: mean 63, sd 11.2; 130 is six sd, p < 1e-6.
    for (const vary of ['seed', 'subject', 'purpose'] as const) {
      const cells = new Float64Array(64);
      for (let i = 0; i < 64_000; i += 1) {
        const u = drawUniform(vary === 'seed' ? i : 11, 5, vary === 'subject' ? i : 3, vary === 'purpose' ? i : 1);
        const cell = Math.floor(u * 64);
        cells[cell] = (cells[cell] as number) + 1; // u < 1
      }
      const chiSquare = cells.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0);
      expect(chiSquare).toBeLessThan(130);
      expect(chiSquare).toBeGreaterThan(20); // too even is not random either
    }
  });

  it('drawNormal: standard normal moments over 100,000 subjects', () => {
    const n = 100_000;
    let sum = 0;
    let squares = 0;
    let fourths = 0;
    let products = 0;
    let before = 0;
    for (let i = 0; i < n; i += 1) {
      const x = drawNormal(17, 23, i, PURPOSE.action);
      sum += x;
      squares += x * x;
      fourths += x ** 4;
      products += x * before;
      before = x;
    }
    // Five standard errors: 1, sqrt 2, sqrt 96 and 1 over sqrt n.
    const root = Math.sqrt(n);
    expect(Math.abs(sum / n)).toBeLessThan(5 / root);
    expect(Math.abs(squares / n - 1)).toBeLessThan((5 * Math.SQRT2) / root);
    expect(Math.abs(fourths / n - 3)).toBeLessThan((5 * Math.sqrt(96)) / root);
    expect(Math.abs(products / n)).toBeLessThan(5 / root);
  });

  it('purposes: all different, and different draws of one subject', () => {
    const draws = Object.values(PURPOSE).map((purpose) => drawUniform(1, 2, 3, purpose));
    expect(new Set(draws).size).toBe(draws.length);
  });
});
