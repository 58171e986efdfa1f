/**
 * A profile as an object: a thin view (flyweight) that is bound to one slab slot at a time. One view
 * serves all profiles of a shard; binding costs a few loads, and no profile has an object of its own.
 *
 * The view knows the layout and keeps the sections tight; it knows no rule and no policy. Inserting
 * shifts the sections behind (a few hundred bytes), and moves the record to a larger slot when it no
 * longer fits. Invariant: counts in the header describe the sections exactly.
 */
import { MOMENT, VALUE_MOMENT } from '../decision/catalog.ts';
import type { ProfileIndex } from './profile-index.ts';
import {
  FIELD,
  HEADER_BYTES,
  LAYOUT_VERSION,
  LEASE,
  LEASE_BYTES,
  LEASE_FLAG,
  LEASE_STATE,
  MESSAGE_BYTES,
  MESSAGE_MEMORY_MILLIS,
  MESSAGES_MAX,
  MOMENT_BYTES,
  MOMENTS_MAX,
  migrateRecord,
  PERSONAL_QUOTE,
  QUOTE_BYTES,
  QUOTES_MAX,
  RECORD_MARKER,
  STANDING,
  TRAIT_BYTES,
} from './record-layout.ts';
import { type Chunk, classFor, NO_HANDLE, type Slab } from './slab.ts';

export class ProfileRecord {
  readonly slab: Slab;
  readonly index: ProfileIndex;
  handle: number = NO_HANDLE;
  /** Views of the chunk the record lies in, and where it starts, in bytes and in wider units. */
  u8: Uint8Array = new Uint8Array(0);
  u16: Uint16Array = new Uint16Array(0);
  u32: Uint32Array = new Uint32Array(0);
  f64: Float64Array = new Float64Array(0);
  base = 0;
  #slotBytes = 0;

  constructor(slab: Slab, index: ProfileIndex) {
    this.slab = slab;
    this.index = index;
  }

  bind(handle: number): void {
    const chunk: Chunk = this.slab.chunkOf(handle);
    this.handle = handle;
    this.u8 = chunk.u8;
    this.u16 = chunk.u16;
    this.u32 = chunk.u32;
    this.f64 = chunk.f64;
    this.#slotBytes = chunk.slotBytes;
    this.base = this.slab.offsetOf(handle);
  }

  /** Allocates and binds a new, empty record. */
  create(
    partition: number,
    low: number,
    high: number,
    check: number,
    traitCount: number,
    traitSchema: number,
    now: number,
  ): void {
    const handle = this.slab.allocate(HEADER_BYTES + traitCount * TRAIT_BYTES + LEASE_BYTES);
    this.bind(handle);
    this.u8.fill(0, this.base, this.base + HEADER_BYTES);
    this.u16[this.base >>> 1] = LAYOUT_VERSION;
    this.setU32(FIELD.marker, RECORD_MARKER);
    this.setU32(FIELD.hashLow, low);
    this.setU32(FIELD.hashHigh, high);
    this.setU32(FIELD.hashCheck, check);
    this.u8[this.base + FIELD.partition] = partition;
    this.u8[this.base + FIELD.traitCount] = traitCount;
    this.setU32(FIELD.traitSchema, traitSchema);
    this.setF64(FIELD.createdAt, now);
    this.setF64(FIELD.lastTurnAt, now);
    this.setF64(FIELD.nextLeaseExpiry, Number.POSITIVE_INFINITY);
    for (let i = 0; i < traitCount; i++) this.setTrait(i, Number.NaN);
    this.index.set(partition, low, high, handle);
  }

  /** Copies stored bytes into a slot and binds it. Fields that mean nothing on disk are reset. */
  load(stored: Uint8Array): void {
    const bytes = migrateRecord(stored);
    const handle = this.slab.allocate(bytes.length);
    this.bind(handle);
    this.u8.set(bytes, this.base);
    this.setU32(FIELD.dirtySinceBatch, 0);
    this.u8[this.base + FIELD.swept] = 0;
    this.u8[this.base + FIELD.faults] = 0;
    this.u16[(this.base + FIELD.zone) >>> 1] = 0;
    this.index.set(this.partition, this.hashLow, this.hashHigh, handle);
  }

