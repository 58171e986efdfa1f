/**
 * Budgets and stock held against the log: what was granted to each subject is what was confirmed, released,
 * expired and is still open. Three books must agree: the operations in the log's entries, the leases in the
 * records, and the shares that the checkpoints state. Nothing is corrected here.
 *
 *   hold ─▸ open ─┬─▸ spend (confirmed, bought)      take: bought without a lease, beside the equation
 *                 └─▸ free  (released, expired)
 *
 * Where the log was trimmed, people and shares whose beginning it no longer has are left out, and counted.
 */
import { EFFECT, type Effect, LEDGER } from '../../actors/effect.ts';
import { stockSubject } from '../../actors/ports.ts';
import {
  FIELD,
  HEADER_BYTES,
  LEASE,
  LEASE_BYTES,
  LEASE_FLAG,
  LEASE_STATE,
  MOMENT_BYTES,
  QUOTE_BYTES,
  RECORD_FLAG,
  TRAIT_BYTES,
} from '../../actors/record-layout.ts';
import type { LedgerShare } from '../shared-ledger.ts';
import { ERASED } from '../store/journal-blanking.ts';

/** Amounts over all subjects: minor units of budgets and units of stock alike. */
export interface LedgerTotals {
  granted: number;
  confirmed: number;
  released: number;
  expired: number;
  open: number;
  /** Bought without a lease. */
  taken: number;
  /** Whether the shares of the checkpoints could be compared: the log reaches back to the first start. */
  readonly isShareCompared: boolean;
}

interface Share {
  held: number;
  spent: number;
}

export class LedgerAudit {
  /** Person → subject → amount held. */
  readonly #open = new Map<string, Map<number, number>>();
  /** By subject, as the log has it up to the checkpoints. */
  readonly #atBase = new Map<number, Share>();
  readonly #expected = new Map<number, Share>();
  readonly #totals = { granted: 0, confirmed: 0, released: 0, expired: 0, taken: 0 };
  readonly #overdrawn: string[] = [];
  /** By person: everybody they are one with. */
  readonly #joined = new Map<string, { readonly people: ReadonlySet<string>; readonly isComparable: boolean }>();
  #isWhole = true;
  #heldByErased = 0;

  /** The log does not reach back to everybody's first entry: sums over all of it say nothing. */
  beginsLate(): void {
    this.#isWhole = false;
  }

