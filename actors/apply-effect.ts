/**
 * Applies an effect to a profile record: the one place where a record changes. Called by the turn that
 * made the effect, and by recovery with the bytes read back. Deterministic: it reads the record, the
 * effect and the catalog's retention, never the clock.
 */
import { MOMENT } from '../decision/catalog.ts';
import { GAP_DECAY } from '../decision/purchase-due.ts';
import {
  BY_TIME,
  CHOSEN,
  CHOSEN_BYTES,
  DECISION,
  DECISION_FLAG,
  EFFECT,
  type Effect,
  EVENT,
  EVENT_FLAG,
  JOIN,
  LEASE_EFFECT,
} from './effect.ts';
import { joinRecord, unjoinRecord } from './join-records.ts';
import type { ProfileRecord } from './profile-record.ts';
import {
  ENDED_LEASES_MAX,
  FIELD,
  HOLDING,
  IDLE_LEASES_MAX,
  LEASE,
  LEASE_FLAG,
  LEASE_STATE,
  RECORD_FLAG,
  STANDING,
} from './record-layout.ts';
import { applyStanding, isDevice, type StandingContext, setFlag } from './standing.ts';

const TILT_COUNT_MAX = 65_535;
const PURCHASES_MAX = 65_535;

export interface EffectContext extends StandingContext {
  /** How long moments of an event count, its newest apart. */
  eventWindowMillis(eventHash: number): number;
  /** An open lease that holds nothing gave way to a newer one. */
  leaseGaveWay(): void;
  /** Merges an identify's traits into the cold record and derives the trait slots anew. */
  applyTraits(record: ProfileRecord, effect: Effect): void;
  /** Merges a section's entries into the cold record. */
  applySection(effect: Effect): void;
  /** Merges what a joining or an unjoining changes in the cold record, and derives the trait slots anew. */
  applyColdChanges(record: ProfileRecord, effect: Effect): void;
}

/** Where in the journal the effect stands. */
export interface EntryPosition {
  epoch: number;
  stream: number;
  batch: number;
  offset: number;
}

export function applyEffect(
  record: ProfileRecord,
  effect: Effect,
  position: EntryPosition,
  context: EffectContext,
): void {
  switch (effect.type) {
    case EFFECT.decision:
      applyDecision(record, effect, position, context);
      break;
    case EFFECT.event:
      applyEvent(record, effect, context);
      break;
    case EFFECT.identify:
      context.applyTraits(record, effect);
      break;
    case EFFECT.release:
      endLeases(record, effect.getU32(LEASE_EFFECT.decisionSeq), LEASE_STATE.released);
      break;
    case EFFECT.expire:
      expireLeases(record, effect.at);
      break;
    case EFFECT.standing:
      applyStanding(record, effect, context);
      break;
    case EFFECT.section:
      context.applySection(effect);
      break;
    case EFFECT.join:
      applyJoin(record, effect, context);
      break;
    case EFFECT.unjoin:
      unjoinRecord(record, otherRecord(effect));
      context.applyColdChanges(record, effect);
      break;
    case EFFECT.erase:
      // The record as a whole goes, when the entry is in the journal: see `ActorRuntime.eraseBound`.
      break;
    default:
      throw new RangeError(`journal entry of unknown type ${effect.type}`);
  }
  // A person begins with the first entry: what only looked (a dry run, a bad request) leaves no trace on disk.
  const wasDevice = effect.type !== EFFECT.standing && isDevice(record);
  if (wasDevice) setFlag(record, RECORD_FLAG.device, false);
  if ((record.stateSeq === 0 || wasDevice) && effect.type !== EFFECT.join) {
    record.setF64(FIELD.createdAt, effect.at);
    record.setF64(FIELD.lastTurnAt, effect.at);
  }
  record.setU32(FIELD.stateSeq, effect.stateSeq);
  // A trial that ripened is nothing the person did, and nor is what time brought about.
  const isByTime =
    effect.type === EFFECT.event
      ? (effect.getU32(EVENT.flags) & EVENT_FLAG.ripened) !== 0
      : effect.type === EFFECT.standing && effect.u8[5] === BY_TIME;
  if (!isByTime && effect.at > record.getF64(FIELD.lastTurnAt)) record.setF64(FIELD.lastTurnAt, effect.at);
  record.setU32(FIELD.journalEpoch, position.epoch);
  record.setU32(FIELD.journalStream, position.stream);
  record.setU32(FIELD.journalBatch, position.batch);
  record.setU32(FIELD.journalOffset, position.offset);
}

