/**
 * What a client can get wrong, by table: each case has the fault it must meet. A bad request costs only
 * itself; a frame that cannot be decoded closes its connection and no other. On both transports and in
 * both encodings, through a client that sends any bytes.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { LIMITS } from '../../proto/limits.ts';
import { FAULT, type Fault } from '../../proto/statuses.ts';
import { RunningNode } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { type WireEncoding, WirePeer, type WireReply } from './wire-peer.ts';

const catalog = writeCatalog(catalogText());

/** Nested maps, `levels` deep. */
function nest(levels: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < levels; level++) value = { a: value };
  return value;
}

const OTHERS_DECISION = 'AAAAAAAAAAAAAAAAAAAA';

/** Requests that both encodings can say. The id is put in by the test. */
const REQUESTS: readonly (readonly [string, Record<string, unknown>, Fault])[] = [
  ['no operation', {}, FAULT.unknownOperation],
  ['unknown operation', { op: 'decidee' }, FAULT.unknownOperation],
  ['operation of the wrong type', { op: 7 }, FAULT.unknownOperation],
  ['operation named like a member of objects', { op: '__proto__' }, FAULT.unknownOperation],
  ['operation named constructor', { op: 'constructor' }, FAULT.unknownOperation],
  ['profile missing', { op: 'decide' }, FAULT.invalidField],
  ['profile of the wrong type', { op: 'decide', profile: 12 }, FAULT.invalidField],
  ['profile null', { op: 'decide', profile: null }, FAULT.invalidField],
  ['profile empty', { op: 'decide', profile: '' }, FAULT.invalidField],
  ['profile of 257 bytes', { op: 'decide', profile: 'x'.repeat(257) }, FAULT.invalidField],
  ['profile of 129 characters in 258 bytes', { op: 'decide', profile: 'ü'.repeat(129) }, FAULT.invalidField],
  ['event missing', { op: 'track', profile: 'p' }, FAULT.invalidField],
  ['event of the wrong type', { op: 'track', profile: 'p', event: ['view'] }, FAULT.invalidField],
  ['event empty', { op: 'track', profile: 'p', event: '' }, FAULT.invalidField],
  ['event of 257 characters', { op: 'track', profile: 'p', event: 'e'.repeat(257) }, FAULT.invalidField],
  ['messageId of the wrong type', { op: 'track', profile: 'p', event: 'v', messageId: 5 }, FAULT.invalidField],
  [
    'messageId of 257 characters',
    { op: 'track', profile: 'p', event: 'v', messageId: 'm'.repeat(257) },
    FAULT.invalidField,
  ],
  ['instant negative', { op: 'track', profile: 'p', event: 'v', atEpochMillis: -1 }, FAULT.invalidField],
  ['instant with a fraction', { op: 'track', profile: 'p', event: 'v', atEpochMillis: 1.5 }, FAULT.invalidField],
  ['instant huge', { op: 'track', profile: 'p', event: 'v', atEpochMillis: 1e300 }, FAULT.forbiddenValue],
  ['properties no map', { op: 'track', profile: 'p', event: 'v', properties: [1] }, FAULT.invalidField],
  [
    'number huge in properties',
    { op: 'track', profile: 'p', event: 'v', properties: { n: 1e300 } },
    FAULT.forbiddenValue,
  ],
  [
    'string long in properties',
    { op: 'track', profile: 'p', event: 'v', properties: { s: 'x'.repeat(4097) } },
    FAULT.tooLarge,
  ],
  ['properties nested too deep', { op: 'track', profile: 'p', event: 'v', properties: nest(8) }, FAULT.tooLarge],
  [
    'properties with too many entries',
    { op: 'track', profile: 'p', event: 'v', properties: { a: new Array(1025).fill(0) } },
    FAULT.tooLarge,
  ],
  ['durability unknown', { op: 'track', profile: 'p', event: 'v', durability: 'eternal' }, FAULT.invalidField],
  [
    'durability of a member name',
    { op: 'track', profile: 'p', event: 'v', durability: 'toString' },
    FAULT.invalidField,
  ],
  ['decision id of no form', { op: 'track', profile: 'p', event: 'click', decisionId: 'short' }, FAULT.malformedId],
  [
    'decision id with a wrong check',
    { op: 'track', profile: 'p', event: 'click', decisionId: OTHERS_DECISION },
    FAULT.malformedId,
  ],
  ['traits missing', { op: 'identify', profile: 'p' }, FAULT.invalidField],
  ['traits no map', { op: 'identify', profile: 'p', traits: 'gold' }, FAULT.invalidField],
  ['trait unknown', { op: 'identify', profile: 'p', traits: { agee: 1 } }, FAULT.invalidTrait],
  ['trait of the wrong type', { op: 'identify', profile: 'p', traits: { age: 'forty' } }, FAULT.invalidTrait],
  ['trait out of range', { op: 'identify', profile: 'p', traits: { age: 131 } }, FAULT.invalidTrait],
  ['trait with a fraction', { op: 'identify', profile: 'p', traits: { age: 1.5 } }, FAULT.invalidTrait],
  ['trait of no listed value', { op: 'identify', profile: 'p', traits: { loyalty: 'platinum' } }, FAULT.invalidTrait],
  ['trait a map', { op: 'identify', profile: 'p', traits: { age: { a: 1 } } }, FAULT.invalidTrait],
  ['trait named constructor', { op: 'identify', profile: 'p', traits: { constructor: 1 } }, FAULT.invalidTrait],
  ['count zero', { op: 'decide', profile: 'p', count: 0 }, FAULT.invalidField],
  ['count 33', { op: 'decide', profile: 'p', count: 33 }, FAULT.invalidField],
  ['count as text', { op: 'decide', profile: 'p', count: '1' }, FAULT.invalidField],
  ['want unknown', { op: 'decide', profile: 'p', want: ['everything'] }, FAULT.invalidField],
  ['want empty', { op: 'decide', profile: 'p', want: [] }, FAULT.invalidField],
  ['actions with a number', { op: 'decide', profile: 'p', actions: ['plain', 1] }, FAULT.invalidField],
  ['action unknown', { op: 'decide', profile: 'p', actions: ['hasOwnProperty'] }, FAULT.unknownAction],
  ['slot unknown', { op: 'decide', profile: 'p', slot: '__proto__' }, FAULT.unknownSlot],
  ['sku unknown', { op: 'decide', profile: 'p', sku: 'constructor' }, FAULT.unknownSku],
  ['channel unknown', { op: 'decide', profile: 'p', channel: 'toString' }, FAULT.unknownChannel],
  ['context no map', { op: 'decide', profile: 'p', context: 'page' }, FAULT.invalidField],
  ['explain no boolean', { op: 'decide', profile: 'p', explain: 'yes' }, FAULT.invalidField],
  ['dryRun no boolean', { op: 'decide', profile: 'p', dryRun: 1 }, FAULT.invalidField],
  ['minStateSeq negative', { op: 'decide', profile: 'p', minStateSeq: -1 }, FAULT.invalidField],
  ['deadline zero', { op: 'ping', deadlineMillis: 0 }, FAULT.invalidField],
  ['deadline of more than a minute', { op: 'ping', deadlineMillis: 60_001 }, FAULT.invalidField],
  ['confirm without decision', { op: 'confirm' }, FAULT.invalidField],
  ['confirm of a malformed id', { op: 'confirm', decisionId: 'nonsense' }, FAULT.malformedId],
  ['confirm of an id with a wrong check', { op: 'confirm', decisionId: OTHERS_DECISION }, FAULT.malformedId],
  ['release of characters that no id has', { op: 'release', decisionId: '!'.repeat(20) }, FAULT.malformedId],
];

