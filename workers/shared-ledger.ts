/**
 * Budgets and stock of the whole node in shared memory, exact across the shards: a hold succeeds only
 * by a compare-and-swap that keeps `taken` within the limit, so no budget is ever exceeded, not by one.
 *
 *   slot:  limit | taken (held + spent, all shards)      BigInt64, atomic
 *   and for each shard:  its own held | its own spent    Float64, written by that shard alone
 *
 * The own columns say how much of `taken` is one shard's. A shard that is replaced recounts its own part
 * from disk and corrects `taken` by the difference, so there is no moment at which a budget looks freer
 * than it is. For the same reason what a lease gives back at its end is free only when that end is on disk: until
 * then a crash would let the lease stand again, beside whoever had taken its place. Looking at what is left reads a hint beside the atomic (a BigInt read allocates); the hint
 * may be a moment old, the hold never is.
 */
import { LEDGER } from '../actors/effect.ts';
import type { Ledger } from '../actors/ports.ts';
import { stockSubject } from '../actors/ports.ts';
import type { Catalog } from '../decision/catalog.ts';

export const LEDGER_SLOTS = 8192;
const UNLIMITED = (1n << 62n) - 1n;

export interface LedgerMemory {
  readonly limitAndTaken: SharedArrayBuffer;
  readonly hints: SharedArrayBuffer;
  readonly own: SharedArrayBuffer;
  readonly shards: number;
}

export function createLedgerMemory(shards: number): LedgerMemory {
  return {
    limitAndTaken: new SharedArrayBuffer(LEDGER_SLOTS * 16),
    hints: new SharedArrayBuffer(LEDGER_SLOTS * 8),
    own: new SharedArrayBuffer(LEDGER_SLOTS * 16 * shards),
    shards,
  };
}

/** One limited subject and its slot; the main thread deals the slots and never moves one. */
export interface LedgerSubject {
  readonly subjectHash: number;
  readonly slot: number;
  readonly limit: number;
}

/** What a catalog limits: budgets of actions and stocks of products. */
export function limitsOf(catalog: Catalog): { subjectHash: number; limit: number }[] {
  const limits: { subjectHash: number; limit: number }[] = [];
  for (const action of catalog.actions) {
    if (action.budgetMinor !== null) limits.push({ subjectHash: action.hash, limit: action.budgetMinor });
  }
  for (const product of catalog.products) {
    if (product.stock !== null) limits.push({ subjectHash: stockSubject(product.hash), limit: product.stock });
  }
  return limits;
}

/** Deals slots to subjects: keeps those that have one, appends the new, lifts the limit of those gone. */
export function dealSlots(previous: readonly LedgerSubject[], catalog: Catalog): LedgerSubject[] {
  const slots = new Map(previous.map((subject) => [subject.subjectHash, subject.slot]));
  const limits = new Map(limitsOf(catalog).map((limit) => [limit.subjectHash, limit.limit]));
  let next = previous.length;
  const subjects = previous.map((subject) => ({ ...subject, limit: limits.get(subject.subjectHash) ?? Number.NaN }));
  for (const [subjectHash, limit] of limits) {
    if (slots.has(subjectHash)) continue;
    if (next >= LEDGER_SLOTS)
      throw new RangeError(`budgets and stocks: more than ${LEDGER_SLOTS} since start; restart the node`);
    subjects.push({ subjectHash, slot: next++, limit });
  }
  return subjects;
}

/** One shard's part, as stored with a checkpoint. */
interface LedgerRow {
  readonly subjectHash: number;
  readonly held: number;
  readonly spent: number;
}
export type LedgerShare = readonly LedgerRow[];

export class SharedLedger implements Ledger {
  readonly #limitAndTaken: BigInt64Array;
  readonly #hints: Float64Array;
  readonly #own: Float64Array;
  readonly #slots = new Map<number, number>();
  #subjects: readonly LedgerSubject[] = [];
  /** Given back by entries of the journal that are not on disk yet, in their order; still held in all the columns. */
  readonly #givenBack: { readonly batch: number; readonly subjectHash: number; readonly amount: number }[] = [];
  /** What was recounted for subjects without a slot: kept for the day their action or product comes back. */
  readonly #absent = new Map<number, LedgerRow>();

  constructor(memory: LedgerMemory, shard: number) {
    this.#limitAndTaken = new BigInt64Array(memory.limitAndTaken);
    this.#hints = new Float64Array(memory.hints);
    this.#own = new Float64Array(memory.own, LEDGER_SLOTS * 16 * shard, LEDGER_SLOTS * 2);
  }

