/**
 * What stands of a person until it is ended: a tag held, a journey's stage, a consent, a suspicion, a refused
 * channel. Each is one moment of the record, named by its kind and subject, so that a turn reads it without the cold
 * record; `at` says since when, the amount is the kind's own (a weight, a stage, an expiry). Changes are one effect
 * of absolute values: applied twice, in a recovery, they come to the same.
 *
 * Traded away: looked up by a walk over the moments, which a person has a few dozen of. Called by the turns that set
 * them, next to the effect that was the cause, in the same batch.
 */
import { VALUE_MOMENT } from '../decision/catalog.ts';
import { EFFECT, type Effect, STANDING_EFFECT } from './effect.ts';
import type { ProfileRecord } from './profile-record.ts';
import { FIELD, RECORD_FLAG, STANDING, type StandingKind } from './record-layout.ts';

const CHANGE_BYTES = 24;
const VALUE_KIND = VALUE_MOMENT as StandingKind; // of a change that `addValue` wrote
/** Changes of one effect; who has more begins another. */
export const STANDING_CHANGES_MAX = 64;

/**
 * Whether the record's data are stored and not used: the person restricted it (`restriction.ts`), or it was joined into
 * another, which has them now (`identity.ts`). One look at the flags.
 */
export function isRestricted(record: ProfileRecord): boolean {
  return (record.getU16(FIELD.flags) & (RECORD_FLAG.restricted | RECORD_FLAG.moved)) !== 0;
}

/** Whether the record is a device's that nobody ever told of otherwise: no person to be counted, see `device-turn.ts`. */
export function isDevice(record: ProfileRecord): boolean {
  return (record.getU16(FIELD.flags) & RECORD_FLAG.device) !== 0;
}

/** Place of the moment that stands, or -1. */
export function findStanding(record: ProfileRecord, kind: StandingKind, subject: number): number {
  for (let i = 0; i < record.momentCount; i++) {
    if (record.momentKind(i) === kind && record.momentSubject(i) === subject) return i;
  }
  return -1;
}

export function beginStanding(effect: Effect): void {
  effect.begin(EFFECT.standing, STANDING_EFFECT.changes - 48 + STANDING_CHANGES_MAX * CHANGE_BYTES);
  effect.u8[5] = 0;
  trim(effect, 0);
}

/** Adds one change to an effect begun by `beginStanding`. @param at since when; of an ended one it means nothing */
export function changeStanding(
  effect: Effect,
  kind: StandingKind,
  subject: number,
  isSet: boolean,
  at: number,
  amount: number,
): void {
  const count = effect.getU32(STANDING_EFFECT.count);
  if (count >= STANDING_CHANGES_MAX)
    throw new RangeError(`a standing effect has at most ${STANDING_CHANGES_MAX} changes`);
  const start = STANDING_EFFECT.changes + count * CHANGE_BYTES;
  effect.setF64(start, at);
  effect.setF64(start + 8, amount);
  effect.setU32(start + 16, subject);
  effect.u8[start + 20] = kind;
  effect.u8[start + 21] = isSet ? 1 : 0;
  trim(effect, count + 1);
}

/**
 * Adds a change that keeps one more value of an event's property, see `VALUE_MOMENT`: not a standing one, there may be
 * many a subject.
 */
export function addValue(effect: Effect, subject: number, at: number, valueHash: number): void {
  changeStanding(effect, VALUE_KIND, subject, true, at, valueHash);
}

function trim(effect: Effect, count: number): void {
  effect.setU32(STANDING_EFFECT.count, count);
  effect.length = STANDING_EFFECT.changes + count * CHANGE_BYTES;
  effect.u32[0] = effect.length;
}

export interface StandingChange {
  readonly kind: StandingKind;
  readonly subject: number;
  readonly isSet: boolean;
  readonly at: number;
  readonly amount: number;
}

/** The changes of a standing effect, in order; allocates, so not for a turn. */
export function standingChanges(effect: Effect): StandingChange[] {
  return Array.from({ length: effect.getU32(STANDING_EFFECT.count) }, (_, i) => {
    const start = STANDING_EFFECT.changes + i * CHANGE_BYTES;
    return {
      kind: effect.u8[start + 20] as StandingKind, // written by `changeStanding`
      subject: effect.getU32(start + 16),
      isSet: effect.u8[start + 21] === 1,
      at: effect.getF64(start),
      amount: effect.getF64(start + 8),
    };
  });
}

