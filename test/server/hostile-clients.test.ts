import { readFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { partitionOf } from '../../proto/partition.ts';
import { loadNative } from '../../server/uws-native.ts';
import { RunningNode, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { clientFrame, handshake, RawPeer } from './transport-peer.ts';
import { type WireEncoding, WirePeer } from './wire-peer.ts';

/** Full size on request: the handshakes alone take longer than the rest of this file. */
const IDLE_CONNECTIONS = Number(process.env.OPPORTUNE_IDLE_CONNECTIONS ?? 2_000);
const ATTEMPTS_PER_SECOND = 1_000;
/** Fewer than the handshakes that `ws` lets wait at a time, so that a good client finds room. */
const SLOW_HANDSHAKES = 150;
const RESIDENT_GROWTH_BYTES_MAX = 256 * 1024 * 1024;

const transports = (['uws', 'ws'] as const).filter((name) => name === 'ws' || loadNative().library !== undefined);
if (transports.length < 2) console.warn('SKIPPED: hostile clients on uws: the native library does not load here');

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const repeat = (part: Buffer, times: number): Buffer => Buffer.concat(Array.from({ length: times }, () => part));
const FRAME_BYTES_MAX = 65_536;
/** A map with id 77, operation ping and one more entry, whose value follows. */
const PING_WITH = hex('83a269644da26f70a470696e67a17a');

/** Each is sent whole; the server refuses the request or ends the connection, and nothing else. */
const BOMBS: readonly (readonly [string, WireEncoding, Buffer])[] = [
  ['72 KB of nested arrays', 'msgpack', repeat(hex('91'), 72 * 1024)],
  ['a frame of nested arrays', 'msgpack', repeat(hex('91'), FRAME_BYTES_MAX)],
  ['nested arrays in a field', 'msgpack', Buffer.concat([PING_WITH, repeat(hex('91'), 60_000), hex('c0')])],
  ['nested maps in a field', 'msgpack', Buffer.concat([PING_WITH, repeat(hex('81a161'), 20_000), hex('c0')])],
  ['an array of 4 billion', 'msgpack', Buffer.concat([PING_WITH, hex('ddffffffff')])],
  ['a map of 4 billion', 'msgpack', Buffer.concat([PING_WITH, hex('dfffffffff')])],
  ['a text of 4 GB', 'msgpack', Buffer.concat([PING_WITH, hex('dbffffffff')])],
  ['a binary of 4 GB', 'msgpack', Buffer.concat([PING_WITH, hex('c6ffffffff')])],
  ['an extension of 4 GB', 'msgpack', Buffer.concat([PING_WITH, hex('c9ffffffff72')])],
  ["msgpackr's records", 'msgpack', Buffer.concat([PING_WITH, hex('d4724093a161a162a163')])],
  ["msgpackr's pointers", 'msgpack', Buffer.concat([PING_WITH, hex('d6690000000191d67000000001')])],
  ['a timestamp', 'msgpack', Buffer.concat([PING_WITH, hex('d7ffffffffffffffffff')])],
  [
    '7,000 integers of 64 bits',
    'msgpack',
    Buffer.concat([PING_WITH, hex('dc1b58'), repeat(hex('cfffffffffffffffff'), 7_000)]),
  ],
  ['a key 15,000 times', 'msgpack', Buffer.concat([PING_WITH, hex('de3a98'), repeat(hex('a16101'), 15_000)])],
  [
    'a thousand keys __proto__',
    'msgpack',
    Buffer.concat([PING_WITH, hex('de03e8'), repeat(hex('a95f5f70726f746f5f5f01'), 1_000)]),
  ],
  ['texts that are no UTF-8', 'msgpack', Buffer.concat([PING_WITH, hex('dc2710'), repeat(hex('a3eda080'), 10_000)])],
  ['60,000 requests of nothing', 'msgpack', Buffer.concat([hex('dcea60'), repeat(hex('80'), 60_000)])],
  ['nested arrays', 'json', Buffer.from('['.repeat(FRAME_BYTES_MAX))],
  ['nested maps', 'json', Buffer.from('{"a":'.repeat(13_000))],
  ['a number of 65,000 digits', 'json', Buffer.from(`{"id":77,"op":"ping","z":${'9'.repeat(65_000)}}`)],
  ['a fraction of 65,000 digits', 'json', Buffer.from(`{"id":77,"op":"ping","z":0.${'3'.repeat(65_000)}}`)],
  ['10,000 escapes', 'json', Buffer.from(`{"id":77,"op":"ping","z":"${'\\u0000'.repeat(10_000)}"}`)],
  ['a key 10,000 times', 'json', Buffer.from(`{"id":77,"op":"ping","z":{${'"a":1,'.repeat(10_000)}"a":1}}`)],
  ['numbers as keys, far apart', 'json', Buffer.from(`{"id":77,"op":"ping","z":{${numberKeys()}}}`)],
];

function numberKeys(): string {
  return Array.from({ length: 1_030 }, (_, index) => `"${4_294_000_000 + index * 700}":1`).join();
}

/** Words of six letters that share one place of the decoder's cache of texts (`internUtf8` in proto/bytes.ts). */
function collidingWords(count: number): string[] {
  const words: string[] = [];
  for (let number = 0; words.length < count; number++) {
    const word = `w${number.toString(36).padStart(6, '0')}`;
    let hash = word.length;
    for (let index = 0; index < word.length; index++) hash = Math.imul(hash ^ word.charCodeAt(index), 0x01000193);
    if (((hash ^ (hash >>> 15)) & 4095) === 7) words.push(word);
  }
  return words;
}

/** Profile keys that anybody can choose to lie in one partition. */
function keysOfOnePartition(count: number): string[] {
  const keys: string[] = [];
  for (let number = 0; keys.length < count; number++) {
    const bytes = Buffer.from(`flood-${number}`);
    if (partitionOf(bytes, 0, bytes.length) === 3) keys.push(`flood-${number}`);
  }
  return keys;
}

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

/** What the system lets this process and those it starts hold open. */
function openFilesMax(): number {
  const limit = /Max open files\s+(\d+|unlimited)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit);
}

function quietSocket(port: number): Socket {
  const socket = createConnection(port, '127.0.0.1');
  socket.on('error', () => {}); // A refused or cut attempt is what an attacker gets.
  return socket;
}

/** Begins handshakes and never ends them: a letter more each time it is called. */
class SlowHandshakes {
  readonly sockets: Socket[];
  readonly #text = handshake({ 'X-Padding': 'x'.repeat(100) });
  #sent = 20;

  constructor(port: number) {
    this.sockets = Array.from({ length: SLOW_HANDSHAKES }, () => quietSocket(port));
    for (const socket of this.sockets) socket.write(this.#text.slice(0, this.#sent));
  }

  trickle(): void {
    const letter = this.#text[this.#sent++ % this.#text.length] ?? 'x';
    if (letter === '\r' || letter === '\n') return;
    for (const socket of this.sockets) if (!socket.destroyed) socket.write(letter);
  }

  get openCount(): number {
    return this.sockets.filter((socket) => !socket.destroyed && !socket.readableEnded).length;
  }
}

interface Attacked {
  readonly node: RunningNode;
  readonly port: number;
  readonly bystander: WirePeer;
  readonly slow: SlowHandshakes;
  readonly residentAtStart: number;
}

const attacked = new Map<string, Attacked>();
let trickling: NodeJS.Timeout | undefined;

beforeAll(async () => {
  const catalog = writeCatalog(catalogText());
  await Promise.all(
    transports.map(async (transport) => {
      const node = await RunningNode.start({ transport, catalog, workers: 1 });
      const port = Number(new URL(node.url).port);
      const bystander = await WirePeer.connect(node.url);
      await bystander.must({ op: 'ping' });
      const residentAtStart = residentBytes(node.pid);
      attacked.set(transport, { node, port, bystander, slow: new SlowHandshakes(port), residentAtStart });
    }),
  );
  trickling = setInterval(() => {
    for (const { slow } of attacked.values()) slow.trickle();
  }, 200);
});

afterAll(() => {
  clearInterval(trickling);
  for (const { slow, bystander } of attacked.values()) {
    for (const socket of slow.sockets) socket.destroy();
    bystander.close();
  }
});

describe.each(transports)('hostile clients on %s', (transport) => {
  const server = (): Attacked => attacked.get(transport) as Attacked; // started before every test

  it('handshakes that never end keep no good client out', async () => {
    const peer = await WirePeer.connect(server().node.url);
    await peer.must({ op: 'ping' });
    peer.close();
  });

  it.each(BOMBS)('%s in %s costs its own request or connection only', async (_, encoding, bytes) => {
    const { node, bystander } = server();
    const peer = await WirePeer.connect(node.url, encoding);
    peer.sendBytes(bytes);
    const refused = until(() => peer.received.length > 0).then(() => peer.received[0]);
    const end = await Promise.race([peer.closed, refused]);
    if (typeof end === 'number') expect([1006, 1007, 1009]).toContain(end);
    else expect(end).toMatchObject({ ok: false, status: 'INVALID_ARGUMENT' });
    await bystander.must({ op: 'ping' });
    peer.close();
    await peer.closed;
    expect(peer.received.length).toBeLessThanOrEqual(1);
  });

  it('a request that comes one byte at a time is answered', async () => {
    const peer = await RawPeer.upgraded(server().port, { 'Sec-WebSocket-Protocol': 'opportune.v1.json' });
    peer.socket.setNoDelay(true);
    const payload = Buffer.from('{"id":5,"op":"decide","profile":"slow","slot":"home"}');
    for (const byte of clientFrame({ opcode: 1, payload })) {
      await new Promise((resolve) => peer.socket.write(Uint8Array.of(byte), resolve));
    }
    await until(() => peer.frames.length > 0);
    expect(JSON.parse(peer.frames[0]?.payload.toString() ?? '')).toMatchObject({ id: 5, ok: true });
    peer.socket.destroy();
  });

  it.each(['msgpack', 'json'] as const)('keys that collide in our tables are read right in %s', async (encoding) => {
    const { node, bystander } = server();
    const peer = await WirePeer.connect(node.url, encoding);
    const words = collidingWords(1_000);
    const properties = Object.fromEntries(words.map((word, index) => [word, index]));
    for (let round = 0; round < 3; round++) {
      await peer.must({ op: 'track', profile: 'flooded', event: 'view', properties, durability: 'applied' });
      // Told apart: a word that passed for another would be a key twice.
      const twice = await peer.ask({ op: 'decide', profile: 'flooded', slot: words[round], context: properties });
      expect(twice).toMatchObject({ ok: false, message: expect.stringContaining('slot') });
    }
    await bystander.must({ op: 'ping' });
    peer.close();
  });

  it('2,000 profiles of one partition stay apart', async () => {
    const peer = await WirePeer.connect(server().node.url);
    const keys = keysOfOnePartition(2_000);
    for (let at = 0; at < keys.length; at += 500) {
      const batch = keys
        .slice(at, at + 500)
        .map((profile, index) => ({ op: 'identify', profile, traits: { age: index % 100 } }));
      for (const reply of await peer.askBatch(batch)) expect(reply).toMatchObject({ ok: true, stateSeq: 1 });
    }
    const { record } = await peer.must({ op: 'profile', profile: keys[1_234] });
    expect(record.traits).toMatchObject({ age: 34 });
    peer.close();
  });

  it('1,000 connection attempts a second leave the others served', async () => {
    const { port, bystander } = server();
    const sockets: Socket[] = [];
    for (let tenth = 0; tenth < 10; tenth++) {
      for (let count = 0; count < ATTEMPTS_PER_SECOND / 10; count++) {
        const socket = quietSocket(port);
        // A third goes at once, a third leaves half a handshake, a third asks for what is not there.
        if (count % 3 === 0) socket.once('connect', () => socket.resetAndDestroy());
        else socket.end(count % 3 === 1 ? handshake().slice(0, 50) : 'GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n');
        sockets.push(socket);
      }
      await bystander.must({ op: 'ping' });
      await new Promise((resolve) => setTimeout(resolve, 100)); // the rate is the point of this test
    }
    const peer = await WirePeer.connect(server().node.url);
    await peer.must({ op: 'ping' });
    peer.close();
    for (const socket of sockets) socket.destroy();
  });

  it(`${IDLE_CONNECTIONS} idle connections cost bounded memory, and the others are served`, async (context) => {
    const { node, port, bystander } = server();
    if (openFilesMax() < IDLE_CONNECTIONS + 1_000) {
      console.warn(
        `SKIPPED: ${IDLE_CONNECTIONS} idle connections: only ${openFilesMax()} files may be open (ulimit -n)`,
      );
      context.skip();
    }
    const before = residentBytes(node.pid);
    const peers: RawPeer[] = [];
    for (let at = 0; at < IDLE_CONNECTIONS; at += 100) {
      const count = Math.min(100, IDLE_CONNECTIONS - at);
      peers.push(...(await Promise.all(Array.from({ length: count }, () => RawPeer.upgraded(port)))));
    }
    await until(async () => (await node.metric('opportune_connections')) > IDLE_CONNECTIONS);
    await bystander.must({ op: 'decide', profile: 'served', slot: 'home' });
    const bytesEach = Math.max(0, residentBytes(node.pid) - before) / IDLE_CONNECTIONS;
    console.info(`${transport}: ${IDLE_CONNECTIONS} idle connections at ${Math.round(bytesEach / 1024)} KB each`);
    expect(bytesEach).toBeLessThan(64 * 1024);
    for (const peer of peers) peer.socket.destroy();
    await until(async () => (await node.metric('opportune_connections')) < 10);
  }, 120_000);

  it('handshakes that never end are cut in the end, and memory has stayed within bounds', async () => {
    const { node, slow, residentAtStart, bystander } = server();
    await until(() => slow.openCount === 0);
    await bystander.must({ op: 'ping' });
    expect(residentBytes(node.pid) - residentAtStart).toBeLessThan(RESIDENT_GROWTH_BYTES_MAX);
    expect(node.logLines().filter(({ level }) => Number(level) >= 50)).toEqual([]);
  }, 60_000);
});
