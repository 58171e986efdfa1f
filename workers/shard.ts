/**
 * One shard: the actors of its partitions, their store, and the loop that keeps promises. It takes
 * decoded requests, runs their turns, and answers at once or when the write is on disk. It knows no
 * socket: a `Responder` is somebody to answer, on this thread or on another.
 *
 *   request ─▸ handle ─┬─▸ turn ─▸ reply                         (idle)
 *                      └─▸ mailbox ─▸ next pass of the loop      (this pass has used its time slice)
 *   turn ─▸ journal ─▸ commit (now if a reply waits, else within 8 ms) ─▸ gate opens
 *
 * What goes to disk, and what happens when it cannot, is the ShardWriter's.
 */
import { ActorRuntime, type RuntimeStats } from '../actors/actor-runtime.ts';
import { DecideTurn } from '../actors/decide-turn.ts';
import { EFFECT, type Effect, EVENT } from '../actors/effect.ts';
import { EventTurn } from '../actors/event-turn.ts';
import { Mailboxes } from '../actors/mailbox.ts';
import type { HeldReply } from '../actors/output-gate.ts';
import { ProfileTurn } from '../actors/profile-turn.ts';
import { type JournalPosition, STORE_KEY_BYTES } from '../actors/store.ts';
import type { Catalog } from '../decision/catalog.ts';
import { CatalogIndex } from '../decision/catalog-index.ts';
import type { ZoneTable } from '../decision/local-time.ts';
import type { PhaseClock } from '../decision/pipeline.ts';
import { SEND_EXPLORATION_PROBABILITY, TILT_SLOTS, WEEK_SLOTS } from '../decision/send-time.ts';
import type { Plain } from '../proto/messages.ts';
import { OP, type OpNumber } from '../proto/messages.ts';
import { type DocumentWriter, writeDecide, writeError, writeProfile, writeState, writeTrack } from '../proto/reply.ts';
import { DURABILITY, type FrameDecoder, type Request } from '../proto/request.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';
import { epochMicrosOf, epochMillis, monotonicMicros, monotonicMillis } from './clock.ts';
import { coldCodec } from './cold-codec.ts';
import type { ModelSnapshot } from './jobs/model-snapshot-file.ts';
import { COUNTER, type CounterName, GAUGE, HISTOGRAM, type MetricsWriter, STATUS_INDEX } from './metrics-layout.ts';
import type { NodeSecret } from './node-secret.ts';
import type { PriceTable } from './price-table.ts';
import {
  basePositions,
  earlierOf,
  inheritedLedger,
  isAfter,
  readBase,
  writeBase,
  writeCatalogText,
} from './recovery.ts';
import { type ModelAdditions, ShardModels, TEACHING } from './shard-models.ts';
import { ShardWriter } from './shard-writer.ts';
import { type LedgerSubject, moveOwn, type SharedLedger } from './shared-ledger.ts';
import type { LmdbStore } from './store/lmdb-store.ts';
import type { TraceReason, TraceRecord } from './trace-record.ts';
import { TurnPhases } from './turn-phases.ts';

/**
 * Work one pass of the event loop does before the rest of its messages are queued. Long enough that a
 * full window of requests on many connections is answered straight from their own frames.
 */
const SLICE_MICROS = 8_000;
/** Turns of a slice between two looks at the clock, a power of two. */
const TURNS_A_LOOK = 16;
const MAILBOX_DEPTH_MAX = 32_768;
const MAILBOX_DEPTH_PER_PROFILE_MAX = 1_024;
const EXCHANGE_MILLIS = 200;
const TICK_MILLIS = 100;
const TIMERS_A_TICK = 20_000;
const STORED_LEASES_A_STEP = 256;
const TRACES_PENDING_MAX = 1_000;

