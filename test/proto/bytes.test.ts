/** The platform's `TextDecoder` in fatal mode as the second implementation of UTF-8. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { classifyUtf8, decodeUtf8, internUtf8, UTF8 } from '../../proto/bytes.ts';

const fatal = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function oracle(bytes: Uint8Array): string | undefined {
  try {
    return fatal.decode(bytes);
  } catch {
    return undefined;
  }
}

test('decodeUtf8: what the platform decodes or refuses when the bytes are any', () => {
  const lead = fc.constantFrom(
    0x41,
    0x7f,
    0x80,
    0xbf,
    0xc0,
    0xc1,
    0xc2,
    0xdf,
    0xe0,
    0xed,
    0xef,
    0xf0,
    0xf4,
    0xf5,
    0xff,
  );
  const bytes = fc.array(fc.oneof(lead, fc.integer({ min: 0x7f, max: 0xc0 }), fc.nat({ max: 255 })), { maxLength: 8 });
  fc.assert(
    fc.property(bytes, (array) => {
      const given = Uint8Array.from(array);
      const expected = oracle(given);
      expect(decodeUtf8(given, 0, given.length)).toBe(expected);
      expect(internUtf8(given, 0, given.length)).toBe(expected);
    }),
    { numRuns: 3000 },
  );
});

test('decodeUtf8: every code point passes and every surrogate is refused', () => {
  const bytes = new Uint8Array(4);
  const encoder = new TextEncoder();
  for (let point = 0; point <= 0x10ffff; point += point < 0x3000 || (point > 0xd700 && point < 0xe100) ? 1 : 97) {
    if (point >= 0xd800 && point <= 0xdfff) {
      bytes.set([0xe0 | (point >> 12), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f)]);
      expect(classifyUtf8(bytes, 0, 3)).toBe(UTF8.invalid);
    } else {
      const text = String.fromCodePoint(point);
      const { written } = encoder.encodeInto(text, bytes);
      if (decodeUtf8(bytes, 0, written) !== text) expect.fail(`U+${point.toString(16)}`);
    }
  }
});

test('internUtf8: right also when many texts compete for each place', () => {
  const encoder = new TextEncoder();
  for (let round = 0; round < 2; round++) {
    for (let index = 0; index < 20_000; index++) {
      const text = `key-${index}`;
      const bytes = encoder.encode(`<${text}>`);
      if (internUtf8(bytes, 1, bytes.length - 2) !== text) expect.fail(text);
    }
  }
  expect(internUtf8(encoder.encode('x'.repeat(33)), 0, 33)).toBe('x'.repeat(33));
  expect(internUtf8(new Uint8Array(), 0, 0)).toBe('');
});
