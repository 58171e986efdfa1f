/**
 * The writer of one chain of the audit log: numbers, chains and signs events, appends them to the newest file, syncs,
 * and moves the anchor behind what is synced. One writer a chain: the node's main thread, or a command that holds the
 * chain's lock.
 *
 *   append ─▸ queue ─▸ write (survives kill -9) ─▸ sync, at most 200 ms later (survives power loss) ─▸ anchor
 *
 * What a crash cut in the middle of a line is cut off at the next start and noted as `recovered`; a chain that is not
 * what was written is not mended but left as it is, noted as `damage`, and gone on with in a new file, so that an
 * attack on the log stops neither the service nor the record. While the disk refuses, events wait in memory, 10,000
 * at most, the owner is told (`onState`), and writing is tried again every second; what came beyond is counted in a
 * record `lost`.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { epochMillis } from '../clock.ts';
import { writeDurably } from '../store/data-folder.ts';
import { ANCHOR_FILE, type AuditProblem, auditFiles, chainFolder, readChainEnd } from './audit-files.ts';
import {
  type AuditChain,
  type AuditEvent,
  type AuditHead,
  auditKeyName,
  GENESIS,
  LOCAL_ACTOR,
  readRecord,
  writeAnchor,
  writeRecord,
} from './audit-record.ts';

const FILE_BYTES_MAX_DEFAULT = 16 * 1024 * 1024;
const PENDING_MAX = 10_000;
const WRITTEN_AT_ONCE = 500;
const SYNC_MILLIS = 200;
const RETRY_MILLIS = 1_000;

export interface AuditLogOptions {
  readonly dataFolder: string;
  readonly chain: AuditChain;
  /** See `deriveAuditKey`. */
  readonly key: Uint8Array;
  readonly fileBytesMax?: number;
  /** Told when the log cannot be written, with the reason, and when it can again, with null. */
  readonly onState?: (problem: string | null) => void;
}

interface Pending {
  readonly event: AuditEvent;
  readonly onWritten: (() => void) | undefined;
}

export class AuditLog {
  /** What was wrong with the chain when it was opened. */
  readonly damage: AuditProblem | null;
  /** Bytes of a line that a crash had cut. */
  readonly tornBytes: number;
  /** Whether there was no record before this start. */
  readonly isNew: boolean;
  readonly #options: AuditLogOptions;
  readonly #folder: string;
  #head: AuditHead;
  #anchored: AuditHead;
  #fileNumber: number;
  #file: FileHandle | null = null;
  #fileBytes = 0;
  #pending: Pending[] = [];
  #lost = 0;
  #problem: string | null = null;
  #isPumping = false;
  #isClosed = false;
  #syncTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  /** Writing, syncing and changing files happen one after the other. */
  #work: Promise<void> = Promise.resolve();

  /** Reads the chain, mends a torn end. Rejects with the file system's error when the folder cannot be used. */
  static async open(options: AuditLogOptions): Promise<AuditLog> {
    const folder = chainFolder(options.dataFolder, options.chain);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const log = new AuditLog(options, folder);
    await log.#begin();
    return log;
  }

  private constructor(options: AuditLogOptions, folder: string) {
    const state = readChainEnd(folder, options.chain, options.key);
    this.#options = options;
    this.#folder = folder;
    this.damage = state.problem;
    this.tornBytes = state.tornBytes;
    this.isNew = state.files.length === 0;
    // Behind a damaged place the chain goes on from the last line that has a hash, whatever it follows.
    this.#head = state.problem === null ? state.head : lastHead(folder, state.head);
    this.#anchored = state.head;
    // A file without a whole line is begun again.
    const isEmpty = state.files.length > 0 && state.lastFileBytes === 0 && state.problem === null;
    this.#fileNumber = Number.parseInt(state.files.at(-1) ?? '0', 10) - (isEmpty ? 1 : 0);
    this.#fileBytes = state.lastFileBytes;
  }

