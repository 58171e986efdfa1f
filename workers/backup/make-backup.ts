/**
 * Takes a backup of a data folder, also while a node serves from it: of each tenant one moment of the store, and models that are
 * no newer than that. The models are copied first, because a model that had learnt from events which are not in
 * the copied log would know them for ever; the other way round the log teaches it again.
 *
 *   models ─▸ store (one LMDB snapshot, compacted) ─▸ layout, secret, feeds ─▸ read whole ─▸ digests, backup.json ─▸ renamed
 *
 * Nothing is written in the data folder but a reader's slot in LMDB's lock file. While the store is copied, pages
 * that the node gives up are not used again, so the data file grows by what is written meanwhile, no more. The
 * checked catalog is left out: a start makes it again.
 */
import { chmod, copyFile, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { feedPath, keptFeeds, keptVersion } from '../feed-file.ts';
import { inspectDataFolder } from '../store/data-folder.ts';
import { StoreEnvironment } from '../store/environment.ts';
import { BACKUP_ERROR, BackupError } from './backup-error.ts';
import { type BackedUpFile, describeFile, MANIFEST_NAME, manifestText } from './backup-manifest.ts';
import { assertEmpty, fileError, HalfFolder } from './half-folder.ts';
import { readStore } from './store-reader.ts';
import { tenantFolders } from './tenant-folders.ts';
import type { Finding, StoreTotals } from './verify-store.ts';

const POLL_MILLIS = 100;
/** An unfinished snapshot, which the node renames when it is whole. */
const WRITING = '.writing';

/** What is being done, how much of how much: bytes, or values while a store is read. */
export type OnProgress = (what: string, done: number, total: number) => void;

export interface MakeBackupOptions {
  /** The data folder. */
  readonly data: string;
  /** Not there yet, or empty. */
  readonly destination: string;
  /** Name and version. */
  readonly program: string;
  readonly nowEpochMillis: number;
  readonly hasSecret: boolean;
  /** As of `ReadStoreOptions`. */
  readonly folder?: URL;
  onProgress: OnProgress;
}

export interface MadeBackup {
  readonly files: readonly BackedUpFile[];
  /** Of the default tenant. */
  readonly totals: StoreTotals;
  /** Of each other one. */
  readonly tenants: readonly TenantTotals[];
}

export interface TenantTotals {
  readonly name: string;
  readonly totals: StoreTotals;
}

/** @throws BackupError, DataFolderError, StoreError or the file system's error; then nothing is left behind. */
export async function makeBackup(options: MakeBackupOptions): Promise<MadeBackup> {
  const { data, destination, hasSecret, onProgress } = options;
  const tenants = tenantFolders(data);
  for (const path of ['', ...tenants.map((tenant) => tenant.path)]) await assertStore(join(data, path));
  await assertEmpty(destination, 'Name a folder that is not there yet; backups do not replace each other.');
  const half = await HalfFolder.make(destination, 'backup');
  try {
    const names = await copyFolder(data, half.path, options);
    const totals = await readCopy(half.path, options);
    const others: TenantTotals[] = [];
    for (const { name, path } of tenants) {
      const to = join(half.path, path);
      await mkdir(to, { recursive: true, mode: 0o700 });
      const own = await copyFolder(join(data, path), to, options);
      names.push(...own.map((file) => `${path}/${file}`));
      others.push({ name, totals: await readCopy(to, options) });
    }
    const files = await describeAll(half.path, names, onProgress);
    const { program, nowEpochMillis: madeAtEpochMillis } = options;
    await writeFile(join(half.path, MANIFEST_NAME), manifestText({ program, madeAtEpochMillis, hasSecret, files }), {
      mode: 0o600,
    });
    await half.finish();
    return { files, totals, tenants: others };
  } catch (error) {
    await half.discard();
    throw fileError(error, destination);
  }
}

/** @throws DataFolderError, or BackupError NO_DATA */
async function assertStore(data: string): Promise<void> {
  await inspectDataFolder(data);
  if ((await stat(join(data, 'store', 'data.mdb')).catch(() => undefined)) !== undefined) return;
  const advice = 'Name the data folder of a node that has run, with --data or OPPORTUNE_DATA.';
  throw new BackupError(BACKUP_ERROR.NO_DATA, `there is no store in ${data}`, { advice });
}

/** Copies one tenant's part; returns the names of its files. */
async function copyFolder(data: string, to: string, options: MakeBackupOptions): Promise<string[]> {
  const models = await copyModels(data, to);
  await copyStore(join(data, 'store'), join(to, 'store'), options.onProgress);
  const small = ['format', ...(options.hasSecret ? ['secret'] : [])];
  for (const name of small) await copyFile(join(data, name), join(to, name));
  return [...small, 'store/data.mdb', ...models, ...(await copyFeeds(data, to))];
}

async function copyModels(data: string, to: string): Promise<string[]> {
  const from = join(data, 'models');
  const names = await readdir(from).catch(() => []);
  const copied: string[] = [];
  await mkdir(join(to, 'models'), { mode: 0o700 });
  for (const name of names.filter((one) => !one.endsWith(WRITING))) {
    try {
      await copyFile(join(from, name), join(to, 'models', name));
      copied.push(`models/${name}`);
    } catch (error) {
      // The node renames and drops snapshots meanwhile. One that is missed is learnt again from the log.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // copyFile throws errno errors only
    }
  }
  return copied;
}

/** Each is replaced whole by a push, so a copy is one push's whatever comes meanwhile. */
async function copyFeeds(data: string, to: string): Promise<string[]> {
  const names = keptFeeds(join(data, 'feeds'));
  if (names.length > 0) await mkdir(join(to, 'feeds'), { mode: 0o700 });
  for (const name of names) {
    await copyFile(feedPath(join(data, 'feeds'), name), feedPath(join(to, 'feeds'), name));
    keptVersion(feedPath(join(to, 'feeds'), name), name);
  }
  return names.map((name) => feedPath('feeds', name));
}

async function copyStore(storePath: string, to: string, onProgress: OnProgress): Promise<void> {
  await mkdir(to, { mode: 0o700 });
  const environment = StoreEnvironment.open({ path: storePath, isReadOnly: true });
  const { records, cold, journal, meta, models } = environment;
  const totalBytes = [records, cold, journal, meta, models].reduce((sum, database) => sum + database.usedBytes(), 0);
  const watch = setInterval(() => {
    void stat(join(to, 'data.mdb')).then(
      ({ size }) => onProgress('copying the store', Math.min(size, totalBytes), totalBytes),
      () => {},
    );
  }, POLL_MILLIS);
  try {
    await environment.copyTo(to);
    // LMDB makes it readable for everybody, though nobody else may enter the folder.
    await chmod(join(to, 'data.mdb'), 0o600);
  } finally {
    clearInterval(watch);
    await environment.close();
  }
}

/** The copy is read as a restore would: a backup that nobody can restore is none. */
async function readCopy(path: string, { data, folder, onProgress }: MakeBackupOptions): Promise<StoreTotals> {
  const storePath = join(path, 'store');
  const findings: Finding[] = [];
  const totals = await readStore({
    storePath,
    isLive: false,
    onFinding: (finding) => findings.push(finding),
    onProgress: (done, total) => onProgress('reading the copy', done, total),
    ...(folder === undefined ? {} : { folder }),
  });
  await rm(join(storePath, 'lock.mdb'), { force: true });
  const [first] = findings;
  if (totals !== null && first === undefined) return totals;
  throw new BackupError(BACKUP_ERROR.DAMAGED, `the store in ${data} is damaged: ${first?.what} (${first?.where})`, {
    advice: 'See all of it with `opportune verify`, and restore an older backup. No backup was made.',
  });
}

async function describeAll(path: string, names: readonly string[], onProgress: OnProgress): Promise<BackedUpFile[]> {
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(path, name))).size));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  let done = 0;
  const files: BackedUpFile[] = [];
  for (const name of names) {
    const onBytes = (count: number): void => {
      done += count;
      onProgress('computing digests', done, total);
    };
    files.push(await describeFile(path, name, onBytes));
  }
  return files;
}
