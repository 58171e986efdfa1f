/**
 * Single workers that fail (an error nobody catches) or end without warning, again and again under load, while the
 * others go on: nothing acknowledged is missing, nothing is counted twice, caps hold.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { monotonicMillis } from '../../workers/clock.ts';
import { EventWriter } from '../server/event-writer.ts';
import { RunningNode, until } from '../server/running-node.ts';
import { catalogText, writeCatalog } from '../server/test-catalogs.ts';
import { WirePeer } from '../server/wire-peer.ts';
import { Audit, findingsIn, fractions, report, roundsOf, SEED } from './crash-run.ts';

const ROUNDS = roundsOf(2);
const WORKERS = 2;
const CAP = 3;
const catalog = writeCatalog(catalogText({ leaseMillis: 86_400_000 }));

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

interface Status {
  readonly shards: readonly { readonly state: string; readonly restarts: number }[];
}

describe('workers', () => {
  it(`a worker that dies under load, ${ROUNDS} times: the others go on, every acknowledged event is there once`, {
    timeout: 60_000 + ROUNDS * 10_000,
  }, async () => {
    const fraction = fractions(SEED);
    const running = await RunningNode.start({ catalog, workers: WORKERS, words: ['--drills'] });
    node = running;
    const audit = new Audit();
    const writer = new EventWriter(24, 'person', { slots: ['capped', 'home'], deciders: 5, everyTurns: 2 });
    const recoveries: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const peers = await Promise.all(Array.from({ length: 4 }, () => WirePeer.connect(running.url)));
      const writing = Promise.all(peers.map((peer) => writer.write(peer, 8)));
      await new Promise((wake) => setTimeout(wake, 50 + fraction() * 400));
      const worker = Math.floor(fraction() * WORKERS);
      // Ending without warning takes the whole process with it where the native transport is open, by design of that library.
      const startMillis = monotonicMillis();
      await running.drill('worker-error', worker);
      await until(async () => {
        const { shards } = await running.json<Status>('/healthz');
        const restarts = shards.reduce((sum, shard) => sum + shard.restarts, 0);
        return restarts === round + 1 && shards.every(({ state }) => state === 'ready');
      });
      recoveries.push(monotonicMillis() - startMillis);
      const target = writer.acknowledgedCount + 50;
      // The connections of the dead worker are gone; whichever are left go on.
      const more = await WirePeer.connect(running.url);
      const going = writer.write(more, 4);
      await until(() => writer.acknowledgedCount > target);
      for (const peer of [...peers, more]) peer.close();
      await Promise.all([writing, going]);
      const peer = await WirePeer.connect(running.url);
      await audit.look(peer, writer);
      await writer.resend(peer);
      expect(writer.open.size).toBe(0);
      await audit.look(peer, writer);
      peer.close();
    }
    const capped = [...(writer.granted.get('capped') ?? new Map<string, number>()).values()];
    expect(capped.filter((count) => count > CAP)).toEqual([]);
    expect(Math.max(0, ...capped)).toBe(CAP);
    expect(await running.stop()).toBe(0);
    expect(await findingsIn(running.data)).toEqual([]);
    report({
      mode: 'worker fails',
      rounds: ROUNDS,
      acknowledged: writer.acknowledgedCount,
      lost: audit.lost,
      duplicated: audit.duplicated,
      recoveryMillis: recoveries,
      note: `until the worker was replaced and ready; ${writer.duplicateCount} events sent again had been applied`,
    });
    expect(audit).toMatchObject({ lost: 0, duplicated: 0 });
  });
});
