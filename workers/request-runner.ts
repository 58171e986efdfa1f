/**
 * Runs the requests of one shard: a turn at once while the shard keeps up, from the mailbox otherwise;
 * answers at once, or hands the answer to the writer until it is on disk; counts each, and keeps for
 * tracing those that are worth it. It knows no socket: a `Responder` is somebody to answer, on this
 * thread or on another.
 *
 *   request ─▸ handle ─┬─▸ turn ─▸ reply                         (keeping up)
 *                      └─▸ mailbox ─▸ next pass of the loop      (this pass has used its time slice)
 */
import { type ActorRuntime, MOVED } from '../actors/actor-runtime.ts';
import { toldShare } from '../actors/cleaner.ts';
import { ConsentTurn } from '../actors/consent-turn.ts';
import type { DecideTurn } from '../actors/decide-turn.ts';
import type { EventTurn } from '../actors/event-turn.ts';
import type { ExportTurn } from '../actors/export-turn.ts';
import { signpostOf } from '../actors/identity.ts';
import { Mailboxes } from '../actors/mailbox.ts';
import type { ProfileTurn } from '../actors/profile-turn.ts';
import { REFUSAL } from '../decision/cleaning/value-rules.ts';
import type { PhaseClock } from '../decision/pipeline.ts';
import { OP, type OpNumber, type Plain, type StateReply } from '../proto/messages.ts';
import {
  type DocumentWriter,
  writeAlias,
  writeDecide,
  writeErase,
  writeError,
  writeExport,
  writePartial,
  writeProfile,
  writeState,
  writeTrack,
} from '../proto/reply.ts';
import { DURABILITY, type FrameSink, type Request } from '../proto/request.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';
import type { Devices } from './abuse/devices.ts';
import { AskerNames } from './asker-names.ts';
import type { AuditOutlet } from './audit/audit-gate.ts';
import { type AuditDetail, personName } from './audit/audit-record.ts';
import { epochMicrosOf, epochMillis, monotonicMicros } from './clock.ts';
import { fallbackReply, hasFallback } from './fallback-answer.ts';
import { HeldAnswer, type HeldAnswerOwner } from './held-answer.ts';
import type { JoiningOutcome, Joinings, WaitingRequest } from './identity/joinings.ts';
import { ToldKeys } from './identity/told-keys.ts';
import { COUNTER, HISTOGRAM, type MetricsWriter, STATUS_INDEX } from './metrics-layout.ts';
import { PassBudget } from './pass-budget.ts';
import { loadConsentStrings, readConsentStrings } from './privacy/consent-strings.ts';
import type { Erasures } from './privacy/erasures.ts';
import { type SourceTallies, TALLY } from './quality/source-tallies.ts';
import { QueueDelay } from './queue-delay.ts';
import type { Responder } from './responder.ts';
import type { ShardModels } from './shard-models.ts';
import type { ShardWriter } from './shard-writer.ts';
import type { TraceReason, TraceRecord } from './trace-record.ts';
import { TurnPhases } from './turn-phases.ts';
import { Watches } from './watches.ts';

const MAILBOX_DEPTH_MAX = 32_768;
const MAILBOX_DEPTH_PER_PROFILE_MAX = 1_024;
const MAILBOX_BYTES_MAX = 64 * 1024 * 1024;
const TRACES_PENDING_MAX = 1_000;
/** Signposts a request may follow; there is never a ring of them, and this would show one. */
const HOPS_MAX = 64;
const decoder = new TextDecoder();
const NOTHING: readonly string[] = [];
/** In place of a fault: the answer is given elsewhere. */
const ANSWERED: Fault = { ...FAULT.internal };

/** By class of a refusal, see `REFUSAL`. */
const REFUSED_COUNTERS: ReadonlyMap<number, number> = new Map([
  [REFUSAL.type, COUNTER.refusedType],
  [REFUSAL.range, COUNTER.refusedRange],
  [REFUSAL.value, COUNTER.refusedValue],
  [REFUSAL.format, COUNTER.refusedFormat],
  [REFUSAL.size, COUNTER.refusedSize],
  [REFUSAL.required, COUNTER.refusedRequired],
  [REFUSAL.undeclared, COUNTER.refusedUndeclared],
  [REFUSAL.contradiction, COUNTER.refusedContradiction],
]);

