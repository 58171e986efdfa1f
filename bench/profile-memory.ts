/**
 * What a resident profile costs: reads the server's own gauges, makes N profiles resident over the
 * WebSocket, reads them again, and divides the growth. Goal: bytes a profile outside the heap and heap
 * growth a profile, from outside the process. Non-goal: a heap breakdown (use `--heap-prof` on the
 * server for that). The server must be fresh: profiles it already holds do not grow anything.
 *
 *     node dist/bench/profile-memory.js --profiles 100000 [--url ws://…] [--admin http://…] [--sku …]
 *
 * The heap is read as the lowest of several readings, because between two collections it holds garbage;
 * its growth a profile is therefore good to about (one young generation ÷ N), 160 bytes at 100,000.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { BenchUsageError, parseBenchOptions } from './bench-options.ts';
import { bytes, count, hostLine } from './bench-report.ts';
import { hostFacts } from './bench-result.ts';
import { launchProcess, runFleet } from './generator-fleet.ts';
import type { LoadPlan } from './load-plan.ts';
import { gaugeSum } from './prometheus-text.ts';

const HEAP_READINGS = 20;
const HEAP_READING_EVERY_MILLIS = 500;

export interface MemoryReading {
  readonly residentProfiles: number;
  readonly slabBytes: number;
  readonly slabUsedBytes: number;
  readonly heapBytes: number;
  /** Of the whole process, as the kernel counts it. */
  readonly processBytes: number;
}

export interface MemoryPerProfile {
  readonly profiles: number;
  readonly outsideHeapBytes: number;
  readonly recordBytes: number;
  readonly heapGrowthBytes: number;
  readonly processBytes: number;
}

export function readMemory(page: string): MemoryReading {
  return {
    residentProfiles: gaugeSum(page, 'opportune_profiles_resident'),
    slabBytes: gaugeSum(page, 'opportune_slab_bytes'),
    slabUsedBytes: gaugeSum(page, 'opportune_slab_used_bytes'),
    heapBytes: gaugeSum(page, 'opportune_heap_used_bytes'),
    processBytes: gaugeSum(page, 'opportune_resident_memory_bytes'),
  };
}

/** Growth divided by new profiles. Throws BenchUsageError when fewer than half of `asked` are new. */
export function memoryPerProfile(before: MemoryReading, after: MemoryReading, asked: number): MemoryPerProfile {
  const profiles = after.residentProfiles - before.residentProfiles;
  if (!(profiles >= asked / 2)) {
    throw new BenchUsageError(
      `only ${profiles} of ${asked} profiles became resident: start the server with an empty --data folder, or give it more memory`,
    );
  }
  const each = (read: (reading: MemoryReading) => number): number => (read(after) - read(before)) / profiles;
  return {
    profiles,
    outsideHeapBytes: each((r) => r.slabBytes),
    recordBytes: each((r) => r.slabUsedBytes),
    heapGrowthBytes: each((r) => r.heapBytes),
    processBytes: each((r) => r.processBytes),
  };
}

async function metricsPage(admin: string): Promise<string> {
  const response = await fetch(new URL('/metrics', admin)).catch((error: unknown) => {
    throw new BenchUsageError(`cannot read ${admin}/metrics; is the server running?`, error);
  });
  if (!response.ok) throw new BenchUsageError(`${admin}/metrics answers ${response.status}`);
  return response.text();
}

/** Lowest heap of several readings; the other gauges as they are last. */
async function settledMemory(admin: string): Promise<MemoryReading> {
  let lowest = Number.POSITIVE_INFINITY;
  let reading = readMemory(await metricsPage(admin));
  for (let i = 0; i < HEAP_READINGS; i += 1) {
    lowest = Math.min(lowest, reading.heapBytes);
    await sleep(HEAP_READING_EVERY_MILLIS);
    reading = readMemory(await metricsPage(admin));
  }
  return { ...reading, heapBytes: Math.min(lowest, reading.heapBytes) };
}

async function main(words: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...words],
    options: {
      admin: { type: 'string' },
      url: { type: 'string' },
      profiles: { type: 'string' },
      sku: { type: 'string' },
    },
    strict: true,
  });
  const { url, profiles, skus } = parseBenchOptions({
    url: values.url,
    profiles: values.profiles ?? '100000',
    sku: values.sku ?? 'none',
  });
  const admin = values.admin ?? 'http://127.0.0.1:7401';
  const before = await settledMemory(admin);
  const plan: LoadPlan = {
    url,
    token: null,
    shards: null,
    connections: 4,
    loop: 'closed',
    ratePerSecond: 1,
    inFlight: 4,
    warmupMillis: 0,
    measureMillis: 0,
    drainMillis: 600_000,
    requestCount: Math.ceil(profiles / 32) * 32,
    keys: { kind: 'sequential', profiles, exponent: 0, seed: 0, first: 0, stride: 1 },
    request: {
      scenario: 'populate',
      slot: 'home',
      sku: skus[0] ?? null,
      actions: [],
      context: null,
      traits: null,
      durability: null,
      batchSize: 32,
      decisionIdBytes: 0,
      runTag: 'memory',
    },
    processIndex: 0,
    processCount: 1,
    isLive: false,
  };
  const result = await runFleet(plan, 1, launchProcess, () => {});
  const error = result.errors[0];
  if (error !== undefined) throw new BenchUsageError(`${error.status} ${error.code}: ${error.message}`);
  const each = memoryPerProfile(before, await settledMemory(admin), profiles);
  process.stdout.write(
    [
      `host          ${hostLine(hostFacts())}`,
      `resident      ${count(each.profiles)} new profiles`,
      `outside heap  ${bytes(each.outsideHeapBytes)} a profile (${bytes(each.recordBytes)} of it records)`,
      `heap growth   ${bytes(each.heapGrowthBytes)} a profile`,
      `process       ${bytes(each.processBytes)} a profile`,
      '',
    ].join('\n'),
  );
}

if (process.argv[1]?.endsWith('profile-memory.js') === true) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    process.exitCode = 2;
    process.stderr.write(`profile-memory: ${error instanceof BenchUsageError ? error.message : String(error)}\n`);
  });
}
