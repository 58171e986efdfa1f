/**
 * One URL kept connected: opens the socket, reopens it after full-jitter back-off, and runs one
 * `ClientSession` over it. Requests given in one turn of the event loop leave together when it ends, in as few
 * frames as they fit in: one system call here, one there, and one commit for what is to be on disk. A request
 * given while the socket is being opened waits for it within its own deadline; one given while there is no hope
 * yet (backing off) is settled at once as UNAVAILABLE, so that a local default can answer without delay. What
 * was in flight when the socket ends is settled as UNAVAILABLE: whether the server acted on it is unknown, and
 * only the caller knows if it may be repeated.
 */
import { CLOSE_CODE, LIMITS, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK, WEBSOCKET_PATH } from '../proto/limits.ts';
import type { Push } from '../proto/messages.ts';
import type { Encoding } from '../proto/reply.ts';
import { monotonicMillis } from './clock.ts';
import { closedError, deadlineError, disconnectedError, type OpportuneError } from './opportune-error.ts';
import { backoffMillis, randomFraction } from './random.ts';
import { ClientSession, type Outgoing } from './session.ts';
import { findWebSocket, type WebSocketConstructor, type WebSocketLike } from './web-socket.ts';

export type ConnectionState = 'idle' | 'connecting' | 'open' | 'waiting' | 'stopped';

export interface ConnectionOptions {
  readonly url: string;
  readonly encoding: Encoding;
  /** Empty: none. A function is asked before each attempt to connect. */
  readonly token: string | (() => string | Promise<string>);
  readonly WebSocket: WebSocketConstructor | undefined;
  readonly onOpen: () => void;
  readonly onPush: (push: Push) => void;
  /** The socket ended or could not be opened; `code` is the WebSocket close code (1006 without one). */
  readonly onDown: (code: number) => void;
}

