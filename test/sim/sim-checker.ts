/**
 * The checker beside the node: what every entry and every answer promised, in a model of its own, and whether that
 * still holds after each step. It sees three things: each journal entry as it is appended, which batches reached the
 * disk, and each answer as a client gets it. After a crash or a failed write it folds what is on disk again and holds
 * the workers' memory against it.
 *
 *   appended ─▸ ModelProfile.apply ─▸ caps, quotes, refusals, once, sequence      answers ─▸ promises of each reply
 *   landed   ─▸ on disk since step n                                              readBack ─▸ fold again, compare
 *
 * The first violation is kept and nothing is thrown: the production code would catch it.
 */
import { keyHash } from '../../actors/key-hash.ts';
import { LEASE } from '../../actors/record-layout.ts';
import { partitionOfKey } from '../../proto/partition.ts';
import { LEDGER_SLOTS } from '../../workers/shared-ledger.ts';
import { type DecisionEntry, type JournalEntry, type JournalledBatch, readEntry } from './journal-entry.ts';
import { ModelDevices } from './model-device.ts';
import { INVARIANT, type Invariant, type ModelLease, ModelProfile, SUBJECT_COUNT } from './model-profile.ts';
import { channelHash, SIM_DEVICES, SIM_SUBJECTS } from './sim-catalog.ts';
import { SIM_SECRET, type SimNode, type SimWorker } from './sim-node.ts';
import type { SimTime } from './sim-time.ts';

export interface Violation {
  readonly invariant: Invariant;
  readonly message: string;
  readonly step: number;
}

/** How a message was sent: for the order of a profile. */
export interface SentMessage {
  connection: number;
  index: number;
  attempts: number;
}

/** A person, the log of what was journalled about them, and what clients were told for good. */
export interface Person {
  readonly key: string;
  model: ModelProfile;
  log: JournalEntry[];
  /** The largest state sequence that a client was told is on disk. */
  committedSeq: number;
  /** The last step in which something of this person's was lost, as the journal allows. */
  rollbackStep: number;
  /** By connection: index of the last message applied that was sent once. */
  readonly lastSent: Map<number, number>;
}

const KIND_OF_STATE = ['', 'open', 'confirmed', 'released', 'expired'] as const;
/** A lease may stand this long beyond its end while the node is up, on both clocks. */
const LEASE_GRACE_MILLIS = 2_500;
/** Quadrature of two probabilities. */
const PROPENSITY_TOLERANCE = 1e-4;
/** The channel that closes for everything when enough went over it. */
const CAPPED_CHANNEL = channelHash('push');

export class SimChecker {
  violation: Violation | null = null;
  step = 0;
  readonly people: readonly Person[];
  /** By message. */
  readonly sent = new Map<number, SentMessage>();
  /** Since when all workers are up and can write, and the wall clock did not jump; micros. */
  calmSinceMicros = 0;
  entriesChecked = 0;
  answersChecked = 0;
  propensitySumsChecked = 0;
  readonly #time: SimTime;
  readonly #byHash = new Map<number, Person>();
  readonly #devices: ModelDevices;
  readonly #batches = new Map<string, JournalledBatch>();
  #lastBatch: JournalledBatch | null = null;
  readonly #held = new Float64Array(SUBJECT_COUNT);
  readonly #spent = new Float64Array(SUBJECT_COUNT);
  #isLedgerTouched = false;
  /** Draws of one question in one step: for the sum of propensities. */
  readonly #draws = new Map<string, Map<number, number>>();

