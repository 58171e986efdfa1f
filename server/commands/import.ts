/**
 * `opportune import FILE --mapping M`: tells a server what an export of another system says of people: their traits,
 * and what they did, each event once however often it is imported. It goes in steps: when all of a step is on disk
 * its last line is noted beside the file, and an import that was ended goes on behind it. Rows that cannot be taken
 * are written to a file of their own, with the reason.
 */
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect, type OpportuneClient } from '../../client/index.ts';
import { FAULT } from '../../proto/statuses.ts';
import { monotonicMillis } from '../../workers/clock.ts';
import { ExportError, readExport } from '../import/export-rows.ts';
import { columnsOf, type ImportRow, readImportMapping, readRow } from '../import/import-mapping.ts';
import { OperatorError } from '../operator-error.ts';
import { packageVersion } from '../package-version.ts';
import { type CommandCall, EXIT, textOption } from './command.ts';
import { urlOf } from './connection.ts';
import { ProgressLine } from './progress-line.ts';
import { formatCount, formatDuration } from './terminal-text.ts';
import { tokenOf } from './token.ts';

/** Rows of one step, all of them under way at once. */
const STEP_ROWS = 1_000;
const DEADLINE_MILLIS = 60_000;
const RETRY_MILLIS = 250;
const EXAMPLES = 3;

interface Tally {
  rows: number;
  events: number;
  identified: number;
  duplicates: number;
  skipped: number;
  rejected: number;
}

export async function run(call: CommandCall): Promise<number> {
  const { positionals, options, io } = call;
  const [path = ''] = positionals;
  const mappingPath = textOption(options, 'mapping');
  if (mappingPath === undefined)
    throw new OperatorError('USAGE', '--mapping is missing: it says what the columns mean', {
      advice: 'Write for example: opportune import orders.csv.gz --mapping mappings/import/shop-orders.yaml',
    });
  if (!existsSync(path)) throw new OperatorError('NO_FILE', `there is no file ${path}`, { advice: 'Check its path.' });
  const mapping = readImportMapping(mappingPath);
  const isDry = options.dryRun === true;
  const place = new Place(path, isDry);
  const client = isDry ? null : await connected(urlOf(options, io), tokenOf(io));
  const progress = new ProgressLine(io);
  const tally: Tally = { rows: 0, events: 0, identified: 0, duplicates: 0, skipped: 0, rejected: 0 };
  const startedMillis = monotonicMillis();
  let problem: string | null = null;
  let step: { line: number; text: string; row: ImportRow }[] = [];
  let last = place.line;
  let source = { bytesRead: 0 };
  const examples: ImportRow[] = [];
  const send = async (): Promise<void> => {
    const rejects =
      client === null
        ? []
        : (await Promise.all(step.map((one) => sendRow(client, one, tally)))).filter((one) => one !== null);
    tally.rejected += rejects.length;
    place.note(last, rejects);
    step = [];
    const seconds = (monotonicMillis() - startedMillis) / 1000;
    const rate = Math.round(tally.rows / Math.max(seconds, 0.001));
    progress.show(`line ${last}, ${rate} rows/s, ${tally.rejected} rejected`, source.bytesRead, place.sizeBytes);
  };
  try {
    for await (const row of readExport(path, mapping.delimiter ?? ',', columnsOf(mapping), (opened) => {
      source = opened;
    })) {
      if (row.line <= place.line) continue;
      last = row.line;
      tally.rows++;
      const read = 'problem' in row ? row.problem : readRow(mapping, row.cellOf, row.text);
      if (read === null) tally.skipped++;
      else if (typeof read === 'string') {
        tally.rejected++;
        place.reject({ line: row.line, reason: read, row: row.text });
      } else {
        if (examples.length < EXAMPLES) examples.push(read);
        step.push({ line: row.line, text: row.text, row: read });
      }
      if (step.length >= STEP_ROWS) await send();
    }
  } catch (error) {
    // What came before is taken; where the file breaks off is said.
    if (
      !(error instanceof ExportError) &&
      !(error instanceof OperatorError) &&
      !(error instanceof TypeError) &&
      !('code' in (error as object))
    )
      throw error;
    problem = `behind line ${last}: ${(error as Error).message}`;
  }
  await send();
  progress.end();
  client?.close();
  if (problem === null) place.finish();
  const seconds = (monotonicMillis() - startedMillis) / 1000;
  if (options.json === true)
    io.out(
      `${JSON.stringify({ ...tally, problem, rejects: place.rejectsPath, seconds, ...(isDry ? { examples } : {}) })}\n`,
    );
  else {
    for (const example of isDry ? examples : []) io.out(`${JSON.stringify(example)}\n`);
    io.out(
      `${formatCount(tally.rows, 'row')}: ${tally.events} events (${tally.duplicates} known already), ${tally.identified} people told of, ` +
        `${tally.skipped} skipped, ${tally.rejected} rejected, ${formatDuration(seconds * 1000)}\n` +
        (tally.rejected > 0 && !isDry ? `why: ${place.rejectsPath}\n` : '') +
        (problem === null ? '' : `the file broke off ${problem}; what came before is imported\n`),
    );
  }
  return tally.rejected === 0 && problem === null ? EXIT.ok : EXIT.failed;
}

