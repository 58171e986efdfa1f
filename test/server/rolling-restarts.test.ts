/**
 * A server that is restarted again and again while it is used, as a deployment does it: nothing acknowledged is
 * lost, and nothing that failed in a caller's eyes (refused, or cut off without an answer) was done all the same.
 * `ROLLING_RESTARTS=100` for the long run.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { FAULT } from '../../proto/statuses.ts';
import { monotonicMillis } from '../../workers/clock.ts';
import { auditViews, EventWriter } from './event-writer.ts';
import { RunningNode, temporaryFolder, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const RESTARTS = Number(process.env.ROLLING_RESTARTS ?? 2);
const EVENTS_A_RESTART = 400;
const catalog = writeCatalog(catalogText());
let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

describe('rolling restarts', () => {
  it(
    `${RESTARTS} times under load: none lost, none failed but done`,
    async () => {
      const data = temporaryFolder('data');
      const writer = new EventWriter(16);
      const refusals = new Set<number>();
      const stops: number[] = [];
      let failed = 0;
      for (let restart = 0; restart < RESTARTS; restart++) {
        // Both transports, and another number of workers now and then, over the same data.
        const transport = restart % 2 === 0 ? 'uws' : 'ws';
        node = await RunningNode.start({ transport, catalog, data, workers: 1 + (restart % 3) });
        const url = node.url;
        const peers = await Promise.all(
          Array.from({ length: 4 }, (_, n) => WirePeer.connect(url, n % 2 === 0 ? 'msgpack' : 'json')),
        );
        const target = writer.acknowledgedCount + EVENTS_A_RESTART;
        const writing = Promise.all(peers.map((peer) => writer.write(peer, 16)));
        await until(() => writer.acknowledgedCount >= target);
        const startMillis = monotonicMillis();
        expect(await node.stop(), node.stderr).toBe(0);
        stops.push(monotonicMillis() - startMillis);
        await writing;
        for (const code of writer.refusals.keys()) refusals.add(code);
        failed += writer.open.size;

        node = await RunningNode.start({ catalog, data });
        const peer = await WirePeer.connect(node.url);
        expect(await auditViews(peer, writer)).toEqual({ missing: 0, surplus: 0 });
        // What failed is sent again: a duplicate would be one that was done.
        await writer.resend(peer);
        expect(writer.duplicateCount).toBe(0);
        expect(await auditViews(peer, writer)).toEqual({ missing: 0, surplus: 0 });
        await node.stop();
      }
      expect([...refusals].filter((code) => code !== FAULT.shuttingDown.code)).toEqual([]);
      stops.sort((a, b) => a - b);
      const median = Math.round(stops[stops.length >> 1] ?? 0);
      console.log(
        `MEASURED rolling restarts: ${RESTARTS} under load, ${writer.acknowledgedCount} acknowledged, 0 lost, ` +
          `${failed} failed of which 0 done; a stop took ${median} ms (median), ${Math.round(stops.at(-1) ?? 0)} at most`,
      );
    },
    60_000 + RESTARTS * 30_000,
  );
});