  constructor(time: SimTime, profileKeys: readonly string[]) {
    this.#time = time;
    const hash = new Uint32Array(3);
    const encoder = new TextEncoder();
    this.people = profileKeys.map((key) => {
      const bytes = encoder.encode(key);
      keyHash(bytes, 0, bytes.length, SIM_SECRET.hashSeeds, hash);
      const model = new ModelProfile(key, partitionOfKey(key), hash[0] as number, hash[1] as number);
      const person: Person = { key, model, log: [], committedSeq: 0, rollbackStep: -1, lastSent: new Map() };
      this.#byHash.set(model.low, person);
      return person;
    });
    const hashes = this.people.map(({ model }) => model);
    const isKnown = (low: number): boolean => (this.#byHash.get(low)?.model.seq ?? 0) > 0;
    this.#devices = new ModelDevices(SIM_DEVICES, hashes, isKnown, this.report);
  }

  readonly report = (invariant: Invariant, message: string): void => {
    this.violation ??= { invariant, message, step: this.step };
  };

  // ── the journal ────────────────────────────────────────────────────────────────────────────────

  appended(epoch: number, stream: number, number: number, bytes: Uint8Array, start: number): void {
    const batch = this.#batchOf(epoch, stream, number);
    const entry = readEntry(bytes, start, batch, this.step);
    // Something may have been learnt between two draws.
    if (entry?.type !== 'decision' && this.#draws.size > 0) this.#draws.clear();
    if (entry === null) return;
    if (this.#devices.appended(entry, this.#time.nowMicros)) return;
    const person = this.#byHash.get(entry.low);
    if (person === undefined || person.model.high !== entry.high) {
      this.report(INVARIANT.recovered, `an entry about a profile nobody asked for: ${entry.low}/${entry.high}`);
      return;
    }
    this.entriesChecked++;
    person.log.push(entry);
    this.#fold(person, entry, this.report);
    if (entry.type === 'event') this.#devices.happened(entry, this.partsOf(person));
    if (entry.type === 'event' && entry.message >= 0) this.#checkOrder(person, entry.message);
    if (entry.type !== 'decision') return;
    this.#checkDraw(person, entry);
    if (entry.holdsStock) this.#checkStock(person);
  }

  #batchOf(epoch: number, stream: number, number: number): JournalledBatch {
    const last = this.#lastBatch;
    if (last !== null && last.number === number && last.stream === stream && last.epoch === epoch) return last;
    const name = `${epoch}:${stream}:${number}`;
    let batch = this.#batches.get(name);
    if (batch === undefined) {
      batch = { epoch, stream, number, isLanded: false, landedStep: Number.POSITIVE_INFINITY };
      this.#batches.set(name, batch);
    }
    this.#lastBatch = batch;
    return batch;
  }

  #fold(person: Person, entry: JournalEntry, report: typeof this.report): void {
    const { model } = person;
    this.#count(model, -1);
    model.apply(entry, report, this.#modelOf);
    this.#count(model, 1);
    if (entry.type === 'join') this.#noteTaken();
    this.#isLedgerTouched = true;
  }

  readonly #modelOf = (low: number): ModelProfile | undefined => this.#byHash.get(low)?.model;

  /** Who is part of whom: what they hold is counted there. */
  #noteTaken(): void {
    const taken = new Set(this.people.flatMap(({ model }) => [...model.joined.keys()]));
    for (const { model } of this.people) {
      const isTaken = taken.has(model.low);
      if (isTaken === model.isTaken) continue;
      this.#count(model, -1);
      model.isTaken = isTaken;
      this.#count(model, 1);
    }
  }

  /** The person a profile is part of by now; itself while it is nobody's. */
  rootOf(person: Person): Person {
    let at = person;
    for (let steps = 0; steps < this.people.length; steps++) {
      const next = at.model.movedTo === null ? undefined : this.#byHash.get(at.model.movedTo);
      if (next === undefined) return at;
      at = next;
    }
    return person;
  }

  /** Whoever has what the person had: on the way to the root, the last that has taken them. */
  holderOf(person: Person): Person {
    let holder = person;
    for (let at = person, steps = 0; steps < this.people.length; steps++) {
      const next = at.model.movedTo === null ? undefined : this.#byHash.get(at.model.movedTo);
      if (next === undefined) break;
      if (next.model.joined.has(person.model.low)) holder = next;
      at = next;
    }
    return holder;
  }

  /** Who may have answered for a person: they first, then everybody who is part of the same one, or on the way to it. */
  partsOf(person: Person): readonly Person[] {
    const parts = new Set([person]);
    for (let before = 0; before < parts.size; ) {
      before = parts.size;
      for (const other of this.people) {
        const next = other.model.movedTo === null ? undefined : this.#byHash.get(other.model.movedTo);
        if (next === undefined || parts.has(other) === parts.has(next)) continue;
        parts.add(other);
        parts.add(next);
      }
    }
    return [...parts];
  }

  /** By the low word of the hash, as a decision id has it. */
  personOf(low: number): Person | undefined {
    return this.#byHash.get(low);
  }

  #count(model: ModelProfile, sign: number): void {
    for (let i = 0; i < SUBJECT_COUNT; i++) {
      if (!model.isTaken) this.#held[i] = (this.#held[i] as number) + sign * (model.held[i] as number); // i < SUBJECT_COUNT
      this.#spent[i] = (this.#spent[i] as number) + sign * (model.spent[i] as number); // likewise
    }
  }

