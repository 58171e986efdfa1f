/**
 * Reads a whole store and says what in it is not as it was written: every value's checksum, every key, the
 * number of entries LMDB believes in, the log's entries against each other, and the records, leases and shares
 * of budgets against the log. It changes nothing and goes on after a finding.
 *
 *   values ─▸ seals, keys, order, counts ─▸ log: each entry names the one before it of the same person
 *                                              ├─▸ records: as far as the checkpoints say, and never ahead
 *                                              └─▸ `ledger-audit.ts`: granted = confirmed + released + expired + open
 *
 * A store whose pages are damaged can end the process that reads it, so `store-reader.ts` runs this in one of its
 * own. Beside a running node only values are checked: between two reads the log moves on. Memory: about 200 bytes
 * a person in the log.
 */
import { EFFECT, Effect, JOIN, MARK_TYPE_MIN } from '../../actors/effect.ts';
import { MARK } from '../../actors/journal-marks.ts';
import { FIELD, RECORD_MARKER } from '../../actors/record-layout.ts';
import { type JournalPosition, STORE_KEY_BYTES } from '../../actors/store.ts';
import { basePositions, isAfter, readBase, readCheckpoint } from '../recovery.ts';
import { StoreEnvironment, type StoreTable } from '../store/environment.ts';
import { decodeJournalKey, JournalCoverage } from '../store/journal-key.ts';
import { journalBatches } from '../store/journal-scan.ts';
import { checkSeal } from '../store/sealed-value.ts';
import { LedgerAudit, type LedgerTotals } from './ledger-audit.ts';

const CHUNK_PAIRS = 256;
const KEY_ORDER_START = Uint8Array.of(0);
/** After so many findings of one kind the rest is only counted: a lost disk should not print a line a record. */
export const FINDINGS_A_KIND_MAX = 20;

/** What is wrong, where, and what to do: each a sentence or less. */
export interface Finding {
  readonly kind: 'value' | 'key' | 'count' | 'structure' | 'log' | 'record' | 'ledger' | 'file';
  readonly what: string;
  readonly where: string;
  readonly advice: string;
}

export interface StoreTotals {
  records: number;
  coldRecords: number;
  values: number;
  batches: number;
  entries: number;
  people: number;
  /** Null where the log was not compared: beside a running node, or behind a damaged batch. */
  ledger: LedgerTotals | null;
  findings: number;
}

export interface VerifyOptions {
  /** `<data>/store` */
  readonly storePath: string;
  /** Whether a node may be writing: then only values are checked. */
  readonly isLive: boolean;
  onFinding(finding: Finding): void;
  onProgress(done: number, total: number): void;
}

interface Person {
  /** First entry of the person in the log. */
  readonly firstSeq: number;
  seq: number;
  at: EntryAt;
}

interface EntryAt extends JournalPosition {
  readonly offset: number;
}

const RESTORE = 'restore the newest backup that verifies (opportune restore)';

/** Throws StoreError where the store cannot be opened at all. */
export async function verifyStore(options: VerifyOptions): Promise<StoreTotals> {
  const environment = StoreEnvironment.open({ path: options.storePath, isReadOnly: true });
  try {
    return new StoreVerifier(environment, options).run();
  } finally {
    await environment.close();
  }
}

