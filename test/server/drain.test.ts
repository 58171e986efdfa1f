/** Stopping a server that is being used: what was taken is answered and kept, sockets are told 1012, the exit is 0. */
import { afterEach, describe, expect, it } from 'vitest';
import { FAULT } from '../../proto/statuses.ts';
import { monotonicMillis } from '../../workers/clock.ts';
import { auditViews, EventWriter } from './event-writer.ts';
import { RunningNode, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const catalog = writeCatalog(catalogText());
let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

describe.each(['uws', 'ws'] as const)('drain over %s', (transport) => {
  it('SIGTERM under load: in-flight work is answered, sockets close with 1012, exit 0, nothing is lost', async () => {
    node = await RunningNode.start({ transport, catalog });
    const { data } = node;
    const writer = new EventWriter(16);
    const peers = await Promise.all(
      Array.from({ length: 6 }, (_, n) => WirePeer.connect(node?.url ?? '', n % 2 ? 'json' : 'msgpack')),
    );
    const writing = Promise.all(peers.map((peer) => writer.write(peer, 16)));
    await until(() => writer.acknowledgedCount > 500);
    const startMillis = monotonicMillis();
    const code = await node.stop();
    const stopMillis = monotonicMillis() - startMillis;
    await writing;
    expect(code).toBe(0);
    expect(await Promise.all(peers.map((peer) => peer.closed))).toEqual(peers.map(() => 1012));
    expect([...writer.refusals.keys()].filter((refused) => refused !== FAULT.shuttingDown.code)).toEqual([]);
    expect(stopMillis).toBeLessThan(8000);
    console.log(`MEASURED drain over ${transport}: exit 0 after ${Math.round(stopMillis)} ms with 6 busy connections`);

    node = await RunningNode.start({ transport, catalog, data });
    const peer = await WirePeer.connect(node.url);
    expect(await auditViews(peer, writer)).toEqual({ missing: 0, surplus: 0 });
    await writer.resend(peer);
    expect(await auditViews(peer, writer)).toEqual({ missing: 0, surplus: 0 });
    expect(await node.stop()).toBe(0);
  });

  it('SIGTERM: readiness is off and new sockets are refused while old ones are served', async () => {
    node = await RunningNode.start({ transport, catalog });
    const peers = await Promise.all(Array.from({ length: 200 }, () => WirePeer.connect(node?.url ?? '')));
    const stopping = node.terminate();
    const running = node;
    await until(() => running.stderr.includes('draining'));
    await until(async () => (await running.get('/readyz').catch(() => undefined))?.status !== 200);
    await expect(WirePeer.connect(running.url)).rejects.toThrow();
    expect((await stopping).code).toBe(0);
    expect(new Set(await Promise.all(peers.map((peer) => peer.closed)))).toEqual(new Set([1012]));
  });
});

describe('drain', () => {
  it('a second signal: ends the process at once, as an unhandled SIGTERM does', async () => {
    node = await RunningNode.start({ catalog, words: ['--drain-seconds', '60'] });
    const running = node;
    await Promise.all(Array.from({ length: 300 }, () => WirePeer.connect(running.url)));
    const ended = running.terminate();
    await until(() => running.stderr.includes('draining'));
    const startMillis = monotonicMillis();
    running.child.kill('SIGTERM');
    expect(await ended).toEqual({ code: null, signal: 'SIGTERM' });
    expect(monotonicMillis() - startMillis).toBeLessThan(1000);
    expect(running.stderr).toContain('again');
  });

  it('SIGINT: stops as SIGTERM does', async () => {
    node = await RunningNode.start({ catalog });
    node.child.kill('SIGINT');
    expect(await node.ended).toEqual({ code: 0, signal: null });
  });
});
