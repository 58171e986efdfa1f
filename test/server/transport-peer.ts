/**
 * What the transport tests share: a server on a free port that records what its handler is told, and a
 * raw peer that writes any bytes at all and splits what comes back into HTTP head and frames. Nothing
 * sleeps: every wait is for a condition that the event under test makes true, and a wait that is never
 * satisfied fails by the test's own time limit with the state at that moment.
 */
import { createConnection, type Socket } from 'node:net';
import { LIMITS, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK, WEBSOCKET_PATH } from '../../proto/limits.ts';
import { selectTransport } from '../../server/select-transport.ts';
import type {
  Connection,
  Transport,
  TransportHandler,
  TransportLimits,
  UpgradeRequest,
  UpgradeVerdict,
} from '../../server/transport.ts';

export type AdapterName = 'uws' | 'ws';

export const TEST_LIMITS: TransportLimits = {
  frameBytesMax: LIMITS.frameBytesMax,
  sendBufferBytesMax: 1024 * 1024,
  idleTimeoutSeconds: 60,
  connectionsMax: 100,
};

export interface Recorded {
  readonly transport: Transport;
  readonly port: number;
  readonly upgrades: UpgradeRequest[];
  readonly opened: Connection[];
  readonly messages: { readonly bytes: Buffer; readonly isBinary: boolean }[];
  readonly closes: number[];
  drains: number;
  /** Replaces the default answer to a message, which is the same message. */
  onMessage: (connection: Connection, bytes: Uint8Array, isBinary: boolean) => void;
  onUpgrade: (request: UpgradeRequest) => UpgradeVerdict | Promise<UpgradeVerdict>;
}

/** Accepts a known subprotocol and refuses the rest, as the session layer does. */
function judgeBySubprotocol(request: UpgradeRequest): UpgradeVerdict {
  const known = [SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON];
  const subprotocol = request.subprotocols.find((name) => known.includes(name));
  if (subprotocol === undefined) return { accept: false, httpStatus: 400, reason: 'no known subprotocol' };
  return { accept: true, subprotocol };
}

export async function startRecorded(
  adapter: AdapterName,
  limits: Partial<TransportLimits> = {},
  address: { port?: number; isShared?: boolean } = {},
): Promise<Recorded> {
  const handler: TransportHandler = {
    onUpgrade: (request) => {
      recorded.upgrades.push(request);
      return recorded.onUpgrade(request);
    },
    onOpen: (connection) => {
      recorded.opened.push(connection);
    },
    onMessage: (connection, bytes, isBinary) => {
      recorded.messages.push({ bytes: Buffer.from(bytes), isBinary });
      recorded.onMessage(connection, bytes, isBinary);
    },
    onDrain: () => {
      recorded.drains += 1;
    },
    onClose: (_connection, code) => {
      recorded.closes.push(code);
    },
  };
  const transport = (await selectTransport(adapter)).factory.create(handler, { ...TEST_LIMITS, ...limits });
  const recorded: Recorded = {
    transport,
    port: await transport.listen({ host: '127.0.0.1', port: address.port ?? 0, isShared: address.isShared ?? false }),
    upgrades: [],
    opened: [],
    messages: [],
    closes: [],
    drains: 0,
    onMessage: (connection, bytes, isBinary) => {
      connection.send(bytes, isBinary);
    },
    onUpgrade: judgeBySubprotocol,
  };
  return recorded;
}

