/**
 * One suite for both transports: the same case tables run against each, with a real client and with raw
 * sockets for everything a real client would not send. Where the native core departs from RFC 6455 the
 * table has a column for it, so each deviation is stated here and a change of it fails a test.
 * `OPPORTUNE_CONFORMANCE_ADAPTERS` (comma-separated) restricts the run, for a Node the native code lacks.
 */
import { afterEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { CLOSE_CODE, LIMITS, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK, WEBSOCKET_PATH } from '../../proto/limits.ts';
import { assertPortFree, findFreePort } from '../../server/listen-port.ts';
import { selectTransport } from '../../server/select-transport.ts';
import type { Connection, TransportLimits, UpgradeVerdict } from '../../server/transport.ts';
import { TransportError } from '../../server/transport-error.ts';
import { loadNative } from '../../server/uws-native.ts';
import type { AdapterName, FrameParts, Recorded } from './transport-peer.ts';
import { clientFrame, handshake, RawPeer, startRecorded, TEST_LIMITS, until } from './transport-peer.ts';

const wanted = (process.env.OPPORTUNE_CONFORMANCE_ADAPTERS ?? 'uws,ws').split(',');
const adapters = (['uws', 'ws'] as const).filter((adapter) => wanted.includes(adapter) && canRun(adapter));

function canRun(adapter: AdapterName): boolean {
  if (adapter === 'ws') return true;
  const load = loadNative();
  if (load.library === undefined) console.warn(`SKIPPED: transport conformance of uws: ${load.reason}`);
  return load.library !== undefined;
}

const { frameBytesMax } = LIMITS;
const running: Recorded[] = [];
const peers: { socket: { destroy(): unknown } }[] = [];

async function start(
  adapter: AdapterName,
  limits: Partial<TransportLimits> = {},
  address: { port?: number; isShared?: boolean } = {},
): Promise<Recorded> {
  const recorded = await startRecorded(adapter, limits, address);
  running.push(recorded);
  return recorded;
}

async function upgraded(server: Recorded, headers: Readonly<Record<string, string | null>> = {}): Promise<RawPeer> {
  const peer = await RawPeer.upgraded(server.port, headers);
  peers.push(peer);
  await until(() => server.opened.length > 0);
  return peer;
}

/** The answer to a raw HTTP request. */
async function ask(server: Recorded, request: string): Promise<RawPeer> {
  const peer = new RawPeer(server.port);
  peers.push(peer);
  peer.socket.write(request);
  await until(() => peer.head !== undefined || peer.isEnded);
  return peer;
}

async function openClient(server: Recorded, subprotocol = SUBPROTOCOL_MSGPACK): Promise<WebSocket> {
  const client = new WebSocket(`ws://127.0.0.1:${server.port}${WEBSOCKET_PATH}`, subprotocol);
  peers.push({ socket: { destroy: () => client.terminate() } });
  await new Promise((resolve, reject) => {
    client.once('open', resolve);
    client.once('error', reject);
  });
  await until(() => server.opened.length > 0);
  return client;
}

function firstConnection(server: Recorded): Connection {
  const [connection] = server.opened;
  if (connection === undefined) throw new Error('no connection is open');
  return connection;
}

/** `size` bytes that tell their own place, so that a lost or doubled byte shows. */
function pattern(size: number, seed: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let index = 0; index < size; index += 1) bytes[index] = (index * 31 + seed * 7) & 255;
  if (size >= 4) bytes.writeUInt32BE(seed, 0);
  return bytes;
}

afterEach(() => {
  for (const peer of peers.splice(0)) peer.socket.destroy();
  for (const { transport } of running.splice(0)) transport.closeAll(CLOSE_CODE.goingAway, '');
});

