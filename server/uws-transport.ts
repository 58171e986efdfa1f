/**
 * The fast transport: native uWebSockets, one app and one event loop a thread. It promises what
 * `transport.ts` says; this header says what the core of May 2023 underneath makes of RFC 6455:
 *
 * - a malformed, far oversize (over twice the limit) or ill-encoded frame ends in a bare close: the
 *   peer sees 1006, while `onClose` still gets 1009 or 1007 where the core names the reason. A message
 *   within twice the limit gets a proper 1009.
 * - unmasked client frames are not recognised: their bytes are read as if they were masked; a binary
 *   message begun inside another is taken for its next fragment; bytes in the handshake's packet are lost.
 * - frames of 16 KB and more are sent only by a socket that is subscribed to a topic, because the path
 *   for other sockets could lose bytes.
 * - a thread that ends with an app open takes the process with it: `closeAll` before any end.
 *
 * `onClose` runs inside `close` and inside the `send` that overflows, not later.
 */
import { strict as assert } from 'node:assert';
import { CLOSE_CODE } from '../proto/limits.ts';
import { bindOnce, findFreePort, listenError } from './listen-port.ts';
import type {
  Connection,
  ListenAddress,
  Transport,
  TransportFactory,
  TransportHandler,
  TransportLimits,
  UpgradeVerdict,
} from './transport.ts';
import type { NativeApp, NativeBehavior, NativeLibrary, NativeResponse, NativeSocket } from './uws-native.ts';
import type { Refusal } from './websocket-rules.ts';
import {
  CLOSE_GRACE_MILLIS,
  fitCloseReason,
  HTTP_STATUS_LINE,
  isSendableCloseCode,
  judgeAgain,
  judgeUpgrade,
  refusalHeaders,
  refusePlainRequest,
} from './websocket-rules.ts';

/** From this size on a socket must be subscribed before it sends; the core's buffer is 16 KB, header included. */
export const SUBSCRIBED_SEND_BYTES_MIN = 16 * 1024 - 16;
/** Nothing is ever published there; being a subscriber is the whole effect. */
const LARGE_FRAME_TOPIC = 'large-frames';
const SEND_DROPPED = 2;
/** The native timer knows these bounds and terminates the process outside them. */
const IDLE_SECONDS_MIN = 8;
const IDLE_SECONDS_MAX = 960;

/** User data of the native socket; its properties are found on the socket itself, which handlers get back. */
type OpenSocket = NativeSocket & { readonly connection: UwsConnection };

/** The part of the transport a connection needs; keeps the two classes from reaching into each other. */
interface ConnectionOwner {
  onConnectionClosed(connection: UwsConnection, code: number): void;
}

class UwsConnection implements Connection {
  session: unknown = undefined;
  readonly subprotocol: string;
  readonly admission: unknown;
  readonly #owner: ConnectionOwner;
  #native: NativeSocket | undefined = undefined;
  #isOpen = false;
  #isSubscribed = false;
  #lingerTimer: NodeJS.Timeout | undefined = undefined;
  #closeCode = 0;
  #closeReason = '';

