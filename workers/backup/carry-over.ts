/**
 * What no backup holds and a restored folder needs: the keys of sensitive traits, the master key where it is kept, and
 * the audit log. A restore over a folder of the same node takes them over from there as they are now, so that a
 * person whose keys were erased since the backup stays unreadable, and what has been recorded stays recorded. So are
 * context feeds that were pushed since: they say how the world is, and nobody pushes again what was taken. Called by
 * `restore-backup.ts`; a folder of another node (another secret) gives nothing.
 */
import { existsSync } from 'node:fs';
import { copyFile, cp, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { feedPath, keptFeeds, keptVersion } from '../feed-file.ts';
import { StoreError } from '../store/store-error.ts';

const KEPT_OUT = ['keys', 'master-key', 'audit'] as const;

/** @returns the names that were copied. Rejects with the file system's error. */
export async function carryOver(from: string, to: string): Promise<readonly string[]> {
  const [before, after] = await Promise.all([secretIn(from), secretIn(to)]);
  if (before === null || after === null || !before.equals(after)) return [];
  const names = KEPT_OUT.filter((name) => existsSync(join(from, name)));
  for (const name of names) await cp(join(from, name), join(to, name), { recursive: true, preserveTimestamps: true });
  return (await carryFeeds(join(from, 'feeds'), join(to, 'feeds'))) ? [...names, 'feeds'] : names;
}

/** Whether any was newer than the backup's; one that is damaged stays where it is. */
async function carryFeeds(from: string, to: string): Promise<boolean> {
  let isAny = false;
  for (const feed of keptFeeds(from)) {
    if (soundVersion(feedPath(from, feed), feed) <= soundVersion(feedPath(to, feed), feed)) continue;
    await mkdir(to, { recursive: true, mode: 0o700 });
    await copyFile(feedPath(from, feed), feedPath(to, feed));
    isAny = true;
  }
  return isAny;
}

function soundVersion(path: string, feed: string): number {
  try {
    return keptVersion(path, feed);
  } catch (error) {
    if (error instanceof StoreError) return 0;
    throw error;
  }
}

/** Keys live in one place: a copy in the folder that was moved aside would outlast every later erasure. */
export async function forgetKeys(movedTo: string, carried: readonly string[]): Promise<void> {
  for (const name of carried.filter((one) => !one.endsWith('audit') && !one.endsWith('feeds')))
    await rm(join(movedTo, name), { recursive: true, force: true });
}

function secretIn(folder: string): Promise<Buffer | null> {
  return readFile(join(folder, 'secret')).catch(() => null);
}
