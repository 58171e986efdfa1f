/**
 * Well-formed and odd requests drawn by fast-check, as MessagePack and as JSON, and the words that matter in
 * them: what the codec and session targets begin with.
 */
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { bytesOf } from '../fuzz-target.ts';

const packr = new Packr({ useRecords: false, variableMapSize: true });

/** Bytes of a value in plain MessagePack, by a library that is not ours. */
export function pack(value: unknown): Uint8Array {
  return Uint8Array.from(packr.pack(value));
}

const FIELD_WORDS = [
  'id',
  'op',
  'deadlineMillis',
  'traceparent',
  'profile',
  'slot',
  'count',
  'want',
  'actions',
  'sku',
  'channel',
  'context',
  'explain',
  'dryRun',
  'minStateSeq',
  'durability',
  'event',
  'messageId',
  'atEpochMillis',
  'decisionId',
  'quoteId',
  'properties',
  'traits',
  'client',
  'version',
  'from',
  'to',
  'purposes',
  'decide',
  'events',
  'proof',
  'granted',
  'quietHours',
  'mutedUntilEpochMillis',
  'preference',
  'contact',
  'contact.app',
  'processing',
  'tcf',
  'gpp',
];
const VALUE_WORDS = [
  'hello',
  'ping',
  'track',
  'identify',
  'decide',
  'confirm',
  'release',
  'profile',
  'alias',
  'consent',
  'whatIf',
  'export',
  'erase',
  'subscribe',
  'applied',
  'committed',
  'replicated',
  'action',
  'price',
  'sendTime',
  'home',
  'view',
  'purchase',
  'click',
  'revenueMinor',
  'currency',
  'items',
  'quantity',
  'priceMinor',
  'timeZone',
  'Europe/Paris',
  'EUR',
  'ann',
  'age',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '0',
  '-1',
  '4294967295',
  '',
];

const word = fc.constantFrom(...VALUE_WORDS, ...FIELD_WORDS);
const number = fc.oneof(
  fc.integer({ min: -40, max: 300 }),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(0, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53),
);
const scalar = fc.oneof(word, fc.string({ unit: 'grapheme', maxLength: 40 }), number, fc.boolean(), fc.constant(null));
const map = fc.dictionary(word, fc.oneof(scalar, fc.array(scalar, { maxLength: 4 }), fc.object({ maxDepth: 4 })), {
  maxKeys: 8,
});
const request = fc.record(
  {
    id: fc.oneof({ weight: 9, arbitrary: fc.nat() }, scalar),
    op: fc.oneof(
      {
        weight: 9,
        arbitrary: fc.constantFrom('decide', 'track', 'identify', 'confirm', 'release', 'ping', 'hello', 'profile'),
      },
      scalar,
    ),
    profile: fc.oneof({ weight: 9, arbitrary: fc.constantFrom('ann', 'bob', 'kunde-Ö') }, scalar),
    deadlineMillis: fc.integer({ min: 0, max: 60_001 }),
    traceparent: fc.constant('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
    slot: word,
    count: fc.integer({ min: 0, max: 33 }),
    want: fc.oneof(fc.subarray(['action', 'price', 'sendTime']), scalar),
    actions: fc.array(word, { maxLength: 4 }),
    sku: word,
    channel: word,
    context: map,
    explain: fc.boolean(),
    dryRun: fc.boolean(),
    minStateSeq: number,
    durability: fc.constantFrom('applied', 'committed', 'replicated'),
    event: word,
    messageId: fc.string({ maxLength: 40 }),
    atEpochMillis: number,
    decisionId: fc.string({ maxLength: 22 }),
    quoteId: scalar,
    properties: map,
    traits: map,
    client: word,
    version: scalar,
    odd: scalar,
  },
  { requiredKeys: ['id', 'op', 'profile'] },
);
const frame = fc.oneof({ weight: 3, arbitrary: request }, fc.array(request, { maxLength: 3 }), scalar);

/** @param count how many to draw. */
export function drawFrames(seed: number, count: number): unknown[] {
  return fc.sample(frame, { seed, numRuns: count });
}

/** Frames that only a hand can make: extensions, 64 bits, doubled keys, lengths that are not there, deep nests. */
export const ODD_MSGPACK: readonly string[] = [
  '83a269644da26f70a470696e67a17ad6ff00000000',
  '83a269644da26f70a470696e67a17acfffffffffffffffff',
  '83a269644da26f70a470696e67a17ad38000000000000000',
  '83a269644da26f70a470696e67a17acb7ff8000000000000',
  '83a269644da26f70a470696e67a2696405',
  '83a269644da26f70a470696e67a17ac403010203',
  '83a269644da26f70a470696e67a17ad9ff41',
  '83a269644da26f70a470696e67a17addffffffff',
  '83a269644da26f70a470696e67a17adfffffffff',
  '83a269644da26f70a470696e67a17ac9ffffffff01',
  '83a269644da26f70a470696e67a17a9191919191919191919191',
  '83a269644da26f70a470696e67a17a82a16101a16102',
  '83a269644da26f70a470696e67a2ff7a01',
  'd47240',
  'd4',
  'c1',
  'dc',
  'dd00000000',
  '90',
  '80',
  '92818080',
];

export const ODD_JSON: readonly string[] = [
  '{"id":7,"op":"ping","z":"\\ud800"}',
  '{"id":7,"op":"ping","z":1e999}',
  '{"id":7,"op":"ping","z":9007199254740993}',
  '{"id":7,"op":"ping","id":7}',
  '{"id":7,"op":"ping","z":{"__proto__":{"a":1},"constructor":2}}',
  '{"id":7,"op":"ping","z":[[[[[[[[[[1]]]]]]]]]]}',
  ' [ ] ',
  '[[]]',
  '{}',
  '[{"id":1,"op":"ping"},{"id":2}]',
  '-0',
  '1.0e+5',
  '"\\u00e9\\n"',
  'tru',
  '[1,]',
  '{"a"}',
  '"',
  '\ufeff{}',
];

export const MSGPACK_DICTIONARY: readonly Uint8Array[] = [
  ...[...FIELD_WORDS, ...VALUE_WORDS].map((text) => pack(text)),
  ...[0, 1, -1, 31, 127, 128, 255, 256, 65_536, 2 ** 32, 1.5].map((value) => pack(value)),
  ...[
    'c0',
    'c2',
    'c3',
    'd6ff',
    'd47240',
    'dd',
    'df',
    'dbffffffff',
    'cfffffffffffffffff',
    'cb7ff8000000000000',
    '81',
    '91',
  ].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex'))),
];

export const JSON_DICTIONARY: readonly Uint8Array[] = bytesOf([
  ...[...FIELD_WORDS, ...VALUE_WORDS].map((text) => JSON.stringify(text)),
  ...[
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    '\\u',
    '\\ud83d\\ude00',
    '\\udc00',
    'true',
    'false',
    'null',
    '-',
    '.',
    'e',
    '1e308',
  ],
]);
