/**
 * The packed replies held to the plain ones: the same bytes for any outcome, on a writer that grows and
 * on one whose kept texts are warm, and the writer's own calls behind them.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MessagePackWriter, PackedRun } from '../../proto/messagepack-writer.ts';
import type { DecideReply, Explanation, StateReply, TrackReply } from '../../proto/messages.ts';
import { decodeReply, writeDecide, writePlainly, writeState, writeTrack } from '../../proto/reply.ts';

const text = fc.oneof(
  fc.constantFrom(
    '',
    'app',
    'home',
    'offer-07',
    'offer-17',
    'Europe/Berlin',
    'Price set automatically.',
    'persönlich',
    '😀',
    '\ud800',
  ),
  fc.string({ unit: 'grapheme', maxLength: 80 }),
  fc.string({ maxLength: 40 }),
  fc.constant('x'.repeat(70_000)),
);
const number = fc.oneof(
  fc.integer({ min: -200, max: 70_000 }),
  fc.maxSafeInteger(),
  fc.double(),
  fc.constantFrom(0, -0, -32, -33, 127, 128, 255, 256, 65_535, 65_536, -128, -129, -32_768, -32_769),
  fc.constantFrom(
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    -(2 ** 31),
    -(2 ** 31) - 1,
    Number.NaN,
    Number.NEGATIVE_INFINITY,
  ),
);
const orNull = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { nil: null });
const orMissing = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });
const ok = { id: number, ok: fc.constant<true>(true), serverMicros: number };
const action = fc.record({
  action: text,
  creative: orNull(text),
  channel: orNull(text),
  score: number,
  responseProbability: number,
  value: number,
  propensity: number,
  explored: fc.boolean(),
  leaseExpiresAtEpochMillis: orNull(number),
});
const price = fc.record({
  sku: text,
  currency: text,
  listMinor: number,
  priceMinor: number,
  maskedPriceMinor: number,
  personalised: fc.boolean(),
  propensity: orNull(number),
  promotion: orNull(text),
  disclosure: text,
  quoteId: orNull(text),
  expiresAtEpochMillis: number,
  signature: orNull(text),
});
const sendTime = fc.record({
  channel: text,
  atEpochMillis: number,
  local: text,
  timeZone: text,
  windowMinutes: number,
  probability: number,
  nowProbability: number,
});
const explain: fc.Arbitrary<Explanation> = fc.record(
  {
    counts: fc.record({ candidates: number, eligible: number, allowed: number, scored: number }),
    chosen: fc.array(
      fc.record({
        action: text,
        contributions: fc.array(fc.record({ feature: text, value: number, weight: number, effect: number }), {
          maxLength: 20,
        }),
      }),
      { maxLength: 3 },
    ),
    rejected: fc.array(
      fc.record({
        action: text,
        stage: text,
        rule: text,
        value: number,
        threshold: number,
        eligibleAgainAtEpochMillis: orNull(number),
      }),
      { maxLength: 20 },
    ),
    price: fc.dictionary(text, number, { maxKeys: 3 }),
  },
  { requiredKeys: ['counts', 'chosen', 'rejected'] },
);
const decided: fc.Arbitrary<DecideReply> = fc.record({
  ...ok,
  decisionId: orNull(text),
  stateSeq: number,
  catalogVersion: text,
  modelVersion: number,
  actions: fc.array(action, { maxLength: 20 }),
  price: orMissing(price),
  sendTime: orMissing(sendTime),
  fallback: fc.boolean(),
  explain: orMissing(explain),
});
const tracked: fc.Arbitrary<TrackReply> = fc.record({
  ...ok,
  stateSeq: number,
  durability: fc.constantFrom('applied', 'committed', 'replicated'),
  duplicate: fc.boolean(),
});
const stated: fc.Arbitrary<StateReply> = fc.record({ ...ok, stateSeq: number });

const warm = new MessagePackWriter();
const reference = new MessagePackWriter();

/** Bytes of `write` on a writer that has written much, and on one that must grow. */
function expectSame(write: (writer: MessagePackWriter) => void, plainly: (writer: MessagePackWriter) => void): void {
  reference.reset();
  plainly(reference);
  const expected = reference.finish().slice();
  // The second time every short text is kept.
  for (const writer of [warm, new MessagePackWriter(8), warm]) {
    writer.reset();
    write(writer);
    expect(Buffer.compare(writer.finish(), expected)).toBe(0);
  }
}

test('packed decide: the bytes of the plain one when the outcome is any', () => {
  fc.assert(
    fc.property(decided, (reply) => {
      expectSame(
        (writer) => writeDecide(writer, reply),
        (writer) => writePlainly.decide(writer, reply),
      );
    }),
    { numRuns: 400 },
  );
});

test('packed track and state: the bytes of the plain ones when the reply is any', () => {
  fc.assert(
    fc.property(tracked, stated, (track, state) => {
      expectSame(
        (writer) => writeTrack(writer, track),
        (writer) => writePlainly.track(writer, track),
      );
      expectSame(
        (writer) => writeState(writer, state),
        (writer) => writePlainly.state(writer, state),
      );
    }),
    { numRuns: 200 },
  );
});

test('packed replies: each is one item when they stand in an array', () => {
  const state: StateReply = { id: 1, ok: true, serverMicros: 2, stateSeq: 3 };
  warm.reset();
  warm.beginArray();
  writeState(warm, state);
  writeState(warm, state);
  warm.endArray();
  expect(decodeReply('msgpack', warm.finish())).toEqual([state, state]);
});

test('packed texts: right when different texts take each other’s place', () => {
  const run = new PackedRun('key');
  // Far more texts than places, twice over, alike in length and ends.
  const texts = Array.from({ length: 3000 }, (_, index) => `text-${index}-text`);
  for (const value of [...texts, ...texts]) {
    warm.reset();
    warm.packMap(1);
    warm.packRecurring(run, value);
    expect(decodeReply('msgpack', warm.finish())).toEqual({ key: value });
  }
});

test('PackedRun: refused when its bytes would be a NaN', () => {
  expect(() => new PackedRun(0, 0, 0, 0, 0, 1, 0xf0, 0x7f)).toThrow(RangeError);
});

test('finish: the same view when the length is the same, a new one when the buffer has grown', () => {
  const writer = new MessagePackWriter(16);
  writer.number(1);
  const first = writer.finish();
  writer.reset();
  writer.number(2);
  expect(writer.finish()).toBe(first);
  writer.reset();
  writer.string('x'.repeat(100));
  writer.reset();
  writer.number(3);
  expect([...writer.finish()]).toEqual([3]);
});
