/**
 * One connection's conversation: decodes frames, answers what needs no profile (`hello`, `ping`), and
 * hands the rest to the shard that owns the profile's partition, here or on another thread.
 *
 *   bytes ▸ decoder ▸ request ─┬─ hello, ping ─▸ answered here
 *                              ├─ own partition ─▸ shard.handle
 *                              └─ another's ─▸ link.forward ─▸ … ─▸ answer comes back as bytes
 *
 * Enforces the window of requests in flight, the uniqueness of their ids, and what the login permits: whose
 * data it is (the tenant) and what may be done were settled when the connection was opened. Writers and decoders are
 * shared by all sessions of a thread: everything from a frame to its answers is one uninterrupted run.
 */
import { strict as assert } from 'node:assert';
import type { Door } from '../actors/dead-letters.ts';
import { MailboxLine } from '../actors/mailbox.ts';
import { asksRestriction } from '../actors/restriction.ts';
import {
  CLOSE_CODE,
  LIMITS,
  PARTITION_COUNT,
  PROTOCOL_VERSION,
  SUBPROTOCOL_JSON,
  SUBPROTOCOL_MSGPACK,
} from '../proto/limits.ts';
import { OP, type ShardAddress } from '../proto/messages.ts';
import { partitionOf, partitionOfDecisionId, partitionOfKey } from '../proto/partition.ts';
import { createWriter, type DocumentWriter, type Encoding, writeError, writeHello, writePing } from '../proto/reply.ts';
import { FrameDecoder, type FrameSink, type Request } from '../proto/request.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';
import { epochMillis, monotonicMicros } from '../workers/clock.ts';
import { COUNTER, GAUGE, type MetricsWriter, STATUS_INDEX } from '../workers/metrics-layout.ts';
import type { RequestRunner } from '../workers/request-runner.ts';
import type { Responder } from '../workers/responder.ts';
import type { MessageTaker } from '../workers/shard-message.ts';
import type { Login } from './access/principal.ts';
import type { TokenBucket } from './access/rate-limit.ts';
import { OPERATION, permits } from './access/roles.ts';
import type { ForwardOrigin, LinkHost, ShardLink } from './shard-link.ts';
import { type SubscribedSession, Subscriptions } from './subscriptions.ts';
import type { Connection } from './transport.ts';

/** How `opportune import` introduces itself: with the name of the mapping, which its rows are counted under. */
const IMPORT_CLIENT = /^opportune-import\/([\w.-]{1,64})$/;
/** Memory for the answers of one burst; what it grew beyond the second bound is let go again. */
const BURST_BYTES_INITIAL = 64 * 1024;
const BURST_BYTES_KEPT = 4 * 1024 * 1024;

/** One tenant on one thread: what its requests reach, and nothing of another's. */
export interface TenantHost {
  readonly name: string;
  readonly requests: RequestRunner;
  readonly people: MessageTaker;
  readonly metrics: MetricsWriter;
}

/** What a connection was admitted with. */
export interface Admission {
  readonly login: Login;
  /** The address as limits count it. */
  readonly address: string;
  /** The handshake had `Sec-GPC: 1`: it holds for all requests of the connection. */
  readonly hasOptOut: boolean;
}

/** The limits a connection keeps to, shared with others of the same token or address; null: none. */
export interface SessionLimits {
  readonly perToken: TokenBucket | null;
  readonly perAddress: TokenBucket | null;
}

/** What all sessions of one thread share. */
export class SessionHost implements LinkHost {
  /** By tenant number. */
  readonly tenants: readonly TenantHost[];
  readonly index: number;
  /** Of what belongs to no tenant: links between the workers, refused upgrades. */
  readonly metrics: MetricsWriter;
  readonly serverName: string;
  /** Owner of each partition, by shard index. */
  readonly owners: Uint8Array;
  /** Links to the other shards; undefined while one is away. */
  readonly links: (ShardLink | undefined)[] = [];
  addresses: readonly ShardAddress[] = [];
  mapEpoch = 1;
  isDraining = false;
  /** Of all connections. */
  subscriptions = 0;
  /** The process has as much memory as it may: requests are refused. */
  isMemoryFull = false;
  /** Why no connection is taken at the moment, or null. */
  get closedBecause(): string | null {
    if (this.isDraining) return 'the server is stopping';
    return this.isMemoryFull ? 'the server has no memory left; try later' : null;
  }

