/**
 * What `opportune doctor` looks at: everything outside our code that decides whether the server runs,
 * and runs fast, on this machine. Each check tells what it found and, unless all is well, what to do.
 * Checks read and measure only; they leave nothing behind and work beside a running server.
 */
import { randomUUID } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs';
import { availableParallelism, tmpdir, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { epochMillis, monotonicMillis } from '../workers/clock.ts';
import { StoreEnvironment } from '../workers/store/environment.ts';
import { isAuthenticated, tenantsOf, transportNeeds } from './access/access-options.ts';
import { readTlsFiles } from './access/tls-files.ts';
import type { ResolvedConfig } from './config.ts';
import { bindOnce } from './listen-port.ts';
import { OperatorError } from './operator-error.ts';
import { selectTransport } from './select-transport.ts';

export type Verdict = 'ok' | 'warn' | 'fail';

export interface Finding {
  readonly verdict: Verdict;
  readonly found: string;
  /** What to do; absent when all is well. */
  readonly advice?: string;
}

export interface Check {
  readonly name: string;
  look(config: ResolvedConfig): Finding | Promise<Finding>;
}

export const CHECKS: readonly Check[] = [
  { name: 'node', look: () => judgeNode(process.versions.node) },
  { name: 'system', look: () => judgeSystem(process.platform, process.arch, glibcVersion()) },
  { name: 'transport', look: lookAtTransport },
  { name: 'access', look: lookAtAccess },
  { name: 'store', look: lookAtStore },
  { name: 'data', look: (config) => lookAtFolder(config.data) },
  { name: 'disk', look: (config) => lookAtDisk(config.data) },
  { name: 'port', look: (config) => lookAtPort(config.host, config.port, 'port') },
  { name: 'adminPort', look: (config) => lookAtPort(config.host, config.adminPort, 'admin-port') },
  { name: 'shardPorts', look: lookAtShardPorts },
  { name: 'workers', look: (config) => judgeWorkers(config.workers, availableParallelism()) },
  { name: 'memory', look: (config) => judgeMemory(config, memoryLimitBytes()) },
  { name: 'openFiles', look: () => judgeOpenFiles(openFileLimit()) },
  { name: 'timeZones', look: lookAtTimeZones },
  { name: 'clock', look: () => judgeClock(epochMillis()) },
];

const ok = (found: string): Finding => ({ verdict: 'ok', found });
const warn = (found: string, advice: string): Finding => ({ verdict: 'warn', found, advice });
const fail = (found: string, advice: string): Finding => ({ verdict: 'fail', found, advice });

/** Runs every check; one that breaks is a finding too, never an end of the others. */
export async function examine(
  config: ResolvedConfig,
  checks: readonly Check[] = CHECKS,
): Promise<readonly (Finding & { readonly name: string })[]> {
  const findings: (Finding & { readonly name: string })[] = [];
  for (const { name, look } of checks) {
    const finding = await Promise.resolve()
      .then(() => look(config))
      .catch((error: unknown) => fail(reasonOf(error), 'Please report this check with its message.'));
    findings.push({ name, ...finding });
  }
  return findings;
}

export function judgeNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) return fail(version, 'Install Node 20.19 or newer.');
  if (major % 2 === 1) return warn(`${version}, a short-lived release`, 'Prefer Node 20, 22 or 24.');
  return ok(version);
}

/** @param glibc version of the C library, or null where it is another one. */
export function judgeSystem(platform: string, arch: string, glibc: string | null): Finding {
  const found = `${platform} ${arch}${glibc === null ? '' : `, glibc ${glibc}`}`;
  if (platform !== 'linux') return ok(found);
  if (glibc === null)
    return warn(`${found}, C library other than glibc`, 'The native transport needs glibc; ws is used instead.');
  const [major = 0, minor = 0] = glibc.split('.').map(Number);
  if (major === 2 && minor < 27) return warn(found, 'The native transport needs glibc 2.27; ws is used instead.');
  return ok(found);
}

