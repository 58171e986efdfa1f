/**
 * The way from one shard worker to another: two rings of shared memory, requests one way and answers the
 * other, and a message port for what is rare: waking the other thread, and answers too large for a ring.
 * A request travels as the bytes the client sent, so the owner decodes it as if it had come to it; its
 * answer comes back as the bytes the client gets.
 *
 *   session ─forward─▸ [ slot, arrival, bytes │ … ] ─▸ owner's shard ─▸ [ slot, bytes │ … ] ─▸ session
 *                        └ wake, if it sleeps ──port──▸       └ wake, at the end of its batch
 *
 * Bounded: at most FORWARDED_MAX requests wait for answers; then `forward` says no. What finds its ring
 * full is kept here, in order, until the other thread has read. When the other worker dies, `fail`
 * answers everything that waits with UNAVAILABLE: it may or may not have been done.
 */
import { strict as assert } from 'node:assert';
import { DOORS, type Door } from '../actors/dead-letters.ts';
import { MailboxLine } from '../actors/mailbox.ts';
import { LIMITS } from '../proto/limits.ts';
import { OP } from '../proto/messages.ts';
import type { DocumentWriter, Encoding } from '../proto/reply.ts';
import type { FrameDecoder, FrameSink, Request } from '../proto/request.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';
import { epochMicrosOf, epochMillis, monotonicMicros, monotonicMicrosOf } from '../workers/clock.ts';
import { COUNTER, HISTOGRAM, type MetricsWriter } from '../workers/metrics-layout.ts';
import type { RequestRunner } from '../workers/request-runner.ts';
import type { Responder } from '../workers/responder.ts';
import type { MessageTaker, ShardMessage } from '../workers/shard-message.ts';
import { ANONYMOUS } from './access/principal.ts';
import { TENANTS_MAX } from './config-options.ts';
import { createRingMemory, RING_RECORD_BYTES_MAX, RingReader, RingWriter } from './shared-ring.ts';

const FORWARDED_MAX = 16_384;
/** Of requests whose responder needs no look-up. */
const USUAL_DOOR: Door = 'ws';
/** Between an actor's name and another one that its messages are counted under, which never holds it. */
const SOURCE_MARK = '\u0000';
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

/**
 * Tag of a record: the slot, the tenant, the door, whether it names the profile the next request is about, an opt-out, whether it is
 * an answer or an actor's name, and which encoding it has.
 */
const TAG_NAMED = 1 << 26;
const TAG_OPT_OUT = 1 << 27;
const TAG_ACTOR = 1 << 28;
const TAG_JSON = 1 << 29;
const TAG_ANSWER = 1 << 30;
const SLOT_MASK = FORWARDED_MAX - 1;
const TENANT_SHIFT = 14;
const TENANT_MASK = 0xff;
assert(FORWARDED_MAX === 1 << TENANT_SHIFT && TENANTS_MAX < TENANT_MASK, 'a tenant is the bits between slot and flags');
assert(FORWARDED_MAX <= TAG_JSON && (FORWARDED_MAX & SLOT_MASK) === 0, 'a slot is the low bits of a tag');
const DOOR_SHIFT = 22;
const DOOR_MASK = 0xf;
assert(TENANT_MASK << TENANT_SHIFT < 1 << DOOR_SHIFT, 'the door is above the tenant');
assert(DOORS.length <= DOOR_MASK + 1 && DOOR_MASK << DOOR_SHIFT < TAG_NAMED, 'flags are above the door');
/** Partition, low and high word of a profile's hash, and how often the request was sent on. */
const NAME_BYTES = 10;
/** Actors with a responder of their own on a link; beyond it they are all forgotten, and met anew. */
const ACTORS_MAX = 256;
assert(LIMITS.frameBytesMax <= RING_RECORD_BYTES_MAX, 'a request always fits into a ring');

/** The ring this worker writes to: the first message on a port. */
interface Ring {
  readonly kind: 'ring';
  readonly memory: SharedArrayBuffer;
}
/** There are records to read, or there is room to write. */
const WAKE = 'wake';
/** An answer too large for a ring. */
interface Large {
  readonly kind: 'large';
  readonly tag: number;
  readonly bytes: Uint8Array;
}
/** What two shards say to each other of their people and devices, of one tenant. */
interface OfPerson {
  readonly kind: 'person';
  readonly tenant: number;
  readonly message: ShardMessage;
}
export type LinkMessage = typeof WAKE | Ring | Large | OfPerson;

