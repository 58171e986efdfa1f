/**
 * The actors of one shard: finds, loads and drops profiles, turns effects into record changes and
 * journal entries, writes checkpoints, and recovers all of it from disk. What a turn decides is in
 * `decide-turn.ts`, `event-turn.ts` and `profile-turn.ts`; how its change becomes durable is here.
 *
 *   open(key) ─▸ record bound ─▸ [turn works out an Effect] ─▸ commit(effect) ─┬─▸ record changed
 *                                                                              ├─▸ journal entry
 *   passivate ◂─ idle or memory limit                                          └─▸ ledger, models
 *
 * One writer: everything runs on the shard's thread, one turn at a time. A turn is atomic: if applying
 * an effect fails by a bug of ours, the record gets back the bytes it had before, and nothing is
 * journalled; a profile that fails twice is quarantined until the next start. A failed write to disk
 * (`dropAll`, then `recoverFrom`) throws away memory and reads everything back: never patched.
 */
import { Buffer } from 'node:buffer';
import type { CatalogIndex } from '../decision/catalog-index.ts';
import { FeedSet } from '../decision/feed-table.ts';
import type { ZoneTable } from '../decision/local-time.ts';
import { murmur3Text } from '../proto/murmur3.ts';
import { partitionOf } from '../proto/partition.ts';
import type { Request } from '../proto/request.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';
import { applyEffect, type EffectContext, type EntryPosition } from './apply-effect.ts';
import { Cleaner } from './cleaner.ts';
import { keepKeyId, mergeSection, type SectionEntries, type SectionName, writeSection } from './cold-sections.ts';
import { ConsentView } from './consent-view.ts';
import { DeadLetters } from './dead-letters.ts';
import { DirtyRecords } from './dirty-records.ts';
import { DECISION, EFFECT, Effect, EVENT, IDENTIFY, JOIN, LEDGER, MARK_TYPE_MIN, stateSeqAfter } from './effect.ts';
import { isMoved } from './identity.ts';
import { applyColdChanges, type ColdChanges } from './join-cold.ts';
import { MARK } from './journal-marks.ts';
import { keyHash } from './key-hash.ts';
import { LeaseWheel } from './lease-wheel.ts';
import type { ColdCodec, ColdRecord, Ledger, Models, Signer } from './ports.ts';
import { stockSubject } from './ports.ts';
import { ProfileIndex } from './profile-index.ts';
import { ProfileRecord } from './profile-record.ts';
import { ProfileScope } from './profile-scope.ts';
import {
  FIELD,
  HOLDING,
  LEASE,
  LEASE_BYTES,
  LEASE_FLAG,
  LEASE_STATE,
  MOMENT_BYTES,
  migrateRecord,
  RECORD_FLAG,
  RECORD_MARKER,
  STANDING,
  storedLeasesStart,
  storedMomentsStart,
} from './record-layout.ts';
import { type PersonHash, SealedTrait, type TraitSealer } from './sealed-trait.ts';
import { type Chunk, NO_HANDLE, RECORD_BYTES_MAX, Slab } from './slab.ts';
import { setFlag } from './standing.ts';
import { type JournalBatch, type JournalPosition, STORE_KEY_BYTES, type Store } from './store.ts';
import { TagTurn } from './tag-turn.ts';
import { fillTraitSlots } from './trait-slots.ts';
import { WakeTimers } from './wake-timers.ts';

export interface RuntimeOptions {
  readonly store: Store;
  readonly epoch: number;
  readonly stream: number;
  /** Three seeds of the keyed profile hash. */
  readonly hashSeeds: Uint32Array;
  /** Secret of the decision seeds, two words. */
  readonly seedSecret: Uint32Array;
  readonly zones: ZoneTable;
  readonly ledger: Ledger;
  readonly models: Models;
  readonly signer: Signer;
  readonly coldCodec: ColdCodec;
  /** Absent where traits are only carried: in a replay, and where nothing sensitive is told. */
  readonly sealer?: TraitSealer;
  /** Memory for records; above it the longest unused profiles are passivated. */
  readonly memoryBytesMax: number;
  /** A profile unused for this long is passivated. */
  readonly idleMillis: number;
  /** Whether this shard owns the partition. */
  ownsPartition(partition: number): boolean;
}

/** Counts since start, read by the shard for its metrics. */
export class RuntimeStats {
  activations = 0;
  passivations = 0;
  profilesCreated = 0;
  turnFailures = 0;
  quarantines = 0;
  journalEntries = 0;
  duplicateEvents = 0;
  leasesOpened = 0;
  leasesConfirmed = 0;
  leasesReleased = 0;
  leasesExpired = 0;
  quotesIssued = 0;
  decisionsHeldOut = 0;
  decisionsSuspected = 0;
  decisionsExplored = 0;
  decisionsEmpty = 0;
  learnUpdates = 0;
  tripsTold = 0;
  devicesTold = 0;
  lettersKept = 0;
  lettersSettled = 0;
  lettersLostRing = 0;
  lettersLostFull = 0;
  lettersLostSize = 0;
  lettersLostKeys = 0;
}