/** Reads the files of keys and certificates as a start would. */
async function lookAtAccess(config: ResolvedConfig): Promise<Finding> {
  try {
    const tls = readTlsFiles(config) === null ? 'no TLS' : 'TLS 1.3';
    if (!isAuthenticated(config)) return ok(`nobody is asked for a token, ${tls}`);
    const { Authenticator } = await import('./access/authenticator.ts');
    await Authenticator.open(config);
    return ok(`a token is needed, ${tls}, tenants ${tenantsOf(config).join(', ')}`);
  } catch (error) {
    return fail(reasonOf(error), error instanceof OperatorError ? error.advice : 'See docs/ACCESS.md.');
  }
}

async function lookAtTransport(config: ResolvedConfig): Promise<Finding> {
  try {
    const needs = transportNeeds(config);
    const { factory, note } = await selectTransport(config.transport, needs);
    // With TLS or JWTs it is what the options ask for, on any machine.
    const isAsked = config.transport === 'ws' || needs.tls || needs.lateVerdicts;
    if (factory.name === 'ws' && !isAsked) {
      return warn(
        note,
        'All works, at a lower rate. Use Node 20 on a listed platform, or install uWebSockets.js yourself.',
      );
    }
    return ok(note);
  } catch (error) {
    return fail(reasonOf(error), 'Use --transport auto or ws.');
  }
}

