/**
 * One or several generator processes seen as one: a plan is divided among them (rate, connections,
 * keys), they start together once all are connected, and their results are merged. Several are needed
 * when one cannot send or read as fast as the server answers; the verdict says so when that is the case.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { GeneratorCommand, GeneratorReport } from './generator-process.ts';
import type { LoadPlan, LoadProgress, LoadResult } from './load-plan.ts';
import { LoadRun } from './load-run.ts';
import { mergeResults } from './load-tally.ts';

/** A generator that is connected and waits to be started. Started once. */
interface Generator {
  run(report: (progress: LoadProgress) => void): Promise<LoadResult>;
  abandon(): void;
}

export type LaunchGenerator = (plan: LoadPlan) => Promise<Generator>;

/** A generator on this thread: for tests, and where processes cannot be started. Shares its event loop. */
export const launchHere: LaunchGenerator = async (plan) => {
  const run = await LoadRun.connect(plan);
  return { run: (report) => run.run(report), abandon: () => run.close() };
};

/** A generator in a child process. Rejects with an Error when it cannot connect or dies. */
export const launchProcess: LaunchGenerator = (plan) => {
  const child = fork(fileURLToPath(new URL('./generator-process.js', import.meta.url)), [], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced',
  });
  const command = (message: GeneratorCommand): void => {
    child.send(message);
  };
  return new Promise((ready, refuse) => {
    let settle: { resolve(result: LoadResult): void; reject(error: Error): void } | null = null;
    let report: (progress: LoadProgress) => void = () => {};
    const fail = (message: string): void => {
      const error = new Error(message);
      refuse(error);
      settle?.reject(error);
    };
    child.on('message', (message: GeneratorReport) => {
      if (message.type === 'ready') {
        ready({
          run: (onProgress) => {
            report = onProgress;
            return new Promise((resolve, reject) => {
              settle = { resolve, reject };
              command({ type: 'start' });
            });
          },
          abandon: () => child.disconnect(),
        });
      } else if (message.type === 'progress') report(message.progress);
      else if (message.type === 'result') settle?.resolve(message.result);
      else fail(message.message);
    });
    child.on('error', (error) => fail(`the generator process failed: ${error.message}`));
    child.on('exit', (code, signal) => fail(`the generator process ended early (${signal ?? `exit ${code}`})`));
    command({ type: 'plan', plan });
  });
};

/** The part of `plan` that process `index` of `count` runs. Connections are dealt out evenly. */
export function sharePlan(plan: LoadPlan, index: number, count: number): LoadPlan {
  const connections = Math.floor(plan.connections / count) + (index < plan.connections % count ? 1 : 0);
  return {
    ...plan,
    connections,
    ratePerSecond: plan.ratePerSecond / count,
    requestCount:
      plan.requestCount === null
        ? null
        : Math.floor(plan.requestCount / count) + (index < plan.requestCount % count ? 1 : 0),
    keys: { ...plan.keys, seed: plan.keys.seed + index, first: plan.keys.first + index, stride: count },
    processIndex: index,
    processCount: count,
  };
}

/** Runs `plan` on `processes` generators, never more than it has connections. Rejects when one fails. */
export async function runFleet(
  plan: LoadPlan,
  processes: number,
  launch: LaunchGenerator,
  report: (progress: LoadProgress) => void,
): Promise<LoadResult> {
  const count = Math.min(processes, plan.connections);
  const launched = await Promise.allSettled(
    Array.from({ length: count }, (_, index) => launch(sharePlan(plan, index, count))),
  );
  const generators = launched.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const refused = launched.find((one) => one.status === 'rejected');
  if (refused !== undefined) {
    for (const generator of generators) generator.abandon();
    throw refused.reason;
  }
  const latest = new Map<number, LoadProgress>();
  const results = await Promise.all(
    generators.map((generator, index) =>
      generator.run((progress) => {
        latest.set(index, progress);
        // One line a second: when the last of them has reported.
        if (latest.size === count) {
          report(mergeProgress([...latest.values()]));
          latest.clear();
        }
      }),
    ),
  );
  return mergeResults(results);
}

/** Percentiles of a live line are those of the slowest process; the result has the merged ones. */
function mergeProgress(all: readonly LoadProgress[]): LoadProgress {
  const sum = (read: (one: LoadProgress) => number): number => all.reduce((total, one) => total + read(one), 0);
  return {
    elapsedMillis: Math.max(...all.map((one) => one.elapsedMillis)),
    answered: sum((one) => one.answered),
    failed: sum((one) => one.failed),
    inFlight: sum((one) => one.inFlight),
    p50Micros: Math.max(...all.map((one) => one.p50Micros)),
    p99Micros: Math.max(...all.map((one) => one.p99Micros)),
  };
}
