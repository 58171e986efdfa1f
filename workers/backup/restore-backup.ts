/**
 * Puts a backup where a node can start on it: copied beside its place, compared byte for byte with what was
 * backed up, read whole, and only then renamed. A restore that fails or is killed leaves the place as it was.
 *
 * The restored node goes on from the moment of the backup: what was acknowledged later is not there, and ids of
 * decisions made later are given again. A folder that is replaced is kept beside it, under a name that says so.
 */
import { existsSync, statSync } from 'node:fs';
import { chmod, copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { inspectDataFolder, SECRET_BYTES } from '../store/data-folder.ts';
import { FolderLock, holderOf, lockedError } from '../store/folder-lock.ts';
import { BACKUP_ERROR, BackupError } from './backup-error.ts';
import { type BackupManifest, checkFile, readManifest, tenantPaths } from './backup-manifest.ts';
import { carryOver, forgetKeys } from './carry-over.ts';
import { assertEmpty, fileError, HalfFolder } from './half-folder.ts';
import type { OnProgress, TenantTotals } from './make-backup.ts';
import { readStore } from './store-reader.ts';
import type { Finding, StoreTotals } from './verify-store.ts';

export interface RestoreOptions {
  readonly backup: string;
  readonly data: string;
  /** Whether a folder that is not empty is moved aside; it must not be in use. */
  readonly doesReplace: boolean;
  /** For a backup without the secret: the file that has it, or with tenants the folder, with theirs in `tenants/NAME`. */
  readonly secretFile?: string;
  readonly nowEpochMillis: number;
  readonly folder?: URL;
  onProgress: OnProgress;
}

export interface Restored {
  readonly manifest: BackupManifest;
  /** Of the default tenant. */
  readonly totals: StoreTotals;
  /** Of each other one. */
  readonly tenants: readonly TenantTotals[];
  /** Where the folder is that was there before, or null. */
  readonly movedTo: string | null;
  /** What of that folder the restored one goes on with: keys of sensitive traits, audit log. */
  readonly carried: readonly string[];
}

/** @throws BackupError, DataFolderError or the file system's error; then `data` is as it was. */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const { backup, onProgress } = options;
  const data = resolve(options.data);
  const manifest = await readManifest(backup);
  // Looked at first, so that nobody waits for a copy to be told; looked at again when the folder is moved.
  const holderPid = existsSync(data) ? holderOf(data) : undefined;
  if (holderPid !== undefined) throw lockedError(data, holderPid);
  if (!options.doesReplace)
    await assertEmpty(data, 'Name a new folder with --data, or move this one aside with --replace.');
  const half = await HalfFolder.make(data, 'restore');
  try {
    const total = manifest.files.reduce((sum, file) => sum + file.sizeBytes, 0);
    let done = 0;
    for (const file of manifest.files) {
      const to = join(half.path, file.path);
      await mkdir(dirname(to), { recursive: true, mode: 0o700 });
      await copyFile(join(backup, file.path), to).catch((error: NodeJS.ErrnoException) => {
        // Said by the comparison below, with its name.
        if (error.code !== 'ENOENT') throw error;
      });
      await chmod(to, 0o600).catch(() => {});
      await checkFile(half.path, file, (count) => {
        done += count;
        onProgress('copying and comparing', done, total);
      });
    }
    const paths = tenantPaths(manifest.files);
    const secrets = secretFiles(paths, options.secretFile);
    for (const path of ['', ...paths]) await takeSecret(join(half.path, path), manifest, secrets(path));
    const totals = await readRestored(half.path, options);
    const tenants: TenantTotals[] = [];
    for (const path of paths)
      tenants.push({ name: basename(path), totals: await readRestored(join(half.path, path), options) });
    const carried: string[] = [];
    if (options.doesReplace) {
      for (const path of ['', ...paths]) {
        const names = await carryOver(join(data, path), join(half.path, path));
        carried.push(...names.map((name) => path + name));
      }
    }
    const movedTo = options.doesReplace ? await moveAside(data, options.nowEpochMillis) : null;
    try {
      await half.finish();
    } catch (error) {
      if (movedTo !== null) await rename(movedTo, data);
      throw error;
    }
    if (movedTo !== null) await forgetKeys(movedTo, carried);
    return { manifest, totals, tenants, movedTo, carried };
  } catch (error) {
    await half.discard();
    throw fileError(error, data);
  }
}

/** Which file has the secret of each tenant's folder. @throws BackupError SECRET where one file is to do for several */
function secretFiles(tenants: readonly string[], secretFile: string | undefined): (path: string) => string | undefined {
  if (secretFile === undefined || tenants.length === 0) return () => secretFile;
  if (!statSync(secretFile).isDirectory()) {
    const message = `this backup is of ${tenants.length + 1} tenants, each with a secret of its own`;
    const advice = 'Name with --secret-file the folder that has them: secret, and tenants/NAME/secret.';
    throw new BackupError(BACKUP_ERROR.SECRET, message, { advice });
  }
  return (path) => join(secretFile, path, 'secret');
}

async function takeSecret(path: string, manifest: BackupManifest, secretFile: string | undefined): Promise<void> {
  if (manifest.hasSecret && secretFile !== undefined) {
    const advice = 'Leave --secret-file out.';
    throw new BackupError(BACKUP_ERROR.SECRET, 'this backup holds its own secret', { advice });
  }
  if (!manifest.hasSecret) {
    const advice =
      'Name the file `secret` of the folder that was backed up with --secret-file: profiles are found by it.';
    if (secretFile === undefined)
      throw new BackupError(BACKUP_ERROR.SECRET, 'this backup was made without the secret', { advice });
    const secret = await readFile(secretFile);
    if (secret.length !== SECRET_BYTES)
      throw new BackupError(
        BACKUP_ERROR.SECRET,
        `${secretFile} has ${secret.length} bytes instead of ${SECRET_BYTES}`,
        { advice },
      );
    await writeFile(join(path, 'secret'), secret, { mode: 0o600 });
  }
  await inspectDataFolder(path);
}

async function readRestored(path: string, { backup, folder, onProgress }: RestoreOptions): Promise<StoreTotals> {
  const storePath = join(path, 'store');
  const findings: Finding[] = [];
  const totals = await readStore({
    storePath,
    isLive: false,
    onFinding: (finding) => findings.push(finding),
    onProgress: (done, total) => onProgress('reading the store', done, total),
    ...(folder === undefined ? {} : { folder }),
  });
  await rm(join(storePath, 'lock.mdb'), { force: true });
  const [first] = findings;
  if (totals !== null && first === undefined) return totals;
  throw new BackupError(BACKUP_ERROR.DAMAGED, `the store in ${backup} is damaged: ${first?.what} (${first?.where})`, {
    advice: 'Take another backup; `opportune verify BACKUP` says which is whole.',
  });
}

/** The folder's new name, or null where there was none. @throws DataFolderError LOCKED while a node holds it */
async function moveAside(data: string, nowEpochMillis: number): Promise<string | null> {
  let lock: FolderLock;
  try {
    lock = await FolderLock.acquire(data);
  } catch (error) {
    if ((error as { cause?: NodeJS.ErrnoException }).cause?.code === 'ENOENT') return null; // the folder error's cause
    throw error;
  }
  const stamp = new Date(nowEpochMillis).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const movedTo = `${data}.before-restore-${stamp}`;
  try {
    await rename(data, movedTo);
  } catch (error) {
    await lock.release();
    throw error;
  }
  await rm(join(movedTo, 'lock'), { force: true });
  return movedTo;
}