async function lookAtStore(): Promise<Finding> {
  const folder = mkdtempSync(join(tmpdir(), 'opportune-doctor-'));
  try {
    const environment = StoreEnvironment.open({ path: join(folder, 'store') });
    await environment.close();
    return ok('LMDB loads and opens a store');
  } catch (error) {
    return fail(
      `LMDB does not work: ${reasonOf(error)}`,
      'Install again with `npm ci`; its prebuilt binary must fit this platform.',
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function lookAtFolder(data: string): Finding {
  const folder = resolve(data);
  const nearest = nearestExisting(folder);
  try {
    if (!statSync(nearest).isDirectory()) return fail(`${nearest} is not a folder`, 'Choose another with --data.');
    accessSync(nearest, constants.W_OK | constants.X_OK);
  } catch (error) {
    return fail(
      `${nearest} cannot be written: ${reasonOf(error)}`,
      'Choose another folder with --data, or change its owner.',
    );
  }
  const facts = statfsSync(nearest);
  const free = facts.bavail * facts.bsize;
  const gigabytes = `${(free / 1e9).toFixed(1)} GB free`;
  const found = `${folder}${nearest === folder ? '' : ' (will be made)'}, ${gigabytes}`;
  if (free < 100e6) return fail(found, 'Make room: below 100 MB a full disk turns the server read-only soon.');
  if (free < 2e9) return warn(found, 'Make room, or lower --journal-keep-gigabytes.');
  return ok(found);
}

/** Median of a few small synced writes: what every group commit waits for. */
export function lookAtDisk(data: string): Finding {
  const file = join(nearestExisting(resolve(data)), `.opportune-doctor-${randomUUID()}`);
  const millis: number[] = [];
  try {
    const handle = openSync(file, 'wx', 0o600);
    try {
      const block = Buffer.alloc(4096, 1);
      for (let round = 0; round < 15; round++) {
        const start = monotonicMillis();
        writeSync(handle, block, 0, block.length, round * block.length);
        fdatasyncSync(handle);
        millis.push(monotonicMillis() - start);
      }
    } finally {
      closeSync(handle);
      rmSync(file, { force: true });
    }
  } catch (error) {
    return fail(`a small file cannot be written: ${reasonOf(error)}`, 'Check the folder given with --data.');
  }
  const median = millis.sort((left, right) => left - right)[7] ?? 0;
  const found = `a synced write takes ${median.toFixed(2)} ms`;
  return median > 20 ? warn(found, 'Acknowledging an event takes at least that long; use a local SSD.') : ok(found);
}

async function lookAtPort(host: string, port: number, flag: string): Promise<Finding> {
  if (port === 0) return ok('any free port');
  const cause = await bindOnce(host, port);
  if (cause === undefined) return ok(`${host}:${port} is free`);
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : reasonOf(cause);
  if (code === 'EADDRINUSE') {
    return warn(
      `${host}:${port} is in use`,
      `Fine if that is a running Opportune; else choose another with --${flag}.`,
    );
  }
  return fail(`${host}:${port} cannot be used (${code})`, `Choose another with --${flag} or --host.`);
}

async function lookAtShardPorts(config: ResolvedConfig): Promise<Finding> {
  const { host, shardPort, workers } = config;
  if (shardPort === 0) return ok('any free ports');
  const taken: number[] = [];
  for (let port = shardPort; port < shardPort + workers; port++) {
    if ((await bindOnce(host, port)) !== undefined) taken.push(port);
  }
  const range = workers === 1 ? `${shardPort}` : `${shardPort}-${shardPort + workers - 1}`;
  if (taken.length === 0) return ok(`${range} free`);
  return warn(
    `${taken.join(', ')} of ${range} cannot be used`,
    'Fine if that is a running Opportune; else choose others with --shard-port.',
  );
}

export function judgeWorkers(workers: number, cores: number): Finding {
  const found = `${workers} on ${cores} core${cores === 1 ? '' : 's'}`;
  return workers > cores ? warn(found, 'More workers than cores share the time of a core; use one a core.') : ok(found);
}

/** Heap and buffers of a worker, roughly, besides the profiles. */
const WORKER_MEGABYTES = 150;

export function judgeMemory(
  config: Pick<ResolvedConfig, 'profilesMemoryMegabytes' | 'workers'>,
  limitBytes: number,
): Finding {
  const limitMegabytes = Math.floor(limitBytes / 1_048_576);
  const wantedMegabytes = config.profilesMemoryMegabytes + (config.workers + 1) * WORKER_MEGABYTES;
  const found = `about ${wantedMegabytes} MiB at most, of ${limitMegabytes} MiB`;
  if (wantedMegabytes <= limitMegabytes * 0.9) return ok(found);
  return warn(found, 'Lower --profiles-memory-megabytes or --workers, or the system may end the process.');
}

/** @param limit soft limit of open files, or null where the system does not tell. */
export function judgeOpenFiles(limit: number | null): Finding {
  if (limit === null) return ok('no limit known');
  if (limit < 1024) return fail(String(limit), 'Raise it: `ulimit -n 65536`, or LimitNOFILE= in the systemd unit.');
  if (limit < 8192) return warn(`${limit}, one a connection`, 'Raise it for more connections: `ulimit -n 65536`.');
  return ok(`${limit}`);
}

function lookAtTimeZones(): Finding {
  // Two instants on both sides of a change of the clocks, and a zone without any.
  const expected = [
    ['Europe/Berlin', Date.UTC(2026, 6, 1, 12), '14:00'],
    ['Europe/Berlin', Date.UTC(2026, 11, 1, 12), '13:00'],
    ['Asia/Shanghai', Date.UTC(2026, 6, 1, 12), '20:00'],
  ] as const;
  for (const [timeZone, instant, clock] of expected) {
    const format = new Intl.DateTimeFormat('en-GB', { timeZone, hour: '2-digit', minute: '2-digit' });
    const actual = format.format(instant);
    if (actual !== clock)
      return fail(`${timeZone} reads ${actual}, expected ${clock}`, 'Use a Node built with full ICU data.');
  }
  return ok(`IANA ${process.versions.tz ?? 'version unknown'}`);
}

/** 2026-01-01: no clock that is right shows an earlier time to this program. */
const EARLIEST_EPOCH_MILLIS = Date.UTC(2026, 0, 1);

export function judgeClock(nowEpochMillis: number): Finding {
  const found = new Date(nowEpochMillis).toISOString();
  if (nowEpochMillis >= EARLIEST_EPOCH_MILLIS) return ok(found);
  return fail(`${found} is in the past`, 'Set the clock (NTP): caps, leases and send times depend on it.');
}

function glibcVersion(): string | null {
  const report: unknown = process.report?.getReport();
  if (typeof report !== 'object' || report === null || !('header' in report)) return null;
  const { header } = report;
  if (typeof header !== 'object' || header === null || !('glibcVersionRuntime' in header)) return null;
  return String(header.glibcVersionRuntime);
}

function memoryLimitBytes(): number {
  // 0 or a huge number: no limit set for the control group.
  const constrained = process.constrainedMemory?.() ?? 0;
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

function openFileLimit(): number | null {
  if (!existsSync('/proc/self/limits')) return null;
  const text = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return text === undefined ? null : Number(text);
}

function nearestExisting(folder: string): string {
  let nearest = folder;
  while (!existsSync(nearest) && dirname(nearest) !== nearest) nearest = dirname(nearest);
  return nearest;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
