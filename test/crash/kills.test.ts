/**
 * kill -9 under load, again and again, over one data folder: no acknowledged event is missing, none is counted
 * twice, no cap and no budget is exceeded by decisions acknowledged as committed, and at the end records, log and
 * budgets agree. `npm run crash -- --kills 200` for the figure of the report.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { EventWriter } from '../server/event-writer.ts';
import { RunningNode, type StartedProgram, temporaryFolder } from '../server/running-node.ts';
import { catalogText, writeCatalog } from '../server/test-catalogs.ts';
import { WirePeer } from '../server/wire-peer.ts';
import { Audit, findingsIn, fractions, report, roundsOf, SEED } from './crash-run.ts';

const CYCLES = roundsOf(6);
const CONNECTIONS = 4;
const DEPTH = 32;
/** As the catalog has them: three decisions a person, and ten of the budget. */
const CAP = 3;
const BUDGETED = 10;
const VERIFY_EVERY = 20;

// Leases as long as they may be: one that ends gives its slot of the cap back, and it would be right to grant it again.
const catalog = writeCatalog(catalogText({ leaseMillis: 86_400_000 }));
let node: RunningNode | undefined;
afterAll(async () => {
  if (node?.hasEnded === false) await node.kill();
});

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

describe('kills', () => {
  it(`kill -9 under load, ${CYCLES} times: every acknowledged event is there, and each event once`, {
    timeout: 60_000 + CYCLES * 15_000,
  }, async () => {
    const fraction = fractions(SEED);
    const data = temporaryFolder('crash');
    const audit = new Audit();
    const writer = new EventWriter(48, 'person', { slots: ['capped', 'budget', 'home'], deciders: 5, everyTurns: 2 });
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
      await audit.look(first, writer);
      for (const decisionId of writer.confirmed.values()) await first.must({ op: 'confirm', decisionId });
      resent += await writer.resend(first);
      await audit.look(first, writer);
      expect(writer.open.size).toBe(0);
      const writing = Promise.all(peers.map((peer) => writer.write(peer, DEPTH)));
      await new Promise((resolve) => setTimeout(resolve, 50 + fraction() * (cycle % 10 === 1 ? 4000 : 700)));
      await node.kill();
      await writing;
      if (cycle % VERIFY_EVERY === VERIFY_EVERY - 1) expect(await findingsIn(data)).toEqual([]);
    }
    node = await RunningNode.start({ catalog, data });
    note(node);
    const peer = await WirePeer.connect(node.url);
    await audit.look(peer, writer);
    resent += await writer.resend(peer);
    await audit.look(peer, writer);
    expect(writer.open.size).toBe(0);
    expect([...writer.refusals]).toEqual([]);
    expect(writer.acknowledgedCount).toBeGreaterThan(CYCLES * 100);
    const capped = writer.granted.get('capped') ?? new Map<string, number>();
    expect([...capped].filter(([, count]) => count > CAP)).toEqual([]);
    // Somebody got as much as the cap allows, or it was not put to the test.
    expect(Math.max(0, ...capped.values())).toBe(CAP);
    const budgeted = [...(writer.granted.get('budget') ?? new Map<string, number>()).values()];
    expect(budgeted.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(BUDGETED);
    const committed = [...writer.granted.values()].reduce(
      (sum, profiles) => sum + [...profiles.values()].reduce((a, b) => a + b, 0),
      0,
    );
    peer.close();
    expect(await node.stop()).toBe(0);
    expect(await findingsIn(data)).toEqual([]);
    report({
      mode: 'kill -9',
      rounds: CYCLES,
      acknowledged: writer.acknowledgedCount,
      lost: audit.lost,
      duplicated: audit.duplicated,
      recoveryMillis: recoveries,
      note:
        `${resent} sent again, ${writer.duplicateCount} of them had been applied; ${committed} committed decisions, caps and ` +
        `budget kept; reading the journal back ${Math.round(Math.max(...readings))} ms at most`,
    });
    expect(audit).toMatchObject({ lost: 0, duplicated: 0 });
  });
});
