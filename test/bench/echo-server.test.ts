/** The frames of the echo server; that it serves a real generator is part of the bench's smoke test. */
import { unpack } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { buildReply, copyId } from '../../bench/echo-server.ts';

describe('echo server', () => {
  it.each([16, 17, 400, 65_551])('reply: is one MessagePack map of exactly %d bytes with the id', (size) => {
    const reply = buildReply(size);
    copyId(Buffer.from([0x83, 0xa2, 0x69, 0x64, 0xce, 0xff, 0xff, 0xff, 0xfe]), reply);
    expect(reply.length).toBe(size);
    const { id, pad } = unpack(reply);
    expect(id).toBe(0xff_ff_ff_fe);
    expect(pad.length).toBe(size - 16);
  });

  it.each([0, 15, 65_552, 20.5, Number.NaN])('reply: is refused when asked to have %d bytes', (size) => {
    expect(() => buildReply(size)).toThrow(RangeError);
  });

  it.each([
    ['empty', []],
    ['cut inside the id', [0x81, 0xa2, 0x69, 0x64, 0xce, 1, 2, 3]],
    ['an array', [0x91, 0xa2, 0x69, 0x64, 0xce, 1, 2, 3, 4]],
    ['a map with another first key', [0x81, 0xa2, 0x69, 0x65, 0xce, 1, 2, 3, 4]],
    ['a map with a short id', [0x81, 0xa2, 0x69, 0x64, 0x07, 1, 2, 3, 4]],
  ])('reply: has id 0 when the request is %s', (_title, request) => {
    const reply = buildReply(16);
    reply.fill(0xaa, 5, 9);
    copyId(Uint8Array.from(request), reply);
    expect(unpack(reply).id).toBe(0);
  });
});
