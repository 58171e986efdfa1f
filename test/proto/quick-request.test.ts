/**
 * The quick reader held to the general one: over ordinary, odd, mutated and random frames both decoders
 * deliver the same requests and refusals with the same words, and ordinary ones do go the quick way.
 */
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { expect, test } from 'vitest';
import { MessagePackReader } from '../../proto/messagepack.ts';
import type { Properties } from '../../proto/messages.ts';
import { QuickRequestReader } from '../../proto/quick-request.ts';
import { FrameDecoder, Request } from '../../proto/request.ts';
import { coldCodec } from '../../workers/cold-codec.ts';

const packr = new Packr({ useRecords: false, variableMapSize: true });
const quick = new FrameDecoder('msgpack');
const plain = new FrameDecoder('msgpack', false);

/** Everything a sink is told, copied while it is valid, key order of maps included. */
function record(decoder: FrameDecoder, frame: Uint8Array): unknown[] {
  const told: unknown[] = [];
  const isDecoded = decoder.decode(frame, {
    onRequest: (request) => {
      const { context, traits, properties } = request;
      expectSameMap(context, frame.slice(request.contextStart, request.contextEnd));
      expectSameMap(properties, frame.slice(request.propertiesStart, request.propertiesEnd));
      told.push({
        ...request,
        maps: [context, traits, properties].map((map) => ({
          json: JSON.stringify(map),
          // JSON has no -0 and no prototypes.
          values: map === null ? null : Object.values(map).map((value) => structuredClone(value)),
          prototype: map === null ? null : Object.getPrototypeOf(map),
        })),
        context: null,
        traits: null,
        properties: null,
        // Which buffer holds the key is the decoder's business.
        keyBytes: null,
        keyStart: null,
        // Only the quick reader notes where these stand.
        contextStart: 0,
        contextEnd: 0,
        propertiesStart: 0,
        propertiesEnd: 0,
        profile: request.keyLength === 0 ? '' : request.profileKey(),
        raw: [...request.copyRaw()],
      });
    },
    onInvalid: (id, fault, message) => told.push({ id, fault, message }),
  });
  return [...told, isDecoded];
}

/** The bytes noted for a map, which the journal keeps, read back as the journal is: they mean the map. */
function expectSameMap(map: Properties | null, bytes: Uint8Array): void {
  if (bytes.length === 0) return;
  // Two things the journal's reader does to names are its own: no prototype is null, and `__proto__` is another name.
  const read = JSON.stringify(coldCodec.decodeProperties(bytes)).replaceAll('"__proto_":', '"__proto__":');
  expect(read).toBe(JSON.stringify(map));
}

function expectSame(frame: Uint8Array): void {
  // Twice: the second time texts and shapes are known.
  for (let time = 0; time < 2; time++) expect(record(quick, frame)).toEqual(record(plain, frame));
}

const word = fc.constantFrom(
  '',
  'a',
  'home',
  'device',
  'mobile',
  'basketItems',
  'ä',
  '😀',
  '__proto__',
  '0',
  'x'.repeat(33),
);
const number = fc.oneof(
  fc.integer({ min: -40, max: 300 }),
  fc.maxSafeInteger(),
  fc.double(),
  fc.constantFrom(0, -0, 2 ** 31, 2 ** 32, 2 ** 32 - 1, 2 ** 53, -(2 ** 53), Number.NaN, Number.POSITIVE_INFINITY),
);
const scalar = fc.oneof(word, fc.string({ unit: 'grapheme', maxLength: 300 }), number, fc.boolean(), fc.constant(null));
const map = fc.dictionary(
  word,
  fc.oneof({ weight: 4, arbitrary: scalar }, fc.array(scalar, { maxLength: 3 }), fc.object({ maxDepth: 9 })),
  {
    maxKeys: 40,
  },
);
const flatMap = fc.dictionary(fc.constantFrom('device', 'page', 'basketItems', 'total'), scalar);
const id = fc.nat();
const field = {
  id: fc.oneof({ weight: 9, arbitrary: id }, scalar),
  op: fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom('decide', 'track', 'identify', 'confirm', 'ping', 'hello') },
    scalar,
  ),
  deadlineMillis: fc.oneof(fc.integer({ min: 1, max: 60_000 }), scalar),
  traceparent: fc.oneof(fc.constant('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'), scalar),
  profile: fc.oneof({ weight: 9, arbitrary: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }) }, scalar),
  slot: fc.oneof(word, scalar),
  count: fc.oneof(fc.integer({ min: 1, max: 32 }), number),
  want: fc.oneof(fc.subarray(['action', 'price', 'sendTime'], { minLength: 1 }), fc.array(word), scalar),
  actions: fc.oneof(fc.array(word, { maxLength: 40 }), scalar),
  sku: scalar,
  channel: word,
  context: fc.oneof(map, flatMap, scalar),
  explain: fc.oneof(fc.boolean(), scalar),
  dryRun: fc.oneof(fc.boolean(), scalar),
  minStateSeq: number,
  durability: fc.oneof(fc.constantFrom('applied', 'committed', 'replicated'), scalar),
  event: fc.oneof(word, scalar),
  messageId: fc.string({ maxLength: 300 }),
  atEpochMillis: number,
  decisionId: fc.oneof(fc.string({ maxLength: 30 }), scalar),
  quoteId: scalar,
  properties: fc.oneof(map, flatMap, scalar),
  traits: fc.oneof(map, flatMap),
  client: word,
  version: scalar,
  unheardOf: scalar,
};
/** A request of any fields in any order, most with id, operation and profile. */
const request = fc
  .tuple(
    fc.record(field, { requiredKeys: ['id', 'op', 'profile'] }),
    fc.array(fc.nat(), { minLength: 30, maxLength: 30 }),
  )
  .map(([fields, order]) => {
    const entries = Object.entries(fields);
    entries.sort((left, right) => (order[left[0].length] ?? 0) - (order[right[0].length] ?? 0));
    return Object.fromEntries(entries);
  });
