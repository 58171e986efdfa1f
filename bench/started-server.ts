/**
 * A server of a benchmark's own: the built program as a process, on free ports, with a catalog and data in a folder that its
 * caller removes. Options in the environment are of another server and none of this one's.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SERVER = fileURLToPath(new URL('../server/cli.js', import.meta.url));

export interface StartedServer {
  readonly url: string;
  readonly admin: string;
  readonly child: ChildProcess;
}

/**
 * Resolves when it serves.
 * @param words further options of `opportune start`
 * @throws Error with what the server said when it ends instead of serving
 */
export function startServer(folder: string, catalogText: string, words: readonly string[]): Promise<StartedServer> {
  const catalog = join(folder, 'catalog.yaml');
  writeFileSync(catalog, catalogText);
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('OPPORTUNE_')));
  const all = ['start', '--data', join(folder, 'data'), '--catalog', catalog, ...words];
  const ports = ['--port', '0', '--admin-port', '0', '--shard-port', '0'];
  const child = spawn(process.execPath, [SERVER, ...all, ...ports], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  return new Promise((resolve, reject) => {
    let said = '';
    const listen = (text: string): void => {
      said += text;
      const url = /decisions (ws:\S+)/.exec(said)?.[1];
      const admin = /admin +(http:\S+)/.exec(said)?.[1];
      if (url !== undefined && admin !== undefined && /\n {2}try /.test(said)) resolve({ url, admin, child });
    };
    child.stdout.setEncoding('utf8').on('data', listen);
    child.stderr.setEncoding('utf8').on('data', listen);
    child.once('exit', () => reject(new Error(`the server did not start:\n${said}`)));
  });
}

export async function stopServer({ child }: StartedServer): Promise<void> {
  child.kill('SIGTERM');
  await once(child, 'exit');
}
