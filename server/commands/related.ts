/** `opportune related SKU`: what goes with a product, from the results of the last fit in a data folder. */
import { fitResultsPath, readFitResults } from '../../workers/fits/fit-results-file.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, EXIT } from './command.ts';
import { configOfFolder } from './command-audit.ts';
import { formatTable } from './terminal-text.ts';

export async function run(call: CommandCall): Promise<number> {
  const { options, io, positionals } = call;
  const [sku = ''] = positionals;
  const path = fitResultsPath(configOfFolder(call).data);
  const results = readFitResults(path);
  if (results === null || typeof results === 'string') {
    throw new OperatorError('NO_FIT', results ?? `no fit has ended in this data folder (${path})`, {
      advice: 'Run `opportune fit related` with the same --data.',
    });
  }
  const { related, fittedAtEpochMillis } = results.info;
  const found = Object.hasOwn(related, sku) ? (related[sku] ?? []) : [];
  if (options.json === true) {
    const rows = found.map(([other, score]) => ({ sku: other, score }));
    io.out(`${JSON.stringify({ sku, fittedAtEpochMillis, related: rows })}\n`);
    return EXIT.ok;
  }
  if (found.length === 0) io.out(`nothing is known to go with ${sku}\n`);
  const rows = found.map(([other, score]) => [other, score.toFixed(3)]);
  for (const line of formatTable(rows, ['left', 'right'], '  ')) io.out(`${line}\n`);
  return EXIT.ok;
}
