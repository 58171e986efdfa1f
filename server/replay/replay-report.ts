/**
 * What a replay shows: the server's policy against the one that made the log, with standard errors, and
 * how it got there. The estimators run as a job in the pool. Rows of later passes were met before, and
 * their outcomes learnt from, so the first pass alone speaks for people the server has not seen; the
 * report says both. Where matched rows or responses are too few to tell, it says that in place of a figure.
 */
import {
  EFFECTIVE_SAMPLE_SIZE_MIN,
  type Estimate,
  type PolicyEvaluation,
  REWARDED_ROWS_MIN,
} from '../../decision/batch/off-policy.ts';
import type { EvaluatedPart } from '../../workers/jobs/evaluate-policy.ts';
import type { JobPool } from '../../workers/jobs/job-pool.ts';
import {
  createPaint,
  formatBar,
  formatCount,
  formatDuration,
  formatShare,
  formatTable,
} from '../commands/terminal-text.ts';
import type { ReplayMapping } from './replay-mapping.ts';
import type { ReplayOutcome } from './replay-run.ts';

const TENTHS = 10;

export interface RewardReport {
  readonly name: string;
  /** Whether every value is 0 or 1, so that the mean is a share of rows. */
  readonly isShare: boolean;
  /** The whole run. */
  readonly all: PolicyEvaluation;
  /** Each pass by itself. */
  readonly passes: readonly PolicyEvaluation[];
  /** Value of the policy (SNIPS) in each tenth of the run. */
  readonly tenths: readonly Estimate[];
}

export interface ActionReport {
  readonly action: string;
  readonly loggedRows: number;
  /** Mean of the first reward over rows in which this action was logged; null without such rows. */
  readonly loggedMean: number | null;
  /** Share of decisions in which the server chose it. */
  readonly chosenShare: number;
}

export interface ReplayReport {
  readonly mapping: string;
  readonly log: string;
  readonly url: string;
  readonly catalogVersion: string;
  readonly modelVersionFirst: number;
  readonly modelVersionLast: number;
  readonly rows: number;
  readonly passes: number;
  readonly skippedRows: number;
  readonly skippedReason: string | null;
  readonly wasStopped: boolean;
  readonly elapsedMillis: number;
  readonly decisions: number;
  readonly decisionsPerSecond: number;
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly retries: number;
  readonly concurrency: number;
  /** Round trip of decide, seen by the client. */
  readonly latencyMicros: { readonly p50: number; readonly p99: number; readonly p999: number; readonly max: number };
  readonly matchedRows: number;
  readonly emptyRows: number;
  readonly exploredRows: number;
  /** Decisions for actions the log never has: the estimates leave out what those would have brought. */
  readonly foreignRows: number;
  readonly rewards: readonly RewardReport[];
  readonly actions: readonly ActionReport[];
}

export interface ReportFacts {
  readonly mapping: ReplayMapping;
  readonly log: string;
  readonly url: string;
  readonly concurrency: number;
  readonly skippedRows: number;
  readonly skippedReason: string | null;
}

/** Evaluates a run of at least one row in a pool thread. */
export async function evaluateReplay(outcome: ReplayOutcome, facts: ReportFacts, pool: JobPool): Promise<ReplayReport> {
  const { tally, latency } = outcome;
  const parts = partsOf(tally.rows, tally.passEnds);
  const rewards: RewardReport[] = [];
  for (const [index, { name }] of facts.mapping.rewards.entries()) {
    const column = tally.rewards[index];
    if (column === undefined) continue;
    const results = await pool.run('evaluatePolicy', {
      rewards: column.buffer,
      loggingPropensities: tally.loggingPropensities.buffer,
      targetProbabilities: tally.matches.buffer,
      clusters: tally.clusters.buffer,
      // The server predicts responses, which is what the first reward is.
      predictions: index === 0 && tally.isBinary ? tally.predictions.buffer : null,
      parts,
    });
    const named = (prefix: string): PolicyEvaluation[] =>
      results.filter((result) => result.name.startsWith(prefix)).map(({ evaluation }) => evaluation);
    const [all] = named('all');
    if (all === undefined) throw new Error('the evaluation job left out the whole run');
    let isShare = true;
    for (let row = 0; row < tally.rows && isShare; row += 1) isShare = column.get(row) === 0 || column.get(row) === 1;
    rewards.push({ name, isShare, all, passes: named('pass '), tenths: named('tenth ').map(({ snips }) => snips) });
  }
  const seconds = outcome.elapsedMillis / 1000;
  return {
    mapping: facts.mapping.name,
    log: facts.log,
    url: facts.url,
    catalogVersion: outcome.catalogVersion,
    modelVersionFirst: outcome.modelVersionFirst,
    modelVersionLast: outcome.modelVersionLast,
    rows: tally.rows,
    passes: outcome.passes,
    skippedRows: facts.skippedRows,
    skippedReason: facts.skippedReason,
    wasStopped: outcome.wasStopped,
    elapsedMillis: outcome.elapsedMillis,
    decisions: tally.rows,
    decisionsPerSecond: tally.rows / seconds,
    requests: outcome.requests,
    requestsPerSecond: outcome.requests / seconds,
    retries: outcome.retries,
    concurrency: facts.concurrency,
    latencyMicros: {
      p50: latency.percentile(50) / 1000,
      p99: latency.percentile(99) / 1000,
      p999: latency.percentile(99.9) / 1000,
      max: latency.max / 1000,
    },
    matchedRows: tally.matchedRows,
    emptyRows: tally.emptyRows,
    exploredRows: tally.exploredRows,
    foreignRows: tally.foreignRows,
    rewards,
    actions: [...tally.actions]
      .map(([action, { loggedRows, loggedReward, chosenRows }]) => ({
        action,
        loggedRows,
        loggedMean: loggedRows === 0 ? null : loggedReward / loggedRows,
        chosenShare: chosenRows / tally.rows,
      }))
      .sort((a, b) => b.chosenShare - a.chosenShare || (a.action < b.action ? -1 : 1)),
  };
}

