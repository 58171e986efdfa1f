/**
 * All context feeds of one tenant with their files, on the main thread: takes pushes, and says what is held. A push is
 * on disk before it is seen or acknowledged; when the write fails, nothing is seen of it until a restart, which may
 * find it whole. Good rows of a push are taken and bad ones named, unless the caller wants all or nothing. A push that
 * replaces the table is always all or nothing: a key left out because its row was broken would lose the good value it
 * had. What it has taken it hands on to be sent to the workers, each of which holds the same tables.
 */
import { mkdirSync } from 'node:fs';
import { type FeedPush, type FeedSpec, FeedTable } from '../decision/feed-table.ts';
import { USUAL_FEED } from '../decision/usual-feed.ts';
import { feedBytes, feedPath, readFeedFile, writeFeedFile } from './feed-file.ts';
import { type RowProblem, readFeedPush } from './feed-push.ts';

/** Of all feeds of a tenant together, as they are written: each start puts them into every worker's journal once. */
export const FEEDS_BYTES_MAX = 4 * 1024 * 1024;

export type PushRefusal = 'bad' | 'stale' | 'full';

export interface PushReport {
  /** What is to be sent to the workers; null when nothing of the push was taken. */
  readonly taken: FeedPush | null;
  /** Why nothing was taken; empty when something was. */
  readonly reason: string;
  readonly refusal: PushRefusal | null;
  readonly problems: readonly RowProblem[];
}

export interface FeedState {
  readonly feed: string;
  /** 0 before the first push. */
  readonly version: number;
  /** Of the last push; null before the first. */
  readonly pushedAtEpochMillis: number | null;
  /** Rows that hold at the instant asked for. */
  readonly rows: number;
  readonly rowsMax: number;
  /** From when on no row holds; null where none does. */
  readonly expiresAtEpochMillis: number | null;
}

export class FeedBook {
  readonly #folder: string;
  readonly #tables: ReadonlyMap<string, FeedTable>;
  /** Those that may be pushed from outside. */
  readonly #open: ReadonlyMap<string, FeedTable>;
  /** As written, by feed. */
  readonly #bytes = new Map<string, number>();

  /**
   * Reads what was kept of each feed, by the catalog's declaration.
   * @param folder made with the first push; a file for each feed is in it
   * @param specs names are those the catalog allows: fit for a file's name, and unique
   * @throws StoreError `CORRUPT` when a file is damaged; RangeError when the catalog allows fewer rows than hold
   */
  constructor(folder: string, specs: readonly FeedSpec[], nowEpochMillis: number) {
    this.#folder = folder;
    const tables = new Map<string, FeedTable>();
    for (const spec of specs) {
      const table = new FeedTable(spec);
      const kept = readFeedFile(feedPath(folder, spec.name), spec);
      if (kept !== null) {
        const rows = kept.rows.filter(({ expiresAtEpochMillis }) => nowEpochMillis < expiresAtEpochMillis);
        if (rows.length > spec.rowsMax)
          throw new RangeError(
            `the feed ${spec.name} holds ${rows.length} rows and the catalog allows ${spec.rowsMax}`,
          );
        table.apply({ ...kept, rows });
        this.#bytes.set(spec.name, feedBytes(spec, kept).length);
      }
      tables.set(spec.name, table);
    }
    this.#tables = tables;
    this.#open = new Map([...tables].filter(([name]) => name !== USUAL_FEED));
  }

  table(name: string): FeedTable | undefined {
    return this.#tables.get(name);
  }

  list(nowEpochMillis: number): FeedState[] {
    return [...this.#tables].map(([feed, table]) => {
      const rows = table.countHeld(nowEpochMillis);
      return {
        feed,
        version: table.version,
        pushedAtEpochMillis: table.version === 0 ? null : table.pushedAtEpochMillis,
        rows,
        rowsMax: table.spec.rowsMax,
        expiresAtEpochMillis: rows === 0 ? null : table.lastExpiryEpochMillis(),
      };
    });
  }

  /** All that was ever pushed, for a worker that begins. */
  snapshots(nowEpochMillis: number): FeedPush[] {
    return [...this.#tables.values()]
      .filter(({ version }) => version > 0)
      .map((table) => table.snapshot(nowEpochMillis));
  }

  /**
   * @param body as it was parsed; anything at all
   * @param isStrict whether one bad row refuses all
   * @throws the file system's error when the push cannot be kept; what is read stays as it was
   */
  push(body: unknown, isStrict: boolean, nowEpochMillis: number): PushReport {
    return this.#push(body, this.#open, isStrict, nowEpochMillis);
  }

  /** As `push`, all or nothing, of what the server itself has found. */
  keep(body: unknown, nowEpochMillis: number): PushReport {
    return this.#push(body, this.#tables, true, nowEpochMillis);
  }

  #push(body: unknown, feeds: ReadonlyMap<string, FeedTable>, isStrict: boolean, nowEpochMillis: number): PushReport {
    const read = readFeedPush(body, feeds, nowEpochMillis);
    if (!read.ok) return refused(read.isStale ? 'stale' : 'bad', read.problem, []);
    const { table, push, problems } = read;
    const { name, rowsMax } = table.spec;
    if (problems.length > 0 && (isStrict || push.replace || push.rows.length === 0))
      return refused('bad', `${problems.length} rows are not as the feed declares; nothing was taken`, problems);
    const count = table.countAfter(push);
    if (count > rowsMax) {
      const reason = `the feed would hold ${count} rows and may hold ${rowsMax}; nothing was taken`;
      return refused('full', reason, problems);
    }
    const next = new FeedTable(table.spec);
    if (table.version > 0) next.apply(table.snapshot(nowEpochMillis));
    next.apply(push);
    const bytes = feedBytes(table.spec, next.snapshot(nowEpochMillis));
    let total = bytes.length;
    for (const [feed, length] of this.#bytes) if (feed !== name) total += length;
    if (total > FEEDS_BYTES_MAX) {
      const reason = `all feeds together would have ${total} bytes and may have ${FEEDS_BYTES_MAX}; nothing was taken`;
      return refused('full', reason, problems);
    }
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    writeFeedFile(feedPath(this.#folder, name), bytes);
    this.#bytes.set(name, bytes.length);
    table.apply(push);
    return { taken: push, refusal: null, reason: '', problems };
  }
}

function refused(refusal: PushRefusal, reason: string, problems: readonly RowProblem[]): PushReport {
  return { taken: null, refusal, reason, problems };
}
