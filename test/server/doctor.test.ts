import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runCli } from '../../server/cli.ts';
import { resolveConfig } from '../../server/config.ts';
import {
  CHECKS,
  examine,
  judgeClock,
  judgeMemory,
  judgeNode,
  judgeOpenFiles,
  judgeSystem,
  judgeWorkers,
  lookAtFolder,
} from '../../server/doctor-checks.ts';

const folder = mkdtempSync(join(tmpdir(), 'opportune-doctor-test-'));
afterAll(() => rmSync(folder, { recursive: true }));
const free = { port: '0', adminPort: '0', shardPort: '0' };

describe('doctor', () => {
  it.each([
    ['20.18.9', 'fail'],
    ['20.19.0', 'ok'],
    ['18.20.0', 'fail'],
    ['21.0.0', 'warn'],
    ['24.1.0', 'ok'],
  ])('doctor: Node %s is %s', (version, verdict) => expect(judgeNode(version).verdict).toBe(verdict));
  it.each([
    ['linux', '2.36', 'ok'],
    ['linux', '2.27', 'ok'],
    ['linux', '2.26', 'warn'],
    ['linux', null, 'warn'],
    ['darwin', null, 'ok'],
  ])('doctor: %s with glibc %s is %s', (platform, glibc, verdict) =>
    expect(judgeSystem(platform, 'x64', glibc).verdict).toBe(verdict),
  );
  it.each([
    [1023, 'fail'],
    [1024, 'warn'],
    [8191, 'warn'],
    [8192, 'ok'],
    [null, 'ok'],
  ])('doctor: %s open files is %s', (limit, verdict) => expect(judgeOpenFiles(limit).verdict).toBe(verdict));
  it('doctor: judges workers, memory and clock at their bounds', () => {
    expect([judgeWorkers(2, 2).verdict, judgeWorkers(3, 2).verdict]).toEqual(['ok', 'warn']);
    const config = { profilesMemoryMegabytes: 1000, workers: 1 };
    expect(judgeMemory(config, 1_048_576 * 1445).verdict).toBe('ok');
    expect(judgeMemory(config, 1_048_576 * 1444).verdict).toBe('warn');
    expect([judgeClock(0).verdict, judgeClock(Date.UTC(2026, 0, 1)).verdict]).toEqual(['fail', 'ok']);
  });
  it('doctor: a folder that can be made is well, a file in its place is not', () => {
    expect(lookAtFolder(join(folder, 'a', 'b')).found).toContain('will be made');
    expect(lookAtFolder(import.meta.filename).verdict).toBe('fail');
  });
  it('doctor: keys and certificates are read as a start would read them', async () => {
    const check = CHECKS.filter(({ name }) => name === 'access');
    const look = async (flags: Readonly<Record<string, string>>): Promise<unknown> =>
      (await examine(resolveConfig({ ...free, ...flags }, {}), check))[0];
    expect(await look({})).toMatchObject({ verdict: 'ok', found: 'nobody is asked for a token, no TLS' });
    const absent = join(folder, 'absent');
    for (const flags of [
      { apiKeyFile: absent },
      { jwksFile: absent, jwtAudience: 'a' },
      { tlsCertFile: absent, tlsKeyFile: absent },
    ])
      expect(await look(flags)).toMatchObject({ verdict: 'fail', found: expect.stringContaining('absent') });
  });
  it('doctor: a port in use is a warning that names it', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo; // listening on TCP
    const config = resolveConfig({ ...free, port: String(port) }, {});
    const [finding] = await examine(
      config,
      CHECKS.filter(({ name }) => name === 'port'),
    );
    expect(finding).toMatchObject({ verdict: 'warn', found: expect.stringContaining(String(port)) });
    await new Promise((resolve) => server.close(resolve));
  });
  it('doctor: a check that breaks is a finding and the others go on', async () => {
    const checks = [
      { name: 'broken', look: () => Promise.reject(new Error('boom')) },
      { name: 'fine', look: () => ({ verdict: 'ok' as const, found: 'yes' }) },
    ];
    const findings = await examine(resolveConfig({}, {}), checks);
    expect(findings.map(({ verdict }) => verdict)).toEqual(['fail', 'ok']);
    expect(findings[0]?.found).toBe('boom');
  });
  it('doctor: looks at everything on this machine, leaves nothing behind, and prints JSON on request', async () => {
    const data = join(folder, 'data');
    mkdirSync(data);
    let out = '';
    const io = {
      out: (text: string) => {
        out += text;
      },
      err: () => undefined,
      hasColour: false,
      columns: 100,
      environment: {},
    };
    const words = ['doctor', '--json', '--data', data, '--port', '0', '--admin-port', '0', '--shard-port', '0'];
    expect(await runCli(words, io)).toBe(0);
    const result = JSON.parse(out) as { checks: { name: string; verdict: string }[] }; // printed by the command
    expect(result.checks.map(({ name }) => name)).toEqual(CHECKS.map(({ name }) => name));
    expect(readdirSync(data)).toEqual([]);
  });
});
