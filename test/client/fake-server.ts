/**
 * A server of the protocol in a few lines, for the client's tests: real sockets on a free port, `ws` and
 * msgpackr instead of our own codec (so that a mistake in ours cannot cancel itself out), and every answer
 * decided by the test. It keeps what it received, and can drop, delay, misdirect or refuse.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Packr } from 'msgpackr';
import { type WebSocket, WebSocketServer } from 'ws';
import { FAULT, type Fault } from '../../proto/statuses.ts';

const packr = new Packr({ useRecords: false, int64AsType: 'number' });

export interface Received {
  readonly id: number;
  readonly op: string;
  readonly [field: string]: unknown;
}
/** What to do with a request: the fields of an ok reply, a fault, or undefined for no reply at all. */
export type Answer = Readonly<Record<string, unknown>> | Fault | undefined;
export type Respond = (request: Received, server: FakeServer) => Answer | Promise<Answer>;

export class FakeServer {
  readonly port: number;
  readonly url: string;
  readonly received: Received[] = [];
  readonly frames: number[] = [];
  /** Event and message ids applied, as a real server would: once each. */
  readonly applied = new Set<string>();
  readonly tokens: string[] = [];
  respond: Respond;
  shards: { url: string; partitions: number[] }[] = [];
  connectionCount = 0;
  readonly #server: WebSocketServer;
  readonly #sockets = new Set<WebSocket>();

  private constructor(server: WebSocketServer, respond: Respond) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port; // listens on TCP
    this.url = `ws://127.0.0.1:${this.port}`;
    this.respond = respond;
    this.#listen();
  }

  static async start(respond: Respond = defaultRespond, port = 0): Promise<FakeServer> {
    const server = new WebSocketServer({ port, host: '127.0.0.1', path: '/v1/ws' });
    await once(server, 'listening');
    return new FakeServer(server, respond);
  }

  #listen(): void {
    this.#server.on('connection', (socket, request) => {
      this.connectionCount++;
      this.#sockets.add(socket);
      const query = new URL(request.url ?? '/', 'ws://x').searchParams.get('token');
      this.tokens.push(request.headers.authorization ?? query ?? '');
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('message', (data: Buffer, isBinary) => {
        const frame = isBinary ? packr.unpack(data) : JSON.parse(data.toString());
        const requests = (Array.isArray(frame) ? frame : [frame]) as Received[];
        this.frames.push(requests.length);
        for (const one of requests) void this.#answer(socket, one, isBinary);
      });
    });
  }

  async #answer(socket: WebSocket, request: Received, isBinary: boolean): Promise<void> {
    this.received.push(request);
    const answer = await this.respond(request, this);
    if (answer === undefined) return;
    const body =
      'retry' in answer
        ? { id: request.id, ok: false, message: 'refused by the test', ...answer }
        : { id: request.id, ok: true, serverMicros: 1, ...answer };
    this.sendTo(socket, body, isBinary);
  }

  sendTo(socket: WebSocket, body: unknown, isBinary: boolean): void {
    socket.send(isBinary ? packr.pack(body) : JSON.stringify(body));
  }

  /** Sends the same value to every connection, as MessagePack. */
  broadcast(body: unknown): void {
    for (const socket of this.#sockets) this.sendTo(socket, body, true);
  }

  raw(bytes: Uint8Array): void {
    for (const socket of this.#sockets) socket.send(bytes);
  }

  /** Closes every connection: with a code, or without a word when it is 0. */
  drop(code = 0): void {
    for (const socket of this.#sockets) {
      if (code === 0) socket.terminate();
      else socket.close(code);
    }
  }

  of(op: string): Received[] {
    return this.received.filter((request) => request.op === op);
  }

  async stop(): Promise<void> {
    this.drop();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Answers as a healthy server would, with the least there can be in each reply. */
export function defaultRespond(request: Received, server: FakeServer): Answer {
  switch (request.op) {
    case 'hello':
      return {
        server: 'fake',
        protocol: 1,
        limits: {},
        partitions: 256,
        shards: server.shards,
        epoch: 1,
        timeEpochMillis: 1,
      };
    case 'ping':
      return { timeEpochMillis: 1763843794000 };
    case 'track': {
      const key = String(request.messageId);
      const duplicate = server.applied.has(key);
      server.applied.add(key);
      return { stateSeq: server.applied.size, durability: 'committed', duplicate };
    }
    case 'decide':
      return {
        decisionId: 'AAAAAAAAAAAAAAAAAAAA',
        stateSeq: 1,
        catalogVersion: 'c',
        modelVersion: 1,
        actions: [],
        fallback: false,
      };
    case 'profile':
      return { stateSeq: 1, record: { traits: { a: 1 } } };
    case 'identify':
    case 'confirm':
    case 'release':
      return { stateSeq: 7 };
    default:
      return FAULT.unknownOperation;
  }
}
