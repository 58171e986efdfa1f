/**
 * The wire: decide and track requests decoded, a decide reply with action, price and send-time and the
 * small replies encoded. Requests are the cycle of a load run, eight contexts in turn: texts and shapes
 * are known, values change, as for a server whose clients all ask alike. The reply is always one.
 */
import type { DecideReply, StateReply, TrackReply } from '../../proto/messages.ts';
import { createWriter, type DocumentWriter, writeDecide, writeState, writeTrack } from '../../proto/reply.ts';
import { FrameDecoder, type Request } from '../../proto/request.ts';
import { loadRequests } from '../load-requests.ts';
import type { MicroCase } from './micro-case.ts';

function payloads(scenario: 'decide' | 'track'): readonly Uint8Array[] {
  const { cycle } = loadRequests({
    scenario,
    slot: 'home',
    sku: 'bench-product',
    actions: [],
    context: null,
    traits: null,
    durability: null,
    batchSize: 1,
    decisionIdBytes: 0,
    runTag: 'micro',
  });
  return cycle.map((template) => template.bytes.slice(template.bytes.length - template.payloadBytes));
}

const REPLY: DecideReply = {
  id: 70_000,
  ok: true,
  serverMicros: 17.25,
  decisionId: 'b1gH2kQ9xWz0aR5t',
  stateSeq: 41,
  catalogVersion: '0123456789ab',
  modelVersion: 12_345,
  actions: [
    {
      action: 'offer-07',
      creative: 'a',
      channel: 'app',
      score: 21.84375,
      responseProbability: 0.0521,
      value: 420,
      propensity: 0.0713,
      explored: false,
      leaseExpiresAtEpochMillis: 1_795_000_120_000,
    },
  ],
  price: {
    sku: 'bench-product',
    currency: 'EUR',
    listMinor: 4900,
    priceMinor: 4700,
    maskedPriceMinor: 4700,
    personalised: false,
    propensity: 0.25,
    promotion: null,
    disclosure: 'Price set automatically.',
    quoteId: 'q0123456789abcdef',
    expiresAtEpochMillis: 1_795_000_900_000,
    signature: 'mJ0bZ0h5T3lQd0pXc1hRZ2hVd2tYcUt0cnY5b0FzZGY',
  },
  sendTime: {
    channel: 'app',
    atEpochMillis: 1_795_020_000_000,
    local: '2026-11-18T20:00:00+01:00',
    timeZone: 'Europe/Berlin',
    windowMinutes: 60,
    probability: 0.0731,
    nowProbability: 0.0412,
  },
  fallback: false,
};

const TRACK_REPLY: TrackReply = {
  id: 70_001,
  ok: true,
  serverMicros: 17.25,
  stateSeq: 42,
  durability: 'applied',
  duplicate: false,
};
const CONFIRM_REPLY: StateReply = { id: 70_002, ok: true, serverMicros: 17.25, stateSeq: 43 };

function decodeCase(scenario: 'decide' | 'track'): MicroCase {
  return {
    name: `codec: decode a ${scenario} request`,
    prepare() {
      const decoder = new FrameDecoder('msgpack');
      const frames = payloads(scenario);
      let turn = 0;
      let seen = 0;
      const sink = {
        onRequest(request: Request): void {
          seen += request.id + request.keyLength;
        },
        onInvalid(_id: number | null, _fault: unknown, message: string): void {
          throw new Error(message);
        },
      };
      return () => {
        decoder.decode(frames[turn++ % frames.length] as Uint8Array, sink); // in range: modulo
        return seen;
      };
    },
  };
}

function encodeCase(what: string, write: (writer: DocumentWriter) => void): MicroCase {
  return {
    name: `codec: encode a ${what} reply`,
    prepare() {
      const writer = createWriter('msgpack');
      return () => {
        writer.reset();
        write(writer);
        return writer.finish().length;
      };
    },
  };
}

export const CODEC_CASES: readonly MicroCase[] = [
  decodeCase('decide'),
  encodeCase('decide', (writer) => writeDecide(writer, REPLY)),
  decodeCase('track'),
  encodeCase('track', (writer) => writeTrack(writer, TRACK_REPLY)),
  encodeCase('confirm', (writer) => writeState(writer, CONFIRM_REPLY)),
];
