/**
 * A process that has no file descriptor left: it refuses new connections, goes on with those it has, acknowledges
 * and keeps their events, does not spin, and takes connections again when there are descriptors.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { EventWriter } from '../server/event-writer.ts';
import { RunningNode, until } from '../server/running-node.ts';
import { catalogText, writeCatalog } from '../server/test-catalogs.ts';
import { WirePeer } from '../server/wire-peer.ts';
import { Audit, report, roundsOf } from './crash-run.ts';

/** Descriptors beyond those that the server has when it is ready. */
const SPARE = 12;
const ATTEMPTS = 60;
/** Longer than the slow gauges, the look at the catalog and the first model snapshot are apart. */
const WATCHED_MILLIS = 2_500;
const catalog = writeCatalog(catalogText());

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

function openDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Clock ticks of processor time of the process so far. */
function ticksOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

/** Sets the limit of a running process; false with the reason on the console where that is not possible. */
function limitDescriptors(pid: number, count: number): boolean {
  const { status, error, stderr } = spawnSync('prlimit', [`--pid=${pid}`, `--nofile=${count}:`], { encoding: 'utf8' });
  if (status === 0) return true;
  console.warn(`SKIPPED file descriptors: their limit cannot be set here (${error?.message ?? stderr})`);
  return false;
}

/** Within `npm test` the one that most people run. */
const TRANSPORTS = roundsOf(0) === 0 ? (['uws'] as const) : (['uws', 'ws'] as const);

describe.each(TRANSPORTS)('descriptors over %s', (transport) => {
  it('none left: new connections fail, old ones go on, and afterwards all is well', {
    timeout: 60_000,
  }, async (context) => {
    const running = await RunningNode.start({ catalog, transport, workers: 1 });
    node = running;
    const { pid } = running;
    const peers = await Promise.all([1, 2].map(() => WirePeer.connect(running.url)));
    const [peer] = peers as [WirePeer];
    await running.get('/metrics');
    const audit = new Audit();
    const writer = new EventWriter(8);
    if (!limitDescriptors(pid, openDescriptors(pid) + SPARE)) return context.skip();
    const { hostname, port } = new URL(running.url);
    const sockets: Socket[] = [];
    for (let n = 0; n < ATTEMPTS; n++) {
      const socket = connect(Number(port), hostname);
      socket.on('error', () => {});
      sockets.push(socket);
    }
    const full = openDescriptors(pid) + SPARE;
    await until(() => openDescriptors(pid) >= full - 4);
    // No connection that would need another descriptor comes through …
    const late = WirePeer.connect(running.url).then(
      () => 'connected',
      () => 'refused',
    );
    const ticksBefore = ticksOf(pid);
    const writing = Promise.all(peers.map((one) => writer.write(one, 4)));
    await until(() => writer.acknowledgedCount > 100);
    writer.stop();
    await writing;
    await new Promise((wake) => setTimeout(wake, WATCHED_MILLIS));
    const early = await Promise.race([late, Promise.resolve('waiting')]);
    expect(['refused', 'waiting']).toContain(early);
    // … and everybody who was there is still served: no worker died of what it could not open.
    const ticks = ticksOf(pid) - ticksBefore;
    expect(running.logLines().filter(({ msg }) => /worker/.test(msg))).toEqual([]);
    await peer.must({ op: 'decide', profile: 'ann', slot: 'home', durability: 'committed' });
    expect(running.hasEnded).toBe(false);

    for (const socket of sockets) socket.destroy();
    await until(async () => (await running.get('/readyz').catch(() => ({ status: 0 }))).status === 200);
    const again = await WirePeer.connect(running.url);
    // Nobody's data is shown while the audit log, which opens files, cannot be written.
    await until(async () => (await again.ask({ op: 'profile', profile: 'ann' })).ok);
    await audit.look(again, writer);
    for (const one of [...peers, again]) one.close();
    expect(await running.stop()).toBe(0);
    report({
      mode: `descriptors, ${transport}`,
      rounds: 1,
      acknowledged: writer.acknowledgedCount,
      lost: audit.lost,
      duplicated: audit.duplicated,
      recoveryMillis: [],
      note: `${ATTEMPTS} connections for ${SPARE} descriptors; a further one was ${early}; ${ticks * 10} ms of processor time meanwhile`,
    });
    expect(audit).toMatchObject({ lost: 0, duplicated: 0 });
  });
});