const ENCODER = new TextEncoder();
/** `FAULT.joining` of a signpost, which who runs requests may do better than answer. */
export const MOVED: Fault = { ...FAULT.joining };
const QUARANTINE_FAULTS = 2;
const SWEEP_SLOTS = 512;
/** Slots in use, as a share of the memory limit: full, and swept for what was not used lately. The rest is room in chunks. */
const USED_SHARE = 0.8;
const SWEPT_SHARE = 0.76;
/** Reserved, as a share of it, from which on sparse chunks are cleared, until some are empty. */
const COMPACTED_SHARE = 0.82;
const EMPTY_CHUNKS_KEPT = 2;
/** Slots looked at for each profile that comes into memory: some microseconds, and faster than profiles can use chunks up. */
const COMPACTED_A_PROFILE = 32;
const TENANT_DEFAULT = 0;
/** The part of a decision's number that a hint of its ripening has room for, above the partition. */
export const HINT_SEQ_MASK = 0xff_ffff;
const HINT_MILLIS = 15_000;

export class ActorRuntime implements EffectContext {
  readonly store: Store;
  readonly slab = new Slab();
  readonly profiles = new ProfileIndex();
  readonly record: ProfileRecord;
  /** Name of who asks in this turn, at most `ASKER_BYTES_MAX` of UTF-8; null where anybody may. Set by who runs it. */
  asker: Uint8Array | null = null;
  /** Empty under a catalog with other feeds than the one before, until they are pushed again. */
  readonly feeds = new FeedSet();
  readonly scope: ProfileScope;
  /** What the bound person allows; bound by the turns that ask. */
  readonly consent = new ConsentView();
  readonly effect = new Effect();
  readonly stats = new RuntimeStats();
  readonly wheel = new LeaseWheel();
  /** Decisions whose trials ripen, see `trial-ripening.ts`. */
  readonly ripening = new LeaseWheel();
  /** When profiles are to be visited. */
  readonly wakes = new WakeTimers(this);
  readonly tags: TagTurn;
  /** Told of each record that a turn changed, behind it; null while nobody wants to know. */
  onChanged: ((record: ProfileRecord) => void) | null = null;
  readonly cleaner = new Cleaner(this);
  readonly letters = new DeadLetters(this);
  readonly options: RuntimeOptions;
  index: CatalogIndex;
  defaultZone = 0;
  /** What is wrong with the last request, for the reply; set together with a returned fault. */
  message = '';

  readonly #hash = new Uint32Array(3);
  readonly #storeKey = Buffer.alloc(STORE_KEY_BYTES);
  readonly #undo = new Uint8Array(RECORD_BYTES_MAX);
  readonly #quarantined = new Set<string>();
  readonly #faults = new Map<string, number>();
  readonly #position: EntryPosition;
  readonly #dirty = new DirtyRecords();
  #isReplaying = false;
  /** The chunk that is being cleared, and how far. */
  #clearing: Chunk | null = null;
  #clearingSlot = 0;
  #sweepChunk = 0;
  #sweepSlot = 0;
  /** The profile the running turn asked for, which may not be the one bound: a record that cannot be read is not. */
  #askedPartition = 0;
  #askedLow = 0;
  #askedHigh = 0;

  constructor(options: RuntimeOptions, index: CatalogIndex) {
    this.options = options;
    this.store = options.store;
    this.index = index;
    this.record = new ProfileRecord(this.slab, this.profiles);
    const readText = (record: ProfileRecord, name: string): string => this.#traitText(record, name);
    this.scope = new ProfileScope(options.zones, this.record, index, readText, this.feeds);
    this.#position = { epoch: options.epoch, stream: options.stream, batch: 0, offset: 0 };
    this.tags = new TagTurn(this);
    this.setCatalog(index);
  }

  /** Takes a new catalog between two turns. Records derive their trait slots anew when next opened. */
  setCatalog(index: CatalogIndex): void {
    this.index = index;
    this.feeds.bind(index.catalog.feeds, index.catalog.feedsHash);
    const zone = this.options.zones.zoneIndexByName(index.catalog.timeZone);
    if (zone < 0) throw new RangeError(`the catalog's time zone "${index.catalog.timeZone}" is not known here`);
    this.defaultZone = zone;
  }

  // ── finding and loading ────────────────────────────────────────────────────────────────────────

  /** Binds `record` to the request's profile, loading or creating it. Returns a fault, or null. */
  open(request: Request, now: number): Fault | null {
    const fault = request.asPartition < 0 ? this.#openKey(request, now) : this.#openNamed(request);
    return fault !== null || !isMoved(this.record) ? fault : this.failMoved();
  }

  /** The bound profile is a signpost: who runs requests sends this one on, and who cannot answers so. */
  failMoved(): Fault {
    return this.fail(MOVED, 'profile: its key is being joined with another; ask again');
  }

