/**
 * Reads a chain of the audit log back, line by line, and finds the first line that is not what was written: the one
 * reader of the writer's own start, of `opportune audit list` and of `opportune audit verify`.
 *
 *   audit/<chain>/000001.ndjson ─▸ 000002.ndjson ─▸ …     each begins with a record `file`, chained to the one before
 *   audit/<chain>/anchor                                  where the chain stood when it was last synced, signed
 *
 * A last line without a line break is what a killed process leaves, or one that is being written: no alarm, unless
 * the anchor says that more was on disk. Memory: one file at a time, 16 MB.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AuditChain,
  type AuditHead,
  type AuditRecord,
  auditKeyName,
  GENESIS,
  hasMac,
  readAnchor,
  readRecord,
} from './audit-record.ts';

const FILE_NAME = /^\d{6}\.ndjson$/;
export const ANCHOR_FILE = 'anchor';

/** The first thing in a chain that is not as it was written. */
export interface AuditProblem {
  readonly chain: AuditChain;
  readonly file: string;
  /** From 1; 0 where it is not about one line. */
  readonly line: number;
  readonly reason: string;
}

export interface ChainState {
  readonly chain: AuditChain;
  readonly files: readonly string[];
  readonly records: number;
  /** The last good record. */
  readonly head: AuditHead;
  readonly problem: AuditProblem | null;
  /** Bytes behind the last line break of the last file. */
  readonly tornBytes: number;
  /** Length of the last file without them. */
  readonly lastFileBytes: number;
  /** Records at the end that came after the anchor. */
  readonly unanchored: number;
  /** Damage that a start found and noted, as sentences: the log is whole since then, and was not before. */
  readonly noted: readonly string[];
}

export function chainFolder(dataFolder: string, chain: AuditChain): string {
  return join(dataFolder, 'audit', chain);
}

/** Files of a chain, oldest first; none where there is no folder. */
export function auditFiles(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => FILE_NAME.test(name))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []; // readdirSync throws errno errors only
    throw error;
  }
}

/**
 * Reads a whole chain. `visit` sees every good record up to the first problem. Without a key the keyed hashes are
 * not looked at. Throws the file system's errors.
 */
export function readChain(
  folder: string,
  chain: AuditChain,
  key: Uint8Array | null,
  visit: (record: AuditRecord) => void = () => {},
): ChainState {
  return walkFiles(folder, chain, key, visit, false);
}

/** The same of the newest file alone: enough to go on writing, in the time of one file. */
export function readChainEnd(folder: string, chain: AuditChain, key: Uint8Array): ChainState {
  const state = walkFiles(folder, chain, key, () => {}, true);
  // A file that has no whole line yet says nothing of where the chain stands.
  return state.lastFileBytes === 0 ? readChain(folder, chain, key) : state;
}

function walkFiles(
  folder: string,
  chain: AuditChain,
  key: Uint8Array | null,
  visit: (record: AuditRecord) => void,
  isEndOnly: boolean,
): ChainState {
  const files = auditFiles(folder);
  // Before the files: what is appended while they are read is then behind the anchor.
  const anchor = anchorOf(folder, chain, key);
  const walk = new ChainWalk(chain, key, visit, typeof anchor === 'string' ? null : anchor);
  for (const [index, name] of files.entries()) {
    if (isEndOnly && index < files.length - 1) continue;
    if (isEndOnly) walk.beginAt(readFileSync(join(folder, name), 'utf8').split('\n', 1)[0] ?? '');
    walk.file(
      name,
      Number.parseInt(name, 10) === index + 1,
      readFileSync(join(folder, name)),
      index === files.length - 1,
    );
    if (walk.problem !== null) break;
  }
  walk.end(anchor, files);
  return { ...walk.state(), files };
}

/** The anchored head of a chain whose lines need not be read; null when there is none that is sound. */
export function anchoredHead(folder: string, chain: AuditChain, key: Uint8Array | null): AuditHead | null {
  const anchor = anchorOf(folder, chain, key);
  return typeof anchor === 'string' ? null : anchor;
}

function anchorOf(folder: string, chain: AuditChain, key: Uint8Array | null): AuditHead | string {
  try {
    return readAnchor(readFileSync(join(folder, ANCHOR_FILE), 'utf8'), chain, key);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'it is missing'; // readFileSync throws errno errors only
    throw error;
  }
}

class ChainWalk {
  problem: AuditProblem | null = null;
  readonly #chain: AuditChain;
  readonly #key: Uint8Array | null;
  readonly #keyName: string;
  readonly #visit: (record: AuditRecord) => void;
  readonly #anchor: AuditHead | null;
  #head = GENESIS;
  #records = 0;
  #tornBytes = 0;
  #lastFileBytes = 0;
  #isCurrentKey = false;
  #hasAnchor = false;
  readonly #noted: string[] = [];

