/**
 * How two profiles of whatever shards become one person, exactly once, through crashes, in any order and direction.
 *
 *   alias(from, to) ─▸ from: depart ─▸ on disk ─▸ arrive ─▸ to: joined ─▸ on disk ─▸ settled ─▸ from: signpost ─▸ reply
 *                            └ what is asked of `from` waits here ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┘ and is sent on
 *
 * From `depart` on the joining profile stands still, and its record says where it goes, so each message can be sent again:
 * every second until an answer comes, also after a restart. The other counts a joining by its number, and notes a refusal
 * by it too, so a message that comes late changes nothing. Profiles that join each other in a ring all wait for the next:
 * an arrival then comes back to its sender with the ring on its way, and the sender whose name is the least stays.
 * Traded away: who asks for a joining profile waits for two writes, some milliseconds, once.
 */
import type { ActorRuntime } from '../../actors/actor-runtime.ts';
import {
  isLeaving,
  isMoved,
  joinedKeys,
  joinedName,
  joiningCheck,
  joiningOf,
  type Signpost,
  signpostOf,
} from '../../actors/identity.ts';
import { IdentityTurn } from '../../actors/identity-turn.ts';
import type { PersonHash } from '../../actors/sealed-trait.ts';
import { isBlockedKey, isStrongerKey, keyTypeOf } from '../../decision/identity-rules.ts';
import type { Request } from '../../proto/request.ts';
import { FAULT, type Fault, faultOf } from '../../proto/statuses.ts';
import type { ShardWriter } from '../shard-writer.ts';
import { Partings } from './partings.ts';
import type { Arrival, PersonMessage } from './person-message.ts';

const RETRY_MILLIS = 1_000;
/** In a ring, for the one that stays to have found that out. */
const AGAIN_MILLIS = 5;
/** What is asked of a joining profile waits no longer. */
const WAIT_MICROS_MAX = 2_000_000;
const WAITING_MAX = 256;
/** Signposts one message may pass; a way longer than this is tried again later, when it is shorter. */
const WAY_MAX = 32;

/** How a request to join or to unjoin ended. */
export interface JoiningOutcome {
  readonly fault: Fault | null;
  readonly message: string;
  readonly merged: boolean;
  readonly stateSeq: number;
}
type Told = (outcome: JoiningOutcome) => void;

/** A request about a profile that is joining this moment. */
export interface WaitingRequest {
  readonly arrivedMicros: number;
  /** Runs it again: by now the profile is a signpost, or its own again. */
  again(): void;
  fail(fault: Fault, message: string): void;
}

/** A profile of this shard that joins another. */
interface UnderWay {
  readonly told: Told[];
  waiting: WaitingRequest[];
}

export interface JoiningsOptions {
  readonly runtime: ActorRuntime;
  readonly writer: Pick<ShardWriter, 'isReadOnly' | 'batchToWaitFor' | 'hold'>;
  /** To the shard that owns the partition; lost where that is away. */
  send(partition: number, message: PersonMessage): void;
  /** Begins to erase what is left under the key of the bound signpost; true when nothing is left. */
  eraseSignpost(key: Signpost, now: number): boolean;
  /** Of a person being erased nothing is left under this key. */
  erased(root: Signpost, key: Signpost): void;
}

export class Joinings {
  readonly #options: JoiningsOptions;
  readonly #runtime: ActorRuntime;
  readonly #turn: IdentityTurn;
  readonly #partings: Partings;
  readonly #underWay = new Map<string, UnderWay>();
  /** Who waits for a key to be taken out, by its name. */
  readonly #unjoining = new Map<string, Told[]>();