function applyDecision(record: ProfileRecord, effect: Effect, position: EntryPosition, context: EffectContext): void {
  const at = effect.at;
  const expiresAt = effect.getF64(DECISION.leaseExpiresAt);
  const flags = effect.u8[DECISION.flags] as number;
  const chosenCount = effect.u8[DECISION.chosenCount] as number;
  const hasPrice = (flags & DECISION_FLAG.hasPrice) !== 0;
  const isPersonal = (flags & DECISION_FLAG.personalPrice) !== 0;
  const skuHash = hasPrice ? effect.getU32(DECISION.skuHash) : 0;
  record.setU32(FIELD.decisionSeq, effect.getU32(DECISION.decisionSeq));
  if (hasPrice) {
    record.setQuote(
      skuHash,
      effect.getF64(DECISION.priceMinor),
      effect.getF64(DECISION.quoteExpiresAt),
      isPersonal,
      at,
    );
  }
  // A price without an action is remembered too, so that its purchase can be attributed.
  const entries = chosenCount === 0 && hasPrice ? 1 : chosenCount;
  for (let i = 0; i < entries; i++) {
    const chosen = DECISION.chosen + i * CHOSEN_BYTES;
    const hasAction = i < chosenCount;
    const priceFlags = flags & DECISION_FLAG.holdsStock ? LEASE_FLAG.holdsStock : 0;
    const leaseFlags = hasAction ? effect.getU32(chosen + CHOSEN.leaseFlags) : priceFlags;
    const actionHash = hasAction ? effect.getU32(chosen + CHOSEN.actionHash) : 0;
    const channelHash = hasAction ? effect.getU32(chosen + CHOSEN.channelHash) : 0;
    makeRoom(record, (leaseFlags & HOLDING) !== 0, context);
    const lease = record.addLease();
    record.setLeaseF64(lease, LEASE.at, at);
    record.setLeaseF64(lease, LEASE.expiresAt, expiresAt);
    record.setLeaseU32(lease, LEASE.decisionSeq, effect.getU32(DECISION.decisionSeq));
    record.setLeaseU32(lease, LEASE.actionHash, actionHash);
    record.setLeaseU32(lease, LEASE.channelHash, channelHash);
    record.setLeaseU32(lease, LEASE.skuHash, skuHash);
    record.setLeaseF64(lease, LEASE.priceMinor, hasPrice ? effect.getF64(DECISION.priceMinor) : Number.NaN);
    record.setLeaseU32(lease, LEASE.journalEpoch, position.epoch);
    record.setLeaseU32(lease, LEASE.journalStream, position.stream);
    record.setLeaseU32(lease, LEASE.journalBatch, position.batch);
    record.setLeaseU32(lease, LEASE.journalOffset, position.offset);
    record.setLeaseU8(lease, LEASE.state, LEASE_STATE.open);
    record.setLeaseU8(lease, LEASE.flags, leaseFlags | (isPersonal ? LEASE_FLAG.personalPrice : 0));
    record.setLeaseCostMinor(lease, hasAction ? effect.getF64(chosen + CHOSEN.costMinor) : 0);
    if (leaseFlags & LEASE_FLAG.holdsCap) {
      record.addMoment(MOMENT.decision, actionHash, at, channelHash, at, context.retentionMillis);
    }
  }
  if (entries > 0 && expiresAt < record.getF64(FIELD.nextLeaseExpiry)) record.setF64(FIELD.nextLeaseExpiry, expiresAt);
}

