/**
 * The narrow door between sockets and sessions. A transport speaks WebSocket (RFC 6455) on one or two
 * ports and nothing else; it knows no operation, no encoding and no profile. Two adapters implement it
 * (`uws-transport.ts`, `ws-transport.ts`) and one conformance suite holds them to the same behaviour.
 *
 * Buffers: the bytes given to `onMessage` are valid only until it returns. The bytes given to `send`
 * are copied or written before `send` returns, so the caller may reuse its buffer at once.
 */
export interface UpgradeRequest {
  /** Path without the query string. */
  readonly path: string;
  /** Subprotocols offered, in the client's order, trimmed. */
  readonly subprotocols: readonly string[];
  /** The `Origin` header, lower-cased; empty when absent (not a browser). */
  readonly origin: string;
  /** The `Authorization` header; empty when absent. */
  readonly authorization: string;
  /** The `token` query parameter; empty when absent. */
  readonly queryToken: string;
  /** The browser asks that the person's data be neither sold nor shared: `Sec-GPC: 1`. */
  readonly hasOptOut: boolean;
  /** The peer's address as the kernel names it; empty when it is gone already. */
  readonly address: string;
}

export type UpgradeVerdict =
  | {
      readonly accept: true;
      readonly subprotocol: string;
      /** What the connection gets along, for `onOpen`. */
      readonly admission?: unknown;
    }
  | { readonly accept: false; readonly httpStatus: 400 | 401 | 403 | 404 | 429 | 503; readonly reason: string };

export interface Connection {
  /** What the session layer keeps with the connection; set in `onOpen`, never read by the transport. */
  session: unknown;
  readonly subprotocol: string;
  /** What the verdict that let it in gave along. */
  readonly admission: unknown;
  /** False once closed; `send` is then a no-op that returns 'closed'. */
  readonly isOpen: boolean;
  /** Bytes accepted by `send` that the kernel has not taken yet. */
  bufferedBytes(): number;
  /**
   * Sends one whole message. 'sent': handed to the kernel or buffered within the limit; 'dropped': the
   * buffer limit is exceeded, and the transport closes the connection with 1013; 'closed': too late.
   */
  send(bytes: Uint8Array, isBinary: boolean): 'sent' | 'dropped' | 'closed';
  /** Runs `work` so that its sends leave in as few system calls as the transport can manage. */
  cork(work: () => void): void;
  close(code: number, reason: string): void;
}

export interface TransportHandler {
  /** A promise never rejects. When the peer is gone before it settles, no connection comes of it. */
  onUpgrade(request: UpgradeRequest): UpgradeVerdict | Promise<UpgradeVerdict>;
  onOpen(connection: Connection): void;
  onMessage(connection: Connection, bytes: Uint8Array, isBinary: boolean): void;
  /** The send buffer has emptied again. */
  onDrain(connection: Connection): void;
  onClose(connection: Connection, code: number): void;
}

export interface ListenAddress {
  readonly host: string;
  /** 0 asks the kernel for a free one. */
  readonly port: number;
  /** Whether other threads of this process listen on the same port too. */
  readonly isShared: boolean;
}

export interface TransportLimits {
  readonly frameBytesMax: number;
  /** A connection whose unsent bytes exceed this is closed with 1013. */
  readonly sendBufferBytesMax: number;
  /** A connection silent for this long (no frame, no pong) is closed; the transport pings before. */
  readonly idleTimeoutSeconds: number;
  readonly connectionsMax: number;
}

/** What `tls.createSecureContext` takes, as far as it is used here. */
export interface TransportTls {
  readonly cert: string;
  readonly key: string;
  /** Authorities of client certificates. */
  readonly ca?: string;
  readonly requestCert: boolean;
  readonly rejectUnauthorized: boolean;
  readonly minVersion: 'TLSv1.3';
}

export interface Transport {
  readonly name: 'uws' | 'ws';
  /** Where the adapter's code came from, for the banner and `doctor`. */
  readonly provenance: string;
  /** Starts listening; resolves to the bound port. Rejects with TransportError (EADDRINUSE and kin). */
  listen(address: ListenAddress): Promise<number>;
  /** Stops accepting; open connections go on. */
  stopListening(): void;
  /** From now on handshakes use these; does nothing on a transport without TLS. */
  replaceTls(tls: TransportTls): void;
  connectionCount(): number;
  /** Visits every open connection, for a spread-out drain. */
  forEachConnection(visit: (connection: Connection) => void): void;
  /** Closes every socket at once and frees the native loop; safe to call twice, also in a crash handler. */
  closeAll(code: number, reason: string): void;
}

/** Whether several threads can listen on one port with this transport on this Node. */
export interface TransportFactory {
  readonly name: 'uws' | 'ws';
  readonly canSharePort: boolean;
  readonly speaksTls: boolean;
  /** @param tls only where the factory `speaksTls`. */
  create(handler: TransportHandler, limits: TransportLimits, tls?: TransportTls): Transport;
}