/** The port between two workers, as a link uses it: a `MessagePort`, or the simulation's. */
export interface LinkPort {
  on(event: 'message', listener: (message: LinkMessage) => void): unknown;
  postMessage(message: LinkMessage): void;
  close(): void;
}

/** Who waits for an answer from the other worker. */
export interface ForwardOrigin {
  readonly encoding: Encoding;
  /** Number of the tenant whose request it is, the same on every worker. */
  readonly tenant: number;
  /** Who asks, as the audit log names it. */
  readonly actor: string;
  readonly door: Door;
  /** What its messages are counted under; mostly the actor. */
  readonly source: string;
  /** It came with `Sec-GPC: 1`. */
  readonly hasOptOut: boolean;
  sendBytes(id: number, bytes: Uint8Array): void;
  failForwarded(id: number, fault: Fault, message: string): void;
}

/** Who runs what comes over a link. */
export type LinkRequests = Pick<RequestRunner, 'markDecoded' | 'handle'>;

/** What a link needs of its own thread. */
export interface LinkHost {
  /** By tenant number. */
  readonly tenants: readonly {
    readonly requests: LinkRequests;
    readonly people: MessageTaker;
  }[];
  /** All requests of a batch have been handed over. */
  endFrame(): void;
  readonly metrics: MetricsWriter;
  writer(encoding: Encoding): DocumentWriter;
  decoder(encoding: Encoding): FrameDecoder;
  /** Between `true` and `false` answers are kept back, then leave in one system call a connection. */
  burst(isOn: boolean): void;
}

/** A record that found its ring full. */
interface Kept {
  readonly tag: number;
  readonly number: number;
  readonly bytes: Uint8Array;
}

