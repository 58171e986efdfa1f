/** Commands beside the server and the audit log: one chain for all of them, and nothing is done that is not in it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type FolderConfig, partOf, recordCommand } from '../../server/commands/command-audit.ts';
import { resolveConfig } from '../../server/config.ts';
import { chainFolder, readChain } from '../../workers/audit/audit-files.ts';
import { AuditLog } from '../../workers/audit/audit-log.ts';
import { deriveAuditKey } from '../../workers/audit/audit-record.ts';
import { LAYOUT_VERSION } from '../../workers/store/data-folder.ts';
import { temporaryFolder } from './running-node.ts';

const SECRET = new Uint8Array(32).fill(5);
const KEY = deriveAuditKey(SECRET);
const EVENT = { kind: 'access', detail: { command: 'log' } } as const;

/** A data folder whose node has run and stopped. */
async function folderOfNode(): Promise<FolderConfig> {
  const data = join(temporaryFolder('command-audit'), 'data');
  mkdirSync(data);
  writeFileSync(join(data, 'format'), `opportune data folder, layout ${LAYOUT_VERSION}\n`);
  writeFileSync(join(data, 'secret'), SECRET);
  const log = await AuditLog.open({ dataFolder: data, chain: 'node', key: KEY });
  log.append({ kind: 'start', actor: 'local', atEpochMillis: 1 });
  await log.close();
  return partOf(resolveConfig({ data }, {}), 'default');
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
    const options = resolveConfig({ data }, { OPPORTUNE_SECRET: 'another secret, of thirty-two characters' });
    const other = partOf(options, 'default');
    await expect(recordCommand(other, EVENT)).rejects.toMatchObject({ code: 'AUDIT_SECRET' });
    expect(readChain(chainFolder(data, 'command'), 'command', KEY)).toMatchObject({ records: 0, problem: null });
    writeFileSync(join(data, 'audit', 'command'), 'a file where the folder should be');
    await expect(recordCommand(partOf(resolveConfig({ data }, {}), 'default'), EVENT)).rejects.toMatchObject({
      code: 'AUDIT_UNUSABLE',
    });
  });

  it("of a tenant: in the node's own chain, with the tenant's name and under the node's secret", async () => {
    const { data } = await folderOfNode();
    mkdirSync(join(data, 'tenants', 'acme'), { recursive: true });
    const part = partOf(resolveConfig({ data }, {}), 'acme');
    expect([part.data, part.node.data]).toEqual([join(data, 'tenants', 'acme'), data]);
    await recordCommand(part, EVENT);
    const tenants: unknown[] = [];
    const state = readChain(chainFolder(data, 'command'), 'command', KEY, ({ kind, detail }) => {
      if (kind === 'access') tenants.push(detail?.tenant);
    });
    expect([state.problem, tenants]).toEqual([null, ['acme']]);
    expect(() => partOf(resolveConfig({ data }, {}), 'beta')).toThrow(/has no tenant "beta"/);
  });
});