const frame = fc
  .oneof({ weight: 3, arbitrary: request }, fc.array(request, { maxLength: 4 }), scalar)
  .map((value) => Uint8Array.from(packr.pack(value)));

test('quick reader: same requests and refusals when the frame is any well-formed one', () => {
  fc.assert(fc.property(frame, expectSame), { numRuns: 1500 });
});

test('quick reader: same requests and refusals when bytes are changed, lost, put in or cut off', () => {
  const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  const edit = fc.tuple(fc.constantFrom('change', 'lose', 'insert', 'cut'), place, fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(frame, fc.array(edit, { minLength: 1, maxLength: 3 }), (bytes, edits) => {
      const mutated = [...bytes];
      for (const [kind, where, byte] of edits) {
        const at = Math.floor(where * mutated.length);
        if (kind === 'change') mutated[at] = byte;
        else if (kind === 'lose') mutated.splice(at, 1);
        else if (kind === 'insert') mutated.splice(at, 0, byte);
        else mutated.length = at;
      }
      expectSame(Uint8Array.from(mutated));
    }),
    { numRuns: 3000 },
  );
});

test('quick reader: same requests and refusals when the bytes are random', () => {
  const heads = fc.constantFrom(
    0x81,
    0x82,
    0xa2,
    0xc0,
    0xc1,
    0xc4,
    0xca,
    0xcb,
    0xcf,
    0xd3,
    0xd4,
    0xd9,
    0xdc,
    0xde,
    0xdf,
  );
  const bytes = fc.array(fc.oneof(heads, fc.integer({ min: 0, max: 255 })), { maxLength: 64 });
  fc.assert(
    fc.property(bytes, (list) => expectSame(Uint8Array.from(list))),
    { numRuns: 2000 },
  );
});

const ordinary = {
  decide: {
    id: 4_000_000_000,
    op: 'decide',
    profile: 'p-0000001',
    slot: 'home',
    want: ['action', 'price', 'sendTime'],
    sku: 'bench-product',
    context: { device: 'ios', basketItems: 3, temperature: 14.5, isMember: true, campaign: null, Größe: 'XL' },
  },
  track: {
    id: 1,
    op: 'track',
    profile: 'kunde-Ö',
    event: 'purchase',
    messageId: 'm-00000001',
    atEpochMillis: 1_795_000_000_000,
    properties: { revenueMinor: 1999, items: [{ sku: 'a', quantity: 2 }] },
    durability: 'applied',
  },
  identify: { id: 2, op: 'identify', profile: 'p', traits: { city: 'Lisbon', age: 41 } },
  confirm: { id: 3, op: 'confirm', decisionId: 'AbCdEfGhIjKlMnOpQrSt', deadlineMillis: 50 },
};

test.each(Object.entries(ordinary))('quick reader: reads to its end an ordinary %s', (_name, message) => {
  const bytes = Uint8Array.from(packr.pack(message));
  const general = new MessagePackReader({
    nestingMax: 8,
    containerItemsMax: 1024,
    stringBytesMax: 4096,
    magnitudeMax: Number.MAX_SAFE_INTEGER,
  });
  general.open(bytes);
  const reader = new QuickRequestReader(general);
  reader.load(bytes);
  expect(reader.read(bytes, 0, new Request())).toBe(bytes.length);
  expectSame(bytes);
});

test('quick reader: a map of the same keys is the same object, with the values of the newer request', () => {
  const seen: unknown[] = [];
  const sink = {
    onRequest: (one: Request): void => {
      seen.push(one.context, one.context?.page);
    },
    onInvalid: (): void => expect.fail('a valid request was refused'),
  };
  const decoder = new FrameDecoder('msgpack');
  for (const page of ['home', 'search', 'basket']) {
    decoder.decode(packr.pack({ id: 1, op: 'decide', profile: 'p', context: { page, device: 'ios' } }), sink);
  }
  expect(seen[2]).toBe(seen[4]);
  expect([seen[1], seen[3], seen[5]]).toEqual(['home', 'search', 'basket']);
});

test('quick reader: a text is validated again when another took its place in the cache', () => {
  const good = Uint8Array.from(packr.pack({ id: 1, op: 'decide', profile: 'p', slot: 'hello' }));
  const bad = good.slice();
  bad[bad.length - 1] = 0xff;
  for (const bytes of [good, bad, good, bad]) expectSame(bytes);
  expect(record(quick, bad)).toMatchObject([{ id: 1 }, true]);
});
