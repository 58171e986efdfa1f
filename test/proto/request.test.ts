/**
 * The decoder against tables of good and bad requests, in both encodings: what is delivered, which fault
 * a mistake gets, and that a mistake costs only the request that made it.
 */
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { describe, expect, test } from 'vitest';
import type { Encoding } from '../../proto/document-writer.ts';
import { LIMITS } from '../../proto/limits.ts';
import { OP } from '../../proto/messages.ts';
import { DURABILITY, FrameDecoder, type Request, WANT, WANT_ALL } from '../../proto/request.ts';
import { FAULT, type Fault } from '../../proto/statuses.ts';

const packr = new Packr({ useRecords: false, variableMapSize: true });
const encodings = ['msgpack', 'json'] as const;

function encode(encoding: Encoding, value: unknown): Uint8Array {
  return encoding === 'msgpack' ? packr.pack(value) : new TextEncoder().encode(JSON.stringify(value));
}

type Snapshot = Omit<Request, 'reset' | 'profileKey' | 'copyRaw'> & { profile: string; raw: Uint8Array };
interface Refusal {
  readonly id: number | null;
  readonly fault: Fault;
  readonly message: string;
}
interface Decoded {
  readonly isDecoded: boolean;
  readonly requests: Snapshot[];
  readonly refusals: Refusal[];
}

const decoders = { msgpack: new FrameDecoder('msgpack'), json: new FrameDecoder('json') };

function decode(encoding: Encoding, frame: Uint8Array): Decoded {
  const requests: Snapshot[] = [];
  const refusals: Refusal[] = [];
  const isDecoded = decoders[encoding].decode(frame, {
    onRequest: (request) => requests.push({ ...request, profile: request.profileKey(), raw: request.copyRaw() }),
    onInvalid: (id, fault, message) => refusals.push({ id, fault, message }),
  });
  return { isDecoded, requests, refusals };
}

/** What a request means, without where its bytes lie. */
function meaning(snapshot: Snapshot | undefined): unknown {
  if (snapshot === undefined) return undefined;
  const places = { rawStart: 0, rawEnd: 0, keyStart: 0, contextStart: 0, contextEnd: 0, propertiesStart: 0 };
  return { ...snapshot, ...places, propertiesEnd: 0, frame: null, keyBytes: null, raw: null };
}

const full = {
  id: 4294967295,
  op: 'decide',
  deadlineMillis: 60000,
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  profile: 'kunde-Ö-😀',
  slot: 'home_hero',
  count: 32,
  want: ['price', 'sendTime'],
  actions: ['a', 'b'],
  sku: 'SKU "1"',
  channel: 'web',
  context: { device: 'mobile', nested: { list: [1, -1.5, null, true, 'x\n'] } },
  explain: true,
  dryRun: true,
  minStateSeq: 9007199254740991,
  durability: 'replicated',
};

