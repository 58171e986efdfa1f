/**
 * Which file of API keys the `key` commands work on: the flag's, else the node's own option; and the record of what
 * they do there, in the audit log of the node whose options are in force.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { AuditDetail, AuditKind } from '../../workers/audit/audit-record.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, textOption } from './command.ts';
import { configOfFolder, recordCommand } from './command-audit.ts';

/** @throws OperatorError USAGE when neither the flag nor the options name one. */
export function keyFileOf(call: CommandCall): string {
  const path = textOption(call.options, 'keyFile') ?? configOfNode(call).apiKeyFile;
  if (path !== null) return path;
  throw new OperatorError('USAGE', 'no file of API keys is named', {
    advice: 'Give it with --key-file, or as the node does: OPPORTUNE_API_KEY_FILE, or apiKeyFile in its YAML file.',
  });
}

/**
 * Resolves when the audit log has it, before anything is changed. A node that has never run has no log yet: its keys
 * can be made before its first start, and then nothing is recorded.
 * @throws OperatorError AUDIT_UNUSABLE
 */
export async function recordKeyChange(call: CommandCall, kind: AuditKind, detail: AuditDetail): Promise<void> {
  const config = configOfNode(call);
  if (existsSync(join(config.data, 'secret'))) await recordCommand(config, { kind, detail });
}

/** `--tenant` of these commands is the key's, not a part of the folder. */
function configOfNode(call: CommandCall): ReturnType<typeof configOfFolder> {
  const { tenant: _, ...options } = call.options;
  return configOfFolder({ ...call, options });
}
