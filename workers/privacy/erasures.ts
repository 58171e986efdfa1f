/**
 * Erases people from one shard: at once what answers and rules can see, then, a slice at a time between turns, what
 * the journal and the models hold of them.
 *
 *   ask ─▸ erase entry: record, cold record, leases gone      one batch: all or nothing
 *       ─▸ keys of sensitive traits overwritten
 *       ─▸ lessons taken back, a `forget` mark a slice        newest first, each slice in one batch with its note
 *       ─▸ a model snapshot behind the last mark is on disk
 *       ─▸ entries blanked, oldest first                      ─▸ receipt signed, note gone
 *
 * Where it stands is a note in the store, by partition, written in the batch of the step: a start that finds one goes
 * on there, so each step is done exactly once however often the node is killed. Entries are blanked only when no start
 * can need them any more to teach the models. Traded away: a receipt is final some seconds after the person is gone.
 */
import type { ActorRuntime } from '../../actors/actor-runtime.ts';
import type { EntryPosition } from '../../actors/apply-effect.ts';
import { EFFECT, type Effect, EVENT, TEACHING } from '../../actors/effect.ts';
import { isMoved, joinedHash, joinedKeys, joinedName, type Signpost } from '../../actors/identity.ts';
import { FORGET_MARK, type JournalMarks } from '../../actors/journal-marks.ts';
import { PersonChain } from '../../actors/person-chain.ts';
import type { Signer } from '../../actors/ports.ts';
import type { PersonHash, TraitSealer } from '../../actors/sealed-trait.ts';
import type { JournalPosition } from '../../actors/store.ts';
import { PARTITION_COUNT } from '../../proto/limits.ts';
import type { Request } from '../../proto/request.ts';
import { FAULT, type Fault } from '../../proto/statuses.ts';
import { isAfter } from '../recovery.ts';
import type { ShardModels } from '../shard-models.ts';
import type { ShardStore } from '../store/shard-store.ts';
import {
  type ErasureCounts,
  type ErasureReceipt,
  NOTHING_REMOVED,
  REMAINS,
  receiptPerson,
  signReceipt,
} from './erasure-receipt.ts';

/** A slice reads so many entries: about a millisecond. */
const ENTRIES_A_SLICE = 32;
const BLANKED_A_TRANSACTION = 64;
/** A snapshot is asked for again after so many ticks of 100 ms. */
const SNAPSHOT_TICKS = 10;

/** The shards of joined keys are asked again after so many. */
const KEY_TICKS = 10;

/** Where one erasure stands, as it is noted. */
interface Note {
  readonly id: string;
  readonly person: string;
  readonly atEpochMillis: number;
  /** Whose records they were. */
  readonly people: readonly Signpost[];
  /** Erase entries of all records the person had, the newest of their chains. */
  readonly heads: readonly EntryPosition[];
  /** Of the chain that is being taken back: the next entry; null when all are. */
  cursor: EntryPosition | null;
  /** Place of that chain among the heads. */
  chain: number;
  /** The last batch in which lessons were taken back; null where there was nothing to. */
  forgotIn: JournalPosition | null;
  keyIds: readonly string[];
  /** Keys that were joined with this one's and still have something of the person. */
  keys: readonly Signpost[];
  readonly counts: ErasureCounts;
}

