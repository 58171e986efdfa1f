/**
 * A person's timers: the profile is visited at an instant, also where it was passivated meanwhile, and after a restart,
 * a crash or with another number of workers. The instant is a standing moment of the record itself, so it is journalled,
 * recovered and undone like anything else; a wheel of hints (16 bytes each) finds the profiles that are due.
 *
 *   turn ─▸ wakeAt(at) ─▸ standing moment `wake` + hint        tick ─▸ advance ─▸ visitors ─▸ the next instant, or none
 *
 * A profile has at most one pending wake, the earliest asked for: who is visited says when it is next. Never early, and
 * every turn first visits what is due (`visitDue`), so that no answer depends on how late a tick came; a visit that nobody
 * asked a turn for comes with the second after it. After a start the hints of stored records are found by the same scan
 * as leases, so the visits of people nobody asks for wait for that. Nothing of this is written where nobody calls it.
 */
import { BY_TIME, type Effect } from './effect.ts';
import type { ProfileIndex } from './profile-index.ts';
import type { ProfileRecord } from './profile-record.ts';
import { FIELD, RECORD_FLAG, STANDING } from './record-layout.ts';
import { NO_HANDLE } from './slab.ts';
import { beginStanding, changeStanding, findStanding } from './standing.ts';
import { WakeWheel } from './wake-wheel.ts';

/** After a visit that failed; the second failure sets the profile aside. */
const RETRY_MILLIS = 60_000;
/** One wake a person: the subject of its moment. */
const SUBJECT = 0;

/**
 * Visited with the profile bound, at `now`, at or after the instant asked for; may commit effects of its own.
 * Returns when it is to be visited next, in epoch milliseconds; Infinity for never. Must be after `now`.
 */
export type WakeVisitor = (now: number) => number;

/** When the profile is to be visited, or Infinity. */
export function pendingWake(record: ProfileRecord): number {
  if ((record.getU16(FIELD.flags) & RECORD_FLAG.wakes) === 0) return Number.POSITIVE_INFINITY;
  const found = findStanding(record, STANDING.wake, SUBJECT);
  return found < 0 ? Number.POSITIVE_INFINITY : record.momentAt(found);
}

/** What the timers need of the runtime that has them. */
interface WakingRuntime {
  readonly record: ProfileRecord;
  readonly effect: Effect;
  readonly profiles: ProfileIndex;
  openKnown(partition: number, low: number, high: number): boolean;
  passivateBound(): void;
  commit(now: number): boolean;
  reportTurnFailure(error: unknown): void;
}

/** When the pending wake was asked for, or -Infinity without one: later than now, and the clock was set back. */
export function wakeAskedAt(record: ProfileRecord): number {
  if ((record.getU16(FIELD.flags) & RECORD_FLAG.wakes) === 0) return Number.NEGATIVE_INFINITY;
  const found = findStanding(record, STANDING.wake, SUBJECT);
  return found < 0 ? Number.NEGATIVE_INFINITY : record.momentAmount(found);
}

export class WakeTimers {
  readonly #runtime: WakingRuntime;
  readonly #wheel = new WakeWheel();
  readonly #visitors: WakeVisitor[] = [];
  #isVisiting = false;
  /** During a visit: the instant it was asked for. */
  dueAt = 0;

  constructor(runtime: WakingRuntime) {
    this.#runtime = runtime;
  }

  /** Hints that wait; one may be of a wake that is no more. */
  get pending(): number {
    return this.#wheel.pending;
  }

  /** Who is told of every wake; all are asked for their next instant, and the earliest counts. */
  onWake(visitor: WakeVisitor): void {
    this.#visitors.push(visitor);
  }

  /**
   * Has the bound profile visited at `at` (epoch milliseconds), or sooner where an earlier wake is pending already:
   * that visit asks again. Within a visit it does nothing: return the instant instead. False where the turn failed and
   * was undone.
   */
  wakeAt(at: number, now: number): boolean {
    if (this.#isVisiting || !(at < pendingWake(this.#runtime.record))) return true;
    return this.#set(at, now);
  }

  /** Visits the bound profile if it is due: before a turn reads what time may have changed. */
  visitDue(now: number): void {
    const { record } = this.#runtime;
    if ((record.getU16(FIELD.flags) & RECORD_FLAG.wakes) === 0 || this.#isVisiting || pendingWake(record) > now) return;
    this.#isVisiting = true;
    this.dueAt = pendingWake(record);
    let next = Number.POSITIVE_INFINITY;
    try {
      for (let i = 0; i < this.#visitors.length; i++) next = Math.min(next, (this.#visitors[i] as WakeVisitor)(now));
    } finally {
      this.#isVisiting = false;
    }
    // Behind what the visitors changed: a crash between them repeats the visit, which finds nothing to do.
    this.#set(next > now ? next : now + 1, now);
  }

  /** Visits at most `limit` profiles that are due. Returns whether more may be. */
  advance(now: number, limit: number): boolean {
    const runtime = this.#runtime;
    return this.#wheel.advance(now, limit, (partition, low, high) => {
      const wasResident = runtime.profiles.find(partition, low, high) !== NO_HANDLE;
      try {
        if (!runtime.openKnown(partition, low, high)) return;
        this.visitDue(now);
        // Many people due at once must not push those out of memory who are asked for.
        if (!wasResident) runtime.passivateBound();
      } catch (error) {
        runtime.reportTurnFailure(error);
        this.watch(now + RETRY_MILLIS, partition, low, high);
      }
    });
  }

  /** Enters the bound record's wake into the wheel: called wherever one is set, while serving and recovering. */
  watchBound(at: number): void {
    const { partition, hashLow, hashHigh } = this.#runtime.record;
    this.watch(at, partition, hashLow, hashHigh);
  }

  /** Of a stored record. */
  watch(at: number, partition: number, hashLow: number, hashHigh: number): void {
    this.#wheel.add(at, partition, hashLow, hashHigh);
  }

  clear(): void {
    this.#wheel.clear();
  }

  #set(at: number, now: number): boolean {
    const { effect } = this.#runtime;
    const isSet = at !== Number.POSITIVE_INFINITY;
    beginStanding(effect);
    changeStanding(effect, STANDING.wake, SUBJECT, isSet, isSet ? at : now, now);
    effect.u8[5] = BY_TIME;
    return this.#runtime.commit(now);
  }
}
