/**
 * A disk that runs full under a running server: it turns read-only and says so everywhere, goes on with
 * what needs no disk, and takes up again by itself once there is room. Nothing acknowledged is lost. The
 * disk is an ext4 file system in a file, mounted for the test; where mounting is not allowed it skips.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { FAULT } from '../../proto/statuses.ts';
import { monotonicMillis } from '../../workers/clock.ts';
import { Audit, findingsIn, report } from '../crash/crash-run.ts';
import { EventWriter } from './event-writer.ts';
import { RunningNode, temporaryFolder, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const DISK_BYTES = 192 * 1024 * 1024;

let node: RunningNode | undefined;
let mounted: string | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
  if (mounted !== undefined) execFileSync('umount', [mounted]);
  mounted = undefined;
});

/** The mount point, or undefined with the reason on the console. */
function mountSmallDisk(): string | undefined {
  const folder = temporaryFolder('disk');
  const image = join(folder, 'disk.img');
  const mountPoint = join(folder, 'disk');
  mkdirSync(mountPoint);
  const file = openSync(image, 'w');
  ftruncateSync(file, DISK_BYTES);
  closeSync(file);
  try {
    execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', image], { stdio: 'pipe' });
    execFileSync('mount', ['-o', 'loop', image, mountPoint], { stdio: 'pipe' });
    return mountPoint;
  } catch (error) {
    console.warn(`SKIPPED full disk: a small file system cannot be mounted here (${(error as Error).message.trim()})`);
    return undefined;
  }
}

describe('full disk', () => {
  it('read-only, said in reply, log, /readyz and metrics; recovers by itself; nothing acknowledged is lost', {
    timeout: 60_000,
  }, async (context) => {
    mounted = mountSmallDisk();
    if (mounted === undefined) return context.skip();
    const data = join(mounted, 'data');
    const catalog = writeCatalog(catalogText());
    node = await RunningNode.start({ catalog, data });
    const running = node;
    const audit = new Audit();
    const writer = new EventWriter(16);
    const peers = await Promise.all([1, 2].map(() => WirePeer.connect(running.url)));
    const [peer] = peers as [WirePeer];
    await peer.must({ op: 'identify', profile: 'known', traits: { loyalty: 'gold' } });
    const writing = Promise.all(peers.map((one) => writer.write(one, 8)));
    await until(() => writer.acknowledgedCount > 300);

    const ballast = join(mounted, 'ballast');
    const disk = statfsSync(mounted);
    writeFileSync(ballast, Buffer.alloc(disk.bavail * disk.bsize - 1024 * 1024));
    await until(async () => (await running.metric('opportune_store_read_only')) === 2);
    // What was under way when the disk was found full failed as a whole; what comes later is refused.
    await until(() => (writer.refusals.get(FAULT.readOnly.code) ?? 0) > 50);
    writer.stop();
    await writing;
    expect(
      [...writer.refusals.keys()].filter((code) => code !== FAULT.readOnly.code && code !== FAULT.writeFailed.code),
    ).toEqual([]);
    const refused = await peer.ask({ op: 'track', profile: 'known', event: 'view' });
    expect(refused).toMatchObject({
      ok: false,
      status: 'UNAVAILABLE',
      code: FAULT.readOnly.code,
      retry: 'later',
      retryAfterMillis: 1000,
    });
    expect(await peer.ask({ op: 'decide', profile: 'known', slot: 'home' })).toMatchObject({
      code: FAULT.readOnly.code,
    });
    expect(await peer.ask({ op: 'identify', profile: 'known', traits: { age: 4 } })).toMatchObject({
      code: FAULT.readOnly.code,
    });
    expect((await peer.must({ op: 'decide', profile: 'known', slot: 'golden', dryRun: true })).actions).toHaveLength(1);
    expect((await peer.must({ op: 'profile', profile: 'known' })).record.traits).toEqual({ loyalty: 'gold' });
    const ready = await running.get('/readyz');
    expect(ready.status).toBe(503);
    expect(JSON.parse(ready.text)).toMatchObject({
      ready: false,
      shards: [{ isReadOnly: true }, { isReadOnly: true }],
    });
    expect((await running.get('/healthz')).status).toBe(200);
    expect(await running.metric('opportune_ready')).toBe(0);
    expect(await running.metric('opportune_commit_failures_total')).toBeGreaterThan(0);
    expect(running.logLines().some((line) => line.level === 50 && line.msg.includes('cannot write'))).toBe(true);
    await audit.look(peer, writer);

    rmSync(ballast);
    const roomMillis = monotonicMillis();
    await until(async () => (await running.get('/readyz')).status === 200);
    await until(async () => (await running.metric('opportune_store_read_only')) === 0);
    const recoveredMillis = monotonicMillis() - roomMillis;
    expect(running.logLines().some((line) => line.msg.includes('writes again'))).toBe(true);
    await audit.look(peer, writer);
    await writer.resend(peer);
    expect(writer.open.size).toBe(0);
    await audit.look(peer, writer);
    await running.kill();

    node = await RunningNode.start({ catalog, data });
    const again = await WirePeer.connect(node.url);
    await audit.look(again, writer);
    expect(await node.stop()).toBe(0);
    expect(await findingsIn(data)).toEqual([]);
    report({
      mode: 'full disk',
      rounds: 1,
      acknowledged: writer.acknowledgedCount,
      lost: audit.lost,
      duplicated: audit.duplicated,
      recoveryMillis: [recoveredMillis],
      note: 'from room on the disk until it writes again; read-only meanwhile, and killed afterwards',
    });
    expect(audit).toMatchObject({ lost: 0, duplicated: 0 });
  });
});