/** An attempt to open a socket is given up after this long. */
const CONNECT_TIMEOUT_MILLIS = 5000;
const ABNORMAL = 1006;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class Connection {
  readonly url: string;
  readonly #target: URL;
  readonly #options: ConnectionOptions;
  readonly #session: ClientSession;
  #state: ConnectionState = 'idle';
  #socket: WebSocketLike | undefined;
  /** Not sent yet: for the end of this turn, or for the socket to open. */
  #waiting: Outgoing[] = [];
  #isFlushPlanned = false;
  /** Failures since a frame last arrived: opening alone does not count as success. */
  #failures = 0;
  #reconnectTimer: ReturnType<typeof setTimeout> | undefined;
  #deadlineTimer: ReturnType<typeof setTimeout> | undefined;
  #deadlineTimerAtMillis = Number.POSITIVE_INFINITY;

  /** @throws TypeError when the URL is none. */
  constructor(options: ConnectionOptions) {
    this.#target = new URL(options.url);
    this.url = options.url;
    this.#options = options;
    this.#session = new ClientSession(options.encoding, options.onPush);
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Whether one more request may be unanswered. */
  get hasRoom(): boolean {
    return this.#session.inFlightCount + this.#waiting.length < LIMITS.inFlightMax;
  }

  get strayReplyCount(): number {
    return this.#session.strayReplyCount;
  }

  /** Begins to connect; does nothing when already begun. */
  start(): void {
    if (this.#state === 'idle') this.#connect();
  }

  /** Sends requests when this turn ends or the socket is open, or settles them as UNAVAILABLE. */
  submit(requests: readonly Outgoing[]): void {
    if (this.#state !== 'open' && this.#state !== 'connecting') {
      const error = this.#state === 'stopped' ? closedError() : disconnectedError(this.url);
      for (const outgoing of requests) outgoing.settle(undefined, error);
      return;
    }
    for (const outgoing of requests) this.#waiting.push(outgoing);
    if (this.#state === 'open' && !this.#isFlushPlanned) {
      this.#isFlushPlanned = true;
      queueMicrotask(this.#flush);
    }
    this.#armDeadline(earliestOf(requests));
  }

  /** Closes for good; everything unanswered is settled with `error`. */
  stop(error: OpportuneError): void {
    if (this.#state === 'stopped') return;
    clearTimeout(this.#reconnectTimer);
    clearTimeout(this.#deadlineTimer);
    this.#flush();
    this.#state = 'stopped';
    const socket = this.#socket;
    this.#socket = undefined;
    this.#settleAll(error);
    socket?.close(CLOSE_CODE.normal, '');
  }

  #connect(): void {
    this.#state = 'connecting';
    const { WebSocket, token: given } = this.#options;
    Promise.all([findWebSocket(WebSocket), typeof given === 'function' ? given() : given])
      .then(([source, token]) => {
        if (this.#state !== 'connecting') return;
        const target = new URL(this.#target);
        if (target.pathname === '/') target.pathname = WEBSOCKET_PATH;
        if (token !== '' && source.headers === 'none') target.searchParams.set('token', token);
        const protocols = [this.#options.encoding === 'msgpack' ? SUBPROTOCOL_MSGPACK : SUBPROTOCOL_JSON];
        const { WebSocket: Socket } = source;
        const headers = { authorization: `Bearer ${token}` };
        if (token === '' || source.headers === 'none') this.#attach(new Socket(target.href, protocols));
        else if (source.headers === 'third') this.#attach(new Socket(target.href, protocols, { headers }));
        else this.#attach(new Socket(target.href, { protocols, headers }));
      })
      // No token, no WebSocket here, or it refuses the URL: told through onDown, like any socket that cannot be opened.
      .catch(() => this.#down(this.#socket, ABNORMAL));
  }

  #attach(socket: WebSocketLike): void {
    this.#socket = socket;
    socket.binaryType = 'arraybuffer';
    const timer = setTimeout(() => {
      socket.close();
      this.#down(socket, ABNORMAL);
    }, CONNECT_TIMEOUT_MILLIS);
    socket.onopen = () => {
      clearTimeout(timer);
      if (this.#socket !== socket) return;
      this.#state = 'open';
      this.#flush();
      this.#options.onOpen();
    };
    socket.onmessage = ({ data }) => {
      if (this.#socket !== socket) return;
      this.#failures = 0;
      const frame = typeof data === 'string' ? encoder.encode(data) : new Uint8Array(data as ArrayBuffer); // by binaryType
      if (!this.#session.receive(frame)) socket.close(4000, 'undecodable frame');
    };
    // The close event that follows says all there is to know.
    socket.onerror = () => {};
    socket.onclose = ({ code }) => {
      clearTimeout(timer);
      this.#down(socket, code);
    };
  }

  #down(socket: WebSocketLike | undefined, code: number): void {
    if (this.#state === 'stopped' || this.#socket !== socket) return;
    this.#socket = undefined;
    this.#state = 'waiting';
    this.#reconnectTimer = setTimeout(() => this.#connect(), backoffMillis(this.#failures++, randomFraction()));
    this.#settleAll(disconnectedError(this.url));
    this.#options.onDown(code);
  }

  #settleAll(error: OpportuneError): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const outgoing of waiting) outgoing.settle(undefined, error);
    this.#session.failAll(error);
  }

  readonly #flush = (): void => {
    this.#isFlushPlanned = false;
    const socket = this.#socket;
    if (this.#state !== 'open' || socket === undefined || this.#waiting.length === 0) return;
    const requests = this.#waiting;
    this.#waiting = [];
    for (const frame of this.#session.open(requests, monotonicMillis())) {
      // ArrayBufferView in both APIs; JSON travels as a text frame.
      socket.send(this.#options.encoding === 'json' ? decoder.decode(frame) : frame);
    }
  };

  /** Keeps one timer at the earliest deadline of all requests in flight or waiting. */
  #armDeadline(earliest: number): void {
    if (earliest >= this.#deadlineTimerAtMillis) return;
    clearTimeout(this.#deadlineTimer);
    this.#deadlineTimerAtMillis = earliest;
    this.#deadlineTimer = setTimeout(() => this.#expire(), Math.max(0, earliest - monotonicMillis()) + 1);
  }

  #expire(): void {
    this.#deadlineTimerAtMillis = Number.POSITIVE_INFINITY;
    const nowMillis = monotonicMillis();
    this.#session.expire(nowMillis);
    const over = this.#waiting.filter((outgoing) => outgoing.deadlineAtMillis <= nowMillis);
    this.#waiting = this.#waiting.filter((outgoing) => outgoing.deadlineAtMillis > nowMillis);
    for (const outgoing of over) outgoing.settle(undefined, deadlineError(outgoing.budgetMillis));
    this.#armDeadline(Math.min(this.#session.nextDeadlineMillis(), earliestOf(this.#waiting)));
  }
}

/** Infinity of none. */
function earliestOf(requests: readonly Outgoing[]): number {
  let earliest = Number.POSITIVE_INFINITY;
  for (const { deadlineAtMillis } of requests) earliest = Math.min(earliest, deadlineAtMillis);
  return earliest;
}