/** Requests as MessagePack bytes that a proper encoder cannot make. The map holds id 77 and operation `track`, then this. */
const BINARY: readonly (readonly [string, string, Fault])[] = [
  ['NaN', 'cb7ff8000000000000', FAULT.forbiddenValue],
  ['infinity', 'cb7ff0000000000000', FAULT.forbiddenValue],
  ['an integer of 64 bits', 'cfffffffffffffffff', FAULT.forbiddenValue],
  ['a timestamp extension', 'd6ff00000000', FAULT.forbiddenValue],
  ["msgpackr's record extension", 'd47240', FAULT.forbiddenValue],
  ['an extension of 2 bytes', 'd5010000', FAULT.forbiddenValue],
  ['a binary', 'c403010203', FAULT.forbiddenValue],
  ['a map with a number as key', '810101', FAULT.forbiddenValue],
  ['a map with a key twice', '82a16101a16102', FAULT.forbiddenValue],
  ['a string that is not UTF-8', 'a2c328', FAULT.invalidField],
  ['a string with a surrogate in UTF-8', 'a3eda080', FAULT.invalidField],
];

/** Frames that no decoder can make sense of: the connection closes with 1007. */
const BROKEN: Readonly<Record<WireEncoding, readonly (readonly [string, string])[]>> = {
  msgpack: [
    ['a truncated map', '82a26964'],
    ['a map that says more than it has', 'df7fffffff'],
    ['an array that says more than it has', 'dd7fffffff'],
    ['a string longer than the frame', 'dbffffffff61'],
    ['bytes behind the value', '80c0'],
    ['the byte that MessagePack never uses', 'c1'],
    ['nothing at all', ''],
  ],
  json: [
    ['a truncated object', Buffer.from('{"id":1').toString('hex')],
    ['no JSON', Buffer.from('hello').toString('hex')],
    ['text behind the value', Buffer.from('{} {}').toString('hex')],
    ['a trailing comma', Buffer.from('{"id":1,}').toString('hex')],
    ['NaN', Buffer.from('{"id":1,"op":"ping","x":NaN}').toString('hex')],
    ['nothing at all', ''],
  ],
};

