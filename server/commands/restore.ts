/**
 * `opportune restore BACKUP --data DIR`: puts a backup where a node can start on it, compared and read whole
 * before it takes its place. Without `--replace` a folder that holds anything is refused; with it, that one is
 * moved aside and kept.
 */
import { restoreBackup } from '../../workers/backup/restore-backup.ts';
import { epochMillis, monotonicMillis } from '../../workers/clock.ts';
import { operatorErrorOf, tenantLine } from './backup.ts';
import { type CommandCall, EXIT, textOption } from './command.ts';
import { configOfFolder } from './command-audit.ts';
import { ProgressLine } from './progress-line.ts';
import { formatCount, formatDuration } from './terminal-text.ts';

/** @param folder of the compiled reader, for tests that run from the sources */
export async function run(call: CommandCall, folder?: URL): Promise<number> {
  const [backup = ''] = call.positionals;
  const { options, io } = call;
  const data = configOfFolder(call).data;
  const secretFile = textOption(options, 'secretFile');
  const startedMillis = monotonicMillis();
  const progress = new ProgressLine(io);
  try {
    const { manifest, totals, tenants, movedTo, carried } = await restoreBackup({
      backup,
      data,
      doesReplace: options.replace === true,
      nowEpochMillis: epochMillis(),
      onProgress: progress.show,
      ...(secretFile === undefined ? {} : { secretFile }),
      ...(folder === undefined ? {} : { folder }),
    });
    const millis = monotonicMillis() - startedMillis;
    progress.end();
    if (options.json === true) {
      io.out(
        `${JSON.stringify({ data, movedTo, carried, madeAtEpochMillis: manifest.madeAtEpochMillis, millis, ...totals, tenants })}\n`,
      );
      return EXIT.ok;
    }
    const moved = movedTo === null ? '' : `  what was there before is in ${movedTo}\n`;
    const kept =
      carried.length > 0
        ? `  ${carried.join(', ')}: taken over as they are there: no backup holds them, or a newer one is there\n`
        : '  no backup holds keys of sensitive traits: put the folder keys (and master-key) of the node here before it starts\n';
    io.out(
      `${data} is as of ${new Date(manifest.madeAtEpochMillis).toISOString()}; what came later is not in it\n` +
        `  ${formatCount(totals.records, 'record')} and a log of ${totals.entries} entries, compared and read whole, ${formatDuration(millis)}\n${tenants.map(tenantLine).join('')}${moved}${kept}`,
    );
    return EXIT.ok;
  } catch (error) {
    throw operatorErrorOf(error);
  } finally {
    progress.end();
  }
}
