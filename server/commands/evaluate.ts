/**
 * `opportune evaluate LOG --policy P`: what another policy would have earned on logged decisions, by IPS, SNIPS, DM
 * and DR, from a decision log (`opportune log --out`) or a CSV log with a mapping. See docs/REPLAY.md. Refuses
 * where the log cannot carry the claim, unless forced.
 */
import { type DecisionTable, readCsvTable, readLogTable } from '../evaluate/decision-table.ts';
import { evaluateTable, parsePolicy, renderPolicy } from '../evaluate/policy-evaluation.ts';
import { OperatorError } from '../operator-error.ts';
import { readMappingFile } from '../replay/replay-mapping.ts';
import { type CommandCall, EXIT, textOption } from './command.ts';
import { wholeOption } from './connection.ts';

export async function run(call: CommandCall): Promise<number> {
  const { options, positionals, io } = call;
  const path = positionals[0] ?? '';
  const policyText = textOption(options, 'policy');
  if (policyText === undefined) {
    throw new OperatorError('USAGE', '--policy is missing: whose choices are to be judged?', {
      advice: 'Write --policy random, greedy, logged or action:KEY.',
    });
  }
  const policy = parsePolicy(policyText);
  const rowsMax = wholeOption(options, 'limit', 1, Number.MAX_SAFE_INTEGER) ?? Number.POSITIVE_INFINITY;
  const mappingPath = textOption(options, 'mapping');
  const rewardOption = textOption(options, 'reward');
  let table: DecisionTable;
  let reward: string;
  if (mappingPath === undefined) {
    reward = rewardOption ?? 'response';
    table = await readLogTable(path, reward, rowsMax);
  } else {
    const mapping = readMappingFile(mappingPath);
    reward = rewardOption ?? mapping.rewards[0]?.name ?? '';
    table = await readCsvTable(path, mapping, rewardOption, rowsMax);
  }
  const report = evaluateTable(table, policy, reward, clipOf(textOption(options, 'clip')));
  const isRefused = report.refusals.length > 0 && options.force !== true;
  if (!isRefused) {
    io.out(options.json === true ? `${JSON.stringify(report)}\n` : renderPolicy(report, io.hasColour));
    return EXIT.ok;
  }
  throw new OperatorError(
    'TOO_LITTLE_DATA',
    `this log cannot say what ${report.policy} earns: ${report.refusals.join('; ')}`,
    {
      advice: [...report.flags, 'With --force the figures are printed all the same.'].join(' — '),
    },
  );
}

function clipOf(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  const value = Number(text);
  if (value > 0 && value < Number.POSITIVE_INFINITY) return value;
  throw new OperatorError('USAGE', `--clip must be a weight above 0, not ${JSON.stringify(text)}`, {
    advice: 'Write for example --clip 20.',
  });
}