describe.each(encodings)('FrameDecoder (%s)', (encoding) => {
  test('decide: every field arrives when all are given', () => {
    const { requests, refusals } = decode(encoding, encode(encoding, full));
    expect(refusals).toEqual([]);
    expect(requests).toHaveLength(1);
    expect(requests[0]).toMatchObject({
      id: 4294967295,
      op: OP.decide,
      deadlineMillis: 60000,
      traceparent: full.traceparent,
      profile: 'kunde-Ö-😀',
      keyLength: 13,
      slot: 'home_hero',
      count: 32,
      wantMask: WANT.price | WANT.sendTime,
      actions: ['a', 'b'],
      sku: 'SKU "1"',
      channel: 'web',
      isExplain: true,
      isDryRun: true,
      minStateSeq: Number.MAX_SAFE_INTEGER,
      durability: DURABILITY.replicated,
    });
    expect(requests[0]?.context).toEqual(full.context);
    expect(Object.getPrototypeOf(requests[0]?.context)).toBeNull();
  });

  test('decide: resting values when only the needed fields are given, also after a full request', () => {
    decode(encoding, encode(encoding, full));
    const { requests } = decode(encoding, encode(encoding, { id: 0, op: 'decide', profile: 'p' }));
    expect(requests[0]).toMatchObject({
      id: 0,
      deadlineMillis: 0,
      traceparent: '',
      slot: '',
      sku: '',
      channel: '',
      count: 1,
      wantMask: WANT_ALL,
      actions: null,
      context: null,
      isExplain: false,
      isDryRun: false,
      minStateSeq: -1,
      durability: DURABILITY.unset,
    });
    expect(requests[0]?.atEpochMillis).toBeNaN();
  });

  test('track: every field arrives when all are given', () => {
    const message = {
      id: 2,
      op: 'track',
      profile: 'p',
      event: 'purchase',
      messageId: 'm-1',
      atEpochMillis: 1763843794000,
      decisionId: 'AbCdEfGhIjKlMnOpQrSt',
      quoteId: 'q',
      properties: { revenueMinor: 1999, items: [{ sku: 'a', quantity: 2 }] },
      durability: 'committed',
    };
    const { requests, refusals } = decode(encoding, encode(encoding, message));
    expect(refusals).toEqual([]);
    expect(requests[0]).toMatchObject({
      op: OP.track,
      event: 'purchase',
      messageId: 'm-1',
      atEpochMillis: 1763843794000,
      decisionId: 'AbCdEfGhIjKlMnOpQrSt',
      quoteId: 'q',
      durability: DURABILITY.committed,
    });
    expect(requests[0]?.properties).toEqual(message.properties);
  });

  test('op: every known operation is delivered with its number when its needed fields are there', () => {
    for (const [name, number] of Object.entries(OP)) {
      const message = {
        id: 1,
        op: name,
        profile: 'p',
        event: 'e',
        traits: {},
        decisionId: 'd',
        from: 'a',
        to: 'b',
        purposes: {},
        decide: {},
      };
      const { requests, refusals } = decode(encoding, encode(encoding, message));
      expect(refusals).toEqual([]);
      expect(requests[0]).toMatchObject({ op: number, profile: 'p' });
    }
  });

  test('hello: client and version arrive when given', () => {
    const { requests } = decode(encoding, encode(encoding, { id: 1, op: 'hello', client: 'c', version: '1.2' }));
    expect(requests[0]).toMatchObject({ op: OP.hello, clientName: 'c', clientVersion: '1.2' });
  });

  test('unknown field: skipped when its value is plain', () => {
    const message = { id: 1, later: { deep: [1, { a: 'b' }] }, op: 'ping', other: 1 };
    expect(decode(encoding, encode(encoding, message)).requests).toHaveLength(1);
  });

  test('field of another operation: treated as unknown when its type is not the known one', () => {
    for (const message of [
      { id: 1, count: 'many', op: 'ping' },
      { id: 1, op: 'identify', profile: 'p', traits: {}, want: [1, { a: [] }], slot: 7, context: 'x' },
      { id: 1, op: 'whatIf', profile: 'p', context: 3, events: [], decide: {} },
    ]) {
      const { requests, refusals } = decode(encoding, encode(encoding, message));
      expect(refusals).toEqual([]);
      expect(requests).toHaveLength(1);
    }
  });

  test('traceparent: ignored when it is not of the form', () => {
    for (const traceparent of ['', 'x', `00-${'0'.repeat(32)}-b7ad6b7169203331-01`, `ff${full.traceparent.slice(2)}`]) {
      const { requests } = decode(encoding, encode(encoding, { id: 1, op: 'ping', traceparent }));
      expect(requests[0]?.traceparent).toBe('');
    }
  });

  test('batch: nothing is delivered when it is empty', () => {
    expect(decode(encoding, encode(encoding, []))).toEqual({ isDecoded: true, requests: [], refusals: [] });
  });

  test('batch: a bad request costs only itself when others are good', () => {
    const batch = [
      { id: 1, op: 'ping' },
      { id: 2, op: 'decide', profile: 'p', count: 0 },
      { id: 3, op: 'nope' },
      'junk',
      [[]],
      { op: 'ping' },
      { id: 4, op: 'decide', profile: 'p', context: { a: 'x'.repeat(4097) } },
      full,
    ];
    const { isDecoded, requests, refusals } = decode(encoding, encode(encoding, batch));
    expect(isDecoded).toBe(true);
    expect(requests.map((request) => request.id)).toEqual([1, 4294967295]);
    expect(refusals.map((refusal) => [refusal.id, refusal.fault.code])).toEqual([
      [2, FAULT.invalidField.code],
      [3, FAULT.unknownOperation.code],
      [null, FAULT.invalidField.code],
      [null, FAULT.invalidField.code],
      [null, FAULT.invalidId.code],
      [4, FAULT.tooLarge.code],
    ]);
  });

  test('batch: as many requests as the limit pass, one more is refused in one answer', () => {
    const ping = { id: 1, op: 'ping' };
    const most = Array.from({ length: LIMITS.batchItemsMax }, () => ping);
    expect(decode(encoding, encode(encoding, most)).requests).toHaveLength(LIMITS.batchItemsMax);
    const { isDecoded, requests, refusals } = decode(encoding, encode(encoding, [...most, ping]));
    expect({ isDecoded, requests }).toEqual({ isDecoded: true, requests: [] });
    expect(refusals).toEqual([
      { id: null, fault: FAULT.tooLarge, message: 'batch: expected at most 1024 requests, got 1025' },
    ]);
  });

  test('copyRaw: a frame of its own that means the same when the request comes from a batch', () => {
    const { requests } = decode(encoding, encode(encoding, [{ id: 1, op: 'ping' }, full, { id: 2, op: 'ping' }]));
    expect(requests).toHaveLength(3);
    for (const request of requests) {
      const again = decode(encoding, request.raw);
      expect(meaning(again.requests[0])).toEqual(meaning(request));
    }
  });

  test('copyRaw: a copy when the frame is a Node Buffer', () => {
    const frame = Buffer.from(encode(encoding, { id: 7, op: 'ping' }));
    const raw = decode(encoding, frame).requests[0]?.raw ?? new Uint8Array();
    const before = [...raw];
    frame.fill(0);
    expect([...raw]).toEqual(before);
  });

  test('truncation: refused whole at every prefix when the frame is one request or a batch', () => {
    for (const value of [full, [{ id: 1, op: 'ping' }, full]]) {
      const frame = encode(encoding, value);
      for (let length = 0; length < frame.length; length++) {
        expect(decode(encoding, frame.subarray(0, length))).toEqual({ isDecoded: false, requests: [], refusals: [] });
      }
    }
  });

  test('trailing bytes: refused whole when anything follows the request or the batch', () => {
    for (const value of [{ id: 1, op: 'ping' }, [{ id: 1, op: 'ping' }], { id: 1, op: 'x' }]) {
      const frame = encode(encoding, value);
      const longer = new Uint8Array(frame.length + 1);
      longer.set(frame);
      longer[frame.length] = 0x31;
      expect(decode(encoding, longer)).toEqual({ isDecoded: false, requests: [], refusals: [] });
    }
  });

  test('frame: refused whole when it is larger than the limit', () => {
    const filler = Array.from({ length: 16 }, () => 'x'.repeat(4090));
    const message = { id: 1, op: 'ping', filler };
    const overhead = encode(encoding, message).length;
    filler.push('y'.repeat(LIMITS.frameBytesMax - overhead - 3));
    const frame = encode(encoding, message);
    expect(frame.length).toBeLessThanOrEqual(LIMITS.frameBytesMax);
    expect(decode(encoding, frame).requests).toHaveLength(1);
    const larger = new Uint8Array(LIMITS.frameBytesMax + 1).fill(0x20);
    larger.set(frame);
    expect(decode(encoding, larger).isDecoded).toBe(false);
  });

  test('mutation: never throws and never delivers an unbounded value when bytes are changed at random', () => {
    const frame = encode(encoding, [full, { id: 5, op: 'track', profile: 'p', event: 'e', properties: { a: [1.5] } }]);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat({ max: frame.length - 1 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 6 }),
        (changes) => {
          const changed = frame.slice();
          for (const [at, byte] of changes) changed[at] = byte;
          const { isDecoded, requests, refusals } = decode(encoding, changed);
          if (!isDecoded) expect([...requests, ...refusals]).toEqual([]);
          for (const request of requests) {
            expect(request.count).toBeGreaterThanOrEqual(1);
            expect(request.count).toBeLessThanOrEqual(32);
            expect(request.keyLength).toBeLessThanOrEqual(256);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test('garbage: never throws when the bytes are random', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        decode(encoding, bytes);
      }),
      { numRuns: 500 },
    );
  });
});

