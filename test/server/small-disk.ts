/** A small disk of its own for a test: ext4 in a file, or memory, mounted; where mounting is not allowed the test skips. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from './running-node.ts';

export interface SmallDisk {
  readonly path: string;
  unmount(): void;
}

/** Undefined with the reason on the console where mounting is not allowed. */
export function mountSmallDisk(sizeBytes: number): SmallDisk | undefined {
  const path = join(temporaryFolder('disk'), 'disk');
  mkdirSync(path);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'none', path], { stdio: 'pipe' });
  } catch (error) {
    console.warn(`SKIPPED full disk: a small file system cannot be mounted here (${(error as Error).message.trim()})`);
    return undefined;
  }
  return { path, unmount: () => void execFileSync('umount', [path]) };
}