  constructor(options: JoiningsOptions) {
    this.#options = options;
    this.#runtime = options.runtime;
    this.#turn = new IdentityTurn(options.runtime);
    const onDisk = (onCommitted: () => void): void => this.#onDisk(onCommitted);
    this.#partings = new Partings({ runtime: options.runtime, turn: this.#turn, send: options.send, onDisk });
    options.runtime.wakes.onWake((now) => this.#wake(now));
  }

  // ── asking ─────────────────────────────────────────────────────────────────────────────────────

  /** Whose turn a request to join is: the profile that moves, which is the weaker of two keys. */
  leaving({ from, to }: Request): PersonHash {
    return this.#runtime.hashOf(this.#leavingKey(from, to));
  }

  #leavingKey(from: string, to: string): string {
    return to !== '' && isStrongerKey(this.#runtime.index.catalog.identity, from, to) ? to : from;
  }

  /**
   * Joins the request's two keys, or, without `to`, takes out the one it names. Null: the outcome was told, or will be.
   * `MOVED`: a signpost is bound, and the request is to be sent on, or to wait.
   */
  ask(request: Request, now: number, told: Told): Fault | null {
    const runtime = this.#runtime;
    const { identity } = runtime.index.catalog;
    const { from, to } = request;
    for (const key of to === '' ? [from] : [from, to]) {
      if (isBlockedKey(identity, key))
        return runtime.fail(FAULT.blockedKey, 'alias: one of the keys is a placeholder that many share, and nobody');
    }
    const key = this.#leavingKey(from, to);
    const leaving = runtime.hashOf(key);
    const isSentOn = request.asPartition >= 0 && !isSame(sentTo(request), leaving);
    if (isSentOn && !runtime.openKnown(request.asPartition, request.asLow, request.asHigh))
      return runtime.fail(FAULT.joining, 'alias: the person is being erased; ask again');
    const fault = isSentOn ? null : runtime.openHashed(leaving, now);
    if (fault !== null) return fault;
    const { record } = runtime;
    if (to === '') return this.#askUnjoining(now, told);
    if (isMoved(record)) return runtime.failMoved();
    const target = runtime.hashOf(key === from ? to : from);
    if (isSame(target, record) || joinedKeys(runtime.readCold()).has(joinedName(target))) {
      // One that they were joined by may not be on disk yet.
      const { stateSeq } = record;
      this.#onDisk(
        () => told({ fault: null, message: '', merged: false, stateSeq }),
        () => told({ fault: FAULT.writeFailed, message: WRITE_FAILED, merged: false, stateSeq: 0 }),
      );
      return null;
    }
    const type = isSame(leaving, record) ? (keyTypeOf(identity, key)?.name ?? null) : null;
    const failed = this.#turn.depart(target, type, now);
    if (failed !== null) return failed;
    const name = joinedName(record);
    this.#underWay.set(name, { told: [told], waiting: [] });
    runtime.wakes.wakeAt(now + RETRY_MILLIS, now);
    this.#sendBound();
    return null;
  }

  /** Of a signpost bound: asks the profile that holds the person to let the key go. */
  #askUnjoining(now: number, told: Told): Fault | null {
    const runtime = this.#runtime;
    const { record } = runtime;
    if (!isMoved(record)) return runtime.fail(FAULT.notJoined, 'alias.from: this key is joined with no other');
    if (joiningOf(record) !== 0) return runtime.failMoved();
    if (!this.#turn.noteLeaving(true, now)) return runtime.fail(FAULT.internal, 'alias: the turn failed; see the log');
    const name = joinedName(record);
    const waiting = this.#unjoining.get(name);
    if (waiting !== undefined) waiting.push(told);
    else this.#unjoining.set(name, [told]);
    runtime.wakes.wakeAt(now + RETRY_MILLIS, now);
    this.#sendLeaving();
    return null;
  }

  /** Keeps a request about the bound profile, which is joining; false when too many wait already, or it is not. */
  keep(request: WaitingRequest): boolean {
    const { record } = this.#runtime;
    if (joiningOf(record) === 0) return false;
    const name = joinedName(record);
    let underWay = this.#underWay.get(name);
    if (underWay === undefined) {
      // From before a restart: the first who asks need not wait for the second to pass.
      underWay = { told: [], waiting: [] };
      this.#underWay.set(name, underWay);
      this.#sendBound();
    }
    if (underWay.waiting.length >= WAITING_MAX) return false;
    underWay.waiting.push(request);
    return true;
  }

