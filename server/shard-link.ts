/**
 * The way from one shard worker to another: a message port that carries requests one way and answers
 * the other, and what the models have learnt. Requests of one pass of the event loop travel in one
 * message, each as the bytes the client sent, so the owner decodes them as if they had come to it.
 *
 *   session ─forward─▸ [ (slot, encoding, bytes) … ] ─port─▸ owner's shard ─▸ [ (slot, bytes) … ] ─port─▸ session
 *
 * Bounded: at most FORWARDED_MAX requests wait for answers; then `forward` says no. When the other
 * worker dies, `fail` answers everything that waits with UNAVAILABLE: it may or may not have been done.
 */
import type { MessagePort } from 'node:worker_threads';
import type { DocumentWriter, Encoding } from '../proto/reply.ts';
import type { FrameDecoder, Request } from '../proto/request.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';
import { epochMicrosOf, monotonicMicros, monotonicMicrosOf } from '../workers/clock.ts';
import { COUNTER, HISTOGRAM, type MetricsWriter } from '../workers/metrics-layout.ts';
import type { RequestRunner, Responder } from '../workers/request-runner.ts';
import type { ModelAdditions } from '../workers/shard-models.ts';

const FORWARDED_MAX = 16_384;

interface Requests {
  readonly kind: 'requests';
  readonly slots: number[];
  readonly encodings: Encoding[];
  readonly frames: Uint8Array[];
  /** When each arrived at the first worker, epoch microseconds: deadlines and durations count from there. */
  readonly arrivals: number[];
}
interface Answers {
  readonly kind: 'answers';
  readonly slots: number[];
  readonly frames: Uint8Array[];
}
interface Learnt {
  readonly kind: 'learnt';
  /** Null: nothing was learnt up to there. */
  readonly additions: ModelAdditions | null;
  readonly upToBatch: number;
}
type LinkMessage = Requests | Answers | Learnt;

/** Who waits for an answer from the other worker. */
export interface ForwardOrigin {
  readonly encoding: Encoding;
  sendBytes(id: number, bytes: Uint8Array): void;
  failForwarded(id: number, fault: Fault, message: string): void;
}

/** What a link needs of its own thread. */
export interface LinkHost {
  readonly requests: RequestRunner;
  readonly metrics: MetricsWriter;
  writer(encoding: Encoding): DocumentWriter;
  decoder(encoding: Encoding): FrameDecoder;
  /** Between `true` and `false` answers are kept back, then leave in one system call a connection. */
  burst(isOn: boolean): void;
}

interface Waiting {
  readonly origin: ForwardOrigin;
  readonly id: number;
  readonly sentMicros: number;
}

export class ShardLink {
  readonly #port: MessagePort;
  readonly #host: LinkHost;
  readonly #waiting = new Map<number, Waiting>();
  readonly #responders: Record<Encoding, Responder>;
  #nextSlot = 1;
  #requests: Requests = emptyRequests();
  #answers: Answers = emptyAnswers();
  #isFlushScheduled = false;

  constructor(
    port: MessagePort,
    host: LinkHost,
    onLearnt: (additions: ModelAdditions | null, upToBatch: number) => void,
  ) {
    this.#port = port;
    this.#host = host;
    this.#responders = { msgpack: this.#responder('msgpack'), json: this.#responder('json') };
    port.on('message', (message: LinkMessage) => {
      if (message.kind === 'requests') this.#takeRequests(message);
      else if (message.kind === 'answers') this.#takeAnswers(message);
      else onLearnt(message.additions, message.upToBatch);
    });
  }

  /** Hands a request to the owner; false when too many wait. Call only while its frame is being decoded. */
  forward(request: Request, origin: ForwardOrigin, arrivedMicros: number): boolean {
    if (this.#waiting.size >= FORWARDED_MAX) return false;
    const slot = this.#nextSlot;
    this.#nextSlot = (this.#nextSlot + 1) >>> 0;
    this.#waiting.set(slot, { origin, id: request.id, sentMicros: monotonicMicros() });
    this.#requests.slots.push(slot);
    this.#requests.encodings.push(origin.encoding);
    this.#requests.frames.push(request.copyRaw());
    this.#requests.arrivals.push(epochMicrosOf(arrivedMicros));
    this.#host.metrics.add(COUNTER.forwardsSent, 1);
    this.#scheduleFlush();
    return true;
  }

  shareLearnt(additions: ModelAdditions | null, upToBatch: number): void {
    this.#port.postMessage({ kind: 'learnt', additions, upToBatch } satisfies Learnt);
  }

  /** Answers everything that waits with UNAVAILABLE and closes. */
  fail(): void {
    for (const { origin, id } of this.#waiting.values()) {
      origin.failForwarded(id, FAULT.shardRecovering, "shard: the partition's worker stopped before it answered");
    }
    this.#waiting.clear();
    this.#port.close();
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  #takeRequests(message: Requests): void {
    const { requests, metrics } = this.#host;
    metrics.add(COUNTER.forwardsReceived, message.slots.length);
    for (let i = 0; i < message.slots.length; i++) {
      const slot = message.slots[i] as number;
      const arrivedMicros = monotonicMicrosOf(message.arrivals[i] as number);
      const responder = this.#responders[message.encodings[i] as Encoding];
      const decoder: FrameDecoder = responder.decoder;
      decoder.decode(message.frames[i] as Uint8Array, {
        onRequest: (request) => {
          requests.markDecoded(arrivedMicros);
          requests.handle(request, responder, slot, arrivedMicros, true);
        },
        // The first worker decoded the same bytes as valid.
        onInvalid: () => {},
      });
    }
    requests.endFrame();
  }

  #takeAnswers(message: Answers): void {
    const now = monotonicMicros();
    this.#host.burst(true);
    for (let i = 0; i < message.slots.length; i++) {
      const slot = message.slots[i] as number;
      const waiting = this.#waiting.get(slot);
      if (waiting === undefined) continue;
      this.#waiting.delete(slot);
      this.#host.metrics.recordHistogram(HISTOGRAM.forwardDuration, now - waiting.sentMicros);
      waiting.origin.sendBytes(waiting.id, message.frames[i] as Uint8Array);
    }
    this.#host.burst(false);
  }

  #responder(encoding: Encoding): Responder {
    const writer: DocumentWriter = this.#host.writer(encoding);
    return {
      writer,
      decoder: this.#host.decoder(encoding),
      send: (slot) => this.#answer(slot, writer.finish().slice()),
      sendBytes: (slot, bytes) => this.#answer(slot, bytes),
    };
  }

  #answer(slot: number, bytes: Uint8Array): void {
    this.#answers.slots.push(slot);
    this.#answers.frames.push(bytes);
    this.#scheduleFlush();
  }

  #scheduleFlush(): void {
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    this.#isFlushScheduled = false;
    if (this.#requests.slots.length > 0) {
      this.#port.postMessage(this.#requests);
      this.#requests = emptyRequests();
    }
    if (this.#answers.slots.length > 0) {
      this.#port.postMessage(this.#answers);
      this.#answers = emptyAnswers();
    }
  };
}

function emptyRequests(): Requests {
  return { kind: 'requests', slots: [], encodings: [], frames: [], arrivals: [] };
}
function emptyAnswers(): Answers {
  return { kind: 'answers', slots: [], frames: [] };
}
