import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { pauseMillis, SUPERVISE, supervise } from '../../server/supervise.ts';

const built = resolve('dist/server/supervise.js');
const isBuilt = existsSync(built);
const folder = mkdtempSync(join(tmpdir(), 'opportune-supervise-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A child that counts its starts in a file and then runs `body` with `starts` in scope. */
function childWords(name: string, body: string): { words: string[]; starts: () => number } {
  const file = join(folder, name);
  writeFileSync(file, '');
  const script = `
    const fs = require('node:fs');
    fs.appendFileSync(${JSON.stringify(file)}, 'x');
    const starts = fs.readFileSync(${JSON.stringify(file)}).length;
    ${body}`;
  return { words: ['-e', script], starts: () => readFileSync(file).length };
}

describe('supervise', () => {
  it('supervise: pauses only from the second early death in a row, up to a bound', () => {
    expect([0, 1, 2, 3, 4].map(pauseMillis)).toEqual([0, 0, 100, 200, 400]);
    expect(pauseMillis(50)).toBe(SUPERVISE.pauseMillisMax);
  });
  it('supervise: restarts a child that ends by a code or a signal, and says so once each', async () => {
    const child = childWords(
      'restarts',
      "if (starts === 1) process.exit(134); if (starts === 2) process.kill(process.pid, 'SIGKILL');",
    );
    const lines: string[] = [];
    const write = (line: string): void => void lines.push(line);
    const code = await supervise({
      command: process.execPath,
      words: child.words,
      finalCodes: [2],
      stuckSeconds: 30,
      write,
    });
    expect(code).toBe(0);
    expect(child.starts()).toBe(3);
    expect(lines).toHaveLength(2);
    expect(lines[0]).toContain('exit code 134');
    expect(lines[0]).toContain('at once');
    expect(lines[1]).toContain('SIGKILL');
    expect(process.listenerCount('SIGTERM')).toBe(0);
  });
  it('supervise: kills a child whose main thread has stopped beating, and starts it again', async () => {
    const beatThenHang = "process.send('beat', () => { for (;;); });";
    const child = childWords('hangs', `if (starts === 1) { ${beatThenHang} } else process.exit(0);`);
    const lines: string[] = [];
    const write = (line: string): void => void lines.push(line);
    const options = { command: process.execPath, words: child.words, finalCodes: [2], stuckSeconds: 2, write };
    expect(await supervise(options)).toBe(0);
    expect(child.starts()).toBe(2);
    expect(lines[0]).toContain('stood still for 2 s');
    expect(lines[1]).toContain('SIGKILL');
  });
  it('supervise: does not restart after an exit code that will not get better', async () => {
    const child = childWords('final', 'process.exit(2)');
    const code = await supervise({
      command: process.execPath,
      words: child.words,
      finalCodes: [2],
      stuckSeconds: 30,
      write: () => undefined,
    });
    expect(code).toBe(2);
    expect(child.starts()).toBe(1);
  });
  it('supervise: forwards a signal to the child and ends with its code', async () => {
    const caller = await Caller.listen();
    const child = childWords(
      'forward',
      `process.on('SIGTERM', () => process.exit(7)); require('node:net').connect(${caller.port}, '127.0.0.1');`,
    );
    const end = supervise({
      command: process.execPath,
      words: child.words,
      finalCodes: [2],
      stuckSeconds: 30,
      write: () => undefined,
    });
    await caller.nextCall();
    process.emit('SIGTERM', 'SIGTERM');
    expect(await end).toBe(7);
    expect(child.starts()).toBe(1);
    await caller.close();
  });
  it('supervise: a signal during a pause ends the waiting', async () => {
    const child = childWords('pause', 'process.exit(5)');
    const code = await supervise({
      command: process.execPath,
      words: child.words,
      finalCodes: [2],
      stuckSeconds: 30,
      write: (line) => {
        if (line.includes('restarting in')) queueMicrotask(() => process.emit('SIGINT', 'SIGINT'));
      },
    });
    expect(code).toBe(5);
    expect(child.starts()).toBe(2);
  });
  it.skipIf(!isBuilt)(
    `supervise: a child learns that its supervisor was killed${isBuilt ? '' : ' (skipped: dist/ is not built)'}`,
    async () => {
      const caller = await Caller.listen();
      const child = childWords(
        'orphan',
        `const socket = require('node:net').connect(${caller.port}, '127.0.0.1');
       process.on('disconnect', () => { socket.end('orphaned'); });`,
      );
      const source = `import { supervise } from ${JSON.stringify(pathToFileURL(built).href)};
      await supervise({ command: process.execPath, words: ${JSON.stringify(child.words)}, finalCodes: [2], stuckSeconds: 30, write: console.error });`;
      const parent = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: 'inherit' });
      const call = await caller.nextCall();
      parent.kill('SIGKILL');
      let said = '';
      for await (const chunk of call) said += String(chunk);
      expect(said).toBe('orphaned');
      await caller.close();
    },
  );
});

/** Where a child reports that it runs: no file to poll, no time to guess. */
class Caller {
  readonly port: number;
  readonly #server: Server;
  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port; // listening on TCP
  }
  static async listen(): Promise<Caller> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Caller(server);
  }
  async nextCall(): Promise<Socket> {
    const [socket] = (await once(this.#server, 'connection')) as [Socket]; // its documented argument
    socket.on('error', () => undefined); // the child may be cut off
    return socket;
  }
  async close(): Promise<void> {
    this.#server.close();
    await once(this.#server, 'close');
  }
}