function applyEvent(record: ProfileRecord, effect: Effect, context: EffectContext): void {
  const flags = effect.getU32(EVENT.flags);
  const now = effect.at;
  const at = effect.getF64(EVENT.eventAt);
  const actionHash = effect.getU32(EVENT.actionHash);
  const decisionSeq = effect.getU32(EVENT.decisionSeq);
  if (flags & EVENT_FLAG.hasMessage) {
    record.addMessage(effect.getU32(EVENT.messageLow), effect.getU32(EVENT.messageHigh), now);
  }
  if (flags & EVENT_FLAG.confirms) endLeases(record, decisionSeq, LEASE_STATE.confirmed);
  if (flags & EVENT_FLAG.endsStockHold) endStockHold(record, decisionSeq);
  let learnt = 0;
  if (flags & (EVENT_FLAG.trial | EVENT_FLAG.trialWithResponse)) learnt |= LEASE_FLAG.trialLearnt;
  if (flags & (EVENT_FLAG.response | EVENT_FLAG.trialWithResponse)) learnt |= LEASE_FLAG.responseLearnt;
  if (flags & EVENT_FLAG.quote) learnt |= LEASE_FLAG.quoteLearnt;
  if (flags & EVENT_FLAG.purchase) learnt |= LEASE_FLAG.purchaseLearnt;
  // A response settles whatever was owed.
  const isResponse = (flags & (EVENT_FLAG.response | EVENT_FLAG.trialWithResponse)) !== 0;
  const owed = isResponse ? 0 : (effect.u8[EVENT.owed] as number);
  const changesOwed = isResponse || (flags & (EVENT_FLAG.trial | EVENT_FLAG.ripened)) !== 0;
  if (learnt !== 0 || changesOwed) {
    for (let i = 0; i < record.leaseCount; i++) {
      if (
        record.leaseU32(i, LEASE.decisionSeq) === decisionSeq &&
        record.leaseU32(i, LEASE.actionHash) === actionHash
      ) {
        record.setLeaseU8(i, LEASE.flags, record.leaseU8(i, LEASE.flags) | learnt);
        if (changesOwed) record.setLeaseU8(i, LEASE.owed, owed);
      }
    }
  }
  if (flags & EVENT_FLAG.actionMoment) {
    // The moment's amount is the channel's hash, so that the channel's caps count it too.
    const kind = effect.u8[EVENT_MOMENT_KIND] as number;
    record.addMoment(kind, actionHash, at, effect.getU32(EVENT.channelHash), now, context.retentionMillis);
  }
  if (flags & EVENT_FLAG.eventMoment) {
    // One dated ahead has not come yet: until then what was before it counts.
    if (at <= now)
      forgetOlder(
        record,
        effect.getU32(EVENT.eventHash),
        at,
        now - context.eventWindowMillis(effect.getU32(EVENT.eventHash)),
      );
    record.addMoment(
      MOMENT.event,
      effect.getU32(EVENT.eventHash),
      at,
      effect.getF64(EVENT.amount),
      now,
      context.retentionMillis,
    );
  }
  if (flags & EVENT_FLAG.sendTime) raiseTilt(record, effect.getU16(EVENT.hourOfWeek) % 24);
  if (flags & EVENT_FLAG.occasion) stepCycle(record, at, effect.f32[EVENT.logGap >>> 2] as number);
  if (flags & EVENT_FLAG.contactRefused) refuseContact(record, effect.getU32(EVENT.channelHash), now, context);
  if (flags & EVENT_FLAG.contactAllowed) allowContact(record, effect.getU32(EVENT.channelHash));
}

function applyJoin(record: ProfileRecord, effect: Effect, context: EffectContext): void {
  joinRecord(record, otherRecord(effect), effect.getU32(JOIN.raisedBy), effect.at, context, () =>
    context.leaseGaveWay(),
  );
  context.applyColdChanges(record, effect);
}

/** The other profile's record as a joining or an unjoining has it. */
function otherRecord(effect: Effect): Uint8Array {
  return effect.u8.slice(JOIN.content, JOIN.content + effect.getU32(JOIN.recordBytes));
}

/** Drops the event's moments that no window reaches any more, now that a newer one is about to be kept. */
function forgetOlder(record: ProfileRecord, eventHash: number, newestAt: number, before: number): void {
  for (let i = record.momentCount - 1; i >= 0; i--) {
    if (record.momentKind(i) !== MOMENT.event || record.momentSubject(i) !== eventHash) continue;
    if (record.momentAt(i) <= before && record.momentAt(i) <= newestAt) record.removeMoment(i);
  }
}

/** Channel hash 0 is every channel. */
function refuseContact(record: ProfileRecord, channelHash: number, now: number, context: EffectContext): void {
  if (channelHash === 0) record.setF64(FIELD.contactRefusedAt, now);
  else if (!refusesChannel(record, channelHash)) {
    record.addMoment(STANDING.refusal, channelHash, now, 0, now, context.retentionMillis);
  }
}

function allowContact(record: ProfileRecord, channelHash: number): void {
  if (channelHash === 0) record.setF64(FIELD.contactRefusedAt, 0);
  for (let i = record.momentCount - 1; i >= 0; i--) {
    if (record.momentKind(i) !== STANDING.refusal) continue;
    if (channelHash === 0 || record.momentSubject(i) === channelHash) record.removeMoment(i);
  }
}

/** Whether the person refused contact on this channel or on all. */
export function refusesChannel(record: ProfileRecord, channelHash: number): boolean {
  if (record.getF64(FIELD.contactRefusedAt) > 0) return true;
  for (let i = 0; i < record.momentCount; i++) {
    if (record.momentKind(i) === STANDING.refusal && record.momentSubject(i) === channelHash) return true;
  }
  return false;
}