describe.each(['uws', 'ws'] as const)('bad input over %s', (transport) => {
  let node: RunningNode;
  let bystander: WirePeer;
  beforeAll(async () => {
    node = await RunningNode.start({ transport, catalog });
    bystander = await WirePeer.connect(node.url);
  });
  afterEach(async () => {
    // Another connection and the server as a whole never notice.
    await bystander.must({ op: 'decide', profile: 'bystander' });
  });
  afterAll(async () => {
    expect(await node.metric('opportune_turn_failures_total')).toBe(0);
    expect(await node.metric('opportune_shard_restarts_total')).toBe(0);
    expect(node.logLines().filter((line) => Number(line.level) >= 40)).toEqual([]);
    expect(await node.stop()).toBe(0);
  });

  describe.each(['msgpack', 'json'] as const)('as %s', (encoding) => {
    let peer: WirePeer;
    beforeAll(async () => {
      peer = await WirePeer.connect(node.url, encoding);
    });
    afterAll(async () => {
      // All those bad requests left nothing behind but what the cleaner keeps of refused values: dead letters.
      const { record } = await peer.must({ op: 'profile', profile: 'p' });
      expect(record).toMatchObject({ traits: {}, calendar: { caps: [], leases: [] } });
      const kept = record.timeline.map(({ type, section }: WireReply) => `${type} ${section}`);
      expect(kept.every((entry: string) => entry === 'section letters')).toBe(true);
      peer.close();
    });

    it.each(REQUESTS)('request: %s', async (_, request, fault) => {
      const [before, reply, after] = await peer.askBatch([{ op: 'ping' }, request, { op: 'ping' }]);
      expect(reply).toMatchObject({ ok: false, status: fault.status, code: fault.code, retry: fault.retry });
      expect(reply?.message.length).toBeGreaterThan(5);
      expect(reply?.message.length).toBeLessThan(400);
      expect([before?.ok, after?.ok]).toEqual([true, true]);
    });

    it.each([
      ['missing', { op: 'ping' }],
      ['negative', { id: -1, op: 'ping' }],
      ['a fraction', { id: 1.5, op: 'ping' }],
      ['2^32', { id: 2 ** 32, op: 'ping' }],
      ['text', { id: '1', op: 'ping' }],
      ['null', { id: null, op: 'ping' }],
      ['on its own, no map', 42],
      ['a string instead of a map', 'ping'],
      ['null instead of a map', null],
    ])('id: %s', async (_, request) => {
      const at = peer.received.length;
      peer.send([request]);
      await peer.must({ op: 'ping' });
      expect(peer.received[at]).toMatchObject({ id: null, ok: false, status: 'INVALID_ARGUMENT' });
      expect([FAULT.invalidId.code, FAULT.invalidField.code]).toContain(peer.received[at]?.code);
    });

    it('id: the largest of 32 bits is good', async () => {
      const reply = peer.replyTo(2 ** 32 - 1);
      peer.send({ id: 2 ** 32 - 1, op: 'ping' });
      expect((await reply).ok).toBe(true);
    });

    it.each([1, 256])('profile key: %i bytes are good', async (length) => {
      expect((await peer.must({ op: 'track', profile: 'k'.repeat(length), event: 'view' })).ok).toBe(true);
    });

    it('keys like __proto__ are data and nothing else', async () => {
      const text =
        '{"id":ID,"op":"track","profile":"proto","event":"view","properties":{"__proto__":{"polluted":1},"constructor":2}}';
      const id = peer.takeId();
      if (encoding === 'json') peer.sendBytes(Buffer.from(text.replace('ID', String(id))));
      else {
        const string = (value: string): Buffer =>
          Buffer.concat([Buffer.from([0xa0 | value.length]), Buffer.from(value)]);
        const head = Buffer.from([0x85, ...string('id'), 0xce, 0, 0, id >> 8, id & 255]);
        const fields = ['op', 'track', 'profile', 'proto', 'event', 'view', 'properties'].map(string);
        const map = Buffer.from([
          0x82,
          ...string('__proto__'),
          0x81,
          ...string('polluted'),
          1,
          ...string('constructor'),
          2,
        ]);
        peer.sendBytes(Buffer.concat([head, ...fields, map]));
      }
      expect(await peer.replyTo(id)).toMatchObject({ ok: true });
      const { record } = await peer.must({ op: 'profile', profile: 'proto' });
      expect(record.polluted).toBeUndefined();
      expect(record.timeline[0]).toMatchObject({ event: 'view' });
    });

    it('decision ids of other people are refused in events, and change nothing', async () => {
      const { decisionId } = await peer.must({ op: 'decide', profile: 'owner', slot: 'home' });
      const reply = await peer.ask({ op: 'track', profile: 'thief', event: 'purchase', decisionId });
      expect(reply).toMatchObject({ ok: false, code: FAULT.malformedId.code });
      expect((await peer.must({ op: 'profile', profile: 'thief' })).stateSeq).toBe(0);
      await peer.must({ op: 'release', decisionId });
    });

    it.each(BROKEN[encoding])('frame: %s closes with 1007', async (_, hex) => {
      const own = await WirePeer.connect(node.url, encoding);
      own.sendBytes(Buffer.from(hex, 'hex'));
      expect(await own.closed).toBe(1007);
      expect(own.received).toEqual([]);
    });

    it('frame: of the other kind closes with 1007', async () => {
      const own = await WirePeer.connect(node.url, encoding);
      own.sendBytes(own.encode({ id: 1, op: 'ping' }), encoding !== 'msgpack');
      // MessagePack in a text frame is not even UTF-8: there the transport may cut without a close frame.
      expect(encoding === 'json' ? [1007] : [1007, 1006]).toContain(await own.closed);
    });

    it('frame: a batch with a broken end is not carried out even in part', async () => {
      const own = await WirePeer.connect(node.url, encoding);
      const bytes = own.encode([
        { id: 1, op: 'track', profile: 'partly', event: 'view' },
        { id: 2, op: 'ping' },
      ]);
      own.sendBytes(bytes.subarray(0, bytes.length - 1));
      expect(await own.closed).toBe(1007);
      expect((await peer.must({ op: 'profile', profile: 'partly' })).stateSeq).toBe(0);
    });

    it('frame: 64 KiB are read, one byte more closes with 1009 or at once', async () => {
      const own = await WirePeer.connect(node.url, encoding);
      const filler = (bytes: number): unknown[] => {
        const items: unknown[] = [{ id: 1, op: 'ping', a: '' }];
        const base = own.encode(items).length;
        const strings: string[] = [];
        let left = bytes - base;
        while (left > 0) {
          const size = Math.min(4000, left);
          strings.push('x'.repeat(size));
          left -= size;
        }
        return [{ id: 1, op: 'ping', a: strings }];
      };
      // The encoding's own overhead is found by trying.
      let bytes = own.encode(filler(LIMITS.frameBytesMax));
      for (let size = LIMITS.frameBytesMax; bytes.length > LIMITS.frameBytesMax; size--)
        bytes = own.encode(filler(size));
      expect(bytes.length).toBe(LIMITS.frameBytesMax);
      own.sendBytes(bytes);
      expect((await own.replyTo(1)).ok).toBe(true);
      own.sendBytes(Buffer.concat([bytes, Buffer.from(' ')]));
      expect([1009, 1006]).toContain(await own.closed);
    });

    it('frame: far too large, and garbage of every length, disturb nobody', async () => {
      const own = await WirePeer.connect(node.url, encoding);
      own.sendBytes(Buffer.alloc(8 * 1024 * 1024, 0x20));
      expect([1009, 1006]).toContain(await own.closed);
      let state = 1;
      const nextByte = (): number => {
        state = (state * 48_271) % 2_147_483_647;
        return state & 255;
      };
      for (let length = 1; length <= 64; length++) {
        const garbage = Buffer.from(Array.from({ length }, nextByte));
        const one = await WirePeer.connect(node.url, encoding);
        one.sendBytes(garbage);
        one.send({ id: 1, op: 'ping' });
        const end = await Promise.race([one.closed, one.replyTo(1).catch(() => one.closed)]);
        // Refused as a request, or closed; never silence.
        expect(end === 1007 || end === 1006 || typeof end === 'object').toBe(true);
        one.close();
      }
    });
  });

  it.each(BINARY)('MessagePack: %s in a field is refused, the connection goes on', async (_, hex, fault) => {
    const peer = await WirePeer.connect(node.url);
    const string = (text: string): string => Buffer.from([0xa0 | text.length, ...Buffer.from(text)]).toString('hex');
    const fields = ['op', 'track', 'profile', 'p', 'event', 'view', 'properties'].map(string).join('');
    const request = `85${string('id')}4d${fields}`;
    peer.sendBytes(Buffer.from(`${request}81${string('a')}${hex}`, 'hex'));
    expect(await peer.replyTo(77)).toMatchObject({ ok: false, code: fault.code, status: fault.status });
    await peer.must({ op: 'ping' });
    peer.close();
  });

  it('MessagePack: an unknown field with a bad value is refused as well', async () => {
    const peer = await WirePeer.connect(node.url);
    peer.sendBytes(Buffer.from('83a269644da26f70a470696e67a17ad6ff00000000', 'hex'));
    expect(await peer.replyTo(77)).toMatchObject({ ok: false, code: FAULT.forbiddenValue.code });
    peer.close();
  });

  it.each([
    ['a lone surrogate', '"\\ud800"', FAULT.invalidField],
    ['a number beyond doubles', '1e999', FAULT.forbiddenValue],
    ['an integer beyond 2^53', '9007199254740993', FAULT.forbiddenValue],
    ['a key twice', '{"a":1,"a":2}', FAULT.forbiddenValue],
  ])('JSON: %s in a field is refused, the connection goes on', async (_, text, fault) => {
    const peer = await WirePeer.connect(node.url, 'json');
    peer.sendBytes(Buffer.from(`{"id":77,"op":"track","profile":"p","event":"view","properties":{"a":${text}}}`));
    expect(await peer.replyTo(77)).toMatchObject({ ok: false, code: fault.code, status: fault.status });
    await peer.must({ op: 'ping' });
    peer.close();
  });

  it('JSON: a text frame that is not UTF-8 closes with 1007, or at once', async () => {
    const peer = await WirePeer.connect(node.url, 'json');
    peer.sendBytes(Buffer.from([0x22, 0xc3, 0x28, 0x22]));
    expect([1007, 1006]).toContain(await peer.closed);
  });
});