export interface TraceSettings {
  readonly isEnabled: boolean;
  /** Share of ordinary requests traced. */
  readonly sampleRatio: number;
  readonly slowMicros: number;
}

/** The profile a request was sent on to, where that is not its key's. */
interface SentTo {
  readonly partition: number;
  readonly hashLow: number;
  readonly hashHigh: number;
  readonly hops: number;
}

interface Message {
  readonly bytes: Uint8Array;
  readonly to: SentTo | null;
  readonly responder: Responder;
  readonly slot: number;
  readonly arrivedMicros: number;
  readonly isForwarded: boolean;
}

export interface RequestRunnerOptions {
  readonly shard: number;
  readonly runtime: ActorRuntime;
  readonly models: ShardModels;
  readonly writer: ShardWriter;
  readonly metrics: MetricsWriter;
  readonly traces: TraceSettings;
  readonly decideTurn: DecideTurn;
  readonly eventTurn: EventTurn;
  readonly profileTurn: ProfileTurn;
  readonly exportTurn: ExportTurn;
  readonly erasures: Erasures;
  /** Where accesses to a person's data and changes of consent are told; absent where nobody keeps a log. */
  readonly audit?: AuditOutlet;
  readonly joinings: Joinings;
  readonly devices: Devices;
  readonly sources: SourceTallies;
  ownsPartition(partition: number): boolean;
  /**
   * Hands a request about another shard's profile, `request.asPartition`, to it. Null, or why not.
   * Its answer goes to the responder as if it came from here.
   */
  sendOn(request: Request, responder: Responder, slot: number, arrivedMicros: number): Fault | null;
  /** Many answers follow until `false`. */
  burst(isOn: boolean): void;
}

