/** Recurring texts and known words read by integers: always what the bytes say, whoever else holds the place. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FIELD_TABLE, OP_TABLE } from '../../proto/request-fields.ts';
import { FrameBytes, TextCache } from '../../proto/text-cache.ts';

const encoder = new TextEncoder();
const frame = new FrameBytes(256);
const cache = new TextCache(frame);

/** Puts a MessagePack string of fewer than 32 bytes at `start`, with noise around it. */
function load(bytes: Uint8Array, start: number): void {
  const noisy = new Uint8Array(128).fill(0x7a);
  noisy[start] = 0xa0 | bytes.length;
  noisy.set(bytes, start + 1);
  frame.load(noisy);
}

test('TextCache: each its own text when many more are read than it holds', () => {
  const texts = Array.from({ length: 9000 }, (_, index) => `${'k'.repeat(index % 24)}${index}`);
  for (const text of [...texts, ...texts]) {
    load(encoder.encode(text), 5);
    expect(cache.read(5)).toBe(text);
  }
});

test('TextCache: the text of the bytes, or undefined when they are not UTF-8', () => {
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const bytes = fc.oneof(
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 7 }).map((text) => encoder.encode(text).subarray(0, 31)),
    fc.uint8Array({ minLength: 1, maxLength: 31 }),
    fc.array(fc.constantFrom(0, 0x61), { minLength: 1, maxLength: 31 }).map((list) => Uint8Array.from(list)),
  );
  fc.assert(
    fc.property(bytes, fc.nat({ max: 7 }), (text, start) => {
      let expected: string | undefined;
      try {
        expected = strict.decode(text);
      } catch {
        expected = undefined;
      }
      load(text, start);
      // The second time it is kept.
      expect([cache.read(start), cache.read(start)]).toEqual([expected, expected]);
    }),
    { numRuns: 2000 },
  );
});

test.each([FIELD_TABLE, OP_TABLE])('WordTable: a packed word is found where the plain one is', (table) => {
  for (const [index, word] of table.words.entries()) {
    load(encoder.encode(word), 3);
    expect(table.findPacked(frame.view, 3)).toBe(index);
    expect(table.packedSizes[index]).toBe(word.length + 1);
    // One byte changed anywhere, header included, is another word; one left out at the end is only what the table has as such.
    for (let at = 3; at <= 3 + word.length; at++) {
      load(encoder.encode(word), 3);
      frame.bytes[at] = (frame.bytes[at] as number) ^ 0x20; // within the frame
      expect(table.findPacked(frame.view, 3)).toBe(-1);
    }
    const shorter = word.slice(0, -1);
    load(encoder.encode(shorter), 3);
    expect(table.findPacked(frame.view, 3)).toBe(table.words.indexOf(shorter));
  }
});