  constructor(
    chain: AuditChain,
    key: Uint8Array | null,
    visit: (record: AuditRecord) => void,
    anchor: AuditHead | null,
  ) {
    this.#chain = chain;
    this.#key = key;
    this.#keyName = key === null ? '' : auditKeyName(key);
    this.#visit = visit;
    this.#anchor = anchor;
    this.#hasAnchor = anchor?.sequence === 0;
  }

  /** Takes the first line's word for where the chain stood before it. */
  beginAt(firstLine: string): void {
    const record = readRecord(firstLine);
    if (typeof record === 'string') return;
    this.#head = { sequence: record.sequence - 1, hash: record.previous };
    this.#hasAnchor ||= this.#anchor?.sequence === this.#head.sequence && this.#anchor.hash === this.#head.hash;
  }

  file(name: string, isNext: boolean, bytes: Buffer, isLast: boolean): void {
    this.#tornBytes = 0;
    this.#lastFileBytes = 0;
    if (!isNext) {
      this.#fail(name, 0, 'the file before it is missing');
      return;
    }
    let line = 0;
    for (let at = 0; at < bytes.length; ) {
      const end = bytes.indexOf(10, at);
      line++;
      if (end < 0) {
        this.#tornBytes = bytes.length - at;
        if (!isLast) this.#fail(name, line, 'it has no end, and the file is not the last');
        return;
      }
      this.#line(name, line, bytes.subarray(at, end));
      if (this.problem !== null) return;
      at = end + 1;
      this.#lastFileBytes = at;
    }
    if (line === 0 && !isLast) this.#fail(name, 0, 'the file is empty, and not the last');
  }

  #line(name: string, line: number, bytes: Buffer): void {
    const text = bytes.toString('utf8');
    // Bytes that are no UTF-8 become other bytes, so the hash would be of something that is not there.
    const record = Buffer.from(text).equals(bytes) ? readRecord(text) : 'it is not UTF-8';
    const reason = typeof record === 'string' ? record : this.#reasonAgainst(record, line);
    if (typeof record === 'string' || reason !== null) {
      this.#fail(name, line, reason ?? '');
      return;
    }
    this.#head = { sequence: record.sequence, hash: record.hash };
    this.#records++;
    this.#hasAnchor ||= this.#anchor?.sequence === record.sequence;
    if (record.kind === 'damage') this.#noted.push(noteOf(record));
    this.#visit(record);
  }

  /** Why a record that is sound on its own cannot stand where it stands. */
  #reasonAgainst(record: AuditRecord, line: number): string | null {
    const { sequence, hash } = this.#head;
    if (record.sequence !== sequence + 1) return `its sequence is ${record.sequence} behind ${sequence}`;
    if (record.previous !== hash) return 'it does not follow the record before it';
    if ((record.kind === 'file') !== (line === 1)) return 'a record `file` opens each file, and only that';
    if (line === 1) this.#isCurrentKey = record.detail?.key === this.#keyName;
    if (this.#key !== null && this.#isCurrentKey && !hasMac(record, this.#chain, this.#key))
      return "it is not signed under this node's secret";
    const isAnchored = this.#anchor?.sequence === record.sequence;
    return isAnchored && this.#anchor?.hash !== record.hash ? 'it is not the record that the anchor names' : null;
  }

  end(anchor: AuditHead | string, files: readonly string[]): void {
    if (this.problem !== null || (files.length === 0 && anchor === 'it is missing')) return;
    const last = files.at(-1) ?? '';
    if (typeof anchor === 'string') this.#fail(ANCHOR_FILE, 0, `the anchor: ${anchor}`);
    else if (!this.#hasAnchor) {
      this.#fail(last, 0, `the log ends at record ${this.#head.sequence}, and record ${anchor.sequence} was on disk`);
    } else if (this.#key !== null && this.#records > 0 && !this.#isCurrentKey) {
      this.#fail(last, 1, "the newest file is not signed under this node's secret");
    }
  }

  #fail(file: string, line: number, reason: string): void {
    this.problem ??= { chain: this.#chain, file, line, reason };
  }

  state(): Omit<ChainState, 'files'> {
    return {
      chain: this.#chain,
      records: this.#records,
      head: this.#head,
      problem: this.problem,
      tornBytes: this.#tornBytes,
      lastFileBytes: this.#lastFileBytes,
      noted: this.#noted,
      unanchored: this.#head.sequence - (this.#anchor?.sequence ?? 0),
    };
  }
}

function noteOf({ sequence, atEpochMillis, detail = {} }: AuditRecord): string {
  const at = new Date(atEpochMillis).toISOString();
  return `record ${sequence} of ${at}: a start found ${String(detail.file)} line ${String(detail.line)}: ${String(detail.reason)}`;
}