  /** Whether the bound signpost is one whose person has arrived. */
  get isSettled(): boolean {
    return joiningOf(this.#runtime.record) === 0;
  }

  // ── sending ────────────────────────────────────────────────────────────────────────────────────

  /** Has what is left under a joined key erased. */
  eraseKey(key: Signpost, root: Signpost): void {
    this.#options.send(key.partition, { kind: 'erase', to: signOf(key), root: signOf(root) });
  }

  /** A signpost's wake: what was not answered is sent again. */
  #wake(now: number): number {
    const { record } = this.#runtime;
    if (!isMoved(record)) return Number.POSITIVE_INFINITY;
    if (joiningOf(record) !== 0) this.#sendBound();
    else if (isLeaving(this.#runtime.readCold())) this.#sendLeaving();
    else return Number.POSITIVE_INFINITY;
    return now + RETRY_MILLIS;
  }

  #sendAgain(own: Signpost): void {
    if (!this.#options.writer.isReadOnly && this.#open(own) && isMoved(this.#runtime.record)) this.#sendBound();
  }

  /** Sends the bound signpost's arrival, never before its departure is on disk: the other would keep what this one lost. */
  #sendBound(): void {
    const own = signOf(this.#runtime.record);
    this.#onDisk(() => {
      const { record } = this.#runtime;
      if (!this.#open(own) || !isMoved(record) || joiningOf(record) === 0) return;
      const to = signpostOf(record);
      const profile = this.#turn.pack();
      const check = joiningCheck(record);
      this.#options.send(to.partition, { kind: 'arrive', to, check, profile, way: [joinedName(record)] });
    });
  }

  /** Likewise that the bound signpost is to stand alone again: the other would let go of what nobody takes. */
  #sendLeaving(): void {
    const own = signOf(this.#runtime.record);
    this.#onDisk(() => {
      const { record } = this.#runtime;
      if (!this.#open(own) || !isMoved(record)) return;
      const to = signpostOf(record);
      const profile = this.#turn.pack();
      this.#options.send(to.partition, { kind: 'unjoin', to, profile, asked: to, round: null });
    });
  }

