/**
 * `opportune replay-decision`: computes logged decisions again from the data folder, also while a node writes to
 * it, and says where the logged and the recomputed one differ. Works in this process: it has no socket to keep
 * waiting. `workers/recompute/recompute-decisions.ts` says what a decision depends on.
 */
import { join } from 'node:path';
import { formatDecisionId, parseDecisionId } from '../../actors/decision-id.ts';
import { describeEntry } from '../../actors/journal-text.ts';
import type { Plain } from '../../proto/messages.ts';
import { textHash } from '../../proto/murmur3.ts';
import { monotonicMillis } from '../../workers/clock.ts';
import { coldCodec } from '../../workers/cold-codec.ts';
import { deriveSecret } from '../../workers/node-secret.ts';
import { recomputeDecisions } from '../../workers/recompute/recompute-decisions.ts';
import type { DecisionDifference, RecomputeTotals } from '../../workers/recompute/recompute-totals.ts';
import { createZoneTable } from '../../workers/zone-table.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, type CommandIo, EXIT } from './command.ts';
import { configOfFolder, recordCommand, secretOf } from './command-audit.ts';
import { wholeOption } from './connection.ts';
import { openLog } from './log.ts';
import { createPaint, formatCount, formatTable } from './terminal-text.ts';

const DIFFERENCES_SHOWN_DEFAULT = 20;
const PROGRESS_MILLIS = 2_000;

export async function run(call: CommandCall): Promise<number> {
  const { options, io, positionals } = call;
  const [id] = positionals;
  const isAll = options.all === true;
  if ((id === undefined) !== isAll) {
    throw new OperatorError('USAGE', 'which decision? Neither or both of an id and --all were given', {
      advice: 'Write `opportune replay-decision ID`, with an id of a reply or of `opportune log`, or --all.',
    });
  }
  const only = id === undefined ? undefined : readId(id);
  const config = configOfFolder(call);
  const reader = openLog(join(config.data, 'store'));
  try {
    const secret = await secretOf(config);
    await recordCommand(config, { kind: 'access', detail: { command: 'replay-decision', decision: id ?? 'all' } });
    const report = new Report(io, options.json === true, wholeOption(options, 'differences', 0, 1e9));
    const startedMillis = monotonicMillis();
    let decision: Plain = null;
    const totals = recomputeDecisions({
      reader,
      modelPath: join(config.data, 'models', 'model'),
      secret: deriveSecret(secret),
      zones: createZoneTable(textHash),
      ...(only === undefined ? {} : { only }),
      onDifference: (difference) => report.difference(difference),
      onDecision: (entry, catalog) => {
        if (only !== undefined) decision = describeEntry(entry, catalog, coldCodec);
      },
      onProgress: (soFar) => report.progress(soFar),
    });
    if (only !== undefined && totals.decisions === 0) {
      throw new OperatorError('NO_DECISION', `the log in ${config.data} has no decision ${id}`, {
        advice: 'It may have left the log (--journal-keep-gigabytes), or not be on disk yet: that takes 10 ms.',
      });
    }
    report.end(totals, decision, (monotonicMillis() - startedMillis) / 1000);
    const isSame = totals.different + totals.pricesDifferent === 0;
    return isSame && (isAll || totals.recomputed === 1) ? EXIT.ok : EXIT.failed;
  } finally {
    await reader.close();
  }
}

function readId(id: string): { partition: number; hashLow: number; hashHigh: number; decisionSeq: number } {
  const parts = { partition: 0, hashLow: 0, hashHigh: 0, decisionSeq: 0 };
  if (parseDecisionId(id, parts)) return parts;
  throw new OperatorError('USAGE', `${JSON.stringify(id)} is not a decision's id (20 characters, with a check)`, {
    advice: `Ids look like ${formatDecisionId(7, 1, 2, 3)}; replies and \`opportune log\` name them.`,
  });
}

class Report {
  readonly #io: CommandIo;
  readonly #isJson: boolean;
  readonly #shownMax: number;
  readonly #differences: DecisionDifference[] = [];
  #count = 0;
  #saidMillis = monotonicMillis();

  constructor(io: CommandIo, isJson: boolean, shownMax = DIFFERENCES_SHOWN_DEFAULT) {
    this.#io = io;
    this.#isJson = isJson;
    this.#shownMax = shownMax;
  }

  difference(difference: DecisionDifference): void {
    if (++this.#count > this.#shownMax) return;
    if (this.#isJson) {
      this.#differences.push(difference);
      return;
    }
    const { subject, atEpochMillis, epoch, worker, fields } = difference;
    const paint = createPaint(this.#io.hasColour);
    const at = new Date(atEpochMillis).toISOString();
    this.#io.out(`${paint.bad('differs')} ${subject}  ${at}, start ${epoch}, worker ${worker}\n`);
    const rows = fields.map(({ field, logged, recomputed }) => [field, logged, recomputed]);
    for (const line of formatTable([['field', 'logged', 'recomputed'], ...rows], [], '  ')) this.#io.out(`${line}\n`);
  }

  progress({ decisions, different }: RecomputeTotals): void {
    if (monotonicMillis() - this.#saidMillis < PROGRESS_MILLIS) return;
    this.#saidMillis = monotonicMillis();
    this.#io.err(`${formatCount(decisions, 'decision')} so far, ${different} different\n`);
  }

  end(totals: RecomputeTotals, decision: Plain, seconds: number): void {
    const { out } = this.#io;
    if (this.#isJson) {
      const unreplayable = [...totals.unreplayable].map(([reason, row]) => ({ reason, ...row }));
      out(`${JSON.stringify({ ...totals, unreplayable, seconds, decision, differences: this.#differences })}\n`);
      return;
    }
    if (decision !== null) out(`${JSON.stringify(decision, null, 2)}\n`);
    if (this.#count > this.#shownMax) out(`and ${this.#count - this.#shownMax} more (--differences)\n`);
    for (const [reason, { count, decisionIds }] of totals.unreplayable) {
      out(`not recomputed: ${formatCount(count, 'decision')}, because ${reason}\n`);
      out(`  ${decisionIds.join(' ')}${count > decisionIds.length ? ' …' : ''}\n`);
    }
    if (totals.erased > 0)
      out(`erased: ${formatCount(totals.erased, 'decision')} of people who are not kept any more\n`);
    const rate = seconds > 0 ? Math.round(totals.recomputed / seconds) : 0;
    out(
      `${formatCount(totals.recomputed, 'decision')} recomputed, ${totals.different} different; ` +
        `${formatCount(totals.prices, 'drawn price')}, ${totals.pricesDifferent} different; ` +
        `${seconds.toFixed(1)} s, ${rate} a second\n`,
    );
  }
}
