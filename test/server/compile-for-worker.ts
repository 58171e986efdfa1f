/**
 * A worker thread of a test needs plain JavaScript: its file, and what that imports, are compiled into a
 * folder of their own. Below node_modules, so that the compiled files find the same packages and no tool
 * looks at them. The caller removes the folder.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** @param file path from the root, `.ts`. Returns the folder; the worker is at the same path in it, `.js`. */
export function compileForWorker(file: string): string {
  const parent = join(root, 'node_modules', '.cache');
  mkdirSync(parent, { recursive: true });
  const outputFolder = mkdtempSync(join(parent, 'test-worker-'));
  writeFileSync(join(outputFolder, 'package.json'), '{"type":"module"}');
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: {
      noEmit: false,
      noCheck: true,
      rootDir: root,
      outDir: outputFolder,
      rewriteRelativeImportExtensions: true,
    },
    include: [],
    files: [join(root, file)],
  };
  const configFile = join(outputFolder, 'tsconfig.json');
  writeFileSync(configFile, JSON.stringify(config));
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', configFile], { cwd: root });
  return outputFolder;
}
