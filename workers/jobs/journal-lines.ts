/**
 * The journal as lines of NDJSON in the order of time: what `opportune log` prints and an export writes.
 * Each worker writes a stream of its own; the streams of one start of the node are merged by the entries'
 * instants, a few batches of each in memory, so the length of the journal does not matter. Asked again
 * later, `read` goes on behind what it gave: there the merge covers what was committed in between, so two
 * workers' entries can be out of order by the time between two calls, and no more.
 *
 * Names come from the catalog version a decision was made with, which the node keeps in its store. Profile
 * keys are not in the journal, only a keyed hash, so they cannot be in a line either.
 */
import { DECISION, EFFECT, type Effect, MARK_TYPE_MIN } from '../../actors/effect.ts';
import { describeEntry } from '../../actors/journal-text.ts';
import type { JournalPosition } from '../../actors/store.ts';
import type { Catalog } from '../../decision/catalog.ts';
import { CatalogError } from '../catalog/catalog-error.ts';
import { compileCatalog } from '../catalog/compile-catalog.ts';
import { coldCodec } from '../cold-codec.ts';
import { BATCH_MAX } from '../store/journal-key.ts';
import type { JournalReader } from '../store/journal-reader.ts';
import { StreamCursor, streamsOf } from '../store/journal-streams.ts';

export const ENTRY_TYPES = ['decision', 'event', 'identify', 'release', 'expire'] as const;
export type EntryType = (typeof ENTRY_TYPES)[number];

export interface EntryFilter {
  /** All types when left out. */
  readonly types?: readonly EntryType[];
  /** Entries before this instant are left out. */
  readonly sinceEpochMillis?: number;
  /** Entries from this instant on are left out. */
  readonly untilEpochMillis?: number;
}

/** Where a node keeps the text of each catalog version it has served. */
const CATALOG_META = 'catalog:';
/** Stands in when a version's text is gone: every name is then shown as its hash. */
const NAMELESS = `
version: 1
name: unknown
currency: EUR
timeZone: UTC
channels: { unknown: {} }
actions: [{ key: unknown, channels: [unknown], valueMinor: 0 }]
`;

export class JournalLines {
  readonly #reader: JournalReader;
  readonly #types: ReadonlySet<number> | null;
  readonly #since: number;
  readonly #until: number;
  readonly #catalogs = new Map<number, Catalog>();
  #catalog: Catalog | undefined;
  /** First batch not read, of each stream of the newest epoch. */
  #next: JournalPosition[] = [];

  constructor(reader: JournalReader, filter: EntryFilter = {}) {
    this.#reader = reader;
    this.#types = filter.types === undefined ? null : new Set(filter.types.map((type) => EFFECT[type]));
    this.#since = filter.sinceEpochMillis ?? Number.NEGATIVE_INFINITY;
    this.#until = filter.untilEpochMillis ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Every line committed since the last call, each with its line break.
   * Throws StoreError `CORRUPT` at a damaged batch, having given the lines before it.
   */
  *read(): Generator<string> {
    let from: readonly JournalPosition[] = this.#next;
    for (;;) {
      const found = streamsOf(this.#reader, from);
      const epoch = found[0]?.epoch;
      if (epoch === undefined) return;
      // Known streams without news stay listed: one that is not would be covered from its first batch on.
      const known = new Map(this.#next.filter((next) => next.epoch === epoch).map((next) => [next.stream, next]));
      for (const position of found) known.set(position.stream, position);
      const passed = [...known.values()].map((position) => ({ ...position, batch: BATCH_MAX }));
      const cursors = found.map((position) => new StreamCursor(this.#reader, position, passed));
      yield* this.#merge(cursors);
      for (const cursor of cursors) known.set(cursor.next.stream, cursor.next);
      this.#next = [...known.values()];
      // Later epochs are not listed and so are covered in full.
      from = passed;
    }
  }

  *#merge(cursors: readonly StreamCursor[]): Generator<string> {
    const live = cursors.filter((cursor) => cursor.advance());
    for (;;) {
      let first: StreamCursor | undefined;
      for (const cursor of live) if (first === undefined || cursor.entry.at < first.entry.at) first = cursor;
      if (first === undefined) return;
      const line = this.#line(first.entry);
      if (line !== undefined) yield line;
      if (!first.advance()) live.splice(live.indexOf(first), 1);
    }
  }

  #line(entry: Effect): string | undefined {
    if (entry.type >= MARK_TYPE_MIN) return undefined;
    const catalog = entry.type === EFFECT.decision ? this.#catalogOf(entry.getU32(DECISION.catalogVersion)) : undefined;
    if (this.#types !== null && !this.#types.has(entry.type)) return undefined;
    if (entry.at < this.#since || entry.at >= this.#until) return undefined;
    this.#catalog = catalog ?? this.#catalog ?? this.#anyCatalog();
    return `${JSON.stringify(describeEntry(entry, this.#catalog, coldCodec))}\n`;
  }

  /** The version a decision names; the entries behind it are about that version's actions as well. */
  #catalogOf(versionHash: number): Catalog {
    let catalog = this.#catalogs.get(versionHash);
    if (catalog === undefined) {
      const prefix = CATALOG_META + versionHash.toString(16).padStart(8, '0');
      catalog = this.#compile(this.#reader.metaNames(prefix, 1)[0]);
      this.#catalogs.set(versionHash, catalog);
    }
    return catalog;
  }

  #anyCatalog(): Catalog {
    return this.#compile(this.#reader.metaNames(CATALOG_META, 1)[0]);
  }

  #compile(name: string | undefined): Catalog {
    const text = name === undefined ? undefined : this.#reader.getMeta(name);
    if (text !== undefined) {
      try {
        return compileCatalog(new TextDecoder().decode(text), name ?? '');
      } catch (error) {
        // Served by an older program, refused by this one: its log is still worth reading.
        if (!(error instanceof CatalogError)) throw error;
      }
    }
    return compileCatalog(NAMELESS, 'nameless');
  }
}