  /** When what the turn wrote is on disk; where it never comes there, `forget` says so. */
  #onDisk(onCommitted: () => void, onFailed: () => void = () => {}): void {
    const batch = this.#options.writer.batchToWaitFor();
    if (batch < 0) onCommitted();
    else
      this.#options.writer.hold(batch, {
        onCommitted,
        onFailed,
        onExpired: () => {},
        deadlineMicros: Number.POSITIVE_INFINITY,
      });
  }

  // ── being told ─────────────────────────────────────────────────────────────────────────────────

  /** A message for a profile of this shard. What cannot be done now is told again later. */
  take(message: PersonMessage, now: number): void {
    if (this.#options.writer.isReadOnly) return;
    try {
      this.#takeOne(message, now);
    } catch (error) {
      this.#runtime.reportTurnFailure(error);
    }
  }

  #takeOne(message: PersonMessage, now: number): void {
    switch (message.kind) {
      case 'arrive':
        this.#arrive(message, now);
        return;
      case 'unjoin':
        this.#partings.take(message, now);
        return;
      case 'erase':
        if (this.#options.eraseSignpost(message.to, now))
          this.#options.send(message.root.partition, { kind: 'erased', to: message.root, key: message.to });
        return;
      case 'erased':
        this.#options.erased(message.to, message.key);
        return;
      default:
    }
    const { record } = this.#runtime;
    if (!this.#open(message.to) || !isMoved(record)) return;
    const name = joinedName(record);
    switch (message.kind) {
      case 'settled':
        if (joiningOf(record) !== message.seq || !this.#turn.settle(message.root, now)) return;
        this.#end(name, { fault: null, message: '', merged: true, stateSeq: message.stateSeq });
        return;
      case 'refused': {
        if (joiningOf(record) !== message.seq || !this.#turn.cancel(now)) return;
        this.#end(name, { fault: faultOf(message.code), message: message.message, merged: false, stateSeq: 0 });
        return;
      }
      case 'repoint':
        if (joiningOf(record) === 0) this.#turn.settle(message.root, now);
        return;
      case 'unjoined': {
        // Told a second time, it may have been joined again meanwhile.
        if (!isLeaving(this.#runtime.readCold())) return;
        if (!isSame(signpostOf(record), message.asked)) {
          // It went along with a key that left, to whom the one that answers does not answer for it.
          this.#sendLeaving();
          return;
        }
        const told = this.#unjoining.get(name) ?? [];
        const isUnjoined = message.code === 0;
        if (!(isUnjoined ? this.#turn.restore(now) : this.#turn.noteLeaving(false, now))) return;
        this.#unjoining.delete(name);
        const fault = isUnjoined ? null : faultOf(message.code);
        const outcome = { fault, message: message.message, merged: false, stateSeq: record.stateSeq };
        this.#onDisk(() => {
          for (const one of told) one(outcome);
        });
        return;
      }
    }
  }

  #arrive(message: Arrival, now: number): void {
    const runtime = this.#runtime;
    const { record } = runtime;
    const { to, check, profile } = message;
    if (!this.#open(to) && (check === null || runtime.openHashed({ ...to, hashCheck: check }, now) !== null)) return;
    // One that took the sender before it departed itself says so: where it goes, the sender goes with it.
    if (isMoved(record) && !this.#turn.knows(profile)) {
      this.#passOn(message, now);
      return;
    }
    const fault = this.#turn.arrive(profile, runtime.index.catalog.identity, now);
    if (fault === null) {
      const settled = { to: profile.from, seq: profile.seq, root: signOf(record), stateSeq: record.stateSeq };
      const others = this.#turn.brought;
      this.#onDisk(() => {
        this.#options.send(profile.from.partition, { kind: 'settled', ...settled });
        for (const key of others) this.#options.send(key.partition, { kind: 'repoint', to: key, root: settled.root });
      });
      return;
    }
    const refused = { to: profile.from, seq: profile.seq, code: fault.code, message: runtime.message };
    if (!this.#turn.refuse(profile, fault, now)) return;
    this.#onDisk(() => this.#options.send(profile.from.partition, { kind: 'refused', ...refused }));
  }

  /** Of a signpost bound: the arrival goes where it points; unless it has come round to its sender. */
  #passOn(message: Arrival, now: number): void {
    const { record } = this.#runtime;
    const { profile, way } = message;
    const name = joinedName(record);
    const isJoining = joiningOf(record) !== 0;
    if (isJoining && isSame(profile.from, record)) {
      // A ring in which nobody has taken anybody: the least stays, and takes the others as they come round.
      if (way.every((other) => name <= other) && joiningOf(record) === profile.seq && this.#turn.cancel(now)) {
        const { stateSeq } = record;
        this.#onDisk(() => this.#end(name, { fault: null, message: '', merged: true, stateSeq }));
      } else setTimeout(() => this.#sendAgain(profile.from), AGAIN_MILLIS);
      return;
    }
    if (way.length >= WAY_MAX) return;
    const to = signpostOf(record);
    const check = isJoining ? joiningCheck(record) : null;
    const next = { ...message, to, check, way: isJoining ? [...way, name] : way };
    // A departure that is lost would have sent the other to nobody.
    this.#onDisk(() => this.#options.send(to.partition, next));
  }

  /** A joining ended: who asked is told, and what waited runs again. */
  #end(name: string, outcome: JoiningOutcome): void {
    const underWay = this.#underWay.get(name);
    if (underWay === undefined) return;
    this.#underWay.delete(name);
    for (const told of underWay.told) told(outcome);
    for (const request of underWay.waiting) request.again();
  }

  /** Requests that have waited too long are answered; called every 100 ms. */
  tick(nowMicros: number): void {
    for (const underWay of this.#underWay.values()) {
      const isLate = ({ arrivedMicros }: WaitingRequest): boolean => nowMicros - arrivedMicros > WAIT_MICROS_MAX;
      if (!underWay.waiting.some(isLate)) continue;
      const late = underWay.waiting.filter(isLate);
      underWay.waiting = underWay.waiting.filter((request) => !isLate(request));
      for (const request of late) request.fail(FAULT.joining, WAITED);
    }
  }

  /** Takes out a request whose time is up; false where it waits no more. */
  stopWaiting(request: WaitingRequest): boolean {
    for (const { waiting } of this.#underWay.values()) {
      const place = waiting.indexOf(request);
      if (place < 0) continue;
      waiting.splice(place, 1);
      return true;
    }
    return false;
  }

  /** Memory was read back from disk: what was under way goes on from there; who waited is told, or asks again. */
  forget(): void {
    setImmediate(() => this.#forget());
  }

  #forget(): void {
    for (const name of [...this.#underWay.keys()])
      this.#end(name, { fault: FAULT.writeFailed, message: WRITE_FAILED, merged: false, stateSeq: 0 });
    for (const told of this.#unjoining.values())
      for (const one of told) one({ fault: FAULT.writeFailed, message: WRITE_FAILED, merged: false, stateSeq: 0 });
    this.#unjoining.clear();
  }

  #open({ partition, hashLow, hashHigh }: Signpost): boolean {
    return this.#runtime.openKnown(partition, hashLow, hashHigh);
  }
}

const WRITE_FAILED = 'store: the write failed; nothing of this request was kept';
const WAITED = 'profile: its key is being joined with another, and the shard of that one does not answer; ask again';

function isSame(a: Signpost, b: Signpost): boolean {
  return a.hashLow === b.hashLow && a.hashHigh === b.hashHigh && a.partition === b.partition;
}

function signOf({ partition, hashLow, hashHigh }: Signpost): Signpost {
  return { partition, hashLow, hashHigh };
}

function sentTo({ asPartition, asLow, asHigh }: Request): Signpost {
  return { partition: asPartition, hashLow: asLow, hashHigh: asHigh };
}