  /** Frees the slot and forgets the profile. */
  drop(): void {
    this.index.delete(this.partition, this.hashLow, this.hashHigh);
    this.slab.free(this.handle);
    this.handle = NO_HANDLE;
  }

  getU32(field: number): number {
    return this.u32[(this.base + field) >>> 2] as number;
  }
  setU32(field: number, value: number): void {
    this.u32[(this.base + field) >>> 2] = value;
  }
  getU16(field: number): number {
    return this.u16[(this.base + field) >>> 1] as number;
  }
  setU16(field: number, value: number): void {
    this.u16[(this.base + field) >>> 1] = value;
  }
  getF64(field: number): number {
    return this.f64[(this.base + field) >>> 3] as number;
  }
  setF64(field: number, value: number): void {
    this.f64[(this.base + field) >>> 3] = value;
  }

  get partition(): number {
    return this.u8[this.base + FIELD.partition] as number;
  }
  get hashLow(): number {
    return this.getU32(FIELD.hashLow);
  }
  get hashHigh(): number {
    return this.getU32(FIELD.hashHigh);
  }
  get hashCheck(): number {
    return this.getU32(FIELD.hashCheck);
  }
  get stateSeq(): number {
    return this.getU32(FIELD.stateSeq);
  }
  get decisionSeq(): number {
    return this.getU32(FIELD.decisionSeq);
  }
  get traitCount(): number {
    return this.u8[this.base + FIELD.traitCount] as number;
  }
  get momentCount(): number {
    return this.getU16(FIELD.momentCount);
  }
  get quoteCount(): number {
    return this.getU16(FIELD.quoteCount);
  }
  get leaseCount(): number {
    return this.getU16(FIELD.leaseCount);
  }
  get messageCount(): number {
    return this.getU16(FIELD.messageCount);
  }

  get momentsStart(): number {
    return HEADER_BYTES + this.traitCount * TRAIT_BYTES;
  }
  get quotesStart(): number {
    return this.momentsStart + this.momentCount * MOMENT_BYTES;
  }
  get leasesStart(): number {
    return this.quotesStart + this.quoteCount * QUOTE_BYTES;
  }
  get messagesStart(): number {
    return this.leasesStart + this.leaseCount * LEASE_BYTES;
  }
  get usedBytes(): number {
    return this.messagesStart + this.messageCount * MESSAGE_BYTES;
  }
  get slotBytes(): number {
    return this.#slotBytes;
  }

  trait(slot: number): number {
    return this.f64[((this.base + HEADER_BYTES) >>> 3) + slot] as number;
  }
  setTrait(slot: number, value: number): void {
    this.f64[((this.base + HEADER_BYTES) >>> 3) + slot] = value;
  }

  /** Gives the record another number of trait slots, all absent (the caller fills them from the cold record). */
  resizeTraits(traitCount: number, traitSchema: number): void {
    const before = this.traitCount;
    const from = HEADER_BYTES;
    if (traitCount > before) this.#insertBytes(from, (traitCount - before) * TRAIT_BYTES);
    else if (traitCount < before) this.#removeBytes(from, (before - traitCount) * TRAIT_BYTES);
    this.u8[this.base + FIELD.traitCount] = traitCount;
    this.setU32(FIELD.traitSchema, traitSchema);
    for (let i = 0; i < traitCount; i++) this.setTrait(i, Number.NaN);
  }

  // Moments: facts with an instant, in no particular order.

  momentAt(i: number): number {
    return this.f64[(this.base + this.momentsStart + i * MOMENT_BYTES) >>> 3] as number;
  }
  momentAmount(i: number): number {
    return this.f64[((this.base + this.momentsStart + i * MOMENT_BYTES) >>> 3) + 1] as number;
  }
  momentSubject(i: number): number {
    return this.u32[((this.base + this.momentsStart + i * MOMENT_BYTES) >>> 2) + 4] as number;
  }
  momentKind(i: number): number {
    return this.u8[this.base + this.momentsStart + i * MOMENT_BYTES + 20] as number;
  }
  momentTimes(i: number): number {
    return this.u16[((this.base + this.momentsStart + i * MOMENT_BYTES) >>> 1) + 11] as number;
  }

