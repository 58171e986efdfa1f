import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameReader } from '../../bench/frame-reader.ts';

interface Seen {
  readonly messages: string[];
  readonly pings: string[];
  readonly closes: [number, string][];
  readonly violations: string[];
}

function collector(): { seen: Seen; reader: FrameReader } {
  const seen: Seen = { messages: [], pings: [], closes: [], violations: [] };
  const reader = new FrameReader({
    message: (bytes, start, end) => seen.messages.push(Buffer.from(bytes.slice(start, end)).toString('latin1')),
    ping: (payload) => seen.pings.push(Buffer.from(payload).toString('latin1')),
    close: (code, reason) => seen.closes.push([code, reason]),
    violation: (reason) => seen.violations.push(reason),
  });
  return { seen, reader };
}

function frame(opcode: number, payload: Uint8Array, isFinal = true): Buffer {
  const first = (isFinal ? 0x80 : 0) | opcode;
  const length = payload.length;
  const header =
    length <= 125
      ? [first, length]
      : length <= 0xffff
        ? [first, 126, length >> 8, length & 255]
        : [first, 127, 0, 0, 0, 0, (length >>> 24) & 255, (length >> 16) & 255, (length >> 8) & 255, length & 255];
  return Buffer.concat([Uint8Array.from(header), payload]);
}

function payload(length: number, fill: number): Uint8Array {
  return new Uint8Array(length).fill(fill);
}

const STREAM = Buffer.concat([
  frame(2, payload(0, 0)),
  frame(2, payload(125, 65)),
  frame(9, Buffer.from('hi')),
  frame(2, payload(126, 66)),
  frame(2, Buffer.from('one '), false),
  frame(10, Buffer.from('pong')),
  frame(0, Buffer.from('message ')),
  frame(2, payload(65_536, 67)),
  frame(8, Buffer.concat([Uint8Array.of(0x03, 0xf5), Buffer.from('later')])),
]);

function expectStream(seen: Seen): void {
  expect(seen.messages).toEqual(['', 'A'.repeat(125), 'B'.repeat(126), 'one message ', 'C'.repeat(65_536)]);
  expect(seen.pings).toEqual(['hi']);
  expect(seen.closes).toEqual([[1013, 'later']]);
  expect(seen.violations).toEqual([]);
}

describe('FrameReader', () => {
  it('reader: the same messages when the stream comes whole', () => {
    const { seen, reader } = collector();
    reader.push(STREAM, 0, STREAM.length);
    expectStream(seen);
  });

  it('reader: the same messages when it comes one byte at a time', () => {
    const { seen, reader } = collector();
    for (const byte of STREAM) reader.push(Uint8Array.of(byte), 0, 1);
    expectStream(seen);
  });

  it('reader: the same messages however it is cut, from a buffer that is reused', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 50 }), (cuts) => {
        const { seen, reader } = collector();
        const reused = new Uint8Array(STREAM.length + 8);
        let at = 0;
        for (let i = 0; at < STREAM.length; i += 1) {
          const size = Math.min(cuts[i % cuts.length] ?? 1, STREAM.length - at);
          reused.fill(0xee);
          reused.set(STREAM.subarray(at, at + size), 3);
          reader.push(reused, 3, 3 + size);
          at += size;
        }
        expectStream(seen);
      }),
      { numRuns: 50 },
    );
  });

  it.each([
    ['a masked frame', Uint8Array.of(0x82, 0x80, 0, 0, 0, 0)],
    ['a reserved bit', Uint8Array.of(0xc2, 0)],
    ['an unknown data opcode', Uint8Array.of(0x83, 0)],
    ['an unknown control opcode', Uint8Array.of(0x8b, 0)],
    ['a fragmented ping', Uint8Array.of(0x09, 0)],
    ['a continuation of nothing', Uint8Array.of(0x80, 0)],
    ['a message inside a fragmented one', Buffer.concat([frame(2, payload(1, 1), false), frame(2, payload(1, 1))])],
    ['a frame of 2^62 bytes', Uint8Array.of(0x82, 127, 0x40, 0, 0, 0, 0, 0, 0, 0)],
  ])('reader: %s is reported once and ends the stream', (_, bytes) => {
    const { seen, reader } = collector();
    reader.push(bytes, 0, bytes.length);
    reader.push(frame(2, payload(1, 65)), 0, 3);
    expect(seen.violations).toHaveLength(1);
    expect(seen.messages).toEqual([]);
  });

  it('reader: a close frame without a code is 1005', () => {
    const { seen, reader } = collector();
    reader.push(frame(8, payload(0, 0)), 0, 2);
    expect(seen.closes).toEqual([[1005, '']]);
  });
});
