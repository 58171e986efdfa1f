/**
 * `opportune log`: prints the decision log of a data folder as NDJSON, one entry a line in the order of
 * time, also while a node writes to it. With `--follow` it goes on with what is committed later; with
 * `--out` a pool thread writes the file. No profile key can appear: the log has none.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { epochMillis } from '../../workers/clock.ts';
import { JobPool } from '../../workers/jobs/job-pool.ts';
import { ENTRY_TYPES, type EntryFilter, type EntryType, JournalLines } from '../../workers/jobs/journal-lines.ts';
import { JournalReader } from '../../workers/store/journal-reader.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, type CommandOptions, EXIT, textOption } from './command.ts';
import { configOfFolder, type FolderConfig, recordCommand } from './command-audit.ts';
import { wholeOption } from './connection.ts';
import { formatBytes, formatCount } from './terminal-text.ts';

const POLL_MILLIS = 200;
const LIMIT_MAX = 1_000_000_000_000;

export async function run(call: CommandCall, signal?: AbortSignal): Promise<number> {
  const { options, io } = call;
  const config = configOfFolder(call);
  const storePath = join(config.data, 'store');
  const filter = readFilter(options, epochMillis());
  const limit = wholeOption(options, 'limit', 0, LIMIT_MAX);
  const outPath = textOption(options, 'out');
  if (outPath !== undefined) {
    if (options.follow === true) {
      throw new OperatorError('USAGE', '--out writes a whole file and --follow never ends', {
        advice: 'To keep a growing file write `opportune log --follow > FILE`.',
      });
    }
    return exportTo(call, config, outPath, { storePath, ...filter, ...(limit === undefined ? {} : { limit }) });
  }
  const reader = openLog(storePath);
  await recordRead(config, reader, options.follow === true ? 'follow' : 'print');
  const stop = stopSignal(options.follow === true, signal);
  try {
    const lines = new JournalLines(reader, filter);
    let left = limit ?? Number.POSITIVE_INFINITY;
    for (;;) {
      for (const line of lines.read()) {
        if (left <= 0 || stop.signal.aborted) return EXIT.ok;
        io.out(line);
        left -= 1;
      }
      if (options.follow !== true || left <= 0 || stop.signal.aborted) return EXIT.ok;
      await sleep(POLL_MILLIS, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  } finally {
    stop.dispose();
    await reader.close();
  }
}

/** A log that may not be read is not left open. */
async function recordRead(config: FolderConfig, reader: JournalReader, how: string): Promise<void> {
  try {
    await recordCommand(config, { kind: 'access', detail: { command: 'log', how } });
  } catch (error) {
    await reader.close();
    throw error;
  }
}

async function exportTo(
  call: CommandCall,
  config: FolderConfig,
  outPath: string,
  input: EntryFilter & { readonly storePath: string; readonly limit?: number },
): Promise<number> {
  // Opened here first: what is wrong with the folder is then said with advice, and no thread is started.
  await openLog(input.storePath).close();
  await recordCommand(config, { kind: 'access', detail: { command: 'log', how: 'export' } });
  const pool = new JobPool({ threads: 1 });
  try {
    const { lines, fileBytes } = await pool.run('exportLog', { ...input, outPath });
    call.io.err(`${formatCount(lines, 'line')}, ${formatBytes(fileBytes)}, in ${outPath}\n`);
    return EXIT.ok;
  } finally {
    await pool.close();
  }
}

/** The journal of a data folder, for reading. @throws OperatorError `NO_LOG` */
export function openLog(storePath: string): JournalReader {
  try {
    return JournalReader.open(storePath);
  } catch (cause) {
    if ((cause as { code?: unknown }).code !== 'OPEN_FAILED') throw cause; // StoreError has a code; others go on up
    throw new OperatorError('NO_LOG', `there is no log in ${storePath}`, {
      advice: 'Name the data folder of a node that has run, with --data or OPPORTUNE_DATA.',
      cause,
    });
  }
}

/** With `--follow` the first Ctrl-C ends the output between two lines. */
function stopSignal(isFollowing: boolean, given: AbortSignal | undefined): { signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  given?.addEventListener('abort', abort, { once: true });
  if (given?.aborted === true) abort();
  if (isFollowing) {
    process.once('SIGINT', abort);
    process.once('SIGTERM', abort);
  }
  return {
    signal: controller.signal,
    dispose: () => {
      given?.removeEventListener('abort', abort);
      process.off('SIGINT', abort);
      process.off('SIGTERM', abort);
    },
  };
}

function readFilter(options: CommandOptions, nowEpochMillis: number): EntryFilter {
  const types = textOption(options, 'type');
  const since = textOption(options, 'since');
  return {
    ...(types === undefined ? {} : { types: types.split(',').map(readType) }),
    ...(since === undefined ? {} : { sinceEpochMillis: readSince(since, nowEpochMillis) }),
  };
}

function readType(word: string): EntryType {
  const found = ENTRY_TYPES.find((type) => type === word.trim());
  if (found !== undefined) return found;
  throw new OperatorError('USAGE', `--type knows no entries ${JSON.stringify(word)}`, {
    advice: `It is one or more of ${ENTRY_TYPES.join(',')}.`,
  });
}

const AGO = /^(\d{1,9})(s|m|h|d)$/;
const UNIT_MILLIS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `15m`, `2h`, `7d` ago; epoch milliseconds; or ISO 8601. */
export function readSince(text: string, nowEpochMillis: number): number {
  const ago = AGO.exec(text);
  const unit = UNIT_MILLIS[ago?.[2] ?? ''];
  if (ago !== null && unit !== undefined) return nowEpochMillis - Number(ago[1]) * unit;
  const millis = /^\d{9,}$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isSafeInteger(millis)) return millis;
  throw new OperatorError(
    'USAGE',
    `--since must be an age, epoch milliseconds or ISO 8601, not ${JSON.stringify(text)}`,
    {
      advice: 'Write for example --since 15m or --since 2026-11-22T20:00:00+08:00.',
    },
  );
}
