/**
 * The commands' part of the audit log: who reads or changes the data folder without asking a server is recorded in a
 * chain of the commands' own, synced before anything is read, printed or changed. Several commands at once wait for
 * each other; one that cannot write its record does nothing.
 */
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { anchoredHead, auditFiles, chainFolder } from '../../workers/audit/audit-files.ts';
import { AuditLog } from '../../workers/audit/audit-log.ts';
import { type AuditDetail, type AuditKind, deriveAuditKey, LOCAL_ACTOR } from '../../workers/audit/audit-record.ts';
import { epochMillis, monotonicMillis } from '../../workers/clock.ts';
import { readKeptSecret } from '../../workers/store/data-folder.ts';
import { FolderLock } from '../../workers/store/folder-lock.ts';
import { type ResolvedConfig, readConfigFile, resolveConfig } from '../config.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, textOption } from './command.ts';

const LOCK_WAIT_MILLIS = 5_000;
const LOCK_POLL_MILLIS = 20;

export interface CommandEvent {
  readonly kind: AuditKind;
  readonly person?: string;
  readonly detail: AuditDetail;
}

/** The node's options, of a command that takes `--data` and `--config` only. */
export function configOfFolder({ options, io }: CommandCall): ResolvedConfig {
  const file = readConfigFile(textOption(options, 'config'), io.environment);
  const flag = textOption(options, 'data');
  return resolveConfig(flag === undefined ? {} : { data: flag }, io.environment, file);
}

/** The node's secret: of the options, or as the data folder keeps it. */
export async function secretOf(config: ResolvedConfig): Promise<Uint8Array> {
  return config.secret === null ? readKeptSecret(config.data) : new TextEncoder().encode(config.secret);
}

/** Resolves when the record is on disk. @throws OperatorError AUDIT_UNUSABLE; then the command must do nothing. */
export async function recordCommand(config: ResolvedConfig, event: CommandEvent): Promise<void> {
  try {
    const folder = chainFolder(config.data, 'command');
    const key = deriveAuditKey(await secretOf(config));
    const nodeFolder = chainFolder(config.data, 'node');
    const node = anchoredHead(nodeFolder, 'node', key);
    if (node === null && auditFiles(nodeFolder).length > 0) throw otherSecret(config.data);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const lock = await lockOf(folder);
    try {
      const log = await AuditLog.open({ dataFolder: config.data, chain: 'command', key });
      try {
        const seen = node === null ? {} : { seenChain: 'node', seenSequence: node.sequence, seenHash: node.hash };
        const detail = { ...event.detail, ...seen };
        log.append({ ...event, detail, actor: LOCAL_ACTOR, atEpochMillis: epochMillis() });
        await log.sync();
      } finally {
        await log.close();
      }
    } finally {
      await lock.release();
    }
  } catch (cause) {
    if (cause instanceof OperatorError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new OperatorError('AUDIT_UNUSABLE', `this must be in the audit log, which cannot be written: ${reason}`, {
      advice: `Run it as the user who owns ${config.data}, with room on the disk.`,
      cause,
    });
  }
}

/** Else this command's chain would be signed under a secret that the node's is not, and verify as damaged ever after. */
function otherSecret(data: string): OperatorError {
  return new OperatorError('AUDIT_SECRET', `the audit log in ${data} is not signed under the secret this command has`, {
    advice:
      'Give it the secret that the server has (OPPORTUNE_SECRET or OPPORTUNE_SECRET_FILE). If it has that one, ' +
      '`opportune audit verify` says what was changed.',
  });
}

async function lockOf(folder: string): Promise<FolderLock> {
  const endsAt = monotonicMillis() + LOCK_WAIT_MILLIS;
  for (;;) {
    try {
      return await FolderLock.acquire(folder);
    } catch (error) {
      if (monotonicMillis() >= endsAt) throw error;
      await sleep(LOCK_POLL_MILLIS);
    }
  }
}
