/**
 * `opportune backup DIR`: copies a data folder as of one moment, also while a node serves from it, reads the copy
 * whole and leaves it in DIR, or nothing at all. It talks to no server: it reads the folder as `opportune log` does.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { BackupError } from '../../workers/backup/backup-error.ts';
import { makeBackup } from '../../workers/backup/make-backup.ts';
import type { StoreTotals } from '../../workers/backup/verify-store.ts';
import { epochMillis, monotonicMillis } from '../../workers/clock.ts';
import { OperatorError } from '../operator-error.ts';
import { packageVersion } from '../package-version.ts';
import { type CommandCall, EXIT } from './command.ts';
import { configOfFolder, recordCommand } from './command-audit.ts';
import { ProgressLine } from './progress-line.ts';
import { formatBytes, formatCount, formatDuration } from './terminal-text.ts';

/** @param folder of the compiled reader, for tests that run from the sources */
export async function run(call: CommandCall, folder?: URL): Promise<number> {
  const [destination = ''] = call.positionals;
  const { options, io } = call;
  const config = configOfFolder(call);
  const { data } = config;
  const startedMillis = monotonicMillis();
  const progress = new ProgressLine(io);
  try {
    // A folder without a store has nobody's data, and is refused below.
    if (existsSync(join(data, 'store', 'data.mdb')))
      await recordCommand(config, { kind: 'access', detail: { command: 'backup', destination } });
    const { files, totals, tenants } = await makeBackup({
      data,
      destination,
      program: `opportune/${packageVersion()}`,
      nowEpochMillis: epochMillis(),
      hasSecret: options.withoutSecret !== true,
      onProgress: progress.show,
      ...(folder === undefined ? {} : { folder }),
    });
    const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
    const millis = monotonicMillis() - startedMillis;
    progress.end();
    if (options.json === true) {
      io.out(`${JSON.stringify({ destination, sizeBytes, millis, ...totals, tenants })}\n`);
      return EXIT.ok;
    }
    const secret =
      options.withoutSecret === true ? 'without the secret' : 'with the secret: keep it as safe as the data';
    io.out(
      `${destination}: ${formatBytes(sizeBytes)} of ${data}, ${secret}\n` +
        `  ${formatCount(totals.records, 'record')} and a log of ${totals.entries} entries, read whole, ${formatDuration(millis)}\n${tenants.map(tenantLine).join('')}`,
    );
    return EXIT.ok;
  } catch (error) {
    throw operatorErrorOf(error);
  } finally {
    progress.end();
  }
}

/** What there is of a tenant that is not the default one, as a line. */
export function tenantLine({ name, totals }: { readonly name: string; readonly totals: StoreTotals }): string {
  return `  tenant ${name}: ${formatCount(totals.records, 'record')} and a log of ${totals.entries} entries\n`;
}

/** What went wrong with a backup, with what to do, as the command line prints it; other errors stay themselves. */
export function operatorErrorOf(error: unknown): unknown {
  if (!(error instanceof BackupError)) return error;
  return new OperatorError(error.code, error.message, { advice: error.advice, cause: error });
}
