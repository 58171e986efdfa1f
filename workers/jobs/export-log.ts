/**
 * The job that writes the decision log to a file: journal to NDJSON, off every event loop, also while the
 * node runs. The file appears under its name when it is whole; one that is there already is replaced.
 */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { JournalReader } from '../store/journal-reader.ts';
import { type EntryFilter, JournalLines } from './journal-lines.ts';

const CHUNK_LENGTH = 256 * 1024;

export interface ExportLogInput extends EntryFilter {
  /** The store's folder, `<data>/store`. */
  readonly storePath: string;
  readonly outPath: string;
  /** Lines at most; all when left out. */
  readonly limit?: number;
}

export interface ExportedLog {
  readonly outPath: string;
  readonly lines: number;
  readonly fileBytes: number;
}

/**
 * @throws StoreError `OPEN_FAILED` where no node has run, `CORRUPT` at a damaged batch; the file system's
 *   error for the output. Then no file is left behind.
 */
export async function exportLog(input: ExportLogInput): Promise<ExportedLog> {
  const { storePath, outPath, limit = Number.POSITIVE_INFINITY } = input;
  const reader = JournalReader.open(storePath);
  const writing = `${outPath}.writing`;
  try {
    const file = openSync(writing, 'w', 0o600);
    let lines = 0;
    let fileBytes = 0;
    try {
      let chunk = '';
      const flush = (): void => {
        const bytes = Buffer.from(chunk);
        for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
        fileBytes += bytes.length;
        chunk = '';
      };
      if (limit > 0) {
        for (const line of new JournalLines(reader, input).read()) {
          chunk += line;
          lines += 1;
          if (chunk.length >= CHUNK_LENGTH) flush();
          if (lines >= limit) break;
        }
      }
      flush();
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(writing, outPath);
    return { outPath, lines, fileBytes };
  } catch (error) {
    rmSync(writing, { force: true });
    throw error;
  } finally {
    await reader.close();
  }
}
