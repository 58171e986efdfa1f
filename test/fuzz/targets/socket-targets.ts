/**
 * Bytes on real sockets: streams of WebSocket frames behind a good handshake on both transports, whole streams
 * without one, and HTTP requests to the admin port. Each input is a connection of its own; a bystander on the
 * same server must be served after every batch, and the server's counts must come back to it alone.
 */
import { createConnection, type Socket } from 'node:net';
import { startAdminHttp } from '../../../server/admin-http.ts';
import { loadNative } from '../../../server/uws-native.ts';
import type { AdapterName, Recorded } from '../../server/transport-peer.ts';
import { clientFrame, handshake, RawPeer, startRecorded } from '../../server/transport-peer.ts';
import { bytesOf, demand, type FuzzSubject, type FuzzTarget, fold } from '../fuzz-target.ts';

/** A bystander that waits longer is not served; far beyond what a busy machine needs. */
const SERVED_MILLIS_MAX = 10_000;
const NODE_STATUS = {
  version: '0',
  isDraining: false,
  startedAtEpochMillis: 0,
  catalog: { name: 'fuzz', version: '0', refused: null },
  shards: [],
};

async function until(holds: () => boolean, what: string): Promise<void> {
  const start = performance.now();
  while (!holds()) {
    demand(performance.now() - start < SERVED_MILLIS_MAX, what);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Sends the input over a connection of its own and half-closes it; the answer, once the server has closed too. */
function exchange(port: number, input: Uint8Array): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket: Socket = createConnection(port, '127.0.0.1');
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => {}); // A reset is an end as well.
    socket.on('close', () => resolve(Buffer.concat(chunks)));
    socket.end(input);
  });
}

class FrameSubject implements FuzzSubject {
  readonly #server: Recorded;
  readonly #bystander: RawPeer;
  readonly #adapter: AdapterName;
  #asked = 0;

  private constructor(adapter: AdapterName, server: Recorded, bystander: RawPeer) {
    this.#adapter = adapter;
    this.#server = server;
    this.#bystander = bystander;
  }

  static async start(adapter: AdapterName): Promise<FrameSubject> {
    const server = await startRecorded(adapter, { connectionsMax: 1000 });
    return new FrameSubject(adapter, server, await RawPeer.upgraded(server.port));
  }

  run(): number {
    throw new Error('inputs go over sockets');
  }

  /** The first byte chooses whether a good handshake goes before the rest. */
  async runMany(inputs: readonly Uint8Array[]): Promise<number[]> {
    const signatures = await Promise.all(
      inputs.map((input) => {
        const rest = input.subarray(1);
        if (((input[0] ?? 0) & 7) === 7) return exchange(this.#server.port, rest).then(statusOf);
        return this.#converse(rest);
      }),
    );
    await until(() => this.#server.transport.connectionCount() === 1, `${this.#adapter} keeps connections that ended`);
    this.#asked++;
    const { frames } = this.#bystander;
    const ping = clientFrame({ opcode: 2, payload: Buffer.from(`are you there ${this.#asked}`) });
    this.#bystander.socket.write(ping);
    await until(() => frames.length > 0, `${this.#adapter} does not serve the bystander`);
    demand(frames[0]?.payload.toString() === `are you there ${this.#asked}`, 'the bystander got what is not its own');
    frames.length = 0;
    this.#forget();
    return signatures;
  }

  /** The recording grows with each message; nothing here looks back. */
  #forget(): void {
    const { messages, closes, upgrades, opened } = this.#server;
    for (const list of [messages, closes, upgrades, opened]) list.length = 0;
  }

  async #converse(bytes: Uint8Array): Promise<number> {
    const peer = new RawPeer(this.#server.port);
    peer.socket.write(handshake());
    await until(() => peer.head !== undefined || peer.isEnded, 'no answer to a good handshake');
    demand(peer.httpStatus === 101, `a good handshake was answered ${peer.httpStatus}`);
    peer.socket.end(bytes);
    await until(() => peer.isEnded, 'a connection that its peer has ended stays open');
    peer.socket.destroy();
    let signature = fold(1, peer.closeCode ?? 0);
    for (const { opcode } of peer.frames.slice(0, 4)) signature = fold(signature, opcode);
    return signature;
  }

  async close(): Promise<void> {
    this.#bystander.socket.destroy();
    this.#server.transport.closeAll(1001, '');
  }
}

function statusOf(answer: Buffer): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer.toString('latin1', 0, 16))?.[1] ?? 0);
}

