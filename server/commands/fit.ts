/**
 * `opportune fit [MODEL…]`: fits the batch models to the journal of a data folder, also while a node serves it, and
 * writes the results there; the node sees them and brings the facts to its people. The first Ctrl-C ends the fit, and
 * the results before it stay. The work runs on pool threads of this process at the lowest priority.
 */
import { join } from 'node:path';
import { nearestMatch } from '../../workers/catalog/nearest-match.ts';
import { monotonicMillis } from '../../workers/clock.ts';
import { FIT_MODELS, type FitModel } from '../../workers/fits/fit-results-file.ts';
import { type FitOutcome, FitRunningError, runFit } from '../../workers/fits/fit-run.ts';
import { JobPool } from '../../workers/jobs/job-pool.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, EXIT } from './command.ts';
import { configOfFolder, recordCommand } from './command-audit.ts';
import { wholeOption } from './connection.ts';
import { openLog } from './log.ts';
import { createPaint, formatCount, formatTable } from './terminal-text.ts';

const CHURN_DAYS_MAX = 3650;

/** @param given what ends the fit besides Ctrl-C, and the pool to run on, which is closed at the end; both have defaults */
export async function run(
  call: CommandCall,
  given: { readonly signal?: AbortSignal; readonly jobs?: JobPool } = {},
): Promise<number> {
  const { options, io } = call;
  const models = readModels(call.positionals);
  const churnDays = wholeOption(options, 'churnDays', 1, CHURN_DAYS_MAX);
  const config = configOfFolder(call);
  const { data } = config;
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  given.signal?.addEventListener('abort', abort, { once: true });
  // Opened here first: what is wrong with the folder is then said with advice, and no thread is started.
  await openLog(join(data, 'store')).close();
  await recordCommand(config, { kind: 'access', detail: { command: 'fit', models: models.join(' ') } });
  process.once('SIGINT', abort);
  process.once('SIGTERM', abort);
  const jobs = given.jobs ?? new JobPool();
  const startedMillis = monotonicMillis();
  try {
    const outcome = await runFit({
      jobs,
      data,
      models,
      ...(churnDays === undefined ? {} : { churnDays }),
      signal: controller.signal,
      onProgress: (text) => io.err(`${text}\n`),
    });
    const seconds = (monotonicMillis() - startedMillis) / 1000;
    if (options.json === true) io.out(`${JSON.stringify(toJson(outcome, seconds))}\n`);
    else io.out(renderFit(outcome, seconds, io.hasColour));
    return Object.values(outcome.reports).some(({ isUsed }) => isUsed) ? EXIT.ok : EXIT.failed;
  } catch (error) {
    throw explained(error, controller.signal.aborted);
  } finally {
    given.signal?.removeEventListener('abort', abort);
    process.off('SIGINT', abort);
    process.off('SIGTERM', abort);
    await jobs.close();
  }
}

/** The related products, thousands of them, are in the file: `opportune related`. */
function toJson({ written, ...outcome }: FitOutcome, seconds: number): object {
  if (written === null) return { ...outcome, written, seconds };
  const { related, ...info } = written.info;
  return {
    ...outcome,
    written: { ...written, info: { ...info, productsRelated: Object.keys(related).length } },
    seconds,
  };
}

function explained(error: unknown, isAborted: boolean): unknown {
  if (isAborted)
    return new OperatorError('FIT_ENDED', 'the fit was ended', { advice: 'The results before it stay.', cause: error });
  if (!(error instanceof FitRunningError)) return error;
  return new OperatorError(error.code, error.message, {
    advice: 'A server fits by itself (--fit-every-hours); its log says when it has.',
    cause: error,
  });
}

function readModels(words: readonly string[]): readonly FitModel[] {
  if (words.length === 0) return FIT_MODELS;
  return words.map((word) => {
    const found = FIT_MODELS.find((model) => model === word);
    if (found !== undefined) return found;
    const nearest = nearestMatch(word, FIT_MODELS);
    throw new OperatorError('USAGE', `there is no model ${JSON.stringify(word)}`, {
      advice: `${nearest === undefined ? '' : `Did you mean ${nearest}? `}Models are ${FIT_MODELS.join(', ')}.`,
    });
  });
}

function renderFit({ collected, written, reports }: FitOutcome, seconds: number, hasColour: boolean): string {
  const paint = createPaint(hasColour);
  const rows = Object.entries(reports).map(([model, { isUsed, people, note }]) => [
    model,
    isUsed ? 'fitted' : paint.bad('kept as before'),
    String(people),
    note,
  ]);
  const { people, events, peopleLeftOut, foreignPurchases } = collected;
  const lines = [
    `${paint.bold('fit')} of ${people} people and ${formatCount(events, 'event')} in ${seconds.toFixed(1)} s`,
    ...formatTable([['model', '', 'people', ''], ...rows], ['left', 'left', 'right'], '  '),
  ];
  if (written !== null && reports.segments?.isUsed === true) {
    const segments = written.info.segments.map(({ name, people: members, centre }) => [
      name,
      String(members),
      (centre[0] ?? 0).toFixed(1),
      Math.expm1(centre[1] ?? 0).toFixed(1),
      Math.round(Math.expm1(centre[2] ?? 0)).toString(),
    ]);
    const head = ['segment', 'people', 'days since the last purchase', 'purchases', 'money, minor units'];
    lines.push('', ...formatTable([head, ...segments], ['left', 'right', 'right', 'right', 'right'], '  '));
  }
  if (foreignPurchases > 0)
    lines.push('', `${foreignPurchases} purchases in another currency: their money is left out`);
  if (peopleLeftOut > 0) lines.push('', `${formatCount(peopleLeftOut, 'event')} of people beyond what a fit reads`);
  if (written === null) lines.push('', 'Nothing was written: no model has enough to go by yet.');
  else if (written.damage !== null) lines.push('', written.damage);
  return `${lines.join('\n')}\n`;
}