  /** Sessions with answers kept for the end of a burst. */
  readonly #burst: Session[] = [];
  isBursting = false;
  /** The answers kept, one behind the other; copies of their own would each be an allocation. */
  #kept = new Uint8Array(BURST_BYTES_INITIAL);
  #keptBytes = 0;
  readonly #writers: Record<Encoding, DocumentWriter>;
  readonly #decoders: Record<Encoding, FrameDecoder>;

  constructor(
    tenants: readonly TenantHost[],
    index: number,
    owners: Uint8Array,
    metrics: MetricsWriter,
    serverName: string,
  ) {
    this.tenants = tenants;
    this.index = index;
    this.owners = owners;
    this.metrics = metrics;
    this.serverName = serverName;
    this.#writers = { msgpack: createWriter('msgpack'), json: createWriter('json') };
    this.#decoders = { msgpack: new FrameDecoder('msgpack'), json: new FrameDecoder('json') };
  }

  /** Between `true` and `false` answers are kept back, then leave in one system call a connection. */
  burst(isOn: boolean): void {
    this.isBursting = isOn;
    if (isOn) return;
    for (const session of this.#burst) session.flush(this.#kept);
    this.#burst.length = 0;
    this.#keptBytes = 0;
    if (this.#kept.length > BURST_BYTES_KEPT) this.#kept = new Uint8Array(BURST_BYTES_INITIAL);
  }

  /** From now on the session has answers to flush. */
  joinBurst(session: Session): void {
    this.#burst.push(session);
  }

  /** Copies an answer to the others of the burst; returns where it begins. */
  keep(bytes: Uint8Array): number {
    const start = this.#keptBytes;
    const end = start + bytes.length;
    if (end > this.#kept.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.#kept.length));
      larger.set(this.#kept.subarray(0, start));
      this.#kept = larger;
    }
    this.#kept.set(bytes, start);
    this.#keptBytes = end;
    return start;
  }

  /** The requests of one batch, of whatever tenants, have all been handed over. */
  endFrame(): void {
    for (const { requests } of this.tenants) requests.endFrame();
  }

  writer(encoding: Encoding): DocumentWriter {
    return this.#writers[encoding];
  }
  decoder(encoding: Encoding): FrameDecoder {
    return this.#decoders[encoding];
  }
}

/** The first subprotocol of the client's list that we speak, or null. */
export function chooseSubprotocol(offered: readonly string[]): string | null {
  return offered.find((name) => name === SUBPROTOCOL_MSGPACK || name === SUBPROTOCOL_JSON) ?? null;
}

/** Partition a request is about; requests about no profile, and malformed decision ids, have none (-1). */
export function partitionOfRequest(request: Request): number {
  if (request.op === OP.confirm || request.op === OP.release) return partitionOfDecisionId(request.decisionId);
  if (request.op === OP.alias) return partitionOfKey(request.from);
  return request.keyLength === 0 ? -1 : partitionOf(request.keyBytes, request.keyStart, request.keyLength);
}

export class Session implements Responder, FrameSink, SubscribedSession {
  readonly connection: Connection;
  readonly encoding: Encoding;
  readonly writer: DocumentWriter;
  readonly decoder: FrameDecoder;
  readonly line = new MailboxLine();
  /** Number of the tenant whose data this connection works on. */
  readonly tenant: number;
  /** Who it is, for whoever records who did what; settled for the connection's life. */
  readonly login: Login;
  readonly limits: SessionLimits;
  readonly actor: string;
  door: Door = 'ws';
  source: string;
  readonly hasOptOut: boolean;
  readonly #operations: number;
  readonly #requests: RequestRunner;
  /** The tenant's. */
  readonly metrics: MetricsWriter;
  readonly #host: SessionHost;
  /** Ids accepted and not answered yet. */
  readonly #open = new Set<number>();
  readonly shared: SessionHost;
  readonly #subscriptions = new Subscriptions(this);
  /** Its turn to be closed has come: what is in flight is answered, what is new is sent elsewhere. */
  isClosing = false;
  #isAnswered = false;
  #arrivedMicros = 0;
  /** Where the answers kept in a burst begin and end, in pairs. */
  readonly #kept: number[] = [];

  constructor(
    host: SessionHost,
    connection: Connection,
    { login, hasOptOut }: Pick<Admission, 'login' | 'hasOptOut'>,
    limits: SessionLimits,
  ) {
    this.#host = host;
    this.shared = host;
    this.login = login;
    this.limits = limits;
    this.actor = login.principal.id;
    this.source = this.actor;
    this.hasOptOut = hasOptOut;
    this.#operations = login.operations;
    this.tenant = host.tenants.findIndex(({ name }) => name === login.principal.tenant);
    const tenant = host.tenants[this.tenant];
    assert(tenant !== undefined, 'a login names a tenant of this node');
    this.#requests = tenant.requests;
    this.metrics = tenant.metrics;
    this.connection = connection;
    this.encoding = connection.subprotocol === SUBPROTOCOL_JSON ? 'json' : 'msgpack';
    this.writer = host.writer(this.encoding);
    this.decoder = host.decoder(this.encoding);
  }

  get inFlight(): number {
    return this.#open.size;
  }

  onFrame(bytes: Uint8Array, isBinary: boolean): void {
    const { metrics } = this;
    metrics.add(COUNTER.receivedFrames, 1);
    metrics.add(COUNTER.receivedBytes, bytes.length);
    this.#arrivedMicros = monotonicMicros();
    // Text frames carry JSON, binary frames MessagePack; the other kind cannot be decoded.
    const isDecodable = isBinary === (this.encoding === 'msgpack') && this.decoder.decode(bytes, this);
    if (!isDecodable) {
      const isTooBig = bytes.length > LIMITS.frameBytesMax;
      metrics.add(COUNTER.connectionsDropped, 1);
      this.connection.close(
        isTooBig ? CLOSE_CODE.tooBig : CLOSE_CODE.badPayload,
        isTooBig ? `frame over ${LIMITS.frameBytesMax} bytes` : `frame is not valid ${this.encoding}`,
      );
    }
    this.#requests.endFrame();
  }

  onRequest(request: Request): void {
    const host = this.#host;
    if (this.#open.has(request.id)) {
      this.#refuse(request, FAULT.invalidId, 'id: already in flight on this connection');
      return;
    }
    if (!this.#takesOne()) {
      this.metrics.add(COUNTER.shedRate, 1);
      this.#refuse(request, FAULT.rateLimited, 'rate: more requests a second than this token or address may send');
      return;
    }
    if (((this.#operations >>> request.op) & 1) === 0) {
      this.#refuse(request, FAULT.permissionDenied, 'op: no role of this token permits it');
      return;
    }
    if (
      request.op === OP.consent &&
      asksRestriction(request.purposes) &&
      !permits(this.#operations, OPERATION.restrict)
    ) {
      this.#refuse(request, FAULT.permissionDenied, 'consent.purposes.processing: no role of this token permits it');
      return;
    }
    if (request.op === OP.alias && request.to === '' && !permits(this.#operations, OPERATION.identities)) {
      this.#refuse(
        request,
        FAULT.permissionDenied,
        'alias.to: missing; no role of this token permits to take keys apart',
      );
      return;
    }
    switch (request.op) {
      case OP.hello:
        this.#hello(request);
        return;
      case OP.ping:
        this.#ping(request);
        return;
      case OP.unsubscribe:
        this.#unsubscribe(request);
        return;
      case OP.whatIf:
        this.#refuse(request, FAULT.unimplemented, 'op: this version does not implement it yet');
        return;
      default:
    }
    if (this.isClosing) {
      this.#refuse(request, FAULT.shuttingDown, 'connection: the server is stopping; ask again on a new one');
      return;
    }
    if (host.isMemoryFull) {
      host.metrics.add(COUNTER.shedMemory, 1);
      this.#refuse(request, FAULT.memoryFull, 'memory: the process has as much as it may; try again later');
      return;
    }
    if (this.#open.size >= LIMITS.inFlightMax) {
      this.metrics.add(COUNTER.shedInFlight, 1);
      this.#refuse(request, FAULT.tooManyInFlight, `in flight: at most ${LIMITS.inFlightMax} requests a connection`);
      return;
    }
    this.#isAnswered = false;
    if (request.op === OP.subscribe) {
      const problem = this.#subscriptions.begin(request);
      if (problem !== null) {
        this.#refuse(request, problem.fault, problem.message);
        return;
      }
    } else {
      this.#requests.markDecoded(this.#arrivedMicros);
      if (!this.#hand(request, this, this.#arrivedMicros)) return;
    }
    if (!this.#isAnswered) {
      this.#open.add(request.id);
      this.metrics.addToGauge(GAUGE.inFlight, 1);
    }
  }

  /** Hands a request to the owner of its partition; false when it was refused, and answered. */
  #hand(request: Request, to: Responder & ForwardOrigin, arrivedMicros: number): boolean {
    const host = this.#host;
    const partition = partitionOfRequest(request);
    const owner = partition < 0 ? host.index : (host.owners[partition] as number);
    if (owner === host.index) {
      this.#requests.handle(request, to, request.id, arrivedMicros, false);
      return true;
    }
    const link = host.links[owner];
    if (link?.forward(request, to, arrivedMicros) === true) return true;
    if (link === undefined && this.#requests.answerUnreached(request, to, arrivedMicros)) return false;
    const fault = link === undefined ? FAULT.shardRecovering : FAULT.mailboxFull;
    if (link !== undefined) this.metrics.add(COUNTER.shedForward, 1);
    to.failForwarded(
      request.id,
      fault,
      "shard: the partition's worker is restarting, or too many requests wait for it",
    );
    this.metrics.recordDuration(request.op, STATUS_INDEX[fault.status], monotonicMicros() - arrivedMicros);
    return false;
  }

  #unsubscribe(request: Request): void {
    const ended = this.#subscriptions.end(request);
    // One that has had no answer yet gets none.
    for (const id of ended) this.#close(id);
    const serverMicros = Math.round(monotonicMicros() - this.#arrivedMicros);
    this.writer.reset();
    this.writer.plain({ id: request.id, ok: true, serverMicros, ended: ended.length });
    this.#transmit(this.writer.finish());
    this.metrics.recordDuration(OP.unsubscribe, STATUS_INDEX.OK, serverMicros);
  }

  route(request: Request, to: Responder & ForwardOrigin): void {
    this.#hand(request, to, monotonicMicros());
  }
  push(bytes: Uint8Array): void {
    this.metrics.add(COUNTER.sentPushes, 1);
    this.#transmit(bytes);
  }

  /** The connection is no more. */
  closed(): void {
    for (const id of this.#subscriptions.endAll()) this.#close(id);
  }

  /** A request that was accepted is answered, or will not be. */
  #close(id: number): boolean {
    const wasOpen = this.#open.delete(id);
    if (wasOpen) this.metrics.addToGauge(GAUGE.inFlight, -1);
    return wasOpen;
  }

  /** One request of each limit's; two comparisons where there are none. */
  #takesOne(): boolean {
    const { perToken, perAddress } = this.limits;
    if (perAddress !== null && !perAddress.take(this.#arrivedMicros)) return false;
    return perToken === null || perToken.take(this.#arrivedMicros);
  }

  onInvalid(id: number | null, fault: Fault, message: string): void {
    this.#takesOne(); // refused either way, and counted: nonsense is no cheaper than sense
    this.writer.reset();
    writeError(this.writer, id, fault, message);
    this.#transmit(this.writer.finish());
    this.metrics.recordDuration(0, STATUS_INDEX[fault.status], monotonicMicros() - this.#arrivedMicros);
  }

  /** Answers request `id` with what the writer holds. */
  send(id: number): void {
    this.sendBytes(id, this.writer.finish());
  }

  sendBytes(id: number, bytes: Uint8Array): void {
    if (!this.#close(id)) this.#isAnswered = true;
    this.#transmit(bytes);
  }

  /** Fails a request that was handed to another shard and will get no answer from it. */
  failForwarded(id: number, fault: Fault, message: string): void {
    this.writer.reset();
    writeError(this.writer, id, fault, message);
    this.sendBytes(id, this.writer.finish());
  }

  #refuse(request: Request, fault: Fault, message: string): void {
    this.writer.reset();
    writeError(this.writer, request.id, fault, message);
    this.#transmit(this.writer.finish());
    this.metrics.recordDuration(request.op, STATUS_INDEX[fault.status], monotonicMicros() - this.#arrivedMicros);
  }

  /** Sends what a burst kept back, which is in `kept`. */
  flush(kept: Uint8Array): void {
    if (this.#kept.length === 2) this.#transmitKept(kept);
    else this.connection.cork(() => this.#transmitKept(kept));
    this.#kept.length = 0;
  }

  #transmitKept(kept: Uint8Array): void {
    for (let i = 0; i < this.#kept.length; i += 2) {
      this.#transmitNow(kept.subarray(this.#kept[i], this.#kept[i + 1]));
    }
  }

  #transmit(bytes: Uint8Array): void {
    if (!this.#host.isBursting) {
      this.#transmitNow(bytes);
      return;
    }
    if (this.#kept.length === 0) this.#host.joinBurst(this);
    const start = this.#host.keep(bytes);
    this.#kept.push(start, start + bytes.length);
  }

  #transmitNow(bytes: Uint8Array): void {
    if (!this.connection.isOpen) return;
    const { metrics } = this;
    metrics.add(COUNTER.sentFrames, 1);
    metrics.add(COUNTER.sentBytes, bytes.length);
    // A client that does not read is closed with 1013 by the transport.
    if (this.connection.send(bytes, this.encoding === 'msgpack') === 'dropped')
      metrics.add(COUNTER.connectionsDropped, 1);
  }

  #hello(request: Request): void {
    const host = this.#host;
    const mapping = IMPORT_CLIENT.exec(request.clientName)?.[1];
    if (mapping !== undefined) {
      this.door = 'import';
      this.source = mapping;
    }
    this.writer.reset();
    writeHello(this.writer, {
      id: request.id,
      ok: true,
      serverMicros: Math.round(monotonicMicros() - this.#arrivedMicros),
      server: host.serverName,
      protocol: PROTOCOL_VERSION,
      limits: LIMITS,
      partitions: PARTITION_COUNT,
      shards: host.addresses,
      epoch: host.mapEpoch,
      timeEpochMillis: epochMillis(),
    });
    this.#transmit(this.writer.finish());
    this.metrics.recordDuration(OP.hello, STATUS_INDEX.OK, monotonicMicros() - this.#arrivedMicros);
  }

  #ping(request: Request): void {
    this.writer.reset();
    writePing(this.writer, {
      id: request.id,
      ok: true,
      serverMicros: Math.round(monotonicMicros() - this.#arrivedMicros),
      timeEpochMillis: epochMillis(),
    });
    this.#transmit(this.writer.finish());
    this.metrics.recordDuration(OP.ping, STATUS_INDEX.OK, monotonicMicros() - this.#arrivedMicros);
  }
}
