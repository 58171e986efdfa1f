/**
 * The main thread's way to the shards: a request that came by HTTP becomes a frame, goes to the worker that owns the
 * person over a link like those between two workers, and its answer comes back as a promise. So whatever a worker
 * promises a WebSocket it promises here: order, durability, refusals, the audit log's actor.
 *
 *   ask ─▸ JSON frame ─▸ decoder (the same bounds) ─▸ ShardLink ─▸ worker ─▸ answer ─▸ promise
 *
 * A link is made when it is first needed, so a node that nobody asks by HTTP has none. Bounded: so many requests wait
 * for all workers together, then the next is told to come again. A worker that dies answers all that wait with UNAVAILABLE. Never rejects.
 */
import { strict as assert } from 'node:assert';
import type { MessagePort } from 'node:worker_threads';
import type { Door } from '../../actors/dead-letters.ts';
import type { ErrorReply, Plain, Properties } from '../../proto/messages.ts';
import { createWriter } from '../../proto/reply.ts';
import { FrameDecoder, type FrameSink, type Request } from '../../proto/request.ts';
import { FAULT, type Fault } from '../../proto/statuses.ts';
import { monotonicMicros } from '../../workers/clock.ts';
import { createMetricsBuffer, MetricsWriter } from '../../workers/metrics-layout.ts';
import { RateLimit } from '../access/rate-limit.ts';
import { partitionOfRequest } from '../session.ts';
import { type LinkHost, ShardLink } from '../shard-link.ts';
import { ownersOf } from '../shard-map.ts';

export interface GatewayOptions {
  /** In the order of their numbers. */
  readonly tenants: readonly string[];
  readonly shards: number;
  /** A port whose other end the worker has; null while it cannot be reached. */
  connect(shard: number): MessagePort | null;
  /** Why nothing is taken at the moment, or null. */
  refusal(): Fault | null;
  /** Requests a second of one token; 0: no limit. */
  readonly requestsPerSecondPerToken: number;
  /** Requests that may wait for their answers, over all workers. Absent: WAITING_MAX. */
  readonly waitingMax?: number;
}

/** What waits holds memory of the main thread, whose work is to keep the others alive. */
const WAITING_MAX = 16_384;
/** Tokens whose rates are counted at once. */
const CALLERS_MAX = 65_536;

/** An answer as the wire has it. */
export type GatewayReply =
  | ErrorReply
  | ({ readonly id: number; readonly ok: true } & { readonly [field: string]: Plain });

/** Who asks: whose data, and the name for the audit log. */
export interface Asker {
  readonly tenant: string;
  readonly actor: string;
  /** Whose format it came in. */
  readonly door: Door;
  /** The request came with `Sec-GPC: 1`. */
  readonly hasOptOut: boolean;
}

type Resolve = (reply: GatewayReply) => void;

const ID_MAX = 0xffff_ffff;
const encoder = new TextEncoder();
const textDecoder = new TextDecoder();

