/**
 * A worker thread that ends with connections open must leave the process alive. The worker needs plain
 * JavaScript, so the fixture and what it imports are compiled first, into a folder that is removed again.
 * If the native code aborted, this whole test process would die, which no report can overlook.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadNative } from '../../server/uws-native.ts';
import { compileForWorker } from './compile-for-worker.ts';
import { clientFrame, RawPeer, until } from './transport-peer.ts';

let outputFolder = '';

beforeAll(() => {
  outputFolder = compileForWorker('test/server/transport-worker.ts');
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
