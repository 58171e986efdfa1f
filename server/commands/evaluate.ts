/**
 * `opportune evaluate LOG --policy P`: what another policy would have earned on logged decisions, by IPS, SNIPS, DM
 * and DR, from a decision log (`opportune log --out`) or a CSV log with a mapping. See docs/REPLAY.md. Refuses
 * where the log cannot carry the claim, unless forced. The server's own policy, `current`, takes the data folder of
 * the node as well.
 */
import { join } from 'node:path';
import { DEFAULT_TENANT } from '../access/principal.ts';
import { readConfigFile, resolveConfig } from '../config.ts';
import { type CurrentPolicy, weighCurrentPolicy } from '../evaluate/current-policy.ts';
import { type DecisionTable, readCsvTable, readLogTable } from '../evaluate/decision-table.ts';
import { evaluateTable, type Policy, parsePolicy, renderPolicy } from '../evaluate/policy-evaluation.ts';
import { OperatorError } from '../operator-error.ts';
import { readMappingFile } from '../replay/replay-mapping.ts';
import { type CommandCall, EXIT, textOption } from './command.ts';
import { partOf, recordCommand } from './command-audit.ts';
import { wholeOption } from './connection.ts';
import { openLog } from './log.ts';

export async function run(call: CommandCall): Promise<number> {
  const { options, positionals, io } = call;
  const path = positionals[0] ?? '';
  const policyText = textOption(options, 'policy');
  if (policyText === undefined) {
    throw new OperatorError('USAGE', '--policy is missing: whose choices are to be judged?', {
      advice: 'Write --policy random, greedy, logged, action:KEY or current.',
    });
  }
  const policy = parsePolicy(policyText);
  checkCurrentOptions(call, policy);
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
  const clip = clipOf(textOption(options, 'clip'));
  const current = policy.kind === 'current' ? await currentPolicy(call, table) : null;
  const judged = evaluateTable(current?.table ?? table, policy, reward, clip, current?.targets);
  const report = { ...judged, flags: [...(current?.flags ?? []), ...judged.flags] };
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

/** A plain log has the score of the chosen action only; with the journal every decision can be computed again. */
function checkCurrentOptions({ options }: CommandCall, policy: Policy): void {
  const isCurrent = policy.kind === 'current';
  if (!isCurrent && ['data', 'models', 'unseen'].some((name) => options[name] !== undefined)) {
    throw new OperatorError('USAGE', '--data, --models and --unseen are for --policy current', {
      advice: 'Leave them out, or judge the current policy.',
    });
  }
  if (!isCurrent) return;
  if (textOption(options, 'mapping') !== undefined) {
    throw new OperatorError(
      'NO_SUPPORT',
      'a CSV log was not made by this server: its decisions cannot be computed again',
      {
        advice: 'Have the running server decide for its rows with `opportune replay`.',
      },
    );
  }
  if (textOption(options, 'data') === undefined) {
    throw new OperatorError('NO_SUPPORT', "a log does not say what the server's models would choose today", {
      advice:
        'Name the data folder of the node that wrote it: --data FOLDER. Its journal and model snapshot say so. ' +
        'Without one, judge a policy learnt from the log with --policy greedy.',
    });
  }
}

async function currentPolicy({ options, io }: CommandCall, table: DecisionTable): Promise<CurrentPolicy> {
  const config = resolveConfig(
    { data: textOption(options, 'data') ?? '' },
    io.environment,
    readConfigFile(undefined, io.environment),
  );
  // It reads the whole journal. Opened here first: what is wrong with the folder is then said with advice.
  await openLog(join(config.data, 'store')).close();
  await recordCommand(partOf(config, DEFAULT_TENANT), {
    kind: 'access',
    detail: { command: 'evaluate', how: 'current' },
  });
  return await weighCurrentPolicy(table, {
    data: config.data,
    secret: config.secret,
    modelPath: textOption(options, 'models') ?? null,
    isUnseenOnly: options.unseen === true,
  });
}

function clipOf(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  const value = Number(text);
  if (value > 0 && value < Number.POSITIVE_INFINITY) return value;
  throw new OperatorError('USAGE', `--clip must be a weight above 0, not ${JSON.stringify(text)}`, {
    advice: 'Write for example --clip 20.',
  });
}
