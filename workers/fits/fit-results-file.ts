/**
 * What a fit found, on disk: one file of the facts of all people, the related products of each product, and how each
 * model did. Written whole beside the old one and renamed, so a fit that is stopped leaves the results before it; read
 * by a start and by the next fit. Records have the facts themselves: a lost or damaged file costs the next fit, no fact.
 *
 *   0  8 bytes "OPFITS\n\0"   8 u32 version   12 u32 CRC-32 of the body   16 f64 body bytes   24 f64 bytes when inflated
 *   32 u32 CRC-32 of bytes 0 to 32   36 u32 0   40  body: deflate (level 1) of  u32 length of JSON, JSON, padding to 8,
 *   the keys (4 × u32 a person), then the columns in the order the JSON lists them (f64 a person; NaN: not known)
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { crc32, deflateSync, inflateSync } from 'node:zlib';
import { FACT_KEY_WORDS, type FactRows } from '../../actors/fact-turn.ts';
import { type FactName, isFactName } from '../../decision/facts.ts';

const MAGIC = Buffer.from('OPFITS\n\0');
const VERSION = 1;
const HEADER_BYTES = 40;
const HEADER_SUM_AT = 32;
/** Eight columns and the keys of as many people as a fit reads, and the related products. */
const INFLATED_BYTES_MAX = 512 * 1024 * 1024;

export const FIT_MODELS = ['purchases', 'segments', 'churn', 'related'] as const;
export type FitModel = (typeof FIT_MODELS)[number];

/** How one model did: `used` false says why its facts, or related products, stayed as they were. */
export interface ModelReport {
  readonly fittedAtEpochMillis: number;
  readonly isUsed: boolean;
  /** One sentence for people. */
  readonly note: string;
  readonly people: number;
}

export interface FittedSegment {
  readonly name: string;
  readonly people: number;
  /** Mean of days since the last purchase, ln(1 + purchases), ln(1 + money). */
  readonly centre: readonly number[];
}

export interface FitInfo {
  /** Seconds since 1970: rises from fit to fit. */
  readonly fit: number;
  readonly fittedAtEpochMillis: number;
  readonly people: number;
  readonly models: { readonly [Model in FitModel]?: ModelReport };
  readonly segments: readonly FittedSegment[];
  /** By sku, best first. */
  readonly related: { readonly [sku: string]: readonly (readonly [sku: string, score: number])[] };
}

export interface FitResults {
  readonly info: FitInfo;
  readonly rows: FactRows;
}

/** Beside `models`, whose files are all model snapshots. @param data the data folder */
export function fitFolder(data: string): string {
  return join(data, 'fits');
}

export function fitResultsPath(data: string): string {
  return join(fitFolder(data), 'results');
}

/** @throws the file system's error; then the results before stay. */
export function writeFitResults(path: string, { info, rows }: FitResults): number {
  const names = [...rows.columns.keys()];
  const json = Buffer.from(JSON.stringify({ info, columns: names }));
  const head = Buffer.alloc(pad8(4 + json.length));
  head.writeUInt32LE(json.length, 0);
  json.copy(head, 4);
  const columns = [...rows.columns.values()];
  const body = Buffer.concat([head, bytesOf(rows.keys), ...columns.map(bytesOf)]);
  const deflated = deflateSync(body, { level: 1 });
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  header.writeUInt32LE(VERSION, 8);
  header.writeUInt32LE(crc32(deflated), 12);
  header.writeDoubleLE(deflated.length, 16);
  header.writeDoubleLE(body.length, 24);
  header.writeUInt32LE(crc32(header.subarray(0, HEADER_SUM_AT)), HEADER_SUM_AT);
  const bytes = Buffer.concat([header, deflated]);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const writing = `${path}.writing`;
  try {
    const file = openSync(writing, 'w', 0o600);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(writing, path);
  } catch (error) {
    rmSync(writing, { force: true });
    throw error;
  }
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
  return bytes.length;
}

/**
 * The results, null where no fit has ended, or a sentence about what is wrong with the file. Memory is shared memory.
 * @throws the file system's error for a file that is there and cannot be read
 */
export function readFitResults(path: string): FitResults | string | null {
  if (!existsSync(path)) return null;
  const found = decode(readFileSync(path));
  return typeof found === 'string' ? `The results of the last fit, ${path}, ${found}; they are not used.` : found;
}

function decode(bytes: Buffer): FitResults | string {
  if (bytes.length < HEADER_BYTES) return `have ${bytes.length} bytes, fewer than their header`;
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return 'do not begin like results of a fit';
  if (bytes.readUInt32LE(HEADER_SUM_AT) !== crc32(bytes.subarray(0, HEADER_SUM_AT))) return 'have a damaged header';
  const version = bytes.readUInt32LE(8);
  if (version !== VERSION) return `have format ${version}, and this program reads ${VERSION}`;
  const deflated = bytes.subarray(HEADER_BYTES);
  const bodyBytes = bytes.readDoubleLE(16);
  if (deflated.length !== bodyBytes) return `have ${deflated.length} bytes behind the header instead of ${bodyBytes}`;
  if (crc32(deflated) !== bytes.readUInt32LE(12)) return 'have a damaged body';
  const inflatedBytes = bytes.readDoubleLE(24);
  if (!(inflatedBytes <= INFLATED_BYTES_MAX)) return `claim ${inflatedBytes} bytes when inflated`;
  const body = inflateSync(deflated, { maxOutputLength: Math.max(1, inflatedBytes) });
  if (body.length !== inflatedBytes) return `inflate to ${body.length} bytes instead of ${inflatedBytes}`;
  return readBody(body);
}

/** Behind two checksums: what is in here was written by `writeFitResults`. */
function readBody(body: Buffer): FitResults {
  const jsonBytes = body.readUInt32LE(0);
  const head = JSON.parse(body.toString('utf8', 4, 4 + jsonBytes)) as { info: FitInfo; columns: string[] }; // see above
  const { info } = head;
  let at = pad8(4 + jsonBytes);
  const take = (length: number): SharedArrayBuffer => {
    const shared = new SharedArrayBuffer(length);
    new Uint8Array(shared).set(body.subarray(at, at + length));
    at += length;
    return shared;
  };
  const keys = new Uint32Array(take(info.people * FACT_KEY_WORDS * 4));
  const columns = new Map<FactName, Float64Array>();
  for (const name of head.columns) {
    const column = new Float64Array(take(info.people * 8));
    // A fact of an earlier program that this one no longer has is passed over.
    if (isFactName(name)) columns.set(name, column);
  }
  return { info, rows: { keys, columns, fit: info.fit } };
}

function bytesOf(values: Uint32Array | Float64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function pad8(bytes: number): number {
  return (bytes + 7) & ~7;
}