export interface StandingContext {
  /** How long a moment of this kind about this subject is of use, in milliseconds. */
  retentionMillis(kind: number, subjectHash: number): number;
  /** The record is to be visited at that instant. */
  wakeSet(at: number): void;
  /** The record has leases that nobody watches. */
  leasesCame(): void;
}

/** Whether an effect changes only what keeps time: when a person is visited, under which tags they were looked at. */
export function isTimekeeping(effect: Effect): boolean {
  const keepsTime = ({ kind, subject }: StandingChange): boolean =>
    kind === STANDING.wake || (kind === STANDING.tag && subject === 0);
  return standingChanges(effect).every(keepsTime);
}

export function applyStanding(record: ProfileRecord, effect: Effect, context: StandingContext): void {
  const count = effect.getU32(STANDING_EFFECT.count);
  for (let i = 0; i < count; i++) {
    const start = STANDING_EFFECT.changes + i * CHANGE_BYTES;
    const kind = effect.u8[start + 20] as StandingKind; // written by `changeStanding`
    const subject = effect.getU32(start + 16);
    const at = effect.getF64(start);
    const amount = effect.getF64(start + 8);
    if (kind === STANDING.deviceUser && record.stateSeq === 0) setFlag(record, RECORD_FLAG.device, true);
    if (kind === STANDING.consent) setFlag(record, RECORD_FLAG.consent, true);
    else if (kind >= STANDING.quietHours && kind <= STANDING.preference) setFlag(record, RECORD_FLAG.wishes, true);
    else if (kind === STANDING.restriction) setFlag(record, RECORD_FLAG.restricted, effect.u8[start + 21] === 1);
    else if (kind === STANDING.assignment) setFlag(record, RECORD_FLAG.assigned, effect.u8[start + 21] === 1);
    else if (kind === STANDING.moved) noteMoved(record, effect.u8[start + 21] === 1, context);
    const found = kind === VALUE_KIND ? -1 : findStanding(record, kind, subject);
    if (effect.u8[start + 21] === 0) {
      if (found >= 0) record.removeMoment(found);
    } else if (found >= 0) record.resetMoment(found, at, amount);
    else record.addMoment(kind, subject, at, amount, effect.at, context.retentionMillis);
    if (kind === STANDING.tag && subject === 0) setFlag(record, RECORD_FLAG.tags, effect.u8[start + 21] === 1);
    if (kind === STANDING.wake) noteWake(record, effect.u8[start + 21] === 1, at, context);
  }
}

/** The record says in one bit whether it has a wake, so that a turn and the scan of a start need not look for it. */
function noteWake(record: ProfileRecord, isSet: boolean, at: number, context: StandingContext): void {
  setFlag(record, RECORD_FLAG.wakes, isSet);
  if (isSet) context.wakeSet(at);
}

/**
 * What a signpost's leases hold is the other profile's to end, also when it stands alone again; unless the other never
 * took them: then the joining was still under way.
 */
function noteMoved(record: ProfileRecord, isSet: boolean, context: StandingContext): void {
  setFlag(record, RECORD_FLAG.moved, isSet);
  if (isSet) {
    record.setF64(FIELD.nextLeaseExpiry, Number.POSITIVE_INFINITY);
    return;
  }
  const isTaken = !hasKind(record, STANDING.joining);
  while (isTaken && record.leaseCount > 0) record.removeLease(record.leaseCount - 1);
  record.refreshNextLeaseExpiry();
  context.leasesCame();
}

function hasKind(record: ProfileRecord, kind: StandingKind): boolean {
  for (let i = 0; i < record.momentCount; i++) if (record.momentKind(i) === kind) return true;
  return false;
}

export function setFlag(record: ProfileRecord, flag: number, isSet: boolean): void {
  const flags = record.getU16(FIELD.flags);
  record.setU16(FIELD.flags, isSet ? flags | flag : flags & ~flag);
}
