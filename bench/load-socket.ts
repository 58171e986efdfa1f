/**
 * One raw WebSocket connection for load generation: RFC 6455 over node:net, nothing the measurement
 * does not need. Reads land in one reused buffer (no allocation a read); frames are appended to a slab
 * and leave together in one write a tick. A general client (ws, undici) costs the generator several
 * times more a message than the server it measures; this one was written so that the server is the
 * bottleneck. No TLS, no compression, no reconnect: a lost connection is a finding, not an event to hide.
 */
import { createHash, randomBytes } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { SUBPROTOCOL_MSGPACK, WEBSOCKET_PATH } from '../proto/limits.ts';
import { FrameReader } from './frame-reader.ts';
import { clientFrameHeader } from './frame-template.ts';

const SLAB_BYTES = 128 * 1024;
const HANDSHAKE_BYTES_MAX = 16 * 1024;
const HANDSHAKE_MILLIS_MAX = 10_000;
const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

export interface LoadSocketTarget {
  /** `ws://host:port[/path]`; the path defaults to the protocol's. */
  readonly url: string;
  readonly token: string | null;
}

export interface LoadSocketEvents {
  /** Data arrived; its messages follow, then `readEnd`. One clock reading here serves them all. */
  readBegin(): void;
  readEnd(): void;
  /** One reply message at `bytes[start, end)`, valid during the call only. */
  message(bytes: Uint8Array, start: number, end: number): void;
  /** Called once, whoever ended it. `reason` is for people. */
  closed(code: number, reason: string): void;
}

/** Why no connection came about; `message` says what to do. */
export class ConnectError extends Error {
  readonly code: 'ECONNECT' | 'EREFUSED' | 'EHANDSHAKE';

  constructor(code: ConnectError['code'], message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'ConnectError';
    this.code = code;
  }
}

interface Slab {
  readonly bytes: Uint8Array;
  length: number;
  readonly written: () => void;
}

export class LoadSocket {
  readonly #socket: Socket;
  readonly #events: LoadSocketEvents;
  readonly #spare: Slab[] = [];
  #slab: Slab;
  #isClosed = false;
  sentBytes = 0;
  receivedBytes = 0;

  private constructor(socket: Socket, events: LoadSocketEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#slab = this.#newSlab(SLAB_BYTES);
  }