  /** Takes the limits of a catalog; `taken` stays what it is. */
  setSubjects(subjects: readonly LedgerSubject[]): void {
    this.#subjects = subjects;
    for (const { subjectHash, slot, limit } of subjects) {
      this.#slots.set(subjectHash, slot);
      Atomics.store(this.#limitAndTaken, slot * 2, Number.isNaN(limit) ? UNLIMITED : BigInt(Math.floor(limit)));
    }
    for (const row of [...this.#absent.values()]) {
      const slot = this.#slots.get(row.subjectHash);
      if (slot === undefined) continue;
      this.#absent.delete(row.subjectHash);
      this.#setOwn(slot, row);
    }
    this.refreshHints();
  }

  isLimited(subjectHash: number): boolean {
    return this.#slots.has(subjectHash);
  }

  freeAmount(subjectHash: number): number {
    const slot = this.#slots.get(subjectHash);
    return slot === undefined ? Number.POSITIVE_INFINITY : (this.#hints[slot] as number);
  }

  tryHold(subjectHash: number, amount: number): boolean {
    const slot = this.#slots.get(subjectHash);
    if (slot === undefined) return true;
    const wanted = BigInt(amount);
    const limit = Atomics.load(this.#limitAndTaken, slot * 2);
    for (;;) {
      const taken = Atomics.load(this.#limitAndTaken, slot * 2 + 1);
      if (taken + wanted > limit) {
        this.#hints[slot] = Number(limit - taken);
        return false;
      }
      if (Atomics.compareExchange(this.#limitAndTaken, slot * 2 + 1, taken, taken + wanted) === taken) {
        this.#hints[slot] = Number(limit - taken - wanted);
        break;
      }
    }
    this.#own[slot * 2] = (this.#own[slot * 2] as number) + amount;
    return true;
  }

  apply(kind: number, subjectHash: number, amount: number): void {
    const slot = this.#slots.get(subjectHash);
    if (slot === undefined) {
      this.#applyAbsent(kind, subjectHash, amount);
      return;
    }
    if (kind === LEDGER.free) this.#take(slot, -amount);
    else if (kind === LEDGER.take) this.#take(slot, amount);
    moveOwn(this.#own, slot, kind, amount);
  }

  applyLogged(kind: number, subjectHash: number, amount: number, batch: number): void {
    if (kind === LEDGER.free && amount > 0) this.#givenBack.push({ batch, subjectHash, amount });
    else this.apply(kind, subjectHash, amount);
  }

  /** Everything up to this batch is on disk. */
  settle(batch: number): void {
    const pending = this.#givenBack;
    let done = 0;
    for (; done < pending.length; done++) {
      const row = pending[done] as (typeof pending)[number]; // within its length
      if (row.batch > batch) break;
      this.apply(LEDGER.free, row.subjectHash, row.amount);
    }
    if (done > 0) pending.splice(0, done);
  }

  /** What of a subject was given back by entries that are not on disk yet. */
  givenBackAmount(subjectHash: number): number {
    let amount = 0;
    for (const row of this.#givenBack) if (row.subjectHash === subjectHash) amount += row.amount;
    return amount;
  }

  /** A lease of an action or product that left the catalog before this start ends: its part must not stay held. */
  #applyAbsent(kind: number, subjectHash: number, amount: number): void {
    const row = this.#absent.get(subjectHash);
    if (row === undefined) return;
    const own = Float64Array.of(row.held, row.spent);
    moveOwn(own, 0, kind, amount);
    this.#absent.set(subjectHash, { subjectHash, held: own[0] as number, spent: own[1] as number }); // two numbers
  }

  #take(slot: number, amount: number): void {
    const taken = Atomics.add(this.#limitAndTaken, slot * 2 + 1, BigInt(amount)) + BigInt(amount);
    this.#hints[slot] = Number(Atomics.load(this.#limitAndTaken, slot * 2) - taken);
  }

  /** Hints written out of order by two shards are put right here, a few times a second. */
  refreshHints(): void {
    for (const { slot } of this.#subjects) {
      const taken = Atomics.load(this.#limitAndTaken, slot * 2 + 1);
      this.#hints[slot] = Number(Atomics.load(this.#limitAndTaken, slot * 2) - taken);
    }
  }

  /** This shard's part by all the entries there are, on disk or not: for a checkpoint behind them. */
  share(): LedgerShare {
    const givenBack = new Map<number, number>();
    for (const { subjectHash, amount } of this.#givenBack)
      givenBack.set(subjectHash, (givenBack.get(subjectHash) ?? 0) + amount);
    return this.#subjects
      .map(({ subjectHash, slot }) => ({
        subjectHash,
        held: this.#own[slot * 2] as number,
        spent: this.#own[slot * 2 + 1] as number,
      }))
      .concat([...this.#absent.values()])
      .map((row) => ({ ...row, held: row.held - (givenBack.get(row.subjectHash) ?? 0) }))
      .filter(({ held, spent }) => held !== 0 || spent !== 0);
  }

  /** Replaces this shard's part by what was recounted from disk, and corrects the total by the difference. */
  setShare(share: LedgerShare): void {
    // What of it reached the disk is in the share, what did not is held again.
    this.#givenBack.length = 0;
    const recounted = new Map(share.map((row) => [row.subjectHash, row]));
    for (const { subjectHash, slot } of this.#subjects) {
      this.#setOwn(slot, recounted.get(subjectHash) ?? { subjectHash, held: 0, spent: 0 });
      recounted.delete(subjectHash);
    }
    this.#absent.clear();
    for (const row of recounted.values()) if (row.held !== 0 || row.spent !== 0) this.#absent.set(row.subjectHash, row);
  }

  #setOwn(slot: number, { held, spent }: LedgerRow): void {
    const before = (this.#own[slot * 2] as number) + (this.#own[slot * 2 + 1] as number);
    this.#own[slot * 2] = held;
    this.#own[slot * 2 + 1] = spent;
    this.#take(slot, held + spent - before);
  }
}

/** Moves amounts between held and spent as the operation says; recovery uses it on plain arrays too. */
export function moveOwn(own: Float64Array, slot: number, kind: number, amount: number): void {
  if (kind === LEDGER.hold) own[slot * 2] = (own[slot * 2] as number) + amount;
  if (kind === LEDGER.spend || kind === LEDGER.free) own[slot * 2] = (own[slot * 2] as number) - amount;
  if (kind === LEDGER.spend || kind === LEDGER.take) own[slot * 2 + 1] = (own[slot * 2 + 1] as number) + amount;
}
