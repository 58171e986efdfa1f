/**
 * Everything in a data folder or a backup held against its checksums and against each other: the backup's digests,
 * layout and secret, snapshots of models, context feeds, and the store (`verify-store.ts`, in a process of its own). It changes
 * nothing. For the command line, where no shard is.
 */
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { feedPath, keptFeeds, keptVersion } from '../feed-file.ts';
import { readModelSnapshot } from '../jobs/model-snapshot-file.ts';
import { inspectDataFolder } from '../store/data-folder.ts';
import { holderOf } from '../store/folder-lock.ts';
import { checkFile, MANIFEST_NAME, readManifest } from './backup-manifest.ts';
import type { OnProgress } from './make-backup.ts';
import { readStore } from './store-reader.ts';
import { tenantFolders } from './tenant-folders.ts';
import type { Finding, StoreTotals } from './verify-store.ts';

export interface VerifyFolderOptions {
  /** A data folder, or what `makeBackup` made. */
  readonly path: string;
  readonly folder?: URL;
  onFinding(finding: Finding): void;
  onProgress: OnProgress;
}

export interface VerifiedFolder {
  readonly isBackup: boolean;
  /** The process that serves from it: then only values were checked. */
  readonly holderPid: number | null;
  readonly snapshots: number;
  /** Of the default tenant; null where the store could not be read to its end. */
  readonly totals: StoreTotals | null;
  readonly tenants: readonly { readonly name: string; readonly totals: StoreTotals | null }[];
}

export async function verifyFolder(options: VerifyFolderOptions): Promise<VerifiedFolder> {
  const { path } = options;
  const isBackup = existsSync(join(path, MANIFEST_NAME));
  if (isBackup) await checkDigests(options);
  const holderPid = isBackup ? null : (holderOf(path) ?? null);
  const own = await verifyTenant(options, isBackup, holderPid);
  const tenants: { name: string; totals: StoreTotals | null }[] = [];
  let { snapshots } = own;
  for (const tenant of tenantFolders(path)) {
    const part = await verifyTenant({ ...options, path: join(path, tenant.path) }, isBackup, holderPid);
    snapshots += part.snapshots;
    tenants.push({ name: tenant.name, totals: part.totals });
  }
  return { isBackup, holderPid, snapshots, totals: own.totals, tenants };
}

async function verifyTenant(
  options: VerifyFolderOptions,
  isBackup: boolean,
  holderPid: number | null,
): Promise<{ readonly snapshots: number; readonly totals: StoreTotals | null }> {
  const { path, onFinding, onProgress } = options;
  try {
    await inspectDataFolder(path);
  } catch (error) {
    onFinding(fileFinding(error, path));
  }
  const snapshots = await checkModels(options);
  checkFeeds(options);
  const storePath = join(path, 'store');
  if (!existsSync(join(storePath, 'data.mdb'))) {
    const advice = isBackup ? TAKE_ANOTHER : 'name the data folder of a node that has run, or restore a backup';
    onFinding({ kind: 'file', what: 'is missing', where: join(storePath, 'data.mdb'), advice });
    return { snapshots, totals: null };
  }
  const lockFile = join(storePath, 'lock.mdb');
  const hadLock = existsSync(lockFile);
  const totals = await readStore({
    storePath,
    isLive: holderPid !== null,
    onFinding,
    onProgress: (done, total) => onProgress('reading the store', done, total),
    ...(options.folder === undefined ? {} : { folder: options.folder }),
  });
  if (!hadLock) await rm(lockFile, { force: true });
  return { snapshots, totals };
}

const TAKE_ANOTHER = 'take another backup';

async function checkDigests({ path, onFinding, onProgress }: VerifyFolderOptions): Promise<void> {
  try {
    const { files } = await readManifest(path);
    const total = files.reduce((sum, file) => sum + file.sizeBytes, 0);
    let done = 0;
    for (const file of files) {
      try {
        await checkFile(path, file, (count) => {
          done += count;
          onProgress('comparing digests', done, total);
        });
      } catch (error) {
        onFinding(fileFinding(error, join(path, file.path)));
      }
    }
  } catch (error) {
    onFinding(fileFinding(error, join(path, MANIFEST_NAME)));
  }
}

async function checkModels({ path, onFinding }: VerifyFolderOptions): Promise<number> {
  const folder = join(path, 'models');
  let count = 0;
  for (const name of await readdir(folder).catch(() => [])) {
    if (name.endsWith('.writing')) continue;
    count++;
    const advice = 'a start passes it over and learns again from the log; remove the file, or restore a backup';
    try {
      // Reading the newest tries the one before it as well, which comes by itself in this loop.
      const damage = readModelSnapshot(join(folder, name))?.damage ?? [];
      const [own] = damage;
      if (own !== undefined) onFinding({ kind: 'file', what: own, where: join(folder, name), advice });
    } catch (error) {
      onFinding({ kind: 'file', what: messageOf(error), where: join(folder, name), advice });
    }
  }
  return count;
}

function checkFeeds({ path, onFinding }: VerifyFolderOptions): void {
  const folder = join(path, 'feeds');
  for (const feed of keptFeeds(folder)) {
    const where = feedPath(folder, feed);
    try {
      keptVersion(where, feed);
    } catch (error) {
      onFinding({
        ...fileFinding(error, where),
        advice: 'remove the file and push the feed again, or restore a backup',
      });
    }
  }
}

function fileFinding(error: unknown, where: string): Finding {
  const advice = (error as { advice?: unknown }).advice;
  return {
    kind: 'file',
    what: messageOf(error),
    where,
    advice: typeof advice === 'string' ? advice : 'restore the file from a backup',
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
