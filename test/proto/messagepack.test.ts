/** Golden bytes from the MessagePack specification, and msgpackr as the second implementation. */
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { expect, test } from 'vitest';
import { MessagePackReader } from '../../proto/messagepack.ts';
import { MessagePackWriter } from '../../proto/messagepack-writer.ts';
import type { Plain } from '../../proto/messages.ts';
import { READ_FAULT } from '../../proto/value-reader.ts';

const limits = { nestingMax: 16, containerItemsMax: 100_000, stringBytesMax: 1 << 20, magnitudeMax: Number.MAX_VALUE };
const packr = new Packr({ useRecords: false });
const writer = new MessagePackWriter(8);
const reader = new MessagePackReader(limits);

function write(value: Plain): Uint8Array {
  writer.reset();
  writer.plain(value);
  return writer.finish().slice();
}

function read(bytes: Uint8Array): Plain | undefined {
  reader.open(bytes);
  const value = reader.readPlain();
  return value !== undefined && reader.isAtEnd() ? value : undefined;
}

const golden: readonly (readonly [Plain, string])[] = [
  [null, 'c0'],
  [false, 'c2'],
  [true, 'c3'],
  [0, '00'],
  [127, '7f'],
  [128, 'cc80'],
  [255, 'ccff'],
  [256, 'cd0100'],
  [65535, 'cdffff'],
  [65536, 'ce00010000'],
  [4294967295, 'ceffffffff'],
  [4294967296, 'cb41f0000000000000'],
  [9007199254740991, 'cb433fffffffffffff'],
  [-1, 'ff'],
  [-32, 'e0'],
  [-33, 'd0df'],
  [-128, 'd080'],
  [-129, 'd1ff7f'],
  [-32768, 'd18000'],
  [-32769, 'd2ffff7fff'],
  [-2147483648, 'd280000000'],
  [-2147483649, 'cbc1e0000000200000'],
  [-9007199254740991, 'cbc33fffffffffffff'],
  [1.5, 'cb3ff8000000000000'],
  [1e300, 'cb7e37e43c8800759c'],
  ['', 'a0'],
  ['é', 'a2c3a9'],
  ['x'.repeat(31), `bf${'78'.repeat(31)}`],
  ['x'.repeat(32), `d920${'78'.repeat(32)}`],
  ['x'.repeat(255), `d9ff${'78'.repeat(255)}`],
  ['x'.repeat(256), `da0100${'78'.repeat(256)}`],
  ['é'.repeat(16), `d920${'c3a9'.repeat(16)}`],
  ['é'.repeat(128), `da0100${'c3a9'.repeat(128)}`],
  ['x'.repeat(65536), `db00010000${'78'.repeat(65536)}`],
  [[], '90'],
  [[1, [2]], '920191' + '02'],
  [Array<number>(15).fill(1), `9f${'01'.repeat(15)}`],
  [Array<number>(16).fill(1), `dc0010${'01'.repeat(16)}`],
  [Array<number>(65536).fill(1), `dd00010000${'01'.repeat(65536)}`],
  [{}, '80'],
  [{ a: 1, b: { c: null } }, '82a16101a16281a163c0'],
];

test.each(golden)('MessagePackWriter: the specified bytes when the value is %j', (value, hex) => {
  const bytes = write(value);
  expect(Buffer.from(bytes).toString('hex')).toBe(hex);
  expect(read(bytes)).toEqual(value);
});

test('MessagePackWriter: a map of 16 and of 65,536 entries takes the wider headers', () => {
  for (const [count, head] of [
    [16, 'de0010'],
    [65536, 'df00010000'],
  ] as const) {
    const value = Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, index]));
    const bytes = write([value, 'after']);
    expect(Buffer.from(bytes).toString('hex', 1, 1 + head.length / 2)).toBe(head);
    expect(read(bytes)).toEqual([value, 'after']);
  }
});

test('MessagePackWriter: null when a number is not finite, 0 when it is -0, no entry when undefined', () => {
  expect(Buffer.from(write([Number.NaN, Number.POSITIVE_INFINITY, -0])).toString('hex')).toBe('93c0c000');
  expect(read(write({ a: undefined, b: 1 } as unknown as Plain))).toEqual({ b: 1 }); // as optional fields are
});

test('MessagePackReader: float32 and unusually wide integers are read when another encoder writes them', () => {
  for (const [hex, value] of [
    ['ca3fc00000', 1.5],
    ['cd0001', 1],
    ['cf0000000000000001', 1],
    ['d3ffffffffffffffff', -1],
    ['d2ffffffff', -1],
    ['d1ffff', -1],
    ['d0ff', -1],
    ['db0000000161', 'a'],
    ['dd00000000', []],
    ['df00000000', {}],
  ] as const) {
    expect(read(Buffer.from(hex, 'hex'))).toEqual(value);
  }
});

const text = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 80 }), fc.constantFrom('__proto__', 'constructor', ''));
const plain = fc.letrec<{ value: Plain }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    text,
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(text, tie('value'), { maxKeys: 20, noNullPrototype: false }),
  ),
})).value;

test('round trip: equal when the value is any plain one', () => {
  fc.assert(
    fc.property(plain, (value) => {
      expect(read(write(value))).toEqual(value);
    }),
  );
});

test('differential: msgpackr reads what we write, and we read what it writes', () => {
  // msgpackr turns the key __proto__ into __proto_; values without it are the common ground.
  const common = plain.filter((value) => !JSON.stringify(value).includes('__proto__'));
  fc.assert(
    fc.property(common, (value) => {
      expect(packr.unpack(write(value))).toEqual(value);
      expect(read(packr.pack(value))).toEqual(value);
    }),
  );
});

test('structure: skip ends where reading ends, and every shorter prefix is malformed', () => {
  fc.assert(
    fc.property(plain, (value) => {
      const bytes = write([value]);
      reader.open(bytes);
      expect(reader.skip() && reader.isAtEnd()).toBe(true);
      for (let length = 0; length < bytes.length; length += 1 + (bytes.length >> 6)) {
        reader.open(bytes.subarray(0, length));
        expect(reader.skip()).toBe(false);
        expect(reader.fault).toBe(READ_FAULT.malformed);
        reader.open(bytes.subarray(0, length));
        expect(reader.readPlain()).toBeUndefined();
      }
    }),
  );
});

test('reader: a fault, not a value, when the caller asks for another kind', () => {
  const bytes = write('x');
  for (const ask of [
    () => reader.readNumber(),
    () => reader.readBoolean(),
    () => reader.readNull(),
    () => reader.enterArray(),
    () => reader.enterMap(),
  ]) {
    reader.open(bytes);
    ask();
    expect(reader.fault).toBe(READ_FAULT.wrongKind);
  }
  reader.open(write(1));
  expect(reader.readSpan()).toBe(false);
});