  /** What the checkpoints in force say, the rows of all streams. */
  expectShares(rows: LedgerShare): void {
    for (const { subjectHash, held, spent } of rows) {
      const share = shareOf(this.#expected, subjectHash);
      share.held += held;
      share.spent += spent;
    }
  }

  /**
   * @param isInBase whether the checkpoints in force say that this entry is in the shares
   * @param firstSeq number of the person's first entry in the log
   */
  take(person: string, effect: Effect, isInBase: boolean, firstSeq: number): void {
    if (firstSeq !== 1) this.#isWhole = false;
    for (let i = 0; i < effect.ledgerCount; i++) {
      const subject = effect.ledgerSubject(i);
      const kind = effect.ledgerKind(i);
      const amount = effect.ledgerAmount(i);
      this.#count(kind, effect.type, amount);
      if (isInBase) move(shareOf(this.#atBase, subject), kind, amount);
      if (kind === LEDGER.take || firstSeq !== 1) continue;
      let held = this.#open.get(person);
      if (held === undefined) {
        held = new Map();
        this.#open.set(person, held);
      }
      const left = (held.get(subject) ?? 0) + (kind === LEDGER.hold ? amount : -amount);
      // What a joined profile's leases held ends in the other's entries.
      if (left < 0 && !this.#joined.has(person)) this.#overdrawn.push(`person ${person}, subject ${hex(subject)}`);
      if (left === 0) held.delete(subject);
      else held.set(subject, left);
      if (held.size === 0) this.#open.delete(person);
    }
  }

  /** Two profiles became one person, whose leases are in the first one's record; or two again. */
  join(person: string, other: string, isJoined: boolean): void {
    const group = this.#joined.get(person) ?? { people: new Set([person]), isComparable: true };
    const others = this.#joined.get(other) ?? { people: new Set([other]), isComparable: true };
    const people = new Set([...group.people, ...others.people]);
    // Apart again, both have open leases of the time before.
    const joined = { people, isComparable: isJoined && group.isComparable && others.isComparable };
    for (const one of people) this.#joined.set(one, joined);
  }

  /** An entry of an erased person: whose it was is not known any more, so only sums can be compared. */
  takeErased(mark: Effect, isInBase: boolean): void {
    for (let i = 0; i < mark.ledgerCount; i++) {
      const kind = mark.ledgerKind(i);
      const amount = mark.ledgerAmount(i);
      this.#count(kind, mark.u8[ERASED.type] as number, amount);
      if (isInBase) move(shareOf(this.#atBase, mark.ledgerSubject(i)), kind, amount);
      if (kind !== LEDGER.take) this.#heldByErased += kind === LEDGER.hold ? amount : -amount;
    }
  }

  /** How the open leases of a record that is as new as the log differ from what the log left open, or undefined. */
  leasesDiffer(person: string, record: Uint8Array): string | undefined {
    const inRecord = heldByLeases(record);
    const joined = this.#joined.get(person);
    // A signpost's leases are the other's.
    const isMoved = (flagsOf(record) & RECORD_FLAG.moved) !== 0;
    if (isMoved || joined?.isComparable === false) return undefined;
    const inLog = this.#openOf(joined?.people ?? [person]);
    for (const subject of new Set([...inRecord.keys(), ...inLog.keys()])) {
      const leases = inRecord.get(subject) ?? 0;
      const logged = inLog.get(subject) ?? 0;
      if (leases !== logged)
        return `its leases hold ${leases} of subject ${hex(subject)}, and by the log ${logged} are open`;
    }
    return undefined;
  }

  #openOf(people: Iterable<string>): Map<number, number> {
    const open = new Map<number, number>();
    for (const person of people)
      for (const [subject, amount] of this.#open.get(person) ?? [])
        open.set(subject, (open.get(subject) ?? 0) + amount);
    for (const [subject, amount] of open) if (amount === 0) open.delete(subject);
    return open;
  }

  /** Compares what remains and sums up. */
  end(found: (subject: string, what: string) => void): LedgerTotals {
    for (const where of this.#overdrawn) found(where, 'more was given back or spent than was held');
    if (this.#isWhole) {
      for (const subject of new Set([...this.#expected.keys(), ...this.#atBase.keys()])) {
        const expected = this.#expected.get(subject) ?? { held: 0, spent: 0 };
        const logged = this.#atBase.get(subject) ?? { held: 0, spent: 0 };
        if (expected.held === logged.held && expected.spent === logged.spent) continue;
        found(
          `subject ${hex(subject)}`,
          `the checkpoints say held ${expected.held}, spent ${expected.spent}; the log makes it held ${logged.held}, spent ${logged.spent}`,
        );
      }
    }
    const { granted, confirmed, released, expired } = this.#totals;
    const open = granted - confirmed - released - expired;
    let held = this.#heldByErased;
    for (const subjects of this.#open.values()) for (const amount of subjects.values()) held += amount;
    if (this.#isWhole && open !== held)
      found(
        'all subjects',
        `granted ${granted} is not confirmed ${confirmed} + released ${released} + expired ${expired} + open ${held}`,
      );
    return { ...this.#totals, open, isShareCompared: this.#isWhole };
  }

  #count(kind: number, type: number, amount: number): void {
    if (kind === LEDGER.hold) this.#totals.granted += amount;
    else if (kind === LEDGER.spend) this.#totals.confirmed += amount;
    else if (kind === LEDGER.take) this.#totals.taken += amount;
    else if (type === EFFECT.expire) this.#totals.expired += amount;
    else this.#totals.released += amount;
  }
}

function shareOf(shares: Map<number, Share>, subject: number): Share {
  let share = shares.get(subject);
  if (share === undefined) {
    share = { held: 0, spent: 0 };
    shares.set(subject, share);
  }
  return share;
}

function move(share: Share, kind: number, amount: number): void {
  if (kind === LEDGER.hold) share.held += amount;
  if (kind === LEDGER.spend || kind === LEDGER.free) share.held -= amount;
  if (kind === LEDGER.spend || kind === LEDGER.take) share.spent += amount;
}

/** Subject → amount, over what the leases hold of a stored record (see `actors/record-layout.ts`). */
function flagsOf(record: Uint8Array): number {
  return new DataView(record.buffer, record.byteOffset, record.length).getUint16(FIELD.flags, true);
}

function heldByLeases(record: Uint8Array): Map<number, number> {
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  const held = new Map<number, number>();
  let at =
    HEADER_BYTES +
    view.getUint8(FIELD.traitCount) * TRAIT_BYTES +
    view.getUint16(FIELD.momentCount, true) * MOMENT_BYTES +
    view.getUint16(FIELD.quoteCount, true) * QUOTE_BYTES;
  const add = (subject: number, amount: number): void => {
    if (amount !== 0) held.set(subject, (held.get(subject) ?? 0) + amount);
  };
  for (let left = view.getUint16(FIELD.leaseCount, true); left > 0; left--, at += LEASE_BYTES) {
    const isOpen = view.getUint8(at + LEASE.state) === LEASE_STATE.open;
    const flags = view.getUint8(at + LEASE.flags);
    const costMinor =
      view.getUint16(at + LEASE.costHigh, true) * 0x1_0000_0000 + view.getUint32(at + LEASE.costLow, true);
    if (isOpen && flags & LEASE_FLAG.holdsBudget) add(view.getUint32(at + LEASE.actionHash, true), costMinor);
    // A unit of stock stays held when its offer is confirmed: until it is bought or the lease's time is over.
    if (flags & LEASE_FLAG.holdsStock) add(stockSubject(view.getUint32(at + LEASE.skuHash, true)), 1);
  }
  return held;
}

function hex(subject: number): string {
  return subject.toString(16).padStart(8, '0');
}
