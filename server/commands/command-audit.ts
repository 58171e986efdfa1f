/**
 * The commands' part of the audit log: who reads or changes the data folder without asking a server is recorded in a
 * chain of the commands' own, synced before anything is read, printed or changed. Several commands at once wait for
 * each other; one that cannot write its record does nothing.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { anchoredHead, auditFiles, chainFolder } from '../../workers/audit/audit-files.ts';
import { AuditLog } from '../../workers/audit/audit-log.ts';
import { type AuditDetail, type AuditKind, deriveAuditKey, LOCAL_ACTOR } from '../../workers/audit/audit-record.ts';
import { tenantFolders } from '../../workers/backup/tenant-folders.ts';
import { epochMillis, monotonicMillis } from '../../workers/clock.ts';
import { readKeptSecret } from '../../workers/store/data-folder.ts';
import { FolderLock } from '../../workers/store/folder-lock.ts';
import { DEFAULT_TENANT } from '../access/principal.ts';
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

/** The options of a node as one of its tenants has them. */
export interface FolderConfig extends ResolvedConfig {
  /** The folder and the secret of the node, where `data` and `secret` may be a tenant's. */
  readonly node: { readonly data: string; readonly secret: string | null };
  /** Null for the default tenant. */
  readonly tenant: string | null;
}

/** Of a command that takes `--data`, `--config` and perhaps `--tenant`. @throws OperatorError USAGE, NO_TENANT */
export function configOfFolder({ options, io }: CommandCall): FolderConfig {
  const file = readConfigFile(textOption(options, 'config'), io.environment);
  const flag = textOption(options, 'data');
  const config = resolveConfig(flag === undefined ? {} : { data: flag }, io.environment, file);
  return partOf(config, textOption(options, 'tenant') ?? DEFAULT_TENANT);
}

/** One tenant's part of a node. @throws OperatorError NO_TENANT */
export function partOf(config: ResolvedConfig, tenant: string): FolderConfig {
  const node = { data: config.data, secret: config.secret };
  if (tenant === DEFAULT_TENANT) return { ...config, node, tenant: null };
  const folder = tenantFolders(config.data).find(({ name }) => name === tenant);
  if (folder === undefined) {
    const names = [DEFAULT_TENANT, ...tenantFolders(config.data).map(({ name }) => name)];
    throw new OperatorError('NO_TENANT', `${config.data} has no tenant ${JSON.stringify(tenant)}`, {
      advice: `It has ${names.join(', ')}.`,
    });
  }
  // A secret of the options is the default tenant's alone: the others keep their own.
  return { ...config, data: join(config.data, folder.path), secret: null, node, tenant };
}

/** The tenant's secret: of the options, or as its data folder keeps it. */
export function secretOf({ secret, data }: FolderConfig | FolderConfig['node']): Promise<Uint8Array> {
  return secret === null ? readKeptSecret(data) : Promise.resolve(new TextEncoder().encode(secret));
}

/** Resolves when the record is on disk. @throws OperatorError AUDIT_UNUSABLE; then the command must do nothing. */
export async function recordCommand({ node, tenant }: FolderConfig, event: CommandEvent): Promise<void> {
  const { data } = node;
  try {
    const folder = chainFolder(data, 'command');
    const key = deriveAuditKey(await secretOf(node));
    const nodeFolder = chainFolder(data, 'node');
    const head = anchoredHead(nodeFolder, 'node', key);
    if (head === null && auditFiles(nodeFolder).length > 0) throw otherSecret(data);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const lock = await lockOf(folder);
    try {
      const log = await AuditLog.open({ dataFolder: data, chain: 'command', key });
      try {
        const seen = head === null ? {} : { seenChain: 'node', seenSequence: head.sequence, seenHash: head.hash };
        const detail = { ...event.detail, ...(tenant === null ? {} : { tenant }), ...seen };
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
      advice: `Run it as the user who owns ${data}, with room on the disk.`,
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