export class ShardGateway {
  readonly #options: GatewayOptions;
  readonly #owners: Uint8Array;
  readonly #links: (ShardLink | undefined)[] = [];
  readonly #decoder = new FrameDecoder('json');
  readonly #waiting = new Map<number, Resolve>();
  readonly #host: LinkHost;
  readonly #perToken: RateLimit;
  #nextId = 0;
  isClosed = false;
  #whenIdle: (() => void)[] = [];
  // The request being decoded: decoding and forwarding are one uninterrupted run.
  #asker: Asker = { tenant: '', actor: '', door: 'json', hasOptOut: false };
  #resolve: Resolve = () => {};
  readonly #sink: FrameSink = {
    onRequest: (request) => this.#forward(request),
    onInvalid: (id, fault, message) => this.#resolve(errorReply(id ?? 0, fault, message)),
  };

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#owners = ownersOf(options.shards);
    this.#host = hostOf(options.tenants.length);
    this.#perToken = new RateLimit(options.requestsPerSecondPerToken, CALLERS_MAX);
  }

  /** Requests that wait for their answers. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Resolves when nothing waits for its answer. */
  settled(): Promise<void> {
    return this.#waiting.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  /** @param message a request without its id, as docs/PROTOCOL.md has it */
  ask(asker: Asker, message: Properties): Promise<GatewayReply> {
    return new Promise((resolve) => {
      this.#nextId = this.#nextId >= ID_MAX ? 1 : this.#nextId + 1;
      this.#asker = asker;
      this.#resolve = resolve;
      const refusal = this.#options.refusal();
      if (refusal !== null) {
        resolve(
          errorReply(this.#nextId, refusal, 'server: it is stopping, or has no memory left; try another or later'),
        );
        return;
      }
      // As a worker counts what it receives: each item of a batch is one.
      if (!this.#perToken.takeOnce(`${asker.tenant} ${asker.actor}`, monotonicMicros())) {
        resolve(errorReply(this.#nextId, FAULT.rateLimited, 'rate: more requests a second than this token may send'));
        return;
      }
      const frame = encoder.encode(JSON.stringify({ ...message, id: this.#nextId }));
      if (!this.#decoder.decode(frame, this.#sink)) {
        resolve(errorReply(this.#nextId, FAULT.tooLarge, 'request: larger or deeper than a frame may be'));
      }
    });
  }

  #forward(request: Request): void {
    const { tenant, actor, door, hasOptOut } = this.#asker;
    const resolve = this.#resolve;
    const { id } = request;
    if (this.#waiting.size >= (this.#options.waitingMax ?? WAITING_MAX)) {
      resolve(errorReply(id, FAULT.mailboxFull, 'server: too many requests of HTTP wait for their answers'));
      return;
    }
    const partition = partitionOfRequest(request);
    const shard = partition < 0 ? 0 : (this.#owners[partition] as number); // below PARTITION_COUNT
    const link = this.#linkTo(shard);
    if (link === null) {
      resolve(errorReply(id, FAULT.shardRecovering, "shard: the partition's worker is restarting"));
      return;
    }
    const origin = {
      encoding: 'json' as const,
      tenant: this.#options.tenants.indexOf(tenant),
      actor,
      door,
      source: actor,
      hasOptOut,
      sendBytes: (answered: number, bytes: Uint8Array) =>
        this.#settle(answered, JSON.parse(textDecoder.decode(bytes)) as GatewayReply), // written by our own writer
      failForwarded: (failed: number, fault: Fault, message: string) =>
        this.#settle(failed, errorReply(failed, fault, message)),
    };
    assert(origin.tenant >= 0, 'a login names a tenant of this node');
    this.#waiting.set(id, resolve);
    if (link.forward(request, origin, monotonicMicros())) return;
    this.#settle(id, errorReply(id, FAULT.mailboxFull, "shard: too many requests wait for the partition's worker"));
  }

  #settle(id: number, reply: GatewayReply): void {
    const resolve = this.#waiting.get(id);
    this.#waiting.delete(id);
    resolve?.(reply);
    if (this.#waiting.size > 0) return;
    for (const idle of this.#whenIdle) idle();
    this.#whenIdle = [];
  }

  #linkTo(shard: number): ShardLink | null {
    const known = this.#links[shard];
    if (known !== undefined) return known;
    const port = this.isClosed ? null : this.#options.connect(shard);
    if (port === null) return null;
    const link = new ShardLink(port, this.#host);
    this.#links[shard] = link;
    return link;
  }

  /** The worker is gone: what waits for it is answered, and the next request finds its replacement. */
  unlink(shard: number): void {
    this.#links[shard]?.fail();
    this.#links[shard] = undefined;
  }

  close(): void {
    this.isClosed = true;
    for (let shard = 0; shard < this.#options.shards; shard++) this.unlink(shard);
  }
}

/** The main thread as a link sees it: it asks, and nobody asks it. */
function hostOf(tenants: number): LinkHost {
  const requests = {
    markDecoded: (): void => assert.fail('no worker forwards to the main thread'),
    handle: (): void => assert.fail('no worker forwards to the main thread'),
  };
  const people = { take: (): void => assert.fail('the main thread has no people') };
  return {
    tenants: Array.from({ length: tenants }, () => ({ requests, people })),
    endFrame: () => {},
    // Of its own: what is forwarded here is counted where it is handled.
    metrics: new MetricsWriter(createMetricsBuffer()),
    writer: createWriter,
    decoder: (encoding) => new FrameDecoder(encoding),
    burst: () => {},
  };
}

function errorReply(id: number, fault: Fault, message: string): ErrorReply {
  const { status, code, retry, retryAfterMillis } = fault;
  return { id, ok: false, status, code, message, retry, ...(retryAfterMillis > 0 ? { retryAfterMillis } : {}) };
}