const bad: readonly (readonly [string, unknown, Fault, string])[] = [
  ['id missing', { op: 'ping' }, FAULT.invalidId, 'request.id: expected an unsigned 32-bit integer, got nothing'],
  ['id -1', { id: -1, op: 'ping' }, FAULT.invalidId, 'got the integer -1'],
  ['id 2^32', { id: 4294967296, op: 'ping' }, FAULT.invalidId, 'got the integer 4294967296'],
  ['id 1.5', { id: 1.5, op: 'ping' }, FAULT.invalidId, 'got the number 1.5'],
  ['id text', { id: '1', op: 'ping' }, FAULT.invalidId, 'got a string of 1 character'],
  ['id null', { id: null, op: 'ping' }, FAULT.invalidId, 'got null'],
  ['op missing', { id: 1 }, FAULT.unknownOperation, 'got none; known are hello, ping'],
  ['op number', { id: 1, op: 5 }, FAULT.unknownOperation, 'got none'],
  ['op near', { id: 1, op: 'decid' }, FAULT.unknownOperation, 'did you mean decide?'],
  ['op other case', { id: 1, op: 'WhatIf' }, FAULT.unknownOperation, 'did you mean whatIf?'],
  ['op far', { id: 1, op: 'xyzzyqw' }, FAULT.unknownOperation, 'known are hello'],
  ['op __proto__', { id: 1, op: '__proto__' }, FAULT.unknownOperation, 'known are hello'],
  ['op wins over a field before it', { count: 0, id: 1, op: 'xyzzyqw' }, FAULT.unknownOperation, 'known are'],
  [
    'deadline 0',
    { id: 1, op: 'ping', deadlineMillis: 0 },
    FAULT.invalidField,
    'ping.deadlineMillis: expected an integer from 1 to 60000, got the integer 0',
  ],
  ['deadline max + 1', { id: 1, op: 'ping', deadlineMillis: 60001 }, FAULT.invalidField, 'got the integer 60001'],
  ['deadline fraction', { id: 1, op: 'ping', deadlineMillis: 1.5 }, FAULT.invalidField, 'got the number 1.5'],
  [
    'traceparent number',
    { id: 1, op: 'ping', traceparent: 1 },
    FAULT.invalidField,
    'ping.traceparent: expected a string, got a number',
  ],
  [
    'profile missing',
    { id: 1, op: 'decide' },
    FAULT.invalidField,
    'decide.profile: expected a string of 1 to 256 bytes, got nothing',
  ],
  ['profile empty', { id: 1, op: 'decide', profile: '' }, FAULT.invalidField, 'got an empty string'],
  [
    'profile 257 bytes',
    { id: 1, op: 'decide', profile: 'p'.repeat(257) },
    FAULT.invalidField,
    'got a string of 257 bytes',
  ],
  [
    'profile 258 bytes in 129 characters',
    { id: 1, op: 'decide', profile: 'é'.repeat(129) },
    FAULT.invalidField,
    'got a string of 258 bytes',
  ],
  ['profile number', { id: 1, op: 'decide', profile: 8675309 }, FAULT.invalidField, 'got a number'],
  ['profile before id and op', { profile: 1, id: 1, op: 'decide' }, FAULT.invalidField, 'decide.profile: expected'],
  [
    'count 0',
    { id: 1, op: 'decide', profile: 'p', count: 0 },
    FAULT.invalidField,
    'decide.count: expected an integer from 1 to 32, got the integer 0',
  ],
  ['count 33', { id: 1, op: 'decide', profile: 'p', count: 33 }, FAULT.invalidField, 'got the integer 33'],
  [
    'count text',
    { id: 1, op: 'decide', profile: 'p', count: 'abc' },
    FAULT.invalidField,
    'decide.count: expected an integer from 1 to 32, got a string of 3 characters',
  ],
  [
    'slot empty',
    { id: 1, op: 'decide', profile: 'p', slot: '' },
    FAULT.invalidField,
    'decide.slot: expected a string of 1 to 4096 bytes, got an empty string',
  ],
  ['slot null', { id: 1, op: 'decide', profile: 'p', slot: null }, FAULT.invalidField, 'got null'],
  [
    'slot too long',
    { id: 1, op: 'decide', profile: 'p', slot: 's'.repeat(4097) },
    FAULT.tooLarge,
    'decide.slot: expected strings of at most 4096 bytes',
  ],
  [
    'sku map',
    { id: 1, op: 'decide', profile: 'p', sku: {} },
    FAULT.invalidField,
    'decide.sku: expected a string of 1 to 4096 bytes, got a map',
  ],
  ['channel array', { id: 1, op: 'decide', profile: 'p', channel: [] }, FAULT.invalidField, 'got an array'],
  [
    'want empty',
    { id: 1, op: 'decide', profile: 'p', want: [] },
    FAULT.invalidField,
    'decide.want: expected a non-empty array of action, price, sendTime',
  ],
  ['want unknown word', { id: 1, op: 'decide', profile: 'p', want: ['actions'] }, FAULT.invalidField, 'decide.want'],
  [
    'want text',
    { id: 1, op: 'decide', profile: 'p', want: 'price' },
    FAULT.invalidField,
    'got a string of 5 characters',
  ],
  [
    'actions with a number',
    { id: 1, op: 'decide', profile: 'p', actions: ['a', 1] },
    FAULT.invalidField,
    'decide.actions: expected an array of non-empty strings',
  ],
  [
    'actions with an empty text',
    { id: 1, op: 'decide', profile: 'p', actions: [''] },
    FAULT.invalidField,
    'decide.actions',
  ],
  [
    'actions too many',
    { id: 1, op: 'decide', profile: 'p', actions: Array(1025).fill('a') },
    FAULT.tooLarge,
    'decide.actions: expected at most 1024 entries',
  ],
  [
    'context array',
    { id: 1, op: 'decide', profile: 'p', context: [] },
    FAULT.invalidField,
    'decide.context: expected a map, got an array',
  ],
  [
    'explain text',
    { id: 1, op: 'decide', profile: 'p', explain: 'true' },
    FAULT.invalidField,
    'decide.explain: expected a boolean',
  ],
  [
    'dryRun number',
    { id: 1, op: 'decide', profile: 'p', dryRun: 1 },
    FAULT.invalidField,
    'decide.dryRun: expected a boolean, got a number',
  ],
  ['minStateSeq -1', { id: 1, op: 'decide', profile: 'p', minStateSeq: -1 }, FAULT.invalidField, 'decide.minStateSeq'],
  [
    'durability word',
    { id: 1, op: 'decide', profile: 'p', durability: 'fsync' },
    FAULT.invalidField,
    'decide.durability: expected one of applied, committed, replicated',
  ],
  [
    'event missing',
    { id: 1, op: 'track', profile: 'p' },
    FAULT.invalidField,
    'track.event: expected a string of 1 to 256 characters, got nothing',
  ],
  ['event empty', { id: 1, op: 'track', profile: 'p', event: '' }, FAULT.invalidField, 'got an empty string'],
  [
    'event 257 characters',
    { id: 1, op: 'track', profile: 'p', event: 'e'.repeat(257) },
    FAULT.invalidField,
    'got a string of 257 characters',
  ],
  [
    'messageId too long',
    { id: 1, op: 'track', profile: 'p', event: 'e', messageId: 'm'.repeat(257) },
    FAULT.invalidField,
    'track.messageId: expected a string of 1 to 256 characters',
  ],
  [
    'messageId number',
    { id: 1, op: 'track', profile: 'p', event: 'e', messageId: 4 },
    FAULT.invalidField,
    'track.messageId',
  ],
  [
    'atEpochMillis -1',
    { id: 1, op: 'track', profile: 'p', event: 'e', atEpochMillis: -1 },
    FAULT.invalidField,
    'track.atEpochMillis: expected an integer from 0 to 9007199254740991, got a number',
  ],
  [
    'atEpochMillis fraction',
    { id: 1, op: 'track', profile: 'p', event: 'e', atEpochMillis: 0.5 },
    FAULT.invalidField,
    'track.atEpochMillis',
  ],
  [
    'decisionId boolean',
    { id: 1, op: 'track', profile: 'p', event: 'e', decisionId: true },
    FAULT.invalidField,
    'track.decisionId: expected a string of 1 to 256 characters, got a boolean',
  ],
  ['quoteId empty', { id: 1, op: 'track', profile: 'p', event: 'e', quoteId: '' }, FAULT.invalidField, 'track.quoteId'],
  [
    'properties text',
    { id: 1, op: 'track', profile: 'p', event: 'e', properties: 'x' },
    FAULT.invalidField,
    'track.properties: expected a map',
  ],
  [
    'traits missing',
    { id: 1, op: 'identify', profile: 'p' },
    FAULT.invalidField,
    'identify.traits: expected a map, got nothing',
  ],
  [
    'traits null',
    { id: 1, op: 'identify', profile: 'p', traits: null },
    FAULT.invalidField,
    'identify.traits: expected a map, got null',
  ],
  [
    'confirm without id',
    { id: 1, op: 'confirm' },
    FAULT.invalidField,
    'confirm.decisionId: expected a string of 1 to 256 characters, got nothing',
  ],
  ['release without id', { id: 1, op: 'release' }, FAULT.invalidField, 'release.decisionId'],
  ['profile op without profile', { id: 1, op: 'profile' }, FAULT.invalidField, 'profile.profile'],
  ['client number', { id: 1, op: 'hello', client: 1 }, FAULT.invalidField, 'hello.client'],
  ['version empty', { id: 1, op: 'hello', version: '' }, FAULT.invalidField, 'hello.version'],
  [
    'nested string too long',
    { id: 1, op: 'identify', profile: 'p', traits: { a: 'x'.repeat(4097) } },
    FAULT.tooLarge,
    'identify.traits: expected strings of at most 4096 bytes',
  ],
  [
    'nested key too long',
    { id: 1, op: 'identify', profile: 'p', traits: { ['x'.repeat(4097)]: 1 } },
    FAULT.tooLarge,
    'identify.traits',
  ],
  [
    'too deep',
    { id: 1, op: 'identify', profile: 'p', traits: nest(8) },
    FAULT.tooLarge,
    'identify.traits: expected at most 8 levels of nesting',
  ],
  [
    'unknown field too deep',
    { id: 1, op: 'ping', later: nest(8) },
    FAULT.tooLarge,
    'ping: expected at most 8 levels of nesting',
  ],
  ['another operation’s field too deep', { id: 1, op: 'ping', traits: nest(8) }, FAULT.tooLarge, 'ping.traits'],
  ['request is a number', 5, FAULT.invalidField, 'request: expected a map, got a number'],
  ['request is a text', 'x', FAULT.invalidField, 'request: expected a map, got a string'],
  ['request is null', null, FAULT.invalidField, 'request: expected a map, got null'],
];