  #openKey(request: Request, now: number): Fault | null {
    const { keyBytes, keyStart, keyLength } = request;
    keyHash(keyBytes, keyStart, keyLength, this.options.hashSeeds, this.#hash);
    const low = this.#hash[0] as number;
    const high = this.#hash[1] as number;
    return this.#openHash(partitionOf(keyBytes, keyStart, keyLength), low, high, this.#hash[2] as number, now);
  }

  /** Of a request that a signpost sent on: the profile it names. */
  #openNamed({ asPartition, asLow, asHigh }: Request): Fault | null {
    if (this.openKnown(asPartition, asLow, asHigh)) return null;
    if (this.isQuarantined) return this.failQuarantined();
    return this.fail(FAULT.joining, 'profile: what is known under its keys is being erased; ask again');
  }

  /** The hash of a profile's key; the same words each time. */
  hashOf(key: string): PersonHash {
    const bytes = ENCODER.encode(key);
    keyHash(bytes, 0, bytes.length, this.options.hashSeeds, this.#hash);
    const [hashLow = 0, hashHigh = 0, hashCheck = 0] = this.#hash;
    return { partition: partitionOf(bytes, 0, bytes.length), hashLow, hashHigh, hashCheck };
  }

  /** Binds a profile by its hash, loading or creating it. Returns a fault, or null. */
  openHashed({ partition, hashLow, hashHigh, hashCheck }: PersonHash, now: number): Fault | null {
    return this.#openHash(partition, hashLow, hashHigh, hashCheck, now);
  }

  /** Binds `record` to a known profile, named by its hash; false when it was never heard of or is set aside. */
  openKnown(partition: number, low: number, high: number): boolean {
    this.#ask(partition, low, high);
    if (this.isQuarantined) return false;
    const handle = this.profiles.find(partition, low, high);
    if (handle !== NO_HANDLE) this.#touch(handle);
    else if (!this.#load(partition, low, high)) return false;
    this.#deriveTraits();
    return true;
  }

  #ask(partition: number, low: number, high: number): void {
    this.#askedPartition = partition;
    this.#askedLow = low;
    this.#askedHigh = high;
  }

  /** Whether the profile the turn asked for has been set aside. */
  get isQuarantined(): boolean {
    if (this.#quarantined.size === 0) return false;
    return this.#quarantined.has(nameOf(this.#askedPartition, this.#askedLow, this.#askedHigh));
  }

  failQuarantined(): Fault {
    return this.fail(FAULT.quarantined, 'profile: set aside after failing twice; see the log for its key hash');
  }

  #openHash(partition: number, low: number, high: number, check: number, now: number): Fault | null {
    this.#ask(partition, low, high);
    if (this.isQuarantined) return this.failQuarantined();
    const handle = this.profiles.find(partition, low, high);
    if (handle !== NO_HANDLE) this.#touch(handle);
    else {
      if (this.#isMemoryFull())
        return this.fail(FAULT.memoryFull, 'profiles: the memory limit is reached and nothing can be passivated yet');
      if (!this.#load(partition, low, high)) {
        const { catalog } = this.index;
        this.record.create(partition, low, high, check, catalog.traits.length, catalog.traitSchemaHash, now);
        this.stats.profilesCreated++;
        return null;
      }
    }
    if (this.record.hashCheck !== check) {
      return this.fail(FAULT.internal, 'profile: two keys share a 64-bit hash; the second one is refused');
    }
    this.#deriveTraits();
    return null;
  }

  #touch(handle: number): void {
    this.record.bind(handle);
    this.record.u8[this.record.base + FIELD.swept] = 0;
  }

  #load(partition: number, low: number, high: number): boolean {
    const stored = this.store.getRecord(this.storeKey(partition, low, high));
    if (stored === undefined) return false;
    this.record.load(stored);
    this.stats.activations++;
    return true;
  }

  /** Tenant, partition and hash as the store's key; the same buffer each time. */
  storeKey(partition: number, low: number, high: number): Uint8Array {
    const key = this.#storeKey;
    key.writeUInt16BE(TENANT_DEFAULT, 0);
    key[2] = partition;
    key.writeUInt32BE(high, 3);
    key.writeUInt32BE(low, 7);
    return key;
  }

  boundStoreKey(): Uint8Array {
    return this.storeKey(this.record.partition, this.record.hashLow, this.record.hashHigh);
  }

  fail(fault: Fault, message: string): Fault {
    this.message = message;
    return fault;
  }

  // ── traits ─────────────────────────────────────────────────────────────────────────────────────

  readCold(): ColdRecord {
    const bytes = this.store.getCold(this.boundStoreKey());
    return bytes === undefined ? { traits: {} } : this.options.coldCodec.decode(bytes);
  }

  /** Trait slots are a view of the cold record under one schema; under another they are filled anew. */
  #deriveTraits(): void {
    const { catalog } = this.index;
    if (this.record.getU32(FIELD.traitSchema) === catalog.traitSchemaHash) return;
    this.record.resizeTraits(catalog.traits.length, catalog.traitSchemaHash);
    this.record.setU16(FIELD.zone, 0);
    this.#fillTraits(this.readCold());
  }

  #fillTraits(cold: ColdRecord): void {
    fillTraitSlots(this.record, this.index.catalog.traits, cold);
  }

  applyTraits(record: ProfileRecord, effect: Effect): void {
    const bytes = effect.getU32(IDENTIFY.traitBytes);
    const changes = this.options.coldCodec.decodeProperties(effect.u8.slice(IDENTIFY.traits, IDENTIFY.traits + bytes));
    const cold = this.readCold();
    for (const [name, value] of Object.entries(changes)) {
      if (value === null) delete cold.traits[name];
      else if (value instanceof SealedTrait) this.#keepSealed(cold, name, value);
      else if (typeof value !== 'object') cold.traits[name] = value;
    }
    this.store.putCold(this.boundStoreKey(), this.options.coldCodec.encode(cold));
    record.setU16(FIELD.zone, 0);
    this.#fillTraits(cold);
  }

  applySection(effect: Effect): void {
    const cold = this.readCold();
    mergeSection(cold, effect, this.options.coldCodec);
    setFlag(this.record, RECORD_FLAG.letters, cold.sections?.letters !== undefined);
    this.store.putCold(this.boundStoreKey(), this.options.coldCodec.encode(cold));
  }

  applyColdChanges(record: ProfileRecord, effect: Effect): void {
    const { coldCodec } = this.options;
    const start = JOIN.content + effect.getU32(JOIN.recordBytes);
    const bytes = effect.u8.slice(start, start + effect.getU32(JOIN.coldBytes));
    const cold = this.readCold();
    applyColdChanges(cold, coldCodec.decodeProperties(bytes) as unknown as ColdChanges); // written by `identity-turn.ts`
    this.store.putCold(this.boundStoreKey(), coldCodec.encode(cold));
    record.setU16(FIELD.zone, 0);
    this.#fillTraits(cold);
  }

  #keepSealed(cold: ColdRecord, name: string, sealed: SealedTrait): void {
    cold.traits[name] = sealed;
    keepKeyId(cold, sealed);
  }

  #traitText(record: ProfileRecord, name: string): string {
    const bytes = this.store.getCold(this.storeKey(record.partition, record.hashLow, record.hashHigh));
    if (bytes === undefined) return '';
    const value = this.options.coldCodec.decode(bytes).traits[name];
    return value === undefined || value instanceof SealedTrait ? '' : String(value);
  }

  /** It ends before its time: counted with those that expired, so that every lease granted ends somewhere. */
  leaseGaveWay(): void {
    if (!this.#isReplaying) this.stats.leasesExpired++;
  }

  wakeSet(at: number): void {
    this.wakes.watchBound(at);
  }

  eventWindowMillis(eventHash: number): number {
    return this.index.eventWindowMillis(eventHash);
  }

  get retentionMillis(): (kind: number, subjectHash: number) => number {
    return this.index.retentionMillis;
  }

  // ── changing ───────────────────────────────────────────────────────────────────────────────────

  /**
   * Applies the effect in `this.effect` (type and body filled in by the turn) to the bound record, teaches
   * the models what it holds, and journals it. Returns false when applying failed by a bug of ours; nothing is changed then.
   */
  commit(now: number): boolean {
    const { record, effect, store } = this;
    effect.u8[6] = record.partition;
    effect.u32[2] = record.hashLow;
    effect.u32[3] = record.hashHigh;
    effect.u32[4] = record.hashCheck;
    effect.u32[5] = stateSeqAfter(effect, record.stateSeq);
    effect.f64[3] = now;
    effect.u32[8] = record.getU32(FIELD.journalEpoch);
    effect.u32[9] = record.getU32(FIELD.journalStream);
    effect.u32[10] = record.getU32(FIELD.journalBatch);
    effect.u32[11] = record.getU32(FIELD.journalOffset);
    this.#position.batch = store.openBatch;
    this.#position.offset = store.openBatchBytes;
    const before = record.usedBytes;
    this.#undo.set(record.u8.subarray(record.base, record.base + before));
    const { type } = effect;
    const changesCold =
      type === EFFECT.identify || type === EFFECT.section || type === EFFECT.join || type === EFFECT.unjoin;
    const coldBefore = changesCold ? store.getCold(this.boundStoreKey()) : undefined;
    try {
      applyEffect(record, effect, this.#position, this);
      // Before the journal, which cannot be taken back: models that refuse an event leave nothing of it.
      if (effect.type === EFFECT.event) this.options.models.learn(effect);
      store.appendJournal(effect.u8, 0, effect.length);
    } catch (error) {
      record.u8.set(this.#undo.subarray(0, before), record.base);
      if (changesCold) {
        store.putCold(this.boundStoreKey(), coldBefore ?? this.options.coldCodec.encode({ traits: {} }));
      }
      this.reportTurnFailure(error);
      return false;
    }
    this.stats.journalEntries++;
    for (let i = 0; i < effect.ledgerCount; i++) {
      // Holds were taken by the turn itself, before it promised anything.
      if (effect.ledgerKind(i) !== LEDGER.hold) {
        const batch = this.#position.batch;
        this.options.ledger.applyLogged(effect.ledgerKind(i), effect.ledgerSubject(i), effect.ledgerAmount(i), batch);
      }
    }
    if (type === EFFECT.section) this.letters.noteBound();
    this.#markDirty();
    if (this.onChanged !== null) this.onChanged(record);
    return true;
  }

  /** Changes a section of the bound profile. False where the turn failed and was undone. */
  commitSection(section: SectionName, entries: SectionEntries, now: number): boolean {
    writeSection(this.effect, section, entries, this.options.coldCodec);
    return this.commit(now);
  }

  /** Set by the shard; logs key hash and kind, never content. */
  onTurnFailure: (error: unknown, effectType: number, hash: string) => void = () => {};

  /** Counts a failure of the profile the turn asked for; the second one sets it aside. */
  reportTurnFailure(error: unknown): void {
    const name = nameOf(this.#askedPartition, this.#askedLow, this.#askedHigh);
    const faults = (this.#faults.get(name) ?? 0) + 1;
    this.#faults.set(name, faults);
    this.stats.turnFailures++;
    if (faults >= QUARANTINE_FAULTS && !this.#quarantined.has(name)) {
      this.#quarantined.add(name);
      this.stats.quarantines++;
    }
    this.onTurnFailure(error, this.effect.type, name);
  }

  #markDirty(): void {
    const { record } = this;
    if (record.getU32(FIELD.dirtySinceBatch) !== 0) return;
    record.setU32(FIELD.dirtySinceBatch, this.store.openBatch);
    this.#dirty.add(record.partition, record.hashLow, record.hashHigh);
  }

  /** What time has brought about before a turn: visits that are due, tags of another catalog, and the end of leases, as effects of their own. */
  expireDue(now: number): void {
    this.wakes.visitDue(now);
    this.tags.refresh(now);
    const { record, effect } = this;
    if (record.getF64(FIELD.nextLeaseExpiry) > now) return;
    effect.begin(EFFECT.expire, 0);
    let expired = 0;
    for (let i = 0; i < record.leaseCount; i++) {
      if (record.leaseF64(i, LEASE.expiresAt) > now) continue;
      const flags = record.leaseU8(i, LEASE.flags);
      if (record.leaseU8(i, LEASE.state) === LEASE_STATE.open) {
        expired++;
        if (flags & LEASE_FLAG.holdsBudget) {
          effect.addLedger(LEDGER.free, record.leaseU32(i, LEASE.actionHash), record.leaseCostMinor(i));
        }
      }
      if (flags & LEASE_FLAG.holdsStock)
        effect.addLedger(LEDGER.free, stockSubject(record.leaseU32(i, LEASE.skuHash)), 1);
    }
    if (this.commit(now)) this.stats.leasesExpired += expired;
  }

  /** Ends due leases of profiles nobody asks for. */
  advanceTimers(now: number, limit: number): void {
    this.wheel.advance(now, limit, (partition, low, high) => {
      try {
        if (this.openKnown(partition, low, high)) this.expireDue(now);
      } catch (error) {
        // One record that cannot be read must not stop the timers of the others.
        this.reportTurnFailure(error);
      }
    });
  }

  /** Has the bound record's decision looked at again at that instant. */
  hintRipening(at: number, decisionSeq: number): void {
    const { partition, hashLow, hashHigh } = this.record;
    // So that the wheel has few and full seconds, however far they reach ahead.
    const later = Math.ceil(at / HINT_MILLIS) * HINT_MILLIS;
    this.ripening.add(later, (partition | ((decisionSeq & HINT_SEQ_MASK) << 8)) >>> 0, hashLow, hashHigh);
  }

  /** Binds the record of each decision that is due. @param visit told the number of the decision, within the mask */
  visitRipening(now: number, limit: number, visit: (decisionSeq: number) => void): void {
    this.ripening.advance(now, limit, (packed, low, high) => {
      try {
        if (this.openKnown(packed & 0xff, low, high) && !isMoved(this.record)) visit(packed >>> 8);
      } catch (error) {
        this.reportTurnFailure(error);
      }
    });
  }

  /** After a start: the bound record's decisions that ripen, to be looked at soon. */
  #watchOwed(): void {
    const { record } = this;
    let last = -1;
    for (let i = 0; i < record.leaseCount; i++) {
      const decisionSeq = record.leaseU32(i, LEASE.decisionSeq);
      if (record.leaseU8(i, LEASE.owed) === 0 || decisionSeq === last) continue;
      last = decisionSeq;
      this.hintRipening(record.leaseF64(i, LEASE.at), decisionSeq);
    }
  }

  /**
   * Ends the bound person: what open leases hold is free again, the record and the cold record are gone, in memory at
   * once and on disk with the entry that says so. The journal's other entries stay; who erases blanks them. Returns where
   * the entry stands, or null where the turn failed and was undone. Nothing is bound afterwards.
   */
  eraseBound(now: number): EntryPosition | null {
    const { record, effect } = this;
    effect.begin(EFFECT.erase, 0);
    let released = 0;
    // What a signpost's leases held is the other profile's.
    const leases = isMoved(record) ? 0 : record.leaseCount;
    for (let i = 0; i < leases; i++) {
      const flags = record.leaseU8(i, LEASE.flags);
      if (record.leaseU8(i, LEASE.state) === LEASE_STATE.open) {
        released++;
        if (flags & LEASE_FLAG.holdsBudget)
          effect.addLedger(LEDGER.free, record.leaseU32(i, LEASE.actionHash), record.leaseCostMinor(i));
      }
      if (flags & LEASE_FLAG.holdsStock)
        effect.addLedger(LEDGER.free, stockSubject(record.leaseU32(i, LEASE.skuHash)), 1);
    }
    if (!this.commit(now)) return null;
    this.stats.leasesReleased += released;
    const position = { ...this.#position };
    this.forgetBound();
    return position;
  }

  /** The bound person's record and cold record are no more. Nothing is bound afterwards. */
  forgetBound(): void {
    this.letters.forget(this.record);
    this.store.removeProfile(this.boundStoreKey());
    this.record.drop();
  }

  // ── writing records, passivation ───────────────────────────────────────────────────────────────

  get dirtyCount(): number {
    return this.#dirty.count;
  }
  get dirtyInCycle(): number {
    return this.#dirty.cycleCount;
  }
  get isCycleDone(): boolean {
    return this.#dirty.cycleCount === 0;
  }

  /** Begins a checkpoint: everything dirty now is to be written. Call with an empty open batch. */
  beginCycle(): void {
    this.#dirty.beginCycle();
  }

  /** Puts up to `limit` records of the cycle into the open batch, neighbours in the store together. */
  writeRecords(limit: number): void {
    for (let n = 0; n < limit; n++) {
      const dirty = this.#dirty.take();
      if (dirty === null) return;
      const handle = this.profiles.find(dirty.partition, dirty.low, dirty.high);
      if (handle === NO_HANDLE) continue;
      this.record.bind(handle);
      this.#putBound();
    }
  }

  #putBound(): void {
    const { record } = this;
    if (record.getU32(FIELD.dirtySinceBatch) === 0) return;
    record.setU32(FIELD.dirtySinceBatch, 0);
    this.store.putRecord(this.boundStoreKey(), record.u8, record.base, record.usedBytes);
  }

  /**
   * Passivates what is idle, and, above the memory limit, what was not used since the last sweep
   * (second chance). Walks a bounded number of slots a call.
   */
  sweep(now: number): void {
    const { slab, record } = this;
    if (slab.chunkCount === 0) return;
    const isFull = slab.usedBytes > this.#slabBytesMax * SWEPT_SHARE;
    for (let n = 0; n < SWEEP_SLOTS; n++) {
      if (this.#sweepChunk >= slab.chunkCount) this.#sweepChunk = 0;
      const chunk = slab.chunkOf(this.#sweepChunk << 12);
      if (this.#sweepSlot >= chunk.slots) {
        this.#sweepSlot = 0;
        this.#sweepChunk++;
        continue;
      }
      const base = this.#sweepSlot * chunk.slotBytes;
      const handle = ((this.#sweepChunk << 12) | this.#sweepSlot) >>> 0;
      this.#sweepSlot++;
      if (chunk.u32[(base + FIELD.marker) >>> 2] !== RECORD_MARKER) continue;
      const isIdle = now - (chunk.f64[(base + FIELD.lastTurnAt) >>> 3] as number) > this.options.idleMillis;
      const wasSwept = chunk.u8[base + FIELD.swept] === 1;
      chunk.u8[base + FIELD.swept] = 1;
      if (isIdle || (isFull && wasSwept)) {
        record.bind(handle);
        this.passivateBound();
      }
    }
    this.#compact(SWEEP_SLOTS);
  }

  passivateBound(): void {
    this.#putBound();
    this.record.drop();
    this.stats.passivations++;
  }

  /** What the index of the profiles leaves of the limit. */
  get #slabBytesMax(): number {
    return this.options.memoryBytesMax - this.profiles.bytes;
  }

  /** Asked before a profile takes a slot; it moves others a little closer together where memory is short. */
  #isMemoryFull(): boolean {
    this.#compact(COMPACTED_A_PROFILE);
    const usedMax = this.#slabBytesMax * USED_SHARE;
    if (this.slab.usedBytes < usedMax) return false;
    for (let tries = 0; tries < 8 && this.slab.usedBytes >= usedMax; tries++) this.sweep(Number.NEGATIVE_INFINITY);
    return this.slab.usedBytes >= usedMax;
  }

  /**
   * Clears sparse chunks while reserved memory is near the limit: sizes change as records grow, and a class
   * that has shrunk would keep its chunks for ever. A bounded number of records a call; a move is a copy.
   */
  #compact(slots: number): void {
    const { slab, record } = this;
    for (let left = slots; left > 0; left--) {
      const chunk = this.#clearing;
      // Emptied, or emptied and in use again: then it is not closing any more.
      if (chunk === null || chunk.slots === 0 || !chunk.isClosing) {
        this.#clearing = null;
        if (slab.reservedBytes <= this.#slabBytesMax * COMPACTED_SHARE || slab.emptyChunks >= EMPTY_CHUNKS_KEPT) return;
        this.#clearing = slab.sparsestChunk();
        this.#clearingSlot = 0;
        if (this.#clearing === null) return;
        slab.close(this.#clearing);
        continue;
      }
      if (this.#clearingSlot >= chunk.slots) {
        this.#clearing = null;
        continue;
      }
      const slot = this.#clearingSlot++;
      if (chunk.u32[(slot * chunk.slotBytes + FIELD.marker) >>> 2] !== RECORD_MARKER) continue;
      record.bind(((chunk.number << 12) | slot) >>> 0);
      record.relocate();
    }
  }

  // ── recovery ───────────────────────────────────────────────────────────────────────────────────

  /** Forgets everything in memory, written or not. */
  dropAll(): void {
    const { slab } = this;
    for (let chunkNumber = 0; chunkNumber < slab.chunkCount; chunkNumber++) {
      const chunk = slab.chunkOf(chunkNumber << 12);
      for (let slot = 0; slot < chunk.slots; slot++) {
        if (chunk.u32[(slot * chunk.slotBytes + FIELD.marker) >>> 2] === RECORD_MARKER) {
          this.record.bind(((chunkNumber << 12) | slot) >>> 0);
          this.record.drop();
        }
      }
    }
    this.#dirty.clear();
    this.wheel.clear();
    this.ripening.clear();
    this.wakes.clear();
    this.letters.forgetAll();
  }

  /**
   * Reads the journal from the given positions on, and applies it to the records it is about, as far as they
   * belong to this shard and `mayLack` says of the batch that they may not hold it yet: a record is loaded for
   * such entries only. `visit` sees every entry of every shard, for the ledger and the models, and whether it
   * was one of those. Returns the number of entries applied.
   */
  recoverFrom(
    positions: readonly JournalPosition[],
    mayLack: (batch: JournalPosition) => boolean,
    visit: (effect: Effect, isForRecord: boolean) => void,
  ): number {
    const effect = this.effect;
    const position: EntryPosition = { epoch: 0, stream: 0, batch: 0, offset: 0 };
    let applied = 0;
    this.store.scanJournal(positions, (batch: JournalBatch) => {
      position.epoch = batch.epoch;
      position.stream = batch.stream;
      position.batch = batch.batch;
      const isForRecords = mayLack(position);
      for (let offset = 0; ; ) {
        const next = effect.load(batch.bytes, offset);
        if (next < 0) break;
        position.offset = offset;
        offset = next;
        const { type } = effect;
        if (type >= MARK_TYPE_MIN && type !== MARK.erased && type !== MARK.forget) continue;
        // What an erased person moved in the ledger is still moved; what was forgotten is the models' concern.
        const isForRecord = isForRecords && type !== MARK.forget && this.options.ownsPartition(effect.partition);
        if (isForRecord && type < MARK_TYPE_MIN && this.#replay(effect, position)) applied++;
        visit(effect, isForRecord);
      }
    });
    return applied;
  }

  #replay(effect: Effect, position: EntryPosition): boolean {
    const { record } = this;
    this.bindLogged(effect);
    if (effect.type === EFFECT.decision) this.watchLease(effect.getF64(DECISION.leaseExpiresAt));
    // By its place too: somebody of the same key who came after an erasure counts from 1 again.
    if (this.#isBehind(position)) return false;
    if (effect.type === EFFECT.erase) {
      this.forgetBound();
      return true;
    }
    if (effect.stateSeq <= record.stateSeq) return false;
    this.applyLogged(effect, position);
    if (effect.type === EFFECT.event && effect.u8[EVENT.owed] !== 0) this.#watchOwed();
    return true;
  }

  /** Whether the bound record holds what stands at or behind this place already: one stream writes about a person. */
  #isBehind({ epoch, batch, offset }: EntryPosition): boolean {
    const { record } = this;
    const recordEpoch = record.getU32(FIELD.journalEpoch);
    if (recordEpoch !== epoch) return recordEpoch > epoch;
    const recordBatch = record.getU32(FIELD.journalBatch);
    return recordBatch === batch ? record.getU32(FIELD.journalOffset) >= offset : recordBatch > batch;
  }

  /** Binds `record` to the profile of a journal entry, loading or creating it; its traits by the catalog in force. */
  bindLogged(effect: Effect): void {
    const { record } = this;
    const handle = this.profiles.find(effect.partition, effect.hashLow, effect.hashHigh);
    if (handle !== NO_HANDLE) record.bind(handle);
    else if (!this.#load(effect.partition, effect.hashLow, effect.hashHigh)) {
      const { catalog } = this.index;
      record.create(
        effect.partition,
        effect.hashLow,
        effect.hashHigh,
        effect.hashCheck,
        catalog.traits.length,
        catalog.traitSchemaHash,
        effect.at,
      );
    }
    this.#deriveTraits();
  }

  /** Applies a journal entry to the record bound to its profile; the ledger and the models are the caller's. */
  applyLogged(effect: Effect, position: EntryPosition): void {
    this.#isReplaying = true;
    applyEffect(this.record, effect, position, this);
    this.#isReplaying = false;
    if (effect.type === EFFECT.section) this.letters.noteBound();
    this.#markDirty();
  }

  /** Enters the bound record's lease into the wheel, so that it ends even if nobody asks for the profile again. */
  watchLease(expiresAt: number): void {
    this.wheel.add(expiresAt, this.record.partition, this.record.hashLow, this.record.hashHigh);
  }

  /** The bound record's leases end by this shard's timers, and their trials ripen by them. */
  leasesCame(): void {
    const { record } = this;
    for (let i = 0; i < record.leaseCount; i++) {
      const holding = record.leaseU8(i, LEASE.state) === LEASE_STATE.open ? HOLDING : LEASE_FLAG.holdsStock;
      if ((record.leaseU8(i, LEASE.flags) & holding) !== 0) this.watchLease(record.leaseF64(i, LEASE.expiresAt));
    }
    this.#watchOwed();
  }

  /** Leases and wakes of stored records that are not in memory, after a start: `bytes` is one stored record. */
  watchStored(bytes: Uint8Array): void {
    const record = migrateRecord(bytes);
    const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
    const partition = view.getUint8(FIELD.partition);
    const low = view.getUint32(FIELD.hashLow, true);
    const high = view.getUint32(FIELD.hashHigh, true);
    const count = view.getUint16(FIELD.leaseCount, true);
    const start = storedLeasesStart(record);
    let last = -1;
    for (let lease = start; lease < start + count * LEASE_BYTES; lease += LEASE_BYTES) {
      const flags = view.getUint8(lease + LEASE.flags);
      const isOpen = view.getUint8(lease + LEASE.state) === LEASE_STATE.open;
      if ((flags & (isOpen ? HOLDING : LEASE_FLAG.holdsStock)) !== 0)
        this.wheel.add(view.getFloat64(lease + LEASE.expiresAt, true), partition, low, high);
      // A trial that ripens: one hint a decision.
      const decisionSeq = view.getUint32(lease + LEASE.decisionSeq, true);
      if (view.getUint8(lease + LEASE.owed) === 0 || decisionSeq === last) continue;
      last = decisionSeq;
      const packed = (partition | ((decisionSeq & HINT_SEQ_MASK) << 8)) >>> 0;
      this.ripening.add(view.getFloat64(lease + LEASE.at, true), packed, low, high);
    }
    const recordFlags = view.getUint16(FIELD.flags, true);
    const hashCheck = view.getUint32(FIELD.hashCheck, true);
    if ((recordFlags & RECORD_FLAG.letters) !== 0)
      this.letters.note({ partition, hashLow: low, hashHigh: high, hashCheck });
    if ((recordFlags & RECORD_FLAG.wakes) === 0) return;
    const end = storedMomentsStart(record) + view.getUint16(FIELD.momentCount, true) * MOMENT_BYTES;
    for (let moment = storedMomentsStart(record); moment < end; moment += MOMENT_BYTES) {
      if (view.getUint8(moment + 20) === STANDING.wake)
        this.wakes.watch(view.getFloat64(moment, true), partition, low, high);
    }
  }

  /** Number of leases of the bound record that hold something. */
  holdingLeases(): number {
    const { record } = this;
    let count = 0;
    for (let i = 0; i < record.leaseCount; i++) {
      const flags = record.leaseU8(i, LEASE.flags);
      const holds =
        record.leaseU8(i, LEASE.state) === LEASE_STATE.open ? flags & HOLDING : flags & LEASE_FLAG.holdsStock;
      if (holds !== 0) count++;
    }
    return count;
  }
}

/** Stands for a profile in logs: partition and keyed hash, never the key. */
function nameOf(partition: number, low: number, high: number): string {
  return `${partition}/${high.toString(16).padStart(8, '0')}${low.toString(16).padStart(8, '0')}`;
}

/** Two words of a caller's text (a message id), for the record's ring. */
export function textWords(text: string, out: Uint32Array): void {
  out[0] = murmur3Text(text, 0x6d657373);
  out[1] = murmur3Text(text, 0x69642121);
}