  landed(keys: readonly Uint8Array[]): void {
    for (const key of keys) {
      const view = new DataView(key.buffer, key.byteOffset, key.length);
      const batch = this.#batchOf(view.getUint32(0), view.getUint16(4), view.getUint32(6));
      if (batch.isLanded) continue;
      batch.isLanded = true;
      batch.landedStep = this.step;
    }
  }

  /** What this stream had not on disk is gone for good. */
  workerDied(epoch: number, stream: number): void {
    this.#forgetLost((batch) => batch.epoch === epoch && batch.stream === stream);
  }

  #forgetLost(isOf: (batch: JournalledBatch) => boolean): void {
    for (const person of this.people) {
      const kept = person.log.filter(({ batch }) => batch.isLanded || !isOf(batch));
      if (kept.length !== person.log.length) {
        person.log = kept;
        person.rollbackStep = this.step;
      }
    }
    this.#devices.forgetLost(isOf);
    for (const [name, batch] of this.#batches) if (!batch.isLanded && isOf(batch)) this.#batches.delete(name);
    this.#lastBatch = null;
  }

  /** The worker's memory was read from disk: fold what is on disk again, and compare. */
  readBack(worker: SimWorker, node: SimNode): void {
    if (!worker.isReadOnly) this.#forgetLost(({ epoch, stream }) => epoch === node.epoch && stream === worker.index);
    for (const person of this.people) {
      const before = person.model;
      if (node.owners[before.partition] !== worker.index) continue;
      const model = new ModelProfile(person.key, before.partition, before.low, before.high);
      // What was said against an entry was said when it came.
      for (const entry of person.log) if (entry.batch.isLanded) model.apply(entry, IGNORE, this.#modelOf);
      this.#count(before, -1);
      this.#count(model, 1);
      person.model = model;
      person.lastSent.clear();
      if (model.seq < before.seq) person.rollbackStep = this.step;
      if (model.seq < person.committedSeq && model.movedTo === null) {
        this.report(
          INVARIANT.acknowledged,
          `${person.key}: a client saw ${person.committedSeq} committed, the disk has ${model.seq}`,
        );
      }
    }
    this.#devices.readBack(worker, node);
    this.#noteTaken();
    this.#isLedgerTouched = true;
  }

  /** A unit is only promised while there is one. */
  #checkStock(person: Person): void {
    const index = SUBJECT_COUNT - 1;
    const taken = (this.#held[index] as number) + (this.#spent[index] as number); // the last subject is the stock
    const limit = SIM_SUBJECTS[index]?.limit ?? 0;
    if (taken > limit) this.report(INVARIANT.limit, `${person.key}: unit ${taken} of a stock of ${limit} is promised`);
  }

  #checkOrder(person: Person, message: number): void {
    const sent = this.sent.get(message);
    // Those sent under two keys have no order between them.
    if (sent === undefined || sent.attempts !== 1 || person.model.joined.size > 0) return;
    const last = person.lastSent.get(sent.connection) ?? -1;
    if (sent.index < last) {
      this.report(
        INVARIANT.order,
        `${person.key}: message ${sent.index} of connection ${sent.connection} comes after ${last}`,
      );
    }
    person.lastSent.set(sent.connection, sent.index);
  }

