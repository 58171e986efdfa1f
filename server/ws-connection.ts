/**
 * One connection of the `ws` transport. Outgoing messages do not pass through the library's sender: it
 * keeps a reference to the caller's bytes and makes several objects and a system call a message; here
 * header and payload are copied, which the caller's buffer rules ask for anyway, into a buffer that
 * leaves when the current callback has returned. So the replies to all frames of one read, and all sends
 * of a `cork`, share one system call. That is sound because there is no compression: the library writes
 * control frames only, each in one piece, to the same socket, and its close frame waits for our bytes.
 *
 *   send ── under 64 KB? ──yes──> the owner's buffer ── full, or end of tick ──> socket.write ──> kernel
 *             └──────no───────────────────────────────────────────────────────────────^
 *
 * `onClose` runs inside `close` and inside the `send` that overflows, not later, as natively.
 */
import { strict as assert } from 'node:assert';
import type { Socket } from 'node:net';
import { CLOSE_CODE } from '../proto/limits.ts';
import type { Connection } from './transport.ts';
import { fitCloseReason, isSendableCloseCode } from './websocket-rules.ts';

/** A server's frame header is 2, 4 or 10 bytes long. */
export const FRAME_HEADER_BYTES_MAX = 10;
/** The idle timeout is counted in sweeps: a ping after two silent ones, the cut after four. */
const SWEEPS_BEFORE_PING = 2;
export const SWEEPS_BEFORE_CUT = 4;
/** `WebSocket.OPEN`, as a plain number for the hot path. */
const READY_STATE_OPEN = 1;
const NO_BYTES = Buffer.alloc(0);

/** What is used of the library's socket. */
export interface LibrarySocket {
  readonly readyState: number;
  close(code: number, reason: string): void;
  ping(): void;
  pong(payload: Buffer): void;
  terminate(): void;
}

/** What a connection needs of its transport. */
export interface ConnectionOwner {
  /** Takes the message into the buffer for this tick; false when it must be written on its own, now. */
  gather(connection: WsConnection, bytes: Uint8Array, isBinary: boolean): boolean;
  onConnectionClosed(connection: WsConnection, code: number): void;
  onConnectionDrained(connection: WsConnection): void;
}

export class WsConnection implements Connection {
  session: unknown = undefined;
  readonly subprotocol: string;
  readonly admission: unknown;
  readonly #owner: ConnectionOwner;
  readonly #webSocket: LibrarySocket;
  readonly #socket: Socket;
  readonly #sendBufferBytesMax: number;
  readonly #onFlushed = (): void => this.#afterFlush();
  #isOpen = true;
  #isAwaitingFlush = false;
  /** Sweeps since the peer was last heard. */
  #silentSweeps = 0;

  constructor(
    owner: ConnectionOwner,
    webSocket: LibrarySocket,
    socket: Socket,
    subprotocol: string,
    admission: unknown,
    sendBufferBytesMax: number,
  ) {
    this.admission = admission;
    this.#owner = owner;
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.subprotocol = subprotocol;
    this.#sendBufferBytesMax = sendBufferBytesMax;
  }

  // The library's state goes first when the peer's close frame arrives; nothing may follow our answer to it.
  get isOpen(): boolean {
    return this.#isOpen && this.#webSocket.readyState === READY_STATE_OPEN;
  }

  bufferedBytes(): number {
    // Without what this tick has gathered: that is no backlog yet, and no onDrain would follow it.
    return this.#isOpen ? this.#socket.writableLength : 0;
  }

  send(bytes: Uint8Array, isBinary: boolean): 'sent' | 'dropped' | 'closed' {
    if (!this.isOpen) return 'closed';
    if (this.#socket.writableLength > this.#sendBufferBytesMax) {
      this.close(CLOSE_CODE.overloaded, 'replies are not read fast enough');
      return 'dropped';
    }
    if (!this.#owner.gather(this, bytes, isBinary)) {
      const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES_MAX + bytes.byteLength);
      this.write(frame.subarray(0, writeFrame(frame, 0, bytes, isBinary)));
    }
    return 'sent';
  }

  /** Hands finished frames to the socket, which owns `chunk` from now on. */
  write(chunk: Buffer): void {
    this.#socket.write(chunk);
    this.#awaitFlush();
  }

  cork(work: () => void): void {
    work(); // What it sends is gathered in any case.
  }

  close(code: number, reason: string): void {
    assert(isSendableCloseCode(code), `close code ${code} may not be sent`);
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#webSocket.close(code, fitCloseReason(reason)); // Flushes first. The library cuts after CLOSE_GRACE_MILLIS.
    this.#owner.onConnectionClosed(this, code);
  }

  /** Cuts without a close frame, whether open or closing. */
  cut(): void {
    this.#webSocket.terminate();
  }

  onHeard(): void {
    this.#silentSweeps = 0;
  }

  onPing(payload: Buffer): void {
    this.#silentSweeps = 0;
    if (!this.isOpen) return;
    // A peer that pings and never reads must not fill our memory with pongs.
    if (this.#socket.writableLength <= this.#sendBufferBytesMax) this.#webSocket.pong(payload);
  }

  onSweep(): void {
    this.#silentSweeps += 1;
    if (this.#silentSweeps >= SWEEPS_BEFORE_CUT) this.cut();
    else if (this.#silentSweeps >= SWEEPS_BEFORE_PING) this.#webSocket.ping();
  }

  onLibraryClose(code: number): void {
    if (!this.#isOpen) return; // Closed by us: reported when `close` was called.
    this.#isOpen = false;
    this.#owner.onConnectionClosed(this, code);
  }

  // Node's 'drain' comes only after its own high-water mark was passed, so an empty write, whose
  // callback runs after everything before it, tells that the buffer has emptied.
  #awaitFlush(): void {
    if (this.#isAwaitingFlush || this.#socket.writableLength === 0) return;
    this.#isAwaitingFlush = true;
    this.#socket.write(NO_BYTES, this.#onFlushed);
  }

  #afterFlush(): void {
    this.#isAwaitingFlush = false;
    if (!this.#isOpen) return;
    if (this.#socket.writableLength > 0) this.#awaitFlush();
    else this.#owner.onConnectionDrained(this);
  }
}

/** Writes one unfragmented, unmasked frame at `offset`; returns the offset behind it. */
export function writeFrame(target: Buffer, offset: number, payload: Uint8Array, isBinary: boolean): number {
  const length = payload.byteLength;
  target[offset] = isBinary ? 0x82 : 0x81;
  let at = offset + 2;
  if (length < 126) {
    target[offset + 1] = length;
  } else if (length < 0x10000) {
    target[offset + 1] = 126;
    target.writeUInt16BE(length, at);
    at += 2;
  } else {
    target[offset + 1] = 127;
    target.writeUInt32BE(Math.floor(length / 0x1_0000_0000), at);
    target.writeUInt32BE(length >>> 0, at + 4);
    at += 8;
  }
  target.set(payload, at);
  return at + length;
}
