/**
 * A process that is stopped (SIGSTOP: a paused virtual machine, a debugger, a swapping host) and goes on later:
 * callers' deadlines end their waiting, the server goes on with the connections it had, nothing acknowledged is
 * missing or doubled, and leases that came due meanwhile have ended, no sooner and no later.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { connect } from '../../client/index.ts';
import { epochMillis, monotonicMillis } from '../../workers/clock.ts';
import { EventWriter } from '../server/event-writer.ts';
import { RunningNode, until } from '../server/running-node.ts';
import { catalogText, writeCatalog } from '../server/test-catalogs.ts';
import { WirePeer } from '../server/wire-peer.ts';
import { Audit, fractions, report, roundsOf, SEED } from './crash-run.ts';

const ROUNDS = roundsOf(1);
const LEASE_MILLIS = 3_000;
const STOPPED_MILLIS_MIN = 1_000;
const STOPPED_MILLIS_MORE = 500;
const CAP = 3;
const catalog = writeCatalog(catalogText({ leaseMillis: LEASE_MILLIS }));

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded !== false) return;
  // A stopped process cannot even be ended in order.
  node.child.kill('SIGCONT');
  await node.kill();
});

/** Whether every thread of a process is stopped. Source: proc(5), the third field of `stat`. */
function hasStopped(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((task) =>
    /^\d+ \(.*\) T /s.test(readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8')),
  );
}

describe('suspend', () => {
  it(`SIGSTOP and SIGCONT under load, ${ROUNDS} times`, { timeout: 60_000 + ROUNDS * 15_000 }, async () => {
    const fraction = fractions(SEED);
    const running = await RunningNode.start({ catalog });
    node = running;
    const audit = new Audit();
    const writer = new EventWriter(16);
    const recoveries: number[] = [];
    let deadlines = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const peers = await Promise.all([1, 2].map(() => WirePeer.connect(running.url)));
      const [peer] = peers as [WirePeer];
      const client = connect({ url: running.url, defaultDecision: {} });
      expect(await client.decide({ profile: 'waiting', slot: 'home', deadlineMillis: 5000 })).toMatchObject({
        fallback: false,
      });
      const capped = { op: 'decide', profile: `capped-${round}`, slot: 'capped', durability: 'committed' };
      const granted = await peer.askBatch([capped, capped, capped, capped]);
      expect(granted.filter((reply) => reply.actions.length > 0)).toHaveLength(CAP);
      // One is confirmed: it stays counted, whatever happens to the others.
      await peer.must({ op: 'confirm', decisionId: granted[0]?.decisionId });
      const expiresAt = granted[1]?.actions[0]?.leaseExpiresAtEpochMillis as number; // granted, as the line above says
      expect(expiresAt).toBeGreaterThan(0);
      const writing = Promise.all(peers.map((one) => writer.write(one, 8)));
      const target = writer.acknowledgedCount + 50;
      await until(() => writer.acknowledgedCount > target);

      running.child.kill('SIGSTOP');
      // The signal returns before every thread stands; one of them may still answer.
      await until(() => hasStopped(running.child.pid as number)); // it runs
      const stoppedMillis = monotonicMillis();
      const answer = await client.decide({ profile: 'waiting', slot: 'home', deadlineMillis: 200 });
      expect(answer).toMatchObject({ fallback: true });
      deadlines++;
      const waitedMillis = monotonicMillis() - stoppedMillis;
      expect(waitedMillis).toBeGreaterThan(150);
      const pause = STOPPED_MILLIS_MIN + fraction() * STOPPED_MILLIS_MORE - waitedMillis;
      await new Promise((wake) => setTimeout(wake, Math.max(0, pause)));
      const before = writer.acknowledgedCount;
      running.child.kill('SIGCONT');
      const goingMillis = monotonicMillis();
      await until(() => writer.acknowledgedCount > before + 20);
      recoveries.push(monotonicMillis() - goingMillis);
      writer.stop();
      await writing;
      await audit.look(peer, writer);
      // The leases that were not confirmed have ended when their time was over, stopped or not: two slots are free again.
      const early = await peer.ask({ ...capped, dryRun: true });
      if (early.actions.length > 0) expect(epochMillis()).toBeGreaterThanOrEqual(expiresAt);
      await until(
        async () => (await running.metric('opportune_leases_total', { event: 'expired' })) >= 2 * (round + 1),
      );
      const again = await peer.askBatch([capped, capped, capped]);
      expect(again.filter((reply) => reply.actions.length > 0)).toHaveLength(CAP - 1);
      client.close();
      for (const one of peers) one.close();
    }
    expect(running.logLines().filter(({ level }) => level === 50)).toEqual([]);
    expect(await running.stop()).toBe(0);
    report({
      mode: 'SIGSTOP',
      rounds: ROUNDS,
      acknowledged: writer.acknowledgedCount,
      lost: audit.lost,
      duplicated: audit.duplicated,
      recoveryMillis: recoveries,
      note: `from SIGCONT to the next replies; ${deadlines} callers ended by their own deadline; leases ended in time`,
    });
    expect(audit).toMatchObject({ lost: 0, duplicated: 0 });
  });
});
