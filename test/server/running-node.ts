/**
 * The product as its users run it: the built program as a process of its own, on free ports, with a
 * data folder that is removed afterwards. The banner tells the addresses; stderr is collected whole, so
 * that a test can say what the server said. A node is stopped by its own process id and nothing else.
 *
 *   RunningNode.start ─▸ spawn ─▸ banner read ─▸ …test… ─▸ stop (SIGTERM, exit code) or kill (SIGKILL)
 *
 * Every wait is for something the event under test makes true; the test's own time limit ends it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll } from 'vitest';
import type { Drill } from '../../server/admin-http.ts';
import { monotonicMillis } from '../../workers/clock.ts';

const PROGRAM = resolve('dist/server/cli.js');

export interface NodeOptions {
  readonly workers?: number;
  readonly transport?: 'uws' | 'ws';
  /** Path of the catalog file; the sample catalog when absent. */
  readonly catalog?: string;
  /** Data folder to use again; a new one when absent. */
  readonly data?: string;
  /** Further words of the command line. */
  readonly words?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Told of the process as soon as there is one, long before it serves. */
  readonly onSpawn?: (program: StartedProgram) => void;
}

export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A program of ours that was started, whether it serves or not. */
export class StartedProgram {
  readonly child: ChildProcess;
  readonly ended: Promise<ProcessEnd>;
  readonly startedMillis = monotonicMillis();
  stdout = '';
  stderr = '';
  hasEnded = false;

  /** @param user id of the system user to run as, for one who is root and must not be. */
  constructor(words: readonly string[], environment: Readonly<Record<string, string>> = {}, user?: number) {
    const inherited = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(OTEL|OPPORTUNE)_/.test(name)),
    );
    this.child = spawn(process.execPath, [PROGRAM, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...inherited, ...environment },
      ...(user === undefined ? {} : { uid: user, gid: user }),
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolveEnd) => {
      // 'close', not 'exit': what the program said last has then been read.
      this.child.once('close', (code, signal) => {
        this.hasEnded = true;
        resolveEnd({ code, signal });
      });
    });
    running.add(this);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Ends it without a chance to write anything more, as a power cut or the kernel would. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
    running.delete(this);
  }

  async terminate(): Promise<ProcessEnd> {
    this.child.kill('SIGTERM');
    const end = await this.ended;
    running.delete(this);
    return end;
  }

  /** The process id of the server under a supervisor. */
  childPid(): number {
    const text = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8').trim();
    return Number(text.split(' ')[0]);
  }

  /** Log lines as objects. */
  logLines(): { readonly msg: string; readonly [name: string]: unknown }[] {
    return this.stderr
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as { msg: string });
  }
}

export class RunningNode extends StartedProgram {
  readonly data: string;
  /** Shared WebSocket address. */
  url = '';
  admin = '';
  /** Sent with requests to admin HTTP, where the node asks for one. */
  token = '';
  /** From starting the process until the banner was read. */
  readyMillis = 0;

  private constructor(data: string, words: readonly string[], environment: Readonly<Record<string, string>>) {
    super(words, environment);
    this.data = data;
  }

  /** Rejects with what the program said when it ends instead of serving. */
  static async start(options: NodeOptions = {}): Promise<RunningNode> {
    const data = options.data ?? temporaryFolder('data');
    const words = ['start', '--data', data, '--port', '0', '--admin-port', '0', '--shard-port', '0'];
    words.push('--workers', String(options.workers ?? 2));
    if (options.transport !== undefined) words.push('--transport', options.transport);
    if (options.catalog !== undefined) words.push('--catalog', options.catalog);
    const node = new RunningNode(data, [...words, ...(options.words ?? [])], options.environment ?? {});
    options.onSpawn?.(node);
    await node.#untilServing();
    return node;
  }

  async #untilServing(): Promise<void> {
    await Promise.race([until(() => this.readBanner()), this.ended]);
    if (this.hasEnded) throw new Error(`the server did not start: ${this.stderr}`);
    this.readyMillis = monotonicMillis() - this.startedMillis;
  }

  /** Takes the addresses of the newest banner; a supervised server prints one a start. */
  readBanner(): boolean {
    const banner = this.stdout.slice(this.stdout.lastIndexOf('Opportune '));
    this.url = /decisions (wss?:\S+)/.exec(banner)?.[1] ?? '';
    this.admin = /admin +(https?:\S+)/.exec(banner)?.[1] ?? '';
    return /\n {2}try /.test(banner);
  }

  /** The next banner, printed by a server that took the place of this one under the same supervisor. */
  async untilServingAgain(): Promise<void> {
    const starts = this.stdout.split('Opportune ').length;
    await until(() => this.stdout.split('Opportune ').length > starts && this.readBanner());
  }

  async stop(): Promise<number | null> {
    return (await this.terminate()).code;
  }

  async get(path: string): Promise<{ status: number; text: string }> {
    const headers = this.token === '' ? {} : { authorization: `Bearer ${this.token}` };
    const response = await fetch(`${this.admin}${path}`, { headers });
    return { status: response.status, text: await response.text() };
  }

  async json<T>(path: string): Promise<T> {
    return JSON.parse((await this.get(path)).text) as T; // the caller names the shape of its own route
  }

  async drill(name: Drill, worker: number): Promise<void> {
    const response = await fetch(`${this.admin}/v1/drill/${name}?worker=${worker}`, { method: 'POST' });
    if (response.status !== 202) throw new Error(`drill refused: ${await response.text()}`);
  }

  /** Sum of a metric over all rows whose labels hold every one of `labels`. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    return sumOf((await this.get('/metrics')).text, name, labels);
  }
}

/** Adds up the rows of a metric in Prometheus text. */
export function sumOf(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
  return text
    .split('\n')
    .filter(
      (line) =>
        (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) && wanted.every((label) => line.includes(label)),
    )
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

/** Looks again soon, then less and less often: what is waited for needs the processor too. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let millis = 2; !(await holds()); millis = Math.min(20, millis * 1.5))
    await new Promise((wake) => setTimeout(wake, millis));
}

const running = new Set<StartedProgram>();
const folders: string[] = [];

/** Removed when the test file ends. */
export function temporaryFolder(name: string): string {
  const path = mkdtempSync(join(tmpdir(), `opportune-${name}-`));
  folders.push(path);
  return path;
}

// What a test file left running is killed; its folders go, and what was moved beside them.
afterAll(async () => {
  await Promise.all([...running].map((program) => (program.hasEnded ? program.ended : program.kill())));
  const gone = folders.splice(0);
  const beside = readdirSync(tmpdir()).map((name) => join(tmpdir(), name));
  for (const path of [...gone, ...beside.filter((name) => gone.some((one) => name.startsWith(`${one}.`)))])
    rmSync(path, { recursive: true, force: true });
});
