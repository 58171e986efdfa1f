/**
 * `npm run bench:peers` from end to end for moments, with the peers that need no install: what is checked is that
 * each row is there with figures or a reason, never how fast.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, it } from 'vitest';

const isBuilt = existsSync('dist/server/cli.js') && existsSync('dist/bench/generator-process.js');
if (!isBuilt) console.warn('bench:peers: skipped, dist/ is not built (node setup.mjs)');

interface Figures {
  readonly perSecond: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly failed: number;
}
interface PeersResult {
  readonly ratePerSecond: number;
  readonly rows: readonly {
    readonly name: string;
    readonly reason: string | null;
    readonly peak: Figures | null;
    readonly open: Figures | null;
    readonly runs: { readonly peaks: readonly { readonly latency: { readonly count: number } }[] };
  }[];
}

const folder = mkdtempSync(join(tmpdir(), 'opportune-peers-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function runPeers(...words: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [resolve('bench/peers/run.mjs'), '--no-install', ...words]);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const code = await new Promise<number | null>((done) => child.once('close', done));
  return { code, stdout, stderr };
}

const BRIEF = ['--seconds', '0.5', '--warmup', '0.2', '--connections', '2', '--profiles', '64'];

it.skipIf(!isBuilt)(
  'bench:peers: a row with figures for each peer that runs, one with its reason for one that cannot start',
  async () => {
    const json = join(folder, 'peers.json');
    const noRedis = join(folder, 'no-redis-server');
    const only = ['--only', 'opportune,plain-ws,fastify-redis', '--redis-server', noRedis, '--json', json];
    const { code, stdout, stderr } = await runPeers(...only, ...BRIEF);
    expect(code, `${stdout}\n${stderr}`).toBe(0);
    const { rows, ratePerSecond } = JSON.parse(readFileSync(json, 'utf8')) as PeersResult; // written by the run just now
    expect(rows.map(({ name }) => name)).toEqual(['opportune', 'plain-ws', 'fastify-redis']);
    for (const { name, reason, peak, open, runs } of rows.slice(0, 2)) {
      expect(reason, name).toBeNull();
      expect(peak?.failed, name).toBe(0);
      expect(peak?.perSecond, name).toBeGreaterThan(0);
      expect(peak?.p99Micros, name).toBeGreaterThanOrEqual(peak?.p50Micros ?? Number.NaN);
      expect(runs.peaks[0]?.latency.count, name).toBeGreaterThan(0);
      expect(open?.perSecond, name).toBeGreaterThan(0);
    }
    const slowest = Math.min(...rows.flatMap(({ peak }) => (peak === null ? [] : [peak.perSecond])));
    expect(ratePerSecond).toBe(Math.max(1, Math.floor(Math.min(2_000, slowest / 2))));
    expect(rows[2]).toMatchObject({ peak: null, open: null, reason: expect.stringContaining(noRedis) });
    const [, ours = '', plain = '', redis = ''] =
      /\n(Opportune .*)\n(ws \+ Map .*)\n(Fastify \+ Redis .*)\n/.exec(stdout) ?? [];
    expect(ours).toMatch(/ 1\.00 .* ms .* ms .* ms .* ms .* 1\.00 /);
    expect(plain).toContain('gone with the process');
    expect(redis).toContain(`not measured`);
    expect(redis).toContain(noRedis);
  },
  120_000,
);

it.skipIf(!isBuilt)('bench:peers: exit code 2 and the names there are for a peer it does not know', async () => {
  const { code, stderr } = await runPeers('--only', 'plain-ws,memcached');
  expect(code).toBe(2);
  expect(stderr).toMatch(/no peer memcached; there are opportune, plain-ws/);
});
