/**
 * What another policy would have earned on a table of logged decisions, and whether the table can carry that
 * claim. The policies:
 *
 *   logged       the one that made the log
 *   random       each allowed action with the same probability
 *   action:KEY   always this one; decisions in which it was not allowed are left out, and counted
 *   greedy       the allowed action of which the cross-fitted reward model expects most: learnt from this very log,
 *                but never from the person it is judged on
 *   current      what the server's models would do: `current-policy.ts` works its probabilities out beforehand
 *
 * A claim is refused when the effective sample or the rewarded rows are too few (`off-policy.ts`), and flagged
 * where the data leave something open: actions the log never chose, weights that do not average 1.
 */
import {
  EFFECTIVE_SAMPLE_SIZE_MIN,
  type Estimate,
  evaluatePolicy,
  type PolicyEvaluation,
  REWARDED_ROWS_MIN,
} from '../../decision/batch/off-policy.ts';
import { CrossFittedRewards, REWARD_COLUMNS_MAX } from '../../decision/batch/reward-model.ts';
import { createPaint, formatCount, formatShare, formatTable } from '../commands/terminal-text.ts';
import { OperatorError } from '../operator-error.ts';
import type { DecisionTable } from './decision-table.ts';

export type Policy =
  | { readonly kind: 'logged' | 'random' | 'greedy' | 'current' }
  | { readonly kind: 'action'; readonly key: string };

/** A policy as the probability of each action at a row; other actions have none. */
export interface TargetRow {
  /** By index of the table's action keys, and one probability each; both may be empty. */
  readonly actions: Int32Array;
  readonly probabilities: Float64Array;
}

/** Two-sided 95 %. */
const NORMAL_95 = 1.959963984540054;
const UNSUPPORTED_NAMED = 5;

export interface PolicyReport {
  readonly policy: string;
  readonly reward: string;
  readonly rowsEvaluated: number;
  readonly skipped: Readonly<Record<string, number>>;
  readonly evaluation: PolicyEvaluation;
  /** Mean weight: 1, but for noise, where the propensities are true and the policy is supported. */
  readonly weightMean: Estimate;
  readonly weightLimit: number | null;
  /** Why the claim is refused; empty when it is not. */
  readonly refusals: readonly string[];
  /** What the data leave open. */
  readonly flags: readonly string[];
}

export function parsePolicy(text: string): Policy {
  if (text === 'logged' || text === 'random' || text === 'greedy' || text === 'current') return { kind: text };
  if (text.startsWith('action:') && text.length > 7) return { kind: 'action', key: text.slice(7) };
  throw new OperatorError('USAGE', `--policy knows no ${JSON.stringify(text)}`, {
    advice: 'It is logged, random, greedy, current or action:KEY.',
  });
}

/**
 * @param weightLimit larger weights are cut to it; Infinity for none
 * @param targets with `current`: what it does at each row of the table
 */
