/**
 * Streams logged rows through a running server and lets it learn from those it could have served:
 * replay-matching (Li, Chu, Langford and Wang, WSDM 2011). For each row the person's traits are set and a
 * decision is asked for; where the action chosen is the one logged, the row's outcome is what would have
 * happened, so it is tracked and learnt from; where not, nothing is known, and the decision is released.
 * Rows met so are an unbiased sample of the server's own policy where logging was random.
 *
 *   lane ─▶ [identify × 8] ─▶ decide × 8, timed one by one ─▶ [impression, response | release …] ─▶ next 8 rows
 *
 * Several lanes run at once, so learning lags by at most the rows in flight. Each pass has people of its own:
 * caps and history of one pass do not leak into the next, while the models go on learning.
 */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DecideReply, OpportuneError, type Reply, type RequestBody } from '../../client/index.ts';
import { monotonicMicros, monotonicMillis } from '../../workers/clock.ts';
import { OperatorError } from '../operator-error.ts';
import type { LoggedRow } from './logged-row.ts';
import type { ReplayMapping } from './replay-mapping.ts';
import { ReplayTally } from './replay-tally.ts';
import type { RowSource } from './row-source.ts';

/** The part of the client SDK a replay uses. */
export interface ReplayConnection {
  batch(requests: readonly RequestBody[]): Promise<(Reply | OpportuneError)[]>;
  decide(input: Omit<Extract<RequestBody, { op: 'decide' }>, 'op'>): Promise<DecideReply>;
}

export interface ReplayRunOptions {
  readonly mapping: ReplayMapping;
  readonly source: RowSource;
  readonly passes: number;
  /** Rows in flight at most. */
  readonly concurrency: number;
  /** Begins every profile key of this run: makes its people new to the server. */
  readonly keyPrefix: string;
  /** Ends the run early; what was done until then is reported. */
  readonly signal?: AbortSignal;
}

export interface ReplayOutcome {
  readonly tally: ReplayTally;
  /** Passes begun. */
  readonly passes: number;
  readonly elapsedMillis: number;
  readonly requests: number;
  /** Requests repeated because the server asked to try again. */
  readonly retries: number;
  readonly wasStopped: boolean;
  /** Round trips of decide in nanoseconds. */
  readonly latency: RecordableHistogram;
  readonly catalogVersion: string;
  readonly modelVersionFirst: number;
  readonly modelVersionLast: number;
}

const ROWS_PER_FRAME = 8;
const ATTEMPTS_MAX = 40;
const PAUSE_MILLIS = 25;
/** After so many rows without one action of the log, the server plainly offers other ones. */
const ROWS_BEFORE_JUDGED = 1000;

interface Taken {
  readonly row: LoggedRow;
  readonly at: number;
  readonly profile: string;
}

export class ReplayRun {
  readonly #connection: ReplayConnection;
  readonly #options: ReplayRunOptions;
  readonly tally: ReplayTally;
  readonly #latency = createHistogram();
  #requests = 0;
  #retries = 0;
  #catalogVersion = '';
  #modelVersionFirst = 0;
  #modelVersionLast = 0;

  constructor(connection: ReplayConnection, options: ReplayRunOptions) {
    this.#connection = connection;
    this.#options = options;
    this.tally = new ReplayTally(options.mapping.rewards.length);
  }