async function startAdmin(): Promise<FuzzSubject> {
  const admin = await startAdminHttp(
    { host: '127.0.0.1', port: 0, hosts: [] },
    {
      status: () => NODE_STATUS as never, // the routes read these members only
      metricsText: async () => '# HELP a b\n',
      catalogSchema: async () => ({}),
      drill: () => null,
    },
  );
  const isHealthyNow = async (): Promise<boolean> => {
    const answer = await exchange(admin.port, Buffer.from('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'));
    return statusOf(answer) === 200;
  };
  return {
    run: () => {
      throw new Error('inputs go over sockets');
    },
    runMany: async (inputs) => {
      const answers = await Promise.all(inputs.map((input) => exchange(admin.port, input)));
      const statuses = answers.map((answer) => {
        const status = statusOf(answer);
        demand(status !== 500, `answered ${answer.toString('latin1', 0, 400)}`);
        demand(
          answer.length === 0 || status >= 100,
          `an answer that is not HTTP: ${answer.toString('latin1', 0, 400)}`,
        );
        return status;
      });
      demand(await isHealthyNow(), 'the admin port does not answer any more');
      return statuses;
    },
    close: () => admin.close(),
  };
}

const FRAMES = [
  clientFrame({ opcode: 2, payload: Buffer.from('binary') }),
  clientFrame({ opcode: 1, payload: Buffer.from('text ü') }),
  clientFrame({ opcode: 9, payload: Buffer.from('ping') }),
  clientFrame({ opcode: 10 }),
  clientFrame({ opcode: 8, payload: Buffer.from([3, 232]) }),
  clientFrame({ opcode: 2, isFinal: false, payload: Buffer.from('one') }),
  clientFrame({ opcode: 0, payload: Buffer.from('two') }),
  clientFrame({ opcode: 2, payload: Buffer.alloc(200) }),
  Buffer.from([0x82, 0xfe, 0xff, 0xff, 0, 0, 0, 0]),
  Buffer.from([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
];

function frameTarget(adapter: AdapterName): FuzzTarget {
  return {
    name: `frames-${adapter}`,
    about: 'whatever a connection sends, it ends, leaves nothing behind, and another is served',
    share: 0.1,
    inputBytesMax: 600,
    covers: [],
    dictionary: [
      ...FRAMES,
      ...bytesOf(['\r\n\r\n', 'Upgrade: websocket\r\n', 'Sec-WebSocket-Key: x\r\n', 'Content-Length: 5\r\n']),
    ],
    seeds: () => [
      ...FRAMES.map((frame) => Uint8Array.from([0, ...frame])),
      Uint8Array.from([0, ...Buffer.concat(FRAMES)]),
      Uint8Array.from([0, ...Buffer.concat(FRAMES.slice(5, 7))]),
      ...bytesOf([handshake(), handshake({ Upgrade: null }), 'GET / HTTP/1.1\r\n\r\n']).map((b) =>
        Uint8Array.from([7, ...b]),
      ),
    ],
    create: () => FrameSubject.start(adapter),
  };
}

const ADMIN_TARGET: FuzzTarget = {
  name: 'admin-http',
  about: 'every request gets an answer or an end, none of them 500, and the next one is served',
  share: 0.1,
  inputBytesMax: 600,
  covers: [],
  dictionary: bytesOf([
    '\r\n',
    '\r\n\r\n',
    'GET ',
    'POST ',
    'HEAD ',
    ' HTTP/1.1',
    'Host: localhost\r\n',
    'Origin: http://a\r\n',
    '/metrics',
    '//a/b',
    '/v1/drill/worker-exit?worker=',
    '%',
    '%00',
    '?',
    '#',
    'Content-Length: 0\r\n',
    'Transfer-Encoding: chunked\r\n',
    '[::1]',
    'Expect: 100-continue\r\n',
    'Connection: close\r\n',
    'http://a/',
    '\u0000',
    '../',
  ]),
  seeds: () =>
    bytesOf([
      'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
      'GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:1\r\nConnection: close\r\n\r\n',
      'HEAD /metrics HTTP/1.1\r\nHost: [::1]\r\n\r\nGET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n',
      'POST /v1/drill/worker-exit?worker=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n',
      'GET //a/b?c#d HTTP/1.1\r\nHost: evil\r\nOrigin: null\r\n\r\n',
    ]),
  create: startAdmin,
};

/** The native transport only where its library loads, which is for Node 20. */
export const SOCKET_TARGETS: readonly FuzzTarget[] = [
  ...(loadNative().library === undefined ? [] : [frameTarget('uws')]),
  frameTarget('ws'),
  ADMIN_TARGET,
];
