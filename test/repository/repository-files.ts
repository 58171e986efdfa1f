/**
 * What the repository consists of: the files git knows or would take (tracked and not ignored), read from
 * the working tree. Without git, as in an unpacked archive, the folders are walked instead.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const REPOSITORY = join(import.meta.dirname, '..', '..');
export const SOURCE_FOLDERS = ['proto', 'decision', 'actors', 'workers', 'server', 'client', 'bench', 'test'];
const NOT_OURS = new Set(['node_modules', 'dist', '.git', 'data']);

/** Paths relative to the repository, with forward slashes, sorted. */
export function repositoryFiles(): readonly string[] {
  const words = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const { status, stdout } = spawnSync('git', words, { cwd: REPOSITORY, encoding: 'utf8' });
  const paths = status === 0 ? stdout.split('\0').filter((path) => path !== '') : walk('');
  return paths.filter((path) => existsSync(join(REPOSITORY, path))).sort();
}

function walk(folder: string): string[] {
  return readdirSync(join(REPOSITORY, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return NOT_OURS.has(entry.name) ? [] : walk(path);
    return [path];
  });
}

export function readRepositoryFile(path: string): string {
  return readFileSync(join(REPOSITORY, path), 'utf8');
}

/** TypeScript of the source folders and the root: path → text. */
export function sourceTree(): ReadonlyMap<string, string> {
  const isSource = (path: string): boolean =>
    path.endsWith('.ts') && (!path.includes('/') || SOURCE_FOLDERS.includes(path.slice(0, path.indexOf('/'))));
  return new Map(
    repositoryFiles()
      .filter(isSource)
      .map((path) => [path, readRepositoryFile(path)]),
  );
}