  constructor(owner: ConnectionOwner, subprotocol: string, admission: unknown) {
    this.#owner = owner;
    this.subprotocol = subprotocol;
    this.admission = admission;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  bufferedBytes(): number {
    return this.#isOpen && this.#native !== undefined ? this.#native.getBufferedAmount() : 0;
  }

  send(bytes: Uint8Array, isBinary: boolean): 'sent' | 'dropped' | 'closed' {
    const native = this.#native;
    if (!this.#isOpen || native === undefined) return 'closed';
    if (bytes.byteLength >= SUBSCRIBED_SEND_BYTES_MIN && !this.#isSubscribed) {
      this.#isSubscribed = true;
      native.subscribe(LARGE_FRAME_TOPIC);
    }
    if (native.send(bytes, isBinary, false) !== SEND_DROPPED) return 'sent';
    this.close(CLOSE_CODE.overloaded, 'replies are not read fast enough');
    return 'dropped';
  }

  cork(work: () => void): void {
    if (this.#isOpen && this.#native !== undefined) this.#native.cork(work);
    else work();
  }

  close(code: number, reason: string): void {
    assert(isSendableCloseCode(code), `close code ${code} may not be sent`);
    const native = this.#native;
    if (!this.#isOpen || native === undefined) return;
    this.#isOpen = false;
    this.#closeCode = code;
    this.#closeReason = fitCloseReason(reason);
    // With bytes still waiting, the native `end` would drop the close frame or hold the buffer until the
    // idle timeout. So the peer gets a moment to take them, then the close frame, then the cut.
    if (native.getBufferedAmount() === 0) native.end(code, this.#closeReason);
    else this.#lingerTimer = setTimeout(() => this.#native?.close(), CLOSE_GRACE_MILLIS).unref();
    this.#owner.onConnectionClosed(this, code);
  }

  onNativeOpen(native: NativeSocket): void {
    this.#native = native;
    this.#isOpen = true;
  }

  /** True when an open connection's buffer has emptied; a closing one gets its close frame now. */
  onNativeDrain(): boolean {
    if (this.#native === undefined || this.#native.getBufferedAmount() !== 0) return false;
    if (this.#isOpen) return true;
    if (this.#lingerTimer !== undefined) this.#native.end(this.#closeCode, this.#closeReason);
    return false;
  }

  /** The native socket is gone; it may not be touched again. */
  onNativeClose(code: number): void {
    this.#native = undefined;
    clearTimeout(this.#lingerTimer);
    this.#lingerTimer = undefined;
    if (!this.#isOpen) return; // Closed by us: reported when `close` was called.
    this.#isOpen = false;
    this.#owner.onConnectionClosed(this, code);
  }
}

class UwsTransport implements Transport, ConnectionOwner {
  readonly name = 'uws';
  readonly provenance: string;
  readonly #library: NativeLibrary;
  readonly #handler: TransportHandler;
  readonly #limits: TransportLimits;
  readonly #connections = new Set<UwsConnection>();
  #app: NativeApp | undefined = undefined;
  #listenSocket: unknown = undefined;
  #isClosed = false;

  constructor(library: NativeLibrary, provenance: string, handler: TransportHandler, limits: TransportLimits) {
    assert(limits.frameBytesMax > 0 && limits.sendBufferBytesMax > 0, 'limits of 0 mean "none" to the native code');
    this.#library = library;
    this.provenance = provenance;
    this.#handler = handler;
    this.#limits = limits;
  }

  async listen(address: ListenAddress): Promise<number> {
    assert(this.#app === undefined && !this.#isClosed, 'a transport listens once');
    const { host } = address;
    // The core sets SO_REUSEPORT and SO_REUSEADDR only on a port given by number.
    const port = address.port === 0 ? await findFreePort(host) : address.port;
    const app = this.#library.App();
    this.#app = app;
    app.ws('/*', this.#behavior());
    app.any('/*', (response, request) => {
      respond(response, refusePlainRequest(request.getUrl(), request.getHeader('upgrade')));
    });
    app.listen(host, port, address.isShared ? 0 : this.#library.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket) => {
      if (listenSocket !== false) this.#listenSocket = listenSocket;
    });
    if (this.#listenSocket !== undefined) return this.#library.us_socket_local_port(this.#listenSocket);
    this.closeAll(CLOSE_CODE.goingAway, '');
    // The native code only says "no"; Node's own bind knows why.
    throw listenError(host, port, await bindOnce(host, port));
  }

  stopListening(): void {
    const listenSocket = this.#listenSocket;
    this.#listenSocket = undefined;
    if (listenSocket !== undefined) this.#library.us_listen_socket_close(listenSocket);
  }

  replaceTls(): void {}

  connectionCount(): number {
    return this.#connections.size;
  }

  forEachConnection(visit: (connection: Connection) => void): void {
    for (const connection of this.#connections) visit(connection);
  }

  closeAll(code: number, reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      this.stopListening();
      for (const connection of this.#connections) connection.close(code, reason);
    } finally {
      // Also when a session's onClose throws in a crash: an app left open would abort the process.
      this.#app?.close();
      this.#app = undefined;
    }
  }

  onConnectionClosed(connection: UwsConnection, code: number): void {
    if (this.#connections.delete(connection)) this.#handler.onClose(connection, code);
  }

  #upgrade(response: NativeResponse, key: string, context: unknown, verdict: UpgradeVerdict): void {
    if (!verdict.accept) {
      respond(response, verdict);
      return;
    }
    const connection = new UwsConnection(this, verdict.subprotocol, verdict.admission);
    response.upgrade({ connection }, key, verdict.subprotocol, '', context);
  }

  /** All that is needed of the request was copied before: it is gone when its handler returns. */
  #upgradeLater(response: NativeResponse, key: string, context: unknown, pending: Promise<UpgradeVerdict>): void {
    let isGone = false;
    response.onAborted(() => {
      isGone = true;
    });
    void pending.then((verdict) => {
      if (isGone || this.#isClosed) return;
      const late = judgeAgain(verdict, this.#limits, this.#connections.size);
      response.cork(() => this.#upgrade(response, key, context, late));
    });
  }

  #behavior(): NativeBehavior {
    const handler = this.#handler;
    const limits = this.#limits;
    const { frameBytesMax } = limits;
    return {
      maxPayloadLength: 2 * frameBytesMax,
      maxBackpressure: limits.sendBufferBytesMax,
      idleTimeout: nativeIdleSeconds(limits.idleTimeoutSeconds),
      sendPingsAutomatically: true,
      compression: this.#library.DISABLED,
      upgrade: (response, request, context) => {
        const upgrade = request.getHeader('upgrade');
        // The core takes a key alone for a handshake.
        if (upgrade.toLowerCase() !== 'websocket') {
          respond(response, refusePlainRequest(request.getUrl(), upgrade));
          return;
        }
        const key = request.getHeader('sec-websocket-key');
        const fields = {
          path: request.getUrl(),
          query: request.getQuery() ?? '',
          key,
          version: request.getHeader('sec-websocket-version'),
          protocols: request.getHeader('sec-websocket-protocol'),
          origin: request.getHeader('origin'),
          authorization: request.getHeader('authorization'),
          gpc: request.getHeader('sec-gpc'),
          address: Buffer.from(response.getRemoteAddressAsText()).toString('latin1'),
        };
        const verdict = judgeUpgrade(fields, handler, limits, this.#connections.size);
        if (verdict instanceof Promise) this.#upgradeLater(response, key, context, verdict);
        else this.#upgrade(response, key, context, verdict);
      },
      open: (socket) => {
        const { connection } = socket as OpenSocket; // Put there by `upgrade` above.
        connection.onNativeOpen(socket);
        this.#connections.add(connection);
        handler.onOpen(connection);
      },
      message: (socket, message, isBinary) => {
        const { connection } = socket as OpenSocket; // Put there by `upgrade` above.
        if (!connection.isOpen) return;
        if (message.byteLength <= frameBytesMax) handler.onMessage(connection, new Uint8Array(message), isBinary);
        else connection.close(CLOSE_CODE.tooBig, `a frame may have at most ${frameBytesMax} bytes`);
      },
      drain: (socket) => {
        const { connection } = socket as OpenSocket; // Put there by `upgrade` above.
        if (connection.onNativeDrain()) handler.onDrain(connection);
      },
      close: (socket, code, message) => {
        const { connection } = socket as OpenSocket; // Put there by `upgrade` above.
        connection.onNativeClose(code === 1006 ? codeOfCut(message) : code);
      },
    };
  }
}

/** The core cuts without a close frame but tells its reason in text; sessions count 1009 and 1007 apart. */
function codeOfCut(message: ArrayBuffer): number {
  if (message.byteLength === 0) return 1006;
  const text = Buffer.from(message).toString('latin1');
  if (text.startsWith('Received too big message')) return CLOSE_CODE.tooBig;
  return text === 'Received invalid UTF-8' ? CLOSE_CODE.badPayload : 1006;
}

function nativeIdleSeconds(seconds: number): number {
  return Math.min(IDLE_SECONDS_MAX, Math.max(IDLE_SECONDS_MIN, Math.ceil(seconds / 4) * 4));
}

function respond(response: NativeResponse, refusal: Refusal): void {
  response.writeStatus(HTTP_STATUS_LINE[refusal.httpStatus]);
  response.writeHeader('content-type', 'text/plain; charset=utf-8');
  for (const [name, value] of refusalHeaders(refusal)) response.writeHeader(name.toLowerCase(), value);
  response.end(`${refusal.reason}\n`, true);
}

/** The factory over a loaded native library; `selectTransport` loads it. */
export function uwsTransportFactory(library: NativeLibrary, provenance: string): TransportFactory {
  return {
    name: 'uws',
    // Elsewhere SO_REUSEPORT is missing, or gives every connection to one of the listeners.
    canSharePort: process.platform === 'linux',
    // The core's TLS is of 2023, and does not take 1.3 alone: a proxy, or the ws transport, does it.
    speaksTls: false,
    create: (handler, limits) => new UwsTransport(library, provenance, handler, limits),
  };
}
