/**
 * Runs micro benchmarks with tinybench. Goals: cost of one operation in isolation, comparable between
 * two checkouts on one machine; smoke mode inside the unit suite, so that no case rots. Non-goals:
 * absolute times (caches are warm, the branch predictor knows the input) and anything with I/O.
 *
 * An operation shorter than the clock's own cost is run many times a sample. Rounds are interleaved over
 * the cases, so that a machine that slows down slows all of them; a figure is the median over rounds of
 * each round's median sample, its spread the rounds' lowest and highest.
 */
import { Bench } from 'tinybench';
import { type Figure, type HostFacts, hostFacts, median } from '../bench-result.ts';
import type { MicroCase } from './micro-case.ts';

const MICRO_SCHEMA = 'opportune-micro/1';

export interface MicroSettings {
  readonly rounds: number;
  readonly millisPerRound: number;
  /** Operations a sample: 50 makes even a 5 ns operation several times longer than reading the clock. */
  readonly operationsPerSample: number;
}

export const FULL: MicroSettings = { rounds: 5, millisPerRound: 300, operationsPerSample: 50 };
/** Each case a few times: proves that it runs, measures nothing. */
export const SMOKE: MicroSettings = { rounds: 1, millisPerRound: 0, operationsPerSample: 1 };

export interface MicroResult {
  readonly schema: typeof MICRO_SCHEMA;
  readonly host: HostFacts;
  readonly settings: MicroSettings;
  /** Nanoseconds an operation, by case name. */
  readonly figures: { readonly [name: string]: Figure };
  /** Sum of what the operations returned, as an unsigned 32-bit number. */
  readonly checksum: number;
}

/** Rejects with the error of the first case that throws. */
export async function runMicro(cases: readonly MicroCase[], settings: MicroSettings): Promise<MicroResult> {
  const operations = cases.map((one) => ({ name: one.name, operation: one.prepare() }));
  const nanos = new Map<string, number[]>(cases.map((one) => [one.name, []]));
  const host = hostFacts();
  let sum = 0;
  for (let round = 0; round < settings.rounds; round += 1) {
    const bench = new Bench({
      time: settings.millisPerRound,
      iterations: 3,
      warmupTime: settings.millisPerRound / 4,
      warmupIterations: 2,
      throws: true,
    });
    for (const { name, operation } of operations) {
      bench.add(name, () => {
        for (let i = 0; i < settings.operationsPerSample; i += 1) sum += operation();
      });
    }
    await bench.run();
    for (const task of bench.tasks) {
      const { result } = task;
      if (!('latency' in result)) throw new Error(`${task.name}: ${result.state}`);
      nanos.get(task.name)?.push((result.latency.p50 * 1e6) / settings.operationsPerSample);
    }
  }
  return {
    schema: MICRO_SCHEMA,
    host,
    settings,
    figures: Object.fromEntries([...nanos].map(([name, values]) => [name, figure(values)])),
    checksum: Math.floor(Math.abs(sum)) >>> 0,
  };
}

function figure(values: readonly number[]): Figure {
  return {
    unit: 'ns',
    isHigherBetter: false,
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    values,
  };
}