export class ShardLink {
  readonly #port: LinkPort;
  readonly #host: LinkHost;
  readonly #writer: RingWriter;
  #reader: RingReader | null = null;
  /** By slot: who waits, for which of its requests, since when. */
  readonly #origins: (ForwardOrigin | null)[] = [];
  readonly #ids: number[] = [];
  readonly #sentMicros: number[] = [];
  readonly #freeSlots: number[] = [];
  #waiting = 0;
  readonly #kept: Kept[] = [];
  /** By tenant: each has mailboxes of its own, and a line stands in those of one only. Of whoever is not named. */
  readonly #responders: readonly Record<Encoding, Responder>[];
  /** Those of actors that were named, by tenant and name. */
  readonly #named = new Map<string, Record<Encoding, Responder>>();
  /** Who the next request is from; '' when it was not said. */
  #takenActor = '';
  /** The profile the next request is about, where that is not its key's. */
  readonly #takenName = new Uint8Array(NAME_BYTES);
  readonly #takenNameView = new DataView(this.#takenName.buffer);
  #takenHops = 0;
  readonly #sentName = new Uint8Array(NAME_BYTES);
  readonly #sentNameView = new DataView(this.#sentName.buffer);
  /** The forwarded request being decoded; for one at a time. */
  #takenSlot = 0;
  #takenMicros = 0;
  #takenResponder: Responder;
  #takenRequests: LinkRequests;
  readonly #sink: FrameSink = {
    onRequest: (request) => {
      const requests = this.#takenRequests;
      if (this.#takenHops > 0) this.#takeName(request);
      requests.markDecoded(this.#takenMicros);
      requests.handle(request, this.#takenResponder, this.#takenSlot, this.#takenMicros, true);
    },
    // The first worker decoded the same bytes as valid.
    onInvalid: () => {},
  };
  #isTaking = false;
  /** Something was written that the other thread has not been told of. */
  #hasNews = false;
  #isWakeScheduled = false;
  #isClosed = false;

  constructor(port: LinkPort, host: LinkHost) {
    this.#port = port;
    this.#host = host;
    this.#responders = host.tenants.map(() => this.#respondersOf(ANONYMOUS.principal.id, false, USUAL_DOOR));
    const [first] = host.tenants;
    const [responders] = this.#responders;
    assert(first !== undefined && responders !== undefined, 'there is always the default tenant');
    this.#takenRequests = first.requests;
    this.#takenResponder = responders.msgpack;
    const memory = createRingMemory();
    this.#writer = new RingWriter(memory);
    port.on('message', (message: LinkMessage) => {
      if (message === WAKE) this.#take();
      else if (message.kind === 'ring') this.#reader = new RingReader(message.memory);
      else if (message.kind === 'person') host.tenants[message.tenant]?.people.take(message.message, epochMillis());
      else this.#takeAnswer(message.tag & SLOT_MASK, message.bytes);
    });
    port.postMessage({ kind: 'ring', memory } satisfies Ring);
  }

  /** Hands a request to the owner; false when too many wait. Call only while its frame is being decoded. */
  forward(request: Request, origin: ForwardOrigin, arrivedMicros: number): boolean {
    if (this.#waiting >= FORWARDED_MAX) return false;
    const slot = this.#freeSlots.pop() ?? this.#origins.length;
    this.#waiting++;
    this.#origins[slot] = origin;
    this.#ids[slot] = request.id;
    // How long a subscriber's question waits says nothing of the way.
    this.#sentMicros[slot] = request.op === OP.subscribe ? Number.NaN : monotonicMicros();
    const flags = (origin.encoding === 'json' ? TAG_JSON : 0) | (origin.hasOptOut ? TAG_OPT_OUT : 0);
    const tag = slot | (origin.tenant << TENANT_SHIFT) | (DOORS.indexOf(origin.door) << DOOR_SHIFT) | flags;
    // What is recorded by who asked says so first. A decision is counted under no source.
    const { actor } = origin;
    const source = request.op === OP.decide ? actor : origin.source;
    if (actor !== ANONYMOUS.principal.id || source !== actor) {
      const name = ENCODER.encode(source === actor ? actor : actor + SOURCE_MARK + source);
      this.#put(TAG_ACTOR, 0, name, 0, name.length);
    }
    if (request.asPartition >= 0) {
      this.#sentName[0] = request.asPartition;
      this.#sentNameView.setUint32(1, request.asLow);
      this.#sentNameView.setUint32(5, request.asHigh);
      this.#sentName[9] = request.asHops;
      this.#put(TAG_NAMED, 0, this.#sentName, 0, NAME_BYTES);
    }
    // The instant is the wall clock's: deadlines and durations count from there, and each thread has its own.
    this.#put(tag, epochMicrosOf(arrivedMicros), request.frame, request.rawStart, request.rawEnd);
    this.#host.metrics.add(COUNTER.forwardsSent, 1);
    // At once: the owner can begin while this thread decodes what came with it.
    this.#wake();
    return true;
  }

  /** Answers everything that waits with UNAVAILABLE and closes. */
  fail(): void {
    this.#isClosed = true;
    for (let slot = 0; slot < this.#origins.length; slot++) {
      const origin = this.#origins[slot] ?? null;
      if (origin === null) continue;
      this.#origins[slot] = null;
      const id = this.#ids[slot] as number; // set with the origin
      origin.failForwarded(id, FAULT.shardRecovering, "shard: the partition's worker stopped before it answered");
    }
    this.#waiting = 0;
    this.#kept.length = 0;
    this.#port.close();
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Everything the other worker has written; then what waited here for room. */
  #take(): void {
    if (this.#reader === null) return;
    this.#isTaking = true;
    this.#host.burst(true);
    const isPeerStarved = this.#reader.drain(this.#visit);
    this.#host.burst(false);
    this.#isTaking = false;
    this.#host.endFrame();
    this.#putKept();
    if (isPeerStarved) this.#port.postMessage(WAKE);
    this.#wake();
  }

  readonly #visit = (tag: number, number: number, bytes: Uint8Array): void => {
    if (tag & TAG_ANSWER) {
      this.#takeAnswer(tag & SLOT_MASK, bytes);
      return;
    }
    if (tag & TAG_ACTOR) {
      this.#takenActor = DECODER.decode(bytes);
      return;
    }
    if (tag & TAG_NAMED) {
      this.#takenName.set(bytes);
      this.#takenHops = this.#takenName[9] as number; // NAME_BYTES long
      return;
    }
    this.#host.metrics.add(COUNTER.forwardsReceived, 1);
    this.#takenSlot = tag & SLOT_MASK;
    this.#takenMicros = monotonicMicrosOf(number);
    const tenant = (tag >>> TENANT_SHIFT) & TENANT_MASK;
    const hasOptOut = (tag & TAG_OPT_OUT) !== 0;
    const door = DOORS[(tag >>> DOOR_SHIFT) & DOOR_MASK] as Door; // written from an index of it
    const isUsual = this.#takenActor === '' && !hasOptOut && door === USUAL_DOOR;
    const responders = isUsual ? this.#unnamed(tenant) : this.#namedResponders(tenant, hasOptOut, door);
    this.#takenRequests = (this.#host.tenants[tenant] as { requests: LinkRequests }).requests; // likewise
    this.#takenResponder = tag & TAG_JSON ? responders.json : responders.msgpack;
    this.#takenResponder.decoder.decode(bytes, this.#sink);
  };

  #takeName(request: Request): void {
    request.asPartition = this.#takenName[0] as number; // NAME_BYTES long
    request.asLow = this.#takenNameView.getUint32(1);
    request.asHigh = this.#takenNameView.getUint32(5);
    request.asHops = this.#takenHops;
    this.#takenHops = 0;
  }

  /** Tells a tenant's shard there what concerns a person of its own. Lost where that worker is away. */
  sendPerson(tenant: number, message: ShardMessage): void {
    if (!this.#isClosed) this.#port.postMessage({ kind: 'person', tenant, message } satisfies OfPerson);
  }

  #takeAnswer(slot: number, bytes: Uint8Array): void {
    const origin = this.#origins[slot] ?? null;
    if (origin === null) return;
    this.#origins[slot] = null;
    this.#freeSlots.push(slot);
    this.#waiting--;
    const sentMicros = this.#sentMicros[slot] as number; // set with the origin
    if (!Number.isNaN(sentMicros))
      this.#host.metrics.recordHistogram(HISTOGRAM.forwardDuration, monotonicMicros() - sentMicros);
    origin.sendBytes(this.#ids[slot] as number, bytes); // likewise
  }

  #unnamed(tenant: number): Record<Encoding, Responder> {
    return this.#responders[tenant] as Record<Encoding, Responder>; // every worker has every tenant
  }

  #namedResponders(tenant: number, hasOptOut: boolean, door: Door): Record<Encoding, Responder> {
    const key = `${tenant} ${hasOptOut} ${door} ${this.#takenActor}`;
    let responders = this.#named.get(key);
    if (responders === undefined) {
      if (this.#named.size >= ACTORS_MAX) this.#named.clear();
      const named = this.#takenActor === '' ? ANONYMOUS.principal.id : this.#takenActor;
      const mark = named.lastIndexOf(SOURCE_MARK);
      const actor = mark < 0 ? named : named.slice(0, mark);
      responders = this.#respondersOf(actor, hasOptOut, door, mark < 0 ? actor : named.slice(mark + 1));
      this.#named.set(key, responders);
    }
    this.#takenActor = '';
    return responders;
  }

  #respondersOf(actor: string, hasOptOut: boolean, door: Door, source = actor): Record<Encoding, Responder> {
    return {
      msgpack: this.#responder('msgpack', actor, hasOptOut, door, source),
      json: this.#responder('json', actor, hasOptOut, door, source),
    };
  }

  #responder(encoding: Encoding, actor: string, hasOptOut: boolean, door: Door, source: string): Responder {
    const writer: DocumentWriter = this.#host.writer(encoding);
    return {
      encoding,
      actor,
      door,
      source,
      hasOptOut,
      writer,
      line: new MailboxLine(),
      decoder: this.#host.decoder(encoding),
      send: (slot) => this.#answer(slot, writer.finish()),
      sendBytes: (slot, bytes) => this.#answer(slot, bytes),
    };
  }

