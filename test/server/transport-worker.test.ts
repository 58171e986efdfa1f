/**
 * A worker thread that ends with connections open must leave the process alive. The worker needs plain
 * JavaScript, so the fixture and what it imports are compiled first, into a folder that is removed again.
 * If the native code aborted, this whole test process would die, which no report can overlook.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadNative } from '../../server/uws-native.ts';
import { clientFrame, RawPeer, until } from './transport-peer.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
let outputFolder = '';

beforeAll(() => {
  // Below node_modules, so that the compiled files find the same packages and no tool looks at them.
  const parent = join(root, 'node_modules', '.cache');
  mkdirSync(parent, { recursive: true });
  outputFolder = mkdtempSync(join(parent, 'transport-worker-'));
  writeFileSync(join(outputFolder, 'package.json'), '{"type":"module"}');
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { noEmit: false, rootDir: root, outDir: outputFolder, rewriteRelativeImportExtensions: true },
    include: [],
    files: [join(root, 'test/server/transport-worker.ts')],
  };
  const configFile = join(outputFolder, 'tsconfig.json');
  writeFileSync(
    configFile,
    JSON.stringify({ ...config, compilerOptions: { ...config.compilerOptions, noCheck: true } }),
  );
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', configFile], { cwd: root });
}, 60_000);

afterAll(() => rmSync(outputFolder, { recursive: true, force: true }));

const hasNative = loadNative().library !== undefined;
if (!hasNative) console.warn('SKIPPED: worker endings of uws: there is no native library here');

describe.each(hasNative ? ['uws', 'ws'] : ['ws'])('transport %s in a worker', (adapter) => {
  it.each([
    'throw in onMessage',
    'throw in cork',
    'throw in a timer',
    'reject unhandled',
    'exit after closeAll',
    'run dry after closeAll',
  ])('ends with its thread and leaves the process alive: %s', async (ending) => {
    const worker = new Worker(join(outputFolder, 'test/server/transport-worker.js'), {
      workerData: { adapter, ending },
    });
    const exited = new Promise<number>((resolve) => worker.once('exit', resolve));
    const port = await new Promise<number>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    const trigger = await RawPeer.upgraded(port);
    const bystander = await RawPeer.upgraded(port);
    trigger.socket.write(clientFrame({ opcode: 2 }));
    expect(await exited).toBe(7);
    await until(() => trigger.isEnded && bystander.isEnded);
    expect(bystander.closeCode).toBe(1012);
  });
});