interface Reject {
  readonly line: number;
  readonly reason: string;
  readonly row: string;
}

/** One row's requests; null, or why the server will not have it. What it cannot take now is sent again. */
async function sendRow(
  client: OpportuneClient,
  { line, text, row }: { readonly line: number; readonly text: string; readonly row: ImportRow },
  tally: Tally,
): Promise<Reject | null> {
  const { profile, traits, event } = row;
  try {
    if (traits !== null) {
      await again(() => client.identify({ profile, traits, deadlineMillis: DEADLINE_MILLIS }));
      tally.identified++;
    }
    if (event !== null) {
      const reply = await again(() => client.track({ profile, ...event, deadlineMillis: DEADLINE_MILLIS }));
      if (reply.duplicate) tally.duplicates++;
      tally.events++;
    }
    return null;
  } catch (error) {
    return { line, reason: error instanceof Error ? error.message : String(error), row: text };
  }
}

async function again<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const { retry, retryAfterMillis, code } = error as { retry?: unknown; retryAfterMillis?: number; code?: unknown }; // of OpportuneError
      if (retry === undefined || retry === 'never' || code === FAULT.unimplemented.code) throw error;
      await new Promise((resolve) => setTimeout(resolve, retryAfterMillis ?? RETRY_MILLIS));
    }
  }
}

/** How far the file is imported, beside the file; and what of it could not be. */
class Place {
  readonly #notePath: string;
  readonly rejectsPath: string;
  readonly sizeBytes: number;
  readonly #digest: string;
  readonly #isDry: boolean;
  #pending: Reject[] = [];
  /** Everything up to this line is on disk. */
  line = 0;

  constructor(path: string, isDry: boolean) {
    this.#isDry = isDry;
    this.#notePath = `${path}.import.json`;
    this.rejectsPath = `${path}.rejects.ndjson`;
    this.sizeBytes = statSync(path).size;
    this.#digest = digestOf(path);
    if (!existsSync(this.#notePath)) {
      if (!isDry) rmSync(this.rejectsPath, { force: true });
      return;
    }
    const { line, digest, sizeBytes } = JSON.parse(readFileSync(this.#notePath, 'utf8')) as {
      line: number;
      digest: string;
      sizeBytes: number;
    }; // written below
    if (digest !== this.#digest || sizeBytes !== this.sizeBytes)
      throw new OperatorError('FILE_CHANGED', `${path} is not the file that was imported up to line ${line}`, {
        advice: `To begin with it anew, remove ${this.#notePath}.`,
      });
    this.line = line;
  }

  reject(reject: Reject): void {
    this.#pending.push(reject);
  }

  note(line: number, rejects: readonly Reject[]): void {
    const all = [...this.#pending, ...rejects];
    this.#pending = [];
    if (this.#isDry) return;
    if (all.length > 0)
      appendFileSync(this.rejectsPath, all.map((one) => `${JSON.stringify(one)}\n`).join(''), { mode: 0o600 });
    writeFileSync(`${this.#notePath}.new`, JSON.stringify({ line, digest: this.#digest, sizeBytes: this.sizeBytes }));
    renameSync(`${this.#notePath}.new`, this.#notePath);
    this.line = line;
  }

  /** All of it: the next import of the same file begins anew, and changes nothing. */
  finish(): void {
    if (!this.#isDry) rmSync(this.#notePath, { force: true });
  }
}

/** Of the first megabyte, which tells one export from another. */
function digestOf(path: string): string {
  const bytes = Buffer.alloc(1024 * 1024);
  const length = readSync(openSync(path, 'r'), bytes, 0, bytes.length, 0);
  return createHash('sha256').update(bytes.subarray(0, length)).digest('hex');
}

/** Resolves once connected; the first failure is final. Later losses are met by repeating. */
function connected(url: string, token: string): Promise<OpportuneClient> {
  let isConnected = false;
  return new Promise((resolve, reject) => {
    const client = connect({
      url,
      token,
      deadlineMillis: DEADLINE_MILLIS,
      clientName: 'opportune-import',
      clientVersion: packageVersion(),
      offlineQueueMax: 2 * STEP_ROWS,
      onStatus: (status) => {
        if (status === 'connected') {
          isConnected = true;
          resolve(client);
        }
        if (status !== 'offline' || isConnected) return;
        // Closed after this call: the client must not go on trying to connect.
        queueMicrotask(() => client.close());
        const advice = 'Start one with `npm start`, or give its address with --url.';
        reject(new OperatorError('SERVER_UNREACHABLE', `no server answers at ${url}`, { advice }));
      },
    });
  });
}