  #answer(slot: number, bytes: Uint8Array): void {
    if (this.#isClosed) return;
    const tag = slot | TAG_ANSWER;
    if (bytes.length > RING_RECORD_BYTES_MAX) {
      this.#port.postMessage({ kind: 'large', tag, bytes: bytes.slice() } satisfies Large);
      return;
    }
    this.#put(tag, 0, bytes, 0, bytes.length);
    // The answers of one batch wake the other thread once, at its end.
    if (this.#isTaking || this.#isWakeScheduled) return;
    this.#isWakeScheduled = true;
    setImmediate(this.#wakeForAnswers);
  }

  #put(tag: number, number: number, bytes: Uint8Array, start: number, end: number): void {
    if (this.#kept.length === 0 && this.#writer.write(tag, number, bytes, start, end)) this.#hasNews = true;
    // The typed array's own `slice`: a Node Buffer's would be a view.
    else this.#kept.push({ tag, number, bytes: Uint8Array.prototype.slice.call(bytes, start, end) });
  }

  #putKept(): void {
    let count = 0;
    for (const { tag, number, bytes } of this.#kept) {
      if (!this.#writer.write(tag, number, bytes, 0, bytes.length)) break;
      count++;
    }
    if (count === 0) return;
    this.#kept.splice(0, count);
    this.#hasNews = true;
  }

  #wake(): void {
    if (!this.#hasNews) return;
    this.#hasNews = false;
    if (this.#writer.takeWake()) this.#port.postMessage(WAKE);
  }
  readonly #wakeForAnswers = (): void => {
    this.#isWakeScheduled = false;
    if (!this.#isClosed) this.#wake();
  };
}
