/**
 * `opportune import FILE --mapping M`: tells a server what an export of another system says of people: their traits,
 * and what they did. It goes in steps: when all of a step is on disk its last line is noted beside the file, and an
 * import that was ended goes on behind it. A step is bounded in rows and characters, read or rejected alike, and the
 * next one is read while one is under way, so memory is that of two steps whatever the file holds.
 */
import { setTimeout } from 'node:timers/promises';
import { connect, type OpportuneClient } from '../../client/index.ts';
import { CLOSE_CODE } from '../../proto/limits.ts';
import { monotonicMillis } from '../../workers/clock.ts';
import { ExportError, type ExportRow, readExport } from '../import/export-rows.ts';
import { columnsOf, readImportMapping } from '../import/import-mapping.ts';
import { ImportPlace, type Reject } from '../import/import-place.ts';
import { type ImportRow, readRow } from '../import/import-row.ts';
import { ImportSender } from '../import/import-sender.ts';
import { OperatorError } from '../operator-error.ts';
import { packageVersion } from '../package-version.ts';
import { type CommandCall, EXIT, textOption } from './command.ts';
import { urlOf, wholeOption } from './connection.ts';
import { ProgressLine } from './progress-line.ts';
import { formatCount, formatDuration } from './terminal-text.ts';
import { tokenOf } from './token.ts';

/** Rows of one step. A step may be sent twice, and all of it may be one person's: of each 1,024 message ids are known. */
export const STEP_ROWS = 1_000;
const STEP_SIZE = 4 * 1024 * 1024;
const WAIT_MILLIS = 300_000;
const WAIT_MILLIS_MAX = 86_400_000;
/** Shown by a dry run: rows as they would be sent, and rows that would not be. */
const EXAMPLES = 3;
const REASONS = 10;

/** Rows on their way: those to send, and those that will not be sent. */
interface Step {
  readonly rows: { readonly row: ImportRow; readonly source: ExportRow }[];
  readonly rejects: Reject[];
  read: number;
  size: number;
}

