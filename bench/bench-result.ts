/**
 * A bench's result as kept in JSON: the host, what was asked, every phase of every run with its whole
 * histograms, and the figures drawn from them as median and spread over the runs. Figures are named
 * `<phase>.<measure>`; two files are compared figure by figure, as ratios.
 */
import { cpus, loadavg, totalmem } from 'node:os';
import { epochMillis } from '../workers/clock.ts';
import { mergeHistograms } from './latency-histogram.ts';
import type { LoadResult } from './load-plan.ts';
import type { Verdict } from './verdict.ts';
import { errorShare } from './verdict.ts';

export const RESULT_SCHEMA = 'opportune-bench/1';

export interface HostFacts {
  readonly cpuModel: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly node: string;
  readonly platform: string;
  readonly at: string;
  /** Runnable processes over the last minute, before the bench began. */
  readonly loadAverage: number;
}

export function hostFacts(): HostFacts {
  const all = cpus();
  return {
    cpuModel: all[0]?.model.trim() ?? 'unknown CPU',
    cores: all.length,
    memoryBytes: totalmem(),
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    at: new Date(epochMillis()).toISOString(),
    loadAverage: loadavg()[0] ?? 0,
  };
}

export type PhaseName = 'peak' | 'open' | 'echoPeak' | 'echoOpen' | 'search';

export interface Phase {
  readonly name: PhaseName;
  /** Requests per second asked for; null in a closed loop. */
  readonly offeredPerSecond: number | null;
  readonly result: LoadResult;
  readonly verdict: Verdict;
}

export interface Figure {
  readonly unit: string;
  /** Whether a larger value is better, for people reading a comparison. */
  readonly isHigherBetter: boolean;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly values: readonly number[];
}

export interface BenchResult {
  readonly schema: typeof RESULT_SCHEMA;
  readonly host: HostFacts;
  readonly target: {
    readonly url: string;
    readonly server: string;
    readonly replyBytes: number;
    readonly requestBytes: number;
  };
  readonly settings: { readonly [name: string]: unknown };
  readonly runs: readonly { readonly phases: readonly Phase[] }[];
  readonly figures: { readonly [name: string]: Figure };
  readonly verdict: Verdict;
}

/** Answered requests per second of the measured time, failures included. */
export function achievedPerSecond(result: LoadResult): number {
  return ((result.succeeded + result.failed) * 1000) / result.measuredMillis;
}

interface Measure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly isHigherBetter: boolean;
}

function measure(name: string, value: number, unit: string, isHigherBetter = false): Measure {
  return { name, value, unit, isHigherBetter };
}

const PERCENTILES = [50, 90, 99, 99.9] as const;

function measuresOf(phase: Phase): readonly Measure[] {
  const { result } = phase;
  const latency = mergeHistograms([result.latency]);
  const server = mergeHistograms([result.serverTime]);
  const measures = [
    measure(`${phase.name}.rate`, (result.succeeded * 1000) / result.measuredMillis, 'answers/s', true),
  ];
  // A closed loop's latency belongs to its own in-flight number and is not a figure of the server.
  if (phase.offeredPerSecond === null) return measures;
  measures.push(measure(`${phase.name}.offered`, phase.offeredPerSecond, 'requests/s', true));
  for (const p of PERCENTILES) measures.push(measure(`${phase.name}.p${p}`, latency.percentile(p), 'µs'));
  measures.push(measure(`${phase.name}.max`, latency.maxMicros, 'µs'));
  if (server.count > 0) {
    for (const p of PERCENTILES) measures.push(measure(`${phase.name}.server.p${p}`, server.percentile(p), 'µs'));
  }
  measures.push(measure(`${phase.name}.errors`, errorShare(result), 'share'));
  return measures;
}

/** Figures of one run by name, with the ratios to the echo server where it was measured. */
function runMeasures(phases: readonly Phase[]): ReadonlyMap<string, Measure> {
  const all = new Map<string, Measure>();
  for (const phase of phases) {
    if (phase.name !== 'search') for (const one of measuresOf(phase)) all.set(one.name, one);
  }
  for (const [name, pair, isHigherBetter] of [
    ['ratio.peak.rate', ['peak.rate', 'echoPeak.rate'], true],
    ['ratio.open.p50', ['open.p50', 'echoOpen.p50'], false],
    ['ratio.open.p99', ['open.p99', 'echoOpen.p99'], false],
    ['ratio.open.p99.9', ['open.p99.9', 'echoOpen.p99.9'], false],
  ] as const) {
    const ours = all.get(pair[0]);
    const echo = all.get(pair[1]);
    if (ours !== undefined && echo !== undefined && echo.value > 0) {
      all.set(name, measure(name, ours.value / echo.value, '× echo', isHigherBetter));
    }
  }
  const best = bestRate(phases);
  if (best !== null) all.set('search.rate', measure('search.rate', best, 'requests/s', true));
  return all;
}

/** The highest offered rate of a search that met its objectives; null when there was no search. */
export function bestRate(phases: readonly Phase[]): number | null {
  const searched = phases.filter((phase) => phase.name === 'search');
  if (searched.length === 0) return null;
  return Math.max(0, ...searched.map((phase) => (phase.verdict.kind === 'PASSED' ? (phase.offeredPerSecond ?? 0) : 0)));
}

/** Middle value; of an even number, the mean of the two. NaN when empty. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export function figuresOf(runs: readonly { readonly phases: readonly Phase[] }[]): { readonly [name: string]: Figure } {
  const collected = new Map<string, { unit: string; isHigherBetter: boolean; values: number[] }>();
  for (const run of runs) {
    for (const one of runMeasures(run.phases).values()) {
      const known = collected.get(one.name) ?? { unit: one.unit, isHigherBetter: one.isHigherBetter, values: [] };
      known.values.push(one.value);
      collected.set(one.name, known);
    }
  }
  return Object.fromEntries(
    [...collected].map(([name, { unit, isHigherBetter, values }]) => [
      name,
      { unit, isHigherBetter, median: median(values), min: Math.min(...values), max: Math.max(...values), values },
    ]),
  );
}
