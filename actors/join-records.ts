/**
 * What becomes of two records when they turn out to be one person's, and what goes again when they do not: pure functions
 * of the record bound and the other's bytes, called by `applyEffect` while serving, recovering and replaying alike.
 *
 *   counted (caps, windows, message ids)   both together          quotes   the lower price, the longer time
 *   refusals, consent, silence, restriction   the stricter        leases   all, their numbers raised
 *   tags                     both, looked at anew at once         hours, order of channels   what was said last
 *   stages                   the one longest in, stepped anew at once
 *
 * The profile that stays keeps its draws that last (holdout, arms, maturity), unless it never had an answer: then it takes
 * the other's, so that nothing flips for who was met first and named later.
 */
import { VALUE_MOMENT } from '../decision/catalog.ts';
import { decayedTogether } from '../decision/purchase-due.ts';
import { assignmentOf } from './identity.ts';
import { ProfileIndex } from './profile-index.ts';
import { ProfileRecord } from './profile-record.ts';
import {
  ENDED_LEASES_MAX,
  FIELD,
  HOLDING,
  IDLE_LEASES_MAX,
  LEASE,
  LEASE_BYTES,
  LEASE_FLAG,
  LEASE_STATE,
  MESSAGES_MAX,
  MOMENT_BYTES,
  RECORD_FLAG,
  STANDING,
  type StandingKind,
} from './record-layout.ts';
import { Slab } from './slab.ts';
import { findStanding, type StandingContext, setFlag } from './standing.ts';

const TILT_HOURS = 24;
const U16_MAX = 65_535;

/** The other profile's record, unpacked; one at a time, in memory of its own. */
const other = new ProfileRecord(new Slab(), new ProfileIndex());
const assigned = new Uint32Array(2);

/** Has the bytes of a stored record read by `visit`. */
function withRecord(bytes: Uint8Array, visit: () => void): void {
  other.load(bytes);
  try {
    visit();
  } finally {
    other.drop();
  }
}

/**
 * Takes another profile's record into the bound one.
 * @param bytes the other's record as stored
 * @param raisedBy what the numbers of its decisions are raised by: the bound record's `decisionSeq`
 * @param now epoch milliseconds of the joining
 * @param gaveWay told of each idle lease that found no room
 */
export function joinRecord(
  record: ProfileRecord,
  bytes: Uint8Array,
  raisedBy: number,
  now: number,
  context: StandingContext,
  gaveWay: () => void,
): void {
  withRecord(bytes, () => {
    if (record.decisionSeq === 0 && other.decisionSeq > 0) takeAssignment(record, now, context);
    joinHeader(record, raisedBy);
    for (let i = 0; i < other.momentCount; i++) joinMoment(record, i, now, context);
    lookAtTagsAnew(record);
    for (let i = 0; i < other.quoteCount; i++) joinQuote(record, i, now);
    for (let i = 0; i < other.leaseCount; i++) if (!joinLease(record, i, raisedBy)) gaveWay();
    record.refreshNextLeaseExpiry();
    context.leasesCame();
    joinMessages(record);
  });
}

/**
 * The newest ids of both, at least half a ring of each where there are as many: by their own orders, since a clock may
 * have gone back between them.
 */
function joinMessages(record: ProfileRecord): void {
  if (other.messageCount === 0) return;
  const own = messagesOf(record);
  const theirs = messagesOf(other);
  const kept = Math.min(own.length, Math.max(MESSAGES_MAX / 2, MESSAGES_MAX - theirs.length));
  const first = own.slice(own.length - kept);
  const second = theirs.slice(Math.max(0, theirs.length - (MESSAGES_MAX - kept)));
  record.setU16(FIELD.messageCount, 0);
  record.setU16(FIELD.messageNext, 0);
  for (let a = 0, b = 0; a < first.length || b < second.length; ) {
    const [own1, their1] = [first[a], second[b]];
    const isOwn = their1 === undefined || (own1 !== undefined && own1[2] <= their1[2]);
    const [low, high, seconds] = (isOwn ? own1 : their1) as readonly [number, number, number]; // one of the two is there
    if (isOwn) a++;
    else b++;
    record.addMessage(low, high, seconds * 1000);
  }
}

/**
 * Takes out of the bound record what another's, as it was when it joined, had brought: what was counted, and its hours.
 * What protects the person stays: quotes, consent, and what open leases hold until they end.
 */
