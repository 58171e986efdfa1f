import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arrayItems, arrayLength, ReplyScanner, skipValue } from '../../bench/reply-scanner.ts';
import type { Plain } from '../../proto/messages.ts';
import { createWriter } from '../../proto/reply.ts';
import { answerPlainly, DECISION_ID, errorReply, FAULTS } from './fake-server.ts';

function encode(value: Plain): Uint8Array {
  const writer = createWriter('msgpack');
  writer.plain(value);
  return writer.finish().slice();
}

/** Keys and values in full, so that the order on the wire is the test's. */
function map(...pairs: readonly (readonly [string, Uint8Array])[]): Uint8Array {
  return Buffer.concat([Uint8Array.of(0x80 | pairs.length), ...pairs.flatMap(([key, value]) => [encode(key), value])]);
}

function scan(bytes: Uint8Array): ReplyScanner {
  const scanner = new ReplyScanner();
  // Not at offset 0, and with a foreign byte after the end.
  const padded = Buffer.concat([Uint8Array.of(0xff, 0xff), bytes, Uint8Array.of(0xff)]);
  expect(scanner.scan(padded, 2, 2 + bytes.length)).toBe(true);
  if (scanner.decisionIdStart >= 0) {
    expect(padded.toString('latin1', scanner.decisionIdStart, scanner.decisionIdEnd)).toBe(DECISION_ID);
  }
  return scanner;
}

describe('ReplyScanner', () => {
  it.each([0, 1, 127, 128, 255, 256, 65_535, 65_536, 4_294_967_295])(
    'scanner: id %d in whatever width it is written',
    (id) => {
      const scanner = scan(answerPlainly({ id, op: 'decide' }));
      expect(scanner.id).toBe(id);
      expect(scanner.isOk).toBe(true);
      expect(scanner.serverMicros).toBeCloseTo(12.5, 5);
      expect(scanner.decisionIdStart).toBeGreaterThan(0);
    },
  );

  it('scanner: a failed reply is not ok', () => {
    const scanner = scan(errorReply(9, FAULTS.mailboxFull, 'mailbox full'));
    expect([scanner.id, scanner.isOk]).toEqual([9, false]);
    expect(scanner.serverMicros).toBeNaN();
    expect(scanner.decisionIdStart).toBe(-1);
  });

  it('scanner: a failed reply to a request without a readable id has id −1', () => {
    const bytes = encode({ id: null, ok: false, status: 'INVALID_ARGUMENT' });
    expect(scan(bytes).id).toBe(-1);
    expect(scan(bytes).isOk).toBe(false);
  });

  it('scanner: the echo’s reply, without ok, is a success', () => {
    const scanner = scan(map(['id', Uint8Array.of(0xce, 0, 0, 1, 0)], ['pad', encode('x'.repeat(300))]));
    expect([scanner.id, scanner.isOk]).toEqual([256, true]);
  });

  it('scanner: id and ok are found behind other fields', () => {
    const scanner = scan(
      map(['nested', encode({ ok: true, id: 5, list: [1, { a: 'b' }] })], ['ok', encode(false)], ['id', encode(77)]),
    );
    expect([scanner.id, scanner.isOk]).toEqual([77, false]);
  });

  it('scanner: a 16-bit map header is read', () => {
    const body = Buffer.concat([encode('id'), encode(3), encode('ok'), encode(true)]);
    expect(scan(Buffer.concat([Uint8Array.of(0xde, 0, 2), body])).id).toBe(3);
  });

  it('scanner: every cut of a reply is either refused or read without its end', () => {
    const whole = answerPlainly({ id: 70_000, op: 'decide' });
    const scanner = new ReplyScanner();
    for (let end = 0; end < whole.length; end += 1) {
      const isRead = scanner.scan(whole.subarray(0, end), 0, end);
      if (isRead) expect(scanner.id).toBe(70_000);
    }
    expect(scanner.scan(whole.subarray(0, 8), 0, 8)).toBe(false);
  });

  it('scanner: random bytes never throw or run on', () => {
    const scanner = new ReplyScanner();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        scanner.scan(bytes, 0, bytes.length);
        expect(skipValue(bytes, 0, bytes.length)).toBeLessThanOrEqual(bytes.length);
      }),
    );
  });

  it('skipValue: ends where each value ends', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        const bytes = encode(value as Plain); // JSON values are plain
        expect(skipValue(bytes, 0, bytes.length)).toBe(bytes.length);
        expect(skipValue(bytes, 0, bytes.length - 1)).toBe(-1);
      }),
    );
  });

  it.each([
    ['bin 8', [0xc4, 2, 1, 2]],
    ['ext 8', [0xc7, 2, 9, 1, 2]],
    ['fixext 1', [0xd4, 9, 1]],
    ['fixext 16', [0xd8, 9, ...new Uint8Array(16)]],
    ['str 32', [0xdb, 0, 0, 0, 1, 65]],
    ['array 32', [0xdd, 0, 0, 0, 1, 1]],
    ['map 32', [0xdf, 0, 0, 0, 1, 1, 2]],
    ['int 64', [0xd3, 0, 0, 0, 0, 0, 0, 0, 1]],
  ])('skipValue: %s', (_, bytes) => {
    expect(skipValue(Uint8Array.from(bytes), 0, bytes.length)).toBe(bytes.length);
  });

  it('arrayLength: three header widths, and −1 for a map', () => {
    for (const [header, count, items] of [
      [[0x93], 3, 1],
      [[0xdc, 1, 0], 256, 3],
      [[0xdd, 0, 0, 1, 0], 256, 5],
    ] as const) {
      const bytes = Uint8Array.from(header);
      expect(arrayLength(bytes, 0, bytes.length)).toBe(count);
      expect(arrayItems(bytes, 0)).toBe(items);
    }
    expect(arrayLength(Uint8Array.of(0x81), 0, 1)).toBe(-1);
    expect(arrayLength(new Uint8Array(0), 0, 0)).toBe(-1);
  });
});
