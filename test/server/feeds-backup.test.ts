/**
 * Context feeds in backup, restore and verify: a backup of a serving node has them, a restore over the same node keeps
 * what was pushed since, damage is found by name and never carried over.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { makeBackup } from '../../workers/backup/make-backup.ts';
import { restoreBackup } from '../../workers/backup/restore-backup.ts';
import { verifyFolder } from '../../workers/backup/verify-folder.ts';
import { RunningNode, temporaryFolder } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';

const FEEDS = `feeds:
  weather.eu: { ttl: 1h, fields: { celsius: { type: number } } }
  stock: { ttl: 1h, fields: { left: { type: number } } }
`;
const catalog = writeCatalog(catalogText().replace(/^channels:\n/m, `${FEEDS}channels:\n`));
const built = new URL('../../dist/workers/backup/', import.meta.url);
const options = { onProgress: () => undefined, folder: built, nowEpochMillis: 0 };

let node: RunningNode;
afterEach(async () => {
  if (!node.hasEnded) await node.kill();
});

async function push(feed: string, field: string, value: number): Promise<void> {
  const body = JSON.stringify({ feed, rows: [{ key: 'a', fields: { [field]: value } }] });
  const response = await fetch(`${node.admin}/v1/context`, { method: 'POST', body });
  expect(response.status).toBe(200);
}
const versions = async (): Promise<number[]> => {
  const { feeds } = await node.json<{ feeds: { version: number }[] }>('/v1/context');
  return feeds.map(({ version }) => version);
};
async function findingsOf(path: string): Promise<string[]> {
  const findings: string[] = [];
  await verifyFolder({ ...options, path, onFinding: ({ where, what }) => findings.push(`${where}: ${what}`) });
  return findings;
}
/** What a node has that starts on the folder. */
async function versionsIn(data: string): Promise<number[]> {
  node = await RunningNode.start({ catalog, workers: 1, data });
  const found = await versions();
  expect(await node.stop()).toBe(0);
  return found;
}

describe('context feeds in a backup', () => {
  it('backed up while they are served, verified, restored anew, and over the node with what was pushed since', async () => {
    node = await RunningNode.start({ catalog, workers: 1 });
    const { data } = node;
    await push('weather.eu', 'celsius', 1);
    await push('stock', 'left', 1);
    const backup = join(temporaryFolder('backup'), 'one');
    const { files } = await makeBackup({ ...options, data, destination: backup, program: 'test/1', hasSecret: true });
    expect(files.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['feeds/weather.eu.feed', 'feeds/stock.feed']),
    );
    await push('weather.eu', 'celsius', 2);
    expect(await versions()).toEqual([2, 1]);
    expect(await node.stop()).toBe(0);
    expect([await findingsOf(backup), await findingsOf(data)]).toEqual([[], []]);

    const other = join(temporaryFolder('restored'), 'data');
    await restoreBackup({ ...options, backup, data: other, doesReplace: false });
    expect(await versionsIn(other)).toEqual([1, 1]);

    const { carried, movedTo } = await restoreBackup({ ...options, backup, data, doesReplace: true });
    expect(carried).toContain('feeds');
    expect(readdirSync(join(movedTo ?? '', 'feeds')).sort()).toEqual(['stock.feed', 'weather.eu.feed']);
    expect(await versionsIn(data)).toEqual([2, 1]);
  }, 60_000);

  it('damaged: found by its name, in no backup, and replaced by the sound one of a backup', async () => {
    node = await RunningNode.start({ catalog, workers: 1 });
    const { data } = node;
    await push('stock', 'left', 1);
    expect(await node.stop()).toBe(0);
    const backup = join(temporaryFolder('backup'), 'one');
    const to = { ...options, data, program: 'test/1', hasSecret: true };
    await makeBackup({ ...to, destination: backup });
    const path = join(data, 'feeds', 'stock.feed');
    const bytes = readFileSync(path);
    bytes[3] = (bytes[3] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    expect(await findingsOf(data)).toEqual([expect.stringMatching(/stock\.feed: .*damaged on disk/)]);
    await expect(makeBackup({ ...to, destination: `${backup}-two` })).rejects.toThrow(/database "feeds"/);
    await expect(RunningNode.start({ catalog, workers: 1, data })).rejects.toThrow('a context feed in');
    const { carried } = await restoreBackup({ ...options, backup, data, doesReplace: true });
    expect(carried).not.toContain('feeds');
    expect(await versionsIn(data)).toEqual([0, 1]);
    writeFileSync(join(backup, 'feeds', 'stock.feed'), bytes);
    expect(await findingsOf(backup)).toHaveLength(2); // its digest, and its own seal
  }, 60_000);
});
