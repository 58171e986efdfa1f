/** The platform's JSON as the second implementation. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JsonReader } from '../../proto/json.ts';
import { JsonWriter } from '../../proto/json-writer.ts';
import type { Plain } from '../../proto/messages.ts';

const limits = { nestingMax: 64, containerItemsMax: 10_000, stringBytesMax: 1 << 20, magnitudeMax: Number.MAX_VALUE };
const writer = new JsonWriter(8);
const reader = new JsonReader(limits);

function write(value: Plain): string {
  writer.reset();
  writer.plain(value);
  return new TextDecoder().decode(writer.finish());
}

function read(text: string): Plain | undefined {
  reader.open(new TextEncoder().encode(text));
  const value = reader.readPlain();
  return value !== undefined && reader.isAtEnd() ? value : undefined;
}

test('JsonWriter: the bytes of JSON.stringify when the value is any JSON one', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(write(value as Plain)).toBe(JSON.stringify(value)); // fast-check's type is looser
    }),
  );
});

test.each([
  '"',
  '\\',
  '/',
  '\b\f\n\r\t',
  '\u0000\u001f',
  '\u007f\u2028\u2029',
  'é😀',
  '\ud800',
  'x'.repeat(200),
  '</script>',
])('JsonWriter: escapes as JSON.stringify does when the text is %j', (text) => {
  expect(write({ [text]: text })).toBe(JSON.stringify({ [text]: text }));
});

test('JsonWriter: null when a number is not finite, no entry when undefined', () => {
  expect(write([Number.NaN, Number.NEGATIVE_INFINITY])).toBe('[null,null]');
  expect(write({ a: undefined, b: 1 } as unknown as Plain)).toBe('{"b":1}'); // as optional fields are
});

test('JsonReader: the value of JSON.parse when the text is any JSON one, spaced or not', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'grapheme' }), fc.constantFrom('', ' ', '\t', 2), (value, space) => {
      const text = JSON.stringify(value, null, space as string | number); // one of the constants
      expect(read(text)).toEqual(JSON.parse(text));
    }),
  );
});

test('JsonReader: exactly the value of Number when the number has any legal form', () => {
  const digits = fc.stringMatching(/^(0|[1-9][0-9]{0,30})$/);
  const rest = fc.stringMatching(/^(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?$/);
  fc.assert(
    fc.property(fc.constantFrom('', '-'), digits, rest, (sign, whole, tail) => {
      expect(read(`${sign}${whole}${tail}`)).toBe(Number(`${sign}${whole}${tail}`));
    }),
  );
});

test('JsonReader: accepts nothing that JSON.parse refuses when a legal text is changed', () => {
  const seedText = '{"a":[1,-2.5e3,true,null,"x\\u00e9\\n"],"b":{"c":""}}';
  fc.assert(
    fc.property(fc.nat({ max: seedText.length - 1 }), fc.string({ minLength: 0, maxLength: 2 }), (at, insert) => {
      const text = seedText.slice(0, at) + insert + seedText.slice(at + 1);
      let isLegal = true;
      try {
        JSON.parse(text);
      } catch {
        isLegal = false;
      }
      if (!isLegal) expect(read(text)).toBeUndefined();
      reader.open(new TextEncoder().encode(text));
      expect(reader.skip() && reader.isAtEnd()).toBe(isLegal);
    }),
    { numRuns: 1000 },
  );
});