describe.each(adapters)('transport %s', (adapter) => {
  describe('handshake', () => {
    const cases: readonly (readonly [string, string, number])[] = [
      ['accepted with one known subprotocol', handshake(), 101],
      [
        'accepted with a known subprotocol among others',
        handshake({ 'Sec-WebSocket-Protocol': `a, ${SUBPROTOCOL_JSON}` }),
        101,
      ],
      ['accepted with a query string', handshake({}, `${WEBSOCKET_PATH}?token=x`), 101],
      ['accepted with an upgrade header in capitals', handshake({ Upgrade: 'WebSocket' }), 101],
      [
        'refused with 400 when only unknown subprotocols are offered',
        handshake({ 'Sec-WebSocket-Protocol': 'chat' }),
        400,
      ],
      ['refused with 400 when no subprotocol is offered', handshake({ 'Sec-WebSocket-Protocol': null }), 400],
      ['refused with 400 when a subprotocol is offered twice', handshake({ 'Sec-WebSocket-Protocol': 'a, a' }), 400],
      ['refused with 400 when the list has an empty item', handshake({ 'Sec-WebSocket-Protocol': 'a,,b' }), 400],
      ['refused with 400 when the key is missing', handshake({ 'Sec-WebSocket-Key': null }), 400],
      ['refused with 400 when the key is too short', handshake({ 'Sec-WebSocket-Key': 'abc' }), 400],
      ['refused with 400 when the key is no base64', handshake({ 'Sec-WebSocket-Key': '*'.repeat(24) }), 400],
      ['refused with 400 when the version is 8', handshake({ 'Sec-WebSocket-Version': '8' }), 400],
      ['refused with 400 when the version is missing', handshake({ 'Sec-WebSocket-Version': null }), 400],
      ['refused with 404 when the path is another', handshake({}, '/v2/ws'), 404],
      ['refused with 404 when the path is a prefix', handshake({}, '/v1/w'), 404],
      ['refused with 404 when the path is longer', handshake({}, `${WEBSOCKET_PATH}/x`), 404],
      ['refused with 426 when there is no upgrade header', handshake({ Upgrade: null }), 426],
      ['refused with 426 when the upgrade is to another protocol', handshake({ Upgrade: 'h2c' }), 426],
      ['refused with 426 when a plain GET asks', `GET ${WEBSOCKET_PATH} HTTP/1.1\r\nHost: x\r\n\r\n`, 426],
      [
        'refused with 426 when a POST asks',
        `POST ${WEBSOCKET_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`,
        426,
      ],
      ['refused with 404 when a plain GET asks elsewhere', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', 404],
    ];

    it.each(cases)('%s', async (_title, request, status) => {
      const server = await start(adapter);
      const peer = await ask(server, request);
      expect(peer.httpStatus).toBe(status);
      if (status === 101) return;
      await until(() => peer.isEnded);
      expect(server.opened).toEqual([]);
      expect(server.transport.connectionCount()).toBe(0);
    });

    it('echoes the subprotocol that the handler chose and no extension', async () => {
      const server = await start(adapter);
      const peer = await ask(
        server,
        handshake({
          'Sec-WebSocket-Protocol': `x , ${SUBPROTOCOL_JSON},${SUBPROTOCOL_MSGPACK}`,
          'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits',
        }),
      );
      expect(peer.head).toMatch(/sec-websocket-protocol: opportune\.v1\.json(\r\n|$)/i);
      expect(peer.head).toMatch(/sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i);
      expect(peer.head).not.toMatch(/sec-websocket-extensions/i);
      await until(() => server.opened.length === 1);
      expect(firstConnection(server).subprotocol).toBe(SUBPROTOCOL_JSON);
      expect(server.upgrades[0]?.subprotocols).toEqual(['x', SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK]);
    });

    it('hands over path, origin, authorization and token', async () => {
      const server = await start(adapter);
      const headers = { Origin: 'https://Shop.Example', Authorization: 'Bearer AbC', 'Sec-GPC': '1' };
      await ask(server, handshake(headers, `${WEBSOCKET_PATH}?a=1&token=t%20%2B%C3%A9&b`));
      expect(server.upgrades).toEqual([
        {
          path: WEBSOCKET_PATH,
          subprotocols: [SUBPROTOCOL_MSGPACK],
          origin: 'https://shop.example',
          authorization: 'Bearer AbC',
          queryToken: 't +é',
          hasOptOut: true,
          address: '127.0.0.1',
        },
      ]);
    });

    it('hands over empty strings when origin, authorization and token are absent', async () => {
      const server = await start(adapter);
      await ask(server, handshake());
      expect(server.upgrades[0]).toMatchObject({ origin: '', authorization: '', queryToken: '', hasOptOut: false });
    });

    it.each([400, 401, 403, 404, 429, 503] as const)(
      'is refused with %d and the reason when the handler says so',
      async (httpStatus) => {
        const server = await start(adapter);
        server.onUpgrade = () => ({ accept: false, httpStatus, reason: 'because' });
        const peer = await ask(server, handshake());
        expect(peer.httpStatus).toBe(httpStatus);
        await until(() => peer.isEnded);
        expect(server.opened).toEqual([]);
      },
    );

    // The native build we pin cuts some that waited, so it is never taken where verdicts come late.
    it.runIf(adapter === 'ws')('waits for a verdict that comes late, whatever it is', async () => {
      const server = await start(adapter);
      const verdicts: ((verdict: UpgradeVerdict) => void)[] = [];
      server.onUpgrade = () => new Promise((resolve) => verdicts.push(resolve));
      const asked = [ask(server, handshake()), ask(server, handshake())];
      await until(() => verdicts.length === 2);
      expect(server.opened).toEqual([]);
      verdicts[0]?.({ accept: true, subprotocol: SUBPROTOCOL_MSGPACK, admission: 'first' });
      await until(() => server.opened.length === 1);
      expect(server.opened[0]).toMatchObject({ admission: 'first', subprotocol: SUBPROTOCOL_MSGPACK, isOpen: true });
      verdicts[1]?.({ accept: false, httpStatus: 401, reason: 'because' });
      const statuses = (await Promise.all(asked)).map(({ httpStatus }) => httpStatus).sort();
      expect(statuses).toEqual([101, 401]);
      expect(server.transport.connectionCount()).toBe(1);
    });

    it.runIf(adapter === 'ws')('has no place left when others took it while its verdict was awaited', async () => {
      const server = await start(adapter, { connectionsMax: 1 });
      const verdicts: ((verdict: UpgradeVerdict) => void)[] = [];
      server.onUpgrade = () => new Promise((resolve) => verdicts.push(resolve));
      const asked = [ask(server, handshake()), ask(server, handshake())];
      await until(() => verdicts.length === 2);
      for (const settle of verdicts) settle({ accept: true, subprotocol: SUBPROTOCOL_MSGPACK });
      const statuses = (await Promise.all(asked)).map(({ httpStatus }) => httpStatus).sort();
      expect(statuses).toEqual([101, 503]);
    });

    it('comes to nothing when the peer goes, or the transport closes, before its verdict', async () => {
      const server = await start(adapter);
      const verdicts: ((verdict: UpgradeVerdict) => void)[] = [];
      server.onUpgrade = () => new Promise((resolve) => verdicts.push(resolve));
      const leaving = new RawPeer(server.port);
      leaving.socket.write(handshake());
      const staying = new RawPeer(server.port);
      peers.push(staying);
      staying.socket.write(handshake());
      await until(() => verdicts.length === 2);
      leaving.socket.destroy();
      server.onUpgrade = () => ({ accept: true, subprotocol: SUBPROTOCOL_MSGPACK });
      await upgraded(server); // by then the server has heard of it
      verdicts[0]?.({ accept: true, subprotocol: SUBPROTOCOL_MSGPACK });
      server.transport.closeAll(1012, '');
      verdicts[1]?.({ accept: true, subprotocol: SUBPROTOCOL_MSGPACK });
      await until(() => staying.isEnded);
      expect(server.opened).toHaveLength(1);
    });

    it('leaves nothing behind when the peer goes in the middle of it', async () => {
      const server = await start(adapter);
      const half = new RawPeer(server.port);
      await new Promise((resolve) => half.socket.write(handshake().slice(0, 60), resolve));
      half.socket.destroy();
      await upgraded(server);
      expect(server.upgrades.length).toBe(1);
      expect(server.transport.connectionCount()).toBe(1);
    });

    it('is followed by frames that came in its packet with ws, and swallows them with uws', async () => {
      const server = await start(adapter);
      const peer = new RawPeer(server.port);
      peers.push(peer);
      // RFC 6455 section 4.1 has the client wait for the answer first, so no real client loses anything.
      peer.socket.write(
        Buffer.concat([Buffer.from(handshake()), clientFrame({ opcode: 1, payload: Buffer.from('early') })]),
      );
      await until(() => peer.head !== undefined);
      peer.socket.write(clientFrame({ opcode: 1, payload: Buffer.from('later') }));
      await until(() => peer.frames.at(-1)?.payload.toString() === 'later');
      expect(server.messages.map(({ bytes }) => bytes.toString())).toEqual(
        adapter === 'ws' ? ['early', 'later'] : ['later'],
      );
    });

    it('is refused with 503 above connectionsMax, and accepted again when one has gone', async () => {
      const server = await start(adapter, { connectionsMax: 2 });
      const first = await upgraded(server);
      await upgraded(server);
      expect((await ask(server, handshake())).httpStatus).toBe(503);
      first.socket.destroy();
      await until(() => server.closes.length === 1);
      expect(server.transport.connectionCount()).toBe(1);
      expect((await ask(server, handshake())).httpStatus).toBe(101);
    });
  });

  describe('messages', () => {
    it.each([
      ['empty', 0],
      ['of one byte', 1],
      ['of the last short length', 125],
      ['of the first 16-bit length', 126],
      ['of 16 KiB', 16_384],
      ['of the last 16-bit length', 65_535],
      ['of exactly frameBytesMax', frameBytesMax],
    ])('go both ways unchanged when they are %s', async (_title, size) => {
      const server = await start(adapter);
      const client = await openClient(server);
      for (const isBinary of [true, false]) {
        // ASCII throughout, so that it is valid text too.
        const sent = Buffer.alloc(size, 'abcdefg');
        const answer = new Promise<[Buffer, boolean]>((resolve) => {
          client.once('message', (data, binary) => resolve([data as Buffer, binary])); // nodebuffer is the default
        });
        client.send(sent, { binary: isBinary });
        const [received, receivedBinary] = await answer;
        expect(receivedBinary).toBe(isBinary);
        expect(received.equals(sent)).toBe(true);
        expect(server.messages.at(-1)?.isBinary).toBe(isBinary);
        expect(server.messages.at(-1)?.bytes.equals(sent)).toBe(true);
      }
    });

    it('are given as a Uint8Array and are put together when they come in fragments around a ping', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      let isArray = false;
      server.onMessage = (_connection, bytes) => {
        isArray = bytes instanceof Uint8Array;
      };
      const parts: FrameParts[] = [
        { opcode: 2, payload: Buffer.from('one '), isFinal: false },
        { opcode: 9, payload: Buffer.from('are you there') },
        { opcode: 0, payload: Buffer.from('two '), isFinal: false },
        { opcode: 0, payload: Buffer.from('three') },
      ];
      for (const byte of Buffer.concat(parts.map(clientFrame))) peer.socket.write(Uint8Array.of(byte));
      await until(() => server.messages.length === 1 && peer.frames.length === 1);
      expect(server.messages[0]?.bytes.toString()).toBe('one two three');
      expect(isArray).toBe(true);
      expect(peer.frames).toEqual([{ opcode: 10, payload: Buffer.from('are you there') }]);
    });

    it('are not delivered when only a pong came', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      peer.socket.write(clientFrame({ opcode: 10, payload: Buffer.from('unasked') }));
      peer.socket.write(clientFrame({ opcode: 2, payload: Buffer.from('x') }));
      await until(() => server.messages.length > 0);
      expect(server.messages.map(({ bytes }) => bytes.toString())).toEqual(['x']);
    });
  });

  describe('bad frames', () => {
    /** What the peer sees (undefined: a cut without a close frame) and what `onClose` is told. */
    interface Outcome {
      readonly peer: number | undefined;
      readonly onClose: number;
    }
    const cut: Outcome = { peer: undefined, onClose: 1006 };
    const text = (bytes: readonly number[]): FrameParts => ({ opcode: 1, payload: Buffer.from(bytes) });
    const close = (bytes: readonly number[]): FrameParts => ({ opcode: 8, payload: Buffer.from(bytes) });
    const half = Buffer.alloc(frameBytesMax / 2 + 1);
    const protocolError: Outcome = { peer: 1002, onClose: 1002 };
    const tooBig: Outcome = { peer: 1009, onClose: 1009 };
    const badText: Outcome = { peer: 1007, onClose: 1007 };
    const cases: readonly (readonly [string, readonly FrameParts[], Readonly<Record<AdapterName, Outcome>>])[] = [
      // Where `uws` differs from `ws`, it departs from RFC 6455 section 7.1.7 or 7.4.1, mostly by a bare cut.
      ['a reserved bit is set', [{ opcode: 2, reservedBits: 4 }], { ws: protocolError, uws: cut }],
      ['the opcode is reserved', [{ opcode: 3 }], { ws: protocolError, uws: cut }],
      ['a control opcode is reserved', [{ opcode: 11 }], { ws: protocolError, uws: cut }],
      ['a ping has 126 bytes', [{ opcode: 9, payload: Buffer.alloc(126) }], { ws: protocolError, uws: cut }],
      ['a ping is fragmented', [{ opcode: 9, isFinal: false }], { ws: protocolError, uws: cut }],
      ['a continuation starts', [{ opcode: 0, payload: Buffer.from('x') }], { ws: protocolError, uws: cut }],
      [
        'a text starts inside another message',
        [{ opcode: 2, isFinal: false }, { opcode: 1 }],
        { ws: protocolError, uws: cut },
      ],
      ['text is no UTF-8', [text([0xff, 0xfe])], { ws: badText, uws: { peer: undefined, onClose: 1007 } }],
      ['text has a surrogate', [text([0xed, 0xa0, 0x80])], { ws: badText, uws: { peer: undefined, onClose: 1007 } }],
      ['text ends in a half character', [text([0x61, 0xc3])], { ws: badText, uws: { peer: undefined, onClose: 1007 } }],
      [
        'a message has frameBytesMax + 1 bytes',
        [{ opcode: 2, payload: Buffer.alloc(frameBytesMax + 1) }],
        { ws: tooBig, uws: tooBig },
      ],
      [
        'fragments together pass frameBytesMax',
        [
          { opcode: 2, payload: half, isFinal: false },
          { opcode: 0, payload: half },
        ],
        { ws: tooBig, uws: tooBig },
      ],
      [
        'a message passes twice frameBytesMax',
        [{ opcode: 2, payload: Buffer.alloc(2 * frameBytesMax + 1) }],
        { ws: tooBig, uws: { peer: undefined, onClose: 1009 } },
      ],
      ['a close frame has one byte', [close([3])], { ws: protocolError, uws: { peer: 1005, onClose: 1005 } }],
      ['a close frame has code 1005', [close([3, 237])], { ws: protocolError, uws: { peer: 1005, onClose: 1006 } }],
    ];

    it.each(cases)('end the connection when %s', async (_title, frames, outcomes) => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      const other = await openClient(server);
      peer.socket.write(Buffer.concat(frames.map(clientFrame)));
      await until(() => server.closes.length > 0 && (peer.isEnded || peer.closeCode !== undefined));
      expect({ peer: peer.closeCode, onClose: server.closes[0] }).toEqual(outcomes[adapter]);
      expect(server.messages).toEqual([]);
      // Only the offender is gone.
      expect(server.transport.connectionCount()).toBe(1);
      const answer = new Promise((resolve) => other.once('message', resolve));
      other.send('still here');
      expect(String(await answer)).toBe('still here');
    });

    it('are refused with 1002 by ws and read as if masked by uws when they are not masked', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      const frame = clientFrame({ opcode: 2, payload: Buffer.alloc(10, 0x61), isMasked: false });
      // Four more bytes complete the frame in the eyes of a parser that takes the first four for the mask.
      peer.socket.write(Buffer.concat([frame, Buffer.alloc(4, 0x61)]));
      if (adapter === 'ws') {
        await until(() => peer.closeCode !== undefined);
        expect(peer.closeCode).toBe(1002);
        expect(server.messages).toEqual([]);
      } else {
        await until(() => server.messages.length === 1);
        expect(server.messages[0]?.bytes).toEqual(Buffer.alloc(10));
      }
    });
  });

  describe('a binary message inside another', () => {
    it('is refused with 1002 by ws and taken for the next fragment by uws', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      const parts: FrameParts[] = [
        { opcode: 2, payload: Buffer.from('out'), isFinal: false },
        { opcode: 2, payload: Buffer.from('in') },
        { opcode: 0, payload: Buffer.from('er') },
      ];
      peer.socket.write(Buffer.concat(parts.map(clientFrame)));
      await until(() => peer.closeCode !== undefined || server.messages.length === 2 || peer.isEnded);
      expect([peer.closeCode, server.messages.map(({ bytes }) => bytes.toString())]).toEqual(
        adapter === 'ws' ? [1002, []] : [undefined, ['outin', 'er']],
      );
    });
  });

  describe('closing', () => {
    it.each([1000, 1007, 1008, 1009, 1012, 1013, 4002])(
      'by the server shows code %d and the reason to the peer',
      async (code) => {
        const server = await start(adapter);
        const client = await openClient(server);
        const closed = new Promise<[number, string]>((resolve) => {
          client.once('close', (seen, reason) => resolve([seen, reason.toString()]));
        });
        const connection = firstConnection(server);
        connection.close(code, 'the reason');
        expect(server.closes).toEqual([code]);
        expect(connection.isOpen).toBe(false);
        expect(server.transport.connectionCount()).toBe(0);
        expect(await closed).toEqual([code, 'the reason']);
        connection.close(1000, 'again');
        expect(server.closes).toEqual([code]);
      },
    );

    it.each([
      ['with a code', 4321, 4321],
      ['normally', 1000, 1000],
      ['without a code', undefined, 1005],
    ])('by the peer %s is told to the handler', async (_title, code, expected) => {
      const server = await start(adapter);
      const client = await openClient(server);
      client.close(code);
      await until(() => server.closes.length === 1);
      expect(server.closes).toEqual([expected]);
      expect(firstConnection(server).isOpen).toBe(false);
    });

    it('is told as 1006 when the peer vanishes', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      peer.socket.resetAndDestroy();
      await until(() => server.closes.length === 1);
      expect(server.closes).toEqual([1006]);
    });

    it('makes every later call harmless', async () => {
      const server = await start(adapter);
      await openClient(server);
      const connection = firstConnection(server);
      connection.close(1000, '');
      let hasRun = false;
      expect(connection.send(Buffer.from('late'), true)).toBe('closed');
      expect(connection.bufferedBytes()).toBe(0);
      connection.cork(() => {
        hasRun = true;
      });
      expect(hasRun).toBe(true);
    });

    it('works from inside onMessage and from inside cork, after what was sent before', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      server.onMessage = (connection) => {
        connection.cork(() => {
          connection.send(Buffer.from('last words'), false);
          connection.close(CLOSE_CODE.moved, '');
          expect(connection.send(Buffer.from('too late'), false)).toBe('closed');
        });
      };
      peer.socket.write(clientFrame({ opcode: 2 }));
      await until(() => peer.closeCode !== undefined);
      expect(peer.frames.map(({ opcode }) => opcode)).toEqual([1, 8]);
      expect(peer.closeCode).toBe(CLOSE_CODE.moved);
      expect(server.closes).toEqual([CLOSE_CODE.moved]);
    });

    it('by the peer comes after the replies to what it asked in the same packet', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      const request = clientFrame({ opcode: 1, payload: Buffer.from('one more') });
      peer.socket.write(Buffer.concat([request, request, clientFrame({ opcode: 8, payload: Buffer.from([3, 232]) })]));
      await until(() => peer.closeCode !== undefined || peer.isEnded);
      expect(peer.frames.map(({ opcode }) => opcode)).toEqual([1, 1, 8]);
      peer.socket.end();
      await until(() => server.closes.length > 0);
      expect(server.closes).toEqual([1000]);
    });

    it('stops delivering messages that were already on their way', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      server.onMessage = (connection) => connection.close(1008, '');
      peer.socket.write(
        Buffer.concat([clientFrame({ opcode: 2 }), clientFrame({ opcode: 2 }), clientFrame({ opcode: 2 })]),
      );
      await until(() => peer.closeCode !== undefined);
      expect(server.messages.length).toBe(1);
    });

    it.each([0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 1000.5, Number.NaN])(
      'with code %d is our bug and throws',
      async (code) => {
        const server = await start(adapter);
        await openClient(server);
        expect(() => firstConnection(server).close(code, '')).toThrow(/may not be sent/);
        expect(firstConnection(server).isOpen).toBe(true);
      },
    );

    it('cuts a reason of over 123 bytes between characters', async () => {
      const server = await start(adapter);
      const client = await openClient(server);
      const closed = new Promise<string>((resolve) =>
        client.once('close', (_code, reason) => resolve(reason.toString())),
      );
      firstConnection(server).close(1008, 'é'.repeat(100));
      expect(await closed).toBe('é'.repeat(61));
    });
  });

  describe('sending', () => {
    it('copies the exact view, so that the buffer can be used again at once', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      const shared = Buffer.from(new ArrayBuffer(200_000), 1_000, 190_000);
      const sizes = [10, 60_000, 126, 17_000, 1];
      const connection = firstConnection(server);
      for (const [index, size] of sizes.entries()) {
        const view = shared.subarray(index + 3, index + 3 + size);
        view.set(pattern(size, index));
        expect(connection.send(view, true)).toBe('sent');
        shared.fill(0xee);
      }
      await until(() => peer.frames.length === sizes.length);
      for (const [index, size] of sizes.entries()) {
        expect(peer.frames[index]?.payload.equals(pattern(size, index))).toBe(true);
      }
    });

    it('takes a view over shared memory', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      const view = new Uint8Array(new SharedArrayBuffer(64), 8, 5);
      view.set(Buffer.from('rings'));
      firstConnection(server).send(view, false);
      await until(() => peer.frames.length === 1);
      expect(peer.frames[0]).toEqual({ opcode: 1, payload: Buffer.from('rings') });
    });

    it('keeps 400 replies of one cork, 200 KB, in order', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      server.onMessage = (connection) => {
        connection.cork(() => {
          for (let index = 0; index < 400; index += 1) connection.send(pattern(512, index), true);
        });
      };
      peer.socket.write(clientFrame({ opcode: 2 }));
      await until(() => peer.frames.length === 400);
      expect(peer.frames.every(({ payload }, index) => payload.equals(pattern(512, index)))).toBe(true);
    });

    it('keeps the order when small and large messages are mixed in one cork outside any handler', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      const sizes = [5, 70_000, 16_380, 0, 65_536, 3, 16_384, 30_000, 30_000, 30_000, 1];
      const connection = firstConnection(server);
      connection.cork(() => {
        connection.cork(() => {
          for (const [index, size] of sizes.entries()) connection.send(pattern(size, index), true);
        });
      });
      await until(() => peer.frames.length === sizes.length);
      expect(peer.frames.map(({ payload }) => payload.length)).toEqual(sizes);
      expect(peer.frames.every(({ payload }, index) => payload.equals(pattern(sizes[index] ?? 0, index)))).toBe(true);
    });

    it('reaches another connection from inside a cork', async () => {
      const server = await start(adapter);
      const first = await upgraded(server);
      const second = await upgraded(server);
      await until(() => server.opened.length === 2);
      server.onMessage = (connection) => {
        connection.cork(() => {
          for (const other of server.opened) other.cork(() => other.send(Buffer.from('to all'), false));
        });
      };
      first.socket.write(clientFrame({ opcode: 2 }));
      await until(() => first.frames.length === 1 && second.frames.length === 1);
      expect(second.frames[0]?.payload.toString()).toBe('to all');
    });

    it('goes on after the work inside a cork has thrown', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      const connection = firstConnection(server);
      const failing = (): void =>
        connection.cork(() => {
          connection.send(Buffer.from('before'), false);
          throw new Error('our bug');
        });
      expect(failing).toThrow('our bug');
      connection.cork(() => connection.send(Buffer.from('after'), false));
      await until(() => peer.frames.length === 2);
      expect(peer.frames.map(({ payload }) => payload.toString())).toEqual(['before', 'after']);
    });

    it('loses nothing when 400 messages of 60 KB go to a slow reader at the pace of onDrain', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      const connection = firstConnection(server);
      let sent = 0;
      let highest = 0;
      let drainsSeen = -1;
      peer.socket.on('data', () => {
        peer.socket.pause();
        setImmediate(() => peer.socket.resume());
      });
      while (sent < 400) {
        while (sent < 400 && connection.bufferedBytes() < 500_000) {
          expect(connection.send(pattern(60_000, sent), true)).toBe('sent');
          sent += 1;
        }
        highest = Math.max(highest, connection.bufferedBytes());
        drainsSeen = server.drains;
        if (connection.bufferedBytes() > 0) await until(() => server.drains > drainsSeen);
      }
      await until(() => peer.frames.length === 400);
      expect(peer.frames.every(({ payload }, index) => payload.equals(pattern(60_000, index)))).toBe(true);
      expect(highest).toBeGreaterThan(0);
      expect(highest).toBeLessThan(600_000);
    });

    it('tells onDrain once the buffer has emptied', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      const connection = firstConnection(server);
      peer.socket.pause();
      while (connection.bufferedBytes() === 0) expect(connection.send(pattern(50_000, 1), true)).toBe('sent');
      expect(server.drains).toBe(0);
      peer.socket.resume();
      await until(() => server.drains > 0);
      expect(server.drains).toBe(1);
      expect(connection.bufferedBytes()).toBe(0);
    });

    it('closes a slow reader with 1013 when the buffer limit is passed, after all that was accepted', async () => {
      const sendBufferBytesMax = 300_000;
      const server = await start(adapter, { sendBufferBytesMax });
      const peer = await upgraded(server);
      const connection = firstConnection(server);
      peer.socket.pause();
      let accepted = 0;
      let highest = 0;
      while (connection.send(pattern(60_000, accepted), true) === 'sent') {
        accepted += 1;
        highest = Math.max(highest, connection.bufferedBytes());
      }
      expect(highest).toBeGreaterThan(sendBufferBytesMax);
      expect(highest).toBeLessThanOrEqual(sendBufferBytesMax + 60_000 + 10);
      expect(server.closes).toEqual([CLOSE_CODE.overloaded]);
      expect(connection.isOpen).toBe(false);
      expect(connection.send(pattern(1, 0), true)).toBe('closed');
      expect(server.transport.connectionCount()).toBe(0);
      peer.socket.resume();
      await until(() => peer.closeCode !== undefined || peer.isEnded);
      expect(peer.frames.length).toBe(accepted + 1);
      expect(peer.closeCode).toBe(CLOSE_CODE.overloaded);
      expect(peer.frames.slice(0, -1).every(({ payload }, index) => payload.equals(pattern(60_000, index)))).toBe(true);
      await until(() => peer.isEnded);
      expect(server.closes).toEqual([CLOSE_CODE.overloaded]);
    });

    it('cuts a reader that still does not read after the grace, and frees its buffer', async () => {
      const server = await start(adapter, { sendBufferBytesMax: 100_000 });
      const peer = await upgraded(server);
      const connection = firstConnection(server);
      peer.socket.pause();
      while (connection.send(pattern(60_000, 0), true) === 'sent');
      // A write to a socket that the other side has cut is answered with a reset, which is seen even while paused.
      await until(() => {
        if (!peer.isEnded) peer.socket.write(clientFrame({ opcode: 10 }));
        return peer.isEnded;
      });
      expect(peer.closeCode).toBeUndefined();
    }, 15_000);

    it('bounds the memory of a peer that pings and never reads', async () => {
      const server = await start(adapter, { sendBufferBytesMax: 10_000 });
      const peer = await upgraded(server);
      const connection = firstConnection(server);
      peer.socket.pause();
      while (connection.bufferedBytes() <= 10_000) connection.send(pattern(10_001, 0), true);
      server.onMessage = () => undefined;
      const ping = clientFrame({ opcode: 9, payload: Buffer.alloc(125) });
      for (let count = 0; count < 4_000; count += 1) peer.socket.write(ping);
      peer.socket.write(clientFrame({ opcode: 2, payload: Buffer.from('done') }));
      await until(() => server.messages.length === 1);
      // What the limit lets in: one gathered chunk on top of it, and the last pong. Unbounded: 500 KB more.
      expect(connection.bufferedBytes()).toBeLessThanOrEqual(10_000 + 64 * 1024 + 131);
    });
  });

  describe('idle timeout', () => {
    it('pings a silent peer and cuts it when it does not answer, and keeps one that does', async () => {
      // 8 s is the shortest the native timer has.
      const server = await start(adapter, { idleTimeoutSeconds: adapter === 'uws' ? 8 : 1 });
      const silent = await upgraded(server);
      const client = await openClient(server);
      let pings = 0;
      client.on('ping', () => {
        pings += 1;
      });
      await until(() => silent.isEnded);
      expect(silent.frames.map(({ opcode }) => opcode)).toContain(9);
      expect(silent.closeCode).toBeUndefined();
      expect(server.closes).toEqual([1006]);
      expect(pings).toBeGreaterThan(0);
      expect(client.readyState).toBe(WebSocket.OPEN);
      expect(server.transport.connectionCount()).toBe(1);
    }, 30_000);
  });

  describe('listening', () => {
    it('rejects with PORT_IN_USE and the port when another listens there', async () => {
      const first = await start(adapter);
      const second = (await selectTransport(adapter)).factory.create(noHandler, TEST_LIMITS);
      const failure = await second
        .listen({ host: '127.0.0.1', port: first.port, isShared: false })
        .catch((error) => error);
      expect(failure).toBeInstanceOf(TransportError);
      expect(failure).toMatchObject({ code: 'PORT_IN_USE', message: expect.stringContaining(String(first.port)) });
      second.closeAll(1001, '');
    });

    it('rejects with ADDRESS_UNAVAILABLE when the address is not ours', async () => {
      const transport = (await selectTransport(adapter)).factory.create(noHandler, TEST_LIMITS);
      const failure = await transport.listen({ host: '192.0.2.1', port: 0, isShared: false }).catch((error) => error);
      expect(failure).toMatchObject({ code: 'ADDRESS_UNAVAILABLE' });
      transport.closeAll(1001, '');
    });

    it('shares a port between listeners where the factory says so, and is refused where not', async () => {
      const { canSharePort } = (await selectTransport(adapter)).factory;
      if (!canSharePort) {
        await expect(start(adapter, {}, { isShared: true })).rejects.toMatchObject({ code: 'PORT_NOT_SHAREABLE' });
        return;
      }
      const first = await start(adapter, {}, { isShared: true });
      const second = await start(adapter, {}, { isShared: true, port: first.port });
      expect(second.port).toBe(first.port);
      // The kernel hashes source ports: that 90 of them all meet one listener has a chance of 2^-89.
      for (let count = 0; count < 90 && (first.opened.length === 0 || second.opened.length === 0); count += 1) {
        peers.push(await RawPeer.upgraded(first.port));
      }
      await until(() => first.opened.length > 0 && second.opened.length > 0);
      await expect(assertPortFree('127.0.0.1', first.port)).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    });

    it('is seen by assertPortFree, and no longer after closeAll', async () => {
      const server = await start(adapter);
      await expect(assertPortFree('127.0.0.1', server.port)).rejects.toMatchObject({
        code: 'PORT_IN_USE',
        message: expect.stringContaining(String(server.port)),
      });
      server.transport.closeAll(1001, '');
      await expect(assertPortFree('127.0.0.1', server.port)).resolves.toBeUndefined();
    });

    it('can start again on the same port at once, although the old connections linger in the kernel', async () => {
      const server = await start(adapter, {}, { port: await findFreePort('127.0.0.1') });
      const peer = await upgraded(server);
      server.transport.closeAll(CLOSE_CODE.restarting, '');
      const again = await start(adapter, {}, { port: server.port });
      expect(again.port).toBe(server.port);
      await upgraded(again);
      await until(() => peer.isEnded);
      again.transport.closeAll(CLOSE_CODE.restarting, '');
      const { canSharePort } = (await selectTransport(adapter)).factory;
      await start(adapter, {}, { port: server.port, isShared: canSharePort });
    });

    it('stops when asked while open connections go on', async () => {
      const server = await start(adapter);
      const client = await openClient(server);
      server.transport.stopListening();
      server.transport.stopListening();
      const late = new RawPeer(server.port);
      peers.push(late);
      await until(() => late.isEnded);
      const answer = new Promise((resolve) => client.once('message', resolve));
      client.send('still served');
      expect(String(await answer)).toBe('still served');
    });

    it('ends with closeAll: peers get the code, half-open handshakes are cut, a second call does nothing', async () => {
      const server = await start(adapter);
      const clients = [await openClient(server), await openClient(server)];
      const half = new RawPeer(server.port);
      peers.push(half);
      half.socket.write('GET /v1/ws HTTP/1.1\r\n');
      const codes = clients.map((client) => new Promise((resolve) => client.once('close', resolve)));
      await until(() => server.transport.connectionCount() === 2);
      const visited: Connection[] = [];
      server.transport.forEachConnection((connection) => visited.push(connection));
      expect(visited).toEqual(server.opened);
      server.transport.closeAll(CLOSE_CODE.restarting, 'restarting');
      server.transport.closeAll(CLOSE_CODE.restarting, 'restarting');
      expect(server.closes).toEqual([CLOSE_CODE.restarting, CLOSE_CODE.restarting]);
      expect(server.transport.connectionCount()).toBe(0);
      expect(await Promise.all(codes)).toEqual([CLOSE_CODE.restarting, CLOSE_CODE.restarting]);
      await until(() => half.isEnded);
    });

    it('ends with closeAll inside a message handler', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      const bystander = await upgraded(server);
      server.onMessage = () => server.transport.closeAll(CLOSE_CODE.restarting, '');
      peer.socket.write(clientFrame({ opcode: 2 }));
      await until(() => peer.isEnded && bystander.isEnded);
      expect(bystander.closeCode).toBe(CLOSE_CODE.restarting);
      expect(server.closes).toEqual([CLOSE_CODE.restarting, CLOSE_CODE.restarting]);
    });

    it('frees everything when a handler throws during closeAll', async () => {
      const server = await start(adapter);
      const peer = await upgraded(server);
      server.closes.push = () => {
        throw new Error('broken session');
      };
      expect(() => server.transport.closeAll(1012, '')).toThrow('broken session');
      await until(() => peer.isEnded);
      await expect(assertPortFree('127.0.0.1', server.port)).resolves.toBeUndefined();
    });
  });
});

const noHandler = {
  onUpgrade: () => ({ accept: false, httpStatus: 404, reason: '' }) as const,
  onOpen: () => undefined,
  onMessage: () => undefined,
  onDrain: () => undefined,
  onClose: () => undefined,
};