/** A map nested `levels` deep in itself. */
function nest(levels: number): unknown {
  return levels === 1 ? {} : { a: nest(levels - 1) };
}

describe.each(encodings)('FrameDecoder (%s): bad input', (encoding) => {
  test.each(bad)('refused: named fault and field when %s', (_title, message, fault, words) => {
    const { isDecoded, requests, refusals } = decode(encoding, encode(encoding, message));
    expect(isDecoded).toBe(true);
    expect(requests).toEqual([]);
    expect(refusals).toHaveLength(1);
    expect(refusals[0]?.message).toContain(words);
    expect(refusals[0]?.fault).toBe(fault);
    const isAddressed = fault !== FAULT.invalidId && typeof message === 'object' && message !== null;
    expect(refusals[0]?.id).toBe(isAddressed ? 1 : null);
  });

  test('messages: never repeat what a field held when it is refused', () => {
    const secret = 'anna.mueller@example.org';
    for (const message of [
      { id: 1, op: 'decide', profile: 'p', count: secret },
      { id: 1, op: secret },
      { id: secret, op: 'ping' },
      { id: 1, op: 'identify', profile: secret.repeat(20), traits: {} },
      { id: 1, op: 'identify', profile: 'p', traits: secret },
      { id: 1, op: 'track', profile: 'p', event: 'e', atEpochMillis: secret, [secret]: secret },
    ]) {
      for (const refusal of decode(encoding, encode(encoding, message)).refusals) {
        expect(refusal.message).not.toContain('anna');
      }
    }
  });

  test('bounds: accepted when every value is exactly at its maximum', () => {
    for (const message of [
      { id: 1, op: 'decide', profile: 'é'.repeat(128), slot: 's'.repeat(4096), actions: Array(1024).fill('a') },
      { id: 1, op: 'track', profile: 'p', event: 'e'.repeat(256), messageId: 'm'.repeat(256), atEpochMillis: 0 },
      { id: 1, op: 'identify', profile: 'p', traits: nest(7) },
      { id: 1, op: 'ping', deadlineMillis: 1 },
    ]) {
      expect(decode(encoding, encode(encoding, message)).refusals).toEqual([]);
    }
  });
});