/** Waits, one turn of the event loop at a time, until the condition holds. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** The upgrade request as text; a header given as null is left out. */
export function handshake(headers: Readonly<Record<string, string | null>> = {}, target = WEBSOCKET_PATH): string {
  const all: Record<string, string | null> = {
    Host: '127.0.0.1',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Protocol': SUBPROTOCOL_MSGPACK,
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}`]));
  return `GET ${target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
}

export interface FrameParts {
  readonly opcode: number;
  readonly payload?: Uint8Array;
  readonly isFinal?: boolean;
  readonly reservedBits?: number;
  readonly isMasked?: boolean;
}

/** A client frame with any of its parts wrong on demand. */
export function clientFrame(parts: FrameParts): Buffer {
  const payload = Buffer.from(parts.payload ?? []);
  const { length } = payload;
  const isMasked = parts.isMasked ?? true;
  const first = ((parts.isFinal ?? true) ? 0x80 : 0) | ((parts.reservedBits ?? 0) << 4) | parts.opcode;
  const maskBit = isMasked ? 0x80 : 0;
  let header: Buffer;
  if (length < 126) {
    header = Buffer.from([first, maskBit | length]);
  } else if (length < 65_536) {
    header = Buffer.from([first, maskBit | 126, length >> 8, length & 255]);
  } else {
    header = Buffer.from([first, maskBit | 127, 0, 0, 0, 0, 0, 0, 0, 0]);
    header.writeUInt32BE(length, 6);
  }
  if (!isMasked) return Buffer.concat([header, payload]);
  const mask = Buffer.from([0x12, 0x34, 0x56, 0x78]);
  return Buffer.concat([header, mask, payload.map((byte, index) => byte ^ (mask[index & 3] ?? 0))]);
}

export interface ServerFrame {
  readonly opcode: number;
  readonly payload: Buffer;
}

/** A TCP socket that speaks only what the test writes. */
export class RawPeer {
  readonly socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #head: string | undefined = undefined;
  readonly frames: ServerFrame[] = [];
  isEnded = false;

  constructor(port: number) {
    this.socket = createConnection(port, '127.0.0.1');
    this.socket.on('data', (chunk: Buffer) => this.#take(chunk));
    this.socket.on('end', () => {
      this.isEnded = true;
    });
    this.socket.on('error', () => {
      this.isEnded = true; // A reset is an end too; the tests look at what arrived before it.
    });
    this.socket.on('close', () => {
      this.isEnded = true;
    });
  }

  /** Connects and completes the upgrade. */
  static async upgraded(port: number, headers: Readonly<Record<string, string | null>> = {}): Promise<RawPeer> {
    const peer = new RawPeer(port);
    peer.socket.write(handshake(headers));
    await until(() => peer.head !== undefined || peer.isEnded);
    if (peer.httpStatus !== 101) throw new Error(`not upgraded: ${peer.head ?? 'no answer'}`);
    return peer;
  }

  /** The HTTP head of the answer, undefined before it is complete. */
  get head(): string | undefined {
    return this.#head;
  }

  get httpStatus(): number {
    return Number(/^HTTP\/1\.1 (\d+)/.exec(this.#head ?? '')?.[1] ?? 0);
  }

  /** The code in the server's close frame: 1005 when it has none, undefined when no such frame came. */
  get closeCode(): number | undefined {
    const frame = this.frames.find((candidate) => candidate.opcode === 8);
    if (frame === undefined) return undefined;
    return frame.payload.length >= 2 ? frame.payload.readUInt16BE(0) : 1005;
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    if (this.#head === undefined) {
      const end = this.#received.indexOf('\r\n\r\n');
      if (end < 0) return;
      this.#head = this.#received.toString('latin1', 0, end);
      this.#received = this.#received.subarray(end + 4);
    }
    if (this.httpStatus === 101) this.#splitFrames();
  }

  #splitFrames(): void {
    for (;;) {
      const bytes = this.#received;
      if (bytes.length < 2) return;
      const short = (bytes[1] ?? 0) & 0x7f;
      const headerBytes = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (bytes.length < headerBytes) return;
      const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : bytes.readUInt32BE(6);
      if (bytes.length < headerBytes + length) return;
      this.frames.push({
        opcode: (bytes[0] ?? 0) & 0x0f,
        payload: Buffer.from(bytes.subarray(headerBytes, headerBytes + length)),
      });
      this.#received = bytes.subarray(headerBytes + length);
    }
  }
}