/** Somebody to answer. Lives as long as the connection (or the forwarding link) it stands for. */
export interface Responder {
  /** Writer of the encoding the answer must have; shared, so fill and send it in one go. */
  readonly writer: DocumentWriter;
  /** Sends what the writer holds; `slot` is what the caller of `handle` gave. */
  send(slot: number): void;
  /** Sends a document made earlier. */
  sendBytes(slot: number, bytes: Uint8Array): void;
  /** Decoder that can read this responder's requests again (queued ones are kept as bytes). */
  readonly decoder: FrameDecoder;
}

export interface TraceSettings {
  readonly isEnabled: boolean;
  /** Share of ordinary requests traced. */
  readonly sampleRatio: number;
  readonly slowMicros: number;
}

export interface ShardOptions {
  readonly shard: number;
  readonly shards: number;
  readonly epoch: number;
  readonly store: LmdbStore;
  readonly catalog: Catalog;
  readonly catalogText: string;
  readonly secret: NodeSecret;
  readonly zones: ZoneTable;
  readonly ledger: SharedLedger;
  readonly ledgerSubjects: readonly LedgerSubject[];
  readonly prices: PriceTable;
  readonly metrics: MetricsWriter;
  readonly memoryBytesMax: number;
  readonly idleMillis: number;
  readonly traces: TraceSettings;
  /** Models as of a snapshot, and where in the journal it stands. */
  readonly snapshot: ModelSnapshot | null;
  ownsPartition(partition: number): boolean;
  readonly events: ShardEvents;
}

/** What a shard tells its thread. */
export interface ShardEvents {
  readOnlyChanged(isReadOnly: boolean, problem: string | null): void;
  turnFailed(error: unknown, effectType: number, profileHash: string): void;
  modelsLearnt(additions: ModelAdditions, upToBatch: number): void;
  traced(records: TraceRecord[]): void;
  /** Many answers follow until `false`: each connection's may leave together. */
  burst(isOn: boolean): void;
  /** A checkpoint is on disk. */
  checkpointed(): void;
}

interface Message {
  readonly bytes: Uint8Array;
  readonly responder: Responder;
  readonly slot: number;
  readonly arrivedMicros: number;
  readonly isForwarded: boolean;
}

export class Shard {
  readonly runtime: ActorRuntime;
  readonly models: ShardModels;
  readonly writer: ShardWriter;
  readonly #options: ShardOptions;
  readonly #store: LmdbStore;
  readonly #metrics: MetricsWriter;
  readonly #decideTurn: DecideTurn;
  readonly #eventTurn: EventTurn;
  readonly #profileTurn: ProfileTurn;
  readonly #mailboxes = new Mailboxes<Message>(MAILBOX_DEPTH_MAX, MAILBOX_DEPTH_PER_PROFILE_MAX);
  readonly #phases: TurnPhases;
  #traces: TraceRecord[] = [];
  #traceCount = 0;
  #sliceStart = 0;
  #sliceTurns = 0;
  #isSliceOpen = false;
  #isDrainScheduled = false;
  #exchangedAt = 0;
  #timers: NodeJS.Timeout[] = [];
  #published = new Map<string, number>();
  #isStopping = false;