describe('FrameDecoder: values only one encoding can hold', () => {
  const head = (entries: number): number[] => [0x80 | entries, 0xa2, 0x69, 0x64, 0x01, 0xa2, 0x6f, 0x70];
  const ping = [0xa4, ...new TextEncoder().encode('ping')];
  const one = (...value: number[]): Uint8Array => Uint8Array.from([...head(3), ...ping, 0xa1, 0x78, ...value]);

  const cases: readonly (readonly [string, Uint8Array, Fault])[] = [
    ['fixext 1', one(0xd4, 1, 2), FAULT.forbiddenValue],
    ['fixext 16', one(0xd8, 1, ...Array(16).fill(0)), FAULT.forbiddenValue],
    ['ext 8', one(0xc7, 1, 2, 3), FAULT.forbiddenValue],
    ['ext 32', one(0xc9, 0, 0, 0, 0, 5), FAULT.forbiddenValue],
    ['timestamp', one(0xd6, 0xff, 0, 0, 0, 0), FAULT.forbiddenValue],
    ['bin 8', one(0xc4, 1, 2), FAULT.forbiddenValue],
    ['bin 32', one(0xc6, 0, 0, 0, 0), FAULT.forbiddenValue],
    ['float64 NaN', one(0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0), FAULT.forbiddenValue],
    ['float32 infinity', one(0xca, 0x7f, 0x80, 0, 0), FAULT.forbiddenValue],
    ['uint64 2^53', one(0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0), FAULT.forbiddenValue],
    ['uint64 maximum', one(0xcf, ...Array(8).fill(255)), FAULT.forbiddenValue],
    ['int64 minimum', one(0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0), FAULT.forbiddenValue],
    ['map key a number', one(0x81, 1, 1), FAULT.forbiddenValue],
    ['map key null', one(0x81, 0xc0, 1), FAULT.forbiddenValue],
    ['duplicate key', one(0x82, 0xa1, 0x61, 1, 0xa1, 0x61, 1), FAULT.forbiddenValue],
    ['overlong UTF-8', one(0xa2, 0xc0, 0xaf), FAULT.invalidField],
    ['surrogate in UTF-8', one(0xa3, 0xed, 0xa0, 0x80), FAULT.invalidField],
    ['UTF-8 above U+10FFFF', one(0xa4, 0xf4, 0x90, 0x80, 0x80), FAULT.invalidField],
    ['UTF-8 cut short', one(0xa1, 0xe2), FAULT.invalidField],
    ['lone continuation byte', one(0xa1, 0x80), FAULT.invalidField],
    ['invalid UTF-8 as a key', one(0x81, 0xa1, 0xff, 1), FAULT.invalidField],
  ];
  test.each(cases)('MessagePack: that request alone is refused when it holds %s', (_title, frame, fault) => {
    const batch = Uint8Array.from([0x92, ...frame, ...head(2), ...ping]);
    const { isDecoded, requests, refusals } = decode('msgpack', batch);
    expect(isDecoded).toBe(true);
    expect(requests).toHaveLength(1);
    expect(refusals.map((refusal) => [refusal.id, refusal.fault])).toEqual([[1, fault]]);
  });

  test('MessagePack: a known field as an extension or binary is a forbidden value', () => {
    for (const value of [
      [0xd4, 0, 0],
      [0xc4, 1, 1],
    ]) {
      const frame = Uint8Array.from([
        ...head(3),
        ...ping,
        0xae,
        ...new TextEncoder().encode('deadlineMillis'),
        ...value,
      ]);
      expect(decode('msgpack', frame).refusals[0]).toMatchObject({ id: 1, fault: FAULT.forbiddenValue });
    }
  });

  test('MessagePack: a number key at the top, id after it, is refused with the id', () => {
    const frame = Uint8Array.from([0x83, 0x01, 0x02, ...head(2).slice(1), ...ping]);
    expect(decode('msgpack', frame).refusals[0]).toMatchObject({ id: 1, fault: FAULT.forbiddenValue });
  });

  test('MessagePack: invalid UTF-8 in each kind of field is refused as that field', () => {
    for (const [op, field] of [
      ['decide', 'profile'],
      ['decide', 'slot'],
      ['track', 'messageId'],
    ] as const) {
      const message: Record<string, unknown> = { id: 1, op, profile: 'p', event: 'e' };
      message[field] = 'QQQQ';
      const frame = Buffer.from(encode('msgpack', message));
      frame[frame.indexOf('QQQQ') + 1] = 0xff;
      const { refusals } = decode('msgpack', frame);
      expect(refusals[0]?.message).toBe(`${op}.${field}: expected valid UTF-8, got a string that is not`);
    }
  });

  test('MessagePack: safe 64-bit integers and whole floats count as integers', () => {
    const frame = (...value: number[]): Uint8Array =>
      Uint8Array.from([0x82, 0xa2, 0x69, 0x64, ...value, 0xa2, 0x6f, 0x70, ...ping]);
    expect(decode('msgpack', frame(0xcf, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff)).requests[0]?.id).toBe(4294967295);
    expect(decode('msgpack', frame(0xd3, 0, 0, 0, 0, 0, 0, 0, 7)).requests[0]?.id).toBe(7);
    expect(decode('msgpack', frame(0xcb, 0x40, 0x14, 0, 0, 0, 0, 0, 0)).requests[0]?.id).toBe(5);
    expect(decode('msgpack', frame(0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0)).requests[0]?.id).toBe(0);
  });

  test('MessagePack: refused whole when structure is broken: unused byte, false counts, bombs', () => {
    for (const frame of [
      one(0xc1),
      one(0xdd, 0xff, 0xff, 0xff, 0xff),
      one(0xdf, 0xff, 0xff, 0xff, 0xff),
      one(0xdb, 0xff, 0xff, 0xff, 0xff),
      Uint8Array.from([0xdd, 0xff, 0xff, 0xff, 0xff]),
      new Uint8Array(72 * 1024).fill(0x91),
      new Uint8Array(64 * 1024).fill(0x91),
      new Uint8Array(64 * 1024).fill(0x81),
    ]) {
      expect(decode('msgpack', frame)).toEqual({ isDecoded: false, requests: [], refusals: [] });
    }
  });

  test('MessagePack: one refusal when 60 KB of arrays nest well-formed', () => {
    const frame = new Uint8Array(60 * 1024).fill(0x91);
    frame[frame.length - 1] = 0xc0;
    const { isDecoded, refusals } = decode('msgpack', frame);
    expect(isDecoded).toBe(true);
    expect(refusals).toHaveLength(1);
  });

  const json = (text: string): Uint8Array => new TextEncoder().encode(text);
  test.each([
    ['duplicate field', '{"id":1,"op":"ping","op":"ping"}', FAULT.forbiddenValue],
    ['duplicate nested key', '{"id":1,"op":"ping","x":{"a":1,"\\u0061":2}}', FAULT.forbiddenValue],
    ['duplicate unknown field', '{"id":1,"op":"ping","x":1,"x":1}', FAULT.forbiddenValue],
    ['unsafe integer', '{"id":1,"op":"ping","x":9007199254740993}', FAULT.forbiddenValue],
    ['infinite number', '{"id":1,"op":"ping","x":1e999}', FAULT.forbiddenValue],
    ['endless number', `{"id":1,"op":"ping","x":${'1'.repeat(2000)}}`, FAULT.forbiddenValue],
    ['lone surrogate', '{"id":1,"op":"ping","x":"\\ud800"}', FAULT.invalidField],
    ['lone surrogate as a key', '{"id":1,"op":"ping","x":{"\\udc00":1}}', FAULT.invalidField],
    ['surrogates in the wrong order', '{"id":1,"op":"ping","x":"\\udc00\\ud800"}', FAULT.invalidField],
  ])('JSON: that request alone is refused when it holds a %s', (_title, text, fault) => {
    const { isDecoded, requests, refusals } = decode('json', json(`[${text},{"id":2,"op":"ping"}]`));
    expect(isDecoded).toBe(true);
    expect(requests.map((request) => request.id)).toEqual([2]);
    expect(refusals.map((refusal) => [refusal.id, refusal.fault])).toEqual([[1, fault]]);
  });

  test.each([
    ' ',
    '{',
    '{"id":1,"op":"ping",}',
    '{"id":1 "op":"ping"}',
    '{"id":1,"op":"ping"',
    '[{"id":1,"op":"ping"},]',
    '[{"id":1,"op":"ping"}',
    '{"id":01,"op":"ping"}',
    '{"id":1.,"op":"ping"}',
    '{"id":1e,"op":"ping"}',
    '{"id":-,"op":"ping"}',
    '{"id":+1,"op":"ping"}',
    '{"id":1,"op":"ping","x":tru}',
    '{"id":1,"op":"ping","x":nul}',
    '{"id":1,"op":"ping","x":NaN}',
    "{'id':1}",
    '{"id":1,"op":"pi\nng"}',
    '{"id":1,"op":"\\x"}',
    '{"id":1,"op":"\\u12"}',
    '{"id":1,"op":"ping"}{"id":2,"op":"ping"}',
    '[1,2',
    '[}',
    '{]',
  ])('JSON: refused whole when the text is %j', (text) => {
    expect(decode('json', json(text))).toEqual({ isDecoded: false, requests: [], refusals: [] });
  });

  test('JSON: refused whole when any byte is not UTF-8, in a text or outside', () => {
    for (const bytes of [
      [...json('{"id":1,"op":"ping","x":"'), 0xff, ...json('"}')],
      [...json('{"id":1,"op":"ping","x":"\\n'), 0xc0, 0xaf, ...json('"}')],
      [...json('[{"id":1,"op":"ping"},{"id":2,"x":"'), 0xed, 0xa0, 0x80, ...json('"}]')],
      [0xef, 0xbb, 0xbf, ...json('{"id":1,"op":"ping"}')],
    ]) {
      expect(decode('json', Uint8Array.from(bytes))).toEqual({ isDecoded: false, requests: [], refusals: [] });
    }
  });

  test('JSON: space, escapes and exponents mean what they say when they are unusual', () => {
    const text =
      ' {\t"\\u0069d" : 1e0 ,\r\n"op":"de\\u0063ide", "profile":"\\u00e9\\ud83d\\ude00\\/", "slot":"\\"a\\\\" } ';
    const { requests } = decode('json', json(text));
    expect(requests[0]).toMatchObject({ id: 1, op: OP.decide, profile: 'é😀/', slot: '"a\\' });
  });

  test('JSON: refused, not overflowed, when 60 KB of arrays nest', () => {
    const text = `{"id":1,"op":"ping","x":${'['.repeat(30000)}${']'.repeat(30000)}}`;
    expect(decode('json', json(text)).refusals[0]).toMatchObject({ id: 1, fault: FAULT.tooLarge });
    expect(decode('json', json('['.repeat(65536))).isDecoded).toBe(false);
  });
});

