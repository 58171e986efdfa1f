/**
 * Version and root folder of this package, found from here upwards, so that the same code works from
 * the sources and from dist/.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Absolute path of the folder that holds package.json. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error('package.json of opportune was not found above its own code');
    folder = parent;
  }
  return folder;
}

export function packageVersion(): string {
  const content: unknown = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8'));
  const { version } = content as { version?: unknown }; // read defensively on the next line
  return typeof version === 'string' ? version : '0.0.0';
}
