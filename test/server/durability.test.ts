/**
 * kill -9 under load, again and again, over one data folder: no acknowledged event is missing and none is
 * counted twice. CRASH_CYCLES=20 for the figure of the report; the seed of the kill moments is printed.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { auditViews, EventWriter } from './event-writer.ts';
import { RunningNode, type StartedProgram, temporaryFolder } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const CYCLES = Number(process.env.CRASH_CYCLES ?? 5);
const SEED = Number(process.env.CRASH_SEED ?? 20_261_122);
const CONNECTIONS = 4;
const DEPTH = 32;

const catalog = writeCatalog(catalogText());
let node: RunningNode | undefined;
afterAll(async () => {
  if (node?.hasEnded === false) await node.kill();
});

/** Numbers from 0 to 1 that a seed repeats (Lehmer, Park and Miller 1988). */
function fractions(seed: number): () => number {
  let state = seed % 2_147_483_647;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

async function kindsOfPeers(to: RunningNode): Promise<WirePeer[]> {
  const encodings = ['msgpack', 'json'] as const;
  return Promise.all(Array.from({ length: CONNECTIONS }, (_, n) => WirePeer.connect(to.url, encodings[n % 2])));
}

/** Starts a server and kills it while it still starts; the next start must not mind. */
async function dieStarting(data: string, workers: number, afterMillis: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const onSpawn = (program: StartedProgram): void => {
    timer = setTimeout(() => void program.kill(), afterMillis);
  };
  const started = await RunningNode.start({ catalog, data, workers, onSpawn }).catch(() => undefined);
  clearTimeout(timer);
  if (started?.hasEnded === false) await started.kill();
}

function averageAndWorst(millis: readonly number[]): string {
  const average = millis.reduce((sum, one) => sum + one, 0) / millis.length;
  return `${Math.round(average)} ms on average and ${Math.round(Math.max(...millis))} ms at most`;
}

describe('durability', () => {
  it(`kill -9 under load, ${CYCLES} times: every acknowledged event is there, and each event once`, {
    timeout: 30_000 + CYCLES * 15_000,
  }, async () => {
    const fraction = fractions(SEED);
    const data = temporaryFolder('crash');
    const writer = new EventWriter(48);
    const recoveries: number[] = [];
    const readings: number[] = [];
    const note = (started: RunningNode): void => {
      recoveries.push(started.readyMillis);
      for (const line of started.logLines()) if (line.msg === 'shard recovered') readings.push(Number(line.millis));
    };
    let resent = 0;
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      const workers = 1 + Math.floor(fraction() * 3);
      if (cycle % 4 === 3) await dieStarting(data, workers, 300 + fraction() * 900);
      node = await RunningNode.start({ catalog, data, workers, transport: cycle % 3 === 2 ? 'ws' : 'uws' });
      if (cycle > 0) note(node);
      const peers = await kindsOfPeers(node);
      const [first] = peers as [WirePeer];
      expect(await auditViews(first, writer)).toEqual({ missing: 0, surplus: 0 });
      for (const decisionId of writer.confirmed.values()) await first.must({ op: 'confirm', decisionId });
      resent += await writer.resend(first);
      expect(await auditViews(first, writer)).toEqual({ missing: 0, surplus: 0 });
      expect(writer.open.size).toBe(0);
      const writing = Promise.all(peers.map((peer) => writer.write(peer, DEPTH)));
      await new Promise((resolve) => setTimeout(resolve, 50 + fraction() * (cycle % 5 === 1 ? 4000 : 1200)));
      await node.kill();
      await writing;
    }
    node = await RunningNode.start({ catalog, data });
    note(node);
    const peer = await WirePeer.connect(node.url);
    expect(await auditViews(peer, writer)).toEqual({ missing: 0, surplus: 0 });
    resent += await writer.resend(peer);
    expect(await auditViews(peer, writer)).toEqual({ missing: 0, surplus: 0 });
    expect(writer.open.size).toBe(0);
    expect([...writer.refusals]).toEqual([]);
    expect(writer.acknowledgedCount).toBeGreaterThan(CYCLES * 100);
    peer.close();
    expect(await node.stop()).toBe(0);
    console.log(
      `MEASURED kill -9: seed ${SEED}, ${CYCLES} cycles, ${writer.acknowledgedCount} acknowledged, 0 lost, 0 duplicated; ` +
        `${resent} sent again, ${writer.duplicateCount} of them had been applied; ready after a crash in ` +
        `${averageAndWorst(recoveries)}, of which reading the journal back ${averageAndWorst(readings)}`,
    );
  });
});
