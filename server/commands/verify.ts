/**
 * `opportune verify [BACKUP]`: reads a data folder or a backup to its end and says what is not as it was written,
 * where, and what to do. Changes nothing. Ends with 1 when anything is wrong.
 */

import { type VerifiedFolder, verifyFolder } from '../../workers/backup/verify-folder.ts';
import { FINDINGS_A_KIND_MAX, type Finding, type StoreTotals } from '../../workers/backup/verify-store.ts';
import { monotonicMillis } from '../../workers/clock.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, type CommandIo, EXIT } from './command.ts';
import { configOfFolder } from './command-audit.ts';
import { ProgressLine } from './progress-line.ts';
import { createPaint, formatDuration } from './terminal-text.ts';

/** @param folder of the compiled reader, for tests that run from the sources */
export async function run(call: CommandCall, folder?: URL): Promise<number> {
  const { positionals, options, io } = call;
  const [backup] = positionals;
  if (backup !== undefined && options.data !== undefined) {
    throw new OperatorError('USAGE', 'a backup and --data are two folders to verify', { advice: 'Name one of them.' });
  }
  const path = backup ?? configOfFolder(call).data;
  const findings: Finding[] = [];
  const progress = new ProgressLine(io);
  const startedMillis = monotonicMillis();
  const verified = await verifyFolder({
    path,
    onFinding: (finding) => findings.push(finding),
    onProgress: progress.show,
    ...(folder === undefined ? {} : { folder }),
  });
  progress.end();
  const millis = monotonicMillis() - startedMillis;
  if (options.json === true) io.out(`${JSON.stringify({ path, ...verified, millis, findings })}\n`);
  else print(io, path, verified, findings, millis);
  return findings.length === 0 ? EXIT.ok : EXIT.failed;
}

function print(
  io: CommandIo,
  path: string,
  verified: VerifiedFolder,
  findings: readonly Finding[],
  millis: number,
): void {
  const paint = createPaint(io.hasColour);
  const { isBackup, holderPid, snapshots, totals, tenants } = verified;
  io.out(`${isBackup ? 'backup' : 'data folder'} ${path}, read in ${formatDuration(millis)}\n`);
  if (totals !== null) for (const line of linesOf(totals)) io.out(`  ${line}\n`);
  for (const tenant of tenants) {
    io.out(`  tenant ${tenant.name}\n`);
    if (tenant.totals !== null) for (const line of linesOf(tenant.totals)) io.out(`    ${line}\n`);
  }
  io.out(`  ${snapshots} snapshots of models\n`);
  if (holderPid !== null)
    io.out(
      `  process ${holderPid} serves from it: log, records and budgets are compared in a backup, or when it has stopped\n`,
    );
  for (const { what, where, advice } of findings)
    io.out(`${paint.bad('wrong')}  ${where}\n       ${what}\n       ${paint.dim(advice)}\n`);
  const told = findings.filter(({ kind }) => kind !== 'file' && kind !== 'structure').length;
  const found = [totals, ...tenants.map((tenant) => tenant.totals)];
  const more = found.reduce((sum, one) => sum + (one?.findings ?? 0), 0) - told;
  if (more > 0) io.out(`and ${more} more, of kinds of which ${FINDINGS_A_KIND_MAX} were shown\n`);
  io.out(findings.length === 0 ? `${paint.good('whole')}\n` : `${paint.bad('not whole')}\n`);
}

function linesOf({ records, coldRecords, values, batches, entries, people, ledger }: StoreTotals): string[] {
  const lines = [
    `${values} values match their checksums but for what is said below`,
    `${records} records, ${coldRecords} with further traits`,
  ];
  if (batches > 0) lines.push(`${entries} entries of ${people} people in ${batches} batches of the log`);
  if (ledger !== null) {
    const { granted, confirmed, released, expired, open, taken, isShareCompared } = ledger;
    lines.push(
      `budgets and stock: granted ${granted} = confirmed ${confirmed} + released ${released} + expired ${expired} + open ${open}; bought without a lease ${taken}`,
    );
    if (!isShareCompared)
      lines.push('the log does not reach back to the first start: sums over all of it were not compared');
  }
  return lines;
}