  constructor(options: ShardOptions) {
    this.#options = options;
    this.#store = options.store;
    this.#metrics = options.metrics;
    options.ledger.setSubjects(options.ledgerSubjects);
    const { zones } = options;
    this.models = new ShardModels(
      options.catalog,
      options.store,
      options.prices,
      options.secret.seedSecret,
      (zone) => zones.zoneName(zone),
      options.shards > 1,
      options.snapshot?.state,
    );
    this.models.epoch = (options.snapshot?.modelEpoch ?? 0) + 1;
    this.models.flushNow = () => this.#exchange();
    this.runtime = new ActorRuntime(
      {
        store: options.store,
        epoch: options.epoch,
        stream: options.shard,
        hashSeeds: options.secret.hashSeeds,
        seedSecret: options.secret.seedSecret,
        zones,
        ledger: options.ledger,
        models: this.models,
        signer: options.secret.signer,
        coldCodec,
        memoryBytesMax: options.memoryBytesMax,
        idleMillis: options.idleMillis,
        ownsPartition: options.ownsPartition,
      },
      new CatalogIndex(options.catalog),
    );
    this.runtime.onTurnFailure = options.events.turnFailed;
    this.#decideTurn = new DecideTurn(this.runtime, {
      zones,
      zone: 0,
      nowEpochMillis: 0,
      horizonMillis: 24 * 3_600_000,
      earliestEpochMillis: 0,
      quietHours: null,
      week: new Float64Array(WEEK_SLOTS),
      weekOffset: 0,
      zoneTilt: new Float64Array(TILT_SLOTS),
      zoneTiltOffset: 0,
      tilt: new Uint16Array(TILT_SLOTS),
      tiltOffset: 0,
      explorationProbability: SEND_EXPLORATION_PROBABILITY,
      seed0: 0,
      seed1: 0,
      subjectHash: 0,
    });
    this.#eventTurn = new EventTurn(this.runtime);
    this.#profileTurn = new ProfileTurn(this.runtime);
    this.#phases = new TurnPhases(options.traces.isEnabled);
    this.writer = new ShardWriter({
      store: options.store,
      runtime: this.runtime,
      ledger: options.ledger,
      metrics: options.metrics,
      epoch: options.epoch,
      shard: options.shard,
      onClosed: () => this.#nameAndExchange(),
      onCheckpoint: options.events.checkpointed,
      burst: options.events.burst,
      reload: () => this.#reload(),
      onReadOnly: options.events.readOnlyChanged,
    });
  }

  /** Reads back what the journal holds beyond the records. Blocks; call before serving. Returns entries applied. */
  recover(): number {
    const { shard, shards, snapshot, ledger, ledgerSubjects } = this.#options;
    const base = readBase(this.#store);
    const recordPositions = basePositions(this.#store, base);
    const modelPositions = snapshot?.positions ?? [];
    const slots = new Map(ledgerSubjects.map((subject, i) => [subject.subjectHash, i]));
    const own = new Float64Array(ledgerSubjects.length * 2);
    const foreign = new Map<number, { held: number; spent: number }>();
    for (const row of inheritedLedger(this.#store, base, shard, shards)) {
      const slot = slots.get(row.subjectHash);
      if (slot === undefined) foreign.set(row.subjectHash, row);
      else {
        own[slot * 2] = (own[slot * 2] as number) + row.held;
        own[slot * 2 + 1] = (own[slot * 2 + 1] as number) + row.spent;
      }
    }
    const applied = this.runtime.recoverFrom(earlierOf(recordPositions, modelPositions), (effect, position, isOwn) => {
      if (isOwn && isAfter(recordPositions, position)) {
        for (let i = 0; i < effect.ledgerCount; i++) {
          const slot = slots.get(effect.ledgerSubject(i));
          if (slot !== undefined) moveOwn(own, slot, effect.ledgerKind(i), effect.ledgerAmount(i));
        }
      }
      if (isAfter(modelPositions, position)) this.#learnAgain(effect);
    });
    ledger.setShare(
      ledgerSubjects.map(({ subjectHash }, i) => ({
        subjectHash,
        held: own[i * 2] as number,
        spent: own[i * 2 + 1] as number,
      })),
    );
    // What was learnt again is known to every shard already: each reads the whole journal.
    this.models.takeDelta();
    this.models.hasNews = applied > 0;
    return applied;
  }

  #learnAgain(effect: Effect): void {
    if (effect.type !== EFFECT.event) return;
    if (effect.getU32(EVENT.flags) & TEACHING) this.models.learn(effect);
    // A long tail would fill the additions that nobody is to get.
    if (this.models.deltaIsLarge) this.models.takeDelta();
  }

  /** Begins the timers: write-behind, leases, passivation, metrics. */
  start(): void {
    writeCatalogText(this.#store, this.#options.catalog.version, this.#options.catalogText);
    this.writer.start();
    this.#timers.push(setInterval(() => this.#tick(), TICK_MILLIS));
    this.#watchStoredLeases();
  }

  // ── requests ───────────────────────────────────────────────────────────────────────────────────

  /**
   * Takes one request of a partition this shard owns. The answer goes to the responder exactly once, now
   * or later. `slot` is handed back with it.
   */
  handle(request: Request, responder: Responder, slot: number, arrivedMicros: number, isForwarded: boolean): void {
    if (this.#mailboxes.depth === 0 && this.#hasTime(arrivedMicros)) {
      this.#run(request, responder, slot, arrivedMicros, isForwarded);
      return;
    }
    const owner = this.#mailboxOwner(request);
    const message = { bytes: request.copyRaw(), responder, slot, arrivedMicros, isForwarded };
    if (!this.#mailboxes.push(owner, message)) {
      this.#metrics.add(COUNTER.shedMailbox, 1);
      this.#answerFault(
        request,
        responder,
        slot,
        arrivedMicros,
        FAULT.mailboxFull,
        'mailbox: too many messages wait; try again later',
      );
      return;
    }
    this.#scheduleDrain();
  }

  #mailboxOwner(request: Request): number {
    // A cheap stand-in for the profile: only its equality matters, and a rare clash only shares a bound.
    if (request.keyLength === 0) return 0;
    let hash = request.keyLength;
    for (let i = 0; i < request.keyLength; i++)
      hash = (Math.imul(hash, 31) + (request.keyBytes[request.keyStart + i] as number)) >>> 0;
    return hash;
  }

  /** Whether this pass of the event loop may work on. The slice is opened by its first message and closed by the loop. */
  #hasTime(arrivedMicros: number): boolean {
    if (!this.#isSliceOpen) {
      this.#isSliceOpen = true;
      this.#sliceStart = arrivedMicros;
      this.#sliceTurns = 0;
      setImmediate(this.#closeSlice);
      return true;
    }
    // The requests of one frame arrived at one instant: what its first ones took, only the clock knows.
    const isLook = (++this.#sliceTurns & (TURNS_A_LOOK - 1)) === 0;
    return (isLook ? monotonicMicros() : arrivedMicros) - this.#sliceStart < SLICE_MICROS;
  }
  readonly #closeSlice = (): void => {
    this.#isSliceOpen = false;
  };

  #scheduleDrain(): void {
    if (this.#isDrainScheduled) return;
    this.#isDrainScheduled = true;
    setImmediate(this.#drain);
  }

  readonly #drain = (): void => {
    this.#isDrainScheduled = false;
    const start = monotonicMicros();
    this.#options.events.burst(true);
    for (let n = 0; this.#mailboxes.depth > 0; n++) {
      if ((n & 15) === 15 && monotonicMicros() - start > SLICE_MICROS) break;
      const message = this.#mailboxes.shift();
      if (message !== undefined) this.#runQueued(message);
    }
    this.#options.events.burst(false);
    this.endFrame();
    if (this.#mailboxes.depth > 0) this.#scheduleDrain();
  };

  #runQueued(message: Message): void {
    const { responder, slot, arrivedMicros, isForwarded } = message;
    responder.decoder.decode(message.bytes, {
      onRequest: (request) => {
        const now = monotonicMicros();
        this.#metrics.recordHistogram(HISTOGRAM.mailboxWait, now - arrivedMicros);
        if (request.deadlineMillis > 0 && now - arrivedMicros > request.deadlineMillis * 1000) {
          this.#metrics.add(COUNTER.shedDeadline, 1);
          this.#answerFault(
            request,
            responder,
            slot,
            arrivedMicros,
            FAULT.deadlineExceeded,
            'deadlineMillis: passed while the message waited',
          );
          return;
        }
        this.#run(request, responder, slot, arrivedMicros, isForwarded);
      },
      // It was valid when it came in; the same bytes cannot be invalid now.
      onInvalid: (id, fault, text) => this.#send(responder, slot, id, fault, text),
    });
  }

  #run(request: Request, responder: Responder, slot: number, arrivedMicros: number, isForwarded: boolean): void {
    const phases = this.#phases.begin(arrivedMicros);
    const now = epochMillis();
    if (this.writer.isReadOnly && !isReadOnlyOp(request)) {
      this.#answerFault(
        request,
        responder,
        slot,
        arrivedMicros,
        FAULT.readOnly,
        'store: cannot write at the moment (is the disk full?); dry runs and reads go on',
      );
      return;
    }
    if (this.writer.isOverloaded) {
      this.#metrics.add(COUNTER.shedMailbox, 1);
      this.#answerFault(
        request,
        responder,
        slot,
        arrivedMicros,
        FAULT.mailboxFull,
        'store: too many writes wait for the disk; try again later',
      );
      return;
    }
    let fault: Fault | null;
    try {
      fault = this.#turn(request, now, phases);
    } catch (error) {
      this.runtime.reportTurnFailure(error);
      this.runtime.message = `${request.op}: the turn failed; see the log`;
      fault = FAULT.internal;
    }
    if (fault !== null) {
      this.#answerFault(request, responder, slot, arrivedMicros, fault, this.runtime.message, isForwarded);
      return;
    }
    const waits = this.#waitsForDisk(request);
    if (waits >= 0) this.#hold(request, responder, slot, arrivedMicros, waits, isForwarded);
    else this.#answer(request, responder, slot, arrivedMicros, isForwarded);
  }

  #turn(request: Request, now: number, phases: PhaseClock): Fault | null {
    const { runtime } = this;
    if (request.durability === DURABILITY.replicated) {
      return runtime.fail(FAULT.unimplemented, 'durability: replicated needs a cluster; this node runs alone');
    }
    switch (request.op) {
      case OP.decide:
        return this.#decideTurn.run(request, now, phases);
      case OP.track:
        return this.#eventTurn.track(request, now);
      case OP.identify:
        return this.#profileTurn.identify(request, now);
      case OP.confirm:
        return this.#eventTurn.confirm(request, now);
      case OP.release:
        return this.#eventTurn.release(request, now);
      case OP.profile: {
        this.#described = {};
        return this.#profileTurn.describe(request, now, this.#described);
      }
      default:
        return runtime.fail(FAULT.unimplemented, 'op: this version does not implement it');
    }
  }
  #described: Record<string, Plain> = {};

  /** The batch a reply must wait for, or -1 when it may go now. */
  #waitsForDisk(request: Request): number {
    const { op, durability } = request;
    const isCommitted =
      durability === DURABILITY.unset ? op !== OP.decide && op !== OP.profile : durability === DURABILITY.committed;
    if (!isCommitted || op === OP.profile || (op === OP.decide && request.isDryRun)) return -1;
    return this.writer.batchToWaitFor();
  }

  #answer(request: Request, responder: Responder, slot: number, arrivedMicros: number, isForwarded: boolean): void {
    const micros = monotonicMicros() - arrivedMicros;
    const { writer } = responder;
    writer.reset();
    this.#writeOk(
      writer,
      request.op,
      request.id,
      micros,
      request.durability === DURABILITY.unset ? 2 : request.durability,
    );
    responder.send(slot);
    this.#finish(request.op, 0, null, micros, arrivedMicros, request.traceparent, isForwarded);
  }

  #writeOk(writer: DocumentWriter, op: OpNumber, id: number, serverMicros: number, durability: number): void {
    switch (op) {
      case OP.decide: {
        const outcome = this.#decideTurn.outcome;
        outcome.serverMicros = serverMicros;
        outcome.id = id;
        writeDecide(writer, outcome);
        return;
      }
      case OP.track:
        writeTrack(writer, {
          id,
          ok: true,
          serverMicros,
          stateSeq: this.runtime.record.stateSeq,
          durability: durability === DURABILITY.applied ? 'applied' : 'committed',
          duplicate: this.#eventTurn.isDuplicate,
        });
        return;
      case OP.profile:
        writeProfile(writer, {
          id,
          ok: true,
          serverMicros,
          stateSeq: this.runtime.record.stateSeq,
          record: this.#described,
        });
        return;
      default:
        writeState(writer, { id, ok: true, serverMicros, stateSeq: this.runtime.record.stateSeq });
    }
  }

  /** Keeps an answer back until its batch is on disk. What it says is fixed now; when it leaves is not. */
  #hold(
    request: Request,
    responder: Responder,
    slot: number,
    arrivedMicros: number,
    batch: number,
    isForwarded: boolean,
  ): void {
    const { id, op, traceparent } = request;
    const deadlineMicros =
      request.deadlineMillis > 0 ? arrivedMicros + request.deadlineMillis * 1000 : Number.POSITIVE_INFINITY;
    const isDuplicate = this.#eventTurn.isDuplicate;
    const { stateSeq } = this.runtime.record;
    const heldMicros = monotonicMicros();
    const bytes = op === OP.decide ? this.#writtenDecide(responder, id, arrivedMicros) : null;
    const held: HeldReply = {
      deadlineMicros,
      onCommitted: () => {
        const nowMicros = monotonicMicros();
        const micros = nowMicros - arrivedMicros;
        if (bytes !== null) responder.sendBytes(slot, bytes);
        else {
          const { writer } = responder;
          writer.reset();
          if (op === OP.track) {
            writeTrack(writer, {
              id,
              ok: true,
              serverMicros: Math.round(micros),
              stateSeq,
              durability: 'committed',
              duplicate: isDuplicate,
            });
          } else writeState(writer, { id, ok: true, serverMicros: Math.round(micros), stateSeq });
          responder.send(slot);
        }
        this.#phases.commit(heldMicros - arrivedMicros, micros);
        this.#finish(op, 0, null, micros, arrivedMicros, traceparent, isForwarded);
      },
      onFailed: () => {
        this.#send(responder, slot, id, FAULT.writeFailed, 'store: the write failed; nothing of this request was kept');
        this.#finish(
          op,
          FAULT.writeFailed.code,
          FAULT.writeFailed,
          monotonicMicros() - arrivedMicros,
          arrivedMicros,
          traceparent,
          isForwarded,
        );
      },
      onExpired: () => {
        this.#metrics.add(COUNTER.shedDeadline, 1);
        this.#send(
          responder,
          slot,
          id,
          FAULT.deadlineExceeded,
          'deadlineMillis: passed while waiting for the disk; the write goes on',
        );
        this.#finish(
          op,
          FAULT.deadlineExceeded.code,
          FAULT.deadlineExceeded,
          monotonicMicros() - arrivedMicros,
          arrivedMicros,
          traceparent,
          isForwarded,
        );
      },
    };
    this.writer.hold(batch, held);
  }

  #writtenDecide(responder: Responder, id: number, arrivedMicros: number): Uint8Array {
    const { writer } = responder;
    writer.reset();
    this.#writeOk(writer, OP.decide, id, Math.round(monotonicMicros() - arrivedMicros), DURABILITY.committed);
    return writer.finish().slice();
  }

  #answerFault(
    request: Request,
    responder: Responder,
    slot: number,
    arrivedMicros: number,
    fault: Fault,
    message: string,
    isForwarded = false,
  ): void {
    this.#send(responder, slot, request.id, fault, message);
    this.#finish(
      request.op,
      fault.code,
      fault,
      monotonicMicros() - arrivedMicros,
      arrivedMicros,
      request.traceparent,
      isForwarded,
    );
  }

  #send(responder: Responder, slot: number, id: number | null, fault: Fault, message: string): void {
    responder.writer.reset();
    writeError(responder.writer, id, fault, message);
    responder.send(slot);
  }

  /** Counts an answered request, and keeps it for tracing where that is worth it. */
  #finish(
    op: OpNumber,
    code: number,
    fault: Fault | null,
    micros: number,
    arrivedMicros: number,
    traceparent: string,
    isForwarded: boolean,
  ): void {
    this.#metrics.recordDuration(op, fault === null ? STATUS_INDEX.OK : STATUS_INDEX[fault.status], micros);
    const { traces } = this.#options;
    if (!traces.isEnabled) return;
    const reason = this.#traceReason(fault, micros, traceparent);
    if (reason === null) return;
    if (this.#traces.length >= TRACES_PENDING_MAX) {
      this.#metrics.add(COUNTER.tracesDropped, 1);
      return;
    }
    this.#metrics.add(COUNTER.tracesRecorded, 1);
    const startEpochMicros = epochMicrosOf(arrivedMicros);
    const hasRecord = this.runtime.record.handle !== 0xffffffff;
    this.#traces.push({
      op,
      status: fault === null ? 'OK' : fault.status,
      code,
      startEpochMicros,
      endEpochMicros: startEpochMicros + micros,
      phases: this.#phases.copy(micros),
      traceparent: traceparent === '' ? null : traceparent,
      shard: this.#options.shard,
      partition: hasRecord ? this.runtime.record.partition : 0,
      stateSeq: hasRecord ? this.runtime.record.stateSeq : 0,
      catalogVersion: this.runtime.index.catalog.version,
      modelVersion: this.models.epoch,
      candidates: op === OP.decide ? this.#decideTurn.outcome.candidates : 0,
      isForwarded,
      reason,
    });
  }

  #traceReason(fault: Fault | null, micros: number, traceparent: string): TraceReason | null {
    const { traces } = this.#options;
    if (fault !== null) {
      return fault.status === 'RESOURCE_EXHAUSTED' || fault.status === 'DEADLINE_EXCEEDED' ? 'shed' : 'failed';
    }
    if (micros > traces.slowMicros) return 'slow';
    if (traceparent.endsWith('1')) return 'parent';
    // Every n-th request: no draw is needed to see a fair share.
    this.#traceCount += traces.sampleRatio;
    if (this.#traceCount < 1) return null;
    this.#traceCount -= 1;
    return 'sampled';
  }

  /** The caller has handed over all requests of one frame. */
  endFrame(): void {
    this.writer.limitBatch();
  }

  /** When decoding began and ended, for traces; called by the session before `handle`. */
  markDecoded(arrivedMicros: number): void {
    this.#phases.decoded(arrivedMicros);
  }

  // ── learning and snapshots ─────────────────────────────────────────────────────────────────────

  /** Right behind the close of a batch what was learnt and what is journalled agree. */
  #nameAndExchange(): void {
    this.models.nameVersion();
    if (this.#options.shards > 1 && monotonicMillis() - this.#exchangedAt > EXCHANGE_MILLIS) this.#exchange();
  }

  #exchange(): void {
    this.#exchangedAt = monotonicMillis();
    const additions = this.models.takeDelta();
    if (additions !== null) this.#options.events.modelsLearnt(additions, this.#store.openBatch);
  }

  /**
   * The models as they are, and where in the journal that is: right behind a closed batch for this shard,
   * where their last additions stood for the others. Null when nothing was learnt since the last one.
   */
  takeSnapshot(peerBatches: ReadonlyMap<number, number>): ModelSnapshot | null {
    if (!this.models.hasNews || this.writer.isReadOnly) return null;
    if (this.#store.openBatchBytes > 0) this.writer.commit();
    this.models.hasNews = false;
    const { epoch, shards, shard } = this.#options;
    const positions: JournalPosition[] = [];
    for (let stream = 0; stream < shards; stream++) {
      positions.push({
        epoch,
        stream,
        batch: stream === shard ? this.#store.openBatch : (peerBatches.get(stream) ?? 1),
      });
    }
    return { state: this.models.snapshot(), positions, modelEpoch: this.models.epoch };
  }

  /** Drops the oldest part of the journal beyond `keepBytes`, as far as no recovery can need it. */
  async trimJournal(keepBytes: number): Promise<number> {
    const base = readBase(this.#store);
    if (base === undefined || this.writer.isReadOnly) return 0;
    return this.#store.trimJournal({ keepBytes, before: basePositions(this.#store, base) });
  }

  /** All shards of this epoch have a checkpoint: from now on a start begins there. Called on shard 0. */
  adoptBase(): void {
    writeBase(this.#store, { epoch: this.#options.epoch, streams: this.#options.shards });
    this.writer.commitSoon();
  }

  /** Memory may hold what never reached the disk: forget it all and read again. */
  #reload(): void {
    this.runtime.dropAll();
    this.models.load(this.#options.snapshot?.state);
    this.recover();
  }

  // ── time ───────────────────────────────────────────────────────────────────────────────────────

  #tick(): void {
    const now = epochMillis();
    if (!this.writer.isReadOnly) {
      this.runtime.advanceTimers(now, TIMERS_A_TICK);
      this.runtime.sweep(now);
    }
    this.#options.ledger.refreshHints();
    if (this.#traces.length > 0) {
      this.#options.events.traced(this.#traces);
      this.#traces = [];
    }
    this.publishMetrics();
  }

  /** Leases of records that are only on disk: looked through a slice at a time after the start. */
  #watchStoredLeases(): void {
    let from: Uint8Array | undefined = new Uint8Array(STORE_KEY_BYTES);
    const step = (): void => {
      if (this.#isStopping || from === undefined) return;
      from = this.#store.scanRecords(from, STORED_LEASES_A_STEP, (key, record) => {
        if (this.#options.ownsPartition(key[2] as number)) this.runtime.watchStored(record);
      });
      setTimeout(step, 2);
    };
    setTimeout(step, 100);
  }

  publishMetrics(): void {
    const metrics = this.#metrics;
    const { stats, slab, profiles, wheel } = this.runtime;
    for (const name of STAT_NAMES) {
      const value = stats[name];
      const before = this.#published.get(name) ?? 0;
      if (value !== before) {
        metrics.add(COUNTER[name], value - before);
        this.#published.set(name, value);
      }
    }
    metrics.set(GAUGE.profilesResident, profiles.count);
    metrics.set(GAUGE.slabBytes, slab.reservedBytes + profiles.bytes);
    metrics.set(GAUGE.slabUsedBytes, slab.usedBytes);
    metrics.set(GAUGE.mailboxDepth, this.#mailboxes.depth);
    metrics.set(GAUGE.gateDepth, this.writer.gateDepth);
    metrics.set(GAUGE.timersPending, wheel.pending);
    metrics.set(GAUGE.modelEpoch, this.models.epoch);
    metrics.set(GAUGE.storeReadOnly, this.writer.isReadOnly ? 1 : 0);
    metrics.set(
      GAUGE.leasesOpen,
      stats.leasesOpened - stats.leasesConfirmed - stats.leasesReleased - stats.leasesExpired,
    );
    metrics.set(GAUGE.heapUsedBytes, process.memoryUsage().heapUsed);
  }

  // ── changes from outside ───────────────────────────────────────────────────────────────────────

  setCatalog(catalog: Catalog, text: string, subjects: readonly LedgerSubject[]): void {
    this.#options.ledger.setSubjects(subjects);
    this.models.setCatalog(catalog);
    this.runtime.setCatalog(new CatalogIndex(catalog));
    this.#decideTurn.useCatalog();
    writeCatalogText(this.#store, catalog.version, text);
    this.#metrics.add(COUNTER.catalogReloads, 1);
  }

  /** Writes everything out and stops. What waits in the gate is answered first. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const timer of this.#timers) clearInterval(timer);
    while (this.#mailboxes.depth > 0) this.#drain();
    await this.writer.stop();
  }
}

/** Stats that are counters of the same name. */
const STAT_NAMES = [
  'activations',
  'passivations',
  'profilesCreated',
  'turnFailures',
  'quarantines',
  'journalEntries',
  'duplicateEvents',
  'leasesOpened',
  'leasesConfirmed',
  'leasesReleased',
  'leasesExpired',
  'quotesIssued',
  'decisionsHeldOut',
  'decisionsExplored',
  'decisionsEmpty',
  'learnUpdates',
] as const satisfies readonly (keyof RuntimeStats & CounterName)[];

function isReadOnlyOp(request: Request): boolean {
  return request.op === OP.profile || (request.op === OP.decide && request.isDryRun);
}
