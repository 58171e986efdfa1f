/**
 * A model on disk: one file that holds everything the shards have learnt and where in the journal that
 * stands. What came after is learnt again from the journal, so a lost snapshot costs time, not knowledge;
 * a snapshot half written must never be taken for one.
 *
 *   <path>            newest         written as <path>.writing, synced, renamed; then the folder is synced
 *   <path>.previous   the one before, kept until the next
 *   <path>.start-<n>  the one that start n of the node began from, for decisions to be computed again
 *
 *   0  8 bytes "OPMODEL\n"   8 u32 version   12 u32 CRC-32 of the body   16 u64 body bytes   24 u64 bytes
 *   when inflated   32 u32 CRC-32 of bytes 0 to 32   36 u32 0   40  body: deflate (level 1: 4 MB, mostly
 *   untouched slots, in some 20 ms) of  u32 length of JSON, JSON, padding to 8, then the doubles in the order
 *   the JSON lists them. Little-endian; doubles are bit-exact.
 */
import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, dirname } from 'node:path';
import { crc32, deflateSync, inflateSync } from 'node:zlib';
import type { JournalPosition } from '../../actors/store.ts';
import type { PartKeys } from '../../decision/part-register.ts';
import type { ModelState } from '../shard-models.ts';

const MAGIC = Buffer.from('OPMODEL\n');
const VERSION = 6;
const HEADER_BYTES = 40;
const HEADER_SUM_AT = 32;
/** Snapshots of earlier starts that are kept; each is at most a few megabytes. */
const STARTS_KEPT = 32;
/** A header that claims more is damaged: no memory is asked for on its word. */
const INFLATED_BYTES_MAX = 256 * 1024 * 1024;

/** A model and where it stands: `positions` name the first journal batch of each stream that it has not seen. */
export interface ModelSnapshot {
  readonly state: ModelState;
  readonly positions: readonly JournalPosition[];
  readonly modelEpoch: number;
  /** The round of the learning exchange it stands at. Means something in the run it was made in, so a file has none: 0. */
  readonly round: number;
}

type Entries = readonly (readonly [number, Float64Array])[];

export interface WriteModelSnapshotInput {
  readonly path: string;
  /** Doubles of the response model. Not written to until the job has settled. */
  readonly response: SharedArrayBuffer | ArrayBuffer;
  readonly parts: PartKeys;
  readonly demand: Entries;
  readonly weeks: Entries;
  readonly zones: Entries;
  readonly gaps: Entries;
  readonly linear: Entries;
  readonly cross: Entries;
  readonly positions: readonly JournalPosition[];
  readonly modelEpoch: number;
}

export interface WrittenSnapshot {
  readonly path: string;
  readonly fileBytes: number;
}

export interface ModelSnapshotRead {
  /** The newest that is whole, or null when none is. */
  readonly snapshot: ModelSnapshot | null;
  /** The file it was read from. */
  readonly path: string | null;
  /** One sentence for each file that is there and cannot be used; empty when all is well. */
  readonly damage: readonly string[];
}

interface SnapshotHeader {
  readonly positions: readonly JournalPosition[];
  readonly modelEpoch: number;
  readonly responseLength: number;
  readonly parts: readonly number[];
  /** Rows of (key, number of doubles). */
  readonly demand: readonly (readonly [number, number])[];
  readonly weeks: readonly (readonly [number, number])[];
  readonly zones: readonly (readonly [number, number])[];
  readonly gaps: readonly (readonly [number, number])[];
  readonly linear: readonly (readonly [number, number])[];
  readonly cross: readonly (readonly [number, number])[];
}

/** The name under which the snapshot before the newest is kept. */
export function previousSnapshotPath(path: string): string {
  return `${path}.previous`;
}

/** The name under which the snapshot that an epoch began from is kept. */
export function startSnapshotPath(path: string, epoch: number): string {
  return `${path}.start-${epoch}`;
}

/**
 * Keeps the snapshot that a start begins from under a name of its own: a second name for the same file where the
 * file system has that, so that it costs nothing. Of older starts the newest `STARTS_KEPT` stay.
 * @param from the file as `readModelSnapshot` named it
 * @throws the file system's error
 */
export function keepStartSnapshot(path: string, from: string, epoch: number): void {
  const kept = startSnapshotPath(path, epoch);
  rmSync(kept, { force: true });
  try {
    linkSync(from, kept);
  } catch {
    copyFileSync(from, kept);
  }
  const folder = dirname(path);
  const prefix = basename(startSnapshotPath(path, 0)).slice(0, -1);
  const epochs = readdirSync(folder)
    .filter((name) => name.startsWith(prefix))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => b - a);
  for (const old of epochs.slice(STARTS_KEPT)) rmSync(startSnapshotPath(path, old), { force: true });
}

/** A model as the job wants it; large memory that is shared already is not copied. */
export function snapshotInput(path: string, snapshot: ModelSnapshot): WriteModelSnapshotInput {
  const { state, positions, modelEpoch } = snapshot;
  return {
    path,
    response: state.response,
    parts: state.parts,
    demand: [...state.demand],
    weeks: [...state.weeks],
    zones: [...state.zones],
    gaps: [...state.gaps],
    linear: [...state.linear],
    cross: [...state.cross],
    positions,
    modelEpoch,
  };
}

/**
 * Writes a snapshot and keeps the newest two. Blocks for some 30 ms of CPU and two syncs: a job. One writer
 * a path at a time.
 * @throws the file system's error; then the newest snapshot is the one before.
 */