export async function run(call: CommandCall): Promise<number> {
  const { positionals, options, io } = call;
  const [path = ''] = positionals;
  const mappingPath = textOption(options, 'mapping');
  if (mappingPath === undefined)
    throw new OperatorError('USAGE', '--mapping is missing: it says what the columns mean', {
      advice: 'Write for example: opportune import orders.csv.gz --mapping mappings/import/shop-orders.yaml',
    });
  const waitMillis = wholeOption(options, 'timeout', 1, WAIT_MILLIS_MAX) ?? WAIT_MILLIS;
  const mapping = readImportMapping(mappingPath);
  const isDry = options.dryRun === true;
  const place = new ImportPlace(path, isDry ? null : mapping.digest);
  let isTokenOver = false;
  const client = isDry
    ? null
    : await connected(urlOf(options, io), tokenOf(io), mapping.name, (closeCode) => {
        if (closeCode === CLOSE_CODE.policy) isTokenOver = true;
      });
  const progress = new ProgressLine(io);
  const sender =
    client === null
      ? null
      : new ImportSender(client, {
          now: monotonicMillis,
          sleep: (millis) => setTimeout(millis),
          waitMillis,
          isTokenOver: () => isTokenOver,
          onWait: (reason, waited) => {
            progress.end();
            io.err(`waiting for ${formatDuration(waited)}: ${reason}\n`);
          },
        });
  const tally = { rows: 0, skipped: 0, rejected: 0 };
  const examples: ImportRow[] = [];
  const reasons: { line: number; reason: string }[] = [];
  const startMillis = monotonicMillis();
  const elapsedMillis = (): number => monotonicMillis() - startMillis;
  let source = { bytesRead: 0 };
  let last = place.line;
  let step = emptyStep();
  let sending: Promise<void> = Promise.resolve();

  const send = async ({ rows, rejects }: Step, line: number): Promise<void> => {
    const refused = (await sender?.deliver(rows.map(({ row }) => row))) ?? new Map<number, string>();
    for (const [index, reason] of refused) {
      const from = rows[index]?.source;
      if (from !== undefined) rejects.push({ line: from.origin, reason, row: from.content() });
    }
    rejects.sort((one, other) => one.line - other.line);
    tally.rejected += rejects.length;
    for (const { line: at, reason } of rejects.slice(0, REASONS - reasons.length)) reasons.push({ line: at, reason });
    if (!isDry) place.note(line, rejects);
    const rate = Math.round((tally.rows / Math.max(elapsedMillis(), 1)) * 1000);
    progress.show(`line ${line}, ${rate} rows/s, ${tally.rejected} rejected`, source.bytesRead, place.sizeBytes);
  };
  /** Waits for the step under way and sends this one, while the next is read. */
  const pass = async (): Promise<void> => {
    await sending;
    sending = send(step, last);
    sending.catch(() => undefined); // thrown by whoever waits for it next
    step = emptyStep();
  };
  const take = (row: ExportRow): void => {
    last = row.line;
    tally.rows += 1;
    step.read += 1;
    step.size += row.size;
    const read = readRow(mapping, row);
    if (read === null) tally.skipped += 1;
    else if (typeof read === 'string') step.rejects.push({ line: row.origin, reason: read, row: row.content() });
    else {
      if (examples.length < EXAMPLES) examples.push(read);
      step.rows.push({ row: read, source: row });
    }
  };

  let problem: string | null = null;
  try {
    const from = last;
    try {
      for await (const rows of readExport(path, mapping.delimiter ?? ',', columnsOf(mapping), (opened) => {
        source = opened;
      }))
        for (const row of rows) {
          if (row.line <= from) continue;
          take(row);
          if (step.read >= STEP_ROWS || step.size >= STEP_SIZE) await pass();
        }
    } catch (error) {
      if (!(error instanceof ExportError)) throw error;
      // What came before is taken; where the file breaks off is said.
      problem = `behind line ${last}: ${error.message}`;
    }
    if (step.read > 0) await pass();
    await sending;
  } catch (error) {
    throw stopped(error, place.line);
  } finally {
    // What is under way is not refused for a client that was closed.
    await sending.catch(() => undefined);
    progress.end();
    client?.close();
  }
  if (problem === null && !isDry) place.finish();

  const counts = sender?.counts ?? { events: 0, duplicates: 0, identified: 0 };
  const rejects = place.hasRejects ? place.rejectsPath : null;
  if (options.json === true) {
    const report = { ...tally, ...counts, problem, rejects, reasons, seconds: elapsedMillis() / 1000 };
    io.out(`${JSON.stringify(isDry ? { ...report, examples } : report)}\n`);
  } else {
    if (isDry) for (const example of examples) io.out(`${JSON.stringify(example)}\n`);
    if (isDry) for (const { line, reason } of reasons) io.out(`line ${line}: ${reason}\n`);
    const { events, duplicates, identified } = counts;
    const seconds = Math.max(elapsedMillis(), 1) / 1000;
    io.out(
      `${formatCount(tally.rows, 'row')}: ${formatCount(events, 'event')} (${duplicates} known already), ` +
        `${identified} told of people, ${tally.skipped} skipped, ${tally.rejected} rejected; ` +
        `${formatDuration(seconds * 1000)}, ${formatCount(Math.round(tally.rows / seconds), 'row')} a second\n` +
        (rejects === null ? '' : `why: ${rejects}; mend its rows and import that file\n`) +
        (problem === null ? '' : `the file broke off ${problem}; what came before is imported\n`),
    );
  }
  return tally.rejected === 0 && rejects === null && problem === null ? EXIT.ok : EXIT.failed;
}

function emptyStep(): Step {
  return { rows: [], rejects: [], read: 0, size: 0 };
}

/** What ended the import, with how far it is. */
function stopped(error: unknown, line: number): unknown {
  if (!(error instanceof OperatorError) || line === 0) return error;
  const { code, message, advice } = error;
  return new OperatorError(code, `${message} (imported up to line ${line})`, { advice, cause: error });
}

/**
 * Resolves once connected; the first failure is final. Later losses are told, and met by repeating.
 * @param mapping its name, under which the server counts the rows
 */
function connected(
  url: string,
  token: string,
  mapping: string,
  onLost: (closeCode: number | undefined) => void,
): Promise<OpportuneClient> {
  let isConnected = false;
  return new Promise((resolve, reject) => {
    const client = connect({
      url,
      token,
      clientName: `opportune-import/${mapping.replace(/[^\w.-]/g, '_').slice(0, 64)}`,
      clientVersion: packageVersion(),
      onStatus: (status, closeCode) => {
        if (status === 'connected') {
          isConnected = true;
          resolve(client);
        }
        if (status !== 'offline') return;
        if (isConnected) return onLost(closeCode);
        // Closed after this call: the client must not go on trying to connect.
        queueMicrotask(() => client.close());
        const advice = 'Start one with `npm start`, give its address with --url, or its token in OPPORTUNE_TOKEN.';
        reject(new OperatorError('SERVER_UNREACHABLE', `no server answers at ${url}`, { advice }));
      },
    });
  });
}