export function evaluateTable(
  whole: DecisionTable,
  policy: Policy,
  reward: string,
  weightLimit: number,
  targets: readonly TargetRow[] = [],
): PolicyReport {
  const skipped: Record<string, number> = Object.fromEntries(whole.skipped);
  const flags: string[] = [];
  let table = whole;
  let wanted = -1;
  if (policy.kind === 'action') {
    wanted = whole.actionKeys.indexOf(policy.key);
    if (!whole.actions.includes(wanted)) {
      throw new OperatorError(
        'NO_SUPPORT',
        `the log never chose ${JSON.stringify(policy.key)}: nothing in it says what that brings`,
        {
          advice: `It chose ${[...new Set(whole.actions)]
            .slice(0, 20)
            .map((index) => whole.actionKeys[index])
            .join(', ')}.`,
        },
      );
    }
    table = keepWhere(whole, (row) => whole.allowed[row]?.includes(wanted) ?? true);
    if (table.rows < whole.rows) skipped[`${policy.key} was not allowed`] = whole.rows - table.rows;
  }
  if (table.rows === 0) {
    throw new OperatorError('LOG_UNREADABLE', 'the log has no decision that can be used', {
      advice:
        Object.entries(skipped)
          .map(([reason, count]) => `${count}: ${reason}`)
          .join('; ') || 'It is empty.',
    });
  }
  const { rows, actions, actionKeys, propensities, rewards, clusters } = table;
  if (policy.kind === 'current' && targets.length !== rows)
    throw new RangeError(`targets of ${targets.length} rows, the table has ${rows}`);
  const everything = Int32Array.from(actionKeys.keys());
  const allowedOf = (row: number): Int32Array => table.allowed[row] ?? everything;
  const model = fitModel(table, flags);
  if (model === null && policy.kind === 'greedy') {
    throw new OperatorError('NO_SUPPORT', `--policy greedy needs a reward model, and ${flags[0] ?? 'there is none'}`, {
      advice: 'Evaluate action:KEY or random on this log.',
    });
  }
  const targetProbabilities = new Float64Array(rows);
  const loggedPredictions = new Float64Array(rows);
  const targetPredictions = new Float64Array(rows);
  const wants = new Uint8Array(actionKeys.length);
  for (let row = 0; row < rows; row += 1) {
    const action = actions[row] as number; // row < rows
    if (model !== null) loggedPredictions[row] = model.predict(row, action);
    if (policy.kind === 'logged') {
      targetProbabilities[row] = propensities[row] as number; // row < rows
      // The log tells only the chosen action's probability: what it is expected to earn is what was chosen.
      targetPredictions[row] = loggedPredictions[row] as number; // row < rows
    } else if (policy.kind === 'random') {
      const allowed = allowedOf(row);
      targetProbabilities[row] = 1 / allowed.length;
      for (const other of allowed) {
        wants[other] = 1;
        if (model !== null)
          targetPredictions[row] = (targetPredictions[row] as number) + model.predict(row, other) / allowed.length; // row < rows
      }
    } else if (policy.kind === 'current') {
      const target = targets[row] as TargetRow; // one a row
      for (const [i, probability] of target.probabilities.entries()) {
        const other = target.actions[i] as number; // as long as the probabilities
        if (other === action) targetProbabilities[row] = probability;
        wants[other] = 1;
        if (model !== null)
          targetPredictions[row] = (targetPredictions[row] as number) + probability * model.predict(row, other); // row < rows
      }
    } else {
      const chosen = policy.kind === 'action' ? wanted : bestOf(allowedOf(row), row, model as CrossFittedRewards); // greedy has one
      targetProbabilities[row] = chosen === action ? 1 : 0;
      wants[chosen] = 1;
      if (model !== null) targetPredictions[row] = model.predict(row, chosen);
    }
  }
  const evaluation = evaluatePolicy(
    {
      rewards,
      loggingPropensities: propensities,
      targetProbabilities,
      clusters,
      ...(model === null ? {} : { loggedPredictions, targetPredictions }),
    },
    weightLimit,
  );
  const weightMean = evaluatePolicy({
    rewards: new Float64Array(rows).fill(1),
    loggingPropensities: propensities,
    targetProbabilities,
    clusters,
  }).ips;
  flagSupport(table, wants, flags);
  if (policy.kind !== 'logged' && Math.abs(weightMean.value - 1) > 4 * weightMean.standardError + 0.01) {
    flags.push(
      `weights average ${weightMean.value.toFixed(3)} instead of 1: propensities are not those of this log, or the policy wants what was never tried`,
    );
  }
  if (evaluation.clippedShare > 0) {
    flags.push(
      `${formatShare(evaluation.clippedShare)} of the weights were cut: the estimate leans towards the log's own policy`,
    );
  }
  return {
    policy: policy.kind === 'action' ? `action:${policy.key}` : policy.kind,
    reward,
    rowsEvaluated: rows,
    skipped,
    evaluation,
    weightMean,
    weightLimit: Number.isFinite(weightLimit) ? weightLimit : null,
    refusals: refusalsOf(evaluation),
    flags,
  };
}

function bestOf(allowed: Int32Array, row: number, model: CrossFittedRewards): number {
  let best = allowed[0] ?? 0;
  let most = Number.NEGATIVE_INFINITY;
  for (const action of allowed) {
    const expected = model.predict(row, action);
    if (expected > most) {
      most = expected;
      best = action;
    }
  }
  return best;
}

function fitModel(table: DecisionTable, flags: string[]): CrossFittedRewards | null {
  const { dimensions, actionKeys, contexts, actions, rewards, clusters } = table;
  const actionCount = actionKeys.length;
  if (1 + dimensions + actionCount > REWARD_COLUMNS_MAX) {
    flags.push(`${actionCount} actions and ${dimensions} columns are too many for the reward model: no DM, no DR`);
    return null;
  }
  return new CrossFittedRewards({ contexts, dimensions, actions, actionCount, rewards, clusters });
}