  /**
   * Remembers one fact. `retentionMillis(kind, subject)` tells how long such a fact is of use, so that a
   * section that is about to need a larger slot is first trimmed; past MOMENTS_MAX the two oldest of one
   * subject (and, for an action, channel) become one with the later instant: a cap then opens later than it
   * might, never earlier. Only where no two are alike is the oldest forgotten, an event's if there is one.
   * What is trimmed depends on the bytes in use alone, never on the slot they happen to lie in: a record
   * read back and replayed comes to the same bytes.
   */
  addMoment(
    kind: number,
    subject: number,
    at: number,
    amount: number,
    now: number,
    retentionMillis: (kind: number, subject: number) => number,
  ): void {
    if (this.#needsLargerClass(MOMENT_BYTES) || this.momentCount >= MOMENTS_MAX) {
      for (let i = this.momentCount - 1; i >= 0; i--) {
        if (now - this.momentAt(i) > retentionMillis(this.momentKind(i), this.momentSubject(i))) this.removeMoment(i);
      }
      if (this.momentCount >= MOMENTS_MAX) this.#joinOldest(kind, subject, amount);
      for (let i = 0; i < this.momentCount && this.momentCount >= MOMENTS_MAX; i++) {
        this.#joinOldest(this.momentKind(i), this.momentSubject(i), this.momentAmount(i));
      }
      if (this.momentCount >= MOMENTS_MAX) this.removeMoment(this.#oldestMoment());
    }
    const from = this.quotesStart;
    this.#insertBytes(from, MOMENT_BYTES);
    const start = this.base + from;
    this.f64[start >>> 3] = at;
    this.f64[(start >>> 3) + 1] = amount;
    this.u32[(start >>> 2) + 4] = subject;
    this.u8[start + 20] = kind;
    this.u8[start + 21] = 0;
    this.u16[(start >>> 1) + 11] = 1;
    this.setU16(FIELD.momentCount, this.momentCount + 1);
  }

  /** Gives a moment another instant and amount. */
  resetMoment(i: number, at: number, amount: number): void {
    const start = (this.base + this.momentsStart + i * MOMENT_BYTES) >>> 3;
    this.f64[start] = at;
    this.f64[start + 1] = amount;
  }

  removeMoment(i: number): void {
    this.#removeBytes(this.momentsStart + i * MOMENT_BYTES, MOMENT_BYTES);
    this.setU16(FIELD.momentCount, this.momentCount - 1);
  }

  /** Takes back one moment of exactly this kind, subject, amount and instant; false when there is none. */
  withdrawMoment(kind: number, subject: number, at: number, amount: number): boolean {
    for (let i = 0; i < this.momentCount; i++) {
      if (
        this.momentAt(i) === at &&
        this.momentKind(i) === kind &&
        this.momentSubject(i) === subject &&
        this.momentAmount(i) === amount
      ) {
        const times = this.momentTimes(i);
        if (times > 1) this.u16[((this.base + this.momentsStart + i * MOMENT_BYTES) >>> 1) + 11] = times - 1;
        else this.removeMoment(i);
        return true;
      }
    }
    return false;
  }

  /** The oldest of the least important kind: events, then what caps count, then refusals. */
  #oldestMoment(): number {
    let oldest = 0;
    for (let i = 1; i < this.momentCount; i++) {
      const rank = rankOf(this.momentKind(i)) - rankOf(this.momentKind(oldest));
      if (rank < 0 || (rank === 0 && this.momentAt(i) < this.momentAt(oldest))) oldest = i;
    }
    return oldest;
  }

