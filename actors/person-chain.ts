/**
 * A person's entries in the journal, the newest first: each names the one before it of the same person, so that they
 * are found without reading anybody else's. The way ends where the person began, where the journal was trimmed, and
 * at an entry that is blank because its person is being erased. Called by exports and erasures, never on the hot path.
 */
import type { EntryPosition } from './apply-effect.ts';
import { Effect, MARK_TYPE_MIN } from './effect.ts';
import type { ProfileRecord } from './profile-record.ts';
import { FIELD } from './record-layout.ts';
import type { Store } from './store.ts';

export class PersonChain {
  readonly entry = new Effect();
  readonly #store: Pick<Store, 'readJournal'>;
  #next: EntryPosition | null;
  #batch: { readonly at: EntryPosition; readonly bytes: Uint8Array } | null = null;

  /** @param from the newest entry, or null for nothing */
  constructor(store: Pick<Store, 'readJournal'>, from: EntryPosition | null) {
    this.#store = store;
    this.#next = from;
  }

  /** Where the next entry stands, or null behind the last. */
  get next(): EntryPosition | null {
    return this.#next;
  }

  /** Loads the next older entry into `entry`; returns where it stands, or null when there is none. */
  step(): EntryPosition | null {
    const at = this.#next;
    if (at === null) return null;
    const { entry } = this;
    const bytes = this.#read(at);
    if (bytes === undefined || entry.load(bytes, at.offset) < 0 || entry.type >= MARK_TYPE_MIN) {
      this.#next = null;
      return null;
    }
    const epoch = entry.getU32(32);
    const before = { epoch, stream: entry.getU32(36), batch: entry.getU32(40), offset: entry.getU32(44) };
    this.#next = epoch === 0 ? null : before;
    return at;
  }

  #read(at: EntryPosition): Uint8Array | undefined {
    const known = this.#batch;
    if (known?.at.epoch === at.epoch && known.at.stream === at.stream && known.at.batch === at.batch)
      return known.bytes;
    const bytes = this.#store.readJournal(at);
    this.#batch = bytes === undefined ? null : { at, bytes };
    return bytes;
  }
}

/** `EPOCH-STREAM-BATCH-OFFSET`, as cursors and the section `ids` have a place in the journal. */
export function positionText({ epoch, stream, batch, offset }: EntryPosition): string {
  return `${epoch}-${stream}-${batch}-${offset}`;
}

const POSITION = /^(\d{1,10})-(\d{1,5})-(\d{1,10})-(\d{1,10})$/;

/** Null for what is no such text, or for the place of nothing. */
export function positionOf(text: string): EntryPosition | null {
  const [epoch = 0, stream = 0, batch = 0, offset = 0] = POSITION.exec(text)?.slice(1).map(Number) ?? [];
  return epoch === 0 ? null : { epoch, stream, batch, offset };
}

/** Where the newest entry stands that a record as stored, of the layout of today, knows of; or null. */
export function newestEntryOfStored(bytes: Uint8Array): EntryPosition | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const epoch = view.getUint32(FIELD.journalEpoch, true);
  const [stream, batch, offset] = [FIELD.journalStream, FIELD.journalBatch, FIELD.journalOffset].map((at) =>
    view.getUint32(at, true),
  ) as [number, number, number]; // as many as there are fields
  return epoch === 0 ? null : { epoch, stream, batch, offset };
}

/** Where the newest entry about the bound person stands, or null. */
export function newestEntryOf(record: ProfileRecord): EntryPosition | null {
  const epoch = record.getU32(FIELD.journalEpoch);
  if (epoch === 0) return null;
  const stream = record.getU32(FIELD.journalStream);
  return { epoch, stream, batch: record.getU32(FIELD.journalBatch), offset: record.getU32(FIELD.journalOffset) };
}