  /** Connects, upgrades, and checks subprotocol and accept key. Rejects with ConnectError. */
  static connect(target: LoadSocketTarget, events: LoadSocketEvents): Promise<LoadSocket> {
    const url = new URL(target.url);
    const path = (url.pathname === '/' ? WEBSOCKET_PATH : url.pathname) + url.search;
    const key = randomBytes(16).toString('base64');
    return new Promise((resolve, reject) => {
      const reading = Buffer.allocUnsafeSlow(256 * 1024);
      let head: Buffer | null = Buffer.alloc(0);
      let connection: LoadSocket | null = null;
      let reader: FrameReader | null = null;

      const fail = (error: ConnectError): void => {
        clearTimeout(timer);
        socket.destroy();
        reject(error);
      };
      const received = (count: number, bytes: Uint8Array): boolean => {
        if (connection !== null && reader !== null) {
          connection.receivedBytes += count;
          events.readBegin();
          reader.push(bytes, 0, count);
          events.readEnd();
          return true;
        }
        if (head === null) return true;
        head = Buffer.concat([head, bytes.subarray(0, count)]);
        const headEnd = head.indexOf('\r\n\r\n');
        if (headEnd < 0) {
          if (head.length > HANDSHAKE_BYTES_MAX) {
            fail(new ConnectError('EHANDSHAKE', `${target.url} answers with an endless HTTP head`));
          }
          return true;
        }
        const refusal = handshakeRefusal(head.subarray(0, headEnd).toString('latin1'), key, target.url);
        if (refusal !== null) {
          fail(refusal);
          return true;
        }
        clearTimeout(timer);
        const opened = new LoadSocket(socket, events);
        connection = opened;
        reader = new FrameReader({
          message: events.message.bind(events),
          ping: (payload) => opened.#control(0xa, payload),
          close: (code, reason) => opened.#end(code, reason),
          violation: (reason) => opened.#end(1002, reason),
        });
        const rest = head.subarray(headEnd + 4);
        head = null;
        resolve(opened);
        if (rest.length > 0) {
          events.readBegin();
          reader.push(rest, 0, rest.length);
          events.readEnd();
        }
        return true;
      };
      const socket = connectTcp({
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port: Number(url.port || 80),
        noDelay: true,
        onread: { buffer: reading, callback: received },
      });
      const timer = setTimeout(
        () => fail(new ConnectError('EHANDSHAKE', `${target.url} did not upgrade within ${HANDSHAKE_MILLIS_MAX} ms`)),
        HANDSHAKE_MILLIS_MAX,
      );
      socket.on('connect', () => {
        const authorization = target.token === null ? '' : `Authorization: Bearer ${target.token}\r\n`;
        socket.write(
          `GET ${path} HTTP/1.1\r\nHost: ${url.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
            `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n` +
            `Sec-WebSocket-Protocol: ${SUBPROTOCOL_MSGPACK}\r\n${authorization}\r\n`,
        );
      });
      socket.on('error', (error) => {
        if (connection !== null) connection.#end(1006, error.message);
        else fail(new ConnectError('ECONNECT', `cannot connect to ${target.url}: ${error.message}`, error));
      });
      socket.on('close', () => {
        if (connection !== null) connection.#end(1006, 'the connection ended without a close frame');
        else fail(new ConnectError('ECONNECT', `${target.url} ended the connection during the handshake`));
      });
    });
  }

  get isOpen(): boolean {
    return !this.#isClosed;
  }

  /**
   * Copies `frame` to the end of what the next flush sends. Returns where it begins in `outgoing`, so
   * that the caller patches its fields there.
   */
  append(frame: Uint8Array): number {
    if (this.#slab.length + frame.length > this.#slab.bytes.length) {
      this.flush();
      if (frame.length > this.#slab.bytes.length) this.#slab = this.#newSlab(frame.length);
    }
    const at = this.#slab.length;
    this.#slab.bytes.set(frame, at);
    this.#slab.length = at + frame.length;
    return at;
  }

  /** The buffer that `append` wrote to last. */
  get outgoing(): Uint8Array {
    return this.#slab.bytes;
  }

  /** Hands the appended frames to the kernel in one write. */
  flush(): void {
    const slab = this.#slab;
    if (slab.length === 0) return;
    if (this.#isClosed) {
      slab.length = 0;
      return;
    }
    this.sentBytes += slab.length;
    this.#slab = this.#spare.pop() ?? this.#newSlab(SLAB_BYTES);
    // The slab belongs to the socket until `written`: only then does it become spare.
    this.#socket.write(slab.bytes.subarray(0, slab.length), slab.written);
  }

  /** Sends a close frame and ends the connection. Harmless when it has ended. */
  close(): void {
    if (this.#isClosed) return;
    this.flush();
    this.#control(0x8, Uint8Array.of(0x03, 0xe8));
    this.#end(1000, 'closed by the bench');
  }

  #control(opcode: number, payload: Uint8Array): void {
    if (this.#isClosed) return;
    const header = clientFrameHeader(opcode, payload.length);
    const frame = new Uint8Array(header.length + payload.length);
    frame.set(header);
    frame.set(payload, header.length);
    this.#socket.write(frame);
  }

  #end(code: number, reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.end();
    this.#socket.destroySoon();
    this.#events.closed(code, reason);
  }

  #newSlab(bytes: number): Slab {
    const slab: Slab = {
      bytes: new Uint8Array(bytes),
      length: 0,
      written: () => {
        slab.length = 0;
        if (bytes === SLAB_BYTES) this.#spare.push(slab);
      },
    };
    return slab;
  }
}

function handshakeRefusal(head: string, key: string, url: string): ConnectError | null {
  const [statusLine = '', ...lines] = head.split('\r\n');
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  if (!/^HTTP\/1\.1 101(\s|$)/.test(statusLine)) {
    const hint = / 401(\s|$)/.test(statusLine) ? ' (set OPPORTUNE_TOKEN or OPPORTUNE_TOKEN_FILE)' : '';
    return new ConnectError('EREFUSED', `${url} refused the upgrade: ${statusLine.slice(0, 80)}${hint}`);
  }
  const accept = createHash('sha1')
    .update(key + WEBSOCKET_GUID)
    .digest('base64');
  if (headers.get('sec-websocket-accept') !== accept) {
    return new ConnectError('EHANDSHAKE', `${url} answered the upgrade with a wrong Sec-WebSocket-Accept`);
  }
  const subprotocol = headers.get('sec-websocket-protocol');
  if (subprotocol !== SUBPROTOCOL_MSGPACK) {
    return new ConnectError(
      'EHANDSHAKE',
      `${url} chose subprotocol ${subprotocol ?? '(none)'}, not ${SUBPROTOCOL_MSGPACK}`,
    );
  }
  return null;
}
