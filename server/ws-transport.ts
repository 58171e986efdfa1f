/**
 * The transport that works everywhere: the `ws` library behind Node's own HTTP server, used wherever the
 * native one does not load. It is held to the same behaviour by the same suite, and keeps the RFC 6455
 * rules the native core breaks (each malformed frame gets its close code), at a lower rate. This file has
 * the listening, the handshake, the gathering of sends and the idle sweep; `ws-connection.ts` has the sending.
 *
 * Listening on a shared port needs Node 22.12 or newer; before that one thread accepts for all.
 */
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import { createRequire } from 'node:module';
import type { AddressInfo, ListenOptions, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ServerOptions, WebSocket, WebSocketServer } from 'ws';
import { CLOSE_CODE } from '../proto/limits.ts';
import { listenError } from './listen-port.ts';
import type {
  Connection,
  ListenAddress,
  Transport,
  TransportFactory,
  TransportHandler,
  TransportLimits,
  TransportTls,
  UpgradeVerdict,
} from './transport.ts';
import { TransportError } from './transport-error.ts';
import type { Refusal } from './websocket-rules.ts';
import {
  CLOSE_GRACE_MILLIS,
  HTTP_STATUS_LINE,
  judgeAgain,
  judgeUpgrade,
  refusalHeaders,
  refusePlainRequest,
} from './websocket-rules.ts';
import type { ConnectionOwner } from './ws-connection.ts';
import { FRAME_HEADER_BYTES_MAX, SWEEPS_BEFORE_CUT, WsConnection, writeFrame } from './ws-connection.ts';

/** A client that has not sent its whole handshake by then is cut. */
const HANDSHAKE_MILLIS_MAX = 10_000;
const HANDSHAKE_HEADER_BYTES_MAX = 8 * 1024;
/** Sockets in the middle of a handshake, beyond the connections; more are cut unanswered. */
const HANDSHAKES_MAX = 256;
/** Sends of one tick are gathered to chunks of this size; a larger one saves few further system calls. */
const GATHER_BYTES = 64 * 1024;

/** The library answers a close frame by calling `close`, also on its own: gathered frames go before it. */
class OrderedWebSocket extends WebSocket {
  beforeClose: (() => void) | undefined = undefined;

  override close(code?: number, reason?: string | Buffer): void {
    this.beforeClose?.();
    super.close(code, reason);
  }
}

