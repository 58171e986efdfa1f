/**
 * The yardstick: a bare echo server on the same transport, which answers each frame with one of the
 * target's size and does nothing else. What is slower than it is Opportune's own doing; what is not is
 * the network stack, the kernel and this generator. Runs as a process of its own, like the target.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const START_MILLIS_MAX = 10_000;
const STOP_MILLIS_MAX = 3_000;

export interface EchoServer {
  readonly url: string;
  readonly transport: 'uws' | 'ws';
  stop(): Promise<void>;
}

export type StartEcho = (transport: 'uws' | 'ws', replyBytes: number) => Promise<EchoServer>;

/** Rejects with an Error that carries what the process wrote to standard error. */
export const startEchoServer: StartEcho = async (transport, replyBytes) => {
  const file = fileURLToPath(new URL('./echo-server.js', import.meta.url));
  if (!existsSync(file)) throw new Error(`the echo server is not built: ${file} is missing; run npm run build`);
  const child = spawn(
    process.execPath,
    [file, '--transport', transport, '--port', '0', '--reply-bytes', String(replyBytes)],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-2000);
  });
  const exited = once(child, 'exit');
  const port = await new Promise<number>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`the echo server was not ready within ${START_MILLIS_MAX} ms. ${complaint}`));
    }, START_MILLIS_MAX);
    createInterface({ input: child.stdout }).on('line', (line) => {
      const match = /"port"\s*:\s*([0-9]+)/.exec(line);
      if (match === null) return;
      clearTimeout(timer);
      resolve(Number(match[1]));
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`the echo server (${transport}) ended with ${code}. ${complaint}`));
    });
  });
  return {
    url: `ws://127.0.0.1:${port}`,
    transport,
    stop: async () => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MILLIS_MAX);
      await exited;
      clearTimeout(timer);
    },
  };
};
