/** Each reply's shape, in both encodings, read back by msgpackr and by the platform's JSON. */
import { Unpackr } from 'msgpackr';
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../proto/limits.ts';
import type { DecideReply, Plain } from '../../proto/messages.ts';
import {
  createWriter,
  type DocumentWriter,
  decodeReply,
  writeDecide,
  writeError,
  writeHello,
  writePing,
  writeProfile,
  writeState,
  writeTrack,
} from '../../proto/reply.ts';
import { FAULT } from '../../proto/statuses.ts';

const unpackr = new Unpackr({ useRecords: false });
const ok = { id: 7, ok: true, serverMicros: 12.5 } as const;
const decided: DecideReply = {
  ...ok,
  decisionId: 'AbCdEfGhIjKlMnOpQrSt',
  stateSeq: 4294967296,
  catalogVersion: 'v1',
  modelVersion: 3,
  actions: [
    {
      action: 'spring',
      creative: 'hero',
      channel: null,
      score: 0.25,
      responseProbability: 0.5,
      value: 12,
      propensity: 0.875,
      explored: true,
      leaseExpiresAtEpochMillis: 1763843794000,
    },
    {
      action: 'other',
      creative: null,
      channel: 'web',
      score: 0,
      responseProbability: 0,
      value: 0,
      propensity: 1,
      explored: false,
      leaseExpiresAtEpochMillis: null,
    },
  ],
  price: {
    sku: 'S',
    currency: 'EUR',
    listMinor: 1999,
    priceMinor: 1799,
    maskedPriceMinor: 1899,
    personalised: true,
    propensity: 0.25,
    promotion: null,
    disclosure: 'persönlich',
    quoteId: null,
    expiresAtEpochMillis: 1763843794000,
    signature: 'sig',
  },
  sendTime: {
    channel: 'push',
    atEpochMillis: 1763843794000,
    local: '2025-11-22T20:36:34+01:00',
    timeZone: 'Europe/Berlin',
    windowMinutes: 60,
    probability: 0.5,
    nowProbability: 0.25,
  },
  fallback: false,
  explain: {
    counts: { candidates: 3, eligible: 2, allowed: 2, scored: 2 },
    chosen: [{ action: 'spring', contributions: [{ feature: 'f', value: 1, weight: 0.5, effect: 0.5 }] }],
    rejected: [
      { action: 'x', stage: 'cap', rule: 'daily', value: 3, threshold: 3, eligibleAgainAtEpochMillis: 1763843794000 },
      {
        action: 'y',
        stage: 'eligibility',
        rule: 'age',
        value: null,
        threshold: 'adult',
        eligibleAgainAtEpochMillis: null,
      },
    ],
    price: { demand: [1, 2] },
    sendTime: { hour: 20 },
  },
};
const minimal: DecideReply = {
  ...ok,
  decisionId: null,
  stateSeq: 0,
  catalogVersion: '',
  modelVersion: 0,
  actions: [],
  fallback: false,
};

describe.each(['msgpack', 'json'] as const)('replies (%s)', (encoding) => {
  const writer = createWriter(encoding);

  function through(write: (writer: DocumentWriter) => void): unknown {
    writer.reset();
    write(writer);
    const bytes = writer.finish();
    expect(bytes.length).toBe(writer.length);
    const decoded = encoding === 'msgpack' ? unpackr.unpack(bytes) : JSON.parse(new TextDecoder().decode(bytes));
    expect(decodeReply(encoding, bytes)).toEqual(decoded);
    return decoded;
  }

  test('decide: every field arrives when all are given, and none when optional ones are undefined', () => {
    expect(through((to) => writeDecide(to, decided))).toEqual(decided);
    expect(through((to) => writeDecide(to, minimal))).toEqual(minimal);
    expect(Object.keys(through((to) => writeDecide(to, minimal)) as object)).not.toContain('price');
  });

  test('other operations: every field arrives', () => {
    const hello = {
      ...ok,
      server: 'opportune/0.1.0',
      protocol: 1,
      limits: LIMITS,
      partitions: 256,
      shards: [{ url: 'ws://127.0.0.1:7400', partitions: [0, 1, 255] }],
      epoch: 1,
      timeEpochMillis: 1763843794000,
    };
    expect(through((to) => writeHello(to, hello))).toEqual(hello);
    const ping = { ...ok, timeEpochMillis: 1 };
    expect(through((to) => writePing(to, ping))).toEqual(ping);
    const track = { ...ok, stateSeq: 1, durability: 'committed', duplicate: true } as const;
    expect(through((to) => writeTrack(to, track))).toEqual(track);
    expect(through((to) => writeState(to, { ...ok, stateSeq: 2 }))).toEqual({ ...ok, stateSeq: 2 });
    const profile = { ...ok, stateSeq: 3, record: { traits: { a: ['b', null, 1.5] } } };
    expect(through((to) => writeProfile(to, profile))).toEqual(profile);
  });

  test('error: the fault’s own hint unless another is given, no field when it is 0', () => {
    expect(through((to) => writeError(to, null, FAULT.invalidId, 'm'))).toEqual({
      id: null,
      ok: false,
      status: 'INVALID_ARGUMENT',
      code: 1002,
      message: 'm',
      retry: 'never',
    });
    expect(through((to) => writeError(to, 5, FAULT.mailboxFull, 'm'))).toMatchObject({ id: 5, retryAfterMillis: 50 });
    expect(through((to) => writeError(to, 5, FAULT.mailboxFull, 'm', 9))).toMatchObject({ retryAfterMillis: 9 });
    expect(through((to) => writeError(to, 5, FAULT.mailboxFull, 'm', 0))).not.toHaveProperty('retryAfterMillis');
  });

  test('batch: several replies in one array, written one after the other', () => {
    const value = through((to) => {
      to.beginArray();
      writePing(to, { ...ok, timeEpochMillis: 1 });
      writeError(to, 8, FAULT.unimplemented, 'm');
      to.endArray();
    });
    expect(value).toMatchObject([{ id: 7 }, { id: 8, code: 1801 }]);
  });

  test('writer: reusable after an unfinished document, and grows past its first buffer', () => {
    writer.reset();
    writer.beginMap();
    writer.key('half');
    expect(through((to) => to.plain({ long: 'x'.repeat(20_000), list: Array<number>(5000).fill(1) }))).toMatchObject({
      long: 'x'.repeat(20_000),
    });
  });

  test('decodeReply: SyntaxError when the frame is cut, followed by more, or empty', () => {
    writer.reset();
    writePing(writer, { ...ok, timeEpochMillis: 1 });
    const bytes = writer.finish().slice();
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeReply(encoding, bytes.subarray(0, length))).toThrow(SyntaxError);
    }
    expect(() => decodeReply(encoding, Uint8Array.from([...bytes, 0x31]))).toThrow(SyntaxError);
  });

  test('keys: written right when there are more than the cache holds', () => {
    const names = Array.from({ length: 700 }, (_, index) => `name${index}é`);
    const expected: Record<string, Plain> = {};
    for (const name of names) expected[name] = 1;
    const value = through((to) => {
      to.beginMap();
      for (const name of names) {
        to.key(name);
        to.number(1);
      }
      to.endMap();
    });
    expect(value).toEqual(expected);
  });
});
