/**
 * A context feed kept in the data folder, so that a push outlives a restart, a kill and a power cut once the write has
 * returned: written beside, synced, renamed over the old file, and the folder synced. The file carries its checksum;
 * one that is not what was written is an error with a name and never a wrong stock. Values are kept under the names of
 * their fields, so that a catalog that adds, drops or narrows a field reads what still fits and nothing elsewhere.
 * A whole file a push, not a log: a feed is small by its bounds, and pushes come in seconds, not in microseconds.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { FeedPush, FeedSpec } from '../decision/feed-table.ts';
import type { Scalar } from '../proto/messages.ts';
import { isValueOf } from './feed-push.ts';
import { checkSeal, sealedCopy } from './store/sealed-value.ts';

interface KeptFeed {
  readonly version: number;
  readonly atEpochMillis: number;
  readonly fields: readonly string[];
  /** Key, instant of expiry, values in the order of `fields`. */
  readonly rows: readonly (readonly [string, number, readonly Scalar[]])[];
}

/** What `writeFeedFile` writes of a table, which `snapshot` gave. */
export function feedBytes(spec: FeedSpec, { version, atEpochMillis, rows }: FeedPush): Buffer {
  const kept: KeptFeed = {
    version,
    atEpochMillis,
    fields: spec.fields.map(({ name }) => name),
    rows: rows.map(({ key, values, expiresAtEpochMillis }) => [key, expiresAtEpochMillis, values]),
  };
  return Buffer.from(JSON.stringify(kept));
}

/** Whole or not at all. Throws the file system's error, and the old file stands. */
export function writeFeedFile(path: string, bytes: Buffer): void {
  const writing = `${path}.writing`;
  writeFileSync(writing, sealedCopy(bytes), { mode: 0o600, flush: true });
  renameSync(writing, path);
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

const ENDING = '.feed';

/** Of a feed in a folder of feeds. A name may hold a dot, so the ending keeps a file apart from another being written. */
export function feedPath(folder: string, feed: string): string {
  return join(folder, feed + ENDING);
}

/** Names of the feeds kept in a folder; none where it is not there. */
export function keptFeeds(folder: string): string[] {
  const files = existsSync(folder) ? readdirSync(folder) : [];
  return files.filter((file) => file.endsWith(ENDING)).map((file) => file.slice(0, -ENDING.length));
}

/**
 * Version of what is kept, whatever a catalog declares; 0 where nothing is.
 * @throws StoreError `CORRUPT` as `readFeedFile`
 */
export function keptVersion(path: string, feed: string): number {
  return existsSync(path) ? openFeedBytes(readFileSync(path), feed).version : 0;
}

/** @throws StoreError `CORRUPT` naming the feed when the bytes are not what was written */
function openFeedBytes(bytes: Buffer, feed: string): KeptFeed {
  const length = checkSeal(bytes, 'feeds', Buffer.from(feed));
  return JSON.parse(bytes.toString('utf8', 0, length)) as KeptFeed; // the seal says that `writeFeedFile` wrote it
}

/**
 * What was written last, for `FeedTable.apply` of an empty table; null when nothing was.
 * @param spec as the catalog has it now
 * @throws StoreError `CORRUPT` naming the feed when the file is not what was written
 */
export function readFeedFile(path: string, spec: FeedSpec): FeedPush | null {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
  const kept = openFeedBytes(bytes, spec.name);
  const places = spec.fields.map(({ name }) => kept.fields.indexOf(name));
  const rows = kept.rows.map(([key, expiresAtEpochMillis, values]) => ({
    key,
    expiresAtEpochMillis,
    values: spec.fields.map((field, index) => {
      const value = values[places[index] ?? -1];
      return isValueOf(field, value) ? value : null;
    }),
  }));
  return { feed: spec.name, version: kept.version, atEpochMillis: kept.atEpochMillis, replace: true, rows };
}