  /** An event's amounts are summed; an action's amount is its channel, and only like joins like. */
  #joinOldest(kind: number, subject: number, amount: number): void {
    const isEvent = kind === MOMENT.event;
    let first = -1;
    let second = -1;
    for (let i = 0; i < this.momentCount; i++) {
      if (this.momentKind(i) !== kind || this.momentSubject(i) !== subject) continue;
      if (!isEvent && this.momentAmount(i) !== amount) continue;
      if (first < 0 || this.momentAt(i) < this.momentAt(first)) {
        second = first;
        first = i;
      } else if (second < 0 || this.momentAt(i) < this.momentAt(second)) second = i;
    }
    if (second < 0) return;
    const times = this.momentTimes(first) + this.momentTimes(second);
    if (times > 0xffff) return;
    const start = this.base + this.momentsStart + second * MOMENT_BYTES;
    if (isEvent) this.f64[(start >>> 3) + 1] = this.momentAmount(first) + this.momentAmount(second);
    this.u16[(start >>> 1) + 11] = times;
    this.removeMoment(first);
  }

  // Quotes: at most one standing price a product.

  quoteExpiresAt(i: number): number {
    return this.f64[(this.base + this.quotesStart + i * QUOTE_BYTES) >>> 3] as number;
  }
  quotePriceMinor(i: number): number {
    return this.f64[((this.base + this.quotesStart + i * QUOTE_BYTES) >>> 3) + 1] as number;
  }
  quoteSku(i: number): number {
    return this.u32[((this.base + this.quotesStart + i * QUOTE_BYTES) >>> 2) + 4] as number;
  }
  findQuote(sku: number): number {
    for (let i = 0; i < this.quoteCount; i++) if (this.quoteSku(i) === sku) return i;
    return -1;
  }
  quoteIsPersonal(i: number): boolean {
    return this.u32[((this.base + this.quotesStart + i * QUOTE_BYTES) >>> 2) + 5] === PERSONAL_QUOTE;
  }
  setQuote(sku: number, priceMinor: number, expiresAt: number, isPersonal: boolean, now: number): void {
    let i = this.findQuote(sku);
    if (i < 0) {
      for (let old = this.quoteCount - 1; old >= 0; old--) {
        if (this.quoteExpiresAt(old) <= now) this.#removeQuote(old);
      }
      if (this.quoteCount >= QUOTES_MAX) {
        let soonest = 0;
        for (let q = 1; q < this.quoteCount; q++)
          if (this.quoteExpiresAt(q) < this.quoteExpiresAt(soonest)) soonest = q;
        this.#removeQuote(soonest);
      }
      i = this.quoteCount;
      this.#insertBytes(this.leasesStart, QUOTE_BYTES);
      this.setU16(FIELD.quoteCount, i + 1);
    }
    const start = this.base + this.quotesStart + i * QUOTE_BYTES;
    this.f64[start >>> 3] = expiresAt;
    this.f64[(start >>> 3) + 1] = priceMinor;
    this.u32[(start >>> 2) + 4] = sku;
    this.u32[(start >>> 2) + 5] = isPersonal ? PERSONAL_QUOTE : 0;
  }
  #removeQuote(i: number): void {
    this.#removeBytes(this.quotesStart + i * QUOTE_BYTES, QUOTE_BYTES);
    this.setU16(FIELD.quoteCount, this.quoteCount - 1);
  }

  // Leases, in order of decision.

  leaseU32(i: number, field: number): number {
    return this.u32[(this.base + this.leasesStart + i * LEASE_BYTES + field) >>> 2] as number;
  }
  setLeaseU32(i: number, field: number, value: number): void {
    this.u32[(this.base + this.leasesStart + i * LEASE_BYTES + field) >>> 2] = value;
  }
  leaseF64(i: number, field: number): number {
    return this.f64[(this.base + this.leasesStart + i * LEASE_BYTES + field) >>> 3] as number;
  }
  setLeaseF64(i: number, field: number, value: number): void {
    this.f64[(this.base + this.leasesStart + i * LEASE_BYTES + field) >>> 3] = value;
  }
  leaseU8(i: number, field: number): number {
    return this.u8[this.base + this.leasesStart + i * LEASE_BYTES + field] as number;
  }
  setLeaseU8(i: number, field: number, value: number): void {
    this.u8[this.base + this.leasesStart + i * LEASE_BYTES + field] = value;
  }
  /** What the lease holds of its action's budget, in minor units: an integer below 2^40. */
  leaseCostMinor(i: number): number {
    const start = this.base + this.leasesStart + i * LEASE_BYTES;
    return (
      (this.u8[start + LEASE.costHigh] as number) * 0x1_0000_0000 + (this.u32[(start + LEASE.costLow) >>> 2] as number)
    );
  }
  setLeaseCostMinor(i: number, costMinor: number): void {
    const start = this.base + this.leasesStart + i * LEASE_BYTES;
    this.u8[start + LEASE.costHigh] = Math.floor(costMinor / 0x1_0000_0000);
    this.u32[(start + LEASE.costLow) >>> 2] = costMinor % 0x1_0000_0000;
  }
  /** Appends a zeroed lease; returns its position. */
  addLease(): number {
    const i = this.leaseCount;
    const from = this.messagesStart;
    this.#insertBytes(from, LEASE_BYTES);
    this.u8.fill(0, this.base + from, this.base + from + LEASE_BYTES);
    this.setU16(FIELD.leaseCount, i + 1);
    return i;
  }
  removeLease(i: number): void {
    this.#removeBytes(this.leasesStart + i * LEASE_BYTES, LEASE_BYTES);
    this.setU16(FIELD.leaseCount, this.leaseCount - 1);
  }
  /** Recomputes the earliest expiry among leases that are open or still hold stock. */
  refreshNextLeaseExpiry(): void {
    let next = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.leaseCount; i++) {
      if (this.leaseU8(i, LEASE.state) === LEASE_STATE.open || this.leaseU8(i, LEASE.flags) & LEASE_FLAG.holdsStock) {
        const at = this.leaseF64(i, LEASE.expiresAt);
        if (at < next) next = at;
      }
    }
    this.setF64(FIELD.nextLeaseExpiry, next);
  }

  // Message ids already applied, as 64-bit hashes in a ring that grows to MESSAGES_MAX.

  hasMessage(low: number, high: number): boolean {
    const count = this.messageCount;
    let word = (this.base + this.messagesStart) >>> 2;
    for (let i = 0; i < count; i++, word += 3) if (this.u32[word] === low && this.u32[word + 1] === high) return true;
    return false;
  }
  addMessage(low: number, high: number, now: number): void {
    const count = this.messageCount;
    const seconds = Math.floor(now / 1000);
    if (count < MESSAGES_MAX && this.#needsLargerClass(MESSAGE_BYTES)) this.#forgetOldMessages(seconds);
    let i = this.messageCount;
    if (i < MESSAGES_MAX) {
      this.#insertBytes(this.usedBytes, MESSAGE_BYTES);
      this.setU16(FIELD.messageCount, i + 1);
    } else {
      i = this.getU16(FIELD.messageNext);
      this.setU16(FIELD.messageNext, (i + 1) % MESSAGES_MAX);
    }
    const word = ((this.base + this.messagesStart) >>> 2) + i * 3;
    this.u32[word] = low;
    this.u32[word + 1] = high;
    this.u32[word + 2] = seconds;
  }

  /** Below MESSAGES_MAX the ring has not wrapped, so its ids stand oldest first. */
  #forgetOldMessages(seconds: number): void {
    const count = this.messageCount;
    const first = (this.base + this.messagesStart) >>> 2;
    let old = 0;
    while (old < count && seconds - (this.u32[first + old * 3 + 2] as number) > MESSAGE_MEMORY_MILLIS / 1000) old++;
    if (old === 0) return;
    this.#removeBytes(this.messagesStart, old * MESSAGE_BYTES);
    this.setU16(FIELD.messageCount, count - old);
  }

  /** Whether `length` more bytes cross into a larger size class than the bytes in use ask for. */
  #needsLargerClass(length: number): boolean {
    const used = this.usedBytes;
    return classFor(used + length) !== classFor(used);
  }

  #insertBytes(at: number, length: number): void {
    const used = this.usedBytes;
    if (used + length > this.#slotBytes) this.#move(used + length);
    const start = this.base + at;
    if (at < used) this.u8.copyWithin(start + length, start, this.base + used);
  }

  #removeBytes(at: number, length: number): void {
    const used = this.usedBytes;
    this.u8.copyWithin(this.base + at, this.base + at + length, this.base + used);
  }

  /** Moves the record to another slot of its class, so that its chunk can be cleared. */
  relocate(): void {
    this.#move(this.#slotBytes);
  }

  /** Moves the record to a slot that holds `bytes`, with room for one more lease, so growth is not a move each time. */
  #move(bytes: number): void {
    const from = this.u8;
    const fromBase = this.base;
    const used = this.usedBytes;
    const old = this.handle;
    const handle = this.slab.allocate(bytes);
    this.bind(handle);
    this.u8.set(from.subarray(fromBase, fromBase + used), this.base);
    this.index.set(this.partition, this.hashLow, this.hashHigh, handle);
    this.slab.free(old);
  }
}

/** Who stays when a full section must forget something: higher stays longer. */
function rankOf(kind: number): number {
  if (kind === MOMENT.event || kind === VALUE_MOMENT) return 0;
  return kind >= STANDING.refusal ? 2 : 1;
}