function partsOf(rows: number, passEnds: readonly number[]): EvaluatedPart[] {
  const parts: EvaluatedPart[] = [{ name: 'all', start: 0, end: rows }];
  let start = 0;
  for (const [index, end] of passEnds.entries()) {
    if (end > start) parts.push({ name: `pass ${index + 1}`, start, end });
    start = end;
  }
  for (let tenth = 0; tenth < TENTHS; tenth += 1) {
    const [from, to] = [Math.floor((rows * tenth) / TENTHS), Math.floor((rows * (tenth + 1)) / TENTHS)];
    if (to > from) parts.push({ name: `tenth ${tenth + 1}`, start: from, end: to });
  }
  return parts;
}

/** The report as a person reads it. */
export function renderReplay(report: ReplayReport, hasColour: boolean): string {
  const paint = createPaint(hasColour);
  const { latencyMicros } = report;
  const passes = report.passes === 1 ? '' : ` in ${report.passes} passes, each in an order of its own`;
  const lines = [
    `${paint.bold(report.mapping)} ${paint.dim(`· ${formatCount(report.rows, 'row')}${passes} · ${formatDuration(report.elapsedMillis)}`)}`,
  ];
  if (report.wasStopped) lines.push(paint.warn('  stopped before the end; what follows is about the rows until then'));
  if (report.skippedRows > 0)
    lines.push(paint.warn(`  ${formatCount(report.skippedRows, 'row')} left out; ${report.skippedReason}`));
  lines.push(
    '',
    ...formatTable(
      [
        [
          'decisions',
          `${rate(report.decisionsPerSecond)}/s, ${rate(report.requestsPerSecond)} requests/s ${paint.dim('(closed loop)')}`,
        ],
        [
          'round trip',
          `p50 ${micros(latencyMicros.p50)}   p99 ${micros(latencyMicros.p99)}   p99.9 ${micros(latencyMicros.p999)} ${paint.dim(`(decide, ${report.concurrency} rows in flight)`)}`,
        ],
        [
          'matched',
          `${report.matchedRows.toLocaleString('en')} of ${report.rows.toLocaleString('en')} ${paint.dim(`(${formatShare(report.matchedRows / report.rows)}: the action chosen is the one logged)`)}`,
        ],
      ],
      [],
      '  ',
    ),
  );
  for (const reward of report.rewards) lines.push('', ...rewardLines(reward, paint));
  lines.push('', ...actionLines(report, paint));
  return `${lines.join('\n')}\n`;
}

type Painter = ReturnType<typeof createPaint>;

