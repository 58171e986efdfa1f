/**
 * The client: typed operations over one seed connection and, when shard-aware, one more to each shard
 * that owns what is asked about, so that the server need not forward.
 *
 *   decide ─▶ owner's connection, or the seed ─▶ reply, or the local default decision (`fallback: true`)
 *   track  ─▶ queue ─▶ owner's connection, or the seed ─▶ reply; sent again under the same messageId
 *
 * Only `track` is repeated by the client, because only its repetition is harmless by protocol. Everything
 * else that fails is told to the caller as an `OpportuneError`, which says whether trying again can help.
 * A shard's connection is opened when first needed; until it is open, and whenever it is not, the seed
 * serves. After a close with 1012 or 4002, or a `notOwner` reply, the shard map is asked for again.
 */
import { CLOSE_CODE, LIMITS } from '../proto/limits.ts';
import type {
  AliasReply,
  AliasRequest,
  ConsentRequest,
  DecideReply,
  DecideRequest,
  EraseReply,
  ExportReply,
  HelloReply,
  IdentifyRequest,
  PingReply,
  ProfileReply,
  StateReply,
  TrackReply,
  TrackRequest,
} from '../proto/messages.ts';
import type { Encoding } from '../proto/reply.ts';
import { FAULT } from '../proto/statuses.ts';
import { monotonicMillis } from './clock.ts';
import { Connection } from './connection.ts';
import { EventQueue } from './event-queue.ts';
import { closedError, disconnectedError, OpportuneError } from './opportune-error.ts';
import { randomFraction, randomMessageId } from './random.ts';
import type { Outgoing, Reply, RequestBody, Settle } from './session.ts';
import { ShardRoutes } from './shard-routes.ts';
import {
  ClientSubscriptions,
  type SubscribeInput,
  type SubscriptionHandle,
  type SubscriptionListener,
} from './subscriptions.ts';
import type { WebSocketConstructor } from './web-socket.ts';

/** What a caller gives for one operation: the request without `id` and `op`. */
type Input<Request> = Omit<Request, 'id' | 'op'>;
export type TrackInput = Input<TrackRequest>;
export type DecideInput = Input<DecideRequest>;
export type IdentifyInput = Input<IdentifyRequest>;
export type AliasInput = Input<AliasRequest>;
export type ConsentInput = Input<ConsentRequest>;
/** The part of a decision an application wants to give when the server cannot; the rest is empty. */
export type DefaultDecision = Partial<Omit<DecideReply, 'id' | 'ok' | 'fallback'>>;
export type ClientStatus = 'connecting' | 'connected' | 'offline' | 'closed';

export interface ConnectOptions {
  /** Seed server; the path defaults to the protocol's own. Default `ws://127.0.0.1:7400`. */
  readonly url?: string;
  readonly encoding?: Encoding;
  /**
   * Sent as `Authorization: Bearer` in Node, as the query parameter `token` in browsers, which allow no header.
   * A function is asked before each connection: give one where tokens end, as those of browsers must.
   */
  readonly token?: string | (() => string | Promise<string>);
  /** Budget of a request that names none, in milliseconds, 1 to 60,000. Default 1,000. */
  readonly deadlineMillis?: number;
  /** Answers `decide` when the server does not, or not in time. Without it, `decide` rejects. */
  readonly defaultDecision?: DefaultDecision | ((request: DecideInput) => DefaultDecision);
  /** Most events that wait for a connection; the newest is refused when full. Default 1,000. */
  readonly offlineQueueMax?: number;
  /** Whether to connect to the owners of partitions directly. Default true. */
  readonly isShardAware?: boolean;
  /** A WebSocket implementation, where the platform has none and `ws` is not wanted. */
  readonly WebSocket?: WebSocketConstructor;
  /**
   * Told when the seed connection's state changes; `offline` with the code the connection was closed with: 1008 when
   * its token has ended or was revoked, 1006 when it broke or could not be opened.
   */
  readonly onStatus?: (status: ClientStatus, closeCode?: number) => void;
  /** Sent in `hello`, for the operator's logs. */
  readonly clientName?: string;
  readonly clientVersion?: string;
}

