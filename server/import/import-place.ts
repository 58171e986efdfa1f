/**
 * How far a file is imported, noted beside it, and the rows that could not be taken, with their reasons, in a file of
 * their own. A note is one rename, so it is there whole or not at all; it says how long the file of rejects was, so that
 * one that was being written when the import ended is cut back and holds each row once. Another file or another mapping
 * under an old note is refused. Called by the command `import`, behind each step that is on disk.
 */
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { OperatorError } from '../operator-error.ts';
import { REJECTS_SUFFIX } from './export-rows.ts';

/** What tells one export from another is in its beginning. */
const DIGEST_BYTES = 1024 * 1024;

/** A row that was not taken; `line` is its line in the export, `row` its columns, or its text where it has none. */
export interface Reject {
  readonly line: number;
  readonly reason: string;
  readonly row: unknown;
}

interface Note {
  readonly line: number;
  readonly rejectsBytes: number;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly mapping: string;
}

export class ImportPlace {
  readonly rejectsPath: string;
  readonly sizeBytes: number;
  readonly #notePath: string;
  readonly #digest: string;
  readonly #mapping: string;
  /** Everything up to this line is on disk. */
  line = 0;
  #rejectsBytes = 0;

  /**
   * @param mapping digest of the mapping; null to look at the file without regard to a note, as a dry run does
   * @throws OperatorError `NO_FILE`, `NOTE_DAMAGED`, `FILE_CHANGED`, `MAPPING_CHANGED`
   */
  constructor(path: string, mapping: string | null) {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined || !stat.isFile())
      throw new OperatorError('NO_FILE', stat === undefined ? `there is no file ${path}` : `${path} is no file`, {
        advice: 'Give the path of one export: CSV or NDJSON, plain or gzip.',
      });
    this.sizeBytes = stat.size;
    this.#notePath = `${path}.import.json`;
    this.rejectsPath = `${path}${REJECTS_SUFFIX}`;
    this.#digest = digestOf(path);
    this.#mapping = mapping ?? '';
    if (mapping === null || !existsSync(this.#notePath)) return;
    const note = readNote(this.#notePath);
    const advice = `To begin with it anew, remove ${this.#notePath}.`;
    if (note === null) throw new OperatorError('NOTE_DAMAGED', `${this.#notePath} is no note of an import`, { advice });
    if (note.digest !== this.#digest || note.sizeBytes !== this.sizeBytes)
      throw new OperatorError('FILE_CHANGED', `${path} is not the file that was imported up to line ${note.line}`, {
        advice,
      });
    if (note.mapping !== mapping)
      throw new OperatorError('MAPPING_CHANGED', `${path} was imported up to line ${note.line} by another mapping`, {
        advice: `Go on with that one. ${advice}`,
      });
    this.line = note.line;
    this.#rejectsBytes = note.rejectsBytes;
  }

  /** Whether rows were rejected, of this import or of the one it goes on with. */
  get hasRejects(): boolean {
    return this.#rejectsBytes > 0;
  }

  /** Everything up to `line` is on disk, but for these rows. */
  note(line: number, rejects: readonly Reject[]): void {
    if (this.#rejectsBytes === 0) rmSync(this.rejectsPath, { force: true });
    if (rejects.length > 0) {
      if (this.#rejectsBytes > 0) truncateSync(this.rejectsPath, this.#rejectsBytes);
      const text = rejects.map((one) => `${JSON.stringify(one)}\n`).join('');
      appendFileSync(this.rejectsPath, text, { mode: 0o600 });
      this.#rejectsBytes += Buffer.byteLength(text);
    }
    const note: Note = {
      line,
      rejectsBytes: this.#rejectsBytes,
      digest: this.#digest,
      sizeBytes: this.sizeBytes,
      mapping: this.#mapping,
    };
    writeFileSync(`${this.#notePath}.new`, JSON.stringify(note), { mode: 0o600 });
    renameSync(`${this.#notePath}.new`, this.#notePath);
    this.line = line;
  }

  /** All of it: the next import of the same file begins anew. */
  finish(): void {
    rmSync(this.#notePath, { force: true });
  }
}

function readNote(path: string): Note | null {
  try {
    const note = JSON.parse(readFileSync(path, 'utf8')) as Partial<Note> | null; // looked at below
    const isWhole =
      [note?.line, note?.rejectsBytes, note?.sizeBytes].every((count) => Number.isSafeInteger(count)) &&
      typeof note?.digest === 'string' &&
      typeof note.mapping === 'string';
    return isWhole ? (note as Note) : null; // every field is there
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function digestOf(path: string): string {
  const bytes = Buffer.alloc(DIGEST_BYTES);
  const file = openSync(path, 'r');
  try {
    return createHash('sha256')
      .update(bytes.subarray(0, readSync(file, bytes, 0, bytes.length, 0)))
      .digest('hex');
  } finally {
    closeSync(file);
  }
}
