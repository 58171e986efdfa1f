/**
 * The server's own policy on a log: what the models of a snapshot would have done at each logged decision. A log
 * alone cannot say, because it holds the score of the chosen action only; the data folder's journal can, because
 * each decision is computed again from it (`workers/recompute/weigh-decisions.ts`). The catalog is the one each
 * decision was made under, so what is judged are the models and nothing else.
 *
 * Models have usually learnt from the very decisions they are judged on, which flatters them; how many is said, and
 * `isUnseenOnly` leaves those out.
 */
import { join } from 'node:path';
import { textHash } from '../../proto/murmur3.ts';
import { type ModelSnapshot, readModelSnapshot } from '../../workers/jobs/model-snapshot-file.ts';
import { deriveSecret } from '../../workers/node-secret.ts';
import { weighDecisions } from '../../workers/recompute/weigh-decisions.ts';
import { readKeptSecret } from '../../workers/store/data-folder.ts';
import { createZoneTable } from '../../workers/zone-table.ts';
import { openLog } from '../commands/log.ts';
import { formatShare } from '../commands/terminal-text.ts';
import { OperatorError } from '../operator-error.ts';
import type { DecisionTable } from './decision-table.ts';
import { keepWhere, type TargetRow } from './policy-evaluation.ts';

export interface CurrentPolicyOptions {
  /** Data folder of the node that wrote the log. */
  readonly data: string;
  /** The node's secret where it is not in the folder. */
  readonly secret: string | null;
  /** Model snapshot; the newest of the folder when null. */
  readonly modelPath: string | null;
  /** Leaves out decisions whose outcome the models may have learnt from. */
  readonly isUnseenOnly: boolean;
}

export interface CurrentPolicy {
  /** The rows of which something can be said. */
  readonly table: DecisionTable;
  /** One a row of that table. */
  readonly targets: readonly TargetRow[];
  readonly flags: readonly string[];
}

/** @throws OperatorError `NO_LOG`, `NO_MODELS`, `NO_SUPPORT` */
export async function weighCurrentPolicy(table: DecisionTable, options: CurrentPolicyOptions): Promise<CurrentPolicy> {
  const { data, isUnseenOnly } = options;
  const reader = openLog(join(data, 'store'));
  const found = new Map<number, TargetRow>();
  const missing = new Map<string, number>();
  const count = (reason: string): void => {
    missing.set(reason, (missing.get(reason) ?? 0) + 1);
  };
  const numbers = new Map(table.actionKeys.map((key, index) => [key, index]));
  let seen = 0;
  let told = 0;
  try {
    const models = readModels(options.modelPath ?? join(data, 'models', 'model'));
    const secret = options.secret === null ? await readKeptSecret(data) : new TextEncoder().encode(options.secret);
    weighDecisions({
      reader,
      models,
      secret: deriveSecret(secret),
      zones: createZoneTable(textHash),
      isWanted: (decisionId) => table.rowOf.has(decisionId),
      onDecision: ({ decisionId, actions, probabilities, isSeen }) => {
        told++;
        if (isSeen) seen++;
        if (isSeen && isUnseenOnly) {
          count('made before the models were snapshot: they may have learnt from it');
          return;
        }
        const row = table.rowOf.get(decisionId) as number; // wanted
        found.set(row, { actions: Int32Array.from(actions, (key) => numberOf(numbers, key)), probabilities });
      },
      onMissing: (_, reason) => {
        told++;
        count(reason);
      },
    });
  } finally {
    await reader.close();
  }
  const strangers = table.rowOf.size - told;
  if (strangers > 0) missing.set('not in the journal of this data folder', strangers);
  if (found.size === 0) {
    throw new OperatorError('NO_SUPPORT', `${data} says nothing of the decisions of this log`, {
      advice: [...missing].map(([reason, rows]) => `${rows}: ${reason}`).join('; ') || 'The log is empty.',
    });
  }
  const kept = keepWhere(table, (row) => found.has(row));
  const skipped = new Map(table.skipped);
  for (const [reason, rows] of missing) skipped.set(reason, (skipped.get(reason) ?? 0) + rows);
  const targets = [...found].sort(([a], [b]) => a - b).map(([, target]) => target);
  const flags: string[] = [];
  if (seen > 0 && !isUnseenOnly) {
    flags.push(
      `${formatShare(seen / told)} of the decisions were made before the models' snapshot: they may have learnt from ` +
        'what came of those, which flatters them. --unseen leaves those out, --models names an older snapshot',
    );
  }
  return { table: { ...kept, actionKeys: [...numbers.keys()], skipped }, targets, flags };
}

function readModels(path: string): ModelSnapshot {
  const read = readModelSnapshot(path);
  if (read?.snapshot) return read.snapshot;
  throw new OperatorError('NO_MODELS', `there is no model snapshot that can be read at ${path}`, {
    advice: [
      ...(read?.damage ?? []),
      'A node writes one some seconds after its start, every 30 s and at its end, into models/ of its data folder.',
    ].join(' '),
  });
}

function numberOf(numbers: Map<string, number>, key: string): number {
  const known = numbers.get(key) ?? numbers.size;
  numbers.set(key, known);
  return known;
}
