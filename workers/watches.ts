/**
 * Questions of subscribers that wait for another answer: each is a dry-run decide that says, beside what was asked, what the
 * subscriber was told last (`Asked`). Where the answer is another it is given at once; else the question is kept here, beside
 * its person, and asked again when something of the person is committed, or the catalog is another. After KEPT_MICROS it is
 * answered with nothing new, and the subscriber's side asks anew: so what time or a model changes is seen as well.
 *
 *   subscribe ─▸ run ─▸ another answer? ─┬─ yes ─▸ reply
 *                 ▲                      └─ no ──▸ kept ─┬─ commit about the person ─▸ at the end of this pass, again
 *                 └──────────────────────────────────────┴─ KEPT_MICROS ─▸ reply without an answer
 *
 * A question is a request like any other: it comes over links, follows signposts, waits in mailboxes, and is answered
 * UNAVAILABLE when this worker dies. Whoever is erased or restricts processing is watched no more, for good: to tell what
 * they would be answered is to use their data. Where nobody subscribes, a commit costs one comparison.
 */
import type { ActorRuntime } from '../actors/actor-runtime.ts';
import type { DecideTurn } from '../actors/decide-turn.ts';
import { EFFECT } from '../actors/effect.ts';
import type { ProfileRecord } from '../actors/profile-record.ts';
import { isRestricted } from '../actors/standing.ts';
import type { PhaseClock } from '../decision/pipeline.ts';
import { answerDigest } from '../proto/answer-digest.ts';
import { FrameDecoder, type Request } from '../proto/request.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';

/** Questions kept in one shard. */
const KEPT_MAX = 4_096;
const KEPT_MICROS = 10_000_000;
/** Asked again in one pass of the event loop, and while requests wait. */
const AGAIN_A_PASS = 64;
const AGAIN_BUSY = 2;

/** A question that waits. */
export interface KeptQuestion {
  /** Asks it again, as if it came now. */
  again(): void;
  /** Answers that nothing is new. */
  end(): void;
  fail(fault: Fault, message: string): void;
}

/** What a question's `decide` holds beside the fields of a decide: put there by the subscriber's side, never by a client. */
export interface Asked {
  /** Digest of the answer told last, '' for none. */
  readonly known: string;
  /** The person's `stateSeq` then, 0 for none. */
  readonly knownSeq: number;
}

interface Watch {
  readonly question: KeptQuestion;
  readonly person: number;
  readonly hashHigh: number;
  readonly untilMicros: number;
  isErased: boolean;
}

const ERASED = 'subscribe: the person has been erased';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class Watches {
  readonly #runtime: ActorRuntime;
  readonly #decideTurn: DecideTurn;
  readonly #decoder = new FrameDecoder('json');
  readonly #isBusy: () => boolean;
  /** By the low word of the person's hash: of two people with one, both are asked again. */
  readonly #kept = new Map<number, Set<Watch>>();
  /** In the order in which they end. */
  readonly #order = new Set<Watch>();
  #due: Watch[] = [];
  #isScheduled = false;
  readonly #noteChange = (record: ProfileRecord): void => {
    const watches = this.#kept.get(record.hashLow);
    if (watches === undefined) return;
    const isErased = this.#runtime.effect.type === EFFECT.erase;
    for (const watch of watches) {
      watch.isErased = isErased && watch.hashHigh === record.hashHigh;
      this.#askAgain(watch);
    }
  };

  /** @param isBusy whether requests wait */
  constructor(runtime: ActorRuntime, decideTurn: DecideTurn, isBusy: () => boolean) {
    this.#isBusy = isBusy;
    this.#runtime = runtime;
    this.#decideTurn = decideTurn;
  }

  get count(): number {
    return this.#order.size;
  }

  /** Works out the answer: null with the decide turn's `outcome` filled, or the fault. */
  run(request: Request, now: number, phases: PhaseClock): Fault | null {
    const { keyBytes, keyStart, keyLength, asPartition, asLow, asHigh, asHops } = request;
    const profile = decoder.decode(keyBytes.subarray(keyStart, keyStart + keyLength));
    const frame = encoder.encode(JSON.stringify({ ...request.decide, id: 0, op: 'decide', profile, dryRun: true }));
    let fault: Fault | null = null;
    const isWhole = this.#decoder.decode(frame, {
      onRequest: (decide) => {
        Object.assign(decide, { asPartition, asLow, asHigh, asHops });
        fault = this.#decideTurn.run(decide, now, phases) ?? this.#refuse(request);
      },
      onInvalid: (_id, found, message) => {
        fault = this.#runtime.fail(found, `subscribe.${message}`);
      },
    });
    return isWhole
      ? fault
      : this.#runtime.fail(FAULT.invalidField, 'subscribe.decide: expected the fields of a decide');
  }

  /** Why the bound person is not to be watched, or null. */
  #refuse({ decide }: Request): Fault | null {
    const { record } = this.#runtime;
    if (isRestricted(record))
      return this.#runtime.fail(FAULT.restricted, "subscribe: the person's data are stored and not used");
    // Erased while the subscriber's side had been told and had not asked again.
    const isAnother = record.stateSeq === 0 && Number(decide?.knownSeq ?? 0) > 0;
    return isAnother ? this.#runtime.fail(FAULT.erased, ERASED) : null;
  }

  /** Of a question just run: whether the subscriber has this answer. */
  isKnown({ decide }: Request): boolean {
    return decide?.known === answerDigest(this.#decideTurn.outcome);
  }

  /** Keeps a question about the bound profile; false when too many are kept. */
  keep(question: KeptQuestion, nowMicros: number): boolean {
    if (this.#order.size >= KEPT_MAX) return false;
    const { hashLow: person, hashHigh } = this.#runtime.record;
    const watch = { question, person, hashHigh, untilMicros: nowMicros + KEPT_MICROS, isErased: false };
    const beside = this.#kept.get(person);
    if (beside === undefined) this.#kept.set(person, new Set([watch]));
    else beside.add(watch);
    this.#order.add(watch);
    this.#runtime.onChanged = this.#noteChange;
    return true;
  }

  /** Asks all again: the catalog is another, or memory was read back from disk. */
  askAll(): void {
    for (const watch of this.#order) this.#askAgain(watch);
  }

  /** Answers those that were kept long enough. */
  tick(nowMicros: number): void {
    for (const watch of this.#order) {
      if (watch.untilMicros > nowMicros) break;
      this.#forget(watch);
      watch.question.end();
    }
  }

  /** Answers all: the shard stops. */
  stop(): void {
    this.tick(Number.POSITIVE_INFINITY);
  }

  #askAgain(watch: Watch): void {
    this.#forget(watch);
    this.#due.push(watch);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#pass);
  }

  readonly #pass = (): void => {
    this.#isScheduled = false;
    const due = this.#due;
    const count = this.#isBusy() ? AGAIN_BUSY : AGAIN_A_PASS;
    this.#due = due.slice(count);
    for (const { question, isErased } of due.slice(0, count)) {
      if (isErased) question.fail(FAULT.erased, ERASED);
      else question.again();
    }
    if (this.#due.length === 0 || this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#pass);
  };

  #forget(watch: Watch): void {
    this.#order.delete(watch);
    const beside = this.#kept.get(watch.person);
    beside?.delete(watch);
    if (beside?.size === 0) this.#kept.delete(watch.person);
    if (this.#order.size === 0) this.#runtime.onChanged = null;
  }
}
