/**
 * The audit log of the running product: what is in it, what a kill leaves of it, and what happens when it cannot be
 * written: no person's data is shown, and decisions go on.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { FAULT } from '../../proto/statuses.ts';
import { run as listAudit } from '../../server/commands/audit-list.ts';
import { run as verifyAudit } from '../../server/commands/audit-verify.ts';
import { run as printLog } from '../../server/commands/log.ts';
import { chainFolder } from '../../workers/audit/audit-files.ts';
import { runCommand } from './run-command.ts';
import { RunningNode, temporaryFolder, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

let node: RunningNode | undefined;
let mounted: string | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
  if (mounted !== undefined) execFileSync('umount', [mounted]);
  mounted = undefined;
});

interface Listed {
  readonly kind: string;
  readonly chain: string;
  readonly actor: string;
  readonly person: string | null;
  readonly detail: Record<string, unknown>;
}
async function listed(data: string, options: Record<string, string> = {}): Promise<Listed[]> {
  const { out } = await runCommand(listAudit, [], { data, json: true, ...options });
  return out
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Listed);
}
async function verdict(data: string): Promise<{ code: number; out: string }> {
  return runCommand(verifyAudit, [], { data });
}

describe('audit log of the running server', () => {
  it('holds who changed what and who saw whose data, survives kill -9 at work, and shows an edit', {
    timeout: 60_000,
  }, async () => {
    const data = join(temporaryFolder('audit'), 'data');
    const catalog = writeCatalog(
      catalogText({
        traits: ['consent: { type: boolean }'],
        actions: ['{ key: plain, channels: [app], valueMinor: 1 }'],
      }),
    );
    let running = await RunningNode.start({ catalog, data, workers: 2, words: ['--drills'] });
    node = running;
    let peer = await WirePeer.connect(running.url);
    for (const profile of ['ann', 'bob', 'cid']) await peer.must({ op: 'profile', profile });
    await peer.must({ op: 'decide', profile: 'ann', slot: 'home' });
    await peer.must({ op: 'track', profile: 'ann', event: 'view' });
    await peer.must({
      op: 'track',
      profile: 'ann',
      event: 'unsubscribe',
      messageId: 'm',
      properties: { channel: 'app' },
    });
    await peer.must({
      op: 'track',
      profile: 'ann',
      event: 'unsubscribe',
      messageId: 'm',
      properties: { channel: 'app' },
    });
    await peer.must({ op: 'identify', profile: 'ann', traits: { consent: false } });
    writeFileSync(catalog, 'version: 1\n');
    await until(async () => (await listed(data, { kind: 'catalogRefused' })).length === 1);
    writeFileSync(
      catalog,
      catalogText({
        traits: ['consent: { type: boolean }'],
        actions: ['{ key: plain, channels: [app], valueMinor: 2 }'],
      }),
    );
    await until(async () => (await listed(data, { kind: 'catalog' })).length === 1);
    await running.drill('worker-error', 1);
    await until(async () => (await running.metric('opportune_shard_restarts_total')) === 1);
    expect((await runCommand(printLog, [], { data, limit: '1' })).code).toBe(0);

    const rows = await listed(data);
    const actorsOf = (kind: string): Set<string> =>
      new Set(rows.filter((row) => row.kind === kind).map(({ actor }) => actor));
    // Who asks the server without a token is nobody known; commands beside it are the machine's own.
    expect([actorsOf('consent'), actorsOf('access')]).toEqual([
      new Set(['anonymous']),
      new Set(['anonymous', 'local']),
    ]);
    expect([actorsOf('start'), actorsOf('drill')]).toEqual([new Set(['local']), new Set(['local'])]);
    const count = (kind: string): number => rows.filter((row) => row.kind === kind).length;
    expect([count('start'), count('keysMade'), count('access'), count('consent'), count('drill')]).toEqual([
      1, 1, 4, 2, 1,
    ]);
    expect(rows.find(({ kind }) => kind === 'start')?.detail).toMatchObject({
      isNewLog: true,
      options: expect.stringContaining('drills=true'),
    });
    const consent = rows.filter(({ kind }) => kind === 'consent');
    expect(consent.map(({ detail }) => detail)).toEqual([
      { event: 'unsubscribe', channel: 'app' },
      { personalisation: false },
    ]);
    expect(rows.find(({ chain }) => chain === 'command')).toMatchObject({
      kind: 'access',
      detail: { command: 'log', how: 'print' },
    });
    const ann = await listed(data, { profile: 'ann' });
    expect(ann.map(({ kind }) => kind)).toEqual(['access', 'consent', 'consent']);
    expect(ann[0]?.person).toMatch(/^[0-9a-f]{16}$/);
    expect(JSON.stringify(rows)).not.toContain('"ann"');
    expect(await verdict(data)).toMatchObject({ code: 0 });

    // Killed while it writes: what was acknowledged as written before is there, and nothing looks like tampering.
    // The worker that was broken may have had the connection.
    peer = await WirePeer.connect(running.url);
    let answered = 0;
    const reading = (async () => {
      for (;;) {
        await peer.ask({ op: 'profile', profile: `p-${answered}` });
        answered++;
      }
    })().catch(() => undefined);
    await until(() => answered > 50);
    await running.kill();
    await reading;
    expect(await verdict(data)).toMatchObject({ code: 0 });
    running = await RunningNode.start({ catalog, data, workers: 2 });
    node = running;
    expect((await verdict(data)).code).toBe(0);
    // A record was queued before each answer left; a kill may take those of its last moment with it.
    const accesses =
      (await listed(data, { kind: 'access', limit: '100000' })).filter(({ chain }) => chain === 'node').length - 3;
    expect(accesses).toBeGreaterThan(answered - 50);
    peer = await WirePeer.connect(running.url);
    await peer.must({ op: 'profile', profile: 'ann' });
    expect(await running.stop()).toBe(0);
    const { out } = await verdict(data);
    const head = /^ {2}head \d+ ([0-9a-f]{64})$/m.exec(out)?.[1] ?? '';
    expect(running.stderr).toContain(head);
    expect(await runCommand(verifyAudit, [], { data, head })).toMatchObject({ code: 0 });
    expect(await runCommand(verifyAudit, [], { data, head: '0'.repeat(64) })).toMatchObject({ code: 1 });

    const file = join(chainFolder(data, 'node'), '000001.ndjson');
    const good = readFileSync(file, 'utf8');
    writeFileSync(file, good.replace('"kind":"consent"', '"kind":"Consent"'));
    expect(await verdict(data)).toMatchObject({
      code: 1,
      out: expect.stringMatching(/audit\/node\/000001\.ndjson, line \d+: its hash/),
    });
    writeFileSync(file, good);
    // One chain vouches for the other.
    rmSync(chainFolder(data, 'command'), { recursive: true });
    expect(await verdict(data)).toMatchObject({ code: 1, out: expect.stringMatching(/of the other chain saw/) });
  });

  it('that cannot be written: no data of a person is shown, the rest goes on, and nothing queued is lost', {
    timeout: 60_000,
  }, async (context) => {
    const data = join(temporaryFolder('audit'), 'data');
    const catalog = writeCatalog(catalogText());
    node = await RunningNode.start({ catalog, data, workers: 1 });
    expect(await node.stop()).toBe(0);
    const folder = chainFolder(data, 'node');
    const files = ['000001.ndjson', 'anchor'].map(
      (name) => [join(folder, name), readFileSync(join(folder, name))] as const,
    );
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder], { stdio: 'pipe' });
    } catch (error) {
      console.warn(`SKIPPED full audit disk: nothing can be mounted here (${(error as Error).message.trim()})`);
      return context.skip();
    }
    mounted = folder;
    for (const [path, bytes] of files) writeFileSync(path, bytes);
    const running = await RunningNode.start({ catalog, data, workers: 1 });
    node = running;
    const peer = await WirePeer.connect(running.url);
    let shown = 0;
    let refused = await peer.ask({ op: 'profile', profile: 'ann' });
    for (; refused.ok === true; shown++) refused = await peer.ask({ op: 'profile', profile: 'ann' });
    const { status, code, retry } = FAULT.auditUnavailable;
    expect(refused).toMatchObject({ ok: false, status, code, retry });
    expect(refused).not.toHaveProperty('record');
    await peer.must({ op: 'decide', profile: 'ann', slot: 'home' });
    await peer.must({ op: 'track', profile: 'ann', event: 'unsubscribe', properties: { channel: 'app' } });
    expect(await running.metric('opportune_audit_writable')).toBe(0);
    expect(running.stderr).toContain('audit log cannot be written');

    execFileSync('mount', ['-o', 'remount,size=4m', folder], { stdio: 'pipe' });
    await until(async () => (await peer.ask({ op: 'profile', profile: 'ann' })).ok === true);
    expect(await running.metric('opportune_audit_writable')).toBe(1);
    expect(await running.stop()).toBe(0);
    expect(await verdict(data)).toMatchObject({ code: 0 });
    const rows = await listed(data, { limit: '100000' });
    expect(rows.filter(({ kind }) => kind === 'access').length).toBe(shown + 1);
    expect(rows.filter(({ kind }) => kind === 'consent').length).toBe(1);
    expect(rows.filter(({ kind }) => kind === 'lost')).toEqual([]);
  });
});