function rewardLines(reward: RewardReport, paint: Painter): string[] {
  const { all, passes, tenths } = reward;
  const value = (estimate: Estimate): string =>
    `${amount(estimate.value, reward.isShare)} ± ${amount(estimate.standardError, reward.isShare)}`;
  const rows: string[][] = [
    [paint.bold(reward.name), paint.dim('per row ± standard error'), paint.dim('against the log')],
    ['logging policy', value(all.logging), ''],
    ['this server, matched rows (SNIPS)', value(all.snips), lift(all.lift, all, paint)],
  ];
  if (all.doublyRobust !== null && all.doublyRobustLift !== null) {
    rows.push(['this server, doubly robust', value(all.doublyRobust), lift(all.doublyRobustLift, all, paint)]);
  }
  if (passes.length > 1) {
    for (const [index, pass] of passes.entries()) {
      const note = index === 0 ? 'pass 1, nobody seen before' : `pass ${index + 1}`;
      rows.push([`  ${note}`, value(pass.snips), lift(pass.lift, pass, paint)]);
    }
  }
  const lines = formatTable(rows, ['left', 'right', 'right'], '  ');
  const { effectiveSampleSize, rewardedClusters, weightMax } = all;
  const sample = `effective sample ${Math.round(effectiveSampleSize).toLocaleString('en')}, ${formatCount(rewardedClusters, 'matched row')} with a reward, largest weight ${Number(weightMax.toPrecision(3))}`;
  lines.push(`  ${paint.dim(sample)}`);
  if (!all.isReliable) {
    const bounds = `an effective sample of ${EFFECTIVE_SAMPLE_SIZE_MIN} and ${REWARDED_ROWS_MIN} rewarded rows`;
    lines.push(`  ${paint.warn(`too few to tell: a judgement takes ${bounds}; the errors above are too small`)}`);
  } else if (tenths.length === TENTHS) lines.push(`  ${curve(tenths, reward.isShare)}`);
  return lines;
}

const LEVELS = '▁▂▃▄▅▆▇█';

/** The run in tenths, as bars from zero: between the smallest and the largest, noise would look like a trend. */
function curve(tenths: readonly Estimate[], isShare: boolean): string {
  const high = Math.max(...tenths.map(({ value }) => (Number.isNaN(value) ? 0 : value)));
  const bars = tenths.map(({ value }) => {
    if (Number.isNaN(value)) return ' ';
    const share = high > 0 ? Math.max(0, value / high) : 0;
    return LEVELS[Math.round(share * (LEVELS.length - 1))] ?? ' ';
  });
  const shown = ({ value, standardError }: Estimate): string =>
    `${amount(value, isShare)} ± ${amount(standardError, isShare)}`;
  const [first] = tenths;
  const last = tenths.at(-1);
  if (first === undefined || last === undefined) return '';
  return `${bars.join('')}  ${shown(first)} in the first tenth, ${shown(last)} in the last`;
}

const ACTIONS_SHOWN = 8;

function actionLines(report: ReplayReport, paint: Painter): string[] {
  const isShare = report.rewards[0]?.isShare === true;
  const name = report.rewards[0]?.name ?? '';
  const rows = report.actions
    .slice(0, ACTIONS_SHOWN)
    .map((action) => [
      action.action,
      formatBar(action.chosenShare, 20),
      formatShare(action.chosenShare),
      action.loggedMean === null ? '' : amount(action.loggedMean, isShare),
    ]);
  const head = [paint.bold('action'), paint.dim('chosen'), '', paint.dim(`${name} where logged`)];
  const lines = formatTable([head, ...rows], ['left', 'left', 'right', 'right'], '  ');
  const others = report.actions.length - ACTIONS_SHOWN;
  if (others > 0) lines.push(`  ${paint.dim(`and ${formatCount(others, 'action')} more`)}`);
  const { exploredRows, emptyRows, foreignRows } = report;
  if (foreignRows > 0) {
    const warning = `${formatCount(foreignRows, 'decision')} for actions the log never has: what those bring is not in the estimates`;
    lines.push(`  ${paint.warn(warning)}`);
  }
  const notes = [`${exploredRows.toLocaleString('en')} explored`];
  if (emptyRows > 0) notes.push(`${emptyRows.toLocaleString('en')} answered without an action`);
  lines.push(`  ${paint.dim(notes.join(', '))}`);
  return lines;
}

function lift(estimate: Estimate, { isReliable }: PolicyEvaluation, paint: Painter): string {
  if (!isReliable) return paint.warn('too few to tell');
  if (Number.isNaN(estimate.value)) return '';
  const sign = estimate.value >= 0 ? '+' : '−';
  const text = `${sign}${Math.abs(estimate.value * 100).toFixed(1)} % ± ${(estimate.standardError * 100).toFixed(1)}`;
  if (estimate.value > 2 * estimate.standardError) return paint.good(text);
  return estimate.value < -2 * estimate.standardError ? paint.bad(text) : text;
}

function amount(value: number, isShare: boolean): string {
  if (!Number.isFinite(value)) return 'unknown';
  if (isShare) return `${(value * 100).toFixed(2)} %`;
  return Number(value.toPrecision(3)).toLocaleString('en', { maximumFractionDigits: 6 });
}

function micros(value: number): string {
  return formatDuration(value / 1000);
}

function rate(perSecond: number): string {
  return Math.round(perSecond).toLocaleString('en');
}