export interface ErasuresOptions {
  readonly runtime: ActorRuntime;
  readonly models: ShardModels;
  readonly store: ShardStore;
  readonly marks: JournalMarks;
  readonly epoch: number;
  readonly stream: number;
  readonly signer: Signer;
  readonly sealer: TraitSealer | undefined;
  readonly writer: { readonly isReadOnly: boolean; isOnDisk(batch: number): boolean; commitSoon(): void };
  /** Has what is left under a key that was joined erased by its own shard; told by `keyErased`. */
  eraseKey(key: Signpost, root: Signpost): void;
  /** Asks for a snapshot of the models, whether or not there is news; told by `snapshotKept`. */
  askSnapshot(): void;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class Erasures {
  /** The answer to the last request. */
  receipt: ErasureReceipt | null = null;
  /** Who it was about: the record itself may be gone. */
  hashHigh = 0;
  hashLow = 0;
  readonly #options: ErasuresOptions;
  /** By partition; only partitions with erasures under way. */
  readonly #notes = new Map<number, Note[]>();
  #snapshotPositions: readonly JournalPosition[] = [];
  #ticksToSnapshot = 0;
  #ticksToKeys = 0;
  #isBlanking = false;
  #hasComplained = false;
  /** Entries of the erasure that is being blanked, the oldest last. */
  #toBlank: { readonly note: Note; readonly entries: EntryPosition[] } | null = null;

  constructor(options: ErasuresOptions) {
    this.#options = options;
  }

  /** Reads what is under way, after a start or when memory was read back from disk. */
  load(ownsPartition: (partition: number) => boolean): void {
    this.#notes.clear();
    this.#toBlank = null;
    for (let partition = 0; partition < PARTITION_COUNT; partition++) {
      if (!ownsPartition(partition)) continue;
      const bytes = this.#options.store.getMeta(noteName(partition));
      // Written by `#write` only, behind a checksum.
      const notes = bytes === undefined ? [] : (JSON.parse(decoder.decode(bytes)) as Note[]).map(withKeys);
      if (notes.length > 0) this.#notes.set(partition, notes);
    }
  }

  get pending(): number {
    let count = 0;
    for (const notes of this.#notes.values()) count += notes.length;
    return count;
  }

  // ── asking ─────────────────────────────────────────────────────────────────────────────────────

  /** Begins to erase the request's person, or says how far it is. Fills `receipt`. */
  ask(request: Request, now: number): Fault | null {
    const { runtime, store, signer } = this.#options;
    const fault = runtime.open(request, now);
    if (fault !== null) return fault;
    const { partition, hashLow, hashHigh, hashCheck, stateSeq } = runtime.record;
    this.hashHigh = hashHigh;
    this.hashLow = hashLow;
    const person = receiptPerson({ hashHigh, hashLow }, signer);
    if (stateSeq > 0) {
      const note = this.eraseProfile([{ partition, hashLow, hashHigh, hashCheck }], person, now);
      if (note === null) return runtime.fail(FAULT.internal, 'erase: the turn failed and was undone; see the log');
      this.receipt = receiptOf(note, 'underway');
      return null;
    }
    // Only looked up: nothing of it has reached the journal.
    runtime.record.drop();
    const note = this.#notes.get(partition)?.findLast((one) => one.person === person);
    const bytes = store.getMeta(receiptName(person));
    if (note !== undefined) this.receipt = receiptOf(note, 'underway');
    else if (bytes !== undefined)
      this.receipt = JSON.parse(decoder.decode(bytes)) as ErasureReceipt; // written below
    else this.receipt = signReceipt(nothingOf(person, now), signer);
    return null;
  }

  /**
   * Begins to erase one person who may have had several records of this shard: all go in the open batch, under one
   * receipt. Null where a turn failed; those before it are erased.
   * @param people records that are known; others are passed over
   */
  eraseProfile(people: readonly PersonHash[], person: string, now: number): Note | null {
    const { runtime } = this.#options;
    const heads: EntryPosition[] = [];
    const keyIds = new Set<string>();
    const keys = new Map<string, Signpost>();
    for (const { partition, hashLow, hashHigh } of people) {
      if (!runtime.openKnown(partition, hashLow, hashHigh)) continue;
      const cold = runtime.readCold();
      for (const keyId of cold.keyIds ?? []) keyIds.add(keyId);
      // What a signpost knows of further keys, the profile that holds the person knows too, and asks for it.
      if (!isMoved(runtime.record))
        for (const [name, { check }] of joinedKeys(cold)) keys.set(name, joinedHash(name, check));
      const head = runtime.eraseBound(now);
      if (head === null) return null;
      heads.push(head);
    }
    const [first] = people;
    const [cursor = null] = heads;
    if (first === undefined || cursor === null) return null;
    const { epoch, stream, batch, offset } = cursor;
    const note: Note = {
      id: `${epoch}-${stream}-${batch}-${offset}`,
      person,
      atEpochMillis: now,
      people: people.map(({ partition, hashLow, hashHigh }) => ({ partition, hashLow, hashHigh })),
      heads,
      cursor,
      chain: 0,
      forgotIn: null,
      keyIds: [...keyIds],
      keys: [...keys.values()],
      counts: { ...NOTHING_REMOVED },
    };
    const notes = this.#notes.get(first.partition) ?? [];
    notes.push(note);
    this.#notes.set(first.partition, notes);
    this.#write(first.partition);
    return note;
  }

  // ── going on ───────────────────────────────────────────────────────────────────────────────────

  /** One slice of the oldest erasure under way; called between turns, every 100 ms. */
  tick(now: number): void {
    if (this.#notes.size === 0 || this.#isBlanking || this.#options.writer.isReadOnly) return;
    for (const [partition, notes] of this.#notes) {
      for (const note of notes) {
        // Who waits for other keys of theirs lets those of this shard have their turn.
        if (!this.#waitsForKeys(note)) {
          this.#advance(partition, note, now);
          return;
        }
        this.#askForKeys(note);
      }
    }
  }

  #waitsForKeys({ heads, keyIds, cursor, keys }: Note): boolean {
    return keys.length > 0 && keyIds.length === 0 && cursor === null && heads.every((head) => this.#isOnDisk(head));
  }

  #advance(partition: number, note: Note, now: number): void {
    if (!note.heads.every((head) => this.#isOnDisk(head))) return;
    if (note.keyIds.length > 0) this.#eraseKeys(partition, note);
    else if (note.cursor !== null) this.#takeBack(partition, note, note.cursor, now);
    else if (note.forgotIn !== null && !this.#isInSnapshot(note.forgotIn)) {
      if (--this.#ticksToSnapshot > 0) return;
      this.#ticksToSnapshot = SNAPSHOT_TICKS;
      this.#options.askSnapshot();
    } else void this.#blank(partition, note, now);
  }

  /**
   * The shards of the other keys erase what they have, each with a note of its own. After this profile's lessons are taken
   * back, because these read decisions that were made under those keys.
   */
  #askForKeys({ people: [first], keys }: Note): void {
    if (--this.#ticksToKeys > 0) return;
    this.#ticksToKeys = KEY_TICKS;
    if (first !== undefined) for (const key of keys) this.#options.eraseKey(key, first);
  }

  /** Nothing of this key is left. */
  keyErased(root: Signpost, key: Signpost): void {
    const isKey = (one: Signpost): boolean => joinedName(one) === joinedName(key);
    for (const note of this.#notes.get(root.partition) ?? []) {
      if (!note.keys.some(isKey)) continue;
      note.keys = note.keys.filter((one) => !isKey(one));
      this.#ticksToKeys = 0;
      this.#write(root.partition);
    }
  }

  /** Erases what is left under the key of a signpost; called again until it says that nothing is. */
  eraseSignpost(key: Signpost, now: number): boolean {
    const { runtime, signer } = this.#options;
    const { partition, hashLow, hashHigh } = key;
    const person = receiptPerson(key, signer);
    if (this.#notes.get(partition)?.some((note) => note.person === person) === true) return false;
    // One that is its own again, or somebody new under the key, is not meant.
    if (!runtime.openKnown(partition, hashLow, hashHigh) || !isMoved(runtime.record)) return true;
    this.eraseProfile([{ ...key, hashCheck: runtime.record.hashCheck }], person, now);
    return false;
  }

  #eraseKeys(partition: number, note: Note): void {
    const { runtime, sealer } = this.#options;
    try {
      sealer?.eraseKeys(note.keyIds);
      // Not those erased just now: after a crash in between there are none left, and yet they were the person's.
      note.counts.keys = sealer === undefined ? 0 : note.keyIds.length;
    } catch (error) {
      // Tried again with every tick; said once, because it is the disk's and stays until somebody looks.
      if (!this.#hasComplained) runtime.onTurnFailure(error, EFFECT.erase, note.id);
      this.#hasComplained = true;
      return;
    }
    this.#hasComplained = false;
    note.keyIds = [];
    this.#write(partition);
  }

  /** What is not may still be lost, and then the person is there again. */
  #isOnDisk({ epoch, batch }: EntryPosition): boolean {
    return epoch !== this.#options.epoch || this.#options.writer.isOnDisk(batch);
  }

  #takeBack(partition: number, note: Note, from: EntryPosition, now: number): void {
    const { marks, store, models, epoch, stream } = this.#options;
    const chain = new PersonChain(store, from);
    let count = 0;
    let lessons = 0;
    while (count < ENTRIES_A_SLICE && chain.step() !== null) {
      count++;
      lessons += countEntry(chain.entry, note.counts);
    }
    if (lessons > 0) {
      forgetLessons(store, models, from, count);
      note.forgotIn = { epoch, stream, batch: store.openBatch };
      marks.forget(from, count, now);
    }
    note.cursor = chain.next;
    if (note.cursor === null && ++note.chain < note.heads.length) note.cursor = note.heads[note.chain] ?? null;
    this.#write(partition);
  }

  #isInSnapshot(batch: JournalPosition): boolean {
    return this.#snapshotPositions.length > 0 && !isAfter(this.#snapshotPositions, batch);
  }

  /** A snapshot that stands at these positions is on disk. */
  snapshotKept(positions: readonly JournalPosition[]): void {
    this.#snapshotPositions = positions;
    this.#ticksToSnapshot = 0;
  }

  /** What the models of a start learnt again is taken back again at the same place. */
  forgetAgain(mark: Effect): void {
    const newest = {
      epoch: mark.getU32(FORGET_MARK.epoch),
      stream: mark.getU32(FORGET_MARK.stream),
      batch: mark.getU32(FORGET_MARK.batch),
      offset: mark.getU32(FORGET_MARK.offset),
    };
    forgetLessons(this.#options.store, this.#options.models, newest, mark.getU32(FORGET_MARK.count));
  }

  /** Blanks the oldest entries left; the last of them ends the erasure. */
  async #blank(partition: number, note: Note, now: number): Promise<void> {
    const { store, writer } = this.#options;
    this.#isBlanking = true;
    try {
      if (this.#toBlank?.note !== note) this.#toBlank = { note, entries: this.#entriesOf(note) };
      const { entries } = this.#toBlank;
      const oldest = entries.at(-1);
      if (oldest === undefined) {
        this.#finish(partition, note, now);
        return;
      }
      const offsets: number[] = [];
      for (let i = entries.length - 1; i >= 0 && offsets.length < BLANKED_A_TRANSACTION; i--) {
        const { epoch, stream, batch, offset } = entries[i] as EntryPosition; // i < length
        if (epoch !== oldest.epoch || stream !== oldest.stream || batch !== oldest.batch) break;
        offsets.push(offset);
      }
      if (await store.blankJournal(oldest, offsets)) entries.length -= offsets.length;
      else writer.commitSoon();
    } catch {
      // A store that cannot write says so by its commits; the entries are blanked when it can again.
      this.#toBlank = null;
    } finally {
      this.#isBlanking = false;
    }
  }

  /** What is left of its chains; an entry that is blank ends its chain, because the older ones are blank too. */
  #entriesOf(note: Note): EntryPosition[] {
    const entries: EntryPosition[] = [];
    for (const head of note.heads) {
      const chain = new PersonChain(this.#options.store, head);
      for (let at = chain.step(); at !== null; at = chain.step()) entries.push(at);
    }
    return entries;
  }

  #finish(partition: number, note: Note, now: number): void {
    const { store, signer } = this.#options;
    const receipt = signReceipt({ ...receiptOf(note, 'final'), finishedAtEpochMillis: now }, signer);
    store.putMeta(receiptName(note.person), encoder.encode(JSON.stringify(receipt)));
    const left = (this.#notes.get(partition) ?? []).filter((other) => other !== note);
    if (left.length === 0) this.#notes.delete(partition);
    else this.#notes.set(partition, left);
    this.#toBlank = null;
    this.#write(partition);
  }

  #write(partition: number): void {
    const { store, writer } = this.#options;
    store.putMeta(noteName(partition), encoder.encode(JSON.stringify(this.#notes.get(partition) ?? [])));
    writer.commitSoon();
  }
}

/** A note of an older build, which knew one key a person. */
function withKeys(note: Note): Note {
  return { ...note, keys: note.keys ?? [], people: note.people ?? [] };
}

function noteName(partition: number): string {
  return `erasures:${partition}`;
}

function receiptName(person: string): string {
  return `receipt:${person}`;
}

/** Takes back what `count` entries of a person taught, from `newest` on back. */
function forgetLessons(
  store: Pick<ShardStore, 'readJournal'>,
  models: Pick<ShardModels, 'unlearn'>,
  newest: EntryPosition,
  count: number,
): void {
  const chain = new PersonChain(store, newest);
  for (let left = count; left > 0 && chain.step() !== null; left--) {
    if (hasTaught(chain.entry)) models.unlearn(chain.entry);
  }
}

function hasTaught(entry: Effect): boolean {
  return entry.type === EFFECT.event && (entry.getU32(EVENT.flags) & TEACHING) !== 0;
}

/** Counts one entry; returns 1 for one that had taught something. */
function countEntry(entry: Effect, counts: ErasureCounts): number {
  if (entry.type === EFFECT.decision) counts.decisions++;
  else if (entry.type === EFFECT.event) counts.events++;
  else if (entry.type === EFFECT.identify) counts.traitChanges++;
  else counts.otherEntries++;
  const lessons = hasTaught(entry) ? 1 : 0;
  counts.lessons += lessons;
  return lessons;
}

function receiptOf(note: Note, state: 'underway' | 'final'): ErasureReceipt {
  const { id, person, atEpochMillis, heads, counts } = note;
  const removed = { records: heads.length, ...counts };
  return { id, state, person, atEpochMillis, finishedAtEpochMillis: null, removed, remains: REMAINS, signature: null };
}

function nothingOf(person: string, now: number): ErasureReceipt {
  const removed = { records: 0, ...NOTHING_REMOVED };
  return {
    ...{ id: '-', state: 'nothing', person, atEpochMillis: now, finishedAtEpochMillis: now },
    ...{ removed, remains: [], signature: null },
  };
}