/** The kind of moment an event adds about its action; byte 5 of the entry. */
export const EVENT_MOMENT_KIND = 5;

function raiseTilt(record: ProfileRecord, hour: number): void {
  const first = (record.base + FIELD.tilt) >>> 1;
  if ((record.u16[first + hour] as number) >= TILT_COUNT_MAX) {
    for (let h = 0; h < 24; h++) record.u16[first + h] = (record.u16[first + h] as number) >>> 1;
  }
  record.u16[first + hour] = (record.u16[first + hour] as number) + 1;
}

function stepCycle(record: ProfileRecord, at: number, logGap: number): void {
  const purchases = record.getU16(FIELD.purchases);
  record.setF64(FIELD.lastPurchaseAt, at);
  if (purchases > 0) record.setF64(FIELD.decayedLogGaps, GAP_DECAY * record.getF64(FIELD.decayedLogGaps) + logGap);
  if (purchases < PURCHASES_MAX) record.setU16(FIELD.purchases, purchases + 1);
}

/** A purchase has turned the unit held into a unit sold. */
function endStockHold(record: ProfileRecord, decisionSeq: number): void {
  for (let i = 0; i < record.leaseCount; i++) {
    if (record.leaseU32(i, LEASE.decisionSeq) !== decisionSeq) continue;
    record.setLeaseU8(i, LEASE.flags, record.leaseU8(i, LEASE.flags) & ~LEASE_FLAG.holdsStock);
  }
  record.refreshNextLeaseExpiry();
}

function endLeases(record: ProfileRecord, decisionSeq: number, state: number): void {
  for (let i = 0; i < record.leaseCount; i++) {
    if (record.leaseU32(i, LEASE.decisionSeq) !== decisionSeq || record.leaseU8(i, LEASE.state) !== LEASE_STATE.open)
      continue;
    endLease(record, i, state);
  }
  record.refreshNextLeaseExpiry();
}

function expireLeases(record: ProfileRecord, now: number): void {
  for (let i = 0; i < record.leaseCount; i++) {
    if (record.leaseF64(i, LEASE.expiresAt) > now) continue;
    if (record.leaseU8(i, LEASE.state) === LEASE_STATE.open) endLease(record, i, LEASE_STATE.expired);
    // A confirmed lease keeps its unit of stock until the purchase, but not longer than it was granted for.
    record.setLeaseU8(i, LEASE.flags, record.leaseU8(i, LEASE.flags) & ~LEASE_FLAG.holdsStock);
  }
  record.refreshNextLeaseExpiry();
}

/** Ends one open lease; unless it was confirmed, its cap slot is given back. */
function endLease(record: ProfileRecord, i: number, state: number): void {
  record.setLeaseU8(i, LEASE.state, state);
  if (state === LEASE_STATE.confirmed) return;
  record.setLeaseU8(i, LEASE.flags, record.leaseU8(i, LEASE.flags) & ~LEASE_FLAG.holdsStock);
  if (record.leaseU8(i, LEASE.flags) & LEASE_FLAG.holdsCap) {
    record.withdrawMoment(
      MOMENT.decision,
      record.leaseU32(i, LEASE.actionHash),
      record.leaseF64(i, LEASE.at),
      record.leaseU32(i, LEASE.channelHash),
    );
  }
}

/** Before one more lease: the oldest ended lease, and the oldest idle one, give way when there are too many. */
function makeRoom(record: ProfileRecord, willHold: boolean, context: EffectContext): void {
  let ended = 0;
  let firstEnded = -1;
  let idle = 0;
  let firstIdle = -1;
  for (let i = 0; i < record.leaseCount; i++) {
    if (record.leaseU8(i, LEASE.state) !== LEASE_STATE.open) {
      if (record.leaseU8(i, LEASE.flags) & LEASE_FLAG.holdsStock) continue;
      if (firstEnded < 0) firstEnded = i;
      ended++;
    } else if ((record.leaseU8(i, LEASE.flags) & HOLDING) === 0) {
      if (firstIdle < 0) firstIdle = i;
      idle++;
    }
  }
  if (!willHold && idle >= IDLE_LEASES_MAX) {
    record.removeLease(firstIdle);
    context.leaseGaveWay();
    if (firstEnded > firstIdle) firstEnded--;
  }
  if (ended >= ENDED_LEASES_MAX) record.removeLease(firstEnded);
}
