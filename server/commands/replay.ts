/**
 * `opportune replay LOG --mapping FILE`: streams a logged customer file through a running server over
 * WebSocket, learning as it goes, and says how its policy does against the one that made the log. See
 * docs/REPLAY.md for the mapping file and for what the estimates mean.
 */
import { basename } from 'node:path';
import { connect, type OpportuneClient } from '../../client/index.ts';
import { epochMillis, monotonicMillis } from '../../workers/clock.ts';
import { JobPool } from '../../workers/jobs/job-pool.ts';
import { OperatorError } from '../operator-error.ts';
import { packageVersion } from '../package-version.ts';
import { readMappingFile } from '../replay/replay-mapping.ts';
import { evaluateReplay, renderReplay } from '../replay/replay-report.ts';
import { ReplayRun } from '../replay/replay-run.ts';
import type { ReplayTally } from '../replay/replay-tally.ts';
import { RowSource } from '../replay/row-source.ts';
import { type CommandCall, type CommandIo, EXIT, textOption } from './command.ts';
import { urlOf, wholeOption } from './connection.ts';
import { tokenOf } from './token.ts';

const CONCURRENCY_DEFAULT = 32;
/** Generous: a busy server should slow the replay down, not end it. */
const DEADLINE_MILLIS = 10_000;
const PROGRESS_MILLIS = 250;
/** Where nothing can be drawn over, one line now and then. */
const PROGRESS_PLAIN_MILLIS = 10_000;
const CLEAR_LINE = '\r\u001b[2K';

export async function run(call: CommandCall): Promise<number> {
  const { options, positionals, io } = call;
  const path = positionals[0] ?? '';
  const mappingPath = textOption(options, 'mapping');
  if (mappingPath === undefined) {
    throw new OperatorError('USAGE', '--mapping is missing: it says what the columns of the log mean', {
      advice: 'Write for example: opportune replay log.csv.gz --mapping mappings/hillstrom.yaml',
    });
  }
  const mapping = readMappingFile(mappingPath);
  const url = urlOf(options, io);
  const passes = wholeOption(options, 'passes', 1, 1000) ?? 1;
  const seed = wholeOption(options, 'seed', 0, 0xffffffff) ?? 1;
  const concurrency = wholeOption(options, 'concurrency', 1, 512) ?? CONCURRENCY_DEFAULT;
  const source = new RowSource({
    path,
    mapping,
    passes,
    seed,
    isShuffled: options.shuffle === true,
    rowsMax: wholeOption(options, 'limit', 1, Number.MAX_SAFE_INTEGER) ?? Number.POSITIVE_INFINITY,
  });
  const client = await connected(url, tokenOf(io));
  const pool = new JobPool({ threads: 1 });
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.once('SIGINT', onSignal);
  try {
    const replay = new ReplayRun(client, {
      mapping,
      source,
      passes,
      concurrency,
      keyPrefix: `${mapping.name}-${epochMillis().toString(36)}-`,
      signal: stop.signal,
    });
    const progress = startProgress(io, replay.tally, mapping.rewards[0]?.name ?? '');
    const outcome = await replay.run().finally(progress.stop);
    if (outcome.tally.rows === 0) {
      const reason =
        source.skippedReason === null
          ? 'it has no rows'
          : `of ${source.skippedRows} rows none can be used: ${source.skippedReason}`;
      throw new OperatorError('LOG_UNREADABLE', `nothing in ${path} to replay: ${reason}`, {
        advice: 'Compare the log with the mapping; see docs/REPLAY.md.',
      });
    }
    // The file is read once, and what one pass left out every pass left out.
    const { skippedRows, skippedReason } = source;
    const facts = { mapping, log: basename(path), url, concurrency, skippedRows, skippedReason };
    const report = await evaluateReplay(outcome, facts, pool);
    io.out(options.json === true ? `${JSON.stringify(report)}\n` : renderReplay(report, io.hasColour));
    return EXIT.ok;
  } finally {
    process.off('SIGINT', onSignal);
    client.close();
    await pool.close();
  }
}

/** Resolves once connected; the first failure is final, a person is waiting. Later losses are met by repeating. */
function connected(url: string, token: string): Promise<OpportuneClient> {
  let isConnected = false;
  return new Promise((resolve, reject) => {
    const client = connect({
      url,
      token,
      deadlineMillis: DEADLINE_MILLIS,
      clientName: 'opportune-replay',
      clientVersion: packageVersion(),
      onStatus: (status) => {
        if (status === 'connected') {
          isConnected = true;
          resolve(client);
        }
        if (status !== 'offline' || isConnected) return;
        // Closed after this call: the client must not go on trying to connect.
        queueMicrotask(() => client.close());
        reject(
          new OperatorError('SERVER_UNREACHABLE', `no server answers at ${url}`, {
            advice: 'Start one with `npm start`, or give its address with --url.',
          }),
        );
      },
    });
  });
}

function startProgress(io: CommandIo, tally: ReplayTally, reward: string): { stop: () => void } {
  const startMillis = monotonicMillis();
  let lastRows = 0;
  let lastMillis = startMillis;
  const show = (): void => {
    const nowMillis = monotonicMillis();
    const perSecond = Math.round(((tally.rows - lastRows) * 1000) / Math.max(1, nowMillis - lastMillis));
    lastRows = tally.rows;
    lastMillis = nowMillis;
    const mean =
      tally.matchedRows === 0
        ? ''
        : ` · ${reward} ${(tally.matchedReward / tally.matchedRows).toPrecision(3)} a matched row`;
    const text = `${tally.rows.toLocaleString('en')} rows · ${perSecond.toLocaleString('en')} decisions/s · ${tally.matchedRows.toLocaleString('en')} matched${mean}`;
    io.err(io.hasColour ? CLEAR_LINE + text : `${text}\n`);
  };
  const timer = setInterval(show, io.hasColour ? PROGRESS_MILLIS : PROGRESS_PLAIN_MILLIS);
  return {
    stop: () => {
      clearInterval(timer);
      if (io.hasColour) io.err(CLEAR_LINE);
    },
  };
}
