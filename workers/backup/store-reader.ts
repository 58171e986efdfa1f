/**
 * Reads a whole store in a process that may die of it: pages that are damaged or missing end their reader with
 * SIGSEGV, SIGBUS or an abort, and this turns that into a finding with a name. `opportune verify`, `backup` and
 * `restore` call it, and a start whose data file is shorter than its own head says.
 */
import { fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Finding, StoreTotals } from './verify-store.ts';

/** Lines of the reader's own last words that are quoted. */
const LAST_WORDS_CHARACTERS = 300;

export interface StoreReaderTask {
  readonly storePath: string;
  readonly isLive: boolean;
}

export type StoreReaderMessage =
  | { readonly kind: 'finding'; readonly finding: Finding }
  | { readonly kind: 'progress'; readonly done: number; readonly total: number }
  | { readonly kind: 'totals'; readonly totals: StoreTotals }
  | { readonly kind: 'failed'; readonly reason: string };

export interface ReadStoreOptions extends StoreReaderTask {
  onFinding(finding: Finding): void;
  onProgress?(done: number, total: number): void;
  /** Folder of the compiled `verify-process.js`, ending in a slash. Default: this file's own. */
  readonly folder?: URL;
}

/** Resolves to the totals, or to null when the store could not be read to its end, which is then a finding. */
export function readStore(options: ReadStoreOptions): Promise<StoreTotals | null> {
  const script = fileURLToPath(new URL('verify-process.js', options.folder ?? new URL('./', import.meta.url)));
  if (!existsSync(script)) throw new Error(`${script} is missing: build the program first`);
  const child = fork(script, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [] });
  let totals: StoreTotals | null = null;
  let reason = '';
  let lastWords = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    lastWords = (lastWords + text).slice(-LAST_WORDS_CHARACTERS);
  });
  child.on('message', (message: StoreReaderMessage) => {
    if (message.kind === 'finding') options.onFinding(message.finding);
    else if (message.kind === 'progress') options.onProgress?.(message.done, message.total);
    else if (message.kind === 'totals') totals = message.totals;
    else reason = message.reason;
  });
  child.send({ storePath: options.storePath, isLive: options.isLive } satisfies StoreReaderTask);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (totals === null) {
        const end = signal === null ? `exit code ${String(code)}` : `signal ${signal}`;
        options.onFinding({
          kind: 'structure',
          what:
            reason === ''
              ? `its pages are damaged or missing: reading them ended the reader by ${end}. ${lastWords}`.trim()
              : reason,
          where: options.storePath,
          advice: 'restore the newest backup that verifies (opportune restore)',
        });
      }
      resolve(totals);
    });
  });
}