export function unjoinRecord(record: ProfileRecord, bytes: Uint8Array): void {
  withRecord(bytes, () => {
    for (let i = 0; i < other.momentCount; i++) {
      const kind = other.momentKind(i);
      if (!isCounted(kind)) continue;
      for (let n = other.momentTimes(i); n > 0; n--)
        if (!record.withdrawMoment(kind, other.momentSubject(i), other.momentAt(i), other.momentAmount(i))) break;
    }
    const own = (record.base + FIELD.tilt) >>> 1;
    const brought = (other.base + FIELD.tilt) >>> 1;
    for (let hour = 0; hour < TILT_HOURS; hour++)
      record.u16[own + hour] = Math.max(0, at16(record, own + hour) - at16(other, brought + hour));
    lookAtTagsAnew(record);
  });
}

function takeAssignment(record: ProfileRecord, now: number, context: StandingContext): void {
  assignmentOf(other, assigned);
  const [high = 0, low = 0] = assigned;
  if ((record.getU16(FIELD.flags) & RECORD_FLAG.assigned) !== 0) return;
  record.addMoment(STANDING.assignment, low, now, high, now, context.retentionMillis);
  setFlag(record, RECORD_FLAG.assigned, true);
}

function joinHeader(record: ProfileRecord, raisedBy: number): void {
  record.setU32(FIELD.decisionSeq, raisedBy + other.decisionSeq);
  const isNew = record.stateSeq === 0;
  const createdAt = other.getF64(FIELD.createdAt);
  record.setF64(FIELD.createdAt, isNew ? createdAt : Math.min(record.getF64(FIELD.createdAt), createdAt));
  record.setF64(
    FIELD.lastTurnAt,
    Math.max(isNew ? 0 : record.getF64(FIELD.lastTurnAt), other.getF64(FIELD.lastTurnAt)),
  );
  const refusedAt = Math.max(record.getF64(FIELD.contactRefusedAt), other.getF64(FIELD.contactRefusedAt));
  record.setF64(FIELD.contactRefusedAt, refusedAt);
  const own = (record.base + FIELD.tilt) >>> 1;
  const theirs = (other.base + FIELD.tilt) >>> 1;
  for (let hour = 0; hour < TILT_HOURS; hour++)
    record.u16[own + hour] = Math.min(U16_MAX, at16(record, own + hour) + at16(other, theirs + hour));
  joinCycle(record);
}

/** Two rhythms of purchases side by side: the later one's gaps are the newer ones; no gap is known between the two. */
function joinCycle(record: ProfileRecord): void {
  const own = record.getU16(FIELD.purchases);
  const theirs = other.getU16(FIELD.purchases);
  if (theirs === 0) return;
  const ownLast = record.getF64(FIELD.lastPurchaseAt);
  const theirLast = other.getF64(FIELD.lastPurchaseAt);
  const ownGaps = record.getF64(FIELD.decayedLogGaps);
  const theirGaps = other.getF64(FIELD.decayedLogGaps);
  const isOwnNewer = own > 0 && ownLast >= theirLast;
  record.setU16(FIELD.purchases, Math.min(U16_MAX, own === 0 ? theirs : own + theirs - 1));
  record.setF64(FIELD.lastPurchaseAt, Math.max(own === 0 ? theirLast : ownLast, theirLast));
  record.setF64(
    FIELD.decayedLogGaps,
    isOwnNewer ? decayedTogether(ownGaps, own, theirGaps) : decayedTogether(theirGaps, theirs, ownGaps),
  );
}

function isCounted(kind: number): boolean {
  return kind < STANDING.refusal || kind === VALUE_MOMENT;
}

function joinMoment(record: ProfileRecord, i: number, now: number, context: StandingContext): void {
  const kind = other.momentKind(i);
  const subject = other.momentSubject(i);
  const at = other.momentAt(i);
  const amount = other.momentAmount(i);
  if (isCounted(kind)) {
    record.addMoment(kind, subject, at, amount, now, context.retentionMillis);
    setNewestTimes(record, other.momentTimes(i));
    return;
  }
  const standing = kind as StandingKind; // every kind that is not counted stands
  if (!isJoined(standing, subject)) return;
  const found = findStanding(record, standing, subject);
  if (found < 0) record.addMoment(kind, subject, at, amount, now, context.retentionMillis);
  else if (isStronger(standing, at, amount, record.momentAt(found), record.momentAmount(found), now))
    record.resetMoment(found, at, amount);
  noteStanding(record, standing, context);
}

/**
 * Tags are looked at anew, so the moment that says when that was last done goes; a signpost's own say nothing here, nor
 * who used a device.
 */
function isJoined(kind: StandingKind, subject: number): boolean {
  if (kind === STANDING.tag) return subject !== 0;
  if (kind === STANDING.deviceUser) return false;
  return kind !== STANDING.moved && kind !== STANDING.joining && kind !== STANDING.assignment;
}