  /** One question asked twice in one step, with nothing learnt between, shows two probabilities of one draw. */
  #checkDraw(person: Person, entry: DecisionEntry): void {
    const { allowedCount, wanted, chosen } = entry;
    const [first] = chosen;
    if (first === undefined) return;
    if (allowedCount <= wanted) {
      for (const one of chosen) {
        if (one.propensity !== 1)
          this.report(
            INVARIANT.propensity,
            `${person.key}: all ${allowedCount} are given, with propensity ${one.propensity}`,
          );
      }
      return;
    }
    if (wanted !== 1 || allowedCount !== 2) return;
    const question = `${person.key} ${entry.question}`;
    let draws = this.#draws.get(question);
    if (draws === undefined) {
      draws = new Map();
      this.#draws.set(question, draws);
    }
    draws.set(first.action, first.propensity);
    // It may have used up the channel's cap: what is asked after it is another question.
    if (first.channel === CAPPED_CHANNEL) this.#draws.delete(question);
    if (draws.size < 2) return;
    this.propensitySumsChecked++;
    let sum = 0;
    for (const propensity of draws.values()) sum += propensity;
    if (Math.abs(sum - 1) > PROPENSITY_TOLERANCE) {
      this.report(INVARIANT.propensity, `${person.key}: the propensities of two allowed actions sum to ${sum}`);
    }
  }

  // ── after each step ────────────────────────────────────────────────────────────────────────────

  afterStep(node: SimNode): void {
    if (this.#draws.size > 0) this.#draws.clear();
    if (!this.#isLedgerTouched || !node.isUp) return;
    this.#isLedgerTouched = false;
    for (const worker of node.workers) if (worker?.isReadOnly === true) return;
    this.#checkLedger(node);
  }

  /** Whether the shared ledger says of each budget and stock what the leases add up to. */
  #checkLedger({ ledgerMemory, shards, workers }: SimNode): void {
    const words = new BigInt64Array(ledgerMemory.limitAndTaken);
    const own = new Float64Array(ledgerMemory.own);
    SIM_SUBJECTS.forEach(({ subjectHash, slot, limit }, index) => {
      let held = 0;
      // Given back by leases that ended, and held until that is on disk.
      let givenBack = 0;
      for (const worker of workers) givenBack += worker?.ledger.givenBackAmount(subjectHash) ?? 0;
      let spent = 0;
      for (let shard = 0; shard < shards; shard++) {
        held += own[LEDGER_SLOTS * 2 * shard + slot * 2] as number; // within its shard's columns
        spent += own[LEDGER_SLOTS * 2 * shard + slot * 2 + 1] as number; // likewise
      }
      const taken = Number(words[slot * 2 + 1]);
      if (held - givenBack !== this.#held[index] || spent !== this.#spent[index] || taken !== held + spent) {
        this.report(
          INVARIANT.ledger,
          `subject ${index}: the ledger has ${held} held (${givenBack} given back), ${spent} spent, ${taken} taken; the leases ${this.#held[index]} and ${this.#spent[index]}`,
        );
      }
      // A purchase without a lease is a fact and may take more than there is; nothing else may.
      const isBudget = index < SIM_SUBJECTS.length - 1;
      if (isBudget && taken > limit) this.report(INVARIANT.limit, `subject ${index}: ${taken} taken of ${limit}`);
      if (held < 0 || spent < 0) this.report(INVARIANT.ledger, `subject ${index}: ${held} held, ${spent} spent`);
    });
  }

  /** Holds the memory of a worker against the model, record by record. Call between steps. */
  compare(worker: SimWorker, node: SimNode): void {
    this.#devices.compare(worker, node);
    const { runtime } = worker.shard;
    const { record } = runtime;
    for (const { key, model } of this.people) {
      if (node.owners[model.partition] !== worker.index) continue;
      const isKnown = runtime.openKnown(model.partition, model.low, model.high);
      const seq = isKnown ? record.stateSeq : 0;
      if (seq !== model.seq) {
        this.report(INVARIANT.recovered, `${key}: memory is at ${seq}, the journal at ${model.seq}`);
        return;
      }
      if (isKnown) this.#compareRecord(key, model, worker);
    }
  }

  #compareRecord(key: string, model: ModelProfile, { shard }: SimWorker): void {
    const { record } = shard.runtime;
    const differs = (what: string): void => this.report(INVARIANT.recovered, `${key} at ${model.seq}: ${what}`);
    if (record.decisionSeq !== model.decisionSeq) differs(`decision ${record.decisionSeq}, not ${model.decisionSeq}`);
    let open = 0;
    for (let i = 0; i < record.leaseCount; i++) {
      const decisionSeq = record.leaseU32(i, LEASE.decisionSeq);
      const action = record.leaseU32(i, LEASE.actionHash);
      const state = KIND_OF_STATE[record.leaseU8(i, LEASE.state)];
      if (state === 'open') open++;
      const lease = model.leases.find((one) => one.decisionSeq === decisionSeq && one.action === action);
      if (lease === undefined) {
        // The model forgets ended leases too, in its own time.
        if (state === 'open') differs(`an open lease of decision ${decisionSeq} that nobody granted`);
      } else if (lease.state !== state) differs(`the lease of decision ${decisionSeq} is ${state}, not ${lease.state}`);
    }
    const holding = model.leases.filter((lease) => lease.state === 'open').length;
    // Leases that hold nothing may give way to newer ones.
    if (open > holding) differs(`${open} open leases, not ${holding}`);
    // Two rings together may be more than one holds.
    const isKept = model.joined.size === 0 || model.messages.size < 900;
    for (const message of model.messages.values()) {
      if (!isKept || message.seq + 900 < model.seq) continue;
      if (!this.#knows(record, message.message)) {
        differs(`message of ${message.seq} is not known`);
        return;
      }
    }
  }

  #knows(record: SimWorker['shard']['runtime']['record'], message: number): boolean {
    const words = this.messageWords.get(message);
    return words === undefined || record.hasMessage(words[0], words[1]);
  }
  /** By message: the two words the record keeps. */
  readonly messageWords = new Map<number, readonly [number, number]>();

  /** No lease that holds something stands beyond its end while the node is well. */
  checkLeaseEnds(node: SimNode): void {
    const isCalm = this.#time.nowMicros - this.calmSinceMicros > LEASE_GRACE_MILLIS * 1000;
    if (!isCalm || !node.isUp || node.isStopping) return;
    for (const worker of node.workers) if (worker?.isReadOnly === true) return;
    this.#devices.checkTold(this.#time.nowMicros, this.calmSinceMicros);
    const before = this.#time.wallMillis - LEASE_GRACE_MILLIS;
    for (const { key, model } of this.people) {
      // What a signpost held is held by the person it points to.
      for (const lease of model.movedTo === null ? model.leases : []) {
        if (Math.max(lease.expiresAt, lease.takenAt ?? 0) >= before || !holdsSomething(lease)) continue;
        this.report(
          INVARIANT.lease,
          `${key}: the lease of decision ${lease.decisionSeq} holds on ${this.#time.wallMillis - lease.expiresAt} ms beyond its end (${lease.state}, ${lease.budgetMinor} of a budget, stock ${lease.holdsStock})`,
        );
        return;
      }
    }
  }
}

function holdsSomething(lease: ModelLease): boolean {
  return lease.holdsStock || (lease.state === 'open' && lease.budgetMinor > 0);
}
function IGNORE(): void {}
