import { describe, expect, it } from 'vitest';
import {
  clientFrameHeader,
  frameTemplate,
  MESSAGE_DIGITS,
  Placeholder,
  PROFILE_DIGITS,
  patchDigits,
  patchId,
  profileKey,
} from '../../bench/frame-template.ts';
import type { RequestPlan } from '../../bench/load-plan.ts';
import { loadRequests } from '../../bench/load-requests.ts';
import { decodeReply } from '../../proto/reply.ts';

/** Payload of a masked client frame, by the RFC's rules. */
function unmasked(frame: Uint8Array): Uint8Array {
  expect((frame[1] ?? 0) & 0x80).toBe(0x80);
  const length = (frame[1] ?? 0) & 0x7f;
  const lengthBytes = length === 126 ? 2 : length === 127 ? 8 : 0;
  const mask = frame.subarray(2 + lengthBytes, 6 + lengthBytes);
  return frame.slice(6 + lengthBytes).map((byte, i) => byte ^ (mask[i % 4] ?? 0));
}

function decoded(frame: Uint8Array): unknown {
  // JSON round trip: decoded maps have no prototype.
  return JSON.parse(JSON.stringify(decodeReply('msgpack', unmasked(frame))));
}

const PLAN: RequestPlan = {
  scenario: 'decide',
  slot: 'home',
  sku: 'espresso-1kg',
  actions: [],
  context: null,
  traits: null,
  durability: null,
  batchSize: 1,
  decisionIdBytes: 0,
  runTag: 'r1',
};

describe('frameTemplate', () => {
  it('template: id and profile are patched in place and nothing else changes', () => {
    const template = loadRequests(PLAN).cycle[0];
    const item = template?.items[0];
    if (template === undefined || item === undefined) throw new Error('no template');
    const frame = template.bytes.slice();
    patchId(frame, item.idOffset, 0xfffe_fdfc);
    patchDigits(frame, item.profileOffset, PROFILE_DIGITS, 123);
    expect(decoded(frame)).toMatchObject({
      id: 0xfffe_fdfc,
      op: 'decide',
      profile: 'p0000123',
      slot: 'home',
      want: ['action', 'price', 'sendTime'],
      sku: 'espresso-1kg',
    });
    patchId(frame, item.idOffset, 0);
    patchDigits(frame, item.profileOffset, PROFILE_DIGITS, 0);
    expect(frame).toEqual(template.bytes);
  });

  it('template: id is the first entry, always 0xce and four bytes', () => {
    for (const template of loadRequests(PLAN).cycle) {
      const payload = unmasked(template.bytes);
      expect((payload[0] ?? 0) >> 4).toBe(0x8);
      expect([...payload.subarray(1, 5)]).toEqual([0xa2, 0x69, 0x64, 0xce]);
    }
  });

  it('template: contexts have eight keys and differ between variants', () => {
    const contexts = loadRequests(PLAN).cycle.map(
      (template) => (decoded(template.bytes) as { context: object }).context,
    ); // our own request
    expect(contexts.length).toBe(8);
    for (const context of contexts) expect(Object.keys(context)).toHaveLength(8);
    expect(new Set(contexts.map((context) => JSON.stringify(context))).size).toBe(8);
  });

  it('template: a batch is one array whose items are patched apart', () => {
    const template = loadRequests({ ...PLAN, scenario: 'batch', batchSize: 20 }).cycle[0];
    if (template === undefined) throw new Error('no template');
    const frame = template.bytes.slice();
    template.items.forEach((item, i) => {
      patchId(frame, item.idOffset, i + 1);
      patchDigits(frame, item.profileOffset, PROFILE_DIGITS, i * 1000);
    });
    const batch = decoded(frame) as { id: number; profile: string }[]; // our own requests
    expect(batch.map((one) => one.id)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(batch.map((one) => one.profile)).toEqual(Array.from({ length: 20 }, (_, i) => profileKey(i * 1000)));
  });

  it('template: mixed is four decides to one track, clicks only where decision ids are known', () => {
    const operations = (plan: RequestPlan): string[] =>
      loadRequests(plan).cycle.map((template) => {
        const request = decoded(template.bytes) as { op: string; event?: string }; // our own request
        return request.event ?? request.op;
      });
    const without = operations({ ...PLAN, scenario: 'mixed' });
    expect(without.filter((name) => name === 'view').length * 5).toBe(without.length);
    const withIds = operations({ ...PLAN, scenario: 'mixed', decisionIdBytes: 17 });
    expect(withIds.filter((name) => name === 'click').length * 5).toBe(withIds.length);
  });

  it('template: track carries a messageId of fixed width and the durability asked for', () => {
    const template = loadRequests({ ...PLAN, scenario: 'track', durability: 'applied' }).cycle[0];
    const item = template?.items[0];
    if (template === undefined || item === undefined) throw new Error('no template');
    const frame = template.bytes.slice();
    patchDigits(frame, item.messageIdOffset, MESSAGE_DIGITS, 42);
    expect(decoded(frame)).toMatchObject({ op: 'track', messageId: 'r1-0000000042', durability: 'applied' });
  });

  it.each([
    [0, 6],
    [125, 6],
    [126, 8],
    [65_535, 8],
    [65_536, 14],
  ])('template: the header of %d payload bytes has %d bytes', (payload, header) => {
    expect(clientFrameHeader(2, payload).length).toBe(header);
  });

  it('template: values of every width decode to what they were', () => {
    const value = {
      small: 127,
      byte: 128,
      large: 0xffff_ffff,
      beyond: 0x1_0000_0000,
      minus: -32,
      lower: -33,
      half: 0.5,
      none: null,
      yes: true,
      no: false,
      empty: '',
      text31: 'x'.repeat(31),
      text32: 'x'.repeat(32),
      text256: 'x'.repeat(256),
      list: Array.from({ length: 16 }, (_, i) => i),
    };
    const frame = frameTemplate(
      [{ operation: 0, fields: { op: 'decide', profile: new Placeholder('profile', 'p', 7), value } }],
      false,
    );
    expect(decoded(frame.bytes)).toMatchObject({ value });
  });

  it('template: no requests, or two without an array, are refused', () => {
    const request = { operation: 0, fields: { op: 'ping' } };
    expect(() => frameTemplate([], true)).toThrow(RangeError);
    expect(() => frameTemplate([request, request], false)).toThrow(RangeError);
  });

  it('patchDigits: a number too long for its field loses its higher digits, never its neighbours', () => {
    const bytes = new TextEncoder().encode('ab000cd');
    patchDigits(bytes, 2, 3, 98_765);
    expect(new TextDecoder().decode(bytes)).toBe('ab765cd');
  });
});
