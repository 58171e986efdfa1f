/**
 * The compiled store, for tests that need real processes and worker threads: Node 20 cannot run
 * TypeScript there. Built when it is missing or older than its source.
 */
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const SOURCE = join(ROOT, 'workers/store');
const BUILT = join(ROOT, 'dist/workers/store');

/** Where the compiled modules are, as a file URL that ends in a slash. */
export function builtStore(): string {
  if (!isBuilt()) {
    try {
      execFileSync(join(ROOT, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json'], { cwd: ROOT, stdio: 'pipe' });
    } catch (error) {
      // Errors elsewhere in the tree do not keep tsc from writing the store's modules.
      if (!isBuilt()) throw error;
    }
  }
  return new URL('../../../dist/workers/store/', import.meta.url).href;
}

function isBuilt(): boolean {
  return readdirSync(SOURCE)
    .filter((name) => name.endsWith('.ts'))
    .every((name) => {
      const built = statSync(join(BUILT, name.replace(/ts$/, 'js')), { throwIfNoEntry: false });
      return built !== undefined && built.mtimeMs >= statSync(join(SOURCE, name)).mtimeMs;
    });
}

export interface ScriptProcess {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  /** Each line of its standard output so far. */
  readonly lines: string[];
  /** Resolves with the first line that satisfies the condition; rejects when the process ends before. */
  line(condition: (line: string) => boolean): Promise<string>;
  /** Exit code or signal, and what it wrote to standard error. */
  readonly ended: Promise<{ code: number | null; signal: string | null; stderr: string }>;
}

/** Runs `test/workers/store/scripts/<name>` in a process of its own. */
export function runScript(name: string, parameters: readonly string[], uid?: number): ScriptProcess {
  const script = join(ROOT, 'test/workers/store/scripts', name);
  const child = spawn(process.execPath, [script, builtStore(), ...parameters], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  const lines: string[] = [];
  const waiting: {
    condition: (line: string) => boolean;
    resolve: (line: string) => void;
    reject: (e: Error) => void;
  }[] = [];
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    for (const waiter of waiting.slice()) {
      if (!waiter.condition(line)) continue;
      waiting.splice(waiting.indexOf(waiter), 1);
      waiter.resolve(line);
    }
  });
  const ended = new Promise<{ code: number | null; signal: string | null; stderr: string }>((resolve) => {
    child.on('close', (code, signal) => {
      for (const waiter of waiting) waiter.reject(new Error(`${name} ended with ${code ?? signal}: ${stderr}`));
      resolve({ code, signal, stderr });
    });
  });
  const line = (condition: (text: string) => boolean): Promise<string> => {
    const known = lines.find(condition);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve, reject) => waiting.push({ condition, resolve, reject }));
  };
  return { child, lines, line, ended };
}