export function writeModelSnapshot(input: WriteModelSnapshotInput): WrittenSnapshot {
  const { path } = input;
  const bytes = encodeSnapshot(input);
  const writing = `${path}.writing`;
  const file = openSync(writing, 'w', 0o600);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    fsyncSync(file);
  } catch (error) {
    closeSync(file);
    rmSync(writing, { force: true });
    throw error;
  }
  closeSync(file);
  // Between the two renames only the previous one is there, and a reader takes that.
  if (existsSync(path)) renameSync(path, previousSnapshotPath(path));
  renameSync(writing, path);
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
  return { path, fileBytes: bytes.length };
}

/**
 * Reads the newest whole snapshot. Null when none was ever written.
 * @throws the file system's error for a file that is there and cannot be read; damage is told, not thrown.
 */
export function readModelSnapshot(path: string): ModelSnapshotRead | null {
  const damage: string[] = [];
  let isThere = false;
  for (const candidate of [path, previousSnapshotPath(path)]) {
    if (!existsSync(candidate)) continue;
    isThere = true;
    const found = decodeSnapshot(readFileSync(candidate));
    if (typeof found !== 'string') return { snapshot: found, path: candidate, damage };
    damage.push(`The model snapshot ${candidate} ${found}; it is not used.`);
  }
  return isThere ? { snapshot: null, path: null, damage } : null;
}

function encodeSnapshot(input: WriteModelSnapshotInput): Buffer {
  const response = new Float64Array(input.response);
  const lengths = (entries: Entries): [number, number][] => entries.map(([key, values]) => [key, values.length]);
  const header: SnapshotHeader = {
    positions: input.positions,
    modelEpoch: input.modelEpoch,
    responseLength: response.length,
    parts: [...input.parts],
    demand: lengths(input.demand),
    weeks: lengths(input.weeks),
    zones: lengths(input.zones),
    gaps: lengths(input.gaps),
    linear: lengths(input.linear),
    cross: lengths(input.cross),
  };
  const json = Buffer.from(JSON.stringify(header));
  const doublesAt = pad8(4 + json.length);
  const columns = [
    response,
    ...[input.demand, input.weeks, input.zones, input.gaps, input.linear, input.cross]
      .flat()
      .map(([, values]) => values),
  ];
  const doubles = columns.reduce((sum, column) => sum + column.length, 0);
  const body = Buffer.alloc(doublesAt + doubles * 8);
  body.writeUInt32LE(json.length, 0);
  json.copy(body, 4);
  let at = doublesAt;
  for (const column of columns) {
    // Copied as bytes: a NaN keeps its bits, and shared memory is read once.
    body.set(new Uint8Array(column.buffer, column.byteOffset, column.byteLength), at);
    at += column.byteLength;
  }
  const deflated = deflateSync(body, { level: 1 });
  const head = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(head);
  head.writeUInt32LE(VERSION, 8);
  head.writeUInt32LE(crc32(deflated), 12);
  head.writeBigUInt64LE(BigInt(deflated.length), 16);
  head.writeBigUInt64LE(BigInt(body.length), 24);
  head.writeUInt32LE(crc32(head.subarray(0, HEADER_SUM_AT)), HEADER_SUM_AT);
  return Buffer.concat([head, deflated]);
}

/** The snapshot, or what is wrong with the bytes, as the end of a sentence. */
function decodeSnapshot(bytes: Buffer): ModelSnapshot | string {
  if (bytes.length < HEADER_BYTES) return `has ${bytes.length} bytes, fewer than its header`;
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return 'does not begin like a model snapshot';
  if (bytes.readUInt32LE(HEADER_SUM_AT) !== crc32(bytes.subarray(0, HEADER_SUM_AT))) return 'has a damaged header';
  const version = bytes.readUInt32LE(8);
  if (version !== VERSION) return `has format ${version}, and this program reads ${VERSION}`;
  const bodyBytes = Number(bytes.readBigUInt64LE(16));
  const inflatedBytes = Number(bytes.readBigUInt64LE(24));
  if (bytes.length !== HEADER_BYTES + bodyBytes) {
    return `has ${bytes.length} bytes instead of ${HEADER_BYTES + bodyBytes}`;
  }
  const deflated = bytes.subarray(HEADER_BYTES);
  if (crc32(deflated) !== bytes.readUInt32LE(12)) return 'has a damaged body';
  if (inflatedBytes > INFLATED_BYTES_MAX) return `claims ${inflatedBytes} bytes when inflated`;
  const body = inflateSync(deflated, { maxOutputLength: Math.max(1, inflatedBytes) });
  if (body.length !== inflatedBytes) return `inflates to ${body.length} bytes instead of ${inflatedBytes}`;
  return readBody(body);
}

/** Behind two checksums: what is in here was written by `encodeSnapshot`. */
function readBody(body: Buffer): ModelSnapshot {
  const jsonBytes = body.readUInt32LE(0);
  const header = JSON.parse(body.toString('utf8', 4, 4 + jsonBytes)) as SnapshotHeader; // see above
  let at = pad8(4 + jsonBytes);
  const take = (length: number): ArrayBuffer => {
    const copy = new ArrayBuffer(length * 8);
    new Uint8Array(copy).set(body.subarray(at, at + length * 8));
    at += length * 8;
    return copy;
  };
  const response = take(header.responseLength);
  const columns = (rows: SnapshotHeader['demand']): Map<number, Float64Array> =>
    new Map(rows.map(([key, length]) => [key, new Float64Array(take(length))]));
  const demand = columns(header.demand);
  const weeks = columns(header.weeks);
  const zones = columns(header.zones);
  const gaps = columns(header.gaps);
  const linear = columns(header.linear);
  const cross = columns(header.cross);
  return {
    state: { response, parts: Uint32Array.from(header.parts), demand, weeks, zones, gaps, linear, cross },
    positions: header.positions,
    modelEpoch: header.modelEpoch,
    round: 0,
  };
}

function pad8(bytes: number): number {
  return (bytes + 7) & ~7;
}