/** Actions the policy wants and the log never chose: what they bring is in none of the estimates but DM's guess. */
function flagSupport({ actions, actionKeys }: DecisionTable, wants: Uint8Array, flags: string[]): void {
  const isChosen = new Uint8Array(actionKeys.length);
  for (const action of actions) isChosen[action] = 1;
  const missing = actionKeys.filter((_, index) => wants[index] === 1 && isChosen[index] === 0);
  if (missing.length === 0) return;
  const named = missing.slice(0, UNSUPPORTED_NAMED).join(', ');
  const more = missing.length > UNSUPPORTED_NAMED ? `, and ${missing.length - UNSUPPORTED_NAMED} more` : '';
  flags.push(`no support: the policy wants ${named}${more}, which the log never chose`);
}

function refusalsOf({ effectiveSampleSize, rewardedClusters }: PolicyEvaluation): string[] {
  const refusals: string[] = [];
  if (effectiveSampleSize < EFFECTIVE_SAMPLE_SIZE_MIN) {
    refusals.push(`the effective sample is ${effectiveSampleSize.toFixed(0)} of at least ${EFFECTIVE_SAMPLE_SIZE_MIN}`);
  }
  if (rewardedClusters < REWARDED_ROWS_MIN) {
    refusals.push(
      `${formatCount(rewardedClusters, 'person')} with weight and reward, of at least ${REWARDED_ROWS_MIN}`,
    );
  }
  return refusals;
}

/** Those rows; `rowOf` then means nothing any more and is empty. */
export function keepWhere(table: DecisionTable, isKept: (row: number) => boolean): DecisionTable {
  const kept: number[] = [];
  for (let row = 0; row < table.rows; row += 1) if (isKept(row)) kept.push(row);
  const { dimensions } = table;
  const contexts = new Float64Array(kept.length * dimensions);
  for (const [to, row] of kept.entries()) {
    contexts.set(table.contexts.subarray(row * dimensions, (row + 1) * dimensions), to * dimensions);
  }
  const people = new Map<number, number>();
  const clusters = Uint32Array.from(kept, (row) => {
    const person = table.clusters[row] as number; // row < rows
    const known = people.get(person) ?? people.size;
    people.set(person, known);
    return known;
  });
  return {
    ...table,
    rows: kept.length,
    actions: Int32Array.from(kept, (row) => table.actions[row] as number), // row < rows, here and below
    allowed: kept.map((row) => table.allowed[row] ?? null),
    propensities: Float64Array.from(kept, (row) => table.propensities[row] as number),
    rewards: Float64Array.from(kept, (row) => table.rewards[row] as number),
    clusters,
    contexts,
    rowOf: new Map(),
  };
}

/** The report for a terminal. */
export function renderPolicy(report: PolicyReport, hasColour: boolean): string {
  const paint = createPaint(hasColour);
  const { evaluation, refusals, flags } = report;
  const lines: string[] = [
    `${paint.bold(report.policy)} on ${formatCount(report.rowsEvaluated, 'decision')} of ${formatCount(evaluation.clusters, 'person')}, reward ${report.reward}`,
    '',
  ];
  const rows: string[][] = [['', 'value', 'standard error', '95 % from', 'to']];
  const add = (name: string, estimate: Estimate | null): void => {
    if (estimate === null) return;
    const { value, standardError } = estimate;
    const half = NORMAL_95 * standardError;
    rows.push([name, shown(value), shown(standardError), shown(value - half), shown(value + half)]);
  };
  add('logged policy', evaluation.logging);
  add('IPS', evaluation.ips);
  add('SNIPS', evaluation.snips);
  add('DM', evaluation.direct);
  add('DR', evaluation.doublyRobust);
  add('lift by SNIPS', evaluation.lift);
  add('lift by DR', evaluation.doublyRobustLift);
  lines.push(...formatTable(rows, ['left', 'right', 'right', 'right', 'right'], '  '), '');
  lines.push(
    `  effective sample ${evaluation.effectiveSampleSize.toFixed(0)}, rows with weight ${evaluation.supportedRows}, ` +
      `largest weight ${shown(evaluation.weightMax)}, mean weight ${shown(report.weightMean.value)}, clipped ${formatShare(evaluation.clippedShare)}`,
  );
  for (const [reason, count] of Object.entries(report.skipped)) lines.push(`  left out ${count}: ${reason}`);
  for (const flag of flags) lines.push(`  ${paint.warn('flag')} ${flag}`);
  for (const refusal of refusals) lines.push(`  ${paint.bad('not to be believed')} ${refusal}`);
  return `${lines.join('\n')}\n`;
}

function shown(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : 'unknown';
}