class StoreVerifier {
  readonly #store: StoreEnvironment;
  readonly #options: VerifyOptions;
  readonly #totals: StoreTotals = {
    records: 0,
    coldRecords: 0,
    values: 0,
    batches: 0,
    entries: 0,
    people: 0,
    ledger: null,
    findings: 0,
  };
  readonly #countByKind = new Map<string, number>();
  #done = 0;
  #total = 0;

  constructor(store: StoreEnvironment, options: VerifyOptions) {
    this.#store = store;
    this.#options = options;
  }

  run(): StoreTotals {
    const { records, cold, journal, meta, models } = this.#store;
    const databases = [records, cold, journal, meta, models];
    this.#total = databases.reduce((sum, database) => sum + database.entryCount(), 0);
    for (const database of databases) {
      try {
        this.#checkValues(database);
      } catch (error) {
        this.#found('structure', messageOf(error), `database "${database.name}"`, RESTORE);
      }
    }
    this.#totals.records = records.entryCount();
    this.#totals.coldRecords = cold.entryCount();
    if (!this.#options.isLive) this.#checkLog();
    return this.#totals;
  }

  /** Where entries of erased people stood. */
  readonly #erased = new Set<string>();

  // ── values ─────────────────────────────────────────────────────────────────────────────────────

  #checkValues(database: StoreTable): void {
    const expected = database.entryCount();
    let count = 0;
    let from: Uint8Array = KEY_ORDER_START;
    let last: Uint8Array | undefined;
    for (;;) {
      const pairs = database.pairs(from, undefined, CHUNK_PAIRS);
      for (const { key, sealed } of pairs) {
        count++;
        this.#checkPair(database.name, key, sealed, last);
        last = key;
      }
      this.#progress(pairs.length);
      if (pairs.length < CHUNK_PAIRS || last === undefined) break;
      from = Buffer.concat([last, Buffer.of(0)]);
    }
    this.#totals.values += count;
    if (count !== expected && !this.#options.isLive)
      this.#found(
        'count',
        `${count} entries found, ${expected} counted when written`,
        `database "${database.name}"`,
        RESTORE,
      );
  }

  #checkPair(name: string, key: Uint8Array, sealed: Uint8Array, before: Uint8Array | undefined): void {
    const where = `database "${name}", key ${hexOf(key)}`;
    if (before !== undefined && Buffer.compare(before, key) >= 0)
      this.#found('key', 'the key is out of order: searches miss what is behind it', where, RESTORE);
    let length: number;
    try {
      length = checkSeal(sealed, name, key);
    } catch {
      this.#found('value', 'the value does not match its checksum', where, RESTORE);
      return;
    }
    if (name === 'records') this.#checkRecord(key, sealed.subarray(0, length), where);
    else if (name === 'cold' && key.length !== STORE_KEY_BYTES)
      this.#found('key', 'not a key of a person', where, RESTORE);
    else if (name === 'journal' && decodeJournalKey(key) === undefined)
      this.#found('key', 'not a key of the log', where, RESTORE);
  }

  /** A record says itself whose it is: under another key it would be given to somebody else. */
  #checkRecord(key: Uint8Array, record: Uint8Array, where: string): void {
    const view = viewOf(record);
    const names = viewOf(key);
    const isOurs =
      key.length === STORE_KEY_BYTES &&
      record.length > FIELD.partition &&
      view.getUint32(FIELD.marker, true) === RECORD_MARKER &&
      view.getUint32(FIELD.hashHigh, true) === names.getUint32(3) &&
      view.getUint32(FIELD.hashLow, true) === names.getUint32(7) &&
      view.getUint8(FIELD.partition) === names.getUint8(2) &&
      view.getUint16(FIELD.tenant, true) === names.getUint16(0);
    if (!isOurs) this.#found('key', 'the record is not that of the person its key names', where, RESTORE);
  }

  // ── the log ────────────────────────────────────────────────────────────────────────────────────

  #checkLog(): void {
    const named = { getMeta: (name: string) => this.#store.meta.get(Buffer.from(name)) };
    const people = new Map<string, Person>();
    const audit = new LedgerAudit();
    let base: JournalPosition[];
    try {
      const known = readBase(named);
      base = basePositions(named, known);
      const shares = base.map(({ epoch, stream }) => readCheckpoint(named, epoch, stream)?.ledger ?? []);
      audit.expectShares(shares.flat());
      this.#readLog(base, people, audit);
    } catch (error) {
      // The damaged value has been told already; nothing beyond it can be compared.
      this.#found('log', `not compared with records and budgets: ${messageOf(error)}`, 'the log', RESTORE);
      return;
    }
    this.#totals.people = people.size;
    let found = 0;
    for (const [name, person] of people) if (this.#checkPerson(name, person, base, audit)) found++;
    // Somebody of whom the log has nothing any more.
    if (found < this.#totals.records) audit.beginsLate();
    this.#totals.ledger = audit.end((subject, what) =>
      this.#found(
        'ledger',
        what,
        subject,
        'budgets may be used more or less than they say; restore a backup, or correct the budget in the catalog',
      ),
    );
  }

  #readLog(base: readonly JournalPosition[], people: Map<string, Person>, audit: LedgerAudit): void {
    const effect = new Effect();
    const firstBatches = new Map<string, number>();
    const coverage = new JournalCoverage(base);
    for (const { epoch, stream, batch, bytes } of journalBatches(this.#store.journal, [])) {
      this.#totals.batches++;
      const slot = `${epoch}.${stream}`;
      if (!firstBatches.has(slot)) firstBatches.set(slot, batch);
      const isInBase = batch < coverage.firstBatch(epoch, stream);
      for (let offset = 0, next = effect.load(bytes, 0); next >= 0; offset = next, next = effect.load(bytes, next)) {
        this.#totals.entries++;
        const at = { epoch, stream, batch, offset };
        if (effect.type === MARK.erased) {
          this.#erased.add(textOf(at));
          audit.takeErased(effect, isInBase);
        }
        if (effect.type >= MARK_TYPE_MIN) continue;
        const name = personOf(effect);
        const person = people.get(name);
        this.#checkChain(effect, at, person, base, firstBatches);
        const firstSeq = effect.u32[8] === 0 ? 1 : effect.stateSeq;
        if (person === undefined) people.set(name, { firstSeq, seq: effect.stateSeq, at });
        else {
          person.seq = effect.stateSeq;
          person.at = at;
        }
        if (effect.type === EFFECT.join || effect.type === EFFECT.unjoin)
          audit.join(name, otherOf(effect), effect.type === EFFECT.join);
        audit.take(name, effect, isInBase, person?.firstSeq ?? firstSeq);
        // Whoever comes under the same key afterwards is somebody new, from number 1 on.
        if (effect.type === EFFECT.erase) people.delete(name);
      }
    }
  }

  /** An entry names the one before it of the same person: what is missing between two shows. */
  #checkChain(
    effect: Effect,
    at: EntryAt,
    person: Person | undefined,
    base: readonly JournalPosition[],
    firstBatches: ReadonlyMap<string, number>,
  ): void {
    const before = {
      epoch: effect.u32[8] ?? 0,
      stream: effect.u32[9] ?? 0,
      batch: effect.u32[10] ?? 0,
      offset: effect.u32[11] ?? 0,
    };
    // What stood before it is blank: an erasure is under way.
    if (person === undefined && this.#erased.has(textOf(before))) return;
    // Two people's numbers go on from the higher when they turn out to be one.
    const isJoin = effect.type === EFFECT.join;
    if (person !== undefined) {
      const follows = isJoin ? effect.stateSeq > person.seq : effect.stateSeq === person.seq + 1;
      if (isSame(person.at, before) && follows) return;
    } else if (before.epoch === 0) {
      if (effect.stateSeq === 1 || isJoin) return;
    } else if (!isAfter(base, before)) {
      // Trimmed, which takes the oldest batches of a stream and only those the checkpoints no longer need.
      const first = firstBatches.get(`${before.epoch}.${before.stream}`);
      if (first === undefined || before.batch < first) return;
    }
    const what = `the entry before it is missing: it follows ${textOf(before)} and is number ${effect.stateSeq} of its person`;
    this.#found(
      'log',
      person === undefined ? what : `${what}, of whom number ${person.seq} at ${textOf(person.at)} is the last`,
      `log entry ${textOf(at)}`,
      RESTORE,
    );
  }

  // ── records against the log ────────────────────────────────────────────────────────────────────

  /** Whether there is a record. */
  #checkPerson(name: string, person: Person, base: readonly JournalPosition[], audit: LedgerAudit): boolean {
    const key = Buffer.from(name, 'hex');
    const where = `record ${name}, log entry ${textOf(person.at)}`;
    let record: Uint8Array | undefined;
    try {
      record = this.#store.records.get(key);
    } catch {
      return true; // a damaged value, told already
    }
    if (record === undefined) {
      if (base.length > 0 && !isAfter(base, person.at))
        this.#found('record', 'the record is missing, and the checkpoints say that it is there', where, RESTORE);
      return false;
    }
    const seq = viewOf(record).getUint32(FIELD.stateSeq, true);
    if (seq > person.seq)
      this.#found(
        'record',
        `the record is at ${seq}, and the log ends at ${person.seq}: entries of the log are lost`,
        where,
        RESTORE,
      );
    else if (seq < person.seq && base.length > 0 && !isAfter(base, person.at))
      this.#found(
        'record',
        `the record is at ${seq}, and the checkpoints say that it holds ${person.seq}`,
        where,
        RESTORE,
      );
    else if (seq === person.seq && person.firstSeq === 1) {
      const difference = audit.leasesDiffer(name, record);
      if (difference !== undefined) this.#found('ledger', difference, where, RESTORE);
    }
    return true;
  }

  // ── saying so ──────────────────────────────────────────────────────────────────────────────────

  #found(kind: Finding['kind'], what: string, where: string, advice: string): void {
    this.#totals.findings++;
    const count = (this.#countByKind.get(kind) ?? 0) + 1;
    this.#countByKind.set(kind, count);
    if (count <= FINDINGS_A_KIND_MAX) this.#options.onFinding({ kind, what, where, advice });
  }

  #progress(count: number): void {
    this.#done += count;
    this.#options.onProgress(this.#done, Math.max(this.#done, this.#total));
  }
}

/** Tenant, partition and hash as the store's key, in hex. */
function personOf(effect: Effect): string {
  const hash = effect.hashHigh.toString(16).padStart(8, '0') + effect.hashLow.toString(16).padStart(8, '0');
  return `0000${effect.partition.toString(16).padStart(2, '0')}${hash}`;
}

/** The other profile of a joining or an unjoining. */
function otherOf(effect: Effect): string {
  const hex = (word: number): string => word.toString(16).padStart(8, '0');
  const hash = hex(effect.getU32(JOIN.high)) + hex(effect.getU32(JOIN.low));
  return `0000${effect.getU32(JOIN.partition).toString(16).padStart(2, '0')}${hash}`;
}

function isSame(a: EntryAt, b: EntryAt): boolean {
  return a.epoch === b.epoch && a.stream === b.stream && a.batch === b.batch && a.offset === b.offset;
}

function textOf({ epoch, stream, batch, offset }: EntryAt): string {
  return `${epoch}.${stream}.${batch}+${offset}`;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