const DEFAULT_URL = 'ws://127.0.0.1:7400';
const DEADLINE_MILLIS = 1000;
const OFFLINE_QUEUE_MAX = 1000;

/** Starts to connect in the background and returns at once; requests made before then wait for it. */
export function connect(options: ConnectOptions = {}): OpportuneClient {
  return new OpportuneClient(options);
}

export class OpportuneClient {
  readonly #options: ConnectOptions;
  readonly #deadlineMillis: number;
  readonly #seed: Connection;
  readonly #shards = new Map<string, Connection>();
  readonly #routes = new ShardRoutes();
  readonly #events: EventQueue;
  readonly #subscriptions: ClientSubscriptions;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #status: ClientStatus = 'connecting';
  #isMapAsked = false;

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.#deadlineMillis = options.deadlineMillis ?? DEADLINE_MILLIS;
    if (!(this.#deadlineMillis >= 1 && this.#deadlineMillis <= LIMITS.deadlineMillisMax)) {
      throw new RangeError(`deadlineMillis: expected 1 to ${LIMITS.deadlineMillisMax}, got ${this.#deadlineMillis}`);
    }
    this.#events = new EventQueue({
      waitingMax: options.offlineQueueMax ?? OFFLINE_QUEUE_MAX,
      deadlineMillis: this.#deadlineMillis,
      now: monotonicMillis,
      draw: randomFraction,
      trySend: (outgoing) => this.#trySend(outgoing),
      later: (work, delayMillis) => this.#later(work, delayMillis),
    });
    this.#subscriptions = new ClientSubscriptions({
      ask: (body, settle) => this.#seed.submit([this.#outgoing(body, settle)]),
      isConnected: () => this.#status === 'connected',
      later: (work, delayMillis) => this.#later(work, delayMillis),
    });
    this.#seed = this.#createConnection(options.url ?? DEFAULT_URL, true);
    options.onStatus?.('connecting');
    this.#seed.start();
  }

  get status(): ClientStatus {
    return this.#status;
  }

  /** Events that wait for a connection. */
  get queuedEventCount(): number {
    return this.#events.waitingCount;
  }

  /** URLs of the open connections, the seed's first. */
  get openUrls(): readonly string[] {
    const all = [this.#seed, ...this.#shards.values()];
    return all.filter((connection) => connection.state === 'open').map((connection) => connection.url);
  }

  /** Who the server is, its limits and its shard map; the map is taken over. */
  async hello(): Promise<HelloReply> {
    const { clientName, clientVersion } = this.#options;
    const body = {
      op: 'hello' as const,
      ...(clientName === undefined ? {} : { client: clientName }),
      ...(clientVersion === undefined ? {} : { version: clientVersion }),
    };
    const reply = (await this.#ask(body)) as HelloReply; // the reply to hello
    if (this.#options.isShardAware !== false && this.#status !== 'closed') this.#takeShards(reply);
    return reply;
  }

  async ping(): Promise<PingReply> {
    return (await this.#ask({ op: 'ping' })) as PingReply; // the reply to ping
  }

  /**
   * Reports an event; resolves once it has the durability asked for. Without a `messageId` it gets one, so
   * repeating it after a lost connection applies it once. Offline it waits in the queue, without a deadline.
   * @throws OpportuneError RESOURCE_EXHAUSTED when the queue is full; DEADLINE_EXCEEDED; the server's refusal.
   */
  track(input: TrackInput): Promise<TrackReply> {
    return this.#events.add({ op: 'track', ...input, messageId: input.messageId ?? randomMessageId() });
  }

  /** What the person allows or refuses from now on; on disk when it resolves. */
  async consent(input: ConsentInput): Promise<StateReply> {
    return (await this.#ask({ op: 'consent', ...input })) as StateReply; // the reply to consent
  }

  async identify(input: IdentifyInput): Promise<StateReply> {
    return (await this.#ask({ op: 'identify', ...input })) as StateReply; // the reply to identify
  }

  /**
   * Asks for a decision within `deadlineMillis`. When no usable answer comes (no connection, no reply in
   * time, or a refusal that is worth retrying) and there is a `defaultDecision`, resolves to that with
   * `fallback: true`; a refusal that is the caller's own mistake always rejects.
   */
  async decide(input: DecideInput): Promise<DecideReply> {
    try {
      return (await this.#ask({ op: 'decide', ...input })) as DecideReply; // the reply to decide
    } catch (error) {
      const { defaultDecision } = this.#options;
      const isTransient = error instanceof OpportuneError && error.retry !== 'never';
      if (defaultDecision === undefined || !isTransient) throw error;
      return fallbackReply(typeof defaultDecision === 'function' ? defaultDecision(input) : defaultDecision);
    }
  }

  /**
   * Tells what a decide would answer, now and whenever that becomes another answer, over lost connections too. Nothing is
   * held by it: make the offer with a `decide` of its own.
   */
  subscribe(input: SubscribeInput, listener: SubscriptionListener): SubscriptionHandle {
    return this.#subscriptions.add(input, listener);
  }

  /** Joins what is known under two keys to one person, who is found under either from then on. */
  async alias(input: AliasInput): Promise<AliasReply> {
    return (await this.#ask({ op: 'alias', ...input })) as AliasReply; // the reply to alias
  }

  async confirm(decisionId: string): Promise<StateReply> {
    return (await this.#ask({ op: 'confirm', decisionId })) as StateReply; // the reply to confirm
  }

  async release(decisionId: string): Promise<StateReply> {
    return (await this.#ask({ op: 'release', decisionId })) as StateReply; // the reply to release
  }

  async profile(profile: string): Promise<ProfileReply> {
    return (await this.#ask({ op: 'profile', profile })) as ProfileReply; // the reply to profile
  }

  /** One page of everything kept of a person; `cursor` is the `next` of the page before. */
  async export(profile: string, cursor?: string): Promise<ExportReply> {
    const page = cursor === undefined ? {} : { context: { cursor } };
    return (await this.#ask({ op: 'export', profile, ...page })) as ExportReply; // the reply to export
  }

  /** Erases a person, or says how far that is: ask again until the receipt's state is `final`. */
  async erase(profile: string): Promise<EraseReply> {
    return (await this.#ask({ op: 'erase', profile })) as EraseReply; // the reply to erase
  }

  /**
   * Sends several requests in as few frames as they fit in, each to its owner.
   * @returns for each request, in order, its reply or the error it met; never rejects. Nothing is queued,
   * repeated or answered locally here; a `track` without a `messageId` gets one.
   */
  batch(requests: readonly RequestBody[]): Promise<(Reply | OpportuneError)[]> {
    const groups = new Map<Connection, Outgoing[]>();
    const outcomes = requests.map(
      (request) =>
        new Promise<Reply | OpportuneError>((resolve) => {
          const body =
            request.op === 'track' ? { ...request, messageId: request.messageId ?? randomMessageId() } : request;
          const connection = this.#connectionFor(body);
          const settle: Settle = (reply, error) => resolve(reply ?? (error as OpportuneError)); // exactly one is given
          const group = groups.get(connection);
          const outgoing = this.#outgoing(body, settle);
          if (group === undefined) groups.set(connection, [outgoing]);
          else group.push(outgoing);
        }),
    );
    for (const [connection, group] of groups) connection.submit(group);
    return Promise.all(outcomes);
  }

  /** Closes every connection for good; what is unanswered or queued rejects. Safe to call twice. */
  close(): void {
    if (this.#status === 'closed') return;
    this.#setStatus('closed');
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#events.close(closedError());
    this.#subscriptions.clear();
    this.#seed.stop(closedError());
    for (const connection of this.#shards.values()) connection.stop(closedError());
  }

  #ask(body: RequestBody): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const settle: Settle = (reply, error) => (reply === undefined ? reject(error) : resolve(reply));
      this.#connectionFor(body).submit([this.#outgoing(body, settle)]);
    });
  }

  #outgoing(body: RequestBody, settle: Settle): Outgoing {
    const budgetMillis = body.deadlineMillis ?? this.#deadlineMillis;
    return {
      body,
      deadlineAtMillis: monotonicMillis() + budgetMillis,
      budgetMillis,
      settle: (reply, error) => {
        this.#notice(error);
        settle(reply, error);
      },
    };
  }

  /** Learns from a reply that the shard map is out of date. */
  #notice(error: OpportuneError | undefined): void {
    if (error?.code === FAULT.notOwner.code) this.#askShards();
  }

  /** For events, which wait rather than fail: sends when the connection can take one more. */
  #trySend(outgoing: Outgoing): boolean {
    const connection = this.#connectionFor(outgoing.body);
    if (connection.state !== 'open' || !connection.hasRoom) return false;
    const { settle } = outgoing;
    connection.submit([
      {
        ...outgoing,
        settle: (reply, error) => {
          this.#notice(error);
          settle(reply, error);
        },
      },
    ]);
    return true;
  }

  /** The owner's connection when it is open, else the seed's; the owner's is opened for the next time. */
  #connectionFor(body: RequestBody): Connection {
    const url = this.#routes.find(body);
    if (url === undefined || url === this.#seed.url) return this.#seed;
    let connection = this.#shards.get(url);
    if (connection === undefined && this.#status !== 'closed') {
      connection = this.#createConnection(url, false);
      this.#shards.set(url, connection);
      connection.start();
    }
    return connection?.state === 'open' ? connection : this.#seed;
  }

  #createConnection(url: string, isSeed: boolean): Connection {
    const { encoding = 'msgpack', token = '', WebSocket } = this.#options;
    return new Connection({
      url,
      encoding,
      token,
      WebSocket,
      onPush: (push) => this.#subscriptions.take(push),
      onOpen: () => {
        if (isSeed) {
          this.#setStatus('connected');
          this.#subscriptions.opened();
          this.#askShards();
        }
        this.#events.pump();
      },
      onDown: (code) => {
        if (isSeed) this.#setStatus('offline', code);
        else if (code === CLOSE_CODE.restarting || code === CLOSE_CODE.moved) this.#askShards();
      },
    });
  }

  /** Asks the seed for the shard map, once at a time; a seed that is down is asked when it is back. */
  #askShards(): void {
    if (this.#options.isShardAware === false || this.#isMapAsked || this.#seed.state !== 'open') return;
    this.#isMapAsked = true;
    this.hello().then(
      () => {
        this.#isMapAsked = false;
      },
      (error: unknown) => {
        this.#isMapAsked = false;
        // Without a map everything goes through the seed, which is correct and only slower; ask again soon.
        if (error instanceof OpportuneError && error.retry === 'later') this.#later(() => this.#askShards(), 1000);
      },
    );
  }

  #takeShards(reply: HelloReply): void {
    this.#routes.replace(reply.shards);
    const urls = this.#routes.urls();
    for (const [url, connection] of this.#shards) {
      if (urls.has(url)) continue;
      this.#shards.delete(url);
      connection.stop(disconnectedError(url));
    }
  }

  #later(work: () => void, delayMillis: number): void {
    if (this.#status === 'closed') return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, delayMillis);
    this.#timers.add(timer);
  }

  #setStatus(status: ClientStatus, closeCode?: number): void {
    if (this.#status === status || this.#status === 'closed') return;
    this.#status = status;
    this.#options.onStatus?.(status, closeCode);
  }
}

function fallbackReply(given: DefaultDecision): DecideReply {
  return {
    id: 0,
    ok: true,
    serverMicros: 0,
    decisionId: null,
    stateSeq: 0,
    catalogVersion: '',
    modelVersion: 0,
    actions: [],
    ...given,
    fallback: true,
  };
}
