/**
 * How long people wait: for a start, for a worker that failed, for a supervised server that was killed. Each
 * as it is, and beside two busy loops that take half of a two-core machine. The promises are for a quiet
 * machine and are printed; tests share their cores with whatever runs beside them, so what fails here is a
 * recovery that does not come, not one that is late.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { afterEach, describe, expect, it } from 'vitest';
import { partitionOfKey } from '../../proto/partition.ts';
import { monotonicMillis } from '../../workers/clock.ts';
import { RunningNode, temporaryFolder, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const BOUND_MILLIS = 15_000;
/** The spare is hired a second after the node is ready and takes about as long as a worker to load. */
const SETTLED_MILLIS = 3_000;
const catalog = writeCatalog(catalogText());
const profileOf1 = Array.from({ length: 64 }, (_, n) => `key-${n}`).find((key) => partitionOfKey(key) >> 7 === 1) ?? '';

let node: RunningNode | undefined;
let loops: ChildProcess[] = [];
afterEach(async () => {
  for (const loop of loops.splice(0)) loop.kill('SIGKILL');
  if (node?.hasEnded === false) await node.kill();
});

function keepBusy(count: number): void {
  loops = Array.from({ length: count }, () => spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }));
}

async function settled(): Promise<void> {
  await new Promise((wake) => setTimeout(wake, SETTLED_MILLIS));
}

/** From now until a decision about `profile` is answered well over a new connection, in ms. */
async function untilDecided(from: number, url: string): Promise<number> {
  const peer = await WirePeer.connect(url);
  await until(async () => (await peer.ask({ op: 'decide', profile: profileOf1, dryRun: true })).ok === true);
  peer.close();
  return monotonicMillis() - from;
}

/** Within `npm test` each once; `RECOVERY_TIMES=3` measures three times each, beside busy loops too. */
const TIMES = Number(process.env.RECOVERY_TIMES ?? 1);

describe.each(TIMES > 1 ? [0, 2] : [0])('times beside %d busy loops', (count) => {
  const where = count === 0 ? 'without load of our own' : `beside ${count} busy loops`;

  it('start: ready, first on an empty folder, then on the same again', async () => {
    keepBusy(count);
    const data = temporaryFolder('start');
    const millis: number[] = [];
    for (let start = 0; start <= TIMES; start++) {
      node = await RunningNode.start({ catalog, data });
      millis.push(node.readyMillis);
      expect(node.readyMillis).toBeLessThan(BOUND_MILLIS);
      expect(await node.stop()).toBe(0);
    }
    console.log(`MEASURED start ${where}: ready after ${millis.map(Math.round).join(', ')} ms (first, then again)`);
  });

  it('worker-error: the partitions of the worker answer again', async () => {
    node = await RunningNode.start({ catalog, words: ['--drills'] });
    const millis: number[] = [];
    for (let drill = 0; drill < TIMES; drill++) {
      await settled();
      keepBusy(count);
      const peer = await WirePeer.connect(node.url);
      const { shards } = await peer.must({ op: 'hello' });
      const doomed = await WirePeer.connect(shards[1].url);
      const startMillis = monotonicMillis();
      await node.drill('worker-error', 1);
      expect(await doomed.closed).toBe(1012);
      const steady = await WirePeer.connect(shards[0].url);
      await until(async () => (await steady.ask({ op: 'decide', profile: profileOf1, dryRun: true })).ok === true);
      millis.push(monotonicMillis() - startMillis);
      expect(millis.at(-1)).toBeLessThan(BOUND_MILLIS);
      for (const loop of loops.splice(0)) loop.kill('SIGKILL');
    }
    console.log(
      `MEASURED worker-error ${where}: its partitions answer again after ${millis.map(Math.round).join(', ')} ms`,
    );
    expect(await node.stop()).toBe(0);
  });

  it('supervise: serving again after kill -9', async () => {
    node = await RunningNode.start({ catalog, words: ['--supervise'] });
    const millis: number[] = [];
    keepBusy(count);
    for (let kill = 0; kill < TIMES; kill++) {
      const serving = node.untilServingAgain();
      const startMillis = monotonicMillis();
      process.kill(node.childPid(), 'SIGKILL');
      await serving;
      millis.push(await untilDecided(startMillis, node.url));
      expect(millis.at(-1)).toBeLessThan(BOUND_MILLIS);
    }
    console.log(`MEASURED supervise ${where}: serving again after ${millis.map(Math.round).join(', ')} ms of kill -9`);
    expect(await node.stop()).toBe(0);
  });
});