  /**
   * Runs all passes. Rejects with OperatorError: the server refused (`REQUEST_REFUSED`), went away
   * (`SERVER_UNREACHABLE`), or the log cannot be read.
   */
  async run(): Promise<ReplayOutcome> {
    const { source, passes, concurrency } = this.#options;
    const startMillis = monotonicMillis();
    const lanes = Math.max(1, Math.ceil(concurrency / ROWS_PER_FRAME));
    const rowsPerLane = Math.max(1, Math.min(ROWS_PER_FRAME, concurrency));
    let pass = 0;
    while (pass < passes && !this.#isStopped) {
      pass += 1;
      const rows = new RowFeed(source.pass(pass), rowsPerLane);
      await Promise.all(Array.from({ length: lanes }, () => this.#runLane(rows, pass)));
      this.tally.passEnds.push(this.tally.rows);
    }
    return {
      tally: this.tally,
      passes: pass,
      elapsedMillis: monotonicMillis() - startMillis,
      requests: this.#requests,
      retries: this.#retries,
      wasStopped: this.#isStopped,
      latency: this.#latency,
      catalogVersion: this.#catalogVersion,
      modelVersionFirst: this.#modelVersionFirst,
      modelVersionLast: this.#modelVersionLast,
    };
  }

  get #isStopped(): boolean {
    return this.#options.signal?.aborted === true;
  }

  async #runLane(rows: RowFeed, pass: number): Promise<void> {
    while (!this.#isStopped) {
      const group = await rows.next();
      if (group.length === 0) return;
      await this.#runGroup(
        group.map((row) => ({
          row,
          at: this.tally.take(),
          profile: `${this.#options.keyPrefix}${pass}-${row.person}`,
        })),
      );
      this.#checkCatalog();
    }
  }

  #isJudged = false;

  /** Traits and slot may fit another catalog by chance; its actions do not. */
  #checkCatalog(): void {
    const { tally } = this;
    if (this.#isJudged || tally.rows < ROWS_BEFORE_JUDGED) return;
    this.#isJudged = true;
    if (tally.foreignRows === 0 || tally.foreignRows < tally.rows - tally.emptyRows - this.#options.concurrency) return;
    const chosen = [...tally.actions].filter(([, count]) => count.chosenRows > 0).map(([action]) => action);
    throw new OperatorError(
      'CATALOG_MISMATCH',
      `the server offers ${chosen.slice(0, 3).join(', ')}, none of which the log has`,
      {
        advice: adviceFor(this.#options.mapping),
      },
    );
  }

  async #runGroup(group: readonly Taken[]): Promise<void> {
    const known = group.filter(({ row }) => Object.keys(row.traits).length > 0);
    await this.#ask(known.map(({ row, profile }) => ({ op: 'identify', profile, traits: row.traits })));
    const replies = await Promise.all(group.map((taken) => this.#decide(taken)));
    const feedback: RequestBody[] = [];
    for (const [index, taken] of group.entries()) {
      this.#settle(taken, replies[index] as DecideReply, feedback); // one reply each
    }
    await this.#ask(feedback);
  }

  /** One decision, timed from its first sending to its answer, repetitions included. */
  async #decide({ row, profile }: Taken): Promise<DecideReply> {
    const { slot, channel } = this.#options.mapping;
    const request = {
      profile,
      want: ['action'] as const,
      ...(slot === null ? {} : { slot }),
      ...(channel === null ? {} : { channel }),
      ...(row.context === null ? {} : { context: row.context }),
    };
    const startMicros = monotonicMicros();
    for (let attempt = 1; ; attempt += 1) {
      this.#requests += 1;
      try {
        const reply = await this.#connection.decide(request);
        this.#latency.record(Math.max(1, Math.round((monotonicMicros() - startMicros) * 1000)));
        return reply;
      } catch (error) {
        await this.#pauseOrThrow(error, attempt);
      }
    }
  }

  #settle({ row, at, profile }: Taken, reply: DecideReply, feedback: RequestBody[]): void {
    if (this.#catalogVersion === '') {
      this.#catalogVersion = reply.catalogVersion;
      this.#modelVersionFirst = reply.modelVersion;
    }
    this.#modelVersionLast = Math.max(this.#modelVersionLast, reply.modelVersion);
    const chosen = reply.actions[0] ?? null;
    const isMatch = this.tally.fill(at, row, chosen);
    const { decisionId } = reply;
    if (decisionId === null || chosen === null) return;
    if (!isMatch) {
      feedback.push({ op: 'release', decisionId });
      return;
    }
    // Known by decision and event, so that a repetition is not counted twice.
    const about = (event: string): { profile: string; event: string; decisionId: string; messageId: string } => ({
      profile,
      event,
      decisionId,
      messageId: `${decisionId}.${event}`,
    });
    feedback.push({ op: 'track', ...about('impression') });
    for (const [index, reward] of this.#options.mapping.rewards.entries()) {
      const value = row.rewards[index] ?? 0;
      if (reward.event === null || !(value > 0)) continue;
      const properties =
        reward.currency === null
          ? {}
          : { properties: { revenueMinor: Math.round(value * reward.minorUnits), currency: reward.currency } };
      feedback.push({ op: 'track', ...about(reward.event), ...properties });
    }
  }

  /** Sends requests in one array frame (for each owner) and repeats those the server could not take yet. */
  async #ask(requests: readonly RequestBody[]): Promise<void> {
    let open = requests;
    for (let attempt = 1; open.length > 0; attempt += 1) {
      this.#requests += open.length;
      const outcomes = await this.#connection.batch(open);
      const again: RequestBody[] = [];
      let wait: unknown;
      for (const [index, outcome] of outcomes.entries()) {
        if (!(outcome instanceof OpportuneError)) continue;
        if (outcome.retry === 'never') throw refused(outcome, this.#options.mapping);
        wait = outcome;
        again.push(open[index] as RequestBody); // one outcome each
      }
      open = again;
      if (open.length > 0) await this.#pauseOrThrow(wait, attempt);
    }
  }

  async #pauseOrThrow(error: unknown, attempt: number): Promise<void> {
    if (!(error instanceof OpportuneError)) throw error;
    if (error.retry === 'never') throw refused(error, this.#options.mapping);
    if (attempt >= ATTEMPTS_MAX) {
      throw new OperatorError('SERVER_UNREACHABLE', `the server did not answer ${attempt} times (${error.message})`, {
        advice: 'Look at its log; start it again and replay once more.',
        cause: error,
      });
    }
    this.#retries += 1;
    await sleep(Math.max(PAUSE_MILLIS, error.retryAfterMillis));
  }
}

function refused(error: OpportuneError, mapping: ReplayMapping): OperatorError {
  return new OperatorError('REQUEST_REFUSED', `${error.status} ${error.code}: ${error.message}`, {
    advice: adviceFor(mapping),
    cause: error,
  });
}

function adviceFor(mapping: ReplayMapping): string {
  const catalog = mapping.catalog === null ? 'the catalog the mapping is for' : `--catalog ${mapping.catalog}`;
  return `Does the server run ${catalog}? The mapping's traits, slot and actions must be that catalog's.`;
}

/** Hands the rows of one pass to several lanes in groups, in order. */
class RowFeed {
  readonly #rows: AsyncGenerator<LoggedRow>;
  readonly #size: number;
  #last: Promise<unknown> = Promise.resolve();

  constructor(rows: AsyncGenerator<LoggedRow>, size: number) {
    this.#rows = rows;
    this.#size = size;
  }

  /** The next rows; none at the end. Callers queue up, so that a group is consecutive. */
  next(): Promise<LoggedRow[]> {
    const group = this.#last.then(async () => {
      const rows: LoggedRow[] = [];
      while (rows.length < this.#size) {
        const { value, done } = await this.#rows.next();
        if (done === true) break;
        rows.push(value);
      }
      return rows;
    });
    this.#last = group.catch(() => undefined);
    return group;
  }
}