  /** The last record written. */
  get head(): AuditHead {
    return this.#head;
  }

  /** Why it cannot be written at the moment, or null. */
  get problem(): string | null {
    return this.#problem;
  }

  /** Queues an event. `onWritten` is called when it is in the file, or was given up. Never waits, never throws. */
  append(event: AuditEvent, onWritten?: () => void): void {
    if (this.#isClosed || this.#pending.length >= PENDING_MAX) {
      this.#lost++;
      onWritten?.();
      return;
    }
    this.#pending.push({ event, onWritten });
    void this.#pump();
  }

  /** Resolves when everything appended so far is on disk and anchored; rejects when it cannot be written. */
  async sync(): Promise<void> {
    await this.#pump();
    while (this.#pending.length > 0 && this.#problem === null) await this.#pump();
    await this.#then(async () => {
      if (this.#pending.length > 0 || this.#problem !== null)
        throw new Error(`the audit log in ${this.#folder} cannot be written (${this.#problem ?? 'not yet'})`);
      await this.#syncNow();
    });
  }

  /** Writes and syncs what is left, as far as the disk allows. */
  async close(): Promise<void> {
    await this.sync().catch(() => {});
    this.#isClosed = true;
    clearTimeout(this.#syncTimer);
    clearTimeout(this.#retryTimer);
    await this.#then(async () => {
      await this.#file?.close();
      this.#file = null;
    }).catch(() => {});
  }

