/**
 * What a backup says about itself, `backup.json`: which files with which SHA-256, written last, so that a folder
 * that has one is a whole backup. A backup is a data folder (layout, secret, store, models, feeds) with this beside it.
 *
 * The digests find damage, not forgery: who can change a file here can change its line as well.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BACKUP_ERROR, BackupError } from './backup-error.ts';

export const MANIFEST_NAME = 'backup.json';
/** 2 where there are context feeds, which a program of version 1 does not know. */
const MANIFEST_VERSION = 2;
const PATHS =
  /^(?:tenants\/([a-z0-9-]{1,32})\/)?(?:format|secret|store\/data\.mdb|models\/[\w.-]+|feeds\/[\w.-]+\.feed)$/;

export interface BackedUpFile {
  /** Relative to the backup, with forward slashes. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

export interface BackupManifest {
  readonly version: number;
  readonly program: string;
  readonly madeAtEpochMillis: number;
  /** Whether the backup holds the data folder's secret. */
  readonly hasSecret: boolean;
  readonly files: readonly BackedUpFile[];
}

export function manifestText(manifest: Omit<BackupManifest, 'version'>): string {
  const version = manifest.files.some(({ path }) => path.endsWith('.feed')) ? MANIFEST_VERSION : 1;
  return `${JSON.stringify({ version, ...manifest }, null, 2)}\n`;
}

/** Reads and checks the shape; the files are checked by `checkFile`. @throws BackupError NO_BACKUP or DAMAGED */
export async function readManifest(folder: string): Promise<BackupManifest> {
  const path = join(folder, MANIFEST_NAME);
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new BackupError(BACKUP_ERROR.NO_BACKUP, `${folder} is not a whole backup: it has no ${MANIFEST_NAME}`, {
      advice: 'Name a folder that `opportune backup` has made to its end.',
      cause,
    });
  });
  let value: Partial<BackupManifest> | null;
  try {
    value = JSON.parse(text) as Partial<BackupManifest> | null; // looked at field by field below
  } catch {
    value = null;
  }
  const { version, program, madeAtEpochMillis, hasSecret, files } = value ?? {};
  const isWhole =
    Number.isInteger(version) &&
    typeof program === 'string' &&
    typeof madeAtEpochMillis === 'number' &&
    typeof hasSecret === 'boolean' &&
    Array.isArray(files) &&
    files.every(isFile);
  if (!isWhole || version === undefined || program === undefined || files === undefined)
    throw damaged(path, 'is not what a backup writes');
  if (version > MANIFEST_VERSION) {
    throw new BackupError(
      BACKUP_ERROR.NEWER,
      `${path} has version ${version}, and this program reads ${MANIFEST_VERSION}`,
      {
        advice: `Restore it with the program that made it: ${program}.`,
      },
    );
  }
  const names = new Set(files.map((file) => file.path));
  const needed = ['format', 'store/data.mdb', ...(hasSecret === true ? ['secret'] : [])];
  for (const tenant of ['', ...tenantPaths(files)]) {
    for (const name of needed) if (!names.has(tenant + name)) throw damaged(path, `names no ${tenant}${name}`);
  }
  return { version, program, madeAtEpochMillis: madeAtEpochMillis as number, hasSecret: hasSecret as boolean, files }; // both looked at above
}

/** `tenants/NAME/` of each tenant that the files are of, the default one apart. */
export function tenantPaths(files: readonly BackedUpFile[]): readonly string[] {
  const names = files.map((file) => PATHS.exec(file.path)?.[1]).filter((name) => name !== undefined);
  return [...new Set(names)].sort().map((name) => `tenants/${name}/`);
}

function isFile(value: unknown): boolean {
  const { path, sizeBytes, sha256 } = (value ?? {}) as Partial<BackedUpFile>; // looked at on the next line
  return (
    typeof path === 'string' &&
    PATHS.test(path) &&
    Number.isInteger(sizeBytes) &&
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256)
  );
}

/** Size and SHA-256 of a file as it is. @throws the file system's error */
export async function describeFile(
  folder: string,
  path: string,
  onBytes: (count: number) => void = () => {},
): Promise<BackedUpFile> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of createReadStream(join(folder, path), { highWaterMark: 1024 * 1024 })) {
    const bytes = chunk as Buffer; // no encoding is set
    hash.update(bytes);
    sizeBytes += bytes.length;
    onBytes(bytes.length);
  }
  return { path, sizeBytes, sha256: hash.digest('hex') };
}

/** @throws BackupError DAMAGED where `folder` does not hold the file as the manifest has it */
export async function checkFile(folder: string, file: BackedUpFile, onBytes?: (count: number) => void): Promise<void> {
  const size = await stat(join(folder, file.path)).catch(() => undefined);
  if (size === undefined) throw damaged(join(folder, file.path), 'is missing');
  if (size.size !== file.sizeBytes)
    throw damaged(join(folder, file.path), `has ${size.size} bytes instead of ${file.sizeBytes}`);
  const found = await describeFile(folder, file.path, onBytes);
  if (found.sha256 !== file.sha256)
    throw damaged(join(folder, file.path), 'is not what was backed up: its SHA-256 differs');
}

function damaged(path: string, what: string): BackupError {
  return new BackupError(BACKUP_ERROR.DAMAGED, `${path} ${what}`, {
    advice: 'Take another backup; `opportune verify BACKUP` says which is whole.',
  });
}