test('encodings: equal requests when the message is any plain one', () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
  const scalar = fc.oneof(
    text,
    fc.boolean(),
    fc.constant(null),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
  );
  const plain = fc.dictionary(
    fc.oneof(text, fc.constantFrom('__proto__', 'constructor')),
    fc.oneof(scalar, fc.array(scalar, { maxLength: 4 })),
    { maxKeys: 5 },
  );
  const message = fc.record(
    {
      id: fc.nat(),
      op: fc.constantFrom('decide', 'track'),
      profile: text,
      event: text,
      slot: text,
      sku: text,
      messageId: text,
      count: fc.integer({ min: 1, max: 32 }),
      context: plain,
      properties: plain,
      actions: fc.array(text, { maxLength: 4 }),
      explain: fc.boolean(),
      atEpochMillis: fc.maxSafeNat(),
    },
    { requiredKeys: ['id', 'op', 'profile', 'event'] },
  );
  fc.assert(
    fc.property(message, (value) => {
      // JSON has no -0; msgpackr writes it as a float.
      const clean = JSON.parse(JSON.stringify(value));
      const binary = decode('msgpack', encode('msgpack', clean));
      const textual = decode('json', encode('json', clean));
      expect(binary.refusals).toEqual(textual.refusals);
      expect(binary.requests.map(meaning)).toEqual(textual.requests.map(meaning));
    }),
    { numRuns: 300 },
  );
});

test('__proto__: an ordinary key without effect when it is in a map', () => {
  const message = '{"id":1,"op":"identify","profile":"p","traits":{"__proto__":{"polluted":1},"constructor":2}}';
  const { requests } = decode('json', new TextEncoder().encode(message));
  const traits = requests[0]?.traits;
  expect(Object.keys(traits ?? {})).toEqual(['__proto__', 'constructor']);
  expect(({} as { polluted?: number }).polluted).toBeUndefined();
});