  async #begin(): Promise<void> {
    const { key, chain } = this.#options;
    // Before the first record: a log without an anchor was tampered with, from its first line on.
    if (this.isNew && this.damage === null) await this.#putAnchor(GENESIS);
    const last = auditFiles(this.#folder).at(-1);
    if (last !== undefined && this.damage === null && this.#fileBytes > 0) {
      const isCurrentKey = firstKeyName(join(this.#folder, last)) === auditKeyName(key);
      const file = await open(join(this.#folder, last), 'r+');
      if (this.tornBytes > 0) await file.truncate(this.#fileBytes);
      if (isCurrentKey) this.#file = file;
      else await file.close();
    }
    const at = { actor: LOCAL_ACTOR, atEpochMillis: epochMillis() };
    if (this.damage !== null) {
      const { file, line, reason } = this.damage;
      this.append({ kind: 'damage', ...at, detail: { chain, file, line, reason } });
    } else if (this.tornBytes > 0) this.append({ kind: 'recovered', ...at, detail: { tornBytes: this.tornBytes } });
  }

  async #pump(): Promise<void> {
    if (this.#isPumping) return this.#work.catch(() => {});
    this.#isPumping = true;
    clearTimeout(this.#retryTimer);
    try {
      while (this.#pending.length > 0) await this.#then(() => this.#writeSome());
      this.#setProblem(null);
    } catch (error) {
      this.#setProblem(error instanceof Error ? error.message : String(error));
      if (!this.#isClosed) this.#retryTimer = setTimeout(() => void this.#pump(), RETRY_MILLIS);
    } finally {
      this.#isPumping = false;
    }
  }

  #setProblem(problem: string | null): void {
    const hasChanged = (problem === null) !== (this.#problem === null);
    this.#problem = problem;
    if (hasChanged) this.#options.onState?.(problem);
  }

  #then(step: () => Promise<void>): Promise<void> {
    const done = this.#work.then(step);
    this.#work = done.catch(() => {});
    return done;
  }

  /** Appends the oldest of what waits, in one write; what fails is cut off again and waits on. */
  async #writeSome(): Promise<void> {
    const { chain, key, fileBytesMax = FILE_BYTES_MAX_DEFAULT } = this.#options;
    if (this.#file === null || this.#fileBytes >= fileBytesMax) await this.#nextFile();
    const file = this.#file as FileHandle; // just opened
    const taken = this.#pending.slice(0, WRITTEN_AT_ONCE);
    const events = taken.map(({ event }) => event);
    const lost = this.#lost;
    if (lost > 0)
      events.unshift({ kind: 'lost', actor: LOCAL_ACTOR, atEpochMillis: epochMillis(), detail: { records: lost } });
    let head = this.#head;
    let text = '';
    for (const event of events) {
      const written = writeRecord(event, head, chain, key);
      text += written.line;
      head = written.head;
    }
    await this.#write(file, text, head);
    this.#lost -= lost;
    this.#pending.splice(0, taken.length);
    for (const { onWritten } of taken) onWritten?.();
    if (this.#syncTimer === undefined && !this.#isClosed)
      this.#syncTimer = setTimeout(() => this.#syncSoon(), SYNC_MILLIS);
  }

  async #write(file: FileHandle, text: string, head: AuditHead): Promise<void> {
    const bytes = Buffer.from(text);
    try {
      for (let done = 0; done < bytes.length; ) {
        done += (await file.write(bytes, done, bytes.length - done, this.#fileBytes + done)).bytesWritten;
      }
    } catch (error) {
      await file.truncate(this.#fileBytes).catch(() => {});
      throw error;
    }
    this.#fileBytes += bytes.length;
    this.#head = head;
  }

  /** Opens the next file, with the record that chains it to the one before. */
  async #nextFile(): Promise<void> {
    const { chain, key } = this.#options;
    if (this.#file !== null) {
      await this.#syncNow();
      await this.#file.close();
      this.#file = null;
    }
    const number = this.#fileNumber + 1;
    const file = await open(join(this.#folder, `${String(number).padStart(6, '0')}.ndjson`), 'w', 0o600);
    this.#fileBytes = 0;
    try {
      const detail = { chain, key: auditKeyName(key) };
      const event = { kind: 'file', actor: LOCAL_ACTOR, atEpochMillis: epochMillis(), detail } as const;
      const { line, head } = writeRecord(event, this.#head, chain, key);
      await this.#write(file, line, head);
    } catch (error) {
      await file.close();
      throw error;
    }
    this.#file = file;
    this.#fileNumber = number;
  }

  #syncSoon(): void {
    this.#syncTimer = undefined;
    void this.#then(() => this.#syncNow()).then(
      // After a failure nobody appends, because nothing is shown: the log opens again by itself.
      () => (this.#problem === null ? undefined : this.#pump()),
      (error: unknown) => {
        this.#setProblem(error instanceof Error ? error.message : String(error));
        if (!this.#isClosed) this.#syncTimer ??= setTimeout(() => this.#syncSoon(), RETRY_MILLIS);
      },
    );
  }

  /** First the records, then the anchor that names them: it is never ahead of what is on disk. */
  async #syncNow(): Promise<void> {
    const head = this.#head;
    if (head.sequence === this.#anchored.sequence || this.#file === null) return;
    await this.#file.datasync();
    await this.#putAnchor(head);
  }

  async #putAnchor(head: AuditHead): Promise<void> {
    const { chain, key } = this.#options;
    await writeDurably(this.#folder, ANCHOR_FILE, Buffer.from(writeAnchor(head, chain, key)), 0o600);
    this.#anchored = head;
  }
}

/** The last line of the chain's files that can be read at all, for a chain that is damaged before it. */
function lastHead(folder: string, otherwise: AuditHead): AuditHead {
  for (const name of auditFiles(folder).reverse()) {
    const lines = readFileSync(join(folder, name), 'utf8').split('\n');
    for (const line of lines.reverse()) {
      const record = readRecord(line);
      if (typeof record !== 'string') return { sequence: record.sequence, hash: record.hash };
    }
  }
  return otherwise;
}

/** The key that a file's records are signed under, as its first record names it. */
function firstKeyName(path: string): unknown {
  const record = readRecord(readFileSync(path, 'utf8').split('\n', 1)[0] ?? '');
  return typeof record === 'string' ? null : record.detail?.key;
}
