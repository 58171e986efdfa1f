/** Commands beside the server and the audit log: one chain for all of them, and nothing is done that is not in it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { recordCommand } from '../../server/commands/command-audit.ts';
import { type ResolvedConfig, resolveConfig } from '../../server/config.ts';
import { chainFolder, readChain } from '../../workers/audit/audit-files.ts';
import { AuditLog } from '../../workers/audit/audit-log.ts';
import { deriveAuditKey } from '../../workers/audit/audit-record.ts';
import { LAYOUT_VERSION } from '../../workers/store/data-folder.ts';
import { temporaryFolder } from './running-node.ts';

const SECRET = new Uint8Array(32).fill(5);
const KEY = deriveAuditKey(SECRET);
const EVENT = { kind: 'access', detail: { command: 'log' } } as const;

/** A data folder whose node has run and stopped. */
async function folderOfNode(): Promise<ResolvedConfig> {
  const data = join(temporaryFolder('command-audit'), 'data');
  mkdirSync(data);
  writeFileSync(join(data, 'format'), `opportune data folder, layout ${LAYOUT_VERSION}\n`);
  writeFileSync(join(data, 'secret'), SECRET);
  const log = await AuditLog.open({ dataFolder: data, chain: 'node', key: KEY });
  log.append({ kind: 'start', actor: 'local', atEpochMillis: 1 });
  await log.close();
  return resolveConfig({ data }, {});
}

describe('recordCommand', () => {
  it('several at once: each waits for its turn, and the chain is whole', async () => {
    const config = await folderOfNode();
    await Promise.all(Array.from({ length: 4 }, () => recordCommand(config, EVENT)));
    const details: unknown[] = [];
    const state = readChain(chainFolder(config.data, 'command'), 'command', KEY, ({ kind, detail }) => {
      if (kind === 'access') details.push(detail?.seenSequence);
    });
    expect(state).toMatchObject({ problem: null, noted: [], unanchored: 0 });
    expect(details).toEqual([2, 2, 2, 2]);
  });

  it('under another secret than the node has, and where nothing can be written: refused, and the chain is as it was', async () => {
    const { data } = await folderOfNode();
    const other = resolveConfig({ data }, { OPPORTUNE_SECRET: 'another secret, of thirty-two characters' });
    await expect(recordCommand(other, EVENT)).rejects.toMatchObject({ code: 'AUDIT_SECRET' });
    expect(readChain(chainFolder(data, 'command'), 'command', KEY)).toMatchObject({ records: 0, problem: null });
    writeFileSync(join(data, 'audit', 'command'), 'a file where the folder should be');
    await expect(recordCommand(resolveConfig({ data }, {}), EVENT)).rejects.toMatchObject({ code: 'AUDIT_UNUSABLE' });
  });
});