export class RequestRunner implements HeldAnswerOwner {
  readonly #options: RequestRunnerOptions;
  readonly #runtime: ActorRuntime;
  readonly #askers = new AskerNames();
  readonly #writer: ShardWriter;
  readonly #metrics: MetricsWriter;
  readonly #decideTurn: DecideTurn;
  readonly #eventTurn: EventTurn;
  readonly #consentTurn: ConsentTurn;
  readonly #profileTurn: ProfileTurn;
  readonly #exportTurn: ExportTurn;
  readonly #erasures: Erasures;
  readonly #audit: AuditOutlet | undefined;
  readonly #mailboxes = new Mailboxes<Message>(MAILBOX_DEPTH_MAX, MAILBOX_DEPTH_PER_PROFILE_MAX, MAILBOX_BYTES_MAX);
  readonly #phases: TurnPhases;
  #traces: TraceRecord[] = [];
  #traceCount = 0;
  readonly #pass = new PassBudget();
  readonly #delay = new QueueDelay();
  readonly #watches: Watches;
  /** The queued message that is being decoded again, and what is done with it; both for one message at a time. */
  #late: Message | null = null;
  readonly #lateSink: FrameSink = {
    onRequest: (request) => this.#runLate(request),
    // It was valid when it came in; the same bytes cannot be invalid now.
    onInvalid: (id, fault, text) => {
      if (this.#late !== null) this.#send(this.#late.responder, this.#late.slot, id, fault, text);
    },
  };
  #isDrainScheduled = false;
  #described: Record<string, Plain> = {};
  readonly #toldKeys = new ToldKeys((request, responder, slot, arrivedMicros) =>
    this.handle(request, responder, slot, arrivedMicros, false),
  );

  constructor(options: RequestRunnerOptions) {
    this.#options = options;
    this.#runtime = options.runtime;
    this.#writer = options.writer;
    this.#metrics = options.metrics;
    this.#decideTurn = options.decideTurn;
    this.#eventTurn = options.eventTurn;
    this.#consentTurn = new ConsentTurn(options.runtime, readConsentStrings);
    if (options.runtime.index.catalog.consent.expectsSignals) loadConsentStrings();
    this.#profileTurn = options.profileTurn;
    this.#exportTurn = options.exportTurn;
    this.#erasures = options.erasures;
    this.#audit = options.audit;
    this.#phases = new TurnPhases(options.traces.isEnabled);
    this.#watches = new Watches(options.runtime, options.decideTurn, () => this.#mailboxes.depth > 0);
  }

  /** What subscribers wait for. */
  get watches(): Watches {
    return this.#watches;
  }

  get mailboxDepth(): number {
    return this.#mailboxes.depth;
  }

  /** Trace records since the last call. */
  takeTraces(): TraceRecord[] {
    const traces = this.#traces;
    if (traces.length > 0) this.#traces = [];
    return traces;
  }

  /**
   * Takes one request of a partition this shard owns. The answer goes to the responder exactly once, now
   * or later. `slot` is handed back with it.
   */
  handle(request: Request, responder: Responder, slot: number, arrivedMicros: number, isForwarded: boolean): void {
    if (this.#mailboxes.depth === 0 && this.#pass.hasTime(arrivedMicros, this.#delay.isOverloaded)) {
      this.#run(request, responder, slot, arrivedMicros, isForwarded);
      return;
    }
    if (this.#mailboxes.depth === 0) this.#delay.noteEmpty(monotonicMicros());
    // Who would be served too late anyhow does not wait in line for that: those behind come sooner.
    const isHopeless = request.deadlineMillis > 0 && responder.line.waitedMicros > request.deadlineMillis * 1000;
    if (isHopeless && hasFallback(this.#runtime.index.catalog, request, FAULT.deadlineExceeded)) {
      this.#answerFallback(request, responder, slot, arrivedMicros, COUNTER.fallbacksExpected);
      return;
    }
    const owner = this.#mailboxOwner(request);
    const message = { bytes: request.copyRaw(), to: sentTo(request), responder, slot, arrivedMicros, isForwarded };
    if (!this.#mailboxes.push(responder.line, owner, message)) {
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

  /** Runs what is queued. */
  stop(): void {
    while (this.#mailboxes.depth > 0) this.#drain();
  }

  #scheduleDrain(): void {
    if (this.#isDrainScheduled) return;
    this.#isDrainScheduled = true;
    setImmediate(this.#drain);
  }

  readonly #drain = (): void => {
    this.#isDrainScheduled = false;
    const start = monotonicMicros();
    const pieceMicros = this.#delay.beginPass(start, this.#mailboxes.depth);
    this.#options.burst(true);
    for (let n = 0; this.#mailboxes.depth > 0; n++) {
      if ((n & 15) === 15 && monotonicMicros() - start > pieceMicros) break;
      const message = this.#mailboxes.shift();
      if (message !== undefined) this.#runQueued(message);
    }
    this.#options.burst(false);
    this.endFrame();
    if (this.#mailboxes.depth > 0) this.#scheduleDrain();
    else this.#delay.noteEmpty(monotonicMicros());
  };

  #runQueued(message: Message): void {
    this.#late = message;
    message.responder.decoder.decode(message.bytes, this.#lateSink);
    this.#late = null;
  }

  #runLate(request: Request): void {
    if (this.#late === null) return;
    const { responder, slot, arrivedMicros, isForwarded, to } = this.#late;
    if (to !== null) sendTo(request, to);
    const nowMicros = monotonicMicros();
    const waitedMicros = nowMicros - arrivedMicros;
    responder.line.waitedMicros = responder.line.first < 0 ? 0 : waitedMicros;
    this.#metrics.recordHistogram(HISTOGRAM.mailboxWait, waitedMicros);
    if (request.deadlineMillis > 0 && waitedMicros > request.deadlineMillis * 1000) {
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
    if (this.#delay.refuses(waitedMicros, nowMicros)) {
      this.#metrics.add(COUNTER.shedOverload, 1);
      const text = 'mailbox: more arrives than is served, and this request waited too long; ask again later';
      this.#answerFault(request, responder, slot, arrivedMicros, FAULT.overloaded, text, isForwarded);
      return;
    }
    this.#run(request, responder, slot, arrivedMicros, isForwarded);
  }

  #run(request: Request, responder: Responder, slot: number, arrivedMicros: number, isForwarded: boolean): void {
    const phases = this.#phases.begin(arrivedMicros);
    const now = epochMillis();
    if (this.#writer.isReadOnly && !isReadOnlyOp(request)) {
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
    if (this.#writer.isOverloaded) {
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
    const isRecorded = request.op === OP.profile || request.op === OP.export || request.op === OP.erase;
    if (isRecorded && this.#audit?.mayAccess() === false) {
      const text = "audit: the log cannot be written, so no person's data is shown or erased; try again later";
      this.#answerFault(request, responder, slot, arrivedMicros, FAULT.auditUnavailable, text, isForwarded);
      return;
    }
    this.#runtime.consent.hasOptOut = responder.hasOptOut;
    this.#runtime.asker = this.#askers.nameOf(responder.actor);
    const { letters, cleaner } = this.#runtime;
    const isTold = request.op === OP.track || request.op === OP.identify;
    // Before the turn, which puts clean values in their place.
    const told = isTold ? toldShare(this.#runtime.index.catalog, request) : Number.NaN;
    cleaner.hasChanged = false;
    letters.door = responder.door;
    letters.by = responder.actor;
    letters.hasKept = false;
    let fault: Fault | null;
    try {
      fault =
        request.op === OP.alias
          ? this.#alias(request, responder, slot, arrivedMicros, now, isForwarded)
          : this.#turn(request, now, phases);
      if (fault === MOVED) fault = this.#follow(request, responder, slot, arrivedMicros, isForwarded);
      else if (fault === null && request.op === OP.alias) fault = ANSWERED;
      if (fault === ANSWERED) {
        cleaner.flagged = 0;
        return;
      }
    } catch (error) {
      this.#runtime.reportTurnFailure(error);
      this.#runtime.message = `${request.op}: the turn failed; see the log`;
      fault = FAULT.internal;
    }
    if (isTold && responder.door !== 'redrive') this.#tally(request.op, responder, fault, told);
    if (fault !== null) {
      cleaner.flagged = 0;
      if (fault === FAULT.invalidTrait || fault === FAULT.invalidProperty) this.#countRefused();
      // What was kept of it is on disk when it is answered.
      const waits = this.#runtime.letters.hasKept ? this.#waitsForDisk(request) : -1;
      if (waits >= 0) this.#hold(request, responder, slot, arrivedMicros, waits, isForwarded, fault);
      else this.#answerFault(request, responder, slot, arrivedMicros, fault, this.#runtime.message, isForwarded);
      return;
    }
    if (cleaner.flagged > 0) {
      this.#metrics.add(COUNTER.flaggedValues, cleaner.flagged);
      cleaner.flagged = 0;
    }
    if (request.op === OP.track && !this.#eventTurn.isDuplicate)
      this.#options.devices.used(request, this.#eventTurn.eventAt(request, now), now);
    if (request.op === OP.subscribe && this.#watches.isKnown(request)) {
      this.#watch(request, responder, slot, arrivedMicros, isForwarded);
      return;
    }
    if (this.#audit !== undefined && request.op !== OP.decide) this.#recordAudit(request, responder, now);
    const waits = this.#waitsForDisk(request);
    if (request.op === OP.identify && this.#profileTurn.keysTold.length > 0)
      this.#joinTold(request, responder, slot, arrivedMicros, waits, isForwarded);
    else if (waits >= 0) this.#hold(request, responder, slot, arrivedMicros, waits, isForwarded);
    else this.#answer(request, responder, slot, arrivedMicros, isForwarded);
  }

  /** Keeps a subscriber's question until its answer is another. */
  #watch(request: Request, responder: Responder, slot: number, arrivedMicros: number, isForwarded: boolean): void {
    const { id } = request;
    const kept = { bytes: request.copyRaw(), to: sentTo(request), responder, slot, isForwarded };
    const { stateSeq } = this.#runtime.record;
    const question = {
      again: () => this.#runQueued({ ...kept, arrivedMicros: monotonicMicros() }),
      end: () => {
        responder.writer.reset();
        writeState(responder.writer, { id, ok: true, serverMicros: 0, stateSeq });
        responder.send(slot);
      },
      fail: (fault: Fault, message: string) => this.#send(responder, slot, id, fault, message),
    };
    if (this.#watches.keep(question, arrivedMicros)) return;
    const text = 'subscribe: as many questions wait as this worker keeps; try again later';
    this.#answerFault(request, responder, slot, arrivedMicros, FAULT.tooManySubscriptions, text, isForwarded);
  }

  /** Joins two keys, or takes them apart: answered when both their shards have it on disk. */
  #alias(
    request: Request,
    responder: Responder,
    slot: number,
    arrivedMicros: number,
    now: number,
    isForwarded: boolean,
  ): Fault | null {
    const { joinings } = this.#options;
    if (request.asPartition < 0) {
      const leaving = joinings.leaving(request);
      if (!this.#options.ownsPartition(leaving.partition)) {
        sendTo(request, { ...leaving, hops: request.asHops + 1 });
        return this.#sendOn(request, responder, slot, arrivedMicros);
      }
    }
    const { id, traceparent, from, to } = request;
    const { hashHigh, hashLow } = this.#runtime.hashOf(from);
    let isAnswered = false;
    const answer = ({ fault, message, merged, stateSeq }: JoiningOutcome): void => {
      if (isAnswered) return;
      isAnswered = true;
      const micros = monotonicMicros() - arrivedMicros;
      if (fault === null) {
        responder.writer.reset();
        writeAlias(responder.writer, { id, ok: true, serverMicros: Math.round(micros), stateSeq, merged });
        responder.send(slot);
      } else this.#send(responder, slot, id, fault, message);
      this.#finish(OP.alias, fault?.code ?? 0, fault, micros, arrivedMicros, traceparent, isForwarded);
    };
    // Who asked may be gone; what was asked goes on, is counted and recorded when it is done.
    const timer = this.#atDeadline(request, arrivedMicros, () => {
      this.#metrics.add(COUNTER.shedDeadline, 1);
      const message = 'deadlineMillis: passed while the other shard was waited for; the joining goes on';
      answer({ fault: FAULT.deadlineExceeded, message, merged: false, stateSeq: 0 });
    });
    const told = (outcome: JoiningOutcome): void => {
      clearTimeout(timer);
      if (outcome.fault === null && (outcome.merged || to === '')) {
        this.#metrics.add(to === '' ? COUNTER.keysUnjoined : COUNTER.keysJoined, 1);
        const person = personName(hashHigh, hashLow);
        this.#audit?.record('identity', responder.actor, person, epochMillis(), { joined: outcome.merged });
      }
      if (outcome.fault?.retry === 'never') this.#metrics.add(COUNTER.keysRefused, 1);
      answer(outcome);
    };
    let fault: Fault | null = FAULT.internal;
    try {
      fault = joinings.ask(request, now, told);
    } finally {
      // Refused, or failed: answered by who called this.
      if (fault !== null) clearTimeout(timer);
    }
    return fault;
  }

  /** Has `expire` called when the request's budget is used up; undefined for one that has none. */
  #atDeadline({ deadlineMillis }: Request, arrivedMicros: number, expire: () => void): NodeJS.Timeout | undefined {
    if (deadlineMillis === 0) return undefined;
    return setTimeout(expire, Math.max(0, deadlineMillis - (monotonicMicros() - arrivedMicros) / 1000)).unref();
  }

  /** The bound profile is a signpost: the request goes where it points, or waits until that is certain. */
  #follow(
    request: Request,
    responder: Responder,
    slot: number,
    arrivedMicros: number,
    isForwarded: boolean,
  ): Fault | null {
    const { joinings, ownsPartition } = this.#options;
    const runtime = this.#runtime;
    if (!joinings.isSettled) {
      const message = { bytes: request.copyRaw(), to: sentTo(request), responder, slot, arrivedMicros, isForwarded };
      const { id } = request;
      let timer: NodeJS.Timeout | undefined;
      const waiting: WaitingRequest = {
        arrivedMicros,
        again: () => {
          clearTimeout(timer);
          this.#runQueued(message);
        },
        fail: (fault, text) => {
          clearTimeout(timer);
          this.#send(responder, slot, id, fault, text);
        },
      };
      if (!joinings.keep(waiting)) return FAULT.joining;
      // Run too late, it is answered so.
      timer = this.#atDeadline(request, arrivedMicros, () => {
        if (joinings.stopWaiting(waiting)) this.#runQueued(message);
      });
      return ANSWERED;
    }
    if (request.asHops >= HOPS_MAX) return runtime.fail(FAULT.internal, 'profile: its keys lead to one another');
    const { partition, hashLow, hashHigh } = signpostOf(runtime.record);
    sendTo(request, { partition, hashLow, hashHigh, hops: request.asHops + 1 });
    if (!ownsPartition(partition)) return this.#sendOn(request, responder, slot, arrivedMicros);
    this.#run(request, responder, slot, arrivedMicros, isForwarded);
    return ANSWERED;
  }

  #sendOn(request: Request, responder: Responder, slot: number, arrivedMicros: number): Fault {
    const fault = this.#options.sendOn(request, responder, slot, arrivedMicros);
    if (fault === null) return ANSWERED;
    return this.#runtime.fail(fault, "shard: the worker of the person's partition is restarting or has too much to do");
  }

  /** Counts what was told by its source. What is to come again is counted when it does. */
  #tally(op: OpNumber, responder: Responder, fault: Fault | null, told: number): void {
    if (fault !== null && fault.retry !== 'never') return;
    const row = this.#options.sources.of(responder);
    const add = (column: number, count: number): void => {
      row[column] = (row[column] as number) + count; // a column of the row
    };
    const { cleaner } = this.#runtime;
    add(TALLY.received, 1);
    if (!Number.isNaN(told)) {
      add(TALLY.toldShares, told);
      add(TALLY.toldMessages, 1);
    }
    if (fault !== null) {
      const isCleaners = fault === FAULT.invalidTrait || fault === FAULT.invalidProperty;
      add(TALLY.refused, 1);
      add(isCleaners ? TALLY.reasons + cleaner.refusal : TALLY.refusedOther, 1);
      return;
    }
    if (op === OP.track && this.#eventTurn.isDuplicate) {
      add(TALLY.duplicates, 1);
      return;
    }
    const dropped = op === OP.identify ? this.#profileTurn.dropped : [];
    add(TALLY.accepted, 1);
    if (cleaner.hasChanged) add(TALLY.cleaned, 1);
    if (cleaner.flagged > 0 || dropped.length > 0) add(TALLY.blemished, 1);
    add(TALLY.flagged, cleaner.flagged);
    add(TALLY.dropped, dropped.length);
    for (const { reason } of dropped) add(TALLY.reasons + REFUSAL[reason], 1);
  }

  #countRefused(): void {
    const counter = REFUSED_COUNTERS.get(this.#runtime.cleaner.refusal);
    if (counter !== undefined) this.#metrics.add(counter, 1);
  }

  /** Told before the answer leaves, waiting for nothing. */
  #recordAudit(request: Request, responder: Responder, now: number): void {
    if (request.op === OP.profile) this.#tellAudit('access', responder, now, { operation: 'profile' });
    else if (request.op === OP.export) this.#tellAudit('access', responder, now, { operation: 'export' });
    else if (request.op === OP.erase) {
      const { hashHigh, hashLow, receipt } = this.#erasures;
      const detail = { receipt: receipt?.id ?? null, state: receipt?.state ?? null };
      this.#audit?.record('erasure', responder.actor, personName(hashHigh, hashLow), now, detail);
    } else if (request.op === OP.track && this.#eventTurn.changesConsent && !this.#eventTurn.isDuplicate) {
      const channel = request.properties?.channel;
      this.#tellAudit('consent', responder, now, {
        event: request.event,
        channel: typeof channel === 'string' ? channel : null,
      });
    } else if (request.op === OP.identify && typeof request.traits?.consent === 'boolean') {
      this.#tellAudit('consent', responder, now, { personalisation: request.traits.consent });
    } else if (request.op === OP.consent) {
      this.#tellAudit('consent', responder, now, { purposes: this.#consentTurn.summary });
    }
  }

  #tellAudit(kind: 'access' | 'consent', responder: Responder, now: number, detail: AuditDetail): void {
    const { record } = this.#runtime;
    this.#audit?.record(kind, responder.actor, personName(record.hashHigh, record.hashLow), now, detail);
  }

  #turn(request: Request, now: number, phases: PhaseClock): Fault | null {
    const runtime = this.#runtime;
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
      case OP.consent:
        return this.#consentTurn.run(request, now);
      case OP.confirm:
        return this.#eventTurn.confirm(request, now);
      case OP.release:
        return this.#eventTurn.release(request, now);
      case OP.profile: {
        this.#described = {};
        return this.#profileTurn.describe(request, now, this.#described);
      }
      case OP.export: {
        this.#described = {};
        return this.#exportTurn.run(request, now, this.#described);
      }
      case OP.erase:
        return this.#erasures.ask(request, now);
      case OP.subscribe:
        return this.#watches.run(request, now, phases);
      default:
        return runtime.fail(FAULT.unimplemented, 'op: this version does not implement it');
    }
  }

  /** The batch a reply must wait for, or -1 when it may go now. */
  #waitsForDisk(request: Request): number {
    const { op, durability } = request;
    const isCommitted =
      durability === DURABILITY.unset ? op !== OP.decide && !isRead(op) : durability === DURABILITY.committed;
    if (!isCommitted || isRead(op) || (op === OP.decide && request.isDryRun)) return -1;
    return this.#writer.batchToWaitFor();
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
      case OP.subscribe:
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
          stateSeq: this.#runtime.record.stateSeq,
          durability: durability === DURABILITY.applied ? 'applied' : 'committed',
          duplicate: this.#eventTurn.isDuplicate,
        });
        return;
      case OP.identify:
        writeIdentified(
          writer,
          { id, ok: true, serverMicros, stateSeq: this.#runtime.record.stateSeq },
          this.#dropped(),
        );
        return;
      case OP.profile:
        writeProfile(writer, {
          id,
          ok: true,
          serverMicros,
          stateSeq: this.#runtime.record.stateSeq,
          record: this.#described,
        });
        return;
      case OP.export: {
        const { stateSeq } = this.#runtime.record;
        writeExport(writer, { id, ok: true, serverMicros, stateSeq, export: this.#described });
        return;
      }
      case OP.erase:
        writeErase(writer, { id, ok: true, serverMicros, receipt: { ...this.#erasures.receipt } });
        return;
      default:
        writeState(writer, { id, ok: true, serverMicros, stateSeq: this.#runtime.record.stateSeq });
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
    refusal: Fault | null = null,
  ): void {
    const held = this.#heldAnswer(request, responder, slot, arrivedMicros, isForwarded);
    const { op } = request;
    if (refusal !== null) held.refusal = { fault: refusal, message: this.#runtime.message };
    else if (op === OP.decide || op === OP.erase) held.bytes = this.#written(responder, op, request.id, arrivedMicros);
    this.#writer.hold(batch, held);
  }

  /** Of an identify: joins the keys among its traits, and answers when they are and its batch is on disk. */
  #joinTold(
    request: Request,
    responder: Responder,
    slot: number,
    arrivedMicros: number,
    batch: number,
    isForwarded: boolean,
  ): void {
    const held = this.#heldAnswer(request, responder, slot, arrivedMicros, isForwarded);
    const { keyBytes, keyStart, keyLength } = request;
    const profile = decoder.decode(keyBytes.subarray(keyStart, keyStart + keyLength));
    const reply = this.#toldKeys.join(this.#profileTurn.keysTold, profile, held);
    if (batch >= 0) this.#writer.hold(batch, reply);
    else reply.onCommitted();
  }

  #heldAnswer(
    request: Request,
    responder: Responder,
    slot: number,
    arrivedMicros: number,
    isForwarded: boolean,
  ): HeldAnswer {
    const held = new HeldAnswer(this, responder, slot);
    held.id = request.id;
    held.op = request.op;
    held.traceparent = request.traceparent;
    held.isForwarded = isForwarded;
    held.arrivedMicros = arrivedMicros;
    held.heldMicros = monotonicMicros();
    if (request.deadlineMillis > 0) held.deadlineMicros = arrivedMicros + request.deadlineMillis * 1000;
    held.stateSeq = this.#runtime.record.stateSeq;
    held.isDuplicate = this.#eventTurn.isDuplicate;
    if (request.op === OP.identify) held.dropped = this.#dropped();
    return held;
  }

  /** Why traits were left out of the last `identify`, as its answer says it. */
  #dropped(): readonly string[] {
    const { dropped } = this.#profileTurn;
    return dropped.length === 0 ? NOTHING : dropped.map(({ message }) => message);
  }

  /** Sends an answer that was held; called by it, when its fate is known. */
  release(held: HeldAnswer, fault: Fault | null, message: string): void {
    const { responder, slot, id, op, arrivedMicros, stateSeq } = held;
    const micros = monotonicMicros() - arrivedMicros;
    if (fault === null) {
      if (held.bytes !== null) responder.sendBytes(slot, held.bytes);
      else {
        const { writer } = responder;
        const serverMicros = Math.round(micros);
        writer.reset();
        if (op === OP.track) {
          const duplicate = held.isDuplicate;
          writeTrack(writer, { id, ok: true, serverMicros, stateSeq, durability: 'committed', duplicate });
        } else writeIdentified(writer, { id, ok: true, serverMicros, stateSeq }, held.dropped);
        responder.send(slot);
      }
      this.#phases.commit(held.heldMicros - arrivedMicros, micros);
    } else {
      if (fault === FAULT.deadlineExceeded) this.#metrics.add(COUNTER.shedDeadline, 1);
      this.#send(responder, slot, id, fault, message);
    }
    const code = fault === null ? 0 : fault.code;
    this.#finish(op, code, fault, micros, arrivedMicros, held.traceparent, held.isForwarded);
  }

  #written(responder: Responder, op: OpNumber, id: number, arrivedMicros: number): Uint8Array {
    const { writer } = responder;
    writer.reset();
    this.#writeOk(writer, op, id, Math.round(monotonicMicros() - arrivedMicros), DURABILITY.committed);
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
    if (this.#answersInstead(request, responder, slot, arrivedMicros, fault)) return;
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

  /** Whether the fallback was answered in place of a refusal. */
  #answersInstead(request: Request, responder: Responder, slot: number, arrivedMicros: number, fault: Fault): boolean {
    if (!hasFallback(this.#runtime.index.catalog, request, fault)) return false;
    const isLate = fault === FAULT.deadlineExceeded;
    this.#answerFallback(
      request,
      responder,
      slot,
      arrivedMicros,
      isLate ? COUNTER.fallbacksLate : COUNTER.fallbacksRefused,
    );
    return true;
  }

  #answerFallback(request: Request, responder: Responder, slot: number, arrivedMicros: number, counter: number): void {
    const { options, index } = this.#runtime;
    const { writer } = responder;
    const micros = monotonicMicros() - arrivedMicros;
    const serverMicros = Math.round(micros);
    writer.reset();
    writeDecide(
      writer,
      fallbackReply(index.catalog, request, options.hashSeeds, this.#options.models.epoch, serverMicros),
    );
    responder.send(slot);
    this.#metrics.add(counter, 1);
    this.#metrics.recordDuration(request.op, STATUS_INDEX.OK, micros);
  }

  /** The fallback for a request whose own worker cannot be reached; false where it gets none. */
  answerUnreached(request: Request, responder: Responder, arrivedMicros: number): boolean {
    return this.#answersInstead(request, responder, request.id, arrivedMicros, FAULT.shardRecovering);
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
    if (fault === FAULT.memoryFull) this.#metrics.add(COUNTER.shedMemory, 1);
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
    const hasRecord = this.#runtime.record.handle !== 0xffffffff;
    this.#traces.push({
      op,
      status: fault === null ? 'OK' : fault.status,
      code,
      startEpochMicros,
      endEpochMicros: startEpochMicros + micros,
      phases: this.#phases.copy(micros),
      traceparent: traceparent === '' ? null : traceparent,
      shard: this.#options.shard,
      partition: hasRecord ? this.#runtime.record.partition : 0,
      stateSeq: hasRecord ? this.#runtime.record.stateSeq : 0,
      catalogVersion: this.#runtime.index.catalog.version,
      modelVersion: this.#options.models.epoch,
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
    this.#writer.limitBatch();
  }

  /** When decoding began and ended, for traces; called by the session before `handle`. */
  markDecoded(arrivedMicros: number): void {
    this.#phases.decoded(arrivedMicros);
  }
}

function writeIdentified(writer: DocumentWriter, reply: StateReply, dropped: readonly string[]): void {
  if (dropped.length === 0) writeState(writer, reply);
  else writePartial(writer, { ...reply, dropped });
}

function sentTo({ asPartition, asLow, asHigh, asHops }: Request): SentTo | null {
  return asPartition < 0 ? null : { partition: asPartition, hashLow: asLow, hashHigh: asHigh, hops: asHops };
}

function sendTo(request: Request, { partition, hashLow, hashHigh, hops }: SentTo): void {
  request.asPartition = partition;
  request.asLow = hashLow;
  request.asHigh = hashHigh;
  request.asHops = hops;
}

function isRead(op: OpNumber): boolean {
  return op === OP.profile || op === OP.export || op === OP.subscribe;
}

function isReadOnlyOp(request: Request): boolean {
  return isRead(request.op) || (request.op === OP.decide && request.isDryRun);
}