class WsTransport implements Transport, ConnectionOwner {
  readonly name = 'ws';
  readonly provenance = `ws ${libraryVersion()} on Node ${process.versions.node}`;
  readonly #handler: TransportHandler;
  readonly #limits: TransportLimits;
  readonly #connections = new Set<WsConnection>();
  /** Closed by us, still waiting for the peer's close frame. */
  readonly #closing = new Set<WsConnection>();
  readonly #http: Server;
  readonly #webSockets: WebSocketServer;
  /** Frames of one connection, `#gathering`, that leave together at the end of the tick. */
  readonly #gatherBuffer = Buffer.allocUnsafeSlow(GATHER_BYTES);
  #gathering: WsConnection | undefined = undefined;
  #gatheredBytes = 0;
  #isFlushDue = false;
  readonly #onTickEnd = (): void => {
    this.#isFlushDue = false;
    this.#flush();
  };
  /** The subprotocol of the upgrade under way; the library asks for it in the same call. */
  #acceptedSubprotocol = '';
  #sweepTimer: NodeJS.Timeout | undefined = undefined;
  #isClosed = false;

  constructor(handler: TransportHandler, limits: TransportLimits, tls: TransportTls | undefined) {
    assert(limits.frameBytesMax > 0 && limits.sendBufferBytesMax > 0, 'limits must be positive');
    this.#handler = handler;
    this.#limits = limits;
    const options: ServerOptions<typeof OrderedWebSocket> & { closeTimeout: number } = {
      WebSocket: OrderedWebSocket,
      noServer: true,
      clientTracking: false,
      maxPayload: limits.frameBytesMax,
      perMessageDeflate: false,
      autoPong: false,
      closeTimeout: CLOSE_GRACE_MILLIS,
      handleProtocols: () => this.#acceptedSubprotocol,
    };
    this.#webSockets = new WebSocketServer(options);
    const httpOptions = {
      maxHeaderSize: HANDSHAKE_HEADER_BYTES_MAX,
      headersTimeout: HANDSHAKE_MILLIS_MAX,
      requestTimeout: HANDSHAKE_MILLIS_MAX,
      connectionsCheckingInterval: HANDSHAKE_MILLIS_MAX / 4,
    };
    this.#http =
      tls === undefined
        ? createServer(httpOptions, answerPlainRequest)
        : createTlsServer({ ...httpOptions, ...tls, handshakeTimeout: HANDSHAKE_MILLIS_MAX }, answerPlainRequest);
    this.#http.maxConnections = limits.connectionsMax + HANDSHAKES_MAX;
    this.#http.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socket, head));
  }

  listen(address: ListenAddress): Promise<number> {
    assert(!this.#http.listening && !this.#isClosed, 'a transport listens once');
    const { host, port, isShared } = address;
    if (isShared && !canReusePort()) {
      const what = `Node ${process.versions.node} cannot share port ${port} between threads`;
      const advice = 'use one listening thread, the uws transport, or Node 22.12 or newer on Linux';
      return Promise.reject(new TransportError('PORT_NOT_SHAREABLE', what, advice));
    }
    const options: ListenOptions & { reusePort: boolean } = { host, port, exclusive: true, reusePort: isShared };
    return new Promise((resolve, reject) => {
      const fail = (cause: Error): void => reject(listenError(host, port, cause));
      this.#http.once('error', fail);
      this.#http.listen(options, () => {
        this.#http.off('error', fail);
        const sweepMillis = (this.#limits.idleTimeoutSeconds * 1000) / SWEEPS_BEFORE_CUT;
        this.#sweepTimer = setInterval(() => this.#sweep(), sweepMillis).unref();
        resolve((this.#http.address() as AddressInfo).port); // A listening TCP server has such an address.
      });
    });
  }

  stopListening(): void {
    if (this.#http.listening) this.#http.close();
  }

  replaceTls(tls: TransportTls): void {
    // Open connections keep what they agreed on; the next handshake sees the new certificate.
    if (this.#http instanceof TlsServer) this.#http.setSecureContext(tls);
  }

  connectionCount(): number {
    return this.#connections.size;
  }

  forEachConnection(visit: (connection: Connection) => void): void {
    for (const connection of this.#connections) visit(connection);
  }

  closeAll(code: number, reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#sweepTimer);
    try {
      this.stopListening();
      for (const connection of this.#connections) connection.close(code, reason);
    } finally {
      for (const connection of this.#connections) connection.cut();
      for (const connection of this.#closing) connection.cut();
      this.#http.closeAllConnections();
    }
  }

  onConnectionClosed(connection: WsConnection, code: number): void {
    if (!this.#connections.delete(connection)) return;
    this.#closing.add(connection);
    this.#handler.onClose(connection, code);
  }

  onConnectionDrained(connection: WsConnection): void {
    this.#handler.onDrain(connection);
  }

  gather(connection: WsConnection, bytes: Uint8Array, isBinary: boolean): boolean {
    const frameBytesMax = FRAME_HEADER_BYTES_MAX + bytes.byteLength;
    if (this.#gathering !== connection || this.#gatheredBytes + frameBytesMax > GATHER_BYTES) this.#flush();
    if (frameBytesMax > GATHER_BYTES) return false;
    this.#gathering = connection;
    this.#gatheredBytes = writeFrame(this.#gatherBuffer, this.#gatheredBytes, bytes, isBinary);
    if (!this.#isFlushDue) {
      this.#isFlushDue = true;
      process.nextTick(this.#onTickEnd);
    }
    return true;
  }

  #flush(): void {
    const connection = this.#gathering;
    if (connection === undefined) return;
    const chunk = Buffer.from(this.#gatherBuffer.subarray(0, this.#gatheredBytes));
    this.#gathering = undefined;
    this.#gatheredBytes = 0;
    connection.write(chunk);
  }

  #onUpgrade(request: IncomingMessage, duplex: Duplex, head: Buffer): void {
    const socket = duplex as Socket; // The HTTP server hands out the net.Socket it accepted.
    const { headers } = request;
    const { path, query } = splitTarget(request.url ?? '');
    if (request.method !== 'GET' || headers.upgrade?.toLowerCase() !== 'websocket') {
      refuse(socket, refusePlainRequest(path, headers.upgrade ?? ''));
      return;
    }
    const fields = {
      path,
      query,
      key: headers['sec-websocket-key'] ?? '',
      version: headers['sec-websocket-version'] ?? '',
      protocols: headers['sec-websocket-protocol'] ?? '',
      origin: headers.origin ?? '',
      authorization: headers.authorization ?? '',
      gpc: String(headers['sec-gpc'] ?? ''),
      address: socket.remoteAddress ?? '',
    };
    const verdict = judgeUpgrade(fields, this.#handler, this.#limits, this.#connections.size);
    if (!(verdict instanceof Promise)) {
      this.#finishUpgrade(request, socket, head, verdict);
      return;
    }
    // Until the library or `refuse` has the socket, an error of it is ours to hear.
    const onError = (): void => void socket.destroy();
    socket.on('error', onError);
    void verdict.then((late) => {
      if (socket.destroyed || !socket.writable || this.#isClosed) {
        socket.destroy();
        return;
      }
      this.#finishUpgrade(request, socket, head, judgeAgain(late, this.#limits, this.#connections.size));
      socket.off('error', onError);
    });
  }

  #finishUpgrade(request: IncomingMessage, socket: Socket, head: Buffer, verdict: UpgradeVerdict): void {
    if (!verdict.accept) {
      refuse(socket, verdict);
      return;
    }
    const { subprotocol, admission } = verdict;
    this.#acceptedSubprotocol = subprotocol;
    this.#webSockets.handleUpgrade(request, socket, head, (opened) => {
      const webSocket = opened as OrderedWebSocket; // The class named in the options of the library's server.
      const { sendBufferBytesMax } = this.#limits;
      this.#onOpen(new WsConnection(this, webSocket, socket, subprotocol, admission, sendBufferBytesMax), webSocket);
    });
  }

  #onOpen(connection: WsConnection, webSocket: OrderedWebSocket): void {
    const handler = this.#handler;
    webSocket.beforeClose = () => this.#flush();
    webSocket.on('message', (data, isBinary) => {
      connection.onHeard();
      // With the default binaryType every message is one Buffer.
      if (connection.isOpen) handler.onMessage(connection, data as Buffer, isBinary);
    });
    webSocket.on('ping', (payload) => connection.onPing(payload));
    webSocket.on('pong', () => connection.onHeard());
    // The library has sent its close frame; 'close' follows once the peer has answered or time is up.
    webSocket.on('error', (error) => connection.onLibraryClose(codeOfFailure(error)));
    webSocket.on('close', (code) => {
      connection.onLibraryClose(code);
      this.#closing.delete(connection);
    });
    this.#connections.add(connection);
    handler.onOpen(connection);
  }

  #sweep(): void {
    for (const connection of this.#connections) connection.onSweep();
  }
}

function codeOfFailure(error: Error): number {
  const code = 'code' in error ? String(error.code) : '';
  if (code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') return CLOSE_CODE.tooBig;
  if (code === 'WS_ERR_INVALID_UTF8') return CLOSE_CODE.badPayload;
  return code.startsWith('WS_ERR_') ? 1002 : 1006;
}

function splitTarget(target: string): { path: string; query: string } {
  const mark = target.indexOf('?');
  return mark < 0 ? { path: target, query: '' } : { path: target.slice(0, mark), query: target.slice(mark + 1) };
}

function answerPlainRequest(request: IncomingMessage, response: ServerResponse): void {
  const refusal = refusePlainRequest(splitTarget(request.url ?? '').path, request.headers.upgrade ?? '');
  response.writeHead(refusal.httpStatus, {
    connection: 'close',
    'content-type': 'text/plain; charset=utf-8',
    ...Object.fromEntries(refusalHeaders(refusal)),
  });
  response.end(`${refusal.reason}\n`);
}

function refuse(socket: Socket, refusal: Refusal): void {
  socket.on('error', () => socket.destroy()); // The peer may be gone already; nothing is lost by it.
  const body = `${refusal.reason}\n`;
  const head = [
    `HTTP/1.1 ${HTTP_STATUS_LINE[refusal.httpStatus]}`,
    'Connection: close',
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...refusalHeaders(refusal).map(([name, value]) => `${name}: ${value}`),
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

/** `reusePort` came with Node 22.12 and 23.1; only Linux spreads the connections evenly. */
function canReusePort(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const isNewEnough = major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12);
  return isNewEnough && process.platform === 'linux';
}

function libraryVersion(): string {
  const file = createRequire(import.meta.url).resolve('ws/package.json');
  const manifest: unknown = JSON.parse(readFileSync(file, 'utf8'));
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : '?';
}

export function wsTransportFactory(): TransportFactory {
  return {
    name: 'ws',
    canSharePort: canReusePort(),
    speaksTls: true,
    create: (handler, limits, tls) => new WsTransport(handler, limits, tls),
  };
}