/** Whether the other's state of one thing holds rather than the own. */
function isStronger(kind: StandingKind, at: number, amount: number, ownAt: number, own: number, now: number): boolean {
  switch (kind) {
    case STANDING.consent: {
      const isRefused = amount <= now;
      if (isRefused !== own <= now) return isRefused;
      return isRefused ? at > ownAt : amount < own;
    }
    case STANDING.muted:
    case STANDING.suspicion:
      return amount > own;
    case STANDING.tag:
    case STANDING.stage:
    case STANDING.goal:
    case STANDING.wake:
      return at < ownAt;
    case STANDING.refusal:
    case STANDING.restriction:
      return false;
    default:
      return at > ownAt;
  }
}

function noteStanding(record: ProfileRecord, kind: StandingKind, context: StandingContext): void {
  if (kind === STANDING.consent) setFlag(record, RECORD_FLAG.consent, true);
  else if (kind >= STANDING.quietHours && kind <= STANDING.preference) setFlag(record, RECORD_FLAG.wishes, true);
  else if (kind === STANDING.restriction) setFlag(record, RECORD_FLAG.restricted, true);
  else if (kind === STANDING.wake) {
    setFlag(record, RECORD_FLAG.wakes, true);
    context.wakeSet(record.momentAt(findStanding(record, STANDING.wake, 0)));
  }
}

function lookAtTagsAnew(record: ProfileRecord): void {
  const looked = findStanding(record, STANDING.tag, 0);
  if (looked >= 0) record.removeMoment(looked);
  setFlag(record, RECORD_FLAG.tags, false);
}

function joinQuote(record: ProfileRecord, i: number, now: number): void {
  const sku = other.quoteSku(i);
  const priceMinor = other.quotePriceMinor(i);
  const expiresAt = other.quoteExpiresAt(i);
  if (expiresAt <= now) return;
  const own = record.findQuote(sku);
  const stands = own >= 0 && record.quoteExpiresAt(own) > now;
  if (!stands) {
    record.setQuote(sku, priceMinor, expiresAt, other.quoteIsPersonal(i), now);
    return;
  }
  // Both were promised until their ends: the lower price, until the later.
  const ownPrice = record.quotePriceMinor(own);
  const isLower = priceMinor < ownPrice;
  const isPersonal = isLower ? other.quoteIsPersonal(i) : record.quoteIsPersonal(own);
  const until = Math.max(expiresAt, record.quoteExpiresAt(own));
  record.setQuote(sku, isLower ? priceMinor : ownPrice, until, isPersonal, now);
}

/** False for an open one that holds nothing and finds no room; an ended one without room is forgotten as ever. */
function joinLease(record: ProfileRecord, i: number, raisedBy: number): boolean {
  const isOpen = other.leaseU8(i, LEASE.state) === LEASE_STATE.open;
  if ((other.leaseU8(i, LEASE.flags) & (isOpen ? HOLDING : LEASE_FLAG.holdsStock)) === 0) {
    if (countIdle(record, isOpen) >= (isOpen ? IDLE_LEASES_MAX : ENDED_LEASES_MAX)) return !isOpen;
  }
  const lease = record.addLease();
  const from = other.base + other.leasesStart + i * LEASE_BYTES;
  record.u8.set(other.u8.subarray(from, from + LEASE_BYTES), record.base + record.leasesStart + lease * LEASE_BYTES);
  record.setLeaseU32(lease, LEASE.decisionSeq, other.leaseU32(i, LEASE.decisionSeq) + raisedBy);
  return true;
}

/** Leases that hold nothing: the open ones, or the ended ones. */
function countIdle(record: ProfileRecord, isOpen: boolean): number {
  const holding = isOpen ? HOLDING : LEASE_FLAG.holdsStock;
  let count = 0;
  for (let i = 0; i < record.leaseCount; i++) {
    const isSame = (record.leaseU8(i, LEASE.state) === LEASE_STATE.open) === isOpen;
    if (isSame && (record.leaseU8(i, LEASE.flags) & holding) === 0) count++;
  }
  return count;
}

function at16(record: ProfileRecord, index: number): number {
  return record.u16[index] as number; // within the header
}

/** Message ids in the order in which they came, with the second of each. */
function messagesOf(record: ProfileRecord): (readonly [low: number, high: number, seconds: number])[] {
  const first = (record.base + record.messagesStart) >>> 2;
  const oldest = record.getU16(FIELD.messageNext);
  return Array.from({ length: record.messageCount }, (_, i) => {
    const word = first + ((oldest + i) % record.messageCount) * 3;
    return [record.u32[word] as number, record.u32[word + 1] as number, record.u32[word + 2] as number]; // i < count
  });
}

/** How many occasions the moment added last stands for. */
function setNewestTimes(record: ProfileRecord, times: number): void {
  const last = record.momentsStart + (record.momentCount - 1) * MOMENT_BYTES;
  record.u16[((record.base + last) >>> 1) + 11] = times;
}
